/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor: order, atomic reducers, lifecycle, replacing the module,
 * closing, and what a block promises. One thread except where the test is
 * about threads.
 */
#include "database_fixture.h"

#include <dirent.h>

enum { CALL_MS = 100 };
static struct engine engine;
static struct world w;
static struct storage_faulty *disk;

static void setup(void)
{
	engine_init(&engine, 0, CALL_MS);
	disk = storage_faulty_create(1);
	world_init(&w, &engine, disk, false);
}

static void teardown(void)
{
	world_deinit(&w);
	storage_faulty_destroy(disk);
	engine_deinit(&engine);
}

static bool contains(struct buf *text, const char *part)
{
	return strstr(buf_text(text), part) != NULL;
}

/* ---- calls ---- */

static struct {
	uint32_t ids[64];
	uint64_t conns[64];
	uint8_t outcomes[64];
	uint32_t count;
} results;

static void note_result(struct world *world, const struct received *got)
{
	(void)world;
	if (got->tag != GOT_RESULT || results.count == ARRAY_COUNT(results.ids))
		return;
	results.ids[results.count] = got->request_id;
	results.conns[results.count] = got->conn;
	results.outcomes[results.count++] = got->outcome;
}

/* Goal: calls of several clients run and are answered in the order in which they came. */
START_TEST(calls_keep_their_order)
{
	must_create(&w);
	struct line *a = must_connect(&w, 0, false, 1), *b = must_connect(&w, 1, false, 2);
	w.on_received = note_result;
	uint32_t first = w.next_request;
	for (uint64_t i = 0; i < 20; i++) {
		uint64_t id = 10 + i / 2;
		ck_assert_uint_ne(world_call(&w, i % 3 == 0 ? a : b, "put_text", &id, 1, i % 2 == 0 ? "first" : "second"), 0);
	}
	world_settle(&w);
	ck_assert_uint_eq(results.count, 20);
	uint32_t last[2] = { 0 };
	for (uint32_t i = 0; i < 20; i++) {
		/* Each key is asked for twice: the first gets it. */
		bool is_first = (results.ids[i] - first) % 2 == 0;
		ck_assert_uint_eq(results.outcomes[i], is_first ? OUTCOME_OK : OUTCOME_ERR);
		uint32_t *before = &last[results.conns[i] == b->conn];
		ck_assert_uint_gt(results.ids[i], *before);
		*before = results.ids[i];
	}
	for (uint64_t id = 10; id < 20; id++)
		ck_assert(world_has(&w, "texts", id));
	ck_assert_uint_eq(w.order_faults, 0);
}
END_TEST

/* Goal: an error is told to the caller alone, and what it wrote is gone. */
START_TEST(an_error_rolls_back)
{
	must_create(&w);
	struct line *line = must_connect(&w, 0, true, 1);
	struct database_stats before, after;
	database_stats(w.db, &before);
	w.last.tag = 0;
	ck_assert_uint_ne(world_call(&w, line, "fail", &(uint64_t){ 7 }, 1, "because"), 0);
	world_settle(&w);
	ck_assert_uint_eq(w.last.tag, GOT_RESULT);
	ck_assert_uint_eq(w.last.outcome, OUTCOME_ERR);
	ck_assert_str_eq(w.last.text, "because");
	ck_assert(!world_has(&w, "numbers", 7));
	database_stats(w.db, &after);
	ck_assert_uint_eq(after.rolled_back, before.rolled_back + 1);
	ck_assert_uint_eq(after.transactions, before.transactions);
	ASK_OK(&w, line, "unique_number", 7);
}
END_TEST

/* Goal: a trap costs its transaction and its instance, nothing else. */
START_TEST(a_trap_rolls_back_and_replaces_the_instance)
{
	must_create(&w);
	struct line *line = must_connect(&w, 0, true, 1);
	const struct runtime_instance *before = w.db->module.instance;
	const struct received *got = world_ask(&w, line, "panic", 7);
	ck_assert_uint_eq(got->outcome, OUTCOME_INTERNAL);
	ck_assert_str_eq(got->text, RUNTIME_FATAL_TEXT);
	ck_assert(!world_has(&w, "numbers", 7));
	ck_assert_ptr_nonnull(before);
	ck_assert_ptr_null(w.db->module.instance);
	ASK_OK(&w, line, "unique_number", 7);
	ck_assert(world_has(&w, "numbers", 7));
	ck_assert(!line->ended);
}
END_TEST

