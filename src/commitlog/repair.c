/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log with damage in its middle, made into one that ends before it. All that
 * lies behind is kept, in a folder of its own, byte for byte.
 *
 *  1. Copies first, synced; then segments are removed, newest first; then the
 *     rest of the damaged one is cleared. Cut short anywhere, it can be begun
 *     again: copies that are there stay as they are.
 *  2. Bytes that nothing vouches for are never made part of the log.
 */
#include "commitlog/commitlog_internal.h"
#include "base/mem.h"
#include "native.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { COPIES_MAX = 1000 };

struct repair {
	struct storage *storage;
	const char *dir;
	struct error *error;
	struct segment_list list;
	struct buf bytes;  /* the segment in hand */
	uint64_t id;       /* of the log; 0: not known yet */
	uint32_t chain;
	bool begun;        /* some batch was read */
	/* Where what is good ends. */
	size_t good;       /* segments before this one are good up to their end */
	uint64_t end;      /* in this one: 0, nothing of it is */
	uint64_t next;     /* offset of the first record that is not there */
};

static bool path_of(const struct repair *r, const char *folder, uint64_t number, char out[SEGMENT_PATH_MAX])
{
	int n = snprintf(out, SEGMENT_PATH_MAX, "%s%s/%010" PRIu64 ".wlog", r->dir, folder, number);
	return n > 0 && n < SEGMENT_PATH_MAX;
}

static enum wl_err segment_read(struct repair *r, uint64_t number)
{
	char path[SEGMENT_PATH_MAX];
	buf_clear(&r->bytes);
	return path_of(r, "", number, path) ? storage_get(r->storage, path, &r->bytes, r->error)
		: fail(r->error, WL_ERR_LIMIT, "the path %.64s… is too long", r->dir);
}

/* ---- how far it is good ---- */

static bool header_is_good(struct repair *r, uint64_t number, struct segment_header *header)
{
	struct error why;
	if (segment_header_decode(r->bytes.data, r->bytes.len, "", header, &why) != WL_OK || header->number != number)
		return false;
	if (r->id == 0)
		r->id = header->log;
	return header->log == r->id;
}

/* Up to the first batch that is not there or not what it should be. */
static uint64_t batches_walk(struct repair *r, const struct segment_header *header)
{
	uint64_t at = SEGMENT_HEADER_BYTES, len = size_min(r->bytes.len, header->capacity);
	struct batch_header batch;
	while (batch_is_whole(r->bytes.data, len, header->nonce, at, &batch) &&
		(!r->begun || (batch.previous == r->chain && batch.first == r->next))) {
		r->begun = true;
		r->chain = batch.crc;
		r->next = batch.first + batch.count;
		at += batch_size(batch.length);
	}
	return at;
}

/* Does the segment in hand begin with the batch that comes next? */
static bool goes_on(struct repair *r, uint64_t number)
{
	struct segment_header header;
	struct batch_header batch;
	return header_is_good(r, number, &header) && r->bytes.len >= SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES &&
		batch_header_decode(r->bytes.data + SEGMENT_HEADER_BYTES, header.nonce, SEGMENT_HEADER_BYTES, &batch) &&
		(!r->begun || (batch.previous == r->chain && batch.first == r->next));
}

/* The newest segment that begins at or below `from`, not inside a record: what is before it is not looked at. */
static enum wl_err find_start(struct repair *r, uint64_t from, size_t *start)
{
	*start = SIZE_MAX;
	for (size_t i = 0; i < r->list.count; i++) {
		struct segment_header header;
		struct batch_header batch;
		enum wl_err err = segment_read(r, r->list.numbers[i]);
		if (err != WL_OK)
			return err;
		if (!header_is_good(r, r->list.numbers[i], &header) ||
			r->bytes.len < SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES ||
			!batch_header_decode(r->bytes.data + SEGMENT_HEADER_BYTES, header.nonce, SEGMENT_HEADER_BYTES, &batch) ||
			(batch.flags & BATCH_CONTINUES) != 0 || batch.first > from)
			continue;
		*start = i;
	}
	return *start != SIZE_MAX || from > 0 ? WL_OK
		: fail(r->error, WL_ERR_NOT_FOUND, "%s: no part of the log before the damage is good", r->dir);
}

static enum wl_err walk(struct repair *r, size_t start)
{
	enum wl_err err = segment_read(r, r->list.numbers[start]);
	for (r->good = start; err == WL_OK && r->good < r->list.count; r->good++) {
		struct segment_header header;
		r->end = 0;
		if (!header_is_good(r, r->list.numbers[r->good], &header))
			return WL_OK;
		r->end = batches_walk(r, &header);
		if (r->good + 1 == r->list.count || r->list.numbers[r->good + 1] != r->list.numbers[r->good] + 1)
			return WL_OK;
		err = segment_read(r, r->list.numbers[r->good + 1]);
		if (err == WL_OK && !goes_on(r, r->list.numbers[r->good + 1]))
			return WL_OK;
	}
	return err;
}

