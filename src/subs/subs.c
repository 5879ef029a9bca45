/* SPDX-License-Identifier: Apache-2.0 */
/* Clients and their query sets: subscribe, unsubscribe, one-off queries. */
#include "base/clock.h"
#include "subs/subs_internal.h"

#include <stdio.h>

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
	buf_init(&subs->whole, BODIES_BYTES_MAX);
	buf_init(&subs->update, BODIES_BYTES_MAX);
	buf_init(&subs->json, BODIES_BYTES_MAX);
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

void subs_on_views(struct subs *subs, subs_view_fn fn, void *context)
{
	subs->view_fn = fn;
	subs->view_context = context;
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
	buf_deinit(&subs->whole);
	buf_deinit(&subs->update);
	buf_deinit(&subs->json);
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
	buf_deinit(&subs->whole);
	buf_deinit(&subs->update);
	buf_deinit(&subs->json);
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

void subs_client_destroy(struct subs *subs, struct subs_client *client)
{
	if (client == NULL)
		return;
	subs_class_leave(subs, client, true);
	for (uint32_t i = 0; i < client->set_count; i++)
		subs_set_free(subs, &client->sets[i]);
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

struct buf *subs_reply_begin(struct subs *subs, const struct subs_client *client)
{
	return outbox_begin(subs->outbox, client->options.loop, DELIVERY_MESSAGE,
		DELIVERY_REPLY | subs_client_flags(client), client->options.conn, 0, 0);
}

static void send_error(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t set_id,
	struct str text)
{
	struct buf *out = subs_reply_begin(subs, client);
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
			nonempty += !query_block_reads_empty(queries[i]->query, b, NULL);
	return nonempty;
}

static enum wl_err put_set_rows(struct subs *subs, struct buf *out, struct live_query *const *queries, uint32_t count,
	struct buf *error)
{
	size_t begin = out->len;
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t b = 0; b < queries[i]->block_count; b++) {
			if (query_block_reads_empty(queries[i]->query, b, NULL))
				continue;
			enum wl_err err = put_rows(subs, out, begin, queries[i]->query, b, error);
			if (err != WL_OK)
				return err;
		}
	return WL_OK;
}

/* Takes an open entry back, so that another can be sent in its place. */
void subs_reply_abandon(struct subs *subs, struct subs_client *client, struct buf *out)
{
	out->failed = true;
	(void)outbox_end(subs->outbox, client->options.loop);
}

void subs_text_of_failure(struct subs *subs, enum wl_err err)
{
	if (subs->text.len > 0 && !subs->text.failed)
		return;
	buf_clear(&subs->text);
	buf_printf(&subs->text, "Internal error: %s", wl_err_name(err));
}

/* What must hold before a set is made. */
static enum wl_err may_subscribe(struct subs *subs, struct subs_client *client, uint32_t id, uint32_t *at)
{
	if (subs_set_find(client, id, at) != NULL) {
		buf_printf(&subs->text, "Subscription with id QuerySetId { id: %u } already exists for client: %s", id,
			client->name);
		return WL_ERR_EXISTS;
	}
	if (client->set_count >= SUBS_SETS_PER_CLIENT_MAX) {
		buf_printf(&subs->text, "a connection may hold at most %d subscriptions", SUBS_SETS_PER_CLIENT_MAX);
		return WL_ERR_LIMIT;
	}
	return WL_OK;
}

/* The client has been told the set's rows: from here on a failure costs the connection, not its consistency. */
static bool keep_set(struct subs *subs, struct subs_client *client, struct query_set *set)
{
	uint32_t at;
	subs_set_sort(set);
	client->known = true;
	(void)subs_set_find(client, set->id, &at);
	if (subs_set_insert(client, at, *set))
		return true;
	subs_set_free(subs, set);
	return false;
}

void subs_subscribe(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t query_set_id,
	uint32_t query_count, struct bytes queries)
{
	uint32_t at;
	struct set_builder b = { .set = { .id = query_set_id } };
	struct buf *out = NULL;
	buf_clear(&subs->text);
	subs_clock_start(subs);
	enum wl_err err = may_subscribe(subs, client, query_set_id, &at);
	if (err == WL_OK)
		err = subs_set_build(subs, client, &b, query_count, queries);
	map_deinit(&b.seen);
	if (err == WL_OK) {
		out = subs_reply_begin(subs, client);
		err = out == NULL ? WL_ERR_MEMORY : WL_OK;
	}
	if (err == WL_OK) {
		protocol_subscribe_applied(out, request_id, query_set_id, count_nonempty(b.set.queries, b.set.count));
		err = put_set_rows(subs, out, b.set.queries, b.set.count, &subs->text);
		if (err != WL_OK)
			subs_reply_abandon(subs, client, out);
		else if (!outbox_end(subs->outbox, client->options.loop))
			err = WL_ERR_MEMORY;
	}
	if (err != WL_OK) {
		subs_set_free(subs, &b.set);
		subs_text_of_failure(subs, err);
		send_error(subs, client, request_id, query_set_id, buf_str(&subs->text));
	} else if (!keep_set(subs, client, &b.set) || !subs_class_assign(subs, client)) {
		subs_client_lost(subs, client);
	}
}

/* One set of a batch: its result is appended to the reply. WL_ERR_MEMORY: the reply cannot be made. */
static enum wl_err batch_set(struct subs *subs, struct subs_client *client, struct buf *out,
	const struct protocol_set *wanted)
{
	uint32_t at;
	struct set_builder b = { .set = { .id = wanted->id } };
	size_t begin = out->len;
	buf_clear(&subs->text);
	enum wl_err err = may_subscribe(subs, client, wanted->id, &at);
	if (err == WL_OK)
		err = subs_set_build(subs, client, &b, wanted->query_count, wanted->queries);
	map_deinit(&b.seen);
	if (err == WL_OK) {
		protocol_batch_rows(out, wanted->id, count_nonempty(b.set.queries, b.set.count));
		err = put_set_rows(subs, out, b.set.queries, b.set.count, &subs->text);
	}
	if (out->failed) {
		subs_set_free(subs, &b.set);
		return WL_ERR_MEMORY;
	}
	if (err == WL_OK)
		return keep_set(subs, client, &b.set) ? WL_OK : WL_ERR_MEMORY;
	subs_set_free(subs, &b.set);
	subs_text_of_failure(subs, err);
	out->len = begin;
	protocol_batch_error(out, wanted->id, buf_str(&subs->text));
	return WL_OK;
}

void subs_subscribe_batch(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t set_count,
	struct bytes sets)
{
	enum wl_err err = WL_OK;
	subs_clock_start(subs);
	struct buf *out = subs_reply_begin(subs, client);
	if (out != NULL)
		protocol_batch_applied(out, request_id, set_count);
	for (uint32_t i = 0; out != NULL && err == WL_OK && i < set_count; i++) {
		struct protocol_set wanted = protocol_next_set(&sets);
		err = batch_set(subs, client, out, &wanted);
	}
	/* Sets that were kept have been told, or the connection goes. */
	if (err != WL_OK && out != NULL)
		out->failed = true;
	if (out == NULL || !outbox_end(subs->outbox, client->options.loop) || !subs_class_assign(subs, client))
		subs_client_lost(subs, client);
}

void subs_unsubscribe(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t query_set_id,
	bool send_rows)
{
	uint32_t at;
	buf_clear(&subs->text);
	subs_clock_start(subs);
	struct query_set *found = subs_set_find(client, query_set_id, &at);
	if (found == NULL) {
		if (!client->known)
			buf_printf(&subs->text, "Client not found: %s", client->name);
		else
			buf_printf(&subs->text, "Subscription not found: (%s, QuerySetId { id: %u })", client->name, query_set_id);
		send_error(subs, client, request_id, query_set_id, buf_str(&subs->text));
		return;
	}
	struct query_set set = *found;
	struct buf *out = subs_reply_begin(subs, client);
	enum wl_err err = out == NULL ? WL_ERR_MEMORY : WL_OK;
	if (err == WL_OK) {
		protocol_unsubscribe_applied(out, request_id, query_set_id, send_rows,
			send_rows ? count_nonempty(set.queries, set.count) : 0);
		if (send_rows)
			err = put_set_rows(subs, out, set.queries, set.count, &subs->text);
		if (err != WL_OK)
			subs_reply_abandon(subs, client, out);
		else if (!outbox_end(subs->outbox, client->options.loop))
			err = WL_ERR_MEMORY;
	}
	subs_set_remove(client, at);
	if (!subs_class_assign(subs, client))
		err = WL_ERR_MEMORY;
	subs_set_free(subs, &set);
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
		out = subs_reply_begin(subs, client);
		err = out == NULL ? WL_ERR_MEMORY : WL_OK;
	}
	if (err == WL_OK) {
		protocol_one_off_rows(out, request_id, 1);
		err = put_one_off(subs, client, out, query);
		if (err != WL_OK)
			subs_reply_abandon(subs, client, out);
	}
	query_destroy(query);
	if (err != WL_OK) {
		subs_text_of_failure(subs, err);
		out = subs_reply_begin(subs, client);
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

static void tell_failure(struct subs *subs, struct subs_client *client, uint64_t set_id, struct str text)
{
	struct buf *out = outbox_begin(subs->outbox, client->options.loop, DELIVERY_MESSAGE, subs_client_flags(client),
		client->options.conn, 0, 0);
	if (out != NULL && protocol_is_v1(client->options.protocol)) {
		buf_clear(&subs->whole);
		protocol_v1_subscription_error(&subs->whole, 0, NULL, NULL, text);
		if (client->options.protocol == PROTOCOL_V1_JSON)
			protocol_v1_to_json(out, buf_bytes(&subs->whole));
		else
			buf_put(out, subs->whole.data, subs->whole.len);
	} else if (out != NULL) {
		protocol_subscription_error(out, NULL, (uint32_t)set_id, text);
	}
	if (out == NULL || !outbox_end(subs->outbox, client->options.loop))
		subs_client_lost(subs, client);
}

/* v1 has no set to name: all that the client holds goes. */
static void take_from(struct subs *subs, struct subs_client *client, const struct live_query *query, struct str text)
{
	for (uint32_t at = client->set_count; at-- > 0;) {
		bool v1 = protocol_is_v1(client->options.protocol);
		if (!v1 && !holds(&client->sets[at], query))
			continue;
		struct query_set set = client->sets[at];
		if (!v1 || at == 0)
			tell_failure(subs, client, set.id, text);
		subs_set_remove(client, at);
		if (!subs_class_assign(subs, client))
			subs_client_lost(subs, client);
		subs_set_free(subs, &set);
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
