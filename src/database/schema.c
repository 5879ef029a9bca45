/* SPDX-License-Identifier: Apache-2.0 */
/* From a module's definition to tables, views and system rows. */
#include "database/database_internal.h"

#include <stdlib.h>

enum { HASH_COLUMN_BYTES = 32 };

/* ---- definitions ---- */

static bool index_def(struct arena *arena, const struct module_index *from, struct store_index_def *to)
{
	static const enum store_index_kind kinds[] = { STORE_BTREE, STORE_HASH, STORE_DIRECT };
	(void)arena;
	*to = (struct store_index_def){ .name = from->name, .accessor = from->source, .kind = kinds[from->algorithm],
		.unique = from->unique, .column_count = from->columns.count, .columns = from->columns.at };
	return true;
}

bool db_table_def(struct arena *arena, const struct module_table *from, struct store_table_def *to)
{
	struct store_column *columns = arena_array(arena, from->column_count, sizeof(*columns));
	struct store_index_def *indexes = arena_array(arena, from->index_count, sizeof(*indexes));
	struct store_constraint_def *constraints = arena_array(arena, from->constraint_count, sizeof(*constraints));
	struct store_sequence_def *sequences = arena_array(arena, from->sequence_count, sizeof(*sequences));
	if (columns == NULL || indexes == NULL || constraints == NULL || sequences == NULL)
		return false;
	for (uint32_t i = 0; i < from->column_count; i++)
		columns[i] = (struct store_column){ from->columns[i].name, from->columns[i].accessor, from->columns[i].type };
	for (uint32_t i = 0; i < from->index_count; i++)
		if (!index_def(arena, &from->indexes[i], &indexes[i]))
			return false;
	for (uint32_t i = 0; i < from->constraint_count; i++)
		constraints[i] = (struct store_constraint_def){ .name = from->constraints[i].name,
			.column_count = from->constraints[i].columns.count, .columns = from->constraints[i].columns.at };
	for (uint32_t i = 0; i < from->sequence_count; i++) {
		const struct module_sequence *s = &from->sequences[i];
		sequences[i] = (struct store_sequence_def){ .name = s->name, .column = s->column, .start = s->start,
			.min = s->min, .max = s->max, .increment = s->increment, .allocated = s->start };
	}
	*to = (struct store_table_def){ .name = from->name, .accessor = from->accessor, .row_type = from->row_type,
		.column_count = from->column_count, .columns = columns, .index_count = from->index_count,
		.indexes = indexes, .constraint_count = from->constraint_count, .constraints = constraints,
		.sequence_count = from->sequence_count, .sequences = sequences, .primary_key = from->primary_key,
		.schedule_at = from->schedule == NULL ? -1 : from->schedule->at_column,
		.is_public = from->is_public, .is_event = from->is_event, .is_system = from->is_system };
	if (from->schedule != NULL) {
		to->schedule_name = from->schedule->name;
		to->schedule_function = from->schedule->function;
	}
	return true;
}

/* A view's backing table: a hidden U256 column in front, indexed (with the primary key too, if there is one). */
bool db_view_def(struct arena *arena, const struct module_view *view, struct store_table_def *to)
{
	const struct sats_type *row = view->row_type;
	uint32_t count = row->count + 1;
	struct store_column *columns = arena_array(arena, count, sizeof(*columns));
	struct sats_element *elements = arena_array(arena, count, sizeof(*elements));
	struct store_index_def *indexes = arena_array(arena, 2, sizeof(*indexes));
	struct store_constraint_def *constraint = arena_array(arena, 1, sizeof(*constraint));
	uint16_t *at = arena_array(arena, 3, sizeof(*at)); /* {0}, and {0, key} */
	if (columns == NULL || elements == NULL || indexes == NULL || constraint == NULL || at == NULL)
		return false;
	elements[0] = (struct sats_element){ STR("arg_hash"), &sats_primitive[SATS_U256] };
	memcpy(elements + 1, row->elements, row->count * sizeof(*elements));
	for (uint32_t i = 0; i < count; i++)
		columns[i] = (struct store_column){ elements[i].name, elements[i].name, elements[i].type };
	columns[0].accessor = (struct str){ NULL, 0 }; /* what is hidden has no other name, nor have its indexes */
	const struct sats_type *type = sats_product_of(arena, elements, count);
	struct str name = arena_printf(arena, "%.*s_arg_hash_idx_btree", STR_FMT(view->name));
	indexes[0] = (struct store_index_def){ .name = name, .column_count = 1, .columns = at };
	*to = (struct store_table_def){ .name = view->name, .accessor = view->accessor, .row_type = type,
		.column_count = count, .columns = columns, .index_count = 1, .indexes = indexes, .primary_key = -1,
		.schedule_at = -1, .is_public = view->is_public, .is_ephemeral = true };
	if (view->primary_key >= 0) {
		struct str key = row->elements[view->primary_key].name;
		at[2] = (uint16_t)(view->primary_key + 1);
		name = arena_printf(arena, "%.*s_arg_hash_%.*s_idx_btree", STR_FMT(view->name), STR_FMT(key));
		indexes[1] = (struct store_index_def){ .name = name, .unique = true, .column_count = 2, .columns = at + 1 };
		constraint->name = arena_printf(arena, "%.*s_arg_hash_%.*s_key", STR_FMT(view->name), STR_FMT(key));
		constraint->column_count = 2;
		constraint->columns = at + 1;
		to->index_count = 2;
		to->constraint_count = 1;
		to->constraints = constraint;
	}
	return type != NULL && name.data != NULL;
}

