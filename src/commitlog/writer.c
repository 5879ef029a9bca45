/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer's side: threads that take batches to disk, and the preparer, one
 * more thread, which makes the next segment before it is needed.
 *
 *  1. One batch is written and synced before the next one is written, also
 *     where a flight is cut into several batches. So a valid batch proves that
 *     everything before it was synced, and only the last one can be torn.
 *  2. An offset is published after the sync of the batch in which its record
 *     ends; publishing happens under the log's monitor, hence one at a time
 *     and in order.
 *  3. After a failed write or sync nothing is written to this log again.
 *  4. A flight that needs a segment which is not there is parked: it stays
 *     where it is, no thread waits, and the preparer queues it again.
 *  5. A flight needs no memory: the header is written over bytes of the same
 *     buffer that are already on disk, the padding into room that end reserved.
 *  6. A segment has its final name only after its header and zeros are synced.
 */
#include "commitlog/commitlog_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "native.h"

#include <errno.h>

enum {
	WRITERS_MAX = 64,
	BATCH_KEEP_BYTES = 256 << 10, /* a batch's memory beyond this goes back after its flight */
	PREPARE_RETRY_NANOS = 500 * 1000 * 1000,
};

struct commitlog_writers {
	struct monitor run_monitor;  /* guards the run queue */
	struct commitlog *run_first, **run_last;
	bool closing;
	struct monitor prepare_monitor; /* guards the preparer's queue; taken after a log's monitor, never before */
	struct commitlog *prepare_first;
	bool prepare_closing;
	uint32_t thread_count;       /* 0: stepped */
	pthread_t threads[WRITERS_MAX], preparer;
};

/* ---- the queues ---- */

void writers_push(struct commitlog_writers *writers, struct commitlog *log)
{
	monitor_lock(&writers->run_monitor);
	log->queued_next = NULL;
	*writers->run_last = log;
	writers->run_last = &log->queued_next;
	monitor_unlock(&writers->run_monitor);
	monitor_wake_one(&writers->run_monitor); /* after the lock: who wakes shall not have to wait for it */
}

/* Monitor of the queue held. */
static struct commitlog *run_pop(struct commitlog_writers *writers)
{
	struct commitlog *log = writers->run_first;
	if (log == NULL)
		return NULL;
	writers->run_first = log->queued_next;
	if (writers->run_first == NULL)
		writers->run_last = &writers->run_first;
	return log;
}

void writers_prepare(struct commitlog_writers *writers, struct commitlog *log, uint64_t due)
{
	monitor_lock(&writers->prepare_monitor);
	struct commitlog **at = &writers->prepare_first;
	while (*at != NULL && (*at)->prepare_due <= due)
		at = &(*at)->prepare_next;
	log->prepare_due = due;
	log->prepare_next = *at;
	*at = log;
	monitor_wake_one(&writers->prepare_monitor);
	monitor_unlock(&writers->prepare_monitor);
}

bool writers_prepare_cancel(struct commitlog_writers *writers, struct commitlog *log)
{
	bool found = false;
	monitor_lock(&writers->prepare_monitor);
	for (struct commitlog **at = &writers->prepare_first; *at != NULL && !found; ) {
		if (*at == log) {
			*at = log->prepare_next;
			found = true;
		} else {
			at = &(*at)->prepare_next;
		}
	}
	monitor_unlock(&writers->prepare_monitor);
	return found;
}

/* Monitor of the queue held. The first entry that is due, or NULL and when to look again (0: nothing waits). */
static struct commitlog *prepare_pop(struct commitlog_writers *writers, uint64_t *wait_nanos)
{
	struct commitlog *log = writers->prepare_first;
	*wait_nanos = 0;
	if (log == NULL)
		return NULL;
	uint64_t now = clock_mono_nanos();
	if (log->prepare_due > now) {
		*wait_nanos = log->prepare_due - now;
		return NULL;
	}
	writers->prepare_first = log->prepare_next;
	return log;
}

