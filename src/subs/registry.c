/* SPDX-License-Identifier: Apache-2.0 */
/* Distinct live queries, shared by all sets that hold them, and listed under the table they read. */
#include "subs/subs_internal.h"

static uint64_t table_bit(const struct store_table *table)
{
	return UINT64_C(1) << (store_table_def(table)->id & 63);
}

struct listeners *subs_listeners(struct subs *subs, const struct store_table *table)
{
	uint64_t value;
	const struct store_table_def *def = store_table_def(table);
	return map_get(&subs->tables, &def->id, sizeof(def->id), &value) ? (void *)(uintptr_t)value : NULL;
}

static struct listeners *listeners_make(struct subs *subs, struct store_table *table)
{
	struct listeners *found = subs_listeners(subs, table);
	if (found != NULL)
		return found;
	struct listeners *made = mem_zalloc(sizeof(*made));
	if (made == NULL)
		return NULL;
	made->table = table;
	const struct store_table_def *def = store_table_def(table);
	if (!map_put(&subs->tables, &def->id, sizeof(def->id), (uintptr_t)made)) {
		mem_free(made);
		return NULL;
	}
	subs->listened |= table_bit(table);
	return made;
}

bool subs_is_listened(const struct subs *subs, const struct store_delta *delta)
{
	uint64_t changed = 0;
	for (uint32_t t = 0; t < delta->table_count; t++)
		changed |= table_bit(delta->tables[t].table);
	return (subs->listened & changed) != 0;
}

static void listeners_end(struct subs *subs, struct listeners *listeners)
{
	const struct store_table_def *def = store_table_def(listeners->table);
	ASSERT(listeners->groups == NULL);
	map_remove(&subs->tables, &def->id, sizeof(def->id));
	subs->listened = 0;
	uint32_t cursor = 0;
	for (const struct map_entry *e; (e = map_next(&subs->tables, &cursor)) != NULL;)
		subs->listened |= table_bit(((const struct listeners *)(uintptr_t)e->value)->table);
	mem_free(listeners->blocks);
	mem_free(listeners);
}

/* ---- blocks that are found by a value ---- */

struct bytes subs_value_key(const struct sats_type *type, const uint8_t *value, const struct sats_layout *layout,
	u128 *room)
{
	if (!sats_has_scalar_key(type))
		return (struct bytes){ value, sats_size(layout, value) };
	*room = sats_scalar_key(type, value); /* equal values, equal bytes: floats have several zeros */
	return (struct bytes){ (const uint8_t *)room, sizeof(*room) };
}

static struct value_group *group_get(struct listeners *listeners, uint16_t column)
{
	for (struct value_group *g = listeners->groups; g != NULL; g = g->next)
		if (g->column == column)
			return g;
	struct value_group *made = mem_zalloc(sizeof(*made));
	if (made == NULL)
		return NULL;
	made->column = column;
	made->type = store_table_def(listeners->table)->columns[column].type;
	made->next = listeners->groups;
	listeners->groups = made;
	return made;
}

static void group_end(struct listeners *listeners, struct value_group *group)
{
	struct value_group **at = &listeners->groups;
	while (*at != group)
		at = &(*at)->next;
	*at = group->next;
	map_deinit(&group->buckets);
	mem_free(group);
}

static struct bucket *bucket_get(struct value_group *group, struct bytes key)
{
	uint64_t value;
	if (map_get(&group->buckets, key.data, key.len, &value))
		return (void *)(uintptr_t)value;
	struct bucket *made = mem_alloc(sizeof(*made) + key.len);
	if (made == NULL)
		return NULL;
	*made = (struct bucket){ .key_len = (uint32_t)key.len };
	memcpy(made->key, key.data, key.len);
	if (map_put(&group->buckets, made->key, key.len, (uintptr_t)made))
		return made;
	mem_free(made);
	return NULL;
}

static void bucket_end(struct value_group *group, struct bucket *bucket)
{
	map_remove(&group->buckets, bucket->key, bucket->key_len);
	mem_free(bucket->blocks);
	mem_free(bucket);
}

/* ---- listening ---- */

static bool append(struct live_block ***list, uint32_t *count, uint32_t *cap, struct live_block *block)
{
	if (*count == *cap) {
		uint32_t grown_cap = *cap == 0 ? 1 : *cap * 2;
		void *grown = mem_realloc(*list, grown_cap * sizeof(struct live_block *));
		if (grown == NULL)
			return false;
		*list = grown;
		*cap = grown_cap;
	}
	(*list)[(*count)++] = block;
	return true;
}

