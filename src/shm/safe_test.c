/* What the headers of shared memory say of signal handlers, fork and threads; the tests of each have what is its own. */
#include <brood/array.h>
#include <brood/heap.h>
#include <brood/list.h>
#include <brood/segment.h>
#include <brood/value.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

#define ITEMS 8
#define TICKS 300

static brood_segment *segment;
static brood_heap *heap;
static brood_list *list;
static struct board {
	brood_value hits;
	union {
		brood_array array;
		char room[512];
	} of;
} * board;
static volatile int handled;

static void make(void)
{
	const brood_item items[] = { { BROOD_ITEM_INT, .integer = 7 },
				     { BROOD_ITEM_STR, .data = "text", .size = 4 } };
	void *block;

	ck_assert_int_eq(brood_segment_new(1 << 20, NULL, &segment), 0);
	ck_assert_int_eq(brood_heap_new(segment, &heap), 0);
	ck_assert_int_eq(brood_heap_alloc_aligned(heap, sizeof(*board), 64, &block), 0);
	board = block;
	ck_assert_int_eq(brood_value_init(&board->hits, 'q'), 0);
	ck_assert_int_eq(brood_array_init(&board->of.array, sizeof(board->of), 'i', ITEMS), 0);
	ck_assert_int_eq(brood_heap_set_root(heap, board), 0);
	ck_assert_int_eq(brood_list_new(items, 2, NULL, &list), 0);
	handled = 0;
}

static void end(void)
{
	brood_list_free(list);
	brood_heap_unref(heap);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	brood_segment_unref(segment);
}

/* ---- signal handlers */

static void (*handler)(void);

static void handle(int signum)
{
	int saved = errno;

	(void)signum;
	handler();
	errno = saved;
}

static void tick(void (*with)(void))
{
	struct sigaction action = { .sa_handler = handle };

	handler = with;
	must(sigaction(SIGALRM, &action, NULL) == 0);
	must(setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 50 }, { 0, 50 } }, NULL) == 0);
}

static void stop_ticking(void)
{
	must(setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 0 } }, NULL) == 0);
	must(handled > 0);
}

static bool goes_on(int64_t began)
{
	return handled < TICKS && brood_now() - began < BROOD_SEC;
}

static void look_and_add(void)
{
	brood_segment *found;
	size_t offset;
	int64_t number;

	handled++;
	must(brood_value_add(&board->hits, 1, NULL) == 0);
	must(brood_value_get_int(&board->hits, &number) == 0 && number >= handled);
	must(brood_array_add(&board->of.array, -1, 1, NULL) == 0);
	must(brood_array_set_int(&board->of.array, 0, 7) == 0);
	must(brood_array_length(&board->of.array) == ITEMS);
	must(brood_segment_of(board, &found, &offset) == 0 && found == segment);
	must(offset == (size_t)((char *)board - (char *)brood_segment_data(segment)));
	must(brood_segment_size(segment) == 1 << 20 && brood_segment_reserve(segment) == 1 << 20);
	must(brood_segment_fd(segment) >= 0 && brood_segment_name(segment) == NULL);
	must(brood_heap_root(heap) == board && brood_heap_set_root(heap, board) == 0);
	must(brood_heap_at(heap, brood_heap_offset(heap, board)) == board);
	must(brood_heap_size_of(heap, board) >= (ssize_t)sizeof(*board));
}

/* Beside what changes the tables that those in the handler look at. */
static void work_under_handlers(void *unused)
{
	int64_t began = brood_now(), sum = 0, number;
	brood_segment *other;
	void *block, *large;

	(void)unused;
	tick(look_and_add);
	for (; goes_on(began); sum++) {
		must(brood_segment_new(100, NULL, &other) == 0);
		must(brood_heap_alloc(heap, 100, &block) == 0);
		must(brood_heap_alloc(heap, 20000, &large) == 0);
		must(brood_value_add(&board->hits, 1, NULL) == 0);
		must(brood_array_add(&board->of.array, -1, 1, NULL) == 0);
		must(brood_heap_free(heap, block) == 0 && brood_heap_free(heap, large) == 0);
		brood_segment_unref(other);
	}
	stop_ticking();
	must(brood_value_get_int(&board->hits, &number) == 0 && number == sum + handled);
	must(brood_array_get_int(&board->of.array, ITEMS - 1, &number) == 0 &&
	     number == sum + handled);
}

