/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both stand-ins for modules in other languages do: a description (BSATN,
 * made by the test), two reducers, a procedure, two views, an HTTP handler.
 * `trail` says in which order the host called what.
 */
#include "../../unit/data/runtime/abi.h"
#include "description.h" /* static const u8 description[] */

static char trail[256];
static u32 trail_len;

static void step(char what)
{
	if (trail_len < sizeof(trail))
		trail[trail_len++] = what;
}

static u8 row[256];

static u32 read_all(u32 source, u8 *to, u32 room)
{
	u32 len = room;
	if (source == 0)
		return 0;
	bytes_source_read(source, (u32)to, (u32)&len);
	return len;
}

static u32 person_table(void)
{
	u32 id = 0;
	if (table_id_from_name((u32)"person", 6, (u32)&id) != 0)
		__builtin_trap();
	return id;
}

/* Reducer 0 `add(id: u32, name: string)`: its arguments are the row. 1 `trail()`: fails with what happened so far. */
static i32 call_reducer(u32 id, u32 args, u32 error)
{
	if (id == 1) {
		sink_put(error, trail, trail_len);
		return 1;
	}
	u32 len = read_all(args, row, sizeof(row));
	return datastore_insert_bsatn(person_table(), (u32)row, (u32)&len) == 0 ? 0 : 2;
}

/* Procedure 0 `count() -> u64`, in a transaction of its own. */
static i32 call_procedure(u32 result)
{
	u64 count = 0;
	i64 micros = 0;
	if (procedure_start_mut_tx((u32)&micros) != 0)
		__builtin_trap();
	datastore_table_row_count(person_table(), (u32)&count);
	if (procedure_commit_mut_tx() != 0)
		__builtin_trap();
	sink_put(result, &count, sizeof(count));
	return 0;
}

/* Both views: SELECT * FROM person, as a query. */
static i32 call_view(u32 sink)
{
	static const char sql[] = "SELECT * FROM person";
	u32 len = sizeof(sql) - 1;
	sink_put(sink, "\1", 1);
	sink_put(sink, &len, sizeof(len));
	sink_put(sink, sql, len);
	return 2;
}

/* 200, no headers, HTTP/1.1; the body is the request's. */
static i32 call_handler(u32 body, u32 response, u32 response_body)
{
	static const u8 head[] = { 0, 0, 0, 0, 2, 200, 0 };
	u32 len = read_all(body, row, sizeof(row));
	sink_put(response, head, sizeof(head));
	sink_put(response_body, row, len);
	return 0;
}

#define CALLER u64 s0, u64 s1, u64 s2, u64 s3
#define CONNECTION u64 c0, u64 c1, u64 timestamp
EXPORT(__call_reducer__) i32 reducer(u32 id, CALLER, CONNECTION, u32 args, u32 error)
{
	return call_reducer(id, args, error);
}

EXPORT(__call_procedure__) i32 procedure(u32 id, CALLER, CONNECTION, u32 args, u32 result)
{
	return call_procedure(result);
}

EXPORT(__call_view__) i32 view(u32 id, CALLER, u32 args, u32 rows)
{
	return call_view(rows);
}

EXPORT(__call_view_anon__) i32 view_anon(u32 id, u32 args, u32 rows)
{
	return call_view(rows);
}

EXPORT(__call_http_handler__)
i32 handler(u32 id, u64 timestamp, u32 request, u32 body, u32 response, u32 response_body)
{
	return call_handler(body, response, response_body);
}

EXPORT(__describe_module__) void describe(u32 sink)
{
	step('!');
	for (u32 at = 0; at < sizeof(description);) {
		u32 len = sizeof(description) - at > 64 ? 64 : sizeof(description) - at;
		sink_put(sink, description + at, len);
		at += len;
	}
}
