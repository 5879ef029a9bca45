/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATABASE_FIXTURE_H
#define DATABASE_FIXTURE_H
/*
 * For the database's tests: a database without sockets. The fixture takes the
 * place of the network: it puts messages into inboxes, runs the executor on
 * the test's thread, takes blocks back, and holds what is confirmed until the
 * block's offset is durable, by the rules of src/api/delivery.c.
 *
 * An engine (runtime, log writers, the guest of data/database) serves several
 * worlds; a world is one database with its disk and its clients. With an
 * engine of 0 writer threads everything happens on the test's thread, in an
 * order that the seed decides. The fixture's own memory does not pass mem_*,
 * so that failing allocations hit the database alone.
 */
#include "module_description.h"
#undef fail /* of check.h; ours makes errors */
#include "base/log.h"
#include "base/mem.h"
#include "commitlog/storage_faulty.h"
#include "database/database_internal.h"
#include "database/module_log.h"
#include "native.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef GUESTS_DIR
#define GUESTS_DIR "build/guests"
#endif

enum { LOOPS = 2, CLIENTS_MAX = 16, MESSAGE_MAX = 70000, WORLD_TEXT_MAX = 512 };
enum { TAG_SUBSCRIBE = 0, TAG_ONE_OFF = 2, TAG_CALL = 3 };
enum { GOT_CONNECTION = 0, GOT_SUBSCRIBED = 1, GOT_SUBSCRIPTION_ERROR = 3, GOT_UPDATE = 4, GOT_ONE_OFF = 5,
	GOT_RESULT = 6 };
enum { OUTCOME_OK = 0, OUTCOME_ERR = 2, OUTCOME_INTERNAL = 3 };
enum { VERSION_INIT_FAILS = 100, VERSION_INIT_TRAPS = 101, VERSION_START_TRAPS = 102 };
enum { CONNECTION_REFUSED = 0xbad, CONNECTION_TRAPS = 0xdead, CONNECTION_STAYS = 0xfade };

/* ---- the guest ---- */

enum guest_tables { TABLES_SAME, TABLES_CHANGED, TABLES_MORE, TABLES_NO_LIFECYCLE };

HELPER void guest_describe(struct buf *out, enum guest_tables tables)
{
	static const char *const reducers[][2] = {
		{ "init", "()" }, { "client_connected", "()" }, { "client_disconnected", "()" },
		{ "unique_number", "(n:u64)" }, { "fail", "(n:u64,text:string)" }, { "panic", "(n:u64)" },
		{ "loop_forever", "(n:u64)" }, { "put_text", "(id:u64,text:string)" }, { "many", "(n:u64,count:u64)" },
		{ "delete_number", "(n:u64)" }, { "put_version", "()" }, { "nothing", "()" },
		{ "put_timer", "(id:u64,tag:u64,micros:u64,kind:u64)" }, { "drop_timer", "(id:u64)" }, { "tick", "(row:&4)" },
	};
	struct description d;
	description_init(&d, 10);
	add_type(&d, "Number", tables == TABLES_CHANGED ? "(n:u64,more:u32)" : "(n:u64)");
	add_type(&d, "Text", "(id:u64,text:string)");
	add_type(&d, "Arrived", "(connection:u64)");
	add_type(&d, "Gone", "(connection:u64)");
	TABLE(&d, .name = "numbers", .ref = 0, .primary_key = "0",
		.indexes = "btree numbers_n_idx_btree n 0", .unique = "0");
	TABLE(&d, .name = "texts", .ref = 1, .primary_key = "0",
		.indexes = "btree texts_id_idx_btree id 0", .unique = "0");
	TABLE(&d, .name = "arrived", .ref = 2, .primary_key = "0",
		.indexes = "btree arrived_connection_idx_btree connection 0", .unique = "0");
	TABLE(&d, .name = "gone", .ref = 3, .primary_key = "0",
		.indexes = "btree gone_connection_idx_btree connection 0", .unique = "0");
	add_type(&d, "Timer", "(id:u64,at:schedule_at,kind:u64)");
	add_type(&d, "Tick", "(n:u64,timer:u64,at:u64)");
	TABLE(&d, .name = "timers", .ref = 4, .primary_key = "0",
		.indexes = "btree timers_id_idx_btree id 0", .unique = "0");
	TABLE(&d, .name = "ticks", .ref = 5, .primary_key = "0",
		.indexes = "btree ticks_n_idx_btree n 0", .unique = "0");
	add_schedule(&d, "timers", 1, "tick");
	add_type(&d, "Seen", "(n:u64)");
	add_view(&d, "doubled", 0, true, "()", "[&6]");
	add_view(&d, "mine", 1, false, "()", "[&6]");
	if (tables == TABLES_MORE) {
		add_type(&d, "Extra", "(id:u64)");
		TABLE(&d, .name = "extra", .ref = 7);
	}
	for (size_t i = 0; i < ARRAY_COUNT(reducers); i++)
		add_reducer(&d, reducers[i][0], reducers[i][1]);
	add_lifecycle(&d, MODULE_INIT, "init");
	if (tables != TABLES_NO_LIFECYCLE) {
		add_lifecycle(&d, MODULE_ON_CONNECT, "client_connected");
		add_lifecycle(&d, MODULE_ON_DISCONNECT, "client_disconnected");
	}
	description_put(&d, out);
	description_deinit(&d);
}