/* Goal: a reducer that does not end is ended, its cause is named, the database serves on. */
START_TEST(the_time_limit_rolls_back)
{
	must_create(&w);
	struct line *line = must_connect(&w, 0, true, 1);
	const struct received *got = world_ask(&w, line, "loop_forever", 7);
	ck_assert_uint_eq(got->outcome, OUTCOME_INTERNAL);
	ck_assert_msg(strstr(got->text, "longer than the limit") != NULL, "%s", got->text);
	ck_assert(!world_has(&w, "numbers", 7));
	ASK_OK(&w, line, "unique_number", 7);
}
END_TEST

/* Goal: nonsense is answered, not obeyed: unknown reducers, bad arguments, lifecycle, broken messages. */
START_TEST(bad_calls_are_refused)
{
	must_create(&w);
	struct line *line = must_connect(&w, 0, true, 1);
	static const char *const reducers[] = { "no_such", "init", "client_connected", "unique_number" };
	for (size_t i = 0; i < ARRAY_COUNT(reducers); i++) {
		w.last.tag = 0;
		ck_assert_uint_ne(world_call(&w, line, reducers[i], NULL, 0, NULL), 0);
		world_settle(&w);
		ck_assert_msg(w.last.tag == GOT_RESULT && w.last.outcome == OUTCOME_INTERNAL && w.last.text[0] != '\0',
			"%s: %s", reducers[i], w.last.text);
	}
	ck_assert(world_put(&w, 0, DATABASE_PROTOCOL, line->client, "\3nonsense", 9));
	world_settle(&w);
	ck_assert_uint_eq(w.last.tag, GOT_CLOSE);
	ck_assert_uint_eq(w.last.code, 1011);
	ck_assert(line->ended);
}
END_TEST

/* ---- clients ---- */

/* Goal: whom client_connected refuses is dropped and leaves no trace, others stay. */
START_TEST(refused_clients_are_dropped)
{
	must_create(&w);
	struct line *stays = must_connect(&w, 0, true, 1);
	static const uint64_t refused[] = { CONNECTION_REFUSED, CONNECTION_TRAPS };
	for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
		struct line *line = world_connect(&w, 1, true, refused[i]);
		world_settle(&w);
		ck_assert(line->ended && !line->resumed);
		ck_assert_uint_eq(w.last.tag, GOT_DROP);
		ck_assert(!world_has(&w, "arrived", refused[i]));
		/* Whatever it still sends is ignored; its end is no news. */
		ck_assert_uint_ne(world_call_number(&w, line, "unique_number", 100 + i), 0);
		ck_assert(world_disconnect(&w, line));
		world_settle(&w);
		ck_assert(!world_has(&w, "gone", refused[i]));
		ck_assert(!world_has(&w, "numbers", 100 + i));
	}
	ck_assert_uint_eq(world_count(&w, "st_client"), 1);
	ASK_OK(&w, stays, "unique_number", 7);
}
END_TEST

/* Goal: leaving runs client_disconnected, and removes the client's rows even when that fails. */
START_TEST(leaving_clients_are_forgotten)
{
	must_create(&w);
	static const uint64_t ids[] = { 5, CONNECTION_STAYS };
	for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
		struct line *line = must_connect(&w, (uint32_t)i, false, ids[i]);
		ck_assert(world_has(&w, "arrived", ids[i]));
		ck_assert_uint_eq(world_count(&w, "st_client"), 1);
		ck_assert(world_disconnect(&w, line));
		world_settle(&w);
		ck_assert_uint_eq(world_count(&w, "st_client"), 0);
		ck_assert_uint_eq(world_count(&w, "st_connection_credentials"), 0);
		ck_assert(world_has(&w, "gone", ids[i]) == (i == 0));
	}
	struct database_stats stats;
	database_stats(w.db, &stats);
	ck_assert_uint_eq(stats.clients, 0);
}
END_TEST

static void count_by_tag(struct world *world, const struct received *message)
{
	uint32_t *counts = world->context;
	if (message->tag <= GOT_RESULT)
		counts[message->tag]++;
}

