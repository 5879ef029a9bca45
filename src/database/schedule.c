/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules: rows that are calls. The tables are the truth, what is here is
 * when each row is due: made when the database opens, and changed by what
 * commits, so that a transaction that is rolled back schedules nothing.
 *
 * Invariants
 *  1. Each row of a schedule table has one entry; it is in the heap, or its
 *     call is running. One row never overlaps itself.
 *  2. Before a call runs, and before its row is deleted, the row is looked at
 *     again: gone means cancelled, changed means that it has a new entry.
 *  3. Intervals are counted from when they were due, not from when they ran:
 *     they never drift, and ticks that were missed are skipped.
 *  4. A reducer's row is deleted after its call (a crash repeats it), a
 *     procedure's before (a crash loses it).
 *
 * Source: module-abi.md 5.3, since-2.8.md 3.5.
 */
#include "base/clock.h"
#include "base/log.h"
#include "database/database_internal.h"

enum {
	ENTRIES_MAX = 1 << 24,
	CALLS_AT_ONCE = 64,                /* then other mail has its turn */
	CALLS_BETWEEN = 32,                /* between some messages and the next: neither starves the other */
	AGAIN_MICROS = 1000000,            /* after a call that could not be committed for want of space */
};

struct scheduled {
	uint64_t row;       /* the key in the map, with `table` behind it */
	uint64_t table;
	struct heap_entry due;
	uint64_t hash;      /* of the row's bytes */
	bool is_running, is_gone;
	uint32_t changes;   /* times that due and hash were given anew */
};
struct schedule {
	struct map entries; /* row and table -> entry */
	struct heap heap;   /* by when they are due */
};

/* ---- entries ---- */

static struct scheduled *entry_find(const struct schedule *s, const struct store_table *table, uint64_t row)
{
	uint64_t key[2] = { row, store_table_def(table)->id }, value;
	return map_get(&s->entries, key, sizeof(key), &value) ? (struct scheduled *)(uintptr_t)value : NULL;
}

static struct scheduled *entry_make(struct schedule *s, const struct store_table *table, uint64_t row)
{
	/* There is room in the heap for every entry, so that it can always come back. */
	if (s->entries.count >= ENTRIES_MAX || !heap_reserve(&s->heap, s->entries.count + 1))
		return NULL;
	struct scheduled *e = mem_zalloc(sizeof(*e));
	if (e == NULL)
		return NULL;
	e->row = row;
	e->table = store_table_def(table)->id;
	if (map_put(&s->entries, &e->row, 2 * sizeof(uint64_t), (uintptr_t)e))
		return e;
	mem_free(e);
	return NULL;
}

/* Whose call runs goes when it is done. */
static void entry_end(struct schedule *s, struct scheduled *e)
{
	heap_remove(&s->heap, &e->due);
	if (e->is_running) {
		e->is_gone = true;
		return;
	}
	map_remove(&s->entries, &e->row, 2 * sizeof(uint64_t));
	mem_free(e);
}

/* ---- rows ---- */

static uint64_t row_id(const struct store_table *table, const uint8_t *row)
{
	return load_u64(sats_column(store_table_layout(table), row, (uint32_t)store_table_def(table)->primary_key));
}

enum { AT_INTERVAL, AT_TIME };
static int row_at(const struct store_table *table, const uint8_t *row, int64_t *micros)
{
	const uint8_t *at = sats_column(store_table_layout(table), row, (uint32_t)store_table_def(table)->schedule_at);
	*micros = (int64_t)load_u64(at + 1);
	if (at[0] == AT_INTERVAL && *micros < 0)
		*micros = *micros == INT64_MIN ? INT64_MAX : -*micros;
	return at[0];
}

