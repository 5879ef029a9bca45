/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: puts auth, net, host and deliveries together, and takes them apart again.
 *
 * Order of the end: network (no new requests, clients told), workers (requests finish), the mail that loops have left,
 * databases, what still waits on loops, then the rest. Databases may speak to their sink until they are gone.
 */
#include "api/api_internal.h"
#include "base/log.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>

enum { REST_TICKS = 5 }; /* seconds between two looks for idle databases */

/* ---- what net calls ---- */

static bool on_long_head(void *context, struct str line)
{
	(void)context;
	return router_long_head(line);
}

static void on_request_head(void *context, struct net_request *request)
{
	router_request_head(context, request);
}

static void on_request(void *context, struct net_request *request)
{
	router_request(context, request);
}

static struct api_loop *loop_of(struct api *api, const struct net_loop *loop)
{
	return &api->loops[net_loop_index(loop)];
}

static void on_message(void *context, struct net_loop *loop, net_conn conn, void *user, bool binary, uint8_t *data,
	size_t len)
{
	ws_message(loop_of(context, loop), conn, user, binary, data, len);
}

static void on_closed(void *context, struct net_loop *loop, net_conn conn, void *user)
{
	(void)conn;
	ws_closed(loop_of(context, loop), user);
}

static bool on_round(void *context, struct net_loop *loop)
{
	return delivery_round(loop_of(context, loop));
}

static void rest_idle(void *arg)
{
	struct api *api = arg;
	host_rest(api->host);
	atomic_store(&api->resting, false);
}

static void give_memory_back(void *arg)
{
	(void)arg;
	mem_trim();
}

static void on_tick(void *context, struct net_loop *loop)
{
	struct api *api = context;
	delivery_tick(loop_of(api, loop));
	if (net_loop_index(loop) != 0)
		return;
	/* Refused: the next time much is freed it is tried again. */
	if (mem_trim_due() && !worker_pool_run(api->workers, give_memory_back, NULL))
		log_debug("freed memory stays with the process: no thread to give it back");
	if (++api->rest_ticks < REST_TICKS || atomic_exchange(&api->resting, true))
		return;
	api->rest_ticks = 0;
	if (!worker_pool_run(api->workers, rest_idle, api))
		atomic_store(&api->resting, false);
}

/* ---- life ---- */

static enum wl_err open_auth(struct api *api, const struct api_options *options, struct error *error)
{
	struct auth_options auth = {
		.private_key_path = options->private_key_path, .public_key_path = options->public_key_path,
		.fetch = api->config.oidc_enabled ? fetch_url : NULL, .fetch_context = api,
	};
	return auth_open(&auth, &api->auth, error);
}

static enum wl_err open_net(struct api *api, const struct api_options *options, struct error *error)
{
	struct net_options net = {
		.listen_address = options->listen_address, .loops = api->config.loops,
		.ws = { .ping_interval_ms = api->config.ping_interval_ms, .idle_timeout_ms = api->config.idle_timeout_ms,
			.close_timeout_ms = api->config.close_timeout_ms },
		.callbacks = { .context = api, .long_head = on_long_head, .request_head = on_request_head,
			.request = on_request, .message = on_message, .closed = on_closed, .round = on_round, .tick = on_tick },
	};
	enum wl_err err = net_create(&net, &api->net, error);
	if (err != WL_OK)
		return err;
	return delivery_init(api) ? WL_OK : fail(error, WL_ERR_MEMORY, "out of memory");
}

static enum wl_err open_host(struct api *api, const struct api_options *options, struct error *error)
{
	api->sink = (struct database_sink){ .context = api, .loop_count = api->loop_count, .deliver = delivery_deliver,
		.durable = delivery_durable };
	struct host_options host = {
		.dir = options->dir, .in_memory = options->in_memory, .auth = api->auth, .sink = &api->sink,
		.subscriptions_per_client_max = api->config.subscriptions_per_connection,
		.queries_per_client_max = api->config.queries_per_connection,
		.reducer_ms_max = api->config.reducer_ms, .guest_memory_max = api->config.guest_memory_bytes,
		.module_log_bytes_max = api->config.module_log_bytes, .compiler = options->compiler,
		.durability = { .replay_micros = api->config.replay_ms * 1000u,
			.snapshots_kept = api->config.snapshots_kept, .log_kept_bytes = api->config.log_kept_bytes,
			.opens_damaged = api->config.opens_damaged, .archive = api->config.archive },
		.database_memory_max = api->config.database_memory_max,
		.database_disk_max = api->config.database_disk_max,
		.energy_call = api->config.energy_call, .energy_database = api->config.energy_database,
		.energy_identity = api->config.energy_identity,
		.http = api->config.module_http_enabled ? module_request : NULL, .http_context = api,
	};
	return host_open(&host, &api->host, error);
}

static enum wl_err open_all(struct api *api, const struct api_options *options, struct error *error)
{
	enum wl_err err = open_auth(api, options, error);
	if (err == WL_OK)
		err = open_net(api, options, error);
	if (err == WL_OK)
		err = open_host(api, options, error);
	if (err != WL_OK)
		return err;
	api->workers = worker_pool_create("request", API_WORKERS_MAX, THREAD_STACK_GUEST);
	api->ping_workers = worker_pool_create("ping", API_PING_WORKERS_MAX, 0);
	if (api->workers == NULL || api->ping_workers == NULL)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	return net_start(api->net, error);
}

enum wl_err api_start(const struct api_options *options, struct api **out, struct error *error)
{
	struct api *api = mem_zalloc(sizeof(*api));
	if (api == NULL)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	api->config = *options->config;
	mem_limit(api->config.memory_bytes != 0 ? api->config.memory_bytes : mem_of_machine() / 4 * 3);
	api->in_memory = options->in_memory;
	monitor_init(&api->tails_monitor);
	monitor_init(&api->lanes_monitor);
	monitor_init(&api->sessions_monitor);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	enum wl_err err = open_all(api, options, error);
	if (err != WL_OK) {
		api_stop(api);
		return err;
	}
	*out = api;
	return WL_OK;
}

uint16_t api_port(const struct api *api)
{
	return net_port(api->net);
}

void api_stop(struct api *api)
{
	if (api == NULL)
		return;
	atomic_store(&api->stopping, true);
	host_interrupt(api->host);
	if (api->net != NULL)
		net_stop(api->net, 1001, "host is shutting down", API_STOP_MS);
	worker_pool_destroy(api->ping_workers);
	logs_barrier(api);
	worker_pool_destroy(api->workers);
	logs_stop(api);
	if (api->loops != NULL)
		delivery_flush(api);
	host_stop(api->host);
	atomic_store(&api->detached, true);
	if (api->net != NULL)
		net_destroy(api->net);
	delivery_deinit(api);
	host_close(api->host);
	auth_close(api->auth);
	monitor_deinit(&api->tails_monitor);
	map_deinit(&api->lanes);
	monitor_deinit(&api->lanes_monitor);
	map_deinit(&api->sessions);
	monitor_deinit(&api->sessions_monitor);
	curl_global_cleanup();
	mem_free(api);
}
