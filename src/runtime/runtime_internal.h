/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_INTERNAL_H
#define RUNTIME_INTERNAL_H
/*
 * What the engine-neutral half of the room and its engines share.
 *
 * A guest is seen as one linear memory (base, size) and integers. A syscall
 * takes the instance and raw guest arguments and returns what the guest gets:
 * 0, -1, an errno - or SYSCALL_TRAP, with the reason in instance->trap_text;
 * the engine then unwinds the guest. Nothing here knows which engine runs.
 *
 * Threading: see runtime.h. The one field another thread reads is
 * `running`, by the ticker.
 */
#include "base/base.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/text.h"
#include "base/thread.h"
#include "runtime/runtime.h"
#include "store/store.h"

/* Error numbers of the ABI (module-abi.md 2.3): those a syscall can return. */
enum {
	ERRNO_HOST_CALL_FAILURE = 1,
	ERRNO_NOT_IN_TRANSACTION = 2,
	ERRNO_BSATN_DECODE_ERROR = 3,
	ERRNO_NO_SUCH_TABLE = 4,
	ERRNO_NO_SUCH_INDEX = 5,
	ERRNO_NO_SUCH_ITER = 6,
	ERRNO_NO_SUCH_CONSOLE_TIMER = 7,
	ERRNO_NO_SUCH_BYTES = 8,
	ERRNO_NO_SPACE = 9,
	ERRNO_BUFFER_TOO_SMALL = 11,
	ERRNO_UNIQUE_ALREADY_EXISTS = 12,
	ERRNO_SCHEDULE_AT_DELAY_TOO_LONG = 13,
	ERRNO_INDEX_NOT_UNIQUE = 14,
	ERRNO_NO_SUCH_ROW = 15,
	ERRNO_WOULD_BLOCK_TRANSACTION = 17,
	ERRNO_TRANSACTION_NOT_ANONYMOUS = 18,
	ERRNO_HTTP_ERROR = 21,
};
#define SYSCALL_TRAP INT32_MIN
#define SYSCALL_DONE (-1) /* exhausted; may carry data */

enum {
	RUNTIME_TICK_MS = 5,
	RUNTIME_TICKS_MAX = 100000,          /* until a guest looks at the clock at the latest */
	RUNTIME_PROGRAM_NAME_MAX = 256,
	RUNTIME_SOURCES_MAX = 4096,          /* unread byte sources of one call */
	RUNTIME_VARIABLE_SOURCES_MAX = 256,  /* with as many, env_get gives no more */
	RUNTIME_SINKS_MAX = 4,               /* a call has one or two, a nested view call one more */
	RUNTIME_SINK_BYTES_MAX = 256 << 20,  /* beyond: errno 9 */
	RUNTIME_TIMERS_MAX = 1 << 16,
	RUNTIME_TIMER_BYTES_MAX = 16 << 20,  /* names of running timers together */
	RUNTIME_LOG_BYTES_MAX = 16 << 20,    /* one text of a log record, also after replacement of bad UTF-8 */
	RUNTIME_ITERATORS_KEEP = 16,         /* closed iterators that wait, with their buffers, for the next scan */
	RUNTIME_BUF_KEEP = 128 << 10,        /* a buffer larger than this is not kept for the next call */
	RUNTIME_TRAP_TEXT_MAX = 1024,
	RUNTIME_TABLES_MAX = 8,              /* WebAssembly tables of a guest, and elements of each */
	RUNTIME_TABLE_ELEMENTS_MAX = 1 << 20,
};

/* ---- handles ---- */
/*
 * Slot numbers as the `slab` crate of the reference gives them: last freed first reused, so handles that a guest
 * may have stored mean the same in both hosts. Handle = slot + 1.
 */
struct slab {
	void **items;   /* live: the item; free: NULL, `next` holds the chain */
	uint32_t *next;
	uint32_t used, cap, free_head; /* free_head == used: no free slot below */
};

enum iterator_state { ITERATOR_LAZY, ITERATOR_COPIED, ITERATOR_BROKEN };
struct iterator {
	struct store_watch watch;            /* first: before_write gets its address */
	struct runtime_instance *instance;
	struct iterator *previous, *following; /* of the instance's lazy ones */
	enum iterator_state state;
	bool has_row;                        /* lazy: `row` was fetched and not yet given out */
	struct store_row row;
	struct store_cursor cursor;
	struct buf data;                     /* copied: rows back to back */
	struct buf ends;                     /* u32 end offsets of all chunks but the last */
	size_t at;                           /* given out so far */
	uint32_t chunk;                      /* index into ends */
};

