/* SPDX-License-Identifier: Apache-2.0 */
/* store: what the log writes, applied to an empty store, gives the same one; names, schedules, range errors. */
#include "base/clock.h"
#include "unit/store_model.h"
#include "unit/run_suite.h"

static void same_contents(struct store *a, struct store *b)
{
	struct store_table *t = NULL, *u = NULL;
	for (;;) {
		t = store_table_next(a, t);
		u = store_table_next(b, u);
		ck_assert_int_eq(t == NULL, u == NULL);
		if (t == NULL)
			return;
		ck_assert_uint_eq(store_table_def(t)->id, store_table_def(u)->id);
		ck_assert_uint_eq(store_table_row_count(t), store_table_row_count(u));
		ck_assert_uint_eq(store_table_checksum(t), store_table_checksum(u));
	}
}

static void apply(struct store *to, const struct store_delta *delta, bool deletes_first)
{
	for (uint32_t i = 0; i < delta->table_count; i++) {
		const struct store_delta_table *d = &delta->tables[i];
		struct store_table *t = store_table_by_id(to, store_table_def(d->table)->id);
		ck_assert_ptr_nonnull(t);
		struct error error;
		enum wl_err err = WL_OK;
		for (int pass = 0; pass < 2; pass++) {
			if ((pass == 0) == deletes_first)
				err = d->truncated ? store_replay_truncate(to, t, &error) :
					store_replay_delete(to, t, d->deletes.data, d->deletes.len, d->deletes.count, &error);
			else
				err = store_replay_insert(to, t, d->inserts.data, d->inserts.len, d->inserts.count, &error);
			ck_assert_int_eq(err, WL_OK);
		}
	}
}

/* Goal: definitions and deltas replayed, in either order within a transaction, give equal tables. */
START_TEST(replay_equals)
{
	const struct shape *shape = &shapes[_i];
	for (int deletes_first = 0; deletes_first < 2; deletes_first++) {
		struct arena arena;
		arena_init(&arena, 1 << 20);
		struct store_table_def *def = util_def(&arena, "t", shape->columns, shape->indexes, shape->primary_key);
		def->is_event = shape->event;
		struct store *from = store_create(), *to = store_create();
		struct store_table *t;
		struct store_delta delta;
		store_tx_begin(from);
		ck_assert_int_eq(store_table_create(from, def, &t), STORE_OK);
		struct buf encoded = BUF_INIT(1 << 20);
		store_table_encode(t, &encoded);
		ck_assert_int_eq(store_tx_commit(from, &delta), STORE_OK);
		ck_assert(delta.durable);
		struct error error;
		ck_assert_int_eq(store_replay_table(to, encoded.data, encoded.len, &error), WL_OK);
		ck_assert_int_eq(store_replay_table(to, encoded.data, encoded.len, &error), WL_ERR_CORRUPT);
		apply(to, &delta, deletes_first);
		same_contents(from, to);
		struct model m = { .f = { .s = from, .t = t }, .domain = shape->domain };
		m.def = store_table_def(t);
		m.layout = store_table_layout(t);
		for (uint32_t i = 0; i < m.def->index_count; i++)
			m.f.index[i] = store_index_by_name(from, m.def->indexes[i].name);
		struct source src = { .state = 11 };
		for (uint32_t i = 0; i < 150; i++) {
			store_tx_begin(from);
			for (uint32_t k = 0; k < 12; k++) {
				uint32_t pick = draw_below(&src, 3);
				if (pick == 0)
					model_insert(&m, &src);
				else if (pick == 1)
					model_update(&m, &src);
				else
					model_delete(&m, &src);
			}
			ck_assert_int_eq(store_tx_commit(from, &delta), STORE_OK);
			if (m.def->is_event)
				rows_clear(&m.visible);
			apply(to, &delta, deletes_first);
			same_contents(from, to);
		}
		ck_assert_int_eq(store_replay_done(to, &error), WL_OK);
		/* Every prefix of the definition is refused. */
		for (size_t cut = 0; cut < encoded.len; cut++) {
			struct store *other = cut % 16 == 0 ? store_create() : NULL;
			if (other == NULL)
				continue;
			ck_assert_int_eq(store_replay_table(other, encoded.data, cut, &error), WL_ERR_CORRUPT);
			store_destroy(other);
		}
		buf_deinit(&encoded);
		rows_free(&m.visible);
		store_destroy(from);
		store_destroy(to);
		arena_deinit(&arena);
	}
}
END_TEST