/* Goal: what a client wanted to read is not computed once it has left; what it wanted to change still happens. */
START_TEST(leaving_clients_are_not_read_to)
{
	must_create(&w);
	struct line *line = must_connect(&w, 0, false, 7);
	uint32_t counts[GOT_RESULT + 1] = { 0 };
	w.context = counts;
	w.on_received = count_by_tag;
	ck_assert_uint_ne(world_call_number(&w, line, "unique_number", 1), 0);
	for (int i = 0; i < 10; i++) {
		ck_assert_uint_ne(world_query(&w, line, TAG_ONE_OFF, "SELECT * FROM numbers"), 0);
		ck_assert_uint_ne(world_query(&w, line, TAG_SUBSCRIBE, "SELECT * FROM numbers"), 0);
	}
	ck_assert_uint_ne(world_call_number(&w, line, "unique_number", 2), 0);
	ck_assert(world_disconnect(&w, line));
	world_settle(&w);
	ck_assert_uint_eq(counts[GOT_ONE_OFF] + counts[GOT_SUBSCRIBED], 0);
	ck_assert_uint_eq(counts[GOT_RESULT], 2);
	ck_assert(world_has(&w, "numbers", 1) && world_has(&w, "numbers", 2));
	ck_assert_uint_eq(world_count(&w, "st_client"), 0);
	w.on_received = NULL;
}
END_TEST

/* Goal: clients that a crash left behind are disconnected when the database opens. */
START_TEST(a_crash_disconnects_its_clients)
{
	must_create(&w);
	must_connect(&w, 0, true, 11);
	must_connect(&w, 1, true, CONNECTION_STAYS);
	storage_faulty_power_off_at(disk, 1);
	world_close(&w, false);
	storage_faulty_crash(disk);
	must_open(&w);
	ck_assert_uint_eq(world_count(&w, "st_client"), 0);
	ck_assert_uint_eq(world_count(&w, "st_connection_credentials"), 0);
	ck_assert(world_has(&w, "gone", 11));
	ck_assert(!world_has(&w, "gone", CONNECTION_STAYS));
	world_settle(&w);
	/* That is durable as well: a second crash finds nobody to disconnect twice. */
	storage_faulty_power_off_at(disk, 1);
	world_close(&w, false);
	storage_faulty_crash(disk);
	must_open(&w);
	ck_assert(world_has(&w, "gone", 11));
}
END_TEST

/* ---- blocks ---- */

/* Goal: a confirmed client hears of its call when it is on disk, another at once. */
START_TEST(confirmed_answers_wait_for_the_disk)
{
	must_create(&w);
	struct line *confirmed = must_connect(&w, 0, true, 1), *hasty = must_connect(&w, 1, false, 2);
	uint64_t with_offset = w.blocks_with_offset, durable = database_durable(w.db);
	w.last.tag = 0;
	world_call_number(&w, confirmed, "unique_number", 1);
	world_run(&w);
	ck_assert_uint_eq(w.last.tag, 0);
	world_call_number(&w, hasty, "unique_number", 2);
	world_run(&w);
	ck_assert_uint_eq(w.last.tag, GOT_RESULT);
	ck_assert_uint_eq(w.last.conn, hasty->conn);
	ck_assert_uint_eq(database_durable(w.db), durable);
	ck_assert_uint_eq(w.blocks_with_offset, with_offset + 2);
	ck_assert_uint_eq(w.last_offset, durable + 2);
	world_settle(&w);
	ck_assert_uint_eq(w.last.conn, confirmed->conn);
	ck_assert_uint_eq(database_durable(w.db), durable + 2);
}
END_TEST

/* Goal: subscribers hear of commits, in blocks that carry the commit's offset. */
START_TEST(subscribers_are_told)
{
	must_create(&w);
	struct line *writer = must_connect(&w, 0, true, 1), *reader = must_connect(&w, 1, false, 2);
	ck_assert_uint_ne(world_query(&w, reader, TAG_SUBSCRIBE, "SELECT * FROM numbers"), 0);
	world_settle(&w);
	ck_assert_uint_eq(w.last.tag, GOT_SUBSCRIBED);
	w.on_received = NULL;
	w.last.tag = 0;
	world_call_number(&w, writer, "unique_number", 5);
	world_run(&w); /* the writer waits for the disk, the reader does not */
	ck_assert_uint_eq(w.last.tag, GOT_UPDATE);
	world_settle(&w);
	ck_assert_uint_eq(w.last.tag, GOT_RESULT);
	ck_assert_uint_ne(world_query(&w, reader, TAG_ONE_OFF, "SELECT * FROM nothing_such"), 0);
	world_settle(&w);
	ck_assert_uint_eq(w.last.tag, GOT_ONE_OFF);
	ck_assert_uint_eq(w.last.outcome, 1);
}
END_TEST

