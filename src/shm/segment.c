/* Segments: a memfd, or a file of /dev/shm that gets its name when it is complete.
 *
 * What others may meet is complete at every instant: a named file is made without a name
 * (O_TMPFILE), allocated, given its header, and only then linked, so that a process killed on the
 * way leaves nothing. Where O_TMPFILE or /proc is missing a name that begins with ".brood-new-"
 * stands in, which a sweep removes. A guarded one has a second name, ".brood-of-" and the first,
 * from which that is linked anew.
 *
 * Sizes only grow. All growing is by fallocate(2), which never shrinks a file, whoever else grows
 * it meanwhile; and a memfd is sealed against shrinking. It is done in pieces, since a signal
 * undoes the piece that it interrupts and a program with a fast interval timer must get on all the
 * same.
 *
 * The mappings of this process are in a table of slots that is only ever pushed to, so that
 * brood_segment_of() needs no lock: a fork in any moment leaves it whole in the child. */
#include <brood/segment.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "os/fd.h"
#include "shm/segment.h"

#define FOLDER "/dev/shm"
#define MOST_BYTES (UINT64_C(1) << 46)
#define MOST_NAME 245 /* of 255; the rest is for GUARD */
#define PIECE ((size_t)16 << 20)
#define TRIES 16
#define STAND_IN ".brood-new-"
#define GUARD ".brood-of-"
#define VERSION 1
#define WORDS (0x01020300u | (unsigned)sizeof(long)) /* byte order and word size in one */
#define KEEP 1u
#define COMMITTED 2u /* memory is allocated before it is there to be used */

static const char magic[8] = "BROODSEG";

/* At the start of the file, for ever as it was made. */
struct header {
	char magic[8];
	uint32_t version;
	uint32_t words;
	uint32_t flags;
	uint32_t unused;
	uint64_t size;    /* of the file, when it was made */
	uint64_t reserve; /* of the file; the same when it cannot grow */
	char spare[24];
};
_Static_assert(sizeof(struct header) == 64, "the data behind it is aligned to 64 bytes");

struct brood_segment {
	_Atomic(unsigned) refs;
	int fd;
	char *base;    /* of the file; NULL when closed */
	size_t mapped; /* address space from there */
	size_t head;   /* of the file that is not data: the header's size, or 0 */
	size_t size;   /* of the file, when it cannot grow */
	bool grows, read_only, committed;
	char *name; /* owned, or NULL */
	dev_t dev;
	ino_t ino;
};

struct bri_segment_hooks bri_segment_hooks;

/* ---- the table of this process's mappings */

struct slot {
	_Atomic(uintptr_t) start; /* 0: free; 1: being filled or emptied */
	_Atomic(uintptr_t) end;
	_Atomic(brood_segment *) segment;
};

struct slots {
	struct slot slot[64];
	_Atomic(struct slots *) next;
};

static struct slots first_slots;

static int enter(brood_segment *segment)
{
	for (struct slots *at = &first_slots;;) {
		struct slots *next = atomic_load(&at->next), *fresh;

		for (size_t i = 0; i < sizeof(at->slot) / sizeof(at->slot[0]); i++) {
			uintptr_t none = 0;

			if (!atomic_compare_exchange_strong(&at->slot[i].start, &none, 1))
				continue;
			atomic_store(&at->slot[i].end, (uintptr_t)segment->base + segment->mapped);
			atomic_store(&at->slot[i].segment, segment);
			atomic_store(&at->slot[i].start, (uintptr_t)segment->base);
			return 0;
		}
		if (next == NULL) {
			fresh = calloc(1, sizeof(*fresh));
			if (fresh == NULL)
				return -ENOMEM;
			if (atomic_compare_exchange_strong(&at->next, &next, fresh))
				next = fresh;
			else
				free(fresh);
		}
		at = next;
	}
}

static struct slot *slot_of(uintptr_t address)
{
	for (struct slots *at = &first_slots; at != NULL; at = atomic_load(&at->next))
		for (size_t i = 0; i < sizeof(at->slot) / sizeof(at->slot[0]); i++) {
			uintptr_t start = atomic_load(&at->slot[i].start);

			if (start > 1 && address >= start &&
			    address < atomic_load(&at->slot[i].end))
				return &at->slot[i];
		}
	return NULL;
}

