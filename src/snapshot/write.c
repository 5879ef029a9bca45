/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a snapshot: pages that changed into a file of its own, the others
 * named where they lie.
 *
 * Invariants:
 *  1. A file gets its name when it is whole, synced, and was read back; a crash
 *     before that leaves only a file under the temporary name.
 *  2. It is written in pieces that are synced as it goes, so that the log's
 *     syncs never wait for all of it at once.
 *  3. A file of which little is still used is not taken from any more, nor are
 *     those with the least in use if there would be too many: those pages are
 *     written again.
 */
#include "base/clock.h"
#include "native.h"
#include "snapshot/snapshot_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum { PIECE_BYTES = 1 << 20, SYNC_BYTES = 4 << 20 };

struct writer {
	struct snapshot_writing *w;
	struct storage_file *file;
	char temp[PATH_BYTES], path[PATH_BYTES];
	uint64_t at, unsynced; /* where `piece` goes */
	struct buf piece;
	struct reading base;   /* contents.tables NULL: none */
	uint16_t shared[SNAPSHOT_FILES_MAX]; /* the base's file i is our file shared[i]; 0: not taken from */
	struct contents contents;
	uint64_t id;
	struct error *error;
};

static enum wl_err refused(struct writer *x)
{
	return fail(x->error, WL_ERR_UNAVAILABLE, "%s is not wanted any more", x->path);
}

static enum wl_err no_memory(struct writer *x)
{
	return fail(x->error, WL_ERR_MEMORY, "no memory to write %s", x->path);
}

static enum wl_err sync_file(struct writer *x)
{
	x->unsynced = 0;
	return x->w->storage->ops->sync(x->file) ? WL_OK : fail_errno(x->error, WL_ERR_IO, "cannot sync %s", x->temp);
}

static enum wl_err flush(struct writer *x)
{
	if (x->piece.failed)
		return no_memory(x);
	if (x->piece.len == 0)
		return WL_OK;
	if (!x->w->storage->ops->write(x->file, x->piece.data, x->piece.len, x->at))
		return fail_errno(x->error, WL_ERR_IO, "cannot write %s", x->temp);
	x->at += x->piece.len;
	x->unsynced += x->piece.len;
	x->w->bytes = x->at;
	buf_clear(&x->piece);
	if (x->w->wanted != NULL && !x->w->wanted(x->w->context))
		return refused(x);
	return x->unsynced >= SYNC_BYTES ? sync_file(x) : WL_OK;
}

/* ---- what is shared ---- */

/* How much of each of the base's files its pages use. */
static void count_use(const struct contents *base, uint64_t used[SNAPSHOT_FILES_MAX])
{
	for (uint32_t t = 0; t < base->table_count; t++)
		for (uint32_t p = 0; p < base->tables[t].page_count; p++)
			used[base->tables[t].pages[p].file] += base->tables[t].pages[p].len;
}

static void share_file(struct writer *x, uint32_t of_base)
{
	x->shared[of_base] = (uint16_t)x->contents.file_count;
	x->contents.files[x->contents.file_count++] = x->base.contents.files[of_base];
}

static bool is_mostly_used(const struct writer *x, uint64_t offset, uint64_t used)
{
	char path[PATH_BYTES];
	struct window window;
	struct error why;
	if (!snapshot_path(x->w->dir, offset, path, sizeof(path)))
		return false;
	bool is = window_open(&window, x->w->storage, path, &why) == WL_OK && used > window.size / 2;
	window_close(&window);
	return is;
}

/* Files that are mostly used, those with the most in use first, while there is room. */
static void choose_files(struct writer *x)
{
	uint64_t used[SNAPSHOT_FILES_MAX] = { 0 };
	const struct contents *base = &x->base.contents;
	count_use(base, used);
	while (x->contents.file_count < SNAPSHOT_FILES_MAX) {
		uint32_t most = 0;
		for (uint32_t i = 1; i < base->file_count; i++)
			if (used[i] > used[most])
				most = i;
		if (used[most] == 0)
			break;
		if (is_mostly_used(x, base->files[most].offset, used[most]))
			share_file(x, most);
		used[most] = 0;
	}
}

