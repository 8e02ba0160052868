/* proc/order.h - what a parent has a process do that shares no memory with it
 *
 * It goes over a channel, a SOCK_SEQPACKET pair that the parent has made and nobody else has an end of:
 *
 *	hello     version and build id of the parent's libbrood, sizes; with it a memfd
 *	more      as often as there are descriptors left
 *	answer    the child's: it found its function and could set what was asked for, or what went wrong
 *
 * The memfd holds struct order of order.c, the line of ancestors, limits, processors and the packed arguments. Both sides are of one
 * build of the library, and that is looked at first. */
#ifndef PROC_ORDER_H
#define PROC_ORDER_H

#include "os/process.h"
#include "proc/args.h"
#include "proc/family.h"
#include "proc/function.h"
#include "proc/settings.h"

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
	int pidfd, lifeline, record; /* of the parent; …; the memory of the record */
};

struct bri_order {
	int memory; /* a memfd */
	uint64_t size;
	int *fds; /* the list is owned, what is in it is not */
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

/* The other side: takes an order and does it. What goes wrong is answered, or, when nobody hears that, said on stderr. */
void bri_order_obey(int channel) __attribute__((noreturn));

/* In a server, before it forks who takes orders: what is the same for all. */
void bri_order_prepare(void);

/* Whether this process is to run a function and has not begun it: until then it starts nothing. */
extern _Atomic(bool) bri_is_waiting;

#endif