static int64_t add_micros(int64_t a, int64_t b)
{
	int64_t sum;
	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static bool row_find(struct store_table *table, uint64_t id, struct store_row *row)
{
	uint16_t column = (uint16_t)store_table_def(table)->primary_key;
	struct store_index *index = store_table_index_on(table, &column, 1);
	struct store_cursor cursor;
	uint8_t key[8];
	store_u64(key, id);
	return index != NULL && store_scan_point(index, key, sizeof(key), &cursor) == STORE_OK &&
		store_cursor_next(&cursor, row);
}

static bool is_schedule(const struct store_table *table)
{
	const struct store_table_def *def = store_table_def(table);
	return def->schedule_at >= 0 && def->primary_key >= 0;
}

static struct schedule *schedule_of(struct database *db)
{
	if (db->schedule == NULL)
		db->schedule = mem_zalloc(sizeof(*db->schedule));
	return db->schedule;
}

static void set_timer(struct database *db)
{
	const struct schedule *s = db->schedule;
	int64_t due = s == NULL || s->heap.count == 0 ? INT64_MAX : heap_first(&s->heap)->key;
	if (UNLIKELY(db->schedule_lost || db->departed_count > 0))
		due = due < add_micros(db_now(db), AGAIN_MICROS) ? due : add_micros(db_now(db), AGAIN_MICROS);
	db->schedule_due = due;
	if (due == db->timer_due)
		return;
	db->timer_due = due;
	timers_set(db->options.timers, db, due);
}

void db_wake_later(struct database *db)
{
	set_timer(db);
}

/* A row was there when the database opened, or was committed at `micros`. */
static void row_scheduled(struct database *db, const struct store_table *table, struct bytes row, int64_t micros)
{
	struct schedule *s = schedule_of(db);
	uint64_t id = row_id(table, row.data);
	struct scheduled *e = s == NULL ? NULL : entry_find(s, table, id);
	if (e == NULL && s != NULL)
		e = entry_make(s, table, id);
	if (e == NULL && s != NULL && s->entries.count >= ENTRIES_MAX) {
		log_error("a scheduled row of table %.*s cannot be queued: there are more than %d rows",
			STR_FMT(store_table_def(table)->name), ENTRIES_MAX);
		return;
	}
	if (e == NULL) {
		if (!db->schedule_lost)
			log_warn("no memory to queue rows of table %.*s: they will be late", STR_FMT(store_table_def(table)->name));
		db->schedule_lost = true;
		return;
	}
	int64_t at;
	int kind = row_at(table, row.data, &at);
	heap_remove(&s->heap, &e->due);
	e->due.key = kind == AT_TIME ? at : add_micros(micros, at);
	e->hash = hash_bytes(row.data, row.len);
	e->is_gone = false;
	e->changes++;
	if (!e->is_running)
		heap_add(&s->heap, &e->due);
}

void db_schedule_delta(struct database *db, const struct store_delta_table *changed, int64_t micros)
{
	if (!is_schedule(changed->table))
		return;
	struct schedule *s = db->schedule;
	for (uint32_t i = 0; s != NULL && i < changed->deletes.count; i++) {
		struct bytes row = store_delta_row(&changed->deletes, i);
		struct scheduled *e = entry_find(s, changed->table, row_id(changed->table, row.data));
		if (e != NULL && e->hash == hash_bytes(row.data, row.len))
			entry_end(s, e);
	}
	for (uint32_t i = 0; i < changed->inserts.count; i++)
		row_scheduled(db, changed->table, store_delta_row(&changed->inserts, i), micros);
	set_timer(db);
}

/* Rows that have no entry get one, due as if they had been committed now. */
static void find_rows(struct database *db)
{
	int64_t now = db_now(db);
	db->schedule_lost = false;
	for (struct store_table *t = store_table_next(db->store, NULL); t != NULL; t = store_table_next(db->store, t)) {
		if (!is_schedule(t))
			continue;
		struct store_cursor cursor;
		struct store_row row;
		store_scan(t, &cursor);
		while (!db->schedule_lost && store_cursor_next(&cursor, &row))
			if (db->schedule == NULL || entry_find(db->schedule, t, row_id(t, row.data)) == NULL)
				row_scheduled(db, t, (struct bytes){ row.data, row.len }, now);
	}
}

void db_schedule_open(struct database *db)
{
	find_rows(db);
	set_timer(db);
}

void db_schedule_free(struct database *db)
{
	struct schedule *s = db->schedule;
	if (s == NULL)
		return;
	uint32_t cursor = 0;
	for (const struct map_entry *at; (at = map_next(&s->entries, &cursor)) != NULL;)
		mem_free((void *)(uintptr_t)at->value);
	map_deinit(&s->entries);
	heap_deinit(&s->heap);
	mem_free(s);
	db->schedule = NULL;
}

/* ---- calls ---- */

bool db_call_reducer(struct database *db, const struct module_function *function, uint32_t id, struct bytes args,
	int64_t micros)
{
	struct db_call call = { .function = function, .id = id, .caller = { .identity = db->options.identity },
		.args = args, .micros = micros };
	struct str text;
	uint64_t nanos;
	db_begin(db);
	enum runtime_outcome outcome = db_run_reducer(db, &call, &text, &nanos);
	if (outcome != RUNTIME_OK) {
		db_rollback(db);
		return outcome != RUNTIME_EXHAUSTED || nanos > 0;
	}
	buf_clear(&db->scratch);
	if (db_commit(db, micros, id, NULL, true, NULL, &db->scratch) == WL_OK)
		return true;
	db_log_failure(db, micros, function->name, buf_str(&db->scratch));
	return false;
}

/* In a transaction of its own, if the row is still the one that was called. */
static bool delete_row(struct database *db, const struct scheduled *e, struct store_table *table)
{
	struct store_row row;
	if (!row_find(table, e->row, &row) || hash_bytes(row.data, row.len) != e->hash)
		return true;
	buf_clear(&db->scratch);
	store_tx_begin(db->store);
	if (store_delete(db->store, table, row.number) != STORE_OK) {
		db_rollback(db);
		return false;
	}
	return db_commit(db, db_now(db), REDUCER_NAME_UNKNOWN, NULL, true, NULL, &db->scratch) == WL_OK;
}

static void call_begins(struct database *db, struct scheduled *e, int64_t late_micros)
{
	struct waits *waits = atomic_load_explicit(&db->schedule_waits, memory_order_relaxed);
	if (UNLIKELY(waits == NULL)) {
		waits = mem_zalloc(sizeof(*waits));
		atomic_store_explicit(&db->schedule_waits, waits, memory_order_release);
	}
	if (waits != NULL)
		waits_add(waits, late_micros > 0 ? (uint64_t)late_micros * 1000 : 0);
	db_count(&db->scheduled, 1);
	e->is_running = true;
}

static void call_ends(struct database *db, struct scheduled *e)
{
	db_count(&db->scheduled, UINT64_MAX); /* one less */
	e->is_running = false;
}

/* Its call is done: what now? `called` is the number of changes it was called with. */
static void call_done(struct database *db, struct scheduled *e, struct store_table *table, uint32_t called, bool again)
{
	struct schedule *s = db->schedule;
	struct store_row row;
	call_ends(db, e);
	if (e->is_gone || !row_find(table, e->row, &row)) {
		entry_end(s, e);
		return;
	}
	if (e->changes == called) {
		int64_t now = db_now(db), interval;
		if (again) {
			e->due.key = add_micros(now, AGAIN_MICROS);
		} else if (row_at(table, row.data, &interval) == AT_TIME) {
			e->is_running = true; /* so that the commit which deletes the row leaves the entry to us */
			bool deleted = delete_row(db, e, table);
			e->is_running = false;
			if (deleted) {
				entry_end(s, e);
				return;
			}
			e->due.key = add_micros(now, AGAIN_MICROS);
		} else if (interval == 0) {
			e->due.key = now;
		} else if (now >= e->due.key) {
			int64_t missed = (now - e->due.key) / interval;
			db_count(&db->ticks_skipped, (uint64_t)missed);
			e->due.key = add_micros(e->due.key, (missed + 1) * interval);
		}
	}
	if (e->due.place == 0)
		heap_add(&s->heap, &e->due);
}

/* ---- procedures: on threads of their own ---- */

struct scheduled_procedure {
	struct database *db;       /* a share */
	struct module_def *def;    /* a share: the name is its */
	struct runtime_call call;
	uint8_t *args;
	struct scheduled *entry;   /* is_running keeps it; NULL: called at once */
	uint32_t changes;
};

static void procedure_done(struct database *db, void *arg)
{
	struct scheduled_procedure *job = arg;
	struct scheduled *e = job->entry;
	if (e == NULL)
		return;
	struct store_table *table = store_table_by_id(db->store, (uint32_t)e->table);
	if (table != NULL && !database_closed(db))
		call_done(db, e, table, job->changes, false);
	else
		call_ends(db, e);
	set_timer(db);
}

static void procedure_run(void *arg)
{
	struct scheduled_procedure *job = arg;
	struct database *db = job->db;
	struct procedure_result result;
	db_procedure_run(db, job->def, &job->call, true, &result);
	if (result.is_exhausted && result.text.len == 0) /* it did not begin */
		buf_put_cstr(&result.text, ENERGY_PROCEDURE_TEXT);
	if (!result.ok)
		db_log_failure(db, clock_wall_micros(), job->call.name, buf_str(&result.text));
	db_procedure_result_deinit(&result);
	(void)database_run(db, procedure_done, job);
	module_def_release(job->def);
	mem_free(job->args);
	mem_free(job);
	database_release(db);
}

bool db_call_procedure(struct database *db, const struct module_function *function, uint32_t id,
	struct bytes args, int64_t micros, struct scheduled *e)
{
	struct scheduled_procedure *job = mem_zalloc(sizeof(*job));
	if (job == NULL)
		return false;
	job->args = mem_alloc(size_max(args.len, 1));
	if (job->args != NULL) {
		memcpy(job->args, args.data, args.len);
		job->db = database_share(db);
		job->def = module_def_share(db->module.def);
		job->call = (struct runtime_call){ .id = id, .name = function->name, .sender = db->options.identity,
			.timestamp = micros, .args = { job->args, args.len } };
		job->entry = e;
		job->changes = e == NULL ? 0 : e->changes;
		if (db_procedure_thread(procedure_run, job))
			return true;
		database_release(db);
		module_def_release(job->def);
	}
	mem_free(job->args);
	mem_free(job);
	return false;
}

static void run_procedure(struct database *db, struct scheduled *e, struct store_table *table,
	const struct module_function *function, uint32_t id, struct bytes args, int64_t micros)
{
	struct store_row row;
	int64_t at;
	bool once = row_find(table, e->row, &row) && row_at(table, row.data, &at) == AT_TIME;
	uint32_t called = e->changes;
	/* The row of a one-shot goes first; its entry stays until the call is done. */
	bool again = once && !delete_row(db, e, table);
	if (!again)
		again = !db_call_procedure(db, function, id, args, micros, e);
	if (again)
		call_done(db, e, table, called, true);
}

/* ---- what is due ---- */

static void run_entry(struct database *db, struct scheduled *e)
{
	struct schedule *s = db->schedule;
	struct store_table *table = store_table_by_id(db->store, (uint32_t)e->table);
	struct store_row row;
	heap_remove(&s->heap, &e->due);
	if (table == NULL || !is_schedule(table) || !row_find(table, e->row, &row) ||
		hash_bytes(row.data, row.len) != e->hash) {
		entry_end(s, e);
		return;
	}
	struct buf args = BUF_INIT(STORE_ROW_BYTES_MAX); /* the call may change the row */
	buf_put(&args, row.data, row.len);
	int64_t now = db_now(db), micros = e->due.key > now ? e->due.key : now;
	struct str name = store_table_def(table)->schedule_function;
	uint32_t id, called = e->changes;
	call_begins(db, e, now - e->due.key);
	const struct module_function *function = args.failed ? NULL : module_reducer(db->module.def, name, &id);
	if (args.failed) {
		call_done(db, e, table, called, true);
	} else if (function != NULL) {
		bool done = db_call_reducer(db, function, id, buf_bytes(&args), micros);
		call_done(db, e, table, called, !done);
	} else if ((function = module_procedure(db->module.def, name, &id)) != NULL) {
		run_procedure(db, e, table, function, id, buf_bytes(&args), micros);
	} else {
		log_warn("table %.*s schedules %.*s, which the module does not have", STR_FMT(store_table_def(table)->name),
			STR_FMT(name));
		call_done(db, e, table, called, false);
	}
	buf_deinit(&args);
}

bool db_post_due(struct database *db)
{
	if (atomic_exchange(&db->due_posted, true))
		return false;
	db_push(db, &db->due_mail);
	return true;
}

/* At most so many calls. False: more is due. */
static bool run_due(struct database *db, uint32_t calls_max)
{
	if (UNLIKELY(db->schedule_lost)) {
		find_rows(db);
		set_timer(db);
	}
	struct schedule *s = db->schedule;
	if (db_is_closing(db) || database_closed(db) || database_failed(db))
		return true;
	if (UNLIKELY(db->departed_count > 0)) {
		db_departed_retry(db);
		set_timer(db);
	}
	if (s == NULL)
		return true;
	uint64_t begin = clock_mono_nanos();
	for (uint32_t calls = 0; s->heap.count > 0 && heap_first(&s->heap)->key <= clock_wall_micros(); calls++) {
		if (calls >= calls_max || clock_mono_nanos() - begin > STEP_NANOS_MAX)
			return false;
		run_entry(db, CONTAINER_OF(heap_first(&s->heap), struct scheduled, due));
		db->now_nanos = clock_mono_nanos();
	}
	set_timer(db);
	return true;
}

void db_schedule_some(struct database *db)
{
	(void)run_due(db, CALLS_BETWEEN);
}

void db_schedule_run(struct database *db)
{
	atomic_store(&db->due_posted, false);
	db->timer_due = INT64_MAX; /* it has fired */
	if (!run_due(db, CALLS_AT_ONCE))
		(void)db_post_due(db);
}
