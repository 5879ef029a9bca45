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
#include "query/query.h"
#include "subs/outbox.h"

enum {
	SUBS_SETS_PER_CLIENT_MAX = 4096,
	SUBS_QUERIES_PER_CLIENT_MAX = 65536,
	SUBS_QUERY_BYTES_PER_CLIENT_MAX = 16 << 20, /* of memory; shared ones count in full for every holder */
	SUBS_QUERY_BYTES_MAX = 1 << 30,             /* of a database */
	SUBS_INITIAL_BYTES_MAX = 512 << 20, /* of one SubscribeApplied */
};

struct subs;
struct subs *subs_create(struct store *store, struct outbox *outbox);
void subs_destroy(struct subs *subs);
/* Of one subscribe, unsubscribe or one-off query, which then fails; and of evaluating one commit, after which clients
 * whose queries were not reached are cut off. 0, as at first: no limit. */
void subs_limit_time(struct subs *subs, uint32_t ms);
void subs_rest(struct subs *subs); /* gives back what is kept for the next commit */

struct subs_client;
struct subs_client_options {
	struct query_caller caller;
	uint64_t conn;   /* where messages go */
	uint32_t loop;
	uint8_t format;  /* of the ring: compression; text never here */
	bool confirmed;
	const char *name; /* for error texts: "(identity, connection id)"; copied */
};
struct subs_client *subs_client_create(struct subs *subs, const struct subs_client_options *options);
void subs_client_destroy(struct subs *subs, struct subs_client *client); /* forgets its sets; sends nothing */
uint8_t subs_client_flags(const struct subs_client *client); /* DELIVERY_CONFIRMED or 0 */

/* `queries`: BSATN strings back to back, already checked. Sends SubscribeApplied or SubscriptionError. */
void subs_subscribe(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t query_set_id,
	uint32_t query_count, struct bytes queries);
void subs_unsubscribe(struct subs *subs, struct subs_client *client, uint32_t request_id, uint32_t query_set_id,
	bool send_rows);
/* Sends OneOffQueryResult. */
void subs_one_off(struct subs *subs, struct subs_client *client, uint32_t request_id, struct str sql);

/* Evaluates a commit and sends its updates. For `caller` (may be NULL) the body of its update (count of query sets,
 * then the sets) is returned instead, borrowed until the next call; an empty update is a count of 0. */
struct bytes subs_commit(struct subs *subs, const struct store_delta *delta, struct subs_client *caller);

struct subs_stats { uint64_t queries, classes, clients, evaluated, matched; };
struct subs_stats subs_stats(const struct subs *subs);
#endif