static bool listen_for_value(struct listening *at, struct live_block *block, uint16_t column, struct bytes constant)
{
	u128 room;
	struct value_group *group = group_get(at->listeners, column);
	if (group == NULL)
		return false;
	const struct sats_layout *layout = store_table_layout(at->listeners->table)->columns[column];
	struct bucket *bucket = bucket_get(group, subs_value_key(group->type, constant.data, layout, &room));
	if (bucket != NULL && append(&bucket->blocks, &bucket->count, &bucket->cap, block)) {
		at->group = group;
		at->bucket = bucket;
		at->index = bucket->count - 1;
		return true;
	}
	if (bucket != NULL && bucket->count == 0)
		bucket_end(group, bucket);
	if (group->buckets.count == 0)
		group_end(at->listeners, group);
	return false;
}

static bool listen(struct subs *subs, struct live_block *block, struct store_table *table)
{
	struct listening *at = &block->listenings[block->listening_count];
	uint16_t column;
	struct bytes constant;
	at->listeners = listeners_make(subs, table);
	if (at->listeners == NULL)
		return false;
	bool ok;
	if (query_block_key(block->query->query, block->index, table, &column, &constant)) {
		ok = listen_for_value(at, block, column, constant);
	} else {
		ok = append(&at->listeners->blocks, &at->listeners->count, &at->listeners->cap, block);
		at->index = at->listeners->count - 1;
	}
	if (ok) {
		at->listeners->listening++;
		block->listening_count++;
	} else if (at->listeners->listening == 0) {
		listeners_end(subs, at->listeners);
	}
	return ok;
}

/* The last of a list takes the place of one that goes. */
static void take_out(struct live_block **list, uint32_t *count, uint32_t index, const struct bucket *bucket,
	const struct listeners *listeners)
{
	struct live_block *last = list[--*count];
	list[index] = last;
	for (uint32_t i = 0; i < last->listening_count; i++) {
		struct listening *l = &last->listenings[i];
		if (l->listeners == listeners && l->bucket == bucket && l->index == *count)
			l->index = index;
	}
}

static void unlisten(struct subs *subs, struct live_block *block)
{
	while (block->listening_count > 0) {
		struct listening at = block->listenings[block->listening_count - 1];
		if (at.bucket != NULL)
			take_out(at.bucket->blocks, &at.bucket->count, at.index, at.bucket, at.listeners);
		else
			take_out(at.listeners->blocks, &at.listeners->count, at.index, NULL, at.listeners);
		block->listening_count--;
		if (at.bucket != NULL && at.bucket->count == 0)
			bucket_end(at.group, at.bucket);
		if (at.group != NULL && at.group->buckets.count == 0)
			group_end(at.listeners, at.group);
		if (--at.listeners->listening == 0)
			listeners_end(subs, at.listeners);
	}
}

bool subs_query_listen(struct subs *subs, struct live_query *query)
{
	for (uint32_t b = 0; b < query->block_count; b++) {
		struct live_block *block = &query->blocks[b];
		struct store_table *const *tables;
		uint32_t count = query_block_tables(query->query, b, &tables);
		block->query = query;
		block->index = b;
		block->is_single = query_block_is_single(query->query, b);
		block->is_key = query_block_is_key(query->query, b);
		block->hidden = query_hidden_bytes(query->query);
		block->listenings = mem_zalloc_array(count, sizeof(struct listening));
		if (block->listenings == NULL)
			return false;
		for (uint32_t t = 0; t < count; t++)
			if (!listen(subs, block, tables[t]))
				return false;
	}
	return true;
}

void subs_query_unlisten(struct subs *subs, struct live_query *query)
{
	for (uint32_t b = 0; query->blocks != NULL && b < query->block_count; b++) {
		unlisten(subs, &query->blocks[b]);
		mem_free(query->blocks[b].listenings);
		query->blocks[b].listenings = NULL;
	}
}

/* Text, a byte that no text holds, the caller: so that a caller's own queries never meet another's. */
static char *caller_key(struct str sql, const struct query_caller *caller, size_t *len)
{
	*len = sql.len + 1 + sizeof(caller->identity.le) + 1;
	char *key = mem_alloc(*len);
	if (key == NULL)
		return NULL;
	if (sql.len > 0)
		memcpy(key, sql.data, sql.len);
	key[sql.len] = (char)0xff;
	memcpy(key + sql.len + 1, caller->identity.le, sizeof(caller->identity.le));
	key[*len - 1] = caller->is_owner ? 1 : 0;
	return key;
}

