/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: statements mean what the specification says, and what is refused is refused in its words. Method: tables of
 * statements against a small store with columns of every type; results counted or compared, texts compared whole.
 */
#include "store_util.h"

#include "query/query_internal.h"
#include "unit/run_suite.h"

#include <stdlib.h>

static const struct query_limits no_limits;
static struct store *store;
static struct arena arena;
static struct buf error;
static struct query_caller owner = { .is_owner = true }, other = { .is_owner = false };

static struct store_table *add_table(struct store_table_def *def)
{
	struct store_table *table;
	ck_assert_int_eq(store_table_create(store, def, &table), STORE_OK);
	return table;
}

static void setup(void)
{
	store = store_create();
	ck_assert_ptr_nonnull(store);
	arena_init(&arena, 1 << 24);
	buf_init(&error, 1 << 20);
	memset(owner.identity.le, 0x11, sizeof(owner.identity.le));
	memset(other.identity.le, 0x22, sizeof(other.identity.le));
	store_tx_begin(store);
	add_table(util_def(&arena, "t", "ts:t i8:c u8:B i16:H u16:h i32:i u32:u i64:l u64:w i128:I u128:J i256:L u256:K "
		"int:u f32:f f64:d str:s arr:A b:b opt:o kind:e dur:D", "", -1));
	add_table(util_def(&arena, "s", "id:n u32:u arr:A bytes:a conn:C uuid:U", "", -1));
	add_table(util_def(&arena, "n", "id:u a:i name:s flag:b", "!0 1 1,2", 0));
	add_table(util_def(&arena, "bag", "a:i b:s", "", -1));
	struct store_table_def *hidden = util_def(&arena, "hidden", "a:i", "", -1);
	hidden->is_public = false;
	add_table(hidden);
	struct store_table_def *generated = util_def(&arena, "gen", "id:u b:s", "!0", 0);
	struct store_sequence_def sequence = { 0, STR("gen_seq"), 0, 1, 1, INT32_MAX, 1, 0 };
	generated->sequences = &sequence;
	generated->sequence_count = 1;
	add_table(generated);
	struct store_table_def *aliased = util_def(&arena, "snake_name", "col_a:i b:s", "", -1);
	((struct store_column *)(uintptr_t)aliased->columns)[0].accessor = STR("colA");
	aliased->accessor = STR("SnakeName");
	add_table(aliased);
	struct store_delta delta;
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
}

static void teardown(void)
{
	store_destroy(store);
	arena_deinit(&arena);
	buf_deinit(&error);
}

/* NULL: `error` has the text. */
static struct query *compile_as(const struct query_caller *caller, enum query_dialect dialect, const char *sql)
{
	struct query *query = NULL;
	buf_clear(&error);
	enum wl_err err = query_compile(store, dialect, str_of(sql), caller, &query, &error);
	ck_assert_msg((err == WL_OK) == (query != NULL), "%s", sql);
	ck_assert_msg(err == WL_OK || error.len > 0, "%s: an error without words", sql);
	return query;
}

static void says(enum query_dialect dialect, const char *sql, const char *text)
{
	struct query *query = compile_as(&owner, dialect, sql);
	ck_assert_msg(strcmp(buf_text(&error), text) == 0, "%.500s\n  says   %.500s\n  wanted %.500s", sql,
		buf_text(&error), text);
	query_destroy(query);
}

/* Runs a statement as the owner in a transaction of its own; a failure rolls back, its text is in `error`. */
static struct query_effects run(const char *sql)
{
	struct query_effects effects = { 0 };
	struct store_delta delta;
	struct query *query = compile_as(&owner, QUERY_DIALECT_SQL, sql);
	ck_assert_msg(query != NULL, "%s: %s", sql, buf_text(&error));
	store_tx_begin(store);
	if (query_execute(query, store, &no_limits, &effects, &error) == WL_OK)
		ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
	else
		store_tx_rollback(store);
	query_destroy(query);
	return effects;
}

/* The rows of a SELECT in order, columns by their types as far as these tests need them: "1,-2,x,true;..." */
static const struct query *printed;
static struct buf rows;

static bool print_row(void *context, const uint8_t *row, size_t len)
{
	const struct query_column *columns;
	uint32_t count = query_columns(printed, &columns);
	struct reader r = reader_of(row, len);
	(void)context;
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			buf_put_u8(&rows, ',');
		switch (columns[i].type->tag) {
		case SATS_STRING: buf_put_str(&rows, reader_bsatn_str(&r)); break;
		case SATS_BOOL: buf_put_cstr(&rows, reader_u8(&r) ? "true" : "false"); break;
		case SATS_I32: buf_printf(&rows, "%d", (int32_t)reader_u32(&r)); break;
		case SATS_U32: buf_printf(&rows, "%u", reader_u32(&r)); break;
		case SATS_U64: buf_printf(&rows, "%llu", (unsigned long long)reader_u64(&r)); break;
		default: ck_abort_msg("a column of type %d", columns[i].type->tag);
		}
	}
	ck_assert(!r.failed && reader_left(&r) == 0);
	buf_put_u8(&rows, ';');
	return true;
}

