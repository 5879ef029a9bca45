/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor: a mailbox and a token.
 *
 * Invariants
 *  1. Only the holder of the token touches store, module, subscriptions, log
 *     buffer and clients.
 *  2. Mail is processed in the order in which it was pushed.
 *  3. No mail is left without somebody who will look: whoever pushes tries the
 *     token afterwards; whoever lets go of the token looks at the mailbox
 *     afterwards. Both are sequentially consistent, so one of them sees the other.
 *  4. Blocks leave at the end of a step, after the log has been given the step's
 *     records; each carries the offset it depends on.
 *
 *     idle --push--> mail --token--> stepping --empty--> idle
 *                      ^                |
 *                      +----budget------+
 */
#include "base/clock.h"
#include "database/database_internal.h"
#include "database/module_log.h"

/* ---- blocks ---- */

static struct delivery_block *block_take(void *context, uint32_t loop)
{
	struct database *db = context;
	if (db->spare_blocks == NULL)
		db->spare_blocks = atomic_exchange_explicit(&db->free_blocks, NULL, memory_order_acquire);
	struct delivery_block *block = db->spare_blocks;
	if (block != NULL) {
		db->spare_blocks = block->next;
	} else {
		block = mem_zalloc(sizeof(*block));
		if (block == NULL)
			return NULL;
		buf_init(&block->data, DELIVERY_BODY_BYTES_MAX);
		if (!buf_reserve(&block->data, 4096)) {
			mem_free(block);
			return NULL;
		}
	}
	block->database = database_share(db);
	block->loop = loop;
	block->any_confirmed = block->any_shared = false;
	block->next = NULL;
	return block;
}

void delivery_block_done(struct delivery_block *block)
{
	struct database *db = block->database;
	const struct delivery_entry *entry = delivery_first(block);
	for (; block->any_shared && !delivery_at_end(block, entry); entry = delivery_next(entry))
		if (entry->kind == DELIVERY_SHARED)
			delivery_shared_release((void *)(uintptr_t)entry->other);
	if (block->data.cap > POOLED_BYTES_MAX)
		buf_deinit(&block->data);
	buf_clear(&block->data);
	struct delivery_block *head = atomic_load_explicit(&db->free_blocks, memory_order_relaxed);
	do {
		block->next = head;
	} while (!atomic_compare_exchange_weak_explicit(&db->free_blocks, &head, block, memory_order_release,
		memory_order_relaxed));
	database_release(db);
}

static void block_hand_over(void *context, struct delivery_block *block)
{
	struct database *db = context;
	db->options.sink->deliver(db->options.sink->context, block);
}

static const struct outbox_ops block_ops = { block_take, block_hand_over, db_client_lost, db_clients_drop_lost };

/* ---- life ---- */

struct database *db_allocate(const struct database_options *options, struct store *store, struct buf *error)
{
	uint32_t loops = options->sink->loop_count;
	ASSERT(loops <= 64);
	struct database *db = mem_zalloc(sizeof(*db) + loops * sizeof(db->loops[0]));
	if (db == NULL) {
		module_log_close(options->log);
		store_destroy(store);
		goto no_memory;
	}
	atomic_store(&db->refs, 1);
	db->options = *options;
	db->log = options->log;
	db->work_last = &db->work;
	db->waiting_reads_last = &db->waiting_reads;
	db->offset = db->snapshots.base_offset = COMMITLOG_NONE;
	pthread_mutex_init(&db->lock, NULL);
	monitor_init(&db->sleepers);
	db->due_mail.kind = MAIL_DUE;
	db->timer_due = db->schedule_due = INT64_MAX;
	buf_init(&db->scratch, ERROR_TEXT_BYTES_MAX);
	buf_init(&db->json, JSON_MESSAGE_BYTES_MAX);
	buf_init(&db->reply, DELIVERY_BODY_BYTES_MAX);
	db->energy_limited = options->energy.call_max != 0 || options->energy.is_limited ||
		options->energy.payer_left != NULL;
	db->dir = options->dir == NULL ? NULL : mem_strdup(str_of(options->dir));
	db->store = store != NULL ? store : store_create();
	db->outbox = outbox_create(loops, &block_ops, db);
	if (db->store == NULL || db->outbox == NULL || (options->dir != NULL && db->dir == NULL) ||
		!timers_add(options->timers, db))
		goto no_memory;
	db->subs = subs_create(db->store, db->outbox);
	if (db->subs == NULL)
		goto no_memory;
	subs_limit_time(db->subs, options->reducer_ms_max);
	subs_limit_clients(db->subs, options->subscriptions_per_client_max, options->queries_per_client_max);
	subs_on_views(db->subs, db_view_used, db);
	subs_on_reads(db->subs, db_reply_read, db);
	return db;
no_memory:
	buf_put_cstr(error, "not enough memory to open the database");
	if (db != NULL)
		db_free(db);
	return NULL;
}

