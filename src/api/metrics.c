/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/metrics: Prometheus text. Every counter and gauge is one line of one of the two tables below; behind them
 * comes the histogram of each database.
 */
#include "api/api_internal.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdio.h>

struct host_values {
	struct net_stats net;
	struct mem_stats mem;
	uint64_t requests, responses_4xx, responses_5xx, databases;
};
struct host_metric {
	const char *name, *type, *help;
	size_t offset;
};
#define HOST(field) offsetof(struct host_values, field)
static const struct host_metric host_metrics[] = {
	{ "worldline_connections", "gauge", "Open connections of any kind.", HOST(net.connections) },
	{ "worldline_received_bytes_total", "counter", "Bytes read from sockets.", HOST(net.bytes_in) },
	{ "worldline_sent_bytes_total", "counter", "Bytes written to sockets.", HOST(net.bytes_out) },
	{ "worldline_received_messages_total", "counter", "WebSocket messages received.", HOST(net.messages_in) },
	{ "worldline_sent_messages_total", "counter", "WebSocket messages sent.", HOST(net.messages_out) },
	{ "spacetime_client_outgoing_queue_disconnects_total", "counter", "Connections cut off because they did not read.",
		HOST(net.cut_off) },
	{ "worldline_http_requests_total", "counter", "HTTP requests.", HOST(requests) },
	{ "worldline_http_client_errors_total", "counter", "HTTP answers with a status of 400 to 499.",
		HOST(responses_4xx) },
	{ "worldline_http_server_errors_total", "counter", "HTTP answers with a status of 500 and above.",
		HOST(responses_5xx) },
	{ "worldline_open_databases", "gauge", "Databases in memory.", HOST(databases) },
	{ "worldline_allocated_bytes", "gauge", "Memory in use by the host itself.", HOST(mem.live_bytes) },
	{ "worldline_allocations_total", "counter", "Allocations ever made by the host itself.", HOST(mem.allocations) },
};

struct database_metric {
	const char *name, *type, *label, *help;
	size_t offset;
};
#define OF(field) offsetof(struct database_stats, field)
static const struct database_metric database_metrics[] = {
	{ "spacetime_num_txns_total", "counter", "db", "Committed transactions.", OF(transactions) },
	{ "worldline_rolled_back_transactions_total", "counter", "db", "Transactions rolled back.", OF(rolled_back) },
	{ "worldline_reducer_calls_total", "counter", "db", "Reducers started.", OF(reducer_calls) },
	{ "spacetime_worker_connected_clients", "gauge", "database_identity", "Connected WebSocket clients.", OF(clients) },
	{ "spacetime_data_size_table_num_rows", "gauge", "db", "Rows in all tables.", OF(rows) },
	{ "spacetime_data_size_bytes_used_by_rows", "gauge", "db", "Bytes used by rows.", OF(row_bytes) },
	{ "spacetime_data_size_table_bytes_used_by_index_keys", "gauge", "db", "Bytes used by indexes.", OF(index_bytes) },
	{ "spacetime_message_log_size_bytes", "gauge", "db", "Bytes of the commit log on disk.", OF(log_bytes) },
	{ "worldline_snapshots_total", "counter", "db", "Snapshots taken since the database was opened.", OF(snapshots) },
	{ "worldline_snapshot_size_bytes", "gauge", "db", "Bytes of all snapshots on disk.", OF(snapshot_bytes) },
	{ "worldline_snapshot_last_nanoseconds", "gauge", "db", "What the last snapshot took.", OF(snapshot_nanos) },
	{ "worldline_memory_limit_bytes", "gauge", "db", "What rows, indexes and module may take of memory; 0: no limit.",
		OF(memory_max) },
	{ "worldline_disk_limit_bytes", "gauge", "db", "What log and snapshots may take of disk; 0: no limit.",
		OF(disk_max) },
	{ "spacetime_worker_wasm_memory_bytes", "gauge", "database_identity", "Memory of the module's main instance.",
		OF(guest_bytes) },
	{ "spacetime_worker_ws_clients_session_busy_total", "counter", "database_identity",
		"Connections refused because their session was held by another.", OF(sessions_busy) },
	{ "worldline_executor_nanoseconds_total", "counter", "db", "Time the executor has worked.", OF(executor_nanos) },
	{ "spacetime_scheduler_active_scheduled_functions", "gauge", "db", "Scheduled functions that run.", OF(scheduled) },
	{ "worldline_schedule_ticks_skipped_total", "counter", "db", "Times at which an interval was due and another call "
		"stood for it.", OF(ticks_skipped) },
	{ "worldline_energy_used_total", "counter", "db", "Energy that calls have used since the database was opened.",
		OF(energy) },
};

struct histogram {
	const char *name, *help;
	const struct waits *(*of)(const struct database *db); /* NULL: nothing was ever counted */
};
static const struct histogram histograms[] = {
	{ "worldline_executor_wait_seconds", "From the arrival of a message or request to its turn.", database_waits },
	{ "worldline_schedule_delay_seconds", "From when a scheduled row was due to its call.", database_schedule_waits },
};

