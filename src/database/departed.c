/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that are gone though their rows are still there: the disk was full,
 * or there was no memory. They are tried again, reducer and all, until the
 * rows are gone, so that st_client tells the truth (README.md, invariant 6).
 *
 * Who is let in has a place here already: to remember needs no memory.
 */
#include "base/log.h"
#include "database/database_internal.h"

struct departed {
	struct identity identity;
	struct connection_id connection;
};

bool db_departed_reserve(struct database *db)
{
	uint64_t wanted = store_table_row_count(store_table_by_id(db->store, ST_CLIENT)) + db->departed_count + 1;
	if (wanted <= db->departed_cap)
		return true;
	uint64_t cap = wanted * 2;
	void *grown = cap > UINT32_MAX ? NULL : mem_realloc(db->departed, (size_t)cap * sizeof(*db->departed));
	if (grown == NULL)
		return false;
	db->departed = grown;
	db->departed_cap = (uint32_t)cap;
	return true;
}

void db_departed_add(struct database *db, const struct database_caller *caller)
{
	if (db->departed_count == db->departed_cap)
		return; /* it has no row either */
	db->departed[db->departed_count++] = (struct departed){ caller->identity, caller->connection };
	db_wake_later(db);
}

static bool try_one(struct database *db, uint32_t i)
{
	struct database_caller caller = { .identity = db->departed[i].identity, .connection = db->departed[i].connection };
	if (!db_disconnect_now(db, &caller))
		return false;
	db->departed[i] = db->departed[--db->departed_count];
	return true;
}

bool db_departed_settle(struct database *db, const struct database_caller *caller)
{
	for (uint32_t i = 0; i < db->departed_count; i++)
		if (memcmp(&db->departed[i].identity, &caller->identity, sizeof(caller->identity)) == 0 &&
			memcmp(&db->departed[i].connection, &caller->connection, sizeof(caller->connection)) == 0)
			return try_one(db, i);
	return true;
}

void db_departed_retry(struct database *db)
{
	while (db->departed_count > 0 && try_one(db, 0)) {
	}
}

/* At open: whoever is still in st_client was there when the host died. */
enum wl_err db_clients_sweep(struct database *db, struct buf *error)
{
	struct store_table *table = store_table_by_id(db->store, ST_CLIENT);
	struct store_cursor cursor;
	struct store_row row;
	if (!db_departed_reserve(db)) {
		buf_put_cstr(error, "not enough memory to open the database");
		return WL_ERR_MEMORY;
	}
	store_scan(table, &cursor);
	while (store_cursor_next(&cursor, &row)) {
		struct database_caller caller = { 0 };
		memcpy(caller.identity.le, row.data, 32);
		memcpy(caller.connection.le, row.data + 32, 16);
		db_departed_add(db, &caller);
	}
	db_departed_retry(db);
	/* Credentials without a client would block their connection id for ever. */
	struct store_table *tokens = store_table_by_id(db->store, ST_CONNECTION_CREDENTIALS);
	uint64_t cleared;
	if (db->departed_count > 0 || store_table_row_count(tokens) == 0)
		return WL_OK;
	struct buf why = BUF_INIT(ERROR_TEXT_BYTES_MAX);
	store_tx_begin(db->store);
	(void)store_clear(db->store, tokens, &cleared);
	if (db_commit(db, db_now(db), REDUCER_NAME_UNKNOWN, NULL, false, NULL, &why) != WL_OK)
		log_warn("rows of clients that a crash left behind could not be removed: %s", buf_text(&why));
	buf_deinit(&why);
	return WL_OK;
}
