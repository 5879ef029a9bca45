/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system tables (datastore section 2): what they look like, their
 * first rows, and the rows that describe every other table.
 *
 * Their definitions are made once per process from the table below and live
 * as long as it does. Ids count up in the order written here: indexes,
 * constraints (the unique indexes) and sequences.
 */
#include "store/store_internal.h"

#include <pthread.h>
#include <stdio.h>

/* Columns "name:type" in order, the type one of column_type()'s letters; keys as column numbers, '!' = unique. */
struct system_spec {
	const char *name, *columns, *indexes;
	int8_t primary_key;
	bool sequence; /* of the primary key */
	bool is_private;
};
static const struct system_spec specs[ST_TABLE_COUNT + 1] = {
	[ST_TABLE] = { "st_table", "table_id:u table_name:s table_type:s table_access:s table_primary_key:p",
		"!0 !1", 0, true, false },
	[ST_COLUMN] = { "st_column", "table_id:u col_pos:h col_name:s col_type:a", "!0,1", -1, false, false },
	[ST_SEQUENCE] = { "st_sequence", "sequence_id:u sequence_name:s table_id:u col_pos:h increment:I start:I "
		"min_value:I max_value:I allocated:I", "!0", 0, true, false },
	[ST_INDEX] = { "st_index", "index_id:u table_id:u index_name:s index_algorithm:A", "!0", 0, true, false },
	[ST_CONSTRAINT] = { "st_constraint", "constraint_id:u constraint_name:s table_id:u constraint_data:C", "!0", 0,
		true, false },
	[ST_MODULE] = { "st_module", "database_identity:K owner_identity:K program_kind:B program_hash:K "
		"program_bytes:a module_version:s", "", -1, false, false },
	[ST_CLIENT] = { "st_client", "identity:K connection_id:J", "!0,1", -1, false, false },
	[ST_VAR] = { "st_var", "name:s value:V", "!0", 0, false, false },
	[ST_SCHEDULED] = { "st_scheduled", "schedule_id:u table_id:u reducer_name:s schedule_name:s at_column:h",
		"!0 !1", 0, true, false },
	[ST_ROW_LEVEL_SECURITY] = { "st_row_level_security", "table_id:u sql:s", "0 !1", 1, false, false },
	[ST_CONNECTION_CREDENTIALS] = { "st_connection_credentials", "connection_id:J jwt_payload:s", "!0", 0, false,
		true },
	[ST_VIEW] = { "st_view", "view_id:u view_name:s table_id:o is_public:b is_anonymous:b", "!0 !1", 0, true,
		false },
	[ST_VIEW_PARAM] = { "st_view_param", "view_id:u param_pos:h param_name:s param_type:a", "!0,1", -1, false,
		false },
	[ST_VIEW_COLUMN] = { "st_view_column", "view_id:u col_pos:h col_name:s col_type:a", "!0,1", -1, false, false },
	[ST_VIEW_SUB] = { "st_view_sub", "view_id:u arg_id:w identity:K num_subscribers:w has_subscribers:b "
		"last_called:l", "2 4 0,1,2", -1, false, false },
	[ST_VIEW_ARG] = { "st_view_arg", "id:w bytes:a", "!0 !1", 0, true, false },
	[ST_EVENT_TABLE] = { "st_event_table", "table_id:u", "!0", 0, false, false },
	[ST_TABLE_ACCESSOR] = { "st_table_accessor", "table_name:s accessor_name:s", "!0 !1", -1, false, false },
	[ST_INDEX_ACCESSOR] = { "st_index_accessor", "index_name:s accessor_name:s", "!0 !1", -1, false, false },
	[ST_COLUMN_ACCESSOR] = { "st_column_accessor", "table_name:s col_name:s accessor_name:s", "!0,1 !0,2", -1, false,
		false },
	[ST_ENV] = { "st_env", "key:s value:s", "!0", 0, false, true },
};
/* Sequences in order of their ids, which is not the tables'. */
static const uint8_t sequence_tables[] = { ST_TABLE, ST_INDEX, ST_CONSTRAINT, ST_SCHEDULED, ST_SEQUENCE, ST_VIEW,
	ST_VIEW_ARG };
