/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies made beside the executor, on a snapshot.
 *
 * A *read* makes one reply, or the same rows for all that subscribe to the same
 * queries at the same moment. Whoever waits for it is *pending*. Its life:
 *
 *   waiting --begin--> reading --end--> over
 *
 * Until it begins nothing has changed for its clients but that they wait. At
 * its beginning, between two commits, their rows are fixed, and from then on
 * what commits tell them is held: each moves to a class whose key has the read
 * in it, and whose messages are kept. Who subscribes is in such a class twice,
 * without the new sets as it is, with them as a *ghost*, since it is not known
 * yet whether the rows can be read. At the end the reply goes first, then what
 * was held, in order; then everybody moves to its class without the read.
 *
 * Invariants
 * 1. A read that has begun takes others in only while no table that it reads
 *    has changed since: what they get is what they would have read now.
 * 2. `run` touches the snapshot, compiled queries (its pendings hold them), the
 *    first pending's reply, and what is the read's own. What others join with
 *    does not change those.
 * 3. A pending lives until its read ends, whatever becomes of its client.
 */
#include "subs/subs_internal.h"

#include <stdatomic.h>

enum { TEXT_BYTES_MAX = 64 << 10, BEHIND_BYTES_MAX = 64 << 20 };

struct pending {
	struct subs_read *read;
	struct subs_client *client; /* NULL: gone */
	struct reply reply;
	struct subs_client ghost;   /* the client with its new sets, from begin to end */
	struct live_query **ghost_queries; /* of those, in order */
	bool has_ghost, is_lost;
	struct buf behind;          /* the owner's own messages: u32 flags and length, message */
	size_t behind_at;           /* of the one that is being written */
	struct pending *next;
};
struct subs_read {
	struct subs *subs;
	struct subs_read *next;
	struct pending *pendings, **last; /* the first is whom it is made for */
	uint32_t wanted;                  /* pendings whose client is there */
	bool has_begun;
	_Atomic bool *cancelled;          /* from begin to end */
	uint32_t table_count;
	struct store_table **tables;
	uint64_t *versions;               /* of the tables when it began */
	/* of run */
	struct making making;
	struct delivery_shared *body;
	uint32_t nonempty;
	enum wl_err err;
	struct buf text;
};

bool subs_client_waits(const struct subs_client *client)
{
	return client->pending != NULL;
}

/* ---- making one ---- */

static void read_free(struct subs_read *read)
{
	delivery_shared_release(read->body);
	subs_making_deinit(&read->making);
	buf_deinit(&read->text);
	mem_free(read->tables);
	mem_free(read->versions);
	mem_free(read);
}

static void add_tables(struct subs_read *read, const struct query *query)
{
	struct store_table *const *tables;
	uint32_t count = query_tables(query, &tables);
	for (uint32_t i = 0; i < count; i++) {
		bool known = false;
		for (uint32_t t = 0; !known && t < read->table_count; t++)
			known = read->tables[t] == tables[i];
		if (!known)
			read->tables[read->table_count++] = tables[i];
	}
}

static bool collect_tables(struct subs_read *read, const struct reply *reply)
{
	struct store_table *const *tables;
	size_t most = reply->query == NULL ? 0 : query_tables(reply->query, &tables);
	for (uint32_t s = 0; s < reply->set_count; s++)
		for (uint32_t q = 0; q < reply->sets[s].set.count; q++)
			most += query_tables(reply->sets[s].set.queries[q]->query, &tables);
	read->tables = mem_zalloc_array(size_max(most, 1), sizeof(struct store_table *));
	read->versions = mem_zalloc_array(size_max(most, 1), sizeof(*read->versions));
	if (read->tables == NULL || read->versions == NULL)
		return false;
	for (uint32_t s = 0; s < reply->set_count; s++)
		for (uint32_t q = 0; q < reply->sets[s].set.count; q++)
			add_tables(read, reply->sets[s].set.queries[q]->query);
	if (reply->query != NULL)
		add_tables(read, reply->query);
	return true;
}

