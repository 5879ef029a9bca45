/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket connections and rings over real sockets: order, closing, limits, compression, lending. */
#include "net_fixture.h"

#include <brotli/decode.h>
#include <zlib.h>

static struct app app;

static void setup(void)
{
	app_start(&app, 1, ws_usual);
}

static void teardown(void)
{
	app_stop(&app);
}

static void hears(struct ws_client *client, const char *text)
{
	char got[256];
	const char *heard = ws_hear(client, got);
	ck_assert_msg(heard != NULL, "nothing instead of \"%s\"", text);
	ck_assert_str_eq(heard, text);
}

static bool over(struct ws_client *client, uint16_t *code, struct str *reason)
{
	struct ws_client_message message;
	if (ws_client_receive(client, 3000, &message, NULL) != WL_OK || !message.closed)
		return false;
	*code = message.code;
	*reason = message.reason;
	return true;
}

static void until_closed(uint32_t count)
{
	for (int i = 0; i < 300 && atomic_load(&app.closed) < count; i++)
		nap(10);
	ck_assert_uint_eq(atomic_load(&app.closed), count);
}

static const char upgrade_head[] = "GET /ws HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc\r\n\r\n";

/* Upgrades by hand; what came behind the answer's head is lost (the first ping). */
static int raw_ws(void)
{
	int fd = dial(&app);
	put_all(fd, upgrade_head, sizeof(upgrade_head) - 1);
	struct buf out = BUF_INIT(1 << 20);
	get_all(fd, &out, 100);
	ck_assert_int_eq(strncmp(buf_text(&out), "HTTP/1.1 101 Switching Protocols\r\n", 34), 0);
	ck_assert_ptr_nonnull(strstr(buf_text(&out), "\r\nconnection: upgrade\r\n"));
	ck_assert_ptr_nonnull(strstr(buf_text(&out), "\r\n\r\n\x89")); /* the first ping goes at once */
	buf_deinit(&out);
	return fd;
}

/* Sends raw bytes, returns what came within 150 ms as hex, and whether the connection ended. */
static const char *raw_say(int fd, const char *bytes, size_t len, bool *closed)
{
	static char hex[600];
	struct buf out = BUF_INIT(1 << 20);
	put_all(fd, bytes, len);
	*closed = get_all(fd, &out, 150);
	hex_encode(out.data, size_min(out.len, 299), hex);
	buf_deinit(&out);
	return hex;
}
#define RAW(fd, bytes, closed) raw_say(fd, bytes, sizeof(bytes) - 1, closed)

/* Goal: refusals of the handshake, in the reference's order and words. */
START_TEST(ws_handshake_refused)
{
	static const struct { const char *send, *status, *body; } cases[] = {
		{ "POST /ws HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405", "Request method must be `GET`" },
		{ "GET /ws HTTP/1.1\r\n\r\n", "HTTP/1.1 426 Upgrade Required", "requires use of the websocket protocol" },
		{ "GET /ws HTTP/1.1\r\nConnection: close\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 426",
			"connection: close\r\n" },
		{ "GET /ws HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "HTTP/1.1 426", "upgrade: websocket\r\n" },
		{ "GET /ws HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13, 8\r\n\r\n",
			"HTTP/1.1 400", "did not include '13'" },
		{ "GET /ws HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
			"HTTP/1.1 400", "`Sec-WebSocket-Key` header missing" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct buf out;
		bool closed;
		const char *text = talk(&app, cases[i].send, &out, &closed);
		ck_assert_msg(strncmp(text, cases[i].status, strlen(cases[i].status)) == 0, "%s", text);
		ck_assert_msg(strstr(text, cases[i].body) != NULL, "%s", text);
		buf_deinit(&out);
	}
}
END_TEST

/* Goal: messages come back, in order, many in flight; early bytes behind the handshake count; extra headers are
 * there. */
START_TEST(ws_echo)
{
	struct ws_client *client = ws_dial(&app, "/ws?greet");
	ck_assert(str_eq(ws_client_header(client, "x-extra"), STR("yes")));
	ck_assert(str_eq(ws_client_header(client, "sec-websocket-protocol"), STR("test")));
	hears(client, "welcome");
	char text[32];
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "Emessage %d", i);
		ck_assert(ws_client_queue(client, true, text, strlen(text)));
	}
	ck_assert_int_eq(ws_client_flush(client, NULL), WL_OK);
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "message %d", i);
		hears(client, text);
	}
	ck_assert_uint_eq(net_stats(app.net).messages_in, 5000);
	ws_client_destroy(client);
	until_closed(1);
	struct ws_client *words = ws_dial(&app, "/ws?text");
	ck_assert_int_eq(ws_client_send(words, false, "Ehello", 6, NULL), WL_OK);
	struct ws_client_message message;
	ck_assert_int_eq(ws_client_receive(words, 3000, &message, NULL), WL_OK);
	ck_assert(!message.binary && message.len == 5 && memcmp(message.data, "hello", 5) == 0);
	ws_client_destroy(words);
}
END_TEST

