/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: how code is compiled and bounded. One for all programs of a
 * host, so that equal programs share code and one ticker serves all.
 *
 * A guest's memory is reserved whole and never moves: its base is read once,
 * and bounds need no checks in compiled code: the page fault is the trap.
 * That works under ASan as it is. Under TSan traps are compiled as explicit
 * checks, since it defers signals.
 */
#include "base/mem.h"
#include "runtime/wasm/wasm.h"

static wasm_config_t *configure(void)
{
	wasm_config_t *config = wasm_config_new();
	if (config == NULL)
		return NULL;
	wasmtime_config_strategy_set(config, WASMTIME_STRATEGY_CRANELIFT);
	wasmtime_config_cranelift_opt_level_set(config, WASMTIME_OPT_LEVEL_SPEED);
	/* The engine's own locks are not instrumented: with several compiling threads every one of its allocations
	 * would be reported. */
	wasmtime_config_parallel_compilation_set(config, !WASM_UNDER_TSAN);
	wasmtime_config_epoch_interruption_set(config, true);
	wasmtime_config_consume_fuel_set(config, false);
	wasmtime_config_max_wasm_stack_set(config, WASM_STACK_BYTES);
	wasmtime_config_memory_init_cow_set(config, true);
	wasmtime_config_memory_may_move_set(config, false);
	wasmtime_config_memory_reservation_set(config, UINT64_C(1) << 32);
	/* One memory of 32 bits: that is what the ABI speaks of, and what the cap on memory counts. */
	wasmtime_config_wasm_multi_memory_set(config, false);
	wasmtime_config_wasm_memory64_set(config, false);
	wasmtime_config_shared_memory_set(config, false);
	wasmtime_config_native_unwind_info_set(config, false);
	if (WASM_UNDER_TSAN)
		wasmtime_config_signals_based_traps_set(config, false);
	return config;
}

wasm_engine_t *wasm_engine_bare(void)
{
	wasm_config_t *config = configure();
	return config != NULL ? wasm_engine_new_with_config(config) : NULL; /* takes config */
}

const char *wasm_engine_tag(void)
{
	return "wasmtime-" WASMTIME_VERSION "-1"; /* the last number: our own settings above */
}

struct wasm_engine *wasm_engine_create(const struct runtime_options *options, struct runtime *runtime,
	struct error *error)
{
	(void)options;
	struct wasm_engine *engine = mem_zalloc(sizeof(*engine));
	if (engine != NULL)
		engine->engine = wasm_engine_bare();
	if (engine == NULL || engine->engine == NULL) {
		mem_free(engine);
		fail(error, WL_ERR_MEMORY, "the WebAssembly engine cannot be started");
		return NULL;
	}
	engine->linker = wasmtime_linker_new(engine->engine);
	wasmtime_error_t *failed = wasm_imports_define(engine->linker);
	if (failed != NULL) {
		struct buf text = BUF_INIT(ERROR_TEXT_MAX);
		wasm_error_text(failed, true, &text);
		fail(error, WL_ERR_INVALID, "the WebAssembly imports cannot be defined: %s", buf_text(&text));
		buf_deinit(&text);
		wasm_engine_destroy(engine);
		return NULL;
	}
	runtime->ticker.tick = wasm_engine_tick;
	runtime->ticker.engine = engine;
	return engine;
}

void wasm_engine_destroy(struct wasm_engine *engine)
{
	if (engine == NULL)
		return;
	wasmtime_linker_delete(engine->linker);
	wasm_engine_delete(engine->engine);
	mem_free(engine);
}

void wasm_engine_tick(void *context)
{
	struct wasm_engine *engine = context;
	wasmtime_engine_increment_epoch(engine->engine);
}

/* ---- texts ---- */

static size_t find(struct str s, size_t from, const char *what)
{
	size_t len = strlen(what);
	for (size_t i = from; i + len <= s.len; i++)
		if (memcmp(s.data + i, what, len) == 0)
			return i;
	return s.len;
}

/*
 * Wasmtime gives "text", or "text\n\nCaused by:\n    cause", or the same with several causes, one to a line and
 * numbered "    0: ". A backtrace of the host's own may follow; it is cut off.
 */
