/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows change: insert, update, delete of one row, with the order of checks
 * that datastore section 4 has. Everything that may fail comes before the
 * first visible change of an operation, so a failed one leaves no trace but
 * spent sequence numbers.
 *
 *            insert                delete
 *   FREE ------------> NEW --------------> FREE, or PINNED
 *   LIVE ------------> DEAD   (delete)          (what the last commit has)
 *   DEAD ------------> LIVE   (insert of an equal row, or of one with the same keys)
 *
 * A row is PINNED when an entry of a unique index passed to it from another
 * row: rollback needs its bytes to find that entry again (README 6).
 */
#include "base/clock.h"
#include "store/store_internal.h"

void table_before_write(struct store_table *t)
{
	while (t->watches != NULL) {
		struct store_watch *watch = t->watches;
		store_watch_remove(watch);
		watch->before_write(watch);
	}
	if (!t->tx.changed) {
		t->tx.changed = true;
		t->tx.rows_before = t->row_count;
		t->tx.next = t->store->changed;
		t->store->changed = t;
	}
}

enum store_status row_check(struct store *store, struct store_table *t, const uint8_t *data, size_t len,
	uint32_t *size)
{
	const struct sats_layout *whole = t->layout->whole;
	if (LIKELY(whole->any_bytes && len == (size_t)t->fixed_size)) {
		*size = (uint32_t)len;
		return STORE_OK;
	}
	/* Rows of fixed size take no surplus bytes, others ignore them: the reference's two decoders. */
	size_t consumed;
	if (sats_validate(whole, data, len, &consumed, NULL) != WL_OK || (t->fixed_size >= 0 && consumed != len)) {
		struct error *detail = store_fail_detail(store, STORE_BAD_ROW);
		if (detail != NULL && sats_validate(whole, data, len, &consumed, detail) == WL_OK)
			fail(detail, WL_ERR_INVALID, "a row has %zu bytes, given %zu", consumed, len);
		return store_fail(store, STORE_BAD_ROW);
	}
	if (consumed > STORE_ROW_BYTES_MAX)
		return store_fail(store, STORE_LIMIT);
	*size = (uint32_t)consumed;
	return STORE_OK;
}

/* What a row takes: its bytes, its slot's bits, its entry in each index. */
static inline uint64_t row_cost(const struct store_table *t, uint32_t len)
{
	enum { ENTRY_BYTES = 16 };
	return (t->heap == NULL ? t->stride : len) + ENTRY_BYTES * (1 + (uint64_t)t->index_count);
}

static inline bool row_equals(const struct store_table *t, uint32_t row, const uint8_t *data, uint32_t len)
{
	uint32_t old_len;
	const uint8_t *old = row_data(t, row, &old_len);
	return old_len == len && memcmp(old, data, len) == 0;
}

uint32_t row_find_equal(const struct store_table *t, const uint8_t *data, uint32_t len)
{
	struct probe probe;
	uint32_t found;
	if (t->unique_count > 0) {
		index_probe_row(t->unique[0], data, &probe);
		found = index_find(t->unique[0], &probe);
		if (found == ROW_NONE || !row_equals(t, found, data, len))
			return ROW_NONE;
	} else {
		hash_probe_whole(data, len, &probe);
		found = hash_find(t->set, t, NULL, &probe);
		if (found == ROW_NONE)
			return ROW_NONE;
	}
	return row_visible(t, found) ? found : ROW_NONE;
}

/* Written in the open transaction: new, or changed in place. */
static bool is_tx_row(const struct store_table *t, uint32_t row)
{
	const struct slot_word *word = row_word(t, row);
	return ((~word->committed | word->imaged) & row_bit(t, row)) != 0;
}

/* The unique index that forbids the row: conflicts with rows of this transaction are named before others. */
static const struct store_index *find_conflict(const struct store_table *t, const uint8_t *data, uint32_t ignore)
{
	const struct store_index *conflict = NULL;
	for (uint32_t i = 0; i < t->unique_count; i++) {
		struct probe probe;
		index_probe_row(t->unique[i], data, &probe);
		uint32_t found = index_find(t->unique[i], &probe);
		if (found == ROW_NONE || found == ignore || !row_visible(t, found))
			continue;
		if (is_tx_row(t, found))
			return t->unique[i];
		if (conflict == NULL)
			conflict = t->unique[i];
	}
	return conflict;
}

