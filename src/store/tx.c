/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions: what they remember, and how they end.
 *
 * A table's lists say which rows an end has to look at; what to do with each
 * is read from its bits:
 *
 *   visible committed imaged   commit                  rollback
 *      1        1       0      (revived) nothing       nothing
 *      1        1       1      forget the image        put the image back
 *      0        1       x      release                 (image back,) visible
 *      1        0       x      committed               release
 *      0        0       1      release (pinned)        release
 *      0        0       0      nothing: free           nothing
 *
 * Invariants:
 * 1. Rollback allocates nothing and cannot fail. Displaced index entries go
 *    back first, newest first, while all rows still have their bytes.
 * 2. A row is in the runs at most once (bit `listed`), in the images at most once.
 * 3. Between transactions all lists are empty, visible == committed, listed
 *    and imaged are 0.
 */
#include "store/store_internal.h"

/* ---- lists ---- */

static bool list_grow(void **list, uint32_t *cap, size_t size, uint32_t need)
{
	if (need <= *cap)
		return true;
	uint64_t want = *cap < 4 ? 4 : (uint64_t)*cap * 2;
	if (want < need)
		want = need;
	size_t bytes;
	if (want > UINT32_MAX || !size_mul((size_t)want, size, &bytes))
		return false;
	void *grown = mem_realloc(*list, bytes);
	if (grown == NULL)
		return false;
	*list = grown;
	*cap = (uint32_t)want;
	return true;
}

/* Two at once: an update may add a new and a dead row. */
enum store_status tx_run_reserve(struct store_table *t)
{
	struct table_tx *tx = &t->tx;
	return list_grow((void **)&tx->runs, &tx->run_cap, sizeof(*tx->runs), tx->run_count + 2) ? STORE_OK : STORE_MEMORY;
}

void tx_run_add(struct store_table *t, uint32_t row)
{
	struct table_tx *tx = &t->tx;
	if (tx->run_count > 0) {
		struct run *last = &tx->runs[tx->run_count - 1];
		if (last->first + last->count == row) {
			last->count++;
			return;
		}
	}
	tx->runs[tx->run_count++] = (struct run){ row, 1 };
}

enum store_status tx_image_reserve(struct store_table *t)
{
	struct table_tx *tx = &t->tx;
	return list_grow((void **)&tx->images, &tx->image_cap, image_bytes(t), tx->image_count + 1) ? STORE_OK :
		STORE_MEMORY;
}

void tx_image_add(struct store_table *t, uint32_t row)
{
	uint8_t *image = t->tx.images + (size_t)t->tx.image_count++ * image_bytes(t);
	store_u32(image, row);
	memcpy(image + 4, row_slot(t, row), t->stride);
	row_word(t, row)->imaged |= row_bit(t, row);
}

enum store_status tx_displaced_reserve(struct store_table *t, uint32_t more)
{
	struct table_tx *tx = &t->tx;
	return list_grow((void **)&tx->displaced, &tx->displaced_cap, sizeof(*tx->displaced),
		tx->displaced_count + more) ? STORE_OK : STORE_MEMORY;
}

static void lists_forget(struct store_table *t)
{
	struct table_tx *tx = &t->tx;
	if (tx->run_cap * sizeof(*tx->runs) > TX_KEEP_BYTES) {
		mem_free(tx->runs);
		tx->runs = NULL;
		tx->run_cap = 0;
	}
	if ((size_t)tx->image_cap * image_bytes(t) > TX_KEEP_BYTES) {
		mem_free(tx->images);
		tx->images = NULL;
		tx->image_cap = 0;
	}
	if (tx->displaced_cap * sizeof(*tx->displaced) > TX_KEEP_BYTES) {
		mem_free(tx->displaced);
		tx->displaced = NULL;
		tx->displaced_cap = 0;
	}
	tx->run_count = tx->image_count = tx->displaced_count = 0;
	tx->new_count = tx->dead_count = 0;
	tx->changed = false;
	tx->next = NULL;
}

