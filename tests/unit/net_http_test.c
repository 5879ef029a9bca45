/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP over real sockets: odd requests byte by byte, bodies, answers from other threads, streams, time limits. */
#include "net_fixture.h"

static struct app app;
static struct buf out;
static bool closed;

static void setup(void)
{
	app_start(&app, 1, ws_usual);
}

static void teardown(void)
{
	buf_deinit(&out);
	app_stop(&app);
}

static uint32_t count_of(const char *text, const char *word)
{
	uint32_t n = 0;
	for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
		n++;
	return n;
}

struct odd {
	const char *send, *status; /* "HTTP/1.1 400" ... the first line's start */
	bool closes;
	const char *body; /* how it ends, or NULL */
};

/* Goal: requests at the edge of the grammar are answered as the reference does (conformance http/raw). */
START_TEST(http_odd_requests)
{
	static const struct odd odds[] = {
		{ "GET /a HTTP/1.0\r\n\r\n", "HTTP/1.0 200", true, "GET /a " },
		{ "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.0 200", false, "GET /a " },
		{ "GET /a HTTP/1.1\r\n\r\n", "HTTP/1.1 200", false, "GET /a " },
		{ "\r\n\r\nGET /a HTTP/1.1\r\n\r\n", "HTTP/1.1 200", false, "GET /a " },
		{ "GET /a HTTP/3.0\r\n\r\n", "HTTP/1.1 400", true, "\r\n\r\n" },
		{ "get /a HTTP/1.1\r\n\r\n", "HTTP/1.1 200", false, "get /a " },
		{ "GET http://x/a?b HTTP/1.1\r\n\r\n", "HTTP/1.1 200", false, "GET /a?b " },
		{ "GET http://x HTTP/1.1\r\n\r\n", "HTTP/1.1 200", false, "GET / " },
		{ "GET http://x?q HTTP/1.1\r\n\r\n", "HTTP/1.1 200", false, "GET /?q " },
		{ "GET http://?q HTTP/1.1\r\n\r\n", "HTTP/1.1 200", false, "GET /?q " },
		{ "OPTIONS * HTTP/1.1\r\n\r\n", "HTTP/1.1 200", false, "OPTIONS * " },
		{ "GET /a#b HTTP/1.1\r\n\r\n", "HTTP/1.1 200", false, "GET /a " },
		{ "GET /a b HTTP/1.1\r\n\r\n", "HTTP/1.1 400", true, "\r\n\r\n" },
		{ "GET /a HTTP/1.1\r\nnonsense\r\n\r\n", "HTTP/1.1 400", true, "\r\n\r\n" },
		{ "GET /a HTTP/1.1\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 400", true, "\r\n\r\n" },
		{ "GET /a HTTP/1.1\nHost: x\n\n", "HTTP/1.1 200", false, "GET /a " },
		{ "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400", true, "\r\n\r\n" },
		{ "POST /a HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200", false,
			"POST /a " },
		{ "POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "HTTP/1.1 400", true, "\r\n\r\n" },
		{ "POST /a HTTP/1.1\r\nContent-Length: -3\r\n\r\n", "HTTP/1.1 400", true, "\r\n\r\n" },
		{ "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200", false, "POST /a abc" },
		{ "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
			"HTTP/1.1 200", false, "POST /a abcde" },
		{ "HEAD /a HTTP/1.1\r\n\r\n", "HTTP/1.1 200", false, "content-length: 8\r\n\r\n" },
		{ "GET /status/204 HTTP/1.1\r\n\r\n", "HTTP/1.1 204 No Content", false, "text/plain\r\n\r\n" },
		{ "GET /status/530 HTTP/1.1\r\n\r\n", "HTTP/1.1 530 ", false, "\r\n\r\nbody" },
		{ "GET /chunked HTTP/1.1\r\n\r\n", "HTTP/1.1 200", false, "\r\n\r\n9\r\none chunk\r\n0\r\n\r\n" },
		{ "GET /chunked HTTP/1.0\r\n\r\n", "HTTP/1.0 200", true, "content-length: 9\r\n\r\none chunk" },
		{ "GET /a HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", true, "GET /a " },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400", true, "\r\n\r\n" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(odds); i++) {
		const struct odd *odd = &odds[i];
		const char *text = talk(&app, odd->send, &out, &closed);
		size_t len = strlen(text), tail = strlen(odd->body);
		ck_assert_msg(strncmp(text, odd->status, strlen(odd->status)) == 0, "%s\n-> %s", odd->send, text);
		ck_assert_msg(closed == odd->closes, "%s\n-> closed %d", odd->send, closed);
		ck_assert_msg(len >= tail && strcmp(text + len - tail, odd->body) == 0, "%s\n-> %s", odd->send, text);
		buf_deinit(&out);
	}
}
END_TEST

/* Goal: pipelined requests are answered in order, also when the first takes long and when the client half-closes. */
START_TEST(http_pipelined)
{
	const char *text = talk(&app, "GET /later HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"
		"GET /c HTTP/1.1\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n\r\n", &out, &closed);
	ck_assert(closed);
	ck_assert_uint_eq(count_of(text, "HTTP/1.1 200 OK"), 3);
	ck_assert(strstr(text, "later") < strstr(text, "POST /b hi")
		&& strstr(text, "POST /b hi") < strstr(text, "GET /c "));
	ck_assert_ptr_null(strstr(text, "never"));
	buf_deinit(&out);
	int fd = dial(&app);
	put_text(fd, "GET /later HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\n\r\n");
	shutdown(fd, SHUT_WR);
	out = BUF_INIT(1 << 20);
	ck_assert(get_all(fd, &out, 500));
	ck_assert_uint_eq(count_of(buf_text(&out), "HTTP/1.1 200 OK"), 2);
	close(fd);
	buf_deinit(&out);
	fd = dial(&app);
	for (int i = 0; i < 200; i++) /* answered at once: the end may come between two of them */
		put_text(fd, "GET /e HTTP/1.1\r\n\r\n");
	shutdown(fd, SHUT_WR);
	out = BUF_INIT(1 << 20);
	ck_assert(get_all(fd, &out, 500));
	ck_assert_uint_eq(count_of(buf_text(&out), "HTTP/1.1 200 OK"), 200);
	close(fd);
}
END_TEST

/* Goal: who pipelines and does not read is not answered without end: the requests wait until it reads. */
START_TEST(http_pipelined_unread)
{
	enum { REQUESTS = 200, BODY = 500000 };
	int fd = dial(&app);
	char *body = mem_or_abort(mem_zalloc(BODY));
	memset(body, 'x', BODY);
	struct timeval patience = { .tv_usec = 300000 };
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	static const char head[] = "POST /a HTTP/1.1\r\nContent-Length: 500000\r\n\r\n";
	uint32_t sent = 0;
	for (; sent < REQUESTS; sent++) { /* until the server takes no more */
		if (send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL) != sizeof(head) - 1
			|| send(fd, body, BODY, MSG_NOSIGNAL) != BODY)
			break;
	}
	ck_assert_uint_lt(sent, REQUESTS);
	ck_assert_uint_lt(mem_stats().live_bytes, 8 << 20);
	out = BUF_INIT(REQUESTS * (size_t)BODY);
	get_all(fd, &out, 500);
	ck_assert_uint_ge(count_of(buf_text(&out), "HTTP/1.1 200 OK"), sent);
	mem_free(body);
	close(fd);
}
END_TEST

