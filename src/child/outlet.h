/* child/outlet.h - a descriptor of the host's that gets a program's output, and may be slow
 *
 * What it does not take at once waits in memory, and the stream that feeds it is not read on
 * meanwhile: a slow reader slows the program, as a pipe between them would. Never blocks: not on a
 * pipe whose other users fill it, and without setting O_NONBLOCK for those who share it. */
#ifndef CHILD_OUTLET_H
#define CHILD_OUTLET_H

#include "os/growing.h"

struct bri_outlet {
	int fd;       /* our own; -1: none */
	bool dead;    /* given up; the descriptor is kept, as somebody may be polling it */
	bool socket;  /* takes MSG_DONTWAIT */
	size_t piece; /* so much does not block after POLLOUT, more may; 0: nothing blocks */
	struct bri_growing waiting;
	size_t at; /* so much of `waiting` is delivered */
	int error; /* the first, positive */
};

/* A descriptor of our own for what `fd` is. Returns 0 or -errno. */
int bri_outlet_init(struct bri_outlet *outlet, int fd);

/* Delivers, or keeps for later. An error is noted, and ends the delivering for good. */
void bri_outlet_put(struct bri_outlet *outlet, const char *bytes, size_t n);

/* Delivers what waits, as far as it goes. */
void bri_outlet_flush(struct bri_outlet *outlet);

/* Whether something waits: poll .fd for POLLOUT, then flush. */
static inline bool bri_outlet_is_behind(const struct bri_outlet *outlet)
{
	return outlet->at < outlet->waiting.size;
}

/* Gives up what waits, noting `error`. */
void bri_outlet_give_up(struct bri_outlet *outlet, int error);

void bri_outlet_fini(struct bri_outlet *outlet);

#endif
