/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling, and what a compiled query says of itself. */
#include "query/extended_internal.h"

#include <strings.h>

/* ---- compile ---- */

static enum wl_err parse(struct arena *arena, enum query_dialect dialect, struct str sql, struct statement **out,
	struct buf *error)
{
	if (sql.len > QUERY_TEXT_MAX) {
		struct str begin = str_cut(sql, 120);
		buf_printf(error, "SQL query exceeds maximum allowed length: \"%.*s...\"", STR_FMT(begin));
		return WL_ERR_INVALID;
	}
	return statement_parse(arena, dialect, sql, out, error) ? WL_OK : WL_ERR_INVALID;
}

static struct query *query_new(struct buf *error)
{
	struct query *query = mem_zalloc(sizeof(*query));
	if (query == NULL) {
		(void)no_memory(error);
		return NULL;
	}
	arena_init(&query->arena, QUERY_ARENA_BYTES_MAX);
	query->arena.first_bytes = QUERY_BYTES_MIN;
	return query;
}

/* One condition of all conjuncts, for rows that come one by one. */
static const struct node *all_of(struct query *query, const struct block *block)
{
	const struct node *all = block->where_count == 0 ? NULL : block->where[block->where_count - 1];
	for (uint32_t i = block->where_count; all != NULL && i-- > 1;) {
		struct node *both = arena_zalloc(&query->arena, sizeof(*both));
		if (both == NULL)
			return NULL;
		*both = (struct node){ .kind = NODE_AND, .left = all, .right = block->where[i - 1] };
		all = both;
	}
	return all;
}

static bool has_table(struct store_table *const *tables, uint32_t count, const struct store_table *table)
{
	for (uint32_t i = 0; i < count; i++)
		if (tables[i] == table)
			return true;
	return false;
}

static bool add_table(struct block *block, uint32_t *cap, struct store_table *table, struct arena *arena)
{
	if (has_table(block->tables, block->table_count, table))
		return true;
	if (block->table_count == *cap) {
		uint32_t grown = *cap == 0 ? block->relation_count : *cap * 2;
		struct store_table **tables = arena_array(arena, grown, sizeof(*tables));
		if (tables == NULL)
			return false;
		if (*cap > 0)
			memcpy(tables, block->tables, *cap * sizeof(*tables));
		block->tables = tables;
		*cap = grown;
	}
	block->tables[block->table_count++] = table;
	return true;
}

/* The distinct tables that a block reads, for derived relations too. */
static bool find_tables(struct block *block, uint32_t *cap, const struct block *of, struct arena *arena)
{
	for (uint16_t i = 0; i < of->relation_count; i++) {
		const struct derived *derived = of->relations[i].derived;
		if (!add_table(block, cap, of->relations[i].table, arena))
			return false;
		for (uint16_t b = 0; derived != NULL && b < derived->block_count; b++)
			if (!find_tables(block, cap, &derived->blocks[b], arena))
				return false;
	}
	return true;
}

static enum wl_err finish_block(struct query *query, struct block *block, struct arena *scratch, struct buf *error)
{
	uint32_t cap = 0;
	if (!find_tables(block, &cap, block, &query->arena))
		return no_memory(error);
	if (block->relation_count == 1 && block->where_count > 0) {
		block->single = all_of(query, block);
		if (block->single == NULL)
			return no_memory(error);
	}
	for (uint16_t i = 0; i < block->relation_count; i++) {
		const struct derived *derived = block->relations[i].derived;
		for (uint16_t b = 0; derived != NULL && b < derived->block_count; b++) {
			struct block *inner = &derived->blocks[b];
			enum wl_err err = inner->plan != NULL ? WL_OK : finish_block(query, inner, scratch, error);
			if (err != WL_OK)
				return err;
		}
	}
	static const struct plan_options options = { 0 };
	block->plan = plan_make(&query->arena, scratch, block, &options);
	return block->plan == NULL ? no_memory(error) : WL_OK;
}

static enum wl_err collect_tables(struct query *query, struct buf *error)
{
	size_t most = 0;
	for (uint16_t i = 0; i < query->block_count; i++)
		most += query->blocks[i].table_count;
	query->tables = arena_array(&query->arena, size_max(most, 1), sizeof(struct store_table *));
	if (query->tables == NULL)
		return no_memory(error);
	for (uint16_t i = 0; i < query->block_count; i++)
		for (uint32_t t = 0; t < query->blocks[i].table_count; t++)
			if (!has_table(query->tables, query->table_count, query->blocks[i].tables[t]))
				query->tables[query->table_count++] = query->blocks[i].tables[t];
	return WL_OK;
}

/* The plan in place of the rows. */
static enum wl_err set_explained(struct query *query, struct buf *error)
{
	query->is_explained = true;
	query->column_count = 1;
	query->columns = arena_array(&query->arena, 1, sizeof(*query->columns));
	if (query->columns == NULL)
		return no_memory(error);
	query->columns[0] = (struct query_column){ STR("plan"), &sats_primitive[SATS_STRING] };
	return WL_OK;
}

