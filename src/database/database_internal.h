/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATABASE_INTERNAL_H
#define DATABASE_INTERNAL_H
/* What the files of the room share: the database itself, its mail, its clients. */
#include "base/mem.h"
#include "base/map.h"
#include "base/waits.h"
#include "database/database.h"
#include "database/timers.h"
#include "protocol/protocol.h"
#include "subs/subs.h"

enum {
	GONE_SECONDS = 10,            /* that what a client left behind is worked off */
	STEP_NANOS_MAX = 500000,      /* of one step, beyond the message that is running */
	TICK_BUDGET = 256,            /* messages that a health check may have to run before its own */
	INBOX_BYTES_MAX = 64 << 20,   /* mail of one loop and round */
	POOLED_BYTES_MAX = 1 << 20,   /* a larger inbox or block gives its memory back */
	ERROR_TEXT_BYTES_MAX = 1 << 20,
	JSON_MESSAGE_BYTES_MAX = 256 << 20, /* of a v1 message: JSON of 32 MiB may say more in BSATN */
	REDUCER_NAME_UNKNOWN = UINT32_MAX,
};
#define DATABASE_ALL_DURABLE (UINT64_MAX - 1)

/* ---- mail ---- */
enum mail_kind { MAIL_INBOX, MAIL_TASK, MAIL_LOAN, MAIL_DUE, MAIL_IMMEDIATE, MAIL_READ };
struct mail {
	struct mpsc_node node;
	enum mail_kind kind;
	uint64_t pushed_nanos; /* when it arrived */
};
/* Messages of one loop, back to back. Made by the loop, drained by the executor, given back to the loop. */
struct database_inbox {
	struct mail mail;
	uint32_t loop;
	size_t at; /* next message to process */
	struct buf data;
	struct database_inbox *next_free;
};
struct inbox_message {
	uint32_t size; /* of the whole message, a multiple of 8 */
	uint32_t len;
	uint32_t kind; /* enum database_message_kind */
	uint32_t unused;
	struct database_client *client;
	uint8_t data[];
};
struct task {
	struct mail mail;
	void (*fn)(struct database *db, void *arg);
	void *arg;
	struct monitor *monitor;
	bool done;
	void (*release)(struct task *task); /* NULL: it is the waiter's */
};

/* Somebody waits for the token itself (loan.c). */
struct loan {
	struct mail mail;
	struct monitor *monitor;
	bool granted;
};

/* ---- clients ---- */
struct database_client {
	struct database_caller caller;
	char *jwt_payload, *token; /* owned; freed once connected */
	size_t token_len;
	uint64_t conn;
	uint32_t loop;
	uint8_t protocol, compression;
	bool confirmed, light, connected;
	_Atomic uint64_t gone_nanos; /* set by its loop when the DISCONNECT is on its way; 0: it is here */
	void (*on_gone)(void *context);
	void *gone_context;
	struct subs_client *subs;
	struct buf kept;         /* messages that came while a reply of ours is made: struct kept_message, back to back */
	size_t kept_at;          /* the next of them */
	bool keeps;              /* in db->keeping */
	struct database_client *next_keeping;
	bool is_lost;            /* to be dropped when there is memory for it */
	struct database_client *next, **link; /* in db->clients or db->refused */
};

/* The running module. Replaced as a whole. */
struct running_module {
	struct runtime_program *program;
	struct runtime_instance *instance; /* NULL: to be made before the next call */
	struct module_def *def;
	const struct module_info *info;
	uint8_t hash[32];
	enum runtime_kind kind;
};

/* Of the whole database, on disk (snapshots.c). */
struct snapshots {
	uint64_t base_offset;      /* of the newest one; COMMITLOG_NONE: there is none */
	uint32_t base_generation;  /* of pages, that ended with it */
	bool is_writing;
	uint64_t cost;             /* nanoseconds that a restart would replay for, roughly */
	uint64_t log_bytes;        /* records since the newest one */
	uint64_t state_bytes;      /* what the newest one would have as one file */
	uint64_t retry_after, retry_nanos; /* after a failure; 0: there was none */
	_Atomic uint64_t taken, last_nanos, disk_bytes; /* the last: of all files */
};

