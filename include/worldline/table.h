/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLDLINE_TABLE_H
#define WORLDLINE_TABLE_H
/*
 * Tables.
 *
 *   WL_TABLE(player, PUBLIC,
 *       (u64, id, PRIMARY_KEY, AUTO_INC),
 *       (str, name, UNIQUE),
 *       (u32, team, INDEX),
 *       (i32, score, DEFAULT(0)))
 *   WL_INDEX(player, by_team_score, team, score)         a B-tree of two to four columns
 *   WL_INDEX_HASH(player, by_team_name, team, name)      the same, found by all of its columns only
 *
 * Access: PUBLIC, PRIVATE, and of tables whose rows are gone when the transaction ends, PUBLIC_EVENT, PRIVATE_EVENT.
 *
 * A column is (type, name), and up to three of
 *   PRIMARY_KEY, UNIQUE, INDEX    with a B-tree; with _HASH or _DIRECT behind it, an index of that kind
 *   AUTO_INC                      0 becomes the next number when a row is inserted
 *   DEFAULT(value)                of rows that are there when the column is added
 *
 * What comes of it, for a table T and an indexed column (or WL_INDEX) C:
 *   struct T, T                   a row
 *   bool T_insert(T *row)         false: a unique column has that value already; fills in AUTO_INC
 *   bool T_delete(const T *row)   false: there is no such row
 *   u64  T_count(void), T_clear(void)
 *   bool T_find_by_C(C, T *row)   of unique ones, like
 *   bool T_update_by_C(T *row)    false: no row has that key, or another unique column is taken
 *   u32  T_delete_by_C(C)         how many
 *   u32  T_delete_by_C(value …)   the same, of a WL_INDEX: with all of its columns
 *   WL_DELETE_RANGE(T, C, value …, low, high)  how many; like WL_EACH_RANGE:
 *   WL_EACH(T, row) { … }                      all rows
 *   WL_EACH_BY(T, C, row, value …) { … }       those with these values of an index's first columns
 *   WL_EACH_RANGE(T, C, row, value …, low, high) { … } and from low to high, both included, in the next
 *   WL_EACH_FROM(T, C, row, value …, low) { … }        and from low on (these three: B-tree and direct)
 *   WL_EACH_UP_TO(T, C, row, value …, high) { … }      and up to high
 *
 * Loops read as of their beginning: rows may be changed meanwhile. `row`, with what its pointers lead to, lasts for one
 * round of the loop (wl_keep); break, continue and return may leave it. What else goes wrong is a trap, with its reason
 * in the module's log: the call is rolled back.
 */
#pragma clang system_header
#include "worldline/types.h"

enum wl_table_flags { WL_PRIVATE = 1, WL_EVENT = 2 };
enum wl_column_flags {
	WL_KEY = 1, WL_IS_UNIQUE = 2, WL_BTREE = 4, WL_HASH = 8, WL_DIRECT = 16, WL_AUTO_INC = 32, WL_HAS_DEFAULT = 64,
	WL_INDEXED = WL_BTREE | WL_HASH | WL_DIRECT,
};
struct wl_column {
	u32 flags;
	void (*put_default)(struct wl_writer *w); /* NULL: none */
};
struct wl_table {
	const struct wl_type *type;
	u32 flags;
	const struct wl_column *columns;
};
struct wl_index {
	const char *table, *name;
	const char *const *columns; /* ended by NULL */
	u32 kind;                   /* as in a description: 0 B-tree, 1 hash */
};

/* ---- what the macros call ---- */

WL_EXTERN void wl_put_item_table(struct wl_writer *w, const void *table);
WL_EXTERN void wl_put_item_index(struct wl_writer *w, const void *index);
WL_EXTERN u32 wl_table_id(u32 *cache, const char *name);
WL_EXTERN u32 wl_index_id(u32 *cache, const char *name);
WL_EXTERN __attribute__((noreturn)) void wl_table_failed(const char *what, const char *table, u32 code);

