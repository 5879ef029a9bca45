/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log on a simulated disk, stepped without threads: format, reopening,
 * torn and damaged files, records of all sizes, shortage, failing syncs; and
 * once on local files with real threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "commitlog/commitlog_internal.h"
#include "commitlog/storage_faulty.h"
#include "unit/run_suite.h"

enum { SMALL_SEGMENT = 4096 };
#define DIR_NAME "db/log"
#define FIRST_SEGMENT DIR_NAME "/0000000001.wlog"

/* ---- a log whose records tell their own offset ---- */

struct world {
	struct storage_faulty *disk;
	struct commitlog_writers *writers;
	struct commitlog *log;
	struct error error;
	uint64_t replayed;    /* records seen by the last open */
	uint64_t replay_first;
	uint64_t durable;     /* last reported */
	uint64_t reports;
	enum commitlog_state state;
};

static size_t record_size(uint64_t offset)
{
	return (size_t)(hash_u64(offset + 1) % 90);
}

static void record_bytes(uint64_t offset, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(hash_u64(offset * 1000003 + i / 8) >> i % 8 * 8);
}

static void on_durable(void *context, uint64_t offset, enum commitlog_state state)
{
	struct world *w = context;
	if (offset != COMMITLOG_NONE) {
		ck_assert_msg(w->durable == COMMITLOG_NONE || offset >= w->durable, "durable went back");
		w->durable = offset;
	}
	w->state = state;
	w->reports++;
}

static enum wl_err on_replay(void *context, uint64_t offset, struct bytes record, struct error *error)
{
	struct world *w = context;
	if (w->replayed == 0)
		w->replay_first = offset;
	ck_assert_uint_eq(offset, w->replay_first + w->replayed);
	static uint8_t want[64 << 20];
	ck_assert_uint_le(record.len, sizeof(want));
	record_bytes(offset, want, record.len);
	if (record.len != record_size(offset) && record.len < 1000)
		return fail(error, WL_ERR_INVALID, "record %llu has a wrong length", (unsigned long long)offset);
	if (record.len > 0 && memcmp(record.data, want, record.len) != 0)
		return fail(error, WL_ERR_INVALID, "record %llu was altered", (unsigned long long)offset);
	w->replayed++;
	return WL_OK;
}

static enum wl_err world_open_with(struct world *w, uint64_t segment_bytes, uint64_t from)
{
	struct commitlog_options options = {
		.storage = storage_faulty_storage(w->disk), .writers = w->writers, .dir = DIR_NAME,
		.segment_bytes = segment_bytes, .replay_from = from, .on_durable = on_durable, .context = w,
	};
	w->replayed = 0;
	w->durable = COMMITLOG_NONE;
	w->state = COMMITLOG_OK;
	w->error.text[0] = '\0';
	return commitlog_open(&options, on_replay, w, &w->log, &w->error);
}

static void world_open(struct world *w)
{
	enum wl_err err = world_open_with(w, SMALL_SEGMENT, 0);
	ck_assert_msg(err == WL_OK, "open: %s", w->error.text);
}

static struct world world_new(uint64_t seed)
{
	struct world w = { .disk = storage_faulty_create(seed), .writers = commitlog_writers_create(0) };
	return w;
}

static void world_end(struct world *w)
{
	commitlog_writers_destroy(w->writers);
	storage_faulty_destroy(w->disk);
}

static uint64_t append_sized(struct world *w, size_t len)
{
	struct buf *out;
	if (commitlog_begin(w->log, &out) != WL_OK)
		return COMMITLOG_NONE;
	uint64_t last = commitlog_last(w->log), offset = last == COMMITLOG_NONE ? 0 : last + 1;
	uint8_t *p = buf_extend(out, len);
	if (p != NULL)
		record_bytes(offset, p, len);
	return commitlog_end(w->log);
}

static uint64_t append(struct world *w)
{
	uint64_t last = commitlog_last(w->log);
	return append_sized(w, record_size(last == COMMITLOG_NONE ? 0 : last + 1));
}

static void drain(struct world *w)
{
	commitlog_submit(w->log);
	while (commitlog_writers_step(w->writers))
		;
}

/* ---- format ---- */

/* Goal: the bytes on disk never change by accident. Method: fixed randomness, golden bytes written out by hand from
 * README.md. */
static void fixed_random(void *context, void *out, size_t len)
{
	(void)context;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = (uint8_t)(0x10 + i);
}
static int64_t fixed_wall(void *context) { (void)context; return 0; }
static uint64_t fixed_mono(void *context) { (void)context; return 1; }

/* Computed by another implementation of CRC-32C. */
enum {
	GOLDEN_SEGMENT = 0xaa073adeu, GOLDEN_PAYLOAD = 0x0df6f2edu, GOLDEN_BATCH = 0xa22c5874u, GOLDEN_MARK = 0x05303bd0u,
};

START_TEST(format_golden)
{
	static const struct clock_source source = { fixed_wall, fixed_mono, fixed_random, NULL };
	clock_replace(&source);
	struct world w = world_new(1);
	ck_assert_int_eq(world_open_with(&w, 512, 0), WL_OK);
	struct buf *out;
	ck_assert_int_eq(commitlog_begin(w.log, &out), WL_OK);
	buf_put(out, "abc", 3);
	ck_assert_uint_eq(commitlog_end(w.log), 0);
	ck_assert_int_eq(commitlog_begin(w.log, &out), WL_OK);
	ck_assert_uint_eq(commitlog_end(w.log), 1);
	drain(&w);
	commitlog_close(w.log);
	clock_replace(NULL);

	struct buf file = BUF_INIT(1 << 20);
	ck_assert(storage_faulty_get(w.disk, FIRST_SEGMENT, &file));
	ck_assert_uint_eq(file.len, 512);
	static const char golden[] =
		/* segment: magic, version, crc, number, nonce, log id, capacity, zeros */
		"574f524c444c4f47" "01000000" "%08x" "0100000000000000" "1011121314151617" "1011121314151617"
		"0002000000000000" "00000000000000000000000000000000"
		/* batch: tag, crc, first, length and flags, count, previous, payload crc; payload; padding */
		"11111213" "%08x" "0000000000000000" "0b000000" "02000000" "00000000" "%08x"
		"03000000" "616263" "00000000" "0000000000"
		/* closing mark */
		"11111213" "%08x" "0200000000000000" "00000002" "00000000" "%08x" "00000000";
	/* The checksums themselves, as stored (little-endian words printed big-endian). */
	char want[1024], have[1025];
	snprintf(want, sizeof(want), golden, __builtin_bswap32(GOLDEN_SEGMENT), __builtin_bswap32(GOLDEN_BATCH),
		__builtin_bswap32(GOLDEN_PAYLOAD), __builtin_bswap32(GOLDEN_MARK), __builtin_bswap32(GOLDEN_BATCH));
	hex_encode(file.data, strlen(want) / 2, have);
	ck_assert_str_eq(have, want);
	for (size_t i = strlen(want) / 2; i < file.len; i++)
		ck_assert_uint_eq(file.data[i], 0);
	buf_deinit(&file);
	world_end(&w);
}
END_TEST

