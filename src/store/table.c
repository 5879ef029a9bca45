/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table's definition: copied, made into a table, written for the log and
 * read back from it.
 */
#include "store/store_internal.h"

#include <stdlib.h>

enum { ENCODING_VERSION = 1, SEQUENCES_MAX = 64 };
enum { FLAG_PUBLIC = 1, FLAG_EVENT = 2, FLAG_SYSTEM = 4, FLAG_EPHEMERAL = 8 };

static const struct sats_typespace no_types;

/* ---- making a table ---- */

static bool same_columns(const uint16_t *a, uint32_t a_count, const uint16_t *b, uint32_t b_count)
{
	if (a_count != b_count)
		return false;
	for (uint32_t i = 0; i < a_count; i++) {
		bool found = false;
		for (uint32_t j = 0; j < b_count; j++)
			found |= a[i] == b[j];
		if (!found)
			return false;
	}
	return true;
}

static int by_index_id(const void *a, const void *b)
{
	uint32_t id_a = (*(struct store_index *const *)a)->def->id, id_b = (*(struct store_index *const *)b)->def->id;
	return (id_a > id_b) - (id_a < id_b);
}

static bool create_indexes(struct store_table *t)
{
	const struct store_table_def *def = t->def;
	t->indexes = mem_zalloc_array((size_t)def->index_count * 2 + 1, sizeof(struct store_index *));
	if (t->indexes == NULL)
		return false;
	for (uint32_t i = 0; i < def->index_count; i++) {
		t->indexes[i] = index_create(t, &def->indexes[i]);
		if (t->indexes[i] == NULL)
			return false;
		t->index_count++;
	}
	qsort(t->indexes, t->index_count, sizeof(struct store_index *), by_index_id);
	t->unique = t->indexes + t->index_count;
	for (uint32_t i = 0; i < t->index_count; i++) {
		struct store_index *ix = t->indexes[i];
		if (!ix->unique)
			continue;
		t->unique[t->unique_count++] = ix;
		if (ix->column_count == 1 && ix->columns[0].column == def->primary_key)
			t->primary = ix;
	}
	if (t->unique_count == 0)
		t->set = mem_zalloc(sizeof(*t->set));
	return t->unique_count > 0 || t->set != NULL;
}

static bool create_sequences(struct store_table *t)
{
	if (t->def->sequence_count == 0)
		return true;
	t->sequences = mem_zalloc_array(t->def->sequence_count, sizeof(*t->sequences));
	if (t->sequences == NULL)
		return false;
	for (uint32_t i = 0; i < t->def->sequence_count; i++) {
		struct sequence *s = &t->sequences[i];
		s->def = &t->def->sequences[i];
		s->table = t;
		s->size = (uint8_t)t->layout->columns[s->def->column]->fixed_size;
		sequence_set(s, s->def->allocated);
	}
	return true;
}

/* Rows of one size, or nearly, live in the slots; of others the slot is a location. */
static bool choose_storage(struct store_table *t)
{
	const struct sats_layout *whole = t->layout->whole;
	t->fixed_size = whole->fixed_size;
	bool in_slot = whole->max_size != UINT32_MAX && whole->max_size - whole->min_size <= STRIDE_SLACK_MAX;
	t->stride = in_slot ? whole->max_size : LOCATION_BYTES;
	if (t->stride == 0)
		t->stride = 1;
	if (!in_slot) {
		t->heap = heap_create(t->store);
		if (t->heap == NULL)
			return false;
	}
	table_pages_init(t);
	return true;
}

static enum store_status check_def(const struct store_table_def *def, const struct sats_row_layout *layout)
{
	if (def->sequence_count > SEQUENCES_MAX || layout->whole->min_size > STORE_ROW_BYTES_MAX ||
	    def->column_count != layout->column_count)
		return STORE_LIMIT;
	if (def->primary_key >= (int64_t)def->column_count || def->schedule_at >= (int64_t)def->column_count)
		return STORE_LIMIT;
	for (uint32_t i = 0; i < def->index_count; i++) {
		const struct store_index_def *ix = &def->indexes[i];
		if (ix->column_count == 0 || ix->column_count > STORE_INDEX_COLUMNS_MAX)
			return STORE_LIMIT;
		for (uint32_t c = 0; c < ix->column_count; c++)
			if (ix->columns[c] >= def->column_count)
				return STORE_LIMIT;
	}
	for (uint32_t i = 0; i < def->sequence_count; i++) {
		const struct store_sequence_def *s = &def->sequences[i];
		if (s->column >= def->column_count || !sats_is_integer(layout->columns[s->column]->type) ||
		    s->increment == 0 || s->max < s->min)
			return STORE_LIMIT;
	}
	if (def->schedule_at >= 0 &&
	    layout->columns[def->schedule_at]->type->special != SATS_SCHEDULE_AT)
		return STORE_LIMIT;
	return STORE_OK;
}

