/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes about the host itself. All but health answer on the network loop: a blocked database never hides them.
 * Health asks every open database for a tick, and names one that does not answer.
 */
#include "api/api_internal.h"
#include "base/clock.h"
#include "host/version.h"

void route_ping(struct api_call *call)
{
	reply_empty(call, 200);
}

enum { HEALTH_NANOS_MAX = 2000000000 }; /* for all databases together */

struct health {
	uint64_t until;
	uint32_t stuck;
	struct identity first;
};

static void health_tick(void *context, struct database *db)
{
	struct health *health = context;
	uint64_t now = clock_mono_nanos();
	uint32_t left_ms = now >= health->until ? 1 : (uint32_t)((health->until - now) / 1000000) + 1;
	bool alive = !database_failed(db) && database_tick(db, left_ms);
	if (alive || database_closed(db))
		return;
	if (health->stuck++ == 0)
		health->first = *database_identity(db);
}

void route_health(struct api_call *call)
{
	struct health health = { .until = clock_mono_nanos() + HEALTH_NANOS_MAX };
	host_each_open(call->api->host, health_tick, &health);
	if (health.stuck > 0) {
		char hex[65];
		identity_to_hex(&health.first, hex);
		reply_printf(call, 503, "%u of the open databases do not answer, the first is %s", health.stuck, hex);
		return;
	}
	static const char json[] = "{\"nodes\":[0],\"package_name\":\"spacetimedb-client-api\",\"schedulable\":true,"
		"\"version\":\"" COMPATIBLE_VERSION "\"}";
	reply(call, 200, "application/json", json, sizeof(json) - 1);
}

void route_sd_config(struct api_call *call)
{
	static const char json[] = "[{\"targets\":[\"node:80\"],\"labels\":{}}]";
	reply(call, 200, "application/json", json, sizeof(json) - 1);
}

/* Heap profiling is a build option of the reference; here it is always off, and says so. */
void route_heap(struct api_call *call)
{
	reply_text(call, 403, STR("heap profiling is not activate. Activate by POSTing to /heap/settings?enabled=true"));
}

void route_heap_settings(struct api_call *call)
{
	static const char json[] = "{\"enabled\":false}";
	reply(call, 200, "application/json", json, sizeof(json) - 1);
}

void route_heap_settings_post(struct api_call *call)
{
	struct str value;
	bool enabled = false;
	if (query_find(call, "enabled", &value) == 0)
		reply_bad_query(call, "missing field `enabled`");
	else if (!call_query_bool(call, "enabled", &enabled))
		return;
	else if (enabled)
		reply_not_yet(call, "heap profiling");
	else
		reply_text(call, 200, STR("Heap profiling deactivated"));
}
