/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module's log: the newest day's file, and what comes after it.
 *
 * A follower's lines come on the log's own thread, which must not block: they go straight into the answer's stream. The
 * request's worker is held only while the past is sent. A tail ends when its log is closed, when its client has gone or
 * is too slow (noticed at the next line, or by logs_sweep once a second), or when the host stops.
 *
 * Invariants of a tail
 * 1. It is freed by the one who sets `ending`, after module_log_unfollow: no callback runs then.
 * 2. Until the past has been sent, live lines wait in `early`; the two never mix.
 * 3. It holds no share of its database: that would keep the log open, whose closing it waits for.
 */
#include "api/api_internal.h"
#include "base/mem.h"
#include "database/module_log.h"

#include <stdatomic.h>
#include <time.h>

enum { EARLY_BYTES_MAX = 2 << 20, CHUNK_BYTES = 64 << 10, PAUSE_MS = 5, PATIENCE_MS = 30000 };

struct tail {
	struct api *api;
	struct net_stream *stream;
	struct module_log_follower *follower;
	struct tail *next, **link; /* in api->tails, under its lock */
	struct monitor monitor;    /* guards what follows */
	struct buf early;
	bool past_sent, over, ending;
};

static void tail_link(struct tail *tail)
{
	struct api *api = tail->api;
	monitor_lock(&api->tails_monitor);
	tail->next = api->tails;
	tail->link = &api->tails;
	if (tail->next != NULL)
		tail->next->link = &tail->next;
	api->tails = tail;
	monitor_unlock(&api->tails_monitor);
}

static void tail_free(struct tail *tail)
{
	if (tail->link != NULL) {
		monitor_lock(&tail->api->tails_monitor);
		*tail->link = tail->next;
		if (tail->next != NULL)
			tail->next->link = tail->link;
		monitor_unlock(&tail->api->tails_monitor);
	}
	if (tail->follower != NULL)
		module_log_unfollow(tail->follower);
	if (tail->stream != NULL)
		net_stream_end(tail->stream);
	buf_deinit(&tail->early);
	monitor_deinit(&tail->monitor);
	mem_free(tail);
}

static void tail_free_on_worker(void *arg)
{
	tail_free(arg);
}

/* Under the tail's monitor. A worker does the rest: the log's thread would wait for itself. */
static void tail_end(struct tail *tail)
{
	tail->over = true;
	if (!tail->past_sent || tail->ending || atomic_load(&tail->api->stopping))
		return;
	/* no memory: the sweep tries again */
	tail->ending = worker_pool_run(tail->api->workers, tail_free_on_worker, tail);
}

static void tail_lines(void *context, struct bytes lines)
{
	struct tail *tail = context;
	monitor_lock(&tail->monitor);
	if (lines.len == 0) {
		tail_end(tail);
	} else if (!tail->past_sent) {
		buf_put(&tail->early, lines.data, lines.len); /* beyond the maximum lines are lost, as for any slow reader */
		tail->early.failed = false;
	} else if (tail->over || !net_stream_write(tail->stream, lines.data, lines.len)) {
		tail_end(tail);
	}
	monitor_unlock(&tail->monitor);
}

void logs_sweep(struct api *api)
{
	monitor_lock(&api->tails_monitor);
	for (struct tail *tail = api->tails; tail != NULL; tail = tail->next) {
		monitor_lock(&tail->monitor);
		if (tail->past_sent && (tail->over || !net_stream_write(tail->stream, NULL, 0)))
			tail_end(tail);
		monitor_unlock(&tail->monitor);
	}
	monitor_unlock(&api->tails_monitor);
}

void logs_barrier(struct api *api)
{
	monitor_lock(&api->tails_monitor);
	for (struct tail *tail = api->tails; tail != NULL; tail = tail->next) {
		monitor_lock(&tail->monitor); /* whoever was queueing work has done so when we get here */
		monitor_unlock(&tail->monitor);
	}
	monitor_unlock(&api->tails_monitor);
}

void logs_stop(struct api *api)
{
	while (api->tails != NULL)
		tail_free(api->tails);
}

