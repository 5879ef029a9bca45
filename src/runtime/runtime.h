/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_H
#define RUNTIME_H
/*
 * runtime: runs module code. One interface, engines behind it (wasm/ now, js/
 * later); the syscalls of the module ABI are implemented once, in
 * syscalls_*.c, against the store.
 *
 * Threading: a runtime and a program are shared by all threads; an instance is
 * used by one thread at a time (the main instance: the executor), and only on
 * threads with THREAD_STACK_GUEST: guests may use 2 MiB of it. Compiling may
 * take seconds: background threads only, with the same stack.
 *
 * Errors: everything a guest does wrong is an outcome with a text, never an
 * abort. After RUNTIME_TRAP, RUNTIME_TIMEOUT or RUNTIME_EXHAUSTED the instance
 * must be replaced.
 *
 * Source: module-abi.md.
 */
#include "base/buf.h"
#include "store/store.h"

enum {
	RUNTIME_CALL_MS_MAX_DEFAULT = 10000,     /* [limits] reducer-ms; 0 = none */
	RUNTIME_PROGRAM_BYTES_MAX = 256 << 20,
	RUNTIME_LAST_MS = 3000,                  /* for guests after runtime_interrupt */
	RUNTIME_COMPILE_SECONDS_MAX = 120,       /* of processor time, when programs are compiled apart */
	RUNTIME_ITERATORS_MAX = 1 << 16,         /* open in one instance */
	RUNTIME_ITERATOR_BYTES_MAX = 1 << 30,    /* copied for open iterators of one instance */
	RUNTIME_CHUNK_BYTES = 32768,             /* an iterator's chunk is closed once it exceeds this */
	RUNTIME_HTTP_BYTES_MAX = 256 << 20,      /* of an answer to a procedure's request */
};

/* Default cap of a guest's linear memory: all that 32 bits address, as modules may count on it. */
#define RUNTIME_GUEST_MEMORY_MAX (UINT64_C(1) << 32)

#define RUNTIME_COMPILE_BYTES_MAX (UINT64_C(4) << 30) /* of address space, likewise */
#define RUNTIME_COMPILER_ARGUMENT "compile-module"

enum runtime_kind { RUNTIME_WASM = 0, RUNTIME_JS = 1 }; /* as st_module.program_kind */

struct runtime;
struct runtime_options {
	/* An executable that calls runtime_compiler_main when its one argument is RUNTIME_COMPILER_ARGUMENT: programs are
	 * compiled by it, with limits; borrowed for as long as the runtime lives. NULL: in this process, without any. */
	const char *compiler;
	const char *cache_dir;        /* compiled code, authenticated under cache_key; NULL = none */
	uint8_t cache_key[32];
	uint64_t guest_memory_max;    /* 0 = default */
	uint32_t call_ms_max;         /* UINT32_MAX = default; 0 = none */
};
struct runtime *runtime_create(const struct runtime_options *options, struct error *error);
void runtime_destroy(struct runtime *runtime);
/* The end is near: what is being compiled apart fails at once, and all that comes; guests are stopped after
 * RUNTIME_LAST_MS. */
void runtime_interrupt(struct runtime *runtime);
bool runtime_interrupted(const struct runtime *runtime);
int runtime_compiler_main(void); /* the exit status */

/* A compiled program, shared by hash among databases. */
struct runtime_program;
/* `error` holds what a client sees, e.g. "failed to parse WebAssembly module: …", ABI and link errors. */
enum wl_err runtime_compile(struct runtime *runtime, enum runtime_kind kind, struct bytes code,
	const uint8_t hash[32], struct runtime_program **out, struct buf *error);
struct runtime_program *runtime_program_share(struct runtime_program *program);
void runtime_program_release(struct runtime_program *program);

enum { RUNTIME_LEVEL_PANIC = 101, RUNTIME_TRACE_MAX = 64 };
struct runtime_log {
	uint8_t level;
	struct str target, filename; /* .data NULL: absent */
	uint32_t line;               /* UINT32_MAX: absent */
	struct str function;         /* the one last started, or empty */
	struct str message;
	int64_t micros;
	const struct str *trace;     /* RUNTIME_LEVEL_PANIC: names of the functions on the guest's stack, innermost first */
	uint32_t trace_count;
};

enum runtime_variable { RUNTIME_VARIABLE_UNDECLARED, RUNTIME_VARIABLE_OPTIONAL, RUNTIME_VARIABLE_REQUIRED };

