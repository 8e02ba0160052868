#include <brood/lock.h>
#include <brood/queue.h>
#include <brood/segment.h>
#include <brood/supervisor.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

#define MOST 16

static struct shared {
	_Atomic(int) n,
		order[64]; /* a child's number + 1 when it begins, negative when it is told to end */
	_Atomic(int) begun[MOST], doubled;
	_Atomic(pid_t) pids[MOST];
	flag end[MOST], hang;
	char text[64];
} * s;

FIXTURES_OF_METHODS(s);

static brood_supervisor *supervisor_of(const brood_supervisor_opts *opts)
{
	brood_supervisor *supervisor;

	must(brood_supervisor_new(opts, &supervisor) == 0);
	return supervisor;
}

static int add(brood_supervisor *supervisor, brood_process_target *target, const brood_object *args,
	       const brood_supervised_opts *opts)
{
	brood_supervised_opts with =
		opts != NULL ? *opts : (brood_supervised_opts){ .grace_ns = 0 };
	unsigned id;
	int r;

	with.process.fork_with_threads = true; /* a sanitizer has some */
	r = brood_supervisor_add(supervisor, target, args, &with, &id);
	return r < 0 ? r : (int)id;
}

static brood_supervised look(const brood_supervisor *supervisor, unsigned id)
{
	brood_supervised facts;

	must(brood_supervisor_look(supervisor, id, &facts) == 0);
	return facts;
}

/* Lets the supervisor work until `condition` holds. */
#define until(supervisor, condition)                                                       \
	do {                                                                               \
		int64_t until_ = brood_now() + PATIENCE_NS;                                \
                                                                                           \
		while (!(condition)) {                                                     \
			int r_ = brood_supervisor_run(supervisor, 2 * BROOD_MSEC);         \
                                                                                           \
			must(r_ == -ETIMEDOUT || r_ == 0 || r_ == -ELOOP);                 \
			ck_assert_msg(brood_now() < until_, "never came: %s", #condition); \
		}                                                                          \
	} while (0)

/* What the children did, in order, as "1 2 -2 2". */
static const char *order(void)
{
	static char line[512];
	int at = 0;

	for (int i = 0; i < s->n && i < 64; i++)
		at += snprintf(line + at, sizeof(line) - (size_t)at, "%s%d", i > 0 ? " " : "",
			       s->order[i]);
	line[at] = '\0';
	return line;
}

/* ---- functions */

static void note(int what)
{
	int at = atomic_fetch_add(&s->n, 1);

	if (at < 64)
		s->order[at] = what;
}

static int mine;

static void be_told(int signum)
{
	(void)signum;
	note(-mine - 1);
	_exit(0);
}

/* Child `mine` of several; it ends with the status that s->end says, less one. */
static int serve(const brood_args *args)
{
	mine = (int)brood_args_int(args, 0);
	signal(SIGTERM, be_told);
	s->pids[mine] = getpid();
	note(mine + 1);
	s->begun[mine]++;
	for (;;) {
		int end = __atomic_exchange_n(&s->end[mine], 0, __ATOMIC_ACQ_REL);

		if (end > 0)
			return end - 1;
		nap_ms(1);
	}
}

static void end_with(int id, int status)
{
	__atomic_store_n(&s->end[id], status + 1, __ATOMIC_RELEASE);
}

static int be_deaf(const brood_args *args)
{
	signal(SIGTERM, SIG_IGN);
	note((int)brood_args_int(args, 0) + 1);
	for (;;)
		pause();
	return 0;
}

static int fail_at_once(const brood_args *args)
{
	(void)args;
	brood_process_fail("no %s", "bread");
}

/* Three children, all begun. */
static brood_supervisor *three(brood_strategy strategy, const brood_restart restart[3])
{
	brood_supervisor *supervisor =
		supervisor_of(&(brood_supervisor_opts){ .strategy = strategy, .intensity = 100 });

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(
			add(supervisor, serve, BROOD_ARGS(i),
			    &(brood_supervised_opts){ .restart = restart != NULL ?
									 restart[i] :
									 BROOD_RESTART_PERMANENT }),
			i);
		eventually(s->begun[i] == 1);
	}
	return supervisor;
}

