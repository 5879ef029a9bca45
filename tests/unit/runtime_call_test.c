/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: outcomes and their texts, what survives them, limits of time, stack and memory, and what runs at creation. */
#include "unit/runtime_fixture.h"

#include "base/clock.h"

#include <time.h>

static struct fixture f;

static void setup(void)
{
	fixture_init(&f, NULL);
	must_load(&f, "script");
}

static void teardown(void)
{
	fixture_deinit(&f);
}

static enum runtime_outcome call(uint32_t id, const void *args, size_t len, struct runtime_result *result)
{
	bool own = !store_tx_active(f.store);
	if (own)
		store_tx_begin(f.store);
	struct runtime_call c = { .id = id, .name = STR("some"), .args = { args, len } };
	enum runtime_outcome outcome = runtime_call_reducer(f.instance, &c, result);
	if (own)
		store_tx_rollback(f.store);
	return outcome;
}

static void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&t, NULL);
}

/* Goal: code 0 is success, whatever is in the sink. */
START_TEST(success_ignores_the_sink)
{
	struct runtime_result result;
	script_count(&f);
	script_return(&f, 0);
	ck_assert_int_eq(run_script(&f, &result), RUNTIME_OK);
	ck_assert_uint_eq(result.text.len, 0);
	ck_assert_uint_gt(result.nanos, 0);
	ck_assert_uint_lt(result.nanos, 1000000000);
}
END_TEST

/* Goal: code 1 is the module's own error; its text may be empty, and bad UTF-8 is replaced. */
START_TEST(user_errors_have_their_text)
{
	struct runtime_result result;
	script_return(&f, 1);
	ck_assert_int_eq(run_script(&f, &result), RUNTIME_USER_ERROR);
	ck_assert_uint_eq(result.text.len, 0);
	script_set(&f, SCRATCH, "bad \xff\xfe bytes \xc3", 14);
	script_get(&f, SCRATCH, 14);
	script_return(&f, 1);
	ck_assert_int_eq(run_script(&f, &result), RUNTIME_USER_ERROR);
	ck_assert(str_eq(result.text, STR("bad \xef\xbf\xbd\xef\xbf\xbd bytes \xef\xbf\xbd")));
	/* A character cut over two writes is whole. */
	script_set(&f, SCRATCH, "\xe2\x82\xac", 3);
	script_set_u32(&f, SCRATCH + 16, 2);
	script_call(&f, SINK_WRITE, 3, 2, SCRATCH, SCRATCH + 16);
	script_set_u32(&f, SCRATCH + 16, 1);
	script_call(&f, SINK_WRITE, 3, 2, SCRATCH + 2, SCRATCH + 16);
	script_return(&f, 1);
	reload(&f);
	ck_assert_int_eq(run_script(&f, &result), RUNTIME_USER_ERROR);
	ck_assert(str_eq(result.text, STR("\xe2\x82\xac\0\0\0\0\0\0\0\0")));
}
END_TEST

/* Goal: any other code is an internal error that leaves the instance as it is. */
START_TEST(unknown_codes_keep_the_instance)
{
	static const int32_t codes[] = { 2, 3, -4, 255, 65536, INT32_MIN, -1 };
	struct runtime_result result;
	for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
		script_count(&f);
		script_return(&f, codes[i]);
		ck_assert_int_eq(run_script(&f, &result), RUNTIME_FAILED);
		ck_assert(str_eq(result.text, STR("unknown return code")));
	}
	script_count(&f);
	EXPECT(&f, "08000000");
}
END_TEST