/* ---- system rows ---- */

static enum wl_err insert_system(struct database *db, uint32_t table_id, struct buf *row, struct store_row *stored,
	struct buf *error)
{
	size_t len = row->len;
	if (row->failed) {
		buf_put_cstr(error, "not enough memory");
		return WL_ERR_MEMORY;
	}
	if (store_insert(db->store, store_table_by_id(db->store, table_id), row->data, &len, stored) == STORE_OK)
		return WL_OK;
	buf_put_str(error, store_error_text(db->store));
	return WL_ERR_INVALID;
}

static enum wl_err insert_type_row(struct database *db, uint32_t table_id, uint32_t view_id, uint16_t position,
	const struct sats_element *element, struct buf *error)
{
	struct buf row = BUF_INIT(1 << 20), type = BUF_INIT(1 << 20);
	sats_type_encode(&type, element->type);
	buf_put_u32(&row, view_id);
	buf_put_u16(&row, position);
	buf_put_bsatn_str(&row, element->name);
	buf_put_bsatn_bytes(&row, type.data, type.len);
	row.failed |= type.failed;
	enum wl_err err = insert_system(db, table_id, &row, NULL, error);
	buf_deinit(&type);
	buf_deinit(&row);
	return err;
}

enum wl_err db_view_rows_insert(struct database *db, const struct module_view *view, uint32_t table_id,
	struct buf *error)
{
	struct buf row = BUF_INIT(1 << 20);
	struct store_row stored = { 0 };
	buf_put_u32(&row, 0); /* generated */
	buf_put_bsatn_str(&row, view->name);
	buf_put_u8(&row, 0);
	buf_put_u32(&row, table_id);
	buf_put_u8(&row, 1);
	buf_put_u8(&row, view->is_anonymous);
	enum wl_err err = insert_system(db, ST_VIEW, &row, &stored, error);
	buf_deinit(&row);
	uint32_t id = err == WL_OK ? load_u32(stored.data) : 0;
	for (uint32_t i = 0; err == WL_OK && i < view->row_type->count; i++)
		err = insert_type_row(db, ST_VIEW_COLUMN, id, (uint16_t)i, &view->row_type->elements[i], error);
	for (uint32_t i = 0; err == WL_OK && i < view->params->count; i++)
		err = insert_type_row(db, ST_VIEW_PARAM, id, (uint16_t)i, &view->params->elements[i], error);
	return err;
}

enum wl_err db_table_create(struct database *db, const struct store_table_def *def, struct store_table **out,
	struct buf *error)
{
	if (store_table_create(db->store, def, out) != STORE_OK) {
		buf_put_str(error, store_error_text(db->store));
		return WL_ERR_INVALID;
	}
	return WL_OK;
}

