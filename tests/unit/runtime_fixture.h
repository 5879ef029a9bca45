/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_FIXTURE_H
#define RUNTIME_FIXTURE_H
/*
 * For the runtime's tests: the guest modules of data/runtime (compiled on
 * demand), a runtime, an instance with its log, and scripts for script.c.
 */
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "native.h"
#include "runtime/runtime_internal.h"
#include "unit/run_suite.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef GUESTS_DIR
#define GUESTS_DIR "build/guests"
#endif

enum { SCRATCH = 0x80000 };

/* Syscalls by their number in script.c. */
enum guest_call {
	TABLE_ID, INDEX_ID, ROW_COUNT, TABLE_SCAN, SCAN_RANGE, BTREE_SCAN, ADVANCE, CLOSE, INSERT, UPDATE, DELETE_RANGE,
	DELETE_BTREE, DELETE_EQ, IMMEDIATE, SINK_WRITE, SOURCE_READ, CONSOLE_LOG, TIMER_START, TIMER_END, IDENTITY,
	REMAINING, GET_JWT, SLEEP_UNTIL, START_TX, COMMIT_TX, ABORT_TX, HTTP_REQUEST, SCAN_POINT, DELETE_POINT, CLEAR,
	ENV_GET,
};

/* Compiles the guests if a compiler is there; false: skip. */
static inline bool guests_ready(void)
{
	static int ready = -1;
	if (ready < 0)
		ready = system("sh tests/unit/data/runtime/build.sh " GUESTS_DIR) == 0;
	return ready;
}

static inline struct buf file_read(const char *path)
{
	struct buf out = BUF_INIT(64 << 20);
	FILE *file = fopen(path, "rb");
	ck_assert_msg(file != NULL, "cannot open %s", path);
	uint8_t chunk[4096];
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;)
		buf_put(&out, chunk, n);
	fclose(file);
	return out;
}

static inline struct buf guest_code(const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), GUESTS_DIR "/%s.wasm", name);
	return file_read(path);
}

/* ---- a runtime and what its guests log ---- */
struct fixture {
	struct runtime *runtime;
	struct store *store;
	struct runtime_env env;
	struct buf log;      /* "LEVEL|target|file|line|function|message\n", "-" for what is absent */
	struct buf immediate; /* "reducer(length of args)\n" */
	struct runtime_program *program;
	struct runtime_instance *instance;
	struct buf error, script, text;
};

static inline void put_optional(struct buf *out, struct str s)
{
	if (s.data == NULL)
		buf_put_cstr(out, "-");
	else
		buf_put_str(out, s);
	buf_put_u8(out, '|');
}

static inline void fixture_log(void *context, const struct runtime_log *record)
{
	struct fixture *f = context;
	ck_assert_int_gt(record->micros, 0);
	ck_assert_int_eq(record->trace_count > 0, record->level == RUNTIME_LEVEL_PANIC);
	buf_printf(&f->log, "%u|", record->level);
	put_optional(&f->log, record->target);
	put_optional(&f->log, record->filename);
	if (record->line == UINT32_MAX)
		buf_put_cstr(&f->log, "-|");
	else
		buf_printf(&f->log, "%u|", record->line);
	put_optional(&f->log, record->function);
	buf_put_str(&f->log, record->message);
	buf_put_u8(&f->log, '\n');
}

static inline void fixture_immediate(void *context, struct str reducer, struct bytes args)
{
	struct fixture *f = context;
	buf_printf(&f->immediate, "%.*s(%zu)\n", STR_FMT(reducer), args.len);
}

static inline void fixture_init(struct fixture *f, const struct runtime_options *options)
{
	struct runtime_options defaults = { .call_ms_max = UINT32_MAX };
	struct error error = { 0 };
	*f = (struct fixture){ 0 };
	f->runtime = runtime_create(options != NULL ? options : &defaults, &error);
	ck_assert_msg(f->runtime != NULL, "%s", error.text);
	f->store = store_create();
	ck_assert_ptr_nonnull(f->store);
	f->env = (struct runtime_env){ .store = f->store, .context = f, .log = fixture_log,
		.schedule_immediate = fixture_immediate };
	for (size_t i = 0; i < 32; i++)
		f->env.database_identity.le[i] = (uint8_t)(0xa0 + i);
	buf_init(&f->log, 16 << 20);
	buf_init(&f->immediate, 1 << 20);
	buf_init(&f->error, 1 << 20);
	buf_init(&f->script, 1 << 20);
	buf_init(&f->text, 1 << 20);
}

