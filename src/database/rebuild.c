/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables from files: the newest snapshot that is good and not too new, and the
 * log from there to the moment that is asked for.
 */
#include "database/rebuild.h"
#include "base/log.h"
#include "base/mem.h"
#include "database/database_internal.h"
#include "snapshot/snapshot.h"

#include <inttypes.h>
#include <stdio.h>

enum { PATH_BYTES = 4096, PROGRESS_RECORDS = 65536, MODULE_ROW_HASH_AT = 65 };

struct rebuilding {
	struct database_rebuild *how;
	struct replay to;
	uint64_t next;   /* offset that comes next */
	bool is_late;    /* the next one is later than what is asked for */
	bool has_record; /* any record at all was seen */
	enum wl_err err;
	struct error *error;
	char fault[PATH_BYTES + 128];
};

/* ---- the snapshot ---- */

static enum wl_err load(struct rebuilding *x, const char *dir, uint64_t offset, struct snapshot_info *info,
	struct error *why)
{
	struct database_rebuild *how = x->how;
	x->to.store = store_create();
	if (x->to.store == NULL)
		return fail(why, WL_ERR_MEMORY, "out of memory");
	enum wl_err err = snapshot_load(how->storage, dir, offset, x->to.store, info, why);
	if (err == WL_OK && info->micros > how->to_micros)
		err = WL_ERR_NOT_FOUND;
	if (err != WL_OK) {
		store_destroy(x->to.store);
		x->to.store = NULL;
		return err;
	}
	(void)store_generation_next(x->to.store);
	x->to.offset = how->snapshot = offset;
	x->to.micros = info->micros;
	x->next = offset + 1;
	return WL_OK;
}

/* Of a backup some files are there only for the pages that others take from them. */
static bool is_whole(const struct database_rebuild *how, const char *dir, uint64_t offset)
{
	uint64_t files[SNAPSHOT_FILES_MAX];
	uint32_t count;
	struct error why;
	if (snapshot_files(how->storage, dir, offset, files, &count, &why) != WL_OK)
		return true; /* that is damage, and will be told */
	for (uint32_t i = 0; i < count; i++) {
		char path[PATH_BYTES];
		struct storage_file *file = snapshot_path(dir, files[i], path, sizeof(path))
			? how->storage->ops->open(how->storage, path, false) : NULL;
		if (file == NULL)
			return false;
		how->storage->ops->close(file);
	}
	return true;
}

static enum wl_err load_newest(struct rebuilding *x)
{
	struct database_rebuild *how = x->how;
	char dir[PATH_BYTES];
	uint64_t *offsets = NULL;
	uint32_t count = 0;
	if (snprintf(dir, sizeof(dir), "%s/snapshots", how->from) >= PATH_BYTES)
		return fail(x->error, WL_ERR_LIMIT, "the path %.64s… is too long", how->from);
	enum wl_err err = snapshot_list(how->storage, dir, &offsets, &count, x->error);
	for (uint32_t i = 0; err == WL_OK && i < count && x->to.store == NULL; i++) {
		struct snapshot_info info;
		struct error why;
		if (offsets[i] > how->to_offset || !is_whole(how, dir, offsets[i]))
			continue;
		enum wl_err one = load(x, dir, offsets[i], &info, &why);
		if (one == WL_ERR_MEMORY || one == WL_ERR_IO)
			err = fail(x->error, one, "%s", why.text);
		else if (one != WL_OK && one != WL_ERR_NOT_FOUND)
			log_error("%s; an older snapshot, or the log alone, takes its place", why.text);
	}
	if (count > 0)
		mem_free(offsets);
	if (err == WL_OK && x->to.store == NULL) {
		x->to.store = store_create();
		if (x->to.store == NULL)
			err = fail(x->error, WL_ERR_MEMORY, "out of memory");
	}
	return err;
}

/* ---- the log ---- */

