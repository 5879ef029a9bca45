/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLDLINE_TYPES_H
#define WORLDLINE_TYPES_H
/*
 * Types of columns, arguments and results. Those of this file, and what
 * modules make of them:
 *
 *   WL_STRUCT(point, (i32, x), (i32, y))        struct point { i32 x; i32 y; }
 *   WL_ENUM(color, red, green)                  color_red, color_green
 *   WL_UNION(shape, (f64, circle), (point, at)) .tag is shape_circle or shape_at, .circle, .at
 *   WL_OPTION(maybe_u32, u32)                   .some, .value
 *   WL_RESULT(outcome, u32, str)                .failed, .value, .error
 *   WL_ARRAY(numbers, u32)                      .items, .count
 *
 * For each type T there are wl_put_T and wl_get_T (to and from BSATN), wl_type_T (what a description says of it) and
 * wl_flat_T: whether a value holds no pointers. Pointers in what is read lead into memory of the call.
 */
#pragma clang system_header
#include "worldline/each.h"
#include "worldline/memory.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef unsigned __int128 u128;
typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;
typedef __int128 i128;
typedef struct u256 { u64 word[4]; } u256; /* least significant first */
typedef struct i256 { u64 word[4]; } i256; /* two's complement */
typedef float f32;
typedef double f64;
typedef struct unit { u8 nothing; } unit;
typedef struct str { const char *data; u32 len; } str; /* UTF-8, without a zero at the end */
typedef struct bytes { const u8 *data; u32 len; } bytes;
typedef struct identity { u8 le[32]; } identity; /* its hexadecimal form backwards */
typedef struct connection_id { u8 le[16]; } connection_id;
typedef struct uuid { u8 le[16]; } uuid;
typedef struct timestamp { i64 micros; } timestamp; /* since 1970 */
typedef struct duration { i64 micros; } duration;
typedef struct schedule_at { /* once, or again and again */
	bool is_time;
	i64 micros; /* since 1970, or between two calls */
} schedule_at;

WL_INLINE schedule_at wl_at(timestamp when) { schedule_at at = { true, when.micros }; return at; }
WL_INLINE schedule_at wl_every(i64 micros) { schedule_at at = { false, micros }; return at; }

#define WL_STR(literal) (wl_str_of("" literal, sizeof(literal) - 1)) /* of a literal */
WL_INLINE str wl_str_of(const char *data, size_t len) { str s = { data, (u32)len }; return s; }
WL_INLINE bool wl_str_equal(str a, str b) { return a.len == b.len && __builtin_memcmp(a.data, b.data, a.len) == 0; }
WL_INLINE bool wl_identity_equal(identity a, identity b) { return __builtin_memcmp(&a, &b, sizeof(a)) == 0; }
#ifdef __cplusplus
#define WL_ASSERT static_assert
#else
#define WL_ASSERT _Static_assert
#endif
WL_EXTERN str wl_keep(str s); /* a copy that lasts as long as the call */

/* ---- what a description says ---- */

enum wl_tag {
	WL_TAG_REF, WL_TAG_SUM, WL_TAG_PRODUCT, WL_TAG_ARRAY, WL_TAG_STRING, WL_TAG_BOOL, WL_TAG_I8, WL_TAG_U8, WL_TAG_I16,
	WL_TAG_U16, WL_TAG_I32, WL_TAG_U32, WL_TAG_I64, WL_TAG_U64, WL_TAG_I128, WL_TAG_U128, WL_TAG_I256, WL_TAG_U256,
	WL_TAG_F32, WL_TAG_F64,
};
struct wl_type;
struct wl_element {
	const char *name;
	const struct wl_type *type;
};
struct wl_type {
	u8 tag;
	u32 count;                         /* of a sum or a product */
	const struct wl_element *elements; /* the same; of an array: one */
	const char *name;                  /* NULL: it is written out where it occurs */
	struct wl_type_state *state;       /* of a named one */
};
struct wl_type_state {
	u32 ref;                     /* its number in the description */
	const struct wl_type *first; /* of the same name, from another source; NULL: this one */
};
WL_EXTERN const struct wl_type wl_type_u8, wl_type_u16, wl_type_u32, wl_type_u64, wl_type_u128, wl_type_u256,
	wl_type_i8, wl_type_i16, wl_type_i32, wl_type_i64, wl_type_i128, wl_type_i256, wl_type_f32, wl_type_f64,
	wl_type_bool, wl_type_unit, wl_type_str, wl_type_bytes, wl_type_identity, wl_type_connection_id, wl_type_uuid,
	wl_type_timestamp, wl_type_duration, wl_type_schedule_at;