/* Goal: rows from a damaged log are refused, and what was before them stays. */
START_TEST(damaged_rows)
{
	struct fixture f = fixture_new("id:u s:s", "!0", 0);
	const uint8_t rows[] = { 1, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 9, 0, 0, 0, 'b' };
	struct error error;
	ck_assert_int_eq(store_replay_insert(f.s, f.t, rows, sizeof(rows), 2, &error), WL_ERR_CORRUPT);
	ck_assert_uint_eq(store_table_row_count(f.t), 1);
	ck_assert_int_eq(store_replay_insert(f.s, f.t, rows, 9, 2, &error), WL_ERR_CORRUPT);
	ck_assert_int_eq(store_replay_insert(f.s, f.t, rows, 10, 1, &error), WL_ERR_CORRUPT);
	ck_assert_int_eq(store_replay_insert(f.s, f.t, rows, 9, 1, &error), WL_OK);
	fixture_free(&f);
}
END_TEST

/* Goal: after a restart a sequence goes on at `allocated`. */
START_TEST(sequence_after_restart)
{
	struct arena arena;
	arena_init(&arena, 1 << 20);
	struct store_table_def *def = util_def(&arena, "t", "id:w s:s", "!0", 0);
	struct store_sequence_def seq = { 0, STR("t_seq"), 0, 1, 1, (i128)(((u128)1 << 127) - 1), 1, 0 };
	def->sequences = &seq;
	def->sequence_count = 1;
	struct store *from = store_create(), *to = store_create();
	struct store_table *t;
	struct store_delta delta;
	struct buf encoded = BUF_INIT(1 << 20);
	uint8_t row[32];
	struct error error;
	store_tx_begin(from);
	ck_assert_int_eq(store_table_create(from, def, &t), STORE_OK);
	ck_assert_uint_eq(store_table_def(t)->id, STORE_FIRST_USER_ID);
	ck_assert_uint_eq(store_table_def(t)->sequences[0].id, STORE_FIRST_USER_ID);
	store_table_encode(t, &encoded);
	size_t len = make_row(row, 0, "a");
	ck_assert_int_eq(store_insert(from, t, row, &len, NULL), STORE_OK);
	ck_assert_int_eq(store_tx_commit(from, &delta), STORE_OK);
	ck_assert_int_eq(store_replay_table(to, encoded.data, encoded.len, &error), WL_OK);
	apply(to, &delta, false);
	ck_assert_int_eq(store_replay_done(to, &error), WL_OK);
	same_contents(from, to);
	store_tx_begin(to);
	struct store_table *u = store_table_by_name(to, STR("t"));
	len = make_row(row, 0, "b");
	ck_assert_int_eq(store_insert(to, u, row, &len, NULL), STORE_OK);
	ck_assert_uint_eq(load_u64(row), 4097);
	def->name = STR("second");
	def->accessor = STR("second");
	((struct store_index_def *)(uintptr_t)def->indexes)[0].name = STR("second_idx");
	((struct store_index_def *)(uintptr_t)def->indexes)[0].accessor = STR("second_idx");
	struct store_table *second;
	ck_assert_int_eq(store_table_create(to, def, &second), STORE_OK);
	ck_assert_uint_eq(store_table_def(second)->id, 8192); /* the next batch of ids */
	ck_assert_int_eq(store_tx_commit(to, &delta), STORE_OK);
	buf_deinit(&encoded);
	store_destroy(from);
	store_destroy(to);
	arena_deinit(&arena);
}
END_TEST

static uint32_t alias_rows(struct store *s, uint32_t table_id, const char *holding)
{
	struct store_cursor cursor;
	struct store_row row;
	uint32_t count = 0;
	store_scan(store_table_by_id(s, table_id), &cursor);
	while (store_cursor_next(&cursor, &row))
		count += memmem(row.data, row.len, holding, strlen(holding)) != NULL;
	return count;
}

