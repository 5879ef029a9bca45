/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H
/*
 * driver: a database without sockets. Takes the place of a network loop: puts
 * messages into the inbox, runs the executor on this thread, and takes its
 * blocks back. For measuring and counting what the executor's path alone costs.
 *
 * One thread; the log's writers, if there is a log, have their own.
 */
#include "database/database.h"

enum { DRIVER_CLIENTS_MAX = 16384 };
struct driver {
	struct runtime *runtime;
	struct commitlog_writers *writers;
	struct database *database;
	struct database_sink sink;
	struct database_client *clients[DRIVER_CLIENTS_MAX];
	uint32_t client_count;
	uint32_t next_id;
	uint64_t random;
	struct buf message; /* reused: the driver itself allocates nothing while it counts */
	char dir[256];
	/* what came back */
	uint64_t replies, failures, updates, blocks, entry_bytes;
	char first_failure[256];
};
/* `module`: path of a wasm file. `dir`: where the log goes, made by the caller; NULL: in memory. Texts on stderr. */
bool driver_open(struct driver *driver, const char *module, const char *dir);
void driver_close(struct driver *driver); /* safe on a zeroed struct */
/* A further connected client, the next in `clients`. */
bool driver_client_add(struct driver *driver);
/* That client subscribes, in a query set of its own; each # in `query` becomes its number. */
bool driver_subscribe(struct driver *driver, uint32_t client, const char *query);
/* Both. */
bool driver_subscriber_add(struct driver *driver, const char *query);
/* Over HTTP's path: a reducer with JSON arguments. */
bool driver_call_json(struct driver *driver, const char *reducer, const char *json);
/* `count` calls of the first client, `batch` of them in an inbox at a time. Transfers choose from `accounts`. Callgrind
 * counts inside these two, by their names: they are not inlined. */
__attribute__((noinline)) bool driver_transfers(struct driver *driver, uint32_t accounts, uint32_t count,
	uint32_t batch);
__attribute__((noinline)) bool driver_calls(struct driver *driver, const char *reducer, struct bytes args,
	uint32_t count, uint32_t batch);
#endif
