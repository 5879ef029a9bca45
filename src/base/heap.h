/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HEAP_H
#define HEAP_H
/*
 * heap: things by a key, the smallest first. What is in it has a heap_entry
 * inside, so that it can be taken out wherever it is. One owner at a time.
 * heap_reserve is the only allocation.
 */
#include "base/base.h"

struct heap_entry {
	int64_t key;    /* not to be changed while it is in */
	uint32_t place; /* from 1; 0: not in a heap */
};
struct heap {
	struct heap_entry **entries;
	uint32_t count, cap;
};
void heap_deinit(struct heap *heap); /* safe on a zeroed struct, which is an empty heap */
/* Room for `count` entries in all. False: no memory. */
bool heap_reserve(struct heap *heap, uint32_t count) CHECKED;
/* There is room, and it is not in. */
void heap_add(struct heap *heap, struct heap_entry *entry);
void heap_remove(struct heap *heap, struct heap_entry *entry); /* nothing if it is not in */
static inline struct heap_entry *heap_first(const struct heap *heap) /* NULL: empty */
{
	return heap->count == 0 ? NULL : heap->entries[0];
}
#endif
