/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8: checking, cutting, replacing what is ill-formed; debug forms of strings and durations; numbers. */
#include "base/text.h"

size_t utf8_sequence(const uint8_t *p, size_t left, bool *whole)
{
	uint8_t lead = p[0], low = 0x80, high = 0xbf;
	size_t len;
	*whole = false;
	if (lead < 0x80) {
		*whole = true;
		return 1;
	}
	if (lead >= 0xc2 && lead <= 0xdf)
		len = 2;
	else if (lead >= 0xe0 && lead <= 0xef)
		len = 3;
	else if (lead >= 0xf0 && lead <= 0xf4)
		len = 4;
	else
		return 1;
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < len; i++) {
		if (i == left || p[i] < low || p[i] > high)
			return i;
		low = 0x80;
		high = 0xbf;
	}
	*whole = true;
	return len;
}

bool utf8_valid(const uint8_t *data, size_t len)
{
	size_t i = 0;
	while (i < len) {
		/* Eight ASCII bytes at a time: the common case. */
		while (len - i >= 8 && (load_u64(data + i) & 0x8080808080808080u) == 0)
			i += 8;
		if (i >= len)
			break;
		bool whole;
		i += utf8_sequence(data + i, len - i, &whole);
		if (!whole)
			return false;
	}
	return true;
}

struct str str_cut(struct str s, size_t max)
{
	if (s.len <= max)
		return s;
	for (int i = 0; i < 3 && max > 0 && ((uint8_t)s.data[max] & 0xc0) == 0x80; i++)
		max--;
	return (struct str){ s.data, max };
}

bool text_lossy(struct bytes bytes, struct buf *scratch, struct str *out)
{
	if (LIKELY(utf8_valid(bytes.data, bytes.len))) {
		*out = (struct str){ (const char *)bytes.data, bytes.len };
		return true;
	}
	buf_clear(scratch);
	size_t good = 0; /* start of the run not yet written */
	for (size_t at = 0; at < bytes.len;) {
		bool whole;
		size_t len = utf8_sequence(bytes.data + at, bytes.len - at, &whole);
		if (!whole) {
			buf_put(scratch, bytes.data + good, at - good);
			buf_put(scratch, "\xef\xbf\xbd", 3);
			good = at + len;
		}
		at += len;
	}
	buf_put(scratch, bytes.data + good, bytes.len - good);
	*out = buf_str(scratch);
	return !scratch->failed;
}

/* Characters that Rust's debug form writes as \u{…}: controls, format characters, private and unassigned planes. */
static bool printable(uint32_t c)
{
	static const struct { uint32_t from, to; } hidden[] = {
		{ 0x00, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad }, { 0x300, 0x36f }, { 0x600, 0x605 }, { 0x61c, 0x61c },
		{ 0x6dd, 0x6dd }, { 0x70f, 0x70f }, { 0x180e, 0x180e }, { 0x200b, 0x200f }, { 0x2028, 0x202e },
		{ 0x2060, 0x206f }, { 0x20d0, 0x20f0 }, { 0xd800, 0xf8ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
		{ 0xfeff, 0xfeff }, { 0xfff0, 0xfffb }, { 0xfffe, 0xffff }, { 0xe0000, 0x10ffff },
	};
	for (size_t i = 0; i < ARRAY_COUNT(hidden); i++)
		if (c >= hidden[i].from && c <= hidden[i].to)
			return false;
	return true;
}

static uint32_t scalar(const uint8_t *p, size_t len)
{
	switch (len) {
	case 1:
		return p[0];
	case 2:
		return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
	case 3:
		return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
	default:
		return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 | (uint32_t)(p[2] & 0x3f) << 6
			| (p[3] & 0x3f);
	}
}

void text_put_debug_str(struct buf *out, struct str s)
{
	const uint8_t *p = (const uint8_t *)s.data;
	buf_put_u8(out, '"');
	for (size_t at = 0; at < s.len;) {
		bool whole;
		size_t len = utf8_sequence(p + at, s.len - at, &whole);
		uint32_t c = scalar(p + at, len);
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", (char)c);
		else if (c == '\n')
			buf_put_cstr(out, "\\n");
		else if (c == '\r')
			buf_put_cstr(out, "\\r");
		else if (c == '\t')
			buf_put_cstr(out, "\\t");
		else if (c == 0)
			buf_put_cstr(out, "\\0");
		else if (printable(c))
			buf_put(out, p + at, len);
		else
			buf_printf(out, "\\u{%x}", (unsigned)c);
		at += len;
	}
	buf_put_u8(out, '"');
}

void text_put_i128(struct buf *out, i128 n)
{
	char digits[48];
	size_t at = sizeof(digits);
	u128 rest = n < 0 ? -(u128)n : (u128)n;
	do {
		digits[--at] = (char)('0' + (int)(rest % 10));
		rest /= 10;
	} while (rest != 0);
	if (n < 0)
		digits[--at] = '-';
	buf_put(out, digits + at, sizeof(digits) - at);
}

void text_put_debug_duration(struct buf *out, uint64_t nanos)
{
	static const struct { uint64_t unit; int digits; const char *name; } units[] = {
		{ 1000000000, 9, "s" }, { 1000000, 6, "ms" }, { 1000, 3, "µs" }, { 1, 0, "ns" },
	};
	size_t i = 0;
	while (i + 1 < ARRAY_COUNT(units) && nanos < units[i].unit)
		i++;
	uint64_t rest = nanos % units[i].unit;
	int digits = units[i].digits;
	while (digits > 0 && rest % 10 == 0) {
		rest /= 10;
		digits--;
	}
	buf_printf(out, "%llu", (unsigned long long)(nanos / units[i].unit));
	if (digits > 0)
		buf_printf(out, ".%0*llu", digits, (unsigned long long)rest);
	buf_put_cstr(out, units[i].name);
}
