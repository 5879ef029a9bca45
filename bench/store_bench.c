/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds per operation of the store, and bytes per row. `store_bench [rows]`, default 1,000,000. */
#include "base/mem.h"
#include "store/store.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint32_t rows = 1000000;
static uint64_t random_state = 88172645463325252u;

static uint32_t pick(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 16) % limit);
}

static uint64_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long long size = 0, pages = 0;
	if (f == NULL || fscanf(f, "%llu %llu", &size, &pages) != 2)
		abort();
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Of this process: what else runs on the machine does not count. */
static uint64_t cpu_nanos(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void must(enum store_status status)
{
	if (status != STORE_OK)
		abort();
}

static void report(const char *what, uint64_t start, uint64_t count)
{
	printf("%-44s %8.1f ns\n", what, (double)(cpu_nanos() - start) / (double)count);
}

static struct store *make(struct store_table **t, struct store_index **ix, const struct sats_type *last)
{
	static struct arena arena;
	arena_init(&arena, 1 << 20);
	const struct sats_type *p = sats_primitive;
	struct sats_element elements[] = { { STR("id"), &p[SATS_U32] }, { STR("a"), &p[SATS_U32] },
		{ STR("b"), last } };
	struct store_column columns[] = { { STR("id"), { 0 }, &p[SATS_U32] }, { STR("a"), { 0 }, &p[SATS_U32] },
		{ STR("b"), { 0 }, last } };
	static const uint16_t key[] = { 0 };
	struct store_index_def index = { .name = STR("t_id"), .unique = true, .column_count = 1, .columns = key };
	struct store_constraint_def constraint = { .name = STR("t_key"), .column_count = 1, .columns = key };
	struct store_table_def def = { .name = STR("t"), .row_type = sats_product_of(&arena, elements, 3),
		.column_count = 3,
		.columns = columns, .index_count = 1, .indexes = &index, .constraint_count = 1, .constraints = &constraint,
		.primary_key = 0, .schedule_at = -1 };
	struct store *s = store_create();
	struct store_delta delta;
	store_tx_begin(s);
	must(store_table_create(s, &def, t));
	must(store_tx_commit(s, &delta));
	*ix = store_index_by_name(s, STR("t_id"));
	arena_deinit(&arena);
	return s;
}

static void shuffle(uint32_t *keys)
{
	for (uint32_t i = rows; i > 1; i--) {
		uint32_t k = pick(i), held = keys[i - 1];
		keys[i - 1] = keys[k];
		keys[k] = held;
	}
}

static uint64_t sum; /* of what was read, so that it is read */

static void bulk_insert(struct store *s, struct store_table *t, const char *what, const uint32_t *keys)
{
	malloc_trim(0);
	uint64_t before = resident(), start = cpu_nanos();
	store_tx_begin(s);
	for (uint32_t i = 0; i < rows; i++) {
		uint32_t row[3] = { keys[i], i, 7 };
		size_t len = sizeof(row);
		must(store_insert(s, t, (uint8_t *)row, &len, NULL));
	}
	char text[64];
	snprintf(text, sizeof(text), "insert, one transaction, %s", what);
	report(text, start, rows);
	struct store_delta delta;
	start = cpu_nanos();
	must(store_tx_commit(s, &delta));
	report("  its commit, per row", start, rows);
	store_tx_begin(s);
	store_tx_rollback(s);
	malloc_trim(0);
	struct store_memory memory = store_table_memory(t);
	printf("  bytes per row: %.1f resident, %.1f rows, %.1f index\n", (double)(resident() - before) / rows,
		(double)memory.row_bytes / rows, (double)memory.index_bytes / rows);
}

/* Rows by key, picked among the first `among` keys. */
static void point_scans(struct store_index *ix, const char *what, const uint32_t *keys, uint32_t among)
{
	struct store_cursor cursor;
	struct store_row row;
	uint64_t start = cpu_nanos();
	for (uint32_t i = 0; i < rows; i++) {
		uint8_t copy[12];
		must(store_scan_point(ix, (const uint8_t *)&keys[pick(among)], 4, &cursor));
		if (!store_cursor_next(&cursor, &row))
			abort();
		memcpy(copy, row.data, row.len);
		sum += copy[4];
	}
	report(what, start, rows);
}

static void whole_scans(struct store_table *t, struct store_index *ix)
{
	struct store_cursor cursor;
	struct store_row row;
	uint64_t start = cpu_nanos();
	uint8_t unbounded = 2;
	struct store_range range = { .start = &unbounded, .start_len = 1, .end = &unbounded, .end_len = 1 };
	must(store_scan_range(ix, &range, &cursor));
	while (store_cursor_next(&cursor, &row))
		sum += row.data[4];
	report("  index range scan, per row", start, rows);
	start = cpu_nanos();
	store_scan(t, &cursor);
	while (store_cursor_next(&cursor, &row))
		sum += row.data[4];
	report("  table scan, per row", start, rows);
}

static void updates(struct store *s, struct store_table *t, struct store_index *ix, const uint32_t *keys)
{
	struct store_delta delta;
	uint32_t rounds = rows < 1000000 ? rows : 1000000;
	uint64_t start = cpu_nanos();
	for (uint32_t i = 0; i < rounds; i++) {
		store_tx_begin(s);
		for (uint32_t k = 0; k < 2; k++) {
			uint32_t update[3] = { keys[pick(rows < 1000 ? rows : 1000)], i, k };
			size_t len = sizeof(update);
			must(store_update(s, t, ix, (uint8_t *)update, &len, NULL));
		}
		must(store_tx_commit(s, &delta));
		sum += delta.table_count;
	}
	report("  transaction of two updates, 1,000 hot rows", start, rounds);
	store_tx_begin(s);
	start = cpu_nanos();
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t update[3] = { keys[pick(rows)], i, 1 };
		size_t len = sizeof(update);
		must(store_update(s, t, ix, (uint8_t *)update, &len, NULL));
	}
	report("  update in one transaction, random", start, rounds);
	start = cpu_nanos();
	store_tx_rollback(s);
	report("  its rollback, per row", start, rounds);
}

