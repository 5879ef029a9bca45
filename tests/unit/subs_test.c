/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every client sees exactly what its queries hold, told once, in order, and with no more messages than classes.
 * Method: loops that are played (subs_fixture.h): traces compared whole, and a random life in which each replica must
 * equal the query's rows after every commit.
 */
#include "subs_fixture.h"
#include "unit/run_suite.h"

#include <stdlib.h>

/* ---- subscribing ---- */

START_TEST(initial_rows_and_updates)
{
	client_begin(1);
	commit_sql(0, "insert into a (id, name) values (1, 'x'), (2, 'y')");
	traced("");
	subscribe(1, 7, "select * from a");
	traced("1r applied 107/7 a{+1:x +2:y}; ");
	commit_sql(0, "insert into a (id, name) values (3, 'z')");
	traced("1 update 7 a{+3:z}; ");
	commit_sql(0, "update a set name = 'w' where id = 1|delete from a where id = 2");
	traced("1 update 7 a{+1:w -1:x -2:y}; ");
	commit_sql(0, "insert into a (id, name) values (9, 'q')|delete from a where id = 9");
	traced("");
	commit_sql(0, "update a set name = 'w' where id = 1");
	traced("");
	unsubscribe(1, 7, true);
	traced("1r unsubscribed 107/7 a{-1:w -3:z}; ");
	commit_sql(0, "delete from a");
	traced("");
	ck_assert_uint_eq(conns[1].count, 0);
}
END_TEST

/* Goal: rows of one size travel as such, in long lists too. */
START_TEST(rows_of_one_size)
{
	client_begin(1);
	subscribe(1, 1, "select * from f");
	subscribe(1, 2, "select * from f where v > 5");
	traced("1r applied 101/1; 1r applied 102/2; ");
	commit_sql(0, "insert into f (id, v) values (1, 5), (2, 6), (3, 7)");
	traced("1 update 1 f{+1=5 +2=6 +3=7} 2 f{+2=6 +3=7}; ");
	commit_sql(0, "update f set v = 1 where id = 3");
	traced("1 update 1 f{+3=1 -3=7} 2 f{-3=7}; ");
}
END_TEST

START_TEST(several_queries_of_one_set)
{
	client_begin(1);
	commit_sql(0, "insert into a (id, name) values (1, 'x')");
	subscribe(1, 1, "select * from b|select * from a where id = 1|select * from a|select * from a where id = 1| "
		"select * from a ");
	/* An empty table is left out; what is asked twice is answered once. */
	traced("1r applied 101/1 a{+1:x} a{+1:x}; ");
	commit_sql(0, "insert into b (id, name) values (5, 'b')|update a set name = 'y'");
	traced("1 update 1 a{+1:y -1:x}{+1:y -1:x} b{+5:b}; ");
	unsubscribe(1, 1, false);
	traced("1r unsubscribed 101/1; ");
}
END_TEST

/* Goal: the sets of a batch are told at one moment, and each fails alone. */
START_TEST(batches_of_sets)
{
	client_begin(1);
	commit_sql(0, "insert into a (id, name) values (1, 'x')");
	subscribe(1, 5, "select * from a where id = 2");
	struct buf sets = BUF_INIT(1 << 10);
	static const struct { uint32_t id; const char *sql; } wanted[] = { { 1, "select * from a" }, { 2, "select" },
		{ 1, "select * from b" }, { 5, "select * from b" }, { 3, "" }, { 4, "select * from a where name = 'x'" } };
	for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
		buf_put_u32(&sets, wanted[i].id);
		buf_put_u32(&sets, wanted[i].sql[0] == '\0' ? 0 : 1);
		if (wanted[i].sql[0] != '\0')
			buf_put_bsatn_str(&sets, str_of(wanted[i].sql));
	}
	subs_subscribe_batch(subs, clients[1], 9, ARRAY_COUNT(wanted), buf_bytes(&sets));
	traced("1r applied 105/5 a{}; 1r batch 9 1: a{+1:x} 2: error sql parser error: Expected an expression:, found: EOF"
		", executing: `select` 1: error Subscription with id QuerySetId { id: 1 } already exists for client: (someone) "
		"5: error Subscription with id QuerySetId { id: 5 } already exists for client: (someone) 3: 4: a{+1:x}; ");
	commit_sql(0, "insert into a (id, name) values (2, 'x')");
	traced("1 update 1 a{+2:x} 4 a{+2:x} 5 a{+2:x}; ");
	unsubscribe(1, 3, false);
	traced("1r unsubscribed 103/3; ");
	buf_deinit(&sets);
	subs_subscribe_batch(subs, clients[1], 10, 0, (struct bytes){ NULL, 0 });
	traced("1r batch 10; ");
}
END_TEST

