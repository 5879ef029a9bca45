/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The syscall surface through a real guest (script.c), against a model: imports in any order with right and wrong
 * arguments; every result, every byte that is written back, every trap's text and every rollback must be what the
 * model says.
 *
 * The input is a list of operations. Up to eight make one call of the guest: each has a region of guest memory, where
 * its arguments are laid before the call and its results looked at behind it. So handles must be known before: they
 * are, but for iterators without an order, which end a call when they are advanced. A call may commit, roll back, or
 * leave the transaction to the next.
 */
#include "base/arena.h"
#include "base/mem.h"
#include "fuzz/runtime_model.h"
#include "native.h"
#include "runtime/runtime_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { OPERATIONS_MAX = 8, REGIONS = 0x90000, REGION = 0x12000, LEN = 0, OUT = 16, DATA = 0x100, MEMORY = 0x200000 };
enum { UNKNOWN = 99, TOKEN_BYTES = 40 };

/* Imports by their number in script.c. */
enum {
	TABLE_ID, INDEX_ID, ROW_COUNT, TABLE_SCAN, SCAN_RANGE, BTREE_SCAN, ADVANCE, CLOSE, INSERT, UPDATE, DELETE_RANGE,
	DELETE_BTREE, DELETE_EQ, IMMEDIATE, SINK_WRITE, SOURCE_READ, CONSOLE_LOG, TIMER_START, TIMER_END, IDENTITY,
	REMAINING, GET_JWT, SLEEP_UNTIL, START_TX, COMMIT_TX, ABORT_TX, HTTP_REQUEST, SCAN_POINT, DELETE_POINT, CLEAR,
};

static struct runtime *runtime;
static struct runtime_program *program;

/* What one operation must yield. */
struct expectation {
	int32_t code;
	uint32_t region, out_len;
	uint8_t out[32];
	bool keeps_out;          /* OUT is not touched */
	bool has_len;            /* the u32 at LEN afterwards */
	uint32_t len;
	struct buf data;         /* at DATA afterwards */
	struct expected_rows *unordered; /* code, length and data are found out */
	uint32_t handle, cap;
};

static struct {
	struct runtime_instance *in;
	struct runtime_env env;
	struct reader input;
	uint32_t big, small, id_index, tag_index, key_index;
	/* the model */
	struct tables now, committed;
	uint64_t next_id; /* numbers are spent, also when the transaction is undone */
	struct slots iterators, timers;
	struct expected_rows rows[HANDLES_MAX + 1]; /* by handle */
	struct { bool live; uint32_t left; } sources[OPERATIONS_MAX + 2]; /* by handle; 1 is the script's own */
	uint32_t source_count, logs, logs_seen, immediate, immediate_seen;
	/* the call that is being made */
	struct buf script, sink;
	struct expectation expected[OPERATIONS_MAX];
	uint32_t count;
	const char *trap; /* how it ends */
	bool over;
	bool fresh; /* the instance has not been called yet */
} m;

static uint8_t any(void)
{
	return reader_u8(&m.input);
}

/* ---- building a call ---- */

static struct expectation *operation(void)
{
	struct expectation *e = &m.expected[m.count];
	struct buf kept = e->data;
	*e = (struct expectation){ .region = REGIONS + m.count++ * REGION, .data = kept };
	buf_clear(&e->data);
	memset(m.in->memory + e->region, 0xee, DATA);
	return e;
}

static void lay(const struct expectation *e, const void *data, uint32_t len)
{
	memcpy(m.in->memory + e->region + DATA, data, len);
}

static void invoke(uint8_t import, int count, const uint32_t *args)
{
	buf_put_u8(&m.script, 1);
	buf_put_u8(&m.script, import);
	buf_put_u8(&m.script, (uint8_t)count);
	for (int i = 0; i < count; i++) {
		buf_put_u8(&m.script, 0);
		buf_put_u32(&m.script, args[i]);
	}
}
#define INVOKE(import, ...) \
	invoke(import, (int)(sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t)), (uint32_t[]){ __VA_ARGS__ })

static void ends_with(const char *trap)
{
	m.trap = trap;
	m.over = true;
}

