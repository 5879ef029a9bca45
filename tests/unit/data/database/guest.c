/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module of the database's tests. What it says of itself is written into
 * the compiled file by the test (database_fixture.h): behind the mark stand a
 * version, a length, and the description.
 *
 * Tables: numbers (n: u64, primary key), texts (id: u64, primary key; text),
 * arrived and gone (connection: u64, primary key): who connected and left;
 * timers (id: u64, primary key; at: schedule; kind: u64), which call `tick`;
 * ticks (n: u64, primary key; timer: u64; at: i64), which it writes.
 *
 * Views: doubled, for everybody: (n: u64) for each number, twice as much; it
 * fails while there is a 13; mine, for each sender: the number of its identity.
 */
#include "../runtime/abi.h"

enum { DESCRIPTION_MAX = 8192, TEXT_MAX = 65536, NOT_UNIQUE = 12 };
/* Reducers by their number in the description. */
enum { INIT, CONNECTED, DISCONNECTED, UNIQUE_NUMBER, FAIL, PANIC, LOOP_FOREVER, PUT_TEXT, MANY, DELETE_NUMBER,
	PUT_VERSION, NOTHING, PUT_TIMER, DROP_TIMER, TICK };
enum { KIND_PLAIN, KIND_FAILS, KIND_TRAPS, KIND_DROPS_ITSELF, KIND_COMES_AGAIN }; /* of timers */
enum { VERSION_INIT_FAILS = 100, VERSION_INIT_TRAPS = 101, VERSION_START_TRAPS = 102 };
enum { DOUBLED, MINE }; /* views */
enum { NUMBERS_MAX = 256, UNLUCKY = 13, VIEW_ROWS = 2 /* what a view with a header returns */ };
enum { CONNECTION_REFUSED = 0xbad, CONNECTION_TRAPS = 0xdead, CONNECTION_STAYS = 0xfade };

static volatile struct {
	char mark[16];
	u32 version, len;
	u8 bytes[DESCRIPTION_MAX];
} self = { .mark = "WORLDLINE-SELF>", .version = 0xffffffffu };
static u8 args[TEXT_MAX];

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

static u32 put(const char *table, u32 table_len, const void *row, u32 len)
{
	u32 id;
	if (table_id_from_name((u32)table, table_len, (u32)&id) != 0)
		__builtin_trap();
	return datastore_insert_bsatn(id, (u32)row, (u32)&len);
}
#define PUT(table, row, len) put(table, sizeof(table) - 1, row, len)

static u32 put_number(u64 n)
{
	u64 row = n;
	return PUT("numbers", &row, sizeof(row));
}

static i32 error(u32 sink, const void *text, u32 len)
{
	sink_put(sink, text, len);
	return 1;
}
#define ERROR(literal) error(sink, literal, sizeof(literal) - 1)

static i32 init(u32 sink)
{
	put_number(0);
	if (self.version == VERSION_INIT_FAILS)
		return ERROR("init does not want to");
	if (self.version == VERSION_INIT_TRAPS)
		__builtin_trap();
	LOG("init ran");
	return 0;
}

static i32 connected(u64 connection, u32 sink)
{
	u64 row = connection;
	PUT("arrived", &row, sizeof(row));
	if (connection == CONNECTION_REFUSED)
		return ERROR("not you");
	if (connection == CONNECTION_TRAPS)
		__builtin_trap();
	return 0;
}

static i32 disconnected(u64 connection, u32 sink)
{
	u64 row = connection;
	PUT("gone", &row, sizeof(row));
	return connection == CONNECTION_STAYS ? ERROR("I stay") : 0;
}

static i32 delete_number(u64 n)
{
	static const char name[] = "numbers_n_idx_btree";
	u64 key = n;
	u32 id, deleted = 0;
	if (index_id_from_name((u32)name, sizeof(name) - 1, (u32)&id) != 0)
		__builtin_trap();
	datastore_delete_by_index_scan_point_bsatn(id, (u32)&key, sizeof(key), (u32)&deleted);
	return deleted == 1 ? 0 : 2;
}

static void drop_timer(u64 id)
{
	static const char name[] = "timers_id_idx_btree";
	u64 key = id;
	u32 index, deleted = 0;
	if (index_id_from_name((u32)name, sizeof(name) - 1, (u32)&index) != 0)
		__builtin_trap();
	datastore_delete_by_index_scan_point_bsatn(index, (u32)&key, sizeof(key), (u32)&deleted);
}

static u32 put_timer(u64 id, u8 tag, u64 micros, u64 kind)
{
	struct { u64 id; u8 tag; u64 micros, kind; } __attribute__((packed)) row = { id, tag, micros, kind };
	drop_timer(id);
	return PUT("timers", &row, sizeof(row));
}

