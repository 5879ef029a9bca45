/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: which rows are an instance's is what the reference computes. Method: its vectors (since-2.8.md 2.8), and that
 * sender and arguments of any length count. */
#include "query/query.h"
#include "unit/run_suite.h"

#include <stdio.h>

static const char *hash_of(const struct identity *sender, struct bytes arguments)
{
	static char text[65];
	uint8_t hash[32];
	ck_assert(query_view_hash(sender, arguments, hash));
	for (size_t i = 0; i < sizeof(hash); i++)
		(void)snprintf(text + 2 * i, 3, "%02x", hash[i]);
	return text;
}

START_TEST(vectors)
{
	static const uint8_t five[4] = { 5 };
	ck_assert_str_eq(hash_of(NULL, (struct bytes){ NULL, 0 }),
		"e8b8b119022591171d4b06f6240a1ee6c7a4b209b187d2e07b973c1e54e2e8b2");
	ck_assert_str_eq(hash_of(NULL, (struct bytes){ five, sizeof(five) }),
		"5b958b0343cd04d648900038554f98b15f5782c69f531b92e5b83553b1a33c10");
}
END_TEST

START_TEST(all_of_it_counts)
{
	static uint8_t long_argument[4096];
	struct identity sender = { 0 };
	char one[65];
	/* An argument that looks like a sender is the same bytes: views take either, never both ways. */
	(void)snprintf(one, sizeof(one), "%s", hash_of(&sender, (struct bytes){ NULL, 0 }));
	ck_assert_str_eq(one, hash_of(NULL, (struct bytes){ sender.le, sizeof(sender.le) }));
	sender.le[31] = 1;
	ck_assert_str_ne(one, hash_of(&sender, (struct bytes){ NULL, 0 }));
	(void)snprintf(one, sizeof(one), "%s", hash_of(&sender, (struct bytes){ long_argument, sizeof(long_argument) }));
	long_argument[4095] = 1;
	ck_assert_str_ne(one, hash_of(&sender, (struct bytes){ long_argument, sizeof(long_argument) }));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query_view");
	TCase *tcase = tcase_create("query_view");
	tcase_add_test(tcase, vectors);
	tcase_add_test(tcase, all_of_it_counts);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
