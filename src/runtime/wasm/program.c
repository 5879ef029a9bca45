/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs: compiling, and what is checked before a module is accepted: the
 * ABI version its imports ask for, that every import exists, and its exports.
 * The texts are what a publisher sees (module-abi.md 2.1).
 */
#include "base/mem.h"
#include "runtime/wasm/wasm.h"

#include <stdio.h>
#include <stdlib.h>

enum { ABI_MAJOR = 10, ABI_MINOR = 6, ABI_MINOR_SHOWN = 5 };
enum { EXPORT_NAME_MAX = 4096 }; /* of an export that we keep or print */

static const char reducer_signature[] = "iIIIIIIIii:i";

static struct str name_of(const wasm_name_t *name)
{
	return (struct str){ name->data, name->size };
}

/* A u16 as the reference reads it: an optional '+' and digits. False when it is none. */
static bool parse_u16(struct str s, uint16_t *out)
{
	uint32_t value = 0;
	size_t at = s.len > 0 && s.data[0] == '+' ? 1 : 0;
	if (at == s.len)
		return false;
	for (; at < s.len; at++) {
		if (s.data[at] < '0' || s.data[at] > '9')
			return false;
		value = value * 10 + (uint32_t)(s.data[at] - '0');
		if (value > UINT16_MAX)
			return false;
	}
	*out = (uint16_t)value;
	return true;
}

static bool parse_version(struct str s, uint16_t *major, uint16_t *minor)
{
	const char *dot = s.len > 0 ? memchr(s.data, '.', s.len) : NULL;
	if (dot == NULL)
		return false;
	size_t at = (size_t)(dot - s.data);
	return parse_u16((struct str){ s.data, at }, major)
		&& parse_u16((struct str){ dot + 1, s.len - at - 1 }, minor);
}

/* The version that the function imports ask for: the highest of one major. */
static enum wl_err check_abi(const wasm_importtype_vec_t *imports, struct buf *error)
{
	static const char prefix[] = "spacetime_";
	bool found = false;
	uint16_t major = 0, minor = 0;
	for (size_t i = 0; i < imports->size; i++) {
		struct str module = name_of(wasm_importtype_module(imports->data[i]));
		if (wasm_externtype_kind(wasm_importtype_type(imports->data[i])) != WASM_EXTERN_FUNC
			|| !str_starts_with(module, prefix))
			continue;
		uint16_t a, b;
		size_t skip = sizeof(prefix) - 1;
		if (!parse_version((struct str){ module.data + skip, module.len - skip }, &a, &b)) {
			buf_put_cstr(error, "import module ");
			text_put_debug_str(error, module);
			buf_put_cstr(error, " has malformed version string");
			return WL_ERR_INVALID;
		}
		if (found && a != major) {
			buf_printf(error, "module cannot depend on both major version %u and major version %u", major, a);
			return WL_ERR_INVALID;
		}
		major = a;
		minor = found && minor > b ? minor : b;
		found = true;
	}
	if (!found) {
		buf_put_cstr(error, "unable to determine ABI of module (may be on an spacetime version < 0.8)");
		return WL_ERR_INVALID;
	}
	if (major != ABI_MAJOR || minor > ABI_MINOR) {
		buf_printf(error, "abi version %u.%u is not supported (host implements %d.%d)", major, minor, ABI_MAJOR,
			ABI_MINOR_SHOWN);
		return WL_ERR_INVALID;
	}
	return WL_OK;
}

static const wasm_externtype_t *find_export(const wasm_exporttype_vec_t *exports, const char *name)
{
	for (size_t i = 0; i < exports->size; i++)
		if (str_eq(name_of(wasm_exporttype_name(exports->data[i])), str_of(name)))
			return wasm_exporttype_type(exports->data[i]);
	return NULL;
}

static enum wl_err check_signature(const wasm_externtype_t *type, struct str name, const char *kind,
	const char *signature, struct buf *error)
{
	const wasm_functype_t *function = wasm_externtype_as_functype_const(type);
	if (function != NULL && wasm_signature_is(function, signature))
		return WL_OK;
	wasm_functype_t *wanted = wasm_functype_of(signature);
	if (function != NULL) {
		buf_printf(error, "bad %s signature for ", kind);
		text_put_debug_str(error, name);
		buf_put_cstr(error, "; expected ");
		wasm_signature_print(wanted, error);
		buf_put_cstr(error, " got ");
		wasm_signature_print(function, error);
	} else {
		buf_put_cstr(error, "expected ");
		text_put_debug_str(error, name);
		buf_printf(error, " export to be a %s with signature ", kind);
		wasm_signature_print(wanted, error);
		buf_put_cstr(error, ", but it wasn't a function at all");
	}
	wasm_functype_delete(wanted);
	return WL_ERR_INVALID;
}

