/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module that lies: wrong codes, sinks never written or written for ever, handles of former calls, calls in the wrong
 * context, views that write and that change what they read. tests/e2e/liars.py describes it and says what must come of
 * each lie.
 */
#include "../../unit/data/runtime/abi.h"
#include "description.h" /* static const u8 description[] */

static u8 buffer[1 << 16];
static char said[64];
static u32 said_len, kept_iterator, kept_source, kept_sink;

static void say(u32 code)
{
	if (said_len > 0)
		said[said_len++] = ' ';
	if (code == 0xffffffff) {
		said[said_len++] = '-';
		code = 1;
	}
	if (code > 9)
		said[said_len++] = (char)('0' + code / 10 % 10);
	said[said_len++] = (char)('0' + code % 10);
}

static u32 table(const char *name, u32 len)
{
	u32 id = 0;
	return table_id_from_name((u32)name, len, (u32)&id) == 0 ? id : 0;
}

static u32 insert_row(void)
{
	static u8 row[9];
	u32 len = 8;
	for (u32 i = 0; i < 8; i++)
		row[i] = 0;
	return datastore_insert_bsatn(table("rows", 4), (u32)row, (u32)&len);
}

static void write_for_ever(u32 sink)
{
	u32 len = sizeof(buffer);
	while (bytes_sink_write(sink, (u32)buffer, (u32)&len) == 0)
		;
}

static u32 first_byte(u32 source)
{
	u32 len = 1;
	u8 value = 0;
	bytes_source_read(source, (u32)&value, (u32)&len);
	return value;
}

static void set_mode(u8 mode)
{
	u32 id = table("mode", 4), len = 2;
	u64 cleared;
	u8 row[2] = { 0, mode };
	datastore_clear(id, (u32)&cleared);
	datastore_insert_bsatn(id, (u32)row, (u32)&len);
}

EXPORT(__describe_module__) void describe(u32 sink)
{
	sink_put(sink, description, sizeof(description));
}

#define CALLER u64 s0, u64 s1, u64 s2, u64 s3
#define CONNECTION u64 c0, u64 c1, u64 timestamp
EXPORT(__call_reducer__) i32 reducer(u32 id, CALLER, CONNECTION, u32 args, u32 sink)
{
	u32 len = sizeof(buffer), out = 0;
	i64 micros;
	said_len = 0;
	switch (id) {
	case 0: /* insert_and_return(code) */
		len = 4;
		bytes_source_read(args, (u32)&out, (u32)&len);
		insert_row();
		return (i32)out;
	case 1: /* keep_handles(one) */
		datastore_table_scan_bsatn(table("rows", 4), (u32)&kept_iterator);
		kept_source = args;
		kept_sink = sink;
		return 0;
	case 2: /* use_handles: of a former call; the rows, twice */
		say(bytes_source_read(kept_source, (u32)buffer, (u32)&len));
		say(bytes_sink_write(kept_sink + 1, (u32)buffer, (u32)&len));
		say(row_iter_bsatn_advance(kept_iterator, (u32)buffer, (u32)&len));
		say(row_iter_bsatn_advance(kept_iterator, (u32)buffer, (u32)&len));
		say(row_iter_bsatn_close(kept_iterator));
		break;
	case 3: /* iterators */
		insert_row();
		for (;;)
			datastore_table_scan_bsatn(table("rows", 4), (u32)&out);
	case 4: /* sinks */
		write_for_ever(sink);
		return 1;
	case 5: /* contexts */
		say(procedure_start_mut_tx((u32)&micros));
		say(procedure_commit_mut_tx());
		say(procedure_abort_mut_tx());
		break;
	case 6: /* describe_again: as the text of an error */
		describe(sink);
		return 1;
	case 7: /* mode(value) */
		set_mode((u8)first_byte(args));
		return 0;
	case 8: /* timers */
		for (;;)
			console_timer_start((u32)buffer, 1000);
	default: /* recursion through the module's own export */
		return reducer(id, s0, s1, s2, s3, c0, c1, timestamp, args, sink) + 1;
	}
	sink_put(sink, said, said_len);
	return 1;
}

