/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A heap of databases by due time, and the thread that watches it.
 *
 * Invariants
 *  1. A database is in the heap at most once.
 *  2. The thread holds no lock while it posts, but a share of the database.
 *  3. It never sleeps beyond the heap's first due time by more than
 *     LONGEST_NANOS, whatever the wall clock does.
 */
#include "base/clock.h"
#include "database/database_internal.h"
#include "database/timers.h"

#define SHORTEST_NANOS UINT64_C(500000) /* between two looks: what is due meanwhile goes together */
#define LONGEST_NANOS UINT64_C(1000000000)
enum { RUNNERS_MAX = 4, RUN_BUDGET = 256 };

struct database_timers {
	struct monitor monitor;
	struct heap heap;        /* with room for all databases */
	uint32_t databases;
	bool stop;
	pthread_t thread;
	struct worker_pool *runners; /* NULL: stepped */
};

/* ---- what databases say ---- */

bool timers_add(struct database_timers *t, struct database *db)
{
	if (t == NULL)
		return true;
	monitor_lock(&t->monitor);
	db->timer.known = heap_reserve(&t->heap, t->databases + 1);
	t->databases += db->timer.known;
	monitor_unlock(&t->monitor);
	return db->timer.known;
}

void timers_set(struct database_timers *t, struct database *db, int64_t due)
{
	if (t == NULL)
		return;
	monitor_lock(&t->monitor);
	struct heap_entry *entry = &db->timer.entry;
	bool was_first = heap_first(&t->heap) == entry;
	heap_remove(&t->heap, entry);
	entry->key = due;
	if (due != INT64_MAX && db->timer.known)
		heap_add(&t->heap, entry);
	if (!was_first && heap_first(&t->heap) == entry)
		monitor_wake_all(&t->monitor);
	monitor_unlock(&t->monitor);
}

void timers_remove(struct database_timers *t, struct database *db)
{
	if (t == NULL || !db->timer.known)
		return;
	monitor_lock(&t->monitor);
	db->timer.known = false;
	t->databases--;
	heap_remove(&t->heap, &db->timer.entry);
	monitor_unlock(&t->monitor);
}

static void run_mail(void *arg)
{
	struct database *db = arg;
	while (database_run_pending(db, RUN_BUDGET))
		;
	database_release(db);
}

void timers_kick(struct database_timers *t, struct database *db)
{
	if (t == NULL || t->runners == NULL)
		return;
	database_share(db);
	if (!worker_pool_run(t->runners, run_mail, db))
		database_release(db); /* no memory: whoever runs the database next finds the mail */
}

/* ---- the thread ---- */

/* The next database that is due, with a share; NULL: none, and *wait says for how long. */
static struct database *next_due(struct database_timers *t, uint64_t *wait)
{
	int64_t now = clock_wall_micros();
	*wait = LONGEST_NANOS;
	struct heap_entry *first = heap_first(&t->heap);
	if (first == NULL)
		return NULL;
	if (first->key > now) {
		uint64_t left = (uint64_t)(first->key - now);
		*wait = left < LONGEST_NANOS / 1000 ? left * 1000 : LONGEST_NANOS;
		*wait = *wait < SHORTEST_NANOS ? SHORTEST_NANOS : *wait;
		return NULL;
	}
	heap_remove(&t->heap, first);
	return database_share(CONTAINER_OF(first, struct database, timer.entry));
}

static void watch(void *arg)
{
	struct database_timers *t = arg;
	monitor_lock(&t->monitor);
	while (!t->stop) {
		uint64_t wait;
		struct database *db = next_due(t, &wait);
		if (db == NULL && t->heap.count == 0) {
			monitor_wait(&t->monitor);
		} else if (db == NULL) {
			(void)monitor_wait_nanos(&t->monitor, wait);
		} else {
			monitor_unlock(&t->monitor);
			if (db_post_due(db))
				timers_kick(t, db);
			database_release(db);
			monitor_lock(&t->monitor);
		}
	}
	monitor_unlock(&t->monitor);
}

struct database_timers *database_timers_create(void)
{
	struct database_timers *t = mem_zalloc(sizeof(*t));
	if (t == NULL)
		return NULL;
	monitor_init(&t->monitor);
	t->runners = worker_pool_create("timers", RUNNERS_MAX, THREAD_STACK_GUEST);
	if (t->runners != NULL && thread_start(&t->thread, "wl-timers", THREAD_STACK_GUEST, watch, t))
		return t;
	if (t->runners != NULL)
		worker_pool_destroy(t->runners);
	monitor_deinit(&t->monitor);
	mem_free(t);
	return NULL;
}

struct database_timers *database_timers_create_stepped(void)
{
	struct database_timers *t = mem_zalloc(sizeof(*t));
	if (t != NULL)
		monitor_init(&t->monitor);
	return t;
}

bool database_timers_step(struct database_timers *t)
{
	uint64_t wait;
	ASSERT(t->runners == NULL);
	monitor_lock(&t->monitor);
	struct database *db = next_due(t, &wait);
	monitor_unlock(&t->monitor);
	if (db != NULL)
		(void)db_post_due(db);
	database_release(db);
	return db != NULL;
}

static void end_thread(struct database_timers *t)
{
	monitor_lock(&t->monitor);
	t->stop = true;
	monitor_wake_all(&t->monitor);
	monitor_unlock(&t->monitor);
	thread_join(t->thread);
	worker_pool_destroy(t->runners);
}

void database_timers_destroy(struct database_timers *t)
{
	if (t == NULL)
		return;
	if (t->runners != NULL)
		end_thread(t);
	ASSERT(t->heap.count == 0);
	heap_deinit(&t->heap);
	monitor_deinit(&t->monitor);
	mem_free(t);
}