static bool see_record(void *context, uint64_t offset, struct bytes record)
{
	struct rebuilding *x = context;
	struct database_rebuild *how = x->how;
	x->has_record = true;
	if (offset != x->next) {
		snprintf(x->fault, sizeof(x->fault), "transactions %" PRIu64 " to %" PRIu64 " are in no file of %.4000s",
			x->next, offset - 1, how->from);
		return false;
	}
	x->is_late = record.len >= 9 && (int64_t)load_u64(record.data + 1) > how->to_micros;
	if (x->is_late)
		return false;
	x->err = replay_record(&x->to, offset, record, x->error);
	x->next++;
	how->replayed++;
	if (how->progress != NULL && how->replayed % PROGRESS_RECORDS == 0)
		how->progress(how->context, offset);
	return x->err == WL_OK;
}

/* Damage matters where records are still wanted. */
static bool see_segment(void *context, const struct commitlog_segment_report *report)
{
	struct rebuilding *x = context;
	if (report->fault[0] == '\0')
		return true;
	snprintf(x->fault, sizeof(x->fault), "%.4000s: byte %" PRIu64 ": %s (transaction %" PRIu64 ")", report->path,
		report->fault_at, report->fault, x->next);
	return false;
}

static enum wl_err replay(struct rebuilding *x)
{
	struct database_rebuild *how = x->how;
	char dir[PATH_BYTES];
	struct commitlog_scan scan = { .record = see_record, .segment = see_segment, .from = x->next,
		.to = how->to_offset, .context = x };
	if (how->to_offset != COMMITLOG_NONE && x->next > how->to_offset)
		return WL_OK;
	if (snprintf(dir, sizeof(dir), "%s/log", how->from) >= PATH_BYTES)
		return fail(x->error, WL_ERR_LIMIT, "the path %.64s… is too long", how->from);
	enum wl_err err = commitlog_scan(how->storage, dir, &scan, x->error);
	if (err == WL_ERR_NOT_FOUND && how->snapshot != COMMITLOG_NONE)
		err = WL_OK; /* there is the snapshot */
	if (err == WL_OK)
		err = x->err;
	bool reached = x->is_late || (how->to_offset != COMMITLOG_NONE && x->next > how->to_offset);
	if (err == WL_OK && !reached && x->fault[0] != '\0')
		return fail(x->error, WL_ERR_CORRUPT, "%s", x->fault);
	if (err == WL_OK && x->next == 0)
		return fail(x->error, WL_ERR_NOT_FOUND, "%s holds no transaction that early", how->from);
	if (err == WL_OK && !reached && how->to_offset != COMMITLOG_NONE)
		return fail(x->error, WL_ERR_NOT_FOUND, "%s ends at transaction %" PRIu64, how->from, x->next - 1);
	return err;
}

/* ---- what it is ---- */

static enum wl_err describe(struct rebuilding *x)
{
	struct database_rebuild *how = x->how;
	struct store_cursor cursor;
	struct store_row row;
	store_scan(store_table_by_id(x->to.store, ST_MODULE), &cursor);
	if (!store_cursor_next(&cursor, &row) || row.len < MODULE_ROW_HASH_AT + 32)
		return fail(x->error, WL_ERR_CORRUPT, "%s holds no module: the database was never completely created",
			how->from);
	memcpy(how->database.le, row.data, 32);
	memcpy(how->owner.le, row.data + 32, 32);
	how->kind = row.data[64];
	memcpy(how->program, row.data + MODULE_ROW_HASH_AT, 32);
	how->offset = x->to.offset;
	how->micros = x->to.micros;
	how->hash = db_store_hash(x->to.store);
	how->rows = 0;
	for (struct store_table *t = NULL; (t = store_table_next(x->to.store, t)) != NULL;)
		how->rows += store_table_row_count(t);
	return WL_OK;
}

enum wl_err database_rebuild(struct database_rebuild *how, struct store **out, struct error *error)
{
	struct rebuilding x = { .how = how, .error = error, .to = { .offset = COMMITLOG_NONE } };
	how->snapshot = COMMITLOG_NONE;
	how->replayed = 0;
	enum wl_err err = load_newest(&x);
	if (err == WL_OK)
		err = replay(&x);
	if (err == WL_OK)
		err = store_replay_done(x.to.store, error);
	if (err == WL_OK)
		err = describe(&x);
	if (err != WL_OK) {
		store_destroy(x.to.store);
		return err;
	}
	*out = x.to.store;
	return WL_OK;
}

