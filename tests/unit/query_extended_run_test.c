/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever a statement of the extended language meets while it runs (row-level rules, little memory, no time, no
 * memory at all, rows that change) ends as docs/sql.md says. Method: small cases with known ends; random statements
 * over random rows, by their plans and by one that uses nothing.
 */
#include "query_fixture.h"

#include "base/clock.h"
#include "base/map.h"

/* ---- rules ---- */

static void add_rule(const char *table, const char *sql)
{
	struct buf row = BUF_INIT(1 << 12);
	struct store_delta delta;
	buf_put_u32(&row, store_table_def(store_table_by_name(store, str_of(table)))->id);
	buf_put_bsatn_str(&row, str_of(sql));
	size_t len = row.len;
	store_tx_begin(store);
	struct store_table *rules = store_table_by_id(store, ST_ROW_LEVEL_SECURITY);
	ck_assert_int_eq(store_insert(store, rules, row.data, &len, NULL), STORE_OK);
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
	buf_deinit(&row);
}

static void check_other(const struct statement *all, size_t count)
{
	uint32_t wrong = 0;
	for (size_t i = 0; i < count; i++)
		wrong += differs(&other, all[i].sql, all[i].gives, false);
	fflush(stdout);
	ck_assert_uint_eq(wrong, 0);
}

/* Goal: rows that are hidden are as if they were not there; all parts of a rule's union count together. */
START_TEST(rules)
{
	static const struct statement all[] = {
		{ "SELECT id FROM o ORDER BY id DESC", "4;3;1;1;" }, { "SELECT DISTINCT id FROM o ORDER BY id", "1;3;4;" },
		{ "SELECT COUNT(*) AS n, SUM(price) AS s FROM o", "4 130;" }, { "SELECT id FROM o ORDER BY id LIMIT 2 OFFSET "
			"1", "1;3;" },
		{ "SELECT price, COUNT(*) AS n FROM o GROUP BY price ORDER BY 1", "10 3;100 1;" },
		{ "SELECT MAX(id) AS m FROM o WHERE price < 0", "[1,[]];" },
		{ "SELECT p.id, o.id AS oid FROM p LEFT JOIN o ON p.id = o.owner ORDER BY 1, 2",
			"1 [0,1];1 [0,1];2 [0,3];3 [1,[]];4 [1,[]];5 [1,[]];6 [1,[]];" },
		{ "SELECT p.id, o.id AS oid FROM p LEFT JOIN o ON p.id = o.owner AND o.price < 10 ORDER BY 1",
			"1 [1,[]];2 [1,[]];3 [1,[]];4 [1,[]];5 [1,[]];6 [1,[]];" },
		{ "SELECT p.id FROM p LEFT JOIN o ON o.id = 2 WHERE o.id IS NULL AND p.id < 3 ORDER BY 1", "1;2;" },
		{ "SELECT p.id, o.id AS oid FROM p LEFT JOIN o ON p.id < 2 WHERE p.id < 3 ORDER BY 1, 2",
			"1 [0,1];1 [0,1];1 [0,3];1 [0,4];2 [1,[]];" },
		{ "SELECT o.id, s.id AS sid FROM o LEFT JOIN s ON s.id = o.id ORDER BY 1, 2", "1 [0,1];1 [0,1];3 [0,3];4 "
			"[1,[]];" },
		{ "SELECT k.tag, s.id FROM k LEFT JOIN s ON s.id IN (2) ORDER BY 1", "\"a_b\" [1,[]];\"ab\" [1,[]];\"zz\" "
			"[1,[]];" },
		{ "SELECT p.id FROM p JOIN o ON p.id < o.owner AND o.price = 100 AND p.age > 30 ORDER BY 1", "1;3;4;6;" },
	};
	add_rule("o", "SELECT * FROM o WHERE price > 5");
	add_rule("o", "SELECT o.* FROM o JOIN s ON s.id = o.id WHERE o.price > 0 AND s.id = 1");
	add_rule("s", "SELECT * FROM s WHERE owner = :sender");
	check_other(all, ARRAY_COUNT(all));
	ck_assert_uint_eq(differs(&owner, "SELECT COUNT(*) AS n FROM p LEFT JOIN o ON p.id = o.owner", "7;", false), 0);
}
END_TEST

