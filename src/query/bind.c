/* SPDX-License-Identifier: Apache-2.0 */
/* Names to tables and columns, values to bytes: from a statement to a query. */
#include "query/query_internal.h"

static enum wl_err later(struct buf *error, const char *what)
{
	buf_printf(error, "%s not supported by this version yet", what);
	return WL_ERR_UNSUPPORTED;
}

/* Does any row-level rule guard this table? */
static bool is_guarded(struct store *store, const struct store_table *table)
{
	struct store_cursor cursor;
	uint8_t key[4];
	struct store_row row;
	struct store_index *index = store_index_by_name(store, STR("st_row_level_security_table_id_idx_btree"));
	store_u32(key, store_table_def(table)->id);
	return index != NULL && store_scan_point(index, key, sizeof(key), &cursor) == STORE_OK &&
		store_cursor_next(&cursor, &row);
}

bool query_may_read(struct store *store, const struct store_table *table, const struct query_caller *caller)
{
	if (caller->is_owner)
		return true;
	return store_table_def(table)->is_public && !is_guarded(store, table);
}

struct store_table *query_find_table(struct store *store, struct str name, const struct query_caller *caller,
	struct buf *error)
{
	struct store_table *table = store_table_by_name(store, name);
	if (table != NULL && (caller->is_owner || store_table_def(table)->is_public))
		return table;
	buf_printf(error, "no such table: `%.*s`. If the table exists, it may be marked private.", STR_FMT(name));
	return NULL;
}

/* Rights that differ between callers make the query the caller's own. */
static enum wl_err check_access(struct query *query, struct store *store, const struct query_caller *caller,
	struct buf *error)
{
	const struct store_table_def *def = store_table_def(query->table);
	bool guarded = is_guarded(store, query->table);
	if (!def->is_public || guarded)
		query->depends_on_caller = true;
	if (def->is_ephemeral)
		return later(error, "Reading views is");
	if (guarded && !caller->is_owner)
		return later(error, "Row-level security for callers other than the owner is");
	return WL_OK;
}

/* ---- SELECT ---- */

static bool column_result(struct query *query, uint32_t i, int column, struct str name)
{
	query->projected[i] = (uint16_t)column;
	query->columns[i] = (struct query_column){ name, store_table_def(query->table)->columns[column].type };
	return true;
}

static enum wl_err bind_items(struct query *query, const struct statement *s, struct buf *error)
{
	query->column_count = s->item_count;
	query->columns = arena_array(&query->arena, s->item_count, sizeof(*query->columns));
	query->projected = arena_array(&query->arena, s->item_count, sizeof(*query->projected));
	if (query->columns == NULL || query->projected == NULL)
		return later(error, "So large a projection is");
	for (uint32_t i = 0; i < s->item_count; i++) {
		const struct expr *column = s->items[i].column;
		if (column->table.data != NULL && !str_eq(column->table, s->from.alias)) {
			buf_printf(error, "`%.*s` is not in scope", STR_FMT(column->table));
			return WL_ERR_INVALID;
		}
		int at = query_column_find(query->table, column->name);
		if (at < 0) {
			buf_printf(error, "`%.*s` is not in scope", STR_FMT(column->name));
			return WL_ERR_INVALID;
		}
		struct str name = s->items[i].alias.data != NULL ? s->items[i].alias : column->name;
		name = arena_str(&query->arena, name);
		(void)column_result(query, i, at, name);
		for (uint32_t j = 0; j < i; j++)
			if (str_eq(query->columns[j].name, name)) {
				buf_printf(error, "Duplicate name `%.*s`", STR_FMT(name));
				return WL_ERR_INVALID;
			}
	}
	return WL_OK;
}

static enum wl_err bind_all(struct query *query, struct buf *error)
{
	const struct store_table_def *def = store_table_def(query->table);
	query->column_count = def->column_count;
	query->columns = arena_array(&query->arena, def->column_count, sizeof(*query->columns));
	if (query->columns == NULL) {
		buf_put_cstr(error, "not enough memory for the query");
		return WL_ERR_MEMORY;
	}
	for (uint32_t i = 0; i < def->column_count; i++)
		query->columns[i] = (struct query_column){ def->columns[i].name, def->columns[i].type };
	return WL_OK;
}

