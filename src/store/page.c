/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages: slots of one size, reached by row number. A row number is page
 * number and slot; it never changes while the row lives.
 *
 * Invariants:
 * 1. All pages of a table have the same layout. A lone page may be smaller
 *    than a full one; it is full-sized before a second page exists.
 * 2. A page is in the free list if and only if it has a free slot.
 * 3. page->used counts the slots that are not free; empty_pages counts pages
 *    with used == 0.
 */
#include "store/store_internal.h"

enum { FIRST_PAGE_BYTES = 128 };

static size_t data_offset(uint32_t words)
{
	return sizeof(struct page) + words * sizeof(struct slot_word);
}

static void set_page_rows(struct store_table *t, uint32_t rows)
{
	t->page_cap_rows = rows;
	t->page_words = (rows + 63) / 64;
	t->data_offset = (uint32_t)data_offset(t->page_words);
}

void table_pages_init(struct store_table *t)
{
	uint32_t rows = 1, shift = 0;
	while (rows < PAGE_ROWS_MAX && (uint64_t)rows * 2 * t->stride <= STORE_PAGE_BYTES) {
		rows *= 2;
		shift++;
	}
	t->slot_mask = rows - 1;
	t->shift = (uint8_t)shift;
	uint32_t first = rows;
	while (first > 1 && (uint64_t)first * t->stride > FIRST_PAGE_BYTES)
		first /= 2;
	set_page_rows(t, first);
	t->free_page = PAGE_NONE;
}

static size_t page_size(const struct store_table *t)
{
	return t->data_offset + (size_t)t->page_cap_rows * t->stride;
}

/* `size` when it was made. */
static void page_free(struct store_table *t, struct page *page, size_t size)
{
	if (page != NULL && page->epoch < t->frozen)
		retire(t->store, &page->retired, size, true);
	else
		mem_free(page);
}

enum store_status page_copy(struct store_table *t, uint32_t at)
{
	struct page *old = t->pages[at], *page = spare_take(t->store, page_size(t));
	if (page == NULL)
		page = mem_alloc(page_size(t));
	if (page == NULL)
		return STORE_MEMORY;
	memcpy(page, old, page_size(t));
	page->epoch = t->store->epoch;
	t->pages[at] = page;
	retire(t->store, &old->retired, page_size(t), true);
	return STORE_OK;
}

void table_pages_free(struct store_table *t)
{
	for (uint32_t i = 0; i < t->page_count; i++)
		page_free(t, t->pages[i], page_size(t));
	mem_free(t->pages);
	mem_free(t->written);
	t->pages = NULL;
	t->written = NULL;
	t->page_count = t->page_cap = t->page_holes = t->empty_pages = 0;
	t->page_bytes = 0;
	table_pages_init(t);
}

static void list_push(struct store_table *t, uint32_t at)
{
	struct page *page = t->pages[at];
	page->prev = PAGE_NONE;
	page->next = t->free_page;
	if (t->free_page != PAGE_NONE)
		t->pages[t->free_page]->prev = at;
	t->free_page = at;
}

static void list_unlink(struct store_table *t, uint32_t at)
{
	struct page *page = t->pages[at];
	if (page->prev != PAGE_NONE)
		t->pages[page->prev]->next = page->next;
	else
		t->free_page = page->next;
	if (page->next != PAGE_NONE)
		t->pages[page->next]->prev = page->prev;
}

/* The lone page becomes larger. */
static enum store_status grow_first(struct store_table *t)
{
	struct page *old = t->pages[0];
	const uint8_t *old_data = (uint8_t *)old + t->data_offset;
	uint32_t old_rows = t->page_cap_rows, old_words = t->page_words;
	size_t old_size = page_size(t);
	uint32_t rows = (uint32_t)size_min((size_t)old_rows * 2, t->slot_mask + 1);
	/* The last steps would be nearly as large as a full page. */
	if (rows * 2 > t->slot_mask)
		rows = t->slot_mask + 1;
	uint32_t words = (rows + 63) / 64;
	struct page *page = mem_alloc(data_offset(words) + (size_t)rows * t->stride);
	if (page == NULL)
		return STORE_MEMORY;
	memcpy(page, old, data_offset(old_words));
	memset(page->words + old_words, 0, (words - old_words) * sizeof(struct slot_word));
	set_page_rows(t, rows);
	memcpy((uint8_t *)page + t->data_offset, old_data, (size_t)old_rows * t->stride);
	page->hint = old_rows / 64;
	page->epoch = t->store->epoch;
	t->page_bytes += page_size(t) - old_size;
	t->pages[0] = page;
	page_free(t, old, old_size);
	list_push(t, 0);
	return STORE_OK;
}

static enum store_status arrays_grow(struct store_table *t, uint32_t cap)
{
	struct page **pages = mem_realloc(t->pages, cap * sizeof(*pages));
	if (pages == NULL)
		return STORE_MEMORY;
	t->pages = pages;
	uint32_t *written = mem_realloc(t->written, cap * sizeof(*written));
	if (written == NULL)
		return STORE_MEMORY;
	t->written = written;
	t->page_cap = cap;
	return STORE_OK;
}

static enum store_status page_make(struct store_table *t, uint32_t at)
{
	struct page *page = mem_alloc(page_size(t));
	if (page == NULL)
		return STORE_MEMORY;
	memset(page, 0, t->data_offset);
	page->epoch = t->store->epoch;
	t->pages[at] = page;
	t->written[at] = t->store->generation;
	t->page_bytes += page_size(t);
	return STORE_OK;
}