/* Goal: a request in single bytes is a request. */
START_TEST(http_byte_by_byte)
{
	static const char text[] = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		"5\r\nhello\r\n0\r\n\r\n";
	int fd = dial(&app), on = 1;
	setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on));
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		put_all(fd, text + i, 1);
		if (i % 8 == 0)
			nap(1);
	}
	out = BUF_INIT(1 << 20);
	get_all(fd, &out, 150);
	ck_assert_ptr_nonnull(strstr(buf_text(&out), "POST /a hello"));
	close(fd);
}
END_TEST

static void repeat(struct buf *text, const char *piece, uint32_t times)
{
	for (uint32_t i = 0; i < times; i++)
		buf_put_cstr(text, piece);
}

/* Goal: heads have limits with the reference's statuses. */
START_TEST(http_head_limits)
{
	static const struct { const char *start, *piece, *end; uint32_t times; const char *status; } heads[] = {
		{ "GET /a HTTP/1.1\r\nX: ", "aaaaaaaa", "\r\n\r\n", 1024, "HTTP/1.1 200" },
		{ "GET /a HTTP/1.1\r\n", "X: y\r\n", "\r\n", 90, "HTTP/1.1 200" },
		{ "GET /a HTTP/1.1\r\n", "X: y\r\n", "\r\n", 101, "HTTP/1.1 431" },
		{ "GET /", "aaaaaaa", " HTTP/1.1\r\n\r\n", 10000, "HTTP/1.1 414" },
		{ "GET /a HTTP/1.1\r\nX: ", "aaaaaaa", "\r\n\r\n", 10000, "HTTP/1.1 431" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
		struct buf text = BUF_INIT(1 << 20);
		buf_put_cstr(&text, heads[i].start);
		repeat(&text, heads[i].piece, heads[i].times);
		buf_put_cstr(&text, heads[i].end);
		const char *got = talk(&app, buf_text(&text), &out, &closed);
		ck_assert_msg(strncmp(got, heads[i].status, 12) == 0, "%s: %.60s", heads[i].status, got);
		ck_assert_int_eq(closed, strstr(heads[i].status, "200") == NULL);
		buf_deinit(&text);
		buf_deinit(&out);
	}
}
END_TEST

/* Goal: a body over its limit is told as such, the client can send all of it and still read the answer. */
START_TEST(http_body_limits)
{
	ck_assert_ptr_nonnull(strstr(talk(&app, "GET /size HTTP/1.1\r\n\r\n", &out, &closed), "\r\n\r\n0 absent"));
	buf_deinit(&out);
	struct buf text = BUF_INIT(32 << 20);
	buf_put_cstr(&text, "POST /size HTTP/1.1\r\nContent-Length: 1000\r\n\r\n");
	repeat(&text, "0123456789", 100);
	ck_assert_ptr_nonnull(strstr(talk(&app, buf_text(&text), &out, &closed), "HTTP/1.1 200 OK"));
	ck_assert_ptr_nonnull(strstr(buf_text(&out), "\r\n\r\n1000"));
	buf_deinit(&out);
	buf_clear(&text);
	buf_put_cstr(&text, "POST /size HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n");
	repeat(&text, "01234567", 1000000);
	ck_assert_ptr_nonnull(strstr(talk(&app, buf_text(&text), &out, &closed), "HTTP/1.1 413 Payload Too Large"));
	ck_assert(closed);
	buf_deinit(&out);
	buf_clear(&text);
	buf_put_cstr(&text, "POST /size HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
	repeat(&text, "64\r\n0123456789012345678901234567890123456789012345678901234567890123456789"
		"012345678901234567890123456789\r\n", 11);
	ck_assert_ptr_nonnull(strstr(talk(&app, buf_text(&text), &out, &closed), "HTTP/1.1 413"));
	buf_deinit(&out);
	buf_clear(&text);
	buf_put_cstr(&text, "POST /unlimited HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n");
	repeat(&text, "0123456789", 300000);
	ck_assert_ptr_nonnull(strstr(talk(&app, buf_text(&text), &out, &closed), "\r\n\r\n3000000"));
	buf_deinit(&text);
}
END_TEST

START_TEST(http_expect_continue)
{
	const char *text = talk(&app, "POST /a HTTP/1.1\r\nContent-Length: 6\r\nExpect: 100-continue\r\n"
		"Connection: close\r\n\r\nSELECT", &out, &closed);
	ck_assert_int_eq(strncmp(text, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", 42), 0);
	ck_assert(closed);
	buf_deinit(&out);
	text = talk(&app, "POST /size HTTP/1.1\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n", &out, &closed);
	ck_assert_int_eq(strncmp(text, "HTTP/1.1 413", 12), 0);
}
END_TEST

/* Goal: an application cannot be made to write a second answer through header values. */
START_TEST(http_forged_headers)
{
	const char *text = talk(&app, "GET /forge HTTP/1.1\r\n\r\n", &out, &closed);
	ck_assert_ptr_null(strstr(text, "evil"));
	ck_assert_ptr_null(strstr(text, "x b"));
	ck_assert_ptr_null(strstr(text, "99"));
	ck_assert_ptr_nonnull(strstr(text, "x-good: 4\r\n"));
}
END_TEST

/* Goal: streams are chunked, keep the connection, and end when the client leaves or does not read. */
START_TEST(http_streams)
{
	const char *text = talk(&app, "GET /stream HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n", &out, &closed);
	ck_assert_uint_eq(count_of(text, "6\r\npiece\n\r\n"), 3);
	ck_assert(strstr(text, "0\r\n\r\n") < strstr(text, "GET /b "));
	ck_assert(!closed);
	buf_deinit(&out);
	text = talk(&app, "GET /stream HTTP/1.0\r\n\r\n", &out, &closed);
	ck_assert_ptr_nonnull(strstr(text, "\r\n\r\npiece\npiece\npiece\n"));
	ck_assert(closed);
	buf_deinit(&out);
	int leaves = dial(&app), sleeps = dial(&app);
	put_text(leaves, "GET /follow HTTP/1.1\r\n\r\n");
	put_text(sleeps, "GET /follow HTTP/1.1\r\n\r\n");
	nap(50);
	close(leaves);
	for (int i = 0; i < 400 && atomic_load(&app.streams_ended) < 2; i++)
		nap(10);
	ck_assert_uint_eq(atomic_load(&app.streams_ended), 2);
	close(sleeps);
	out = BUF_INIT(10);
}
END_TEST

/* Goal: who hangs up before the answer leaves nothing behind. */
START_TEST(http_client_gone)
{
	for (int i = 0; i < 20; i++) {
		int fd = dial(&app);
		struct linger hard = { .l_onoff = i % 2, .l_linger = 0 };
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		put_text(fd, "GET /later HTTP/1.1\r\n\r\n");
		if (i % 3 == 0)
			nap(2);
		close(fd);
	}
	for (int i = 0; i < 300 && net_stats(app.net).connections > 0; i++)
		nap(10);
	ck_assert_uint_eq(net_stats(app.net).connections, 0);
	out = BUF_INIT(10);
}
END_TEST

static _Atomic uint64_t fake_added;

static int64_t fake_wall(void *context)
{
	(void)context;
	return 0;
}

static uint64_t fake_mono(void *context)
{
	(void)context;
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec + atomic_load(&fake_added);
}

static void fake_random(void *context, void *bytes, size_t len)
{
	(void)context;
	memset(bytes, 7, len);
}

/* Goal: unfinished heads and idle connections do not stay; a waiting request does. */
START_TEST(http_time_limits)
{
	static const struct clock_source fake = { fake_wall, fake_mono, fake_random, NULL };
	clock_replace(&fake);
	struct app timed = { 0 };
	app_start(&timed, 1, ws_usual);
	int slow = dial(&timed), idle = dial(&timed), body = dial(&timed);
	put_text(slow, "GET /a HT");
	put_text(idle, "GET /a HTTP/1.1\r\n\r\n");
	put_text(body, "POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc");
	nap(50);
	ck_assert_uint_eq(net_stats(timed.net).connections, 3);
	atomic_store(&fake_added, 31ull * 1000000000u);
	/* Nothing wakes the loop for faked time but its tick. */
	for (int i = 0; i < 300 && net_stats(timed.net).connections > 1; i++)
		nap(10);
	ck_assert_uint_eq(net_stats(timed.net).connections, 1);
	atomic_store(&fake_added, 80ull * 1000000000u);
	for (int i = 0; i < 300 && net_stats(timed.net).connections > 0; i++)
		nap(10);
	ck_assert_uint_eq(net_stats(timed.net).connections, 0);
	close(slow);
	close(idle);
	close(body);
	app_stop(&timed);
	clock_replace(NULL);
	out = BUF_INIT(10);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net_http");
	TCase *group = tcase_create("http");
	tcase_set_timeout(group, 30);
	tcase_add_checked_fixture(group, setup, teardown);
	tcase_add_test(group, http_odd_requests);
	tcase_add_test(group, http_pipelined);
	tcase_add_test(group, http_pipelined_unread);
	tcase_add_test(group, http_byte_by_byte);
	tcase_add_test(group, http_head_limits);
	tcase_add_test(group, http_body_limits);
	tcase_add_test(group, http_expect_continue);
	tcase_add_test(group, http_forged_headers);
	tcase_add_test(group, http_streams);
	tcase_add_test(group, http_client_gone);
	suite_add_tcase(suite, group);
	TCase *time = tcase_create("time");
	tcase_set_timeout(time, 30);
	tcase_add_test(time, http_time_limits);
	suite_add_tcase(suite, time);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
