/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RawModuleDefV8, the oldest form: decoded and rewritten as V9. It had column
 * definitions beside the row type (checked here, then dropped), constraints
 * as bits from which indexes, sequences and unique constraints follow, and
 * lifecycle reducers by name.
 */
#include "module/module_internal.h"

enum { BIT_INDEXED = 1, BIT_AUTO_INC = 2, BITS_UNIQUE = 5, BITS_PRIMARY_KEY = 13 };

struct v8_column {
	struct str name;
	const struct sats_type *type;
};
struct v8_index {
	struct str name;
	bool is_unique;
	uint8_t algorithm;
	struct module_columns columns;
};
struct v8_constraint {
	struct str name;
	uint8_t bits;
	struct module_columns columns;
};
struct v8_table {
	struct str name, scheduled;
	uint32_t column_count, index_count, constraint_count, sequence_count, type_ref;
	struct v8_column *columns;
	struct v8_index *indexes;
	struct v8_constraint *constraints;
	struct raw_sequence *sequences;
	bool is_public, is_system;
};

static bool has(uint8_t bits, uint8_t wanted)
{
	return (bits & wanted) == wanted;
}

/* ---- decoding ---- */

static uint8_t decode_bits(struct decoder *d)
{
	uint8_t bits = reader_u8(&d->r);
	/* Other combinations mean nothing; the reference stops on them later. */
	bool known = bits <= 2 || bits == 5 || bits == 7 || bits == 13 || bits == 15;
	if (decode_ok(d) && !known)
		decode_fail(d, "invalid bitflags for `Constraints`");
	return bits;
}

static bool decode_word(struct decoder *d, const char *yes, const char *no, const char *type)
{
	struct str word = decode_str(d);
	if (str_eq(word, str_of(yes)))
		return true;
	if (decode_ok(d) && !str_eq(word, str_of(no)))
		decode_fail(d, "DecodeError for %s: `%.*s`. Expected `%s` | '%s'", type, (int)size_min(word.len, 256),
			word.data,
			yes, no);
	return false;
}

static void decode_table_lists(struct decoder *d, struct v8_table *t)
{
	t->columns = decode_array(d, sizeof(*t->columns), 5, &t->column_count);
	for (uint32_t i = 0; t->columns != NULL && i < t->column_count && decode_ok(d); i++)
		t->columns[i] = (struct v8_column){ .name = decode_str(d), .type = decode_type(d) };
	t->indexes = decode_array(d, sizeof(*t->indexes), 10, &t->index_count);
	for (uint32_t i = 0; t->indexes != NULL && i < t->index_count && decode_ok(d); i++) {
		t->indexes[i].name = decode_str(d);
		t->indexes[i].is_unique = decode_bool(d);
		t->indexes[i].algorithm = decode_tag(d, 2, "IndexType");
		t->indexes[i].columns = decode_columns(d);
	}
	t->constraints = decode_array(d, sizeof(*t->constraints), 9, &t->constraint_count);
	for (uint32_t i = 0; t->constraints != NULL && i < t->constraint_count && decode_ok(d); i++) {
		t->constraints[i].name = decode_str(d);
		t->constraints[i].bits = decode_bits(d);
		t->constraints[i].columns = decode_columns(d);
	}
	t->sequences = decode_array(d, sizeof(*t->sequences), 41, &t->sequence_count);
	for (uint32_t i = 0; t->sequences != NULL && i < t->sequence_count && decode_ok(d); i++) {
		struct raw_sequence *s = &t->sequences[i];
		s->name = decode_str(d);
		s->column = reader_u16(&d->r);
		s->increment = decode_i128(d);
		s->has_start = decode_optional(d);
		s->start = s->has_start ? decode_i128(d) : 0;
		s->has_min = decode_optional(d);
		s->min = s->has_min ? decode_i128(d) : 0;
		s->has_max = decode_optional(d);
		s->max = s->has_max ? decode_i128(d) : 0;
		decode_i128(d); /* allocated: means nothing any more */
	}
}

static void decode_table(struct decoder *d, struct v8_table *t)
{
	t->name = decode_str(d);
	decode_table_lists(d, t);
	t->is_system = decode_word(d, "system", "user", "StTableType");
	t->is_public = decode_word(d, "public", "private", "StAccess");
	t->scheduled = decode_optional_str(d);
	t->type_ref = reader_u32(&d->r);
}

/* ---- generated names ---- */

