/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of rows of variable size. Blocks are appended to segments; a
 * block that is dropped leaves a hole. A segment without blocks is given
 * back at once; segments that are mostly holes are emptied by moving their
 * blocks, a bounded number after each commit, when holes are more than what lives.
 *
 * Invariants:
 * 1. segment.live is the bytes of its blocks in use, headers included.
 * 2. A block's header names its row, and the row's slot names the block,
 *    between transactions; inside one, an old block may be named by an image
 *    only. Hence blocks move between transactions only.
 * 3. Dropping never allocates.
 */
#include "store/store_internal.h"

enum { COMPACT_SEGMENTS_MAX = 64, COMPACT_BYTES_MAX = 64 << 10, HOLES_MIN = 64 << 10 };
#define NO_SEGMENT UINT32_MAX

struct heap *heap_create(struct store *store)
{
	struct heap *heap = mem_zalloc(sizeof(*heap));
	if (heap == NULL)
		return NULL;
	heap->store = store;
	heap->free_id = heap->current = NO_SEGMENT;
	return heap;
}

static union segment_head *head_of(uint8_t *data)
{
	return (union segment_head *)(void *)(data - sizeof(union segment_head));
}

static bool is_shared(const struct heap *heap, uint8_t *data)
{
	return UNLIKELY(heap->frozen != 0) && head_of(data)->epoch < heap->frozen;
}

static void segment_free(struct heap *heap, uint8_t *data, uint32_t size)
{
	if (data == NULL)
		return;
	if (is_shared(heap, data))
		retire(heap->store, &head_of(data)->retired, size, false);
	else
		mem_free(head_of(data));
}

static void free_all(struct heap *heap)
{
	for (uint32_t i = 0; i < heap->count; i++)
		segment_free(heap, heap->segments[i].data, heap->segments[i].size);
	mem_free(heap->segments);
	if (heap->spare != NULL)
		mem_free(head_of(heap->spare));
}

void heap_destroy(struct heap *heap)
{
	if (heap == NULL)
		return;
	free_all(heap);
	mem_free(heap);
}

void heap_reset(struct heap *heap)
{
	free_all(heap);
	*heap = (struct heap){ .store = heap->store, .frozen = heap->frozen, .free_id = NO_SEGMENT, .current = NO_SEGMENT };
}

static uint32_t block_size(uint32_t len)
{
	return (BLOCK_HEADER + len + 3) & ~3u;
}

static uint8_t *segment_memory(struct heap *heap, uint32_t size)
{
	uint8_t *data = heap->spare;
	if (size == SEGMENT_BYTES && data != NULL) {
		heap->spare = NULL;
	} else {
		union segment_head *head = mem_alloc(sizeof(*head) + size);
		if (head == NULL)
			return NULL;
		data = (uint8_t *)(head + 1);
	}
	head_of(data)->epoch = heap->store->epoch;
	return data;
}

static uint32_t segment_add(struct heap *heap, uint32_t size)
{
	uint32_t id = heap->free_id;
	if (id == NO_SEGMENT) {
		if (heap->count == heap->cap) {
			uint32_t cap = heap->cap == 0 ? 2 : heap->cap * 2;
			struct segment *segments = mem_realloc(heap->segments, (size_t)cap * sizeof(*segments));
			if (segments == NULL)
				return NO_SEGMENT;
			heap->segments = segments;
			heap->cap = cap;
		}
		id = heap->count;
	}
	uint8_t *data = segment_memory(heap, size);
	if (data == NULL)
		return NO_SEGMENT;
	if (id == heap->count)
		heap->count++;
	else
		heap->free_id = heap->segments[id].live;
	heap->segments[id] = (struct segment){ data, size, 0, 0 };
	heap->bytes += size;
	return id;
}

static void segment_give_back(struct heap *heap, uint32_t id)
{
	struct segment *s = &heap->segments[id];
	heap->bytes -= s->size;
	if (s->size == SEGMENT_BYTES && heap->spare == NULL && !is_shared(heap, s->data))
		heap->spare = s->data;
	else
		segment_free(heap, s->data, s->size);
	*s = (struct segment){ .live = heap->free_id };
	heap->free_id = id;
}

