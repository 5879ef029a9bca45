/* SPDX-License-Identifier: Apache-2.0 */
/* Every import with good and bad arguments, through a real guest and a real store. Expectations: module-abi.md 2, and
 * what the conformance kit recorded. */
#include "unit/runtime_fixture.h"

#include "base/arena.h"

/* ---- tables ---- */
/*
 * pair   a U32 primary key (btree), b String (btree)        alias "Pair"
 * auto   id U64 primary key, generated, name String
 * blobs  id U32 unique (hash), data Array<U8>
 */
static struct fixture f;
static struct arena arena;
static uint32_t pair, automatic, blobs, pair_a, pair_b, auto_id, blobs_id;

static uint32_t table(const char *name, const char *accessor, const struct store_column *columns, uint32_t column_count,
	struct store_index_def *indexes, uint32_t index_count, const struct store_sequence_def *sequences,
	uint32_t sequence_count)
{
	static const uint16_t first = 0;
	struct sats_element elements[4];
	for (uint32_t i = 0; i < column_count; i++)
		elements[i] = (struct sats_element){ columns[i].name, columns[i].type };
	struct store_constraint_def unique = { .name = arena_printf(&arena, "%s_unique", name), .column_count = 1,
		.columns = &first };
	struct store_table_def def = { .name = str_of(name), .accessor = str_of(accessor),
		.row_type = sats_product_of(&arena, elements, column_count), .column_count = column_count, .columns = columns,
		.index_count = index_count, .indexes = indexes, .constraint_count = 1, .constraints = &unique,
		.sequence_count = sequence_count, .sequences = sequences, .primary_key = 0, .schedule_at = -1,
		.is_public = true };
	struct store_table *out;
	ck_assert_int_eq(store_table_create(f.store, &def, &out), STORE_OK);
	return store_table_def(out)->id;
}

static uint32_t index_of(const char *name)
{
	struct store_index *index = store_index_by_name(f.store, str_of(name));
	ck_assert_msg(index != NULL, "no index %s", name);
	return store_index_def(index)->id;
}

static void make_tables(void)
{
	static const uint16_t c0 = 0, c1 = 1;
	const struct sats_type *u32 = &sats_primitive[SATS_U32], *u64 = &sats_primitive[SATS_U64],
		*string = &sats_primitive[SATS_STRING];
	arena_init(&arena, 1 << 20);
	store_tx_begin(f.store);
	struct store_column pair_columns[] = { { STR("a"), STR("a"), u32 }, { STR("b"), STR("b"), string } };
	struct store_index_def pair_indexes[] = {
		{ .name = STR("pair_a_idx_btree"), .kind = STORE_BTREE, .unique = true, .column_count = 1, .columns = &c0 },
		{ .name = STR("pair_b_idx_btree"), .accessor = STR("by_b"), .kind = STORE_BTREE, .column_count = 1,
			.columns = &c1 },
	};
	pair = table("pair", "Pair", pair_columns, 2, pair_indexes, 2, NULL, 0);
	struct store_column auto_columns[] = { { STR("id"), STR("id"), u64 }, { STR("name"), STR("name"), string } };
	struct store_index_def auto_indexes[] = {
		{ .name = STR("auto_id_idx_btree"), .kind = STORE_BTREE, .unique = true, .column_count = 1, .columns = &c0 },
	};
	struct store_sequence_def sequence = { .name = STR("auto_id_seq"), .column = 0, .start = 1, .min = 1,
		.max = ((i128)1 << 126) - 1 + ((i128)1 << 126), .increment = 1 };
	automatic = table("auto", "auto", auto_columns, 2, auto_indexes, 1, &sequence, 1);
	struct store_column blob_columns[] = { { STR("id"), STR("id"), u32 }, { STR("data"), STR("data"), &sats_bytes } };
	struct store_index_def blob_indexes[] = {
		{ .name = STR("blobs_id_idx_hash"), .kind = STORE_HASH, .unique = true, .column_count = 1, .columns = &c0 },
	};
	blobs = table("blobs", "blobs", blob_columns, 2, blob_indexes, 1, NULL, 0);
	struct store_delta delta;
	ck_assert_int_eq(store_tx_commit(f.store, &delta), STORE_OK);
	pair_a = index_of("pair_a_idx_btree");
	pair_b = index_of("pair_b_idx_btree");
	auto_id = index_of("auto_id_idx_btree");
	blobs_id = index_of("blobs_id_idx_hash");
}

static void setup(void)
{
	fixture_init(&f, NULL);
	make_tables();
	must_load(&f, "script");
}

static void teardown(void)
{
	fixture_deinit(&f);
	arena_deinit(&arena);
}

/* Script: inserts the row {a, b} into `pair`. Yields the result. */
enum { ROW = SCRATCH + 0x100, LEN = SCRATCH + 0x80, OUT = SCRATCH + 0x40, BUF = SCRATCH + 0x10000, END = 32 * 65536 };
static void insert_pair(uint32_t a, const char *b)
{
	uint32_t len = (uint32_t)strlen(b);
	script_set_u32(&f, ROW, a);
	script_set_u32(&f, ROW + 4, len);
	script_set(&f, ROW + 8, b, len);
	script_set_u32(&f, LEN, 8 + len);
	script_call(&f, INSERT, 3, pair, ROW, LEN);
}

/* Script: one advance of the iterator whose handle is at OUT + 4 * n, with a buffer of `cap`; yields code, length. */
static void advance(uint32_t n, uint32_t cap)
{
	script_set_u32(&f, LEN, cap);
	script_call_at(&f, ADVANCE, OUT + 4 * n, 2, BUF, LEN);
	script_get(&f, LEN, 4);
}

static void commit(void)
{
	struct store_delta delta;
	ck_assert_int_eq(store_tx_commit(f.store, &delta), STORE_OK);
}

static const char *hex_u32(uint32_t v)
{
	static char text[4][9];
	static int at;
	uint8_t le[4];
	store_u32(le, v);
	at = (at + 1) % 4;
	hex_encode(le, 4, text[at]);
	return text[at];
}

static const char *output(const char *format, ...) PRINTF_LIKE(1, 2);
static const char *output(const char *format, ...)
{
	static char text[4096];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return text;
}

