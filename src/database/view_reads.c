/* SPDX-License-Identifier: Apache-2.0 */
/* Who reads what: instances of views listed under the tables, and the keys of indexes, that they read. */
#include "database/views.h"

enum { READS_MAX = 1 << 20 };

/* ---- lists ---- */

bool instance_list_add(struct instance_list *list, struct view_instance *instance)
{
	if (list->count == list->cap) {
		uint32_t cap = list->cap == 0 ? 2 : list->cap * 2;
		void *grown = mem_realloc(list->items, cap * sizeof(instance));
		if (grown == NULL)
			return false;
		list->items = grown;
		list->cap = cap;
	}
	list->items[list->count++] = instance;
	return true;
}

static void list_remove(struct instance_list *list, const struct view_instance *instance)
{
	for (uint32_t i = list->count; i-- > 0;)
		if (list->items[i] == instance) {
			list->items[i] = list->items[--list->count];
			return;
		}
}

/* ---- readers of tables ---- */

struct table_readers *view_readers_find(const struct views *views, const struct store_table *table)
{
	uint64_t value;
	const struct store_table_def *def = store_table_def(table);
	return map_get(&views->tables, &def->id, sizeof(def->id), &value) ? (void *)(uintptr_t)value : NULL;
}

static struct table_readers *readers_get(struct views *views, struct store_table *table)
{
	struct table_readers *readers = view_readers_find(views, table);
	if (readers != NULL)
		return readers;
	const struct store_table_def *def = store_table_def(table);
	readers = mem_zalloc(sizeof(*readers));
	if (readers == NULL)
		return NULL;
	readers->table = table;
	if (map_put(&views->tables, &def->id, sizeof(def->id), (uintptr_t)readers)) {
		store_table_mark(table, true);
		return readers;
	}
	mem_free(readers);
	return NULL;
}

static void readers_end(struct views *views, struct table_readers *readers)
{
	const struct store_table_def *def = store_table_def(readers->table);
	store_table_mark(readers->table, false);
	map_remove(&views->tables, &def->id, sizeof(def->id));
	while (readers->indexes != NULL) {
		struct index_readers *next = readers->indexes->next;
		mem_free(readers->indexes);
		readers->indexes = next;
	}
	map_deinit(&readers->keys);
	mem_free(readers->whole.items);
	mem_free(readers);
}

void view_readers_retable(struct views *views, struct store *store)
{
	uint32_t cursor = 0;
	for (const struct map_entry *e; (e = map_next(&views->tables, &cursor)) != NULL;) {
		struct table_readers *readers = (struct table_readers *)(uintptr_t)e->value;
		const struct store_table_def *def = store_table_def(readers->table);
		struct store_table *now = store_table_by_id(store, def->id);
		if (now == NULL || now == readers->table)
			continue;
		readers->table = now;
		store_table_mark(now, true);
		bool put = map_put(&views->tables, &store_table_def(now)->id, sizeof(def->id), (uintptr_t)readers);
		ASSERT(put); /* the key is there; its memory is the new table's now */
	}
}

static bool note_index(struct table_readers *readers, struct store_index *index)
{
	struct index_readers *at = readers->indexes;
	while (at != NULL && at->index != index)
		at = at->next;
	if (at == NULL) {
		at = mem_zalloc(sizeof(*at));
		if (at == NULL)
			return false;
		at->index = index;
		at->next = readers->indexes;
		readers->indexes = at;
	}
	at->count++;
	return true;
}

static void forget_index(struct table_readers *readers, const struct store_index *index)
{
	struct index_readers **at = &readers->indexes;
	while ((*at)->index != index)
		at = &(*at)->next;
	if (--(*at)->count > 0)
		return;
	struct index_readers *gone = *at;
	*at = gone->next;
	mem_free(gone);
}

struct instance_list *view_key_list(struct table_readers *readers, const struct store_index *index, uint64_t hash,
	bool make)
{
	uint64_t key[2] = { store_index_def(index)->id, hash }, value;
	if (map_get(&readers->keys, key, sizeof(key), &value))
		return (void *)(uintptr_t)value;
	struct instance_list *list = make ? mem_zalloc(sizeof(*list)) : NULL;
	if (list == NULL)
		return NULL;
	memcpy(list->key, key, sizeof(key));
	if (map_put(&readers->keys, list->key, sizeof(list->key), (uintptr_t)list))
		return list;
	mem_free(list);
	return NULL;
}

/* Unless somebody is listed there. */
static void key_list_end(struct table_readers *readers, struct instance_list *list)
{
	if (list->count > 0)
		return;
	map_remove(&readers->keys, list->key, sizeof(list->key));
	mem_free(list->items);
	mem_free(list);
}

bool view_read_in(struct views *views, struct view_instance *instance, struct read *read,
	struct store_table *table)
{
	read->readers = readers_get(views, table);
	if (read->readers == NULL)
		return false;
	struct instance_list *list = read->index == NULL ? &read->readers->whole
		: view_key_list(read->readers, read->index, read->hash, true);
	bool ok = list != NULL && instance_list_add(list, instance);
	if (ok && read->index != NULL && !note_index(read->readers, read->index)) {
		list_remove(list, instance);
		ok = false;
	}
	if (!ok && read->index != NULL && list != NULL)
		key_list_end(read->readers, list);
	read->readers->count += ok;
	if (!ok && read->readers->count == 0)
		readers_end(views, read->readers);
	return ok;
}

static void read_list_out(struct views *views, struct view_instance *instance, const struct read *read)
{
	struct table_readers *readers = read->readers;
	if (read->index == NULL) {
		list_remove(&readers->whole, instance);
	} else {
		struct instance_list *list = view_key_list(readers, read->index, read->hash, false);
		list_remove(list, instance);
		key_list_end(readers, list);
		forget_index(readers, read->index);
	}
	if (--readers->count == 0)
		readers_end(views, readers);
}

void view_reads_forget(struct views *views, struct view_instance *instance, struct read_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		read_list_out(views, instance, &list->reads[i]);
	mem_free(list->reads);
	*list = (struct read_list){ 0 };
}

/* ---- what a view reads, as it reads it ---- */

static void add_read(struct read_list *list, struct store_table *table, struct store_index *index, uint64_t hash)
{
	for (uint32_t i = 0; i < list->count && i < 64; i++) /* most views read few things, often */
		if (list->reads[i].index == index && list->reads[i].hash == hash &&
			(index != NULL || list->reads[i].readers == (void *)table))
			return;
	if (list->count == list->cap) {
		uint32_t cap = list->cap == 0 ? 4 : list->cap * 2;
		void *grown = cap > READS_MAX ? NULL : mem_realloc(list->reads, cap * sizeof(struct read));
		if (grown == NULL) {
			list->failed = true;
			return;
		}
		list->reads = grown;
		list->cap = cap;
	}
	/* Until it is listed, `readers` holds the table. */
	list->reads[list->count++] = (struct read){ index, hash, (void *)table };
}

void view_reads_table(void *context, struct store_table *table)
{
	add_read(context, table, NULL, 0);
}

void view_reads_key(void *context, struct store_index *index, struct bytes key)
{
	add_read(context, store_index_table(index), index, hash_bytes(key.data, key.len));
}
