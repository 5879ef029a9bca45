/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between executors and network loops: mail collected on a loop goes to its database once a round, and delivery blocks
 * come back and take effect in order.
 *
 * Threading: everything runs on the loop but delivery_deliver and delivery_durable, which only push to a queue and
 * post a task. While a database runs on the loop's own thread (net_loop_lend) another thread may take the loop over;
 * whoever has lost it touches nothing of it any more but the task that says so.
 *
 * Invariants
 * 1. Blocks of one database take effect in the order of their arrival. An entry takes effect once: entries without
 *    DELIVERY_CONFIRMED at arrival, the others when the block's offset is durable and no earlier block waits.
 * 2. A loop_db is in its database's slot from its making to its end, and holds a share: a database never goes while a
 *    loop knows it. It ends only when the database is closed, has no connections here, no waiting blocks, no mail,
 *    and no task under way (awaiting, lent).
 * 3. `awaiting` is set before the database is asked to tell, so a task is never posted twice.
 * 4. After a message was put, its inbox is posted and the database run within the same round.
 */
#include "api/api_internal.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdatomic.h>

enum {
	RUN_BUDGET = 256,
	CLOSED_TICKS_MAX = 10, /* seconds that a closed database may take to make its last words durable */
};

struct ring {
	uint64_t class;
	struct net_ring *ring;
};

/* ---- a database on a loop ---- */

static void task_durable(struct net_loop *loop, struct net_task *task);
static void task_done(struct net_loop *loop, struct net_task *task);

struct loop_db *loop_db_get(struct api_loop *loop, struct database *database)
{
	void **slot = database_loop_slot(database, loop->index);
	if (*slot != NULL)
		return *slot;
	struct loop_db *db = mem_zalloc(sizeof(*db));
	if (db == NULL)
		return NULL;
	db->loop = loop;
	db->database = database_share(database);
	db->waiting_last = &db->waiting;
	db->durable_task.fn = task_durable;
	db->done_task.fn = task_done;
	db->next = loop->first;
	loop->first = db;
	*slot = db;
	return db;
}

static void make_runnable(struct loop_db *db)
{
	struct api_loop *loop = db->loop;
	if (db->is_runnable)
		return;
	db->is_runnable = true;
	db->next_runnable = NULL;
	*loop->runnable_last = db;
	loop->runnable_last = &db->next_runnable;
}

struct database_inbox *loop_db_inbox(struct loop_db *db)
{
	struct api_loop *loop = db->loop;
	if (db->inbox == NULL)
		db->inbox = database_inbox_open(db->database, loop->index);
	if (db->inbox != NULL && !db->is_dirty) {
		db->is_dirty = true;
		db->next_dirty = NULL;
		*loop->dirty_last = db;
		loop->dirty_last = &db->next_dirty;
	}
	return db->inbox;
}

static void rings_free(struct loop_db *db)
{
	uint32_t cursor = 0;
	const struct map_entry *entry;
	while ((entry = map_next(&db->rings, &cursor)) != NULL) {
		struct ring *ring = (struct ring *)(uintptr_t)entry->value;
		net_ring_destroy(ring->ring);
		mem_free(ring);
	}
	map_deinit(&db->rings);
}

static void loop_db_free(struct loop_db *db)
{
	*database_loop_slot(db->database, db->loop->index) = NULL;
	rings_free(db);
	database_release(db->database);
	mem_free(db);
}

/* ---- entries ---- */

static struct ring *ring_find(struct loop_db *db, uint64_t class)
{
	uint64_t value;
	return map_get(&db->rings, &class, sizeof(class), &value) ? (struct ring *)(uintptr_t)value : NULL;
}

/* A class whose ring cannot be made has followers that would miss messages: those are dropped when they come. */
static void class_new(struct loop_db *db, uint64_t class, uint16_t format)
{
	struct ring *ring = mem_zalloc(sizeof(*ring));
	if (ring == NULL)
		return;
	ring->class = class;
	bool text = (format & DELIVERY_FORMAT_TEXT) != 0;
	ring->ring = net_ring_create(db->loop->loop, text, (enum net_compression)(format & ~DELIVERY_FORMAT_TEXT));
	if (ring->ring != NULL && map_put(&db->rings, &ring->class, sizeof(ring->class), (uintptr_t)ring))
		return;
	if (ring->ring != NULL)
		net_ring_destroy(ring->ring);
	mem_free(ring);
}

