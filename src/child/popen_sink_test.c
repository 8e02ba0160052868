/* What becomes of a stream: kept, cut, handed on, written elsewhere, dropped; nothing lost or twice. */
#include <brood/popen.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/unit/talk.h"

#define MUCH ((size_t)3000000)
#define MUCH_WORD "3000000"
#define NOBODY 65534

/* Bytes, as a number word. */
static const char *word(size_t n)
{
	static char words[8][24];
	static unsigned next;
	char *text = words[next++ % 8];

	snprintf(text, sizeof(words[0]), "%zu", n);
	return text;
}

/* All that comes, in its pieces. */
struct heap {
	char *bytes;
	size_t size, room, borders[64];
	int n;          /* calls */
	int fail_every; /* so often the call fails, after it has taken the piece; 0: never */
};

static int collect(void *data, const char *bytes, size_t size)
{
	struct heap *heap = data;

	if (heap->size + size > heap->room) {
		heap->room = 2 * (heap->size + size);
		heap->bytes = realloc(heap->bytes, heap->room);
		ck_assert_ptr_nonnull(heap->bytes);
	}
	memcpy(heap->bytes + heap->size, bytes, size);
	heap->size += size;
	if (heap->n < 64)
		heap->borders[heap->n] = heap->size;
	heap->n++;
	return heap->fail_every > 0 && heap->n % heap->fail_every == 0 ? -EDOM : 0;
}

/* communicate() until it says something else than -EDOM; how often it said that. */
static int talk_on(brood_popen *popen)
{
	int r, failed = 0;

	while ((r = brood_popen_communicate(popen, NULL, 0, PATIENCE)) == -EDOM)
		failed++;
	ck_assert_int_eq(r, 0);
	return failed;
}

static brood_popen *start_both(const char *const argv[], brood_sink out, brood_sink err)
{
	return popen_start(argv, &(brood_popen_opts){
					 .spawn = { PIPE_OUT, PIPE_ERR }, .out = out, .err = err });
}

static brood_popen *start_one(const char *const argv[], brood_sink out)
{
	return popen_start(argv, &(brood_popen_opts){ .spawn = { PIPE_OUT }, .out = out });
}

/* ---- memory */

START_TEST(memory_keeps_the_first_within_the_limit)
{
	const size_t limits[] = { 1, 1000, 8192, 65536, 100000, (size_t)-1 };
	size_t limit = limits[_i];
	const size_t sizes[] = { 0, 1, limit - 1, limit, limit + 1, 2 * limit, MUCH };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i], kept = size < limit ? size : limit;
		brood_sink sink = { .limit = limit };
		brood_popen *popen;
		brood_output output;

		if (size > MUCH)
			continue;
		popen = start_both(ACT("both", word(size)), sink, sink);
		ck_assert_int_eq(talk(popen, NULL, 0), 0);
		for (int which = 1; which <= 2; which++) {
			output = output_of(popen, which);
			ck_assert_uint_eq(output.size, kept);
			ck_pattern(output.data, output.size, 0);
			ck_assert_uint_eq(output.total, size);
			ck_assert(output.truncated == (size > limit));
			ck_assert(output.ended);
			ck_assert_int_eq(output.error, 0);
		}
		brood_popen_free(popen);
	}
}
END_TEST

static void run_in_little_memory(void)
{
	const brood_sink sinks[] = { { .kind = BROOD_SINK_MEMORY },
				     { .kind = BROOD_SINK_MEMORY, .limit = 80000000 },
				     { .kind = BROOD_SINK_MEMORY, .text = BROOD_TEXT_REPLACE } };
	struct rlimit before, limit;

	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	for (int i = 0; i < 3; i++) {
		brood_popen *popen = start_one(ACT("fill", "40000000", "say", "end"), sinks[i]);
		brood_output output;

		limit = before;
		limit.rlim_cur = (rlim_t)first_number("/proc/self/statm") * 4096 + 12000000;
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
		ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, PATIENCE), 0);
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
		output = output_of(popen, 1);
		/* The first trouble is told: the pattern is no UTF-8. */
		ck_assert_int_eq(output.error,
				 sinks[i].text == BROOD_TEXT_BYTES ? -ENOMEM : -EILSEQ);
		ck_assert(output.truncated);
		ck_assert(output.ended);
		ck_assert_uint_eq(output.total, 40000003);
		ck_assert_uint_lt(output.size, 40000000);
		/* The beginning, and no hole in it. */
		if (sinks[i].text == BROOD_TEXT_BYTES)
			ck_pattern(output.data, output.size, 0);
		ck_assert_int_eq(exit_of(popen).value, 0);
		brood_popen_free(popen);
	}
}

START_TEST(want_of_memory_is_told_and_holds_nobody_up)
{
	if (!is_sanitized)
		in_fork(run_in_little_memory);
}
END_TEST

/* ---- the tail */

START_TEST(tail_keeps_the_last)
{
	const size_t limits[] = { 1, 7, 1000, 4096, 65536, 70000 };
	size_t limit = limits[_i];
	const size_t sizes[] = { 0,
				 1,
				 limit - 1,
				 limit,
				 limit + 1,
				 2 * limit,
				 2 * limit - 1,
				 2 * limit + 1,
				 3 * limit + 5,
				 500000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i], kept = size < limit ? size : limit;
		brood_sink sink = { .kind = BROOD_SINK_TAIL, .limit = limit == 4096 ? 0 : limit };
		brood_popen *popen = start_both(ACT("both", word(size)), sink, sink);

		ck_assert_int_eq(talk(popen, NULL, 0), 0);
		for (int which = 1; which <= 2; which++) {
			brood_output output = output_of(popen, which);

			ck_assert_uint_eq(output.size, kept);
			ck_pattern(output.data, output.size, size - kept);
			ck_assert_uint_eq(output.total, size);
			ck_assert(output.truncated == (size > limit));
			ck_assert(output.ended);
		}
		brood_popen_free(popen);
	}
}
END_TEST

