/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log looked at from outside: what its segments are, whether they are whole,
 * and its records. Nothing is written, so a host may have it open; then the
 * end is wherever the last batch is that was there in time.
 */
#include "commitlog/commitlog_internal.h"
#include "base/mem.h"
#include "native.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct scan {
	struct storage *storage;
	const char *dir;
	const struct commitlog_scan *how;
	struct error *error;
	struct segment_list list;
	bool stopped;
	struct buf bytes;  /* the segment in hand */
	struct buf carry;  /* the record that is being put together */
	uint64_t id, next;
	uint32_t chain;
	bool begun;        /* chain and next are known */
};

static void fault(struct commitlog_segment_report *report, uint64_t at, const char *what)
{
	if (report->fault[0] != '\0')
		return;
	report->fault_at = at;
	snprintf(report->fault, sizeof(report->fault), "%s", what);
}

/* ---- records ---- */

static void emit(struct scan *s, uint64_t offset, const uint8_t *data, size_t len)
{
	if (s->how->record != NULL && offset >= s->how->from && offset <= s->how->to && !s->stopped)
		s->stopped = !s->how->record(s->how->context, offset, (struct bytes){ data, len });
}

/* Bytes for the carry until it has `want`. */
static bool fill(struct scan *s, struct reader *in, size_t want)
{
	if (s->carry.len < want) {
		size_t take = size_min(want - s->carry.len, reader_left(in));
		buf_put(&s->carry, in->at, take);
		in->at += take;
	}
	return s->carry.len >= want;
}

/* False: the batch says something else than it holds. */
static bool read_records(struct scan *s, const struct batch_header *batch, uint64_t at)
{
	struct reader in = reader_of(s->bytes.data + at + BATCH_HEADER_BYTES, batch->length);
	uint64_t count = 0;
	bool skips = (batch->flags & BATCH_CONTINUES) != 0 && s->carry.len == 0; /* its beginning is not there */
	if ((batch->flags & BATCH_CONTINUES) == 0)
		buf_clear(&s->carry);
	if (skips)
		return true;
	while (reader_left(&in) > 0 && !s->carry.failed) {
		if (!fill(s, &in, RECORD_PREFIX_BYTES))
			break;
		size_t len = load_u32(s->carry.data);
		if (len > COMMITLOG_RECORD_BYTES_MAX)
			return false;
		if (!fill(s, &in, RECORD_PREFIX_BYTES + len))
			break;
		emit(s, batch->first + count++, s->carry.data + RECORD_PREFIX_BYTES, len);
		buf_clear(&s->carry);
	}
	return s->carry.failed || count == batch->count;
}

/* ---- segments ---- */

static void walk(struct scan *s, const struct segment_header *header, struct commitlog_segment_report *report)
{
	uint64_t at = SEGMENT_HEADER_BYTES, len = size_min(s->bytes.len, header->capacity);
	struct batch_header batch;
	while (batch_is_whole(s->bytes.data, len, header->nonce, at, &batch)) {
		if (s->begun && (batch.previous != s->chain || batch.first != s->next)) {
			fault(report, at, "a batch that does not follow the one before it");
			buf_clear(&s->carry);
		}
		if (!read_records(s, &batch, at))
			fault(report, at, "a batch whose records are not as many as it says");
		if (report->batches++ == 0)
			report->first = batch.first;
		s->begun = true;
		s->chain = batch.crc;
		s->next = report->next = batch.first + batch.count;
		report->is_closed = (batch.flags & BATCH_CLOSED) != 0;
		at += batch_size(batch.length);
	}
	report->used = at;
	if (batch_is_behind(s->bytes.data, len, header->nonce, at)) {
		fault(report, at, "a damaged batch: valid ones lie behind it");
		s->begun = false;
		buf_clear(&s->carry);
	}
}

