/* SPDX-License-Identifier: Apache-2.0 */
/* A record of the log in words. */
#include "database/record.h"
#include "database/record_format.h"
#include "store/store.h"

#include <stdio.h>
#include <time.h>

enum { CREATED = 1, DROPPED = 2, REPLACED = 3 };

/* Of a definition: id and name (table.c). */
static void put_definition(struct buf *out, struct bytes def)
{
	struct reader r = reader_of(def.data, def.len);
	(void)reader_u16(&r); /* version, flags */
	uint32_t id = reader_u32(&r);
	(void)reader_u64(&r); /* primary key, schedule */
	struct str name = reader_bsatn_str(&r);
	if (r.failed)
		buf_put_cstr(out, " (a definition that does not decode)");
	else
		buf_printf(out, " table %u %.*s", id, STR_FMT(name));
}

static void put_change(struct buf *out, struct reader *r, bool has_kind)
{
	uint8_t kind = has_kind ? reader_u8(r) : CREATED;
	uint64_t id = kind == CREATED ? 0 : record_varint(r);
	if (kind == REPLACED)
		(void)record_bytes(r);
	buf_put_cstr(out, kind == CREATED ? "; create" : kind == DROPPED ? "; drop" : "; replace");
	if (kind != CREATED)
		buf_printf(out, " table %llu", (unsigned long long)id);
	if (kind == REPLACED)
		buf_put_cstr(out, " by");
	if (kind != DROPPED) {
		struct bytes def = record_bytes(r);
		if (!r->failed)
			put_definition(out, def);
	}
	if (kind < CREATED || kind > REPLACED)
		r->failed = true;
}

static uint64_t read_rows(struct reader *r)
{
	uint64_t count = record_varint(r);
	(void)record_bytes(r);
	return count;
}

static void put_table(struct buf *out, struct reader *r)
{
	uint64_t id = record_varint(r);
	uint8_t flags = reader_u8(r);
	buf_printf(out, "; table %llu:%s", (unsigned long long)id, flags & TABLE_TRUNCATED ? " emptied" : "");
	if (flags & TABLE_DELETES)
		buf_printf(out, " -%llu", (unsigned long long)read_rows(r));
	if (flags & TABLE_INSERTS)
		buf_printf(out, " +%llu", (unsigned long long)read_rows(r));
}

void database_time_put(struct buf *out, int64_t micros)
{
	time_t seconds = (time_t)(micros / 1000000);
	struct tm tm;
	char text[32];
	if (micros < 0 || gmtime_r(&seconds, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		buf_printf(out, "%lld us", (long long)micros);
	else
		buf_printf(out, "%s.%06dZ", text, (int)(micros % 1000000));
}

bool database_record_describe(struct bytes record, struct buf *out, int64_t *micros)
{
	struct reader r = reader_of(record.data, record.len);
	uint8_t flags = reader_u8(&r);
	int64_t when = (int64_t)reader_u64(&r);
	database_time_put(out, when);
	if (flags & RECORD_REDUCER)
		buf_printf(out, " reducer %llu", (unsigned long long)record_varint(&r));
	uint64_t changes = flags & (RECORD_SCHEMA | RECORD_CHANGES) ? record_varint(&r) : 0;
	for (uint64_t i = 0; i < changes && !r.failed; i++)
		put_change(out, &r, (flags & RECORD_CHANGES) != 0);
	uint64_t tables = record_varint(&r);
	for (uint64_t i = 0; i < tables && !r.failed; i++)
		put_table(out, &r);
	if (r.failed)
		buf_put_cstr(out, " … the record ends early");
	if (micros != NULL)
		*micros = when;
	return !r.failed;
}

/* ---- what it says of programs ---- */

static void skip_change(struct reader *r, bool has_kind)
{
	struct buf none = BUF_INIT(1 << 16);
	put_change(&none, r, has_kind);
	buf_deinit(&none);
}

/* Rows of st_module: {database, owner, kind u8, hash, …}. */
enum { MODULE_HASH_AT = 32 + 32 + 1 };

bool database_record_program(struct bytes record, uint8_t hash[32])
{
	struct reader r = reader_of(record.data, record.len);
	bool found = false;
	uint8_t flags = reader_u8(&r);
	(void)reader_u64(&r);
	if (flags & RECORD_REDUCER)
		(void)record_varint(&r);
	uint64_t changes = flags & (RECORD_SCHEMA | RECORD_CHANGES) ? record_varint(&r) : 0;
	for (uint64_t i = 0; i < changes && !r.failed; i++)
		skip_change(&r, (flags & RECORD_CHANGES) != 0);
	uint64_t tables = record_varint(&r);
	for (uint64_t i = 0; i < tables && !r.failed; i++) {
		uint64_t id = record_varint(&r);
		uint8_t parts = reader_u8(&r);
		if (parts & TABLE_DELETES)
			(void)read_rows(&r);
		if ((parts & TABLE_INSERTS) == 0)
			continue;
		(void)record_varint(&r);
		struct bytes rows = record_bytes(&r);
		if (r.failed || id != ST_MODULE || rows.len < MODULE_HASH_AT + 32)
			continue;
		memcpy(hash, rows.data + MODULE_HASH_AT, 32);
		found = true;
	}
	return found && !r.failed;
}