/* ---- names ---- */

/* Goal: canonical names, aliases, and what is none; `out` is written on success only. */
START_TEST(names_are_looked_up)
{
	static const struct { enum guest_call call; const char *name; bool found; } names[] = {
		{ TABLE_ID, "pair", true }, { TABLE_ID, "Pair", true }, { TABLE_ID, "PAIR", false }, { TABLE_ID, "", false },
		{ TABLE_ID, "pair_a_idx_btree", false }, { TABLE_ID, "st_client", true },
		{ INDEX_ID, "pair_b_idx_btree", true }, { INDEX_ID, "by_b", true }, { INDEX_ID, "pair", false },
	};
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		script_set_text(&f, ROW, names[i].name);
		script_set_u32(&f, OUT, 0xeeeeeeee);
		script_call(&f, names[i].call, 3, ROW, (uint32_t)strlen(names[i].name), OUT);
		script_get(&f, OUT, 4);
		if (!names[i].found) {
			EXPECT(&f, names[i].call == TABLE_ID ? "04000000 eeeeeeee" : "05000000 eeeeeeee");
			continue;
		}
		uint32_t id = names[i].call == INDEX_ID ? pair_b : names[i].name[0] == 's' ? ST_CLIENT : pair;
		EXPECT(&f, output("00000000 %s", hex_u32(id)));
	}
	script_set(&f, ROW, "\xff\xfe", 2);
	script_call(&f, TABLE_ID, 3, ROW, 2, OUT);
	EXPECT_TRAP(&f, "invalid utf8 passed to a spacetime function");
}
END_TEST

/* ---- pointers ---- */

/* Arguments with which a call is fine: a valid row {7, "x"}, bounds Unbounded, a relation of no rows, all at ROW. */
static void fine_args(enum guest_call call, int count, uint32_t args[9])
{
	bool range = call == SCAN_RANGE || call == BTREE_SCAN || call == DELETE_RANGE || call == DELETE_BTREE;
	bool point = call == SCAN_POINT || call == DELETE_POINT;
	for (int k = 0; k < count; k++)
		args[k] = ROW;
	if (range) {
		uint32_t fine[] = { pair_a, 0, 0, 0, ROW, 1, ROW, 1, OUT };
		memcpy(args, fine, sizeof(fine));
	} else if (point) {
		args[0] = pair_a;
		args[2] = 4;
	} else if (call == TABLE_ID || call == INDEX_ID || call == TIMER_START) {
		args[1] = 5;
	} else if (call == DELETE_EQ) {
		args[0] = pair;
		args[2] = 4;
	} else if (call == IMMEDIATE) {
		args[1] = args[3] = 2;
	} else if (call == UPDATE) {
		args[0] = pair;
		args[1] = pair_a;
		args[3] = LEN;
	} else if (call == INSERT) {
		args[0] = pair;
		args[2] = LEN;
	} else if (call == SINK_WRITE) {
		reload(&f);
		args[0] = 2;
		args[2] = LEN;
	} else if (count == 2 && call != GET_JWT) {
		args[0] = pair;
	}
	if (range)
		script_set(&f, ROW, "\2", 1);
	else if (call == DELETE_EQ)
		script_set_u32(&f, ROW, 0);
	else
		script_set(&f, ROW, "\7\0\0\0\1\0\0\0x", 9);
	script_set_u32(&f, LEN, 9);
}

/* Goal: for every pointer of every import: 0 traps even with length 0, past the end traps, exactly at the end with
 * length 0 does not; console_log never traps. Method: `bad` replaces one argument of a call that is otherwise fine. */
START_TEST(bad_pointers_trap)
{
	static const struct { enum guest_call call; int count, pointer; bool sized; } calls[] = {
		{ TABLE_ID, 3, 0, true }, { INDEX_ID, 3, 0, true }, { TABLE_SCAN, 2, 1, false }, { ROW_COUNT, 2, 1, false },
		{ SCAN_RANGE, 9, 4, true }, { SCAN_RANGE, 9, 6, true }, { SCAN_RANGE, 9, 8, false }, { BTREE_SCAN, 9, 4, true },
		{ DELETE_RANGE, 9, 4, true }, { DELETE_RANGE, 9, 8, false }, { DELETE_BTREE, 9, 6, true },
		{ DELETE_EQ, 4, 1, true }, { DELETE_EQ, 4, 3, false }, { SCAN_POINT, 4, 1, true }, { SCAN_POINT, 4, 3, false },
		{ DELETE_POINT, 4, 1, true }, { DELETE_POINT, 4, 3, false }, { INSERT, 3, 1, false }, { INSERT, 3, 2, false },
		{ UPDATE, 4, 2, false }, { UPDATE, 4, 3, false }, { IMMEDIATE, 4, 0, true }, { IMMEDIATE, 4, 2, true },
		{ TIMER_START, 2, 0, true }, { IDENTITY, 1, 0, false }, { GET_JWT, 2, 0, false }, { GET_JWT, 2, 1, false },
		{ CLEAR, 2, 1, false }, { SINK_WRITE, 3, 1, false }, { SINK_WRITE, 3, 2, false },
	};
	for (size_t i = 0; i < ARRAY_COUNT(calls); i++)
		for (int variant = 0; variant < 4; variant++) {
			if (variant == 3 && !calls[i].sized)
				continue;
			static const uint32_t bad[] = { 0, END - 1, UINT32_MAX, 0 };
			uint32_t args[9] = { 0 };
			enum guest_call call = calls[i].call;
			fine_args(call, calls[i].count, args);
			args[calls[i].pointer] = bad[variant];
			if (variant == 3)
				args[calls[i].pointer + 1] = 0;
			buf_put(&f.script, (uint8_t[]){ 1, (uint8_t)call, (uint8_t)calls[i].count }, 3);
			for (int k = 0; k < calls[i].count; k++) {
				buf_put_u8(&f.script, 0);
				buf_put_u32(&f.script, args[k]);
			}
			struct runtime_result result;
			enum runtime_outcome outcome = run_script(&f, &result);
			const char *reason = args[calls[i].pointer] == 0 ? "null pointer passed" : "out of bounds pointer passed";
			if (bad[variant] == END - 1 && calls[i].sized && args[calls[i].pointer + 1] == 1) {
				ck_assert_int_eq(outcome, RUNTIME_USER_ERROR); /* one byte is there */
				continue;
			}
			buf_clear(&f.text);
			buf_put_str(&f.text, result.text);
			ck_assert_msg(outcome == RUNTIME_TRAP && strstr(buf_text(&f.text), reason) != NULL,
				"call %d pointer %d variant %d: outcome %d %s", call, calls[i].pointer, variant, outcome,
				buf_text(&f.text));
			reload(&f);
		}
	script_call(&f, TABLE_ID, 3, END, 0, OUT);
	script_call(&f, IMMEDIATE, 4, END, 0, END, 0);
	script_call(&f, SCAN_POINT, 4, pair_a, END, 0, OUT);
	EXPECT(&f, "04000000 00000000 03000000");
}
END_TEST

