/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients: connecting and disconnecting with their system rows and lifecycle
 * reducers, and what their messages ask for.
 */
#include "base/clock.h"
#include "base/log.h"
#include "database/database_internal.h"

#include <stdio.h>

enum { KEPT_BYTES_MAX = 64 << 20 }; /* of messages behind a request that takes long */

static void let_go(struct database *db, struct database_client *client);

/* ---- system rows ---- */

static enum store_status insert_row(struct database *db, uint32_t table_id, struct buf *row)
{
	size_t len = row->len;
	struct store_table *table = store_table_by_id(db->store, table_id);
	ASSERT(table != NULL);
	if (row->failed)
		return STORE_MEMORY;
	return store_insert(db->store, table, row->data, &len, NULL);
}

static enum store_status insert_client_rows(struct database *db, const struct database_caller *caller)
{
	struct buf row = BUF_INIT(1 << 20);
	buf_put(&row, caller->identity.le, sizeof(caller->identity.le));
	buf_put(&row, caller->connection.le, sizeof(caller->connection.le));
	/* The same client twice under one connection id and token is no conflict: the rows are equal. */
	enum store_status status = insert_row(db, ST_CLIENT, &row);
	if (status == STORE_OK) {
		buf_clear(&row);
		buf_put(&row, caller->connection.le, sizeof(caller->connection.le));
		buf_put_bsatn_str(&row, caller->jwt_payload);
		status = insert_row(db, ST_CONNECTION_CREDENTIALS, &row);
	}
	buf_deinit(&row);
	return status;
}

static struct store_index *client_index(struct database *db, const struct database_caller *caller, uint8_t key[48])
{
	memcpy(key, caller->identity.le, 32);
	memcpy(key + 32, caller->connection.le, 16);
	return store_index_by_name(db->store, STR("st_client_identity_connection_id_idx_btree"));
}

static bool has_client_row(struct database *db, const struct database_caller *caller)
{
	uint8_t key[48];
	struct store_cursor cursor;
	struct store_row row;
	return store_scan_point(client_index(db, caller, key), key, sizeof(key), &cursor) == STORE_OK &&
		store_cursor_next(&cursor, &row);
}

static bool delete_client_rows(struct database *db, const struct database_caller *caller)
{
	uint8_t key[48];
	uint32_t deleted;
	struct store_index *clients = client_index(db, caller, key);
	struct store_index *tokens = store_index_by_name(db->store,
		STR("st_connection_credentials_connection_id_idx_btree"));
	ASSERT(clients != NULL && tokens != NULL);
	return store_delete_point(db->store, clients, key, sizeof(key), &deleted) == STORE_OK &&
		store_delete_point(db->store, tokens, key + 32, 16, &deleted) == STORE_OK;
}

/* ---- lifecycle ---- */

static bool lifecycle_call(struct database *db, enum module_lifecycle which, const struct database_caller *caller,
	struct db_call *call)
{
	uint32_t id = db->module.info->lifecycle[which];
	if (id == MODULE_NO_INDEX)
		return false;
	*call = (struct db_call){ .function = &db->module.info->reducers[id], .id = id, .caller = *caller,
		.micros = db_now(db) };
	return true;
}

enum wl_err db_connect(struct database *db, const struct database_caller *caller, struct buf *why)
{
	struct db_call call;
	struct str text;
	uint64_t nanos;
	if (!db_departed_reserve(db) || !db_departed_settle(db, caller)) {
		buf_put_cstr(why, "not enough memory, or space on the disk, to let a client in");
		return WL_ERR_MEMORY;
	}
	db_begin(db);
	if (insert_client_rows(db, caller) != STORE_OK) {
		buf_put_str(why, store_error_text(db->store));
		db_rollback(db);
		return WL_ERR_EXISTS;
	}
	bool has_reducer = lifecycle_call(db, MODULE_ON_CONNECT, caller, &call);
	if (has_reducer) {
		enum runtime_outcome outcome = db_run_reducer(db, &call, &text, &nanos);
		if (outcome != RUNTIME_OK) {
			bool exhausted = outcome == RUNTIME_EXHAUSTED;
			buf_put_str(why, exhausted ? STR(DATABASE_EXHAUSTED_TEXT)
				: outcome == RUNTIME_USER_ERROR || outcome == RUNTIME_TIMEOUT ? text : STR(RUNTIME_FATAL_TEXT));
			db_rollback(db);
			return exhausted ? WL_ERR_LIMIT : WL_ERR_DENIED;
		}
	}
	/* Without a reducer nobody is told: the row alone is not news. */
	return db_commit(db, has_reducer ? call.micros : db_now(db), has_reducer ? call.id : REDUCER_NAME_UNKNOWN, NULL,
		has_reducer, NULL, why);
}

