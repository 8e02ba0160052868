// boost-queue PUTTERS GETTERS SIZE - millions of messages a second through Boost.Interprocess' message_queue
#include <boost/interprocess/ipc/message_queue.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace ipc = boost::interprocess;
using steady = std::chrono::steady_clock;

static const uint64_t END = UINT64_MAX;
static const auto RUN = std::chrono::milliseconds(150);

struct shared {
	int ready;
	uint64_t got[8];
};

static void drain(ipc::message_queue &queue, shared *s, int nth, size_t size)
{
	std::vector<char> message(size);
	ipc::message_queue::size_type got;
	unsigned priority;
	uint64_t number;

	__atomic_add_fetch(&s->ready, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		queue.receive(message.data(), size, got, priority);
		memcpy(&number, message.data(), 8);
		if (number == END)
			_exit(0);
		s->got[nth]++;
	}
}

static void feed(ipc::message_queue &queue, steady::time_point until, size_t size)
{
	std::vector<char> message(size, 7);
	uint64_t number = 0;

	do {
		for (int i = 0; i < 16; i++, number++) {
			memcpy(message.data(), &number, 8);
			queue.send(message.data(), size, 0);
		}
	} while (steady::now() < until);
	_exit(0);
}

int main(int argc, char **argv)
{
	int putters = argc > 3 ? atoi(argv[1]) : 0, getters = argc > 3 ? atoi(argv[2]) : 0;
	size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	std::string name = "brood-bench-boost-" + std::to_string(getpid());
	shared *s = static_cast<shared *>(mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE,
					       MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	std::vector<pid_t> putting, getting;
	uint64_t count = 0;

	if (s == MAP_FAILED || putters < 1 || getters < 1 || getters > 8 || size < 8)
		return 2;
	ipc::message_queue queue(ipc::create_only, name.c_str(), size <= 1024 ? 512 : 8, size);
	ipc::message_queue::remove(name.c_str());
	for (int i = 0; i < getters; i++) {
		getting.push_back(fork());
		if (getting.back() == 0)
			drain(queue, s, i, size);
	}
	while (__atomic_load_n(&s->ready, __ATOMIC_SEQ_CST) < getters)
		usleep(100);
	auto began = steady::now();
	for (int i = 0; i < putters; i++) {
		putting.push_back(fork());
		if (putting.back() == 0)
			feed(queue, began + RUN, size);
	}
	for (pid_t pid : putting)
		waitpid(pid, NULL, 0);
	std::vector<char> message(size);
	memcpy(message.data(), &END, 8);
	for (int i = 0; i < getters; i++)
		queue.send(message.data(), size, 0);
	for (pid_t pid : getting)
		waitpid(pid, NULL, 0);
	std::chrono::duration<double> took = steady::now() - began;
	for (int i = 0; i < getters; i++)
		count += s->got[i];
	printf("%g\n", (double)count / took.count() / 1e6);
	return 0;
}
