/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the foundation holds its promises: bounds are bounds, errors stick,
 * a reset arena allocates nothing, queues keep order between threads.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/waits.h"
#include "unit/run_suite.h"

#include <stdlib.h>

START_TEST(buffers_stop_at_their_maximum)
{
	struct buf buf = BUF_INIT(10);
	buf_put(&buf, "0123456789", 10);
	ck_assert(!buf.failed);
	buf_put_u8(&buf, 1);
	ck_assert(buf.failed);
	ck_assert_uint_eq(buf.len, 10);
	buf_put(&buf, "x", 0);
	buf_clear(&buf);
	buf_put_u32(&buf, 0x01020304);
	ck_assert_mem_eq(buf.data, "\4\3\2\1", 4);
	buf_deinit(&buf);
	buf_deinit(&buf);
}
END_TEST

START_TEST(buffers_report_lost_memory)
{
	struct buf buf = BUF_INIT(1 << 20);
	mem_fail_at(1, false);
	buf_put_cstr(&buf, "text");
	mem_fail_at(0, false);
	ck_assert(buf.failed);
	ck_assert_str_eq(buf_text(&buf), "");
	buf_clear(&buf);
	buf_printf(&buf, "%d-%s", 7, "x");
	ck_assert_str_eq(buf_text(&buf), "7-x");
	buf_deinit(&buf);
}
END_TEST

START_TEST(json_strings_are_escaped)
{
	struct buf buf = BUF_INIT(1024);
	buf_put_json_str(&buf, STR("a\"b\\c\n\x01\xc3\xa9/"));
	ck_assert_str_eq(buf_text(&buf), "\"a\\\"b\\\\c\\n\\u0001\xc3\xa9/\"");
	buf_deinit(&buf);
}
END_TEST

START_TEST(cursors_never_pass_their_end)
{
	const uint8_t bytes[] = { 5, 0, 0, 0, 'a', 'b' };
	struct reader r = reader_of(bytes, sizeof(bytes));
	struct str s = reader_bsatn_str(&r);
	ck_assert(r.failed);
	ck_assert_ptr_null(s.data);
	ck_assert_str_eq(r.what, "[u8]");
	ck_assert_uint_eq(r.wanted, 5);
	ck_assert_uint_eq(r.given, 2);
	ck_assert_uint_eq(reader_u64(&r), 0);
	ck_assert_uint_eq(r.wanted, 5); /* the first failure is the one that is told */
}
END_TEST

START_TEST(utf8_is_strict)
{
	ck_assert(utf8_valid((const uint8_t *)"\xf0\x9f\x98\x80 12345678 \xe2\x82\xac", 17));
	ck_assert(!utf8_valid((const uint8_t *)"\xc0\x80", 2));         /* overlong */
	ck_assert(!utf8_valid((const uint8_t *)"\xed\xa0\x80", 3));     /* surrogate */
	ck_assert(!utf8_valid((const uint8_t *)"\xf4\x90\x80\x80", 4)); /* beyond U+10FFFF */
	ck_assert(!utf8_valid((const uint8_t *)"abcdefgh\xe2\x82", 10));
}
END_TEST

START_TEST(hex_and_identities)
{
	struct identity id;
	char hex[65];
	ck_assert(!identity_from_hex(STR("00"), &id));
	ck_assert(identity_from_hex(STR("C2000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"), &id));
	ck_assert_uint_eq(id.le[0], 0x1e);
	ck_assert_uint_eq(id.le[31], 0xc2);
	identity_to_hex(&id, hex);
	ck_assert_str_eq(hex, "c2000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e");
}
END_TEST

START_TEST(a_reset_arena_allocates_nothing)
{
	struct arena arena;
	arena_init(&arena, 1 << 20);
	for (int round = 0; round < 3; round++) {
		uint64_t before = mem_stats().allocations;
		for (int i = 0; i < 500; i++)
			ck_assert_ptr_nonnull(arena_zalloc(&arena, 100));
		if (round > 0)
			ck_assert_uint_eq(mem_stats().allocations, before);
		arena_reset(&arena);
	}
	ck_assert_ptr_null(arena_alloc(&arena, (1 << 20) + 1));
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
	ck_assert_ptr_null(arena_array(&arena, SIZE_MAX / 2, 4));
	ck_assert_ptr_nonnull(arena_alloc(&arena, 1 << 19));
	ck_assert_ptr_null(arena_alloc(&arena, (1 << 19) + 16));
	arena_deinit(&arena);
}
END_TEST

