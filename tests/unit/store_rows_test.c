/* SPDX-License-Identifier: Apache-2.0 */
/* store: the tables of datastore section 4, sequences, event tables, errors, memory of an idle store. */
#include "store_util.h"
#include "unit/run_suite.h"

#include "store/store_internal.h"

/* Goal: a new store describes itself and costs little. */
START_TEST(bootstrap)
{
	struct mem_stats before = mem_stats();
	struct store *s = store_create();
	ck_assert_ptr_nonnull(s);
	struct store *second = store_create();
	struct mem_stats mid = mem_stats();
	store_destroy(second);
	struct mem_stats after = mem_stats();
	(void)before;
	ck_assert_uint_le(mid.live_bytes - after.live_bytes, 60 << 10);
	printf("idle store: %llu bytes\n", (unsigned long long)(mid.live_bytes - after.live_bytes));
	struct { uint32_t table; uint64_t rows; } counts[] = { { ST_TABLE, 20 }, { ST_COLUMN, 74 }, { ST_SEQUENCE, 7 },
		{ ST_INDEX, 29 }, { ST_CONSTRAINT, 25 }, { ST_MODULE, 0 }, { ST_TABLE_ACCESSOR, 0 } };
	for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
		ck_assert_uint_eq(store_table_row_count(store_table_by_id(s, counts[i].table)), counts[i].rows);
	ck_assert_ptr_eq(store_table_by_name(s, STR("st_view_sub")), store_table_by_id(s, ST_VIEW_SUB));
	struct store_index *ix = store_index_by_name(s, STR("st_column_table_id_col_pos_idx_btree"));
	ck_assert_uint_eq(store_index_def(ix)->id, 3);
	ix = store_index_by_name(s, STR("st_column_accessor_table_name_accessor_name_idx_btree"));
	ck_assert_uint_eq(store_index_def(ix)->id, 29);
	ck_assert_uint_eq(store_table_def(store_table_by_id(s, ST_COLUMN_ACCESSOR))->constraints[1].id, 25);
	store_destroy(s);
}
END_TEST

/* Goal: net effect of every sequence of section 4, by value. */
START_TEST(net_effects)
{
	struct fixture f = fixture_new("id:u n:u", "!0", 0);
	uint32_t a[] = { 1, 1 }, b[] = { 1, 2 };
	struct store_delta d;

	store_tx_begin(f.s);
	ck_assert_int_eq(put(&f, a, 8), STORE_OK);
	ck_assert_int_eq(drop(&f, a, 8), 1);
	d = commit(&f);
	ck_assert_uint_eq(d.table_count, 0);
	ck_assert(!d.durable);

	store_tx_begin(f.s);
	ck_assert_int_eq(put(&f, a, 8), STORE_OK);
	d = commit(&f);
	ck_assert_uint_eq(d.table_count, 1);
	ck_assert_uint_eq(d.tables[0].inserts.count, 1);
	ck_assert(d.durable);

	store_tx_begin(f.s); /* {r} delete, insert */
	ck_assert_int_eq(drop(&f, a, 8), 1);
	ck_assert_int_eq(put(&f, a, 8), STORE_OK);
	ck_assert_uint_eq(commit(&f).table_count, 0);

	store_tx_begin(f.s); /* {r} insert r */
	ck_assert_int_eq(put(&f, a, 8), STORE_OK);
	ck_assert_uint_eq(store_table_row_count(f.t), 1);
	ck_assert_uint_eq(commit(&f).table_count, 0);

	store_tx_begin(f.s); /* update to (1,2) and back */
	ck_assert_int_eq(change(&f, 0, b, 8), STORE_OK);
	ck_assert_int_eq(change(&f, 0, a, 8), STORE_OK);
	ck_assert_uint_eq(commit(&f).table_count, 0);

	store_tx_begin(f.s); /* violation, transaction goes on */
	ck_assert_int_eq(put(&f, b, 8), STORE_UNIQUE_VIOLATION);
	ck_assert_str_eq(error_text(&f),
		"IndexError: Unique constraint violation 't_0_idx' in table 't': column(s): '[\"id\"]' value: 1");
	uint32_t c[] = { 7, 7 };
	ck_assert_int_eq(put(&f, c, 8), STORE_OK);
	ck_assert_uint_eq(commit(&f).tables[0].inserts.count, 1);

	store_tx_begin(f.s); /* delete (1,1), insert (1,2): an update by value */
	ck_assert_int_eq(drop(&f, a, 8), 1);
	ck_assert_int_eq(put(&f, b, 8), STORE_OK);
	ck_assert_int_eq(put(&f, a, 8), STORE_UNIQUE_VIOLATION); /* not an undelete */
	d = commit(&f);
	ck_assert_uint_eq(d.tables[0].updated, 1);
	ck_assert_uint_eq(d.tables[0].inserts.count, 1);
	ck_assert_uint_eq(d.tables[0].deletes.count, 1);
	ck_assert_mem_eq(d.tables[0].inserts.data, b, 8);
	ck_assert_mem_eq(d.tables[0].deletes.data, a, 8);

	store_tx_begin(f.s); /* truncated */
	uint64_t n;
	ck_assert_int_eq(store_clear(f.s, f.t, &n), STORE_OK);
	ck_assert_uint_eq(n, 2);
	d = commit(&f);
	ck_assert(d.tables[0].truncated);
	ck_assert_uint_eq(d.tables[0].deletes.count, 2);
	fixture_free(&f);
}
END_TEST

