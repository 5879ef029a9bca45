/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: whose rows they show, what they are made anew for, and what becomes
 * of a transaction whose views fail. Looked at through the views' own tables,
 * and through how often a subscriber is told.
 */
#include "database_fixture.h"
#include "unit/run_suite.h"

enum { SENDER = 32, IDENTITY = 1000 /* and the connection: who a client is */ };
static struct engine engine;
static struct world w;
static struct storage_faulty *disk;
static struct line *one, *two;
static uint32_t updates[3]; /* that connection 1 and 2 were told */

static void count_updates(struct world *world, const struct received *got)
{
	for (uint32_t i = 1; i <= 2; i++)
		if (got->tag == GOT_UPDATE && world_line(world, got->conn) == (i == 1 ? one : two))
			updates[i]++;
}

static void setup(void)
{
	engine_init(&engine, 0, UINT32_MAX);
	disk = storage_faulty_create(1);
	world_init(&w, &engine, disk, false);
	must_create(&w); /* init puts the number 0 */
	one = must_connect(&w, 0, false, 1);
	two = must_connect(&w, 1, false, 2);
	memset(updates, 0, sizeof(updates));
	w.on_received = count_updates;
}

static void teardown(void)
{
	world_deinit(&w);
	storage_faulty_destroy(disk);
	engine_deinit(&engine);
}

static void subscribe(struct line *line, const char *sql)
{
	w.last = (struct received){ 0 };
	ck_assert_uint_ne(world_query(&w, line, TAG_SUBSCRIBE, sql), 0);
	world_settle(&w);
	ck_assert_msg(w.last.tag == GOT_SUBSCRIBED, "%s: tag %u: %s", sql, w.last.tag, w.last.text);
}