/* Goal: other format versions are refused with words that help, also when their header is laid out differently. */
START_TEST(format_version)
{
	struct world w = world_new(2);
	world_open(&w);
	append(&w);
	drain(&w);
	commitlog_close(w.log);
	struct buf file = BUF_INIT(1 << 20);
	ck_assert(storage_faulty_get(w.disk, FIRST_SEGMENT, &file));
	store_u32(file.data + 8, 2);
	ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, file.data, file.len));
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_ERR_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(w.error.text, "newer"));
	store_u32(file.data + 8, 0);
	ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, file.data, file.len));
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_ERR_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(w.error.text, "older"));
	buf_deinit(&file);
	world_end(&w);
}
END_TEST

/* ---- appending and reopening ---- */

/* Goal: what was appended comes back, over many segments, whatever the grouping. */
START_TEST(reopen)
{
	struct world w = world_new(3);
	uint64_t count = 0;
	for (uint32_t round = 0; round < 12; round++) {
		world_open(&w);
		ck_assert_uint_eq(w.replayed, count);
		ck_assert_uint_eq(commitlog_durable(w.log), count == 0 ? COMMITLOG_NONE : count - 1);
		for (uint32_t i = 0; i < 10 + round * 7; i++) {
			ck_assert_uint_eq(append(&w), count++);
			if (i % (round + 1) == 0)
				commitlog_submit(w.log);
			if (i % 5 == 0)
				(void)commitlog_writers_step(w.writers);
		}
		if (round % 2 == 0)
			drain(&w);
		commitlog_close(w.log); /* writes the rest */
		ck_assert_uint_eq(w.durable, count - 1);
	}
	world_open(&w);
	ck_assert_uint_eq(w.replayed, count);
	ck_assert_uint_gt(commitlog_size_bytes(w.log), 3 * SMALL_SEGMENT);
	commitlog_close(w.log);
	world_end(&w);
}
END_TEST

/* Goal: opening a log that was closed, and closing it again, writes nothing: idle databases are cheap to start. */
START_TEST(idle_is_free)
{
	for (uint32_t records = 0; records < 3; records++) {
		struct world w = world_new(22);
		world_open(&w);
		for (uint32_t i = 0; i < records; i++)
			append(&w);
		commitlog_close(w.log);
		uint64_t calls = storage_faulty_calls(w.disk);
		for (uint32_t i = 0; i < 3; i++) {
			world_open(&w);
			ck_assert_uint_eq(w.replayed, records);
			commitlog_close(w.log);
		}
		ck_assert_uint_eq(storage_faulty_calls(w.disk), calls);
		world_end(&w);
	}
}
END_TEST

/* Goal: group commit. While a batch is in flight others join the next one: one write and one sync for all. */
START_TEST(group_commit)
{
	struct world w = world_new(4);
	ck_assert_int_eq(world_open_with(&w, 0, 0), WL_OK);
	append(&w);
	commitlog_submit(w.log);
	for (uint32_t i = 0; i < 100; i++) {
		append(&w);
		commitlog_submit(w.log);
	}
	uint64_t syncs = storage_faulty_syncs(w.disk), calls = storage_faulty_calls(w.disk);
	ck_assert_uint_gt(commitlog_pending_bytes(w.log), 0);
	drain(&w);
	ck_assert_uint_eq(storage_faulty_syncs(w.disk) - syncs, 2);
	ck_assert_uint_eq(storage_faulty_calls(w.disk) - calls, 4);
	ck_assert_uint_eq(w.reports, 2);
	ck_assert_uint_eq(commitlog_durable(w.log), 100);
	ck_assert_uint_eq(commitlog_pending_bytes(w.log), 0);
	commitlog_close(w.log);
	world_end(&w);
}
END_TEST

/* Goal: steady state allocates nothing. */
START_TEST(no_allocation)
{
	struct world w = world_new(5);
	ck_assert_int_eq(world_open_with(&w, 0, 0), WL_OK);
	uint64_t spent = 0;
	for (uint32_t i = 0; i < 50; i++) {
		uint64_t before = mem_stats().allocations;
		for (uint32_t k = 0; k < 20; k++)
			append(&w);
		commitlog_submit(w.log);
		if (i >= 4)
			spent += mem_stats().allocations - before;
		drain(&w);
	}
	ck_assert_uint_eq(spent, 0);
	commitlog_close(w.log);
	world_end(&w);
}
END_TEST

/* Goal: cancel takes a record back, alone and between others; an empty batch is no batch. */
START_TEST(cancel)
{
	struct world w = world_new(6);
	world_open(&w);
	struct buf *out;
	ck_assert_int_eq(commitlog_begin(w.log, &out), WL_OK);
	buf_put(out, "gone", 4);
	commitlog_cancel(w.log);
	uint64_t calls = storage_faulty_calls(w.disk);
	drain(&w);
	ck_assert_uint_eq(storage_faulty_calls(w.disk), calls);
	ck_assert_uint_eq(append(&w), 0);
	ck_assert_int_eq(commitlog_begin(w.log, &out), WL_OK);
	buf_put(out, "gone", 4);
	commitlog_cancel(w.log);
	ck_assert_uint_eq(append(&w), 1);
	commitlog_close(w.log);
	world_open(&w);
	ck_assert_uint_eq(w.replayed, 2);
	commitlog_close(w.log);
	world_end(&w);
}
END_TEST

