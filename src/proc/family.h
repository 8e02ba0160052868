/* proc/family.h - what a process knows of itself and its children, and the lifeline that ties them
 *
 * The lifeline is a pipe, of which the process alone has the end for writing and nobody ever writes. Each child has the
 * other end as an open file of its own, with F_SETSIG to SIGKILL: when the end for writing is gone, the kernel
 * kills the child, whichever thread had started it. It is there as long as there are children that were not reaped. */
#ifndef PROC_FAMILY_H
#define PROC_FAMILY_H

#include <pthread.h>
#include <stdatomic.h>

#include <brood/process.h>

#include "proc/crash.h"
#include "proc/identity.h"

/* What a child leaves with its parent, in memory that both have. */
struct bri_record {
	_Atomic(uint32_t) failed; /* set when the rest is there */
	_Atomic(uint32_t)
		left; /* it has ended in order: its status, and 256; only of one that is `far` */
	_Atomic(int64_t) beat; /* when it last said to its supervisor that it lives */
	int32_t error;
	char step[16], text[240];
	struct bri_crash crash;
};

/* To map one takes longer than much else of a start. */
#define BRI_SPARE 8

enum bri_role { BRI_CHILD, BRI_SELF, BRI_ANCESTOR };

struct brood_process {
	_Atomic(unsigned) refs;
	enum bri_role role;
	uint64_t generation; /* of the process whose handle it is */
	pid_t pid, parent;
	bool daemon, outlive;
	_Atomic(bool) closed, ended; /* ended: it is no longer among the children */
	char path[BROOD_PROCESS_DEPTH_MOST * 11 + 1];
	unsigned depth;
	pthread_mutex_t lock; /* of name, and of what close lets go */
	char name[BROOD_PROCESS_NAME_MOST + 1];
	brood_child *child;        /* BRI_CHILD */
	struct bri_record *record; /* … */
	bool far;                  /* … that shares no memory but the record */
	brood_start_method method; /* … */
	int pidfd; /* BRI_ANCESTOR; -ESRCH: gone before we could look; else it cannot be told */
	brood_process *before, *after; /* children: oldest first */
};

struct bri_hook {
	struct bri_hook *next;
	int priority;
	void (*call)(void *data);
	void *data;
};

struct bri_family {
	uint64_t generation;
	struct bri_family *parents; /* of the process that this one was forked from */
	pthread_mutex_t lock;
	brood_process *self;
	_Atomic(brood_process *) ancestors[BROOD_PROCESS_DEPTH_MOST + 1];
	brood_process *first, *last; /* children, with a reference each */
	unsigned n_children;         /* … that were not reaped */
	uint32_t ordinals;           /* how many were ever started */
	int hold, watch, pidfd;      /* the lifeline's ends, and this process; -1: no children */
	struct bri_hook *finalizers; /* in the order in which they are called */
	struct bri_hook *after_fork; /* in that of registration; the parents' first */
	struct bri_record *record;   /* of a process of brood's: where it fails */
	bool starting;               /* … whose function has not begun */
	struct bri_record *spare[BRI_SPARE]; /* for the next children */
	unsigned n_spare;
	bool far;                    /* it shares no memory with its parent but the record */
	pthread_mutex_t server_lock; /* of the server; taken before `lock` */
	brood_child *server;         /* NULL: none */
	int control;                 /* … */
	unsigned spares;             /* … that it was asked for and we have not heard of */
	bool took;                   /* … the last one; it does not know that yet */
	void (*preload)(void);       /* … */
	struct bri_user {
		uid_t real, effective;
		gid_t real_group, effective_group;
	} user; /* … whose process it is */
};

/* That of this process; NULL: no memory. */
struct bri_family *bri_family(void);

/* In a child that brood has just made: a new one, with a handle of its own, made beforehand by bri_family_new(). `as` is
 * the parent's handle of it, or one like that. */
struct bri_family *bri_family_new(void);
void bri_family_enter(struct bri_family *family, const brood_process *as);
void bri_family_free(struct bri_family *family);

/* Under the lock: gets ready for one child more. Returns 0 or -errno. */
int bri_family_tie(struct bri_family *family);
/* Undoes that; also when a child was reaped. */
void bri_family_untie(struct bri_family *family);

/* The descriptor, or another in its place, that is none of the three standard ones, which a host may have closed and a child
 * is given anew; or -errno, and it is closed. */
int bri_above_stdio(int fd);

/* Under the lock: a record for a child; NULL: no memory. */
struct bri_record *bri_record_take(struct bri_family *family);

/* A record for a child that shares no memory, with the descriptor of its memory; bri_record_give() is not for it. Returns 0
 * or -errno. */
int bri_record_new(struct bri_record **ret_record, int *ret_fd);

/* That of a descriptor; NULL: no memory. */
struct bri_record *bri_record_map(int fd);

/* Gives it back, when its child has ended. */
void bri_record_give(struct bri_family *family, struct bri_record *record);

/* A descriptor of the lifeline for a child, which arms it, from another one of that. Returns it or -errno. */
int bri_lifeline_open(int from);

/* In the child: dies with the parent from now on; at once if that is gone. */
void bri_lifeline_arm(int fd);

/* … and its process group with it, if that is its own; `fd` < 0: it was not armed. */
void bri_lifeline_widen(int fd, brood_group group);

/* The handle of this process, or of its ancestor; NULL: no memory. */
brood_process *bri_process_new(enum bri_role role);

/* The end of this process; exit.c */
void bri_end(int status) __attribute__((noreturn));
void bri_fail_process(const brood_fail *fail);

/* Sets up what a process of brood's wants at exit(3). */
void bri_end_at_exit(void);

#endif