/* What the syscalls need of the database above: filled in by it, one per instance, outlives the instance. */
struct runtime_env {
	struct store *store;
	struct identity database_identity;
	void *context; /* given back to the callbacks */
	/* A record of console_log or a timer; borrowed for the call. */
	void (*log)(void *context, const struct runtime_log *record);
	/* volatile_nonatomic_schedule_immediate; NULL = not served. */
	void (*schedule_immediate)(void *context, struct str reducer, struct bytes args);
	/* Transactions that a guest opens itself (procedures, initialisers; the latter never commit). All three or none;
	 * NULL: directly on the store, which nobody else may touch meanwhile, and only by initialisers. */
	bool (*tx_begin)(void *context, int64_t *micros); /* may wait; false: closing */
	bool (*tx_commit)(void *context, struct buf *error); /* false: rolled back, the guest traps with `error` */
	void (*tx_rollback)(void *context);
	/* Behind a commit, outside the transaction: waits until it is durable, if somebody counts on that. False: it is not
	 * known to be, and the guest traps with `error`. NULL: nobody does. */
	bool (*tx_confirm)(void *context, struct buf *error);
	/* Returns when the wall clock (micros) is there, at once when it is; `now` is what it then says. False: the
	 * database is closing. NULL: not served. */
	bool (*sleep_until)(void *context, int64_t micros, int64_t *now);
	/* A request to somebody else, which may take long; both are the guest's memory. True: `response` is the BSATN of
	 * the answer's head. False: it is the text of what went wrong; *malformed: `request` is no BSATN of a request's
	 * head. With `response` NULL nothing is sent, only *malformed is told. NULL: not allowed. */
	bool (*http_request)(void *context, struct bytes request, struct bytes body, struct buf *response,
		struct buf *response_body, bool *malformed);
	/* What the running module declares of an environment variable. NULL: it declares none. */
	enum runtime_variable (*variable)(void *context, struct str name);
	/* Around a look at the tables by a guest without a transaction. False: the database is closing. Both or none. */
	bool (*read_begin)(void *context);
	void (*read_end)(void *context);
};

struct runtime_instance;
/* Links, runs start section, _initialize, __preinit__*, __setup__, __describe_module__ in this order; the time limit
 * applies to all of them together. `description` (may be NULL) receives the BSATN RawModuleDef. */
enum wl_err runtime_instance_create(struct runtime_program *program, const struct runtime_env *env,
	struct buf *description, struct runtime_instance **out, struct buf *error);
void runtime_instance_destroy(struct runtime_instance *instance); /* NULL is fine */

enum runtime_outcome {
	RUNTIME_OK,
	RUNTIME_USER_ERROR, /* reducer returned 1: `text` is its message */
	RUNTIME_FAILED,     /* unknown return code, missing export …: `text` says; the instance lives on */
	RUNTIME_TRAP,       /* `text` is for people, with the guest's own reason; clients see RUNTIME_FATAL_TEXT */
	RUNTIME_TIMEOUT,    /* over the time limit; same rules as a trap */
	RUNTIME_EXHAUSTED,  /* over runtime_call.nanos_max; same rules as a trap */
};
/* Is the instance only fit to be destroyed? */
static inline bool runtime_instance_ended(enum runtime_outcome outcome)
{
	return outcome >= RUNTIME_TRAP;
}
#define RUNTIME_FATAL_TEXT "The instance encountered a fatal error."

struct runtime_call {
	uint32_t id;
	struct str name; /* for the log's `function` */
	struct identity sender;
	struct connection_id connection;
	int64_t timestamp; /* micros */
	uint64_t now_nanos; /* a clock_mono_nanos() from just now, if there is one at hand; 0: it is read */
	uint64_t nanos_max; /* beside the time limit of all; 0: none */
	struct bytes args;
	struct bytes body; /* HTTP handlers: the request's; `args` is its head */
	struct str jwt;    /* HTTP handlers that take a sender: the payload of its token */
};
struct runtime_result {
	struct str text;      /* borrowed until the next call on this instance */
	struct bytes value;   /* procedures: the returned BSATN; HTTP handlers: the response's head */
	struct bytes body;    /* HTTP handlers: the response's */
	uint64_t nanos;       /* from beginning to end */
	uint64_t worked_nanos; /* of guest and syscalls together, without what it slept and waited */
	uint64_t end_nanos;   /* clock_mono_nanos() at the end: the next call's now_nanos */
};
/* With an open transaction in env->store; the caller commits or rolls back. */
enum runtime_outcome runtime_call_reducer(struct runtime_instance *instance, const struct runtime_call *call,
	struct runtime_result *result);
/* The module's `__migrate__(timestamp i64, error sink i32) -> i32`: as a reducer without sender and arguments that may
 * read tables which the transaction has dropped or replaced as "old.NAME". */
enum runtime_outcome runtime_call_migration(struct runtime_instance *instance, const struct runtime_call *call,
	struct runtime_result *result);
bool runtime_program_migrates(const struct runtime_program *program); /* is there one? */
/* What a view reads, as it reads it: all of a table, or the rows with a key of an index (its columns back to back). */
struct runtime_reads {
	void *context;
	void (*table)(void *context, struct store_table *table);
	void (*key)(void *context, struct store_index *index, struct bytes key);
};
/* With an open transaction, in which it only reads. `code` and `value` are what it returned. */
enum runtime_outcome runtime_call_view(struct runtime_instance *instance, const struct runtime_call *call,
	bool anonymous, const struct runtime_reads *reads, struct runtime_result *result, int32_t *code);
/* Without one. */
enum runtime_outcome runtime_call_procedure(struct runtime_instance *instance, const struct runtime_call *call,
	struct runtime_result *result);
enum runtime_outcome runtime_call_http_handler(struct runtime_instance *instance, const struct runtime_call *call,
	struct runtime_result *result);
/* Do its HTTP handlers take a sender (2.14)? */
bool runtime_program_handlers_take_sender(const struct runtime_program *program);
/* Bytes of the guest's memory that are in use. */
uint64_t runtime_instance_memory(const struct runtime_instance *instance);
#endif
