/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BACKUP_INTERNAL_H
#define BACKUP_INTERNAL_H
/* Inside the room: the manifest, backup.toml (manifest.c), and the files beside it. */
#include "backup/backup.h"
#include "runtime/runtime.h"

enum { BACKUP_PATH_BYTES = 4096, BACKUP_PROGRAMS_MAX = 4096, BACKUP_SNAPSHOTS_MAX = 4096 };

struct manifest {
	struct identity database, owner;
	enum runtime_kind kind;
	uint8_t initial_program[32];
	struct buf names;      /* each ended by a zero byte */
	struct buf programs;   /* hashes, back to back */
	struct buf snapshots;  /* u64 each: offsets of those that are whole; other files only have pages of theirs */
	uint64_t log;          /* the log's id: a line of history */
	uint64_t next;         /* behind the last transaction that was checked */
};
void manifest_deinit(struct manifest *manifest);
/* WL_ERR_NOT_FOUND: there is none. */
enum wl_err manifest_read(const char *dir, struct manifest *out, struct error *error);
enum wl_err manifest_write(const char *dir, const struct manifest *manifest, struct error *error);
/* False: no memory, or too many. */
bool manifest_add_program(struct manifest *manifest, const uint8_t hash[32]);
bool manifest_add_snapshot(struct manifest *manifest, uint64_t offset);

/* DIR/PART; WL_ERR_LIMIT. */
enum wl_err backup_path(const char *dir, const char *part, char out[BACKUP_PATH_BYTES], struct error *error);
/* DIR/programs/HASH. */
enum wl_err backup_program_path(const char *dir, const uint8_t hash[32], char out[BACKUP_PATH_BYTES],
	struct error *error);
#endif