static void class_end(struct loop_db *db, uint64_t class)
{
	struct ring *ring = ring_find(db, class);
	if (ring == NULL)
		return;
	map_remove(&db->rings, &ring->class, sizeof(ring->class));
	net_ring_destroy(ring->ring);
	mem_free(ring);
}

static void follow(struct loop_db *db, net_conn conn, uint64_t class)
{
	struct ring *ring = class != 0 ? ring_find(db, class) : NULL;
	if (class != 0 && ring == NULL)
		net_ws_drop(db->loop->loop, conn);
	else
		net_ws_follow(db->loop->loop, conn, ring != NULL ? ring->ring : NULL);
}

static void answered(struct net_loop *loop, net_conn conn)
{
	struct ws *ws = net_ws_user(loop, conn);
	if (ws != NULL && ws->pending > 0)
		ws->pending--;
}

/* The entry keeps its own share. */
static void send_shared(struct net_loop *loop, const struct delivery_entry *entry)
{
	struct delivery_shared *body = (struct delivery_shared *)(uintptr_t)entry->other;
	struct net_shared shared = { .data = body->data.data, .len = body->data.len, .release = delivery_shared_release,
		.arg = body };
	atomic_fetch_add_explicit(&body->refs, 1, memory_order_relaxed);
	net_ws_send_shared(loop, entry->to, entry->body, entry->body_len, &shared);
}

static void entry_apply(struct loop_db *db, const struct delivery_entry *entry)
{
	struct net_loop *loop = db->loop->loop;
	const struct ring *ring;
	switch ((enum delivery_kind)entry->kind) {
	case DELIVERY_MESSAGE:
		net_ws_send(loop, entry->to, entry->body, entry->body_len);
		break;
	case DELIVERY_SHARED:
		send_shared(loop, entry);
		break;
	case DELIVERY_CLASS:
		ring = ring_find(db, entry->to);
		if (ring != NULL)
			net_ring_send(ring->ring, entry->body, entry->body_len, entry->other);
		break;
	case DELIVERY_CLASS_NEW:
		class_new(db, entry->to, entry->code);
		break;
	case DELIVERY_CLASS_END:
		class_end(db, entry->to);
		break;
	case DELIVERY_FOLLOW:
		follow(db, entry->to, entry->other);
		break;
	case DELIVERY_CLOSE:
		net_ws_close(loop, entry->to, entry->code, (struct str){ (const char *)entry->body, entry->body_len });
		break;
	case DELIVERY_DROP:
		net_ws_drop(loop, entry->to);
		break;
	case DELIVERY_RESUME:
		net_ws_resume(loop, entry->to);
		break;
	}
	if ((entry->flags & DELIVERY_REPLY) != 0)
		answered(loop, entry->to);
}

/* The entries whose flag is `confirmed`. */
static void block_apply(struct loop_db *db, const struct delivery_block *block, bool confirmed)
{
	const struct delivery_entry *entry = delivery_first(block);
	for (; !delivery_at_end(block, entry); entry = delivery_next(entry))
		if (((entry->flags & DELIVERY_CONFIRMED) != 0) == confirmed)
			entry_apply(db, entry);
}

static void block_apply_all(struct loop_db *db, const struct delivery_block *block)
{
	const struct delivery_entry *entry = delivery_first(block);
	for (; !delivery_at_end(block, entry); entry = delivery_next(entry))
		entry_apply(db, entry);
}

/* ---- waiting for the disk ---- */

static bool is_durable(uint64_t durable, uint64_t offset)
{
	return offset == COMMITLOG_NONE || (durable != COMMITLOG_NONE && durable >= offset);
}

static void release_waiting(struct loop_db *db)
{
	uint64_t durable = database_durable(db->database);
	while (db->waiting != NULL) {
		struct delivery_block *block = db->waiting;
		if (!is_durable(durable, block->offset)) {
			if (db->awaiting)
				return;
			db->awaiting = true;
			durable = database_await_durable(db->database, db->loop->index);
			if (!is_durable(durable, block->offset))
				return;
			continue; /* it has advanced meanwhile; the task comes all the same */
		}
		db->waiting = block->next;
		if (db->waiting == NULL)
			db->waiting_last = &db->waiting;
		block_apply(db, block, true);
		delivery_block_done(block);
	}
}

