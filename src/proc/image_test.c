/* Which program runs a function: brood_set_executable(), and the words for the methods. */
#include <brood/process.h>
#include <brood/queue.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/run.h"

static const brood_start_method far[] = { BROOD_START_SPAWN, BROOD_START_FORKSERVER };

static void unmake(void)
{
	brood_finish();
	ck_assert_int_eq(brood_set_executable(NULL), 0);
}

/* It is linked to the library by a path that begins at its own. */
static void find_library_from_anywhere(void)
{
	Dl_info info;
	char folder[4096];

	ck_assert(dladdr((const void *)(uintptr_t)brood_version, &info) != 0);
	snprintf(folder, sizeof(folder), "%s", info.dli_fname);
	*strrchr(folder, '/') = '\0';
	setenv("LD_LIBRARY_PATH", folder, 1);
}

static const char *own_path(void)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[n > 0 ? n : 0] = '\0';
	return path;
}

/* Tells which program it is in, and so does a child of its own. */
static int tell(const brood_args *args)
{
	brood_queue *queue = brood_args_queue(args, 0);
	const int64_t method = brood_args_int(args, 1);
	const brood_process_opts opts = { .method = (brood_start_method)method };
	brood_process *p;
	brood_exit end;

	if (brood_queue_put(queue, own_path(), strlen(own_path()), 0) < 0)
		return 2;
	if (brood_args_bool(args, 2))
		return 0;
	if (brood_process_start(tell, BROOD_ARGS(queue, method, true), &opts, &p) < 0)
		return 1;
	brood_process_join(p, BROOD_FOREVER, &end);
	brood_process_unref(p);
	return brood_exit_code(&end);
}

/* Checks that a function by this method, and one that that starts, are in this program. */
static void runs_in(brood_start_method method, const char *path)
{
	const brood_process_opts opts = { .method = method, .fork_with_threads = is_sanitized };
	brood_process *p;
	brood_queue *queue;
	brood_exit end;
	char said[4096];
	const brood_object *args;

	ck_assert_int_eq(brood_queue_new(NULL, &queue), 0);
	args = BROOD_ARGS(queue, (int)method, false);
	ck_assert_int_eq(brood_process_start(tell, args, &opts, &p), 0);
	ck_assert_int_eq(brood_process_join(p, 60 * BROOD_SEC, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), 0);
	brood_process_unref(p);
	for (int i = 0; i < 2; i++) {
		ssize_t n = brood_queue_get(queue, said, sizeof(said) - 1, 0);

		ck_assert_int_ge(n, 0);
		said[n] = '\0';
		ck_assert_str_eq(said, path);
	}
	brood_queue_unref(queue);
}

/* ---- tests */

START_TEST(a_copy_elsewhere_runs_the_function)
{
	const char *copy = copy_program("/proc/self/exe", "copy");

	find_library_from_anywhere();
	runs_in(far[_i], own_path());
	brood_finish(); /* the server */
	ck_assert_int_eq(brood_set_executable(copy), 0);
	runs_in(far[_i], copy);
	runs_in(BROOD_START_FORK, own_path());
	brood_finish();
	/* It does not depend on where we are. */
	ck_assert_int_eq(chdir(scratch), 0);
	ck_assert_int_eq(brood_set_executable("copy"), 0);
	ck_assert_int_eq(chdir("/"), 0);
	runs_in(far[_i], copy);
	brood_finish();
	ck_assert_int_eq(brood_set_executable(NULL), 0);
	runs_in(far[_i], own_path());
}
END_TEST

START_TEST(one_without_the_function_says_so)
{
	brood_fail fail = { .step = NULL };
	const brood_process_opts opts = { .method = far[_i], .fail = &fail };
	const brood_object *args;
	brood_process *p;
	brood_queue *queue;

	ck_assert_int_eq(brood_queue_new(NULL, &queue), 0);
	ck_assert_int_eq(brood_set_executable(CHILD("starter")), 0);
	args = BROOD_ARGS(queue, (int)far[_i], true);
	ck_assert_int_eq(brood_process_start(tell, args, &opts, &p), -ESTALE);
	ck_assert_str_eq(fail.step, "function");
	ck_assert_int_eq(brood_queue_size(queue), 0);
	brood_queue_unref(queue);
}
END_TEST

START_TEST(one_runs_functions_of_libraries)
{
	void *library = dlopen(CHILD("guest.so"), RTLD_NOW);
	int (*guest_run)(int, int, char *, size_t);
	char said[1000];

	ck_assert_ptr_nonnull(library);
	*(void **)&guest_run = dlsym(library, "guest_run");
	ck_assert(guest_run != NULL);
	ck_assert_int_eq(brood_set_executable(CHILD("starter")), 0);
	ck_assert_int_eq(guest_run((int)far[_i], 2, said, sizeof(said)), 3);
}
END_TEST

