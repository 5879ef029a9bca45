/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor's side of the log: appending records to the open batch and
 * handing it to the writer; opening and closing.
 *
 *  1. Of the two batches one is open and one is in flight or empty; only the
 *     gate word says which, and only its owner touches a batch's bytes.
 *  2. The executor owns the open batch from begin to the next submit. The
 *     writer takes the open batch only when it was submitted and is not owned.
 *     Neither ever waits for the other.
 *  3. FLIGHT is set by the executor's submit and cleared by the writer; while
 *     it is clear, the batch that is not open is empty.
 *  4. A record is appended whole or not at all: until end, nothing but the
 *     buffer's tail knows of it. Whatever fails in between is undone by cutting
 *     the tail, which cannot fail.
 *
 *         begin                 submit, no flight
 *   free ──────▶ owned ─────────────────────────────▶ FLIGHT (other batch)
 *    ▲             │ submit, flight                      │ written, synced
 *    │             ▼                                     ▼
 *    │           READY ────── taken by the writer ──▶ FLIGHT …
 *    └──────────────────── nothing READY ────────────────┘
 */
#include "commitlog/commitlog_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

bool segment_path(const struct commitlog *log, uint64_t number, char out[SEGMENT_PATH_MAX])
{
	int n = snprintf(out, SEGMENT_PATH_MAX, "%s/%010llu.wlog", log->dir, (unsigned long long)number);
	errno = ENAMETOOLONG;
	return n > 0 && n < SEGMENT_PATH_MAX;
}

bool segment_path_temp(const struct commitlog *log, char out[SEGMENT_PATH_MAX])
{
	int n = snprintf(out, SEGMENT_PATH_MAX, "%s/segment.tmp", log->dir);
	errno = ENAMETOOLONG;
	return n > 0 && n < SEGMENT_PATH_MAX;
}

bool segments_add(struct commitlog *log, struct segment_info info)
{
	if (log->segment_count == log->segment_cap) {
		size_t cap = log->segment_cap == 0 ? 8 : log->segment_cap * 2;
		struct segment_info *grown = mem_realloc(log->segments, cap * sizeof(*grown));
		if (grown == NULL)
			return false;
		log->segments = grown;
		log->segment_cap = cap;
	}
	log->segments[log->segment_count++] = info;
	log->next_number = info.number + 1;
	log->last_capacity = info.capacity;
	atomic_fetch_add_explicit(&log->size_bytes, info.capacity, memory_order_relaxed);
	return true;
}

/* ---- appending ---- */

static struct batch *open_batch(struct commitlog *log)
{
	return &log->batches[atomic_load_explicit(&log->gate, memory_order_relaxed) & GATE_OPEN_ONE];
}

/* Acquire pairs with the writer's release: the batch it emptied is seen empty. */
static void open_batch_own(struct commitlog *log)
{
	uint32_t gate = atomic_fetch_or_explicit(&log->gate, GATE_OWNED, memory_order_acquire);
	DEBUG_ASSERT((gate & GATE_OWNED) == 0);
	(void)gate;
	log->owns = true;
}

enum wl_err commitlog_begin(struct commitlog *log, struct buf **out)
{
	ASSERT(!log->recording);
	switch (commitlog_state(log)) {
	case COMMITLOG_FAILED:
		return WL_ERR_IO;
	case COMMITLOG_READ_ONLY:
		return WL_ERR_UNAVAILABLE;
	case COMMITLOG_OK:
		break;
	}
	if (commitlog_pending_bytes(log) >= COMMITLOG_PENDING_BYTES_MAX)
		return WL_ERR_UNAVAILABLE;
	if (!log->owns)
		open_batch_own(log);
	struct buf *bytes = &open_batch(log)->bytes;
	size_t room = bytes->len == 0 ? BATCH_HEADER_BYTES + RECORD_PREFIX_BYTES : RECORD_PREFIX_BYTES;
	if (buf_extend(bytes, room) == NULL) {
		bytes->failed = false;
		return WL_ERR_MEMORY;
	}
	log->record_at = bytes->len - RECORD_PREFIX_BYTES;
	log->recording = true;
	*out = bytes;
	return WL_OK;
}

void commitlog_cancel(struct commitlog *log)
{
	ASSERT(log->recording);
	struct buf *bytes = &open_batch(log)->bytes;
	bytes->failed = false;
	bytes->len = log->record_at;
	log->recording = false;
}

