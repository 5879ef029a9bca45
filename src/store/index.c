/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One index, whatever its form: radix and tree (unique integers), tree, or
 * hash. A unique index has at most one entry per key. Inside a transaction
 * the entry may belong to a row that is no longer visible; giving it to
 * another row is index_replace, which never allocates.
 */
#include "store/store_internal.h"

struct store_index *index_create(struct store_table *t, const struct store_index_def *def)
{
	struct store_index *ix = mem_zalloc(sizeof(*ix) + def->column_count * sizeof(ix->columns[0]));
	if (ix == NULL)
		return NULL;
	ix->def = def;
	ix->table = t;
	index_forms_key(ix);
	return ix;
}

void index_clear(struct store_index *ix)
{
	tree_free(&ix->tree);
	if (ix->form == FORM_INT)
		radix_free(&ix->radix);
	else if (ix->form == FORM_HASH)
		hash_free(&ix->hash);
}

void index_destroy(struct store_index *ix)
{
	if (ix == NULL)
		return;
	index_clear(ix);
	mem_free(ix);
}

uint64_t index_bytes(const struct store_index *ix)
{
	uint64_t bytes = sizeof(*ix) + ix->column_count * sizeof(ix->columns[0]) + ix->tree.bytes;
	if (ix->form == FORM_INT)
		bytes += (uint64_t)ix->radix.cap * sizeof(struct chunk) +
			(uint64_t)ix->radix.used * CHUNK_KEYS * sizeof(uint32_t);
	else if (ix->form == FORM_HASH)
		bytes += ix->hash.bytes + (ix->hash.segments == NULL ? 0 : sizeof(void *) << ix->hash.depth);
	return bytes;
}

uint32_t index_find(const struct store_index *ix, struct probe *probe)
{
	DEBUG_ASSERT(ix->unique);
	probe->tie = TIE_FIRST;
	probe->equal = true;
	if (ix->form == FORM_HASH)
		return hash_find(&ix->hash, ix->table, ix, probe);
	if (ix->form == FORM_INT) {
		uint32_t *slot = radix_slot(&ix->radix, (uint64_t)probe->key);
		if (slot != NULL)
			return *slot;
	}
	return tree_find(ix, probe);
}

enum store_status index_insert(struct store_index *ix, struct probe *probe, uint32_t row)
{
	probe->tie = row;
	probe->equal = ix->unique;
	switch (ix->form) {
	case FORM_INT:
		return radix_insert(ix, probe, row);
	case FORM_TREE:
		return tree_insert(ix, probe, row, true, NULL);
	default:
		return hash_insert(&ix->hash, ix->table, ix, probe, row);
	}
}

void index_remove(struct store_index *ix, const uint8_t *data, uint32_t row)
{
	struct probe probe;
	index_probe_row(ix, data, &probe);
	probe.tie = row;
	probe.equal = ix->unique;
	switch (ix->form) {
	case FORM_INT:
		radix_remove(ix, &probe, row);
		break;
	case FORM_TREE:
		tree_remove(ix, &probe, row);
		break;
	default:
		hash_remove(&ix->hash, ix->table, ix, &probe, row);
	}
}

void index_replace(struct store_index *ix, struct probe *probe, uint32_t row)
{
	DEBUG_ASSERT(ix->unique);
	probe->tie = TIE_FIRST;
	probe->equal = true;
	if (ix->form == FORM_HASH) {
		hash_replace(&ix->hash, ix->table, ix, probe, row);
		return;
	}
	if (ix->form == FORM_INT) {
		uint32_t *slot = radix_slot(&ix->radix, (uint64_t)probe->key);
		if (slot != NULL) {
			*slot = row;
			return;
		}
	}
	tree_replace(ix, probe, row);
}

void table_unindex(struct store_table *t, uint32_t row)
{
	uint32_t len;
	const uint8_t *data = row_data(t, row, &len);
	for (uint32_t i = 0; i < t->index_count; i++)
		index_remove(t->indexes[i], data, row);
	if (t->set != NULL) {
		struct probe probe;
		hash_probe_whole(data, len, &probe);
		hash_remove(t->set, t, NULL, &probe, row);
	}
}
