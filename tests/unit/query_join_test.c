/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins: over random tables and random queries, with and without row-level
 * rules, the optimised plan must give what a plan that uses nothing gives; and
 * the result before a commit plus its delta must be the result after it, copy
 * by copy.
 */
#include "store_util.h"
#include "unit/run_suite.h"
#include "base/map.h"
#include "query/query.h"

#include <stdlib.h>

enum { LIVES = 60, COMMITS = 12, QUERIES = 8, ROWS_MAX = 24 };
static const struct { const char *name, *columns, *indexes; int primary_key; } tables[] = {
	{ "r", "id:w a:u b:u name:s", "!0 1", 0 },
	{ "s", "id:w rid:w a:u b:u", "!0 1 2,3", 0 },
	{ "t", "x:u y:u who:n", "#0", -1 }, /* no key: equal rows are one */
	{ "u", "a:u f:d", "0,1 1", -1 },
};
enum { TABLES = ARRAY_COUNT(tables) };

static struct arena arena;
static struct store *store;
static struct store_table *made[TABLES];
static uint64_t seed;
static struct query_caller owner = { .is_owner = true }, other;
static const struct query_limits plain = { .plain = true }, no_limits;

static uint32_t pick(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

static void setup(void)
{
	struct store_delta delta;
	arena_init(&arena, 1 << 24);
	store = store_create();
	ck_assert_ptr_nonnull(store);
	store_u64(other.identity.le, 77);
	store_tx_begin(store);
	for (size_t i = 0; i < TABLES; i++) {
		struct store_table_def *def = util_def(&arena, tables[i].name, tables[i].columns, tables[i].indexes,
			tables[i].primary_key);
		def->is_public = true;
		ck_assert_int_eq(store_table_create(store, def, &made[i]), STORE_OK);
	}
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
}

static void teardown(void)
{
	store_destroy(store);
	arena_deinit(&arena);
}

/* ---- random rows ---- */

static void random_row(uint32_t table, struct buf *row)
{
	static const double floats[] = { 0.0, -0.0, 1.5, 3 };
	switch (table) {
	case 0:
		buf_put_u64(row, pick(ROWS_MAX));
		buf_put_u32(row, pick(4));
		buf_put_u32(row, pick(3));
		buf_put_bsatn_str(row, pick(2) == 0 ? STR("n") : STR("name"));
		break;
	case 1:
		buf_put_u64(row, pick(ROWS_MAX));
		buf_put_u64(row, pick(ROWS_MAX / 2));
		buf_put_u32(row, pick(4));
		buf_put_u32(row, pick(3));
		break;
	case 2: {
		struct identity who = { { 0 } };
		store_u64(who.le, pick(2) == 0 ? 77 : 78);
		buf_put_u32(row, pick(4));
		buf_put_u32(row, pick(3));
		buf_put(row, who.le, sizeof(who.le));
		break;
	}
	default: {
		double f = floats[pick(ARRAY_COUNT(floats))];
		uint64_t bits;
		memcpy(&bits, &f, sizeof(bits));
		buf_put_u32(row, pick(4));
		buf_put_u64(row, bits);
	}
	}
}

static void insert(uint32_t table)
{
	struct buf row = BUF_INIT(1 << 10);
	random_row(table, &row);
	size_t len = row.len;
	enum store_status status = store_insert(store, made[table], row.data, &len, NULL);
	ck_assert(status == STORE_OK || status == STORE_UNIQUE_VIOLATION);
	buf_deinit(&row);
}

static void delete_some(uint32_t table, uint32_t one_in)
{
	struct store_cursor cursor;
	struct store_row row;
	uint32_t numbers[ROWS_MAX * 8], count = 0;
	store_scan(made[table], &cursor);
	while (store_cursor_next(&cursor, &row) && count < ARRAY_COUNT(numbers))
		if (pick(one_in) == 0)
			numbers[count++] = row.number;
	for (uint32_t i = 0; i < count; i++)
		ck_assert_int_eq(store_delete(store, made[table], numbers[i]), STORE_OK);
}

static void change_some(void)
{
	for (uint32_t n = 1 + pick(3); n > 0; n--) {
		uint32_t table = pick(TABLES);
		if (pick(3) == 0)
			delete_some(table, 1 + pick(4));
		for (uint32_t i = pick(5); i > 0; i--)
			insert(table);
	}
}

/* ---- random queries ---- */

static const char *column_of(uint32_t table)
{
	static const char *const columns[TABLES][3] = { { "id", "a", "b" }, { "rid", "a", "b" }, { "x", "y", "x" },
		{ "a", "a", "a" } };
	return columns[table][pick(3)];
}

/* One of the columns of the same type as those of others, or NULL: ids only meet ids. */
static const char *u32_of(uint32_t table)
{
	static const char *const columns[TABLES][2] = { { "a", "b" }, { "a", "b" }, { "x", "y" }, { "a", "a" } };
	return columns[table][pick(2)];
}

static void random_condition(struct buf *sql, uint32_t table, uint32_t alias)
{
	static const char *const ops[] = { "=", "<", ">=", "<>", "=", ">" };
	uint32_t kind = pick(8);
	if (kind == 0 && table == 0)
		buf_printf(sql, "t%u.name = 'n'", alias);
	else if (kind == 1 && table == 2)
		buf_printf(sql, "t%u.who = :sender", alias);
	else if (kind < 4 && table == 3)
		buf_printf(sql, "t%u.f %s %s", alias, ops[pick(6)], pick(2) == 0 ? "0" : "1.5");
	else if (kind == 4)
		buf_printf(sql, "(t%u.%s = %u OR NOT t%u.%s < %u)", alias, u32_of(table), pick(4), alias, u32_of(table),
			pick(4));
	else
		buf_printf(sql, "t%u.%s %s %u", alias, column_of(table), ops[pick(6)], pick(5));
}

static void random_query(struct buf *sql)
{
	uint32_t count = 1 + pick(3), of[4];
	for (uint32_t i = 0; i < count; i++)
		of[i] = pick(TABLES);
	buf_printf(sql, "SELECT t%u.* FROM %s t0", pick(count), tables[of[0]].name);
	for (uint32_t i = 1; i < count; i++) {
		uint32_t with = pick(i);
		if (of[i] == 1 && of[with] == 0 && pick(2) == 0)
			buf_printf(sql, " JOIN s t%u ON t%u.rid = t%u.id", i, i, with);
		else if (pick(6) == 0)
			buf_printf(sql, " CROSS JOIN %s t%u", tables[of[i]].name, i);
		else
			buf_printf(sql, " JOIN %s t%u ON t%u.%s = t%u.%s", tables[of[i]].name, i, with, u32_of(of[with]), i,
				u32_of(of[i]));
	}
	for (uint32_t i = 0, conditions = pick(3); i < conditions; i++) {
		uint32_t at = pick(count);
		buf_put_cstr(sql, i == 0 ? " WHERE " : " AND ");
		random_condition(sql, of[at], at);
	}
}

/* ---- bags ---- */

struct bag {
	struct arena arena;
	struct map rows; /* bytes -> copies */
};

static void bag_add(struct bag *bag, struct bytes row, int64_t copies)
{
	uint64_t had = 0;
	static const uint8_t none;
	const void *key = row.len == 0 ? &none : arena_copy(&bag->arena, row.data, row.len);
	(void)map_get(&bag->rows, key, row.len, &had);
	if ((int64_t)had + copies == 0)
		(void)map_remove(&bag->rows, key, row.len);
	else
		ck_assert(map_put(&bag->rows, key, row.len, (uint64_t)((int64_t)had + copies)));
}

static bool into_bag(void *context, const uint8_t *row, size_t len)
{
	bag_add(context, (struct bytes){ row, len }, 1);
	return true;
}

static bool net_into_bag(void *context, struct bytes row, int64_t copies)
{
	ck_assert_int_ne(copies, 0);
	bag_add(context, row, copies);
	return true;
}

static void bag_begin(struct bag *bag)
{
	*bag = (struct bag){ 0 };
	arena_init(&bag->arena, 1 << 26);
}

static void bag_end(struct bag *bag)
{
	map_deinit(&bag->rows);
	arena_deinit(&bag->arena);
}

static void bag_select(struct bag *bag, const struct query *query, uint32_t block, const struct query_limits *limits)
{
	struct buf error = BUF_INIT(1 << 12);
	bag_begin(bag);
	ck_assert_int_eq(query_select_block(query, block, store, limits, into_bag, bag, &error), WL_OK);
	buf_deinit(&error);
}

static void bags_equal(const struct bag *a, const struct bag *b, const char *what, const char *sql)
{
	uint32_t cursor = 0;
	ck_assert_msg(a->rows.count == b->rows.count, "seed %llu: %s: %u and %u rows: %s", (unsigned long long)seed, what,
		a->rows.count, b->rows.count, sql);
	for (const struct map_entry *e; (e = map_next(&a->rows, &cursor)) != NULL;) {
		uint64_t copies = 0;
		ck_assert_msg(map_get(&b->rows, e->key, e->key_len, &copies) && copies == e->value,
			"seed %llu: %s: %lld and %lld copies: %s", (unsigned long long)seed, what, (long long)e->value,
			(long long)copies, sql);
	}
}

/* ---- lives ---- */

struct live {
	struct buf sql;
	struct query *query;
	struct bag *bags; /* of each block */
};

static void live_make(struct live *live, const struct query_caller *caller)
{
	struct buf error = BUF_INIT(1 << 16);
	*live = (struct live){ .sql = BUF_INIT(1 << 12) };
	random_query(&live->sql);
	enum wl_err err = query_compile(store, QUERY_DIALECT_SUBSCRIBE, buf_str(&live->sql), caller, &live->query, &error);
	ck_assert_msg(err == WL_OK, "%s: %s", buf_text(&live->sql), buf_text(&error));
	uint32_t count = query_block_count(live->query);
	live->bags = calloc(count, sizeof(struct bag));
	for (uint32_t b = 0; b < count; b++)
		bag_select(&live->bags[b], live->query, b, &plain);
	buf_deinit(&error);
}

static void live_end(struct live *live)
{
	for (uint32_t b = 0; b < query_block_count(live->query); b++)
		bag_end(&live->bags[b]);
	free(live->bags);
	query_destroy(live->query);
	buf_deinit(&live->sql);
}

static void live_check(struct live *live, const struct store_delta *delta)
{
	struct buf error = BUF_INIT(1 << 12);
	struct arena scratch;
	arena_init(&scratch, 1 << 24);
	for (uint32_t b = 0; b < query_block_count(live->query); b++) {
		struct bag after, optimised;
		bag_select(&after, live->query, b, &plain);
		bag_select(&optimised, live->query, b, &no_limits);
		bags_equal(&after, &optimised, "optimised", buf_text(&live->sql));
		ck_assert_int_eq(query_block_delta(live->query, b, delta, &no_limits, &scratch, net_into_bag, &live->bags[b],
			&error), WL_OK);
		bags_equal(&after, &live->bags[b], "delta", buf_text(&live->sql));
		bag_end(&optimised);
		bag_end(&after);
	}
	arena_deinit(&scratch);
	buf_deinit(&error);
}

static void lives(const struct query_caller *caller)
{
	for (uint32_t life = 0; life < LIVES; life++) {
		struct live queries[QUERIES];
		struct store_delta delta;
		seed = life * 1000003u + 17;
		store_tx_begin(store);
		for (uint32_t t = 0; t < TABLES; t++) {
			delete_some(t, 1);
			for (uint32_t i = pick(ROWS_MAX); i > 0; i--)
				insert(t);
		}
		ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
		for (uint32_t q = 0; q < QUERIES; q++)
			live_make(&queries[q], caller);
		for (uint32_t c = 0; c < COMMITS; c++) {
			store_tx_begin(store);
			change_some();
			ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
			for (uint32_t q = 0; q < QUERIES; q++)
				live_check(&queries[q], &delta);
		}
		for (uint32_t q = 0; q < QUERIES; q++)
			live_end(&queries[q]);
	}
}

START_TEST(random_joins)
{
	lives(&owner);
}
END_TEST

static void add_rule(uint32_t table, const char *sql)
{
	struct buf row = BUF_INIT(1 << 12);
	struct store_delta delta;
	buf_put_u32(&row, store_table_def(made[table])->id);
	buf_put_bsatn_str(&row, str_of(sql));
	size_t len = row.len;
	store_tx_begin(store);
	struct store_table *rules = store_table_by_id(store, ST_ROW_LEVEL_SECURITY);
	ck_assert_int_eq(store_insert(store, rules, row.data, &len, NULL), STORE_OK);
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
	buf_deinit(&row);
}

/* Goal: the same for somebody whom rules keep rows from; some rules join, one table has two. */
START_TEST(random_joins_under_rules)
{
	add_rule(2, "SELECT * FROM t WHERE who = :sender");
	add_rule(1, "SELECT s.* FROM s JOIN t ON s.a = t.x");
	add_rule(0, "SELECT * FROM r WHERE a = 1");
	add_rule(0, "SELECT r.* FROM r JOIN u ON r.b = u.a WHERE u.f > 1");
	lives(&other);
}
END_TEST

static uint32_t blocks_of(const char *sql)
{
	struct query *query = NULL;
	struct buf error = BUF_INIT(1 << 12);
	enum wl_err err = query_compile(store, QUERY_DIALECT_SUBSCRIBE, str_of(sql), &other, &query, &error);
	uint32_t count = err == WL_OK ? query_block_count(query) : 0;
	query_destroy(query);
	buf_deinit(&error);
	return count;
}

/* Goal: rules multiply, reach through joins, stop at their own table, and find cycles. */
START_TEST(rules_expand)
{
	ck_assert_uint_eq(blocks_of("SELECT * FROM r"), 1);
	add_rule(0, "SELECT * FROM r WHERE a = 1");
	add_rule(0, "SELECT * FROM r WHERE a = 2");
	ck_assert_uint_eq(blocks_of("SELECT * FROM r"), 2);
	ck_assert_uint_eq(blocks_of("SELECT x.* FROM r x JOIN r y ON x.id = y.id"), 4);
	add_rule(1, "SELECT s.* FROM s JOIN r ON s.rid = r.id");
	ck_assert_uint_eq(blocks_of("SELECT * FROM s"), 2);
	add_rule(3, "SELECT a.* FROM u a JOIN u b ON a.a = b.a");
	ck_assert_uint_eq(blocks_of("SELECT * FROM u"), 1);
	add_rule(0, "SELECT r.* FROM r JOIN s ON s.rid = r.id"); /* r needs s, s needs r */
	ck_assert_uint_eq(blocks_of("SELECT * FROM r"), 0);
}
END_TEST

/* Goal: the worked example of the specification. */
START_TEST(worked_example)
{
	static const struct { const char *changes[4]; int64_t copies_1; } steps[] = {
		{ { "+r 1", "+s 10 1", "+s 11 1" }, 2 }, { { "-s 11" }, -1 }, { { "-s 10", "+s 12 1" }, 0 },
		{ { "+s 13 1" }, 1 }, { { "-r 1", "-s 12", "-s 13" }, -2 },
	};
	struct buf error = BUF_INIT(1 << 12);
	struct query *query;
	struct str sql = STR("SELECT r.* FROM r JOIN s ON s.rid = r.id");
	ck_assert_int_eq(query_compile(store, QUERY_DIALECT_SUBSCRIBE, sql, &owner, &query, &error), WL_OK);
	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		struct store_delta delta;
		struct bag bag;
		struct arena scratch;
		store_tx_begin(store);
		for (const char *const *c = steps[i].changes; *c != NULL; c++) {
			unsigned id = 0, rid = 0;
			uint32_t table = (*c)[1] == 'r' ? 0 : 1, gone;
			struct buf row = BUF_INIT(64);
			sscanf(*c + 3, "%u %u", &id, &rid);
			buf_put_u64(&row, id);
			buf_put_u64(&row, rid); /* of r: a and b */
			buf_put_u64(&row, 0);
			size_t len = table == 0 ? 20 : 24;
			if ((*c)[0] == '+')
				ck_assert_int_eq(store_insert(store, made[table], row.data, &len, NULL), STORE_OK);
			else
				ck_assert_int_eq(store_delete_point(store, store_table_index(made[table], 0), row.data, 8, &gone),
					STORE_OK);
			buf_deinit(&row);
		}
		ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
		bag_begin(&bag);
		arena_init(&scratch, 1 << 20);
		ck_assert_int_eq(query_block_delta(query, 0, &delta, &no_limits, &scratch, net_into_bag, &bag, &error), WL_OK);
		uint32_t cursor = 0;
		const struct map_entry *entry = map_next(&bag.rows, &cursor);
		ck_assert_int_eq(entry == NULL ? 0 : (int64_t)entry->value, steps[i].copies_1);
		ck_assert_uint_le(bag.rows.count, 1);
		arena_deinit(&scratch);
		bag_end(&bag);
	}
	query_destroy(query);
	buf_deinit(&error);
}
END_TEST

