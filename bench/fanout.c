/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S subscribers, some writers. Counts TransactionUpdates by the heads of their
 * frames, never looking at rows. All subscribe to the whole table, or each to
 * the row of its number: `WHERE id = #`.
 *
 * The subscribers' sockets are read before the writers' in each round, so that
 * a generator that cannot keep up slows the writers down instead of letting the
 * subscribers lag. At the end every update that was due must have arrived; not
 * when subscribers come and go (--churn), since nobody knows what those saw.
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
	struct caller *writers;
	struct caller_totals totals;
	uint32_t connected, writing, applied;
	uint64_t updates, bytes;
	uint64_t replaced; /* subscribers that went, and others that came for them */
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

static bool is_writer(const struct fanout *f, const void *who)
{
	const struct caller *end = f->writers + f->options->connections;
	return (uintptr_t)who >= (uintptr_t)f->writers && (uintptr_t)who < (uintptr_t)end;
}

static void watch(struct fanout *f, int fd, void *who)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = who };
	epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Connects and asks; the answer comes in a later round. */
static bool subscribe(struct fanout *f, struct subscriber *s)
{
	struct buf message = BUF_INIT(64 << 10);
	*s = (struct subscriber){ .ws.fd = -1 };
	bool ok = subscribe_message(&message, f->options->query, (uint32_t)(s - f->subscribers)) &&
		ws_connect(&s->ws, &f->options->ws);
	if (ok) {
		watch(f, s->ws.fd, s);
		ws_send_message(&s->ws, WS_BINARY, message.data, message.len);
	}
	buf_deinit(&message);
	return ok;
}

/* One goes and another comes, for each `churn` updates. */
static void replace_due(struct fanout *f)
{
	while (f->options->churn > 0 && !f->failed && f->replaced < f->updates / f->options->churn) {
		struct subscriber *s = &f->subscribers[f->replaced++ % f->options->subscribers];
		f->applied -= s->applied;
		ws_deinit(&s->ws);
		f->failed |= !subscribe(f, s);
	}
}

static void round_once(struct fanout *f)
{
	static struct epoll_event ready[EVENTS_MAX];
	int count = epoll_wait(f->epoll, ready, EVENTS_MAX, ROUND_MS);
	for (int i = 0; i < count && !f->failed; i++)
		if (!is_writer(f, ready[i].data.ptr))
			subscriber_ready(f, ready[i].data.ptr);
	for (int i = 0; i < count && !f->failed; i++)
		if (is_writer(f, ready[i].data.ptr))
			f->failed |= !caller_ready(ready[i].data.ptr);
	replace_due(f);
}

/* Until then, or until so many updates have come. */
static void run_until(struct fanout *f, uint64_t deadline, uint64_t updates)
{
	while (!f->failed && clock_mono_nanos() < deadline && f->updates < updates)
		round_once(f);
}

static bool subscribe_all(struct fanout *f)
{
	for (; f->connected < f->options->subscribers; f->connected++) {
		if (!subscribe(f, &f->subscribers[f->connected]))
			break;
		if (f->connected % 64 == 63)
			round_once(f); /* so that nobody is cut off for not reading */
	}
	uint64_t deadline = clock_mono_nanos() + (uint64_t)SUBSCRIBE_MS * 1000000;
	while (!f->failed && f->applied < f->connected && clock_mono_nanos() < deadline)
		round_once(f);
	return !f->failed && f->applied == f->options->subscribers;
}

static uint32_t in_flight(const struct fanout *f)
{
	uint32_t calls = 0;
	for (uint32_t i = 0; i < f->writing; i++)
		calls += caller_in_flight(&f->writers[i]);
	return calls;
}

/* What the answered calls of a writer mean for those who watch a row each. */
static uint64_t own_updates(const struct fanout *f, const struct caller *writer)
{
	uint64_t updates = 0;
	for (uint32_t i = 0; i < writer->oldest_id; i++) {
		const uint32_t *pair = writer->plan->pairs[(writer->first_pair + i) & (CALLER_PAIR_COUNT - 1)];
		updates += (pair[0] < f->options->subscribers) + (pair[1] < f->options->subscribers);
	}
	return updates;
}