/* Goal: records larger than a batch and than a segment span them, and their offset is durable only at their end. */
START_TEST(huge_records)
{
	struct world w = world_new(7);
	static const size_t sizes[] = { 2000, 3900, 4096, 5000, 70000, 1000001, 12 << 20 };
	uint64_t count = 0;
	world_open(&w);
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		ck_assert_uint_eq(append(&w), count++);
		ck_assert_uint_eq(append_sized(&w, sizes[i]), count++);
		ck_assert_uint_eq(append(&w), count++);
		if (sizes[i] > 1000000 && sizes[i] < 2000000)
			drain(&w); /* on segments of 4 KiB this takes its time, so only once */
		if (sizes[i] == 1000001)
			break;
	}
	commitlog_close(w.log);
	world_open(&w);
	ck_assert_uint_eq(w.replayed, count);
	commitlog_close(w.log);
	/* The same log goes on with large segments and batches of megabytes. */
	ck_assert_int_eq(world_open_with(&w, 0, 0), WL_OK);
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(append_sized(&w, (12 << 20) + i), count++);
		ck_assert_uint_eq(append(&w), count++);
	}
	drain(&w);
	ck_assert_uint_eq(commitlog_durable(w.log), count - 1);
	/* What a large batch took has been given back. */
	ck_assert_uint_le(w.log->batches[0].bytes.cap + w.log->batches[1].bytes.cap, 512 << 10);
	commitlog_close(w.log);
	ck_assert_int_eq(world_open_with(&w, 0, 0), WL_OK);
	ck_assert_uint_eq(w.replayed, count);
	commitlog_close(w.log);
	world_end(&w);
}
END_TEST

/* Goal: a crash in the middle of a record that spans batches leaves the log usable, without the record. */
START_TEST(huge_record_unfinished)
{
	for (uint64_t n = 1; n < 60; n++) {
		struct world w = world_new(100 + n);
		world_open(&w);
		append(&w);
		drain(&w);
		storage_faulty_power_off_at(w.disk, n);
		append_sized(&w, 9000);
		append(&w);
		drain(&w);
		bool whole = !storage_faulty_is_off(w.disk);
		uint64_t durable = w.durable;
		commitlog_close(w.log);
		storage_faulty_crash(w.disk);
		world_open(&w);
		ck_assert_uint_ge(w.replayed, durable + 1);
		uint64_t count = w.replayed;
		ck_assert_uint_eq(append(&w), count);
		ck_assert_uint_eq(append_sized(&w, 3000), count + 1);
		commitlog_close(w.log);
		world_open(&w);
		ck_assert_uint_eq(w.replayed, count + 2);
		commitlog_close(w.log);
		world_end(&w);
		if (whole)
			break;
	}
}
END_TEST

/* Goal: offsets below replay_from are not replayed; segments below are not even read; an empty log starts there. */
START_TEST(replay_from)
{
	struct world w = world_new(8);
	world_open(&w);
	for (uint32_t i = 0; i < 500; i++) {
		append(&w);
		drain(&w);
	}
	commitlog_close(w.log);
	for (uint64_t from = 0; from <= 500; from += 25) {
		ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, from), WL_OK);
		ck_assert_uint_eq(w.replayed, 500 - from);
		ck_assert_uint_eq(commitlog_last(w.log), 499);
		commitlog_close(w.log);
	}
	/* Damage before the start does not matter then. */
	ck_assert(storage_faulty_flip(w.disk, FIRST_SEGMENT, 700, 1));
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_ERR_CORRUPT);
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 400), WL_OK);
	commitlog_close(w.log);
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 501), WL_ERR_CORRUPT);
	world_end(&w);
	w = world_new(9);
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 77), WL_OK);
	ck_assert_uint_eq(commitlog_durable(w.log), 76);
	ck_assert_uint_eq(append(&w), 77);
	commitlog_close(w.log);
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 77), WL_OK);
	ck_assert_uint_eq(w.replayed, 1);
	commitlog_close(w.log);
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_ERR_CORRUPT);
	world_end(&w);
}
END_TEST

/* Goal: trimming removes whole segments below an offset, never one that is needed, never into a record. */
START_TEST(trim)
{
	struct world w = world_new(10);
	world_open(&w);
	for (uint32_t i = 0; i < 300; i++) {
		if (i % 60 == 59)
			append_sized(&w, 6000);
		else
			append(&w);
		drain(&w);
	}
	uint64_t before = commitlog_size_bytes(w.log);
	ck_assert_uint_eq(commitlog_trim(w.log, 0, 0), 0);
	ck_assert_uint_eq(commitlog_trim(w.log, 200, before), 0);
	uint64_t kept = commitlog_trim(w.log, 200, before / 3);
	ck_assert_uint_gt(kept, 0);
	before -= kept;
	ck_assert_uint_eq(commitlog_size_bytes(w.log), before);
	uint64_t freed = commitlog_trim(w.log, 200, 0);
	ck_assert_uint_gt(freed, 0);
	ck_assert_uint_eq(commitlog_size_bytes(w.log), before - freed);
	commitlog_close(w.log);
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(w.error.text, "begins at"));
	for (uint64_t from = 200; from <= 300; from++) {
		ck_assert_msg(world_open_with(&w, SMALL_SEGMENT, from) == WL_OK, "%s", w.error.text);
		ck_assert_uint_eq(w.replayed, 300 - from);
		commitlog_trim(w.log, from, 0);
		commitlog_close(w.log);
	}
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 300), WL_OK);
	commitlog_trim(w.log, COMMITLOG_NONE, 0);
	ck_assert_uint_eq(append(&w), 300);
	commitlog_close(w.log);
	world_end(&w);
}
END_TEST

