/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences: numbers for columns that are inserted as 0.
 *
 * `value` is the next number, `allocated` the first one that needs another
 * batch; st_sequence.allocated is where a restart goes on. The row is written
 * at the commit of the transaction that hands out numbers of a new batch, or,
 * if that one rolls back, of the next one that commits anything durable: a
 * committed row never has a number that a restart would hand out again.
 */
#include "store/store_internal.h"

/* One step with the wrap-around of datastore section 6; differences as unsigned, so that nothing overflows. */
static i128 step(const struct store_sequence_def *def, i128 v)
{
	u128 range = (u128)def->max - (u128)def->min + 1; /* 0: all of it */
	if (def->increment > 0) {
		u128 by = (u128)def->increment, room = (u128)def->max - (u128)v;
		if (by <= room)
			return (i128)((u128)v + by);
		u128 over = by - room - 1;
		return (i128)((u128)def->min + (range == 0 ? over : over % range));
	}
	u128 by = 0 - (u128)def->increment, room = (u128)v - (u128)def->min;
	if (by <= room)
		return (i128)((u128)v - by);
	u128 over = by - room - 1;
	return (i128)((u128)def->max - (range == 0 ? over : over % range));
}

void sequence_set(struct sequence *s, i128 allocated)
{
	s->value = s->allocated = allocated;
}

static void allocate(struct sequence *s)
{
	struct store *store = s->table->store;
	for (uint32_t i = 0; i < SEQUENCE_BATCH; i++)
		s->allocated = step(s->def, s->allocated);
	if (s->ahead)
		return;
	s->ahead = true;
	s->next_ahead = store->ahead;
	store->ahead = s;
}

static i128 draw(struct sequence *s)
{
	if (s->value == s->allocated)
		allocate(s);
	i128 value = s->value;
	s->value = step(s->def, value);
	return value;
}

static bool is_zero(const uint8_t *p, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		if (p[i] != 0)
			return false;
	return true;
}

bool sequence_triggers(const struct store_table *t, const uint8_t *row)
{
	for (uint32_t i = 0; i < t->def->sequence_count; i++) {
		const struct sequence *s = &t->sequences[i];
		if (is_zero(sats_column(t->layout, row, s->def->column), s->size))
			return true;
	}
	return false;
}

void sequence_fill(struct store_table *t, uint8_t *row, uint64_t *generated)
{
	*generated = 0;
	for (uint32_t i = 0; i < t->def->sequence_count; i++) {
		struct sequence *s = &t->sequences[i];
		uint8_t *column = row + (sats_column(t->layout, row, s->def->column) - row);
		if (!is_zero(column, s->size))
			continue;
		i128 value = draw(s);
		memcpy(column, &value, s->size < 16 ? s->size : 16);
		if (s->size > 16)
			memset(column + 16, value < 0 ? 0xff : 0, s->size - 16u);
		*generated |= 1ull << i;
	}
}

size_t sequence_write_back(const struct store_table *t, uint64_t generated, const uint8_t *row, uint8_t *out)
{
	size_t len = 0;
	for (uint32_t i = 0; i < t->def->sequence_count; i++) {
		if ((generated >> i & 1) == 0)
			continue;
		const struct sequence *s = &t->sequences[i];
		memcpy(out + len, sats_column(t->layout, row, s->def->column), s->size);
		len += s->size;
	}
	return len;
}

/* ---- st_sequence ---- */

enum store_status sequence_save(struct store *store, struct sequence *s)
{
	struct store_table *t = store->system[ST_SEQUENCE];
	struct store_index *ix = t->unique[0];
	uint8_t id[4];
	store_u32(id, s->def->id);
	struct probe probe;
	bool decodes = index_probe_key(ix, id, sizeof(id), 1, &probe);
	ASSERT(decodes);
	uint32_t row = index_find(ix, &probe), len;
	/* A module's table has its row; somebody may have deleted it with SQL. */
	if (row == ROW_NONE || !row_visible(t, row))
		return STORE_OK;
	const uint8_t *old = row_data(t, row, &len);
	buf_clear(&store->scratch);
	buf_put(&store->scratch, old, len);
	if (store->scratch.failed)
		return STORE_MEMORY;
	memcpy(store->scratch.data + len - sizeof(s->allocated), &s->allocated, sizeof(s->allocated));
	table_begin_write(t);
	return row_update(store, t, ix, row, store->scratch.data, len, &row);
}

enum store_status sequences_save(struct store *store)
{
	if (LIKELY(store->ahead == NULL))
		return STORE_OK;
	bool durable = false;
	for (struct store_table *t = store->changed; t != NULL; t = t->tx.next)
		durable |= !t->def->is_ephemeral;
	store->saved = durable;
	if (!durable)
		return STORE_OK;
	for (struct sequence *s = store->ahead; s != NULL; s = s->next_ahead) {
		enum store_status status = sequence_save(store, s);
		if (status != STORE_OK)
			return status;
	}
	return STORE_OK;
}

/* The transaction that saved them has committed. */
void sequences_saved(struct store *store)
{
	if (LIKELY(store->ahead == NULL) || !store->saved)
		return;
	for (struct sequence *s = store->ahead, *next; s != NULL; s = next) {
		next = s->next_ahead;
		s->ahead = false;
		s->next_ahead = NULL;
	}
	store->ahead = NULL;
}

void sequences_forget(struct store *store, const struct store_table *t)
{
	for (struct sequence **link = &store->ahead; *link != NULL;) {
		struct sequence *s = *link;
		if (s->table != t) {
			link = &s->next_ahead;
			continue;
		}
		*link = s->next_ahead;
		s->next_ahead = NULL;
		s->ahead = false;
	}
}