static void deletes(struct store *s, struct store_index *ix, const uint32_t *keys)
{
	struct store_delta delta;
	uint64_t start = cpu_nanos();
	store_tx_begin(s);
	for (uint32_t i = 0; i < rows; i++) {
		uint32_t deleted;
		must(store_delete_point(s, ix, (const uint8_t *)&keys[i], 4, &deleted));
		if (i % 64 == 63) {
			must(store_tx_commit(s, &delta));
			store_tx_begin(s);
		}
	}
	must(store_tx_commit(s, &delta));
	report("  delete, 64 a transaction", start, rows);
}

static void bulk(const char *what, const uint32_t *keys)
{
	struct store_table *t;
	struct store_index *ix;
	struct store *s = make(&t, &ix, &sats_primitive[SATS_U32]);
	bulk_insert(s, t, what, keys);
	point_scans(ix, "  point scan with copy, random", keys, rows);
	point_scans(ix, "  point scan with copy, 1,000 hot rows", keys, rows < 1000 ? rows : 1000);
	whole_scans(t, ix);
	updates(s, t, ix, keys);
	deletes(s, ix, keys);
	store_destroy(s);
	if (sum == 1)
		printf("\n");
}

static void strings(void)
{
	struct store_table *t;
	struct store_index *ix;
	struct store *s = make(&t, &ix, &sats_primitive[SATS_STRING]);
	uint8_t row[64];
	struct store_delta delta;
	uint32_t count = rows / 4;
	uint64_t start = cpu_nanos();
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < count; i++) {
			store_tx_begin(s);
			uint32_t n = 8 + pick(30);
			store_u32(row, round == 0 ? i : pick(count));
			store_u32(row + 4, i);
			store_u32(row + 8, n);
			memset(row + 12, 'x', n);
			size_t len = 12 + n;
			must(round == 0 ? store_insert(s, t, row, &len, NULL) : store_update(s, t, ix, row, &len, NULL));
			must(store_tx_commit(s, &delta));
		}
		if (round == 0) {
			report("strings: insert and commit", start, count);
			start = cpu_nanos();
		}
	}
	report("strings: update and commit, random", start, 2ull * count);
	struct store_memory memory = store_table_memory(t);
	printf("  bytes per row of 34.5 on average: %.1f rows, %.1f index\n", (double)memory.row_bytes / count,
		(double)memory.index_bytes / count);
	store_destroy(s);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		rows = (uint32_t)strtoul(argv[1], NULL, 10);
	uint64_t start = cpu_nanos();
	enum { STORES = 100 };
	struct store *idle[STORES];
	struct mem_stats before = mem_stats();
	for (int i = 0; i < STORES; i++)
		idle[i] = store_create();
	report("a new store", start, STORES);
	printf("  bytes: %llu\n", (unsigned long long)(mem_stats().live_bytes - before.live_bytes) / STORES);
	for (int i = 0; i < STORES; i++)
		store_destroy(idle[i]);
	uint32_t *keys = mem_or_abort(mem_alloc(rows * sizeof(*keys)));
	for (uint32_t i = 0; i < rows; i++)
		keys[i] = i;
	bulk("ascending keys", keys);
	shuffle(keys);
	bulk("dense keys in random order", keys);
	for (uint32_t i = 0; i < rows; i++)
		keys[i] = keys[i] * 2654435769u;
	bulk("sparse keys in random order", keys);
	strings();
	mem_free(keys);
	return 0;
}
