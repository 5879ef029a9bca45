/* SPDX-License-Identifier: Apache-2.0 */
/* store: indexes and pages at sizes where they split, convert, merge and give memory back; figures per row. */
#include "unit/store_model.h"
#include "unit/run_suite.h"

enum { DOMAIN = 40000 };

static void set_key(const struct sats_type *type, uint32_t n, struct buf *out)
{
	uint64_t spread = (uint64_t)n * 0x9e3779b97f4a7c15u;
	switch (type->tag) {
	case SATS_U32:
		buf_put_u32(out, n);
		return;
	case SATS_I32:
		buf_put_u32(out, (uint32_t)((int32_t)n - DOMAIN / 2));
		return;
	case SATS_U64:
		buf_put_u64(out, spread);
		return;
	case SATS_I64:
		buf_put_u64(out, spread ^ spread >> 7);
		return;
	case SATS_U128:
		buf_put_u64(out, n % 3);
		buf_put_u64(out, spread);
		return;
	case SATS_F64: {
		double d = ((double)n - DOMAIN / 2) / 3.0;
		buf_put(out, &d, 8);
		return;
	}
	default: {
		char text[40];
		int len = snprintf(text, sizeof(text), "%s%u", n % 2 ? "a common prefix " : "", n);
		buf_put_bsatn_str(out, (struct str){ text, (size_t)len });
	}
	}
}

static size_t numbered_row(struct fixture *f, uint32_t n, struct buf *out)
{
	const struct store_table_def *def = store_table_def(f->t);
	buf_clear(out);
	set_key(def->columns[0].type, n, out);
	buf_put_u32(out, n);
	buf_put_u32(out, n % 97);
	return out->len;
}

static uint32_t number_of(const struct store_row *row)
{
	return load_u32(row->data + row->len - 8);
}

/* All rows that should be there are, in order, and no others; every one is found by its key. */
static void check_present(struct fixture *f, const bool *present)
{
	const struct store_table_def *def = store_table_def(f->t);
	const struct sats_row_layout *layout = store_table_layout(f->t);
	struct store_cursor c;
	struct store_row row;
	struct buf key = BUF_INIT(1 << 16), last = key;
	uint64_t count = 0;
	uint8_t unbounded = 2;
	struct store_range all = { .start = &unbounded, .start_len = 1, .end = &unbounded, .end_len = 1 };
	for (uint32_t n = 0; n < DOMAIN; n++) {
		count += present[n];
		buf_clear(&key);
		set_key(def->columns[0].type, n, &key);
		ck_assert_int_eq(store_scan_point(f->index[0], key.data, key.len, &c), STORE_OK);
		bool found = store_cursor_next(&c, &row);
		ASSERT(found == present[n]);
		ASSERT(!found || number_of(&row) == n);
	}
	ck_assert_uint_eq(store_table_row_count(f->t), count);
	for (uint32_t i = 0; i < f->index_count; i++) {
		const struct store_index_def *ix = store_index_def(f->index[i]);
		if (ix->kind == STORE_HASH)
			continue;
		uint64_t seen = 0;
		buf_clear(&last);
		ck_assert_int_eq(store_scan_range(f->index[i], &all, &c), STORE_OK);
		for (; store_cursor_next(&c, &row); seen++) {
			ASSERT(present[number_of(&row)]);
			for (uint32_t k = 0; last.len > 0 && k < ix->column_count; k++) {
				int order = sats_compare(layout->columns[ix->columns[k]]->type, NULL,
					sats_column(layout, last.data, ix->columns[k]),
					sats_column(layout, row.data, ix->columns[k]));
				ASSERT(order <= 0);
				if (order < 0)
					break;
			}
			buf_clear(&last);
			buf_put(&last, row.data, row.len);
		}
		ck_assert_uint_eq(seen, count);
	}
	buf_deinit(&key);
	buf_deinit(&last);
}

static const char *const big_tables[][2] = {
	{ "k:u n:u m:u", "!0 2" }, { "k:i n:u m:u", "!0 2,1" }, { "k:w n:u m:u", "!0 2 1" }, { "k:l n:u m:u", "!0" },
	{ "k:J n:u m:u", "!0 2" }, { "k:d n:u m:u", "!0 2" }, { "k:s n:u m:u", "!0 2,0" }, { "k:s n:u m:u", "#!0 #2" },
	{ "k:s n:u m:u", "0 2" }, { "k:u n:u m:u", "=!0" }, { "k:w n:u m:u", "#!0 2" }, { "k:u n:u m:u", "0" },
};

