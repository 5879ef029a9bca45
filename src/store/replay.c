/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log's records, applied again. Rows come validated by whoever wrote
 * them and are validated again, since a disk was between. Constraints are not
 * errors here: what the transaction did is known to have been right, but its
 * parts may come in an order in which they would not be, so a row makes way
 * for one that has its key.
 */
#include "store/store_internal.h"

static enum wl_err no_memory(struct error *error)
{
	return fail(error, WL_ERR_MEMORY, "out of memory");
}

static enum wl_err from_status(enum store_status status, const struct store_table *t, struct error *error)
{
	if (status == STORE_OK)
		return WL_OK;
	if (status == STORE_MEMORY)
		return no_memory(error);
	return fail(error, WL_ERR_CORRUPT, "table %.*s: rows of the log cannot be stored", STR_FMT(t->def->name));
}

static enum store_status make_way(struct store_table *t, const uint8_t *data, uint32_t len)
{
	if (row_find_equal(t, data, len) != ROW_NONE)
		return STORE_OK;
	for (uint32_t i = 0; i < t->unique_count; i++) {
		struct probe probe;
		index_probe_row(t->unique[i], data, &probe);
		uint32_t row = index_find(t->unique[i], &probe);
		if (row == ROW_NONE || !row_visible(t, row))
			continue;
		enum store_status status = row_delete(t, row);
		if (status != STORE_OK)
			return status;
	}
	return STORE_OK;
}

/* ---- many rows into an empty table: indexes afterwards ---- */

enum { MANY_ROWS = 4096 };

static enum store_status row_append(struct store_table *t, const uint8_t *data, uint32_t len)
{
	uint32_t row;
	enum store_status status = table_slot_find(t, &row);
	if (status == STORE_OK)
		status = row_own(t, row);
	if (status != STORE_OK)
		return status;
	uint8_t *slot = row_slot(t, row);
	if (t->heap == NULL)
		memcpy(slot, data, len);
	else if ((status = heap_put(t->heap, row, data, len, slot)) != STORE_OK)
		return status;
	table_slot_take(t, row);
	row_word(t, row)->visible |= row_bit(t, row);
	row_word(t, row)->committed |= row_bit(t, row);
	t->row_count++;
	return STORE_OK;
}

static enum wl_err append_rows(struct store_table *t, const uint8_t *rows, size_t len, uint32_t count,
	struct error *error)
{
	enum store_status status = STORE_OK;
	table_clear_storage(t); /* small beginnings of pages, too */
	for (; count > 0 && status == STORE_OK; count--) {
		size_t size;
		enum wl_err err = sats_validate(t->layout->whole, rows, len, &size, error);
		if (err == WL_ERR_MEMORY)
			return no_memory(error);
		if (err != WL_OK || size > STORE_ROW_BYTES_MAX)
			return fail(error, WL_ERR_CORRUPT, "table %.*s: rows of the log do not decode", STR_FMT(t->def->name));
		status = row_append(t, rows, (uint32_t)size);
		rows += size;
		len -= size;
	}
	for (uint32_t i = 0; i < t->index_count && status == STORE_OK; i++)
		status = index_fill(t, t->indexes[i]);
	if (t->set != NULL && status == STORE_OK)
		status = index_fill(t, NULL);
	t->version++;
	if (status == STORE_OK && len > 0)
		return fail(error, WL_ERR_CORRUPT, "table %.*s: rows of the log do not decode", STR_FMT(t->def->name));
	return from_status(status, t, error);
}

static enum wl_err replay_rows(struct store *store, struct store_table *t, const uint8_t *rows, size_t len,
	uint32_t count, bool insert, struct error *error)
{
	ASSERT(!store->tx_active);
	enum store_status status = STORE_OK;
	enum wl_err err = WL_OK;
	if (rows == NULL)
		rows = (const uint8_t *)""; /* rows without columns */
	if (insert && count >= MANY_ROWS && t->row_count == 0 && !t->def->is_event && t->watches == NULL)
		return append_rows(t, rows, len, count, error);
	table_begin_write(t);
	while (count > 0 && status == STORE_OK) {
		size_t size;
		err = sats_validate(t->layout->whole, rows, len, &size, error);
		if (err != WL_OK || size > STORE_ROW_BYTES_MAX)
			break;
		uint32_t row;
		if (!t->def->is_event) {
			if (insert) {
				status = make_way(t, rows, (uint32_t)size);
				if (status == STORE_OK)
					status = row_insert(store, t, rows, (uint32_t)size, &row);
			} else {
				row = row_find_equal(t, rows, (uint32_t)size);
				if (row != ROW_NONE)
					status = row_delete(t, row);
			}
		}
		rows += size;
		len -= size;
		count--;
	}
	tx_commit_quietly(store);
	if (status != STORE_OK)
		return from_status(status, t, error);
	if (err == WL_ERR_MEMORY)
		return no_memory(error);
	if (err != WL_OK || count > 0 || len > 0)
		return fail(error, WL_ERR_CORRUPT, "table %.*s: rows of the log do not decode", STR_FMT(t->def->name));
	return WL_OK;
}

enum wl_err store_replay_insert(struct store *store, struct store_table *t, const uint8_t *rows, size_t len,
	uint32_t count, struct error *error)
{
	return replay_rows(store, t, rows, len, count, true, error);
}

enum wl_err store_replay_delete(struct store *store, struct store_table *t, const uint8_t *rows, size_t len,
	uint32_t count, struct error *error)
{
	return replay_rows(store, t, rows, len, count, false, error);
}

enum wl_err store_replay_truncate(struct store *store, struct store_table *t, struct error *error)
{
	(void)error;
	ASSERT(!store->tx_active);
	table_before_write(t);
	table_clear_storage(t);
	tx_commit_quietly(store);
	return WL_OK;
}

static enum wl_err take_position(struct store *store, struct store_table *t, struct sequence *s, struct error *error)
{
	struct store_table *rows = store->system[ST_SEQUENCE];
	uint8_t id[4];
	store_u32(id, s->def->id);
	struct store_cursor cursor;
	struct store_row row;
	if (store_scan_point(rows->unique[0], id, sizeof(id), &cursor) != STORE_OK || !store_cursor_next(&cursor, &row))
		return fail(error, WL_ERR_CORRUPT, "table %.*s: st_sequence has no row %u", STR_FMT(t->def->name), s->def->id);
	i128 allocated;
	memcpy(&allocated, row.data + row.len - sizeof(allocated), sizeof(allocated));
	sequence_set(s, allocated);
	return WL_OK;
}

enum wl_err store_replay_done(struct store *store, struct error *error)
{
	ASSERT(!store->tx_active);
	for (struct store_table *t = NULL; (t = store_table_next(store, t)) != NULL;) {
		for (uint32_t i = 0; i < t->def->sequence_count; i++) {
			enum wl_err err = take_position(store, t, &t->sequences[i], error);
			if (err != WL_OK)
				return err;
		}
	}
	return WL_OK;
}
