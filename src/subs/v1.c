/* SPDX-License-Identifier: Apache-2.0 */
/*
 * v1: its subscriptions and updates.
 *
 * A client has one legacy set, which each legacy subscribe replaces, and sets
 * with ids. Only queries that are new to a client are told when several are
 * subscribed to, and only those that it holds no more when it unsubscribes. An
 * update has one entry a table, and one update in it for each distinct query
 * that changed: what several sets with ids hold is told once, what the legacy
 * set holds besides is told again.
 *
 * Everything is made as BSATN, with rows as texts where the client wants JSON,
 * and translated as a whole (protocol/v1_json.c).
 */
#include "base/clock.h"
#include "subs/subs_internal.h"

enum { QU_UNCOMPRESSED, BSATN = 0, JSON = 1, WHOLE_BYTES_MAX = DELIVERY_BODY_BYTES_MAX };

static bool is_json(const struct subs_client *client)
{
	return client->options.protocol == PROTOCOL_V1_JSON;
}

/* ---- rows ---- */

/* A list of rows in either form, counted. */
struct list {
	bool json;
	struct protocol_row_list rows;
	const struct sats_type *type;
	struct buf *out, *text;
	size_t count_at, end_max;
	uint32_t count;
};

static void list_begin(struct making *m, struct list *list, struct buf *out, const struct sats_type *type, bool json)
{
	*list = (struct list){ .json = json, .type = type, .out = out, .text = &m->json, .count_at = out->len,
		.end_max = SIZE_MAX };
	if (json)
		buf_put_u32(out, 0);
	else
		protocol_rows_begin(&list->rows, out, &m->offsets);
}

static void list_add(struct list *list, const uint8_t *row, size_t len, enum sats_json_shape shape)
{
	list->count++;
	if (!list->json) {
		protocol_rows_add(&list->rows, row, len);
		return;
	}
	buf_clear(list->text);
	(void)sats_json_write(list->text, list->type, NULL, row, shape);
	buf_put_bsatn_bytes(list->out, list->text->data, list->text->len);
	list->out->failed = list->out->failed || list->text->failed;
}

static void list_end(struct list *list)
{
	if (!list->json)
		protocol_rows_end(&list->rows);
	else if (!list->out->failed)
		store_u32(list->out->data + list->count_at, list->count);
}

static void list_nothing(struct buf *out, bool json)
{
	if (json)
		buf_put_u32(out, 0);
	else
		protocol_rows_empty(out);
}

/* ---- updates ---- */

static uint32_t put_changes(struct subs *subs, struct buf *out, const struct live_block *block,
	const struct row_changes *changes, const struct store_delta_rows *whole, bool json)
{
	struct list list;
	list_begin(&subs->making, &list, out, query_row_type(block->query->query), json);
	for (uint32_t i = 0; whole != NULL && i < whole->count; i++) {
		struct bytes row = store_delta_row(whole, i);
		list_add(&list, row.data, row.len, SATS_JSON_UNTYPED);
	}
	for (const struct row_change *c = whole == NULL ? changes->first : NULL; c != NULL; c = c->next)
		for (uint32_t i = 0; i < c->copies; i++)
			list_add(&list, c->row.data, c->row.len, SATS_JSON_UNTYPED);
	list_end(&list);
	return list.count;
}

/* How many rows a block's update has; the update itself in subs->bodies, made once a form. */
static uint64_t encode(struct subs *subs, struct live_block *block, bool json)
{
	uint64_t rows = block->whole != NULL ? (uint64_t)block->whole->inserts.count + block->whole->deletes.count
		: (uint64_t)block->inserts.count + block->deletes.count;
	if (block->v1_len[json] > 0)
		return rows;
	struct buf *out = &subs->bodies;
	block->v1_at[json] = out->len;
	if (!json)
		buf_put_u8(out, QU_UNCOMPRESSED);
	(void)put_changes(subs, out, block, &block->deletes, block->whole != NULL ? &block->whole->deletes : NULL, json);
	(void)put_changes(subs, out, block, &block->inserts, block->whole != NULL ? &block->whole->inserts : NULL, json);
	block->v1_len[json] = out->len - block->v1_at[json];
	return rows;
}