static inline void fixture_deinit(struct fixture *f)
{
	runtime_instance_destroy(f->instance);
	runtime_program_release(f->program);
	if (store_tx_active(f->store))
		store_tx_rollback(f->store);
	store_destroy(f->store);
	runtime_destroy(f->runtime);
	buf_deinit(&f->log);
	buf_deinit(&f->immediate);
	buf_deinit(&f->error);
	buf_deinit(&f->script);
	buf_deinit(&f->text);
}

static inline enum wl_err compile_bytes(struct fixture *f, struct bytes code)
{
	uint8_t hash[32];
	native_keccak256(code.data, code.len, hash);
	buf_clear(&f->error);
	return runtime_compile(f->runtime, RUNTIME_WASM, code, hash, &f->program, &f->error);
}

static inline enum wl_err compile_guest(struct fixture *f, const char *name)
{
	struct buf code = guest_code(name);
	enum wl_err err = compile_bytes(f, buf_bytes(&code));
	buf_deinit(&code);
	return err;
}

/* Compiles and instantiates; the text of a failure is in f->error. */
static inline enum wl_err load_guest(struct fixture *f, const char *name)
{
	runtime_instance_destroy(f->instance);
	f->instance = NULL;
	runtime_program_release(f->program);
	f->program = NULL;
	enum wl_err err = compile_guest(f, name);
	if (err == WL_OK)
		err = runtime_instance_create(f->program, &f->env, NULL, &f->instance, &f->error);
	return err;
}

static inline void must_load(struct fixture *f, const char *name)
{
	enum wl_err err = load_guest(f, name);
	ck_assert_msg(err == WL_OK, "%s: %s", name, buf_text(&f->error));
}

/* A fresh instance of the same program. */
static inline void reload(struct fixture *f)
{
	runtime_instance_destroy(f->instance);
	f->instance = NULL;
	enum wl_err err = runtime_instance_create(f->program, &f->env, NULL, &f->instance, &f->error);
	ck_assert_msg(err == WL_OK, "%s", buf_text(&f->error));
}

/* ---- scripts ---- */
static inline void script_call(struct fixture *f, enum guest_call call, int count, ...)
{
	buf_put_u8(&f->script, 1);
	buf_put_u8(&f->script, (uint8_t)call);
	buf_put_u8(&f->script, (uint8_t)count);
	va_list args;
	va_start(args, count);
	for (int i = 0; i < count; i++) {
		buf_put_u8(&f->script, 0);
		buf_put_u32(&f->script, va_arg(args, uint32_t));
	}
	va_end(args);
}

/* The same with the first argument read from memory at `address`. */
static inline void script_call_at(struct fixture *f, enum guest_call call, uint32_t address, int count, ...)
{
	buf_put_u8(&f->script, 1);
	buf_put_u8(&f->script, (uint8_t)call);
	buf_put_u8(&f->script, (uint8_t)(count + 1));
	buf_put_u8(&f->script, 1);
	buf_put_u32(&f->script, address);
	va_list args;
	va_start(args, count);
	for (int i = 0; i < count; i++) {
		buf_put_u8(&f->script, 0);
		buf_put_u32(&f->script, va_arg(args, uint32_t));
	}
	va_end(args);
}

static inline void script_set(struct fixture *f, uint32_t address, const void *data, uint32_t len)
{
	buf_put_u8(&f->script, 2);
	buf_put_u32(&f->script, address);
	buf_put_u32(&f->script, len);
	buf_put(&f->script, data, len);
}

static inline void script_set_u32(struct fixture *f, uint32_t address, uint32_t value)
{
	script_set(f, address, &value, sizeof(value));
}

