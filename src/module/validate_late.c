/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What modules declare since 2.11: environment variables and outboxes. Each
 * has its checks in a fixed order and reports the first that fails.
 */
#include "module/module_internal.h"

#include <stdlib.h>

/* ---- environment ---- */

static bool env_name_good(struct str name)
{
	if (name.len == 0 || name.len > MODULE_ENVIRONMENT_NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return true;
}

static bool env_fail(struct validator *v, struct str name, const char *text)
{
	if (name.data == NULL)
		FAULT(v->c->faults, FAULT_ENVIRONMENT, field_str(str_of(text)));
	else
		FAULT(v->c->faults, FAULT_ENVIRONMENT_KEY, { FIELD_QUOTED, .text = name }, field_str(str_of(text)));
	return false;
}

static int value_order(const void *a, const void *b)
{
	return str_order(*(const struct str *)a, *(const struct str *)b);
}

/* Sorted and without duplicates. */
static bool keep_values(struct validator *v, const struct raw_env *raw, struct module_env *out)
{
	struct str *values = context_array(v->c, v->c->arena, raw->value_count, sizeof(*values));
	if (values == NULL)
		return false;
	if (raw->value_count > 0) {
		memcpy(values, raw->values, raw->value_count * sizeof(*values));
		qsort(values, raw->value_count, sizeof(*values), value_order);
	}
	for (uint32_t i = 0; i < raw->value_count; i++)
		if (i == 0 || !str_eq(values[i], values[out->value_count - 1]))
			values[out->value_count++] = values[i];
	out->values = values;
	return true;
}

static bool validate_env(struct validator *v, const struct raw_env *raw, struct map *seen, size_t *bytes,
	struct module_env *out)
{
	uint64_t before;
	if (!env_name_good(raw->name))
		return env_fail(v, (struct str){ NULL, 0 }, "invalid name");
	if (map_get(seen, raw->name.data, raw->name.len, &before))
		return env_fail(v, raw->name, "duplicate declaration");
	if (!map_put(seen, raw->name.data, raw->name.len, 1)) {
		faults_stop(v->c->faults, WL_ERR_MEMORY, "out of memory");
		return false;
	}
	if (raw->kind == 2 && raw->value_count == 0)
		return env_fail(v, raw->name, "string union must not be empty");
	if (raw->value_count > MODULE_ENVIRONMENT_MAX)
		return env_fail(v, raw->name, "string union has too many entries");
	*bytes += raw->name.len;
	for (uint32_t i = 0; i < raw->value_count; i++) {
		if (raw->values[i].len > MODULE_ENVIRONMENT_VALUE_BYTES_MAX)
			return env_fail(v, raw->name, "declared literal exceeds value size limit");
		*bytes += raw->values[i].len;
	}
	if (*bytes > MODULE_ENVIRONMENT_BYTES_MAX)
		return env_fail(v, raw->name, "declaration schema exceeds size limit");
	*out = (struct module_env){ .name = raw->name, .is_union = raw->kind == 2, .is_optional = raw->is_optional };
	return keep_values(v, raw, out);
}

bool validate_environment(struct validator *v)
{
	const struct raw_module *raw = v->raw;
	v->part->has_environment = (raw->sections_seen >> RAW_SECTION_ENVIRONMENT & 1) != 0;
	if (raw->env_count > MODULE_ENVIRONMENT_MAX)
		return env_fail(v, (struct str){ NULL, 0 }, "too many declarations");
	v->part->env = context_array(v->c, v->c->arena, raw->env_count, sizeof(*v->part->env));
	if (v->part->env == NULL)
		return false;
	struct map seen = { 0 };
	size_t bytes = 0;
	bool good = true;
	for (uint32_t i = 0; i < raw->env_count && good; i++)
		good = validate_env(v, &raw->envs[i], &seen, &bytes, &v->part->env[i]);
	v->part->env_count = raw->env_count;
	map_deinit(&seen);
	return good;
}

/* ---- outboxes ---- */

static bool outbox_fail(struct validator *v, struct buf *text)
{
	FAULT(v->c->faults, FAULT_OUTBOX, field_str(scratch_text(v->c, text)));
	buf_deinit(text);
	return false;
}

/* "BEFORE NAME AFTER" */
static bool outbox_say(struct validator *v, const char *before, struct str name, const char *after)
{
	struct buf text;
	buf_init(&text, MODULE_NAME_BYTES_MAX);
	buf_put_cstr(&text, before);
	buf_put_str(&text, name);
	buf_put_cstr(&text, after);
	return outbox_fail(v, &text);
}

static bool check_outbox_key(struct validator *v, const struct module_table *table)
{
	if (table->primary_key < 0)
		return outbox_say(v, "outbox table ", table->name, " must have a primary key");
	const struct sats_type *type = table->columns[table->primary_key].type;
	if (type->tag == SATS_U64)
		return true;
	struct buf text;
	buf_init(&text, MODULE_NAME_BYTES_MAX);
	buf_put_cstr(&text, "outbox table ");
	buf_put_str(&text, table->name);
	buf_put_cstr(&text, " primary key must be u64, found ");
	sats_type_pretty(&text, type);
	return outbox_fail(v, &text);
}

static bool check_outbox_columns(struct validator *v, const struct raw_outbox *raw, const struct module_table *table)
{
	const struct sats_type *target =
		raw->target_column < table->column_count ? table->columns[raw->target_column].type : NULL;
	bool good = target != NULL && raw->target_column != table->primary_key &&
		(target->special == SATS_IDENTITY || target->tag == SATS_U256);
	if (!good)
		return outbox_say(v, "outbox table ", table->name,
			" must have exactly one non-primary-key identity target column");
	for (uint32_t i = 0; i < raw->arguments.count; i++) {
		if (raw->arguments.at[i] < table->column_count)
			continue;
		struct buf text;
		buf_init(&text, MODULE_NAME_BYTES_MAX);
		buf_put_cstr(&text, "outbox table ");
		buf_put_str(&text, table->name);
		buf_printf(&text, " argument column %u does not exist", raw->arguments.at[i]);
		return outbox_fail(v, &text);
	}
	return true;
}

/* Possibly dotted; never converted. */
static bool check_remote_reducer(struct validator *v, struct str name)
{
	size_t start = 0;
	for (size_t i = 0; i <= name.len; i++) {
		if (i < name.len && name.data[i] != '.')
			continue;
		if (!name_check(v, (struct str){ name.data + start, i - start }))
			return false;
		start = i + 1;
	}
	return true;
}

static bool is_qualified(struct str name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.data[i] == '.' || (name.data[i] == ':' && i + 1 < name.len && name.data[i + 1] == ':'))
			return true;
	return false;
}

