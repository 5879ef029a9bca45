/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUBS_FIXTURE_H
#define SUBS_FIXTURE_H
/*
 * A store, live queries, and loops that are played: what leaves through the outbox is decoded, written down in `trace`,
 * and applied to a replica of rows for each connection, as a client would hold it. Rows of table `f` are (u32, u32),
 * printed "1=2"; of all others (u32, string), printed "1:x".
 */
#include "store_util.h"

#include "protocol/protocol.h"
#include "subs/subs.h"

enum { CONNS_MAX = 16, REPLICA_MAX = 512, BLOCKS_MAX = 8, LOOPS = 2 };

struct replica_row {
	uint32_t set;
	char text[64]; /* "table row" */
};
struct conn {
	uint32_t refused; /* a bit for each set whose subscribe ended with an error */
	uint64_t follows; /* class, 0: none */
	bool dropped;
	uint32_t count;
	struct replica_row rows[REPLICA_MAX];
};

static struct store *store;
static struct arena arena;
static struct outbox *outbox;
static struct subs *subs;
static struct subs_client *clients[CONNS_MAX];
static struct conn conns[CONNS_MAX];
static struct delivery_block blocks[BLOCKS_MAX];
static struct buf trace, error;
static bool quiet; /* blocks are thrown away unread */
static const struct query_caller owner = { .is_owner = true };

/* ---- replicas ---- */

static void replica_change(struct conn *conn, uint32_t set, const char *text, bool add)
{
	if (add) {
		ck_assert(conn->count < REPLICA_MAX);
		struct replica_row *row = &conn->rows[conn->count++];
		row->set = set;
		snprintf(row->text, sizeof(row->text), "%s", text);
		return;
	}
	for (uint32_t i = 0; i < conn->count; i++)
		if (conn->rows[i].set == set && strcmp(conn->rows[i].text, text) == 0) {
			conn->rows[i] = conn->rows[--conn->count];
			return;
		}
	ck_abort_msg("set %u is told to forget a row that it never had: %s", set, text);
}

/* Those that receive the message being decoded. */
static struct conn *receivers[CONNS_MAX];
static uint32_t receiver_count;

static void received(uint32_t set, const char *text, bool add)
{
	for (uint32_t i = 0; i < receiver_count; i++)
		replica_change(receivers[i], set, text, add);
}

/* ---- messages ---- */

static void row_text(struct str table, struct bytes row, char *out, size_t size)
{
	struct reader r = reader_of(row.data, row.len);
	uint32_t id = reader_u32(&r);
	if (str_eq(table, STR("f"))) {
		snprintf(out, size, "%.*s %u=%u", STR_FMT(table), id, reader_u32(&r));
	} else {
		struct str text = reader_bsatn_str(&r);
		snprintf(out, size, "%.*s %u:%.*s", STR_FMT(table), id, STR_FMT(text));
	}
	ck_assert(!r.failed && reader_left(&r) == 0);
}

/* kind: '+' and '-' change replicas, 0 only prints. */
static void decode_rows(struct reader *r, struct str table, uint32_t set, char kind)
{
	struct bytes offsets = { NULL, 0 };
	uint32_t size = 0, count;
	bool fixed = reader_u8(r) == 0;
	if (fixed) {
		size = reader_u16(r);
	} else {
		offsets.len = reader_u32(r);
		offsets.data = reader_take(r, offsets.len * 8, "offsets");
	}
	struct bytes data = reader_bsatn_bytes(r);
	ck_assert(!r->failed);
	count = (uint32_t)(fixed ? data.len / size : offsets.len);
	for (uint32_t i = 0; i < count; i++) {
		size_t from = fixed ? (size_t)i * size : load_u64(offsets.data + (size_t)i * 8);
		size_t to = fixed ? from + size : i + 1 < count ? load_u64(offsets.data + (size_t)(i + 1) * 8) : data.len;
		char text[64];
		ck_assert(from <= to && to <= data.len);
		row_text(table, (struct bytes){ data.data + from, to - from }, text, sizeof(text));
		buf_printf(&trace, "%s%c%s", trace.data[trace.len - 1] == '{' ? "" : " ", kind == 0 ? '.' : kind,
			strchr(text, ' ') + 1);
		if (kind != 0)
			received(set, text, kind == '+');
	}
}

static void decode_tables(struct reader *r, uint32_t set, char kind)
{
	for (uint32_t n = reader_u32(r); n > 0; n--) {
		struct str table = reader_bsatn_str(r);
		buf_printf(&trace, " %.*s{", STR_FMT(table));
		decode_rows(r, table, set, kind);
		buf_put_cstr(&trace, "}");
	}
}