static struct subs_read *read_make(struct subs *subs, const struct reply *reply)
{
	struct subs_read *read = mem_zalloc(sizeof(*read));
	if (read == NULL)
		return NULL;
	read->subs = subs;
	read->last = &read->pendings;
	read->err = WL_ERR_MEMORY;
	buf_init(&read->text, TEXT_BYTES_MAX);
	subs_making_init(&read->making);
	read->making.error = &read->text;
	read->body = delivery_shared_create();
	if (read->body != NULL && collect_tables(read, reply))
		return read;
	read_free(read);
	return NULL;
}

/* The pending takes the reply, once nothing can fail any more. */
static struct pending *pending_make(struct subs_client *client, struct reply *reply)
{
	struct pending *p = mem_zalloc(sizeof(*p) + reply->message_id.len);
	if (p == NULL)
		return NULL;
	p->client = client;
	p->behind = BUF_INIT(BEHIND_BYTES_MAX);
	p->reply = *reply;
	if (reply->sets == &reply->one)
		p->reply.sets = &p->reply.one;
	if (reply->message_id.len > 0)
		memcpy(p + 1, reply->message_id.data, reply->message_id.len);
	p->reply.message_id.data = (const uint8_t *)(p + 1);
	return p;
}

/* ---- sharing one ---- */

static bool same_queries(const struct query_set *a, const struct query_set *b)
{
	return a->count == b->count && (a->count == 0 ||
		memcmp(a->queries, b->queries, a->count * sizeof(struct live_query *)) == 0);
}

static bool may_join(const struct subs_read *read, const struct reply *reply)
{
	const struct reply *made = &read->pendings->reply;
	if (reply->kind != REPLY_SUBSCRIBED || made->kind != REPLY_SUBSCRIBED || read->wanted == 0 ||
		!same_queries(&made->sets[0].set, &reply->sets[0].set))
		return false;
	for (uint32_t i = 0; read->has_begun && i < read->table_count; i++)
		if (store_table_version(read->tables[i]) != read->versions[i])
			return false;
	return true;
}

static void join(struct subs_read *read, struct pending *p)
{
	p->read = read;
	p->client->pending = p;
	*read->last = p;
	read->last = &p->next;
	read->wanted++;
}

/* ---- holding ---- */

/* The client's sets and the new ones, ascending. Queries are borrowed; a request's own order is left alone. */
static bool ghost_make(struct pending *p)
{
	const struct subs_client *client = p->client;
	struct subs_client *ghost = &p->ghost;
	const struct reply *reply = &p->reply;
	uint32_t sets = client->set_count + reply->set_count, queries = 0;
	for (uint32_t i = 0; i < reply->set_count; i++)
		queries += reply->sets[i].set.count;
	p->ghost_queries = mem_alloc(queries * sizeof(struct live_query *));
	*ghost = (struct subs_client){ .options = client->options, .read = p->read, .pending = p,
		.sets = mem_zalloc_array(sets, sizeof(struct query_set)), .set_cap = sets };
	p->has_ghost = true;
	if (ghost->sets == NULL || p->ghost_queries == NULL)
		return false;
	bool replaces = reply->kind == REPLY_V1_SUBSCRIBED && reply->sets[0].set.id == SUBS_LEGACY_SET;
	for (uint32_t i = 0; i < client->set_count; i++)
		if (client->sets[i].id != SUBS_LEGACY_SET || !replaces)
			(void)subs_set_insert(ghost, ghost->set_count, client->sets[i]);
	queries = 0;
	for (uint32_t i = 0; i < reply->set_count; i++) {
		uint32_t at;
		struct query_set set = reply->sets[i].set;
		if (reply->sets[i].failed.data != NULL)
			continue;
		set.queries = p->ghost_queries + queries;
		queries += set.count;
		if (set.count > 0)
			memcpy(set.queries, reply->sets[i].set.queries, set.count * sizeof(struct live_query *));
		subs_set_sort(&set);
		(void)subs_set_find(ghost, set.id, &at);
		(void)subs_set_insert(ghost, at, set);
	}
	return true;
}

