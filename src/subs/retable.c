/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live queries over tables that become other tables: a migration, seen from
 * here.
 *
 * Compiled queries point to tables and indexes. So each is compiled again while
 * the new tables are there but not yet committed, which may fail; and put in
 * place of the old one after the commit, while the old tables still exist.
 * Nobody reads beside the executor meanwhile (subs_reading).
 */
#include "subs/subs_internal.h"

bool subs_reading(const struct subs *subs)
{
	return subs->reads != NULL;
}

/* Text and caller again: the key has them, the latter only where the result depends on it. */
static struct str text_of(const struct live_query *query, struct query_caller *caller)
{
	enum { CALLER_BYTES = 1 + 32 + 1 };
	size_t len = query->key_len;
	*caller = (struct query_caller){ .identity = query->viewer };
	if (len >= CALLER_BYTES && (uint8_t)query->key[len - CALLER_BYTES] == 0xff) {
		caller->is_owner = query->key[len - 1] != 0;
		len -= CALLER_BYTES;
	}
	return (struct str){ query->key, len };
}

static void forget_next(struct subs *subs)
{
	uint32_t cursor = 0;
	for (const struct map_entry *e; (e = map_next(&subs->queries, &cursor)) != NULL;) {
		struct live_query *query = (struct live_query *)(uintptr_t)e->value;
		query_destroy(query->next);
		query->next = NULL;
	}
}

enum wl_err subs_retable_begin(struct subs *subs, struct buf *error)
{
	uint32_t cursor = 0;
	struct buf why = BUF_INIT(1 << 20);
	enum wl_err err = WL_OK;
	for (const struct map_entry *e; err == WL_OK && (e = map_next(&subs->queries, &cursor)) != NULL;) {
		struct live_query *query = (struct live_query *)(uintptr_t)e->value;
		struct query_caller caller;
		struct str sql = text_of(query, &caller);
		buf_clear(&why);
		err = query_compile(subs->store, QUERY_DIALECT_SUBSCRIBE, sql, &caller, &query->next, &why);
		bool suits = err == WL_OK && query_check_live(query->next, &why) == WL_OK &&
			query_depends_on_caller(query->next) == query_depends_on_caller(query->query);
		if (err == WL_OK && !suits) {
			query_destroy(query->next);
			query->next = NULL;
		}
		if (err != WL_ERR_MEMORY)
			err = WL_OK; /* whoever holds it is told, afterwards */
	}
	buf_deinit(&why);
	if (err != WL_OK) {
		buf_put_cstr(error, "not enough memory for the live queries");
		forget_next(subs);
	}
	return err;
}

/* The same entries of messages, from other tables. */
static bool exchange(struct subs *subs, struct live_query *query)
{
	struct query *old = query->query;
	if (query->next == NULL || query_block_count(query->next) != query->block_count)
		return false;
	query->query = query->next;
	query->next = NULL;
	query_destroy(old);
	return subs_query_listen(subs, query);
}

static void exchange_all(struct subs *subs, struct live_query **queries, uint32_t count, struct str text)
{
	for (uint32_t i = 0; i < count; i++)
		subs_query_unlisten(subs, queries[i]);
	for (uint32_t i = 0; i < count; i++) {
		bool held = exchange(subs, queries[i]);
		query_destroy(queries[i]->next);
		queries[i]->next = NULL;
		if (!held)
			subs_query_fail(subs, queries[i], text);
	}
}

void subs_retable_end(struct subs *subs, bool committed, bool tells)
{
	uint32_t count = 0, cursor = 0;
	if (!committed || subs->queries.count == 0) {
		forget_next(subs);
		return;
	}
	struct live_query **queries = mem_alloc(subs->queries.count * sizeof(*queries));
	if (queries == NULL) { /* one by one, as they come */
		for (const struct map_entry *e; (cursor = 0, e = map_next(&subs->queries, &cursor)) != NULL;)
			subs_query_fail(subs, (struct live_query *)(uintptr_t)e->value, STR("not enough memory"));
		return;
	}
	for (const struct map_entry *e; (e = map_next(&subs->queries, &cursor)) != NULL;)
		queries[count++] = (struct live_query *)(uintptr_t)e->value;
	struct str text = tells ? STR("the module's tables have changed: subscribe again") : (struct str){ NULL, 0 };
	exchange_all(subs, queries, count, text);
	mem_free(queries);
}
