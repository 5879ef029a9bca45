/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S subscribers of one query, one writer. Counts TransactionUpdates by the
 * heads of their frames, never looking at rows.
 *
 * The subscribers' sockets are read before the writer's in each round, so that
 * a generator that cannot keep up slows the writer down instead of letting the
 * subscribers lag. At the end every update that was due must have arrived.
 */
#include "load.h"
#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, ROUND_MS = 200, DRAIN_MS = 5000, SUBSCRIBE_MS = 60000 };
enum { TAG_SUBSCRIBE_APPLIED = 1, TAG_SUBSCRIPTION_ERROR = 3, TAG_TRANSACTION_UPDATE = 4 };

struct subscriber {
	struct ws ws;
	uint64_t updates;
	bool applied;
};
struct fanout {
	const struct options *options;
	struct subscriber *subscribers;
	struct caller writer;
	struct caller_totals totals;
	uint32_t connected, applied;
	uint64_t updates, bytes;
	int epoll;
	bool failed;
};

static void count_message(struct fanout *f, struct subscriber *s, uint8_t tag)
{
	if (LIKELY(tag == TAG_TRANSACTION_UPDATE)) {
		s->updates++;
		f->updates++;
	} else if (tag == TAG_SUBSCRIBE_APPLIED) {
		f->applied += !s->applied;
		s->applied = true;
	} else if (tag == TAG_SUBSCRIPTION_ERROR) {
		fprintf(stderr, "load: the subscription was refused\n");
		f->failed = true;
	}
}

/* v2: a payload is one message, told by its second byte. A split one begins with a frame that is not a continuation. */
static void take_v2(struct fanout *f, struct subscriber *s)
{
	struct ws_frame frame;
	while (ws_next_head(&s->ws, &frame, 2))
		if (frame.opcode == WS_BINARY && frame.len >= 2)
			count_message(f, s, frame.payload[1]);
		else
			(void)ws_control(&s->ws, &frame);
}

static void take_v3(struct fanout *f, struct subscriber *s)
{
	struct ws_frame frame;
	while (ws_next(&s->ws, &frame)) {
		if (ws_control(&s->ws, &frame))
			continue;
		if (!frame.fin || frame.opcode != WS_BINARY || frame.len < 2 || frame.payload[0] != 0) {
			fprintf(stderr, "load: split or compressed v3 payloads are not counted\n");
			f->failed = true;
			return;
		}
		for (size_t at = 1; at < frame.len; at += server_message_len(frame.payload + at, frame.len - at))
			count_message(f, s, frame.payload[at]);
	}
}

static void subscriber_ready(struct fanout *f, struct subscriber *s)
{
	if (s->ws.out.len > 0)
		ws_flush(&s->ws);
	f->bytes += ws_receive(&s->ws);
	if (f->options->ws.v3)
		take_v3(f, s);
	else
		take_v2(f, s);
	if (s->ws.gone) {
		fprintf(stderr, "load: a subscriber was cut off after %llu updates\n", (unsigned long long)s->updates);
		f->failed = true;
	}
}

static void round_once(struct fanout *f)
{
	static struct epoll_event ready[EVENTS_MAX];
	bool writer = false;
	int count = epoll_wait(f->epoll, ready, EVENTS_MAX, ROUND_MS);
	for (int i = 0; i < count && !f->failed; i++)
		if (ready[i].data.ptr == &f->writer)
			writer = true;
		else
			subscriber_ready(f, ready[i].data.ptr);
	if (writer)
		f->failed |= !caller_ready(&f->writer);
}

static void run_until(struct fanout *f, uint64_t deadline)
{
	while (!f->failed && clock_mono_nanos() < deadline)
		round_once(f);
}

static void watch(struct fanout *f, int fd, void *who)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = who };
	epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event);
}