static const char *select_as(const struct query_caller *caller, const char *sql)
{
	struct query *query = compile_as(caller, QUERY_DIALECT_SQL, sql);
	ck_assert_msg(query != NULL, "%s: %s", sql, buf_text(&error));
	buf_deinit(&rows);
	buf_init(&rows, 1 << 20);
	printed = query;
	ck_assert_int_eq(query_select(query, store, &no_limits, print_row, NULL, &error), WL_OK);
	query_destroy(query);
	return buf_text(&rows);
}

static void gives(const char *sql, const char *wanted)
{
	const char *got = select_as(&owner, sql);
	ck_assert_msg(strcmp(got, wanted) == 0, "%s\n  gives  %s\n  wanted %s", sql, got, wanted);
}

static void fill(void)
{
	run("INSERT INTO n (id, a, name, flag) VALUES (1, -5, 'one', true), (2, 7, 'two', false), (3, 7, 'three', true), "
		"(4, 9, 'four', false)");
	run("INSERT INTO bag (a, b) VALUES (1, 'x'), (1, 'y'), (2, 'x')");
}

/* ---- what compiles, in both dialects ---- */

START_TEST(both_dialects_take_these)
{
	static const char *const good[] = {
		"select * from t where i32 = -1", "select * from t where u32 = +1", "select * from t where u32 = 1e3",
		"select * from t where u32 = 1E3", "select * from t where f32 = 1e3", "select * from t where f32 = 1e-3",
		"select * from t where f32 = .1", "select * from t where f32 = 1e40", "select * from t where u256 = 1e40",
		"select * from t where i8 = 127 and u8 = 127 and i16 = 127 and u16 = 127 and i32 = 127 and u32 = 127",
		"select * from t where i64 = 127 and u64 = 127 and i128 = 127 and u128 = 127 and i256 = 127 and u256 = 127",
		"select * from t where f32 = 127 and f64 = 127",
		"select * from t where ts = '2025-02-10T15:45:30Z'", "select * from t where ts = '2025-02-10T15:45:30.123Z'",
		"select * from t where ts = '2025-02-10T15:45:30.123456789Z'",
		"select * from t where ts = '2025-02-10 15:45:30+02:00'",
		"select * from t where true", "select * from t where t.u32 = 1", "select * from t where 1 = u32",
		"select * from s where id = :sender", "select * from s where bytes = :sender",
		"select * from s where id = : sender",
		"select * from s where id = :\"sender\"", "select * from t where t.u32 = 1 or t.str = ''",
		"select * from s where s.bytes = 0xABCD or bytes = X'ABCD'",
		"select * from s as r where r.bytes = 0xABCD or bytes = x'ABCD'", "select r.* from s r",
		"select * from t where true = true", "select * from t where false = true",
		"select * from s where :sender = :sender",
		"select * from t where b", "select * from t where b = true and not (u32 = 1)",
		"select * from t where u32 < 1 = true",
		"select all * from t limit all", "select * from t;;", ";select * from t",
		"select * from \"t\" where \"u32\" = 5",
		"select * from t -- a comment", "select /* a /* nested */ one */ * from t", "select * from t where u32 == 1",
		"select * from t where u32 != 1 and u32 <> 1 and u32 <= 1 and u32 >= 1 and u32 > 1",
		"select * from t where u32 = '5'",
		"select * from t where u32 = 0x10", "select * from t where u32 = 5L", "select * from t where str = 5",
		"select * from t where str = 0xAB", "select * from s where bytes = 1234", "select * from s where bytes = ''",
		"select * from s where uuid = '0190a5b8-0000-7000-8000-000000000000'", "select * from SnakeName where colA = 1",
		"select * from snake_name where col_a = 1 and colA = 1", "select * from t u where u.u32 = u.int",
		"select * from t where str = 'it''s' and \"str\" = 'x'", "SELECT * FROM t WHERE TRUE",
		"select\xc2\xa0* from\xe3\x80\x80t", "select * from t \xc3\xa9",
	};
	for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
		says(QUERY_DIALECT_SQL, good[i], "");
		says(QUERY_DIALECT_SUBSCRIBE, good[i], "");
	}
}
END_TEST

#define LITERAL(text, type) "The literal expression `" text "` cannot be parsed as type `" type "`"
#define MISSING(table) "no such table: `" table "`. If the table exists, it may be marked private."
#define UNEXPECTED(expected, inferred) "Unexpected type: (expected) " expected " != " inferred " (inferred)"
#define IDENTITY "(__identity__: U256)"