static void stop(brood_supervisor *supervisor)
{
	ck_assert_int_eq(brood_supervisor_stop(supervisor, PATIENCE_NS), 0);
	ck_assert_ptr_null(brood_supervisor_free(supervisor));
}

/* ---- */

START_TEST(who_ends_is_started_again)
{
	brood_supervisor *supervisor = three(BROOD_ONE_FOR_ONE, NULL);
	brood_supervised before = look(supervisor, 1), after;
	char name[64], again[64];

	ck_assert_int_eq(before.state, BROOD_SUPERVISED_RUNNING);
	ck_assert_int_eq(before.pid, s->pids[1]);
	ck_assert_int_eq(before.last_exit.kind, BROOD_RUNNING);
	brood_process_name(before.process, name, sizeof(name));
	end_with(1, 3);
	until(supervisor, s->begun[1] == 2);
	after = look(supervisor, 1);
	ck_assert_int_eq(after.state, BROOD_SUPERVISED_RUNNING);
	ck_assert_int_eq(after.restarts, 1);
	ck_assert_int_eq(after.last_exit.kind, BROOD_EXITED);
	ck_assert_int_eq(after.last_exit.value, 3);
	ck_assert_int_ne(after.pid, before.pid);
	ck_assert_int_eq(after.pid, s->pids[1]);
	brood_process_name(after.process, again, sizeof(again));
	ck_assert_str_eq(name, again);
	kill(s->pids[2], SIGKILL);
	until(supervisor, s->begun[2] == 2);
	ck_assert_int_eq(look(supervisor, 2).last_exit.kind, BROOD_SIGNALLED);
	ck_assert_int_eq(look(supervisor, 0).restarts, 0);
	/* A permanent one also when all was well. */
	end_with(0, 0);
	until(supervisor, s->begun[0] == 2);
	ck_assert_int_eq(s->n, 6);
	stop(supervisor);
	ck_assert_str_eq(order(), "1 2 3 2 3 1 -3 -2 -1");
}
END_TEST

START_TEST(restart_says_who_is)
{
	static const brood_restart kinds[3] = { BROOD_RESTART_PERMANENT, BROOD_RESTART_TRANSIENT,
						BROOD_RESTART_TEMPORARY };
	brood_supervisor *supervisor = three(BROOD_ONE_FOR_ONE, kinds);

	end_with(1, 1);
	until(supervisor, s->begun[1] == 2);
	end_with(1, 0);
	until(supervisor, look(supervisor, 1).state == BROOD_SUPERVISED_ENDED);
	end_with(2, 1);
	until(supervisor, look(supervisor, 2).state == BROOD_SUPERVISED_ENDED);
	ck_assert_int_eq(look(supervisor, 2).last_exit.value, 1);
	ck_assert_int_eq(brood_supervisor_step(supervisor), 1);
	ck_assert_int_eq(brood_supervisor_end(supervisor, 0), 0);
	/* Nobody is left. */
	ck_assert_int_eq(brood_supervisor_run(supervisor, PATIENCE_NS), 0);
	ck_assert_str_eq(order(), "1 2 3 2 -1");
	ck_assert_ptr_null(brood_supervisor_free(supervisor));
}
END_TEST

