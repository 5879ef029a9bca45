/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QUERY_FIXTURE_H
#define QUERY_FIXTURE_H
/* Tables for tests of the extended language, statements run in all ways that there are, and results as text. */
#include "store_util.h"
#include "unit/run_suite.h"
#include "query/query.h"

static struct arena arena;
static struct store *store;
static struct buf out, error;
static struct query_caller owner = { .is_owner = true }, other;

static const struct {
	const char *name, *columns, *indexes;
	const char *rows[8];
} known[] = {
	{ "p", "id:u name:s age:B city:s boss:o score:d flag:b", "!0 2 3,2 1", {
		"[1,\"Ada\",36,\"Rome\",{\"none\":[]},1.5,true]", "[2,\"Bob\",25,\"Oslo\",{\"some\":1},2.5,false]",
		"[3,\"Cyd\",36,\"Rome\",{\"some\":1},-1.0,true]", "[4,\"Dan\",41,\"Oslo\",{\"some\":2},0.0,false]",
		"[5,\"Eva\",25,\"Bonn\",{\"some\":9},4.0,true]", "[6,\"\xc3\x89lo\",60,\"Bonn\",{\"none\":[]},8.0,false]" } },
	{ "o", "id:u owner:u price:i tag:s", "!0 1", {
		"[1,1,10,\"a_b\"]", "[2,1,-5,\"a%b\"]", "[3,2,10,\"ab\"]", "[4,7,100,\"b\\\\c\"]", "[5,3,0,\"\"]" } },
	{ "k", "tag:s weight:l", "#0", { "[\"ab\",3]", "[\"a_b\",4]", "[\"zz\",9]" } },
	{ "e", "id:u v:l", "!0", { NULL } },
	{ "w", "a:c b:B x:l y:w big:I huge:K small:L f:f", "", {
		"[127,255,9223372036854775807,18446744073709551615,5,\"0x7\",\"0x9\",3.0]",
		"[-128,0,-9223372036854775808,1,-5,\"0x2\",\"0x4\",0.5]" } },
	{ "m", "id:u who:n words:A kind:e maybe:o", "!0", {
		"[1,[\"0x01\"],[\"x\",\"y\"],{\"Red\":[]},{\"some\":3}]", "[2,[\"0x01\"],[],{\"Blue\":[]},{\"none\":[]}]",
		"[3,[\"0x02\"],[\"x\",\"y\"],{\"Red\":[]},{\"some\":3}]" } },
	{ "s", "id:u owner:n note:s", "!0", { "[1,[\"0x4d\"],\"mine\"]", "[2,[\"0x4e\"],\"theirs\"]",
		"[3,[\"0x4d\"],\"more\"]" } },
};

static void insert(struct store_table *table, const char *json)
{
	struct buf row = BUF_INIT(1 << 12);
	struct error why;
	enum wl_err err = sats_json_parse(&row, store_table_def(table)->row_type, NULL, json, strlen(json), NULL, &why);
	ck_assert_msg(err == WL_OK, "%s: %s", json, why.text);
	size_t len = row.len;
	ck_assert_int_eq(store_insert(store, table, row.data, &len, NULL), STORE_OK);
	buf_deinit(&row);
}

static void setup(void)
{
	struct store_delta delta;
	arena_init(&arena, 1 << 24);
	buf_init(&out, 1 << 20);
	buf_init(&error, 1 << 20);
	store = store_create();
	ck_assert_ptr_nonnull(store);
	store_u64(other.identity.le, 0x4d);
	store_tx_begin(store);
	for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
		struct store_table *table;
		ck_assert_int_eq(store_table_create(store, util_def(&arena, known[i].name, known[i].columns,
			known[i].indexes, -1), &table), STORE_OK);
		for (size_t r = 0; r < ARRAY_COUNT(known[i].rows) && known[i].rows[r] != NULL; r++)
			insert(table, known[i].rows[r]);
	}
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
}

static void teardown(void)
{
	store_destroy(store);
	arena_deinit(&arena);
	buf_deinit(&out);
	buf_deinit(&error);
}