bool writers_are_stepped(const struct commitlog_writers *writers)
{
	return writers->thread_count == 0;
}

/* ---- publishing (the log's monitor is held) ---- */

static void report(struct commitlog *log)
{
	if (log->on_durable != NULL)
		log->on_durable(log->context, commitlog_durable(log), commitlog_state(log));
	monitor_wake_all(&log->monitor);
}

static void enter_state(struct commitlog *log, enum commitlog_state state)
{
	enum commitlog_state before = commitlog_state(log);
	if (before == state || before == COMMITLOG_FAILED)
		return;
	atomic_store_explicit(&log->state, (uint32_t)state, memory_order_release);
	report(log);
}

static void want_spare(struct commitlog *log)
{
	if (log->preparing || log->closing || log->spare.file != NULL || commitlog_state(log) == COMMITLOG_FAILED)
		return;
	log->preparing = true;
	writers_prepare(log->writers, log, 0);
}

/* ---- one flight ---- */

bool batch_write(struct commitlog *log, uint8_t *bytes, struct batch_header *header)
{
	struct segment *active = &log->active;
	const struct storage_ops *ops = log->storage->ops;
	size_t size = batch_size(header->length);
	ASSERT(active->end % BATCH_ALIGN == 0 && active->header.capacity - active->end >= size);
	memset(bytes + BATCH_HEADER_BYTES + header->length, 0, size - BATCH_HEADER_BYTES - header->length);
	header->payload_crc = native_crc32c(0, bytes + BATCH_HEADER_BYTES, header->length);
	batch_header_encode(header, active->header.nonce, active->end, bytes);
	if (!ops->write(active->file, bytes, size, active->end) || !ops->sync(active->file))
		return false;
	active->end += size;
	log->chain = header->crc;
	log->unmarked = (header->flags & BATCH_CLOSED) == 0;
	return true;
}

/* How many payload bytes the next batch takes; 0: the active segment has no room worth using. */
static size_t next_length(const struct commitlog *log, const struct batch *batch)
{
	const struct segment *active = &log->active;
	size_t left = batch->bytes.len - batch->at, room = active->header.capacity - active->end;
	room = room <= BATCH_HEADER_BYTES ? 0 : room - BATCH_HEADER_BYTES;
	size_t length = size_min(left, BATCH_BYTES_MAX);
	if (length <= room)
		return length;
	/* What is left of a segment is worth one sync more only if it is a good part of it. */
	return room < active->header.capacity / 8 ? 0 : room;
}

/* Counts the records that end before `stop` and finds where the first one after it begins. */
static uint32_t count_records(struct batch *batch, size_t stop)
{
	uint32_t count = 0;
	size_t end = batch->record_end;
	if (end > batch->at && end <= stop)
		count++;
	while (end < stop) {
		end += RECORD_PREFIX_BYTES + load_u32(batch->bytes.data + end);
		if (end <= stop)
			count++;
	}
	batch->record_end = end;
	return count;
}

static void fail_log(struct commitlog *log, const char *what)
{
	log_error("%s: %s: %s; the database stops", log->dir, what, strerror(errno));
	monitor_lock(&log->monitor);
	enter_state(log, COMMITLOG_FAILED);
	monitor_unlock(&log->monitor);
}

