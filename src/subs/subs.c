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
	buf_init(&subs->caller, BODIES_BYTES_MAX);
	buf_init(&subs->update, BODIES_BYTES_MAX);
	subs_making_init(&subs->making);
	subs->making.error = &subs->text;
	subs_limit_clients(subs, 0, 0);
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

void subs_on_reads(struct subs *subs, subs_read_fn fn, void *context)
{
	subs->read_fn = fn;
	subs->read_context = context;
}

void subs_read_always(struct subs *subs)
{
	subs->reads_always = true;
}

void subs_destroy(struct subs *subs)
{
	if (subs == NULL)
		return;
	ASSERT(subs->reads == NULL && subs->stats.clients == 0 && subs->stats.queries == 0 && subs->stats.classes == 0);
	map_deinit(&subs->queries);
	map_deinit(&subs->tables);
	buf_deinit(&subs->bodies);
	buf_deinit(&subs->caller);
	buf_deinit(&subs->update);
	subs_making_deinit(&subs->making);
	buf_deinit(&subs->text);
	free_lists(subs);
	mem_free(subs->classes);
	mem_free(subs);
}

void subs_rest(struct subs *subs)
{
	buf_deinit(&subs->bodies);
	buf_deinit(&subs->caller);
	buf_deinit(&subs->update);
	subs_making_deinit(&subs->making);
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

void subs_limit_clients(struct subs *subs, uint32_t sets, uint32_t queries)
{
	subs->sets_max = sets != 0 ? sets : SUBS_SETS_PER_CLIENT_MAX;
	subs->queries_max = queries != 0 ? queries : SUBS_QUERIES_PER_CLIENT_MAX;
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
	subs_client_forget_read(subs, client);
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
	(void)outbox_drop(subs->outbox, client->options.loop, client->options.conn);
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

/* Takes an open entry back, so that another can be sent in its place. */
void subs_reply_abandon(struct subs *subs, struct subs_client *client, struct buf *out)
{
	out->failed = true;
	(void)outbox_end(subs->outbox, client->options.loop);
}

/* What must hold before a set is made. */
static enum wl_err may_subscribe(struct subs *subs, struct subs_client *client, uint32_t id, uint32_t *at)
{
	if (subs_set_find(client, id, at) != NULL) {
		buf_printf(&subs->text, "Subscription with id QuerySetId { id: %u } already exists for client: %s", id,
			client->name);
		return WL_ERR_EXISTS;
	}
	if (client->set_count >= subs->sets_max) {
		buf_printf(&subs->text, "a connection may hold at most %u subscriptions", subs->sets_max);
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

/* ---- answering ---- */

/* The legacy set makes way for the new one. */
static void replace_legacy(struct subs *subs, struct subs_client *client)
{
	uint32_t at;
	struct query_set *old = subs_set_find(client, SUBS_LEGACY_SET, &at);
	if (old == NULL)
		return;
	struct query_set set = *old;
	subs_set_remove(client, at);
	if (!subs_class_assign(subs, client))
		subs_client_lost(subs, client);
	subs_set_free(subs, &set);
}

/* The sets are the client's from now on. */
static bool keep_sets(struct subs *subs, struct subs_client *client, struct reply *reply)
{
	bool kept = true;
	for (uint32_t i = 0; i < reply->set_count; i++) {
		struct reply_set *set = &reply->sets[i];
		if (set->failed.data != NULL)
			continue;
		if (set->set.id == SUBS_LEGACY_SET)
			replace_legacy(subs, client);
		kept = keep_set(subs, client, &set->set) && kept;
		set->set = (struct query_set){ .id = set->set.id };
	}
	return kept;
}

static void send_failure(struct subs *subs, struct subs_client *client, const struct reply *reply)
{
	struct buf *out;
	switch ((enum reply_kind)reply->kind) {
	case REPLY_SUBSCRIBED:
		send_error(subs, client, reply->request_id, (uint32_t)reply->sets[0].set.id, buf_str(&subs->text));
		return;
	case REPLY_BATCH:
		out = subs_reply_begin(subs, client);
		if (out != NULL)
			protocol_batch_applied(out, reply->request_id, reply->set_count);
		for (uint32_t i = 0; out != NULL && i < reply->set_count; i++)
			protocol_batch_error(out, (uint32_t)reply->sets[i].set.id,
				reply->sets[i].failed.data != NULL ? reply->sets[i].failed : buf_str(&subs->text));
		break;
	case REPLY_ONE_OFF:
		out = subs_reply_begin(subs, client);
		if (out != NULL)
			protocol_one_off_error(out, reply->request_id, buf_str(&subs->text));
		break;
	case REPLY_UNSUBSCRIBED:
		subs_client_lost(subs, client);
		return;
	case REPLY_V1_UNSUBSCRIBED:
		buf_clear(&subs->text);
		buf_put_cstr(&subs->text, "Internal error");
		/* fall through */
	default:
		subs_v1_send_error(subs, client, reply);
		return;
	}
	if (out == NULL || !outbox_end(subs->outbox, client->options.loop))
		subs_client_lost(subs, client);
}

void subs_reply_settle(struct subs *subs, struct subs_client *client, struct reply *reply, enum wl_err err)
{
	bool subscribes = reply->kind == REPLY_SUBSCRIBED || reply->kind == REPLY_BATCH ||
		reply->kind == REPLY_V1_SUBSCRIBED;
	bool reads_only = reply->kind == REPLY_ONE_OFF || reply->kind == REPLY_V1_ONE_OFF;
	bool ok = true;
	if (err != WL_OK) {
		subs_text_of_failure(&subs->text, err);
		send_failure(subs, client, reply);
	} else if (subscribes) { /* the client has been told: from here on a failure costs the connection */
		ok = keep_sets(subs, client, reply);
	}
	if ((err == WL_OK && subscribes) || (!subscribes && !reads_only))
		ok = subs_class_assign(subs, client) && ok;
	subs_reply_deinit(subs, reply);
	if (!ok)
		subs_client_lost(subs, client);
}

static enum wl_err answer_here(struct subs *subs, struct subs_client *client, const struct reply *reply)
{
	struct making *m = &subs->making;
	struct buf *out = subs_reply_begin(subs, client);
	if (out == NULL)
		return WL_ERR_MEMORY;
	m->limits = (struct query_limits){ .deadline = subs->deadline,
		.visits_max = subs->read_fn == NULL ? 0 : QUERY_VISITS_MAX };
	subs_reply_head(reply, subs_reply_nonempty(reply, m), out);
	enum wl_err err = subs_reply_body(reply, m, out);
	if (err != WL_OK)
		subs_reply_abandon(subs, client, out);
	else if (!outbox_end(subs->outbox, client->options.loop))
		err = WL_ERR_MEMORY;
	return err;
}

void subs_answer(struct subs *subs, struct subs_client *client, struct reply *reply)
{
	bool is_long = subs->read_fn != NULL && (subs->reads_always || subs_reply_is_long(reply));
	enum wl_err err = is_long ? WL_ERR_UNAVAILABLE : answer_here(subs, client, reply);
	if (err == WL_ERR_UNAVAILABLE) {
		if (subs_read_start(subs, client, reply))
			return;
		err = WL_ERR_MEMORY;
	}
	subs_reply_settle(subs, client, reply, err);
}

/* ---- requests ---- */

static void single_set(struct reply *reply, struct query_set set)
{
	reply->one.set = set;
	reply->sets = &reply->one;
	reply->set_count = 1;
}

void subs_subscribe(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t query_set_id,
	uint32_t query_count, struct bytes queries)
{
	uint32_t at;
	struct set_builder b = { .set = { .id = query_set_id } };
	struct reply reply = { .kind = REPLY_SUBSCRIBED, .request_id = request_id };
	buf_clear(&subs->text);
	subs_clock_start(subs);
	enum wl_err err = may_subscribe(subs, client, query_set_id, &at);
	if (err == WL_OK)
		err = subs_set_build(subs, client, &b, query_count, queries);
	map_deinit(&b.seen);
	single_set(&reply, b.set);
	if (err == WL_OK)
		subs_answer(subs, client, &reply);
	else
		subs_reply_settle(subs, client, &reply, err);
}

/* One set of a batch; those before it count as held. */
static enum wl_err batch_set(struct subs *subs, struct subs_client *client, struct reply *reply, uint32_t index,
	const struct protocol_set *wanted)
{
	uint32_t at;
	struct set_builder b = { .set = { .id = wanted->id } };
	buf_clear(&subs->text);
	enum wl_err err = may_subscribe(subs, client, wanted->id, &at);
	for (uint32_t i = 0; err == WL_OK && i < index; i++)
		if (reply->sets[i].set.id == wanted->id && reply->sets[i].failed.data == NULL) {
			buf_printf(&subs->text, "Subscription with id QuerySetId { id: %u } already exists for client: %s",
				wanted->id, client->name);
			err = WL_ERR_EXISTS;
		}
	if (err == WL_OK && client->set_count + index >= subs->sets_max) {
		buf_printf(&subs->text, "a connection may hold at most %u subscriptions", subs->sets_max);
		err = WL_ERR_LIMIT;
	}
	if (err == WL_OK)
		err = subs_set_build(subs, client, &b, wanted->query_count, wanted->queries);
	map_deinit(&b.seen);
	reply->sets[index].set = b.set;
	reply->set_count = index + 1;
	if (err == WL_OK || subs_reply_set_fails(&reply->sets[index], err, &subs->text))
		return WL_OK;
	return WL_ERR_MEMORY;
}

void subs_subscribe_batch(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t set_count,
	struct bytes sets)
{
	struct reply reply = { .kind = REPLY_BATCH, .request_id = request_id };
	uint32_t queries = client->query_count;
	size_t bytes = client->query_bytes;
	subs_clock_start(subs);
	reply.sets = mem_zalloc_array(size_max(set_count, 1), sizeof(*reply.sets));
	enum wl_err err = reply.sets == NULL ? WL_ERR_MEMORY : WL_OK;
	for (uint32_t i = 0; err == WL_OK && i < set_count; i++) {
		struct protocol_set wanted = protocol_next_set(&sets);
		err = batch_set(subs, client, &reply, i, &wanted);
		if (err == WL_OK && reply.sets[i].failed.data == NULL) { /* they count for the next one's limits */
			client->query_count += reply.sets[i].set.count;
			client->query_bytes += reply.sets[i].set.bytes;
		}
	}
	client->query_count = queries;
	client->query_bytes = bytes;
	if (err == WL_OK) {
		subs_answer(subs, client, &reply);
		return;
	}
	subs_reply_deinit(subs, &reply);
	subs_client_lost(subs, client);
}

void subs_unsubscribe(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t query_set_id,
	bool send_rows)
{
	uint32_t at;
	struct reply reply = { .kind = REPLY_UNSUBSCRIBED, .request_id = request_id, .sends_rows = send_rows };
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
	single_set(&reply, *found);
	subs_set_remove(client, at);
	subs_answer(subs, client, &reply);
}

void subs_one_off_answer(struct subs *subs, struct subs_client *client, struct reply *reply, struct str sql)
{
	enum wl_err err = query_compile(subs->store, QUERY_DIALECT_SUBSCRIBE, sql, &client->options.caller, &reply->query,
		&subs->text);
	if (err == WL_OK)
		err = query_check_row_limit(reply->query, subs->store, &client->options.caller, &subs->text);
	/* Views that nobody holds are read as they stand, empty: what the reference's clients are told. */
	if (err == WL_OK)
		subs_answer(subs, client, reply);
	else
		subs_reply_settle(subs, client, reply, err);
}

void subs_one_off(struct subs *subs, struct subs_client *client, uint32_t request_id, struct str sql)
{
	struct reply reply = { .kind = REPLY_ONE_OFF, .request_id = request_id };
	buf_clear(&subs->text);
	subs_clock_start(subs);
	subs_one_off_answer(subs, client, &reply, sql);
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
		struct buf *whole = &subs->making.whole;
		buf_clear(whole);
		protocol_v1_subscription_error(whole, 0, NULL, NULL, text);
		if (client->options.protocol == PROTOCOL_V1_JSON)
			protocol_v1_to_json(out, buf_bytes(whole));
		else
			buf_put(out, whole->data, whole->len);
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
		if (text.data != NULL && (!v1 || at == 0))
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
	while (query->place_count > 0) {
		struct subs_client *member = query->places[0].class->members;
		if (member->pending != NULL)
			subs_read_fail(subs, member);
		else
			take_from(subs, member, query, text);
	}
	subs_query_release(subs, query);
}

struct subs_stats subs_stats(const struct subs *subs)
{
	return subs->stats;
}
