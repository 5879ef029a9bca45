/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The imports: each unpacks its arguments and calls the syscall of its name.
 * The table at the end is the ABI's list (module-abi.md 2.4, since-2.8.md
 * 2.2): a function exists under exactly one version.
 */
#include "runtime/wasm/wasm.h"

/* Arguments and result of the call share `v`. */
#define ARG(n) ((uint32_t)v[n].i32)

/* A start section may call us before the instance is handed out: its memory is looked up through the caller. */
static void find_memory(struct wasm_instance *instance, wasmtime_caller_t *caller)
{
	wasmtime_extern_t item;
	if (!wasmtime_caller_export_get(caller, "memory", 6, &item))
		return;
	if (item.kind == WASMTIME_EXTERN_MEMORY) {
		instance->memory = item.of.memory;
		instance->base.memory = wasmtime_memory_data(instance->context, &instance->memory);
	}
	wasmtime_extern_delete(&item);
}

static inline struct runtime_instance *instance_of(wasmtime_caller_t *caller)
{
	struct runtime_instance *in = wasmtime_context_get_data(wasmtime_caller_context(caller));
	if (UNLIKELY(in->memory == NULL))
		find_memory((struct wasm_instance *)in, caller);
	return in;
}

static wasm_trap_t *trapped(const struct runtime_instance *in)
{
	return wasmtime_trap_new(in->trap_text, in->trap_len);
}

static inline wasm_trap_t *finish(const struct runtime_instance *in, wasmtime_val_raw_t *v, int32_t result)
{
	if (UNLIKELY(result == SYSCALL_TRAP))
		return trapped(in);
	v[0].i64 = (uint32_t)result;
	return NULL;
}

#define IMPORT(name) \
	static wasm_trap_t *import_##name(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *v, size_t count)
#define IMPORT_RESULT(name, call) \
	IMPORT(name) \
	{ \
		(void)env; \
		(void)count; \
		struct runtime_instance *in = instance_of(caller); \
		return finish(in, v, (call)); \
	}
#define RANGE (&(struct syscall_range){ ARG(0), ARG(1), ARG(2), ARG(3), ARG(4), ARG(5), ARG(6), ARG(7) })

IMPORT_RESULT(table_id_from_name, syscall_table_id_from_name(in, ARG(0), ARG(1), ARG(2)))
IMPORT_RESULT(index_id_from_name, syscall_index_id_from_name(in, ARG(0), ARG(1), ARG(2)))
IMPORT_RESULT(row_count, syscall_table_row_count(in, ARG(0), ARG(1)))
IMPORT_RESULT(table_scan, syscall_table_scan(in, ARG(0), ARG(1)))
IMPORT_RESULT(scan_range, syscall_index_scan_range(in, RANGE, ARG(8)))
IMPORT_RESULT(scan_point, syscall_index_scan_point(in, ARG(0), ARG(1), ARG(2), ARG(3)))
IMPORT_RESULT(iter_advance, syscall_iter_advance(in, ARG(0), ARG(1), ARG(2)))
IMPORT_RESULT(iter_close, syscall_iter_close(in, ARG(0)))
IMPORT_RESULT(insert, syscall_insert(in, ARG(0), ARG(1), ARG(2)))
IMPORT_RESULT(update, syscall_update(in, ARG(0), ARG(1), ARG(2), ARG(3)))
IMPORT_RESULT(delete_range, syscall_delete_range(in, RANGE, ARG(8)))
IMPORT_RESULT(delete_point, syscall_delete_point(in, ARG(0), ARG(1), ARG(2), ARG(3)))
IMPORT_RESULT(delete_all_by_eq, syscall_delete_all_by_eq(in, ARG(0), ARG(1), ARG(2), ARG(3)))
IMPORT_RESULT(clear, syscall_clear(in, ARG(0), ARG(1)))
IMPORT_RESULT(sink_write, syscall_sink_write(in, ARG(0), ARG(1), ARG(2)))
IMPORT_RESULT(source_read, syscall_source_read(in, ARG(0), ARG(1), ARG(2)))
IMPORT_RESULT(source_remaining, syscall_source_remaining(in, ARG(0), ARG(1)))
IMPORT_RESULT(timer_start, syscall_timer_start(in, ARG(0), ARG(1)))
IMPORT_RESULT(timer_end, syscall_timer_end(in, ARG(0)))
IMPORT_RESULT(get_jwt, syscall_get_jwt(in, ARG(0), ARG(1)))
IMPORT_RESULT(start_tx, syscall_start_tx(in, ARG(0)))
IMPORT_RESULT(commit_tx, syscall_commit_tx(in))
IMPORT_RESULT(abort_tx, syscall_abort_tx(in))
IMPORT_RESULT(http_request, syscall_http_request(in, ARG(0), ARG(1), ARG(2), ARG(3), ARG(4)))
IMPORT_RESULT(env_get, syscall_env_get(in, ARG(0), ARG(1), ARG(2)))

