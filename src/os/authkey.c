/* The page is complete before it can be found, by one pointer: no lock that a fork could find locked. */
#include "os/authkey.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "os/self.h"

#define RANDOM 32 /* bytes of one that nobody has set, as in Python */

struct page {
	struct bri_authkey key;
	uint64_t generation; /* of who made it; forks share it until they write */
};

static _Atomic(struct page *) own;

static void forget(struct page *page)
{
	if (page == NULL)
		return;
	explicit_bzero(page, sizeof(*page));
	munmap(page, sizeof(*page));
}

/* NULL: no memory. */
static struct page *new_page(void)
{
	struct page *page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	(void)madvise(page, sizeof(*page), MADV_DONTDUMP);
	page->generation = bri_self_generation();
	return page;
}

int bri_authkey_make(void)
{
	struct page *none = NULL, *mine;
	ssize_t n;
	int r;

	if (atomic_load(&own) != NULL)
		return 0;
	mine = new_page();
	if (mine == NULL)
		return -ENOMEM;
	do
		n = getrandom(mine->key.bytes, RANDOM, 0);
	while (n < 0 && errno == EINTR);
	if (n != RANDOM) {
		r = n < 0 ? -errno : -EIO;
		forget(mine);
		return r;
	}
	mine->key.size = RANDOM;
	if (!atomic_compare_exchange_strong(&own, &none, mine))
		forget(mine); /* another thread was first */
	return 0;
}

void bri_authkey_give(struct bri_authkey *ret_key)
{
	*ret_key = atomic_load(&own)->key;
}

static bool is_own(const struct bri_authkey *key)
{
	const struct page *page = atomic_load(&own);

	return page != NULL && page->key.size == key->size &&
	       memcmp(page->key.bytes, key->bytes, key->size) == 0;
}

int bri_authkey_take(struct bri_authkey *key)
{
	int r = 0;

	if (key->size == 0 || key->size > sizeof(key->bytes))
		r = -EBADMSG;
	else if (!is_own(key))
		r = brood_process_set_authkey(key->bytes, key->size);
	explicit_bzero(key, sizeof(*key));
	return r;
}

/* Also by exit(3). What is the parent's, too, only the parent can wipe. */
__attribute__((destructor)) void bri_authkey_wipe(void)
{
	struct page *page = atomic_exchange(&own, NULL);

	if (page != NULL && page->generation == bri_self_generation())
		explicit_bzero(page, sizeof(*page));
}

int brood_process_authkey(const void **ret_key, size_t *ret_size)
{
	const struct page *page;
	int r = bri_authkey_make();

	if (r < 0)
		return r;
	page = atomic_load(&own);
	*ret_key = page->key.bytes;
	*ret_size = page->key.size;
	return 0;
}

int brood_process_set_authkey(const void *key, size_t size)
{
	struct page *mine;

	if (key == NULL || size == 0)
		return -ENOKEY;
	if (size > BROOD_PROCESS_AUTHKEY_MOST)
		return -E2BIG;
	mine = new_page();
	if (mine == NULL)
		return -ENOMEM;
	memcpy(mine->key.bytes, key, size);
	mine->key.size = (uint32_t)size;
	forget(atomic_exchange(&own, mine));
	return 0;
}