struct loop_state {
	_Atomic(struct database_inbox *) free_inboxes; /* executor pushes, loop takes all */
	struct database_inbox *spare_inboxes;          /* loop only */
	void *sink_slot;                               /* loop only */
};

struct database {
	_Atomic uint32_t refs;
	_Atomic bool closing;            /* somebody waits for the end: queues are not worked off any more */
	_Atomic bool closed;
	_Atomic uint32_t token;          /* 1: somebody is the executor */
	_Atomic uint64_t awaiting_loops; /* bit per loop that wants to hear of durable offsets */
	struct mpsc mailbox;
	_Atomic(struct delivery_block *) free_blocks; /* loops push, executor takes all */

	/* executor only */
	struct mail *work;               /* taken from the mailbox, oldest first */
	struct mail **work_last;
	struct loan *loan;               /* whose turn has come: gets the token at the end of the step */
	struct delivery_block *spare_blocks;
	struct store *store;
	struct outbox *outbox;
	struct subs *subs;
	struct commitlog *commitlog;     /* NULL in memory */
	struct running_module module;
	struct runtime_env env;
	struct database_client *clients;
	struct database_client *keeping; /* clients with kept messages */
	struct departed *departed;       /* departed.c */
	uint32_t departed_count, departed_cap;
	struct database_client *refused; /* those that were never let in, and are to be gone */
	bool going_on;                   /* with them */
	uint64_t client_count;
	int64_t last_micros;             /* timestamps never step back */
	int64_t step_micros;             /* wall and monotonic time at the beginning of the step … */
	uint64_t step_nanos;
	uint64_t now_nanos;              /* … and the latest reading in it; 0 outside steps: the clock is read */
	uint64_t offset;                 /* of the last commit; COMMITLOG_NONE before the first */
	struct buf scratch;              /* error texts */
	struct buf json, reply;          /* v1: messages before they are translated */
	const struct subs_event *event;  /* the call whose transaction is open, for v1; NULL: none */
	bool updating;                   /* the open transaction belongs to the next module: this one's views rest */
	bool retabling;                  /* … and its tables are other ones: live queries change with it */
	bool breaking;                   /* … and clients are disconnected behind it */
	bool log_failed;                 /* seen, and clients were closed: nothing is committed any more */

	struct views *views;             /* NULL: none was ever asked for */
	struct schedule *schedule;       /* NULL: no row was ever scheduled */
	int64_t timer_due;               /* what the timer was last set to; INT64_MAX: nothing, or it has fired */
	int64_t schedule_due;            /* when the first row is; INT64_MAX: none */
	bool schedule_lost;              /* rows have no entry for want of memory: they are looked for again */

	struct snapshots snapshots;

	struct db_read *reads;           /* that run, beside the executor … */
	uint32_t read_count;
	struct db_read *waiting_reads, **waiting_reads_last; /* … and those that wait for their turn */

	/* schedules, for others */
	struct timer timer;              /* the timers' */
	struct mail due_mail;
	_Atomic bool due_posted;
	_Atomic uint64_t immediates, immediate_bytes;

	/* fixed after open */
	struct database_options options;
	struct module_log *log;
	char *dir;

	/* whoever calls database_rest */
	uint64_t rest_seen;              /* transactions up to its last call */
	bool rested;