/* Nothing is set, and what was stays. */
START_TEST(what_cannot_run_functions_is_refused)
{
	const char *file = scratch_path("file");
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	ck_assert_int_eq(write(fd, "no program\n", 11), 11);
	ck_assert_int_eq(brood_set_executable(""), -EINVAL);
	ck_assert_int_eq(brood_set_executable(scratch_path("none")), -ENOENT);
	ck_assert_int_eq(brood_set_executable(file), -EACCES);
	ck_assert_int_eq(fchmod(fd, 0755), 0);
	close(fd);
	ck_assert_int_eq(brood_set_executable(file), -ENOEXEC);
	ck_assert_int_eq(brood_set_executable(CHILD("end")), -ENOTSUP);
	ck_assert_int_eq(brood_set_executable(CHILD("stay")), -ENOTSUP); /* after a while */
	ck_assert_int_eq(brood_set_executable(CHILD("other-starter")),
			 -EPROTO); /* a library of its own */
	runs_in(BROOD_START_SPAWN, own_path());
}
END_TEST

static void without_descriptors(void)
{
	const struct rlimit none = { .rlim_cur = 3, .rlim_max = 3 };

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(brood_set_executable(CHILD("starter")), -EMFILE);
}

START_TEST(it_takes_descriptors_to_ask)
{
	in_fork(without_descriptors);
	runs_in(BROOD_START_SPAWN, own_path());
}
END_TEST

START_TEST(not_while_a_server_is_there)
{
	find_library_from_anywhere();
	runs_in(BROOD_START_FORKSERVER, own_path());
	ck_assert_int_eq(brood_set_executable(copy_program("/proc/self/exe", "copy")), -EALREADY);
	ck_assert_int_eq(brood_set_executable(NULL), -EALREADY);
	runs_in(BROOD_START_FORKSERVER, own_path());
}
END_TEST

START_TEST(methods_have_names)
{
	brood_start_method all[4] = { BROOD_START_DEFAULT }, method = BROOD_START_DEFAULT;

	ck_assert_int_eq(brood_get_all_start_methods(NULL, 0), 3);
	ck_assert_int_eq(brood_get_all_start_methods(all, 1), 3);
	ck_assert(all[0] == BROOD_START_FORK && all[1] == BROOD_START_DEFAULT);
	ck_assert_int_eq(brood_get_all_start_methods(all, 4), 3);
	ck_assert(all[1] == BROOD_START_SPAWN && all[2] == BROOD_START_FORKSERVER &&
		  all[3] == BROOD_START_DEFAULT);
	ck_assert_str_eq(brood_start_method_name(BROOD_START_FORK), "fork");
	ck_assert_str_eq(brood_start_method_name(BROOD_START_SPAWN), "spawn");
	ck_assert_str_eq(brood_start_method_name(BROOD_START_FORKSERVER), "forkserver");
	ck_assert_ptr_eq(brood_start_method_name((brood_start_method)4), NULL);
	ck_assert_ptr_eq(brood_start_method_name((brood_start_method)-1), NULL);
	for (int i = BROOD_START_DEFAULT; i <= BROOD_START_FORKSERVER; i++) {
		const char *name = brood_start_method_name((brood_start_method)i);

		ck_assert_int_eq(brood_start_method_of(name, &method), 0);
		ck_assert_int_eq(method, i);
	}
	ck_assert_int_eq(brood_start_method_of("Spawn", &method), -EINVAL);
	ck_assert_int_eq(brood_start_method_of("", &method), -EINVAL);
	ck_assert_int_eq(brood_start_method_of(NULL, &method), -EINVAL);
	ck_assert_int_eq(method, BROOD_START_FORKSERVER);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase;

	brood_init();
	suite = suite_create("proc/image");
	tcase = leak_case(suite, "image", 120);
	tcase_add_checked_fixture(tcase, NULL, unmake);
	tcase_add_loop_test(tcase, a_copy_elsewhere_runs_the_function, 0, 2);
	tcase_add_loop_test(tcase, one_without_the_function_says_so, 0, 2);
	tcase_add_loop_test(tcase, one_runs_functions_of_libraries, 0, 2);
	tcase_add_test(tcase, what_cannot_run_functions_is_refused);
	tcase_add_test(tcase, it_takes_descriptors_to_ask);
	tcase_add_test(tcase, not_while_a_server_is_there);
	tcase_add_test(tcase, methods_have_names);
	return leak_run(suite);
}
