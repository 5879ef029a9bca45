/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The description as bytes: RawModuleDef in its versions 9 and 10 (8 is in
 * decode_v8.c), into raw structs that mean nothing yet. Nothing in it is
 * trusted: no more items are allocated than the bytes left could hold,
 * submodules nest at most MODULE_SUBMODULE_DEPTH_MAX deep, types are bounded
 * by sats. The first failure sticks; later reads yield zeros. Sections carry
 * no length, so an unknown one ends the decoding.
 */
#include "module/module_internal.h"

#include <stdarg.h>
#include <stdio.h>

bool decode_fail(struct decoder *d, const char *format, ...)
{
	if (d->error->code == WL_OK) {
		va_list args;
		va_start(args, format);
		vsnprintf(d->error->text, sizeof(d->error->text), format, args);
		va_end(args);
		d->error->code = WL_ERR_INVALID;
	}
	d->r.failed = true;
	return false;
}

bool decode_ok(struct decoder *d)
{
	if (d->error->code != WL_OK)
		return false;
	if (!d->r.failed)
		return true;
	if (d->r.what != NULL && strcmp(d->r.what, "utf8") == 0)
		return decode_fail(d, "invalid utf8");
	return decode_fail(d, "data too short for %s: Expected %zu, given %zu", d->r.what, d->r.wanted, d->r.given);
}

static void *decode_alloc(struct decoder *d, size_t count, size_t size)
{
	void *items = context_array(d->c, d->c->scratch, count, size);
	if (items == NULL && decode_fail(d, "out of memory"))
		return NULL;
	return items;
}

void *decode_array(struct decoder *d, size_t item_size, size_t item_bytes_min, uint32_t *count)
{
	*count = reader_u32(&d->r);
	if (!decode_ok(d))
		return NULL;
	/* The item after the last that fits fails to decode, so no later one is touched. */
	size_t room = size_min(*count, reader_left(&d->r) / item_bytes_min + 1);
	return decode_alloc(d, room, item_size);
}

struct str decode_str(struct decoder *d)
{
	struct str s = reader_bsatn_str(&d->r);
	return decode_ok(d) ? (struct str){ s.len == 0 ? "" : s.data, s.len } : STR("");
}

uint8_t decode_tag(struct decoder *d, uint8_t count, const char *sum_name)
{
	uint8_t tag = reader_u8(&d->r);
	if (!decode_ok(d))
		return 0;
	if (tag >= count) {
		decode_fail(d, "unknown tag 0x%x for sum type %s", tag, sum_name);
		return 0;
	}
	return tag;
}

bool decode_optional(struct decoder *d)
{
	return decode_tag(d, 2, "option") == 0 && decode_ok(d);
}

struct str decode_optional_str(struct decoder *d)
{
	return decode_optional(d) ? decode_str(d) : (struct str){ NULL, 0 };
}

bool decode_bool(struct decoder *d)
{
	uint8_t byte = reader_u8(&d->r);
	if (decode_ok(d) && byte > 1)
		decode_fail(d, "byte %u not valid as `bool` (must be 0 or 1)", byte);
	return byte == 1;
}

i128 decode_i128(struct decoder *d)
{
	/* An i128 that is cut off is reported under its own name. */
	const uint8_t *p = reader_take(&d->r, 16, "i128");
	return p == NULL ? 0 : (i128)load_u128(p);
}

struct module_columns decode_columns(struct decoder *d)
{
	uint32_t count;
	uint16_t *at = decode_array(d, sizeof(*at), sizeof(*at), &count);
	for (uint32_t i = 0; at != NULL && i < count && decode_ok(d); i++)
		at[i] = reader_u16(&d->r);
	if (!decode_ok(d))
		return (struct module_columns){ 0, NULL };
	/* Columns outlive the call when they are accepted. */
	uint16_t *kept = context_array(d->c, d->c->arena, count, sizeof(*kept));
	if (kept == NULL) {
		decode_fail(d, "out of memory");
		return (struct module_columns){ 0, NULL };
	}
	if (count > 0)
		memcpy(kept, at, count * sizeof(*kept));
	return (struct module_columns){ count, kept };
}