static void free_blocks(struct delivery_block *block)
{
	while (block != NULL) {
		struct delivery_block *next = block->next;
		buf_deinit(&block->data);
		mem_free(block);
		block = next;
	}
}

static void free_inboxes(struct database_inbox *inbox)
{
	while (inbox != NULL) {
		struct database_inbox *next = inbox->next_free;
		buf_deinit(&inbox->data);
		mem_free(inbox);
		inbox = next;
	}
}

/* Blocks and inboxes that wait to be used again; those that a loop holds stay. Executor. */
void db_spares_free(struct database *db)
{
	free_blocks(db->spare_blocks);
	db->spare_blocks = NULL;
	free_blocks(atomic_exchange_explicit(&db->free_blocks, NULL, memory_order_acquire));
	for (uint32_t i = 0; i < db->options.sink->loop_count; i++)
		free_inboxes(atomic_exchange_explicit(&db->loops[i].free_inboxes, NULL, memory_order_acquire));
}

/* Calls at once that nobody has run. */
static void drop_immediates(struct database *db)
{
	*db->work_last = (struct mail *)mpsc_take_all(&db->mailbox);
	for (struct mail *mail = db->work, *next; mail != NULL; mail = next) {
		next = (struct mail *)mail->node.next;
		if (mail->kind == MAIL_IMMEDIATE)
			db_immediate_free(db, mail);
	}
	db->work = NULL;
}

/* The last share is gone: nobody else can touch it any more. */
void db_free(struct database *db)
{
	timers_remove(db->options.timers, db);
	if (db->commitlog != NULL)
		commitlog_close(db->commitlog);
	db_instance_drop(db);
	db_procedures_drop(db);
	db_schedule_free(db);
	drop_immediates(db);
	if (db->module.program != NULL)
		runtime_program_release(db->module.program);
	module_def_release(db->module.def);
	subs_destroy(db->subs);
	db_views_free(db);
	outbox_destroy(db->outbox);
	store_destroy(db->store);
	db_spares_free(db);
	for (uint32_t i = 0; i < db->options.sink->loop_count; i++)
		free_inboxes(db->loops[i].spare_inboxes);
	if (db->log != NULL)
		module_log_close(db->log);
	buf_deinit(&db->scratch);
	buf_deinit(&db->json);
	buf_deinit(&db->reply);
	mem_free(db->schedule_waits);
	mem_free(db->departed);
	monitor_deinit(&db->sleepers);
	pthread_mutex_destroy(&db->lock);
	mem_free(db->dir);
	mem_free(db);
}

struct database *database_share(struct database *db)
{
	atomic_fetch_add_explicit(&db->refs, 1, memory_order_relaxed);
	return db;
}

void database_release(struct database *db)
{
	if (db != NULL && atomic_fetch_sub_explicit(&db->refs, 1, memory_order_acq_rel) == 1)
		db_free(db);
}

void db_assert_executor(const struct database *db)
{
	DEBUG_ASSERT(atomic_load_explicit(&db->token, memory_order_relaxed) == 1);
	(void)db;
}

