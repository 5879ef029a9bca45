/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of a WebSocket connection, and just enough of the messages to count them. */
#include "ws.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_BYTES_MAX = 16 << 10, OUT_BYTES_MAX = 64 << 20 };

/* ---- input ---- */

size_t ws_receive(struct ws *ws)
{
	if (ws->at > 0) {
		memmove(ws->in, ws->in + ws->at, ws->used - ws->at);
		ws->used -= ws->at;
		ws->at = 0;
	}
	ssize_t got;
	if (ws->skip > ws->cap && ws->used == 0) {
		/* TCP throws these bytes away without copying them. */
		got = recv(ws->fd, NULL, ws->skip, MSG_TRUNC);
		if (got > 0)
			ws->skip -= (uint64_t)got;
	} else {
		got = recv(ws->fd, ws->in + ws->used, ws->cap - ws->used, 0);
		if (got > 0)
			ws->used += (size_t)got;
	}
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		ws->gone = true;
	return got > 0 ? (size_t)got : 0;
}

/* The head at `at`. False: incomplete. */
static bool parse_head(const struct ws *ws, struct ws_frame *frame, size_t *head_len)
{
	const uint8_t *p = ws->in + ws->at;
	size_t left = ws->used - ws->at;
	if (left < 2)
		return false;
	frame->opcode = p[0] & 15;
	frame->fin = p[0] >> 7;
	frame->len = p[1] & 127;
	*head_len = 2;
	if (LIKELY(frame->len < 126)) {
		frame->payload = p + 2;
		return true;
	}
	*head_len = frame->len == 126 ? 4 : 10;
	if (left < *head_len)
		return false;
	frame->len = *head_len == 4 ? __builtin_bswap16(load_u16(p + 2)) : __builtin_bswap64(load_u64(p + 2));
	frame->payload = p + *head_len;
	return true;
}

bool ws_next_head(struct ws *ws, struct ws_frame *frame, size_t peek)
{
	if (ws->skip > 0) {
		size_t now = size_min(ws->skip, ws->used - ws->at);
		ws->at += now;
		ws->skip -= now;
		if (ws->skip > 0)
			return false;
	}
	size_t head_len;
	if (ws->gone || !parse_head(ws, frame, &head_len))
		return false;
	if (frame->len > WS_FRAME_BYTES_MAX * (uint64_t)16) {
		ws->gone = true;
		return false;
	}
	size_t here = ws->used - ws->at - head_len, need = frame->opcode >= WS_CLOSE ? frame->len : peek;
	if (here < frame->len && here < need)
		return false;
	ws->at += head_len + size_min(here, frame->len);
	ws->skip = frame->len - size_min(here, frame->len);
	return true;
}

bool ws_next(struct ws *ws, struct ws_frame *frame)
{
	size_t head_len;
	if (ws->gone || !parse_head(ws, frame, &head_len))
		return false;
	if (UNLIKELY(frame->len > WS_FRAME_BYTES_MAX)) {
		ws->gone = true;
		return false;
	}
	size_t whole = head_len + frame->len;
	if (ws->used - ws->at >= whole) {
		ws->at += whole;
		return true;
	}
	if (whole > ws->cap) {
		uint8_t *larger = mem_realloc(ws->in, align_up(whole, WS_IN_BYTES));
		if (larger == NULL) {
			ws->gone = true;
			return false;
		}
		ws->in = larger;
		ws->cap = align_up(whole, WS_IN_BYTES);
	}
	return false;
}

/* ---- output ---- */

size_t ws_head(uint8_t *out, enum ws_opcode opcode, size_t len)
{
	size_t at = 2;
	out[0] = 0x80 | (uint8_t)opcode;
	if (len < 126) {
		out[1] = 0x80 | (uint8_t)len;
	} else if (len < 65536) {
		out[1] = 0x80 | 126;
		store_u16(out + 2, __builtin_bswap16((uint16_t)len));
		at = 4;
	} else {
		out[1] = 0x80 | 127;
		store_u64(out + 2, __builtin_bswap64(len));
		at = 10;
	}
	store_u32(out + at, 0);
	return at + 4;
}

void ws_mask(uint8_t *head, size_t head_len, size_t len)
{
	static uint32_t key = 0x9e3779b9;
	key = key * 1664525 + 1013904223;
	store_u32(head + head_len - 4, key);
	uint64_t wide = (uint64_t)key << 32 | key;
	uint8_t *p = head + head_len;
	for (; len >= 8; len -= 8, p += 8)
		store_u64(p, load_u64(p) ^ wide);
	for (size_t i = 0; i < len; i++)
		p[i] ^= head[head_len - 4 + (i & 3)];
}

void ws_flush(struct ws *ws)
{
	if (ws->out.len == 0)
		return;
	ssize_t sent = send(ws->fd, ws->out.data, ws->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0) {
		ws->gone |= errno != EAGAIN && errno != EINTR;
		return;
	}
	memmove(ws->out.data, ws->out.data + sent, ws->out.len - (size_t)sent);
	ws->out.len -= (size_t)sent;
}

void ws_send(struct ws *ws, const void *data, size_t len)
{
	ssize_t sent = 0;
	if (ws->out.len == 0) {
		sent = send(ws->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0) {
			ws->gone |= errno != EAGAIN && errno != EINTR;
			sent = 0;
		}
	}
	if ((size_t)sent < len)
		buf_put(&ws->out, (const uint8_t *)data + sent, len - (size_t)sent);
	ws->gone |= ws->out.failed;
}