/* Count of sets, then the sets. */
static void decode_update(struct reader *r)
{
	for (uint32_t sets = reader_u32(r); sets > 0; sets--) {
		uint32_t set = reader_u32(r);
		buf_printf(&trace, " %u", set);
		for (uint32_t tables = reader_u32(r); tables > 0; tables--) {
			struct str table = reader_bsatn_str(r);
			buf_printf(&trace, " %.*s", STR_FMT(table));
			for (uint32_t n = reader_u32(r); n > 0; n--) {
				buf_put_cstr(&trace, "{");
				if (reader_u8(r) == 1) { /* of an event table: seen once, kept nowhere */
					decode_rows(r, table, set, 0);
				} else {
					decode_rows(r, table, set, '+');
					decode_rows(r, table, set, '-');
				}
				buf_put_cstr(&trace, "}");
			}
		}
	}
}

static void forget_set(uint32_t set)
{
	for (uint32_t c = 0; c < receiver_count; c++)
		for (uint32_t i = receivers[c]->count; i-- > 0;)
			if (receivers[c]->rows[i].set == set)
				receivers[c]->rows[i] = receivers[c]->rows[--receivers[c]->count];
}

static void decode_message(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	uint32_t request, set;
	struct str text;
	switch (reader_u8(&r)) {
	case 1:
		request = reader_u32(&r);
		set = reader_u32(&r);
		buf_printf(&trace, " applied %u/%u", request, set);
		decode_tables(&r, set, '+');
		break;
	case 2:
		request = reader_u32(&r);
		set = reader_u32(&r);
		buf_printf(&trace, " unsubscribed %u/%u", request, set);
		if (reader_u8(&r) == 0)
			decode_tables(&r, set, '-');
		else
			forget_set(set);
		break;
	case 3:
		ck_assert_uint_eq(reader_u8(&r), 0);
		request = reader_u32(&r);
		set = reader_u32(&r);
		text = reader_bsatn_str(&r);
		buf_printf(&trace, " error %u/%u %.*s", request, set, STR_FMT(text));
		for (uint32_t i = 0; i < receiver_count; i++)
			receivers[i]->refused |= 1u << set % 32;
		break;
	case 4:
		buf_put_cstr(&trace, " update");
		decode_update(&r);
		break;
	case 5:
		request = reader_u32(&r);
		buf_printf(&trace, " one-off %u", request);
		if (reader_u8(&r) == 0) {
			decode_tables(&r, 0, 0);
		} else {
			text = reader_bsatn_str(&r);
			buf_printf(&trace, " %.*s", STR_FMT(text));
		}
		break;
	case 8:
		request = reader_u32(&r);
		buf_printf(&trace, " batch %u", request);
		for (uint32_t i = reader_u32(&r); i > 0; i--) {
			set = reader_u32(&r);
			buf_printf(&trace, " %u:", set);
			if (reader_u8(&r) == 0) {
				decode_tables(&r, set, '+');
			} else {
				text = reader_bsatn_str(&r);
				buf_printf(&trace, " error %.*s", STR_FMT(text));
			}
		}
		break;
	default:
		ck_abort_msg("a message of kind %d", data[0]);
	}
	ck_assert(!r.failed);
	ck_assert_uint_eq(reader_left(&r), 0);
}

/* ---- the loops ---- */

static struct conn *conn_of(uint64_t id)
{
	ck_assert(id > 0 && id < CONNS_MAX);
	return &conns[id];
}

static void play_entry(const struct delivery_entry *e)
{
	receiver_count = 0;
	switch ((enum delivery_kind)e->kind) {
	case DELIVERY_MESSAGE:
		buf_printf(&trace, "%u%s", (unsigned)e->to, e->flags & DELIVERY_REPLY ? "r" : "");
		receivers[receiver_count++] = conn_of(e->to);
		break;
	case DELIVERY_CLASS:
		buf_printf(&trace, "#%u", (unsigned)e->to);
		if (e->other != 0)
			buf_printf(&trace, "!%u", (unsigned)e->other);
		for (uint64_t c = 1; c < CONNS_MAX; c++)
			if (conns[c].follows == e->to && c != e->other)
				receivers[receiver_count++] = &conns[c];
		ck_assert_msg(receiver_count > 0, "a message for nobody");
		break;
	case DELIVERY_CLASS_NEW: buf_printf(&trace, "ring%u", (unsigned)e->to); break;
	case DELIVERY_CLASS_END: buf_printf(&trace, "end%u", (unsigned)e->to); break;
	case DELIVERY_FOLLOW:
		buf_printf(&trace, "%u>%u", (unsigned)e->to, (unsigned)e->other);
		conn_of(e->to)->follows = e->other;
		break;
	case DELIVERY_DROP:
		buf_printf(&trace, "drop%u", (unsigned)e->to);
		conn_of(e->to)->dropped = true;
		break;
	case DELIVERY_SHARED: {
		const struct delivery_shared *shared = (const void *)(uintptr_t)e->other;
		struct buf whole = BUF_INIT(1 << 24);
		buf_printf(&trace, "%us%s", (unsigned)e->to, e->flags & DELIVERY_CONFIRMED ? "c" : "");
		receivers[receiver_count++] = conn_of(e->to);
		buf_put(&whole, e->body, e->body_len);
		buf_put(&whole, shared->data.data, shared->data.len);
		decode_message(whole.data, whole.len);
		buf_deinit(&whole);
		buf_put_cstr(&trace, "; ");
		return;
	}
	default: ck_abort_msg("an entry of kind %d", e->kind);
	}
	if (e->flags & DELIVERY_CONFIRMED)
		buf_put_cstr(&trace, "c");
	if (e->body_len > 0)
		decode_message(e->body, e->body_len);
	buf_put_cstr(&trace, "; ");
}