uint64_t commitlog_end(struct commitlog *log)
{
	ASSERT(log->recording);
	struct batch *batch = open_batch(log);
	struct buf *bytes = &batch->bytes;
	size_t len = bytes->len - log->record_at - RECORD_PREFIX_BYTES;
	/* The reserve is the writer's: it pads the batch in place and must not fail. */
	if (bytes->failed || len > COMMITLOG_RECORD_BYTES_MAX || !buf_reserve(bytes, BATCH_ALIGN)) {
		commitlog_cancel(log);
		return COMMITLOG_NONE;
	}
	log->recording = false;
	uint64_t offset = log->next++;
	if (log->storage == NULL) {
		bytes->len = 0;
		if (bytes->cap > 1 << 20)
			buf_deinit(bytes);
		atomic_store_explicit(&log->durable, offset, memory_order_release);
		return offset;
	}
	store_u32(bytes->data + log->record_at, (uint32_t)len);
	batch->count++;
	/* One writer each: plain additions, published for the statistics. */
	uint64_t appended = atomic_load_explicit(&log->appended_bytes, memory_order_relaxed);
	atomic_store_explicit(&log->appended_bytes, appended + RECORD_PREFIX_BYTES + len, memory_order_relaxed);
	return offset;
}

/* In memory there is no writer: what was appended is durable, and whoever waits is told here. */
static void submit_in_memory(struct commitlog *log)
{
	atomic_fetch_and_explicit(&log->gate, ~(uint32_t)GATE_OWNED, memory_order_relaxed);
	if (log->next == 0)
		return;
	monitor_lock(&log->monitor);
	if (log->on_durable != NULL)
		log->on_durable(log->context, log->next - 1, COMMITLOG_OK);
	monitor_wake_all(&log->monitor);
	monitor_unlock(&log->monitor);
}

void commitlog_submit(struct commitlog *log)
{
	ASSERT(!log->recording);
	if (!log->owns)
		return;
	log->owns = false;
	if (log->storage == NULL) {
		submit_in_memory(log);
		return;
	}
	bool empty = open_batch(log)->count == 0;
	uint32_t gate = atomic_load_explicit(&log->gate, memory_order_relaxed), after;
	do {
		after = gate & ~(uint32_t)GATE_OWNED;
		if (!empty)
			after = (gate & GATE_FLIGHT) != 0 ? after | GATE_READY :
				((after & ~(uint32_t)GATE_READY) ^ GATE_OPEN_ONE) | GATE_FLIGHT;
	} while (!atomic_compare_exchange_weak_explicit(&log->gate, &gate, after, memory_order_acq_rel,
		memory_order_relaxed));
	if (!empty && (gate & GATE_FLIGHT) == 0)
		writers_push(log->writers, log);
}

void commitlog_rest(struct commitlog *log)
{
	if (log->owns || atomic_load_explicit(&log->gate, memory_order_acquire) & (GATE_OWNED | GATE_READY | GATE_FLIGHT))
		return; /* the writer's business */
	buf_deinit(&log->batches[0].bytes);
	buf_deinit(&log->batches[1].bytes);
}

/* ---- looking ---- */

uint64_t commitlog_last(const struct commitlog *log)
{
	return log->next == 0 ? COMMITLOG_NONE : log->next - 1;
}

uint64_t commitlog_durable(const struct commitlog *log)
{
	return atomic_load_explicit(&log->durable, memory_order_acquire);
}

enum commitlog_state commitlog_state(const struct commitlog *log)
{
	return (enum commitlog_state)atomic_load_explicit(&log->state, memory_order_acquire);
}

size_t commitlog_pending_bytes(const struct commitlog *log)
{
	/* Written first: seen from another thread the difference may be too large for a moment, never negative. */
	uint64_t written = atomic_load_explicit(&log->written_bytes, memory_order_acquire);
	uint64_t appended = atomic_load_explicit(&log->appended_bytes, memory_order_relaxed);
	return appended > written ? (size_t)(appended - written) : 0;
}

uint64_t commitlog_size_bytes(const struct commitlog *log)
{
	return atomic_load_explicit(&log->size_bytes, memory_order_relaxed);
}

static bool is_durable(const struct commitlog *log, uint64_t offset)
{
	uint64_t durable = commitlog_durable(log);
	return durable != COMMITLOG_NONE && durable >= offset;
}

bool commitlog_wait(struct commitlog *log, uint64_t offset, uint32_t timeout_ms)
{
	uint64_t until = clock_mono_nanos() + (uint64_t)timeout_ms * 1000000u;
	if (log->storage != NULL && writers_are_stepped(log->writers)) {
		while (!is_durable(log, offset) && commitlog_writers_step(log->writers))
			;
		return is_durable(log, offset);
	}
	monitor_lock(&log->monitor);
	while (!is_durable(log, offset) && commitlog_state(log) != COMMITLOG_FAILED) {
		uint64_t now = clock_mono_nanos();
		if (now >= until)
			break;
		(void)monitor_wait_nanos(&log->monitor, until - now);
	}
	monitor_unlock(&log->monitor);
	return is_durable(log, offset);
}

