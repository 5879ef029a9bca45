/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables: columns, indexes, unique constraints, primary key, sequences,
 * defaults, schedules. Which errors are reported together follows the
 * reference: some end their table, and then what was found in it since
 * `mark` is withdrawn again.
 *
 * Columns of two kinds are looked at: the row type with canonical names
 * (`row`, for generated names and texts) and as the module wrote it
 * (`raw_row`, for accessors and uses).
 */
#include "module/module_internal.h"

#include <stdlib.h>

struct table_validator {
	struct validator *v;
	const struct raw_table *raw;
	const struct sats_type *row;
	struct str name;      /* canonical */
	struct map indexed;   /* sorted columns of each index */
	struct map unique;    /* sorted columns of each constraint */
	uint8_t *has_sequence; /* per column */
	struct module_table *out;
};

static struct faults *faults_of(struct table_validator *t)
{
	return t->v->c->faults;
}

/* ---- columns ---- */

static bool validate_column(struct validator *v, struct str source, uint32_t ref, const struct sats_type *row,
	const struct sats_type *raw_row, uint32_t at, struct module_column *out)
{
	const struct sats_element *element = &raw_row->elements[at];
	struct fault_location where = { .kind = LOCATION_TYPESPACE, .position = ref };
	bool named = element->name.data != NULL;
	if (!named)
		FAULT(v->c->faults, FAULT_UNNAMED_COLUMN, field_str(source), field_str(name_of_column(v->c, row, at)));
	if (!types_check_use(v, &where, element->type) || !named)
		return false;
	*out = (struct module_column){ .accessor = element->name, .type = row->elements[at].type };
	return name_check(v, element->name) && name_resolve_plain(v, element->name, &out->name);
}

bool validate_columns(struct validator *v, struct str source, uint32_t ref, const struct sats_type *row,
	const struct sats_type *raw_row, struct module_column *columns)
{
	if (row->count > MODULE_COLUMNS_MAX) {
		FAULT(v->c->faults, FAULT_TOO_MANY_COLUMNS, field_str(source));
		return false;
	}
	bool good = true;
	for (uint32_t i = 0; i < row->count; i++)
		good = validate_column(v, source, ref, row, raw_row, i, &columns[i]) && good;
	return good;
}

bool validate_row_type(struct validator *v, struct str source, uint32_t ref, const struct sats_type **row_type,
	uint32_t column_count, struct module_column *columns)
{
	struct error error = { 0 };
	const struct sats_typespace *space = &v->part->typespace;
	enum wl_err err = sats_inline(v->c->arena, space, space->types[ref], row_type, &error);
	if (err == WL_ERR_MEMORY) {
		faults_stop(v->c->faults, WL_ERR_LIMIT, "the module description is too large");
		return false;
	}
	if (err != WL_OK) {
		FAULT(v->c->faults, FAULT_ROW_TYPE, field_str(source), field_str(scratch_printf(v->c, "%s", error.text)));
		return false;
	}
	for (uint32_t i = 0; i < column_count; i++)
		columns[i].type = (*row_type)->elements[i].type;
	return true;
}

/* A column that exists, or a fault of `definition`. */
static bool check_column(struct table_validator *t, struct str definition, uint32_t column)
{
	if (column < t->row->count)
		return true;
	FAULT(faults_of(t), FAULT_COLUMN_NOT_FOUND, field_str(t->raw->name), field_str(definition), field_number(column));
	return false;
}

static int column_order(const void *a, const void *b)
{
	return (int)load_u16(a) - (int)load_u16(b);
}

/* The columns exist and do not repeat. `sorted` gets them ascending. */
static bool check_columns(struct table_validator *t, struct str definition, struct module_columns columns,
	struct module_columns *sorted)
{
	bool good = true;
	for (uint32_t i = 0; i < columns.count; i++)
		good = check_column(t, definition, columns.at[i]) && good;
	if (!good)
		return false;
	uint16_t *copy = context_array(t->v->c, t->v->c->arena, columns.count, sizeof(*copy));
	if (copy == NULL)
		return false;
	if (columns.count > 0) {
		memcpy(copy, columns.at, columns.count * sizeof(*copy));
		qsort(copy, columns.count, sizeof(*copy), column_order);
	}
	*sorted = (struct module_columns){ columns.count, copy };
	for (uint32_t i = 1; i < columns.count; i++) {
		if (copy[i - 1] == copy[i]) {
			FAULT(faults_of(t), FAULT_DUPLICATE_COLUMNS, field_str(definition), field_columns(FIELD_COLUMNS, columns));
			return false;
		}
	}
	return true;
}

