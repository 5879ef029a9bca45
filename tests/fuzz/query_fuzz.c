/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a statement, over a store with columns of every type. The first byte picks dialect and caller. Held
 * against: texts of errors (there is one, and it is UTF-8 if the statement was), rows against the condition asked row
 * by row, COUNT against the rows, effects against the tables, and that a rolled back statement leaves no trace.
 */
#define UTIL_WITHOUT_CHECK
#include "unit/store_util.h"

#include "base/clock.h"
#include "query/extended_internal.h"

enum { ROWS = 8 };
static struct store *store;
static struct arena arena;

static const struct {
	const char *name, *columns, *indexes;
	int32_t primary_key;
	bool is_public, is_event;
} tables[] = {
	{ "users", "id:w name:s age:B online:b city:s", "!0 2 4,3", 0, true, false },
	{ "rooms", "id:w title:s owner_id:w", "!0 2", 0, true, false },
	{ "bag", "a:i b:s", "", -1, true, false },
	{ "nums", "id:u i8:c u8:B i16:H u16:h i32:i u32:u i64:l u64:w i128:I u128:J i256:L u256:K", "!0", 0, true, false },
	{ "wide", "id:u n8:B n16:h n64:w n128:J n256:K f:f d:d s:s flag:b data:a who:n conn:C uid:U", "!0 #8", 0, true,
		false },
	{ "specials", "id:u who:n conn:C at:t lasts:D uid:U", "!0 1 3", 0, true, false },
	{ "shapes", "id:u maybe:o words:A place:p color:e next:S", "!0 !4", 0, true, false },
	{ "grid", "id:u a:i b:i flag:b", "!0 1,2", 0, true, false },
	{ "pulses", "user_id:w kind:s", "", -1, true, true },
	{ "secrets", "id:u user_id:w word:s", "!0", 0, false, false },
};

static void put_value(struct buf *row, const struct sats_type *type, uint32_t n)
{
	switch (type->tag) {
	case SATS_STRING: buf_put_bsatn_str(row, n % 2 ? STR("it's") : STR("x")); return;
	case SATS_ARRAY: buf_put_u32(row, 0); return;
	case SATS_SUM:
		buf_put_u8(row, (uint8_t)(n % type->count));
		put_value(row, type->elements[n % type->count].type, n);
		return;
	case SATS_PRODUCT:
		for (uint32_t i = 0; i < type->count; i++)
			put_value(row, type->elements[i].type, n);
		return;
	case SATS_BOOL: buf_put_u8(row, n % 2); return;
	default: {
		uint8_t le[32] = { (uint8_t)n };
		static const uint8_t sizes[SATS_TAG_COUNT] = { [SATS_I8] = 1, [SATS_U8] = 1, [SATS_I16] = 2, [SATS_U16] = 2,
			[SATS_I32] = 4, [SATS_U32] = 4, [SATS_F32] = 4, [SATS_I64] = 8, [SATS_U64] = 8, [SATS_F64] = 8,
			[SATS_I128] = 16, [SATS_U128] = 16, [SATS_I256] = 32, [SATS_U256] = 32 };
		buf_put(row, le, sizes[type->tag]);
	}
	}
}

static void fill(struct store_table *table)
{
	const struct store_table_def *def = store_table_def(table);
	for (uint32_t n = 0; n < ROWS; n++) {
		struct buf row = BUF_INIT(1 << 16);
		for (uint32_t c = 0; c < def->column_count; c++)
			put_value(&row, def->columns[c].type, n);
		size_t len = row.len;
		enum store_status status = store_insert(store, table, row.data, &len, NULL);
		ASSERT(status == STORE_OK || status == STORE_UNIQUE_VIOLATION); /* there are three colours */
		buf_deinit(&row);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct store_delta delta;
	(void)argc;
	(void)argv;
	store = store_create();
	ASSERT(store != NULL);
	arena_init(&arena, 1 << 24);
	store_tx_begin(store);
	for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
		struct store_table *table;
		struct store_table_def *def = util_def(&arena, tables[i].name, tables[i].columns, tables[i].indexes,
			tables[i].primary_key);
		def->is_public = tables[i].is_public;
		def->is_event = tables[i].is_event;
		ASSERT(store_table_create(store, def, &table) == STORE_OK);
		if (!def->is_event)
			fill(table);
	}
	ASSERT(store_tx_commit(store, &delta) == STORE_OK);
	return 0;
}

