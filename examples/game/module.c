/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small game: ships fly over a square that wraps around, steered by their
 * owners, moved by a tick 20 times a second. Clients see the ships of a sector
 * (a view with a parameter), and those that have scored.
 *
 *   worldline publish game --module-path examples/game
 *   worldline call game launch Ada
 *   worldline call game steer 30 -10
 *   worldline sql game "SELECT * FROM sector(0)"
 */
#include <worldline/module.h>

enum { SIDE = 1000, SECTORS = 4, SPEED_MAX = 50 };
#define TICK 50000ll /* microseconds */

WL_STRUCT(vector, (i32, x), (i32, y))

WL_TABLE(ship, PUBLIC,
	(identity, owner, PRIMARY_KEY),
	(str, name),
	(vector, at),
	(vector, speed),
	(u32, sector, INDEX),
	(u32, score, INDEX))

WL_TABLE(star, PUBLIC,
	(u32, sector, PRIMARY_KEY),
	(vector, at))

WL_TABLE(clock, PRIVATE,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(schedule_at, at))

static u32 sector_of(vector at)
{
	return (u32)(at.x * 2 / SIDE + at.y * 2 / SIDE * 2);
}

static i32 wrapped(i32 n)
{
	return (n % SIDE + SIDE) % SIDE;
}

/* Somewhere in its sector. */
static void place_star(u32 sector)
{
	i32 half = SIDE / 2;
	star row = { sector, { (i32)(sector % 2) * half + (i32)wl_random_below((u64)half),
		(i32)(sector / 2) * half + (i32)wl_random_below((u64)half) } };
	if (!star_update_by_sector(&row))
		star_insert(&row);
}

WL_INIT()
{
	clock row = { 0, wl_every(TICK) };
	clock_insert(&row);
	for (u32 sector = 0; sector < SECTORS; sector++)
		place_star(sector);
	return wl_ok();
}

WL_REDUCER(launch, (str, name))
{
	vector at = { (i32)wl_random_below(SIDE), (i32)wl_random_below(SIDE) };
	ship row = { ctx->sender, name, at, { 0, 0 }, sector_of(at), 0 };
	return ship_insert(&row) ? wl_ok() : wl_fail("your ship is on its way");
}

WL_REDUCER(steer, (i32, x), (i32, y))
{
	ship row;
	if (x < -SPEED_MAX || x > SPEED_MAX || y < -SPEED_MAX || y > SPEED_MAX)
		return wl_fail("at most %d in each direction", SPEED_MAX);
	if (!ship_find_by_owner(ctx->sender, &row))
		return wl_fail("launch a ship first");
	row.speed = (vector){ x, y };
	ship_update_by_owner(&row);
	return wl_ok();
}

WL_REDUCER(land)
{
	return ship_delete_by_owner(ctx->sender) > 0 ? wl_ok() : wl_fail("you have no ship");
}

static void move(ship *row)
{
	star target;
	row->at = (vector){ wrapped(row->at.x + row->speed.x), wrapped(row->at.y + row->speed.y) };
	row->sector = sector_of(row->at);
	if (star_find_by_sector(row->sector, &target)) {
		i32 x = row->at.x - target.at.x, y = row->at.y - target.at.y;
		if (x * x + y * y <= SPEED_MAX * SPEED_MAX) {
			row->score++;
			place_star(row->sector);
		}
	}
	ship_update_by_owner(row);
}

/* Ships that stand still cost nothing: no row of theirs changes. */
WL_REDUCER(tick, (clock, now))
{
	(void)now;
	WL_EACH(ship, row)
		if (row.speed.x != 0 || row.speed.y != 0)
			move(&row);
	return wl_ok();
}
WL_SCHEDULE(clock, at, tick)

WL_VIEW(ship, sector, (u32, number))
{
	WL_EACH_BY(ship, sector, row, number)
		ship_emit(&row);
}

WL_QUERY_VIEW(ship, scored)
{
	return WL_STR("SELECT * FROM ship WHERE score > 0");
}
