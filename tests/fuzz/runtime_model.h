/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_MODEL_H
#define RUNTIME_MODEL_H
/*
 * What the datastore and the handles of a guest must look like, as simply as it can be said: for runtime_model_fuzz.c.
 *
 *   big    id u8 primary key (btree, generated), tag u8 (btree), data bytes: `size` times `fill`
 *   small  key u8 unique (hash), value u8
 */
#include "base/buf.h"

enum { KEYS = 256, CHUNK_BYTES = 32768, HANDLES_MAX = 64 };

struct big_row {
	bool there;
	uint8_t tag, fill;
	uint16_t size;
};
struct tables {
	struct big_row big[KEYS];
	bool small[KEYS];
	uint8_t values[KEYS];
};

/* Slots as they are given out: the one freed last first. Handle = slot + 1. */
struct slots {
	bool live[HANDLES_MAX];
	uint32_t freed[HANDLES_MAX], freed_count, used;
};

/* Rows that an iterator must give. Ordered: exactly `bytes`; else any order of them. */
struct expected_rows {
	bool ordered;
	struct big_row rows[KEYS]; /* `there`: is among them */
	struct buf bytes;          /* ordered: all of them; else: what came */
	struct buf advances;       /* not ordered: {cap, code, len} as u32 of each advance, to be checked in the end */
	size_t at;
};

static inline uint32_t slots_take(struct slots *s)
{
	uint32_t slot = s->freed_count > 0 ? s->freed[--s->freed_count] : s->used++;
	s->live[slot] = true;
	return slot + 1;
}

static inline bool slots_live(const struct slots *s, uint32_t handle)
{
	return handle - 1 < HANDLES_MAX && s->live[handle - 1];
}

static inline void slots_free(struct slots *s, uint32_t handle)
{
	s->live[handle - 1] = false;
	s->freed[s->freed_count++] = handle - 1;
}

static inline bool slots_full(const struct slots *s)
{
	return s->freed_count == 0 && s->used == HANDLES_MAX;
}

static inline void put_big(struct buf *out, uint8_t id, const struct big_row *row)
{
	buf_put_u8(out, id);
	buf_put_u8(out, row->tag);
	buf_put_u32(out, row->size);
	for (uint32_t i = 0; i < row->size; i++)
		buf_put_u8(out, row->fill);
}

static inline bool same_big(const struct big_row *a, const struct big_row *b)
{
	return a->there && b->there && a->tag == b->tag && a->size == b->size && (a->size == 0 || a->fill == b->fill);
}

/* The end of the chunk that begins at `from`: behind the row that takes it over the size of a chunk. */
static inline size_t chunk_end(const struct buf *rows, size_t from)
{
	size_t at = from;
	while (at < rows->len && at - from <= CHUNK_BYTES)
		at += 6 + load_u32(rows->data + at + 2);
	return at;
}

/* What an advance with this capacity gives: its code, and in *len what it writes there. */
static inline int32_t model_advance(const struct buf *rows, size_t *at, uint32_t cap, uint32_t *len)
{
	size_t from = *at;
	while (*at < rows->len && chunk_end(rows, *at) - from <= cap)
		*at = chunk_end(rows, *at);
	*len = (uint32_t)(*at - from);
	if (*at == rows->len)
		return -1;
	if (*at > from)
		return 0;
	*len = (uint32_t)(chunk_end(rows, *at) - from);
	return 11;
}

/* An iterator without an order is at its end: each row came once, in whole chunks, as the capacities allowed. */
static inline void check_unordered(struct expected_rows *it)
{
	struct buf row = BUF_INIT(1 << 20);
	for (size_t at = 0; at < it->bytes.len;) {
		ASSERT(at + 6 <= it->bytes.len);
		uint8_t id = it->bytes.data[at];
		ASSERT(it->rows[id].there);
		buf_clear(&row);
		put_big(&row, id, &it->rows[id]);
		ASSERT(row.len <= it->bytes.len - at && memcmp(row.data, it->bytes.data + at, row.len) == 0);
		it->rows[id].there = false;
		at += row.len;
	}
	for (uint32_t id = 0; id < KEYS; id++)
		ASSERT(!it->rows[id].there);
	size_t at = 0;
	for (size_t i = 0; i < it->advances.len; i += 12) {
		uint32_t len;
		int32_t code = model_advance(&it->bytes, &at, load_u32(it->advances.data + i), &len);
		ASSERT(code == (int32_t)load_u32(it->advances.data + i + 4) && len == load_u32(it->advances.data + i + 8));
	}
	buf_deinit(&row);
}
#endif