START_TEST(tail_of_small_pieces)
{
	const char *const kept[] = { "abc", "abcde", "cdefg", "efghi", "ghijk" };

	for (size_t last = 0; last < 5; last++) {
		const char *const pieces[] = { "abc", "de", "fg", "hi", "jk" };
		const char *argv[32] = { CHILD("act") };
		brood_popen *popen;
		size_t n = 1;

		for (size_t i = 0; i <= last; i++) {
			argv[n++] = "say";
			argv[n++] = pieces[i];
			argv[n++] = "nap";
			argv[n++] = "15";
		}
		popen = start_one(argv, (brood_sink){ .kind = BROOD_SINK_TAIL, .limit = 5 });
		ck_assert_int_eq(talk(popen, NULL, 0), 0);
		ck_assert_str_eq(output_of(popen, 1).data, kept[last]);
		ck_assert(output_of(popen, 1).truncated == (last > 1));
		brood_popen_free(popen);
	}
}
END_TEST

START_TEST(a_taken_tail_starts_again)
{
	brood_popen *popen = start_one(ACT("say", "abcdefgh", "nap", "200", "say", "XY"),
				       (brood_sink){ .kind = BROOD_SINK_TAIL, .limit = 5 });
	char *data;
	size_t size;

	eventually(brood_popen_communicate(popen, NULL, 0, 0) == -ETIMEDOUT &&
		   output_of(popen, 1).total == 8);
	ck_assert_int_eq(brood_popen_take_output(popen, 1, &data, &size), 0);
	ck_assert_uint_eq(size, 5);
	ck_assert_str_eq(data, "defgh");
	free(data);
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_str_eq(output_of(popen, 1).data, "XY");
	ck_assert_uint_eq(output_of(popen, 1).total, 10);
	brood_popen_free(popen);
}
END_TEST

/* ---- chunks */

START_TEST(chunks_come_in_order)
{
	struct heap out = { .fail_every = _i }, err = { .fail_every = _i };
	brood_popen *popen = start_both(
		ACT("both", MUCH_WORD),
		(brood_sink){ .kind = BROOD_SINK_CHUNKS, .call = collect, .data = &out },
		(brood_sink){ .kind = BROOD_SINK_CHUNKS, .call = collect, .data = &err });
	int failed = talk_on(popen);

	if (_i > 0) {
		ck_assert_int_ge(failed, 1);
		ck_assert_int_le(failed, out.n / _i + err.n / _i);
	}
	ck_assert_uint_eq(out.size, MUCH);
	ck_assert_uint_eq(err.size, MUCH);
	ck_pattern(out.bytes, MUCH, 0);
	ck_pattern(err.bytes, MUCH, 0);
	/* Nothing of it is kept. */
	for (int which = 1; which <= 2; which++) {
		ck_assert_str_eq(output_of(popen, which).data, "");
		ck_assert_uint_eq(output_of(popen, which).size, 0);
		ck_assert_uint_eq(output_of(popen, which).total, MUCH);
		ck_assert(!output_of(popen, which).truncated);
	}
	brood_popen_free(popen);
	free(out.bytes);
	free(err.bytes);
}
END_TEST

static int positive(void *data, const char *bytes, size_t size)
{
	(void)bytes;
	*(size_t *)data += size;
	return 5;
}

START_TEST(what_is_not_negative_goes_on)
{
	for (int lines = 0; lines < 2; lines++) {
		size_t total = 0;
		brood_popen *popen = start_one(
			ACT("fill", "200000"),
			(brood_sink){ .kind = lines ? BROOD_SINK_LINES : BROOD_SINK_CHUNKS,
				      .call = positive,
				      .data = &total });

		ck_assert_int_eq(talk(popen, NULL, 0), 0);
		ck_assert_uint_eq(total, 200000);
		brood_popen_free(popen);
	}
}
END_TEST

/* ---- lines */

/* The pieces of `heap`, each in brackets. */
static const char *in_brackets(const struct heap *heap)
{
	static char text[1024];
	size_t n = 0, at = 0;

	for (int i = 0; i < heap->n; at = heap->borders[i++]) {
		text[n++] = '[';
		memcpy(text + n, heap->bytes + at, heap->borders[i] - at);
		n += heap->borders[i] - at;
		text[n++] = ']';
	}
	text[n] = '\0';
	return text;
}

static void ck_lines(const char *const argv[], size_t limit, brood_text filter, const char *wanted)
{
	for (int fail_every = 0; fail_every < 4; fail_every++) {
		struct heap heap = { .fail_every = fail_every };
		brood_popen *popen = start_one(argv, (brood_sink){ .kind = BROOD_SINK_LINES,
								   .text = filter,
								   .limit = limit,
								   .call = collect,
								   .data = &heap });

		ck_assert_int_eq(talk_on(popen), fail_every > 0 ? heap.n / fail_every : 0);
		ck_assert_str_eq(in_brackets(&heap), wanted);
		ck_assert(output_of(popen, 1).ended);
		ck_assert(!output_of(popen, 1).truncated);
		brood_popen_free(popen);
		free(heap.bytes);
	}
}