/* Goal: sizes around the frame heads' forms, the loop's buffers and the limits arrive whole, both ways. */
START_TEST(ws_sizes)
{
	static const size_t sizes[] = { 0, 1, 123, 124, 125, 126, 127, 2000, 4095, 4096, 4097, 16384, 65533, 65534,
		65535, 65536, 131072, 1 << 20, 20 << 20 };
	struct ws_client *client = ws_dial(&app, "/ws");
	uint8_t *bytes = mem_or_abort(mem_alloc((20 << 20) + 1));
	for (size_t i = 0; i < (20 << 20) + 1; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 255);
	bytes[0] = 'E';
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		struct ws_client_message message;
		ck_assert_int_eq(ws_client_send(client, true, bytes, sizes[i] + 1, NULL), WL_OK);
		ck_assert_int_eq(ws_client_receive(client, 10000, &message, NULL), WL_OK);
		ck_assert_uint_eq(message.len, sizes[i] + 1);
		ck_assert_int_eq(memcmp(message.data + 1, bytes + 1, sizes[i]), 0);
	}
	mem_free(bytes);
	ws_client_destroy(client);
}
END_TEST

/* Goal: control frames, fragments and faults as recorded (conformance websocket/frame, control). Each on its own. */
START_TEST(ws_frames_raw)
{
	bool closed;
	int fd = raw_ws();
	ck_assert_str_eq(RAW(fd, "\x02\x82\0\0\0\0E1", &closed), "");
	ck_assert_str_eq(RAW(fd, "\x89\x82\0\0\0\0hi", &closed), "8a026869");
	ck_assert_str_eq(RAW(fd, "\x80\x81\0\0\0\0" "2", &closed), "8203003132");
	ck_assert_str_eq(RAW(fd, "\x8a\x82\0\0\0\0zz", &closed), "");
	ck_assert(!closed);
	ck_assert_str_eq(RAW(fd, "\x82\xff\0\0\0\0\2\0\0\1\0\0\0\0", &closed), ""); /* 32 MiB + 1: silent until more */
	ck_assert(!closed);
	ck_assert_str_eq(RAW(fd, "x", &closed), "");
	ck_assert(closed);
	close(fd);
	static const struct { const char *bytes; size_t len; const char *answer; } ends[] = {
		{ "\x82\x02" "E1", 4, "" },
		{ "\x83\x80\0\0\0\0", 6, "" },
		{ "\xc2\x80\0\0\0\0", 6, "" },
		{ "\x88\x82\0\0\0\0\x03\xe8", 8, "880203e8" },
		{ "\x88\x85\0\0\0\0\x03\xe8" "bye", 11, "880503e8627965" },
		{ "\x88\x80\0\0\0\0", 6, "8800" },
		{ "\x88\x82\0\0\0\0\x03\xed", 8, "881403ea50726f746f636f6c2076696f6c6174696f6e" },
		{ "\x88\x81\0\0\0\0\x03", 7, "" },
		{ "\x88\x83\0\0\0\0\x03\xe8\xff", 9, "" },
		{ "\x81\x81\0\0\0\0\xff", 7, "" },
		{ "\x88\x82\0\0\0\0\x03\xe8\x82\x82\0\0\0\0E1", 16, "880203e8" }, /* nothing after a Close */
	};
	for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
		fd = raw_ws();
		const char *got = raw_say(fd, ends[i].bytes, ends[i].len, &closed);
		ck_assert_msg(closed && strcmp(got, ends[i].answer) == 0, "case %zu: %s %d", i, got, closed);
		close(fd);
	}
	until_closed(1 + ARRAY_COUNT(ends));
}
END_TEST

