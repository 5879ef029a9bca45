/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WebSocket frame parser and the little writers around it.
 *
 * A frame is in one of three states, seen from ws_parse:
 *
 *   head incomplete, or small and incomplete ── nothing used, the caller keeps the bytes
 *   big or fragmented                        ── head used, payload gathered as it comes (`left` counts down)
 *   whole                                    ── unmasked where it lies and handed out
 *
 * Invariants
 *   1. left > 0 implies gathering.
 *   2. message.len <= message.max at any time, and message.cap < 2 * bytes that arrived + 64.
 *   3. An oversize declaration costs nothing: the head is used up, and the next byte is the end.
 */
#include "net/ws_frame.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

void ws_parser_init(struct ws_parser *parser, bool masked_peer, size_t message_max)
{
	*parser = (struct ws_parser){ .masked_peer = masked_peer, .message = BUF_INIT(message_max) };
}

void ws_parser_deinit(struct ws_parser *parser)
{
	buf_deinit(&parser->message);
}

uint32_t ws_mask(uint8_t *data, size_t len, uint32_t mask)
{
	if (mask == 0)
		return 0;
	uint64_t wide = (uint64_t)mask << 32 | mask;
	size_t i = 0;
	for (; i + 32 <= len; i += 32) { /* four independent words: one vector where the compiler has them */
		store_u64(data + i, load_u64(data + i) ^ wide);
		store_u64(data + i + 8, load_u64(data + i + 8) ^ wide);
		store_u64(data + i + 16, load_u64(data + i + 16) ^ wide);
		store_u64(data + i + 24, load_u64(data + i + 24) ^ wide);
	}
	for (; i + 8 <= len; i += 8)
		store_u64(data + i, load_u64(data + i) ^ wide);
	for (size_t k = 0; i < len; i++, k++)
		data[i] ^= (uint8_t)(wide >> (8 * k));
	unsigned turn = (unsigned)(len % 4) * 8;
	return turn == 0 ? mask : mask >> turn | mask << (32 - turn);
}

struct head {
	uint64_t payload;
	uint32_t mask;
	uint8_t opcode, size;
	bool final, control;
};

/* 1: read; 0: incomplete; -1: illegal. */
static int head_read(const struct ws_parser *parser, const uint8_t *data, size_t len, struct head *head)
{
	if (len < 2)
		return 0;
	uint8_t first = data[0], second = data[1];
	uint8_t opcode = first & 0x0f;
	bool masked = (second & 0x80) != 0;
	if ((first & 0x70) != 0 || masked != parser->masked_peer)
		return -1;
	if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG)
		return -1;
	*head = (struct head){ .opcode = opcode, .final = (first & 0x80) != 0, .control = opcode >= WS_CLOSE };
	uint8_t small = second & 0x7f;
	if (head->control && (!head->final || small > WS_CONTROL_BYTES_MAX))
		return -1;
	if (!head->control && (opcode == WS_CONTINUATION) != parser->gathering)
		return -1;
	size_t extra = small == 127 ? 8 : small == 126 ? 2 : 0;
	size_t size = 2 + extra + (masked ? 4 : 0);
	if (len < size)
		return 0;
	uint64_t payload = extra == 0 ? small : 0;
	for (size_t i = 0; i < extra; i++)
		payload = payload << 8 | data[2 + i];
	head->payload = payload;
	head->mask = masked ? load_u32(data + 2 + extra) : 0;
	head->size = (uint8_t)size;
	return 1;
}

/* Payload bytes of the frame under way go into the message. */
static bool gather(struct ws_parser *parser, const uint8_t *data, size_t len)
{
	size_t at = parser->message.len;
	if (len == 0)
		return true;
	buf_put(&parser->message, data, len);
	if (parser->message.failed)
		return false;
	parser->mask = ws_mask(parser->message.data + at, len, parser->mask);
	parser->left -= len;
	return true;
}

static enum ws_step deliver(struct ws_parser *parser, uint8_t opcode, uint8_t *data, size_t len, struct ws_frame *frame)
{
	if (opcode == WS_TEXT && !utf8_valid(data, len))
		return WS_STEP_FAIL;
	parser->gathering = false;
	*frame = (struct ws_frame){ .opcode = opcode, .data = data, .len = len };
	return WS_STEP_MESSAGE;
}

static enum ws_step deliver_gathered(struct ws_parser *parser, struct ws_frame *frame)
{
	static uint8_t nothing[1];
	parser->delivered = true;
	uint8_t *data = parser->message.data != NULL ? parser->message.data : nothing;
	return deliver(parser, parser->opcode, data, parser->message.len, frame);
}

