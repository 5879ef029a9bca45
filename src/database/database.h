/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATABASE_H
#define DATABASE_H
/*
 * database: one database: its tables, its module, its log, its clients, and
 * the executor through which everything that reads or changes it must go.
 *
 * The executor is a token and a mailbox, not a thread. Whoever delivers mail
 * may take the token if it is free (database_run_pending) and drain the
 * mailbox; mail that arrives meanwhile is drained by the holder before it lets
 * go. database_step owns no thread, so a simulator can call it.
 *
 * Threading: functions marked [any] from any thread; [blocking] wait for the
 * executor and possibly the disk: never from a network loop. Network loops
 * write messages into an inbox (database_inbox) and get blocks back through
 * the sink.
 *
 * Lifetime: shared by reference count. A closed database answers
 * WL_ERR_UNAVAILABLE and its clients have been closed.
 */
#include "base/buf.h"
#include "base/thread.h"
#include "base/waits.h"
#include "commitlog/commitlog.h"
#include "module/module.h"
#include "runtime/runtime.h"
#include "subs/delivery.h"

struct module_log;
struct database;

/* Where blocks go: filled in by the api room, one for the host. */
struct database_sink {
	void *context;
	uint32_t loop_count;
	void (*deliver)(void *context, struct delivery_block *block); /* [any] takes it */
	/* The durable offset moved, and loop `loop` has asked to hear of it (database_await_durable). [any] */
	void (*durable)(void *context, struct database *database, uint32_t loop);
};
/* Wakes databases when their schedules are due; one for the host. [any] */
struct database_timers;
struct database_timers *database_timers_create(void); /* NULL: no memory or threads */
void database_timers_destroy(struct database_timers *timers); /* after all databases are closed */
/* Without threads: what is due is posted in database_timers_step alone, and mail is run by whoever runs the database
 * next (simulators, tests). */
struct database_timers *database_timers_create_stepped(void); /* NULL: no memory */
bool database_timers_step(struct database_timers *timers);    /* posts one database's; false: nothing is due */

/* What calls may cost: energy in eV, two for each nanosecond that guest and syscalls work, as the reference counts
 * where it counts time. */
#define DATABASE_ENERGY_PER_NANO 2
struct database_energy {
	uint64_t call_max;  /* of one call; 0: no limit */
	uint64_t left;      /* of all calls from now on, if is_limited */
	bool is_limited;
	/* What is left for the calls of an identity, whichever database they are in, and that some was used. [any] NULL: no
	 * limit. */
	uint64_t (*payer_left)(void *context, const struct identity *id);
	void (*payer_charge)(void *context, const struct identity *id, uint64_t amount);
	void *context;
};

/* What a restart costs, and how much of the past is kept. */
struct database_durability {
	uint32_t replay_micros;  /* a snapshot is taken when a restart would replay for longer; 0: 400 ms */
	uint32_t snapshots_kept; /* 0: 2 */
	uint64_t log_kept_bytes; /* of the log behind the oldest snapshot that is kept */
	const char *archive;     /* where segments of the log go that are not needed any more; NULL: they are removed */
	bool opens_damaged;      /* a log with damage opens with what precedes it; what lies behind is set aside */
};

struct database_options {
	struct identity identity, owner;
	const char *dir;             /* its folder: log/ and module_logs/ below it; ignored when in_memory */
	bool in_memory;
	struct runtime *runtime;
	struct commitlog_writers *writers;
	struct database_timers *timers; /* NULL: schedules rest */
	struct storage *storage;     /* of the log; NULL: local files */
	uint64_t segment_bytes;      /* of the log; 0: its default */
	struct database_durability durability;
	/* Of rows, indexes and module, and of log and snapshots: what would add rows beyond is refused. 0: no limit */
	uint64_t memory_max, disk_max;
	struct module_log *log;      /* taken: closed with the database */
	const struct database_sink *sink;
	/* [blocking] The bytes of a program by its Keccak-256 hash. */
	enum wl_err (*program)(void *context, const uint8_t hash[32], struct buf *out, struct error *error);
	void *program_context;
	/* [blocking] A procedure's request to somebody else (runtime_env.http_request); `stopped` says that it is not
	 * wanted any more. NULL: procedures may make none. */
	bool (*http)(void *context, struct bytes request, struct bytes body, bool (*stopped)(void *arg), void *arg,
		struct buf *response, struct buf *response_body, bool *malformed);
	void *http_context;
	struct worker_pool *readers;    /* for long reads beside the executor; NULL: the executor does them itself */
	uint32_t reducer_ms_max;
	struct database_energy energy;
	uint32_t subscriptions_per_client_max, queries_per_client_max; /* 0: those of subs.h */
};

