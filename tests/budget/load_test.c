/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instrument itself: what the load generator sends is what the protocol's
 * decoder reads, what it counts is what the protocol's encoder wrote, its
 * frames survive any cut, and its percentiles are right to their bucket.
 */
#include "base/mem.h"
#include "caller.h"
#include "protocol/protocol.h"
#include "unit/run_suite.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Goal: a call is a CallReducer message for transfer(from, to, amount), from and to distinct accounts. */
START_TEST(call_is_a_call_reducer)
{
	struct caller_load load = { .reducer = "transfer", .accounts = 50, .inflight = 40, .seed = 7 };
	struct caller_plan plan;
	struct protocol_client_message message;
	struct error error;
	ck_assert(caller_plan_create(&plan, &load));
	struct reader r = reader_of(plan.message, plan.message_len);
	ck_assert_int_eq(protocol_v2_decode(&r, &message, &error), WL_OK);
	ck_assert_uint_eq(reader_left(&r), 0);
	ck_assert_int_eq(message.kind, PROTOCOL_CALL_REDUCER);
	ck_assert(str_eq(message.text, STR("transfer")));
	ck_assert_uint_eq(message.args.len, 16);
	ck_assert_ptr_eq(message.args.data, plan.message + plan.args_at);
	for (uint32_t i = 0; i < CALLER_PAIR_COUNT; i++) {
		ck_assert_uint_lt(plan.pairs[i][0], load.accounts);
		ck_assert_uint_lt(plan.pairs[i][1], load.accounts);
		ck_assert_uint_ne(plan.pairs[i][0], plan.pairs[i][1]);
	}
	caller_plan_deinit(&plan);
}
END_TEST

/* Goal: Zipf makes few accounts hot and stays inside the range. */
START_TEST(zipf_is_skewed)
{
	struct caller_load load = { .reducer = "transfer", .accounts = 10000, .inflight = 1, .seed = 3, .zipf = 0.99 };
	struct caller_plan plan;
	static uint32_t hits[10000];
	ck_assert(caller_plan_create(&plan, &load));
	for (uint32_t i = 0; i < CALLER_PAIR_COUNT; i++) {
		ck_assert_uint_lt(plan.pairs[i][0], load.accounts);
		hits[plan.pairs[i][0]]++;
	}
	uint32_t most = 0;
	for (uint32_t i = 0; i < load.accounts; i++)
		most = hits[i] > most ? hits[i] : most;
	ck_assert_uint_gt(most, CALLER_PAIR_COUNT / 50); /* uniform: 13 */
	caller_plan_deinit(&plan);
}
END_TEST

static void put_update(struct buf *out, struct buf *offsets)
{
	struct protocol_row_list list;
	buf_put_u32(out, 7);
	buf_put_u32(out, 1);
	buf_put_bsatn_str(out, STR("person"));
	buf_put_u32(out, 1);
	buf_put_u8(out, 0);
	protocol_rows_begin(&list, out, offsets);
	protocol_rows_add(&list, "abcd", 4);
	protocol_rows_add(&list, "abcdef", 6);
	protocol_rows_end(&list);
	protocol_rows_empty(out);
}

/* Goal: coalesced messages are told apart where the encoder ended them; a cut one never exceeds what is left. */
START_TEST(messages_are_told_apart)
{
	struct buf out = BUF_INIT(1 << 16), offsets = BUF_INIT(1 << 16);
	size_t ends[6], count = 0;
	protocol_transaction_update(&out, 1);
	put_update(&out, &offsets);
	ends[count++] = out.len;
	protocol_reducer_ok(&out, 5, 1, 0);
	ends[count++] = out.len;
	protocol_reducer_ok(&out, 5, 1, 1);
	put_update(&out, &offsets);
	ends[count++] = out.len;
	protocol_reducer_error(&out, 6, 1, STR("no"));
	ends[count++] = out.len;
	protocol_reducer_internal(&out, 7, 1, STR("boom"));
	ends[count++] = out.len;
	protocol_transaction_update(&out, 0);
	ends[count++] = out.len;
	ck_assert(!out.failed);
	size_t at = 0;
	for (size_t i = 0; i < count; i++) {
		at += server_message_len(out.data + at, out.len - at);
		ck_assert_uint_eq(at, ends[i]);
	}
	for (size_t cut = 1; cut < out.len; cut++) {
		uint8_t *exact = mem_alloc(cut); /* so that a read past it is seen */
		memcpy(exact, out.data, cut);
		for (at = 0; at < cut; at += server_message_len(exact + at, cut - at))
			ck_assert_uint_gt(server_message_len(exact + at, cut - at), 0);
		ck_assert_uint_eq(at, cut);
		mem_free(exact);
	}
	buf_deinit(&out);
	buf_deinit(&offsets);
}
END_TEST