/* Goal: a block that joins is told net, copy by copy. */
START_TEST(joins_are_told_net)
{
	client_begin(1);
	commit_sql(0, "insert into a (id, name) values (1, 'x'), (2, 'y')");
	commit_sql(0, "insert into b (id, name) values (7, 'x'), (8, 'x')");
	subscribe(1, 1, "select a.* from a join b on a.name = b.name");
	traced("1r applied 101/1 a{+1:x +1:x}; ");
	commit_sql(0, "delete from b where id = 7|insert into b (id, name) values (9, 'x')");
	traced("");
	commit_sql(0, "insert into b (id, name) values (10, 'y')|delete from b where id = 8");
	traced("1 update 1 a{+2:y -1:x}; ");
	commit_sql(0, "update a set name = 'y' where id = 1");
	traced("1 update 1 a{+1:y -1:x}; ");
}
END_TEST

START_TEST(conditions_decide_row_by_row)
{
	client_begin(1);
	subscribe(1, 1, "select * from a where id > 1 and not (name = 'no')");
	traced("1r applied 101/1; ");
	commit_sql(0, "insert into a (id, name) values (1, 'yes'), (2, 'no'), (3, 'yes')");
	traced("1 update 1 a{+3:yes}; ");
	commit_sql(0, "update a set name = 'yes' where id = 2|update a set name = 'no' where id = 3|"
		"update a set name = 'no' where id = 1");
	traced("1 update 1 a{+2:yes -3:yes}; ");
	commit_sql(0, "update a set name = 'yes' where id = 1");
	traced("");
}
END_TEST

/* Goal: rows of an event table are told once, kept by nobody, and never deleted. */
START_TEST(event_tables)
{
	client_begin(1);
	client_begin(2);
	subscribe(1, 1, "select * from ev");
	subscribe(2, 1, "select * from ev where id = 2");
	traced("1r applied 101/1; 2r applied 101/1; ");
	commit_sql(0, "insert into ev (id, name) values (1, 'x'), (2, 'y')");
	traced("1 update 1 ev{.1:x .2:y}; 2 update 1 ev{.2:y}; ");
	commit_sql(1, "insert into ev (id, name) values (3, 'z')");
	traced("caller1 1 ev{.3:z}; ");
	unsubscribe(1, 1, true);
	traced("1r unsubscribed 101/1; ");
}
END_TEST

START_TEST(all_tables)
{
	struct query_caller someone = { .is_owner = false };
	commit_sql(0, "insert into a (id, name) values (1, 'x')|insert into hidden (id, name) values (2, 'h')|"
		"insert into ev (id, name) values (1, 'e')");
	client_begin(1);
	client_begin_as(2, 0, false, someone);
	subscribe(1, 1, "select * from b where id = 1|SELECT * FROM *");
	subscribe(2, 1, "select * from *");
	traced("1r applied 101/1 a{+1:x} hidden{+2:h}; 2r applied 101/1 a{+1:x}; ");
	commit_sql(0, "insert into hidden (id, name) values (3, 'i')|insert into b (id, name) values (1, 'b')|"
		"insert into ev (id, name) values (1, 'e')");
	traced("1 update 1 b{+1:b}{+1:b} hidden{+3:i}; 2 update 1 b{+1:b}; ");
}
END_TEST

/* ---- what is refused ---- */

START_TEST(refusals_leave_nothing_behind)
{
	client_begin(1);
	unsubscribe(1, 7, false);
	traced("1r error 107/7 Client not found: (someone); ");
	subscribe(1, 1, "select * from a|select * from nothing");
	traced("1r error 101/1 no such table: `nothing`. If the table exists, it may be marked private., executing: "
		"`select * from nothing`; ");
	subscribe(1, 1, "select * from a| ");
	traced("1r error 101/1 SubscriptionError: Empty string, executing: ``; ");
	subscribe(1, 1, "select name from a");
	traced("1r error 101/1 Column projections are not supported in subscriptions; Subscriptions must return a table "
		"type, executing: `select name from a`; ");
	ck_assert_uint_eq(subs_stats(subs).queries, 0);
	subscribe(1, 1, "select * from a");
	traced("1r applied 101/1; ");
	subscribe(1, 1, "select * from b");
	traced("1r error 101/1 Subscription with id QuerySetId { id: 1 } already exists for client: (someone); ");
	unsubscribe(1, 2, true);
	traced("1r error 102/2 Subscription not found: ((someone), QuerySetId { id: 2 }); ");
	commit_sql(0, "insert into a (id, name) values (1, 'x')|insert into b (id, name) values (1, 'x')");
	traced("1 update 1 a{+1:x}; ");
	unsubscribe(1, 1, false);
	traced("1r unsubscribed 101/1; ");
	unsubscribe(1, 1, false);
	traced("1r error 101/1 Subscription not found: ((someone), QuerySetId { id: 1 }); ");
	ck_assert_uint_eq(subs_stats(subs).queries, 0);
	ck_assert_uint_eq(subs_stats(subs).classes, 0);
}
END_TEST

