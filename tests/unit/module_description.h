/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODULE_DESCRIPTION_H
#define MODULE_DESCRIPTION_H
/*
 * Builds module descriptions for tests from short notations, and runs
 * module_def_create on them.
 *
 * Types: u64 … bool string, identity timestamp schedule_at, &3, [T], ?T,
 * R(T,E), (a:T,b:U) product (an empty name is no name), {a:T|b:U} sum.
 * Indexes: "btree SOURCE ACCESSOR 0,1; direct SOURCE - 0" ('-' is none).
 * Unique constraints: "0; 0,1". Sequences: "0" or "0 start min max increment"
 * ('-' is none). Column lists: "0,1".
 */
#include "module/module.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum description_list {
	D_TYPESPACE, D_TYPES, D_TABLES, D_REDUCERS, D_PROCEDURES, D_VIEWS, D_SCHEDULES, D_LIFECYCLES, D_RLS, D_POLICY,
	D_NAMES, D_HANDLERS, D_ROUTES, D_VIEW_KEYS, D_SUBMODULES, D_ENVIRONMENT, D_OUTBOXES, D_MISC, D_COUNT
};
struct description {
	int version; /* 9 or 10 */
	struct buf lists[D_COUNT];
	uint32_t counts[D_COUNT];
	bool present[D_COUNT];
};
#define HELPER static __attribute__((unused))

HELPER void description_init(struct description *d, int version)
{
	memset(d, 0, sizeof(*d));
	d->version = version;
	for (int i = 0; i < D_COUNT; i++)
		buf_init(&d->lists[i], 1 << 24);
}

HELPER void description_deinit(struct description *d)
{
	for (int i = 0; i < D_COUNT; i++)
		buf_deinit(&d->lists[i]);
}

HELPER struct buf *description_add(struct description *d, enum description_list list)
{
	d->counts[list]++;
	d->present[list] = true;
	return &d->lists[list];
}

HELPER void put_s(struct buf *b, const char *s)
{
	buf_put_bsatn_str(b, str_of(s));
}

HELPER void put_optional_s(struct buf *b, const char *s)
{
	buf_put_u8(b, s == NULL);
	if (s != NULL)
		put_s(b, s);
}

/* ---- types ---- */

HELPER const char *put_type_at(struct buf *b, const char *at);

/* "name:T" members up to `end`. */
HELPER const char *put_members(struct buf *b, const char *at, char separator, char end)
{
	struct buf items;
	uint32_t count = 0;
	buf_init(&items, 1 << 20);
	while (*at != end) {
		const char *colon = strchr(at, ':');
		buf_put_u8(&items, colon == at);
		if (colon != at)
			buf_put_bsatn_str(&items, (struct str){ at, (size_t)(colon - at) });
		at = put_type_at(&items, colon + 1);
		count++;
		if (*at == separator)
			at++;
	}
	buf_put_u32(b, count);
	buf_put(b, items.data, items.len);
	buf_deinit(&items);
	return at + 1;
}

HELPER const char *put_named_type(struct buf *b, const char *at)
{
	static const char *const primitives[] = {
		"string", "bool", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "i128", "u128", "i256", "u256", "f32",
			"f64",
	};
	static const char *const specials[][2] = {
		{ "identity", "(__identity__:u256)" }, { "connection_id", "(__connection_id__:u128)" },
		{ "timestamp", "(__timestamp_micros_since_unix_epoch__:i64)" }, { "duration",
			"(__time_duration_micros__:i64)" },
		{ "schedule_at", "{Interval:duration|Time:timestamp}" }, { "unit", "()" }, { "bytes", "[u8]" },
	};
	size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz_0123456789");
	for (size_t i = 0; i < ARRAY_COUNT(primitives); i++) {
		if (strlen(primitives[i]) == len && memcmp(primitives[i], at, len) == 0) {
			buf_put_u8(b, (uint8_t)(i + 4));
			return at + len;
		}
	}
	for (size_t i = 0; i < ARRAY_COUNT(specials); i++) {
		if (strlen(specials[i][0]) == len && memcmp(specials[i][0], at, len) == 0) {
			put_type_at(b, specials[i][1]);
			return at + len;
		}
	}
	ck_abort_msg("no such type: %s", at);
}