/* ---- results as text ---- */

struct shown {
	const struct query_column *columns;
	uint32_t count;
	bool with_types;
};

static void show_columns(void *context, const struct query_column *columns, uint32_t count)
{
	struct shown *s = context;
	ck_assert_ptr_null(s->columns);
	s->columns = columns;
	s->count = count;
	for (uint32_t i = 0; s->with_types && i < count; i++) {
		buf_printf(&out, "%s%.*s: ", i == 0 ? "" : ", ", STR_FMT(columns[i].name));
		sats_type_pretty(&out, columns[i].type);
	}
	if (s->with_types)
		buf_put_cstr(&out, " | ");
}

static bool show_row(void *context, const uint8_t *row, size_t len)
{
	const struct shown *s = context;
	const uint8_t *at = row;
	ck_assert_ptr_nonnull(s->columns);
	for (uint32_t i = 0; i < s->count; i++) {
		if (i > 0)
			buf_put_u8(&out, ' ');
		at = sats_json_write(&out, s->columns[i].type, NULL, at, SATS_JSON_UNTYPED);
	}
	ck_assert_uint_eq((size_t)(at - row), len);
	buf_put_u8(&out, ';');
	return true;
}

static struct query *compile(const struct query_caller *caller, const char *sql)
{
	struct query *query = NULL;
	buf_clear(&error);
	enum wl_err err = query_compile(store, QUERY_DIALECT_SQL, str_of(sql), caller, &query, &error);
	ck_assert_msg((err == WL_OK) == (query != NULL) && (err == WL_OK) == (error.len == 0), "%s: %s", sql,
		buf_text(&error));
	return query;
}

/* Rows, or "! words". */
static inline const char *gives(const struct query_caller *caller, const char *sql, const struct query_limits *limits,
	bool with_types)
{
	struct shown shown = { .with_types = with_types };
	struct query *query = compile(caller, sql);
	buf_clear(&out);
	enum wl_err err = query == NULL ? WL_ERR_INVALID
		: query_select_described(query, store, limits, show_columns, show_row, &shown, &error);
	if (err != WL_OK) {
		ck_assert_msg(error.len > 0, "%s: fails without words", sql);
		buf_clear(&out);
		buf_printf(&out, "! %s", buf_text(&error));
	}
	query_destroy(query);
	return buf_text(&out);
}

/* How many ways to run it do not give what is wanted. */
static inline uint32_t differs(const struct query_caller *caller, const char *sql, const char *wanted, bool with_types)
{
	uint32_t wrong = 0;
	struct query *query = compile(caller, sql);
	struct store_snapshot *snapshot = NULL;
	if (query != NULL) {
		struct store_table *const *read;
		uint32_t count = query_tables(query, &read);
		snapshot = store_snapshot_take(store, read, count);
		ck_assert_ptr_nonnull(snapshot);
	}
	query_destroy(query);
	const struct query_limits ways[] = { { 0 }, { .plain = true }, { .snapshot = snapshot } };
	for (size_t i = 0; i < ARRAY_COUNT(ways); i++) {
		const char *got = gives(caller, sql, &ways[i], with_types);
		if (strcmp(got, wanted) == 0)
			continue;
		printf("way %zu: %.500s\n  gives  %.900s\n  wanted %.900s\n", i, sql, got, wanted);
		wrong++;
	}
	fflush(stdout); /* whoever asks may end the process */
	if (snapshot != NULL)
		store_snapshot_release(store, snapshot);
	return wrong;
}

struct statement { const char *sql, *gives; };
static inline void check_all(const struct statement *all, size_t count, bool with_types)
{
	uint32_t wrong = 0;
	for (size_t i = 0; i < count; i++)
		wrong += differs(&owner, all[i].sql, all[i].gives, with_types);
	ck_assert_uint_eq(wrong, 0);
}
#define CHECK(list) check_all(list, ARRAY_COUNT(list), false)
#define CHECK_TYPES(list) check_all(list, ARRAY_COUNT(list), true)
#endif
