/* subway-report - measure the pictures of a train inspection
 *
 * One request on standard input, one report on standard output, as described by --help. This
 * file is the program around it: options, input, output, exit statuses. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "fetch.h"
#include "local.h"
#include "picture.h"
#include "report.h"
#include "request.h"

#define EXIT_BAD_REQUEST 2 /* beside EXIT_SUCCESS and EXIT_FAILURE */

/* Parsed JSON takes up to 80 times its text ("{}," again and again): here 640 MiB at most. */
#define MAX_REQUEST_SIZE (8u * 1024 * 1024)

#define DEFAULT_PARALLEL 4
#define DEFAULT_TIMEOUT_S 60
#define DEFAULT_MAX_SIZE_MIB 64

static const char help[] =
	"Usage: subway-report [OPTION]... <request.json >report.json\n"
	"Measure the pictures of a train inspection.\n"
	"\n"
	"The request is one JSON object with the text fields requestId, systemId,\n"
	"inspectionStartTime, inspectionEndTime, trainId, lineCode, yardName and direction,\n"
	"and with imageUrls, an array of objects with the text fields imageUrl (http:, https:\n"
	"or file:) and location. The report gives for each picture, JPEG or PNG, its size,\n"
	"brightness (mean of luma, 0 to 255), contrast (standard deviation of luma) and\n"
	"sharpness (variance of the Laplacian), the warnings of its decoder, and flags:\n"
	"  dark          brightness below 50\n"
	"  overexposed   brightness above 205\n"
	"  blurred       sharpness below 100, and not dark\n"
	"  damaged       data are missing or corrupt; measured is what was left\n"
	"A picture that cannot be fetched or decoded is an entry with the reason.\n"
	"\n"
	"Options:\n"
	"  --pictures DIR    allow file: URLs, below DIR only; file:NAME is DIR/NAME\n"
	"  --parallel N      fetch up to N pictures at a time, 1 to 64 (default 4)\n"
	"  --timeout S       give each picture S seconds to arrive (default 60)\n"
	"  --max-size MIB    refuse pictures of more than MIB mebibytes (default 64)\n"
	"  --help            print this text\n"
	"\n"
	"Exit status: 0, there is a report; 1, there is none for a reason that is not the\n"
	"request's; 2, the request or an option is wrong, and standard error says where.\n";

struct options {
	const char *pictures;
	struct fetch_opts fetch;
	bool help;
};

static int complain(int status, const char *what, const char *why)
{
	fprintf(stderr, "subway-report: %s: %s\n", what, why);
	return status;
}

static int print_help(void)
{
	if (fputs(help, stdout) < 0 || fclose(stdout) != 0)
		return complain(EXIT_FAILURE, "cannot write this help", strerror(errno));
	return EXIT_SUCCESS;
}

static bool parse_number(const char *name, const char *text, unsigned long max,
			 unsigned long *ret_number)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (strchr("0123456789", *text) == NULL || *end != '\0' || errno != 0 || number < 1 ||
	    number > max) {
		fprintf(stderr, "subway-report: --%s: \"%s\" is not a number from 1 to %lu\n", name,
			text, max);
		return false;
	}
	*ret_number = number;
	return true;
}