static enum wl_err check_required(const wasm_exporttype_vec_t *exports, struct buf *error)
{
	static const struct { const char *name, *kind, *signature; } required[] = {
		{ "__call_reducer__", "call_reducer", reducer_signature },
		{ "__describe_module__", "describe_module", "i:" },
	};
	const wasm_externtype_t *type = find_export(exports, "memory");
	if (type == NULL || wasm_externtype_kind(type) != WASM_EXTERN_MEMORY) {
		buf_put_cstr(error, "there should be a memory export called \"memory\" but it does not exist");
		return WL_ERR_INVALID;
	}
	for (size_t i = 0; i < ARRAY_COUNT(required); i++) {
		type = find_export(exports, required[i].name);
		if (type == NULL) {
			buf_printf(error, "there should be a function called \"%s\" but it does not exist", required[i].name);
			return WL_ERR_INVALID;
		}
		enum wl_err err = check_signature(type, str_of(required[i].name), required[i].kind, required[i].signature,
			error);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

/* Exports that may be missing, but not have another type. A second signature is that of a newer release. */
static enum wl_err check_optional(struct wasm_program *program, const wasm_exporttype_vec_t *exports,
	struct buf *error)
{
	static const struct { const char *name, *kind, *signature, *newer; } optional[] = {
		{ "__call_procedure__", "call_procedure", reducer_signature, NULL },
		{ "__call_view__", "call_view", "iIIIIii:i", NULL },
		{ "__call_view_anon__", "call_view_anon", "iii:i", NULL },
		{ "__call_http_handler__", "call_http_handler", "iIiiii:i", "iIIIIiIiiii:i" },
		{ "__migrate__", "migrate", "Ii:i", NULL },
	};
	for (size_t i = 0; i < ARRAY_COUNT(optional); i++) {
		const wasm_externtype_t *type = find_export(exports, optional[i].name);
		if (type == NULL)
			continue;
		const wasm_functype_t *function = wasm_externtype_as_functype_const(type);
		if (function != NULL && optional[i].newer != NULL && wasm_signature_is(function, optional[i].newer)) {
			program->handlers_take_sender = true;
			continue;
		}
		enum wl_err err = check_signature(type, str_of(optional[i].name), optional[i].kind, optional[i].signature,
			error);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

static int compare_names(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	int order = memcmp(x->data, y->data, size_min(x->len, y->len));
	return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static enum wl_err keep_preinit(struct wasm_program *program, struct str name, struct buf *error)
{
	if (name.len > EXPORT_NAME_MAX) {
		buf_printf(error, "the name of an export is longer than %d bytes", EXPORT_NAME_MAX);
		return WL_ERR_LIMIT;
	}
	struct str kept = { mem_strdup(name), name.len };
	if (kept.data == NULL)
		return WL_ERR_MEMORY;
	program->preinits[program->preinit_count++] = kept;
	return WL_OK;
}

static enum wl_err collect_initialisers(struct wasm_program *program, const wasm_exporttype_vec_t *exports,
	struct buf *error)
{
	static const char prefix[] = "__preinit__";
	size_t count = 0;
	for (size_t i = 0; i < exports->size; i++)
		count += str_starts_with(name_of(wasm_exporttype_name(exports->data[i])), prefix);
	program->preinits = mem_zalloc_array(count, sizeof(*program->preinits));
	if (program->preinits == NULL)
		return WL_ERR_MEMORY;
	for (size_t i = 0; i < exports->size; i++) {
		struct str name = name_of(wasm_exporttype_name(exports->data[i]));
		const wasm_externtype_t *type = wasm_exporttype_type(exports->data[i]);
		enum wl_err err = WL_OK;
		if (str_eq(name, STR("__setup__"))) {
			err = check_signature(type, name, "setup", "i:i", error);
			program->has_setup = true;
		} else if (str_starts_with(name, prefix)) {
			size_t skip = sizeof(prefix) - 1;
			err = check_signature(type, (struct str){ name.data + skip, name.len - skip }, "preinit", ":", error);
			if (err == WL_OK)
				err = keep_preinit(program, name, error);
		}
		if (err != WL_OK)
			return err;
	}
	qsort(program->preinits, program->preinit_count, sizeof(*program->preinits), compare_names);
	return WL_OK;
}

static enum wl_err check_exports(struct wasm_program *program, struct buf *error)
{
	wasm_exporttype_vec_t exports;
	wasmtime_module_exports(program->module, &exports);
	enum wl_err err = check_required(&exports, error);
	if (err == WL_OK)
		err = collect_initialisers(program, &exports, error);
	if (err == WL_OK)
		err = check_optional(program, &exports, error);
	if (err == WL_OK) {
		const wasm_externtype_t *init = find_export(&exports, "_initialize");
		const wasm_functype_t *function = init == NULL ? NULL
			: wasm_externtype_as_functype_const(init);
		program->has_initialize = function != NULL && wasm_signature_is(function, ":");
		program->has[EXPORT_REDUCER] = program->has[EXPORT_DESCRIBE] = true;
		program->has[EXPORT_PROCEDURE] = find_export(&exports, "__call_procedure__") != NULL;
		program->has[EXPORT_VIEW] = find_export(&exports, "__call_view__") != NULL;
		program->has[EXPORT_VIEW_ANONYMOUS] = find_export(&exports, "__call_view_anon__") != NULL;
		program->has[EXPORT_MIGRATION] = find_export(&exports, "__migrate__") != NULL;
		program->has[EXPORT_HTTP_HANDLER] = find_export(&exports, "__call_http_handler__") != NULL;
	}
	wasm_exporttype_vec_delete(&exports);
	return err;
}

/* Imports and exports are fine, or `error` says what is not. */
static enum wl_err check(struct wasm_engine *engine, struct wasm_program *program, struct buf *error)
{
	wasm_importtype_vec_t imports;
	wasmtime_module_imports(program->module, &imports);
	enum wl_err err = check_abi(&imports, error);
	wasm_importtype_vec_delete(&imports);
	if (err != WL_OK)
		return err;
	wasmtime_error_t *failed = wasmtime_linker_instantiate_pre(engine->linker, program->module, &program->pre);
	if (failed != NULL) {
		wasm_error_text(failed, true, error);
		return WL_ERR_INVALID;
	}
	return check_exports(program, error);
}

static bool module_from_cache(struct runtime *runtime, const uint8_t hash[32], wasmtime_module_t **module)
{
	struct buf code = BUF_INIT(SIZE_MAX);
	bool found = runtime->cache != NULL && code_cache_get(runtime->cache, hash, &code);
	if (found) {
		/* Authenticated bytes, yet perhaps for another processor: then it is compiled again. */
		wasmtime_error_t *failed = wasmtime_module_deserialize(runtime->wasm->engine, code.data, code.len, module);
		if (failed != NULL) {
			wasmtime_error_delete(failed);
			found = false;
		}
	}
	buf_deinit(&code);
	return found;
}

static void module_to_cache(struct runtime *runtime, const uint8_t hash[32], const wasmtime_module_t *module)
{
	if (runtime->cache == NULL)
		return;
	wasm_byte_vec_t code;
	wasmtime_error_t *failed = wasmtime_module_serialize(module, &code);
	if (failed != NULL) {
		wasmtime_error_delete(failed);
		return;
	}
	code_cache_put(runtime->cache, hash, (struct bytes){ (const uint8_t *)code.data, code.size });
	wasm_byte_vec_delete(&code);
}

static enum wl_err module_compile(struct runtime *runtime, struct bytes code, wasmtime_module_t **module,
	struct buf *error)
{
	if (runtime->compilers.path != NULL)
		return wasm_compile_apart(runtime, code, module, error);
	wasmtime_error_t *failed = wasmtime_module_new(runtime->wasm->engine, code.data, code.len, module);
	if (failed == NULL)
		return WL_OK;
	wasm_error_text(failed, true, error);
	return WL_ERR_INVALID;
}

enum wl_err wasm_program_compile(struct runtime *runtime, struct bytes code, const uint8_t hash[32], void **out,
	struct buf *error)
{
	struct wasm_program *program = mem_zalloc(sizeof(*program));
	if (program == NULL)
		return WL_ERR_MEMORY;
	bool cached = module_from_cache(runtime, hash, &program->module);
	enum wl_err err = cached ? WL_OK : module_compile(runtime, code, &program->module, error);
	if (err == WL_OK)
		err = check(runtime->wasm, program, error);
	if (err != WL_OK) {
		wasm_program_destroy(program);
		return err;
	}
	if (!cached)
		module_to_cache(runtime, hash, program->module);
	*out = program;
	return WL_OK;
}

void wasm_program_destroy(void *opaque)
{
	struct wasm_program *program = opaque;
	if (program == NULL)
		return;
	if (program->pre != NULL)
		wasmtime_instance_pre_delete(program->pre);
	if (program->module != NULL)
		wasmtime_module_delete(program->module);
	for (uint32_t i = 0; i < program->preinit_count; i++)
		mem_free((void *)(uintptr_t)program->preinits[i].data);
	mem_free(program->preinits);
	mem_free(program);
}

bool wasm_program_migrates(const void *program)
{
	return ((const struct wasm_program *)program)->has[EXPORT_MIGRATION];
}

bool wasm_program_handlers_take_sender(const void *program)
{
	return ((const struct wasm_program *)program)->handlers_take_sender;
}