/* ---- bytes ---- */

static uint32_t block_room(uint32_t len)
{
	return (len + 3) & ~3u;
}

/* Puts other bytes in the place of a row whose keys they share. */
static enum store_status row_overwrite(struct store_table *t, uint32_t row, const uint8_t *data, uint32_t len)
{
	enum store_status status = row_own(t, row);
	if (status != STORE_OK)
		return status;
	struct slot_word *word = row_word(t, row);
	uint64_t bit = row_bit(t, row);
	uint8_t *slot = row_slot(t, row);
	bool image = (word->committed & ~word->imaged & bit) != 0;
	if (image && (status = tx_image_reserve(t)) != STORE_OK)
		return status;
	if (t->heap == NULL) {
		if (image) {
			tx_image_add(t, row);
			t->store->tx_bytes += row_cost(t, len);
		}
		memcpy(slot, data, len);
		return STORE_OK;
	}
	uint32_t old_len;
	uint8_t *old = (uint8_t *)(uintptr_t)location_row(t->heap, slot, &old_len);
	if (!image && block_room(old_len) == block_room(len)) {
		store_u32(old - 4, len);
		memcpy(old, data, len);
		return STORE_OK;
	}
	uint8_t location[LOCATION_BYTES];
	status = heap_put(t->heap, row, data, len, location);
	if (status != STORE_OK)
		return status;
	t->store->tx_bytes += row_cost(t, len);
	if (image)
		tx_image_add(t, row); /* the old block lives on in the image */
	else
		heap_drop(t->heap, slot);
	memcpy(slot, location, LOCATION_BYTES);
	return STORE_OK;
}

void row_release(struct store_table *t, uint32_t row)
{
	table_unindex(t, row);
	if (t->heap != NULL)
		heap_drop(t->heap, row_slot(t, row));
	table_slot_release(t, row);
}

/* ---- insert ---- */

static void displace(struct store_table *t, struct store_index *ix, struct probe *probe, uint32_t from, uint32_t to)
{
	t->tx.displaced[t->tx.displaced_count++] = (struct displaced){ ix, from };
	index_replace(ix, probe, to);
}

/* Takes back what row_place did to the first `count` indexes. */
static void unplace(struct store_table *t, const uint8_t *data, uint32_t row, uint32_t count, uint32_t mark)
{
	while (t->tx.displaced_count > mark) {
		struct displaced *d = &t->tx.displaced[--t->tx.displaced_count];
		struct probe probe;
		index_probe_row(d->index, data, &probe);
		index_replace(d->index, &probe, d->row);
	}
	for (uint32_t i = 0; i < count; i++)
		index_remove(t->indexes[i], data, row);
	if (t->heap != NULL)
		heap_drop(t->heap, row_slot(t, row));
}

/* A new slot for a row without conflicts. `first`: what unique[0] has for its key. */
static enum store_status row_place(struct store_table *t, const uint8_t *data, uint32_t len, uint32_t first,
	uint32_t *out)
{
	enum store_status status;
	uint32_t row;
	if ((status = tx_run_reserve(t)) != STORE_OK ||
	    (status = tx_displaced_reserve(t, t->unique_count)) != STORE_OK ||
	    (status = table_slot_find(t, &row)) != STORE_OK || (status = row_own(t, row)) != STORE_OK)
		return status;
	uint8_t *slot = row_slot(t, row);
	if (t->heap == NULL)
		memcpy(slot, data, len);
	else if ((status = heap_put(t->heap, row, data, len, slot)) != STORE_OK)
		return status;

	uint32_t mark = t->tx.displaced_count;
	struct probe probe;
	for (uint32_t i = 0; i < t->index_count; i++) {
		struct store_index *ix = t->indexes[i];
		index_probe_row(ix, data, &probe);
		uint32_t found = !ix->unique ? ROW_NONE : ix == t->unique[0] ? first : index_find(ix, &probe);
		if (UNLIKELY(found != ROW_NONE)) {
			displace(t, ix, &probe, found, row);
			continue;
		}
		status = index_insert(ix, &probe, row);
		if (UNLIKELY(status != STORE_OK)) {
			unplace(t, data, row, i, mark);
			return status;
		}
	}
	if (t->set != NULL) {
		hash_probe_whole(data, len, &probe);
		status = hash_insert(t->set, t, NULL, &probe, row);
		if (UNLIKELY(status != STORE_OK)) {
			unplace(t, data, row, t->index_count, mark);
			return status;
		}
	}

	table_slot_take(t, row);
	struct slot_word *word = row_word(t, row);
	uint64_t bit = row_bit(t, row);
	word->visible |= bit;
	if (t->tx.displaced_count > mark)
		word->imaged |= bit;
	if ((word->listed & bit) == 0) {
		word->listed |= bit;
		tx_run_add(t, row);
	}
	t->tx.new_count++;
	t->row_count++;
	t->store->tx_bytes += row_cost(t, len);
	*out = row;
	return STORE_OK;
}

