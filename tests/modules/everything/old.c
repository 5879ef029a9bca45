/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the contract about players (README.md) as a module made before 2.0 would do it: a description V9, imports
 * of ABI 10.0 under their old names where they have one, deletions by value, views that return bare arrays (code 0).
 * No SDK emits this any more. Written by hand; tests/e2e/everything_old.py has the description.
 */
#include "../../unit/data/runtime/abi.h"
#include "description.h" /* static const u8 description[] */

static u8 arguments[1 << 12], rows[1 << 16];

static void must(u32 code)
{
	if (code != 0)
		__builtin_trap();
}

static u32 size_of(const char *text)
{
	u32 n = 0;
	while (text[n] != 0)
		n++;
	return n;
}

static u32 table(const char *name)
{
	u32 id;
	must(table_id_from_name((u32)name, size_of(name), (u32)&id));
	return id;
}

static u32 index_of(const char *name)
{
	u32 id;
	must(index_id_from_name((u32)name, size_of(name), (u32)&id));
	return id;
}

static void copy(u8 *to, const void *from, u32 len)
{
	for (u32 i = 0; i < len; i++)
		to[i] = ((const u8 *)from)[i];
}

static u32 load32(const u8 *at)
{
	return (u32)at[0] | (u32)at[1] << 8 | (u32)at[2] << 16 | (u32)at[3] << 24;
}

/* ---- journal ---- */

static void write_number(const char *word, u64 number)
{
	static u8 row[64];
	u32 len = size_of(word), digits = 1, zero[2] = { 0, 0 };
	for (u64 n = number; n >= 10; n /= 10)
		digits++;
	copy(row, zero, 8);
	u32 text = len + digits, whole = 12 + text;
	copy(row + 8, &text, 4);
	copy(row + 12, word, len);
	for (u32 i = digits; i > 0; number /= 10)
		row[11 + len + i--] = (u8)('0' + number % 10);
	must(datastore_insert_bsatn(table("journal"), (u32)row, (u32)&whole));
}

/* ---- players ---- */

static u32 player_size(const u8 *row)
{
	return 8 + 4 + load32(row + 8) + 2 + 4 + 1 + 1;
}

/* Reads all rows of an iterator into `rows` behind a place for their count; the bytes of the rows. */
static u32 read_rows(u32 iterator)
{
	u32 at = 4, count = 0;
	for (i32 code = 0; code == 0;) {
		u32 len = sizeof(rows) - at;
		code = (i32)row_iter_bsatn_advance(iterator, (u32)(rows + at), (u32)&len);
		if (code > 0)
			__builtin_trap();
		at += len;
	}
	for (u32 row = 4; row < at; row += player_size(rows + row))
		count++;
	copy(rows, &count, 4);
	return at - 4;
}

static u8 low[16], high[16];

/* Bounds of a range of one column: `size` bytes each; tags 0 included, 1 excluded. */
static void bounds(const void *from, const void *to, u32 size, u8 to_tag)
{
	low[0] = 0;
	high[0] = to_tag;
	copy(low + 1, from, size);
	copy(high + 1, to, size);
}

static u32 scan(const char *index, const void *prefix, u32 prefix_len, u32 size)
{
	u32 iterator;
	must(datastore_btree_scan_bsatn(index_of(index), (u32)prefix, prefix_len, prefix_len > 0, (u32)low, 1 + size,
		(u32)high, 1 + size, (u32)&iterator));
	return read_rows(iterator);
}

static u32 scan_point(const char *index, const void *key, u32 size)
{
	u32 iterator;
	must(datastore_index_scan_point_bsatn(index_of(index), (u32)key, size, (u32)&iterator));
	return read_rows(iterator);
}

static u32 scan_all(void)
{
	u32 iterator;
	must(datastore_table_scan_bsatn(table("player"), (u32)&iterator));
	return read_rows(iterator);
}

static u32 delete_read(const char *name, u32 len)
{
	u32 deleted = 0;
	must(datastore_delete_all_by_eq_bsatn(table(name), (u32)rows, 4 + len, (u32)&deleted));
	return deleted;
}

static void empty_found(void)
{
	static u8 relation[1 << 12];
	u32 iterator, deleted, len = sizeof(relation) - 4;
	must(datastore_table_scan_bsatn(table("found"), (u32)&iterator));
	if ((i32)row_iter_bsatn_advance(iterator, (u32)(relation + 4), (u32)&len) != -1)
		__builtin_trap();
	u32 count = len / 12;
	copy(relation, &count, 4);
	must(datastore_delete_all_by_eq_bsatn(table("found"), (u32)relation, 4 + len, (u32)&deleted));
}

static void show(u32 len)
{
	static u8 row[12];
	u32 position = 0;
	empty_found();
	for (u32 at = 4; at < 4 + len; at += player_size(rows + at)) {
		u32 size = 12;
		copy(row, &position, 4);
		copy(row + 4, rows + at, 8);
		must(datastore_insert_bsatn(table("found"), (u32)row, (u32)&size));
		position++;
	}
}

static i32 fail(u32 sink, const char *text)
{
	sink_put(sink, text, size_of(text));
	return 1;
}