static enum wl_err open_base(struct writer *x)
{
	struct error why;
	x->contents.files[0] = (struct contents_file){ x->w->offset, x->id };
	x->contents.file_count = 1;
	x->base = (struct reading){ 0 };
	if (x->w->base_offset == COMMITLOG_NONE || x->w->base_offset >= x->w->offset)
		return WL_OK;
	enum wl_err err = reading_open(&x->base, x->w->storage, x->w->dir, x->w->base_offset, &why);
	if (err == WL_ERR_MEMORY)
		return no_memory(x);
	if (err != WL_OK || !identity_eq(&x->base.header.database, &x->w->database)) {
		reading_close(&x->base);
		return WL_OK;
	}
	choose_files(x);
	return WL_OK;
}

static const struct contents_table *base_table(const struct writer *x, const struct contents_table *table)
{
	for (uint32_t i = 0; i < x->base.contents.table_count; i++) {
		const struct contents_table *base = &x->base.contents.tables[i];
		if (base->id == table->id)
			return base->page_slots == table->page_slots ? base : NULL;
	}
	return NULL;
}

/* ---- pages ---- */

static bool page_share(struct writer *x, const struct contents_table *base, uint32_t page, struct page_ref *out)
{
	if (base == NULL || page >= base->page_count || base->pages[page].len == 0 ||
		x->shared[base->pages[page].file] == 0)
		return false;
	*out = base->pages[page];
	out->file = x->shared[out->file];
	x->w->pages_shared++;
	return true;
}

static enum wl_err page_write(struct writer *x, const struct store_table *table, uint32_t page, struct page_ref *out)
{
	size_t before = x->piece.len;
	uint32_t rows = store_image_put(table, page, &x->piece, &out->checksum);
	if (x->piece.failed || x->piece.len - before > PAGE_BYTES_MAX)
		return no_memory(x);
	if (rows == 0)
		return WL_OK;
	out->at = x->at + before;
	out->len = (uint32_t)(x->piece.len - before);
	out->crc = native_crc32c(0, x->piece.data + before, out->len);
	out->rows = (uint16_t)rows;
	return x->piece.len >= PIECE_BYTES ? flush(x) : WL_OK;
}

static enum wl_err table_write(struct writer *x, const struct snapshot_table *from, struct contents_table *to)
{
	*to = (struct contents_table){ .def = from->def, .id = store_table_def(from->table)->id,
		.page_slots = store_image_page_slots(from->table) };
	uint32_t pages = store_image_pages(from->table);
	to->pages = mem_zalloc_array((size_t)pages + 1, sizeof(*to->pages));
	if (to->pages == NULL)
		return no_memory(x);
	to->page_count = pages;
	const struct contents_table *base = base_table(x, to);
	for (uint32_t p = 0; p < pages; p++) {
		struct page_ref *page = &to->pages[p];
		bool same = !store_image_changed(from->table, p, x->w->base_generation);
		if (!same || !page_share(x, base, p, page)) {
			enum wl_err err = page_write(x, from->table, p, page);
			if (err != WL_OK)
				return err;
		}
		to->rows += page->rows;
		to->checksum += page->checksum;
		x->w->bytes_used += page->len;
		x->w->pages++;
	}
	x->w->rows += to->rows;
	if (to->rows != store_table_row_count(from->table)) /* never to be believed: better none than that one */
		return fail(x->error, WL_ERR_CORRUPT, "%s: the pages of table %u have %" PRIu64 " rows, and it has %" PRIu64,
			x->path, to->id, to->rows, (uint64_t)store_table_row_count(from->table));
	return WL_OK;
}

/* ---- the file ---- */

static enum wl_err head_write(struct writer *x)
{
	struct file_header header = { .id = x->id, .offset = x->w->offset, .database = x->w->database };
	uint8_t bytes[HEADER_BYTES];
	header_encode(&header, bytes);
	buf_put(&x->piece, bytes, sizeof(bytes));
	x->contents.micros = x->w->micros;
	x->contents.tables = mem_zalloc_array((size_t)x->w->table_count + 1, sizeof(*x->contents.tables));
	return x->contents.tables == NULL ? no_memory(x) : WL_OK;
}