/* Goal: other aliases, kept or taken back whole, whatever allocation fails; another thing's alias stays its own. */
START_TEST(renames)
{
	struct arena arena;
	arena_init(&arena, 1 << 20);
	struct store_table_def *def = util_def(&arena, "t", "id:u s:s", "!0 1", 0);
	struct store_table_def *other = util_def(&arena, "u", "id:u", "!0", 0);
	struct store *s = store_create();
	struct store_table *t, *u;
	struct store_delta delta;
	struct str indexes[] = { STR("newByS"), { NULL, 0 } }, columns[] = { STR("ident"), { NULL, 0 } };
	struct store_accessors to = { STR("newName"), indexes, columns };
	store_tx_begin(s);
	ck_assert_int_eq(store_table_create(s, def, &t), STORE_OK);
	ck_assert_int_eq(store_table_create(s, other, &u), STORE_OK);
	ck_assert_int_eq(store_tx_commit(s, &delta), STORE_OK);
	bool kept = false;
	for (uint64_t failing = 1; !kept; failing++) {
		ck_assert_uint_lt(failing, 1000);
		mem_fail_at(failing, false);
		struct store_renaming *r = store_rename_begin(t, &to, false);
		enum store_status status = STORE_MEMORY;
		if (r != NULL) {
			store_tx_begin(s);
			status = store_rename_rows(r);
			if (status == STORE_OK)
				status = store_tx_commit(s, &delta);
			if (status != STORE_OK)
				store_tx_rollback(s);
			store_rename_end(r, status == STORE_OK);
		}
		mem_fail_at(0, false);
		kept = status == STORE_OK;
		ck_assert_ptr_eq(store_table_by_name(s, STR("tAccessor")), kept ? NULL : t);
		ck_assert_ptr_eq(store_table_by_name(s, STR("newName")), kept ? t : NULL);
		ck_assert_int_eq(store_index_by_name(s, STR("newByS")) != NULL, kept);
		ck_assert_uint_eq(alias_rows(s, ST_TABLE_ACCESSOR, "newName"), kept);
		ck_assert_uint_eq(alias_rows(s, ST_TABLE_ACCESSOR, "tAccessor"), !kept);
		ck_assert_uint_eq(alias_rows(s, ST_COLUMN_ACCESSOR, "ident"), kept);
	}
	ck_assert_uint_eq(alias_rows(s, ST_INDEX_ACCESSOR, "t_alias"), 0);
	ck_assert(str_eq(store_table_def(t)->accessor, STR("newName")));
	ck_assert(str_eq(store_table_def(t)->columns[0].accessor, STR("ident")));
	to.table = STR("uAccessor");
	ck_assert_ptr_null(store_rename_begin(t, &to, false));
	ck_assert_ptr_eq(store_table_by_name(s, STR("uAccessor")), u);
	store_rename_end(store_rename_begin(t, &to, true), true); /* as when a log's tables take their module's names */
	ck_assert_ptr_eq(store_table_by_name(s, STR("uAccessor")), t);
	ck_assert_ptr_null(store_table_by_name(s, STR("newName")));
	store_destroy(s);
	arena_deinit(&arena);
}
END_TEST

/* Goal: names lead to tables and indexes; a table whose transaction rolls back was never there. */
START_TEST(names)
{
	struct arena arena;
	arena_init(&arena, 1 << 20);
	struct store_table_def *def = util_def(&arena, "t", "id:u s:s", "!0 1", 0);
	struct store *s = store_create();
	struct store_table *t, *again;
	struct store_delta delta;
	for (int round = 0; round < 2; round++) {
		store_tx_begin(s);
		ck_assert_int_eq(store_table_create(s, def, &t), STORE_OK);
		/* The creation that failed took a number, too. */
		ck_assert_uint_eq(store_table_def(t)->id, STORE_FIRST_USER_ID + 2 * (uint32_t)round);
		ck_assert_ptr_eq(store_table_by_name(s, STR("t")), t);
		ck_assert_ptr_eq(store_table_by_name(s, STR("tAccessor")), t);
		ck_assert_ptr_eq(store_index_table(store_index_by_name(s, STR("t_1_idx"))), t);
		ck_assert_ptr_eq(store_index_by_name(s, STR("t_alias1")), store_index_by_name(s, STR("t_1_idx")));
		ck_assert_ptr_eq(store_table_next(s, store_table_by_id(s, ST_TABLE_COUNT)), t);
		ck_assert_ptr_null(store_table_next(s, t));
		ck_assert_int_eq(store_table_create(s, def, &again), STORE_UNIQUE_VIOLATION);
		if (round == 0) {
			uint8_t row[] = { 1, 0, 0, 0, 0, 0, 0, 0 };
			size_t len = sizeof(row);
			ck_assert_int_eq(store_insert(s, t, row, &len, NULL), STORE_OK);
			store_tx_rollback(s);
			ck_assert_ptr_null(store_table_by_name(s, STR("t")));
			ck_assert_ptr_null(store_table_by_name(s, STR("tAccessor")));
			ck_assert_ptr_null(store_index_by_name(s, STR("t_alias1")));
			ck_assert_ptr_null(store_table_by_id(s, STORE_FIRST_USER_ID));
		} else {
			ck_assert_int_eq(store_tx_commit(s, &delta), STORE_OK);
		}
	}
	const uint16_t columns[] = { 1 }, none[] = { 0, 1 };
	ck_assert_ptr_eq(store_table_index_on(t, columns, 1), store_index_by_name(s, STR("t_1_idx")));
	ck_assert_ptr_null(store_table_index_on(t, none, 2));
	ck_assert_ptr_null(store_table_by_name(s, STR("")));
	ck_assert_ptr_null(store_index_by_id(s, ST_ENV_KEY_INDEX + 1));
	ck_assert_ptr_null(store_index_by_id(s, 0));
	ck_assert_ptr_null(store_table_by_id(s, ST_TABLE_COUNT + 1));
	store_destroy(s);
	arena_deinit(&arena);
}
END_TEST