START_TEST(handlers_look_and_add)
{
	ck_finishes(peer(work_under_handlers, NULL));
}
END_TEST

static void copy_and_read(void)
{
	int items[ITEMS], r = brood_array_read(&board->of.array, 0, ITEMS, items);
	char text[8];
	brood_item item;

	handled++;
	must(r == 0);
	must(brood_array_write(&board->of.array, 0, items, 1) == 0);
	must(brood_list_get(list, 0, NULL, 0, &item) == 0 && item.kind == BROOD_ITEM_INT);
	must(item.integer == 7 || item.integer == 8);
	must(brood_list_get(list, 1, text, sizeof(text), &item) == 0 && strcmp(text, "text") == 0);
	must(brood_list_index(list, &item) == 1 && brood_list_count(list, &item) == 1);
	must(brood_list_length(list) == 2 && brood_list_room(list, 0) == 8);
	must(brood_list_format(list, text, sizeof(text)) > 0);
}

static void assign_under_handlers(void *unused)
{
	int64_t began = brood_now();
	int items[ITEMS] = { 0 };

	(void)unused;
	tick(copy_and_read);
	for (int i = 0; goes_on(began); i++) {
		must(brood_array_write(&board->of.array, 0, items, ITEMS) == 0);
		must(brood_list_set(list, 0,
				    &(brood_item){ BROOD_ITEM_INT, .integer = 7 + i % 2 }) == 0);
	}
	stop_ticking();
}

START_TEST(handlers_copy_and_read)
{
	ck_finishes(peer(assign_under_handlers, NULL));
	ck_assert_int_eq(brood_lock_acquire(brood_array_lock(&board->of.array), 0), 0);
	ck_assert_int_eq(brood_lock_release(brood_array_lock(&board->of.array)), 0);
}
END_TEST

/* No handler may allocate; one that does is told, and spoils nothing. */
static void allocate(void)
{
	void *block;
	int r = brood_heap_alloc(heap, 20000, &block);

	handled++;
	must(r == -EDEADLK || r == 0);
	if (r == 0)
		must(brood_heap_free(heap, block) == 0);
}

static void allocate_under_handlers(void *unused)
{
	int64_t began = brood_now();
	void *block;

	(void)unused;
	tick(allocate);
	while (goes_on(began)) {
		must(brood_heap_alloc(heap, 20000, &block) == 0);
		must(brood_heap_free(heap, block) == 0);
	}
	stop_ticking();
}

START_TEST(a_handler_that_allocates_is_told)
{
	brood_heap_figures figures;

	ck_finishes(peer(allocate_under_handlers, NULL));
	ck_assert_int_eq(brood_heap_count(heap, &figures), 0);
	ck_assert_uint_eq(figures.repaired, 0);
}
END_TEST

/* ---- fork */

/* The handles are good in the child, and its references are its own. */
static void use_as_a_child(void)
{
	void *block;
	char text[8];
	brood_item item;

	must(brood_heap_alloc(heap, 100, &block) == 0);
	must(brood_heap_set_root(heap, block) == 0);
	strcpy(block, "from the child");
	must(brood_value_add(&board->hits, 5, NULL) == 0);
	must(brood_array_set_int(&board->of.array, 1, 6) == 0);
	must(brood_list_set(list, 0, &(brood_item){ BROOD_ITEM_INT, .integer = 9 }) == 0);
	must(brood_list_get(list, 1, text, sizeof(text), &item) == 0);
	list = brood_list_free(list);
	heap = brood_heap_unref(heap);
	must(brood_segment_close(segment) == 0);
	must(brood_segment_unref(segment) == NULL);
}

