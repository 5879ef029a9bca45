/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPSHOT_INTERNAL_H
#define SNAPSHOT_INTERNAL_H
/* What the files of the room share: the format (format.c) and reading files through a window (file.c). */
#include "base/mem.h"
#include "snapshot/snapshot.h"

enum {
	HEADER_BYTES = 64,
	TRAILER_BYTES = 32,
	PAGE_REF_BYTES = 28,
	WINDOW_BYTES = 1 << 20,
	PATH_BYTES = 4096,
	NAME_BYTES = 32,
	PAGE_BYTES_MAX = 1 << 30, /* of one page's image */
};

/* ---- format.c: bytes, all little-endian; README.md draws them ---- */
struct file_header {
	uint64_t id; /* random: which file this is, whatever its name */
	uint64_t offset;
	struct identity database;
};
struct trailer {
	uint64_t contents_at, contents_len;
	uint32_t contents_crc;
};
struct page_ref {
	uint64_t at, checksum;
	uint32_t len, crc; /* len 0: no rows */
	uint16_t file, rows;
};
struct contents_table {
	struct bytes def; /* empty: a system table */
	uint32_t id, page_slots, page_count;
	uint64_t rows, checksum;
	struct page_ref *pages;
};
struct contents_file {
	uint64_t offset, id;
};
/* What a snapshot consists of. files[0] is its own. */
struct contents {
	int64_t micros;
	struct contents_file files[SNAPSHOT_FILES_MAX];
	uint32_t file_count, table_count;
	struct contents_table *tables;
	struct buf bytes; /* that `def`s point into */
};
void header_encode(const struct file_header *header, uint8_t out[HEADER_BYTES]);
/* `path` is for the text only. */
enum wl_err header_decode(const uint8_t *data, size_t len, const char *path, struct file_header *out,
	struct error *error);
void trailer_encode(const struct trailer *trailer, uint64_t id, uint8_t out[TRAILER_BYTES]);
bool trailer_decode(const uint8_t data[TRAILER_BYTES], uint64_t id, struct trailer *out);
void contents_encode(const struct contents *contents, struct buf *out);
/* Takes the bytes of `contents->bytes` for what they say. Pages are within `size`, where they lie in files[0]. */
enum wl_err contents_decode(struct contents *contents, uint64_t size); /* WL_ERR_CORRUPT, WL_ERR_MEMORY */
void contents_deinit(struct contents *contents);

/* ---- file.c ---- */
/* A file read front to back with leaps: a window of it is in memory. */
struct window {
	struct storage_file *file; /* NULL: not open */
	struct storage *storage;
	char path[PATH_BYTES];
	uint64_t size, at; /* of the file; where the window begins */
	struct buf bytes;
};
/* A snapshot that is being read. */
struct reading {
	struct storage *storage;
	const char *dir;
	struct file_header header;
	struct contents contents;
	struct window windows[SNAPSHOT_FILES_MAX]; /* of contents.files */
	struct error *error;
};
enum wl_err window_open(struct window *window, struct storage *storage, const char *path, struct error *error);
void window_close(struct window *window);
/* Valid until the next call for this window. */
enum wl_err window_get(struct window *window, uint64_t at, size_t len, const uint8_t **out, struct error *error);
/* Opens the snapshot's own file, reads its contents. Close it in any case. */
enum wl_err reading_open(struct reading *reading, struct storage *storage, const char *dir, uint64_t offset,
	struct error *error);
void reading_close(struct reading *reading);
/* The bytes of a page's image, their CRC checked; opens the file they are in. */
enum wl_err reading_page(struct reading *reading, const struct page_ref *ref, struct bytes *out);
#endif
