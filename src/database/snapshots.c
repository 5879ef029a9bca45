/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of the whole database: when one is taken, and what may go then.
 *
 * What a restart would have to replay grows with every record. When that is
 * more than the options allow, and the log behind the last snapshot is not
 * small beside the tables, the next one is written: a long read like others
 * (reads.c), whose end lets older snapshots and the log behind them go.
 *
 * Invariants
 *  1. A snapshot has its name only after the log is durable up to its offset.
 *  2. The log keeps everything from the oldest snapshot that is kept.
 *  3. One at a time. A failure changes nothing but when the next one is tried.
 */
#include "base/clock.h"
#include "base/log.h"
#include "database/database_internal.h"
#include "snapshot/snapshot.h"

#include <inttypes.h>
#include <stdio.h>

enum { PATH_BYTES = 4096, DEFAULT_REPLAY_MICROS = 400000, WAIT_MS = 100, KEPT_MAX = 1000 };
/* What a record costs a restart, roughly. */
enum { RECORD_NANOS = 100, RECORD_BYTE_NANOS = 8 };
#define RETRY_NANOS_MIN ((uint64_t)5 * 1000000000u)
#define RETRY_NANOS_MAX ((uint64_t)600 * 1000000000u)

/* One that is being written. */
struct writing {
	struct db_read read;
	struct store_table **tables;
	struct snapshot_table *list;
	struct buf defs; /* of all tables, back to back */
	char dir[PATH_BYTES];
	struct snapshot_writing w;
	uint32_t generation;      /* that ended with it */
	uint64_t cost;            /* of the log up to it */
	uint64_t began_nanos;
	enum wl_err err;
	struct error error;
};

static struct storage *storage_of(const struct database_options *options)
{
	return options->storage != NULL ? options->storage : commitlog_storage_local();
}

static bool dir_of(const char *dir, char out[PATH_BYTES])
{
	return snprintf(out, PATH_BYTES, "%s/snapshots", dir) < PATH_BYTES;
}

void db_snapshot_count(struct database *db, size_t record_bytes)
{
	db->snapshots.cost += RECORD_NANOS + record_bytes * RECORD_BYTE_NANOS;
	db->snapshots.log_bytes += record_bytes;
}

/* ---- opening ---- */

static enum wl_err load(const struct database_options *options, const char *dir, uint64_t offset, struct store **out,
	struct snapshot_info *info, struct error *why)
{
	struct store *store = store_create();
	if (store == NULL)
		return fail(why, WL_ERR_MEMORY, "out of memory");
	enum wl_err err = snapshot_load(storage_of(options), dir, offset, store, info, why);
	if (err == WL_OK && !identity_eq(&info->database, &options->identity))
		err = fail(why, WL_ERR_CORRUPT, "%s: the snapshot at offset %" PRIu64 " is another database's", dir, offset);
	if (err != WL_OK) {
		store_destroy(store);
		return err;
	}
	(void)store_generation_next(store);
	*out = store;
	return WL_OK;
}

enum wl_err db_snapshot_open(const struct database_options *options, struct store **store, struct snapshot_info *info,
	struct buf *error)
{
	char dir[PATH_BYTES];
	uint64_t *offsets;
	uint32_t count;
	struct error why;
	*store = NULL;
	info->offset = COMMITLOG_NONE;
	if (options->in_memory || options->dir == NULL || !dir_of(options->dir, dir))
		return WL_OK;
	enum wl_err err = snapshot_list(storage_of(options), dir, &offsets, &count, &why);
	for (uint32_t i = 0; err == WL_OK && i < count && *store == NULL; i++) {
		err = load(options, dir, offsets[i], store, info, &why);
		if (err == WL_ERR_MEMORY || err == WL_ERR_IO) /* it may be good: try again, rather than do without */
			break;
		if (err != WL_OK)
			log_error("%s; an older snapshot, or the log alone, takes its place", why.text);
		err = WL_OK;
	}
	if (count > 0)
		mem_free(offsets);
	if (err != WL_OK)
		buf_put_cstr(error, why.text);
	return err;
}

void db_snapshot_opened(struct database *db, const struct snapshot_info *info)
{
	db->snapshots.base_offset = info->offset;
	if (info->offset == COMMITLOG_NONE)
		return;
	char dir[PATH_BYTES];
	db->offset = info->offset;
	db->last_micros = info->micros;
	if (dir_of(db->dir, dir))
		atomic_store_explicit(&db->snapshots.disk_bytes, snapshot_bytes(storage_of(&db->options), dir),
			memory_order_relaxed);
}

/* ---- one snapshot ---- */

static struct writing *writing_of(struct db_read *read)
{
	return (struct writing *)(void *)read;
}

static void writing_free(struct writing *x)
{
	mem_free(x->tables);
	mem_free(x->list);
	buf_deinit(&x->defs);
	mem_free(x);
}

static bool list_tables(struct writing *x, struct store *store)
{
	uint32_t count = 0;
	for (struct store_table *t = NULL; (t = store_table_next(store, t)) != NULL;)
		count++;
	x->tables = mem_alloc(count * sizeof(*x->tables));
	x->list = mem_zalloc_array(count, sizeof(*x->list));
	if (x->tables == NULL || x->list == NULL)
		return false;
	for (struct store_table *t = NULL; (t = store_table_next(store, t)) != NULL;) {
		size_t before = x->defs.len;
		if (!store_table_def(t)->is_system)
			store_table_encode(t, &x->defs);
		x->list[x->w.table_count].def.len = x->defs.len - before;
		x->tables[x->w.table_count++] = t;
	}
	return !x->defs.failed;
}