/* A pointer, now and then a bad one (`size`: of what lies there): then the call ends with its trap. */
static uint32_t pointer(uint32_t good, uint32_t size)
{
	uint8_t b = any();
	if (b < 250 || m.trap != NULL)
		return good;
	ends_with(b == 250 ? "null pointer passed" : "out of bounds pointer passed");
	return b == 250 ? 0 : b == 251 && size > 0 ? MEMORY - size + 1 : b == 252 ? UINT32_MAX : MEMORY + 1;
}

static void out_is(struct expectation *e, const void *data, uint32_t len)
{
	memcpy(e->out, data, len);
	e->out_len = len;
}

static void out_u32(struct expectation *e, uint32_t value)
{
	store_u32(e->out, value);
	e->out_len = 4;
}

static void fails(struct expectation *e, int32_t code)
{
	e->code = code;
	e->keeps_out = true;
}

static void set_len(struct expectation *e, uint32_t before, uint32_t after)
{
	store_u32(m.in->memory + e->region + LEN, before);
	e->has_len = true;
	e->len = after;
}

/* ---- tables ---- */

/* Small and large ones, and some that end with a chunk, or one byte before or behind it. */
static struct big_row some_row(void)
{
	uint8_t b = any();
	uint16_t size = b < 128 ? b : b < 240 ? (uint16_t)(b * 200) : b < 248 ? CHUNK_BYTES / 2 - 6
		: (uint16_t)(CHUNK_BYTES - 6 + b % 4 - 1);
	return (struct big_row){ true, any() % 4, any() % 8, size };
}

static uint32_t lay_row(struct expectation *e, uint8_t id, const struct big_row *row)
{
	struct buf bytes = BUF_INIT(1 << 17);
	put_big(&bytes, id, row);
	lay(e, bytes.data, (uint32_t)bytes.len);
	uint32_t len = (uint32_t)bytes.len;
	buf_deinit(&bytes);
	return len;
}

/* The id that the row gets; the generated one is written back. */
static uint8_t draw(uint8_t id, bool *generated)
{
	*generated = id == 0;
	return *generated ? (uint8_t)m.next_id++ : id;
}

static void written_back(struct expectation *e, uint32_t len, bool generated, uint8_t id)
{
	set_len(e, len, generated ? 1 : 0);
	if (generated)
		buf_put_u8(&e->data, id);
}

static void insert(void)
{
	struct expectation *e = operation();
	struct big_row row = some_row();
	uint8_t id = any() % 64;
	uint32_t len = lay_row(e, id, &row);
	uint8_t how = any();
	store_u32(m.in->memory + e->region + LEN, len);
	if (how < 4) { /* cut */
		store_u32(m.in->memory + e->region + LEN, how);
		ends_with("runtime error calling datastore_insert_bsatn: internal db error");
		INVOKE(INSERT, m.big, e->region + DATA, e->region + LEN);
		return;
	}
	if (how < 6) {
		ends_with("runtime error calling datastore_insert_bsatn: internal db error");
		INVOKE(INSERT, UNKNOWN, e->region + DATA, e->region + LEN);
		return;
	}
	uint32_t at = pointer(e->region + DATA, len), len_at = pointer(e->region + LEN, 4);
	INVOKE(INSERT, m.big, at, len_at);
	if (m.trap != NULL)
		return;
	bool generated;
	uint8_t got = draw(id, &generated);
	if (m.now.big[got].there && !same_big(&m.now.big[got], &row)) {
		set_len(e, len, len);
		e->code = ERRNO_UNIQUE_ALREADY_EXISTS;
		return;
	}
	m.now.big[got] = row;
	written_back(e, len, generated, got);
}

static void update(void)
{
	struct expectation *e = operation();
	struct big_row row = some_row();
	uint8_t id = any() % 64, how = any() % 16;
	uint32_t len = lay_row(e, id, &row);
	uint32_t index = how == 0 ? UNKNOWN : how == 1 ? m.key_index : how == 2 ? m.tag_index : m.id_index;
	INVOKE(UPDATE, m.big, index, e->region + DATA, e->region + LEN);
	set_len(e, len, len);
	e->code = how <= 1 ? ERRNO_NO_SUCH_INDEX : how == 2 ? ERRNO_INDEX_NOT_UNIQUE : 0;
	if (how <= 1)
		return;
	bool generated;
	uint8_t got = draw(id, &generated);
	if (how == 2)
		return;
	if (!m.now.big[got].there) {
		e->code = ERRNO_NO_SUCH_ROW;
		return;
	}
	m.now.big[got] = row;
	written_back(e, len, generated, got);
}

