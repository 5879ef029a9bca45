/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan for people: one block for each step that they would want to know of.
 *
 * Source: http-api.md section 5.4; the colored form was recorded.
 */
#include "module/migrate.h"

enum color { RED = 1, GREEN = 2, YELLOW = 3, BLUE = 4, MAGENTA = 5, CYAN = 6 };
enum { RULE_LENGTH = 60 };

struct printing {
	struct buf *out;
	bool colored;
};

static void put_text(const struct printing *p, const char *text)
{
	buf_put_cstr(p->out, text);
}

static void put_colored(const struct printing *p, struct str text, enum color color, bool bold)
{
	if (p->colored)
		buf_printf(p->out, "\x1b[0m%s\x1b[3%dm", bold ? "\x1b[1m" : "", (int)color);
	buf_put_str(p->out, text);
	if (p->colored)
		put_text(p, "\x1b[0m");
}

static void put_name(const struct printing *p, struct str name)
{
	put_colored(p, name, CYAN, true);
}

static void put_type(const struct printing *p, const struct sats_type *type)
{
	struct buf text = BUF_INIT(1 << 20);
	sats_type_pretty(&text, type);
	put_colored(p, buf_str(&text), MAGENTA, false);
	p->out->failed |= text.failed;
	buf_deinit(&text);
}

/* "▸ Created ": what follows is on the same line. */
static void put_action(const struct printing *p, const char *arrows, enum color color)
{
	static const char *const WORDS[] = { [RED] = "Removed", [GREEN] = "Created", [YELLOW] = "Changed" };
	put_text(p, arrows);
	put_colored(p, str_of(WORDS[color]), color, true);
	buf_put_u8(p->out, ' ');
}

static void put_section(const struct printing *p, const char *title)
{
	put_text(p, "    ");
	put_colored(p, str_of(title), BLUE, true);
	buf_put_u8(p->out, '\n');
}

static void put_list(const struct printing *p, const struct module_column *columns, const struct module_columns *list)
{
	buf_put_u8(p->out, '[');
	for (uint32_t i = 0; i < list->count; i++)
		buf_printf(p->out, "%s%.*s", i > 0 ? ", " : "", STR_FMT(columns[list->at[i]].name));
	buf_put_u8(p->out, ']');
}

static void put_access(const struct printing *p, bool is_public)
{
	put_colored(p, is_public ? STR("public") : STR("private"), GREEN, false);
}

/* ---- tables ---- */

static void put_columns(const struct printing *p, const struct module_column *columns, uint32_t count)
{
	if (count > 0)
		put_section(p, "Columns:");
	for (uint32_t i = 0; i < count; i++) {
		buf_printf(p->out, "        • %.*s: ", STR_FMT(columns[i].name));
		put_type(p, columns[i].type);
		buf_put_u8(p->out, '\n');
	}
}

static void put_schedule_call(const struct printing *p, const struct module_schedule *schedule)
{
	buf_printf(p->out, "%s: %.*s", schedule->is_procedure ? "procedure" : "reducer", STR_FMT(schedule->function));
}

static void table_added(const struct printing *p, const struct module_table *t)
{
	put_action(p, "▸ ", GREEN);
	put_text(p, t->is_system ? "system table: " : "user table: ");
	put_name(p, t->name);
	put_text(p, " (");
	put_access(p, t->is_public);
	put_text(p, ")\n");
	put_columns(p, t->columns, t->column_count);
	if (t->constraint_count > 0)
		put_section(p, "Unique constraints:");
	for (uint32_t i = 0; i < t->constraint_count; i++) {
		buf_printf(p->out, "        • %.*s on ", STR_FMT(t->constraints[i].name));
		put_list(p, t->columns, &t->constraints[i].columns);
		buf_put_u8(p->out, '\n');
	}
	if (t->index_count > 0)
		put_section(p, "Indexes:");
	for (uint32_t i = 0; i < t->index_count; i++) {
		buf_printf(p->out, "        • %.*s on ", STR_FMT(t->indexes[i].name));
		put_list(p, t->columns, &t->indexes[i].columns);
		buf_put_u8(p->out, '\n');
	}
	if (t->sequence_count > 0)
		put_section(p, "Auto-increment constraints:");
	for (uint32_t i = 0; i < t->sequence_count; i++)
		buf_printf(p->out, "        • %.*s on %.*s\n", STR_FMT(t->sequences[i].name),
			STR_FMT(t->columns[t->sequences[i].column].name));
	if (t->schedule != NULL) {
		put_section(p, "Schedule:");
		put_text(p, "        • Calls ");
		put_schedule_call(p, t->schedule);
		buf_put_u8(p->out, '\n');
	}
	buf_put_u8(p->out, '\n');
}

