/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying a database, beside the host that writes it.
 *
 * Snapshots do not change once they have their names, and a log is copied as
 * far as it is whole, so nobody has to be asked to hold still. What retention
 * removes meanwhile is noticed, and the copy begins again with what is newer.
 *
 * Invariants
 *  1. The manifest is written last: what it says is in the folder, and checked.
 *  2. From the newest snapshot on, the log has every transaction.
 *  3. Every program that a transaction in the folder made the running one is
 *     there, and so is the one that runs at each snapshot.
 */
#include "backup/backup_internal.h"
#include "base/mem.h"
#include "database/record.h"
#include "host/offline.h"
#include "snapshot/snapshot.h"
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { ATTEMPTS = 20, PIECE_BYTES = 4 << 20 };

struct creating {
	struct backup_create *create;
	struct storage *storage;
	struct host_found found;
	struct manifest manifest, before; /* before: of the backup that is there; next 0: none is */
	char from_log[BACKUP_PATH_BYTES], from_snapshots[BACKUP_PATH_BYTES], log[BACKUP_PATH_BYTES],
		snapshots[BACKUP_PATH_BYTES];
	uint64_t snapshot;   /* the newest, or COMMITLOG_NONE */
	bool again;          /* files were removed meanwhile */
	/* Checking the log. */
	uint64_t expected, needed;
	enum wl_err err;
	struct error *error;
};

static void tell(struct creating *c, const char *stage, uint64_t done)
{
	if (c->create->progress != NULL)
		c->create->progress(c->create->context, stage, done);
}

/* ---- snapshots ---- */

static enum wl_err copy_bytes(struct creating *c, struct storage_file *in, const char *from, const char *to,
	uint64_t size)
{
	const struct storage_ops *ops = c->storage->ops;
	uint8_t *piece = mem_alloc(PIECE_BYTES);
	struct storage_file *out = piece == NULL ? NULL : ops->open(c->storage, to, true);
	enum wl_err err = piece == NULL ? fail(c->error, WL_ERR_MEMORY, "out of memory") : WL_OK;
	if (err == WL_OK && (out == NULL || !ops->truncate(out, 0)))
		err = fail_errno(c->error, WL_ERR_IO, "cannot write %s", to);
	for (uint64_t at = 0; at < size && err == WL_OK;) {
		int64_t n = ops->read(in, piece, size_min(PIECE_BYTES, size - at), at);
		if (n <= 0)
			err = fail_errno(c->error, WL_ERR_IO, "cannot read %s", from);
		else if (!ops->write(out, piece, (size_t)n, at))
			err = fail_errno(c->error, WL_ERR_IO, "cannot write %s", to);
		at += n > 0 ? (uint64_t)n : 0;
		c->create->bytes += n > 0 ? (uint64_t)n : 0;
		tell(c, "bytes copied", c->create->bytes);
	}
	if (err == WL_OK && !ops->sync(out))
		err = fail_errno(c->error, WL_ERR_IO, "cannot sync %s", to);
	if (out != NULL)
		ops->close(out);
	mem_free(piece);
	return err;
}

static enum wl_err open_file(struct creating *c, uint64_t offset, struct storage_file **out)
{
	char path[BACKUP_PATH_BYTES];
	if (!snapshot_path(c->from_snapshots, offset, path, sizeof(path)))
		return fail(c->error, WL_ERR_LIMIT, "the path %.64s… is too long", c->from_snapshots);
	*out = c->storage->ops->open(c->storage, path, false);
	if (*out != NULL)
		return WL_OK;
	c->again = errno == ENOENT;
	return fail_errno(c->error, WL_ERR_IO, "cannot read %s", path);
}