/* Goal: our Close comes after what is queued, is answered by theirs; a drop has none; closed is called once for
 * each. */
START_TEST(ws_close_and_drop)
{
	uint16_t code;
	struct str reason;
	struct ws_client *client = ws_dial(&app, "/ws");
	ws_say(client, "C");
	hears(client, "last");
	ck_assert(over(client, &code, &reason) && code == 1011 && str_eq(reason, STR("told so")));
	ws_client_destroy(client);
	until_closed(1);
	client = ws_dial(&app, "/ws");
	ws_say(client, "D");
	ck_assert(over(client, &code, &reason) && code == 0);
	ws_client_destroy(client);
	until_closed(2);
	/* Who does not answer a Close is cut off after close_timeout_ms. */
	int fd = raw_ws();
	bool closed;
	uint64_t before = clock_mono_nanos();
	put_all(fd, "\x82\x81\0\0\0\0C", 7);
	struct buf out = BUF_INIT(1000);
	closed = get_all(fd, &out, 2000);
	uint64_t took = clock_mono_nanos() - before;
	ck_assert(closed && took > 200000000u && took < 1500000000u);
	buf_deinit(&out);
	close(fd);
	until_closed(3);
	struct ws_client *polite = ws_dial(&app, "/ws");
	ck_assert_int_eq(ws_client_close(polite, 4000, "thanks", NULL), WL_OK);
	ck_assert(over(polite, &code, &reason) && code == 4000 && str_eq(reason, STR("thanks")));
	ws_client_destroy(polite);
	until_closed(4);
}
END_TEST

/* Goal: a paused connection reads nothing until it is resumed; here the client just leaves, and that is noticed late or
 * early but exactly once. */
START_TEST(ws_paused)
{
	struct ws_client *client = ws_dial(&app, "/ws?paused");
	ws_say(client, "Ehello");
	struct ws_client_message message;
	ck_assert_int_eq(ws_client_receive(client, 200, &message, NULL), WL_ERR_UNAVAILABLE);
	ck_assert_uint_eq(net_stats(app.net).messages_in, 0);
	ws_client_destroy(client);
}
END_TEST

/* Goal: followers get the ring's messages in order with their own; the left out one does not; who stops does not. */
START_TEST(ring_order)
{
	struct ws_client *a = ws_dial(&app, "/ws"), *b = ws_dial(&app, "/ws?follow"), *c = ws_dial(&app, "/ws");
	ws_say(a, "F");
	ws_say(a, "E-");
	hears(a, "-");
	ws_say(a, "I"); /* 1, the ring, 2 */
	hears(a, "1");
	hears(a, "ring");
	hears(a, "2");
	hears(b, "ring");
	ws_say(a, "Rothers");
	ws_say(a, "Aall");
	hears(a, "all");
	hears(b, "others");
	hears(b, "all");
	ws_say(c, "Afrom outside");
	hears(a, "from outside");
	hears(b, "from outside");
	ws_say(a, "Akept"); /* sent before it stops: it still comes */
	ws_say(a, "U");
	ws_say(a, "Anot for a");
	ws_say(a, "E.");
	hears(a, "kept");
	hears(a, ".");
	hears(b, "kept");
	hears(b, "not for a");
	ws_say(c, "Eend");
	hears(c, "end"); /* and nothing before it */
	ws_client_destroy(a);
	ws_client_destroy(b);
	ws_client_destroy(c);
}
END_TEST