enum { SEQUENCE_COUNT = ARRAY_COUNT(sequence_tables) };

static struct system_tables shared;
static struct arena shared_arena;
static pthread_once_t shared_once = PTHREAD_ONCE_INIT;

/* ---- definitions, at start-up of the process ---- */

static void *start_up_array(size_t count, size_t size)
{
	return mem_or_abort(arena_array(&shared_arena, count, size));
}

static const struct sats_type *sum_of(const char *const *names, const struct sats_type *const *types, uint32_t count)
{
	struct sats_element *variants = start_up_array(count, sizeof(*variants));
	for (uint32_t i = 0; i < count; i++)
		variants[i] = (struct sats_element){ str_of(names[i]), types[i] };
	return mem_or_abort((void *)(uintptr_t)sats_sum_of(&shared_arena, variants, count));
}

static const struct sats_type *column_type(char letter)
{
	const struct sats_type *const p = sats_primitive;
	const struct sats_type *columns = sats_array_of(&shared_arena, &p[SATS_U16]);
	switch (letter) {
	case 'b': return &p[SATS_BOOL];
	case 'B': return &p[SATS_U8];
	case 'h': return &p[SATS_U16];
	case 'u': return &p[SATS_U32];
	case 'w': return &p[SATS_U64];
	case 'l': return &p[SATS_I64];
	case 'I': return &p[SATS_I128];
	case 'J': return &p[SATS_U128];
	case 'K': return &p[SATS_U256];
	case 's': return &p[SATS_STRING];
	case 'a': return &sats_bytes;
	case 'o': return sats_option_of(&shared_arena, &p[SATS_U32]);
	case 'p': return sats_option_of(&shared_arena, columns);
	case 'A': {
		static const char *const names[] = { "Unused", "BTree", "Direct", "Hash" };
		const struct sats_type *types[] = { &p[SATS_U128], columns, &p[SATS_U16], columns };
		return sum_of(names, types, ARRAY_COUNT(types));
	}
	case 'C': {
		static const char *const names[] = { "Unused", "Unique" };
		const struct sats_type *types[] = { &p[SATS_U128], columns };
		return sum_of(names, types, ARRAY_COUNT(types));
	}
	default: {
		ASSERT(letter == 'V');
		static const char *const names[] = { "Bool", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "I128",
			"U128", "F32", "F64", "String" };
		const struct sats_type *types[] = { &p[SATS_BOOL], &p[SATS_I8], &p[SATS_U8], &p[SATS_I16], &p[SATS_U16],
			&p[SATS_I32], &p[SATS_U32], &p[SATS_I64], &p[SATS_U64], &p[SATS_I128], &p[SATS_U128],
			&p[SATS_F32], &p[SATS_F64], &p[SATS_STRING] };
		return sum_of(names, types, ARRAY_COUNT(types));
	}
	}
}

static uint32_t count_char(const char *text, char c)
{
	uint32_t count = 0;
	for (; *text != '\0'; text++)
		count += *text == c;
	return count;
}

static void make_columns(const struct system_spec *spec, struct store_table_def *def)
{
	uint32_t count = count_char(spec->columns, ':');
	struct store_column *columns = start_up_array(count, sizeof(*columns));
	struct sats_element *elements = start_up_array(count, sizeof(*elements));
	const char *at = spec->columns;
	for (uint32_t i = 0; i < count; i++) {
		const char *colon = strchr(at, ':');
		columns[i].name = (struct str){ at, (size_t)(colon - at) };
		columns[i].type = mem_or_abort((void *)(uintptr_t)column_type(colon[1]));
		elements[i] = (struct sats_element){ columns[i].name, columns[i].type };
		at = colon + (colon[2] == ' ' ? 3 : 2);
	}
	def->columns = columns;
	def->column_count = count;
	def->row_type = mem_or_abort((void *)(uintptr_t)sats_product_of(&shared_arena, elements, count));
}