static void insert_small(void)
{
	struct expectation *e = operation();
	uint8_t row[2] = { any() % 32, any() % 2 };
	lay(e, row, 2);
	INVOKE(INSERT, m.small, e->region + DATA, e->region + LEN);
	bool taken = m.now.small[row[0]] && m.now.values[row[0]] != row[1];
	set_len(e, 2, taken ? 2 : 0);
	e->code = taken ? ERRNO_UNIQUE_ALREADY_EXISTS : 0;
	if (!taken) {
		m.now.small[row[0]] = true;
		m.now.values[row[0]] = row[1];
	}
}

static uint32_t delete_where(bool (*is)(uint8_t id, const uint8_t *how), const uint8_t *how)
{
	uint32_t count = 0;
	for (uint32_t id = 0; id < KEYS; id++)
		if (m.now.big[id].there && is((uint8_t)id, how)) {
			m.now.big[id].there = false;
			count++;
		}
	return count;
}

/* how: which index, start tag and value, end tag and value. */
static bool in_range(uint8_t id, const uint8_t *how)
{
	uint8_t value = how[0] == 0 ? id : m.now.big[id].tag;
	bool above = how[1] == 2 || value > how[2] || (how[1] == 0 && value == how[2]);
	bool below = how[3] == 2 || value < how[4] || (how[3] == 0 && value == how[4]);
	return above && below;
}

static bool is_key(uint8_t id, const uint8_t *how)
{
	return (how[0] == 0 ? id : m.now.big[id].tag) == how[1];
}

static void delete_eq(void)
{
	struct expectation *e = operation();
	struct buf relation = BUF_INIT(1 << 16);
	uint32_t count = any() % 4, deleted = 0;
	bool broken = any() < 8;
	buf_put_u32(&relation, count + broken);
	struct tables before = m.now;
	for (uint32_t i = 0; i < count; i++) {
		uint8_t id = any() % 64;
		struct big_row row = { true, any() % 4, any() % 8, any() % 128 };
		if (any() < 200 && m.now.big[id].there && m.now.big[id].size < 10000)
			row = m.now.big[id];
		put_big(&relation, id, &row);
		if (same_big(&m.now.big[id], &row)) {
			m.now.big[id].there = false;
			deleted++;
		}
	}
	lay(e, relation.data, (uint32_t)relation.len);
	INVOKE(DELETE_EQ, m.big, e->region + DATA, (uint32_t)relation.len, e->region + OUT);
	buf_deinit(&relation);
	out_u32(e, deleted);
	if (broken) {
		m.now = before;
		fails(e, ERRNO_BSATN_DECODE_ERROR);
	}
}

static void clear(void)
{
	struct expectation *e = operation();
	uint64_t count = 0;
	for (uint32_t id = 0; id < KEYS; id++) {
		count += m.now.big[id].there;
		m.now.big[id].there = false;
	}
	INVOKE(CLEAR, m.big, e->region + OUT);
	store_u64(e->out, count);
	e->out_len = 8;
}

static void row_count(void)
{
	struct expectation *e = operation();
	bool known = any() < 230;
	uint64_t count = 0;
	for (uint32_t id = 0; id < KEYS; id++)
		count += m.now.big[id].there;
	INVOKE(ROW_COUNT, known ? m.big : UNKNOWN, known ? pointer(e->region + OUT, 8) : 0);
	if (known) {
		store_u64(e->out, count);
		e->out_len = 8;
	} else {
		fails(e, ERRNO_NO_SUCH_TABLE);
	}
}

static void names(void)
{
	static const char *const known[] = { "big", "small", "big_id", "big_tag", "small_key", "nothing", "", "\xff" };
	struct expectation *e = operation();
	uint8_t which = any() % 8;
	bool table = any() % 2 == 0;
	uint32_t len = (uint32_t)strlen(known[which]);
	uint32_t ids[8] = { m.big, m.small, m.id_index, m.tag_index, m.key_index };
	lay(e, known[which], len);
	uint32_t at = pointer(e->region + DATA, len);
	if (which == 7 && m.trap == NULL)
		ends_with("invalid utf8 passed to a spacetime function");
	INVOKE(table ? TABLE_ID : INDEX_ID, at, len, e->region + OUT);
	if (which < 5 && (which < 2) == table)
		out_u32(e, ids[which]);
	else
		fails(e, table ? ERRNO_NO_SUCH_TABLE : ERRNO_NO_SUCH_INDEX);
}