/* Goal: identity, connection and timestamp arrive as the ABI cuts them into words. */
START_TEST(the_caller_arrives)
{
	struct runtime_call c = { .id = 3, .name = STR("who"), .timestamp = -5 };
	identity_from_hex(STR("c200112233445566778899aabbccddeeff00112233445566778899aabbccddee"), &c.sender);
	connection_id_from_hex(STR("000102030405060708090a0b0c0d0e0f"), &c.connection);
	struct runtime_result result;
	/* The raw bytes are no UTF-8: a procedure's value would do, but the sink can be looked at here. */
	store_tx_begin(f.store);
	ck_assert_int_eq(runtime_call_reducer(f.instance, &c, &result), RUNTIME_USER_ERROR);
	store_tx_rollback(f.store);
	const uint8_t *words = f.instance->sinks[0].data.data;
	ck_assert_uint_eq(f.instance->sinks[0].data.len, 56);
	ck_assert_uint_eq(load_u64(words), 0x778899aabbccddeeu);
	ck_assert_uint_eq(load_u64(words + 8), 0xff00112233445566u);
	ck_assert_uint_eq(load_u64(words + 16), 0x778899aabbccddeeu);
	ck_assert_uint_eq(load_u64(words + 24), 0xc200112233445566u);
	ck_assert_uint_eq(load_u64(words + 32), 0x08090a0b0c0d0e0fu);
	ck_assert_uint_eq(load_u64(words + 40), 0x0001020304050607u);
	ck_assert_int_eq((int64_t)load_u64(words + 48), -5);
}
END_TEST

/* Goal: every way to trap is an outcome with the guest's reason, on a thread with the stack of guests. */
static void trap_in_thread(void *arg)
{
	static const char *const reasons[] = {
		"unreachable", "memory", "out of bounds memory access", "integer divide by zero", "integer overflow",
		"undefined element", "integer overflow", "indirect call type mismatch",
	};
	(void)arg;
	for (size_t kind = 0; kind < ARRAY_COUNT(reasons); kind++) {
		script_count(&f);
		EXPECT(&f, "01000000");
		script_trap(&f, (uint8_t)kind);
		EXPECT_TRAP(&f, reasons[kind]);
	}
}

START_TEST(traps_are_outcomes)
{
	pthread_t thread;
	ck_assert(thread_start(&thread, "guest", THREAD_STACK_GUEST, trap_in_thread, NULL));
	thread_join(thread);
}
END_TEST

/* Goal: globals and memory live from call to call, and are fresh after a new instance. */
START_TEST(an_instance_has_a_memory)
{
	script_set(&f, SCRATCH, "\xab\xcd\xef\x01", 4);
	script_grow(&f, 3);
	EXPECT(&f, "20000000");
	script_get(&f, SCRATCH, 4);
	script_grow(&f, 0);
	EXPECT(&f, "abcdef01 23000000");
	ck_assert_uint_eq(runtime_instance_memory(f.instance), 35 * 65536);
	script_trap(&f, 0);
	EXPECT_TRAP(&f, "unreachable");
	script_get(&f, SCRATCH, 4);
	script_grow(&f, 0);
	EXPECT(&f, "00000000 20000000");
}
END_TEST

/* Goal: syscalls see memory that the guest has just grown. */
START_TEST(syscalls_follow_growth)
{
	script_call(&f, IDENTITY, 1, 32 * 65536);
	EXPECT_TRAP(&f, "out of bounds pointer passed to a spacetime function");
	script_grow(&f, 1);
	script_call(&f, IDENTITY, 1, 32 * 65536);
	script_get(&f, 32 * 65536, 2);
	EXPECT(&f, "20000000 00000000 a0a1");
}
END_TEST

/* Goal: the cap on memory holds for growth and for what a module starts with. */
START_TEST(memory_is_capped)
{
	struct runtime_options options = { .call_ms_max = UINT32_MAX, .guest_memory_max = 40 * 65536 };
	struct fixture small;
	fixture_init(&small, &options);
	must_load(&small, "script");
	script_grow(&small, 9);
	script_grow(&small, 8);
	script_grow(&small, 1);
	EXPECT(&small, "ffffffff 20000000 ffffffff");
	fixture_deinit(&small);
	options.guest_memory_max = 20 * 65536;
	fixture_init(&small, &options);
	ck_assert_int_eq(load_guest(&small, "script"), WL_ERR_INVALID);
	ck_assert_msg(strstr(buf_text(&small.error), "memory") != NULL, "%s", buf_text(&small.error));
	fixture_deinit(&small);
}
END_TEST

/* ---- time ---- */

static const struct runtime_options hurried = { .call_ms_max = 60 };