/* A snapshot's file, unless it is there. */
static enum wl_err copy_file(struct creating *c, struct storage_file *in, uint64_t offset)
{
	const struct storage_ops *ops = c->storage->ops;
	char from[BACKUP_PATH_BYTES], to[BACKUP_PATH_BYTES], temp[BACKUP_PATH_BYTES];
	if (!snapshot_path(c->from_snapshots, offset, from, sizeof(from)) ||
		!snapshot_path(c->snapshots, offset, to, sizeof(to)) ||
		snprintf(temp, sizeof(temp), "%s/new.tmp", c->snapshots) >= (int)sizeof(temp))
		return fail(c->error, WL_ERR_LIMIT, "the path %.64s… is too long", c->snapshots);
	struct storage_file *there = ops->open(c->storage, to, false);
	int64_t size = ops->size(in), has = there == NULL ? -1 : ops->size(there);
	if (there != NULL)
		ops->close(there);
	enum wl_err err = size < 0 ? fail_errno(c->error, WL_ERR_IO, "cannot read %s", from) : WL_OK;
	if (err == WL_OK && size != has) {
		err = copy_bytes(c, in, from, temp, (uint64_t)size);
		if (err == WL_OK && !ops->rename(c->storage, temp, to))
			err = fail_errno(c->error, WL_ERR_IO, "cannot rename %s", temp);
		c->create->snapshots += err == WL_OK;
	}
	return err;
}

/* The newest snapshot with all that it takes pages from. */
static enum wl_err copy_snapshot(struct creating *c)
{
	uint64_t *offsets = NULL, files[SNAPSHOT_FILES_MAX];
	uint32_t count = 0, file_count = 0;
	enum wl_err err = snapshot_list(c->storage, c->from_snapshots, &offsets, &count, c->error);
	c->snapshot = COMMITLOG_NONE;
	for (uint32_t i = 0; err == WL_OK && i < count && c->snapshot == COMMITLOG_NONE; i++) {
		if (snapshot_files(c->storage, c->from_snapshots, offsets[i], files, &file_count, c->error) == WL_OK)
			c->snapshot = offsets[i];
	}
	if (count > 0)
		mem_free(offsets);
	if (err != WL_OK || c->snapshot == COMMITLOG_NONE)
		return err;
	if (!c->storage->ops->make_dirs(c->storage, c->snapshots))
		return fail_errno(c->error, WL_ERR_IO, "cannot make %s", c->snapshots);
	/* All are opened first: what is open stays readable when the host removes it. */
	struct storage_file *open[SNAPSHOT_FILES_MAX] = { 0 };
	for (uint32_t i = 0; i < file_count && err == WL_OK; i++)
		err = open_file(c, files[i], &open[i]);
	for (uint32_t i = file_count; i-- > 0 && err == WL_OK;)
		err = copy_file(c, open[i], files[i]);
	for (uint32_t i = 0; i < file_count; i++)
		if (open[i] != NULL)
			c->storage->ops->close(open[i]);
	return err;
}

static void told_snapshot(void *context, uint64_t done, uint64_t of)
{
	(void)of;
	tell(context, "bytes of the snapshot checked", done);
}

/* Is it whole, and which program ran then? */
static enum wl_err check_snapshot(struct creating *c)
{
	struct snapshot_info info;
	struct store_cursor cursor;
	struct store_row row;
	if (c->snapshot == COMMITLOG_NONE)
		return WL_OK;
	enum wl_err err = snapshot_verify(c->storage, c->snapshots, c->snapshot, told_snapshot, c, &info, c->error);
	if (err != WL_OK)
		return err;
	struct store *store = store_create();
	if (store == NULL)
		return fail(c->error, WL_ERR_MEMORY, "out of memory");
	err = snapshot_load_table(c->storage, c->snapshots, c->snapshot, ST_MODULE, store, &info, c->error);
	if (err == WL_OK) {
		store_scan(store_table_by_id(store, ST_MODULE), &cursor);
		if (!store_cursor_next(&cursor, &row) || row.len < 65 + 32)
			err = fail(c->error, WL_ERR_CORRUPT, "%s: the snapshot at %" PRIu64 " has no module", c->snapshots,
				c->snapshot);
		else if (!manifest_add_program(&c->manifest, row.data + 65) ||
			!manifest_add_snapshot(&c->manifest, c->snapshot))
			err = fail(c->error, WL_ERR_LIMIT, "the backup has too many programs or snapshots: begin another folder");
	}
	store_destroy(store);
	return err;
}

