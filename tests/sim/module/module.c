/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's module. Every call that commits leaves one row in `applied`: what it was, by the caller's number,
 * and what came of it. So the order of commits can be read from the database itself, and a model that follows these
 * rows must end with the same tables. VERSION is all that its versions differ in.
 */
#include <worldline/module.h>

#ifndef VERSION
#define VERSION 1
#endif
enum { ARRIVED = 1 << 30, GONE, CREATED, TICKED }; /* in the upper half of `op`: what nobody called */

WL_ENUM(Color, Red, Green, Blue)

WL_TABLE(applied, PUBLIC,
	(u64, seq, PRIMARY_KEY, AUTO_INC),
	(u64, op),
	(u64, value))
WL_TABLE(item, PUBLIC,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(str, name, UNIQUE),
	(u16, slot, UNIQUE_DIRECT),
	(u32, team, INDEX),
	(Color, color, INDEX_HASH),
	(i64, score))
WL_INDEX(item, by_team_score, team, score)
WL_TABLE(crew, PUBLIC,
	(u32, id, PRIMARY_KEY),
	(bool, open))
WL_TABLE(timer, PUBLIC,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(schedule_at, at),
	(u64, op))
WL_TABLE(noise, PUBLIC_EVENT,
	(u64, op))
WL_TABLE(noted, PUBLIC,
	(u64, n, PRIMARY_KEY))

static struct wl_status done(u64 op, u64 value)
{
	applied row = { 0, op, value };
	applied_insert(&row);
	return wl_ok();
}

static u64 unasked(u64 what, u64 which)
{
	return what << 32 | (u32)which;
}

static u64 connection_number(connection_id id)
{
	u64 n;
	__builtin_memcpy(&n, id.le, sizeof(n));
	return n;
}

WL_INIT()
{
	return done(unasked(CREATED, 0), 0);
}

WL_CONNECTED()
{
	return done(unasked(ARRIVED, connection_number(ctx->connection)), 0);
}

WL_DISCONNECTED()
{
	return done(unasked(GONE, connection_number(ctx->connection)), 0);
}

/* ---- items ---- */

WL_REDUCER(add, (u64, op), (str, name), (u16, slot), (u32, team), (Color, color), (i64, score))
{
	item row = { 0, name, slot, team, color, score };
	if (!item_insert(&row))
		return wl_fail("taken");
	return done(op, row.id);
}

WL_REDUCER(set, (u64, op), (u64, id), (str, name), (u16, slot), (u32, team), (Color, color), (i64, score))
{
	item row = { id, name, slot, team, color, score };
	if (!item_update_by_id(&row))
		return wl_fail("missing or taken");
	return done(op, id);
}

WL_REDUCER(drop, (u64, op), (u64, id))
{
	return item_delete_by_id(id) > 0 ? done(op, id) : wl_fail("missing");
}

WL_REDUCER(drop_team, (u64, op), (u32, team))
{
	return done(op, item_delete_by_team(team));
}

WL_REDUCER(drop_range, (u64, op), (u32, team), (i64, low), (i64, high))
{
	return done(op, WL_DELETE_RANGE(item, by_team_score, team, low, high));
}

WL_REDUCER(clear, (u64, op))
{
	return done(op, item_clear());
}

/* One after the other; the first that is taken fails them all. */
WL_REDUCER(many, (u64, op), (u16, slot), (u32, count))
{
	u64 first = 0;
	for (u32 i = 0; i < count; i++) {
		item row = { 0, wl_format("m%u", slot + i), (u16)(slot + i), i, Color_Green, (i64)i };
		if (!item_insert(&row))
			return wl_fail("taken");
		first = i == 0 ? row.id : first;
	}
	return done(op, first);
}

/* How many every index finds. */
WL_REDUCER(find, (u64, op), (u32, team), (Color, color), (u16, slot), (str, name), (i64, low), (i64, high))
{
	u64 found = 0;
	item one;
	WL_EACH_BY(item, team, row, team)
		found += 1;
	WL_EACH_BY(item, color, row, color)
		found += 1 << 10;
	WL_EACH_RANGE(item, by_team_score, row, team, low, high)
		found += 1 << 20;
	found += (u64)item_find_by_slot(slot, &one) << 40;
	found += (u64)item_find_by_name(name, &one) << 41;
	WL_EACH(item, row)
		found += (u64)item_find_by_id(row.id, &one) << 42;
	return done(op, found);
}

WL_REDUCER(fails, (u64, op), (str, name), (u16, slot))
{
	item row = { 0, name, slot, 0, Color_Red, 0 };
	item_insert(&row);
	done(op, 0);
	return wl_fail("it fails");
}

WL_REDUCER(traps, (u64, op), (str, name), (u16, slot))
{
	item row = { 0, name, slot, 0, Color_Red, 0 };
	item_insert(&row);
	done(op, 0);
	wl_panic("it traps");
}

/* ---- the rest ---- */

WL_REDUCER(shout, (u64, op))
{
	noise row = { op };
	noise_insert(&row);
	return done(op, VERSION);
}

WL_REDUCER(turn, (u64, op), (u32, id), (bool, open))
{
	crew row = { id, open };
	if (!crew_insert(&row))
		crew_update_by_id(&row);
	return done(op, id);
}

WL_REDUCER(tick, (timer, row))
{
	return done(unasked(TICKED, row.id), row.op);
}
WL_SCHEDULE(timer, at, tick)

WL_REDUCER(arm, (u64, op), (bool, is_time), (i64, micros))
{
	timer row = { 0, { is_time, micros }, op };
	timer_insert(&row);
	return done(op, row.id);
}

WL_REDUCER(disarm, (u64, op), (u64, id))
{
	return timer_delete_by_id(id) > 0 ? done(op, id) : wl_fail("missing");
}

/* ---- views ---- */

WL_VIEW(item, rich)
{
	WL_EACH_BY(item, team, row, 1u)
		if (row.score >= 50)
			item_emit(&row);
}

WL_SENDER_VIEW(item, mine)
{
	WL_EACH_BY(item, team, row, ctx->sender.le[0] % 4u)
		item_emit(&row);
}