/* {table}_{col}_{col}_{ending} */
static struct str object_name(const struct store_table_def *def, const uint16_t *columns, uint32_t count,
	const char *ending)
{
	struct str name = def->name;
	for (uint32_t i = 0; i < count; i++) {
		struct str column = def->columns[columns[i]].name;
		name = arena_printf(&shared_arena, "%.*s_%.*s", STR_FMT(name), STR_FMT(column));
		mem_or_abort((void *)(uintptr_t)name.data);
	}
	name = arena_printf(&shared_arena, "%.*s_%s", STR_FMT(name), ending);
	mem_or_abort((void *)(uintptr_t)name.data);
	return name;
}

static void make_indexes(const struct system_spec *spec, struct store_table_def *def, uint32_t *constraint_id)
{
	uint32_t count = *spec->indexes == '\0' ? 0 : count_char(spec->indexes, ' ') + 1;
	struct store_index_def *indexes = start_up_array(count, sizeof(*indexes));
	struct store_constraint_def *constraints = start_up_array(count, sizeof(*constraints));
	const char *at = spec->indexes;
	for (uint32_t i = 0; i < count; i++, at++) {
		uint16_t *columns = start_up_array(STORE_INDEX_COLUMNS_MAX, sizeof(*columns));
		struct store_index_def *ix = &indexes[i];
		ix->unique = *at == '!';
		at += ix->unique;
		for (; *at != '\0' && *at != ' '; at++)
			if (*at != ',')
				columns[ix->column_count++] = (uint16_t)(*at - '0');
		ix->columns = columns;
		ix->kind = STORE_BTREE;
		ix->id = ++shared.index_count;
		ix->name = object_name(def, columns, ix->column_count, "idx_btree");
		bool put = map_put(&shared.index_names, ix->name.data, ix->name.len, ix->id);
		ASSERT(put);
		if (!ix->unique)
			continue;
		constraints[def->constraint_count++] = (struct store_constraint_def){
			.id = ++*constraint_id,
			.name = object_name(def, columns, ix->column_count, "key"),
			.columns = columns,
			.column_count = ix->column_count,
		};
	}
	def->indexes = indexes;
	def->index_count = count;
	def->constraints = constraints;
}

static void make_sequence(struct store_table_def *def)
{
	struct store_sequence_def *s = start_up_array(1, sizeof(*s));
	for (uint32_t i = 0; i < SEQUENCE_COUNT; i++)
		if (sequence_tables[i] == def->id)
			s->id = i + 1;
	s->column = (uint16_t)def->primary_key;
	s->name = object_name(def, &s->column, 1, "seq");
	s->start = STORE_FIRST_USER_ID + 1;
	s->min = 1;
	s->max = (i128)(((u128)1 << 127) - 1);
	s->increment = 1;
	s->allocated = STORE_FIRST_USER_ID;
	def->sequences = s;
	def->sequence_count = 1;
}

static void make_shared(void)
{
	arena_init(&shared_arena, 1 << 20);
	uint32_t constraint_id = 0;
	for (uint32_t id = 1; id <= ST_TABLE_COUNT; id++) {
		const struct system_spec *spec = &specs[id];
		struct store_table_def *def = &shared.defs[id];
		*def = (struct store_table_def){
			.id = id,
			.name = str_of(spec->name),
			.primary_key = spec->primary_key,
			.schedule_at = -1,
			.is_public = !spec->is_private,
			.is_system = true,
		};
		make_columns(spec, def);
		make_indexes(spec, def, &constraint_id);
		if (spec->sequence)
			make_sequence(def);
		enum wl_err err = sats_row_layout_create(&shared_arena, NULL, def->row_type, &shared.layouts[id], NULL);
		ASSERT(err == WL_OK);
		bool put = map_put(&shared.table_names, def->name.data, def->name.len, id);
		ASSERT(put);
	}
	ASSERT(shared.defs[ST_ENV].indexes[0].id == ST_ENV_KEY_INDEX);
}

