/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes: who may block how many workers. A request that has to wait for something (a database that runs a long
 * reducer, a compiler, the pace of a client) holds a worker meanwhile; if its kind could hold them all, it would hold
 * up the whole host. So such requests enter a lane first, and a full lane keeps them without a worker.
 *
 * Invariants
 * 1. A call is in at most one lane: from lane_enter until call_free, or until who took the lane from it gives it back.
 * 2. lane->running calls are on a worker or on their way to one; calls wait only in a lane that is full.
 * 3. A lane is in the map if and only if running > 0.
 */
#include "api/api_internal.h"
#include "base/mem.h"

#include <stdatomic.h>

enum { KEY_BYTES = 33 };
struct lane {
	uint8_t key[KEY_BYTES]; /* kind, and which database */
	uint32_t running;
	struct api_call *first, **last;
};

/* Together far fewer than API_WORKERS_MAX, and one database's share a small part. */
static const uint32_t widths[] = {
	[LANE_DATABASE] = 32, [LANE_HANDSHAKE] = 32, /* waits until it is open, never for a reducer */
	[LANE_CHANGE] = 4, /* by the owner, not behind everybody's calls */
	[LANE_LOGS] = 8, [LANE_PUBLISH] = 32, [LANE_MCP] = 32, [LANE_HEALTH] = 4,
};

static bool is_per_database(enum lane_kind kind)
{
	return kind == LANE_DATABASE || kind == LANE_HANDSHAKE || kind == LANE_CHANGE || kind == LANE_LOGS;
}

/* Which database it is, if that can be told; what cannot is about to be refused anyway. */
static bool find_database(struct api_call *call, struct identity *id)
{
	if ((call->route->flags & ROUTE_LOOKUP) != 0) {
		*id = call->database;
		return true;
	}
	struct str name = percent_decode(&call->arena, call->params[0], false);
	return name.data != NULL && (identity_from_hex(name, id) || host_resolve(call->api->host, name, id));
}

static struct lane *lane_make(struct api *api, const uint8_t key[KEY_BYTES])
{
	struct lane *lane = mem_zalloc(sizeof(*lane));
	if (lane == NULL)
		return NULL;
	memcpy(lane->key, key, KEY_BYTES);
	lane->last = &lane->first;
	if (map_put(&api->lanes, lane->key, KEY_BYTES, (uintptr_t)lane))
		return lane;
	mem_free(lane);
	return NULL;
}

bool lane_enter(struct api_call *call)
{
	struct api *api = call->api;
	enum lane_kind kind = call->method->lane;
	struct identity id = { { 0 } };
	uint8_t key[KEY_BYTES] = { (uint8_t)kind };
	uint64_t value;
	if (kind == LANE_NONE || (is_per_database(kind) && !find_database(call, &id)))
		return true;
	memcpy(key + 1, id.le, sizeof(id.le));
	monitor_lock(&api->lanes_monitor);
	struct lane *lane = map_get(&api->lanes, key, KEY_BYTES, &value) ? (struct lane *)(uintptr_t)value
		: lane_make(api, key);
	bool entered = lane == NULL || lane->running < widths[kind]; /* without memory for it: as if there were none */
	if (lane != NULL && entered) {
		lane->running++;
		call->lane = lane;
	} else if (lane != NULL) {
		call->next_in_lane = NULL;
		*lane->last = call;
		lane->last = &call->next_in_lane;
	}
	monitor_unlock(&api->lanes_monitor);
	return entered;
}

static void run(void *arg)
{
	struct api_call *call = arg;
	if (atomic_load(&call->api->stopping))
		reply_text(call, 503, STR("the host is stopping"));
	else
		call->method->handler(call);
}

struct lane *lane_take(struct api_call *call)
{
	struct lane *lane = call->lane;
	call->lane = NULL;
	return lane;
}

/* The next call that waits takes the place. */
void lane_give(struct api *api, struct lane *lane)
{
	while (lane != NULL) {
		monitor_lock(&api->lanes_monitor);
		struct api_call *next = lane->first;
		if (next != NULL) {
			lane->first = next->next_in_lane;
			if (lane->first == NULL)
				lane->last = &lane->first;
			next->lane = lane;
		} else if (--lane->running == 0) {
			map_remove(&api->lanes, lane->key, KEY_BYTES);
			mem_free(lane);
		}
		monitor_unlock(&api->lanes_monitor);
		bool stopping = atomic_load(&api->stopping); /* the workers may be gone */
		if (next == NULL || (!stopping && worker_pool_run(api->workers, run, next)))
			return;
		lane = lane_take(next);
		reply_text(next, 503, stopping ? STR("the host is stopping") : STR("the server is short of memory"));
	}
}