static struct str *decode_strs(struct decoder *d, uint32_t *count)
{
	struct str *items = decode_array(d, sizeof(*items), 4, count);
	for (uint32_t i = 0; items != NULL && i < *count && decode_ok(d); i++)
		items[i] = decode_str(d);
	return items;
}

/* ---- types ---- */

static bool took(struct decoder *d, enum wl_err err)
{
	if (err == WL_OK)
		return decode_ok(d);
	if (err == WL_ERR_MEMORY)
		faults_stop(d->c->faults, err, "out of memory");
	d->r.failed = true;
	if (d->error->code == WL_OK)
		decode_ok(d);
	return false;
}

void decode_typespace(struct decoder *d, struct sats_typespace *out)
{
	*out = (struct sats_typespace){ 0 };
	struct error error = { 0 };
	enum wl_err err = decode_ok(d) ? sats_typespace_decode(d->c->arena, &d->r, out, &error) : WL_OK;
	if (err != WL_OK && error.code != WL_OK)
		decode_fail(d, "%s", error.text);
	took(d, err);
}

static const struct sats_type *decode_with(struct decoder *d,
	enum wl_err (*decode)(struct arena *, struct reader *, const struct sats_type **, struct error *))
{
	const struct sats_type *type = &sats_unit;
	struct error error = { 0 };
	enum wl_err err = decode_ok(d) ? decode(d->c->arena, &d->r, &type, &error) : WL_OK;
	if (err != WL_OK && error.code != WL_OK)
		decode_fail(d, "%s", error.text);
	return took(d, err) ? type : &sats_unit;
}

const struct sats_type *decode_type(struct decoder *d)
{
	return decode_with(d, sats_type_decode);
}

const struct sats_type *decode_product(struct decoder *d)
{
	return decode_with(d, sats_product_decode);
}

/* ---- items that V9 and V10 share ---- */

/* Decodes a list into `list` of a struct, item by item with `item(d, &one)`. */
#define DECODE_LIST(d, list, bytes_min, item)                                                      \
	do {                                                                                           \
		(list) = decode_array((d), sizeof(*(list)), (bytes_min), &count);                          \
		for (uint32_t i_ = 0; (list) != NULL && i_ < count && decode_ok(d); i_++)                  \
			item((d), &(list)[i_]);                                                                \
	} while (0)

static void item_type(struct decoder *d, struct raw_type *out)
{
	out->scope = decode_strs(d, &out->scope_count);
	out->name = decode_str(d);
	out->ref = reader_u32(&d->r);
	out->custom_ordering = decode_bool(d);
}

static void item_index(struct decoder *d, struct raw_index *out)
{
	out->source = decode_optional_str(d);
	out->accessor = decode_optional_str(d);
	out->algorithm = decode_tag(d, 3, "RawIndexAlgorithm");
	if (out->algorithm != MODULE_DIRECT) {
		out->columns = decode_columns(d);
		return;
	}
	uint16_t *column = context_array(d->c, d->c->arena, 1, sizeof(*column));
	if (column == NULL) {
		decode_fail(d, "out of memory");
		return;
	}
	*column = reader_u16(&d->r);
	out->columns = (struct module_columns){ 1, column };
}

static void item_constraint(struct decoder *d, struct raw_constraint *out)
{
	out->name = decode_optional_str(d);
	decode_tag(d, 1, "RawConstraintDataV9");
	out->columns = decode_columns(d);
}

static i128 optional_i128(struct decoder *d, bool *has)
{
	*has = decode_optional(d);
	return *has ? decode_i128(d) : 0;
}

static void item_sequence(struct decoder *d, struct raw_sequence *out)
{
	out->name = decode_optional_str(d);
	out->column = reader_u16(&d->r);
	out->start = optional_i128(d, &out->has_start);
	out->min = optional_i128(d, &out->has_min);
	out->max = optional_i128(d, &out->has_max);
	out->increment = decode_i128(d);
}

static void item_default_v10(struct decoder *d, struct raw_default *out)
{
	out->column = reader_u16(&d->r);
	out->value = reader_bsatn_bytes(&d->r);
}

static void item_str(struct decoder *d, struct str *out)
{
	*out = decode_str(d);
}