/* ---- trimming ---- */

/* The oldest segment goes when a later one begins at or below `offset`, and not inside a record, and what is between
 * them has `keep` bytes. */
static bool oldest_is_below(const struct commitlog *log, uint64_t offset, uint64_t keep)
{
	uint64_t between = 0, last_whole = 0;
	bool found = false;
	for (size_t i = 1; i < log->segment_count; i++) {
		const struct segment_info *later = &log->segments[i];
		if (later->first == COMMITLOG_NONE || later->first > offset)
			break;
		if (!later->continues) {
			found = true;
			last_whole = between;
		}
		between += later->capacity;
	}
	return found && last_whole >= keep;
}

/* A copy of the segment, synced, before it goes. */
static bool archive(const struct commitlog *log, uint64_t number, const char *path)
{
	char to[SEGMENT_PATH_MAX];
	struct buf bytes = BUF_INIT(COMMITLOG_SEGMENT_BYTES_MAX);
	struct error why;
	enum wl_err err = WL_OK;
	if (log->archive == NULL)
		return true;
	if (snprintf(to, sizeof(to), "%s/%010llu.wlog", log->archive, (unsigned long long)number) >= (int)sizeof(to))
		err = fail(&why, WL_ERR_LIMIT, "the path %.64s… is too long", log->archive);
	else if (!log->storage->ops->make_dirs(log->storage, log->archive))
		err = fail_errno(&why, WL_ERR_IO, "cannot make %s", log->archive);
	else
		err = storage_get(log->storage, path, &bytes, &why);
	if (err == WL_OK)
		err = storage_put(log->storage, to, bytes.data, bytes.len, &why);
	if (err != WL_OK)
		log_warn("%s: segment %llu stays, since it cannot be archived: %s", log->dir, (unsigned long long)number,
			why.text);
	buf_deinit(&bytes);
	return err == WL_OK;
}

uint64_t commitlog_trim(struct commitlog *log, uint64_t offset, uint64_t keep)
{
	uint64_t freed = 0;
	if (log->storage == NULL)
		return 0;
	monitor_lock(&log->monitor);
	bool alone = !log->trimming;
	log->trimming = true;
	/* Oldest first and each one synced, so that whatever a crash leaves is a log without holes. Only the trimmer takes
	 * from the front. */
	while (alone && oldest_is_below(log, offset, keep)) {
		struct segment_info oldest = log->segments[0];
		char path[SEGMENT_PATH_MAX];
		monitor_unlock(&log->monitor);
		const struct storage_ops *ops = log->storage->ops;
		bool archived = segment_path(log, oldest.number, path) && archive(log, oldest.number, path);
		bool gone = archived &&
			(ops->remove(log->storage, path) || errno == ENOENT) && ops->sync_dir(log->storage, log->dir);
		if (archived && !gone)
			log_warn("%s: cannot remove segment %llu: %s", log->dir, (unsigned long long)oldest.number,
				strerror(errno));
		monitor_lock(&log->monitor);
		if (!gone)
			break;
		log->segment_count--;
		memmove(log->segments, log->segments + 1, log->segment_count * sizeof(*log->segments));
		atomic_fetch_sub_explicit(&log->size_bytes, oldest.capacity, memory_order_relaxed);
		freed += oldest.capacity;
	}
	if (alone)
		log->trimming = false;
	monitor_unlock(&log->monitor);
	return freed;
}

/* ---- opening and closing ---- */

static void destroy(struct commitlog *log)
{
	if (log->active.file != NULL)
		log->storage->ops->close(log->active.file);
	if (log->spare.file != NULL)
		log->storage->ops->close(log->spare.file);
	buf_deinit(&log->batches[0].bytes);
	buf_deinit(&log->batches[1].bytes);
	monitor_deinit(&log->monitor);
	mem_free(log->segments);
	mem_free(log->dir);
	mem_free(log->archive);
	mem_free(log);
}

static enum wl_err create_or_recover(struct commitlog *log, const struct commitlog_options *options,
	commitlog_replay_fn replay, void *replay_context, struct error *error)
{
	if (log->dir == NULL || (options->archive != NULL && log->archive == NULL))
		return fail(error, WL_ERR_MEMORY, "no memory for a log");
	if (!log->storage->ops->make_dirs(log->storage, log->dir))
		return fail_errno(error, WL_ERR_IO, "cannot create the directory %s", log->dir);
	enum wl_err err = recovery_run(log, options->replay_from, replay, replay_context, error);
	if (err != WL_OK || log->active.file != NULL)
		return err;
	uint64_t capacity = log->segment_bytes < SEGMENT_BYTES_FIRST ? log->segment_bytes : SEGMENT_BYTES_FIRST;
	random_bytes(&log->id, sizeof(log->id));
	if (!segment_create(log, 1, capacity, &log->active))
		return fail_errno(error, WL_ERR_IO, "cannot create a log in %s", log->dir);
	if (!segments_add(log, (struct segment_info){ 1, capacity, COMMITLOG_NONE, false }))
		return fail(error, WL_ERR_MEMORY, "no memory for a log");
	log->next = log->written_next = options->replay_from;
	return WL_OK;
}

