/* copy - a module with a libbrood of its own in it, that nobody else sees */
#include <brood/process.h>

#include <unistd.h>

__attribute__((visibility("default"))) int copy_is_main(void);
__attribute__((visibility("default"))) int copy_start(int (*ask_other)(void));

int copy_is_main(void)
{
	return brood_is_main();
}

/* What its own child says of itself, and what the other copy says there: 2 times the one plus the other. */
static int ask(void *other, const brood_args *args)
{
	int (*ask_other)(void) = *(int (**)(void))other;

	(void)args;
	return 2 * brood_is_main() + ask_other();
}

int copy_start(int (*ask_other)(void))
{
	brood_process *p;
	brood_exit end;

	if (brood_process_start_run(ask, &ask_other, BROOD_NO_ARGS, NULL, &p) < 0)
		return -1;
	brood_process_join(p, BROOD_FOREVER, &end);
	brood_process_unref(p);
	return brood_exit_code(&end);
}
