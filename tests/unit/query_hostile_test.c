/* SPDX-License-Identifier: Apache-2.0 */
/* Statements that are made to hurt: what they cost in time and memory, whatever they say. */
#include "store_util.h"

#include "base/clock.h"
#include "query/query.h"
#include "unit/run_suite.h"

enum { ROWS = 3, TEXT_BYTES = QUERY_TEXT_MAX };

static struct fixture f;
static struct buf text, error;

static void setup(void)
{
	f = fixture_new("id:w name:s", "!0", 0);
	buf_init(&text, TEXT_BYTES);
	buf_init(&error, 1 << 20);
	store_tx_begin(f.s);
	for (uint64_t id = 0; id < ROWS; id++) {
		uint8_t row[12] = { 0 };
		size_t len = sizeof(row);
		store_u64(row, id);
		ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	}
	struct store_delta delta;
	ck_assert_int_eq(store_tx_commit(f.s, &delta), STORE_OK);
}

static void teardown(void)
{
	store_destroy(f.s);
	arena_deinit(&f.arena);
	buf_deinit(&text);
	buf_deinit(&error);
}

static struct query *compile(enum query_dialect dialect)
{
	static const struct query_caller owner = { .is_owner = true };
	struct query *query = NULL;
	ck_assert(!text.failed);
	enum wl_err err = query_compile(f.s, dialect, buf_str(&text), &owner, &query, &error);
	ck_assert_msg(err == WL_OK, "%s", buf_text(&error));
	return query;
}

static bool count_row(void *context, const uint8_t *row, size_t len)
{
	(void)row;
	(void)len;
	++*(uint32_t *)context;
	return true;
}

static uint32_t select_count(struct query *query)
{
	uint32_t count = 0;
	ck_assert_int_eq(query_select(query, f.s, &(struct query_limits){ 0 }, count_row, &count, &error), WL_OK);
	return count;
}

/* Goal: a comparison of conditions costs what its text is long. A chain used to cost twice as much with every link. */
START_TEST(comparisons_of_conditions_are_linear)
{
	uint64_t begin = clock_mono_nanos();
	static const struct { const char *link; uint32_t rows; } chains[] = {
		{ " = true", 1 }, { " <> false", 1 }, { " = false", 2 }, { " >= true", 1 }, { " <> true", 2 },
	};
	for (size_t i = 0; i < ARRAY_COUNT(chains); i++) {
		buf_clear(&text);
		buf_put_cstr(&text, "SELECT * FROM t WHERE id = 1");
		for (int n = 0; n < 301; n++) /* odd: an even number of negations would hide one that is lost */
			buf_put_cstr(&text, chains[i].link);
		struct query *query = compile(QUERY_DIALECT_SUBSCRIBE);
		ck_assert_uint_eq(select_count(query), chains[i].rows);
		query_destroy(query);
	}
	ck_assert_uint_lt(clock_mono_nanos() - begin, 5000000000u);
}
END_TEST

/* Goal: both sides of a comparison may be conditions, and every operator means what it means for booleans. */
START_TEST(comparisons_of_conditions_are_right)
{
	static const struct { const char *where; uint32_t rows; } cases[] = {
		{ "(id = 0) = (id < 2)", 2 }, { "(id = 0) <> (id < 2)", 1 }, { "(id = 0) < (id < 2)", 1 },
		{ "(id = 0) <= (id < 2)", 3 }, { "(id < 2) > (id = 0)", 1 }, { "(id < 2) >= (id = 0)", 3 },
		{ "(id = 0) >= (id < 2)", 2 },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		buf_clear(&text);
		buf_printf(&text, "SELECT * FROM t WHERE %s", cases[i].where);
		struct query *query = compile(QUERY_DIALECT_SQL);
		ck_assert_msg(select_count(query) == cases[i].rows, "%s", cases[i].where);
		query_destroy(query);
	}
}
END_TEST

