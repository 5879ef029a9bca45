/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module log's second half: where lines are kept, and reading them.
 *
 *  1. Lines of one UTC day go to <day>.log. A file is open only while it is
 *     written or read.
 *  2. A file holds whole lines. A piece of a line that a crash or a full disk
 *     left is closed with a newline before the next line, and never read.
 *  3. The files of one log stay below bytes_max: a day's file that would pass
 *     half of it is set aside as <day>.1.log; then the oldest names go.
 *  4. A reader has its bounds when it is made: what is written later, moved
 *     or removed does not change what it reads.
 *
 * In memory lines are kept in chunks, the oldest chunk goes when there is too
 * much; a reader copies.
 */
#include "database/module_log_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	SCAN_BYTES = 32 << 10,
	CHUNK_BYTES_MIN = 1 << 10,
	CHUNK_BYTES_MAX = 64 << 10,
	DAY_NAME_LEN = 10,     /* 2026-01-31 */
	FILES_MAX = 4096,      /* looked at in one directory */
	FILE_NAME_MAX = 24,
};

struct module_log_reader {
	struct storage *storage;
	struct storage_file *file; /* NULL: from memory */
	uint64_t at, end;
	struct buf bytes;          /* in memory: all of it */
};

void keep_init(struct keep *keep, struct storage *storage, const char *dir, uint64_t bytes_max)
{
	*keep = (struct keep){ .storage = storage, .dir = dir, .bytes_max = bytes_max };
	pthread_mutex_init(&keep->mutex, NULL);
}

void keep_deinit(struct keep *keep)
{
	while (keep->first != NULL) {
		struct kept_chunk *next = keep->first->next;
		mem_free(keep->first);
		keep->first = next;
	}
	pthread_mutex_destroy(&keep->mutex);
}

static void size_add_to(struct keep *keep, uint64_t added)
{
	uint64_t size = atomic_load_explicit(&keep->size, memory_order_relaxed);
	atomic_store_explicit(&keep->size, size + added, memory_order_relaxed);
}