static enum wl_err tail_write(struct writer *x)
{
	enum wl_err err = flush(x);
	if (err != WL_OK)
		return err;
	struct trailer trailer = { .contents_at = x->at };
	contents_encode(&x->contents, &x->piece);
	trailer.contents_len = x->piece.len;
	if (x->piece.failed)
		return no_memory(x);
	trailer.contents_crc = native_crc32c(0, x->piece.data, x->piece.len);
	uint8_t bytes[TRAILER_BYTES];
	trailer_encode(&trailer, x->id, bytes);
	buf_put(&x->piece, bytes, sizeof(bytes));
	err = flush(x);
	return err == WL_OK ? sync_file(x) : err;
}

/* Read again, under its temporary name: is it what was meant? */
static enum wl_err read_back(struct writer *x)
{
	struct window window;
	enum wl_err err = window_open(&window, x->w->storage, x->temp, x->error);
	const uint8_t *bytes;
	for (uint32_t t = 0; t < x->contents.table_count && err == WL_OK; t++) {
		const struct contents_table *table = &x->contents.tables[t];
		for (uint32_t p = 0; p < table->page_count && err == WL_OK; p++) {
			const struct page_ref *page = &table->pages[p];
			if (page->file != 0 || page->len == 0)
				continue;
			err = window_get(&window, page->at, page->len, &bytes, x->error);
			if (err == WL_OK && native_crc32c(0, bytes, page->len) != page->crc)
				err = fail(x->error, WL_ERR_CORRUPT, "%s: byte %" PRIu64 ": what was written is not what is read",
					x->temp, page->at);
		}
	}
	window_close(&window);
	return err;
}

static enum wl_err write_all(struct writer *x)
{
	const struct storage_ops *ops = x->w->storage->ops;
	if (!ops->truncate(x->file, 0))
		return fail_errno(x->error, WL_ERR_IO, "cannot write %s", x->temp);
	enum wl_err err = head_write(x);
	for (uint32_t i = 0; i < x->w->table_count && err == WL_OK; i++) {
		x->contents.table_count = i + 1;
		err = table_write(x, &x->w->tables[i], &x->contents.tables[i]);
	}
	return err == WL_OK ? tail_write(x) : err;
}

static enum wl_err write_and_name(struct writer *x)
{
	struct storage *storage = x->w->storage;
	x->file = storage->ops->open(storage, x->temp, true);
	if (x->file == NULL)
		return fail_errno(x->error, WL_ERR_IO, "cannot make %s", x->temp);
	enum wl_err err = write_all(x);
	storage->ops->close(x->file);
	if (err == WL_OK)
		err = read_back(x);
	if (err == WL_OK && x->w->may_appear != NULL && !x->w->may_appear(x->w->context))
		err = refused(x);
	if (err == WL_OK && !storage->ops->rename(storage, x->temp, x->path))
		err = fail_errno(x->error, WL_ERR_IO, "cannot rename %s", x->temp);
	if (err != WL_OK)
		(void)storage->ops->remove(storage, x->temp);
	return err;
}

enum wl_err snapshot_write(struct snapshot_writing *w, struct error *error)
{
	struct writer x = { .w = w, .piece = BUF_INIT((size_t)SNAPSHOT_CONTENTS_BYTES_MAX + PAGE_BYTES_MAX),
		.id = random_u64(), .error = error };
	w->bytes = w->bytes_used = w->pages = w->pages_shared = w->rows = 0;
	if (!snapshot_path(w->dir, w->offset, x.path, sizeof(x.path)) ||
		snprintf(x.temp, sizeof(x.temp), "%s/new.wsnap.tmp", w->dir) >= (int)sizeof(x.temp))
		return fail(error, WL_ERR_LIMIT, "the path %.64s… is too long", w->dir);
	if (!w->storage->ops->make_dirs(w->storage, w->dir))
		return fail_errno(error, WL_ERR_IO, "cannot make %s", w->dir);
	enum wl_err err = open_base(&x);
	if (err == WL_OK)
		err = write_and_name(&x);
	reading_close(&x.base);
	contents_deinit(&x.contents);
	buf_deinit(&x.piece);
	return err;
}
