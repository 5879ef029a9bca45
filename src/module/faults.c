/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with a module: collected as data, put in the reference's
 * order (kind, then fields), freed of duplicates, and only then turned into
 * text by one template per kind. `{0}` stands for the first field.
 *
 * Texts can be long (a type may be megabytes): all of them together end at
 * MODULE_FAULT_TEXT_BYTES_MAX, and no more than MODULE_FAULTS_MAX are kept.
 */
#include "module/module_internal.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>

#define XID_TAIL " and cannot be used for entities in a module."
#define XID_ANNEX "Unicode Standard Annex 31, https://www.unicode.org/reports/tr31/)"
#define COLUMN_0_1 "table `{0}` column `{1}`"

static const char *const templates[FAULT_KIND_COUNT] = {
	[FAULT_DUPLICATE_NAME] = "name `{0}` is used for multiple entities",
	[FAULT_DUPLICATE_TYPE_NAME] = "name `{0}{1}` is used for multiple types",
	[FAULT_DUPLICATE_LIFECYCLE] = "Multiple reducers defined for lifecycle event {0}",
	[FAULT_IDENTIFIER] = "module contains invalid identifier: {0}",
	[FAULT_UNNAMED_COLUMN] = "table `{0}` has unnamed column `{1}`, which is forbidden.",
	[FAULT_TYPE_ORDERING] = "type `{0}{1}` is not annotated with a custom ordering, but uses one: {3}",
	[FAULT_COLUMN_NOT_FOUND] = "column `{2}` referenced by def {1} not found in table `{0}`",
	[FAULT_COLUMN_MALFORMED] = COLUMN_0_1 " type {2} does not match corresponding element at position {3} "
		"in product type `{4}`",
	[FAULT_REPEATED_PRIMARY_KEY] = "table `{0}` has multiple primary key annotations",
	[FAULT_ONE_AUTO_INC] = "Attempt to define " COLUMN_0_1 " with more than 1 auto_inc sequence",
	[FAULT_UNIQUE_WITHOUT_INDEX] = "No index found to support unique constraint `{0}` for columns `{1}`",
	[FAULT_DIRECT_INDEX_TYPE] = "Direct index does not support type `{2}` in column `{1}` in index `{0}`",
	[FAULT_DUPLICATE_COLUMNS] = "def `{0}` has duplicate columns: {1}",
	[FAULT_SEQUENCE_COLUMN_TYPE] =
		"invalid sequence column type: table `{1}` column `{2}` with type `{3}` in sequence `{0}`",
	[FAULT_SEQUENCE_RANGE] =
		"invalid sequence range information: expected {1} <= {2} <= {3} in sequence `{0}`",
	[FAULT_VIEW_RETURN] = "View {0} has invalid return type {1}",
	[FAULT_VIEW_KEY_VIEW] = "View {0} referenced by primary key definition not found",
	[FAULT_VIEW_KEY_REPEATED] = "View {0} has multiple primary key definitions",
	[FAULT_VIEW_KEY_COLUMNS] = "View {0} has multiple primary key columns: {1}",
	[FAULT_VIEW_KEY_COLUMN] = "Primary key column {1} for view {0} not found",
	[FAULT_PRODUCT_REF] = "Table {0} has invalid product_type_ref {1}",
	[FAULT_TYPE_REF] = "Type {0}{1} has invalid ref: {2}",
	[FAULT_SCHEDULED_COLUMNS] = "A scheduled table must have columns `scheduled_id: u64` and "
		"`scheduled_at: ScheduledAt`, but table `{0}` has columns {1}",
	[FAULT_CODEGEN] = "error at {0}: {1}",
	[FAULT_PRIMARY_KEY_NOT_UNIQUE] = COLUMN_0_1 " is primary key but has no unique constraint",
	[FAULT_SCHEDULED_FUNCTION] = "Schedule {0} refers to a scheduled reducer or procedure {1} that does not exist",
	[FAULT_SCHEDULED_PARAMS] = "Scheduled reducer {0} expected to have type (0: {1}), but has type {2}",
	[FAULT_TABLE_RESERVED] = "Table name is reserved for system use: {0}",
	[FAULT_DEFAULT_MALFORMED] = "Failed to deserialize default value for table {0} column {1}: {2}",
	[FAULT_DEFAULT_REPEATED] = "Multiple default values for table {0} column {1}",
	[FAULT_TABLE_NOT_FOUND] = "Table {0} not found",
	[FAULT_DUPLICATE_FUNCTION] = "Name {0} is used for multiple reducers, procedures and/or views",
	[FAULT_DUPLICATE_HANDLER] = "HTTP handler name {0} is used for multiple HTTP handlers",
	[FAULT_DUPLICATE_ROUTE] = "HTTP route duplicates method {1} for path {0}",
	[FAULT_ROUTE_PATH] = "HTTP route path `{0}` is invalid; allowed characters are "
		"ASCII lowercase letters, digits and `-_~/`",
	[FAULT_ROUTE_HANDLER] = "HTTP route refers to unknown HTTP handler `{0}`",
	[FAULT_LIFECYCLE_WITHOUT_REDUCER] = "lifecycle event {0} without reducer",
	[FAULT_DUPLICATE_SCHEDULE] = "table {0} is assigned in multiple schedules",
	[FAULT_REDUCER_RETURN] = "reducer {0} has invalid return type: found Result<{1}, {2}>",
	[FAULT_LIFECYCLE_IN_SUBMODULE] = "lifecycle event {0} is not permitted in submodule under namespace `{1}`; "
		"lifecycle reducers may only be declared in the root module",
	[FAULT_NAMESPACE_LENGTH] = "submodule namespace `{0}` is {1} bytes, which exceeds the 63-byte limit",
	[FAULT_NAMESPACE_CONFLICT] = "naming conflict between {0} `{1}` and submodule namespace `{1}`; a {0} cannot "
		"share its accessor name with a namespace mounted in the same module",
	[FAULT_SCHEDULED_EVENT] = "scheduled table {0} must not be an event table",
	[FAULT_VIEW_FLOAT] = "View {0} has a float parameter `{1}`, which views can't take yet",
	[FAULT_VIEW_KEY_PARAMS] = "View {0} has parameters and cannot have a primary key",
	[FAULT_ENVIRONMENT] = "invalid environment declaration: {0}",
	[FAULT_ENVIRONMENT_KEY] = "invalid environment declaration: environment key {0}: {1}",
	[FAULT_ENVIRONMENT_IN_SUBMODULE] = "submodule {0} cannot declare environment variables",
	[FAULT_OUTBOX] = "{0}",
	[FAULT_INDEX_SOURCE] = "index {1} of table `{0}` has no source name",
	[FAULT_TOO_MANY_COLUMNS] = "table `{0}` has more than 65535 columns",
	[FAULT_ROW_TYPE] = "table `{0}` has a row type that cannot be stored: {1}",
};

