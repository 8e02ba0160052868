/* pickler - brood/pickle.h on request: tests/interop/pickle_test.py pickles, and reads what comes back
 *
 * Cases (frames.h): 4, 5: read the one string, and write it with that protocol; the answer is the
 * pickle and how a log has it, or one string: the errno value and what .fail says. */
#include <brood/pickle.h>

#include "frames.h"

static void answer_failure(int error, const brood_fail *fail)
{
	char text[300];
	int n = snprintf(text, sizeof(text), "%d %s", -error, fail->text);

	put_number(1);
	put_string(text, (size_t)n);
}

static void answer(int protocol, const struct string *pickle)
{
	brood_fail fail = { 0 };
	brood_pickle_opts opts = { .protocol = protocol, .fail = &fail };
	brood_object *object = NULL;
	char text[200] = "";
	void *data;
	size_t size;
	int r = brood_pickle_loads(pickle->bytes, pickle->size, &opts, &object);

	if (r < 0) {
		answer_failure(r, &fail);
		return;
	}
	r = brood_pickle_dumps(object, &opts, &data, &size);
	if (r < 0) {
		answer_failure(r, &fail);
	} else {
		put_number(2);
		put_string(data, size);
		put_string(text, (size_t)brood_object_describe(object, text, sizeof(text)));
		free(data);
	}
	brood_object_free(object);
}

int main(void)
{
	struct string *strings;
	uint32_t n;
	int letter;

	while ((letter = get_case(&strings, &n)) != EOF) {
		frames_need(n == 1 && (letter == '4' || letter == '5'));
		answer(letter - '0', &strings[0]);
		free_strings(strings, n);
	}
	return fflush(stdout) == 0 ? 0 : 3;
}
