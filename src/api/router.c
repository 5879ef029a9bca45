/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which handler a request belongs to, and in which thread it runs. The table is the whole surface: method, path,
 * credentials and body limit of every route.
 *
 * Order of refusals: unknown path; credentials, where they come first (ROUTE_AUTH); body too large and unknown database
 * (ROUTE_LOOKUP); wrong method; credentials of the method. Preflight requests are answered before all of these.
 */
#include "api/api_internal.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdio.h>

#define DB (ROUTE_CORS | ROUTE_AUTH | ROUTE_LOOKUP)
#define DB_BY_HANDLER (ROUTE_CORS | ROUTE_AUTH)
#define NO_LIMIT UINT64_MAX

const struct route api_routes[] = {
	{ "/v1/ping", ROUTE_CORS, { { METHOD_GET, route_ping, CREDENTIALS_IF_GIVEN, 0, true } } },
	{ "/v1/health", ROUTE_CORS, { { METHOD_GET, route_health, CREDENTIALS_IGNORED, 0, false, LANE_HEALTH } } },
	{ "/v1/metrics", ROUTE_CORS, { { METHOD_GET, route_metrics, CREDENTIALS_IGNORED, 0, true } } },
	{ "/v1/prometheus/sd_config", ROUTE_CORS, { { METHOD_GET, route_sd_config, CREDENTIALS_IGNORED, 0, true } } },
	{ "/internal/heap", 0, { { METHOD_GET, route_heap, CREDENTIALS_IGNORED, 0, true } } },
	{ "/internal/heap/settings", 0, { { METHOD_GET, route_heap_settings, CREDENTIALS_IGNORED, 0, true },
		{ METHOD_POST, route_heap_settings_post, CREDENTIALS_IGNORED, 0, true } } },
	{ "/v1/identity", ROUTE_CORS, { { METHOD_POST, route_identity_create, CREDENTIALS_IGNORED, 0, false } } },
	{ "/v1/identity/public-key", ROUTE_CORS, { { METHOD_GET, route_public_key, CREDENTIALS_IGNORED, 0, true } } },
	{ "/v1/identity/websocket-token", ROUTE_CORS,
		{ { METHOD_POST, route_websocket_token, CREDENTIALS_TOKEN, 0, false } } },
	{ "/v1/identity/:identity/verify", ROUTE_CORS, { { METHOD_GET, route_verify, CREDENTIALS_TOKEN, 0, false } } },
	{ "/v1/identity/:identity/databases", ROUTE_CORS,
		{ { METHOD_GET, route_identity_databases, CREDENTIALS_IGNORED, 0, false } } },
	{ "/v1/energy/:identity", ROUTE_CORS, { { METHOD_GET, route_energy_get, CREDENTIALS_IGNORED, 0, false },
		{ METHOD_POST, route_energy_add, CREDENTIALS_TOKEN, 0, false },
		{ METHOD_PUT, route_energy_set, CREDENTIALS_TOKEN, 0, false } } },
	{ "/v1/mcp", ROUTE_CORS, { { METHOD_POST, route_mcp, CREDENTIALS_ANYBODY, 0, false, LANE_MCP } } },
	{ "/v1/database", DB_BY_HANDLER | ROUTE_ENVIRONMENT,
		{ { METHOD_POST, route_publish_unnamed, CREDENTIALS_ANYBODY, NO_LIMIT, false, LANE_PUBLISH } } },
	{ "/v1/database/:db", DB_BY_HANDLER | ROUTE_ENVIRONMENT,
		{ { METHOD_GET, route_database, CREDENTIALS_ANYBODY, 0, false },
		{ METHOD_PUT, route_publish, CREDENTIALS_ANYBODY, NO_LIMIT, false, LANE_PUBLISH },
		{ METHOD_DELETE, route_delete, CREDENTIALS_ANYBODY, 0, false, LANE_CHANGE } } },
	{ "/v1/database/:db/identity", DB_BY_HANDLER,
		{ { METHOD_GET, route_database_identity, CREDENTIALS_ANYBODY, 0, false } } },
	{ "/v1/database/:db/subscribe", DB_BY_HANDLER,
		{ { METHOD_GET, route_subscribe, CREDENTIALS_ANYBODY, 0, false, LANE_HANDSHAKE } } },
	{ "/v1/database/:db/names", DB, { { METHOD_GET, route_names_get, CREDENTIALS_ANYBODY, 0, false, LANE_CHANGE },
		{ METHOD_POST, route_names_add, CREDENTIALS_ANYBODY, 0, false, LANE_CHANGE },
		{ METHOD_PUT, route_names_replace, CREDENTIALS_ANYBODY, 0, false, LANE_CHANGE } } },
	{ "/v1/database/:db/call/:function", DB,
		{ { METHOD_POST, route_call, CREDENTIALS_ANYBODY, 0, false, LANE_DATABASE } } },
	{ "/v1/database/:db/sql", DB, { { METHOD_POST, route_sql, CREDENTIALS_ANYBODY, 0, false, LANE_DATABASE } } },
	{ "/v1/database/:db/schema", DB,
		{ { METHOD_GET, route_schema, CREDENTIALS_ANYBODY, 0, false, LANE_DATABASE } } },
	{ "/v1/database/:db/state-hash", DB,
		{ { METHOD_GET, route_state_hash, CREDENTIALS_ANYBODY, 0, false, LANE_DATABASE } } },
	{ "/v1/database/:db/usage", DB, { { METHOD_GET, route_usage, CREDENTIALS_ANYBODY, 0, false, LANE_DATABASE } } },
	{ "/v1/database/:db/logs", DB, { { METHOD_GET, route_logs, CREDENTIALS_ANYBODY, 0, false, LANE_LOGS } } },
	{ "/v1/database/:db/mcp", DB_BY_HANDLER,
		{ { METHOD_POST, route_mcp, CREDENTIALS_ANYBODY, 0, false, LANE_DATABASE } } },
	{ "/v1/database/:db/lock", DB, { { METHOD_POST, route_lock, CREDENTIALS_ANYBODY, 0, false, LANE_CHANGE } } },
	{ "/v1/database/:db/unlock", DB,
		{ { METHOD_POST, route_unlock, CREDENTIALS_ANYBODY, 0, false, LANE_CHANGE } } },
	{ "/v1/database/:db/environment", DB | ROUTE_ENVIRONMENT,
		{ { METHOD_GET, route_environment_get, CREDENTIALS_ANYBODY, 0, false, LANE_DATABASE },
		{ METHOD_PATCH, route_environment_merge, CREDENTIALS_ANYBODY, 16 << 20, false, LANE_CHANGE },
		{ METHOD_PUT, route_environment_replace, CREDENTIALS_ANYBODY, 16 << 20, false, LANE_CHANGE } } },
	{ "/v1/database/:db/reset", DB | ROUTE_ENVIRONMENT,
		{ { METHOD_PUT, route_reset, CREDENTIALS_ANYBODY, 0, false, LANE_CHANGE } } },
	{ "/v1/database/:db/pre_publish", DB,
		{ { METHOD_POST, route_pre_publish, CREDENTIALS_ANYBODY, NO_LIMIT, false, LANE_PUBLISH } } },
	{ "/v1/database/:db/unstable/timestamp", DB,
		{ { METHOD_GET, route_timestamp, CREDENTIALS_ANYBODY, 0, false } } },
	{ "/v1/database/:db/route", ROUTE_CORS,
		{ { METHOD_ANY, route_module_http, CREDENTIALS_IGNORED, NO_LIMIT, false, LANE_DATABASE } } },
	{ "/v1/database/:db/route/", ROUTE_CORS,
		{ { METHOD_ANY, route_module_http, CREDENTIALS_IGNORED, NO_LIMIT, false, LANE_DATABASE } } },
	{ "/v1/database/:db/route/*path", ROUTE_CORS,
		{ { METHOD_ANY, route_module_http, CREDENTIALS_IGNORED, NO_LIMIT, false, LANE_DATABASE } } },
};
const size_t api_route_count = ARRAY_COUNT(api_routes);

