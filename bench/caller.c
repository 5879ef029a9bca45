/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed loop of one connection.
 *
 * Invariants
 *  1. A reply's request id is the oldest one in flight; another ends the run.
 *  2. In flight + to be sent never exceeds load.inflight.
 */
#include "caller.h"
#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>

enum { TAG_CALL_REDUCER = 3, TAG_REDUCER_RESULT = 6, REQUEST_ID_AT = 1, BATCH_BYTES = 64 << 10 };

/* ---- who pays whom ---- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1d;
}

/* Zipf by inverting its integral: not exact at the first ranks, close enough to make keys hot, and O(1). */
static uint32_t draw(const struct caller_load *load, uint64_t *state)
{
	double unit = (double)(next_random(state) >> 11) * 0x1p-53;
	if (load->zipf == 0)
		return (uint32_t)(unit * load->accounts);
	double exponent = 1 - load->zipf;
	double rank = pow(unit * (pow((double)load->accounts, exponent) - 1) + 1, 1 / exponent);
	uint64_t scattered = ((uint64_t)rank - 1) * 2654435761u % load->accounts; /* hot keys are not neighbours */
	return (uint32_t)scattered;
}

bool caller_plan_create(struct caller_plan *plan, const struct caller_load *load)
{
	*plan = (struct caller_plan){ .load = *load };
	bool transfer = strcmp(load->reducer, "transfer") == 0;
	size_t name_len = strlen(load->reducer);
	if (name_len > CALLER_NAME_BYTES_MAX || (transfer && load->accounts < 2) || load->inflight == 0)
		return false;
	uint8_t *p = plan->message;
	*p = TAG_CALL_REDUCER;
	p += 1 + 4;
	*p++ = 0; /* flags */
	store_u32(p, (uint32_t)name_len);
	memcpy(p + 4, load->reducer, name_len);
	p += 4 + name_len;
	store_u32(p, transfer ? 16 : 0);
	p += 4;
	if (transfer) {
		plan->args_at = (uint32_t)(p - plan->message);
		store_u64(p + 8, 1); /* amount */
		p += 16;
	}
	plan->message_len = (uint32_t)(p - plan->message);
	plan->pairs = mem_alloc(CALLER_PAIR_COUNT * sizeof(plan->pairs[0]));
	if (plan->pairs == NULL)
		return false;
	uint64_t state = load->seed * 2 + 1;
	for (uint32_t i = 0; transfer && i < CALLER_PAIR_COUNT; i++) {
		plan->pairs[i][0] = draw(load, &state);
		do {
			plan->pairs[i][1] = draw(load, &state);
		} while (plan->pairs[i][1] == plan->pairs[i][0]);
	}
	return true;
}

void caller_plan_deinit(struct caller_plan *plan)
{
	mem_free(plan->pairs);
	plan->pairs = NULL;
}

/* ---- calling ---- */

static size_t write_call(struct caller *caller, uint8_t *out, uint64_t now)
{
	const struct caller_plan *plan = caller->plan;
	memcpy(out, plan->message, plan->message_len);
	store_u32(out + REQUEST_ID_AT, caller->next_id);
	if (plan->args_at > 0)
		memcpy(out + plan->args_at, plan->pairs[caller->pair++ & (CALLER_PAIR_COUNT - 1)], 8);
	caller->sent_at[caller->next_id & (caller->ring - 1)] = now;
	caller->next_id++;
	return plan->message_len;
}

static void send_calls(struct caller *caller, uint32_t count)
{
	static uint8_t batch[BATCH_BYTES];
	const struct caller_plan *plan = caller->plan;
	uint32_t per_batch = BATCH_BYTES / (plan->message_len + WS_HEAD_BYTES);
	uint64_t now = clock_mono_nanos();
	while (count > 0) {
		uint32_t take = count < per_batch ? count : per_batch;
		size_t at = 0, frames = plan->load.v3 ? 1 : take, calls = take / frames;
		for (size_t frame = 0; frame < frames; frame++) {
			uint8_t *head = batch + at;
			size_t head_len = ws_head(head, WS_BINARY, plan->message_len * calls);
			at += head_len;
			for (size_t i = 0; i < calls; i++)
				at += write_call(caller, batch + at, now);
			if (caller->ws.mask)
				ws_mask(head, head_len, plan->message_len * calls);
		}
		ws_send(&caller->ws, batch, at);
		count -= take;
	}
}

