/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H
/* Between the files of this room: the server itself, one request, what routes may do. */
#include "api/api.h"
#include "base/arena.h"
#include "base/map.h"
#include "base/thread.h"
#include "net/net.h"
#include "net/outgoing.h"

enum {
	API_WORKERS_MAX = 1024,            /* requests that run at once; more wait in line (and see lanes.c) */
	API_PING_WORKERS_MAX = 4,          /* for pings that carry a token: never behind blocked calls */
	API_BODY_BYTES_MAX = 2 << 20,      /* of a request body, unless a route says otherwise */
	API_CALL_ARENA_BYTES_MAX = 8 << 20,
	API_HEADERS_MAX = 16,
	API_STOP_MS = 3000,
};

struct api_loop;
struct tail;
struct api {
	struct config config;
	bool in_memory;
	_Atomic bool stopping; /* requests are refused */
	_Atomic bool detached; /* net is gone: what databases still say is dropped */
	struct auth *auth;
	struct host *host;
	struct net *net;
	struct database_sink sink;
	struct worker_pool *workers, *ping_workers;
	struct monitor lanes_monitor;
	struct map lanes; /* key -> struct lane, under its monitor */
	struct monitor sessions_monitor;
	struct map sessions;   /* sessions.c: key -> struct session */
	struct api_loop *loops; /* one for each of net's */
	uint32_t loop_count;
	struct monitor tails_monitor;
	struct tail *tails; /* log followers whose past has been sent */
	uint32_t rest_ticks;   /* first loop only */
	_Atomic bool resting;  /* a worker is at it */
	_Atomic uint64_t requests, responses_4xx, responses_5xx;
};

/* ---- one request, from its head to its answer (router.c, reply.c) ---- */
enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_PATCH, METHOD_OPTIONS,
	METHOD_OTHER, METHOD_ANY /* in the table only */ };
enum credentials {
	CREDENTIALS_IGNORED,
	CREDENTIALS_IF_GIVEN, /* none is fine, bad ones are refused */
	CREDENTIALS_ANYBODY,  /* a valid token, or a fresh identity */
	CREDENTIALS_TOKEN,    /* a valid token */
};
/* What a request may have to wait for (lanes.c). */
enum lane_kind { LANE_NONE, LANE_DATABASE, LANE_HANDSHAKE, LANE_CHANGE, LANE_LOGS, LANE_PUBLISH, LANE_MCP,
	LANE_HEALTH };
struct api_call;
typedef void (*route_handler)(struct api_call *call); /* answers exactly once, as its last act; worker thread */
struct route_method {
	enum method method;
	route_handler handler;
	enum credentials credentials;
	uint64_t body_max;  /* 0: API_BODY_BYTES_MAX */
	bool on_loop;       /* answers at once, on the network loop */
	enum lane_kind lane;
};
enum route_flags {
	ROUTE_CORS = 1,
	ROUTE_AUTH = 2,     /* credentials come before everything else, and answers say who the caller is */
	ROUTE_LOOKUP = 4,   /* the database is looked up before the method */
	ROUTE_ENVIRONMENT = 8, /* requests may carry an environment in their headers, and browsers are told so */
};
enum { ROUTE_METHODS_MAX = 4, ROUTE_PARAMS_MAX = 2 };
struct route {
	const char *pattern; /* ":name" is one segment, "*name" all the rest */
	unsigned flags;
	struct route_method methods[ROUTE_METHODS_MAX];
};
extern const struct route api_routes[];
extern const size_t api_route_count;

struct api_call {
	struct api *api;
	struct net_request *request;
	const struct route *route;
	const struct route_method *method; /* NULL: not allowed */
	enum method verb;
	struct str path, query;            /* raw */
	struct str params[ROUTE_PARAMS_MAX];
	bool has_claims;
	struct auth_claims claims;
	struct identity database;          /* looked up */
	struct arena arena;
	struct net_header headers[API_HEADERS_MAX]; /* of the answer */
	uint32_t header_count;
	char identity_hex[65];
	struct lane *lane;                 /* entered */
	struct api_call *next_in_lane;     /* waiting for it */
};

/* ---- lanes.c ---- */
bool lane_enter(struct api_call *call); /* false: it waits, and its handler runs later; touch it no more */
struct lane *lane_take(struct api_call *call); /* the call may end, the wait goes on; NULL: it is in none */
void lane_give(struct api *api, struct lane *lane); /* NULL is fine */

/* ---- sessions.c ---- */
struct session;
/* NULL: no memory, or (is_busy) another connection holds it; that one is sent away. */
struct session *session_enter(struct api *api, const struct identity *database, const struct identity *identity,
	const struct connection_id *id, bool *is_busy);
void session_connected(struct session *session, net_conn conn);
void session_leave(void *session);