/* Queries with 1,500 terms each, from the `first`-th on, as a BSATN list. */
static void put_large_queries(struct buf *out, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct buf sql = BUF_INIT(QUERY_TEXT_MAX);
		buf_printf(&sql, "select * from a where name = 'no%u'", first + i);
		for (int n = 0; n < 1500; n++)
			buf_put_cstr(&sql, " or name = 'n'");
		buf_put_bsatn_str(out, buf_str(&sql));
		buf_deinit(&sql);
	}
}

/* Goal: what the queries of one client hold of memory is bounded, however they came, and given back. */
START_TEST(limits_of_a_client_can_be_set)
{
	subs_limit_clients(subs, 2, 3);
	client_begin(1);
	client_begin(2);
	subscribe(1, 1, "select * from a");
	subscribe(1, 2, "select * from b|select * from f");
	subscribe(1, 3, "select * from f");
	subscribe(2, 1, "select * from a|select * from b|select * from f|select * from ev");
	traced("1r applied 101/1; 1r applied 102/2; 1r error 103/3 a connection may hold at most 2 subscriptions; "
		"2r error 101/1 a connection may hold at most 3 queries; ");
	unsubscribe(1, 2, false);
	subscribe(1, 3, "select * from f");
	traced("1r unsubscribed 102/2; 1r applied 103/3; ");
}
END_TEST

START_TEST(queries_of_a_client_are_bounded)
{
	enum { AT_ONCE = 10 };
	struct buf queries = BUF_INIT(1 << 24);
	uint32_t held = 0, set = 0;
	client_begin(1);
	quiet = true;
	for (; set < 1000; set++) {
		buf_clear(&queries);
		put_large_queries(&queries, set * AT_ONCE, AT_ONCE);
		subs_subscribe(subs, clients[1], 1, set, AT_ONCE, buf_bytes(&queries));
		if (subs_stats(subs).queries == held)
			break;
		held = (uint32_t)subs_stats(subs).queries;
	}
	ck_assert_uint_gt(held, 20);
	ck_assert_uint_lt(held, 1000);
	ck_assert_uint_le(mem_stats().live_bytes, (uint64_t)SUBS_QUERY_BYTES_PER_CLIENT_MAX * 2);
	(void)flushed();
	quiet = false;
	subs_subscribe(subs, clients[1], 1, set, AT_ONCE, buf_bytes(&queries));
	ck_assert_ptr_nonnull(strstr(flushed(), "may hold at most 16777216 bytes of memory"));
	buf_clear(&trace);
	unsubscribe(1, 0, false);
	buf_clear(&trace);
	subs_subscribe(subs, clients[1], 1, set, AT_ONCE, buf_bytes(&queries));
	ck_assert_ptr_nonnull(strstr(flushed(), "applied"));
	buf_deinit(&queries);
}
END_TEST

/* Goal: a commit whose evaluation takes too long costs those whose queries were not reached their connection, for
 * nobody may miss an update and stay; what is over in time is told as ever. */
START_TEST(slow_evaluation_cuts_off)
{
	enum { MANY = 3000, SLOW = 20 };
	struct buf queries = BUF_INIT(1 << 24);
	put_large_queries(&queries, 0, SLOW);
	client_begin(1);
	client_begin(2);
	subscribe(2, 1, "select * from b");
	subs_subscribe(subs, clients[1], 1, 1, SLOW, buf_bytes(&queries));
	traced("2r applied 101/1; 1r applied 1/1; ");
	subs_limit_time(subs, 100);
	commit_sql(0, "insert into a (id, name) values (1, 'x')");
	traced("");
	struct store_delta delta;
	store_tx_begin(store);
	for (uint32_t i = 0; i < MANY; i++) {
		uint8_t row[9] = { 0 };
		size_t len = sizeof(row);
		store_u32(row, 10 + i);
		store_u32(row + 4, 1);
		row[8] = 'x';
		ck_assert_int_eq(store_insert(store, store_table_by_name(store, STR("a")), row, &len, NULL), STORE_OK);
	}
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
	(void)subs_commit(subs, &delta, NULL, NULL);
	ck_assert_ptr_nonnull(strstr(flushed(), "drop1; "));
	ck_assert_ptr_null(strstr(buf_text(&trace), "update"));
	ck_assert(!conns[2].dropped);
	buf_clear(&trace);
	commit_sql(0, "insert into b (id, name) values (1, 'x')");
	traced("2 update 1 b{+1:x}; ");
	buf_deinit(&queries);
}
END_TEST

