/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: functions of the module whose rows are kept in tables of their own,
 * and made again whenever a transaction changes something that they read.
 *
 * An *instance* is one view with the same arguments for everybody, or for one
 * sender; its rows carry its hash in their hidden first column. What it read (its *reads*: whole
 * tables, and keys of indexes) is listed under the tables, so that a
 * transaction finds the instances that it touches by the rows that it changed.
 *
 * Invariants
 *  1. An instance's rows are what its function gave in the last committed state
 *     in which any of its reads changed.
 *  2. A table with readers is marked in the store; a transaction that touches
 *     no marked table costs nothing here.
 *  3. What a refresh has read counts from the commit on; after a rollback the
 *     old reads count. It is listed beside the old reads before the commit, so
 *     that nothing needs memory afterwards.
 *  4. A view that fails while a transaction is refreshed fails the transaction.
 *     One that fails when it is first asked for has no rows, and is asked again;
 *     if memory is why, whoever asks is told.
 *
 * Source: sql-and-subscriptions.md 10, module-abi.md 5.6.
 */
#include "base/clock.h"
#include "base/log.h"
#include "database/views.h"

#define UNUSED_NANOS (UINT64_C(600) * 1000000000u) /* then an instance that nobody subscribes to goes */
#define SWEEP_NANOS (UINT64_C(30) * 1000000000u)
enum { INSTANCES_MAX = 1 << 20, RESULT_HEADER_ROWS = 0, RESULT_HEADER_SQL = 1 };

/* Its memory is kept for the next time, if it is little. */
static void fresh_drop(struct views *views, struct view_instance *instance)
{
	enum { KEPT = 16 };
	if (instance->is_watched)
		view_reads_forget(views, instance, &instance->fresh);
	instance->is_watched = false;
	if (instance->fresh.cap > KEPT) {
		mem_free(instance->fresh.reads);
		instance->fresh = (struct read_list){ 0 };
	}
	instance->fresh.count = 0;
	instance->fresh.failed = false;
	instance->is_refreshed = false;
}

/* ---- instances ---- */

static bool make_key(const struct store_table *table, struct bytes arguments, const struct identity *sender,
	uint8_t key[36])
{
	store_u32(key, store_table_def(table)->id);
	return query_view_hash(sender, arguments, key + 4);
}

static const struct module_view *view_of(const struct database *db, const struct store_table *table)
{
	return module_view(db->module.def, store_table_def(table)->name);
}

static struct view_instance *instance_find(const struct database *db, const struct store_table *table,
	struct bytes arguments, const struct identity *sender)
{
	uint8_t key[36];
	uint64_t value;
	if (db->views == NULL || !make_key(table, arguments, sender, key))
		return NULL;
	return map_get(&db->views->instances, key, sizeof(key), &value) ? (void *)(uintptr_t)value : NULL;
}

static void instance_free(struct views *views, struct view_instance *instance)
{
	map_remove(&views->instances, instance->key, sizeof(instance->key));
	view_reads_forget(views, instance, &instance->reads);
	fresh_drop(views, instance);
	mem_free(instance->fresh.reads);
	mem_free((void *)(uintptr_t)instance->arguments.data);
	mem_free(instance);
}

static struct view_instance *instance_make(struct database *db, struct store_table *table, struct bytes arguments,
	const struct identity *sender)
{
	if (db->views == NULL) {
		db->views = mem_zalloc(sizeof(*db->views));
		if (db->views != NULL)
			db->views->row = db->views->key = BUF_INIT(STORE_ROW_BYTES_MAX);
	}
	if (db->views == NULL || db->views->instances.count >= INSTANCES_MAX)
		return NULL;
	struct view_instance *instance = mem_zalloc(sizeof(*instance));
	if (instance == NULL)
		return NULL;
	instance->table = table;
	instance->is_anonymous = sender == NULL;
	if (sender != NULL)
		instance->sender = *sender;
	instance->used_nanos = clock_mono_nanos();
	uint8_t *copy = arguments.len == 0 ? NULL : mem_alloc(arguments.len);
	if (copy != NULL)
		memcpy(copy, arguments.data, arguments.len);
	instance->arguments = (struct bytes){ copy, arguments.len };
	if ((copy != NULL || arguments.len == 0) && make_key(table, arguments, sender, instance->key) &&
		map_put(&db->views->instances, instance->key, sizeof(instance->key), (uintptr_t)instance))
		return instance;
	mem_free(copy);
	mem_free(instance);
	return NULL;
}

/* ---- making an instance's rows, in the open transaction ---- */

