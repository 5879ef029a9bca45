/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames, the chunked coding and request framing: pure functions, at every split position. */
#include "base/mem.h"
#include "net/http_body.h"
#include "net/ws_frame.h"

#include <check.h>
#include <stdlib.h>

enum { MESSAGE_MAX = 1 << 20 };

static size_t frame_put(uint8_t *out, uint8_t first, size_t len, uint32_t mask, const uint8_t *payload)
{
	size_t n = ws_head_write(out, 0, len);
	out[0] = first;
	out[1] |= 0x80;
	store_u32(out + n, mask);
	n += 4;
	memcpy(out + n, payload, len);
	ws_mask(out + n, len, mask);
	return n + len;
}

/* Everything a run of bytes yields, as text: "t:hello|p:x|..." with `fail` at the end if it failed. */
struct seen {
	struct buf text;
	bool failed;
};

static void note(struct seen *seen, const struct ws_frame *frame)
{
	static const char names[] = { [WS_TEXT] = 't', [WS_BINARY] = 'b', [WS_CLOSE] = 'c', [WS_PING] = 'p',
		[WS_PONG] = 'q' };
	buf_put_u8(&seen->text, (uint8_t)names[frame->opcode]);
	buf_put_u8(&seen->text, ':');
	buf_put(&seen->text, frame->data, frame->len);
	buf_put_u8(&seen->text, '|');
}

/* Feeds `len` bytes in pieces that end at each of `cuts` (ascending), keeping leftovers as a connection does. */
static void run(const uint8_t *bytes, size_t len, const size_t *cuts, size_t cut_count, struct seen *seen)
{
	struct ws_parser parser;
	ws_parser_init(&parser, true, MESSAGE_MAX);
	buf_init(&seen->text, 4 << 20);
	seen->failed = false;
	uint8_t *held = mem_or_abort(mem_alloc(len + 1));
	size_t held_len = 0, from = 0;
	for (size_t i = 0; i <= cut_count && !seen->failed; i++) {
		size_t to = i < cut_count ? cuts[i] : len;
		memcpy(held + held_len, bytes + from, to - from);
		held_len += to - from;
		from = to;
		size_t at = 0, used;
		struct ws_frame frame;
		enum ws_step step;
		while ((step = ws_parse(&parser, held + at, held_len - at, &used, &frame)) != WS_STEP_MORE) {
			at += used;
			if (step == WS_STEP_FAIL) {
				seen->failed = true;
				break;
			}
			note(seen, &frame);
		}
		at += used;
		if (!seen->failed) {
			ck_assert_uint_le(held_len - at, WS_KEEP_BYTES_MAX + WS_HEAD_BYTES_MAX);
			memmove(held, held + at, held_len - at);
			held_len -= at;
		}
	}
	mem_free(held);
	ws_parser_deinit(&parser);
}

static size_t conversation(uint8_t *out)
{
	size_t n = 0;
	uint8_t long_one[300];
	memset(long_one, 'L', sizeof(long_one));
	n += frame_put(out + n, 0x81, 5, 0x11223344, (const uint8_t *)"hello");
	n += frame_put(out + n, 0x82, 0, 0x55667788, (const uint8_t *)"");
	n += frame_put(out + n, 0x02, 3, 0x99aabbcc, (const uint8_t *)"abc");
	n += frame_put(out + n, 0x89, 2, 0x01020304, (const uint8_t *)"hi");
	n += frame_put(out + n, 0x00, 0, 0x0a0b0c0d, (const uint8_t *)"");
	n += frame_put(out + n, 0x80, 300, 0xdeadbeef, long_one);
	n += frame_put(out + n, 0x8a, 1, 0, (const uint8_t *)"z");
	n += frame_put(out + n, 0x88, 4, 0xffffffff, (const uint8_t *)"\x03\xe8ok");
	return n;
}

/* Goal: the same messages come out however the bytes were cut. Every pair of cuts. */
START_TEST(frames_at_every_split)
{
	uint8_t bytes[1024];
	size_t len = conversation(bytes);
	struct seen whole, cut;
	run(bytes, len, NULL, 0, &whole);
	ck_assert(!whole.failed);
	struct str text = buf_str(&whole.text);
	ck_assert_uint_eq(text.len, strlen("t:hello|b:|p:hi|b:abc|q:z|c:..ok|") + 300);
	ck_assert_int_eq(memcmp(text.data, "t:hello|b:|p:hi|b:abcLLL", 24), 0);
	for (size_t a = 0; a < len; a++) {
		for (size_t b = a; b < len; b++) {
			size_t cuts[2] = { a, b };
			run(bytes, len, cuts, 2, &cut);
			ck_assert(!cut.failed && bytes_eq(buf_bytes(&cut.text), buf_bytes(&whole.text)));
			buf_deinit(&cut.text);
		}
	}
	buf_deinit(&whole.text);
}
END_TEST

