/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_UTIL_H
#define STORE_UTIL_H
/* Tables for tests of the store, from short descriptions: columns "name:type", indexes "!0 1,2 #0 =0" (column numbers;
 * '!' unique, '#' hash, '=' direct). */
#include "base/mem.h"
#include "store/store.h"

#ifdef UTIL_WITHOUT_CHECK /* fuzz targets */
#define ck_assert_int_eq(a, b) ASSERT((a) == (b))
#define ck_assert_ptr_nonnull(p) ASSERT((p) != NULL)
#define ck_assert(x) ASSERT(x)
#define ck_abort_msg(...) ASSERT(!"unexpected")
#else
#include <check.h>
#endif
#include <stdio.h>

enum { UTIL_MAX = 16 };
struct fixture {
	struct store *s;
	struct store_table *t;
	struct store_index *index[UTIL_MAX];
	uint32_t index_count;
	struct arena arena;
	char text[1024];
};

static inline const struct sats_type *util_special(struct arena *arena, const char *field, const struct sats_type *type)
{
	struct sats_element element = { str_of(field), type };
	return sats_product_of(arena, &element, 1);
}

static inline const struct sats_type *util_type(struct arena *arena, char letter)
{
	const struct sats_type *p = sats_primitive;
	switch (letter) {
	case 'b': return &p[SATS_BOOL];
	case 'c': return &p[SATS_I8];
	case 'B': return &p[SATS_U8];
	case 'h': return &p[SATS_U16];
	case 'H': return &p[SATS_I16];
	case 'u': return &p[SATS_U32];
	case 'i': return &p[SATS_I32];
	case 'w': return &p[SATS_U64];
	case 'l': return &p[SATS_I64];
	case 'J': return &p[SATS_U128];
	case 'I': return &p[SATS_I128];
	case 'K': return &p[SATS_U256];
	case 'L': return &p[SATS_I256];
	case 'A': return sats_array_of(arena, &p[SATS_STRING]);
	case 'n': return util_special(arena, "__identity__", &p[SATS_U256]);
	case 'C': return util_special(arena, "__connection_id__", &p[SATS_U128]);
	case 'U': return util_special(arena, "__uuid__", &p[SATS_U128]);
	case 't': return util_special(arena, "__timestamp_micros_since_unix_epoch__", &p[SATS_I64]);
	case 'D': return util_special(arena, "__time_duration_micros__", &p[SATS_I64]);
	case 'f': return &p[SATS_F32];
	case 'd': return &p[SATS_F64];
	case 's': return &p[SATS_STRING];
	case 'a': return &sats_bytes;
	case 'o': return sats_option_of(arena, &p[SATS_U32]);
	case 'e': {
		struct sats_element v[] = { { STR("Red"), &sats_unit }, { STR("Green"), &sats_unit },
			{ STR("Blue"), &sats_unit } };
		return sats_sum_of(arena, v, 3);
	}
	case 'p': {
		struct sats_element v[] = { { STR("x"), &p[SATS_I32] }, { STR("y"), &p[SATS_F32] } };
		return sats_product_of(arena, v, 2);
	}
	case 'S': {
		struct sats_element duration[] = { { STR("__time_duration_micros__"), &p[SATS_I64] } };
		struct sats_element stamp[] = { { STR("__timestamp_micros_since_unix_epoch__"), &p[SATS_I64] } };
		struct sats_element v[] = { { STR("Interval"), sats_product_of(arena, duration, 1) },
			{ STR("Time"), sats_product_of(arena, stamp, 1) } };
		return sats_sum_of(arena, v, 2);
	}
	default: ck_abort_msg("no type %c", letter);
	}
	return NULL;
}

/* Definition in the arena, all ids 0. */
static inline struct store_table_def *util_def(struct arena *arena, const char *name, const char *columns,
	const char *indexes, int32_t primary_key)
{
	struct store_table_def *def = arena_zalloc(arena, sizeof(*def));
	struct store_column *cols = arena_array(arena, 64, sizeof(*cols));
	struct sats_element *elements = arena_array(arena, 64, sizeof(*elements));
	for (const char *at = columns; *at != '\0';) {
		const char *colon = strchr(at, ':');
		uint32_t i = def->column_count++;
		cols[i].name = (struct str){ at, (size_t)(colon - at) };
		cols[i].type = util_type(arena, colon[1]);
		elements[i] = (struct sats_element){ cols[i].name, cols[i].type };
		at = colon + (colon[2] == ' ' ? 3 : 2);
	}
	struct store_index_def *ixs = arena_array(arena, UTIL_MAX, sizeof(*ixs));
	struct store_constraint_def *cons = arena_array(arena, UTIL_MAX, sizeof(*cons));
	for (const char *at = indexes; *at != '\0';) {
		struct store_index_def *ix = &ixs[def->index_count];
		uint16_t *list = arena_array(arena, UTIL_MAX, sizeof(*list));
		for (; *at != '\0' && *at != ' '; at++) {
			if (*at == '!')
				ix->unique = true;
			else if (*at == '#')
				ix->kind = STORE_HASH;
			else if (*at == '=')
				ix->kind = STORE_DIRECT;
			else if (*at != ',')
				list[ix->column_count++] = (uint16_t)(*at - '0');
		}
		at += *at == ' ';
		ix->columns = list;
		ix->name = arena_printf(arena, "%s_%u_idx", name, def->index_count);
		ix->accessor = arena_printf(arena, "%s_alias%u", name, def->index_count);
		if (ix->unique)
			cons[def->constraint_count++] = (struct store_constraint_def){ .name = arena_printf(arena, "%s_%u_key",
				name, def->index_count), .columns = list, .column_count = ix->column_count };
		def->index_count++;
	}
	def->name = str_of(name);
	def->accessor = arena_printf(arena, "%sAccessor", name);
	def->row_type = sats_product_of(arena, elements, def->column_count);
	def->columns = cols;
	def->indexes = ixs;
	def->constraints = cons;
	def->primary_key = primary_key;
	def->schedule_at = -1;
	def->is_public = true;
	return def;
}