static i32 add_player(u32 len, u32 sink)
{
	static u8 row[1 << 12];
	u32 zero[2] = { 0, 0 }, size = len + 8;
	u64 id = 0;
	copy(row, zero, 8);
	copy(row + 8, arguments, len);
	u32 code = datastore_insert_bsatn(table("player"), (u32)row, (u32)&size);
	if (code == 12)
		return fail(sink, "taken");
	must(code);
	copy((u8 *)&id, row, size);
	write_number("player ", id);
	return 0;
}

static i32 drop_player(u32 sink)
{
	bounds(arguments, arguments, 8, 0);
	u32 len = scan("player_id_idx_btree", 0, 0, 8);
	return delete_read("player", len) == 1 ? 0 : fail(sink, "no such player");
}

static void drop_team_ranks(void)
{
	u32 deleted;
	bounds(arguments + 4, arguments + 5, 1, 0);
	must(datastore_delete_by_btree_scan_bsatn(index_of("player_team_rank_name_idx_btree"), (u32)arguments, 4, 1,
		(u32)low, 2, (u32)high, 2, (u32)&deleted));
	write_number("dropped ", deleted);
}

static void keep_secret(const u64 sender[4], u32 len)
{
	static u8 row[1 << 12];
	u32 size = len + 32;
	copy(row, arguments, 4);
	copy(row + 4, sender, 32);
	copy(row + 36, arguments + 4, len - 4);
	must(datastore_insert_bsatn(table("secret"), (u32)row, (u32)&size));
}

EXPORT(__call_reducer__)
i32 reducer(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 timestamp, u32 source, u32 sink)
{
	u32 len = sizeof(arguments);
	u64 count, sender[4] = { s0, s1, s2, s3 };
	if (source != 0)
		bytes_source_read(source, (u32)arguments, (u32)&len);
	switch (id) {
	case 0: return add_player(len, sink);
	case 1:
		must(datastore_update_bsatn(table("player"), index_of("player_id_idx_btree"), (u32)arguments, (u32)&len));
		break;
	case 2: return drop_player(sink);
	case 3: show(scan_point("player_name_idx_btree", arguments, len)); break;
	case 4:
		bounds(arguments, arguments, 2, 0);
		show(scan("player_slot_idx_direct", 0, 0, 2));
		break;
	case 5:
		bounds(arguments, arguments, 4, 0);
		show(scan("player_team_idx_btree", 0, 0, 4));
		break;
	case 6: show(scan_point("player_color_idx_hash", arguments, 1)); break;
	case 7:
		bounds(arguments + 4, arguments + 5, 1, 0);
		show(scan("player_team_rank_name_idx_btree", arguments, 4, 1));
		break;
	case 8:
		bounds(arguments, arguments + 4, 4, 1);
		show(scan("player_team_idx_btree", 0, 0, 4));
		break;
	case 9: show(scan_all()); break;
	case 10: drop_team_ranks(); break;
	case 11: write_number("cleared ", delete_read("player", scan_all())); break;
	case 12:
		must(datastore_table_row_count(table("player"), (u32)&count));
		write_number("counted ", count);
		break;
	case 13: keep_secret(sender, len); break;
	default: __builtin_trap();
	}
	return 0;
}

/* ---- views ---- */

/* Legacy: an array of rows and nothing before it. */
static i32 give(u32 sink, u32 len)
{
	sink_put(sink, rows, 4 + len);
	return 0;
}

static i32 team_sizes(u32 sink)
{
	static u32 sizes[8];
	u32 count = 0;
	for (u32 team = 0; team < 4; team++) {
		bounds(&team, &team, 4, 0);
		scan("player_team_idx_btree", 0, 0, 4);
		if (load32(rows) > 0) {
			sizes[2 * count] = team;
			sizes[2 * count++ + 1] = load32(rows);
		}
	}
	sink_put(sink, &count, 4);
	sink_put(sink, sizes, 8 * count);
	return 0;
}

EXPORT(__call_view_anon__) i32 view_anonymous(u32 id, u32 args, u32 sink)
{
	static const char query[] = "SELECT * FROM player WHERE rank > 100";
	static const u8 slot[2] = { 1, 0 };
	u32 len = sizeof(query) - 1;
	switch (id) {
	case 0: return give(sink, scan_point("player_slot_idx_direct", slot, 2));
	case 1:
		sink_put(sink, "\1", 1);
		sink_put(sink, &len, 4);
		sink_put(sink, query, len);
		return 2;
	case 2: return give(sink, scan_point("player_color_idx_hash", "\0", 1));
	default: return team_sizes(sink);
	}
}

EXPORT(__call_view__) i32 view_of_sender(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u32 args, u32 sink)
{
	u64 sender[4] = { s0, s1, s2, s3 };
	u32 iterator, len = sizeof(rows) - 4, count = 0;
	must(datastore_index_scan_point_bsatn(index_of("secret_who_idx_btree"), (u32)sender, 32, (u32)&iterator));
	if ((i32)row_iter_bsatn_advance(iterator, (u32)(rows + 4), (u32)&len) != -1)
		__builtin_trap();
	for (u32 at = 4; at < 4 + len; at += 4 + 32 + 4 + load32(rows + at + 36))
		count++;
	copy(rows, &count, 4);
	return give(sink, len);
}

EXPORT(__describe_module__) void describe(u32 sink)
{
	sink_put(sink, description, sizeof(description));
}
