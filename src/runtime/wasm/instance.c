/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances: a store, a memory, resolved exports; entering the guest and
 * leaving it.
 *
 * 1. The guest's memory never moves (engine.c), so base.memory is set once.
 * 2. Guest code runs only between instance_enter and instance_leave, with the
 *    store's epoch deadline set for this entry.
 * 3. After a trap the instance is dead: nothing of it is entered again.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "native.h"
#include "runtime/wasm/wasm.h"

enum { TRACE_NAME_BYTES_MAX = 4096 };

static struct wasm_instance *wasm_of(struct runtime_instance *in)
{
	return (struct wasm_instance *)in;
}

static size_t memory_size(struct runtime_instance *in)
{
	struct wasm_instance *instance = wasm_of(in);
	return in->memory == NULL ? 0 : wasmtime_memory_data_size(instance->context, &instance->memory);
}

/* The epoch came. Ticks are approximate (the ticker may have been parked): the clock decides. */
static wasmtime_error_t *deadline_reached(wasmtime_context_t *context, void *data, uint64_t *delta,
	wasmtime_update_deadline_kind_t *kind)
{
	(void)context;
	struct runtime_instance *in = data;
	uint64_t now = clock_mono_nanos();
	uint64_t end = atomic_load_explicit(&in->program->runtime->ticker.end_nanos, memory_order_relaxed);
	if (now >= in->deadline_nanos || (end != 0 && now >= end)) {
		in->timed_out = true;
		return wasmtime_error_new("time limit");
	}
	*kind = WASMTIME_UPDATE_DEADLINE_CONTINUE;
	*delta = size_min((in->deadline_nanos - now) / (RUNTIME_TICK_MS * UINT64_C(1000000)) + 1, RUNTIME_TICKS_MAX);
	return NULL;
}

/* What ended the guest, into in->text. Takes both; one is NULL. */
static enum runtime_outcome ended(struct runtime_instance *in, wasmtime_error_t *error, wasm_trap_t *trap, bool chain)
{
	in->dead = true;
	buf_clear(&in->text);
	bool exhausted = in->timed_out && in->is_budgeted && clock_mono_nanos() >= in->deadline_nanos;
	if (exhausted) {
		buf_put_cstr(&in->text, "the function has used its budget of energy and was stopped");
	} else if (in->timed_out && runtime_interrupted(in->program->runtime)) {
		buf_put_cstr(&in->text, "the function was stopped because the host stops");
	} else if (in->timed_out) {
		buf_printf(&in->text, "the function ran longer than the limit of %u ms and was stopped",
			in->program->runtime->call_ms_max);
	}
	if (in->timed_out) {
		if (error != NULL)
			wasmtime_error_delete(error);
		if (trap != NULL)
			wasm_trap_delete(trap);
		return exhausted ? RUNTIME_EXHAUSTED : RUNTIME_TIMEOUT;
	}
	if (error != NULL)
		wasm_error_text(error, chain, &in->text);
	else
		wasm_trap_text(trap, chain, &in->text);
	return RUNTIME_TRAP;
}

/* Calls `function` with values in and out of `v`. */
static enum runtime_outcome enter(struct wasm_instance *instance, const wasmtime_func_t *function,
	wasmtime_val_raw_t *v, size_t count)
{
	wasmtime_context_set_epoch_deadline(instance->context, instance->base.ticks);
	wasm_trap_t *trap = NULL;
	wasmtime_error_t *error = wasmtime_func_call_unchecked(instance->context, function, v, count, &trap);
	if (LIKELY(error == NULL && trap == NULL))
		return RUNTIME_OK;
	return ended(&instance->base, error, trap, false);
}