/* A log that has failed is noticed by the executor, which closes the clients: see that it runs. */
static void run_if_failed(struct loop_db *db)
{
	if (database_failed(db->database) && !db->lent)
		make_runnable(db);
}

static void task_durable(struct net_loop *loop, struct net_task *task)
{
	(void)loop;
	struct loop_db *db = (struct loop_db *)(void *)((uint8_t *)task - offsetof(struct loop_db, durable_task));
	db->awaiting = false;
	release_waiting(db);
	run_if_failed(db);
}

void delivery_durable(void *context, struct database *database, uint32_t loop)
{
	/* The slot was filled before the loop asked, and stays filled until this task has run (invariant 2). */
	struct api *api = context;
	if (atomic_load(&api->detached))
		return;
	struct loop_db *db = *database_loop_slot(database, loop);
	net_loop_post(net_loop_at(api->net, loop), &db->durable_task);
}

static void block_take(struct api_loop *loop, struct delivery_block *block)
{
	struct loop_db *db = *database_loop_slot(block->database, loop->index);
	if (db == NULL) { /* all connections of this loop have gone, and so has its view of the database */
		delivery_block_done(block);
		return;
	}
	if (!block->any_confirmed || (db->waiting == NULL && is_durable(database_durable(db->database), block->offset))) {
		block_apply_all(db, block);
		delivery_block_done(block);
		return;
	}
	block_apply(db, block, false);
	block->next = NULL;
	*db->waiting_last = block;
	db->waiting_last = &block->next;
	release_waiting(db);
	run_if_failed(db); /* before we asked: nobody tells us any more */
}

static void task_blocks(struct net_loop *loop, struct net_task *task)
{
	(void)loop;
	struct api_loop *mine = (struct api_loop *)(void *)((uint8_t *)task - offsetof(struct api_loop, blocks_task));
	struct mpsc_node *node = mpsc_take_all(&mine->blocks);
	while (node != NULL) {
		struct delivery_block *block =
			(struct delivery_block *)(void *)((uint8_t *)node - offsetof(struct delivery_block, node));
		node = node->next;
		block_take(mine, block);
	}
}

void delivery_deliver(void *context, struct delivery_block *block)
{
	struct api *api = context;
	if (atomic_load(&api->detached)) {
		delivery_block_done(block);
		return;
	}
	struct api_loop *loop = &api->loops[block->loop];
	if (mpsc_push(&loop->blocks, &block->node))
		net_loop_post(loop->loop, &loop->blocks_task);
}

/* ---- a round ---- */

struct run {
	struct database *database;
	bool more;
};

static void run_database(void *arg)
{
	struct run *run = arg;
	run->more = database_run_pending(run->database, RUN_BUDGET);
}

static void task_done(struct net_loop *loop, struct net_task *task)
{
	(void)loop;
	struct loop_db *db = (struct loop_db *)(void *)((uint8_t *)task - offsetof(struct loop_db, done_task));
	db->lent = false;
	make_runnable(db); /* mail may be left, or have come meanwhile: looking costs nothing */
}

static void post_mail(struct api_loop *loop)
{
	struct loop_db *db;
	while ((db = loop->dirty) != NULL) {
		loop->dirty = db->next_dirty;
		db->is_dirty = false;
		database_inbox_post(db->database, db->inbox);
		db->inbox = NULL;
		if (!db->lent) /* otherwise its thread takes the mail, or task_done does */
			make_runnable(db);
	}
	loop->dirty_last = &loop->dirty;
}

bool delivery_round(struct api_loop *loop)
{
	while (loop->orphans != NULL) {
		struct ws *ws = loop->orphans;
		if (!ws_disconnect(ws))
			break;
		loop->orphans = ws->next_orphan;
		mem_free(ws);
	}
	post_mail(loop);
	struct loop_db *db = loop->runnable, *first_again = NULL;
	while (db != NULL && db != first_again) {
		loop->runnable = db->next_runnable;
		if (loop->runnable == NULL)
			loop->runnable_last = &loop->runnable;
		db->is_runnable = false;
		struct run run = { .database = db->database };
		db->lent = true;
		if (!net_loop_lend(loop->loop, run_database, &run)) {
			/* The loop is another thread's now: whether mail is left is for that one to find out. */
			net_loop_post(loop->loop, &db->done_task);
			return true;
		}
		db->lent = false;
		if (run.more) {
			make_runnable(db);
			if (first_again == NULL)
				first_again = db;
		}
		db = loop->runnable;
	}
	return loop->runnable != NULL;
}