static struct delivery_block *fixture_block_take(void *context, uint32_t loop)
{
	(void)context;
	for (uint32_t i = 0; i < BLOCKS_MAX; i++)
		if (blocks[i].database == NULL) {
			blocks[i].database = (void *)&blocks[i]; /* taken */
			blocks[i].loop = loop;
			return &blocks[i];
		}
	ck_abort_msg("no block is left");
	return NULL;
}

static void fixture_block_played(void *context, struct delivery_block *block)
{
	(void)context;
	if (!quiet)
		for (const struct delivery_entry *e = delivery_first(block); !delivery_at_end(block, e); e = delivery_next(e))
			play_entry(e);
	for (const struct delivery_entry *e = delivery_first(block); block->any_shared && !delivery_at_end(block, e);
		e = delivery_next(e))
		if (e->kind == DELIVERY_SHARED)
			delivery_shared_release((void *)(uintptr_t)e->other);
	block->any_shared = false;
	buf_clear(&block->data);
	block->database = NULL;
}

static const struct outbox_ops fixture_ops = { fixture_block_take, fixture_block_played };

static const char *flushed(void)
{
	outbox_flush(outbox, 1);
	return buf_text(&trace);
}

/* What has left since the last call is exactly this. */
static void traced(const char *wanted)
{
	ck_assert_str_eq(flushed(), wanted);
	buf_clear(&trace);
}

/* ---- reads beside the executor: the test says when they begin, run and end ---- */

enum { READS_MAX = 32 };
static struct played_read {
	struct subs_read *read; /* NULL: free */
	struct store_snapshot *snapshot;
	_Atomic bool cancelled;
	bool has_begun, has_run, was_begun;
} reads[READS_MAX];

static bool fixture_read(void *context, struct subs_read *read)
{
	(void)context;
	for (uint32_t i = 0; i < READS_MAX; i++)
		if (reads[i].read == NULL) {
			reads[i] = (struct played_read){ .read = read };
			return true;
		}
	return false;
}

/* One step of one read; `fails`: if it is the last, nothing could be read. */
static void read_step(uint32_t index, bool fails)
{
	struct played_read *r = &reads[index];
	struct store_table *const *tables;
	uint32_t count;
	if (r->read == NULL)
		return;
	if (!r->has_begun) {
		r->has_begun = true;
		r->was_begun = subs_read_begin(r->read, &tables, &count, &r->cancelled);
		r->snapshot = r->was_begun ? store_snapshot_take(store, tables, count) : NULL;
		r->has_run = r->snapshot == NULL;
		return;
	}
	if (!r->has_run) {
		subs_read_run(r->read, r->snapshot, 0);
		r->has_run = true;
		return;
	}
	subs_read_end(r->read, r->snapshot != NULL && !fails);
	store_snapshot_release(store, r->snapshot);
	r->read = NULL;
}

static void reads_finish(void)
{
	for (uint32_t i = 0; i < READS_MAX; i++)
		while (reads[i].read != NULL)
			read_step(i, false);
}

/* ---- life ---- */

static void fixture_table(const char *name, const char *columns, const char *indexes, bool is_event, bool is_public)
{
	struct store_table *table;
	struct store_table_def *def = util_def(&arena, name, columns, indexes, indexes[0] == '!' ? 0 : -1);
	def->is_event = is_event;
	def->is_public = is_public;
	ck_assert_int_eq(store_table_create(store, def, &table), STORE_OK);
}

