/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUN_SUITE_H
#define RUN_SUITE_H
/* The end of every unit test's main: runs the suite, says what failed, gives the exit status. */
#include <check.h>
#undef fail /* Check's old macro; base.h has a function of that name */

static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
#endif