/* ---- iterators ---- */

static void opened(struct expectation *e, bool (*is)(uint8_t id, const uint8_t *how), const uint8_t *how, bool ordered)
{
	if (m.trap != NULL)
		return;
	uint32_t handle = slots_take(&m.iterators);
	struct expected_rows *it = &m.rows[handle];
	it->ordered = ordered;
	it->at = 0;
	buf_clear(&it->bytes);
	buf_clear(&it->advances);
	for (uint32_t id = 0; id < KEYS; id++) {
		it->rows[id] = m.now.big[id];
		it->rows[id].there = m.now.big[id].there && (is == NULL || is((uint8_t)id, how));
		if (ordered && it->rows[id].there)
			put_big(&it->bytes, (uint8_t)id, &it->rows[id]);
	}
	out_u32(e, handle);
}

static void scan(void)
{
	struct expectation *e = operation();
	if (slots_full(&m.iterators)) {
		INVOKE(TABLE_SCAN, UNKNOWN, 0);
		fails(e, ERRNO_NO_SUCH_TABLE);
		return;
	}
	INVOKE(TABLE_SCAN, m.big, pointer(e->region + OUT, 4));
	opened(e, NULL, NULL, false);
}

static void range(void)
{
	struct expectation *e = operation();
	uint8_t how[5] = { any() % 2, any() % 3, any() % 64, any() % 3, any() % 64 }, fault = any();
	uint8_t start[2] = { how[1], how[2] }, end[2] = { how[3], how[4] };
	uint32_t start_len = how[1] == 2 ? 1 : 2, end_len = how[3] == 2 ? 1 : 2;
	uint32_t index = how[0] == 0 ? m.id_index : m.tag_index, at = e->region + DATA, elements = 0;
	bool deletes = any() % 2 == 0 || slots_full(&m.iterators), alias = any() % 2 == 0;
	int32_t code = 0;
	if (fault == 0 || fault == 1) {
		index = UNKNOWN;
		code = ERRNO_NO_SUCH_INDEX;
	} else if (fault == 2) {
		start[0] = 3;
		code = ERRNO_BSATN_DECODE_ERROR;
	} else if (fault == 3) {
		end_len = 0;
		code = ERRNO_BSATN_DECODE_ERROR;
	} else if (fault == 4) {
		elements = 1;
		code = ERRNO_BSATN_DECODE_ERROR;
	} else if (fault == 5) {
		elements = 65536;
		ends_with("ABI violation, a `ColId` must be a `u16`");
	}
	lay(e, start, 2);
	memcpy(m.in->memory + at + 16, end, 2);
	uint8_t import = deletes ? alias ? DELETE_BTREE : DELETE_RANGE : alias ? BTREE_SCAN : SCAN_RANGE;
	INVOKE(import, index, elements == 0 ? 0 : at, elements == 1 ? 1 : 0, elements, pointer(at, start_len), start_len,
		pointer(at + 16, end_len), end_len, code == 0 ? pointer(e->region + OUT, 4) : 0);
	if (code != 0)
		fails(e, code);
	else if (deletes && m.trap == NULL)
		out_u32(e, delete_where(in_range, how));
	else
		opened(e, in_range, how, how[0] == 0);
}

static void point(void)
{
	struct expectation *e = operation();
	uint8_t how[2] = { any() % 2, any() % 64 }, fault = any();
	uint32_t index = how[0] == 0 ? m.id_index : m.tag_index, len = 1;
	bool deletes = any() % 2 == 0 || slots_full(&m.iterators);
	int32_t code = 0;
	if (fault == 0) {
		index = UNKNOWN;
		code = ERRNO_NO_SUCH_INDEX;
	} else if (fault == 1) {
		len = 0;
		code = ERRNO_BSATN_DECODE_ERROR;
	}
	lay(e, how + 1, 1);
	uint32_t at = pointer(e->region + DATA, len), out = code == 0 ? pointer(e->region + OUT, 4) : 0;
	INVOKE(deletes ? DELETE_POINT : SCAN_POINT, index, at, len, out);
	if (code != 0)
		fails(e, code);
	else if (deletes && m.trap == NULL)
		out_u32(e, delete_where(is_key, how));
	else
		opened(e, is_key, how, how[0] == 0);
}

