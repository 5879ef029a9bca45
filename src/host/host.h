/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOST_H
#define HOST_H
/*
 * host: the databases of one process: names, owners, locks, programs, and
 * which of them are open. Control data survives kill -9 whole: every change is
 * durable before its function returns.
 *
 * Threading: [any], and all may block (disk, compiling): worker threads only.
 *
 * Source: http-api.md sections 4, 5, 14, 15.
 */
#include "auth/auth.h"
#include "database/database.h"
#include "host/datadir.h"

struct host;
struct host_options {
	struct datadir *dir;         /* held by the caller for as long as the host lives */
	bool in_memory;      /* databases write nothing; keys, programs, code cache and control data may */
	struct auth *auth;
	const struct database_sink *sink;
	uint32_t reducer_ms_max;
	struct database_durability durability;
	uint64_t database_memory_max, database_disk_max; /* bytes; 0: no limit */
	uint32_t subscriptions_per_client_max, queries_per_client_max; /* 0: those of subs.h */
	uint64_t guest_memory_max;
	const char *compiler;        /* runtime.h; NULL: programs are compiled in this process */
	uint64_t module_log_bytes_max;
	uint64_t energy_call, energy_database, energy_identity; /* budgets (database.h says of what); 0: none */
	/* As in database_options; NULL: no procedure may ask anybody. */
	bool (*http)(void *context, struct bytes request, struct bytes body, bool (*stopped)(void *arg), void *arg,
		struct buf *response, struct buf *response_body, bool *malformed);
	void *http_context;
};
/* Reads control data; removes what a crash left half made. Databases open at their first use. */
enum wl_err host_open(const struct host_options *options, struct host **out, struct error *error);
/* Compiling ends at once, unsuccessfully, and does not begin again: before waiting for those who want it. */
void host_interrupt(struct host *host);
/* Closes all databases (1001) and flushes them; nothing opens any more. Shares that others hold stay valid. */
void host_stop(struct host *host);
/* Frees the rest, when no share of a database is left anywhere. Both: NULL is fine. */
void host_close(struct host *host);

struct host_record {
	struct identity identity, owner;
	uint8_t initial_program[32];
	enum runtime_kind kind;
	bool locked;
};
/* A name resolves even when its database is gone (names survive). */
bool host_resolve(struct host *host, struct str name, struct identity *out);
bool host_record(struct host *host, const struct identity *id, struct host_record *out);
/* A share of the open database; opens it if needed. WL_ERR_NOT_FOUND: no such database. */
enum wl_err host_database(struct host *host, const struct identity *id, struct database **out, struct buf *error);
/* Calls fn for each open database; no lock is held meanwhile. */
void host_each_open(struct host *host, void (*fn)(void *context, struct database *db), void *context);

/* Every few seconds: now and then what was used of energy becomes durable; where many databases are open, those idle
 * since the last call give back what only their use needs. On a thread with THREAD_STACK_GUEST. */
void host_rest(struct host *host);

/* ---- names ---- */
bool host_name_valid(struct str name, const char **reason); /* [a-z0-9]+(-[a-z0-9]+)*, and no identity */
void host_names(struct host *host, const struct identity *id, void (*fn)(void *context, struct str name),
	void *context);
enum host_name_result {
	HOST_NAME_OK, HOST_NAME_TAKEN, HOST_NAME_DENIED /* its domain is another user's */, HOST_NAME_IO
};
enum host_name_result host_name_add(struct host *host, struct str name, const struct identity *database,
	const struct identity *caller, struct error *error);
/* Replaces all names of a database; `which` names the one refused. */
enum host_name_result host_names_replace(struct host *host, const struct identity *database, const struct str *names,
	uint32_t count, const struct identity *caller, struct buf *which, struct error *error);
void host_databases_of(struct host *host, const struct identity *owner,
	void (*fn)(void *context, const struct identity *id), void *context); /* in creation order */

/* ---- publish, reset, delete, lock ---- */
struct host_publish {
	struct identity database; /* where to; exists or not */
	struct identity caller;
	enum runtime_kind kind;
	struct bytes program;
	bool clear;               /* reset an existing one */
	uint32_t confirm_ms;
	struct database_policy policy;
	struct database_environment *environment;
};
enum host_op { HOST_CREATED, HOST_UPDATED };
/* Errors as database_create and database_update; WL_ERR_DENIED with `owner_denied` when the caller is not the owner. */
enum wl_err host_publish(struct host *host, const struct host_publish *publish, enum host_op *op, bool *owner_denied,
	struct buf *error);
/* Drops all data, the environment's values too, and starts again with a program; NULL data: the stored initial one. On
 * failure the old one goes on. */
enum wl_err host_reset(struct host *host, const struct identity *id, enum runtime_kind kind, struct bytes program,
	struct database_environment *environment, struct buf *error);
/* database_environment_update, which follows and precedes other changes of the database. */
enum wl_err host_environment(struct host *host, const struct identity *id, struct database_environment *change,
	const uint8_t expected_hash[32], struct buf *error);
enum wl_err host_delete(struct host *host, const struct identity *id, struct error *error);
enum wl_err host_lock(struct host *host, const struct identity *id, bool locked, struct error *error);
/* Compiles and validates a program without publishing it (pre_publish). */
enum wl_err host_check_program(struct host *host, enum runtime_kind kind, struct bytes program,
	struct module_def **out, struct buf *error);
struct str host_data_dir(const struct host *host);

/* ---- energy ---- */
/* What was credited to an identity, less what it used: a database by its calls; a user, where users have a budget, by
 * calling. Credits are a figure alone: what may be used is for the configuration to say. */
i128 host_energy(struct host *host, const struct identity *id);
/* Adds (saturating) and returns the new balance. */
enum wl_err host_energy_add(struct host *host, const struct identity *id, u128 amount, i128 *balance,
	struct error *error);
#endif
