/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slab: small numbers for things a guest holds.
 *
 * 1. Slots below `used` are live (items[i] != NULL) or in the free chain that
 *    starts at free_head; free_head == used means that the chain is empty.
 * 2. The slot freed last is given out first.
 */
#include "base/mem.h"
#include "runtime/runtime_internal.h"

static bool grow(struct slab *slab, uint32_t max)
{
	uint32_t cap = slab->cap == 0 ? 8 : slab->cap * 2;
	if (cap > max)
		cap = max;
	void **items = mem_realloc(slab->items, cap * sizeof(*items));
	if (items == NULL)
		return false;
	slab->items = items;
	uint32_t *next = mem_realloc(slab->next, cap * sizeof(*next));
	if (next == NULL)
		return false;
	slab->next = next;
	slab->cap = cap;
	return true;
}

bool slab_put(struct slab *slab, void *item, uint32_t max, uint32_t *handle)
{
	uint32_t at = slab->free_head;
	if (at < slab->used) {
		slab->free_head = slab->next[at];
	} else {
		if (slab->used == max || (slab->used == slab->cap && !grow(slab, max)))
			return false;
		slab->used++;
		slab->free_head = slab->used;
	}
	slab->items[at] = item;
	*handle = at + 1;
	return true;
}

void *slab_get(const struct slab *slab, uint32_t handle)
{
	uint32_t at = handle - 1; /* 0 wraps to a slot that never exists */
	return at < slab->used ? slab->items[at] : NULL;
}

void *slab_take(struct slab *slab, uint32_t handle)
{
	void *item = slab_get(slab, handle);
	if (item == NULL)
		return NULL;
	uint32_t at = handle - 1;
	slab->items[at] = NULL;
	slab->next[at] = slab->free_head;
	slab->free_head = at;
	return item;
}

void *slab_next(const struct slab *slab, uint32_t *cursor)
{
	while (*cursor < slab->used) {
		void *item = slab->items[(*cursor)++];
		if (item != NULL)
			return item;
	}
	return NULL;
}

void slab_deinit(struct slab *slab)
{
	mem_free(slab->items);
	mem_free(slab->next);
	*slab = (struct slab){ 0 };
}
