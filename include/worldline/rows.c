/* SPDX-License-Identifier: Apache-2.0 */
/* Tables at run time: names to numbers, scans, the rows of loops and of views. */
#include "worldline/runtime.h"

static void put(struct wl_writer *w, const char *text)
{
	wl_write(w, text, strlen(text));
}

void wl_table_failed(const char *what, const char *table, u32 code)
{
	struct wl_writer w = wl_writer();
	char digits[2] = { (char)('0' + code / 10), (char)('0' + code % 10) }; /* there are 21 */
	put(&w, "cannot ");
	put(&w, what);
	put(&w, " ");
	put(&w, table);
	put(&w, code == WL_NOT_IN_TRANSACTION ? ": there is no transaction, error " : ": error ");
	wl_write(&w, digits, 2);
	wl_stop_text(&w);
}

u32 wl_table_id(u32 *cache, const char *name)
{
	u32 id = 0;
	u32 code = wl_abi_table_id(name, strlen(name), &id);
	if (code != 0)
		wl_table_failed("find", name, code);
	*cache = id + 1;
	return id;
}

u32 wl_index_id(u32 *cache, const char *name)
{
	u32 id = 0;
	u32 code = wl_abi_index_id(name, strlen(name), &id);
	if (code != 0)
		wl_table_failed("find the index", name, code);
	*cache = id + 1;
	return id;
}

/* ---- scans ---- */

static struct wl_rows opened(u32 code, u32 handle, size_t size)
{
	if (code != 0)
		wl_table_failed("read", "rows", code);
	struct wl_rows rows = wl_rows_none(size);
	rows.handle = handle;
	rows.is_open = true;
	return rows;
}

struct wl_rows wl_scan_all(u32 table)
{
	u32 handle = 0;
	u32 code = wl_abi_scan(table, &handle);
	return opened(code, handle, WL_ROWS_MANY);
}

/* All columns of an index: a point. Fewer: everything with that prefix. */
struct wl_rows wl_scan_point(u32 index, const struct wl_key *key, u32 of)
{
	static const u8 unbounded = 2;
	u32 handle = 0, code;
	size_t len = wl_written(&key->w);
	if (key->columns == of)
		code = wl_abi_scan_point(index, key->w.begin, len, &handle);
	else
		code = wl_abi_scan_range(index, key->w.begin, len, key->columns, &unbounded, 1, &unbounded, 1, &handle);
	return opened(code, handle, WL_ROWS_FEW);
}

struct wl_rows wl_scan_range(u32 index, const struct wl_key *key)
{
	u32 handle = 0;
	const u8 *at = key->w.begin;
	u32 code = wl_abi_scan_range(index, at, key->prefix, key->columns, at + key->prefix, key->low - key->prefix,
		at + key->low, wl_written(&key->w) - key->low, &handle);
	return opened(code, handle, WL_ROWS_MANY);
}

u32 wl_delete_point(u32 index, const struct wl_key *key)
{
	u32 count = 0;
	u32 code = wl_abi_delete_point(index, key->w.begin, wl_written(&key->w), &count);
	if (code != 0)
		wl_table_failed("delete from", "an index", code);
	return count;
}

u32 wl_delete_range(u32 index, const struct wl_key *key)
{
	u32 count = 0;
	const u8 *at = key->w.begin;
	u32 code = wl_abi_delete_range(index, at, key->prefix, key->columns, at + key->prefix, key->low - key->prefix,
		at + key->low, wl_written(&key->w) - key->low, &count);
	if (code != 0)
		wl_table_failed("delete from", "an index", code);
	return count;
}

/* ---- the rows of a loop ---- */

/* A buffer with nothing taken behind it is given back. */
static void give_back(struct wl_rows *rows, const u8 *to)
{
	if (rows->buffer != NULL && wl_arena.top == rows->buffer + rows->size)
		wl_arena.top = (u8 *)(uintptr_t)to;
}

static void make_buffer(struct wl_rows *rows, size_t size)
{
	give_back(rows, rows->buffer);
	rows->size = size;
	rows->buffer = wl_alloc(size);
}

bool wl_rows_more(struct wl_rows *rows)
{
	while (rows->is_open) {
		if (rows->buffer == NULL)
			make_buffer(rows, rows->size);
		size_t len = rows->size;
		i32 code = wl_abi_advance(rows->handle, rows->buffer, &len);
		if (code == WL_BUFFER_TOO_SMALL) { /* for one row: len is what it needs */
			make_buffer(rows, len);
			continue;
		}
		if (code > 0)
			wl_table_failed("read", "rows", (u32)code);
		rows->is_open = code == 0;
		rows->reader.at = rows->buffer;
		rows->reader.end = rows->buffer + len;
		if (len > 0)
			return true;
	}
	return false;
}

