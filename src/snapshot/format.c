/* SPDX-License-Identifier: Apache-2.0 */
/* The format of a snapshot's file: header, trailer, contents. */
#include "native.h"
#include "snapshot/snapshot_internal.h"

static const char HEADER_MAGIC[8] = "WORLSNAP";
enum { HEADER_CRC_AT = 12, TRAILER_CRC_AT = 28, TABLE_BYTES_MIN = 32 };

static uint32_t crc_without(const uint8_t *data, size_t len, size_t crc_at)
{
	static const uint8_t zeros[4];
	uint32_t crc = native_crc32c(0, data, crc_at);
	crc = native_crc32c(crc, zeros, sizeof(zeros));
	return native_crc32c(crc, data + crc_at + 4, len - crc_at - 4);
}

void header_encode(const struct file_header *header, uint8_t out[HEADER_BYTES])
{
	memset(out, 0, HEADER_BYTES);
	memcpy(out, HEADER_MAGIC, sizeof(HEADER_MAGIC));
	store_u32(out + 8, SNAPSHOT_FORMAT_VERSION);
	store_u64(out + 16, header->id);
	store_u64(out + 24, header->offset);
	memcpy(out + 32, header->database.le, sizeof(header->database.le));
	store_u32(out + HEADER_CRC_AT, crc_without(out, HEADER_BYTES, HEADER_CRC_AT));
}

enum wl_err header_decode(const uint8_t *data, size_t len, const char *path, struct file_header *out,
	struct error *error)
{
	if (len < HEADER_BYTES || memcmp(data, HEADER_MAGIC, sizeof(HEADER_MAGIC)) != 0)
		return fail(error, WL_ERR_CORRUPT, "%s: byte 0: this is not a snapshot", path);
	/* Before the checksum: another version may have another one. */
	uint32_t version = load_u32(data + 8);
	if (load_u32(data + HEADER_CRC_AT) != crc_without(data, HEADER_BYTES, HEADER_CRC_AT))
		return fail(error, WL_ERR_CORRUPT, "%s: byte 0: the header's checksum does not match", path);
	if (version != SNAPSHOT_FORMAT_VERSION)
		return fail(error, WL_ERR_UNSUPPORTED, "%s has format version %u; this program reads version %d", path,
			version, SNAPSHOT_FORMAT_VERSION);
	out->id = load_u64(data + 16);
	out->offset = load_u64(data + 24);
	memcpy(out->database.le, data + 32, sizeof(out->database.le));
	return WL_OK;
}

void trailer_encode(const struct trailer *trailer, uint64_t id, uint8_t out[TRAILER_BYTES])
{
	store_u64(out, trailer->contents_at);
	store_u64(out + 8, trailer->contents_len);
	store_u64(out + 16, id);
	store_u32(out + 24, trailer->contents_crc);
	store_u32(out + TRAILER_CRC_AT, native_crc32c(0, out, TRAILER_CRC_AT));
}

bool trailer_decode(const uint8_t data[TRAILER_BYTES], uint64_t id, struct trailer *out)
{
	*out = (struct trailer){ .contents_at = load_u64(data), .contents_len = load_u64(data + 8),
		.contents_crc = load_u32(data + 24) };
	return load_u32(data + TRAILER_CRC_AT) == native_crc32c(0, data, TRAILER_CRC_AT) && load_u64(data + 16) == id;
}

/* ---- contents ---- */

static void put_page(struct buf *out, const struct page_ref *page)
{
	uint8_t *to = buf_extend(out, PAGE_REF_BYTES);
	if (to == NULL)
		return;
	store_u64(to, page->at);
	store_u64(to + 8, page->checksum);
	store_u32(to + 16, page->len);
	store_u32(to + 20, page->crc);
	store_u16(to + 24, page->file);
	store_u16(to + 26, page->rows);
}