static void scratch_end(struct buf *buf)
{
	enum { KEPT_BYTES = 65536 };
	if (buf->cap > KEPT_BYTES || buf->failed)
		buf_deinit(buf);
}

struct filling {
	struct database *db;
	struct view_instance *instance;
	struct buf *row;
	bool failed;
};

static bool delete_rows(struct database *db, const struct view_instance *instance)
{
	static const uint16_t hash_column = 0;
	uint32_t deleted;
	struct store_index *index = store_table_index_on(instance->table, &hash_column, 1);
	ASSERT(index != NULL);
	return store_delete_point(db->store, index, instance->key + 4, 32, &deleted) == STORE_OK;
}

/* False: the row is not of the view's type, or another has its key. */
static bool put_row(void *context, const uint8_t *row, size_t len)
{
	struct filling *f = context;
	buf_clear(f->row);
	buf_put(f->row, f->instance->key + 4, 32);
	buf_put(f->row, row, len);
	size_t size = f->row->len;
	f->failed = f->row->failed ||
		store_insert(f->db->store, f->instance->table, f->row->data, &size, NULL) != STORE_OK;
	return !f->failed;
}

static bool put_rows(struct filling *f, struct bytes rows, struct buf *error)
{
	struct reader r = reader_of(rows.data, rows.len);
	uint32_t count = reader_u32(&r);
	const struct sats_row_layout *layout = store_table_layout(f->instance->table);
	if (r.failed && rows.len == 0)
		return true; /* nothing was written: no rows */
	for (uint32_t i = 0; i < count && !r.failed; i++) {
		const uint8_t *begin = r.at;
		for (uint32_t c = 1; c < layout->column_count; c++) {
			size_t size;
			struct error why;
			if (sats_validate(layout->columns[c], r.at, reader_left(&r), &size, &why) != WL_OK) {
				buf_printf(error, "row %u is not of the view's type: %s", i, why.text);
				return false;
			}
			r.at += size;
		}
		if (!put_row(f, begin, (size_t)(r.at - begin))) {
			buf_put_str(error, store_error_text(f->db->store));
			return false;
		}
	}
	if (r.failed)
		buf_put_cstr(error, "the rows end early");
	return !r.failed;
}

/* The rows of a query that the view returned: run with the owner's rights; it reads its tables whole. */
static bool put_query(struct filling *f, const struct module_view *view, struct str sql, struct buf *error)
{
	struct database *db = f->db;
	struct query *query;
	struct query_caller owner = { .identity = db->options.owner, .is_owner = true };
	struct query_limits limits = { .deadline = db->options.reducer_ms_max == 0 ? 0
		: clock_mono_nanos() + (uint64_t)db->options.reducer_ms_max * 1000000u };
	while (sql.len > 0 && strchr(" \t\r\n", sql.data[0]) != NULL && sql.data[0] != '\0')
		sql = (struct str){ sql.data + 1, sql.len - 1 };
	if (sql.len == 0)
		return true;
	if (query_compile(db->store, QUERY_DIALECT_SUBSCRIBE, sql, &owner, &query, error) != WL_OK)
		return false;
	struct store_table *const *tables;
	uint32_t count = query_tables(query, &tables);
	bool ok = true;
	for (uint32_t i = 0; ok && i < count; i++) {
		if (store_table_def(tables[i])->is_ephemeral) {
			buf_put_cstr(error, "view definition cannot read from other views");
			ok = false;
		} else if (store_table_def(tables[i])->id == ST_ENV) {
			buf_put_cstr(error, "module SQL views cannot read a module-restricted table");
			ok = false;
		}
		view_reads_table(&f->instance->fresh, tables[i]);
	}
	if (ok && query_uses_sender(query)) {
		buf_put_cstr(error, "parameterized SQL is not supported for view materialization yet");
		ok = false;
	}
	if (ok && !sats_type_eq(query_row_type(query), view->row_type)) {
		buf_put_cstr(error, "query returns `");
		sats_type_pretty(error, query_row_type(query));
		buf_put_cstr(error, "` but view expects `");
		sats_type_pretty(error, view->row_type);
		buf_put_cstr(error, "`");
		ok = false;
	}
	for (uint32_t b = 0; ok && b < query_block_count(query); b++)
		ok = query_select_block(query, b, db->store, &limits, put_row, f, error) == WL_OK && !f->failed;
	if (f->failed)
		buf_put_str(error, store_error_text(db->store));
	query_destroy(query);
	return ok;
}

