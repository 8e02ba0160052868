#include "serve/guard.h"

#include <brood/base.h>
#include <stddef.h>

#include "tests/unit/leak.h"

static char jobs[] = "jobs", example[] = "Brood.Example.";
static char *const names[] = { jobs, example, NULL };

START_TEST(hosts_that_are_ours)
{
	static const char *const ours[] = {
		"localhost",
		"LocalHost",
		"localhost.",
		"localhost:80",
		"localhost.:8600",
		"localhost:",
		"127.0.0.1",
		"127.0.0.1:8600",
		"192.0.2.255",
		"0.0.0.0:1",
		"[::1]",
		"[::1]:8600",
		"[2001:DB8::1]",
		"[::ffff:1.2.3.4]",
		"[1:2:3:4:5:6:7:8]:65535",
		"jobs",
		"JOBS:1",
		"jobs.",
		"brood.example",
		"BROOD.EXAMPLE.:1",
	};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		ck_assert_msg(guard_is_ours(ours[i], names), "%s", ours[i]);
	ck_assert(guard_is_ours("localhost", NULL));
}
END_TEST

START_TEST(hosts_that_are_not)
{
	static const char *const others[] = {
		"",
		".",
		":",
		":80",
		"evil.example",
		"localhost.evil.example",
		"evil.localhost",
		"localhos",
		"localhosts",
		"localhost..",
		"localhost:80a",
		"localhost:80:80",
		"user@localhost",
		"localhost/",
		"localhost ",
		" localhost",
		"jobs,localhost",
		"job",
		"jobsx",
		"127.1",
		"127.0.0.1.evil.example",
		"127.0.0.256",
		"0x7f.0.0.1",
		"2130706433",
		"1.2.3.4.5.6.7.8.9.10",
		"::1",
		"[::1",
		"[]",
		"[::1]x",
		"[::1]:x",
		"[localhost]",
		"[127.0.0.1]",
		"[::1%lo]",
		"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]",
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ck_assert_msg(!guard_is_ours(others[i], names), "%s", others[i]);
	ck_assert(!guard_is_ours(NULL, names));
	ck_assert(!guard_is_ours("jobs", NULL));
}
END_TEST

/* The status for a head of these headers; 0: it may pass. */
static unsigned status_of(const char *version, const char *const (*headers)[2])
{
	struct guard_head head = { .host = NULL };
	const struct guard_refusal *refusal;

	for (; (*headers)[0] != NULL; headers++)
		guard_see(&head, (*headers)[0], (*headers)[1]);
	refusal = guard_check(&head, version, names);
	return refusal != NULL ? refusal->status : 0;
}

START_TEST(heads)
{
	static const struct {
		unsigned status;
		const char *version;
		const char *const headers[4][2];
	} cases[] = {
		{ 0, "HTTP/1.1", { { "Host", "localhost" } } },
		{ 0, "HTTP/1.1", { { "hOST", "jobs" }, { "content-length", "5" } } },
		{ 0, "HTTP/1.1", { { "Host", "jobs" }, { "Transfer-Encoding", "Chunked" } } },
		{ 0, "HTTP/1.0", { { "X", NULL } } },
		{ 0, "HTTP/1.0", { { "Host", "jobs" } } },
		{ 400, "HTTP/1.1", { { "X", "y" } } },
		{ 400, "HTTP/1.2", { { "X", "y" } } },
		{ 400, "HTTP/1.1", { { "Host", "jobs" }, { "host", "jobs" } } },
		{ 421, "HTTP/1.1", { { "Host", "evil.example" } } },
		{ 421, "HTTP/1.0", { { "Host", "evil.example" } } },
		{ 421, "HTTP/1.1", { { "Host", NULL } } },
		{ 400,
		  "HTTP/1.1",
		  { { "Host", "jobs" }, { "Content-Length", "2" }, { "Content-Length", "2" } } },
		{ 400,
		  "HTTP/1.1",
		  { { "Host", "jobs" },
		    { "Content-Length", "2" },
		    { "Transfer-Encoding", "chunked" } } },
		{ 400,
		  "HTTP/1.1",
		  { { "Host", "jobs" },
		    { "Transfer-Encoding", "chunked" },
		    { "Transfer-Encoding", "chunked" } } },
		{ 400, "HTTP/1.1", { { "Host", "jobs" }, { "Transfer-Encoding", "xchunked" } } },
		{ 400,
		  "HTTP/1.1",
		  { { "Host", "jobs" }, { "Transfer-Encoding", "gzip, chunked" } } },
		{ 400, "HTTP/1.1", { { "Host", "jobs" }, { "Transfer-Encoding", NULL } } },
		{ 400, "HTTP/1.0", { { "Host", "jobs" }, { "Transfer-Encoding", "chunked" } } },
		{ 400, "HTTP/1.1", { { "Host", "jobs" }, { "X ", "y" } } },
		{ 400, "HTTP/1.1", { { "Host", "jobs" }, { "X\t", "y" } } },
		{ 400, "HTTP/1.1", { { "Host", "jobs" }, { "X(", "y" } } },
		{ 400, "HTTP/1.1", { { "Host", "jobs" }, { "X\xc3\xa9", "y" } } },
		{ 400, "HTTP/1.1", { { "Host", "jobs" }, { "", "y" } } },
		{ 400, "HTTP/1.1", { { "Host ", "evil.example" } } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(status_of(cases[i].version, cases[i].headers) == cases[i].status,
			      "case %zu: %u", i, status_of(cases[i].version, cases[i].headers));
}
END_TEST

START_TEST(time_for_a_reply)
{
	ck_assert_int_eq(guard_reply_ns(60 * BROOD_SEC, 0), 60 * BROOD_SEC);
	ck_assert_int_eq(guard_reply_ns(60 * BROOD_SEC, 64 << 10), 61 * BROOD_SEC);
	ck_assert_int_eq(guard_reply_ns(BROOD_SEC, 16 << 20), 257 * BROOD_SEC);
	/* of any size: far away, and no sum with the clock overflows */
	ck_assert_int_gt(guard_reply_ns(BROOD_SEC, UINT64_MAX), 1000000 * BROOD_SEC);
	ck_assert_int_lt(guard_reply_ns(BROOD_SEC, UINT64_MAX), INT64_MAX / 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("serve/guard");
	TCase *guard = leak_case(suite, "guard", 20);

	tcase_add_test(guard, hosts_that_are_ours);
	tcase_add_test(guard, hosts_that_are_not);
	tcase_add_test(guard, heads);
	tcase_add_test(guard, time_for_a_reply);
	return leak_run(suite);
}
