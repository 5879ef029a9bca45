/* SPDX-License-Identifier: Apache-2.0 */
/* One subscription to much: how long until its rows begin to come, until they are all there, and what they cost. */
#include "load.h"
#include "base/clock.h"

#include <stdio.h>

enum { TAG_SUBSCRIBE = 0, TAG_SUBSCRIBE_APPLIED = 1, SETTLE_NANOS = 50000000 };

bool subscribe_message(struct buf *out, const char *query, uint32_t number)
{
	buf_put_u8(out, TAG_SUBSCRIBE);
	buf_put_u32(out, 1);
	buf_put_u32(out, 1);
	buf_put_u32(out, 1);
	size_t begin = out->len;
	buf_put_u32(out, 0);
	for (const char *at = query; *at != 0; at++)
		if (*at == '#')
			buf_printf(out, "%u", number);
		else
			buf_put_u8(out, (uint8_t)*at);
	if (!out->failed)
		store_u32(out->data + begin, (uint32_t)(out->len - begin - 4));
	return !out->failed;
}

/* Receives until the answer is whole. False: there was none, or another one. */
static bool receive(struct ws *ws, uint64_t *first_nanos, uint64_t *bytes)
{
	struct ws_frame frame;
	bool answered = false, whole = false;
	while (!ws->gone && !(whole && ws->skip == 0)) {
		size_t got = ws_receive(ws);
		if (*bytes == 0)
			*first_nanos = clock_mono_nanos();
		*bytes += got;
		while (ws_next_head(ws, &frame, 2)) {
			if (ws_control(ws, &frame))
				continue;
			if (!answered && (frame.len < 2 || frame.payload[1] != TAG_SUBSCRIBE_APPLIED)) {
				fprintf(stderr, "load: the subscription was refused\n");
				return false;
			}
			answered = true;
			whole = frame.fin;
		}
	}
	return !ws->gone;
}

int run_subscribe(const struct options *options)
{
	struct ws ws = { .fd = -1 };
	struct meter meter;
	struct sample begin, end;
	struct buf message = BUF_INIT(64 << 10);
	uint64_t first = 0, bytes = 0;
	bool ok = subscribe_message(&message, options->query, 0) && ws_connect(&ws, &options->ws);
	ok = ok && meter_open(&meter, options->pid, options->syscalls);
	if (ok) {
		meter_take(&meter, &begin);
		ws_send_message(&ws, WS_BINARY, message.data, message.len);
		ok = receive(&ws, &first, &bytes);
		uint64_t last = clock_mono_nanos();
		nanosleep(&(struct timespec){ .tv_nsec = SETTLE_NANOS }, NULL); /* what the server tidies up is its cost, too */
		meter_take(&meter, &end);
		printf("first_byte_ms %.3f\nlast_byte_ms %.3f\nbytes %llu\ncpu_ms %.3f\n",
			(double)(first - begin.wall_nanos) / 1e6, (double)(last - begin.wall_nanos) / 1e6,
			(unsigned long long)bytes, (double)(end.cpu_nanos - begin.cpu_nanos) / 1e6);
		meter_close(&meter);
	}
	ws_deinit(&ws);
	buf_deinit(&message);
	return !ok;
}