static bool subscribe_all(struct fanout *f)
{
	struct buf message = BUF_INIT(64 << 10);
	buf_put_u8(&message, 0); /* Subscribe */
	buf_put_u32(&message, 1);
	buf_put_u32(&message, 1);
	buf_put_u32(&message, 1);
	buf_put_bsatn_str(&message, str_of(f->options->query));
	for (; f->connected < f->options->subscribers; f->connected++) {
		struct subscriber *s = &f->subscribers[f->connected];
		if (message.failed || !ws_connect(&s->ws, &f->options->ws))
			break;
		watch(f, s->ws.fd, s);
		ws_send_message(&s->ws, WS_BINARY, message.data, message.len);
	}
	buf_deinit(&message);
	uint64_t deadline = clock_mono_nanos() + (uint64_t)SUBSCRIBE_MS * 1000000;
	while (!f->failed && f->applied < f->connected && clock_mono_nanos() < deadline)
		round_once(f);
	return !f->failed && f->applied == f->options->subscribers;
}

/* All replies, then all updates that they mean. */
static void drain(struct fanout *f)
{
	uint64_t deadline = clock_mono_nanos() + (uint64_t)DRAIN_MS * 1000000;
	f->writer.stopping = true;
	uint64_t due;
	do {
		round_once(f);
		due = (f->writer.oldest_id - f->totals.errors) * f->options->subscribers;
	} while (!f->failed && (caller_in_flight(&f->writer) > 0 || f->updates < due) && clock_mono_nanos() < deadline);
	printf("updates_due %llu\nupdates_arrived %llu\n", (unsigned long long)due, (unsigned long long)f->updates);
	if (f->updates != due) {
		fprintf(stderr, "load: updates are missing or too many\n");
		f->failed = true;
	}
}

static void measure(struct fanout *f, const struct meter *meter)
{
	struct sample begin, end;
	caller_start(&f->writer);
	run_until(f, clock_mono_nanos() + (uint64_t)(f->options->warmup_seconds * 1e9));
	uint64_t updates = f->updates, calls = f->totals.replies, bytes = f->bytes;
	memset(&f->totals.latency, 0, sizeof(f->totals.latency));
	meter_take(meter, &begin);
	run_until(f, begin.wall_nanos + (uint64_t)(f->options->seconds * 1e9));
	meter_take(meter, &end);
	updates = f->updates - updates;
	calls = f->totals.replies - calls;
	bytes = f->bytes - bytes;
	drain(f);
	report_cost(f->options, &begin, &end, updates, "update");
	printf("calls %llu\nbytes_per_update %.1f\n", (unsigned long long)calls,
		(double)bytes / (updates > 0 ? (double)updates : 1));
	report_latency(&f->totals);
}

int run_fanout(const struct options *options)
{
	static struct fanout f;
	struct caller_plan plan;
	struct meter meter;
	f = (struct fanout){ .options = options, .epoll = epoll_create1(EPOLL_CLOEXEC), .writer.ws.fd = -1 };
	f.subscribers = mem_zalloc_array(options->subscribers, sizeof(f.subscribers[0]));
	uint64_t begin = clock_mono_nanos();
	bool ok = caller_plan_create(&plan, &options->load) && f.subscribers != NULL && subscribe_all(&f);
	if (ok) {
		printf("subscribed_ms %.1f\n", (double)(clock_mono_nanos() - begin) / 1e6);
		ok = caller_connect(&f.writer, &options->ws, &plan, &f.totals) &&
			meter_open(&meter, options->pid, options->syscalls);
	} else {
		fprintf(stderr, "load: %u of %u subscribers connected, %u applied\n", f.connected, options->subscribers,
			f.applied);
	}
	if (ok) {
		watch(&f, f.writer.ws.fd, &f.writer);
		measure(&f, &meter);
		meter_close(&meter);
	}
	caller_deinit(&f.writer);
	for (uint32_t i = 0; i < f.connected; i++)
		ws_deinit(&f.subscribers[i].ws);
	caller_plan_deinit(&plan);
	mem_free(f.subscribers);
	close(f.epoll);
	return !ok || f.failed || f.totals.errors > 0;
}