static u64 arg_u64(u32 at)
{
	u64 v = 0;
	for (u32 i = 8; i-- > 0;)
		v = v << 8 | args[at + i];
	return v;
}

static i32 tick(u64 timestamp, u32 sink)
{
	static u64 ticks;
	u64 id = arg_u64(0), kind = arg_u64(17), row[3] = { ticks++, id, timestamp };
	PUT("ticks", row, sizeof(row));
	if (kind == KIND_FAILS)
		return ERROR("the tick fails");
	if (kind == KIND_TRAPS)
		__builtin_trap();
	if (kind == KIND_DROPS_ITSELF)
		drop_timer(id);
	if (kind == KIND_COMES_AGAIN)
		put_timer(id, 1, timestamp + 1000, KIND_PLAIN);
	return 0;
}

EXPORT(__call_reducer__)
i32 call_reducer(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 timestamp, u32 source, u32 sink)
{
	u32 len = args_read(source), status;
	u64 n = len >= 8 ? arg_u64(0) : 0;
	switch (id) {
	case INIT:
		return init(sink);
	case CONNECTED:
		return connected(c0, sink);
	case DISCONNECTED:
		return disconnected(c0, sink);
	case UNIQUE_NUMBER:
		status = put_number(n);
		return status == NOT_UNIQUE ? ERROR("the number is taken") : (i32)status;
	case FAIL:
		put_number(n);
		return error(sink, args + 12, len - 12);
	case PANIC:
		put_number(n);
		__builtin_trap();
	case LOOP_FOREVER:
		put_number(n);
		for (;;)
			(void)self.version;
	case PUT_TEXT:
		status = PUT("texts", args, len);
		return status == NOT_UNIQUE ? ERROR("the text is there") : (i32)status;
	case MANY:
		for (u64 i = 0, count = arg_u64(8); i < count; i++)
			put_number(n + i);
		return 0;
	case DELETE_NUMBER:
		return delete_number(n);
	case PUT_VERSION:
		put_number(1000000 + self.version);
		return 0;
	case PUT_TIMER:
		return (i32)put_timer(n, (u8)arg_u64(8), arg_u64(16), arg_u64(24));
	case DROP_TIMER:
		drop_timer(n);
		return 0;
	case TICK:
		return tick(timestamp, sink);
	default:
		return 0;
	}
}

/* What an iterator has, and its end. */
static u32 take_all(u32 iter, void *out, u32 room)
{
	u32 at = 0;
	for (i32 code = 0; code == 0;) {
		u32 len = room - at;
		code = (i32)(short)row_iter_bsatn_advance(iter, (u32)out + at, (u32)&len);
		at += len;
	}
	return at;
}

static i32 view_rows(u32 sink, const u64 *rows, u32 count)
{
	u8 header = 0; /* rows, not a query */
	sink_put(sink, &header, 1);
	sink_put(sink, &count, 4);
	sink_put(sink, rows, count * 8);
	return VIEW_ROWS;
}

static u64 numbers[NUMBERS_MAX];

EXPORT(__call_view_anon__) i32 call_view_anon(u32 id, u32 source, u32 sink)
{
	u32 table, iter, count;
	if (id != DOUBLED || table_id_from_name((u32)"numbers", 7, (u32)&table) != 0 ||
		datastore_table_scan_bsatn(table, (u32)&iter) != 0)
		__builtin_trap();
	count = take_all(iter, numbers, sizeof(numbers)) / 8;
	for (u32 i = 0; i < count; i++) {
		if (numbers[i] == UNLUCKY)
			return -1;
		numbers[i] *= 2;
	}
	return view_rows(sink, numbers, count);
}

EXPORT(__call_view__) i32 call_view(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u32 source, u32 sink)
{
	static const char name[] = "numbers_n_idx_btree";
	u64 key = s0;
	u32 index, iter;
	if (id != MINE || index_id_from_name((u32)name, sizeof(name) - 1, (u32)&index) != 0 ||
		datastore_index_scan_point_bsatn(index, (u32)&key, sizeof(key), (u32)&iter) != 0)
		__builtin_trap();
	u32 count = take_all(iter, numbers, sizeof(numbers)) / 8;
	return view_rows(sink, numbers, count);
}

EXPORT(__preinit__10_start) void start(void)
{
	if (self.version == VERSION_START_TRAPS)
		__builtin_trap();
}

EXPORT(__describe_module__) void describe(u32 sink)
{
	sink_put(sink, (const void *)self.bytes, self.len);
}
