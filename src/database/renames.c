/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other accessors for the same tables: what a module's next version calls
 * things in its code. The log's definitions keep the first ones, so that
 * opening a database goes by what its module says.
 */
#include "database/database_internal.h"

static bool same(struct str a, struct str b)
{
	return (a.data == NULL) == (b.data == NULL) && (a.data == NULL || str_eq(a, b));
}

static struct str index_accessor(const struct module_table *table, struct str name)
{
	for (uint32_t i = 0; i < table->index_count; i++)
		if (str_eq(table->indexes[i].name, name))
			return table->indexes[i].source;
	return (struct str){ NULL, 0 };
}

static enum wl_err add(struct db_renames *r, struct store_table *table, const struct store_accessors *to,
	struct buf *error)
{
	struct store_renaming **grown = mem_realloc(r->list, (r->count + 1) * sizeof(struct store_renaming *));
	if (grown != NULL) {
		r->list = grown;
		grown[r->count] = store_rename_begin(table, to, r->takes_over);
		if (grown[r->count] != NULL) {
			r->count++;
			return WL_OK;
		}
	}
	buf_printf(error, "Table %.*s cannot have the accessor %.*s: another table's or index's accessor is in the way, or "
		"there is not enough memory\n\n", STR_FMT(store_table_def(table)->name), STR_FMT(to->table));
	return WL_ERR_UNSUPPORTED;
}

/* `of` NULL: the table behind a view, whose hidden parts have no accessors. */
static enum wl_err compare(struct db_renames *r, struct store_table *table, const struct module_table *of,
	struct str accessor, struct arena *arena, struct buf *error)
{
	const struct store_table_def *def = store_table_def(table);
	struct str *indexes = arena_array(arena, (size_t)def->index_count + 1, sizeof(*indexes));
	struct str *columns = arena_array(arena, (size_t)def->column_count + 1, sizeof(*columns));
	if (indexes == NULL || columns == NULL) {
		buf_put_cstr(error, "not enough memory");
		return WL_ERR_MEMORY;
	}
	bool differs = !same(def->accessor, accessor);
	for (uint32_t i = 0; i < def->index_count; i++) {
		indexes[i] = of != NULL ? index_accessor(of, def->indexes[i].name) : def->indexes[i].accessor;
		differs = differs || !same(indexes[i], def->indexes[i].accessor);
	}
	for (uint32_t i = 0; i < def->column_count; i++) {
		columns[i] = of != NULL ? of->columns[i].accessor : def->columns[i].accessor;
		differs = differs || !same(columns[i], def->columns[i].accessor);
	}
	struct store_accessors to = { accessor, indexes, columns };
	return differs ? add(r, table, &to, error) : WL_OK;
}

static enum wl_err begin(struct database *db, const struct module_info *info, struct db_renames *r, struct buf *error)
{
	struct arena arena;
	enum wl_err err = WL_OK;
	arena_init(&arena, 64 << 20);
	for (uint32_t i = 0; err == WL_OK && i < info->table_count; i++) {
		struct store_table *table = store_table_by_name(db->store, info->tables[i].name);
		if (table != NULL && store_table_def(table)->column_count == info->tables[i].column_count)
			err = compare(r, table, &info->tables[i], info->tables[i].accessor, &arena, error);
	}
	for (uint32_t i = 0; err == WL_OK && i < info->view_count; i++) {
		struct store_table *table = store_table_by_name(db->store, info->views[i].name);
		if (table != NULL)
			err = compare(r, table, NULL, info->views[i].accessor, &arena, error);
	}
	arena_deinit(&arena);
	return err;
}

enum wl_err db_renames_begin(struct database *db, const struct module_info *info, struct db_renames *r,
	struct buf *error)
{
	*r = (struct db_renames){ 0 };
	enum wl_err err = begin(db, info, r, error);
	if (err != WL_OK)
		db_renames_end(r, false);
	return err;
}

enum wl_err db_renames_open(struct database *db, struct buf *error)
{
	struct db_renames r = { .takes_over = true };
	enum wl_err err = begin(db, db->module.info, &r, error);
	db_renames_end(&r, true);
	return err;
}

enum wl_err db_renames_put_rows(struct database *db, const struct db_renames *r, struct buf *error)
{
	for (uint32_t i = 0; i < r->count; i++) {
		if (store_rename_rows(r->list[i]) == STORE_OK)
			continue;
		buf_put_str(error, store_error_text(db->store));
		return WL_ERR_MEMORY;
	}
	return WL_OK;
}

void db_renames_end(struct db_renames *r, bool keeps)
{
	for (uint32_t i = 0; i < r->count; i++)
		store_rename_end(r->list[i], keeps);
	mem_free(r->list);
	*r = (struct db_renames){ 0 };
}