/* Goal: who does not read is cut off once it lags too far; the others get everything; memory comes back. */
START_TEST(ring_laggard_cut_off)
{
	struct ws_client *fast = ws_dial(&app, "/ws?follow"), *slow = ws_dial(&app, "/ws?follow");
	struct ws_client *source = ws_dial(&app, "/ws");
	enum { PIECE = 200000, COUNT = 400 };
	uint8_t *bytes = mem_or_abort(mem_alloc(PIECE));
	memset(bytes, 'A', PIECE);
	for (int i = 0; i < COUNT; i++) {
		store_u32(bytes + 1, (uint32_t)i);
		ck_assert_int_eq(ws_client_send(source, true, bytes, PIECE, NULL), WL_OK);
		struct ws_client_message message;
		ck_assert_int_eq(ws_client_receive(fast, 5000, &message, NULL), WL_OK);
		ck_assert_uint_eq(message.len, PIECE);
		ck_assert_uint_eq(load_u32(message.data + 1), (uint32_t)i);
	}
	until_closed(1);
	ck_assert_uint_eq(net_stats(app.net).cut_off, 1);
	nap(2200); /* two ticks */
	ck_assert_uint_lt(mem_stats().live_bytes, 24 << 20);
	mem_free(bytes);
	ws_client_destroy(fast);
	ws_client_destroy(slow);
	ws_client_destroy(source);
}
END_TEST

/* Goal: a follower that reads slowly but reads gets every message once, in order, with its own among them. */
START_TEST(ring_slow_reader)
{
	struct ws_client *slow = ws_dial(&app, "/ws?follow"), *source = ws_dial(&app, "/ws");
	enum { PIECE = 50000, COUNT = 200 };
	uint8_t *bytes = mem_or_abort(mem_alloc(PIECE));
	memset(bytes, 'A', PIECE);
	for (uint32_t i = 0; i < COUNT; i++) {
		store_u32(bytes + 1, i);
		ck_assert_int_eq(ws_client_send(source, true, bytes, PIECE, NULL), WL_OK);
		char own[32];
		snprintf(own, sizeof(own), "Eown %u", i);
		ws_say(slow, own);
	}
	uint32_t next = 0, next_own = 0;
	while (next < COUNT || next_own < COUNT) {
		struct ws_client_message message;
		ck_assert_int_eq(ws_client_receive(slow, 5000, &message, NULL), WL_OK);
		ck_assert(!message.closed);
		if (message.len == PIECE)
			ck_assert_uint_eq(load_u32(message.data + 1), next++);
		else
			ck_assert_uint_eq(strtoul((const char *)message.data + 5, NULL, 10), next_own++);
	}
	ck_assert_uint_eq(next, COUNT);
	ck_assert_uint_eq(next_own, COUNT);
	mem_free(bytes);
	ws_client_destroy(slow);
	ws_client_destroy(source);
}
END_TEST

/* Goal: what a follower costs: one send a round, however many messages the round had (the loop counts). */
START_TEST(ring_calls)
{
	enum { FOLLOWERS = 50, MESSAGES = 40 };
	struct ws_client *followers[FOLLOWERS], *source = ws_dial(&app, "/ws");
	for (int i = 0; i < FOLLOWERS; i++)
		followers[i] = ws_dial(&app, "/ws?follow");
	for (int i = 0; i < FOLLOWERS; i++) { /* the first pings are answered before it counts */
		ws_say(followers[i], "Eready");
		hears(followers[i], "ready");
	}
	nap(50);
	const struct net_loop *loop = net_loop_at(app.net, 0);
	uint64_t before = atomic_load(&loop->syscalls);
	for (int i = 0; i < MESSAGES; i++)
		ck_assert(ws_client_queue(source, true, "Ato all", 7));
	ck_assert_int_eq(ws_client_flush(source, NULL), WL_OK);
	for (int i = 0; i < FOLLOWERS; i++) {
		for (int k = 0; k < MESSAGES; k++)
			hears(followers[i], "to all");
	}
	nap(20);
	ck_assert_uint_le(atomic_load(&loop->syscalls) - before, FOLLOWERS + 6);
	for (int i = 0; i < FOLLOWERS; i++)
		ws_client_destroy(followers[i]);
	ws_client_destroy(source);
}
END_TEST

