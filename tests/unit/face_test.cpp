/* brood/brood.hpp: what each overload makes of its argument, and that scopes give back exactly once. The process that a test
 * runs in is looked through for leaks by its fixture. */
#include <brood/brood.hpp>
#include <check.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include "tests/unit/leak.h"
}

static constexpr int64_t patience = 30 * BROOD_SEC;

/* Every test of processes is run once by each method. */
static const brood_start_method methods[] = { BROOD_START_FORK, BROOD_START_SPAWN,
					      BROOD_START_FORKSERVER };

static brood_process_opts by(brood_start_method method)
{
	brood_process_opts opts = {};

	opts.method = method;
	opts.fork_with_threads = is_sanitized; /* its runtime has some */
	return opts;
}

static int status_of(const brood::process &p)
{
	brood_exit end;

	ck_assert_int_eq(p.join(patience, &end), 0);
	return brood_exit_code(&end);
}

/* What a process's failure record says; the process ended with status 1. */
static const char *failure_of(const brood::process &p)
{
	static brood_fail fail;

	ck_assert_int_eq(status_of(p), 1);
	ck_assert_int_eq(brood_process_failure(p, &fail), 0);
	return fail.text;
}

/* ---- arguments */

enum colour { red = 3, green };
enum class level : unsigned char { low, high = 200 };

static bool is_int(const brood::arg &a, int64_t number)
{
	return a.object().kind == BROOD_OBJECT_INT && a.object().as.integer == number;
}

static bool is_uint(const brood::arg &a, uint64_t number)
{
	return a.object().kind == BROOD_OBJECT_UINT && a.object().as.natural == number;
}

static bool is_text(const brood::arg &a, std::string_view text)
{
	return a.object().kind == BROOD_OBJECT_TEXT &&
	       std::string_view(a.object().as.text, a.object().size) == text;
}

START_TEST(each_integer)
{
	ck_assert(is_int(static_cast<char>('x'), 'x'));
	ck_assert(is_int(static_cast<signed char>(-1), -1));
	ck_assert(is_int(static_cast<short>(-2), -2));
	ck_assert(is_int(-3, -3));
	ck_assert(is_int(LONG_MIN, LONG_MIN));
	ck_assert(is_int(LLONG_MIN, LLONG_MIN));
	ck_assert(is_int(INT64_MIN, INT64_MIN));
	ck_assert(is_uint(static_cast<unsigned char>(255), 255));
	ck_assert(is_uint(static_cast<unsigned short>(65535), 65535));
	ck_assert(is_uint(3u, 3));
	ck_assert(is_uint(ULONG_MAX, ULONG_MAX));
	ck_assert(is_uint(ULLONG_MAX, ULLONG_MAX));
	ck_assert(is_uint(sizeof(int), sizeof(int)));
	ck_assert(brood::arg(red).object().as.integer == 3);
	ck_assert(is_uint(level::high, 200));
}
END_TEST

START_TEST(each_other_value)
{
	char text[] = "text";
	const std::string string("a\0b", 3);
	const brood_object *o;

	ck_assert_int_eq(brood::arg(true).object().kind, BROOD_OBJECT_BOOL);
	ck_assert(brood::arg(true).object().as.boolean && !brood::arg(false).object().as.boolean);
	ck_assert_int_eq(brood::arg(1.5f).object().kind, BROOD_OBJECT_FLOAT);
	ck_assert_double_eq(brood::arg(1.5f).object().as.real, 1.5);
	ck_assert_double_eq(brood::arg(2.5).object().as.real, 2.5);
	ck_assert(is_text("const", "const"));
	ck_assert(is_text(text, "text"));
	ck_assert(is_text(string, std::string_view("a\0b", 3)));
	ck_assert(is_text(std::string_view("longer", 4), "long"));
	ck_assert(is_text(std::string_view(), ""));
	ck_assert_ptr_nonnull(brood::arg(std::string_view()).object().as.text);
	ck_assert_int_eq(brood::arg(BROOD_NONE).object().kind, BROOD_OBJECT_NONE);

	const brood::arg memory(brood::bytes{ text, 2 });

	o = &memory.object();
	ck_assert(o->kind == BROOD_OBJECT_BYTES && o->as.data == text && o->size == 2);

	const brood::arg fd(BROOD_FD(7));

	ck_assert_uint_eq(fd.object().tag, BROOD_ARG_FD);
}
END_TEST