/* A dead row of the last commit becomes visible again, perhaps with other bytes but the same keys. It died in this
 * transaction, so its page is no snapshot's any more. */
static enum store_status row_revive(struct store_table *t, uint32_t row, const uint8_t *data, uint32_t len)
{
	enum store_status status = tx_displaced_reserve(t, t->unique_count);
	if (status == STORE_OK && !row_equals(t, row, data, len))
		status = row_overwrite(t, row, data, len);
	if (status != STORE_OK)
		return status;
	for (uint32_t i = 0; i < t->unique_count; i++) {
		struct probe probe;
		index_probe_row(t->unique[i], data, &probe);
		uint32_t found = index_find(t->unique[i], &probe);
		DEBUG_ASSERT(found != ROW_NONE);
		if (found != row)
			displace(t, t->unique[i], &probe, found, row);
	}
	row_word(t, row)->visible |= row_bit(t, row);
	t->tx.dead_count--;
	t->row_count++;
	return STORE_OK;
}

static bool same_keys(const struct store_table *t, const struct store_index *but, uint32_t row, const uint8_t *data)
{
	const uint8_t *old = row_bytes(t, row);
	for (uint32_t i = 0; i < t->index_count; i++)
		if (t->indexes[i] != but && !index_same_key(t->indexes[i], old, data))
			return false;
	return true;
}

enum store_status row_insert(struct store *store, struct store_table *t, const uint8_t *data, uint32_t len,
	uint32_t *row)
{
	struct probe probe;
	uint32_t found;
	if (t->unique_count == 0) {
		hash_probe_whole(data, len, &probe);
		found = hash_find(t->set, t, NULL, &probe);
		if (found == ROW_NONE)
			return row_place(t, data, len, ROW_NONE, row);
		*row = found;
		return row_visible(t, found) ? STORE_OK : row_revive(t, found, data, len);
	}
	index_probe_row(t->unique[0], data, &probe);
	found = index_find(t->unique[0], &probe);
	if (LIKELY(found == ROW_NONE && t->unique_count == 1))
		return row_place(t, data, len, ROW_NONE, row);
	if (found != ROW_NONE && row_visible(t, found) && row_equals(t, found, data, len)) {
		*row = found;
		return STORE_OK;
	}
	const struct store_index *conflict = find_conflict(t, data, ROW_NONE);
	if (conflict != NULL)
		return store_fail_unique(store, conflict, data);
	bool dead = found != ROW_NONE && (row_word(t, found)->committed & row_bit(t, found)) != 0;
	if (dead && same_keys(t, NULL, found, data)) {
		*row = found;
		return row_revive(t, found, data, len);
	}
	return row_place(t, data, len, found, row);
}

/* ---- update and delete ---- */

static void become_dead(struct store_table *t, uint32_t row)
{
	struct slot_word *word = row_word(t, row);
	uint64_t bit = row_bit(t, row);
	word->visible &= ~bit;
	t->row_count--;
	if ((word->committed & bit) == 0) {
		word->imaged |= bit;
		t->tx.new_count--;
		return;
	}
	t->tx.dead_count++;
	if ((word->listed & bit) == 0) {
		word->listed |= bit;
		tx_run_add(t, row);
	}
}

enum store_status row_update(struct store *store, struct store_table *t, const struct store_index *ix, uint32_t old,
	const uint8_t *data, uint32_t len, uint32_t *row)
{
	*row = old;
	if (row_equals(t, old, data, len))
		return STORE_OK;
	if (t->unique_count > 1) {
		const struct store_index *conflict = find_conflict(t, data, old);
		if (conflict != NULL)
			return store_fail_unique(store, conflict, data);
	}
	if (LIKELY(t->index_count == 1 || same_keys(t, ix, old, data)))
		return row_overwrite(t, old, data, len);
	struct probe probe;
	index_probe_row(t->unique[0], data, &probe);
	enum store_status status = row_own(t, old);
	if (status == STORE_OK)
		status = row_place(t, data, len, index_find(t->unique[0], &probe), row);
	if (status == STORE_OK)
		become_dead(t, old);
	return status;
}

