/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The room's front: programs shared by hash, the ticker, and a call from its
 * first to its last step.
 *
 * 1. A program in runtime->programs has references > 0 or is being compiled;
 *    the last release takes it out before it is destroyed.
 * 2. One thread compiles a hash at a time; others that want it wait and share
 *    the result.
 * 3. A call begins with no sources and sinks, and ends with none; iterators
 *    that stay open no longer touch the store.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "runtime/runtime_internal.h"

/* ---- the ticker ---- */

enum { TICKS_UNTIL_PARKED = 20 };

static bool any_running(struct ticker *ticker)
{
	for (struct runtime_instance *in = ticker->instances; in != NULL; in = in->ticker_next)
		if (atomic_load_explicit(&in->running, memory_order_seq_cst))
			return true;
	return false;
}

static bool is_ending(const struct ticker *ticker)
{
	return atomic_load_explicit(&ticker->end_nanos, memory_order_relaxed) != 0;
}

static bool is_over(const struct ticker *ticker)
{
	return is_ending(ticker) && clock_mono_nanos() >= atomic_load_explicit(&ticker->end_nanos, memory_order_relaxed);
}

/* A tick for each RUNTIME_TICK_MS since *ticked_nanos: on a busy machine this thread comes late, calls end in time. */
static void tick(struct ticker *ticker, uint64_t *ticked_nanos)
{
	const uint64_t tick_nanos = RUNTIME_TICK_MS * UINT64_C(1000000);
	uint64_t due = (clock_mono_nanos() - *ticked_nanos) / tick_nanos;
	*ticked_nanos += due * tick_nanos;
	if (is_over(ticker))
		due = RUNTIME_TICKS_MAX; /* whatever limits they have: everybody looks at the clock now */
	for (uint64_t i = 0; i < due && i < RUNTIME_TICKS_MAX; i++)
		ticker->tick(ticker->engine);
}

static void ticker_main(void *arg)
{
	struct ticker *ticker = arg;
	uint32_t idle = 0;
	uint64_t ticked_nanos = clock_mono_nanos();
	monitor_lock(&ticker->monitor);
	while (!ticker->stop) {
		idle = any_running(ticker) || is_ending(ticker) ? 0 : idle + 1;
		if (idle >= TICKS_UNTIL_PARKED) {
			atomic_store_explicit(&ticker->parked, true, memory_order_seq_cst);
			if (!any_running(ticker)) { /* invariant 1 of struct ticker */
				while (!ticker->stop && atomic_load_explicit(&ticker->parked, memory_order_relaxed))
					monitor_wait(&ticker->monitor);
			}
			atomic_store_explicit(&ticker->parked, false, memory_order_relaxed);
			idle = 0;
			ticked_nanos = clock_mono_nanos();
			continue;
		}
		monitor_wait_nanos(&ticker->monitor, RUNTIME_TICK_MS * UINT64_C(1000000));
		tick(ticker, &ticked_nanos);
	}
	monitor_unlock(&ticker->monitor);
}

void ticker_wake(struct ticker *ticker)
{
	monitor_lock(&ticker->monitor);
	atomic_store_explicit(&ticker->parked, false, memory_order_relaxed);
	monitor_wake_all(&ticker->monitor);
	monitor_unlock(&ticker->monitor);
}

void ticker_add(struct ticker *ticker, struct runtime_instance *in)
{
	monitor_lock(&ticker->monitor);
	in->ticker_previous = NULL;
	in->ticker_next = ticker->instances;
	if (ticker->instances != NULL)
		ticker->instances->ticker_previous = in;
	ticker->instances = in;
	monitor_unlock(&ticker->monitor);
}

void ticker_remove(struct ticker *ticker, struct runtime_instance *in)
{
	monitor_lock(&ticker->monitor);
	if (in->ticker_previous != NULL)
		in->ticker_previous->ticker_next = in->ticker_next;
	else
		ticker->instances = in->ticker_next;
	if (in->ticker_next != NULL)
		in->ticker_next->ticker_previous = in->ticker_previous;
	monitor_unlock(&ticker->monitor);
}

static void ticker_stop(struct ticker *ticker)
{
	if (!ticker->started)
		return;
	monitor_lock(&ticker->monitor);
	ticker->stop = true;
	monitor_wake_all(&ticker->monitor);
	monitor_unlock(&ticker->monitor);
	thread_join(ticker->thread);
}