/* Without any "PREFIX_TABLE_" at its start. */
static struct str trim(struct str name, const char *prefix, struct str table)
{
	size_t prefix_len = strlen(prefix), skip = prefix_len + table.len + 1;
	while (name.len >= skip && memcmp(name.data, prefix, prefix_len) == 0 &&
		(table.len == 0 || memcmp(name.data + prefix_len, table.data, table.len) == 0) && name.data[skip - 1] == '_')
		name = (struct str){ name.data + skip, name.len - skip };
	return name;
}

static bool ends_with(struct str s, struct str end)
{
	return s.len >= end.len && memcmp(s.data + s.len - end.len, end.data, end.len) == 0;
}

/* "PREFIX_TABLE_NAME_SUFFIX", the suffix only if it is not there yet; kept in the definition's arena. */
static struct str compose(struct decoder *d, const char *prefix, struct str table, struct str name, struct str suffix)
{
	struct buf out;
	buf_init(&out, MODULE_NAME_BYTES_MAX);
	buf_put_cstr(&out, prefix);
	buf_put_str(&out, table);
	buf_put_u8(&out, '_');
	buf_put_str(&out, name);
	if (suffix.len > 0 && !ends_with(name, suffix)) {
		buf_put_u8(&out, '_');
		buf_put_str(&out, suffix);
	}
	struct str kept = out.failed ? (struct str){ NULL, 0 } : arena_str(d->c->arena, buf_str(&out));
	buf_deinit(&out);
	if (kept.data != NULL)
		return kept;
	decode_fail(d, "the name of an index, constraint or sequence is too long");
	return STR("");
}

static struct str columns_name(struct decoder *d, const struct v8_table *t, struct module_columns columns)
{
	struct buf out;
	buf_init(&out, MODULE_NAME_BYTES_MAX);
	bool first = true;
	for (uint32_t i = 0; i < columns.count; i++) {
		if (columns.at[i] >= t->column_count)
			continue;
		if (!first)
			buf_put_u8(&out, '_');
		buf_put_str(&out, t->columns[columns.at[i]].name);
		first = false;
	}
	if (out.failed)
		decode_fail(d, "the name of an index, constraint or sequence is too long");
	struct str kept = scratch_text(d->c, &out);
	buf_deinit(&out);
	return kept;
}

/* ---- the upgrade ---- */

static bool note(struct decoder *d, struct map *map, const void *key, size_t len)
{
	if (map_put(map, key, len, 1))
		return true;
	faults_stop(d->c->faults, WL_ERR_MEMORY, "out of memory");
	return decode_fail(d, "out of memory");
}

static bool knows(const struct map *map, const void *key, size_t len)
{
	uint64_t one;
	return map_get(map, key, len, &one);
}

static bool knows_columns(const struct map *map, struct module_columns columns)
{
	return knows(map, columns.at, columns.count * sizeof(*columns.at));
}

/* Bare indexes get a constraint; it is appended to the table's. */
static void generate_constraints(struct decoder *d, struct v8_table *t)
{
	struct map constrained = { 0 };
	for (uint32_t i = 0; i < t->constraint_count && decode_ok(d); i++)
		if (t->constraints[i].bits != 0)
			note(d, &constrained, t->constraints[i].columns.at, t->constraints[i].columns.count * sizeof(uint16_t));
	struct v8_constraint *all =
		context_array(d->c, d->c->scratch, (size_t)t->constraint_count + t->index_count, sizeof(*all));
	if (all == NULL) {
		decode_fail(d, "out of memory");
	} else {
		if (t->constraint_count > 0)
			memcpy(all, t->constraints, t->constraint_count * sizeof(*all));
		t->constraints = all;
	}
	for (uint32_t i = 0; i < t->index_count && decode_ok(d); i++) {
		const struct v8_index *index = &t->indexes[i];
		if (knows_columns(&constrained, index->columns))
			continue;
		struct str name = trim(columns_name(d, t, index->columns), "idx_", t->name);
		all[t->constraint_count++] = (struct v8_constraint){
			.name = compose(d, "ct_", t->name, name, index->is_unique ? STR("unique") : STR("indexed")),
			.bits = index->is_unique ? BITS_UNIQUE : BIT_INDEXED, .columns = index->columns,
		};
	}
	map_deinit(&constrained);
}

