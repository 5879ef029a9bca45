/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chat with presence: who is here, rooms, messages that only members of
 * their room see, and a sweep of old messages every minute.
 *
 *   worldline publish chat --module-path examples/chat
 *   worldline call chat set_name Ada
 *   worldline call chat join hall
 *   worldline call chat say hall "Hello!"
 *   worldline sql chat "SELECT * FROM message"
 */
#include <worldline/module.h>

WL_TABLE(user, PUBLIC,
	(identity, id, PRIMARY_KEY),
	(str, name),
	(u32, connections),      /* 0: away */
	(timestamp, last_seen))

WL_TABLE(member, PUBLIC,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(str, room, INDEX),
	(identity, who, INDEX))

WL_TABLE(message, PUBLIC,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(str, room, INDEX),
	(identity, author),
	(timestamp, sent, INDEX),
	(str, text))

/* Who is not in a room does not see what is said there. */
WL_RULE("SELECT message.* FROM message JOIN member ON message.room = member.room WHERE member.who = :sender")

WL_TABLE(sweep, PRIVATE,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(schedule_at, at))

enum { NAME_BYTES_MAX = 32, TEXT_BYTES_MAX = 2000 };
#define MINUTE 60000000ll /* microseconds */
#define KEPT (24 * 60 * MINUTE)

/* ---- presence: a user may have several connections ---- */

static void count_connection(const struct wl_ctx *ctx, i32 change)
{
	user row;
	bool known = user_find_by_id(ctx->sender, &row);
	if (!known)
		row = (user){ ctx->sender, WL_STR(""), 0, ctx->now };
	if (change > 0 || row.connections > 0)
		row.connections += (u32)change;
	row.last_seen = ctx->now;
	if (known)
		user_update_by_id(&row);
	else
		user_insert(&row);
}

WL_CONNECTED()
{
	count_connection(ctx, 1);
	return wl_ok();
}

WL_DISCONNECTED()
{
	count_connection(ctx, -1);
	return wl_ok();
}

WL_REDUCER(set_name, (str, name))
{
	user row;
	if (name.len == 0 || name.len > NAME_BYTES_MAX)
		return wl_fail("a name has 1 to %d bytes", NAME_BYTES_MAX);
	if (!user_find_by_id(ctx->sender, &row))
		return wl_fail("connect first");
	row.name = name;
	user_update_by_id(&row);
	return wl_ok();
}

/* ---- rooms ---- */

static bool is_member(str room, identity who, u64 *id)
{
	WL_EACH_BY(member, who, row, who)
		if (wl_str_equal(row.room, room)) {
			*id = row.id;
			return true;
		}
	return false;
}

WL_REDUCER(join, (str, room))
{
	u64 id;
	if (room.len == 0 || room.len > NAME_BYTES_MAX)
		return wl_fail("a room's name has 1 to %d bytes", NAME_BYTES_MAX);
	if (is_member(room, ctx->sender, &id))
		return wl_ok();
	member row = { 0, room, ctx->sender };
	member_insert(&row);
	return wl_ok();
}

WL_REDUCER(leave, (str, room))
{
	u64 id;
	if (is_member(room, ctx->sender, &id))
		member_delete_by_id(id);
	return wl_ok();
}

WL_REDUCER(say, (str, room), (str, text))
{
	u64 id;
	if (text.len == 0 || text.len > TEXT_BYTES_MAX)
		return wl_fail("a message has 1 to %d bytes", TEXT_BYTES_MAX);
	if (!is_member(room, ctx->sender, &id))
		return wl_fail("join %.*s first", WL_FMT(room));
	message row = { 0, room, ctx->sender, ctx->now, text };
	message_insert(&row);
	return wl_ok();
}

/* ---- upkeep ---- */

WL_REDUCER(sweep_old, (sweep, row))
{
	timestamp first = { 0 }, last = { ctx->now.micros - KEPT };
	u32 gone = WL_DELETE_RANGE(message, sent, first, last);
	if (gone > 0)
		wl_info("sweep %llu: %u messages are gone", row.id, gone);
	return wl_ok();
}
WL_SCHEDULE(sweep, at, sweep_old)

WL_INIT()
{
	sweep row = { 0, wl_every(MINUTE) };
	sweep_insert(&row);
	return wl_ok();
}

/* ---- who is here ---- */

WL_VIEW(user, present)
{
	WL_EACH(user, row)
		if (row.connections > 0)
			user_emit(&row);
}