/* Goal: a trim over records that span segments may be cut short anywhere; what is needed is there. */
START_TEST(trim_cut_short)
{
	for (uint64_t n = 1; n < 200; n++) {
		struct world w = world_new(300 + n);
		world_open(&w);
		for (uint32_t i = 0; i < 120; i++) {
			if (i % 20 == 19)
				append_sized(&w, 9000);
			else
				append(&w);
			drain(&w);
		}
		storage_faulty_power_off_at(w.disk, n);
		commitlog_trim(w.log, 100, 0);
		bool whole = !storage_faulty_is_off(w.disk);
		commitlog_close(w.log);
		storage_faulty_crash(w.disk);
		ck_assert_msg(world_open_with(&w, SMALL_SEGMENT, 100) == WL_OK, "%s", w.error.text);
		ck_assert_uint_eq(w.replayed, 20);
		commitlog_close(w.log);
		world_end(&w);
		if (whole)
			break;
		ck_assert_uint_lt(n, 199);
	}
}
END_TEST

/* ---- torn and damaged ---- */

/* Goal: a log with damage anywhere opens again with what precedes it; what lies behind is kept, byte for byte. */
START_TEST(set_aside)
{
	struct buf before = BUF_INIT(1 << 20), after = BUF_INIT(1 << 20);
	uint32_t opened = 0;
	for (uint64_t n = 0; n < 120; n++) {
		struct world w = world_new(500 + n);
		char path[64], kept[64];
		uint64_t next;
		world_open(&w);
		for (uint32_t i = 0; i < 80; i++) {
			if (i % 20 == 19)
				append_sized(&w, 9000);
			else
				append(&w);
			drain(&w);
		}
		commitlog_close(w.log);
		uint64_t segment = 1 + n % 6, at = 40 + n * 53 % 900;
		snprintf(path, sizeof(path), DIR_NAME "/%010u.wlog", (unsigned)segment);
		snprintf(kept, sizeof(kept), DIR_NAME "/damaged/%010u.wlog", (unsigned)segment);
		ck_assert(storage_faulty_flip(w.disk, path, at, 4));
		buf_clear(&before);
		buf_clear(&after);
		ck_assert(storage_faulty_get(w.disk, path, &before));
		enum wl_err err = world_open_with(&w, SMALL_SEGMENT, 0);
		if (err == WL_OK) { /* nothing that matters */
			commitlog_close(w.log);
			world_end(&w);
			continue;
		}
		ck_assert_int_eq(err, WL_ERR_CORRUPT);
		err = commitlog_set_aside(storage_faulty_storage(w.disk), DIR_NAME, 0, &next, &w.error);
		ck_assert_msg(err == WL_OK || (segment == 1 && err == WL_ERR_NOT_FOUND), "%s", w.error.text);
		if (err == WL_OK) {
			ck_assert_msg(storage_faulty_get(w.disk, kept, &after), "%s", path);
			ck_assert(before.len == after.len && memcmp(before.data, after.data, before.len) == 0);
			ck_assert_msg(world_open_with(&w, SMALL_SEGMENT, 0) == WL_OK, "%s", w.error.text);
			ck_assert_uint_le(w.replayed, next);
			ck_assert_uint_lt(w.replayed, 80);
			uint64_t count = w.replayed;
			ck_assert_uint_eq(append(&w), count);
			drain(&w);
			commitlog_close(w.log);
			ck_assert_msg(world_open_with(&w, SMALL_SEGMENT, 0) == WL_OK, "%s", w.error.text);
			ck_assert_uint_eq(w.replayed, count + 1);
			commitlog_close(w.log);
			opened++;
		}
		world_end(&w);
	}
	ck_assert_uint_gt(opened, 40);
	buf_deinit(&before);
	buf_deinit(&after);
}
END_TEST

/* A small log in one segment, 8 records in batches of 2, closed by a crash of the process (no closing mark). */
static struct buf small_log(struct world *w, bool closed)
{
	ck_assert_int_eq(world_open_with(w, 1024, 0), WL_OK);
	for (uint32_t i = 0; i < 8; i++) {
		append(w);
		if (i % 2 == 1)
			drain(w);
	}
	drain(w);
	struct buf file = BUF_INIT(1 << 20);
	if (!closed)
		ck_assert(storage_faulty_get(w->disk, FIRST_SEGMENT, &file));
	commitlog_close(w->log);
	if (closed)
		ck_assert(storage_faulty_get(w->disk, FIRST_SEGMENT, &file));
	ck_assert_uint_eq(file.len, 1024);
	return file;
}

/* Goal: a log cut at any byte opens with a prefix and can be appended to, or is named corrupt (its header is cut). */
START_TEST(cut_at_every_byte)
{
	struct world w = world_new(11);
	struct buf file = small_log(&w, false);
	for (size_t cut = 0; cut <= file.len; cut++) {
		ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, file.data, cut));
		enum wl_err err = world_open_with(&w, 1024, 0);
		if (cut < SEGMENT_HEADER_BYTES) {
			ck_assert_int_eq(err, WL_ERR_CORRUPT);
			ck_assert_ptr_nonnull(strstr(w.error.text, FIRST_SEGMENT));
			continue;
		}
		ck_assert_msg(err == WL_OK, "cut at %zu: %s", cut, w.error.text);
		ck_assert_uint_eq(w.replayed % 2, 0);
		uint64_t kept = w.replayed;
		ck_assert_uint_eq(append(&w), kept);
		commitlog_close(w.log);
		ck_assert_int_eq(world_open_with(&w, 1024, 0), WL_OK);
		ck_assert_uint_eq(w.replayed, kept + 1);
		commitlog_close(w.log);
		/* The second segment, if the append needed one, must not outlive its log. */
		(void)storage_faulty_storage(w.disk)->ops->remove(storage_faulty_storage(w.disk), DIR_NAME "/0000000002.wlog");
	}
	buf_deinit(&file);
	world_end(&w);
}
END_TEST