static bool begin_writing(struct db_read *read, struct store_table *const **tables, uint32_t *count)
{
	struct writing *x = writing_of(read);
	struct database *db = read->db;
	x->err = fail(&x->error, WL_ERR_MEMORY, "out of memory");
	if (!list_tables(x, db->store))
		return false;
	x->w.offset = db->offset;
	x->w.micros = db->last_micros;
	x->generation = store_generation_next(db->store);
	x->cost = db->snapshots.cost;
	db->snapshots.cost = db->snapshots.log_bytes = 0; /* an estimate: a failure gives it back */
	*tables = x->tables;
	*count = x->w.table_count;
	return true;
}

static bool is_wanted(void *context)
{
	struct writing *x = context;
	return !atomic_load_explicit(&x->read.cancelled, memory_order_relaxed) && !db_is_closing(x->read.db);
}

/* Without readers this is the executor, which may not wait: it began when everything was durable. */
static bool may_appear(void *context)
{
	struct writing *x = context;
	struct commitlog *log = x->read.db->commitlog;
	while (!commitlog_wait(log, x->w.offset, WAIT_MS))
		if (commitlog_state(log) == COMMITLOG_FAILED || !is_wanted(x))
			return false;
	return true;
}

/* What nobody needs any more, now that there is another one. */
static void retain(struct writing *x)
{
	struct database *db = x->read.db;
	uint64_t oldest;
	struct error why;
	const struct database_durability *wish = &db->options.durability;
	uint32_t keep = wish->snapshots_kept != 0 ? wish->snapshots_kept : SNAPSHOT_KEPT;
	enum wl_err err = snapshot_retain(x->w.storage, x->dir, keep, COMMITLOG_NONE, &oldest, &why);
	if (err != WL_OK)
		log_warn("old snapshots stay: %s", why.text);
	else if (oldest != COMMITLOG_NONE)
		(void)commitlog_trim(db->commitlog, oldest + 1, wish->log_kept_bytes);
	atomic_store_explicit(&db->snapshots.disk_bytes, snapshot_bytes(x->w.storage, x->dir), memory_order_relaxed);
}

static void run_writing(struct db_read *read)
{
	struct writing *x = writing_of(read);
	const uint8_t *def = x->defs.data;
	for (uint32_t i = 0; i < x->w.table_count; i++) {
		x->list[i].table = store_snapshot_table(read->snapshot, x->tables[i]);
		x->list[i].def.data = def;
		def += x->list[i].def.len;
	}
	x->w.tables = x->list;
	x->err = snapshot_write(&x->w, &x->error);
	if (x->err == WL_OK)
		retain(x);
}

static void writing_failed(struct database *db, const struct writing *x)
{
	struct snapshots *s = &db->snapshots;
	s->cost += x->cost;
	if (x->err == WL_ERR_CORRUPT) /* what it takes pages from is not to be believed: the next one takes none */
		s->base_offset = COMMITLOG_NONE;
	s->retry_after = s->retry_after == 0 ? RETRY_NANOS_MIN
		: s->retry_after * 2 > RETRY_NANOS_MAX ? RETRY_NANOS_MAX : s->retry_after * 2;
	s->retry_nanos = clock_mono_nanos() + s->retry_after;
	if (!db_is_closing(db) && !database_closed(db))
		log_warn("no snapshot was taken at offset %" PRIu64 ": %s; tried again in %" PRIu64 " s",
			x->w.offset, x->error.text, s->retry_after / 1000000000u);
}

static void end_writing(struct db_read *read)
{
	struct writing *x = writing_of(read);
	struct database *db = read->db;
	struct snapshots *s = &db->snapshots;
	s->is_writing = false;
	if (x->err == WL_OK) {
		s->base_offset = x->w.offset;
		s->base_generation = x->generation;
		s->retry_after = 0;
		s->state_bytes = x->w.bytes_used;
		db_count(&s->taken, 1);
		atomic_store_explicit(&s->last_nanos, clock_mono_nanos() - x->began_nanos, memory_order_relaxed);
	} else {
		writing_failed(db, x);
	}
	writing_free(x);
}

/* ---- when ---- */

static bool is_due(struct database *db)
{
	const struct snapshots *s = &db->snapshots;
	uint64_t micros = db->options.durability.replay_micros != 0 ? db->options.durability.replay_micros
		: DEFAULT_REPLAY_MICROS;
	if (LIKELY(s->cost < micros * 1000u) || s->is_writing || db->commitlog == NULL)
		return false;
	if (s->log_bytes < s->state_bytes / 2 || database_failed(db) || database_closed(db) || db_is_closing(db))
		return false;
	return s->retry_after == 0 || clock_mono_nanos() >= s->retry_nanos;
}

static bool start(struct database *db)
{
	struct snapshots *s = &db->snapshots;
	if (db->commitlog == NULL || db->offset == COMMITLOG_NONE || s->is_writing || store_tx_active(db->store))
		return false;
	if (db->options.readers == NULL && commitlog_durable(db->commitlog) != db->offset)
		return false;
	struct writing *x = mem_zalloc(sizeof(*x));
	if (x == NULL || !dir_of(db->dir, x->dir)) {
		mem_free(x);
		return false;
	}
	buf_init(&x->defs, (size_t)ERROR_TEXT_BYTES_MAX * 64);
	x->read = (struct db_read){ .begin = begin_writing, .run = run_writing, .end = end_writing };
	x->w = (struct snapshot_writing){ .storage = storage_of(&db->options), .dir = x->dir,
		.database = db->options.identity, .base_offset = s->base_offset, .base_generation = s->base_generation,
		.wanted = is_wanted, .may_appear = may_appear, .context = x };
	x->began_nanos = clock_mono_nanos();
	s->is_writing = true;
	db_read_start(db, &x->read);
	return true;
}

void db_snapshot_step(struct database *db)
{
	if (UNLIKELY(is_due(db)))
		(void)start(db);
}