struct store_table *table_create(struct store *store, const struct store_table_def *def,
	const struct sats_row_layout *layout, enum store_status *status)
{
	*status = check_def(def, layout);
	if (*status != STORE_OK)
		return NULL;
	*status = STORE_MEMORY;
	struct store_table *t = mem_zalloc(sizeof(*t));
	if (t == NULL)
		return NULL;
	t->store = store;
	t->def = def;
	t->layout = layout;
	if (!choose_storage(t) || !create_indexes(t) || !create_sequences(t)) {
		table_destroy(t);
		return NULL;
	}
	*status = STORE_OK;
	return t;
}

void table_destroy(struct store_table *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->index_count; i++)
		index_destroy(t->indexes[i]);
	mem_free(t->indexes);
	if (t->set != NULL) {
		hash_free(t->set);
		mem_free(t->set);
	}
	table_pages_free(t);
	heap_destroy(t->heap);
	mem_free(t->sequences);
	lists_free(t);
	struct arena arena = t->arena; /* it holds def and layout */
	mem_free(t);
	arena_deinit(&arena);
}

/* ---- copying ---- */

static struct str copy_str(struct arena *arena, struct str s, bool *ok)
{
	if (s.data == NULL)
		return s;
	struct str copy = arena_str(arena, s);
	*ok &= copy.data != NULL;
	return copy;
}

static const uint16_t *copy_columns(struct arena *arena, const uint16_t *columns, uint32_t count, bool *ok)
{
	const uint16_t *copy = arena_copy(arena, columns, count * sizeof(*columns));
	*ok &= copy != NULL;
	return copy;
}

/* The names in a type that was copied into the arena: theirs belong to a module that may go before the table does. */
static bool own_names(struct arena *arena, const struct sats_type *type)
{
	bool ok = true;
	if (type->tag == SATS_ARRAY)
		return own_names(arena, type->element);
	if (type->tag != SATS_SUM && type->tag != SATS_PRODUCT)
		return true;
	struct sats_element *elements = (struct sats_element *)(uintptr_t)type->elements;
	for (uint32_t i = 0; ok && i < type->count; i++) {
		elements[i].name = copy_str(arena, elements[i].name, &ok);
		ok = ok && own_names(arena, elements[i].type);
	}
	return ok;
}

/* An index is unique if and only if a constraint covers the same set of columns. */
static bool is_constrained(const struct store_table_def *def, const struct store_index_def *ix)
{
	for (uint32_t i = 0; i < def->constraint_count; i++)
		if (same_columns(def->constraints[i].columns, def->constraints[i].column_count, ix->columns,
			ix->column_count))
			return true;
	return false;
}

