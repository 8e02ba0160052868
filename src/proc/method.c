#include "proc/method.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/together.h"
#include <string.h>

BRI_TOGETHER static _Atomic(int) chosen = BROOD_START_DEFAULT;

brood_start_method bri_method_set(void)
{
	return (brood_start_method)atomic_load(&chosen);
}

void bri_method_inherit(brood_start_method method)
{
	atomic_store(&chosen, (int)method);
}

int brood_set_start_method(brood_start_method method, bool force)
{
	int none = BROOD_START_DEFAULT;

	if (method < BROOD_START_DEFAULT || method > BROOD_START_FORKSERVER)
		return -EINVAL;
	if (force)
		atomic_store(&chosen, (int)method);
	else if (!atomic_compare_exchange_strong(&chosen, &none, (int)method))
		return -EALREADY;
	return 0;
}

brood_start_method brood_get_start_method(void)
{
	return bri_method_set();
}

static const char *const names[] = { "default", "fork", "spawn", "forkserver" };

ssize_t brood_get_all_start_methods(brood_start_method *ret_methods, size_t most)
{
	for (size_t i = 0; i < most && i < BROOD_START_FORKSERVER; i++)
		ret_methods[i] = (brood_start_method)(BROOD_START_FORK + (int)i);
	return BROOD_START_FORKSERVER;
}

const char *brood_start_method_name(brood_start_method method)
{
	return method >= BROOD_START_DEFAULT && method <= BROOD_START_FORKSERVER ? names[method] :
										   NULL;
}

int brood_start_method_of(const char *name, brood_start_method *ret_method)
{
	for (int i = BROOD_START_DEFAULT; name != NULL && i <= BROOD_START_FORKSERVER; i++)
		if (strcmp(name, names[i]) == 0) {
			*ret_method = (brood_start_method)i;
			return 0;
		}
	return -EINVAL;
}