/* The compiled guest with its version and description written in. */
HELPER void guest_make(struct buf *out, uint32_t version, enum guest_tables tables)
{
	static const char mark[16] = "WORLDLINE-SELF>";
	uint8_t chunk[4096];
	struct buf description = BUF_INIT(1 << 20);
	FILE *file = fopen(GUESTS_DIR "/database.wasm", "rb");
	ck_assert_msg(file != NULL, "cannot open the guest module");
	buf_init(out, 1 << 20);
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;)
		buf_put(out, chunk, n);
	fclose(file);
	guest_describe(&description, tables);
	uint8_t *at = memmem(out->data, out->len, mark, sizeof(mark));
	ck_assert(at != NULL && description.len <= 8192 && (size_t)(at - out->data) + 24 + description.len <= out->len);
	store_u32(at + 16, version);
	store_u32(at + 20, (uint32_t)description.len);
	memcpy(at + 24, description.data, description.len);
	buf_deinit(&description);
}

/* Compiles the guest; false: there is no compiler. Once, before the tests. */
HELPER bool guest_ready(void)
{
	return system("sh tests/unit/data/database/build.sh " GUESTS_DIR) == 0;
}

/* ---- an engine ---- */

struct engine {
	struct runtime *runtime;
	struct commitlog_writers *writers;
	struct buf code;
	uint8_t hash[32];
	struct runtime_program *pinned; /* compiled once for all worlds */
};

HELPER void engine_init(struct engine *engine, uint32_t writer_threads, uint32_t call_ms)
{
	struct runtime_options options = { .call_ms_max = call_ms };
	struct error why = { 0 };
	struct buf text = BUF_INIT(1 << 16);
	*engine = (struct engine){ 0 };
	engine->runtime = runtime_create(&options, &why);
	ck_assert_msg(engine->runtime != NULL, "%s", why.text);
	engine->writers = commitlog_writers_create(writer_threads);
	ck_assert_ptr_nonnull(engine->writers);
	guest_make(&engine->code, 1, TABLES_SAME);
	native_keccak256(engine->code.data, engine->code.len, engine->hash);
	ck_assert_msg(runtime_compile(engine->runtime, RUNTIME_WASM, buf_bytes(&engine->code), engine->hash,
		&engine->pinned, &text) == WL_OK, "%s", buf_text(&text));
	buf_deinit(&text);
}

HELPER void engine_deinit(struct engine *engine)
{
	runtime_program_release(engine->pinned);
	runtime_destroy(engine->runtime);
	commitlog_writers_destroy(engine->writers);
	buf_deinit(&engine->code);
}