static void note_error(struct caller *caller, const uint8_t *message, size_t len)
{
	struct caller_totals *totals = caller->totals;
	struct reader r = reader_of(message, len);
	(void)reader_take(&r, 13, "head");
	if (reader_u8(&r) == 2)
		reader_u32(&r); /* Err: bytes that hold a string */
	struct bytes text = reader_bsatn_bytes(&r);
	if (totals->errors++ == 0)
		snprintf(totals->first_error, sizeof(totals->first_error), "%.*s", (int)text.len, (const char *)text.data);
}

/* One server message. False: it answers nothing that is in flight. */
static bool take_reply(struct caller *caller, const uint8_t *message, size_t len, uint64_t now)
{
	if (len < 14 || message[0] != TAG_REDUCER_RESULT)
		return message[0] != TAG_REDUCER_RESULT;
	uint32_t id = load_u32(message + REQUEST_ID_AT);
	if (caller_in_flight(caller) == 0 || id != caller->oldest_id) {
		fprintf(stderr, "load: reply to call %u, expected %u\n", id, caller->oldest_id);
		return false;
	}
	histogram_add(&caller->totals->latency, now - caller->sent_at[id & (caller->ring - 1)]);
	caller->oldest_id++;
	caller->totals->replies++;
	if (UNLIKELY(message[13] > 1))
		note_error(caller, message, len);
	return true;
}

bool caller_ready(struct caller *caller)
{
	if (caller->ws.out.len > 0)
		ws_flush(&caller->ws);
	ws_receive(&caller->ws);
	uint64_t now = clock_mono_nanos();
	struct ws_frame frame;
	while (ws_next(&caller->ws, &frame)) {
		if (ws_control(&caller->ws, &frame))
			continue;
		if (frame.len < 2 || frame.payload[0] != 0 || !frame.fin) {
			fprintf(stderr, "load: a frame that is compressed, split or empty\n");
			return false;
		}
		const uint8_t *message = frame.payload + 1, *end = frame.payload + frame.len;
		while (message < end) {
			size_t left = (size_t)(end - message), len = left;
			if (caller->plan->load.v3)
				len = server_message_len(message, left);
			if (!take_reply(caller, message, len, now))
				return false;
			message += len;
		}
	}
	if (caller->ws.gone)
		return false;
	uint32_t in_flight = caller_in_flight(caller);
	if (!caller->stopping && in_flight < caller->plan->load.inflight)
		send_calls(caller, caller->plan->load.inflight - in_flight);
	return !caller->ws.gone;
}

void caller_start(struct caller *caller)
{
	send_calls(caller, caller->plan->load.inflight);
}

bool caller_connect(struct caller *caller, const struct ws_options *options, const struct caller_plan *plan,
	struct caller_totals *totals)
{
	static uint32_t made;
	*caller = (struct caller){ .ws.fd = -1, .plan = plan, .totals = totals, .ring = 1 };
	while (caller->ring < plan->load.inflight)
		caller->ring *= 2;
	caller->pair = caller->first_pair = made++ * 2039; /* callers walk the same pairs, far apart */
	caller->sent_at = mem_zalloc_array(caller->ring, sizeof(caller->sent_at[0]));
	return caller->sent_at != NULL && ws_connect(&caller->ws, options);
}

void caller_deinit(struct caller *caller)
{
	ws_deinit(&caller->ws);
	mem_free(caller->sent_at);
	caller->sent_at = NULL;
}
