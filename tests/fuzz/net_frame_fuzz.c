/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket frames from arbitrary bytes: whatever comes, the parser stays in
 * bounds, keeps its promises about memory, and yields the same messages
 * whether the bytes come at once or in pieces.
 *
 * Input: one byte of seed for the pieces, then the stream.
 */
#include "base/mem.h"
#include "net/http_body.h"
#include "net/ws_frame.h"

#include <stdlib.h>

enum { MESSAGE_MAX = 1 << 16 };

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

/* A digest of what came out; the last word says whether it failed. */
static uint64_t parse(const uint8_t *data, size_t len, uint32_t seed, bool masked_peer)
{
	struct ws_parser parser;
	ws_parser_init(&parser, masked_peer, MESSAGE_MAX);
	uint8_t *held = mem_or_abort(mem_alloc(len + 1));
	size_t held_len = 0, from = 0;
	uint64_t digest = 0;
	bool failed = false;
	while (from < len && !failed) {
		size_t take = seed == 0 ? len : size_min(len - from, 1 + next(&seed) % 20);
		memcpy(held + held_len, data + from, take);
		held_len += take;
		from += take;
		size_t at = 0, used;
		struct ws_frame frame;
		enum ws_step step;
		while ((step = ws_parse(&parser, held + at, held_len - at, &used, &frame)) != WS_STEP_MORE) {
			ASSERT(used <= held_len - at);
			at += used;
			if (step == WS_STEP_FAIL) {
				failed = true;
				break;
			}
			ASSERT(frame.len <= MESSAGE_MAX && (step == WS_STEP_MESSAGE || frame.len <= WS_CONTROL_BYTES_MAX));
			digest = digest * 31 + hash_bytes(frame.data, frame.len) + frame.opcode;
		}
		if (failed)
			break;
		at += used;
		ASSERT(at <= held_len && held_len - at <= WS_KEEP_BYTES_MAX + WS_HEAD_BYTES_MAX);
		ASSERT(parser.message.cap <= 2 * from + 64);
		memmove(held, held + at, held_len - at);
		held_len -= at;
	}
	mem_free(held);
	ws_parser_deinit(&parser);
	return digest * 2 + failed;
}

static uint64_t dechunk(const uint8_t *data, size_t len, uint32_t seed)
{
	struct http_chunked chunked = { 0 };
	struct buf out = BUF_INIT(MESSAGE_MAX);
	enum http_step step = HTTP_STEP_MORE;
	size_t from = 0;
	while (from < len && step == HTTP_STEP_MORE) {
		size_t take = seed == 0 ? len : size_min(len - from, 1 + next(&seed) % 20), used;
		step = http_chunked_feed(&chunked, data + from, take, &used, &out, MESSAGE_MAX / 2);
		ASSERT(used <= take && (step != HTTP_STEP_MORE || used == take) && out.len <= MESSAGE_MAX / 2);
		from += used;
	}
	uint64_t digest = hash_bytes(out.data, out.len) * 8 + step + from * 64;
	buf_deinit(&out);
	return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	uint32_t seed = data[0] + 1;
	bool masked_peer = seed % 2 == 0;
	ASSERT(parse(data + 1, len - 1, 0, masked_peer) == parse(data + 1, len - 1, seed, masked_peer));
	ASSERT(dechunk(data + 1, len - 1, 0) == dechunk(data + 1, len - 1, seed));
	return 0;
}