/* ---- a world ---- */

struct received {
	uint64_t conn;
	uint32_t request_id;
	uint8_t tag, outcome;
	uint16_t code; /* of a close; tag is then 255 */
	char text[WORLD_TEXT_MAX];
};
enum { GOT_CLOSE = 255, GOT_DROP = 254 };
struct line { /* the client's end of a connection */
	struct database_client *client; /* NULL: free */
	uint64_t conn;
	uint32_t loop;
	bool confirmed, resumed, ended;
};
struct world {
	struct engine *engine;
	struct storage_faulty *disk; /* NULL: in memory, or `dir` */
	struct database_sink sink;
	struct database_options options;
	struct buf extra_code;       /* the program after an update; served beside the engine's */
	struct database *db;
	char dir[64];
	struct line lines[CLIENTS_MAX];
	uint64_t next_conn;
	uint32_t next_request;
	struct database_inbox *inbox[LOOPS];
	struct delivery_block *waiting[LOOPS], **waiting_last[LOOPS];
	_Atomic bool awake[LOOPS];
	bool awaiting[LOOPS];
	uint64_t blocks, blocks_with_offset, order_faults, last_offset;
	/* Called for every message that reaches a client; may be NULL. */
	void (*on_received)(struct world *w, const struct received *message);
	/* Called for every entry of every block, in the order in which they take effect; may be NULL. */
	void (*on_entry)(struct world *w, const struct delivery_entry *entry);
	void *context;
	struct received last; /* the last of all, for simple tests */
	uint8_t message[MESSAGE_MAX];
};

HELPER struct line *world_line(struct world *w, uint64_t conn)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (w->lines[i].client != NULL && w->lines[i].conn == conn)
			return &w->lines[i];
	return NULL;
}

HELPER void take_text(struct received *got, const uint8_t *at, const uint8_t *end)
{
	uint32_t len = end - at >= 4 ? load_u32(at) : 0;
	ck_assert(end - at >= 4 && len <= (size_t)(end - at - 4));
	snprintf(got->text, sizeof(got->text), "%.*s", (int)len, (const char *)at + 4);
}

HELPER void take_entry(struct world *w, const struct delivery_entry *entry)
{
	struct line *line = world_line(w, entry->to);
	struct received got = { .conn = entry->to };
	const uint8_t *body = entry->body, *end = entry->body + entry->body_len;
	if (entry->kind == DELIVERY_CLOSE) {
		got.tag = GOT_CLOSE;
		got.code = entry->code;
		snprintf(got.text, sizeof(got.text), "%.*s", (int)entry->body_len, (const char *)body);
	} else if (entry->kind == DELIVERY_DROP) {
		got.tag = GOT_DROP;
	} else if (entry->kind == DELIVERY_RESUME) {
		if (line != NULL)
			line->resumed = true;
		return;
	} else if (entry->kind == DELIVERY_MESSAGE || entry->kind == DELIVERY_CLASS) {
		ck_assert_uint_gt(entry->body_len, 0);
		got.tag = body[0];
		if (got.tag == GOT_RESULT) {
			ck_assert_uint_gt(entry->body_len, 13);
			got.request_id = load_u32(body + 1);
			got.outcome = body[13];
			if (got.outcome == OUTCOME_ERR)
				take_text(&got, body + 18, end);
			else if (got.outcome == OUTCOME_INTERNAL)
				take_text(&got, body + 14, end);
		} else if (got.tag == GOT_ONE_OFF) {
			got.request_id = load_u32(body + 1);
			got.outcome = body[5];
			if (got.outcome == 1)
				take_text(&got, body + 6, end);
		}
	} else {
		return; /* classes of followers: nothing to do without sockets */
	}
	if (line != NULL && line->ended)
		return;
	if (line != NULL && (got.tag == GOT_CLOSE || got.tag == GOT_DROP))
		line->ended = true;
	w->last = got;
	if (w->on_received != NULL)
		w->on_received(w, &got);
}

