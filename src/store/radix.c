/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unique integer keys: chunks of 4,096 row numbers where keys are dense, the
 * tree elsewhere.
 *
 * Invariants:
 * 1. A key is in its chunk if that exists, else in the tree; never in both.
 * 2. A chunk is made when a leaf that would have to split is so dense that
 *    the chunk can be expected to cost no more than leaves do, and its keys
 *    are indeed that many; or when its lower neighbour is well filled. At most
 *    one chunk's keys move at a time; no index is ever copied as a whole.
 * 3. The directory never has more than eight places per chunk (and 64).
 */
#include "store/store_internal.h"

void radix_free(struct radix *radix)
{
	for (uint32_t i = 0; i < radix->count; i++)
		mem_free(radix->chunks[i].rows);
	mem_free(radix->chunks);
	*radix = (struct radix){ 0 };
}

static struct probe key_probe(uint64_t key)
{
	struct probe probe;
	probe.key = key;
	probe.tie = TIE_FIRST;
	probe.columns = 1;
	probe.equal = true;
	return probe;
}

/* Makes the directory reach `number`. False: too sparse for that, or no memory. */
static bool directory_reach(struct radix *radix, uint64_t number)
{
	if (radix->used == 0) {
		radix->base = number;
		radix->count = 0;
	}
	uint64_t low = number < radix->base ? number : radix->base;
	uint64_t high = number - radix->base >= radix->count && number > radix->base ? number + 1 :
		radix->base + radix->count;
	if (radix->count == 0)
		high = number + 1;
	uint64_t span = high - low;
	if (span > 64 + 8 * (uint64_t)radix->used)
		return false;
	if (span > radix->cap) {
		uint32_t cap = (uint32_t)size_max(span, radix->cap * 2u);
		struct chunk *chunks = mem_realloc(radix->chunks, cap * sizeof(*chunks));
		if (chunks == NULL)
			return false;
		radix->chunks = chunks;
		radix->cap = cap;
	}
	uint64_t shift = radix->base - low;
	memmove(radix->chunks + shift, radix->chunks, radix->count * sizeof(*radix->chunks));
	memset(radix->chunks, 0, shift * sizeof(*radix->chunks));
	uint64_t filled = shift + radix->count;
	memset(radix->chunks + filled, 0, (span - filled) * sizeof(*radix->chunks));
	radix->base = low;
	radix->count = (uint32_t)span;
	return true;
}

/* Keys in the tree that belong to a chunk. */
static uint32_t keys_in_tree(const struct store_index *ix, uint64_t number)
{
	uint32_t count = 0;
	struct probe probe = key_probe(number << CHUNK_BITS);
	for (struct tree_position at = tree_seek(ix, &probe); at.leaf != NULL; at = tree_next(at), count++)
		if ((uint64_t)tree_key_at(ix, at) >> CHUNK_BITS != number)
			break;
	return count;
}

/* Makes the chunk of `key` and moves its keys out of the tree. False: not possible, nothing changed. */
static bool chunk_make(struct store_index *ix, uint64_t key)
{
	struct radix *radix = &ix->radix;
	uint64_t number = key >> CHUNK_BITS;
	if (!directory_reach(radix, number))
		return false;
	uint32_t *rows = mem_alloc(CHUNK_KEYS * sizeof(*rows));
	if (rows == NULL)
		return false;
	memset(rows, 0xff, CHUNK_KEYS * sizeof(*rows));
	uint32_t count = 0;
	struct probe probe = key_probe(number << CHUNK_BITS);
	for (struct tree_position at = tree_seek(ix, &probe); at.leaf != NULL; at = tree_next(at)) {
		uint64_t found = (uint64_t)tree_key_at(ix, at);
		if (found >> CHUNK_BITS != number)
			break;
		rows[found & (CHUNK_KEYS - 1)] = tree_row_at(ix, at);
		count++;
	}
	for (uint32_t i = 0; i < CHUNK_KEYS; i++) {
		if (rows[i] == ROW_NONE)
			continue;
		probe = key_probe((number << CHUNK_BITS) + i);
		bool removed = tree_remove(ix, &probe, rows[i]);
		ASSERT(removed);
	}
	radix->chunks[number - radix->base] = (struct chunk){ rows, count };
	radix->used++;
	return true;
}

static uint32_t chunk_count(const struct radix *radix, uint64_t number)
{
	uint64_t at = number - radix->base;
	return at < radix->count ? radix->chunks[at].count : 0;
}

