/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The net effect of the open transaction by value, encoded once into the
 * transaction's arena.
 *
 * Images give updates in place: before and after. Dead rows are deletes, new
 * rows inserts. Where an entry of the pairing index (the primary key's, else
 * the first unique one) passed from a dead row to a visible new one, they are
 * before and after of one row, or nothing at all when they are equal; so no
 * hashing is needed. A table without a unique index never has an equal dead
 * and new row, since its insert revives the dead one.
 *
 * While a table's rows are written, a paired dead row has `listed` cleared and
 * its new row `committed` set, so that the walks below pass them by; both are
 * put right before this returns, whatever it returns.
 */
#include "store/store_internal.h"

#include <stdlib.h>

struct pair {
	uint32_t dead, fresh;
};
struct sink {
	uint8_t *data; /* NULL: only measures */
	uint32_t *ends;
	uint64_t len;
	uint32_t count;
};
struct walk {
	const struct store_table *t;
	const struct pair *pairs;
	uint32_t pair_count, updated;
	struct sink inserts, deletes;
};

static inline void emit(struct sink *s, const uint8_t *row, uint32_t len)
{
	if (s->data != NULL) {
		memcpy(s->data + s->len, row, len);
		if (s->ends != NULL)
			s->ends[s->count] = (uint32_t)(s->len + len);
	}
	s->len += len;
	s->count++;
}

static inline void emit_change(struct walk *w, const uint8_t *old, uint32_t old_len, uint32_t row)
{
	uint32_t len;
	const uint8_t *now = row_data(w->t, row, &len);
	if (len == old_len && memcmp(now, old, len) == 0)
		return;
	emit(&w->deletes, old, old_len);
	emit(&w->inserts, now, len);
	w->updated++;
}

static const struct store_index *pairing_index(const struct store_table *t)
{
	return t->primary != NULL ? t->primary : t->unique_count > 0 ? t->unique[0] : NULL;
}

static uint32_t heir_of(const struct store_table *t, uint32_t dead)
{
	struct probe probe;
	const struct store_index *ix = pairing_index(t);
	index_probe_row(ix, row_bytes(t, dead), &probe);
	return index_find(ix, &probe);
}

static uint32_t make_pairs(const struct store_table *t, struct pair *pairs)
{
	uint32_t count = 0;
	const struct store_index *ix = pairing_index(t);
	for (uint32_t i = 0; i < t->tx.displaced_count; i++) {
		uint32_t dead = t->tx.displaced[i].row;
		struct slot_word *word = row_word(t, dead);
		uint64_t bit = row_bit(t, dead);
		if (t->tx.displaced[i].index != ix || (word->committed & ~word->visible & word->listed & bit) == 0)
			continue;
		uint32_t fresh = heir_of(t, dead);
		struct slot_word *heir = row_word(t, fresh);
		uint64_t heir_bit = row_bit(t, fresh);
		if ((heir->visible & ~heir->committed & heir_bit) == 0)
			continue;
		word->listed &= ~bit;
		heir->committed |= heir_bit;
		pairs[count++] = (struct pair){ dead, fresh };
	}
	return count;
}

static void unmake_pairs(const struct store_table *t, const struct pair *pairs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		row_word(t, pairs[i].dead)->listed |= row_bit(t, pairs[i].dead);
		row_word(t, pairs[i].fresh)->committed &= ~row_bit(t, pairs[i].fresh);
	}
}

static void walk_changes(struct walk *w)
{
	const struct store_table *t = w->t;
	const uint8_t *image = t->tx.images;
	for (uint32_t i = 0; i < t->tx.image_count; i++, image += image_bytes(t)) {
		uint32_t row = load_u32(image), len;
		const struct slot_word *word = row_word(t, row);
		uint64_t bit = row_bit(t, row);
		const uint8_t *old = slot_row(t, image + 4, &len);
		if (LIKELY((word->visible & bit) != 0))
			emit_change(w, old, len, row);
		else if ((word->listed & bit) == 0)
			emit_change(w, old, len, heir_of(t, row));
	}
	for (uint32_t i = 0; i < w->pair_count; i++) {
		uint32_t dead = w->pairs[i].dead, len;
		if ((row_word(t, dead)->imaged & row_bit(t, dead)) != 0)
			continue; /* came with its image */
		const uint8_t *old = row_data(t, dead, &len);
		emit_change(w, old, len, w->pairs[i].fresh);
	}
	image = t->tx.images;
	for (uint32_t i = 0; t->tx.dead_count > 0 && i < t->tx.image_count; i++, image += image_bytes(t)) {
		uint32_t row = load_u32(image), len;
		const struct slot_word *word = row_word(t, row);
		if ((~word->visible & word->listed & row_bit(t, row)) == 0)
			continue;
		const uint8_t *old = slot_row(t, image + 4, &len);
		emit(&w->deletes, old, len);
	}
}

static void emit_rows(const struct store_table *t, struct sink *s, uint32_t first, uint64_t bits)
{
	while (bits != 0) {
		uint32_t at = (uint32_t)__builtin_ctzll(bits);
		uint64_t shifted = bits >> at;
		if (t->fixed_size >= 0 && (uint32_t)t->fixed_size == t->stride && s->data != NULL) {
			uint32_t run = ~shifted == 0 ? 64 : (uint32_t)__builtin_ctzll(~shifted);
			size_t bytes = (size_t)run * t->stride;
			memcpy(s->data + s->len, row_slot(t, first + at), bytes);
			s->len += bytes;
			s->count += run;
			bits = run + at >= 64 ? 0 : bits & UINT64_MAX << (run + at);
			continue;
		}
		uint32_t len;
		const uint8_t *row = row_data(t, first + at, &len);
		emit(s, row, len);
		bits &= bits - 1;
	}
}