void lists_free(struct store_table *t)
{
	struct table_tx *tx = &t->tx;
	DEBUG_ASSERT(!tx->changed);
	mem_free(tx->runs);
	mem_free(tx->images);
	mem_free(tx->displaced);
	*tx = (struct table_tx){ 0 };
}

/* ---- ends of one table ---- */

void table_clear_storage(struct store_table *t)
{
	for (uint32_t i = 0; i < t->index_count; i++)
		index_clear(t->indexes[i]);
	if (t->set != NULL)
		hash_free(t->set);
	table_pages_free(t);
	if (t->heap != NULL)
		heap_reset(t->heap);
	t->row_count = 0;
}

static void release_rows(struct store_table *t, uint32_t first, uint64_t bits)
{
	for (; bits != 0; bits &= bits - 1)
		row_release(t, first + (uint32_t)__builtin_ctzll(bits));
}

/* The part of a run that is in one word; advances the run. */
struct span {
	struct slot_word *word;
	uint32_t first; /* row number of the word's first bit */
	uint64_t mask;  /* listed rows of the run */
};
static bool next_span(const struct store_table *t, struct run *run, struct span *span)
{
	if (run->count == 0)
		return false;
	uint32_t at = run->first & t->slot_mask & 63;
	uint32_t room = t->slot_mask < 63 ? t->slot_mask + 1 - at : 64 - at;
	uint32_t count = run->count < room ? run->count : room;
	span->word = row_word(t, run->first);
	span->first = run->first - at;
	uint64_t ones = count == 64 ? UINT64_MAX : (1ull << count) - 1;
	span->mask = ones << at & span->word->listed;
	run->first += count;
	run->count -= count;
	return true;
}

static void commit_images(struct store_table *t)
{
	const uint8_t *image = t->tx.images;
	for (uint32_t i = 0; i < t->tx.image_count; i++, image += image_bytes(t)) {
		uint32_t row = load_u32(image);
		row_word(t, row)->imaged &= ~row_bit(t, row);
		if (t->heap != NULL)
			heap_drop(t->heap, image + 4);
	}
}

static void commit_runs(struct store_table *t)
{
	for (uint32_t i = 0; i < t->tx.run_count; i++) {
		struct run run = t->tx.runs[i];
		struct span span;
		while (next_span(t, &run, &span)) {
			struct slot_word *word = span.word;
			uint64_t stays = t->def->is_event ? 0 : word->visible;
			uint64_t taken = word->visible | word->committed | word->imaged;
			word->listed &= ~span.mask;
			release_rows(t, span.first, span.mask & taken & ~stays);
			word->committed |= span.mask & stays;
			word->imaged &= ~span.mask;
		}
	}
}

static void commit_table(struct store_table *t)
{
	t->version++;
	bool empties = t->row_count == 0 || t->def->is_event;
	if (empties && t->page_count > 1) {
		table_clear_storage(t);
	} else {
		commit_images(t);
		commit_runs(t);
		if (empties)
			t->row_count = 0;
		for (uint32_t i = 0; i < t->unique_count; i++)
			if (t->unique[i]->form == FORM_INT)
				radix_thin(t->unique[i]);
		if (t->heap != NULL)
			heap_compact(t);
		table_pages_trim(t);
	}
	lists_forget(t);
}

