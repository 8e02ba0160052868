/* brood/brood.hpp - brood from C++17: arguments by overloads, and scopes that own
 *
 *	static int work(brood_queue *tasks, int n, std::string_view name)
 *	{
 *		char task[64];
 *
 *		while (brood_queue_get(tasks, task, sizeof(task), BROOD_FOREVER) >= 0)
 *			n++;
 *		printf("%.*s did %d\n", (int)name.size(), name.data(), n);
 *		return 0;
 *	}
 *
 *	int main()
 *	{
 *		brood::queue tasks;
 *		brood::process p;
 *
 *		brood_init();
 *		if (brood_queue_new(nullptr, tasks.ret()) < 0 ||
 *		    brood::start(brood::call<work>, { tasks, 0, "bob" }, p) < 0)
 *			return 1;
 *		tasks.put("router1");
 *		brood_queue_close(tasks);
 *		return p.join() < 0;
 *	}
 *
 * It is a face, not a second library: all is inline, and the C headers, which stay the manual, are used as they are.
 *
 * Results    are those of C: 0 or more, or a negative errno value. Nothing is thrown, and it compiles without exceptions
 *            and RTTI. An exception that leaves a process's function is what it is elsewhere: std::terminate(), a crash.
 * Handles    brood::queue, conn, process, … own one reference, and give it back at the end of their scope, as the call of C that
 *            does so: a process or a program that runs goes on. They move, and do not copy. Every function of C takes one as it is;
 *            one that makes a handle is given .ret(), which lets go what was there before. Moved-from ones are empty, and NULL to
 *            C: start() and queues refuse that, others need not.
 * Arguments  { tasks, &s->lock, 3, "bob" } are what BROOD_ARGS(…) is in C, of the same types, and std::string and its view,
 *            enumerations and brood::bytes; BROOD_NONE, BROOD_FD(fd), BROOD_SHARED(address) as there. Up to 32, told by the
 *            compiler. They point to texts and bytes, and live as long as the call.
 * Functions  of a process are int work(const brood_args *), as in C, with brood::at<int>(args, 1) for any type; or have
 *            parameters, and are started as brood::call<work>, which reads them. What is no such argument, or does not fit, ends the
 *            function, as in C: "argument 1: an int is wanted, a text is there". A lambda that captures nothing is fine.
 * Guards     brood::lock_guard and its kin acquire, and release at the end of their scope. Whether they have it, and with what word
 *            (BROOD_OWNER_DIED), is to be asked. A raw fork(2) inside of their scope makes two that release: only
 *            sem_guard's succeeds twice. brood::lease is a message of a queue that comes again unless it was acked.
 * Objects    in shared memory (brood_lock, …) are C structs: initialise them as in C, and forget them. */
#ifndef BROOD_BROOD_HPP
#define BROOD_BROOD_HPP

#if __cplusplus < 201703L
#error "brood/brood.hpp needs C++17; the other headers are C++11, too"
#endif