void ws_send_message(struct ws *ws, enum ws_opcode opcode, const void *payload, size_t len)
{
	uint8_t head[WS_HEAD_BYTES];
	struct buf frame = BUF_INIT(OUT_BYTES_MAX);
	size_t head_len = ws_head(head, opcode, len);
	buf_put(&frame, head, head_len);
	if (len > 0)
		buf_put(&frame, payload, len);
	if (frame.failed) {
		ws->gone = true;
	} else {
		if (ws->mask)
			ws_mask(frame.data, head_len, len);
		ws_send(ws, frame.data, frame.len);
	}
	buf_deinit(&frame);
}

bool ws_control(struct ws *ws, const struct ws_frame *frame)
{
	if (LIKELY(frame->opcode < WS_CLOSE))
		return false;
	if (frame->opcode == WS_PING)
		ws_send_message(ws, WS_PONG, frame->payload, frame->len);
	if (frame->opcode == WS_CLOSE) {
		fprintf(stderr, "load: closed by the server: %.*s\n", frame->len > 2 ? (int)frame->len - 2 : 0,
			(const char *)frame->payload + 2);
		ws->gone = true;
	}
	return true;
}

/* ---- handshake ---- */

static bool send_upgrade(struct ws *ws, const struct ws_options *options)
{
	struct buf head = BUF_INIT(HEAD_BYTES_MAX);
	buf_printf(&head,
		"GET /v1/database/%s/subscribe?compression=None&confirmed=%s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		"Sec-WebSocket-Protocol: %s.bsatn.spacetimedb\r\n", options->target.database,
		options->confirmed ? "true" : "false", options->target.address, options->target.port,
		options->v3 ? "v3" : "v2");
	if (options->target.token != NULL)
		buf_printf(&head, "Authorization: Bearer %s\r\n", options->target.token);
	buf_put_cstr(&head, "\r\n");
	bool sent = !head.failed && send(ws->fd, head.data, head.len, MSG_NOSIGNAL) == (ssize_t)head.len;
	buf_deinit(&head);
	return sent;
}

/* Reads the 101 and leaves what came behind it in the buffer. */
static bool read_upgrade(struct ws *ws)
{
	while (ws->used < HEAD_BYTES_MAX) {
		if (ws_receive(ws) == 0)
			return false;
		const uint8_t *end = memmem(ws->in, ws->used, "\r\n\r\n", 4);
		if (end == NULL)
			continue;
		ws->at = (size_t)(end - ws->in) + 4;
		if (memcmp(ws->in, "HTTP/1.1 101", 12) == 0)
			return true;
		fprintf(stderr, "load: upgrade refused: %.*s\n", (int)ws->used, (const char *)ws->in);
		return false;
	}
	return false;
}

bool ws_connect(struct ws *ws, const struct ws_options *options)
{
	*ws = (struct ws){ .fd = target_connect(&options->target), .mask = options->mask, .cap = WS_IN_BYTES,
		.out = BUF_INIT(OUT_BYTES_MAX) };
	ws->in = mem_alloc(ws->cap);
	struct ws_frame frame;
	bool ok = ws->fd >= 0 && ws->in != NULL && send_upgrade(ws, options) && read_upgrade(ws);
	while (ok) {
		if (ws_next(ws, &frame)) {
			if (ws_control(ws, &frame))
				continue;
			ok = frame.len > 2 && frame.payload[0] == 0 && frame.payload[1] == 0;
			break;
		}
		ok = ws_receive(ws) > 0 && !ws->gone;
	}
	if (!ok) {
		fprintf(stderr, "load: no connection to %s:%u: %s\n", options->target.address, options->target.port,
			ws->fd < 0 ? strerror(errno) : "handshake failed");
		ws_deinit(ws);
	}
	return ok;
}

void ws_deinit(struct ws *ws)
{
	if (ws->fd >= 0)
		close(ws->fd);
	mem_free(ws->in);
	buf_deinit(&ws->out);
	*ws = (struct ws){ .fd = -1 };
}

/* ---- messages ---- */

static void skip_row_list(struct reader *r)
{
	if (reader_u8(r) == 0)
		reader_u16(r);
	else
		(void)reader_take(r, (size_t)reader_u32(r) * 8, "offsets");
	(void)reader_take(r, reader_u32(r), "rows");
}

static void skip_update(struct reader *r)
{
	for (uint32_t sets = reader_u32(r); sets > 0 && !r->failed; sets--) {
		reader_u32(r);
		for (uint32_t tables = reader_u32(r); tables > 0 && !r->failed; tables--) {
			(void)reader_take(r, reader_u32(r), "name");
			for (uint32_t rows = reader_u32(r); rows > 0 && !r->failed; rows--) {
				bool event = reader_u8(r) != 0;
				skip_row_list(r);
				if (!event)
					skip_row_list(r);
			}
		}
	}
}

size_t server_message_len(const uint8_t *message, size_t len)
{
	struct reader r = reader_of(message, len);
	switch (reader_u8(&r)) {
	case 4:
		skip_update(&r);
		break;
	case 6:
		(void)reader_take(&r, 12, "request id and timestamp");
		switch (reader_u8(&r)) {
		case 0:
			(void)reader_take(&r, reader_u32(&r), "value");
			skip_update(&r);
			break;
		case 1:
			break;
		default:
			(void)reader_take(&r, reader_u32(&r), "text");
		}
		break;
	default:
		return len;
	}
	return r.failed ? len : len - reader_left(&r);
}
