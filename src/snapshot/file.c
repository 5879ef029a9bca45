/* SPDX-License-Identifier: Apache-2.0 */
/* Files of snapshots: their names, and reading them through windows. */
#include "native.h"
#include "snapshot/snapshot_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool snapshot_path(const char *dir, uint64_t offset, char *out, size_t size)
{
	int n = snprintf(out, size, "%s/%020" PRIu64 ".wsnap", dir, offset);
	return n > 0 && (size_t)n < size;
}

/* ---- windows ---- */

enum wl_err window_open(struct window *window, struct storage *storage, const char *path, struct error *error)
{
	*window = (struct window){ .storage = storage, .bytes = BUF_INIT((size_t)PAGE_BYTES_MAX + WINDOW_BYTES) };
	snprintf(window->path, sizeof(window->path), "%s", path);
	window->file = storage->ops->open(storage, path, false);
	if (window->file == NULL)
		return errno == ENOENT ? fail(error, WL_ERR_NOT_FOUND, "%s does not exist", path)
			: fail_errno(error, WL_ERR_IO, "cannot open %s", path);
	int64_t size = storage->ops->size(window->file);
	if (size < 0)
		return fail_errno(error, WL_ERR_IO, "cannot read %s", path);
	window->size = (uint64_t)size;
	return WL_OK;
}

void window_close(struct window *window)
{
	if (window->file != NULL)
		window->storage->ops->close(window->file);
	window->file = NULL;
	buf_deinit(&window->bytes);
}

enum wl_err window_get(struct window *window, uint64_t at, size_t len, const uint8_t **out, struct error *error)
{
	if (at > window->size || len > window->size - at)
		return fail(error, WL_ERR_CORRUPT, "%s: byte %" PRIu64 ": the file ends early", window->path, at);
	if (at < window->at || at - window->at > window->bytes.len || len > window->bytes.len - (at - window->at)) {
		size_t want = (size_t)(window->size - at < WINDOW_BYTES ? window->size - at : WINDOW_BYTES);
		buf_clear(&window->bytes);
		window->at = at;
		uint8_t *to = buf_extend(&window->bytes, size_max(want, len));
		if (to == NULL)
			return fail(error, WL_ERR_MEMORY, "no memory to read %s", window->path);
		int64_t n = window->storage->ops->read(window->file, to, window->bytes.len, at);
		if (n != (int64_t)window->bytes.len) {
			buf_clear(&window->bytes);
			return n < 0 ? fail_errno(error, WL_ERR_IO, "cannot read %s", window->path)
				: fail(error, WL_ERR_CORRUPT, "%s: byte %" PRIu64 ": the file ends early", window->path, at);
		}
	}
	*out = window->bytes.data + (at - window->at);
	return WL_OK;
}

/* ---- a snapshot that is being read ---- */

static enum wl_err damaged(const struct window *window, uint64_t at, const char *what, struct error *error)
{
	return fail(error, WL_ERR_CORRUPT, "%s: byte %" PRIu64 ": %s", window->path, at, what);
}

static enum wl_err read_header(struct window *window, struct file_header *header, struct error *error)
{
	const uint8_t *bytes;
	if (window->size < HEADER_BYTES + TRAILER_BYTES)
		return damaged(window, 0, "the file ends early", error);
	enum wl_err err = window_get(window, 0, HEADER_BYTES, &bytes, error);
	return err == WL_OK ? header_decode(bytes, HEADER_BYTES, window->path, header, error) : err;
}

static enum wl_err read_contents(struct reading *reading)
{
	struct window *window = &reading->windows[0];
	struct contents *contents = &reading->contents;
	struct trailer trailer;
	const uint8_t *bytes;
	uint64_t trailer_at = window->size - TRAILER_BYTES;
	enum wl_err err = window_get(window, trailer_at, TRAILER_BYTES, &bytes, reading->error);
	if (err != WL_OK)
		return err;
	if (!trailer_decode(bytes, reading->header.id, &trailer))
		return damaged(window, trailer_at, "the trailer's checksum does not match", reading->error);
	if (trailer.contents_at > trailer_at || trailer.contents_len != trailer_at - trailer.contents_at ||
		trailer.contents_len == 0 || trailer.contents_len > SNAPSHOT_CONTENTS_BYTES_MAX)
		return damaged(window, trailer_at, "the trailer makes no sense", reading->error);
	buf_init(&contents->bytes, SNAPSHOT_CONTENTS_BYTES_MAX);
	err = window_get(window, trailer.contents_at, (size_t)trailer.contents_len, &bytes, reading->error);
	if (err != WL_OK)
		return err;
	buf_put(&contents->bytes, bytes, (size_t)trailer.contents_len);
	if (contents->bytes.failed)
		return fail(reading->error, WL_ERR_MEMORY, "no memory to read %s", window->path);
	if (native_crc32c(0, contents->bytes.data, contents->bytes.len) != trailer.contents_crc)
		return damaged(window, trailer.contents_at, "the checksum of the contents does not match", reading->error);
	err = contents_decode(contents, trailer.contents_at);
	if (err == WL_ERR_MEMORY)
		return fail(reading->error, err, "no memory to read %s", window->path);
	return err == WL_OK && contents->files[0].id == reading->header.id ? WL_OK
		: damaged(window, trailer.contents_at, "the contents make no sense", reading->error);
}