/* Goal: own output is bounded: a client that asks for much and reads nothing is cut off. */
START_TEST(ws_output_bounded)
{
	struct ws_client *client = ws_dial(&app, "/ws");
	for (int i = 0; i < 20; i++)
		ws_say(client, "B8000000");
	until_closed(1);
	ck_assert_uint_eq(net_stats(app.net).cut_off, 1);
	ws_client_destroy(client);
}
END_TEST

/* Goal: one message may be larger than what may wait, if nothing large waits before it. */
START_TEST(ws_large_message)
{
	enum { LARGE = 80000000 };
	struct ws_client_options options = { .host = "127.0.0.1", .port = net_port(app.net), .path = "/ws",
		.message_bytes_max = 2 * LARGE };
	struct ws_client *client;
	struct ws_client_message message;
	ck_assert_int_eq(ws_client_connect(&options, &client, NULL), WL_OK);
	ws_say(client, "B80000000");
	ck_assert_int_eq(ws_client_receive(client, 30000, &message, NULL), WL_OK);
	ck_assert_uint_eq(message.len, LARGE + 1);
	ws_say(client, "B80000000"); /* what comes behind it waits as ever */
	for (int i = 0; i < 7; i++)
		ws_say(client, "B8000000");
	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(ws_client_receive(client, 30000, &message, NULL), WL_OK);
		ck_assert_uint_eq(message.len, i == 0 ? LARGE + 1 : 8000001);
	}
	ck_assert_uint_eq(net_stats(app.net).cut_off, 0);
	ws_say(client, "B8000000");
	ws_say(client, "B80000000");
	until_closed(1);
	ck_assert_uint_eq(net_stats(app.net).cut_off, 1);
	ws_client_destroy(client);
}
END_TEST

/* Goal: when all together hold too much, the one that holds most is cut off and nobody else. */
START_TEST(ws_hogs_are_cut_off)
{
	app.net->memory_max = 30 << 20;
	struct ws_client *modest = ws_dial(&app, "/ws"), *hog = ws_dial(&app, "/ws"), *last = ws_dial(&app, "/ws");
	ws_say(modest, "B8000000");
	nap(100);
	for (int i = 0; i < 3; i++)
		ws_say(hog, "B8000000");
	nap(100);
	ws_say(last, "B8000000");
	until_closed(1);
	struct ws_client_message message;
	ck_assert_int_eq(ws_client_receive(modest, 5000, &message, NULL), WL_OK);
	ck_assert_uint_eq(message.len, 8000001);
	ck_assert_int_eq(ws_client_receive(last, 5000, &message, NULL), WL_OK);
	ck_assert_uint_eq(message.len, 8000001);
	ck_assert_uint_eq(net_stats(app.net).cut_off, 1);
	ck_assert_uint_eq(atomic_load(&app.closed), 1);
	ws_client_destroy(modest);
	ws_client_destroy(hog);
	ws_client_destroy(last);
}
END_TEST

/* Goal: who keeps talking but takes nothing of what waits for it is cut off like the silent. */
START_TEST(ws_unread_times_out)
{
	struct app own = { 0 };
	app_start(&own, 1, (struct net_ws_options){ .ping_interval_ms = 100, .idle_timeout_ms = 500,
		.close_timeout_ms = 100 });
	struct ws_client *client = ws_dial(&own, "/ws");
	ws_say(client, "B8000000");
	for (int i = 0; i < 40 && atomic_load(&own.closed) == 0; i++) {
		nap(50);
		(void)!ws_client_send(client, true, "X", 1, NULL);
	}
	ck_assert_uint_eq(atomic_load(&own.closed), 1);
	ws_client_destroy(client);
	app_stop(&own);
}
END_TEST