START_TEST(one_off_queries)
{
	client_begin(1);
	commit_sql(0, "insert into a (id, name) values (1, 'x'), (2, 'y')");
	subs_one_off(subs, clients[1], 5, STR("select * from a where id = 2"));
	subs_one_off(subs, clients[1], 6, STR("select * from b"));
	subs_one_off(subs, clients[1], 7, STR("select * from c"));
	subs_one_off(subs, clients[1], 8, STR(""));
	traced("1r one-off 5 a{.2:y}; 1r one-off 6 b{}; 1r one-off 7 no such table: `c`. If the table exists, it may be "
		"marked private.; 1r one-off 8 Empty SQL query; ");
}
END_TEST

/* Goal: a query with :sender is each caller's own, and no text can stand for somebody else's. */
START_TEST(queries_of_a_caller_are_its_own)
{
	struct query_caller x = { .is_owner = false }, y = { .is_owner = false };
	memset(x.identity.le, 'x', sizeof(x.identity.le));
	memset(y.identity.le, 'y', sizeof(y.identity.le));
	client_begin_as(1, 0, false, x);
	client_begin_as(2, 0, false, y);
	subscribe(1, 1, "select * from a where :sender = :sender|select * from a");
	subscribe(2, 1, "select * from a where :sender = :sender|select * from a");
	ck_assert_uint_eq(subs_stats(subs).queries, 2); /* it does not read a row by who asks */
	subscribe(1, 2, "select * from who where owner = :sender");
	subscribe(2, 2, "select * from who where owner = :sender");
	ck_assert_msg(subs_stats(subs).queries == 4, "%s", flushed());
	/* The text of x's query with x's identity behind it, as y writes it. */
	struct buf stolen = BUF_INIT(256);
	buf_printf(&stolen, "....select * from who where owner = :sender%.32s", (const char *)x.identity.le);
	buf_put_u8(&stolen, 0);
	store_u32(stolen.data, (uint32_t)stolen.len - 4);
	(void)flushed();
	buf_clear(&trace);
	subs_subscribe(subs, clients[2], 103, 3, 1, buf_bytes(&stolen));
	ck_assert_msg(strncmp(flushed(), "2r error 103/3", 14) == 0, "%s", buf_text(&trace));
	buf_deinit(&stolen);
}
END_TEST

/* ---- the caller ---- */

START_TEST(the_caller_has_its_rows_in_its_result)
{
	client_begin(1);
	client_begin(2);
	commit_sql(1, "insert into a (id, name) values (1, 'x')");
	traced("caller1; ");
	subscribe(1, 1, "select * from a");
	traced("1r applied 101/1 a{+1:x}; ");
	commit_sql(1, "insert into a (id, name) values (2, 'y')");
	traced("caller1 1 a{+2:y}; "); /* alone: nobody else is told */
	commit_sql(1, "insert into b (id, name) values (2, 'y')");
	traced("caller1; ");
	subscribe(2, 2, "select * from a where id > 0");
	traced("2r applied 102/2 a{+1:x +2:y}; ");
	commit_sql(1, "delete from a where id = 1"); /* another class hears of it */
	traced("caller1 1 a{-1:x}; 2 update 2 a{-1:x}; ");
	commit_sql(2, "delete from a");
	traced("caller2 2 a{-2:y}; 1 update 1 a{-2:y}; ");
}
END_TEST

/* ---- classes ---- */

START_TEST(classes_form_and_dissolve)
{
	client_begin(1);
	client_begin(2);
	client_begin(3);
	subscribe(1, 1, "select * from a");
	traced("1r applied 101/1; ");
	subscribe(2, 1, "select * from a"); /* the second member: from here on there is a ring */
	traced("2r applied 101/1; ring1; 2>1; 1>1; ");
	ck_assert_uint_eq(subs_stats(subs).classes, 1);
	subscribe(3, 1, "select * from a");
	traced("3r applied 101/1; 3>1; ");
	commit_sql(0, "insert into a (id, name) values (1, 'x')");
	traced("#1 update 1 a{+1:x}; ");
	commit_sql(2, "insert into a (id, name) values (2, 'y')"); /* inside: everybody but the caller */
	traced("caller2 1 a{+2:y}; #1!2 update 1 a{+2:y}; ");
	subscribe(3, 2, "select * from b"); /* another class of its own */
	traced("3r applied 102/2; 3>0; ");
	ck_assert_uint_eq(subs_stats(subs).classes, 2);
	commit_sql(0, "update a set name = 'z' where id = 1");
	traced("#1 update 1 a{+1:z -1:x}; 3 update 1 a{+1:z -1:x}; ");
	unsubscribe(3, 2, false);
	traced("3r unsubscribed 102/2; 3>1; ");
	ck_assert_uint_eq(subs_stats(subs).classes, 1);
	client_end(2); /* gone: it need not be told */
	client_end(3);
	commit_sql(0, "delete from a where id = 1"); /* a class with a ring keeps it to its end */
	traced("#1 update 1 a{-1:z}; ");
	unsubscribe(1, 1, false);
	traced("1r unsubscribed 101/1; 1>0; end1; ");
	ck_assert_uint_eq(subs_stats(subs).classes, 0);
	ck_assert_uint_eq(subs_stats(subs).queries, 0);
}
END_TEST

