/* SPDX-License-Identifier: Apache-2.0 */
/* What can happen in a life: calls, queries, statements, updates; the executor, the clock and the disk going on. */
#include "sim/sim.h"

/* ---- calls ---- */

static void put_name(struct out *out, uint32_t name)
{
	char text[2048];
	name_text(name, text);
	out_text(out, text);
}

static void put_u64(struct out *out, uint64_t v)
{
	out_bytes(out, &v, 8);
}

static const char *put_call(const struct op *op, uint64_t number, struct out *out)
{
	put_u64(out, number);
	switch (op->kind) {
	case OP_SET:
		put_u64(out, op->id);
		/* fall through */
	case OP_ADD:
		put_name(out, op->name);
		out_bytes(out, &op->slot, 2);
		out_u32(out, op->team);
		out_bytes(out, &op->color, 1);
		put_u64(out, (uint64_t)op->low);
		return op->kind == OP_ADD ? "add" : "set";
	case OP_DROP: put_u64(out, op->id); return "drop";
	case OP_DISARM: put_u64(out, op->id); return "disarm";
	case OP_DROP_TEAM: out_u32(out, op->team); return "drop_team";
	case OP_DROP_RANGE:
		out_u32(out, op->team);
		put_u64(out, (uint64_t)op->low);
		put_u64(out, (uint64_t)op->high);
		return "drop_range";
	case OP_MANY:
		out_bytes(out, &op->slot, 2);
		out_u32(out, op->team);
		return "many";
	case OP_FIND:
		out_u32(out, op->team);
		out_bytes(out, &op->color, 1);
		out_bytes(out, &op->slot, 2);
		put_name(out, op->name);
		put_u64(out, (uint64_t)op->low);
		put_u64(out, (uint64_t)op->high);
		return "find";
	case OP_FAILS:
	case OP_TRAPS:
		put_name(out, op->name);
		out_bytes(out, &op->slot, 2);
		return op->kind == OP_FAILS ? "fails" : "traps";
	case OP_TURN:
		out_u32(out, op->team);
		out_bytes(out, &op->flag, 1);
		return "turn";
	case OP_ARM:
		out_bytes(out, &op->flag, 1);
		put_u64(out, (uint64_t)op->low);
		return "arm";
	case OP_CLEAR: return "clear";
	case OP_SHOUT:
	case OP_KINDS: break;
	}
	return "shout";
}

static enum op_kind some_kind(struct life *life)
{
	static const uint8_t weights[OP_KINDS] = { [OP_ADD] = 30, [OP_SET] = 20, [OP_DROP] = 8, [OP_DROP_TEAM] = 2,
		[OP_DROP_RANGE] = 3, [OP_CLEAR] = 1, [OP_MANY] = 3, [OP_FIND] = 6, [OP_FAILS] = 4, [OP_TRAPS] = 1,
		[OP_SHOUT] = 5, [OP_TURN] = 5, [OP_ARM] = 6, [OP_DISARM] = 3 };
	uint64_t sum = 0, at;
	for (int i = 0; i < OP_KINDS; i++)
		sum += weights[i];
	at = roll(life, sum);
	int kind = 0;
	for (; at >= weights[kind]; kind++)
		at -= weights[kind];
	return (enum op_kind)kind;
}

static struct op some_call(struct life *life)
{
	const struct model *m = &life->model;
	struct op op = { .kind = some_kind(life), .name = (uint32_t)roll(life, 60), .team = (uint32_t)roll(life, CREWS),
		.slot = (uint16_t)roll(life, 90), .color = (uint8_t)roll(life, 3), .flag = roll(life, 2) == 0,
		.low = (int64_t)roll(life, 100) };
	op.high = op.low + (int64_t)roll(life, 40);
	bool is_timer = op.kind == OP_DISARM;
	uint32_t there = is_timer ? m->timer_count : m->item_count;
	uint64_t which = roll(life, there == 0 ? 1 : there);
	op.id = there == 0 || roll(life, 10) == 0 ? 1 + roll(life, 50)
		: is_timer ? m->timers[which].id : m->items[which].id;
	if (op.kind == OP_MANY) {
		op.slot = (uint16_t)(60 + roll(life, 60));
		op.team = (uint32_t)(1 + roll(life, 12));
	} else if (op.kind == OP_ARM) {
		op.flag = roll(life, 3) != 0;
		op.low = op.flag ? life->now + (int64_t)roll(life, 400000) - 1000 : 20000 + (int64_t)roll(life, 500000);
	}
	return op;
}

void step_call(struct life *life, struct line *line)
{
	struct world *w = &life->world;
	static uint8_t args[8192];
	struct out out = { w->message, w->message + sizeof(w->message) }, in = { args, args + sizeof(args) };
	struct op op = some_call(life);
	if (life->op_count == OPS_MAX || w->next_request >= ARRAY_COUNT(life->requests) ||
		(op.kind == OP_ARM && life->model.timer_count > 20))
		return;
	uint32_t id = w->next_request++, number = life->op_count++;
	op.conn = line->conn;
	life->ops[number] = op;
	life->requests[id] = number + 1;
	const char *reducer = put_call(&op, number, &in);
	note(life, "call %u by %llu: %s, id %llu, name %u, slot %u, team %u, low %lld", number,
		(unsigned long long)line->conn, reducer, (unsigned long long)op.id, op.name, op.slot, op.team,
		(long long)op.low);
	out_bytes(&out, &(uint8_t){ TAG_CALL }, 1);
	out_u32(&out, id);
	out_bytes(&out, &(uint8_t){ 0 }, 1);
	out_text(&out, reducer);
	out_u32(&out, (uint32_t)(in.at - args));
	out_bytes(&out, args, (size_t)(in.at - args));
	if (!world_put(w, line->loop, DATABASE_PROTOCOL, line->client, w->message, (size_t)(out.at - w->message)))
		life->ops[number].conn = 0; /* no memory: it never left */
}

