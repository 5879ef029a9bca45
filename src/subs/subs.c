/* SPDX-License-Identifier: Apache-2.0 */
/* Clients and their query sets: subscribe, unsubscribe, one-off queries. */
#include "base/clock.h"
#include "subs/subs_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { ERROR_BYTES_MAX = 256 << 10, BODIES_BYTES_MAX = DELIVERY_BODY_BYTES_MAX, SCRATCH_BYTES_MAX = 1 << 30 };

struct subs *subs_create(struct store *store, struct outbox *outbox)
{
	struct subs *subs = mem_zalloc(sizeof(*subs));
	if (subs == NULL)
		return NULL;
	subs->store = store;
	subs->outbox = outbox;
	arena_init(&subs->scratch, SCRATCH_BYTES_MAX);
	buf_init(&subs->bodies, BODIES_BYTES_MAX);
	buf_init(&subs->offsets, BODIES_BYTES_MAX);
	buf_init(&subs->caller, BODIES_BYTES_MAX);
	buf_init(&subs->text, ERROR_BYTES_MAX);
	return subs;
}

/* What commits need besides their messages. */
static void free_lists(struct subs *subs)
{
	arena_deinit(&subs->scratch);
	arena_init(&subs->scratch, SCRATCH_BYTES_MAX);
	mem_free(subs->dirty);
	mem_free(subs->changed);
	mem_free(subs->found);
	mem_free(subs->failed);
	subs->dirty = NULL;
	subs->changed = subs->failed = NULL;
	subs->found = NULL;
	subs->dirty_count = subs->dirty_cap = subs->changed_count = subs->changed_cap = 0;
	subs->found_count = subs->found_cap = subs->failed_count = subs->failed_cap = 0;
}

void subs_destroy(struct subs *subs)
{
	if (subs == NULL)
		return;
	ASSERT(subs->stats.clients == 0 && subs->stats.queries == 0 && subs->stats.classes == 0);
	map_deinit(&subs->queries);
	map_deinit(&subs->tables);
	buf_deinit(&subs->bodies);
	buf_deinit(&subs->offsets);
	buf_deinit(&subs->caller);
	buf_deinit(&subs->text);
	free_lists(subs);
	mem_free(subs->classes);
	mem_free(subs);
}

void subs_rest(struct subs *subs)
{
	buf_deinit(&subs->bodies);
	buf_deinit(&subs->offsets);
	buf_deinit(&subs->caller);
	buf_deinit(&subs->text);
	free_lists(subs);
	if (subs->stats.classes == 0) {
		mem_free(subs->classes);
		subs->classes = NULL;
	}
}

void subs_limit_time(struct subs *subs, uint32_t ms)
{
	subs->ms_max = ms;
}

void subs_clock_start(struct subs *subs)
{
	subs->deadline = subs->ms_max == 0 ? 0 : clock_mono_nanos() + (uint64_t)subs->ms_max * 1000000u;
}

struct subs_client *subs_client_create(struct subs *subs, const struct subs_client_options *options)
{
	struct subs_client *client = mem_zalloc(sizeof(*client));
	if (client == NULL)
		return NULL;
	client->options = *options;
	snprintf(client->name, sizeof(client->name), "%s", options->name);
	client->options.name = client->name;
	subs->stats.clients++;
	return client;
}

static void set_free(struct subs *subs, struct query_set *set)
{
	for (uint32_t i = 0; i < set->count; i++)
		subs_query_release(subs, set->queries[i]);
	mem_free(set->queries);
}

void subs_client_destroy(struct subs *subs, struct subs_client *client)
{
	if (client == NULL)
		return;
	subs_class_leave(subs, client, true);
	for (uint32_t i = 0; i < client->set_count; i++)
		set_free(subs, &client->sets[i]);
	mem_free(client->sets);
	mem_free(client);
	subs->stats.clients--;
}

uint8_t subs_client_flags(const struct subs_client *client)
{
	return client->options.confirmed ? DELIVERY_CONFIRMED : 0;
}

void subs_client_lost(struct subs *subs, struct subs_client *client)
{
	(void)outbox_put(subs->outbox, client->options.loop, DELIVERY_DROP, 0, client->options.conn, 0, 0);
}

/* ---- messages to one client ---- */