static void ghost_end(struct subs *subs, struct pending *p)
{
	if (!p->has_ghost)
		return;
	p->has_ghost = false;
	subs_class_leave(subs, &p->ghost, false);
	mem_free(p->ghost.sets);
	mem_free(p->ghost_queries);
}

static void lose(struct subs *subs, struct pending *p)
{
	p->is_lost = true;
	ghost_end(subs, p);
	subs_class_leave(subs, p->client, false);
	subs_client_lost(subs, p->client);
}

/* From now on its messages are held. */
static void hold(struct pending *p)
{
	struct subs *subs = p->read->subs;
	bool subscribes = p->reply.kind == REPLY_SUBSCRIBED || p->reply.kind == REPLY_BATCH ||
		p->reply.kind == REPLY_V1_SUBSCRIBED;
	if (p->client == NULL || p->is_lost)
		return;
	p->client->read = p->read;
	if (!subs_class_assign(subs, p->client) || (subscribes && (!ghost_make(p) || !subs_class_assign(subs, &p->ghost))))
		lose(subs, p);
}

/* ---- its life ---- */

bool subs_read_start(struct subs *subs, struct subs_client *client, struct reply *reply)
{
	ASSERT(client->pending == NULL);
	struct pending *p = pending_make(client, reply);
	if (p == NULL)
		return false;
	struct subs_read *read = subs->reads;
	while (read != NULL && !may_join(read, reply))
		read = read->next;
	if (read != NULL) {
		join(read, p);
		if (read->has_begun)
			hold(p);
		return true;
	}
	read = read_make(subs, reply);
	if (read == NULL) {
		mem_free(p);
		return false;
	}
	join(read, p);
	read->next = subs->reads;
	subs->reads = read;
	if (!subs->read_fn(subs->read_context, read))
		subs_read_end(read, false);
	return true;
}

bool subs_read_begin(struct subs_read *read, struct store_table *const **tables, uint32_t *count,
	_Atomic bool *cancelled)
{
	if (read->wanted == 0)
		return false;
	read->has_begun = true;
	read->cancelled = cancelled;
	for (uint32_t i = 0; i < read->table_count; i++)
		read->versions[i] = store_table_version(read->tables[i]);
	for (struct pending *p = read->pendings; p != NULL; p = p->next)
		hold(p);
	*tables = read->tables;
	*count = read->table_count;
	return true;
}

void subs_read_run(struct subs_read *read, struct store_snapshot *snapshot, uint64_t deadline)
{
	const struct reply *reply = &read->pendings->reply;
	read->making.limits = (struct query_limits){ .snapshot = snapshot, .deadline = deadline,
		.cancelled = read->cancelled };
	read->nonempty = subs_reply_nonempty(reply, &read->making);
	read->err = subs_reply_body(reply, &read->making, &read->body->data);
}

static void send_reply(struct subs *subs, const struct pending *p)
{
	const struct subs_client *client = p->client;
	struct buf *out = outbox_begin(subs->outbox, client->options.loop, DELIVERY_SHARED,
		DELIVERY_REPLY | subs_client_flags(client), client->options.conn, 0, 0);
	if (out != NULL)
		subs_reply_head(&p->reply, p->read->nonempty, out);
	if (out == NULL || !outbox_end_shared(subs->outbox, client->options.loop, p->read->body))
		subs_client_lost(subs, p->client);
}

static bool is_here(const struct pending *p)
{
	return p->client != NULL && !p->is_lost;
}

static void release(struct subs *subs, struct subs_class *class)
{
	if (class == NULL || class->is_released || class->read == NULL || subs_class_release(subs, class))
		return;
	for (struct subs_client *member = class->members; member != NULL; member = member->next)
		subs_client_lost(subs, member);
}