/* ---- the log ---- */

static void told_log(void *context, uint64_t bytes)
{
	struct creating *c = context;
	tell(c, "bytes copied", c->create->bytes + bytes);
}

static enum wl_err copy_log(struct creating *c)
{
	struct commitlog_copy copy = { .from = c->from_log, .to = c->log, .progress = told_log, .context = c };
	enum wl_err err = commitlog_copy(c->storage, &copy, c->error);
	if (err == WL_ERR_NOT_FOUND && c->snapshot != COMMITLOG_NONE)
		err = WL_OK; /* it was restored, and has done nothing yet */
	c->create->bytes += copy.bytes;
	c->create->segments += (uint32_t)copy.segments;
	return err;
}

static bool see_record(void *context, uint64_t offset, struct bytes record)
{
	struct creating *c = context;
	uint8_t hash[32];
	if (offset > c->expected && offset > c->needed) {
		c->again = true;
		c->err = fail(c->error, WL_ERR_NOT_FOUND, "transactions %" PRIu64 " to %" PRIu64 " are in no file of %.4000s",
			c->expected, offset - 1, c->create->to);
		return false;
	}
	c->expected = offset + 1;
	if (database_record_program(record, hash) && !manifest_add_program(&c->manifest, hash))
		c->err = fail(c->error, WL_ERR_LIMIT, "the backup has too many programs: begin another folder");
	return c->err == WL_OK;
}

static bool see_segment(void *context, const struct commitlog_segment_report *report)
{
	struct creating *c = context;
	if (report->fault[0] != '\0' && !report->is_gap)
		c->err = fail(c->error, WL_ERR_CORRUPT, "%s: byte %" PRIu64 ": %s (transaction %" PRIu64 "): the database's "
			"log is damaged, see `worldline log verify`", report->path, report->fault_at, report->fault, report->next);
	return c->err == WL_OK;
}

/* What is new of the log: is it whole, and which programs does it name? */
static enum wl_err check_log(struct creating *c)
{
	struct commitlog_scan scan = { .record = see_record, .segment = see_segment, .from = c->before.next,
		.to = UINT64_MAX, .context = c };
	c->expected = c->before.next;
	c->needed = c->snapshot == COMMITLOG_NONE ? 0 : c->snapshot + 1;
	c->err = WL_OK;
	enum wl_err err = commitlog_scan(c->storage, c->log, &scan, c->error);
	if (err == WL_OK || (err == WL_ERR_NOT_FOUND && c->snapshot != COMMITLOG_NONE))
		err = c->err;
	c->manifest.next = c->expected > c->needed ? c->expected : c->needed;
	if (err == WL_OK && c->manifest.next == 0)
		err = fail(c->error, WL_ERR_NOT_FOUND, "%s has no transactions yet", c->from_log);
	return err;
}

/* ---- programs ---- */

static enum wl_err copy_programs(struct creating *c)
{
	enum wl_err err = WL_OK;
	char path[BACKUP_PATH_BYTES];
	for (size_t at = 0; err == WL_OK && at < c->manifest.programs.len; at += 32) {
		const uint8_t *hash = c->manifest.programs.data + at;
		struct buf program = BUF_INIT(RUNTIME_PROGRAM_BYTES_MAX);
		err = backup_program_path(c->create->to, hash, path, c->error);
		struct storage_file *there = err == WL_OK ? c->storage->ops->open(c->storage, path, false) : NULL;
		if (there != NULL) {
			c->storage->ops->close(there);
			continue;
		}
		if (err == WL_OK)
			err = host_program(c->create->data_dir, hash, &program, c->error);
		if (err == WL_OK)
			err = storage_put(c->storage, path, program.data, program.len, c->error);
		c->create->bytes += program.len;
		buf_deinit(&program);
	}
	return err;
}

/* ---- the whole ---- */

