/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arena: a chain of blocks. Reset rewinds to the first block and frees what
 * exceeds `keep`, so a steady state allocates nothing.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

enum { BLOCK_MIN = 4096, BLOCK_MAX = 1 << 20, KEEP_DEFAULT = 256 << 10 };

struct arena_block {
	struct arena_block *next;
	size_t size; /* of the bytes behind the header */
	_Alignas(16) uint8_t data[];
};

void arena_init(struct arena *arena, size_t max)
{
	*arena = (struct arena){ .max = max, .keep = KEEP_DEFAULT };
}

void arena_deinit(struct arena *arena)
{
	struct arena_block *block = arena->first;
	while (block != NULL) {
		struct arena_block *next = block->next;
		mem_free(block);
		block = next;
	}
	size_t max = arena->max;
	arena_init(arena, max);
}

static void enter(struct arena *arena, struct arena_block *block)
{
	arena->current = block;
	arena->at = block == NULL ? NULL : block->data;
	arena->end = block == NULL ? NULL : block->data + block->size;
}

void arena_reset(struct arena *arena)
{
	size_t kept = 0;
	struct arena_block **link = &arena->first;
	while (*link != NULL) {
		struct arena_block *block = *link;
		if (kept + block->size <= arena->keep) {
			kept += block->size;
			link = &block->next;
		} else {
			*link = block->next;
			mem_free(block);
		}
	}
	arena->used = 0;
	enter(arena, arena->first);
}

void *arena_alloc_slow(struct arena *arena, size_t size)
{
	size_t rounded = align_up(size != 0 ? size : 1, 16), total;
	if (rounded < size || !size_add(arena->used, rounded, &total) || total > arena->max)
		return NULL;
	/* Blocks kept by a reset come first, if the next one is large enough. */
	struct arena_block *next = arena->current == NULL ? arena->first : arena->current->next;
	if (next == NULL || next->size < rounded) {
		size_t first = arena->first_bytes != 0 ? arena->first_bytes : BLOCK_MIN;
		size_t grown = arena->current == NULL ? first : size_min(arena->current->size * 2, BLOCK_MAX);
		size_t block_size = size_max(rounded, grown);
		struct arena_block *block = mem_alloc(sizeof(*block) + block_size);
		if (block == NULL)
			return NULL;
		block->size = block_size;
		block->next = next;
		if (arena->current == NULL)
			arena->first = block;
		else
			arena->current->next = block;
		next = block;
	}
	enter(arena, next);
	void *p = arena->at;
	arena->at += rounded;
	arena->used = total;
	return p;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
	void *p = arena_alloc(arena, size);
	if (p != NULL)
		memset(p, 0, size);
	return p;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
	size_t bytes;
	return size_mul(count, size, &bytes) ? arena_zalloc(arena, bytes) : NULL;
}

void *arena_copy(struct arena *arena, const void *data, size_t len)
{
	void *p = arena_alloc(arena, len);
	if (p != NULL && len > 0)
		memcpy(p, data, len);
	return p;
}

struct str arena_str(struct arena *arena, struct str s)
{
	char *p = arena_alloc(arena, s.len + 1);
	if (p == NULL)
		return (struct str){ NULL, 0 };
	if (s.len > 0)
		memcpy(p, s.data, s.len);
	p[s.len] = '\0';
	return (struct str){ p, s.len };
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	struct str out = { NULL, 0 };
	char *p = n < 0 ? NULL : arena_alloc(arena, (size_t)n + 1);
	if (p != NULL) {
		vsnprintf(p, (size_t)n + 1, format, again);
		out = (struct str){ p, (size_t)n };
	}
	va_end(again);
	return out;
}