static void table_removed(const struct printing *p, const struct module_table *t)
{
	put_action(p, "▸ ", RED);
	put_text(p, "table: ");
	put_name(p, t->name);
	put_text(p, "\n\n");
}

/* ---- values, as Rust's pretty Debug shows an AlgebraicValue ---- */

static void indent(const struct printing *p, uint32_t depth)
{
	for (uint32_t i = 0; i < depth; i++)
		put_text(p, "    ");
}

static void put_value(const struct printing *p, const struct sats_type *type, const uint8_t **at, uint32_t depth);

static void put_elements(const struct printing *p, const struct sats_type *type, const uint8_t **at, uint32_t depth)
{
	uint32_t count = type->tag == SATS_PRODUCT ? type->count : load_u32(*at);
	if (type->tag == SATS_ARRAY)
		*at += 4;
	if (count == 0) {
		put_text(p, "[]");
		return;
	}
	put_text(p, "[\n");
	for (uint32_t i = 0; i < count; i++) {
		indent(p, depth + 1);
		put_value(p, type->tag == SATS_PRODUCT ? type->elements[i].type : type->element, at, depth + 1);
		put_text(p, ",\n");
	}
	indent(p, depth);
	buf_put_u8(p->out, ']');
}

static void put_sum(const struct printing *p, const struct sats_type *type, const uint8_t **at, uint32_t depth)
{
	uint8_t tag = *(*at)++;
	put_text(p, "SumValue {\n");
	indent(p, depth + 1);
	buf_printf(p->out, "tag: %u,\n", tag);
	indent(p, depth + 1);
	put_text(p, "value: ");
	put_value(p, type->elements[tag].type, at, depth + 1);
	put_text(p, ",\n");
	indent(p, depth);
	buf_put_u8(p->out, '}');
}

static void put_product(const struct printing *p, const struct sats_type *type, const uint8_t **at, uint32_t depth)
{
	put_text(p, "ProductValue {\n");
	indent(p, depth + 1);
	put_text(p, "elements: ");
	put_elements(p, type, at, depth + 1);
	put_text(p, ",\n");
	indent(p, depth);
	buf_put_u8(p->out, '}');
}

/* Decimal, of up to 32 bytes. */
static void put_number(const struct printing *p, const struct sats_type *type, const uint8_t **at)
{
	uint32_t words[8] = { 0 }, size = type->plain_size;
	bool is_signed = type->tag == SATS_I8 || type->tag == SATS_I16 || type->tag == SATS_I32 || type->tag == SATS_I64 ||
		type->tag == SATS_I128 || type->tag == SATS_I256;
	bool negative = is_signed && (*at)[size - 1] >> 7 != 0;
	memset(words, negative ? 0xff : 0, sizeof(words));
	memcpy(words, *at, size);
	*at += size;
	uint64_t carry = 1;
	for (int i = 0; negative && i < 8; i++) {
		carry += (uint32_t)~words[i];
		words[i] = (uint32_t)carry;
		carry >>= 32;
	}
	char digits[80];
	size_t n = sizeof(digits);
	bool more = true;
	while (more) {
		uint64_t rest = 0;
		more = false;
		for (int i = 7; i >= 0; i--) {
			rest = rest << 32 | words[i];
			words[i] = (uint32_t)(rest / 10);
			rest %= 10;
			more |= words[i] != 0;
		}
		digits[--n] = (char)('0' + rest);
	}
	if (negative)
		digits[--n] = '-';
	buf_put(p->out, digits + n, sizeof(digits) - n);
}

static void put_inside(const struct printing *p, const struct sats_type *type, const uint8_t **at, uint32_t depth)
{
	switch (type->tag) {
	case SATS_PRODUCT: put_product(p, type, at, depth); return;
	case SATS_SUM: put_sum(p, type, at, depth); return;
	case SATS_ARRAY: put_elements(p, type, at, depth); return;
	case SATS_STRING: {
		uint32_t len = load_u32(*at);
		buf_put_json_str(p->out, (struct str){ (const char *)*at + 4, len });
		*at += 4 + (size_t)len;
		return;
	}
	case SATS_BOOL: put_text(p, *(*at)++ != 0 ? "true" : "false"); return;
	case SATS_F32: {
		float value;
		memcpy(&value, *at, sizeof(value));
		buf_printf(p->out, "%.9g", (double)value);
		*at += sizeof(value);
		return;
	}
	case SATS_F64: {
		double value;
		memcpy(&value, *at, sizeof(value));
		buf_printf(p->out, "%.17g", value);
		*at += sizeof(value);
		return;
	}
	default: put_number(p, type, at);
	}
}

