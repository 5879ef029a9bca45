/* SPDX-License-Identifier: Apache-2.0 */
/* The log's records applied again: the format is transaction.c's. */
#include "database/database_internal.h"
#include "database/record_format.h"

static enum wl_err damaged(struct error *error, uint64_t offset, const char *what)
{
	return fail(error, WL_ERR_CORRUPT, "transaction %llu of the log does not decode: %s", (unsigned long long)offset,
		what);
}

static enum wl_err replay_rows(struct replay *to, struct reader *r, struct store_table *table, bool deletes,
	struct error *error)
{
	uint64_t count = record_varint(r), len = record_varint(r);
	const uint8_t *rows = len > SIZE_MAX / 2 ? NULL : reader_take(r, (size_t)len, "rows");
	if (rows == NULL || r->failed || count > UINT32_MAX) {
		r->failed = true;
		return WL_OK; /* named by the caller */
	}
	return deletes ? store_replay_delete(to->store, table, rows, (size_t)len, (uint32_t)count, error)
		: store_replay_insert(to->store, table, rows, (size_t)len, (uint32_t)count, error);
}

static enum wl_err replay_table(struct replay *to, struct reader *r, uint64_t offset, struct error *error)
{
	uint64_t id = record_varint(r);
	uint8_t flags = reader_u8(r);
	if (r->failed)
		return damaged(error, offset, "it ends early");
	struct store_table *table = id > UINT32_MAX ? NULL : store_table_by_id(to->store, (uint32_t)id);
	if (table == NULL)
		return damaged(error, offset, "it changes a table that does not exist");
	enum wl_err err = WL_OK;
	if (flags & TABLE_TRUNCATED)
		err = store_replay_truncate(to->store, table, error);
	if (err == WL_OK && (flags & TABLE_DELETES))
		err = replay_rows(to, r, table, true, error);
	if (err == WL_OK && !r->failed && (flags & TABLE_INSERTS))
		err = replay_rows(to, r, table, false, error);
	return err != WL_OK || !r->failed ? err : damaged(error, offset, "it ends early");
}

static enum wl_err replay_change(struct replay *to, struct reader *r, bool has_kind, uint64_t offset,
	struct error *error)
{
	uint8_t kind = has_kind ? reader_u8(r) : STORE_TABLE_CREATED;
	uint64_t id = kind == STORE_TABLE_CREATED ? 0 : record_varint(r);
	struct bytes suffix = { 0 }, def = { 0 };
	if (kind == STORE_TABLE_REPLACED)
		suffix = record_bytes(r);
	if (kind != STORE_TABLE_DROPPED)
		def = record_bytes(r);
	if (r->failed || id > UINT32_MAX)
		return damaged(error, offset, "a table definition ends early");
	switch (kind) {
	case STORE_TABLE_CREATED:
		return store_replay_table(to->store, def.data, def.len, error);
	case STORE_TABLE_DROPPED:
		return store_replay_drop(to->store, (uint32_t)id, error);
	case STORE_TABLE_REPLACED:
		return store_replay_replace(to->store, (uint32_t)id, suffix, def.data, def.len, error);
	default:
		return damaged(error, offset, "a change of the schema of an unknown kind");
	}
}

static enum wl_err replay_schema(struct replay *to, struct reader *r, bool has_kinds, uint64_t offset,
	struct error *error)
{
	uint64_t count = record_varint(r);
	enum wl_err err = WL_OK;
	for (uint64_t i = 0; err == WL_OK && i < count; i++)
		err = replay_change(to, r, has_kinds, offset, error);
	return err;
}

enum wl_err replay_record(struct replay *to, uint64_t offset, struct bytes record, struct error *error)
{
	struct reader r = reader_of(record.data, record.len);
	uint8_t flags = reader_u8(&r);
	int64_t micros = (int64_t)reader_u64(&r);
	if (flags & RECORD_REDUCER)
		(void)record_varint(&r);
	enum wl_err err = flags & (RECORD_SCHEMA | RECORD_CHANGES)
		? replay_schema(to, &r, (flags & RECORD_CHANGES) != 0, offset, error) : WL_OK;
	if (err != WL_OK)
		return err;
	uint64_t tables = record_varint(&r);
	for (uint64_t i = 0; i < tables; i++) {
		err = replay_table(to, &r, offset, error);
		if (err != WL_OK)
			return err;
	}
	if (r.failed)
		return damaged(error, offset, "it ends early");
	if (micros > to->micros)
		to->micros = micros;
	to->offset = offset;
	return WL_OK;
}

enum wl_err db_replay_record(void *context, uint64_t offset, struct bytes record, struct error *error)
{
	struct database *db = context;
	struct replay to = { db->store, db->offset, db->last_micros };
	enum wl_err err = replay_record(&to, offset, record, error);
	db->offset = to.offset;
	db->last_micros = to.micros;
	if (err == WL_OK)
		db_snapshot_count(db, record.len);
	return err;
}