const struct system_tables *system_tables(void)
{
	pthread_once(&shared_once, make_shared);
	return &shared;
}

/* ---- rows ---- */

/* A row that grows column by column, and where it goes. */
struct writer {
	struct store *store;
	struct buf row;
};

/* Inserts the row, which begins with an id; `id` receives the one it got. */
static enum store_status put_row(struct writer *w, uint32_t table, uint32_t *id)
{
	enum store_status status = STORE_MEMORY;
	size_t len = w->row.len;
	if (!w->row.failed)
		status = store_insert(w->store, w->store->system[table], w->row.data, &len, NULL);
	if (status == STORE_OK && id != NULL && *id == 0)
		*id = load_u32(w->row.data);
	buf_clear(&w->row);
	return status == STORE_MEMORY ? store_fail(w->store, status) : status;
}

static void put_columns(struct buf *row, const uint16_t *columns, uint32_t count)
{
	buf_put_u32(row, count);
	for (uint32_t i = 0; i < count; i++)
		buf_put_u16(row, columns[i]);
}

static enum store_status describe_table(struct writer *w, struct store_table_def *def)
{
	struct buf *row = &w->row;
	buf_put_u32(row, def->id);
	buf_put_bsatn_str(row, def->name);
	buf_put_bsatn_str(row, def->is_system ? STR("system") : STR("user"));
	buf_put_bsatn_str(row, def->is_public ? STR("public") : STR("private"));
	uint16_t key = (uint16_t)def->primary_key;
	buf_put_u8(row, def->primary_key < 0);
	if (def->primary_key >= 0)
		put_columns(row, &key, 1);
	enum store_status status = put_row(w, ST_TABLE, &def->id);
	if (status != STORE_OK || def->accessor.data == NULL)
		return status;
	buf_put_bsatn_str(row, def->name);
	buf_put_bsatn_str(row, def->accessor);
	return put_row(w, ST_TABLE_ACCESSOR, NULL);
}

static enum store_status describe_columns(struct writer *w, const struct store_table_def *def)
{
	enum store_status status = STORE_OK;
	struct buf type = BUF_INIT(STORE_ROW_BYTES_MAX);
	for (uint32_t i = 0; status == STORE_OK && i < def->column_count; i++) {
		const struct store_column *column = &def->columns[i];
		buf_clear(&type);
		sats_type_encode(&type, column->type);
		buf_put_u32(&w->row, def->id);
		buf_put_u16(&w->row, (uint16_t)i);
		buf_put_bsatn_str(&w->row, column->name);
		buf_put_bsatn_bytes(&w->row, type.data, type.len);
		w->row.failed |= type.failed;
		status = put_row(w, ST_COLUMN, NULL);
		if (status != STORE_OK || column->accessor.data == NULL)
			continue;
		buf_put_bsatn_str(&w->row, def->name);
		buf_put_bsatn_str(&w->row, column->name);
		buf_put_bsatn_str(&w->row, column->accessor);
		status = put_row(w, ST_COLUMN_ACCESSOR, NULL);
	}
	buf_deinit(&type);
	return status;
}

static enum store_status describe_schedule(struct writer *w, const struct store_table_def *def)
{
	enum store_status status = STORE_OK;
	if (def->schedule_at >= 0) {
		buf_put_u32(&w->row, 0);
		buf_put_u32(&w->row, def->id);
		buf_put_bsatn_str(&w->row, def->schedule_function);
		buf_put_bsatn_str(&w->row, def->schedule_name);
		buf_put_u16(&w->row, (uint16_t)def->schedule_at);
		status = put_row(w, ST_SCHEDULED, NULL);
	}
	if (status == STORE_OK && def->is_event) {
		buf_put_u32(&w->row, def->id);
		status = put_row(w, ST_EVENT_TABLE, NULL);
	}
	return status;
}

