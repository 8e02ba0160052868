/* df-grep - df -h | grep sda1, without a shell
 *
 * Another word than "sda1" may be given. Shows the lines; the exit status is grep's: 1 for none. */
#include <brood/brood.h>

#include <stdio.h>

int main(int argc, char **argv)
{
	const brood_stage stages[] = {
		{ .argv = BROOD_ARGV("df", "-h") },
		{ .argv = BROOD_ARGV("grep", "-F", "-e", argc > 1 ? argv[1] : "sda1") },
	};
	brood_fail fail = { .step = NULL };
	const brood_pipeline_opts opts = {
		.run = { .capture = true, .timeout_ns = 10 * BROOD_SEC, .fail = &fail }
	};
	brood_run_result found;
	char words[400];
	int r = brood_pipeline_run(stages, 2, &opts, &found);

	(void)fwrite(found.out, 1, found.out_size, stdout);
	(void)fwrite(found.err, 1, found.err_size, stderr);
	if (r < 0) {
		brood_fail_format(&fail, words, sizeof(words));
		fprintf(stderr, "df-grep: %s\n", words);
	}
	r = r < 0 ? 2 : brood_exit_code(&found.exit);
	brood_run_result_fini(&found);
	return r;
}