#include <brood/brood.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace brood
{

/** Memory of some size, as a message and as an argument. */
struct bytes {
	const void *data;
	size_t size;
};

/* ---- handles */

/** One reference to a T, given back by `Free`. */
template <class T, T *(*Free)(T *)> class handle
{
public:
	handle() noexcept = default;
	explicit handle(T *taken) noexcept : raw_(taken)
	{
	}
	handle(handle &&from) noexcept : raw_(from.release())
	{
	}
	handle(const handle &) = delete;
	handle &operator=(const handle &) = delete;
	handle &operator=(handle &&from) noexcept
	{
		reset(from.release());
		return *this;
	}
	~handle()
	{
		Free(raw_);
	}

	/** For the functions of C. One that is about to go is refused. */
	operator T *() const &noexcept
	{
		return raw_;
	}
	operator T *() const && = delete;
	T *raw() const noexcept
	{
		return raw_;
	}
	explicit operator bool() const noexcept
	{
		return raw_ != nullptr;
	}

	/** For a parameter ret_x of C: it is empty then, until the function fills it. */
	T **ret() noexcept
	{
		reset();
		return &raw_;
	}
	/** The reference is the caller's now. */
	T *release() noexcept
	{
		return std::exchange(raw_, nullptr);
	}
	/** Have another one, of the caller's. */
	void reset(T *taken = nullptr) noexcept
	{
		Free(std::exchange(raw_, taken));
	}

private:
	T *raw_ = nullptr;
};

using heap = handle<brood_heap, brood_heap_unref>;
using jobs = handle<brood_jobs, brood_jobs_free>;
using list = handle<brood_list, brood_list_free>;
using listener = handle<brood_listener, brood_listener_free>;
using object = handle<brood_object, brood_object_free>;
using pipeline = handle<brood_pipeline, brood_pipeline_free>;

class process : public handle<brood_process, brood_process_unref>
{
public:
	using handle::handle;

	int join(int64_t timeout_ns = BROOD_FOREVER, brood_exit *ret_exit = nullptr) const
	{
		return brood_process_join(raw(), timeout_ns, ret_exit);
	}
	int is_alive() const
	{
		return brood_process_is_alive(raw());
	}
	pid_t pid() const
	{
		return brood_process_pid(raw());
	}
	int terminate() const
	{
		return brood_process_terminate(raw());
	}
	int kill() const
	{
		return brood_process_kill(raw());
	}
	int stop(int64_t grace_ns, brood_exit *ret_exit = nullptr) const
	{
		return brood_process_stop(raw(), grace_ns, ret_exit);
	}
};

class queue : public handle<brood_queue, brood_queue_unref>
{
public:
	using handle::handle;

	int put(std::string_view message, int64_t timeout_ns = BROOD_FOREVER) const
	{
		return brood_queue_put(raw(), message.data(), message.size(), timeout_ns);
	}
	int put(bytes message, int64_t timeout_ns = BROOD_FOREVER) const
	{
		return brood_queue_put(raw(), message.data, message.size, timeout_ns);
	}
	ssize_t get(void *buf, size_t size, int64_t timeout_ns = BROOD_FOREVER) const
	{
		return brood_queue_get(raw(), buf, size, timeout_ns);
	}
	int close() const
	{
		return brood_queue_close(raw());
	}
};

class conn : public handle<brood_conn, brood_conn_free>
{
public:
	using handle::handle;

	int send(std::string_view message, int64_t timeout_ns = BROOD_FOREVER) const
	{
		return brood_conn_send_bytes(raw(), message.data(), message.size(), timeout_ns);
	}
	int send(bytes message, int64_t timeout_ns = BROOD_FOREVER) const
	{
		return brood_conn_send_bytes(raw(), message.data, message.size, timeout_ns);
	}
	ssize_t recv(void *buf, size_t size, int64_t timeout_ns = BROOD_FOREVER) const
	{
		return brood_conn_recv_into(raw(), buf, size, timeout_ns);
	}
};

class segment : public handle<brood_segment, brood_segment_unref>
{
public:
	using handle::handle;

	/** The data, which begin as zeros; no constructor runs, and no destructor. */
	template <class T> T *data() const
	{
		static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= 64);
		return static_cast<T *>(brood_segment_data(raw()));
	}
};

class child : public handle<brood_child, brood_child_free>
{
public:
	using handle::handle;

	int wait(int64_t timeout_ns = BROOD_FOREVER, brood_exit *ret_exit = nullptr) const
	{
		return brood_child_wait(raw(), timeout_ns, ret_exit);
	}
	int stop(int64_t grace_ns, brood_exit *ret_exit = nullptr) const
	{
		return brood_child_stop(raw(), grace_ns, ret_exit);
	}
};

class popen : public handle<brood_popen, brood_popen_free>
{
public:
	using handle::handle;

	/** The default-constructed view is no input, and goes on with that of the call before. */
	int communicate(std::string_view input = {}, int64_t timeout_ns = BROOD_FOREVER) const
	{
		return brood_popen_communicate(raw(), input.data(), input.size(), timeout_ns);
	}
	/** What stream 1 or 2 has given so far, or nothing; good until the next call. */
	std::string_view output(int which) const
	{
		brood_output output;

		if (brood_popen_output(raw(), which, &output) < 0)
			return {};
		return { output.data, output.size };
	}
	int wait(int64_t timeout_ns = BROOD_FOREVER, brood_exit *ret_exit = nullptr) const
	{
		return brood_popen_wait(raw(), timeout_ns, ret_exit);
	}
	int stop(int64_t grace_ns, brood_exit *ret_exit = nullptr) const
	{
		return brood_popen_stop(raw(), grace_ns, ret_exit);
	}
};

/* ---- programs */

