/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_FIXTURE_H
#define NET_FIXTURE_H
/*
 * A little application over net, in this process, and a raw TCP client.
 *
 * HTTP: /echo answers "METHOD target body"; /size the body's length, or 413;
 * /status/NNN; /later from another thread; /chunked a body as one chunk;
 * /stream three chunks from another thread; /follow a stream until the client
 * is gone; /forge bad headers; /ws upgrades (?gzip ?brotli ?text ?paused).
 *
 * A WebSocket message's first byte is a command:
 *   E echo   F follow the ring   U stop   R ring to all but me   A ring to all   C close 1011   D drop
 *   B<n> n bytes of 'b'   L<ms> lend for so long   N how often `closed` was called   I 1 then ring then 2
 */
#include "base/clock.h"
#include "base/mem.h"
#include "net/net.h"
#include "net/net_internal.h"
#include "net/ws_client.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct app {
	struct net *net;
	struct net_ring *rings[NET_LOOPS_MAX];
	struct worker_pool *pool;
	_Atomic uint32_t closed, streams_ended, lends_lost, lends_kept, rounds;
	_Atomic uint32_t lend_ms[NET_LOOPS_MAX]; /* what the next round of this loop lends for */
	enum net_compression ring_compression;
	bool ring_text;
};

static inline void nap(uint32_t ms)
{
	usleep(ms * 1000);
}

static inline void answer_text(struct net_request *request, uint32_t status, const char *text)
{
	struct net_header header = { STR("content-type"), STR("text/plain") };
	net_respond(request, status, &header, 1, text, strlen(text));
}

static inline void later_run(void *arg)
{
	nap(20);
	answer_text(arg, 200, "later");
}

static inline void stream_job_run(void *arg)
{
	struct net_stream *stream = net_stream_begin(arg, 200, NULL, 0);
	for (int i = 0; i < 3; i++) {
		nap(5);
		net_stream_write(stream, "piece\n", 6);
	}
	net_stream_end(stream);
}

static inline void follow_run(void *arg)
{
	struct app *app = net_request_user(arg);
	struct net_stream *stream = net_stream_begin(arg, 200, NULL, 0);
	char piece[1000];
	memset(piece, 'f', sizeof(piece));
	for (int i = 0; i < 20000 && net_stream_write(stream, piece, sizeof(piece)); i++) {
		if (i % 10 == 0)
			nap(1);
	}
	net_stream_end(stream);
	atomic_fetch_add(&app->streams_ended, 1);
}

static inline bool target_is(const struct net_request *request, const char *path)
{
	struct str target = net_request_target(request);
	size_t len = strlen(path);
	return target.len >= len && memcmp(target.data, path, len) == 0;
}

static inline bool target_has(const struct net_request *request, const char *word)
{
	struct str target = net_request_target(request);
	return memmem(target.data, target.len, word, strlen(word)) != NULL;
}

static inline void app_head(void *context, struct net_request *request)
{
	net_request_set_user(request, context);
	if (target_is(request, "/size"))
		net_request_body_limit(request, 1000);
	if (target_is(request, "/unlimited"))
		net_request_body_limit(request, UINT64_MAX);
}

static inline void upgrade(struct app *app, struct net_request *request)
{
	uint32_t status;
	const char *text;
	if (!net_ws_check(request, &status, &text)) {
		struct net_header headers[] = { { STR("connection"), STR("upgrade") }, { STR("upgrade"), STR("websocket") } };
		net_respond(request, status, headers, 2, text, strlen(text));
		return;
	}
	struct net_header extra = { STR("x-extra"), STR("yes") };
	struct net_upgrade_options options = { .protocol = STR("test"), .headers = &extra, .header_count = 1,
		.text = target_has(request, "text"), .paused = target_has(request, "paused"), .user = app };
	if (target_has(request, "gzip"))
		options.compression = NET_COMPRESS_GZIP;
	if (target_has(request, "brotli"))
		options.compression = NET_COMPRESS_BROTLI;
	struct net_loop *loop = net_request_loop(request);
	bool greet = target_has(request, "greet"), follow = target_has(request, "follow");
	net_conn conn = net_upgrade(request, &options);
	if (greet) /* the handle is good at once */
		net_ws_send(loop, conn, "welcome", 7);
	if (follow)
		net_ws_follow(loop, conn, app->rings[net_loop_index(loop)]);
}