/* Splits a target into path and query; false: not a path ("*", an authority). */
bool target_split(struct str target, struct str *path, struct str *query);
const struct route *route_match(struct str path, struct str params[ROUTE_PARAMS_MAX]);
const struct route_method *route_method_find(const struct route *route, enum method method);
enum method method_parse(struct str text);
/* "GET,HEAD" style; empty for routes of any method. */
void route_allow(const struct route *route, char out[64]);
bool router_long_head(struct str line); /* publishing, and its environment */
void router_request_head(struct api *api, struct net_request *request);
void router_request(struct api *api, struct net_request *request);

/* ---- answers: each ends the call ---- */
void reply(struct api_call *call, uint32_t status, const char *content_type, const void *body, size_t len);
/* With these headers before our own. */
void reply_with(struct api_call *call, uint32_t status, const struct net_header *headers, uint32_t count,
	const void *body, size_t len);
void reply_empty(struct api_call *call, uint32_t status);
void reply_text(struct api_call *call, uint32_t status, struct str text);
void reply_printf(struct api_call *call, uint32_t status, const char *format, ...) PRINTF_LIKE(3, 4);
void reply_json(struct api_call *call, uint32_t status, struct buf *json); /* takes the buffer's content */
void reply_not_yet(struct api_call *call, const char *what);
/* A header of the answer; both borrowed until it is sent. */
void call_header(struct api_call *call, const char *name, struct str value);
/* All headers as they will be sent. */
void call_finish_headers(struct api_call *call);
void call_free(struct api_call *call);

/* ---- parts of a request: false = the answer has been given ---- */
bool call_credentials(struct api_call *call, enum credentials wanted);
bool call_lookup(struct api_call *call, struct str segment); /* {db} -> call->database; it exists */
/* {db} -> identity, or a name (then *is_name and its text); syntax only. */
bool call_name_or_identity(struct api_call *call, struct str segment, struct identity *id, struct str *name,
	bool *is_name);
bool call_identity(struct api_call *call, struct str segment, struct identity *out); /* {identity}, strict */
bool call_body_fits(struct api_call *call);
bool call_body_text(struct api_call *call, struct str *out, bool say_where); /* UTF-8 */
bool call_is_owner(struct api_call *call, const char *action, struct host_record *record);
bool call_open_database(struct api_call *call, struct database **out);
/* A query parameter, decoded; twice is an answer. *present false when it is absent. */
bool call_query(struct api_call *call, const char *name, struct str *value, bool *present);
bool call_query_bool(struct api_call *call, const char *name, bool *value); /* absent: unchanged */
bool call_query_u64(struct api_call *call, const char *name, uint64_t max, uint64_t *value, bool *present);
bool call_query_host_type(struct api_call *call, enum runtime_kind *kind);
void reply_bad_query(struct api_call *call, const char *format, ...) PRINTF_LIKE(2, 3);
/* How often a parameter is there; the first one's value. */
uint32_t query_find(struct api_call *call, const char *name, struct str *value);
struct str percent_decode(struct arena *arena, struct str text, bool plus_is_space); /* .data NULL: no memory */
enum media { MEDIA_ABSENT, MEDIA_INVALID, MEDIA_JSON_EXACT, MEDIA_JSON, MEDIA_OTHER };
enum media call_media(struct api_call *call);
void put_identity_json(struct buf *out, const struct identity *id); /* {"__identity__":"0x…"} */
void put_u256(struct buf *out, const uint8_t le[32]);              /* 0x…, without leading zeros */

/* ---- handlers ---- */
void route_ping(struct api_call *call);
void route_health(struct api_call *call);
void route_metrics(struct api_call *call);
void route_sd_config(struct api_call *call);
void route_heap(struct api_call *call);
void route_heap_settings(struct api_call *call);
void route_heap_settings_post(struct api_call *call);
void route_identity_create(struct api_call *call);
void route_public_key(struct api_call *call);
void route_websocket_token(struct api_call *call);
void route_verify(struct api_call *call);
void route_identity_databases(struct api_call *call);
void route_energy_get(struct api_call *call);
void route_energy_add(struct api_call *call);
void route_energy_set(struct api_call *call);
void route_publish_unnamed(struct api_call *call);
void route_publish(struct api_call *call);
void route_reset(struct api_call *call);
void route_pre_publish(struct api_call *call);
void route_database(struct api_call *call);
void route_delete(struct api_call *call);
void route_lock(struct api_call *call);
void route_unlock(struct api_call *call);
void route_database_identity(struct api_call *call);
void route_timestamp(struct api_call *call);
void route_schema(struct api_call *call);
void route_usage(struct api_call *call);
void route_state_hash(struct api_call *call);
void route_names_get(struct api_call *call);
void route_names_add(struct api_call *call);
void route_names_replace(struct api_call *call);
void route_call(struct api_call *call);
void route_sql(struct api_call *call);
void route_logs(struct api_call *call);
void route_mcp(struct api_call *call);
void route_subscribe(struct api_call *call);
void route_module_http(struct api_call *call);
void route_environment_get(struct api_call *call);
void route_environment_merge(struct api_call *call);
void route_environment_replace(struct api_call *call);

