/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log copied while somebody writes it.
 *
 *  1. A segment is walked batch by batch, from its beginning, and copied as far
 *     as it is whole; so a copy never has a batch without those before it.
 *  2. Whether the next segment is used is asked before one is read: a copy never
 *     has a part of a segment and the one behind it.
 *  3. Every file has its name only when it is whole and synced. The last one is
 *     copied again the next time, whatever is in it by then.
 *  4. The writer may remove the oldest segments meanwhile: those are left out.
 */
#include "commitlog/commitlog_internal.h"
#include "base/mem.h"
#include "native.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_DIGITS = 10, NUMBERS_MAX = 1 << 20 };

struct copying {
	struct storage *storage;
	struct commitlog_copy *copy;
	struct error *error;
	struct buf numbers;  /* u64 each, ascending once sorted */
	struct buf bytes;    /* the segment in hand */
	uint64_t newest;     /* of `to` when it began: the one that may have grown; 0: none */
};

static void found_name(void *context, const char *name)
{
	struct buf *numbers = context;
	uint64_t number = 0;
	size_t digits = 0;
	for (; name[digits] >= '0' && name[digits] <= '9' && digits < NAME_DIGITS; digits++)
		number = number * 10 + (uint64_t)(name[digits] - '0');
	if (digits == NAME_DIGITS && strcmp(name + digits, ".wlog") == 0)
		buf_put(numbers, &number, sizeof(number));
}