static const char *const export_names[EXPORT_COUNT] = {
	[EXPORT_REDUCER] = "__call_reducer__", [EXPORT_PROCEDURE] = "__call_procedure__",
	[EXPORT_VIEW] = "__call_view__", [EXPORT_VIEW_ANONYMOUS] = "__call_view_anon__",
	[EXPORT_HTTP_HANDLER] = "__call_http_handler__", [EXPORT_DESCRIBE] = "__describe_module__",
	[EXPORT_MIGRATION] = "__migrate__",
};
static const char *const export_kinds[EXPORT_COUNT] = { [EXPORT_REDUCER] = "reducer",
	[EXPORT_PROCEDURE] = "procedure", [EXPORT_VIEW] = "view", [EXPORT_VIEW_ANONYMOUS] = "anonymous view",
	[EXPORT_HTTP_HANDLER] = "http handler", [EXPORT_MIGRATION] = "migration" };

/* How many values of `v` an identity takes. */
static size_t put_sender(wasmtime_val_raw_t *v, const struct identity *sender)
{
	for (size_t i = 0; i < 4; i++)
		v[i].i64 = (int64_t)load_u64(sender->le + 8 * i);
	return 4;
}

/* Two signatures: 2.14 added who calls. */
static enum runtime_outcome call_handler(struct wasm_instance *instance, const struct runtime_call *call,
	const struct handles *handles, int32_t *code)
{
	const struct wasm_program *program = instance->base.program->engine;
	wasmtime_val_raw_t v[11];
	size_t n = 0;
	v[n++].i64 = call->id;
	if (program->handlers_take_sender) {
		n += put_sender(v + n, &call->sender);
		v[n++].i64 = handles->jwt;
	}
	v[n++].i64 = call->timestamp;
	v[n++].i64 = handles->source;
	v[n++].i64 = handles->body;
	v[n++].i64 = handles->sink;
	v[n++].i64 = handles->body_sink;
	enum runtime_outcome ended = enter(instance, &instance->exports[EXPORT_HTTP_HANDLER], v, n);
	*code = v[0].i32;
	return ended;
}

static enum runtime_outcome call(struct runtime_instance *in, enum runtime_export export,
	const struct runtime_call *call, const struct handles *handles, int32_t *code)
{
	struct wasm_instance *instance = wasm_of(in);
	const struct wasm_program *program = in->program->engine;
	if (UNLIKELY(!program->has[export])) {
		buf_clear(&in->text);
		buf_printf(&in->text, "Module defines %s %.*s but does not export `%s`", export_kinds[export],
			STR_FMT(call->name), export_names[export]);
		return RUNTIME_FAILED;
	}
	if (UNLIKELY(export == EXPORT_HTTP_HANDLER))
		return call_handler(instance, call, handles, code);
	wasmtime_val_raw_t v[10];
	if (UNLIKELY(export == EXPORT_MIGRATION)) {
		v[0].i64 = call->timestamp;
		v[1].i64 = handles->sink;
		enum runtime_outcome ended = enter(instance, &instance->exports[export], v, 2);
		*code = v[0].i32;
		return ended;
	}
	v[0].i64 = call->id;
	if (export == EXPORT_VIEW_ANONYMOUS) {
		v[1].i64 = handles->source;
		v[2].i64 = handles->sink;
		enum runtime_outcome ended = enter(instance, &instance->exports[export], v, 3);
		*code = v[0].i32;
		return ended;
	}
	(void)put_sender(v + 1, &call->sender);
	if (export == EXPORT_VIEW) {
		v[5].i64 = handles->source;
		v[6].i64 = handles->sink;
		enum runtime_outcome ended = enter(instance, &instance->exports[export], v, 7);
		*code = v[0].i32;
		return ended;
	}
	for (size_t i = 0; i < 2; i++)
		v[5 + i].i64 = (int64_t)load_u64(call->connection.le + 8 * i);
	v[7].i64 = call->timestamp;
	v[8].i64 = handles->source;
	v[9].i64 = handles->sink;
	enum runtime_outcome outcome = enter(instance, &instance->exports[export], v, ARRAY_COUNT(v));
	*code = v[0].i32;
	return outcome;
}

static void destroy(struct runtime_instance *in)
{
	struct wasm_instance *instance = wasm_of(in);
	if (instance->store != NULL)
		wasmtime_store_delete(instance->store);
	mem_free(instance);
}