/* Goal: a reducer that never ends is stopped at the limit, and the text names it; also after the ticker slept. */
START_TEST(endless_reducers_are_stopped)
{
	struct fixture fast;
	fixture_init(&fast, &hurried);
	must_load(&fast, "script");
	for (int round = 0; round < 3; round++) {
		struct runtime_result result;
		if (round == 2) {
			sleep_ms(250);
			ck_assert(atomic_load(&fast.runtime->ticker.parked));
		}
		script_trap(&fast, 8);
		uint64_t start = clock_mono_nanos();
		ck_assert_int_eq(run_script(&fast, &result), RUNTIME_TIMEOUT);
		uint64_t took = (clock_mono_nanos() - start) / 1000000;
		ck_assert_msg(took >= 59 && took < 2000, "took %llu ms", (unsigned long long)took);
		ck_assert(str_eq(result.text, STR("the function ran longer than the limit of 60 ms and was stopped")));
		reload(&fast);
	}
	fixture_deinit(&fast);
}
END_TEST

/* Goal: a call's own limit ends it, beside that of all or without one; the next call has its own again. */
START_TEST(a_budget_ends_a_call)
{
	static const struct runtime_options endless = { .call_ms_max = 0 };
	for (int i = 0; i < 2; i++) {
		struct fixture own;
		struct runtime_result result;
		fixture_init(&own, i == 0 ? &endless : NULL);
		must_load(&own, "script");
		script_trap(&own, 8);
		struct runtime_call c = { .name = STR("spins"), .args = buf_bytes(&own.script), .nanos_max = 30000000 };
		store_tx_begin(own.store);
		ck_assert_int_eq(runtime_call_reducer(own.instance, &c, &result), RUNTIME_EXHAUSTED);
		ck_assert(runtime_instance_ended(RUNTIME_EXHAUSTED) && result.worked_nanos >= 30000000);
		store_tx_rollback(own.store);
		buf_clear(&own.script);
		reload(&own);
		script_count(&own);
		ck_assert_int_eq(run_script(&own, &result), RUNTIME_USER_ERROR);
		fixture_deinit(&own);
	}
}
END_TEST

/* Goal: the limit is that of one call, not of many. */
START_TEST(the_limit_starts_anew_with_each_call)
{
	struct fixture fast;
	fixture_init(&fast, &hurried);
	must_load(&fast, "script");
	uint64_t start = clock_mono_nanos();
	uint32_t calls = 0;
	while (clock_mono_nanos() - start < 200000000) {
		script_count(&fast);
		struct runtime_result result;
		ck_assert_int_eq(run_script(&fast, &result), RUNTIME_USER_ERROR);
		calls++;
	}
	ck_assert_uint_gt(calls, 10);
	fixture_deinit(&fast);
}
END_TEST

/* Goal: initialisers are stopped by the same limit. */
START_TEST(endless_initialisers_are_stopped)
{
	struct fixture fast;
	fixture_init(&fast, &hurried);
	fast.env.log = NULL;
	ck_assert_int_eq(load_guest(&fast, "preinit_loop"), WL_ERR_INVALID);
	ck_assert_str_eq(buf_text(&fast.error), "wasm trap while calling \"__preinit__10_it\": the function ran longer "
		"than the limit of 60 ms and was stopped");
	fixture_deinit(&fast);
}
END_TEST

/*
 * A module by hand: one import (row_iter_bsatn_close), the required exports, and `start` as body of a start function
 * of type ()->() (function 3).
 */