enum { CODE_ROWS = 0, CODE_ERROR = 1, CODE_HEADER = 2 };
static bool put_result(struct filling *f, const struct module_view *view, int32_t code, struct bytes value,
	struct buf *error)
{
	if (code == CODE_ROWS)
		return put_rows(f, value, error);
	struct reader r = reader_of(value.data, value.len);
	uint8_t header = reader_u8(&r);
	if (r.failed || header > RESULT_HEADER_SQL) {
		buf_put_cstr(error, "the result has no valid header");
		return false;
	}
	if (header == RESULT_HEADER_ROWS)
		return put_rows(f, (struct bytes){ r.at, reader_left(&r) }, error);
	struct str sql = reader_bsatn_str(&r);
	if (r.failed) {
		buf_put_cstr(error, "the query ends early");
		return false;
	}
	struct buf copy = BUF_INIT(1 << 20); /* the guest's memory may be gone by the end */
	buf_put_str(&copy, sql);
	bool ok = !copy.failed && put_query(f, view, buf_str(&copy), error);
	buf_deinit(&copy);
	return ok;
}

/* Most views read the same again. */
static bool reads_same(const struct read_list *listed, const struct read_list *fresh)
{
	bool same = listed->count == fresh->count;
	for (uint32_t i = 0; same && i < fresh->count; i++) {
		const struct read *a = &listed->reads[i], *b = &fresh->reads[i];
		same = a->index == b->index && a->hash == b->hash &&
			(a->index != NULL || a->readers->table == (const struct store_table *)(const void *)b->readers);
	}
	return same;
}

/* Lists what was read, unless that is listed already. False: no memory. */
static bool watch(struct views *views, struct view_instance *instance)
{
	struct read_list *fresh = &instance->fresh;
	if (reads_same(&instance->reads, fresh))
		return true;
	for (uint32_t i = 0; i < fresh->count; i++)
		if (!view_read_in(views, instance, &fresh->reads[i], (struct store_table *)(void *)fresh->reads[i].readers)) {
			fresh->count = i;
			view_reads_forget(views, instance, fresh);
			return false;
		}
	instance->is_watched = true;
	return true;
}

/* Runs the view's function and replaces the instance's rows. False: `error` says why; the transaction is spoiled. */
static bool fill(struct database *db, struct view_instance *instance, struct buf *error)
{
	const struct module_view *view = view_of(db, instance->table);
	struct runtime_reads reads = { &instance->fresh, view_reads_table, view_reads_key };
	struct runtime_result result = { 0 };
	int32_t code = 0;
	fresh_drop(db->views, instance);
	if (view == NULL || db->module.instance == NULL) {
		buf_put_cstr(error, RUNTIME_FATAL_TEXT);
		return false;
	}
	struct runtime_call call = { .id = view->index, .name = view->name, .sender = instance->sender,
		.args = instance->arguments };
	enum runtime_outcome outcome = runtime_call_view(db->module.instance, &call, instance->is_anonymous, &reads,
		&result, &code);
	db_energy_charge(db, NULL, result.worked_nanos);
	bool returned = outcome == RUNTIME_OK && (code == CODE_ROWS || code == CODE_HEADER);
	if (!returned) {
		if (outcome != RUNTIME_OK)
			log_warn("view %.*s failed: %.*s", STR_FMT(view->name), STR_FMT(result.text));
		buf_put_cstr(error, RUNTIME_FATAL_TEXT);
		if (runtime_instance_ended(outcome))
			db_instance_drop(db);
		return false;
	}
	struct filling f = { .db = db, .instance = instance, .row = &db->views->row };
	struct buf why = BUF_INIT(ERROR_TEXT_BYTES_MAX);
	bool ok = delete_rows(db, instance);
	if (!ok)
		buf_put_str(&why, store_error_text(db->store));
	ok = ok && put_result(&f, view, code, result.value, &why) && !instance->fresh.failed;
	if (!ok)
		buf_printf(error, "Error materializing view `%.*s`: %s", STR_FMT(view->name),
			instance->fresh.failed ? "it reads too much" : buf_text(&why));
	if (ok && !watch(db->views, instance)) {
		buf_put_cstr(error, "not enough memory to watch what a view reads");
		ok = false;
	}
	buf_deinit(&why);
	scratch_end(&db->views->row);
	instance->is_refreshed = ok;
	return ok;
}

/* The reads of what was refreshed count from now on, or never. */
static __attribute__((noinline)) void settle(struct views *views, bool committed)
{
	for (uint32_t i = 0; i < views->refreshed.count; i++) {
		struct view_instance *instance = views->refreshed.items[i];
		if (committed && instance->is_refreshed && instance->is_watched) {
			view_reads_forget(views, instance, &instance->reads);
			instance->reads = instance->fresh;
			instance->fresh = (struct read_list){ 0 };
			instance->is_watched = false;
		}
		fresh_drop(views, instance);
	}
	views->refreshed.count = 0;
}