/* `which`: 0 the entries that wait for nothing, 1 the confirmed ones, 2 all. */
HELPER void take_block(struct world *w, const struct delivery_block *block, int which)
{
	for (const struct delivery_entry *e = delivery_first(block); !delivery_at_end(block, e); e = delivery_next(e))
		if (which == 2 || ((e->flags & DELIVERY_CONFIRMED) != 0) == (which == 1)) {
			if (w->on_entry != NULL)
				w->on_entry(w, e);
			take_entry(w, e);
		}
}

HELPER bool offset_durable(uint64_t durable, uint64_t offset)
{
	return offset == COMMITLOG_NONE || (durable != COMMITLOG_NONE && durable >= offset);
}

HELPER void release_waiting(struct world *w, uint32_t loop)
{
	uint64_t durable = database_durable(w->db);
	struct delivery_block *block;
	while ((block = w->waiting[loop]) != NULL) {
		if (!offset_durable(durable, block->offset)) {
			if (w->awaiting[loop])
				return;
			w->awaiting[loop] = true;
			durable = database_await_durable(w->db, loop);
			if (!offset_durable(durable, block->offset))
				return;
			continue;
		}
		w->waiting[loop] = block->next;
		if (w->waiting[loop] == NULL)
			w->waiting_last[loop] = &w->waiting[loop];
		take_block(w, block, 1);
		delivery_block_done(block);
	}
}

HELPER void world_deliver(void *context, struct delivery_block *block)
{
	struct world *w = context;
	uint32_t loop = block->loop;
	w->blocks++;
	w->blocks_with_offset += block->offset != COMMITLOG_NONE;
	if (block->offset != COMMITLOG_NONE && w->last_offset != COMMITLOG_NONE && block->offset < w->last_offset)
		w->order_faults++;
	if (block->offset != COMMITLOG_NONE)
		w->last_offset = block->offset;
	if (!block->any_confirmed ||
		(w->waiting[loop] == NULL && w->db != NULL && offset_durable(database_durable(w->db), block->offset))) {
		take_block(w, block, 2);
		delivery_block_done(block);
		return;
	}
	take_block(w, block, 0);
	block->next = NULL;
	*w->waiting_last[loop] = block;
	w->waiting_last[loop] = &block->next;
	if (w->db != NULL)
		release_waiting(w, loop);
}

HELPER void world_durable(void *context, struct database *database, uint32_t loop)
{
	(void)database;
	struct world *w = context;
	atomic_store(&w->awake[loop], true);
}

HELPER enum wl_err world_program(void *context, const uint8_t hash[32], struct buf *out, struct error *error)
{
	const struct world *w = context;
	const struct buf *programs[] = { &w->engine->code, &w->extra_code };
	for (size_t i = 0; i < ARRAY_COUNT(programs); i++) {
		uint8_t other[32];
		native_keccak256(programs[i]->data, programs[i]->len, other);
		if (memcmp(hash, other, 32) == 0) {
			buf_put(out, programs[i]->data, programs[i]->len);
			return out->failed ? fail(error, WL_ERR_MEMORY, "no memory for a program") : WL_OK;
		}
	}
	return fail(error, WL_ERR_NOT_FOUND, "no such program");
}

/* Where the log goes: `disk` (not owned), else `on_disk` a folder of its own, else in memory. */
HELPER void world_init(struct world *w, struct engine *engine, struct storage_faulty *disk, bool on_disk)
{
	*w = (struct world){ .engine = engine, .disk = disk, .next_conn = 1, .next_request = 1,
		.last_offset = COMMITLOG_NONE };
	for (uint32_t i = 0; i < LOOPS; i++)
		w->waiting_last[i] = &w->waiting[i];
	w->sink = (struct database_sink){ .context = w, .loop_count = LOOPS, .deliver = world_deliver,
		.durable = world_durable };
	snprintf(w->dir, sizeof(w->dir), "/tmp/worldline-database-XXXXXX");
	if (on_disk)
		ck_assert_ptr_nonnull(mkdtemp(w->dir));
	w->options = (struct database_options){ .dir = w->dir, .in_memory = disk == NULL && !on_disk,
		.runtime = engine->runtime, .writers = engine->writers, .sink = &w->sink, .program = world_program,
		.storage = disk != NULL ? storage_faulty_storage(disk) : NULL, .program_context = w };
	store_u64(w->options.owner.le, 1);
	store_u64(w->options.identity.le, 2);
}