/* ---- matching ---- */

bool target_split(struct str target, struct str *path, struct str *query)
{
	const char *fragment = target.len > 0 ? memchr(target.data, '#', target.len) : NULL;
	if (fragment != NULL)
		target.len = (size_t)(fragment - target.data);
	const char *question = target.len > 0 ? memchr(target.data, '?', target.len) : NULL;
	*path = target;
	*query = (struct str){ "", 0 };
	if (question != NULL) {
		path->len = (size_t)(question - target.data);
		*query = (struct str){ question + 1, target.len - path->len - 1 };
	}
	if (path->len > 0 && path->data[0] == '/')
		return true;
	for (size_t i = 0; i + 2 < path->len; i++) { /* absolute form: http://authority/path */
		if (memcmp(path->data + i, "://", 3) != 0)
			continue;
		const char *slash = memchr(path->data + i + 3, '/', path->len - i - 3);
		if (slash == NULL)
			return false;
		*path = (struct str){ slash, (size_t)(path->data + path->len - slash) };
		return true;
	}
	return false;
}

static bool pattern_match(const char *pattern, struct str path, struct str params[ROUTE_PARAMS_MAX])
{
	const char *at = path.data, *end = path.data + path.len;
	uint32_t count = 0;
	while (*pattern != '\0') {
		if (*pattern == '*') {
			if (at == end || count == ROUTE_PARAMS_MAX)
				return false;
			params[count] = (struct str){ at, (size_t)(end - at) };
			return true;
		}
		if (*pattern == ':') {
			const char *from = at;
			while (at < end && *at != '/')
				at++;
			if (at == from || count == ROUTE_PARAMS_MAX)
				return false;
			params[count++] = (struct str){ from, (size_t)(at - from) };
			while (*pattern != '\0' && *pattern != '/')
				pattern++;
			continue;
		}
		if (at == end || *at != *pattern)
			return false;
		at++;
		pattern++;
	}
	return at == end;
}

