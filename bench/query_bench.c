/* SPDX-License-Identifier: Apache-2.0 */
/* What compiling a subscription costs: time to parse, bind and plan it, and the memory that it holds. */
#include "base/arena.h"
#include "base/mem.h"
#include "query/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 50000 };

static const struct { const char *name, *sql; } queries[] = {
	{ "table", "SELECT * FROM accounts" },
	{ "point", "SELECT * FROM accounts WHERE id = 123456" },
	{ "range", "SELECT * FROM accounts WHERE balance >= 10 AND (id < 1000 OR NOT id <> 5000)" },
	{ "join",
		"SELECT accounts.* FROM accounts JOIN holders ON accounts.id = holders.account WHERE holders.id = 12345" },
};

static uint64_t cpu_nanos(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A public table of two columns, the first of them its primary key, both indexed. */
static void add_table(struct store *store, struct str name, struct str second, const struct sats_type *type)
{
	static struct arena arena;
	arena_init(&arena, 1 << 16);
	const struct sats_type *types = sats_primitive;
	struct sats_element elements[] = { { STR("id"), &types[SATS_U32] }, { second, type } };
	struct store_column columns[] = { { STR("id"), { 0 }, &types[SATS_U32] }, { second, { 0 }, type } };
	static const uint16_t keys[] = { 0, 1 };
	char first_name[64], second_name[64];
	snprintf(first_name, sizeof(first_name), "%.*s_id", STR_FMT(name));
	snprintf(second_name, sizeof(second_name), "%.*s_%.*s", STR_FMT(name), STR_FMT(second));
	struct store_index_def indexes[] = {
		{ .name = str_of(first_name), .unique = true, .column_count = 1, .columns = &keys[0] },
		{ .name = str_of(second_name), .column_count = 1, .columns = &keys[1] },
	};
	struct store_constraint_def constraint = { .name = STR("key"), .column_count = 1, .columns = &keys[0] };
	struct store_table_def def = { .name = name, .row_type = sats_product_of(&arena, elements, 2), .column_count = 2,
		.columns = columns, .index_count = 2, .indexes = indexes, .constraint_count = 1, .constraints = &constraint,
		.is_public = true, .primary_key = 0, .schedule_at = -1 };
	struct store_delta delta;
	struct store_table *table;
	store_tx_begin(store);
	if (store_table_create(store, &def, &table) != STORE_OK || store_tx_commit(store, &delta) != STORE_OK)
		abort();
	arena_deinit(&arena);
}

static void measure(struct store *store, const char *name, const char *sql)
{
	struct query_caller caller = { .is_owner = false };
	struct buf error = BUF_INIT(1 << 16);
	struct query *query = NULL;
	uint64_t live = mem_stats().live_bytes, bytes = 0, begin = cpu_nanos();
	for (uint32_t i = 0; i < ROUNDS; i++) {
		if (query_compile(store, QUERY_DIALECT_SUBSCRIBE, str_of(sql), &caller, &query, &error) != WL_OK) {
			fprintf(stderr, "query_bench: %s: %s\n", sql, buf_text(&error));
			exit(1);
		}
		if (i == 0)
			bytes = mem_stats().live_bytes - live;
		query_destroy(query);
	}
	printf("%s_nanos %.1f\n%s_bytes %llu\n", name, (double)(cpu_nanos() - begin) / ROUNDS, name,
		(unsigned long long)bytes);
	buf_deinit(&error);
}

int main(void)
{
	struct store *store = store_create();
	if (store == NULL)
		return 1;
	add_table(store, STR("accounts"), STR("balance"), &sats_primitive[SATS_I64]);
	add_table(store, STR("holders"), STR("account"), &sats_primitive[SATS_U32]);
	for (size_t i = 0; i < ARRAY_COUNT(queries); i++)
		measure(store, queries[i].name, queries[i].sql);
	store_destroy(store);
	return 0;
}
