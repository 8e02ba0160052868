/* brood/segment.h - memory that several processes share
 *
 *	brood_segment *segment;
 *	struct board {
 *		brood_lock lock;
 *		long score;
 *	} *board;
 *
 *	if (brood_segment_new(sizeof(*board), NULL, &segment) < 0)
 *		…
 *	board = brood_segment_data(segment);
 *	brood_lock_init(&board->lock);
 *	if (fork() == 0)
 *		_exit(brood_lock_acquire(&board->lock, BROOD_SEC) < 0);
 *	brood_segment_unref(segment);
 *
 * The data is zeroed and aligned to 64 bytes. Forked children see it where it is; others get
 * brood_segment_fd(segment), and attach.
 *
 * Unnamed by default: such a segment is a descriptor (memfd), and the kernel frees it when the last
 * process that has it open or mapped is gone, however it went. Its size is sealed: nobody can
 * shrink it under its users, which would be their SIGBUS.
 *
 * Named when asked for (.name, or .named for a fresh one): a file in /dev/shm, mode 0600, that
 * strangers open by its name. It appears under the name when it is complete, so that nobody meets
 * it half made, and its memory is allocated beforehand: a full /dev/shm is -ENOSPC here and not a
 * SIGBUS later. Opening, closing and dying never remove a name; brood_segment_unlink() does, and
 * brood_segment_sweep() for those whose users are all gone. No process waits in the background to
 * do it. Whether somebody still uses a name is asked of the kernel (a write lease is refused while
 * anybody has the file open or mapped), so that no recycled pid and no killed process can mislead
 * it. Whoever may open a name can also truncate the file: all users of a named segment trust each
 * other.
 *
 * A header before the data says that it is brood's and of which version, and is checked by who
 * opens or attaches: a foreign, older, newer or truncated one is refused, never misread. With .raw
 * there is none: byte 0 of the file is byte 0 of the data, as in CPython's
 * multiprocessing.shared_memory, in both directions.
 * CPython up to 3.12, and later ones without track=False, remove the name of each segment that they
 * attached to when they exit. With .guard that does little harm: there is a second name, and
 * whoever next calls brood_segment_open() or brood_segment_restore() links the first one anew.
 *
 * Growing: with .reserve every user maps that much address space, and brood_segment_grow() makes
 * more of it usable, in all processes at once and without a move.
 *
 * Threads: any thread, any call, but nobody may use the data while another closes.
 * Fork: a forked child has the segment at the same address, and may use the handle; its references
 * are its own. */
#ifndef BROOD_SEGMENT_H
#define BROOD_SEGMENT_H

#include <brood/base.h>

BROOD_BEGIN_DECLS

typedef struct brood_segment brood_segment;

typedef enum brood_pages {
	BROOD_PAGES_NORMAL = 0,
	BROOD_PAGES_HUGE,     /* reserved huge pages, else transparent ones, else normal ones */
	BROOD_PAGES_HUGE_ONLY /* reserved ones, or -ENOMEM */
} brood_pages;

/* On which node of the machine's memory its pages are, for all its users, whoever touches them first. */
typedef enum brood_numa {
	BROOD_NUMA_LOCAL =
		0, /* each page where it is touched first; of a named one, where it is made */
	BROOD_NUMA_SPREAD, /* page by page over all nodes that we may use */
	BROOD_NUMA_NODE    /* on .numa_node, and elsewhere only when that is full */
} brood_numa;

typedef struct brood_segment_opts {
	const char *name; /* new: in /dev/shm, without a slash; NULL: unnamed */
	size_t name_size; /* of a name with a length, which must hold no NUL; 0: up to its NUL */
	bool named;       /* new: under a fresh name, "brood-" and 16 digits */
	bool keep;        /* named: outlives its users; a sweep leaves it */
	bool guard;       /* new, named: a second name, so that one that others remove comes back */
	bool raw;         /* no header */
	bool read_only;   /* open and attach: map for reading; writing is then SIGSEGV */
	size_t reserve;   /* how far it may grow, 0: not at all; open and attach find it */
	brood_pages pages;  /* new: a named or growing one has transparent huge pages at best */
	brood_numa numa;    /* new */
	unsigned numa_node; /* for BROOD_NUMA_NODE */
	/* new: called with the zeroed data before anybody else can see it, so that a name appears
	 * with all in place. A negative result ends the creation with it (step "fill"). */
	int (*fill)(void *context, void *data, size_t size);
	void *context;
	brood_fail *fail;
} brood_segment_opts;