static enum store_status describe_index(struct writer *w, const struct store_table_def *def,
	struct store_index_def *ix)
{
	enum { TAG_BTREE = 1, TAG_DIRECT = 2, TAG_HASH = 3 };
	buf_put_u32(&w->row, ix->id);
	buf_put_u32(&w->row, def->id);
	buf_put_bsatn_str(&w->row, ix->name);
	if (ix->kind == STORE_DIRECT) {
		buf_put_u8(&w->row, TAG_DIRECT);
		buf_put_u16(&w->row, ix->columns[0]);
	} else {
		buf_put_u8(&w->row, ix->kind == STORE_HASH ? TAG_HASH : TAG_BTREE);
		put_columns(&w->row, ix->columns, ix->column_count);
	}
	enum store_status status = put_row(w, ST_INDEX, &ix->id);
	if (status != STORE_OK || ix->accessor.data == NULL)
		return status;
	buf_put_bsatn_str(&w->row, ix->name);
	buf_put_bsatn_str(&w->row, ix->accessor);
	return put_row(w, ST_INDEX_ACCESSOR, NULL);
}

static enum store_status describe_constraint(struct writer *w, const struct store_table_def *def,
	struct store_constraint_def *constraint)
{
	buf_put_u32(&w->row, constraint->id);
	buf_put_bsatn_str(&w->row, constraint->name);
	buf_put_u32(&w->row, def->id);
	buf_put_u8(&w->row, 1);
	put_columns(&w->row, constraint->columns, constraint->column_count);
	return put_row(w, ST_CONSTRAINT, &constraint->id);
}

static enum store_status describe_sequence(struct writer *w, const struct store_table_def *def,
	struct store_sequence_def *s)
{
	if (s->id == 0)
		s->allocated = s->start;
	buf_put_u32(&w->row, s->id);
	buf_put_bsatn_str(&w->row, s->name);
	buf_put_u32(&w->row, def->id);
	buf_put_u16(&w->row, s->column);
	const i128 numbers[] = { s->increment, s->start, s->min, s->max, s->allocated };
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
		buf_put_u128(&w->row, (u128)numbers[i]);
	return put_row(w, ST_SEQUENCE, &s->id);
}

/* The definition is a copy of ours: its parts may be written to. */
#define OURS(type, part) ((struct type *)(uintptr_t)(part))

enum store_status system_describe(struct store *store, struct store_table_def *def)
{
	struct writer w = { store, BUF_INIT(STORE_ROW_BYTES_MAX) };
	enum store_status status = describe_table(&w, def);
	if (status == STORE_OK)
		status = describe_columns(&w, def);
	if (status == STORE_OK)
		status = describe_schedule(&w, def);
	for (uint32_t i = 0; status == STORE_OK && i < def->index_count; i++)
		status = describe_index(&w, def, OURS(store_index_def, &def->indexes[i]));
	for (uint32_t i = 0; status == STORE_OK && i < def->constraint_count; i++)
		status = describe_constraint(&w, def, OURS(store_constraint_def, &def->constraints[i]));
	for (uint32_t i = 0; status == STORE_OK && i < def->sequence_count; i++)
		status = describe_sequence(&w, def, OURS(store_sequence_def, &def->sequences[i]));
	buf_deinit(&w.row);
	return status;
}

/* ---- gone again ---- */

