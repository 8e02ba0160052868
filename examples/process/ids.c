/* ids - who is whose child
 *
 * ids.py is the same in Python, and prints the same. */
#include <brood/process.h>

#include <stdio.h>
#include <unistd.h>

static int child(const brood_args *args)
{
	char name[64];

	(void)args;
	brood_process_name(brood_parent_process(), name, sizeof(name));
	printf("I am child process %d, and my parent is %d, %s.\n", (int)getpid(),
	       (int)brood_process_pid(brood_parent_process()), name);
	return 0;
}

int main(void)
{
	brood_process *p;

	if (brood_process_start(child, BROOD_NO_ARGS, NULL, &p) < 0)
		return 1;
	brood_process_join(p, BROOD_FOREVER, NULL);
	printf("I, %d, have made a child process, %d.\n", (int)getpid(), (int)brood_process_pid(p));
	brood_process_unref(p);
	return 0;
}
