/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATABASE_REBUILD_H
#define DATABASE_REBUILD_H
/*
 * rebuild: the tables of a database at one moment of its history, made from a
 * folder that holds its snapshots/ and log/, without module, clients or
 * executor. One thread, blocking. Nothing in that folder is written.
 *
 * Errors: WL_ERR_NOT_FOUND: no file reaches that moment; WL_ERR_CORRUPT names
 * file and byte; WL_ERR_IO, WL_ERR_MEMORY.
 */
#include "base/buf.h"
#include "commitlog/commitlog.h"

struct database_rebuild {
	struct storage *storage;
	const char *from;
	uint64_t to_offset;   /* the last transaction; COMMITLOG_NONE: all there are */
	int64_t to_micros;    /* none that is later than this; INT64_MAX */
	void (*progress)(void *context, uint64_t offset); /* of what is replayed; may be NULL */
	void *context;
	/* Out. */
	struct identity database, owner;
	uint64_t offset, snapshot; /* of the last transaction; of the snapshot it began with, or COMMITLOG_NONE */
	uint64_t replayed, rows, hash; /* transactions; of all tables; the state hash */
	int64_t micros;
	uint8_t program[32], kind; /* the running one's; enum runtime_kind */
};
struct store;
/* The store is the caller's to destroy. */
enum wl_err database_rebuild(struct database_rebuild *how, struct store **out, struct error *error);
/* Writes such tables as the snapshot that a new folder of `database`, which is `owner`'s, begins with. */
enum wl_err database_rebuild_save(const struct database_rebuild *how, struct store *store,
	const struct identity *database, const struct identity *owner, const char *dir, struct error *error);
#endif