static void send_behind(struct subs *subs, const struct pending *p)
{
	struct reader r = reader_of(p->behind.data, p->behind.len);
	bool ok = !p->behind.failed;
	while (ok && reader_left(&r) > 0) {
		uint8_t flags = (uint8_t)reader_u32(&r);
		struct bytes message = reader_bsatn_bytes(&r);
		struct buf *out = outbox_begin(subs->outbox, p->client->options.loop, DELIVERY_MESSAGE, flags,
			p->client->options.conn, 0, 0);
		if (out != NULL)
			buf_put(out, message.data, message.len);
		ok = out != NULL && outbox_end(subs->outbox, p->client->options.loop);
	}
	if (!ok)
		subs_client_lost(subs, p->client);
}

static void settle(struct subs *subs, struct pending *p, enum wl_err err)
{
	struct subs_client *client = p->client;
	ghost_end(subs, p);
	if (client != NULL) {
		client->pending = NULL;
		client->read = NULL;
	}
	if (client == NULL || p->is_lost) {
		subs_reply_deinit(subs, &p->reply);
		return;
	}
	if (err != WL_OK)
		release(subs, client->class);
	send_behind(subs, p);
	buf_clear(&subs->text);
	buf_put(&subs->text, p->read->text.data, p->read->text.len);
	subs_reply_settle(subs, client, &p->reply, err);
	if (!subs_class_assign(subs, client))
		subs_client_lost(subs, client);
}

void subs_read_end(struct subs_read *read, bool was_run)
{
	struct subs *subs = read->subs;
	struct subs_read **at = &subs->reads;
	while (*at != read)
		at = &(*at)->next;
	*at = read->next;
	enum wl_err err = was_run ? read->err : WL_ERR_MEMORY;
	if (err == WL_OK && read->body->data.failed)
		err = WL_ERR_MEMORY;
	for (struct pending *p = read->pendings; err == WL_OK && p != NULL; p = p->next)
		if (is_here(p))
			send_reply(subs, p);
	for (struct pending *p = read->pendings; err == WL_OK && p != NULL; p = p->next)
		if (is_here(p))
			release(subs, p->has_ghost ? p->ghost.class : p->client->class);
	for (struct pending *p = read->pendings, *next; p != NULL; p = next) {
		next = p->next;
		settle(subs, p, err);
		buf_deinit(&p->behind);
		mem_free(p);
	}
	read_free(read);
}

void subs_client_forget_read(struct subs *subs, struct subs_client *client)
{
	struct pending *p = client->pending;
	if (p == NULL)
		return;
	struct subs_read *read = p->read;
	ghost_end(subs, p);
	p->client = NULL;
	client->pending = NULL;
	if (--read->wanted == 0 && read->cancelled != NULL)
		atomic_store_explicit(read->cancelled, true, memory_order_relaxed);
}

void subs_read_fail(struct subs *subs, struct subs_client *member)
{
	struct pending *p = member->pending;
	if (p->client != NULL && !p->is_lost)
		lose(subs, p);
}

static struct pending *held(struct subs *subs, uint64_t conn)
{
	for (struct subs_read *read = subs->reads; read != NULL; read = read->next)
		for (struct pending *p = read->has_begun ? read->pendings : NULL; p != NULL; p = p->next)
			if (is_here(p) && p->client->options.conn == conn)
				return p;
	return NULL;
}

struct buf *subs_held_begin(struct subs *subs, uint64_t conn)
{
	struct pending *p = held(subs, conn);
	if (p == NULL)
		return NULL;
	p->behind_at = p->behind.len;
	(void)buf_extend(&p->behind, 8);
	return &p->behind;
}

void subs_held_end(struct subs *subs, uint64_t conn, uint8_t flags)
{
	struct pending *p = held(subs, conn);
	if (p->behind.failed)
		return; /* found out at the end */
	store_u32(p->behind.data + p->behind_at, flags);
	store_u32(p->behind.data + p->behind_at + 4, (uint32_t)(p->behind.len - p->behind_at - 8));
}