/* Seconds with all their nanoseconds. */
static void put_seconds(struct buf *text, uint64_t nanos)
{
	buf_printf(text, "%llu.%09llu", (unsigned long long)(nanos / 1000000000u),
		(unsigned long long)(nanos % 1000000000u));
}

/* Buckets in which nothing is are left out: an idle database costs a few lines. */
static void put_waits(struct buf *text, const char *name, const char *identity, const struct waits *waits)
{
	uint64_t total = 0;
	for (uint32_t i = 0; i < WAITS_BUCKETS; i++) {
		uint64_t count = atomic_load_explicit(&waits->counts[i], memory_order_relaxed);
		total += count;
		if (count == 0 || waits_limit(i) == UINT64_MAX)
			continue;
		buf_printf(text, "%s_bucket{db=\"%s\",le=\"", name, identity);
		put_seconds(text, waits_limit(i));
		buf_printf(text, "\"} %llu\n", (unsigned long long)total);
	}
	buf_printf(text, "%s_bucket{db=\"%s\",le=\"+Inf\"} %llu\n", name, identity, (unsigned long long)total);
	buf_printf(text, "%s_sum{db=\"%s\"} ", name, identity);
	put_seconds(text, atomic_load_explicit(&waits->nanos, memory_order_relaxed));
	buf_printf(text, "\n%s_count{db=\"%s\"} %llu\n", name, identity, (unsigned long long)total);
}

struct snapshot {
	char identity[65];
	struct database_stats stats;
};
struct snapshots {
	struct buf list;  /* struct snapshot, back to back */
	struct buf histograms[ARRAY_COUNT(histograms)]; /* texts */
};

static void add_snapshot(void *context, struct database *db)
{
	struct snapshots *all = context;
	struct snapshot snapshot = { { 0 } };
	identity_to_hex(database_identity(db), snapshot.identity);
	database_stats(db, &snapshot.stats);
	buf_put(&all->list, &snapshot, sizeof(snapshot));
	for (size_t i = 0; i < ARRAY_COUNT(histograms); i++) {
		const struct waits *waits = histograms[i].of(db);
		if (waits != NULL)
			put_waits(&all->histograms[i], histograms[i].name, snapshot.identity, waits);
	}
}

static uint64_t value_at(const void *values, size_t offset)
{
	return load_u64((const uint8_t *)values + offset);
}

void route_metrics(struct api_call *call)
{
	struct api *api = call->api;
	struct buf text = BUF_INIT(64 << 20);
	struct snapshots all = { .list = BUF_INIT(64 << 20) };
	for (size_t i = 0; i < ARRAY_COUNT(histograms); i++)
		buf_init(&all.histograms[i], 64 << 20);
	const struct buf *list = &all.list;
	host_each_open(api->host, add_snapshot, &all);
	struct host_values values = {
		.net = net_stats(api->net), .mem = mem_stats(),
		.requests = atomic_load(&api->requests), .responses_4xx = atomic_load(&api->responses_4xx),
		.responses_5xx = atomic_load(&api->responses_5xx), .databases = list->len / sizeof(struct snapshot),
	};
	for (size_t i = 0; i < ARRAY_COUNT(host_metrics); i++) {
		const struct host_metric *metric = &host_metrics[i];
		buf_printf(&text, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", metric->name, metric->help, metric->name,
			metric->type, metric->name, (unsigned long long)value_at(&values, metric->offset));
	}
	for (size_t i = 0; i < ARRAY_COUNT(database_metrics) && list->len > 0; i++) {
		const struct database_metric *metric = &database_metrics[i];
		buf_printf(&text, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name, metric->type);
		for (size_t at = 0; at < list->len; at += sizeof(struct snapshot)) {
			struct snapshot snapshot;
			memcpy(&snapshot, list->data + at, sizeof(snapshot));
			buf_printf(&text, "%s{%s=\"%s\"} %llu\n", metric->name, metric->label, snapshot.identity,
				(unsigned long long)value_at(&snapshot.stats, metric->offset));
		}
	}
	for (size_t i = 0; i < ARRAY_COUNT(histograms); i++) {
		const struct buf *lines = &all.histograms[i];
		if (lines->len > 0)
			buf_printf(&text, "# HELP %s %s\n# TYPE %s histogram\n", histograms[i].name, histograms[i].help,
				histograms[i].name);
		buf_put(&text, lines->data, lines->len);
		text.failed = text.failed || lines->failed;
	}
	text.failed = text.failed || list->failed;
	reply_text(call, text.failed ? 500 : 200, text.failed ? STR("the answer is too large") : buf_str(&text));
	buf_deinit(&text);
	buf_deinit(&all.list);
	for (size_t i = 0; i < ARRAY_COUNT(histograms); i++)
		buf_deinit(&all.histograms[i]);
}
