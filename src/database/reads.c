/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long reads: on a snapshot, on a thread of low priority beside the executor.
 * SQL statements have theirs in request.c, replies of live queries at the end here.
 *
 * Invariants
 *  1. At most READS_MAX reads of a database have a snapshot. The others wait in
 *     the order of their asking, without one: theirs is taken when their turn comes.
 *  2. `begin` and `end` run on the executor. `run` touches the snapshot, compiled
 *     queries that the read keeps alive, and what is the read's own; nothing else.
 *  3. A read is ended once; until then it holds a share of its database.
 */
#include "base/clock.h"
#include "database/database_internal.h"

enum { READS_MAX = 4 };
static const uint64_t SNAPSHOT_BYTES_MAX = (uint64_t)1 << 30; /* that writers may have to copy for readers */

static void begin_more(struct database *db);

static void finish(struct database *db, struct db_read *read)
{
	struct store_snapshot *snapshot = read->snapshot;
	read->snapshot = NULL;
	read->end(read); /* it may be gone now */
	store_snapshot_release(db->store, snapshot);
}

static void take_off(struct database *db, struct db_read *read)
{
	struct db_read **at = &db->reads;
	while (*at != read)
		at = &(*at)->next;
	*at = read->next;
	db->read_count--;
}

void db_read_ended(struct database *db, struct mail *mail)
{
	struct db_read *read = (struct db_read *)mail;
	take_off(db, read);
	finish(db, read);
	begin_more(db);
	database_release(db); /* never the last: whoever runs the executor has one */
}

/* Neither the priority nor the stack to be the executor: the end is mail. */
static void reader(void *arg)
{
	struct db_read *read = arg;
	struct database *db = database_share(read->db);
	thread_set_low_priority();
	read->run(read);
	db_push(db, &read->mail);
	timers_kick(db->options.timers, db);
	database_release(db);
}

/* Its turn has come. */
static void begin(struct database *db, struct db_read *read)
{
	struct store_table *const *tables;
	uint32_t count;
	bool possible = !db_is_closing(db) && !database_closed(db) && read->begin(read, &tables, &count);
	read->snapshot = possible ? store_snapshot_take(db->store, tables, count) : NULL;
	read->is_running = read->snapshot != NULL;
	read->deadline = db->options.reducer_ms_max == 0 ? 0
		: clock_mono_nanos() + (uint64_t)db->options.reducer_ms_max * 1000000u;
	if (read->is_running && db->options.readers == NULL)
		read->run(read);
	bool elsewhere = read->is_running && db->options.readers != NULL;
	if (!elsewhere) {
		finish(db, read);
		return;
	}
	read->next = db->reads;
	db->reads = read;
	db->read_count++;
	(void)database_share(db);
	if (worker_pool_run(db->options.readers, reader, read))
		return;
	read->is_running = false;
	take_off(db, read);
	finish(db, read);
	database_release(db);
}

static void begin_more(struct database *db)
{
	struct db_read *read;
	while (db->read_count < READS_MAX && (read = db->waiting_reads) != NULL) {
		db->waiting_reads = read->next;
		if (db->waiting_reads == NULL)
			db->waiting_reads_last = &db->waiting_reads;
		begin(db, read);
	}
}

void db_read_start(struct database *db, struct db_read *read)
{
	db_assert_executor(db);
	read->db = db;
	read->mail.kind = MAIL_READ;
	if (db->read_count < READS_MAX && db->waiting_reads == NULL) {
		begin(db, read);
		return;
	}
	read->next = NULL;
	*db->waiting_reads_last = read;
	db->waiting_reads_last = &read->next;
}

void db_reads_watch(struct database *db)
{
	bool stop = db_is_closing(db) || database_closed(db) || store_snapshot_bytes(db->store) > SNAPSHOT_BYTES_MAX;
	for (struct db_read *read = db->reads; stop && read != NULL; read = read->next)
		atomic_store_explicit(&read->cancelled, true, memory_order_relaxed);
}

/* ---- replies of live queries ---- */

struct reply_read {
	struct db_read read;
	struct subs_read *of;
};

static struct reply_read *reply_of(struct db_read *read)
{
	return (struct reply_read *)(void *)read;
}

static bool begin_reply(struct db_read *read, struct store_table *const **tables, uint32_t *count)
{
	return subs_read_begin(reply_of(read)->of, tables, count, &read->cancelled);
}

static void run_reply(struct db_read *read)
{
	subs_read_run(reply_of(read)->of, read->snapshot, read->deadline);
}

static void end_reply(struct db_read *read)
{
	struct database *db = read->db;
	subs_read_end(reply_of(read)->of, read->is_running);
	mem_free(read);
	db_clients_go_on(db);
}

bool db_reply_read(void *context, struct subs_read *of)
{
	struct reply_read *read = mem_zalloc(sizeof(*read));
	if (read == NULL)
		return false;
	read->read = (struct db_read){ .begin = begin_reply, .run = run_reply, .end = end_reply };
	read->of = of;
	db_read_start(context, &read->read);
	return true;
}
