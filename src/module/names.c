/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names: converting case, explicit names, identifiers, the one namespace that
 * tables, views, indexes, constraints, sequences and schedules share, and the
 * names that are generated. A generated name is never converted again.
 */
#include "module/module_internal.h"

#include <stdarg.h>

int str_order(struct str a, struct str b)
{
	size_t common = size_min(a.len, b.len);
	int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

struct str name_convert(struct context *c, enum native_case to, struct str name)
{
	size_t cap = 4 * name.len + 16;
	char *out = context_array(c, c->scratch, cap, 1);
	if (out == NULL)
		return STR("");
	size_t len = native_case_convert(to, name.data, name.len, out, cap);
	ASSERT(len <= cap);
	if (len == name.len && memcmp(out, name.data, len) == 0)
		return name;
	struct str kept = arena_str(c->arena, (struct str){ out, len });
	if (kept.data == NULL) {
		faults_stop(c->faults, WL_ERR_LIMIT, "the module description is too large");
		return STR("");
	}
	return kept;
}

struct str scratch_text(struct context *c, const struct buf *text)
{
	char *copy = context_array(c, c->scratch, text->len + 1, 1);
	if (copy == NULL)
		return STR("");
	if (text->len > 0)
		memcpy(copy, text->data, text->len);
	return (struct str){ copy, text->len };
}

struct str scratch_printf(struct context *c, const char *format, ...)
{
	struct buf text;
	buf_init(&text, MODULE_NAME_BYTES_MAX);
	va_list args;
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	struct str kept = scratch_text(c, &text);
	buf_deinit(&text);
	return kept;
}

/* ---- identifiers ---- */

bool name_fault(struct str name, struct fault_identifier *out)
{
	static const uint8_t ranks[] = {
		[NATIVE_IDENTIFIER_NOT_NFC] = 0, [NATIVE_IDENTIFIER_BAD_START] = 2, [NATIVE_IDENTIFIER_BAD_CONTINUE] = 3,
		[NATIVE_IDENTIFIER_EMPTY] = 4, [NATIVE_IDENTIFIER_NOT_UTF8] = 0,
	};
	*out = (struct fault_identifier){ .name = name };
	enum native_identifier_fault fault = native_identifier_check(name.data, name.len, out->bad_char);
	if (fault == NATIVE_IDENTIFIER_OK)
		return false;
	out->rank = ranks[fault];
	if (fault == NATIVE_IDENTIFIER_EMPTY)
		out->name = STR("");
	if (fault != NATIVE_IDENTIFIER_BAD_START && fault != NATIVE_IDENTIFIER_BAD_CONTINUE)
		out->bad_char[0] = '\0';
	return true;
}

bool name_check(struct validator *v, struct str name)
{
	struct fault_identifier fault;
	if (!name_fault(name, &fault))
		return true;
	FAULT(v->c->faults, FAULT_IDENTIFIER, { FIELD_IDENTIFIER, .identifier = fault });
	return false;
}

bool name_add(struct validator *v, struct str name)
{
	uint64_t taken;
	if (map_get(&v->names, name.data, name.len, &taken)) {
		FAULT(v->c->faults, FAULT_DUPLICATE_NAME, field_str(name));
		return false;
	}
	if (!map_put(&v->names, name.data, name.len, 1)) {
		faults_stop(v->c->faults, WL_ERR_MEMORY, "out of memory");
		return false;
	}
	return true;
}

/* ---- canonical names ---- */

bool name_resolve_plain(struct validator *v, struct str source, struct str *out)
{
	*out = v->part->snake_case ? name_convert(v->c, NATIVE_CASE_SNAKE, source) : source;
	return name_check(v, *out);
}

bool name_resolve(struct validator *v, enum raw_name_kind kind, struct str source, struct str *out)
{
	const struct raw_name *given = map_get_ptr(&v->explicit_names[kind], source);
	if (given == NULL)
		return name_resolve_plain(v, source, out);
	*out = given->canonical;
	return name_check(v, *out);
}

bool name_resolve_type(struct validator *v, struct str source, struct str *out)
{
	*out = v->part->snake_case ? name_convert(v->c, NATIVE_CASE_PASCAL, source) : source;
	return name_check(v, *out);
}

/* ---- generated names ---- */

/* Appends "col" or "col_N" for each column, joined by '_'. */
static void put_columns(struct buf *out, const struct sats_type *row, struct module_columns columns)
{
	for (uint32_t i = 0; i < columns.count && !out->failed; i++) {
		if (i > 0)
			buf_put_u8(out, '_');
		uint16_t at = columns.at[i];
		if (at < row->count && row->elements[at].name.data != NULL)
			buf_put_str(out, row->elements[at].name);
		else
			buf_printf(out, "col_%u", at);
	}
}

/* Table name, '_', columns (may be none), suffix. */
static struct str generate(struct validator *v, struct str table, const struct sats_type *row,
	const struct module_columns *columns, const char *suffix)
{
	struct buf name;
	buf_init(&name, MODULE_NAME_BYTES_MAX);
	buf_put_str(&name, table);
	if (columns != NULL) {
		buf_put_u8(&name, '_');
		put_columns(&name, row, *columns);
	}
	buf_put_cstr(&name, suffix);
	struct str kept = { NULL, 0 };
	if (name.failed)
		faults_stop(v->c->faults, WL_ERR_LIMIT, "the name of an index, constraint or sequence is too long");
	else
		kept = arena_str(v->c->arena, buf_str(&name));
	if (kept.data == NULL)
		faults_stop(v->c->faults, WL_ERR_LIMIT, "the module description is too large");
	buf_deinit(&name);
	return kept.data == NULL ? STR("") : kept;
}

struct str name_of_index(struct validator *v, struct str table, const struct sats_type *row, uint8_t algorithm,
	struct module_columns columns)
{
	static const char *const suffixes[] = {
		[MODULE_BTREE] = "_idx_btree", [MODULE_HASH] = "_idx_hash", [MODULE_DIRECT] = "_idx_direct",
	};
	return generate(v, table, row, &columns, suffixes[algorithm]);
}

struct str name_of_constraint(struct validator *v, struct str table, const struct sats_type *row,
	struct module_columns columns)
{
	return generate(v, table, row, &columns, "_key");
}

struct str name_of_sequence(struct validator *v, struct str table, const struct sats_type *row, uint16_t column)
{
	struct module_columns columns = { 1, &column };
	return generate(v, table, row, &columns, "_seq");
}

struct str name_of_schedule(struct validator *v, struct str table)
{
	return generate(v, table, NULL, NULL, "_sched");
}

struct str name_of_column(struct context *c, const struct sats_type *row, uint32_t column)
{
	if (column < row->count && row->elements[column].name.data != NULL)
		return row->elements[column].name;
	return scratch_printf(c, "%u", column);
}

bool module_is_identifier(struct str name)
{
	struct fault_identifier fault;
	return !name_fault(name, &fault);
}