START_TEST(lines_are_whole)
{
	ck_lines(ACT("nap", "0"), 0, BROOD_TEXT_BYTES, "");
	ck_lines(ACT("say", "\n"), 0, BROOD_TEXT_BYTES, "[\n]");
	ck_lines(ACT("say", "one"), 0, BROOD_TEXT_BYTES, "[one]");
	ck_lines(ACT("say", "one\n"), 0, BROOD_TEXT_BYTES, "[one\n]");
	ck_lines(ACT("say", "one\ntwo"), 0, BROOD_TEXT_BYTES, "[one\n][two]");
	ck_lines(ACT("say", "\n\none\n\n"), 0, BROOD_TEXT_BYTES, "[\n][\n][one\n][\n]");
	ck_lines(ACT("say", "one\ntwo\nthree\nfour\nfive\nsix\n"), 0, BROOD_TEXT_BYTES,
		 "[one\n][two\n][three\n][four\n][five\n][six\n]");
}
END_TEST

START_TEST(lines_are_put_together_from_pieces)
{
	ck_lines(ACT("say", "o", "nap", "15", "say", "n", "nap", "15", "say", "e\nt", "nap", "15",
		     "say", "wo", "nap", "15", "say", "\n", "nap", "15", "say", "three"),
		 0, BROOD_TEXT_BYTES, "[one\n][two\n][three]");
}
END_TEST

START_TEST(long_lines_come_in_pieces)
{
	ck_lines(ACT("say", "abcd\n"), 5, BROOD_TEXT_BYTES, "[abcd\n]");
	ck_lines(ACT("say", "abcde\n"), 5, BROOD_TEXT_BYTES, "[abcde][\n]");
	ck_lines(ACT("say", "abcde"), 5, BROOD_TEXT_BYTES, "[abcde]");
	ck_lines(ACT("say", "abcdefghijkl\nm\n"), 5, BROOD_TEXT_BYTES, "[abcde][fghij][kl\n][m\n]");
	ck_lines(ACT("say", "abc\n"), 1, BROOD_TEXT_BYTES, "[a][b][c][\n]");
	/* What the text filter adds at the end is a piece, too. */
	ck_lines(ACT("say", "abcde\xe2"), 5, BROOD_TEXT_REPLACE, "[abcde][\xef\xbf\xbd]");
	/* However the reads fall, the pieces are the same. */
	ck_lines(ACT("say", "abcde", "nap", "15", "say", "\nabc", "nap", "15", "say", "defghijkl",
		     "nap", "15", "say", "\nm\n"),
		 5, BROOD_TEXT_BYTES, "[abcde][\n][abcde][fghij][kl\n][m\n]");
}
END_TEST

/* Random bytes, so NULs and newlines, in some ten thousand lines. */
START_TEST(many_lines_with_nuls_lose_nothing)
{
	struct heap out = { .fail_every = _i }, err = { .fail_every = _i };
	brood_popen *popen =
		start_both(ACT("both", MUCH_WORD),
			   (brood_sink){ .kind = BROOD_SINK_LINES, .call = collect, .data = &out },
			   (brood_sink){ .kind = BROOD_SINK_LINES, .call = collect, .data = &err });
	int newlines = 0, failed = talk_on(popen);

	for (size_t i = 0; i < MUCH; i++)
		newlines += pattern(i) == '\n' || i + 1 == MUCH;
	ck_assert_uint_eq(out.size, MUCH);
	ck_assert_uint_eq(err.size, MUCH);
	ck_pattern(out.bytes, MUCH, 0);
	ck_pattern(err.bytes, MUCH, 0);
	ck_assert_int_eq(out.n, newlines);
	ck_assert_int_eq(err.n, newlines);
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(out.bytes[out.borders[i] - 1], '\n');
	if (_i > 0)
		ck_assert_int_ge(failed, newlines / _i);
	brood_popen_free(popen);
	free(out.bytes);
	free(err.bytes);
}
END_TEST

START_TEST(lines_longer_than_all_buffers_are_whole)
{
	struct heap heap = { .fail_every = 0 };
	char *line = malloc(1000001);
	brood_popen *popen;

	ck_assert_ptr_nonnull(line);
	memset(line, 'x', 1000000);
	line[999999] = '\n';
	popen = popen_start(ACT("copy"), &(brood_popen_opts){ .spawn = { PIPE_IN, PIPE_OUT },
							      .out = { .kind = BROOD_SINK_LINES,
								       .call = collect,
								       .data = &heap } });
	ck_assert_int_eq(talk(popen, line, 1000000), 0);
	ck_assert_int_eq(heap.n, 1);
	ck_assert_uint_eq(heap.size, 1000000);
	ck_assert_mem_eq(heap.bytes, line, 1000000);
	brood_popen_free(popen);
	free(heap.bytes);
	free(line);
}
END_TEST

