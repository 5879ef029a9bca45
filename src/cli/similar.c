/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edit distance in the restricted form: a pair that was swapped is not edited again. Names are compared by bytes;
 * identifiers are ASCII nearly always, and for others the distance is only somewhat larger.
 */
#include "cli/similar.h"

#include <stdlib.h>
#include <strings.h>

enum { WORDS_MAX = 64 };

size_t cli_edit_distance(struct str a, struct str b)
{
	uint32_t rows[3][CLI_SIMILAR_BYTES_MAX + 1];
	uint32_t *before = rows[0], *last = rows[1], *now = rows[2];
	a.len = size_min(a.len, CLI_SIMILAR_BYTES_MAX);
	b.len = size_min(b.len, CLI_SIMILAR_BYTES_MAX);
	for (size_t j = 0; j <= b.len; j++) {
		last[j] = (uint32_t)j;
		before[j] = UINT32_MAX / 2;
	}
	for (size_t i = 1; i <= a.len; i++) {
		now[0] = (uint32_t)i;
		for (size_t j = 1; j <= b.len; j++) {
			uint32_t best = last[j - 1] + (a.data[i - 1] != b.data[j - 1]);
			best = last[j] + 1 < best ? last[j] + 1 : best;
			best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
			bool swapped = i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1];
			if (swapped && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		uint32_t *free_row = before;
		before = last;
		last = now;
		now = free_row;
	}
	return last[b.len];
}

static int order_words(const void *x, const void *y)
{
	const struct str *a = x, *b = y;
	int order = memcmp(a->data, b->data, size_min(a->len, b->len));
	return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static uint32_t sort_words(struct str name, struct str out[WORDS_MAX])
{
	uint32_t count = 0;
	size_t begin = 0;
	for (size_t i = 0; i <= name.len && count < WORDS_MAX; i++) {
		if (i < name.len && name.data[i] != '_')
			continue;
		out[count++] = (struct str){ name.data + begin, i - begin };
		begin = i + 1;
	}
	qsort(out, count, sizeof(*out), order_words);
	return count;
}

static bool same_words(struct str a, struct str b)
{
	struct str x[WORDS_MAX], y[WORDS_MAX];
	uint32_t n = sort_words(a, x), m = sort_words(b, y);
	if (n != m)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!str_eq(x[i], y[i]))
			return false;
	return true;
}

uint32_t cli_similar_find(const struct str *candidates, uint32_t count, struct str name)
{
	uint32_t best = UINT32_MAX;
	size_t allowed = size_max(name.len, 3) / 3;
	for (uint32_t i = 0; i < count; i++)
		if (candidates[i].len == name.len && strncasecmp(candidates[i].data, name.data, name.len) == 0)
			return i;
	for (uint32_t i = 0; i < count; i++) {
		size_t distance = cli_edit_distance(name, candidates[i]);
		if (distance > allowed)
			continue;
		if (distance == 0)
			return i;
		allowed = distance - 1;
		best = i;
	}
	for (uint32_t i = 0; i < count && best == UINT32_MAX; i++)
		if (same_words(candidates[i], name))
			best = i;
	return best;
}