static void advance(void)
{
	struct expectation *e = operation();
	uint32_t handle = any() % 12, cap = any() * 257u;
	store_u32(m.in->memory + e->region + LEN, cap);
	if (!slots_live(&m.iterators, handle)) {
		INVOKE(ADVANCE, handle, 0, 0);
		e->code = ERRNO_NO_SUCH_ITER;
		return;
	}
	struct expected_rows *it = &m.rows[handle];
	INVOKE(ADVANCE, handle, pointer(e->region + DATA, cap), pointer(e->region + LEN, 4));
	if (m.trap != NULL)
		return;
	if (!it->ordered) {
		e->unordered = it;
		e->handle = handle;
		e->cap = cap;
		m.over = true; /* whether the handle is free behind it is not known */
		return;
	}
	size_t from = it->at;
	e->code = model_advance(&it->bytes, &it->at, cap, &e->len);
	e->has_len = true;
	if (e->code != ERRNO_BUFFER_TOO_SMALL && it->at > from)
		buf_put(&e->data, it->bytes.data + from, it->at - from);
	if (e->code == SYSCALL_DONE)
		slots_free(&m.iterators, handle);
}

static void close_iterator(void)
{
	struct expectation *e = operation();
	uint32_t handle = any() % 12;
	INVOKE(CLOSE, handle);
	e->code = slots_live(&m.iterators, handle) ? 0 : ERRNO_NO_SUCH_ITER;
	if (e->code == 0)
		slots_free(&m.iterators, handle);
}

/* ---- bytes, timers, log, who, what is not for reducers ---- */

static uint8_t token_byte(uint32_t at)
{
	return (uint8_t)('a' + at % 26);
}

static void jwt(void)
{
	struct expectation *e = operation();
	uint8_t connection[16];
	bool known = any() % 4 != 0;
	memset(connection, known ? 7 : 8, sizeof(connection));
	lay(e, connection, sizeof(connection));
	uint32_t at = pointer(e->region + DATA, 16), out = pointer(e->region + OUT, 4);
	INVOKE(GET_JWT, at, out);
	if (m.trap != NULL)
		return;
	out_u32(e, known ? m.source_count + 1 : 0);
	if (known) {
		m.source_count++;
		m.sources[m.source_count].live = true;
		m.sources[m.source_count].left = TOKEN_BYTES;
	}
}

static bool source_live(uint32_t handle)
{
	return handle <= m.source_count && m.sources[handle].live;
}

static void read_source(void)
{
	struct expectation *e = operation();
	uint32_t handle = any() % 8, cap = any() % 64;
	store_u32(m.in->memory + e->region + LEN, cap);
	if (!source_live(handle)) {
		INVOKE(SOURCE_READ, handle, 0, 0);
		e->code = ERRNO_NO_SUCH_BYTES;
		return;
	}
	INVOKE(SOURCE_READ, handle, pointer(e->region + DATA, cap), pointer(e->region + LEN, 4));
	if (m.trap != NULL)
		return;
	uint32_t *left = &m.sources[handle].left, count = cap < *left ? cap : *left;
	for (uint32_t i = 0; i < count; i++)
		buf_put_u8(&e->data, token_byte(TOKEN_BYTES - *left + i));
	*left -= count;
	e->has_len = true;
	e->len = count;
	e->code = *left == 0 ? SYSCALL_DONE : 0;
	m.sources[handle].live = *left > 0;
}

static void remaining(void)
{
	struct expectation *e = operation();
	uint32_t handle = any() % 8;
	INVOKE(REMAINING, handle, source_live(handle) ? pointer(e->region + OUT, 4) : 0);
	if (source_live(handle))
		out_u32(e, m.sources[handle].left);
	else
		fails(e, ERRNO_NO_SUCH_BYTES);
}

static void write_sink(void)
{
	struct expectation *e = operation();
	uint32_t own = m.fresh ? 2 : 1, handle = any() % 2 == 0 ? own : any() + 3u, len = any() % 64;
	memset(m.in->memory + e->region + DATA, 's', len);
	set_len(e, len, len);
	e->code = handle == own ? 0 : ERRNO_NO_SUCH_BYTES;
	INVOKE(SINK_WRITE, handle, handle == own ? pointer(e->region + DATA, len) : 0, e->region + LEN);
	for (uint32_t i = 0; handle == own && i < len; i++)
		buf_put_u8(&m.sink, 's');
}