static bool write_next(struct commitlog *log, struct batch *batch, size_t length)
{
	struct batch_header header = {
		.first = log->written_next,
		.length = (uint32_t)length,
		.previous = log->chain,
		.flags = batch->record_end > batch->at ? BATCH_CONTINUES : 0,
	};
	bool whole = length == batch->bytes.len - BATCH_HEADER_BYTES;
	header.count = whole ? (uint32_t)batch->count : count_records(batch, batch->at + length);
	bool first = log->active.end == SEGMENT_HEADER_BYTES;
	if (!batch_write(log, batch->bytes.data + batch->at - BATCH_HEADER_BYTES, &header)) {
		fail_log(log, "cannot write the log");
		return false;
	}
	batch->at += length;
	log->written_next += header.count;
	uint64_t written = atomic_load_explicit(&log->written_bytes, memory_order_relaxed);
	atomic_store_explicit(&log->written_bytes, written + length, memory_order_release);

	monitor_lock(&log->monitor);
	/* Seen by trim, which removes only segments that a later one, with a batch on disk, makes superfluous. */
	for (size_t i = log->segment_count; first && i-- > 0; ) {
		if (log->segments[i].number == log->active.header.number) {
			log->segments[i].first = header.first;
			log->segments[i].continues = (header.flags & BATCH_CONTINUES) != 0;
			break;
		}
	}
	if (header.count > 0) {
		atomic_store_explicit(&log->durable, log->written_next - 1, memory_order_release);
		report(log);
	}
	if (log->active.end >= log->active.header.capacity / 4)
		want_spare(log);
	monitor_unlock(&log->monitor);
	return true;
}

/* Goes on to the spare segment; without one the flight is parked. */
static bool rotate(struct commitlog *log)
{
	monitor_lock(&log->monitor);
	struct segment full = log->active;
	bool ready = log->spare.file != NULL;
	if (ready) {
		log->active = log->spare;
		log->spare = (struct segment){ 0 };
	} else {
		log->parked = true;
		want_spare(log);
	}
	monitor_unlock(&log->monitor);
	if (ready)
		log->storage->ops->close(full.file);
	return ready;
}

/* The closing mark that the log was opened with may never have reached the disk (recovery.c, 3). Nothing needed it so
 * far; a batch behind it does. */
static void renew_mark(struct commitlog *log)
{
	const struct storage_ops *ops = log->storage->ops;
	if (!ops->write(log->active.file, log->mark, sizeof(log->mark), log->mark_at) || !ops->sync(log->active.file))
		fail_log(log, "cannot write the log");
	log->mark_at = 0;
}

/* False when parked: nothing of the log may be touched after that. */
static bool flight_run(struct commitlog *log, struct batch *batch)
{
	if (batch->at == 0)
		batch->at = batch->record_end = BATCH_HEADER_BYTES;
	if (log->mark_at != 0)
		renew_mark(log);
	while (batch->at < batch->bytes.len && commitlog_state(log) != COMMITLOG_FAILED) {
		size_t length = next_length(log, batch);
		if (length == 0) {
			if (!rotate(log))
				return false;
		} else if (!write_next(log, batch, length)) {
			break;
		}
	}
	return true;
}

static void batch_empty(struct commitlog *log, struct batch *batch)
{
	uint64_t written = atomic_load_explicit(&log->written_bytes, memory_order_relaxed);
	uint64_t given_up = batch->bytes.len - batch->at; /* not zero only when the log has failed */
	atomic_store_explicit(&log->written_bytes, written + given_up, memory_order_release);
	if (batch->bytes.cap > BATCH_KEEP_BYTES)
		buf_deinit(&batch->bytes);
	buf_clear(&batch->bytes);
	batch->count = 0;
	batch->at = batch->record_end = 0;
}

/* Takes the open batch if it was submitted, otherwise ends the flight. Release: the executor finds the batch empty. */
static bool flight_follows(struct commitlog *log)
{
	uint32_t gate = atomic_load_explicit(&log->gate, memory_order_relaxed), after;
	bool follows;
	do {
		follows = (gate & GATE_READY) != 0 && (gate & GATE_OWNED) == 0;
		after = follows ? (gate ^ GATE_OPEN_ONE) & ~(uint32_t)GATE_READY : gate & ~(uint32_t)GATE_FLIGHT;
	} while (!atomic_compare_exchange_weak_explicit(&log->gate, &gate, after, memory_order_acq_rel,
		memory_order_relaxed));
	return follows;
}