static void upgrade_indexes(struct decoder *d, const struct v8_table *t, uint32_t given_constraints,
	struct raw_table *out)
{
	struct map names = { 0 };
	out->indexes = context_array(d->c, d->c->scratch, (size_t)t->index_count + given_constraints,
		sizeof(*out->indexes));
	if (out->indexes == NULL)
		decode_fail(d, "out of memory");
	for (uint32_t i = 0; i < t->index_count && decode_ok(d); i++) {
		const struct v8_index *index = &t->indexes[i];
		note(d, &names, index->name.data, index->name.len);
		out->indexes[out->index_count++] = (struct raw_index){
			.source = index->name, .accessor = index->name, .algorithm = index->algorithm, .columns = index->columns,
		};
	}
	for (uint32_t i = 0; i < given_constraints && decode_ok(d); i++) {
		const struct v8_constraint *constraint = &t->constraints[i];
		if (!has(constraint->bits, BIT_INDEXED))
			continue;
		bool unique = has(constraint->bits, BITS_UNIQUE);
		struct str name = compose(d, "idx_", t->name, trim(constraint->name, "ct_", t->name),
			unique ? STR("unique") : STR("non_unique"));
		if (!knows(&names, name.data, name.len))
			out->indexes[out->index_count++] = (struct raw_index){
				.source = name, .accessor = name, .algorithm = MODULE_BTREE, .columns = constraint->columns,
			};
	}
	map_deinit(&names);
}

static void upgrade_sequences(struct decoder *d, const struct v8_table *t, uint32_t given_constraints,
	struct raw_table *out)
{
	struct map names = { 0 }, columns = { 0 };
	out->sequences = context_array(d->c, d->c->scratch, (size_t)t->sequence_count + given_constraints,
		sizeof(*out->sequences));
	if (out->sequences == NULL)
		decode_fail(d, "out of memory");
	for (uint32_t i = 0; i < t->sequence_count && decode_ok(d); i++) {
		note(d, &names, t->sequences[i].name.data, t->sequences[i].name.len);
		note(d, &columns, &t->sequences[i].column, sizeof(t->sequences[i].column));
		out->sequences[out->sequence_count++] = t->sequences[i];
	}
	for (uint32_t i = 0; i < given_constraints && decode_ok(d); i++) {
		const struct v8_constraint *constraint = &t->constraints[i];
		if (!has(constraint->bits, BIT_AUTO_INC) || knows_columns(&columns, constraint->columns))
			continue;
		if (constraint->columns.count == 0) {
			decode_fail(d, "auto-increment constraint without columns");
			break;
		}
		struct str name = compose(d, "seq_", t->name, trim(constraint->name, "ct_", t->name), STR(""));
		if (!knows(&names, name.data, name.len))
			out->sequences[out->sequence_count++] =
				(struct raw_sequence){ .name = name, .column = constraint->columns.at[0], .increment = 1 };
	}
	map_deinit(&names);
	map_deinit(&columns);
}

static void upgrade_constraints(struct decoder *d, const struct v8_table *t, struct raw_table *out)
{
	out->constraints = context_array(d->c, d->c->scratch, t->constraint_count, sizeof(*out->constraints));
	if (out->constraints == NULL)
		decode_fail(d, "out of memory");
	for (uint32_t i = 0; i < t->constraint_count && decode_ok(d); i++) {
		const struct v8_constraint *constraint = &t->constraints[i];
		if (has(constraint->bits, BITS_PRIMARY_KEY)) {
			if (constraint->columns.count != 1 || out->primary_key.count > 0)
				FAULT(d->c->faults, FAULT_REPEATED_PRIMARY_KEY, field_str(t->name));
			if (constraint->columns.count == 1)
				out->primary_key = constraint->columns;
		}
		if (has(constraint->bits, BITS_UNIQUE))
			out->constraints[out->constraint_count++] =
				(struct raw_constraint){ .name = constraint->name, .columns = constraint->columns };
	}
}

/* The column definitions say what the row type says. */
static void check_columns(struct decoder *d, const struct v8_table *t, const struct sats_typespace *space)
{
	const struct sats_type *row = types_product_at(space, t->type_ref), *resolved;
	if (row == NULL || sats_inline(d->c->scratch, space, row, &resolved, NULL) != WL_OK) {
		FAULT(d->c->faults, FAULT_PRODUCT_REF, field_str(t->name), field_ref(t->type_ref));
		return;
	}
	/* Faults print the types, so these live as long as they do. */
	for (uint32_t i = 0; i < t->column_count; i++) {
		const struct v8_column *column = &t->columns[i];
		const struct sats_type *type = column->type;
		bool good = i < resolved->count && sats_inline(d->c->scratch, space, column->type, &type, NULL) == WL_OK;
		good = good && str_eq(resolved->elements[i].name, column->name) &&
			resolved->elements[i].name.data != NULL && sats_type_eq(resolved->elements[i].type, type);
		if (!good)
			FAULT(d->c->faults, FAULT_COLUMN_MALFORMED, field_str(t->name), field_str(column->name), field_type(type),
				field_number(i), field_type(resolved));
	}
}