/* What becomes of the values of environment variables (st_env): some or all are removed, then others are set. */
struct database_variable { struct str name, value; };
enum database_environment_fault {
	DATABASE_ENVIRONMENT_OK,
	DATABASE_ENVIRONMENT_INVALID,     /* the change, or a value against its declaration: the error's text says which */
	DATABASE_ENVIRONMENT_MISSING,     /* required values; the error's text is the JSON array of their names */
	DATABASE_ENVIRONMENT_CONFLICT,    /* the program is not the expected one */
	DATABASE_ENVIRONMENT_VIEW_FAILED, /* one that reads the environment */
};
struct database_environment {
	const struct database_variable *set;
	const struct str *removed;
	uint32_t set_count, removed_count;
	bool remove_all;
	enum database_environment_fault fault; /* set by whoever refuses it */
};

/*
 * Opens a database that exists: replays its log, compiles its program, disconnects clients that a crash left
 * behind. [blocking]
 */
enum wl_err database_open(const struct database_options *options, struct database **out, struct buf *error);
/*
 * Creates one from a program: schema and `init` in one transaction; durable when it returns. On failure nothing
 * remains in `dir`. WL_ERR_INVALID: the program or its definition; WL_ERR_DENIED: `init` failed, text = its message.
 * `environment` NULL: nothing is set, nor are required values asked for.
 */
enum wl_err database_create(const struct database_options *options, enum runtime_kind kind, struct bytes program,
	struct database_environment *environment, struct database **out, struct buf *error);
/* What an update may do to those who are connected. */
struct database_policy {
	bool may_break;        /* clients may be disconnected, if the token is that of the plan (database_plan) */
	const uint8_t *token;  /* 32 bytes; NULL: it is not asked for */
	bool makes_anew;       /* tables without rows may change in any way */
	/* A trial: all is done and then rolled back. Receives an object for each table whose rows change, with commas. */
	struct buf *trial;
};
/*
 * Replaces the program, and migrates the tables to what it declares, in one transaction. Same hash: only the
 * environment changes. WL_ERR_UNSUPPORTED: it takes a manual migration; WL_ERR_DENIED: the policy; WL_ERR_EXISTS: the
 * data that is there does not fit, or a view fails; WL_ERR_INVALID: the program. On any failure tables, module, views
 * and clients stay as they are. [blocking]
 */
enum wl_err database_update(struct database *db, enum runtime_kind kind, struct bytes program,
	const struct database_policy *policy, struct database_environment *environment, struct buf *error);
/* Changes the environment alone, in one transaction that refreshes the views which read it; `expected_hash` (may be
 * NULL) is the program that must be running. [blocking] */
enum wl_err database_environment_update(struct database *db, struct database_environment *change,
	const uint8_t expected_hash[32], struct buf *error);
/* Appends the members "declarations" and "stored_keys" of a JSON object; `hash` is of the program that declares them.
 * [blocking] */
enum wl_err database_environment_json(struct database *db, uint8_t hash[32], struct buf *json);
bool database_variable_name_valid(struct str name);
/* What an update to this program would mean, beside the running module. [blocking] */
struct database_plan {
	bool possible;         /* without a manual migration */
	bool breaks_clients;   /* they are disconnected */
	bool major_upgrade;    /* from a definition of version 9 or older to version 10 */
	uint8_t token[32];     /* Keccak-256 of the texts: database, old hash, new hash */
};
/* `text`: the plan, colored for terminals or not; or, if it is not possible, what stands in the way. False: no
 * memory. `makes_anew`: as in the policy. [blocking] */
bool database_plan(struct database *db, const struct module_def *def, const uint8_t hash[32], bool colored,
	bool makes_anew, struct database_plan *out, struct buf *text);