/* Goal: what a torn batch left is gone after opening, so that it can never be taken for something later. */
START_TEST(torn_tail_is_zeroed)
{
	struct world w = world_new(21);
	struct buf file = small_log(&w, false);
	uint64_t end = file.len;
	while (file.data[end - 1] == 0)
		end--;
	file.data[end - 3] ^= 1; /* in the last batch's payload */
	memset(file.data + end + 100, 0xee, 200);
	ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, file.data, file.len));
	ck_assert_msg(world_open_with(&w, 1024, 0) == WL_OK, "%s", w.error.text);
	ck_assert_uint_eq(w.replayed, 6);
	end = w.log->active.end;
	buf_clear(&file);
	ck_assert(storage_faulty_get(w.disk, FIRST_SEGMENT, &file));
	for (size_t i = end; i < file.len; i++)
		ck_assert_uint_eq(file.data[i], 0);
	commitlog_close(w.log);
	buf_deinit(&file);
	world_end(&w);
}
END_TEST

/* Goal: a flipped bit anywhere is a cut tail or a named corruption, never wrong data. A closed log names all of it. */
START_TEST(flip_every_byte)
{
	for (int closed = 0; closed <= 1; closed++) {
		struct world w = world_new(12);
		struct buf file = small_log(&w, closed != 0);
		size_t end = file.len;
		while (file.data[end - 1] == 0)
			end--;
		uint32_t corrupt = 0, cut = 0;
		for (size_t at = 0; at < file.len; at++) {
			uint8_t mask = (uint8_t)(1u << at % 8);
			file.data[at] ^= mask;
			ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, file.data, file.len));
			file.data[at] ^= mask;
			enum wl_err err = world_open_with(&w, 1024, 0);
			if (err == WL_OK) {
				cut += w.replayed < 8;
				ck_assert_uint_ge(w.replayed, closed ? 8 : 6);
				ck_assert_uint_ge(at, SEGMENT_HEADER_BYTES);
				commitlog_close(w.log);
			} else {
				ck_assert_msg(err == WL_ERR_CORRUPT || (err == WL_ERR_UNSUPPORTED && at >= 8 && at < 12), "%s",
					w.error.text);
				ck_assert_ptr_nonnull(strstr(w.error.text, FIRST_SEGMENT));
				ck_assert_uint_lt(at, end);
				corrupt++;
			}
		}
		ck_assert_uint_gt(corrupt, 64);
		ck_assert(closed ? cut == 0 : cut > 0);
		buf_deinit(&file);
		world_end(&w);
	}
}
END_TEST

/* Goal: damage to whole regions is found too: a zeroed batch, a missing segment, a foreign one, a swapped one. */
START_TEST(larger_damage)
{
	struct world w = world_new(13);
	world_open(&w);
	for (uint32_t i = 0; i < 400; i++) {
		append(&w);
		drain(&w);
	}
	commitlog_close(w.log);
	struct storage *storage = storage_faulty_storage(w.disk);
	struct buf first = BUF_INIT(1 << 20), second = BUF_INIT(1 << 20);
	ck_assert(storage_faulty_get(w.disk, FIRST_SEGMENT, &first));
	ck_assert(storage_faulty_get(w.disk, DIR_NAME "/0000000002.wlog", &second));

	uint8_t *copy = mem_alloc(first.len);
	memcpy(copy, first.data, first.len);
	memset(copy + 512, 0, 512);
	ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, copy, first.len));
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_ERR_CORRUPT);
	memcpy(copy, first.data, first.len);
	memset(copy + SEGMENT_HEADER_BYTES, 0, first.len - SEGMENT_HEADER_BYTES);
	ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, copy, first.len));
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_ERR_CORRUPT);

	/* The last batch of a segment, behind which that segment has nothing: it is left as it is. */
	memcpy(copy, first.data, first.len);
	size_t last = first.len;
	while (copy[last - 1] == 0)
		last--;
	copy[last - 1] ^= 1;
	ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, copy, first.len));
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_ERR_CORRUPT);
	struct buf after = BUF_INIT(1 << 20);
	ck_assert(storage_faulty_get(w.disk, FIRST_SEGMENT, &after));
	ck_assert(after.len == first.len && memcmp(after.data, copy, first.len) == 0);
	buf_deinit(&after);
	mem_free(copy);

	ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, second.data, second.len));
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_ERR_CORRUPT);
	ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, first.data, first.len));
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_OK);
	ck_assert_uint_eq(w.replayed, 400);
	commitlog_close(w.log);

	ck_assert(storage->ops->remove(storage, DIR_NAME "/0000000002.wlog"));
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(w.error.text, "0000000002.wlog is missing"));

	struct world other = world_new(14);
	world_open(&other);
	for (uint32_t i = 0; i < 400; i++)
		append(&other);
	commitlog_close(other.log);
	buf_clear(&second);
	ck_assert(storage_faulty_get(other.disk, DIR_NAME "/0000000002.wlog", &second));
	ck_assert(storage_faulty_set(w.disk, DIR_NAME "/0000000002.wlog", second.data, second.len));
	ck_assert_int_eq(world_open_with(&w, SMALL_SEGMENT, 0), WL_ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(w.error.text, "another log"));
	buf_deinit(&first);
	buf_deinit(&second);
	world_end(&other);
	world_end(&w);
}
END_TEST

/* Goal: a log that holds a copy of its own bytes as a record is not fooled by them when its tail is torn. */
START_TEST(own_bytes_as_record)
{
	struct world w = world_new(15);
	ck_assert_int_eq(world_open_with(&w, 16384, 0), WL_OK);
	for (uint32_t i = 0; i < 8; i++) {
		append(&w);
		drain(&w);
	}
	struct buf file = BUF_INIT(1 << 20), *out;
	ck_assert(storage_faulty_get(w.disk, FIRST_SEGMENT, &file));
	size_t at = (size_t)w.log->active.end;
	ck_assert_int_eq(commitlog_begin(w.log, &out), WL_OK);
	buf_put(out, "pad", 4);
	buf_put(out, file.data, 4096);
	ck_assert_uint_eq(commitlog_end(w.log), 8);
	drain(&w);
	commitlog_close(w.log);
	buf_clear(&file);
	ck_assert(storage_faulty_get(w.disk, FIRST_SEGMENT, &file));
	memset(file.data + at, 0, 32);        /* the batch's header is lost, its payload is there */
	memset(file.data + at + 4136, 0, 32); /* and no closing mark */
	ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, file.data, file.len));
	ck_assert_msg(world_open_with(&w, 16384, 0) == WL_OK, "%s", w.error.text);
	ck_assert_uint_eq(w.replayed, 8);
	commitlog_close(w.log);
	buf_deinit(&file);
	world_end(&w);
}
END_TEST