static void unpack(const struct ws_client_message *message, uint8_t tag, uint8_t *out, size_t len)
{
	ck_assert_uint_eq(message->data[0], tag);
	if (tag == NET_COMPRESS_NONE) {
		ck_assert_uint_eq(message->len - 1, len);
		memcpy(out, message->data + 1, len);
	} else if (tag == NET_COMPRESS_BROTLI) {
		size_t got = len;
		ck_assert_int_eq(BrotliDecoderDecompress(message->len - 1, message->data + 1, &got, out),
			BROTLI_DECODER_RESULT_SUCCESS);
		ck_assert_uint_eq(got, len);
	} else {
		z_stream z = { .next_in = message->data + 1, .avail_in = (uInt)(message->len - 1), .next_out = out,
			.avail_out = (uInt)len };
		ck_assert_int_eq(inflateInit2(&z, 31), Z_OK);
		ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
		ck_assert_uint_eq(z.avail_out, 0);
		inflateEnd(&z);
		/* One member, with its size at the end. */
		ck_assert_uint_eq(load_u32(message->data + message->len - 4), len);
	}
}

/* Goal: bodies over 1,024 bytes are compressed as asked, others never; state is reset between them. */
START_TEST(ws_compression)
{
	static const struct { const char *path; uint8_t tag; } kinds[] = {
		{ "/ws", NET_COMPRESS_NONE }, { "/ws?gzip", NET_COMPRESS_GZIP }, { "/ws?brotli", NET_COMPRESS_BROTLI } };
	static const uint32_t sizes[] = { 10, 1024, 1025, 100000, 1025, 3000000 };
	uint8_t *out = mem_or_abort(mem_alloc(3000000));
	for (size_t k = 0; k < ARRAY_COUNT(kinds); k++) {
		struct ws_client *client = ws_dial(&app, kinds[k].path);
		for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
			char ask[16];
			snprintf(ask, sizeof(ask), "B%u", sizes[i]);
			ws_say(client, ask);
			struct ws_client_message message;
			ck_assert_int_eq(ws_client_receive(client, 5000, &message, NULL), WL_OK);
			unpack(&message, sizes[i] > 1024 ? kinds[k].tag : NET_COMPRESS_NONE, out, sizes[i]);
			for (uint32_t n = 0; n < sizes[i]; n++)
				ck_assert(out[n] == 'b');
		}
		ws_client_destroy(client);
	}
	mem_free(out);
}
END_TEST

/* Goal: a refused allocation, whichever it is, ends connections, never the process; the server serves on. */
START_TEST(ws_out_of_memory)
{
	for (uint64_t n = 1; n < 60; n++) {
		struct ws_client_options options = { .host = "127.0.0.1", .port = net_port(app.net), .path = "/ws?gzip",
			.timeout_ms = 300 };
		struct ws_client *client;
		mem_fail_at(n, false);
		if (ws_client_connect(&options, &client, NULL) == WL_OK) {
			for (int i = 0; i < 3; i++) {
				struct ws_client_message message;
				if (ws_client_send(client, true, "B5000", 5, NULL) != WL_OK
					|| ws_client_send(client, true, "Ehello", 6, NULL) != WL_OK
					|| ws_client_receive(client, 300, &message, NULL) != WL_OK)
					break;
			}
			ws_client_destroy(client);
		}
		mem_fail_at(0, false);
	}
	struct ws_client *client = ws_dial(&app, "/ws");
	ws_say(client, "Estill here");
	hears(client, "still here");
	ws_client_destroy(client);
}
END_TEST

/* Goal: while a connection's work takes long, others are served by a spare; the lender learns that it lost the loop. */
START_TEST(lend_taken_and_kept)
{
	struct ws_client *client = ws_dial(&app, "/ws"), *other = ws_dial(&app, "/ws");
	ws_say(client, "L0");
	hears(client, "lent");
	for (int i = 0; i < 3; i++) {
		ws_say(client, "L400");
		hears(client, "lent"); /* flushed by the spare: the lender sleeps */
		uint64_t before = clock_mono_nanos();
		ws_say(other, "Equick");
		hears(other, "quick");
		ck_assert_uint_lt(clock_mono_nanos() - before, 200000000u);
		for (int k = 0; k < 200 && atomic_load(&app.lends_lost) <= (uint32_t)i; k++)
			nap(10);
		ck_assert_uint_eq(atomic_load(&app.lends_lost), (uint32_t)i + 1);
	}
	ck_assert_uint_eq(atomic_load(&app.lends_kept), 0);
	ws_client_destroy(client);
	ws_client_destroy(other);
}
END_TEST