/* Goal: a live query holds memory in proportion to its text. A literal used to hold as much as the text behind it. */
START_TEST(live_queries_are_small)
{
	buf_put_cstr(&text, "SELECT * FROM t WHERE name = 'it''s'");
	for (int n = 0; n < 1500; n++)
		buf_put_cstr(&text, " OR name = 'a'");
	struct query *query = compile(QUERY_DIALECT_SUBSCRIBE);
	ck_assert_uint_le(query_bytes(query), 40 * text.len);
	query_destroy(query);
}
END_TEST

/* Goal: a run that takes too long ends, whatever the statement is; what it did is for the caller to roll back. */
START_TEST(time_limits)
{
	enum { MANY = 5000 };
	static const char *const statements[] = { "SELECT * FROM t", "SELECT COUNT(*) AS n FROM t WHERE name = 'no'",
		"SELECT * FROM t WHERE name = 'no'", "DELETE FROM t WHERE name = 'no'", "UPDATE t SET name = 'x'" };
	store_tx_begin(f.s);
	for (uint64_t id = ROWS; id < MANY; id++) {
		uint8_t row[12] = { 0 };
		size_t len = sizeof(row);
		store_u64(row, id);
		ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	}
	for (size_t i = 0; i < ARRAY_COUNT(statements); i++) {
		for (int late = 0; late < 2; late++) {
			buf_clear(&text);
			buf_clear(&error);
			buf_put_cstr(&text, statements[i]);
			struct query *query = compile(QUERY_DIALECT_SQL);
			struct query_limits limits = { .deadline = late ? 1 : clock_mono_nanos() + 3600000000000u };
			struct query_effects effects = { 0 };
			uint32_t count = 0;
			enum wl_err err = i < 3 ? query_select(query, f.s, &limits, count_row, &count, &error)
				: query_execute(query, f.s, &limits, &effects, &error);
			ck_assert_msg(err == (late ? WL_ERR_LIMIT : WL_OK), "%s: %s", statements[i], buf_text(&error));
			ck_assert_int_eq(late, error.len > 0);
			query_destroy(query);
		}
	}
	store_tx_rollback(f.s);
}
END_TEST

/* Goal: an INSERT may have as many rows as its text has room for. */
START_TEST(long_inserts_fit)
{
	buf_put_cstr(&text, "INSERT INTO t (id, name) VALUES (100, 'a')");
	uint32_t rows = 1;
	for (; text.len < TEXT_BYTES - 20; rows++)
		buf_printf(&text, ",(%u,'a')", 100 + rows);
	struct query *query = compile(QUERY_DIALECT_SQL);
	struct query_effects effects = { 0 };
	store_tx_begin(f.s);
	ck_assert_int_eq(query_execute(query, f.s, &(struct query_limits){ 0 }, &effects, &error), WL_OK);
	ck_assert_uint_eq(effects.inserted, rows);
	store_tx_rollback(f.s);
	query_destroy(query);
}
END_TEST

/* Goal: quotes inside quotes, and texts that end inside them. */
START_TEST(quotes)
{
	static const struct { const char *sql; bool good; } cases[] = {
		{ "SELECT * FROM t WHERE name = ''", true }, { "SELECT * FROM t WHERE name = ''''", true },
		{ "SELECT * FROM t WHERE name = 'a''", false }, { "SELECT * FROM t WHERE name = '", false },
		{ "SELECT * FROM \"t\"", true }, { "SELECT * FROM \"t\"\"\"", false }, { "SELECT * FROM \"", false },
		{ "SELECT * FROM t WHERE name = '''", false },
	};
	static const struct query_caller owner = { .is_owner = true };
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct query *query = NULL;
		buf_clear(&error);
		enum wl_err err = query_compile(f.s, QUERY_DIALECT_SQL, str_of(cases[i].sql), &owner, &query, &error);
		ck_assert_msg((err == WL_OK) == cases[i].good, "%s: %s", cases[i].sql, buf_text(&error));
		query_destroy(query);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query_hostile");
	TCase *tc = tcase_create("hostile");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, comparisons_of_conditions_are_linear);
	tcase_add_test(tc, comparisons_of_conditions_are_right);
	tcase_add_test(tc, live_queries_are_small);
	tcase_add_test(tc, long_inserts_fit);
	tcase_add_test(tc, time_limits);
	tcase_add_test(tc, quotes);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
