/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a module says of itself: its items, which constructors put in a row, as
 * a RawModuleDef of version 10 (docs/c-modules.md). A header with declarations
 * may be part of several sources: what is the same as something before it is
 * that thing. What has its name only stays, and the host refuses the two.
 */
#include "worldline/runtime.h"

#include "worldline/http.h"

static struct wl_item *items, **last = &items;

void wl_declare(struct wl_item *item)
{
	*last = item;
	last = &item->next;
}

extern void __wasm_call_ctors(void);
__attribute__((export_name("_initialize"))) void wl_export_initialize(void)
{
	__wasm_call_ctors();
}

static bool same(const char *a, const char *b)
{
	size_t len = strlen(a);
	return len == strlen(b) && memcmp(a, b, len) == 0;
}

static bool same_type(const struct wl_type *a, const struct wl_type *b, bool by_name)
{
	if (a == b)
		return true;
	if (by_name && (a->name != NULL || b->name != NULL)) /* items themselves */
		return a->name != NULL && b->name != NULL && same(a->name, b->name);
	if (a->tag != b->tag || a->count != b->count)
		return false;
	for (u32 i = 0; i < a->count; i++) {
		const struct wl_element *one = &a->elements[i], *two = &b->elements[i];
		if ((one->name != NULL && !same(one->name, two->name)) || !same_type(one->type, two->type, true))
			return false;
	}
	return true;
}

static bool same_table(const struct wl_table *a, const struct wl_table *b)
{
	if (a->flags != b->flags || !same_type(a->type, b->type, false))
		return false;
	for (u32 i = 0; i < a->type->count; i++)
		if (a->columns[i].flags != b->columns[i].flags)
			return false;
	return true;
}

static bool same_index(const struct wl_index *a, const struct wl_index *b)
{
	u32 i = 0;
	while (a->columns[i] != NULL && b->columns[i] != NULL && same(a->columns[i], b->columns[i]))
		i++;
	return a->kind == b->kind && a->columns[i] == b->columns[i]; /* both ended */
}

static bool same_item(const struct wl_item *a, const struct wl_item *b)
{
	if (a->section != b->section || a->name == NULL || b->name == NULL || !same(a->name, b->name))
		return false;
	return a->section == WL_TYPES ? same_type(a->data, b->data, false)
		: a->section == WL_TABLES ? same_table(a->data, b->data)
		: a->section == WL_INDEXES && same_index(a->data, b->data);
}

static void drop_repeated(void)
{
	for (struct wl_item *item = items; item != NULL; item = item->next)
		for (struct wl_item **at = &item->next; *at != NULL;) {
			struct wl_item *other = *at;
			if (!same_item(item, other)) {
				at = &other->next;
				continue;
			}
			if (item->section == WL_TYPES) /* it lends its number */
				((const struct wl_type *)other->data)->state->first = item->data;
			*at = other->next;
		}
}

/* The next item of a section; NULL at the end. */
static const struct wl_item *next(const struct wl_item *item, u32 section)
{
	item = item == NULL ? items : item->next;
	while (item != NULL && item->section != section)
		item = item->next;
	return item;
}

const void *wl_item_at(u32 section, u32 id, u32 mask, u32 flags)
{
	enum { KEPT = 64 };
	static const void *reducers[KEPT]; /* what is called most is found once */
	bool is_kept = section == WL_REDUCERS && id < KEPT;
	if (is_kept && reducers[id] != NULL)
		return reducers[id];
	u32 left = id;
	for (const struct wl_item *item = NULL; (item = next(item, section)) != NULL;) {
		if ((mask != 0 && (((const struct wl_function *)item->data)->flags & mask) != flags) || left-- > 0)
			continue;
		if (is_kept)
			reducers[id] = item->data;
		return item->data;
	}
	wl_stop("the host calls a function that the module does not have");
}

/* ---- pieces ---- */

static void put_u8(struct wl_writer *w, u8 n)
{
	wl_put_u8(w, &n);
}

static void put_u16(struct wl_writer *w, u16 n)
{
	wl_put_u16(w, &n);
}

static void put_u32(struct wl_writer *w, u32 n)
{
	wl_put_u32(w, &n);
}

static void put_text(struct wl_writer *w, const char *text)
{
	str s = wl_str_of(text, strlen(text));
	wl_put_str(w, &s);
}

enum { SOME, NONE };

static void put_type(struct wl_writer *w, const struct wl_type *type);

