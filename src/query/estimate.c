/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The row limit: st_var's row_limit against the rows that the reference's plan
 * of a query would scan. The plan is not ours: joins in the order written,
 * points through an index whose columns are all fixed, everything else whole
 * tables. Numbers are compared by clients' tests, so the arithmetic is the
 * reference's, too. Source: sql-and-subscriptions.md 6.2, 7.
 */
#include "query/extended_internal.h"

enum { INDEX_COLUMNS_MAX = 3, VALUE_U64 = 8 };

struct size {
	uint64_t scanned, rows;
};

static uint64_t add(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static uint64_t times(uint64_t a, uint64_t b)
{
	uint64_t r;
	return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

/* How many different keys the index has: its rows where it is unique, else counted. False: not known. */
static bool key_count(struct store_table *table, const struct store_index_def *def, uint64_t *out)
{
	struct store_cursor cursor;
	struct store_row row;
	struct map seen = { 0 };
	struct arena keys;
	const struct sats_row_layout *layout = store_table_layout(table);
	*out = store_table_row_count(table);
	if (def->unique)
		return true;
	arena_init(&keys, QUERY_MEMORY_MAX);
	store_scan(table, &cursor);
	bool ok = true;
	while (ok && store_cursor_next(&cursor, &row)) {
		uint64_t hash = 0;
		for (uint32_t i = 0; i < def->column_count; i++)
			hash = hash_u64(hash ^ sats_hash(layout->columns[def->columns[i]]->type, NULL,
				sats_column(layout, row.data, def->columns[i])));
		uint64_t known;
		if (map_get(&seen, &hash, sizeof(hash), &known))
			continue;
		const void *key = arena_copy(&keys, &hash, sizeof(hash));
		ok = key != NULL && map_put(&seen, key, sizeof(hash), 1);
	}
	*out = seen.count;
	map_deinit(&seen);
	arena_deinit(&keys);
	return ok;
}

static bool is_fixed(const struct block *b, uint16_t relation, uint16_t column)
{
	for (uint32_t i = 0; i < b->where_count; i++)
		if (b->where[i]->kind == NODE_COMPARE_CONSTANT && b->where[i]->op == OP_EQ &&
			b->where[i]->relation == relation && b->where[i]->column == column)
			return true;
	return false;
}

static uint32_t conditions_of(const struct block *b, uint16_t relation)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < b->where_count; i++)
		count += b->where[i]->kind == NODE_COMPARE_CONSTANT && b->where[i]->relation == relation;
	return count;
}

/* One table with the conditions that are its alone. `rest`: others are checked behind it as well. */
static struct size table_size(const struct block *b, uint16_t relation, bool rest)
{
	struct store_table *table = b->relations[relation].table;
	const struct store_table_def *def = store_table_def(table);
	const struct store_index_def *best = NULL;
	uint64_t n = store_table_row_count(table), keys;
	for (uint32_t i = 0; i < def->index_count; i++) {
		const struct store_index_def *ix = &def->indexes[i];
		uint32_t fixed = 0;
		while (fixed < ix->column_count && is_fixed(b, relation, ix->columns[fixed]))
			fixed++;
		if (fixed == ix->column_count && fixed <= INDEX_COLUMNS_MAX && (best == NULL || fixed > best->column_count))
			best = ix;
	}
	struct size size = { n, n };
	uint32_t conditions = conditions_of(b, relation);
	if (best != NULL) {
		bool known = key_count(table, best, &keys);
		size.scanned = size.rows = !known ? n : keys == 0 ? 0 : n / keys;
		conditions -= best->column_count < conditions ? best->column_count : conditions;
	}
	if (conditions > 0 || rest)
		size.scanned = add(size.scanned, size.rows);
	return size;
}

/* The index through which `relation` is looked up by `column`: its last one, all before it fixed. */
static const struct store_index_def *lookup_index(const struct block *b, uint16_t relation, uint16_t column)
{
	const struct store_table_def *def = store_table_def(b->relations[relation].table);
	for (uint32_t i = 0; i < def->index_count; i++) {
		const struct store_index_def *ix = &def->indexes[i];
		uint32_t fixed = 0;
		while (fixed + 1 < ix->column_count && is_fixed(b, relation, ix->columns[fixed]))
			fixed++;
		if (fixed + 1 == ix->column_count && ix->columns[fixed] == column)
			return ix;
	}
	return NULL;
}

static bool is_unique_column(const struct store_table *table, uint16_t column)
{
	const struct store_table_def *def = store_table_def(table);
	for (uint32_t i = 0; i < def->index_count; i++)
		if (def->indexes[i].unique && def->indexes[i].column_count == 1 && def->indexes[i].columns[0] == column)
			return true;
	return false;
}