/* Within a step time comes from the readings that calls make anyway: a clock costs more than a row. */
int64_t db_now(struct database *db)
{
	int64_t now = db->now_nanos == 0 ? clock_wall_micros()
		: db->step_micros + (int64_t)((db->now_nanos - db->step_nanos) / 1000);
	if (now < db->last_micros)
		now = db->last_micros;
	db->last_micros = now;
	return now;
}

/* ---- durability ---- */

void db_on_durable(void *context, uint64_t offset, enum commitlog_state state)
{
	struct database *db = context;
	(void)offset;
	(void)state; /* whoever waits looks at the log's state itself */
	uint64_t loops = atomic_exchange(&db->awaiting_loops, 0);
	while (loops != 0) {
		uint32_t loop = (uint32_t)__builtin_ctzll(loops);
		loops &= loops - 1;
		db->options.sink->durable(db->options.sink->context, db, loop);
	}
}

bool database_failed(const struct database *db)
{
	return db->commitlog != NULL && commitlog_state(db->commitlog) == COMMITLOG_FAILED;
}

bool database_read_only(const struct database *db)
{
	return db->commitlog != NULL && commitlog_state(db->commitlog) == COMMITLOG_READ_ONLY;
}

uint64_t database_durable(const struct database *db)
{
	return db->commitlog == NULL ? DATABASE_ALL_DURABLE : commitlog_durable(db->commitlog);
}

uint64_t database_await_durable(struct database *db, uint32_t loop)
{
	atomic_fetch_or(&db->awaiting_loops, (uint64_t)1 << loop);
	return database_durable(db);
}

bool database_await_cancel(struct database *db, uint32_t loop)
{
	uint64_t bit = (uint64_t)1 << loop;
	return (atomic_fetch_and(&db->awaiting_loops, ~bit) & bit) != 0;
}

bool database_wait_durable(struct database *db, uint64_t offset, uint32_t timeout_ms)
{
	if (db->commitlog == NULL || offset == COMMITLOG_NONE)
		return true;
	return commitlog_wait(db->commitlog, offset, timeout_ms);
}

/* ---- mail in ---- */

void db_push(struct database *db, struct mail *mail)
{
	mail->pushed_nanos = clock_mono_nanos();
	(void)mpsc_push(&db->mailbox, &mail->node);
}

struct database_inbox *database_inbox_open(struct database *db, uint32_t loop)
{
	struct loop_state *state = &db->loops[loop];
	if (state->spare_inboxes == NULL)
		state->spare_inboxes = atomic_exchange_explicit(&state->free_inboxes, NULL, memory_order_acquire);
	struct database_inbox *inbox = state->spare_inboxes;
	if (inbox != NULL) {
		state->spare_inboxes = inbox->next_free;
		return inbox;
	}
	inbox = mem_zalloc(sizeof(*inbox));
	if (inbox == NULL)
		return NULL;
	inbox->mail.kind = MAIL_INBOX;
	inbox->loop = loop;
	buf_init(&inbox->data, INBOX_BYTES_MAX);
	return inbox;
}

bool database_inbox_put(struct database_inbox *inbox, enum database_message_kind kind, struct database_client *client,
	const void *data, size_t len)
{
	size_t size = align_up(sizeof(struct inbox_message) + len, 8);
	struct inbox_message *message = (void *)buf_extend(&inbox->data, size);
	if (message == NULL) {
		inbox->data.failed = false;
		return false;
	}
	*message = (struct inbox_message){ .size = (uint32_t)size, .len = (uint32_t)len, .kind = kind, .client = client };
	if (len > 0)
		memcpy(message->data, data, len);
	if (kind == DATABASE_DISCONNECT)
		atomic_store_explicit(&client->gone_nanos, clock_mono_nanos(), memory_order_relaxed);
	return true;
}

void database_inbox_post(struct database *db, struct database_inbox *inbox)
{
	db_push(db, &inbox->mail);
}

