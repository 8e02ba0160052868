#include "os/self.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/authkey.h"
#include "tests/unit/leak.h"

START_TEST(a_process_stays_the_same)
{
	uint64_t first = bri_self_generation();

	ck_assert_uint_ne(first, 0);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(bri_self_generation(), first);
}
END_TEST

static uint64_t of_parent;

static void differ_and_fork_again(void)
{
	uint64_t mine = bri_self_generation();

	ck_assert_uint_ne(mine, of_parent);
	ck_assert_uint_eq(bri_self_generation(), mine);
	of_parent = mine;
}

static void be_a_grandchild(void)
{
	differ_and_fork_again();
	in_fork(differ_and_fork_again);
}

START_TEST(a_forked_child_is_another)
{
	of_parent = bri_self_generation();
	in_fork(be_a_grandchild);
	ck_assert_uint_eq(bri_self_generation(), of_parent);
}
END_TEST

START_TEST(a_fork_before_the_first_use_makes_no_difference)
{
	uint64_t mine;
	int ends[2];
	pid_t pid;

	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		mine = bri_self_generation();
		_exit(write(ends[1], &mine, sizeof(mine)) == sizeof(mine) && mine != 0 ? 0 : 1);
	}
	ck_assert_int_eq(read(ends[0], &mine, sizeof(mine)), (int)sizeof(mine));
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	of_parent = bri_self_generation();
	in_fork(differ_and_fork_again);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* No fork handler of the C library runs here. */
START_TEST(a_child_of_a_raw_clone_is_another)
{
	uint64_t mine = bri_self_generation();
	int status;
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		syscall(SYS_exit_group, bri_self_generation() == mine);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(bri_self_generation(), mine);
}
END_TEST

static pthread_barrier_t together;

static void *look(void *generation)
{
	pthread_barrier_wait(&together);
	*(uint64_t *)generation = bri_self_generation();
	return NULL;
}

START_TEST(threads_that_look_first_together_agree)
{
	enum { THREADS = 8 };
	uint64_t seen[THREADS];
	pthread_t threads[THREADS];

	pthread_barrier_init(&together, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, look, &seen[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&together);
	for (int i = 0; i < THREADS; i++)
		ck_assert_uint_eq(seen[i], seen[0]);
	ck_assert_uint_eq(bri_self_generation(), seen[0]);
	of_parent = seen[0];
	in_fork(differ_and_fork_again);
}
END_TEST

/* ---- the key of this process */

START_TEST(a_key_that_travels_is_wiped_where_it_arrives)
{
	static const struct bri_authkey none;
	struct bri_authkey key, sent;
	const void *mine;
	size_t size;

	ck_assert_int_eq(bri_authkey_make(), 0);
	bri_authkey_give(&sent);
	key = sent;
	ck_assert_int_eq(brood_process_set_authkey("other", 5), 0);
	ck_assert_int_eq(bri_authkey_take(&key), 0);
	ck_assert_mem_eq(&key, &none, sizeof(key));
	ck_assert_int_eq(brood_process_authkey(&mine, &size), 0);
	ck_assert_int_eq(size, 32);
	ck_assert_mem_eq(mine, sent.bytes, size);
	for (int i = 0; i < 2; i++) {
		key = (struct bri_authkey){ .size = i == 0 ? 0 : sizeof(key.bytes) + 1 };
		ck_assert_int_eq(bri_authkey_take(&key), -EBADMSG);
	}
	bri_authkey_wipe();
	bri_authkey_wipe();
	ck_assert_int_eq(brood_process_authkey(&mine, &size), 0);
	ck_assert_mem_ne(mine, sent.bytes, size); /* a new one */
}
END_TEST

static void *make_key(void *ret_key)
{
	size_t size;

	pthread_barrier_wait(&together);
	brood_process_authkey(ret_key, &size);
	return NULL;
}

START_TEST(threads_that_make_a_key_together_have_one)
{
	enum { THREADS = 8 };
	const void *seen[THREADS];
	pthread_t threads[THREADS];

	pthread_barrier_init(&together, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, make_key, &seen[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&together);
	for (int i = 0; i < THREADS; i++)
		ck_assert_ptr_eq(seen[i], seen[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("os/self");
	TCase *self = leak_case(suite, "self", 10);

	tcase_add_test(self, a_process_stays_the_same);
	tcase_add_test(self, a_forked_child_is_another);
	tcase_add_test(self, a_fork_before_the_first_use_makes_no_difference);
	tcase_add_test(self, a_child_of_a_raw_clone_is_another);
	tcase_add_loop_test(self, threads_that_look_first_together_agree, 0, 20);
	tcase_add_test(self, a_key_that_travels_is_wiped_where_it_arrives);
	tcase_add_loop_test(self, threads_that_make_a_key_together_have_one, 0, 20);
	return leak_run(suite);
}