/** Make a segment of `size` bytes, all zero.
 * Returns: 0, and a handle with one reference in *ret_segment.
 * Errors:  -EINVAL: size 0 (step "size"), a name that is empty, "." or "..", or has a '/' (step
 *          "name"), a reserve below the size (step "reserve"), options that exclude each other
 *          (step "options"); -EFBIG: more than 2^46 bytes, or than RLIMIT_FSIZE; -ENAMETOOLONG:
 *          more than 245; -EILSEQ: a NUL inside of a name; -EEXIST: the name is taken, and used,
 *          .keep or not brood's (one that a dead user left is replaced); -ENOSPC: /dev/shm is full;
 *          -ENOMEM; -EACCES, -ENOENT: no /dev/shm for us; with .numa (step "numa") -EINVAL: no such
 *          node, -ENOTSUP: a kernel without NUMA, -EPERM: a filter forbids mbind(2).
 * Owns:    the caller, until brood_segment_unref().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_segment_new(size_t size, const brood_segment_opts *opts,
				brood_segment **ret_segment);

/** Open the segment `name`, which somebody made. Of the options .name_size, .raw, .read_only,
 * .reserve (of a raw one) and .fail count.
 * Returns: 0, and a handle with one reference in *ret_segment.
 * Errors:  names as above; -ENOENT: there is none; -ENODATA: empty, or shorter than it says (step
 *          "header"); -EBADMSG: not brood's (step "header": .raw opens it); -EPROTONOSUPPORT:
 *          another version or machine word; -EACCES; -EINVAL: not a regular file; -ENOMEM.
 * Owns:    the caller, until brood_segment_unref(). The name stays whatever happens.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_segment_open(const char *name, const brood_segment_opts *opts,
				 brood_segment **ret_segment);

/** Attach to the segment behind the descriptor `fd`, inherited or received. The same options.
 * Returns: 0, and a handle with one reference in *ret_segment.
 * Errors:  as brood_segment_open(); -EBADF; -EACCES: `fd` is open for reading only, and .read_only
 *          is not set; -EPERM: sealed against writing.
 * Owns:    the caller, until brood_segment_unref(). `fd` is duplicated and stays the caller's.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_segment_attach(int fd, const brood_segment_opts *opts,
				   brood_segment **ret_segment);

/** Where the data is in this process, aligned to 64 bytes. Other processes have it elsewhere: share
 * offsets.
 * Returns: the address; NULL after brood_segment_close().
 * Errors:  none.
 * Owns:    the segment.
 * Safe:    threads, processes, signal handlers. */
BROOD_API void *brood_segment_data(const brood_segment *segment);

/** How many bytes of data there are now; a growing one's size is asked of the kernel.
 * Returns: the size; 0 after brood_segment_close().
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API size_t brood_segment_size(const brood_segment *segment);

/** How far brood_segment_grow() can go.
 * Returns: the limit in bytes of data; the size when it cannot grow; 0 after brood_segment_close().
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API size_t brood_segment_reserve(const brood_segment *segment);

/** The name under /dev/shm, without a slash, whether or not it was unlinked meanwhile.
 * Returns: the name; NULL for a segment that has none or came by descriptor.
 * Errors:  none.
 * Owns:    the segment.
 * Safe:    threads, processes, signal handlers. */
BROOD_API const char *brood_segment_name(const brood_segment *segment);

/** The descriptor, to be inherited or sent; close-on-exec.
 * Returns: the descriptor, or -EBADF after brood_segment_close().
 * Errors:  -EBADF.
 * Owns:    the segment: never close it.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_segment_fd(const brood_segment *segment);

/** Make it at least `size` bytes, for all who have it. Never shrinks, never moves; two may grow it
 * at once.
 * Returns: 0; also when it is that large already.
 * Errors:  -ERANGE: beyond the reserve; -EFBIG: beyond RLIMIT_FSIZE; -ENOSPC; -ENOMEM; -EPERM:
 *          sealed, or read-only; -EBADF: closed.
 * Owns:    nothing.
 * Safe:    threads, processes. A process killed meanwhile leaves it at the old size, the new, or
 *          between. */