enum store_status heap_put(struct heap *heap, uint32_t row, const uint8_t *data, uint32_t len,
	uint8_t location[LOCATION_BYTES])
{
	uint32_t size = block_size(len), id = heap->current;
	if (size > BLOCK_SHARED_MAX) {
		id = segment_add(heap, size);
	} else if (id == NO_SEGMENT || heap->segments[id].size - heap->segments[id].top < size) {
		uint32_t want = SEGMENT_BYTES_MIN;
		while (want < SEGMENT_BYTES && (want < heap->bytes || want < size))
			want *= 2;
		id = segment_add(heap, want);
		if (id != NO_SEGMENT) {
			uint32_t before = heap->current;
			heap->current = id;
			if (before != NO_SEGMENT && heap->segments[before].live == 0)
				segment_give_back(heap, before);
		}
	}
	if (id == NO_SEGMENT)
		return STORE_MEMORY;
	struct segment *s = &heap->segments[id];
	uint8_t *block = s->data + s->top;
	store_u32(location, id);
	store_u32(location + 4, s->top);
	store_u32(block, row);
	store_u32(block + 4, len);
	memcpy(block + BLOCK_HEADER, data, len);
	s->top += size;
	s->live += size;
	heap->live_bytes += size;
	return STORE_OK;
}

void heap_drop(struct heap *heap, const uint8_t location[LOCATION_BYTES])
{
	uint32_t id = load_u32(location);
	struct segment *s = &heap->segments[id];
	uint32_t size = block_size(load_u32(s->data + load_u32(location + 4) + 4));
	DEBUG_ASSERT(s->live >= size);
	s->live -= size;
	heap->live_bytes -= size;
	if (s->live > 0)
		return;
	if (id == heap->current)
		s->top = is_shared(heap, s->data) ? s->top : 0;
	else
		segment_give_back(heap, id);
}

/* False when memory ran out: the rest stays where it is. */
static bool segment_empty(struct store_table *t, uint32_t id)
{
	struct heap *heap = t->heap;
	for (uint32_t at = 0; heap->segments[id].data != NULL && at < heap->segments[id].top;) {
		const uint8_t *block = heap->segments[id].data + at;
		uint32_t row = load_u32(block), len = load_u32(block + 4);
		uint8_t here[LOCATION_BYTES], there[LOCATION_BYTES];
		store_u32(here, id);
		store_u32(here + 4, at);
		at += block_size(len);
		bool exists = row >> t->shift < t->page_count && row_page(t, row) != NULL &&
			(row & t->slot_mask) < t->page_cap_rows && row_visible(t, row);
		if (!exists || memcmp(row_slot(t, row), here, LOCATION_BYTES) != 0)
			continue;
		if (heap_put(heap, row, block + BLOCK_HEADER, len, there) != STORE_OK)
			return false;
		memcpy(row_slot(t, row), there, LOCATION_BYTES);
		heap_drop(heap, here);
	}
	return true;
}

void heap_compact(struct store_table *t)
{
	struct heap *heap = t->heap;
	uint32_t moved = 0;
	if (heap->frozen != 0) /* rows would move within pages that a snapshot has */
		return;
	for (uint32_t i = 0; i < COMPACT_SEGMENTS_MAX && moved < COMPACT_BYTES_MAX; i++) {
		if (heap->bytes < heap->live_bytes / 2 * 3 + HOLES_MIN)
			return;
		if (heap->compact_at >= heap->count)
			heap->compact_at = 0;
		uint32_t id = heap->compact_at++;
		struct segment *s = &heap->segments[id];
		if (s->data == NULL || id == heap->current || s->live > s->top / 3 * 2 || s->size > SEGMENT_BYTES)
			continue;
		moved += s->live;
		if (!segment_empty(t, id))
			return;
	}
}
