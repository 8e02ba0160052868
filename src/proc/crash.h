/* proc/crash.h - what a process of brood's was doing when a signal ended it
 *
 * The handler calls nothing that may wait or allocate. It finds the object that a frame is in by a table that was made
 * before, and leaves (build id, offset) for each: addresses mean nothing outside of their process. The parent finds the
 * names, in files. */
#ifndef PROC_CRASH_H
#define PROC_CRASH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proc/function.h"

#define BRI_CRASH_FRAMES 32

struct bri_frame_record {
	uint8_t id[BRI_BUILD_ID]; /* zeroes: the object has none */
	uint8_t id_size;
	uint64_t
		offset; /* of the return address in the object, as its symbols count; in none: the address itself */
	char object[160]; /* its path, cut at the front; "": in none */
};

struct bri_crash {
	_Atomic(uint32_t) signum; /* set when the rest is there; 0: none */
	uint32_t n_frames;
	uint64_t address; /* what was touched, of a SIGSEGV or SIGBUS */
	bool has_address;
	struct bri_frame_record frames[BRI_CRASH_FRAMES];
};

/* In a parent, before it forks, by one thread at a time: what the handler needs and cannot get by itself. */
void bri_crash_prepare(void);

/* The path of the program, where that is not the parent's; set before bri_crash_aim(). */
extern const char *bri_crash_program;

/* The handlers, only where the disposition is the default; they do nothing until, in the child, bri_crash_aim() says where a signal that ends it
 * leaves its traces. A server has them for those that it forks. */
void bri_crash_arm(void);
void bri_crash_aim(struct bri_crash *crash);

/* "SIGSEGV at 0x10", as snprintf() has it. */
int bri_crash_describe(const struct bri_crash *crash, char *buf, size_t size);

/* The frames, a line each: "#0 name+0x12 (object)"; without a name: "#0 object+0x1234". As snprintf() has it. */
int bri_crash_frames(const struct bri_crash *crash, char *buf, size_t size);

#endif