static void put_elements(struct wl_writer *w, const struct wl_element *elements, u32 count)
{
	put_u32(w, count);
	for (u32 i = 0; i < count; i++) {
		put_u8(w, SOME);
		put_text(w, elements[i].name);
		put_type(w, elements[i].type);
	}
}

static void put_body(struct wl_writer *w, const struct wl_type *type)
{
	put_u8(w, type->tag);
	if (type->tag == WL_TAG_SUM || type->tag == WL_TAG_PRODUCT)
		put_elements(w, type->elements, type->count);
	else if (type->tag == WL_TAG_ARRAY)
		put_type(w, type->elements[0].type);
}

static void put_type(struct wl_writer *w, const struct wl_type *type)
{
	if (type->name == NULL) {
		put_body(w, type);
		return;
	}
	put_u8(w, WL_TAG_REF);
	put_u32(w, (type->state->first == NULL ? type : type->state->first)->state->ref);
}

static void number_types(void)
{
	u32 count = 0;
	for (const struct wl_item *item = NULL; (item = next(item, WL_TYPES)) != NULL;)
		((const struct wl_type *)item->data)->state->ref = count++;
}

void wl_put_item_type(struct wl_writer *w, const void *data)
{
	const struct wl_type *type = data;
	put_u32(w, 0); /* no scope */
	put_text(w, type->name);
	put_u32(w, type->state->ref);
	put_u8(w, true); /* in the order written */
}

static u16 column_of(const struct wl_type *type, const char *name)
{
	for (u32 i = 0; i < type->count; i++)
		if (same(type->elements[i].name, name))
			return (u16)i;
	wl_stop("an index or a schedule of a column that its table does not have");
}

/* ---- tables ---- */

struct counter { /* an array whose length is known at its end */
	size_t at;
	u32 count;
};

static struct counter array_begin(struct wl_writer *w)
{
	struct counter c = { wl_written(w), 0 };
	put_u32(w, 0);
	return c;
}

static void array_end(const struct wl_writer *w, const struct counter *c)
{
	memcpy(w->begin + c->at, &c->count, sizeof(c->count));
}

enum { INDEX_BTREE, INDEX_HASH, INDEX_DIRECT };

/* Its names and kind; its columns follow. */
static void put_index_head(struct wl_writer *w, const char *table, const char *name, u32 kind)
{
	static const char kinds[3][8] = { "_btree", "_hash", "_direct" };
	put_u8(w, SOME);
	struct counter source = array_begin(w);
	size_t at = wl_written(w);
	wl_write(w, table, strlen(table));
	wl_write(w, "_", 1);
	wl_write(w, name, strlen(name));
	wl_write(w, "_idx", 4);
	wl_write(w, kinds[kind], strlen(kinds[kind]));
	source.count = wl_written(w) - at;
	array_end(w, &source);
	put_u8(w, SOME);
	put_text(w, name);
	put_u8(w, (u8)kind);
}

void wl_put_item_index(struct wl_writer *w, const void *data)
{
	const struct wl_index *index = data;
	const struct wl_item *table = next(NULL, WL_TABLES);
	while (table != NULL && !same(table->name, index->table))
		table = next(table, WL_TABLES);
	put_index_head(w, index->table, index->name, index->kind);
	struct counter c = array_begin(w);
	for (; table != NULL && index->columns[c.count] != NULL; c.count++)
		put_u16(w, column_of(((const struct wl_table *)table->data)->type, index->columns[c.count]));
	array_end(w, &c);
}

static void put_indexes(struct wl_writer *w, const struct wl_table *table)
{
	struct counter c = array_begin(w);
	for (u32 i = 0; i < table->type->count; i++) {
		u32 flags = table->columns[i].flags, kind = flags & WL_BTREE ? INDEX_BTREE : flags & WL_HASH ? INDEX_HASH
			: INDEX_DIRECT;
		if (!(flags & WL_INDEXED))
			continue;
		put_index_head(w, table->type->name, table->type->elements[i].name, kind);
		if (kind != INDEX_DIRECT)
			put_u32(w, 1);
		put_u16(w, (u16)i);
		c.count++;
	}
	for (const struct wl_item *item = NULL; (item = next(item, WL_INDEXES)) != NULL;)
		if (same(((const struct wl_index *)item->data)->table, table->type->name)) {
			item->put(w, item->data);
			c.count++;
		}
	array_end(w, &c);
}