void wl_rows_end(struct wl_rows *rows)
{
	if (rows->is_open)
		(void)wl_abi_close(rows->handle);
	rows->is_open = false;
	give_back(rows, rows->buffer);
}

void wl_found_end(struct wl_rows *rows, bool keeps)
{
	if (rows->is_open)
		(void)wl_abi_close(rows->handle);
	give_back(rows, keeps ? rows->reader.end : rows->buffer);
}

/* ---- the rows of a view ---- */

static struct {
	u8 *data;
	size_t len, cap;
	u32 count;
} emitted;

void wl_emitted(const struct wl_writer *w)
{
	size_t len = wl_written(w);
	if (emitted.cap - emitted.len < len) {
		size_t cap = emitted.cap < 4096 ? 4096 : emitted.cap * 2;
		while (cap - emitted.len < len)
			cap *= 2;
		wl_write_keep(w);
		u8 *grown = wl_alloc(cap);
		memcpy(grown, emitted.data, emitted.len);
		emitted.data = grown;
		emitted.cap = cap;
	}
	memcpy(emitted.data + emitted.len, w->begin, len);
	emitted.len += len;
	emitted.count++;
}

enum { VIEW_ROWS, VIEW_QUERY, VIEW_HAS_HEADER = 2 };

i32 wl_view_end(u32 sink)
{
	u8 head[5] = { VIEW_ROWS };
	memcpy(head + 1, &emitted.count, 4);
	wl_sink_put(sink, head, sizeof(head));
	wl_sink_put(sink, emitted.data, emitted.len);
	return VIEW_HAS_HEADER;
}

i32 wl_query_view_end(str query, u32 sink)
{
	u8 head[5] = { VIEW_QUERY };
	memcpy(head + 1, &query.len, 4);
	wl_sink_put(sink, head, sizeof(head));
	wl_sink_put(sink, query.data, query.len);
	return VIEW_HAS_HEADER;
}

i32 wl_reducer_end(struct wl_status status, u32 sink)
{
	if (status.failed)
		wl_sink_put(sink, status.text.data, status.text.len);
	return status.failed;
}

/* ---- calls ---- */

#define WHO u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 micros

static i32 run(u32 section, u32 id, u32 mask, u32 flags, WHO, u32 args, u32 sink)
{
	u8 *mark = wl_arena.top;
	u64 chance = wl_chance;
	const struct wl_function *function = wl_item_at(section, id, mask, flags);
	struct wl_ctx ctx;
	wl_call_begin(&ctx, s0, s1, s2, s3, c0, c1, micros);
	emitted.data = NULL;
	emitted.len = emitted.cap = emitted.count = 0;
	bytes data = wl_source_take(args);
	struct wl_reader r = { data.data, data.data + data.len };
	i32 code = function->run(&ctx, &r, sink);
	wl_arena.top = mark;
	if (section == WL_VIEWS) /* a host may ask inside a procedure's commit */
		wl_chance = chance;
	return code;
}

i32 wl_migrate(struct wl_status (*migrate)(const struct wl_ctx *ctx), u64 micros, u32 sink)
{
	u8 *mark = wl_arena.top;
	struct wl_ctx ctx;
	wl_call_begin(&ctx, 0, 0, 0, 0, 0, 0, micros);
	i32 code = wl_reducer_end(migrate(&ctx), sink);
	wl_arena.top = mark;
	return code;
}

#define EXPORT(name) __attribute__((export_name(#name)))

EXPORT(__call_reducer__) i32 wl_export_reducer(u32 id, WHO, u32 args, u32 sink)
{
	return run(WL_REDUCERS, id, 0, 0, s0, s1, s2, s3, c0, c1, micros, args, sink);
}

EXPORT(__call_procedure__) i32 wl_export_procedure(u32 id, WHO, u32 args, u32 sink)
{
	return run(WL_PROCEDURES, id, 0, 0, s0, s1, s2, s3, c0, c1, micros, args, sink);
}

EXPORT(__call_view__) i32 wl_export_view(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u32 args, u32 sink)
{
	return run(WL_VIEWS, id, WL_ANONYMOUS, 0, s0, s1, s2, s3, 0, 0, 0, args, sink);
}

EXPORT(__call_view_anon__) i32 wl_export_view_anon(u32 id, u32 args, u32 sink)
{
	return run(WL_VIEWS, id, WL_ANONYMOUS, WL_ANONYMOUS, 0, 0, 0, 0, 0, 0, 0, args, sink);
}
