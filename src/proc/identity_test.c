/* Who is who, by exec'ed programs: the processes of Check's tests are forks, and none is the main process. */
#include <brood/process.h>

#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static const char table[] =
	/* clang-format off */
	"fork before first use: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"fork before first use: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"raw clone before first use: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"raw clone before first use: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"main: main=1 depth=0 path= name=MainProcess parent=none\n"
	"fork after: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"fork after: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"raw clone: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"raw clone: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"child of fork: main=0 depth=2 path=0:1 name=Process-0:1 parent=yes\n"
	"fork of a fork: main is alive\n"
	"fork of a fork: main is not known\n"
	"child: main=0 depth=1 path=1 name=Process-1 parent=yes\n"
	"grandchild: main=0 depth=2 path=1:1 name=Process-1:1 parent=yes\n"
	"fork in child: main=0 depth=2 path=1:0 name=Process-1:0 parent=yes\n"
	"fork in child: main=0 depth=2 path=1:0 name=Process-1:0 parent=yes\n"
	"second child: main=0 depth=1 path=2 name=Process-2 parent=yes\n"
	"worker: main=1 depth=0 path= name=MainProcess parent=none\n"
	"main, renamed: main=1 depth=0 path= name=renamed parent=none\n"
	"fork of that: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"fork of that: main=0 depth=1 path=0 name=Process-0 parent=yes\n";
/* clang-format on */

START_TEST(everybody_knows_who_he_is)
{
	int out = open_file("said", "");
	brood_exit end = run(BROOD_ARGV(CHILD("family")),
			     &(brood_spawn_opts){ .out = { BROOD_STDIO_FD, .fd = out } });
	char text[4096] = "";

	ck_assert_int_ge(pread(out, text, sizeof(text) - 1, 0), 0);
	close(out);
	ck_assert_str_eq(text, table);
	ck_assert_int_eq(brood_exit_code(&end), 0);
}
END_TEST

START_TEST(two_copies_in_one_process)
{
	int (*is_main[2])(void), (*start_one[2])(int (*)(void));
	void *copies[2];

	for (int i = 0; i < 2; i++) {
		copies[i] = dlopen(i == 0 ? CHILD("copy-a.so") : CHILD("copy-b.so"),
				   RTLD_NOW | RTLD_LOCAL);
		ck_assert_msg(copies[i] != NULL, "%s", dlerror());
		*(void **)&is_main[i] = dlsym(copies[i], "copy_is_main");
		*(void **)&start_one[i] = dlsym(copies[i], "copy_start");
	}
	ck_assert(is_main[0] != is_main[1]);
	/* Each was loaded here, so that this process is the main one to both; and no child is to either. */
	ck_assert_int_eq(is_main[0](), 1);
	ck_assert_int_eq(is_main[1](), 1);
	ck_assert_int_eq(start_one[0](is_main[1]), 0);
	ck_assert_int_eq(start_one[1](is_main[0]), 0);
	ck_assert_int_eq(is_main[0](), 1);
	/* Closing forgets nothing. */
	dlclose(copies[0]);
	copies[0] = dlopen(CHILD("copy-a.so"), RTLD_NOW | RTLD_LOCAL);
	ck_assert_ptr_eq(dlsym(copies[0], "copy_is_main"), *(void **)&is_main[0]);
	ck_assert_int_eq(is_main[0](), 1);
	dlclose(copies[0]);
	dlclose(copies[1]);
}
END_TEST

static struct shared {
	flag here, go, orphaned;
	int alive_before, alive_after, main_alive;
} * s;

/* Sees that its grandparent is gone, though its own parent never is. */
static int look_up(const brood_args *args)
{
	brood_process *top = brood_ancestor_process((int)brood_args_int(args, 0));
	brood_exit end;

	s->alive_before = brood_process_is_alive(top);
	raise_flag(&s->here);
	must(brood_process_join(top, PATIENCE_NS, &end) == 0);
	must(end.kind == BROOD_LOST);
	s->alive_after = brood_process_is_alive(top);
	raise_flag(&s->orphaned);
	await(&s->go);
	return 0;
}

static int between(const brood_args *args)
{
	brood_process *p;
	int r = brood_process_start(look_up, BROOD_ARGS(brood_args_int(args, 0)),
				    &(brood_process_opts){ .outlive = true }, &p);

	must(r == 0);
	brood_process_join(p, BROOD_FOREVER, NULL);
	return 0;
}

static int top(const brood_args *args)
{
	brood_process *p;

	(void)args;
	must(brood_process_start(between, BROOD_ARGS(brood_process_depth(brood_current_process())),
				 &(brood_process_opts){ .outlive = true }, &p) == 0);
	await(&s->here);
	return 0;
}

START_TEST(grandchildren_see_an_ancestor_go)
{
	brood_process *p;

	s = share(sizeof(*s));
	ck_assert_int_eq(brood_process_start(top, BROOD_NO_ARGS, NULL, &p), 0);
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, NULL), 0);
	brood_process_unref(p);
	await(&s->orphaned);
	ck_assert_int_eq(s->alive_before, 1);
	ck_assert_int_eq(s->alive_after, 0);
	raise_flag(&s->go);
	ck_assert(bury_all());
}
END_TEST

/* One in the other, until it is too deep. */
static int go_deeper(const brood_args *args)
{
	brood_fail fail = { .step = NULL };
	brood_process *p;
	brood_exit end;
	int r = brood_process_start(go_deeper, BROOD_NO_ARGS,
				    &(brood_process_opts){ .fail = &fail }, &p);

	(void)args;
	if (r < 0)
		return r == -ELOOP && strcmp(fail.step, "depth") == 0 ?
			       brood_process_depth(brood_current_process()) :
			       255;
	must(brood_process_join(p, PATIENCE_NS, &end) == 0);
	brood_process_unref(p);
	return brood_exit_code(&end);
}

START_TEST(depth_has_an_end)
{
	brood_process *p;
	brood_exit end;

	ck_assert_int_eq(brood_process_start(go_deeper, BROOD_NO_ARGS, NULL, &p), 0);
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, &end), 0);
	brood_process_unref(p);
	ck_assert_int_eq(brood_exit_code(&end), BROOD_PROCESS_DEPTH_MOST);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proc/identity");
	TCase *identity = leak_case(suite, "identity", 60);

	tcase_add_test(identity, everybody_knows_who_he_is);
	tcase_add_test(identity, two_copies_in_one_process);
	tcase_add_test(identity, grandchildren_see_an_ancestor_go);
	tcase_add_test(identity, depth_has_an_end);
	return leak_run(suite);
}
