/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole tables: what is checked for many rows at once must be what is checked
 * row by row, on the table and on a snapshot of it; and the ways in which a
 * run ends early.
 */
#include "store_util.h"
#include "unit/run_suite.h"
#include "query/query.h"

#include <stdatomic.h>

enum { ROWS = 3000 };
static const char columns[] = "id:u bo:b c:c b:B h:h hh:H i:i u:u w:w l:l t:t d:D s:s";
static const char in_slots[] = "id:u bo:b c:c b:B h:h hh:H i:i u:u w:w l:l";
static const char *const texts[] = { "c", "b", "h", "hh", "i", "u", "w", "l" };
static const char *const values[] = { "-128", "-1", "0", "1", "5", "127", "255", "-32768", "32767", "65535",
	"-2147483648",
	"4294967295", "9223372036854775807", "-9223372036854775808", "18446744073709551615" };
static const char *const ops[] = { "=", "!=", "<", "<=", ">", ">=" };

static struct fixture f;
static uint64_t seed;

static uint32_t pick(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

/* Small numbers, and those at the ends of their types. */
static void put_number(struct buf *row, uint32_t size)
{
	uint8_t le[8];
	uint32_t how = pick(4);
	int64_t v = how == 0 ? (int64_t)pick(8) - 3 : how == 1 ? 0 : how == 2 ? -1
		: (int64_t)((uint64_t)pick(1u << 30) << 20);
	memcpy(le, &v, sizeof(v));
	if (how == 1 || how == 2)
		le[size - 1] ^= pick(2) == 0 ? 0x80 : 0;
	buf_put(row, le, size);
}

static void fill(const char *shape, const char *indexes, bool holes)
{
	f = fixture_new(shape, indexes, 0);
	const struct store_table_def *def = store_table_def(f.t);
	struct store_delta delta;
	store_tx_begin(f.s);
	for (uint32_t i = 0; i < ROWS; i++) {
		struct buf row = BUF_INIT(1 << 10);
		buf_put_u32(&row, i);
		for (uint32_t c = 1; c < def->column_count; c++) {
			const struct sats_type *type = def->columns[c].type;
			if (type->tag == SATS_BOOL)
				buf_put_u8(&row, (uint8_t)pick(2));
			else if (type->tag == SATS_STRING)
				buf_put_bsatn_str(&row, pick(2) == 0 ? STR("a") : STR("a longer text, that takes some room"));
			else
				put_number(&row, (uint32_t)store_table_layout(f.t)->columns[c]->fixed_size);
		}
		size_t len = row.len;
		ck_assert_int_eq(store_insert(f.s, f.t, row.data, &len, NULL), STORE_OK);
		buf_deinit(&row);
	}
	for (uint32_t i = 0; holes && i < ROWS; i++) {
		uint8_t key[4];
		uint32_t deleted;
		store_u32(key, i);
		if (i % 200 < 130 && pick(3) == 0)
			ck_assert_int_eq(store_delete_point(f.s, f.index[0], key, sizeof(key), &deleted), STORE_OK);
	}
	ck_assert_int_eq(store_tx_commit(f.s, &delta), STORE_OK);
}

struct sum { uint64_t rows, hash; };
static bool add_row(void *context, const uint8_t *row, size_t len)
{
	struct sum *sum = context;
	sum->rows++;
	sum->hash += hash_bytes(row, len);
	return true;
}

static struct query *compile(const char *sql)
{
	static const struct query_caller owner = { .is_owner = true };
	struct buf error = BUF_INIT(1 << 16);
	struct query *query = NULL;
	enum wl_err err = query_compile(f.s, QUERY_DIALECT_SQL, str_of(sql), &owner, &query, &error);
	ck_assert_msg(err == WL_OK || strstr(buf_text(&error), "cannot be parsed as type") != NULL, "%s: %s", sql,
		buf_text(&error));
	buf_deinit(&error);
	return query;
}

static enum wl_err run(const struct query *query, const struct query_limits *limits, struct sum *sum)
{
	struct buf error = BUF_INIT(1 << 16);
	*sum = (struct sum){ 0 };
	enum wl_err err = query_select(query, f.s, limits, add_row, sum, &error);
	buf_deinit(&error);
	return err;
}

/* All three ways give the same. Returns how many rows. */
static uint64_t check(const char *sql, struct store_snapshot *snapshot)
{
	static const struct query_limits plain = { .plain = true }, none;
	const struct query_limits beside = { .snapshot = snapshot };
	struct sum a, b, c;
	struct query *query = compile(sql);
	if (query == NULL)
		return 0; /* the constant is not of the type */
	ck_assert_int_eq(run(query, &plain, &a), WL_OK);
	ck_assert_int_eq(run(query, &none, &b), WL_OK);
	ck_assert_int_eq(run(query, &beside, &c), WL_OK);
	ck_assert_msg(a.rows == b.rows && a.hash == b.hash, "%s: %llu rows one by one, %llu at once", sql,
		(unsigned long long)a.rows, (unsigned long long)b.rows);
	ck_assert_msg(a.rows == c.rows && a.hash == c.hash, "%s: %llu rows, %llu in the snapshot", sql,
		(unsigned long long)a.rows, (unsigned long long)c.rows);
	query_destroy(query);
	return a.rows;
}

/* Goal: every comparison of every integer type with values in the middle and at the ends. */
START_TEST(every_comparison)
{
	seed = (uint64_t)_i;
	fill(_i < 2 ? in_slots : columns, _i % 2 == 0 ? "!0" : "!0 5 9,8", _i % 2 == 1);
	struct store_snapshot *snapshot = store_snapshot_take(f.s, &f.t, 1);
	uint64_t some = 0, runs = 0;
	char sql[256];
	for (size_t c = 0; c < ARRAY_COUNT(texts); c++)
		for (size_t v = 0; v < ARRAY_COUNT(values); v++)
			for (size_t o = 0; o < ARRAY_COUNT(ops); o++) {
				snprintf(sql, sizeof(sql), "SELECT * FROM t WHERE %s %s %s", texts[c], ops[o], values[v]);
				uint64_t rows = check(sql, snapshot);
				some += rows > 0 && rows < ROWS;
				runs++;
			}
	ck_assert_uint_gt(some, runs / 4);
	for (uint32_t i = 0; i < 300; i++) {
		snprintf(sql, sizeof(sql), "SELECT * FROM t WHERE %s %s %s AND bo = %s AND %s %s 0 AND (u > 3 OR i < 2)",
			texts[pick(8)], ops[pick(6)], values[pick(5)], pick(2) == 0 ? "true" : "false", texts[pick(8)],
			ops[pick(6)]);
		(void)check(sql, snapshot);
	}
	(void)check("SELECT * FROM t", snapshot);
	(void)check("SELECT COUNT(*) AS n FROM t", snapshot);
	(void)check("SELECT COUNT(*) AS n FROM t WHERE w > 0", snapshot);
	store_snapshot_release(f.s, snapshot);
	fixture_free(&f);
}
END_TEST

/* Goal: what joins in a snapshot is what joined when it was taken, whatever happens to the table. */
START_TEST(snapshots_stay)
{
	seed = 5;
	fill(columns, "!0 5", false);
	struct store_snapshot *snapshot = store_snapshot_take(f.s, &f.t, 1);
	const struct query_limits beside = { .snapshot = snapshot };
	struct query *join = compile("SELECT a.id, b.id AS other FROM t a JOIN t b ON a.u = b.id WHERE a.c > 0");
	struct sum before, after, now;
	ck_assert_int_eq(run(join, &beside, &before), WL_OK);
	ck_assert_uint_gt(before.rows, 0);
	struct store_delta delta;
	uint64_t deleted;
	store_tx_begin(f.s);
	ck_assert_int_eq(store_clear(f.s, f.t, &deleted), STORE_OK);
	ck_assert_int_eq(store_tx_commit(f.s, &delta), STORE_OK);
	static const struct query_limits none;
	ck_assert_int_eq(run(join, &beside, &after), WL_OK);
	ck_assert_int_eq(run(join, &none, &now), WL_OK);
	ck_assert(after.rows == before.rows && after.hash == before.hash);
	ck_assert_uint_eq(now.rows, 0);
	query_destroy(join);
	store_snapshot_release(f.s, snapshot);
	fixture_free(&f);
}
END_TEST

/* Goal: a run ends at its limits, each with its own word. */
START_TEST(early_ends)
{
	seed = 6;
	fill(in_slots, "!0", false);
	static const _Atomic bool yes = true;
	static const struct { struct query_limits limits; enum wl_err err; } cases[] = {
		{ { .visits_max = ROWS }, WL_OK },
		{ { .visits_max = 1024 }, WL_ERR_UNAVAILABLE },
		{ { .cancelled = &yes }, WL_ERR_LIMIT },
		{ { .deadline = 1 }, WL_ERR_LIMIT },
	};
	static const char *const statements[] = { "SELECT * FROM t WHERE w = 123456", "SELECT * FROM t",
		"SELECT * FROM t WHERE w = 1 OR w = 2" };
	for (size_t s = 0; s < ARRAY_COUNT(statements); s++) {
		struct query *query = compile(statements[s]);
		for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
			struct sum sum;
			ck_assert_int_eq(run(query, &cases[i].limits, &sum), cases[i].err);
		}
		query_destroy(query);
	}
	fixture_free(&f);
}
END_TEST

/* Goal: which statements are long. */
START_TEST(what_is_long)
{
	static const struct { const char *sql; bool is_long; } cases[] = {
		{ "SELECT * FROM t", true }, { "SELECT * FROM t LIMIT 10", false }, { "SELECT * FROM t LIMIT 2000", true },
		{ "SELECT * FROM t WHERE id = 5", false }, { "SELECT * FROM t WHERE w = 5", true },
		{ "SELECT COUNT(*) AS n FROM t", false }, { "SELECT COUNT(*) AS n FROM t WHERE w = 5", true },
		{ "SELECT a.id FROM t a JOIN t b ON a.u = b.id WHERE a.id = 3", false },
		{ "SELECT a.id FROM t a JOIN t b WHERE a.id = 3", true },
	};
	seed = 7;
	fill(in_slots, "!0", false);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct query *query = compile(cases[i].sql);
		ck_assert_msg(query_is_long(query) == cases[i].is_long, "%s", cases[i].sql);
		query_destroy(query);
	}
	fixture_free(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query_scan");
	TCase *tc = tcase_create("all");
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, every_comparison, 0, 4);
	tcase_add_test(tc, snapshots_stay);
	tcase_add_test(tc, early_ends);
	tcase_add_test(tc, what_is_long);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