static inline void app_request(void *context, struct net_request *request)
{
	struct app *app = context;
	struct str method = net_request_method(request), target = net_request_target(request);
	struct bytes body = net_request_body(request);
	if (target_is(request, "/later")) {
		ck_assert(worker_pool_run(app->pool, later_run, request));
	} else if (target_is(request, "/stream")) {
		ck_assert(worker_pool_run(app->pool, stream_job_run, request));
	} else if (target_is(request, "/follow")) {
		ck_assert(worker_pool_run(app->pool, follow_run, request));
	} else if (target_is(request, "/ws")) {
		upgrade(app, request);
	} else if (target_is(request, "/status/")) {
		answer_text(request, (uint32_t)strtoul(target.data + 8, NULL, 10), "body");
	} else if (target_is(request, "/chunked")) {
		struct net_header chunked = { STR("transfer-encoding"), STR("chunked") };
		net_respond(request, 200, &chunked, 1, "one chunk", 9);
	} else if (target_is(request, "/forge")) {
		struct net_header bad[] = { { STR("x-a"), STR("1\r\nx-evil: 2") }, { STR("x b"), STR("3") },
			{ STR("content-length"), STR("99") }, { STR("x-good"), STR("4") } };
		net_respond(request, 200, bad, 4, "", 0);
	} else if (target_is(request, "/size") || target_is(request, "/unlimited")) {
		char text[32];
		snprintf(text, sizeof(text), "%zu%s", body.len, net_request_body_absent(request) ? " absent" : "");
		answer_text(request, net_request_too_large(request) ? 413 : 200, text);
	} else {
		struct buf text = BUF_INIT(8 << 20);
		buf_printf(&text, "%.*s %.*s %.*s", STR_FMT(method), STR_FMT(target), (int)body.len, (const char *)body.data);
		answer_text(request, 200, buf_text(&text));
		buf_deinit(&text);
	}
}

static inline void message_lend(struct app *app, struct net_loop *loop, uint32_t ms)
{
	atomic_store(&app->lend_ms[net_loop_index(loop)], ms);
}

static inline void app_message(void *context, struct net_loop *loop, net_conn conn, void *user, bool binary,
	uint8_t *data, size_t len)
{
	struct app *app = context;
	struct net_ring *ring = app->rings[net_loop_index(loop)];
	(void)user;
	(void)binary;
	ck_assert_uint_eq(net_conn_loop(conn), net_loop_index(loop));
	if (len == 0)
		return;
	char number[16] = "";
	memcpy(number, data + 1, size_min(len - 1, 15));
	uint32_t n = (uint32_t)strtoul(number, NULL, 10);
	switch (data[0]) {
	case 'E': net_ws_send(loop, conn, data + 1, len - 1); break;
	case 'F': net_ws_follow(loop, conn, ring); break;
	case 'U': net_ws_follow(loop, conn, NULL); break;
	case 'R': net_ring_send(ring, data + 1, len - 1, conn); break;
	case 'A': net_ring_send(ring, data + 1, len - 1, 0); break;
	case 'C': net_ws_send(loop, conn, "last", 4); net_ws_close(loop, conn, 1011, STR("told so")); break;
	case 'D': net_ws_drop(loop, conn); break;
	case 'L': message_lend(app, loop, n); net_ws_send(loop, conn, "lent", 4); break;
	case 'I':
		net_ws_send(loop, conn, "1", 1);
		net_ring_send(ring, "ring", 4, 0);
		net_ws_send(loop, conn, "2", 1);
		break;
	case 'N': {
		char text[16];
		snprintf(text, sizeof(text), "%u", atomic_load(&app->closed));
		net_ws_send(loop, conn, text, strlen(text));
		break;
	}
	case 'B': {
		static uint8_t bytes[80 << 20]; /* no allocation: tests make them fail */
		ck_assert_uint_le(n, sizeof(bytes));
		memset(bytes, 'b', n);
		net_ws_send(loop, conn, bytes, n);
		break;
	}
	default: break;
	}
}