static bool takes_result(const struct sats_type *params, uint32_t row_ref)
{
	if (params->count != 2)
		return false;
	const struct sats_type *row = params->elements[0].type, *result = params->elements[1].type;
	return row->tag == SATS_REF && row->ref == row_ref && result->special == SATS_RESULT &&
		types_is_unit(result->elements[0].type) && result->elements[1].type->tag == SATS_STRING;
}

/* The part of a text that on_result faults share: "on_result reducer R for outbox T". */
static void put_on_result(struct buf *text, struct str reducer, const struct module_table *table)
{
	buf_init(text, MODULE_NAME_BYTES_MAX);
	buf_put_cstr(text, "on_result reducer ");
	buf_put_str(text, reducer);
	buf_put_cstr(text, " for outbox ");
	buf_put_str(text, table->name);
}

static bool resolve_on_result(struct validator *v, struct str source, const struct module_table *table,
	struct module_outbox *out)
{
	struct buf text;
	if (is_qualified(source)) {
		put_on_result(&text, source, table);
		buf_put_cstr(&text,
			" must be an unqualified name in the same module; cross-module callbacks are not supported");
		return outbox_fail(v, &text);
	}
	if (!name_resolve(v, RAW_NAME_FUNCTION, source, &out->on_result))
		return false;
	uint64_t found;
	if (!map_get(&v->function_by_name, out->on_result.data, out->on_result.len, &found) ||
		found >> 32 != ROLE_REDUCER) {
		put_on_result(&text, source, table);
		buf_put_cstr(&text, " does not exist");
		return outbox_fail(v, &text);
	}
	struct module_function *reducer = &v->part->reducers[(uint32_t)found];
	if (!takes_result(reducer->params, table->type_ref)) {
		put_on_result(&text, source, table);
		buf_printf(&text, " expected parameters (0: &%u, 1: (ok: () | err: String)), but has ", table->type_ref);
		sats_type_pretty(&text, reducer->params);
		return outbox_fail(v, &text);
	}
	reducer->is_private = true;
	return true;
}

static bool validate_outbox(struct validator *v, const struct raw_outbox *raw)
{
	struct str name;
	uint64_t at;
	if (!name_resolve(v, RAW_NAME_TABLE, raw->table, &name))
		return false;
	if (!map_get(&v->table_by_name, name.data, name.len, &at))
		return outbox_say(v, "outbox table ", raw->table, " not found");
	struct module_table *table = &v->part->tables[at];
	if (table->outbox != NULL)
		return outbox_say(v, "table ", table->name, " is assigned in multiple outboxes");
	if (table->is_event)
		return outbox_say(v, "outbox table ", table->name, " must not be an event table");
	if (table->schedule != NULL)
		return outbox_say(v, "outbox table ", table->name, " must not be a scheduled table");
	if (!check_outbox_key(v, table) || !check_outbox_columns(v, raw, table) ||
		!check_remote_reducer(v, raw->remote_reducer))
		return false;
	struct module_outbox *out = context_array(v->c, v->c->arena, 1, sizeof(*out));
	if (out == NULL)
		return false;
	*out = (struct module_outbox){
		.remote_reducer = raw->remote_reducer, .target_column = raw->target_column, .arguments = raw->arguments,
	};
	memcpy(out->signature_hash, raw->signature_hash, sizeof(out->signature_hash));
	if (raw->on_result.data != NULL && !resolve_on_result(v, raw->on_result, table, out))
		return false;
	table->outbox = out;
	v->part->has_outbox = true;
	return true;
}

bool validate_outboxes(struct validator *v)
{
	bool good = true;
	for (uint32_t i = 0; i < v->raw->outbox_count && v->c->faults->err == WL_OK; i++)
		good = validate_outbox(v, &v->raw->outboxes[i]) && good;
	return good;
}
