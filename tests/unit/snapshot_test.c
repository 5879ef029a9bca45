/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots on disk: what is read back is what was there, whatever was shared, failed or damaged in between. */
#include "commitlog/storage_faulty.h"
#include "snapshot/snapshot.h"
#include "unit/store_util.h"
#include "unit/run_suite.h"

#include <errno.h>

#define DIR "snapshots"
enum { TABLES_MAX = 8 };

/* A store with one table for each way of keeping rows. */
struct world {
	struct storage_faulty *disk;
	struct storage *storage;
	struct store *s;
	struct store_table *t[TABLES_MAX];
	uint32_t count;
	struct arena arena;
	uint64_t offset, base_offset;
	uint32_t base_generation;
	uint64_t seed;
	struct identity id;
	struct snapshot_writing last;
	struct error error;
};

static uint64_t chance(struct world *w)
{
	w->seed += 0x9e3779b97f4a7c15u;
	return hash_u64(w->seed);
}

static void end_tx(struct world *w)
{
	struct store_delta delta;
	ck_assert_int_eq(store_tx_commit(w->s, &delta), STORE_OK);
	w->offset++;
}

static struct world world_new(uint64_t seed)
{
	static const struct { const char *name, *columns, *indexes; int32_t key; bool event; } SHAPES[] = {
		{ "fixed", "id:u n:w", "!0 1", 0, false },    { "variable", "id:u s:s n:u", "!0 1 2,0", 0, false },
		{ "optional", "id:u o:o", "!#0", 0, false },  { "set", "n:u e:e", "", -1, false },
		{ "event", "id:u n:w", "!0", 0, true },       { "words", "s:s n:h", "!0", 0, false },
	};
	struct world w = { .disk = storage_faulty_create(seed), .seed = seed, .base_offset = COMMITLOG_NONE };
	w.storage = storage_faulty_storage(w.disk);
	memset(w.id.le, 7, sizeof(w.id.le));
	arena_init(&w.arena, 1 << 24);
	w.s = store_create();
	store_tx_begin(w.s);
	for (size_t i = 0; i < ARRAY_COUNT(SHAPES); i++) {
		struct store_table_def *def = util_def(&w.arena, SHAPES[i].name, SHAPES[i].columns, SHAPES[i].indexes,
			SHAPES[i].key);
		def->is_event = SHAPES[i].event;
		ck_assert_int_eq(store_table_create(w.s, def, &w.t[w.count++]), STORE_OK);
	}
	end_tx(&w);
	return w;
}

static void world_free(struct world *w)
{
	store_destroy(w->s);
	storage_faulty_destroy(w->disk);
	arena_deinit(&w->arena);
}

static void random_row(struct world *w, uint32_t table, uint32_t id, struct buf *row)
{
	static const char TEXT[] = "many words that differ in how many of them there are, as words will, and so on and on";
	struct str text = { TEXT, chance(w) % sizeof(TEXT) };
	buf_clear(row);
	switch (table) {
	case 0:
	case 4:
		buf_put_u32(row, id);
		buf_put_u64(row, chance(w) % 50);
		break;
	case 1:
		buf_put_u32(row, id);
		buf_put_bsatn_str(row, text);
		buf_put_u32(row, (uint32_t)chance(w) % 9);
		break;
	case 2:
		buf_put_u32(row, id);
		buf_put_u8(row, id % 2);
		if (id % 2 == 0)
			buf_put_u32(row, (uint32_t)chance(w));
		break;
	case 3:
		buf_put_u32(row, id);
		buf_put_u8(row, (uint8_t)(chance(w) % 3));
		break;
	default:
		buf_put_u32(row, 8);
		buf_printf(row, "%08u", id);
		buf_put_u16(row, (uint16_t)chance(w));
	}
}

