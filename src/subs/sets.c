/* SPDX-License-Identifier: Apache-2.0 */
/* Query sets: made of texts, kept by clients in the order of their ids. */
#include "subs/subs_internal.h"

#include <stdlib.h>

void subs_set_free(struct subs *subs, struct query_set *set)
{
	for (uint32_t i = 0; i < set->count; i++)
		subs_query_release(subs, set->queries[i]);
	mem_free(set->queries);
}

struct query_set *subs_set_find(struct subs_client *client, uint64_t id, uint32_t *at)
{
	uint32_t low = 0, high = client->set_count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (client->sets[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	*at = low;
	return low < client->set_count && client->sets[low].id == id ? &client->sets[low] : NULL;
}

bool subs_set_insert(struct subs_client *client, uint32_t at, struct query_set set)
{
	if (client->set_count == client->set_cap) {
		uint32_t cap = client->set_cap == 0 ? 2 : client->set_cap * 2;
		void *grown = mem_realloc(client->sets, cap * sizeof(set));
		if (grown == NULL)
			return false;
		client->sets = grown;
		client->set_cap = cap;
	}
	memmove(&client->sets[at + 1], &client->sets[at], (client->set_count - at) * sizeof(set));
	client->sets[at] = set;
	client->set_count++;
	client->query_count += set.count;
	client->query_bytes += set.bytes;
	return true;
}

void subs_set_remove(struct subs_client *client, uint32_t at)
{
	client->query_count -= client->sets[at].count;
	client->query_bytes -= client->sets[at].bytes;
	client->set_count--;
	memmove(&client->sets[at], &client->sets[at + 1], (client->set_count - at) * sizeof(client->sets[0]));
}

static struct str trim(struct str s)
{
	static const char space[] = " \t\n\r\v\f";
	while (s.len > 0 && strchr(space, s.data[0]) != NULL && s.data[0] != '\0')
		s = (struct str){ s.data + 1, s.len - 1 };
	while (s.len > 0 && strchr(space, s.data[s.len - 1]) != NULL && s.data[s.len - 1] != '\0')
		s.len--;
	return s;
}

enum wl_err subs_set_add(struct subs *subs, struct subs_client *client, struct set_builder *b, struct str sql)
{
	if (b->set.count + client->query_count >= subs->queries_max) {
		buf_printf(&subs->text, "a connection may hold at most %u queries", subs->queries_max);
		return WL_ERR_LIMIT;
	}
	if (b->set.count == b->cap) {
		uint32_t cap = b->cap == 0 ? 4 : b->cap * 2;
		void *grown = mem_realloc(b->set.queries, cap * sizeof(struct live_query *));
		if (grown == NULL)
			return WL_ERR_MEMORY;
		b->set.queries = grown;
		b->cap = cap;
	}
	struct live_query *query;
	enum wl_err err = subs_query_acquire(subs, sql, &client->options.caller, &query, &subs->text);
	if (err != WL_OK) {
		struct str text = str_cut(sql, QUERY_TEXT_MAX);
		buf_printf(&subs->text, ", executing: `%.*s`", STR_FMT(text));
		return err;
	}
	uint64_t known;
	if (!b->keeps_duplicates && map_get(&b->seen, query->key, query->key_len, &known)) {
		subs_query_release(subs, query);
		return WL_OK;
	}
	b->set.queries[b->set.count++] = query;
	b->set.bytes += query->bytes;
	if (client->query_bytes + b->set.bytes > SUBS_QUERY_BYTES_PER_CLIENT_MAX) {
		buf_printf(&subs->text, "the queries of a connection may hold at most %d bytes of memory",
			SUBS_QUERY_BYTES_PER_CLIENT_MAX);
		return WL_ERR_LIMIT;
	}
	return map_put(&b->seen, query->key, query->key_len, 1) ? WL_OK : WL_ERR_MEMORY;
}

static bool is_plain_name(struct str name)
{
	bool plain = !str_eq(name, STR("table")) && !str_eq(name, STR("lateral"));
	for (size_t i = 0; plain && i < name.len; i++) {
		char c = name.data[i];
		plain = c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (i > 0 && c >= '0' && c <= '9');
	}
	return plain;
}

/* SELECT * FROM *: every user table that the caller may read, without event tables. */
static enum wl_err add_all_tables(struct subs *subs, struct subs_client *client, struct set_builder *b)
{
	for (struct store_table *t = store_table_next(subs->store, NULL); t != NULL; t = store_table_next(subs->store, t)) {
		const struct store_table_def *def = store_table_def(t);
		if (def->is_system || def->is_event || query_takes_arguments(subs->store, t) ||
			!query_may_read(subs->store, t, &client->options.caller))
			continue;
		struct buf sql = BUF_INIT(QUERY_TEXT_MAX);
		/* As clients write it, so that it is the same query; a name that would not read back as one is quoted. */
		const char *quote = is_plain_name(def->name) ? "" : "\"";
		buf_printf(&sql, "SELECT * FROM %s%.*s%s", quote, STR_FMT(def->name), quote);
		enum wl_err err = sql.failed ? WL_ERR_MEMORY : subs_set_add(subs, client, b, buf_str(&sql));
		buf_deinit(&sql);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

enum wl_err subs_set_build(struct subs *subs, struct subs_client *client, struct set_builder *b, uint32_t count,
	struct bytes queries)
{
	/* All-tables texts come first, whatever their place in the request. */
	struct bytes again = queries;
	for (uint32_t i = 0; i < count; i++)
		if (query_is_all_tables(protocol_next_query(&again))) {
			enum wl_err err = add_all_tables(subs, client, b);
			if (err != WL_OK)
				return err;
			break;
		}
	for (uint32_t i = 0; i < count; i++) {
		struct str sql = protocol_next_query(&queries);
		if (query_is_all_tables(sql))
			continue;
		sql = trim(sql);
		if (sql.len == 0) {
			buf_put_cstr(&subs->text, "SubscriptionError: Empty string, executing: ``");
			return WL_ERR_INVALID;
		}
		enum wl_err err = subs_set_add(subs, client, b, sql);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

static int compare_tables(const void *a, const void *b)
{
	const struct live_query *l = *(struct live_query *const *)a, *r = *(struct live_query *const *)b;
	struct str left = store_table_def(query_table(l->query))->name;
	struct str right = store_table_def(query_table(r->query))->name;
	int order = memcmp(left.data, right.data, size_min(left.len, right.len));
	if (order != 0)
		return order;
	if (left.len != right.len)
		return left.len < right.len ? -1 : 1;
	return l < r ? -1 : l > r;
}

/* As updates list them. */
void subs_set_sort(struct query_set *set)
{
	if (set->count > 1)
		qsort(set->queries, set->count, sizeof(struct live_query *), compare_tables);
}