/* A log that has failed never becomes durable: what waits for it is not sent any more, but connections still end. */
static void give_up_waiting(struct loop_db *db)
{
	struct delivery_block *block;
	while ((block = db->waiting) != NULL) {
		const struct delivery_entry *entry = delivery_first(block);
		for (; !delivery_at_end(block, entry); entry = delivery_next(entry))
			if ((entry->flags & DELIVERY_CONFIRMED) != 0 &&
				(entry->kind == DELIVERY_CLOSE || entry->kind == DELIVERY_DROP))
				entry_apply(db, entry);
		db->waiting = block->next;
		delivery_block_done(block);
	}
	db->waiting_last = &db->waiting;
}

static bool may_go(struct loop_db *db)
{
	if (!database_closed(db->database))
		return false;
	if (db->waiting != NULL && ++db->closed_ticks > CLOSED_TICKS_MAX)
		give_up_waiting(db);
	if (db->connections > 0 || db->waiting != NULL || db->lent || db->is_dirty || db->is_runnable || db->inbox != NULL)
		return false;
	if (db->awaiting && database_await_cancel(db->database, db->loop->index))
		db->awaiting = false;
	return !db->awaiting;
}

/* Lets go of databases that have closed. */
void delivery_tick(struct api_loop *loop)
{
	struct loop_db **link = &loop->first;
	while (*link != NULL) {
		struct loop_db *db = *link;
		if (!may_go(db)) {
			run_if_failed(db);
			link = &db->next;
			continue;
		}
		*link = db->next;
		loop_db_free(db);
	}
	if (loop->index == 0)
		logs_sweep(loop->api);
}

/* ---- life ---- */

bool delivery_init(struct api *api)
{
	api->loop_count = net_loop_count(api->net);
	api->loops = mem_zalloc_array(api->loop_count, sizeof(*api->loops));
	if (api->loops == NULL)
		return false;
	for (uint32_t i = 0; i < api->loop_count; i++) {
		struct api_loop *loop = &api->loops[i];
		*loop = (struct api_loop){ .api = api, .loop = net_loop_at(api->net, i), .index = i };
		loop->blocks_task.fn = task_blocks;
		loop->dirty_last = &loop->dirty;
		loop->runnable_last = &loop->runnable;
	}
	return true;
}

void delivery_flush(struct api *api)
{
	for (uint32_t i = 0; i < api->loop_count; i++) {
		struct api_loop *loop = &api->loops[i];
		while (loop->orphans != NULL && ws_disconnect(loop->orphans)) {
			struct ws *ws = loop->orphans;
			loop->orphans = ws->next_orphan;
			mem_free(ws);
		}
		post_mail(loop);
		for (struct loop_db *db = loop->first; db != NULL; db = db->next)
			while (database_run_pending(db->database, RUN_BUDGET)) {
			}
	}
}

static void blocks_free(struct delivery_block *block)
{
	while (block != NULL) {
		struct delivery_block *next = block->next;
		delivery_block_done(block);
		block = next;
	}
}

void delivery_deinit(struct api *api)
{
	for (uint32_t i = 0; api->loops != NULL && i < api->loop_count; i++) {
		struct api_loop *loop = &api->loops[i];
		while (loop->first != NULL) {
			struct loop_db *db = loop->first;
			uint32_t cursor = 0;
			const struct map_entry *entry;
			loop->first = db->next;
			blocks_free(db->waiting);
			while ((entry = map_next(&db->rings, &cursor)) != NULL) /* the rings themselves went with net */
				mem_free((void *)(uintptr_t)entry->value);
			map_deinit(&db->rings);
			*database_loop_slot(db->database, loop->index) = NULL;
			database_release(db->database);
			mem_free(db);
		}
	}
	mem_free(api->loops);
	api->loops = NULL;
}
