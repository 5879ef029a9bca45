/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H
/* load: the modes of the load generator and what they are told. */
#include "caller.h"

enum { CONNECTIONS_MAX = 16384 };

struct options {
	struct ws_options ws;      /* target, protocol, confirmed, mask */
	struct caller_load load;
	uint32_t connections;      /* that call */
	uint32_t subscribers;
	const char *query;         /* what they subscribe to; each # is the subscriber's number */
	uint32_t churn;            /* updates after which a subscriber is replaced by another; 0: all stay */
	double warmup_seconds, seconds;
	uint64_t updates;          /* that end the measured interval; 0: only time does */
	pid_t pid;                 /* of the server; 0: unknown, its cost is not measured */
	bool syscalls;
};
/* Each prints `name value` lines on stdout and returns the exit status. */
int run_calls(const struct options *options);
int run_fanout(const struct options *options);
int run_subscribe(const struct options *options);
int run_sends(const struct options *options);

/* A Subscribe of one query in query set 1. False: no memory. */
bool subscribe_message(struct buf *out, const char *query, uint32_t number);

/* What a run cost between two samples, `work` of it done, named e.g. "call". */
void report_cost(const struct options *options, const struct sample *begin, const struct sample *end, uint64_t work,
	const char *name);
void report_latency(const struct caller_totals *totals);
#endif