static size_t schedule_row(uint8_t row[17], uint64_t id, uint8_t tag, int64_t micros)
{
	store_u64(row, id);
	row[8] = tag;
	store_u64(row + 9, (uint64_t)micros);
	return 17;
}

/* Goal: delays of 2^36-1 ms and more are refused, yet the row is there; without a call's time nothing is checked. */
START_TEST(schedules)
{
	struct arena arena;
	arena_init(&arena, 1 << 20);
	struct store_table_def *def = util_def(&arena, "t", "id:w at:S", "!0", 0);
	def->schedule_at = 1;
	def->schedule_name = STR("t_sched");
	def->schedule_function = STR("tick");
	struct fixture f = fixture_of(arena, def);
	ck_assert_uint_eq(store_table_row_count(store_table_by_id(f.s, ST_SCHEDULED)), 1);
	const int64_t limit = (((int64_t)1 << 36) - 1) * 1000, now = clock_wall_micros();
	uint8_t row[17];
	size_t len = schedule_row(row, 1, 0, limit);
	store_tx_begin(f.s);
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	store_set_call_time(f.s, now);
	len = schedule_row(row, 2, 0, limit);
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_SCHEDULE_TOO_LONG);
	ck_assert_uint_eq(len, 17);
	ck_assert_str_eq(error_text(&f), "Unable to schedule with long delay at 68719476.735s");
	len = schedule_row(row, 3, 0, limit - 3600000000);
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	len = schedule_row(row, 4, 0, INT64_MIN);
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_SCHEDULE_TOO_LONG);
	len = schedule_row(row, 5, 1, now + limit + 3600000000);
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_SCHEDULE_TOO_LONG);
	len = schedule_row(row, 6, 1, 0);
	ck_assert_int_eq(store_insert(f.s, f.t, row, &len, NULL), STORE_OK);
	ck_assert_uint_eq(store_table_row_count(f.t), 6);
	commit(&f);
	fixture_free(&f);
}
END_TEST

/* Goal: malformed prefixes and bounds as the kit recorded them (abi/malformed-keys). */
START_TEST(malformed_ranges)
{
	struct fixture f = fixture_new("a:u b:s c:l", "0,1,2 0 #1", -1);
	static const struct {
		uint32_t index, prefix_elems;
		const char *prefix, *start, *end; /* hex */
		enum store_status expected;
	} cases[] = {
		{ 0, 3, "0100000001000000610500000000000000", "02", "02", STORE_BAD_KEY },
		{ 0, 4, "01000000", "02", "02", STORE_BAD_KEY }, { 1, 1, "01000000", "02", "02", STORE_BAD_KEY },
		{ 0, 1, "0100", "02", "02", STORE_BAD_KEY }, { 0, 1, "0100000000", "02", "02", STORE_OK },
		{ 0, 2, "0100000001000000ff", "02", "02", STORE_BAD_KEY }, { 0, 0, "", "03", "02", STORE_BAD_KEY },
		{ 0, 0, "", "", "02", STORE_BAD_KEY }, { 0, 0, "", "000100", "02", STORE_BAD_KEY },
		{ 0, 0, "", "000100000007", "0003000000", STORE_OK }, { 0, 0, "", "0201000000", "02", STORE_OK },
		{ 0, 0, "", "02", "01", STORE_BAD_KEY }, { 0, 0, "", "02", "09", STORE_BAD_KEY },
		{ 0, 65535, "01000000", "02", "02", STORE_BAD_KEY },
		{ 0, 1, "01000000", "0001000000ff", "02", STORE_BAD_KEY }, { 1, 0, "ffff", "0001000000", "02", STORE_OK },
		{ 2, 0, "", "02", "02", STORE_NOT_ORDERED }, { 2, 0, "", "000100000061", "000100000061", STORE_NOT_ORDERED },
		{ 2, 0, "", "0001", "02", STORE_BAD_KEY },
	};
	store_tx_begin(f.s);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint8_t bytes[3][32];
		const char *hex[] = { cases[i].prefix, cases[i].start, cases[i].end };
		size_t lens[3];
		for (int k = 0; k < 3; k++) {
			lens[k] = strlen(hex[k]) / 2;
			ck_assert(hex_decode(str_of(hex[k]), bytes[k], lens[k]));
		}
		struct store_range range = { bytes[0], lens[0], cases[i].prefix_elems, bytes[1], lens[1], bytes[2], lens[2] };
		struct store_cursor c;
		struct store_row row;
		ck_assert_int_eq(store_scan_range(f.index[cases[i].index], &range, &c), cases[i].expected);
		ck_assert(!store_cursor_next(&c, &row));
		uint32_t deleted;
		ck_assert_int_eq(store_delete_range(f.s, f.index[cases[i].index], &range, &deleted), cases[i].expected);
	}
	store_tx_rollback(f.s);
	fixture_free(&f);
}
END_TEST