struct wl_rows { /* the rows of a loop */
	u32 handle;
	bool is_open;           /* there may be more than these */
	u8 *buffer;
	size_t size;
	struct wl_reader reader;
};
WL_EXTERN bool wl_rows_more(struct wl_rows *rows);
WL_EXTERN void wl_rows_end(struct wl_rows *rows);
WL_EXTERN void wl_found_end(struct wl_rows *rows, bool keeps); /* the bytes of the one that was found */
WL_INLINE struct wl_rows wl_rows_none(size_t size)
{
	struct wl_rows rows = { 0, false, NULL, size, { NULL, NULL } };
	return rows;
}
WL_INLINE bool wl_rows_at_end(struct wl_rows *rows)
{
	return rows->reader.at == rows->reader.end && !wl_rows_more(rows);
}
enum { WL_ROWS_MANY = 16384, WL_ROWS_FEW = 2048 };

struct wl_key { /* of an index, as bytes behind all that was taken */
	struct wl_writer w;
	size_t prefix, low; /* of a range: where these end */
	u32 columns, bounds;
};
WL_INLINE struct wl_key wl_key(void)
{
	struct wl_key key = { wl_writer(), 0, 0, 0, 0 };
	return key;
}
enum wl_bound { WL_INCLUDED = 0, WL_UNBOUNDED = 2 };
WL_INLINE void wl_key_bound(struct wl_key *key, u8 bound) /* an included one: its value follows */
{
	if (key->bounds++ == 0)
		key->prefix = wl_written(&key->w);
	else
		key->low = wl_written(&key->w);
	wl_write(&key->w, &bound, 1);
}
WL_EXTERN struct wl_rows wl_scan_point(u32 index, const struct wl_key *key, u32 of);
WL_EXTERN struct wl_rows wl_scan_range(u32 index, const struct wl_key *key);
WL_EXTERN struct wl_rows wl_scan_all(u32 table);
WL_EXTERN u32 wl_delete_point(u32 index, const struct wl_key *key);
WL_EXTERN u32 wl_delete_range(u32 index, const struct wl_key *key);

/* ---- loops ---- */