/* Closes every client (1001, reason), flushes the log, frees tables and module when the last share goes. [blocking] */
void database_close(struct database *db, struct str reason);
struct database *database_share(struct database *db);
void database_release(struct database *db);
bool database_closed(const struct database *db);
/* Its log has failed, for good: nothing is committed any more, and the next run closes its clients (1011). [any] */
bool database_failed(const struct database *db);
bool database_read_only(const struct database *db); /* no space on its disk; ends by itself. [any] */

/*
 * Compiles a program and validates its definition, in a world of its own: what publishing checks first. `hash` is its
 * Keccak-256. Both results are the caller's to release. [blocking]
 */
enum wl_err database_describe(struct runtime *runtime, enum runtime_kind kind, struct bytes code,
	const uint8_t hash[32], struct runtime_program **program, struct module_def **def, struct buf *error);

/* ---- what others may know [any] ---- */
const struct identity *database_identity(const struct database *db);
const struct identity *database_owner(const struct database *db);
struct module_def *database_module(struct database *db); /* a share of the running definition: release it */
struct module_log *database_log(struct database *db);
uint64_t database_durable(const struct database *db);  /* COMMITLOG_NONE: none yet; UINT64_MAX - 1: all (in memory) */
/* Asks for sink->durable(loop) at the next advance; returns the durable offset after asking (no lost wake-up). */
uint64_t database_await_durable(struct database *db, uint32_t loop);
/* Takes that back; false: sink->durable(loop) has been or is being called. */
bool database_await_cancel(struct database *db, uint32_t loop);
bool database_wait_durable(struct database *db, uint64_t offset, uint32_t timeout_ms); /* [blocking] */
void **database_loop_slot(struct database *db, uint32_t loop); /* the sink's own pointer for this pair; loop only */
void delivery_block_done(struct delivery_block *block);        /* gives a consumed block back */
struct database_stats {
	uint64_t transactions, rolled_back, reducer_calls, clients, rows, row_bytes, index_bytes, log_bytes, guest_bytes;
	uint64_t executor_nanos, sessions_busy, energy;
	uint64_t snapshots, snapshot_bytes, snapshot_nanos; /* taken; on disk, all of them; what the last one took */
	uint64_t memory_max, disk_max; /* 0: no limit */
	uint64_t scheduled, ticks_skipped; /* calls that run now; times of intervals that one later call stood for */
};
/* Energy used since the database was opened that nobody has taken account of yet; the latter takes it. [any] */
uint64_t database_energy_untaken(const struct database *db);
uint64_t database_energy_take(struct database *db);
void database_count_busy_session(struct database *db); /* [any] a connection was refused because its session is held */
void database_stats(struct database *db, struct database_stats *out); /* [any], approximate */
/* How long messages and requests waited, from their arrival in the mailbox to when the executor took them. Lives as
 * long as the database. [any] */
const struct waits *database_waits(const struct database *db);
/* How late scheduled rows were called. NULL: none ever was. [any] */
const struct waits *database_schedule_waits(const struct database *db);

/*
 * The state hash: of all rows but those of views and event tables, whatever their order; equal states have equal ones.
 * *offset: of the last transaction in it. `json` (may be NULL): appends one object for each table, between commas.
 * [blocking]
 */
enum wl_err database_state_hash(struct database *db, uint64_t *offset, uint64_t *hash, struct buf *json);

/* ---- callers ---- */
struct database_caller {
	struct identity identity;
	struct connection_id connection; /* zero = none */
	struct str jwt_payload;          /* for st_connection_credentials */
};

/* ---- network clients: messages of one loop, in order ---- */
/*
 * A client is made by the loop, and belongs to the executor from its CONNECT until the loop has sent its
 * DISCONNECT (always the last message; the executor then frees it). Protocol messages carry the client's raw
 * message bytes: decoding beyond the tag happens on the executor, in place.
 */
struct database_client;
struct database_client_options {
	struct database_caller caller;
	struct str token;      /* echoed in the identity message */
	uint64_t conn;         /* net_conn */
	uint32_t loop;
	uint8_t protocol;      /* enum protocol_version */
	uint8_t compression;   /* enum net_compression */
	bool confirmed, light;
	void (*on_gone)(void *context); /* [any] when it has been disconnected, and is forgotten; may be NULL */
	void *gone_context;
};
struct database_client *database_client_create(struct database *db, const struct database_client_options *options);