START_TEST(one_for_all_begins_anew)
{
	static const brood_restart kinds[3] = { BROOD_RESTART_TEMPORARY, BROOD_RESTART_PERMANENT,
						BROOD_RESTART_TRANSIENT };
	brood_supervisor *supervisor = three(BROOD_ONE_FOR_ALL, kinds);

	end_with(2, 0);
	until(supervisor, look(supervisor, 2).state == BROOD_SUPERVISED_ENDED);
	end_with(1, 1);
	until(supervisor, s->begun[1] == 2 && s->begun[2] == 2);
	ck_assert_int_eq(look(supervisor, 0).state, BROOD_SUPERVISED_ENDED);
	ck_assert_int_eq(look(supervisor, 2).restarts, 1);
	/* All that came first were stopped, the rest came in order; whether 2 or 3 speaks first is theirs. */
	ck_assert_int_eq(s->order[3], -1);
	ck_assert_int_eq(s->order[4] + s->order[5], 2 + 3);
	ck_assert_int_eq(brood_supervisor_stop(supervisor, PATIENCE_NS), 0);
	ck_assert_int_eq(s->n, 8);
	ck_assert_int_eq(s->order[6], -3);
	ck_assert_int_eq(s->order[7], -2);
	ck_assert_ptr_null(brood_supervisor_free(supervisor));
}
END_TEST

START_TEST(rest_for_one_takes_the_later_ones_along)
{
	brood_supervisor *supervisor = three(BROOD_REST_FOR_ONE, NULL);

	end_with(1, 1);
	until(supervisor, s->begun[1] == 2 && s->begun[2] == 2);
	ck_assert_int_eq(s->begun[0], 1);
	ck_assert_int_eq(s->order[3], -3);
	end_with(2, 1);
	until(supervisor, s->begun[2] == 3);
	ck_assert_int_eq(s->begun[1], 2);
	ck_assert_int_eq(look(supervisor, 0).restarts, 0);
	ck_assert_int_eq(look(supervisor, 1).restarts, 1);
	ck_assert_int_eq(look(supervisor, 2).restarts, 2);
	stop(supervisor);
}
END_TEST

START_TEST(too_many_restarts_end_all)
{
	brood_supervisor *supervisor = supervisor_of(
		&(brood_supervisor_opts){ .intensity = 3, .period_ns = 1000 * BROOD_SEC });
	brood_supervised facts;
	brood_fail fail = { .step = NULL };
	unsigned id = 77;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(add(supervisor, serve, BROOD_ARGS(i), NULL), i);
		eventually(s->begun[i] == 1);
	}
	ck_assert_int_eq(brood_supervisor_failure(supervisor, &id, &fail), -ENOENT);
	ck_assert_int_eq(add(supervisor, fail_at_once, BROOD_NO_ARGS,
			     &(brood_supervised_opts){ .process.name = "baker" }),
			 2);
	ck_assert_int_eq(brood_supervisor_run(supervisor, PATIENCE_NS), -ELOOP);
	ck_assert_int_eq(brood_supervisor_step(supervisor), -ELOOP);
	ck_assert_str_eq(order(), "1 2 -2 -1");
	ck_assert_int_eq(brood_supervisor_failure(supervisor, &id, &fail), 0);
	ck_assert_int_eq(id, 2);
	ck_assert_str_eq(fail.step, "intensity");
	ck_assert_int_eq(fail.error, ELOOP);
	ck_assert_str_eq(fail.text, "baker: more than 3 restarts within 1000 s, the last end: "
				    "status 1, process: no bread");
	facts = look(supervisor, 2);
	ck_assert_int_eq(facts.restarts, 3);
	ck_assert_str_eq(facts.last_fail.text, "no bread");
	ck_assert_int_eq(add(supervisor, serve, BROOD_ARGS(3), NULL), -ESHUTDOWN);
	ck_assert_int_eq(brood_supervisor_restart(supervisor, 1), -ESHUTDOWN);
	ck_assert_int_eq(brood_supervisor_stop(supervisor, PATIENCE_NS), -ELOOP);
	ck_assert_ptr_null(brood_supervisor_free(supervisor));
}
END_TEST

START_TEST(few_restarts_in_a_period_go_on)
{
	brood_supervisor *supervisor = supervisor_of(
		&(brood_supervisor_opts){ .intensity = 1, .period_ns = 20 * BROOD_MSEC });

	ck_assert_int_eq(add(supervisor, serve, BROOD_ARGS(0), NULL), 0);
	for (int i = 2; i < 6; i++) {
		nap_ms(25);
		end_with(0, 1);
		until(supervisor, s->begun[0] == i);
	}
	stop(supervisor);
}
END_TEST

