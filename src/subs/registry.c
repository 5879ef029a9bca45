/* SPDX-License-Identifier: Apache-2.0 */
/* Distinct live queries, shared by all sets that hold them, and listed under the table they read. */
#include "subs/subs_internal.h"

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
	return made;
}

static bool listeners_add(struct listeners *listeners, struct live_query *query)
{
	if (listeners->count == listeners->cap) {
		uint32_t cap = listeners->cap == 0 ? 4 : listeners->cap * 2;
		void *grown = mem_realloc(listeners->queries, cap * sizeof(struct live_query *));
		if (grown == NULL)
			return false;
		listeners->queries = grown;
		listeners->cap = cap;
	}
	query->listeners = listeners;
	query->listener_index = listeners->count;
	listeners->queries[listeners->count++] = query;
	return true;
}

static void listeners_end(struct subs *subs, struct listeners *listeners)
{
	const struct store_table_def *def = store_table_def(listeners->table);
	map_remove(&subs->tables, &def->id, sizeof(def->id));
	mem_free(listeners->queries);
	mem_free(listeners);
}

static void listeners_remove(struct subs *subs, struct live_query *query)
{
	struct listeners *listeners = query->listeners;
	struct live_query *last = listeners->queries[--listeners->count];
	listeners->queries[query->listener_index] = last;
	last->listener_index = query->listener_index;
	if (listeners->count == 0)
		listeners_end(subs, listeners);
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

static void query_free(struct live_query *query)
{
	query_destroy(query->query);
	mem_free(query->places);
	mem_free(query->key);
	mem_free(query);
}

/* Makes a query of a compiled one; takes both `compiled` and `key`. */
static struct live_query *query_make(struct subs *subs, struct query *compiled, char *key, size_t key_len)
{
	struct live_query *query = mem_zalloc(sizeof(*query));
	if (query == NULL) {
		query_destroy(compiled);
		mem_free(key);
		return NULL;
	}
	*query = (struct live_query){ .key = key, .key_len = key_len, .query = compiled, .refs = 1,
		.bytes = sizeof(*query) + key_len + query_bytes(compiled) };
	struct listeners *listeners = listeners_make(subs, query_table(compiled));
	if (listeners == NULL || !listeners_add(listeners, query)) {
		if (listeners != NULL && listeners->count == 0)
			listeners_end(subs, listeners);
		query_free(query);
		return NULL;
	}
	if (!map_put(&subs->queries, key, key_len, (uintptr_t)query)) {
		listeners_remove(subs, query);
		query_free(query);
		return NULL;
	}
	subs->query_bytes += query->bytes;
	subs->stats.queries++;
	return query;
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
	if (subs->query_bytes + query_bytes(compiled) > SUBS_QUERY_BYTES_MAX) {
		buf_printf(error, "the live queries of a database may hold at most %d bytes of memory", SUBS_QUERY_BYTES_MAX);
		query_destroy(compiled);
		mem_free(own);
		return WL_ERR_LIMIT;
	}
	if (!query_depends_on_caller(compiled))
		key_len = sql.len; /* the text alone; it leads the key */
	*out = query_make(subs, compiled, own, key_len);
	return *out == NULL ? WL_ERR_MEMORY : WL_OK;
}

void subs_query_release(struct subs *subs, struct live_query *query)
{
	ASSERT(query->refs > 0);
	if (--query->refs > 0)
		return;
	ASSERT(query->place_count == 0);
	map_remove(&subs->queries, query->key, query->key_len);
	listeners_remove(subs, query);
	subs->query_bytes -= query->bytes;
	subs->stats.queries--;
	query_free(query);
}
