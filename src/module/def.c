/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a definition: made from a description, shared by reference
 * count, looked things up in.
 *
 * Invariants:
 * 1. After module_def_create returns nothing of a definition changes but its
 *    reference count.
 * 2. Every pointer in the info leads into the definition's arena.
 */
#include "module/module_internal.h"
#include "base/mem.h"

#include <stdatomic.h>

enum { ARENA_BYTES_BASE = 64 << 20, ARENA_BYTES_PER_BYTE = 64, ARENA_BYTES_MAX = 1 << 30 };

static bool index_names(struct module_def *def)
{
	const struct module_info *info = &def->info;
	bool good = true;
	for (uint32_t i = 0; i < info->reducer_count && good; i++)
		good = map_put(&def->reducers, info->reducers[i].name.data, info->reducers[i].name.len, i);
	for (uint32_t i = 0; i < info->procedure_count && good; i++)
		good = map_put(&def->procedures, info->procedures[i].name.data, info->procedures[i].name.len, i);
	for (uint32_t i = 0; i < info->view_count && good; i++)
		good = map_put(&def->views, info->views[i].name.data, info->views[i].name.len, i);
	return good;
}

static enum wl_err describe_failure(const struct faults *faults, struct buf *errors)
{
	buf_put_cstr(errors, "error decoding module description: ");
	buf_put_cstr(errors, faults->err_text != NULL ? faults->err_text : wl_err_name(faults->err));
	return faults->err;
}

static enum wl_err build(struct context *c, struct module_def *def, struct bytes description, struct buf *errors)
{
	struct raw_module raw;
	struct error error;
	enum wl_err err = module_decode(c, description, &raw, &error);
	if (err == WL_ERR_INVALID) {
		buf_put_cstr(errors, "error decoding module description: ");
		buf_put_cstr(errors, error.text);
		return err;
	}
	uint32_t faults_of_v8 = c->faults->count;
	if (err == WL_OK)
		def->root = validate_module(c, &raw, 0);
	if (c->faults->err == WL_OK && (c->faults->count > 0 || faults_of_v8 > 0)) {
		faults_write(c->faults, errors);
		return WL_ERR_INVALID;
	}
	if (c->faults->err == WL_OK && def->root != NULL && build_info(c, def, raw.version) && index_names(def))
		return WL_OK;
	faults_stop(c->faults, WL_ERR_MEMORY, "out of memory");
	return describe_failure(c->faults, errors);
}

enum wl_err module_def_create(const uint8_t *description, size_t len, struct module_def **out, struct buf *errors)
{
	struct faults faults = { 0 };
	if (len > MODULE_DEF_BYTES_MAX) {
		faults_stop(&faults, WL_ERR_LIMIT, "the module description is too large");
		return describe_failure(&faults, errors);
	}
	struct module_def *def = mem_zalloc(sizeof(*def));
	if (def == NULL) {
		faults_stop(&faults, WL_ERR_MEMORY, "out of memory");
		return describe_failure(&faults, errors);
	}
	atomic_init(&def->references, 1);
	size_t arena_max = size_min(ARENA_BYTES_BASE + len * ARENA_BYTES_PER_BYTE, ARENA_BYTES_MAX);
	struct arena scratch;
	arena_init(&def->arena, arena_max);
	arena_init(&scratch, arena_max);
	struct context c = { &def->arena, &scratch, &faults };
	/* Names borrow from this copy. */
	void *copy = arena_copy(&def->arena, description, len);
	enum wl_err err;
	if (copy == NULL) {
		faults_stop(&faults, WL_ERR_MEMORY, "out of memory");
		err = describe_failure(&faults, errors);
	} else {
		err = build(&c, def, (struct bytes){ copy, len }, errors);
	}
	arena_deinit(&scratch);
	faults_deinit(&faults);
	if (err == WL_OK)
		*out = def;
	else
		module_def_release(def);
	return err;
}

struct module_def *module_def_share(struct module_def *def)
{
	/* Relaxed: whoever shares holds a reference already. */
	atomic_fetch_add_explicit(&def->references, 1, memory_order_relaxed);
	return def;
}

void module_def_release(struct module_def *def)
{
	if (def == NULL)
		return;
	/* Release what this holder read, acquire what all others did, before the memory goes. */
	if (atomic_fetch_sub_explicit(&def->references, 1, memory_order_acq_rel) != 1)
		return;
	map_deinit(&def->reducers);
	map_deinit(&def->procedures);
	map_deinit(&def->views);
	arena_deinit(&def->arena);
	mem_free(def);
}

const struct module_info *module_def_info(const struct module_def *def)
{
	return &def->info;
}

void module_def_set_migrates(struct module_def *def)
{
	def->info.migrates = true;
}

const struct module_function *module_reducer(const struct module_def *def, struct str name, uint32_t *id)
{
	uint64_t at;
	if (!map_get(&def->reducers, name.data, name.len, &at))
		return NULL;
	*id = (uint32_t)at;
	return &def->info.reducers[at];
}

const struct module_function *module_procedure(const struct module_def *def, struct str name, uint32_t *id)
{
	uint64_t at;
	if (!map_get(&def->procedures, name.data, name.len, &at))
		return NULL;
	*id = (uint32_t)at;
	return &def->info.procedures[at];
}

const struct module_view *module_view(const struct module_def *def, struct str name)
{
	uint64_t at;
	return map_get(&def->views, name.data, name.len, &at) ? &def->info.views[at] : NULL;
}

const struct module_table *module_table(const struct module_def *def, struct str name)
{
	uint32_t low = 0, high = def->info.table_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = str_order(def->info.tables[middle].name, name);
		if (order == 0)
			return &def->info.tables[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct module_env *module_environment(const struct module_def *def, struct str name)
{
	for (uint32_t i = 0; i < def->info.environment_count; i++)
		if (str_eq(def->info.environment[i].name, name))
			return &def->info.environment[i];
	return NULL;
}