/* Inserts, replaces, deletes; sometimes all is taken back. */
static void churn(struct world *w, uint32_t changes, uint32_t ids)
{
	struct buf row = BUF_INIT(1 << 16);
	store_tx_begin(w->s);
	for (uint32_t i = 0; i < changes; i++) {
		uint32_t table = (uint32_t)(chance(w) % w->count), id = (uint32_t)(chance(w) % ids);
		struct store_index *index = store_table_index_on(w->t[table], (uint16_t[]){ 0 }, 1);
		random_row(w, table, id, &row);
		size_t len = row.len;
		if (chance(w) % 3 == 0 && index != NULL) {
			uint32_t deleted;
			size_t key = table == 5 ? 12 : 4;
			ck_assert_int_eq(store_delete_point(w->s, index, row.data, key, &deleted), STORE_OK);
		} else if (store_insert(w->s, w->t[table], row.data, &len, NULL) == STORE_UNIQUE_VIOLATION) {
			len = row.len;
			ck_assert_int_eq(store_update(w->s, w->t[table], index, row.data, &len, NULL), STORE_OK);
		}
	}
	if (chance(w) % 8 == 0)
		store_tx_rollback(w->s);
	else
		end_tx(w);
	buf_deinit(&row);
}

/* As the database takes one. */
static enum wl_err take(struct world *w)
{
	struct store_table *tables[64];
	struct snapshot_table list[64] = { 0 };
	struct buf defs[64];
	uint32_t count = 0;
	for (struct store_table *t = NULL; (t = store_table_next(w->s, t)) != NULL; count++) {
		tables[count] = t;
		buf_init(&defs[count], 1 << 16);
		if (!store_table_def(t)->is_system)
			store_table_encode(t, &defs[count]);
		list[count].def = buf_bytes(&defs[count]);
	}
	bool failed = false;
	for (uint32_t i = 0; i < count; i++)
		failed |= defs[i].failed;
	uint32_t generation = store_generation_next(w->s);
	struct store_snapshot *snapshot = failed ? NULL : store_snapshot_take(w->s, tables, count);
	enum wl_err err = snapshot == NULL ? WL_ERR_MEMORY : WL_OK;
	for (uint32_t i = 0; err == WL_OK && i < count; i++)
		list[i].table = store_snapshot_table(snapshot, tables[i]);
	w->last = (struct snapshot_writing){ .storage = w->storage, .dir = DIR, .database = w->id, .offset = w->offset,
		.micros = 42, .tables = list, .table_count = count, .base_offset = w->base_offset,
		.base_generation = w->base_generation };
	if (err == WL_OK)
		err = snapshot_write(&w->last, &w->error);
	store_snapshot_release(w->s, snapshot);
	if (err == WL_OK) {
		w->base_offset = w->offset;
		w->base_generation = generation;
	}
	for (uint32_t i = 0; i < count; i++)
		buf_deinit(&defs[i]);
	return err;
}

static enum wl_err load(struct world *w, uint64_t offset, struct store **out)
{
	struct snapshot_info info;
	struct store *s = store_create();
	*out = NULL;
	if (s == NULL)
		return WL_ERR_MEMORY;
	enum wl_err err = snapshot_load(w->storage, DIR, offset, s, &info, &w->error);
	if (err != WL_OK) {
		store_destroy(s);
		return err;
	}
	ck_assert_uint_eq(info.offset, offset);
	ck_assert_int_eq(info.micros, 42);
	ck_assert(identity_eq(&info.database, &w->id));
	(void)store_generation_next(s);
	*out = s;
	return WL_OK;
}

/* The same rows, found in the same ways. */
static void same(struct store *a, struct store *b)
{
	struct store_table *t = NULL, *u = NULL;
	while ((t = store_table_next(a, t)) != NULL) {
		u = store_table_next(b, u);
		ck_assert_ptr_nonnull(u);
		ck_assert_uint_eq(store_table_def(t)->id, store_table_def(u)->id);
		ck_assert_uint_eq(store_table_row_count(t), store_table_row_count(u));
		ck_assert_uint_eq(store_table_checksum(t), store_table_checksum(u));
		for (uint32_t i = 0; i < store_table_def(t)->index_count; i++) {
			struct store_cursor x, y;
			struct store_row row, other;
			struct store_range all = { 0 };
			struct store_index *ix = store_table_index(t, i);
			if (store_index_def(ix)->kind == STORE_HASH)
				continue;
			all.start = all.end = (const uint8_t *)"\2";
			all.start_len = all.end_len = 1;
			ck_assert_int_eq(store_scan_range(ix, &all, &x), STORE_OK);
			ck_assert_int_eq(store_scan_range(store_table_index(u, i), &all, &y), STORE_OK);
			uint64_t rows = 0;
			for (; store_cursor_next(&x, &row); rows++) {
				ck_assert(store_cursor_next(&y, &other));
				ck_assert(row.len == other.len && memcmp(row.data, other.data, row.len) == 0);
			}
			ck_assert_uint_eq(rows, store_table_row_count(t));
		}
	}
	ck_assert_ptr_null(store_table_next(b, u));
}