enum store_status row_delete(struct store_table *t, uint32_t row)
{
	enum store_status status = row_own(t, row);
	if (status != STORE_OK)
		return status;
	const struct slot_word *word = row_word(t, row);
	uint64_t bit = row_bit(t, row);
	DEBUG_ASSERT((word->visible & bit) != 0);
	if (((word->committed | word->imaged) & bit) != 0) {
		status = tx_run_reserve(t);
		if (status == STORE_OK)
			become_dead(t, row);
		return status;
	}
	t->row_count--;
	t->tx.new_count--;
	if (t->heap == NULL) /* a slot is used again within the transaction, a heap's block is not */
		t->store->tx_bytes -= row_cost(t, 0);
	row_release(t, row);
	return STORE_OK;
}

/* ---- the public face ---- */

static const uint8_t nothing[1]; /* bytes of a row without columns, whose pointer may be NULL */

/* The schedule of datastore section 8: too far ahead is refused, though the row stays. */
static enum store_status check_delay(struct store *store, struct store_table *t, uint32_t row)
{
	if (LIKELY(t->def->schedule_at < 0) || !store->call_timed)
		return STORE_OK;
	const uint8_t *at = sats_column(t->layout, row_bytes(t, row), (uint32_t)t->def->schedule_at);
	int64_t now = clock_wall_micros(), value = (int64_t)load_u64(at + 1);
	uint64_t delay;
	if (at[0] == 0) {
		uint64_t interval = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
		uint64_t ahead = store->call_micros > now ? (uint64_t)store->call_micros - (uint64_t)now : 0;
		delay = ahead > UINT64_MAX - interval ? UINT64_MAX : ahead + interval;
	} else {
		delay = value > now ? (uint64_t)value - (uint64_t)now : 0;
	}
	uint64_t max_ms = (1ull << 36) - 1;
	return delay / 1000 >= max_ms ? store_fail_delay(store, delay) : STORE_OK;
}

/* Fills sequences into a copy of the row, so that the caller's bytes change on success only. */
static enum store_status fill_sequences(struct store *store, struct store_table *t, const uint8_t **data,
	uint32_t size, uint64_t *generated)
{
	*generated = 0;
	if (!sequence_triggers(t, *data))
		return STORE_OK;
	buf_clear(&store->scratch);
	buf_put(&store->scratch, *data, size);
	if (store->scratch.failed)
		return STORE_MEMORY;
	sequence_fill(t, store->scratch.data, generated);
	*data = store->scratch.data;
	return STORE_OK;
}

static void give_row(const struct store_table *t, uint32_t number, struct store_row *row)
{
	if (row == NULL)
		return;
	row->number = number;
	row->data = row_data(t, number, &row->len);
}

static enum store_status finish_write(struct store *store, struct store_table *t, uint64_t generated,
	const uint8_t *filled, uint32_t number, uint8_t *data, size_t *len, struct store_row *row)
{
	give_row(t, number, row);
	enum store_status status = check_delay(store, t, number);
	if (UNLIKELY(status != STORE_OK))
		return status;
	*len = UNLIKELY(generated != 0) ? sequence_write_back(t, generated, filled, data) : 0;
	return STORE_OK;
}

/* Replay does not ask: what was once committed fits. */
static enum store_status write_check(struct store *store, struct store_table *t, const uint8_t *data, size_t len,
	uint32_t *size)
{
	if (UNLIKELY(store->tx_bytes > STORE_TX_BYTES_MAX))
		return store_fail(store, STORE_LIMIT);
	return row_check(store, t, data, len, size);
}

enum store_status store_insert(struct store *store, struct store_table *t, uint8_t *data, size_t *len,
	struct store_row *row)
{
	ASSERT(store->tx_active);
	uint32_t size, number;
	enum store_status status = write_check(store, t, data, *len, &size);
	if (UNLIKELY(status != STORE_OK))
		return status;
	const uint8_t *filled = size > 0 ? data : nothing;
	uint64_t generated = 0;
	if (t->def->sequence_count > 0 &&
	    (status = fill_sequences(store, t, &filled, size, &generated)) != STORE_OK)
		return store_fail(store, status);
	table_begin_write(t);
	status = row_insert(store, t, filled, size, &number);
	if (UNLIKELY(status != STORE_OK))
		return store_fail(store, status);
	return finish_write(store, t, generated, filled, number, data, len, row);
}