void faults_deinit(struct faults *faults)
{
	mem_free(faults->items);
	*faults = (struct faults){ 0 };
}

void faults_stop(struct faults *faults, enum wl_err err, const char *text)
{
	if (faults->err == WL_OK) {
		faults->err = err;
		faults->err_text = text;
	}
}

void *context_array(struct context *c, struct arena *arena, size_t count, size_t size)
{
	void *p = arena_array(arena, count, size);
	if (p != NULL)
		return p;
	size_t bytes, total;
	bool limit = !size_mul(count, size, &bytes) || !size_add(bytes, arena->used, &total) || total > arena->max;
	faults_stop(c->faults, limit ? WL_ERR_LIMIT : WL_ERR_MEMORY,
		limit ? "the module description is too large" : "out of memory");
	return NULL;
}

void faults_add(struct faults *faults, enum fault_kind kind, const struct fault_field *fields, uint32_t count)
{
	ASSERT(count <= FAULT_FIELDS_MAX);
	if (faults->count == MODULE_FAULTS_MAX) {
		faults->dropped = true;
		return;
	}
	if (faults->count == faults->cap) {
		uint32_t cap = faults->cap == 0 ? 16 : faults->cap * 2;
		struct fault *grown = mem_realloc(faults->items, cap * sizeof(*grown));
		if (grown == NULL) {
			faults_stop(faults, WL_ERR_MEMORY, "out of memory");
			return;
		}
		faults->items = grown;
		faults->cap = cap;
	}
	struct fault *fault = &faults->items[faults->count++];
	*fault = (struct fault){ .kind = (uint8_t)kind, .field_count = (uint8_t)count };
	memcpy(fault->fields, fields, count * sizeof(*fields));
}

/* ---- order ---- */

static int number_order(i128 a, i128 b)
{
	return (a > b) - (a < b);
}