START_TEST(a_restart_may_wait)
{
	brood_supervisor *supervisor = supervisor_of(
		&(brood_supervisor_opts){ .intensity = 10, .delay_ns = 50 * BROOD_MSEC });
	struct pollfd event = { .fd = brood_supervisor_fd(supervisor), .events = POLLIN };
	int64_t began;

	ck_assert_int_eq(add(supervisor, serve, BROOD_ARGS(0), NULL), 0);
	for (int i = 1; i < 3; i++) {
		eventually(s->begun[0] == i);
		end_with(0, 1);
		ck_assert_int_eq(poll(&event, 1, 20000), 1);
		began = brood_now();
		/* Its end; then the time, which is twice as long the second time. */
		ck_assert_int_eq(brood_supervisor_step(supervisor), 1);
		ck_assert_int_eq(look(supervisor, 0).state, BROOD_SUPERVISED_WAITING);
		ck_assert_int_eq(look(supervisor, 0).pid, 0);
		ck_assert_int_eq(poll(&event, 1, 20000), 1);
		ck_assert_int_ge(brood_now() - began, i * 50 * BROOD_MSEC);
		ck_assert_int_eq(brood_supervisor_step(supervisor), 1);
		ck_assert_int_eq(look(supervisor, 0).state, BROOD_SUPERVISED_RUNNING);
		ck_assert_int_eq(poll(&event, 1, 0), 0);
	}
	stop(supervisor);
}
END_TEST