/* All that a module declares is an item; constructors put them in a row, in the order of the source. A header with
 * declarations may be part of several sources: a type, table or index that is the same as one before it is dropped. */
enum wl_section {
	WL_TYPES = 1, WL_TABLES, WL_REDUCERS, WL_PROCEDURES, WL_VIEWS, WL_SCHEDULES, WL_LIFECYCLES, WL_RULES, WL_CASE,
	WL_NAMES, WL_HANDLERS, WL_ROUTES, WL_VIEW_KEYS, WL_SUBMODULES, WL_ENVIRONMENT, WL_INDEXES = 254, WL_NO_SECTION,
};
struct wl_item {
	u8 section;       /* of the description */
	const char *name;
	const void *data;
	void (*put)(struct wl_writer *w, const void *data); /* describe.c: only what is declared is linked */
	struct wl_item *next;
};
WL_EXTERN void wl_declare(struct wl_item *item);
WL_EXTERN void wl_put_item_type(struct wl_writer *w, const void *type);
#define WL_ITEM(section, item, name, data, put) \
	static struct wl_item wl_item_##item = { section, name, data, put, NULL }; \
	__attribute__((constructor)) static void wl_declare_##item(void) { wl_declare(&wl_item_##item); }

/* ---- to and from BSATN ---- */