static int optional_str_order(struct str a, struct str b)
{
	if (a.data == NULL || b.data == NULL)
		return (a.data != NULL) - (b.data != NULL);
	return str_order(a, b);
}

static int list_order(const struct str *a, uint32_t a_count, const struct str *b, uint32_t b_count)
{
	for (uint32_t i = 0; i < a_count && i < b_count; i++) {
		int order = str_order(a[i], b[i]);
		if (order != 0)
			return order;
	}
	return number_order(a_count, b_count);
}

static int columns_order(struct module_columns a, struct module_columns b)
{
	for (uint32_t i = 0; i < a.count && i < b.count; i++)
		if (a.at[i] != b.at[i])
			return a.at[i] < b.at[i] ? -1 : 1;
	return number_order(a.count, b.count);
}

/* Depth is bounded: types come from sats. */
static int type_order(const struct sats_type *a, const struct sats_type *b)
{
	if (a == b)
		return 0;
	if (a == NULL || b == NULL)
		return a == NULL ? -1 : 1;
	if (a->tag != b->tag)
		return a->tag < b->tag ? -1 : 1;
	if (a->tag == SATS_REF)
		return number_order(a->ref, b->ref);
	if (a->tag == SATS_ARRAY)
		return type_order(a->element, b->element);
	for (uint32_t i = 0; i < a->count && i < b->count; i++) {
		int order = optional_str_order(a->elements[i].name, b->elements[i].name);
		if (order == 0)
			order = type_order(a->elements[i].type, b->elements[i].type);
		if (order != 0)
			return order;
	}
	return number_order(a->count, b->count);
}

static int identifier_order(const struct fault_identifier *a, const struct fault_identifier *b)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	int order = number_order(a->rank, b->rank);
	if (order == 0)
		order = str_order(a->name, b->name);
	return order != 0 ? order : strcmp(a->bad_char, b->bad_char);
}

static int location_order(const struct fault_location *a, const struct fault_location *b)
{
	int order = number_order(a->kind, b->kind);
	if (order == 0)
		order = str_order(a->function, b->function);
	if (order == 0)
		order = number_order(a->position, b->position);
	return order != 0 ? order : optional_str_order(a->arg, b->arg);
}

static int codegen_order(const struct fault_codegen *a, const struct fault_codegen *b)
{
	int order = number_order(a->kind, b->kind);
	if (order == 0)
		order = number_order(a->ref, b->ref);
	if (order == 0)
		order = type_order(a->type, b->type);
	return order != 0 ? order : identifier_order(a->identifier, b->identifier);
}

static int field_order(const struct fault_field *a, const struct fault_field *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	switch (a->kind) {
	case FIELD_STR:
	case FIELD_QUOTED:
		return str_order(a->text, b->text);
	case FIELD_STRS:
	case FIELD_SCOPED:
	case FIELD_SCOPED_QUOTED:
		return list_order(a->list, a->count, b->list, b->count);
	case FIELD_I128:
		return a->is_some != b->is_some ? (a->is_some ? 1 : -1) : number_order(a->number, b->number);
	case FIELD_TYPE:
	case FIELD_DEBUG:
		return type_order(a->type, b->type);
	case FIELD_COLUMNS:
	case FIELD_COLUMN_SET:
		return columns_order(a->columns, b->columns);
	case FIELD_IDENTIFIER:
		return identifier_order(&a->identifier, &b->identifier);
	case FIELD_LOCATION:
		return location_order(&a->location, &b->location);
	case FIELD_CODEGEN:
		return codegen_order(&a->codegen, &b->codegen);
	default: {
		int order = number_order(a->number, b->number);
		return order != 0 ? order : str_order(a->more, b->more);
	}
	}
}

static int fault_order(const void *x, const void *y)
{
	const struct fault *a = x, *b = y;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	for (uint32_t i = 0; i < a->field_count && i < b->field_count; i++) {
		int order = field_order(&a->fields[i], &b->fields[i]);
		if (order != 0)
			return order;
	}
	return number_order(a->field_count, b->field_count);
}

/* ---- text ---- */

static void put_strs(struct buf *out, const struct fault_field *f)
{
	if (f->kind == FIELD_STRS)
		buf_put_u8(out, '[');
	for (uint32_t i = 0; i < f->count; i++) {
		if (f->kind == FIELD_STRS && i > 0)
			buf_put_cstr(out, ", ");
		if (f->kind == FIELD_SCOPED)
			buf_put_str(out, f->list[i]);
		else
			text_put_debug_str(out, f->list[i]);
		if (f->kind != FIELD_STRS)
			buf_put_cstr(out, "::");
	}
	if (f->kind == FIELD_STRS)
		buf_put_u8(out, ']');
}

