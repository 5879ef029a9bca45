/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit: what a transaction is in the log (replay.c reads it).
 *
 * Record: flags u8, timestamp i64, [reducer id varint], [tables created: count,
 * each length and encoded definition], [or schema changes: count, each {kind u8,
 * created: length and definition; dropped: id; replaced: id, length and suffix
 * of its rows, length and definition}], tables changed: count, each {id, flags
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
#include "database/record_format.h"

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

static void put_bytes(struct buf *out, struct bytes bytes)
{
	put_varint(out, bytes.len);
	buf_put(out, bytes.data, bytes.len);
}

static void put_definition(struct buf *out, const struct store_table *table)
{
	struct buf def = BUF_INIT(ERROR_TEXT_BYTES_MAX * 16);
	store_table_encode(table, &def);
	put_bytes(out, buf_bytes(&def));
	if (def.failed)
		out->failed = true;
	buf_deinit(&def);
}

/* Most records have none; those of a new database create only. */
static uint8_t schema_flag(const struct store_schema_change *changes, uint32_t count)
{
	uint8_t flag = count > 0 ? RECORD_SCHEMA : 0;
	for (uint32_t i = 0; i < count; i++)
		if (changes[i].kind != STORE_TABLE_CREATED)
			flag = RECORD_CHANGES;
	return flag;
}

static void put_schema(struct buf *out, const struct store_schema_change *changes, uint32_t count, uint8_t flag)
{
	put_varint(out, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct store_schema_change *change = &changes[i];
		if (flag == RECORD_CHANGES)
			buf_put_u8(out, (uint8_t)change->kind);
		if (change->kind != STORE_TABLE_CREATED)
			put_varint(out, change->id);
		if (change->kind == STORE_TABLE_REPLACED)
			put_bytes(out, change->suffix);
		if (change->kind != STORE_TABLE_DROPPED)
			put_definition(out, change->table);
	}
}

static void put_record(struct database *db, struct buf *out, const struct store_delta *delta, int64_t micros,
	uint32_t reducer)
{
	uint32_t tables = 0;
	for (uint32_t i = 0; i < delta->table_count; i++)
		tables += is_logged(&delta->tables[i]);
	uint32_t changed;
	const struct store_schema_change *changes = store_tx_schema(db->store, &changed);
	uint8_t schema = schema_flag(changes, changed);
	buf_put_u8(out, (uint8_t)((reducer != REDUCER_NAME_UNKNOWN ? RECORD_REDUCER : 0) | schema));
	buf_put_u64(out, (uint64_t)micros);
	if (reducer != REDUCER_NAME_UNKNOWN)
		put_varint(out, reducer);
	if (schema != 0)
		put_schema(out, changes, changed, schema);
	put_varint(out, tables);
	for (uint32_t i = 0; i < delta->table_count; i++)
		if (is_logged(&delta->tables[i]))
			put_table(out, &delta->tables[i]);
}

/* ---- commit ---- */

void db_rollback(struct database *db)
{
	store_tx_rollback(db->store);
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

/* Tables that are gone, or others by now, to whoever had their rows: all are deleted. */
static void tell_gone(struct database *db)
{
	uint32_t count;
	const struct store_schema_change *changes = store_tx_schema(db->store, &count);
	for (uint32_t i = 0; i < count; i++) {
		const struct store_schema_change *change = &changes[i];
		if (change->was == NULL || change->is_ephemeral || store_table_row_count(change->was) == 0 ||
			(change->table != NULL && store_table_def(change->table)->id == change->id))
			continue;
		struct buf rows = BUF_INIT(STORE_TX_BYTES_MAX), ends = BUF_INIT(STORE_TX_BYTES_MAX);
		struct store_cursor cursor;
		struct store_row row;
		struct store_delta_table gone = { .table = change->was, .truncated = true };
		store_scan(change->was, &cursor);
		while (store_cursor_next(&cursor, &row)) {
			buf_put(&rows, row.data, row.len);
			buf_put_u32(&ends, (uint32_t)rows.len);
			gone.deletes.count++;
		}
		gone.deletes.data = rows.data;
		gone.deletes.len = rows.len;
		gone.deletes.ends = (const uint32_t *)(const void *)ends.data;
		struct store_delta delta = { .table_count = 1, .tables = &gone };
		if (!rows.failed && !ends.failed) /* they are disconnected all the same */
			(void)subs_commit(db->subs, &delta, NULL, NULL);
		buf_deinit(&rows);
		buf_deinit(&ends);
	}
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
	if (UNLIKELY(db->retabling))
		tell_gone(db);
	store_tx_finish(db->store);
	db_views_settle(db, true);
	if (UNLIKELY(db->retabling)) {
		db_views_retabled(db);
		subs_retable_end(db->subs, true, !db->breaking);
	}
	if (delta.durable && db->commitlog == NULL)
		db->offset = db->offset == COMMITLOG_NONE ? 0 : db->offset + 1;
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