/** What BROOD_ARGV(…) is in C: brood::argv{ "df", folder }. It lives as long as its words. */
template <size_t N> class argv
{
public:
	template <class... Word>
	explicit argv(const Word &...words) noexcept : words_{ word(words)..., nullptr }
	{
	}
	operator const char * const *() const noexcept
	{
		return words_;
	}

private:
	static const char *word(const char *text) noexcept
	{
		return text;
	}
	static const char *word(const std::string &text) noexcept
	{
		return text.c_str();
	}

	const char *words_[N + 1];
};

template <class... Word> argv(const Word &...) -> argv<sizeof...(Word)>;

/** The result of brood_run() and brood_pipeline_run(), which its scope gives back. */
class run_result : public brood_run_result
{
public:
	run_result() noexcept : brood_run_result()
	{
	}
	run_result(run_result &&from) noexcept
		: brood_run_result(std::exchange(from.base(), brood_run_result()))
	{
	}
	run_result &operator=(run_result &&from) noexcept
	{
		brood_run_result taken = std::exchange(from.base(), brood_run_result());

		brood_run_result_fini(this);
		base() = taken;
		return *this;
	}
	~run_result()
	{
		brood_run_result_fini(this);
	}

	brood_run_result *ret() noexcept
	{
		brood_run_result_fini(this);
		return this;
	}
	std::string_view out_text() const noexcept
	{
		return { out, out_size };
	}
	std::string_view err_text() const noexcept
	{
		return { err, err_size };
	}

private:
	brood_run_result &base() noexcept
	{
		return *this;
	}
};

/* ---- arguments, made */

/* What brood_##name is a handle, or memory, of. */
/* clang-format off */
#define BROOD_FACE_TYPES_(X) \
	X(queue) X(conn) X(segment) X(list) X(lock) X(rlock) X(rwlock) X(sem) X(permits) \
	X(cond) X(event) X(barrier) X(latch) X(once) X(value) X(array)
/* clang-format on */

/** One argument, of whatever type it has. */
class arg
{
public:
	arg(const brood_object &made) noexcept : object_(made)
	{
	}
	/* Templates, so that nothing becomes a number, or true, on its way: no pointer, no long double. */
	template <class T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
	arg(T number) noexcept : object_(of(number))
	{
	}
	template <class T, std::enable_if_t<std::is_enum_v<T>, int> = 0>
	arg(T number) noexcept : object_(of(static_cast<std::underlying_type_t<T>>(number)))
	{
	}
	template <class T,
		  std::enable_if_t<std::is_same_v<T, float> || std::is_same_v<T, double>, int> = 0>
	arg(T number) noexcept : object_(brood_object_of_float(static_cast<double>(number)))
	{
	}
	arg(const char *text) noexcept : object_(brood_arg_of_str(text))
	{
	}
	arg(std::string_view text) noexcept
		: object_(BROOD_TEXT_OF(text.data() != nullptr ? text.data() : "", text.size()))
	{
	}
	arg(const std::string &text) noexcept : arg(std::string_view(text))
	{
	}
	arg(bytes memory) noexcept : object_(BROOD_BYTES(memory.data, memory.size))
	{
	}
#define BROOD_FACE_OF_(name)                                                              \
	arg(const brood_##name *pointer) noexcept : object_(brood_arg_of_##name(pointer)) \
	{                                                                                 \
	}
	BROOD_FACE_TYPES_(BROOD_FACE_OF_)
#undef BROOD_FACE_OF_

	const brood_object &object() const noexcept
	{
		return object_;
	}

private:
	template <class T> static brood_object of(T number) noexcept
	{
		static_assert(sizeof(T) <= sizeof(uint64_t), "no integer of more than 64 bits");
		if constexpr (std::is_same_v<T, bool>)
			return brood_object_of_bool(number);
		else if constexpr (std::is_unsigned_v<T> && !std::is_same_v<T, char>)
			return brood_object_of_uint(number);
		else
			return brood_object_of_int(number);
	}

	brood_object object_;
};

/** The arguments of a start; {} are none. */
class args
{
public:
	template <class... T>
	args(const T &...arguments) noexcept
		: objects_{ arg(arguments).object()..., BROOD_ARGS_END }
	{
		static_assert(sizeof...(T) <= 32, "more than 32 arguments");
	}
	args(const args &) = delete;
	args &operator=(const args &) = delete;