/* Goal: every kind of key keeps its order through growth, conversion, rollback, mass deletion and refill. */
START_TEST(big_indexes)
{
	struct fixture f = fixture_new(big_tables[_i][0], big_tables[_i][1], -1);
	bool *present = mem_or_abort(mem_zalloc(DOMAIN)), *before = mem_or_abort(mem_zalloc(DOMAIN));
	struct source src = { .state = (uint64_t)_i + 5 };
	struct buf row = BUF_INIT(1 << 16);
	/* phases: ascending fill, random thinning, random fill, nearly empty, random churn */
	for (uint32_t phase = 0; phase < 5; phase++) {
		for (uint32_t round = 0; round < 8; round++) {
			bool undo = round % 2 == 0; /* each part is done, undone, and done again */
			uint64_t state = src.state;
			store_tx_begin(f.s);
			memcpy(before, present, DOMAIN);
			for (uint32_t i = 0; i < DOMAIN / 4; i++) {
				bool in_order = phase == 0 || phase == 3;
				uint32_t n = in_order ? round / 2 * DOMAIN / 4 + i : draw_below(&src, DOMAIN);
				bool wanted = phase == 0 || phase == 2 || (phase == 4 && draw_below(&src, 2) == 0);
				if (phase == 3 && n % 1000 == 0)
					continue;
				size_t len = numbered_row(&f, n, &row);
				if (wanted)
					ck_assert_int_eq(put(&f, row.data, len), STORE_OK);
				else
					ASSERT(drop(&f, row.data, len) == present[n]);
				present[n] = wanted;
			}
			if (!undo) {
				commit(&f);
				continue;
			}
			check_present(&f, present);
			store_tx_rollback(f.s);
			memcpy(present, before, DOMAIN);
			src.state = state;
		}
		check_present(&f, present);
	}
	store_tx_begin(f.s);
	uint64_t n;
	ck_assert_int_eq(store_clear(f.s, f.t, &n), STORE_OK);
	commit(&f);
	struct store_memory memory = store_table_memory(f.t);
	ck_assert_uint_le(memory.row_bytes + memory.index_bytes, 32 << 10);
	buf_deinit(&row);
	mem_free(present);
	mem_free(before);
	fixture_free(&f);
}
END_TEST

static void fill(struct fixture *f, uint32_t count, uint32_t step, bool shuffled)
{
	uint32_t row[3] = { 0 };
	store_tx_begin(f->s);
	for (uint32_t i = 0; i < count; i++) {
		/* A permutation of 0..2^18 - 1. */
		row[0] = (shuffled ? i * 77773u & (count - 1) : i) * step;
		row[1] = i;
		size_t len = sizeof(row);
		ck_assert_int_eq(store_insert(f->s, f->t, (uint8_t *)row, &len, NULL), STORE_OK);
	}
	commit(f);
}

/* Goal: 12-byte rows cost what the README says, indexes and all, and give it back. */
START_TEST(bytes_per_row)
{
	enum { ROWS = 1 << 18 };
	static const struct { uint32_t step; bool shuffled; double limit; } cases[] = {
		{ 1, false, 17 }, { 1, true, 18 }, { 2654435769u, true, 26 }, { 1000, false, 22 },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct fixture f = fixture_new("id:u a:u b:u", "!0", 0);
		uint64_t before = mem_stats().live_bytes;
		fill(&f, ROWS, cases[i].step, cases[i].shuffled);
		store_tx_begin(f.s);
		double per_row = (double)(mem_stats().live_bytes - before) / ROWS;
		printf("step %u %s: %.2f bytes a row\n", cases[i].step, cases[i].shuffled ? "shuffled" : "in order", per_row);
		ck_assert_msg(per_row <= cases[i].limit, "%.2f", per_row);
		for (uint32_t n = 0; n < ROWS; n++) {
			uint32_t key = n * cases[i].step, deleted;
			if (n % 4096 == 7)
				continue;
			ck_assert_int_eq(store_delete_point(f.s, f.index[0], (uint8_t *)&key, 4, &deleted), STORE_OK);
			ck_assert_uint_eq(deleted, 1);
		}
		commit(&f);
		ck_assert_uint_eq(store_table_row_count(f.t), ROWS / 4096);
		ck_assert_uint_le(store_table_memory(f.t).index_bytes, 16 << 10);
		ck_assert_uint_le(store_table_memory(f.t).row_bytes, (uint64_t)(ROWS / 4096 + 1) * (STORE_PAGE_BYTES + 2048));
		fixture_free(&f);
	}
}
END_TEST