static void leave(const brood_segment *segment)
{
	struct slot *slot = slot_of((uintptr_t)segment->base);

	if (slot == NULL)
		return;
	atomic_store(&slot->start, 1);
	atomic_store(&slot->segment, NULL);
	atomic_store(&slot->start, 0);
}

int brood_segment_of(const void *address, brood_segment **ret_segment, size_t *ret_offset)
{
	struct slot *slot = slot_of((uintptr_t)address);
	brood_segment *segment = slot != NULL ? atomic_load(&slot->segment) : NULL;

	if (segment == NULL || (const char *)address < segment->base + segment->head)
		return -EFAULT;
	*ret_offset = (size_t)((const char *)address - segment->base) - segment->head;
	*ret_segment = segment;
	return 0;
}

/* ---- names */

static int check_name(const char *name, size_t size, brood_fail *fail)
{
	size_t length = name != NULL ? strnlen(name, size > 0 ? size : MOST_NAME + 1) : 0;

	if (size > 0 && length < size)
		return bri_fail(fail, "name", EILSEQ, "%s", name);
	if (length > MOST_NAME)
		return bri_fail(fail, "name", ENAMETOOLONG, "%.*s", (int)MOST_NAME, name);
	if (length == 0 || memchr(name, '/', length) != NULL || (length == 1 && name[0] == '.') ||
	    (length == 2 && name[0] == '.' && name[1] == '.'))
		return bri_fail(fail, "name", EINVAL, "%.*s", (int)length, length > 0 ? name : "");
	return 0;
}

static bool begins_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

struct guard {
	char name[sizeof(GUARD) + MOST_NAME];
};

static const char *guard_of(const char *name, struct guard *guard)
{
	snprintf(guard->name, sizeof(guard->name), GUARD "%s", name);
	return guard->name;
}

static int open_folder(void)
{
	return bri_open(FOLDER, O_RDONLY | O_DIRECTORY, 0);
}

static void random_name(const char *prefix, char *name, size_t size)
{
	uint64_t number = 0;

	if (bri_segment_hooks.number != NULL)
		number = bri_segment_hooks.number();
	else if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		number = (uint64_t)brood_now() ^ (uint64_t)getpid() << 40;
	snprintf(name, size, "%s%016" PRIx64, prefix, number);
}

static int read_header(int fd, struct header *header)
{
	ssize_t n;

	do
		n = pread(fd, header, sizeof(*header), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n >= (ssize_t)sizeof(header->magic) && memcmp(header->magic, magic, sizeof(magic)) != 0)
		return -EBADMSG;
	if (n < (ssize_t)sizeof(*header))
		return -ENODATA;
	if (header->version != VERSION || header->words != WORDS)
		return -EPROTONOSUPPORT;
	return 0;
}

/* Whether `name` in the folder is still the file that was opened. */
static bool is_still(int folder, const char *name, const struct stat *file)
{
	struct stat now;

	return fstatat(folder, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	       now.st_ino == file->st_ino && now.st_dev == file->st_dev;
}

/* Removes the name if nobody uses the file, and if it is brood's own when `own` says so. Who opens
 * the file while we hold the lease waits until we are done, and sees that it has no name any more. */
static int remove_unused(int folder, const char *name, bool own)
{
	bri_cleanup(bri_closep) int fd = -1;
	struct header header;
	struct stat file;
	int r;

	/* O_NONBLOCK: another sweeper's lease is no reason to wait. */
	fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(fd, &file) < 0)
		return -errno;
	if (!S_ISREG(file.st_mode))
		return -EINVAL;
	if (file.st_uid != geteuid())
		return -EACCES;
	if (own && !begins_with(name, STAND_IN)) {
		r = read_header(fd, &header);
		if (r < 0)
			return r;
		if ((header.flags & KEEP) != 0)
			return -EEXIST;
	}
	/* The default would be SIGIO, which kills. */
	if (fcntl(fd, F_SETSIG, SIGURG) < 0)
		return -errno;
	if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		return errno == EAGAIN ? -EBUSY : errno == EINVAL ? -EOPNOTSUPP : -errno;
	(void)fcntl(fd, F_SETOWN, 0);
	if (fcntl(fd, F_GETLEASE) != F_WRLCK)
		return -EBUSY;
	if (!is_still(folder, name, &file))
		return -ENOENT;
	return unlinkat(folder, name, 0) < 0 ? -errno : 0;
}

