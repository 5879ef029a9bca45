/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: what an executor hands over takes effect in order and once; confirmed entries wait for the disk, the others do
 * not; a lost loop is left alone; a closed database is let go only when nothing is under way. Method: delivery.c with
 * databases and sockets replaced by fakes that write down what happens. */
#include "api/api_internal.h"
#include "base/mem.h"
#include "unit/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

static char trace[4096];
static void note(const char *format, ...) PRINTF_LIKE(1, 2);
static void note(const char *format, ...)
{
	va_list args;
	size_t len = strlen(trace);
	va_start(args, format);
	vsnprintf(trace + len, sizeof(trace) - len, format, args);
	va_end(args);
}

/* ---- a database ---- */
static struct fake {
	void *slot;
	int shares;
	uint64_t durable;
	bool closed, failed, wanted, more, lose_loop;
	uint32_t runs, posts;
} fake;
#define DB ((struct database *)(void *)&fake)

static void **fake_slot(struct database *db, uint32_t loop) { (void)db; (void)loop; return &fake.slot; }
static struct database *fake_share(struct database *db) { fake.shares++; return db; }
static void fake_release(struct database *db) { (void)db; fake.shares--; }
static uint64_t fake_durable(const struct database *db) { (void)db; return fake.durable; }
static uint64_t fake_await(struct database *db, uint32_t loop)
{
	(void)db;
	(void)loop;
	fake.wanted = true;
	return fake.durable;
}
static bool fake_cancel(struct database *db, uint32_t loop)
{
	(void)db;
	(void)loop;
	bool was = fake.wanted;
	fake.wanted = false;
	return was;
}
static bool fake_closed(const struct database *db) { (void)db; return fake.closed; }
static bool fake_failed(const struct database *db) { (void)db; return fake.failed; }
static struct database_inbox *fake_open(struct database *db, uint32_t loop)
{
	(void)db;
	(void)loop;
	return (struct database_inbox *)(void *)&fake.posts;
}
static void fake_post(struct database *db, struct database_inbox *inbox) { (void)db; (void)inbox; fake.posts++; }
static bool fake_run(struct database *db, uint32_t budget)
{
	(void)db;
	(void)budget;
	fake.runs++;
	bool more = fake.more;
	fake.more = false;
	return more;
}
static void fake_block_done(struct delivery_block *block)
{
	fake.shares--;
	buf_deinit(&block->data);
	mem_free(block);
}

/* ---- a loop ---- */
static struct net_task *posted[16];
static uint32_t posted_count;
static void fake_task(struct net_loop *loop, struct net_task *task) { (void)loop; posted[posted_count++] = task; }
static bool fake_lend(struct net_loop *loop, void (*fn)(void *arg), void *arg)
{
	(void)loop;
	fn(arg);
	return !fake.lose_loop;
}
static void fake_send(struct net_loop *loop, net_conn conn, const void *body, size_t len)
{
	(void)loop;
	note("%llu<%.*s ", (unsigned long long)conn, (int)len, (const char *)body);
}
static void fake_close(struct net_loop *loop, net_conn conn, uint16_t code, struct str reason)
{
	(void)loop;
	note("close%llu:%u:%.*s ", (unsigned long long)conn, code, STR_FMT(reason));
}
static void fake_drop(struct net_loop *loop, net_conn conn) { (void)loop; note("drop%llu ", (unsigned long long)conn); }
static void fake_resume(struct net_loop *loop, net_conn conn)
{
	(void)loop;
	note("resume%llu ", (unsigned long long)conn);
}
static struct ws client = { .pending = 3 };
static void *fake_user(struct net_loop *loop, net_conn conn) { (void)loop; return conn == 1 ? &client : NULL; }
static struct net_ring *fake_ring(struct net_loop *loop, bool text, enum net_compression compression)
{
	(void)loop;
	(void)text;
	note("ring+%d ", (int)compression);
	return (struct net_ring *)(void *)&fake.runs;
}
static void fake_ring_end(struct net_ring *ring) { (void)ring; note("ring- "); }
static void fake_ring_send(struct net_ring *ring, const void *body, size_t len, net_conn except)
{
	(void)ring;
	note("ring<%.*s!%llu ", (int)len, (const char *)body, (unsigned long long)except);
}
static void fake_follow(struct net_loop *loop, net_conn conn, struct net_ring *ring)
{
	(void)loop;
	note("follow%llu%s ", (unsigned long long)conn, ring != NULL ? "" : "none");
}
static uint32_t fake_loop_count(const struct net *net) { (void)net; return 1; }
static struct net_loop *fake_loop_at(struct net *net, uint32_t index) { (void)net; (void)index; return NULL; }
static bool fake_disconnect(struct ws *ws) { (void)ws; return true; }
static void fake_sweep(struct api *api) { (void)api; }