#define WL_ROWS_LOOP(T, row, scan) \
	for (struct wl_rows wl_rows_##row __attribute__((cleanup(wl_rows_end))) = scan, *wl_once_##row = &wl_rows_##row; \
		wl_once_##row != NULL; wl_once_##row = NULL) \
		for (T row; T##_next(&wl_rows_##row, &row);)
#define WL_EACH(T, row) WL_ROWS_LOOP(T, row, wl_scan_all(T##_table()))
#define WL_EACH_BY(T, C, row, ...) WL_ROWS_LOOP(T, row, WL_PASTE(T##_by_##C##_, WL_COUNT(__VA_ARGS__))(__VA_ARGS__))
#define WL_EACH_RANGE(T, C, row, ...) \
	WL_ROWS_LOOP(T, row, WL_PASTE(T##_range_##C##_, WL_COUNT(__VA_ARGS__))(__VA_ARGS__))
#define WL_EACH_FROM(T, C, row, ...) WL_ROWS_LOOP(T, row, WL_PASTE(T##_from_##C##_, WL_COUNT(__VA_ARGS__))(__VA_ARGS__))
#define WL_EACH_UP_TO(T, C, row, ...) \
	WL_ROWS_LOOP(T, row, WL_PASTE(T##_up_to_##C##_, WL_COUNT(__VA_ARGS__))(__VA_ARGS__))
#define WL_DELETE_RANGE(T, C, ...) WL_PASTE(T##_delete_range_##C##_, WL_COUNT(__VA_ARGS__))(__VA_ARGS__)

/* ---- declaring ---- */

#define WL_ACCESS_PUBLIC 0
#define WL_ACCESS_PRIVATE WL_PRIVATE
#define WL_ACCESS_PUBLIC_EVENT WL_EVENT
#define WL_ACCESS_PRIVATE_EVENT (WL_EVENT | WL_PRIVATE)

/* An attribute is what it generates, its flags, and a value. */
#define WL_A_PRIMARY_KEY UNIQUE, WL_KEY | WL_IS_UNIQUE | WL_BTREE, btree
#define WL_A_PRIMARY_KEY_HASH UNIQUE, WL_KEY | WL_IS_UNIQUE | WL_HASH, hash
#define WL_A_PRIMARY_KEY_DIRECT UNIQUE, WL_KEY | WL_IS_UNIQUE | WL_DIRECT, direct
#define WL_A_UNIQUE UNIQUE, WL_IS_UNIQUE | WL_BTREE, btree
#define WL_A_UNIQUE_HASH UNIQUE, WL_IS_UNIQUE | WL_HASH, hash
#define WL_A_UNIQUE_DIRECT UNIQUE, WL_IS_UNIQUE | WL_DIRECT, direct
#define WL_A_INDEX INDEX, WL_BTREE, btree
#define WL_A_INDEX_HASH INDEX, WL_HASH, hash
#define WL_A_INDEX_DIRECT INDEX, WL_DIRECT, direct
#define WL_A_AUTO_INC NOTHING, WL_AUTO_INC, 0
#define WL_A_DEFAULT(...) DEFAULT, WL_HAS_DEFAULT, (__VA_ARGS__)

#define WL_ATTRIBUTE_FLAGS(column, attribute) WL_ATTRIBUTE_FLAGS_I(WL_A_##attribute)
#define WL_ATTRIBUTE_FLAGS_I(...) WL_ATTRIBUTE_FLAGS_II(__VA_ARGS__, 0, 0)
#define WL_ATTRIBUTE_FLAGS_II(what, flags, value, ...) | WL_FLAGS_OF_##what(flags) /* not defined: no such attribute */
#define WL_FLAGS_OF_UNIQUE(flags) flags
#define WL_FLAGS_OF_INDEX(flags) flags
#define WL_FLAGS_OF_NOTHING(flags) flags
#define WL_FLAGS_OF_DEFAULT(flags) flags
#define WL_COLUMN_FLAGS(...) (0 WL_FEW(WL_ATTRIBUTE_FLAGS, , __VA_ARGS__))

#define WL_ATTRIBUTE_CODE(column, attribute) WL_ATTRIBUTE_CODE_I(WL_STRIP column, WL_A_##attribute)
#define WL_ATTRIBUTE_CODE_I(...) WL_ATTRIBUTE_CODE_II(__VA_ARGS__, 0, 0)
#define WL_ATTRIBUTE_CODE_II(T, type, name, what, flags, value, ...) WL_CODE_##what(T, type, name, value)

#define WL_CODE_NOTHING(T, type, name, value)
#define WL_CODE_DEFAULT(T, type, name, value) \
	static void wl_default_##T##_##name(struct wl_writer *w) \
	{ \
		type v = WL_STRIP value; \
		WL_PASTE(wl_put_, type)(w, &v); \
	}
#define WL_CODE_INDEX(T, type, name, kind) WL_ONE_COLUMN(T, type, name, kind)
#define WL_CODE_UNIQUE(T, type, name, kind) \
	WL_ONE_COLUMN(T, type, name, kind) \
	WL_UNUSED static inline bool T##_find_by_##name(type name, T *wl_row) \
	{ \
		struct wl_rows wl_rows_ = T##_by_##name##_1(name); \
		bool wl_found = T##_next(&wl_rows_, wl_row); \
		wl_found_end(&wl_rows_, wl_found && !wl_flat_##T); \
		return wl_found; \
	} \
	WL_UNUSED static inline bool T##_update_by_##name(T *row) { return T##_update(row, wl_index_##T##_##name()); }

#define WL_INDEX_ID(T, name, text) \
	WL_UNUSED static inline u32 wl_index_##T##_##name(void) \
	{ \
		static u32 id; \
		return __builtin_expect(id != 0, 1) ? id - 1 : wl_index_id(&id, text); \
	}
#define WL_KEY_VALUE(type, name) \
	WL_PASTE(wl_put_, type)(&wl_k.w, &name); \
	wl_k.columns++;
#define WL_KEY_BOUND(type, name) \
	wl_key_bound(&wl_k, WL_INCLUDED); \
	WL_PASTE(wl_put_, type)(&wl_k.w, &name);
#define WL_KEY_OPEN wl_key_bound(&wl_k, WL_UNBOUNDED);
#define WL_SCAN(T, name, function, parameters, values) \
	WL_UNUSED static inline struct wl_rows T##_##function parameters \
	{ \
		struct wl_key wl_k = wl_key(); \
		values \
		return wl_scan_range(wl_index_##T##_##name(), &wl_k); \
	}
/* Ranges of `type`, behind the parameters and values of the columns before it; `n`: 1 and how many those are. */
#define WL_RANGES(T, name, n, more, type, before, values) \
	WL_SCAN(T, name, range_##name##_##more, (WL_STRIP before type wl_low, type wl_high), \
		values WL_KEY_BOUND(type, wl_low) WL_KEY_BOUND(type, wl_high)) \
	WL_SCAN(T, name, from_##name##_##n, (WL_STRIP before type wl_low), values WL_KEY_BOUND(type, wl_low) WL_KEY_OPEN) \
	WL_SCAN(T, name, up_to_##name##_##n, (WL_STRIP before type wl_high), \
		values WL_KEY_OPEN WL_KEY_BOUND(type, wl_high)) \
	WL_UNUSED static inline u32 T##_delete_range_##name##_##more(WL_STRIP before type wl_low, type wl_high) \
	{ \
		struct wl_key wl_k = wl_key(); \
		values \
		WL_KEY_BOUND(type, wl_low) \
		WL_KEY_BOUND(type, wl_high) \
		return wl_delete_range(wl_index_##T##_##name(), &wl_k); \
	}

#define WL_ONE_COLUMN(T, type, name, kind) \
	WL_INDEX_ID(T, name, #T "_" #name "_idx_" #kind) \
	WL_UNUSED static inline struct wl_rows T##_by_##name##_1(type name) \
	{ \
		struct wl_key wl_k = wl_key(); \
		WL_KEY_VALUE(type, name) \
		return wl_scan_point(wl_index_##T##_##name(), &wl_k, 1); \
	} \
	WL_UNUSED static inline u32 T##_delete_by_##name(type name) \
	{ \
		struct wl_key wl_k = wl_key(); \
		WL_KEY_VALUE(type, name) \
		return wl_delete_point(wl_index_##T##_##name(), &wl_k); \
	} \
	WL_RANGE_##kind(T, type, name)
#define WL_RANGE_hash(T, type, name)
#define WL_RANGE_direct(T, type, name) WL_RANGE_btree(T, type, name)
#define WL_RANGE_btree(T, type, name) WL_RANGES(T, name, 1, 2, type, (), )

#define WL_COLUMN_TYPE(T, tuple) WL_COLUMN_TYPE_I(T, WL_STRIP tuple)
#define WL_COLUMN_TYPE_I(...) WL_COLUMN_TYPE_II(__VA_ARGS__)
#define WL_COLUMN_TYPE_II(T, type, name, ...) \
	typedef type wl_of_##T##_##name; \
	WL_INLINE void wl_put_wl_of_##T##_##name(struct wl_writer *w, const type *v) { WL_PASTE(wl_put_, type)(w, v); }

#define WL_COLUMN_CODE(T, tuple) WL_COLUMN_CODE_I(T, WL_STRIP tuple)
#define WL_COLUMN_CODE_I(...) WL_COLUMN_CODE_II(__VA_ARGS__)
#define WL_COLUMN_CODE_II(T, type, name, ...) \
	WL_ASSERT(!(WL_COLUMN_FLAGS(__VA_ARGS__) & WL_AUTO_INC) || WL_PASTE(wl_whole_, type), \
		"AUTO_INC of " #T "." #name ": only whole numbers count up"); \
	WL_ASSERT(!(WL_COLUMN_FLAGS(__VA_ARGS__) & WL_DIRECT) || WL_PASTE(wl_unsigned_, type), \
		"a direct index of " #T "." #name ": only u8, u16, u32, u64 and enums have them"); \
	WL_FEW(WL_ATTRIBUTE_CODE, (T, type, name), __VA_ARGS__)

#define WL_COLUMN_ENTRY(T, tuple) WL_COLUMN_ENTRY_I(T, WL_STRIP tuple)
#define WL_COLUMN_ENTRY_I(...) WL_COLUMN_ENTRY_II(__VA_ARGS__)
#define WL_COLUMN_ENTRY_II(T, type, name, ...) \
	{ WL_COLUMN_FLAGS(__VA_ARGS__), WL_PICK(WL_FEW(WL_ATTRIBUTE_DEFAULT, (T, name), __VA_ARGS__) NULL, ) },
#define WL_PICK(...) WL_PICK_I(__VA_ARGS__)
#define WL_PICK_I(first, ...) first
#define WL_ATTRIBUTE_DEFAULT(column, attribute) WL_ATTRIBUTE_DEFAULT_I(WL_STRIP column, WL_A_##attribute)
#define WL_ATTRIBUTE_DEFAULT_I(...) WL_ATTRIBUTE_DEFAULT_II(__VA_ARGS__, 0, 0)
#define WL_ATTRIBUTE_DEFAULT_II(T, name, what, flags, value, ...) WL_DEFAULT_OF_##what(T, name)
#define WL_DEFAULT_OF_NOTHING(T, name)
#define WL_DEFAULT_OF_INDEX(T, name)
#define WL_DEFAULT_OF_UNIQUE(T, name)
#define WL_DEFAULT_OF_DEFAULT(T, name) wl_default_##T##_##name,

#define WL_COLUMN_KEYS(T, tuple) WL_COLUMN_KEYS_I tuple
#define WL_COLUMN_KEYS_I(type, name, ...) +(WL_COLUMN_FLAGS(__VA_ARGS__) & WL_KEY)

#define WL_TAKE_GENERATED(T, tuple) WL_TAKE_GENERATED_I tuple
#define WL_TAKE_GENERATED_I(type, name, ...) \
	if ((WL_COLUMN_FLAGS(__VA_ARGS__) & WL_AUTO_INC) && wl_is_zero(&row->name, sizeof(row->name)) && r.at != r.end) \
		__builtin_memcpy(&row->name, wl_read(&r, sizeof(row->name)), sizeof(row->name));
WL_INLINE bool wl_is_zero(const void *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((const u8 *)p)[i] != 0)
			return false;
	return true;
}

/* Reading a table; `name` is for texts. */
#define WL_READER(T, name) \
	WL_UNUSED static inline bool T##_next(struct wl_rows *rows, T *row) \
	{ \
		if (wl_rows_at_end(rows)) \
			return false; \
		wl_get_##T(&rows->reader, row); \
		return true; \
	} \
	WL_UNUSED static inline u64 T##_count(void) \
	{ \
		u64 count = 0; \
		u32 code = wl_abi_row_count(T##_table(), &count); \
		if (code != 0) \
			wl_table_failed("count", name, code); \
		return count; \
	}

#define WL_TABLE(T, access, ...) \
	WL_STRUCT(T, __VA_ARGS__) \
	WL_ASSERT((0 WL_EACH_OF(WL_COLUMN_KEYS, T, __VA_ARGS__)) <= WL_KEY, "table " #T ": one PRIMARY_KEY at most"); \
	WL_UNUSED static inline u32 T##_table(void) \
	{ \
		static u32 id; \
		return __builtin_expect(id != 0, 1) ? id - 1 : wl_table_id(&id, #T); \
	} \
	WL_READER(T, #T) \
	WL_UNUSED static inline bool T##_insert(T *row) \
	{ \
		struct wl_writer w = wl_writer(); \
		wl_put_##T(&w, row); \
		size_t len = wl_written(&w); \
		u32 code = wl_abi_insert(T##_table(), w.begin, &len); \
		if (code != 0 && code != WL_UNIQUE_ALREADY_EXISTS) \
			wl_table_failed("insert into", #T, code); \
		struct wl_reader r = { w.begin, w.begin + (code == 0 ? len : 0) }; \
		WL_EACH_OF(WL_TAKE_GENERATED, T, __VA_ARGS__) \
		(void)r; \
		return code == 0; \
	} \
	WL_UNUSED static inline bool T##_update(T *row, u32 index) \
	{ \
		struct wl_writer w = wl_writer(); \
		wl_put_##T(&w, row); \
		size_t len = wl_written(&w); \
		u32 code = wl_abi_update(T##_table(), index, w.begin, &len); \
		if (code != 0 && code != WL_UNIQUE_ALREADY_EXISTS && code != WL_NO_SUCH_ROW) \
			wl_table_failed("update", #T, code); \
		struct wl_reader r = { w.begin, w.begin + (code == 0 ? len : 0) }; \
		WL_EACH_OF(WL_TAKE_GENERATED, T, __VA_ARGS__) \
		(void)r; \
		return code == 0; \
	} \
	WL_UNUSED static inline bool T##_delete(const T *row) \
	{ \
		struct wl_writer w = wl_writer(); \
		u32 one = 1, count = 0; \
		wl_put_u32(&w, &one); \
		wl_put_##T(&w, row); \
		u32 code = wl_abi_delete_rows(T##_table(), w.begin, wl_written(&w), &count); \
		if (code != 0) \
			wl_table_failed("delete from", #T, code); \
		return count > 0; \
	} \
	WL_UNUSED static inline u64 T##_clear(void) \
	{ \
		u64 count = 0; \
		u32 code = wl_abi_clear(T##_table(), &count); \
		if (code != 0) \
			wl_table_failed("clear", #T, code); \
		return count; \
	} \
	WL_EMITTER(T) \
	WL_EACH_OF(WL_COLUMN_TYPE, T, __VA_ARGS__) \
	WL_EACH_OF(WL_COLUMN_CODE, T, __VA_ARGS__) \
	static const struct wl_column wl_columns_##T[] = { WL_EACH_OF(WL_COLUMN_ENTRY, T, __VA_ARGS__) }; \
	static const struct wl_table wl_table_##T = { &wl_type_##T, WL_ACCESS_##access, wl_columns_##T }; \
	WL_ITEM(WL_TABLES, table_##T, #T, &wl_table_##T, wl_put_item_table)

/* ---- tables as they were, for a migration (function.h) ---- */

/* `name` is what the module before this one called it. T_is_there: this update drops or changes it; then T_count and
 * WL_EACH(T, row). */
#define WL_OLD_TABLE(T, name, ...) \
	WL_STRUCT(T, __VA_ARGS__) \
	WL_UNUSED static inline u32 T##_table(void) { u32 id; return wl_table_id(&id, "old." name); } \
	WL_UNUSED static inline bool T##_is_there(void) \
	{ \
		u32 id; \
		return wl_abi_table_id("old." name, sizeof("old." name) - 1, &id) == 0; \
	} \
	WL_READER(T, name)

/* ---- indexes of several columns ---- */

#define WL_INDEX(T, name, ...) \
	WL_INDEX_COMMON(T, name, btree, 0, __VA_ARGS__) \
	WL_PASTE(WL_INDEX_, WL_COUNT(__VA_ARGS__))(T, name, __VA_ARGS__)
#define WL_INDEX_HASH(T, name, ...) \
	WL_INDEX_COMMON(T, name, hash, 1, __VA_ARGS__) \
	WL_PASTE(WL_INDEX_HASH_, WL_COUNT(__VA_ARGS__))(T, name, __VA_ARGS__)
#define WL_INDEX_NAMES(T, column) #column,
#define WL_INDEX_COMMON(T, name, kind, number, ...) \
	static const char *const wl_index_columns_##T##_##name[] = { WL_FEW(WL_INDEX_NAMES, T, __VA_ARGS__) NULL }; \
	static const struct wl_index wl_index_data_##T##_##name = { #T, #name, wl_index_columns_##T##_##name, number }; \
	WL_ITEM(WL_INDEXES, index_##T##_##name, #T "." #name, &wl_index_data_##T##_##name, wl_put_item_index) \
	WL_INDEX_ID(T, name, #T "_" #name "_idx_" #kind)
#define WL_INDEX_SCAN(T, name, count, of, parameters, values) \
	WL_UNUSED static inline struct wl_rows T##_by_##name##_##count parameters \
	{ \
		struct wl_key wl_k = wl_key(); \
		values \
		return wl_scan_point(wl_index_##T##_##name(), &wl_k, of); \
	}
#define WL_INDEX_POINT(T, name, count, parameters, values) \
	WL_INDEX_SCAN(T, name, count, count, parameters, values) \
	WL_UNUSED static inline u32 T##_delete_by_##name parameters \
	{ \
		struct wl_key wl_k = wl_key(); \
		values \
		return wl_delete_point(wl_index_##T##_##name(), &wl_k); \
	}
#define WL_OF(T, column) wl_of_##T##_##column
/* The first columns: as parameters, and as values of a key. */
#define WL_P1(T, a) WL_OF(T, a) a
#define WL_P2(T, a, b) WL_P1(T, a), WL_OF(T, b) b
#define WL_P3(T, a, b, c) WL_P2(T, a, b), WL_OF(T, c) c
#define WL_P4(T, a, b, c, d) WL_P3(T, a, b, c), WL_OF(T, d) d
#define WL_V1(T, a) WL_KEY_VALUE(WL_OF(T, a), a)
#define WL_V2(T, a, b) WL_V1(T, a) WL_KEY_VALUE(WL_OF(T, b), b)
#define WL_V3(T, a, b, c) WL_V2(T, a, b) WL_KEY_VALUE(WL_OF(T, c), c)
#define WL_V4(T, a, b, c, d) WL_V3(T, a, b, c) WL_KEY_VALUE(WL_OF(T, d), d)
#define WL_PREFIX_1(T, name, of, a) \
	WL_INDEX_SCAN(T, name, 1, of, (WL_P1(T, a)), WL_V1(T, a)) \
	WL_RANGES(T, name, 1, 2, WL_OF(T, a), (), )
#define WL_PREFIX_2(T, name, of, a, b) \
	WL_PREFIX_1(T, name, of, a) \
	WL_INDEX_SCAN(T, name, 2, of, (WL_P2(T, a, b)), WL_V2(T, a, b)) \
	WL_RANGES(T, name, 2, 3, WL_OF(T, b), (WL_P1(T, a), ), WL_V1(T, a))
#define WL_PREFIX_3(T, name, of, a, b, c) \
	WL_PREFIX_2(T, name, of, a, b) \
	WL_INDEX_SCAN(T, name, 3, of, (WL_P3(T, a, b, c)), WL_V3(T, a, b, c)) \
	WL_RANGES(T, name, 3, 4, WL_OF(T, c), (WL_P2(T, a, b), ), WL_V2(T, a, b))
#define WL_INDEX_2(T, name, a, b) \
	WL_PREFIX_1(T, name, 2, a) \
	WL_RANGES(T, name, 2, 3, WL_OF(T, b), (WL_P1(T, a), ), WL_V1(T, a)) \
	WL_INDEX_HASH_2(T, name, a, b)
#define WL_INDEX_3(T, name, a, b, c) \
	WL_PREFIX_2(T, name, 3, a, b) \
	WL_RANGES(T, name, 3, 4, WL_OF(T, c), (WL_P2(T, a, b), ), WL_V2(T, a, b)) \
	WL_INDEX_HASH_3(T, name, a, b, c)
#define WL_INDEX_4(T, name, a, b, c, d) \
	WL_PREFIX_3(T, name, 4, a, b, c) \
	WL_RANGES(T, name, 4, 5, WL_OF(T, d), (WL_P3(T, a, b, c), ), WL_V3(T, a, b, c)) \
	WL_INDEX_HASH_4(T, name, a, b, c, d)
#define WL_INDEX_HASH_2(T, name, a, b) WL_INDEX_POINT(T, name, 2, (WL_P2(T, a, b)), WL_V2(T, a, b))
#define WL_INDEX_HASH_3(T, name, a, b, c) WL_INDEX_POINT(T, name, 3, (WL_P3(T, a, b, c)), WL_V3(T, a, b, c))
#define WL_INDEX_HASH_4(T, name, a, b, c, d) \
	WL_INDEX_POINT(T, name, 4, (WL_P4(T, a, b, c, d)), WL_V4(T, a, b, c, d))

/* Rows of views: function.h. */
WL_EXTERN void wl_emitted(const struct wl_writer *w);
#define WL_EMITTER(T) \
	WL_UNUSED static inline void T##_emit(const T *row) \
	{ \
		struct wl_writer w = wl_writer(); \
		wl_put_##T(&w, row); \
		wl_emitted(&w); \
	}
#endif
