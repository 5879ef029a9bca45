/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of tuples of values, equal by value: for DISTINCT, groups, COUNT(DISTINCT …). What they hold is copied, and
 * charged to the run before it is allocated. */
#include "query/extended_internal.h"

enum { CAP_MIN = 64 };

void value_set_init(struct value_set *set, struct budget *budget, struct evaluation *ev)
{
	*set = (struct value_set){ .budget = budget, .ev = ev };
	arena_init(&set->arena, SIZE_MAX / 2);
}

void value_set_deinit(struct value_set *set)
{
	arena_deinit(&set->arena);
	mem_free(set->heads);
	mem_free(set->entries);
}

static bool grow(struct value_set *set)
{
	uint32_t cap = set->cap == 0 ? CAP_MIN : set->cap * 2;
	if (cap > UINT32_MAX / 4)
		return evaluation_fail(set->ev, WL_ERR_LIMIT, "the query has too many different rows or groups");
	uint64_t each = sizeof(*set->entries) + 2 * sizeof(*set->heads);
	if (!budget_take(set->budget, set->ev, (cap - set->cap) * each))
		return false;
	void *entries = mem_realloc(set->entries, cap * sizeof(*set->entries));
	if (entries != NULL)
		set->entries = entries;
	void *heads = entries == NULL ? NULL : mem_realloc(set->heads, (size_t)cap * 2 * sizeof(*set->heads));
	if (heads == NULL)
		return evaluation_fail(set->ev, WL_ERR_MEMORY, "not enough memory for the query");
	set->heads = heads;
	set->cap = cap;
	memset(set->heads, 0, (size_t)cap * 2 * sizeof(*set->heads));
	for (uint32_t i = 0; i < set->count; i++) {
		uint32_t at = (uint32_t)set->entries[i].hash & (cap * 2 - 1);
		while (set->heads[at] != 0)
			at = (at + 1) & (cap * 2 - 1);
		set->heads[at] = i + 1;
	}
	return true;
}

static uint64_t hash_of(uint64_t tag, uint32_t count, const struct scalar *const *types, const struct bytes *values)
{
	uint64_t hash = hash_u64(tag + 1);
	for (uint32_t i = 0; i < count; i++)
		hash = hash_u64(hash * 31 ^
			(values[i].data == NULL ? 0x9e37 : sats_hash(types[i]->type, NULL, values[i].data)));
	return hash;
}

static bool equal(const struct value_entry *e, uint32_t count, const struct scalar *const *types,
	const struct bytes *values)
{
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *a = e->values[i].data, *b = values[i].data;
		if ((a == NULL) != (b == NULL) || (a != NULL && sats_compare(types[i]->type, NULL, a, b) != 0))
			return false;
	}
	return true;
}

static bool copy_values(struct value_set *set, uint32_t count, const struct bytes *values, struct value_entry *e)
{
	size_t bytes = count * sizeof(struct bytes);
	for (uint32_t i = 0; i < count; i++)
		bytes += values[i].data == NULL ? 0 : values[i].len;
	if (!budget_take(set->budget, set->ev, bytes + 16))
		return false;
	uint8_t *place = arena_alloc(&set->arena, bytes + 1); /* even nothing has an address: it is not NULL */
	if (place == NULL)
		return evaluation_fail(set->ev, WL_ERR_MEMORY, "not enough memory for the query");
	e->values = (struct bytes *)(void *)place;
	place += count * sizeof(struct bytes);
	for (uint32_t i = 0; i < count; i++) {
		e->values[i] = (struct bytes){ values[i].data == NULL ? NULL : place, values[i].len };
		if (values[i].data != NULL && values[i].len > 0)
			memcpy(place, values[i].data, values[i].len);
		place += values[i].data == NULL ? 0 : values[i].len;
	}
	return true;
}

bool value_set_add(struct value_set *set, uint64_t tag, uint32_t count, const struct scalar *const *types,
	const struct bytes *values, uint32_t *index, bool *is_new)
{
	if (set->count == set->cap && !grow(set))
		return false;
	uint64_t hash = hash_of(tag, count, types, values);
	uint32_t mask = set->cap * 2 - 1, at = (uint32_t)hash & mask;
	for (; set->heads[at] != 0; at = (at + 1) & mask) {
		const struct value_entry *e = &set->entries[set->heads[at] - 1];
		if (e->hash != hash || e->tag != tag || !equal(e, count, types, values))
			continue;
		*index = set->heads[at] - 1;
		*is_new = false;
		return true;
	}
	struct value_entry made = { .hash = hash, .tag = tag };
	if (!copy_values(set, count, values, &made))
		return false;
	set->entries[set->count] = made;
	*index = set->count++;
	set->heads[at] = set->count;
	*is_new = true;
	return true;
}