HELPER enum wl_err world_create(struct world *w, struct buf *text)
{
	struct database *db = NULL;
	enum wl_err err = database_create(&w->options, RUNTIME_WASM, buf_bytes(&w->engine->code), NULL, &db, text);
	w->db = db;
	return err;
}

HELPER void must_create(struct world *w)
{
	struct buf text = BUF_INIT(1 << 16);
	ck_assert_msg(world_create(w, &text) == WL_OK, "%s", buf_text(&text));
	buf_deinit(&text);
}

/* From another program than the engine's, which the world then knows as well. */
HELPER enum wl_err world_create_from(struct world *w, uint32_t version, enum guest_tables tables, struct buf *text)
{
	struct database *db = NULL;
	buf_deinit(&w->extra_code);
	guest_make(&w->extra_code, version, tables);
	enum wl_err err = database_create(&w->options, RUNTIME_WASM, buf_bytes(&w->extra_code), NULL, &db, text);
	w->db = db;
	return err;
}

HELPER enum wl_err world_update(struct world *w, uint32_t version, enum guest_tables tables, struct buf *text)
{
	buf_deinit(&w->extra_code);
	guest_make(&w->extra_code, version, tables);
	return database_update(w->db, RUNTIME_WASM, buf_bytes(&w->extra_code), NULL, NULL, text);
}

HELPER enum wl_err world_open(struct world *w, struct buf *text)
{
	struct database *db = NULL;
	enum wl_err err = database_open(&w->options, &db, text);
	w->db = db;
	w->last_offset = COMMITLOG_NONE;
	return err;
}

HELPER void must_open(struct world *w)
{
	struct buf text = BUF_INIT(1 << 16);
	ck_assert_msg(world_open(w, &text) == WL_OK, "%s", buf_text(&text));
	buf_deinit(&text);
}

/* ---- rounds ---- */

HELPER void post_inbox(struct world *w, uint32_t loop)
{
	if (w->inbox[loop] != NULL)
		database_inbox_post(w->db, w->inbox[loop]);
	w->inbox[loop] = NULL;
}

/* What a loop does in a round: hand over the mail, run the executor, take what has become durable. */
HELPER void world_run(struct world *w)
{
	for (uint32_t i = 0; i < LOOPS; i++)
		post_inbox(w, i);
	while (database_run_pending(w->db, 256)) {
	}
	for (uint32_t i = 0; i < LOOPS; i++) {
		if (!atomic_exchange(&w->awake[i], false))
			continue;
		w->awaiting[i] = false;
		release_waiting(w, i);
	}
}

/* Until everything that can become durable is. For engines without writer threads. */
HELPER void world_settle(struct world *w)
{
	do
		world_run(w);
	while (commitlog_writers_step(w->engine->writers));
	world_run(w);
}

/* Mail is processed in the order of these calls, whatever the loop. */
HELPER bool world_put(struct world *w, uint32_t loop, enum database_message_kind kind, struct database_client *client,
	const void *data, size_t len)
{
	for (uint32_t i = 0; i < LOOPS; i++)
		if (i != loop)
			post_inbox(w, i);
	if (w->inbox[loop] == NULL)
		w->inbox[loop] = database_inbox_open(w->db, loop);
	return w->inbox[loop] != NULL && database_inbox_put(w->inbox[loop], kind, client, data, len);
}

/* ---- clients ---- */

