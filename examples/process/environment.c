/* environment - a fork has a copy of all that there is: what it changes nobody else sees
 *
 * environment.py is the same in Python, and prints the same. */
#include <brood/process.h>

#include <stdio.h>
#include <stdlib.h>

static int numbers[8] = { 1, 2, 3 }, n = 3;

static void show(const char *who)
{
	printf("%s: %s, %d numbers\n", who, getenv("COLOUR"), n);
}

static int child(const brood_args *args)
{
	(void)args;
	show("child, before");
	setenv("COLOUR", "blue", 1);
	numbers[n++] = 4;
	show("child, after");
	return 0;
}

int main(void)
{
	brood_process *p;

	setenv("COLOUR", "red", 1);
	if (brood_process_start(child, BROOD_NO_ARGS, NULL, &p) < 0)
		return 1;
	brood_process_join(p, BROOD_FOREVER, NULL);
	brood_process_unref(p);
	show("parent");
	return 0;
}
