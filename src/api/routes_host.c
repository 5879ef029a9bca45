/* SPDX-License-Identifier: Apache-2.0 */
/* Routes about the host itself. All of them answer on the network loop: a blocked database never hides them. */
#include "api/api_internal.h"
#include "host/version.h"

void route_ping(struct api_call *call)
{
	reply_empty(call, 200);
}

void route_health(struct api_call *call)
{
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