/* Goal: only clients that could share every byte are in one class. */
START_TEST(classes_are_of_one_loop_and_one_promise)
{
	client_begin_as(1, 0, false, owner);
	client_begin_as(2, 1, false, owner);
	client_begin_as(3, 0, true, owner);
	client_begin_as(4, 0, true, owner);
	for (uint32_t i = 1; i <= 4; i++)
		subscribe(i, i == 4 ? 2 : 1, "select * from a");
	ck_assert_uint_eq(subs_stats(subs).classes, 4); /* the fourth calls its set otherwise */
	ck_assert_uint_eq(subs_stats(subs).queries, 1);
	traced("1r applied 101/1; 3rc applied 101/1; 4rc applied 102/2; 2r applied 101/1; ");
	struct subs_stats before = subs_stats(subs);
	commit_sql(0, "insert into a (id, name) values (1, 'x')");
	traced("1 update 1 a{+1:x}; 3c update 1 a{+1:x}; 4c update 2 a{+1:x}; 2 update 1 a{+1:x}; ");
	ck_assert_uint_eq(subs_stats(subs).evaluated - before.evaluated, 1); /* once for all */
}
END_TEST

START_TEST(sets_may_be_added_in_any_order)
{
	client_begin(1);
	client_begin(2);
	subscribe(1, 9, "select * from b|select * from a");
	subscribe(1, 3, "select * from b");
	subscribe(2, 3, "select * from b");
	subscribe(2, 9, "select * from b|select * from a");
	ck_assert_uint_eq(subs_stats(subs).classes, 1);
	buf_clear(&trace);
	(void)flushed();
	buf_clear(&trace);
	commit_sql(0, "insert into a (id, name) values (1, 'a')|insert into b (id, name) values (1, 'b')");
	const char *got = flushed();
	ck_assert_msg(strstr(got, " update 3 b{+1:b} 9 a{+1:a} b{+1:b}; ") != NULL, "%s", got);
}
END_TEST

/* ---- cost ---- */

START_TEST(commits_that_nobody_listens_to_cost_nothing)
{
	client_begin(1);
	subscribe(1, 1, "select * from a");
	(void)flushed();
	struct subs_stats before = subs_stats(subs);
	buf_clear(&trace);
	commit_sql(0, "insert into b (id, name) values (1, 'x')|insert into f (id, v) values (1, 1)");
	traced("");
	ck_assert_uint_eq(subs_stats(subs).evaluated, before.evaluated);
	commit_sql(0, "insert into a (id, name) values (1, 'x')");
	ck_assert_uint_eq(subs_stats(subs).evaluated, before.evaluated + 1);
	ck_assert_uint_eq(subs_stats(subs).matched, before.matched + 1);
}
END_TEST

static void steady_commit(struct store_table *table, struct store_index *index, uint32_t id, uint32_t value)
{
	uint8_t row[8];
	size_t len = sizeof(row);
	struct store_delta delta;
	store_u32(row, id);
	store_u32(row + 4, value);
	store_tx_begin(store);
	ck_assert_int_eq(store_update(store, table, index, row, &len, NULL), STORE_OK);
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
	struct bytes update = subs_commit(subs, &delta, value % 2 ? clients[2] : NULL, NULL);
	ck_assert_uint_ge(update.len, 4);
	outbox_flush(outbox, value);
}

START_TEST(a_steady_stream_of_commits_allocates_nothing)
{
	struct store_table *table = store_table_by_name(store, STR("f"));
	struct store_index *index = store_index_by_name(store, store_table_def(table)->indexes[0].name);
	commit_sql(0, "insert into f (id, v) values (1, 0), (2, 0)");
	for (uint32_t i = 1; i <= 5; i++)
		client_begin_as(i, i == 4, i == 5, owner);
	for (uint32_t i = 1; i <= 5; i++)
		subscribe(i, 1, "select * from f|select * from f where v > 10|select * from a");
	(void)flushed();
	quiet = true;
	for (uint32_t i = 1; i < 100; i++)
		steady_commit(table, index, 1 + i % 2, i);
	uint64_t before = mem_stats().allocations;
	for (uint32_t i = 100; i < 2000; i++)
		steady_commit(table, index, 1 + i % 2, i);
	ck_assert_uint_eq(mem_stats().allocations, before);
	quiet = false;
}
END_TEST

/* ---- a random life ---- */

static const char *const pool[] = {
	"select * from a", "select * from b", "select * from f", "select * from a where id < 4",
	"select * from b where name = 'x'", "select * from f where not (v = 1)",
	"select * from a where name <> 'y' or id = 2",
};