void db_views_settle(struct database *db, bool committed)
{
	if (UNLIKELY(db->views != NULL) && db->views->refreshed.count > 0)
		settle(db->views, committed);
}

/* ---- refreshing: before a transaction commits ---- */

static bool affect(struct views *views, const struct instance_list *list)
{
	for (uint32_t i = 0; list != NULL && i < list->count; i++) {
		if (list->items[i]->mark == views->mark)
			continue;
		list->items[i]->mark = views->mark;
		if (!instance_list_add(&views->refreshed, list->items[i]))
			return false;
	}
	return true;
}

static bool affect_by_keys(struct views *views, struct table_readers *readers, const struct store_index *index,
	const struct store_delta_rows *rows, struct buf *key)
{
	const struct store_index_def *def = store_index_def(index);
	const struct sats_row_layout *layout = store_table_layout(readers->table);
	for (uint32_t i = 0; i < rows->count; i++) {
		struct bytes row = store_delta_row(rows, i);
		buf_clear(key);
		for (uint32_t c = 0; c < def->column_count; c++) {
			const uint8_t *column = sats_column(layout, row.data, def->columns[c]);
			buf_put(key, column, sats_size(layout->columns[def->columns[c]], column));
		}
		if (key->failed || !affect(views, view_key_list(readers, index, hash_bytes(key->data, key->len), false)))
			return false;
	}
	return true;
}

static bool find_affected(struct database *db, const struct store_delta *delta)
{
	struct views *views = db->views;
	bool ok = true;
	views->mark++;
	for (uint32_t t = 0; ok && t < delta->table_count; t++) {
		struct table_readers *readers = view_readers_find(views, delta->tables[t].table);
		if (readers == NULL)
			continue;
		ok = affect(views, &readers->whole);
		for (const struct index_readers *at = readers->indexes; ok && at != NULL; at = at->next)
			ok = affect_by_keys(views, readers, at->index, &delta->tables[t].inserts, &views->key) &&
				affect_by_keys(views, readers, at->index, &delta->tables[t].deletes, &views->key);
	}
	scratch_end(&views->key);
	return ok;
}

/* Apart, so that a transaction that no view reads of does not even make room for this. */
static __attribute__((noinline)) enum wl_err refresh(struct database *db, struct buf *error)
{
	struct store_delta delta;
	if (db->views->refreshed.count > 0)
		return WL_OK; /* the transaction is itself one that makes views' rows */
	if (store_tx_peek(db->store, &delta) != STORE_OK || !find_affected(db, &delta)) {
		buf_put_cstr(error, "not enough memory to refresh the views");
		return WL_ERR_MEMORY;
	}
	for (uint32_t i = 0; i < db->views->refreshed.count; i++)
		if (!fill(db, db->views->refreshed.items[i], error))
			return WL_ERR_DENIED;
	return WL_OK;
}

enum wl_err db_views_refresh(struct database *db, struct buf *error)
{
	if (LIKELY(db->views == NULL) || !store_tx_touched_marked(db->store) || db->updating)
		return WL_OK;
	return refresh(db, error);
}

/* ---- asking ---- */

/* Fills a new instance in a transaction of its own, which nobody hears of. False: it has no rows. */
static bool fill_first(struct database *db, struct view_instance *instance)
{
	struct buf why = BUF_INIT(ERROR_TEXT_BYTES_MAX);
	db_begin(db);
	bool ok = fill(db, instance, &why);
	if (ok && instance_list_add(&db->views->refreshed, instance)) {
		ok = db_commit(db, db_now(db), REDUCER_NAME_UNKNOWN, NULL, false, NULL, &why) == WL_OK;
	} else {
		db_rollback(db);
		ok = false;
	}
	if (!ok)
		log_info("a view has no rows: %s", buf_text(&why));
	buf_deinit(&why);
	return ok;
}