static void timers(void)
{
	struct expectation *e = operation();
	uint32_t handle = any() % 12;
	if (any() % 2 == 0 && !slots_full(&m.timers)) {
		INVOKE(TIMER_START, pointer(e->region + DATA, 9), 9);
		e->code = m.trap == NULL ? (int32_t)slots_take(&m.timers) : 0;
		return;
	}
	INVOKE(TIMER_END, handle);
	e->code = slots_live(&m.timers, handle) ? 0 : ERRNO_NO_SUCH_CONSOLE_TIMER;
	if (e->code == 0) {
		slots_free(&m.timers, handle);
		m.logs++;
	}
}

static void log_line(void)
{
	struct expectation *e = operation();
	bool bad = any() < 64;
	uint32_t at = e->region + DATA;
	INVOKE(CONSOLE_LOG, any() % 5u, any() % 2 == 0 ? 0 : at, any(), 0, any(), any(), bad ? MEMORY - 4 : at, 5);
	m.logs += !bad;
}

static void others(void)
{
	struct expectation *e = operation();
	switch (any() % 7) {
	case 0:
		INVOKE(IDENTITY, pointer(e->region + OUT, 32));
		out_is(e, m.env.database_identity.le, 32);
		break;
	case 1:
		INVOKE(START_TX, 0);
		e->code = ERRNO_WOULD_BLOCK_TRANSACTION;
		break;
	case 2:
		INVOKE(any() % 2 == 0 ? COMMIT_TX : ABORT_TX, 0);
		e->code = ERRNO_TRANSACTION_NOT_ANONYMOUS;
		break;
	case 3:
		ends_with("procedure_sleep_until is only available in async instances");
		INVOKE(SLEEP_UNTIL, any());
		break;
	case 4:
		ends_with("procedure_http_request is only available in async instances");
		INVOKE(HTTP_REQUEST, 0, 0, 0, 0, 0);
		break;
	case 5:
		INVOKE(CLEAR, UNKNOWN, 0);
		ends_with("runtime error calling datastore_clear: internal db error");
		break;
	default:
		memset(m.in->memory + e->region + DATA, 'n', 20);
		INVOKE(IMMEDIATE, pointer(e->region + DATA, 10), 10, pointer(e->region + DATA, 20), 20);
		m.immediate += m.trap == NULL;
	}
}

static void (*const operations[])(void) = { insert, insert, insert, insert, update, insert_small, delete_eq, clear,
	row_count, names, scan, range, range, point, advance, advance, advance, close_iterator, jwt, read_source,
	read_source, remaining, write_sink, timers, log_line, others };

/* ---- after a call ---- */

static void check_operation(struct expectation *e, int32_t code)
{
	const uint8_t *region = m.in->memory + e->region;
	uint32_t len = load_u32(region + LEN);
	if (e->unordered != NULL) {
		struct expected_rows *it = e->unordered;
		ASSERT(code == 0 || code == SYSCALL_DONE || code == ERRNO_BUFFER_TOO_SMALL);
		if (code != ERRNO_BUFFER_TOO_SMALL) {
			ASSERT(len <= e->cap);
			buf_put(&it->bytes, region + DATA, len);
		}
		buf_put_u32(&it->advances, e->cap);
		buf_put_u32(&it->advances, (uint32_t)code);
		buf_put_u32(&it->advances, len);
		if (code == SYSCALL_DONE) {
			check_unordered(it);
			slots_free(&m.iterators, e->handle);
		}
		return;
	}
	ASSERT(code == e->code);
	ASSERT(!e->has_len || len == e->len);
	ASSERT(e->data.len == 0 || memcmp(region + DATA, e->data.data, e->data.len) == 0);
	static const uint8_t untouched[8] = { 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee };
	if (e->keeps_out)
		ASSERT(memcmp(region + OUT, untouched, 8) == 0);
	else if (e->out_len > 0)
		ASSERT(memcmp(region + OUT, e->out, e->out_len) == 0);
}

