/* SPDX-License-Identifier: Apache-2.0 */
/* Linear probing over a power-of-two table, at most three quarters full counting removed entries. */
#include "base/map.h"
#include "base/mem.h"

#define REMOVED_LEN UINT32_MAX

static const char removed_key;

void map_deinit(struct map *map)
{
	mem_free(map->entries);
	*map = (struct map){ 0 };
}

static uint32_t key_hash(const void *key, size_t key_len)
{
	return (uint32_t)hash_bytes(key, key_len);
}

static bool matches(const struct map_entry *e, const void *key, size_t key_len, uint32_t hash)
{
	return e->hash == hash && e->key_len == key_len && e->key_len != REMOVED_LEN &&
		(key_len == 0 || memcmp(e->key, key, key_len) == 0);
}

static struct map_entry *find(const struct map *map, const void *key, size_t key_len)
{
	if (map->cap == 0)
		return NULL;
	uint32_t hash = key_hash(key, key_len);
	for (uint32_t i = hash & (map->cap - 1);; i = (i + 1) & (map->cap - 1)) {
		struct map_entry *e = &map->entries[i];
		if (e->key == NULL)
			return NULL;
		if (matches(e, key, key_len, hash))
			return e;
	}
}

static void place(struct map *map, struct map_entry entry)
{
	uint32_t i = entry.hash & (map->cap - 1);
	while (map->entries[i].key != NULL)
		i = (i + 1) & (map->cap - 1);
	map->entries[i] = entry;
}

static bool grow(struct map *map)
{
	if (map->cap > UINT32_MAX / 4)
		return false;
	uint32_t cap = map->cap == 0 ? 8 : map->count * 2 >= map->cap ? map->cap * 2 : map->cap;
	struct map next = { .cap = cap, .count = map->count };
	next.entries = mem_zalloc_array(cap, sizeof(*next.entries));
	if (next.entries == NULL)
		return false;
	for (uint32_t i = 0; i < map->cap; i++) {
		const struct map_entry *e = &map->entries[i];
		if (e->key != NULL && e->key_len != REMOVED_LEN)
			place(&next, *e);
	}
	mem_free(map->entries);
	*map = next;
	return true;
}

bool map_put(struct map *map, const void *key, size_t key_len, uint64_t value)
{
	if (key_len >= REMOVED_LEN)
		return false;
	struct map_entry *e = find(map, key, key_len);
	if (e != NULL) {
		e->key = key_len == 0 ? "" : key;
		e->value = value;
		return true;
	}
	if ((uint64_t)(map->count + map->removed + 1) * 4 > (uint64_t)map->cap * 3 && !grow(map))
		return false;
	/* An empty key still needs a non-NULL pointer: NULL marks an empty entry. */
	place(map, (struct map_entry){ key_len == 0 ? "" : key, (uint32_t)key_len, key_hash(key, key_len), value });
	map->count++;
	return true;
}

bool map_get(const struct map *map, const void *key, size_t key_len, uint64_t *value)
{
	const struct map_entry *e = find(map, key, key_len);
	if (e == NULL)
		return false;
	*value = e->value;
	return true;
}

bool map_remove(struct map *map, const void *key, size_t key_len)
{
	struct map_entry *e = find(map, key, key_len);
	if (e == NULL)
		return false;
	e->key = &removed_key;
	e->key_len = REMOVED_LEN;
	map->count--;
	map->removed++;
	return true;
}

const struct map_entry *map_next(const struct map *map, uint32_t *cursor)
{
	while (*cursor < map->cap) {
		const struct map_entry *e = &map->entries[(*cursor)++];
		if (e->key != NULL && e->key_len != REMOVED_LEN)
			return e;
	}
	return NULL;
}