#define database_loop_slot fake_slot
#define database_share fake_share
#define database_release fake_release
#define database_durable fake_durable
#define database_await_durable fake_await
#define database_await_cancel fake_cancel
#define database_closed fake_closed
#define database_failed fake_failed
#define database_inbox_open fake_open
#define database_inbox_post fake_post
#define database_run_pending fake_run
#define delivery_block_done fake_block_done
#define net_loop_post fake_task
#define net_loop_lend fake_lend
#define net_loop_count fake_loop_count
#define net_loop_at fake_loop_at
#define net_ws_send fake_send
#define net_ws_close fake_close
#define net_ws_drop fake_drop
#define net_ws_resume fake_resume
#define net_ws_user fake_user
#define net_ws_follow fake_follow
#define net_ring_create fake_ring
#define net_ring_destroy fake_ring_end
#define net_ring_send fake_ring_send
#define ws_disconnect fake_disconnect
#define logs_sweep fake_sweep
#include "api/delivery.c"

/* ---- helpers ---- */

static struct api api;
static struct loop_db *db;

static void begin(uint64_t durable)
{
	fake = (struct fake){ .durable = durable };
	client.pending = 3;
	posted_count = 0;
	trace[0] = '\0';
	api = (struct api){ 0 };
	ck_assert(delivery_init(&api));
	db = loop_db_get(&api.loops[0], DB);
	ck_assert_ptr_nonnull(db);
	ck_assert_ptr_eq(loop_db_get(&api.loops[0], DB), db);
}

static void run_tasks(void)
{
	while (posted_count > 0) {
		struct net_task *task = posted[0];
		memmove(posted, posted + 1, --posted_count * sizeof(posted[0]));
		task->fn(NULL, task);
	}
}

static void advance(uint64_t durable)
{
	fake.durable = durable;
	if (fake.wanted) {
		fake.wanted = false;
		delivery_durable(&api, DB, 0);
	}
	run_tasks();
}

static struct delivery_block *block_new(uint64_t offset)
{
	struct delivery_block *block = mem_zalloc(sizeof(*block));
	ck_assert_ptr_nonnull(block);
	block->database = fake_share(DB);
	block->offset = offset;
	buf_init(&block->data, 1 << 20);
	return block;
}

static void put(struct delivery_block *block, enum delivery_kind kind, uint8_t flags, uint64_t to, uint64_t other,
	uint16_t code, const char *body)
{
	size_t len = strlen(body), size = align_up(sizeof(struct delivery_entry) + len, 8);
	struct delivery_entry *entry = (void *)buf_extend(&block->data, size);
	ck_assert_ptr_nonnull(entry);
	memset(entry, 0, size);
	*entry = (struct delivery_entry){ .size = (uint32_t)size, .body_len = (uint32_t)len, .kind = (uint8_t)kind,
		.flags = flags, .code = code, .to = to, .other = other };
	memcpy(entry->body, body, len);
	block->any_confirmed |= (flags & DELIVERY_CONFIRMED) != 0;
}

static void deliver(struct delivery_block *block)
{
	delivery_deliver(&api, block);
	run_tasks();
}

static void end(int shares)
{
	ck_assert_int_eq(fake.shares, shares);
	atomic_store(&api.detached, true);
	delivery_deinit(&api);
	ck_assert_int_eq(fake.shares, 0);
}

#define MSG DELIVERY_MESSAGE
#define CONF DELIVERY_CONFIRMED

