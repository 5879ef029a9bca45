/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: the rows of a page as bytes that another process can put back into
 * the same slots, and the checksum of rows.
 *
 * Image: u16 words; words x u64, a bit for each slot that is a row (words 0:
 * the first slots are); u16 rows; the rows in the order of their slots.
 *
 * Invariants:
 *  1. A page's image depends on its rows and their slots only. A page whose
 *     stamp (store_table.written) is not newer than an image of it still has
 *     that image: every change of a row passes row_own, which stamps.
 *  2. An image is believed only as far as it was checked: slots exist, rows
 *     are valid, nothing is left over. Keys are checked when indexes are built.
 */
#include "store/store_internal.h"

/* ---- checksums ---- */

static uint64_t fold(uint64_t a, uint64_t b)
{
	u128 product = (u128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t store_row_hash(const uint8_t *row, size_t len)
{
	static const uint64_t MULTIPLIER = 0x9e3779b97f4a7c15u;
	uint64_t hash = 0xa0761d6478bd642fu ^ len;
	for (; len >= 8; row += 8, len -= 8)
		hash = fold(hash ^ load_u64(row), MULTIPLIER) + MULTIPLIER;
	uint64_t rest = 0;
	for (size_t i = 0; i < len; i++)
		rest |= (uint64_t)row[i] << (8 * i);
	return fold(hash ^ rest, 0xe7037ed1a0b428dbu);
}

/* ---- stamps ---- */

uint32_t store_generation_next(struct store *store)
{
	ASSERT(!store->tx_active);
	return store->generation++;
}

bool store_image_changed(const struct store_table *t, uint32_t page, uint32_t generation)
{
	return t->pages[page] == NULL || t->written[page] > generation; /* gone: it may have had rows then */
}

/* ---- out ---- */

uint32_t store_image_pages(const struct store_table *t)
{
	return t->def->is_ephemeral ? 0 : t->page_count;
}

uint32_t store_image_page_slots(const struct store_table *t)
{
	return t->slot_mask + 1;
}

static void put_row(const struct store_table *t, const uint8_t *slot, struct buf *out, uint64_t *checksum)
{
	uint32_t len;
	const uint8_t *row = slot_row(t, slot, &len);
	buf_put(out, row, len);
	*checksum += store_row_hash(row, len);
}

/* The slots in use are the first ones: their number. */
static bool is_prefix(const struct page *page, uint32_t words, uint32_t *rows)
{
	bool ended = false;
	*rows = 0;
	for (uint32_t w = 0; w < words; w++) {
		uint64_t bits = page->words[w].visible;
		if (ended && bits != 0)
			return false;
		if ((bits & (bits + 1)) != 0)
			return false;
		ended = bits != UINT64_MAX;
		*rows += (uint32_t)__builtin_popcountll(bits);
	}
	return true;
}

static uint32_t count_rows(const struct page *page, uint32_t words)
{
	uint32_t rows = 0;
	for (uint32_t w = 0; w < words; w++)
		rows += (uint32_t)__builtin_popcountll(page->words[w].visible);
	return rows;
}

uint32_t store_image_put(const struct store_table *t, uint32_t at, struct buf *out, uint64_t *checksum)
{
	const struct page *page = t->pages[at];
	uint32_t rows = page == NULL ? 0 : count_rows(page, t->page_words);
	*checksum = 0;
	if (rows == 0)
		return 0;
	uint32_t first;
	uint32_t words = is_prefix(page, t->page_words, &first) ? 0 : t->page_words;
	buf_put_u16(out, (uint16_t)words);
	for (uint32_t w = 0; w < words; w++)
		buf_put_u64(out, page->words[w].visible);
	buf_put_u16(out, (uint16_t)rows);
	const uint8_t *slots = (const uint8_t *)page + t->data_offset;
	for (uint32_t w = 0; w < t->page_words; w++)
		for (uint64_t bits = page->words[w].visible; bits != 0; bits &= bits - 1)
			put_row(t, slots + (size_t)(w * 64 + (uint32_t)__builtin_ctzll(bits)) * t->stride, out, checksum);
	return rows;
}

/* ---- in ---- */

void store_image_clear(struct store_table *t)
{
	ASSERT(!t->store->tx_active && t->frozen == 0);
	table_clear_storage(t);
}

static enum wl_err damaged(const struct store_table *t, uint32_t page, const char *what, struct error *error)
{
	return fail(error, WL_ERR_CORRUPT, "table %.*s: page %u of the image %s", STR_FMT(t->def->name), page, what);
}

static enum wl_err from_status(enum store_status status, const struct store_table *t, uint32_t page,
	struct error *error)
{
	if (status == STORE_OK)
		return WL_OK;
	return status == STORE_MEMORY ? fail(error, WL_ERR_MEMORY, "out of memory")
		: damaged(t, page, "cannot be stored", error);
}

struct rows_in {
	struct store_table *t;
	struct reader r;
	uint32_t page;
	uint64_t checksum;
	struct error *error;
};

static enum wl_err get_row(struct rows_in *in, uint32_t slot)
{
	struct store_table *t = in->t;
	size_t size;
	struct error why;
	enum wl_err err = sats_validate(t->layout->whole, in->r.at, reader_left(&in->r), &size, &why);
	if (err == WL_ERR_MEMORY)
		return from_status(STORE_MEMORY, t, in->page, in->error);
	if (err != WL_OK || size > STORE_ROW_BYTES_MAX)
		return damaged(t, in->page, "has rows that do not decode", in->error);
	uint32_t row = (in->page << t->shift) + slot;
	if (t->heap == NULL) {
		memcpy(row_slot(t, row), in->r.at, size);
	} else {
		enum store_status status = heap_put(t->heap, row, in->r.at, (uint32_t)size, row_slot(t, row));
		if (status != STORE_OK)
			return from_status(status, t, in->page, in->error);
	}
	row_word(t, row)->visible |= row_bit(t, row);
	in->checksum += store_row_hash(in->r.at, size);
	in->r.at += size;
	return WL_OK;
}

/* The highest slot that is a row, plus one; 0: the head makes no sense. */
static uint32_t slots_needed(const struct store_table *t, const uint8_t *bitmap, uint32_t words, uint32_t rows)
{
	uint32_t count = 0, highest = 0, slots = t->slot_mask + 1;
	if (words == 0)
		return rows <= slots ? rows : 0;
	for (uint32_t w = 0; w < words; w++) {
		uint64_t bits = load_u64(bitmap + 8 * (size_t)w);
		if (bits == 0)
			continue;
		count += (uint32_t)__builtin_popcountll(bits);
		highest = w * 64 + 64 - (uint32_t)__builtin_clzll(bits);
	}
	return count == rows && highest <= slots ? highest : 0;
}

static enum wl_err get_rows(struct rows_in *in, const uint8_t *bitmap, uint32_t words, uint32_t rows)
{
	enum wl_err err = WL_OK;
	for (uint32_t slot = 0; words == 0 && slot < rows && err == WL_OK; slot++)
		err = get_row(in, slot);
	for (uint32_t w = 0; w < words; w++)
		for (uint64_t bits = load_u64(bitmap + 8 * (size_t)w); bits != 0 && err == WL_OK; bits &= bits - 1)
			err = get_row(in, w * 64 + (uint32_t)__builtin_ctzll(bits));
	return err;
}

enum wl_err store_image_get(struct store_table *t, uint32_t page, bool only, struct bytes image, uint64_t *checksum,
	struct error *error)
{
	ASSERT(!t->store->tx_active);
	struct rows_in in = { .t = t, .r = reader_of(image.data, image.len), .page = page, .error = error };
	uint32_t words = reader_u16(&in.r);
	const uint8_t *bitmap = reader_take(&in.r, (size_t)words * 8, "slots");
	uint32_t rows = reader_u16(&in.r);
	uint32_t slots = in.r.failed || rows == 0 ? 0 : slots_needed(t, bitmap, words, rows);
	if (slots == 0 || page < t->page_count || t->def->is_event || t->def->is_ephemeral)
		return damaged(t, page, "makes no sense", error);
	enum wl_err err = from_status(table_page_place(t, page, slots, only), t, page, error);
	if (err != WL_OK)
		return err;
	err = get_rows(&in, bitmap, words, rows);
	table_page_placed(t, page);
	if (err == WL_OK && reader_left(&in.r) > 0)
		err = damaged(t, page, "is longer than its rows", error);
	*checksum = in.checksum;
	return err;
}

/* ---- indexes ---- */

uint32_t store_image_indexes(const struct store_table *t)
{
	return t->index_count + (t->set != NULL);
}

enum wl_err store_image_index(struct store_table *t, uint32_t i, struct error *error)
{
	enum store_status status = index_fill(t, i < t->index_count ? t->indexes[i] : NULL);
	if (status == STORE_OK)
		return WL_OK;
	if (status == STORE_MEMORY)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	return fail(error, WL_ERR_CORRUPT, "table %.*s: two rows of the image have the same key", STR_FMT(t->def->name));
}