static void run(struct commitlog *log)
{
	struct commitlog_writers *writers = log->writers;
	monitor_lock(&log->monitor);
	log->users++;
	monitor_unlock(&log->monitor);
	uint32_t gate = atomic_load_explicit(&log->gate, memory_order_acquire);
	ASSERT((gate & GATE_FLIGHT) != 0);
	struct batch *batch = &log->batches[(gate & GATE_OPEN_ONE) ^ 1];
	if (flight_run(log, batch)) {
		batch_empty(log, batch);
		if (flight_follows(log))
			writers_push(writers, log); /* at the end of the queue: every log gets its turn */
	}
	monitor_lock(&log->monitor);
	log->users--;
	monitor_wake_all(&log->monitor);
	monitor_unlock(&log->monitor);
}

/* ---- preparing segments ---- */

static bool segment_fill(struct commitlog *log, const char *temp, const char *path, struct segment *segment)
{
	const struct storage_ops *ops = log->storage->ops;
	uint8_t header[SEGMENT_HEADER_BYTES];
	segment_header_encode(&segment->header, header);
	segment->file = ops->open(log->storage, temp, true);
	return segment->file != NULL && ops->truncate(segment->file, 0) &&
		ops->allocate(segment->file, segment->header.capacity) &&
		ops->write(segment->file, header, sizeof(header), 0) && ops->sync(segment->file) &&
		ops->rename(log->storage, temp, path);
}

bool segment_create(struct commitlog *log, uint64_t number, uint64_t capacity, struct segment *out)
{
	char temp[SEGMENT_PATH_MAX], path[SEGMENT_PATH_MAX];
	if (!segment_path_temp(log, temp) || !segment_path(log, number, path))
		return false;
	struct segment segment = {
		.header = { .number = number, .nonce = random_u64(), .log = log->id, .capacity = capacity },
		.end = SEGMENT_HEADER_BYTES,
	};
	if (segment_fill(log, temp, path, &segment)) {
		*out = segment;
		return true;
	}
	int reason = errno;
	if (segment.file != NULL)
		log->storage->ops->close(segment.file);
	(void)log->storage->ops->remove(log->storage, temp); /* its space may be what is missing */
	errno = reason;
	return false;
}

/* Nothing was promised on a segment that does not exist yet, so a shortage is waited out. */
static bool is_shortage(int reason)
{
	return reason == ENOSPC || reason == EDQUOT || reason == EMFILE || reason == ENFILE || reason == ENOMEM;
}

static void unpark(struct commitlog *log)
{
	if (!log->parked)
		return;
	log->parked = false;
	writers_push(log->writers, log);
}

static void prepare(struct commitlog *log)
{
	monitor_lock(&log->monitor);
	uint64_t number = log->next_number, capacity = log->last_capacity * 2;
	monitor_unlock(&log->monitor);
	if (capacity > log->segment_bytes)
		capacity = log->segment_bytes;
	struct segment segment = { 0 };
	bool made = segment_create(log, number, capacity, &segment);
	int reason = errno;

	monitor_lock(&log->monitor);
	if (made && !segments_add(log, (struct segment_info){ number, capacity, COMMITLOG_NONE, false })) {
		/* Its place in the table is missing; it will be made again over the same name. */
		log->storage->ops->close(segment.file);
		made = false;
		reason = ENOMEM;
	}
	if (made) {
		log->spare = segment;
		enter_state(log, COMMITLOG_OK);
	} else if (is_shortage(reason)) {
		if (commitlog_state(log) == COMMITLOG_OK)
			log_warn("%s: no space for the next segment: %s; read-only until there is", log->dir, strerror(reason));
		enter_state(log, COMMITLOG_READ_ONLY);
	} else {
		log_error("%s: cannot prepare the next segment: %s; the database stops", log->dir, strerror(reason));
		enter_state(log, COMMITLOG_FAILED);
	}
	if (made || commitlog_state(log) == COMMITLOG_FAILED)
		unpark(log);
	log->preparing = commitlog_state(log) == COMMITLOG_READ_ONLY && !log->closing;
	if (log->preparing)
		writers_prepare(log->writers, log, clock_mono_nanos() + PREPARE_RETRY_NANOS);
	monitor_wake_all(&log->monitor);
	monitor_unlock(&log->monitor);
}