	/* shared, under the lock */
	pthread_mutex_t lock;            /* guards module.def for readers beside the executor, and idle procedures */
	struct procedure *idle_procedures;
	uint32_t idle_procedure_count;
	struct monitor sleepers;         /* procedures that sleep; woken when the database closes */
	_Atomic uint64_t energy_used, energy_beside, energy_taken; /* energy.c */
	_Atomic bool energy_told;
	_Atomic uint64_t scheduled, ticks_skipped;
	_Atomic(struct waits *) schedule_waits; /* made with the first scheduled call */
	bool energy_limited; /* in one way or another; fixed after open */
	_Atomic uint64_t transactions, rolled_back, reducer_calls, clients_now, executor_nanos, sessions_busy, rows,
		row_bytes, index_bytes, guest_bytes;
	struct waits waits; /* of messages and other mail, from their arrival to their turn */
	struct loop_state loops[];
};

/* executor.c */
/* Takes the store; NULL: an empty one is made. */
struct database *db_allocate(const struct database_options *options, struct store *store, struct buf *error);
void db_free(struct database *db);
void db_spares_free(struct database *db);
void db_assert_executor(const struct database *db);
/* Mail arrives. Whoever pushes sees that somebody looks: database_run_pending, or a kick. [any] */
void db_push(struct database *db, struct mail *mail);
int64_t db_now(struct database *db); /* micros, never less than before */
/* Counters have one writer, the executor: a plain addition that others may read. */
static inline void db_count(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_relaxed);
}
/* What begins and ends a step: the clock; log, blocks, figures. */
void db_step_begin(struct database *db);
void db_step_end(struct database *db);
void db_publish_stats(struct database *db); /* for database_stats */
void db_on_durable(void *context, uint64_t offset, enum commitlog_state state);

/* energy.c */
bool db_energy_begin_limited(struct database *db, const struct identity *payer, uint64_t *nanos_max);
void db_energy_charge_payer(struct database *db, const struct identity *payer, uint64_t nanos);
/* A call on behalf of `payer` (NULL: of nobody) is to begin. False: there is no energy left for it. Otherwise
 * *nanos_max is how long it may work, 0 without a limit. [any] */
static inline bool db_energy_begin(struct database *db, const struct identity *payer, uint64_t *nanos_max)
{
	*nanos_max = 0;
	return LIKELY(!db->energy_limited) || db_energy_begin_limited(db, payer, nanos_max);
}
/* The guest has worked for so long: on the executor, and beside it [any]. */
static inline void db_energy_charge(struct database *db, const struct identity *payer, uint64_t nanos)
{
	db_count(&db->energy_used, nanos * DATABASE_ENERGY_PER_NANO);
	if (UNLIKELY(db->energy_limited))
		db_energy_charge_payer(db, payer, nanos);
}
void db_energy_charge_beside(struct database *db, const struct identity *payer, uint64_t nanos);
/* What clients are told. */
#define ENERGY_REDUCER_TEXT "reducer ran out of energy"
#define ENERGY_PROCEDURE_TEXT "Procedure terminated due to insufficient budget"

/* loan.c */
/* Waits for its turn, then this thread is the executor until db_token_return. False: the database is closing. Not from
 * a network loop, not by the executor; on threads that may run guests. */
bool db_token_borrow(struct database *db);
void db_token_return(struct database *db);
void db_token_release(struct database *db); /* without ending a step */
void db_loan_grant(struct loan *loan);

/* views.c */
/* Before the open transaction commits: makes again what it touched. On failure: roll it back. */
enum wl_err db_views_refresh(struct database *db, struct buf *error);
void db_views_settle(struct database *db, bool committed); /* after it has ended */
/* False: there was no memory to make one that the query reads. */
bool db_views_read(struct database *db, const struct query *query, const struct identity *caller);
/* A subs_view_fn. */
bool db_view_used(void *context, struct store_table *table, struct bytes arguments, const struct identity *caller,
	int change);
void db_views_sweep(struct database *db, uint64_t now_nanos);
/* In the transaction that makes the module another: every instance, by the new one. After a failure: roll back. */
enum wl_err db_views_renew(struct database *db, struct buf *error);
/* Their tables are other ones now, or again. */
void db_views_retable(struct database *db);
/* It is committed: instances of views that are gone go, too. Before the next transaction begins. */
void db_views_retabled(struct database *db);
void db_views_free(struct database *db);

