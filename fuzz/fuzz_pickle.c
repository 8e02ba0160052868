/* Any bytes as a pickle: an error that says where, or an object that is written, read again and written the
 * same. What a reader has to do stays within its limits, whatever the bytes say. */
#include <brood/pickle.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(int condition)
{
	if (!condition)
		abort();
}

static int handle_id(void *context, const brood_object *handle, brood_object *ret_id)
{
	need(handle->kind == BROOD_OBJECT_HANDLE && handle->as.handle == context);
	*ret_id = BROOD_INT(handle->tag);
	return 0;
}

static int handle_of(void *context, const brood_object *id, brood_object *ret_object)
{
	uint64_t tag;

	if (brood_object_uint(id, &tag) < 0 || tag > UINT32_MAX)
		return -1000;
	*ret_object = BROOD_HANDLE((uint32_t)tag, context);
	return 0;
}

/* Lines of all short lengths, each the start of a longer one but for the dots. */
static void check_lines(const brood_object *object)
{
	char line[64], *exact;
	int n;

	for (size_t size = 1; size < sizeof(line); size += 7) {
		exact = malloc(size);
		need(exact != NULL);
		n = brood_object_describe(object, exact, size);
		need(n >= 0 && (size_t)n < size && strlen(exact) == (size_t)n);
		free(exact);
	}
}

/* Whether some bytes of a pickle may be a NaN, which is equal to nothing. */
static int may_have_nan(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i + 9 <= n; i++)
		if (bytes[i] == 'G' && (bytes[i + 1] & 0x7f) == 0x7f && bytes[i + 2] >= 0xf0)
			return 1;
	return 0;
}

/* It is read again as what it was. */
static void check_again(const brood_object *object, const brood_pickle_opts *opts)
{
	brood_object *again = NULL;
	void *first, *second;
	size_t n_first, n_second;
	int r;

	need(brood_pickle_dumps(object, opts, &first, &n_first) == 0);
	need(brood_pickle_loads(first, n_first, opts, &again) == 0);
	need(brood_pickle_dumps(again, opts, &second, &n_second) == 0);
	need(n_first == n_second && memcmp(first, second, n_first) == 0);
	r = brood_object_equal(object, again);
	need(r == 1 || (r == 0 && may_have_nan(first, n_first)));
	free(first);
	free(second);
	brood_object_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int here;
	brood_fail fail = { 0 };
	brood_pickle_opts opts = {
		.most_items = 20000,
		.most_bytes = 1 << 20,
		.persistent_id = handle_id,
		.persistent_load = handle_of,
		.context = &here,
		.fail = &fail,
	};
	uint8_t *copy = malloc(size > 0 ? size : 1);
	brood_object *object = NULL;
	int r;

	need(copy != NULL);
	memcpy(copy, data, size);
	r = brood_pickle_loads(copy, size, &opts, &object);
	free(copy);
	need((r == 0) == (object != NULL));
	need(r == 0 || strncmp(fail.text, "byte ", 5) == 0);
	if (r < 0)
		return 0;
	check_lines(object);
	opts.most_bytes = 0; /* what was shared is not, when it is written */
	opts.protocol = 4;
	check_again(object, &opts);
	opts.protocol = 5;
	check_again(object, &opts);
	brood_object_free(object);
	return 0;
}
