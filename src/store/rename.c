/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other aliases for what exists: accessors of a table, its indexes and
 * columns. The canonical names, and all that hangs on them, stay.
 *
 * 1. From begin to end the new aliases answer beside the old ones; end forgets
 *    the one or the other, and cannot fail.
 * 2. Texts live in the table's arena, like those that they replace.
 */
#include "store/store_internal.h"

struct store_renaming {
	struct store_table *table;
	struct str accessor;
	struct str *indexes, *columns; /* behind this struct */
	uint32_t named;                /* aliases already in the maps: the table's first, then the indexes' */
};

static bool same(struct str a, struct str b)
{
	return (a.data == NULL) == (b.data == NULL) && (a.data == NULL || str_eq(a, b));
}

/* False: no memory. An alias that stays is the old text. */
static bool keep(struct store_table *t, struct str old, struct str new, struct str *out)
{
	*out = old;
	if (same(old, new))
		return true;
	*out = new;
	if (new.data != NULL)
		out->data = arena_copy(&t->arena, new.data, new.len);
	return new.data == NULL || out->data != NULL;
}

static bool copy_texts(struct store_renaming *r, const struct store_accessors *to)
{
	struct store_table *t = r->table;
	bool ok = keep(t, t->def->accessor, to->table, &r->accessor);
	for (uint32_t i = 0; ok && i < t->index_count; i++)
		ok = keep(t, t->indexes[i]->def->accessor, to->indexes[i], &r->indexes[i]);
	for (uint32_t i = 0; ok && i < t->def->column_count; i++)
		ok = keep(t, t->def->columns[i].accessor, to->columns[i], &r->columns[i]);
	return ok;
}

static struct map *alias_map(const struct store_renaming *r, uint32_t i)
{
	return i == 0 ? &r->table->store->table_accessors : &r->table->store->index_accessors;
}

static struct str old_alias(const struct store_renaming *r, uint32_t i)
{
	return i == 0 ? r->table->def->accessor : r->table->indexes[i - 1]->def->accessor;
}

static struct str new_alias(const struct store_renaming *r, uint32_t i)
{
	return i == 0 ? r->accessor : r->indexes[i - 1];
}

static void *named_thing(const struct store_renaming *r, uint32_t i)
{
	return i == 0 ? (void *)r->table : (void *)r->table->indexes[i - 1];
}

static bool changes(const struct store_renaming *r, uint32_t i)
{
	return !same(old_alias(r, i), new_alias(r, i));
}

static bool add_alias(struct store_renaming *r, uint32_t i, bool takes_over)
{
	struct str alias = new_alias(r, i);
	if (!changes(r, i) || alias.data == NULL)
		return true;
	return (takes_over || map_get_ptr(alias_map(r, i), alias) == NULL) &&
		map_put_ptr(alias_map(r, i), alias, named_thing(r, i));
}

static void remove_alias(struct store_renaming *r, uint32_t i, struct str alias)
{
	if (changes(r, i) && alias.data != NULL && map_get_ptr(alias_map(r, i), alias) == named_thing(r, i))
		map_remove(alias_map(r, i), alias.data, alias.len);
}

struct store_renaming *store_rename_begin(struct store_table *t, const struct store_accessors *to, bool takes_over)
{
	size_t texts = (size_t)t->index_count + t->def->column_count;
	struct store_renaming *r = mem_zalloc(sizeof(*r) + texts * sizeof(struct str));
	if (r == NULL)
		return NULL;
	r->table = t;
	r->indexes = (struct str *)(r + 1);
	r->columns = r->indexes + t->index_count;
	bool ok = copy_texts(r, to);
	while (ok && r->named <= t->index_count) {
		ok = add_alias(r, r->named, takes_over);
		r->named += ok;
	}
	if (ok)
		return r;
	store_rename_end(r, false);
	return NULL;
}

void store_rename_end(struct store_renaming *r, bool keeps)
{
	struct store_table *t = r->table;
	for (uint32_t i = 0; i < r->named; i++)
		remove_alias(r, i, keeps ? old_alias(r, i) : new_alias(r, i));
	if (keeps) { /* the definition is ours, in our arena */
		((struct store_table_def *)(uintptr_t)t->def)->accessor = r->accessor;
		for (uint32_t i = 0; i < t->index_count; i++)
			((struct store_index_def *)(uintptr_t)t->indexes[i]->def)->accessor = r->indexes[i];
		for (uint32_t i = 0; i < t->def->column_count; i++)
			((struct store_column *)(uintptr_t)t->def->columns)[i].accessor = r->columns[i];
	}
	mem_free(r);
}

/* ---- the rows that say so ---- */

/* Replaces the row {names…, alias}, whose names are the key of the table's first index. */
static enum store_status put_row(struct store *store, uint32_t table_id, struct buf *names, struct str alias)
{
	struct store_table *table = store->system[table_id];
	uint32_t deleted;
	size_t len;
	enum store_status status = names->failed ? STORE_MEMORY
		: store_delete_point(store, table->indexes[0], names->data, names->len, &deleted);
	if (status != STORE_OK || alias.data == NULL)
		return status;
	buf_put_bsatn_str(names, alias);
	len = names->len;
	return names->failed ? STORE_MEMORY : store_insert(store, table, names->data, &len, NULL);
}

enum store_status store_rename_rows(struct store_renaming *r)
{
	const struct store_table_def *def = r->table->def;
	struct store *store = r->table->store;
	struct buf row = BUF_INIT(STORE_ROW_BYTES_MAX);
	enum store_status status = STORE_OK;
	for (uint32_t i = 0; status == STORE_OK && i <= r->table->index_count; i++) {
		if (!changes(r, i))
			continue;
		buf_clear(&row);
		buf_put_bsatn_str(&row, i == 0 ? def->name : r->table->indexes[i - 1]->def->name);
		status = put_row(store, i == 0 ? ST_TABLE_ACCESSOR : ST_INDEX_ACCESSOR, &row, new_alias(r, i));
	}
	for (uint32_t i = 0; status == STORE_OK && i < def->column_count; i++) {
		if (same(def->columns[i].accessor, r->columns[i]))
			continue;
		buf_clear(&row);
		buf_put_bsatn_str(&row, def->name);
		buf_put_bsatn_str(&row, def->columns[i].name);
		status = put_row(store, ST_COLUMN_ACCESSOR, &row, r->columns[i]);
	}
	buf_deinit(&row);
	return status;
}
