/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit and replay: what a transaction is in the log.
 *
 * Record: flags u8, timestamp i64, [reducer id varint], [tables created: count,
 * each length and encoded definition], tables changed: count, each {id, flags
 * u8, [deletes: count, bytes, rows], [inserts: count, bytes, rows]}. Counts and
 * lengths are LEB128. Schema comes before the rows that need it. With a primary
 * key an update is its new row alone; replay replaces by key. Event rows and
 * view tables are not logged.
 *
 * Invariants
 *  1. The store commits only after the log has taken the whole record: what
 *     cannot be logged is rolled back, and never was.
 *  2. A commit that changes nothing durable has no record and no offset of its
 *     own, and does not ask whether the log can be written.
 */
#include "database/database_internal.h"

enum { RECORD_REDUCER = 1, RECORD_SCHEMA = 2 };
enum { TABLE_TRUNCATED = 1, TABLE_DELETES = 2, TABLE_INSERTS = 4 };
enum { BACKPRESSURE_WAIT_MS = 10000 };

/* ---- LEB128 ---- */

static void put_varint(struct buf *out, uint64_t v)
{
	while (v >= 0x80) {
		buf_put_u8(out, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	buf_put_u8(out, (uint8_t)v);
}

static uint64_t read_varint(struct reader *r)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = reader_u8(r);
		v |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return v;
	}
	reader_fail(r, "varint", 10);
	return 0;
}

/* ---- encoding ---- */

static void put_rows(struct buf *out, const struct store_delta_rows *rows, uint32_t from)
{
	size_t skip = 0;
	if (from > 0)
		skip = rows->ends == NULL ? (size_t)from * rows->fixed_size : rows->ends[from - 1];
	put_varint(out, rows->count - from);
	put_varint(out, rows->len - skip);
	buf_put(out, rows->data + skip, rows->len - skip);
}

static bool is_logged(const struct store_delta_table *delta)
{
	const struct store_table_def *def = store_table_def(delta->table);
	return !def->is_event && !def->is_ephemeral;
}

static void put_table(struct buf *out, const struct store_delta_table *delta)
{
	const struct store_table_def *def = store_table_def(delta->table);
	/* Deletes whose row comes back under the same primary key follow from the insert. */
	uint32_t paired = def->primary_key >= 0 ? delta->updated : 0;
	uint8_t flags = delta->truncated ? TABLE_TRUNCATED : 0;
	if (!delta->truncated && delta->deletes.count > paired)
		flags |= TABLE_DELETES;
	if (delta->inserts.count > 0)
		flags |= TABLE_INSERTS;
	put_varint(out, def->id);
	buf_put_u8(out, flags);
	if (flags & TABLE_DELETES)
		put_rows(out, &delta->deletes, paired);
	if (flags & TABLE_INSERTS)
		put_rows(out, &delta->inserts, 0);
}

static void put_schema(struct database *db, struct buf *out)
{
	put_varint(out, db->created_count);
	for (uint32_t i = 0; i < db->created_count; i++) {
		struct buf def = BUF_INIT(ERROR_TEXT_BYTES_MAX * 16);
		store_table_encode(db->created[i], &def);
		put_varint(out, def.len);
		buf_put(out, def.data, def.len);
		if (def.failed)
			out->failed = true;
		buf_deinit(&def);
	}
}

static void put_record(struct database *db, struct buf *out, const struct store_delta *delta, int64_t micros,
	uint32_t reducer)
{
	uint32_t tables = 0;
	for (uint32_t i = 0; i < delta->table_count; i++)
		tables += is_logged(&delta->tables[i]);
	buf_put_u8(out, (uint8_t)((reducer != REDUCER_NAME_UNKNOWN ? RECORD_REDUCER : 0) |
		(db->created_count > 0 ? RECORD_SCHEMA : 0)));
	buf_put_u64(out, (uint64_t)micros);
	if (reducer != REDUCER_NAME_UNKNOWN)
		put_varint(out, reducer);
	if (db->created_count > 0)
		put_schema(db, out);
	put_varint(out, tables);
	for (uint32_t i = 0; i < delta->table_count; i++)
		if (is_logged(&delta->tables[i]))
			put_table(out, &delta->tables[i]);
}

/* ---- commit ---- */

static void forget_created(struct database *db)
{
	mem_free(db->created);
	db->created = NULL;
	db->created_count = 0;
}

void db_rollback(struct database *db)
{
	store_tx_rollback(db->store);
	forget_created(db);
	db_count(&db->rolled_back, 1);
	db_views_settle(db, false);
}

/* The log's buffer for one record; waits for the disk when too much is pending: that is the back-pressure. */
static enum wl_err begin_record(struct database *db, struct buf **out, struct buf *error)
{
	if (db->log_failed || commitlog_state(db->commitlog) == COMMITLOG_FAILED) {
		buf_put_cstr(error, "the database's log has failed; nothing can be committed until it is opened again");
		return WL_ERR_IO;
	}
	enum wl_err err = commitlog_begin(db->commitlog, out);
	if (err == WL_ERR_UNAVAILABLE && commitlog_state(db->commitlog) == COMMITLOG_OK) {
		commitlog_submit(db->commitlog);
		(void)commitlog_wait(db->commitlog, commitlog_last(db->commitlog), BACKPRESSURE_WAIT_MS);
		err = commitlog_begin(db->commitlog, out);
	}
	if (err == WL_OK)
		return WL_OK;
	if (commitlog_state(db->commitlog) == COMMITLOG_READ_ONLY)
		buf_put_cstr(error, "the database is read-only: there is no space left on its disk");
	else
		buf_printf(error, "the database's log cannot take the transaction: %s", wl_err_name(err));
	return err;
}

