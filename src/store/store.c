/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: its life, and how tables and indexes are found. System tables
 * are the same in every database: their definitions and names are shared by
 * the whole process, so that an idle database costs little.
 *
 * Invariants:
 * 1. store->tables is in order of ids; every user's table and index is in
 *    the id map and the name maps as well, or in none of them.
 */
#include "store/store_internal.h"

static const uint64_t TX_ARENA_BYTES_MAX = (uint64_t)1 << 36;

/* ---- ids ---- */

static uint32_t id_place(const struct id_map *map, uint32_t id)
{
	return id * 2654435769u & (map->cap - 1);
}

static struct id_entry *id_map_find(const struct id_map *map, uint32_t id)
{
	for (uint32_t i = id_place(map, id);; i = (i + 1) & (map->cap - 1)) {
		if (map->entries[i].id == id)
			return &map->entries[i];
		if (map->entries[i].id == 0)
			return NULL;
	}
}

void *id_map_get(const struct id_map *map, uint32_t id)
{
	const struct id_entry *there = map->cap == 0 ? NULL : id_map_find(map, id);
	return there == NULL ? NULL : there->value;
}

static void id_map_place(struct id_map *map, struct id_entry entry)
{
	uint32_t i = id_place(map, entry.id);
	while (map->entries[i].id != 0)
		i = (i + 1) & (map->cap - 1);
	map->entries[i] = entry;
}

bool id_map_put(struct id_map *map, uint32_t id, void *value)
{
	struct id_entry *there = map->cap == 0 ? NULL : id_map_find(map, id);
	if (there != NULL) { /* a dropped one makes way */
		there->value = value;
		return true;
	}
	if ((map->count + 1) * 2 > map->cap) {
		struct id_map grown = { .cap = map->cap == 0 ? 8 : map->cap * 2, .count = map->count };
		grown.entries = mem_zalloc_array(grown.cap, sizeof(*grown.entries));
		if (grown.entries == NULL)
			return false;
		for (uint32_t i = 0; i < map->cap; i++)
			if (map->entries[i].id != 0)
				id_map_place(&grown, map->entries[i]);
		mem_free(map->entries);
		*map = grown;
	}
	id_map_place(map, (struct id_entry){ id, value });
	map->count++;
	return true;
}

void id_map_remove(struct id_map *map, uint32_t id)
{
	if (map->cap == 0)
		return;
	uint32_t i = id_place(map, id);
	while (map->entries[i].id != id) {
		if (map->entries[i].id == 0)
			return;
		i = (i + 1) & (map->cap - 1);
	}
	map->entries[i].id = 0;
	map->count--;
	/* What follows may have been pushed past the hole. */
	for (i = (i + 1) & (map->cap - 1); map->entries[i].id != 0; i = (i + 1) & (map->cap - 1)) {
		struct id_entry entry = map->entries[i];
		map->entries[i].id = 0;
		id_map_place(map, entry);
	}
}

/* ---- life ---- */

struct store *store_create(void)
{
	struct store *store = mem_zalloc(sizeof(*store));
	if (store == NULL)
		return NULL;
	arena_init(&store->tx_arena, TX_ARENA_BYTES_MAX);
	buf_init(&store->scratch, STORE_ROW_BYTES_MAX);
	store->retired_last = &store->retired;
	if (!system_bootstrap(store)) {
		store_destroy(store);
		return NULL;
	}
	return store;
}

void store_destroy(struct store *store)
{
	if (store == NULL)
		return;
	if (store->tx_active)
		store_tx_rollback(store);
	ASSERT(store->snapshots == NULL);
	for (uint32_t i = 0; i < store->table_count; i++)
		table_destroy(store->tables[i]);
	for (uint32_t id = 1; id <= ST_TABLE_COUNT; id++)
		table_destroy(store->system[id]);
	remains_free(store);
	mem_free(store->schema);
	mem_free(store->tables);
	mem_free(store->system_indexes);
	mem_free(store->table_ids.entries);
	mem_free(store->index_ids.entries);
	map_deinit(&store->table_names);
	map_deinit(&store->table_accessors);
	map_deinit(&store->index_names);
	map_deinit(&store->index_accessors);
	arena_deinit(&store->tx_arena);
	buf_deinit(&store->scratch);
	store_error_free(store);
	spares_free(store);
	mem_free(store);
}