/* Goal: a byte at a time, with a payload that is gathered (above the kept size), is the message that was sent. */
START_TEST(frames_byte_by_byte_gathered)
{
	enum { BIG = WS_KEEP_BYTES_MAX + 1003 };
	uint8_t *payload = mem_or_abort(mem_alloc(BIG)), *bytes = mem_or_abort(mem_alloc(BIG + 14));
	for (size_t i = 0; i < BIG; i++)
		payload[i] = (uint8_t)(i * 31 + i / 256);
	size_t len = frame_put(bytes, 0x82, BIG, 0x8badf00d, payload);
	size_t *cuts = mem_or_abort(mem_zalloc_array(len, sizeof(*cuts)));
	for (size_t i = 0; i < len; i++)
		cuts[i] = i;
	struct seen seen;
	run(bytes, len, cuts, len, &seen);
	ck_assert(!seen.failed);
	ck_assert_uint_eq(seen.text.len, BIG + 3);
	ck_assert_int_eq(memcmp(seen.text.data + 2, payload, BIG), 0);
	buf_deinit(&seen.text);
	mem_free(cuts);
	mem_free(payload);
	mem_free(bytes);
}
END_TEST

/* Goal: masking in words gives what masking byte by byte gives, and the rotated mask continues a payload. */
START_TEST(mask_words_equal_bytes)
{
	uint8_t plain[131], fast[131];
	for (size_t len = 0; len <= sizeof(plain); len++) {
		for (size_t split = 0; split <= len; split += 7) {
			uint32_t mask = 0xa1b2c3d4;
			for (size_t i = 0; i < len; i++) {
				fast[i] = (uint8_t)i;
				plain[i] = (uint8_t)(i ^ (mask >> (8 * (i % 4)) & 0xff));
			}
			uint32_t next = ws_mask(fast, split, mask);
			ws_mask(fast + split, len - split, next);
			ck_assert_int_eq(memcmp(plain, fast, len), 0);
		}
	}
}
END_TEST

static bool fails(const uint8_t *bytes, size_t len)
{
	struct seen seen;
	run(bytes, len, NULL, 0, &seen);
	buf_deinit(&seen.text);
	return seen.failed;
}
#define FAILS(hex) fails((const uint8_t *)(hex), sizeof(hex) - 1)

/* Goal: what the protocol forbids fails, what it allows does not. */
START_TEST(frames_illegal)
{
	ck_assert(FAILS("\x82\x03" "abc"));                                    /* not masked */
	ck_assert(FAILS("\xc2\x80\0\0\0\0"));                                  /* RSV1 */
	ck_assert(FAILS("\x83\x80\0\0\0\0"));                                  /* reserved data opcode */
	ck_assert(FAILS("\x8b\x80\0\0\0\0"));                                  /* reserved control opcode */
	ck_assert(FAILS("\x09\x80\0\0\0\0"));                                  /* fragmented ping */
	ck_assert(FAILS("\x89\xfe\0\x7e"));                                    /* ping of 126 bytes: the head is enough */
	ck_assert(FAILS("\x80\x80\0\0\0\0"));                                  /* continuation of nothing */
	ck_assert(FAILS("\x02\x80\0\0\0\0\x82\x80\0\0\0\0"));                  /* new message inside another */
	ck_assert(FAILS("\x81\x81\0\0\0\0\xff"));                              /* text that is not UTF-8 */
	ck_assert(FAILS("\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0\xc3"));          /* the same over two frames */
	ck_assert(!FAILS("\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0\xa9"));         /* a character cut in two is whole text */
	ck_assert(!FAILS("\x8a\x80\0\0\0\0"));
}
END_TEST