/* What waits after a failed call is handed over also when the program has ended long ago. */
START_TEST(lines_that_wait_survive_the_end)
{
	struct heap heap = { .fail_every = 1 };
	brood_popen *popen =
		start_one(ACT("say", "a\nb\nc"),
			  (brood_sink){ .kind = BROOD_SINK_LINES, .call = collect, .data = &heap });

	ck_assert_int_eq(brood_popen_wait(popen, PATIENCE, NULL), 0);
	for (int i = 1; i <= 3; i++) {
		ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, BROOD_FOREVER), -EDOM);
		ck_assert_int_eq(heap.n, i);
	}
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_str_eq(in_brackets(&heap), "[a\n][b\n][c]");
	brood_popen_free(popen);
	free(heap.bytes);
}
END_TEST

/* ---- descriptors */

static void ck_file_is_pattern(int fd, size_t from, size_t size)
{
	char *bytes = malloc(size + 1);

	ck_assert_int_eq(pread(fd, bytes, size + 1, (off_t)from), (ssize_t)size);
	ck_pattern(bytes, size, 0);
	free(bytes);
}

START_TEST(a_file_gets_all_and_the_position_is_shared)
{
	int file = open_file("file", "before");
	brood_popen *popen;

	ck_assert_int_eq(lseek(file, 6, SEEK_SET), 6);
	popen = start_one(ACT("fill", MUCH_WORD),
			  (brood_sink){ .kind = BROOD_SINK_FD, .fd = file });
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_uint_eq(output_of(popen, 1).total, MUCH);
	ck_assert_uint_eq(output_of(popen, 1).size, 0);
	ck_assert_int_eq(output_of(popen, 1).error, 0);
	brood_popen_free(popen);
	ck_assert_int_eq(lseek(file, 0, SEEK_CUR), (off_t)(6 + MUCH));
	ck_file_is_pattern(file, 6, MUCH);
	close(file);
}
END_TEST

START_TEST(a_file_gets_the_first_within_the_limit)
{
	const size_t sizes[] = { 0, 999, 1000, 1001, 200000 };

	for (size_t i = 0; i < 5; i++) {
		int file = open_file("file", "");
		brood_popen *popen =
			start_one(ACT("fill", word(sizes[i])),
				  (brood_sink){ .kind = BROOD_SINK_FD, .fd = file, .limit = 1000 });

		ck_assert_int_eq(talk(popen, NULL, 0), 0);
		ck_assert_uint_eq(output_of(popen, 1).total, sizes[i]);
		ck_assert(output_of(popen, 1).truncated == (sizes[i] > 1000));
		ck_assert_int_eq(output_of(popen, 1).error, 0);
		brood_popen_free(popen);
		ck_file_is_pattern(file, 0, sizes[i] < 1000 ? sizes[i] : 1000);
		close(file);
	}
}
END_TEST

/* Nothing is changed for those who share the open file. */
START_TEST(the_callers_descriptor_stays_as_it_was)
{
	int ends[2], flags;
	brood_popen *popen;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	flags = fcntl(ends[1], F_GETFL);
	popen = start_both(ACT("both", "10"), (brood_sink){ .tee = ends[1] },
			   (brood_sink){ .kind = BROOD_SINK_FD, .fd = ends[1] });
	ck_assert_int_eq(fcntl(ends[1], F_GETFL), flags);
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_int_eq(fcntl(ends[1], F_GETFL), flags);
	brood_popen_free(popen);
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], (char[30]){ 0 }, 30), 20);
	ck_assert_int_eq(read(ends[0], (char[30]){ 0 }, 30), 0);
	close(ends[0]);
}
END_TEST

/* Reads slowly at first, and to the end. */
struct reader {
	pthread_t thread;
	int fd;
	char *bytes;
	size_t size;
};

static void *read_slowly(void *data)
{
	struct reader *reader = data;
	ssize_t n;
	int rounds = 0;

	reader->bytes = malloc(2 * MUCH);
	do {
		if (rounds++ < 10)
			nap_ms(10);
		n = read(reader->fd, reader->bytes + reader->size,
			 rounds < 10 ? 1000 : 2 * MUCH - reader->size);
		if (n > 0)
			__atomic_fetch_add(&reader->size, (size_t)n, __ATOMIC_RELAXED);
	} while (n > 0);
	return NULL;
}

static void start_reader(struct reader *reader, int fd)
{
	*reader = (struct reader){ .fd = fd };
	ck_assert_int_eq(pthread_create(&reader->thread, NULL, read_slowly, reader), 0);
}

static void join_reader(struct reader *reader, size_t size)
{
	pthread_join(reader->thread, NULL);
	ck_assert_uint_eq(reader->size, size);
	ck_pattern(reader->bytes, size, 0);
	free(reader->bytes);
	close(reader->fd);
}

static void make_ends(bool socket, int ends[2])
{
	ck_assert_int_eq(socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) :
				  pipe2(ends, O_CLOEXEC),
			 0);
}

START_TEST(a_slow_reader_gets_all)
{
	struct reader reader;
	brood_popen *popen;
	int ends[2];

	make_ends(_i % 2 == 1, ends);
	start_reader(&reader, ends[0]);
	popen = start_one(ACT("fill", MUCH_WORD),
			  _i < 2 ? (brood_sink){ .kind = BROOD_SINK_FD, .fd = ends[1] } :
				   (brood_sink){ .tee = ends[1] });
	close(ends[1]); /* it has its own */
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_int_eq(output_of(popen, 1).error, 0);
	if (_i >= 2)
		ck_output_pattern(popen, 1, MUCH);
	brood_popen_free(popen);
	join_reader(&reader, MUCH);
}
END_TEST

