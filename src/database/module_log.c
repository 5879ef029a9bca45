/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module log's first half: records become lines, lines wait in a bounded
 * queue, one thread for all databases takes them away.
 *
 *  1. Append formats into the queue under the log's monitor and touches
 *     nothing else: it never waits for a file or a follower.
 *  2. A log is in the thread's list if and only if `queued`; the thread clears
 *     that when it takes the lines, so no line is ever left behind.
 *  3. The thread lingers a moment before it works, unless somebody waits: a
 *     busy module costs it one wake-up for many lines.
 *  4. Lines are kept first and followed afterwards, in order of position.
 *
 * Locks, outermost first: follow_mutex, a log's monitor, the list's monitor.
 * A keep's mutex is taken with none of these held.
 */
#include "database/module_log_internal.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

enum {
	LINGER_NANOS = 2 * 1000 * 1000,
	LINES_KEEP_BYTES = 16 << 10, /* a queue's memory beyond this goes back once it is written */
};

struct module_log_follower {
	struct module_logs *logs;
	struct module_log *log;   /* NULL: it was closed */
	struct module_log_follower *next, **link;
	void (*lines)(void *context, struct bytes lines);
	void *context;
	uint64_t from;            /* position of the first byte it gets */
};

struct module_log {
	struct module_logs *logs;
	struct keep keep;
	char *dir;
	struct monitor monitor;
	struct lines pending;     /* guarded by the monitor, as is all that follows */
	struct lines writing;     /* the thread's, while `busy` */
	uint64_t appended, written;
	uint64_t lost;            /* records, since the last that was told */
	bool queued, busy;
	struct module_log *queued_next;                    /* guarded by the list's monitor */
	struct module_log_follower *followers;             /* guarded by follow_mutex */
};

struct module_logs {
	struct monitor monitor;   /* guards the list and the flags */
	struct module_log *first, **last;
	uint32_t urgent;          /* somebody waits for the thread */
	bool asleep, closing;
	pthread_mutex_t follow_mutex;
	pthread_t thread;
};

/* ---- records as lines ---- */

static const char *level_name(uint8_t level)
{
	switch (level) {
	case MODULE_LOG_ERROR: return "Error";
	case MODULE_LOG_WARN: return "Warn";
	case MODULE_LOG_INFO: return "Info";
	case MODULE_LOG_TRACE: return "Trace";
	case MODULE_LOG_PANIC: return "Panic";
	default: return "Debug";
	}
}

/* A JSON string of whatever bytes: what is not UTF-8 becomes U+FFFD, what is too long is cut at a character. */
static void put_text(struct buf *out, struct str text, size_t max)
{
	struct str kept = str_cut(text, max), whole;
	struct buf clean = BUF_INIT(3 * max + 16);
	if (text_lossy((struct bytes){ (const uint8_t *)kept.data, kept.len }, &clean, &whole))
		buf_put_json_str(out, whole);
	else
		out->failed = true;
	buf_deinit(&clean);
	size_t cut = text.len - kept.len;
	if (cut > 0 && !out->failed) {
		out->len--; /* the closing quote */
		buf_printf(out, "… (%zu bytes cut)\"", cut);
	}
}

