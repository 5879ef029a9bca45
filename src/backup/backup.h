/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BACKUP_H
#define BACKUP_H
/*
 * backup: a database copied into a folder, beside the host that runs it, and
 * brought back, as it was at its last transaction or at an earlier one.
 *
 * The folder looks like a database's own: log/ and snapshots/, with programs/
 * and backup.toml, which says whose it is. A second backup into the same folder
 * adds what is new. README.md has the layout and the invariants.
 *
 * Threading: one thread, one backup of a folder at a time; all block. Reading a
 * data folder needs no host and disturbs none; restoring holds its lock.
 *
 * Errors: WL_ERR_NOT_FOUND, WL_ERR_EXISTS (with what to do), WL_ERR_CORRUPT
 * with file and byte, WL_ERR_UNAVAILABLE: a host runs on the data folder.
 */
#include "base/buf.h"
#include "database/rebuild.h"

enum { BACKUP_FORMAT_VERSION = 1 };

/* What has been done so far: of a stage, in its unit. May be NULL. */
typedef void (*backup_progress_fn)(void *context, const char *stage, uint64_t done);

struct backup_create {
	const char *data_dir;
	struct str database;      /* name or identity */
	const char *to;           /* made, if need be */
	backup_progress_fn progress;
	void *context;
	/* Out. */
	uint64_t bytes, next;     /* written now; behind the last transaction */
	uint32_t snapshots, segments; /* written now */
};
enum wl_err backup_create(struct backup_create *create, struct error *error);

/* Every snapshot is read and checked, then the whole database is made from the files. `out` says what it is at its last
 * transaction. */
enum wl_err backup_verify(const char *from, backup_progress_fn progress, void *context, struct database_rebuild *out,
	uint32_t *snapshots, struct error *error);

struct backup_restore {
	const char *from, *data_dir;
	uint64_t to_offset;       /* COMMITLOG_NONE: the last one */
	int64_t to_micros;        /* INT64_MAX: whenever */
	const char *name;         /* another database with this name; NULL: the same one under its names */
	bool replaces;            /* the database that is there */
	backup_progress_fn progress;
	void *context;
	struct database_rebuild made; /* out */
	struct identity identity;     /* out: what it is called there */
};
enum wl_err backup_restore(struct backup_restore *restore, struct error *error);
#endif
