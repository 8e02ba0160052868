/* hello - one process, and the ids of who is who
 *
 * hello.py is the same in Python, and prints the same. */
#include <brood/process.h>

#include <stdio.h>
#include <unistd.h>

static void info(const char *title)
{
	printf("%s\nmain: %s\nparent process: %d\nprocess id: %d\n", title,
	       brood_is_main() ? "yes" : "no", (int)getppid(), (int)getpid());
}

static int f(const brood_args *args)
{
	info("function f");
	printf("hello %s\n", brood_args_str(args, 0));
	return 0;
}

int main(void)
{
	brood_process *p;
	int r;

	info("main line");
	r = brood_process_start(f, BROOD_ARGS("bob"), NULL, &p);
	if (r < 0)
		return 1;
	brood_process_join(p, BROOD_FOREVER, NULL);
	brood_process_unref(p);
	return 0;
}