static void rollback_table(struct store_table *t)
{
	struct table_tx *tx = &t->tx;
	if (tx->rows_before == 0 && t->page_count > 1) {
		table_clear_storage(t);
		lists_forget(t);
		return;
	}
	for (uint32_t i = tx->displaced_count; i-- > 0;) {
		const struct displaced *d = &tx->displaced[i];
		struct probe probe;
		index_probe_row(d->index, row_bytes(t, d->row), &probe);
		index_replace(d->index, &probe, d->row);
	}
	const uint8_t *image = tx->images;
	for (uint32_t i = 0; i < tx->image_count; i++, image += image_bytes(t)) {
		uint32_t row = load_u32(image);
		uint8_t *slot = row_slot(t, row);
		row_word(t, row)->imaged &= ~row_bit(t, row);
		if (t->heap != NULL)
			heap_drop(t->heap, slot);
		memcpy(slot, image + 4, t->stride);
	}
	for (uint32_t i = 0; i < tx->run_count; i++) {
		struct run run = tx->runs[i];
		struct span span;
		while (next_span(t, &run, &span)) {
			struct slot_word *word = span.word;
			word->listed &= ~span.mask;
			release_rows(t, span.first, span.mask & ~word->committed & (word->visible | word->imaged));
			word->visible |= span.mask & word->committed;
		}
	}
	t->row_count = tx->rows_before;
	table_pages_trim(t);
	lists_forget(t);
}

/* ---- the public face ---- */

void store_tx_begin(struct store *store)
{
	ASSERT(!store->tx_active);
	arena_reset(&store->tx_arena);
	if (UNLIKELY(store->remains != NULL))
		remains_free(store);
	store->tx_active = true;
	store->tx_bytes = 0;
	store->call_timed = false;
}

bool store_tx_active(const struct store *store)
{
	return store->tx_active;
}

struct arena *store_tx_arena(struct store *store)
{
	return &store->tx_arena;
}

void store_set_call_time(struct store *store, int64_t micros)
{
	store->call_timed = true;
	store->call_micros = micros;
}

/* Cursors that were opened after the last write are ended as well. */
static void warn_watches(struct store *store)
{
	for (struct store_table *t = store->changed; t != NULL; t = t->tx.next)
		table_before_write(t);
}

static void end(struct store *store)
{
	store->changed = NULL;
	store->created = NULL;
	store->tx_active = false;
	if (store->scratch.cap > TX_KEEP_BYTES)
		buf_deinit(&store->scratch);
}

void tx_commit_quietly(struct store *store)
{
	warn_watches(store);
	for (struct store_table *t = store->changed, *next; t != NULL; t = next) {
		next = t->tx.next;
		commit_table(t);
	}
	if (UNLIKELY(store->schema_count > 0))
		alter_finish(store);
	end(store);
}

enum store_status store_tx_peek(struct store *store, struct store_delta *delta)
{
	ASSERT(store->tx_active);
	*delta = (struct store_delta){ 0 };
	enum store_status status = store->changed == NULL ? STORE_OK : delta_build(store, delta);
	return LIKELY(status == STORE_OK) ? STORE_OK : store_fail(store, status);
}

void store_table_mark(struct store_table *t, bool marked)
{
	t->is_marked = marked;
}

bool store_tx_touched_marked(const struct store *store)
{
	for (const struct store_table *t = store->changed; t != NULL; t = t->tx.next)
		if (t->is_marked)
			return true;
	return false;
}

enum store_status store_tx_prepare(struct store *store, struct store_delta *delta)
{
	ASSERT(store->tx_active);
	*delta = (struct store_delta){ 0 };
	enum store_status status = sequences_save(store);
	if (status == STORE_OK && store->changed != NULL)
		status = delta_build(store, delta);
	return LIKELY(status == STORE_OK) ? STORE_OK : store_fail(store, status);
}

void store_tx_finish(struct store *store)
{
	ASSERT(store->tx_active);
	sequences_saved(store);
	tx_commit_quietly(store);
}

enum store_status store_tx_commit(struct store *store, struct store_delta *delta)
{
	enum store_status status = store_tx_prepare(store, delta);
	if (LIKELY(status == STORE_OK))
		store_tx_finish(store);
	return status;
}

void store_tx_rollback(struct store *store)
{
	ASSERT(store->tx_active);
	warn_watches(store);
	for (struct store_table *t = store->changed, *next; t != NULL; t = next) {
		next = t->tx.next;
		rollback_table(t);
	}
	alter_rollback(store);
	end(store);
}
