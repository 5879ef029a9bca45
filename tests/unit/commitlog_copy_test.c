/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of a log on a simulated disk: beside its writer, again and again, cut short anywhere, of another log. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "commitlog/commitlog.h"
#include "commitlog/storage_faulty.h"
#include "unit/run_suite.h"

#define DIR_NAME "db/log"
#define FIRST_SEGMENT DIR_NAME "/0000000001.wlog"

struct world {
	struct storage_faulty *disk;
	struct commitlog_writers *writers;
	struct commitlog *log;
	struct error error;
	uint64_t next; /* of records seen */
};

static struct world world_new(uint64_t seed)
{
	struct world w = { .disk = storage_faulty_create(seed), .writers = commitlog_writers_create(0) };
	struct commitlog_options options = { .storage = storage_faulty_storage(w.disk), .writers = w.writers,
		.dir = DIR_NAME, .segment_bytes = 4096 };
	log_set_level(LOG_OFF);
	ck_assert_int_eq(commitlog_open(&options, NULL, NULL, &w.log, &w.error), WL_OK);
	return w;
}

static void world_end(struct world *w)
{
	commitlog_close(w->log);
	commitlog_writers_destroy(w->writers);
	storage_faulty_destroy(w->disk);
}

/* Records of 8 to 71 bytes that begin with their offset. */
static void append(struct world *w, int count)
{
	for (int i = 0; i < count; i++) {
		struct buf *out;
		uint64_t last = commitlog_last(w->log), offset = last == COMMITLOG_NONE ? 0 : last + 1;
		ck_assert_int_eq(commitlog_begin(w->log, &out), WL_OK);
		buf_put_u64(out, offset);
		for (uint64_t k = 0; k < offset % 64; k++)
			buf_put_u8(out, (uint8_t)k);
		ck_assert_uint_eq(commitlog_end(w->log), offset);
	}
}

static void drain(struct world *w)
{
	commitlog_submit(w->log);
	while (commitlog_writers_step(w->writers))
		;
}

static bool see_record(void *context, uint64_t offset, struct bytes record)
{
	struct world *w = context;
	ck_assert_uint_eq(offset, w->next++);
	ck_assert_uint_eq(record.len, 8 + offset % 64);
	ck_assert_uint_eq(load_u64(record.data), offset);
	return true;
}

static bool see_segment(void *context, const struct commitlog_segment_report *report)
{
	(void)context;
	ck_assert_msg(report->fault[0] == '\0', "%s: byte %llu: %s", report->path, (unsigned long long)report->fault_at,
		report->fault);
	return true;
}

/* How many records the copy has; all of them are what was written. */
static uint64_t copied(struct world *w)
{
	struct commitlog_scan how = { .record = see_record, .segment = see_segment, .to = UINT64_MAX, .context = w };
	w->next = 0;
	ck_assert_int_eq(commitlog_scan(storage_faulty_storage(w->disk), "copy", &how, &w->error), WL_OK);
	return w->next;
}

static enum wl_err copy_now(struct world *w, struct commitlog_copy *copy)
{
	*copy = (struct commitlog_copy){ .from = DIR_NAME, .to = "copy" };
	return commitlog_copy(storage_faulty_storage(w->disk), copy, &w->error);
}

/* Goal: a log that is being written is copied as far as it is durable, and only what is new is written. */
START_TEST(beside_a_writer)
{
	struct world w = world_new(23);
	struct commitlog_copy copy;
	for (int round = 0; round < 6; round++) {
		append(&w, 150);
		drain(&w);
		append(&w, 1); /* not submitted: not there */
		ck_assert_msg(copy_now(&w, &copy) == WL_OK, "%s", w.error.text);
		ck_assert_uint_eq(copied(&w), commitlog_durable(w.log) + 1);
		ck_assert_msg(copy.segments < 6, "round %d wrote %llu", round, (unsigned long long)copy.segments);
	}
	drain(&w);
	ck_assert_int_eq(copy_now(&w, &copy), WL_OK);
	ck_assert_int_eq(copy_now(&w, &copy), WL_OK);
	ck_assert_uint_le(copy.segments, 1);
	ck_assert_uint_eq(copied(&w), commitlog_durable(w.log) + 1);
	world_end(&w);
}
END_TEST