/* What begins a table in both versions. */
static void table_head(struct decoder *d, struct raw_table *out)
{
	uint32_t count;
	out->name = decode_str(d);
	out->type_ref = reader_u32(&d->r);
	out->primary_key = decode_columns(d);
	DECODE_LIST(d, out->indexes, 5, item_index);
	out->index_count = count;
	DECODE_LIST(d, out->constraints, 6, item_constraint);
	out->constraint_count = count;
	DECODE_LIST(d, out->sequences, 22, item_sequence);
	out->sequence_count = count;
}

static void table_kind(struct decoder *d, struct raw_table *out)
{
	out->is_system = decode_tag(d, 2, "TableType") == 0;
	out->is_public = decode_tag(d, 2, "TableAccess") == 0;
}

/* ---- V9 ---- */

static void item_table_v9(struct decoder *d, struct raw_table *out)
{
	table_head(d, out);
	if (decode_optional(d)) {
		struct raw_schedule *s = decode_alloc(d, 1, sizeof(*s));
		if (s == NULL)
			return;
		s->name = decode_optional_str(d);
		s->table = out->name;
		s->function = decode_str(d);
		s->at_column = reader_u16(&d->r);
		out->schedule = s;
	}
	table_kind(d, out);
}

static void item_reducer_v9(struct decoder *d, struct raw_function *out)
{
	out->name = decode_str(d);
	out->params = decode_product(d);
	out->ok = &sats_unit;
	out->err = &sats_primitive[SATS_STRING];
	out->lifecycle = decode_optional(d) ? decode_tag(d, MODULE_LIFECYCLE_COUNT, "Lifecycle") : MODULE_NO_LIFECYCLE;
}

static void item_view(struct decoder *d, struct raw_view *out)
{
	out->name = decode_str(d);
	out->index = reader_u32(&d->r);
	out->is_public = decode_bool(d);
	out->is_anonymous = decode_bool(d);
	out->params = decode_product(d);
	out->returns = decode_type(d);
}

static void misc_exports_v9(struct decoder *d, struct raw_module *m)
{
	uint32_t count = reader_u32(&d->r);
	if (!decode_ok(d))
		return;
	size_t room = size_min(count, reader_left(&d->r) / 9 + 1);
	m->default_values = decode_alloc(d, room, sizeof(*m->default_values));
	m->procedures = decode_alloc(d, room, sizeof(*m->procedures));
	m->views = decode_alloc(d, room, sizeof(*m->views));
	for (uint32_t i = 0; i < count && decode_ok(d); i++) {
		uint8_t tag = decode_tag(d, 3, "RawMiscModuleExportV9");
		if (!decode_ok(d))
			return;
		if (tag == 0) {
			struct raw_default *value = &m->default_values[m->default_value_count++];
			value->table = decode_str(d);
			item_default_v10(d, value);
		} else if (tag == 1) {
			struct raw_function *f = &m->procedures[m->procedure_count++];
			f->name = decode_str(d);
			f->params = decode_product(d);
			f->ok = decode_type(d);
			f->lifecycle = MODULE_NO_LIFECYCLE;
		} else {
			item_view(d, &m->views[m->view_count++]);
		}
	}
}

static void decode_v9(struct decoder *d, struct raw_module *m)
{
	uint32_t count;
	m->version = 9;
	decode_typespace(d, &m->typespace);
	DECODE_LIST(d, m->tables, 29, item_table_v9);
	m->table_count = count;
	DECODE_LIST(d, m->reducers, 9, item_reducer_v9);
	m->reducer_count = count;
	DECODE_LIST(d, m->types, 13, item_type);
	m->type_count = count;
	misc_exports_v9(d, m);
	DECODE_LIST(d, m->rls_texts, 4, item_str);
	m->rls_text_count = count;
}

/* ---- V10 ---- */

static void item_table_v10(struct decoder *d, struct raw_table *out)
{
	uint32_t count;
	table_head(d, out);
	table_kind(d, out);
	DECODE_LIST(d, out->defaults, 6, item_default_v10);
	out->default_count = count;
	out->is_event = decode_bool(d);
}

