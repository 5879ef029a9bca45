/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extendible hashing of row numbers: a directory of segments with open
 * addressing; a full segment is split in two, so that growth moves at most
 * one segment's rows at a time. An entry is 4 bytes and a tag of 8 hash
 * bits; hashes and keys are read from the rows.
 *
 * Used for unique hash indexes and, with ix == NULL, for the set of whole
 * rows that tables without a unique index need.
 *
 * Invariants:
 * 1. Segment s serves all hashes whose upper `depth` bits lead to it in the
 *    directory; 1 << (directory depth - segment depth) places point to it.
 * 2. At most seven eighths of a segment's places are not empty (tag 0), so
 *    that searches end. A removed entry leaves tag 1.
 * 3. Removing and replacing never allocate.
 */
#include "store/store_internal.h"

enum {
	SEGMENT_ROWS_FIRST = 8,
	SEGMENT_ROWS_MAX = 2048,
	DEPTH_MAX = 26,
	TAG_EMPTY = 0, TAG_REMOVED = 1, TAG_FIRST = 2,
};

struct hash_segment {
	uint32_t cap, live, filled; /* filled: live and removed */
	uint32_t depth;
	uint32_t rows[];
	/* uint8_t tags[cap] */
};

static inline uint8_t *tags(const struct hash_segment *s)
{
	return (uint8_t *)(s->rows + s->cap);
}

static size_t segment_size(uint32_t cap)
{
	return sizeof(struct hash_segment) + (size_t)cap * 5;
}

static inline uint8_t tag_of(uint64_t hash)
{
	uint8_t tag = (uint8_t)(hash >> 24);
	return tag < TAG_FIRST ? tag + TAG_FIRST : tag;
}

static inline uint64_t directory_at(const struct hash *h, uint64_t hash)
{
	return h->depth == 0 ? 0 : hash >> (64 - h->depth);
}

void hash_probe_whole(const uint8_t *row, uint32_t len, struct probe *probe)
{
	probe->at[0] = row;
	probe->columns = len;
	probe->key = hash_bytes(row, len);
}

static uint64_t hash_of_row(const struct store_table *t, const struct store_index *ix, uint32_t row)
{
	uint32_t len;
	const uint8_t *data = row_data(t, row, &len);
	if (ix == NULL)
		return hash_bytes(data, len);
	struct probe probe;
	index_probe_row(ix, data, &probe);
	return (uint64_t)probe.key;
}

static bool row_matches(const struct store_table *t, const struct store_index *ix, uint32_t row,
	const struct probe *probe)
{
	if (ix != NULL)
		return index_compare_row(ix, row, probe, ix->column_count) == 0;
	uint32_t len;
	const uint8_t *data = row_data(t, row, &len);
	return len == probe->columns && memcmp(data, probe->at[0], len) == 0;
}

static struct hash_segment *segment_new(struct hash *h, uint32_t cap, uint32_t depth)
{
	struct hash_segment *s = mem_alloc(segment_size(cap));
	if (s == NULL)
		return NULL;
	*s = (struct hash_segment){ .cap = cap, .depth = depth };
	memset(tags(s), TAG_EMPTY, cap);
	h->bytes += segment_size(cap);
	return s;
}

static void segment_free(struct hash *h, struct hash_segment *s)
{
	h->bytes -= segment_size(s->cap);
	mem_free(s);
}

void hash_free(struct hash *h)
{
	if (h->segments != NULL) {
		uint64_t places = 1ull << h->depth;
		for (uint64_t i = 0; i < places;) {
			struct hash_segment *s = h->segments[i];
			i += 1ull << (h->depth - s->depth);
			mem_free(s);
		}
		mem_free(h->segments);
	}
	*h = (struct hash){ 0 };
}

static void place(struct hash_segment *s, uint64_t hash, uint32_t row)
{
	uint32_t i = (uint32_t)hash & (s->cap - 1);
	while (tags(s)[i] >= TAG_FIRST)
		i = (i + 1) & (s->cap - 1);
	s->filled += tags(s)[i] == TAG_EMPTY;
	s->live++;
	tags(s)[i] = tag_of(hash);
	s->rows[i] = row;
}

/* Place of the entry: with `row` ROW_NONE by key, else of that row. cap when there is none. */
static uint32_t search(const struct hash_segment *s, const struct store_table *t, const struct store_index *ix,
	const struct probe *probe, uint32_t row)
{
	uint8_t tag = tag_of((uint64_t)probe->key);
	for (uint32_t i = (uint32_t)probe->key & (s->cap - 1); tags(s)[i] != TAG_EMPTY; i = (i + 1) & (s->cap - 1)) {
		if (tags(s)[i] != tag)
			continue;
		if (row == ROW_NONE ? row_matches(t, ix, s->rows[i], probe) : s->rows[i] == row)
			return i;
	}
	return s->cap;
}