/* Goal: a steady state of small transactions allocates nothing. */
START_TEST(no_allocations)
{
	static const char *const tables[] = { "id:u a:u b:u", "id:u a:s b:u" };
	for (size_t k = 0; k < ARRAY_COUNT(tables); k++) {
		struct fixture f = fixture_new(tables[k], "!0", 0);
		uint8_t row[16] = { 0 };
		size_t len = 12;
		uint64_t allocations = 0;
		for (uint32_t i = 0; i < 30000; i++) {
			if (i == 20000)
				allocations = mem_stats().allocations;
			store_tx_begin(f.s);
			for (uint32_t j = 0; j < 2; j++) {
				store_u32(row, (i * 7 + j) % 500);
				store_u32(row + 4, 0);
				store_u32(row + 8, i);
				size_t written = len;
				enum store_status status = i < 500 ? store_insert(f.s, f.t, row, &written, NULL) :
					store_update(f.s, f.t, f.index[0], row, &written, NULL);
				ck_assert(status == STORE_OK || i < 500);
			}
			commit(&f);
		}
		ck_assert_uint_eq(mem_stats().allocations - allocations, 0);
		fixture_free(&f);
	}
}
END_TEST

/* Goal: rows of variable size: rewriting them for ever does not grow the table; large ones are given back. */
START_TEST(variable_rows)
{
	struct fixture f = fixture_new("id:w s:s", "!0", 0);
	static uint8_t row[70000];
	struct source src = { .state = 3 };
	uint64_t live = 0;
	static uint32_t lens[300];
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t id = draw_below(&src, 300);
		uint32_t n = draw_below(&src, draw_below(&src, 50) == 0 ? 60000 : 300);
		store_tx_begin(f.s);
		store_u64(row, id);
		store_u32(row + 8, n);
		memset(row + 12, 'a' + (int)(i % 26), n);
		size_t len = 12 + n;
		enum store_status status = lens[id] == 0 ? store_insert(f.s, f.t, row, &len, NULL) :
			store_update(f.s, f.t, f.index[0], row, &len, NULL);
		ck_assert_int_eq(status, STORE_OK);
		if (i % 3 == 0) {
			store_tx_rollback(f.s);
			continue;
		}
		live = live + 12 + n - lens[id];
		lens[id] = 12 + n;
		commit(&f);
	}
	struct store_cursor c;
	struct store_row out;
	uint64_t sum = 0;
	store_scan(f.t, &c);
	while (store_cursor_next(&c, &out)) {
		ck_assert_uint_eq(out.len, lens[load_u64(out.data)]);
		sum += out.len;
	}
	ck_assert_uint_eq(sum, live);
	ck_assert_uint_le(store_table_memory(f.t).row_bytes, live * 2 + (128 << 10));
	fixture_free(&f);
}
END_TEST

static int warned;
static void on_write(struct store_watch *watch)
{
	(void)watch;
	warned++;
}

/* Goal: a watch fires once, before the first write or the end of a transaction that wrote. */
START_TEST(watches)
{
	struct fixture f = fixture_new("id:u n:u", "!0", 0);
	struct store_watch a = { .before_write = on_write }, b = a;
	uint32_t row[] = { 1, 1 }, other[] = { 1, 2 };
	store_tx_begin(f.s);
	store_watch_add(f.t, &a);
	store_watch_add(f.t, &b);
	store_watch_remove(&a);
	store_watch_remove(&a);
	ck_assert_int_eq(put(&f, row, 8), STORE_OK);
	ck_assert_int_eq(warned, 1);
	ck_assert_ptr_null(b.link);
	ck_assert_int_eq(change(&f, 0, other, 8), STORE_OK);
	ck_assert_int_eq(warned, 1);
	store_watch_add(f.t, &a);
	store_tx_rollback(f.s);
	ck_assert_int_eq(warned, 2);
	store_tx_begin(f.s);
	store_watch_add(f.t, &a);
	commit(&f);
	ck_assert_int_eq(warned, 2);
	store_watch_remove(&a);
	fixture_free(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_index");
	TCase *tc = tcase_create("all");
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, big_indexes, 0, ARRAY_COUNT(big_tables));
	tcase_add_test(tc, bytes_per_row);
	tcase_add_test(tc, no_allocations);
	tcase_add_test(tc, variable_rows);
	tcase_add_test(tc, watches);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