/* ---- queries ---- */

static void unsubscribe(struct life *life, struct line *line, const struct set *set)
{
	struct world *w = &life->world;
	struct out out = { w->message, w->message + sizeof(w->message) };
	note(life, "%llu unsubscribes %u", (unsigned long long)line->conn, set->id);
	out_bytes(&out, &(uint8_t){ 1 }, 1);
	out_u32(&out, w->next_request++);
	out_u32(&out, set->id);
	out_bytes(&out, &(uint8_t){ 0 }, 1);
	(void)world_put(w, line->loop, DATABASE_PROTOCOL, line->client, w->message, (size_t)(out.at - w->message));
}

void step_subscribe(struct life *life, struct line *line)
{
	struct cache *cache = cache_of(life, line->conn, true);
	struct set *set = &cache->sets[roll(life, SETS_MAX)];
	uint32_t query = (uint32_t)roll(life, QUERIES);
	if (set->applied) {
		unsubscribe(life, line, set);
		set->applied = false; /* no more than a word until it is gone */
		return;
	}
	if (set->id != 0)
		return;
	uint32_t id = world_query(&life->world, line, TAG_SUBSCRIBE, cache_query(query));
	note(life, "%llu subscribes \"%s\" as %u", (unsigned long long)line->conn, cache_query(query), id);
	if (id != 0)
		*set = (struct set){ .id = id, .query = query };
}

void step_sql(struct life *life)
{
	char sql[128];
	struct buf text = BUF_INIT(1 << 16);
	uint64_t n = life->noted_count;
	if (n == NOTED_MAX)
		return;
	snprintf(sql, sizeof(sql), "INSERT INTO noted (n) VALUES (%llu)", (unsigned long long)n);
	life->noted[life->noted_count++].tried = true;
	enum wl_err err = world_sql(&life->world, sql, &text);
	life->noted[n].told = err == WL_OK;
	note(life, "%s: %s %s", sql, wl_err_name(err), buf_text(&text));
	if (err != WL_OK && life->reliable)
		violate(life, "\"%s\" failed: %s", sql, buf_text(&text));
	buf_deinit(&text);
}

/* ---- who comes and goes ---- */

void step_connect(struct life *life)
{
	struct world *w = &life->world;
	uint64_t id = ++life->connections;
	bool confirmed = roll(life, 2) == 0;
	struct line *line = world_connect(w, (uint32_t)roll(life, LOOPS), confirmed, id);
	note(life, "connection %llu comes%s", (unsigned long long)id, confirmed ? ", confirmed" : "");
	if (line != NULL)
		(void)cache_of(life, line->conn, true);
}

void step_disconnect(struct life *life, struct line *line)
{
	uint64_t conn = line->conn;
	note(life, "connection %llu goes", (unsigned long long)conn);
	if (world_disconnect(&life->world, line))
		cache_forget(life, conn);
}

/* ---- the module ---- */

void step_update(struct life *life, struct programs *programs)
{
	struct world *w = &life->world;
	struct buf text = BUF_INIT(1 << 16);
	uint32_t version = memcmp(w->db->module.hash, programs->hashes[0], 32) == 0 ? 2 : 1;
	if (life->update_count + 2 >= UPDATES_MAX)
		return;
	step_run(life, UINT32_MAX); /* so that it is known where in the history it stands */
	enum wl_err err = database_update(w->db, RUNTIME_WASM, buf_bytes(&programs->codes[version - 1]), NULL, NULL,
		&text);
	note(life, "update to version %u: %s %s", version, wl_err_name(err), buf_text(&text));
	if (memcmp(w->db->module.hash, programs->hashes[version - 1], 32) == 0) {
		life->updates[life->update_count].at = life->history_count;
		life->updates[life->update_count++].version = version;
		life->counts.updates++;
	} else if (err == WL_OK) {
		violate(life, "version %u was said to run and does not", version);
	} else if (life->reliable) {
		violate(life, "the update to version %u failed: %s", version, buf_text(&text));
	}
	buf_deinit(&text);
}

/* ---- going on ---- */

static void hear_of_disk(struct world *w)
{
	for (uint32_t i = 0; i < LOOPS; i++) {
		if (!atomic_exchange(&w->awake[i], false))
			continue;
		w->awaiting[i] = false;
		release_waiting(w, i);
	}
}

void step_run(struct life *life, uint32_t budget)
{
	struct world *w = &life->world;
	for (uint32_t i = 0; i < LOOPS; i++)
		post_inbox(w, i);
	bool left = database_run_pending(w->db, budget);
	while (left && budget == UINT32_MAX)
		left = database_run_pending(w->db, budget);
	hear_of_disk(w);
	note(life, "run: offset %lld", (long long)w->db->offset);
	check_step(life);
}

void step_clock(struct life *life, int64_t micros)
{
	life->now += micros;
	while (database_timers_step(life->timers))
		note(life, "timers");
}

bool step_disk(struct life *life)
{
	bool worked = commitlog_writers_step(life->world.engine->writers);
	note(life, "disk: durable %lld, state %d", (long long)database_durable(life->world.db),
		commitlog_state(life->world.db->commitlog));
	return worked;
}

void step_settle(struct life *life)
{
	do
		step_run(life, UINT32_MAX);
	while (step_disk(life));
	step_run(life, UINT32_MAX);
}