/* Removes the rows in the open transaction and commits it. */
static bool commit_gone(struct database *db, const struct database_caller *caller, int64_t micros, uint32_t reducer,
	struct buf *why)
{
	if (delete_client_rows(db, caller))
		return db_commit(db, micros, reducer, NULL, true, NULL, why) == WL_OK;
	buf_put_str(why, store_error_text(db->store));
	db_rollback(db);
	return false;
}

/* True: its reducer has run, or has failed by itself. Then the transaction that removes the rows is open. */
static bool run_disconnected(struct database *db, const struct db_call *call)
{
	struct str text;
	uint64_t nanos, refused = mem_stats().refused;
	db_begin(db);
	if (db_run_reducer(db, call, &text, &nanos) == RUNTIME_OK)
		return true;
	db_rollback(db);
	if (mem_stats().refused != refused)
		return false;
	store_tx_begin(db->store);
	return true;
}

bool db_disconnect_now(struct database *db, const struct database_caller *caller)
{
	struct db_call call;
	struct buf why = BUF_INIT(ERROR_TEXT_BYTES_MAX);
	bool done;
	if (!has_client_row(db, caller))
		return true; /* somebody else's end took it away */
	if (lifecycle_call(db, MODULE_ON_DISCONNECT, caller, &call)) {
		done = run_disconnected(db, &call) && commit_gone(db, caller, call.micros, call.id, &why);
	} else {
		db_begin(db);
		done = commit_gone(db, caller, db_now(db), REDUCER_NAME_UNKNOWN, &why);
	}
	if (!done)
		log_debug("a client's rows could not be removed: %s", buf_text(&why));
	buf_deinit(&why);
	return done;
}

void db_disconnect(struct database *db, const struct database_caller *caller)
{
	if (!db_disconnect_now(db, caller) && !database_failed(db))
		db_departed_add(db, caller);
}

/* ---- clients that are cut off ---- */

static struct database_client *find_client(struct database_client *list, uint64_t conn)
{
	while (list != NULL && list->conn != conn)
		list = list->next;
	return list;
}

void db_client_lost(void *context, uint32_t loop, uint64_t conn)
{
	struct database *db = context;
	struct database_client *client = find_client(db->clients, conn);
	(void)loop;
	if (client == NULL)
		client = find_client(db->refused, conn);
	if (client != NULL)
		client->is_lost = true; /* otherwise it is gone, or about to be */
}

bool db_clients_drop_lost(void *context, uint32_t loop)
{
	struct database *db = context;
	struct database_client *lists[] = { db->clients, db->refused };
	for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
		for (struct database_client *client = lists[i]; client != NULL; client = client->next)
			if (client->is_lost && client->loop == loop) {
				client->is_lost = false;
				if (!outbox_drop(db->outbox, loop, client->conn))
					return false;
			}
	return true;
}

static void list_put(struct database_client **list, struct database_client *client)
{
	client->next = *list;
	client->link = list;
	if (client->next != NULL)
		client->next->link = &client->next;
	*list = client;
}

static void list_take(struct database_client *client)
{
	*client->link = client->next;
	if (client->next != NULL)
		client->next->link = client->link;
	client->link = NULL;
}

/* It was never let in. */
static void refuse(struct database *db, struct database_client *client)
{
	list_put(&db->refused, client);
	(void)outbox_drop(db->outbox, client->loop, client->conn);
}

/* ---- network clients ---- */

struct database_client *database_client_create(struct database *db, const struct database_client_options *options)
{
	struct database_client *client = mem_zalloc(sizeof(*client));
	if (client == NULL)
		return NULL;
	(void)db;
	*client = (struct database_client){ .caller = options->caller, .conn = options->conn, .loop = options->loop,
		.protocol = options->protocol, .compression = options->compression, .confirmed = options->confirmed,
		.light = options->light, .on_gone = options->on_gone, .gone_context = options->gone_context };
	client->jwt_payload = mem_strdup(options->caller.jwt_payload);
	client->token = mem_strdup(options->token);
	client->token_len = options->token.len;
	if (client->jwt_payload == NULL || client->token == NULL) {
		mem_free(client->jwt_payload);
		mem_free(client->token);
		mem_free(client);
		return NULL;
	}
	client->caller.jwt_payload.data = client->jwt_payload;
	return client;
}

static void client_free(struct database *db, struct database_client *client)
{
	subs_client_destroy(db->subs, client->subs);
	if (client->on_gone != NULL)
		client->on_gone(client->gone_context);
	mem_free(client->jwt_payload);
	mem_free(client->token);
	mem_free(client);
}

