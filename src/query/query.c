/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling and running: point look-ups where an index answers, scans otherwise. */
#include "base/clock.h"
#include "query/query_internal.h"

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
		buf_put_cstr(error, "not enough memory for the query");
		return NULL;
	}
	arena_init(&query->arena, QUERY_ARENA_BYTES_MAX);
	query->arena.first_bytes = QUERY_BYTES_MIN;
	return query;
}

enum wl_err query_compile(struct store *store, enum query_dialect dialect, struct str sql,
	const struct query_caller *caller, struct query **out, struct buf *error)
{
	struct statement *statement;
	struct arena syntax; /* gone when the query is made: live queries are kept by the thousand */
	struct query *query = query_new(error);
	if (query == NULL)
		return WL_ERR_MEMORY;
	arena_init(&syntax, QUERY_ARENA_BYTES_MAX);
	enum wl_err err = parse(&syntax, dialect, sql, &statement, error);
	if (err == WL_OK)
		err = query_bind(query, store, dialect, statement, caller, error);
	arena_deinit(&syntax);
	if (err != WL_OK) {
		query_destroy(query);
		return err;
	}
	query_plan(query);
	*out = query;
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
	struct statement *s = NULL;
	struct query *query = query_new(error);
	if (query == NULL)
		return WL_ERR_MEMORY;
	enum wl_err err = parse(&query->arena, QUERY_DIALECT_SUBSCRIBE, sql, &s, error);
	if (err == WL_OK) {
		err = query_bind(query, store, QUERY_DIALECT_SUBSCRIBE, s, owner, error);
		if (err == WL_ERR_UNSUPPORTED) { /* valid, and evaluated by a later version */
			buf_clear(error);
			err = WL_OK;
		}
	}
	struct str name = { NULL, 0 };
	for (uint32_t i = 0; err == WL_OK && i <= s->join_count; i++) {
		const struct relvar *relvar = i == 0 ? &s->from : &s->joins[i - 1].relvar;
		if (s->projection == PROJECT_ALL ? i == 0 : str_eq(relvar->alias, s->projected_table))
			name = relvar->table;
	}
	if (err == WL_OK && name.data == NULL) {
		buf_printf(error, "`%.*s` is not in scope", STR_FMT(s->projected_table));
		err = WL_ERR_INVALID;
	}
	if (err == WL_OK) {
		*guarded = query_find_table(store, name, owner, error);
		err = *guarded == NULL ? WL_ERR_INVALID : WL_OK;
	}
	if (err == WL_OK && !store_table_def(*guarded)->is_public) {
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
	return query->table;
}

bool query_depends_on_caller(const struct query *query)
{
	return query->depends_on_caller;
}

bool query_is_whole_table(const struct query *query)
{
	return query->where == NULL;
}

bool query_matches(const struct query *query, const uint8_t *row)
{
	return query->where == NULL || node_matches(query, query->where, row);
}

uint32_t query_columns(const struct query *query, const struct query_column **columns)
{
	*columns = query->columns;
	return query->column_count;
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

/* ---- plan ---- */

enum { EQUALITIES_MAX = 16 };
struct equalities {
	uint32_t count;
	const struct node *nodes[EQUALITIES_MAX];
};

static void collect(const struct node *node, struct equalities *found)
{
	while (node->kind == NODE_AND) {
		collect(node->right, found);
		node = node->left;
	}
	if (node->kind == NODE_COMPARE_CONSTANT && node->op == OP_EQ && found->count < EQUALITIES_MAX)
		found->nodes[found->count++] = node;
}

static const struct node *equality_on(const struct equalities *found, uint16_t column)
{
	for (uint32_t i = 0; i < found->count; i++)
		if (found->nodes[i]->column == column)
			return found->nodes[i];
	return NULL;
}

static bool key_of(struct query *query, const struct store_index_def *def, const struct equalities *found)
{
	struct buf key = BUF_INIT(QUERY_TEXT_MAX * 4);
	for (uint32_t i = 0; i < def->column_count; i++) {
		const struct node *equal = equality_on(found, def->columns[i]);
		if (equal == NULL) {
			buf_deinit(&key);
			return false;
		}
		buf_put(&key, equal->constant.data, equal->constant.len);
	}
	const uint8_t *copy = key.failed ? NULL : arena_copy(&query->arena, key.data, key.len);
	query->key = (struct bytes){ copy, key.len };
	buf_deinit(&key);
	return copy != NULL;
}

void query_plan(struct query *query)
{
	struct equalities found = { 0 };
	if (query->where == NULL)
		return;
	collect(query->where, &found);
	/* Single columns first, then pairs: the index whose columns are exactly some of the fixed ones. */
	uint32_t best = 0;
	for (uint32_t i = 0; i < found.count; i++) {
		uint16_t columns[2] = { found.nodes[i]->column };
		for (uint32_t j = i; j < found.count; j++) {
			columns[1] = found.nodes[j]->column;
			uint32_t count = columns[0] == columns[1] ? 1 : 2;
			if (count <= best)
				continue;
			struct store_index *index = store_table_index_on(query->table, columns, count);
			if (index != NULL && key_of(query, store_index_def(index), &found)) {
				query->index = index;
				best = count;
			}
		}
	}
}

/* ---- run ---- */

static enum wl_err open_scan(struct query *query, struct store *store, struct store_cursor *cursor, struct buf *error)
{
	if (query->index == NULL) {
		store_scan(query->table, cursor);
		return WL_OK;
	}
	if (store_scan_point(query->index, query->key.data, query->key.len, cursor) == STORE_OK)
		return WL_OK;
	buf_put_str(error, store_error_text(store));
	return WL_ERR_INVALID;
}

void query_set_deadline(struct query *query, uint64_t nanos)
{
	query->deadline = nanos;
}

/* Asked for each row; looks at the clock now and then. */
static bool out_of_time(const struct query *query, uint64_t *rows, struct buf *error)
{
	enum { ROWS_BETWEEN = 1024 };
	if (LIKELY(++*rows % ROWS_BETWEEN != 0 || query->deadline == 0) || clock_mono_nanos() < query->deadline)
		return false;
	buf_put_cstr(error, "the query ran longer than the limit and was stopped");
	return true;
}

static bool emit_columns(struct query *query, const uint8_t *row, struct buf *scratch, query_row_fn fn, void *context)
{
	buf_clear(scratch);
	for (uint32_t i = 0; i < query->column_count; i++) {
		const uint8_t *column = sats_column(query->layout, row, query->projected[i]);
		buf_put(scratch, column, sats_size(query->layout->columns[query->projected[i]], column));
	}
	return !scratch->failed && fn(context, scratch->data, scratch->len);
}

enum wl_err query_select(struct query *query, struct store *store, query_row_fn fn, void *context, struct buf *error)
{
	struct store_cursor cursor;
	struct store_row row;
	struct buf scratch = BUF_INIT(STORE_ROW_BYTES_MAX);
	uint64_t count = 0, rows = 0;
	bool late = false;
	ASSERT(query->kind == QUERY_SELECT || query->kind == QUERY_COUNT);
	if (query->kind == QUERY_COUNT && query->where == NULL) {
		count = store_table_row_count(query->table);
	} else {
		enum wl_err err = open_scan(query, store, &cursor, error);
		if (err != WL_OK)
			return err;
		while ((query->kind == QUERY_COUNT || count < query->limit) && store_cursor_next(&cursor, &row)) {
			late = out_of_time(query, &rows, error);
			if (late)
				break;
			if (!query_matches(query, row.data))
				continue;
			count++;
			if (query->kind == QUERY_COUNT)
				continue;
			bool more = query->projected == NULL ? fn(context, row.data, row.len)
				: emit_columns(query, row.data, &scratch, fn, context);
			if (!more)
				break;
		}
	}
	if (query->kind == QUERY_COUNT && query->limit > 0 && !late) {
		uint8_t value[8];
		store_u64(value, count);
		(void)fn(context, value, sizeof(value));
	}
	buf_deinit(&scratch);
	return late ? WL_ERR_LIMIT : WL_OK;
}

static enum wl_err store_failed(struct store *store, struct buf *error)
{
	buf_put_str(error, store_error_text(store));
	return WL_ERR_INVALID;
}

static enum wl_err run_insert(struct query *query, struct store *store, struct query_effects *effects,
	struct buf *error)
{
	struct buf row = BUF_INIT(STORE_ROW_BYTES_MAX);
	enum wl_err err = WL_OK;
	for (uint32_t i = 0; err == WL_OK && i < query->row_count; i++) {
		buf_clear(&row);
		buf_put(&row, query->rows[i].data, query->rows[i].len);
		size_t len = row.len;
		uint64_t before = store_table_row_count(query->table);
		if (row.failed)
			err = WL_ERR_MEMORY;
		else if (store_insert(store, query->table, row.data, &len, NULL) != STORE_OK)
			err = store_failed(store, error);
		else
			effects->inserted += store_table_row_count(query->table) - before;
	}
	buf_deinit(&row);
	return err;
}

/* The matching rows, copied, and their numbers: what changes the table may not read it meanwhile. */
struct matched {
	struct buf numbers, rows, ends;
	uint32_t count;
};

static enum wl_err match_rows(struct query *query, struct store *store, struct matched *out, struct buf *error)
{
	struct store_cursor cursor;
	struct store_row row;
	uint64_t rows = 0;
	enum wl_err err = open_scan(query, store, &cursor, error);
	while (err == WL_OK && store_cursor_next(&cursor, &row)) {
		if (out_of_time(query, &rows, error)) {
			err = WL_ERR_LIMIT;
			break;
		}
		if (!query_matches(query, row.data))
			continue;
		buf_put_u32(&out->numbers, row.number);
		if (query->kind == QUERY_UPDATE) {
			buf_put(&out->rows, row.data, row.len);
			buf_put_u64(&out->ends, out->rows.len);
		}
		out->count++;
		if (out->numbers.failed || out->rows.failed || out->ends.failed) {
			buf_put_cstr(error, "not enough memory for the rows of the statement");
			err = WL_ERR_MEMORY;
		}
	}
	return err;
}

static enum wl_err delete_matched(struct query *query, struct store *store, const struct matched *matched,
	struct buf *error)
{
	for (uint32_t i = 0; i < matched->count; i++)
		if (store_delete(store, query->table, load_u32(matched->numbers.data + (size_t)i * 4)) != STORE_OK)
			return store_failed(store, error);
	return WL_OK;
}

static const struct set_column *set_of(const struct query *query, uint32_t column)
{
	for (uint32_t i = 0; i < query->set_count; i++) /* of several the first counts */
		if (query->sets[i].column == column)
			return &query->sets[i];
	return NULL;
}

static enum wl_err insert_changed(struct query *query, struct store *store, const struct matched *matched,
	struct buf *error)
{
	struct buf row = BUF_INIT(STORE_ROW_BYTES_MAX);
	enum wl_err err = WL_OK;
	for (uint32_t i = 0; err == WL_OK && i < matched->count; i++) {
		const uint8_t *old = matched->rows.data + (i == 0 ? 0 : load_u64(matched->ends.data + (size_t)(i - 1) * 8));
		buf_clear(&row);
		for (uint32_t c = 0; c < query->layout->column_count; c++) {
			const struct set_column *set = set_of(query, c);
			const uint8_t *column = sats_column(query->layout, old, c);
			if (set != NULL)
				buf_put(&row, set->value.data, set->value.len);
			else
				buf_put(&row, column, sats_size(query->layout->columns[c], column));
		}
		size_t len = row.len;
		if (row.failed)
			err = WL_ERR_MEMORY;
		else if (store_insert(store, query->table, row.data, &len, NULL) != STORE_OK)
			err = store_failed(store, error);
	}
	buf_deinit(&row);
	return err;
}

enum wl_err query_execute(struct query *query, struct store *store, struct query_effects *effects, struct buf *error)
{
	ASSERT(query->kind == QUERY_INSERT || query->kind == QUERY_UPDATE || query->kind == QUERY_DELETE);
	ASSERT(store_tx_active(store));
	if (query->kind == QUERY_INSERT)
		return run_insert(query, store, effects, error);
	struct matched matched = { .numbers = BUF_INIT(UINT32_MAX), .rows = BUF_INIT(SIZE_MAX / 4),
		.ends = BUF_INIT(SIZE_MAX / 4) };
	enum wl_err err = match_rows(query, store, &matched, error);
	if (err == WL_OK)
		err = delete_matched(query, store, &matched, error);
	if (err == WL_OK && query->kind == QUERY_UPDATE)
		err = insert_changed(query, store, &matched, error);
	if (query->kind == QUERY_UPDATE)
		effects->updated += matched.count;
	else
		effects->deleted += matched.count;
	buf_deinit(&matched.numbers);
	buf_deinit(&matched.rows);
	buf_deinit(&matched.ends);
	return err;
}
