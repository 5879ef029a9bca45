/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules: when rows of schedule tables are called, and what becomes of
 * them. The wall clock is the test's, and it says when what is due is looked
 * at, so every time below is exact.
 */
#include "base/clock.h"
#include "database_fixture.h"
#include "unit/run_suite.h"

enum { CALL_MS = 200, INTERVAL = 0, ONCE = 1 };
enum { KIND_PLAIN, KIND_FAILS, KIND_TRAPS, KIND_DROPS_ITSELF, KIND_COMES_AGAIN };
static struct engine engine;
static struct world w;
static struct storage_faulty *disk;
static struct line *client;
static _Atomic int64_t wall;

static int64_t fake_wall(void *context)
{
	(void)context;
	return atomic_load(&wall);
}

static uint64_t fake_mono(void *context)
{
	(void)context;
	return (uint64_t)atomic_load(&wall) * 1000;
}

static void chance(void *context, void *out, size_t len)
{
	(void)context;
	memset(out, 7, len);
}

static void setup(void)
{
	static const struct clock_source source = { fake_wall, fake_mono, chance, NULL };
	atomic_store(&wall, INT64_C(1000000000));
	clock_replace(&source);
	engine_init(&engine, 0, CALL_MS);
	disk = storage_faulty_create(1);
	world_init(&w, &engine, disk, false);
	must_create(&w);
	client = must_connect(&w, 0, false, 1);
}

static void teardown(void)
{
	world_deinit(&w);
	storage_faulty_destroy(disk);
	engine_deinit(&engine);
	clock_replace(NULL);
}

/* The wall clock moves, and what is due by then runs. */
static void pass(int64_t micros)
{
	atomic_fetch_add(&wall, micros);
	(void)db_post_due(w.db);
	world_settle(&w);
}

static void put_timer(uint64_t id, uint64_t tag, int64_t micros, uint64_t kind)
{
	uint64_t args[4] = { id, tag, (uint64_t)micros, kind };
	w.last = (struct received){ 0 };
	world_call(&w, client, "put_timer", args, 4, NULL);
	world_settle(&w);
	ck_assert_uint_eq(w.last.outcome, OUTCOME_OK);
}

static int64_t start; /* when the timer under test was put */

/* The ticks of a timer as times since `start`, "100 200 …". */
static const char *ticks(uint64_t timer)
{
	static char text[512];
	struct store_cursor cursor;
	struct store_row row;
	size_t at = 0;
	text[0] = '\0';
	store_scan(store_table_by_name(w.db->store, STR("ticks")), &cursor);
	while (store_cursor_next(&cursor, &row))
		if (load_u64(row.data + 8) == timer)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%lld", at == 0 ? "" : " ",
				(long long)((int64_t)load_u64(row.data + 16) - start));
	return text;
}

static bool timer_there(uint64_t id)
{
	return world_has(&w, "timers", id);
}

/* Goal: a row with a time is called then, once, and is deleted. */
START_TEST(one_shots)
{
	start = wall;
	put_timer(1, ONCE, start + 100, KIND_PLAIN);
	put_timer(2, ONCE, start - 5000, KIND_PLAIN); /* long ago: at once */
	pass(0);
	ck_assert_str_eq(ticks(2), "0");
	ck_assert(!timer_there(2));
	pass(99);
	ck_assert_str_eq(ticks(1), "");
	ck_assert(timer_there(1));
	pass(11);
	ck_assert_str_eq(ticks(1), "110");
	ck_assert(!timer_there(1));
	pass(100000);
	ck_assert_str_eq(ticks(1), "110");
}
END_TEST

/* Goal: intervals do not drift, and what was missed is skipped. */
START_TEST(intervals)
{
	start = wall;
	put_timer(1, INTERVAL, 100, KIND_PLAIN);
	for (int i = 0; i < 4; i++)
		pass(60); /* 60 120 180 240 */
	ck_assert_str_eq(ticks(1), "120 240");
	pass(410); /* 650: those of 300 to 600 are one */
	ck_assert_str_eq(ticks(1), "120 240 650");
	pass(40);
	ck_assert_str_eq(ticks(1), "120 240 650");
	pass(10); /* exactly when it is due */
	ck_assert_str_eq(ticks(1), "120 240 650 700");
	ck_assert(timer_there(1));
	/* A negative interval is as good as a positive one. */
	start = wall;
	put_timer(2, INTERVAL, -50, KIND_PLAIN);
	pass(50);
	ck_assert_str_eq(ticks(2), "50");
}
END_TEST

/* Goal: deleting a row cancels it; giving it another time replaces the old one. */
START_TEST(cancelled_and_replaced)
{
	start = wall;
	put_timer(1, ONCE, start + 100, KIND_PLAIN);
	put_timer(2, INTERVAL, 100, KIND_PLAIN);
	put_timer(3, ONCE, start + 100, KIND_PLAIN);
	put_timer(3, ONCE, start + 300, KIND_PLAIN);
	world_ask(&w, client, "drop_timer", 1);
	pass(100);
	world_ask(&w, client, "drop_timer", 2);
	pass(100);
	ck_assert_str_eq(ticks(1), "");
	ck_assert_str_eq(ticks(2), "100");
	ck_assert_str_eq(ticks(3), "");
	pass(100);
	ck_assert_str_eq(ticks(3), "300");
}
END_TEST