/* Every log line has one or two: not worth a printf each. */
static void put_number(struct buf *out, int64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
	do {
		digits[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (number < 0)
		digits[--at] = '-';
	buf_put(out, digits + at, sizeof(digits) - at);
}

/* `key` comes with its quotes and colon. */
static void put_member(struct buf *out, struct str key, struct str text, size_t max)
{
	if (text.data == NULL)
		return;
	buf_put_str(out, key);
	put_text(out, text, max);
	buf_put_u8(out, ',');
}

static void put_trace(struct buf *out, const struct module_log_frame *frames, size_t count)
{
	buf_put_cstr(out, ",\"trace\":[");
	for (size_t i = 0; i < count && i < MODULE_LOG_TRACE_MAX; i++) {
		buf_put_cstr(out, i == 0 ? "{" : ",{");
		put_member(out, STR("\"module_name\":"), frames[i].module_name, MODULE_LOG_NAME_BYTES_MAX);
		put_member(out, STR("\"func_name\":"), frames[i].function_name, MODULE_LOG_NAME_BYTES_MAX);
		if (!out->failed && out->data[out->len - 1] == ',')
			out->len--;
		buf_put_u8(out, '}');
	}
	buf_put_u8(out, ']');
}

static void put_record(struct buf *out, const struct module_log_record *record)
{
	buf_put_str(out, STR("{\"level\":\""));
	buf_put_cstr(out, level_name(record->level));
	buf_put_str(out, STR("\",\"ts\":"));
	put_number(out, record->ts_micros);
	buf_put_u8(out, ',');
	put_member(out, STR("\"target\":"), record->target, MODULE_LOG_NAME_BYTES_MAX);
	put_member(out, STR("\"filename\":"), record->filename, MODULE_LOG_NAME_BYTES_MAX);
	if (record->line != UINT32_MAX) {
		buf_put_str(out, STR("\"line_number\":"));
		put_number(out, record->line);
		buf_put_u8(out, ',');
	}
	if (record->function.len > 0)
		put_member(out, STR("\"function\":"), record->function, MODULE_LOG_NAME_BYTES_MAX);
	buf_put_str(out, STR("\"message\":"));
	put_text(out, record->message, MODULE_LOG_MESSAGE_BYTES_MAX);
	if (record->level == MODULE_LOG_PANIC)
		put_trace(out, record->trace, record->trace_count);
	buf_put_str(out, STR("}\n"));
}

static int64_t day_of(int64_t micros)
{
	int64_t per_day = (int64_t)86400 * 1000000;
	return micros / per_day - (micros % per_day < 0);
}

/* Monitor held. False: no room, nothing was appended. */
static bool append_line(struct module_log *log, const struct module_log_record *record)
{
	struct lines *pending = &log->pending;
	size_t before = pending->bytes.len;
	put_record(&pending->bytes, record);
	if (pending->bytes.failed) {
		pending->bytes.failed = false;
		pending->bytes.len = before;
		return false;
	}
	int64_t day = day_of(record->ts_micros);
	uint32_t runs = pending->run_count;
	/* More changes of day than there is room for (a clock that jumps to and fro): the last run takes them. */
	if (runs == 0 || (pending->runs[runs - 1].day != day && runs < LINES_RUNS_MAX)) {
		pending->runs[runs].day = day;
		pending->run_count = ++runs;
	}
	pending->runs[runs - 1].end = pending->bytes.len;
	log->appended += pending->bytes.len - before;
	return true;
}

static void list_push(struct module_logs *logs, struct module_log *log)
{
	monitor_lock(&logs->monitor);
	log->queued_next = NULL;
	*logs->last = log;
	logs->last = &log->queued_next;
	if (logs->asleep)
		monitor_wake_all(&logs->monitor);
	monitor_unlock(&logs->monitor);
}

void module_log_append(struct module_log *log, const struct module_log_record *record)
{
	monitor_lock(&log->monitor);
	if (!append_line(log, record))
		log->lost++;
	bool push = !log->queued;
	log->queued = true;
	if (push)
		list_push(log->logs, log);
	monitor_unlock(&log->monitor);
}

/* ---- the thread ---- */

static void lines_clear(struct lines *lines)
{
	if (lines->bytes.cap > LINES_KEEP_BYTES)
		buf_deinit(&lines->bytes);
	buf_clear(&lines->bytes);
	lines->run_count = 0;
}

/* Monitor held. Says how much is missing, as soon as there is room to say it. */
static void tell_lost(struct module_log *log)
{
	if (log->lost == 0)
		return;
	char text[128];
	struct buf message = { .data = (uint8_t *)text, .cap = sizeof(text), .max = sizeof(text) };
	buf_printf(&message, "%llu log records were lost here: they came faster than they could be written",
		(unsigned long long)log->lost);
	struct str host = STR("__spacetimedb__");
	struct module_log_record record = { .level = MODULE_LOG_WARN, .ts_micros = clock_wall_micros(), .target = host,
		.filename = host, .line = UINT32_MAX, .function = host, .message = buf_str(&message) };
	if (append_line(log, &record))
		log->lost = 0;
}

static void deliver(struct module_log *log, uint64_t at)
{
	struct bytes lines = buf_bytes(&log->writing.bytes);
	pthread_mutex_lock(&log->logs->follow_mutex);
	for (struct module_log_follower *f = log->followers; f != NULL; f = f->next) {
		size_t skip = f->from <= at ? 0 : size_min(f->from - at, lines.len);
		if (skip < lines.len)
			f->lines(f->context, (struct bytes){ lines.data + skip, lines.len - skip });
	}
	pthread_mutex_unlock(&log->logs->follow_mutex);
}

static void flush(struct module_log *log)
{
	monitor_lock(&log->monitor);
	struct lines taken = log->pending;
	log->pending = log->writing;
	log->writing = taken;
	log->queued = false;
	log->busy = true;
	uint64_t at = log->written;
	if (log->lost > 0) {
		tell_lost(log);
		log->queued = true;
		list_push(log->logs, log);
	}
	monitor_unlock(&log->monitor);

	keep_write(&log->keep, &log->writing, at);
	deliver(log, at);

	monitor_lock(&log->monitor);
	log->written = at + log->writing.bytes.len;
	lines_clear(&log->writing);
	log->busy = false;
	monitor_wake_all(&log->monitor);
	monitor_unlock(&log->monitor);
}

/* Monitor of the list held. */
static void linger(struct module_logs *logs)
{
	uint64_t until = clock_mono_nanos() + LINGER_NANOS;
	logs->asleep = false; /* appending need not wake us for what we are about to see */
	while (logs->urgent == 0 && !logs->closing) {
		uint64_t now = clock_mono_nanos();
		if (now >= until)
			break;
		(void)monitor_wait_nanos(&logs->monitor, until - now);
	}
}

static void thread_main(void *arg)
{
	struct module_logs *logs = arg;
	monitor_lock(&logs->monitor);
	for (;;) {
		while (logs->first == NULL && !logs->closing) {
			logs->asleep = true;
			monitor_wait(&logs->monitor);
		}
		logs->asleep = false;
		if (logs->first == NULL)
			break;
		linger(logs);
		struct module_log *log = logs->first;
		logs->first = NULL;
		logs->last = &logs->first;
		monitor_unlock(&logs->monitor);
		while (log != NULL) {
			struct module_log *next = log->queued_next; /* before: flushed, it may be queued again, or closed */
			flush(log);
			log = next;
		}
		monitor_lock(&logs->monitor);
	}
	monitor_unlock(&logs->monitor);
}

struct module_logs *module_logs_create(void)
{
	struct module_logs *logs = mem_zalloc(sizeof(*logs));
	if (logs == NULL)
		return NULL;
	monitor_init(&logs->monitor);
	pthread_mutex_init(&logs->follow_mutex, NULL);
	logs->last = &logs->first;
	if (thread_start(&logs->thread, "module logs", 0, thread_main, logs))
		return logs;
	pthread_mutex_destroy(&logs->follow_mutex);
	monitor_deinit(&logs->monitor);
	mem_free(logs);
	return NULL;
}

void module_logs_destroy(struct module_logs *logs)
{
	if (logs == NULL)
		return;
	monitor_lock(&logs->monitor);
	logs->closing = true;
	monitor_wake_all(&logs->monitor);
	monitor_unlock(&logs->monitor);
	thread_join(logs->thread);
	ASSERT(logs->first == NULL);
	pthread_mutex_destroy(&logs->follow_mutex);
	monitor_deinit(&logs->monitor);
	mem_free(logs);
}

/* ---- one log ---- */

enum wl_err module_log_open(struct module_logs *logs, const struct module_log_options *options,
	struct module_log **out, struct error *error)
{
	struct module_log *log = mem_zalloc(sizeof(*log));
	char *dir = options->dir == NULL ? NULL : mem_strdup(str_of(options->dir));
	if (log == NULL || (dir == NULL && options->dir != NULL)) {
		mem_free(log);
		mem_free(dir);
		return fail(error, WL_ERR_MEMORY, "no memory for a module log");
	}
	log->logs = logs;
	log->dir = dir;
	monitor_init(&log->monitor);
	buf_init(&log->pending.bytes, MODULE_LOG_QUEUE_BYTES_MAX);
	buf_init(&log->writing.bytes, MODULE_LOG_QUEUE_BYTES_MAX);
	uint64_t bytes_max = options->bytes_max != 0 ? options->bytes_max :
		dir != NULL ? MODULE_LOG_BYTES_MAX : MODULE_LOG_MEMORY_BYTES_MAX;
	struct storage *storage = options->storage != NULL ? options->storage : commitlog_storage_local();
	keep_init(&log->keep, storage, log->dir, bytes_max);
	*out = log;
	return WL_OK;
}

static void urge(struct module_logs *logs, bool more)
{
	monitor_lock(&logs->monitor);
	if (more) {
		logs->urgent++;
		monitor_wake_all(&logs->monitor);
	} else {
		logs->urgent--;
	}
	monitor_unlock(&logs->monitor);
}

/* Waits until everything before `until` is kept. */
static void wait_written(struct module_log *log, uint64_t until)
{
	monitor_lock(&log->monitor);
	bool done = log->written >= until;
	monitor_unlock(&log->monitor);
	if (done)
		return;
	urge(log->logs, true);
	monitor_lock(&log->monitor);
	while (log->written < until)
		monitor_wait(&log->monitor);
	monitor_unlock(&log->monitor);
	urge(log->logs, false);
}

static uint64_t appended(struct module_log *log)
{
	monitor_lock(&log->monitor);
	uint64_t position = log->appended;
	monitor_unlock(&log->monitor);
	return position;
}

void module_log_close(struct module_log *log)
{
	if (log == NULL)
		return;
	urge(log->logs, true);
	monitor_lock(&log->monitor);
	while (log->queued || log->busy)
		monitor_wait(&log->monitor);
	monitor_unlock(&log->monitor);
	urge(log->logs, false);
	pthread_mutex_lock(&log->logs->follow_mutex);
	for (struct module_log_follower *f = log->followers; f != NULL; f = f->next) {
		f->log = NULL;
		f->lines(f->context, (struct bytes){ 0 });
	}
	pthread_mutex_unlock(&log->logs->follow_mutex);
	keep_deinit(&log->keep);
	buf_deinit(&log->pending.bytes);
	buf_deinit(&log->writing.bytes);
	monitor_deinit(&log->monitor);
	mem_free(log->dir);
	mem_free(log);
}

uint64_t module_log_size_bytes(const struct module_log *log)
{
	return atomic_load_explicit(&log->keep.size, memory_order_relaxed);
}

/* ---- reading and following ---- */

enum wl_err module_log_read(struct module_log *log, uint64_t lines, struct module_log_reader **out, uint64_t *bytes,
	struct error *error)
{
	uint64_t until = appended(log);
	wait_written(log, until);
	return keep_read(&log->keep, until, lines, out, bytes, error);
}

enum wl_err module_log_follow(struct module_log *log, void (*lines)(void *context, struct bytes lines), void *context,
	uint64_t past_lines, struct module_log_reader **past, struct module_log_follower **out, struct error *error)
{
	struct module_log_follower *follower = mem_zalloc(sizeof(*follower));
	if (follower == NULL)
		return fail(error, WL_ERR_MEMORY, "no memory to follow a module log");
	follower->logs = log->logs;
	follower->log = log;
	follower->lines = lines;
	follower->context = context;
	pthread_mutex_lock(&log->logs->follow_mutex);
	follower->from = appended(log);
	follower->next = log->followers;
	follower->link = &log->followers;
	if (follower->next != NULL)
		follower->next->link = &follower->next;
	log->followers = follower;
	pthread_mutex_unlock(&log->logs->follow_mutex);

	if (past != NULL)
		*past = NULL;
	if (past != NULL && past_lines > 0) {
		wait_written(log, follower->from);
		uint64_t count = past_lines < MODULE_LOG_FOLLOW_LINES_MAX ? past_lines : MODULE_LOG_FOLLOW_LINES_MAX;
		enum wl_err err = keep_read(&log->keep, follower->from, count, past, NULL, error);
		if (err != WL_OK && err != WL_ERR_NOT_FOUND) {
			module_log_unfollow(follower);
			return err;
		}
	}
	*out = follower;
	return WL_OK;
}

void module_log_unfollow(struct module_log_follower *follower)
{
	if (follower == NULL)
		return;
	struct module_logs *logs = follower->logs;
	pthread_mutex_lock(&logs->follow_mutex);
	if (follower->log != NULL) {
		*follower->link = follower->next;
		if (follower->next != NULL)
			follower->next->link = follower->link;
	}
	pthread_mutex_unlock(&logs->follow_mutex);
	mem_free(follower);
}