static void put_text(struct str s, bool chain, struct buf *out)
{
	s.len = find(s, 0, "\n\nStack backtrace:");
	static const char causes[] = "\n\nCaused by:";
	size_t head = find(s, 0, causes);
	if (!chain || head == s.len) {
		buf_put_str(out, s);
		return;
	}
	buf_put_str(out, (struct str){ s.data, head });
	for (size_t at = head + sizeof(causes) - 1; at < s.len;) {
		while (at < s.len && (s.data[at] == '\n' || s.data[at] == ' '))
			at++;
		size_t digits = at;
		while (digits < s.len && s.data[digits] >= '0' && s.data[digits] <= '9')
			digits++;
		if (digits > at && digits + 1 < s.len && s.data[digits] == ':' && s.data[digits + 1] == ' ')
			at = digits + 2;
		size_t end = find(s, at, "\n");
		if (end > at) {
			buf_put_cstr(out, ": ");
			buf_put_str(out, (struct str){ s.data + at, end - at });
		}
		at = end;
	}
}

void wasm_error_text(wasmtime_error_t *error, bool chain, struct buf *out)
{
	wasm_name_t text;
	wasmtime_error_message(error, &text);
	put_text((struct str){ text.data, text.size }, chain, out);
	wasm_name_delete(&text);
	wasmtime_error_delete(error);
}

void wasm_trap_text(wasm_trap_t *trap, bool chain, struct buf *out)
{
	wasm_message_t text;
	wasm_trap_message(trap, &text);
	put_text((struct str){ text.data, text.size > 0 ? text.size - 1 : 0 }, chain, out); /* it is terminated */
	wasm_name_delete(&text);
	wasm_trap_delete(trap);
}

/* ---- types ---- */

static wasm_valtype_t *valtype(char letter)
{
	return wasm_valtype_new(letter == 'I' ? WASM_I64 : WASM_I32);
}

wasm_functype_t *wasm_functype_of(const char *signature)
{
	wasm_valtype_t *params[WASM_SIGNATURE_MAX], *results[WASM_SIGNATURE_MAX];
	size_t param_count = 0, result_count = 0;
	for (; *signature != ':'; signature++) {
		ASSERT(param_count < WASM_SIGNATURE_MAX);
		params[param_count++] = valtype(*signature);
	}
	for (signature++; *signature != '\0'; signature++) {
		ASSERT(result_count < WASM_SIGNATURE_MAX);
		results[result_count++] = valtype(*signature);
	}
	wasm_valtype_vec_t p, r;
	wasm_valtype_vec_new(&p, param_count, params);
	wasm_valtype_vec_new(&r, result_count, results);
	return wasm_functype_new(&p, &r);
}

static bool types_equal(const wasm_valtype_vec_t *a, const wasm_valtype_vec_t *b)
{
	if (a->size != b->size)
		return false;
	for (size_t i = 0; i < a->size; i++)
		if (!wasmtime_wasm_valtype_equal(a->data[i], b->data[i]))
			return false;
	return true;
}

bool wasm_signature_is(const wasm_functype_t *type, const char *signature)
{
	wasm_functype_t *wanted = wasm_functype_of(signature);
	bool equal = types_equal(wasm_functype_params(type), wasm_functype_params(wanted))
		&& types_equal(wasm_functype_results(type), wasm_functype_results(wanted));
	wasm_functype_delete(wanted);
	return equal;
}

static const char *type_name(const wasm_valtype_t *type)
{
	static const struct { wasm_valkind_t kind; const char *name; } scalars[] = {
		{ WASM_I32, "i32" }, { WASM_I64, "i64" }, { WASM_F32, "f32" }, { WASM_F64, "f64" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(scalars); i++) {
		wasm_valtype_t *scalar = wasm_valtype_new(scalars[i].kind);
		bool equal = wasmtime_wasm_valtype_equal(type, scalar);
		wasm_valtype_delete(scalar);
		if (equal)
			return scalars[i].name;
	}
	wasm_valtype_t *vector = wasmtime_wasm_valtype_v128();
	bool equal = wasmtime_wasm_valtype_equal(type, vector);
	wasm_valtype_delete(vector);
	return equal ? "v128" : "ref";
}

static void print_types(const char *what, const wasm_valtype_vec_t *types, struct buf *out)
{
	if (types->size == 0)
		return;
	buf_printf(out, " (%s", what);
	for (size_t i = 0; i < types->size && i < 1000; i++)
		buf_printf(out, " %s", type_name(types->data[i]));
	buf_put_u8(out, ')');
}

void wasm_signature_print(const wasm_functype_t *type, struct buf *out)
{
	buf_put_cstr(out, "(func");
	print_types("param", wasm_functype_params(type), out);
	print_types("result", wasm_functype_results(type), out);
	buf_put_u8(out, ')');
}