/* Goal: a length beyond the limit costs no memory; its first payload byte is the end. */
START_TEST(frames_oversize)
{
	static const uint8_t huge[] = "\x82\xff\x40\0\0\0\0\0\0\0\0\0\0\0x";
	static const uint8_t top_bit[] = "\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0x";
	uint64_t before = mem_stats().allocations;
	struct ws_parser parser;
	struct ws_frame frame;
	size_t used;
	uint8_t copy[16];
	for (int i = 0; i < 2; i++) {
		ws_parser_init(&parser, true, MESSAGE_MAX);
		memcpy(copy, i == 0 ? huge : top_bit, 15);
		ck_assert_int_eq(ws_parse(&parser, copy, 14, &used, &frame), WS_STEP_MORE);
		ck_assert_uint_eq(used, 14);
		ck_assert_int_eq(ws_parse(&parser, copy + 14, 0, &used, &frame), WS_STEP_MORE);
		ck_assert_int_eq(ws_parse(&parser, copy + 14, 1, &used, &frame), WS_STEP_FAIL);
		ws_parser_deinit(&parser);
	}
	ck_assert_uint_eq(mem_stats().allocations, before);
}
END_TEST

/* Goal: memory follows the bytes that came, and fragments count together towards the limit. */
START_TEST(frames_memory_follows_bytes)
{
	struct ws_parser parser;
	struct ws_frame frame;
	size_t used;
	uint8_t head[14] = { 0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0 }, piece[600] = { 0 };
	ws_parser_init(&parser, true, MESSAGE_MAX);
	ck_assert_int_eq(ws_parse(&parser, head, 14, &used, &frame), WS_STEP_MORE);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(ws_parse(&parser, piece, sizeof(piece), &used, &frame), WS_STEP_MORE);
		ck_assert_uint_eq(used, sizeof(piece));
	}
	ck_assert_uint_le(parser.message.cap, 2 * 6000 + 64);
	ws_parser_deinit(&parser);
	ws_parser_init(&parser, true, 1000);
	uint8_t first[8 + 600] = { 0x02, 0xfe, 0x02, 0x58 };
	ck_assert_int_eq(ws_parse(&parser, first, sizeof(first), &used, &frame), WS_STEP_MORE);
	first[0] = 0x80;
	ck_assert_int_eq(ws_parse(&parser, first, sizeof(first), &used, &frame), WS_STEP_FAIL);
	ws_parser_deinit(&parser);
}
END_TEST

/* Goal: Close payloads: codes, cutting at a character, malformed ones. */
START_TEST(close_payloads)
{
	uint8_t out[WS_CONTROL_BYTES_MAX];
	char reason[200];
	memset(reason, 'x', 122);
	memcpy(reason + 122, "\xc3\xa9tail", 6);
	ck_assert_uint_eq(ws_close_write(out, 1011, (struct str){ reason, 128 }), 2 + 122);
	ck_assert_uint_eq(ws_close_write(out, 1011, STR("no")), 4);
	ck_assert_int_eq(memcmp(out, "\x03\xf3no", 4), 0);
	uint16_t code;
	struct str text;
	ck_assert(ws_close_read(out, 4, &code, &text) && code == 1011 && str_eq(text, STR("no")));
	ck_assert(ws_close_read(out, 0, &code, &text) && code == 0);
	ck_assert(!ws_close_read(out, 1, &code, &text));
	ck_assert(!ws_close_read((const uint8_t *)"\x03\xe8\xff", 3, &code, &text));
	static const uint16_t good[] = { 1000, 1001, 1003, 1007, 1011, 1013, 3000, 4999 };
	static const uint16_t bad[] = { 0, 999, 1004, 1005, 1006, 1014, 1015, 2999, 5000 };
	for (size_t i = 0; i < ARRAY_COUNT(good); i++)
		ck_assert(ws_close_code_allowed(good[i]));
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		ck_assert(!ws_close_code_allowed(bad[i]));
}
END_TEST