BROOD_API int brood_segment_grow(brood_segment *segment, size_t size);

/** What brood_segment_seal() forbids, for good. */
#define BROOD_SEAL_GROW 1u  /* to grow (to shrink is always forbidden) */
#define BROOD_SEAL_WRITE 2u /* new mappings that write; those that exist still do */
#define BROOD_SEAL_SEAL 4u  /* further seals */

/** Forbid something for all users of an unnamed segment; see memfd_create(2).
 * Returns: 0.
 * Errors:  -EINVAL: an unknown seal, or none; -EOPNOTSUPP: it is named; -EPERM: sealed against
 *          sealing; -EBADF.
 * Owns:    nothing.
 * Safe:    threads, processes. */
BROOD_API int brood_segment_seal(brood_segment *segment, unsigned seals);

/** Which segment of this process an address lies in.
 * Returns: 0, the segment in *ret_segment, and the address's distance from its data in *ret_offset.
 * Errors:  -EFAULT: in none.
 * Owns:    no reference is taken.
 * Safe:    threads, processes, signal handlers; not beside a brood_segment_close() of that segment.
 *          */
BROOD_API int brood_segment_of(const void *address, brood_segment **ret_segment,
			       size_t *ret_offset);

/** Take another reference: what stands in the segment keeps it from being closed.
 * Returns: `segment`.
 * Errors:  none.
 * Owns:    the caller, until brood_segment_unref().
 * Safe:    threads, processes. */
BROOD_API brood_segment *brood_segment_ref(brood_segment *segment);

/** Give a reference back; the last one closes and frees. NULL is fine. The name stays.
 * Returns: NULL.
 * Errors:  none.
 * Owns:    nothing any more.
 * Safe:    threads, processes. */
BROOD_API brood_segment *brood_segment_unref(brood_segment *segment);

/** Unmap it and close its descriptor now; the handle stays, and knows only its name.
 * Returns: 0.
 * Errors:  -EBUSY: others (a heap, a list) hold references; -EBADF: it is closed.
 * Owns:    the handle stays the caller's.
 * Safe:    threads, processes. */
BROOD_API int brood_segment_close(brood_segment *segment);

/** Remove its name, and its guard; who has it mapped keeps it. Also after brood_segment_close().
 * Returns: 0.
 * Errors:  -ENOENT: it has no name, or that was removed, or is another segment's by now; -EACCES.
 * Owns:    nothing.
 * Safe:    threads, processes. */
BROOD_API int brood_segment_unlink(brood_segment *segment);

/** Give a segment with a .guard its name back, after somebody has removed that.
 * Returns: 0; also when it has it.
 * Errors:  -ENOENT: it has no guard (any more), or never a name; -EEXIST: another segment has the
 *          name.
 * Owns:    nothing.
 * Safe:    threads, processes. */
BROOD_API int brood_segment_restore(brood_segment *segment);

/** Remove the name of a segment that one has not open, and its guard.
 * Returns: 0.
 * Errors:  names as for brood_segment_new(); -ENOENT; -EACCES.
 * Owns:    nothing.
 * Safe:    threads, processes. */
BROOD_API int brood_segment_remove(const char *name);

/** Remove the names that begin with `prefix` ("": all), are brood's with a header, not .keep,
 * belong to this user, and that no process has open or mapped, this one included. Raw ones have no
 * header to tell: see brood_segment_reap().
 * Returns: how many were removed.
 * Errors:  -EINVAL: no prefix, or one with a '/'; -EOPNOTSUPP: this kernel gives no leases;
 *          -ENOENT: no /dev/shm.
 * Owns:    nothing.
 * Safe:    threads, processes: also several at once, and beside others that open and make names.
 *          Who opens a name in the instant of its removal is told -ENOENT, and the process that
 *          sweeps may then get a SIGURG, which is ignored by default. */
BROOD_API int brood_segment_sweep(const char *prefix);

/** Remove this one name, whatever its format, if nobody has it open or mapped.
 * Returns: 0.
 * Errors:  names as for brood_segment_new(); -EBUSY: it is used; -ENOENT; -EACCES: another's;
 *          -EOPNOTSUPP.
 * Owns:    nothing.
 * Safe:    as brood_segment_sweep(). */
BROOD_API int brood_segment_reap(const char *name);

BROOD_END_DECLS
#endif