static uint64_t count_lines(const uint8_t *data, size_t len)
{
	uint64_t count = 0;
	for (const uint8_t *p = data, *end = data + len; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
		count++;
	return count;
}

/* Where the last `lines` lines of `data` begin. Lines left to find are counted down in *lines. */
static size_t tail_begins(const uint8_t *data, size_t len, uint64_t *lines)
{
	for (size_t at = len; at > 0; at--) {
		if (data[at - 1] != '\n')
			continue;
		if (*lines == 0)
			return at;
		--*lines;
	}
	return 0;
}

/* ---- memory ---- */

static struct kept_chunk *chunk_for(struct keep *keep, size_t len, uint64_t at)
{
	struct kept_chunk *last = keep->last;
	if (last != NULL && last->cap - last->len >= len && last->at + last->len == at)
		return last;
	/* Small at first: most databases say little. */
	size_t cap = size_max(len, size_min(CHUNK_BYTES_MAX, size_max(CHUNK_BYTES_MIN, atomic_load(&keep->size))));
	struct kept_chunk *chunk = mem_alloc(sizeof(*chunk) + cap);
	if (chunk == NULL)
		return NULL;
	*chunk = (struct kept_chunk){ .at = at, .cap = cap };
	if (last == NULL)
		keep->first = chunk;
	else
		last->next = chunk;
	keep->last = chunk;
	return chunk;
}

static void memory_write(struct keep *keep, const struct lines *lines, uint64_t at)
{
	const struct buf *bytes = &lines->bytes;
	struct kept_chunk *chunk = chunk_for(keep, bytes->len, at);
	if (chunk == NULL)
		return; /* no memory: these lines are lost */
	memcpy(chunk->data + chunk->len, bytes->data, bytes->len);
	chunk->len += bytes->len;
	chunk->line_count += count_lines(bytes->data, bytes->len);
	size_add_to(keep, bytes->len);
	while (atomic_load(&keep->size) > keep->bytes_max && keep->first != keep->last) {
		struct kept_chunk *oldest = keep->first;
		keep->first = oldest->next;
		atomic_store(&keep->size, atomic_load(&keep->size) - oldest->len);
		mem_free(oldest);
	}
}

static enum wl_err memory_read(struct keep *keep, uint64_t until, uint64_t lines, struct module_log_reader *reader,
	struct error *error)
{
	uint64_t total = 0, skip;
	for (struct kept_chunk *c = keep->first; c != NULL && c->at < until; c = c->next)
		total += c->at + c->len <= until ? c->line_count : count_lines(c->data, until - c->at);
	skip = total > lines ? total - lines : 0;
	for (struct kept_chunk *c = keep->first; c != NULL && c->at < until; c = c->next) {
		size_t len = size_min(c->len, until - c->at), from = 0;
		for (; skip > 0 && from < len; skip--)
			from = (size_t)((uint8_t *)memchr(c->data + from, '\n', len - from) - c->data) + 1;
		buf_put(&reader->bytes, c->data + from, len - from);
	}
	if (reader->bytes.failed)
		return fail(error, WL_ERR_MEMORY, "no memory to read a module log");
	reader->end = reader->bytes.len;
	return WL_OK;
}

/* ---- files ---- */

static void day_name(int64_t day, char out[DAY_NAME_MAX])
{
	/* Years of four digits; clocks that say otherwise share the first or the last day. */
	int64_t least = 0, most = 2932896;
	char text[48];
	day = day < least ? least : day > most ? most : day;
	timestamp_format(day * 86400 * 1000000, text);
	memcpy(out, text, DAY_NAME_LEN);
	out[DAY_NAME_LEN] = '\0';
}

static bool file_path(const struct keep *keep, const char *day, const char *suffix, char out[MODULE_LOG_PATH_MAX])
{
	int n = snprintf(out, MODULE_LOG_PATH_MAX, "%s/%s%s", keep->dir, day, suffix);
	errno = ENAMETOOLONG;
	return n > 0 && n < MODULE_LOG_PATH_MAX;
}

struct file_list {
	char (*names)[FILE_NAME_MAX];
	size_t count, cap;
};

static bool is_log_name(const char *name)
{
	for (size_t i = 0; i < DAY_NAME_LEN; i++) {
		bool dash = i == 4 || i == 7;
		if (dash ? name[i] != '-' : name[i] < '0' || name[i] > '9')
			return false;
	}
	return strcmp(name + DAY_NAME_LEN, ".log") == 0 || strcmp(name + DAY_NAME_LEN, ".1.log") == 0;
}

static void list_name(void *context, const char *name)
{
	struct file_list *list = context;
	if (!is_log_name(name) || list->count == FILES_MAX)
		return;
	if (list->count == list->cap) {
		size_t cap = list->cap == 0 ? 32 : list->cap * 2;
		void *grown = mem_realloc(list->names, cap * sizeof(*list->names));
		if (grown == NULL)
			return;
		list->names = grown;
		list->cap = cap;
	}
	snprintf(list->names[list->count++], FILE_NAME_MAX, "%s", name);
}

/* "<day>.1.log" sorts before "<day>.log", and is older. */
static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool list_files(struct storage *storage, const char *dir, struct file_list *list)
{
	*list = (struct file_list){ 0 };
	if (!storage->ops->list(storage, dir, list_name, list))
		return false;
	if (list->count > 1)
		qsort(list->names, list->count, sizeof(*list->names), compare_names);
	return true;
}

static uint64_t size_of(struct storage *storage, const char *path)
{
	struct storage_file *file = storage->ops->open(storage, path, false);
	if (file == NULL)
		return 0;
	int64_t size = storage->ops->size(file);
	storage->ops->close(file);
	return size < 0 ? 0 : (uint64_t)size;
}

/* Measures all files, and removes the oldest until `bytes_max` is kept; never the newest. */
static void prune(struct keep *keep)
{
	struct file_list list;
	char path[MODULE_LOG_PATH_MAX];
	if (!list_files(keep->storage, keep->dir, &list))
		return;
	uint64_t total = 0;
	for (size_t i = list.count; i-- > 0; ) {
		if (!file_path(keep, list.names[i], "", path))
			break;
		uint64_t size = size_of(keep->storage, path);
		/* From the newest on: the first that is too much goes, and all that are older. */
		if (total + size > keep->bytes_max && i + 1 < list.count) {
			if (!keep->storage->ops->remove(keep->storage, path))
				total += size;
		} else {
			total += size;
		}
	}
	mem_free(list.names);
	atomic_store_explicit(&keep->size, total, memory_order_relaxed);
}

/* A line without its end at the end of the file is closed, so that the next one is not part of it. */
static bool close_last_line(struct keep *keep, struct storage_file *file, int64_t *size)
{
	uint8_t last = '\n';
	if (*size > 0 && keep->storage->ops->read(file, &last, 1, (uint64_t)*size - 1) != 1)
		return false;
	if (last == '\n')
		return true;
	if (!keep->storage->ops->write(file, "\n", 1, (uint64_t)*size))
		return false;
	++*size;
	return true;
}

/* Opens the file of `day` to append to, the previous one set aside if it is full. Sets its size and the keep's
 * place. */
static struct storage_file *file_open(struct keep *keep, int64_t day, size_t more, uint64_t at, int64_t *size)
{
	const struct storage_ops *ops = keep->storage->ops;
	char name[DAY_NAME_MAX], path[MODULE_LOG_PATH_MAX], aside[MODULE_LOG_PATH_MAX];
	day_name(day, name);
	if (!file_path(keep, name, ".log", path) || !file_path(keep, name, ".1.log", aside))
		return NULL;
	if (!keep->made_dir && !ops->make_dirs(keep->storage, keep->dir))
		return NULL;
	keep->made_dir = true;
	struct storage_file *file = ops->open(keep->storage, path, true);
	if (file == NULL)
		return NULL;
	*size = ops->size(file);
	bool same = keep->has_day && keep->day == day && !keep->failing;
	if (*size > 0 && (uint64_t)*size + more > keep->bytes_max / 2) {
		ops->close(file);
		file = ops->rename(keep->storage, path, aside) ? ops->open(keep->storage, path, true) : NULL;
		if (file == NULL)
			return NULL;
		*size = 0;
		same = false;
	}
	if (*size < 0 || (!same && !close_last_line(keep, file, size))) {
		ops->close(file);
		return NULL;
	}
	if (!same) {
		if (!keep->has_day)
			prune(keep);
		keep->start = at;
	}
	keep->has_day = true;
	keep->day = day;
	keep->shift = *size - (int64_t)at;
	return file;
}

/* A keep that failed begins anew with the next lines; nothing of these is promised. */
static void file_write(struct keep *keep, int64_t day, const uint8_t *data, size_t len, uint64_t at)
{
	int64_t size;
	struct storage_file *file = file_open(keep, day, len, at, &size);
	bool ok = file != NULL && keep->storage->ops->write(file, data, len, (uint64_t)size);
	int reason = errno;
	if (file != NULL)
		keep->storage->ops->close(file);
	if (!ok && !keep->failing)
		log_warn("%s: cannot write the module log, its lines are lost until it can be written: %s", keep->dir,
			strerror(reason));
	keep->failing = !ok;
	if (!ok)
		return;
	size_add_to(keep, len);
	if (atomic_load_explicit(&keep->size, memory_order_relaxed) > keep->bytes_max)
		prune(keep);
}

void keep_write(struct keep *keep, const struct lines *lines, uint64_t at)
{
	if (lines->bytes.len == 0)
		return;
	pthread_mutex_lock(&keep->mutex);
	if (keep->dir == NULL) {
		memory_write(keep, lines, at);
	} else {
		size_t done = 0;
		for (uint32_t i = 0; i < lines->run_count; i++) {
			const struct lines_run *run = &lines->runs[i];
			file_write(keep, run->day, lines->bytes.data + done, run->end - done, at + done);
			done = run->end;
		}
	}
	pthread_mutex_unlock(&keep->mutex);
}

/* ---- reading files ---- */

/* The newest day's file of a folder, for which nobody knows a position. */
static bool newest_path(struct storage *storage, const char *dir, char path[MODULE_LOG_PATH_MAX])
{
	struct file_list list;
	bool found = false;
	if (!list_files(storage, dir, &list))
		return false;
	for (size_t i = list.count; i-- > 0 && !found; ) {
		if (strcmp(list.names[i] + DAY_NAME_LEN, ".log") != 0)
			continue;
		int n = snprintf(path, MODULE_LOG_PATH_MAX, "%s/%s", dir, list.names[i]);
		found = n > 0 && n < MODULE_LOG_PATH_MAX;
	}
	mem_free(list.names);
	return found;
}

/* Moves reader->at back from reader->end to where the last `lines` lines begin; cuts an end that is not a line's. */
static bool seek_tail(struct module_log_reader *reader, uint64_t lines)
{
	uint8_t *block = mem_alloc(SCAN_BYTES);
	if (block == NULL) {
		errno = ENOMEM;
		return false;
	}
	uint64_t at = reader->end;
	bool at_end = true, ok = true;
	reader->at = 0;
	while (at > 0) {
		size_t len = size_min(SCAN_BYTES, at);
		at -= len;
		ok = reader->storage->ops->read(reader->file, block, len, at) == (int64_t)len;
		if (!ok)
			break;
		size_t end = len;
		if (at_end) {
			while (end > 0 && block[end - 1] != '\n')
				end--;
			reader->end = at + end;
			at_end = end == 0;
		}
		if (at_end)
			continue;
		if (lines == MODULE_LOG_ALL)
			break;
		size_t begins = tail_begins(block, end, &lines);
		if (begins > 0) {
			reader->at = at + begins;
			break;
		}
	}
	mem_free(block);
	if (reader->at > reader->end)
		reader->at = reader->end;
	return ok;
}

static enum wl_err file_read(const char *path, uint64_t end, uint64_t lines, struct module_log_reader *reader,
	struct error *error)
{
	const struct storage_ops *ops = reader->storage->ops;
	reader->file = ops->open(reader->storage, path, false);
	if (reader->file == NULL)
		return errno == ENOENT ? fail(error, WL_ERR_NOT_FOUND, "no module log") :
			fail_errno(error, WL_ERR_IO, "cannot open %s", path);
	int64_t size = ops->size(reader->file);
	if (size < 0)
		return fail_errno(error, WL_ERR_IO, "cannot read %s", path);
	reader->end = end < (uint64_t)size ? end : (uint64_t)size;
	if (lines == 0)
		reader->end = 0;
	return seek_tail(reader, lines) ? WL_OK : fail_errno(error, WL_ERR_IO, "cannot read %s", path);
}

static struct module_log_reader *reader_create(struct storage *storage)
{
	struct module_log_reader *reader = mem_zalloc(sizeof(*reader));
	if (reader == NULL)
		return NULL;
	reader->storage = storage;
	buf_init(&reader->bytes, SIZE_MAX / 2);
	return reader;
}

static enum wl_err reader_finish(enum wl_err err, struct module_log_reader *reader, struct module_log_reader **out,
	uint64_t *bytes)
{
	if (err != WL_OK) {
		module_log_reader_close(reader);
		return err;
	}
	if (bytes != NULL)
		*bytes = reader->end - reader->at;
	*out = reader;
	return WL_OK;
}

enum wl_err keep_read(struct keep *keep, uint64_t until, uint64_t lines, struct module_log_reader **out,
	uint64_t *bytes, struct error *error)
{
	struct module_log_reader *reader = reader_create(keep->storage);
	if (reader == NULL)
		return fail(error, WL_ERR_MEMORY, "no memory to read a module log");
	char path[MODULE_LOG_PATH_MAX], name[DAY_NAME_MAX];
	enum wl_err err;
	pthread_mutex_lock(&keep->mutex);
	if (keep->dir == NULL) {
		err = memory_read(keep, until, lines, reader, error);
	} else if (keep->has_day) {
		day_name(keep->day, name);
		uint64_t last = until > keep->start ? until : keep->start;
		err = file_path(keep, name, ".log", path) ?
			file_read(path, (uint64_t)((int64_t)last + keep->shift), lines, reader, error) :
			fail(error, WL_ERR_IO, "the path of the module log is too long");
	} else if (newest_path(keep->storage, keep->dir, path)) {
		err = file_read(path, UINT64_MAX, lines, reader, error);
	} else {
		err = fail(error, WL_ERR_NOT_FOUND, "no module log");
	}
	pthread_mutex_unlock(&keep->mutex);
	return reader_finish(err, reader, out, bytes);
}

enum wl_err module_log_read_closed(struct storage *storage, const char *dir, uint64_t lines,
	struct module_log_reader **out, uint64_t *bytes, struct error *error)
{
	storage = storage != NULL ? storage : commitlog_storage_local();
	struct module_log_reader *reader = reader_create(storage);
	if (reader == NULL)
		return fail(error, WL_ERR_MEMORY, "no memory to read a module log");
	char path[MODULE_LOG_PATH_MAX];
	enum wl_err err = newest_path(storage, dir, path) ? file_read(path, UINT64_MAX, lines, reader, error) :
		fail(error, WL_ERR_NOT_FOUND, "no module log");
	return reader_finish(err, reader, out, bytes);
}

size_t module_log_reader_next(struct module_log_reader *reader, void *data, size_t cap)
{
	size_t want = size_min(cap, reader->end - reader->at);
	if (want == 0)
		return 0;
	if (reader->file == NULL) {
		memcpy(data, reader->bytes.data + reader->at, want);
	} else {
		int64_t n = reader->storage->ops->read(reader->file, data, want, reader->at);
		want = n < 0 ? 0 : (size_t)n;
	}
	reader->at += want;
	return want;
}

void module_log_reader_close(struct module_log_reader *reader)
{
	if (reader == NULL)
		return;
	if (reader->file != NULL)
		reader->storage->ops->close(reader->file);
	buf_deinit(&reader->bytes);
	mem_free(reader);
}