static bool set_put(struct table_validator *t, struct map *set, struct module_columns sorted)
{
	if (map_put(set, sorted.at, sorted.count * sizeof(*sorted.at), 1))
		return true;
	faults_stop(faults_of(t), WL_ERR_MEMORY, "out of memory");
	return false;
}

static bool set_has(const struct map *set, struct module_columns sorted)
{
	uint64_t one;
	return map_get(set, sorted.at, sorted.count * sizeof(*sorted.at), &one);
}

/* ---- indexes ---- */

static bool check_direct(struct table_validator *t, struct str name, uint16_t column)
{
	const struct sats_type *type = t->row->elements[column].type, *target = type;
	if (type->tag == SATS_REF)
		target = type->ref < t->v->part->typespace.count ? t->v->part->typespace.types[type->ref] : &sats_unit;
	bool good = target->tag == SATS_SUM ? sats_is_plain_enum(target) :
		type->tag == SATS_U8 || type->tag == SATS_U16 || type->tag == SATS_U32 || type->tag == SATS_U64;
	if (!good)
		FAULT(faults_of(t), FAULT_DIRECT_INDEX_TYPE, field_str(name),
			field_str(name_of_column(t->v->c, t->row, column)), field_type(type));
	return good;
}

static bool check_algorithm(struct table_validator *t, const struct raw_index *raw, struct str name)
{
	struct module_columns sorted;
	if (!check_columns(t, name, raw->columns, &sorted))
		return false;
	if (raw->algorithm == MODULE_DIRECT && !check_direct(t, name, raw->columns.at[0]))
		return false;
	return set_put(t, &t->indexed, sorted);
}

static bool validate_index_v9(struct table_validator *t, const struct raw_index *raw, struct module_index *out)
{
	out->name = raw->source.data != NULL ? raw->source :
		name_of_index(t->v, t->name, t->row, raw->algorithm, raw->columns);
	out->source = out->name;
	return name_add(t->v, out->name) && check_algorithm(t, raw, out->name) &&
		(raw->accessor.data == NULL || name_resolve_plain(t->v, raw->accessor, &out->accessor));
}

/* The module's own name is an alias; the canonical one is explicit or generated. */
static bool validate_index_v10(struct table_validator *t, const struct raw_index *raw, struct module_index *out)
{
	struct str generated = { NULL, 0 };
	if (raw->source.data == NULL) {
		generated = name_of_index(t->v, t->name, t->row, raw->algorithm, raw->columns);
		FAULT(faults_of(t), FAULT_INDEX_SOURCE, field_str(t->raw->name), field_str(generated));
		return false;
	}
	out->source = raw->source;
	if (!name_add(t->v, raw->source))
		return false;
	if (map_get_ptr(&t->v->explicit_names[RAW_NAME_INDEX], raw->source) != NULL) {
		if (!name_resolve(t->v, RAW_NAME_INDEX, raw->source, &out->name))
			return false;
	} else {
		out->name = name_of_index(t->v, t->name, t->row, raw->algorithm, raw->columns);
		if (!name_check(t->v, out->name))
			return false;
	}
	if (!str_eq(out->name, out->source) && !name_add(t->v, out->name))
		return false;
	if (!check_algorithm(t, raw, out->name))
		return false;
	out->accessor = raw->accessor;
	return raw->accessor.data == NULL || name_check(t->v, raw->accessor);
}

static bool validate_indexes(struct table_validator *t)
{
	const struct raw_table *raw = t->raw;
	struct module_index *indexes = context_array(t->v->c, t->v->c->arena, raw->index_count, sizeof(*indexes));
	if (indexes == NULL)
		return false;
	bool good = true;
	for (uint32_t i = 0; i < raw->index_count; i++) {
		const struct raw_index *one = &raw->indexes[i];
		indexes[i] = (struct module_index){ .algorithm = one->algorithm, .columns = one->columns };
		good = (t->v->raw->version == 9 ? validate_index_v9 : validate_index_v10)(t, one, &indexes[i]) && good;
	}
	t->out->indexes = indexes;
	t->out->index_count = raw->index_count;
	return good;
}

/* ---- constraints and the primary key ---- */

static bool validate_constraint(struct table_validator *t, const struct raw_constraint *raw,
	struct module_constraint *out)
{
	out->name = t->v->raw->version == 9 && raw->name.data != NULL ? raw->name :
		name_of_constraint(t->v, t->name, t->row, raw->columns);
	bool good = check_columns(t, out->name, raw->columns, &out->columns);
	return name_add(t->v, out->name) && good && set_put(t, &t->unique, out->columns);
}