bool table_def_copy(struct arena *arena, const struct store_table_def *def, struct store_table_def *out)
{
	bool ok = true;
	struct store_column *columns = arena_array(arena, def->column_count, sizeof(*columns));
	struct store_index_def *indexes = arena_array(arena, def->index_count, sizeof(*indexes));
	struct store_constraint_def *constraints = arena_array(arena, def->constraint_count, sizeof(*constraints));
	struct store_sequence_def *sequences = arena_array(arena, def->sequence_count, sizeof(*sequences));
	if (columns == NULL || indexes == NULL || constraints == NULL || sequences == NULL)
		return false;
	*out = *def;
	out->columns = columns;
	out->indexes = indexes;
	out->constraints = constraints;
	out->sequences = sequences;
	out->name = copy_str(arena, def->name, &ok);
	out->accessor = copy_str(arena, def->accessor, &ok);
	out->schedule_name = copy_str(arena, def->schedule_name, &ok);
	out->schedule_function = copy_str(arena, def->schedule_function, &ok);
	if (sats_inline(arena, &no_types, def->row_type, &out->row_type, NULL) != WL_OK ||
	    !own_names(arena, out->row_type) || out->row_type->tag != SATS_PRODUCT ||
	    out->row_type->count != def->column_count)
		return false;
	for (uint32_t i = 0; i < def->column_count; i++)
		columns[i] = (struct store_column){
			.name = copy_str(arena, def->columns[i].name, &ok),
			.accessor = copy_str(arena, def->columns[i].accessor, &ok),
			.type = out->row_type->elements[i].type,
		};
	for (uint32_t i = 0; i < def->index_count; i++) {
		indexes[i] = def->indexes[i];
		indexes[i].name = copy_str(arena, def->indexes[i].name, &ok);
		indexes[i].accessor = copy_str(arena, def->indexes[i].accessor, &ok);
		indexes[i].columns = copy_columns(arena, def->indexes[i].columns, def->indexes[i].column_count, &ok);
		indexes[i].unique |= is_constrained(def, &def->indexes[i]);
	}
	for (uint32_t i = 0; i < def->constraint_count; i++) {
		constraints[i] = def->constraints[i];
		constraints[i].name = copy_str(arena, def->constraints[i].name, &ok);
		constraints[i].columns = copy_columns(arena, def->constraints[i].columns,
			def->constraints[i].column_count, &ok);
	}
	for (uint32_t i = 0; i < def->sequence_count; i++) {
		sequences[i] = def->sequences[i];
		sequences[i].name = copy_str(arena, def->sequences[i].name, &ok);
	}
	return ok;
}

/* Takes the arena that holds `def`. */
static enum store_status table_from_def(struct store *store, struct arena *arena, const struct store_table_def *def,
	struct store_table **out)
{
	const struct sats_row_layout *layout;
	struct error error;
	enum wl_err err = sats_row_layout_create(arena, NULL, def->row_type, &layout, &error);
	enum store_status status = err == WL_OK ? STORE_OK : err == WL_ERR_MEMORY ? STORE_MEMORY : STORE_LIMIT;
	struct store_table *t = status == STORE_OK ? table_create(store, def, layout, &status) : NULL;
	if (t == NULL) {
		arena_deinit(arena);
		return status;
	}
	t->arena = *arena;
	status = store_table_add(store, t);
	if (status != STORE_OK) {
		table_destroy(t);
		return status;
	}
	*out = t;
	return STORE_OK;
}

static void arena_for_def(struct arena *arena)
{
	arena_init(arena, (size_t)1 << 30);
	arena->first_bytes = 1024; /* most definitions fit; it stays as long as the table */
}

enum store_status store_table_create(struct store *store, const struct store_table_def *def, struct store_table **out)
{
	ASSERT(store->tx_active);
	struct arena arena;
	arena_for_def(&arena);
	struct store_table_def *copy = arena_zalloc(&arena, sizeof(*copy));
	if (copy == NULL || !table_def_copy(&arena, def, copy)) {
		arena_deinit(&arena);
		return store_fail(store, STORE_MEMORY);
	}
	enum store_status status = system_describe(store, copy);
	if (status != STORE_OK) {
		arena_deinit(&arena);
		return status;
	}
	struct store_table *t;
	status = table_from_def(store, &arena, copy, &t);
	if (status != STORE_OK)
		return store_fail(store, status);
	t->next_created = store->created;
	store->created = t;
	*out = t;
	return schema_note_created(store, t);
}

/* ---- the log's form ---- */

static void put_optional(struct buf *out, struct str s)
{
	buf_put_u8(out, s.data != NULL);
	if (s.data != NULL)
		buf_put_bsatn_str(out, s);
}

static void put_columns(struct buf *out, const uint16_t *columns, uint32_t count)
{
	buf_put_u32(out, count);
	for (uint32_t i = 0; i < count; i++)
		buf_put_u16(out, columns[i]);
}