uint32_t hash_find(const struct hash *h, const struct store_table *t, const struct store_index *ix,
	const struct probe *probe)
{
	if (h->segments == NULL)
		return ROW_NONE;
	const struct hash_segment *s = h->segments[directory_at(h, (uint64_t)probe->key)];
	uint32_t i = search(s, t, ix, probe, ROW_NONE);
	return i == s->cap ? ROW_NONE : s->rows[i];
}

static bool directory_double(struct hash *h)
{
	uint64_t places = 1ull << h->depth;
	struct hash_segment **segments = mem_alloc(places * 2 * sizeof(*segments));
	if (segments == NULL)
		return false;
	for (uint64_t i = 0; i < places; i++)
		segments[2 * i] = segments[2 * i + 1] = h->segments[i];
	mem_free(h->segments);
	h->segments = segments;
	h->depth++;
	return true;
}

static void directory_set(struct hash *h, uint64_t hash, const struct hash_segment *old, struct hash_segment *fresh)
{
	uint64_t span = 1ull << (h->depth - fresh->depth);
	uint64_t from = directory_at(h, hash) & ~(span - 1);
	for (uint64_t i = from; i < from + span; i++) {
		DEBUG_ASSERT(h->segments[i] == old);
		h->segments[i] = fresh;
	}
	(void)old;
}

/* Replaces a full segment by a larger or cleaner one, or by two. */
static bool make_room(struct hash *h, const struct store_table *t, const struct store_index *ix, uint64_t hash)
{
	struct hash_segment *old = h->segments[directory_at(h, hash)];
	bool split = old->live * 2 > old->cap && old->cap >= SEGMENT_ROWS_MAX && old->depth < DEPTH_MAX;
	if (split && old->depth == h->depth && !directory_double(h))
		return false;
	uint32_t cap = !split && old->live * 2 > old->cap ? old->cap * 2 : old->cap;
	struct hash_segment *low = segment_new(h, cap, old->depth + split), *high = NULL;
	if (low == NULL)
		return false;
	if (split) {
		high = segment_new(h, cap, low->depth);
		if (high == NULL) {
			segment_free(h, low);
			return false;
		}
	}
	for (uint32_t i = 0; i < old->cap; i++) {
		if (tags(old)[i] < TAG_FIRST)
			continue;
		uint64_t entry = hash_of_row(t, ix, old->rows[i]);
		bool upper = split && (entry >> (64 - low->depth) & 1) != 0;
		place(upper ? high : low, entry, old->rows[i]);
	}
	uint64_t bit = split ? 1ull << (64 - low->depth) : 0;
	directory_set(h, hash & ~bit, old, low);
	if (split)
		directory_set(h, hash | bit, old, high);
	segment_free(h, old);
	return true;
}

enum store_status hash_insert(struct hash *h, const struct store_table *t, const struct store_index *ix,
	const struct probe *probe, uint32_t row)
{
	uint64_t hash = (uint64_t)probe->key;
	if (h->segments == NULL) {
		struct hash_segment **segments = mem_alloc(sizeof(*segments));
		struct hash_segment *s = segments == NULL ? NULL : segment_new(h, SEGMENT_ROWS_FIRST, 0);
		if (s == NULL) {
			mem_free(segments);
			return STORE_MEMORY;
		}
		segments[0] = s;
		h->segments = segments;
		h->depth = 0;
	}
	struct hash_segment *s = h->segments[directory_at(h, hash)];
	while (UNLIKELY((s->filled + 1) * 8 > s->cap * 7)) {
		if (!make_room(h, t, ix, hash))
			return STORE_MEMORY;
		s = h->segments[directory_at(h, hash)];
	}
	place(s, hash, row);
	h->count++;
	return STORE_OK;
}

void hash_remove(struct hash *h, const struct store_table *t, const struct store_index *ix, const struct probe *probe,
	uint32_t row)
{
	if (h->segments == NULL)
		return;
	struct hash_segment *s = h->segments[directory_at(h, (uint64_t)probe->key)];
	uint32_t i = search(s, t, ix, probe, row);
	if (i == s->cap)
		return;
	/* Nothing was pushed past this place if the next one is empty. */
	bool last = tags(s)[(i + 1) & (s->cap - 1)] == TAG_EMPTY;
	tags(s)[i] = last ? TAG_EMPTY : TAG_REMOVED;
	s->filled -= last;
	s->live--;
	h->count--;
}

void hash_replace(struct hash *h, const struct store_table *t, const struct store_index *ix, const struct probe *probe,
	uint32_t row)
{
	struct hash_segment *s = h->segments[directory_at(h, (uint64_t)probe->key)];
	uint32_t i = search(s, t, ix, probe, ROW_NONE);
	ASSERT(i < s->cap);
	s->rows[i] = row;
}
