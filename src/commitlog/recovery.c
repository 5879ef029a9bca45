/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a log that exists: reading it, finding its end, mending its end.
 *
 *  1. Nothing is replayed that was not checked: place, chain, offset, payload.
 *  2. The log ends at the first batch that is missing or bad. Is there a valid
 *     batch header anywhere behind, the end is false: that header was written
 *     after everything before it had been synced (writer.c, 1). Then bytes were
 *     damaged later, and the place is named.
 *  3. Only the last valid batch can be unsynced. The page cache may hold it
 *     while the disk does not, even after a sync that failed; so it is written
 *     again before anything is promised on it. A closing mark promises nothing
 *     itself: it is written again by the first flight, so that opening a log
 *     that was closed writes nothing.
 *  4. Behind the end everything is zero, and synced, before the first append.
 *  5. Memory is bounded by the largest segment and the longest record, and
 *     grows only with bytes that were really read.
 */
#include "commitlog/commitlog_internal.h"
#include "base/log.h"
#include "base/mem.h"
#include "native.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
	SEGMENT_NUMBER_DIGITS = 10,
	SEGMENTS_MAX = 1 << 20,
};

struct recovery {
	struct commitlog *log;
	uint64_t from;
	commitlog_replay_fn replay;
	void *replay_context;
	struct error *error;
	enum wl_err err;

	struct segment_list list; /* of the segments in the directory */

	/* The segment in hand. */
	char path[SEGMENT_PATH_MAX];
	struct segment segment;
	struct buf bytes;   /* its content */
	uint64_t end;       /* behind its last valid batch */
	uint64_t last_at;   /* position of that batch, 0: none */

	/* The log so far. */
	uint64_t expected;  /* offset of the next record */
	uint32_t chain;
	struct buf carry;   /* the record that is being put together from several batches */
	bool closed;        /* the last batch was the closing mark */
};

/* ---- the directory ---- */

static enum wl_err list_segments(struct recovery *r)
{
	struct commitlog *log = r->log;
	enum wl_err err = segment_list_read(log->storage, log->dir, &r->list, r->error);
	if (err != WL_OK)
		return err;
	for (size_t i = 1; i < r->list.count; i++) {
		if (r->list.numbers[i] != r->list.numbers[i - 1] + 1)
			return fail(r->error, WL_ERR_CORRUPT, "%s: segment %010" PRIu64 ".wlog is missing", log->dir,
				r->list.numbers[i - 1] + 1);
	}
	/* What a crash left of a segment in the making. */
	if (r->list.has_temp && segment_path_temp(log, r->path))
		(void)log->storage->ops->remove(log->storage, r->path);
	return WL_OK;
}

/* ---- one segment ---- */

static void segment_close(struct recovery *r)
{
	if (r->segment.file != NULL)
		r->log->storage->ops->close(r->segment.file);
	r->segment = (struct segment){ 0 };
}

static enum wl_err read_failed(struct recovery *r)
{
	return fail_errno(r->error, WL_ERR_IO, "cannot read %s", r->path);
}

static enum wl_err header_check(struct recovery *r, const uint8_t *data, size_t len, uint64_t number,
	struct segment_header *out)
{
	enum wl_err err = segment_header_decode(data, len, r->path, out, r->error);
	if (err != WL_OK)
		return err;
	if (out->number != number)
		return fail(r->error, WL_ERR_CORRUPT, "%s: byte 16: the segment says its number is %" PRIu64, r->path,
			out->number);
	if (r->log->id == 0)
		r->log->id = out->log;
	if (out->log != r->log->id)
		return fail(r->error, WL_ERR_CORRUPT, "%s: byte 32: the segment belongs to another log", r->path);
	return WL_OK;
}

