#include <brood/rwlock.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

#define N 4

static struct shared {
	union {
		brood_rwlock rwlock;
		char memory[2000];
	};
	flag here[8], go;
	int result[8];
	long a, b;
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_rwlock_init(&s->rwlock, sizeof(s->memory), N), 0);
}

static int rd(int64_t timeout)
{
	return brood_rwlock_read(&s->rwlock, timeout);
}

static int wr(int64_t timeout)
{
	return brood_rwlock_write(&s->rwlock, timeout);
}

static int give(void)
{
	return brood_rwlock_release(&s->rwlock);
}

START_TEST(one_thread_reads_or_writes)
{
	ck_assert_int_eq(give(), -EPERM);
	ck_assert_int_eq(rd(0), 0);
	ck_assert_int_eq(rd(0), 0);
	ck_assert_int_eq(brood_rwlock_readers(&s->rwlock), 2);
	ck_assert_int_eq(wr(0), -ETIMEDOUT);
	ck_assert_int_eq(wr(BROOD_SEC), -EDEADLK);
	ck_assert_int_eq(give() + give(), 0);
	ck_assert_int_eq(give(), -EPERM);
	ck_assert_int_eq(wr(0), 0);
	ck_assert_int_eq(brood_rwlock_writer(&s->rwlock), getpid());
	ck_assert_int_eq(rd(0), -ETIMEDOUT);
	ck_assert_int_eq(rd(BROOD_SEC), -EDEADLK);
	ck_assert_int_eq(wr(BROOD_SEC), -EDEADLK);
	ck_assert_int_eq(give(), 0);
	ck_assert_int_eq(give(), -EPERM);
	ck_assert_int_eq(brood_rwlock_writer(&s->rwlock), 0);
	ck_assert_int_eq(brood_rwlock_readers(&s->rwlock), 0);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	static uint64_t memory[32];
	brood_rwlock *bad[] = { NULL, (void *)memory, (void *)((char *)memory + 4) };
	char text[8];

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_rwlock_read(bad[i], 0), -EINVAL);
		ck_assert_int_eq(brood_rwlock_write(bad[i], 0), -EINVAL);
		ck_assert_int_eq(brood_rwlock_release(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_rwlock_readers(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_rwlock_writer(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_rwlock_describe(bad[i], text, sizeof(text)), -EINVAL);
	}
	ck_assert_int_eq(brood_rwlock_init(NULL, 2000, N), -EINVAL);
	ck_assert_int_eq(brood_rwlock_init(bad[2], 2000, N), -EINVAL);
	ck_assert_int_eq(brood_rwlock_init(bad[1], brood_rwlock_size(N) - 1, N), -EINVAL);
	ck_assert_int_eq(brood_rwlock_init(bad[1], SIZE_MAX, 0), -EINVAL);
	ck_assert_uint_eq(brood_rwlock_size(BROOD_RWLOCK_MOST + 1), 0);
}
END_TEST

static void read_and_stay(void *nth)
{
	s->result[(intptr_t)nth] = rd(PATIENCE_NS);
	raise_flag(&s->here[(intptr_t)nth]);
	pause();
}

static void write_and_stay(void *nth)
{
	s->result[(intptr_t)nth] = wr(PATIENCE_NS);
	raise_flag(&s->here[(intptr_t)nth]);
	pause();
}

static pid_t begin(void (*body)(void *), intptr_t nth)
{
	pid_t pid = peer(body, (void *)nth);

	await(&s->here[nth]);
	return pid;
}

START_TEST(a_dead_reader_keeps_no_writer)
{
	pid_t readers[2] = { begin(read_and_stay, 0), begin(read_and_stay, 1) }, writer;
	char text[80];

	ck_assert_int_eq(wr(20 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(rd(0), 0);
	ck_assert_int_eq(give(), 0);
	writer = peer(write_and_stay, (void *)2);
	eventually(rd(0) == -ETIMEDOUT || give() != 0); /* kept out by the writer that waits */
	brood_rwlock_describe(&s->rwlock, text, sizeof(text));
	ck_assert_str_eq(text, "rwlock, 2 reading, 1 waiting");
	finish_off(readers[0]);
	nap_ms(10);
	ck_assert_int_eq(s->here[2], 0);
	finish_off(readers[1]);
	await(&s->here[2]);
	ck_assert_int_eq(s->result[2], 0);
	ck_assert_int_eq(brood_rwlock_writer(&s->rwlock), writer);
	finish_off(writer);
	ck_assert_int_eq(give(), -EPERM);
}
END_TEST

START_TEST(all_are_told_of_a_writers_death_until_it_is_repaired)
{
	finish_off(begin(write_and_stay, 0));
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(rd(0), BROOD_OWNER_DIED);
		ck_assert_int_eq(give(), 0);
	}
	ck_assert_int_eq(wr(PATIENCE_NS), BROOD_OWNER_DIED);
	ck_assert_int_eq(give(), 0);
	ck_assert_int_eq(rd(0), 0);
	ck_assert_int_eq(give(), 0);
	ck_assert_int_eq(wr(0), 0);
	ck_assert_int_eq(give(), 0);
}
END_TEST

START_TEST(a_writer_that_dies_waiting_breaks_nothing)
{
	pid_t reader = begin(read_and_stay, 0), writer = peer(write_and_stay, (void *)1);

	eventually(rd(0) == -ETIMEDOUT || give() != 0);
	finish_off(writer);
	ck_assert_int_eq(rd(PATIENCE_NS), 0);
	ck_assert_int_eq(give(), 0);
	finish_off(reader);
	ck_assert_int_eq(wr(PATIENCE_NS), 0);
	ck_assert_int_eq(give(), 0);
}
END_TEST

START_TEST(readers_wait_for_a_place)
{
	pid_t readers[N], more;

	for (intptr_t i = 0; i < N; i++)
		readers[i] = begin(read_and_stay, i);
	ck_assert_int_eq(rd(0), -ETIMEDOUT);
	ck_assert_int_eq(rd(20 * BROOD_MSEC), -ETIMEDOUT);
	more = peer(read_and_stay, (void *)N);
	nap_ms(10);
	ck_assert_int_eq(s->here[N], 0);
	finish_off(readers[2]);
	await(&s->here[N]);
	ck_assert_int_eq(s->result[N], 0);
	finish_off(more);
	for (int i = 0; i < N; i++)
		if (i != 2)
			finish_off(readers[i]);
	ck_assert_int_eq(wr(0), 0);
	ck_assert_int_eq(give(), 0);
}
END_TEST

static void mix(void *nth)
{
	for (int i = 0; i < 3000; i++) {
		if ((i + (intptr_t)nth) % 4 == 0) {
			must(wr(PATIENCE_NS) == 0);
			s->a++;
			s->b++;
		} else {
			must(rd(PATIENCE_NS) == 0);
			must(s->a == s->b);
		}
		must(give() == 0);
	}
}

START_TEST(it_excludes)
{
	pid_t pids[5];

	for (intptr_t i = 0; i < 5; i++)
		pids[i] = peer(mix, (void *)i);
	for (int i = 0; i < 5; i++)
		ck_finishes(pids[i]);
	ck_assert_int_eq(s->a, 5 * 750);
	ck_assert_int_eq(s->b, 5 * 750);
}
END_TEST

static void *mix_in_thread(void *nth)
{
	mix(nth);
	return NULL;
}

START_TEST(it_excludes_threads)
{
	pthread_t threads[3];

	for (intptr_t i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, mix_in_thread, (void *)i), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(s->a, 3 * 750);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/rwlock");
	TCase *rwlock = leak_case(suite, "rwlock", 60);

	tcase_add_checked_fixture(rwlock, make, NULL);
	tcase_add_test(rwlock, one_thread_reads_or_writes);
	tcase_add_test(rwlock, what_is_none_is_refused);
	tcase_add_test(rwlock, a_dead_reader_keeps_no_writer);
	tcase_add_test(rwlock, all_are_told_of_a_writers_death_until_it_is_repaired);
	tcase_add_test(rwlock, a_writer_that_dies_waiting_breaks_nothing);
	tcase_add_test(rwlock, readers_wait_for_a_place);
	tcase_add_test(rwlock, it_excludes);
	tcase_add_test(rwlock, it_excludes_threads);
	return leak_run(suite);
}
