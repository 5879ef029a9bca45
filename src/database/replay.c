/* SPDX-License-Identifier: Apache-2.0 */
/* The log's records applied again: the format is transaction.c's. */
#include "database/database_internal.h"

enum { RECORD_REDUCER = 1, RECORD_SCHEMA = 2, RECORD_CHANGES = 4 };
enum { TABLE_TRUNCATED = 1, TABLE_DELETES = 2, TABLE_INSERTS = 4 };

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

static enum wl_err damaged(struct error *error, uint64_t offset, const char *what)
{
	return fail(error, WL_ERR_CORRUPT, "transaction %llu of the log does not decode: %s", (unsigned long long)offset,
		what);
}

static enum wl_err replay_rows(struct replay *to, struct reader *r, struct store_table *table, bool deletes,
	struct error *error)
{
	uint64_t count = read_varint(r), len = read_varint(r);
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
	uint64_t id = read_varint(r);
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

static struct bytes read_bytes(struct reader *r)
{
	uint64_t len = read_varint(r);
	const uint8_t *data = len > SIZE_MAX / 2 ? NULL : reader_take(r, (size_t)len, "bytes");
	return (struct bytes){ data, data == NULL ? 0 : (size_t)len };
}

static enum wl_err replay_change(struct replay *to, struct reader *r, bool has_kind, uint64_t offset,
	struct error *error)
{
	uint8_t kind = has_kind ? reader_u8(r) : STORE_TABLE_CREATED;
	uint64_t id = kind == STORE_TABLE_CREATED ? 0 : read_varint(r);
	struct bytes suffix = { 0 }, def = { 0 };
	if (kind == STORE_TABLE_REPLACED)
		suffix = read_bytes(r);
	if (kind != STORE_TABLE_DROPPED)
		def = read_bytes(r);
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
	uint64_t count = read_varint(r);
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
		(void)read_varint(&r);
	enum wl_err err = flags & (RECORD_SCHEMA | RECORD_CHANGES)
		? replay_schema(to, &r, (flags & RECORD_CHANGES) != 0, offset, error) : WL_OK;
	if (err != WL_OK)
		return err;
	uint64_t tables = read_varint(&r);
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