/* Of the first `count` tables that the query reads. How many of them went well. */
static uint32_t tell_views(struct subs *subs, const struct query *query, uint32_t count, const struct identity *viewer,
	int change)
{
	struct store_table *const *tables;
	(void)query_tables(query, &tables);
	for (uint32_t i = 0; subs->view_fn != NULL && i < count; i++)
		if (store_table_def(tables[i])->is_ephemeral &&
			!subs->view_fn(subs->view_context, tables[i], query_view_arguments(query), viewer, change))
			return i;
	return count;
}

static uint32_t table_count(const struct query *query)
{
	struct store_table *const *tables;
	return query_tables(query, &tables);
}

static void query_free(struct subs *subs, struct live_query *query)
{
	subs_query_unlisten(subs, query);
	mem_free(query->blocks);
	query_destroy(query->query);
	mem_free(query->places);
	mem_free(query->key);
	mem_free(query);
}

/* Makes a query of a compiled one; takes both `compiled` and `key`. */
static struct live_query *query_make(struct subs *subs, struct query *compiled, const struct identity *viewer,
	char *key, size_t key_len)
{
	struct live_query *query = mem_zalloc(sizeof(*query));
	if (query == NULL) {
		query_destroy(compiled);
		mem_free(key);
		return NULL;
	}
	*query = (struct live_query){ .key = key, .key_len = key_len, .query = compiled, .viewer = *viewer, .refs = 1,
		.block_count = query_block_count(compiled) };
	query->blocks = mem_zalloc_array(query->block_count, sizeof(struct live_block));
	query->bytes = sizeof(*query) + key_len + query_bytes(compiled) +
		query->block_count * (sizeof(struct live_block) + sizeof(struct listening) + sizeof(struct bucket));
	if (query->blocks == NULL || !subs_query_listen(subs, query) ||
		!map_put(&subs->queries, key, key_len, (uintptr_t)query)) {
		query_free(subs, query);
		return NULL;
	}
	uint32_t told = tell_views(subs, compiled, table_count(compiled), viewer, 1);
	if (told < table_count(compiled)) {
		(void)tell_views(subs, compiled, told, viewer, -1);
		map_remove(&subs->queries, key, key_len);
		query_free(subs, query);
		return NULL;
	}
	subs->query_bytes += query->bytes;
	subs->stats.queries++;
	return query;
}

/* What a new live query must be beside correct. */
static enum wl_err check(struct subs *subs, const struct query *compiled, const struct query_caller *caller,
	struct buf *error)
{
	if (subs->query_bytes + query_bytes(compiled) > SUBS_QUERY_BYTES_MAX) {
		buf_printf(error, "the live queries of a database may hold at most %d bytes of memory", SUBS_QUERY_BYTES_MAX);
		return WL_ERR_LIMIT;
	}
	enum wl_err err = query_check_live(compiled, error);
	return err == WL_OK ? query_check_row_limit(compiled, subs->store, caller, error) : err;
}

enum wl_err subs_query_acquire(struct subs *subs, struct str sql, const struct query_caller *caller,
	struct live_query **out, struct buf *error)
{
	uint64_t value;
	size_t key_len;
	char *own = caller_key(sql, caller, &key_len);
	if (own == NULL)
		return WL_ERR_MEMORY;
	if (map_get(&subs->queries, sql.data, sql.len, &value) || map_get(&subs->queries, own, key_len, &value)) {
		mem_free(own);
		*out = (void *)(uintptr_t)value;
		(*out)->refs++;
		return WL_OK;
	}
	struct query *compiled;
	enum wl_err err = query_compile(subs->store, QUERY_DIALECT_SUBSCRIBE, sql, caller, &compiled, error);
	if (err != WL_OK) {
		mem_free(own);
		return err;
	}
	err = check(subs, compiled, caller, error);
	if (err != WL_OK) {
		query_destroy(compiled);
		mem_free(own);
		return err;
	}
	if (!query_depends_on_caller(compiled))
		key_len = sql.len; /* the text alone; it leads the key */
	*out = query_make(subs, compiled, &caller->identity, own, key_len);
	return *out == NULL ? WL_ERR_MEMORY : WL_OK;
}

void subs_query_release(struct subs *subs, struct live_query *query)
{
	ASSERT(query->refs > 0);
	if (--query->refs > 0)
		return;
	ASSERT(query->place_count == 0);
	map_remove(&subs->queries, query->key, query->key_len);
	(void)tell_views(subs, query->query, table_count(query->query), &query->viewer, -1);
	subs->query_bytes -= query->bytes;
	subs->stats.queries--;
	query_free(subs, query);
}
