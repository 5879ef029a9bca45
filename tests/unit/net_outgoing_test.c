/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: which addresses may be asked. Method: the first, the last, and a neighbour of each block. */
#include "net/outgoing.h"
#include "unit/run_suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static bool is_allowed(const char *text, enum outgoing_reach reach)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return outgoing_address_allowed((const struct sockaddr *)(const void *)&v4, reach);
	ck_assert_msg(inet_pton(AF_INET6, text, &v6.sin6_addr) == 1, "%s", text);
	return outgoing_address_allowed((const struct sockaddr *)(const void *)&v6, reach);
}

START_TEST(special_addresses_are_refused)
{
	static const char *const refused[] = { "0.0.0.0", "0.255.255.255", "10.0.0.1", "10.255.255.255", "100.64.0.0",
		"100.127.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.255",
		"192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "192.175.48.1", "198.18.0.1",
		"198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
		"255.255.255.255", "::", "64:ff9b::808:808", "64:ff9b:1::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "100::1",
		"100:0:0:1::1", "2001::1", "2001:1ff:ffff::", "2001:db8::1", "2002:808:808::1", "2620:4f:8000::1", "3fff::1",
		"3fff:fff:ffff::1", "5f00::1", "fc00::1", "fdff::1", "fe80::1", "febf::1", "ff02::1" };
	static const char *const fine[] = { "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255",
		"100.128.0.0", "128.0.0.1", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
		"192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1", "2001:db9::1", "2003::1",
		"2606:4700::1111", "2a00::1", "3ffe::1", "3fff:1000::1" };
	for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
		ck_assert_msg(!is_allowed(refused[i], OUTGOING_PUBLIC), "%s", refused[i]);
		ck_assert_msg(!is_allowed(refused[i], OUTGOING_LOOPBACK), "%s", refused[i]);
		ck_assert(is_allowed(refused[i], OUTGOING_ALL));
	}
	for (size_t i = 0; i < ARRAY_COUNT(fine); i++)
		ck_assert_msg(is_allowed(fine[i], OUTGOING_PUBLIC) && is_allowed(fine[i], OUTGOING_LOOPBACK), "%s", fine[i]);
}
END_TEST

START_TEST(this_machine_only_where_it_is_said)
{
	static const char *const here[] = { "127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1" };
	struct sockaddr local = { .sa_family = AF_UNIX };
	for (size_t i = 0; i < ARRAY_COUNT(here); i++)
		ck_assert_msg(!is_allowed(here[i], OUTGOING_PUBLIC) && is_allowed(here[i], OUTGOING_LOOPBACK), "%s", here[i]);
	ck_assert(!outgoing_address_allowed(&local, OUTGOING_PUBLIC));
}
END_TEST

/* Goal: what cannot be asked is told in known words, before anything is sent; no query is told. */
START_TEST(urls_that_cannot_be_asked)
{
	static const struct { const char *url, *text; } cases[] = {
		{ "", "empty string" }, { "/path", "builder error: relative URL without a base" },
		{ "http://", "invalid format" }, { "file:///etc/hostname", "invalid format" },
		{ "http://127.0.0.1:99999/", "builder error: invalid port number" },
		{ "ftp://8.8.8.8/", "builder error: URL scheme is not allowed" }, { "ftp://127.0.0.1/", OUTGOING_REFUSED },
		{ "http://10.0.0.1/?secret", OUTGOING_REFUSED }, { "http://u:p@127.0.0.1:9/", OUTGOING_REFUSED },
		{ "http://2130706433/", OUTGOING_REFUSED }, { "http://0x7f.1/", OUTGOING_REFUSED },
		{ "http://[::1]/", OUTGOING_REFUSED }, { "http://[::ffff:127.0.0.1]/", OUTGOING_REFUSED },
		{ "http://no-such-host.invalid/a?secret", "error sending request for url (http://no-such-host.invalid/a): "
			"client error (Connect): dns error: failed to lookup address information: Name or service not known" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct outgoing_request request = { .method = STR("GET"), .url = str_of(cases[i].url), .total_ms = 10000,
			.body_max = 1000 };
		struct outgoing_response response;
		struct buf error = BUF_INIT(4096);
		ck_assert(!outgoing_perform(&request, &response, &error));
		ck_assert_str_eq(buf_text(&error), cases[i].text);
		outgoing_response_deinit(&response);
		buf_deinit(&error);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net_outgoing");
	TCase *tests = tcase_create("addresses");
	tcase_add_test(tests, special_addresses_are_refused);
	tcase_add_test(tests, this_machine_only_where_it_is_said);
	tcase_add_test(tests, urls_that_cannot_be_asked);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
