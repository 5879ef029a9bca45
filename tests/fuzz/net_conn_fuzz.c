/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection, driven by hand over a socket pair: HTTP heads and bodies,
 * pipelining, answers now and later, streams, the upgrade, frames, rings,
 * closing from either side. No thread runs; a round is played in its order.
 *
 * Input: pieces of {length u8, bytes}; a length of 0 takes one more byte: an
 * event (end of input, answer what waits, time passes, allocation fails).
 */
#include "net/net_internal.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct net *net;
static struct net_request *waiting;
static struct net_ring *ring;
static uint64_t now_ms = 1000000;
static uint32_t upgraded, closed;

static int64_t wall(void *context) { (void)context; return 0; }
static uint64_t mono(void *context) { (void)context; return now_ms * 1000000u; }
static void chance(void *context, void *out, size_t len) { (void)context; memset(out, 1, len); }

static void head(void *context, struct net_request *request)
{
	(void)context;
	if (net_request_target(request).len % 3 == 0)
		net_request_body_limit(request, 16);
}

static void answer(struct net_request *request)
{
	struct str target = net_request_target(request);
	uint32_t status;
	const char *text;
	struct net_header header = net_request_header_count(request) > 0 ? net_request_header_at(request, 0)
		: (struct net_header){ STR("a"), STR("b") };
	if (target.len > 1 && target.data[1] == 'w' && net_ws_check(request, &status, &text)) {
		struct net_upgrade_options options = { .text = target.len == 3, .paused = target.len == 4,
			.compression = (enum net_compression)(target.len % 3) };
		upgraded++;
		net_conn conn = net_upgrade(request, &options);
		if (target.len % 2 == 0)
			net_ws_send(net->loops[0], conn, "hello", 5);
	} else if (target.len > 1 && target.data[1] == 's') {
		struct net_stream *stream = net_stream_begin(request, 200, &header, 1);
		net_stream_write(stream, "abc", 3);
		net_stream_end(stream);
	} else {
		struct bytes body = net_request_body(request);
		net_respond(request, net_request_too_large(request) ? 413 : 200, &header, 1, body.data, body.len);
	}
}

static void request(void *context, struct net_request *got)
{
	(void)context;
	ASSERT(waiting == NULL);
	if (net_request_target(got).len % 5 == 0)
		waiting = got;
	else
		answer(got);
}

static void message(void *context, struct net_loop *loop, net_conn conn, void *user, bool binary, uint8_t *data,
	size_t len)
{
	(void)context;
	(void)user;
	uint8_t first = len > 0 ? data[0] : 0;
	ASSERT(binary || utf8_valid(data, len));
	switch (first % 8) {
	case 0: net_ws_send(loop, conn, data, len); break;
	case 1: net_ws_follow(loop, conn, ring); break;
	case 2: net_ring_send(ring, data, len, len % 2 == 0 ? conn : 0); break;
	case 3: net_ws_follow(loop, conn, NULL); break;
	case 4: net_ws_close(loop, conn, (uint16_t)(1000 + len), (struct str){ (char *)data, len }); break;
	case 5: net_ws_drop(loop, conn); break;
	default: net_ws_resume(loop, conn); break;
	}
}

static void gone(void *context, struct net_loop *loop, net_conn conn, void *user)
{
	(void)context;
	(void)loop;
	(void)conn;
	(void)user;
	closed++;
}

static bool no_round(void *context, struct net_loop *loop)
{
	(void)context;
	(void)loop;
	return false;
}

static void play_round(struct net_loop *loop, net_conn handle, int peer)
{
	struct epoll_event events[4];
	loop->now_ms = now_ms;
	int n = epoll_wait(loop->epoll_fd, events, 4, 0);
	for (int i = 0; i < n; i++) {
		if (events[i].data.u64 == handle)
			conn_event(loop, handle, events[i].events);
	}
	conn_run_again(loop);
	net_wheel_turn(loop);
	conn_reap(loop);
	net_tasks_run(loop);
	out_flush_all(loop);
	uint8_t sink[65536];
	while (recv(peer, sink, sizeof(sink), MSG_DONTWAIT) > 0) {
	}
}

static void event(struct net_loop *loop, net_conn handle, int peer, uint8_t kind)
{
	switch (kind % 6) {
	case 0: shutdown(peer, SHUT_WR); break;
	case 1:
		if (waiting != NULL) {
			struct net_request *got = waiting;
			waiting = NULL;
			answer(got);
		}
		break;
	case 2: now_ms += 1 + kind * 200; break;
	case 3: mem_fail_at(1 + kind / 8, false); break;
	case 4: net_ws_resume(loop, handle); break;
	case 5: net_ring_send(ring, "ring", 4, 0); break;
	}
	play_round(loop, handle, peer);
}

static bool is_long(void *context, struct str line)
{
	(void)context;
	return line.len > 0 && line.data[0] == 'P'; /* as publishing is */
}

static void make(void)
{
	static const struct clock_source clock = { wall, mono, chance, NULL };
	struct net_options options = { .listen_address = "127.0.0.1:0", .loops = 1, .ws = { 15000, 30000, 250 },
		.callbacks = { NULL, is_long, head, request, message, gone, no_round, NULL } };
	struct error error;
	clock_replace(&clock);
	ASSERT(net_create(&options, &net, &error) == WL_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (net == NULL)
		make();
	struct net_loop *loop = net->loops[0];
	int pair[2];
	ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	ring = net_ring_create(loop, false, NET_COMPRESS_GZIP);
	atomic_fetch_add(&net->connection_count, 1);
	struct conn *conn = conn_open(loop, pair[0]);
	ASSERT(ring != NULL && conn != NULL);
	net_conn handle = conn_handle(loop, conn);
	upgraded = closed = 0;
	for (size_t at = 0; at < len;) {
		size_t piece = data[at++];
		if (piece == 0) {
			if (at < len)
				event(loop, handle, pair[1], data[at++]);
			continue;
		}
		piece = size_min(piece, len - at);
		ssize_t n = send(pair[1], data + at, piece, MSG_NOSIGNAL);
		(void)n;
		at += piece;
		play_round(loop, handle, pair[1]);
	}
	mem_fail_at(0, false);
	close(pair[1]);
	for (int i = 0; i < 4; i++) {
		play_round(loop, handle, -1);
		now_ms += 60000;
		if (waiting != NULL)
			answer(waiting);
		waiting = NULL;
	}
	play_round(loop, handle, -1);
	ASSERT(loop->open_count == 0 && loop->reap == NULL && loop->dirty == NULL && loop->again == NULL);
	ASSERT(upgraded == closed);
	ASSERT(atomic_load(&net->connection_count) == 0 && atomic_load(&net->memory) == 0);
	net_ring_destroy(ring);
	return 0;
}