/* ---- the runtime ---- */

static uint64_t ticks_of(uint64_t nanos);

struct runtime *runtime_create(const struct runtime_options *options, struct error *error)
{
	struct runtime *runtime = mem_zalloc(sizeof(*runtime));
	if (runtime == NULL) {
		fail(error, WL_ERR_MEMORY, "out of memory");
		return NULL;
	}
	monitor_init(&runtime->programs_lock);
	monitor_init(&runtime->ticker.monitor);
	monitor_init(&runtime->compilers.monitor);
	runtime->compilers.path = options->compiler;
	runtime->guest_memory_max = options->guest_memory_max != 0 ? options->guest_memory_max : RUNTIME_GUEST_MEMORY_MAX;
	runtime->call_ms_max = options->call_ms_max != UINT32_MAX ? options->call_ms_max : RUNTIME_CALL_MS_MAX_DEFAULT;
	runtime->call_nanos_max = runtime->call_ms_max * UINT64_C(1000000);
	runtime->call_ticks = ticks_of(runtime->call_nanos_max);
	runtime->wasm = wasm_engine_create(options, runtime, error);
	if (runtime->wasm == NULL) {
		runtime_destroy(runtime);
		return NULL;
	}
	if (options->cache_dir != NULL)
		runtime->cache = code_cache_open(options->cache_dir, options->cache_key, wasm_engine_tag());
	runtime->ticker.started = thread_start(&runtime->ticker.thread, "wl-ticker", 0, ticker_main, &runtime->ticker);
	if (!runtime->ticker.started) {
		fail(error, WL_ERR_MEMORY, "the ticker's thread cannot be started");
		runtime_destroy(runtime);
		return NULL;
	}
	return runtime;
}

void runtime_destroy(struct runtime *runtime)
{
	if (runtime == NULL)
		return;
	ASSERT(runtime->programs.count == 0 && runtime->ticker.instances == NULL);
	ticker_stop(&runtime->ticker);
	code_cache_close(runtime->cache);
	wasm_engine_destroy(runtime->wasm);
	map_deinit(&runtime->programs);
	monitor_deinit(&runtime->ticker.monitor);
	monitor_deinit(&runtime->compilers.monitor);
	monitor_deinit(&runtime->programs_lock);
	mem_free(runtime);
}

void runtime_interrupt(struct runtime *runtime)
{
	wasm_compilers_stop(runtime);
	atomic_store_explicit(&runtime->ticker.end_nanos, clock_mono_nanos() + RUNTIME_LAST_MS * UINT64_C(1000000),
		memory_order_relaxed);
	ticker_wake(&runtime->ticker);
}

bool runtime_interrupted(const struct runtime *runtime)
{
	return is_ending(&runtime->ticker);
}

/* ---- programs ---- */

/* Takes a reference of the program with this hash, once it is compiled. NULL: nobody has it. Locked. */
static struct runtime_program *program_find(struct runtime *runtime, const uint8_t hash[32])
{
	uint64_t value;
	while (map_get(&runtime->programs, hash, 32, &value)) {
		struct runtime_program *program = (struct runtime_program *)(uintptr_t)value;
		if (program->ready) {
			program->references++;
			return program;
		}
		monitor_wait(&runtime->programs_lock);
	}
	return NULL;
}

enum wl_err runtime_compile(struct runtime *runtime, enum runtime_kind kind, struct bytes code,
	const uint8_t hash[32], struct runtime_program **out, struct buf *error)
{
	if (kind != RUNTIME_WASM) {
		buf_put_cstr(error, "JavaScript modules are not supported by this version");
		return WL_ERR_UNSUPPORTED;
	}
	if (code.len > RUNTIME_PROGRAM_BYTES_MAX) {
		buf_printf(error, "the program is larger than %d bytes", RUNTIME_PROGRAM_BYTES_MAX);
		return WL_ERR_LIMIT;
	}
	monitor_lock(&runtime->programs_lock);
	*out = program_find(runtime, hash);
	struct runtime_program *program = *out == NULL ? mem_zalloc(sizeof(*program)) : NULL;
	bool added = false;
	if (program != NULL) {
		program->runtime = runtime;
		program->kind = kind;
		program->references = 1;
		memcpy(program->hash, hash, sizeof(program->hash));
		added = map_put(&runtime->programs, program->hash, sizeof(program->hash), (uintptr_t)program);
	}
	monitor_unlock(&runtime->programs_lock);
	if (*out != NULL)
		return WL_OK;
	if (!added) {
		mem_free(program);
		buf_put_cstr(error, "out of memory");
		return WL_ERR_MEMORY;
	}
	enum wl_err err = wasm_program_compile(runtime, code, hash, &program->engine, error);
	if (err == WL_ERR_MEMORY && error->len == 0)
		buf_put_cstr(error, "out of memory");
	monitor_lock(&runtime->programs_lock);
	program->ready = err == WL_OK;
	if (err != WL_OK)
		map_remove(&runtime->programs, program->hash, sizeof(program->hash));
	monitor_wake_all(&runtime->programs_lock);
	monitor_unlock(&runtime->programs_lock);
	if (err != WL_OK)
		mem_free(program);
	else
		*out = program;
	return err;
}