/* Takes a segment in hand: opens and reads it, checks its header. */
static enum wl_err segment_open(struct recovery *r, uint64_t number)
{
	const struct storage_ops *ops = r->log->storage->ops;
	segment_close(r);
	buf_clear(&r->bytes);
	if (!segment_path(r->log, number, r->path))
		return fail_errno(r->error, WL_ERR_IO, "cannot open a segment in %s", r->log->dir);
	r->segment.file = ops->open(r->log->storage, r->path, false);
	int64_t size = r->segment.file == NULL ? -1 : ops->size(r->segment.file);
	if (size < 0)
		return read_failed(r);
	size_t want = size > COMMITLOG_SEGMENT_BYTES_MAX ? (size_t)COMMITLOG_SEGMENT_BYTES_MAX : (size_t)size;
	uint8_t *to = buf_extend(&r->bytes, want);
	if (want > 0 && to == NULL)
		return fail(r->error, WL_ERR_MEMORY, "no memory to read %s", r->path);
	if (want > 0 && ops->read(r->segment.file, to, want, 0) != (int64_t)want)
		return read_failed(r);
	enum wl_err err = header_check(r, r->bytes.data, want, number, &r->segment.header);
	r->bytes.len = size_min(r->bytes.len, r->segment.header.capacity);
	r->end = SEGMENT_HEADER_BYTES;
	r->last_at = 0;
	return err;
}

/* What a segment begins with: its header and, if it has one (*used), the header of its first batch. */
static enum wl_err segment_peek(struct recovery *r, uint64_t number, struct segment_header *header,
	struct batch_header *first, bool *used)
{
	const struct storage_ops *ops = r->log->storage->ops;
	uint8_t data[SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES];
	if (!segment_path(r->log, number, r->path))
		return fail_errno(r->error, WL_ERR_IO, "cannot open a segment in %s", r->log->dir);
	struct storage_file *file = ops->open(r->log->storage, r->path, false);
	int64_t len = file == NULL ? -1 : ops->read(file, data, sizeof(data), 0);
	enum wl_err err = len < 0 ? read_failed(r) : header_check(r, data, (size_t)len, number, header);
	if (file != NULL)
		ops->close(file);
	*used = err == WL_OK && (size_t)len == sizeof(data) &&
		batch_header_decode(data + SEGMENT_HEADER_BYTES, header->nonce, SEGMENT_HEADER_BYTES, first);
	return err;
}

/* The batch header at `at`, if there is one that was written there. */
static bool header_at(const struct recovery *r, uint64_t at, struct batch_header *out)
{
	return at + BATCH_HEADER_BYTES <= r->bytes.len &&
		batch_header_decode(r->bytes.data + at, r->segment.header.nonce, at, out);
}

static bool payload_is_whole(const struct recovery *r, uint64_t at, const struct batch_header *header)
{
	return header->length <= BATCH_BYTES_MAX && at + batch_size(header->length) <= r->bytes.len &&
		native_crc32c(0, r->bytes.data + at + BATCH_HEADER_BYTES, header->length) == header->payload_crc;
}

/* The end of what is not zero in the segment, `from` when all is zero behind it. */
static uint64_t zeros_begin(const struct recovery *r, uint64_t from)
{
	uint64_t end = r->bytes.len;
	if (end <= from)
		return from;
	while (end - from >= 8 && load_u64(r->bytes.data + end - 8) == 0)
		end -= 8;
	while (end > from && r->bytes.data[end - 1] == 0)
		end--;
	return end;
}

/* ---- records ---- */

static enum wl_err emit(struct recovery *r, const uint8_t *data, size_t len)
{
	uint64_t offset = r->expected++;
	if (offset < r->from || r->replay == NULL)
		return WL_OK;
	return r->replay(r->replay_context, offset, (struct bytes){ data, len }, r->error);
}

static enum wl_err malformed(struct recovery *r, uint64_t at, const char *what)
{
	return fail(r->error, WL_ERR_CORRUPT, "%s: byte %" PRIu64 ": %s (offset %" PRIu64 ")", r->path, at, what,
		r->expected);
}

/* Moves bytes into the carry until it has `want`; true when it has. */
static bool carry_fill(struct recovery *r, struct reader *in, size_t want)
{
	if (r->carry.len < want) {
		size_t take = size_min(want - r->carry.len, reader_left(in));
		buf_put(&r->carry, in->at, take);
		in->at += take;
	}
	return r->carry.len >= want;
}