static void put_value(const struct printing *p, const struct sats_type *type, const uint8_t **at, uint32_t depth)
{
	buf_printf(p->out, "%s(\n", sats_tag_name((enum sats_tag)type->tag));
	indent(p, depth + 1);
	put_inside(p, type, at, depth + 1);
	put_text(p, ",\n");
	indent(p, depth);
	buf_put_u8(p->out, ')');
}

/* ---- parts of tables ---- */

static int column_find(const struct module_table *t, struct str name)
{
	for (uint32_t i = 0; i < t->column_count; i++)
		if (str_eq(t->columns[i].name, name))
			return (int)i;
	return -1;
}

static void columns_added(const struct printing *p, const struct migrate_step *step)
{
	uint32_t added = 0;
	for (uint32_t i = 0; i < step->new->column_count; i++)
		added += column_find(step->old, step->new->columns[i].name) < 0;
	put_action(p, "▸ ", GREEN);
	put_text(p, added == 1 ? "column in table " : "columns in table ");
	put_name(p, step->new->name);
	buf_put_u8(p->out, '\n');
	for (uint32_t i = 0; i < step->new->column_count; i++) {
		const struct module_column *column = &step->new->columns[i];
		if (column_find(step->old, column->name) >= 0)
			continue;
		buf_printf(p->out, "    + %.*s: ", STR_FMT(column->name));
		put_type(p, column->type);
		if (column->has_default) {
			const uint8_t *at = column->default_value.data;
			put_text(p, " (default: ");
			put_value(p, column->type, &at, 0);
			buf_put_u8(p->out, ')');
		}
		buf_put_u8(p->out, '\n');
	}
}

static void columns_changed(const struct printing *p, const struct migrate_step *step)
{
	put_action(p, "▸ ", YELLOW);
	put_text(p, "columns for table ");
	put_name(p, step->new->name);
	buf_put_u8(p->out, '\n');
	for (uint32_t i = 0; i < step->old->column_count; i++) {
		int at = column_find(step->new, step->old->columns[i].name);
		if (at < 0 || sats_type_eq(step->old->columns[i].type, step->new->columns[at].type))
			continue;
		buf_printf(p->out, "    ~ Modified: %.*s (", STR_FMT(step->old->columns[i].name));
		put_type(p, step->old->columns[i].type);
		put_text(p, " → ");
		put_type(p, step->new->columns[at].type);
		put_text(p, ")\n");
	}
}

static void part(const struct printing *p, const struct migrate_step *step, enum color color)
{
	const struct module_table *t = color == RED ? step->old : step->new;
	put_action(p, "▸ ", color);
	if (step->sequence != NULL) {
		buf_printf(p->out, "auto-increment constraint %.*s on column %.*s of table ", STR_FMT(step->sequence->name),
			STR_FMT(t->columns[step->sequence->column].name));
	} else if (step->index != NULL || step->constraint != NULL) {
		struct str name = step->index != NULL ? step->index->name : step->constraint->name;
		buf_printf(p->out, "%s %.*s on ", step->index != NULL ? "index" : "unique constraint", STR_FMT(name));
		put_list(p, t->columns, step->index != NULL ? &step->index->columns : &step->constraint->columns);
		put_text(p, " of table ");
	} else {
		put_text(p, "schedule for table ");
	}
	put_name(p, t->name);
	if (step->schedule != NULL)
		buf_printf(p->out, " calling %s %.*s", step->schedule->is_procedure ? "procedure" : "reducer",
			STR_FMT(step->schedule->function));
	buf_put_u8(p->out, '\n');
}

static void access_changed(const struct printing *p, const struct migrate_step *step)
{
	put_action(p, "▸ ", YELLOW);
	put_text(p, "access for table ");
	put_name(p, step->new->name);
	put_text(p, " (");
	put_access(p, step->old->is_public);
	put_text(p, " → ");
	put_access(p, step->new->is_public);
	put_text(p, ")\n");
}

static void key_changed(const struct printing *p, const struct migrate_step *step)
{
	put_action(p, "▸ ", YELLOW);
	put_text(p, "primary key on table ");
	put_name(p, step->new->name);
	if (step->new->primary_key < 0)
		put_text(p, " (removed)\n");
	else
		buf_printf(p->out, " (%s column %d)\n", step->old->primary_key < 0 ? "added on" : "changed to",
			step->new->primary_key);
}