static struct buf *reply_begin(struct subs *subs, const struct subs_client *client)
{
	return outbox_begin(subs->outbox, client->options.loop, DELIVERY_MESSAGE,
		DELIVERY_REPLY | subs_client_flags(client), client->options.conn, 0, 0);
}

static void send_error(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t set_id,
	struct str text)
{
	struct buf *out = reply_begin(subs, client);
	if (out != NULL)
		protocol_subscription_error(out, &request_id, set_id, text);
	if (out == NULL || !outbox_end(subs->outbox, client->options.loop))
		subs_client_lost(subs, client);
}

struct row_sink {
	struct protocol_row_list list;
	size_t end_max; /* of the message */
};

static bool add_row(void *context, const uint8_t *row, size_t len)
{
	struct row_sink *sink = context;
	protocol_rows_add(&sink->list, row, len);
	return !sink->list.out->failed && sink->list.out->len <= sink->end_max;
}

/* SingleTableRows of all rows that a block holds now. `begin`: where the message began. */
static enum wl_err put_rows(struct subs *subs, struct buf *out, size_t begin, const struct query *query, uint32_t block,
	struct buf *error)
{
	struct row_sink sink = { .end_max = begin + SUBS_INITIAL_BYTES_MAX };
	struct query_limits limits = { .deadline = subs->deadline };
	buf_put_bsatn_str(out, store_table_def(query_table(query))->name);
	protocol_rows_begin(&sink.list, out, &subs->offsets);
	enum wl_err err = query_select_block(query, block, subs->store, &limits, add_row, &sink, error);
	if (err == WL_OK && out->len > sink.end_max) {
		buf_printf(error, "the rows exceed %d bytes; add a condition", SUBS_INITIAL_BYTES_MAX);
		err = WL_ERR_LIMIT;
	}
	protocol_rows_end(&sink.list);
	if (err == WL_OK && out->failed)
		err = WL_ERR_MEMORY;
	return err;
}

/* A block that reads an empty table is left out altogether. */
static uint32_t count_nonempty(struct live_query *const *queries, uint32_t count)
{
	uint32_t nonempty = 0;
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t b = 0; b < queries[i]->block_count; b++)
			nonempty += !query_block_reads_empty(queries[i]->query, b);
	return nonempty;
}

static enum wl_err put_set_rows(struct subs *subs, struct buf *out, struct live_query *const *queries, uint32_t count,
	struct buf *error)
{
	size_t begin = out->len;
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t b = 0; b < queries[i]->block_count; b++) {
			if (query_block_reads_empty(queries[i]->query, b))
				continue;
			enum wl_err err = put_rows(subs, out, begin, queries[i]->query, b, error);
			if (err != WL_OK)
				return err;
		}
	return WL_OK;
}

/* Takes an open entry back, so that another can be sent in its place. */
static void abandon(struct subs *subs, struct subs_client *client, struct buf *out)
{
	out->failed = true;
	(void)outbox_end(subs->outbox, client->options.loop);
}

/* ---- query sets ---- */

static struct query_set *find_set(struct subs_client *client, uint32_t id, uint32_t *at)
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

static bool insert_set(struct subs_client *client, uint32_t at, struct query_set set)
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

static void remove_set(struct subs_client *client, uint32_t at)
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

struct set_builder {
	struct query_set set;
	uint32_t cap;
	struct map seen; /* queries already in the set: duplicates of one request are dropped */
};