static enum wl_err bind_projection(struct query *query, enum query_dialect dialect, const struct statement *s,
	struct buf *error)
{
	switch (s->projection) {
	case PROJECT_TABLE:
		if (!str_eq(s->projected_table, s->from.alias)) {
			buf_printf(error, "`%.*s` is not in scope", STR_FMT(s->projected_table));
			return WL_ERR_INVALID;
		}
		return bind_all(query, error);
	case PROJECT_ALL:
		return bind_all(query, error);
	case PROJECT_COUNT:
		query->column_count = 1;
		query->columns = arena_array(&query->arena, 1, sizeof(*query->columns));
		if (query->columns == NULL)
			return WL_ERR_MEMORY;
		query->columns[0] = (struct query_column){ arena_str(&query->arena, s->count_alias),
			&sats_primitive[SATS_U64] };
		break;
	case PROJECT_COLUMNS: {
		enum wl_err err = bind_items(query, s, error);
		if (err != WL_OK)
			return err;
		break;
	}
	}
	if (dialect == QUERY_DIALECT_SQL)
		return WL_OK;
	buf_put_cstr(error, "Column projections are not supported in subscriptions; Subscriptions must return a "
		"table type");
	return WL_ERR_INVALID;
}

static enum wl_err bind_limit(struct query *query, const struct statement *s, struct buf *error)
{
	query->limit = UINT64_MAX;
	if (!s->has_limit)
		return WL_OK;
	struct expr number = { .kind = EXPR_LITERAL, .literal = LITERAL_NUMBER, .name = s->limit };
	struct bytes value;
	if (!query_literal(query, &number, &sats_primitive[SATS_U64], &value, error))
		return WL_ERR_INVALID;
	query->limit = load_u64(value.data);
	return WL_OK;
}

static enum wl_err bind_where(struct query *query, struct str alias, const struct expr *where,
	const struct query_caller *caller, struct buf *error)
{
	if (where == NULL)
		return WL_OK;
	query->where = query_type_condition(query, alias, where, caller, error);
	return query->where == NULL ? WL_ERR_INVALID : WL_OK;
}

static enum wl_err bind_joined(struct store *store, const struct statement *s, const struct query_caller *caller,
	struct buf *error)
{
	for (uint32_t i = 0; i < s->join_count; i++)
		if (query_find_table(store, s->joins[i].relvar.table, caller, error) == NULL)
			return WL_ERR_INVALID;
	if (s->projection == PROJECT_ALL) {
		buf_put_cstr(error, "SELECT * is not supported for joins");
		return WL_ERR_INVALID;
	}
	return later(error, "Joining tables is");
}

static enum wl_err bind_select(struct query *query, struct store *store, enum query_dialect dialect,
	const struct statement *s, const struct query_caller *caller, struct buf *error)
{
	query->table = query_find_table(store, s->from.table, caller, error);
	if (query->table == NULL)
		return WL_ERR_INVALID;
	if (s->join_count > 0)
		return bind_joined(store, s, caller, error);
	query->layout = store_table_layout(query->table);
	enum wl_err err = bind_where(query, s->from.alias, s->where, caller, error);
	if (err == WL_OK)
		err = bind_projection(query, dialect, s, error);
	if (err == WL_OK)
		err = bind_limit(query, s, error);
	return err == WL_OK ? check_access(query, store, caller, error) : err;
}

/* ---- DML ---- */

/* Section 3.2: stricter than in conditions. */
static bool write_literal(struct query *query, const struct expr *e, const struct sats_type *type, struct bytes *out,
	struct buf *error)
{
	bool is_string = e->literal == LITERAL_STRING;
	bool scalar = type->tag >= SATS_STRING || sats_is_bytes(type) || type->special == SATS_IDENTITY ||
		type->special == SATS_CONNECTION_ID || type->special == SATS_UUID;
	if (is_string && type->tag != SATS_STRING) {
		buf_put_cstr(error, "Unexpected type: (expected) String != ");
		sats_type_pretty(error, type);
		buf_put_cstr(error, " (inferred)");
		return false;
	}
	if (!scalar && e->literal != LITERAL_TRUE && e->literal != LITERAL_FALSE) {
		buf_printf(error, "The literal expression `%.*s` cannot be parsed as type `", STR_FMT(e->name));
		sats_type_pretty(error, type);
		buf_put_cstr(error, "`");
		return false;
	}
	return query_literal(query, e, type, out, error);
}

static enum wl_err bind_row(struct query *query, struct expr *const *values, struct bytes *out, struct buf *error)
{
	const struct store_table_def *def = store_table_def(query->table);
	struct buf row = BUF_INIT(QUERY_TEXT_MAX * 4);
	for (uint32_t i = 0; i < def->column_count; i++) {
		struct bytes value;
		if (!write_literal(query, values[i], def->columns[i].type, &value, error)) {
			buf_deinit(&row);
			return WL_ERR_INVALID;
		}
		buf_put(&row, value.data, value.len);
	}
	const uint8_t *copy = arena_copy(&query->arena, row.data, row.len);
	*out = (struct bytes){ copy, row.len };
	bool failed = row.failed || copy == NULL;
	buf_deinit(&row);
	return failed ? WL_ERR_MEMORY : WL_OK;
}