START_TEST(confirmed_entries_wait_and_others_do_not)
{
	begin(COMMITLOG_NONE);
	struct delivery_block *block = block_new(5);
	put(block, MSG, CONF, 1, 0, 0, "a");
	put(block, MSG, 0, 2, 0, 0, "b");
	put(block, MSG, CONF, 1, 0, 0, "c");
	deliver(block);
	ck_assert_str_eq(trace, "2<b ");
	block = block_new(COMMITLOG_NONE); /* depends on nothing, but must not overtake */
	put(block, MSG, CONF, 1, 0, 0, "d");
	deliver(block);
	block = block_new(6);
	put(block, MSG, 0, 2, 0, 0, "e");
	deliver(block);
	ck_assert_str_eq(trace, "2<b 2<e ");
	advance(4);
	ck_assert_str_eq(trace, "2<b 2<e ");
	advance(5);
	ck_assert_str_eq(trace, "2<b 2<e 1<a 1<c 1<d ");
	end(1);
}
END_TEST

START_TEST(durable_already_and_in_memory_do_not_wait)
{
	begin(7);
	struct delivery_block *block = block_new(7);
	put(block, MSG, CONF, 1, 0, 0, "a");
	deliver(block);
	block = block_new(8);
	put(block, MSG, CONF, 1, 0, 0, "b");
	deliver(block);
	ck_assert_str_eq(trace, "1<a ");
	advance(9);
	ck_assert_str_eq(trace, "1<a 1<b ");
	fake.durable = UINT64_MAX - 1;
	block = block_new(1000);
	put(block, MSG, CONF, 1, 0, 0, "c");
	deliver(block);
	ck_assert_str_eq(trace, "1<a 1<b 1<c ");
	end(1);
}
END_TEST

START_TEST(an_advance_between_looking_and_asking_is_not_missed)
{
	begin(1);
	struct delivery_block *block = block_new(2);
	put(block, MSG, CONF, 1, 0, 0, "a");
	deliver(block);
	ck_assert(fake.wanted && db->awaiting);
	block = block_new(3);
	put(block, MSG, CONF, 1, 0, 0, "b");
	fake.durable = 3; /* the log has moved, its call is still to come */
	deliver(block);
	ck_assert_str_eq(trace, "1<a 1<b ");
	advance(3);
	ck_assert_str_eq(trace, "1<a 1<b ");
	ck_assert(!db->awaiting);
	end(1);
}
END_TEST

START_TEST(entries_of_every_kind)
{
	begin(UINT64_MAX - 1);
	struct delivery_block *block = block_new(1);
	put(block, DELIVERY_RESUME, 0, 1, 0, 0, "");
	put(block, DELIVERY_CLASS_NEW, 0, 77, 0, 2, "");
	put(block, DELIVERY_FOLLOW, 0, 1, 77, 0, "");
	put(block, DELIVERY_CLASS, 0, 77, 9, 0, "x");
	put(block, DELIVERY_FOLLOW, 0, 1, 0, 0, "");
	put(block, DELIVERY_CLASS_END, 0, 77, 0, 0, "");
	put(block, DELIVERY_CLASS, 0, 77, 0, 0, "lost");
	put(block, DELIVERY_FOLLOW, 0, 3, 77, 0, ""); /* a class that is not there: it would miss messages */
	put(block, DELIVERY_CLOSE, 0, 1, 0, 1001, "bye");
	put(block, DELIVERY_DROP, 0, 2, 0, 0, "");
	put(block, MSG, DELIVERY_REPLY, 1, 0, 0, "r");
	put(block, MSG, DELIVERY_REPLY, 4, 0, 0, "gone");
	deliver(block);
	ck_assert_str_eq(trace,
		"resume1 ring+2 follow1 ring<x!9 follow1none ring- drop3 close1:1001:bye drop2 1<r 4<gone ");
	ck_assert_uint_eq(client.pending, 2);
	end(1);
}
END_TEST