/* Goal: a prefix of no columns is ignored even if its pointer is NULL; with columns it is read; above u16 trap. */
START_TEST(prefixes)
{
	script_set(&f, ROW, "\2", 1);
	script_call(&f, SCAN_RANGE, 9, pair_a, 0, 77, 0, ROW, 1, ROW, 1, OUT);
	script_call(&f, SCAN_RANGE, 9, pair_a, ROW, 4, 1, ROW, 1, ROW, 1, OUT);
	EXPECT(&f, "00000000 03000000");
	script_call(&f, SCAN_RANGE, 9, pair_a, 0, 4, 1, ROW, 1, ROW, 1, OUT);
	EXPECT_TRAP(&f, "null pointer");
	script_call(&f, SCAN_RANGE, 9, pair_a, ROW, 4, 65536, ROW, 1, ROW, 1, OUT);
	EXPECT_TRAP(&f, "ABI violation, a `ColId` must be a `u16`");
}
END_TEST

/* ---- ids and handles ---- */

/* Goal: unknown tables and indexes: errnos where the ABI has them, traps where the reference traps. */
START_TEST(unknown_ids)
{
	static const uint32_t ids[] = { 0, 99999, UINT32_MAX, INT32_MAX };
	for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
		script_set(&f, ROW, "\7\0\0\0\1\0\0\0x", 9);
		script_set_u32(&f, LEN, 9);
		script_call(&f, ROW_COUNT, 2, ids[i], 0);
		script_call(&f, TABLE_SCAN, 2, ids[i], 0);
		script_call(&f, DELETE_EQ, 4, ids[i], ROW, 4, 0);
		script_call(&f, SCAN_POINT, 4, ids[i], ROW, 4, 0);
		script_call(&f, DELETE_POINT, 4, ids[i], ROW, 4, 0);
		script_call(&f, SCAN_RANGE, 9, ids[i], 0, 0, 0, ROW, 1, ROW, 1, 0);
		script_call(&f, DELETE_RANGE, 9, ids[i], 0, 0, 0, ROW, 1, ROW, 1, 0);
		script_call(&f, UPDATE, 4, pair, ids[i], ROW, LEN);
		script_call(&f, UPDATE, 4, pair, auto_id, ROW, LEN);
		script_get(&f, LEN, 4);
		EXPECT(&f, "04000000 04000000 04000000 05000000 05000000 05000000 05000000 05000000 05000000 09000000");
		script_set_u32(&f, LEN, 9);
		script_call(&f, INSERT, 3, ids[i], ROW, LEN);
		EXPECT_TRAP(&f, "runtime error calling datastore_insert_bsatn");
		script_set_u32(&f, LEN, 9);
		script_call(&f, UPDATE, 4, ids[i], pair_a, ROW, LEN);
		EXPECT_TRAP(&f, "runtime error calling datastore_update_bsatn");
		script_call(&f, CLEAR, 2, ids[i], 0);
		EXPECT_TRAP(&f, "runtime error calling datastore_clear");
	}
}
END_TEST

/* Goal: handles that do not exist are errnos before any pointer is looked at. */
START_TEST(unknown_handles)
{
	static const uint32_t handles[] = { 0, 99999, UINT32_MAX, INT32_MAX };
	for (size_t i = 0; i < ARRAY_COUNT(handles); i++) {
		script_call(&f, ADVANCE, 3, handles[i], 0, 0);
		script_call(&f, CLOSE, 1, handles[i]);
		script_call(&f, SOURCE_READ, 3, handles[i], 0, 0);
		script_call(&f, REMAINING, 2, handles[i], 0);
		script_call(&f, SINK_WRITE, 3, handles[i], 0, 0);
		script_call(&f, TIMER_END, 1, handles[i]);
		EXPECT(&f, "06000000 06000000 08000000 08000000 08000000 07000000");
	}
}
END_TEST

/* ---- rows ---- */

/* Goal: insert, count, update, delete and clear, with what is written back. */
START_TEST(rows_come_and_go)
{
	insert_pair(1, "a");
	script_get(&f, LEN, 4);
	insert_pair(1, "a");                          /* equal row: success */
	insert_pair(1, "b");                          /* same key */
	script_get(&f, LEN, 4);
	insert_pair(2, "b");
	script_call(&f, ROW_COUNT, 2, pair, OUT);
	script_get(&f, OUT, 8);
	EXPECT(&f, "00000000 00000000 00000000 0c000000 09000000 00000000 00000000 0200000000000000");
	store_tx_begin(f.store);
	insert_pair(1, "a");
	insert_pair(2, "b");
	script_set(&f, ROW, "\2\0\0\0\1\0\0\0z", 9);
	script_set_u32(&f, LEN, 9);
	script_call(&f, UPDATE, 4, pair, pair_a, ROW, LEN);
	script_get(&f, LEN, 4);
	script_set_u32(&f, ROW, 9);
	script_set_u32(&f, LEN, 9);
	script_call(&f, UPDATE, 4, pair, pair_a, ROW, LEN); /* no such row */
	script_get(&f, LEN, 4);
	script_call(&f, UPDATE, 4, pair, pair_b, ROW, LEN); /* not unique */
	EXPECT(&f, "00000000 00000000 00000000 00000000 0f000000 09000000 0e000000");
	script_set(&f, ROW, "\1\0\0\0\1\0\0\0\1\0\0\0a", 13);
	script_call(&f, DELETE_EQ, 4, pair, ROW, 13, OUT);
	script_get(&f, OUT, 4);
	script_call(&f, DELETE_EQ, 4, pair, ROW, 12, OUT); /* cut */
	script_set_u32(&f, ROW, 2);
	script_call(&f, DELETE_POINT, 4, pair_a, ROW, 4, OUT);
	script_get(&f, OUT, 4);
	script_call(&f, CLEAR, 2, pair, OUT);
	script_get(&f, OUT, 8);
	EXPECT(&f, "00000000 01000000 03000000 00000000 01000000 00000000 0000000000000000");
	store_tx_rollback(f.store);
	script_set(&f, ROW, "\1\0\0\0\5\0\0\0a", 9);
	script_set_u32(&f, LEN, 9);
	script_call(&f, INSERT, 3, pair, ROW, LEN);
	EXPECT_TRAP(&f, "runtime error calling datastore_insert_bsatn: internal db error: ");
}
END_TEST