/* On failure, what is wrong was printed. */
static bool parse_options(int argc, char *argv[], struct options *options)
{
	enum { PICTURES, PARALLEL, TIMEOUT, MAX_SIZE, HELP };
	static const struct option known[] = {
		{ "pictures", required_argument, NULL, PICTURES },
		{ "parallel", required_argument, NULL, PARALLEL },
		{ "timeout", required_argument, NULL, TIMEOUT },
		{ "max-size", required_argument, NULL, MAX_SIZE },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	unsigned long parallel = DEFAULT_PARALLEL;
	unsigned long timeout_s = DEFAULT_TIMEOUT_S;
	unsigned long max_size_mib = DEFAULT_MAX_SIZE_MIB;
	bool ok = true;
	int which;

	while (ok && (which = getopt_long(argc, argv, "", known, NULL)) != -1) {
		const char *name = which != '?' ? known[which].name : NULL;

		switch (which) {
		case PICTURES:
			options->pictures = optarg;
			break;
		case PARALLEL:
			ok = parse_number(name, optarg, FETCH_PARALLEL_MAX, &parallel);
			break;
		case TIMEOUT:
			ok = parse_number(name, optarg, 86400, &timeout_s);
			break;
		case MAX_SIZE:
			ok = parse_number(name, optarg, 1024, &max_size_mib);
			break;
		case HELP:
			options->help = true;
			break;
		default:
			ok = false; /* getopt_long() has complained */
		}
	}
	if (ok && optind < argc) {
		complain(0, argv[optind], "the request comes on standard input");
		ok = false;
	}
	options->fetch.parallel = parallel;
	options->fetch.timeout_s = (long)timeout_s;
	options->fetch.max_size = max_size_mib * 1024 * 1024;
	return ok;
}

static int read_request(json_t **ret_request)
{
	char why[REQUEST_MESSAGE_SIZE];
	struct bytes text = { 0 };
	int r = bytes_read_all(&text, STDIN_FILENO, MAX_REQUEST_SIZE);

	if (r == -EFBIG)
		r = complain(EXIT_BAD_REQUEST, "request", "larger than 8 MiB");
	else if (r < 0)
		r = complain(EXIT_FAILURE, "cannot read the request", strerror(-r));
	else
		r = request_parse(text.data, text.size, ret_request, why);
	bytes_deinit(&text);
	if (r == -EINVAL)
		return complain(EXIT_BAD_REQUEST, "request", why);
	if (r == -ENOMEM)
		return complain(EXIT_FAILURE, "cannot parse the request", strerror(ENOMEM));
	return r;
}

static void on_fetched(void *context, const struct fetched *fetched)
{
	struct report *report = context;
	char why[PICTURE_MESSAGE_SIZE];
	struct picture picture;

	if (fetched->error != NULL)
		report_add_failure(report, fetched->index, fetched->error);
	else if (!picture_measure(fetched->data, fetched->size, &picture, why))
		report_add_failure(report, fetched->index, why);
	else
		report_add_picture(report, fetched->index, fetched->size, &picture);
}

static int fetch_pictures(const json_t *request, const struct fetch_opts *opts,
			  struct report *report)
{
	size_t n = request_n_pictures(request);
	const char **urls = calloc(n + 1, sizeof(*urls));
	int r;

	if (urls == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		urls[i] = request_picture_field(request, i, "imageUrl");
	r = fetch_all(urls, n, opts, on_fetched, report);
	free(urls);
	return r;
}

static int make_report(const json_t *request, const struct fetch_opts *opts, json_t **ret_document)
{
	struct report report;
	json_t *document = NULL;
	int r;

	report_init(&report, request);
	r = fetch_pictures(request, opts, &report);
	if (r == 0) {
		document = report_finish(&report);
		r = document != NULL ? 0 : -ENOMEM;
	}
	report_deinit(&report);
	if (r < 0)
		return complain(EXIT_FAILURE, "cannot make the report", strerror(-r));
	*ret_document = document;
	return EXIT_SUCCESS;
}

/* What stdio still holds may not fit on the disk: only a successful fclose() is a report. */
static int write_report(const json_t *document)
{
	bool ok = json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10)) == 0 &&
		  putchar('\n') != EOF;

	if (fclose(stdout) != 0 || !ok)
		return complain(EXIT_FAILURE, "cannot write the report", strerror(errno));
	return EXIT_SUCCESS;
}

static int run(const json_t *request, const struct options *options)
{
	struct fetch_opts fetch = options->fetch;
	struct local_dir pictures = { .fd = -1 };
	json_t *document;
	int status;

	if (options->pictures != NULL) {
		int r = local_dir_open(options->pictures, &pictures);

		if (r < 0)
			return complain(EXIT_FAILURE, options->pictures, strerror(-r));
		fetch.pictures = &pictures;
	}
	status = make_report(request, &fetch, &document);
	local_dir_close(&pictures);
	if (status != EXIT_SUCCESS)
		return status;
	status = write_report(document);
	json_decref(document);
	return status;
}

int main(int argc, char *argv[])
{
	struct options options = { 0 };
	json_t *request;
	int status;

	if (!parse_options(argc, argv, &options))
		return EXIT_BAD_REQUEST;
	if (options.help)
		return print_help();
	/* A reader or a TLS peer that went away is an error to report, not the end. */
	signal(SIGPIPE, SIG_IGN);
	/* Known now, not after minutes; and a socket must not become standard output. */
	if (fcntl(STDOUT_FILENO, F_GETFD) < 0)
		return complain(EXIT_FAILURE, "cannot write the report", strerror(errno));
	status = read_request(&request);
	if (status != EXIT_SUCCESS)
		return status;
	status = run(request, &options);
	json_decref(request);
	return status;
}
