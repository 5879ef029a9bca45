/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store under operations a fuzzer chooses: the first byte picks the shape
 * of a table, the others drive the naive model beside it. Also: the bytes as
 * a table definition of the log, as rows, keys and ranges of that table.
 */
#define UTIL_WITHOUT_CHECK
#include "unit/store_model.h"

static void hostile_bytes(const uint8_t *data, size_t size)
{
	struct store *s = store_create();
	struct error error;
	struct store_table *t;
	if (s == NULL || store_replay_table(s, data, size, &error) != WL_OK) {
		store_destroy(s);
		return;
	}
	t = store_table_next(s, store_table_by_id(s, ST_TABLE_COUNT));
	store_replay_insert(s, t, data, size, 3, &error);
	store_tx_begin(s);
	for (size_t at = 0; at < size; at += size / 8 + 1) {
		uint8_t copy[512];
		size_t len = size_min(size - at, sizeof(copy));
		uint32_t deleted;
		struct store_cursor c;
		struct store_row row;
		memcpy(copy, data + at, len);
		store_insert(s, t, copy, &len, NULL);
		len = size_min(size - at, sizeof(copy));
		store_delete_all_by_eq(s, t, data + at, len, &deleted);
		const struct store_table_def *def = store_table_def(t);
		for (uint32_t i = 0; i < def->index_count; i++) {
			struct store_index *ix = store_index_by_id(s, def->indexes[i].id);
			struct store_range range = { data + at, len, data[at] & 3, data + at, len, data + size - len, len };
			if (store_scan_point(ix, data + at, len, &c) == STORE_OK)
				while (store_cursor_next(&c, &row))
					;
			if (store_scan_range(ix, &range, &c) == STORE_OK)
				while (store_cursor_next(&c, &row))
					;
			store_error_text(s);
		}
	}
	struct store_delta delta;
	if (store_tx_commit(s, &delta) != STORE_OK)
		store_tx_rollback(s);
	store_destroy(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (data[0] >= ARRAY_COUNT(shapes)) {
		hostile_bytes(data + 1, size - 1);
		return 0;
	}
	struct model m = model_of_shape(&shapes[data[0]]);
	struct source src = { .bytes = data + 1, .left = size - 1 };
	for (int i = 0; i < 400 && src.left > 0; i++)
		model_step(&m, &src);
	model_free(&m);
	return 0;
}