static void upgrade_schedule(struct decoder *d, const struct v8_table *t, struct raw_table *out)
{
	for (uint32_t i = 0; t->scheduled.data != NULL && i < t->column_count && i <= UINT16_MAX; i++) {
		if (!str_eq(t->columns[i].name, STR("scheduled_at")))
			continue;
		struct raw_schedule *s = context_array(d->c, d->c->scratch, 1, sizeof(*s));
		if (s == NULL) {
			decode_fail(d, "out of memory");
			return;
		}
		*s = (struct raw_schedule){ .table = t->name, .function = t->scheduled, .at_column = (uint16_t)i };
		out->schedule = s;
		return;
	}
}

static void item_table(struct decoder *d, const struct sats_typespace *space, struct raw_table *out)
{
	struct v8_table t = { 0 };
	decode_table(d, &t);
	if (!decode_ok(d))
		return;
	uint32_t given = t.constraint_count;
	generate_constraints(d, &t);
	*out = (struct raw_table){
		.name = t.name, .type_ref = t.type_ref, .is_public = t.is_public, .is_system = t.is_system,
	};
	check_columns(d, &t, space);
	upgrade_indexes(d, &t, given, out);
	upgrade_sequences(d, &t, given, out);
	upgrade_constraints(d, &t, out);
	upgrade_schedule(d, &t, out);
}

static void item_reducer(struct decoder *d, struct raw_function *out)
{
	static const char *const events[] = { "__init__", "__identity_connected__", "__identity_disconnected__" };
	*out = (struct raw_function){
		.name = decode_str(d), .params = decode_product(d), .ok = &sats_unit, .err = &sats_primitive[SATS_STRING],
		.lifecycle = MODULE_NO_LIFECYCLE,
	};
	for (uint8_t i = 0; i < MODULE_LIFECYCLE_COUNT; i++)
		if (str_eq(out->name, str_of(events[i])))
			out->lifecycle = i;
}

/* Splits at "::" and ".": the last part is the name, the others its scope. */
static void split_name(struct decoder *d, struct str name, struct raw_type *out)
{
	struct str *parts = context_array(d->c, d->c->scratch, name.len + 1, sizeof(*parts));
	if (parts == NULL) {
		decode_fail(d, "out of memory");
		return;
	}
	size_t start = 0;
	uint32_t count = 0;
	for (size_t i = 0; i < name.len; i++) {
		bool colons = name.data[i] == ':' && i + 1 < name.len && name.data[i + 1] == ':';
		if (!colons && name.data[i] != '.')
			continue;
		parts[count++] = (struct str){ name.data + start, i - start };
		i += colons;
		start = i + 1;
	}
	out->scope = parts;
	out->scope_count = count;
	out->name = (struct str){ name.data + start, name.len - start };
}

static void item_type(struct decoder *d, struct raw_type *out)
{
	decode_tag(d, 1, "MiscModuleExport");
	struct str name = decode_str(d);
	*out = (struct raw_type){ .ref = reader_u32(&d->r), .custom_ordering = true };
	if (decode_ok(d))
		split_name(d, name, out);
}

void decode_v8(struct decoder *d, struct raw_module *m)
{
	m->version = 9;
	decode_typespace(d, &m->typespace);
	m->tables = decode_array(d, sizeof(*m->tables), 40, &m->table_count);
	for (uint32_t i = 0; m->tables != NULL && i < m->table_count && decode_ok(d); i++)
		item_table(d, &m->typespace, &m->tables[i]);
	m->reducers = decode_array(d, sizeof(*m->reducers), 8, &m->reducer_count);
	for (uint32_t i = 0; m->reducers != NULL && i < m->reducer_count && decode_ok(d); i++)
		item_reducer(d, &m->reducers[i]);
	m->types = decode_array(d, sizeof(*m->types), 9, &m->type_count);
	for (uint32_t i = 0; m->types != NULL && i < m->type_count && decode_ok(d); i++)
		item_type(d, &m->types[i]);
}