static struct net_stream *begin(struct api_call *call)
{
	call_header(call, "cache-control", STR("no-cache"));
	call_header(call, "content-type", STR("application/x-ndjson"));
	call_finish_headers(call);
	return net_stream_begin(call->request, 200, call->headers, call->header_count);
}

/* At the client's pace: a slow one blocks this worker, one that takes nothing for a while is given up. */
static bool copy(struct module_log_reader *reader, struct net_stream *stream, uint8_t *chunk)
{
	size_t n;
	while ((n = module_log_reader_next(reader, chunk, CHUNK_BYTES)) > 0) {
		const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 };
		uint32_t waited = 0;
		while (!net_stream_write(stream, chunk, n)) {
			if (waited > PATIENCE_MS || !net_stream_write(stream, NULL, 0))
				return false;
			nanosleep(&pause, NULL);
			waited += PAUSE_MS;
		}
	}
	return true;
}

static void reply_unavailable(struct api_call *call, enum wl_err err, const struct error *error)
{
	if (err == WL_ERR_NOT_FOUND)
		reply_text(call, 503, STR("Logs are temporarily not available"));
	else
		reply_text(call, 500, str_of(error->text));
}

static void follow(struct api_call *call, struct database *db, uint64_t past_lines)
{
	struct error error = { 0 };
	struct module_log_reader *past = NULL;
	struct tail *tail = mem_zalloc(sizeof(*tail));
	uint8_t *chunk = mem_alloc(CHUNK_BYTES);
	if (tail == NULL || chunk == NULL) {
		mem_free(tail);
		mem_free(chunk);
		reply_text(call, 503, STR("the server is short of memory"));
		return;
	}
	tail->api = call->api;
	tail->early = BUF_INIT(EARLY_BYTES_MAX);
	monitor_init(&tail->monitor);
	enum wl_err err = module_log_follow(database_log(db), tail_lines, tail, past_lines, past_lines > 0 ? &past : NULL,
		&tail->follower, &error);
	if (err != WL_OK) {
		tail_free(tail);
		mem_free(chunk);
		reply_unavailable(call, err, &error);
		return;
	}
	tail->stream = begin(call);
	call_free(call);
	bool alive = tail->stream != NULL && (past == NULL || copy(past, tail->stream, chunk));
	module_log_reader_close(past);
	mem_free(chunk);
	if (!alive) {
		tail_free(tail);
		return;
	}
	tail_link(tail);
	monitor_lock(&tail->monitor);
	if (tail->early.len > 0 && !net_stream_write(tail->stream, tail->early.data, tail->early.len))
		tail->over = true;
	buf_deinit(&tail->early);
	tail->past_sent = true;
	if (tail->over)
		tail_end(tail);
	monitor_unlock(&tail->monitor);
}

static void send_past(struct api_call *call, struct database *db, uint64_t lines)
{
	struct error error = { 0 };
	struct module_log_reader *reader;
	uint8_t *chunk = mem_alloc(CHUNK_BYTES);
	if (chunk == NULL) {
		reply_text(call, 503, STR("the server is short of memory"));
		return;
	}
	enum wl_err err = module_log_read(database_log(db), lines, &reader, NULL, &error);
	if (err != WL_OK) {
		mem_free(chunk);
		reply_unavailable(call, err, &error);
		return;
	}
	struct net_stream *stream = begin(call);
	call_free(call);
	if (stream != NULL) {
		(void)copy(reader, stream, chunk);
		net_stream_end(stream);
	}
	module_log_reader_close(reader);
	mem_free(chunk);
}

void route_logs(struct api_call *call)
{
	uint64_t lines = 0;
	bool has_lines, following = false;
	struct host_record record;
	struct database *db;
	if (!call_query_u64(call, "num_lines", UINT32_MAX, &lines, &has_lines) ||
		!call_query_bool(call, "follow", &following) || !call_is_owner(call, "view module logs", &record) ||
		!call_open_database(call, &db))
		return;
	struct api *api = call->api;
	struct lane *lane = lane_take(call); /* for as long as the client takes to read the past */
	if (following)
		follow(call, db, size_min(lines, MODULE_LOG_FOLLOW_LINES_MAX));
	else
		send_past(call, db, !has_lines ? MODULE_LOG_ALL : lines == 0 ? 1 : lines);
	database_release(db);
	lane_give(api, lane);
}
