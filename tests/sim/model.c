/* SPDX-License-Identifier: Apache-2.0 */
/* What the tables must hold after the calls that `applied` says have committed, in that order. */
#include "sim/sim.h"

void name_text(uint32_t name, char out[2048])
{
	static const uint16_t lengths[] = { 0, 0, 12, 0, 60, 0, 400, 2000 };
	int len = snprintf(out, 2048, "%c%u", name >> 16 != 0 ? 'm' : 'n', name & 0xffff);
	int wanted = name >> 16 != 0 ? 0 : lengths[name % ARRAY_COUNT(lengths)];
	for (; len < wanted; len++)
		out[len] = 'x';
	out[len] = '\0';
}

size_t item_encode(const struct item *item, uint8_t bytes[ITEM_BYTES_MAX])
{
	char name[2048];
	struct out out = { bytes, bytes + ITEM_BYTES_MAX };
	name_text(item->name, name);
	out_bytes(&out, &item->id, 8);
	out_text(&out, name);
	out_bytes(&out, &item->slot, 2);
	out_u32(&out, item->team);
	out_bytes(&out, &item->color, 1);
	out_bytes(&out, &item->score, 8);
	return (size_t)(out.at - bytes);
}

static struct item *by_id(struct model *m, uint64_t id)
{
	for (uint32_t i = 0; i < m->item_count; i++)
		if (m->items[i].id == id)
			return &m->items[i];
	return NULL;
}

static void put(struct life *life, const struct item *row, const struct item *instead)
{
	struct model *m = &life->model;
	for (uint32_t i = 0; i < m->item_count; i++)
		if (&m->items[i] != instead && (m->items[i].name == row->name || m->items[i].slot == row->slot))
			violate(life, "item %llu was let in though its name or slot is taken", (unsigned long long)row->id);
	if (instead != NULL) {
		m->items[instead - m->items] = *row;
		return;
	}
	if (row->id <= m->item_id_last)
		violate(life, "item number %llu was given again", (unsigned long long)row->id);
	m->item_id_last = row->id;
	ck_assert_uint_lt(m->item_count, ITEMS_MAX);
	m->items[m->item_count++] = *row;
}

static uint64_t remove_where(struct model *m, const struct op *op, bool (*fits)(const struct op *, const struct item *))
{
	uint32_t kept = 0, before = m->item_count;
	for (uint32_t i = 0; i < before; i++)
		if (!fits(op, &m->items[i]))
			m->items[kept++] = m->items[i];
	m->item_count = kept;
	return before - kept;
}

static bool has_id(const struct op *op, const struct item *item)
{
	return item->id == op->id;
}

static bool in_team(const struct op *op, const struct item *item)
{
	return item->team == op->team;
}

static bool in_range(const struct op *op, const struct item *item)
{
	return in_team(op, item) && item->score >= op->low && item->score <= op->high;
}

static bool any(const struct op *op, const struct item *item)
{
	(void)op, (void)item;
	return true;
}

static uint64_t found(const struct model *m, const struct op *op)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < m->item_count; i++) {
		const struct item *item = &m->items[i];
		n += in_team(op, item) + ((uint64_t)(item->color == op->color) << 10) +
			((uint64_t)in_range(op, item) << 20) + ((uint64_t)(item->slot == op->slot) << 40) +
			((uint64_t)(item->name == op->name) << 41) + ((uint64_t)1 << 42);
	}
	return n;
}

static void expect(struct life *life, const char *what, uint64_t value, uint64_t wanted)
{
	if (value != wanted)
		violate(life, "%s: %llx, the model has %llx", what, (unsigned long long)value, (unsigned long long)wanted);
}

static struct item item_of(const struct op *op, uint64_t id)
{
	return (struct item){ id, op->name, op->team, op->slot, op->color, op->low };
}

static void follow_many(struct life *life, const struct op *op, uint64_t first)
{
	for (uint32_t i = 0; i < op->team; i++) {
		uint16_t slot = (uint16_t)(op->slot + i);
		put(life, &(struct item){ first + i, 1u << 16 | slot, i, slot, 1, i }, NULL);
	}
}

