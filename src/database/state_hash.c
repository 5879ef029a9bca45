/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state hash: a checksum of all rows that does not depend on their order,
 * so that what is live, replayed, loaded from a snapshot or restored can be
 * compared. A snapshot of the tables is taken between two transactions; adding
 * up is done on the caller's thread.
 */
#include "database/database_internal.h"

struct hashing {
	struct store_table **tables;
	uint32_t count;
	struct store_snapshot *snapshot;
	uint64_t offset;
};

static bool counts(const struct store_table *table)
{
	const struct store_table_def *def = store_table_def(table);
	return !def->is_ephemeral && !def->is_event;
}

static void take(struct database *db, void *arg)
{
	struct hashing *h = arg;
	uint32_t count = 0;
	for (struct store_table *t = NULL; (t = store_table_next(db->store, t)) != NULL;)
		count++;
	h->tables = mem_alloc(count * sizeof(struct store_table *));
	if (h->tables == NULL)
		return;
	for (struct store_table *t = NULL; (t = store_table_next(db->store, t)) != NULL;)
		if (counts(t))
			h->tables[h->count++] = t;
	h->snapshot = store_snapshot_take(db->store, h->tables, h->count);
	h->offset = db->offset;
}

static void release(struct database *db, void *arg)
{
	struct hashing *h = arg;
	store_snapshot_release(db->store, h->snapshot);
}

static uint64_t put_table(struct store_table *table, struct buf *json)
{
	const struct store_table_def *def = store_table_def(table);
	uint64_t sum = store_table_checksum(table);
	uint8_t mixed[12];
	store_u32(mixed, def->id);
	store_u64(mixed + 4, sum);
	if (json != NULL) {
		buf_printf(json, "{\"id\":%u,\"name\":", def->id);
		buf_put_json_str(json, def->name);
		buf_printf(json, ",\"rows\":%llu,\"hash\":\"%016llx\"}", (unsigned long long)store_table_row_count(table),
			(unsigned long long)sum);
	}
	return store_row_hash(mixed, sizeof(mixed));
}

uint64_t db_store_hash(struct store *store)
{
	uint64_t hash = 0;
	for (struct store_table *t = NULL; (t = store_table_next(store, t)) != NULL;)
		if (counts(t))
			hash += put_table(t, NULL);
	return hash;
}

enum wl_err database_state_hash(struct database *db, uint64_t *offset, uint64_t *hash, struct buf *json)
{
	struct hashing h = { 0 };
	enum wl_err err = database_run(db, take, &h);
	if (err == WL_OK && h.snapshot == NULL)
		err = WL_ERR_MEMORY;
	*hash = 0;
	*offset = h.offset;
	for (uint32_t i = 0; h.snapshot != NULL && i < h.count; i++) {
		if (json != NULL && i > 0)
			buf_put_u8(json, ',');
		*hash += put_table(store_snapshot_table(h.snapshot, h.tables[i]), json);
	}
	if (h.snapshot != NULL)
		(void)database_run(db, release, &h);
	mem_free(h.tables);
	return err;
}