/*
 * Section 7, as far as it is not a matter of indexes: the side that the reference would look up may be no event table.
 * That is the right one, unless only the right one has a condition of its own.
 */
static enum wl_err check_event_join(const struct block *block, struct buf *error)
{
	bool pushed[2] = { false, false }, joined = false;
	if (block->relation_count != 2)
		return WL_OK;
	for (uint32_t i = 0; i < block->where_count; i++) {
		const struct node *n = block->where[i];
		if (n->kind == NODE_COMPARE_CONSTANT)
			pushed[n->relation] = true;
		joined = joined || (n->kind == NODE_COMPARE_COLUMNS && n->op == OP_EQ && n->relation != n->relation2);
	}
	uint16_t lookup = !pushed[0] && pushed[1] ? 0 : 1;
	if (!joined || !store_table_def(block->relations[lookup].table)->is_event)
		return WL_OK;
	buf_put_cstr(error, "Event tables cannot be used as the lookup table in subscription joins");
	return WL_ERR_INVALID;
}

static enum wl_err compile(struct store *store, enum query_dialect dialect, struct str sql,
	const struct query_caller *caller, bool is_rule, struct query **out, struct buf *error)
{
	struct statement *statement;
	struct arena syntax; /* gone when the query is made: live queries are kept by the thousand */
	struct query *query = query_new(error);
	if (query == NULL)
		return WL_ERR_MEMORY;
	arena_init(&syntax, QUERY_ARENA_BYTES_MAX);
	struct binder binder = { .query = query, .store = store, .caller = caller, .dialect = dialect, .error = error,
		.syntax = &syntax, .rule = is_rule ? sql : (struct str){ NULL, 0 } };
	enum wl_err err = parse(&syntax, dialect, sql, &statement, error);
	if (err == WL_OK)
		err = query_bind(&binder, statement);
	for (uint16_t i = 0; err == WL_OK && i < query->block_count; i++)
		err = finish_block(query, &query->blocks[i], &syntax, error);
	if (err == WL_OK)
		err = collect_tables(query, error);
	if (err == WL_OK && statement->is_explained)
		err = set_explained(query, error);
	arena_deinit(&syntax);
	if (err != WL_OK) {
		query_destroy(query);
		*out = NULL;
		return err;
	}
	*out = query;
	return WL_OK;
}

enum wl_err query_compile(struct store *store, enum query_dialect dialect, struct str sql,
	const struct query_caller *caller, struct query **out, struct buf *error)
{
	return compile(store, dialect, sql, caller, false, out, error);
}