/* Goal: only columns that were sent as 0 come back; also across the end of memory, and over the length itself. */
START_TEST(generated_columns_are_written_back)
{
	script_set(&f, ROW, "\0\0\0\0\0\0\0\0\1\0\0\0a", 13);
	script_set_u32(&f, LEN, 13);
	script_call(&f, INSERT, 3, automatic, ROW, LEN);
	script_get(&f, LEN, 4);
	script_get(&f, ROW, 8);
	script_set(&f, ROW, "\5\0\0\0\0\0\0\0\1\0\0\0a", 13);
	script_set_u32(&f, LEN, 13);
	script_call(&f, INSERT, 3, automatic, ROW, LEN);
	script_get(&f, LEN, 4);
	EXPECT(&f, "00000000 08000000 0100000000000000 00000000 00000000");
	script_set(&f, END - 12, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
	script_set_u32(&f, LEN, 12);
	script_call(&f, INSERT, 3, automatic, END - 12, LEN);
	script_get(&f, LEN, 4);
	EXPECT(&f, "00000000 08000000");
}
END_TEST

/* Goal: point and range look-ups find what they should; keys that do not decode are errno 3; hash indexes have no
 * ranges. */
START_TEST(indexes_are_searched)
{
	store_tx_begin(f.store);
	insert_pair(3, "c");
	insert_pair(1, "a");
	insert_pair(2, "b");
	EXPECT(&f, "00000000 00000000 00000000");
	script_set_u32(&f, ROW, 2);
	script_call(&f, SCAN_POINT, 4, pair_a, ROW, 4, OUT);
	advance(0, 100);
	script_get(&f, BUF, 9);
	script_call(&f, SCAN_POINT, 4, pair_a, ROW, 3, OUT);
	EXPECT(&f, "00000000 ffffffff 09000000 020000000100000062 03000000");
	script_set(&f, ROW, "\0\2\0\0\0\2", 6);
	script_call(&f, SCAN_RANGE, 9, pair_a, 0, 0, 0, ROW, 5, ROW + 5, 1, OUT);
	advance(0, 100);
	script_get(&f, BUF, 18);
	script_call(&f, BTREE_SCAN, 9, pair_a, 0, 0, 0, ROW, 4, ROW + 5, 1, OUT);
	script_call(&f, DELETE_RANGE, 9, pair_a, 0, 0, 0, ROW, 5, ROW + 5, 1, OUT);
	script_get(&f, OUT, 4);
	EXPECT(&f, "00000000 ffffffff 12000000 020000000100000062 030000000100000063 03000000 00000000 02000000");
	store_tx_rollback(f.store);
	script_set(&f, ROW, "\2", 1);
	script_call(&f, SCAN_RANGE, 9, blobs_id, 0, 0, 0, ROW, 1, ROW, 1, OUT);
	EXPECT_TRAP(&f, "runtime error calling datastore_index_scan_range_bsatn");
}
END_TEST

/* ---- iterators ---- */

/* Inserts `count` rows of `size` bytes into blobs: they begin at SCRATCH, where the loop counter is their id. */
static void fill_blobs(uint32_t count, uint32_t size)
{
	enum { ROW_LEN = 0x70000 };
	script_set_u32(&f, SCRATCH + 4, size - 8);
	script_fill(&f, SCRATCH + 8, size - 8, 'x');
	size_t start = script_repeat(&f, count);
	script_set_u32(&f, ROW_LEN, size);
	script_call(&f, INSERT, 3, blobs, SCRATCH, ROW_LEN);
	script_repeat_end(&f, start);
	EXPECT(&f, "");
}

/* Goal: chunks of more than 32 KiB, whole rows; too small a buffer is told the size; data may come with the end. */
START_TEST(iterators_give_whole_chunks)
{
	store_tx_begin(f.store);
	script_call(&f, TABLE_SCAN, 2, blobs, OUT);
	advance(0, 100);
	advance(0, 100);
	script_call_at(&f, CLOSE, OUT, 0);
	EXPECT(&f, "00000000 ffffffff 00000000 06000000 64000000 06000000");
	fill_blobs(300, 408);
	script_call(&f, TABLE_SCAN, 2, blobs, OUT);
	advance(0, 1000);
	advance(0, 0x8118 - 1);
	advance(0, 0x10000);
	advance(0, 1000);
	advance(0, 0x20000);
	advance(0, 0x20000);
	EXPECT(&f, "00000000 0b000000 18810000 0b000000 18810000 00000000 18810000 0b000000 18810000 "
		"ffffffff 085d0100 06000000 00000200");
	store_tx_rollback(f.store);
	store_tx_begin(f.store);
	fill_blobs(4, 16384); /* two rows are 32,768 bytes, not more: three make a chunk */
	script_call(&f, TABLE_SCAN, 2, blobs, OUT);
	advance(0, 0x4000);
	advance(0, 0xea60);
	advance(0, 0xea60);
	EXPECT(&f, "00000000 0b000000 00c00000 00000000 00c00000 ffffffff 00400000");
	store_tx_rollback(f.store);
}
END_TEST

/* Goal: rows larger than a chunk are chunks of their own. */
START_TEST(large_rows_are_chunks)
{
	store_tx_begin(f.store);
	fill_blobs(3, 40008);
	script_call(&f, TABLE_SCAN, 2, blobs, OUT);
	advance(0, 40000);
	advance(0, 40008);
	advance(0, 80016);
	advance(0, 1);
	EXPECT(&f, "00000000 0b000000 489c0000 00000000 489c0000 ffffffff 90380100 06000000 01000000");
	store_tx_rollback(f.store);
}
END_TEST

/* Goal: an open iterator sees the table as it was, whatever is written later, and gives the same chunks. */
START_TEST(iterators_do_not_see_later_writes)
{
	store_tx_begin(f.store);
	insert_pair(1, "a");
	script_call(&f, TABLE_SCAN, 2, pair, OUT);
	insert_pair(2, "b");
	script_call(&f, TABLE_SCAN, 2, pair, OUT + 4);
	script_call(&f, CLEAR, 2, pair, OUT + 16);
	advance(0, 100);
	script_get(&f, BUF, 9);
	advance(1, 100);
	EXPECT(&f, "00000000 00000000 00000000 00000000 00000000 ffffffff 09000000 010000000100000061 ffffffff 12000000");
	fill_blobs(300, 408);
	script_call(&f, TABLE_SCAN, 2, blobs, OUT);
	advance(0, 0x8118);
	script_call(&f, CLEAR, 2, blobs, OUT + 8);
	script_get(&f, OUT + 8, 4);
	advance(0, 0x10000);
	advance(0, 0x10000);
	advance(0, 0x10000);
	EXPECT(&f, "00000000 00000000 18810000 00000000 2c010000 00000000 18810000 ffffffff f0db0000 06000000 00000100");
	store_tx_rollback(f.store);
}
END_TEST

/* Goal: one left open is readable in a later call, after its transaction was rolled back. */
START_TEST(iterators_outlive_their_transaction)
{
	insert_pair(1, "a");
	insert_pair(2, "b");
	script_call(&f, TABLE_SCAN, 2, pair, OUT);
	EXPECT(&f, "00000000 00000000 00000000"); /* rolled back by the fixture */
	ck_assert_ptr_null(f.instance->lazy);
	script_call(&f, ROW_COUNT, 2, pair, OUT + 16);
	script_get(&f, OUT + 16, 4);
	advance(0, 100);
	script_get(&f, BUF, 18);
	EXPECT(&f, "00000000 00000000 ffffffff 12000000 010000000100000061 020000000100000062");
	/* And one that is open when the instance goes. */
	store_tx_begin(f.store);
	insert_pair(1, "a");
	script_call(&f, TABLE_SCAN, 2, pair, OUT);
	EXPECT(&f, "00000000 00000000");
	reload(&f);
	insert_pair(2, "b");
	EXPECT(&f, "00000000");
	commit();
}
END_TEST

/* Goal: handles are 1, 2, 3 and the last freed is reused first, over calls, too. */
START_TEST(iterator_handles_are_reused)
{
	store_tx_begin(f.store);
	insert_pair(1, "a");
	for (uint32_t i = 0; i < 3; i++)
		script_call(&f, TABLE_SCAN, 2, pair, OUT + 4 * i);
	script_get(&f, OUT, 12);
	script_call(&f, CLOSE, 1, 1);
	script_call(&f, CLOSE, 1, 2);
	EXPECT(&f, "00000000 00000000 00000000 00000000 010000000200000003000000 00000000 00000000");
	for (uint32_t i = 0; i < 3; i++)
		script_call(&f, TABLE_SCAN, 2, pair, OUT + 4 * i);
	script_get(&f, OUT, 12);
	script_call(&f, CLOSE, 1, 1);
	script_call(&f, CLOSE, 1, 1);
	EXPECT(&f, "00000000 00000000 00000000 020000000100000004000000 00000000 06000000");
	store_tx_rollback(f.store);
}
END_TEST

/* Goal: a guest that leaks iterators traps at the limit. */
START_TEST(leaked_iterators_end_in_a_trap)
{
	store_tx_begin(f.store);
	insert_pair(1, "a");
	EXPECT(&f, "00000000");
	size_t start = script_repeat(&f, RUNTIME_ITERATORS_MAX + 1);
	script_call(&f, TABLE_SCAN, 2, pair, OUT);
	script_repeat_end(&f, start);
	EXPECT_TRAP(&f, "row iterators are open");
	store_tx_rollback(f.store);
}
END_TEST

/* Goal: memory that runs out while an iterator is copied shows when it is read, and nothing else breaks. */
START_TEST(iterators_that_cannot_be_kept_trap)
{
	store_tx_begin(f.store);
	fill_blobs(100, 1000);
	script_call(&f, TABLE_SCAN, 2, blobs, OUT);
	EXPECT(&f, "00000000"); /* settled here: copied */
	reload(&f);
	script_call(&f, TABLE_SCAN, 2, blobs, OUT);
	struct runtime_call call = { .name = STR("x"), .args = buf_bytes(&f.script) };
	struct runtime_result result;
	ck_assert_int_eq(runtime_call_reducer(f.instance, &call, &result), RUNTIME_USER_ERROR);
	buf_clear(&f.script);
	((struct iterator *)f.instance->iterators.items[0])->state = ITERATOR_BROKEN;
	advance(0, 0x10000);
	EXPECT_TRAP(&f, "could not be kept");
	store_tx_rollback(f.store);
}
END_TEST

/* ---- sources and sinks ---- */

/* Goal: arguments are read in pieces; the read that drains says so and frees the source; no bytes is no source. */
START_TEST(sources_are_read_in_pieces)
{
	struct runtime_result result;
	store_tx_begin(f.store);
	struct runtime_call call = { .id = 3, .name = STR("x") };
	ck_assert_int_eq(runtime_call_reducer(f.instance, &call, &result), RUNTIME_USER_ERROR);
	store_tx_rollback(f.store);
	struct runtime_instance *in = f.instance;
	uint32_t id, none;
	in->frame = FRAME_REDUCER;
	ck_assert(source_create(in, (struct bytes){ (const uint8_t *)"abcdefgh", 8 }, false, &id));
	ck_assert_uint_eq(id, 1);
	ck_assert(source_create(in, (struct bytes){ (const uint8_t *)"", 0 }, true, &none));
	ck_assert_uint_eq(none, 0);
	uint8_t *memory = in->memory;
	store_u32(memory + OUT, 3);
	ck_assert_int_eq(syscall_source_read(in, 1, BUF, OUT), 0);
	ck_assert_uint_eq(load_u32(memory + OUT), 3);
	ck_assert_int_eq(memcmp(memory + BUF, "abc", 3), 0);
	store_u32(memory + OUT, 0);
	ck_assert_int_eq(syscall_source_read(in, 1, BUF, OUT), 0);
	ck_assert_int_eq(syscall_source_remaining(in, 1, OUT), 0);
	ck_assert_uint_eq(load_u32(memory + OUT), 5);
	store_u32(memory + OUT, UINT32_MAX); /* the whole capacity must be there */
	ck_assert_int_eq(syscall_source_read(in, 1, BUF, OUT), SYSCALL_TRAP);
	store_u32(memory + OUT, 5);
	ck_assert_int_eq(syscall_source_read(in, 1, BUF, OUT), -1);
	ck_assert_int_eq(memcmp(memory + BUF, "defgh", 5), 0);
	ck_assert_int_eq(syscall_source_read(in, 1, BUF, OUT), ERRNO_NO_SUCH_BYTES);
	in->frame = FRAME_NONE;
}
END_TEST

/* Goal: the first call of an instance has sink 2 (1 described it), later ones sink 1; sinks are no sources. */
START_TEST(sinks_are_numbered_like_the_reference)
{
	script_set_u32(&f, LEN, 0);
	script_call(&f, SINK_WRITE, 3, 1, ROW, LEN);
	script_call(&f, SINK_WRITE, 3, 2, ROW, LEN);
	script_call(&f, REMAINING, 2, 2, OUT);
	EXPECT(&f, "08000000 00000000 08000000");
	script_set_u32(&f, LEN, 0);
	script_call(&f, SINK_WRITE, 3, 1, ROW, LEN);
	script_call(&f, SINK_WRITE, 3, 2, ROW, LEN);
	EXPECT(&f, "00000000 08000000");
}
END_TEST

/* Goal: a sink has an end: errno 9, and what was written stays. */
START_TEST(sinks_are_bounded)
{
	enum { PIECE = 1 << 20 };
	script_set_u32(&f, LEN, PIECE);
	size_t start = script_repeat(&f, RUNTIME_SINK_BYTES_MAX / PIECE);
	script_call(&f, SINK_WRITE, 3, 2, ROW, LEN);
	script_repeat_end(&f, start);
	script_set_u32(&f, LEN, 1);
	script_call(&f, SINK_WRITE, 3, 2, ROW, LEN);
	script_get(&f, LEN, 4);
	struct runtime_result result;
	ck_assert_int_eq(run_script(&f, &result), RUNTIME_USER_ERROR);
	ck_assert_uint_eq(result.text.len, RUNTIME_SINK_BYTES_MAX);
}
END_TEST

/* ---- log, timers ---- */

/* Goal: parts that are absent, bad UTF-8, levels and lines as they come, a bad pointer drops the record silently. */
START_TEST(log_records)
{
	script_set(&f, ROW, "t\xff" "file" "message", 13);
	script_call(&f, CONSOLE_LOG, 8, 0, ROW, 2, ROW + 2, 4, 12, ROW + 6, 7);
	script_call(&f, CONSOLE_LOG, 8, 257, 0, 5, 0, 9, UINT32_MAX, ROW + 6, 3);
	script_call(&f, CONSOLE_LOG, 8, 101, ROW + 2, 0, 0, 0, UINT32_MAX - 1, ROW, 0);
	script_call(&f, CONSOLE_LOG, 8, 2, 0, 0, 0, 0, 1, 0, 3);
	script_call(&f, CONSOLE_LOG, 8, 2, END, 3, 0, 0, 1, ROW, 3);
	script_call(&f, CONSOLE_LOG, 8, 2, ROW, 3, ROW, UINT32_MAX, 1, ROW, 3);
	script_call(&f, CONSOLE_LOG, 8, UINT32_MAX, 0, 0, 0, 0, 1, END, 0);
	EXPECT(&f, "00000000 00000000 00000000 00000000 00000000 00000000 00000000");
	ck_assert_str_eq(buf_text(&f.log), "0|t\xef\xbf\xbd|file|12|script|message\n1|-|-|-|script|mes\n"
		"101||-|4294967294|script|\n255|-|-|1|script|\n");
}
END_TEST

/* Goal: timers end once, in any order, also in a later call; their names are printed as debug strings. */
START_TEST(timers)
{
	script_set(&f, ROW, "a\"\n\xff", 4);
	script_call(&f, TIMER_START, 2, ROW, 4);
	script_call(&f, TIMER_START, 2, ROW, 0);
	script_call(&f, TIMER_END, 1, 1);
	script_call(&f, TIMER_END, 1, 1);
	EXPECT(&f, "01000000 02000000 00000000 07000000");
	script_call(&f, TIMER_END, 1, 2);
	EXPECT(&f, "00000000");
	const char *text = buf_text(&f.log);
	ck_assert_ptr_eq(strstr(text, "2|-|-|-|script|Timing span \"a\\\"\\n\xef\xbf\xbd\": "), text);
	ck_assert_ptr_nonnull(strstr(text, "\n2|-|-|-|script|Timing span \"\": "));
	size_t start = script_repeat(&f, 40);
	script_call(&f, TIMER_START, 2, ROW, 500000);
	script_repeat_end(&f, start);
	EXPECT_TRAP(&f, "running console timers");
}
END_TEST

/* ---- who ---- */

/* Goal: the payload of a connection's token as a source, 0 for an unknown connection. */
START_TEST(credentials_of_connections)
{
	store_tx_begin(f.store);
	uint8_t row[16 + 4 + 9];
	memset(row, 7, 16);
	store_u32(row + 16, 9);
	memcpy(row + 20, "{\"a\":\"b\"}", 9);
	size_t len = sizeof(row);
	struct store_table *credentials = store_table_by_id(f.store, ST_CONNECTION_CREDENTIALS);
	ck_assert_int_eq(store_insert(f.store, credentials, row, &len, NULL), STORE_OK);
	script_fill(&f, ROW, 16, 7);
	script_call(&f, GET_JWT, 2, ROW, OUT);
	script_call_at(&f, REMAINING, OUT, 1, OUT + 8);
	script_get(&f, OUT + 8, 4);
	script_set_u32(&f, LEN, 100);
	script_call_at(&f, SOURCE_READ, OUT, 2, BUF, LEN);
	script_get(&f, BUF, 9);
	script_call_at(&f, SOURCE_READ, OUT, 2, BUF, LEN);
	script_fill(&f, ROW, 16, 8);
	script_call(&f, GET_JWT, 2, ROW, OUT);
	script_get(&f, OUT, 4);
	EXPECT(&f, "00000000 00000000 09000000 ffffffff 7b2261223a2262227d 08000000 00000000 00000000");
	size_t start = script_repeat(&f, RUNTIME_SOURCES_MAX + 1);
	script_fill(&f, ROW, 16, 7);
	script_call(&f, GET_JWT, 2, ROW, OUT);
	script_repeat_end(&f, start);
	EXPECT_TRAP(&f, "byte sources may be open");
	store_tx_rollback(f.store);
}
END_TEST

START_TEST(identity_of_the_database)
{
	script_call(&f, IDENTITY, 1, OUT + 1);
	script_get(&f, OUT + 1, 32);
	EXPECT(&f, "00000000 a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf");
}
END_TEST

/* ---- contexts ---- */

/* Goal: what reducers may not do. */
START_TEST(calls_of_procedures_in_reducers)
{
	script_call(&f, START_TX, 1, 0);
	script_call(&f, COMMIT_TX, 0);
	script_call(&f, ABORT_TX, 0);
	insert_pair(1, "a");
	EXPECT(&f, "11000000 12000000 12000000 00000000");
	script_call(&f, SLEEP_UNTIL, 1, 0);
	EXPECT_TRAP(&f, "procedure_sleep_until is only available in async instances");
	script_call(&f, HTTP_REQUEST, 5, ROW, 10, ROW, 0, OUT);
	EXPECT_TRAP(&f, "procedure_http_request is only available in async instances");
}
END_TEST

/* Goal: the checks of env_get in their order. */
START_TEST(environment)
{
	script_set_text(&f, ROW, "KEY-");
	script_call(&f, ENV_GET, 3, 0, 0, 0);
	script_call(&f, ENV_GET, 3, 0, 257, 0);
	script_call(&f, ENV_GET, 3, ROW, 4, 0);
	EXPECT(&f, "01000000 01000000 01000000");
	script_call(&f, ENV_GET, 3, 0, 3, 0);
	EXPECT_TRAP(&f, "null pointer");
	script_set_text(&f, ROW, "KEY-");
	script_call(&f, ENV_GET, 3, ROW, 3, 0);
	EXPECT_TRAP(&f, "environment key is not declared");
}
END_TEST

static enum runtime_variable declared(void *context, struct str name)
{
	(void)context;
	return str_eq(name, STR("MUST")) ? RUNTIME_VARIABLE_REQUIRED
		: str_eq(name, STR("MAY")) || str_eq(name, STR("EMPTY")) ? RUNTIME_VARIABLE_OPTIONAL
		: RUNTIME_VARIABLE_UNDECLARED;
}

static void put_system_row(uint32_t table_id, struct buf *row)
{
	struct store_delta delta;
	size_t len = row->len;
	store_tx_begin(f.store);
	ck_assert_int_eq(store_insert(f.store, store_table_by_id(f.store, table_id), row->data, &len, NULL), STORE_OK);
	ck_assert_int_eq(store_tx_commit(f.store, &delta), STORE_OK);
	buf_clear(row);
}

static void put_module(const uint8_t hash[32])
{
	struct buf row = BUF_INIT(1 << 10);
	for (int i = 0; i < 65; i++)
		buf_put_u8(&row, 0);
	buf_put(&row, hash, 32);
	buf_put_u32(&row, 0);
	buf_put_bsatn_str(&row, STR("0.0.1"));
	put_system_row(ST_MODULE, &row);
	buf_deinit(&row);
}

static void put_variable(const char *name, const char *value)
{
	struct buf row = BUF_INIT(1 << 10);
	buf_put_bsatn_str(&row, str_of(name));
	buf_put_bsatn_str(&row, str_of(value));
	put_system_row(ST_ENV, &row);
	buf_deinit(&row);
}

static void get_variable(const char *name)
{
	script_set_text(&f, ROW, name);
	script_call(&f, ENV_GET, 3, ROW, (uint32_t)strlen(name), OUT);
}

/* Goal: values of declared variables, missing ones, empty ones; the module that asks must be the published one. */
START_TEST(environment_values)
{
	struct buf code = guest_code("script");
	uint8_t hash[32];
	f.env.variable = declared;
	native_keccak256(code.data, code.len, hash);
	buf_deinit(&code);
	get_variable("MAY");
	EXPECT_TRAP(&f, "module was replaced while this function was running");
	put_module(hash);
	get_variable("MAY"); /* nobody has said */
	script_get(&f, OUT, 4);
	EXPECT(&f, "00000000 00000000");
	get_variable("MUST");
	EXPECT_TRAP(&f, "required environment value is missing from the published configuration");
	put_variable("MUST", "x=1");
	put_variable("EMPTY", "");
	put_variable("OTHER", "unreadable");
	script_set_u32(&f, LEN, 16);
	get_variable("MUST");
	script_get(&f, OUT, 4);
	script_call_at(&f, SOURCE_READ, OUT, 2, BUF, LEN);
	script_get(&f, LEN, 4);
	script_get(&f, BUF, 3);
	EXPECT(&f, "00000000 02000000 ffffffff 03000000 783d31"); /* 1 was the arguments' */
	script_set_u32(&f, LEN, 16);
	get_variable("EMPTY");
	script_get(&f, OUT, 4);
	script_call_at(&f, SOURCE_READ, OUT, 2, BUF, LEN);
	script_get(&f, LEN, 4);
	EXPECT(&f, "00000000 02000000 ffffffff 00000000");
	get_variable("OTHER");
	EXPECT_TRAP(&f, "environment key is not declared");
	script_set_text(&f, ROW, "MUST");
	script_call(&f, ENV_GET, 3, ROW, 4, END);
	EXPECT_TRAP(&f, "out of bounds pointer");
}
END_TEST

/* Goal: 256 unread sources are enough; the next value is errno 9, a missing one is still 0. */
START_TEST(environment_sources)
{
	struct buf code = guest_code("script");
	uint8_t hash[32];
	f.env.variable = declared;
	native_keccak256(code.data, code.len, hash);
	buf_deinit(&code);
	put_module(hash);
	put_variable("MUST", "x");
	script_set_text(&f, ROW, "MUST");
	struct buf wanted = BUF_INIT(1 << 16);
	for (int i = 0; i < 256; i++) { /* the arguments' source has been read */
		script_call(&f, ENV_GET, 3, ROW, 4, OUT);
		buf_put_cstr(&wanted, "00000000 ");
	}
	script_call(&f, ENV_GET, 3, ROW, 4, OUT);
	get_variable("MAY");
	buf_put_cstr(&wanted, "09000000 00000000");
	EXPECT(&f, buf_text(&wanted));
	buf_deinit(&wanted);
}
END_TEST

/* Goal: the table of the values is not there for guests, by name or by number. */
START_TEST(environment_hidden)
{
	script_set_text(&f, ROW, "st_env");
	script_call(&f, TABLE_ID, 3, ROW, 6, OUT);
	script_set_text(&f, ROW, "st_env_key_idx_btree");
	script_call(&f, INDEX_ID, 3, ROW, 20, OUT);
	script_call(&f, ROW_COUNT, 2, ST_ENV, OUT);
	script_call(&f, TABLE_SCAN, 2, ST_ENV, OUT);
	script_call(&f, CLEAR, 2, ST_ENV, OUT);
	script_set_u32(&f, LEN, 8);
	script_fill(&f, ROW, 8, 0);
	script_call(&f, INSERT, 3, ST_ENV, ROW, LEN);
	script_call(&f, DELETE_EQ, 4, ST_ENV, ROW, 4, OUT);
	script_call(&f, SCAN_POINT, 4, ST_ENV_KEY_INDEX, ROW, 4, OUT);
	script_call(&f, DELETE_POINT, 4, ST_ENV_KEY_INDEX, ROW, 4, OUT);
	EXPECT(&f, "04000000 05000000 04000000 04000000 04000000 04000000 04000000 04000000 04000000");
}
END_TEST

/* Goal: reducers are scheduled at once with their bytes; names must be UTF-8. */
START_TEST(immediate_reducers)
{
	script_set_text(&f, ROW, "tick");
	script_call(&f, IMMEDIATE, 4, ROW, 4, ROW, 3);
	EXPECT(&f, "00000000");
	ck_assert_str_eq(buf_text(&f.immediate), "tick(3)\n");
	script_set(&f, ROW, "\xff", 1);
	script_call(&f, IMMEDIATE, 4, ROW, 1, ROW, 0);
	EXPECT_TRAP(&f, "invalid utf8");
}
END_TEST

/* Goal: tables outside a transaction: names and keys are read first, then errno 2. */
START_TEST(without_a_transaction)
{
	struct runtime_result result;
	struct runtime_call call = { .name = STR("proc") };
	script_set_text(&f, ROW, "pair");
	script_set_u32(&f, LEN, 9);
	script_call(&f, TABLE_ID, 3, ROW, 4, 0);
	script_call(&f, INDEX_ID, 3, ROW, 4, 0);
	script_call(&f, ROW_COUNT, 2, pair, 0);
	script_call(&f, TABLE_SCAN, 2, pair, 0);
	script_call(&f, SCAN_RANGE, 9, pair_a, 0, 0, 0, ROW, 1, ROW, 1, 0);
	script_call(&f, SCAN_POINT, 4, pair_a, ROW, 4, 0);
	script_call(&f, DELETE_RANGE, 9, pair_a, 0, 0, 0, ROW, 1, ROW, 1, 0);
	script_call(&f, DELETE_POINT, 4, pair_a, ROW, 4, 0);
	script_call(&f, DELETE_EQ, 4, pair, ROW, 4, 0);
	script_call(&f, INSERT, 3, pair, ROW, LEN);
	script_call(&f, UPDATE, 4, pair, pair_a, ROW, LEN);
	script_call(&f, CLEAR, 2, pair, 0);
	script_call(&f, GET_JWT, 2, ROW, 0);
	call.args = buf_bytes(&f.script);
	ck_assert_int_eq(runtime_call_procedure(f.instance, &call, &result), RUNTIME_OK);
	ck_assert_uint_eq(result.value.len, 13 * 4);
	for (size_t i = 0; i < 13; i++)
		ck_assert_uint_eq(load_u32(result.value.data + 4 * i), 2);
	buf_clear(&f.script);
	script_call(&f, TABLE_ID, 3, 0, 4, 0);
	call.args = buf_bytes(&f.script);
	ck_assert_int_eq(runtime_call_procedure(f.instance, &call, &result), RUNTIME_TRAP);
	buf_clear(&f.script);
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		names_are_looked_up, bad_pointers_trap, prefixes, unknown_ids, unknown_handles, rows_come_and_go,
		generated_columns_are_written_back, indexes_are_searched, iterators_give_whole_chunks, large_rows_are_chunks,
		iterators_do_not_see_later_writes, iterators_outlive_their_transaction, iterator_handles_are_reused,
		leaked_iterators_end_in_a_trap, iterators_that_cannot_be_kept_trap, sources_are_read_in_pieces,
		sinks_are_numbered_like_the_reference, sinks_are_bounded, log_records, timers, credentials_of_connections,
		identity_of_the_database, calls_of_procedures_in_reducers, environment, environment_values,
		environment_sources, environment_hidden, immediate_reducers,
		without_a_transaction,
	};
	Suite *suite = suite_create("runtime_syscall");
	TCase *cases = tcase_create("syscalls");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
		tcase_add_test(cases, tests[i]);
	suite_add_tcase(suite, cases);
	return run_guest_suite(suite);
}