/* The condition that joins `relation` to those before it; its own column. NULL: none. */
static const struct node *join_of(const struct block *b, uint16_t relation, uint16_t *own, uint16_t *other)
{
	for (uint32_t i = b->where_count + b->test_count; i-- > 0;) {
		const struct node *n = i < b->where_count ? b->where[i] : b->tests[i - b->where_count]->fact;
		if (n == NULL || n->kind != NODE_COMPARE_COLUMNS || n->op != OP_EQ || n->relation == n->relation2)
			continue;
		if (n->relation == relation && n->relation2 < relation) {
			*own = n->column;
			*other = n->column2;
			return n;
		}
		if (n->relation2 == relation && n->relation < relation) {
			*own = n->column2;
			*other = n->column;
			return n;
		}
	}
	return NULL;
}

static struct size join_size(const struct block *b, struct size left, uint16_t relation, uint16_t own)
{
	struct store_table *table = b->relations[relation].table;
	const struct store_index_def *ix = lookup_index(b, relation, own);
	uint64_t n = store_table_row_count(table), keys;
	if (ix != NULL && ix->unique)
		return (struct size){ add(left.scanned, left.rows), left.rows };
	if (ix != NULL) {
		uint64_t each = !key_count(table, ix, &keys) ? n : keys == 0 ? 0 : n / keys;
		uint64_t rows = times(left.rows, each);
		return (struct size){ add(left.scanned, rows), rows };
	}
	struct size right = table_size(b, relation, false);
	uint64_t read = add(left.scanned, right.scanned);
	if (is_unique_column(table, own))
		return (struct size){ add(read, left.rows), left.rows };
	uint64_t rows = times(left.rows, right.rows);
	return (struct size){ add(read, rows), rows };
}

static uint64_t block_estimate(const struct block *b, uint64_t limit)
{
	bool rest = b->test_count > 0;
	for (uint32_t i = 0; i < b->where_count && b->relation_count == 1; i++)
		rest = rest || b->where[i]->kind != NODE_COMPARE_CONSTANT;
	struct size size = table_size(b, 0, rest);
	if (b->relation_count == 1 && b->where_count == 0 && b->test_count == 0 && size.scanned > limit)
		size.scanned = size.rows = limit;
	for (uint16_t r = 1; r < b->relation_count; r++) {
		uint16_t own, other;
		const struct node *on = join_of(b, r, &own, &other);
		if (on == NULL) {
			struct size right = table_size(b, r, false);
			uint64_t rows = times(size.rows, right.rows);
			size = (struct size){ add(add(size.scanned, right.scanned), rows), rows };
		} else if (r == 1 && conditions_of(b, 0) == 0 && conditions_of(b, 1) > 0) {
			size = join_size(b, table_size(b, 1, false), 0, other); /* the other way round */
		} else {
			size = join_size(b, size, r, own);
		}
	}
	return size.scanned;
}

uint64_t query_estimate(const struct query *query)
{
	uint64_t sum = 0;
	for (uint16_t i = 0; i < query->block_count; i++)
		sum = add(sum, block_estimate(&query->blocks[i], query_rows_wanted(query)));
	return sum;
}

/* st_var: name str, value sum. False: no limit is set. */
static bool row_limit(struct store *store, uint64_t *limit)
{
	struct store_table *table = store_table_by_id(store, ST_VAR);
	struct store_cursor cursor;
	struct store_row row;
	store_scan(table, &cursor);
	while (store_cursor_next(&cursor, &row)) {
		struct reader r = reader_of(row.data, row.len);
		struct bytes name = reader_bsatn_bytes(&r);
		if (!str_eq((struct str){ (const char *)name.data, name.len }, STR("row_limit")) || reader_u8(&r) != VALUE_U64)
			continue;
		*limit = reader_u64(&r);
		return !r.failed;
	}
	return false;
}

enum wl_err query_check_row_limit(const struct query *query, struct store *store, const struct query_caller *caller,
	struct buf *error)
{
	uint64_t limit, estimate;
	if (caller->is_owner || query->is_explained || query->kind != QUERY_SELECT || !row_limit(store, &limit))
		return WL_OK;
	estimate = query_estimate(query);
	if (estimate <= limit)
		return WL_OK;
	buf_printf(error, "Estimated cardinality (%llu rows) exceeds limit (%llu rows)", (unsigned long long)estimate,
		(unsigned long long)limit);
	return WL_ERR_LIMIT;
}