struct trace {
	struct buf *text;
	size_t ends[RUNTIME_TRACE_MAX];
	uint32_t count, max;
};

static void trace_frame(void *context, const char *name, size_t len)
{
	struct trace *trace = context;
	if (trace->count == trace->max)
		return;
	size_t room = 4 * len + 16; /* what native_demangle may need */
	if (len > TRACE_NAME_BYTES_MAX || !buf_reserve(trace->text, room))
		return;
	size_t n = native_demangle(name, len, (char *)trace->text->data + trace->text->len, room);
	trace->text->len += size_min(n, room);
	trace->ends[trace->count++] = trace->text->len;
}

static uint32_t guest_trace(struct runtime_instance *base, struct buf *scratch, struct str *names, uint32_t max)
{
	struct wasm_instance *in = (struct wasm_instance *)base;
	struct trace trace = { .text = scratch, .max = max < RUNTIME_TRACE_MAX ? max : RUNTIME_TRACE_MAX };
	buf_clear(scratch);
	native_wasm_backtrace(in->context, trace_frame, &trace);
	for (uint32_t i = 0; i < trace.count; i++) {
		size_t from = i == 0 ? 0 : trace.ends[i - 1];
		names[i] = (struct str){ (const char *)scratch->data + from, trace.ends[i] - from };
	}
	return trace.count;
}

static const struct engine_ops ops = { .trace = guest_trace, .call = call, .memory_size = memory_size,
	.destroy = destroy };

/* ---- creation ---- */

static bool find_function(struct wasm_instance *instance, struct str name, wasmtime_func_t *out)
{
	wasmtime_extern_t item;
	if (!wasmtime_instance_export_get(instance->context, &instance->instance, name.data, name.len, &item))
		return false;
	bool found = item.kind == WASMTIME_EXTERN_FUNC;
	if (found)
		*out = item.of.func;
	wasmtime_extern_delete(&item);
	return found;
}

static bool find_memory(struct wasm_instance *instance)
{
	wasmtime_extern_t item;
	if (!wasmtime_instance_export_get(instance->context, &instance->instance, "memory", 6, &item))
		return false;
	bool found = item.kind == WASMTIME_EXTERN_MEMORY;
	if (found) {
		instance->memory = item.of.memory;
		instance->base.memory = wasmtime_memory_data(instance->context, &instance->memory);
		instance->base.memory_size = memory_size(&instance->base);
	}
	wasmtime_extern_delete(&item);
	return found;
}

static enum wl_err trap_in(struct wasm_instance *instance, struct str function, struct buf *error)
{
	buf_put_cstr(error, "wasm trap while calling ");
	text_put_debug_str(error, function);
	buf_put_cstr(error, ": ");
	buf_put_str(error, buf_str(&instance->base.text));
	return WL_ERR_INVALID;
}

static enum wl_err run_initialiser(struct wasm_instance *instance, struct str name, struct buf *error)
{
	wasmtime_func_t function;
	wasmtime_val_raw_t v[1];
	if (!find_function(instance, name, &function))
		return WL_OK;
	return enter(instance, &function, v, 1) == RUNTIME_OK ? WL_OK : trap_in(instance, name, error);
}

static enum wl_err run_setup(struct wasm_instance *instance, struct buf *error)
{
	struct runtime_instance *in = &instance->base;
	struct str name = STR("__setup__");
	wasmtime_func_t function;
	if (!find_function(instance, name, &function))
		return WL_OK;
	uint32_t id = sink_create(in);
	wasmtime_val_raw_t v[1] = { { .i64 = id } };
	if (enter(instance, &function, v, 1) != RUNTIME_OK)
		return trap_in(instance, name, error);
	struct sink *sink = sink_find(in, id);
	sink_release(sink);
	if (v[0].i32 == 0)
		return WL_OK;
	struct str text;
	if (v[0].i32 == 1 && text_lossy(buf_bytes(&sink->data), &in->scratch[0], &text)) {
		buf_put_cstr(error, "setup function returned an error: ");
		buf_put_str(error, text);
		return WL_ERR_INVALID;
	}
	buf_clear(&in->text);
	buf_put_cstr(&in->text, "unknown return code");
	return trap_in(instance, name, error);
}

