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

enum { READS_MAX = 4 };

struct copying {
	struct storage *storage;
	struct commitlog_copy *copy;
	struct error *error;
	struct buf bytes;    /* the segment in hand */
	uint64_t newest;     /* of `to` when it began: the one that may have grown; 0: none */
};

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
	while (batch_is_whole(c->bytes.data, len, header->nonce, at, &batch))
		at += batch_size(batch.length);
	return at;
}

/*
 * Takes a segment in hand; *end: of what is whole of it. What was read early may be older than what was read late: a
 * batch that is not there before one that is may be there when all is read again. If it stays away, that is damage.
 */
static enum wl_err read_whole(struct copying *c, const char *path, uint64_t number, uint64_t *end)
{
	struct segment_header header;
	for (int i = 0; i < READS_MAX; i++) {
		buf_clear(&c->bytes);
		enum wl_err err = storage_get(c->storage, path, &c->bytes, c->error);
		if (err == WL_OK)
			err = segment_header_decode(c->bytes.data, c->bytes.len, path, &header, c->error);
		if (err != WL_OK)
			return err;
		if (header.number != number)
			return fail(c->error, WL_ERR_CORRUPT, "%s: byte 16: the segment says its number is %" PRIu64, path,
				header.number);
		*end = whole_end(c, &header);
		if (!batch_is_behind(c->bytes.data, size_min(c->bytes.len, header.capacity), header.nonce, *end))
			return WL_OK;
	}
	return fail(c->error, WL_ERR_CORRUPT, "%s: byte %" PRIu64 ": a damaged batch: valid ones lie behind it; see "
		"`worldline log verify`", path, *end);
}

static enum wl_err copy_one(struct copying *c, uint64_t number, const char *from, const char *to)
{
	uint64_t end = 0;
	enum wl_err err = read_whole(c, from, number, &end);
	if (err == WL_ERR_NOT_FOUND)
		return WL_OK; /* it was trimmed */
	if (err == WL_OK)
		err = storage_put(c->storage, to, c->bytes.data, end, c->error);
	if (err != WL_OK)
		return err;
	c->copy->bytes += end;
	c->copy->segments++;
	if (c->copy->progress != NULL)
		c->copy->progress(c->copy->context, c->copy->bytes);
	return WL_OK;
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
	struct copying c = { .storage = storage, .copy = copy, .error = error,
		.bytes = BUF_INIT(COMMITLOG_SEGMENT_BYTES_MAX) };
	struct segment_list there = { 0 }, list = { 0 };
	bool done = false;
	copy->bytes = copy->segments = 0;
	enum wl_err err = storage->ops->make_dirs(storage, copy->to) ? WL_OK
		: fail_errno(error, WL_ERR_IO, "cannot make %s", copy->to);
	if (err == WL_OK)
		err = segment_list_read(storage, copy->to, &there, error);
	if (err == WL_OK)
		err = segment_list_read(storage, copy->from, &list, error);
	if (err == WL_OK && list.count == 0)
		err = fail(error, WL_ERR_NOT_FOUND, "%s has no segments of a log", copy->from);
	c.newest = there.count == 0 ? 0 : there.numbers[there.count - 1];
	for (size_t i = 0; i < list.count && err == WL_OK && !done; i++)
		err = consider(&c, list.numbers[i], &done);
	segment_list_free(&there);
	segment_list_free(&list);
	buf_deinit(&c.bytes);
	return err;
}

enum wl_err commitlog_id(struct storage *storage, const char *dir, uint64_t *id, struct error *error)
{
	struct copying c = { .storage = storage };
	struct segment_list list;
	enum wl_err err = segment_list_read(storage, dir, &list, error);
	*id = 0;
	for (size_t i = 0; err == WL_OK && *id == 0 && i < list.count; i++) {
		char path[SEGMENT_PATH_MAX];
		struct segment_header header;
		bool used;
		if (path_of(dir, list.numbers[i], path) && peek(&c, path, &header, &used))
			*id = header.log;
	}
	segment_list_free(&list);
	return err;
}