static uint64_t updates_due(const struct fanout *f)
{
	uint64_t calls = 0, own = 0;
	for (uint32_t i = 0; i < f->writing; i++) {
		calls += f->writers[i].oldest_id;
		own += own_updates(f, &f->writers[i]);
	}
	return strchr(f->options->query, '#') != NULL ? own : (calls - f->totals.errors) * f->options->subscribers;
}

/* All replies, then all updates that they mean. */
static void drain(struct fanout *f)
{
	uint64_t deadline = clock_mono_nanos() + (uint64_t)DRAIN_MS * 1000000;
	for (uint32_t i = 0; i < f->writing; i++)
		f->writers[i].stopping = true;
	while (!f->failed && in_flight(f) > 0 && clock_mono_nanos() < deadline)
		round_once(f);
	if (f->options->churn > 0) {
		printf("replaced %llu\n", (unsigned long long)f->replaced);
		return;
	}
	uint64_t due = updates_due(f);
	while (!f->failed && f->updates < due && clock_mono_nanos() < deadline)
		round_once(f);
	printf("updates_due %llu\nupdates_arrived %llu\n", (unsigned long long)due, (unsigned long long)f->updates);
	if (f->updates != due) {
		fprintf(stderr, "load: updates are missing or too many\n");
		f->failed = true;
	}
}

static void measure(struct fanout *f, const struct meter *meter)
{
	struct sample begin, end;
	for (uint32_t i = 0; i < f->writing; i++)
		caller_start(&f->writers[i]);
	run_until(f, clock_mono_nanos() + (uint64_t)(f->options->warmup_seconds * 1e9), UINT64_MAX);
	uint64_t updates = f->updates, calls = f->totals.replies, bytes = f->bytes;
	memset(&f->totals.latency, 0, sizeof(f->totals.latency));
	meter_take(meter, &begin);
	run_until(f, begin.wall_nanos + (uint64_t)(f->options->seconds * 1e9),
		f->options->updates > 0 ? updates + f->options->updates : UINT64_MAX);
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

static bool connect_writers(struct fanout *f, const struct caller_plan *plan)
{
	for (; f->writing < f->options->connections; f->writing++) {
		struct caller *writer = &f->writers[f->writing];
		if (!caller_connect(writer, &f->options->ws, plan, &f->totals)) {
			caller_deinit(writer);
			return false;
		}
		watch(f, writer->ws.fd, writer);
	}
	return true;
}

int run_fanout(const struct options *options)
{
	static struct fanout f;
	struct caller_plan plan;
	struct meter meter;
	f = (struct fanout){ .options = options, .epoll = epoll_create1(EPOLL_CLOEXEC) };
	f.subscribers = mem_zalloc_array(options->subscribers, sizeof(f.subscribers[0]));
	f.writers = mem_zalloc_array(options->connections, sizeof(f.writers[0]));
	uint64_t begin = clock_mono_nanos();
	bool ok = caller_plan_create(&plan, &options->load) && f.subscribers != NULL && f.writers != NULL &&
		subscribe_all(&f);
	if (ok) {
		printf("subscribed_ms %.1f\n", (double)(clock_mono_nanos() - begin) / 1e6);
		ok = connect_writers(&f, &plan) && meter_open(&meter, options->pid, options->syscalls);
	} else {
		fprintf(stderr, "load: %u of %u subscribers connected, %u applied\n", f.connected, options->subscribers,
			f.applied);
	}
	if (ok) {
		measure(&f, &meter);
		meter_close(&meter);
	}
	for (uint32_t i = 0; i < f.writing; i++)
		caller_deinit(&f.writers[i]);
	for (uint32_t i = 0; i < f.connected; i++)
		ws_deinit(&f.subscribers[i].ws);
	caller_plan_deinit(&plan);
	mem_free(f.subscribers);
	mem_free(f.writers);
	close(f.epoll);
	return !ok || f.failed || f.totals.errors > 0;
}