HELPER const char *put_type_at(struct buf *b, const char *at)
{
	char *end;
	switch (*at) {
	case '&':
		buf_put_u8(b, 0);
		buf_put_u32(b, (uint32_t)strtoul(at + 1, &end, 10));
		return end;
	case '[':
		buf_put_u8(b, 3);
		return put_type_at(b, at + 1) + 1;
	case '(':
		buf_put_u8(b, 2);
		return put_members(b, at + 1, ',', ')');
	case '{':
		buf_put_u8(b, 1);
		return put_members(b, at + 1, '|', '}');
	case '?':
		buf_put_u8(b, 1);
		buf_put_u32(b, 2);
		put_optional_s(b, "some");
		at = put_type_at(b, at + 1);
		put_optional_s(b, "none");
		put_type_at(b, "()");
		return at;
	case 'R':
		buf_put_u8(b, 1);
		buf_put_u32(b, 2);
		put_optional_s(b, "ok");
		at = put_type_at(b, at + 2);
		put_optional_s(b, "err");
		return put_type_at(b, at + 1) + 1;
	default:
		return put_named_type(b, at);
	}
}

HELPER void put_type(struct buf *b, const char *type)
{
	const char *end = put_type_at(b, type);
	ck_assert_msg(*end == '\0', "type ends at %s", end);
}

/* "(a:T)" without its tag. */
HELPER void put_product(struct buf *b, const char *type)
{
	ck_assert_int_eq(type[0], '(');
	put_members(b, type + 1, ',', ')');
}

/* ---- lists ---- */

HELPER void put_columns(struct buf *b, const char *columns)
{
	struct buf items;
	uint32_t count = 0;
	buf_init(&items, 1 << 20);
	while (*columns != '\0') {
		char *end;
		buf_put_u16(&items, (uint16_t)strtoul(columns, &end, 10));
		count++;
		columns = *end == ',' ? end + 1 : end;
		if (*end != ',')
			break;
	}
	buf_put_u32(b, count);
	buf_put(b, items.data, items.len);
	buf_deinit(&items);
}

/* A type in the typespace and, if named, its definition ("scope::Name"; NULL for none). */
HELPER void add_type(struct description *d, const char *name, const char *type)
{
	uint32_t ref = d->counts[D_TYPESPACE];
	put_type(description_add(d, D_TYPESPACE), type);
	if (name == NULL)
		return;
	struct buf *b = description_add(d, D_TYPES);
	const char *colons = strstr(name, "::");
	buf_put_u32(b, colons != NULL);
	if (colons != NULL)
		buf_put_bsatn_str(b, (struct str){ name, (size_t)(colons - name) });
	put_s(b, colons != NULL ? colons + 2 : name);
	buf_put_u32(b, ref);
	buf_put_u8(b, 1);
}

struct table_notation {
	const char *name, *primary_key, *indexes, *unique, *sequences; /* NULL: none */
	uint32_t ref;
	const char *schedule_function; /* V9 */
	uint16_t schedule_column;
	const char *default_hex; /* V10: of default_column */
	uint16_t default_column;
	bool is_private, is_event, is_system;
};

HELPER char *next_word(char **at)
{
	*at += strspn(*at, " ");
	char *word = *at;
	*at += strcspn(*at, " ");
	if (**at != '\0')
		*(*at)++ = '\0';
	return word;
}

/* Calls `item` on each part between semicolons. */
HELPER void put_items(struct buf *b, const char *notation, void (*item)(struct buf *, char *))
{
	struct buf items;
	uint32_t count = 0;
	buf_init(&items, 1 << 20);
	while (notation != NULL && *notation != '\0') {
		size_t len = strcspn(notation, ";");
		char part[512];
		snprintf(part, sizeof(part), "%.*s", (int)len, notation);
		item(&items, part);
		count++;
		notation += len + (notation[len] == ';');
	}
	buf_put_u32(b, count);
	buf_put(b, items.data, items.len);
	buf_deinit(&items);
}

HELPER void put_index(struct buf *b, char *part)
{
	char *kind = next_word(&part), *source = next_word(&part), *accessor = next_word(&part), *columns =
		next_word(&part);
	put_optional_s(b, strcmp(source, "-") == 0 ? NULL : source);
	put_optional_s(b, strcmp(accessor, "-") == 0 ? NULL : accessor);
	buf_put_u8(b, kind[0] == 'b' ? 0 : kind[0] == 'h' ? 1 : 2);
	if (kind[0] == 'd')
		buf_put_u16(b, (uint16_t)strtoul(columns, NULL, 10));
	else
		put_columns(b, columns);
}