enum store_status store_update(struct store *store, struct store_table *t, struct store_index *ix, uint8_t *data,
	size_t *len, struct store_row *row)
{
	ASSERT(store->tx_active);
	uint32_t size, number;
	enum store_status status = write_check(store, t, data, *len, &size);
	if (UNLIKELY(status != STORE_OK))
		return status;
	const uint8_t *filled = size > 0 ? data : nothing;
	uint64_t generated = 0;
	if (t->def->sequence_count > 0 &&
	    (status = fill_sequences(store, t, &filled, size, &generated)) != STORE_OK)
		return store_fail(store, status);
	if (UNLIKELY(ix->table != t))
		return store_fail_id(store, STORE_NO_INDEX, ix->def->id);
	if (UNLIKELY(!ix->unique))
		return store_fail_id(store, STORE_INDEX_NOT_UNIQUE, ix->def->id);
	struct probe probe;
	index_probe_row(ix, filled, &probe);
	uint32_t old = index_find(ix, &probe);
	if (UNLIKELY(old == ROW_NONE || (t->tx.dead_count + t->tx.displaced_count > 0 && !row_visible(t, old))))
		return store_fail_key(store, STORE_NO_ROW, ix, filled);
	table_begin_write(t);
	status = row_update(store, t, ix, old, filled, size, &number);
	if (UNLIKELY(status != STORE_OK))
		return store_fail(store, status);
	return finish_write(store, t, generated, filled, number, data, len, row);
}

enum store_status store_delete(struct store *store, struct store_table *t, uint32_t row)
{
	ASSERT(store->tx_active);
	ASSERT(row >> t->shift < t->page_count && row_page(t, row) != NULL && row_visible(t, row));
	table_begin_write(t);
	enum store_status status = row_delete(t, row);
	return status == STORE_OK ? STORE_OK : store_fail(store, status);
}

enum store_status store_delete_all_by_eq(struct store *store, struct store_table *t, const uint8_t *relation,
	size_t len, uint32_t *deleted)
{
	ASSERT(store->tx_active);
	const struct sats_layout *whole = t->layout->whole;
	if (len < 4)
		return store_fail(store, STORE_BAD_KEY);
	uint32_t count = load_u32(relation);
	const uint8_t *rows = relation + 4;
	size_t left = len - 4;
	if (whole->max_size == 0)
		count = count > 0;
	const uint8_t *at = rows;
	for (uint32_t i = 0; i < count; i++) {
		size_t size;
		if (sats_validate(whole, at, left, &size, NULL) != WL_OK)
			return store_fail(store, STORE_BAD_KEY);
		at += size;
		left -= size;
	}
	uint32_t done = 0;
	at = rows;
	for (uint32_t i = 0; i < count; i++) {
		size_t size = sats_size(whole, at);
		uint32_t row = size > STORE_ROW_BYTES_MAX ? ROW_NONE : row_find_equal(t, at, (uint32_t)size);
		at += size;
		if (row == ROW_NONE)
			continue;
		table_begin_write(t);
		enum store_status status = row_delete(t, row);
		if (status != STORE_OK)
			return store_fail(store, status);
		done++;
	}
	*deleted = done;
	return STORE_OK;
}

enum store_status store_clear(struct store *store, struct store_table *t, uint64_t *deleted)
{
	ASSERT(store->tx_active);
	uint64_t before = t->row_count;
	if (before > 0)
		table_begin_write(t);
	for (uint32_t p = 0; p < t->page_count && t->row_count > 0; p++) {
		if (t->pages[p] == NULL)
			continue;
		for (uint32_t w = 0; w < t->page_words; w++) {
			uint64_t visible = t->pages[p]->words[w].visible;
			for (; visible != 0; visible &= visible - 1) {
				uint32_t row = (p << t->shift) + w * 64 + (uint32_t)__builtin_ctzll(visible);
				enum store_status status = row_delete(t, row);
				if (status != STORE_OK)
					return store_fail(store, status);
			}
		}
	}
	*deleted = before;
	return STORE_OK;
}