EXPORT(__call_procedure__) i32 procedure(u32 id, CALLER, CONNECTION, u32 args, u32 sink)
{
	u64 result = 7;
	i64 micros;
	switch (first_byte(args)) {
	case 0: return 5;
	case 1: return 0;
	case 2: sink_put(sink, "x", 1); return 0;
	case 3: /* a transaction is left open */
		procedure_start_mut_tx((u32)&micros);
		insert_row();
		result = procedure_start_mut_tx((u32)&micros);
		break;
	case 4:
		procedure_start_mut_tx((u32)&micros);
		insert_row();
		__builtin_trap();
	case 5:
		procedure_start_mut_tx((u32)&micros);
		insert_row();
		result = procedure_commit_mut_tx();
		break;
	case 6:
		procedure_start_mut_tx((u32)&micros);
		insert_row();
		procedure_sleep_until(micros + 60000000);
		break;
	case 7: result = procedure_commit_mut_tx() * 100 + procedure_abort_mut_tx(); break;
	case 8: write_for_ever(sink); return 0;
	case 9: /* a view is told to lie within a commit */
		procedure_start_mut_tx((u32)&micros);
		set_mode(4);
		result = procedure_commit_mut_tx();
		break;
	case 10: result = insert_row(); break;
	default: /* a view meddles with the transaction that refreshes it */
		procedure_start_mut_tx((u32)&micros);
		set_mode(5);
		result = procedure_commit_mut_tx();
	}
	sink_put(sink, &result, sizeof(result));
	return 0;
}

/* What it does is said by the only row of `mode`, which it reads: a changed mode runs it in the same transaction. */
EXPORT(__call_view_anon__) i32 view(u32 id, u32 args, u32 sink)
{
	u32 iterator, len = sizeof(buffer);
	i64 micros;
	if (datastore_table_scan_bsatn(table("mode", 4), (u32)&iterator) != 0)
		return 1;
	row_iter_bsatn_advance(iterator, (u32)buffer, (u32)&len);
	switch (len == 2 ? buffer[1] : 0) {
	case 1: return 7;
	case 2: return 2;
	case 3: sink_put(sink, "\0\2\0\0\0\1", 6); return 2;
	case 4: __builtin_trap();
	case 5:
		procedure_start_mut_tx((u32)&micros);
		procedure_commit_mut_tx();
		procedure_abort_mut_tx();
		break;
	case 6: insert_row(); break;
	case 7: return 0;
	case 8: sink_put(sink, "\1\xff\xff\xff\xff", 5); return 2;
	case 9: for (;;) buffer[0]++;
	case 10: sink_put(sink, "\0\xff\xff\xff\xff", 5); return 2;
	case 11: write_for_ever(sink); return 2;
	case 12: set_mode((u8)(12 + (len & 1))); break; /* what it reads itself */
	default: break;
	}
	sink_put(sink, "\0\0\0\0\0", 5);
	return 2;
}

EXPORT(__call_http_handler__)
i32 handler(u32 id, u64 timestamp, u32 request, u32 body, u32 response, u32 response_body)
{
	i64 micros;
	switch (first_byte(body)) {
	case '0': return 1;
	case '1': return 0;
	case '2': sink_put(response, "\1\0\0\0\3\0\0\0a\r\n\1\0\0\0b\2\xc8\0", 19); return 0;
	case '3': write_for_ever(response_body); return 0;
	case '4':
		procedure_start_mut_tx((u32)&micros);
		insert_row();
		break;
	case '5': __builtin_trap();
	case '6': sink_put(response, "\xff\xff\xff\xff", 4); return 0;
	default: break;
	}
	sink_put(response, "\0\0\0\0\2\xc8\0", 7);
	return 0;
}