HELPER void put_unique(struct buf *b, char *part)
{
	buf_put_u8(b, 1);
	buf_put_u8(b, 0);
	put_columns(b, next_word(&part));
}

HELPER void put_optional_i128(struct buf *b, const char *word)
{
	bool none = *word == '\0' || strcmp(word, "-") == 0;
	buf_put_u8(b, none);
	if (!none)
		buf_put_u128(b, (u128)(i128)strtoll(word, NULL, 10));
}

HELPER void put_sequence(struct buf *b, char *part)
{
	buf_put_u8(b, 1);
	buf_put_u16(b, (uint16_t)strtoul(next_word(&part), NULL, 10));
	for (int i = 0; i < 3; i++)
		put_optional_i128(b, next_word(&part));
	char *increment = next_word(&part);
	buf_put_u128(b, *increment == '\0' ? 1 : (u128)(i128)strtoll(increment, NULL, 10));
}

HELPER void put_hex(struct buf *b, const char *hex)
{
	size_t len = strlen(hex) / 2;
	buf_put_u32(b, (uint32_t)len);
	uint8_t *out = buf_extend(b, len);
	ck_assert(len == 0 || hex_decode(str_of(hex), out, len));
}

HELPER void add_table(struct description *d, struct table_notation t)
{
	struct buf *b = description_add(d, D_TABLES);
	put_s(b, t.name);
	buf_put_u32(b, t.ref);
	put_columns(b, t.primary_key == NULL ? "" : t.primary_key);
	put_items(b, t.indexes, put_index);
	put_items(b, t.unique, put_unique);
	put_items(b, t.sequences, put_sequence);
	if (d->version == 9) {
		buf_put_u8(b, t.schedule_function == NULL);
		if (t.schedule_function != NULL) {
			buf_put_u8(b, 1);
			put_s(b, t.schedule_function);
			buf_put_u16(b, t.schedule_column);
		}
	}
	buf_put_u8(b, !t.is_system);
	buf_put_u8(b, t.is_private);
	if (d->version == 9)
		return;
	buf_put_u32(b, t.default_hex != NULL);
	if (t.default_hex != NULL) {
		buf_put_u16(b, t.default_column);
		put_hex(b, t.default_hex);
	}
	buf_put_u8(b, t.is_event);
}
#define TABLE(d, ...) add_table((d), (struct table_notation){ __VA_ARGS__ })

HELPER void add_reducer_returning(struct description *d, const char *name, const char *params, const char *ok,
	const char *err)
{
	struct buf *b = description_add(d, D_REDUCERS);
	put_s(b, name);
	put_product(b, params);
	buf_put_u8(b, 1); /* V9: no lifecycle; V10: client callable */
	if (d->version == 9)
		return;
	put_type(b, ok);
	put_type(b, err);
}

HELPER void add_reducer(struct description *d, const char *name, const char *params)
{
	add_reducer_returning(d, name, params, "()", "string");
}

HELPER void add_procedure(struct description *d, const char *name, const char *params, const char *returns)
{
	struct buf *b = description_add(d, d->version == 9 ? D_MISC : D_PROCEDURES);
	if (d->version == 9)
		buf_put_u8(b, 1);
	put_s(b, name);
	put_product(b, params);
	put_type(b, returns);
	if (d->version != 9)
		buf_put_u8(b, 1);
}

HELPER void add_view(struct description *d, const char *name, uint32_t index, bool anonymous, const char *params,
	const char *returns)
{
	struct buf *b = description_add(d, d->version == 9 ? D_MISC : D_VIEWS);
	if (d->version == 9)
		buf_put_u8(b, 2);
	put_s(b, name);
	buf_put_u32(b, index);
	buf_put_u8(b, 1);
	buf_put_u8(b, anonymous);
	put_product(b, params);
	put_type(b, returns);
}

HELPER void add_default_v9(struct description *d, const char *table, uint16_t column, const char *hex)
{
	struct buf *b = description_add(d, D_MISC);
	buf_put_u8(b, 0);
	put_s(b, table);
	buf_put_u16(b, column);
	put_hex(b, hex);
}

HELPER void add_schedule(struct description *d, const char *table, uint16_t column, const char *function)
{
	struct buf *b = description_add(d, D_SCHEDULES);
	buf_put_u8(b, 1);
	put_s(b, table);
	buf_put_u16(b, column);
	put_s(b, function);
}

HELPER void add_lifecycle(struct description *d, enum module_lifecycle event, const char *function)
{
	struct buf *b = description_add(d, D_LIFECYCLES);
	buf_put_u8(b, (uint8_t)event);
	put_s(b, function);
}