/* ---- failing storage ---- */

/* Goal: no space for the next segment makes the log read-only before anything that was promised is at risk; it
 * resumes by itself and has lost nothing. */
static uint64_t fake_now;
static uint64_t fake_mono(void *context) { (void)context; return fake_now; }
static void real_random(void *context, void *out, size_t len)
{
	(void)context;
	static uint64_t state;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = (uint8_t)hash_u64(++state);
}

START_TEST(no_space)
{
	static const struct clock_source source = { fixed_wall, fake_mono, real_random, NULL };
	clock_replace(&source);
	fake_now = 1;
	struct world w = world_new(16);
	world_open(&w);
	storage_faulty_capacity(w.disk, 3 * SMALL_SEGMENT);
	uint64_t count = 0;
	while (append(&w) != COMMITLOG_NONE) {
		count++;
		drain(&w);
		ck_assert_uint_lt(count, 10000);
	}
	ck_assert_int_eq(commitlog_state(w.log), COMMITLOG_READ_ONLY);
	ck_assert_int_eq(w.state, COMMITLOG_READ_ONLY);
	ck_assert_uint_eq(w.durable, count - 1);
	struct buf *out;
	ck_assert_int_eq(commitlog_begin(w.log, &out), WL_ERR_UNAVAILABLE);
	fake_now += 10000000000u;
	drain(&w);
	ck_assert_int_eq(commitlog_state(w.log), COMMITLOG_READ_ONLY);
	/* Still openable meanwhile. */
	commitlog_close(w.log);
	world_open(&w);
	ck_assert_uint_eq(w.replayed, count);
	append_sized(&w, 5 * SMALL_SEGMENT); /* more than there is room for */
	drain(&w);
	ck_assert_int_eq(commitlog_state(w.log), COMMITLOG_READ_ONLY);
	ck_assert(w.durable == COMMITLOG_NONE || w.durable < count);
	storage_faulty_capacity(w.disk, UINT64_MAX);
	fake_now += 10000000000u;
	drain(&w);
	ck_assert_int_eq(commitlog_state(w.log), COMMITLOG_OK);
	ck_assert_int_eq(w.state, COMMITLOG_OK);
	ck_assert_uint_eq(w.durable, count);
	ck_assert_uint_eq(append(&w), count + 1);
	commitlog_close(w.log);
	clock_replace(NULL);
	world_open(&w);
	ck_assert_uint_eq(w.replayed, count + 2);
	commitlog_close(w.log);
	world_end(&w);
}
END_TEST

/* Goal: closing a read-only log with unwritten records gives them up, without hanging or damage. */
START_TEST(no_space_close)
{
	struct world w = world_new(17);
	world_open(&w);
	append(&w);
	drain(&w);
	storage_faulty_capacity(w.disk, 0);
	append_sized(&w, 20000);
	drain(&w);
	ck_assert_int_eq(commitlog_state(w.log), COMMITLOG_READ_ONLY);
	commitlog_close(w.log);
	storage_faulty_capacity(w.disk, UINT64_MAX);
	world_open(&w);
	ck_assert_uint_eq(w.replayed, 1);
	ck_assert_uint_eq(append(&w), 1);
	commitlog_close(w.log);
	world_end(&w);
}
END_TEST

/* Goal: a failed write or sync is final, is reported once, promises nothing, and writes nothing more. After the failed
 * sync the page cache still shows the batch: opening again must write it anew before it is called durable. */
START_TEST(failed_io_is_final)
{
	for (int kind = 0; kind < 2; kind++) {
		struct world w = world_new(18);
		world_open(&w);
		append(&w);
		drain(&w);
		append(&w);
		storage_faulty_fail_at(w.disk, kind == 0 ? STORAGE_FAULTY_WRITE : STORAGE_FAULTY_SYNC, 1, EIO);
		uint64_t reports = w.reports;
		drain(&w);
		ck_assert_uint_eq(w.reports, reports + 1);
		ck_assert_int_eq(w.state, COMMITLOG_FAILED);
		ck_assert_uint_eq(commitlog_durable(w.log), 0);
		struct buf *out;
		ck_assert_int_eq(commitlog_begin(w.log, &out), WL_ERR_IO);
		ck_assert(!commitlog_wait(w.log, 1, 10));
		ck_assert_uint_eq(commitlog_pending_bytes(w.log), 0);
		uint64_t calls = storage_faulty_calls(w.disk);
		drain(&w);
		commitlog_close(w.log);
		ck_assert_uint_eq(storage_faulty_calls(w.disk), calls);
		world_open(&w); /* the process starts again, the machine did not */
		uint64_t durable = commitlog_durable(w.log);
		ck_assert_uint_ge(durable, 0);
		if (kind == 1)
			ck_assert_uint_eq(durable, 1);
		append(&w);
		drain(&w);
		storage_faulty_power_off_at(w.disk, 1);
		commitlog_close(w.log);
		storage_faulty_crash(w.disk);
		world_open(&w);
		ck_assert_uint_ge(w.replayed, durable + 2);
		commitlog_close(w.log);
		world_end(&w);
	}
}
END_TEST

/* Goal: the n-th call of any kind may fail, for every n: no crash, no leak, nothing durable lost. */
START_TEST(nth_call_fails)
{
	static const int reasons[] = { EIO, ENOSPC, EMFILE };
	for (size_t r = 0; r < ARRAY_COUNT(reasons); r++) {
		for (uint64_t n = 1; n < 400; n++) {
			struct world w = world_new(1000 * (r + 1) + n);
			storage_faulty_fail_at(w.disk, STORAGE_FAULTY_ANY, n, reasons[r]);
			uint64_t durable = COMMITLOG_NONE;
			for (uint32_t round = 0; round < 3; round++) {
				w.log = NULL;
				if (world_open_with(&w, 1024, 0) != WL_OK)
					continue;
				ck_assert(durable == COMMITLOG_NONE || w.replayed >= durable + 1);
				for (uint32_t i = 0; i < 20; i++) {
					append(&w);
					drain(&w);
				}
				commitlog_close(w.log);
				durable = w.durable == COMMITLOG_NONE ? durable : w.durable;
			}
			storage_faulty_fail_at(w.disk, STORAGE_FAULTY_ANY, 0, 0);
			world_open(&w);
			ck_assert(durable == COMMITLOG_NONE || w.replayed >= durable + 1);
			commitlog_close(w.log);
			world_end(&w);
		}
	}
}
END_TEST