/* Goal: the words of unique violations, for values of every kind. */
START_TEST(violations)
{
	static const struct { const char *columns, *indexes, *first, *second, *text; } cases[] = {
		{ "a:u b:u", "!0", "0700000001000000", "0700000002000000", "'[\"a\"]' value: 7" },
		{ "a:i b:u", "!0", "f9ffffff01000000", "f9ffffff02000000", "'[\"a\"]' value: -7" },
		{ "a:s b:u", "!0", "020000006f6e01000000", "020000006f6e02000000", "'[\"a\"]' value: \"on\"" },
		{ "a:u b:B", "!0,1 !0", "0700000001", "0700000002", "'[\"a\"]' value: 7" },
		{ "a:h b:B c:b", "!0,1", "07000100", "07000101", "'[\"a\", \"b\"]' value: (0 = 7, 1 = 1)" },
		{ "a:K b:b", "!0", "000000000000000000000000000000000100000000000000000000000000000000",
			"000000000000000000000000000000000100000000000000000000000000000001",
			"'[\"a\"]' value: 340282366920938463463374607431768211456" },
		{ "a:I b:b", "!0", "0000000000000000000000000000008000", "0000000000000000000000000000008001",
			"'[\"a\"]' value: -170141183460469231731687303715884105728" },
		{ "a:d b:b", "!0", "000000000000f83f00", "000000000000f83f01", "'[\"a\"]' value: 1.5" },
		{ "a:d b:b", "!0", "00000000000000c000", "00000000000000c001", "'[\"a\"]' value: -2" },
		{ "a:f b:b", "!0", "cdcccc3d00", "cdcccc3d01", "'[\"a\"]' value: 0.1" },
		{ "a:d b:b", "!0", "0000408549ea854200", "0000408549ea854201", "'[\"a\"]' value: 3012000000000" },
		{ "a:d b:b", "!0", "000000000000f07f00", "000000000000f07f01", "'[\"a\"]' value: inf" },
		{ "a:a b:b", "!0", "02000000abcd00", "02000000abcd01", "'[\"a\"]' value: 0xabcd" },
		{ "a:e b:b", "!0", "0100", "0101", "'[\"a\"]' value: ( = ())" },
		{ "a:o b:b", "!0", "000500000000", "000500000001", "'[\"a\"]' value: ( = 5)" },
		{ "a:p b:b", "!0", "010000000000004000", "010000000000004001", "'[\"a\"]' value: (0 = 1, 1 = 2)" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct fixture f = fixture_new(cases[i].columns, cases[i].indexes, -1);
		uint8_t first[64], second[64];
		size_t first_len = strlen(cases[i].first) / 2, second_len = strlen(cases[i].second) / 2;
		ck_assert(hex_decode(str_of(cases[i].first), first, first_len));
		ck_assert(hex_decode(str_of(cases[i].second), second, second_len));
		store_tx_begin(f.s);
		ck_assert_int_eq(put(&f, first, first_len), STORE_OK);
		ck_assert_int_eq(put(&f, second, second_len), STORE_UNIQUE_VIOLATION);
		const char *text = strstr(error_text(&f), "'[");
		ck_assert_ptr_nonnull(text);
		ck_assert_str_eq(text, cases[i].text);
		store_tx_rollback(f.s);
		fixture_free(&f);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_replay");
	TCase *tc = tcase_create("all");
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, replay_equals, 0, ARRAY_COUNT(shapes));
	tcase_add_test(tc, damaged_rows);
	tcase_add_test(tc, sequence_after_restart);
	tcase_add_test(tc, names);
	tcase_add_test(tc, renames);
	tcase_add_test(tc, schedules);
	tcase_add_test(tc, malformed_ranges);
	tcase_add_test(tc, violations);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