struct life {
	bool has[CONNS_MAX][4]; /* set ids 1..3 */
	uint32_t queries[CONNS_MAX][4]; /* bits of `pool` */
};

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static struct {
	struct conn *conn;
	uint32_t set, matched;
} checked;

static bool check_row(void *context, const uint8_t *row, size_t len)
{
	char text[64];
	uint32_t found = 0;
	row_text(store_table_def(query_table(context))->name, (struct bytes){ row, len }, text, sizeof(text));
	for (uint32_t i = 0; i < checked.conn->count; i++)
		found += checked.conn->rows[i].set == checked.set && strcmp(checked.conn->rows[i].text, text) == 0;
	ck_assert_msg(found > 0, "a row of set %u has never arrived: %s", checked.set, text);
	checked.matched++;
	return true;
}

/* Every row of every query has arrived, and there are no others. */
static void check_replicas(const struct life *life)
{
	for (uint32_t c = 1; c < CONNS_MAX; c++) {
		uint32_t matched = 0;
		if (clients[c] == NULL || conns[c].dropped || subs_client_waits(clients[c]))
			continue;
		for (uint32_t s = 1; s <= 3; s++)
			for (uint32_t q = 0; life->has[c][s] && q < ARRAY_COUNT(pool); q++) {
				struct query *query = NULL;
				if ((life->queries[c][s] >> q & 1) == 0)
					continue;
				struct str sql = str_of(pool[q]);
				ck_assert_int_eq(query_compile(store, QUERY_DIALECT_SUBSCRIBE, sql, &owner, &query, &error), WL_OK);
				checked.conn = &conns[c];
				checked.set = s;
				checked.matched = 0;
				ck_assert_int_eq(query_select(query, store, &(struct query_limits){ 0 }, check_row, query, &error),
					WL_OK);
				matched += checked.matched;
				query_destroy(query);
			}
		ck_assert_uint_eq(conns[c].count, matched);
	}
}

static void random_subscribe(struct life *life, uint32_t c, uint32_t s, uint64_t *random)
{
	struct buf text = BUF_INIT(4096);
	/* Few different choices, so that clients meet in classes. */
	uint32_t bits = 1u << next_random(random) % ARRAY_COUNT(pool) | (next_random(random) % 2 ? 1 : 0);
	for (uint32_t q = 0; q < ARRAY_COUNT(pool); q++)
		if (bits >> q & 1)
			buf_printf(&text, "%s%s", text.len > 0 ? "|" : "", pool[q]);
	subscribe(c, s, buf_text(&text));
	buf_deinit(&text);
	life->has[c][s] = true;
	life->queries[c][s] = bits;
}

static void random_commit(uint32_t caller, uint64_t *random)
{
	struct buf sql = BUF_INIT(4096);
	for (uint32_t n = 1 + next_random(random) % 3; n > 0; n--) {
		const char *table = next_random(random) % 2 ? "a" : "b";
		uint32_t id = next_random(random) % 6, v = next_random(random) % 3;
		buf_printf(&sql, "%s", sql.len > 0 ? "|" : "");
		switch (next_random(random) % 6) {
		case 0: buf_printf(&sql, "delete from %s where id = %u", table, id); break;
		case 1: buf_printf(&sql, "update %s set name = '%c'", table, "xyz"[v]); break;
		case 2: buf_printf(&sql, "delete from f where id = %u|insert into f (id, v) values (%u, %u)", id, id, v); break;
		case 3: buf_printf(&sql, "delete from f where id > %u", id); break;
		default:
			buf_printf(&sql, "delete from %s where id = %u|insert into %s (id, name) values (%u, '%c')", table, id,
				table, id, "xyz"[v]);
		}
	}
	commit_sql(caller, buf_text(&sql));
	buf_deinit(&sql);
}

START_TEST(replicas_equal_the_tables)
{
	static struct life life;
	uint64_t random = (uint64_t)_i + 1;
	life = (struct life){ 0 };
	for (uint32_t step = 0; step < 1500; step++) {
		uint32_t c = 1 + next_random(&random) % 8, s = 1 + next_random(&random) % 3;
		switch (next_random(&random) % 8) {
		case 0:
			if (clients[c] == NULL) {
				client_begin_as(c, c % LOOPS, c % 3 == 0, owner);
			} else if (next_random(&random) % 4 == 0) {
				(void)flushed(); /* what was sent to it must not meet the next one */
				client_end(c);
				memset(life.has[c], 0, sizeof(life.has[c]));
			}
			break;
		case 1: case 2:
			if (clients[c] != NULL && !life.has[c][s])
				random_subscribe(&life, c, s, &random);
			break;
		case 3:
			if (clients[c] != NULL && life.has[c][s]) {
				unsubscribe(c, s, next_random(&random) % 2);
				life.has[c][s] = false;
			}
			break;
		default:
			random_commit(clients[c] != NULL && next_random(&random) % 2 ? c : 0, &random);
		}
		if (next_random(&random) % 3 == 0) {
			(void)flushed();
			buf_clear(&trace);
			check_replicas(&life);
		}
	}
}
END_TEST