enum database_message_kind { DATABASE_CONNECT, DATABASE_PROTOCOL, DATABASE_TEXT /* v1: JSON */, DATABASE_DISCONNECT };
struct database_inbox; /* mail of one loop being collected */
/* The loop's open inbox for this database; made when there is none. NULL: no memory (drop the connection). [loop] */
struct database_inbox *database_inbox_open(struct database *db, uint32_t loop);
/* Appends a message; `data` is copied. False: no memory. */
bool database_inbox_put(struct database_inbox *inbox, enum database_message_kind kind, struct database_client *client,
	const void *data, size_t len);
/* Hands the mail over. Does not run anything. */
void database_inbox_post(struct database *db, struct database_inbox *inbox);

/* Gives back what only a database in use needs (its instance, buffers) if nothing was committed or rolled back since
 * the last call; what is needed again is made again. One caller at a time, on a thread with THREAD_STACK_GUEST: mail
 * that comes meanwhile is run. True: something was given back. */
bool database_rest(struct database *db);

/* Runs the executor if its token is free: at most `budget` messages or 500 us. True: mail is left. [any], guest code
 * runs here. */
bool database_run_pending(struct database *db, uint32_t budget);

/* ---- requests that wait [blocking] ---- */
/* Runs fn(db, arg) on the executor. WL_ERR_UNAVAILABLE when closed. */
enum wl_err database_run(struct database *db, void (*fn)(struct database *db, void *arg), void *arg);

/* Does the executor take mail within the time? [blocking] */
bool database_tick(struct database *db, uint32_t timeout_ms);

enum database_outcome {
	DATABASE_COMMITTED,
	DATABASE_RETURNED,        /* procedure: value */
	DATABASE_USER_ERROR,      /* text */
	DATABASE_FATAL,           /* trap, time limit, internal error: text */
	DATABASE_PROCEDURE_FATAL, /* text */
	DATABASE_NO_SUCH,
	DATABASE_IS_LIFECYCLE,    /* text */
	DATABASE_BAD_ARGUMENTS,   /* text */
	DATABASE_CONNECT_REFUSED, /* client_connected failed: text */
	DATABASE_EXHAUSTED,       /* out of energy, before or in the call */
	DATABASE_CONNECT_EXHAUSTED, /* likewise client_connected: text */
	DATABASE_CLOSED,
};
#define DATABASE_EXHAUSTED_TEXT "Module energy budget exhausted."
struct database_result {
	enum database_outcome outcome;
	struct buf text;   /* message, or the JSON of a returned value */
	uint64_t micros;   /* execution */
	uint64_t energy;   /* what it cost */
	uint64_t offset;   /* to wait for before answering; COMMITLOG_NONE */
	bool started;      /* the function ran: duration and energy headers are due */
};
void database_result_deinit(struct database_result *result);
/* POST …/call: connect, call with JSON arguments, disconnect; reducer or procedure. `confirmed`: waits for
 * durability. */
void database_call_json(struct database *db, const struct database_caller *caller, struct str function,
	struct str json, bool confirmed, struct database_result *result);
/*
 * A module's own HTTP handler, by its number in `def`, which is the running definition. [blocking], on a thread with
 * THREAD_STACK_GUEST. `request` is the BSATN of its head. False: `response` has the text of the failure. True:
 * `response` and `body` are what it returned, unchecked, and what it committed is durable.
 */
struct database_http_call {
	uint32_t handler;
	struct bytes request, body;
	struct identity sender; /* of handlers that take one (2.14), with the payload of its token */
	struct str jwt_payload;
};
bool database_http_handler(struct database *db, const struct module_def *def, const struct database_http_call *call,
	struct buf *response, struct buf *body);
bool database_handlers_take_sender(struct database *db);
/* POST …/sql: connect, one statement, disconnect. On success `json` is the whole body. WL_ERR_INVALID: text = cause;
 * WL_ERR_DENIED: connect refused. */
enum wl_err database_sql(struct database *db, const struct database_caller *caller, struct str sql, bool confirmed,
	struct buf *json, uint64_t *micros, struct buf *error);
#endif