/* The store that was loaded takes the place of the one in use, as after a restart. */
static void restart(struct world *w, struct store *loaded)
{
	for (uint32_t i = 0; i < w->count; i++)
		w->t[i] = store_table_by_name(loaded, store_table_def(w->t[i])->name);
	store_destroy(w->s);
	w->s = loaded;
	w->base_generation = 0;
}

/* Goal: long lives, snapshots that share pages, old ones removed, restarts from the newest: always the same rows. */
START_TEST(lives)
{
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct world w = world_new(seed);
		uint32_t ids = seed % 3 == 0 ? 20000 : 700;
		uint64_t shared = 0;
		for (uint32_t round = 0; round < 30; round++) {
			for (uint32_t i = 0; i < 1 + round % 4; i++)
				churn(&w, round == 0 ? ids * 3 : 1 + (uint32_t)(chance(&w) % 60), ids);
			if (round % 11 == 10) {
				store_tx_begin(w.s);
				uint64_t gone;
				ck_assert_int_eq(store_clear(w.s, w.t[round % 3], &gone), STORE_OK);
				end_tx(&w);
			}
			w.offset++;
			ck_assert_msg(take(&w) == WL_OK, "%s", w.error.text);
			shared += w.last.pages_shared;
			uint64_t oldest, *offsets;
			uint32_t count;
			ck_assert_int_eq(snapshot_retain(w.storage, DIR, 2, COMMITLOG_NONE, &oldest, &w.error), WL_OK);
			ck_assert_int_eq(snapshot_list(w.storage, DIR, &offsets, &count, &w.error), WL_OK);
			ck_assert_uint_eq(offsets[0], w.offset);
			ck_assert_uint_le(count, 2 * SNAPSHOT_FILES_MAX);
			ck_assert_uint_le(oldest, w.offset);
			mem_free(offsets);
			struct store *loaded, *older;
			ck_assert_msg(load(&w, oldest, &older) == WL_OK, "%s", w.error.text);
			store_destroy(older);
			ck_assert_msg(snapshot_verify(w.storage, DIR, w.offset, NULL, NULL, NULL, &w.error) == WL_OK, "%s",
				w.error.text);
			ck_assert_msg(load(&w, w.offset, &loaded) == WL_OK, "%s", w.error.text);
			same(w.s, loaded);
			if (chance(&w) % 3 == 0)
				restart(&w, loaded);
			else
				store_destroy(loaded);
		}
		ck_assert(ids < 20000 || shared > 0);
		world_free(&w);
	}
}
END_TEST

/* Goal: a small change of a large table is a small file. */
START_TEST(shares)
{
	struct world w = world_new(3);
	struct buf row = BUF_INIT(1 << 16);
	store_tx_begin(w.s);
	for (uint32_t id = 0; id < 200000; id++) {
		random_row(&w, 0, id, &row);
		size_t len = row.len;
		ck_assert_int_eq(store_insert(w.s, w.t[0], row.data, &len, NULL), STORE_OK);
	}
	end_tx(&w);
	ck_assert_int_eq(take(&w), WL_OK);
	uint64_t whole = w.last.bytes;
	ck_assert_uint_gt(whole, 200000 * 12);
	for (uint32_t i = 0; i < 40; i++) {
		random_row(&w, 0, i * 5000 + 17, &row);
		size_t len = row.len;
		store_tx_begin(w.s);
		ck_assert_int_eq(store_update(w.s, w.t[0], store_table_index(w.t[0], 0), row.data, &len, NULL), STORE_OK);
		end_tx(&w);
		ck_assert_int_eq(take(&w), WL_OK);
		ck_assert_uint_lt(w.last.bytes, whole / 20); /* one page, and the contents */
	}
	struct store *loaded;
	ck_assert_msg(load(&w, w.offset, &loaded) == WL_OK, "%s", w.error.text);
	same(w.s, loaded);
	store_destroy(loaded);
	buf_deinit(&row);
	world_free(&w);
}
END_TEST