/* schedule.c */
void db_schedule_open(struct database *db); /* all rows of schedule tables are there */
void db_schedule_delta(struct database *db, const struct store_delta_table *changed, int64_t micros);
void db_schedule_run(struct database *db);  /* what is due, when its mail comes */
/* Some of what is due, between two messages, outside transactions: its mail waits behind all that came before. */
void db_schedule_some(struct database *db);
void db_schedule_free(struct database *db);
void db_wake_later(struct database *db);    /* something could not be done: it is tried again in a second */
bool db_post_due(struct database *db);      /* [any] false: it is posted already */
/* Calls as the database itself; `args` are checked. A transaction of its own; false: it could not be committed, or
 * there is no energy for it. */
bool db_call_reducer(struct database *db, const struct module_function *function, uint32_t id, struct bytes args,
	int64_t micros);
struct scheduled;
/* On a thread of its own; `entry` (may be NULL) is told when it is done. False: no memory or threads. */
bool db_call_procedure(struct database *db, const struct module_function *function, uint32_t id, struct bytes args,
	int64_t micros, struct scheduled *entry);

/* immediate.c */
void db_schedule_immediate(struct database *db, struct str name, struct bytes args); /* [any] */
void db_immediate_run(struct database *db, struct mail *mail);
void db_immediate_free(struct database *db, struct mail *mail);

/* reads.c */
/* A long read: begin its turn, run it on a snapshot, end it. Embedded in whatever it belongs to. */
struct db_read {
	struct mail mail; /* its end */
	struct db_read *next;
	struct database *db;
	/* [executor] Its turn has come: says which tables the snapshot must have. False: end follows. */
	bool (*begin)(struct db_read *read, struct store_table *const **tables, uint32_t *count);
	void (*run)(struct db_read *read);  /* [a reader] */
	void (*end)(struct db_read *read);  /* [executor] It may free the read. is_running: run has returned. */
	struct store_snapshot *snapshot;
	uint64_t deadline;                  /* of run */
	_Atomic bool cancelled;             /* run is to return soon */
	bool is_running;
};
void db_read_start(struct database *db, struct db_read *read); /* outside transactions */
bool db_reply_read(void *context, struct subs_read *of); /* a subs_read_fn */
void db_read_ended(struct database *db, struct mail *mail);
void db_reads_watch(struct database *db); /* cancels them if the database closes, or they cost too much */

/* open.c */
/* Takes program and def; the instance is to be made. Executor. */
void db_module_install(struct database *db, struct runtime_program *program, struct module_def *def,
	const uint8_t hash[32], enum runtime_kind kind);

/* migrate.c */
struct migration;
/* Does a plan in the open transaction, whose rows are untouched. On failure roll it back, then retable the views. */
enum wl_err db_migrate(struct database *db, const struct migration *plan, const struct module_info *old,
	const struct module_info *info, struct buf *error);
/* Nothing changes but what code calls things: then db_renames does it. */
bool db_migration_is_names(const struct database *db, const struct migration *plan);

/* snapshots.c */
struct snapshot_info;
/* Before the database is: the newest good snapshot's tables, or *store NULL and info->offset COMMITLOG_NONE. */
enum wl_err db_snapshot_open(const struct database_options *options, struct store **store, struct snapshot_info *info,
	struct buf *error);
void db_snapshot_opened(struct database *db, const struct snapshot_info *info);
void db_snapshot_count(struct database *db, size_t record_bytes); /* the log has another record */
void db_snapshot_step(struct database *db); /* outside transactions: takes one if it is time */

/* limits.c */
/* The open transaction, prepared, adds rows: may it, beside what there is? */
bool db_limits_allow(const struct database *db, const struct store_delta *delta, struct buf *error);

/* transaction.c */
/* Commits the open transaction: log, then live queries. `reducer` REDUCER_NAME_UNKNOWN when none. On failure it has
 * been rolled back and `error` says why. `update` (may be NULL) receives the caller's update. */