bool db_view_used(void *context, struct store_table *table, struct bytes arguments, const struct identity *caller,
	int change)
{
	struct database *db = context;
	const struct module_view *view = view_of(db, table);
	if (view == NULL)
		return true;
	const struct identity *sender = view->is_anonymous ? NULL : caller;
	struct view_instance *instance = instance_find(db, table, arguments, sender);
	if (change < 0) {
		if (instance != NULL && instance->refs > 0)
			instance->refs--;
		return true;
	}
	if (instance == NULL) {
		uint64_t refused = mem_stats().refused;
		instance = instance_make(db, table, arguments, sender);
		if (instance != NULL && !fill_first(db, instance)) {
			instance_free(db->views, instance);
			instance = NULL;
		}
		if (instance == NULL)
			return mem_stats().refused == refused;
	}
	instance->used_nanos = clock_mono_nanos();
	instance->refs += (uint32_t)change;
	return true;
}

bool db_views_read(struct database *db, const struct query *query, const struct identity *caller)
{
	struct store_table *const *tables;
	uint32_t count = query_kind(query) == QUERY_SELECT ? query_tables(query, &tables) : 0;
	for (uint32_t i = 0; i < count; i++)
		if (store_table_def(tables[i])->is_ephemeral &&
			!db_view_used(db, tables[i], query_view_arguments(query), caller, 0))
			return false;
	return true;
}

/* ---- after a while, and after an update ---- */

static void expire(struct database *db, struct view_instance *instance)
{
	struct buf why = BUF_INIT(ERROR_TEXT_BYTES_MAX);
	store_tx_begin(db->store);
	if (!delete_rows(db, instance))
		db_rollback(db);
	else if (db_commit(db, db_now(db), REDUCER_NAME_UNKNOWN, NULL, false, NULL, &why) == WL_OK)
		instance_free(db->views, instance);
	buf_deinit(&why);
}

void db_views_sweep(struct database *db, uint64_t now)
{
	struct views *views = db->views;
	if (LIKELY(views == NULL) || now - views->swept_nanos < SWEEP_NANOS || views->instances.count == 0)
		return;
	views->swept_nanos = now;
	for (bool again = true; again;) { /* the map may not change while it is walked */
		uint32_t cursor = 0;
		again = false;
		for (const struct map_entry *e; !again && (e = map_next(&views->instances, &cursor)) != NULL;) {
			struct view_instance *instance = (struct view_instance *)(uintptr_t)e->value;
			if (instance->refs > 0 || now - instance->used_nanos < UNUSED_NANOS)
				continue;
			uint32_t before = views->instances.count;
			expire(db, instance);
			again = views->instances.count < before;
		}
	}
}

enum wl_err db_views_renew(struct database *db, struct buf *error)
{
	uint32_t cursor = 0;
	if (db->views == NULL)
		return WL_OK;
	for (const struct map_entry *e; (e = map_next(&db->views->instances, &cursor)) != NULL;) {
		struct view_instance *instance = (struct view_instance *)(uintptr_t)e->value;
		if (store_table_by_id(db->store, load_u32(instance->key)) == NULL)
			continue; /* the view goes */
		if (!fill(db, instance, error))
			return WL_ERR_INVALID;
		if (!instance_list_add(&db->views->refreshed, instance)) {
			fresh_drop(db->views, instance);
			buf_put_cstr(error, "not enough memory to make the views again");
			return WL_ERR_MEMORY;
		}
	}
	return WL_OK;
}

void db_views_retable(struct database *db)
{
	uint32_t cursor = 0;
	if (db->views == NULL)
		return;
	for (const struct map_entry *e; (e = map_next(&db->views->instances, &cursor)) != NULL;) {
		struct view_instance *instance = (struct view_instance *)(uintptr_t)e->value;
		struct store_table *table = store_table_by_id(db->store, load_u32(instance->key));
		if (table != NULL)
			instance->table = table;
	}
}

void db_views_retabled(struct database *db)
{
	uint32_t cursor = 0;
	if (db->views == NULL)
		return;
	view_readers_retable(db->views, db->store);
	for (const struct map_entry *e; (e = map_next(&db->views->instances, &cursor)) != NULL;) {
		struct view_instance *instance = (struct view_instance *)(uintptr_t)e->value;
		if (store_table_by_id(db->store, load_u32(instance->key)) == NULL) {
			instance_free(db->views, instance);
			cursor = 0;
		}
	}
}

void db_views_free(struct database *db)
{
	struct views *views = db->views;
	if (views == NULL)
		return;
	for (;;) {
		uint32_t cursor = 0;
		const struct map_entry *e = map_next(&views->instances, &cursor);
		if (e == NULL)
			break;
		instance_free(views, (struct view_instance *)(uintptr_t)e->value);
	}
	map_deinit(&views->instances);
	map_deinit(&views->tables);
	mem_free(views->refreshed.items);
	buf_deinit(&views->row);
	buf_deinit(&views->key);
	mem_free(views);
	db->views = NULL;
}