static inline struct fixture fixture_of(struct arena arena, const struct store_table_def *def)
{
	struct fixture f = { .arena = arena };
	f.s = store_create();
	ck_assert_ptr_nonnull(f.s);
	store_tx_begin(f.s);
	ck_assert_int_eq(store_table_create(f.s, def, &f.t), STORE_OK);
	struct store_delta delta;
	ck_assert_int_eq(store_tx_commit(f.s, &delta), STORE_OK);
	f.index_count = def->index_count;
	for (uint32_t i = 0; i < def->index_count; i++)
		f.index[i] = store_index_by_name(f.s, def->indexes[i].name);
	return f;
}

static inline struct fixture fixture_new(const char *columns, const char *indexes, int32_t primary_key)
{
	struct arena arena;
	arena_init(&arena, 1 << 24);
	return fixture_of(arena, util_def(&arena, "t", columns, indexes, primary_key));
}

static inline struct fixture fixture_event(const char *columns, const char *indexes, int32_t primary_key)
{
	struct arena arena;
	arena_init(&arena, 1 << 24);
	struct store_table_def *def = util_def(&arena, "t", columns, indexes, primary_key);
	def->is_event = true;
	return fixture_of(arena, def);
}

static inline struct fixture fixture_seq(const char *columns, const char *indexes, int32_t primary_key, uint16_t column,
	i128 start, i128 min, i128 max, i128 increment)
{
	struct arena arena;
	arena_init(&arena, 1 << 24);
	struct store_table_def *def = util_def(&arena, "t", columns, indexes, primary_key);
	struct store_sequence_def seq = { 0, STR("t_seq"), column, start, min, max, increment, 0 };
	def->sequences = arena_copy(&arena, &seq, sizeof(seq));
	def->sequence_count = 1;
	return fixture_of(arena, def);
}

static inline void fixture_free(struct fixture *f)
{
	store_destroy(f->s);
	arena_deinit(&f->arena);
}

static inline enum store_status put(struct fixture *f, const void *row, size_t len)
{
	uint8_t copy[4096];
	memcpy(copy, row, len);
	return store_insert(f->s, f->t, copy, &len, NULL);
}

static inline enum store_status change(struct fixture *f, uint32_t index, const void *row, size_t len)
{
	uint8_t copy[4096];
	memcpy(copy, row, len);
	return store_update(f->s, f->t, f->index[index], copy, &len, NULL);
}

static inline uint32_t drop(struct fixture *f, const void *row, size_t len)
{
	uint8_t relation[4096];
	uint32_t deleted = UINT32_MAX;
	store_u32(relation, 1);
	memcpy(relation + 4, row, len);
	ck_assert_int_eq(store_delete_all_by_eq(f->s, f->t, relation, len + 4, &deleted), STORE_OK);
	return deleted;
}

static inline struct store_delta commit(struct fixture *f)
{
	struct store_delta delta;
	ck_assert_int_eq(store_tx_commit(f->s, &delta), STORE_OK);
	return delta;
}

static inline const char *error_text(struct fixture *f)
{
	struct str text = store_error_text(f->s);
	snprintf(f->text, sizeof(f->text), "%.*s", STR_FMT(text));
	return f->text;
}

/* (u64, string) */
static inline size_t make_row(uint8_t *row, uint64_t id, const char *text)
{
	size_t len = strlen(text);
	store_u64(row, id);
	store_u32(row + 8, (uint32_t)len);
	memcpy(row + 12, text, len);
	return 12 + len;
}

/* st_sequence.allocated of the table's sequence. */
static inline int64_t sequence_row(struct fixture *f)
{
	uint8_t id[4];
	store_u32(id, store_table_def(f->t)->sequences[0].id);
	struct store_cursor c;
	struct store_row row;
	ck_assert_int_eq(store_scan_point(store_index_by_id(f->s, 4), id, 4, &c), STORE_OK);
	ck_assert(store_cursor_next(&c, &row));
	return (int64_t)load_u64(row.data + row.len - 16);
}
#endif
