/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables that go, and tables that take another's place, in a transaction.
 *
 * Invariants:
 *  1. A dropped table is only hidden until the transaction ends: its rows, its
 *     indexes and its entries in the maps of names and ids stay, so that
 *     rolling back needs no memory. Look-ups pass it over (is_dropped).
 *  2. Nothing writes to a hidden table, and a table that was written to cannot
 *     be dropped by the same transaction: what it holds is what the last
 *     commit left.
 *  3. Rows that were taken over from another table are no changes of rows: they
 *     are in no list of the transaction and in no delta.
 *  4. What is gone lives until the next transaction begins, so that whoever
 *     points to it can let go; and until no snapshot is left.
 */
#include "store/store_internal.h"

/* ---- what changed, for the log ---- */

static enum store_status note(struct store *store, struct store_schema_change change)
{
	if (store->schema_count == store->schema_cap) {
		uint32_t cap = store->schema_cap == 0 ? 8 : store->schema_cap * 2;
		struct store_schema_change *grown = mem_realloc(store->schema, cap * sizeof(*grown));
		if (grown == NULL)
			return store_fail(store, STORE_MEMORY);
		store->schema = grown;
		store->schema_cap = cap;
	}
	store->schema[store->schema_count++] = change;
	return STORE_OK;
}

enum store_status schema_note_created(struct store *store, struct store_table *t)
{
	return note(store, (struct store_schema_change){ .kind = STORE_TABLE_CREATED, .table = t, .id = t->def->id });
}

const struct store_schema_change *store_tx_schema(const struct store *store, uint32_t *count)
{
	*count = store->schema_count;
	return store->schema;
}

/* ---- hiding ---- */

static void hide(struct store *store, struct store_table *t)
{
	unlist(store, t);
	sequences_forget(store, t);
	store_error_forget(store);
	t->is_dropped = true;
	t->is_seen = false;
	t->next_dropped = store->dropped;
	store->dropped = t;
}

static void show(struct store *store, struct store_table *t)
{
	t->is_dropped = false;
	/* There was room for it, and the entries are there. */
	enum store_status status = store_table_add(store, t);
	ASSERT(status == STORE_OK);
	/* Their rows may lag behind, as before: the next commit writes them. */
	for (uint32_t i = 0; i < t->def->sequence_count; i++) {
		t->sequences[i].ahead = true;
		t->sequences[i].next_ahead = store->ahead;
		store->ahead = &t->sequences[i];
	}
}

void alter_rollback(struct store *store)
{
	/* Room for those that come back; then their names and ids stand for them again, in the same entries. */
	for (struct store_table *t = store->created; t != NULL; t = t->next_created)
		unlist(store, t);
	for (struct store_table *t; (t = store->dropped) != NULL;) {
		store->dropped = t->next_dropped;
		show(store, t);
	}
	for (struct store_table *t = store->created, *next; t != NULL; t = next) {
		next = t->next_created;
		store_table_remove(store, t);
		t->is_dropped = true;
		t->next_dropped = store->remains;
		store->remains = t;
	}
	store->schema_count = 0;
}

void alter_finish(struct store *store)
{
	for (struct store_table *t; (t = store->dropped) != NULL;) {
		store->dropped = t->next_dropped;
		store_table_remove(store, t);
		t->next_dropped = store->remains;
		store->remains = t;
	}
	store->schema_count = 0;
	if (store->schema_cap > 64) {
		mem_free(store->schema);
		store->schema = NULL;
		store->schema_cap = 0;
	}
}

void remains_free(struct store *store)
{
	if (store->snapshots != NULL)
		return;
	for (struct store_table *t; (t = store->remains) != NULL;) {
		store->remains = t->next_dropped;
		table_destroy(t);
	}
}

struct store_table *store_table_before(struct store *store, struct str name)
{
	for (struct store_table *t = store->dropped; t != NULL; t = t->next_dropped)
		if (str_eq(t->def->name, name))
			return t;
	return NULL;
}

void store_table_see(struct store_table *table)
{
	table->is_seen = true;
}

bool store_table_seen(const struct store_table *table)
{
	return table->is_seen;
}

struct store_table *store_table_before_by_id(struct store *store, uint32_t id)
{
	for (struct store_table *t = store->dropped; t != NULL; t = t->next_dropped)
		if (t->def->id == id)
			return t;
	return NULL;
}

/* ---- changes ---- */

static enum store_status may_change(struct store *store, struct store_table *t)
{
	ASSERT(store->tx_active && !t->is_dropped);
	if (t->def->is_system || t->tx.changed || t->tx.new_count > 0) {
		struct error *detail = store_fail_detail(store, STORE_LIMIT);
		if (detail != NULL)
			fail(detail, WL_ERR_INVALID, "table %.*s cannot be changed after its rows were", STR_FMT(t->def->name));
		return store_fail(store, STORE_LIMIT);
	}
	while (t->watches != NULL) {
		struct store_watch *watch = t->watches;
		store_watch_remove(watch);
		watch->before_write(watch);
	}
	return STORE_OK;
}