/* The code of operation `n`, as the script gives it in hex behind what went into the sink. */
static int32_t code_of(struct str text, uint32_t n)
{
	const char *hex = text.data + m.sink.len + 8 * n;
	uint8_t le[4];
	for (int i = 0; i < 4; i++) {
		char byte[3] = { hex[2 * i], hex[2 * i + 1], 0 };
		le[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return (int32_t)load_u32(le);
}

static void check_tables(void)
{
	struct store_cursor cursor;
	struct store_row row;
	struct expected_rows *it = &m.rows[0];
	memcpy(it->rows, m.now.big, sizeof(it->rows));
	buf_clear(&it->bytes);
	buf_clear(&it->advances);
	store_scan(store_table_by_id(m.env.store, m.big), &cursor);
	while (store_cursor_next(&cursor, &row))
		buf_put(&it->bytes, row.data, row.len);
	check_unordered(it);
	uint32_t count = 0;
	store_scan(store_table_by_id(m.env.store, m.small), &cursor);
	for (; store_cursor_next(&cursor, &row); count++)
		ASSERT(row.len == 2 && m.now.small[row.data[0]] && m.now.values[row.data[0]] == row.data[1]);
	for (uint32_t key = 0; key < KEYS; key++)
		count -= m.now.small[key];
	ASSERT(count == 0);
}

static void new_instance(void)
{
	struct buf error = BUF_INIT(1 << 12);
	runtime_instance_destroy(m.in);
	m.in = NULL;
	ASSERT(runtime_instance_create(program, &m.env, NULL, &m.in, &error) == WL_OK);
	ASSERT(m.in->ops->memory_size(m.in) == MEMORY);
	m.iterators = m.timers = (struct slots){ 0 };
	m.fresh = true;
	buf_deinit(&error);
}

static void one_call(void)
{
	m.count = m.source_count = 0;
	m.trap = NULL;
	m.over = false;
	buf_clear(&m.script);
	buf_clear(&m.sink);
	m.sources[1].live = false;
	m.source_count = 1;
	for (uint32_t left = any() % OPERATIONS_MAX + 1; left > 0 && !m.over && reader_left(&m.input) > 0; left--)
		operations[any() % ARRAY_COUNT(operations)]();
	struct runtime_call call = { .name = STR("script"), .timestamp = 1, .args = buf_bytes(&m.script) };
	struct runtime_result result;
	enum runtime_outcome outcome = runtime_call_reducer(m.in, &call, &result);
	ASSERT(m.logs == m.logs_seen && m.immediate == m.immediate_seen);
	if (m.trap != NULL) {
		ASSERT(outcome == RUNTIME_TRAP);
		struct buf text = BUF_INIT(1 << 20);
		buf_put_str(&text, result.text);
		ASSERT(strstr(buf_text(&text), m.trap) != NULL);
		buf_deinit(&text);
		m.now = m.committed;
		store_tx_rollback(m.env.store);
		store_tx_begin(m.env.store);
		new_instance();
		check_tables();
		return;
	}
	m.fresh = false;
	ASSERT(outcome == RUNTIME_USER_ERROR && result.text.len == m.sink.len + 8 * m.count);
	ASSERT(m.sink.len == 0 || memcmp(result.text.data, m.sink.data, m.sink.len) == 0);
	for (uint32_t i = 0; i < m.count; i++)
		check_operation(&m.expected[i], code_of(result.text, i));
	check_tables();
}

static void end_transaction(void)
{
	uint8_t how = any() % 4;
	struct store_delta delta;
	if (how > 1)
		return; /* the next call goes on in it */
	if (how == 0) {
		ASSERT(store_tx_commit(m.env.store, &delta) == STORE_OK);
		m.committed = m.now;
	} else {
		store_tx_rollback(m.env.store);
		m.now = m.committed;
	}
	store_tx_begin(m.env.store);
	check_tables();
}

/* ---- set-up ---- */

static void count_log(void *context, const struct runtime_log *record)
{
	(void)context;
	ASSERT(record->level <= 5);
	m.logs_seen++;
}

static void count_immediate(void *context, struct str reducer, struct bytes args)
{
	(void)context;
	ASSERT(reducer.len == 10 && args.len == 20);
	m.immediate_seen++;
}

static void make_tables(struct arena *arena)
{
	static const uint16_t c0 = 0, c1 = 1;
	const struct sats_type *u8 = &sats_primitive[SATS_U8];
	for (int i = 0; i < 2; i++) {
		const char *name = i == 0 ? "big" : "small";
		struct store_column columns[] = { { STR("id"), STR("id"), u8 }, { STR("tag"), STR("tag"), u8 },
			{ STR("data"), STR("data"), &sats_bytes } };
		struct sats_element elements[3];
		for (int k = 0; k < 3; k++)
			elements[k] = (struct sats_element){ columns[k].name, columns[k].type };
		struct store_index_def indexes[] = {
			{ .name = i == 0 ? STR("big_id") : STR("small_key"), .kind = i == 0 ? STORE_BTREE : STORE_HASH,
				.unique = true, .column_count = 1, .columns = &c0 },
			{ .name = STR("big_tag"), .kind = STORE_BTREE, .column_count = 1, .columns = &c1 },
		};
		struct store_constraint_def unique = { .name = i == 0 ? STR("big_u") : STR("small_u"), .column_count = 1,
			.columns = &c0 };
		struct store_sequence_def sequence = { .name = STR("big_s"), .start = 1, .min = 1,
			.max = ((i128)1 << 126) - 1 + ((i128)1 << 126), .increment = 1 };
		uint32_t column_count = i == 0 ? 3 : 2;
		struct store_table_def def = { .name = str_of(name), .accessor = str_of(name),
			.row_type = sats_product_of(arena, elements, column_count), .column_count = column_count,
			.columns = columns, .index_count = i == 0 ? 2 : 1, .indexes = indexes, .constraint_count = 1,
			.constraints = &unique, .sequence_count = i == 0, .sequences = &sequence, .primary_key = 0,
			.schedule_at = -1 };
		struct store_table *table;
		ASSERT(store_table_create(m.env.store, &def, &table) == STORE_OK);
		*(i == 0 ? &m.big : &m.small) = store_table_def(table)->id;
	}
	m.id_index = store_index_def(store_index_by_name(m.env.store, STR("big_id")))->id;
	m.tag_index = store_index_def(store_index_by_name(m.env.store, STR("big_tag")))->id;
	m.key_index = store_index_def(store_index_by_name(m.env.store, STR("small_key")))->id;
	uint8_t credentials[16 + 4 + TOKEN_BYTES];
	memset(credentials, 7, 16);
	store_u32(credentials + 16, TOKEN_BYTES);
	for (uint32_t i = 0; i < TOKEN_BYTES; i++)
		credentials[20 + i] = token_byte(i);
	size_t len = sizeof(credentials);
	ASSERT(store_insert(m.env.store, store_table_by_id(m.env.store, ST_CONNECTION_CREDENTIALS), credentials, &len, NULL)
		== STORE_OK);
	struct store_delta delta;
	ASSERT(store_tx_commit(m.env.store, &delta) == STORE_OK);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (system("sh tests/unit/data/runtime/build.sh build/guests") != 0)
		exit(0);
	FILE *file = fopen("build/guests/script.wasm", "rb");
	static uint8_t code[1 << 16];
	size_t len = file != NULL ? fread(code, 1, sizeof(code), file) : 0;
	struct runtime_options options = { .call_ms_max = 0 };
	struct buf error = BUF_INIT(1 << 16);
	uint8_t hash[32];
	runtime = mem_or_abort(runtime_create(&options, NULL));
	native_keccak256(code, len, hash);
	if (runtime_compile(runtime, RUNTIME_WASM, (struct bytes){ code, len }, hash, &program, &error) != WL_OK)
		abort();
	fclose(file);
	buf_init(&m.script, 1 << 16);
	buf_init(&m.sink, 1 << 16);
	for (int i = 0; i <= HANDLES_MAX; i++) {
		buf_init(&m.rows[i].bytes, 64 << 20);
		buf_init(&m.rows[i].advances, 64 << 20);
	}
	for (int i = 0; i < OPERATIONS_MAX; i++)
		buf_init(&m.expected[i].data, 1 << 20);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	arena_init(&arena, 1 << 20);
	m.env = (struct runtime_env){ .store = mem_or_abort(store_create()), .log = count_log,
		.schedule_immediate = count_immediate };
	memset(m.env.database_identity.le, 0xda, 32);
	m.input = reader_of(data, size);
	m.now = m.committed = (struct tables){ 0 };
	m.next_id = 1;
	m.logs = m.logs_seen = m.immediate = m.immediate_seen = 0;
	new_instance();
	store_tx_begin(m.env.store);
	make_tables(&arena);
	store_tx_begin(m.env.store);
	while (reader_left(&m.input) > 0) {
		one_call();
		end_transaction();
	}
	store_tx_rollback(m.env.store);
	runtime_instance_destroy(m.in);
	m.in = NULL;
	store_destroy(m.env.store);
	arena_deinit(&arena);
	return 0;
}