struct runtime_program *runtime_program_share(struct runtime_program *program)
{
	monitor_lock(&program->runtime->programs_lock);
	program->references++;
	monitor_unlock(&program->runtime->programs_lock);
	return program;
}

void runtime_program_release(struct runtime_program *program)
{
	if (program == NULL)
		return;
	struct runtime *runtime = program->runtime;
	monitor_lock(&runtime->programs_lock);
	ASSERT(program->references > 0);
	bool last = --program->references == 0;
	if (last)
		map_remove(&runtime->programs, program->hash, sizeof(program->hash));
	monitor_unlock(&runtime->programs_lock);
	if (last) {
		wasm_program_destroy(program->engine);
		mem_free(program);
	}
}

/* ---- instances ---- */

enum wl_err runtime_instance_create(struct runtime_program *program, const struct runtime_env *env,
	struct buf *description, struct runtime_instance **out, struct buf *error)
{
	enum wl_err err = wasm_instance_create(program, env, description, out, error);
	if (err == WL_ERR_MEMORY && error->len == 0)
		buf_put_cstr(error, "out of memory");
	return err;
}

void instance_init(struct runtime_instance *in, struct runtime_program *program, const struct runtime_env *env,
	const struct engine_ops *ops)
{
	in->program = runtime_program_share(program);
	in->env = env;
	in->store = env->store;
	in->ops = ops;
	in->next_source = in->next_sink = 1;
	in->deadline_nanos = UINT64_MAX;
	buf_init(&in->function, RUNTIME_LOG_BYTES_MAX);
	buf_init(&in->text, RUNTIME_SINK_BYTES_MAX);
	for (size_t i = 0; i < ARRAY_COUNT(in->scratch); i++)
		buf_init(&in->scratch[i], RUNTIME_LOG_BYTES_MAX);
	ticker_add(&program->runtime->ticker, in);
}

void runtime_instance_destroy(struct runtime_instance *in)
{
	if (in == NULL)
		return;
	ASSERT(in->frame == FRAME_NONE || in->frame == FRAME_INIT);
	struct runtime_program *program = in->program;
	ticker_remove(&program->runtime->ticker, in);
	iterators_deinit(in);
	bytes_deinit(in);
	uint32_t cursor = 0;
	for (struct timer *timer; (timer = slab_next(&in->timers, &cursor)) != NULL;)
		mem_free(timer);
	slab_deinit(&in->timers);
	buf_deinit(&in->function);
	buf_deinit(&in->text);
	for (size_t i = 0; i < ARRAY_COUNT(in->scratch); i++)
		buf_deinit(&in->scratch[i]);
	in->ops->destroy(in);
	runtime_program_release(program);
}

uint64_t runtime_instance_memory(const struct runtime_instance *in)
{
	return in->ops->memory_size((struct runtime_instance *)in);
}

static void set_running(struct runtime_instance *in)
{
	struct ticker *ticker = &in->program->runtime->ticker;
	atomic_store_explicit(&in->running, true, memory_order_seq_cst);
	if (UNLIKELY(atomic_load_explicit(&ticker->parked, memory_order_seq_cst)))
		ticker_wake(ticker);
}

/* After how many ticks the clock is looked at, so that this limit is kept. */
static uint64_t ticks_of(uint64_t nanos)
{
	return nanos == 0 ? RUNTIME_TICKS_MAX
		: size_min(nanos / (RUNTIME_TICK_MS * UINT64_C(1000000)) + 1, RUNTIME_TICKS_MAX);
}