static void put_table_head(struct buf *out, const struct store_table *table)
{
	buf_put_u32(out, store_table_def(table)->id);
	buf_put_bsatn_str(out, store_table_def(table)->name);
	buf_put_u64(out, 0); /* rows and updates: patched */
	buf_put_u32(out, 0);
}

/* The entry of one table: all queries of the class on it that changed and have not been told in this message. */
static bool put_table(struct subs *subs, struct buf *out, const struct subs_class *class, uint32_t from)
{
	bool json = class->protocol == PROTOCOL_V1_JSON;
	const struct store_table *table = query_table(class->entries[from].query->query);
	uint64_t rows = 0;
	uint32_t updates = 0;
	size_t head = out->len;
	put_table_head(out, table);
	size_t counts = out->len - 12;
	for (uint32_t i = from; i < class->entry_count; i++) {
		struct live_query *query = class->entries[i].query;
		bool legacy = class->entries[i].set_id == SUBS_LEGACY_SET;
		if (query->epoch != subs->epoch || query->mark[legacy] == subs->mark || query_table(query->query) != table)
			continue;
		query->mark[legacy] = subs->mark;
		for (uint32_t b = 0; b < query->block_count; b++) {
			if (!subs_block_changed(subs, &query->blocks[b]))
				continue;
			rows += encode(subs, &query->blocks[b], json);
			buf_put(out, subs->bodies.data + query->blocks[b].v1_at[json], query->blocks[b].v1_len[json]);
			out->failed = out->failed || subs->bodies.failed;
			updates++;
		}
	}
	if (updates == 0) {
		out->len = out->failed ? out->len : head;
		return false;
	}
	if (!out->failed) {
		store_u64(out->data + counts, rows);
		store_u32(out->data + counts + 8, updates);
	}
	return true;
}

void subs_v1_put_update(struct subs *subs, struct buf *out, const struct subs_class *class)
{
	size_t count_at = out->len;
	uint32_t tables = 0;
	subs->mark++;
	buf_put_u32(out, 0);
	for (uint32_t i = 0; i < class->entry_count && !out->failed; i++) {
		const struct live_query *query = class->entries[i].query;
		bool legacy = class->entries[i].set_id == SUBS_LEGACY_SET;
		if (query->epoch == subs->epoch && query->mark[legacy] != subs->mark)
			tables += put_table(subs, out, class, i);
	}
	if (!out->failed)
		store_u32(out->data + count_at, tables);
}

struct bytes subs_event_args(struct subs *subs, const struct subs_event *event, bool json)
{
	if (!json)
		return event->call.args;
	if (event->args_json.len > 0 || event->params == NULL)
		return event->args_json.len > 0 ? (struct bytes){ (const uint8_t *)event->args_json.data, event->args_json.len }
			: (struct bytes){ (const uint8_t *)"[]", 2 };
	buf_clear(&subs->making.json);
	(void)sats_json_write(&subs->making.json, event->params, event->space, event->call.args.data, SATS_JSON_UNTYPED);
	return buf_bytes(&subs->making.json);
}

void subs_v1_put_message(struct subs *subs, struct buf *out, const struct subs_class *class, struct bytes update,
	const struct subs_event *event)
{
	static const struct subs_event none = { .call.reducer_id = UINT32_MAX };
	bool json = class->protocol == PROTOCOL_V1_JSON;
	struct buf *whole = json ? &subs->making.whole : out;
	if (update.data == NULL) {
		buf_clear(&subs->update);
		subs_v1_put_update(subs, &subs->update, class);
		update = buf_bytes(&subs->update);
		out->failed = out->failed || subs->update.failed;
	}
	event = event != NULL ? event : &none;
	buf_clear(&subs->making.whole);
	if (class->is_full) {
		struct protocol_v1_event call = event->call;
		call.args = subs_event_args(subs, event, json);
		protocol_v1_transaction_update(whole, V1_COMMITTED, update, &call);
	} else {
		protocol_v1_light_update(whole, event->call.request_id, update);
	}
	out->failed = out->failed || whole->failed;
	if (json && !out->failed)
		protocol_v1_to_json(out, buf_bytes(whole));
}

