/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H
/*
 * snapshot: the tables of a database at one offset of its log, as files.
 *
 * A snapshot is one file, `<dir>/<offset, twenty digits>.wsnap`; pages that did
 * not change since an earlier one lie in that one's file, which it names. It
 * appears under its name when it is whole, synced, read back and found good,
 * and when the log has everything up to its offset: what is named is to be
 * believed, and checked again when it is read.
 *
 * Threading: one writer or remover of a directory at a time, any thread; readers
 * any time before databases open. Nothing here knows the executor: what it
 * writes is a store_snapshot's tables.
 *
 * Errors: WL_ERR_IO the storage's, WL_ERR_CORRUPT with file and byte,
 * WL_ERR_UNSUPPORTED another format version, WL_ERR_MEMORY. A failed writer
 * leaves what was there before. README.md has the format and its invariants.
 */
#include "commitlog/commitlog.h"
#include "store/store.h"

enum {
	SNAPSHOT_FORMAT_VERSION = 1,
	SNAPSHOT_KEPT = 2,              /* how many good ones snapshot_retain keeps, unless told otherwise */
	SNAPSHOT_FILES_MAX = 8,         /* that one may take pages from, itself included */
	SNAPSHOT_CONTENTS_BYTES_MAX = 1 << 30,
};

struct snapshot_table {
	const struct store_table *table; /* of a store_snapshot */
	struct bytes def;                /* store_table_encode; empty: a system table */
};
struct snapshot_writing {
	struct storage *storage;
	const char *dir;                 /* made if it is not there */
	struct identity database;
	uint64_t offset;                 /* of the last transaction in the tables */
	int64_t micros;                  /* its timestamp */
	const struct snapshot_table *tables; /* by ascending id */
	uint32_t table_count;
	/* The snapshot to take unchanged pages from, and the generation that ended when it was taken. COMMITLOG_NONE: none;
	 * one that cannot be read is as none. */
	uint64_t base_offset;
	uint32_t base_generation;
	/* Is it still wanted? Asked now and then. */
	bool (*wanted)(void *context);
	/* [blocking] The file is ready: may it have its name (is the log durable up to `offset`)? */
	bool (*may_appear)(void *context);
	void *context;
	/* Out. bytes: of its file; bytes_used: of all pages that it consists of. */
	uint64_t bytes, bytes_used, pages, pages_shared, rows;
};
/* [blocking] WL_ERR_UNAVAILABLE: not wanted any more, or it may not appear. */
enum wl_err snapshot_write(struct snapshot_writing *writing, struct error *error);

/* Offsets of the snapshots there are, newest first; what they hold is not looked at. mem_free(*offsets). An absent
 * directory has none. */
enum wl_err snapshot_list(struct storage *storage, const char *dir, uint64_t **offsets, uint32_t *count,
	struct error *error);

struct snapshot_info {
	struct identity database;
	uint64_t offset, rows, bytes; /* bytes: of its own file */
	int64_t micros;
	uint32_t tables, files;
};
/* Reads a snapshot into a store that was just created, indexes included; then store_generation_next is due. After a
 * failure the store is of no more use. [blocking] */
enum wl_err snapshot_load(struct storage *storage, const char *dir, uint64_t offset, struct store *store,
	struct snapshot_info *info, struct error *error);
/* As snapshot_load, but of one system table alone, without its indexes. [blocking] */
enum wl_err snapshot_load_table(struct storage *storage, const char *dir, uint64_t offset, uint32_t table,
	struct store *store, struct snapshot_info *info, struct error *error);
/* Reads all that it consists of and checks it, except keys. `progress` (may be NULL) hears of bytes. [blocking] */
enum wl_err snapshot_verify(struct storage *storage, const char *dir, uint64_t offset,
	void (*progress)(void *context, uint64_t done, uint64_t of), void *context, struct snapshot_info *info,
	struct error *error);
/* The offsets of the files that it consists of, its own first. */
enum wl_err snapshot_files(struct storage *storage, const char *dir, uint64_t offset,
	uint64_t files[SNAPSHOT_FILES_MAX], uint32_t *count, struct error *error);
/* `<dir>/<offset>.wsnap`; false: it is too long. */
bool snapshot_path(const char *dir, uint64_t offset, char *out, size_t size);

/*
 * Keeps the newest `keep` snapshots that are good by their contents, and whatever they take pages from; removes the
 * others and what a crash left of unfinished ones. Damaged ones stay. *oldest: of those that are kept, COMMITLOG_NONE:
 * there is none. `pinned` (may be COMMITLOG_NONE): snapshots from this offset on stay, too. [blocking]
 */
enum wl_err snapshot_retain(struct storage *storage, const char *dir, uint32_t keep, uint64_t pinned,
	uint64_t *oldest, struct error *error);
uint64_t snapshot_bytes(struct storage *storage, const char *dir); /* of all files in it */
#endif
