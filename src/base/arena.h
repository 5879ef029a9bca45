/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ARENA_H
#define ARENA_H
/*
 * arena: memory by lifetime. Allocate, never free one by one; reset gives all
 * back at once and keeps the first blocks for the next round, so a steady
 * state allocates nothing. One owner at a time. Alignment 16.
 */
#include "base/base.h"

struct arena_block;
struct arena {
	struct arena_block *first, *current;
	uint8_t *at, *end;
	size_t used, max;     /* bytes handed out; refused beyond max */
	size_t keep;          /* bytes of blocks kept over a reset */
	size_t first_bytes;   /* of the first block; 0: 4 KiB */
};
void arena_init(struct arena *arena, size_t max);
void arena_deinit(struct arena *arena); /* safe on a zeroed struct */
void arena_reset(struct arena *arena);
void *arena_alloc_slow(struct arena *arena, size_t size);
/* NULL when `max` or memory is exhausted. */
static inline void *arena_alloc(struct arena *arena, size_t size)
{
	size_t rounded = (size + 15) & ~(size_t)15;
	if (LIKELY(rounded >= size && (size_t)(arena->end - arena->at) >= rounded && arena->at != NULL)) {
		void *p = arena->at;
		arena->at += rounded;
		arena->used += rounded;
		return p;
	}
	return arena_alloc_slow(arena, size);
}
void *arena_zalloc(struct arena *arena, size_t size);
void *arena_array(struct arena *arena, size_t count, size_t size); /* zeroed, overflow-checked */
void *arena_copy(struct arena *arena, const void *data, size_t len);
struct str arena_str(struct arena *arena, struct str s); /* copied and terminated; .data NULL on failure */
struct str arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
#endif