#define WL_PLAIN_TYPE(T, is_whole, is_unsigned) \
	WL_INLINE void wl_put_##T(struct wl_writer *w, const T *v) { wl_write(w, v, sizeof(*v)); } \
	WL_INLINE void wl_get_##T(struct wl_reader *r, T *v) { __builtin_memcpy(v, wl_read(r, sizeof(*v)), sizeof(*v)); } \
	enum { wl_flat_##T = 1, wl_plain_##T = 1, wl_whole_##T = is_whole, wl_unsigned_##T = is_unsigned };
WL_PLAIN_TYPE(u8, 1, 1)
WL_PLAIN_TYPE(u16, 1, 1)
WL_PLAIN_TYPE(u32, 1, 1)
WL_PLAIN_TYPE(u64, 1, 1)
WL_PLAIN_TYPE(u128, 1, 0)
WL_PLAIN_TYPE(u256, 1, 0)
WL_PLAIN_TYPE(i8, 1, 0)
WL_PLAIN_TYPE(i16, 1, 0)
WL_PLAIN_TYPE(i32, 1, 0)
WL_PLAIN_TYPE(i64, 1, 0)
WL_PLAIN_TYPE(i128, 1, 0)
WL_PLAIN_TYPE(i256, 1, 0)
WL_PLAIN_TYPE(f32, 0, 0)
WL_PLAIN_TYPE(f64, 0, 0)
WL_PLAIN_TYPE(bool, 0, 0)
WL_PLAIN_TYPE(identity, 0, 0)
WL_PLAIN_TYPE(connection_id, 0, 0)
WL_PLAIN_TYPE(uuid, 0, 0)
WL_PLAIN_TYPE(timestamp, 0, 0)
WL_PLAIN_TYPE(duration, 0, 0)

#define WL_OTHER_TYPE(T, is_flat) \
	enum { wl_flat_##T = is_flat, wl_plain_##T = 0, wl_whole_##T = 0, wl_unsigned_##T = 0 };
WL_OTHER_TYPE(unit, 1)
WL_INLINE void wl_put_unit(struct wl_writer *w, const unit *v) { (void)w; (void)v; }
WL_INLINE void wl_get_unit(struct wl_reader *r, unit *v) { (void)r; v->nothing = 0; }

WL_OTHER_TYPE(schedule_at, 1)
WL_INLINE void wl_put_schedule_at(struct wl_writer *w, const schedule_at *v)
{
	wl_write(w, &v->is_time, 1);
	wl_write(w, &v->micros, 8);
}
WL_INLINE void wl_get_schedule_at(struct wl_reader *r, schedule_at *v)
{
	v->is_time = *wl_read(r, 1) != 0;
	wl_get_i64(r, &v->micros);
}

WL_OTHER_TYPE(str, 0)
WL_INLINE void wl_put_str(struct wl_writer *w, const str *v)
{
	wl_write(w, &v->len, sizeof(v->len));
	wl_write(w, v->data, v->len);
}
WL_INLINE void wl_get_str(struct wl_reader *r, str *v)
{
	v->len = wl_read_u32(r);
	v->data = (const char *)wl_read(r, v->len);
}
WL_OTHER_TYPE(bytes, 0)
WL_INLINE void wl_put_bytes(struct wl_writer *w, const bytes *v)
{
	wl_write(w, &v->len, sizeof(v->len));
	wl_write(w, v->data, v->len);
}
WL_INLINE void wl_get_bytes(struct wl_reader *r, bytes *v)
{
	v->len = wl_read_u32(r);
	v->data = wl_read(r, v->len);
}
#ifndef __cplusplus /* bool is a macro there */
#define wl_type__Bool wl_type_bool
#define wl_put__Bool wl_put_bool
#define wl_get__Bool wl_get_bool
#define wl_flat__Bool wl_flat_bool
#define wl_plain__Bool wl_plain_bool
#define wl_whole__Bool wl_whole_bool
#define wl_unsigned__Bool wl_unsigned_bool
#endif

/* ---- made by modules ---- */

#define WL_FIELD(T, tuple) WL_FIELD_I tuple
#define WL_FIELD_I(type, name, ...) type name;
#define WL_PUT_FIELD(T, tuple) WL_PUT_FIELD_I tuple
#define WL_PUT_FIELD_I(type, name, ...) WL_PASTE(wl_put_, type)(wl_w, &wl_v->name);
#define WL_GET_FIELD(T, tuple) WL_GET_FIELD_I tuple
#define WL_GET_FIELD_I(type, name, ...) WL_PASTE(wl_get_, type)(wl_r, &wl_v->name);
#define WL_FLAT_FIELD(T, tuple) WL_FLAT_FIELD_I tuple
#define WL_FLAT_FIELD_I(type, name, ...) &WL_PASTE(wl_flat_, type)
#define WL_ELEMENT(T, tuple) WL_ELEMENT_I tuple
#define WL_ELEMENT_I(type, name, ...) { #name, &WL_PASTE(wl_type_, type) },
#define WL_ELEMENTS(...) { WL_EACH_OF(WL_ELEMENT, , __VA_ARGS__) { NULL, NULL } }
#define WL_ELEMENT_COUNT(elements) (sizeof(elements) / sizeof((elements)[0]) - 1)

#define WL_NAMED_TYPE(T, tag) \
	static struct wl_type_state wl_state_##T; \
	static const struct wl_type wl_type_##T WL_UNUSED = { tag, WL_ELEMENT_COUNT(wl_elements_##T), wl_elements_##T, #T, \
		&wl_state_##T }; \
	WL_ITEM(WL_TYPES, type_##T, #T, &wl_type_##T, wl_put_item_type)

#define WL_STRUCT(T, ...) \
	typedef struct T T; \
	struct T { WL_EACH_OF(WL_FIELD, T, __VA_ARGS__) }; \
	WL_UNUSED static inline void wl_put_##T(struct wl_writer *wl_w, const T *wl_v) \
	{ \
		WL_EACH_OF(WL_PUT_FIELD, T, __VA_ARGS__) \
	} \
	WL_UNUSED static inline void wl_get_##T(struct wl_reader *wl_r, T *wl_v) \
	{ \
		WL_EACH_OF(WL_GET_FIELD, T, __VA_ARGS__) \
	} \
	WL_OTHER_TYPE(T, 1 WL_EACH_OF(WL_FLAT_FIELD, T, __VA_ARGS__)) \
	static const struct wl_element wl_elements_##T[] = WL_ELEMENTS(__VA_ARGS__); \
	WL_NAMED_TYPE(T, WL_TAG_PRODUCT)

#define WL_ENUM_VALUE(T, name) WL_PASTE3(T, _, name),
#define WL_ENUM_ELEMENT(T, name) { #name, &wl_type_unit },
#define WL_ENUM(T, ...) \
	enum { WL_EACH_OF(WL_ENUM_VALUE, T, __VA_ARGS__) T##_count }; \
	typedef u8 T; \
	WL_UNUSED static inline void wl_put_##T(struct wl_writer *wl_w, const T *wl_v) \
	{ \
		if (*wl_v >= T##_count) \
			wl_stop(#T " has no such value"); \
		wl_write(wl_w, wl_v, 1); \
	} \
	WL_UNUSED static inline void wl_get_##T(struct wl_reader *wl_r, T *wl_v) { *wl_v = *wl_read(wl_r, 1); } \
	enum { wl_flat_##T = 1, wl_plain_##T = 1, wl_whole_##T = 0, wl_unsigned_##T = 1 }; \
	static const struct wl_element wl_elements_##T[] = { WL_EACH_OF(WL_ENUM_ELEMENT, T, __VA_ARGS__) { NULL, NULL } }; \
	WL_NAMED_TYPE(T, WL_TAG_SUM)

#define WL_UNION_VALUE(T, tuple) WL_UNION_VALUE_I(T, WL_STRIP tuple)
#define WL_UNION_VALUE_I(...) WL_UNION_VALUE_II(__VA_ARGS__)
#define WL_UNION_VALUE_II(T, type, name) WL_PASTE3(T, _, name),
#define WL_UNION_PUT(T, tuple) WL_UNION_PUT_I(T, WL_STRIP tuple)
#define WL_UNION_PUT_I(...) WL_UNION_PUT_II(__VA_ARGS__)
#define WL_UNION_PUT_II(T, type, name) \
	case WL_PASTE3(T, _, name): \
		WL_PASTE(wl_put_, type)(wl_w, &wl_v->name); \
		break;
#define WL_UNION_GET(T, tuple) WL_UNION_GET_I(T, WL_STRIP tuple)
#define WL_UNION_GET_I(...) WL_UNION_GET_II(__VA_ARGS__)
#define WL_UNION_GET_II(T, type, name) \
	case WL_PASTE3(T, _, name): \
		WL_PASTE(wl_get_, type)(wl_r, &wl_v->name); \
		break;
#define WL_UNION(T, ...) \
	enum { WL_EACH_OF(WL_UNION_VALUE, T, __VA_ARGS__) }; \
	typedef struct T T; \
	struct T { \
		u8 tag; \
		union { WL_EACH_OF(WL_FIELD, T, __VA_ARGS__) }; \
	}; \
	WL_UNUSED static inline void wl_put_##T(struct wl_writer *wl_w, const T *wl_v) \
	{ \
		wl_write(wl_w, &wl_v->tag, 1); \
		switch (wl_v->tag) { \
			WL_EACH_OF(WL_UNION_PUT, T, __VA_ARGS__) \
		default: \
			wl_stop(#T " has no such variant"); \
		} \
	} \
	WL_UNUSED static inline void wl_get_##T(struct wl_reader *wl_r, T *wl_v) \
	{ \
		wl_v->tag = *wl_read(wl_r, 1); \
		switch (wl_v->tag) { \
			WL_EACH_OF(WL_UNION_GET, T, __VA_ARGS__) \
		default: \
			wl_stop(#T " has no such variant"); \
		} \
	} \
	WL_OTHER_TYPE(T, 1 WL_EACH_OF(WL_FLAT_FIELD, T, __VA_ARGS__)) \
	static const struct wl_element wl_elements_##T[] = WL_ELEMENTS(__VA_ARGS__); \
	WL_NAMED_TYPE(T, WL_TAG_SUM)

#define WL_OPTION(T, type) \
	typedef struct T { \
		bool some; \
		type value; \
	} T; \
	WL_UNUSED static inline void wl_put_##T(struct wl_writer *wl_w, const T *wl_v) \
	{ \
		u8 wl_none = !wl_v->some; \
		wl_write(wl_w, &wl_none, 1); \
		if (wl_v->some) \
			WL_PASTE(wl_put_, type)(wl_w, &wl_v->value); \
	} \
	WL_UNUSED static inline void wl_get_##T(struct wl_reader *wl_r, T *wl_v) \
	{ \
		wl_v->some = *wl_read(wl_r, 1) == 0; \
		if (wl_v->some) \
			WL_PASTE(wl_get_, type)(wl_r, &wl_v->value); \
		else \
			__builtin_memset(&wl_v->value, 0, sizeof(wl_v->value)); \
	} \
	WL_OTHER_TYPE(T, WL_PASTE(wl_flat_, type)) \
	static const struct wl_element wl_elements_##T[] = { { "some", &WL_PASTE(wl_type_, type) }, \
		{ "none", &wl_type_unit } }; \
	static const struct wl_type wl_type_##T WL_UNUSED = { WL_TAG_SUM, 2, wl_elements_##T, NULL, NULL };

#define WL_RESULT(T, type, error_type) \
	typedef struct T { \
		bool failed; \
		type value; \
		error_type error; \
	} T; \
	WL_UNUSED static inline void wl_put_##T(struct wl_writer *wl_w, const T *wl_v) \
	{ \
		u8 wl_failed = wl_v->failed; \
		wl_write(wl_w, &wl_failed, 1); \
		if (wl_v->failed) \
			WL_PASTE(wl_put_, error_type)(wl_w, &wl_v->error); \
		else \
			WL_PASTE(wl_put_, type)(wl_w, &wl_v->value); \
	} \
	WL_UNUSED static inline void wl_get_##T(struct wl_reader *wl_r, T *wl_v) \
	{ \
		__builtin_memset(wl_v, 0, sizeof(*wl_v)); \
		wl_v->failed = *wl_read(wl_r, 1) != 0; \
		if (wl_v->failed) \
			WL_PASTE(wl_get_, error_type)(wl_r, &wl_v->error); \
		else \
			WL_PASTE(wl_get_, type)(wl_r, &wl_v->value); \
	} \
	WL_OTHER_TYPE(T, (WL_PASTE(wl_flat_, type) & WL_PASTE(wl_flat_, error_type))) \
	static const struct wl_element wl_elements_##T[] = { { "ok", &WL_PASTE(wl_type_, type) }, \
		{ "err", &WL_PASTE(wl_type_, error_type) } }; \
	static const struct wl_type wl_type_##T WL_UNUSED = { WL_TAG_SUM, 2, wl_elements_##T, NULL, NULL };

WL_INLINE size_t wl_array_size(u32 count, size_t size)
{
	size_t all;
	if (__builtin_mul_overflow((size_t)count, size, &all))
		wl_stop("an array is too long");
	return all;
}
#define WL_ARRAY(T, type) \
	typedef struct T { \
		type *items; \
		u32 count; \
	} T; \
	WL_UNUSED static inline void wl_put_##T(struct wl_writer *wl_w, const T *wl_v) \
	{ \
		wl_write(wl_w, &wl_v->count, 4); \
		for (u32 wl_i = 0; wl_i < wl_v->count; wl_i++) \
			WL_PASTE(wl_put_, type)(wl_w, &wl_v->items[wl_i]); \
	} \
	WL_UNUSED static inline void wl_get_##T(struct wl_reader *wl_r, T *wl_v) \
	{ \
		wl_v->count = wl_read_u32(wl_r); \
		size_t wl_size = wl_array_size(wl_v->count, sizeof(type)); \
		if (WL_PASTE(wl_plain_, type)) { /* as they lie there: loads need no alignment */ \
			wl_v->items = (type *)(uintptr_t)wl_read(wl_r, wl_size); \
			return; \
		} \
		wl_v->items = (type *)wl_alloc(wl_size); \
		for (u32 wl_i = 0; wl_i < wl_v->count; wl_i++) \
			WL_PASTE(wl_get_, type)(wl_r, &wl_v->items[wl_i]); \
	} \
	WL_OTHER_TYPE(T, 0) \
	static const struct wl_element wl_elements_##T[] = { { NULL, &WL_PASTE(wl_type_, type) } }; \
	static const struct wl_type wl_type_##T WL_UNUSED = { WL_TAG_ARRAY, 1, wl_elements_##T, NULL, NULL };
#endif