/* ---- replies ---- */

static int64_t micros_since(uint64_t nanos)
{
	return (int64_t)((clock_mono_nanos() - nanos) / 1000);
}

/* What m->whole holds, in the client's form. */
static void put_whole(struct making *m, struct buf *out, bool json)
{
	if (json && !m->whole.failed)
		protocol_v1_to_json(out, buf_bytes(&m->whole));
	else if (!m->whole.failed)
		buf_put(out, m->whole.data, m->whole.len);
	out->failed = out->failed || m->whole.failed;
}

static bool add_row(void *context, const uint8_t *row, size_t len)
{
	struct list *list = context;
	list_add(list, row, len, SATS_JSON_ROW);
	return !list->out->failed && list->out->len <= list->end_max;
}

static enum wl_err check_size(struct making *m, const struct buf *out, enum wl_err err)
{
	if (err == WL_OK && out->len > SUBS_INITIAL_BYTES_MAX) {
		buf_printf(m->error, "the rows exceed %d bytes; add a condition", SUBS_INITIAL_BYTES_MAX);
		return WL_ERR_LIMIT;
	}
	return err == WL_OK && out->failed ? WL_ERR_MEMORY : err;
}

/* One block's rows as an update's inserts or deletes. */
static enum wl_err put_block(struct making *m, struct buf *out, const struct query *query, uint32_t block, bool json,
	bool as_deletes, uint32_t *count)
{
	struct list list;
	if (!json)
		buf_put_u8(out, QU_UNCOMPRESSED);
	if (!as_deletes)
		list_nothing(out, json);
	list_begin(m, &list, out, query_row_type(query), json);
	list.end_max = SUBS_INITIAL_BYTES_MAX;
	enum wl_err err = query_select_block(query, block, NULL, &m->limits, add_row, &list, m->error);
	list_end(&list);
	if (as_deletes)
		list_nothing(out, json);
	*count = list.count;
	return check_size(m, out, err);
}

/* A query's TableUpdate: an update for each of its blocks. `sparse`: without those that read an empty table. */
static enum wl_err put_query(struct making *m, struct buf *out, const struct query *query, bool json, bool as_deletes,
	bool sparse, uint32_t *tables)
{
	uint64_t rows = 0;
	uint32_t updates = 0;
	size_t head = out->len;
	put_table_head(out, query_table(query));
	size_t counts = out->len - 12;
	for (uint32_t b = 0; b < query_block_count(query); b++) {
		uint32_t count;
		if (sparse && query_block_reads_empty(query, b, m->limits.snapshot))
			continue;
		enum wl_err err = put_block(m, out, query, b, json, as_deletes, &count);
		if (err != WL_OK)
			return err;
		rows += count;
		updates++;
	}
	if (updates == 0) {
		out->len = head;
		return WL_OK;
	}
	store_u64(out->data + counts, rows);
	store_u32(out->data + counts + 8, updates);
	*tables += 1;
	return WL_OK;
}

/* The rows of a set into m->body: a DatabaseUpdate, or one table with id and name in front. */
static enum wl_err put_set(const struct reply *reply, struct making *m, bool single, bool as_deletes)
{
	struct buf *out = &m->body;
	uint32_t tables = 0;
	if (single) {
		const struct query *query = reply->sets[0].set.queries[0]->query;
		const struct store_table_def *def = store_table_def(query_table(query));
		buf_put_u32(out, def->id);
		buf_put_bsatn_str(out, def->name);
		return put_query(m, out, query, reply->is_json, as_deletes, false, &tables);
	}
	buf_put_u32(out, 0);
	for (uint32_t i = 0; i < reply->told_count; i++) {
		enum wl_err err = put_query(m, out, reply->told[i]->query, reply->is_json, as_deletes, true, &tables);
		if (err != WL_OK)
			return err;
	}
	if (out->failed)
		return WL_ERR_MEMORY;
	store_u32(out->data, tables);
	return WL_OK;
}