static struct buf module_with_start(const uint8_t *body, uint8_t len)
{
	struct buf m = BUF_INIT(4096);
	buf_put(&m, "\0asm\1\0\0\0", 8);
	buf_put(&m, (uint8_t[]){ 1, 27, 4, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 10, 0x7f, 0x7e, 0x7e, 0x7e, 0x7e, 0x7e, 0x7e, 0x7e,
		0x7f, 0x7f, 1, 0x7f, 0x60, 1, 0x7f, 0, 0x60, 0, 0 }, 29);
	buf_put(&m, (uint8_t[]){ 2, 39, 1, 14 }, 4);
	buf_put_cstr(&m, "spacetime_10.0");
	buf_put_u8(&m, 20);
	buf_put_cstr(&m, "row_iter_bsatn_close");
	buf_put(&m, (uint8_t[]){ 0, 0, 3, 4, 3, 1, 2, 3, 5, 3, 1, 0, 1 }, 13);
	buf_put(&m, (uint8_t[]){ 7, 51, 3, 6 }, 4);
	buf_put_cstr(&m, "memory");
	buf_put(&m, (uint8_t[]){ 2, 0, 16 }, 3);
	buf_put_cstr(&m, "__call_reducer__");
	buf_put(&m, (uint8_t[]){ 0, 1, 19 }, 3);
	buf_put_cstr(&m, "__describe_module__");
	buf_put(&m, (uint8_t[]){ 0, 2, 8, 1, 3 }, 5);
	buf_put(&m, (uint8_t[]){ 10, (uint8_t)(1 + 5 + 3 + 2 + len), 3, 4, 0, 0x41, 0, 0x0b, 2, 0, 0x0b,
		(uint8_t)(len + 1), 0 }, 13);
	buf_put(&m, body, len);
	return m;
}

static enum wl_err load_start(struct fixture *g, const uint8_t *body, uint8_t len)
{
	struct buf m = module_with_start(body, len);
	enum wl_err err = compile_bytes(g, buf_bytes(&m));
	buf_deinit(&m);
	if (err == WL_OK)
		err = runtime_instance_create(g->program, &g->env, NULL, &g->instance, &g->error);
	return err;
}

/* Goal: a start section may call the host, trap or loop; it is bounded like everything else. */
START_TEST(start_sections_are_bounded)
{
	static const uint8_t calls[] = { 0x41, 7, 0x10, 0, 0x1a, 0x0b };        /* close(7); drop */
	static const uint8_t traps[] = { 0x00, 0x0b };
	static const uint8_t loops[] = { 0x03, 0x40, 0x0c, 0, 0x0b, 0x0b };     /* loop br 0 end */
	struct fixture g;
	fixture_init(&g, &hurried);
	ck_assert_msg(load_start(&g, calls, sizeof(calls)) == WL_OK, "%s", buf_text(&g.error));
	fixture_deinit(&g);
	fixture_init(&g, &hurried);
	ck_assert_int_eq(load_start(&g, traps, sizeof(traps)), WL_ERR_INVALID);
	ck_assert_msg(strstr(buf_text(&g.error), "unreachable") != NULL, "%s", buf_text(&g.error));
	fixture_deinit(&g);
	fixture_init(&g, &hurried);
	ck_assert_int_eq(load_start(&g, loops, sizeof(loops)), WL_ERR_INVALID);
	ck_assert_msg(strstr(buf_text(&g.error), "limit of 60 ms") != NULL, "%s", buf_text(&g.error));
	fixture_deinit(&g);
}
END_TEST

static void recurse_in_thread(void *arg)
{
	static const uint8_t body[] = { 0x10, 3, 0x0b }; /* calls itself */
	enum wl_err *err = arg;
	*err = load_start(&f, body, sizeof(body));
}

/* Goal: recursion that takes no guest memory traps well before the stack of a guest's thread ends. */
START_TEST(recursion_ends_in_a_trap)
{
	runtime_instance_destroy(f.instance);
	runtime_program_release(f.program);
	f.instance = NULL;
	f.program = NULL;
	enum wl_err err;
	pthread_t thread;
	ck_assert(thread_start(&thread, "guest", THREAD_STACK_GUEST, recurse_in_thread, &err));
	thread_join(thread);
	ck_assert_int_eq(err, WL_ERR_INVALID);
	ck_assert_msg(strstr(buf_text(&f.error), "call stack exhausted") != NULL, "%s", buf_text(&f.error));
}
END_TEST

/* ---- creation ---- */

/* Goal: _initialize, then __preinit__* by bytes of their whole names, then __setup__; no function name is logged. */
START_TEST(initialisers_run_in_order)
{
	buf_clear(&f.log);
	must_load(&f, "order");
	ck_assert_str_eq(buf_text(&f.log), "2|-|-|-|-|_initialize\n2|-|-|-|-|\n2|-|-|-|-|10_a\n2|-|-|-|-|10_b\n"
		"2|-|-|-|-|9_c\n2|-|-|-|-|A\n2|-|-|-|-|__setup__\n");
}
END_TEST

