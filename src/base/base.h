/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_H
#define BASE_H
/*
 * base: what every room stands on. Knows nothing of the rest.
 *
 * This header: integers, assertions, error codes, little-endian access and
 * overflow-checked sizes. The other headers of the room: mem.h (counted
 * allocation), buf.h (bounded buffers and the cursor over untrusted bytes),
 * arena.h, map.h, text.h, clock.h (and random numbers), log.h, thread.h,
 * waits.h (a histogram).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef unsigned __int128 u128;
typedef __int128 i128;

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
/* The struct whose part `pointer` points to. */
#define CONTAINER_OF(pointer, type, part) ((type *)(void *)((char *)(pointer) - offsetof(type, part)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define CHECKED __attribute__((warn_unused_result))

/* What went wrong, by what the caller can do about it. */
enum wl_err {
	WL_OK = 0,
	WL_ERR_INVALID,     /* the caller's bytes or arguments are wrong */
	WL_ERR_NOT_FOUND,   /* the named thing does not exist */
	WL_ERR_EXISTS,      /* it exists already */
	WL_ERR_DENIED,      /* the caller may not do this */
	WL_ERR_LIMIT,       /* a stated limit would be exceeded */
	WL_ERR_MEMORY,      /* an allocation of ours failed */
	WL_ERR_UNAVAILABLE, /* not now: retry later (closing, read-only, starting) */
	WL_ERR_IO,          /* the operating system refused; the text has errno */
	WL_ERR_CORRUPT,     /* stored bytes are damaged: this database stops */
	WL_ERR_UNSUPPORTED, /* valid, but not served by this version */
};
const char *wl_err_name(enum wl_err err); /* "not found", never NULL */

/*
 * A text for people, made at the place that knows. Fixed size, so that it
 * can be filled when memory is short; longer texts are cut. Where a text of
 * any length is wanted (validation errors) a `struct buf` is passed instead.
 */
enum { ERROR_TEXT_MAX = 1024 };
struct error {
	enum wl_err code;
	char text[ERROR_TEXT_MAX];
};
/* Fills `error` (may be NULL) and returns `code`: `return fail(error, WL_ERR_IO, "…", …);` */
enum wl_err fail(struct error *error, enum wl_err code, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same with ": strerror(errno)" appended. */
enum wl_err fail_errno(struct error *error, enum wl_err code, const char *format, ...) PRINTF_LIKE(3, 4);

/* Assertions of our own mistakes, on in release. Input is checked, never asserted. */
#define ASSERT(condition) \
	(LIKELY(condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))
#ifdef NDEBUG
#define DEBUG_ASSERT(condition) ((void)sizeof(condition))
#else
#define DEBUG_ASSERT(condition) ASSERT(condition)
#endif
_Noreturn void assert_failed(const char *condition, const char *file, int line);

/* A borrowed run of bytes or UTF-8 text (not terminated). */
struct bytes {
	const uint8_t *data;
	size_t len;
};
struct str {
	const char *data;
	size_t len;
};
#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_FMT(s) (int)(s).len, (s).data /* for "%.*s" */
struct str str_of(const char *terminated);
static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
static inline bool bytes_eq(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
bool utf8_valid(const uint8_t *data, size_t len);
struct str str_cut(struct str s, size_t max); /* at most `max` bytes, never half a character */

/* 256-bit identity and 128-bit connection id, as their little-endian wire bytes. */
struct identity {
	uint8_t le[32];
};
struct connection_id {
	uint8_t le[16];
};
static inline bool identity_eq(const struct identity *a, const struct identity *b)
{
	return memcmp(a->le, b->le, sizeof(a->le)) == 0;
}
void identity_to_hex(const struct identity *id, char hex[65]);          /* big-endian text */
bool identity_from_hex(struct str hex, struct identity *out);           /* exactly 64 digits, either case */
void connection_id_to_hex(const struct connection_id *id, char hex[33]);
bool connection_id_from_hex(struct str hex, struct connection_id *out); /* exactly 32 digits */
bool hex_decode(struct str hex, uint8_t *out, size_t out_len);          /* exactly 2 * out_len digits */
void hex_encode(const uint8_t *data, size_t len, char *out);            /* 2 * len + 1 chars, terminated */

static inline uint16_t load_u16(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t load_u32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t load_u64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline u128 load_u128(const void *p) { u128 v; memcpy(&v, p, 16); return v; }
static inline void store_u16(void *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void store_u32(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void store_u64(void *p, uint64_t v) { memcpy(p, &v, 8); }
static inline void store_u128(void *p, u128 v) { memcpy(p, &v, 16); }
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "BSATN is little-endian; so is every machine we build for");

static inline bool size_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool size_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline size_t align_up(size_t n, size_t to) { return (n + to - 1) & ~(to - 1); }
static inline size_t size_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t size_max(size_t a, size_t b) { return a > b ? a : b; }

/* Seeded 64-bit hash of bytes (XXH3). Never visible outside the process. */
uint64_t hash_bytes(const void *data, size_t len);
static inline uint64_t hash_u64(uint64_t x)
{
	x ^= x >> 32; x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32; x *= 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}
#endif