static void put_defaults(struct wl_writer *w, const struct wl_table *table)
{
	struct counter c = array_begin(w);
	for (u32 i = 0; i < table->type->count; i++) {
		if (table->columns[i].put_default == NULL)
			continue;
		put_u16(w, (u16)i);
		size_t at = wl_written(w);
		put_u32(w, 0);
		table->columns[i].put_default(w);
		u32 len = wl_written(w) - at - 4;
		memcpy(w->begin + at, &len, sizeof(len));
		c.count++;
	}
	array_end(w, &c);
}

/* The columns with any of these flags. */
static void put_columns(struct wl_writer *w, const struct wl_table *table, u32 flags, const u8 *before, u32 before_len,
	const u8 *behind, u32 behind_len)
{
	struct counter c = array_begin(w);
	for (u32 i = 0; i < table->type->count; i++)
		if (table->columns[i].flags & flags) {
			wl_write(w, before, before_len);
			put_u16(w, (u16)i);
			wl_write(w, behind, behind_len);
			c.count++;
		}
	array_end(w, &c);
}

void wl_put_item_table(struct wl_writer *w, const void *data)
{
	static const u8 unique_of_one[] = { NONE, 0, 1, 0, 0, 0 }, from_one_by_one[3 + 16] = { NONE, NONE, NONE, 1 };
	const struct wl_table *table = data;
	const struct wl_type *type = table->type;
	put_text(w, type->name);
	put_u32(w, type->state->ref);
	put_columns(w, table, WL_KEY, NULL, 0, NULL, 0);
	put_indexes(w, table);
	put_columns(w, table, WL_IS_UNIQUE, unique_of_one, sizeof(unique_of_one), NULL, 0);
	put_columns(w, table, WL_AUTO_INC, unique_of_one, 1, from_one_by_one, sizeof(from_one_by_one));
	put_u8(w, 1); /* not of the system */
	put_u8(w, (table->flags & WL_PRIVATE) != 0);
	put_defaults(w, table);
	put_u8(w, (table->flags & WL_EVENT) != 0);
}

/* ---- functions ---- */

enum { CALLABLE = 1 };

static void put_head(struct wl_writer *w, const struct wl_function *f)
{
	put_text(w, f->name);
	put_elements(w, f->parameters, f->parameter_count);
}

void wl_put_item_reducer(struct wl_writer *w, const void *data)
{
	static const u8 unit_or_string[] = { CALLABLE, WL_TAG_PRODUCT, 0, 0, 0, 0, WL_TAG_STRING };
	put_head(w, data);
	wl_write(w, unit_or_string, sizeof(unit_or_string));
}

void wl_put_item_procedure(struct wl_writer *w, const void *data)
{
	put_head(w, data);
	put_type(w, ((const struct wl_function *)data)->returns);
	put_u8(w, CALLABLE);
}

void wl_put_item_view(struct wl_writer *w, const void *data)
{
	const struct wl_function *f = data;
	u32 number = 0, anonymous = f->flags & WL_ANONYMOUS;
	while (wl_item_at(WL_VIEWS, number, WL_ANONYMOUS, anonymous) != f)
		number++;
	put_text(w, f->name);
	put_u32(w, number);
	put_u8(w, true); /* public */
	put_u8(w, anonymous != 0);
	put_elements(w, f->parameters, f->parameter_count);
	if (f->flags & WL_RETURNS_QUERY) {
		put_u8(w, WL_TAG_PRODUCT);
		put_u32(w, 1);
		put_u8(w, SOME);
		put_text(w, "__query__");
	} else {
		put_u8(w, WL_TAG_ARRAY);
	}
	put_type(w, f->returns);
}

void wl_put_item_view_key(struct wl_writer *w, const void *data)
{
	const struct wl_view_key *key = data;
	put_text(w, key->view->name);
	put_u32(w, 1);
	put_text(w, key->column);
}

void wl_put_item_schedule(struct wl_writer *w, const void *data)
{
	const struct wl_schedule *schedule = data;
	put_u8(w, NONE);
	put_text(w, schedule->table->name);
	put_u16(w, column_of(schedule->table, schedule->column));
	put_text(w, schedule->function->name);
}

void wl_put_item_lifecycle(struct wl_writer *w, const void *data)
{
	static const char *const names[] = { "init", "client_connected", "client_disconnected" };
	put_u8(w, (u8)(size_t)data);
	put_text(w, names[(size_t)data]);
}

void wl_put_item_text(struct wl_writer *w, const void *data)
{
	put_text(w, data);
}

