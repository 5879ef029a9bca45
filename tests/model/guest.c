/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module of the model test: it does what it is told. What it says of itself, and the texts of its views, are
 * written into the compiled file behind the mark: lengths, then the description, then one text after the other.
 *
 * Its one reducer takes bytes, a list of operations: kind u8, table (len u8, name), and by kind an insert's row (len
 * u32, bytes), a delete's row, or an update's index (len u8, name) and row. The last kinds fail and trap.
 * Views return queries; in those for a sender, ~ stands for its identity.
 */
#include "../unit/data/runtime/abi.h"

enum { BYTES_MAX = 32768, ARGS_MAX = 65536, VIEWS_MAX = 8, TEXT_MAX = 4096 };
enum { INSERT, DELETE, UPDATE, FAIL, TRAP };
enum { STATUS_ERROR = 1, VIEW_WITH_HEADER = 2, HEADER_SQL = 1 };

static volatile struct {
	char mark[16];
	u32 description_len, anonymous_count, view_lens[VIEWS_MAX]; /* views: the anonymous ones first */
	u8 bytes[BYTES_MAX];
} self = { .mark = "WORLDLINE-MODEL", .description_len = 0xffffffffu };
static u8 args[ARGS_MAX];
static u32 args_len, at;

static u8 take_u8(void)
{
	if (at >= args_len)
		__builtin_trap();
	return args[at++];
}

static u32 take_u32(void)
{
	u32 v = 0;
	for (u32 i = 0; i < 32; i += 8)
		v |= (u32)take_u8() << i;
	return v;
}

static const u8 *take(u32 len)
{
	const u8 *data = args + at;
	if (len > args_len - at)
		__builtin_trap();
	at += len;
	return data;
}

static void read_args(u32 source)
{
	args_len = at = 0;
	while (source != 0 && args_len < ARGS_MAX) {
		u32 len = ARGS_MAX - args_len, code = bytes_source_read(source, (u32)args + args_len, (u32)&len);
		args_len += len;
		if (code != 0)
			break;
	}
}

static i32 fail(u32 sink, const char *text, u32 len)
{
	sink_put(sink, text, len);
	return STATUS_ERROR;
}
#define ERROR(literal) fail(sink, literal, sizeof(literal) - 1)

static u32 run_one(u32 kind)
{
	static u8 relation[ARGS_MAX];
	u32 table, index, len = take_u8(), deleted;
	const u8 *name = take(len), *row;
	if (table_id_from_name((u32)name, len, (u32)&table) != 0)
		__builtin_trap();
	if (kind == UPDATE) {
		len = take_u8();
		name = take(len);
		if (index_id_from_name((u32)name, len, (u32)&index) != 0)
			__builtin_trap();
	}
	len = take_u32();
	row = take(len);
	if (kind == INSERT)
		return datastore_insert_bsatn(table, (u32)row, (u32)&len);
	if (kind == UPDATE)
		return datastore_update_bsatn(table, index, (u32)row, (u32)&len);
	if (kind != DELETE)
		__builtin_trap();
	relation[0] = 1; /* an array of one row */
	for (u32 i = 0; i < len; i++)
		relation[4 + i] = row[i];
	return datastore_delete_all_by_eq_bsatn(table, (u32)relation, len + 4, (u32)&deleted);
}

EXPORT(__call_reducer__)
i32 call_reducer(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 timestamp, u32 source, u32 sink)
{
	read_args(source);
	if (take_u32() != args_len - 4)
		__builtin_trap();
	while (at < args_len) {
		u32 kind = take_u8();
		if (kind == FAIL)
			return ERROR("told to fail");
		if (kind == TRAP)
			__builtin_trap();
		if (run_one(kind) != 0)
			return ERROR("the store refuses");
	}
	return 0;
}

static i32 return_view(u32 view, const u64 *sender, u32 sink)
{
	static u8 text[TEXT_MAX], header = HEADER_SQL;
	u32 from = self.description_len, len = 0;
	for (u32 i = 0; i < view; i++)
		from += self.view_lens[i];
	for (u32 i = 0; i < self.view_lens[view]; i++) {
		u8 c = self.bytes[from + i];
		if (c != '~') {
			text[len++] = c;
			continue;
		}
		text[len++] = '0';
		text[len++] = 'x';
		for (u32 digit = 64; digit-- > 0;)
			text[len++] = "0123456789abcdef"[sender[digit / 16] >> digit % 16 * 4 & 15];
	}
	sink_put(sink, &header, 1);
	sink_put(sink, &len, 4);
	sink_put(sink, text, len);
	return VIEW_WITH_HEADER;
}

EXPORT(__call_view_anon__) i32 call_view_anon(u32 id, u32 source, u32 sink)
{
	return return_view(id, 0, sink);
}

EXPORT(__call_view__) i32 call_view(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u32 source, u32 sink)
{
	u64 sender[4] = { s0, s1, s2, s3 };
	return return_view(self.anonymous_count + id, sender, sink);
}

EXPORT(__describe_module__) void describe(u32 sink)
{
	sink_put(sink, (const void *)self.bytes, self.description_len);
}