static void inbox_done(struct database *db, struct database_inbox *inbox)
{
	if (inbox->data.cap > POOLED_BYTES_MAX)
		buf_deinit(&inbox->data);
	buf_clear(&inbox->data);
	inbox->at = 0;
	_Atomic(struct database_inbox *) *list = &db->loops[inbox->loop].free_inboxes;
	struct database_inbox *head = atomic_load_explicit(list, memory_order_relaxed);
	do {
		inbox->next_free = head;
	} while (!atomic_compare_exchange_weak_explicit(list, &head, inbox, memory_order_release, memory_order_relaxed));
}

/* ---- stepping ---- */

static void take_mail(struct database *db)
{
	struct mpsc_node *node = mpsc_take_all(&db->mailbox);
	while (node != NULL) {
		struct mail *mail = (struct mail *)node;
		node = node->next;
		mail->node.next = NULL;
		*db->work_last = mail;
		db->work_last = (struct mail **)(void *)&mail->node.next;
	}
}

static void drop_first(struct database *db)
{
	struct mail *mail = db->work;
	db->work = (struct mail *)mail->node.next;
	if (db->work == NULL)
		db->work_last = &db->work;
}

static void process_message(struct database *db, struct inbox_message *message)
{
	switch ((enum database_message_kind)message->kind) {
	case DATABASE_CONNECT:
		db_client_connect(db, message->client);
		break;
	case DATABASE_PROTOCOL:
		db_client_message(db, message->client, message->data, message->len, false);
		break;
	case DATABASE_TEXT:
		db_client_message(db, message->client, message->data, message->len, true);
		break;
	case DATABASE_DISCONNECT:
		db_client_disconnect(db, message->client);
		break;
	}
}

static void process_task(struct database *db, struct task *task)
{
	task->fn(db, task->arg);
	/* The waiter may free the task as soon as it sees `done`. */
	struct monitor *monitor = task->monitor;
	void (*release)(struct task *task) = task->release;
	monitor_lock(monitor);
	task->done = true;
	monitor_wake_all(monitor);
	monitor_unlock(monitor);
	if (release != NULL)
		release(task);
}

/* Large blocks leave early, so that a batch's output is bounded. The log gets the records first. */
static void flush_large(struct database *db)
{
	for (uint32_t loop = 0; loop < db->options.sink->loop_count; loop++)
		if (outbox_pending(db->outbox, loop) > DELIVERY_BLOCK_BYTES) {
			if (db->commitlog != NULL)
				commitlog_submit(db->commitlog);
			outbox_flush_loop(db->outbox, loop, db->offset);
		}
}

/* Its turn has come: by the step's latest reading of the clock, which may be from before it arrived. */
static void note_wait(struct database *db, const struct mail *mail)
{
	uint64_t now = db->now_nanos, pushed = mail->pushed_nanos;
	waits_add(&db->waits, now > pushed ? now - pushed : 0);
}

static void process_inbox(struct database *db, struct database_inbox *inbox)
{
	if (inbox->at < inbox->data.len) {
		struct inbox_message *message = (void *)(inbox->data.data + inbox->at);
		inbox->at += message->size;
		process_message(db, message);
	}
	if (inbox->at >= inbox->data.len) {
		drop_first(db);
		inbox_done(db, inbox);
	}
}

/* One message or task. False when there is none, or the token is to be lent. */
static bool process_one(struct database *db)
{
	if (db->work == NULL) {
		take_mail(db);
		if (db->work == NULL)
			return false;
	}
	struct mail *mail = db->work;
	note_wait(db, mail);
	if (LIKELY(mail->kind == MAIL_INBOX)) {
		process_inbox(db, (struct database_inbox *)mail);
		return true;
	}
	drop_first(db);
	switch (mail->kind) {
	case MAIL_INBOX:
		break;
	case MAIL_LOAN:
		db->loan = (struct loan *)mail;
		return false;
	case MAIL_DUE:
		db_schedule_run(db);
		break;
	case MAIL_IMMEDIATE:
		db_immediate_run(db, mail);
		break;
	case MAIL_READ:
		db_read_ended(db, mail);
		db->now_nanos = clock_mono_nanos();
		break;
	case MAIL_TASK:
		process_task(db, (struct task *)mail);
		db->now_nanos = clock_mono_nanos();
		break;
	}
	return true;
}

