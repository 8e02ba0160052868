/* A fixed set of transfers, each with its easy handle, takes URL after URL: connections are
 * reused, and memory is bounded by the number of transfers times the size limit. */
#include "fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bytes.h"
#include "local.h"

#define CONNECT_TIMEOUT_S 5L
#define MAX_REDIRECTS 5L
#define POLL_MS 1000
#define WHY_SIZE 128

struct transfer {
	CURL *easy;
	const struct fetch_opts *opts;
	bool active;
	size_t index;
	struct bytes body;
	int body_error; /* why the body was not taken: 0, -EFBIG or -ENOMEM */
};

struct fetcher {
	const char *const *urls;
	size_t n_urls, next; /* next: the first URL that was not begun */
	const struct fetch_opts *opts;
	fetch_done *done;
	void *context;
	CURLM *multi;
	size_t n_active;
	struct transfer transfers[FETCH_PARALLEL_MAX];
};

static int from_multi(CURLMcode code)
{
	if (code == CURLM_OK)
		return 0;
	return code == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

static size_t on_body(char *data, size_t one, size_t n, void *context)
{
	struct transfer *transfer = context;

	transfer->body_error =
		bytes_append(&transfer->body, data, one * n, transfer->opts->max_size);
	return transfer->body_error == 0 ? one * n : 0;
}

/* What all transfers have in common. Nothing is taken from the environment: without the empty
 * proxy, http_proxy would decide where a request goes. */
static bool configure(struct transfer *transfer)
{
	CURL *easy = transfer->easy;
	curl_off_t max_size = (curl_off_t)transfer->opts->max_size;

	return curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_MAXREDIRS, MAX_REDIRECTS) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_TIMEOUT, transfer->opts->timeout_s) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, max_size) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_USERAGENT, "subway-report") == CURLE_OK;
}

static void fetcher_deinit(struct fetcher *fetcher)
{
	for (size_t i = 0; i < fetcher->opts->parallel; i++) {
		struct transfer *transfer = &fetcher->transfers[i];

		if (transfer->active)
			curl_multi_remove_handle(fetcher->multi, transfer->easy);
		curl_easy_cleanup(transfer->easy);
		bytes_deinit(&transfer->body);
	}
	curl_multi_cleanup(fetcher->multi);
	curl_global_cleanup();
}

static int fetcher_init(struct fetcher *fetcher)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -EIO;
	fetcher->multi = curl_multi_init();
	if (fetcher->multi == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < fetcher->opts->parallel; i++) {
		struct transfer *transfer = &fetcher->transfers[i];

		transfer->opts = fetcher->opts;
		transfer->easy = curl_easy_init();
		if (transfer->easy == NULL || !configure(transfer))
			return -ENOMEM;
	}
	return 0;
}

static void tell_error(struct fetcher *fetcher, size_t index, const char *error)
{
	fetcher->done(fetcher->context, &(struct fetched){ .index = index, .error = error });
}

static void tell_body(struct fetcher *fetcher, size_t index, const struct bytes *body)
{
	fetcher->done(fetcher->context,
		      &(struct fetched){ .index = index, .data = body->data, .size = body->size });
}

static void explain_size(struct fetcher *fetcher, char why[WHY_SIZE])
{
	snprintf(why, WHY_SIZE, "larger than the limit of %zu bytes", fetcher->opts->max_size);
}

static void explain_file(struct fetcher *fetcher, int error, char why[WHY_SIZE])
{
	if (error == -EFBIG)
		explain_size(fetcher, why);
	else if (error == -EXDEV)
		snprintf(why, WHY_SIZE, "outside the pictures directory");
	else if (error == -EBADF)
		snprintf(why, WHY_SIZE, "not a regular file");
	else if (error == -EINVAL)
		snprintf(why, WHY_SIZE, "not a file: URL of this machine");
	else
		snprintf(why, WHY_SIZE, "%s", strerror(-error));
}

static void fetch_file(struct fetcher *fetcher, size_t index)
{
	struct bytes body = { 0 };
	char why[WHY_SIZE];
	int r;

	if (fetcher->opts->pictures == NULL) {
		tell_error(fetcher, index, "file: URLs need --pictures");
		return;
	}
	r = local_read(fetcher->opts->pictures, fetcher->urls[index], fetcher->opts->max_size,
		       &body);
	if (r < 0) {
		explain_file(fetcher, r, why);
		tell_error(fetcher, index, why);
	} else {
		tell_body(fetcher, index, &body);
	}
	bytes_deinit(&body);
}

