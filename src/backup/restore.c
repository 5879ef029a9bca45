/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backup holds made into a database again.
 *
 * Invariants
 *  1. What is restored begins a new line of history: its own snapshot, and a log
 *     that goes on behind it under another id. The backup stays as it is.
 *  2. A database that is replaced goes only when the new one is whole, synced,
 *     and in the control data.
 */
#include "backup/backup_internal.h"
#include "base/mem.h"
#include "host/offline.h"
#include "native.h"
#include "snapshot/snapshot.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>

struct telling {
	backup_progress_fn progress;
	void *context;
};

static void told_offset(void *context, uint64_t offset)
{
	struct telling *t = context;
	if (t->progress != NULL)
		t->progress(t->context, "transactions replayed", offset);
}

static void told_bytes(void *context, uint64_t done, uint64_t of)
{
	struct telling *t = context;
	(void)of;
	if (t->progress != NULL)
		t->progress(t->context, "bytes of a snapshot checked", done);
}

static enum wl_err program_read(const char *dir, const uint8_t hash[32], struct buf *out, struct error *error)
{
	char path[BACKUP_PATH_BYTES];
	uint8_t found[32];
	enum wl_err err = backup_program_path(dir, hash, path, error);
	if (err == WL_OK)
		err = storage_get(commitlog_storage_local(), path, out, error);
	if (err != WL_OK)
		return err;
	native_keccak256(out->data, out->len, found);
	return memcmp(found, hash, 32) == 0 ? WL_OK : fail(error, WL_ERR_CORRUPT, "%s is damaged", path);
}

static enum wl_err check_owner(const struct manifest *manifest, const struct database_rebuild *made, const char *dir,
	struct error *error)
{
	return identity_eq(&manifest->database, &made->database) ? WL_OK
		: fail(error, WL_ERR_CORRUPT, "%s/backup.toml names another database than its files", dir);
}

/* ---- verify ---- */

static enum wl_err verify_snapshots(const char *from, const struct manifest *manifest, struct telling *telling,
	uint32_t *count, struct error *error)
{
	char dir[BACKUP_PATH_BYTES];
	enum wl_err err = backup_path(from, "snapshots", dir, error);
	*count = (uint32_t)(manifest->snapshots.len / 8);
	for (uint32_t i = 0; err == WL_OK && i < *count; i++)
		err = snapshot_verify(commitlog_storage_local(), dir, load_u64(manifest->snapshots.data + 8 * i), told_bytes,
			telling, NULL, error);
	return err;
}

static enum wl_err verify_programs(const char *from, const struct manifest *manifest, struct error *error)
{
	enum wl_err err = WL_OK;
	for (size_t at = 0; err == WL_OK && at < manifest->programs.len; at += 32) {
		struct buf program = BUF_INIT(RUNTIME_PROGRAM_BYTES_MAX);
		err = program_read(from, manifest->programs.data + at, &program, error);
		buf_deinit(&program);
	}
	return err;
}

enum wl_err backup_verify(const char *from, backup_progress_fn progress, void *context, struct database_rebuild *out,
	uint32_t *snapshots, struct error *error)
{
	struct telling telling = { progress, context };
	struct manifest manifest;
	struct store *store = NULL;
	*out = (struct database_rebuild){ .storage = commitlog_storage_local(), .from = from, .to_offset = COMMITLOG_NONE,
		.to_micros = INT64_MAX, .progress = told_offset, .context = &telling };
	enum wl_err err = manifest_read(from, &manifest, error);
	if (err == WL_OK)
		err = verify_snapshots(from, &manifest, &telling, snapshots, error);
	if (err == WL_OK)
		err = verify_programs(from, &manifest, error);
	if (err == WL_OK)
		err = database_rebuild(out, &store, error);
	if (err == WL_OK)
		err = check_owner(&manifest, out, from, error);
	if (err == WL_OK && out->offset + 1 < manifest.next)
		err = fail(error, WL_ERR_CORRUPT, "%s ends at transaction %" PRIu64 ", and should go to %" PRIu64, from,
			out->offset, manifest.next - 1);
	store_destroy(store);
	manifest_deinit(&manifest);
	return err;
}

/* ---- restore ---- */

struct restoring {
	struct backup_restore *restore;
	struct manifest manifest;
	struct store *store;
};

static enum wl_err fill(void *context, const char *folder, struct error *error)
{
	struct restoring *r = context;
	return database_rebuild_save(&r->restore->made, r->store, &r->restore->identity, &r->manifest.owner, folder, error);
}

/* The one that runs then, and the one that a reset would bring back. */
static enum wl_err put_programs(struct restoring *r, struct error *error)
{
	const uint8_t *hashes[] = { r->restore->made.program, r->manifest.initial_program };
	enum wl_err err = WL_OK;
	for (size_t i = 0; err == WL_OK && i < ARRAY_COUNT(hashes); i++) {
		struct buf program = BUF_INIT(RUNTIME_PROGRAM_BYTES_MAX);
		err = program_read(r->restore->from, hashes[i], &program, error);
		if (err == WL_OK)
			err = host_program_put(r->restore->data_dir, hashes[i], buf_bytes(&program), error);
		buf_deinit(&program);
	}
	return err;
}

static enum wl_err adopt(struct restoring *r, struct datadir *dir, struct error *error)
{
	struct backup_restore *restore = r->restore;
	const struct buf *theirs = &r->manifest.names;
	struct str *names = mem_zalloc_array(theirs->len + 1, sizeof(*names));
	struct host_adoption adoption = { .identity = restore->identity, .owner = r->manifest.owner,
		.kind = r->manifest.kind, .names = names, .replaces = restore->replaces, .fill = fill, .context = r };
	if (names == NULL)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	memcpy(adoption.initial_program, r->manifest.initial_program, 32);
	if (restore->name != NULL)
		names[adoption.name_count++] = str_of(restore->name);
	for (size_t at = 0; restore->name == NULL && at < theirs->len; at += names[adoption.name_count++].len + 1)
		names[adoption.name_count] = str_of((const char *)theirs->data + at);
	enum wl_err err = host_adopt(dir, &adoption, error);
	mem_free(names);
	return err;
}

enum wl_err backup_restore(struct backup_restore *restore, struct error *error)
{
	struct telling telling = { restore->progress, restore->context };
	struct restoring r = { .restore = restore };
	struct datadir *dir = NULL;
	restore->made = (struct database_rebuild){ .storage = commitlog_storage_local(), .from = restore->from,
		.to_offset = restore->to_offset, .to_micros = restore->to_micros, .progress = told_offset,
		.context = &telling };
	enum wl_err err = manifest_read(restore->from, &r.manifest, error);
	if (err == WL_OK)
		err = datadir_open(restore->data_dir, &dir, error);
	if (err == WL_OK)
		err = database_rebuild(&restore->made, &r.store, error);
	if (err == WL_OK)
		err = check_owner(&r.manifest, &restore->made, restore->from, error);
	restore->identity = restore->made.database;
	if (restore->name != NULL)
		host_identity_create(&restore->identity);
	if (err == WL_OK)
		err = put_programs(&r, error);
	if (err == WL_OK)
		err = adopt(&r, dir, error);
	store_destroy(r.store);
	datadir_close(dir);
	manifest_deinit(&r.manifest);
	return err;
}