/* Goal: what cannot be answered in time or memory says so and stops. */
START_TEST(joins_that_explode)
{
	struct store_delta delta;
	struct buf error = BUF_INIT(1 << 12);
	struct bag bag;
	struct query *query;
	store_tx_begin(store);
	for (uint32_t id = 0; id < 4000; id++) {
		uint8_t row[24] = { 0 };
		size_t len = sizeof(row);
		store_u64(row, id);
		ck_assert_int_eq(store_insert(store, made[1], row, &len, NULL), STORE_OK);
	}
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
	struct str sql = STR("SELECT COUNT(*) AS n FROM s a JOIN s b JOIN s c JOIN s d");
	ck_assert_int_eq(query_compile(store, QUERY_DIALECT_SQL, sql, &owner, &query, &error), WL_OK);
	bag_begin(&bag);
	struct query_limits late = { .deadline = 1 };
	ck_assert_int_eq(query_select(query, store, &late, into_bag, &bag, &error), WL_ERR_LIMIT);
	ck_assert_ptr_nonnull(strstr(buf_text(&error), "limit"));
	query_destroy(query);
	buf_clear(&error);
	/* 4,000 equal keys without an index: a hash table that may not grow. */
	ck_assert_int_eq(query_compile(store, QUERY_DIALECT_SQL, STR("SELECT a.id FROM r a JOIN s b ON a.b = b.b"), &owner,
		&query, &error), WL_OK);
	struct query_limits small = { .memory_max = 1000 };
	store_tx_begin(store);
	insert(0);
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
	ck_assert_int_eq(query_select(query, store, &small, into_bag, &bag, &error), WL_ERR_LIMIT);
	ck_assert_ptr_nonnull(strstr(buf_text(&error), "memory"));
	query_destroy(query);
	bag_end(&bag);
	buf_deinit(&error);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query_join");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, random_joins);
	tcase_add_test(tests, random_joins_under_rules);
	tcase_add_test(tests, rules_expand);
	tcase_add_test(tests, worked_example);
	tcase_add_test(tests, joins_that_explode);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
