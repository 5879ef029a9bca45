/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUF_H
#define BUF_H
/*
 * buf: a growable byte buffer with a maximum given at init, and a cursor over
 * bytes that nobody has checked yet. One owner at a time, no locks.
 *
 * Errors stick: once a put fails (limit or memory) `failed` is set, the
 * content is kept as it was, later puts do nothing. Check once, at the end.
 */
#include "base/base.h"
#include <stdarg.h>

struct buf {
	uint8_t *data;
	size_t len, cap, max;
	bool failed;
};
#define BUF_INIT(max_bytes) ((struct buf){ .max = (max_bytes) })
void buf_init(struct buf *buf, size_t max);
void buf_deinit(struct buf *buf); /* safe on a zeroed struct */
void buf_clear(struct buf *buf);  /* keeps the memory, clears `failed` */
bool buf_reserve(struct buf *buf, size_t more); /* room for `more` bytes after len */
/* A pointer to `len` fresh bytes at the end (already counted in len), or NULL. */
uint8_t *buf_extend_slow(struct buf *buf, size_t len);
static inline uint8_t *buf_extend(struct buf *buf, size_t len)
{
	if (LIKELY(buf->cap - buf->len >= len && buf->data != NULL && !buf->failed)) {
		uint8_t *p = buf->data + buf->len;
		buf->len += len;
		return p;
	}
	return buf_extend_slow(buf, len);
}
void buf_put(struct buf *buf, const void *data, size_t len);
void buf_put_str(struct buf *buf, struct str s);      /* raw text */
void buf_put_cstr(struct buf *buf, const char *text); /* raw text */
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *buf, const char *format, va_list args);
static inline void buf_put_u8(struct buf *buf, uint8_t v)
{
	uint8_t *p = buf_extend(buf, 1);
	if (LIKELY(p != NULL))
		*p = v;
}
static inline void buf_put_u16(struct buf *buf, uint16_t v)
{
	uint8_t *p = buf_extend(buf, 2);
	if (LIKELY(p != NULL))
		store_u16(p, v);
}
static inline void buf_put_u32(struct buf *buf, uint32_t v)
{
	uint8_t *p = buf_extend(buf, 4);
	if (LIKELY(p != NULL))
		store_u32(p, v);
}
static inline void buf_put_u64(struct buf *buf, uint64_t v)
{
	uint8_t *p = buf_extend(buf, 8);
	if (LIKELY(p != NULL))
		store_u64(p, v);
}
static inline void buf_put_u128(struct buf *buf, u128 v)
{
	uint8_t *p = buf_extend(buf, 16);
	if (LIKELY(p != NULL))
		store_u128(p, v);
}
/* BSATN: u32 length, then the bytes. */
void buf_put_bsatn_bytes(struct buf *buf, const void *data, size_t len);
void buf_put_bsatn_str(struct buf *buf, struct str s);
/* A JSON string with quotes, escaped as serde_json does (only '"', '\\' and control characters). */
void buf_put_json_str(struct buf *buf, struct str s);
const char *buf_text(struct buf *buf); /* terminated view (the terminator is not counted); "" when failed */
static inline struct bytes buf_bytes(const struct buf *buf) { return (struct bytes){ buf->data, buf->len }; }
static inline struct str buf_str(const struct buf *buf) { return (struct str){ (const char *)buf->data, buf->len }; }

/*
 * The cursor: every read of wire or disk bytes goes through it. A read past
 * the end sets `failed`, records what was wanted, and yields zeros.
 */
struct reader {
	const uint8_t *at, *end;
	bool failed;
	const char *what; /* first failure: type wanted, e.g. "u32" */
	size_t wanted, given;
};
static inline struct reader reader_of(const void *data, size_t len)
{
	return (struct reader){ .at = data, .end = (const uint8_t *)data + len };
}
static inline size_t reader_left(const struct reader *r) { return (size_t)(r->end - r->at); }
void reader_fail(struct reader *r, const char *what, size_t wanted);
static inline const uint8_t *reader_take(struct reader *r, size_t len, const char *what)
{
	if (UNLIKELY(reader_left(r) < len || r->failed)) {
		reader_fail(r, what, len);
		return NULL;
	}
	const uint8_t *p = r->at;
	r->at += len;
	return p;
}
static inline uint8_t reader_u8(struct reader *r)
{
	const uint8_t *p = reader_take(r, 1, "u8");
	return p ? *p : 0;
}
static inline uint16_t reader_u16(struct reader *r)
{
	const uint8_t *p = reader_take(r, 2, "u16");
	return p ? load_u16(p) : 0;
}
static inline uint32_t reader_u32(struct reader *r)
{
	const uint8_t *p = reader_take(r, 4, "u32");
	return p ? load_u32(p) : 0;
}
static inline uint64_t reader_u64(struct reader *r)
{
	const uint8_t *p = reader_take(r, 8, "u64");
	return p ? load_u64(p) : 0;
}
static inline u128 reader_u128(struct reader *r)
{
	const uint8_t *p = reader_take(r, 16, "u128");
	return p ? load_u128(p) : 0;
}
/* BSATN string or byte array: u32 length and that many bytes. Strings are checked for UTF-8. */
struct bytes reader_bsatn_bytes(struct reader *r);
struct str reader_bsatn_str(struct reader *r);
#endif