/* Goal: a failing allocation cancels one record and nothing else. */
START_TEST(nth_allocation_fails)
{
	for (uint64_t n = 1; n < 40; n++) {
		struct world w = world_new(19);
		world_open(&w);
		uint64_t count = 0, refused = 0;
		for (uint32_t i = 0; i < 30; i++) {
			mem_fail_at(i == 3 ? n : 0, false);
			uint64_t offset = i < 10 ? append_sized(&w, i == 5 ? 30000 : 2000) : append(&w);
			mem_fail_at(0, false);
			if (offset == COMMITLOG_NONE)
				refused++;
			else
				ck_assert_uint_eq(offset, count++);
			if (i % 7 == 0)
				drain(&w);
		}
		ck_assert_uint_eq(count + refused, 30);
		commitlog_close(w.log);
		enum wl_err err;
		uint64_t at = 0;
		do { /* opening under every failing allocation: an error or success, never a wrong log */
			mem_fail_at(++at, false);
			err = world_open_with(&w, SMALL_SEGMENT, 0);
			mem_fail_at(0, false);
			ck_assert(err == WL_OK || err == WL_ERR_MEMORY || err == WL_ERR_IO);
		} while (err != WL_OK && at < 1000);
		ck_assert_int_eq(err, WL_OK);
		commitlog_close(w.log);
		world_open(&w);
		commitlog_close(w.log);
		world_end(&w);
	}
}
END_TEST

/* Goal: what replay says ends the opening, and nothing is left behind. */
static enum wl_err refuse_third(void *context, uint64_t offset, struct bytes record, struct error *error)
{
	(void)context;
	(void)record;
	return offset == 2 ? fail(error, WL_ERR_INVALID, "no") : WL_OK;
}

START_TEST(replay_refuses)
{
	struct world w = world_new(20);
	world_open(&w);
	for (uint32_t i = 0; i < 5; i++)
		append(&w);
	commitlog_close(w.log);
	struct commitlog_options options = { .storage = storage_faulty_storage(w.disk), .writers = w.writers,
		.dir = DIR_NAME };
	ck_assert_int_eq(commitlog_open(&options, refuse_third, NULL, &w.log, &w.error), WL_ERR_INVALID);
	ck_assert_str_eq(w.error.text, "no");
	world_end(&w);
}
END_TEST

/* Goal: without storage everything is durable at once and nothing is kept. */
START_TEST(in_memory)
{
	struct world w = { .durable = COMMITLOG_NONE };
	struct commitlog_options options = { .on_durable = on_durable, .context = &w };
	ck_assert_int_eq(commitlog_open(&options, NULL, NULL, &w.log, NULL), WL_OK);
	ck_assert_uint_eq(commitlog_durable(w.log), COMMITLOG_NONE);
	for (uint64_t i = 0; i < 1000; i++) {
		ck_assert_uint_eq(append(&w), i);
		ck_assert_uint_eq(commitlog_durable(w.log), i);
		commitlog_submit(w.log);
		ck_assert_uint_eq(w.durable, i);
	}
	ck_assert(commitlog_wait(w.log, 999, 0));
	ck_assert_uint_eq(commitlog_size_bytes(w.log), 0);
	commitlog_close(w.log);
}
END_TEST

/* ---- whole files ---- */

/* Goal: storage_put is all or nothing at every crash point, and says so truthfully. */
START_TEST(put_is_atomic)
{
	for (uint64_t n = 1; n < 8; n++) {
		for (uint64_t seed = 0; seed < 20; seed++) {
			struct storage_faulty *disk = storage_faulty_create(seed * 100 + n);
			struct storage *storage = storage_faulty_storage(disk);
			char old[3000], new[2000];
			memset(old, 'o', sizeof(old));
			memset(new, 'n', sizeof(new));
			ck_assert_int_eq(storage_put(storage, "a/f", old, sizeof(old), NULL), WL_OK);
			storage_faulty_power_off_at(disk, n);
			bool done = storage_put(storage, "a/f", new, sizeof(new), NULL) == WL_OK;
			storage_faulty_power_off_at(disk, done ? 0 : 1);
			storage_faulty_crash(disk);
			struct buf out = BUF_INIT(1 << 16);
			ck_assert_int_eq(storage_get(storage, "a/f", &out, NULL), WL_OK);
			bool is_old = out.len == sizeof(old) && memcmp(out.data, old, out.len) == 0;
			bool is_new = out.len == sizeof(new) && memcmp(out.data, new, out.len) == 0;
			ck_assert_msg(is_new || (is_old && !done), "n %d seed %d: old %d new %d done %d len %zu", (int)n,
				(int)seed, is_old, is_new, done, out.len);
			buf_deinit(&out);
			storage_faulty_destroy(disk);
		}
	}
	struct storage_faulty *disk = storage_faulty_create(1);
	struct storage *storage = storage_faulty_storage(disk);
	struct buf out = BUF_INIT(10);
	ck_assert_int_eq(storage_get(storage, "a/none", &out, NULL), WL_ERR_NOT_FOUND);
	ck_assert_int_eq(storage_put(storage, "a/f", "12345678901", 11, NULL), WL_OK);
	ck_assert_int_eq(storage_get(storage, "a/f", &out, NULL), WL_ERR_LIMIT);
	ck_assert_uint_eq(out.len, 0);
	storage_faulty_destroy(disk);
}
END_TEST