static void setup(void)
{
	struct store_delta delta;
	store = store_create();
	ck_assert_ptr_nonnull(store);
	arena_init(&arena, 1 << 24);
	buf_init(&trace, 1 << 24);
	buf_init(&error, 1 << 16);
	store_tx_begin(store);
	fixture_table("a", "id:u name:s", "!0", false, true);
	fixture_table("b", "id:u name:s", "!0", false, true);
	fixture_table("ev", "id:u name:s", "", true, true);
	fixture_table("f", "id:u v:u", "!0", false, true);
	fixture_table("hidden", "id:u name:s", "!0", false, false);
	fixture_table("who", "owner:n", "", false, true);
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
	for (uint32_t i = 0; i < BLOCKS_MAX; i++) {
		blocks[i] = (struct delivery_block){ .data = BUF_INIT(DELIVERY_BODY_BYTES_MAX) };
		ck_assert(buf_reserve(&blocks[i].data, 1 << 16));
	}
	outbox = outbox_create(LOOPS, &fixture_ops, NULL);
	ck_assert_ptr_nonnull(outbox);
	subs = subs_create(store, outbox);
	ck_assert_ptr_nonnull(subs);
}

static void client_end(uint32_t conn)
{
	subs_client_destroy(subs, clients[conn]);
	clients[conn] = NULL;
	conns[conn] = (struct conn){ 0 };
}

static void teardown(void)
{
	for (uint32_t i = 0; i < CONNS_MAX; i++)
		if (clients[i] != NULL)
			client_end(i);
	reads_finish();
	quiet = true;
	(void)flushed();
	subs_destroy(subs); /* asserts that nothing is left */
	outbox_destroy(outbox);
	store_destroy(store);
	arena_deinit(&arena);
	for (uint32_t i = 0; i < BLOCKS_MAX; i++)
		buf_deinit(&blocks[i].data);
	buf_deinit(&trace);
	buf_deinit(&error);
}

static void client_begin_as(uint32_t conn, uint32_t loop, bool confirmed, struct query_caller caller)
{
	struct subs_client_options options = { .caller = caller, .conn = conn, .loop = loop, .confirmed = confirmed,
		.name = "(someone)" };
	clients[conn] = subs_client_create(subs, &options);
	ck_assert_ptr_nonnull(clients[conn]);
	conns[conn] = (struct conn){ 0 };
}

static void client_begin(uint32_t conn)
{
	client_begin_as(conn, 0, false, owner);
}

/* `queries` are separated by '|'. The request's id is the set's plus 100. */
static void subscribe(uint32_t conn, uint32_t set, const char *queries)
{
	struct buf list = BUF_INIT(1 << 16);
	uint32_t count = 0;
	for (const char *at = queries; at != NULL; count++) {
		const char *bar = strchr(at, '|');
		buf_put_bsatn_str(&list, (struct str){ at, bar == NULL ? strlen(at) : (size_t)(bar - at) });
		at = bar == NULL ? NULL : bar + 1;
	}
	subs_subscribe(subs, clients[conn], set + 100, set, count, buf_bytes(&list));
	buf_deinit(&list);
}

static void unsubscribe(uint32_t conn, uint32_t set, bool send_rows)
{
	subs_unsubscribe(subs, clients[conn], set + 100, set, send_rows);
}

/* One transaction of the statements, separated by '|'; `conn` is its caller, 0: none. */
static void commit_sql(uint32_t conn, const char *statements)
{
	struct store_delta delta;
	char sql[256];
	if (conn != 0)
		outbox_flush(outbox, 1); /* what was sent before its result comes before it */
	store_tx_begin(store);
	for (const char *at = statements; at != NULL;) {
		const char *bar = strchr(at, '|');
		snprintf(sql, sizeof(sql), "%.*s", (int)(bar == NULL ? strlen(at) : (size_t)(bar - at)), at);
		at = bar == NULL ? NULL : bar + 1;
		struct query *query = NULL;
		struct query_effects effects;
		buf_clear(&error);
		enum wl_err err = query_compile(store, QUERY_DIALECT_SQL, str_of(sql), &owner, &query, &error);
		if (err == WL_OK)
			err = query_execute(query, store, &(struct query_limits){ 0 }, &effects, &error);
		ck_assert_msg(err == WL_OK, "%s: %s", sql, buf_text(&error));
		query_destroy(query);
	}
	ck_assert_int_eq(store_tx_commit(store, &delta), STORE_OK);
	struct bytes update = subs_commit(subs, &delta, conn == 0 ? NULL : clients[conn], NULL);
	if (conn == 0)
		return;
	struct reader r = reader_of(update.data, update.len);
	buf_printf(&trace, "caller%u", conn);
	receiver_count = 0;
	receivers[receiver_count++] = &conns[conn];
	decode_update(&r);
	ck_assert(!r.failed && reader_left(&r) == 0);
	buf_put_cstr(&trace, "; ");
}
#endif