/* Goal: another line of history does not mix with the one that is there. */
START_TEST(another_log)
{
	struct world w = world_new(24), other = world_new(25);
	struct commitlog_copy copy;
	struct buf first = BUF_INIT(1 << 20);
	append(&w, 300);
	drain(&w);
	ck_assert_int_eq(copy_now(&w, &copy), WL_OK);
	append(&other, 5);
	drain(&other);
	ck_assert(storage_faulty_get(other.disk, FIRST_SEGMENT, &first));
	ck_assert(storage_faulty_set(w.disk, FIRST_SEGMENT, first.data, first.len));
	ck_assert_int_eq(copy_now(&w, &copy), WL_ERR_EXISTS);
	ck_assert_uint_eq(copied(&w), 300);
	buf_deinit(&first);
	world_end(&other);
	world_end(&w);
}
END_TEST

/* Goal: what is below a scan's beginning is not read, and what is asked for is all there. */
START_TEST(scan_from)
{
	struct world w = world_new(26);
	append(&w, 600);
	drain(&w);
	for (uint64_t from = 0; from < 600; from += 37) {
		struct commitlog_scan how = { .record = see_record, .segment = see_segment, .from = from, .to = UINT64_MAX,
			.context = &w };
		w.next = from;
		ck_assert_int_eq(commitlog_scan(storage_faulty_storage(w.disk), DIR_NAME, &how, &w.error), WL_OK);
		ck_assert_uint_eq(w.next, 600);
	}
	world_end(&w);
}
END_TEST

/* Goal: a copy that fails at any call leaves one that is whole, and the next one finishes it. */
START_TEST(cut_short)
{
	for (uint64_t n = 1;; n++) {
		struct world w = world_new(27);
		struct commitlog_copy copy;
		append(&w, 200);
		drain(&w);
		ck_assert_int_eq(copy_now(&w, &copy), WL_OK);
		append(&w, 200);
		drain(&w);
		uint64_t before = copied(&w);
		storage_faulty_fail_at(w.disk, STORAGE_FAULTY_ANY, n, EIO);
		enum wl_err err = copy_now(&w, &copy);
		bool struck = storage_faulty_pending(w.disk) == 0;
		storage_faulty_fail_at(w.disk, STORAGE_FAULTY_ANY, 0, 0);
		ck_assert_msg(copied(&w) >= before, "call %llu", (unsigned long long)n);
		ck_assert(struck || err == WL_OK);
		ck_assert_msg(copy_now(&w, &copy) == WL_OK, "call %llu: %s", (unsigned long long)n, w.error.text);
		ck_assert_uint_eq(copied(&w), 400);
		world_end(&w);
		if (!struck)
			break;
		ck_assert_uint_lt(n, 1000);
	}
}
END_TEST

/* Goal: damage in a log is named by who copies it, and what is there stays. */
START_TEST(damaged)
{
	struct world w = world_new(28);
	struct commitlog_copy copy;
	for (int i = 0; i < 4; i++) {
		append(&w, 5);
		drain(&w);
	}
	ck_assert_int_eq(copy_now(&w, &copy), WL_OK);
	append(&w, 5);
	drain(&w);
	ck_assert(storage_faulty_flip(w.disk, FIRST_SEGMENT, 200, 1));
	ck_assert_int_eq(copy_now(&w, &copy), WL_ERR_CORRUPT);
	ck_assert_msg(strstr(w.error.text, "valid ones lie behind") != NULL, "%s", w.error.text);
	ck_assert_uint_eq(copied(&w), 20);
	world_end(&w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("commitlog_copy");
	TCase *tests = tcase_create("copy");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, beside_a_writer);
	tcase_add_test(tests, another_log);
	tcase_add_test(tests, scan_from);
	tcase_add_test(tests, cut_short);
	tcase_add_test(tests, damaged);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