/* A data frame whose head has been read. Returns MORE also when a frame that is not the last is complete. */
static enum ws_step data_frame(struct ws_parser *parser, const struct head *head, uint8_t *data, size_t len,
	size_t *used, struct ws_frame *frame)
{
	if (head->payload > parser->message.max - parser->message.len) {
		parser->oversize = true;
		*used = head->size;
		return len > head->size ? WS_STEP_FAIL : WS_STEP_MORE;
	}
	size_t here = len - head->size;
	bool whole = here >= head->payload, alone = head->final && !parser->gathering;
	uint8_t *payload = data + head->size;
	if (whole && alone) {
		ws_mask(payload, (size_t)head->payload, head->mask);
		*used = head->size + (size_t)head->payload;
		return deliver(parser, head->opcode, payload, (size_t)head->payload, frame);
	}
	if (!whole && alone && head->payload <= WS_KEEP_BYTES_MAX) {
		*used = 0;
		return WS_STEP_MORE;
	}
	if (!parser->gathering)
		parser->opcode = head->opcode;
	parser->gathering = true;
	parser->final = head->final;
	parser->left = head->payload;
	parser->mask = head->mask;
	size_t take = size_min(here, (size_t)head->payload);
	*used = head->size + take;
	if (!gather(parser, payload, take))
		return WS_STEP_FAIL;
	return whole && head->final ? deliver_gathered(parser, frame) : WS_STEP_MORE;
}

static enum ws_step control_frame(const struct head *head, uint8_t *data, size_t len, size_t *used,
	struct ws_frame *frame)
{
	size_t payload = (size_t)head->payload;
	if (len - head->size < payload) {
		*used = 0;
		return WS_STEP_MORE;
	}
	ws_mask(data + head->size, payload, head->mask);
	*used = head->size + payload;
	*frame = (struct ws_frame){ .opcode = head->opcode, .data = data + head->size, .len = payload };
	return WS_STEP_CONTROL;
}

enum ws_step ws_parse(struct ws_parser *parser, uint8_t *data, size_t len, size_t *used, struct ws_frame *frame)
{
	if (parser->delivered) {
		buf_deinit(&parser->message);
		parser->delivered = false;
	}
	size_t at = 0;
	*used = 0;
	for (;;) {
		if (parser->oversize)
			return len > at ? WS_STEP_FAIL : WS_STEP_MORE;
		if (parser->left > 0) {
			size_t take = (size_t)(parser->left < len - at ? parser->left : len - at);
			if (!gather(parser, data + at, take))
				return WS_STEP_FAIL;
			at += take;
			*used = at;
			if (parser->left > 0)
				return WS_STEP_MORE;
			if (parser->final)
				return deliver_gathered(parser, frame);
			continue;
		}
		struct head head;
		int read = head_read(parser, data + at, len - at, &head);
		if (read <= 0)
			return read == 0 ? WS_STEP_MORE : WS_STEP_FAIL;
		size_t step_used;
		enum ws_step step = head.control ? control_frame(&head, data + at, len - at, &step_used, frame)
			: data_frame(parser, &head, data + at, len - at, &step_used, frame);
		at += step_used;
		*used = at;
		/* MORE with a frame used up means: a fragment is in, the next frame may be here as well. */
		if (step != WS_STEP_MORE || step_used == 0 || parser->left > 0)
			return step;
	}
}

size_t ws_head_write(uint8_t out[10], uint8_t opcode, size_t payload_len)
{
	out[0] = 0x80 | opcode;
	if (payload_len < 126) {
		out[1] = (uint8_t)payload_len;
		return 2;
	}
	size_t bytes = payload_len <= UINT16_MAX ? 2 : 8;
	out[1] = bytes == 2 ? 126 : 127;
	for (size_t i = 0; i < bytes; i++)
		out[2 + i] = (uint8_t)((uint64_t)payload_len >> (8 * (bytes - 1 - i)));
	return 2 + bytes;
}

bool ws_close_read(const uint8_t *data, size_t len, uint16_t *code, struct str *reason)
{
	*code = 0;
	*reason = (struct str){ "", 0 };
	if (len == 0)
		return true;
	if (len == 1 || !utf8_valid(data + 2, len - 2))
		return false;
	*code = (uint16_t)(data[0] << 8 | data[1]);
	*reason = (struct str){ (const char *)data + 2, len - 2 };
	return true;
}

bool ws_close_code_allowed(uint16_t code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1013) || (code >= 3000 && code <= 4999);
}

size_t ws_close_write(uint8_t out[WS_CONTROL_BYTES_MAX], uint16_t code, struct str reason)
{
	size_t len = reason.len;
	if (len > WS_CONTROL_BYTES_MAX - 2) {
		len = WS_CONTROL_BYTES_MAX - 2;
		while (len > 0 && ((uint8_t)reason.data[len] & 0xc0) == 0x80) /* cut before a character, never inside */
			len--;
	}
	out[0] = (uint8_t)(code >> 8);
	out[1] = (uint8_t)code;
	if (len > 0)
		memcpy(out + 2, reason.data, len);
	return 2 + len;
}

void ws_accept_key(struct str key, char out[29])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	uint8_t digest[SHA_DIGEST_LENGTH];
	unsigned digest_len = 0;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool done = md != NULL && EVP_DigestInit_ex(md, EVP_sha1(), NULL) == 1
		&& EVP_DigestUpdate(md, key.data, key.len) == 1 && EVP_DigestUpdate(md, guid, sizeof(guid) - 1) == 1
		&& EVP_DigestFinal_ex(md, digest, &digest_len) == 1;
	EVP_MD_CTX_free(md);
	if (!done)
		memset(digest, 0, sizeof(digest)); /* out of memory: the client will see a wrong key and leave */
	EVP_EncodeBlock((uint8_t *)out, digest, sizeof(digest));
}