static enum wl_err run_describe(struct wasm_instance *instance, struct buf *description, struct buf *error)
{
	struct runtime_instance *in = &instance->base;
	uint32_t id = sink_create(in);
	wasmtime_val_raw_t v[1] = { { .i64 = id } };
	if (enter(instance, &instance->exports[EXPORT_DESCRIBE], v, 1) != RUNTIME_OK) {
		buf_put_cstr(error, "error getting module description: ");
		buf_put_str(error, buf_str(&in->text));
		return WL_ERR_INVALID;
	}
	struct sink *sink = sink_find(in, id);
	sink_release(sink);
	if (description != NULL) {
		buf_put(description, sink->data.data, sink->data.len);
		if (description->failed) {
			buf_put_cstr(error, "the module's description is too large");
			return WL_ERR_LIMIT;
		}
	}
	return WL_OK;
}

static enum wl_err instantiate(struct wasm_instance *instance, struct buf *error)
{
	struct runtime_instance *in = &instance->base;
	const struct wasm_program *program = in->program->engine;
	wasm_trap_t *trap = NULL;
	wasmtime_context_set_epoch_deadline(instance->context, in->ticks);
	wasmtime_error_t *failed = wasmtime_instance_pre_instantiate(program->pre, instance->context,
		&instance->instance, &trap);
	if (failed != NULL || trap != NULL) {
		ended(in, failed, trap, true);
		buf_put_str(error, buf_str(&in->text));
		return WL_ERR_INVALID;
	}
	bool complete = find_memory(instance);
	for (size_t i = 0; i < EXPORT_COUNT; i++)
		if (program->has[i])
			complete = complete && find_function(instance, str_of(export_names[i]), &instance->exports[i]);
	ASSERT(complete); /* checked when it was compiled */
	return WL_OK;
}

static enum wl_err start(struct wasm_instance *instance, struct buf *description, struct buf *error)
{
	const struct wasm_program *program = instance->base.program->engine;
	enum wl_err err = instantiate(instance, error);
	if (err == WL_OK && program->has_initialize)
		err = run_initialiser(instance, STR("_initialize"), error);
	for (uint32_t i = 0; err == WL_OK && i < program->preinit_count; i++)
		err = run_initialiser(instance, program->preinits[i], error);
	if (err == WL_OK && program->has_setup)
		err = run_setup(instance, error);
	if (err == WL_OK)
		err = run_describe(instance, description, error);
	return err;
}

enum wl_err wasm_instance_create(struct runtime_program *program, const struct runtime_env *env,
	struct buf *description, struct runtime_instance **out, struct buf *error)
{
	struct runtime *runtime = program->runtime;
	struct wasm_instance *instance = mem_zalloc(sizeof(*instance));
	if (instance == NULL)
		return WL_ERR_MEMORY;
	struct runtime_instance *in = &instance->base;
	instance_init(in, program, env, &ops);
	instance->store = wasmtime_store_new(runtime->wasm->engine, in, NULL);
	instance->context = wasmtime_store_context(instance->store);
	int64_t memory_max = runtime->guest_memory_max > INT64_MAX ? INT64_MAX : (int64_t)runtime->guest_memory_max;
	wasmtime_store_limiter(instance->store, memory_max, RUNTIME_TABLE_ELEMENTS_MAX, 1, RUNTIME_TABLES_MAX, 1);
	wasmtime_store_epoch_deadline_callback(instance->store, deadline_reached, in, NULL);
	in->frame = FRAME_INIT;
	instance_enter(in, clock_mono_nanos(), 0);
	enum wl_err err = start(instance, description, error);
	instance_leave(in);
	instance_end_dangling_tx(in);
	iterators_settle(in);
	in->frame = FRAME_NONE;
	if (err != WL_OK) {
		runtime_instance_destroy(in);
		return err;
	}
	*out = in;
	return WL_OK;
}