/* Deletes the rows of a system table whose column has these bytes. */
static enum store_status forget_where(struct store *store, uint32_t table_id, uint32_t column, struct bytes value)
{
	struct store_table *t = store->system[table_id];
	struct store_cursor cursor;
	struct store_row row;
	store_scan(t, &cursor);
	while (store_cursor_next(&cursor, &row)) {
		const uint8_t *at = sats_column(t->layout, row.data, column);
		size_t size = sats_size(t->layout->columns[column], at);
		if (size != value.len || memcmp(at, value.data, size) != 0)
			continue;
		enum store_status status = store_delete(store, t, row.number);
		if (status != STORE_OK)
			return status;
		store_scan(t, &cursor); /* a write ends a cursor */
	}
	return STORE_OK;
}

static enum store_status forget_named(struct store *store, uint32_t table_id, struct str name)
{
	struct buf key = BUF_INIT(STORE_ROW_BYTES_MAX);
	buf_put_bsatn_str(&key, name);
	enum store_status status = key.failed ? store_fail(store, STORE_MEMORY)
		: forget_where(store, table_id, 0, buf_bytes(&key));
	buf_deinit(&key);
	return status;
}

enum store_status system_forget(struct store *store, const struct store_table_def *def)
{
	static const struct { uint32_t table, column; } BY_ID[] = { { ST_TABLE, 0 }, { ST_COLUMN, 0 }, { ST_SEQUENCE, 2 },
		{ ST_INDEX, 1 }, { ST_CONSTRAINT, 2 }, { ST_SCHEDULED, 1 }, { ST_EVENT_TABLE, 0 } };
	uint8_t id[4];
	store_u32(id, def->id);
	enum store_status status = STORE_OK;
	for (size_t i = 0; status == STORE_OK && i < ARRAY_COUNT(BY_ID); i++)
		status = forget_where(store, BY_ID[i].table, BY_ID[i].column, (struct bytes){ id, sizeof(id) });
	if (status == STORE_OK)
		status = forget_named(store, ST_TABLE_ACCESSOR, def->name);
	if (status == STORE_OK)
		status = forget_named(store, ST_COLUMN_ACCESSOR, def->name);
	for (uint32_t i = 0; status == STORE_OK && i < def->index_count; i++)
		status = forget_named(store, ST_INDEX_ACCESSOR, def->indexes[i].name);
	return status;
}

/* ---- a new database ---- */

static bool create_tables(struct store *store)
{
	const struct system_tables *all = system_tables();
	store->system_indexes = mem_zalloc_array(all->index_count + 1, sizeof(struct store_index *));
	if (store->system_indexes == NULL)
		return false;
	for (uint32_t id = 1; id <= ST_TABLE_COUNT; id++) {
		enum store_status status;
		struct store_table *t = table_create(store, &all->defs[id], all->layouts[id], &status);
		if (t == NULL)
			return false;
		store->system[id] = t;
		for (uint32_t i = 0; i < t->index_count; i++)
			store->system_indexes[t->indexes[i]->def->id] = t->indexes[i];
	}
	return true;
}

enum store_status store_system_describe(struct store *store, uint32_t table_id)
{
	static const uint16_t id_column = 0;
	uint8_t key[sizeof(uint32_t)];
	struct store_cursor cursor;
	struct store_row row;
	store_u32(key, table_id);
	struct store_index *index = store_table_index_on(store->system[ST_TABLE], &id_column, 1);
	if (store_scan_point(index, key, sizeof(key), &cursor) == STORE_OK && store_cursor_next(&cursor, &row))
		return STORE_OK;
	struct store_table_def def = system_tables()->defs[table_id];
	return system_describe(store, &def);
}

bool system_bootstrap(struct store *store)
{
	if (!create_tables(store))
		return false;
	store_tx_begin(store);
	for (uint32_t id = 1; id <= ST_DESCRIBED_COUNT; id++) {
		/* All ids are given: nothing in it is written to. */
		struct store_table_def def = system_tables()->defs[id];
		if (system_describe(store, &def) != STORE_OK) {
			store_tx_rollback(store);
			return false;
		}
	}
	tx_commit_quietly(store);
	for (uint32_t id = 1; id <= ST_TABLE_COUNT; id++)
		lists_free(store->system[id]);
	return true;
}