static enum wl_err add_query(struct subs *subs, struct subs_client *client, struct set_builder *b, struct str sql)
{
	if (b->set.count + client->query_count >= SUBS_QUERIES_PER_CLIENT_MAX) {
		buf_printf(&subs->text, "a connection may hold at most %d queries", SUBS_QUERIES_PER_CLIENT_MAX);
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
	if (map_get(&b->seen, query->key, query->key_len, &known)) {
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

/* SELECT * FROM *: every user table that the caller may read, without event tables. */
static enum wl_err add_all_tables(struct subs *subs, struct subs_client *client, struct set_builder *b)
{
	for (struct store_table *t = store_table_next(subs->store, NULL); t != NULL; t = store_table_next(subs->store, t)) {
		const struct store_table_def *def = store_table_def(t);
		if (def->is_system || def->is_event || def->is_ephemeral ||
			!query_may_read(subs->store, t, &client->options.caller))
			continue;
		struct buf sql = BUF_INIT(QUERY_TEXT_MAX);
		/* Quoted, so that a name with a namespace or a keyword in it reads back as one name. */
		buf_printf(&sql, "SELECT * FROM \"%.*s\"", STR_FMT(def->name));
		enum wl_err err = sql.failed ? WL_ERR_MEMORY : add_query(subs, client, b, buf_str(&sql));
		buf_deinit(&sql);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

static enum wl_err build_set(struct subs *subs, struct subs_client *client, struct set_builder *b, uint32_t count,
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
		enum wl_err err = add_query(subs, client, b, sql);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

static enum wl_err send_applied(struct subs *subs, struct subs_client *client, uint32_t request_id,
	const struct query_set *set)
{
	struct buf *out = reply_begin(subs, client);
	if (out == NULL)
		return WL_ERR_MEMORY;
	protocol_subscribe_applied(out, request_id, set->id, count_nonempty(set->queries, set->count));
	enum wl_err err = put_set_rows(subs, out, set->queries, set->count, &subs->text);
	if (err != WL_OK) {
		abandon(subs, client, out);
		return err;
	}
	return outbox_end(subs->outbox, client->options.loop) ? WL_OK : WL_ERR_MEMORY;
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
static void sort_by_table(struct query_set *set)
{
	if (set->count > 1)
		qsort(set->queries, set->count, sizeof(struct live_query *), compare_tables);
}

static void text_of_failure(struct subs *subs, enum wl_err err)
{
	if (subs->text.len > 0 && !subs->text.failed)
		return;
	buf_clear(&subs->text);
	buf_printf(&subs->text, "Internal error: %s", wl_err_name(err));
}

void subs_subscribe(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t query_set_id,
	uint32_t query_count, struct bytes queries)
{
	uint32_t at;
	struct set_builder b = { .set = { .id = query_set_id } };
	enum wl_err err = WL_OK;
	buf_clear(&subs->text);
	subs_clock_start(subs);
	if (find_set(client, query_set_id, &at) != NULL) {
		buf_printf(&subs->text, "Subscription with id QuerySetId { id: %u } already exists for client: %s",
			query_set_id, client->name);
		err = WL_ERR_EXISTS;
	} else if (client->set_count >= SUBS_SETS_PER_CLIENT_MAX) {
		buf_printf(&subs->text, "a connection may hold at most %d subscriptions", SUBS_SETS_PER_CLIENT_MAX);
		err = WL_ERR_LIMIT;
	}
	if (err == WL_OK)
		err = build_set(subs, client, &b, query_count, queries);
	if (err == WL_OK)
		err = send_applied(subs, client, request_id, &b.set);
	map_deinit(&b.seen);
	if (err != WL_OK) {
		set_free(subs, &b.set);
		text_of_failure(subs, err);
		send_error(subs, client, request_id, query_set_id, buf_str(&subs->text));
		return;
	}
	/* The rows are on their way: from here on a failure costs the connection, not its consistency. */
	sort_by_table(&b.set);
	client->known = true;
	if (!insert_set(client, at, b.set)) {
		set_free(subs, &b.set);
		subs_client_lost(subs, client);
	} else if (!subs_class_assign(subs, client)) {
		subs_client_lost(subs, client);
	}
}

void subs_unsubscribe(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t query_set_id,
	bool send_rows)
{
	uint32_t at;
	buf_clear(&subs->text);
	subs_clock_start(subs);
	struct query_set *found = find_set(client, query_set_id, &at);
	if (found == NULL) {
		if (!client->known)
			buf_printf(&subs->text, "Client not found: %s", client->name);
		else
			buf_printf(&subs->text, "Subscription not found: (%s, QuerySetId { id: %u })", client->name, query_set_id);
		send_error(subs, client, request_id, query_set_id, buf_str(&subs->text));
		return;
	}
	struct query_set set = *found;
	struct buf *out = reply_begin(subs, client);
	enum wl_err err = out == NULL ? WL_ERR_MEMORY : WL_OK;
	if (err == WL_OK) {
		protocol_unsubscribe_applied(out, request_id, query_set_id, send_rows,
			send_rows ? count_nonempty(set.queries, set.count) : 0);
		if (send_rows)
			err = put_set_rows(subs, out, set.queries, set.count, &subs->text);
		if (err != WL_OK)
			abandon(subs, client, out);
		else if (!outbox_end(subs->outbox, client->options.loop))
			err = WL_ERR_MEMORY;
	}
	remove_set(client, at);
	if (!subs_class_assign(subs, client))
		err = WL_ERR_MEMORY;
	set_free(subs, &set);
	if (err != WL_OK)
		subs_client_lost(subs, client);
}

/* One-off queries return one entry, whatever is empty, and whatever rules apply. */
static enum wl_err put_one_off(struct subs *subs, struct subs_client *client, struct buf *out,
	const struct query *query)
{
	struct row_sink sink = { .end_max = out->len + SUBS_INITIAL_BYTES_MAX };
	struct query_limits limits = { .deadline = subs->deadline };
	enum wl_err err = query_check_row_limit(query, subs->store, &client->options.caller, &subs->text);
	if (err != WL_OK)
		return err;
	buf_put_bsatn_str(out, store_table_def(query_table(query))->name);
	protocol_rows_begin(&sink.list, out, &subs->offsets);
	for (uint32_t b = 0; err == WL_OK && b < query_block_count(query); b++)
		err = query_select_block(query, b, subs->store, &limits, add_row, &sink, &subs->text);
	if (err == WL_OK && out->len > sink.end_max) {
		buf_printf(&subs->text, "the rows exceed %d bytes; add a condition", SUBS_INITIAL_BYTES_MAX);
		err = WL_ERR_LIMIT;
	}
	protocol_rows_end(&sink.list);
	return err == WL_OK && out->failed ? WL_ERR_MEMORY : err;
}

void subs_one_off(struct subs *subs, struct subs_client *client, uint32_t request_id, struct str sql)
{
	struct query *query = NULL;
	buf_clear(&subs->text);
	subs_clock_start(subs);
	enum wl_err err = query_compile(subs->store, QUERY_DIALECT_SUBSCRIBE, sql, &client->options.caller, &query,
		&subs->text);
	struct buf *out = NULL;
	if (err == WL_OK) {
		out = reply_begin(subs, client);
		err = out == NULL ? WL_ERR_MEMORY : WL_OK;
	}
	if (err == WL_OK) {
		protocol_one_off_rows(out, request_id, 1);
		err = put_one_off(subs, client, out, query);
		if (err != WL_OK)
			abandon(subs, client, out);
	}
	query_destroy(query);
	if (err != WL_OK) {
		text_of_failure(subs, err);
		out = reply_begin(subs, client);
		if (out != NULL)
			protocol_one_off_error(out, request_id, buf_str(&subs->text));
	}
	if (out == NULL || !outbox_end(subs->outbox, client->options.loop))
		subs_client_lost(subs, client);
}

/* ---- queries that cannot be kept true ---- */

static bool holds(const struct query_set *set, const struct live_query *query)
{
	for (uint32_t i = 0; i < set->count; i++)
		if (set->queries[i] == query)
			return true;
	return false;
}

static void take_from(struct subs *subs, struct subs_client *client, const struct live_query *query, struct str text)
{
	for (uint32_t at = client->set_count; at-- > 0;) {
		if (!holds(&client->sets[at], query))
			continue;
		struct query_set set = client->sets[at];
		struct buf *out = outbox_begin(subs->outbox, client->options.loop, DELIVERY_MESSAGE, subs_client_flags(client),
			client->options.conn, 0, 0);
		if (out != NULL)
			protocol_subscription_error(out, NULL, set.id, text);
		if (out == NULL || !outbox_end(subs->outbox, client->options.loop))
			subs_client_lost(subs, client);
		remove_set(client, at);
		if (!subs_class_assign(subs, client))
			subs_client_lost(subs, client);
		set_free(subs, &set);
	}
}

void subs_query_fail(struct subs *subs, struct live_query *query, struct str text)
{
	query->refs++; /* it lives until the last holder is told */
	while (query->place_count > 0)
		take_from(subs, query->places[0].class->members, query, text);
	subs_query_release(subs, query);
}

struct subs_stats subs_stats(const struct subs *subs)
{
	return subs->stats;
}