static void walk_runs(struct walk *w)
{
	const struct store_table *t = w->t;
	for (uint32_t i = 0; i < t->tx.run_count; i++) {
		uint32_t row = t->tx.runs[i].first, left = t->tx.runs[i].count;
		while (left > 0) {
			uint32_t at = row & t->slot_mask & 63;
			uint32_t room = t->slot_mask < 63 ? t->slot_mask + 1 - at : 64 - at;
			uint32_t count = left < room ? left : room;
			const struct slot_word *word = row_word(t, row);
			uint64_t mask = (count == 64 ? UINT64_MAX : (1ull << count) - 1) << at & word->listed;
			emit_rows(t, &w->inserts, row - at, mask & word->visible & ~word->committed);
			emit_rows(t, &w->deletes, row - at, mask & ~word->visible & word->committed & ~word->imaged);
			row += count;
			left -= count;
		}
	}
}

static void walk_table(struct walk *w)
{
	w->updated = 0;
	w->inserts.len = w->deletes.len = 0;
	w->inserts.count = w->deletes.count = 0;
	walk_changes(w);
	walk_runs(w);
}

static bool sink_reserve(struct arena *arena, const struct store_table *t, struct sink *s, uint32_t count,
	uint64_t bytes)
{
	s->data = arena_alloc(arena, size_max(bytes, 1));
	s->ends = t->fixed_size >= 0 ? NULL : arena_alloc(arena, ((size_t)count + 1) * sizeof(*s->ends));
	return s->data != NULL && (t->fixed_size >= 0 || s->ends != NULL);
}

static struct store_delta_rows rows_of(const struct store_table *t, const struct sink *s)
{
	return (struct store_delta_rows){
		.count = s->count,
		.data = s->data,
		.len = s->len,
		.ends = s->ends,
		.fixed_size = t->fixed_size >= 0 ? (uint32_t)t->fixed_size : 0,
	};
}

static enum store_status encode(struct arena *arena, struct walk *w)
{
	const struct store_table *t = w->t;
	uint64_t inserts = (uint64_t)t->tx.image_count + t->tx.new_count;
	uint64_t deletes = (uint64_t)t->tx.image_count + t->tx.dead_count;
	uint64_t insert_bytes = inserts * t->stride, delete_bytes = deletes * t->stride;
	if (inserts > UINT32_MAX - 1 || deletes > UINT32_MAX - 1)
		return STORE_LIMIT;
	if (t->fixed_size < 0) {
		walk_table(w);
		insert_bytes = w->inserts.len;
		delete_bytes = w->deletes.len;
		if (insert_bytes > UINT32_MAX || delete_bytes > UINT32_MAX)
			return STORE_LIMIT;
	}
	if (!sink_reserve(arena, t, &w->inserts, (uint32_t)inserts, insert_bytes) ||
	    !sink_reserve(arena, t, &w->deletes, (uint32_t)deletes, delete_bytes))
		return STORE_MEMORY;
	walk_table(w);
	return STORE_OK;
}

static enum store_status table_delta(struct arena *arena, struct store_table *t, struct store_delta_table *out)
{
	struct walk w = { .t = t };
	struct pair *pairs = NULL;
	if (t->tx.displaced_count > 0 && t->tx.dead_count > 0) {
		pairs = arena_alloc(arena, t->tx.displaced_count * sizeof(*pairs));
		if (pairs == NULL)
			return STORE_MEMORY;
		w.pair_count = make_pairs(t, pairs);
		w.pairs = pairs;
	}
	enum store_status status = encode(arena, &w);
	unmake_pairs(t, pairs, w.pair_count);
	if (status != STORE_OK)
		return status;
	*out = (struct store_delta_table){
		.table = t,
		.inserts = rows_of(t, &w.inserts),
		.deletes = rows_of(t, &w.deletes),
		.updated = t->primary != NULL ? w.updated : 0,
	};
	out->truncated = out->deletes.count > 0 && out->inserts.count == 0 && t->row_count == 0;
	return STORE_OK;
}

static int by_table_id(const void *a, const void *b)
{
	uint32_t id_a = (*(struct store_table *const *)a)->def->id, id_b = (*(struct store_table *const *)b)->def->id;
	return (id_a > id_b) - (id_a < id_b);
}

enum store_status delta_build(struct store *store, struct store_delta *delta)
{
	struct arena *arena = &store->tx_arena;
	uint32_t count = 0, filled = 0;
	for (struct store_table *t = store->changed; t != NULL; t = t->tx.next)
		count++;
	struct store_table **changed = arena_alloc(arena, count * sizeof(struct store_table *));
	struct store_delta_table *tables = arena_alloc(arena, count * sizeof(*tables));
	if (changed == NULL || tables == NULL)
		return STORE_MEMORY;
	for (struct store_table *t = store->changed; t != NULL; t = t->tx.next)
		changed[filled++] = t;
	if (count > 1)
		qsort(changed, count, sizeof(struct store_table *), by_table_id);
	bool durable = false;
	filled = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct store_delta_table *out = &tables[filled];
		enum store_status status = table_delta(arena, changed[i], out);
		if (status != STORE_OK)
			return status;
		if (out->inserts.count + out->deletes.count == 0)
			continue;
		filled++;
		durable |= !changed[i]->def->is_ephemeral;
	}
	*delta = (struct store_delta){ filled, tables, durable };
	return STORE_OK;
}