/* Continues the record in the carry; emits it when it is whole. */
static enum wl_err carry_on(struct recovery *r, uint64_t at, struct reader *in)
{
	if (!carry_fill(r, in, RECORD_PREFIX_BYTES))
		return r->carry.failed ? fail(r->error, WL_ERR_MEMORY, "%s: no memory for a record", r->path) : WL_OK;
	size_t len = load_u32(r->carry.data);
	if (len > COMMITLOG_RECORD_BYTES_MAX)
		return malformed(r, at, "a record with an impossible length");
	bool whole = carry_fill(r, in, RECORD_PREFIX_BYTES + len);
	if (r->carry.failed)
		return fail(r->error, WL_ERR_MEMORY, "%s: no memory for a record of %zu bytes", r->path, len);
	if (!whole)
		return WL_OK;
	enum wl_err err = emit(r, r->carry.data + RECORD_PREFIX_BYTES, len);
	if (r->carry.cap > 1 << 20)
		buf_deinit(&r->carry);
	buf_clear(&r->carry);
	return err;
}

static enum wl_err replay_batch(struct recovery *r, uint64_t at, const struct batch_header *header)
{
	struct reader in = reader_of(r->bytes.data + at + BATCH_HEADER_BYTES, header->length);
	bool continues = (header->flags & BATCH_CONTINUES) != 0;
	if (continues && r->carry.len == 0)
		return malformed(r, at, "a batch continues a record that was not begun");
	if (!continues)
		buf_clear(&r->carry); /* a record whose end never came has no offset: it did not happen */
	while (reader_left(&in) > 0) {
		size_t left = reader_left(&in);
		size_t len = r->carry.len == 0 && left >= RECORD_PREFIX_BYTES ? load_u32(in.at) : SIZE_MAX;
		enum wl_err err;
		if (len <= left - size_min(left, RECORD_PREFIX_BYTES)) {
			err = emit(r, in.at + RECORD_PREFIX_BYTES, len);
			in.at += RECORD_PREFIX_BYTES + len;
		} else {
			err = carry_on(r, at, &in);
		}
		if (err != WL_OK)
			return err;
	}
	if (r->expected - header->first != header->count)
		return malformed(r, at, "a batch whose records are not as many as it says");
	return WL_OK;
}

/* ---- the walk ---- */

/* Replays the segment's batches up to the first that is missing or bad. */
static enum wl_err segment_walk(struct recovery *r)
{
	struct batch_header header;
	while (header_at(r, r->end, &header)) {
		if (header.previous != r->chain || header.first != r->expected)
			return malformed(r, r->end, "a valid batch that does not follow the one before it");
		if (!payload_is_whole(r, r->end, &header))
			return WL_OK;
		enum wl_err err = replay_batch(r, r->end, &header);
		if (err != WL_OK)
			return err;
		r->chain = header.crc;
		r->closed = (header.flags & BATCH_CLOSED) != 0;
		r->last_at = r->end;
		r->end += batch_size(header.length);
	}
	return WL_OK;
}

/* A batch header behind the end proves that the end is damage. */
static enum wl_err require_nothing_behind(struct recovery *r, uint64_t from, uint64_t damage_at,
	const char *damage_path)
{
	struct batch_header header;
	uint64_t until = zeros_begin(r, from);
	for (uint64_t at = from; at < until; at += BATCH_ALIGN) {
		if (header_at(r, at, &header))
			return fail(r->error, WL_ERR_CORRUPT, "%s: byte %" PRIu64 ": damaged batch (offset %" PRIu64
				"); a later one at byte %" PRIu64 " of %s is valid", damage_path, damage_at, r->expected, at, r->path);
	}
	return WL_OK;
}