static bool is_private(struct decoder *d)
{
	return decode_tag(d, 2, "FunctionVisibility") == 0;
}

static void item_reducer_v10(struct decoder *d, struct raw_function *out)
{
	out->name = decode_str(d);
	out->params = decode_product(d);
	out->is_private = is_private(d);
	out->ok = decode_type(d);
	out->err = decode_type(d);
	out->lifecycle = MODULE_NO_LIFECYCLE;
}

static void item_procedure_v10(struct decoder *d, struct raw_function *out)
{
	out->name = decode_str(d);
	out->params = decode_product(d);
	out->ok = decode_type(d);
	out->is_private = is_private(d);
	out->lifecycle = MODULE_NO_LIFECYCLE;
}

static void item_schedule(struct decoder *d, struct raw_schedule *out)
{
	out->name = decode_optional_str(d);
	out->table = decode_str(d);
	out->at_column = reader_u16(&d->r);
	out->function = decode_str(d);
}

static void item_lifecycle(struct decoder *d, struct raw_lifecycle *out)
{
	out->event = decode_tag(d, MODULE_LIFECYCLE_COUNT, "Lifecycle");
	out->function = decode_str(d);
}

static void item_name(struct decoder *d, struct raw_name *out)
{
	out->kind = decode_tag(d, RAW_NAME_KIND_COUNT, "ExplicitNameEntry");
	out->source = decode_str(d);
	out->canonical = decode_str(d);
}

static void item_route(struct decoder *d, struct raw_route *out)
{
	out->handler = decode_str(d);
	out->method = -1;
	if (decode_tag(d, 2, "MethodOrAny") == 1) {
		out->method = decode_tag(d, 10, "HttpMethod");
		if (out->method == 9)
			out->extension = decode_str(d);
	}
	out->path = decode_str(d);
}

static void item_view_key(struct decoder *d, struct raw_view_key *out)
{
	out->view = decode_str(d);
	out->columns = decode_strs(d, &out->column_count);
}

static void item_env(struct decoder *d, struct raw_env *out)
{
	out->name = decode_str(d);
	out->kind = decode_tag(d, 3, "RawEnvironmentVariableType");
	if (out->kind == 1) {
		out->values = decode_alloc(d, 1, sizeof(*out->values));
		out->value_count = 1;
		if (out->values != NULL)
			out->values[0] = decode_str(d);
	} else if (out->kind == 2) {
		out->values = decode_strs(d, &out->value_count);
	}
	out->is_optional = decode_bool(d);
}

static void outbox_head(struct decoder *d, struct raw_outbox *out)
{
	out->table = decode_str(d);
	out->remote_reducer = decode_str(d);
	out->target_column = reader_u16(&d->r);
	out->arguments = decode_columns(d);
	out->on_result = decode_optional_str(d);
}

static void item_outbox(struct decoder *d, struct raw_outbox *out)
{
	outbox_head(d, out);
	const uint8_t *hash = reader_take(&d->r, sizeof(out->signature_hash), "[u8]");
	if (hash != NULL)
		memcpy(out->signature_hash, hash, sizeof(out->signature_hash));
}

/* Before 2.14 the hash was a string of 64 digits. */
static void item_outbox_text_hash(struct decoder *d, struct raw_outbox *out)
{
	outbox_head(d, out);
	struct str hex = decode_str(d);
	if (decode_ok(d) && !hex_decode(hex, out->signature_hash, sizeof(out->signature_hash)))
		decode_fail(d, "invalid signature hash");
}

static void decode_module_v10(struct decoder *d, struct raw_module *m, uint32_t depth);

static void item_submodule(struct decoder *d, struct raw_submodule *out, uint32_t depth)
{
	out->namespace = decode_str(d);
	out->module = decode_alloc(d, 1, sizeof(*out->module));
	if (out->module == NULL || !decode_ok(d))
		return;
	if (depth >= MODULE_SUBMODULE_DEPTH_MAX)
		decode_fail(d, "submodules are nested more than %d deep", MODULE_SUBMODULE_DEPTH_MAX);
	else if (++d->submodule_count > MODULE_SUBMODULES_MAX)
		decode_fail(d, "there are more than %d submodules", MODULE_SUBMODULES_MAX);
	else
		decode_module_v10(d, out->module, depth + 1);
}

