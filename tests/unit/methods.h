/* tests/unit/methods.h - the same tests by each start method; included once by a program
 *
 * A test case is named after its method, so that Check's lines tell it. In it all processes that do not say another
 * are started by that, and theirs as well. */
#ifndef TESTS_UNIT_METHODS_H
#define TESTS_UNIT_METHODS_H

#include <brood/process.h>
#include <check.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static inline void by_fork(void)
{
	brood_set_start_method(BROOD_START_FORK, true);
}

static inline void by_spawn(void)
{
	brood_set_start_method(BROOD_START_SPAWN, true);
}

static inline void by_forkserver(void)
{
	brood_set_start_method(BROOD_START_FORKSERVER, true);
}

/* The server ends with that. */
static inline void end_method(void)
{
	brood_finish();
}

/* `make` and `end` are the tests' own fixture, and `add` adds them. */
static inline void add_for_each_method(Suite *suite, void (*make)(void), void (*end)(void),
				       void (*add)(TCase *tcase, brood_start_method method))
{
	static const struct {
		const char *name;
		void (*choose)(void);
	} methods[] = { { "fork", by_fork },
			{ "spawn", by_spawn },
			{ "forkserver", by_forkserver } };

	for (int i = 0; i < 3; i++) {
		TCase *tcase = leak_case(suite, methods[i].name, 60);

		tcase_add_checked_fixture(tcase, make, end);
		tcase_add_checked_fixture(tcase, methods[i].choose, end_method);
		add(tcase, (brood_start_method)(BROOD_START_FORK + i));
	}
}

/* These also in processes where there is no Check. */
static inline brood_process *start_it(brood_process_target *target, const brood_object *args,
				      const brood_process_opts *opts)
{
	brood_process *p;

	must(brood_process_start(target, args, opts, &p) == 0);
	return p;
}

/* What Python calls its exitcode. */
static inline int end_of(brood_process *p)
{
	brood_exit end;

	must(brood_process_join(p, PATIENCE_NS, &end) == 0);
	brood_process_unref(p);
	return brood_exit_code(&end);
}

#endif