/* A connection with this id (its low 64 bits); NULL: no memory. Its CONNECT is mail: world_run. */
HELPER struct line *world_connect(struct world *w, uint32_t loop, bool confirmed, uint64_t connection)
{
	struct line *line = NULL;
	for (size_t i = 0; i < CLIENTS_MAX && line == NULL; i++)
		if (w->lines[i].client == NULL)
			line = &w->lines[i];
	ck_assert_ptr_nonnull(line);
	struct database_client_options options = { .token = STR("token"), .conn = w->next_conn, .loop = loop,
		.protocol = 2, .confirmed = confirmed, .caller.jwt_payload = STR("{}") };
	store_u64(options.caller.identity.le, 1000 + connection);
	store_u64(options.caller.connection.le, connection);
	struct database_client *client = database_client_create(w->db, &options);
	if (client == NULL)
		return NULL;
	*line = (struct line){ .client = client, .conn = w->next_conn++, .loop = loop, .confirmed = confirmed };
	if (world_put(w, loop, DATABASE_CONNECT, client, NULL, 0))
		return line;
	/* What a loop does without memory: the client goes as it came. */
	line->ended = true;
	return line;
}

/* The connection is over: the last message of its client. False: no memory, try again. */
HELPER bool world_disconnect(struct world *w, struct line *line)
{
	if (!world_put(w, line->loop, DATABASE_DISCONNECT, line->client, NULL, 0))
		return false;
	line->client = NULL;
	return true;
}

struct out {
	uint8_t *at, *end;
};
HELPER void out_bytes(struct out *out, const void *data, size_t len)
{
	ck_assert_uint_ge((size_t)(out->end - out->at), len);
	if (len > 0)
		memcpy(out->at, data, len);
	out->at += len;
}
HELPER void out_u32(struct out *out, uint32_t v)
{
	out_bytes(out, &v, 4);
}
HELPER void out_text(struct out *out, const char *text)
{
	out_u32(out, (uint32_t)strlen(text));
	out_bytes(out, text, strlen(text));
}

/* Arguments: numbers, then a text unless NULL. The request's id; 0: no memory. */
HELPER uint32_t world_call(struct world *w, struct line *line, const char *reducer, const uint64_t *numbers,
	size_t count, const char *text)
{
	struct out out = { w->message, w->message + sizeof(w->message) };
	uint32_t id = w->next_request++;
	size_t text_len = text == NULL ? 0 : 4 + strlen(text);
	out_bytes(&out, &(uint8_t){ TAG_CALL }, 1);
	out_u32(&out, id);
	out_bytes(&out, &(uint8_t){ 0 }, 1);
	out_text(&out, reducer);
	out_u32(&out, (uint32_t)(count * 8 + text_len));
	out_bytes(&out, numbers, count * 8);
	if (text != NULL)
		out_text(&out, text);
	bool ok = world_put(w, line->loop, DATABASE_PROTOCOL, line->client, w->message, (size_t)(out.at - w->message));
	return ok ? id : 0;
}

HELPER uint32_t world_call_number(struct world *w, struct line *line, const char *reducer, uint64_t n)
{
	return world_call(w, line, reducer, &n, 1, NULL);
}

HELPER uint32_t world_query(struct world *w, struct line *line, uint8_t tag, const char *sql)
{
	struct out out = { w->message, w->message + sizeof(w->message) };
	uint32_t id = w->next_request++;
	out_bytes(&out, &tag, 1);
	out_u32(&out, id);
	if (tag == TAG_SUBSCRIBE) {
		out_u32(&out, id); /* the query set's number */
		out_u32(&out, 1);
	}
	out_text(&out, sql);
	bool ok = world_put(w, line->loop, DATABASE_PROTOCOL, line->client, w->message, (size_t)(out.at - w->message));
	return ok ? id : 0;
}