/*
 * Goal: replies made beside the executor, begun and ended at any time, joined by others, failing now and then, their
 * clients gone meanwhile: every replica of a client that does not wait equals the tables.
 */
START_TEST(replicas_equal_whatever_is_read_beside)
{
	static struct life life;
	uint64_t random = (uint64_t)_i + 1000;
	uint32_t waited = 0, refused = 0;
	life = (struct life){ 0 };
	subs_on_reads(subs, fixture_read, NULL);
	subs_read_always(subs);
	for (uint32_t step = 0; step < 3000; step++) {
		uint32_t c = 1 + next_random(&random) % 8, s = 1 + next_random(&random) % 3;
		bool waits = clients[c] != NULL && subs_client_waits(clients[c]);
		waited += waits;
		switch (next_random(&random) % 12) {
		case 0:
			if (clients[c] == NULL) {
				client_begin_as(c, c % LOOPS, c % 3 == 0, owner);
			} else if (next_random(&random) % 4 == 0) {
				(void)flushed();
				client_end(c);
				memset(life.has[c], 0, sizeof(life.has[c]));
			}
			break;
		case 1: case 2: case 3:
			if (clients[c] != NULL && !waits && !life.has[c][s])
				random_subscribe(&life, c, s, &random);
			break;
		case 4:
			if (clients[c] != NULL && !waits && life.has[c][s]) {
				unsubscribe(c, s, next_random(&random) % 2);
				life.has[c][s] = false;
			}
			break;
		case 5:
			if (clients[c] != NULL && !waits)
				subs_one_off(subs, clients[c], 7, str_of(pool[next_random(&random) % ARRAY_COUNT(pool)]));
			break;
		case 6: case 7: case 8:
			/* Unsubscribing with rows that cannot be read costs the connection: only others fail. */
			read_step(next_random(&random) % 6, next_random(&random) % 16 == 0 && _i % 2 == 0);
			break;
		default:
			random_commit(clients[c] != NULL && !waits && next_random(&random) % 2 ? c : 0, &random);
		}
		if (next_random(&random) % 3 != 0)
			continue;
		(void)flushed();
		buf_clear(&trace);
		for (uint32_t i = 1; i < CONNS_MAX; i++) {
			for (uint32_t set = 1; set <= 3; set++)
				if (conns[i].refused >> set & 1) {
					life.has[i][set] = false;
					refused++;
				}
			conns[i].refused = 0;
		}
		check_replicas(&life);
	}
	ck_assert_uint_gt(waited, 100);
	ck_assert(refused > 0 || _i % 2 == 1);
	reads_finish();
	(void)flushed();
	check_replicas(&life);
}
END_TEST

/* Goal: equal requests of one moment are read once; what commits say meanwhile comes behind, once for all. */
START_TEST(a_storm_is_read_once)
{
	subs_on_reads(subs, fixture_read, NULL);
	subs_read_always(subs);
	commit_sql(0, "insert into a (id, name) values (1, 'x'), (2, 'y')");
	for (uint32_t c = 1; c <= 3; c++) {
		client_begin(c);
		subscribe(c, 1, "select * from a");
	}
	read_step(0, false);
	client_begin(4);
	subscribe(4, 1, "select * from a"); /* nothing has changed: it joins */
	commit_sql(0, "insert into a (id, name) values (3, 'z')");
	client_begin(5);
	subscribe(5, 1, "select * from a"); /* too late */
	ck_assert_ptr_nonnull(reads[1].read);
	ck_assert_ptr_null(reads[2].read);
	traced("");
	ck_assert(subs_client_waits(clients[4]) && subs_client_waits(clients[5]));
	read_step(0, false);
	commit_sql(0, "delete from a where id = 1");
	read_step(0, false);
	traced("1s applied 101/1 a{+1:x +2:y}; 2s applied 101/1 a{+1:x +2:y}; 3s applied 101/1 a{+1:x +2:y}; "
		"4s applied 101/1 a{+1:x +2:y}; ring1; 4>1; 3>1; 2>1; 1>1; #1 update 1 a{+3:z}; #1 update 1 a{-1:x}; "
		"1>0; 2>0; ring2; 2>2; 1>2; 3>0; 3>2; 4>0; end1; 4>2; ");
	reads_finish();
	(void)flushed();
	for (uint32_t c = 1; c <= 5; c++) {
		ck_assert_uint_eq(conns[c].count, 2);
		ck_assert(!subs_client_waits(clients[c]));
	}
}
END_TEST

