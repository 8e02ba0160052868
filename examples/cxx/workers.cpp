/* workers WORD... - four processes share the work that one hands out
 *
 * Each word goes into a queue; whichever worker is free takes it, and puts what it found into another. Closing the queue of
 * tasks says to all that there is no more. Who goes out of scope gives back what it has: there is no unref to forget. */
#include <brood/brood.hpp>

#include <cstdio>
#include <set>

static int work(brood_queue *tasks, brood_queue *results, std::string_view what)
{
	char word[256];
	ssize_t n;

	while ((n = brood_queue_get(tasks, word, sizeof(word), BROOD_FOREVER)) >= 0) {
		std::string line = std::string(word, static_cast<size_t>(n)) + " has " +
				   std::to_string(n) + " " + std::string(what);

		if (brood_queue_put(results, line.data(), line.size(), BROOD_FOREVER) < 0)
			return 1;
	}
	return n == -EPIPE ? 0 : 1; /* closed and drained */
}

int main(int argc, char **argv)
{
	brood::queue tasks, results;
	brood::process workers[4];
	std::multiset<std::string> lines; /* in an order of its own: who is first is chance */
	int failed = 0;

	brood_init();
	if (brood_queue_new(nullptr, tasks.ret()) < 0 ||
	    brood_queue_new(nullptr, results.ret()) < 0)
		return 1;
	for (brood::process &worker : workers)
		if (brood::start(brood::call<work>, { tasks, results, "letters" }, worker) < 0)
			return 1;
	for (int i = 1; i < argc; i++)
		if (tasks.put(argv[i]) < 0)
			return 1;
	tasks.close();
	for (int i = 1; i < argc; i++) {
		char line[300];
		ssize_t n = results.get(line, sizeof(line), 30 * BROOD_SEC);

		if (n < 0)
			return 1;
		lines.emplace(line, static_cast<size_t>(n));
	}
	for (const brood::process &worker : workers) {
		brood_exit end;

		failed |= worker.join(BROOD_FOREVER, &end) < 0 || !brood_exit_ok(&end);
	}
	for (const std::string &line : lines)
		std::puts(line.c_str());
	return failed;
}