void store_table_encode(const struct store_table *t, struct buf *out)
{
	const struct store_table_def *def = t->def;
	buf_put_u8(out, ENCODING_VERSION);
	buf_put_u8(out, (uint8_t)((def->is_public ? FLAG_PUBLIC : 0) | (def->is_event ? FLAG_EVENT : 0) |
		(def->is_system ? FLAG_SYSTEM : 0) | (def->is_ephemeral ? FLAG_EPHEMERAL : 0)));
	buf_put_u32(out, def->id);
	buf_put_u32(out, (uint32_t)def->primary_key);
	buf_put_u32(out, (uint32_t)def->schedule_at);
	buf_put_bsatn_str(out, def->name);
	put_optional(out, def->accessor);
	put_optional(out, def->schedule_name);
	put_optional(out, def->schedule_function);
	sats_product_encode(out, def->row_type);
	for (uint32_t i = 0; i < def->column_count; i++) {
		buf_put_bsatn_str(out, def->columns[i].name);
		put_optional(out, def->columns[i].accessor);
	}
	buf_put_u32(out, def->index_count);
	for (uint32_t i = 0; i < def->index_count; i++) {
		const struct store_index_def *ix = &def->indexes[i];
		buf_put_u32(out, ix->id);
		buf_put_u8(out, (uint8_t)(ix->kind << 1 | ix->unique));
		buf_put_bsatn_str(out, ix->name);
		put_optional(out, ix->accessor);
		put_columns(out, ix->columns, ix->column_count);
	}
	buf_put_u32(out, def->constraint_count);
	for (uint32_t i = 0; i < def->constraint_count; i++) {
		buf_put_u32(out, def->constraints[i].id);
		buf_put_bsatn_str(out, def->constraints[i].name);
		put_columns(out, def->constraints[i].columns, def->constraints[i].column_count);
	}
	buf_put_u32(out, def->sequence_count);
	for (uint32_t i = 0; i < def->sequence_count; i++) {
		const struct store_sequence_def *s = &def->sequences[i];
		buf_put_u32(out, s->id);
		buf_put_bsatn_str(out, s->name);
		buf_put_u16(out, s->column);
		const i128 numbers[] = { s->start, s->min, s->max, s->increment, s->allocated };
		for (size_t n = 0; n < ARRAY_COUNT(numbers); n++)
			buf_put_u128(out, (u128)numbers[n]);
	}
}

struct decoder {
	struct reader r;
	struct arena *arena;
	bool no_memory;
};

static struct str get_str(struct decoder *d)
{
	bool ok = true;
	struct str s = copy_str(d->arena, reader_bsatn_str(&d->r), &ok);
	d->no_memory |= !ok;
	return s.data == NULL ? STR("") : s;
}

static struct str get_optional(struct decoder *d)
{
	return reader_u8(&d->r) != 0 ? get_str(d) : (struct str){ NULL, 0 };
}

/* A count of things that take at least `least` bytes each, and room for them. */
static void *get_array(struct decoder *d, size_t size, size_t least, uint32_t *count)
{
	*count = reader_u32(&d->r);
	if (*count > reader_left(&d->r) / least) {
		reader_fail(&d->r, "array", *count);
		*count = 0;
	}
	void *array = arena_array(d->arena, *count, size);
	if (array == NULL) {
		d->no_memory = true;
		*count = 0;
	}
	return array;
}

static const uint16_t *get_columns(struct decoder *d, uint32_t *count)
{
	uint16_t *columns = get_array(d, sizeof(*columns), sizeof(*columns), count);
	for (uint32_t i = 0; i < *count; i++)
		columns[i] = reader_u16(&d->r);
	return columns;
}

static void get_parts(struct decoder *d, struct store_table_def *def)
{
	struct store_index_def *indexes = get_array(d, sizeof(*indexes), 14, &def->index_count);
	def->indexes = indexes;
	for (uint32_t i = 0; i < def->index_count; i++) {
		indexes[i].id = reader_u32(&d->r);
		uint8_t kind = reader_u8(&d->r);
		if (kind >> 1 > STORE_DIRECT)
			reader_fail(&d->r, "index kind", 1);
		indexes[i].kind = kind >> 1;
		indexes[i].unique = kind & 1;
		indexes[i].name = get_str(d);
		indexes[i].accessor = get_optional(d);
		indexes[i].columns = get_columns(d, &indexes[i].column_count);
	}
	struct store_constraint_def *constraints = get_array(d, sizeof(*constraints), 12, &def->constraint_count);
	def->constraints = constraints;
	for (uint32_t i = 0; i < def->constraint_count; i++) {
		constraints[i].id = reader_u32(&d->r);
		constraints[i].name = get_str(d);
		constraints[i].columns = get_columns(d, &constraints[i].column_count);
	}
	struct store_sequence_def *sequences = get_array(d, sizeof(*sequences), 90, &def->sequence_count);
	def->sequences = sequences;
	for (uint32_t i = 0; i < def->sequence_count; i++) {
		sequences[i].id = reader_u32(&d->r);
		sequences[i].name = get_str(d);
		sequences[i].column = reader_u16(&d->r);
		i128 *numbers[] = { &sequences[i].start, &sequences[i].min, &sequences[i].max,
			&sequences[i].increment, &sequences[i].allocated };
		for (size_t n = 0; n < ARRAY_COUNT(numbers); n++)
			*numbers[n] = (i128)reader_u128(&d->r);
	}
}