void instance_enter(struct runtime_instance *in, uint64_t now_nanos, uint64_t nanos_max)
{
	const struct runtime *runtime = in->program->runtime;
	uint64_t limit = runtime->call_nanos_max;
	in->ticks = runtime->call_ticks;
	in->timed_out = false;
	in->waited_nanos = 0;
	in->is_budgeted = nanos_max != 0 && (limit == 0 || nanos_max < limit);
	if (UNLIKELY(in->is_budgeted)) {
		limit = nanos_max;
		in->ticks = ticks_of(limit);
	}
	if (limit == 0) {
		in->deadline_nanos = UINT64_MAX;
		return;
	}
	in->deadline_nanos = now_nanos + limit;
	set_running(in);
}

void instance_leave(struct runtime_instance *in)
{
	atomic_store_explicit(&in->running, false, memory_order_release);
}

uint64_t instance_pause(struct runtime_instance *in)
{
	instance_leave(in);
	return clock_mono_nanos();
}

void instance_resume(struct runtime_instance *in, uint64_t paused_nanos)
{
	uint64_t waited = clock_mono_nanos() - paused_nanos;
	in->waited_nanos += waited;
	if (in->deadline_nanos == UINT64_MAX)
		return;
	in->deadline_nanos += waited;
	set_running(in);
}

/* ---- calls ---- */

static bool begin_call(struct runtime_instance *in, enum runtime_export export, const struct runtime_call *call,
	enum frame_kind frame, struct handles *handles)
{
	ASSERT(in->frame == FRAME_NONE && !in->in_tx);
	*handles = (struct handles){ .sink = sink_create(in) };
	ASSERT(handles->sink != 0);
	if (!source_create(in, call->args, false, &handles->source))
		return false;
	if (UNLIKELY(export == EXPORT_HTTP_HANDLER)) {
		struct bytes jwt = { (const uint8_t *)call->jwt.data, call->jwt.len };
		handles->body_sink = sink_create(in);
		if (!source_create(in, call->body, false, &handles->body) || !source_create(in, jwt, false, &handles->jwt))
			return false;
	}
	buf_clear(&in->function);
	buf_put(&in->function, call->name.data, call->name.len);
	in->has_function = true;
	in->frame = frame;
	in->call_micros = call->timestamp;
	return true;
}

static void end_call(struct runtime_instance *in)
{
	iterators_settle(in);
	bytes_reset(in);
	in->frame = FRAME_NONE;
}

static void keep_small(struct buf *buf)
{
	if (UNLIKELY(buf->cap > RUNTIME_BUF_KEEP))
		buf_deinit(buf);
}

/* What the last call left behind and only its result borrowed. */
static void forget_last_call(struct runtime_instance *in)
{
	keep_small(&in->text);
	for (size_t i = 0; i < ARRAY_COUNT(in->scratch); i++)
		keep_small(&in->scratch[i]);
	for (size_t i = 0; i < RUNTIME_SINKS_MAX; i++)
		keep_small(&in->sinks[i].data);
}

static enum runtime_outcome run(struct runtime_instance *in, enum runtime_export export, enum frame_kind frame,
	const struct runtime_call *call, struct runtime_result *result, struct buf **sink_data, int32_t *code)
{
	*result = (struct runtime_result){ 0 };
	ASSERT(!in->dead);
	forget_last_call(in);
	struct handles handles;
	if (!begin_call(in, export, call, frame, &handles)) {
		result->text = STR("the arguments do not fit into memory");
		end_call(in);
		return RUNTIME_FAILED;
	}
	in->in_tx = frame == FRAME_REDUCER || frame == FRAME_VIEW;
	*sink_data = &sink_find(in, handles.sink)->data;
	uint64_t start = call->now_nanos != 0 ? call->now_nanos : clock_mono_nanos();
	instance_enter(in, start, call->nanos_max);
	enum runtime_outcome outcome = in->ops->call(in, export, call, &handles, code);
	instance_leave(in);
	result->end_nanos = clock_mono_nanos();
	result->nanos = result->end_nanos - start;
	result->worked_nanos = result->nanos - in->waited_nanos;
	if (UNLIKELY(outcome != RUNTIME_OK))
		result->text = buf_str(&in->text);
	else if (UNLIKELY(handles.body_sink != 0))
		result->body = buf_bytes(&sink_find(in, handles.body_sink)->data);
	return outcome;
}

