/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"

#include "base/mem.h"

void heap_deinit(struct heap *heap)
{
	mem_free(heap->entries);
	*heap = (struct heap){ 0 };
}

bool heap_reserve(struct heap *heap, uint32_t count)
{
	if (count <= heap->cap)
		return true;
	uint32_t cap = heap->cap < 8 ? 16 : heap->cap > UINT32_MAX / 2 ? UINT32_MAX : heap->cap * 2;
	cap = cap < count ? count : cap;
	void *grown = mem_realloc(heap->entries, (size_t)cap * sizeof(struct heap_entry *));
	if (grown == NULL)
		return false;
	heap->entries = grown;
	heap->cap = cap;
	return true;
}

static void put(struct heap *heap, uint32_t at, struct heap_entry *entry)
{
	heap->entries[at] = entry;
	entry->place = at + 1;
}

static void rise(struct heap *heap, uint32_t at, struct heap_entry *entry)
{
	for (; at > 0 && heap->entries[(at - 1) / 2]->key > entry->key; at = (at - 1) / 2)
		put(heap, at, heap->entries[(at - 1) / 2]);
	put(heap, at, entry);
}

static void sink(struct heap *heap, uint32_t at, struct heap_entry *entry)
{
	for (uint32_t child; (child = 2 * at + 1) < heap->count; at = child) {
		if (child + 1 < heap->count && heap->entries[child + 1]->key < heap->entries[child]->key)
			child++;
		if (heap->entries[child]->key >= entry->key)
			break;
		put(heap, at, heap->entries[child]);
	}
	put(heap, at, entry);
}

void heap_add(struct heap *heap, struct heap_entry *entry)
{
	ASSERT(entry->place == 0 && heap->count < heap->cap);
	heap->count++;
	rise(heap, heap->count - 1, entry);
}

void heap_remove(struct heap *heap, struct heap_entry *entry)
{
	if (entry->place == 0)
		return;
	uint32_t at = entry->place - 1;
	ASSERT(at < heap->count && heap->entries[at] == entry);
	entry->place = 0;
	struct heap_entry *last = heap->entries[--heap->count];
	if (last == entry)
		return;
	if (at > 0 && heap->entries[(at - 1) / 2]->key > last->key)
		rise(heap, at, last);
	else
		sink(heap, at, last);
}
