/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of arbitrary bytes. The first byte chooses: a file as it is, a file
 * whose checksums are made right so that what is behind them is reached, or the
 * image of a page for a table of some shape. Whatever is loaded must be a store
 * like any other: its rows are found, and can be deleted and put in again.
 */
#define UTIL_WITHOUT_CHECK
#include "unit/store_util.h"

#include "commitlog/storage_faulty.h"
#include "native.h"
#include "snapshot/snapshot_internal.h"

enum { INPUT_MAX = 1 << 16 };

/* The last 32 bytes are the trailer, the contents end before it. */
static void make_valid(uint8_t *data, size_t len)
{
	if (len < HEADER_BYTES + TRAILER_BYTES)
		return;
	struct file_header header = { .id = load_u64(data + 16), .offset = 0 };
	header_encode(&header, data);
	uint8_t *trailer = data + len - TRAILER_BYTES;
	uint64_t end = len - TRAILER_BYTES, at = load_u64(trailer) % (end - HEADER_BYTES + 1) + HEADER_BYTES;
	if (at + 20 <= end)
		store_u64(data + at + 20, header.id); /* the first of its files is its own */
	struct trailer fresh = { .contents_at = at, .contents_len = end - at,
		.contents_crc = native_crc32c(0, data + at, end - at) };
	trailer_encode(&fresh, header.id, trailer);
}

/* Every row is found, and the table takes it again. */
static void use_table(struct store *s, struct store_table *t)
{
	struct buf rows = BUF_INIT(1 << 24);
	uint64_t before = store_table_row_count(t), sum = store_table_checksum(t);
	struct store_cursor cursor;
	struct store_row row;
	store_scan(t, &cursor);
	while (store_cursor_next(&cursor, &row))
		buf_put(&rows, row.data, row.len);
	struct reader r = reader_of(rows.len > 0 ? rows.data : (const uint8_t *)"", rows.len);
	store_tx_begin(s);
	for (uint64_t i = 0; i < before; i++) {
		size_t size = sats_size(store_table_layout(t)->whole, r.at);
		uint8_t *copy = mem_alloc(size_max(size, 1));
		size_t len = size;
		ASSERT(copy != NULL);
		memcpy(copy, r.at, size);
		ASSERT(store_insert(s, t, copy, &len, NULL) == STORE_OK); /* it is there */
		mem_free(copy);
		r.at += size;
	}
	ASSERT(store_table_row_count(t) == before);
	uint64_t gone;
	ASSERT(store_clear(s, t, &gone) == STORE_OK && gone == before);
	store_tx_rollback(s);
	ASSERT(store_table_row_count(t) == before && store_table_checksum(t) == sum);
	buf_deinit(&rows);
}

static void load_file(const uint8_t *data, size_t len)
{
	struct storage_faulty *disk = storage_faulty_create(1);
	struct snapshot_info info;
	struct error error;
	ASSERT(disk != NULL && storage_faulty_set(disk, "s/00000000000000000000.wsnap", data, len));
	struct store *s = store_create();
	ASSERT(s != NULL);
	if (snapshot_load(storage_faulty_storage(disk), "s", 0, s, &info, &error) == WL_OK)
		for (struct store_table *t = NULL; (t = store_table_next(s, t)) != NULL;)
			if (!store_table_def(t)->is_system)
				use_table(s, t);
	(void)snapshot_verify(storage_faulty_storage(disk), "s", 0, NULL, NULL, &info, &error);
	store_destroy(s);
	storage_faulty_destroy(disk);
}

static void load_image(uint8_t shape, const uint8_t *data, size_t len)
{
	static const char *const SHAPES[][2] = {
		{ "id:u n:w", "!0 1" }, { "id:u s:s", "!0" }, { "id:u o:o", "!0" }, { "n:u e:e", "" }, { "s:s A:A", "0" },
		{ "b:b B:B", "1" },
	};
	const char *const *chosen = SHAPES[shape % ARRAY_COUNT(SHAPES)];
	struct fixture f = fixture_new(chosen[0], chosen[1], -1);
	struct error error;
	uint64_t checksum = 0, sum = 0;
	uint32_t page = 0;
	bool ok = true;
	while (ok && len >= 2) {
		size_t piece = size_min(load_u16(data), len - 2);
		struct bytes image = { data + 2, piece };
		ok = store_image_get(f.t, page, page == 0 && len - 2 == piece, image, &checksum, &error) == WL_OK;
		sum += checksum;
		page++;
		data += 2 + piece;
		len -= 2 + piece;
	}
	for (uint32_t i = 0; ok && i < store_image_indexes(f.t); i++)
		ok = store_image_index(f.t, i, &error) == WL_OK;
	if (ok) {
		ASSERT(store_table_checksum(f.t) == sum);
		use_table(f.s, f.t);
	}
	fixture_free(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2 || len > INPUT_MAX)
		return 0;
	uint8_t how = data[0] % 3, shape = data[1];
	if (how == 2) {
		load_image(shape, data + 2, len - 2);
		return 0;
	}
	uint8_t *copy = mem_alloc(len);
	ASSERT(copy != NULL);
	memcpy(copy, data + 1, len - 1);
	if (how == 1)
		make_valid(copy, len - 1);
	load_file(copy, len - 1);
	mem_free(copy);
	return 0;
}