enum wl_err db_commit(struct database *db, int64_t micros, uint32_t reducer, struct subs_client *caller,
	bool broadcast, struct bytes *update, struct buf *error);
void db_rollback(struct database *db);
bool db_is_closing(const struct database *db); /* or the whole host stops */
/* The log has failed: no commit succeeds any more, and clients are closed, once. */
void db_stop_committing(struct database *db);

/* replay.c */
/* Tables, and the last transaction in them: its offset and time. */
struct replay {
	struct store *store;
	uint64_t offset;
	int64_t micros;
};
enum wl_err replay_record(struct replay *to, uint64_t offset, struct bytes record, struct error *error);
enum wl_err db_replay_record(void *context, uint64_t offset, struct bytes record, struct error *error);

/* state_hash.c */
uint64_t db_store_hash(struct store *store); /* of tables that nobody writes meanwhile */

/* call.c */
struct db_call {
	const struct module_function *function;
	uint32_t id;
	struct database_caller caller;
	struct bytes args; /* checked */
	int64_t micros;
};
/* Runs a reducer in the open transaction; the caller commits or rolls back. A failure is written to the module log. */
enum runtime_outcome db_run_reducer(struct database *db, const struct db_call *call, struct str *text,
	uint64_t *nanos);
/* Begins a transaction in which a reducer may run: makes the instance first if there is none. */
void db_begin(struct database *db);
/* Makes the instance if there is none, outside transactions. */
enum wl_err db_instance_ready(struct database *db, struct buf *error);
void db_instance_drop(struct database *db);
/* Looks a reducer up for this caller: NULL with outcome and text in `why`. */
const struct module_function *db_find_reducer(struct database *db, struct str name,
	const struct identity *caller, uint32_t *id, enum database_outcome *outcome, struct buf *why);
/* What only v1 says of a call; NULL: v2. */
struct v1_call {
	bool is_json;    /* the arguments were JSON: message->args holds them as BSATN */
	bool is_silent;  /* NoSuccessNotify: the caller hears of it as others do */
	struct str json; /* the arguments as they came */
	struct error *refused; /* they could not be read: why */
};
void db_client_call(struct database *db, struct database_client *client,
	const struct protocol_client_message *message, const struct v1_call *v1);
void db_log_failure(struct database *db, int64_t micros, struct str function, struct str message);
void db_log_host(struct database *db, uint8_t level, const char *format, ...) PRINTF_LIKE(3, 4);
void db_log_bad_call(struct database *db, const char *kind, struct str name, bool arguments);

/* v1.c */
void db_v1_message(struct database *db, struct database_client *client, const uint8_t *data, size_t len, bool is_text);
void db_v1_reply(struct database *db, const struct database_client *client, enum protocol_v1_status status,
	struct bytes body, const struct subs_event *event);
void db_v1_identity(struct database *db, struct database_client *client, struct buf *out);
void db_v1_procedure_result(struct database *db, struct buf *out, bool json, const struct str *text, bool exhausted,
	struct bytes value, int64_t micros, int64_t duration_micros, uint32_t request_id);

/* client.c */
void db_client_close(struct database *db, const struct database_client *client, const char *reason);
/* st_client and credentials rows, client_connected: one transaction. `why` has the refusal's text;
 * WL_ERR_LIMIT: no energy for it. */
enum wl_err db_connect(struct database *db, const struct database_caller *caller, struct buf *why);
void db_disconnect(struct database *db, const struct database_caller *caller); /* now or later: departed.c */
bool db_disconnect_now(struct database *db, const struct database_caller *caller); /* false: it is not committed */
void db_client_connect(struct database *db, struct database_client *client);
void db_client_disconnect(struct database *db, struct database_client *client);
void db_client_message(struct database *db, struct database_client *client, uint8_t *data, size_t len, bool is_text);
void db_clients_go_on(struct database *db); /* some of them may wait no more */
bool db_client_left(const struct database_client *client, bool changes);
void db_clients_close(struct database *db, uint16_t code, struct str reason);
void db_client_lost(void *context, uint32_t loop, uint64_t conn); /* this and the next: of outbox_ops */
bool db_clients_drop_lost(void *context, uint32_t loop);
bool db_is_owner(const struct database *db, const struct identity *identity);