struct timer {
	uint64_t start_nanos;
	size_t len;
	char name[]; /* valid UTF-8 */
};

struct source {
	uint32_t id;
	const uint8_t *data;
	size_t left;
	void *owned; /* freed at the end of the call; NULL: borrowed from the caller */
};
struct sink {
	uint32_t id; /* 0: free */
	struct buf data;
};

/* ---- programs ---- */
enum runtime_export {
	EXPORT_REDUCER,
	EXPORT_PROCEDURE,
	EXPORT_VIEW,
	EXPORT_VIEW_ANONYMOUS,
	EXPORT_HTTP_HANDLER,
	EXPORT_MIGRATION,
	EXPORT_DESCRIBE,
	EXPORT_COUNT,
};

struct runtime_program {
	struct runtime *runtime;
	enum runtime_kind kind;
	uint8_t hash[32];
	uint32_t references; /* under runtime->programs_lock; 0 only while being removed */
	bool ready;          /* false: a thread is compiling; wait on programs_lock */
	void *engine;        /* what the engine made of it */
};

/* ---- the ticker ---- */
/*
 * Advances the engine's epoch every RUNTIME_TICK_MS, while some instance runs guest code, and is parked otherwise.
 * 1. An instance sets `running` before it looks at `parked`, the ticker sets `parked` before it looks at `running`,
 *    all sequentially consistent: at least one of the two sees the other, so no call runs without ticks.
 * 2. Ticks only ask; whether the limit is over is decided by the clock (instance->deadline_nanos).
 */
struct ticker {
	struct monitor monitor;              /* guards the list and `stop`; the ticker sleeps on it */
	struct runtime_instance *instances;
	_Atomic bool parked;
	_Atomic uint64_t end_nanos;          /* every guest is stopped then; 0: never */
	bool stop, started;
	pthread_t thread;
	void (*tick)(void *engine);
	void *engine;
};
void ticker_wake(struct ticker *ticker);
void ticker_add(struct ticker *ticker, struct runtime_instance *instance);
void ticker_remove(struct ticker *ticker, struct runtime_instance *instance);

/* Children that compile (wasm/compiler.c). */
struct compilers {
	const char *path;                    /* NULL: none, compiling happens in this process */
	struct monitor monitor;
	uint32_t running;                    /* under the monitor */
	_Atomic bool stop;
};

struct runtime {
	struct monitor programs_lock;
	struct map programs;                 /* hash -> struct runtime_program *, no reference held */
	struct ticker ticker;
	struct compilers compilers;
	struct code_cache *cache;            /* NULL: none */
	struct wasm_engine *wasm;
	uint64_t guest_memory_max;
	uint32_t call_ms_max;                /* 0: none */
	uint64_t call_nanos_max, call_ticks; /* the same, as a call needs it */
};

/* ---- instances ---- */
enum frame_kind { FRAME_NONE, FRAME_INIT, FRAME_REDUCER, FRAME_PROCEDURE, FRAME_VIEW };

struct handles { /* of one call; 0: empty, or not used by the export */
	uint32_t source, sink, body, body_sink, jwt;
};
struct engine_ops {
	/* Calls an export; *code is its i32 result. On failure the reason is in instance->text. */
	enum runtime_outcome (*call)(struct runtime_instance *instance, enum runtime_export export,
		const struct runtime_call *call, const struct handles *handles, int32_t *code);
	/* Size of the guest's memory now; the base never moves. */
	size_t (*memory_size)(struct runtime_instance *instance);
	/* Names on the guest's stack, innermost first, their text in `scratch`; how many. */
	uint32_t (*trace)(struct runtime_instance *instance, struct buf *scratch, struct str *names, uint32_t max);
	void (*destroy)(struct runtime_instance *instance);
};