/* libcurl's own messages hold times and addresses; these are the same on every run. */
static void explain_transfer(struct fetcher *fetcher, struct transfer *transfer, CURLcode code,
			     char why[WHY_SIZE])
{
	long status = 0;

	if (code == CURLE_FILESIZE_EXCEEDED || transfer->body_error == -EFBIG) {
		explain_size(fetcher, why);
	} else if (transfer->body_error < 0) {
		snprintf(why, WHY_SIZE, "%s", strerror(-transfer->body_error));
	} else if (code == CURLE_HTTP_RETURNED_ERROR) {
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
		snprintf(why, WHY_SIZE, "the server answered with status %ld", status);
	} else {
		snprintf(why, WHY_SIZE, "%s", curl_easy_strerror(code));
	}
}

static void finish(struct fetcher *fetcher, struct transfer *transfer, CURLcode code)
{
	char why[WHY_SIZE];

	curl_multi_remove_handle(fetcher->multi, transfer->easy);
	transfer->active = false;
	fetcher->n_active--;
	if (code == CURLE_OK) {
		tell_body(fetcher, transfer->index, &transfer->body);
	} else {
		explain_transfer(fetcher, transfer, code, why);
		tell_error(fetcher, transfer->index, why);
	}
	bytes_deinit(&transfer->body);
}

static int start(struct fetcher *fetcher, struct transfer *transfer, size_t index)
{
	CURLcode code = curl_easy_setopt(transfer->easy, CURLOPT_URL, fetcher->urls[index]);
	int r;

	if (code != CURLE_OK) { /* a URL of megabytes, for one */
		tell_error(fetcher, index, curl_easy_strerror(code));
		return 0;
	}
	r = from_multi(curl_multi_add_handle(fetcher->multi, transfer->easy));
	if (r < 0)
		return r;
	transfer->index = index;
	transfer->body_error = 0;
	transfer->active = true;
	fetcher->n_active++;
	return 0;
}

/* Without a scheme libcurl would guess one from the name of the host. */
static bool is_web_url(const char *url)
{
	return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

static struct transfer *find_idle(struct fetcher *fetcher)
{
	for (size_t i = 0; i < fetcher->opts->parallel; i++)
		if (!fetcher->transfers[i].active)
			return &fetcher->transfers[i];
	return NULL;
}

/* Begin URLs until all transfers are active; a file is done at once and needs none. */
static int start_some(struct fetcher *fetcher)
{
	struct transfer *idle;
	int r = 0;

	while (r == 0 && fetcher->next < fetcher->n_urls && (idle = find_idle(fetcher)) != NULL) {
		size_t index = fetcher->next++;

		if (local_is_url(fetcher->urls[index]))
			fetch_file(fetcher, index);
		else if (is_web_url(fetcher->urls[index]))
			r = start(fetcher, idle, index);
		else
			tell_error(fetcher, index, "not an http:, https: or file: URL");
	}
	return r;
}

static bool finish_some(struct fetcher *fetcher)
{
	bool any = false;
	CURLMsg *message;
	int n_left;

	while ((message = curl_multi_info_read(fetcher->multi, &n_left)) != NULL) {
		CURLcode code = message->data.result; /* gone once the handle is removed */
		struct transfer *transfer;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
		finish(fetcher, transfer, code);
		any = true;
	}
	return any;
}

/* Sleep only for transfers that go on, and not when one ended: it may take the next URL. */
static int fetch_some(struct fetcher *fetcher)
{
	int n_running, r = start_some(fetcher);

	if (r < 0)
		return r;
	r = from_multi(curl_multi_perform(fetcher->multi, &n_running));
	if (r < 0 || finish_some(fetcher) || fetcher->n_active == 0)
		return r;
	return from_multi(curl_multi_poll(fetcher->multi, NULL, 0, POLL_MS, NULL));
}

int fetch_all(const char *const urls[], size_t n_urls, const struct fetch_opts *opts,
	      fetch_done *done, void *context)
{
	struct fetcher fetcher = {
		.urls = urls,
		.n_urls = n_urls,
		.opts = opts,
		.done = done,
		.context = context,
	};
	int r = fetcher_init(&fetcher);

	while (r == 0 && (fetcher.next < n_urls || fetcher.n_active > 0))
		r = fetch_some(&fetcher);
	fetcher_deinit(&fetcher);
	return r;
}