/* Goal: a transaction that is rolled back schedules and cancels nothing. */
START_TEST(rolled_back)
{
	start = wall;
	put_timer(1, ONCE, start + 100, KIND_PLAIN);
	/* put_timer deletes the old row first, then fails on a delay that is too long. */
	uint64_t args[4] = { 1, INTERVAL, (uint64_t)1 << 60, KIND_PLAIN };
	world_call(&w, client, "put_timer", args, 4, NULL);
	world_settle(&w);
	ck_assert_uint_eq(w.last.outcome, OUTCOME_INTERNAL);
	pass(100);
	ck_assert_str_eq(ticks(1), "100");
}
END_TEST

/* Goal: whatever becomes of the call, a one-shot goes and an interval stays; nothing of a failed call is kept. */
START_TEST(failing_calls)
{
	start = wall;
	put_timer(1, ONCE, start + 100, KIND_FAILS);
	put_timer(2, INTERVAL, 100, KIND_TRAPS);
	put_timer(3, INTERVAL, 100, KIND_PLAIN);
	pass(100);
	pass(100);
	ck_assert_str_eq(ticks(1), "");
	ck_assert_str_eq(ticks(2), "");
	ck_assert_str_eq(ticks(3), "100 200");
	ck_assert(!timer_there(1));
	ck_assert(timer_there(2));
}
END_TEST

/* Goal: a call may drop its own row, or give it another time, which is then kept. */
START_TEST(calls_that_change_their_row)
{
	start = wall;
	put_timer(1, INTERVAL, 100, KIND_DROPS_ITSELF);
	put_timer(2, ONCE, start + 100, KIND_COMES_AGAIN);
	pass(100);
	ck_assert_str_eq(ticks(1), "100");
	ck_assert_str_eq(ticks(2), "100");
	ck_assert(!timer_there(1));
	ck_assert(timer_there(2));
	pass(999);
	ck_assert_str_eq(ticks(2), "100");
	pass(1);
	ck_assert_str_eq(ticks(2), "100 1100");
	ck_assert(!timer_there(2));
	pass(100000);
	ck_assert_str_eq(ticks(1), "100");
}
END_TEST

/* Goal: after a restart what is past is called at once, intervals begin anew. */
START_TEST(restart)
{
	start = wall;
	put_timer(1, ONCE, start + 100, KIND_PLAIN);
	put_timer(2, INTERVAL, 100, KIND_PLAIN);
	world_close(&w, true);
	atomic_fetch_add(&wall, 1030);
	must_open(&w);
	pass(0);
	ck_assert_str_eq(ticks(1), "1030");
	ck_assert_str_eq(ticks(2), "");
	ck_assert(!timer_there(1));
	pass(100);
	ck_assert_str_eq(ticks(2), "1130");
}
END_TEST

/* Goal: very many rows, each exactly when it is due, in the order of their times. */
START_TEST(many_rows)
{
	enum { COUNT = 500 };
	start = wall;
	for (uint64_t i = 0; i < COUNT; i++)
		put_timer(1000 + i, ONCE, start + 1 + (int64_t)(i * 7919 % COUNT) * 10, KIND_PLAIN);
	for (int i = 0; i < COUNT; i++)
		pass(10);
	world_settle(&w);
	for (uint64_t i = 0; i < COUNT; i++) {
		char expected[32];
		snprintf(expected, sizeof(expected), "%d", ((int)(i * 7919 % COUNT) + 1) * 10);
		ck_assert_str_eq(ticks(1000 + i), expected);
	}
}
END_TEST

/* Goal: an interval of nothing repeats for ever and leaves room for others. */
START_TEST(no_interval)
{
	start = wall;
	put_timer(1, INTERVAL, 0, KIND_PLAIN);
	(void)db_post_due(w.db);
	(void)database_run_pending(w.db, 1);
	ck_assert_uint_eq(database_run_pending(w.db, 1), true);
	w.last = (struct received){ 0 };
	world_call_number(&w, client, "drop_timer", 1);
	post_inbox(&w, 0);
	for (int i = 0; i < 4 && w.last.tag == 0; i++)
		(void)database_run_pending(w.db, 1);
	ck_assert_uint_eq(w.last.outcome, OUTCOME_OK);
	world_settle(&w);
	ck_assert(!timer_there(1));
}
END_TEST

int main(void)
{
	log_set_level(LOG_OFF);
	if (!guest_ready()) {
		fprintf(stderr, "the guest module cannot be compiled\n");
		return 1;
	}
	Suite *suite = suite_create("schedules");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, one_shots);
	tcase_add_test(tests, intervals);
	tcase_add_test(tests, cancelled_and_replaced);
	tcase_add_test(tests, rolled_back);
	tcase_add_test(tests, failing_calls);
	tcase_add_test(tests, calls_that_change_their_row);
	tcase_add_test(tests, restart);
	tcase_add_test(tests, many_rows);
	tcase_add_test(tests, no_interval);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