START_TEST(maps_agree_with_a_model)
{
	enum { KEYS = 512, STEPS = 20000 };
	static uint32_t keys[KEYS];
	bool present[KEYS] = { false };
	uint64_t values[KEYS] = { 0 };
	struct map map = { 0 };
	uint32_t seed = 12345, live = 0;
	for (uint32_t i = 0; i < KEYS; i++)
		keys[i] = i * 2654435761u;
	for (int step = 0; step < STEPS; step++) {
		seed = seed * 1664525u + 1013904223u;
		uint32_t k = (seed >> 8) % KEYS;
		if ((seed >> 28) < 9) {
			ck_assert(map_put(&map, &keys[k], 4, seed));
			live += !present[k];
			present[k] = true;
			values[k] = seed;
		} else {
			ck_assert_int_eq(map_remove(&map, &keys[k], 4), present[k]);
			live -= present[k];
			present[k] = false;
		}
		uint64_t value = 0;
		ck_assert_int_eq(map_get(&map, &keys[k], 4, &value), present[k]);
		if (present[k])
			ck_assert_uint_eq(value, values[k]);
		ck_assert_uint_eq(map.count, live);
	}
	uint32_t cursor = 0, seen = 0;
	while (map_next(&map, &cursor) != NULL)
		seen++;
	ck_assert_uint_eq(seen, live);
	ck_assert(map_put(&map, "", 0, 9));
	uint64_t value;
	ck_assert(map_get(&map, "", 0, &value));
	map_deinit(&map);
}
END_TEST

enum { PRODUCERS = 4, PER_PRODUCER = 20000 };
struct message { struct mpsc_node node; uint32_t producer, number; };
static struct mpsc queue;
static struct message messages[PRODUCERS][PER_PRODUCER];

static void produce(void *arg)
{
	uint32_t producer = (uint32_t)(uintptr_t)arg;
	for (uint32_t i = 0; i < PER_PRODUCER; i++) {
		messages[producer][i] = (struct message){ .producer = producer, .number = i };
		(void)mpsc_push(&queue, &messages[producer][i].node);
	}
}

START_TEST(queues_keep_the_order_of_each_producer)
{
	pthread_t threads[PRODUCERS];
	uint32_t next[PRODUCERS] = { 0 }, total = 0;
	for (uintptr_t p = 0; p < PRODUCERS; p++)
		ck_assert(thread_start(&threads[p], "producer", 0, produce, (void *)p));
	while (total < PRODUCERS * PER_PRODUCER) {
		for (struct mpsc_node *node = mpsc_take_all(&queue); node != NULL; node = node->next, total++) {
			const struct message *m = (const struct message *)node;
			ck_assert_uint_eq(m->number, next[m->producer]);
			next[m->producer]++;
		}
	}
	for (int p = 0; p < PRODUCERS; p++)
		thread_join(threads[p]);
}
END_TEST

static _Atomic int jobs_done;

static void count_job(void *arg)
{
	(void)arg;
	atomic_fetch_add(&jobs_done, 1);
}

START_TEST(worker_pools_finish_what_they_took)
{
	struct worker_pool *pool = worker_pool_create("test", 4, 0);
	ck_assert_ptr_nonnull(pool);
	for (int i = 0; i < 1000; i++)
		ck_assert(worker_pool_run(pool, count_job, NULL));
	worker_pool_destroy(pool);
	ck_assert_int_eq(atomic_load(&jobs_done), 1000);
}
END_TEST

START_TEST(timestamps_as_text)
{
	char text[48];
	timestamp_format(1739202330000000, text);
	ck_assert_str_eq(text, "2025-02-10T15:45:30+00:00");
	timestamp_format(1739202330123000, text);
	ck_assert_str_eq(text, "2025-02-10T15:45:30.123+00:00");
	timestamp_format(-1, text);
	ck_assert_str_eq(text, "1969-12-31T23:59:59.999999+00:00");
}
END_TEST

/* Goal: beyond the limit what is large is refused and what is small is not; what was freed is noticed once. */
START_TEST(memory_limit)
{
	void *held = mem_alloc(1 << 20);
	ck_assert_ptr_nonnull(held);
	mem_limit(mem_stats().live_bytes + (64 << 10));
	ck_assert_ptr_null(mem_alloc(65 << 10));
	ck_assert_ptr_null(mem_zalloc(65 << 10));
	ck_assert_ptr_null(mem_realloc(held, 2 << 20));
	void *small = mem_alloc(MEM_LARGE_BYTES - 1);
	ck_assert_ptr_nonnull(small);
	held = mem_realloc(held, 1 << 19); /* shrinking always works */
	ck_assert_ptr_nonnull(held);
	mem_limit(UINT64_MAX);
	mem_free(small);
	mem_free(held);
	ck_assert(!mem_trim_due());
	held = mem_alloc(200 << 20);
	ck_assert(!mem_trim_due());
	mem_free(held);
	ck_assert(mem_trim_due());
	ck_assert(!mem_trim_due());
	mem_trim();
	ck_assert_uint_gt(mem_of_machine(), 1 << 20);
}
END_TEST

