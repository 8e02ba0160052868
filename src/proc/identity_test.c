/* Who is who, by exec'ed programs: the processes of Check's tests are forks, and none is the main process. */
#include <brood/process.h>

#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static const char forks[] =
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

/* Children by each method, and theirs by each: fork, spawn and forkserver below each of them. */
static const char methods[] =
	/* clang-format off */
	"main: main=1 depth=0 path= name=MainProcess parent=none\n"
	"fork: main=0 depth=1 path=1 name=Process-1 parent=yes\n"
	"fork: main=0 depth=2 path=1:0 name=Process-1:0 parent=yes\n"
	"fork: main=0 depth=2 path=1:0 name=Process-1:0 parent=yes\n"
	"fork: main=0 depth=2 path=1:0 name=Process-1:0 parent=yes\n"
	"fork: main=0 depth=2 path=1:0 name=Process-1:0 parent=yes\n"
	"fork, fork: main=0 depth=2 path=1:1 name=Process-1:1 parent=yes\n"
	"fork, spawn: main=0 depth=2 path=1:2 name=Process-1:2 parent=yes\n"
	"fork, forkserver: main=0 depth=2 path=1:3 name=Process-1:3 parent=yes\n"
	"spawn: main=0 depth=1 path=2 name=Process-2 parent=yes\n"
	"spawn: main=0 depth=2 path=2:0 name=Process-2:0 parent=yes\n"
	"spawn: main=0 depth=2 path=2:0 name=Process-2:0 parent=yes\n"
	"spawn: main=0 depth=2 path=2:0 name=Process-2:0 parent=yes\n"
	"spawn: main=0 depth=2 path=2:0 name=Process-2:0 parent=yes\n"
	"spawn, fork: main=0 depth=2 path=2:1 name=Process-2:1 parent=yes\n"
	"spawn, spawn: main=0 depth=2 path=2:2 name=Process-2:2 parent=yes\n"
	"spawn, forkserver: main=0 depth=2 path=2:3 name=Process-2:3 parent=yes\n"
	"forkserver: main=0 depth=1 path=3 name=Process-3 parent=yes\n"
	"forkserver: main=0 depth=2 path=3:0 name=Process-3:0 parent=yes\n"
	"forkserver: main=0 depth=2 path=3:0 name=Process-3:0 parent=yes\n"
	"forkserver: main=0 depth=2 path=3:0 name=Process-3:0 parent=yes\n"
	"forkserver: main=0 depth=2 path=3:0 name=Process-3:0 parent=yes\n"
	"forkserver, fork: main=0 depth=2 path=3:1 name=Process-3:1 parent=yes\n"
	"forkserver, spawn: main=0 depth=2 path=3:2 name=Process-3:2 parent=yes\n"
	"forkserver, forkserver: main=0 depth=2 path=3:3 name=Process-3:3 parent=yes\n"
	"main: main=1 depth=0 path= name=MainProcess parent=none\n";
/* clang-format on */

START_TEST(everybody_knows_who_he_is)
{
	static const struct {
		const char *word, *table;
	} families[] = { { "forks", forks }, { "methods", methods } };
	int out = open_file("said", "");
	brood_exit end = run(BROOD_ARGV(CHILD("family"), families[_i].word),
			     &(brood_spawn_opts){ .out = { BROOD_STDIO_FD, .fd = out } });
	char text[4096] = "";

	ck_assert_int_ge(pread(out, text, sizeof(text) - 1, 0), 0);
	close(out);
	ck_assert_str_eq(text, families[_i].table);
	ck_assert_int_eq(brood_exit_code(&end), 0);
}
END_TEST

/* ---- several libbroods in one process */

typedef int who_says(pid_t maker, char *buf, size_t size);

static struct copy {
	void *module;
	who_says *who;
	int (*start)(int method, who_says *other, int out);
} a, b;

static int said;

static void load(struct copy *copy, const char *path)
{
	copy->module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	ck_assert_msg(copy->module != NULL, "%s", dlerror());
	*(void **)&copy->who = dlsym(copy->module, "copy_who");
	*(void **)&copy->start = dlsym(copy->module, "copy_start");
}