static inline void script_set_text(struct fixture *f, uint32_t address, const char *text)
{
	script_set(f, address, text, (uint32_t)strlen(text));
}

static inline void script_get(struct fixture *f, uint32_t address, uint32_t len)
{
	buf_put_u8(&f->script, 3);
	buf_put_u32(&f->script, address);
	buf_put_u32(&f->script, len);
}

static inline void script_grow(struct fixture *f, uint32_t pages)
{
	buf_put_u8(&f->script, 4);
	buf_put_u32(&f->script, pages);
}

static inline void script_trap(struct fixture *f, uint8_t kind)
{
	buf_put_u8(&f->script, 5);
	buf_put_u8(&f->script, kind);
}

static inline void script_return(struct fixture *f, int32_t code)
{
	buf_put_u8(&f->script, 6);
	buf_put_u32(&f->script, (uint32_t)code);
}

static inline void script_count(struct fixture *f)
{
	buf_put_u8(&f->script, 7);
}

static inline void script_fill(struct fixture *f, uint32_t address, uint32_t len, uint8_t byte)
{
	buf_put_u8(&f->script, 8);
	buf_put_u32(&f->script, address);
	buf_put_u32(&f->script, len);
	buf_put_u8(&f->script, byte);
}

/* Repeats what is put between this and script_repeat_end; the counter is the u32 at SCRATCH. */
static inline size_t script_repeat(struct fixture *f, uint32_t times)
{
	buf_put_u8(&f->script, 9);
	buf_put_u32(&f->script, times);
	buf_put_u32(&f->script, 0);
	return f->script.len;
}

static inline void script_repeat_end(struct fixture *f, size_t start)
{
	store_u32(f->script.data + start - 4, (uint32_t)(f->script.len - start));
}

/* Runs the script as reducer 0 (in a transaction, which is left open if one was open before). */
static inline enum runtime_outcome run_script(struct fixture *f, struct runtime_result *result)
{
	bool own = !store_tx_active(f->store);
	if (own)
		store_tx_begin(f->store);
	struct runtime_call call = { .name = STR("script"), .timestamp = 1234567, .args = buf_bytes(&f->script) };
	enum runtime_outcome outcome = runtime_call_reducer(f->instance, &call, result);
	buf_clear(&f->script);
	if (own)
		store_tx_rollback(f->store);
	return outcome;
}

/* Runs the script and compares what it yields, as hex with optional spaces. */
static inline void expect_output(struct fixture *f, const char *expected, const char *file, int line)
{
	struct runtime_result result;
	enum runtime_outcome outcome = run_script(f, &result);
	buf_clear(&f->text);
	for (; *expected != '\0'; expected++)
		if (*expected != ' ')
			buf_put_u8(&f->text, (uint8_t)*expected);
	ck_assert_msg(outcome == RUNTIME_USER_ERROR && str_eq(result.text, buf_str(&f->text)),
		"%s:%d: outcome %d, output\n  %.*s, expected\n  %s", file, line, outcome, STR_FMT(result.text),
		buf_text(&f->text));
}
#define EXPECT(f, expected) expect_output(f, expected, __FILE__, __LINE__)

/* Runs the script, expects a trap with `reason` in its text, and makes a new instance. */
static inline void expect_trap(struct fixture *f, const char *reason, const char *file, int line)
{
	struct runtime_result result;
	enum runtime_outcome outcome = run_script(f, &result);
	buf_clear(&f->text);
	buf_put_str(&f->text, result.text);
	ck_assert_msg(outcome == RUNTIME_TRAP && strstr(buf_text(&f->text), reason) != NULL,
		"%s:%d: outcome %d, text %s, expected %s", file, line, outcome, buf_text(&f->text), reason);
	reload(f);
}
#define EXPECT_TRAP(f, reason) expect_trap(f, reason, __FILE__, __LINE__)

static inline int run_guest_suite(Suite *suite)
{
	if (!guests_ready()) {
		printf("skipped: no compiler for WebAssembly\n");
		return 0;
	}
	log_set_level(LOG_ERROR);
	return run_suite(suite);
}
#endif