static enum wl_err put_one_off(const struct reply *reply, struct making *m)
{
	struct buf *out = &m->body;
	struct list list;
	enum wl_err err = WL_OK;
	buf_put_bsatn_str(out, store_table_def(query_table(reply->query))->name);
	list_begin(m, &list, out, query_row_type(reply->query), reply->is_json);
	list.end_max = SUBS_INITIAL_BYTES_MAX;
	for (uint32_t b = 0; err == WL_OK && b < query_block_count(reply->query); b++)
		err = query_select_block(reply->query, b, NULL, &m->limits, add_row, &list, m->error);
	list_end(&list);
	return check_size(m, out, err);
}

enum wl_err subs_v1_reply_body(const struct reply *reply, struct making *m, struct buf *out)
{
	enum protocol_v1_kind kind = (enum protocol_v1_kind)reply->v1_kind;
	bool single = kind == V1_SUBSCRIBE_SINGLE || kind == V1_UNSUBSCRIBE;
	buf_clear(&m->body);
	buf_clear(&m->whole);
	enum wl_err err = kind == V1_ONE_OFF_QUERY ? put_one_off(reply, m)
		: put_set(reply, m, single, reply->kind == REPLY_V1_UNSUBSCRIBED);
	if (err != WL_OK)
		return err;
	if (kind == V1_ONE_OFF_QUERY)
		protocol_v1_one_off(&m->whole, reply->message_id, NULL, 1, buf_bytes(&m->body), micros_since(reply->begin));
	else if (kind == V1_SUBSCRIBE)
		protocol_v1_initial_subscription(&m->whole, reply->request_id, buf_bytes(&m->body), micros_since(reply->begin));
	else
		protocol_v1_applied(&m->whole, kind, reply->request_id, micros_since(reply->begin), reply->set_id,
			buf_bytes(&m->body));
	put_whole(m, out, reply->is_json);
	return out->failed ? WL_ERR_MEMORY : WL_OK;
}

void subs_v1_send_error(struct subs *subs, struct subs_client *client, const struct reply *reply)
{
	struct buf *out = subs_reply_begin(subs, client), *whole = &subs->making.whole;
	struct str text = buf_str(&subs->text);
	buf_clear(whole);
	if (reply->v1_kind == V1_ONE_OFF_QUERY)
		protocol_v1_one_off(whole, reply->message_id, &text, 0, (struct bytes){ NULL, 0 }, micros_since(reply->begin));
	else
		protocol_v1_subscription_error(whole, micros_since(reply->begin), &reply->request_id,
			reply->v1_kind == V1_SUBSCRIBE ? NULL : &reply->set_id, text);
	if (out != NULL)
		put_whole(&subs->making, out, is_json(client));
	if (out == NULL || !outbox_end(subs->outbox, client->options.loop))
		subs_client_lost(subs, client);
}

/* ---- requests ---- */

static struct reply reply_to(struct subs *subs, const struct subs_client *client,
	const struct protocol_v1_message *message, enum reply_kind kind)
{
	buf_clear(&subs->text);
	subs_clock_start(subs);
	return (struct reply){ .kind = (uint8_t)kind, .v1_kind = message->kind, .is_json = is_json(client),
		.request_id = message->request_id, .set_id = message->query_id, .message_id = message->message_id,
		.begin = clock_mono_nanos() };
}

static bool holds_elsewhere(const struct subs_client *client, const struct live_query *query, uint64_t set_id)
{
	for (uint32_t s = 0; s < client->set_count; s++) {
		const struct query_set *set = &client->sets[s];
		if (set->id == set_id || set->id == SUBS_LEGACY_SET)
			continue;
		for (uint32_t q = 0; q < set->count; q++)
			if (set->queries[q] == query)
				return true;
	}
	return false;
}

static enum wl_err choose_told(const struct subs_client *client, struct reply *reply)
{
	const struct query_set *set = &reply->sets[0].set;
	reply->told = mem_alloc(set->count * sizeof(struct live_query *));
	if (reply->told == NULL)
		return WL_ERR_MEMORY;
	for (uint32_t i = 0; i < set->count; i++)
		if (set->id == SUBS_LEGACY_SET || !holds_elsewhere(client, set->queries[i], set->id))
			reply->told[reply->told_count++] = set->queries[i];
	return WL_OK;
}