/* One call, carried through until it is answered or nothing moves any more. */
HELPER const struct received *world_ask(struct world *w, struct line *line, const char *reducer, uint64_t n)
{
	w->last = (struct received){ 0 };
	uint32_t id = world_call_number(w, line, reducer, n);
	ck_assert_uint_ne(id, 0);
	world_settle(w);
	return &w->last;
}
#define ASK_OK(w, line, reducer, n) \
	do { \
		const struct received *got_ = world_ask(w, line, reducer, n); \
		ck_assert_msg(got_->tag == GOT_RESULT && got_->outcome == OUTCOME_OK, "tag %u, outcome %u: %s", got_->tag, \
			got_->outcome, got_->text); \
	} while (0)

HELPER struct line *must_connect(struct world *w, uint32_t loop, bool confirmed, uint64_t connection)
{
	struct line *line = world_connect(w, loop, confirmed, connection);
	ck_assert_ptr_nonnull(line);
	world_settle(w);
	ck_assert_msg(line->resumed && !line->ended, "the client was not let in");
	return line;
}

/* ---- ends ---- */

/* All clients leave and the database is closed and freed; what waits for the disk is thrown away. */
HELPER void world_close(struct world *w, bool orderly)
{
	if (w->db == NULL)
		return;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		while (w->lines[i].client != NULL && !world_disconnect(w, &w->lines[i])) {
		}
	world_run(w);
	if (orderly)
		database_close(w->db, STR("the test is over"));
	world_run(w);
	for (uint32_t i = 0; i < LOOPS; i++) {
		while (w->waiting[i] != NULL) {
			struct delivery_block *block = w->waiting[i];
			w->waiting[i] = block->next;
			delivery_block_done(block);
		}
		w->waiting_last[i] = &w->waiting[i];
		w->awaiting[i] = false;
		(void)database_await_cancel(w->db, i);
	}
	database_release(w->db);
	w->db = NULL;
}

HELPER void world_deinit(struct world *w)
{
	world_close(w, true);
	buf_deinit(&w->extra_code);
	if (w->disk == NULL && !w->options.in_memory) {
		char command[128];
		snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
		ck_assert_int_eq(system(command), 0);
	}
}

/* ---- looking into tables ---- */

/* One statement over HTTP's path; `text` receives the answer or the error. */
HELPER enum wl_err world_sql(struct world *w, const char *sql, struct buf *text)
{
	struct database_caller caller = { .jwt_payload = STR("{}") };
	struct buf json = BUF_INIT(1 << 20);
	uint64_t micros;
	store_u64(caller.identity.le, 1);
	store_u64(caller.connection.le, 0xc0ffee);
	buf_clear(text);
	enum wl_err err = database_sql(w->db, &caller, str_of(sql), true, &json, &micros, text);
	if (err == WL_OK)
		buf_put(text, json.data, json.len);
	buf_deinit(&json);
	return err;
}

HELPER enum database_outcome world_http_call(struct world *w, uint64_t connection, const char *reducer,
	const char *json, struct buf *text)
{
	struct database_caller caller = { .jwt_payload = STR("{}") };
	struct database_result result;
	store_u64(caller.identity.le, connection);
	store_u64(caller.connection.le, connection);
	database_call_json(w->db, &caller, str_of(reducer), str_of(json), true, &result);
	enum database_outcome outcome = result.outcome;
	if (text != NULL)
		buf_put(text, result.text.data, result.text.len);
	database_result_deinit(&result);
	return outcome;
}

HELPER uint64_t world_count(struct world *w, const char *table)
{
	struct store_table *t = store_table_by_name(w->db->store, str_of(table));
	ck_assert_ptr_nonnull(t);
	return store_table_row_count(t);
}

/* How often a row of a table of u64 has this number. */
HELPER uint32_t world_times(struct world *w, const char *table, uint64_t n)
{
	struct store_cursor cursor;
	struct store_row row;
	uint32_t times = 0;
	struct store_table *t = store_table_by_name(w->db->store, str_of(table));
	ck_assert_ptr_nonnull(t);
	store_scan(t, &cursor);
	while (store_cursor_next(&cursor, &row))
		times += load_u64(row.data) == n;
	return times;
}

HELPER bool world_has(struct world *w, const char *table, uint64_t n)
{
	return world_times(w, table, n) == 1;
}
#endif