/* Where the pipe cannot be opened anew it is shared, and the host is not blocked all the same. */
static void write_as_nobody(void)
{
	struct reader reader;
	brood_popen *popen;
	int ends[2], fd;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(setresuid(NOBODY, NOBODY, 0), 0);
	fd = open("/proc/self/fd/1", O_PATH | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	close(fd);
	popen = start_one(BROOD_ARGV("sh", "-c", "head -c 1000000 /dev/zero; echo end"),
			  (brood_sink){ .tee = ends[1] });
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 100 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_uint_lt(output_of(popen, 1).total, 1000000);
	start_reader(&reader, ends[0]);
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	brood_popen_free(popen);
	close(ends[1]);
	pthread_join(reader.thread, NULL);
	ck_assert_uint_eq(reader.size, 1000004);
	ck_assert_mem_eq(reader.bytes + 1000000, "end\n", 4);
	free(reader.bytes);
	close(ends[0]);
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
}

START_TEST(a_pipe_of_somebody_else_is_shared)
{
	if (geteuid() == 0)
		in_fork(write_as_nobody);
}
END_TEST

START_TEST(reading_pauses_while_the_tee_is_behind)
{
	brood_popen *popen;
	size_t total;
	int ends[2];
	struct reader reader;

	make_ends(_i == 1, ends);
	popen = start_one(ACT("fill", MUCH_WORD), (brood_sink){ .tee = ends[1] });
	close(ends[1]);
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 200 * BROOD_MSEC), -ETIMEDOUT);
	total = output_of(popen, 1).total;
	ck_assert_uint_gt(total, 0);
	ck_assert_uint_lt(total, 1000000);
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 50 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_uint_eq(output_of(popen, 1).total, total);
	ck_assert_int_eq(brood_popen_poll(popen, NULL), 0); /* the program waits, too */
	start_reader(&reader, ends[0]);
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_output_pattern(popen, 1, MUCH);
	brood_popen_free(popen);
	join_reader(&reader, MUCH);
}
END_TEST

/* The program has ended when the tee is still full: the time to linger takes nothing from it. */
START_TEST(a_tee_that_is_behind_at_the_end_loses_nothing)
{
	const int64_t lingers[] = { -1, BROOD_MSEC, 0 };
	struct reader reader;
	brood_popen *popen;
	int ends[2];

	make_ends(_i >= 3, ends);
	popen = popen_start(ACT("fill", "60000"),
			    &(brood_popen_opts){ .spawn = { PIPE_OUT },
						 .out = { .tee = ends[1] },
						 .linger_ns = lingers[_i % 3] });
	close(ends[1]);
	if (_i < 3)
		ck_assert_int_gt(fcntl(ends[0], F_SETPIPE_SZ, 4096), 0);
	else
		setsockopt(ends[0], SOL_SOCKET, SO_RCVBUF, &(int){ 4096 }, sizeof(int));
	eventually(brood_popen_communicate(popen, NULL, 0, BROOD_MSEC) == 0 ||
		   brood_popen_poll(popen, NULL) == 1);
	start_reader(&reader, ends[0]);
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_output_pattern(popen, 1, 60000);
	brood_popen_free(popen);
	join_reader(&reader, 60000);
}
END_TEST

/* While the program runs; after its end, with more in its pipe; and when all was read, and all that is left to
 * wait for is the tee. */
START_TEST(a_stop_with_a_full_tee_ends)
{
	const char *const sizes[] = { MUCH_WORD, "60000", "30000" }, *size = sizes[_i];
	brood_popen *popen;
	brood_output output;
	brood_exit end;
	int64_t before;
	int ends[2];

	make_ends(false, ends);
	ck_assert_int_gt(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
	popen = start_one(ACT("fill", size), (brood_sink){ .tee = ends[1] });
	if (_i > 0) {
		ck_assert_int_eq(brood_popen_wait(popen, PATIENCE, NULL), 0);
		nap_ms(_i == 1 ? 0 : 300);
	}
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 100 * BROOD_MSEC), -ETIMEDOUT);
	before = brood_now();
	ck_assert_int_eq(brood_popen_stop(popen, 50 * BROOD_MSEC, &end), 0);
	ck_assert_int_lt(brood_now() - before, 10 * BROOD_SEC);
	ck_assert_int_eq(brood_exit_code(&end), _i == 0 ? -SIGTERM : 0);
	output = output_of(popen, 1);
	ck_assert_int_eq(output.error, -ETIMEDOUT);
	/* The tee gave up, and the sink lost nothing by it. */
	ck_pattern(output.data, output.size, 0);
	ck_assert_uint_eq(output.size, output.total);
	ck_assert(output.ended);
	if (_i > 0)
		ck_assert_uint_eq(output.size, strtoul(size, NULL, 10));
	brood_popen_free(popen);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* What a stop gives up is what is behind, and nothing else. */
