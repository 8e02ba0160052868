/* proc/image.h - a program of its own for a function: the start by exec
 *
 * The new process is this program again, if its main() called brood_init(), or the one that brood_set_executable() named, whose does: there
 * that takes the order and does not return. Else it is brood-loader, which can have functions of shared libraries. BROOD_START has the number of
 * the channel's descriptor, and is taken out of the environment before anything else runs. */
#ifndef PROC_IMAGE_H
#define PROC_IMAGE_H

#include <brood/spawn.h>

#include "proc/function.h"

/* The program that a function can be run in. */
struct bri_image {
	bool is_self;           /* it calls brood_init() itself */
	char path[PATH_MAX];    /* "": this program; else of the other one, or of brood-loader */
	char library[PATH_MAX]; /* that it loads */
};

/* Finds it. Returns 0; -ENOTSUP "method": there is none, the text says what to do; -ENOENT "loader": it is missing. */
int bri_image_choose(const struct bri_function *function, struct bri_image *ret_image,
		     brood_fail *fail);

/* The number of the channel there. */
#define BRI_CHANNEL 3

/* Starts it with `channel`, and nothing else but stdout and stderr; as a server (proc/server.h), if so. Returns 0 or what
 * brood_spawn() says. */
int bri_image_start(const struct bri_image *image, int channel, bool is_server, brood_fail *fail,
		    brood_child **ret_child);

/* In a new process, a child of `parent`: takes the order from BRI_CHANNEL and does it. */
void bri_image_obey(pid_t parent) __attribute__((noreturn));

/* In brood_init(): if this process was started so, runs its function, and does not return. */
void bri_image_begin(void);

#endif
