/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module of parts, which no SDK for C or Rust makes. What it says of itself
 * is written into the compiled file by tests/e2e/parts.py: behind the mark
 * stand a length and the description. Functions of submodules come after those
 * of the module itself, depth first.
 */
#include "../../unit/data/runtime/abi.h"

enum { DESCRIPTION_MAX = 16384, TEXT_MAX = 4096 };
enum { INIT, FIND, READ_ENV, ADD_SESSION, TICK, SUB_READ_ENV, DEEP_PUT }; /* reducers */

static volatile struct {
	char mark[16];
	u32 len;
	u8 bytes[DESCRIPTION_MAX];
} self = { .mark = "WORLDLINE-PARTS", .len = 0xffffffffu };
static u8 args[TEXT_MAX], row[TEXT_MAX];

static u32 args_read(u32 source)
{
	u32 at = 0;
	while (source != 0 && at < TEXT_MAX) {
		u32 len = TEXT_MAX - at, code = bytes_source_read(source, (u32)args + at, (u32)&len);
		at += len;
		if (code != 0)
			break;
	}
	return at;
}

static u32 table_of(const char *name, u32 len)
{
	u32 id;
	if (table_id_from_name((u32)name, len, (u32)&id) != 0)
		__builtin_trap();
	return id;
}
#define TABLE(literal) table_of(literal, sizeof(literal) - 1)

static u32 copy(u32 at, const void *from, u32 len)
{
	for (u32 i = 0; i < len; i++)
		row[at + i] = ((const u8 *)from)[i];
	return at + len;
}

/* {0, name} into the submodule's table, under the name that its own code has for it. */
static void add_session(const void *bsatn_name, u32 name_len)
{
	u64 zero = 0;
	u32 len = copy(copy(0, &zero, 8), bsatn_name, name_len);
	if (datastore_insert_bsatn(TABLE("myAuth.sessions"), (u32)row, (u32)&len) != 0)
		__builtin_trap();
}

/* {0, Time(now)} into the submodule's schedule. */
static i32 schedule(u64 now)
{
	struct { u64 id; u8 tag; u64 micros; } __attribute__((packed)) tick = { 0, 1, now };
	u32 len = sizeof(tick);
	return (i32)datastore_insert_bsatn(TABLE("myAuth.ticks"), (u32)&tick, (u32)&len);
}

/* An error that says what a table's and an index's name give: "T0 I5". */
static i32 find(u32 sink, u32 len)
{
	static char text[] = "T. I.";
	u32 id;
	text[1] = (char)('0' + table_id_from_name((u32)args + 4, len - 4, (u32)&id));
	text[4] = (char)('0' + index_id_from_name((u32)args + 4, len - 4, (u32)&id));
	sink_put(sink, text, 5);
	return 1;
}

static i32 read_env(u32 sink)
{
	u32 source, len = 0;
	if (env_get((u32)"KEY", 3, (u32)&source) != 0)
		__builtin_trap();
	if (source != 0) {
		len = TEXT_MAX;
		bytes_source_read(source, (u32)row, (u32)&len);
	}
	sink_put(sink, row, len);
	return 1;
}

EXPORT(__call_reducer__)
i32 call_reducer(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 timestamp, u32 source, u32 sink)
{
	static const u8 tick[] = { 4, 0, 0, 0, 't', 'i', 'c', 'k' };
	u32 len = args_read(source), four = 4;
	switch (id) {
	case INIT:
		return schedule(timestamp);
	case FIND:
		return find(sink, len);
	case READ_ENV:
	case SUB_READ_ENV:
		return read_env(sink);
	case ADD_SESSION:
		add_session(args, len);
		return 0;
	case TICK:
		add_session(tick, sizeof(tick));
		return 0;
	case DEEP_PUT:
		return (i32)datastore_insert_bsatn(TABLE("myAuth.deepOne.things"), (u32)args, (u32)&four);
	default:
		return 0;
	}
}

/* Returns a row type of its part: {7, "seven"}. */
EXPORT(__call_procedure__)
i32 call_procedure(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 timestamp, u32 source, u32 sink)
{
	static const u8 seven[] = { 7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 's', 'e', 'v', 'e', 'n' };
	sink_put(sink, seven, sizeof(seven));
	return 0;
}

/* All sessions. */
EXPORT(__call_view_anon__) i32 call_view_anon(u32 id, u32 source, u32 sink)
{
	u32 iter, at = 0, table = TABLE("myAuth.sessions");
	u64 count;
	u8 header = 0;
	if (datastore_table_row_count(table, (u32)&count) != 0 || datastore_table_scan_bsatn(table, (u32)&iter) != 0)
		__builtin_trap();
	for (i32 code = 0; code == 0;) {
		u32 len = TEXT_MAX - at;
		code = (i32)(short)row_iter_bsatn_advance(iter, (u32)row + at, (u32)&len);
		at += len;
	}
	sink_put(sink, &header, 1);
	sink_put(sink, &count, 4);
	sink_put(sink, row, at);
	return 2;
}

EXPORT(__describe_module__) void describe(u32 sink)
{
	sink_put(sink, (const void *)self.bytes, self.len);
}