/* departed.c: clients that are gone and could not be disconnected yet */
bool db_departed_reserve(struct database *db); /* a place for one more client; false: no memory */
void db_departed_add(struct database *db, const struct database_caller *caller);
bool db_departed_settle(struct database *db, const struct database_caller *caller); /* false: it is still among them */
void db_departed_retry(struct database *db); /* outside transactions */
enum wl_err db_clients_sweep(struct database *db, struct buf *error); /* at open: all that a crash left behind */

/* schema.c */
enum wl_err db_schema_create(struct database *db, const struct module_info *info, struct buf *error);
enum wl_err db_module_row_put(struct database *db, const uint8_t hash[32], enum runtime_kind kind, struct buf *error);
enum wl_err db_module_row_get(struct database *db, uint8_t hash[32], enum runtime_kind *kind, struct buf *error);
/* A table and the table behind a view, as the store knows them; ids are 0. In the arena, which borrows from the
 * module's definition. False: no memory. */
bool db_table_def(struct arena *arena, const struct module_table *from, struct store_table_def *to);
bool db_view_def(struct arena *arena, const struct module_view *view, struct store_table_def *to);
enum wl_err db_table_create(struct database *db, const struct store_table_def *def, struct store_table **out,
	struct buf *error);
enum wl_err db_view_rows_insert(struct database *db, const struct module_view *view, uint32_t table_id,
	struct buf *error);
enum wl_err db_rule_create(struct database *db, struct str sql, struct buf *error);

/* renames.c */
struct db_renames {
	struct store_renaming **list;
	uint32_t count;
	bool takes_over;
};
enum wl_err db_renames_open(struct database *db, struct buf *error); /* the log's tables go by the running definition */
/* Accessors that the definition has for tables which exist; they answer, too, until the end. */
enum wl_err db_renames_begin(struct database *db, const struct module_info *info, struct db_renames *renames,
	struct buf *error);
enum wl_err db_renames_put_rows(struct database *db, const struct db_renames *renames, struct buf *error);
void db_renames_end(struct db_renames *renames, bool keeps);

/* environment.c */
/* In the open transaction; on failure roll it back. `info` is of the module that will run. */
enum wl_err db_environment_apply(struct database *db, const struct module_info *info,
	struct database_environment *change, bool *changed, struct buf *error);
enum runtime_variable db_environment_variable(const struct module_def *def, struct str name);

/* procedure.c */
void db_client_procedure(struct database *db, struct database_client *client,
	const struct protocol_client_message *message, const struct v1_call *v1);
/* Runs on this thread, which is not the executor and may run guests. */
struct procedure_result {
	bool ok, is_exhausted; /* the latter: of energy */
	struct buf value;  /* ok: the returned BSATN */
	struct buf text;   /* otherwise: why */
	struct buf body;   /* ok, of an HTTP handler: the response's; `value` is its head */
	uint64_t nanos, energy;
	uint64_t offset;   /* of the last transaction that it committed; COMMITLOG_NONE */
};
/* `call->id` is of this definition: another one by now is a failure. `confirmed`: a commit returns to the guest when it
 * is durable. */
void db_procedure_run(struct database *db, const struct module_def *def, const struct runtime_call *call,
	bool confirmed, struct procedure_result *result);
void db_http_handler_run(struct database *db, const struct module_def *def, const struct runtime_call *call,
	struct procedure_result *result);
void db_procedure_result_deinit(struct procedure_result *result);
bool db_procedure_thread(thread_fn fn, void *arg); /* false: no memory or threads */
void db_procedures_drop(struct database *db); /* idle instances; [any] */
#endif