START_TEST(a_forked_child_has_the_handles)
{
	int64_t number;
	brood_item item;

	in_fork(use_as_a_child);
	ck_assert_str_eq(brood_heap_root(heap), "from the child");
	ck_assert_int_eq(brood_heap_free(heap, brood_heap_root(heap)), 0);
	ck_assert_int_eq(brood_value_get_int(&board->hits, &number), 0);
	ck_assert_int_eq(number, 5);
	ck_assert_int_eq(brood_array_get_int(&board->of.array, 1, &number), 0);
	ck_assert_int_eq(number, 6);
	ck_assert_int_eq(brood_list_get(list, 0, NULL, 0, &item), 0);
	ck_assert_int_eq(item.integer, 9);
}
END_TEST

/* ---- threads */

enum { THREADS = 4, ROUNDS = 300 };

static void *work_in_a_thread(void *unused)
{
	int items[ITEMS];
	brood_segment *other, *found;
	size_t offset;

	for (int i = 0; i < ROUNDS; i++) {
		brood_segment *mine = brood_segment_ref(segment);

		must(brood_segment_new(100, &(brood_segment_opts){ .reserve = 1 << 16 }, &other) ==
		     0);
		must(brood_segment_of(brood_segment_data(other), &found, &offset) == 0);
		must(found == other && offset == 0);
		must(brood_segment_grow(other, 5000) == 0);
		brood_segment_unref(other);
		must(brood_segment_of(board, &found, &offset) == 0 && found == mine);
		brood_segment_unref(mine);
		must(brood_value_add(&board->hits, 1, NULL) == 0);
		must(brood_array_read(&board->of.array, 0, ITEMS, items) == 0);
		for (int k = 1; k < ITEMS; k++)
			must(items[k] == items[0]);
		for (int k = 0; k < ITEMS; k++)
			items[k] = i;
		must(brood_array_write(&board->of.array, 0, items, ITEMS) == 0);
	}
	return unused;
}

/* A list has one writer at a time: with a lock beside it. */
static void *assign_in_a_thread(void *unused)
{
	brood_lock *lock = brood_value_lock(&board->hits);
	brood_item item;

	for (int i = 0; i < ROUNDS; i++) {
		must(brood_lock_acquire(lock, PATIENCE_NS) == 0);
		must(brood_list_get(list, 0, NULL, 0, &item) == 0);
		item.integer++;
		must(brood_list_set(list, 0, &item) == 0);
		must(brood_lock_release(lock) == 0);
	}
	return unused;
}

static void in_threads(void *(*body)(void *))
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, body, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

/* Two that grow one segment, through handles of their own. */
static void *grow_in_a_thread(void *from)
{
	brood_segment *mine;

	must(brood_segment_attach(brood_segment_fd(from), NULL, &mine) == 0);
	for (size_t size = 5000; size <= 1 << 20; size += 5000) {
		must(brood_segment_grow(mine, size) == 0);
		must(brood_segment_size(mine) >= size);
		((char *)brood_segment_data(mine))[size - 1] = 1;
	}
	brood_segment_unref(mine);
	return NULL;
}

START_TEST(threads_use_all_of_it)
{
	pthread_t threads[2];
	brood_segment *grows;
	int64_t number;
	brood_item item;

	in_threads(work_in_a_thread);
	ck_assert_int_eq(brood_value_get_int(&board->hits, &number), 0);
	ck_assert_int_eq(number, THREADS * ROUNDS);
	in_threads(assign_in_a_thread);
	ck_assert_int_eq(brood_list_get(list, 0, NULL, 0, &item), 0);
	ck_assert_int_eq(item.integer, 7 + THREADS * ROUNDS);
	ck_assert_int_eq(
		brood_segment_new(100, &(brood_segment_opts){ .reserve = 1 << 20 }, &grows), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, grow_in_a_thread, grows), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	brood_segment_unref(grows);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shm/safe");
	TCase *handlers = leak_case(suite, "handlers", 60),
	      *others = leak_case(suite, "others", 60);

	tcase_add_checked_fixture(handlers, make, end);
	tcase_add_test(handlers, handlers_look_and_add);
	tcase_add_test(handlers, handlers_copy_and_read);
	tcase_add_test(handlers, a_handler_that_allocates_is_told);
	tcase_add_checked_fixture(others, make, end);
	tcase_add_test(others, a_forked_child_has_the_handles);
	tcase_add_test(others, threads_use_all_of_it);
	return leak_run(suite);
}
