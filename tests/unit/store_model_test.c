/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store against a naive model: random operations on every shape of table,
 * with commits and rollbacks, deltas applied to a copy; then the same with
 * every n-th allocation failing.
 */
#include "unit/store_model.h"
#include "unit/run_suite.h"

/* Goal: contents, answers, errors and deltas are the model's, for thousands of operations of several seeds. */
START_TEST(random_operations)
{
	const struct shape *shape = &shapes[_i];
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct model m = model_of_shape(shape);
		struct source src = { .state = seed * 1000003 + (uint64_t)_i };
		for (int i = 0; i < 3000; i++)
			model_step(&m, &src);
		model_free(&m);
	}
}
END_TEST

/* Goal: when memory runs out at any point, the operation fails whole, and rollback restores the last commit. */
START_TEST(failing_allocations)
{
	const struct shape *shape = &shapes[_i];
	bool reached_end = false;
	for (uint64_t n = 1; !reached_end && n < 400; n++) {
		struct model m = model_of_shape(shape);
		struct source src = { .state = 77 + (uint64_t)_i };
		m.tolerate = true;
		for (int i = 0; i < 40; i++)
			model_step(&m, &src);
		/* The model itself must not be hit: only one operation at a time is. */
		for (int i = 0; i < 60; i++) {
			uint64_t before = m.statuses[STORE_MEMORY];
			struct buf row = BUF_INIT(1 << 20);
			random_row(&m, &src, &row);
			uint32_t pick = draw_below(&src, 3);
			size_t len = row.len;
			enum store_status status;
			bool exists = rows_find(&m.visible, row.data, (uint32_t)row.len) != UINT32_MAX;
			uint32_t old = m.def->index_count > 0 ? model_find_key(&m, &m.def->indexes[0], row.data, UINT32_MAX) :
				UINT32_MAX;
			mem_fail_at(n % 40 + 1, n >= 40);
			if (pick > 0 || m.def->index_count == 0)
				status = store_insert(m.f.s, m.f.t, row.data, &len, NULL);
			else
				status = store_update(m.f.s, m.f.t, m.f.index[0], row.data, &len, NULL);
			mem_fail_at(0, false);
			took(&m, status);
			if (status == STORE_OK && (pick > 0 || m.def->index_count == 0)) {
				if (!exists)
					rows_add(&m.visible, row.data, (uint32_t)row.len);
			} else if (status == STORE_OK) {
				rows_take(&m.visible, old);
				rows_add(&m.visible, row.data, (uint32_t)row.len);
			}
			check_contents(&m);
			buf_deinit(&row);
			if (i % 9 == 8 || before != m.statuses[STORE_MEMORY]) {
				struct store_delta delta;
				mem_fail_at(n % 7 + 1, n >= 40);
				status = store_tx_commit(m.f.s, &delta);
				mem_fail_at(0, false);
				if (status == STORE_OK) {
					if (m.def->is_event) {
						rows_clear(&m.visible);
					} else {
						check_delta(&m, &delta);
						rows_copy(&m.committed, &m.visible);
					}
				} else {
					mem_fail_at(1, true); /* rollback allocates nothing */
					store_tx_rollback(m.f.s);
					mem_fail_at(0, false);
					rows_copy(&m.visible, &m.committed);
				}
				check_contents(&m);
				store_tx_begin(m.f.s);
			}
		}
		mem_fail_at(1, true);
		store_tx_rollback(m.f.s);
		mem_fail_at(0, false);
		rows_copy(&m.visible, &m.committed);
		check_contents(&m);
		store_tx_begin(m.f.s);
		reached_end = n >= 80;
		model_free(&m);
	}
}
END_TEST

/* Goal: making a store, or a table, fails whole at any allocation. */
START_TEST(failing_creation)
{
	store_destroy(store_create()); /* what the process shares is made at start-up, which may abort */
	for (uint64_t n = 1; n < 4000; n += n < 200 ? 1 : 37) {
		mem_fail_at(n, true);
		struct store *s = store_create();
		mem_fail_at(0, false);
		if (s != NULL) {
			store_destroy(s);
			break;
		}
	}
	struct arena arena;
	arena_init(&arena, 1 << 20);
	struct store_table_def *def = util_def(&arena, "t", "id:u s:s", "!0 #1", 0);
	struct store *s = store_create();
	enum store_status status = STORE_MEMORY;
	for (uint64_t n = 1; status != STORE_OK; n++) {
		struct store_table *t;
		struct store_delta delta;
		store_tx_begin(s);
		mem_fail_at(n, true);
		status = store_table_create(s, def, &t);
		if (status == STORE_OK)
			status = store_tx_commit(s, &delta);
		if (status != STORE_OK) {
			ck_assert_int_eq(status, STORE_MEMORY);
			store_tx_rollback(s);
		}
		mem_fail_at(0, false);
		if (status != STORE_OK) {
			ck_assert_ptr_null(store_table_by_name(s, STR("t")));
			ck_assert_uint_eq(store_table_row_count(store_table_by_id(s, ST_TABLE)), ST_DESCRIBED_COUNT);
			ck_assert_uint_eq(store_table_row_count(store_table_by_id(s, ST_COLUMN)), 74);
		}
	}
	store_destroy(s);
	arena_deinit(&arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_model");
	TCase *tc = tcase_create("all");
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, random_operations, 0, ARRAY_COUNT(shapes));
	tcase_add_loop_test(tc, failing_allocations, 0, ARRAY_COUNT(shapes));
	tcase_add_test(tc, failing_creation);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
