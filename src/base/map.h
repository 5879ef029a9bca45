/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_H
#define MAP_H
/*
 * map: open-addressing hash map from bytes to a pointer or number. Keys are
 * borrowed (they must outlive the entry) and compared bytewise. One owner at
 * a time. Growth is the only allocation.
 */
#include "base/base.h"

struct map_entry {
	const void *key;
	uint32_t key_len;
	uint32_t hash;
	uint64_t value;
};
struct map {
	struct map_entry *entries; /* key == NULL: empty; key_len == UINT32_MAX: removed */
	uint32_t cap, count, removed;
};
void map_deinit(struct map *map); /* safe on a zeroed struct, which is an empty map */
/* Adds or replaces. */
bool map_put(struct map *map, const void *key, size_t key_len, uint64_t value) CHECKED;
bool map_get(const struct map *map, const void *key, size_t key_len, uint64_t *value);
bool map_remove(struct map *map, const void *key, size_t key_len);
/* Iteration: start with *cursor = 0; NULL at the end. No changes meanwhile. */
const struct map_entry *map_next(const struct map *map, uint32_t *cursor);
static inline void *map_get_ptr(const struct map *map, struct str key)
{
	uint64_t value;
	return map_get(map, key.data, key.len, &value) ? (void *)(uintptr_t)value : NULL;
}
static inline bool map_put_ptr(struct map *map, struct str key, void *value)
{
	return map_put(map, key.data, key.len, (uintptr_t)value);
}
#endif
