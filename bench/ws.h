/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_WS_H
#define BENCH_WS_H
/*
 * ws: the client's side of one WebSocket connection, as cheap as it can be
 * made: one recv and one send per round, frames looked at where they lie.
 *
 * Frames that it sends are masked with zeros unless told otherwise: a mask is
 * the client's business, and its XOR would be the generator's cost only (the
 * server has to unmask in any case).
 *
 * One thread. Lengths from the server are bounded: FRAME_BYTES_MAX.
 */
#include "http.h"

enum { WS_IN_BYTES = 64 << 10, WS_FRAME_BYTES_MAX = 64 << 20, WS_HEAD_BYTES = 14 };
enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

struct ws_options {
	struct target target;
	bool v3, confirmed, mask;
};
struct ws {
	int fd;
	bool mask, gone;
	uint8_t *in;         /* owned; bytes [at, used) are not looked at yet */
	size_t at, used, cap;
	uint64_t skip;       /* of a frame whose content nobody wants */
	struct buf out;      /* not yet sent, normally empty */
};
/* Connects, upgrades, and reads up to and including the first message of the server (InitialConnection). */
bool ws_connect(struct ws *ws, const struct ws_options *options);
void ws_deinit(struct ws *ws); /* closes; safe on a zeroed struct with fd -1 */

/* One recv. Bytes read; 0 when there was nothing; sets `gone`. */
size_t ws_receive(struct ws *ws);

struct ws_frame {
	uint8_t opcode;
	bool fin;
	const uint8_t *payload; /* borrowed until ws_receive */
	size_t len;
};
/* The next whole frame. False: incomplete, receive more. */
bool ws_next(struct ws *ws, struct ws_frame *frame);
/*
 * As ws_next, but does not wait for the payload of a data frame: only its first bytes (up to `peek`) are promised, the
 * rest is skipped as it comes.
 */
bool ws_next_head(struct ws *ws, struct ws_frame *frame, size_t peek);

/* Writes a frame head for a payload of `len` bytes, mask of zeros; returns its size. */
size_t ws_head(uint8_t *out, enum ws_opcode opcode, size_t len);
/* Masks the payload behind a head made by ws_head, in place. */
void ws_mask(uint8_t *head, size_t head_len, size_t len);
/* Sends whole frames; what the socket does not take waits in `out`. */
void ws_send(struct ws *ws, const void *data, size_t len);
void ws_flush(struct ws *ws);
void ws_send_message(struct ws *ws, enum ws_opcode opcode, const void *payload, size_t len);
/* Answers a Ping, notes a Close. True: it was a control frame. */
bool ws_control(struct ws *ws, const struct ws_frame *frame);

/* Length of the first server message in a payload (without its compression tag): walks TransactionUpdate and
 * ReducerResult; anything else, or what cannot be walked, is the whole rest. */
size_t server_message_len(const uint8_t *message, size_t len);
#endif