/* Goal: pages that are gone are not taken from an older snapshot. Method: many pages, all but a few rows of which are
 * deleted, so that pages are given back; then filled again. */
START_TEST(pages_go)
{
	struct world w = world_new(31);
	struct buf row = BUF_INIT(64);
	for (int round = 0; round < 4; round++) {
		struct store *loaded;
		store_tx_begin(w.s);
		for (uint32_t id = 0; id < 20000; id++) {
			random_row(&w, 0, id, &row);
			size_t len = row.len;
			(void)store_insert(w.s, w.t[0], row.data, &len, NULL);
		}
		end_tx(&w);
		ck_assert_int_eq(take(&w), WL_OK);
		store_tx_begin(w.s);
		for (uint32_t id = 0; id < 20000; id++) {
			uint32_t deleted;
			uint8_t key[4];
			store_u32(key, id);
			if (id % 5000 >= (uint32_t)round * 100)
				ck_assert_int_eq(store_delete_point(w.s, store_table_index_on(w.t[0], (uint16_t[]){ 0 }, 1), key, 4,
					&deleted), STORE_OK);
		}
		end_tx(&w);
		ck_assert_int_eq(take(&w), WL_OK);
		ck_assert_msg(load(&w, w.offset, &loaded) == WL_OK, "%s", w.error.text);
		same(w.s, loaded);
		store_destroy(loaded);
	}
	buf_deinit(&row);
	world_free(&w);
}
END_TEST

static void path_of(uint64_t offset, char path[128])
{
	ck_assert(snapshot_path(DIR, offset, path, 128));
}

/* Goal: no bit of a file can turn without being noticed, when it is checked and when it is loaded. */
START_TEST(flipped)
{
	struct world w = world_new(5);
	churn(&w, 200, 40);
	churn(&w, 200, 40);
	w.offset++;
	ck_assert_int_eq(take(&w), WL_OK);
	char path[128];
	path_of(w.offset, path);
	for (uint64_t at = 0; at < w.last.bytes; at++) {
		struct store *loaded;
		ck_assert(storage_faulty_flip(w.disk, path, at, (uint8_t)(1u << (at % 8))));
		enum wl_err err = load(&w, w.offset, &loaded);
		ck_assert_msg(err == WL_ERR_CORRUPT || err == WL_ERR_UNSUPPORTED, "byte %lu", (unsigned long)at);
		ck_assert_ptr_nonnull(strstr(w.error.text, path));
		err = snapshot_verify(w.storage, DIR, w.offset, NULL, NULL, NULL, &w.error);
		ck_assert_msg(err == WL_ERR_CORRUPT || err == WL_ERR_UNSUPPORTED, "byte %lu", (unsigned long)at);
		ck_assert(storage_faulty_flip(w.disk, path, at, (uint8_t)(1u << (at % 8))));
	}
	/* One that takes pages from another, which is gone or another one. */
	churn(&w, 3, 40);
	w.offset++;
	ck_assert_int_eq(take(&w), WL_OK);
	ck_assert_uint_gt(w.last.pages_shared, 0);
	struct buf old = BUF_INIT(1 << 24);
	ck_assert(storage_faulty_get(w.disk, path, &old));
	ck_assert(w.storage->ops->remove(w.storage, path));
	struct store *loaded;
	ck_assert_int_eq(load(&w, w.offset, &loaded), WL_ERR_NOT_FOUND);
	uint64_t oldest;
	ck_assert_int_eq(snapshot_retain(w.storage, DIR, 2, COMMITLOG_NONE, &oldest, &w.error), WL_OK);
	buf_deinit(&old);
	world_free(&w);
}
END_TEST