/* ---- a new beginning ---- */

static bool is_wanted(void *context)
{
	(void)context;
	return true;
}

/* st_module says whose it is. */
static enum wl_err rename_module(const struct database_rebuild *how, struct store *store,
	const struct identity *database, const struct identity *owner, struct error *error)
{
	if (identity_eq(database, &how->database) && identity_eq(owner, &how->owner))
		return WL_OK;
	struct store_table *table = store_table_by_id(store, ST_MODULE);
	struct store_cursor cursor;
	struct store_row row, written;
	struct store_delta delta;
	struct buf bytes = BUF_INIT(4096);
	uint64_t cleared;
	store_scan(table, &cursor);
	if (store_cursor_next(&cursor, &row))
		buf_put(&bytes, row.data, row.len);
	bool ok = !bytes.failed && bytes.len > 64;
	if (ok) {
		memcpy(bytes.data, database->le, 32);
		memcpy(bytes.data + 32, owner->le, 32);
		store_tx_begin(store);
		size_t len = bytes.len;
		ok = store_clear(store, table, &cleared) == STORE_OK &&
			store_insert(store, table, bytes.data, &len, &written) == STORE_OK &&
			store_tx_prepare(store, &delta) == STORE_OK;
		if (ok)
			store_tx_finish(store);
		else
			store_tx_rollback(store);
	}
	buf_deinit(&bytes);
	return ok ? WL_OK : fail(error, WL_ERR_MEMORY, "out of memory");
}

static enum wl_err write_tables(const struct database_rebuild *how, struct store *store,
	const struct identity *database, struct snapshot_table *list, struct store_table **tables, uint32_t count,
	const char *dir, struct error *error)
{
	struct buf defs = BUF_INIT((size_t)ERROR_TEXT_BYTES_MAX * 64);
	enum wl_err err = WL_OK;
	for (uint32_t i = 0; i < count; i++) {
		size_t before = defs.len;
		if (!store_table_def(tables[i])->is_system)
			store_table_encode(tables[i], &defs);
		list[i].def.len = defs.len - before;
	}
	struct store_snapshot *snapshot = defs.failed ? NULL : store_snapshot_take(store, tables, count);
	if (snapshot == NULL) {
		err = fail(error, WL_ERR_MEMORY, "out of memory");
	} else {
		const uint8_t *def = defs.data;
		for (uint32_t i = 0; i < count; i++) {
			list[i].table = store_snapshot_table(snapshot, tables[i]);
			list[i].def.data = def;
			def += list[i].def.len;
		}
		struct snapshot_writing writing = { .storage = how->storage, .dir = dir, .database = *database,
			.offset = how->offset, .micros = how->micros, .tables = list, .table_count = count,
			.base_offset = COMMITLOG_NONE, .wanted = is_wanted, .may_appear = is_wanted };
		err = snapshot_write(&writing, error);
		store_snapshot_release(store, snapshot);
	}
	buf_deinit(&defs);
	return err;
}

enum wl_err database_rebuild_save(const struct database_rebuild *how, struct store *store,
	const struct identity *database, const struct identity *owner, const char *dir, struct error *error)
{
	char path[PATH_BYTES];
	if (snprintf(path, sizeof(path), "%s/snapshots", dir) >= PATH_BYTES)
		return fail(error, WL_ERR_LIMIT, "the path %.64s… is too long", dir);
	enum wl_err err = rename_module(how, store, database, owner, error);
	if (err != WL_OK)
		return err;
	uint32_t count = 0;
	for (struct store_table *t = NULL; (t = store_table_next(store, t)) != NULL;)
		count++;
	struct store_table **tables = mem_alloc(count * sizeof(*tables));
	struct snapshot_table *list = mem_zalloc_array(count, sizeof(*list));
	err = fail(error, WL_ERR_MEMORY, "out of memory");
	if (tables != NULL && list != NULL) {
		count = 0;
		for (struct store_table *t = NULL; (t = store_table_next(store, t)) != NULL;)
			tables[count++] = t;
		err = write_tables(how, store, database, list, tables, count, path, error);
	}
	mem_free(tables);
	mem_free(list);
	return err;
}