static void titled(const struct printing *p, const char *what, struct str name)
{
	put_action(p, "▸ ", YELLOW);
	put_text(p, what);
	put_name(p, name);
	buf_put_u8(p->out, '\n');
}

static void accessor_changed(const struct printing *p, const struct migrate_step *step)
{
	put_action(p, "▸ ", YELLOW);
	put_text(p, "column accessor name for ");
	put_name(p, step->new->name);
	buf_put_u8(p->out, '.');
	put_colored(p, step->new->columns[step->column].name, MAGENTA, true);
	buf_put_u8(p->out, '\n');
}

/* ---- views and rules ---- */

static void view(const struct printing *p, const struct module_view *v, enum color color)
{
	put_action(p, "▸ ▸ ", color);
	put_text(p, v->is_anonymous ? "anonymous view: " : "view: ");
	put_name(p, v->name);
	buf_put_u8(p->out, '\n');
	if (v->params->count > 0)
		put_section(p, "Parameters:");
	for (uint32_t i = 0; i < v->params->count; i++) {
		buf_printf(p->out, "        • %.*s: ", STR_FMT(v->param_names[i]));
		put_type(p, v->params->elements[i].type);
		buf_put_u8(p->out, '\n');
	}
	put_columns(p, v->columns, v->column_count);
	buf_put_u8(p->out, '\n');
}

static void rule(const struct printing *p, struct str sql, enum color color)
{
	put_action(p, "▸ ", color);
	put_text(p, "row level security policy:\n    `");
	put_colored(p, sql, BLUE, false);
	put_text(p, "`\n");
}

static void warning(const struct printing *p)
{
	put_text(p, p->colored ? "\x1b[0m\x1b[1m\x1b[41m" : "");
	put_text(p, "!!! Warning: All clients will be disconnected due to breaking schema changes");
	put_text(p, p->colored ? "\x1b[0m\n" : "\n");
}

static void print_step(const struct printing *p, const struct migrate_step *step)
{
	switch (step->kind) {
	case MIGRATE_REMOVE_INDEX:
	case MIGRATE_REMOVE_CONSTRAINT:
	case MIGRATE_REMOVE_SEQUENCE:
	case MIGRATE_REMOVE_SCHEDULE: part(p, step, RED); break;
	case MIGRATE_ADD_INDEX:
	case MIGRATE_ADD_CONSTRAINT:
	case MIGRATE_ADD_SEQUENCE:
	case MIGRATE_ADD_SCHEDULE: part(p, step, GREEN); break;
	case MIGRATE_REMOVE_VIEW: view(p, step->view, RED); break;
	case MIGRATE_ADD_VIEW: view(p, step->view, GREEN); break;
	case MIGRATE_REMOVE_RULE: rule(p, step->name, RED); break;
	case MIGRATE_ADD_RULE: rule(p, step->name, GREEN); break;
	case MIGRATE_REMOVE_TABLE: table_removed(p, step->old); break;
	case MIGRATE_ADD_TABLE: table_added(p, step->new); break;
	case MIGRATE_CHANGE_COLUMNS: columns_changed(p, step); break;
	case MIGRATE_ADD_COLUMNS: columns_added(p, step); break;
	case MIGRATE_RESCHEMA_EVENT: titled(p, "schema of event table ", step->name); break;
	case MIGRATE_CHANGE_TABLE_ACCESSOR: titled(p, "table accessor name for ", step->name); break;
	case MIGRATE_CHANGE_COLUMN_ACCESSOR: accessor_changed(p, step); break;
	case MIGRATE_CHANGE_ACCESS: access_changed(p, step); break;
	case MIGRATE_CHANGE_PRIMARY_KEY: key_changed(p, step); break;
	case MIGRATE_CHANGE_INDEX_SOURCE:
	case MIGRATE_UPDATE_VIEW: break;
	case MIGRATE_DISCONNECT: warning(p); break;
	}
}

void migration_print(const struct migration *migration, bool colored, struct buf *out)
{
	struct printing p = { out, colored };
	for (int line = 0; line < 2; line++) {
		for (int i = 0; i < RULE_LENGTH; i++)
			put_text(&p, "━");
		buf_put_u8(out, '\n');
		if (line == 0) {
			put_colored(&p, STR("Database Migration Plan"), BLUE, true);
			buf_put_u8(out, '\n');
		}
	}
	buf_put_u8(out, '\n');
	for (uint32_t i = 0; i < migration->count; i++)
		print_step(&p, &migration->steps[i]);
}