void db_publish_stats(struct database *db)
{
	struct store_memory memory = store_memory(db->store);
	atomic_store_explicit(&db->row_bytes, memory.row_bytes, memory_order_relaxed);
	atomic_store_explicit(&db->index_bytes, memory.index_bytes, memory_order_relaxed);
	if (db->module.instance != NULL)
		atomic_store_explicit(&db->guest_bytes, runtime_instance_memory(db->module.instance), memory_order_relaxed);
}

void db_step_begin(struct database *db)
{
	db->step_nanos = db->now_nanos = clock_mono_nanos();
	db->step_micros = clock_wall_micros();
	if (UNLIKELY(database_failed(db)))
		db_stop_committing(db);
}

void db_step_end(struct database *db)
{
	uint64_t begin = db->step_nanos;
	if (db->commitlog != NULL)
		commitlog_submit(db->commitlog);
	outbox_flush(db->outbox, db->offset);
	if (UNLIKELY(db->reads != NULL))
		db_reads_watch(db);
	db_snapshot_step(db);
	db->now_nanos = 0;
	db_count(&db->executor_nanos, clock_mono_nanos() - begin);
	db_publish_stats(db);
}

static bool schedule_is_due(const struct database *db)
{
	return db->schedule_due <= db->step_micros + (int64_t)((db->now_nanos - db->step_nanos) / 1000);
}

/* Drains at most `budget` messages; true when mail is left. Owns no thread. */
static bool database_step(struct database *db, uint32_t budget)
{
	uint32_t done = 0;
	db_step_begin(db);
	db_views_sweep(db, db->step_nanos);
	if (UNLIKELY(schedule_is_due(db)) && (db->work != NULL || atomic_load(&db->mailbox.head) != NULL))
		db_schedule_some(db);
	while (done < budget && process_one(db)) {
		done++;
		if ((done & 15) == 0) {
			flush_large(db);
			db->now_nanos = clock_mono_nanos();
			if (UNLIKELY(schedule_is_due(db)))
				db_schedule_some(db);
			if (db->now_nanos - db->step_nanos > STEP_NANOS_MAX)
				break;
		}
	}
	db_step_end(db);
	return db->work != NULL || atomic_load(&db->mailbox.head) != NULL;
}

bool database_run_pending(struct database *db, uint32_t budget)
{
	while (atomic_load(&db->mailbox.head) != NULL || atomic_load_explicit(&db->token, memory_order_relaxed) == 0) {
		uint32_t free_token = 0;
		if (!atomic_compare_exchange_strong(&db->token, &free_token, 1))
			return false; /* the holder looks at the mailbox after it has let go */
		bool left = database_step(db, budget);
		struct loan *loan = db->loan;
		if (loan != NULL) { /* the token is the borrower's now, and so is what is left */
			db->loan = NULL;
			db_loan_grant(loan);
			return false;
		}
		atomic_store(&db->token, 0);
		if (left)
			return true;
		if (atomic_load(&db->mailbox.head) == NULL)
			return false;
	}
	return false;
}

enum wl_err database_run(struct database *db, void (*fn)(struct database *db, void *arg), void *arg)
{
	struct monitor monitor;
	monitor_init(&monitor);
	struct task task = { .mail = { .kind = MAIL_TASK }, .fn = fn, .arg = arg, .monitor = &monitor };
	db_push(db, &task.mail);
	while (database_run_pending(db, UINT32_MAX))
		;
	monitor_lock(&monitor);
	while (!task.done)
		monitor_wait(&monitor);
	monitor_unlock(&monitor);
	monitor_deinit(&monitor);
	return database_closed(db) ? WL_ERR_UNAVAILABLE : WL_OK;
}

