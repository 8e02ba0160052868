/* proc/server.h - a process that forks others when it is asked: small, with one thread, whatever its owner has grown to
 *
 * Each process has its own, from the first start on that wants one. It answers to nobody else: its channel is one end of a pair that
 * only the two have. It is in a process group of its own, blocks all signals, and is killed by the lifeline when its owner is
 * gone. What a request carries: the child's end of the channel for its order (proc/order.h), and one of a pair on which the server
 * says which process it is, and in the end how it ended. */
#ifndef PROC_SERVER_H
#define PROC_SERVER_H

#include "os/process.h"
#include "proc/family.h"
#include "proc/image.h"

/* Has a process made that takes an order from the other end of `channel`. The server is started if there is
 * none. Returns 0, with the process and the socket that tells its end; -EPIPE: the server was killed, and has perhaps made one
 * that waits for an order: try again, with another channel; or -errno. */
int bri_server_fork(struct bri_family *family, const struct bri_image *image, int channel,
		    brood_fail *fail, struct bri_process *ret_process, int *ret_told);

/* Ends it, if there is one. Its children go on. */
void bri_server_stop(struct bri_family *family);

/* In the new program: is the server, and in each child that it forks takes the order from `channel` = BRI_CHANNEL. */
void bri_server_run(int control) __attribute__((noreturn));

#endif