/* Goal: whatever is added, taken out and given another key, the first is a smallest one. Method: an array beside it. */
START_TEST(heaps_agree_with_a_model)
{
	enum { THINGS = 200, STEPS = 20000 };
	static struct thing { uint32_t number; struct heap_entry entry; } things[THINGS];
	struct heap heap = { 0 };
	uint64_t seed = 7;
	for (uint32_t step = 0; step < STEPS; step++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		struct thing *thing = &things[(seed >> 33) % THINGS];
		bool was_in = thing->entry.place != 0;
		heap_remove(&heap, &thing->entry);
		ck_assert_uint_eq(thing->entry.place, 0);
		if (!was_in || (seed >> 60) < 8) {
			thing->entry.key = (int64_t)(seed >> 50 & 63) - 32;
			ck_assert(heap_reserve(&heap, heap.count + 1));
			heap_add(&heap, &thing->entry);
		}
		uint32_t count = 0;
		int64_t smallest = INT64_MAX;
		for (uint32_t i = 0; i < THINGS; i++) {
			count += things[i].entry.place != 0;
			if (things[i].entry.place != 0 && things[i].entry.key < smallest)
				smallest = things[i].entry.key;
		}
		ck_assert_uint_eq(heap.count, count);
		ck_assert(count == 0 ? heap_first(&heap) == NULL : heap_first(&heap)->key == smallest);
		if (count > 0)
			ck_assert_uint_ne(CONTAINER_OF(heap_first(&heap), struct thing, entry)->entry.place, 0);
	}
	heap_deinit(&heap);
}
END_TEST

/* Goal: every wait lies below its bucket's limit and not below the one before; buckets are narrow and leave no gap. */
START_TEST(waits_fall_into_their_buckets)
{
	static struct waits waits;
	for (uint32_t i = 1; i < WAITS_BUCKETS - 1; i++) {
		uint64_t low = waits_limit(i - 1), high = waits_limit(i);
		ck_assert_uint_eq(waits_bucket(low), i);
		ck_assert_uint_eq(waits_bucket(high - 1), i);
		ck_assert_uint_le((high - low) * WAITS_STEPS, low);
	}
	ck_assert_uint_eq(waits_limit(WAITS_BUCKETS - 2), UINT64_C(1) << WAITS_HIGH_BITS);
	ck_assert_uint_eq(waits_limit(WAITS_BUCKETS - 1), UINT64_MAX);
	ck_assert_uint_eq(waits_bucket(UINT64_C(1) << WAITS_HIGH_BITS), WAITS_BUCKETS - 1);
	ck_assert_uint_eq(waits_bucket(UINT64_MAX), WAITS_BUCKETS - 1);
	ck_assert_uint_eq(waits_bucket(0), 0);
	waits_add(&waits, 1000);
	waits_add(&waits, 1000);
	waits_add(&waits, 7);
	ck_assert_uint_eq(atomic_load(&waits.nanos), 2007);
	ck_assert_uint_eq(atomic_load(&waits.counts[waits_bucket(1000)]), 2);
	ck_assert_uint_eq(atomic_load(&waits.counts[0]), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base");
	TCase *tcase = tcase_create("all");
	tcase_add_test(tcase, buffers_stop_at_their_maximum);
	tcase_add_test(tcase, buffers_report_lost_memory);
	tcase_add_test(tcase, json_strings_are_escaped);
	tcase_add_test(tcase, cursors_never_pass_their_end);
	tcase_add_test(tcase, utf8_is_strict);
	tcase_add_test(tcase, hex_and_identities);
	tcase_add_test(tcase, a_reset_arena_allocates_nothing);
	tcase_add_test(tcase, maps_agree_with_a_model);
	tcase_add_test(tcase, heaps_agree_with_a_model);
	tcase_add_test(tcase, queues_keep_the_order_of_each_producer);
	tcase_add_test(tcase, worker_pools_finish_what_they_took);
	tcase_add_test(tcase, timestamps_as_text);
	tcase_add_test(tcase, memory_limit);
	tcase_add_test(tcase, waits_fall_into_their_buckets);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