/* ---- creating and replacing ---- */

static void count_name(void *context, const char *name)
{
	(void)name;
	++*(uint32_t *)context;
}

static uint32_t log_files(void)
{
	char path[128];
	uint32_t count = 0;
	snprintf(path, sizeof(path), "%s/log", w.dir);
	struct storage *storage = storage_faulty_storage(disk);
	ck_assert(storage->ops->list(storage, path, count_name, &count));
	return count;
}

/* Goal: a creation that fails says why and leaves nothing. */
START_TEST(failed_creations_leave_nothing)
{
	struct buf text = BUF_INIT(1 << 16);
	ck_assert_int_eq(world_create_from(&w, VERSION_INIT_FAILS, TABLES_SAME, &text), WL_ERR_DENIED);
	ck_assert_str_eq(buf_text(&text), "init does not want to");
	ck_assert_uint_eq(log_files(), 0);
	buf_clear(&text);
	ck_assert_int_eq(world_create_from(&w, VERSION_INIT_TRAPS, TABLES_SAME, &text), WL_ERR_DENIED);
	ck_assert_msg(contains(&text, "fatal error"), "%s", buf_text(&text));
	ck_assert_uint_eq(log_files(), 0);
	buf_clear(&text);
	ck_assert_int_ne(world_create_from(&w, VERSION_START_TRAPS, TABLES_SAME, &text), WL_OK);
	ck_assert_uint_gt(text.len, 0);
	buf_clear(&text);
	struct database *db = NULL;
	struct bytes junk = { (const uint8_t *)"junk", 4 };
	ck_assert_int_eq(database_create(&w.options, RUNTIME_WASM, junk, NULL, &db, &text), WL_ERR_INVALID);
	ck_assert_ptr_null(db);
	ck_assert_uint_eq(log_files(), 0);
	buf_deinit(&text);
	must_create(&w); /* in the same place */
	ck_assert(world_has(&w, "numbers", 0));
}
END_TEST

/* Goal: an update that is refused leaves the old module running, clients and all. */
START_TEST(refused_updates_change_nothing)
{
	must_create(&w);
	struct line *line = must_connect(&w, 0, true, 1);
	struct buf text = BUF_INIT(1 << 16);
	ck_assert_int_eq(world_update(&w, 2, TABLES_CHANGED, &text), WL_ERR_UNSUPPORTED);
	ck_assert_msg(contains(&text, "numbers"), "%s", buf_text(&text));
	buf_clear(&text);
	ck_assert_int_ne(world_update(&w, VERSION_START_TRAPS, TABLES_SAME, &text), WL_OK);
	struct bytes other = { (const uint8_t *)"junk", 4 };
	ck_assert_int_ne(database_update(w.db, RUNTIME_WASM, other, NULL, NULL, &text), WL_OK);
	buf_deinit(&text);
	ck_assert(!line->ended);
	ASK_OK(&w, line, "put_version", 0);
	ck_assert(world_has(&w, "numbers", 1000001));
	ASK_OK(&w, line, "unique_number", 3);
}
END_TEST

/* Goal: an update takes over between two calls, keeps rows and clients, and survives a restart. */
START_TEST(an_update_takes_over)
{
	must_create(&w);
	struct line *line = must_connect(&w, 0, true, 1);
	struct buf text = BUF_INIT(1 << 16);
	ASK_OK(&w, line, "unique_number", 3);
	ck_assert_int_eq(world_update(&w, 2, TABLES_SAME, &text), WL_OK);
	ck_assert_int_eq(world_update(&w, 2, TABLES_SAME, &text), WL_OK); /* the same again: nothing happens */
	ASK_OK(&w, line, "put_version", 0);
	ck_assert(world_has(&w, "numbers", 1000002) && world_has(&w, "numbers", 3));
	ck_assert(!world_has(&w, "numbers", 1000001));
	ck_assert_uint_eq(world_times(&w, "numbers", 0), 1); /* init does not run again */
	world_close(&w, true);
	must_open(&w);
	line = must_connect(&w, 0, true, 2);
	ASK_OK(&w, line, "delete_number", 1000002);
	ASK_OK(&w, line, "put_version", 0);
	ck_assert(world_has(&w, "numbers", 1000002));
	buf_deinit(&text);
}
END_TEST