/* The leaf's keys lie close enough together for a chunk, whose keys are then counted. */
static bool is_dense(const struct store_index *ix, const struct tree_node *leaf, uint64_t key)
{
	uint64_t first = (uint64_t)tree_node_key(ix, leaf, 0), last = (uint64_t)tree_node_key(ix, leaf, leaf->count - 1u);
	if ((last - first) / (CHUNK_KEYS / CHUNK_KEYS_MIN) > leaf->count)
		return false;
	return keys_in_tree(ix, key >> CHUNK_BITS) >= CHUNK_KEYS_MIN;
}

enum store_status radix_insert(struct store_index *ix, const struct probe *probe, uint32_t row)
{
	struct radix *radix = &ix->radix;
	uint64_t key = (uint64_t)probe->key, number = key >> CHUNK_BITS;
	uint32_t *slot = radix_slot(radix, key);
	if (slot == NULL && number > 0 && chunk_count(radix, number - 1) > CHUNK_KEYS / 2 && chunk_make(ix, key))
		slot = radix_slot(radix, key);
	if (slot == NULL) {
		struct tree_node *full;
		enum store_status status = tree_insert(ix, probe, row, false, &full);
		if (status != TREE_FULL)
			return status;
		if (!is_dense(ix, full, key) || !chunk_make(ix, key))
			return tree_insert(ix, probe, row, true, NULL);
		slot = radix_slot(radix, key);
	}
	DEBUG_ASSERT(*slot == ROW_NONE);
	*slot = row;
	radix->chunks[number - radix->base].count++;
	return STORE_OK;
}

static void chunk_free(struct radix *radix, uint64_t at)
{
	mem_free(radix->chunks[at].rows);
	radix->chunks[at] = (struct chunk){ 0 };
	radix->used--;
}

void radix_remove(struct store_index *ix, const struct probe *probe, uint32_t row)
{
	struct radix *radix = &ix->radix;
	uint64_t key = (uint64_t)probe->key;
	uint32_t *slot = radix_slot(radix, key);
	if (slot == NULL) {
		tree_remove(ix, probe, row);
		return;
	}
	if (*slot != row)
		return;
	*slot = ROW_NONE;
	uint64_t at = (key >> CHUNK_BITS) - radix->base;
	uint32_t left = --radix->chunks[at].count;
	if (left == 0)
		chunk_free(radix, at);
	else if (left < CHUNK_KEYS_THIN)
		radix->sparse = true;
}

bool radix_next(const struct radix *radix, uint64_t from, uint64_t *key, uint32_t *row)
{
	uint64_t number = from >> CHUNK_BITS, at = 0;
	uint32_t i = from & (CHUNK_KEYS - 1);
	if (number < radix->base)
		i = 0;
	else
		at = number - radix->base;
	for (; at < radix->count; at++, i = 0) {
		const uint32_t *rows = radix->chunks[at].rows;
		if (rows == NULL)
			continue;
		for (; i < CHUNK_KEYS; i++) {
			if (rows[i] != ROW_NONE) {
				*key = (radix->base + at) << CHUNK_BITS | i;
				*row = rows[i];
				return true;
			}
		}
	}
	return false;
}

/* Only when chunks are sparse on the whole, so that its cost is paid for by the removals before it. */
void radix_thin(struct store_index *ix)
{
	struct radix *radix = &ix->radix;
	if (!radix->sparse)
		return;
	radix->sparse = false;
	uint64_t keys = 0;
	for (uint32_t c = 0; c < radix->count; c++)
		keys += radix->chunks[c].count;
	if (keys > (uint64_t)radix->used * CHUNK_KEYS_THIN)
		return;
	for (uint32_t c = 0; c < radix->count; c++) {
		struct chunk chunk = radix->chunks[c];
		if (chunk.rows == NULL || chunk.count >= CHUNK_KEYS_THIN)
			continue;
		uint32_t moved = 0;
		for (uint32_t i = 0; i < CHUNK_KEYS && moved < chunk.count; i++) {
			if (chunk.rows[i] == ROW_NONE)
				continue;
			struct probe probe = key_probe((radix->base + c) << CHUNK_BITS | i);
			if (tree_insert(ix, &probe, chunk.rows[i], true, NULL) != STORE_OK)
				break;
			moved++;
		}
		if (moved == chunk.count) {
			chunk_free(radix, c);
			continue;
		}
		/* No memory: undo, try another time. */
		for (uint32_t i = 0; moved > 0; i++) {
			if (chunk.rows[i] == ROW_NONE)
				continue;
			struct probe probe = key_probe((radix->base + c) << CHUNK_BITS | i);
			tree_remove(ix, &probe, chunk.rows[i]);
			moved--;
		}
		return;
	}
}