const struct route *route_match(struct str path, struct str params[ROUTE_PARAMS_MAX])
{
	for (size_t i = 0; i < api_route_count; i++)
		if (pattern_match(api_routes[i].pattern, path, params))
			return &api_routes[i];
	return NULL;
}

static const char *const method_names[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS" };

enum method method_parse(struct str text)
{
	for (size_t i = 0; i < ARRAY_COUNT(method_names); i++)
		if (str_eq(text, str_of(method_names[i])))
			return (enum method)i;
	return METHOD_OTHER;
}

const struct route_method *route_method_find(const struct route *route, enum method method)
{
	for (size_t i = 0; i < ROUTE_METHODS_MAX && route->methods[i].handler != NULL; i++) {
		const struct route_method *found = &route->methods[i];
		if (found->method == METHOD_ANY || found->method == method ||
			(found->method == METHOD_GET && method == METHOD_HEAD))
			return found;
	}
	return NULL;
}

void route_allow(const struct route *route, char out[64])
{
	size_t len = 0;
	out[0] = '\0';
	for (size_t i = 0; i < ROUTE_METHODS_MAX && route->methods[i].handler != NULL; i++) {
		enum method method = route->methods[i].method;
		if (method == METHOD_ANY)
			return;
		len += (size_t)snprintf(out + len, 64 - len, "%s%s%s", len > 0 ? "," : "", method_names[method],
			method == METHOD_GET ? ",HEAD" : "");
	}
}

/* ---- running ---- */

static void answer(struct api_call *call)
{
	const struct route *route = call->route;
	if ((route->flags & ROUTE_AUTH) != 0 && !call_credentials(call, CREDENTIALS_ANYBODY))
		return;
	if ((route->flags & ROUTE_LOOKUP) != 0) {
		/* a reset with too long a body is not refused, but falls back to the stored program */
		bool ignores_length = call->method != NULL && call->method->handler == route_reset;
		if ((!ignores_length && !call_body_fits(call)) || !call_lookup(call, call->params[0]))
			return;
	}
	if (call->method == NULL) {
		reply_empty(call, 405);
		return;
	}
	if (!call->has_claims && !call_credentials(call, call->method->credentials))
		return;
	if (lane_enter(call))
		call->method->handler(call);
}

static void answer_on_worker(void *arg)
{
	answer(arg);
}

static void refuse_early(struct net_request *request, uint32_t status)
{
	net_respond(request, status, NULL, 0, NULL, 0);
}

static void preflight(struct api_call *call)
{
	call_header(call, "access-control-allow-methods", STR("*"));
	call_header(call, "access-control-allow-headers", call->route->flags & ROUTE_ENVIRONMENT
		? STR("authorization,accept,content-type,spacetime-environment,spacetime-environment-remove")
		: STR("authorization,accept,content-type"));
	reply_empty(call, 200);
}

static bool has_credentials(struct api_call *call)
{
	bool present;
	struct str value;
	(void)net_request_header(call->request, "authorization", &present);
	return present || query_find(call, "token", &value) > 0;
}

/* Runs the call here if it cannot block, otherwise on a worker. */
static void dispatch(struct api_call *call)
{
	const struct route *route = call->route;
	if (call->verb == METHOD_OPTIONS && (route->flags & ROUTE_CORS) != 0) {
		preflight(call);
		return;
	}
	bool auth_first = (route->flags & (ROUTE_AUTH | ROUTE_LOOKUP)) != 0;
	struct worker_pool *pool = call->api->workers;
	if (!auth_first && (call->method == NULL || call->method->on_loop)) {
		if (call->method == NULL || call->method->credentials == CREDENTIALS_IGNORED || !has_credentials(call)) {
			answer(call);
			return;
		}
		pool = call->api->ping_workers;
	}
	if (!worker_pool_run(pool, answer_on_worker, call))
		reply_text(call, 503, STR("the server is short of memory"));
}

static bool begins(struct str line, const char *with)
{
	return line.len >= strlen(with) && memcmp(line.data, with, strlen(with)) == 0;
}

bool router_long_head(struct str line)
{
	return begins(line, "POST /v1/database") || begins(line, "PUT /v1/database/") ||
		begins(line, "PATCH /v1/database/");
}

void router_request_head(struct api *api, struct net_request *request)
{
	(void)api;
	struct str path, query, params[ROUTE_PARAMS_MAX];
	uint64_t max = API_BODY_BYTES_MAX;
	if (target_split(net_request_target(request), &path, &query)) {
		const struct route *route = route_match(path, params);
		const struct route_method *method = route == NULL ? NULL
			: route_method_find(route, method_parse(net_request_method(request)));
		if (method != NULL && method->body_max != 0)
			max = method->body_max;
	}
	net_request_body_limit(request, max);
}

void router_request(struct api *api, struct net_request *request)
{
	struct str path, query, params[ROUTE_PARAMS_MAX] = { { 0 } };
	atomic_fetch_add_explicit(&api->requests, 1, memory_order_relaxed);
	bool split = target_split(net_request_target(request), &path, &query);
	const struct route *route = split ? route_match(path, params) : NULL;
	if (route == NULL) {
		refuse_early(request, 404);
		return;
	}
	struct api_call *call = atomic_load(&api->stopping) ? NULL : mem_zalloc(sizeof(*call));
	if (call == NULL) {
		refuse_early(request, 503);
		return;
	}
	call->api = api;
	call->request = request;
	call->route = route;
	call->verb = method_parse(net_request_method(request));
	call->method = route_method_find(route, call->verb);
	call->path = path;
	call->query = query;
	memcpy(call->params, params, sizeof(params));
	arena_init(&call->arena, API_CALL_ARENA_BYTES_MAX);
	dispatch(call);
}