void store_rest(struct store *store)
{
	ASSERT(!store->tx_active);
	arena_deinit(&store->tx_arena);
	buf_deinit(&store->scratch);
	store_error_free(store);
	spares_free(store);
	mem_free(store->schema);
	store->schema = NULL;
	store->schema_cap = 0;
}

/* ---- tables come and go ---- */

void unlist(struct store *store, struct store_table *t)
{
	for (uint32_t i = 0; i < store->table_count; i++) {
		if (store->tables[i] != t)
			continue;
		memmove(store->tables + i, store->tables + i + 1,
			(store->table_count - i - 1) * sizeof(struct store_table *));
		store->table_count--;
		return;
	}
}

void store_table_remove(struct store *store, struct store_table *t)
{
	const struct store_table_def *def = t->def;
	unlist(store, t);
	if (id_map_get(&store->table_ids, def->id) == t)
		id_map_remove(&store->table_ids, def->id);
	if (map_get_ptr(&store->table_names, def->name) == t)
		map_remove(&store->table_names, def->name.data, def->name.len);
	if (def->accessor.data != NULL && map_get_ptr(&store->table_accessors, def->accessor) == t)
		map_remove(&store->table_accessors, def->accessor.data, def->accessor.len);
	for (uint32_t i = 0; i < t->index_count; i++) {
		struct store_index *ix = t->indexes[i];
		if (id_map_get(&store->index_ids, ix->def->id) == ix)
			id_map_remove(&store->index_ids, ix->def->id);
		if (map_get_ptr(&store->index_names, ix->def->name) == ix)
			map_remove(&store->index_names, ix->def->name.data, ix->def->name.len);
		if (ix->def->accessor.data != NULL && map_get_ptr(&store->index_accessors, ix->def->accessor) == ix)
			map_remove(&store->index_accessors, ix->def->accessor.data, ix->def->accessor.len);
	}
	sequences_forget(store, t);
	store_error_forget(store);
}

static bool add_names(struct store *store, struct store_table *t)
{
	const struct store_table_def *def = t->def;
	bool ok = id_map_put(&store->table_ids, def->id, t) && map_put_ptr(&store->table_names, def->name, t);
	if (ok && def->accessor.data != NULL)
		ok = map_put_ptr(&store->table_accessors, def->accessor, t);
	for (uint32_t i = 0; ok && i < t->index_count; i++) {
		struct store_index *ix = t->indexes[i];
		ok = id_map_put(&store->index_ids, ix->def->id, ix) &&
			map_put_ptr(&store->index_names, ix->def->name, ix);
		if (ok && ix->def->accessor.data != NULL)
			ok = map_put_ptr(&store->index_accessors, ix->def->accessor, ix);
	}
	return ok;
}

enum store_status store_table_add(struct store *store, struct store_table *t)
{
	if (store->table_count == store->table_cap) {
		uint32_t cap = store->table_cap == 0 ? 8 : store->table_cap * 2;
		struct store_table **tables = mem_realloc(store->tables, cap * sizeof(struct store_table *));
		if (tables == NULL)
			return STORE_MEMORY;
		store->tables = tables;
		store->table_cap = cap;
	}
	uint32_t at = store->table_count;
	while (at > 0 && store->tables[at - 1]->def->id > t->def->id)
		at--;
	memmove(store->tables + at + 1, store->tables + at, (store->table_count - at) * sizeof(struct store_table *));
	store->tables[at] = t;
	store->table_count++;
	if (!add_names(store, t)) {
		store_table_remove(store, t);
		return STORE_MEMORY;
	}
	return STORE_OK;
}

/* ---- look-ups ---- */

/* Only a transaction that has dropped tables meets any, and only then are they looked at. */
static bool is_hidden(const struct store *store, const struct store_table *t)
{
	return UNLIKELY(store->dropped != NULL) && t != NULL && t->is_dropped;
}

static bool is_gone(const struct store *store, const struct store_index *ix)
{
	return UNLIKELY(store->dropped != NULL) && ix != NULL && ix->table->is_dropped;
}

struct store_table *store_table_by_id(struct store *store, uint32_t id)
{
	if (id <= ST_TABLE_COUNT)
		return store->system[id];
	struct store_table *t = id_map_get(&store->table_ids, id);
	return is_hidden(store, t) ? NULL : t;
}

struct store_table *store_table_by_name(struct store *store, struct str name)
{
	uint64_t id;
	if (map_get(&system_tables()->table_names, name.data, name.len, &id))
		return store->system[id];
	struct store_table *t = map_get_ptr(&store->table_names, name);
	if (t == NULL || is_hidden(store, t))
		t = map_get_ptr(&store->table_accessors, name);
	return is_hidden(store, t) ? NULL : t;
}