/* Gives a guarded file its name back. */
static int restore(int folder, const char *name)
{
	struct guard guard = { .name = "" };

	return linkat(folder, guard_of(name, &guard), folder, name, 0) < 0 ? -errno : 0;
}

/* Gives it the second name. One that is there is a former segment's, whose first name is gone. */
static int put_guard(int folder, const char *name)
{
	struct guard guard = { .name = "" };

	(void)unlinkat(folder, guard_of(name, &guard), 0);
	return linkat(folder, name, folder, guard.name, 0) < 0 ? -errno : 0;
}

static int publish_as(int folder, int fd, const char *stand_in, const char *name)
{
	char self[32];

	if (stand_in != NULL)
		return linkat(folder, stand_in, folder, name, 0) < 0 ? -errno : 0;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, folder, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* Gives the complete file its name, and stores that in segment->name. */
static int publish(brood_segment *segment, int folder, const char *stand_in,
		   const brood_segment_opts *opts)
{
	char fresh[32];
	const char *name = opts->name != NULL ? opts->name : fresh;
	struct guard guard = { .name = "" };
	int r = -EEXIST;

	segment->name = malloc(MOST_NAME + 2);
	if (segment->name == NULL)
		return -ENOMEM;
	for (int i = 0; i < TRIES && r == -EEXIST; i++) {
		if (opts->name == NULL)
			random_name("brood-", fresh, sizeof(fresh));
		snprintf(segment->name, MOST_NAME + 2, "%.*s",
			 opts->name_size > 0 ? (int)opts->name_size : MOST_NAME, name);
		/* A guarded one that is used has the name, even when somebody has removed it. */
		(void)restore(folder, segment->name);
		r = publish_as(folder, segment->fd, stand_in, segment->name);
		/* What a dead user left is in nobody's way; a used one ends the attempt. */
		if (r == -EEXIST && opts->name != NULL) {
			r = remove_unused(folder, segment->name, true);
			if (r < 0 && r != -ENOENT)
				return bri_fail(opts->fail, "name", EEXIST, "%s", segment->name);
			(void)remove_unused(folder, guard_of(segment->name, &guard), true);
			r = -EEXIST;
		}
	}
	if (r == 0 && opts->guard) {
		r = put_guard(folder, segment->name);
		if (r < 0)
			(void)unlinkat(folder, segment->name, 0);
	}
	return r < 0 ? bri_fail(opts->fail, "publish", r, "%s", segment->name) : 0;
}

/* ---- memory */

/* Beyond its limit of file sizes a process would be killed by SIGXFSZ. */
static bool is_within_limit(size_t size)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
	       size <= limit.rlim_cur;
}