static enum wl_err bind_insert(struct query *query, const struct statement *s, struct buf *error)
{
	const struct store_table_def *def = store_table_def(query->table);
	if (s->column_count != def->column_count) {
		buf_printf(error, "The number of fields (%u) in the INSERT does not match the number of columns (%u) of the "
			"table `%.*s`", s->column_count, def->column_count, STR_FMT(def->name));
		return WL_ERR_INVALID;
	}
	if (s->value_count != def->column_count || s->odd_count > 0) {
		buf_printf(error, "Inserting a row with %u values into `%.*s` which has %u fields",
			s->value_count != def->column_count ? s->value_count : s->odd_count, STR_FMT(def->name), def->column_count);
		return WL_ERR_INVALID;
	}
	query->row_count = s->row_count;
	query->rows = arena_array(&query->arena, s->row_count, sizeof(*query->rows));
	if (query->rows == NULL)
		return WL_ERR_MEMORY;
	for (uint32_t i = 0; i < s->row_count; i++) {
		enum wl_err err = bind_row(query, s->values + (size_t)i * s->value_count, &query->rows[i], error);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

static enum wl_err bind_update(struct query *query, const struct statement *s, struct buf *error)
{
	const struct store_table_def *def = store_table_def(query->table);
	query->set_count = s->assignment_count;
	query->sets = arena_array(&query->arena, s->assignment_count, sizeof(*query->sets));
	if (query->sets == NULL)
		return WL_ERR_MEMORY;
	for (uint32_t i = 0; i < s->assignment_count; i++) {
		const struct assignment *set = &s->assignments[i];
		int column = query_column_find(query->table, set->column);
		if (column < 0) {
			buf_printf(error, "`%.*s` does not have a field `%.*s`", STR_FMT(def->name), STR_FMT(set->column));
			return WL_ERR_INVALID;
		}
		query->sets[i].column = (uint16_t)column;
		if (!write_literal(query, set->value, def->columns[column].type, &query->sets[i].value, error))
			return WL_ERR_INVALID;
	}
	return WL_OK;
}

static enum wl_err bind_dml(struct query *query, struct store *store, const struct statement *s,
	const struct query_caller *caller, struct buf *error)
{
	query->table = query_find_table(store, s->table, caller, error);
	if (query->table == NULL)
		return WL_ERR_INVALID;
	const struct store_table_def *def = store_table_def(query->table);
	query->layout = store_table_layout(query->table);
	if (def->is_ephemeral) {
		buf_printf(error, "`%.*s` is a view; DML on views is not supported", STR_FMT(def->name));
		return WL_ERR_INVALID;
	}
	enum wl_err err = s->kind == QUERY_INSERT ? bind_insert(query, s, error)
		: s->kind == QUERY_UPDATE ? bind_update(query, s, error) : WL_OK;
	if (err == WL_OK)
		err = bind_where(query, s->table, s->where, caller, error);
	if (err != WL_OK)
		return err;
	if (!caller->is_owner) {
		char hex[65];
		identity_to_hex(&caller->identity, hex);
		buf_printf(error, "Caller %s is not authorized to run SQL DML statements", hex);
		return WL_ERR_INVALID;
	}
	if (def->is_system && def->id != ST_VAR) {
		buf_printf(error, "`%.*s` is a system table; it changes only through the host", STR_FMT(def->name));
		return WL_ERR_INVALID;
	}
	return WL_OK;
}

enum wl_err query_bind(struct query *query, struct store *store, enum query_dialect dialect,
	const struct statement *s, const struct query_caller *caller, struct buf *error)
{
	query->kind = s->kind;
	switch (s->kind) {
	case QUERY_SELECT:
	case QUERY_COUNT:
		return bind_select(query, store, dialect, s, caller, error);
	case QUERY_INSERT:
	case QUERY_UPDATE:
	case QUERY_DELETE:
		return bind_dml(query, store, s, caller, error);
	case QUERY_SET:
	case QUERY_SHOW:
		break;
	}
	if (!str_eq(s->variable, STR("row_limit"))) {
		buf_printf(error, "%.*s is not a valid system variable", STR_FMT(s->variable));
		return WL_ERR_INVALID;
	}
	return later(error, "The system variable row_limit is");
}
