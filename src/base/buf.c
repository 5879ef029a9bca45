/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded growable buffers and the cursor over untrusted bytes. */
#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>

void buf_init(struct buf *buf, size_t max)
{
	*buf = BUF_INIT(max);
}

void buf_deinit(struct buf *buf)
{
	mem_free(buf->data);
	*buf = BUF_INIT(buf->max);
}

void buf_clear(struct buf *buf)
{
	buf->len = 0;
	buf->failed = false;
}

bool buf_reserve(struct buf *buf, size_t more)
{
	size_t need;
	if (buf->failed || !size_add(buf->len, more, &need) || need > buf->max) {
		buf->failed = true;
		return false;
	}
	if (need <= buf->cap)
		return true;
	size_t cap = size_max(need, buf->cap < 64 ? 64 : buf->cap * 2);
	cap = size_min(cap, buf->max);
	uint8_t *data = mem_realloc(buf->data, cap);
	if (data == NULL) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->cap = cap;
	return true;
}

uint8_t *buf_extend_slow(struct buf *buf, size_t len)
{
	if (!buf_reserve(buf, len > 0 || buf->data != NULL ? len : 1)) /* never an offset to NULL */
		return NULL;
	uint8_t *p = buf->data + buf->len;
	buf->len += len;
	return p;
}

void buf_put(struct buf *buf, const void *data, size_t len)
{
	if (len == 0)
		return;
	uint8_t *p = buf_extend(buf, len);
	if (p != NULL)
		memcpy(p, data, len);
}

void buf_put_str(struct buf *buf, struct str s)
{
	buf_put(buf, s.data, s.len);
}

void buf_put_cstr(struct buf *buf, const char *text)
{
	buf_put(buf, text, strlen(text));
}

void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	/* The terminator needs room but is not counted. */
	if (n >= 0 && buf_reserve(buf, (size_t)n + 1)) {
		vsnprintf((char *)buf->data + buf->len, (size_t)n + 1, format, again);
		buf->len += (size_t)n;
	}
	va_end(again);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	buf_vprintf(buf, format, args);
	va_end(args);
}

void buf_put_bsatn_bytes(struct buf *buf, const void *data, size_t len)
{
	if (len > UINT32_MAX) {
		buf->failed = true;
		return;
	}
	buf_put_u32(buf, (uint32_t)len);
	buf_put(buf, data, len);
}

void buf_put_bsatn_str(struct buf *buf, struct str s)
{
	buf_put_bsatn_bytes(buf, s.data, s.len);
}

static void put_json_escape(struct buf *buf, uint8_t c)
{
	switch (c) {
	case '"': buf_put_cstr(buf, "\\\""); break;
	case '\\': buf_put_cstr(buf, "\\\\"); break;
	case '\b': buf_put_cstr(buf, "\\b"); break;
	case '\f': buf_put_cstr(buf, "\\f"); break;
	case '\n': buf_put_cstr(buf, "\\n"); break;
	case '\r': buf_put_cstr(buf, "\\r"); break;
	case '\t': buf_put_cstr(buf, "\\t"); break;
	default: buf_printf(buf, "\\u%04x", c); break;
	}
}

void buf_put_json_str(struct buf *buf, struct str s)
{
	buf_put_u8(buf, '"');
	size_t run = 0;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = (uint8_t)s.data[i];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_put(buf, s.data + run, i - run);
		put_json_escape(buf, c);
		run = i + 1;
	}
	buf_put(buf, s.data + run, s.len - run);
	buf_put_u8(buf, '"');
}

const char *buf_text(struct buf *buf)
{
	if (!buf_reserve(buf, 1))
		return "";
	buf->data[buf->len] = '\0';
	return (const char *)buf->data;
}

void reader_fail(struct reader *r, const char *what, size_t wanted)
{
	if (r->failed)
		return;
	r->failed = true;
	r->what = what;
	r->wanted = wanted;
	r->given = reader_left(r);
}

struct bytes reader_bsatn_bytes(struct reader *r)
{
	uint32_t len = reader_u32(r);
	const uint8_t *p = reader_take(r, len, "[u8]");
	return p == NULL ? (struct bytes){ NULL, 0 } : (struct bytes){ p, len };
}

struct str reader_bsatn_str(struct reader *r)
{
	struct bytes b = reader_bsatn_bytes(r);
	if (b.data != NULL && !utf8_valid(b.data, b.len)) {
		reader_fail(r, "utf8", 0);
		return (struct str){ NULL, 0 };
	}
	return (struct str){ (const char *)b.data, b.len };
}
