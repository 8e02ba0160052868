/* brood-loader LIBBROOD - the program of a process that runs a function of a shared library
 *
 * It is started by libbrood when its host's main() is not ours to call: a script's interpreter, any program that does not
 * call brood_init(). It loads the same libbrood, whose brood_init() takes the order over the channel that it
 * inherits, loads the function's library, and does not return (src/proc/README.md). */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	int (*init)(void) = NULL;
	void *library;

	if (argc != 2 || strcmp(argv[0], "brood-loader") != 0) {
		fprintf(stderr,
			"brood-loader: started by libbrood (brood_process_start()), not by hand\n");
		return 2;
	}
	library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
	if (library != NULL)
		*(void **)&init = dlsym(library, "brood_init");
	if (init == NULL) {
		fprintf(stderr, "brood-loader: %s\n", dlerror());
		return 1;
	}
	init();
	fprintf(stderr, "brood-loader: nobody has sent it a function\n");
	return 2;
}