/* Goal: whatever call fails, the snapshot before is still there, and the next one comes to be. */
START_TEST(calls_fail)
{
	static const int REASONS[] = { EIO, ENOSPC };
	for (size_t r = 0; r < ARRAY_COUNT(REASONS); r++) {
		bool failed = true;
		for (uint64_t n = 1; failed; n++) {
			struct world w = world_new(n);
			churn(&w, 300, 100);
			w.offset++;
			ck_assert_int_eq(take(&w), WL_OK);
			uint64_t before = w.offset;
			struct store *first, *second;
			ck_assert_int_eq(load(&w, before, &first), WL_OK);
			churn(&w, 30, 100);
			w.offset++;
			storage_faulty_fail_at(w.disk, STORAGE_FAULTY_ANY, n, REASONS[r]);
			enum wl_err err = take(&w);
			failed = err != WL_OK;
			uint64_t oldest;
			(void)snapshot_retain(w.storage, DIR, 2, COMMITLOG_NONE, &oldest, &w.error);
			storage_faulty_fail_at(w.disk, STORAGE_FAULTY_ANY, 0, 0);
			ck_assert_int_eq(load(&w, before, &second), WL_OK);
			same(first, second);
			store_destroy(first);
			store_destroy(second);
			ck_assert_int_eq(take(&w), WL_OK);
			ck_assert_int_eq(load(&w, w.offset, &second), WL_OK);
			same(w.s, second);
			store_destroy(second);
			world_free(&w);
			ck_assert_uint_lt(n, 1000);
		}
	}
}
END_TEST

/* Goal: power may go at any call: what is listed afterwards is whole. */
START_TEST(power_off)
{
	bool off = true;
	for (uint64_t n = 1; off; n++) {
		struct world w = world_new(n);
		churn(&w, 300, 100);
		w.offset++;
		ck_assert_int_eq(take(&w), WL_OK);
		uint64_t first = w.offset, oldest, *offsets;
		storage_faulty_power_off_at(w.disk, n);
		for (uint32_t i = 0; i < 3; i++) {
			churn(&w, 60, 100);
			w.offset++;
			if (take(&w) == WL_OK)
				(void)snapshot_retain(w.storage, DIR, 2, COMMITLOG_NONE, &oldest, &w.error);
		}
		off = storage_faulty_is_off(w.disk);
		storage_faulty_power_off_at(w.disk, 0);
		storage_faulty_crash(w.disk);
		uint32_t count;
		ck_assert_int_eq(snapshot_list(w.storage, DIR, &offsets, &count, &w.error), WL_OK);
		ck_assert_uint_ge(count, 1);
		ck_assert_uint_ge(offsets[0], first);
		for (uint32_t i = 0; i < count && i < 2; i++) {
			struct store *loaded;
			ck_assert_msg(load(&w, offsets[i], &loaded) == WL_OK, "power off at %lu: %s", (unsigned long)n,
				w.error.text);
			store_destroy(loaded);
		}
		mem_free(offsets);
		world_free(&w);
		ck_assert_uint_lt(n, 1000);
	}
}
END_TEST

/* Goal: memory that runs out is an error, in writing and in loading. */
START_TEST(memory_fails)
{
	struct world w = world_new(9);
	churn(&w, 300, 100);
	w.offset++;
	bool failed = true;
	for (uint64_t n = 1; failed; n++) {
		mem_fail_at(n, false);
		failed = take(&w) != WL_OK;
		mem_fail_at(0, false);
		ck_assert_uint_lt(n, 100000);
	}
	failed = true;
	for (uint64_t n = 1; failed; n++) {
		struct store *loaded;
		mem_fail_at(n, false);
		failed = load(&w, w.offset, &loaded) != WL_OK;
		mem_fail_at(0, false);
		if (!failed) {
			same(w.s, loaded);
			store_destroy(loaded);
		}
	}
	world_free(&w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("snapshot");
	TCase *all = tcase_create("all");
	tcase_set_timeout(all, 600);
	tcase_add_test(all, lives);
	tcase_add_test(all, shares);
	tcase_add_test(all, pages_go);
	tcase_add_test(all, flipped);
	tcase_add_test(all, calls_fail);
	tcase_add_test(all, power_off);
	tcase_add_test(all, memory_fails);
	suite_add_tcase(suite, all);
	return run_suite(suite);
}
