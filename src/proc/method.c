#include "proc/method.h"

#include <errno.h>
#include <stdatomic.h>

static _Atomic(int) chosen = BROOD_START_DEFAULT;

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
