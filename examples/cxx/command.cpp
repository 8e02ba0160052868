/* command WORD... - run a program for at most five seconds, and tell what it wrote and how it ended */
#include <brood/brood.hpp>

#include <cstdio>

int main(int argc, char **argv)
{
	brood::run_result done;
	brood_run_opts opts = {};
	brood_fail fail = {};
	char words[300];
	int r;

	opts.capture = true;
	opts.contain = true; /* what it started ends with it */
	opts.timeout_ns = 5 * BROOD_SEC;
	opts.fail = &fail;
	if (argc > 1)
		r = brood_run(argv + 1, &opts, done.ret());
	else
		r = brood_run(brood::argv{ "echo", std::string("hello") }, &opts, done.ret());
	if (r < 0) {
		brood_fail_format(&fail, words, sizeof(words));
		std::printf("failed: %s\n", words);
		return 1;
	}
	brood_exit_format(&done.exit, words, sizeof(words));
	std::printf("%.*s%s\n", static_cast<int>(done.out_size), done.out, words);
	return 0;
}