/* ---- routes_environment.c: what publishing has to do with it ---- */
bool call_environment(struct api_call *call, struct database_environment *out); /* its headers; false: answered */
/* Answers if it is the environment that was refused; `text` is the refusal's. */
bool reply_environment_refused(struct api_call *call, const struct database_environment *environment, struct str text);

/* ---- routes_logs.c: those who follow a log ---- */
void logs_sweep(struct api *api); /* [any] ends tails whose client has gone */
void logs_barrier(struct api *api); /* with `stopping` set: no tail uses the workers any more */
void logs_stop(struct api *api);    /* after the workers have ended */

/* ---- WebSocket (websocket.c, delivery.c): loop only, but for what is marked ---- */
struct loop_db;
struct ws;
struct api_loop {
	struct api *api;
	struct net_loop *loop;
	uint32_t index;
	struct mpsc blocks;           /* [any] pushes */
	struct net_task blocks_task;
	struct loop_db *first;        /* all of this loop */
	struct loop_db *dirty, **dirty_last; /* with an open inbox, oldest first */
	struct loop_db *runnable, **runnable_last; /* with mail handed over, or left */
	struct ws *orphans;           /* closed, but their DISCONNECT found no memory yet */
};
/* A database as one loop sees it. Lives in the database's slot; holds a share. */
struct loop_db {
	struct api_loop *loop;
	struct database *database;
	struct database_inbox *inbox;  /* being filled, or NULL */
	uint32_t connections;
	bool is_dirty, is_runnable;
	bool lent;                     /* a thread that has lost the loop runs it; done_task will say when it is over */
	struct net_task done_task;
	struct net_task durable_task;
	bool awaiting;                 /* durable_task will come */
	uint32_t closed_ticks;
	struct delivery_block *waiting, **waiting_last; /* their confirmed entries have not taken effect */
	struct map rings;              /* class -> struct ring */
	struct loop_db *next, *next_dirty, *next_runnable;
};
struct ws {
	struct loop_db *db;            /* NULL until attached to its loop */
	struct database_client *client;
	net_conn conn;
	uint8_t protocol;
	bool closing;                  /* we have closed it: messages are dropped */
	uint32_t pending;              /* unanswered messages */
	struct ws *next_orphan;
};
bool delivery_init(struct api *api);
void delivery_flush(struct api *api);  /* after the loops have ended: runs the mail they left */
void delivery_deinit(struct api *api); /* after net is gone */
struct loop_db *loop_db_get(struct api_loop *loop, struct database *database); /* NULL: no memory */
struct database_inbox *loop_db_inbox(struct loop_db *db);                      /* NULL: no memory */
void delivery_deliver(void *context, struct delivery_block *block);            /* [any] */
void delivery_durable(void *context, struct database *database, uint32_t loop); /* [any] */
bool delivery_round(struct api_loop *loop);
void delivery_tick(struct api_loop *loop);
void ws_message(struct api_loop *loop, net_conn conn, struct ws *ws, bool binary, uint8_t *data, size_t len);
void ws_closed(struct api_loop *loop, struct ws *ws);
bool ws_disconnect(struct ws *ws); /* false: no memory, try again */

/* ---- a module's HTTP: handlers (routes_module.c) and requests of procedures (module_request.c) ---- */
enum { HTTP_METHODS = 9, HTTP_METHOD_EXTENSION = 9 };
extern const char *const http_methods[HTTP_METHODS]; /* by their number in the ABI */
bool http_header_is_valid(struct str name, struct str value);
/* database_options.http; `context` is the struct api. */
bool module_request(void *context, struct bytes request, struct bytes body, bool (*stopped)(void *arg), void *arg,
	struct buf *response, struct buf *response_body, bool *malformed);
/* What the BSATN of a request's head asks for; borrows its bytes. `w` is zeroed. False: it is no such BSATN. What it
 * says may still be `wrong`, which is the text of the refusal. */
enum { MODULE_HEADERS_MAX = 1024 };
struct module_wanted {
	struct outgoing_request request;
	struct net_header headers[MODULE_HEADERS_MAX];
	const char *wrong;
};
bool module_request_read(struct bytes data, struct module_wanted *w);

/* ---- fetch.c: outbound HTTP for issuers' keys ---- */
enum wl_err fetch_url(void *context /* struct api */, const char *url, struct buf *body, struct error *error);
#endif
