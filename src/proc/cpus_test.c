/* What control groups say, in a folder that looks like /proc and /sys. */
#include "proc/cpus.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/leak.h"

static char root[256];

/* A root of its own for each case, since files of another one would count. */
static void begin(int number)
{
	char name[32];

	snprintf(name, sizeof(name), "root-%d", number);
	snprintf(root, sizeof(root), "%s", scratch_path(name));
	ck_assert_int_eq(mkdir(root, 0700), 0);
}

/* With the folders above it. */
static void put(const char *path, const char *text)
{
	char whole[600];
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		(void)mkdir(whole, 0700);
		*at = '/';
	}
	file = fopen(whole, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

#define SECOND "/sys/fs/cgroup"
#define FIRST "/sys/fs/cgroup/cpu"

static void ck_quota(double wanted)
{
	ck_assert_double_eq_tol(bri_cpus_quota(root), wanted, 1e-9);
}

START_TEST(without_control_groups_there_is_none)
{
	begin(0);
	ck_quota(0);
	put("/proc/self/cgroup", "");
	ck_quota(0);
	put("/proc/self/cgroup", "no line of it\n0:\n\n");
	put(SECOND "/cpu.max", "50000 100000\n");
	ck_quota(0);
	put("/proc/self/cgroup", "0::/gone\n");
	ck_quota(0.5); /* the group is, what is above it counts */
}
END_TEST

START_TEST(version_2_says_quota_and_period)
{
	static const struct {
		const char *text;
		double quota;
	} cases[] = {
		{ "150000 100000\n", 1.5 },  { "max 100000\n", 0 },
		{ "1000 1000000\n", 0.001 }, { "", 0 },
		{ "garbage\n", 0 },          { "100000\n", 0 },
		{ "100000 0\n", 0 },         { "100000 -5\n", 0 },
		{ "-1 100000\n", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin((int)i);
		put("/proc/self/cgroup", "0::/a\n");
		ck_quota(0);
		put(SECOND "/a/cpu.max", cases[i].text);
		ck_quota(cases[i].quota);
	}
}
END_TEST

/* Each of them holds, whichever is the nearest. */
START_TEST(of_nested_groups_the_smallest_counts)
{
	static const char *const places[] = { SECOND "/a/b/c/cpu.max", SECOND "/a/b/cpu.max",
					      SECOND "/a/cpu.max", SECOND "/cpu.max" };

	for (int least = 0; least < 4; least++) {
		begin(least);
		put("/proc/self/cgroup", "0::/a/b/c\n");
		for (int i = 0; i < 4; i++)
			put(places[i], i == least ? "200000 100000\n" : "300000 100000\n");
		ck_quota(2);
		put(places[least], "max 100000\n");
		ck_quota(3);
		put(SECOND "/a/other/cpu.max", "100000 100000\n"); /* not above us */
		put("/sys/fs/cpu.max", "100000 100000\n");
		ck_quota(3);
	}
}
END_TEST

START_TEST(the_root_group_is_one_too)
{
	begin(0);
	put("/proc/self/cgroup", "0::/\n");
	put(SECOND "/cpu.max", "70000 100000\n");
	ck_quota(0.7);
}
END_TEST

START_TEST(version_1_says_it_in_two_files)
{
	static const struct {
		const char *quota, *period;
		double wanted;
	} cases[] = {
		{ "150000\n", "100000\n", 1.5 }, { "-1\n", "100000\n", 0 },
		{ "garbage\n", "100000\n", 0 },  { "150000\n", "garbage\n", 0 },
		{ "150000\n", "0\n", 0 },        { "150000\n", NULL, 0 },
		{ NULL, "100000\n", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin((int)i);
		put("/proc/self/cgroup", "4:cpu,cpuacct:/a/b\n");
		if (cases[i].quota != NULL)
			put(FIRST "/a/b/cpu.cfs_quota_us", cases[i].quota);
		if (cases[i].period != NULL)
			put(FIRST "/a/b/cpu.cfs_period_us", cases[i].period);
		ck_quota(cases[i].wanted);
		/* As in a container, where the group's folder is not seen. */
		put(FIRST "/cpu.cfs_quota_us", "100000\n");
		put(FIRST "/cpu.cfs_period_us", "100000\n");
		ck_quota(1);
	}
}
END_TEST

START_TEST(its_controller_is_known_by_name)
{
	static const struct {
		const char *line;
		bool is_it;
	} cases[] = {
		{ "4:cpu:/\n", true },         { "4:cpu,cpuacct:/\n", true },
		{ "4:cpuacct,cpu:/\n", true }, { "4:cpuacct,cpu,x:/\n", true },
		{ "4:cpuset:/\n", false },     { "4:cpuacct:/\n", false },
		{ "1:name=cpu:/\n", false },   { "4:cpu\n", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin((int)i);
		put("/proc/self/cgroup", cases[i].line);
		put(FIRST "/cpu.cfs_quota_us", "250000\n");
		put(FIRST "/cpu.cfs_period_us", "100000\n");
		ck_quota(cases[i].is_it ? 2.5 : 0);
	}
}
END_TEST

/* Both versions at once, as some distributions have them, among other lines. */
START_TEST(of_both_versions_the_smaller_counts)
{
	begin(0);
	put("/proc/self/cgroup", "9:memory:/m\n4:cpu,cpuacct:/a\n1:name=systemd:/s\n0::/b\n");
	put(FIRST "/a/cpu.cfs_quota_us", "300000\n");
	put(FIRST "/a/cpu.cfs_period_us", "100000\n");
	ck_quota(3);
	put(SECOND "/b/cpu.max", "400000 100000\n");
	ck_quota(3);
	put(SECOND "/b/cpu.max", "200000 100000\n");
	ck_quota(2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proc/cpus");
	TCase *quota = leak_case(suite, "quota", 20);

	tcase_add_test(quota, without_control_groups_there_is_none);
	tcase_add_test(quota, version_2_says_quota_and_period);
	tcase_add_test(quota, of_nested_groups_the_smallest_counts);
	tcase_add_test(quota, the_root_group_is_one_too);
	tcase_add_test(quota, version_1_says_it_in_two_files);
	tcase_add_test(quota, its_controller_is_known_by_name);
	tcase_add_test(quota, of_both_versions_the_smaller_counts);
	return leak_run(suite);
}
