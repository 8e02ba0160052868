#include <brood/queue.h>
#include <brood/segment.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/queue.h"
#include "tests/unit/leak.h"
#include "tests/unit/queues.h"

enum { CROWD = 80, EACH_OF_CROWD = 50 }; /* more than there are slots, places or bits in a word */

static struct shared {
	flag here[8], go;
	int64_t sum[8];
	int count[8], result[8];
	unsigned char got[CROWD][EACH_OF_CROWD];
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_queue_new(NULL, &q), 0);
}

START_TEST(what_was_put_first_comes_first)
{
	char c;

	ck_assert_int_eq(brood_queue_empty(q), 1);
	put("one");
	ck_assert_int_eq(brood_queue_empty(q), 0);
	put("");
	put("three");
	ck_assert_int_eq(brood_queue_size(q), 3);
	ck_get("one");
	ck_assert_int_eq(brood_queue_get(q, NULL, 0, 0), 0);
	ck_get("three");
	ck_assert_int_eq(brood_queue_size(q), 0);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, -1), -ETIMEDOUT);
}
END_TEST

START_TEST(the_number_is_bounded)
{
	char text[120];

	remake((brood_queue_opts){ .items = 2 });
	put("a");
	ck_assert_int_eq(brood_queue_full(q), 0);
	put("b");
	ck_assert_int_eq(brood_queue_full(q), 1);
	ck_assert_int_eq(brood_queue_put(q, "c", 1, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_put(q, "c", 1, BROOD_MSEC), -ETIMEDOUT);
	brood_queue_describe(q, text, sizeof(text));
	ck_assert_str_eq(text, "queue, 2 messages of at most 2, 32 bytes of at most 1048576");
	ck_get("a");
	put("c");
	ck_get("b");
	ck_get("c");
}
END_TEST

/* Any size up to the limit, from any place of the ring. */
START_TEST(the_bytes_are_bounded)
{
	enum { MOST = 1000 };
	unsigned char out[MOST], in[MOST + 1];

	remake((brood_queue_opts){ .bytes = MOST });
	for (int i = 0; i <= MOST; i++)
		in[i] = (unsigned char)(i * 7);
	for (size_t size = 0; size <= MOST; size++) {
		ck_assert_int_eq(brood_queue_put(q, in, size, 0), 0);
		ck_assert_int_eq(brood_queue_get(q, out, sizeof(out), 0), (ssize_t)size);
		ck_assert_mem_eq(out, in, size);
	}
	ck_assert_int_eq(brood_queue_put(q, in, MOST + 1, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_put(q, in, MOST, 0), 0);
	ck_assert_int_eq(brood_queue_full(q), 1);
	ck_assert_int_eq(brood_queue_put(q, NULL, 0, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_get(q, out, sizeof(out), 0), MOST);
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(brood_queue_put(q, in, 104, 0), 0);
	ck_assert_int_eq(brood_queue_put(q, in, 1, 0), -ETIMEDOUT);
}
END_TEST

START_TEST(a_small_buffer_leaves_the_message)
{
	struct iovec out[2] = { { NULL, 0 } };
	char buf[8] = "";

	put("hello");
	ck_assert_int_eq(brood_queue_get(q, buf, 4, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_get_many(q, buf, 4, out, 2, 0), -EMSGSIZE);
	ck_assert_uint_eq(out[0].iov_len, 5);
	ck_assert_int_eq(brood_queue_get(q, NULL, 0, BROOD_SEC), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_peek(q, NULL, 0, 0), 5);
	ck_assert_int_eq(brood_queue_peek(q, buf, 3, 0), 5);
	ck_assert_str_eq(buf, "hel");
	ck_assert_int_eq(brood_queue_size(q), 1);
	ck_get("hello");
	ck_assert_int_eq(brood_queue_peek(q, buf, 3, 0), -ETIMEDOUT);
}
END_TEST

START_TEST(many_go_in_one_step)
{
	char a[] = "a", b[] = "bcdefghij", k[] = "k";
	struct iovec in[4] = { { a, 1 }, { b, 9 }, { NULL, 0 }, { k, 1 } }, out[4];
	char buf[64];

	remake((brood_queue_opts){ .items = 3 });
	ck_assert_int_eq(brood_queue_put_many(q, in, 4, 0), 3);
	ck_assert_int_eq(brood_queue_put_many(q, in, 4, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_get_many(q, buf, 0, out, 4, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_get_many(q, buf, 16, out, 4, 0), 1);
	ck_assert_uint_eq(out[0].iov_len, 1);
	ck_assert_int_eq(brood_queue_put_many(q, in + 3, 1, 0), 1);
	ck_assert_int_eq(brood_queue_get_many(q, buf, sizeof(buf), out, 4, 0), 3);
	ck_assert_uint_eq(out[0].iov_len, 9);
	ck_assert_mem_eq(out[0].iov_base, "bcdefghij", 9);
	ck_assert_uint_eq(out[1].iov_len, 0);
	ck_assert_mem_eq(out[2].iov_base, "k", 1);
	ck_assert_int_eq(brood_queue_get_many(q, buf, sizeof(buf), out, 4, 0), -ETIMEDOUT);
}
END_TEST

START_TEST(the_end_comes_after_what_is_there)
{
	char c;

	put("last");
	ck_assert_int_eq(brood_queue_is_closed(q), 0);
	ck_assert_int_eq(brood_queue_close(q), 0);
	ck_assert_int_eq(brood_queue_close(q), 0);
	ck_assert_int_eq(brood_queue_is_closed(q), 1);
	ck_assert_int_eq(brood_queue_put(q, "x", 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_size(q), 1);
	ck_get("last");
	ck_assert_int_eq(brood_queue_get(q, &c, 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_peek(q, &c, 1, 0), -EPIPE);
}
END_TEST

static void get_one(void *nth)
{
	char buf[8];

	s->result[(intptr_t)nth] = (int)brood_queue_get(q, buf, sizeof(buf), PATIENCE_NS);
	raise_flag(&s->here[(intptr_t)nth]);
}

static void put_one(void *nth)
{
	s->result[(intptr_t)nth] = brood_queue_put(q, "abc", 3, PATIENCE_NS);
	raise_flag(&s->here[(intptr_t)nth]);
}

static void join_it(void *nth)
{
	s->result[(intptr_t)nth] = brood_queue_join(q, PATIENCE_NS);
	raise_flag(&s->here[(intptr_t)nth]);
}

START_TEST(each_message_lets_one_go)
{
	pid_t pids[3];

	for (intptr_t i = 0; i < 3; i++)
		pids[i] = peer(get_one, (void *)i);
	eventually(getters() == 3);
	ck_assert_int_eq(brood_queue_get(q, NULL, 0, 0), -ETIMEDOUT); /* past those who sleep */
	for (int i = 0; i < 3; i++) {
		put("abc");
		eventually(s->here[0] + s->here[1] + s->here[2] == i + 1);
	}
	for (int i = 0; i < 3; i++) {
		ck_finishes(pids[i]);
		ck_assert_int_eq(s->result[i], 3);
	}
}
END_TEST

START_TEST(each_room_lets_one_go)
{
	pid_t pids[3];

	remake((brood_queue_opts){ .items = 1 });
	put("abc");
	for (intptr_t i = 0; i < 3; i++)
		pids[i] = peer(put_one, (void *)i);
	eventually(putters() == 3);
	ck_assert_int_eq(brood_queue_put(q, NULL, 0, 0), -ETIMEDOUT);
	for (int i = 0; i < 3; i++) {
		ck_get("abc");
		eventually(s->here[0] + s->here[1] + s->here[2] == i + 1);
	}
	for (int i = 0; i < 3; i++)
		ck_finishes(pids[i]);
	ck_get("abc");
}
END_TEST

START_TEST(the_end_wakes_all)
{
	pid_t pids[6];

	for (intptr_t i = 0; i < 3; i++)
		pids[i] = peer(get_one, (void *)i);
	eventually(getters() == 3);
	ck_assert_int_eq(brood_queue_close(q), 0);
	for (int i = 0; i < 3; i++) {
		ck_finishes(pids[i]);
		ck_assert_int_eq(s->result[i], -EPIPE);
	}
	remake((brood_queue_opts){ .items = 1 });
	put("abc");
	for (intptr_t i = 0; i < 3; i++)
		pids[i] = peer(put_one, (void *)i);
	eventually(putters() == 3);
	ck_assert_int_eq(brood_queue_close(q), 0);
	for (int i = 0; i < 3; i++) {
		ck_finishes(pids[i]);
		ck_assert_int_eq(s->result[i], -EPIPE);
	}
	ck_get("abc");
}
END_TEST

static void ck_ends_with(const char *words)
{
	char text[200];
	int n = brood_queue_describe(q, text, sizeof(text));

	ck_assert_int_eq(n, (int)strlen(text));
	ck_assert_str_eq(text + n - strlen(words), words);
}

START_TEST(it_says_who_waits)
{
	pid_t pids[3];

	ck_ends_with(" bytes of at most 1048576");
	for (intptr_t i = 0; i < 3; i++)
		pids[i] = peer(get_one, (void *)i);
	eventually(getters() == 3);
	ck_ends_with(", 3 wait to get");
	for (int i = 0; i < 3; i++)
		put("abc");
	for (int i = 0; i < 3; i++)
		ck_finishes(pids[i]);
	pids[0] = peer(join_it, (void *)0);
	eventually(joiners() == 1);
	ck_ends_with(", 1 wait to join");
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_queue_task_done(q), 0);
	ck_finishes(pids[0]);
}
END_TEST

START_TEST(waits_end_at_their_timeouts)
{
	int64_t began = brood_now();
	pid_t pid;
	char c;

	ck_assert_int_eq(brood_queue_get(q, &c, 1, 60 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 60 * BROOD_MSEC);
	/* behind another who waits */
	pid = peer(get_one, (void *)0);
	eventually(getters() == 1);
	began = brood_now();
	ck_assert_int_eq(brood_queue_get(q, &c, 1, 60 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 60 * BROOD_MSEC);
	put("abc");
	ck_finishes(pid);
	ck_assert_int_eq(s->result[0], 3);
}
END_TEST

static void *interrupted(void *unused)
{
	get_one((void *)0);
	return unused;
}

static void on_signal(int signum)
{
	int saved = errno;

	(void)signum;
	s->result[1] = brood_queue_put(q, "from a handler", 14, 0);
	errno = saved;
}

/* The handler puts in what the interrupted thread waits for. */
START_TEST(a_signal_handler_puts)
{
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t thread;

	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&thread, NULL, interrupted, NULL);
	eventually(getters() == 1);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	ck_assert_int_eq(s->result[0], -EMSGSIZE);
	ck_assert_int_eq(s->result[1], 0);
	ck_get("from a handler");
}
END_TEST

START_TEST(tasks_are_counted)
{
	pid_t pids[2];

	ck_assert_int_eq(brood_queue_task_done(q), -EINVAL);
	ck_assert_int_eq(brood_queue_join(q, 0), 0);
	put("a");
	put("b");
	ck_assert_int_eq(brood_queue_unfinished(q), 2);
	ck_assert_int_eq(brood_queue_join(q, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_join(q, BROOD_MSEC), -ETIMEDOUT);
	for (intptr_t i = 0; i < 2; i++)
		pids[i] = peer(join_it, (void *)i);
	eventually(joiners() == 2);
	ck_assert_int_eq(brood_queue_task_done(q), 0);
	ck_get("a");
	ck_get("b");
	nap_ms(20);
	ck_assert_int_eq(s->here[0] + s->here[1], 0);
	ck_assert_int_eq(brood_queue_task_done(q), 0);
	for (int i = 0; i < 2; i++) {
		ck_finishes(pids[i]);
		ck_assert_int_eq(s->result[i], 0);
	}
	ck_assert_int_eq(brood_queue_task_done(q), -EINVAL);
	ck_assert_int_eq(brood_queue_unfinished(q), 0);
}
END_TEST

START_TEST(what_is_no_queue_is_refused)
{
	struct iovec one = { NULL, 1 }, fine = { NULL, 0 };
	char buf[8];

	ck_assert_int_eq(brood_queue_put(NULL, "", 0, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_get(NULL, buf, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_peek(NULL, buf, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_put_many(NULL, &fine, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_put_many(q, &one, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_put_many(q, &fine, 0, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_put_many(q, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_get(q, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_get_many(q, buf, 1, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_get_many(q, buf, 1, &fine, 0, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_put(q, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_close(NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_is_closed(NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_size(NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_empty(NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_full(NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_task_done(NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_join(NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_unfinished(NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_describe(NULL, buf, sizeof(buf)), -EINVAL);
	ck_assert_int_eq(brood_queue_fd(NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_unlink(NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_unlink(q), -ENOENT);
	ck_assert_ptr_null(brood_queue_unref(NULL));
	q->memory->stamp ^= UINT64_C(1) << 40; /* another PID namespace's */
	ck_assert_int_eq(brood_queue_put(q, "", 0, 0), -EXDEV);
	ck_assert_int_eq(brood_queue_get(q, buf, 1, 0), -EXDEV);
	ck_assert_int_eq(brood_queue_close(q), -EXDEV);
	ck_assert_int_eq(brood_queue_size(q), -EXDEV);
	ck_assert_int_eq(brood_queue_task_done(q), -EXDEV);
	ck_assert_int_eq(brood_queue_join(q, 0), -EXDEV);
}
END_TEST

START_TEST(options_are_checked)
{
	brood_fail fail = { .step = NULL };
	brood_queue *other = NULL;

	ck_assert_int_eq(brood_queue_new(&(brood_queue_opts){ .bytes = (UINT64_C(1) << 40) + 1,
							      .fail = &fail },
					 &other),
			 -EFBIG);
	ck_assert_str_eq(fail.step, "size");
	ck_assert_int_eq(brood_queue_new(&(brood_queue_opts){ .name = "a/b" }, &other), -EINVAL);
	ck_assert_int_eq(brood_queue_new(&(brood_queue_opts){ .keep = true }, &other), -EINVAL);
	ck_assert_ptr_null(other);
}
END_TEST

START_TEST(it_is_found_by_name)
{
	brood_queue_opts opts = { .name = "brood-test-queue", .bytes = 4096 };
	brood_queue *other = NULL;

	brood_segment_remove(opts.name);
	remake(opts);
	ck_assert_int_eq(brood_queue_new(&opts, &other), -EEXIST);
	ck_assert_int_eq(brood_queue_open(opts.name, &other), 0);
	put("through the name");
	brood_queue_ref(q);
	brood_queue_unref(q);
	ck_assert_int_eq(brood_queue_size(other), 1);
	ck_assert_int_eq(brood_queue_unlink(q), 0);
	ck_assert_int_eq(brood_queue_unlink(q), -ENOENT);
	end();
	q = other;
	ck_get("through the name");
	ck_assert_int_eq(brood_queue_open(opts.name, &other), -ENOENT);
}
END_TEST

START_TEST(it_is_found_by_descriptor)
{
	brood_queue *other = NULL;
	int fd = dup(brood_queue_fd(q));

	put("x");
	end();
	ck_assert_int_eq(brood_queue_attach(fd, &q), 0);
	close(fd);
	ck_get("x");
	ck_assert_int_eq(brood_queue_attach(-1, &other), -EBADF);
	ck_assert_ptr_null(other);
}
END_TEST

START_TEST(other_memory_is_no_queue)
{
	brood_segment *segment;
	brood_queue *other = NULL;
	struct bri_queue_memory *memory;

	ck_assert_int_eq(brood_segment_new(64, NULL, &segment), 0);
	ck_assert_int_eq(brood_queue_attach(brood_segment_fd(segment), &other), -EBADMSG);
	brood_segment_unref(segment);
	ck_assert_int_eq(brood_segment_new(sizeof(*memory) + 128, NULL, &segment), 0);
	memory = brood_segment_data(segment);
	ck_assert_int_eq(brood_queue_attach(brood_segment_fd(segment), &other), -EBADMSG);
	memory->stamp = q->memory->stamp;
	memory->ring = 256;
	memory->bytes = 100;
	ck_assert_int_eq(brood_queue_attach(brood_segment_fd(segment), &other), -EBADMSG);
	memory->ring = 96;
	ck_assert_int_eq(brood_queue_attach(brood_segment_fd(segment), &other), -EBADMSG);
	memory->ring = 64;
	ck_assert_int_eq(brood_queue_attach(brood_segment_fd(segment), &other), -EBADMSG);
	memory->stamp ^= UINT64_C(1) << 40;
	ck_assert_int_eq(brood_queue_attach(brood_segment_fd(segment), &other), -EXDEV);
	brood_segment_unref(segment);
	put("x");
	memset(q->ring, 0xff, 8); /* somebody wrote over it */
	ck_assert_int_eq(brood_queue_get(q, NULL, 0, 0), -EBADMSG);
	ck_assert_ptr_null(other);
}
END_TEST

static void hold_putting_side(void *unused)
{
	(void)unused;
	must(brood_lock_acquire(&q->memory->put.lock, 0) == 0);
	raise_flag(&s->here[0]);
	await(&s->go);
}

/* As if somebody were stopped in the middle of a put. */
START_TEST(a_try_gives_up_behind_a_stopped_one)
{
	pid_t pid = peer(hold_putting_side, NULL);
	int64_t began = brood_now();

	await(&s->here[0]);
	ck_assert_int_eq(brood_queue_put(q, "x", 1, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_put(q, "x", 1, BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_lt(brood_now() - began, 10 * BROOD_SEC);
	finish_off(pid);
	put("x");
}
END_TEST

/* The closer was killed between its two steps: the getting side is ended, nobody has been told. */
START_TEST(a_waiting_putter_finishes_the_end)
{
	struct bri_side *get;
	pid_t pid;
	char buf[4];

	remake((brood_queue_opts){ .items = 1 });
	put("abc");
	get = &q->memory->get;
	get->at[1] = (struct bri_mark){ get->at[0].items, get->at[0].bytes, 1, 0 };
	get->word += 2;
	ck_assert_int_eq(brood_queue_is_closed(q), 0);
	pid = peer(put_one, (void *)0);
	ck_finishes(pid);
	ck_assert_int_eq(s->result[0], -EPIPE);
	ck_assert_int_eq(brood_queue_is_closed(q), 1);
	ck_get("abc");
	ck_assert_int_eq(brood_queue_get(q, buf, 4, 0), -EPIPE);
}
END_TEST

/* ---- signals all the time, whose handler lets no call begin again */

static int get_for(int64_t timeout_ns)
{
	char buf[8];

	return (int)brood_queue_get(q, buf, sizeof(buf), timeout_ns);
}

static int put_for(int64_t timeout_ns)
{
	return brood_queue_put(q, "abc", 3, timeout_ns);
}

static int join_for(int64_t timeout_ns)
{
	return brood_queue_join(q, timeout_ns);
}

static void let_get(void)
{
	put("abc");
}

static void let_put(void)
{
	ck_assert_int_eq(get_for(PATIENCE_NS), 3);
}

static void let_join(void)
{
	ck_assert_int_eq(brood_queue_task_done(q), 0);
}

static const struct wait {
	int (*wait)(int64_t timeout_ns);
	void (*other)(void *nth); /* the same, in a peer */
	void (*let_go)(void);
	int (*waiting)(void);
	int result;
} waits[] = {
	{ get_for, get_one, let_get, getters, 3 },
	{ put_for, put_one, let_put, putters, 0 },
	{ join_for, join_it, let_join, joiners, 0 },
};

static void wait_under_signals(void *which)
{
	const struct wait *it = which;
	int64_t began = brood_now();

	storm();
	must(it->wait(100 * BROOD_MSEC) == -ETIMEDOUT);
	must(brood_now() - began >= 100 * BROOD_MSEC);
	must(brood_now() - began < 5 * BROOD_SEC);
	raise_flag(&s->go);
	must(it->wait(PATIENCE_NS) == it->result);
	must(calm() > 0);
}

/* Neither asleep on the queue nor in line behind another. */
START_TEST(a_wait_is_ended_by_no_signal)
{
	const struct wait *it = &waits[_i / 2];
	bool behind = _i % 2 == 1;
	pid_t pid, other = 0;

	if (it->wait != get_for) {
		remake((brood_queue_opts){ .items = 1 });
		put("abc");
	}
	if (behind) {
		other = peer(it->other, (void *)0);
		eventually(it->waiting() == 1);
	}
	pid = peer(wait_under_signals, (void *)(uintptr_t)it);
	eventually(s->go || *stat_of(pid) == 'Z');
	ck_assert(s->go);
	eventually(it->waiting() == 1 + behind);
	nap_ms(20);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	it->let_go();
	if (behind && it->wait != join_for)
		it->let_go();
	ck_finishes(pid);
	if (behind)
		ck_finishes(other);
}
END_TEST

/* ---- another PID namespace, where thread ids mean something else */

static void use_from_elsewhere(void *unused)
{
	struct bri_queue_memory before;
	brood_queue *other = NULL;
	struct iovec one = { NULL, 0 };
	char buf[8];

	(void)unused;
	memcpy(&before, q->memory, sizeof(before));
	for (int i = 0; i < 2; i++) {
		int64_t timeout_ns = i == 0 ? 0 : BROOD_FOREVER;

		must(brood_queue_put(q, "x", 1, timeout_ns) == -EXDEV);
		must(brood_queue_put_many(q, &one, 1, timeout_ns) == -EXDEV);
		must(brood_queue_get(q, buf, sizeof(buf), timeout_ns) == -EXDEV);
		must(brood_queue_peek(q, buf, sizeof(buf), timeout_ns) == -EXDEV);
		must(brood_queue_join(q, timeout_ns) == -EXDEV);
	}
	must(brood_queue_task_done(q) == -EXDEV);
	must(brood_queue_produce(q) == -EXDEV);
	must(brood_queue_poll_fd(q) == -EXDEV);
	must(brood_queue_close(q) == -EXDEV);
	must(brood_queue_discard(q) == -EXDEV);
	must(brood_queue_attach(brood_queue_fd(q), &other) == -EXDEV && other == NULL);
	must(memcmp(&before, q->memory, sizeof(before)) == 0);
	end(); /* it may let go of it all the same */
	raise_flag(&s->here[1]);
}

static void start_elsewhere(void)
{
	if (!peer_elsewhere(use_from_elsewhere))
		return;
	must(s->here[1]);
	put("from the edge");
}

START_TEST(another_pid_namespace_is_refused)
{
	pid_t pid;

	for (int i = 0; i < 100; i++) { /* we are biased to both ends */
		put("abc");
		ck_get("abc");
	}
	put("abc");
	in_fork(start_elsewhere);
	ck_get("abc");
	if (s->here[1])
		ck_get("from the edge");
	ck_assert_int_eq(brood_queue_is_closed(q), 0);
	ck_assert_int_eq(brood_queue_empty(q), 1);
	/* and while one sleeps on it */
	pid = peer(get_one, (void *)0);
	eventually(getters() == 1);
	s->here[1] = 0;
	in_fork(start_elsewhere);
	if (!s->here[1])
		put("from the edge");
	ck_finishes(pid);
	ck_assert_int_eq(s->result[0], -EMSGSIZE);
}
END_TEST

/* ---- many at once */

enum { EACH = 5000 };

static void produce(void *nth)
{
	for (int64_t i = 0; i < EACH; i++) {
		int64_t message[8] = { (intptr_t)nth, i };

		must(brood_queue_put(q, message, 16 + (size_t)i % 49, PATIENCE_NS) == 0);
	}
}

/* Of each producer's messages they come in order. */
static void consume(void *nth)
{
	int64_t message[8], last[4] = { -1, -1, -1, -1 };
	ssize_t n;

	while ((n = brood_queue_get(q, message, sizeof(message), PATIENCE_NS)) >= 0) {
		must(message[0] >= 0 && message[0] < 4);
		must(message[1] > last[message[0]]);
		must(n == 16 + message[1] % 49);
		last[message[0]] = message[1];
		s->sum[(intptr_t)nth] += message[1];
		s->count[(intptr_t)nth]++;
	}
	must(n == -EPIPE);
}

START_TEST(four_put_and_four_get)
{
	pid_t putting[4], getting[4];
	int64_t sum = 0;
	int count = 0;

	remake((brood_queue_opts){ .items = _i == 0 ? 1 : 0, .bytes = _i == 1 ? 200 : 0 });
	for (intptr_t i = 0; i < 4; i++) {
		putting[i] = peer(produce, (void *)i);
		getting[i] = peer(consume, (void *)i);
	}
	for (int i = 0; i < 4; i++)
		ck_finishes(putting[i]);
	ck_assert_int_eq(brood_queue_close(q), 0);
	for (int i = 0; i < 4; i++) {
		ck_finishes(getting[i]);
		sum += s->sum[i];
		count += s->count[i];
	}
	ck_assert_int_eq(count, 4 * EACH);
	ck_assert_int_eq(sum, 4 * ((int64_t)EACH * (EACH - 1) / 2));
}
END_TEST

static void *produce_in_thread(void *nth)
{
	produce(nth);
	return NULL;
}

static void *consume_in_thread(void *nth)
{
	consume(nth);
	return NULL;
}

START_TEST(threads_do_too)
{
	pthread_t putting[2], getting[2];

	remake((brood_queue_opts){ .items = 8 });
	for (intptr_t i = 0; i < 2; i++) {
		pthread_create(&putting[i], NULL, produce_in_thread, (void *)i);
		pthread_create(&getting[i], NULL, consume_in_thread, (void *)i);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(putting[i], NULL);
	ck_assert_int_eq(brood_queue_close(q), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(getting[i], NULL);
	ck_assert_int_eq(s->count[0] + s->count[1], 2 * EACH);
}
END_TEST

static void work(void *unused)
{
	char buf[8];

	(void)unused;
	while (brood_queue_get(q, buf, sizeof(buf), PATIENCE_NS) >= 0)
		must(brood_queue_task_done(q) == 0);
}

START_TEST(join_waits_for_workers)
{
	pid_t pids[3];

	for (int i = 0; i < 3; i++)
		pids[i] = peer(work, NULL);
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 10; i++)
			put("task");
		ck_assert_int_eq(brood_queue_join(q, PATIENCE_NS), 0);
		ck_assert_int_eq(brood_queue_unfinished(q), 0);
	}
	brood_queue_close(q);
	for (int i = 0; i < 3; i++)
		ck_finishes(pids[i]);
}
END_TEST

/* Each puts one and gets one, in turn: as many as are in the queue are about to get. */
static void put_and_get(void *nth)
{
	int32_t message[2], last[CROWD];

	memset(last, -1, sizeof(last));
	await(&s->go);
	for (int32_t i = 0; i < EACH_OF_CROWD; i++) {
		message[0] = (int32_t)(intptr_t)nth;
		message[1] = i;
		must(brood_queue_put(q, message, sizeof(message), PATIENCE_NS) == 0);
		must(brood_queue_get(q, message, sizeof(message), PATIENCE_NS) == sizeof(message));
		must(message[0] >= 0 && message[0] < CROWD);
		must(message[1] > last[message[0]] && message[1] < EACH_OF_CROWD);
		last[message[0]] = message[1];
		__atomic_fetch_add(&s->got[message[0]][message[1]], 1, __ATOMIC_RELAXED);
	}
}

static void ck_all_came_once(void)
{
	for (int i = 0; i < CROWD; i++)
		for (int k = 0; k < EACH_OF_CROWD; k++)
			ck_assert_msg(s->got[i][k] == 1, "message %d of %d came %d times", k, i,
				      s->got[i][k]);
	ck_assert_int_eq(brood_queue_empty(q), 1);
	ck_assert_int_eq(brood_queue_unfinished(q), CROWD * EACH_OF_CROWD);
	ck_assert_int_eq(getters() + putters(), 0);
	let_get(); /* as it was, for whoever comes now */
	let_put();
}

START_TEST(a_crowd_loses_nothing)
{
	pid_t pids[CROWD];

	remake((brood_queue_opts){ .items = _i == 0 ? 4 : 0 });
	for (intptr_t i = 0; i < CROWD; i++)
		pids[i] = peer(put_and_get, (void *)i);
	raise_flag(&s->go);
	for (int i = 0; i < CROWD; i++)
		ck_finishes(pids[i]);
	ck_all_came_once();
}
END_TEST

static void *put_and_get_in_thread(void *nth)
{
	put_and_get(nth);
	return NULL;
}

START_TEST(a_crowd_of_threads_loses_nothing)
{
	pthread_t threads[CROWD];

	remake((brood_queue_opts){ .items = _i == 0 ? 4 : 0 });
	for (intptr_t i = 0; i < CROWD; i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, put_and_get_in_thread, (void *)i), 0);
	raise_flag(&s->go);
	for (int i = 0; i < CROWD; i++)
		pthread_join(threads[i], NULL);
	ck_all_came_once();
}
END_TEST

/* All of a crowd wait at one end at once, one asleep and the others in line: each gets one. */
START_TEST(a_crowd_in_line_is_let_go)
{
	pid_t pids[CROWD];

	for (int i = 0; i < CROWD; i++)
		pids[i] = peer(work, NULL);
	eventually(getters() == CROWD);
	for (int i = 0; i < CROWD; i++)
		put("task");
	ck_assert_int_eq(brood_queue_join(q, PATIENCE_NS), 0);
	eventually(getters() == CROWD);
	ck_assert_int_eq(brood_queue_close(q), 0);
	for (int i = 0; i < CROWD; i++)
		ck_finishes(pids[i]);
}
END_TEST

/* The first four put, the others get, until the end; each counts. */
static void keep_moving(void *nth)
{
	int *count = &s->count[(intptr_t)nth];
	char buf[8];
	int r;

	do {
		r = (intptr_t)nth < 4 ? brood_queue_put(q, "abc", 3, PATIENCE_NS) :
					(int)brood_queue_get(q, buf, sizeof(buf), PATIENCE_NS);
		if (r >= 0)
			__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
	} while (r >= 0);
	must(r == -EPIPE);
}

/* Those of `first` and the next three together, or, if one had less than a hundredth of its share, -1. */
static int shared_out(int first)
{
	int sum = 0, least = INT32_MAX;

	for (int i = first; i < first + 4; i++) {
		int n = __atomic_load_n(&s->count[i], __ATOMIC_RELAXED);

		sum += n;
		least = n < least ? n : least;
	}
	return least >= sum / 4 / 100 ? sum : -1;
}

START_TEST(nobody_starves)
{
	enum { ENOUGH = 4000 };
	pid_t pids[8];

	remake((brood_queue_opts){ .items = _i == 0 ? 4 : 0 });
	for (intptr_t i = 0; i < 8; i++)
		pids[i] = peer(keep_moving, (void *)i);
	eventually(shared_out(0) >= ENOUGH && shared_out(4) >= ENOUGH);
	ck_assert_int_eq(brood_queue_close(q), 0);
	for (int i = 0; i < 8; i++)
		ck_finishes(pids[i]);
	ck_assert_int_eq(s->count[0] + s->count[1] + s->count[2] + s->count[3],
			 s->count[4] + s->count[5] + s->count[6] + s->count[7]);
}
END_TEST

/* The one that sleeps on the queue is killed; the next has its place. */
START_TEST(a_killed_waiter_is_replaced)
{
	for (int round = 0; round < 20; round++) {
		pid_t first = peer(get_one, (void *)0), second;

		s->here[1] = 0;
		eventually(getters() == 1);
		second = peer(get_one, (void *)1);
		eventually(getters() == 2);
		if (round % 2 == 0) {
			finish_off(first);
			put("abc");
		} else {
			put("abc");
			finish_off(first);
			if (brood_queue_empty(q) == 1 && !s->here[1])
				put("abc"); /* the killed one had taken it */
		}
		ck_finishes(second);
		while (brood_queue_get(q, (char[8]){ 0 }, 8, 0) >= 0)
			;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ipc/queue");
	TCase *queue = leak_case(suite, "queue", 90);

	tcase_add_checked_fixture(queue, make, end);
	tcase_add_test(queue, what_was_put_first_comes_first);
	tcase_add_test(queue, the_number_is_bounded);
	tcase_add_test(queue, the_bytes_are_bounded);
	tcase_add_test(queue, a_small_buffer_leaves_the_message);
	tcase_add_test(queue, many_go_in_one_step);
	tcase_add_test(queue, the_end_comes_after_what_is_there);
	tcase_add_test(queue, each_message_lets_one_go);
	tcase_add_test(queue, each_room_lets_one_go);
	tcase_add_test(queue, the_end_wakes_all);
	tcase_add_test(queue, it_says_who_waits);
	tcase_add_test(queue, waits_end_at_their_timeouts);
	tcase_add_test(queue, a_signal_handler_puts);
	tcase_add_test(queue, tasks_are_counted);
	tcase_add_test(queue, what_is_no_queue_is_refused);
	tcase_add_test(queue, options_are_checked);
	tcase_add_test(queue, it_is_found_by_name);
	tcase_add_test(queue, it_is_found_by_descriptor);
	tcase_add_test(queue, other_memory_is_no_queue);
	tcase_add_test(queue, a_try_gives_up_behind_a_stopped_one);
	tcase_add_test(queue, a_waiting_putter_finishes_the_end);
	tcase_add_loop_test(queue, a_wait_is_ended_by_no_signal, 0, 6);
	tcase_add_test(queue, another_pid_namespace_is_refused);
	tcase_add_loop_test(queue, four_put_and_four_get, 0, 3);
	tcase_add_test(queue, threads_do_too);
	tcase_add_test(queue, join_waits_for_workers);
	tcase_add_loop_test(queue, a_crowd_loses_nothing, 0, 2);
	tcase_add_loop_test(queue, a_crowd_of_threads_loses_nothing, 0, 2);
	tcase_add_test(queue, a_crowd_in_line_is_let_go);
	tcase_add_loop_test(queue, nobody_starves, 0, 2);
	tcase_add_test(queue, a_killed_waiter_is_replaced);
	return leak_run(suite);
}