/* Goal: uniqueness is checked per operation; deleted rows do not count, and come back under two indexes. */
START_TEST(two_unique_indexes)
{
	struct fixture f = fixture_new("id:u n:u", "!0 !1", 0);
	uint32_t a[] = { 1, 1 }, b[] = { 2, 2 }, swap[] = { 1, 2 }, back[] = { 2, 1 };
	store_tx_begin(f.s);
	put(&f, a, 8);
	put(&f, b, 8);
	commit(&f);

	store_tx_begin(f.s);
	ck_assert_int_eq(change(&f, 0, swap, 8), STORE_UNIQUE_VIOLATION);
	ck_assert_int_eq(drop(&f, a, 8), 1);
	ck_assert_int_eq(drop(&f, b, 8), 1);
	ck_assert_int_eq(put(&f, swap, 8), STORE_OK);
	ck_assert_int_eq(put(&f, back, 8), STORE_OK);
	store_tx_rollback(f.s);
	store_tx_begin(f.s);
	ck_assert_int_eq(put(&f, swap, 8), STORE_UNIQUE_VIOLATION);
	ck_assert_int_eq(put(&f, a, 8), STORE_OK);
	ck_assert_uint_eq(store_table_row_count(f.t), 2);
	ck_assert_uint_eq(commit(&f).table_count, 0);

	store_tx_begin(f.s);
	drop(&f, a, 8);
	drop(&f, b, 8);
	put(&f, swap, 8);
	put(&f, back, 8);
	struct store_delta d = commit(&f);
	ck_assert_uint_eq(d.tables[0].updated, 2);
	store_tx_begin(f.s); /* and back, through pinned rows */
	drop(&f, swap, 8);
	drop(&f, back, 8);
	put(&f, a, 8);
	drop(&f, a, 8);
	put(&f, swap, 8);
	put(&f, back, 8);
	ck_assert_uint_eq(commit(&f).table_count, 0);
	fixture_free(&f);
}
END_TEST

/* Goal: sequences fire on zero in insert and update, skip on rollback, and their row is ahead of what was given. */
START_TEST(sequences)
{
	struct fixture f = fixture_seq("id:w s:s", "!0", 0, 0, 1, 1, (i128)(((u128)1 << 127) - 1), 1);
	uint8_t row[64];
	for (uint64_t i = 1; i <= 3; i++) {
		store_tx_begin(f.s);
		size_t len = make_row(row, 0, "a");
		ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
		ck_assert_uint_eq(len, 8);
		ck_assert_uint_eq(load_u64(row), i);
		if (i == 2) {
			store_tx_rollback(f.s);
			continue;
		}
		struct store_delta d = commit(&f);
		ck_assert_uint_eq(d.table_count, i == 1 ? 2 : 1);
	}
	ck_assert(sequence_row(&f) == 4097);
	store_tx_begin(f.s);
	size_t len = make_row(row, 0, "b");
	ck_assert_int_eq(store_update(f.s, f.t, f.index[0], row, &len, NULL), STORE_NO_ROW);
	ck_assert_uint_eq(load_u64(row), 0);
	len = make_row(row, 6, "six");
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	ck_assert_uint_eq(len, 0);
	len = make_row(row, 0, "five");
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	ck_assert_uint_eq(load_u64(row), 5);
	len = make_row(row, 0, "collides");
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_UNIQUE_VIOLATION);
	len = make_row(row, 0, "seven");
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	ck_assert_uint_eq(load_u64(row), 7);
	store_tx_rollback(f.s);
	store_tx_begin(f.s); /* a batch drawn in a transaction that is undone … */
	for (uint32_t i = 0; i < 5000; i++) {
		len = make_row(row, 0, "x");
		ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	}
	store_tx_rollback(f.s);
	ck_assert(sequence_row(&f) == 4097);
	store_tx_begin(f.s); /* … is written by the next that commits */
	len = make_row(row, 0, "x");
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	ck_assert_uint_eq(load_u64(row), 5008);
	commit(&f);
	ck_assert(sequence_row(&f) == 8193);
	fixture_free(&f);
}
END_TEST

