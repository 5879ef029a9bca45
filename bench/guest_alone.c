/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module's own share of a call: the reducer `transfer` of
 * tests/modules/transfer-c under a host whose imports answer at once, so that
 * nothing but the guest and the eight crossings of its boundary is measured.
 *
 *     guest_alone MODULE      name value, a line each; CPU time of one thread
 *
 * The engine is configured as the runtime's.
 */
#include "base/base.h"
#include "base/buf.h"
#include "runtime/wasm/wasm.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CALLS = 2000000, ROUNDS = 5, TRANSFER = 1, PARAMETERS_MAX = 16 };
enum { AT_END = -1 };
static uint8_t *memory; /* of the guest; does not move */
static uint64_t crossings;

static uint32_t written(uint32_t at, uint32_t n)
{
	store_u32(memory + at, n);
	return 0;
}

/* An import by its name, and what it answers; the last: any other. */
struct canned {
	const char *name;
	int32_t (*answer)(const wasmtime_val_raw_t *v);
};
static int32_t answer_name(const wasmtime_val_raw_t *v) { return (int32_t)written((uint32_t)v[2].i32, 1); }
static int32_t answer_scan(const wasmtime_val_raw_t *v) { return (int32_t)written((uint32_t)v[3].i32, 1); }
static int32_t answer_ok(const wasmtime_val_raw_t *v) { (void)v; return 0; }
static int32_t answer_row(const wasmtime_val_raw_t *v) /* an account with much in it, and the end */
{
	uint8_t *row = memory + (uint32_t)v[1].i32;
	store_u32(row, 7);
	store_u64(row + 4, UINT64_C(1) << 40);
	written((uint32_t)v[2].i32, 12);
	return AT_END;
}
static int32_t answer_update(const wasmtime_val_raw_t *v) { return (int32_t)written((uint32_t)v[3].i32, 0); }
static int32_t answer_remaining(const wasmtime_val_raw_t *v) { return (int32_t)written((uint32_t)v[1].i32, 16); }
static int32_t answer_args(const wasmtime_val_raw_t *v) /* from 1 to 2, one */
{
	uint8_t *args = memory + (uint32_t)v[1].i32;
	store_u32(args, 1);
	store_u32(args + 4, 2);
	store_u64(args + 8, 1);
	written((uint32_t)v[2].i32, 16);
	return AT_END;
}
static const struct canned answers[] = {
	{ "table_id_from_name", answer_name }, { "index_id_from_name", answer_name },
	{ "datastore_index_scan_point_bsatn", answer_scan }, { "row_iter_bsatn_advance", answer_row },
	{ "datastore_update_bsatn", answer_update }, { "bytes_source_remaining_length", answer_remaining },
	{ "bytes_source_read", answer_args }, { NULL, answer_ok },
};

static wasm_trap_t *import(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *v, size_t count)
{
	(void)caller, (void)count;
	crossings++;
	v[0].i32 = ((const struct canned *)env)->answer(v);
	return NULL;
}

static void die(const char *what)
{
	fprintf(stderr, "guest_alone: %s\n", what);
	exit(1);
}

static bool is_name(const wasm_name_t *name, const char *text)
{
	return name->size == strlen(text) && memcmp(name->data, text, name->size) == 0;
}

static void define(wasmtime_linker_t *linker, const wasmtime_module_t *module)
{
	wasm_importtype_vec_t imports;
	wasmtime_module_imports(module, &imports);
	for (size_t i = 0; i < imports.size; i++) {
		const wasm_name_t *from = wasm_importtype_module(imports.data[i]);
		const wasm_name_t *name = wasm_importtype_name(imports.data[i]);
		const struct canned *canned = answers;
		while (canned->name != NULL && !is_name(name, canned->name))
			canned++;
		const wasm_functype_t *type = wasm_externtype_as_functype_const(wasm_importtype_type(imports.data[i]));
		if (type == NULL || wasmtime_linker_define_func_unchecked(linker, from->data, from->size, name->data,
			name->size, type, import, (void *)(uintptr_t)canned, NULL) != NULL)
			die("an import cannot be defined");
	}
	wasm_importtype_vec_delete(&imports);
}

static wasmtime_extern_t exported(wasmtime_context_t *context, const wasmtime_instance_t *instance, const char *name)
{
	wasmtime_extern_t item;
	if (!wasmtime_instance_export_get(context, instance, name, strlen(name), &item))
		die("an export is missing");
	return item;
}

static void call(wasmtime_context_t *context, const wasmtime_func_t *function, const wasmtime_val_raw_t *args)
{
	wasm_trap_t *trap = NULL;
	wasmtime_val_raw_t v[PARAMETERS_MAX];
	memcpy(v, args, sizeof(v));
	if (wasmtime_func_call_unchecked(context, function, v, PARAMETERS_MAX, &trap) != NULL || trap != NULL)
		die("the module traps");
	if (v[0].i32 != 0)
		die("the transfer failed");
}

static double transfers(wasmtime_context_t *context, const wasmtime_func_t *function)
{
	struct timespec begin, end;
	const wasmtime_val_raw_t args[PARAMETERS_MAX] = { { .i32 = TRANSFER }, [7] = { .i64 = 1 }, [8] = { .i32 = 1 },
		[9] = { .i32 = 1 } };
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	for (uint32_t i = 0; i < CALLS; i++)
		call(context, function, args);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	return ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) / CALLS;
}

int main(int argc, char **argv)
{
	FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
	static uint8_t code[1 << 20];
	size_t len = file != NULL ? fread(code, 1, sizeof(code), file) : 0;
	wasm_engine_t *engine = wasm_engine_bare();
	wasmtime_store_t *store = engine != NULL ? wasmtime_store_new(engine, NULL, NULL) : NULL;
	wasmtime_module_t *module;
	wasmtime_instance_t instance;
	wasm_trap_t *trap = NULL;
	if (len == 0 || store == NULL || wasmtime_module_new(engine, code, len, &module) != NULL)
		die("usage: guest_alone MODULE");
	fclose(file);
	wasmtime_context_t *context = wasmtime_store_context(store);
	wasmtime_context_set_epoch_deadline(context, UINT64_MAX / 2);
	wasmtime_linker_t *linker = wasmtime_linker_new(engine);
	define(linker, module);
	if (wasmtime_linker_instantiate(linker, context, module, &instance, &trap) != NULL || trap != NULL)
		die("no instance");
	wasmtime_memory_t m = exported(context, &instance, "memory").of.memory;
	memory = wasmtime_memory_data(context, &m);
	wasmtime_func_t initialize = exported(context, &instance, "_initialize").of.func;
	wasmtime_func_t reducer = exported(context, &instance, "__call_reducer__").of.func;
	call(context, &initialize, (wasmtime_val_raw_t[PARAMETERS_MAX]){ 0 });
	(void)transfers(context, &reducer); /* memory grown, names found */
	crossings = 0;
	double best = transfers(context, &reducer);
	double each = (double)crossings / CALLS;
	for (int i = 1; i < ROUNDS; i++) {
		double nanos = transfers(context, &reducer);
		best = nanos < best ? nanos : best;
	}
	printf("transfer_guest_nanos %.1f\ntransfer_crossings %.2f\n", best, each);
	wasmtime_linker_delete(linker);
	wasmtime_module_delete(module);
	wasmtime_store_delete(store);
	wasm_engine_delete(engine);
	return 0;
}
