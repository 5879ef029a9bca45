/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LIKE: % stands for any text, _ for one character, and the escape takes
 * either by its word. One place to come back to is enough, since a later %
 * can take whatever an earlier one could; the worst case is still the product
 * of both lengths, so the clock is looked at.
 */
#include "query/extended_internal.h"

static size_t char_len(const char *p, const char *end)
{
	size_t len = 1;
	while (p + len < end && ((uint8_t)p[len] & 0xc0) == 0x80)
		len++;
	return len;
}

static bool is_escape(const char *p, const char *end, struct str escape)
{
	return escape.len > 0 && (size_t)(end - p) >= escape.len && memcmp(p, escape.data, escape.len) == 0;
}

static uint8_t folded(char c, bool ignores_case)
{
	return (uint8_t)(ignores_case && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool like_is_valid(struct str pattern, struct str escape)
{
	const char *p = pattern.data, *end = p + pattern.len;
	while (p < end) {
		if (!is_escape(p, end, escape)) {
			p++;
		} else {
			p += escape.len;
			if (p == end)
				return false;
			p++;
		}
	}
	return true;
}

enum like_answer like_matches(struct evaluation *ev, struct str pattern, struct str escape, bool ignores_case,
	struct str text)
{
	const char *p = pattern.data, *p_end = p + pattern.len, *t = text.data, *t_end = t + text.len;
	const char *again_p = NULL, *again_t = NULL; /* behind the last %, and where it may end next */
	while (t < t_end) {
		if (!evaluation_goes_on(ev, 1))
			return LIKE_STOPPED;
		const char *literal = p;
		bool escaped = p < p_end && is_escape(p, p_end, escape);
		if (escaped)
			literal = p + escape.len;
		if (p < p_end && !escaped && *p == '%') {
			again_p = ++p;
			again_t = t;
		} else if (p < p_end && !escaped && *p == '_') {
			p++;
			t += char_len(t, t_end);
		} else if (p < p_end && folded(*literal, ignores_case) == folded(*t, ignores_case)) {
			p = literal + 1;
			t++;
		} else if (again_p != NULL) {
			again_t += char_len(again_t, t_end);
			t = again_t;
			p = again_p;
		} else {
			return LIKE_NO;
		}
	}
	while (p < p_end && *p == '%' && !is_escape(p, p_end, escape))
		p++;
	return p == p_end ? LIKE_YES : LIKE_NO;
}

bool like_prefix(struct arena *arena, struct str pattern, struct str escape, struct str *prefix, bool *ok)
{
	const char *p = pattern.data, *end = p + pattern.len;
	char *out = arena_alloc(arena, pattern.len + 1);
	size_t len = 0;
	*ok = out != NULL;
	while (*ok && p < end) {
		if (is_escape(p, end, escape))
			p += escape.len;
		else if (*p == '%' || *p == '_')
			break;
		if (p < end)
			out[len++] = *p++;
	}
	*prefix = (struct str){ out, len };
	return *ok && p == end;
}