static int ascending(const void *a, const void *b)
{
	uint64_t x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static enum wl_err list(struct copying *c, const char *dir)
{
	buf_clear(&c->numbers);
	if (!c->storage->ops->list(c->storage, dir, found_name, &c->numbers))
		return fail_errno(c->error, WL_ERR_IO, "cannot list %s", dir);
	if (c->numbers.failed)
		return fail(c->error, WL_ERR_MEMORY, "%s: no memory for the list of segments", dir);
	if (c->numbers.len > 0)
		qsort(c->numbers.data, c->numbers.len / 8, 8, ascending);
	return WL_OK;
}

static bool path_of(const char *dir, uint64_t number, char out[SEGMENT_PATH_MAX])
{
	int n = snprintf(out, SEGMENT_PATH_MAX, "%s/%010" PRIu64 ".wlog", dir, number);
	return n > 0 && n < SEGMENT_PATH_MAX;
}

/* The first bytes of a segment; false: it is not there, or has not even a header. */
static bool peek(struct copying *c, const char *path, struct segment_header *header, bool *used)
{
	uint8_t data[SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES];
	struct batch_header batch;
	struct error why;
	struct storage_file *file = c->storage->ops->open(c->storage, path, false);
	int64_t len = file == NULL ? -1 : c->storage->ops->read(file, data, sizeof(data), 0);
	if (file != NULL)
		c->storage->ops->close(file);
	if (len < SEGMENT_HEADER_BYTES || segment_header_decode(data, (size_t)len, path, header, &why) != WL_OK)
		return false;
	*used = len == (int64_t)sizeof(data) &&
		batch_header_decode(data + SEGMENT_HEADER_BYTES, header->nonce, SEGMENT_HEADER_BYTES, &batch);
	return true;
}

/* Where what is whole of the segment in hand ends. */
static uint64_t whole_end(const struct copying *c, const struct segment_header *header)
{
	uint64_t at = SEGMENT_HEADER_BYTES, len = size_min(c->bytes.len, header->capacity);
	struct batch_header batch;
	while (at + BATCH_HEADER_BYTES <= len && batch_header_decode(c->bytes.data + at, header->nonce, at, &batch) &&
		batch.length <= BATCH_BYTES_MAX && at + batch_size(batch.length) <= len &&
		native_crc32c(0, c->bytes.data + at + BATCH_HEADER_BYTES, batch.length) == batch.payload_crc)
		at += batch_size(batch.length);
	return at;
}

static enum wl_err copy_one(struct copying *c, uint64_t number, const char *from, const char *to)
{
	struct segment_header header;
	buf_clear(&c->bytes);
	enum wl_err err = storage_get(c->storage, from, &c->bytes, c->error);
	if (err == WL_OK)
		err = segment_header_decode(c->bytes.data, c->bytes.len, from, &header, c->error);
	if (err != WL_OK)
		return err;
	if (header.number != number)
		return fail(c->error, WL_ERR_CORRUPT, "%s: byte 16: the segment says its number is %" PRIu64, from,
			header.number);
	uint64_t end = whole_end(c, &header);
	err = storage_put(c->storage, to, c->bytes.data, end, c->error);
	c->copy->bytes += end;
	c->copy->segments++;
	if (err == WL_OK && c->copy->progress != NULL)
		c->copy->progress(c->copy->context, c->copy->bytes);
	return err;
}

/* Is there a batch in it? Then the one before it cannot grow any more. */
static bool is_used(struct copying *c, uint64_t number)
{
	char path[SEGMENT_PATH_MAX];
	struct segment_header header;
	bool used;
	return path_of(c->copy->from, number, path) && peek(c, path, &header, &used) && used;
}

/* One that `to` may have; *done: it is the last one, as of before it was read. */
static enum wl_err consider(struct copying *c, uint64_t number, bool *done)
{
	char from[SEGMENT_PATH_MAX], to[SEGMENT_PATH_MAX];
	struct segment_header theirs, ours;
	bool used, there;
	if (!path_of(c->copy->from, number, from) || !path_of(c->copy->to, number, to))
		return fail(c->error, WL_ERR_LIMIT, "the path %.64s… is too long", c->copy->to);
	if (!peek(c, from, &theirs, &used)) {
		struct storage_file *file = c->storage->ops->open(c->storage, from, false);
		if (file == NULL && errno == ENOENT)
			return WL_OK; /* it was trimmed */
		if (file != NULL)
			c->storage->ops->close(file);
		return fail(c->error, WL_ERR_CORRUPT, "%s: its header cannot be read: see `worldline log verify`", from);
	}
	c->copy->log = theirs.log;
	*done = !is_used(c, number + 1);
	if (peek(c, to, &ours, &there)) {
		if (ours.log != theirs.log)
			return fail(c->error, WL_ERR_EXISTS, "%s has a log of another line of history (the database was restored, "
				"or is another one): back up into another folder", c->copy->to);
		if (ours.nonce == theirs.nonce && number < c->newest)
			return WL_OK;
	}
	return used ? copy_one(c, number, from, to) : WL_OK;
}

enum wl_err commitlog_copy(struct storage *storage, struct commitlog_copy *copy, struct error *error)
{
	struct copying c = { .storage = storage, .copy = copy, .error = error, .numbers = BUF_INIT(NUMBERS_MAX * 8),
		.bytes = BUF_INIT(COMMITLOG_SEGMENT_BYTES_MAX) };
	enum wl_err err = storage->ops->make_dirs(storage, copy->to) ? WL_OK
		: fail_errno(error, WL_ERR_IO, "cannot make %s", copy->to);
	bool done = false;
	if (err == WL_OK)
		err = list(&c, copy->to);
	if (err == WL_OK && c.numbers.len > 0)
		memcpy(&c.newest, c.numbers.data + c.numbers.len - 8, 8);
	if (err == WL_OK)
		err = list(&c, copy->from);
	if (err == WL_OK && c.numbers.len == 0)
		err = fail(error, WL_ERR_NOT_FOUND, "%s has no segments of a log", copy->from);
	for (size_t i = 0; i < c.numbers.len && err == WL_OK && !done; i += 8) {
		uint64_t number;
		memcpy(&number, c.numbers.data + i, 8);
		err = consider(&c, number, &done);
	}
	buf_deinit(&c.numbers);
	buf_deinit(&c.bytes);
	return err;
}