/* A task that may outlive its waiter: the last of the two frees it. */
struct tick {
	struct task task;
	struct monitor monitor;
	_Atomic uint32_t refs;
};

static void tick_release(struct task *task)
{
	struct tick *tick = (struct tick *)task;
	if (atomic_fetch_sub(&tick->refs, 1) > 1)
		return;
	monitor_deinit(&tick->monitor);
	mem_free(tick);
}

static void tick_nothing(struct database *db, void *arg)
{
	(void)db, (void)arg;
}

bool database_tick(struct database *db, uint32_t timeout_ms)
{
	struct tick *tick = mem_zalloc(sizeof(*tick));
	if (tick == NULL)
		return false;
	monitor_init(&tick->monitor);
	atomic_store(&tick->refs, 2);
	tick->task = (struct task){ .mail = { .kind = MAIL_TASK }, .fn = tick_nothing, .monitor = &tick->monitor,
		.release = tick_release };
	uint64_t until = clock_mono_nanos() + (uint64_t)timeout_ms * 1000000, now;
	db_push(db, &tick->task.mail);
	(void)database_run_pending(db, TICK_BUDGET);
	monitor_lock(&tick->monitor);
	while (!tick->task.done && (now = clock_mono_nanos()) < until)
		(void)monitor_wait_nanos(&tick->monitor, until - now);
	bool done = tick->task.done;
	monitor_unlock(&tick->monitor);
	tick_release(&tick->task);
	return done;
}

/* ---- what others may know ---- */

bool db_is_closing(const struct database *db)
{
	return atomic_load_explicit(&db->closing, memory_order_relaxed) || runtime_interrupted(db->options.runtime);
}

bool database_closed(const struct database *db)
{
	return atomic_load_explicit(&db->closed, memory_order_acquire);
}

const struct identity *database_identity(const struct database *db)
{
	return &db->options.identity;
}

const struct identity *database_owner(const struct database *db)
{
	return &db->options.owner;
}

struct module_def *database_module(struct database *db)
{
	pthread_mutex_lock(&db->lock);
	struct module_def *def = module_def_share(db->module.def);
	pthread_mutex_unlock(&db->lock);
	return def;
}

struct module_log *database_log(struct database *db)
{
	return db->log;
}

void **database_loop_slot(struct database *db, uint32_t loop)
{
	return &db->loops[loop].sink_slot;
}

void database_count_busy_session(struct database *db)
{
	atomic_fetch_add_explicit(&db->sessions_busy, 1, memory_order_relaxed);
}

const struct waits *database_waits(const struct database *db)
{
	return &db->waits;
}

const struct waits *database_schedule_waits(const struct database *db)
{
	return atomic_load_explicit(&db->schedule_waits, memory_order_acquire);
}

void database_stats(struct database *db, struct database_stats *out)
{
#define LOAD(field) atomic_load_explicit(&db->field, memory_order_relaxed)
	*out = (struct database_stats){
		.transactions = LOAD(transactions), .rolled_back = LOAD(rolled_back), .reducer_calls = LOAD(reducer_calls),
		.clients = LOAD(clients_now), .rows = LOAD(rows), .row_bytes = LOAD(row_bytes),
		.index_bytes = LOAD(index_bytes), .guest_bytes = LOAD(guest_bytes), .executor_nanos = LOAD(executor_nanos),
		.energy = LOAD(energy_used) + LOAD(energy_beside),
		.sessions_busy = LOAD(sessions_busy), .scheduled = LOAD(scheduled), .ticks_skipped = LOAD(ticks_skipped),
		.log_bytes = db->commitlog == NULL ? 0 : commitlog_size_bytes(db->commitlog),
		.snapshots = LOAD(snapshots.taken), .snapshot_bytes = LOAD(snapshots.disk_bytes),
		.snapshot_nanos = LOAD(snapshots.last_nanos),
		.memory_max = db->options.memory_max, .disk_max = db->options.disk_max,
	};
#undef LOAD
}