/* Goal: the description is handed out; failures at creation have the known texts. */
START_TEST(creation_fails_with_the_known_texts)
{
	static const char *const failures[][2] = {
		{ "preinit_trap", "wasm trap while calling \"__preinit__10_it\": " },
		{ "preinit_null", "null pointer passed to a spacetime function" },
		{ "setup_error", "setup function returned an error: not \xef\xbf\xbdtoday" },
		{ "setup_code", "wasm trap while calling \"__setup__\": unknown return code" },
		{ "describe_trap", "error getting module description: " },
		{ "preinit_commit", "a transaction of an initialiser cannot be committed" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(failures); i++) {
		ck_assert_int_eq(load_guest(&f, failures[i][0]), WL_ERR_INVALID);
		ck_assert_ptr_null(f.instance);
		ck_assert_msg(strstr(buf_text(&f.error), failures[i][1]) != NULL, "%s: %s", failures[i][0],
			buf_text(&f.error));
		ck_assert(!store_tx_active(f.store));
	}
	must_load(&f, "plain");
	struct buf description = BUF_INIT(100);
	runtime_instance_destroy(f.instance);
	ck_assert_int_eq(runtime_instance_create(f.program, &f.env, &description, &f.instance, &f.error), WL_OK);
	ck_assert(str_eq(buf_str(&description), STR("described")));
	buf_deinit(&description);
	runtime_instance_destroy(f.instance);
	f.instance = NULL;
	struct buf tiny = BUF_INIT(4);
	ck_assert_int_eq(runtime_instance_create(f.program, &f.env, &tiny, &f.instance, &f.error), WL_ERR_LIMIT);
	buf_deinit(&tiny);
}
END_TEST

/* Goal: a transaction that an initialiser leaves open is rolled back. */
START_TEST(initialisers_leave_no_transaction)
{
	buf_clear(&f.log);
	must_load(&f, "preinit_tx");
	ck_assert_str_eq(buf_text(&f.log), "2|-|-|-|-|began\n");
	ck_assert(!store_tx_active(f.store));
}
END_TEST

/* ---- procedures ---- */

static int began, committed, rolled_back;
static bool commit_succeeds;
static bool tx_begin(void *context, int64_t *micros)
{
	began++;
	*micros = 0x1122334455;
	store_tx_begin(((struct fixture *)context)->store);
	return true;
}
static bool tx_commit(void *context, struct buf *error)
{
	committed++;
	store_tx_rollback(((struct fixture *)context)->store);
	if (!commit_succeeds)
		buf_put_cstr(error, "not durable");
	return commit_succeeds;
}
static bool confirm_succeeds;
static bool tx_confirm(void *context, struct buf *error)
{
	(void)context;
	sleep_ms(100); /* longer than a call may work */
	if (!confirm_succeeds)
		buf_put_cstr(error, "outcome unknown");
	return confirm_succeeds;
}
static void tx_rollback(void *context)
{
	rolled_back++;
	store_tx_rollback(((struct fixture *)context)->store);
}

static enum runtime_outcome run_procedure(struct runtime_result *result)
{
	struct runtime_call c = { .name = STR("proc"), .args = buf_bytes(&f.script) };
	enum runtime_outcome outcome = runtime_call_procedure(f.instance, &c, result);
	buf_clear(&f.script);
	return outcome;
}

static void expect_value(const char *hex)
{
	struct runtime_result result;
	enum runtime_outcome outcome = run_procedure(&result);
	uint8_t wanted[256];
	size_t len = strlen(hex) / 2;
	ck_assert_msg(outcome == RUNTIME_OK, "%.*s", STR_FMT(result.text));
	ck_assert(hex_decode(str_of(hex), wanted, len));
	ck_assert(bytes_eq(result.value, (struct bytes){ wanted, len }));
}

/* Goal: values, codes, traps and missing exports of procedures. */
START_TEST(procedures_return_values)
{
	struct runtime_result result;
	script_count(&f);
	expect_value("01000000");
	expect_value("");
	script_count(&f);
	script_return(&f, 2);
	ck_assert_int_eq(run_procedure(&result), RUNTIME_FAILED);
	ck_assert(str_eq(result.text,
		STR("__call_procedure__ returned unexpected code 2. Procedures should return code 0 or trap.")));
	script_trap(&f, 0);
	ck_assert_int_eq(run_procedure(&result), RUNTIME_TRAP);
	must_load(&f, "script_reducers");
	ck_assert_int_eq(run_procedure(&result), RUNTIME_FAILED);
	ck_assert(str_eq(result.text, STR("Module defines procedure proc but does not export `__call_procedure__`")));
	script_count(&f);
	EXPECT(&f, "01000000");
}
END_TEST

/* Goal: without a database that serves them, transactions of procedures trap, and tables are out of reach. */
START_TEST(procedures_without_transactions)
{
	struct runtime_result result;
	script_call(&f, ROW_COUNT, 2, 1, SCRATCH);
	script_call(&f, COMMIT_TX, 0);
	script_call(&f, ABORT_TX, 0);
	expect_value("020000001200000012000000");
	script_call(&f, START_TX, 1, SCRATCH);
	ck_assert_int_eq(run_procedure(&result), RUNTIME_TRAP);
}
END_TEST

/* Goal: start, commit and abort reach the database, errnos are those of the ABI, and one left open is rolled back. */
START_TEST(procedures_with_transactions)
{
	struct runtime_result result;
	f.env.tx_begin = tx_begin;
	f.env.tx_commit = tx_commit;
	f.env.tx_rollback = tx_rollback;
	began = committed = rolled_back = 0;
	commit_succeeds = true;
	script_call(&f, START_TX, 1, SCRATCH);
	script_get(&f, SCRATCH, 8);
	script_call(&f, START_TX, 1, SCRATCH);
	script_call(&f, ROW_COUNT, 2, ST_TABLE, SCRATCH);
	script_call(&f, COMMIT_TX, 0);
	script_call(&f, COMMIT_TX, 0);
	script_call(&f, ROW_COUNT, 2, ST_TABLE, SCRATCH);
	script_call(&f, START_TX, 1, SCRATCH);
	script_call(&f, ABORT_TX, 0);
	script_call(&f, ABORT_TX, 0);
	expect_value("00000000" "5544332211000000" "11000000" "00000000" "00000000" "12000000" "02000000" "00000000"
		"00000000" "12000000");
	ck_assert_int_eq(began, 2);
	ck_assert_int_eq(committed, 1);
	ck_assert_int_eq(rolled_back, 1);
	buf_clear(&f.log);
	script_call(&f, START_TX, 1, SCRATCH);
	expect_value("00000000");
	ck_assert_int_eq(rolled_back, 2);
	ck_assert_str_eq(buf_text(&f.log), "0|-|-|-|-|aborting dangling anonymous transaction in procedure proc\n");
	commit_succeeds = false;
	script_call(&f, START_TX, 1, SCRATCH);
	script_call(&f, COMMIT_TX, 0);
	ck_assert_int_eq(run_procedure(&result), RUNTIME_TRAP);
	buf_clear(&f.text);
	buf_put_str(&f.text, result.text);
	ck_assert_ptr_nonnull(strstr(buf_text(&f.text), "not durable"));
	ck_assert_int_eq(rolled_back, 2);
	reload(&f);
	/* A trap between start and commit rolls back, too. */
	script_call(&f, START_TX, 1, SCRATCH);
	script_trap(&f, 0);
	ck_assert_int_eq(run_procedure(&result), RUNTIME_TRAP);
	ck_assert_int_eq(rolled_back, 3);
}
END_TEST

/* Goal: waiting until a commit is durable is no work, and its failure ends the procedure, not the transaction. */
START_TEST(procedures_wait_for_their_commits)
{
	struct fixture fast;
	struct runtime_result result;
	fixture_init(&fast, &hurried);
	fast.env.tx_begin = tx_begin;
	fast.env.tx_commit = tx_commit;
	fast.env.tx_rollback = tx_rollback;
	fast.env.tx_confirm = tx_confirm;
	must_load(&fast, "script");
	commit_succeeds = confirm_succeeds = true;
	began = committed = rolled_back = 0;
	for (int round = 0; round < 2; round++) {
		struct runtime_call c = { .name = STR("proc") };
		script_call(&fast, START_TX, 1, SCRATCH);
		script_call(&fast, COMMIT_TX, 0);
		c.args = buf_bytes(&fast.script);
		ck_assert_int_eq(runtime_call_procedure(fast.instance, &c, &result), round == 0 ? RUNTIME_OK : RUNTIME_TRAP);
		buf_clear(&fast.script);
		ck_assert(result.nanos >= 100000000 && result.worked_nanos < result.nanos - 90000000);
		confirm_succeeds = false;
	}
	ck_assert(memmem(result.text.data, result.text.len, "outcome unknown", 15) != NULL);
	ck_assert(began == 2 && committed == 2 && rolled_back == 0);
	fixture_deinit(&fast);
}
END_TEST

/* ---- cost ---- */

/* Goal: calls with arguments, errors and host calls allocate nothing once warm. */
START_TEST(calls_allocate_nothing)
{
	struct runtime_result result;
	uint32_t n = 3;
	uint64_t before = 0;
	for (int i = 0; i < 1100; i++) {
		if (i == 100)
			before = mem_stats().allocations;
		ck_assert_int_eq(call(1, NULL, 0, &result), RUNTIME_OK);
		ck_assert_int_eq(call(2, &n, 4, &result), RUNTIME_OK);
		ck_assert_int_eq(call(0, "\7", 1, &result), RUNTIME_USER_ERROR);
	}
	ck_assert_uint_eq(mem_stats().allocations, before);
}
END_TEST

/* Goal: when memory runs out while an instance is made or used, that is an error, and nothing leaks. */
START_TEST(failing_allocations_are_errors)
{
	runtime_instance_destroy(f.instance);
	f.instance = NULL;
	uint64_t live = mem_stats().live_bytes;
	for (uint64_t n = 1; n < 40; n++) {
		buf_clear(&f.error);
		buf_reserve(&f.error, 4096);
		mem_fail_at(n, false);
		enum wl_err err = runtime_instance_create(f.program, &f.env, NULL, &f.instance, &f.error);
		mem_fail_at(0, false);
		ck_assert(err == WL_OK || f.instance == NULL);
		if (err == WL_OK) {
			script_count(&f);
			bool own = !store_tx_active(f.store);
			if (own)
				store_tx_begin(f.store);
			struct runtime_call c = { .name = STR("a name that needs room"), .args = buf_bytes(&f.script) };
			struct runtime_result result;
			mem_fail_at(n, true);
			enum runtime_outcome outcome = runtime_call_reducer(f.instance, &c, &result);
			mem_fail_at(0, false);
			ck_assert(outcome == RUNTIME_USER_ERROR || outcome == RUNTIME_FAILED || outcome == RUNTIME_TRAP);
			buf_clear(&f.script);
			if (own)
				store_tx_rollback(f.store);
		}
		runtime_instance_destroy(f.instance);
		f.instance = NULL;
	}
	buf_deinit(&f.error);
	buf_deinit(&f.script);
	ck_assert_uint_le(mem_stats().live_bytes, live + 65536);
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		success_ignores_the_sink, user_errors_have_their_text, unknown_codes_keep_the_instance, the_caller_arrives,
		traps_are_outcomes, recursion_ends_in_a_trap, an_instance_has_a_memory, syscalls_follow_growth,
		memory_is_capped,
		endless_reducers_are_stopped, a_budget_ends_a_call, the_limit_starts_anew_with_each_call,
		endless_initialisers_are_stopped,
		start_sections_are_bounded, initialisers_run_in_order, creation_fails_with_the_known_texts,
		initialisers_leave_no_transaction, procedures_return_values, procedures_without_transactions,
		procedures_with_transactions, procedures_wait_for_their_commits, calls_allocate_nothing,
		failing_allocations_are_errors,
	};
	Suite *suite = suite_create("runtime_call");
	TCase *cases = tcase_create("calls");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
		tcase_add_test(cases, tests[i]);
	suite_add_tcase(suite, cases);
	return run_guest_suite(suite);
}
