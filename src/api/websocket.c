/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket connections: the handshake of `subscribe`, and messages on their way to a database.
 *
 * The handshake is checked on a worker, which may wait for a database to open. The upgrade itself happens in a task
 * on the connection's loop: from there on the connection and its client belong to the loop, and nobody races with its
 * end.
 *
 * A client's life: created in the attach task, CONNECT is its first mail, then messages, DISCONNECT is its last; the
 * executor frees it. The connection is paused until the executor says RESUME.
 */
#include "api/api_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/protocol.h"

#include <stdatomic.h>

/* ---- from the loop to the database ---- */

static void close_with(struct api_loop *loop, struct ws *ws, uint16_t code, struct str reason)
{
	ws->closing = true;
	net_ws_close(loop->loop, ws->conn, code, reason);
}

static bool put(struct api_loop *loop, struct ws *ws, enum database_message_kind kind, const uint8_t *data, size_t len)
{
	if (ws->pending >= loop->api->config.incoming_queue_length) {
		close_with(loop, ws, 1013, STR("too many requests"));
		return false;
	}
	struct database_inbox *inbox = loop_db_inbox(ws->db);
	if (inbox == NULL || !database_inbox_put(inbox, kind, ws->client, data, len)) {
		ws->closing = true;
		net_ws_drop(loop->loop, ws->conn);
		return false;
	}
	ws->pending++;
	return true;
}

/* v3: several messages back to back. What stands before a bad one has been submitted when the connection closes. */
static void put_all(struct api_loop *loop, struct ws *ws, const uint8_t *data, size_t len)
{
	struct error error = { 0 };
	if (len == 0) {
		close_with(loop, ws, 1011, STR("v3 websocket binary payload must contain at least one v2 client message"));
		return;
	}
	while (len > 0) {
		size_t size = protocol_v2_client_message_size(data, len, &error);
		if (size == 0) {
			close_with(loop, ws, 1011, str_of(error.text));
			return;
		}
		if (!put(loop, ws, DATABASE_PROTOCOL, data, size))
			return;
		data += size;
		len -= size;
	}
}

void ws_message(struct api_loop *loop, net_conn conn, struct ws *ws, bool binary, uint8_t *data, size_t len)
{
	(void)conn;
	if (ws->closing)
		return;
	if (protocol_is_v1(ws->protocol)) {
		(void)put(loop, ws, binary ? DATABASE_PROTOCOL : DATABASE_TEXT, data, len);
		return;
	}
	if (!binary) {
		close_with(loop, ws, 1011, ws->protocol == PROTOCOL_V3 ? STR("v3 websocket does not support text messages")
			: STR("v2 websocket does not support text messages"));
		return;
	}
	if (ws->protocol == PROTOCOL_V3)
		put_all(loop, ws, data, len);
	else
		(void)put(loop, ws, DATABASE_PROTOCOL, data, len);
}

bool ws_disconnect(struct ws *ws)
{
	struct database_inbox *inbox = loop_db_inbox(ws->db);
	if (inbox == NULL || !database_inbox_put(inbox, DATABASE_DISCONNECT, ws->client, NULL, 0))
		return false;
	ws->db->connections--;
	return true;
}

void ws_closed(struct api_loop *loop, struct ws *ws)
{
	if (ws->client != NULL && !ws_disconnect(ws)) { /* the database must hear of it: keep trying */
		ws->next_orphan = loop->orphans;
		loop->orphans = ws;
		return;
	}
	mem_free(ws);
}

/* ---- the handshake ---- */

static const char *const protocol_names[] = { [PROTOCOL_V1_BSATN] = "v1.bsatn.spacetimedb",
	[PROTOCOL_V2] = "v2.bsatn.spacetimedb", [PROTOCOL_V3] = "v3.bsatn.spacetimedb",
	[PROTOCOL_V1_JSON] = "v1.json.spacetimedb" };

enum { SESSION_BUSY = 4000 }; /* a close code */

struct handshake { /* in the call's arena */
	struct net_task task;
	struct api_call *call;
	struct database *database;
	struct connection_id connection;
	uint8_t protocol, compression;
	bool confirmed, light, has_session;
	struct connection_id session; /* its id */
};

static void attach_refused(struct handshake *handshake, struct str why)
{
	struct api_call *call = handshake->call;
	database_release(handshake->database);
	reply_text(call, 503, why);
}