/* A type in the form of the reference's debug output. */
static void put_debug(struct buf *out, const struct sats_type *type)
{
	static const char *const names[SATS_TAG_COUNT] = {
		"Ref", "Sum", "Product", "Array", "String", "Bool", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64",
		"I128", "U128", "I256", "U256", "F32", "F64",
	};
	switch (type->tag) {
	case SATS_REF:
		buf_printf(out, "Ref(AlgebraicTypeRef(%u))", type->ref);
		return;
	case SATS_ARRAY:
		buf_put_cstr(out, "Array(ArrayType { elem_ty: ");
		put_debug(out, type->element);
		buf_put_cstr(out, " })");
		return;
	case SATS_SUM:
	case SATS_PRODUCT:
		buf_printf(out, "%s(", names[type->tag]);
		break;
	default:
		buf_put_cstr(out, names[type->tag]);
		return;
	}
	buf_printf(out, "%sType {", names[type->tag]);
	for (uint32_t i = 0; i < type->count; i++) {
		buf_put_cstr(out, i > 0 ? ", " : "");
		if (type->elements[i].name.data == NULL)
			buf_put_cstr(out, "None");
		else
			text_put_debug_str(out, type->elements[i].name);
		buf_put_cstr(out, ": ");
		put_debug(out, type->elements[i].type);
	}
	buf_put_cstr(out, "})");
}

/* The same without the enum around it: `ProductType {…}`. */
static void put_debug_product(struct buf *out, const struct sats_type *type)
{
	size_t start = out->len;
	put_debug(out, type);
	size_t prefix = sizeof("Product(") - 1;
	if (out->failed || out->len - start <= prefix + 1)
		return;
	memmove(out->data + start, out->data + start + prefix, out->len - start - prefix);
	out->len -= prefix + 1;
}

static void put_columns(struct buf *out, const struct fault_field *f)
{
	bool set = f->kind == FIELD_COLUMN_SET;
	buf_put_u8(out, set ? '{' : '[');
	for (uint32_t i = 0; i < f->columns.count; i++)
		buf_printf(out, "%sColId(%u)", i > 0 ? ", " : "", f->columns.at[i]);
	buf_put_u8(out, set ? '}' : ']');
}

static void put_identifier(struct buf *out, const struct fault_identifier *f)
{
	if (f->rank == 4) {
		buf_put_cstr(out, "Empty identifiers are forbidden.");
		return;
	}
	buf_put_cstr(out, "Identifier `");
	buf_put_str(out, f->name);
	switch (f->rank) {
	case 2:
		buf_printf(out, "`'s starting character '%s' is neither an underscore ('_') nor a Unicode XID_start character "
			"(according to " XID_ANNEX XID_TAIL, f->bad_char);
		break;
	case 3:
		buf_printf(out, "` contains a character '%s' that is not an XID_continue character (according to "
			XID_ANNEX XID_TAIL, f->bad_char);
		break;
	default:
		buf_put_cstr(out, "` is not in normalization form C according to Unicode Standard Annex 15 "
			"(http://www.unicode.org/reports/tr15/)" XID_TAIL);
	}
}

static void put_location(struct buf *out, const struct fault_location *f)
{
	static const char *const kinds[] = { "reducer", "procedure", "view", "procedure", "view" };
	if (f->kind == LOCATION_TYPESPACE) {
		buf_printf(out, "typespace ref `&%u`", f->position);
		return;
	}
	buf_printf(out, "%s `", kinds[f->kind]);
	buf_put_str(out, f->function);
	if (f->kind >= LOCATION_PROCEDURE_RETURN) {
		buf_put_cstr(out, "` return value");
		return;
	}
	buf_printf(out, "` argument %u", f->position);
	if (f->arg.data != NULL) {
		buf_put_cstr(out, " (`");
		buf_put_str(out, f->arg);
		buf_put_cstr(out, "`)");
	}
}

