/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots beside a writer: what is read is what was there, and the memory is given back. (More in store_model.) */
#include "unit/store_util.h"
#include "unit/run_suite.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ROWS = 20000, ROUNDS = 60 };

static void put_row(struct fixture *f, uint32_t id, uint32_t value, bool update)
{
	struct buf row = BUF_INIT(1 << 16);
	char text[64];
	buf_put_u32(&row, id);
	buf_put_u32(&row, value % 7); /* the other index: an update may need a new place */
	snprintf(text, sizeof(text), "row %u is worth %u%s", id, value, value % 3 == 0 ? " and says it at length" : "");
	buf_put_bsatn_str(&row, str_of(text));
	size_t len = row.len;
	enum store_status status = update ? store_update(f->s, f->t, f->index[0], row.data, &len, NULL)
		: store_insert(f->s, f->t, row.data, &len, NULL);
	ck_assert_int_eq(status, STORE_OK);
	buf_deinit(&row);
}

static void end_tx(struct fixture *f)
{
	struct store_delta delta;
	ck_assert_int_eq(store_tx_commit(f->s, &delta), STORE_OK);
}

struct side {
	struct store_table *table;
	uint64_t expected;
	_Atomic bool stop;
	uint32_t rounds;
	bool wrong;
};

static void *read_on(void *arg)
{
	struct side *r = arg;
	do {
		r->wrong = r->wrong || store_table_checksum(r->table) != r->expected;
		r->rounds++;
	} while (!atomic_load(&r->stop));
	return NULL;
}

static void churn(struct fixture *f, uint32_t round)
{
	store_tx_begin(f->s);
	for (uint32_t i = 0; i < ROWS / 20; i++)
		put_row(f, (round * 7919 + i * 13) % ROWS, round * ROWS + i, true);
	uint8_t key[4];
	uint32_t deleted;
	for (uint32_t i = 0; i < 50; i++) {
		store_u32(key, (round * 104729 + i) % ROWS);
		ck_assert_int_eq(store_delete_point(f->s, f->index[0], key, sizeof(key), &deleted), STORE_OK);
		if (deleted > 0 && round % 2 == 0)
			put_row(f, load_u32(key), round, false);
		else if (deleted > 0)
			put_row(f, load_u32(key), round + 1, false);
	}
	if (round % 5 == 4)
		store_tx_rollback(f->s);
	else
		end_tx(f);
}

/* Goal: two readers on threads of their own see two moments, unchanged, while the writer goes on; then all memory that
 * was kept for them is free. */