	operator const brood_object *() const noexcept
	{
		return objects_;
	}

private:
	brood_object objects_[33];
};

/* ---- arguments, read */

template <class T> T at(const brood_args *args, size_t index);

namespace detail
{

#define BROOD_FACE_AT_(name)                                                                  \
	inline brood_##name *pointer_at(const brood_args *args, size_t index, brood_##name *) \
	{                                                                                     \
		return brood_args_##name(args, index);                                        \
	}
BROOD_FACE_TYPES_(BROOD_FACE_AT_)
#undef BROOD_FACE_AT_

/* Whatever else lies in a segment: it was BROOD_SHARED(). */
template <class T> T *pointer_at(const brood_args *args, size_t index, T *)
{
	return static_cast<T *>(brood_args_shared(args, index));
}

template <class T> T integer_at(const brood_args *args, size_t index)
{
	using wide = std::conditional_t<std::is_unsigned_v<T>, uint64_t, int64_t>;
	wide number;

	if constexpr (std::is_unsigned_v<T>)
		number = brood_args_uint(args, index);
	else
		number = brood_args_int(args, index);
	if (static_cast<wide>(static_cast<T>(number)) != number)
		brood_process_fail(
			"argument %zu: an int of %zu bits is wanted, and it does not fit", index,
			sizeof(T) * 8);
	return static_cast<T>(number);
}

/* With NULs in it, too. */
inline std::string_view text_at(const brood_args *args, size_t index)
{
	const char *text;
	size_t size;

	if (brood_object_text(brood_args_object(args, index), &text, &size) < 0)
		return brood_args_str(args, index); /* which says what is wrong */
	return { text, size };
}

template <class Result, class... T, size_t... I>
int apply(Result (*function)(T...), const brood_args *args, std::index_sequence<I...>)
{
	if (brood_args_count(args) != sizeof...(T))
		brood_process_fail("%zu arguments are wanted, and there are %zu", sizeof...(T),
				   brood_args_count(args));
	if constexpr (std::is_void_v<Result>) {
		function(at<std::decay_t<T>>(args, I)...);
		return 0;
	} else {
		return static_cast<int>(function(at<std::decay_t<T>>(args, I)...));
	}
}

template <class Result, class... T> int apply(Result (*function)(T...), const brood_args *args)
{
	return apply(function, args, std::index_sequence_for<T...>());
}

}
#undef BROOD_FACE_TYPES_

/** An argument by the type that it has to have: a number that must fit, bool, const char *, std::string, its view, brood::bytes,
 * brood_queue * and its like, const brood_object *, or T * for what BROOD_SHARED() named. */
template <class T> T at(const brood_args *args, size_t index)
{
	if constexpr (std::is_same_v<T, bool>) {
		return brood_args_bool(args, index);
	} else if constexpr (std::is_enum_v<T>) {
		return static_cast<T>(at<std::underlying_type_t<T>>(args, index));
	} else if constexpr (std::is_integral_v<T>) {
		return detail::integer_at<T>(args, index);
	} else if constexpr (std::is_floating_point_v<T>) {
		return static_cast<T>(brood_args_double(args, index));
	} else if constexpr (std::is_same_v<T, const char *>) {
		return brood_args_str(args, index);
	} else if constexpr (std::is_same_v<T, std::string_view> ||
			     std::is_same_v<T, std::string>) {
		return T(detail::text_at(args, index));
	} else if constexpr (std::is_same_v<T, bytes>) {
		size_t size;
		const void *data = brood_args_bytes(args, index, &size);

		return { data, size };
	} else if constexpr (std::is_same_v<T, const brood_object *>) {
		return brood_args_object(args, index);
	} else {
		static_assert(std::is_pointer_v<T> && !std::is_same_v<T, char *>,
			      "no type of an argument; a text is a const char *");
		return detail::pointer_at(
			args, index,
			static_cast<std::remove_const_t<std::remove_pointer_t<T>> *>(nullptr));
	}
}

/* ---- processes */

/** `Function`, which has parameters, as what a process runs: it reads them by their types. void is status 0. */
template <auto Function> int call(const brood_args *args)
{
	return detail::apply(Function, args);
}

/** brood_process_start().
 * Returns: 0, and the process in ret_process, which is untouched on failure. Errors: as there. */
inline int start(brood_process_target *target, const args &arguments,
		 const brood_process_opts &opts, process &ret_process)
{
	brood_process *started;
	int r = brood_process_start(target, arguments, &opts, &started);

	if (r == 0)
		ret_process.reset(started);
	return r;
}

inline int start(brood_process_target *target, const args &arguments, process &ret_process)
{
	return start(target, arguments, brood_process_opts(), ret_process);
}

/** brood_process_start_run() of self.run(args): what is a subclass of Process in Python. The child has a copy of self, by fork. */
template <class T>
int start_run(T &self, const args &arguments, const brood_process_opts &opts, process &ret_process)
{
	brood_process *started;
	int r = brood_process_start_run(
		[](void *copy, const brood_args *args) -> int {
			return static_cast<T *>(copy)->run(args);
		},
		&self, arguments, &opts, &started);

	if (r == 0)
		ret_process.reset(started);
	return r;
}

/* ---- guards */

/** Has what `Acquire` gives, until `Release`. */
template <class T, int (*Acquire)(T *, int64_t), int (*Release)(T *)> class [[nodiscard]] guard
{
public:
	explicit guard(T &guarded, int64_t timeout_ns = BROOD_FOREVER) noexcept
		: object_(&guarded), result_(Acquire(&guarded, timeout_ns))
	{
	}
	guard(guard &&from) noexcept
		: object_(from.object_), result_(std::exchange(from.result_, -EPERM))
	{
	}
	guard(const guard &) = delete;
	guard &operator=(const guard &) = delete;
	~guard()
	{
		release();
	}

	/** What acquiring said: 0, BROOD_OWNER_DIED, or a negative errno value; -EPERM once it was released or moved. */
	int result() const noexcept
	{
		return result_;
	}
	/** Whether it has it. */
	explicit operator bool() const noexcept
	{
		return result_ >= 0;
	}
	/** Whether it has it from one that died: what it protects may be half changed. */
	bool owner_died() const noexcept
	{
		return result_ == BROOD_OWNER_DIED;
	}
	/** Before the end of the scope. Returns 0; -EPERM: it does not have it. */
	int release() noexcept
	{
		return std::exchange(result_, -EPERM) < 0 ? -EPERM : Release(object_);
	}

private:
	T *object_;
	int result_;
};

using lock_guard = guard<brood_lock, brood_lock_acquire, brood_lock_release>;
using rlock_guard = guard<brood_rlock, brood_rlock_acquire, brood_rlock_release>;
using read_guard = guard<brood_rwlock, brood_rwlock_read, brood_rwlock_release>;
using write_guard = guard<brood_rwlock, brood_rwlock_write, brood_rwlock_release>;
using sem_guard = guard<brood_sem, brood_sem_acquire, brood_sem_release>;
using permits_guard = guard<brood_permits, brood_permits_acquire, brood_permits_release>;

/** A message for as long as one works on it, brood_queue_take(): the end of the scope gives it back, to come again, unless it was acked. */
class [[nodiscard]] lease
{
public:
	explicit lease(brood_queue *queue, int64_t timeout_ns = BROOD_FOREVER) noexcept
		: queue_(queue), result_(brood_queue_take(queue, timeout_ns, &lease_))
	{
	}
	lease(const lease &) = delete;
	lease &operator=(const lease &) = delete;
	~lease()
	{
		if (result_ >= 0)
			brood_queue_give_back(queue_, &lease_);
	}

	/** The message's size, or what taking it said; -EPERM once it was acked. */
	ssize_t result() const noexcept
	{
		return result_;
	}
	explicit operator bool() const noexcept
	{
		return result_ >= 0;
	}
	/** It lies in the queue; good as long as one has it. */
	std::string_view message() const noexcept
	{
		return result_ < 0 ? std::string_view() :
				     std::string_view(static_cast<const char *>(lease_.message),
						      lease_.size);
	}
	unsigned deliveries() const noexcept
	{
		return lease_.deliveries;
	}
	/** The work is done. Returns 0, or what brood_queue_ack() says: it is ours still. */
	int ack() noexcept
	{
		int r = result_ < 0 ? -EPERM : brood_queue_ack(queue_, &lease_);

		if (r == 0)
			result_ = -EPERM;
		return r;
	}

private:
	brood_queue *queue_;
	brood_lease lease_ = {};
	ssize_t result_;
};

}
#endif