static void attach(struct net_loop *net_loop, struct net_task *task)
{
	struct handshake *handshake = (struct handshake *)(void *)task;
	struct api_call *call = handshake->call;
	struct api *api = call->api;
	struct api_loop *loop = &api->loops[net_loop_index(net_loop)];
	struct ws *ws = atomic_load(&api->stopping) ? NULL : mem_zalloc(sizeof(*ws));
	bool possible = ws != NULL && !database_closed(handshake->database);
	struct loop_db *db = possible ? loop_db_get(loop, handshake->database) : NULL;
	if (db == NULL) {
		mem_free(ws);
		attach_refused(handshake, STR("the database is not available"));
		return;
	}
	const char *protocol = protocol_names[handshake->protocol];
	call_finish_headers(call);
	struct net_upgrade_options upgrade = {
		.protocol = str_of(protocol), .headers = call->headers, .header_count = call->header_count,
		.compression = (enum net_compression)handshake->compression, .paused = true, .user = ws,
		.text = handshake->protocol == PROTOCOL_V1_JSON,
	};
	bool is_busy = false;
	struct session *session = handshake->has_session ? session_enter(api, &call->database, &call->claims.identity,
		&handshake->session, &is_busy) : NULL;
	ws->db = db;
	ws->protocol = handshake->protocol;
	ws->conn = net_upgrade(call->request, &upgrade);
	if (handshake->has_session && session == NULL) { /* without a client; `closed` follows */
		ws->closing = true;
		if (is_busy)
			database_count_busy_session(handshake->database);
		net_ws_close(net_loop, ws->conn, is_busy ? SESSION_BUSY : 1011, is_busy
			? STR("another connection of this session is still open; it is being closed, try again")
			: STR("the server is short of memory"));
		database_release(handshake->database);
		call_free(call);
		return;
	}
	if (session != NULL)
		session_connected(session, ws->conn);
	struct database_client_options options = {
		.caller = { .identity = call->claims.identity, .connection = handshake->connection,
			.jwt_payload = str_of(call->claims.payload) },
		.token = str_of(call->claims.token), .conn = ws->conn, .loop = loop->index, .protocol = handshake->protocol,
		.compression = handshake->compression, .confirmed = handshake->confirmed, .light = handshake->light,
		.on_gone = session != NULL ? session_leave : NULL, .gone_context = session,
	};
	ws->client = database_client_create(db->database, &options);
	if (ws->client == NULL && session != NULL)
		session_leave(session);
	struct database_inbox *inbox = ws->client != NULL ? loop_db_inbox(db) : NULL;
	if (ws->client != NULL)
		db->connections++;
	if (inbox == NULL || !database_inbox_put(inbox, DATABASE_CONNECT, ws->client, NULL, 0)) {
		ws->closing = true; /* `closed` follows; a DISCONNECT without CONNECT only frees the client */
		net_ws_drop(net_loop, ws->conn);
	}
	database_release(handshake->database);
	call_free(call);
}

static bool list_has(struct str list, const char *name)
{
	size_t from = 0;
	bool quoted = false;
	for (size_t i = 0; i <= list.len; i++) {
		if (i < list.len && list.data[i] == '"')
			quoted = !quoted;
		if (i < list.len && (list.data[i] != ',' || quoted))
			continue;
		struct str item = { list.data + from, i - from };
		while (item.len > 0 && (item.data[0] == ' ' || item.data[0] == '\t')) {
			item.data++;
			item.len--;
		}
		while (item.len > 0 && (item.data[item.len - 1] == ' ' || item.data[item.len - 1] == '\t'))
			item.len--;
		if (str_eq(item, str_of(name)))
			return true;
		from = i + 1;
	}
	return false;
}

/* Our order of preference counts, not the client's. 0: none. */
static uint8_t choose_protocol(const struct net_request *request)
{
	static const uint8_t preferred[] = { PROTOCOL_V3, PROTOCOL_V2, PROTOCOL_V1_BSATN, PROTOCOL_V1_JSON };
	size_t best = ARRAY_COUNT(preferred);
	for (uint32_t i = 0; i < net_request_header_count(request); i++) {
		struct net_header header = net_request_header_at(request, i);
		if (header.name.len != 22 || strncasecmp(header.name.data, "sec-websocket-protocol", 22) != 0)
			continue;
		for (size_t p = 0; p < best; p++)
			if (list_has(header.value, protocol_names[preferred[p]]))
				best = p;
	}
	return best < ARRAY_COUNT(preferred) ? preferred[best] : 0;
}

