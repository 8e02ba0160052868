/* proc/server.h - a process that forks others when it is asked: small, with one thread, whatever its owner has grown to
 *
 * Each process has its own, from the first start on that wants one. It answers to nobody else: its channel is one end of a pair that
 * only the two have. It is in a process group of its own, blocks all signals, and is killed by the lifeline when its owner is
 * gone. One process is always forked ahead, the spare, and waits for an order (proc/order.h) that its owner gives it without the
 * server's doing; that makes the next one meanwhile. */
#ifndef PROC_SERVER_H
#define PROC_SERVER_H

#include "os/process.h"
#include "proc/family.h"
#include "proc/image.h"

/* A process that waits for an order. */
struct bri_spare {
	struct bri_process process;
	int channel; /* for the order; */
	int told;    /* that tells how it ended, */
	int record;  /* and the memory of its record */
};

/* Takes the spare. The server is started if there is none. Returns 0; -EPIPE: the server was killed, try again; -ECHILD: so were several
 * spares; or -errno, all with fail's step "server". */
int bri_server_take(struct bri_family *family, const struct bri_image *image, brood_fail *fail,
		    struct bri_spare *ret_spare);

/* Who has given up rights must not start processes that have them: a server of another user than this process is by now goes, and its
 * lifeline with it. Before anything of a start is there. Returns 0, or -EPERM "server": there are children. */
int bri_server_check(struct bri_family *family, brood_fail *fail);

/* Ends it, if there is one. Its children go on. */
void bri_server_stop(struct bri_family *family);

/* In the new program: is the server, and in each process that it forks takes the order from BRI_CHANNEL. */
void bri_server_run(int control) __attribute__((noreturn));

#endif