static enum wl_err get_def(struct decoder *d, struct store_table_def *def, struct error *error)
{
	if (reader_u8(&d->r) != ENCODING_VERSION)
		return fail(error, WL_ERR_CORRUPT, "table definition of an unknown version");
	uint8_t flags = reader_u8(&d->r);
	def->is_public = flags & FLAG_PUBLIC;
	def->is_event = flags & FLAG_EVENT;
	def->is_system = flags & FLAG_SYSTEM;
	def->is_ephemeral = flags & FLAG_EPHEMERAL;
	def->id = reader_u32(&d->r);
	def->primary_key = (int32_t)reader_u32(&d->r);
	def->schedule_at = (int32_t)reader_u32(&d->r);
	def->name = get_str(d);
	def->accessor = get_optional(d);
	def->schedule_name = get_optional(d);
	def->schedule_function = get_optional(d);
	const struct sats_type *type;
	enum wl_err err = sats_product_decode(d->arena, &d->r, &type, error);
	if (err == WL_OK && !d->r.failed)
		err = sats_inline(d->arena, &no_types, type, &def->row_type, error);
	if (err == WL_ERR_MEMORY || d->no_memory)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	if (err != WL_OK || d->r.failed)
		return fail(error, WL_ERR_CORRUPT, "table definition does not decode");
	def->column_count = def->row_type->count;
	struct store_column *columns = arena_array(d->arena, def->column_count, sizeof(*columns));
	if (columns == NULL)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	def->columns = columns;
	for (uint32_t i = 0; i < def->column_count; i++) {
		columns[i].name = get_str(d);
		columns[i].accessor = get_optional(d);
		columns[i].type = def->row_type->elements[i].type;
	}
	get_parts(d, def);
	if (d->no_memory)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	if (d->r.failed || reader_left(&d->r) > 0)
		return fail(error, WL_ERR_CORRUPT, "table definition does not decode");
	return WL_OK;
}

static bool ids_are_free(struct store *store, const struct store_table_def *def)
{
	if (def->id <= STORE_SYSTEM_ID_MAX || store_table_by_id(store, def->id) != NULL)
		return false;
	for (uint32_t i = 0; i < def->index_count; i++)
		if (def->indexes[i].id <= STORE_SYSTEM_ID_MAX || store_index_by_id(store, def->indexes[i].id) != NULL)
			return false;
	return true;
}

enum wl_err replay_table(struct store *store, const uint8_t *encoded, size_t len, struct store_table **out,
	struct error *error)
{
	ASSERT(!store->tx_active);
	struct arena arena;
	arena_for_def(&arena);
	struct decoder d = { .r = reader_of(encoded, len), .arena = &arena };
	struct store_table_def *def = arena_zalloc(&arena, sizeof(*def));
	enum wl_err err = def == NULL ? fail(error, WL_ERR_MEMORY, "out of memory") : get_def(&d, def, error);
	if (err == WL_OK && !ids_are_free(store, def))
		err = fail(error, WL_ERR_CORRUPT, "table %u is defined twice", def->id);
	if (err != WL_OK) {
		arena_deinit(&arena);
		return err;
	}
	uint32_t id = def->id;
	enum store_status status = table_from_def(store, &arena, def, out);
	if (status == STORE_MEMORY)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	return status == STORE_OK ? WL_OK : fail(error, WL_ERR_CORRUPT, "definition of table %u makes no sense", id);
}

enum wl_err store_replay_table(struct store *store, const uint8_t *encoded, size_t len, struct error *error)
{
	struct store_table *t;
	return replay_table(store, encoded, len, &t, error);
}