/* ---- the threads ---- */

static void writer_main(void *arg)
{
	struct commitlog_writers *writers = arg;
	monitor_lock(&writers->run_monitor);
	for (;;) {
		struct commitlog *log = run_pop(writers);
		if (log != NULL) {
			monitor_unlock(&writers->run_monitor);
			run(log);
			monitor_lock(&writers->run_monitor);
		} else if (writers->closing) {
			break;
		} else {
			monitor_wait(&writers->run_monitor);
		}
	}
	monitor_unlock(&writers->run_monitor);
}

static void preparer_main(void *arg)
{
	struct commitlog_writers *writers = arg;
	monitor_lock(&writers->prepare_monitor);
	for (;;) {
		uint64_t wait_nanos;
		struct commitlog *log = prepare_pop(writers, &wait_nanos);
		if (log != NULL) {
			monitor_unlock(&writers->prepare_monitor);
			prepare(log);
			monitor_lock(&writers->prepare_monitor);
		} else if (writers->prepare_closing) {
			break;
		} else if (wait_nanos != 0) {
			(void)monitor_wait_nanos(&writers->prepare_monitor, wait_nanos);
		} else {
			monitor_wait(&writers->prepare_monitor);
		}
	}
	monitor_unlock(&writers->prepare_monitor);
}

bool commitlog_writers_step(struct commitlog_writers *writers)
{
	ASSERT(writers_are_stepped(writers));
	monitor_lock(&writers->run_monitor);
	struct commitlog *log = run_pop(writers);
	monitor_unlock(&writers->run_monitor);
	if (log != NULL) {
		run(log);
		return true;
	}
	uint64_t wait_nanos;
	monitor_lock(&writers->prepare_monitor);
	log = prepare_pop(writers, &wait_nanos);
	monitor_unlock(&writers->prepare_monitor);
	if (log != NULL)
		prepare(log);
	return log != NULL;
}

struct commitlog_writers *commitlog_writers_create(uint32_t threads)
{
	struct commitlog_writers *writers = mem_zalloc(sizeof(*writers));
	if (writers == NULL)
		return NULL;
	monitor_init(&writers->run_monitor);
	monitor_init(&writers->prepare_monitor);
	writers->run_last = &writers->run_first;
	if (threads == 0)
		return writers;
	threads = threads > WRITERS_MAX ? WRITERS_MAX : threads;
	/* Held, so that every thread sees `closing` before it waits. */
	monitor_lock(&writers->run_monitor);
	while (writers->thread_count < threads &&
		thread_start(&writers->threads[writers->thread_count], "log writer", 0, writer_main, writers))
		writers->thread_count++;
	bool started = writers->thread_count > 0 &&
		thread_start(&writers->preparer, "log preparer", 0, preparer_main, writers);
	writers->closing = !started;
	monitor_unlock(&writers->run_monitor);
	if (started)
		return writers;
	for (uint32_t i = 0; i < writers->thread_count; i++)
		thread_join(writers->threads[i]);
	writers->thread_count = 0;
	commitlog_writers_destroy(writers);
	return NULL;
}

void commitlog_writers_destroy(struct commitlog_writers *writers)
{
	if (writers == NULL)
		return;
	monitor_lock(&writers->run_monitor);
	writers->closing = true;
	monitor_wake_all(&writers->run_monitor);
	monitor_unlock(&writers->run_monitor);
	monitor_lock(&writers->prepare_monitor);
	writers->prepare_closing = true;
	monitor_wake_all(&writers->prepare_monitor);
	monitor_unlock(&writers->prepare_monitor);
	for (uint32_t i = 0; i < writers->thread_count; i++)
		thread_join(writers->threads[i]);
	if (writers->thread_count > 0)
		thread_join(writers->preparer);
	ASSERT(writers->run_first == NULL && writers->prepare_first == NULL);
	monitor_deinit(&writers->run_monitor);
	monitor_deinit(&writers->prepare_monitor);
	mem_free(writers);
}