struct runtime_instance {
	/* hot: read or written by every call */
	uint8_t *memory;
	size_t memory_size;                  /* a lower bound: guests grow without telling us, and never shrink */
	const struct runtime_env *env;
	struct store *store;
	const struct engine_ops *ops;
	enum frame_kind frame;
	bool in_tx, anonymous_tx;            /* a transaction is open for this guest / it was opened by the guest */
	bool dead;                           /* trapped: only fit to be destroyed */
	bool timed_out;
	bool is_budgeted;                    /* the call's own limit ends before that of all */
	_Atomic bool running;
	uint64_t deadline_nanos;             /* UINT64_MAX: none */
	uint64_t ticks;                      /* until the clock is looked at */
	uint64_t waited_nanos;               /* in this call: asleep, or until others were ready */
	int64_t call_micros;
	const struct runtime_reads *reads;   /* of a view; NULL: nobody asks */
	bool reads_old; /* a migration function runs: names with "old." before them are of tables as they were */
	struct buf function;                 /* name of the function last started */
	bool has_function;
	struct source *sources;
	uint32_t source_count, source_cap, next_source;
	struct sink sinks[RUNTIME_SINKS_MAX];
	uint32_t next_sink;
	struct iterator *lazy, *spare;       /* of `spare` only `following` and the buffers mean something */
	uint32_t spare_count;
	struct slab iterators, timers;
	size_t iterator_bytes, timer_bytes;
	struct buf text, scratch[4];         /* the result's text; texts of a log record made valid UTF-8 */
	struct runtime_program *program;
	struct runtime_instance *ticker_previous, *ticker_next;
	size_t trap_len;
	char trap_text[RUNTIME_TRAP_TEXT_MAX];
};

void instance_init(struct runtime_instance *instance, struct runtime_program *program, const struct runtime_env *env,
	const struct engine_ops *ops);
/* Around every piece of guest code: the time limit (nanos_max: a lower one; 0: none), the ticker. */
void instance_enter(struct runtime_instance *instance, uint64_t now_nanos, uint64_t nanos_max);
void instance_leave(struct runtime_instance *instance);
/* Around a wait inside a guest's call: the time limit is moved by it. */
uint64_t instance_pause(struct runtime_instance *instance);
void instance_resume(struct runtime_instance *instance, uint64_t paused_nanos);
/* Ends a transaction that the guest opened and left open. True if there was one. */
bool instance_end_dangling_tx(struct runtime_instance *instance);

/* ---- traps and guest memory ---- */
/* Sets the reason and returns SYSCALL_TRAP. */
int32_t syscall_trap(struct runtime_instance *instance, const char *format, ...) PRINTF_LIKE(2, 3);
int32_t syscall_trap_pointer(struct runtime_instance *instance, uint32_t pointer);
uint8_t *guest_slice_slow(struct runtime_instance *instance, uint32_t pointer, uint32_t len);
/* NULL: not a slice of the guest's memory (address 0, even with length 0, or out of bounds). */
static inline uint8_t *guest_slice(struct runtime_instance *instance, uint32_t pointer, uint32_t len)
{
	if (LIKELY(pointer != 0 && (uint64_t)pointer + len <= instance->memory_size))
		return instance->memory + pointer;
	return guest_slice_slow(instance, pointer, len);
}

/* ---- byte streams (bytes_io.c) ---- */
/* *id = 0 for no bytes. `copy`: the data are copied, else borrowed until the end of the call. False: no room. */
bool source_create(struct runtime_instance *instance, struct bytes data, bool copy, uint32_t *id);
/* A copy, and a source also of no bytes. */
bool source_create_present(struct runtime_instance *instance, struct bytes data, uint32_t *id);
uint32_t sink_create(struct runtime_instance *instance); /* 0: all in use */
struct sink *sink_find(struct runtime_instance *instance, uint32_t id);
void sink_release(struct sink *sink);
/* End of a call: all sources and sinks are gone and both counters start again. */
void bytes_reset(struct runtime_instance *instance);
void bytes_deinit(struct runtime_instance *instance);

/* ---- iterators (iterators.c) ---- */
/* Makes an iterator of the cursor. `copy`: all rows now (point scans), else lazily. */
int32_t iterator_open(struct runtime_instance *instance, const struct store_cursor *cursor, bool copy,
	uint32_t out);
/* The transaction or the call ends: what is still lazy is copied. */
void iterators_settle(struct runtime_instance *instance);
void iterators_deinit(struct runtime_instance *instance);

/* ---- slab ---- */
bool slab_put(struct slab *slab, void *item, uint32_t max, uint32_t *handle);
void *slab_get(const struct slab *slab, uint32_t handle);
void *slab_take(struct slab *slab, uint32_t handle); /* NULL: no such handle */
void *slab_next(const struct slab *slab, uint32_t *cursor); /* live items; start with 0, NULL ends */
void slab_deinit(struct slab *slab);

/* ---- compiled-code cache (code_cache.c) ---- */
struct code_cache;
/* `engine` names what the code is for: engine, version, settings. NULL when the folder cannot be used (logged). */
struct code_cache *code_cache_open(const char *dir, const uint8_t key[32], const char *engine);
void code_cache_close(struct code_cache *cache);
/* False: not there, damaged or foreign (it will be replaced). */
bool code_cache_get(struct code_cache *cache, const uint8_t hash[32], struct buf *code);
void code_cache_put(struct code_cache *cache, const uint8_t hash[32], struct bytes code);

