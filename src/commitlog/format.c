/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of segments and batches: encoding, and the checks that everything
 * read from disk must pass before any of it is used.
 *
 *  1. A segment header is written and synced before its file gets its name;
 *     a damaged one is therefore damage, never a crash.
 *  2. A batch header is bound to its place: it starts with 32 bits of the
 *     segment's nonce, and its CRC begins with the whole nonce and its
 *     position. Copies of log bytes inside a record cannot pass for a batch.
 *  3. A batch header covers its payload (payload CRC) and everything before
 *     (CRC of the previous batch), so one valid header vouches for the chain.
 */
#include "commitlog/commitlog_internal.h"
#include "native.h"

static const char magic[8] = { 'W', 'O', 'R', 'L', 'D', 'L', 'O', 'G' };

static uint32_t segment_header_crc(const uint8_t data[SEGMENT_HEADER_BYTES])
{
	uint8_t copy[SEGMENT_HEADER_BYTES];
	memcpy(copy, data, sizeof(copy));
	store_u32(copy + 12, 0);
	return native_crc32c(0, copy, sizeof(copy));
}

void segment_header_encode(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_BYTES])
{
	memset(out, 0, SEGMENT_HEADER_BYTES);
	memcpy(out, magic, sizeof(magic));
	store_u32(out + 8, COMMITLOG_FORMAT_VERSION);
	store_u64(out + 16, header->number);
	store_u64(out + 24, header->nonce);
	store_u64(out + 32, header->log);
	store_u64(out + 40, header->capacity);
	store_u32(out + 12, segment_header_crc(out));
}

enum wl_err segment_header_decode(const uint8_t *data, size_t len, const char *path, struct segment_header *out,
	struct error *error)
{
	if (len < SEGMENT_HEADER_BYTES)
		return fail(error, WL_ERR_CORRUPT, "%s: byte %zu: the segment header is cut short", path, len);
	if (memcmp(data, magic, sizeof(magic)) != 0)
		return fail(error, WL_ERR_CORRUPT, "%s: byte 0: not a log segment", path);
	uint32_t version = load_u32(data + 8);
	bool whole = load_u32(data + 12) == segment_header_crc(data);
	/* The check comes first only for our own version: other versions may lay out the rest differently. */
	if (!whole && version == COMMITLOG_FORMAT_VERSION)
		return fail(error, WL_ERR_CORRUPT, "%s: byte 12: the segment header fails its checksum", path);
	if (version != COMMITLOG_FORMAT_VERSION)
		return fail(error, WL_ERR_UNSUPPORTED,
			"%s: log format %u was written by %s version of Worldline; this one reads format %u", path, version,
			version > COMMITLOG_FORMAT_VERSION ? "a newer" : "an older", COMMITLOG_FORMAT_VERSION);
	struct segment_header header = {
		.number = load_u64(data + 16),
		.nonce = load_u64(data + 24),
		.log = load_u64(data + 32),
		.capacity = load_u64(data + 40),
	};
	if (header.capacity < SEGMENT_BYTES_MIN || header.capacity > COMMITLOG_SEGMENT_BYTES_MAX ||
		header.capacity % BATCH_ALIGN != 0)
		return fail(error, WL_ERR_CORRUPT, "%s: byte 40: impossible segment size", path);
	*out = header;
	return WL_OK;
}

static uint32_t nonce_tag(uint64_t nonce)
{
	return (uint32_t)nonce | 1; /* never zero, so that zero-filled space is no header */
}

static uint32_t batch_header_crc(const uint8_t *data, uint64_t nonce, uint64_t at)
{
	uint8_t place[16];
	store_u64(place, nonce);
	store_u64(place + 8, at);
	return native_crc32c(native_crc32c(0, place, sizeof(place)), data + 8, BATCH_HEADER_BYTES - 8);
}

void batch_header_encode(struct batch_header *header, uint64_t nonce, uint64_t at, uint8_t out[BATCH_HEADER_BYTES])
{
	ASSERT(header->length <= BATCH_BYTES_MAX && at % BATCH_ALIGN == 0);
	store_u32(out, nonce_tag(nonce));
	store_u64(out + 8, header->first);
	store_u32(out + 16, header->length | (uint32_t)header->flags << 24);
	store_u32(out + 20, header->count);
	store_u32(out + 24, header->previous);
	store_u32(out + 28, header->payload_crc);
	header->crc = batch_header_crc(out, nonce, at);
	store_u32(out + 4, header->crc);
}

bool batch_header_decode(const uint8_t *data, uint64_t nonce, uint64_t at, struct batch_header *out)
{
	if (load_u32(data) != nonce_tag(nonce) || load_u32(data + 4) != batch_header_crc(data, nonce, at))
		return false;
	*out = (struct batch_header){
		.first = load_u64(data + 8),
		.length = load_u32(data + 16) & 0xffffff,
		.flags = data[19],
		.count = load_u32(data + 20),
		.previous = load_u32(data + 24),
		.payload_crc = load_u32(data + 28),
		.crc = load_u32(data + 4),
	};
	return true;
}

bool batch_is_whole(const uint8_t *data, uint64_t len, uint64_t nonce, uint64_t at, struct batch_header *out)
{
	return at + BATCH_HEADER_BYTES <= len && batch_header_decode(data + at, nonce, at, out) &&
		out->length <= BATCH_BYTES_MAX && at + batch_size(out->length) <= len &&
		native_crc32c(0, data + at + BATCH_HEADER_BYTES, out->length) == out->payload_crc;
}

bool batch_is_behind(const uint8_t *data, uint64_t len, uint64_t nonce, uint64_t at)
{
	struct batch_header batch;
	for (at += BATCH_ALIGN; at + BATCH_HEADER_BYTES <= len; at += BATCH_ALIGN)
		if (batch_header_decode(data + at, nonce, at, &batch))
			return true;
	return false;
}