START_TEST(a_stop_gives_up_what_is_behind_alone)
{
	int file = open_file("file", ""), copy = open_file("copy", ""), ends[2];
	brood_popen *popen;

	make_ends(false, ends);
	ck_assert_int_gt(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
	popen = start_both(ACT("both", "60000"),
			   (brood_sink){ .kind = BROOD_SINK_FD, .fd = file, .tee = ends[1] },
			   (brood_sink){ .kind = BROOD_SINK_FD, .fd = ends[1], .tee = copy });
	ck_assert_int_eq(brood_popen_wait(popen, PATIENCE, NULL), 0);
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 20 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(brood_popen_stop(popen, BROOD_SEC, NULL), 0);
	for (int which = 1; which <= 2; which++) {
		ck_assert_int_eq(output_of(popen, which).error, -ETIMEDOUT);
		ck_assert_uint_eq(output_of(popen, which).total, 60000);
	}
	brood_popen_free(popen);
	ck_file_is_pattern(file, 0, 60000);
	ck_file_is_pattern(copy, 0, 60000);
	close(file);
	close(copy);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(a_reader_that_is_gone_is_told)
{
	brood_popen *popen;
	int ends[2];

	make_ends(_i % 2 == 1, ends);
	popen = start_one(ACT("fill", MUCH_WORD, "exit", "3"),
			  _i < 2 ? (brood_sink){ .kind = BROOD_SINK_FD, .fd = ends[1] } :
				   (brood_sink){ .tee = ends[1] });
	close(ends[1]);
	if (_i < 2)
		brood_popen_communicate(popen, NULL, 0, 20 * BROOD_MSEC); /* in its midst */
	close(ends[0]);
	ck_assert_int_eq(talk(popen, NULL, 0), 3);
	ck_assert_int_eq(output_of(popen, 1).error, -EPIPE);
	ck_assert_uint_eq(output_of(popen, 1).total, MUCH);
	if (_i >= 2)
		ck_pattern(output_of(popen, 1).data, MUCH, 0);
	brood_popen_free(popen);
}
END_TEST

START_TEST(a_full_disk_is_told)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	brood_popen *popen = start_both(ACT("both", "200000", "exit", "3"),
					(brood_sink){ .kind = BROOD_SINK_FD, .fd = full },
					(brood_sink){ .tee = full });

	ck_assert_int_eq(talk(popen, NULL, 0), 3);
	for (int which = 1; which <= 2; which++) {
		ck_assert_int_eq(output_of(popen, which).error, -ENOSPC);
		ck_assert_uint_eq(output_of(popen, which).total, 200000);
		ck_assert(output_of(popen, which).ended);
		ck_assert(output_of(popen, which).truncated ==
			  (which == 1)); /* the tee's is whole */
	}
	ck_pattern(output_of(popen, 2).data, 200000, 0);
	brood_popen_free(popen);
	close(full);
}
END_TEST

/* SIGXFSZ has its default, which would end this process. */
static void write_too_much(void)
{
	int file = open_file("file", "");
	brood_popen *popen;

	popen = start_one(ACT("fill", "200000", "exit", "3"),
			  (brood_sink){ .kind = BROOD_SINK_FD, .fd = file });
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 100000, 100000 }), 0);
	ck_assert_int_eq(talk(popen, NULL, 0), 3);
	ck_assert_int_eq(output_of(popen, 1).error, -EFBIG);
	ck_assert_uint_eq(output_of(popen, 1).total, 200000);
	brood_popen_free(popen);
	ck_file_is_pattern(file, 0, 100000);
	close(file);
}

START_TEST(a_file_that_is_too_large_is_told)
{
	in_fork(write_too_much);
}
END_TEST

START_TEST(both_tees_may_be_the_same)
{
	int file = open_file("file", "");
	brood_sink out = { .tee = file }, err = { .kind = BROOD_SINK_DISCARD, .tee = file };
	brood_popen *popen =
		start_both(ACT("say", "a", "efill", "100000", "fill", "100000"), out, err);
	long sum = 'a', count = 0;
	char *bytes = malloc(300000);

	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_uint_eq(output_of(popen, 1).size, 100001);
	ck_assert_uint_eq(output_of(popen, 2).size, 0);
	ck_assert_uint_eq(output_of(popen, 2).total, 100000);
	brood_popen_free(popen);
	ck_assert_int_eq(pread(file, bytes, 300000, 0), 200001);
	for (size_t i = 0; i < 100000; i++)
		sum += 2L * (unsigned char)pattern(i);
	for (size_t i = 0; i < 200001; i++)
		count += (unsigned char)bytes[i];
	ck_assert_int_eq(count, sum);
	free(bytes);
	close(file);
}
END_TEST

/* The copy is what came: no limit, no text. */
START_TEST(the_tee_gets_it_as_it_came)
{
	int file = open_file("file", "");
	brood_popen *popen =
		start_one(ACT("say", "one\r\ntwo\xff"),
			  (brood_sink){ .limit = 5, .text = BROOD_TEXT_REPLACE, .tee = file });
	char bytes[32];

	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_str_eq(output_of(popen, 1).data, "one\nt");
	ck_assert(output_of(popen, 1).truncated);
	ck_assert_int_eq(pread(file, bytes, sizeof(bytes), 0), 9);
	ck_assert_mem_eq(bytes, "one\r\ntwo\xff", 9);
	brood_popen_free(popen);
	close(file);
}
END_TEST

