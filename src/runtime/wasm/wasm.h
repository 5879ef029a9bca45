/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_WASM_H
#define RUNTIME_WASM_H
/*
 * wasm: WebAssembly guests on Wasmtime's C API. Private to this folder; the
 * rest of the room sees runtime_internal.h.
 *
 * Beware: wasm_valtype_kind aborts the process on vector and typed-reference
 * types, which any module may have in its signatures. wasm_signature_is
 * compares types instead.
 */
#include "runtime/runtime_internal.h"

#include <wasm.h>
#include <wasmtime.h>

enum { WASM_STACK_BYTES = 2 << 20 }; /* of guest code; a thread that runs guests has THREAD_STACK_GUEST */
_Static_assert(WASM_STACK_BYTES <= THREAD_STACK_GUEST / 2, "syscalls run below the guest's frames");

#if defined(__SANITIZE_THREAD__)
#define WASM_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WASM_UNDER_TSAN 1
#endif
#endif
#ifndef WASM_UNDER_TSAN
#define WASM_UNDER_TSAN 0
#endif
#if WASM_UNDER_TSAN || defined(__SANITIZE_ADDRESS__)
#define WASM_UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WASM_UNDER_SANITIZER 1
#endif
#endif
#ifndef WASM_UNDER_SANITIZER
#define WASM_UNDER_SANITIZER 0
#endif

struct wasm_engine {
	wasm_engine_t *engine;
	wasmtime_linker_t *linker; /* immutable once made; shared by all programs */
};

struct wasm_program {
	wasmtime_module_t *module;
	wasmtime_instance_pre_t *pre;
	struct str *preinits;      /* owned, terminated, sorted bytewise */
	uint32_t preinit_count;
	bool has_initialize, has_setup;
	bool handlers_take_sender; /* __call_http_handler__ as of 2.14 */
	bool has[EXPORT_COUNT];
};

struct wasm_instance {
	struct runtime_instance base; /* first: the engine-neutral half is this instance */
	wasmtime_store_t *store;
	wasmtime_context_t *context;
	wasmtime_memory_t memory;
	wasmtime_instance_t instance;
	wasmtime_func_t exports[EXPORT_COUNT];
};

/* Our settings, and nothing else: no imports, no ticks. NULL: it cannot be made. */
wasm_engine_t *wasm_engine_bare(void);
enum wl_err wasm_compile_apart(struct runtime *runtime, struct bytes code, wasmtime_module_t **module,
	struct buf *error);

/* Types are written as params ':' results, 'i' i32, 'I' i64: "iII:i". */
enum { WASM_SIGNATURE_MAX = 16 };
wasm_functype_t *wasm_functype_of(const char *signature);
bool wasm_signature_is(const wasm_functype_t *type, const char *signature);
void wasm_signature_print(const wasm_functype_t *type, struct buf *out); /* "(func (param i32) (result i32))" */

/* Defines every import of the ABI. */
wasmtime_error_t *wasm_imports_define(wasmtime_linker_t *linker);

/* Texts; both take their first argument. `chain`: on one line, causes joined by ": ". */
void wasm_error_text(wasmtime_error_t *error, bool chain, struct buf *out);
void wasm_trap_text(wasm_trap_t *trap, bool chain, struct buf *out);
#endif
