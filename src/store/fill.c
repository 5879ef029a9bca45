/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An index over rows that are there already. Entries are put in in the order
 * of their keys, so many of them sorted at a time: neighbours then share the
 * path to their leaf, where in the order of rows each would be a cache miss at
 * every level, and leaves are filled to the end.
 */
#include "store/store_internal.h"

enum { SORT_MAX = 4 << 20, SORT_MIN = 64 };

struct filling {
	struct store_index *ix; /* NULL: the set of whole rows */
	struct store_table *table;
	/* `cap` each, and as much again to sort into; NULL: rows go in as they come. */
	uint64_t *keys, *other_keys; /* of keys of 16 bytes the upper half: the order of the rest is the index's affair */
	uint32_t *rows, *other_rows;
	uint32_t count, cap;
	bool begun; /* the index has entries */
};

static enum store_status put_row(struct filling *f, uint32_t row)
{
	struct probe probe;
	uint32_t len;
	const uint8_t *data = row_data(f->table, row, &len);
	if (f->ix == NULL) {
		hash_probe_whole(data, len, &probe);
		return hash_find(f->table->set, f->table, NULL, &probe) != ROW_NONE ? STORE_UNIQUE_VIOLATION
			: hash_insert(f->table->set, f->table, NULL, &probe, row);
	}
	index_probe_row(f->ix, data, &probe);
	if (f->ix->unique && index_find(f->ix, &probe) != ROW_NONE)
		return STORE_UNIQUE_VIOLATION;
	return index_insert(f->ix, &probe, row);
}

/* The key is all there is to it: the row need not be looked at, nor need the first so many be looked for. */
static enum store_status put_key(struct filling *f, uint32_t i)
{
	struct probe probe;
	probe.key = f->keys[i];
	probe.columns = f->ix->column_count;
	if (f->ix->unique && i > 0 && f->keys[i - 1] == f->keys[i])
		return STORE_UNIQUE_VIOLATION;
	if (f->ix->unique && f->begun && index_find(f->ix, &probe) != ROW_NONE)
		return STORE_UNIQUE_VIOLATION;
	return index_insert(f->ix, &probe, f->rows[i]);
}

/* One pass over a byte of the keys, stable; none where all have the same. */
static void sort_by_byte(struct filling *f, uint32_t shift)
{
	uint32_t places[256] = { 0 };
	for (uint32_t i = 0; i < f->count; i++)
		places[f->keys[i] >> shift & 0xff]++;
	if (places[f->keys[0] >> shift & 0xff] == f->count)
		return;
	uint32_t sum = 0;
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t count = places[i];
		places[i] = sum;
		sum += count;
	}
	for (uint32_t i = 0; i < f->count; i++) {
		uint32_t place = places[f->keys[i] >> shift & 0xff]++;
		f->other_keys[place] = f->keys[i];
		f->other_rows[place] = f->rows[i];
	}
	uint64_t *keys = f->keys;
	uint32_t *rows = f->rows;
	f->keys = f->other_keys;
	f->rows = f->other_rows;
	f->other_keys = keys;
	f->other_rows = rows;
}

static bool is_sorted(const struct filling *f)
{
	for (uint32_t i = 1; i < f->count; i++)
		if (f->keys[i - 1] > f->keys[i])
			return false;
	return true;
}

static enum store_status put_sorted(struct filling *f)
{
	if (!is_sorted(f))
		for (uint32_t shift = 0; shift < 64; shift += 8)
			sort_by_byte(f, shift);
	bool by_key = f->ix->exact && f->ix->width <= sizeof(uint64_t);
	enum store_status status = STORE_OK;
	for (uint32_t i = 0; i < f->count && status == STORE_OK; i++)
		status = by_key ? put_key(f, i) : put_row(f, f->rows[i]);
	f->count = 0;
	f->begun = true;
	return status;
}

static enum store_status add_row(struct filling *f, const struct store_row *row)
{
	if (f->cap == 0)
		return put_row(f, row->number);
	struct probe probe;
	index_probe_row(f->ix, row->data, &probe);
	f->keys[f->count] = (uint64_t)(f->ix->width > sizeof(uint64_t) ? probe.key >> 64 : probe.key);
	f->rows[f->count++] = row->number;
	return f->count == f->cap ? put_sorted(f) : STORE_OK;
}

/* Without it rows go in as they come, which takes longer. */
static void make_room(struct filling *f)
{
	size_t cap = size_min(f->table->row_count, SORT_MAX);
	uint64_t *keys = mem_alloc(2 * cap * sizeof(*keys));
	uint32_t *rows = keys == NULL ? NULL : mem_alloc(2 * cap * sizeof(*rows));
	if (rows == NULL) {
		mem_free(keys);
		return;
	}
	f->keys = keys;
	f->other_keys = keys + cap;
	f->rows = rows;
	f->other_rows = rows + cap;
	f->cap = (uint32_t)cap;
}

enum store_status index_fill(struct store_table *t, struct store_index *ix)
{
	struct filling f = { .ix = ix, .table = t };
	if (ix != NULL && ix->form != FORM_HASH && t->row_count >= SORT_MIN)
		make_room(&f);
	uint64_t *keys = f.keys; /* sorting swaps them */
	uint32_t *rows = f.rows;
	enum store_status status = STORE_OK;
	struct store_cursor cursor;
	struct store_row row;
	store_scan(t, &cursor);
	while (status == STORE_OK && store_cursor_next(&cursor, &row))
		status = add_row(&f, &row);
	if (status == STORE_OK && f.count > 0)
		status = put_sorted(&f);
	mem_free(keys);
	mem_free(rows);
	return status;
}