IMPORT(console_log)
{
	(void)env;
	(void)count;
	struct syscall_log record = { ARG(0), ARG(1), ARG(2), ARG(3), ARG(4), ARG(5), ARG(6), ARG(7) };
	syscall_console_log(instance_of(caller), &record);
	return NULL;
}

IMPORT(identity)
{
	(void)env;
	(void)count;
	struct runtime_instance *in = instance_of(caller);
	return syscall_identity(in, ARG(0)) == SYSCALL_TRAP ? trapped(in) : NULL;
}

IMPORT(schedule_immediate)
{
	(void)env;
	(void)count;
	struct runtime_instance *in = instance_of(caller);
	return syscall_schedule_immediate(in, ARG(0), ARG(1), ARG(2), ARG(3)) == SYSCALL_TRAP ? trapped(in) : NULL;
}

IMPORT(sleep_until)
{
	(void)env;
	(void)count;
	struct runtime_instance *in = instance_of(caller);
	int64_t now = 0;
	if (syscall_sleep_until(in, v[0].i64, &now) == SYSCALL_TRAP)
		return trapped(in);
	v[0].i64 = now;
	return NULL;
}

static const struct {
	const char *module, *name, *type;
	wasmtime_func_unchecked_callback_t call;
} imports[] = {
	{ "spacetime_10.0", "table_id_from_name", "iii:i", import_table_id_from_name },
	{ "spacetime_10.0", "index_id_from_name", "iii:i", import_index_id_from_name },
	{ "spacetime_10.0", "datastore_table_row_count", "ii:i", import_row_count },
	{ "spacetime_10.0", "datastore_table_scan_bsatn", "ii:i", import_table_scan },
	{ "spacetime_10.0", "datastore_index_scan_range_bsatn", "iiiiiiiii:i", import_scan_range },
	{ "spacetime_10.0", "datastore_btree_scan_bsatn", "iiiiiiiii:i", import_scan_range },
	{ "spacetime_10.0", "row_iter_bsatn_advance", "iii:i", import_iter_advance },
	{ "spacetime_10.0", "row_iter_bsatn_close", "i:i", import_iter_close },
	{ "spacetime_10.0", "datastore_insert_bsatn", "iii:i", import_insert },
	{ "spacetime_10.0", "datastore_update_bsatn", "iiii:i", import_update },
	{ "spacetime_10.0", "datastore_delete_by_index_scan_range_bsatn", "iiiiiiiii:i", import_delete_range },
	{ "spacetime_10.0", "datastore_delete_by_btree_scan_bsatn", "iiiiiiiii:i", import_delete_range },
	{ "spacetime_10.0", "datastore_delete_all_by_eq_bsatn", "iiii:i", import_delete_all_by_eq },
	{ "spacetime_10.0", "volatile_nonatomic_schedule_immediate", "iiii:", import_schedule_immediate },
	{ "spacetime_10.0", "bytes_sink_write", "iii:i", import_sink_write },
	{ "spacetime_10.0", "bytes_source_read", "iii:i", import_source_read },
	{ "spacetime_10.0", "console_log", "iiiiiiii:", import_console_log },
	{ "spacetime_10.0", "console_timer_start", "ii:i", import_timer_start },
	{ "spacetime_10.0", "console_timer_end", "i:i", import_timer_end },
	{ "spacetime_10.0", "identity", "i:", import_identity },
	{ "spacetime_10.1", "bytes_source_remaining_length", "ii:i", import_source_remaining },
	{ "spacetime_10.2", "get_jwt", "ii:i", import_get_jwt },
	{ "spacetime_10.3", "procedure_sleep_until", "I:I", import_sleep_until },
	{ "spacetime_10.3", "procedure_start_mut_tx", "i:i", import_start_tx },
	{ "spacetime_10.3", "procedure_commit_mut_tx", ":i", import_commit_tx },
	{ "spacetime_10.3", "procedure_abort_mut_tx", ":i", import_abort_tx },
	{ "spacetime_10.3", "procedure_http_request", "iiiii:i", import_http_request },
	{ "spacetime_10.4", "datastore_index_scan_point_bsatn", "iiii:i", import_scan_point },
	{ "spacetime_10.4", "datastore_delete_by_index_scan_point_bsatn", "iiii:i", import_delete_point },
	{ "spacetime_10.5", "datastore_clear", "ii:i", import_clear },
	{ "spacetime_10.6", "env_get", "iii:i", import_env_get },
};

wasmtime_error_t *wasm_imports_define(wasmtime_linker_t *linker)
{
	for (size_t i = 0; i < ARRAY_COUNT(imports); i++) {
		wasm_functype_t *type = wasm_functype_of(imports[i].type);
		wasmtime_error_t *error = wasmtime_linker_define_func_unchecked(linker, imports[i].module,
			strlen(imports[i].module), imports[i].name, strlen(imports[i].name), type, imports[i].call, NULL, NULL);
		wasm_functype_delete(type);
		if (error != NULL)
			return error;
	}
	return NULL;
}
