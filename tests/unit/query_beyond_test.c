/* SPDX-License-Identifier: Apache-2.0 */
/* What POST /sql has beyond the reference: predicates, order, distinct rows, offsets, plans; nothing else has it. */
#include "store_util.h"
#include "unit/run_suite.h"
#include "query/query.h"

static struct fixture f;
static struct buf out;
static const struct query_caller owner = { .is_owner = true };

/* id, name, maybe (0: none), n */
static const struct { uint32_t id; const char *name; uint32_t maybe; int32_t n; } people[] = {
	{ 1, "Ada", 30, -5 }, { 2, "Bob", 0, 7 }, { 3, "Adam", 20, 7 }, { 4, "\xc3\x89va", 0, 0 }, { 5, "bob", 30, -5 },
	{ 6, "100%", 10, 3 }, { 7, "", 10, 3 },
};

static void setup(void)
{
	struct store_delta delta;
	f = fixture_new("id:u name:s maybe:o n:i", "!0 3", 0);
	buf_init(&out, 1 << 20);
	store_tx_begin(f.s);
	for (size_t i = 0; i < ARRAY_COUNT(people); i++) {
		struct buf row = BUF_INIT(1 << 10);
		buf_put_u32(&row, people[i].id);
		buf_put_bsatn_str(&row, str_of(people[i].name));
		buf_put_u8(&row, people[i].maybe == 0);
		if (people[i].maybe != 0)
			buf_put_u32(&row, people[i].maybe);
		buf_put_u32(&row, (uint32_t)people[i].n);
		size_t len = row.len;
		ck_assert_int_eq(store_insert(f.s, f.t, row.data, &len, NULL), STORE_OK);
		buf_deinit(&row);
	}
	ck_assert_int_eq(store_tx_commit(f.s, &delta), STORE_OK);
}

static void teardown(void)
{
	buf_deinit(&out);
	fixture_free(&f);
}

/* Rows that begin with a u32 or an i32 (their first column), or are texts. */
static bool add_row(void *context, const uint8_t *row, size_t len)
{
	const struct query_column *column = context;
	if (column->type->tag == SATS_STRING)
		buf_printf(&out, "%.*s|", (int)load_u32(row), (const char *)row + 4);
	else
		buf_printf(&out, "%d ", (int)load_u32(row));
	return len >= 4;
}

static const char *run(enum query_dialect dialect, const char *sql, bool plain)
{
	const struct query_limits limits = { .plain = plain };
	struct query *query = NULL;
	buf_clear(&out);
	enum wl_err err = query_compile(f.s, dialect, str_of(sql), &owner, &query, &out);
	if (err == WL_OK) {
		const struct query_column *columns;
		ck_assert_uint_gt(query_columns(query, &columns), 0);
		err = query_select(query, f.s, &limits, add_row, (void *)(uintptr_t)columns, &out);
		query_destroy(query);
	}
	return buf_text(&out);
}

