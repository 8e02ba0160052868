#include "sync/robust.h"

#include <sched.h>

#include "sync/pause.h"
#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static void run_on(const cpu_set_t *set)
{
	must(sched_setaffinity(0, sizeof(*set), set) == 0);
	must(bri_thread_attach(bri_thread()) == 0);
}

/* Who has one core to run on would only keep the owner off it. */
static void wait_on_one_core(void *unused)
{
	cpu_set_t all, one;
	int cpu = 0;

	(void)unused;
	must(sched_getaffinity(0, sizeof(all), &all) == 0);
	must(bri_thread() != NULL && bri_thread()->looks == (CPU_COUNT(&all) > 1 ? BRI_LOOKS : 0));
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	run_on(&one);
	must(bri_thread()->looks == 0);
	run_on(&all);
	must(bri_thread()->looks == (CPU_COUNT(&all) > 1 ? BRI_LOOKS : 0));
}

START_TEST(nobody_waits_awake_on_one_core)
{
	ck_finishes(peer(wait_on_one_core, NULL));
}
END_TEST

START_TEST(patience_ends)
{
	unsigned looks = BRI_LOOKS;

	for (int i = 0; i < BRI_LOOKS; i++)
		ck_assert(bri_patient(&looks));
	ck_assert(!bri_patient(&looks));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/robust");
	TCase *threads = leak_case(suite, "threads", 60);

	tcase_add_test(threads, nobody_waits_awake_on_one_core);
	tcase_add_test(threads, patience_ends);
	return leak_run(suite);
}