#define ck_is_handle(name, type)                                                              \
	do {                                                                                  \
		brood_##name *p = reinterpret_cast<brood_##name *>(64);                       \
		const brood_##name *c = p;                                                    \
		const brood::arg mine(p), constant(c);                                        \
		ck_assert_int_eq(mine.object().kind, BROOD_OBJECT_HANDLE);                    \
		ck_assert(mine.object().tag == (type) && mine.object().as.data == p);         \
		ck_assert(constant.object().tag == (type) && constant.object().as.data == c); \
	} while (0)

START_TEST(each_handle)
{
	ck_is_handle(queue, BROOD_ARG_QUEUE);
	ck_is_handle(conn, BROOD_ARG_CONN);
	ck_is_handle(segment, BROOD_ARG_SEGMENT);
	ck_is_handle(list, BROOD_ARG_LIST);
	ck_is_handle(lock, BROOD_ARG_LOCK);
	ck_is_handle(rlock, BROOD_ARG_RLOCK);
	ck_is_handle(rwlock, BROOD_ARG_RWLOCK);
	ck_is_handle(sem, BROOD_ARG_SEM);
	ck_is_handle(permits, BROOD_ARG_PERMITS);
	ck_is_handle(cond, BROOD_ARG_COND);
	ck_is_handle(event, BROOD_ARG_EVENT);
	ck_is_handle(barrier, BROOD_ARG_BARRIER);
	ck_is_handle(latch, BROOD_ARG_LATCH);
	ck_is_handle(once, BROOD_ARG_ONCE);
	ck_is_handle(value, BROOD_ARG_VALUE);
	ck_is_handle(array, BROOD_ARG_ARRAY);
}
END_TEST

/* What becomes no argument, rather than a wrong one. */
template <class T> constexpr bool is_argument = std::is_constructible_v<brood::arg, T>;

static_assert(!is_argument<void *> && !is_argument<int *> && !is_argument<std::nullptr_t> &&
	      !is_argument<long double> && !is_argument<int (*)()> &&
	      !is_argument<brood_process *>);
static_assert(is_argument<const brood::queue &> && is_argument<const brood::conn &> &&
	      is_argument<const brood::segment &> && is_argument<const brood::list &> &&
	      !is_argument<const brood::process &>);
/* Nor has it two owners. */
static_assert(!std::is_copy_constructible_v<brood::queue> &&
	      !std::is_copy_assignable_v<brood::queue> &&
	      std::is_nothrow_move_constructible_v<brood::queue> &&
	      !std::is_copy_constructible_v<brood::run_result> &&
	      !std::is_copy_constructible_v<brood::lock_guard> &&
	      !std::is_convertible_v<brood::queue &&, brood_queue *>);

