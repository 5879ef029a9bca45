/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ORDER BY. Rows are kept with their keys; rows of equal keys stay in the
 * order in which they came. Where a LIMIT keeps only the first k, there are
 * never more than k: the worst one of them is at the top of a heap, and a row
 * that is no better is not even copied.
 */
#include "query/extended_internal.h"

enum { MERGES_BETWEEN = 1 << 12 };

struct sort_row {
	uint64_t sequence;
	uint32_t row_len, bytes;
	const uint8_t *row;
	const uint8_t *keys[]; /* NULL: NULL */
};
struct sorter {
	const struct extended *x;
	uint64_t keep, sequence;
	struct budget *budget;
	struct evaluation *ev;
	struct sort_row **rows;  /* a heap, worst first, once there are `keep` */
	size_t count, cap, next;
	struct sort_row *candidate; /* keys point to `values` */
	struct value *values;
};

struct sorter *sorter_create(const struct extended *x, uint64_t keep, struct budget *budget, struct evaluation *ev)
{
	struct sorter *s = mem_zalloc(sizeof(*s));
	if (s != NULL) {
		*s = (struct sorter){ .x = x, .keep = keep, .budget = budget, .ev = ev };
		s->candidate = mem_zalloc(sizeof(struct sort_row) + x->sort_count * sizeof(uint8_t *));
		s->values = mem_zalloc_array(x->sort_count + 1, sizeof(*s->values));
	}
	if (s != NULL && s->candidate != NULL && s->values != NULL)
		return s;
	sorter_destroy(s);
	(void)evaluation_fail(ev, WL_ERR_MEMORY, "not enough memory for the query");
	return NULL;
}

void sorter_destroy(struct sorter *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++)
		mem_free(s->rows[i]);
	mem_free(s->rows);
	mem_free(s->candidate);
	mem_free(s->values);
	mem_free(s);
}

static int order_of(const struct sorter *s, const struct sort_row *a, const struct sort_row *b)
{
	for (uint32_t i = 0; i < s->x->sort_count; i++) {
		const struct sort_key *key = &s->x->sorts[i];
		const uint8_t *x = a->keys[i], *y = b->keys[i];
		if (x == NULL && y == NULL)
			continue;
		if (x == NULL || y == NULL)
			return (x == NULL) == key->nulls_first ? -1 : 1;
		int order = sats_compare(key->by->type, NULL, x, y);
		if (order != 0)
			return key->descends ? -order : order;
	}
	return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

/* ---- rows ---- */

static struct sort_row *copy_row(struct sorter *s, struct bytes row)
{
	size_t bytes = sizeof(struct sort_row) + s->x->sort_count * sizeof(uint8_t *) + row.len;
	for (uint32_t i = 0; i < s->x->sort_count; i++)
		bytes += s->values[i].data == NULL ? 0 : s->values[i].len;
	if (!budget_take(s->budget, s->ev, bytes + 16))
		return NULL;
	struct sort_row *made = bytes > UINT32_MAX ? NULL : mem_alloc(bytes + 1);
	if (made == NULL) {
		(void)evaluation_fail(s->ev, WL_ERR_MEMORY, "not enough memory for the query");
		return NULL;
	}
	uint8_t *at = (uint8_t *)&made->keys[s->x->sort_count];
	made->sequence = s->candidate->sequence;
	made->row_len = (uint32_t)row.len;
	made->bytes = (uint32_t)bytes;
	for (uint32_t i = 0; i < s->x->sort_count; i++) {
		made->keys[i] = s->values[i].data == NULL ? NULL : at;
		if (s->values[i].data == NULL)
			continue;
		memcpy(at, s->values[i].data, s->values[i].len);
		at += s->values[i].len;
	}
	made->row = at;
	if (row.len > 0)
		memcpy(at, row.data, row.len);
	return made;
}

static bool has_room(struct sorter *s)
{
	if (s->count < s->cap)
		return true;
	size_t cap = s->cap == 0 ? 64 : s->cap * 2;
	if (!budget_take(s->budget, s->ev, (cap - s->cap) * 2 * sizeof(*s->rows))) /* merging needs as much again */
		return false;
	struct sort_row **grown = mem_realloc(s->rows, cap * sizeof(*grown));
	if (grown == NULL)
		return evaluation_fail(s->ev, WL_ERR_MEMORY, "not enough memory for the query");
	s->rows = grown;
	s->cap = cap;
	return true;
}

/* ---- the heap ---- */

static void sift_down(struct sorter *s, size_t at)
{
	for (;;) {
		size_t worst = at;
		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < s->count; child++)
			if (order_of(s, s->rows[child], s->rows[worst]) > 0)
				worst = child;
		if (worst == at)
			return;
		struct sort_row *row = s->rows[at];
		s->rows[at] = s->rows[worst];
		s->rows[worst] = row;
		at = worst;
	}
}

static bool replace_worst(struct sorter *s, struct bytes row)
{
	struct sort_row *old = s->rows[0];
	if (order_of(s, s->candidate, old) >= 0)
		return true;
	s->budget->used -= old->bytes + 16;
	struct sort_row *made = copy_row(s, row);
	if (made == NULL)
		return false;
	s->rows[0] = made;
	mem_free(old);
	sift_down(s, 0);
	return true;
}

bool sorter_add(struct sorter *s, struct bytes row)
{
	if (s->keep == 0)
		return true;
	for (uint32_t i = 0; i < s->x->sort_count; i++) {
		if (!scalar_eval(s->ev, s->x->sorts[i].by, &s->values[i]))
			return false;
		s->candidate->keys[i] = s->values[i].data;
	}
	s->candidate->sequence = s->sequence++;
	if (s->count == s->keep)
		return replace_worst(s, row);
	struct sort_row *made = has_room(s) ? copy_row(s, row) : NULL;
	if (made == NULL)
		return false;
	s->rows[s->count++] = made;
	for (size_t i = s->count / 2; s->count == s->keep && i-- > 0;)
		sift_down(s, i);
	return true;
}

/* ---- in order ---- */

static bool merge(struct sorter *s, struct sort_row **from, struct sort_row **to, size_t width)
{
	for (size_t begin = 0; begin < s->count; begin += 2 * width) {
		size_t a = begin, a_end = size_min(begin + width, s->count), b = a_end, b_end = size_min(b + width, s->count);
		for (size_t at = begin; at < b_end; at++) {
			bool left = b == b_end || (a < a_end && order_of(s, from[a], from[b]) < 0);
			to[at] = left ? from[a++] : from[b++];
			if (at % MERGES_BETWEEN == 0 && !evaluation_goes_on(s->ev, MERGES_BETWEEN))
				return false;
		}
	}
	return true;
}

bool sorter_finish(struct sorter *s)
{
	bool ok = true;
	if (s->count < 2)
		return true;
	struct sort_row **other = mem_alloc(s->count * sizeof(*other));
	if (other == NULL)
		return evaluation_fail(s->ev, WL_ERR_MEMORY, "not enough memory for the query");
	for (size_t width = 1; ok && width < s->count; width *= 2) {
		ok = merge(s, s->rows, other, width);
		if (!ok)
			break; /* the rows are all still in `rows` */
		memcpy(s->rows, other, s->count * sizeof(*other));
	}
	mem_free(other);
	return ok;
}

bool sorter_next(struct sorter *s, struct bytes *row)
{
	if (s->next == s->count)
		return false;
	*row = (struct bytes){ s->rows[s->next]->row, s->rows[s->next]->row_len };
	s->next++;
	return true;
}