/* Goal: an update brings another table; rows, clients and their queries stay; so it is after a restart. */
START_TEST(an_update_adds_a_table)
{
	must_create(&w);
	struct line *line = must_connect(&w, 0, true, 1);
	struct buf text = BUF_INIT(1 << 16);
	ASK_OK(&w, line, "unique_number", 3);
	ck_assert_msg(world_update(&w, 2, TABLES_MORE, &text) == WL_OK, "%s", buf_text(&text));
	ck_assert(!line->ended);
	ASK_OK(&w, line, "unique_number", 4);
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_ptr_nonnull(store_table_by_name(w.db->store, STR("extra")));
		ck_assert(world_has(&w, "numbers", 3) && world_has(&w, "numbers", 4));
		world_close(&w, true);
		must_open(&w);
	}
	/* And without it again: it is empty. Who would be disconnected by that can refuse it. */
	struct database_policy compatible = { 0 };
	line = must_connect(&w, 0, true, 2);
	ck_assert_int_eq(database_update(w.db, RUNTIME_WASM, buf_bytes(&w.engine->code), &compatible, NULL, &text),
		WL_ERR_DENIED);
	ck_assert(!line->ended);
	buf_clear(&text);
	ck_assert_int_eq(database_update(w.db, RUNTIME_WASM, buf_bytes(&w.engine->code), NULL, NULL, &text), WL_OK);
	ck_assert_ptr_null(store_table_by_name(w.db->store, STR("extra")));
	buf_deinit(&text);
}
END_TEST

/* ---- ends ---- */

static struct {
	uint32_t closes;
	char text[64];
} closed;

static void note_close(struct world *world, const struct received *got)
{
	(void)world;
	if (got->tag != GOT_CLOSE)
		return;
	ck_assert_uint_eq(got->code, 1001);
	snprintf(closed.text, sizeof(closed.text), "%.60s", got->text);
	closed.closes++;
}

/* Goal: closing tells every client why, keeps what was committed, and nothing runs afterwards. */
START_TEST(closing_tells_everybody)
{
	must_create(&w);
	struct line *line = must_connect(&w, 0, true, 1);
	must_connect(&w, 1, false, 2);
	must_connect(&w, 1, true, 3);
	w.on_received = note_close;
	world_call_number(&w, line, "unique_number", 7);
	world_run(&w);
	database_close(w.db, STR("house keeping"));
	world_run(&w);
	ck_assert_uint_eq(closed.closes, 3);
	ck_assert_str_eq(closed.text, "house keeping");
	ck_assert(database_closed(w.db));
	struct buf text = BUF_INIT(1 << 16);
	ck_assert_int_eq(world_sql(&w, "SELECT * FROM numbers", &text), WL_ERR_UNAVAILABLE);
	ck_assert_int_eq(world_http_call(&w, 9, "unique_number", "[8]", NULL), DATABASE_CLOSED);
	world_close(&w, true);
	ck_assert_uint_eq(closed.closes, 3);
	must_open(&w);
	ck_assert(world_has(&w, "numbers", 7));
	ck_assert(!world_has(&w, "numbers", 8));
	ck_assert(world_has(&w, "gone", 1) && world_has(&w, "gone", 2) && world_has(&w, "gone", 3));
	buf_deinit(&text);
}
END_TEST

/* Goal: in memory nothing is written, and nothing waits. */
START_TEST(in_memory_writes_no_file)
{
	static struct world memory;
	world_init(&memory, &engine, NULL, true); /* makes the folder */
	memory.options.in_memory = true;
	must_create(&memory);
	struct line *line = must_connect(&memory, 0, true, 1);
	memory.last.tag = 0;
	world_call_number(&memory, line, "unique_number", 7);
	world_run(&memory);
	ck_assert_uint_eq(memory.last.tag, GOT_RESULT);
	world_close(&memory, true);
	DIR *dir = opendir(memory.dir);
	ck_assert_ptr_nonnull(dir);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		ck_assert_msg(entry->d_name[0] == '.', "there is %s", entry->d_name);
	closedir(dir);
	rmdir(memory.dir);
}
END_TEST