static void draw(struct fixture *f, const int32_t *expected, size_t count)
{
	uint8_t row[64];
	store_tx_begin(f->s);
	for (size_t i = 0; i < count; i++) {
		memset(row, 0, 4);
		store_u32(row + 4, (uint32_t)i);
		size_t len = 8;
		ck_assert_int_eq(store_insert(f->s, f->t, row, &len, NULL), STORE_OK);
		ck_assert_int_eq((int32_t)load_u32(row), expected[i]);
	}
	commit(f);
}

/* Goal: wrap-around in both directions, as the kit recorded it. */
START_TEST(sequence_ranges)
{
	struct fixture f = fixture_seq("id:i n:u", "", -1, 0, -5, -10, 10, 3);
	const int32_t up[] = { -5, -2, 1, 4, 7, 10, -8, -5, -2, 1, 4, 7 };
	draw(&f, up, ARRAY_COUNT(up));
	fixture_free(&f);
	f = fixture_seq("id:i n:u", "", -1, 0, 5, -3, 5, -2);
	const int32_t down[] = { 5, 3, 1, -1, -3, 4, 2, 0, -2, 5, 3, 1 };
	draw(&f, down, ARRAY_COUNT(down));
	fixture_free(&f);
}
END_TEST

/* Goal: rows of event tables reach the delta and nothing else. */
START_TEST(event_tables)
{
	struct fixture f = fixture_event("id:u n:u", "!0", 0);
	uint32_t a[] = { 1, 1 }, b[] = { 1, 2 }, c[] = { 2, 2 };
	store_tx_begin(f.s);
	put(&f, a, 8);
	change(&f, 0, b, 8);
	put(&f, c, 8);
	drop(&f, c, 8);
	ck_assert_uint_eq(store_table_row_count(f.t), 1);
	struct store_delta d = commit(&f);
	ck_assert_uint_eq(d.tables[0].inserts.count, 1);
	ck_assert_uint_eq(d.tables[0].deletes.count, 0);
	ck_assert_mem_eq(d.tables[0].inserts.data, b, 8);
	ck_assert(d.durable);
	ck_assert_uint_eq(store_table_row_count(f.t), 0);
	store_tx_begin(f.s);
	ck_assert_int_eq(put(&f, a, 8), STORE_OK);
	store_tx_rollback(f.s);
	fixture_free(&f);
}
END_TEST

