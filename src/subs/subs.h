/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUBS_H
#define SUBS_H
/*
 * subs: live queries. Who subscribes to what, what a commit means for them,
 * encoded once per distinct query and once per class of clients.
 *
 * Threading: executor only. Messages leave through the outbox, at the commit
 * or read boundary at which they were computed.
 *
 * Invariants
 *  1. A distinct query (text, and caller where the result depends on it) is
 *     compiled once and evaluated at most once per commit.
 *  2. A commit that touches no table with a live query does no work here.
 *  3. A client gets the initial rows of a set before any update of that set, and
 *     every later commit that changes the set exactly once.
 *  4. The caller of a reducer gets its rows inside its result, never besides.
 *  5. A failed subscribe leaves nothing behind.
 *
 * Source: client-protocol.md section 7, sql-and-subscriptions.md sections 7-9.
 */
#include "protocol/v1.h"
#include "query/query.h"
#include "subs/outbox.h"

enum {
	SUBS_SETS_PER_CLIENT_MAX = 4096,     /* these two: unless subs_limit_clients says otherwise */
	SUBS_QUERIES_PER_CLIENT_MAX = 65536,
	SUBS_QUERY_BYTES_PER_CLIENT_MAX = 16 << 20, /* of memory; shared ones count in full for every holder */
	SUBS_QUERY_BYTES_MAX = 1 << 30,             /* of a database */
	SUBS_INITIAL_BYTES_MAX = 512 << 20, /* of one SubscribeApplied */
};

struct subs;
/* What the owner (database) does for live queries that read views. `change`: 1 it begins to be kept, -1 it ends, 0 it
 * is read once. `arguments`: BSATN, of the view's call. Filled before it returns; false: there is no memory for that,
 * and nothing has begun. */
typedef bool (*subs_view_fn)(void *context, struct store_table *table, struct bytes arguments,
	const struct identity *caller, int change);
struct subs *subs_create(struct store *store, struct outbox *outbox);
void subs_on_views(struct subs *subs, subs_view_fn fn, void *context);
/*
 * Replies that are too long for the executor. fn has the read made beside it: begin when its turn has come, run once on
 * any thread, with a snapshot of those tables taken when begin returned; end, once, whatever happened. All but run: the
 * executor, outside transactions. Without fn everything is read on the executor.
 *
 * From the request to the end the client waits: its next messages are to be kept back, so that its order stays. What
 * commits tell it from begin to end is held here, and sent behind the reply.
 */
struct subs_read;
typedef bool (*subs_read_fn)(void *context, struct subs_read *read); /* false: no memory */
void subs_on_reads(struct subs *subs, subs_read_fn fn, void *context);
void subs_read_always(struct subs *subs); /* short replies, too: for tests */
/* False: nobody wants it any more. `cancelled` is set when that becomes so later. */
bool subs_read_begin(struct subs_read *read, struct store_table *const **tables, uint32_t *count,
	_Atomic bool *cancelled);
void subs_read_run(struct subs_read *read, struct store_snapshot *snapshot, uint64_t deadline);
void subs_read_end(struct subs_read *read, bool was_run);
struct subs_client;
void subs_client_forget_read(struct subs *subs, struct subs_client *client); /* it goes: it waits no more */
/* A message of the owner's to a connection: where it is written so that it goes behind what is held for it now. NULL:
 * nothing is held. `flags`: of the entry that it will be. */
struct buf *subs_held_begin(struct subs *subs, uint64_t conn);
void subs_held_end(struct subs *subs, uint64_t conn, uint8_t flags);
bool subs_client_waits(const struct subs_client *client);

void subs_destroy(struct subs *subs);
/* Of one subscribe, unsubscribe or one-off query, which then fails; and of evaluating one commit, after which clients
 * whose queries were not reached are cut off. 0, as at first: no limit. */
void subs_limit_time(struct subs *subs, uint32_t ms);
void subs_limit_clients(struct subs *subs, uint32_t sets, uint32_t queries); /* of each; 0: as at first */
void subs_rest(struct subs *subs); /* gives back what is kept for the next commit */

struct subs_client_options {
	struct query_caller caller;
	uint64_t conn;   /* where messages go */
	uint32_t loop;
	uint8_t format;   /* of the ring: compression, or DELIVERY_FORMAT_TEXT */
	uint8_t protocol; /* enum protocol_version */
	bool is_full;     /* v1: hears of other clients' calls in full */
	bool confirmed;
	const char *name; /* for error texts: "(identity, connection id)"; copied */
};
struct subs_client *subs_client_create(struct subs *subs, const struct subs_client_options *options);
void subs_client_destroy(struct subs *subs, struct subs_client *client); /* forgets its sets; sends nothing */
uint8_t subs_client_flags(const struct subs_client *client); /* DELIVERY_CONFIRMED or 0 */

/* `queries`: BSATN strings back to back, already checked. Sends SubscribeApplied or SubscriptionError. */
void subs_subscribe(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t query_set_id,
	uint32_t query_count, struct bytes queries);
/* Several sets at one moment, each failing alone. `sets`: checked; read with protocol_next_set. Sends
 * SubscribeBatchApplied. */
void subs_subscribe_batch(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t set_count,
	struct bytes sets);
void subs_unsubscribe(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t query_set_id,
	bool send_rows);
/* Sends OneOffQueryResult. */
void subs_one_off(struct subs *subs, struct subs_client *client, uint32_t request_id, struct str sql);

/* v1: the legacy set, which replaces what was there; one query, untrimmed; several. */
void subs_v1_subscribe(struct subs *subs, struct subs_client *client, const struct protocol_v1_message *message);
void subs_v1_unsubscribe(struct subs *subs, struct subs_client *client, const struct protocol_v1_message *message);
void subs_v1_one_off(struct subs *subs, struct subs_client *client, const struct protocol_v1_message *message);

/* The call behind a commit, for v1. */
struct subs_event {
	struct protocol_v1_event call; /* .args: BSATN */
	struct str args_json;          /* as they came, or empty: made of `args` by `params` */
	const struct sats_type *params;
	const struct sats_typespace *space;
};
/*
 * Evaluates a commit and sends its updates. For `caller` (may be NULL) the body of its update is returned instead,
 * borrowed until the next call: v2's count of query sets, then the sets (an empty update is a count of 0); v1's
 * DatabaseUpdate (an empty one is a count of 0 tables). `event` NULL: no call.
 */
struct bytes subs_commit(struct subs *subs, const struct store_delta *delta, struct subs_client *caller,
	const struct subs_event *event);
/* The arguments of a call in the client's own form; borrowed until the next call. */
struct bytes subs_event_args(struct subs *subs, const struct subs_event *event, bool json);

/*
 * The open transaction makes tables into others. begin compiles the live queries again; nothing changes yet.
 * WL_ERR_MEMORY. end, after the commit and before the next transaction begins (or after the rollback), puts them in
 * place; who holds a query that does not suit the new tables is told,
 * unless all are about to be disconnected. Not while replies are made beside the executor.
 */
bool subs_reading(const struct subs *subs); /* they are */
enum wl_err subs_retable_begin(struct subs *subs, struct buf *error);
void subs_retable_end(struct subs *subs, bool committed, bool tells);

struct subs_stats { uint64_t queries, classes, clients, evaluated, matched; };
struct subs_stats subs_stats(const struct subs *subs);
#endif