START_TEST(mail_is_posted_and_run_once_a_round)
{
	begin(0);
	ck_assert(!delivery_round(&api.loops[0]));
	ck_assert_uint_eq(fake.runs, 0);
	ck_assert_ptr_nonnull(loop_db_inbox(db));
	ck_assert_ptr_nonnull(loop_db_inbox(db));
	ck_assert(!delivery_round(&api.loops[0]));
	ck_assert_uint_eq(fake.posts, 1);
	ck_assert_uint_eq(fake.runs, 1);
	ck_assert_ptr_nonnull(loop_db_inbox(db));
	fake.more = true;
	ck_assert(delivery_round(&api.loops[0])); /* mail left: again, but sockets first */
	ck_assert_uint_eq(fake.runs, 2);
	ck_assert(!delivery_round(&api.loops[0]));
	ck_assert_uint_eq(fake.runs, 3);
	end(1);
}
END_TEST

START_TEST(a_database_whose_log_failed_is_run)
{
	begin(0);
	fake.failed = true;
	delivery_tick(&api.loops[0]);
	ck_assert(!delivery_round(&api.loops[0]));
	ck_assert_uint_eq(fake.runs, 1);
	delivery_durable(&api, DB, 0);
	run_tasks();
	ck_assert(!delivery_round(&api.loops[0]));
	ck_assert_uint_eq(fake.runs, 2);
	end(1);
}
END_TEST

START_TEST(a_lost_loop_is_left_alone_until_told)
{
	begin(0);
	ck_assert_ptr_nonnull(loop_db_inbox(db));
	fake.lose_loop = true;
	(void)delivery_round(&api.loops[0]);
	ck_assert(db->lent);
	fake.lose_loop = false;
	ck_assert_ptr_nonnull(loop_db_inbox(db)); /* the new owner collects mail, but does not run it a second time */
	(void)delivery_round(&api.loops[0]);
	ck_assert_uint_eq(fake.posts, 2);
	ck_assert_uint_eq(fake.runs, 1);
	run_tasks();
	ck_assert(!db->lent);
	(void)delivery_round(&api.loops[0]);
	ck_assert_uint_eq(fake.runs, 2);
	end(1);
}
END_TEST

START_TEST(a_closed_database_goes_when_nothing_is_under_way)
{
	begin(1);
	struct delivery_block *block = block_new(2);
	put(block, MSG, CONF, 1, 0, 0, "a");
	put(block, DELIVERY_CLOSE, CONF, 1, 0, 1001, "module exited");
	deliver(block);
	db->connections = 1;
	fake.closed = true;
	for (int i = 0; i < 10; i++)
		delivery_tick(&api.loops[0]);
	ck_assert_ptr_nonnull(fake.slot);
	ck_assert_str_eq(trace, "");
	delivery_tick(&api.loops[0]); /* its log will never be durable: closed, but nothing unconfirmed is sent */
	ck_assert_str_eq(trace, "close1:1001:module exited ");
	db->connections = 0;
	db->lent = true;
	delivery_tick(&api.loops[0]);
	ck_assert_ptr_nonnull(fake.slot);
	db->lent = false;
	delivery_tick(&api.loops[0]);
	ck_assert_ptr_null(fake.slot);
	block = block_new(3); /* a late block has nobody to go to */
	put(block, MSG, 0, 1, 0, 0, "late");
	deliver(block);
	end(0);
}
END_TEST

START_TEST(after_the_end_blocks_are_given_back)
{
	begin(1);
	atomic_store(&api.detached, true);
	struct delivery_block *block = block_new(3);
	put(block, MSG, 0, 1, 0, 0, "late");
	delivery_deliver(&api, block);
	delivery_durable(&api, DB, 0);
	ck_assert_uint_eq(posted_count, 0);
	end(1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api_delivery");
	TCase *tcase = tcase_create("api_delivery");
	tcase_add_test(tcase, confirmed_entries_wait_and_others_do_not);
	tcase_add_test(tcase, durable_already_and_in_memory_do_not_wait);
	tcase_add_test(tcase, an_advance_between_looking_and_asking_is_not_missed);
	tcase_add_test(tcase, entries_of_every_kind);
	tcase_add_test(tcase, mail_is_posted_and_run_once_a_round);
	tcase_add_test(tcase, a_database_whose_log_failed_is_run);
	tcase_add_test(tcase, a_lost_loop_is_left_alone_until_told);
	tcase_add_test(tcase, a_closed_database_goes_when_nothing_is_under_way);
	tcase_add_test(tcase, after_the_end_blocks_are_given_back);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