/* With no descriptors there is no process. */
START_TEST(a_restart_that_fails_is_tried_again)
{
	brood_supervisor *supervisor = supervisor_of(
		&(brood_supervisor_opts){ .intensity = 60000, .delay_ns = BROOD_MSEC });
	struct rlimit before, none;

	ck_assert_int_eq(add(supervisor, serve, BROOD_ARGS(0), NULL), 0);
	eventually(s->begun[0] == 1);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	end_with(0, 1);
	until(supervisor, look(supervisor, 0).last_fail.step != NULL);
	ck_assert_int_eq(look(supervisor, 0).last_fail.error, EMFILE);
	ck_assert_int_eq(look(supervisor, 0).last_exit.kind, BROOD_RUNNING);
	ck_assert_int_eq(look(supervisor, 0).restarts, 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	until(supervisor, s->begun[0] == 2);
	ck_assert_int_eq(look(supervisor, 0).restarts, 1);
	stop(supervisor);
}
END_TEST

START_TEST(who_is_deaf_is_killed)
{
	brood_supervisor *supervisor = supervisor_of(NULL);

	ck_assert_int_eq(add(supervisor, be_deaf, BROOD_ARGS(0),
			     &(brood_supervised_opts){ .grace_ns = 20 * BROOD_MSEC }),
			 0);
	ck_assert_int_eq(
		add(supervisor, be_deaf, BROOD_ARGS(1), &(brood_supervised_opts){ .grace_ns = -1 }),
		1);
	eventually(s->n == 2);
	ck_assert_int_eq(brood_supervisor_stop(supervisor, 0), -ETIMEDOUT);
	ck_assert_int_eq(look(supervisor, 1).state, BROOD_SUPERVISED_ENDING);
	ck_assert_int_eq(brood_supervisor_run(supervisor, PATIENCE_NS), 0);
	ck_assert_int_eq(look(supervisor, 0).last_exit.value, SIGKILL);
	ck_assert_int_eq(look(supervisor, 1).last_exit.value, SIGKILL);
	ck_assert_ptr_null(brood_supervisor_free(supervisor));
}
END_TEST

static int beat(const brood_args *args)
{
	(void)args;
	must(brood_supervisor_beat() == 0);
	s->begun[0]++;
	while (!s->hang) {
		must(brood_supervisor_beat() == 0);
		nap_ms(1);
	}
	s->hang = 0;
	for (;;)
		pause();
	return 0;
}

START_TEST(who_does_not_beat_is_killed)
{
	brood_supervisor *supervisor = supervisor_of(&(brood_supervisor_opts){ .intensity = 100 });
	int64_t began = brood_now();

	ck_assert_int_eq(brood_supervisor_beat(), -ESRCH);
	ck_assert_int_eq(add(supervisor, beat, BROOD_NO_ARGS,
			     &(brood_supervised_opts){ .beat_ns = BROOD_SEC }),
			 0);
	until(supervisor, brood_now() - began > BROOD_SEC + 200 * BROOD_MSEC);
	ck_assert_int_eq(look(supervisor, 0).restarts, 0);
	s->hang = 1;
	until(supervisor, s->begun[0] == 2);
	ck_assert_int_eq(look(supervisor, 0).last_exit.kind, BROOD_SIGNALLED);
	ck_assert_int_eq(look(supervisor, 0).last_exit.value, SIGKILL);
	ck_assert_str_eq(look(supervisor, 0).last_fail.step, "beat");
	ck_assert_str_eq(look(supervisor, 0).last_fail.text, "no sign of life for 1 s");
	stop(supervisor);
}
END_TEST

static int use_args(const brood_args *args)
{
	char buf[8];

	must(brood_args_count(args) == 4);
	must(brood_queue_get(brood_args_queue(args, 0), buf, sizeof(buf), PATIENCE_NS) == 1);
	must(brood_lock_acquire(brood_args_lock(args, 1), PATIENCE_NS) >= 0);
	must(brood_lock_release(brood_args_lock(args, 1)) == 0);
	must(brood_object_length(brood_args_object(args, 3)) == 2);
	snprintf(s->text, sizeof(s->text), "%s", brood_args_str(args, 2));
	s->begun[0]++;
	for (;;)
		pause();
	return 0;
}

/* What add() was given is gone when the child is started again. */
START_TEST(arguments_are_kept)
{
	brood_supervisor *supervisor = supervisor_of(&(brood_supervisor_opts){ .intensity = 100 });
	brood_rlimit limit = { .resource = RLIMIT_CORE };
	char text[16] = "hello", name[16] = "worker", got[16];
	brood_segment *segment;
	brood_queue *queue;

	ck_assert_int_eq(brood_segment_new(sizeof(brood_lock), NULL, &segment), 0);
	brood_lock_init(brood_segment_data(segment));
	ck_assert_int_eq(brood_queue_new(NULL, &queue), 0);
	{
		brood_object two[2] = { brood_object_of_int(1), brood_object_of_int(2) };
		brood_object list = brood_object_of_items(BROOD_OBJECT_LIST, two, 2);

		const brood_object *args =
			BROOD_ARGS(queue, (brood_lock *)brood_segment_data(segment), text, list);

		ck_assert_int_eq(add(supervisor, use_args, args,
				     &(brood_supervised_opts){ .process = { .name = name,
									    .rlimits = &limit,
									    .n_rlimits = 1 } }),
				 0);
		memset(two, 0xff, sizeof(two));
	}
	memset(text, 'x', sizeof(text));
	memset(name, 'x', sizeof(name));
	memset(&limit, 0xff, sizeof(limit));
	for (int i = 1; i < 4; i++) {
		ck_assert_int_eq(brood_queue_put(queue, "x", 1, 0), 0);
		until(supervisor, s->begun[0] == i);
		ck_assert_str_eq(s->text, "hello");
		brood_process_name(look(supervisor, 0).process, got, sizeof(got));
		ck_assert_str_eq(got, "worker");
		memset(s->text, 0, sizeof(s->text));
		brood_process_kill(look(supervisor, 0).process);
	}
	stop(supervisor);
	brood_queue_unref(queue);
	brood_segment_unref(segment);
}
END_TEST

START_TEST(the_owner_may_ask_for_it)
{
	static const brood_restart kinds[3] = { BROOD_RESTART_PERMANENT, BROOD_RESTART_TEMPORARY,
						BROOD_RESTART_PERMANENT };
	brood_supervisor *supervisor = three(BROOD_REST_FOR_ONE, kinds);
	brood_supervised facts;

	ck_assert_int_eq(brood_supervisor_restart(supervisor, 3), -ENOENT);
	ck_assert_int_eq(brood_supervisor_end(supervisor, 3), -ENOENT);
	ck_assert_int_eq(brood_supervisor_look(supervisor, 3, &facts), -ENOENT);
	ck_assert_int_eq(brood_supervisor_end(supervisor, 2), 0);
	until(supervisor, look(supervisor, 2).state == BROOD_SUPERVISED_ENDED);
	/* Who was ended stays so, a temporary one is started again if it is meant. */
	ck_assert_int_eq(brood_supervisor_restart(supervisor, 1), 0);
	until(supervisor, s->begun[1] == 2);
	ck_assert_int_eq(brood_supervisor_restart(supervisor, 0), 0);
	until(supervisor, s->begun[0] == 2);
	ck_assert_int_eq(look(supervisor, 1).state, BROOD_SUPERVISED_ENDED);
	ck_assert_int_eq(look(supervisor, 2).state, BROOD_SUPERVISED_ENDED);
	ck_assert_int_eq(brood_supervisor_restart(supervisor, 2), 0);
	until(supervisor, s->begun[2] == 2);
	ck_assert_int_eq(brood_supervisor_end(supervisor, 2), 0);
	ck_assert_int_eq(brood_supervisor_restart(supervisor, 2), 0); /* it was on its way out */
	until(supervisor, s->begun[2] == 3);
	stop(supervisor);
	ck_assert_str_eq(order(), "1 2 3 -3 -2 2 -2 -1 1 3 -3 3 -3 -1");
}
END_TEST

START_TEST(a_descriptor_ends_the_wait_and_nothing_else)
{
	int ends[2];
	brood_supervisor *supervisor;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	supervisor = supervisor_of(&(brood_supervisor_opts){ .cancel_fd = &ends[0] });
	ck_assert_int_eq(add(supervisor, serve, BROOD_ARGS(0), NULL), 0);
	eventually(s->begun[0] == 1);
	ck_assert_int_eq(brood_supervisor_run(supervisor, BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	ck_assert_int_eq(brood_supervisor_run(supervisor, BROOD_FOREVER), -ECANCELED);
	ck_assert_int_eq(look(supervisor, 0).state, BROOD_SUPERVISED_RUNNING);
	stop(supervisor);
	ck_assert_str_eq(order(), "1 -1");
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	brood_supervisor *supervisor = NULL;
	brood_fail fail = { .step = NULL };
	brood_supervised_opts opts = { .process = { .fail = &fail } };

	ck_assert_int_eq(
		brood_supervisor_new(&(brood_supervisor_opts){ .strategy = 3 }, &supervisor),
		-EINVAL);
	ck_assert_int_eq(
		brood_supervisor_new(&(brood_supervisor_opts){ .period_ns = -1 }, &supervisor),
		-EINVAL);
	ck_assert_int_eq(
		brood_supervisor_new(&(brood_supervisor_opts){ .delay_ns = -1 }, &supervisor),
		-EINVAL);
	ck_assert_int_eq(
		brood_supervisor_new(&(brood_supervisor_opts){ .intensity = 65537 }, &supervisor),
		-EINVAL);
	ck_assert_ptr_null(supervisor);
	ck_assert_ptr_null(brood_supervisor_free(NULL));
	supervisor = supervisor_of(NULL);
	opts.process.outlive = true;
	ck_assert_int_eq(add(supervisor, serve, BROOD_ARGS(0), &opts), -EINVAL);
	ck_assert_str_eq(fail.step, "outlive");
	opts.process.outlive = false;
	opts.restart = (brood_restart)3;
	ck_assert_int_eq(add(supervisor, serve, BROOD_ARGS(0), &opts), -EINVAL);
	ck_assert_str_eq(fail.step, "restart");
	opts.restart = BROOD_RESTART_TEMPORARY;
	opts.beat_ns = -1;
	ck_assert_int_eq(add(supervisor, serve, BROOD_ARGS(0), &opts), -EINVAL);
	ck_assert_str_eq(fail.step, "beat");
	opts.beat_ns = 0;
	ck_assert_int_eq(add(supervisor, NULL, BROOD_ARGS(0), &opts), -EINVAL);
	ck_assert_str_eq(fail.step, "target");
	ck_assert_int_eq(add(supervisor, serve, BROOD_ARGS((const char *)NULL), &opts), -EINVAL);
	ck_assert_str_eq(fail.step, "args");
	/* Nothing of all that is there. */
	ck_assert_int_eq(brood_supervisor_run(supervisor, 0), 0);
	ck_assert_int_eq(add(supervisor, serve, BROOD_ARGS(0), NULL), 0);
	ck_assert_ptr_null(brood_supervisor_free(supervisor));
	ck_assert_int_eq(brood_active_children(NULL, 0), 0);
}
END_TEST

static brood_supervisor *parents;

static void use_parents(void)
{
	brood_supervised facts;
	brood_fail fail;

	ck_assert_int_eq(brood_supervisor_step(parents), -ECHILD);
	ck_assert_int_eq(brood_supervisor_run(parents, 0), -ECHILD);
	ck_assert_int_eq(brood_supervisor_stop(parents, 0), -ECHILD);
	ck_assert_int_eq(brood_supervisor_look(parents, 0, &facts), -ECHILD);
	ck_assert_int_eq(brood_supervisor_end(parents, 0), -ECHILD);
	ck_assert_int_eq(brood_supervisor_restart(parents, 0), -ECHILD);
	ck_assert_int_eq(brood_supervisor_failure(parents, NULL, &fail), -ECHILD);
	ck_assert_int_eq(add(parents, serve, BROOD_ARGS(1), NULL), -ECHILD);
	ck_assert_ptr_null(brood_supervisor_free(parents));
}

START_TEST(it_is_its_owners)
{
	parents = supervisor_of(NULL);
	ck_assert_int_eq(add(parents, serve, BROOD_ARGS(0), NULL), 0);
	eventually(s->begun[0] == 1);
	in_fork(use_parents);
	ck_assert_int_eq(look(parents, 0).state, BROOD_SUPERVISED_RUNNING);
	stop(parents);
}
END_TEST

/* ---- faults */

#define WORKERS 4

/* Holds its own lock as long as it lives: a second one of the same number would find it held by a living one. */
static int hold(const brood_args *args)
{
	int id = (int)brood_args_int(args, 0);
	int r = brood_lock_acquire(brood_args_lock(args, 1), 0);

	if (r < 0)
		s->doubled++;
	s->pids[id] = getpid();
	s->begun[id]++;
	for (;;)
		pause();
	return 0;
}

static brood_supervisor *hold_all(brood_strategy strategy, brood_segment **ret_segment)
{
	brood_supervisor *supervisor =
		supervisor_of(&(brood_supervisor_opts){ .strategy = strategy, .intensity = 60000 });
	brood_lock *locks;

	must(brood_segment_new(WORKERS * sizeof(brood_lock), NULL, ret_segment) == 0);
	locks = brood_segment_data(*ret_segment);
	for (int i = 0; i < WORKERS; i++) {
		brood_lock_init(&locks[i]);
		must(add(supervisor, hold, BROOD_ARGS(i, &locks[i]), NULL) == i);
	}
	return supervisor;
}

/* Whether all run, and none of them is one that was killed and whose end was not seen yet. */
static bool are_all_there(const brood_supervisor *supervisor, const pid_t killed[WORKERS])
{
	for (unsigned id = 0; id < WORKERS; id++) {
		brood_supervised facts = look(supervisor, id);

		if (facts.state != BROOD_SUPERVISED_RUNNING || facts.pid != s->pids[id] ||
		    facts.pid == killed[id])
			return false;
	}
	return true;
}

START_TEST(killed_at_random_all_come_back_and_none_twice)
{
	const char *given = getenv("BROOD_SEED");
	unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)brood_now();
	int trials = getenv("BROOD_TEST_LONG") != NULL ? 1000 : 60;
	pid_t killed[WORKERS] = { 0 };
	brood_segment *segment;
	brood_supervisor *supervisor = hold_all((brood_strategy)_i, &segment);

	printf("BROOD_SEED=%u\n", seed);
	for (int i = 0; i < trials; i++) {
		int id = rand_r(&seed) % WORKERS;
		brood_supervised facts = look(supervisor, (unsigned)id);

		/* Where it is: running, starting, or on its way out for another's sake. */
		if (facts.process != NULL) {
			brood_process_kill(facts.process);
			killed[id] = facts.pid;
		}
		if (rand_r(&seed) % 2 == 0)
			ck_assert_int_eq(
				brood_supervisor_run(supervisor, rand_r(&seed) % 3 * BROOD_MSEC),
				-ETIMEDOUT);
	}
	until(supervisor, are_all_there(supervisor, killed));
	ck_assert_int_eq(brood_supervisor_step(supervisor), WORKERS);
	ck_assert_int_eq(brood_active_children(NULL, 0), WORKERS);
	ck_assert_int_eq(s->doubled, 0);
	stop(supervisor);
	brood_segment_unref(segment);
}
END_TEST

static void own(void *arg)
{
	brood_segment *segment;
	brood_supervisor *supervisor = hold_all(BROOD_ONE_FOR_ALL, &segment);

	(void)arg;
	brood_supervisor_run(supervisor, BROOD_FOREVER);
}

START_TEST(when_the_owner_is_killed_nobody_is_left)
{
	pid_t owner = peer(own, NULL);

	eventually(s->begun[WORKERS - 1] == 1);
	kill(s->pids[1], SIGKILL);
	eventually(s->begun[0] == 2);
	finish_off(owner);
	/* We are a subreaper: whoever lives on is our child. */
	ck_assert(bury_all());
}
END_TEST

static void add_tests(Suite *suite, void (*make)(void))
{
	TCase *tcase = leak_case(suite, "supervise", 60), *faults = leak_case(suite, "faults", 120);

	tcase_add_checked_fixture(tcase, make, unmake);
	tcase_add_checked_fixture(faults, make, unmake);
	tcase_add_test(tcase, who_ends_is_started_again);
	tcase_add_test(tcase, restart_says_who_is);
	tcase_add_test(tcase, one_for_all_begins_anew);
	tcase_add_test(tcase, rest_for_one_takes_the_later_ones_along);
	tcase_add_test(tcase, too_many_restarts_end_all);
	tcase_add_test(tcase, few_restarts_in_a_period_go_on);
	tcase_add_test(tcase, a_restart_may_wait);
	tcase_add_test(tcase, a_restart_that_fails_is_tried_again);
	tcase_add_test(tcase, who_is_deaf_is_killed);
	tcase_add_test(tcase, who_does_not_beat_is_killed);
	tcase_add_test(tcase, arguments_are_kept);
	tcase_add_test(tcase, the_owner_may_ask_for_it);
	tcase_add_test(tcase, a_descriptor_ends_the_wait_and_nothing_else);
	tcase_add_test(tcase, what_cannot_be_is_refused);
	tcase_add_test(tcase, it_is_its_owners);
	tcase_add_loop_test(faults, killed_at_random_all_come_back_and_none_twice, 0, 3);
	tcase_add_test(faults, when_the_owner_is_killed_nobody_is_left);
}

int main(void)
{
	Suite *suite;

	s = reach(sizeof(*s));
	brood_init();
	suite = suite_create("proc/supervise");
	add_tests(suite, make_for_fork);
	add_tests(suite, make_for_spawn);
	add_tests(suite, make_for_forkserver);
	return leak_run(suite);
}