enum wl_err query_check_live(const struct query *query, struct buf *error)
{
	for (uint16_t i = 0; i < query->block_count; i++) {
		enum wl_err err = check_event_join(&query->blocks[i], error);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

void query_destroy(struct query *query)
{
	if (query == NULL)
		return;
	arena_deinit(&query->arena);
	mem_free(query);
}

size_t query_bytes(const struct query *query)
{
	return sizeof(*query) + size_max(query->arena.used, QUERY_BYTES_MIN);
}

enum wl_err query_check_rule(struct store *store, struct str sql, const struct query_caller *owner,
	struct store_table **guarded, struct buf *error)
{
	struct query *query;
	enum wl_err err = compile(store, QUERY_DIALECT_SUBSCRIBE, sql, owner, true, &query, error);
	if (err != WL_OK)
		return err;
	*guarded = query_table(query);
	if (!store_table_def(*guarded)->is_public) {
		buf_printf(error, "Cannot define RLS rule on private table: %.*s. Please make table public if you wish to "
			"restrict access using RLS.", STR_FMT(store_table_def(*guarded)->name));
		err = WL_ERR_INVALID;
	}
	query_destroy(query);
	return err;
}

/* ---- what it is ---- */

enum query_kind query_kind(const struct query *query)
{
	return query->kind;
}

struct store_table *query_table(const struct query *query)
{
	return query->blocks[0].relations[query->blocks[0].returned].table;
}

bool query_uses_sender(const struct query *query)
{
	return query->uses_sender;
}

bool query_depends_on_caller(const struct query *query)
{
	return query->depends_on_caller;
}

uint32_t query_columns(const struct query *query, const struct query_column **columns)
{
	*columns = query->columns;
	return query->column_count;
}

struct bytes query_view_arguments(const struct query *query)
{
	return query->view_arguments;
}

uint32_t query_tables(const struct query *query, struct store_table *const **tables)
{
	*tables = query->tables;
	return query->table_count;
}

const struct sats_type *query_row_type(const struct query *query)
{
	return query->row_type;
}

uint32_t query_hidden_bytes(const struct query *query)
{
	return query->hidden;
}

uint32_t query_block_count(const struct query *query)
{
	return query->block_count;
}

uint32_t query_block_tables(const struct query *query, uint32_t block, struct store_table *const **tables)
{
	*tables = query->blocks[block].tables;
	return query->blocks[block].table_count;
}

bool query_block_reads_empty(const struct query *query, uint32_t block, struct store_snapshot *snapshot)
{
	const struct block *b = &query->blocks[block];
	for (uint32_t i = 0; i < b->table_count; i++)
		if (store_table_row_count(snapshot == NULL ? b->tables[i] : store_snapshot_table(snapshot, b->tables[i])) == 0)
			return true;
	return false;
}

/* Rows that a block's run visits, and those that its tables have. */
static uint64_t block_cost(const struct query *query, const struct block *b, struct arena *scratch, uint64_t *whole)
{
	static const struct plan_options options = { 0 };
	uint64_t rows = 0;
	for (uint16_t r = 0; r < b->relation_count; r++)
		rows += store_table_row_count(b->relations[r].table);
	*whole += rows;
	if (b->relation_count == 1 && b->where_count == 0 && b->test_count == 0)
		return query->is_count ? 0 : rows < query_rows_wanted(query) ? rows : query_rows_wanted(query);
	if (b->relation_count == 1 && rows <= QUERY_SHORT_COST_MAX)
		return rows;
	const struct plan *plan = plan_make(scratch, scratch, b, &options);
	return plan == NULL ? rows : plan->cost;
}

/* How many tuples give all of the result; UINT64_MAX: all there are. */
uint64_t query_rows_wanted(const struct query *query)
{
	const struct extended *x = query->extended;
	if (x == NULL)
		return query->is_count ? UINT64_MAX : query->limit;
	if (x->is_grouped || x->is_distinct || x->sort_count > 0)
		return UINT64_MAX;
	return query->limit + x->offset < query->limit ? UINT64_MAX : query->limit + x->offset;
}

bool query_is_long(const struct query *query)
{
	return !query->is_explained && query_is_beside(query);
}

/* Beside the executor every table is read whole: that must be worth it. */
bool query_is_beside(const struct query *query)
{
	enum { WORTH_IT = 16 };
	uint64_t cost = 0, whole = 0;
	struct arena scratch;
	arena_init(&scratch, QUERY_ARENA_BYTES_MAX);
	for (uint16_t i = 0; i < query->block_count; i++)
		cost += block_cost(query, &query->blocks[i], &scratch, &whole);
	arena_deinit(&scratch);
	return cost > QUERY_SHORT_COST_MAX && (cost > QUERY_VISITS_MAX || cost > whole / WORTH_IT);
}

bool query_block_is_single(const struct query *query, uint32_t block)
{
	return query->blocks[block].relation_count == 1;
}

bool query_block_is_whole_table(const struct query *query, uint32_t block)
{
	return query->blocks[block].relation_count == 1 && query->blocks[block].where_count == 0;
}

bool query_block_matches(const struct query *query, uint32_t block, const uint8_t *row)
{
	const struct node *single = query->blocks[block].single;
	return single == NULL || node_matches(single, &row);
}

bool query_block_key(const struct query *query, uint32_t block, const struct store_table *table, uint16_t *column,
	struct bytes *constant)
{
	const struct block *b = &query->blocks[block];
	uint16_t relation = b->relation_count;
	for (uint16_t i = 0; i < b->relation_count; i++) {
		if (b->relations[i].table != table)
			continue;
		if (relation != b->relation_count)
			return false; /* twice: a row may matter in either place */
		relation = i;
	}
	for (uint32_t i = 0; i < b->where_count; i++) {
		const struct node *n = b->where[i];
		if (n->kind != NODE_COMPARE_CONSTANT || n->op != OP_EQ || n->relation != relation)
			continue;
		*column = n->column;
		*constant = n->constant;
		return true;
	}
	return false;
}

bool query_block_is_key(const struct query *query, uint32_t block)
{
	const struct block *b = &query->blocks[block];
	const struct node *n = b->single;
	return b->relation_count == 1 && b->where_count == 1 && n != NULL && n->kind == NODE_COMPARE_CONSTANT &&
		n->op == OP_EQ && n->has_key;
}

static bool skip_word(struct str *s, const char *word)
{
	size_t len = strlen(word);
	if (s->len < len || strncasecmp(s->data, word, len) != 0)
		return false;
	*s = (struct str){ s->data + len, s->len - len };
	return true;
}

static size_t skip_space(struct str *s)
{
	size_t n = 0;
	while (n < s->len && strchr(" \t\n\r\v\f", s->data[n]) != NULL && s->data[n] != '\0')
		n++;
	*s = (struct str){ s->data + n, s->len - n };
	return n;
}

bool query_is_all_tables(struct str sql)
{
	(void)skip_space(&sql);
	if (!skip_word(&sql, "select") || skip_space(&sql) == 0 || !skip_word(&sql, "*") || skip_space(&sql) == 0 ||
		!skip_word(&sql, "from") || skip_space(&sql) == 0 || !skip_word(&sql, "*"))
		return false;
	(void)skip_space(&sql);
	return sql.len == 0;
}
