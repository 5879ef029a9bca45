/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket connections: messages in and out, control frames, closing, the
 * keep-alive clock. Frames themselves are ws_frame.c's.
 *
 * Closing: ours (net_ws_close) sends what is queued, then the Close, then
 * waits close_timeout_ms for theirs, throwing data away. Theirs is echoed
 * (1002 for a code that may not be on the wire) and the connection lingers.
 * What breaks the protocol ends the connection without a Close.
 */
#include "net/net_internal.h"

enum { PONG_BACKLOG_MAX = 64 << 10 };

static bool control_send(struct net_loop *loop, struct conn *conn, uint8_t opcode, const void *payload, size_t len)
{
	uint8_t *at = out_reserve(loop, conn, 2 + len);
	if (at == NULL)
		return false;
	ws_head_write(at, opcode, len);
	if (len > 0)
		memcpy(at + 2, payload, len);
	return true;
}

static bool close_send(struct net_loop *loop, struct conn *conn, uint16_t code, struct str reason)
{
	uint8_t payload[WS_CONTROL_BYTES_MAX];
	return control_send(loop, conn, WS_CLOSE, payload, ws_close_write(payload, code, reason));
}

/* ---- in ---- */
static void close_received(struct net_loop *loop, struct conn *conn, const struct ws_frame *frame)
{
	uint16_t code;
	struct str reason;
	if (!ws_close_read(frame->data, frame->len, &code, &reason)) {
		conn_kill(loop, conn);
		return;
	}
	if (conn->phase == CONN_WS_OPEN) {
		ring_unfollow(loop, conn, true);
		bool sent;
		if (frame->len == 0)
			sent = control_send(loop, conn, WS_CLOSE, NULL, 0);
		else if (ws_close_code_allowed(code))
			sent = close_send(loop, conn, code, reason);
		else
			sent = close_send(loop, conn, 1002, STR("Protocol violation"));
		if (!sent)
			return;
	}
	conn_finish(loop, conn);
}

static void control_received(struct net_loop *loop, struct conn *conn, const struct ws_frame *frame)
{
	if (frame->opcode == WS_CLOSE) {
		close_received(loop, conn, frame);
	} else if (frame->opcode == WS_PONG) {
		conn->pong_due = false;
	} else if (conn->phase == CONN_WS_OPEN && !(conn->blocked && conn->out_held > PONG_BACKLOG_MAX)) {
		/* A peer that pings and does not read gets no endless queue of pongs. */
		control_send(loop, conn, WS_PONG, frame->data, frame->len);
	}
}

size_t ws_feed(struct net_loop *loop, struct conn *conn, uint8_t *data, size_t len)
{
	const struct net_callbacks *callbacks = &loop->net->callbacks;
	size_t at = 0;
	uint64_t messages = 0;
	while (conn->phase == CONN_WS_OPEN || conn->phase == CONN_WS_CLOSING) {
		size_t used;
		struct ws_frame frame;
		enum ws_step step = ws_parse(&conn->ws, data + at, len - at, &used, &frame);
		at += used;
		if (step == WS_STEP_MORE)
			break;
		if (step == WS_STEP_FAIL) {
			conn_kill(loop, conn);
			break;
		}
		if (step == WS_STEP_CONTROL) {
			control_received(loop, conn, &frame);
		} else if (conn->phase == CONN_WS_OPEN) {
			messages++;
			callbacks->message(callbacks->context, loop, conn_handle(loop, conn), conn->user,
				frame.opcode == WS_BINARY, frame.data, frame.len);
		}
	}
	counter_add(&loop->messages_in, messages);
	return at;
}

/* ---- time ---- */
void ws_opened(struct net_loop *loop, struct conn *conn)
{
	conn->last_in_ms = loop->now_ms;
	conn->ping_ms = loop->now_ms; /* the first ping goes at once */
	conn->pong_due = false;
	ws_timer(loop, conn);
}

