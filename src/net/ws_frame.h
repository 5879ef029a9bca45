/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_WS_FRAME_H
#define NET_WS_FRAME_H
/*
 * ws_frame: WebSocket frames (RFC 6455 section 5) as pure functions over
 * bytes: no sockets, no threads. Both ends use it.
 *
 * Memory: a message that lies whole in the caller's bytes is delivered from
 * there, unmasked in place. A big or fragmented one is gathered in the parser's
 * own buffer, which grows as bytes arrive (never by the declared length, which
 * is a stranger's word) and is given back after delivery.
 */
#include "base/buf.h"

enum {
	WS_CONTINUATION = 0x0, WS_TEXT = 0x1, WS_BINARY = 0x2, WS_CLOSE = 0x8, WS_PING = 0x9, WS_PONG = 0xA,
	WS_CONTROL_BYTES_MAX = 125,
	WS_HEAD_BYTES_MAX = 14,
	WS_KEEP_BYTES_MAX = 4096, /* an incomplete frame up to this payload stays with the caller, raw */
};

enum ws_step {
	WS_STEP_MORE,    /* nothing whole yet: keep what is not used, come back with more behind it */
	WS_STEP_MESSAGE, /* a data message: frame->opcode is WS_TEXT or WS_BINARY */
	WS_STEP_CONTROL, /* a control frame: WS_CLOSE, WS_PING, WS_PONG */
	WS_STEP_FAIL,    /* against the protocol, too long, not UTF-8, or no memory: drop the connection */
};
struct ws_frame {
	uint8_t opcode;
	uint8_t *data; /* borrowed until the next ws_parse */
	size_t len;
};
struct ws_parser {
	uint64_t left;       /* payload bytes of the frame being gathered that have not arrived */
	struct buf message;  /* what is gathered */
	uint32_t mask;       /* rotated to the next byte's position */
	uint8_t opcode;      /* of the message being gathered */
	bool masked_peer;    /* the other end is a client: its frames must be masked; else they must not be */
	bool gathering;      /* between the first frame of a message and its last */
	bool final;          /* the frame being gathered is the message's last */
	bool oversize;       /* a length beyond the limit was declared: the first byte of it ends the connection */
	bool delivered;      /* `message` was lent to the caller by the last step */
};
void ws_parser_init(struct ws_parser *parser, bool masked_peer, size_t message_max);
void ws_parser_deinit(struct ws_parser *parser);
/* Takes the next step over `data`; *used is how many bytes of it are done with (also on MORE). Payloads are unmasked in
 * place. Call again with the rest until MORE or FAIL. */
enum ws_step ws_parse(struct ws_parser *parser, uint8_t *data, size_t len, size_t *used, struct ws_frame *frame);

/* XORs with the mask (as it lies in memory); returns the mask rotated for the byte after the last. */
uint32_t ws_mask(uint8_t *data, size_t len, uint32_t mask);
/* Writes an unmasked final frame's head of 2, 4 or 10 bytes. */
size_t ws_head_write(uint8_t out[10], uint8_t opcode, size_t payload_len);
/* A Close payload: true if it is legal in form. code 0 when empty. */
bool ws_close_read(const uint8_t *data, size_t len, uint16_t *code, struct str *reason);
bool ws_close_code_allowed(uint16_t code); /* may be echoed */
/* Writes code and as much of the reason as whole UTF-8 characters fit 123 bytes; returns the payload's length. */
size_t ws_close_write(uint8_t out[WS_CONTROL_BYTES_MAX], uint16_t code, struct str reason);
/* base64(SHA-1(key + GUID)), 28 characters, terminated. */
void ws_accept_key(struct str key, char out[29]);
#endif
