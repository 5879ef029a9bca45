/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_CALLER_H
#define BENCH_CALLER_H
/*
 * caller: one connection that keeps a number of reducer calls in flight: each
 * reply is answered with the next call. Replies come in the order of the calls
 * (client-protocol.md section 6), so a ring of times is all it keeps.
 *
 * One thread. What it counts goes to the caller_totals it was given.
 */
#include "measure.h"
#include "ws.h"

enum { CALLER_NAME_BYTES_MAX = 64, CALLER_MESSAGE_BYTES_MAX = 128, CALLER_PAIR_COUNT = 1 << 17 };

struct caller_load {
	const char *reducer;   /* "transfer", or any that takes no arguments */
	uint32_t accounts;
	double zipf;           /* 0: uniform; otherwise the exponent, < 1 or > 1 */
	uint32_t inflight;
	uint64_t seed;
	bool v3;               /* calls of one round share a payload */
};
struct caller_totals {
	uint64_t replies, errors;
	struct histogram latency;
	char first_error[256];
};
/* The messages, ready but for their numbers; shared by all callers. */
struct caller_plan {
	struct caller_load load;
	uint8_t message[CALLER_MESSAGE_BYTES_MAX];
	uint32_t message_len, args_at; /* args_at 0: no arguments */
	uint32_t (*pairs)[2];          /* owned: accounts, drawn ahead so that a call costs the generator nothing */
};
bool caller_plan_create(struct caller_plan *plan, const struct caller_load *load);
void caller_plan_deinit(struct caller_plan *plan);

struct caller {
	struct ws ws;
	const struct caller_plan *plan;
	struct caller_totals *totals;
	uint64_t *sent_at;     /* owned: ring of `ring` times, by request id */
	uint32_t ring;
	uint32_t next_id, oldest_id;
	uint32_t first_pair, pair; /* of plan->pairs: its first call's, its next one's */
	bool stopping;         /* sends no more */
};
bool caller_connect(struct caller *caller, const struct ws_options *options, const struct caller_plan *plan,
	struct caller_totals *totals);
void caller_deinit(struct caller *caller);
void caller_start(struct caller *caller); /* fills the pipe */
/* The socket has something: takes the replies, sends as many calls. False: the connection is of no use any more. */
bool caller_ready(struct caller *caller);
static inline uint32_t caller_in_flight(const struct caller *caller) { return caller->next_id - caller->oldest_id; }
#endif