static void follow_timer(struct life *life, const struct op *op, uint64_t number, uint64_t id)
{
	struct model *m = &life->model;
	if (id <= m->timer_id_last)
		violate(life, "timer number %llu was given again", (unsigned long long)id);
	m->timer_id_last = id;
	ck_assert_uint_lt(m->timer_count, TIMERS_MAX);
	m->timers[m->timer_count++] = (struct armed){ id, number, op->flag, false, op->low };
}

static void forget_timer(struct life *life, uint64_t id)
{
	struct model *m = &life->model;
	for (uint32_t i = 0; i < m->timer_count; i++)
		if (m->timers[i].id == id) {
			m->timers[i] = m->timers[--m->timer_count];
			return;
		}
	violate(life, "timer %llu was disarmed and is not there", (unsigned long long)id);
}

static void follow_tick(struct life *life, uint64_t id, uint64_t op)
{
	struct model *m = &life->model;
	for (uint32_t i = 0; i < m->timer_count; i++)
		if (m->timers[i].id == (uint32_t)id) {
			expect(life, "the operation of a timer", op, m->timers[i].op);
			if (m->timers[i].is_time && m->timers[i].micros > life->now)
				violate(life, "timer %llu ticked before its time", (unsigned long long)id);
			m->timers[i].may_be_gone = m->timers[i].is_time;
			return;
		}
	violate(life, "timer %llu ticks and is not there", (unsigned long long)id);
}

static uint32_t version_at(const struct life *life, uint32_t place)
{
	uint32_t version = 1;
	for (uint32_t i = 0; i < life->update_count && life->updates[i].at <= place; i++)
		version = life->updates[i].version;
	return version;
}

static void follow_call(struct life *life, const struct event *event)
{
	struct model *m = &life->model;
	const struct op *op = &life->ops[event->op];
	struct item row = item_of(op, event->value), *old;
	switch (op->kind) {
	case OP_ADD: put(life, &row, NULL); break;
	case OP_SET:
		old = by_id(m, op->id);
		if (old == NULL)
			violate(life, "item %llu was changed and is not there", (unsigned long long)op->id);
		else
			put(life, &row, old);
		break;
	case OP_DROP: expect(life, "dropped by id", remove_where(m, op, has_id), 1); break;
	case OP_DROP_TEAM: expect(life, "dropped of a team", event->value, remove_where(m, op, in_team)); break;
	case OP_DROP_RANGE: expect(life, "dropped of a range", event->value, remove_where(m, op, in_range)); break;
	case OP_CLEAR: expect(life, "cleared", event->value, remove_where(m, op, any)); break;
	case OP_MANY: follow_many(life, op, event->value); break;
	case OP_FIND: expect(life, "found by indexes", event->value, found(m, op)); break;
	case OP_SHOUT:
		expect(life, "the version that runs", event->value, version_at(life, (uint32_t)(event - life->history)));
		break;
	case OP_TURN:
		m->crew_there[op->team] = true;
		m->crew_open[op->team] = op->flag;
		break;
	case OP_ARM: follow_timer(life, op, event->op, event->value); break;
	case OP_DISARM: forget_timer(life, op->id); break;
	case OP_FAILS:
	case OP_TRAPS:
	case OP_KINDS:
		violate(life, "a call that fails has committed: %llu", (unsigned long long)event->op);
		break;
	}
}

void model_follow(struct life *life, const struct event *event)
{
	uint64_t what = event->op >> 32;
	if (what == EV_TICKED)
		follow_tick(life, event->op, event->value);
	else if (what == 0 && event->op < life->op_count)
		follow_call(life, event);
	else if (what != EV_ARRIVED && what != EV_GONE && what != EV_CREATED)
		violate(life, "`applied` has a row that nobody asked for: %llx", (unsigned long long)event->op);
}

void model_rebuild(struct life *life)
{
	life->model = (struct model){ 0 };
	for (uint32_t i = 0; i < life->history_count; i++)
		model_follow(life, &life->history[i]);
}