static bool validate_primary_key(struct table_validator *t)
{
	struct module_columns key = t->raw->primary_key;
	if (key.count > 1) {
		FAULT(faults_of(t), FAULT_REPEATED_PRIMARY_KEY, field_str(t->raw->name));
		return false;
	}
	if (key.count == 0)
		return true;
	if (!check_column(t, t->raw->name, key.at[0]))
		return false;
	if (!set_has(&t->unique, key)) {
		FAULT(faults_of(t), FAULT_PRIMARY_KEY_NOT_UNIQUE, field_str(t->raw->name),
			field_str(name_of_column(t->v->c, t->row, key.at[0])));
		return false;
	}
	t->out->primary_key = key.at[0];
	return true;
}

static bool validate_constraints(struct table_validator *t)
{
	const struct raw_table *raw = t->raw;
	struct module_constraint *constraints =
		context_array(t->v->c, t->v->c->arena, raw->constraint_count, sizeof(*constraints));
	if (constraints == NULL)
		return false;
	bool good = true;
	for (uint32_t i = 0; i < raw->constraint_count; i++)
		good = validate_constraint(t, &raw->constraints[i], &constraints[i]) && good;
	t->out->constraints = constraints;
	t->out->constraint_count = raw->constraint_count;
	return good && validate_primary_key(t);
}

static void check_constraints_indexed(struct table_validator *t)
{
	for (uint32_t i = 0; i < t->out->constraint_count; i++) {
		const struct module_constraint *constraint = &t->out->constraints[i];
		if (!set_has(&t->indexed, constraint->columns))
			FAULT(faults_of(t), FAULT_UNIQUE_WITHOUT_INDEX, field_str(constraint->name),
				field_columns(FIELD_COLUMN_SET, constraint->columns));
	}
}

/* ---- sequences ---- */

static bool check_sequence_column(struct table_validator *t, struct str name, uint16_t column)
{
	if (!check_column(t, name, column))
		return false;
	const struct sats_type *type = t->row->elements[column].type;
	struct str column_name = name_of_column(t->v->c, t->row, column);
	if (!sats_is_integer(type)) {
		FAULT(faults_of(t), FAULT_SEQUENCE_COLUMN_TYPE, field_str(name), field_str(t->raw->name),
			field_str(column_name), field_type(type));
		return false;
	}
	if (t->has_sequence[column] != 0) {
		FAULT(faults_of(t), FAULT_ONE_AUTO_INC, field_str(t->raw->name), field_str(column_name));
		return false;
	}
	t->has_sequence[column] = 1;
	return true;
}

static void validate_sequence(struct table_validator *t, const struct raw_sequence *raw, struct module_sequence *out)
{
	*out = (struct module_sequence){
		.name = raw->name.data != NULL ? raw->name : name_of_sequence(t->v, t->name, t->row, raw->column),
		.column = raw->column, .increment = raw->increment,
		.has_start = raw->has_start, .has_min = raw->has_min, .has_max = raw->has_max,
		.start = raw->has_start ? raw->start : 1, .min = raw->has_min ? raw->min : 1,
		.max = raw->has_max ? raw->max : (i128)(~(u128)0 >> 1),
	};
	check_sequence_column(t, out->name, raw->column);
	bool ordered = (!raw->has_min || !raw->has_start || raw->min <= raw->start) &&
		(!raw->has_start || !raw->has_max || raw->start <= raw->max) &&
		(!raw->has_min || !raw->has_max || raw->min <= raw->max);
	if (!ordered)
		FAULT(faults_of(t), FAULT_SEQUENCE_RANGE, field_str(out->name), field_i128(raw->has_min, raw->min),
			field_i128(raw->has_start, raw->start), field_i128(raw->has_max, raw->max));
	name_add(t->v, out->name);
}

static void validate_sequences(struct table_validator *t)
{
	const struct raw_table *raw = t->raw;
	struct module_sequence *sequences = context_array(t->v->c, t->v->c->arena, raw->sequence_count, sizeof(*sequences));
	t->has_sequence = context_array(t->v->c, t->v->c->scratch, t->row->count, 1);
	if (sequences == NULL || t->has_sequence == NULL)
		return;
	for (uint32_t i = 0; i < raw->sequence_count; i++)
		validate_sequence(t, &raw->sequences[i], &sequences[i]);
	t->out->sequences = sequences;
	t->out->sequence_count = raw->sequence_count;
}