static enum store_status page_add(struct store_table *t)
{
	uint32_t at = t->page_count;
	if (t->page_holes > 0)
		for (at = 0; t->pages[at] != NULL; at++)
			;
	/* ROW_NONE must stay free. */
	if ((uint64_t)(at + 1) << t->shift >= ROW_NONE)
		return STORE_LIMIT;
	enum store_status status = at < t->page_cap ? STORE_OK : arrays_grow(t, t->page_cap == 0 ? 1 : t->page_cap * 2);
	if (status == STORE_OK)
		status = page_make(t, at);
	if (status != STORE_OK)
		return status;
	if (at == t->page_count)
		t->page_count++;
	else
		t->page_holes--;
	t->empty_pages++;
	list_push(t, at);
	return STORE_OK;
}

enum store_status table_page_place(struct store_table *t, uint32_t at, uint32_t rows, bool only)
{
	if ((uint64_t)(at + 1) << t->shift >= ROW_NONE)
		return STORE_LIMIT;
	if (at >= t->page_cap) {
		enum store_status status = arrays_grow(t, (uint32_t)size_max(at + 1, (size_t)t->page_cap * 2));
		if (status != STORE_OK)
			return status;
	}
	while (t->page_count < at) { /* holes, until these come */
		t->pages[t->page_count++] = NULL;
		t->page_holes++;
	}
	uint32_t slots = only ? t->page_cap_rows : t->slot_mask + 1;
	while (slots < rows)
		slots *= 2;
	set_page_rows(t, slots);
	enum store_status status = page_make(t, at);
	if (status == STORE_OK)
		t->page_count++;
	return status;
}

void table_page_placed(struct store_table *t, uint32_t at)
{
	struct page *page = t->pages[at];
	for (uint32_t w = 0; w < t->page_words; w++) {
		page->words[w].committed = page->words[w].visible;
		page->used += (uint32_t)__builtin_popcountll(page->words[w].visible);
	}
	t->row_count += page->used;
	if (page->used == 0)
		t->empty_pages++;
	if (page->used < t->page_cap_rows)
		list_push(t, at);
}

enum store_status table_slot_find(struct store_table *t, uint32_t *row)
{
	if (UNLIKELY(t->free_page == PAGE_NONE)) {
		bool grows = t->page_count == 1 && t->page_cap_rows <= t->slot_mask;
		enum store_status status = grows ? grow_first(t) : page_add(t);
		if (status != STORE_OK)
			return status;
	}
	struct page *page = t->pages[t->free_page];
	uint64_t last = t->page_cap_rows >= 64 ? UINT64_MAX : (1ull << t->page_cap_rows) - 1;
	for (uint32_t w = page->hint; w < t->page_words; w++) {
		const struct slot_word *word = &page->words[w];
		uint64_t is_free = ~(word->visible | word->committed | word->imaged) & last;
		if (is_free != 0) {
			page->hint = w;
			*row = (t->free_page << t->shift) + w * 64 + (uint32_t)__builtin_ctzll(is_free);
			return STORE_OK;
		}
	}
	ASSERT(!"a listed page has a free slot");
	return STORE_LIMIT;
}

void table_slot_take(struct store_table *t, uint32_t row)
{
	struct page *page = row_page(t, row);
	if (page->used++ == 0)
		t->empty_pages--;
	if (page->used == t->page_cap_rows)
		list_unlink(t, row >> t->shift);
}

void table_slot_release(struct store_table *t, uint32_t row)
{
	struct page *page = row_page(t, row);
	struct slot_word *word = row_word(t, row);
	uint64_t keep = ~row_bit(t, row);
	word->visible &= keep;
	word->committed &= keep;
	word->imaged &= keep;
	uint32_t at = (row & t->slot_mask) >> 6;
	if (page->used == t->page_cap_rows) {
		page->hint = at;
		list_push(t, row >> t->shift);
	} else if (at < page->hint) {
		page->hint = at;
	}
	DEBUG_ASSERT(page->used > 0);
	if (--page->used == 0)
		t->empty_pages++;
}

/* Gives empty pages back; one is kept so that a table at a page's edge does not allocate all the time. */
void table_pages_trim(struct store_table *t)
{
	uint32_t at = t->free_page;
	while (t->empty_pages > 1 && at != PAGE_NONE) {
		struct page *page = t->pages[at];
		uint32_t next = page->next;
		/* Page 0 may be smaller than others would be; it stays. */
		if (page->used == 0 && at != 0) {
			list_unlink(t, at);
			page_free(t, page, page_size(t));
			t->pages[at] = NULL;
			t->page_holes++;
			t->empty_pages--;
			t->page_bytes -= page_size(t);
		}
		at = next;
	}
	while (t->page_count > 0 && t->pages[t->page_count - 1] == NULL) {
		t->page_count--;
		t->page_holes--;
	}
	if (t->page_cap > 16 && t->page_count < t->page_cap / 4) {
		/* Where one of the two stays larger, the smaller counts. */
		struct page **pages = mem_realloc(t->pages, t->page_cap / 2 * sizeof(*pages));
		uint32_t *written = pages == NULL ? NULL : mem_realloc(t->written, t->page_cap / 2 * sizeof(*written));
		t->pages = pages != NULL ? pages : t->pages;
		t->written = written != NULL ? written : t->written;
		if (pages != NULL)
			t->page_cap /= 2;
	}
}