/* Goal: a message of the owner's goes behind what is held for its connection. */
START_TEST(the_owners_messages_keep_their_place)
{
	subs_on_reads(subs, fixture_read, NULL);
	client_begin(1);
	subscribe(1, 1, "select * from b");
	traced("1r applied 101/1; ");
	subs_read_always(subs);
	subscribe(1, 2, "select * from a");
	ck_assert_ptr_null(subs_held_begin(subs, 1));
	read_step(0, false);
	commit_sql(0, "insert into b (id, name) values (1, 'x')|insert into a (id, name) values (1, 'y')");
	struct buf *behind = subs_held_begin(subs, 1);
	ck_assert_ptr_nonnull(behind);
	protocol_one_off_error(behind, 5, STR("hello"));
	subs_held_end(subs, 1, DELIVERY_REPLY);
	ck_assert_ptr_null(subs_held_begin(subs, 2));
	reads_finish();
	ck_assert_ptr_null(subs_held_begin(subs, 1));
	traced("1s applied 102/2; 1 update 1 b{+1:x} 2 a{+1:y}; 1r one-off 5 hello; ");
}
END_TEST

/*
 * Goal: whatever allocation fails, a client either has the right rows or is cut off, and nothing is left behind.
 * Method: the n-th allocation of a fixed life fails, for every n; the second time replies are made beside the executor.
 */
START_TEST(every_allocation_may_fail)
{
	static struct life life;
	bool failed = true;
	if (_i == 1) {
		subs_on_reads(subs, fixture_read, NULL);
		subs_read_always(subs);
	}
	for (uint64_t n = 1; failed; n++) {
		ck_assert_uint_lt(n, 2000);
		life = (struct life){ 0 };
		commit_sql(0, "delete from a|delete from f|insert into a (id, name) values (1, 'x'), (2, 'y')");
		for (uint32_t c = 1; c <= 4; c++)
			client_begin_as(c, c % LOOPS, false, owner);
		for (uint32_t c = 1; c <= 4; c++) {
			mem_fail_at(n, false);
			uint64_t before = mem_stats().allocations;
			subscribe(c, 1, "select * from a|select * from f where not (v = 1)");
			reads_finish(); /* begun and ended without memory, too */
			failed = mem_stats().allocations - before >= n;
			mem_fail_at(0, false);
			(void)flushed();
			buf_clear(&trace);
			char applied[32];
			snprintf(applied, sizeof(applied), "%u", c);
			life.has[c][1] = conns[c].count > 0;
			life.queries[c][1] = 1u | 1u << 5;
			check_replicas(&life);
		}
		commit_sql(0, "update a set name = 'z'|insert into f (id, v) values (1, 5)");
		(void)flushed();
		check_replicas(&life);
		for (uint32_t c = 1; c <= 4; c++)
			client_end(c);
		ck_assert_uint_eq(subs_stats(subs).queries, 0);
		ck_assert_uint_eq(subs_stats(subs).classes, 0);
		(void)flushed();
		buf_clear(&trace);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("subs");
	TCase *tc = tcase_create("subs");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, initial_rows_and_updates);
	tcase_add_test(tc, rows_of_one_size);
	tcase_add_test(tc, several_queries_of_one_set);
	tcase_add_test(tc, batches_of_sets);
	tcase_add_test(tc, joins_are_told_net);
	tcase_add_test(tc, conditions_decide_row_by_row);
	tcase_add_test(tc, event_tables);
	tcase_add_test(tc, all_tables);
	tcase_add_test(tc, refusals_leave_nothing_behind);
	tcase_add_test(tc, one_off_queries);
	tcase_add_test(tc, limits_of_a_client_can_be_set);
	tcase_add_test(tc, queries_of_a_client_are_bounded);
	tcase_add_test(tc, slow_evaluation_cuts_off);
	tcase_add_test(tc, queries_of_a_caller_are_its_own);
	tcase_add_test(tc, the_caller_has_its_rows_in_its_result);
	tcase_add_test(tc, classes_form_and_dissolve);
	tcase_add_test(tc, classes_are_of_one_loop_and_one_promise);
	tcase_add_test(tc, sets_may_be_added_in_any_order);
	tcase_add_test(tc, commits_that_nobody_listens_to_cost_nothing);
	tcase_add_test(tc, a_steady_stream_of_commits_allocates_nothing);
	tcase_add_loop_test(tc, replicas_equal_the_tables, 0, 8);
	tcase_add_loop_test(tc, replicas_equal_whatever_is_read_beside, 0, 8);
	tcase_add_test(tc, a_storm_is_read_once);
	tcase_add_test(tc, the_owners_messages_keep_their_place);
	tcase_add_loop_test(tc, every_allocation_may_fail, 0, 2);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