static inline enum runtime_outcome call_in_tx(struct runtime_instance *in, enum runtime_export export,
	const struct runtime_call *call, struct runtime_result *result)
{
	DEBUG_ASSERT(store_tx_active(in->store));
	struct buf *message;
	int32_t code = 0;
	enum runtime_outcome outcome = run(in, export, FRAME_REDUCER, call, result, &message, &code);
	if (UNLIKELY(outcome == RUNTIME_OK && code == 1)) {
		outcome = RUNTIME_USER_ERROR;
		if (!text_lossy(buf_bytes(message), &in->text, &result->text)) {
			outcome = RUNTIME_FAILED;
			result->text = STR("the error message is too long");
		}
	} else if (UNLIKELY(outcome == RUNTIME_OK && code != 0)) {
		outcome = RUNTIME_FAILED;
		result->text = STR("unknown return code");
	}
	end_call(in);
	in->in_tx = false;
	return outcome;
}

enum runtime_outcome runtime_call_reducer(struct runtime_instance *in, const struct runtime_call *call,
	struct runtime_result *result)
{
	return call_in_tx(in, EXPORT_REDUCER, call, result);
}

enum runtime_outcome runtime_call_migration(struct runtime_instance *in, const struct runtime_call *call,
	struct runtime_result *result)
{
	in->reads_old = true;
	enum runtime_outcome outcome = call_in_tx(in, EXPORT_MIGRATION, call, result);
	in->reads_old = false;
	return outcome;
}

enum runtime_outcome runtime_call_view(struct runtime_instance *in, const struct runtime_call *call, bool anonymous,
	const struct runtime_reads *reads, struct runtime_result *result, int32_t *code)
{
	struct buf *value;
	DEBUG_ASSERT(store_tx_active(in->store));
	in->reads = reads;
	enum runtime_outcome outcome = run(in, anonymous ? EXPORT_VIEW_ANONYMOUS : EXPORT_VIEW, FRAME_VIEW, call, result,
		&value, code);
	if (outcome == RUNTIME_OK)
		result->value = buf_bytes(value);
	end_call(in);
	in->reads = NULL;
	in->in_tx = false;
	return outcome;
}

static enum runtime_outcome call_outside(struct runtime_instance *in, enum runtime_export export,
	const struct runtime_call *call, struct runtime_result *result)
{
	struct buf *value;
	int32_t code = 0;
	bool handler = export == EXPORT_HTTP_HANDLER;
	enum runtime_outcome outcome = run(in, export, FRAME_PROCEDURE, call, result, &value, &code);
	if (outcome == RUNTIME_OK && code != 0) {
		buf_clear(&in->text);
		buf_printf(&in->text, "%s returned unexpected code %d. %s should return code 0 or trap.",
			handler ? "__call_http_handler__" : "__call_procedure__", (int)code,
			handler ? "HTTP handlers" : "Procedures");
		result->text = buf_str(&in->text);
		outcome = RUNTIME_FAILED;
	} else if (outcome == RUNTIME_OK) {
		result->value = buf_bytes(value);
	}
	if (UNLIKELY(instance_end_dangling_tx(in)) && in->env->log != NULL) {
		struct buf *text = &in->scratch[0];
		buf_clear(text);
		buf_printf(text, "aborting dangling anonymous transaction in procedure %.*s", STR_FMT(call->name));
		in->env->log(in->env->context, &(struct runtime_log){ .line = UINT32_MAX, .message = buf_str(text),
			.micros = clock_wall_micros() });
	}
	end_call(in);
	return outcome;
}

enum runtime_outcome runtime_call_procedure(struct runtime_instance *in, const struct runtime_call *call,
	struct runtime_result *result)
{
	return call_outside(in, EXPORT_PROCEDURE, call, result);
}

enum runtime_outcome runtime_call_http_handler(struct runtime_instance *in, const struct runtime_call *call,
	struct runtime_result *result)
{
	return call_outside(in, EXPORT_HTTP_HANDLER, call, result);
}

bool runtime_program_migrates(const struct runtime_program *program)
{
	return wasm_program_migrates(program->engine);
}

bool runtime_program_handlers_take_sender(const struct runtime_program *program)
{
	return wasm_program_handlers_take_sender(program->engine);
}