static enum wl_err segment(struct scan *s, size_t i)
{
	char path[SEGMENT_PATH_MAX];
	struct commitlog_segment_report report = { .number = s->list.numbers[i], .first = COMMITLOG_NONE, .next = s->next };
	struct segment_header header;
	struct error why;
	if (snprintf(path, sizeof(path), "%s/%010" PRIu64 ".wlog", s->dir, report.number) >= (int)sizeof(path))
		return fail(s->error, WL_ERR_LIMIT, "the path %.64s… is too long", s->dir);
	report.path = path;
	buf_clear(&s->bytes);
	enum wl_err err = storage_get(s->storage, path, &s->bytes, s->error);
	if (err != WL_OK)
		return err;
	report.bytes = s->bytes.len;
	if (segment_header_decode(s->bytes.data, s->bytes.len, path, &header, &why) != WL_OK)
		fault(&report, 0, "the header is damaged, or of another version");
	else if (header.number != report.number || (s->id != 0 && header.log != s->id))
		fault(&report, 16, "the segment belongs elsewhere");
	bool is_usable = report.fault[0] == '\0';
	if (s->begun && s->list.numbers[i] != s->list.numbers[i - 1] + 1) {
		fault(&report, 0, "segments before this one are missing");
		report.is_gap = is_usable;
	}
	if (!is_usable || report.is_gap) {
		s->begun = false;
		buf_clear(&s->carry);
	}
	if (is_usable) {
		s->id = header.log;
		report.bytes = header.capacity;
		walk(s, &header, &report);
	}
	if (s->how->segment != NULL && !s->stopped)
		s->stopped = !s->how->segment(s->how->context, &report);
	return WL_OK;
}

/* The newest segment that begins at or below what is asked for, and not inside a record. */
static size_t first_wanted(struct scan *s)
{
	for (size_t i = s->list.count; s->how->from > 0 && i-- > 1;) {
		char path[SEGMENT_PATH_MAX];
		uint8_t data[SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES];
		struct segment_header header;
		struct batch_header batch;
		struct error why;
		if (snprintf(path, sizeof(path), "%s/%010" PRIu64 ".wlog", s->dir, s->list.numbers[i]) >= (int)sizeof(path))
			break;
		struct storage_file *file = s->storage->ops->open(s->storage, path, false);
		int64_t len = file == NULL ? -1 : s->storage->ops->read(file, data, sizeof(data), 0);
		if (file != NULL)
			s->storage->ops->close(file);
		if (len == (int64_t)sizeof(data) && segment_header_decode(data, sizeof(data), path, &header, &why) == WL_OK &&
			batch_header_decode(data + SEGMENT_HEADER_BYTES, header.nonce, SEGMENT_HEADER_BYTES, &batch) &&
			(batch.flags & BATCH_CONTINUES) == 0 && batch.first <= s->how->from)
			return i;
	}
	return 0;
}

enum wl_err commitlog_scan(struct storage *storage, const char *dir, const struct commitlog_scan *how,
	struct error *error)
{
	struct scan s = { .storage = storage, .dir = dir, .how = how, .error = error,
		.bytes = BUF_INIT(COMMITLOG_SEGMENT_BYTES_MAX),
		.carry = BUF_INIT((size_t)COMMITLOG_RECORD_BYTES_MAX + RECORD_PREFIX_BYTES) };
	enum wl_err err = segment_list_read(storage, dir, &s.list, error);
	if (err == WL_OK && s.list.count == 0)
		err = fail(error, WL_ERR_NOT_FOUND, "%s has no segments of a log", dir);
	for (size_t i = err == WL_OK ? first_wanted(&s) : 0; i < s.list.count && err == WL_OK && !s.stopped; i++)
		err = segment(&s, i);
	if (err == WL_OK && s.carry.failed)
		err = fail(error, WL_ERR_MEMORY, "no memory for a record");
	segment_list_free(&s.list);
	buf_deinit(&s.bytes);
	buf_deinit(&s.carry);
	return err;
}