/* Goal: malformed rows and keys are refused as the kit has it; surplus bytes only matter for fixed rows. */
START_TEST(malformed)
{
	struct fixture f = fixture_new("b:b n:u", "0", -1);
	uint8_t bad[] = { 2, 1, 0, 0, 0, 9 };
	store_tx_begin(f.s);
	ck_assert_int_eq(put(&f, bad, 5), STORE_BAD_ROW);
	bad[0] = 1;
	ck_assert_int_eq(put(&f, bad, 6), STORE_BAD_ROW);
	ck_assert_int_eq(put(&f, bad, 4), STORE_BAD_ROW);
	ck_assert_int_eq(put(&f, bad, 5), STORE_OK);
	struct store_cursor c;
	bad[0] = 2;
	ck_assert_int_eq(store_scan_point(f.index[0], bad, 1, &c), STORE_BAD_KEY);
	ck_assert_int_eq(store_scan_point(f.index[0], bad, 0, &c), STORE_BAD_KEY);
	bad[0] = 1;
	ck_assert_int_eq(store_scan_point(f.index[0], bad, 3, &c), STORE_OK);
	store_tx_rollback(f.s);
	fixture_free(&f);
	f = fixture_new("n:u s:s", "", -1);
	uint8_t text[] = { 1, 0, 0, 0, 1, 0, 0, 0, 'a', 0, 0 };
	store_tx_begin(f.s);
	ck_assert_int_eq(put(&f, text, 11), STORE_OK);
	ck_assert_int_eq(put(&f, text, 9), STORE_OK);
	ck_assert_uint_eq(store_table_row_count(f.t), 1);
	text[8] = 0xff;
	ck_assert_int_eq(put(&f, text, 9), STORE_BAD_ROW);
	uint32_t deleted;
	uint8_t relation[] = { 255, 255, 255, 255, 1, 0, 0, 0, 1, 0, 0, 0, 'a' };
	ck_assert_int_eq(store_delete_all_by_eq(f.s, f.t, relation, sizeof(relation), &deleted), STORE_BAD_KEY);
	store_u32(relation, 1);
	ck_assert_int_eq(store_delete_all_by_eq(f.s, f.t, relation, sizeof(relation), &deleted), STORE_OK);
	ck_assert_uint_eq(deleted, 1);
	store_tx_rollback(f.s);
	fixture_free(&f);
}
END_TEST

/* Goal: what a transaction may write is bounded, whichever way it writes; a slot that is used again counts once. */
START_TEST(transaction_size)
{
	struct { const char *columns; bool slots; } tables[] = { { "id:w v:w", true }, { "id:w o:o", true },
		{ "id:w s:s", false } };
	for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
		struct fixture f = fixture_new(tables[i].columns, "!0", 0);
		uint8_t row[64] = { 0 };
		size_t len = i == 0 ? 16 : i == 1 ? 9 : 12;
		row[8] = i == 1; /* none: shorter than its slot */
		store_tx_begin(f.s);
		ck_assert_int_eq(put(&f, row, len), STORE_OK);
		uint64_t once = f.s->tx_bytes;
		ck_assert_uint_gt(once, len);
		for (int n = 0; n < 100; n++) {
			ck_assert_uint_eq(drop(&f, row, len), 1);
			ck_assert_int_eq(put(&f, row, len), STORE_OK);
		}
		if (tables[i].slots)
			ck_assert_uint_eq(f.s->tx_bytes, once);
		else
			ck_assert_uint_ge(f.s->tx_bytes, 100 * once);
		commit(&f);

		/* An update keeps the bytes from before. */
		store_tx_begin(f.s);
		ck_assert_uint_eq(f.s->tx_bytes, 0);
		row[8] ^= 1;
		if (i == 2) {
			store_u32(row + 8, 4);
			len = 16;
		} else if (i == 1) {
			len = 13;
		}
		ck_assert_int_eq(change(&f, 0, row, len), STORE_OK);
		ck_assert_uint_gt(f.s->tx_bytes, 0);
		f.s->tx_bytes = STORE_TX_BYTES_MAX;
		store_u64(row, 1);
		ck_assert_int_eq(put(&f, row, len), STORE_OK);
		store_u64(row, 2);
		ck_assert_int_eq(put(&f, row, len), STORE_LIMIT);
		ck_assert_str_eq(error_text(&f), "a transaction may write at most 1073741824 bytes");
		store_u64(row, 1);
		ck_assert_int_eq(change(&f, 0, row, len), STORE_LIMIT);
		store_tx_rollback(f.s);
		store_tx_begin(f.s);
		ck_assert_int_eq(put(&f, row, len), STORE_OK);
		store_tx_rollback(f.s);
		fixture_free(&f);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_rows");
	TCase *tc = tcase_create("all");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, bootstrap);
	tcase_add_test(tc, net_effects);
	tcase_add_test(tc, two_unique_indexes);
	tcase_add_test(tc, sequences);
	tcase_add_test(tc, sequence_ranges);
	tcase_add_test(tc, event_tables);
	tcase_add_test(tc, malformed);
	tcase_add_test(tc, transaction_size);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
