/* SPDX-License-Identifier: Apache-2.0 */
/* LIKE: a pattern against a text, going back to the last % only, so that the work is bounded by the product of both. */
#include "query/query_internal.h"

static bool same(char a, char b, bool folds)
{
	if (folds && a >= 'A' && a <= 'Z')
		a = (char)(a + 32);
	if (folds && b >= 'A' && b <= 'Z')
		b = (char)(b + 32);
	return a == b;
}

/* Behind the character at `at`: of UTF-8, one or more bytes. */
static size_t behind(struct str text, size_t at)
{
	do
		at++;
	while (at < text.len && ((uint8_t)text.data[at] & 0xc0) == 0x80);
	return at;
}

bool like_matches(struct str text, struct str pattern, char escape, bool folds)
{
	size_t t = 0, p = 0, back_t = 0, back_p = SIZE_MAX;
	while (t < text.len || p < pattern.len) {
		if (p < pattern.len) {
			char c = pattern.data[p];
			bool is_plain = escape != 0 && c == escape && p + 1 < pattern.len;
			if (!is_plain && c == '%') {
				back_p = ++p;
				back_t = t;
				continue;
			}
			if (t < text.len && !is_plain && c == '_') {
				t = behind(text, t);
				p++;
				continue;
			}
			if (t < text.len && same(text.data[t], pattern.data[p + is_plain], folds)) {
				t++;
				p += 1 + (size_t)is_plain;
				continue;
			}
		}
		if (back_p == SIZE_MAX || back_t >= text.len)
			return false;
		back_t = behind(text, back_t); /* % takes one character more */
		t = back_t;
		p = back_p;
	}
	return true;
}
