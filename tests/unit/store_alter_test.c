/* SPDX-License-Identifier: Apache-2.0 */
/* Tables that go and that take another's place: seen at once, undone by rolling back, the same after replay. */
#include "unit/store_util.h"
#include "unit/run_suite.h"

enum { ROWS = 3000 };

static void fill(struct fixture *f)
{
	store_tx_begin(f->s);
	for (uint32_t i = 0; i < ROWS; i++) {
		struct buf row = BUF_INIT(1 << 12);
		buf_put_u32(&row, 0);
		buf_put_u32(&row, i % 10);
		buf_printf(&row, "%c%c%c%c%.*s", 5 + (int)(i % 7), 0, 0, 0, 5 + (int)(i % 7), "text of a row");
		row.data[8] = (uint8_t)(5 + i % 7);
		row.data[9] = row.data[10] = row.data[11] = 0;
		size_t len = row.len;
		ck_assert_int_eq(store_insert(f->s, f->t, row.data, &len, NULL), STORE_OK);
		buf_deinit(&row);
	}
	struct store_delta delta;
	ck_assert_int_eq(store_tx_commit(f->s, &delta), STORE_OK);
}

static struct fixture table(void)
{
	struct fixture f = fixture_seq("id:u group:u s:s", "!0 1", 0, 0, 1, 1, UINT32_MAX, 1);
	fill(&f);
	return f;
}

static uint64_t sum_all(struct store *s)
{
	uint64_t sum = 0;
	for (struct store_table *t = NULL; (t = store_table_next(s, t)) != NULL;)
		sum += hash_u64(store_table_checksum(t) + store_table_def(t)->id);
	return sum;
}

/* One column more, another index less, the same sequence. */
static struct store_table_def *wider(struct fixture *f, const char *indexes)
{
	struct store_table_def *def = util_def(&f->arena, "t", "id:u group:u s:s n:w", indexes, 0);
	struct store_sequence_def seq = { 0, STR("t_seq"), 0, 1, 1, UINT32_MAX, 1, 0 };
	def->sequences = arena_copy(&f->arena, &seq, sizeof(seq));
	def->sequence_count = 1;
	return def;
}

static const uint8_t NINE[8] = { 9 }, FIVE[4] = { 5 };

static enum store_status widen(struct fixture *f, const char *indexes, struct store_table **out)
{
	return store_table_replace(f->s, f->t, wider(f, indexes), (struct bytes){ NINE, sizeof(NINE) }, out);
}

static uint64_t count_where(struct store_index *ix, const void *key, size_t len)
{
	struct store_cursor cursor;
	struct store_row row;
	uint64_t count = 0;
	ck_assert_int_eq(store_scan_point(ix, key, len, &cursor), STORE_OK);
	while (store_cursor_next(&cursor, &row))
		count++;
	return count;
}

/* Applies the transaction's schema changes and rows to another store, as replay does. */
static void replay(struct store *from, struct store *to, const struct store_delta *delta)
{
	struct error error;
	uint32_t count;
	const struct store_schema_change *changes = store_tx_schema(from, &count);
	for (uint32_t i = 0; i < count; i++) {
		struct buf def = BUF_INIT(1 << 20);
		enum wl_err err = WL_OK;
		if (changes[i].table != NULL)
			store_table_encode(changes[i].table, &def);
		if (changes[i].kind == STORE_TABLE_CREATED)
			err = store_replay_table(to, def.data, def.len, &error);
		else if (changes[i].kind == STORE_TABLE_DROPPED)
			err = store_replay_drop(to, changes[i].id, &error);
		else
			err = store_replay_replace(to, changes[i].id, changes[i].suffix, def.data, def.len, &error);
		ck_assert_msg(err == WL_OK, "%s", error.text);
		buf_deinit(&def);
	}
	for (uint32_t i = 0; i < delta->table_count; i++) {
		const struct store_delta_table *d = &delta->tables[i];
		struct store_table *t = store_table_by_id(to, store_table_def(d->table)->id);
		ck_assert_int_eq(store_replay_delete(to, t, d->deletes.data, d->deletes.len, d->deletes.count, &error), WL_OK);
		ck_assert_int_eq(store_replay_insert(to, t, d->inserts.data, d->inserts.len, d->inserts.count, &error), WL_OK);
	}
}

/* Goal: a column more: rows, index, sequence; the old table is gone; the same after replay. */
START_TEST(replace)
{
	struct fixture f = table(), g = table();
	struct store_table *wide;
	struct store_delta delta;
	uint32_t old_id = store_table_def(f.t)->id;
	store_tx_begin(f.s);
	ck_assert_int_eq(widen(&f, "!0 3", &wide), STORE_OK);
	ck_assert_ptr_eq(store_table_by_name(f.s, STR("t")), wide);
	ck_assert_ptr_null(store_table_by_id(f.s, old_id));
	ck_assert_uint_eq(store_table_row_count(wide), ROWS);
	ck_assert_uint_eq(count_where(store_index_by_name(f.s, STR("t_1_idx")), NINE, 8), ROWS);
	/* The sequence goes on; rows may be added in the same transaction. */
	uint8_t row[64] = { 0 };
	size_t len = 4 + 4 + 4 + 8;
	ck_assert_int_eq(store_insert(f.s, wide, row, &len, NULL), STORE_OK);
	ck_assert_uint_eq(load_u32(row), ROWS + 1);
	ck_assert_int_eq(store_tx_prepare(f.s, &delta), STORE_OK);
	replay(f.s, g.s, &delta);
	store_tx_finish(f.s);
	ck_assert_uint_eq(store_table_row_count(wide), ROWS + 1);
	ck_assert_uint_eq(sum_all(f.s), sum_all(g.s));
	struct error error;
	ck_assert_int_eq(store_replay_done(g.s, &error), WL_OK);
	/* And back to where it was, and gone. */
	store_tx_begin(f.s);
	f.t = wide;
	ck_assert_int_eq(store_table_drop(f.s, wide), STORE_OK);
	ck_assert_ptr_null(store_table_by_name(f.s, STR("t")));
	ck_assert_int_eq(store_tx_prepare(f.s, &delta), STORE_OK);
	replay(f.s, g.s, &delta);
	store_tx_finish(f.s);
	ck_assert_uint_eq(sum_all(f.s), sum_all(g.s));
	fixture_free(&f);
	fixture_free(&g);
}
END_TEST