void db_stop_committing(struct database *db)
{
	if (db->log_failed)
		return;
	db->log_failed = true;
	db_clients_close(db, 1011, STR("the database's log has failed"));
}

/* Appends the record of a prepared transaction. What fails here leaves nothing behind. */
static enum wl_err write_record(struct database *db, const struct store_delta *delta, int64_t micros,
	uint32_t reducer, struct buf *error)
{
	struct buf *record;
	enum wl_err err = begin_record(db, &record, error);
	if (err != WL_OK)
		return err;
	size_t before = record->len;
	put_record(db, record, delta, micros, reducer);
	db_snapshot_count(db, record->len - before);
	uint64_t offset = commitlog_end(db->commitlog);
	if (offset == COMMITLOG_NONE) {
		buf_put_cstr(error, "the transaction is too large for the log, or there is no memory for it");
		return WL_ERR_MEMORY;
	}
	db->offset = offset;
	return WL_OK;
}

enum wl_err db_commit(struct database *db, int64_t micros, uint32_t reducer, struct subs_client *caller,
	bool broadcast, struct bytes *update, struct buf *error)
{
	struct store_delta delta;
	enum wl_err err = db_views_refresh(db, error);
	if (err != WL_OK) {
		db_rollback(db);
		return err;
	}
	if (store_tx_prepare(db->store, &delta) != STORE_OK) {
		buf_put_str(error, store_error_text(db->store));
		err = WL_ERR_MEMORY;
	} else if (!db_limits_allow(db, &delta, error)) {
		err = WL_ERR_LIMIT;
	} else if (delta.durable && db->commitlog != NULL) {
		err = write_record(db, &delta, micros, reducer, error);
	}
	if (err != WL_OK) {
		db_rollback(db);
		return err;
	}
	store_tx_finish(db->store);
	db_views_settle(db, true);
	if (delta.durable && db->commitlog == NULL)
		db->offset = db->offset == COMMITLOG_NONE ? 0 : db->offset + 1;
	forget_created(db);
	db_count(&db->transactions, 1);
	for (uint32_t i = 0; i < delta.table_count; i++)
		if (UNLIKELY(store_table_def(delta.tables[i].table)->schedule_at >= 0))
			db_schedule_delta(db, &delta.tables[i], micros);
	struct bytes none = { (const uint8_t *)"\0\0\0\0", 4 };
	struct bytes callers = broadcast ? subs_commit(db->subs, &delta, caller, db->event) : none;
	if (update != NULL)
		*update = callers;
	return WL_OK;
}

/* ---- replay ---- */

static enum wl_err damaged(struct error *error, uint64_t offset, const char *what)
{
	return fail(error, WL_ERR_CORRUPT, "transaction %llu of the log does not decode: %s", (unsigned long long)offset,
		what);
}

static enum wl_err replay_rows(struct database *db, struct reader *r, struct store_table *table, bool deletes,
	struct error *error)
{
	uint64_t count = read_varint(r), len = read_varint(r);
	const uint8_t *rows = len > SIZE_MAX / 2 ? NULL : reader_take(r, (size_t)len, "rows");
	if (rows == NULL || r->failed || count > UINT32_MAX) {
		r->failed = true;
		return WL_OK; /* named by the caller */
	}
	return deletes ? store_replay_delete(db->store, table, rows, (size_t)len, (uint32_t)count, error)
		: store_replay_insert(db->store, table, rows, (size_t)len, (uint32_t)count, error);
}

static enum wl_err replay_table(struct database *db, struct reader *r, uint64_t offset, struct error *error)
{
	uint64_t id = read_varint(r);
	uint8_t flags = reader_u8(r);
	if (r->failed)
		return damaged(error, offset, "it ends early");
	struct store_table *table = id > UINT32_MAX ? NULL : store_table_by_id(db->store, (uint32_t)id);
	if (table == NULL)
		return damaged(error, offset, "it changes a table that does not exist");
	enum wl_err err = WL_OK;
	if (flags & TABLE_TRUNCATED)
		err = store_replay_truncate(db->store, table, error);
	if (err == WL_OK && (flags & TABLE_DELETES))
		err = replay_rows(db, r, table, true, error);
	if (err == WL_OK && !r->failed && (flags & TABLE_INSERTS))
		err = replay_rows(db, r, table, false, error);
	return err != WL_OK || !r->failed ? err : damaged(error, offset, "it ends early");
}

enum wl_err db_replay_record(void *context, uint64_t offset, struct bytes record, struct error *error)
{
	struct database *db = context;
	struct reader r = reader_of(record.data, record.len);
	uint8_t flags = reader_u8(&r);
	int64_t micros = (int64_t)reader_u64(&r);
	if (flags & RECORD_REDUCER)
		(void)read_varint(&r);
	uint64_t created = flags & RECORD_SCHEMA ? read_varint(&r) : 0;
	for (uint64_t i = 0; i < created && !r.failed; i++) {
		uint64_t len = read_varint(&r);
		const uint8_t *def = len > SIZE_MAX / 2 ? NULL : reader_take(&r, (size_t)len, "table definition");
		if (def == NULL)
			return damaged(error, offset, "a table definition ends early");
		enum wl_err err = store_replay_table(db->store, def, (size_t)len, error);
		if (err != WL_OK)
			return err;
	}
	uint64_t tables = read_varint(&r);
	for (uint64_t i = 0; i < tables; i++) {
		enum wl_err err = replay_table(db, &r, offset, error);
		if (err != WL_OK)
			return err;
	}
	if (r.failed)
		return damaged(error, offset, "it ends early");
	if (micros > db->last_micros)
		db->last_micros = micros;
	db->offset = offset;
	db_snapshot_count(db, record.len);
	return WL_OK;
}
