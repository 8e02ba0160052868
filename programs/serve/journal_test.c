#include "serve/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/leak.h"

static struct journal_record record_of(enum journal_type type, uint64_t seq)
{
	struct journal_record record;

	memset(&record, 0, sizeof(record));
	record.type = type;
	record.seq = seq;
	record.id = 17;
	record.at_ms = 4711;
	if (type == JOURNAL_FAIL) {
		memset(record.fail.step, 'x', sizeof(record.fail.step));
		memset(record.fail.text, 'y', sizeof(record.fail.text));
	}
	journal_seal(&record);
	return record;
}

static int open_journal(void)
{
	int fd = open(scratch_path("journal"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void append(int fd, const struct journal_record *record, size_t size)
{
	lseek(fd, 0, SEEK_END);
	ck_assert_int_eq(write(fd, record, size), (int)size);
}

START_TEST(what_was_written_is_read)
{
	struct journal_record record, read;
	int fd = open_journal();
	struct journal_reader reader = { .fd = fd, .newest = true };

	ck_assert_int_eq(journal_read(&reader, &read), 0);
	for (uint64_t seq = 1; seq <= 100; seq++) {
		record = record_of((enum journal_type)(seq % 4 + 1), seq);
		append(fd, &record, sizeof(record));
	}
	for (uint64_t seq = 1; seq <= 100; seq++) {
		ck_assert_int_eq(journal_read(&reader, &read), 1);
		ck_assert_uint_eq(read.seq, seq);
		ck_assert_uint_eq(read.type, seq % 4 + 1);
		ck_assert_uint_eq(read.id, 17);
		ck_assert_int_eq(read.at_ms, 4711);
	}
	ck_assert_int_eq(journal_read(&reader, &read), 0);
	ck_assert_int_eq(reader.offset, 100 * (off_t)sizeof(record));
	/* The end of the file is no end for ever. */
	record = record_of(JOURNAL_END, 101);
	append(fd, &record, sizeof(record));
	ck_assert_int_eq(journal_read(&reader, &read), 1);
	ck_assert_uint_eq(read.seq, 101);
	close(fd);
}
END_TEST

/* Whatever is appended while it is read, in whatever portions: each record once, in order. */
START_TEST(what_is_appended_meanwhile_is_read)
{
	struct journal_record record, read;
	int fd = open_journal();
	struct journal_reader reader = { .fd = fd, .newest = true };
	uint64_t written = 0, seen = 0;

	for (int portion = 0; portion < 70; portion++) {
		for (int i = 0; i < portion; i++) {
			record = record_of(JOURNAL_START, ++written);
			append(fd, &record, sizeof(record));
		}
		for (int i = 0; i < portion / 2; i++) {
			ck_assert_int_eq(journal_read(&reader, &read), 1);
			ck_assert_uint_eq(read.seq, ++seen);
		}
		record = record_of(JOURNAL_START, ++written);
		append(fd, &record, sizeof(record));
		for (int ends = 0; ends < 2;) /* an end may come early, once */
			if (journal_read(&reader, &read) == 1)
				ck_assert_uint_eq(read.seq, ++seen);
			else
				ends++;
		ck_assert_uint_eq(seen, written);
	}
	close(fd);
}
END_TEST

/* The other half comes later. */
START_TEST(a_record_that_is_completed_is_read)
{
	const struct journal_record first = record_of(JOURNAL_BEGIN, 1),
				    second = record_of(JOURNAL_END, 2);
	struct journal_record read;
	int fd = open_journal();
	struct journal_reader reader = { .fd = fd, .newest = true };

	append(fd, &first, sizeof(first));
	append(fd, &second, 50);
	ck_assert_int_eq(journal_read(&reader, &read), 1);
	ck_assert_int_eq(journal_read(&reader, &read), 0);
	append(fd, (const struct journal_record *)(const void *)((const char *)&second + 50),
	       sizeof(second) - 50);
	ck_assert_int_eq(journal_read(&reader, &read), 1);
	ck_assert_uint_eq(read.seq, 2);
	close(fd);
}
END_TEST

START_TEST(a_torn_record_ends_the_file)
{
	const struct journal_record first = record_of(JOURNAL_BEGIN, 1),
				    second = record_of(JOURNAL_END, 2);
	struct journal_record read;

	for (size_t size = 0; size < sizeof(second); size++) {
		int fd = open_journal();
		struct journal_reader reader = { .fd = fd, .newest = true };

		ck_assert_int_eq(ftruncate(fd, 0), 0);
		append(fd, &first, sizeof(first));
		append(fd, &second, size);
		ck_assert_int_eq(journal_read(&reader, &read), 1);
		read.seq = 4711;
		ck_assert_int_eq(journal_read(&reader, &read), 0);
		ck_assert_int_eq(reader.offset, (off_t)sizeof(first));
		ck_assert_uint_eq(read.seq, 4711);
		close(fd);
	}
}
END_TEST

START_TEST(a_flipped_bit_is_seen)
{
	const struct journal_record good = record_of(JOURNAL_END, 2);

	ck_assert(journal_is_record(&good));
	for (size_t bit = 0; bit < 8 * sizeof(good); bit++) {
		struct journal_record bad = good;

		((unsigned char *)&bad)[bit / 8] ^= (unsigned char)(1 << bit % 8);
		ck_assert_msg(!journal_is_record(&bad), "bit %zu", bit);
	}
}
END_TEST

START_TEST(what_is_sealed_and_yet_no_record_is_seen)
{
	struct journal_record bad = record_of((enum journal_type)0, 1);

	ck_assert(!journal_is_record(&bad));
	bad = record_of((enum journal_type)5, 1);
	ck_assert(!journal_is_record(&bad));
	bad = record_of(JOURNAL_END, 0);
	ck_assert(!journal_is_record(&bad));
	memset(&bad, 0, sizeof(bad)); /* a hole in the file */
	ck_assert(!journal_is_record(&bad));
}
END_TEST

START_TEST(texts_end)
{
	const struct journal_record record = record_of(JOURNAL_FAIL, 1);
	struct journal_record read;
	int fd = open_journal();
	struct journal_reader reader = { .fd = fd, .newest = true };

	append(fd, &record, sizeof(record));
	ck_assert_int_eq(journal_read(&reader, &read), 1);
	ck_assert_uint_eq(strnlen(read.fail.step, sizeof(read.fail.step)),
			  sizeof(read.fail.step) - 1);
	ck_assert_uint_eq(strnlen(read.fail.text, sizeof(read.fail.text)),
			  sizeof(read.fail.text) - 1);
	close(fd);
}
END_TEST

START_TEST(an_error_is_told)
{
	struct journal_reader reader = { .state_fd = -1, .fd = -1 };
	struct journal_record read;

	ck_assert_int_eq(journal_read(&reader, &read), -EBADF);
	ck_assert_int_eq(reader.offset, 0);
}
END_TEST

/* --- segments ----------------------------------------------------------------------------- */

static int open_folder(void)
{
	int fd = open(scratch_path("."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void add(struct journal_writer *writer, uint64_t id, enum journal_type type)
{
	struct journal_record record = { .start = { .pid = 1 } };

	ck_assert_int_eq(journal_add(writer, &record, id, type), 0);
}

/* As many records as a segment takes, and `more`. */
static uint64_t fill(struct journal_writer *writer, uint64_t more)
{
	uint64_t n = JOURNAL_SEGMENT / sizeof(struct journal_record) + 1 + more;

	for (uint64_t i = 0; i < n; i++)
		add(writer, i, JOURNAL_BEGIN);
	ck_assert_int_eq(journal_flush(writer), 0);
	return n;
}

/* Reads all that is there; each record's number is one more than the one before. */
static uint64_t read_all(struct journal_reader *reader)
{
	struct journal_record record;
	uint64_t n = 0, seq = reader->seq;

	while (journal_read(reader, &record) == 1) {
		ck_assert_uint_eq(record.seq, ++seq);
		n++;
	}
	return n;
}

static bool is_there(const char *name)
{
	struct stat st;

	return stat(scratch_path(name), &st) == 0;
}

START_TEST(a_full_segment_is_followed_by_another)
{
	static struct journal_writer writer;
	int folder = open_folder();
	struct journal_reader reader = { .state_fd = folder, .fd = -1 };
	uint64_t n;

	ck_assert_int_eq(journal_open(&writer, folder), 0);
	ck_assert_uint_eq(read_all(&reader), 0);
	ck_assert(is_there("journal-0000000000000001"));
	add(&writer, 1, JOURNAL_BEGIN);
	ck_assert_int_eq(journal_flush(&writer), 0);
	ck_assert_uint_eq(read_all(&reader), 1);
	n = fill(&writer, JOURNAL_HELD) + fill(&writer, 0) + fill(&writer, 7);
	ck_assert_uint_eq(read_all(&reader), n);
	ck_assert_uint_gt(reader.first, 1);
	add(&writer, 1, JOURNAL_END);
	ck_assert_int_eq(journal_flush(&writer), 0);
	ck_assert_uint_eq(read_all(&reader), 1);

	/* Another reader, from the start; and one after the old segments went. */
	close(reader.fd);
	reader = (struct journal_reader){ .state_fd = folder, .fd = -1 };
	ck_assert_uint_eq(read_all(&reader), n + 2);
	ck_assert_int_eq(journal_trim(folder, reader.first), 0);
	ck_assert(!is_there("journal-0000000000000001"));
	close(reader.fd);
	reader.seq = reader.first - 1;
	reader = (struct journal_reader){ .state_fd = folder, .fd = -1, .seq = reader.seq };
	ck_assert_uint_gt(read_all(&reader), 0);
	ck_assert_uint_eq(reader.seq, n + 2);

	/* Another writer goes on with the numbers. */
	journal_close(&writer);
	ck_assert_int_eq(journal_open(&writer, folder), 0);
	ck_assert_uint_eq(writer.seq, n + 2);
	add(&writer, 1, JOURNAL_END);
	ck_assert_int_eq(journal_flush(&writer), 0);
	ck_assert_uint_eq(read_all(&reader), 1);
	journal_close(&writer);
	close(reader.fd);
	close(folder);
}
END_TEST

/* After a power loss any segment may be short: the next one is read nevertheless. */
START_TEST(a_short_segment_does_not_hide_the_next)
{
	static struct journal_writer writer;
	int folder = open_folder();
	struct journal_reader reader = { .state_fd = folder, .fd = -1 };
	struct journal_record record;
	uint64_t last = 0;

	ck_assert_int_eq(journal_open(&writer, folder), 0);
	fill(&writer, 0);
	fill(&writer, 0);
	ck_assert_int_eq(truncate(scratch_path("journal-0000000000000001"), 1000), 0);
	while (journal_read(&reader, &record) == 1)
		last = record.seq;
	ck_assert_uint_eq(last, writer.seq);
	journal_close(&writer);
	close(reader.fd);
	close(folder);
}
END_TEST

START_TEST(the_one_file_of_before_is_taken_over)
{
	const struct journal_record old = record_of(JOURNAL_BEGIN, 41);
	static struct journal_writer writer;
	int folder = open_folder(), fd = open_journal();
	struct journal_reader reader = { .state_fd = folder, .fd = -1, .seq = 40 };

	append(fd, &old, sizeof(old));
	append(fd, &old, 50); /* torn */
	close(fd);
	ck_assert_int_eq(journal_open(&writer, folder), 0);
	ck_assert_uint_eq(writer.seq, 41);
	add(&writer, 1, JOURNAL_END);
	ck_assert_int_eq(journal_flush(&writer), 0);
	ck_assert_uint_eq(read_all(&reader), 2);
	journal_close(&writer);
	close(reader.fd);
	close(folder);
}
END_TEST

/* What does not fit is held, and nothing of it is in the file. */
START_TEST(a_full_disk_tears_nothing)
{
	const struct rlimit little = { 1000, RLIM_INFINITY },
			    enough = { RLIM_INFINITY, RLIM_INFINITY };
	static struct journal_writer writer;
	int folder = open_folder();
	struct journal_reader reader = { .state_fd = folder, .fd = -1 };
	struct journal_record record = { .start = { .pid = 1 } };
	int flushed, added;

	signal(SIGXFSZ, SIG_IGN); /* a limit of the file's size stands for the disk's */
	ck_assert_int_eq(journal_open(&writer, folder), 0);
	add(&writer, 1, JOURNAL_BEGIN);
	ck_assert_int_eq(journal_flush(&writer), 0);
	for (uint64_t i = 0; i < JOURNAL_HELD; i++)
		add(&writer, i, JOURNAL_BEGIN);
	/* No assertion under the limit: it would write into a file of the test's own. */
	setrlimit(RLIMIT_FSIZE, &little);
	flushed = journal_flush(&writer);
	added = journal_add(&writer, &record, 1, JOURNAL_END);
	setrlimit(RLIMIT_FSIZE, &enough);
	ck_assert_int_eq(flushed, -EFBIG);
	ck_assert_int_eq(added, -EFBIG);
	ck_assert_uint_eq(writer.n_held, JOURNAL_HELD);
	ck_assert_uint_eq(read_all(&reader), 1);
	ck_assert_int_eq(journal_flush(&writer), 0);
	ck_assert_uint_eq(read_all(&reader), JOURNAL_HELD);
	journal_close(&writer);
	close(reader.fd);
	close(folder);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("serve/journal");
	TCase *journal = leak_case(suite, "journal", 20);

	tcase_add_test(journal, what_was_written_is_read);
	tcase_add_test(journal, what_is_appended_meanwhile_is_read);
	tcase_add_test(journal, a_record_that_is_completed_is_read);
	tcase_add_test(journal, a_torn_record_ends_the_file);
	tcase_add_test(journal, a_flipped_bit_is_seen);
	tcase_add_test(journal, what_is_sealed_and_yet_no_record_is_seen);
	tcase_add_test(journal, texts_end);
	tcase_add_test(journal, an_error_is_told);
	tcase_add_test(journal, a_full_segment_is_followed_by_another);
	tcase_add_test(journal, a_short_segment_does_not_hide_the_next);
	tcase_add_test(journal, the_one_file_of_before_is_taken_over);
	tcase_add_test(journal, a_full_disk_tears_nothing);
	return leak_run(suite);
}