static enum wl_err prepare(struct creating *c)
{
	const struct backup_create *create = c->create;
	char programs[BACKUP_PATH_BYTES];
	struct error why;
	enum wl_err err = host_find(create->data_dir, create->database, &c->found, c->error);
	if (err != WL_OK)
		return err;
	enum wl_err there = manifest_read(create->to, &c->before, &why);
	if (there != WL_OK && there != WL_ERR_NOT_FOUND)
		return fail(c->error, there, "%s", why.text);
	if (there == WL_OK && !identity_eq(&c->before.database, &c->found.identity))
		return fail(c->error, WL_ERR_EXISTS, "%s is the backup of another database: take another folder", create->to);
	c->manifest = (struct manifest){ .database = c->found.identity, .owner = c->found.owner, .kind = c->found.kind,
		.names = BUF_INIT(1 << 20), .programs = BUF_INIT(BACKUP_PROGRAMS_MAX * 32 + 32),
		.snapshots = BUF_INIT(BACKUP_SNAPSHOTS_MAX * 8 + 8) };
	memcpy(c->manifest.initial_program, c->found.initial_program, 32);
	buf_put(&c->manifest.names, c->found.names.data, c->found.names.len);
	buf_put(&c->manifest.programs, c->before.programs.data, c->before.programs.len);
	buf_put(&c->manifest.snapshots, c->before.snapshots.data, c->before.snapshots.len);
	if (c->manifest.names.failed || !manifest_add_program(&c->manifest, c->found.initial_program))
		return fail(c->error, WL_ERR_MEMORY, "out of memory");
	err = backup_path(c->found.folder, "log", c->from_log, c->error);
	if (err == WL_OK)
		err = backup_path(c->found.folder, "snapshots", c->from_snapshots, c->error);
	if (err == WL_OK)
		err = backup_path(create->to, "log", c->log, c->error);
	if (err == WL_OK)
		err = backup_path(create->to, "snapshots", c->snapshots, c->error);
	if (err == WL_OK)
		err = backup_path(create->to, "programs", programs, c->error);
	if (err == WL_OK && !c->storage->ops->make_dirs(c->storage, programs))
		err = fail_errno(c->error, WL_ERR_IO, "cannot make %s", programs);
	return err;
}

/* Before anything of another log is written beside what is there. */
static enum wl_err check_line(struct creating *c)
{
	enum wl_err err = commitlog_id(c->storage, c->from_log, &c->manifest.log, c->error);
	if (err == WL_OK && c->before.log != 0 && c->manifest.log != c->before.log)
		err = fail(c->error, WL_ERR_EXISTS, "%s is of another line of history (the database was restored since): back "
			"up into another folder", c->create->to);
	return err;
}

static enum wl_err copy_once(struct creating *c)
{
	c->again = false;
	enum wl_err err = copy_snapshot(c);
	if (err == WL_OK)
		err = copy_log(c);
	if (err == WL_OK)
		err = check_snapshot(c);
	if (err == WL_OK)
		err = check_log(c);
	return err;
}

enum wl_err backup_create(struct backup_create *create, struct error *error)
{
	struct creating c = { .create = create, .storage = commitlog_storage_local(), .error = error };
	create->bytes = create->next = 0;
	create->snapshots = create->segments = 0;
	enum wl_err err = prepare(&c);
	if (err == WL_OK)
		err = check_line(&c);
	bool ready = err == WL_OK;
	for (uint32_t i = 0; ready && (i == 0 || (err != WL_OK && c.again)) && i < ATTEMPTS; i++)
		err = copy_once(&c);
	if (err != WL_OK && c.again)
		err = fail(error, WL_ERR_UNAVAILABLE, "%s: files were removed faster than they could be copied: keep more of "
			"the log (durability.log-mb) and try again", create->data_dir);
	if (err == WL_OK)
		err = copy_programs(&c);
	if (err == WL_OK)
		err = manifest_write(create->to, &c.manifest, error);
	create->next = c.manifest.next;
	buf_deinit(&c.found.names);
	manifest_deinit(&c.manifest);
	manifest_deinit(&c.before);
	return err;
}