static bool client_enter(struct database *db, struct database_client *client)
{
	char name[160], identity[65], connection[33];
	identity_to_hex(&client->caller.identity, identity);
	connection_id_to_hex(&client->caller.connection, connection);
	snprintf(name, sizeof(name), "(Identity(%s), ConnectionId(%s))", identity, connection);
	struct subs_client_options options = { .caller = { client->caller.identity,
		db_is_owner(db, &client->caller.identity) }, .conn = client->conn, .loop = client->loop,
		.format = client->protocol == PROTOCOL_V1_JSON ? DELIVERY_FORMAT_TEXT : client->compression,
		.protocol = client->protocol, .is_full = protocol_is_v1(client->protocol) && !client->light &&
		db->module.info->version < 10, .confirmed = client->confirmed, .name = name };
	client->subs = subs_client_create(db->subs, &options);
	if (client->subs == NULL)
		return false;
	client->connected = true;
	list_put(&db->clients, client);
	atomic_store_explicit(&db->clients_now, ++db->client_count, memory_order_relaxed);
	return true;
}

static void drop(struct database *db, const struct database_client *client)
{
	(void)outbox_drop(db->outbox, client->loop, client->conn);
}

void db_client_connect(struct database *db, struct database_client *client)
{
	uint8_t flags = client->confirmed ? DELIVERY_CONFIRMED : 0;
	if (database_closed(db)) {
		refuse(db, client);
		return;
	}
	buf_clear(&db->scratch);
	struct buf why = BUF_INIT(ERROR_TEXT_BYTES_MAX);
	if (db_connect(db, &client->caller, &why) != WL_OK) {
		log_info("Rejecting connection from client: %s", buf_text(&why));
		buf_deinit(&why);
		refuse(db, client);
		return;
	}
	buf_deinit(&why);
	if (!client_enter(db, client)) {
		db_disconnect(db, &client->caller);
		refuse(db, client);
		return;
	}
	struct buf *out = outbox_begin(db->outbox, client->loop, DELIVERY_MESSAGE, flags, client->conn, 0, 0);
	if (out != NULL && protocol_is_v1(client->protocol))
		db_v1_identity(db, client, out);
	else if (out != NULL)
		protocol_initial_connection(out, &client->caller.identity, &client->caller.connection,
			(struct str){ client->token, client->token_len });
	if (out == NULL || !outbox_end(db->outbox, client->loop) ||
		!outbox_put(db->outbox, client->loop, DELIVERY_RESUME, 0, client->conn, 0, 0))
		drop(db, client);
	mem_free(client->token);
	mem_free(client->jwt_payload);
	client->token = client->jwt_payload = NULL;
	client->caller.jwt_payload = (struct str){ NULL, 0 };
}

void db_client_disconnect(struct database *db, struct database_client *client)
{
	if (client->connected) {
		let_go(db, client);
		list_take(client);
		atomic_store_explicit(&db->clients_now, --db->client_count, memory_order_relaxed);
		subs_client_destroy(db->subs, client->subs);
		client->subs = NULL;
		if (!database_closed(db))
			db_disconnect(db, &client->caller);
	} else if (client->link != NULL) {
		list_take(client);
	}
	client_free(db, client);
}

void db_clients_close(struct database *db, uint16_t code, struct str reason)
{
	for (struct database_client *client = db->clients; client != NULL; client = client->next) {
		struct buf *out = outbox_begin(db->outbox, client->loop, DELIVERY_CLOSE, 0, client->conn, 0, code);
		if (out != NULL)
			buf_put_str(out, reason);
		if (out == NULL || !outbox_end(db->outbox, client->loop))
			drop(db, client);
	}
}

void db_client_close(struct database *db, const struct database_client *client, const char *reason)
{
	struct buf *out = outbox_begin(db->outbox, client->loop, DELIVERY_CLOSE,
		client->confirmed ? DELIVERY_CONFIRMED : 0, client->conn, 0, 1011);
	if (out != NULL)
		buf_put_cstr(out, reason);
	if (out == NULL || !outbox_end(db->outbox, client->loop))
		drop(db, client);
}

/* A queue of large queries, or of hours of work, must not outlive for long who sent it. What the client only wanted to
 * read, nobody reads; what it wanted to change is done for a while. */
bool db_client_left(const struct database_client *client, bool changes)
{
	uint64_t gone = atomic_load_explicit(&client->gone_nanos, memory_order_relaxed);
	if (LIKELY(gone == 0))
		return false;
	return !changes || clock_mono_nanos() - gone > (uint64_t)GONE_SECONDS * 1000000000u;
}

