/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery over arbitrary segment bytes. The first byte chooses: the bytes as
 * they are, or with checksums and places made right so that what is behind
 * them is reached; one segment or two. Whatever opens must take a record, close
 * and open again with exactly one record more.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "commitlog/commitlog_internal.h"
#include "commitlog/storage_faulty.h"
#include "database/record.h"
#include "native.h"

enum { CAPACITY_MAX = 64 << 10, NONCE = 0x12345 };

struct counts {
	uint64_t records, bytes;
};

static enum wl_err count(void *context, uint64_t offset, struct bytes record, struct error *error)
{
	struct counts *c = context;
	(void)error;
	(void)offset;
	c->records++;
	c->bytes += record.len;
	for (size_t i = 0; i < record.len; i += 64)
		c->bytes += record.data[i] == 0; /* every part of it can be read */
	return WL_OK;
}

/* Makes header and batches valid as far as the bytes can be read as such; `loose` keeps their offsets and counts. */
static void make_valid(uint8_t *data, size_t len, uint64_t number, uint32_t *chain, uint64_t *first, bool loose)
{
	struct segment_header segment = { .number = number, .nonce = NONCE + number, .log = 7, .capacity = len & ~7ull };
	if (len < SEGMENT_BYTES_MIN)
		return;
	segment_header_encode(&segment, data);
	for (uint64_t at = SEGMENT_HEADER_BYTES; at + BATCH_HEADER_BYTES <= len; ) {
		uint32_t word = load_u32(data + at + 16);
		struct batch_header header = {
			.first = loose ? load_u64(data + at + 8) : *first,
			.length = word & 0xffffff,
			.flags = (uint8_t)(word >> 24),
			.count = load_u32(data + at + 20) & 0xffff,
			.previous = *chain,
		};
		if (word == 0 || header.length > BATCH_BYTES_MAX || at + batch_size(header.length) > len)
			return;
		header.payload_crc = native_crc32c(0, data + at + BATCH_HEADER_BYTES, header.length);
		batch_header_encode(&header, segment.nonce, at, data + at);
		*chain = header.crc;
		*first += header.count;
		at += batch_size(header.length);
	}
}

/* The same bytes looked at from outside. */
static bool see(void *context, uint64_t offset, struct bytes record)
{
	struct buf text = BUF_INIT(1 << 20);
	(void)offset;
	(void)database_record_describe(record, &text, NULL);
	buf_deinit(&text);
	(*(uint64_t *)context)++;
	return true;
}

static enum wl_err open_log(struct storage_faulty *disk, struct commitlog_writers *writers, struct counts *counts,
	struct commitlog **log)
{
	struct commitlog_options options = { .storage = storage_faulty_storage(disk), .writers = writers, .dir = "l",
		.segment_bytes = 4096 };
	struct error error;
	*counts = (struct counts){ 0 };
	return commitlog_open(&options, count, counts, log, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3 || size > CAPACITY_MAX)
		return 0;
	log_set_level(LOG_OFF);
	uint8_t mode = data[0];
	size_t split = (mode & 1) != 0 ? (size_t)load_u16(data + 1) % (size - 2) : size - 3;
	uint8_t *copy = mem_alloc(size);
	memcpy(copy, data + 3, size - 3);
	if ((mode & 2) != 0) {
		uint32_t chain = 0;
		uint64_t first = 0;
		make_valid(copy, split, 1, &chain, &first, (mode & 4) != 0);
		make_valid(copy + split, size - 3 - split, 2, &chain, &first, (mode & 4) != 0);
	}
	struct storage_faulty *disk = storage_faulty_create(1);
	struct commitlog_writers *writers = commitlog_writers_create(0);
	(void)storage_faulty_set(disk, "l/0000000001.wlog", copy, split);
	if ((mode & 1) != 0)
		(void)storage_faulty_set(disk, "l/0000000002.wlog", copy + split, size - 3 - split);
	struct commitlog *log;
	struct counts before, after;
	struct error why;
	uint64_t seen = 0, next;
	struct commitlog_scan how = { .record = see, .to = UINT64_MAX, .context = &seen };
	(void)commitlog_scan(storage_faulty_storage(disk), "l", &how, &why);
	struct commitlog_copy copied = { .from = "l", .to = "copy" };
	struct commitlog_scan again = { .record = see, .to = UINT64_MAX, .context = &next };
	next = 0;
	if (commitlog_copy(storage_faulty_storage(disk), &copied, &why) == WL_OK)
		(void)commitlog_scan(storage_faulty_storage(disk), "copy", &again, &why);
	if (open_log(disk, writers, &before, &log) == WL_OK) {
		struct buf *out;
		ASSERT(commitlog_begin(log, &out) == WL_OK);
		buf_put(out, data, size_min(size, 900));
		bool appended = commitlog_end(log) != COMMITLOG_NONE;
		commitlog_close(log);
		ASSERT(open_log(disk, writers, &after, &log) == WL_OK);
		ASSERT(after.records == before.records + appended);
		commitlog_close(log);
		ASSERT(seen >= before.records);
	} else if (commitlog_set_aside(storage_faulty_storage(disk), "l", 0, &next, &why) == WL_OK &&
		open_log(disk, writers, &after, &log) == WL_OK) { /* unless what is within batches makes no sense */
		ASSERT(after.records <= seen);
		commitlog_close(log);
	}
	commitlog_writers_destroy(writers);
	storage_faulty_destroy(disk);
	mem_free(copy);
	return 0;
}