START_TEST(beside_a_writer)
{
	struct fixture f = fixture_new("id:u n:u s:s", "!0 1", 0);
	store_tx_begin(f.s);
	for (uint32_t i = 0; i < ROWS; i++)
		put_row(&f, i, i, false);
	end_tx(&f);
	for (uint32_t lap = 0; lap < 3; lap++) {
		struct side readers[2];
		struct store_snapshot *snapshots[2];
		pthread_t threads[2];
		for (uint32_t i = 0; i < 2; i++) {
			snapshots[i] = store_snapshot_take(f.s, &f.t, 1);
			ck_assert_ptr_nonnull(snapshots[i]);
			readers[i] = (struct side){ .table = store_snapshot_table(snapshots[i], f.t),
				.expected = store_table_checksum(f.t) };
			ck_assert_int_eq(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
			for (uint32_t round = 0; round < ROUNDS; round++)
				churn(&f, lap * 1000 + i * 100 + round);
		}
		ck_assert_uint_gt(store_snapshot_bytes(f.s), 0);
		for (uint32_t i = 0; i < 2; i++) {
			atomic_store(&readers[i].stop, true);
			pthread_join(threads[i], NULL);
			ck_assert(!readers[i].wrong);
			ck_assert_uint_gt(readers[i].rounds, 0);
			store_snapshot_release(f.s, snapshots[i]);
		}
		ck_assert_uint_eq(store_snapshot_bytes(f.s), 0);
	}
	fixture_free(&f);
}
END_TEST

/* Goal: without snapshots nothing is copied, and a table that is emptied under one keeps its rows there. */
START_TEST(emptied_under_it)
{
	struct fixture f = fixture_new("id:u n:u s:s", "!0 1", 0);
	uint64_t deleted;
	store_tx_begin(f.s);
	for (uint32_t i = 0; i < ROWS; i++)
		put_row(&f, i, i, false);
	end_tx(&f);
	ck_assert_uint_eq(store_snapshot_bytes(f.s), 0);
	uint64_t sum = store_table_checksum(f.t);
	struct store_snapshot *snapshot = store_snapshot_take(f.s, &f.t, 1);
	store_tx_begin(f.s);
	ck_assert_int_eq(store_clear(f.s, f.t, &deleted), STORE_OK);
	end_tx(&f);
	ck_assert_uint_eq(store_table_row_count(f.t), 0);
	for (uint32_t round = 0; round < 3; round++) {
		store_tx_begin(f.s);
		for (uint32_t i = 0; i < ROWS; i++)
			put_row(&f, i, i + round, false);
		round == 1 ? store_tx_rollback(f.s) : end_tx(&f);
		if (round != 1) {
			store_tx_begin(f.s);
			ck_assert_int_eq(store_clear(f.s, f.t, &deleted), STORE_OK);
			end_tx(&f);
		}
	}
	struct store_table *t = store_snapshot_table(snapshot, f.t);
	ck_assert_uint_eq(store_table_row_count(t), ROWS);
	ck_assert_uint_eq(store_table_checksum(t), sum);
	store_snapshot_release(f.s, snapshot);
	ck_assert_uint_eq(store_snapshot_bytes(f.s), 0);
	fixture_free(&f);
}
END_TEST

/* Goal: where snapshots follow each other, pages are copied into what is there already, until the store rests. */
START_TEST(copies_reuse_memory)
{
	enum { LAPS = 5 };
	struct fixture f = fixture_new("id:u n:u", "!0", 0);
	uint64_t live[LAPS], allocations[LAPS];
	for (uint32_t lap = 0; lap < LAPS; lap++) {
		struct store_snapshot *snapshot = lap == 0 ? NULL : store_snapshot_take(f.s, &f.t, 1);
		uint64_t before = mem_stats().allocations;
		store_tx_begin(f.s);
		for (uint32_t i = 0; i < ROWS; i++) {
			uint32_t row[2] = { i, lap };
			size_t len = sizeof(row);
			ck_assert_int_eq(lap == 0 ? store_insert(f.s, f.t, (uint8_t *)row, &len, NULL)
				: store_update(f.s, f.t, f.index[0], (uint8_t *)row, &len, NULL), STORE_OK);
		}
		end_tx(&f);
		allocations[lap] = mem_stats().allocations - before;
		store_snapshot_release(f.s, snapshot);
		live[lap] = mem_stats().live_bytes;
	}
	ck_assert_uint_lt(allocations[LAPS - 1], allocations[1]);
	ck_assert_uint_eq(live[LAPS - 1], live[2]); /* two sets of pages take turns */
	store_rest(f.s);
	ck_assert_uint_lt(mem_stats().live_bytes, live[LAPS - 1] - ROWS * sizeof(uint32_t[2]));
	fixture_free(&f);
}
END_TEST

/* Goal: a snapshot that cannot be made leaves nothing behind. */
START_TEST(without_memory)
{
	struct fixture f = fixture_new("id:u n:u s:s", "!0 1", 0);
	store_tx_begin(f.s);
	for (uint32_t i = 0; i < 100; i++)
		put_row(&f, i, i, false);
	end_tx(&f);
	struct store_table *tables[] = { f.t, store_table_by_id(f.s, ST_TABLE) };
	struct store_snapshot *snapshot = NULL;
	uint64_t failures = 0;
	for (uint64_t n = 1; snapshot == NULL; n++) {
		mem_fail_at(n, true);
		snapshot = store_snapshot_take(f.s, tables, 2);
		mem_fail_at(0, false);
		failures += snapshot == NULL;
	}
	ck_assert_uint_ge(failures, 4);
	ck_assert_uint_eq(store_table_row_count(store_snapshot_table(snapshot, f.t)), 100);
	store_snapshot_release(f.s, snapshot);
	fixture_free(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_snapshot");
	TCase *tc = tcase_create("all");
	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, beside_a_writer);
	tcase_add_test(tc, emptied_under_it);
	tcase_add_test(tc, copies_reuse_memory);
	tcase_add_test(tc, without_memory);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
