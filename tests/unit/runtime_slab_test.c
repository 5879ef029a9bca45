/* SPDX-License-Identifier: Apache-2.0 */
/* Handles as the slab of the reference gives them. */
#include "base/mem.h"
#include "runtime/runtime_internal.h"
#include "unit/run_suite.h"

/* Goal: the slot freed last is reused first, 0 and unknown handles are none, the limit holds. */
START_TEST(handles_are_reused_like_the_reference)
{
	struct slab slab = { 0 };
	int items[20];
	uint32_t handle;
	for (uint32_t i = 0; i < 12; i++) {
		ck_assert(slab_put(&slab, &items[i], 12, &handle));
		ck_assert_uint_eq(handle, i + 1);
	}
	ck_assert(!slab_put(&slab, &items[12], 12, &handle));
	ck_assert_ptr_null(slab_get(&slab, 0));
	ck_assert_ptr_null(slab_get(&slab, 13));
	ck_assert_ptr_null(slab_get(&slab, UINT32_MAX));
	ck_assert_ptr_eq(slab_take(&slab, 3), &items[2]);
	ck_assert_ptr_null(slab_take(&slab, 3));
	ck_assert_ptr_eq(slab_take(&slab, 7), &items[6]);
	ck_assert_ptr_eq(slab_take(&slab, 12), &items[11]);
	static const uint32_t expected[] = { 12, 7, 3 };
	for (size_t i = 0; i < 3; i++) {
		ck_assert(slab_put(&slab, &items[i], 12, &handle));
		ck_assert_uint_eq(handle, expected[i]);
	}
	ck_assert(!slab_put(&slab, &items[12], 12, &handle));
	uint32_t cursor = 0, live = 0;
	while (slab_next(&slab, &cursor) != NULL)
		live++;
	ck_assert_uint_eq(live, 12);
	slab_deinit(&slab);
	mem_fail_at(1, true);
	ck_assert(!slab_put(&slab, &items[0], 12, &handle));
	mem_fail_at(0, false);
	ck_assert(slab_put(&slab, &items[0], 12, &handle));
	ck_assert_uint_eq(handle, 1);
	slab_deinit(&slab);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runtime_slab");
	TCase *tests = tcase_create("slab");
	tcase_add_test(tests, handles_are_reused_like_the_reference);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