/* kind: 0 table, 1 function, 2 index, 3 namespace */
HELPER void add_name(struct description *d, uint8_t kind, const char *source, const char *canonical)
{
	struct buf *b = description_add(d, D_NAMES);
	buf_put_u8(b, kind);
	put_s(b, source);
	put_s(b, canonical);
}

/* method: -1 any, 9 extension */
HELPER void add_route(struct description *d, const char *handler, int method, const char *extension, const char *path)
{
	struct buf *b = description_add(d, D_ROUTES);
	put_s(b, handler);
	buf_put_u8(b, method >= 0);
	if (method >= 0)
		buf_put_u8(b, (uint8_t)method);
	if (method == 9)
		put_s(b, extension);
	put_s(b, path);
}

HELPER void add_view_key(struct description *d, const char *view, const char *first, const char *second)
{
	struct buf *b = description_add(d, D_VIEW_KEYS);
	put_s(b, view);
	buf_put_u32(b, (first != NULL) + (second != NULL));
	if (first != NULL)
		put_s(b, first);
	if (second != NULL)
		put_s(b, second);
}

HELPER void set_policy(struct description *d, uint8_t policy)
{
	d->present[D_POLICY] = true;
	buf_put_u8(&d->lists[D_POLICY], policy);
}

/* The sections of a V10 module, without the tag of RawModuleDef. */
HELPER void put_sections(struct buf *out, const struct description *d)
{
	uint32_t count = 0;
	for (int i = 0; i <= D_OUTBOXES; i++)
		count += d->present[i];
	buf_put_u32(out, count);
	for (int i = 0; i <= D_OUTBOXES; i++) {
		if (!d->present[i])
			continue;
		buf_put_u8(out, (uint8_t)i);
		if (i != D_POLICY)
			buf_put_u32(out, d->counts[i]);
		buf_put(out, d->lists[i].data, d->lists[i].len);
	}
}

HELPER void add_submodule(struct description *d, const char *namespace, const struct description *child)
{
	struct buf *b = description_add(d, D_SUBMODULES);
	put_s(b, namespace);
	put_sections(b, child);
}

HELPER void description_put(const struct description *d, struct buf *out)
{
	static const enum description_list order[] = { D_TYPESPACE, D_TABLES, D_REDUCERS, D_TYPES, D_MISC, D_RLS };
	if (d->version == 10) {
		buf_put_u8(out, 2);
		put_sections(out, d);
		return;
	}
	buf_put_u8(out, 1);
	for (size_t i = 0; i < ARRAY_COUNT(order); i++) {
		buf_put_u32(out, d->counts[order[i]]);
		buf_put(out, d->lists[order[i]].data, d->lists[order[i]].len);
	}
}

/* ---- running ---- */

/* The definition; fails the test with the errors when there is none. Ends `d`. */
HELPER struct module_def *accept(struct description *d)
{
	struct buf bytes, errors;
	buf_init(&bytes, 1 << 26);
	buf_init(&errors, 1 << 22);
	description_put(d, &bytes);
	struct module_def *def = NULL;
	enum wl_err err = module_def_create(bytes.data, bytes.len, &def, &errors);
	ck_assert_msg(err == WL_OK, "refused: %s", buf_text(&errors));
	buf_deinit(&bytes);
	buf_deinit(&errors);
	description_deinit(d);
	return def;
}

/* The module is refused with exactly these errors ("a\n\nb\n\n"). Ends `d`. */
HELPER void refuse(struct description *d, const char *expected)
{
	struct buf bytes, errors, want;
	buf_init(&bytes, 1 << 26);
	buf_init(&errors, 1 << 22);
	buf_init(&want, 1 << 22);
	buf_printf(&want, "Errors occurred:\n%s\n\n", expected);
	description_put(d, &bytes);
	struct module_def *def = NULL;
	enum wl_err err = module_def_create(bytes.data, bytes.len, &def, &errors);
	ck_assert_msg(err == WL_ERR_INVALID, "not refused, but: %s", wl_err_name(err));
	ck_assert_str_eq(buf_text(&errors), buf_text(&want));
	ck_assert_ptr_null(def);
	buf_deinit(&bytes);
	buf_deinit(&errors);
	buf_deinit(&want);
	description_deinit(d);
}

HELPER bool is(struct str s, const char *text)
{
	return str_eq(s, str_of(text));
}
#endif