/* ---- engines ---- */
struct wasm_engine *wasm_engine_create(const struct runtime_options *options, struct runtime *runtime,
	struct error *error);
void wasm_engine_destroy(struct wasm_engine *engine);
void wasm_engine_tick(void *engine);
const char *wasm_engine_tag(void); /* for the cache */
void wasm_compilers_stop(struct runtime *runtime);
enum wl_err wasm_program_compile(struct runtime *runtime, struct bytes code, const uint8_t hash[32], void **out,
	struct buf *error);
void wasm_program_destroy(void *program);
bool wasm_program_handlers_take_sender(const void *program);
bool wasm_program_migrates(const void *program);
enum wl_err wasm_instance_create(struct runtime_program *program, const struct runtime_env *env,
	struct buf *description, struct runtime_instance **out, struct buf *error);

/* ---- the syscalls: names, order of checks and meaning as in module-abi.md 2.4 ---- */
int32_t syscall_table_id_from_name(struct runtime_instance *in, uint32_t name, uint32_t len, uint32_t out);
int32_t syscall_index_id_from_name(struct runtime_instance *in, uint32_t name, uint32_t len, uint32_t out);
int32_t syscall_table_row_count(struct runtime_instance *in, uint32_t table, uint32_t out);
int32_t syscall_table_scan(struct runtime_instance *in, uint32_t table, uint32_t out);
struct syscall_range {
	uint32_t index, prefix, prefix_len, prefix_elems, start, start_len, end, end_len;
};
int32_t syscall_index_scan_range(struct runtime_instance *in, const struct syscall_range *range, uint32_t out);
int32_t syscall_index_scan_point(struct runtime_instance *in, uint32_t index, uint32_t point,
	uint32_t len, uint32_t out);
int32_t syscall_delete_range(struct runtime_instance *in, const struct syscall_range *range, uint32_t out);
int32_t syscall_delete_point(struct runtime_instance *in, uint32_t index, uint32_t point, uint32_t len, uint32_t out);
int32_t syscall_delete_all_by_eq(struct runtime_instance *in, uint32_t table, uint32_t relation,
	uint32_t len, uint32_t out);
int32_t syscall_insert(struct runtime_instance *in, uint32_t table, uint32_t row, uint32_t row_len);
int32_t syscall_update(struct runtime_instance *in, uint32_t table, uint32_t index, uint32_t row, uint32_t row_len);
int32_t syscall_clear(struct runtime_instance *in, uint32_t table, uint32_t out);
int32_t syscall_iter_advance(struct runtime_instance *in, uint32_t iter, uint32_t buffer, uint32_t buffer_len);
int32_t syscall_iter_close(struct runtime_instance *in, uint32_t iter);
int32_t syscall_source_read(struct runtime_instance *in, uint32_t source, uint32_t buffer, uint32_t buffer_len);
int32_t syscall_source_remaining(struct runtime_instance *in, uint32_t source, uint32_t out);
int32_t syscall_sink_write(struct runtime_instance *in, uint32_t sink, uint32_t buffer, uint32_t buffer_len);
int32_t syscall_schedule_immediate(struct runtime_instance *in, uint32_t name, uint32_t len,
	uint32_t args, uint32_t args_len);
struct syscall_log {
	uint32_t level, target, target_len, filename, filename_len, line, message, message_len;
};
void syscall_console_log(struct runtime_instance *in, const struct syscall_log *record);
int32_t syscall_timer_start(struct runtime_instance *in, uint32_t name, uint32_t len);
int32_t syscall_timer_end(struct runtime_instance *in, uint32_t timer);
int32_t syscall_identity(struct runtime_instance *in, uint32_t out);
int32_t syscall_get_jwt(struct runtime_instance *in, uint32_t connection, uint32_t out);
int32_t syscall_sleep_until(struct runtime_instance *in, int64_t micros, int64_t *now);
int32_t syscall_start_tx(struct runtime_instance *in, uint32_t out);
int32_t syscall_commit_tx(struct runtime_instance *in);
int32_t syscall_abort_tx(struct runtime_instance *in);
int32_t syscall_http_request(struct runtime_instance *in, uint32_t request, uint32_t len,
	uint32_t body, uint32_t body_len,
	uint32_t out);
int32_t syscall_env_get(struct runtime_instance *in, uint32_t key, uint32_t len, uint32_t out);
#endif