enum wl_err db_rule_create(struct database *db, struct str sql, struct buf *error)
{
	struct query_caller owner = { .identity = db->options.owner, .is_owner = true };
	struct store_table *table = NULL;
	struct buf why = BUF_INIT(ERROR_TEXT_BYTES_MAX), row = BUF_INIT(1 << 20);
	enum wl_err err = query_check_rule(db->store, sql, &owner, &table, &why);
	if (err != WL_OK) {
		buf_printf(error, "failed to create row-level security: %s", buf_text(&why));
	} else {
		buf_put_u32(&row, store_table_def(table)->id);
		buf_put_bsatn_str(&row, sql);
		err = insert_system(db, ST_ROW_LEVEL_SECURITY, &row, NULL, error);
	}
	buf_deinit(&why);
	buf_deinit(&row);
	return err;
}

static int by_view_name(const void *a, const void *b)
{
	struct str x = (*(const struct module_view *const *)a)->name, y = (*(const struct module_view *const *)b)->name;
	int order = memcmp(x.data, y.data, size_min(x.len, y.len));
	return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

enum wl_err db_schema_create(struct database *db, const struct module_info *info, struct buf *error)
{
	struct arena arena;
	arena_init(&arena, 64 << 20);
	enum wl_err err = WL_OK;
	struct store_table_def def;
	struct store_table *table = NULL;
	for (uint32_t i = 0; err == WL_OK && i < info->table_count; i++) {
		db_log_host(db, 2, "Creating table `%.*s`", STR_FMT(info->tables[i].name));
		err = db_table_def(&arena, &info->tables[i], &def) ? db_table_create(db, &def, &table, error) : WL_ERR_MEMORY;
	}
	const struct module_view **views = arena_array(&arena, info->view_count, sizeof(*views));
	if (views == NULL)
		err = WL_ERR_MEMORY;
	for (uint32_t i = 0; err == WL_OK && i < info->view_count; i++)
		views[i] = &info->views[i];
	if (err == WL_OK)
		qsort(views, info->view_count, sizeof(*views), by_view_name);
	for (uint32_t i = 0; err == WL_OK && i < info->view_count; i++) {
		db_log_host(db, 2, "Creating table for view `%.*s`", STR_FMT(views[i]->name));
		err = db_view_def(&arena, views[i], &def) ? db_table_create(db, &def, &table, error) : WL_ERR_MEMORY;
		if (err == WL_OK)
			err = db_view_rows_insert(db, views[i], store_table_def(table)->id, error);
	}
	for (uint32_t i = 0; err == WL_OK && i < info->rls_count; i++) {
		db_log_host(db, 2, "Creating row level security `%.*s`", STR_FMT(info->rls[i]));
		err = db_rule_create(db, info->rls[i], error);
	}
	arena_deinit(&arena);
	return err;
}

/* ---- st_module ---- */

/* The program itself lies beside the log, under its hash: its column here is empty. */
enum wl_err db_module_row_put(struct database *db, const uint8_t hash[32], enum runtime_kind kind, struct buf *error)
{
	struct buf row = BUF_INIT(4096);
	uint64_t cleared;
	if (store_clear(db->store, store_table_by_id(db->store, ST_MODULE), &cleared) != STORE_OK) {
		buf_put_str(error, store_error_text(db->store));
		return WL_ERR_MEMORY;
	}
	buf_put(&row, db->options.identity.le, 32);
	buf_put(&row, db->options.owner.le, 32);
	buf_put_u8(&row, (uint8_t)kind);
	buf_put(&row, hash, HASH_COLUMN_BYTES);
	buf_put_u32(&row, 0);
	buf_put_bsatn_str(&row, STR("0.0.1"));
	enum wl_err err = insert_system(db, ST_MODULE, &row, NULL, error);
	buf_deinit(&row);
	return err;
}

enum wl_err db_module_row_get(struct database *db, uint8_t hash[32], enum runtime_kind *kind, struct buf *error)
{
	struct store_cursor cursor;
	struct store_row row;
	store_scan(store_table_by_id(db->store, ST_MODULE), &cursor);
	if (!store_cursor_next(&cursor, &row) || row.len < 32 + 32 + 1 + 32) {
		buf_put_cstr(error, "the log holds no module: the database was never completely created");
		return WL_ERR_CORRUPT;
	}
	if (memcmp(row.data, db->options.identity.le, 32) != 0) {
		buf_put_cstr(error, "mismatched database identity: the folder belongs to another database");
		return WL_ERR_CORRUPT;
	}
	*kind = row.data[64] == RUNTIME_JS ? RUNTIME_JS : RUNTIME_WASM;
	memcpy(hash, row.data + 65, 32);
	return WL_OK;
}