/* Goal: what is hidden does not show in plans either. */
START_TEST(plans_hide_sizes)
{
	add_rule("o", "SELECT * FROM o WHERE price > 5");
	const char *text = gives(&other, "EXPLAIN SELECT p.id FROM p LEFT JOIN o ON p.id = o.owner WHERE p.age > 3",
		&(struct query_limits){ 0 }, false);
	ck_assert_str_eq(text, "\"read p by a range of index p_1_idx: p.age > 3\";\"  where: p.age > 3\";\"left join o, "
		"the rows that its rules show by a hash table on o.owner = p.id\";\"  on: (p.id = o.owner)\";\"on the "
		"executor\";");
}
END_TEST

/* ---- plans ---- */

START_TEST(plans)
{
	static const struct statement all[] = {
		{ "EXPLAIN SELECT * FROM p", "\"read p whole (about 6 rows)\";\"on the executor\";" },
		{ "EXPLAIN SELECT COUNT(*) AS n FROM p LIMIT 5", "\"read p whole (about 6 rows)\";\"count\";\"limit 5\";\"on "
			"the executor\";" },
		{ "EXPLAIN SELECT * FROM p WHERE id IN (1, 2, 2)", "\"read p by points of index p_0_idx: p.id = one of 2 "
			"(about 2 rows)\";\"  where: p.id IN (1, 2)\";\"on the executor\";" },
		{ "EXPLAIN SELECT * FROM p WHERE city = 'Rome' AND age BETWEEN 30 AND 40 ORDER BY age % 7 DESC, id LIMIT 3 "
			"OFFSET 1",
			"\"read p by a range of index p_2_idx: p.city = \\\"Rome\\\" AND p.age >= 30 AND p.age <= 40 (about 1 "
			"row)\";\"  where: p.city = \\\"Rome\\\"\";\"  where: p.age >= 30\";\"  where: p.age <= 40\";\"sort by "
			"(p.age % 7) DESC, p.id, keeping only the first\";\"skip 1\";\"limit 3\";\"on the executor\";" },
		{ "EXPLAIN SELECT city, COUNT(DISTINCT age) AS n FROM p WHERE name LIKE 'A%' GROUP BY city HAVING MAX(id) > 1",
			"\"read p by a range of index p_3_idx: p.name >= \\\"A\\\" AND p.name < \\\"B\\\" (about 1 row)\";\"  "
			"where: p.name >= \\\"A\\\"\";\"  where: p.name < \\\"B\\\"\";\"  where: p.name LIKE \\\"A%\\\"\";\"group "
			"by p.city: COUNT(DISTINCT p.age), MAX(p.id)\";\"  having: (MAX(p.id) > 1)\";\"on the executor\";" },
		{ "EXPLAIN SELECT DISTINCT o.tag FROM p JOIN o ON p.id = o.owner AND p.age + 1 > 3 JOIN k ON k.tag = o.tag",
			"\"read k whole (about 3 rows)\";\"read o by a hash table on o.tag = k.tag (about 2 rows)\";\"  where: "
			"k.tag = o.tag\";\"read p by points of index p_0_idx: p.id = o.owner (about 1 row)\";\"  where: p.id = "
			"o.owner\";\"  where: ((p.age + 1) > 3)\";\"distinct\";\"on the executor\";" },
		{ "EXPLAIN SELECT e.id FROM o LEFT JOIN e ON e.id = o.id JOIN k ON k.tag = 'ab' WHERE e.v IS NULL",
			"\"read k by points of index k_0_idx: k.tag = \\\"ab\\\" (about 2 rows)\";\"  where: k.tag = "
			"\\\"ab\\\"\";\"read o whole (about 5 rows)\";\"left join e by points of index e_0_idx: e.id = o.id "
			"(about 0 rows)\";\"  on: (e.id = o.id)\";\"  where: e.v IS NULL\";\"on the executor\";" },
	};
	uint32_t wrong = 0;
	for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
		const char *got = gives(&owner, all[i].sql, &(struct query_limits){ 0 }, false);
		if (strcmp(got, all[i].gives) != 0) {
			printf("%s\n  gives  %s\n  wanted %s\n", all[i].sql, got, all[i].gives);
			wrong++;
		}
	}
	fflush(stdout);
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* ---- what changes rows ---- */