/* Does what is due, and says when to look again. */
void ws_timer(struct net_loop *loop, struct conn *conn)
{
	const struct net_ws_options *ws = &loop->net->ws;
	uint64_t due = UINT64_MAX;
	if (conn->paused) {
		net_wheel_put(loop, conn, due);
		return;
	}
	if (ws->idle_timeout_ms > 0) {
		due = conn->last_in_ms + ws->idle_timeout_ms;
		/* Who talks but takes nothing of what waits for it would hold that for ever. */
		if (conn->blocked && conn->last_out_ms + ws->idle_timeout_ms < due)
			due = conn->last_out_ms + ws->idle_timeout_ms;
	}
	if (conn->phase == CONN_WS_CLOSING && conn->deadline_ms < due)
		due = conn->deadline_ms;
	if (loop->now_ms >= due) {
		conn_kill(loop, conn);
		return;
	}
	if (conn->phase == CONN_WS_OPEN && ws->ping_interval_ms > 0) {
		if (loop->now_ms >= conn->ping_ms) {
			if (!conn->pong_due && !control_send(loop, conn, WS_PING, NULL, 0))
				return;
			conn->pong_due = true;
			conn->ping_ms = loop->now_ms + ws->ping_interval_ms;
		}
		if (conn->ping_ms < due)
			due = conn->ping_ms;
	}
	net_wheel_put(loop, conn, due);
}

/* ---- out ---- */
struct ws_payload ws_payload_make(struct net_loop *loop, bool text, uint8_t compression, const void *body, size_t len)
{
	struct ws_payload payload = { .body = body, .len = len, .text = text, .tag = NET_COMPRESS_NONE };
	if (LIKELY(len < NET_COMPRESS_BYTES_MIN || compression == NET_COMPRESS_NONE || text || len > NET_OUTPUT_BYTES_MAX))
		return payload;
	if (loop->compressor == NULL)
		loop->compressor = compressor_create();
	struct bytes packed;
	/* Without memory for it the body goes as it is: tag 0 is always legal. */
	if (loop->compressor != NULL && compress_body(loop->compressor, compression, body, len, &packed)) {
		payload.body = packed.data;
		payload.len = packed.len;
		payload.tag = compression;
	}
	return payload;
}

void net_ws_send(struct net_loop *loop, net_conn handle, const void *body, size_t len)
{
	struct conn *conn = conn_of(loop, handle);
	if (conn == NULL || conn->phase != CONN_WS_OPEN)
		return;
	struct ws_payload payload = ws_payload_make(loop, conn->text, conn->compression, body, len);
	uint8_t *at = out_reserve(loop, conn, ws_payload_size(&payload));
	if (at == NULL)
		return;
	ws_payload_write(&payload, at);
	counter_add(&loop->messages_out, 1);
}

void net_ws_send_shared(struct net_loop *loop, net_conn handle, const void *head, size_t head_len,
	const struct net_shared *shared)
{
	struct conn *conn = conn_of(loop, handle);
	struct ws_payload payload = { .body = head, .len = head_len, .tag = NET_COMPRESS_NONE };
	uint8_t *at = NULL;
	if (conn != NULL && conn->phase == CONN_WS_OPEN) {
		payload.text = conn->text;
		at = out_reserve(loop, conn, ws_payload_size_before(&payload, shared->len));
	}
	if (at == NULL) {
		shared->release(shared->arg);
		return;
	}
	ws_payload_write_before(&payload, shared->len, at);
	out_outside_push(loop, conn, shared->data, shared->len, shared->release, shared->arg);
	counter_add(&loop->messages_out, 1);
}

void net_ws_close(struct net_loop *loop, net_conn handle, uint16_t code, struct str reason)
{
	struct conn *conn = conn_of(loop, handle);
	if (conn == NULL || conn->phase != CONN_WS_OPEN)
		return;
	ring_unfollow(loop, conn, true);
	if (conn->phase != CONN_WS_OPEN || !close_send(loop, conn, code, reason))
		return;
	conn->phase = CONN_WS_CLOSING;
	conn->deadline_ms = UINT64_MAX; /* set when the Close has been handed to the kernel */
	if (conn->paused) {
		conn->paused = false;
		conn->last_in_ms = loop->now_ms;
		conn_again(loop, conn);
	}
	conn_timer_set(loop, conn);
}

void net_ws_drop(struct net_loop *loop, net_conn handle)
{
	struct conn *conn = conn_of(loop, handle);
	if (conn == NULL)
		return;
	out_flush(loop, conn); /* a client refused right after its upgrade must still see the 101 */
	conn_kill(loop, conn);
}

void net_ws_resume(struct net_loop *loop, net_conn handle)
{
	struct conn *conn = conn_of(loop, handle);
	if (conn == NULL || !conn->paused)
		return;
	conn->paused = false;
	conn_again(loop, conn);
	ws_opened(loop, conn);
}

void *net_ws_user(struct net_loop *loop, net_conn handle)
{
	struct conn *conn = conn_of(loop, handle);
	return conn != NULL ? conn->user : NULL;
}