enum wl_err commitlog_open(const struct commitlog_options *options, commitlog_replay_fn replay, void *replay_context,
	struct commitlog **out, struct error *error)
{
	struct commitlog *log = mem_zalloc(sizeof(*log));
	if (log == NULL)
		return fail(error, WL_ERR_MEMORY, "no memory for a log");
	monitor_init(&log->monitor);
	/* A record may start while almost everything allowed is pending; that it fits is the record limit's business. */
	size_t batch_max = (size_t)COMMITLOG_PENDING_BYTES_MAX + COMMITLOG_RECORD_BYTES_MAX + 4096;
	buf_init(&log->batches[0].bytes, batch_max);
	buf_init(&log->batches[1].bytes, batch_max);
	log->storage = options->storage;
	log->writers = options->writers;
	log->on_durable = options->on_durable;
	log->context = options->context;
	uint64_t wanted = options->segment_bytes == 0 ? COMMITLOG_SEGMENT_BYTES : options->segment_bytes;
	wanted = wanted > COMMITLOG_SEGMENT_BYTES_MAX ? COMMITLOG_SEGMENT_BYTES_MAX : wanted;
	log->segment_bytes = align_up(wanted < SEGMENT_BYTES_MIN ? SEGMENT_BYTES_MIN : wanted, BATCH_ALIGN);
	log->next = options->replay_from;
	if (log->storage != NULL) {
		ASSERT(log->writers != NULL && options->dir != NULL);
		log->dir = mem_strdup(str_of(options->dir));
		log->archive = options->archive == NULL ? NULL : mem_strdup(str_of(options->archive));
		enum wl_err err = create_or_recover(log, options, replay, replay_context, error);
		if (err != WL_OK) {
			destroy(log);
			return err;
		}
	}
	atomic_store(&log->durable, log->next == 0 ? COMMITLOG_NONE : log->next - 1);
	*out = log;
	return WL_OK;
}

static bool in_flight(const struct commitlog *log)
{
	return (atomic_load_explicit(&log->gate, memory_order_acquire) & GATE_FLIGHT) != 0;
}

/* Monitor held. True when the writer will make no more progress by itself. */
static bool is_quiet(const struct commitlog *log)
{
	return log->users == 0 && (!in_flight(log) || (log->parked && commitlog_state(log) != COMMITLOG_OK));
}

static void finish_flights(struct commitlog *log)
{
	monitor_lock(&log->monitor);
	while (!is_quiet(log)) {
		if (!writers_are_stepped(log->writers)) {
			monitor_wait(&log->monitor);
			continue;
		}
		monitor_unlock(&log->monitor);
		bool worked = commitlog_writers_step(log->writers);
		monitor_lock(&log->monitor);
		if (!worked)
			break;
	}
	log->closing = true;
	if (log->preparing && writers_prepare_cancel(log->writers, log))
		log->preparing = false;
	while (log->preparing)
		monitor_wait(&log->monitor);
	monitor_unlock(&log->monitor);
}

/* An empty batch at the end says that what precedes was synced: damage there is then named, not taken for a torn
 * tail. */
static void write_closing_mark(struct commitlog *log)
{
	if (!log->unmarked || in_flight(log) || commitlog_state(log) != COMMITLOG_OK ||
		log->active.header.capacity - log->active.end < BATCH_HEADER_BYTES)
		return;
	uint8_t bytes[BATCH_HEADER_BYTES];
	struct batch_header mark = { .first = log->written_next, .previous = log->chain, .flags = BATCH_CLOSED };
	if (!batch_write(log, bytes, &mark))
		log_warn("%s: the log was closed without its closing mark: %s", log->dir, strerror(errno));
}

void commitlog_close(struct commitlog *log)
{
	if (log == NULL)
		return;
	if (log->recording)
		commitlog_cancel(log);
	commitlog_submit(log);
	if (log->storage != NULL) {
		finish_flights(log);
		if (in_flight(log))
			log_warn("%s: closed with %zu bytes that could not be written", log->dir, commitlog_pending_bytes(log));
		write_closing_mark(log);
	}
	destroy(log);
}