/* Goal: stopping says goodbye with a Close, waits for what is under way, and calls closed. */
START_TEST(stop_closes)
{
	struct app own = { 0 };
	app_start(&own, 2, ws_usual);
	struct ws_client *a = ws_dial(&own, "/ws"), *b = ws_dial(&own, "/ws");
	int waiting = dial(&own);
	put_text(waiting, "GET /later HTTP/1.1\r\n\r\n");
	ws_say(a, "Ehi");
	hears(a, "hi");
	nap(5);
	struct ws_client_message message;
	app_stop(&own); /* the Closes wait in our socket buffers; nobody answers them in time */
	ck_assert_int_eq(ws_client_receive(a, 1000, &message, NULL), WL_OK);
	ck_assert(message.closed && message.code == 1001 && str_eq(message.reason, STR("bye")));
	ck_assert_int_eq(ws_client_receive(b, 1000, &message, NULL), WL_OK);
	ck_assert(message.closed && message.code == 1001);
	struct buf out = BUF_INIT(1000);
	get_all(waiting, &out, 100);
	ck_assert_ptr_nonnull(strstr(buf_text(&out), "later"));
	ck_assert_uint_eq(atomic_load(&own.closed), 2);
	buf_deinit(&out);
	close(waiting);
	ws_client_destroy(a);
	ws_client_destroy(b);
}
END_TEST

/* Goal: pings go out at the interval, silence is cut off, pongs keep the connection. */
START_TEST(ws_keep_alive)
{
	struct app own = { 0 };
	app_start(&own, 1, (struct net_ws_options){ .ping_interval_ms = 100, .idle_timeout_ms = 700,
		.close_timeout_ms = 100 });
	struct ws_client *answers = ws_dial(&own, "/ws"), *silent = ws_dial(&own, "/ws");
	struct ws_client_message message;
	/* Answers pings meanwhile. */
	ck_assert_int_eq(ws_client_receive(answers, 1500, &message, NULL), WL_ERR_UNAVAILABLE);
	ck_assert_uint_eq(atomic_load(&own.closed), 1);
	ck_assert_int_eq(ws_client_receive(silent, 1000, &message, NULL), WL_OK);
	ck_assert(message.closed && message.code == 0);
	ws_say(answers, "Ehi");
	hears(answers, "hi");
	ws_client_destroy(answers);
	ws_client_destroy(silent);
	app_stop(&own);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net_ws");
	TCase *group = tcase_create("ws");
	tcase_set_timeout(group, 60);
	tcase_add_checked_fixture(group, setup, teardown);
	tcase_add_test(group, ws_handshake_refused);
	tcase_add_test(group, ws_echo);
	tcase_add_test(group, ws_sizes);
	tcase_add_test(group, ws_frames_raw);
	tcase_add_test(group, ws_close_and_drop);
	tcase_add_test(group, ws_paused);
	tcase_add_test(group, ws_output_bounded);
	tcase_add_test(group, ws_large_message);
	tcase_add_test(group, ws_hogs_are_cut_off);
	tcase_add_test(group, ws_unread_times_out);
	tcase_add_test(group, ws_compression);
	tcase_add_test(group, ws_out_of_memory);
	tcase_add_test(group, ring_order);
	tcase_add_test(group, ring_calls);
	tcase_add_test(group, ring_laggard_cut_off);
	tcase_add_test(group, ring_slow_reader);
	tcase_add_test(group, lend_taken_and_kept);
	suite_add_tcase(suite, group);
	TCase *own = tcase_create("own");
	tcase_set_timeout(own, 60);
	tcase_add_test(own, stop_closes);
	tcase_add_test(own, ws_keep_alive);
	suite_add_tcase(suite, own);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