/* ---- setting aside ---- */

static bool exists(struct repair *r, const char *path)
{
	struct storage_file *file = r->storage->ops->open(r->storage, path, false);
	if (file != NULL)
		r->storage->ops->close(file);
	return file != NULL;
}

/* `<dir>/damaged/<number>.wlog`, or with another ending if that is taken by something else. */
static enum wl_err copy_aside(struct repair *r, uint64_t number)
{
	char path[SEGMENT_PATH_MAX], other[SEGMENT_PATH_MAX + 16];
	enum wl_err err = segment_read(r, number);
	if (err != WL_OK)
		return err;
	if (!path_of(r, "/damaged", number, path))
		return fail(r->error, WL_ERR_LIMIT, "the path %.64s… is too long", r->dir);
	snprintf(other, sizeof(other), "%s", path);
	for (uint32_t i = 1; exists(r, other) && i < COPIES_MAX; i++) {
		struct buf there = BUF_INIT(COMMITLOG_SEGMENT_BYTES_MAX);
		err = storage_get(r->storage, other, &there, r->error);
		bool same = err == WL_OK && there.len == r->bytes.len && memcmp(there.data, r->bytes.data, there.len) == 0;
		buf_deinit(&there);
		if (same)
			return WL_OK;
		snprintf(other, sizeof(other), "%s.%u", path, i);
	}
	return storage_put(r->storage, other, r->bytes.data, r->bytes.len, r->error);
}

static enum wl_err copy_all(struct repair *r, size_t from)
{
	char folder[SEGMENT_PATH_MAX];
	if (snprintf(folder, sizeof(folder), "%s/damaged", r->dir) >= SEGMENT_PATH_MAX)
		return fail(r->error, WL_ERR_LIMIT, "the path %.64s… is too long", r->dir);
	if (!r->storage->ops->make_dirs(r->storage, folder))
		return fail_errno(r->error, WL_ERR_IO, "cannot make %s", folder);
	enum wl_err err = WL_OK;
	for (size_t i = from; i < r->list.count && err == WL_OK; i++)
		err = copy_aside(r, r->list.numbers[i]);
	return err;
}

static enum wl_err remove_from(struct repair *r, size_t from)
{
	const struct storage_ops *ops = r->storage->ops;
	for (size_t i = r->list.count; i-- > from;) {
		char path[SEGMENT_PATH_MAX];
		if (!path_of(r, "", r->list.numbers[i], path) || !ops->remove(r->storage, path) ||
			!ops->sync_dir(r->storage, r->dir))
			return fail_errno(r->error, WL_ERR_IO, "cannot remove %s", path);
	}
	return WL_OK;
}

static enum wl_err clear_rest(struct repair *r, uint64_t number, uint64_t end)
{
	const struct storage_ops *ops = r->storage->ops;
	char path[SEGMENT_PATH_MAX];
	enum wl_err err = segment_read(r, number);
	if (err != WL_OK || !path_of(r, "", number, path) || end >= r->bytes.len)
		return err;
	memset(r->bytes.data + end, 0, r->bytes.len - end);
	struct storage_file *file = ops->open(r->storage, path, false);
	bool ok = file != NULL && ops->write(file, r->bytes.data + end, r->bytes.len - end, end) && ops->sync(file);
	if (!ok)
		err = fail_errno(r->error, WL_ERR_IO, "cannot write %s", path);
	if (file != NULL)
		ops->close(file);
	return err;
}

static enum wl_err set_aside(struct repair *r, uint64_t from)
{
	size_t start;
	enum wl_err err = find_start(r, from, &start);
	if (err == WL_OK && start != SIZE_MAX)
		err = walk(r, start);
	if (err != WL_OK)
		return err;
	if (r->next < from) /* a snapshot is ahead of what is left: the log begins behind it */
		r->good = r->end = 0;
	err = copy_all(r, r->good);
	if (err == WL_OK)
		err = remove_from(r, r->end == 0 ? r->good : r->good + 1);
	if (err == WL_OK && r->end != 0)
		err = clear_rest(r, r->list.numbers[r->good], r->end);
	return err;
}

enum wl_err commitlog_set_aside(struct storage *storage, const char *dir, uint64_t from, uint64_t *next,
	struct error *error)
{
	struct repair r = { .storage = storage, .dir = dir, .error = error,
		.bytes = BUF_INIT(COMMITLOG_SEGMENT_BYTES_MAX) };
	enum wl_err err = segment_list_read(storage, dir, &r.list, error);
	if (err == WL_OK)
		err = set_aside(&r, from);
	*next = r.next < from ? from : r.next;
	segment_list_free(&r.list);
	buf_deinit(&r.bytes);
	return err;
}