static const char *changed_by(const char *sql)
{
	struct query_effects effects = { 0 };
	struct store_delta delta;
	struct query *query = compile(&owner, sql);
	buf_clear(&out);
	if (query == NULL) {
		buf_printf(&out, "! %s", buf_text(&error));
		return buf_text(&out);
	}
	store_tx_begin(store);
	if (query_execute(query, store, &(struct query_limits){ 0 }, &effects, &error) == WL_OK) {
		ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
		buf_printf(&out, "%d %d", (int)effects.deleted, (int)effects.updated);
	} else {
		store_tx_rollback(store);
		buf_printf(&out, "! %s", buf_text(&error));
	}
	query_destroy(query);
	return buf_text(&out);
}

START_TEST(rows_change)
{
	static const struct { const char *sql, *says, *then, *rows; } all[] = {
		{ "UPDATE o SET price = price * 2 + 1, tag = tag WHERE id BETWEEN 1 AND 2", "0 2",
			"SELECT id, price FROM o WHERE id < 4 ORDER BY id", "1 21;2 -9;3 10;" },
		{ "UPDATE o SET owner = id, id = owner WHERE id = 4", "0 1", "SELECT id, owner FROM o WHERE owner = 4", "7 "
			"4;" },
		{ "UPDATE p SET boss = boss WHERE id IN (1, 2)", "0 2", "SELECT boss FROM p WHERE id < 3 ORDER BY id",
			"[1,[]];[0,1];" },
		{ "UPDATE p SET flag = NOT flag, score = -score / 2 WHERE name LIKE '%a%'", "0 3",
			"SELECT id, flag, score FROM p WHERE flag AND id <> 3 ORDER BY id", "4 true 0.0;" },
		{ "UPDATE p SET age = 20 + 2, flag = id > 3 WHERE boss IS NULL", "0 2",
			"SELECT id, flag FROM p WHERE age = 22 ORDER BY id", "1 false;6 true;" },
		{ "DELETE FROM p WHERE id % 2 = 0 AND boss IS NOT NULL", "2 0", "SELECT id FROM p ORDER BY id", "1;3;5;6;" },
		{ "DELETE FROM m WHERE maybe NOT IN (3) OR id NOT BETWEEN 1 AND 2", "1 0", "SELECT id FROM m ORDER BY id",
			"1;2;" },
		{ "UPDATE w SET a = a + 1", "! out of range: the result of `+` does not fit `I8`", "SELECT COUNT(*) AS n FROM "
			"w", "2;" },
		{ "UPDATE o SET price = 10 / (price - 21)", "! division by zero: rows for which the divisor is 0 can be left "
			"out with a condition before it", "SELECT COUNT(*) AS n FROM o WHERE price = 21", "1;" },
		{ "UPDATE p SET age = boss", "! Unexpected type: (expected) U32 != U8 (inferred)", "SELECT COUNT(*) AS n FROM "
			"p", "4;" },
		{ "UPDATE p SET id = boss", "! the value can be NULL, the column cannot; a condition IS NOT NULL does not "
			"change that",
			"SELECT COUNT(*) AS n FROM p", "4;" },
		{ "UPDATE p SET boss = id", "! an Option column takes the value of an Option column only",
			"SELECT COUNT(*) AS n FROM p", "4;" },
		{ "UPDATE p SET boss = 5 WHERE id IN (1)", "! The literal expression `5` cannot be parsed as type `(some: U32 "
			"| none: ())`", "SELECT COUNT(*) AS n FROM p", "4;" },
		{ "UPDATE p SET id = o.id", "! `o` is not in scope", "SELECT COUNT(*) AS n FROM p", "4;" },
		{ "UPDATE p SET id = COUNT(id)", "! Unsupported expression: COUNT(id)", "SELECT COUNT(*) AS n FROM p", "4;" },
		{ "DELETE FROM p WHERE id IN (1) LIMIT 1", "! Unsupported: DELETE FROM p WHERE id IN (1) LIMIT 1",
			"SELECT COUNT(*) AS n FROM p", "4;" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
		const char *said = changed_by(all[i].sql);
		ck_assert_msg(strcmp(said, all[i].says) == 0, "%s\n  says   %s\n  wanted %s", all[i].sql, said, all[i].says);
		ck_assert_uint_eq(differs(&owner, all[i].then, all[i].rows, false), 0);
	}
}
END_TEST

/* Goal: only the owner changes rows, and rules are not asked about what the owner reads. */
START_TEST(changes_need_the_owner)
{
	struct query *query = compile(&other, "UPDATE p SET age = age WHERE id IN (1)");
	ck_assert_ptr_null(query);
	ck_assert_ptr_nonnull(strstr(buf_text(&error), "is not authorized to run SQL DML statements"));
}
END_TEST

/* ---- limits ---- */

/* Rows of e: v = id * 7919 modulo `count`. */
static void fill(uint32_t count)
{
	struct store_delta delta;
	struct store_table *table = store_table_by_name(store, STR("e"));
	store_tx_begin(store);
	for (uint32_t id = 0; id < count; id++) {
		uint8_t row[12];
		size_t len = sizeof(row);
		store_u32(row, id);
		store_u64(row + 4, (uint64_t)id * 7919 % count);
		ck_assert_int_eq(store_insert(store, table, row, &len, NULL), STORE_OK);
	}
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
}

static enum wl_err run_limited(const char *sql, const struct query_limits *limits)
{
	struct shown shown = { 0 };
	struct query *query = compile(&owner, sql);
	ck_assert_msg(query != NULL, "%s: %s", sql, buf_text(&error));
	buf_clear(&out);
	enum wl_err err = query_select_described(query, store, limits, show_columns, show_row, &shown, &error);
	query_destroy(query);
	return err;
}

/* Goal: the first k of any order need memory for k. */
START_TEST(few_of_many)
{
	fill(20000);
	const struct query_limits little = { .memory_max = 40000 };
	ck_assert_int_eq(run_limited("SELECT v FROM e ORDER BY v DESC LIMIT 3 OFFSET 2", &little), WL_OK);
	ck_assert_str_eq(buf_text(&out), "19997;19996;19995;");
	ck_assert_int_eq(run_limited("SELECT v, id FROM e ORDER BY v / 20000, id LIMIT 2 OFFSET 99", &little), WL_OK);
	ck_assert_str_eq(buf_text(&out), "3981 99;11900 100;");
	ck_assert_int_eq(run_limited("SELECT COUNT(*) AS n, MAX(v) AS m, MIN(v) AS s FROM e", &little), WL_OK);
	ck_assert_str_eq(buf_text(&out), "20000 19999 0;");
}
END_TEST

START_TEST(limits_hold)
{
	static const char *const hungry[] = { "SELECT v FROM e ORDER BY v", "SELECT DISTINCT v FROM e",
		"SELECT v, COUNT(*) AS n FROM e GROUP BY v", "SELECT COUNT(DISTINCT v) AS n FROM e",
		"SELECT a.v FROM e a JOIN e b ON a.v = b.v AND a.id < b.id + 1 ORDER BY a.v LIMIT 1",
		"SELECT a.v FROM e a LEFT JOIN e b ON a.v = b.v LIMIT 1" };
	static const char *const slow[] = { "SELECT COUNT(*) AS n FROM e a LEFT JOIN e b ON a.v < b.v LEFT JOIN e c ON "
		"b.id > c.id",
		"SELECT a.id FROM e a JOIN e b ON a.v + b.v = -1", "SELECT DISTINCT a.id / 20000 AS z FROM e a CROSS JOIN e b",
		"SELECT a.id % 7 AS z, COUNT(*) AS n FROM e a CROSS JOIN e b GROUP BY 1" };
	_Atomic bool cancelled = true;
	const struct query_limits little = { .memory_max = 100000 }, late = { .deadline = 1 },
		stopped = { .cancelled = &cancelled };
	fill(20000);
	for (size_t i = 0; i < ARRAY_COUNT(hungry); i++) {
		ck_assert_msg(run_limited(hungry[i], &little) == WL_ERR_LIMIT, "%s", hungry[i]);
		ck_assert_msg(strstr(buf_text(&error), "needs more memory") != NULL && strstr(buf_text(&error), "would "
			"help") != NULL,
			"%s: %s", hungry[i], buf_text(&error));
	}
	for (size_t i = 0; i < ARRAY_COUNT(slow); i++) {
		ck_assert_msg(run_limited(slow[i], &late) == WL_ERR_LIMIT, "%s", slow[i]);
		ck_assert_str_eq(buf_text(&error), "the query ran longer than the limit and was stopped");
		ck_assert_msg(run_limited(slow[i], &stopped) == WL_ERR_LIMIT, "%s", slow[i]);
		ck_assert_str_eq(buf_text(&error), "the query was cancelled");
	}
	const struct query_limits brief = { .visits_max = 2000 };
	ck_assert_int_eq(run_limited("SELECT v, COUNT(*) AS n FROM e GROUP BY v ORDER BY v LIMIT 3", &brief),
		WL_ERR_UNAVAILABLE);
}
END_TEST

/* Goal: one row against one pattern can take for ever; the clock is looked at. */
START_TEST(one_long_comparison)
{
	struct buf row = BUF_INIT(1 << 24), sql = BUF_INIT(1 << 16);
	struct store_delta delta;
	size_t len = 12000000;
	buf_put_u32(&row, (uint32_t)len);
	for (size_t i = 0; i < len; i++)
		buf_put_u8(&row, 'a');
	buf_put_u64(&row, 1);
	size_t row_len = row.len;
	store_tx_begin(store);
	ck_assert_int_eq(store_insert(store, store_table_by_name(store, STR("k")), row.data, &row_len, NULL), STORE_OK);
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
	buf_put_cstr(&sql, "SELECT weight FROM k WHERE tag LIKE '%");
	for (int i = 0; i < 40000; i++)
		buf_put_u8(&sql, 'a');
	buf_put_cstr(&sql, "b%'");
	uint64_t begin = clock_mono_nanos();
	const struct query_limits soon = { .deadline = begin + 100000000 };
	ck_assert_int_eq(run_limited(buf_text(&sql), &soon), WL_ERR_LIMIT);
	ck_assert_uint_lt(clock_mono_nanos() - begin, 3000000000);
	buf_deinit(&row);
	buf_deinit(&sql);
}
END_TEST

/* Goal: an allocation that fails is an error with words, and nothing stays behind. */
START_TEST(failing_allocations)
{
	static const char *const statements[] = {
		"SELECT p.city AS c, COUNT(*) AS n, SUM(o.price + 1) AS s, MAX(o.tag) AS t, COUNT(DISTINCT o.id) AS d FROM p "
		"LEFT JOIN o ON p.id = o.owner AND o.tag LIKE '%' WHERE p.id IN (1, 2, 3, 9) GROUP BY p.city HAVING MIN(p.id) "
		">= 0 ORDER BY n DESC, c LIMIT 5 OFFSET 0",
		"SELECT DISTINCT id, boss + 1 AS b FROM p WHERE age BETWEEN 20 AND 50 ORDER BY b NULLS FIRST",
		"SELECT SUM(v) AS s, MIN(v) AS m FROM e",
		"EXPLAIN SELECT id FROM p WHERE name LIKE 'a%' OR id + 1 IN (3, 4) ORDER BY id",
		"UPDATE p SET age = age + 1 - 1, boss = boss WHERE id IN (1, 2) AND age NOT BETWEEN 90 AND 91",
	};
	add_rule("o", "SELECT * FROM o WHERE price > -3");
	for (size_t i = 0; i < ARRAY_COUNT(statements); i++)
		for (int as = 0; as < 2; as++) {
			bool failed = true;
			for (uint64_t n = 1; failed && n < 3000; n++) {
				struct shown shown = { 0 };
				struct query *query = NULL;
				struct query_effects effects;
				buf_clear(&out);
				buf_clear(&error);
				uint64_t before = mem_stats().allocations, live = mem_stats().live_bytes;
				mem_fail_at(n, false);
				enum wl_err err = query_compile(store, QUERY_DIALECT_SQL, str_of(statements[i]),
					as == 0 ? &owner : &other,
					&query, &error);
				if (err == WL_OK && query_kind(query) == QUERY_SELECT) {
					err = query_select_described(query, store, &(struct query_limits){ 0 }, show_columns, show_row,
						&shown,
						&error);
				} else if (err == WL_OK) {
					store_tx_begin(store);
					err = query_execute(query, store, &(struct query_limits){ 0 }, &effects, &error);
					store_tx_rollback(store);
				}
				query_destroy(query);
				mem_fail_at(0, false);
				failed = mem_stats().allocations - before >= n;
				ck_assert_msg(err == WL_OK || error.len > 0, "%s: allocation %d", statements[i], (int)n);
				ck_assert_msg(statements[i][0] != 'S' || mem_stats().live_bytes <= live + 200000, "%s: allocation %d",
					statements[i], (int)n);
			}
			ck_assert(!failed);
		}
}
END_TEST

/* ---- random statements ---- */

enum { ROUNDS = 150, STATEMENTS = 40 };
static uint64_t seed;

static uint32_t pick(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

/* g0, g1, g2: (a u32, b u32, c i64, maybe option<u32>, s string) with different indexes. */
static void make_tables(void)
{
	static const char *const indexes[] = { "0 1,2", "!0 #1 4", "1,0" };
	struct store_delta delta;
	store_tx_begin(store);
	for (uint32_t i = 0; i < 3; i++) {
		struct store_table *table;
		struct str name = arena_printf(&arena, "g%u", i);
		ck_assert_int_eq(store_table_create(store, util_def(&arena, name.data, "a:u b:u c:l maybe:o s:s", indexes[i],
			-1),
			&table), STORE_OK);
	}
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
}

static void fill_table(uint32_t i)
{
	static const char *const texts[] = { "", "a", "ab", "abc", "b" };
	struct buf row = BUF_INIT(1 << 10);
	struct store_delta delta;
	uint64_t gone;
	struct store_table *table = store_table_by_name(store, arena_printf(&arena, "g%u", i));
	store_tx_begin(store);
	ck_assert_int_eq(store_clear(store, table, &gone), STORE_OK);
	for (uint32_t n = pick(14); n > 0; n--) {
		buf_clear(&row);
		buf_put_u32(&row, pick(6));
		buf_put_u32(&row, pick(4));
		buf_put_u64(&row, (uint64_t)((int64_t)pick(7) - 3));
		bool some = pick(3) != 0;
		buf_put_u8(&row, !some);
		if (some)
			buf_put_u32(&row, pick(5));
		buf_put_bsatn_str(&row, str_of(texts[pick(5)]));
		size_t len = row.len;
		enum store_status status = store_insert(store, table, row.data, &len, NULL);
		ck_assert(status == STORE_OK || status == STORE_UNIQUE_VIOLATION);
	}
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
	buf_deinit(&row);
}

static const char *u32_column(void)
{
	static const char *const names[] = { "a", "b", "a", "b", "maybe" };
	return names[pick(5)];
}

static void put_number(struct buf *sql, uint32_t tables, uint32_t depth)
{
	uint32_t kind = pick(depth > 0 ? 5 : 2);
	if (kind < 2) {
		buf_printf(sql, "t%u.%s", pick(tables), u32_column());
	} else if (kind == 2) {
		buf_printf(sql, "%u", pick(6));
	} else {
		buf_put_cstr(sql, "(");
		put_number(sql, tables, 0);
		buf_printf(sql, " %c ", "+*"[pick(2)]);
		put_number(sql, tables, depth - 1);
		buf_put_cstr(sql, ")");
	}
}

static void put_condition(struct buf *sql, uint32_t tables, uint32_t depth)
{
	static const char *const ops[] = { "=", "=", "<", ">=", "<>" };
	static const char *const patterns[] = { "a%", "%b%", "ab", "_", "%" };
	uint32_t t = pick(tables);
	switch (pick(depth > 0 ? 10 : 7)) {
	case 0:
		buf_printf(sql, "t%u.%c %s t%u.%c", t, "ab"[pick(2)], ops[pick(5)], pick(tables), "ab"[pick(2)]);
		return;
	case 1:
		buf_printf(sql, "t%u.%s %sIN (%u, %u, %u)", t, u32_column(), pick(3) == 0 ? "NOT " : "", pick(6), pick(6),
			pick(6));
		return;
	case 2:
		buf_printf(sql, "t%u.%s %sBETWEEN %u AND %u", t, u32_column(), pick(3) == 0 ? "NOT " : "", pick(4), pick(6));
		return;
	case 3:
		buf_printf(sql, "t%u.s %sLIKE '%s'", t, pick(3) == 0 ? "NOT " : "", patterns[pick(5)]);
		return;
	case 4:
		buf_printf(sql, "t%u.%s IS %sNULL", t, pick(2) == 0 ? "maybe" : "a", pick(2) == 0 ? "NOT " : "");
		return;
	case 5:
		buf_printf(sql, "t%u.%c %s %u", t, "ab"[pick(2)], ops[pick(5)], pick(5));
		return;
	case 6:
		put_number(sql, tables, 1);
		buf_printf(sql, " %s (t%u.a + %u)", ops[pick(5)], pick(tables), pick(3));
		return;
	case 7:
		buf_put_cstr(sql, "NOT (");
		put_condition(sql, tables, depth - 1);
		break;
	default:
		buf_put_cstr(sql, "(");
		put_condition(sql, tables, depth - 1);
		buf_put_cstr(sql, pick(3) == 0 ? " OR " : " AND ");
		put_condition(sql, tables, depth - 1);
	}
	buf_put_cstr(sql, ")");
}

static void put_from(struct buf *sql, uint32_t tables)
{
	buf_printf(sql, " FROM g%u t0", pick(3));
	for (uint32_t i = 1; i < tables; i++) {
		uint32_t kind = pick(5);
		if (kind == 0) {
			buf_printf(sql, " CROSS JOIN g%u t%u", pick(3), i);
			continue;
		}
		buf_printf(sql, " %sJOIN g%u t%u ON ", kind < 3 ? "LEFT " : "", pick(3), i);
		if (pick(2) == 0)
			buf_printf(sql, "t%u.%c = t%u.%c", pick(i), "ab"[pick(2)], i, "ab"[pick(2)]);
		else
			put_condition(sql, i + 1, 1);
		if (pick(2) == 0) {
			buf_put_cstr(sql, " AND ");
			put_condition(sql, i + 1, 1);
		}
	}
	for (uint32_t n = pick(3), i = 0; i < n; i++) {
		buf_put_cstr(sql, i == 0 ? " WHERE " : " AND ");
		put_condition(sql, tables, 2);
	}
}

/* *sorted: all of the result is in the order of its columns. */
static void put_statement(struct buf *sql, bool *sorted)
{
	uint32_t tables = 1 + pick(3), kind = pick(4);
	*sorted = false;
	buf_clear(sql);
	if (kind == 0) {
		buf_printf(sql, "SELECT t0.a AS x, t%u.b AS y, COUNT(*) AS n, SUM(t%u.c) AS s, MIN(t%u.s) AS m, "
			"COUNT(DISTINCT t%u.b) AS d, AVG(t0.b) AS g", tables - 1, tables - 1, pick(tables), tables - 1);
		put_from(sql, tables);
		buf_printf(sql, " GROUP BY 1, 2 HAVING COUNT(*) > %u ORDER BY x, 2 NULLS FIRST", pick(3));
		*sorted = true;
	} else if (kind == 1) {
		buf_printf(sql, "SELECT COUNT(t%u.maybe) AS n, MAX(t%u.c) AS m, SUM(t0.a) AS s", tables - 1, tables - 1);
		put_from(sql, tables);
	} else if (kind == 2) {
		buf_printf(sql, "SELECT DISTINCT t0.a, t%u.s, t%u.maybe AS w", pick(tables), tables - 1);
		put_from(sql, tables);
		buf_printf(sql, " ORDER BY 1 DESC, 3, 2 LIMIT %u OFFSET %u", pick(9), pick(4));
		*sorted = true;
	} else {
		buf_printf(sql, "SELECT t0.a AS x, t0.c, t%u.b AS z, t0.a + t%u.b AS y", tables - 1, pick(tables));
		put_from(sql, tables);
	}
}

/* ---- results ---- */

struct result {
	enum wl_err err;
	uint64_t count, sum, in_order;
};

static bool add_result(void *context, const uint8_t *row, size_t len)
{
	struct result *r = context;
	uint64_t hash = hash_bytes(row, len);
	r->count++;
	r->sum += hash;
	r->in_order = r->in_order * 31 + hash;
	return true;
}

static struct result result_of(const struct query_caller *caller, const char *sql, const struct query_limits *limits)
{
	struct result r = { 0 };
	struct query *query = compile(caller, sql);
	ck_assert_msg(query != NULL, "seed %llu: %s: %s", (unsigned long long)seed, sql, buf_text(&error));
	r.err = query_select(query, store, limits, add_result, &r, &error);
	query_destroy(query);
	return r;
}

static void check_random(const struct query_caller *caller, const char *sql, bool sorted)
{
	struct store_table *read[3];
	for (uint32_t i = 0; i < 3; i++)
		read[i] = store_table_by_name(store, arena_printf(&arena, "g%u", i));
	struct store_snapshot *snapshot = store_snapshot_take(store, read, 3);
	ck_assert_ptr_nonnull(snapshot);
	const struct query_limits ways[] = { { .plain = true }, { 0 }, { .snapshot = snapshot } };
	struct result wanted = result_of(caller, sql, &ways[0]);
	for (size_t i = 1; i < ARRAY_COUNT(ways); i++) {
		struct result got = result_of(caller, sql, &ways[i]);
		ck_assert_msg(got.err == wanted.err && (got.err != WL_OK || (got.count == wanted.count &&
			got.sum == wanted.sum && (!sorted || got.in_order == wanted.in_order))),
			"seed %llu: way %zu gives %llu rows of %llu: %s",
			(unsigned long long)seed, i, (unsigned long long)got.count, (unsigned long long)wanted.count, sql);
	}
	store_snapshot_release(store, snapshot);
}

static void random_statements(const struct query_caller *caller)
{
	struct buf sql = BUF_INIT(1 << 14);
	bool sorted;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < 3; i++)
			fill_table(i);
		for (uint32_t i = 0; i < STATEMENTS; i++) {
			put_statement(&sql, &sorted);
			check_random(caller, buf_text(&sql), sorted);
		}
	}
	buf_deinit(&sql);
}

START_TEST(random_plans)
{
	make_tables();
	random_statements(&owner);
}
END_TEST

START_TEST(random_plans_under_rules)
{
	make_tables();
	add_rule("g1", "SELECT * FROM g1 WHERE a < 4");
	add_rule("g1", "SELECT g1.* FROM g1 JOIN g2 ON g1.b = g2.b WHERE g2.a = 1");
	add_rule("g2", "SELECT * FROM g2 WHERE b <> 2");
	random_statements(&other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query_extended_run");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 240);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, rules);
	tcase_add_test(tests, plans_hide_sizes);
	tcase_add_test(tests, plans);
	tcase_add_test(tests, rows_change);
	tcase_add_test(tests, changes_need_the_owner);
	tcase_add_test(tests, few_of_many);
	tcase_add_test(tests, limits_hold);
	tcase_add_test(tests, one_long_comparison);
	tcase_add_test(tests, failing_allocations);
	tcase_add_test(tests, random_plans);
	tcase_add_test(tests, random_plans_under_rules);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
