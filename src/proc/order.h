/* proc/order.h - what a parent has a process do that shares no memory with it
 *
 * It goes over a channel, a SOCK_SEQPACKET pair that nobody else has an end of:
 *
 *	hello     version and build id of the parent's libbrood, sizes; then, if it is not large, the order; with it the first descriptors
 *	more      as often as there are descriptors left
 *	answer    the child's: it found its function and could set what was asked for, or what went wrong
 *
 * The order is struct order of order.c, the line of ancestors, limits, processors and the packed arguments. A large one is in a memfd, the
 * first descriptor. Both sides are of one build of the library, and that is looked at first. */
#ifndef PROC_ORDER_H
#define PROC_ORDER_H

#include "os/process.h"
#include "proc/args.h"
#include "proc/family.h"
#include "proc/function.h"
#include "proc/settings.h"

/* What descriptors an order comes with, besides those of ancestors and arguments. */
enum bri_order_fd {
	BRI_ORDER_PARENT,   /* a pidfd of the parent */
	BRI_ORDER_RECORD,   /* its memory; from who has made the process, if not from here */
	BRI_ORDER_LIFELINE, /* the same */
	BRI_ORDER_FOLDER,   /* the working directory; by spawn it is inherited */
	BRI_ORDER_OUT,      /* stdout; … */
	BRI_ORDER_ERR,      /* stderr; … */
	BRI_ORDER_LOG,      /* where its lines go, if not there */
	BRI_ORDER_FDS
};

/* What the parent knows of it. */
struct bri_order_facts {
	const struct bri_function *function;
	const brood_object *args;
	const struct bri_settings *settings;
	const struct bri_identity *identity; /* of the parent */
	const char *own_name;                /* … */
	uint32_t ordinal;
	const brood_process *process; /* the handle as it will be */
	const sigset_t *mask;
	pid_t owner_group; /* that it joins, with the streams and the directory that come along; 0: it has all that */
	int fds[BRI_ORDER_FDS]; /* -1: none */
};

struct bri_order {
	char *first; /* owned: the first message, */
	size_t first_size;
	int memory; /* and what of it did not fit in there; -1: nothing */
	int *fds;   /* the list is owned, what is in it is not */
	size_t n_fds;
};

/* Makes it, or fails as bri_args_pack() does; step "memory". */
int bri_order_make(const struct bri_order_facts *facts, brood_fail *fail,
		   struct bri_order *ret_order);
void bri_order_fini(struct bri_order *order);

/* Sends it and waits for the answer of this process. Returns 0, or the error of the answer; -EPROTO: it ended without one. */
int bri_order_give(const struct bri_order *order, int channel, const struct bri_process *to,
		   brood_fail *fail);

/* The words for a process that did not answer. Returns its error. */
int bri_order_unheard(int r, brood_fail *fail);

/* What a process has that a server has made, before there is an order for it. */
struct bri_born {
	struct bri_record *record;
	int lifeline; /* that holds it already */
};

/* The other side: takes an order and does it. What goes wrong is answered, or, when nobody hears that, said on stderr. `born`: a server
 * has made this process; NULL: its parent has. */
void bri_order_obey(int channel, const struct bri_born *born) __attribute__((noreturn));

/* In a server, before it forks who takes orders: what is the same for all. */
void bri_order_prepare(void);

/* Whether this process is to run a function and has not begun it: until then it starts nothing. */
extern _Atomic(bool) bri_is_waiting;

#endif
