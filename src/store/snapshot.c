/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: the rows of some tables between two transactions, for readers
 * beside the executor.
 *
 * A snapshot has a shadow of each of its tables: the same shape, without
 * indexes, with its own arrays of pages and segments. A page that the store
 * changes afterwards is copied first (row_own), the old one is the snapshot's;
 * segments only grow behind what it knows of. So nothing that it can reach is
 * ever written, but the heads of pages and segments, which it never reads.
 *
 * Invariants:
 * 1. table->frozen is the epoch of the newest snapshot that has the table. A
 *    page or segment is shared if and only if its epoch is smaller.
 * 2. What snapshots alone still need is in store->retired, in the order of
 *    `until`; it is freed when no snapshot of that epoch or an earlier one is left.
 * 3. While a table is frozen its rows do not move, and its segments are not reused.
 * 4. Pages that nobody needs any more are spares: where reads go on, writers copy into memory that is there already
 *    instead of asking the kernel for fresh pages, which costs more than the copy. All spares are of one size.
 */
#include "store/store_internal.h"

enum { SPARE_BYTES_MAX = 32 << 20 };

struct store_snapshot {
	uint64_t epoch;
	struct store_snapshot *next;
	uint32_t count;
	struct shadow {
		struct store_table *of;
		struct store_table table;
		struct heap heap;
	} shadows[];
};

void retire(struct store *store, struct retired *memory, uint64_t bytes, bool is_page)
{
	*memory = (struct retired){ .until = store->epoch, .page_bytes = is_page ? bytes : 0 };
	*store->retired_last = memory;
	store->retired_last = &memory->next;
	store->retired_bytes += bytes;
}

void *spare_take(struct store *store, size_t page_bytes)
{
	struct retired *memory = store->spares;
	if (memory == NULL || memory->page_bytes != page_bytes)
		return NULL;
	store->spares = memory->next;
	store->spare_bytes -= page_bytes;
	return memory;
}

void spares_free(struct store *store)
{
	struct retired *memory;
	while ((memory = store->spares) != NULL) {
		store->spares = memory->next;
		mem_free(memory);
	}
	store->spare_bytes = 0;
}

/* False: it is not to be kept. */
static bool spare_keep(struct store *store, struct retired *memory)
{
	if (memory->page_bytes == 0 || store->spare_bytes + memory->page_bytes > SPARE_BYTES_MAX ||
		(store->spares != NULL && store->spares->page_bytes != memory->page_bytes))
		return false;
	memory->next = store->spares;
	store->spares = memory;
	store->spare_bytes += memory->page_bytes;
	return true;
}

static void free_retired(struct store *store)
{
	struct retired *memory;
	while ((memory = store->retired) != NULL &&
		(store->snapshots == NULL || memory->until < store->snapshots->epoch)) {
		store->retired = memory->next;
		if (!spare_keep(store, memory))
			mem_free(memory);
	}
	if (store->retired == NULL)
		store->retired_last = &store->retired;
	if (store->snapshots == NULL)
		store->retired_bytes = 0;
}

static void set_frozen(struct store_table *t, uint64_t epoch)
{
	t->frozen = epoch;
	if (t->heap != NULL)
		t->heap->frozen = epoch;
}

static bool copy_array(void **out, const void *from, size_t count, size_t size)
{
	*out = mem_alloc(size_max(count * size, 1));
	if (*out != NULL && count > 0)
		memcpy(*out, from, count * size);
	return *out != NULL;
}

static bool make_shadow(struct shadow *shadow, struct store_table *t)
{
	struct store_table *copy = &shadow->table;
	void *pages, *written, *segments = NULL;
	shadow->of = t;
	*copy = (struct store_table){ .store = t->store, .def = t->def, .layout = t->layout, .fixed_size = t->fixed_size,
		.stride = t->stride, .slot_mask = t->slot_mask, .shift = t->shift, .page_cap_rows = t->page_cap_rows,
		.page_words = t->page_words, .data_offset = t->data_offset, .page_count = t->page_count,
		.row_count = t->row_count };
	if (!copy_array(&pages, t->pages, t->page_count, sizeof(struct page *)))
		return false;
	copy->pages = pages;
	if (!copy_array(&written, t->written, t->page_count, sizeof(uint32_t)))
		return false;
	copy->written = written;
	if (t->heap == NULL)
		return true;
	if (!copy_array(&segments, t->heap->segments, t->heap->count, sizeof(struct segment)))
		return false;
	shadow->heap = (struct heap){ .segments = segments, .count = t->heap->count };
	copy->heap = &shadow->heap;
	return true;
}

static void free_snapshot(struct store_snapshot *snapshot)
{
	for (uint32_t i = 0; i < snapshot->count; i++) {
		mem_free(snapshot->shadows[i].table.pages);
		mem_free(snapshot->shadows[i].table.written);
		mem_free(snapshot->shadows[i].heap.segments);
	}
	mem_free(snapshot);
}

struct store_snapshot *store_snapshot_take(struct store *store, struct store_table *const *tables, uint32_t count)
{
	ASSERT(!store->tx_active);
	struct store_snapshot *snapshot = mem_zalloc(sizeof(*snapshot) + count * sizeof(snapshot->shadows[0]));
	if (snapshot == NULL)
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		snapshot->count++;
		if (make_shadow(&snapshot->shadows[i], tables[i]))
			continue;
		free_snapshot(snapshot);
		return NULL;
	}
	snapshot->epoch = ++store->epoch;
	struct store_snapshot **last = &store->snapshots;
	while (*last != NULL)
		last = &(*last)->next;
	*last = snapshot;
	for (uint32_t i = 0; i < count; i++)
		set_frozen(tables[i], snapshot->epoch);
	return snapshot;
}

/* Of the snapshots that are left. */
static uint64_t newest_with(const struct store *store, const struct store_table *t)
{
	uint64_t epoch = 0;
	for (const struct store_snapshot *s = store->snapshots; s != NULL; s = s->next)
		for (uint32_t i = 0; i < s->count; i++)
			if (s->shadows[i].of == t)
				epoch = s->epoch;
	return epoch;
}

void store_snapshot_release(struct store *store, struct store_snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	struct store_snapshot **at = &store->snapshots;
	while (*at != snapshot)
		at = &(*at)->next;
	*at = snapshot->next;
	for (uint32_t i = 0; i < snapshot->count; i++) {
		struct store_table *t = snapshot->shadows[i].of;
		if (t->frozen == snapshot->epoch)
			set_frozen(t, newest_with(store, t));
	}
	free_snapshot(snapshot);
	free_retired(store);
}

struct store_table *store_snapshot_table(struct store_snapshot *snapshot, const struct store_table *table)
{
	for (uint32_t i = 0; i < snapshot->count; i++)
		if (snapshot->shadows[i].of == table)
			return &snapshot->shadows[i].table;
	ASSERT(!"the snapshot has the table");
	return NULL;
}

uint64_t store_snapshot_bytes(const struct store *store)
{
	return store->retired_bytes;
}