static void process(struct database *db, struct database_client *client, uint8_t *data, size_t len, bool is_text)
{
	struct reader r = reader_of(data, len);
	struct protocol_client_message message;
	struct error error;
	if (protocol_is_v1(client->protocol)) {
		if (LIKELY(!db_is_closing(db)))
			db_v1_message(db, client, data, len, is_text);
		db->now_nanos = clock_mono_nanos();
		return;
	}
	if (protocol_v2_decode(&r, &message, &error) != WL_OK) {
		db_client_close(db, client, error.text);
		return;
	}
	bool changes = message.kind == PROTOCOL_CALL_REDUCER || message.kind == PROTOCOL_CALL_PROCEDURE;
	if (UNLIKELY(db_is_closing(db)) || db_client_left(client, changes))
		return;
	switch ((enum protocol_v2_kind)message.kind) {
	case PROTOCOL_CALL_REDUCER:
		db_client_call(db, client, &message, NULL);
		break;
	case PROTOCOL_SUBSCRIBE:
		subs_subscribe(db->subs, client->subs, message.request_id, message.query_set_id, message.query_count,
			message.queries);
		break;
	case PROTOCOL_UNSUBSCRIBE:
		subs_unsubscribe(db->subs, client->subs, message.request_id, message.query_set_id, message.flags == 1);
		break;
	case PROTOCOL_ONE_OFF_QUERY:
		subs_one_off(db->subs, client->subs, message.request_id, message.text);
		break;
	case PROTOCOL_CALL_PROCEDURE:
		db_client_procedure(db, client, &message, NULL);
		break;
	case PROTOCOL_SUBSCRIBE_BATCH:
		subs_subscribe_batch(db->subs, client->subs, message.request_id, message.set_count, message.sets);
		break;
	case PROTOCOL_V2_KIND_COUNT:
		break;
	}
	if (message.kind != PROTOCOL_CALL_REDUCER)
		db->now_nanos = clock_mono_nanos(); /* reads may have taken long */
}

/* ---- while a reply is made beside the executor, what comes behind its request waits ---- */

struct kept_message {
	uint32_t len, is_text;
};

static void keep(struct database *db, struct database_client *client, const uint8_t *data, size_t len, bool is_text)
{
	struct kept_message head = { (uint32_t)len, is_text };
	if (!client->keeps)
		buf_init(&client->kept, KEPT_BYTES_MAX);
	buf_put(&client->kept, &head, sizeof(head));
	buf_put(&client->kept, data, len);
	(void)buf_extend(&client->kept, align_up(client->kept.len, 8) - client->kept.len);
	if (client->kept.failed) { /* what is lost must not be followed by anything */
		db_client_close(db, client, "too many requests behind one that takes long");
		return;
	}
	if (client->keeps)
		return;
	client->keeps = true;
	client->next_keeping = db->keeping;
	db->keeping = client;
}

void db_client_message(struct database *db, struct database_client *client, uint8_t *data, size_t len,
	bool is_text)
{
	if (!client->connected)
		return; /* refused, and about to hear of it */
	if (UNLIKELY(subs_client_waits(client->subs) || client->keeps))
		keep(db, client, data, len, is_text);
	else
		process(db, client, data, len, is_text);
}

/* Works off what is kept, until one of them takes long. True: nothing is left. */
static bool go_on(struct database *db, struct database_client *client)
{
	while (client->kept_at < client->kept.len && !client->kept.failed && !subs_client_waits(client->subs)) {
		struct kept_message head;
		memcpy(&head, client->kept.data + client->kept_at, sizeof(head));
		uint8_t *data = client->kept.data + client->kept_at + sizeof(head);
		client->kept_at += align_up(sizeof(head) + head.len, 8);
		process(db, client, data, head.len, head.is_text != 0);
	}
	if (client->kept_at < client->kept.len && !client->kept.failed)
		return false;
	buf_deinit(&client->kept);
	client->kept_at = 0;
	return true;
}

void db_clients_go_on(struct database *db)
{
	struct database_client **at = &db->keeping, *client;
	if (db->going_on) /* a read that was done at once: whoever goes on with its client sees that it waits no more */
		return;
	db->going_on = true;
	while ((client = *at) != NULL) {
		if (subs_client_waits(client->subs) || !go_on(db, client)) {
			at = &client->next_keeping;
			continue;
		}
		/* It may not be the same place any more: others may have begun to keep. */
		for (at = &db->keeping; *at != client;)
			at = &(*at)->next_keeping;
		*at = client->next_keeping;
		client->keeps = false;
	}
	db->going_on = false;
}

/* It goes: what it wanted to change is done (db_client_left). */
static void let_go(struct database *db, struct database_client *client)
{
	subs_client_forget_read(db->subs, client->subs);
	if (!client->keeps)
		return;
	(void)go_on(db, client);
	struct database_client **at = &db->keeping;
	while (*at != client)
		at = &(*at)->next_keeping;
	*at = client->next_keeping;
	client->keeps = false;
	buf_deinit(&client->kept);
}