/* Makes the file `size` bytes long if it is shorter; `commit`: with its memory. */
static int extend(int fd, size_t from, size_t size, bool commit)
{
	size_t at = commit ? from : size - 1;

	if (!is_within_limit(size))
		return -EFBIG;
	while (at < size) {
		size_t n = size - at < PIECE ? size - at : PIECE;

		if (fallocate(fd, 0, (off_t)at, (off_t)n) == 0)
			at += n;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static int map(brood_segment *segment, size_t length)
{
	int protection = segment->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
	void *base = mmap(NULL, length, protection, MAP_SHARED, segment->fd, 0);

	if (base == MAP_FAILED)
		return -errno;
	segment->base = base;
	segment->mapped = length;
	if (enter(segment) == 0)
		return 0;
	munmap(base, length);
	segment->base = NULL;
	return -ENOMEM;
}

#define MOST_NODES 1024
#define NODES_A_WORD (8 * sizeof(unsigned long))

/* Says on which nodes its pages are to be; the kernel keeps it with the file, for all users. Before any page is. */
static int choose_nodes(const brood_segment *segment, const brood_segment_opts *opts)
{
	unsigned long nodes[MOST_NODES / NODES_A_WORD] = { 0 };
	int mode = MPOL_PREFERRED;
	long r = 0;

	if (opts->numa == BROOD_NUMA_LOCAL)
		return 0;
	if (opts->numa == BROOD_NUMA_SPREAD) {
		mode = MPOL_INTERLEAVE;
		r = syscall(SYS_get_mempolicy, NULL, nodes, MOST_NODES, NULL, MPOL_F_MEMS_ALLOWED);
	} else if (opts->numa_node >= MOST_NODES) {
		return -EINVAL;
	} else {
		nodes[opts->numa_node / NODES_A_WORD] = 1ul << opts->numa_node % NODES_A_WORD;
	}
	/* The kernel counts one bit more than it reads. */
	if (r == 0)
		r = syscall(SYS_mbind, segment->base, segment->mapped, mode, nodes, MOST_NODES + 1,
			    0);
	if (r < 0)
		return errno == ENOSYS ? -ENOTSUP : -errno;
	return 0;
}

static int place(brood_segment *segment, const brood_segment_opts *opts)
{
	int r = choose_nodes(segment, opts);

	return r < 0 ? bri_fail(opts->fail, "numa", r, "%u", opts->numa_node) : 0;
}

static void free_segment(brood_segment *segment)
{
	if (segment->base != NULL) {
		leave(segment);
		munmap(segment->base, segment->mapped);
	}
	bri_closep(&segment->fd);
	free(segment->name);
	free(segment);
}

static void free_segmentp(brood_segment **segment)
{
	if (*segment != NULL)
		free_segment(*segment);
}

static brood_segment *make_handle(const brood_segment_opts *opts)
{
	brood_segment *segment = calloc(1, sizeof(*segment));

	if (segment == NULL)
		return NULL;
	segment->fd = -1;
	segment->refs = 1;
	segment->head = opts->raw ? 0 : sizeof(struct header);
	segment->read_only = opts->read_only;
	return segment;
}

static int remember_file(brood_segment *segment)
{
	struct stat file;

	if (fstat(segment->fd, &file) < 0)
		return -errno;
	segment->dev = file.st_dev;
	segment->ino = file.st_ino;
	return 0;
}

static void write_header(brood_segment *segment, size_t reserve, bool keep)
{
	struct header *header = (struct header *)segment->base;

	if (segment->head == 0 || header == NULL)
		return;
	memcpy(header->magic, magic, sizeof(magic));
	header->version = VERSION;
	header->words = WORDS;
	header->flags = (keep ? KEEP : 0) | (segment->committed ? COMMITTED : 0);
	header->size = segment->size;
	header->reserve = reserve;
}

static int fill(brood_segment *segment, const brood_segment_opts *opts)
{
	int r = 0;

	if (opts->fill != NULL)
		r = opts->fill(opts->context, segment->base + segment->head,
			       segment->size - segment->head);
	return r < 0 ? bri_fail(opts->fail, "fill", r, NULL) : 0;
}

static size_t huge_page_size(void)
{
	char line[128];
	size_t kib = 0;
	FILE *file = fopen("/proc/meminfo", "re");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "Hugepagesize:", 13) == 0)
			kib = strtoul(line + 13, NULL, 10);
	if (file != NULL)
		(void)fclose(file);
	return kib << 10;
}

/* A memfd of reserved huge pages, mapped. It fails where none are reserved: at the mapping at the
 * latest. */