struct store_table *store_table_next(struct store *store, struct store_table *after)
{
	uint32_t id = after == NULL ? 0 : after->def->id;
	if (id < ST_TABLE_COUNT)
		return store->system[id + 1];
	uint32_t low = 0, high = store->table_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (store->tables[middle]->def->id <= id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < store->table_count ? store->tables[low] : NULL;
}

struct store_index *store_index_by_id(struct store *store, uint32_t id)
{
	if (id <= system_tables()->index_count)
		return store->system_indexes[id];
	struct store_index *ix = id_map_get(&store->index_ids, id);
	return is_gone(store, ix) ? NULL : ix;
}

struct store_index *store_index_by_name(struct store *store, struct str name)
{
	uint64_t id;
	if (map_get(&system_tables()->index_names, name.data, name.len, &id))
		return store->system_indexes[id];
	struct store_index *ix = map_get_ptr(&store->index_names, name);
	if (ix == NULL || is_gone(store, ix))
		ix = map_get_ptr(&store->index_accessors, name);
	return is_gone(store, ix) ? NULL : ix;
}

const struct store_table_def *store_table_def(const struct store_table *t)
{
	return t->def;
}

const struct sats_row_layout *store_table_layout(const struct store_table *t)
{
	return t->layout;
}

uint64_t store_table_version(const struct store_table *t)
{
	return t->version;
}

uint64_t store_table_row_count(const struct store_table *t)
{
	return t->row_count;
}

const struct store_index_def *store_index_def(const struct store_index *ix)
{
	return ix->def;
}

struct store_table *store_index_table(const struct store_index *ix)
{
	return ix->table;
}

struct store_index *store_table_index(struct store_table *t, uint32_t i)
{
	return t->indexes[i];
}

struct store_index *store_table_index_on(struct store_table *t, const uint16_t *columns, uint32_t count)
{
	struct store_index *best = NULL;
	for (uint32_t i = 0; i < t->index_count; i++) {
		struct store_index *ix = t->indexes[i];
		bool matches = ix->column_count == count;
		for (uint32_t c = 0; matches && c < count; c++) {
			bool found = false;
			for (uint32_t k = 0; k < count; k++)
				found |= ix->columns[k].column == columns[c];
			matches = found;
		}
		if (matches && (best == NULL || (ix->unique && !best->unique)))
			best = ix;
	}
	return best;
}

/* ---- figures ---- */

struct store_memory store_table_memory(const struct store_table *t)
{
	struct store_memory memory = {
		.row_bytes = t->page_bytes + t->page_cap * (sizeof(struct page *) + sizeof(uint32_t)) };
	if (t->heap != NULL) {
		memory.row_bytes += sizeof(*t->heap) + t->heap->bytes + t->heap->cap * sizeof(struct segment);
		memory.row_bytes += t->heap->spare != NULL ? SEGMENT_BYTES : 0;
	}
	for (uint32_t i = 0; i < t->index_count; i++)
		memory.index_bytes += index_bytes(t->indexes[i]);
	if (t->set != NULL)
		memory.index_bytes += sizeof(*t->set) + t->set->bytes + (t->set->segments == NULL ? 0 :
			sizeof(void *) << t->set->depth);
	memory.other_bytes = sizeof(*t) + t->arena.used + t->def->sequence_count * sizeof(struct sequence) +
		t->tx.run_cap * sizeof(struct run) + (size_t)t->tx.image_cap * image_bytes(t) +
		t->tx.displaced_cap * sizeof(struct displaced);
	return memory;
}

struct store_memory store_memory(const struct store *store)
{
	struct store_memory sum = { .other_bytes = sizeof(*store) + store->tx_arena.used + store->scratch.cap };
	for (struct store_table *t = NULL; (t = store_table_next((struct store *)store, t)) != NULL;) {
		struct store_memory memory = store_table_memory(t);
		sum.row_bytes += memory.row_bytes;
		sum.index_bytes += memory.index_bytes;
		sum.other_bytes += memory.other_bytes;
	}
	return sum;
}

uint64_t store_table_checksum(struct store_table *t)
{
	struct store_cursor cursor;
	struct store_row row;
	uint64_t sum = 0;
	store_scan(t, &cursor);
	while (store_cursor_next(&cursor, &row))
		sum += store_row_hash(row.data, row.len);
	return sum;
}