/* Writes the last batch again and zeros behind it, in the segment in hand. */
static enum wl_err segment_mend(struct recovery *r)
{
	const struct storage_ops *ops = r->log->storage->ops;
	uint64_t dirty = zeros_begin(r, r->end);
	bool marked = r->last_at != 0 && r->closed, again = r->last_at != 0 && !marked, cut = dirty > r->end;
	bool shortened = r->bytes.len < r->segment.header.capacity;
	if (cut) {
		log_warn("%s: byte %" PRIu64 ": cut %" PRIu64 " bytes of a batch that was not finished (offset %" PRIu64 ")",
			r->path, r->end, dirty - r->end, r->expected);
		memset(r->bytes.data + r->end, 0, dirty - r->end);
	}
	if (shortened) /* no crash does that: a segment has its size before anything depends on it */
		log_error("%s: the file has %zu of %" PRIu64 " bytes; what was behind transaction %" PRIu64 " is lost", r->path,
			r->bytes.len, r->segment.header.capacity, r->expected);
	uint64_t from = again ? r->last_at : r->end, to = cut ? dirty : r->end;
	if ((again || cut) && !ops->write(r->segment.file, r->bytes.data + from, to - from, from))
		return fail_errno(r->error, WL_ERR_IO, "cannot write %s", r->path);
	if (shortened && !ops->allocate(r->segment.file, r->segment.header.capacity))
		return fail_errno(r->error, WL_ERR_IO, "cannot extend %s", r->path);
	if ((again || cut || shortened) && !ops->sync(r->segment.file))
		return fail_errno(r->error, WL_ERR_IO, "cannot sync %s", r->path);
	if (marked) {
		r->log->mark_at = r->last_at;
		memcpy(r->log->mark, r->bytes.data + r->last_at, BATCH_HEADER_BYTES);
	}
	return WL_OK;
}

static enum wl_err segment_note(struct recovery *r, const struct segment_header *header,
	const struct batch_header *first)
{
	struct segment_info info = {
		.number = header->number,
		.capacity = header->capacity,
		.first = first != NULL ? first->first : COMMITLOG_NONE,
		.continues = first != NULL && (first->flags & BATCH_CONTINUES) != 0,
	};
	return segments_add(r->log, info) ? WL_OK : fail(r->error, WL_ERR_MEMORY, "no memory for a log");
}

static enum wl_err segment_keep(struct recovery *r, struct segment *out)
{
	struct batch_header first;
	bool used = r->last_at != 0 && header_at(r, SEGMENT_HEADER_BYTES, &first);
	enum wl_err err = segment_note(r, &r->segment.header, used ? &first : NULL);
	if (err != WL_OK)
		return err;
	*out = r->segment;
	out->end = r->end;
	r->segment.file = NULL;
	return WL_OK;
}

/* Nothing behind the segment where the log ends may hold a batch. */
static enum wl_err rest_check(struct recovery *r, size_t index, uint64_t damage_at, const char *damage_path)
{
	enum wl_err err = WL_OK;
	for (size_t i = r->list.count; i-- > index && err == WL_OK; ) {
		err = segment_open(r, r->list.numbers[i]);
		if (err == WL_OK)
			err = require_nothing_behind(r, SEGMENT_HEADER_BYTES, damage_at, damage_path);
	}
	return err;
}

/* Of the segments behind the one where the log ends the first is the spare, others are superfluous. */
static enum wl_err rest_take(struct recovery *r, size_t index)
{
	enum wl_err err = WL_OK;
	if (index < r->list.count) {
		err = segment_open(r, r->list.numbers[index]);
		if (err == WL_OK)
			err = segment_mend(r);
		if (err == WL_OK)
			err = segment_keep(r, &r->log->spare);
	}
	/* Newest first: what a crash leaves has no hole. */
	for (size_t i = r->list.count; i-- > index + 1 && err == WL_OK; ) {
		const struct storage_ops *ops = r->log->storage->ops;
		if (!segment_path(r->log, r->list.numbers[i], r->path) || !ops->remove(r->log->storage, r->path) ||
			!ops->sync_dir(r->log->storage, r->log->dir))
			err = fail_errno(r->error, WL_ERR_IO, "cannot remove %s", r->path);
	}
	return err;
}

/* The segment in hand is where the log ends. All that is behind is looked at before anything is written: what turns out
 * to be damaged stays as it is. */
static enum wl_err end_take(struct recovery *r, size_t index)
{
	char path[SEGMENT_PATH_MAX];
	uint64_t end = r->end, last_at = r->last_at;
	memcpy(path, r->path, sizeof(path));
	enum wl_err err = require_nothing_behind(r, end + BATCH_ALIGN, end, path);
	if (err == WL_OK && index + 1 < r->list.count) {
		err = rest_check(r, index + 1, end, path);
		if (err == WL_OK)
			err = segment_open(r, r->list.numbers[index]);
		r->end = end;
		r->last_at = last_at;
	}
	if (err == WL_OK)
		err = segment_mend(r);
	if (err == WL_OK)
		err = segment_keep(r, &r->log->active);
	return err == WL_OK ? rest_take(r, index + 1) : err;
}

