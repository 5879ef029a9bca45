/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: paths find their routes, methods and allow lists follow the table, odd texts are decoded as documented.
 * Method: pure functions, tables of cases. */
#include "api/api_internal.h"
#include "unit/run_suite.h"

static const struct route *find(const char *target, struct str params[ROUTE_PARAMS_MAX])
{
	struct str path, query;
	return target_split(str_of(target), &path, &query) ? route_match(path, params) : NULL;
}

START_TEST(targets_are_split)
{
	static const struct { const char *target, *path, *query; bool valid; } cases[] = {
		{ "/v1/ping", "/v1/ping", "", true },
		{ "/v1/ping?a=b?c", "/v1/ping", "a=b?c", true },
		{ "/v1/ping#x?y", "/v1/ping", "", true },
		{ "/v1/ping?a#x", "/v1/ping", "a", true },
		{ "http://host/v1/ping?x", "/v1/ping", "x", true },
		{ "http://host", "", "", false },
		{ "*", "", "", false }, { "", "", "", false }, { "host:80", "", "", false },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct str path, query;
		bool valid = target_split(str_of(cases[i].target), &path, &query);
		ck_assert_msg(valid == cases[i].valid, "%s", cases[i].target);
		if (valid) {
			ck_assert_msg(str_eq(path, str_of(cases[i].path)), "%s", cases[i].target);
			ck_assert_msg(str_eq(query, str_of(cases[i].query)), "%s", cases[i].target);
		}
	}
}
END_TEST

START_TEST(paths_find_their_routes)
{
	static const struct { const char *target, *pattern, *first, *second; } cases[] = {
		{ "/v1/ping", "/v1/ping", "", "" },
		{ "/v1/ping/", NULL, "", "" }, { "/v1//ping", NULL, "", "" }, { "/V1/ping", NULL, "", "" },
		{ "/", NULL, "", "" },
		{ "/v1/database", "/v1/database", "", "" },
		{ "/v1/database/", NULL, "", "" },
		{ "/v1/database/x", "/v1/database/:db", "x", "" },
		{ "/v1/database/x/", NULL, "", "" },
		{ "/v1/database/a%2Fb/names?q", "/v1/database/:db/names", "a%2Fb", "" },
		{ "/v1/database/x/names/y", NULL, "", "" },
		{ "/v1/database/x/call", NULL, "", "" },
		{ "/v1/database/x/call/add", "/v1/database/:db/call/:function", "x", "add" },
		{ "/v1/database/x/call/add/y", NULL, "", "" },
		{ "/v1/database/x/route", "/v1/database/:db/route", "x", "" },
		{ "/v1/database/x/route/", "/v1/database/:db/route/", "x", "" },
		{ "/v1/database/x/route//a/b/", "/v1/database/:db/route/*path", "x", "/a/b/" },
		{ "/v1/database/x/unstable/timestamp", "/v1/database/:db/unstable/timestamp", "x", "" },
		{ "/v1/identity/public-key", "/v1/identity/public-key", "", "" },
		{ "/v1/identity/abc/verify", "/v1/identity/:identity/verify", "abc", "" },
		{ "/v1/identity/abc", NULL, "", "" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct str params[ROUTE_PARAMS_MAX] = { { "", 0 }, { "", 0 } };
		const struct route *route = find(cases[i].target, params);
		ck_assert_msg((route != NULL) == (cases[i].pattern != NULL), "%s", cases[i].target);
		if (route == NULL)
			continue;
		ck_assert_str_eq(route->pattern, cases[i].pattern);
		ck_assert_msg(str_eq(params[0], str_of(cases[i].first)), "%s", cases[i].target);
		ck_assert_msg(str_eq(params[1], str_of(cases[i].second)), "%s", cases[i].target);
	}
}
END_TEST

START_TEST(methods_follow_the_table)
{
	struct str params[ROUTE_PARAMS_MAX];
	char allow[64];
	const struct route *names = find("/v1/database/x/names", params);
	ck_assert_ptr_nonnull(route_method_find(names, METHOD_HEAD));
	ck_assert_ptr_eq(route_method_find(names, METHOD_HEAD)->handler, route_names_get);
	ck_assert_ptr_null(route_method_find(names, METHOD_DELETE));
	ck_assert_ptr_null(route_method_find(names, method_parse(STR("get"))));
	route_allow(names, allow);
	ck_assert_str_eq(allow, "GET,HEAD,POST,PUT");
	route_allow(find("/v1/identity", params), allow);
	ck_assert_str_eq(allow, "POST");
	const struct route *any = find("/v1/database/x/route/y", params);
	ck_assert_ptr_nonnull(route_method_find(any, method_parse(STR("BREW"))));
	route_allow(any, allow);
	ck_assert_str_eq(allow, "");
}
END_TEST

START_TEST(the_table_is_whole)
{
	for (size_t i = 0; i < api_route_count; i++) {
		const struct route *route = &api_routes[i];
		ck_assert_ptr_nonnull(route->methods[0].handler);
		for (size_t j = i + 1; j < api_route_count; j++)
			ck_assert_str_ne(route->pattern, api_routes[j].pattern);
		for (size_t m = 0; m < ROUTE_METHODS_MAX && route->methods[m].handler != NULL; m++) {
			/* what reads a database must know who asks, and must not run on the loop */
			if ((route->flags & ROUTE_LOOKUP) != 0) {
				ck_assert((route->flags & ROUTE_AUTH) != 0);
				ck_assert(!route->methods[m].on_loop);
			}
			if ((route->flags & ROUTE_AUTH) != 0)
				ck_assert_int_eq(route->methods[m].credentials, CREDENTIALS_ANYBODY);
		}
	}
}
END_TEST

START_TEST(escapes_and_queries)
{
	struct api_call call = { .query = STR("a=1&b=%41+b&a=2&%63=x&=y&d&&e=%zz%4") };
	struct str value;
	arena_init(&call.arena, 1 << 20);
	ck_assert_uint_eq(query_find(&call, "a", &value), 2);
	ck_assert(str_eq(value, STR("1")));
	ck_assert_uint_eq(query_find(&call, "b", &value), 1);
	ck_assert(str_eq(value, STR("A b")));
	ck_assert_uint_eq(query_find(&call, "c", &value), 1);
	ck_assert_uint_eq(query_find(&call, "d", &value), 1);
	ck_assert_uint_eq(value.len, 0);
	ck_assert_uint_eq(query_find(&call, "e", &value), 1);
	ck_assert(str_eq(value, STR("%zz%4")));
	ck_assert_uint_eq(query_find(&call, "f", &value), 0);
	ck_assert(str_eq(percent_decode(&call.arena, STR("a+b%2f"), false), STR("a+b/")));
	arena_deinit(&call.arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api_router");
	TCase *tcase = tcase_create("api_router");
	tcase_add_test(tcase, targets_are_split);
	tcase_add_test(tcase, paths_find_their_routes);
	tcase_add_test(tcase, methods_follow_the_table);
	tcase_add_test(tcase, the_table_is_whole);
	tcase_add_test(tcase, escapes_and_queries);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