enum store_status store_table_drop(struct store *store, struct store_table *t)
{
	enum store_status status = may_change(store, t);
	if (status == STORE_OK)
		status = system_forget(store, t->def);
	if (status == STORE_OK)
		status = note(store, (struct store_schema_change){ .kind = STORE_TABLE_DROPPED, .id = t->def->id, .was = t,
			.is_ephemeral = t->def->is_ephemeral });
	if (status == STORE_OK)
		hide(store, t);
	return status;
}

/* The rows of `from`, each with the suffix. */
static enum store_status take_rows(struct store_table *from, struct store_table *to, struct bytes suffix)
{
	struct buf row = BUF_INIT(STORE_ROW_BYTES_MAX);
	struct store_cursor cursor;
	struct store_row old;
	enum store_status status = STORE_OK;
	bool checked = false;
	store_scan(from, &cursor);
	while (status == STORE_OK && store_cursor_next(&cursor, &old)) {
		struct bytes bytes = { old.data, old.len };
		if (suffix.len > 0) {
			buf_clear(&row);
			buf_put(&row, old.data, old.len);
			buf_put(&row, suffix.data, suffix.len);
			bytes = buf_bytes(&row);
		}
		size_t size;
		if (row.failed)
			status = STORE_LIMIT;
		else if (!checked && (sats_validate(to->layout->whole, bytes.data, bytes.len, &size, NULL) != WL_OK ||
			size != bytes.len))
			status = STORE_BAD_ROW;
		else
			status = row_append(to, bytes.data, (uint32_t)bytes.len);
		checked = true; /* what holds for one holds for all: the old part was valid, the new one is the same */
	}
	buf_deinit(&row);
	return status;
}

static enum store_status fill_indexes(struct store_table *t)
{
	enum store_status status = STORE_OK;
	for (uint32_t i = 0; i < t->index_count && status == STORE_OK; i++) {
		status = index_fill(t, t->indexes[i]);
		if (status == STORE_UNIQUE_VIOLATION)
			return store_fail_duplicates(t->store, t->indexes[i]);
	}
	if (t->set != NULL && status == STORE_OK)
		status = index_fill(t, NULL);
	return status;
}

/* Sequences go on where those of the same name were. */
static void take_sequences(const struct store_table *from, struct store_table *to)
{
	for (uint32_t i = 0; i < to->def->sequence_count; i++)
		for (uint32_t j = 0; j < from->def->sequence_count; j++) {
			const struct sequence *old = &from->sequences[j];
			if (!str_eq(to->sequences[i].def->name, old->def->name))
				continue;
			to->sequences[i].value = old->value;
			to->sequences[i].allocated = old->allocated;
		}
}

enum store_status table_take_over(struct store_table *from, struct store_table *to, struct bytes suffix)
{
	enum store_status status = from->row_count == 0 ? STORE_OK : take_rows(from, to, suffix);
	if (status == STORE_OK)
		status = fill_indexes(to);
	if (status == STORE_OK)
		take_sequences(from, to);
	to->version++;
	return status;
}

/* st_sequence says where they go on after a restart. */
static enum store_status put_positions(struct store *store, struct store_table *t)
{
	for (uint32_t i = 0; i < t->def->sequence_count; i++) {
		if (t->sequences[i].allocated == t->def->sequences[i].allocated)
			continue;
		enum store_status status = sequence_save(store, &t->sequences[i]);
		if (status != STORE_OK)
			return store_fail(store, status);
	}
	return STORE_OK;
}

enum store_status store_table_take_positions(struct store *store, const struct store_table *from,
	struct store_table *to)
{
	take_sequences(from, to);
	return put_positions(store, to);
}

enum store_status store_table_replace(struct store *store, struct store_table *t, const struct store_table_def *to,
	struct bytes suffix, struct store_table **out)
{
	struct store_table *next;
	uint32_t id = t->def->id;
	enum store_status status = store_table_drop(store, t);
	if (status == STORE_OK) {
		store->schema_count--; /* one change, told below */
		status = store_table_create(store, to, &next);
	}
	if (status != STORE_OK)
		return status;
	struct store_schema_change *told = &store->schema[store->schema_count - 1];
	*told = (struct store_schema_change){ .kind = STORE_TABLE_REPLACED, .table = next, .id = id, .was = t,
		.is_ephemeral = next->def->is_ephemeral };
	if (suffix.len > 0) {
		told->suffix = (struct bytes){ arena_copy(&store->tx_arena, suffix.data, suffix.len), suffix.len };
		if (told->suffix.data == NULL)
			return store_fail(store, STORE_MEMORY);
	}
	status = table_take_over(t, next, suffix);
	if (status == STORE_OK)
		status = put_positions(store, next);
	if (status != STORE_OK)
		return status == STORE_UNIQUE_VIOLATION ? status : store_fail(store, status);
	*out = next;
	return STORE_OK;
}