/* Two ends of a TCP connection: other sockets do not know how to skip. */
static void tcp_pair(int pair[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	struct target target = { .address = "127.0.0.1", .port = ntohs(address.sin_port) };
	pair[0] = target_connect(&target);
	pair[1] = accept(listener, NULL, NULL);
	ck_assert(pair[0] >= 0 && pair[1] >= 0);
	close(listener);
}

/* Goal: frames of all three length forms come out whole, however the bytes arrive. */
START_TEST(frames_survive_any_cut)
{
	static const size_t lens[] = { 0, 1, 125, 126, 300, 65535, 65536, 200000 };
	for (size_t chunk = 1; chunk < 100000; chunk = chunk * 7 + 1) {
		int pair[2];
		tcp_pair(pair);
		struct ws ws = { .fd = pair[0], .cap = WS_IN_BYTES, .in = mem_alloc(WS_IN_BYTES), .out = BUF_INIT(1 << 20) };
		struct ws_frame frame;
		for (size_t i = 0; i < ARRAY_COUNT(lens); i++) {
			uint8_t *bytes = mem_zalloc(WS_HEAD_BYTES + lens[i]);
			size_t head = ws_head(bytes, WS_BINARY, lens[i]) - 4; /* servers do not mask */
			bytes[1] &= 0x7f;
			memset(bytes + head, (int)i, lens[i]);
			size_t step = chunk < 50 && lens[i] > 1000 ? 1000 : chunk;
			bool got = false;
			for (size_t at = 0; at < head + lens[i]; at += step) {
				size_t len = size_min(step, head + lens[i] - at);
				ck_assert_int_eq(send(pair[1], bytes + at, len, 0), (ssize_t)len);
				ck_assert_uint_gt(ws_receive(&ws), 0);
				got |= ws_next(&ws, &frame);
			}
			while (!got && ws_receive(&ws) > 0)
				got = ws_next(&ws, &frame);
			ck_assert(got && !ws.gone);
			ck_assert_uint_eq(frame.len, lens[i]);
			ck_assert(lens[i] == 0 || (frame.payload[0] == i && frame.payload[lens[i] - 1] == i));
			mem_free(bytes);
		}
		close(pair[1]);
		ws_deinit(&ws);
	}
}
END_TEST

/* Goal: skipping a payload loses nothing of the next frame. */
START_TEST(skipped_payloads_leave_the_next_frame)
{
	enum { PAYLOAD = 300000, SMALL = 3 };
	int pair[2];
	tcp_pair(pair);
	struct ws ws = { .fd = pair[0], .cap = WS_IN_BYTES, .in = mem_alloc(WS_IN_BYTES), .out = BUF_INIT(1 << 20) };
	uint8_t *bytes = mem_zalloc(PAYLOAD + 64);
	size_t head = ws_head(bytes, WS_BINARY, PAYLOAD) - 4, frames = 0;
	bytes[1] &= 0x7f;
	bytes[head + 1] = 1;
	uint8_t *next = bytes + head + PAYLOAD;
	next[0] = 0x82;
	next[1] = SMALL;
	next[3] = 4;
	size_t len = head + PAYLOAD + 2 + SMALL;
	struct ws_frame frame;
	for (size_t at = 0; at < len; at += 5000) {
		size_t now = size_min(5000, len - at);
		ck_assert_int_eq(send(pair[1], bytes + at, now, 0), (ssize_t)now);
		(void)ws_receive(&ws);
		while (ws_next_head(&ws, &frame, 2))
			ck_assert_int_eq(frame.payload[1], frames++ == 0 ? 1 : 4);
	}
	ck_assert_uint_eq(frames, 2);
	ck_assert(!ws.gone);
	mem_free(bytes);
	close(pair[1]);
	ws_deinit(&ws);
}
END_TEST

/* Goal: masking twice with the same key is nothing; the key is in the head. */
START_TEST(mask_is_an_xor)
{
	uint8_t frame[WS_HEAD_BYTES + 100];
	for (size_t len = 0; len <= 100; len++) {
		size_t head = ws_head(frame, WS_BINARY, len);
		for (size_t i = 0; i < len; i++)
			frame[head + i] = (uint8_t)i;
		ws_mask(frame, head, len);
		for (size_t i = 0; i < len; i++)
			ck_assert_uint_eq(frame[head + i] ^ frame[head - 4 + (i & 3)], i);
	}
}
END_TEST

/* Goal: percentiles of a known distribution, to 1.6 %. */
START_TEST(percentiles)
{
	static struct histogram h;
	for (uint64_t v = 1; v <= 1000000; v++)
		histogram_add(&h, v);
	static const double shares[] = { 0.5, 0.9, 0.99, 0.999 };
	for (size_t i = 0; i < ARRAY_COUNT(shares); i++)
		ck_assert_double_eq_tol((double)histogram_percentile(&h, shares[i]) / (shares[i] * 1e6), 1, 0.016);
	ck_assert_uint_eq(histogram_percentile(&h, 1), 1000000);
	histogram_add(&h, UINT64_MAX);
	ck_assert_uint_eq(h.max, UINT64_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench: load generator");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, call_is_a_call_reducer);
	tcase_add_test(tests, zipf_is_skewed);
	tcase_add_test(tests, messages_are_told_apart);
	tcase_add_test(tests, frames_survive_any_cut);
	tcase_add_test(tests, skipped_payloads_leave_the_next_frame);
	tcase_add_test(tests, mask_is_an_xor);
	tcase_add_test(tests, percentiles);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