void wl_put_item_variable(struct wl_writer *w, const void *data)
{
	const struct wl_variable *variable = data;
	put_text(w, variable->name);
	put_u8(w, variable->choices == NULL ? 0 : 2); /* any string; one of several */
	if (variable->choices != NULL) {
		struct counter c = array_begin(w);
		for (; variable->choices[c.count] != NULL; c.count++)
			put_text(w, variable->choices[c.count]);
		array_end(w, &c);
	}
	put_u8(w, variable->optional);
}

void wl_put_item_handler(struct wl_writer *w, const void *data)
{
	put_text(w, ((const struct wl_handler *)data)->name);
}

void wl_put_item_route(struct wl_writer *w, const void *data)
{
	const struct wl_route *route = data;
	put_text(w, route->handler->name);
	put_u8(w, route->method >= 0);
	if (route->method >= 0)
		put_u8(w, (u8)route->method);
	put_text(w, route->path);
}

/* ---- the whole ---- */

static void put_typespace(struct wl_writer *w, const void *data)
{
	put_body(w, data);
}

/* One section; `put` instead of what the items have, if it is not NULL. */
static void put_section(struct wl_writer *w, u8 number, u32 of, void (*put)(struct wl_writer *, const void *),
	struct counter *sections)
{
	size_t before = wl_written(w);
	put_u8(w, number);
	struct counter c = array_begin(w);
	for (const struct wl_item *item = NULL; (item = next(item, of)) != NULL; c.count++)
		(put == NULL ? item->put : put)(w, item->data);
	array_end(w, &c);
	if (c.count == 0)
		w->at = w->begin + before;
	sections->count += c.count > 0;
}

__attribute__((export_name("__describe_module__"))) void wl_export_describe(u32 sink)
{
	struct wl_writer w = wl_writer();
	drop_repeated();
	number_types();
	put_u8(&w, 2); /* version 10 */
	struct counter sections = array_begin(&w);
	put_u8(&w, WL_CASE);
	put_u8(&w, 0); /* names stay as they are written */
	sections.count = 1;
	put_section(&w, 0, WL_TYPES, put_typespace, &sections);
	for (u8 section = WL_TYPES; section <= WL_ENVIRONMENT; section++)
		put_section(&w, section, section, NULL, &sections);
	array_end(&w, &sections);
	wl_sink_put(sink, w.begin, wl_written(&w));
}

/* ---- the types of types.h ---- */

#define PLAIN(T, tag) const struct wl_type wl_type_##T = { tag, 0, NULL, NULL, NULL };
PLAIN(u8, WL_TAG_U8)
PLAIN(u16, WL_TAG_U16)
PLAIN(u32, WL_TAG_U32)
PLAIN(u64, WL_TAG_U64)
PLAIN(u128, WL_TAG_U128)
PLAIN(u256, WL_TAG_U256)
PLAIN(i8, WL_TAG_I8)
PLAIN(i16, WL_TAG_I16)
PLAIN(i32, WL_TAG_I32)
PLAIN(i64, WL_TAG_I64)
PLAIN(i128, WL_TAG_I128)
PLAIN(i256, WL_TAG_I256)
PLAIN(f32, WL_TAG_F32)
PLAIN(f64, WL_TAG_F64)
#undef bool
PLAIN(bool, WL_TAG_BOOL)
#define bool _Bool
PLAIN(str, WL_TAG_STRING)
const struct wl_type wl_type_unit = { WL_TAG_PRODUCT, 0, NULL, NULL, NULL };

#define WRAPPED(T, tag, name, inner) \
	static const struct wl_element elements_##T[] = { { name, &wl_type_##inner } }; \
	const struct wl_type wl_type_##T = { tag, 1, elements_##T, NULL, NULL };
WRAPPED(bytes, WL_TAG_ARRAY, NULL, u8)
WRAPPED(identity, WL_TAG_PRODUCT, "__identity__", u256)
WRAPPED(connection_id, WL_TAG_PRODUCT, "__connection_id__", u128)
WRAPPED(uuid, WL_TAG_PRODUCT, "__uuid__", u128)
WRAPPED(timestamp, WL_TAG_PRODUCT, "__timestamp_micros_since_unix_epoch__", i64)
WRAPPED(duration, WL_TAG_PRODUCT, "__time_duration_micros__", i64)
static const struct wl_element elements_schedule_at[] = { { "Interval", &wl_type_duration },
	{ "Time", &wl_type_timestamp } };
const struct wl_type wl_type_schedule_at = { WL_TAG_SUM, 2, elements_schedule_at, NULL, NULL };