/* From segment `index` to the end of the log. */
static enum wl_err walk(struct recovery *r, size_t index)
{
	enum wl_err err;
	for (;; index++) {
		err = segment_open(r, r->list.numbers[index]);
		if (err == WL_OK)
			err = segment_walk(r);
		if (err != WL_OK)
			return err;
		char path[SEGMENT_PATH_MAX];
		memcpy(path, r->path, sizeof(path));
		/* The next segment decides whether this is the end: it begins with the batch that comes next, or not. */
		struct segment_header next;
		struct batch_header first;
		bool used = false;
		if (index + 1 < r->list.count)
			err = segment_peek(r, r->list.numbers[index + 1], &next, &first, &used);
		if (err != WL_OK)
			return err;
		memcpy(r->path, path, sizeof(path));
		if (!used || first.previous != r->chain || first.first != r->expected)
			break;
		struct segment passed;
		err = segment_keep(r, &passed);
		if (err != WL_OK)
			return err;
		r->log->storage->ops->close(passed.file);
	}
	return end_take(r, index);
}

/* The newest segment that begins at or below `from`, not inside a record; those before it are only noted. Where a trim
 * was cut short the log may begin inside a record. */
static enum wl_err find_start(struct recovery *r, size_t *start)
{
	bool found = false, inside = false;
	*start = 0;
	for (size_t i = 0; i < r->list.count; i++) {
		struct segment_header header;
		struct batch_header first;
		bool used;
		enum wl_err err = segment_peek(r, r->list.numbers[i], &header, &first, &used);
		if (err != WL_OK)
			return err;
		if (!used || (found && first.first > r->from))
			break;
		if ((first.flags & BATCH_CONTINUES) != 0) {
			inside = true;
			continue;
		}
		found = true;
		*start = i;
		r->expected = first.first;
		r->chain = first.previous;
	}
	return found || !inside ? WL_OK : malformed(r, SEGMENT_HEADER_BYTES, "the log begins inside a record");
}

static enum wl_err segments_skipped(struct recovery *r, size_t start)
{
	for (size_t i = 0; i < start; i++) {
		struct segment_header header;
		struct batch_header first;
		bool used;
		enum wl_err err = segment_peek(r, r->list.numbers[i], &header, &first, &used);
		if (err == WL_OK)
			err = segment_note(r, &header, used ? &first : NULL);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

static enum wl_err recover(struct recovery *r)
{
	struct commitlog *log = r->log;
	enum wl_err err = list_segments(r);
	if (err != WL_OK || r->list.count == 0)
		return err;
	size_t start;
	r->expected = r->from;
	err = find_start(r, &start);
	if (err == WL_OK && r->expected > r->from)
		err = fail(r->error, WL_ERR_CORRUPT, "%s: the log begins at offset %" PRIu64 ", needed is %" PRIu64, log->dir,
			r->expected, r->from);
	if (err == WL_OK)
		err = segments_skipped(r, start);
	if (err == WL_OK)
		err = walk(r, start);
	if (err == WL_OK && r->expected < r->from)
		err = fail(r->error, WL_ERR_CORRUPT, "%s: the log ends before offset %" PRIu64 ", expected is %" PRIu64,
			log->dir, r->expected, r->from);
	if (err != WL_OK)
		return err;
	log->next = log->written_next = r->expected;
	log->chain = r->chain;
	log->unmarked = r->chain != 0 && !r->closed; /* a log without batches needs no mark */
	return WL_OK;
}

enum wl_err recovery_run(struct commitlog *log, uint64_t from, commitlog_replay_fn replay, void *replay_context,
	struct error *error)
{
	struct recovery r = {
		.log = log,
		.from = from,
		.replay = replay,
		.replay_context = replay_context,
		.error = error,
		.bytes = BUF_INIT(COMMITLOG_SEGMENT_BYTES_MAX),
		.carry = BUF_INIT((size_t)COMMITLOG_RECORD_BYTES_MAX + RECORD_PREFIX_BYTES),
	};
	enum wl_err err = recover(&r);
	segment_close(&r);
	buf_deinit(&r.bytes);
	buf_deinit(&r.carry);
	segment_list_free(&r.list);
	return err;
}