static void put_codegen(struct buf *out, const struct fault_codegen *f)
{
	static const struct {
		const char *before, *after;
	} texts[] = {
		[CODEGEN_NOT_A_USE] = { "internal codegen error: non-special product or sum type ",
			" cannot be used to generate a client type use" },
		[CODEGEN_REF_RECURSIVE] = { "internal codegen error: invalid AlgebraicTypeRef", "" },
		[CODEGEN_REF_INVALID] = { "internal codegen error: invalid AlgebraicTypeRef", "" },
		[CODEGEN_UNNAMED_ELEMENT] = { "internal codegen error: all type elements require names: ", "" },
		[CODEGEN_UNNAMED_PARAM] = { "internal codegen error: all reducer parameters require names", "" },
		[CODEGEN_NOT_A_DEFINITION] = { "internal codegen error: type ", " is not valid for generating a definition" },
		[CODEGEN_IDENTIFIER] = { "type ", " contains identifier error " },
	};
	buf_put_cstr(out, texts[f->kind].before);
	if (f->type != NULL)
		sats_type_pretty(out, f->type);
	buf_put_cstr(out, texts[f->kind].after);
	if (f->identifier != NULL)
		put_identifier(out, f->identifier);
}

static void put_method(struct buf *out, const struct fault_field *f)
{
	static const char *const methods[] = {
		"Get", "Head", "Post", "Put", "Delete", "Connect", "Options", "Trace", "Patch",
	};
	if (f->number < 0) {
		buf_put_cstr(out, "Any");
	} else if (f->number < 9) {
		buf_printf(out, "Method(%s)", methods[f->number]);
	} else {
		buf_put_cstr(out, "Method(Extension(");
		text_put_debug_str(out, f->more);
		buf_put_cstr(out, "))");
	}
}

static void put_field(struct buf *out, const struct fault_field *f)
{
	static const char *const events[] = { "Init", "OnConnect", "OnDisconnect" };
	switch (f->kind) {
	case FIELD_STR:
		buf_put_str(out, f->text);
		break;
	case FIELD_QUOTED:
		text_put_debug_str(out, f->text);
		break;
	case FIELD_NUMBER:
		text_put_i128(out, f->number);
		break;
	case FIELD_REF:
		buf_put_u8(out, '&');
		text_put_i128(out, f->number);
		break;
	case FIELD_LIFECYCLE:
		buf_put_cstr(out, events[f->number]);
		break;
	case FIELD_METHOD:
		put_method(out, f);
		break;
	case FIELD_I128:
		buf_put_cstr(out, f->is_some ? "Some(" : "None");
		if (f->is_some) {
			text_put_i128(out, f->number);
			buf_put_u8(out, ')');
		}
		break;
	case FIELD_TYPE:
		sats_type_pretty(out, f->type);
		break;
	case FIELD_DEBUG:
		put_debug_product(out, f->type);
		break;
	case FIELD_COLUMNS:
	case FIELD_COLUMN_SET:
		put_columns(out, f);
		break;
	case FIELD_IDENTIFIER:
		put_identifier(out, &f->identifier);
		break;
	case FIELD_LOCATION:
		put_location(out, &f->location);
		break;
	case FIELD_CODEGEN:
		put_codegen(out, &f->codegen);
		break;
	default:
		put_strs(out, f);
	}
}

static void put_fault(struct buf *out, const struct fault *fault)
{
	for (const char *t = templates[fault->kind]; *t != '\0'; t++) {
		if (t[0] == '{' && t[1] >= '0' && t[1] < '0' + fault->field_count && t[2] == '}') {
			put_field(out, &fault->fields[t[1] - '0']);
			t += 2;
		} else {
			buf_put_u8(out, (uint8_t)*t);
		}
	}
	buf_put_cstr(out, "\n\n");
}

void faults_write(struct faults *faults, struct buf *out)
{
	struct buf text;
	buf_init(&text, MODULE_FAULT_TEXT_BYTES_MAX);
	if (faults->count > 0)
		qsort(faults->items, faults->count, sizeof(*faults->items), fault_order);
	buf_put_cstr(&text, "Errors occurred:\n");
	for (uint32_t i = 0; i < faults->count; i++) {
		if (i > 0 && fault_order(&faults->items[i - 1], &faults->items[i]) == 0)
			continue;
		size_t before = text.len;
		put_fault(&text, &faults->items[i]);
		if (text.failed) { /* whole errors only, unless it is the first */
			text.len = i == 0 ? text.len : before;
			break;
		}
	}
	buf_put(out, text.data, text.len);
	buf_deinit(&text);
}