static bool read_connection_id(struct api_call *call, struct connection_id *out)
{
	struct str text;
	bool present;
	if (!call_query(call, "connection_id", &text, &present))
		return false;
	if (!present) {
		random_bytes(out->le, sizeof(out->le));
		return true;
	}
	if (connection_id_from_hex(text, out))
		return true;
	if (!utf8_valid((const uint8_t *)text.data, text.len))
		text = STR("?");
	reply_bad_query(call, "invalid value: string \"%.*s\", expected a byte array or hex string", STR_FMT(text));
	return false;
}

static bool read_session(struct api_call *call, struct handshake *handshake)
{
	struct str text;
	if (!call_query(call, "session_id", &text, &handshake->has_session))
		return false;
	if (!handshake->has_session || connection_id_from_hex(text, &handshake->session))
		return true;
	if (!utf8_valid((const uint8_t *)text.data, text.len))
		text = STR("?");
	reply_bad_query(call, "invalid value: string \"%.*s\", expected a byte array or hex string", STR_FMT(text));
	return false;
}

static bool read_compression(struct api_call *call, uint8_t *out)
{
	static const struct { const char *name; enum net_compression value; } choices[] = {
		{ "None", NET_COMPRESS_NONE }, { "Brotli", NET_COMPRESS_BROTLI }, { "Gzip", NET_COMPRESS_GZIP },
	};
	struct str text;
	bool present;
	if (!call_query(call, "compression", &text, &present))
		return false;
	*out = NET_COMPRESS_BROTLI;
	if (!present)
		return true;
	for (size_t i = 0; i < ARRAY_COUNT(choices); i++) {
		if (str_eq(text, str_of(choices[i].name))) {
			*out = (uint8_t)choices[i].value;
			return true;
		}
	}
	reply_bad_query(call, "unknown variant `%.*s`, expected one of `None`, `Brotli`, `Gzip`", STR_FMT(text));
	return false;
}

static bool check_upgrade(struct api_call *call)
{
	uint32_t status;
	const char *text;
	if (call->verb == METHOD_HEAD) {
		reply_text(call, 405, STR("Request method must be `GET`"));
		return false;
	}
	if (net_ws_check(call->request, &status, &text))
		return true;
	if (status == 426) {
		call_header(call, "connection", STR("upgrade"));
		call_header(call, "upgrade", STR("websocket"));
	}
	reply_text(call, status, str_of(text));
	return false;
}

void route_subscribe(struct api_call *call)
{
	static const struct connection_id zero = { { 0 } };
	struct handshake *handshake = arena_zalloc(&call->arena, sizeof(*handshake));
	struct str name;
	struct host_record record;
	bool is_name, confirmed = true;
	if (handshake == NULL) {
		reply_text(call, 503, STR("the server is short of memory"));
		return;
	}
	if (!call_name_or_identity(call, call->params[0], &call->database, &name, &is_name) ||
		!read_connection_id(call, &handshake->connection) || !read_session(call, handshake) ||
		!read_compression(call, &handshake->compression) ||
		!call_query_bool(call, "light", &handshake->light) || !call_query_bool(call, "confirmed", &confirmed) ||
		!check_upgrade(call))
		return;
	if (memcmp(handshake->connection.le, zero.le, sizeof(zero.le)) == 0) {
		reply_text(call, 400, STR("Invalid connection ID: the all-zeros ConnectionId is reserved."));
		return;
	}
	if (is_name && !host_resolve(call->api->host, name, &call->database)) {
		reply_printf(call, 404, "`%.*s` not found", STR_FMT(name));
		return;
	}
	if (!host_record(call->api->host, &call->database, &record)) { /* a name outlives its database */
		char caller[65], database[65];
		identity_to_hex(&call->claims.identity, caller);
		identity_to_hex(&call->database, database);
		reply_printf(call, 500, "Unable to authorize %s for SQL: database %s not found", caller, database);
		return;
	}
	handshake->protocol = choose_protocol(call->request);
	if (handshake->protocol == 0) {
		reply_text(call, 400, STR("no valid protocol selected"));
		return;
	}
	/* Unless it is asked for or against, v1 does not wait for the disk. */
	struct str asked;
	bool is_asked = query_find(call, "confirmed", &asked) > 0;
	handshake->confirmed = is_asked ? confirmed : !protocol_is_v1(handshake->protocol);
	if (!call_open_database(call, &handshake->database))
		return;
	handshake->call = call;
	handshake->task.fn = attach;
	net_loop_post(net_request_loop(call->request), &handshake->task);
}