START_TEST(both_dialects_refuse_these)
{
	static const struct { const char *sql, *text; } bad[] = {
		{ "select * from t where u8 = -1", LITERAL("-1", "U8") },
		{ "select * from t where u8 = 1e3", LITERAL("1e3", "U8") },
		{ "select * from t where u8 = 0.1", LITERAL("0.1", "U8") },
		{ "select * from t where u32 = 1e-3", LITERAL("1e-3", "U32") },
		{ "select * from t where t.u32 = 1.3", LITERAL("1.3", "U32") },
		{ "select * from t where u32 = 'str'", LITERAL("str", "U32") },
		{ "select * from t where u32 = 0xFF", LITERAL("FF", "U32") },
		{ "select * from t where b = 1", LITERAL("1", "Bool") },
		{ "select * from t where b = 'true'", LITERAL("true", "Bool") },
		{ "select * from s where bytes = 0xABC", LITERAL("ABC", "Array<U8>") },
		{ "select * from s where id = 0x01", LITERAL("01", IDENTITY) },
		{ "select * from t where ts = 5", LITERAL("5", "(__timestamp_micros_since_unix_epoch__: I64)") },
		{ "select * from t where dur = 5", LITERAL("5", "(__time_duration_micros__: I64)") },
		{ "select * from t where u32 = true", UNEXPECTED("Bool", "U32") },
		{ "select * from t where arr = :sender", UNEXPECTED(IDENTITY, "Array<String>") },
		{ "select * from t where u32 = :sender", UNEXPECTED(IDENTITY, "U32") },
		{ "select * from t where 5", LITERAL("5", "Bool") }, { "select * from t where u32", UNEXPECTED("U32", "Bool") },
		{ "select * from t where 1 = 1", "Cannot resolve type for literal expression" },
		{ "select * from t where 'a' = 'a'", "Cannot resolve type for literal expression" },
		{ "select * from t where 1 = true", LITERAL("1", "Bool") },
		{ "select * from t where u32 = i32", UNEXPECTED("I32", "U32") },
		{ "select * from t where arr = arr", "Invalid binary operator `=` for type `Array<String>`" },
		{ "select * from t where dur < dur", "Invalid binary operator `<` for type `(__time_duration_micros__: I64)`" },
		{ "select * from t where arr >= 5", LITERAL("5", "Array<String>") },
		{ "select * from r", MISSING("r") }, { "select * from T", MISSING("T") },
		{ "select r.* from t", "`r` is not in scope" }, { "select * from t where t.a = 1", "`a` is not in scope" },
		{ "select * from t as r where r.a = 1", "`a` is not in scope" },
		{ "select * from t as r where t.u32 = 5", "`t` is not in scope" },
		{ "select * from SnakeName where snake_name.b = ''", "`snake_name` is not in scope" },
		{ "select * from t where U32 = 1", "`U32` is not in scope" },
		{ "select * from t join s", "SELECT * is not supported for joins" },
		{ "select t.* from t natural join s", "Non-inner joins are not supported" },
		{ "select t.* from t join s using (u32)", "Non-inner joins are not supported" },
		{ "select * from t, s", "Implicit joins are not supported" },
		{ "select * from (select * from t)", "Unsupported FROM expression: (select * from t)" },
		{ "select * from f(1)", "Unsupported FROM expression: f(1)" },
		{ "select *", "A FROM clause is required" },
		{ "select * from t limit '5'", "Unsupported: select * from t limit '5'" },
		{ "select a.*, b from t", "Mixed wildcard projections are not supported" },
		{ "select count(*) from t", "Aggregate expressions must have column aliases" },
		{ "select u32 + 1 from t", "Unsupported projection expression: u32 + 1" },
		{ "select (u32) from t", "Unsupported projection expression: (u32)" },
		{ "select u32, u32 from t", "Duplicate name `u32`" }, { "select u32, str u32 from t", "Duplicate name `u32`" },
		{ "select * from t where case when b then b end", "Unsupported expression: case when b then b end" },
		{ "select * from t where u32 <=> 1", "Unsupported binary operator: <=>" },
		{ "select * from t where u32 = null", "Unsupported literal expression: NULL" },
		{ "select * from t where u32 = $1", "Unsupported literal expression: $1" },
		{ "select * from t where u32 = ?", "Unsupported literal expression: ?" },
		{ "select * from t where u32 = :foo", "Unsupported literal expression: :foo" },
		{ "select * from t where str = E'x'", "Unsupported literal expression: E'x'" },
		{ "select * from t where user = 1", "Unsupported expression: user" },
		{ "select * from t where u32 = 1_000",
			"sql parser error: Expected end of statement, found: _000 at Line: 1, Column 30" },
		{ "selec * from t", "sql parser error: Expected an SQL statement, found: selec at Line: 1, Column 1" },
		{ "select *\nfrom t where\n str = 'x", "sql parser error: Unterminated string literal at Line: 3, Column 8" },
		{ "select * from t where /* open",
			"sql parser error: Unexpected EOF while in a multi-line comment at Line: 1, Column 23" },
		{ "select * from t where u32 =", "sql parser error: Expected an expression:, found: EOF" },
		{ "select * from t where u32 = 1)",
			"sql parser error: Expected end of statement, found: ) at Line: 1, Column 30" },
		{ "", "Empty SQL query" }, { " ; -- nothing\n;", "Empty SQL query" },
		{ "select * from t; select * from t", "Multiple SQL statements are not supported" },
		{ "select * from t \xf0\x9f\x98\x80",
			"sql parser error: Expected end of statement, found: \xf0\x9f\x98\x80 at Line: 1, Column 17" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		says(QUERY_DIALECT_SQL, bad[i].sql, bad[i].text);
		if (strncmp(bad[i].text, "Duplicate", 9) != 0)
			says(QUERY_DIALECT_SUBSCRIBE, bad[i].sql, bad[i].text);
	}
}
END_TEST

/* Goal: what only one of the dialects has. */
START_TEST(dialects_differ)
{
	static const char projections[] = "Column projections are not supported in subscriptions; "
		"Subscriptions must return a table type";
	static const struct { const char *sql, *subscribe, *sql_text; } cases[] = {
		{ "select u32 from t", projections, "" }, { "select count(*) as n from t", projections, "" },
		{ "select count(*) n from t", projections, "" },
		{ "select * from t limit 5", "Unsupported: select * from t limit 5", "" },
		{ "select * from t limit 1e1", "Unsupported: select * from t limit 1e1", "" },
		{ "select * from t limit 5.5", "Unsupported: select * from t limit 5.5", LITERAL("5.5", "U64") },
		{ "select distinct u32 from t", "Unsupported SELECT: select distinct u32 from t", "" },
		{ "select * from t order by u32", "Unsupported: select * from t order by u32", "" },
		{ "select * from t where u32 in (1)", "Unsupported expression: u32 in (1)", "" },
		{ "select * from t where str like 'a'", "Unsupported expression: str like 'a'", "" },
		{ "select * from t where u32 is null", "Unsupported expression: u32 is null", "" },
		{ "select t.* from t left join s on t.u32 = s.u32", "Non-inner joins are not supported", "" },
		{ "select t.* from t join s on t.u32 = s.u32 and t.b", "Non-inner joins are not supported", "" },
		{ "select t.* from t join s on t.u32 < s.u32", "Non-inner joins are not supported", "" },
		{ "select t.* from t join s on t.u32 = 1", "Non-inner joins are not supported", "" },
		{ "select sum(a) as n from t", "Unsupported aggregate function: sum(a)", "`a` is not in scope" },
		{ "select count(*) as n, a from t", "Unsupported projection expression: count(*)", "`a` is not in scope" },
		{ "select count(distinct a) as n from t", "Unsupported aggregate function: count(distinct a)", "`a` is not in "
			"scope" },
		{ "select * from t where u32 + 1 = 2", "Unsupported binary operator: +", "" },
		{ "select * from t where u32 = -(1)", "Unsupported expression: -(1)", "Invalid operator `-` for type `U32`" },
		{ "select * from t group by u32", "Unsupported SELECT: select * from t group by u32",
			"GROUP BY, HAVING and aggregates need a select list that names its columns, not *" },
		{ "select * from t union select * from t", "Unsupported set operation: select * from t union select * from t",
			"Unsupported: select * from t union select * from t" },
		{ "delete from bag", "Unsupported: Non-SELECT queries", "" },
		{ "create table x (a int)", "Unsupported: Non-SELECT queries", "Unsupported: create table x (a int)" },
		{ "begin", "Unsupported: Non-SELECT queries", "Unsupported: begin" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		says(QUERY_DIALECT_SUBSCRIBE, cases[i].sql, cases[i].subscribe);
		says(QUERY_DIALECT_SQL, cases[i].sql, cases[i].sql_text);
	}
}
END_TEST

START_TEST(statements_that_change_rows)
{
	static const struct { const char *sql, *text; } cases[] = {
		{ "insert into bag (a, b) values (1, 'x')", "" }, { "insert bag (b, a) values (1, 'x')", "" },
		{ "insert into bag values (1, 'x')",
			"The number of fields (0) in the INSERT does not match the number of columns (2) of the table `bag`" },
		{ "insert into bag (a) values (1)",
			"The number of fields (1) in the INSERT does not match the number of columns (2) of the table `bag`" },
		{ "insert into bag (a, b) values (1)", "Inserting a row with 1 values into `bag` which has 2 fields" },
		{ "insert into bag (a, b) values (1, 'x'), (1, 'x', 2)",
			"Inserting a row with 3 values into `bag` which has 2 fields" },
		{ "insert into bag (a, b) values (null, 'x')", "Unsupported literal expression: NULL" },
		{ "insert into bag (a, b) values (default, 'x')", "Unsupported INSERT value: default" },
		{ "insert into bag (a, b) values (1+1, 'x')", "Unsupported INSERT value: 1+1" },
		{ "insert into bag (a, b) values ((1), 'x')", "Unsupported INSERT value: (1)" },
		{ "insert into bag (a, b) values (:sender, 'x')", "Unsupported literal expression: :sender" },
		{ "insert into bag (a, b) values ('1', 'x')", UNEXPECTED("String", "I32") },
		{ "insert into bag (a, b) values (true, 'x')", UNEXPECTED("Bool", "I32") },
		{ "insert into bag (a, b) values (1, true)", UNEXPECTED("Bool", "String") },
		{ "insert into bag (a, b) values (1, 5)", "" },
		{ "insert into r (a) values (1)", MISSING("r") },
		{ "update bag set a = 1", "" },
		{ "update bag set a = b", UNEXPECTED("String", "I32") }, { "update bag set a = a + 1", "" },
		{ "update bag set c = 1", "`bag` does not have a field `c`" },
		{ "update bag set a = ; x", "sql parser error: Expected an expression:, found: ; at Line: 1, Column 20" },
		{ "update bag set a = ", "sql parser error: Expected an expression:, found: EOF" },
		{ "insert into bag (a, b) values (,)",
			"sql parser error: Expected an expression:, found: , at Line: 1, Column 32" },
		{ "update bag set bag.a = 1", "`bag` does not have a field `bag.a`" },
		{ "update bag as x set a = 1", "Unsupported: update bag as x set a = 1" },
		{ "update bag set a = 1 from n", "Unsupported: update bag set a = 1 from n" },
		{ "update SnakeName set colA = 1 where snake_name.col_a = 1", "`snake_name` is not in scope" },
		{ "update SnakeName set colA = 1 where SnakeName.col_a = 1", "" },
		{ "delete from bag where bag.a = 1 or a = 2", "" },
		{ "delete from bag x where x.a = 1", "Unsupported table expression in DELETE: bag x" },
		{ "delete from bag, n", "Multi-table DELETE is not supported" },
		{ "delete from bag using n", "Unsupported: delete from bag using n" },
		{ "delete from bag where a = 'x'", LITERAL("x", "I32") },
		{ "delete from st_table", "`st_table` is a system table; it changes only through the host" },
		{ "delete from st_var", "" },
		{ "set x = 1", "x is not a valid system variable" },
		{ "show ROW_LIMIT", "ROW_LIMIT is not a valid system variable" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		says(QUERY_DIALECT_SQL, cases[i].sql, cases[i].text);
}
END_TEST

/* ---- rights ---- */

START_TEST(others_read_public_tables_and_change_nothing)
{
	static const struct { const char *sql, *text; } cases[] = {
		{ "select * from bag", "" }, { "select * from st_table", "" },
		{ "select * from hidden", MISSING("hidden") }, { "select * from hidden where false", MISSING("hidden") },
		{ "select * from st_connection_credentials", MISSING("st_connection_credentials") },
		{ "delete from bag", "Caller 2222222222222222222222222222222222222222222222222222222222222222 is not "
			"authorized to run SQL DML statements" },
		{ "delete from bag where x = 1", "`x` is not in scope" },
		{ "delete from hidden", MISSING("hidden") },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct query *query = compile_as(&other, QUERY_DIALECT_SQL, cases[i].sql);
		ck_assert_str_eq(buf_text(&error), cases[i].text);
		query_destroy(query);
	}
	says(QUERY_DIALECT_SQL, "select * from hidden", "");
}
END_TEST

/* Goal: a live query is shared between callers unless its result can differ between them. */
START_TEST(what_depends_on_the_caller)
{
	static const struct { const char *sql; bool depends; } cases[] = {
		{ "select * from bag", false }, { "select * from s where id = :sender", true },
		{ "select * from s where bytes = :sender or u32 = 1", true }, { "select * from hidden", true },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct query *query = compile_as(&owner, QUERY_DIALECT_SUBSCRIBE, cases[i].sql);
		ck_assert_msg(query_depends_on_caller(query) == cases[i].depends, "%s", cases[i].sql);
		query_destroy(query);
	}
}
END_TEST

/* ---- rows ---- */

START_TEST(rows_are_selected)
{
	fill();
	gives("select * from n", "1,-5,one,true;2,7,two,false;3,7,three,true;4,9,four,false;");
	gives("select id from n where a = 7", "2;3;");
	gives("select id from n where a < 9 and a > -5", "2;3;");
	gives("select id from n where a <= -5 or a >= 9", "1;4;");
	gives("select id from n where a <> 7", "1;4;");
	gives("select id from n where 7 < a", "4;");
	gives("select id from n where flag", "1;3;");
	gives("select id from n where flag = false", "2;4;");
	gives("select id from n where flag < true", "2;4;");
	gives("select id from n where not flag and not (id = 2)", "4;");
	gives("select id from n where not not flag", "1;3;");
	gives("select id from n where name >= 'three'", "2;3;");
	gives("select id from n where id = 1 or id = 2 and a = 9", "1;");
	gives("select id from n where (id = 1 or id = 4) and a = 9", "4;");
	gives("select id from n where a < 8 = flag", "1;3;4;");
	gives("select id from n where a > 5 and a < 5", "");
	gives("select id from n where true", "1;2;3;4;");
	gives("select id from n where false", "");
	gives("select name, id as x from n where id = 3", "three,3;");
	gives("select n.name from n limit 2", "one;two;");
	gives("select * from n limit 0", "");
	gives("select count(*) as c from n", "4;");
	gives("select count(*) as c from n where a = 7", "2;");
	gives("select count(*) as c from n limit 2", "4;");
	gives("select count(*) as c from n limit 0", "");
}
END_TEST

/* Goal: an index answers where it can, and the rest of the condition still counts. */
START_TEST(equalities_use_indexes)
{
	static const struct { const char *sql; int columns; } plans[] = {
		{ "select * from n where id = 1", 1 }, { "select * from n where a = 7 and name = 'two'", 2 },
		{ "select * from n where name = 'two' and flag and a = 7", 2 }, { "select * from n where 7 = a", 1 },
		{ "select * from n where a = 7 or a = 9", 0 }, { "select * from n where flag", 0 },
		{ "select * from n where name = 'two'", 0 }, { "select * from n where not a = 7", 0 },
		{ "select * from n where (a = 7) = true", 0 },
	};
	for (size_t i = 0; i < ARRAY_COUNT(plans); i++) {
		struct query *query = compile_as(&owner, QUERY_DIALECT_SUBSCRIBE, plans[i].sql);
		const struct step *step = &query->blocks[0].plan->steps[0];
		int columns = step->access == ACCESS_POINT ? step->key_count : 0;
		ck_assert_msg(columns == plans[i].columns, "%s: an index over %d columns", plans[i].sql, columns);
		query_destroy(query);
	}
	fill();
	gives("select id from n where id = 2 and a = 7", "2;");
	gives("select id from n where id = 2 and a = 8", "");
	gives("select id from n where a = 7 and name = 'three' and flag", "3;");
	gives("select id from n where a = 7 and name = 'three' and not flag", "");
	gives("select id from n where id = 1 and id = 2", "");
}
END_TEST

/* Goal: for every row, matching it alone says the same as selecting. */
START_TEST(rows_match_alone_as_in_a_scan)
{
	fill();
	static const char *const conditions[] = { "id = 2", "a = 7 and flag", "not flag or name = 'one'", "a = 7", "true" };
	for (size_t i = 0; i < ARRAY_COUNT(conditions); i++) {
		char sql[128];
		snprintf(sql, sizeof(sql), "select count(*) as c from n where %s", conditions[i]);
		const char *count = select_as(&owner, sql);
		snprintf(sql, sizeof(sql), "select * from n where %s", conditions[i]);
		struct query *query = compile_as(&owner, QUERY_DIALECT_SUBSCRIBE, sql);
		struct store_cursor cursor;
		struct store_row row;
		unsigned matched = 0;
		store_scan(query_table(query), &cursor);
		while (store_cursor_next(&cursor, &row))
			matched += query_block_matches(query, 0, row.data);
		ck_assert_uint_eq(matched, strtoul(count, NULL, 10));
		query_destroy(query);
	}
}
END_TEST

START_TEST(names_of_columns)
{
	const struct query_column *columns;
	struct query *query = compile_as(&owner, QUERY_DIALECT_SQL, "select colA, b as \"x y\" from SnakeName");
	ck_assert_uint_eq(query_columns(query, &columns), 2);
	ck_assert(str_eq(columns[0].name, STR("colA")) && str_eq(columns[1].name, STR("x y")));
	query_destroy(query);
	query = compile_as(&owner, QUERY_DIALECT_SQL, "select * from SnakeName");
	ck_assert_uint_eq(query_columns(query, &columns), 2);
	ck_assert(str_eq(columns[0].name, STR("col_a")));
	query_destroy(query);
	query = compile_as(&owner, QUERY_DIALECT_SQL, "select count(*) as n from SnakeName");
	ck_assert_uint_eq(query_columns(query, &columns), 1);
	ck_assert(str_eq(columns[0].name, STR("n")) && columns[0].type->tag == SATS_U64);
	query_destroy(query);
}
END_TEST

/* ---- effects ---- */

START_TEST(inserts)
{
	ck_assert_uint_eq(run("insert into bag (a, b) values (1, 'x'), (2, 'y'), (1, 'x')").inserted, 2);
	ck_assert_uint_eq(run("insert into bag (a, b) values (1, 'x')").inserted, 0);
	gives("select * from bag", "1,x;2,y;");
	/* The list of columns is counted, never used. */
	ck_assert_uint_eq(run("insert into bag (b, nonsense) values (3, 0x7)").inserted, 1);
	gives("select b from bag where a = 3", "7;");
	fill();
	run("insert into n (id, a, name, flag) values (9, 0, '', true), (1, 0, '', true)");
	ck_assert_msg(strncmp(buf_text(&error), "IndexError: Unique constraint violation", 39) == 0, "%s",
		buf_text(&error));
	gives("select count(*) as c from n where id = 9", "0;");
	ck_assert_uint_eq(run("insert into gen (id, b) values (0, 'a'), (0, 'b'), (7, 'c')").inserted, 3);
	gives("select * from gen", "1,a;2,b;7,c;");
}
END_TEST

START_TEST(updates)
{
	fill();
	ck_assert_uint_eq(run("update n set a = 1, name = 'new' where id >= 3").updated, 2);
	gives("select id, a, name from n where a = 1", "3,1,new;4,1,new;");
	ck_assert_uint_eq(run("update n set a = 1 where id = 99").updated, 0);
	ck_assert_uint_eq(run("update bag set a = 5, a = 6").updated, 3); /* the first counts, and rows become one */
	gives("select * from bag", "5,x;5,y;");
	run("update n set id = 1 where id = 2");
	ck_assert_msg(strncmp(buf_text(&error), "IndexError: Unique constraint violation", 39) == 0, "%s",
		buf_text(&error));
	gives("select id from n", "1;2;3;4;");
	run("insert into gen (id, b) values (0, 'a'), (0, 'b')");
	ck_assert_uint_eq(run("update gen set id = 0").updated, 2); /* generated anew */
	gives("select count(*) as c from gen where id > 2", "2;");
}
END_TEST

START_TEST(deletes)
{
	fill();
	ck_assert_uint_eq(run("delete from n where a = 7").deleted, 2);
	ck_assert_uint_eq(run("delete from n where a = 7").deleted, 0);
	gives("select id from n", "1;4;");
	ck_assert_uint_eq(run("delete from n").deleted, 2);
	ck_assert_uint_eq(run("delete from n where true").deleted, 0);
	gives("select count(*) as c from n", "0;");
}
END_TEST

/* ---- limits ---- */

static void repeat(struct buf *text, const char *begin, const char *middle, uint32_t times, const char *end)
{
	buf_clear(text);
	buf_put_cstr(text, begin);
	for (uint32_t i = 0; i < times; i++)
		buf_put_cstr(text, middle);
	buf_put_cstr(text, end);
	ck_assert(!text->failed);
}

START_TEST(depth_and_length)
{
	struct buf text = BUF_INIT(1 << 20), closing = BUF_INIT(1 << 20);
	for (uint32_t parens = 46; parens <= 49; parens++) {
		repeat(&closing, "b", ")", parens, "");
		repeat(&text, "select * from t where ", "(", parens, buf_text(&closing));
		says(QUERY_DIALECT_SUBSCRIBE, buf_text(&text),
			parens <= QUERY_PARENS_MAX ? "" : "sql parser error: recursion limit exceeded");
	}
	static const struct { const char *link; uint32_t count; bool good; } chains[] = {
		{ " or u8=1", 1599, true }, { " or u8=1", 1600, false }, { " and u8=1", 1599, true },
		{ " and u8=1", 1600, false },
		{ " or u8=1", 5500, false },
	};
	for (size_t i = 0; i < ARRAY_COUNT(chains); i++) {
		repeat(&text, "select * from t where u8=1", chains[i].link, chains[i].count, "");
		says(QUERY_DIALECT_SQL, buf_text(&text),
			chains[i].good ? "" : "Recursion limit exceeded, `sql-parser::parse_expr`");
	}
	repeat(&text, "select * from t where ", "not ", 12000, "b");
	says(QUERY_DIALECT_SQL, buf_text(&text), "Recursion limit exceeded, `sql-parser::parse_expr`");
	repeat(&text, "select * from bag where b = '", "\xc3\xa9", 24990, "'"); /* 50,010 bytes */
	struct query *query = compile_as(&owner, QUERY_DIALECT_SQL, buf_text(&text));
	ck_assert_ptr_null(query);
	ck_assert_msg(strncmp(buf_text(&error), "SQL query exceeds maximum allowed length: \"select", 49) == 0, "%s",
		buf_text(&error));
	ck_assert(utf8_valid(error.data, error.len));
	repeat(&text, "select * from bag where b = '", "\xc3\xa9", 24980, "'");
	says(QUERY_DIALECT_SQL, buf_text(&text), "");
	buf_deinit(&text);
	buf_deinit(&closing);
}
END_TEST

/* Goal: texts of errors are UTF-8 however the statement is cut. */
START_TEST(texts_are_whole_characters)
{
	struct buf text = BUF_INIT(1 << 20);
	/* Refused whole; refused at this token. */
	static const char *const begins[] = { "select * from t limit '", "select * from t limit 'a",
		"select * from t limit 'ab", "select * from t limit 'abc", "'", "'a", "'ab", "'abc" };
	for (size_t i = 0; i < ARRAY_COUNT(begins); i++) {
		repeat(&text, begins[i], "\xf0\x9f\x98\x80", 600, "'");
		struct query *query = compile_as(&owner, QUERY_DIALECT_SQL, buf_text(&text));
		ck_assert_ptr_null(query);
		ck_assert(error.len > 100 && utf8_valid(error.data, error.len));
	}
	buf_deinit(&text);
}
END_TEST

/* Goal: every allocation may fail: an error comes back, nothing is lost, nothing is left. */
START_TEST(every_allocation_may_fail)
{
	static const char *const statements[] = {
		"select name, id from n where a = 7 and name = 'two' or flag", "select * from n where id = 2",
		"insert into gen (id, b) values (0, 'it''s'), (0, 'b')", "update n set name = 'new' where a = 7",
		"delete from n where a = 7",
	};
	fill();
	for (size_t i = 0; i < ARRAY_COUNT(statements); i++) {
		uint64_t n = 1;
		for (bool done = false; !done; n++) {
			struct query *query = NULL;
			struct query_effects effects = { 0 };
			struct buf text = BUF_INIT(1 << 16);
			buf_reserve(&text, 4096);
			uint64_t live = mem_stats().live_bytes;
			store_tx_begin(store);
			mem_fail_at(n, false);
			enum wl_err err = query_compile(store, QUERY_DIALECT_SQL, str_of(statements[i]), &owner, &query, &text);
			if (err == WL_OK && query_kind(query) == QUERY_SELECT) {
				printed = query;
				buf_clear(&rows);
				err = query_select(query, store, &no_limits, print_row, NULL, &text);
			} else if (err == WL_OK) {
				err = query_execute(query, store, &no_limits, &effects, &text);
			}
			mem_fail_at(0, false);
			done = err == WL_OK && n > 3;
			store_tx_rollback(store);
			query_destroy(query);
			ck_assert_uint_lt(n, 500);
			ck_assert_uint_le(mem_stats().live_bytes, live + (1 << 17)); /* pages and buffers that stay */
			buf_deinit(&text);
		}
	}
	gives("select id from n", "1;2;3;4;");
}
END_TEST

/* Goal: rules of row-level security are checked as queries, and the table they guard is found. */
START_TEST(rules)
{
	struct store_table *guarded = NULL;
	static const struct { const char *sql, *guards, *text; } cases[] = {
		{ "select * from s where id = :sender", "s", "" },
		{ "select s.* from n join s on n.id = s.u32", "s", "" },
		{ "select * from hidden", NULL, "Cannot define RLS rule on private table: hidden. Please make table public "
			"if you wish to restrict access using RLS." },
		{ "select * from r", NULL, MISSING("r") },
		{ "select x.* from s", NULL, "`x` is not in scope" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		buf_clear(&error);
		enum wl_err err = query_check_rule(store, str_of(cases[i].sql), &owner, &guarded, &error);
		ck_assert_msg((err == WL_OK) == (cases[i].guards != NULL), "%s: %s", cases[i].sql, buf_text(&error));
		if (cases[i].guards != NULL)
			ck_assert(str_eq(store_table_def(guarded)->name, str_of(cases[i].guards)));
		else
			ck_assert_str_eq(buf_text(&error), cases[i].text);
	}
}
END_TEST

START_TEST(all_tables)
{
	static const struct { const char *sql; bool yes; } cases[] = {
		{ "SELECT * FROM *", true }, { " select  *\tfrom\n* ", true }, { "SELECT * FROM *;", false },
		{ "SELECT * FROM t", false }, { "SELECT*FROM*", false }, { "", false }, { "SELECT * FROM * x", false },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		ck_assert_msg(query_is_all_tables(str_of(cases[i].sql)) == cases[i].yes, "%s", cases[i].sql);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query");
	TCase *tc = tcase_create("query");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, both_dialects_take_these);
	tcase_add_test(tc, both_dialects_refuse_these);
	tcase_add_test(tc, dialects_differ);
	tcase_add_test(tc, statements_that_change_rows);
	tcase_add_test(tc, others_read_public_tables_and_change_nothing);
	tcase_add_test(tc, what_depends_on_the_caller);
	tcase_add_test(tc, rows_are_selected);
	tcase_add_test(tc, equalities_use_indexes);
	tcase_add_test(tc, rows_match_alone_as_in_a_scan);
	tcase_add_test(tc, names_of_columns);
	tcase_add_test(tc, inserts);
	tcase_add_test(tc, updates);
	tcase_add_test(tc, deletes);
	tcase_add_test(tc, depth_and_length);
	tcase_add_test(tc, texts_are_whole_characters);
	tcase_add_test(tc, every_allocation_may_fail);
	tcase_add_test(tc, rules);
	tcase_add_test(tc, all_tables);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