/* Goal: RFC 6455's own example. */
START_TEST(accept_key)
{
	char accept[29];
	ws_accept_key(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept);
	ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
END_TEST

static enum http_step dechunk(const char *text, size_t len, size_t cut, uint64_t max, struct buf *out, size_t *used)
{
	struct http_chunked chunked = { 0 };
	size_t a = 0, b = 0;
	enum http_step step = http_chunked_feed(&chunked, (const uint8_t *)text, cut, &a, out, max);
	if (step == HTTP_STEP_MORE) {
		ck_assert_uint_eq(a, cut);
		step = http_chunked_feed(&chunked, (const uint8_t *)text + cut, len - cut, &b, out, max);
	}
	*used = a + b;
	return step;
}

/* Goal: chunks, extensions and trailers at every split; what is behind the body is not touched. */
START_TEST(chunked_at_every_split)
{
	static const char text[] = "4\r\nWiki\r\n6;a=b\r\npedia \r\nE \r\nin \r\n\r\nchunks.\r\n0\r\nX: y\r\n\r\nGET /";
	size_t body_end = strlen(text) - 5;
	for (size_t cut = 0; cut <= body_end; cut++) {
		struct buf out = BUF_INIT(1000);
		size_t used;
		ck_assert_int_eq(dechunk(text, strlen(text), cut, 1000, &out, &used), HTTP_STEP_DONE);
		ck_assert_uint_eq(used, body_end);
		ck_assert(str_eq(buf_str(&out), STR("Wikipedia in \r\n\r\nchunks.")));
		buf_deinit(&out);
	}
}
END_TEST

START_TEST(chunked_malformed)
{
	static const char *const bad[] = { "zz\r\n", "\r\n", "4\nWiki", "4\r\nWikiX\r\n", "4\r\nWiki\rX", "g\r\n", "-1\r\n",
		"0\r\nX: y\n", "11111111111111111\r\n", "4\r\nWiki\r\n\r\n", "4\rX" };
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		struct buf out = BUF_INIT(1000);
		size_t used;
		ck_assert_int_eq(dechunk(bad[i], strlen(bad[i]), 0, 1000, &out, &used), HTTP_STEP_BAD);
		buf_deinit(&out);
	}
	struct buf out = BUF_INIT(1000);
	size_t used;
	uint64_t before = mem_stats().allocations;
	ck_assert_int_eq(dechunk("ffffffffffffffff\r\nx", 19, 0, UINT64_MAX, &out, &used), HTTP_STEP_TOO_LARGE);
	ck_assert_int_eq(dechunk("b\r\nx", 4, 0, 10, &out, &used), HTTP_STEP_TOO_LARGE);
	ck_assert_uint_eq(mem_stats().allocations, before);
	/* Endless extensions and trailers are bounded. */
	char *flood = mem_or_abort(mem_alloc(40000));
	memset(flood, 'a', 40000);
	flood[1] = ';';
	ck_assert_int_eq(dechunk(flood, 40000, 0, 10, &out, &used), HTTP_STEP_BAD);
	ck_assert_uint_le(used, 17000);
	memcpy(flood, "0\r\n", 3);
	ck_assert_int_eq(dechunk(flood, 40000, 0, 10, &out, &used), HTTP_STEP_BAD);
	mem_free(flood);
}
END_TEST

static bool facts_of(const char *head, struct http_facts *facts)
{
	struct native_http_request request;
	ck_assert_int_gt(native_http_parse_request(head, strlen(head), &request), 0);
	return http_facts_read(&request, facts);
}

/* Goal: how bodies are framed, and who keeps the connection. */
START_TEST(framing_facts)
{
	struct http_facts f;
	ck_assert(facts_of("GET / HTTP/1.1\r\n\r\n", &f) && f.absent && f.keep_alive && f.framing == HTTP_NO_BODY);
	ck_assert(facts_of("GET / HTTP/1.0\r\n\r\n", &f) && !f.keep_alive);
	ck_assert(facts_of("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &f) && f.keep_alive);
	ck_assert(facts_of("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", &f) && !f.keep_alive);
	ck_assert(facts_of("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", &f) && !f.absent && f.framing == HTTP_NO_BODY);
	ck_assert(facts_of("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", &f) && f.length == 3);
	ck_assert(!facts_of("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", &f));
	ck_assert(!facts_of("POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n", &f));
	ck_assert(!facts_of("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", &f));
	ck_assert(facts_of("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", &f)
		&& f.framing == HTTP_CHUNKED);
	ck_assert(facts_of("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n", &f) && f.framing == HTTP_CHUNKED);
	ck_assert(!facts_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", &f));
	ck_assert(!facts_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", &f));
	ck_assert(facts_of("POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n", &f)
		&& f.expects_continue);
	ck_assert(http_has_token(STR("keep-alive, Upgrade"), "upgrade") && !http_has_token(STR("upgraded"), "upgrade"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net_frame");
	TCase *frames = tcase_create("frames");
	tcase_set_timeout(frames, 30);
	tcase_add_test(frames, frames_at_every_split);
	tcase_add_test(frames, frames_byte_by_byte_gathered);
	tcase_add_test(frames, mask_words_equal_bytes);
	tcase_add_test(frames, frames_illegal);
	tcase_add_test(frames, frames_oversize);
	tcase_add_test(frames, frames_memory_follows_bytes);
	tcase_add_test(frames, close_payloads);
	tcase_add_test(frames, accept_key);
	suite_add_tcase(suite, frames);
	TCase *bodies = tcase_create("bodies");
	tcase_add_test(bodies, chunked_at_every_split);
	tcase_add_test(bodies, chunked_malformed);
	tcase_add_test(bodies, framing_facts);
	suite_add_tcase(suite, bodies);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