START_TEST(none_and_thirty_two)
{
	const brood::args none;
	const brood::args many(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
			       20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
	const brood_object *objects = none;

	ck_assert_uint_eq(objects[0].tag, BROOD_ARG_END);
	objects = many;
	for (int i = 0; i < 32; i++)
		ck_assert_int_eq(objects[i].as.integer, i);
	ck_assert_uint_eq(objects[32].tag, BROOD_ARG_END);
}
END_TEST

/* ---- processes */

struct shared {
	brood_lock lock;
	brood_value value;
	int number;
};

static int read_each(const brood_args *args)
{
	shared *s = brood::at<shared *>(args, 12);
	const brood::bytes memory = brood::at<brood::bytes>(args, 11);
	int64_t sum = 0;
	char c;

	if (brood_value_add(brood::at<brood_value *>(args, 13), 5, &sum) < 0 || sum != 5 ||
	    brood::at<const brood_lock *>(args, 14) != &s->lock || s->number != 77)
		return 3;
	if (brood::at<brood_segment *>(args, 15) == nullptr ||
	    brood_conn_recv_into(brood::at<brood_conn *>(args, 16), &c, 1, patience) != 1 ||
	    c != 'c' || brood_queue_get(brood::at<brood_queue *>(args, 17), &c, 1, patience) != 1 ||
	    c != 'q')
		return 4;
	if (!brood_object_is_none(brood::at<const brood_object *>(args, 18)) ||
	    write(brood::at<int>(args, 0) == -1 ? brood_args_fd(args, 19) : -1, "w", 1) != 1)
		return 5;
	return brood::at<signed char>(args, 0) == -1 && brood::at<int>(args, 0) == -1 &&
			       brood::at<int64_t>(args, 1) == INT64_MIN &&
			       brood::at<uint64_t>(args, 2) == UINT64_MAX &&
			       brood::at<unsigned char>(args, 3) == 255 &&
			       brood::at<bool>(args, 4) && brood::at<double>(args, 5) == 2.5 &&
			       brood::at<float>(args, 5) == 2.5f &&
			       brood::at<std::string_view>(args, 6) == "text" &&
			       brood::at<std::string>(args, 7) == std::string("a\0b", 3) &&
			       strcmp(brood::at<const char *>(args, 8), "view") == 0 &&
			       brood::at<colour>(args, 9) == green &&
			       brood::at<level>(args, 10) == level::high && memory.size == 2 &&
			       memcmp(memory.data, "\0\1", 2) == 0 ?
		       0 :
		       6;
}

START_TEST(each_argument_arrives)
{
	brood::segment segment;
	brood::conn here, there;
	brood::queue queue;
	brood::process p;
	int ends[2];
	char c;

	ck_assert_int_eq(brood_segment_new(sizeof(shared), nullptr, segment.ret()), 0);
	ck_assert_int_eq(brood_queue_new(nullptr, queue.ret()), 0);
	ck_assert_int_eq(brood_pipe(true, here.ret(), there.ret()), 0);
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(here.send("c"), 0);
	ck_assert_int_eq(queue.put("q"), 0);

	shared *s = segment.data<shared>();

	s->number = 77;
	brood_lock_init(&s->lock);
	brood_value_init(&s->value, 'q');
	ck_assert_int_eq(brood::start(read_each,
				      { -1,
					INT64_MIN,
					UINT64_MAX,
					static_cast<unsigned char>(255),
					true,
					2.5,
					"text",
					std::string("a\0b", 3),
					std::string_view("viewed", 4),
					green,
					level::high,
					brood::bytes{ "\0\1", 2 },
					BROOD_SHARED(s),
					&s->value,
					&s->lock,
					segment,
					there,
					queue,
					BROOD_NONE,
					BROOD_FD(ends[1]) },
				      by(methods[_i]), p),
			 0);
	ck_assert_int_eq(status_of(p), 0);
	ck_assert_int_eq(read(ends[0], &c, 1), 1);
	close(ends[0]);
	close(ends[1]);
	brood_finish();
}
END_TEST

static int typed(brood_queue *queue, int n, std::string_view name, const std::string &more,
		 bool flag)
{
	return brood_queue_put(queue, name.data(), name.size(), patience) == 0 && n == 3 &&
			       more == "more" && flag ?
		       42 :
		       1;
}

static void nothing()
{
}

static long big() noexcept
{
	return 7;
}

START_TEST(functions_with_parameters)
{
	brood::queue queue;
	brood::process p, other;
	char text[8];

	ck_assert_int_eq(brood_queue_new(nullptr, queue.ret()), 0);
	ck_assert_int_eq(brood::start(brood::call<typed>, { queue, 3, "bob", "more", true },
				      by(methods[_i]), p),
			 0);
	ck_assert_int_eq(status_of(p), 42);
	ck_assert_int_eq(queue.get(text, sizeof(text), patience), 3);
	ck_assert_mem_eq(text, "bob", 3);
	ck_assert_int_eq(brood::start(brood::call<nothing>, {}, by(methods[_i]), p), 0);
	ck_assert_int_eq(brood::start(brood::call<big>, {}, by(methods[_i]), other), 0);
	ck_assert_int_eq(status_of(p), 0);
	ck_assert_int_eq(status_of(other), 7);
	/* Without options: by whatever reaches it. */
	ck_assert_int_eq(brood::start(brood::call<big>, {}, p), 0);
	ck_assert_int_eq(status_of(p), 7);
	brood_finish();
}
END_TEST

static int small(signed char n)
{
	return n;
}

START_TEST(what_does_not_fit_ends_the_function)
{
	const brood_process_opts opts = by(BROOD_START_FORK);
	brood::process p;

	ck_assert_int_eq(freopen("/dev/null", "w", stderr) == nullptr, 0);
	ck_assert_int_eq(brood::start(brood::call<small>, { -128 }, opts, p), 0);
	ck_assert_int_eq(status_of(p), 128);
	ck_assert_int_eq(brood::start(brood::call<small>, { 128 }, opts, p), 0);
	ck_assert_str_eq(failure_of(p),
			 "argument 0: an int of 8 bits is wanted, and it does not fit");
	ck_assert_int_eq(brood::start(brood::call<small>, { "128" }, opts, p), 0);
	ck_assert_str_eq(failure_of(p), "argument 0: an int is wanted, a text is there");
	ck_assert_int_eq(brood::start(brood::call<small>, { 1, 2 }, opts, p), 0);
	ck_assert_str_eq(failure_of(p), "1 arguments are wanted, and there are 2");
	ck_assert_int_eq(brood::start(brood::call<typed>, {}, opts, p), 0);
	ck_assert_str_eq(failure_of(p), "5 arguments are wanted, and there are 0");
}
END_TEST

START_TEST(lambdas_and_objects)
{
	struct worker {
		int n;
		int run(const brood_args *args)
		{
			return n + brood::at<int>(args, 0);
		}
	} worker = { 30 };
	brood::process p, q;

	ck_assert_int_eq(
		brood::start([](const brood_args *args) { return brood::at<int>(args, 0); }, { 9 },
			     by(BROOD_START_FORK), p),
		0);
	ck_assert_int_eq(brood::start_run(worker, { 4 }, by(BROOD_START_FORK), q), 0);
	ck_assert_int_eq(status_of(p), 9);
	ck_assert_int_eq(status_of(q), 34);
}
END_TEST

START_TEST(a_failed_start_leaves_the_handle)
{
	brood::process p;
	brood::queue moved;
	brood_fail fail = {};
	brood_process_opts opts = by(BROOD_START_FORK);

	ck_assert_int_eq(brood::start(brood::call<nothing>, {}, opts, p), 0);

	brood_process *before = p.raw();

	opts.fail = &fail;
	ck_assert_int_eq(brood::start(brood::call<small>, { moved }, opts, p), -EINVAL);
	ck_assert_str_eq(fail.step, "args");
	ck_assert_str_eq(fail.text, "argument 0: no handle: a NULL");
	ck_assert_ptr_eq(p.raw(), before);
	opts.name = "";
	ck_assert_int_eq(brood::start(brood::call<nothing>, {}, opts, p), -EINVAL);
	ck_assert_int_eq(status_of(p), 0);
}
END_TEST

static void wait_for_end(brood_queue *end)
{
	char c;

	brood_queue_get(end, &c, 1, BROOD_FOREVER);
}

START_TEST(methods_of_a_process)
{
	brood::queue end;
	brood::process p, q;

	ck_assert_int_eq(brood_queue_new(nullptr, end.ret()), 0);
	ck_assert_int_eq(brood::start(brood::call<wait_for_end>, { end }, by(BROOD_START_FORK), p),
			 0);
	ck_assert_int_eq(brood::start(brood::call<wait_for_end>, { end }, by(BROOD_START_FORK), q),
			 0);
	ck_assert(p.pid() > 0 && p.pid() != q.pid());
	ck_assert_int_eq(p.is_alive(), 1);
	ck_assert_int_eq(p.join(0), -ETIMEDOUT);
	ck_assert_int_eq(p.terminate(), 0);
	ck_assert_int_eq(status_of(p), -SIGTERM);
	ck_assert_int_eq(p.is_alive(), 0);
	ck_assert_int_eq(q.kill(), 0);
	ck_assert_int_eq(status_of(q), -SIGKILL);
	ck_assert_int_eq(brood::start(brood::call<wait_for_end>, { end }, by(BROOD_START_FORK), q),
			 0);
	ck_assert_int_eq(q.stop(0), 0);
	ck_assert_int_eq(status_of(q), -SIGKILL);
}
END_TEST

/* ---- handles */

START_TEST(handles_move)
{
	brood::queue a, b;
	char text[8];

	ck_assert(!a && a.raw() == nullptr);
	ck_assert_int_eq(brood_queue_new(nullptr, a.ret()), 0);

	brood_queue *is = a;

	b = std::move(a);
	ck_assert(!a && b.raw() == is);

	brood::queue c(std::move(b));

	ck_assert(!b && c.raw() == is);
	ck_assert_int_eq(b.put("x"), -EINVAL);
	ck_assert_int_eq(b.get(text, sizeof(text), 0), -EINVAL);
	ck_assert_int_eq(c.put(brood::bytes{ "xyz", 2 }, 0), 0);
	ck_assert_int_eq(brood_queue_size(c), 1);
	/* Into one that has something: that is let go, and the descriptor with it. */
	ck_assert_int_eq(brood_queue_new(nullptr, b.ret()), 0);
	b = std::move(c);
	ck_assert_ptr_eq(b.raw(), is);

	brood::queue &same = b;

	b = std::move(same);
	ck_assert_ptr_eq(b.raw(), is);
	ck_assert_int_eq(b.get(text, sizeof(text), 0), 2);
	ck_assert_int_eq(b.close(), 0);
	ck_assert_int_eq(b.put("x"), -EPIPE);
	/* A second owner, by hand. */
	a.reset(brood_queue_ref(b));
	is = a.release();
	ck_assert(!a && is == b.raw());
	ck_assert_ptr_eq(brood_queue_unref(is), nullptr);
	/* And over what is there: no leak, nor after a failure. */
	ck_assert_int_eq(brood_queue_new(nullptr, b.ret()), 0);
	ck_assert_int_eq(brood_queue_open("brood-no-such-queue", b.ret()), -ENOENT);
	ck_assert(!b);
}
END_TEST

START_TEST(connections_and_kin)
{
	brood::conn a, b;
	brood::segment segment;
	brood::heap heap;
	brood::list list;
	brood::listener listener;
	brood::object object;
	char text[8];
	brood_item item = {};

	ck_assert_int_eq(brood_pipe(true, a.ret(), b.ret()), 0);
	ck_assert_int_eq(a.send("one", patience), 0);
	ck_assert_int_eq(a.send(brood::bytes{ "two", 2 }), 0);
	ck_assert_int_eq(b.recv(text, sizeof(text), patience), 3);
	ck_assert_int_eq(b.recv(text, sizeof(text)), 2);
	ck_assert_int_eq(brood_conn_send(a, &brood::arg(5).object(), nullptr, patience), 0);
	ck_assert_int_eq(brood_conn_recv(b, nullptr, patience, object.ret()), 0);
	ck_assert_int_eq(object.raw()->as.integer, 5);
	a.reset();
	ck_assert_int_eq(b.recv(text, sizeof(text), patience), -EPIPE);
	ck_assert(!a);

	ck_assert_int_eq(brood_segment_new(1 << 20, nullptr, segment.ret()), 0);
	ck_assert_ptr_eq(segment.data<char>(), brood_segment_data(segment));
	ck_assert_int_eq(brood_heap_new(segment, heap.ret()), 0);
	segment.reset(); /* the heap has it still */

	item.kind = BROOD_ITEM_INT;
	ck_assert_int_eq(brood_list_new(&item, 1, nullptr, list.ret()), 0);
	ck_assert_uint_eq(brood_list_length(list), 1);
	ck_assert_int_eq(brood_listener_new(nullptr, nullptr, listener.ret()), 0);
}
END_TEST

/* ---- programs */

START_TEST(programs)
{
	const std::string word("two words");
	brood_spawn_opts none = {};
	brood_popen_opts opts = {};
	brood::child child;
	brood::popen cat;
	brood_exit end;

	none.out.kind = BROOD_STDIO_NULL;
	ck_assert_int_eq(
		brood_spawn(brood::argv{ "sh", "-c", "test \"$1\" = 'two words'", "sh", word },
			    &none, child.ret()),
		0);
	ck_assert_int_eq(child.wait(patience, &end), 0);
	ck_assert(brood_exit_ok(&end));
	ck_assert_int_eq(brood_spawn(brood::argv{ "sleep", "1000" }, &none, child.ret()), 0);
	ck_assert_int_eq(child.stop(0, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), -SIGKILL);
	ck_assert_int_eq(brood_spawn(brood::argv{ "/no/such/program" }, &none, child.ret()),
			 -ENOENT);
	ck_assert_int_eq(brood_spawn(brood::argv{}, &none, child.ret()), -EINVAL);
	ck_assert(!child);

	opts.spawn.in.kind = opts.spawn.out.kind = BROOD_STDIO_PIPE;
	ck_assert_int_eq(brood_popen_start(brood::argv{ "cat" }, &opts, cat.ret()), 0);
	ck_assert_int_eq(cat.communicate("through", patience), 0);
	ck_assert(cat.output(1) == "through");
	ck_assert(cat.output(2).empty());
	ck_assert_int_eq(cat.wait(0, &end), 0);
	ck_assert(brood_exit_ok(&end));
	ck_assert_int_eq(brood_popen_start(brood::argv{ "cat" }, &opts, cat.ret()), 0);
	ck_assert_int_eq(cat.communicate(), 0);
	ck_assert_int_eq(brood_popen_start(brood::argv{ "sleep", "1000" }, nullptr, cat.ret()), 0);
	ck_assert_int_eq(cat.stop(0), 0);
}
END_TEST

START_TEST(results_of_runs)
{
	brood_run_opts opts = {};
	brood::run_result a, b;

	opts.capture = true;
	ck_assert_int_eq(
		brood_run(brood::argv{ "sh", "-c", "echo out; echo err >&2" }, &opts, a.ret()), 0);
	ck_assert(a.out_text() == "out\n" && a.err_text() == "err\n");
	b = std::move(a);
	ck_assert(b.out_text() == "out\n" && a.out_text().empty() && a.exit.kind == BROOD_RUNNING);

	brood::run_result c(std::move(b));
	brood::run_result &same = c;

	c = std::move(same);
	ck_assert(c.out_text() == "out\n" && brood_exit_ok(&c.exit));
	ck_assert_int_eq(brood_run(brood::argv{ "/no/such/program" }, &opts, c.ret()), -ENOENT);
	ck_assert(c.out_text().empty());
	ck_assert_int_eq(brood_run(brood::argv{ "echo", "again" }, &opts, c.ret()), 0);
	ck_assert_int_eq(brood_run(brood::argv{ "echo", "over" }, &opts, c.ret()), 0);
	ck_assert(c.out_text() == "over\n");
}
END_TEST

/* ---- guards */

static shared *guarded(brood::segment &segment)
{
	ck_assert_int_eq(brood_segment_new(sizeof(shared), nullptr, segment.ret()), 0);
	ck_assert_int_eq(brood_lock_init(&segment.data<shared>()->lock), 0);
	return segment.data<shared>();
}

START_TEST(a_guard_gives_back_once)
{
	brood::segment segment;
	brood_lock &lock = guarded(segment)->lock;

	{
		brood::lock_guard guard(lock);

		ck_assert(guard && guard.result() == 0 && !guard.owner_died());
		ck_assert_int_eq(brood_lock_owner(&lock), getpid());

		brood::lock_guard second(lock, 0);

		ck_assert(!second && second.result() == -ETIMEDOUT);
		ck_assert_int_eq(second.release(), -EPERM);

		brood::lock_guard moved(std::move(guard));

		ck_assert(moved && !guard && guard.result() == -EPERM);
		ck_assert_int_eq(guard.release(), -EPERM);
		ck_assert_int_eq(brood_lock_owner(&lock), getpid());
	}
	ck_assert_int_eq(brood_lock_owner(&lock), 0);
	{
		brood::lock_guard guard(lock);

		ck_assert_int_eq(guard.release(), 0);
		ck_assert_int_eq(brood_lock_owner(&lock), 0);

		brood::lock_guard again(lock); /* the first one's end leaves it alone */
	}
	ck_assert_int_eq(brood_lock_owner(&lock), 0);
	memset(&lock, 0, sizeof(lock));
	ck_assert_int_eq(brood::lock_guard(lock).result(), -EINVAL);
}
END_TEST

START_TEST(a_guard_says_that_the_owner_died)
{
	brood::segment segment;
	shared *s = guarded(segment);
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		brood::lock_guard guard(s->lock);

		kill(getpid(), SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	{
		brood::lock_guard guard(s->lock, patience);

		ck_assert(guard && guard.owner_died());
		ck_assert_int_eq(guard.result(), BROOD_OWNER_DIED);
		ck_assert_int_eq(brood_lock_dead_owner(&s->lock), pid);
	}
	brood::lock_guard guard(s->lock, patience);

	ck_assert(guard && !guard.owner_died());
}
END_TEST

START_TEST(guards_of_each_kind)
{
	alignas(64) static unsigned char memory[2][4096];
	auto *rwlock = reinterpret_cast<brood_rwlock *>(memory[0]);
	auto *permits = reinterpret_cast<brood_permits *>(memory[1]);
	static brood_rlock rlock;
	static brood_sem sem;

	ck_assert_int_eq(brood_rlock_init(&rlock), 0);
	ck_assert_int_eq(brood_sem_init_bounded(&sem, 1, 1), 0);
	ck_assert_int_eq(brood_rwlock_init(rwlock, sizeof(memory[0]), 4), 0);
	ck_assert_int_eq(brood_permits_init(permits, sizeof(memory[1]), 2), 0);
	{
		brood::rlock_guard once(rlock), twice(rlock);
		brood::sem_guard taken(sem), none(sem, 0);
		brood::read_guard reader(*rwlock), another(*rwlock);
		brood::write_guard writer(*rwlock, patience);
		brood::permits_guard one(*permits);

		ck_assert(once && twice && taken && reader && another && one);
		ck_assert(!none && none.result() == -ETIMEDOUT);
		ck_assert(!writer && writer.result() == -EDEADLK);
		ck_assert_int_eq(brood_rwlock_readers(rwlock), 2);
		ck_assert_int_eq(brood_permits_value(permits), 1);
	}
	ck_assert_int_eq(brood_rlock_owner(&rlock), 0);
	ck_assert_int_eq(brood_sem_value(&sem), 1);
	ck_assert_int_eq(brood_rwlock_readers(rwlock), 0);
	ck_assert_int_eq(brood_permits_value(permits), 2);
	brood::write_guard writer(*rwlock);

	ck_assert_int_eq(brood_rwlock_writer(rwlock), getpid());
}
END_TEST

START_TEST(a_lease_comes_again_unless_acked)
{
	brood_queue_opts opts = {};
	brood::queue queue;

	opts.leases = 2;
	ck_assert_int_eq(brood_queue_new(&opts, queue.ret()), 0);
	ck_assert_int_eq(queue.put("work"), 0);
	{
		brood::lease lease(queue, patience), none(queue, 0);

		ck_assert(lease && lease.result() == 4 && lease.message() == "work");
		ck_assert_uint_eq(lease.deliveries(), 1);
		ck_assert(!none && none.result() == -ETIMEDOUT && none.message().empty());
		ck_assert_int_eq(none.ack(), -EPERM);
	}
	ck_assert_int_eq(brood_queue_leased(queue), 0);
	{
		brood::lease lease(queue, patience);

		ck_assert_uint_eq(lease.deliveries(), 2);
		ck_assert_int_eq(lease.ack(), 0);
		ck_assert(!lease && lease.ack() == -EPERM);
	}
	ck_assert_int_eq(brood_queue_size(queue), 0);
	ck_assert_int_eq(brood_queue_unfinished(queue), 0);
	ck_assert_int_eq(brood_queue_new(nullptr, queue.ret()), 0);
	ck_assert_int_eq(brood::lease(queue, 0).result(), -EOPNOTSUPP);
}
END_TEST

int main()
{
	Suite *suite = suite_create("brood.hpp");
	TCase *tcase;

	brood_init();
	tcase = leak_case(suite, "arguments", 60);
	tcase_add_test(tcase, each_integer);
	tcase_add_test(tcase, each_other_value);
	tcase_add_test(tcase, each_handle);
	tcase_add_test(tcase, none_and_thirty_two);
	tcase = leak_case(suite, "processes", 120);
	tcase_add_loop_test(tcase, each_argument_arrives, 0, 3);
	tcase_add_loop_test(tcase, functions_with_parameters, 0, 3);
	tcase_add_test(tcase, what_does_not_fit_ends_the_function);
	tcase_add_test(tcase, lambdas_and_objects);
	tcase_add_test(tcase, a_failed_start_leaves_the_handle);
	tcase_add_test(tcase, methods_of_a_process);
	tcase = leak_case(suite, "handles", 60);
	tcase_add_test(tcase, handles_move);
	tcase_add_test(tcase, connections_and_kin);
	tcase_add_test(tcase, programs);
	tcase_add_test(tcase, results_of_runs);
	tcase = leak_case(suite, "guards", 60);
	tcase_add_test(tcase, a_guard_gives_back_once);
	tcase_add_test(tcase, a_guard_says_that_the_owner_died);
	tcase_add_test(tcase, guards_of_each_kind);
	tcase_add_test(tcase, a_lease_comes_again_unless_acked);
	return leak_run(suite);
}
