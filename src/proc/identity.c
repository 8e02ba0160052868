/* Invariant: what `current` points to never changes, and is whole. Who finds none of its generation makes one and
 * stores the pointer by one compare-and-swap; who loses takes the winner's. */
#include "proc/identity.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/together.h"
#include "os/process.h"
#include "os/self.h"

#define LARGEST \
	(sizeof(struct bri_identity) + (BROOD_PROCESS_DEPTH_MOST + 1) * sizeof(struct bri_ancestor))

BRI_TOGETHER static _Atomic(struct bri_identity *) current;

/* Where memory cannot be had. */
static union {
	struct bri_identity identity;
	char bytes[LARGEST];
} reserve;

static size_t size_of(unsigned depth)
{
	return sizeof(struct bri_identity) + (depth + 1) * sizeof(struct bri_ancestor);
}

BRI_TOGETHER static struct bri_identity *ahead; /* memory of a page for the next one; NULL: none */

static struct bri_identity *map(size_t size)
{
	struct bri_identity *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory != MAP_FAILED ? memory : NULL;
}

void bri_identity_reserve(void)
{
	ahead = map(BRI_PAGE);
	if (ahead != NULL)
		ahead->generation = 0; /* it is there now */
}

static struct bri_identity *make(uint64_t generation, unsigned depth)
{
	struct bri_identity *identity = NULL;

	if (ahead != NULL && size_of(depth) <= BRI_PAGE) {
		identity = ahead;
		ahead = NULL;
	}
	if (identity == NULL)
		identity = map(size_of(depth));
	if (identity == NULL)
		identity = &reserve.identity;
	identity->generation = generation;
	identity->depth = depth;
	return identity;
}

static void finish(struct bri_identity *identity)
{
	if (identity != &reserve.identity)
		mprotect(identity, size_of(identity->depth), PROT_READ);
}

static void drop(struct bri_identity *identity)
{
	if (identity != &reserve.identity)
		munmap(identity, size_of(identity->depth));
}

/* Not by snprintf(): a child would have to fetch all that is behind that. */
static void set_name(struct bri_ancestor *ancestor, const char *name)
{
	size_t length = strnlen(name, sizeof(ancestor->name) - 1);

	memcpy(ancestor->name, name, length);
	ancestor->name[length] = '\0';
}

static void set(struct bri_ancestor *ancestor, pid_t pid, uint32_t ordinal, const char *name)
{
	ancestor->pid = pid;
	ancestor->pidfd = -1;
	ancestor->ticks = 0;
	ancestor->ordinal = ordinal;
	set_name(ancestor, name);
}

static void name_by_path(struct bri_identity *identity)
{
	struct bri_ancestor *self = &identity->line[identity->depth];
	size_t prefix = sizeof("Process-") - 1;

	memcpy(self->name, "Process-", prefix);
	bri_identity_path(identity, identity->depth, self->name + prefix,
			  sizeof(self->name) - prefix);
}

/* Of who loaded the library. */
static struct bri_identity *make_main(uint64_t generation)
{
	struct bri_identity *identity = make(generation, 0);

	set(&identity->line[0], bri_self_loader.pid, 0, "MainProcess");
	return identity;
}

/* Nothing was inherited to tell the parent from a stranger by that gets its number later. It is the parent now, if
 * the kernel says so after the look. */
static void know_parent(struct bri_ancestor *parent)
{
	uint64_t ticks;

	if (parent->pidfd < 0 && parent->ticks == 0 &&
	    bri_process_start_ticks(parent->pid, &ticks) == 0 && getppid() == parent->pid)
		parent->ticks = ticks;
}

/* Of a fork by others. In a line that is too long it takes the last place. */
static struct bri_identity *make_foreign(uint64_t generation, const struct bri_identity *parent)
{
	unsigned depth = 1, known = 1;
	struct bri_identity *identity;

	if (parent != NULL) {
		depth = parent->depth < BROOD_PROCESS_DEPTH_MOST ? parent->depth + 1 :
								   BROOD_PROCESS_DEPTH_MOST;
		known = depth;
	}
	identity = make(generation, depth);
	if (parent != NULL && parent != identity)
		memmove(identity->line, parent->line, known * sizeof(parent->line[0]));
	else if (parent == NULL)
		set(&identity->line[0], bri_self_loader.pid, 0, "MainProcess");
	set(&identity->line[depth], getpid(), 0, "");
	name_by_path(identity);
	know_parent(&identity->line[depth - 1]);
	return identity;
}

const struct bri_identity *bri_identity(void)
{
	struct bri_identity *found = atomic_load(&current), *mine;
	uint64_t generation = bri_self_generation();

	if (found != NULL && found->generation == generation)
		return found;
	bri_self_load();
	mine = generation == bri_self_loader.generation ? make_main(generation) :
							  make_foreign(generation, found);
	finish(mine);
	/* What is lost is either a rival's of this process, or the parent's, which others may be reading. */
	if (atomic_compare_exchange_strong(&current, &found, mine))
		return mine;
	drop(mine);
	return found;
}

void bri_identity_enter(const struct bri_identity *parent, const char *parent_name, int pidfd,
			uint32_t ordinal, const char *name)
{
	unsigned depth = parent->depth; /* it may be the very memory that is made anew */
	struct bri_identity *identity = make(bri_self_generation(), depth + 1);

	memmove(identity->line, parent->line, (depth + 1) * sizeof(parent->line[0]));
	identity->line[depth].pidfd = pidfd;
	set_name(&identity->line[depth], parent_name);
	set(&identity->line[depth + 1], getpid(), ordinal, name != NULL ? name : "");
	if (name == NULL)
		name_by_path(identity);
	finish(identity);
	atomic_store(&current, identity);
}

int bri_identity_path(const struct bri_identity *identity, unsigned depth, char *buf, size_t size)
{
	char path[BROOD_PROCESS_DEPTH_MOST * 11 + 1] = "";
	int at = 0;

	for (unsigned i = 1; i <= depth; i++)
		at += snprintf(path + at, sizeof(path) - (size_t)at, "%s%u", i > 1 ? ":" : "",
			       identity->line[i].ordinal);
	return snprintf(buf, size, "%s", path);
}