/* Goal: on real files the same holds: rows come back, with the folder's log the only thing there. */
START_TEST(local_files_come_back)
{
	static struct world local;
	world_init(&local, &engine, NULL, true);
	must_create(&local);
	struct line *line = must_connect(&local, 0, true, 1);
	ASK_OK(&local, line, "unique_number", 7);
	ck_assert_uint_ne(world_call(&local, line, "put_text", &(uint64_t){ 1 }, 1, "hello"), 0);
	world_settle(&local);
	world_close(&local, true);
	must_open(&local);
	ck_assert(world_has(&local, "numbers", 7));
	ck_assert_uint_eq(world_count(&local, "texts"), 1);
	world_deinit(&local);
}
END_TEST

/* ---- rest ---- */

/* Goal: a database that nobody uses gives its instance and buffers back, and nobody notices. */
START_TEST(idle_databases_rest)
{
	must_create(&w);
	struct line *caller = must_connect(&w, 0, true, 1), *reader = must_connect(&w, 1, false, 2);
	ck_assert_uint_ne(world_query(&w, reader, TAG_SUBSCRIBE, "SELECT * FROM numbers"), 0);
	ASK_OK(&w, caller, "unique_number", 1);
	uint64_t busy = mem_stats().live_bytes;
	ck_assert(!database_rest(w.db)); /* it has been used */
	ck_assert_ptr_nonnull(w.db->module.instance);
	ck_assert(database_rest(w.db));
	ck_assert_ptr_null(w.db->module.instance);
	ck_assert_uint_lt(mem_stats().live_bytes + 10000, busy);
	ck_assert(!database_rest(w.db)); /* it rests already */
	w.last.tag = 0;
	ck_assert_uint_ne(world_call_number(&w, caller, "unique_number", 2), 0);
	world_run(&w);
	ck_assert_uint_eq(w.last.tag, GOT_UPDATE);
	ck_assert(!database_rest(w.db));
	ck_assert(database_rest(w.db)); /* with its batch in flight */
	world_settle(&w);
	ck_assert_uint_eq(w.last.tag, GOT_RESULT);
	ck_assert_uint_eq(w.last.outcome, OUTCOME_OK);
	/* Mail that lies there keeps it awake; whoever holds the token is busy. */
	ck_assert_uint_ne(world_call_number(&w, caller, "unique_number", 3), 0);
	database_inbox_post(w.db, w.inbox[0]);
	w.inbox[0] = NULL;
	ck_assert(!database_rest(w.db));
	world_settle(&w);
	ck_assert(world_has(&w, "numbers", 3));
	atomic_store(&w.db->token, 1);
	ck_assert(!database_rest(w.db));
	ck_assert(!database_rest(w.db));
	atomic_store(&w.db->token, 0);
	ck_assert(database_rest(w.db));
	world_close(&w, true);
	must_open(&w);
	for (uint64_t n = 0; n < 4; n++)
		ck_assert(world_has(&w, "numbers", n));
}
END_TEST

/* How many messages and requests so far have waited at least so long. */
static uint64_t waited(uint64_t nanos)
{
	uint64_t count = 0;
	for (uint32_t i = waits_bucket(nanos); i < WAITS_BUCKETS; i++)
		count += atomic_load(&database_waits(w.db)->counts[i]);
	return count;
}

/* Goal: each message's wait for the executor is counted once, from its arrival. */
START_TEST(waits_are_counted)
{
	enum { WAIT_NANOS = 20000000 };
	must_create(&w);
	struct line *caller = must_connect(&w, 0, true, 1);
	uint64_t all = waited(0), slow = waited(WAIT_NANOS);
	ASK_OK(&w, caller, "unique_number", 1);
	ck_assert_uint_eq(waited(0), all + 1);
	atomic_store(&w.db->token, 1); /* somebody is the executor, and takes its time */
	for (uint64_t n = 2; n < 5; n++)
		ck_assert_uint_ne(world_call_number(&w, caller, "unique_number", n), 0);
	world_run(&w);
	ck_assert_uint_eq(waited(0), all + 1);
	nanosleep(&(struct timespec){ .tv_nsec = WAIT_NANOS + 2000000 }, NULL);
	atomic_store(&w.db->token, 0);
	world_settle(&w);
	ck_assert_uint_eq(waited(0), all + 4);
	ck_assert_uint_ge(waited(WAIT_NANOS), slow + 3);
	ck_assert(database_tick(w.db, 1000)); /* so is a request's */
	ck_assert_uint_eq(waited(0), all + 5);
}
END_TEST

