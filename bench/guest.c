/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module of guest_bench: loops around one import each, so that what is
 * measured is the import and not the call; and a procedure that sleeps. What
 * it says of itself is written into the compiled file behind the mark.
 */
#include "../tests/unit/data/runtime/abi.h"

enum { DESCRIPTION_MAX = 2048 };
enum { NOTHING, SEED, EMPTY_LOOP, IDENTITY, SCAN, UPDATE };

static volatile struct {
	char mark[16];
	u32 len;
	u8 bytes[DESCRIPTION_MAX];
} self = { .mark = "WORLDLINE-BENCH", .len = 0xffffffffu };
static u32 accounts, by_id, ids_known, row[3], row_count;
static u32 here[8];
static u64 chosen = 88172645463325252ull;

EXPORT(__describe_module__) void describe(u32 sink)
{
	u32 len = self.len;
	bytes_sink_write(sink, (u32)self.bytes, (u32)&len);
}

static u64 take_u64(u32 source)
{
	u64 value = 0;
	u32 len = sizeof(value);
	bytes_source_read(source, (u32)&value, (u32)&len);
	return value;
}

static u32 pick(void)
{
	chosen ^= chosen << 13;
	chosen ^= chosen >> 7;
	chosen ^= chosen << 17;
	return (u32)(chosen >> 16) % row_count;
}

static void insert_all(u32 count)
{
	row_count = count;
	for (u32 id = 0; id < count; id++) {
		u32 len = sizeof(row);
		row[0] = id;
		datastore_insert_bsatn(accounts, (u32)row, (u32)&len);
	}
}

static void scan(u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u32 id = pick(), iter = 0, len = sizeof(row);
		if (datastore_index_scan_point_bsatn(by_id, (u32)&id, sizeof(id), (u32)&iter) != 0 ||
			row_iter_bsatn_advance(iter, (u32)row, (u32)&len) != 0xffffffffu || len != sizeof(row))
			__builtin_trap();
	}
}

static void update(u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u32 len = sizeof(row);
		row[0] = pick();
		row[1] = i;
		if (datastore_update_bsatn(accounts, by_id, (u32)row, (u32)&len) != 0)
			__builtin_trap();
	}
}

EXPORT(__call_reducer__)
i32 reduce(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 timestamp, u32 source, u32 sink)
{
	if (id == NOTHING)
		return 0;
	if (!ids_known) {
		table_id_from_name((u32)"accounts", 8, (u32)&accounts);
		index_id_from_name((u32)"accounts_id_idx_btree", 21, (u32)&by_id);
		ids_known = 1;
	}
	u32 count = (u32)take_u64(source);
	switch (id) {
	case SEED:
		insert_all(count);
		break;
	case EMPTY_LOOP:
		for (u32 i = 0; i < count; i++)
			row[2] += pick();
		break;
	case IDENTITY:
		for (u32 i = 0; i < count; i++)
			identity((u32)here);
		break;
	case SCAN:
		scan(count);
		break;
	case UPDATE:
		update(count);
		break;
	}
	return 0;
}

EXPORT(__call_procedure__)
i32 procedure(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, i64 timestamp, u32 source, u32 sink)
{
	u64 millis = take_u64(source);
	procedure_sleep_until(timestamp + (i64)millis * 1000);
	sink_put(sink, &millis, sizeof(millis));
	return 0;
}