/* ---- defaults ---- */

/* How the columns of a row are walked; made when the first default of a table is met. */
static const struct sats_row_layout *row_layout(struct validator *v, const struct module_table *table,
	const struct sats_row_layout **cache)
{
	struct error error = { 0 };
	if (*cache != NULL)
		return *cache;
	if (sats_row_layout_create(v->c->scratch, NULL, table->row_type, cache, &error) == WL_OK)
		return *cache;
	faults_stop(v->c->faults, WL_ERR_LIMIT, "the module description is too large");
	return NULL;
}

bool validate_default(struct validator *v, const struct module_table *table, const struct raw_default *raw, bool once,
	const struct sats_row_layout **cache)
{
	struct faults *faults = v->c->faults;
	struct str source = table->accessor;
	if (raw->column >= table->column_count) {
		FAULT(faults, FAULT_COLUMN_NOT_FOUND, field_str(source), field_str(source), field_number(raw->column));
		return false;
	}
	const struct sats_row_layout *layout = row_layout(v, table, cache);
	if (layout == NULL)
		return false;
	struct error error = { 0 };
	size_t used = 0;
	if (sats_validate(layout->columns[raw->column], raw->value.data, raw->value.len, &used, &error) != WL_OK) {
		FAULT(faults, FAULT_DEFAULT_MALFORMED, field_str(source), field_number(raw->column),
			field_str(scratch_printf(v->c, "%s", error.text)));
		return false;
	}
	struct module_column *column = (struct module_column *)&table->columns[raw->column];
	if (once && column->has_default) {
		FAULT(faults, FAULT_DEFAULT_REPEATED, field_str(source), field_number(raw->column));
		return false;
	}
	column->has_default = true;
	column->default_value = (struct bytes){ raw->value.data, used };
	return true;
}

/* ---- schedules ---- */

bool validate_schedule(struct validator *v, const struct raw_schedule *raw, struct str table_source,
	const struct sats_type *row, int32_t primary_key, struct str name, const struct module_schedule **out)
{
	struct faults *faults = v->c->faults;
	uint32_t mark = faults->count;
	struct module_schedule *schedule = context_array(v->c, v->c->arena, 1, sizeof(*schedule));
	if (schedule == NULL)
		return false;
	bool at_good = raw->at_column < row->count && row->elements[raw->at_column].type->special == SATS_SCHEDULE_AT;
	bool id_good = primary_key >= 0 && row->elements[primary_key].type->tag == SATS_U64;
	if (!at_good || !id_good)
		FAULT(faults, FAULT_SCHEDULED_COLUMNS, field_str(table_source), { FIELD_DEBUG, .type = row });
	name_add(v, name);
	*schedule = (struct module_schedule){
		.name = name, .at_column = raw->at_column, .id_column = (uint16_t)primary_key,
	};
	name_resolve(v, RAW_NAME_FUNCTION, raw->function, &schedule->function);
	if (!clean_since(v, mark) || !name_check(v, name))
		return false;
	*out = schedule;
	return true;
}

/* ---- tables ---- */

static void validate_table_name_v9(struct table_validator *t)
{
	if (!name_add(t->v, t->raw->name) || !name_check(t->v, t->raw->name))
		return;
	if (!t->raw->is_system && t->name.len >= 3 && memcmp(t->name.data, "st_", 3) == 0)
		FAULT(faults_of(t), FAULT_TABLE_RESERVED, field_str(t->name));
}

/* False when the table ends here: what was found since `mark` is withdrawn, the clash stays. */
static bool validate_table_name_v10(struct table_validator *t, uint32_t mark)
{
	struct faults *faults = faults_of(t);
	uint32_t before = faults->count;
	bool reserved = !t->raw->is_system && t->name.len >= 3 && memcmp(t->name.data, "st_", 3) == 0;
	bool added = name_add(t->v, t->raw->name);
	if (added && reserved)
		FAULT(faults, FAULT_TABLE_RESERVED, field_str(t->name));
	else if (added && !str_eq(t->name, t->raw->name))
		added = name_add(t->v, t->name);
	if (added)
		return true;
	if (faults->count > before) {
		faults->items[mark] = faults->items[before];
		faults->count = mark + 1;
	}
	return false;
}