/* ---- local files, real threads ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

struct ordered {
	_Atomic uint64_t durable;
	uint64_t last;
};
static void on_durable_ordered(void *context, uint64_t offset, enum commitlog_state state)
{
	struct ordered *o = context;
	ck_assert_int_eq(state, COMMITLOG_OK);
	ck_assert(o->last == 0 || offset > o->last);
	o->last = offset;
	atomic_store(&o->durable, offset);
}

/* Goal: several logs on shared writer threads and real files: reports in order, all back after reopening. */
START_TEST(local_threads)
{
	enum { LOGS = 5, RECORDS = 4000 };
	char root[] = "/tmp/commitlog_test_XXXXXX";
	ck_assert_ptr_nonnull(mkdtemp(root));
	struct commitlog_writers *writers = commitlog_writers_create(2);
	struct commitlog *logs[LOGS];
	struct ordered ordered[LOGS];
	char dirs[LOGS][64];
	struct error error;
	memset(ordered, 0, sizeof(ordered));
	for (size_t i = 0; i < LOGS; i++) {
		snprintf(dirs[i], sizeof(dirs[i]), "%s/%zu/deep/log", root, i);
		struct commitlog_options options = { .storage = commitlog_storage_local(), .writers = writers,
			.dir = dirs[i], .segment_bytes = 64 << 10, .on_durable = on_durable_ordered, .context = &ordered[i] };
		ck_assert_msg(commitlog_open(&options, NULL, NULL, &logs[i], &error) == WL_OK, "%s", error.text);
	}
	for (uint32_t k = 0; k < RECORDS; k++) {
		for (size_t i = 0; i < LOGS; i++) {
			struct world w = { .log = logs[i] };
			ck_assert_uint_eq(append(&w), k);
			if (k % (i + 1) == 0)
				commitlog_submit(logs[i]);
		}
	}
	for (size_t i = 0; i < LOGS; i++) {
		commitlog_submit(logs[i]);
		if (i % 2 == 0)
			ck_assert(commitlog_wait(logs[i], RECORDS - 1, 20000));
		commitlog_close(logs[i]);
		ck_assert_uint_eq(atomic_load(&ordered[i].durable), RECORDS - 1);
	}
	for (size_t i = 0; i < LOGS; i++) {
		struct world w = { 0 };
		struct commitlog_options options = { .storage = commitlog_storage_local(), .writers = writers,
			.dir = dirs[i], .segment_bytes = 64 << 10 };
		ck_assert_msg(commitlog_open(&options, on_replay, &w, &logs[i], &error) == WL_OK, "%s", error.text);
		ck_assert_uint_eq(w.replayed, RECORDS);
		commitlog_close(logs[i]);
	}
	commitlog_writers_destroy(writers);
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
END_TEST

/* Goal: the local storage keeps its contract where the tests above do not reach. */
START_TEST(local_storage)
{
	char root[] = "/tmp/commitlog_test_XXXXXX", path[256];
	ck_assert_ptr_nonnull(mkdtemp(root));
	struct storage *storage = commitlog_storage_local();
	const struct storage_ops *ops = storage->ops;
	snprintf(path, sizeof(path), "%s/a/b/c", root);
	ck_assert(ops->make_dirs(storage, path));
	ck_assert(ops->make_dirs(storage, path));
	snprintf(path, sizeof(path), "%s/a/b/c/file", root);
	ck_assert_ptr_null(ops->open(storage, path, false));
	ck_assert_int_eq(errno, ENOENT);
	struct storage_file *file = ops->open(storage, path, true);
	ck_assert_ptr_nonnull(file);
	ck_assert(ops->write(file, "hello", 5, 3));
	ck_assert(ops->allocate(file, 100000));
	ck_assert(ops->allocate(file, 10));
	ck_assert_int_eq(ops->size(file), 100000);
	char data[16] = { 0 };
	ck_assert_int_eq(ops->read(file, data, 16, 0), 16);
	ck_assert_int_eq(memcmp(data, "\0\0\0hello\0\0\0\0\0\0\0\0", 16), 0);
	ck_assert_int_eq(ops->read(file, data, 16, 99990), 10);
	ck_assert_int_eq(ops->read(file, data, 16, 100000), 0);
	ck_assert(ops->truncate(file, 4));
	ck_assert(ops->sync(file));
	ops->close(file);
	struct error error;
	ck_assert_int_eq(storage_put(storage, path, "xyz", 3, &error), WL_OK);
	struct buf out = BUF_INIT(100);
	ck_assert_int_eq(storage_get(storage, path, &out, &error), WL_OK);
	ck_assert_uint_eq(out.len, 3);
	buf_deinit(&out);
	snprintf(path, sizeof(path), "%s/a/b/c/file/d", root);
	ck_assert(!ops->make_dirs(storage, path));
	ck_assert_int_eq(errno, ENOTDIR);
	snprintf(path, sizeof(path), "%s/none", root);
	ck_assert(ops->list(storage, path, NULL, NULL));
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
END_TEST

int main(void)
{
	log_set_level(LOG_OFF);
	Suite *suite = suite_create("commitlog");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, format_golden);
	tcase_add_test(tests, format_version);
	tcase_add_test(tests, reopen);
	tcase_add_test(tests, idle_is_free);
	tcase_add_test(tests, group_commit);
	tcase_add_test(tests, no_allocation);
	tcase_add_test(tests, cancel);
	tcase_add_test(tests, huge_records);
	tcase_add_test(tests, huge_record_unfinished);
	tcase_add_test(tests, replay_from);
	tcase_add_test(tests, trim);
	tcase_add_test(tests, trim_cut_short);
	tcase_add_test(tests, set_aside);
	tcase_add_test(tests, cut_at_every_byte);
	tcase_add_test(tests, torn_tail_is_zeroed);
	tcase_add_test(tests, flip_every_byte);
	tcase_add_test(tests, larger_damage);
	tcase_add_test(tests, own_bytes_as_record);
	tcase_add_test(tests, no_space);
	tcase_add_test(tests, no_space_close);
	tcase_add_test(tests, failed_io_is_final);
	tcase_add_test(tests, nth_call_fails);
	tcase_add_test(tests, nth_allocation_fails);
	tcase_add_test(tests, replay_refuses);
	tcase_add_test(tests, in_memory);
	tcase_add_test(tests, put_is_atomic);
	tcase_add_test(tests, local_threads);
	tcase_add_test(tests, local_storage);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