/* ---- threads ---- */

enum { CALLERS = 4, CALLS_EACH = 100 };
struct caller {
	struct world *world;
	uint64_t number;
	uint32_t committed;
};

static void call_many(void *arg)
{
	struct caller *caller = arg;
	for (uint64_t i = 0; i < CALLS_EACH; i++) {
		char json[32];
		snprintf(json, sizeof(json), "[%llu]", (unsigned long long)(1000 * caller->number + i));
		caller->committed += world_http_call(caller->world, 100 + caller->number, "unique_number", json, NULL) ==
			DATABASE_COMMITTED;
	}
}

/* Goal: threads that wait and a loop share one executor; each call happens once. */
START_TEST(threads_share_the_executor)
{
	static struct engine threaded;
	static struct world shared;
	struct caller callers[CALLERS];
	pthread_t threads[CALLERS];
	engine_init(&threaded, 2, UINT32_MAX);
	world_init(&shared, &threaded, NULL, true);
	must_create(&shared);
	struct line *line = world_connect(&shared, 0, true, 1);
	world_run(&shared);
	for (uint32_t i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){ .world = &shared, .number = i + 1 };
		ck_assert(thread_start(&threads[i], "caller", THREAD_STACK_GUEST, call_many, &callers[i]));
	}
	for (uint64_t i = 0; i < CALLS_EACH; i++) {
		(void)database_rest(shared.db);
		ck_assert_uint_ne(world_call_number(&shared, line, "unique_number", 500000 + i), 0);
		world_run(&shared);
	}
	for (uint32_t i = 0; i < CALLERS; i++) {
		thread_join(threads[i]);
		ck_assert_uint_eq(callers[i].committed, CALLS_EACH);
	}
	world_run(&shared);
	ck_assert_uint_eq(world_count(&shared, "numbers"), 1 + (CALLERS + 1) * CALLS_EACH);
	world_close(&shared, true);
	must_open(&shared);
	ck_assert_uint_eq(world_count(&shared, "numbers"), 1 + (CALLERS + 1) * CALLS_EACH);
	world_deinit(&shared);
	engine_deinit(&threaded);
}
END_TEST

int main(void)
{
	log_set_level(LOG_OFF);
	if (!guest_ready()) {
		fprintf(stderr, "the guest module cannot be compiled\n");
		return 1;
	}
	Suite *suite = suite_create("database");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, calls_keep_their_order);
	tcase_add_test(tests, an_error_rolls_back);
	tcase_add_test(tests, a_trap_rolls_back_and_replaces_the_instance);
	tcase_add_test(tests, the_time_limit_rolls_back);
	tcase_add_test(tests, bad_calls_are_refused);
	tcase_add_test(tests, refused_clients_are_dropped);
	tcase_add_test(tests, leaving_clients_are_forgotten);
	tcase_add_test(tests, leaving_clients_are_not_read_to);
	tcase_add_test(tests, a_crash_disconnects_its_clients);
	tcase_add_test(tests, confirmed_answers_wait_for_the_disk);
	tcase_add_test(tests, subscribers_are_told);
	tcase_add_test(tests, failed_creations_leave_nothing);
	tcase_add_test(tests, refused_updates_change_nothing);
	tcase_add_test(tests, an_update_takes_over);
	tcase_add_test(tests, an_update_adds_a_table);
	tcase_add_test(tests, closing_tells_everybody);
	tcase_add_test(tests, in_memory_writes_no_file);
	tcase_add_test(tests, local_files_come_back);
	tcase_add_test(tests, idle_databases_rest);
	tcase_add_test(tests, waits_are_counted);
	tcase_add_test(tests, threads_share_the_executor);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures != 0;
}