/* Goal: statements and the rows, or the words, that they give, with an index and without. */
START_TEST(catalogue)
{
	static const struct { const char *sql, *gives; bool in_order; } cases[] = {
		{ "SELECT id FROM t WHERE id IN (3, 1, 9) ORDER BY id", "1 3 " },
		{ "SELECT id FROM t WHERE id NOT IN (1, 2, 3) ORDER BY id", "4 5 6 7 " },
		{ "SELECT id FROM t WHERE name IN ('Bob', 'bob') ORDER BY id DESC", "5 2 " },
		{ "SELECT id FROM t WHERE id BETWEEN 2 AND 4 ORDER BY id", "2 3 4 " },
		{ "SELECT id FROM t WHERE n between -5 and 0 AND NOT id = 4 ORDER BY id", "1 5 " },
		{ "SELECT id FROM t WHERE id NOT BETWEEN 2 AND 6 ORDER BY id", "1 7 " },
		{ "SELECT id FROM t WHERE NOT id BETWEEN 2 AND 6 OR id = 3 ORDER BY id", "1 3 7 " },
		{ "SELECT id FROM t WHERE name LIKE 'A%' ORDER BY id", "1 3 " },
		{ "SELECT id FROM t WHERE name LIKE '_va'", "4 " },
		{ "SELECT id FROM t WHERE name LIKE '%d_'", "1 " },
		{ "SELECT id FROM t WHERE name NOT LIKE '%a%' ORDER BY id", "2 5 6 7 " },
		{ "SELECT id FROM t WHERE name ILIKE 'b_b' ORDER BY id", "2 5 " },
		{ "SELECT id FROM t WHERE name LIKE '%!%' ESCAPE '!'", "6 " },
		{ "SELECT id FROM t WHERE name LIKE ''", "7 " },
		{ "SELECT id FROM t WHERE maybe IS NULL ORDER BY id", "2 4 " },
		{ "SELECT id FROM t WHERE maybe IS NOT NULL AND n = 7", "3 " },
		{ "SELECT id FROM t WHERE id IS NULL", "" },
		{ "SELECT id FROM t ORDER BY n, id", "1 5 4 6 7 2 3 " },
		{ "SELECT id FROM t ORDER BY n DESC, id DESC", "3 2 7 6 4 5 1 " },
		{ "SELECT id, maybe FROM t ORDER BY maybe, id", "6 7 3 1 5 2 4 " },
		{ "SELECT id, maybe FROM t ORDER BY maybe DESC, id", "2 4 1 5 3 6 7 " },
		{ "SELECT id FROM t ORDER BY maybe NULLS FIRST, 1 DESC", "4 2 7 6 3 5 1 " },
		{ "SELECT id FROM t ORDER BY maybe DESC NULLS LAST, id ASC", "1 5 3 6 7 2 4 " },
		{ "SELECT id AS x FROM t ORDER BY x DESC LIMIT 2", "7 6 " },
		{ "SELECT * FROM t ORDER BY 2 LIMIT 3", "7 6 1 " },
		{ "SELECT id FROM t ORDER BY id LIMIT 2 OFFSET 3", "4 5 " },
		{ "SELECT id FROM t ORDER BY id OFFSET 5", "6 7 " },
		{ "SELECT id FROM t ORDER BY id OFFSET 5 LIMIT 1", "6 " },
		{ "SELECT id FROM t ORDER BY id OFFSET 50", "" },
		{ "SELECT id FROM t ORDER BY id LIMIT 0", "" },
		{ "SELECT DISTINCT n FROM t ORDER BY n", "-5 0 3 7 " },
		{ "SELECT DISTINCT n FROM t ORDER BY n DESC LIMIT 2 OFFSET 1", "3 0 " },
		{ "SELECT DISTINCT n FROM t WHERE n = 3", "3 " },
		{ "SELECT DISTINCT n FROM t WHERE n = 3 OFFSET 1", "" },
		{ "SELECT a.id FROM t a JOIN t b ON a.n = b.n WHERE b.id = 2 ORDER BY a.id DESC", "3 2 " },
		{ "SELECT COUNT(*) AS c FROM t WHERE id IN (1, 2)", "2 " },
		{ "EXPLAIN SELECT id FROM t WHERE id = 3",
			"read t by index t_0_idx (id = a constant), about 1 rows, check 1 condition|on the executor|" },
		{ "EXPLAIN SELECT DISTINCT id FROM t WHERE n > 3 ORDER BY id LIMIT 2",
			"read t by index t_1_idx (n > a constant), about 2 rows, check 1 condition|leave out equal rows|"
			"sort by 1 column|end after 2 rows|on the executor|" },
		/* refusals */
		{ "SELECT id FROM t WHERE id IN ()", "sql parser error: Expected an expression:, found: ) at Line: 1, "
			"Column 31" },
		{ "SELECT id FROM t WHERE id IN (SELECT id FROM t)", "Unsupported expression: id IN (SELECT id" },
		{ "SELECT id FROM t WHERE id IN ('x')", "The literal expression `x` cannot be parsed as type `U32`" },
		{ "SELECT id FROM t WHERE id LIKE 'x'", "Unexpected type: (expected) String != U32 (inferred)" },
		{ "SELECT id FROM t WHERE name LIKE id", "sql parser error: Expected a pattern in quotes, found: id at Line: "
			"1, Column 34" },
		{ "SELECT id FROM t ORDER BY 3", "ORDER BY 3: the result has 1 columns" },
		{ "SELECT id FROM t ORDER BY 0", "ORDER BY 0: the result has 1 columns" },
		{ "SELECT id FROM t ORDER BY nosuch", "`nosuch` is not in scope" },
		{ "SELECT a.id FROM t a JOIN t b ON a.id = b.id ORDER BY n", "Names must be qualified when using joins" },
		{ "SELECT id FROM t LIMIT 1 OFFSET x", "sql parser error: Expected a number of rows, found: x at Line: 1, "
			"Column 33" },
		{ "EXPLAIN DELETE FROM t", "Unsupported: EXPLAIN DELETE FROM t" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		for (int plain = 0; plain < 2; plain++)
			ck_assert_msg(strcmp(run(QUERY_DIALECT_SQL, cases[i].sql, plain == 1), cases[i].gives) == 0, "%s: %s",
				cases[i].sql, buf_text(&out));
}
END_TEST

/* Goal: subscriptions, rules and one-off queries have none of it. */
START_TEST(live_queries_refuse)
{
	static const char *const statements[] = { "SELECT * FROM t WHERE id IN (1)",
		"SELECT * FROM t WHERE id BETWEEN 1 AND 2",
		"SELECT * FROM t WHERE name LIKE 'x'", "SELECT * FROM t WHERE maybe IS NULL", "SELECT * FROM t ORDER BY id",
		"SELECT DISTINCT * FROM t", "SELECT * FROM t OFFSET 1", "EXPLAIN SELECT * FROM t" };
	for (size_t i = 0; i < ARRAY_COUNT(statements); i++) {
		struct query *query;
		buf_clear(&out);
		ck_assert_msg(query_compile(f.s, QUERY_DIALECT_SUBSCRIBE, str_of(statements[i]), &owner, &query, &out) ==
			WL_ERR_INVALID && strncmp(buf_text(&out), "Unsupported", 11) == 0, "%s: %s", statements[i], buf_text(&out));
	}
}
END_TEST

/* Goal: many in a list, failing memory and little memory are errors that leave nothing behind. */
START_TEST(limits)
{
	struct buf sql = BUF_INIT(1 << 17);
	buf_put_cstr(&sql, "SELECT id FROM t WHERE id IN (0");
	for (int i = 1; i < 9000; i++)
		buf_printf(&sql, ",%d", i);
	buf_put_cstr(&sql, ") ORDER BY id");
	ck_assert_str_eq(run(QUERY_DIALECT_SQL, buf_text(&sql), false), "1 2 3 4 5 6 7 ");
	buf_deinit(&sql);
	static const struct query_limits little = { .memory_max = 64 };
	struct query *query;
	buf_clear(&out);
	ck_assert_int_eq(query_compile(f.s, QUERY_DIALECT_SQL, STR("SELECT * FROM t ORDER BY name"), &owner, &query, &out),
		WL_OK);
	const struct query_column *columns;
	(void)query_columns(query, &columns);
	ck_assert_int_eq(query_select(query, f.s, &little, add_row, (void *)(uintptr_t)columns, &out), WL_ERR_LIMIT);
	query_destroy(query);
	bool failed = true;
	for (uint64_t n = 1; failed && n < 500; n++) {
		buf_clear(&out);
		uint64_t before = mem_stats().allocations;
		mem_fail_at(n, false);
		enum wl_err err = query_compile(f.s, QUERY_DIALECT_SQL, STR("SELECT DISTINCT n FROM t WHERE id IN (1, 2, 3, 4) "
			"AND name LIKE '%' ORDER BY n"), &owner, &query, &out);
		if (err == WL_OK) {
			err = query_select(query, f.s, &(struct query_limits){ 0 }, add_row, (void *)(uintptr_t)columns, &out);
			query_destroy(query);
		}
		mem_fail_at(0, false);
		failed = mem_stats().allocations - before >= n;
		ck_assert(err != WL_OK || !failed || n > 3);
	}
	ck_assert(!failed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query_beyond");
	TCase *tc = tcase_create("all");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, catalogue);
	tcase_add_test(tc, live_queries_refuse);
	tcase_add_test(tc, limits);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