enum wl_err reading_open(struct reading *reading, struct storage *storage, const char *dir, uint64_t offset,
	struct error *error)
{
	char path[PATH_BYTES];
	*reading = (struct reading){ .storage = storage, .dir = dir, .error = error };
	if (!snapshot_path(dir, offset, path, sizeof(path)))
		return fail(error, WL_ERR_LIMIT, "the path %.64s… is too long", dir);
	enum wl_err err = window_open(&reading->windows[0], storage, path, error);
	if (err == WL_OK)
		err = read_header(&reading->windows[0], &reading->header, error);
	if (err == WL_OK && reading->header.offset != offset)
		err = damaged(&reading->windows[0], 24, "the file is another offset's", error);
	return err == WL_OK ? read_contents(reading) : err;
}

void reading_close(struct reading *reading)
{
	for (uint32_t i = 0; i < SNAPSHOT_FILES_MAX; i++)
		window_close(&reading->windows[i]);
	contents_deinit(&reading->contents);
}

/* Another snapshot's file: is it the one that was meant? */
static enum wl_err open_other(struct reading *reading, uint32_t i)
{
	const struct contents_file *file = &reading->contents.files[i];
	char path[PATH_BYTES];
	struct file_header header;
	if (!snapshot_path(reading->dir, file->offset, path, sizeof(path)))
		return fail(reading->error, WL_ERR_LIMIT, "the path %.64s… is too long", reading->dir);
	enum wl_err err = window_open(&reading->windows[i], reading->storage, path, reading->error);
	if (err == WL_OK)
		err = read_header(&reading->windows[i], &header, reading->error);
	if (err == WL_OK && header.id != file->id)
		err = fail(reading->error, WL_ERR_CORRUPT, "%s is not the file that %s takes pages from", path,
			reading->windows[0].path);
	return err;
}

enum wl_err reading_page(struct reading *reading, const struct page_ref *ref, struct bytes *out)
{
	struct window *window = &reading->windows[ref->file];
	enum wl_err err = window->file == NULL ? open_other(reading, ref->file) : WL_OK;
	if (err == WL_OK)
		err = window_get(window, ref->at, ref->len, &out->data, reading->error);
	if (err != WL_OK)
		return err;
	out->len = ref->len;
	if (native_crc32c(0, out->data, out->len) != ref->crc)
		return damaged(window, ref->at, "a page's checksum does not match", reading->error);
	return WL_OK;
}

/* ---- lists ---- */

struct listing {
	uint64_t *offsets;
	uint32_t count, cap;
	bool failed;
};

static void list_name(void *context, const char *name)
{
	struct listing *l = context;
	uint64_t offset = 0;
	int digits = 0;
	for (; name[digits] >= '0' && name[digits] <= '9' && digits < 20; digits++)
		offset = offset * 10 + (uint64_t)(name[digits] - '0');
	if (digits != 20 || strcmp(name + 20, ".wsnap") != 0 || l->failed)
		return;
	if (l->count == l->cap) {
		uint32_t cap = l->cap == 0 ? 8 : l->cap * 2;
		uint64_t *offsets = mem_realloc(l->offsets, cap * sizeof(*offsets));
		l->failed = offsets == NULL;
		if (l->failed)
			return;
		l->offsets = offsets;
		l->cap = cap;
	}
	l->offsets[l->count++] = offset;
}

static int newest_first(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x < y) - (x > y);
}

enum wl_err snapshot_list(struct storage *storage, const char *dir, uint64_t **offsets, uint32_t *count,
	struct error *error)
{
	struct listing listing = { 0 };
	*offsets = NULL;
	*count = 0;
	bool ok = storage->ops->list(storage, dir, list_name, &listing);
	if (!ok || listing.failed) {
		mem_free(listing.offsets);
		return !ok ? fail_errno(error, WL_ERR_IO, "cannot list %s", dir)
			: fail(error, WL_ERR_MEMORY, "out of memory");
	}
	if (listing.count > 0)
		qsort(listing.offsets, listing.count, sizeof(*listing.offsets), newest_first);
	*offsets = listing.offsets;
	*count = listing.count;
	return WL_OK;
}

enum wl_err snapshot_files(struct storage *storage, const char *dir, uint64_t offset,
	uint64_t files[SNAPSHOT_FILES_MAX], uint32_t *count, struct error *error)
{
	struct reading reading;
	enum wl_err err = reading_open(&reading, storage, dir, offset, error);
	*count = 0;
	for (uint32_t i = 0; err == WL_OK && i < reading.contents.file_count; i++)
		files[(*count)++] = reading.contents.files[i].offset;
	reading_close(&reading);
	return err;
}