/* Rows without their order. */
struct bag {
	uint64_t count, sum;
};

static bool count_row(void *context, const uint8_t *row, size_t len)
{
	struct bag *bag = context;
	ASSERT(len == 0 || row != NULL);
	bag->count++;
	bag->sum += hash_bytes(row, len);
	return true;
}

/* The rows of the scan that the condition holds for. */
static uint64_t count_matching(const struct query *query)
{
	struct store_cursor cursor;
	struct store_row row;
	uint64_t count = 0;
	store_scan(query_table(query), &cursor);
	while (store_cursor_next(&cursor, &row))
		count += query_block_matches(query, 0, row.data);
	return count;
}

/* Joins may take for ever: what is late says so. */
static enum wl_err select_all(const struct query *query, bool plain, struct bag *bag, struct buf *error)
{
	struct query_limits limits = { .deadline = clock_mono_nanos() + 20000000, .plain = plain };
	*bag = (struct bag){ 0 };
	buf_clear(error);
	enum wl_err err = query_select(query, store, &limits, count_row, bag, error);
	ASSERT(err == WL_OK || ((err == WL_ERR_LIMIT || err == WL_ERR_INVALID) && error->len > 0)); /* INVALID: 1 / 0 */
	return err;
}

/* Rows may differ: any are good for a LIMIT, and sums of floats depend on their order. */
static bool may_differ(const struct query *query)
{
	const struct extended *x = query->extended;
	return query->limit != UINT64_MAX || (x != NULL && (x->offset > 0 || x->aggregate_count > 0));
}

/* With the optimiser and without it the answer is the same. */
static void check_select(const struct query *query, enum query_dialect dialect, struct buf *error)
{
	struct bag bag, plain;
	if (select_all(query, false, &bag, error) != WL_OK || select_all(query, true, &plain, error) != WL_OK)
		return;
	ASSERT(bag.count == plain.count && (bag.sum == plain.sum || may_differ(query)));
	if (dialect == QUERY_DIALECT_SUBSCRIBE && query_block_is_single(query, 0))
		ASSERT(bag.count == count_matching(query));
}

static void check_change(struct query *query, struct buf *error)
{
	struct store_table *table = query_table(query);
	struct query_effects effects = { 0 };
	uint64_t before = store_table_row_count(table), sum = store_table_checksum(table);
	bool is_plain = query_kind(query) == QUERY_INSERT || query->blocks[0].test_count == 0;
	uint64_t matching = query_kind(query) == QUERY_INSERT ? 0 : count_matching(query);
	store_tx_begin(store);
	enum wl_err err = query_execute(query, store, &(struct query_limits){ 0 }, &effects, error);
	uint64_t after = store_table_row_count(table);
	if (err != WL_OK) {
		ASSERT(error->len > 0);
	} else if (query_kind(query) == QUERY_INSERT) {
		ASSERT(after == before + effects.inserted);
	} else if (query_kind(query) == QUERY_DELETE) {
		ASSERT(after == before - effects.deleted);
		ASSERT(is_plain ? effects.deleted == matching : effects.deleted <= matching);
	} else {
		ASSERT(after <= before);
		ASSERT(is_plain ? effects.updated == matching : effects.updated <= matching);
	}
	store_tx_rollback(store);
	ASSERT(store_table_row_count(table) == before && store_table_checksum(table) == sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	enum query_dialect dialect = data[0] & 1 ? QUERY_DIALECT_SQL : QUERY_DIALECT_SUBSCRIBE;
	struct query_caller caller = { .is_owner = (data[0] & 2) == 0 };
	struct str sql = { (const char *)data + 1, size - 1 };
	struct buf error = BUF_INIT(1 << 20);
	struct query *query = NULL;
	enum wl_err err = query_compile(store, dialect, sql, &caller, &query, &error);
	ASSERT((err == WL_OK) == (query != NULL));
	if (err != WL_OK) {
		ASSERT(error.len > 0 && !error.failed);
		if (utf8_valid(data + 1, size - 1))
			ASSERT(utf8_valid(error.data, error.len));
	} else if (query_kind(query) == QUERY_SELECT) {
		check_select(query, dialect, &error);
	} else {
		check_change(query, &error);
	}
	struct store_table *guarded;
	buf_clear(&error);
	if (query_check_rule(store, sql, &caller, &guarded, &error) != WL_OK)
		ASSERT(error.len > 0);
	query_destroy(query);
	buf_deinit(&error);
	return 0;
}