void contents_encode(const struct contents *contents, struct buf *out)
{
	buf_put_u64(out, (uint64_t)contents->micros);
	buf_put_u32(out, contents->file_count);
	for (uint32_t i = 0; i < contents->file_count; i++) {
		buf_put_u64(out, contents->files[i].offset);
		buf_put_u64(out, contents->files[i].id);
	}
	buf_put_u32(out, contents->table_count);
	for (uint32_t i = 0; i < contents->table_count; i++) {
		const struct contents_table *table = &contents->tables[i];
		buf_put_bsatn_bytes(out, table->def.data, table->def.len);
		buf_put_u32(out, table->id);
		buf_put_u32(out, table->page_slots);
		buf_put_u64(out, table->rows);
		buf_put_u64(out, table->checksum);
		buf_put_u32(out, table->page_count);
		for (uint32_t p = 0; p < table->page_count; p++)
			put_page(out, &table->pages[p]);
	}
}

static enum wl_err get_pages(struct reader *r, struct contents_table *table, uint32_t file_count, uint64_t size)
{
	const uint8_t *at = reader_take(r, (size_t)table->page_count * PAGE_REF_BYTES, "pages");
	if (at == NULL)
		return WL_ERR_CORRUPT;
	table->pages = mem_alloc(size_max((size_t)table->page_count * sizeof(struct page_ref), 1));
	if (table->pages == NULL)
		return WL_ERR_MEMORY;
	uint64_t rows = 0, checksum = 0;
	for (uint32_t p = 0; p < table->page_count; p++, at += PAGE_REF_BYTES) {
		struct page_ref *page = &table->pages[p];
		*page = (struct page_ref){ .at = load_u64(at), .checksum = load_u64(at + 8), .len = load_u32(at + 16),
			.crc = load_u32(at + 20), .file = load_u16(at + 24), .rows = load_u16(at + 26) };
		if (page->file >= file_count || page->len > PAGE_BYTES_MAX || (page->len == 0) != (page->rows == 0))
			return WL_ERR_CORRUPT;
		if (page->file == 0 && (page->at > size || page->len > size - page->at))
			return WL_ERR_CORRUPT;
		rows += page->rows;
		checksum += page->checksum;
	}
	return rows == table->rows && checksum == table->checksum ? WL_OK : WL_ERR_CORRUPT;
}

static enum wl_err get_tables(struct contents *contents, struct reader *r, uint64_t size)
{
	for (uint32_t i = 0; i < contents->table_count; i++) {
		struct contents_table *table = &contents->tables[i];
		table->def = reader_bsatn_bytes(r);
		table->id = reader_u32(r);
		table->page_slots = reader_u32(r);
		table->rows = reader_u64(r);
		table->checksum = reader_u64(r);
		table->page_count = reader_u32(r);
		if (r->failed || (i > 0 && table->id <= contents->tables[i - 1].id))
			return WL_ERR_CORRUPT;
		enum wl_err err = get_pages(r, table, contents->file_count, size);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

enum wl_err contents_decode(struct contents *contents, uint64_t size)
{
	struct reader r = reader_of(contents->bytes.data, contents->bytes.len);
	contents->micros = (int64_t)reader_u64(&r);
	contents->file_count = reader_u32(&r);
	if (contents->file_count == 0 || contents->file_count > SNAPSHOT_FILES_MAX)
		return WL_ERR_CORRUPT;
	for (uint32_t i = 0; i < contents->file_count; i++) {
		contents->files[i].offset = reader_u64(&r);
		contents->files[i].id = reader_u64(&r);
	}
	uint32_t tables = reader_u32(&r);
	if (r.failed || tables > reader_left(&r) / TABLE_BYTES_MIN)
		return WL_ERR_CORRUPT;
	contents->tables = mem_zalloc_array((size_t)tables + 1, sizeof(*contents->tables));
	if (contents->tables == NULL)
		return WL_ERR_MEMORY;
	contents->table_count = tables;
	enum wl_err err = get_tables(contents, &r, size);
	return err == WL_OK && (r.failed || reader_left(&r) > 0) ? WL_ERR_CORRUPT : err;
}

void contents_deinit(struct contents *contents)
{
	for (uint32_t i = 0; i < contents->table_count; i++)
		mem_free(contents->tables[i].pages);
	mem_free(contents->tables);
	buf_deinit(&contents->bytes);
	*contents = (struct contents){ 0 };
}