/* Goal: rolled back, everything is as it was, whatever was done in between. */
START_TEST(rolled_back)
{
	struct fixture f = table();
	uint64_t before = sum_all(f.s);
	uint32_t id = store_table_def(f.t)->id;
	for (uint32_t round = 0; round < 8; round++) {
		struct store_table *wide, *more;
		store_tx_begin(f.s);
		ck_assert_int_eq(widen(&f, round % 2 == 0 ? "!0 1" : "!0 3 1,3", &wide), STORE_OK);
		for (uint32_t i = 0; i < 20; i++) {
			struct store_table_def *other = util_def(&f.arena, i % 2 == 0 ? "a" : "b", "x:u", "!0", 0);
			if (store_table_by_name(f.s, other->name) == NULL)
				ck_assert_int_eq(store_table_create(f.s, other, &more), STORE_OK);
			else
				ck_assert_int_eq(store_table_drop(f.s, store_table_by_name(f.s, other->name)), STORE_OK);
		}
		if (round >= 4) {
			uint8_t row[64] = { 0 };
			size_t len = 20;
			ck_assert_int_eq(store_insert(f.s, wide, row, &len, NULL), STORE_OK);
			uint32_t gone;
			ck_assert_int_eq(store_delete_point(f.s, store_table_index(wide, 0), FIVE, 4, &gone), STORE_OK);
			ck_assert_uint_eq(gone, 1);
		}
		store_tx_rollback(f.s);
		ck_assert_uint_eq(sum_all(f.s), before);
		ck_assert_ptr_eq(store_table_by_id(f.s, id), f.t);
		ck_assert_ptr_eq(store_index_by_name(f.s, STR("t_0_idx")), f.index[0]);
		ck_assert_uint_eq(count_where(f.index[1], "\3\0\0\0", 4), ROWS / 10);
	}
	uint8_t row[64] = { 0 };
	size_t len = 12;
	store_tx_begin(f.s);
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	ck_assert_uint_gt(load_u32(row), ROWS);
	struct store_delta delta;
	ck_assert_int_eq(store_tx_commit(f.s, &delta), STORE_OK);
	fixture_free(&f);
}
END_TEST

/* Goal: a key that is there twice is named; a table whose rows were changed is refused. */
START_TEST(refused)
{
	struct fixture f = table();
	struct store_table *wide;
	store_tx_begin(f.s);
	ck_assert_int_eq(widen(&f, "!0 !1", &wide), STORE_UNIQUE_VIOLATION);
	struct str text = store_error_text(f.s);
	ck_assert_msg(strncmp(text.data, "IndexError: Unique constraint violation 't_1_idx' in table 't'", 60) == 0, "%.*s",
		STR_FMT(text));
	store_tx_rollback(f.s);
	store_tx_begin(f.s);
	uint8_t row[64] = { 0 };
	size_t len = 12;
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	ck_assert_int_eq(widen(&f, "!0", &wide), STORE_LIMIT);
	store_tx_rollback(f.s);
	fixture_free(&f);
}
END_TEST

/* Goal: memory that runs out leaves nothing behind; a snapshot goes on seeing what it saw. */
START_TEST(memory_and_snapshots)
{
	struct fixture f = table();
	uint64_t before = sum_all(f.s), rows = store_table_checksum(f.t);
	bool failed = true;
	for (uint64_t n = 1; failed; n++) {
		struct store_table *wide;
		struct store_table_def *to = wider(&f, "!0 3");
		store_tx_begin(f.s);
		mem_fail_at(n, false);
		failed = store_table_replace(f.s, f.t, to, (struct bytes){ NINE, 8 }, &wide) != STORE_OK;
		mem_fail_at(0, false);
		store_tx_rollback(f.s);
		ck_assert_uint_eq(sum_all(f.s), before);
		ck_assert_uint_lt(n, 10000);
	}
	struct store_snapshot *snapshot = store_snapshot_take(f.s, &f.t, 1);
	struct store_table *shadow = store_snapshot_table(snapshot, f.t), *wide;
	struct store_delta delta;
	store_tx_begin(f.s);
	ck_assert_int_eq(widen(&f, "!0", &wide), STORE_OK);
	ck_assert_int_eq(store_tx_commit(f.s, &delta), STORE_OK);
	ck_assert_uint_eq(store_table_checksum(shadow), rows);
	store_snapshot_release(f.s, snapshot);
	fixture_free(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store alter");
	TCase *all = tcase_create("all");
	tcase_set_timeout(all, 120);
	tcase_add_test(all, replace);
	tcase_add_test(all, rolled_back);
	tcase_add_test(all, refused);
	tcase_add_test(all, memory_and_snapshots);
	suite_add_tcase(suite, all);
	return run_suite(suite);
}