/* A pair of terminal ends: what one gets the other has. */
static void make_terminal(int *ret_master, int *ret_slave)
{
	struct termios raw;

	*ret_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(*ret_master, 0);
	ck_assert_int_eq(grantpt(*ret_master), 0);
	ck_assert_int_eq(unlockpt(*ret_master), 0);
	*ret_slave = open(ptsname(*ret_master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(*ret_slave, 0);
	ck_assert_int_eq(tcgetattr(*ret_slave, &raw), 0);
	cfmakeraw(&raw);
	ck_assert_int_eq(tcsetattr(*ret_slave, TCSANOW, &raw), 0);
}

START_TEST(a_terminal_gets_all_from_either_side)
{
	struct reader reader;
	brood_popen *popen;
	int ends[2];

	make_terminal(&ends[0], &ends[1]);
	popen = start_one(ACT("fill", "200000"), (brood_sink){ .tee = ends[_i] });
	/* Nobody reads, and nobody is blocked. */
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 100 * BROOD_MSEC), -ETIMEDOUT);
	start_reader(&reader, ends[1 - _i]);
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_output_pattern(popen, 1, 200000);
	eventually(__atomic_load_n(&reader.size, __ATOMIC_RELAXED) == 200000);
	brood_popen_free(popen);
	pthread_cancel(reader.thread);
	pthread_join(reader.thread, NULL);
	ck_pattern(reader.bytes, 200000, 0);
	free(reader.bytes);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(discard_reads_and_drops)
{
	brood_sink sink = { .kind = BROOD_SINK_DISCARD };
	brood_popen *popen = start_both(ACT("both", MUCH_WORD), sink, sink);

	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	for (int which = 1; which <= 2; which++) {
		ck_assert_uint_eq(output_of(popen, which).total, MUCH);
		ck_assert_uint_eq(output_of(popen, which).size, 0);
		ck_assert(output_of(popen, which).ended);
		ck_assert(!output_of(popen, which).truncated);
		ck_assert_int_eq(output_of(popen, which).error, 0);
	}
	brood_popen_free(popen);
}
END_TEST

/* ---- text */

/* Each piece a read of its own, and all at once. */
static void ck_text(const char *const pieces[], brood_text filter, const char *wanted, int error)
{
	for (int at_once = 0; at_once < 2; at_once++) {
		const char *argv[64] = { CHILD("act") };
		size_t n = 1, total = 0;
		brood_popen *popen;
		brood_output output;

		for (size_t i = 0; pieces[i] != NULL; i++) {
			argv[n++] = "say";
			argv[n++] = pieces[i];
			total += strlen(pieces[i]);
			if (!at_once) {
				argv[n++] = "nap";
				argv[n++] = "10";
			}
		}
		popen = start_one(argv, (brood_sink){ .text = filter });
		ck_assert_int_eq(talk(popen, NULL, 0), 0);
		output = output_of(popen, 1);
		ck_assert_str_eq(output.data, wanted);
		ck_assert_uint_eq(output.size, strlen(wanted));
		ck_assert_uint_eq(output.total, total);
		ck_assert_int_eq(output.error, error);
		ck_assert(output.ended);
		ck_assert(!output.truncated);
		brood_popen_free(popen);
	}
}

#define PIECES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define BAD "\xef\xbf\xbd"

START_TEST(newlines_become_one_kind)
{
	for (brood_text filter = BROOD_TEXT_STRICT; filter <= BROOD_TEXT_REPLACE; filter++) {
		ck_text(PIECES("a\r", "\nb\r\n\r\n", "\r", "c\r"), filter, "a\nb\n\n\nc\n", 0);
		ck_text(PIECES("\n\r\r", "\n\n"), filter, "\n\n\n\n", 0);
	}
	ck_text(PIECES("a\r", "\nb"), BROOD_TEXT_BYTES, "a\r\nb", 0);
}
END_TEST

START_TEST(sequences_may_be_cut_anywhere)
{
	for (brood_text filter = BROOD_TEXT_BYTES; filter <= BROOD_TEXT_REPLACE; filter++) {
		ck_text(PIECES("\xc3", "\xa4"), filter, "\xc3\xa4", 0);
		ck_text(PIECES("x\xe2", "\x82", "\xacy"), filter, "x\xe2\x82\xacy", 0);
		ck_text(PIECES("\xf0\x9f", "\x98", "\x80"), filter, "\xf0\x9f\x98\x80", 0);
	}
}
END_TEST

START_TEST(what_is_no_utf_8_is_told_or_replaced)
{
	ck_text(PIECES("a\xff", "b"), BROOD_TEXT_STRICT,
		"a\xff"
		"b",
		-EILSEQ);
	ck_text(PIECES("a\xff", "b"), BROOD_TEXT_REPLACE, "a" BAD "b", -EILSEQ);
	ck_text(PIECES("a\xff", "b"), BROOD_TEXT_BYTES,
		"a\xff"
		"b",
		0);
	ck_text(PIECES("\xe2\x82", "x"), BROOD_TEXT_REPLACE, BAD "x", -EILSEQ);
	ck_text(PIECES("\xe2\x82", "x"), BROOD_TEXT_STRICT, "\xe2\x82x", -EILSEQ);
	/* What the end cuts off. */
	ck_text(PIECES("x", "\xe2\x82"), BROOD_TEXT_REPLACE, "x" BAD, -EILSEQ);
	ck_text(PIECES("x", "\xe2\x82"), BROOD_TEXT_STRICT, "x\xe2\x82", -EILSEQ);
}
END_TEST

START_TEST(text_goes_through_every_sink)
{
	const char *const argv[] = { CHILD("act"), "say", "one\r",        "nap", "15",   "say",
				     "\ntwo\xe2",  "nap", "15",           "say", "\x82", "nap",
				     "15",         "say", "\r\xff\n\xc3", NULL };
	const char *wanted = "one\ntwo" BAD "\n" BAD "\n" BAD;
	int file = open_file("file", "");
	struct heap heap = { .fail_every = 0 };
	char bytes[64] = "";
	brood_popen *popen;

	ck_lines(argv, 0, BROOD_TEXT_REPLACE, "[one\n][two" BAD "\n][" BAD "\n][" BAD "]");
	popen = start_one(argv, (brood_sink){ .kind = BROOD_SINK_CHUNKS,
					      .text = BROOD_TEXT_REPLACE,
					      .call = collect,
					      .data = &heap });
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_uint_eq(heap.size, strlen(wanted));
	ck_assert_mem_eq(heap.bytes, wanted, heap.size);
	ck_assert_int_eq(output_of(popen, 1).error, -EILSEQ);
	brood_popen_free(popen);
	free(heap.bytes);
	popen = start_one(
		argv,
		(brood_sink){ .kind = BROOD_SINK_FD, .text = BROOD_TEXT_REPLACE, .fd = file });
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	brood_popen_free(popen);
	ck_assert_int_eq(pread(file, bytes, sizeof(bytes), 0), (ssize_t)strlen(wanted));
	ck_assert_str_eq(bytes, wanted);
	popen = start_one(
		argv,
		(brood_sink){ .kind = BROOD_SINK_TAIL, .text = BROOD_TEXT_REPLACE, .limit = 7 });
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_str_eq(output_of(popen, 1).data, BAD "\n" BAD);
	brood_popen_free(popen);
	popen = start_one(argv,
			  (brood_sink){ .kind = BROOD_SINK_DISCARD, .text = BROOD_TEXT_STRICT });
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_int_eq(output_of(popen, 1).error, -EILSEQ);
	ck_assert_uint_eq(output_of(popen, 1).total, 14);
	brood_popen_free(popen);
	close(file);
}
END_TEST

/* Much of it, with both streams in step. */
START_TEST(much_text_comes_whole)
{
	brood_sink bounded = { .text = BROOD_TEXT_REPLACE };
	brood_sink boundless = { .text = BROOD_TEXT_REPLACE, .limit = (size_t)-1 };
	brood_popen *popen = start_both(ACT("both", MUCH_WORD), bounded, boundless);
	brood_output out, err;

	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	out = output_of(popen, 1);
	err = output_of(popen, 2);
	ck_assert_uint_eq(out.total, MUCH);
	ck_assert_uint_gt(out.size, MUCH);
	ck_assert_uint_eq(out.size, err.size);
	ck_assert_int_eq(memcmp(out.data, err.data, out.size), 0);
	ck_assert_int_eq(out.error, -EILSEQ);
	brood_popen_free(popen);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/popen, sinks");
	TCase *memory = leak_case(suite, "memory", 60);
	TCase *calls = leak_case(suite, "calls", 60);
	TCase *descriptors = leak_case(suite, "descriptors", 60);
	TCase *text = leak_case(suite, "text", 60);

	tcase_add_loop_test(memory, memory_keeps_the_first_within_the_limit, 0, 6);
	tcase_add_test(memory, want_of_memory_is_told_and_holds_nobody_up);
	tcase_add_loop_test(memory, tail_keeps_the_last, 0, 6);
	tcase_add_test(memory, tail_of_small_pieces);
	tcase_add_test(memory, a_taken_tail_starts_again);
	tcase_add_loop_test(calls, chunks_come_in_order, 0, 4);
	tcase_add_test(calls, what_is_not_negative_goes_on);
	tcase_add_test(calls, lines_are_whole);
	tcase_add_test(calls, lines_are_put_together_from_pieces);
	tcase_add_test(calls, long_lines_come_in_pieces);
	tcase_add_loop_test(calls, many_lines_with_nuls_lose_nothing, 0, 4);
	tcase_add_test(calls, lines_longer_than_all_buffers_are_whole);
	tcase_add_test(calls, lines_that_wait_survive_the_end);
	tcase_add_test(descriptors, a_file_gets_all_and_the_position_is_shared);
	tcase_add_test(descriptors, a_file_gets_the_first_within_the_limit);
	tcase_add_test(descriptors, the_callers_descriptor_stays_as_it_was);
	tcase_add_loop_test(descriptors, a_slow_reader_gets_all, 0, 4);
	tcase_add_test(descriptors, a_pipe_of_somebody_else_is_shared);
	tcase_add_loop_test(descriptors, reading_pauses_while_the_tee_is_behind, 0, 2);
	tcase_add_loop_test(descriptors, a_tee_that_is_behind_at_the_end_loses_nothing, 0, 6);
	tcase_add_loop_test(descriptors, a_stop_with_a_full_tee_ends, 0, 3);
	tcase_add_test(descriptors, a_stop_gives_up_what_is_behind_alone);
	tcase_add_loop_test(descriptors, a_reader_that_is_gone_is_told, 0, 4);
	tcase_add_test(descriptors, a_full_disk_is_told);
	tcase_add_test(descriptors, a_file_that_is_too_large_is_told);
	tcase_add_test(descriptors, both_tees_may_be_the_same);
	tcase_add_test(descriptors, the_tee_gets_it_as_it_came);
	tcase_add_loop_test(descriptors, a_terminal_gets_all_from_either_side, 0, 2);
	tcase_add_test(descriptors, discard_reads_and_drops);
	tcase_add_test(text, newlines_become_one_kind);
	tcase_add_test(text, sequences_may_be_cut_anywhere);
	tcase_add_test(text, what_is_no_utf_8_is_told_or_replaced);
	tcase_add_test(text, text_goes_through_every_sink);
	tcase_add_test(text, much_text_comes_whole);
	return leak_run(suite);
}