/* The rows of a view, for everybody (0) or for one identity, in order of their numbers: "0 2 4". */
static const char *shown(const char *view, uint64_t identity)
{
	struct identity sender = { 0 };
	uint8_t whose[SENDER];
	static char text[256];
	struct store_cursor cursor;
	struct store_row row;
	uint64_t n[64];
	size_t count = 0, at = 0;
	text[0] = '\0';
	store_u64(sender.le, identity);
	ck_assert(query_view_hash(identity == 0 ? NULL : &sender, (struct bytes){ NULL, 0 }, whose));
	store_scan(store_table_by_name(w.db->store, str_of(view)), &cursor);
	while (store_cursor_next(&cursor, &row))
		if (memcmp(row.data, whose, SENDER) == 0 && count < ARRAY_COUNT(n))
			n[count++] = load_u64(row.data + SENDER);
	for (size_t i = 0; i < count; i++)
		for (size_t j = i + 1; j < count; j++)
			if (n[j] < n[i]) {
				uint64_t swap = n[i];
				n[i] = n[j];
				n[j] = swap;
			}
	for (size_t i = 0; i < count; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llu", i == 0 ? "" : " ", (unsigned long long)n[i]);
	return text;
}

/* Goal: a view has rows from the first subscription on, follows inserts and deletes, and its subscribers are told. */
START_TEST(for_everybody)
{
	ASK_OK(&w, one, "unique_number", 4);
	ck_assert_str_eq(shown("doubled", 0), "");
	subscribe(one, "SELECT * FROM doubled");
	ck_assert_str_eq(shown("doubled", 0), "0 8");
	ASK_OK(&w, two, "unique_number", 5);
	ck_assert_str_eq(shown("doubled", 0), "0 8 10");
	ck_assert_uint_eq(updates[1], 1);
	ASK_OK(&w, two, "delete_number", 4);
	ck_assert_str_eq(shown("doubled", 0), "0 10");
	ck_assert_uint_eq(updates[1], 2);
	ASK_OK(&w, two, "nothing", 0);
	ck_assert_uint_eq(updates[1], 2);
	ck_assert_uint_eq(updates[2], 0);
}
END_TEST

/* Goal: each sender has rows of its own, made anew for the keys that it read and for no others. */
START_TEST(for_each_sender)
{
	subscribe(one, "SELECT * FROM mine");
	subscribe(two, "SELECT * FROM mine");
	ASK_OK(&w, two, "unique_number", IDENTITY + 1);
	ck_assert_str_eq(shown("mine", IDENTITY + 1), "1001");
	ck_assert_str_eq(shown("mine", IDENTITY + 2), "");
	ck_assert_uint_eq(updates[1], 1);
	ck_assert_uint_eq(updates[2], 0);
	ASK_OK(&w, two, "unique_number", 7);
	ck_assert_uint_eq(updates[1], 1);
	ASK_OK(&w, two, "delete_number", IDENTITY + 1);
	ck_assert_str_eq(shown("mine", IDENTITY + 1), "");
	ck_assert_uint_eq(updates[1], 2);
	ck_assert_uint_eq(updates[2], 0);
}
END_TEST

/* Goal: a change whose views fail is no change, and the views go on with what was. */
START_TEST(failing)
{
	subscribe(one, "SELECT * FROM doubled");
	ck_assert_uint_eq(world_ask(&w, two, "unique_number", 13)->outcome, OUTCOME_INTERNAL);
	ck_assert(!world_has(&w, "numbers", 13));
	ck_assert_str_eq(shown("doubled", 0), "0");
	ck_assert_uint_eq(updates[1], 0);
	ASK_OK(&w, two, "unique_number", 3);
	ck_assert_str_eq(shown("doubled", 0), "0 6");
	ck_assert_uint_eq(updates[1], 1);
}
END_TEST

/* Goal: a change that is rolled back leaves what views read as it was. */
START_TEST(rolled_back)
{
	subscribe(one, "SELECT * FROM doubled");
	uint64_t n = 9; /* put, before the reducer returns its error */
	ck_assert_uint_ne(world_call(&w, two, "fail", &n, 1, "no"), 0);
	world_settle(&w);
	ck_assert_uint_eq(w.last.outcome, OUTCOME_ERR);
	ck_assert_str_eq(shown("doubled", 0), "0");
	ASK_OK(&w, two, "unique_number", 1);
	ck_assert_str_eq(shown("doubled", 0), "0 2");
	ck_assert_uint_eq(updates[1], 1);
}
END_TEST

/* Goal: one-off queries and SQL make a view's rows too; after an update of the module they are there. */
START_TEST(asked_once)
{
	struct buf text = BUF_INIT(1 << 16);
	ck_assert_int_eq(world_sql(&w, "SELECT * FROM doubled", &text), WL_OK);
	ck_assert_str_eq(shown("doubled", 0), "0");
	ASK_OK(&w, two, "unique_number", 2);
	ck_assert_str_eq(shown("doubled", 0), "0 4");
	ck_assert_msg(world_update(&w, 2, TABLES_SAME, &text) == WL_OK, "%s", buf_text(&text));
	world_settle(&w);
	ck_assert_str_eq(shown("doubled", 0), "0 4");
	ASK_OK(&w, two, "unique_number", 3);
	ck_assert_str_eq(shown("doubled", 0), "0 4 6");
	buf_deinit(&text);
}
END_TEST

/* Goal: nothing of views is in the log: whoever opens the database anew has none until they are asked for. */
START_TEST(restart)
{
	subscribe(one, "SELECT * FROM doubled");
	ASK_OK(&w, two, "unique_number", 2);
	world_close(&w, true);
	must_open(&w);
	ck_assert_str_eq(shown("doubled", 0), "");
	one = must_connect(&w, 0, false, 3);
	subscribe(one, "SELECT * FROM doubled");
	ck_assert_str_eq(shown("doubled", 0), "0 4");
}
END_TEST

int main(void)
{
	log_set_level(LOG_OFF);
	if (!guest_ready()) {
		fprintf(stderr, "the guest module cannot be compiled\n");
		return 1;
	}
	Suite *suite = suite_create("views");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, for_everybody);
	tcase_add_test(tests, for_each_sender);
	tcase_add_test(tests, failing);
	tcase_add_test(tests, rolled_back);
	tcase_add_test(tests, asked_once);
	tcase_add_test(tests, restart);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
