/* The generation lives in two places: a counter in ordinary memory, which fork copies, and a word
 * in a page that the kernel wipes in every forked child (MADV_WIPEONFORK, madvise(2)). A word of
 * zero therefore means "first look in this process": count on, and write it down. Works for any
 * fork, raw clone included, because no handler has to run.
 *
 * Where the page cannot be had the pid must do: it tells nearly as much. That is decided once, since
 * objects remember the answer.
 *
 * The first look is taken when the library is loaded, so that who is forked before anything else was asked is known for
 * a fork, too.
 *
 * Two threads may both find zero: the first to store wins, the other takes what it finds. A child
 * of CLONE_VM (our own start step) shares the page and is not wiped; it never comes here. */
#include "os/self.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/together.h"

BRI_TOGETHER static _Atomic(uint64_t) counter;
static _Atomic(uint64_t) no_word; /* its address: the page was not to be had */
_Atomic(_Atomic(uint64_t) *) bri_self_word;
struct bri_self_loader bri_self_loader;

static _Atomic(uint64_t) *map_word(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	_Atomic(uint64_t) *none = NULL, *mine = &no_word;
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page != MAP_FAILED && madvise(page, size, MADV_WIPEONFORK) == 0)
		mine = page;
	if (!atomic_compare_exchange_strong(&bri_self_word, &none, mine))
		mine = none;
	if (page != MAP_FAILED && mine != page)
		munmap(page, size);
	return mine;
}

uint64_t bri_self_generation(void)
{
	_Atomic(uint64_t) *at = atomic_load(&bri_self_word);
	uint64_t generation, fresh;

	if (at == NULL)
		at = map_word();
	if (at == &no_word)
		return (uint64_t)getpid() | UINT64_C(1) << 63;
	generation = atomic_load(at);
	if (generation != 0)
		return generation;
	fresh = atomic_fetch_add(&counter, 1) + 1;
	return atomic_compare_exchange_strong(at, &generation, fresh) ? fresh : generation;
}

__attribute__((constructor)) void bri_self_load(void)
{
	if (bri_self_loader.generation != 0)
		return;
	bri_self_loader.pid = getpid();
	bri_self_loader.generation = bri_self_generation();
}