static enum wl_err refuse_events(struct subs *subs, const struct query_set *set)
{
	for (uint32_t i = 0; i < set->count; i++)
		if (store_table_def(query_table(set->queries[i]->query))->is_event) {
			buf_put_cstr(&subs->text, "Subscribing to event tables requires WebSocket v2. Please upgrade your client "
				"SDK and regenerate your module bindings.");
			return WL_ERR_INVALID;
		}
	return WL_OK;
}

static enum wl_err build(struct subs *subs, struct subs_client *client, struct set_builder *b,
	const struct protocol_v1_message *message)
{
	uint32_t at;
	bool legacy = message->kind == V1_SUBSCRIBE;
	if (!legacy && subs_set_find(client, message->query_id, &at) != NULL) {
		buf_printf(&subs->text, "Subscription with id QuerySetId { id: %u } already exists for client: %s",
			message->query_id, client->name);
		return WL_ERR_EXISTS;
	}
	if (client->set_count >= subs->sets_max) {
		buf_printf(&subs->text, "a connection may hold at most %u subscriptions", subs->sets_max);
		return WL_ERR_LIMIT;
	}
	enum wl_err err;
	if (message->kind == V1_SUBSCRIBE_SINGLE) { /* as it was written */
		struct bytes queries = message->queries;
		struct str sql = protocol_next_query(&queries);
		if (sql.len == 0) {
			buf_put_cstr(&subs->text, "SubscriptionError: Empty string, executing: ``");
			return WL_ERR_INVALID;
		}
		err = subs_set_add(subs, client, b, sql);
	} else {
		err = subs_set_build(subs, client, b, message->query_count, message->queries);
	}
	return err == WL_OK && !legacy ? refuse_events(subs, &b->set) : err;
}

void subs_v1_subscribe(struct subs *subs, struct subs_client *client, const struct protocol_v1_message *message)
{
	bool legacy = message->kind == V1_SUBSCRIBE;
	struct set_builder b = { .set = { .id = legacy ? SUBS_LEGACY_SET : message->query_id },
		.keeps_duplicates = legacy };
	struct reply reply = reply_to(subs, client, message, REPLY_V1_SUBSCRIBED);
	enum wl_err err = build(subs, client, &b, message);
	map_deinit(&b.seen);
	reply.one.set = b.set;
	reply.sets = &reply.one;
	reply.set_count = 1;
	if (err == WL_OK)
		err = choose_told(client, &reply);
	if (err == WL_OK)
		subs_answer(subs, client, &reply);
	else
		subs_reply_settle(subs, client, &reply, err);
}

void subs_v1_unsubscribe(struct subs *subs, struct subs_client *client, const struct protocol_v1_message *message)
{
	uint32_t at;
	bool single = message->kind == V1_UNSUBSCRIBE;
	struct reply reply = reply_to(subs, client, message, REPLY_V1_UNSUBSCRIBED);
	struct query_set *found = subs_set_find(client, message->query_id, &at);
	if (found == NULL) {
		if (!client->known)
			buf_printf(&subs->text, "Client not found: %s", client->name);
		else
			buf_printf(&subs->text, "Subscription not found: (%s, QuerySetId { id: %u })", client->name,
				message->query_id);
		subs_v1_send_error(subs, client, &reply);
		return;
	}
	reply.one.set = *found;
	reply.sets = &reply.one;
	reply.set_count = 1;
	subs_set_remove(client, at);
	bool told = !single || (reply.one.set.count == 1 && !holds_elsewhere(client, reply.one.set.queries[0],
		reply.one.set.id));
	enum wl_err err = told ? choose_told(client, &reply) : WL_ERR_INVALID;
	if (err == WL_OK)
		subs_answer(subs, client, &reply);
	else
		subs_reply_settle(subs, client, &reply, err);
}

void subs_v1_one_off(struct subs *subs, struct subs_client *client, const struct protocol_v1_message *message)
{
	struct reply reply = reply_to(subs, client, message, REPLY_V1_ONE_OFF);
	subs_one_off_answer(subs, client, &reply, message->text);
}