static void section_submodules(struct decoder *d, struct raw_module *m, uint32_t depth)
{
	m->submodules = decode_array(d, sizeof(*m->submodules), 8, &m->submodule_count);
	for (uint32_t i = 0; m->submodules != NULL && i < m->submodule_count && decode_ok(d); i++)
		item_submodule(d, &m->submodules[i], depth);
}

/*
 * The older layout is tried first: 64 digits behind their length do not come
 * about by chance, while 32 of those bytes would pass for a hash.
 */
static void section_outboxes(struct decoder *d, struct raw_module *m)
{
	uint32_t count;
	struct reader start = d->r;
	DECODE_LIST(d, m->outboxes, 19, item_outbox_text_hash);
	if (!decode_ok(d) && d->c->faults->err == WL_OK) {
		d->error->code = WL_OK;
		d->r = start;
		DECODE_LIST(d, m->outboxes, 47, item_outbox);
	}
	m->outbox_count = count;
}

#define SECTION(list, counter, bytes_min, item) \
	DECODE_LIST(d, m->list, bytes_min, item);   \
	m->counter = count;                         \
	break

/* Decodes a section into `m`. The caller throws the result away when the tag came before. */
static void decode_section(struct decoder *d, struct raw_module *m, uint8_t tag, uint32_t depth)
{
	uint32_t count;
	switch (tag) {
	case 0:
		decode_typespace(d, &m->typespace);
		break;
	case 1:
		SECTION(types, type_count, 13, item_type);
	case 2:
		SECTION(tables, table_count, 31, item_table_v10);
	case 3:
		SECTION(reducers, reducer_count, 11, item_reducer_v10);
	case 4:
		SECTION(procedures, procedure_count, 10, item_procedure_v10);
	case 5:
		SECTION(views, view_count, 15, item_view);
	case 6:
		SECTION(schedules, schedule_count, 11, item_schedule);
	case 7:
		SECTION(lifecycles, lifecycle_count, 5, item_lifecycle);
	case 8:
		SECTION(rls_texts, rls_text_count, 4, item_str);
	case 9:
		m->snake_case = decode_tag(d, 2, "CaseConversionPolicy") == 1;
		break;
	case 10:
		SECTION(names, name_count, 9, item_name);
	case 11:
		SECTION(handlers, handler_count, 4, item_str);
	case 12:
		SECTION(routes, route_count, 9, item_route);
	case 13:
		SECTION(view_keys, view_key_count, 8, item_view_key);
	case 14:
		section_submodules(d, m, depth);
		break;
	case RAW_SECTION_ENVIRONMENT:
		SECTION(envs, env_count, 6, item_env);
	default:
		section_outboxes(d, m);
	}
}

static void decode_module_v10(struct decoder *d, struct raw_module *m, uint32_t depth)
{
	*m = (struct raw_module){ .version = 10, .snake_case = true };
	uint32_t section_count = reader_u32(&d->r);
	for (uint32_t i = 0; i < section_count && decode_ok(d); i++) {
		uint8_t tag = decode_tag(d, RAW_SECTION_COUNT, "RawModuleDefV10Section");
		if (!decode_ok(d))
			return;
		struct raw_module before = *m;
		decode_section(d, m, tag, depth);
		if ((before.sections_seen >> tag & 1) != 0)
			*m = before;
		else
			m->sections_seen |= 1u << tag;
	}
}

enum wl_err module_decode(struct context *c, struct bytes description, struct raw_module *out, struct error *error)
{
	*error = (struct error){ .code = WL_OK };
	struct decoder d = { .c = c, .r = reader_of(description.data, description.len), .error = error };
	*out = (struct raw_module){ 0 };
	switch (decode_tag(&d, 3, "RawModuleDef")) {
	case 0:
		if (decode_ok(&d))
			decode_v8(&d, out);
		break;
	case 1:
		decode_v9(&d, out);
		break;
	default:
		decode_module_v10(&d, out, 0);
	}
	if (c->faults->err != WL_OK)
		return c->faults->err;
	return decode_ok(&d) ? WL_OK : WL_ERR_INVALID;
}