static void load_both(void)
{
	load(&a, CHILD("copy-a.so"));
	load(&b, CHILD("copy-b.so"));
	ck_assert(a.who != b.who);
}

/* What this process is to each. */
static void note(const char *where, pid_t maker)
{
	char words[300];

	a.who(maker, words, sizeof(words));
	dprintf(said, "%s, a: %s\n", where, words);
	b.who(maker, words, sizeof(words));
	dprintf(said, "%s, b: %s\n", where, words);
}

static void note_late(void)
{
	load_both();
	note("fork before they are loaded", getppid());
}

static void note_fork(void)
{
	note("fork", getppid());
}

static void note_clone(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		note("raw clone", getppid());
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static const char copies[] =
	/* clang-format off */
	"fork before they are loaded, a: main=1 depth=0 path= name=MainProcess parent=none\n"
	"fork before they are loaded, b: main=1 depth=0 path= name=MainProcess parent=none\n"
	"loaded, a: main=1 depth=0 path= name=MainProcess parent=none\n"
	"loaded, b: main=1 depth=0 path= name=MainProcess parent=none\n"
	"fork, a: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"fork, b: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"raw clone, a: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"raw clone, b: main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	/* A child of the one is to the other a fork by somebody. */
	"main=0 depth=1 path=1 name=Process-1 parent=yes\n"
	"main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"main=0 depth=1 path=1 name=Process-1 parent=yes\n"
	"main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	/* Closing forgets nothing, as often as it is done. */
	"closed 0 times, a: main=1 depth=0 path= name=MainProcess parent=none\n"
	"closed 0 times, b: main=1 depth=0 path= name=MainProcess parent=none\n"
	"main=0 depth=1 path=2 name=Process-2 parent=yes\n"
	"main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"closed 1 times, a: main=1 depth=0 path= name=MainProcess parent=none\n"
	"closed 1 times, b: main=1 depth=0 path= name=MainProcess parent=none\n"
	"main=0 depth=1 path=3 name=Process-3 parent=yes\n"
	"main=0 depth=1 path=0 name=Process-0 parent=yes\n"
	"closed 2 times, a: main=1 depth=0 path= name=MainProcess parent=none\n"
	"closed 2 times, b: main=1 depth=0 path= name=MainProcess parent=none\n"
	"main=0 depth=1 path=4 name=Process-4 parent=yes\n"
	"main=0 depth=1 path=0 name=Process-0 parent=yes\n";
/* clang-format on */

START_TEST(two_copies_in_one_process)
{
	char text[4096] = "", where[32];

	said = open_file("said", "");
	in_fork(note_late);
	load_both();
	note("loaded", 0);
	in_fork(note_fork);
	note_clone();
	ck_assert_int_eq(a.start(BROOD_START_FORK, b.who, said), 0);
	ck_assert_int_eq(b.start(BROOD_START_FORK, a.who, said), 0);
	for (int i = 0; i < 3; i++) {
		snprintf(where, sizeof(where), "closed %d times", i);
		note(where, 0);
		ck_assert_int_eq(a.start(BROOD_START_FORK, b.who, said), 0);
		dlclose(a.module);
		dlclose(b.module);
		load_both();
	}
	/* No other program has this copy, and brood-loader does not get at what nobody else sees. */
	ck_assert_int_lt(a.start(BROOD_START_SPAWN, b.who, said), 0);
	ck_assert_int_lt(b.start(BROOD_START_FORKSERVER, a.who, said), 0);
	ck_assert_int_ge(pread(said, text, sizeof(text) - 1, 0), 0);
	ck_assert_str_eq(text, copies);
	close(said);
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

	tcase_add_loop_test(identity, everybody_knows_who_he_is, 0, 2);
	tcase_add_test(identity, two_copies_in_one_process);
	tcase_add_test(identity, grandchildren_see_an_ancestor_go);
	tcase_add_test(identity, depth_has_an_end);
	return leak_run(suite);
}