static int make_huge(brood_segment *segment, size_t size)
{
	size_t page = huge_page_size(), rounded;
	int r;

	if (page == 0)
		return -ENOMEM;
	rounded = (size + page - 1) / page * page;
	segment->fd = memfd_create("brood", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	if (segment->fd < 0)
		return -ENOMEM;
	r = ftruncate(segment->fd, (off_t)rounded) < 0 ? -errno : map(segment, rounded);
	if (r < 0) {
		bri_closep(&segment->fd);
		return -ENOMEM;
	}
	segment->size = rounded;
	return 0;
}

static int make_unnamed(brood_segment *segment, size_t reserve, const brood_segment_opts *opts)
{
	int seals = F_SEAL_SHRINK | (segment->grows ? 0 : F_SEAL_GROW);
	int r = -ENOMEM;

	if (opts->pages != BROOD_PAGES_NORMAL && !segment->grows)
		r = make_huge(segment, segment->size);
	if (r < 0 && opts->pages == BROOD_PAGES_HUGE_ONLY)
		return bri_fail(opts->fail, "pages", ENOMEM, NULL);
	if (r < 0) {
		segment->fd = memfd_create("brood", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (segment->fd < 0)
			return bri_fail(opts->fail, "memfd", errno, NULL);
		if (ftruncate(segment->fd, (off_t)segment->size) < 0)
			return bri_fail(opts->fail, "size", errno, NULL);
		r = map(segment, reserve);
	}
	if (r == 0 && fcntl(segment->fd, F_ADD_SEALS, seals) < 0)
		r = -errno;
	if (r < 0)
		return bri_fail(opts->fail, "map", r, NULL);
	r = place(segment, opts);
	if (r < 0)
		return r;
	write_header(segment, segment->grows ? reserve : segment->size, false);
	return fill(segment, opts);
}

/* What has no name is given one through there. */
static bool has_proc(void)
{
	bri_cleanup(bri_closep) int fd = bri_open("/proc/self/fd", O_PATH | O_DIRECTORY, 0);

	return fd >= 0;
}

/* A file without a name, or (*stand_in not empty) with one that nobody looks for. */
static int make_file(int folder, char *stand_in, size_t size)
{
	int fd = bri_segment_hooks.no_tmpfile ? -EOPNOTSUPP :
						bri_open(FOLDER, O_TMPFILE | O_RDWR, 0600);

	*stand_in = '\0';
	if (fd != -EOPNOTSUPP && fd != -EISDIR && fd != -EINVAL && has_proc())
		return fd;
	bri_closep(&fd);
	random_name(STAND_IN, stand_in, size);
	fd = openat(folder, stand_in, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int make_named(brood_segment *segment, size_t reserve, const brood_segment_opts *opts)
{
	bri_cleanup(bri_closep) int folder = open_folder();
	char stand_in[32] = "";
	int r;

	if (folder < 0)
		return bri_fail(opts->fail, "create", folder, FOLDER);
	segment->fd = make_file(folder, stand_in, sizeof(stand_in));
	if (segment->fd < 0)
		return bri_fail(opts->fail, "create", segment->fd, FOLDER);
	r = fchmod(segment->fd, 0600) < 0 ? -errno : 0; /* whatever the umask is */
	/* Its memory is allocated when it is said where; nobody touches what is not there yet. */
	if (r == 0)
		r = map(segment, reserve);
	if (r < 0)
		bri_fail(opts->fail, "map", r, NULL);
	if (r == 0)
		r = place(segment, opts);
	if (r == 0) {
		r = extend(segment->fd, 0, segment->size, true);
		if (r < 0)
			bri_fail(opts->fail, "space", r, FOLDER);
	}
	if (r == 0) {
		write_header(segment, reserve, opts->keep);
		r = fill(segment, opts);
	}
	if (r == 0)
		r = publish(segment, folder, stand_in[0] != '\0' ? stand_in : NULL, opts);
	if (stand_in[0] != '\0')
		(void)unlinkat(folder, stand_in, 0);
	return r;
}

static int check_new(size_t size, const brood_segment_opts *opts)
{
	bool named = opts->name != NULL || opts->named;

	if (size == 0)
		return bri_fail(opts->fail, "size", EINVAL, "0");
	if (size > MOST_BYTES || !is_within_limit(size + sizeof(struct header)))
		return bri_fail(opts->fail, "size", EFBIG, "%zu", size);
	if (opts->reserve != 0 && opts->reserve < size)
		return bri_fail(opts->fail, "reserve", EINVAL, "%zu", opts->reserve);
	if (opts->reserve > MOST_BYTES)
		return bri_fail(opts->fail, "reserve", EFBIG, "%zu", opts->reserve);
	if (opts->read_only || (opts->name != NULL && opts->named) ||
	    ((opts->keep || opts->guard) && !named) || (opts->keep && opts->raw) ||
	    opts->pages < BROOD_PAGES_NORMAL || opts->pages > BROOD_PAGES_HUGE_ONLY ||
	    opts->numa < BROOD_NUMA_LOCAL || opts->numa > BROOD_NUMA_NODE ||
	    (opts->pages == BROOD_PAGES_HUGE_ONLY && (named || opts->reserve != 0)))
		return bri_fail(opts->fail, "options", EINVAL, NULL);
	return opts->name != NULL ? check_name(opts->name, opts->name_size, opts->fail) : 0;
}

int brood_segment_new(size_t size, const brood_segment_opts *opts, brood_segment **ret_segment)
{
	static const brood_segment_opts none;
	bri_cleanup(free_segmentp) brood_segment *segment = NULL;
	size_t reserve;
	int r;

	if (opts == NULL)
		opts = &none;
	r = check_new(size, opts);
	if (r < 0)
		return r;
	segment = make_handle(opts);
	if (segment == NULL)
		return bri_fail(opts->fail, "memory", ENOMEM, NULL);
	segment->size = size + segment->head;
	segment->grows = opts->reserve > size;
	segment->committed = opts->name != NULL || opts->named;
	reserve = segment->grows ? opts->reserve + segment->head : segment->size;
	if (segment->committed)
		r = make_named(segment, reserve, opts);
	else
		r = make_unnamed(segment, reserve, opts);
	if (r < 0)
		return r;
	r = remember_file(segment);
	if (r < 0)
		return bri_fail(opts->fail, "memory", r, NULL);
	if (opts->pages != BROOD_PAGES_NORMAL)
		(void)madvise(segment->base, segment->mapped, MADV_HUGEPAGE);
	*ret_segment = bri_take(segment);
	return 0;
}

/* ---- open and attach */

/* Takes the file of segment->fd as it is, having looked at its head without mapping it. */
static int adopt(brood_segment *segment, const brood_segment_opts *opts)
{
	size_t reserve = opts->raw ? opts->reserve : 0;
	struct header header = { .size = 0 };
	struct stat file;
	int r;

	segment->committed = opts->raw;
	if (fstat(segment->fd, &file) < 0)
		return bri_fail(opts->fail, "open", errno, NULL);
	if (!S_ISREG(file.st_mode))
		return bri_fail(opts->fail, "open", EINVAL, NULL);
	if (file.st_size == 0)
		return bri_fail(opts->fail, "header", ENODATA, NULL);
	if (!opts->raw) {
		r = read_header(segment->fd, &header);
		if (r == 0 &&
		    ((uint64_t)file.st_size < header.size || header.size <= sizeof(header)))
			r = -ENODATA;
		if (r == 0 &&
		    (header.reserve < header.size || header.reserve > MOST_BYTES + sizeof(header)))
			r = -EBADMSG;
		if (r < 0)
			return bri_fail(opts->fail, "header", r, NULL);
		reserve = header.reserve;
		segment->committed = (header.flags & COMMITTED) != 0;
	}
	segment->size = (size_t)file.st_size;
	segment->grows = reserve > segment->size || (!opts->raw && header.reserve > header.size);
	r = map(segment, segment->grows && reserve > segment->size ? reserve : segment->size);
	if (r < 0)
		return bri_fail(opts->fail, "map", r, NULL);
	segment->dev = file.st_dev;
	segment->ino = file.st_ino;
	return 0;
}

/* It may wait for a sweeper's lease, which then has taken the name away. */
static int open_name(int folder, const char *name, bool read_only)
{
	int fd;

	do
		fd = openat(folder, name, (read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

int brood_segment_open(const char *name, const brood_segment_opts *opts,
		       brood_segment **ret_segment)
{
	static const brood_segment_opts none;
	bri_cleanup(free_segmentp) brood_segment *segment = NULL;
	bri_cleanup(bri_closep) int folder = -1;
	struct stat file;
	int r;

	if (opts == NULL)
		opts = &none;
	r = check_name(name, opts->name_size, opts->fail);
	if (r < 0)
		return r;
	segment = make_handle(opts);
	if (segment != NULL)
		segment->name = strndup(name, opts->name_size > 0 ? opts->name_size : MOST_NAME);
	if (segment == NULL || segment->name == NULL)
		return bri_fail(opts->fail, "memory", ENOMEM, NULL);
	folder = open_folder();
	if (folder < 0)
		return bri_fail(opts->fail, "open", folder, FOLDER);
	segment->fd = open_name(folder, segment->name, opts->read_only);
	if (segment->fd == -ENOENT && restore(folder, segment->name) == 0)
		segment->fd = open_name(folder, segment->name, opts->read_only);
	if (segment->fd < 0)
		return bri_fail(opts->fail, "open", segment->fd == -ELOOP ? -EINVAL : segment->fd,
				"%s", segment->name);
	if (fstat(segment->fd, &file) == 0 && file.st_nlink == 0)
		return bri_fail(opts->fail, "open", ENOENT, "%s", segment->name);
	r = adopt(segment, opts);
	if (r < 0)
		return r;
	*ret_segment = bri_take(segment);
	return 0;
}

int brood_segment_attach(int fd, const brood_segment_opts *opts, brood_segment **ret_segment)
{
	static const brood_segment_opts none;
	bri_cleanup(free_segmentp) brood_segment *segment = NULL;
	int flags, r;

	if (opts == NULL)
		opts = &none;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return bri_fail(opts->fail, "open", errno, "%d", fd);
	if ((flags & O_PATH) != 0)
		return bri_fail(opts->fail, "open", EBADF, "%d", fd);
	if ((flags & O_ACCMODE) == O_WRONLY ||
	    ((flags & O_ACCMODE) == O_RDONLY && !opts->read_only))
		return bri_fail(opts->fail, "open", EACCES, "%d", fd);
	segment = make_handle(opts);
	if (segment == NULL)
		return bri_fail(opts->fail, "memory", ENOMEM, NULL);
	segment->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (segment->fd < 0)
		return bri_fail(opts->fail, "open", errno, "%d", fd);
	r = adopt(segment, opts);
	if (r < 0)
		return r;
	*ret_segment = bri_take(segment);
	return 0;
}

/* ---- the handle */

void *brood_segment_data(const brood_segment *segment)
{
	return segment->base != NULL ? segment->base + segment->head : NULL;
}

size_t brood_segment_size(const brood_segment *segment)
{
	struct stat file;
	size_t size = segment->size;

	if (segment->base == NULL)
		return 0;
	if (segment->grows && fstat(segment->fd, &file) == 0)
		size = (size_t)file.st_size < segment->mapped ? (size_t)file.st_size :
								segment->mapped;
	return size - segment->head;
}

size_t brood_segment_reserve(const brood_segment *segment)
{
	if (segment->base == NULL)
		return 0;
	return (segment->grows ? segment->mapped : segment->size) - segment->head;
}

bool bri_segment_is_read_only(const brood_segment *segment)
{
	return segment->read_only;
}

bool bri_segment_is_raw(const brood_segment *segment)
{
	return segment->head == 0;
}

void bri_segment_zero(brood_segment *segment, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), from = segment->head,
	       to = segment->head + size;
	size_t first = (from + page - 1) / page * page, last = to / page * page;

	/* What is committed must stay so, and is wiped by hand, as is what cannot be punched. */
	if (segment->committed || first >= last ||
	    fallocate(segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)first,
		      (off_t)(last - first)) < 0) {
		memset(segment->base + from, 0, size);
		return;
	}
	memset(segment->base + from, 0, first - from);
	memset(segment->base + last, 0, to - last);
}

const char *brood_segment_name(const brood_segment *segment)
{
	return segment->name;
}

int brood_segment_fd(const brood_segment *segment)
{
	return segment->fd >= 0 ? segment->fd : -EBADF;
}

int brood_segment_grow(brood_segment *segment, size_t size)
{
	size_t now = brood_segment_size(segment);

	if (segment->base == NULL)
		return -EBADF;
	if (size <= now)
		return 0;
	if (size > brood_segment_reserve(segment))
		return -ERANGE;
	if (segment->read_only)
		return -EPERM;
	return extend(segment->fd, now + segment->head, size + segment->head, segment->committed);
}

int brood_segment_seal(brood_segment *segment, unsigned seals)
{
	int wanted = F_SEAL_SHRINK;

	if (seals == 0 || (seals & ~(BROOD_SEAL_GROW | BROOD_SEAL_WRITE | BROOD_SEAL_SEAL)) != 0)
		return -EINVAL;
	if (segment->base == NULL)
		return -EBADF;
	if (segment->name != NULL)
		return -EOPNOTSUPP;
	wanted |= (seals & BROOD_SEAL_GROW) != 0 ? F_SEAL_GROW : 0;
	wanted |= (seals & BROOD_SEAL_WRITE) != 0 ? F_SEAL_FUTURE_WRITE : 0;
	wanted |= (seals & BROOD_SEAL_SEAL) != 0 ? F_SEAL_SEAL : 0;
	if (fcntl(segment->fd, F_ADD_SEALS, wanted) == 0)
		return 0;
	/* A descriptor that came from elsewhere: not a memfd, or one of a named segment. */
	return errno == EINVAL ? -EOPNOTSUPP : -errno;
}

brood_segment *brood_segment_ref(brood_segment *segment)
{
	atomic_fetch_add(&segment->refs, 1);
	return segment;
}

brood_segment *brood_segment_unref(brood_segment *segment)
{
	if (segment != NULL && atomic_fetch_sub(&segment->refs, 1) == 1)
		free_segment(segment);
	return NULL;
}

int brood_segment_close(brood_segment *segment)
{
	if (segment->base == NULL)
		return -EBADF;
	if (atomic_load(&segment->refs) > 1)
		return -EBUSY;
	leave(segment);
	munmap(segment->base, segment->mapped);
	segment->base = NULL;
	bri_closep(&segment->fd);
	return 0;
}

/* Removes the guard of `name` if it is one of this file, or of any (NULL). */
static int remove_guard(int folder, const char *name, const struct stat *file)
{
	struct guard guard = { .name = "" };

	if (file != NULL && !is_still(folder, guard_of(name, &guard), file))
		return -ENOENT;
	return unlinkat(folder, guard_of(name, &guard), 0) < 0 ? -errno : 0;
}

int brood_segment_unlink(brood_segment *segment)
{
	bri_cleanup(bri_closep) int folder = -1;
	struct stat file = { .st_dev = segment->dev, .st_ino = segment->ino };
	int r = -ENOENT;

	if (segment->name == NULL)
		return -ENOENT;
	folder = open_folder();
	if (folder < 0)
		return folder;
	/* The guard first: nobody shall link the name anew behind us. */
	if (remove_guard(folder, segment->name, &file) == 0)
		r = 0;
	if (!is_still(folder, segment->name, &file))
		return r;
	return unlinkat(folder, segment->name, 0) < 0 ? -errno : 0;
}

int brood_segment_restore(brood_segment *segment)
{
	bri_cleanup(bri_closep) int folder = -1;
	struct stat file = { .st_dev = segment->dev, .st_ino = segment->ino };
	struct guard guard = { .name = "" };
	int r;

	if (segment->name == NULL)
		return -ENOENT;
	folder = open_folder();
	if (folder < 0)
		return folder;
	if (is_still(folder, segment->name, &file))
		return 0;
	if (!is_still(folder, guard_of(segment->name, &guard), &file))
		return -ENOENT;
	r = restore(folder, segment->name);
	/* Another may have done it this moment. */
	return r == -EEXIST && is_still(folder, segment->name, &file) ? 0 : r;
}

int brood_segment_remove(const char *name)
{
	bri_cleanup(bri_closep) int folder = -1;
	int r = check_name(name, 0, NULL), guard;

	if (r < 0)
		return r;
	folder = open_folder();
	if (folder < 0)
		return folder;
	guard = remove_guard(folder, name, NULL);
	r = unlinkat(folder, name, 0) < 0 ? -errno : 0;
	return r == -ENOENT ? guard : r;
}

int brood_segment_reap(const char *name)
{
	bri_cleanup(bri_closep) int folder = -1;
	struct guard guard = { .name = "" };
	int r = check_name(name, 0, NULL), again;

	if (r < 0)
		return r;
	folder = open_folder();
	if (folder < 0)
		return folder;
	r = remove_unused(folder, name, false);
	if (r < 0 && r != -ENOENT)
		return r;
	again = remove_unused(folder, guard_of(name, &guard), false);
	return r == -ENOENT ? again : r;
}

int brood_segment_sweep(const char *prefix)
{
	DIR *listing;
	int n = 0, r = 0;

	if (prefix == NULL || strchr(prefix, '/') != NULL)
		return -EINVAL;
	listing = opendir(FOLDER);
	if (listing == NULL)
		return -errno;
	for (struct dirent *item; r != -EOPNOTSUPP && (item = readdir(listing)) != NULL;) {
		bool guard = begins_with(item->d_name, GUARD);
		const char *name = item->d_name + (guard ? strlen(GUARD) : 0);

		if (item->d_type != DT_REG && item->d_type != DT_UNKNOWN)
			continue;
		if (!begins_with(name, prefix) && !begins_with(name, STAND_IN))
			continue;
		r = remove_unused(dirfd(listing), item->d_name, true);
		n += r == 0 && !guard;
	}
	closedir(listing);
	return r == -EOPNOTSUPP ? r : n;
}