static bool validate_defaults_v10(struct table_validator *t, uint32_t mark)
{
	const struct sats_row_layout *cache = NULL;
	struct faults *faults = faults_of(t);
	uint32_t before = faults->count;
	for (uint32_t i = 0; i < t->raw->default_count; i++)
		validate_default(t->v, t->out, &t->raw->defaults[i], false, &cache);
	if (faults->count == before)
		return true;
	memmove(&faults->items[mark], &faults->items[before], (faults->count - before) * sizeof(*faults->items));
	faults->count -= before - mark;
	return false;
}

static int index_order(const void *a, const void *b)
{
	return str_order(((const struct module_index *)a)->name, ((const struct module_index *)b)->name);
}

static int constraint_order(const void *a, const void *b)
{
	return str_order(((const struct module_constraint *)a)->name, ((const struct module_constraint *)b)->name);
}

static int sequence_order(const void *a, const void *b)
{
	return str_order(((const struct module_sequence *)a)->name, ((const struct module_sequence *)b)->name);
}

/* Sorts what belongs to the table and marks the indexes that enforce a constraint. */
static void finish_table(struct table_validator *t)
{
	struct module_table *out = t->out;
	struct module_index *indexes = (struct module_index *)out->indexes;
	for (uint32_t i = 0; i < out->index_count; i++) {
		struct module_columns sorted = { 0 };
		if (check_columns(t, indexes[i].name, indexes[i].columns, &sorted))
			indexes[i].unique = set_has(&t->unique, sorted);
	}
	if (out->index_count > 0)
		qsort(indexes, out->index_count, sizeof(*indexes), index_order);
	if (out->constraint_count > 0)
		qsort((void *)out->constraints, out->constraint_count, sizeof(*out->constraints), constraint_order);
	if (out->sequence_count > 0)
		qsort((void *)out->sequences, out->sequence_count, sizeof(*out->sequences), sequence_order);
}

/* Everything after the columns. */
static bool validate_table_body(struct table_validator *t)
{
	struct faults *faults = faults_of(t);
	uint32_t mark = faults->count;
	bool indexes_good = validate_indexes(t);
	bool constraints_good = validate_constraints(t);
	if (indexes_good && constraints_good)
		check_constraints_indexed(t);
	validate_sequences(t);
	if (faults->err != WL_OK)
		return false;
	if (t->v->raw->version == 9) {
		if (t->raw->schedule != NULL) {
			const struct raw_schedule *s = t->raw->schedule;
			struct str name = s->name.data != NULL ? s->name : name_of_schedule(t->v, t->name);
			int32_t key = t->raw->primary_key.count > 0 && t->raw->primary_key.at[0] < t->row->count ?
				t->raw->primary_key.at[0] : -1;
			validate_schedule(t->v, s, t->raw->name, t->row, key, name, &t->out->schedule);
		}
		validate_table_name_v9(t);
	} else if (!validate_table_name_v10(t, mark) || !validate_defaults_v10(t, mark) ||
		!clean_since(t->v, mark) || !name_check(t->v, t->raw->name)) {
		return false;
	}
	if (!clean_since(t->v, mark))
		return false;
	finish_table(t);
	return true;
}

bool validate_table(struct validator *v, const struct raw_table *raw, struct module_table *out)
{
	struct table_validator t = { .v = v, .raw = raw, .out = out };
	t.row = types_product_at(&v->part->typespace, raw->type_ref);
	if (t.row == NULL) {
		FAULT(v->c->faults, FAULT_PRODUCT_REF, field_str(raw->name), field_ref(raw->type_ref));
		return false;
	}
	if (!name_resolve(v, RAW_NAME_TABLE, raw->name, &t.name))
		return false;
	struct module_column *columns = context_array(v->c, v->c->arena, t.row->count, sizeof(*columns));
	if (columns == NULL)
		return false;
	*out = (struct module_table){
		.name = t.name, .accessor = raw->name, .type_ref = raw->type_ref,
		.column_count = t.row->count, .columns = columns, .primary_key = -1,
		.is_public = raw->is_public, .is_event = raw->is_event, .is_system = raw->is_system,
	};
	const struct sats_type *raw_row = v->raw->typespace.types[raw->type_ref];
	bool columns_good = validate_columns(v, raw->name, raw->type_ref, t.row, raw_row, columns) &&
		validate_row_type(v, raw->name, raw->type_ref, &out->row_type, t.row->count, columns);
	/* V10 ends a table at its columns, V9 goes on. */
	bool good = (columns_good || v->raw->version == 9) && t.row->count <= MODULE_COLUMNS_MAX &&
		validate_table_body(&t);
	map_deinit(&t.indexed);
	map_deinit(&t.unique);
	return good && columns_good;
}