static inline void app_closed(void *context, struct net_loop *loop, net_conn conn, void *user)
{
	struct app *app = context;
	ck_assert_ptr_eq(user, app);
	ck_assert_ptr_null(net_ws_user(loop, conn));
	atomic_fetch_add(&app->closed, 1);
}

static inline void lent_run(void *arg)
{
	nap(*(uint32_t *)arg);
}

static inline bool app_round(void *context, struct net_loop *loop)
{
	struct app *app = context;
	uint32_t index = net_loop_index(loop);
	atomic_fetch_add(&app->rounds, 1);
	if (app->rings[index] == NULL)
		app->rings[index] = net_ring_create(loop, app->ring_text, app->ring_compression);
	uint32_t ms = atomic_exchange(&app->lend_ms[index], 0);
	if (ms == 0)
		return false;
	if (!net_loop_lend(loop, lent_run, &ms)) {
		atomic_fetch_add(&app->lends_lost, 1);
		return false;
	}
	atomic_fetch_add(&app->lends_kept, 1);
	return true;
}

static inline void app_tick(void *context, struct net_loop *loop)
{
	(void)context;
	(void)loop;
}

static inline void app_start(struct app *app, uint32_t loops, struct net_ws_options ws)
{
	struct net_options options = { .listen_address = "127.0.0.1:0", .loops = loops, .ws = ws,
		.callbacks = { .context = app, .request_head = app_head, .request = app_request, .message = app_message,
			.closed = app_closed, .round = app_round, .tick = app_tick } };
	struct error error;
	app->pool = worker_pool_create("test", 16, 0);
	ck_assert_msg(net_create(&options, &app->net, &error) == WL_OK, "%s", error.text);
	ck_assert_msg(net_start(app->net, &error) == WL_OK, "%s", error.text);
}

static inline void app_stop(struct app *app)
{
	net_stop(app->net, 1001, "bye", 1000);
	worker_pool_destroy(app->pool);
	net_destroy(app->net);
}

static const struct net_ws_options ws_usual = { .ping_interval_ms = 15000, .idle_timeout_ms = 30000,
	.close_timeout_ms = 250 };

/* ---- a raw client ---- */
static inline int dial(const struct app *app)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(net_port(app->net)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline void put_all(int fd, const void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, (const uint8_t *)data + at, len - at, MSG_NOSIGNAL);
		if (n < 0)
			return;
		at += (size_t)n;
	}
}

static inline void put_text(int fd, const char *text)
{
	put_all(fd, text, strlen(text));
}

/* Reads until the end, or until nothing comes for `quiet_ms`. */
static inline bool get_all(int fd, struct buf *out, uint32_t quiet_ms)
{
	struct timeval quiet = { .tv_sec = quiet_ms / 1000, .tv_usec = quiet_ms % 1000 * 1000 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof(quiet));
	uint8_t piece[65536];
	ssize_t n;
	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
		buf_put(out, piece, (size_t)n);
	return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* One connection's talk: sends, returns all that came; `closed` tells whether the server ended it. */
static inline const char *talk(const struct app *app, const char *text, struct buf *out, bool *closed)
{
	int fd = dial(app);
	put_all(fd, text, strlen(text));
	*out = BUF_INIT(64 << 20);
	*closed = get_all(fd, out, 150);
	close(fd);
	return buf_text(out);
}

static inline struct ws_client *ws_dial(const struct app *app, const char *path)
{
	struct ws_client_options options = { .host = "127.0.0.1", .port = net_port(app->net), .path = path,
		.protocol = "test" };
	struct ws_client *client;
	struct error error;
	ck_assert_msg(ws_client_connect(&options, &client, &error) == WL_OK, "%s", error.text);
	return client;
}

static inline void ws_say(struct ws_client *client, const char *text)
{
	ck_assert_int_eq(ws_client_send(client, true, text, strlen(text), NULL), WL_OK);
}

/* The next message, without its tag; NULL when the connection is over or nothing came. */
static inline const char *ws_hear(struct ws_client *client, char text[256])
{
	struct ws_client_message message;
	if (ws_client_receive(client, 3000, &message, NULL) != WL_OK || message.closed || message.len > 250)
		return NULL;
	size_t tag = message.binary ? 1 : 0;
	memcpy(text, message.data + tag, message.len - tag);
	text[message.len - tag] = '\0';
	return text;
}
#endif
