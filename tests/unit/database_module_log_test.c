/* SPDX-License-Identifier: Apache-2.0 */
/* The module log: the lines' bytes, hostile texts, days, limits, reading, following; on a simulated disk and in
 * memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "commitlog/storage_faulty.h"
#include "database/module_log.h"
#include "unit/run_suite.h"

#define DAY ((int64_t)86400 * 1000000)
#define NOON ((int64_t)20000 * DAY + DAY / 2) /* 2024-10-04 */
#define FILE_NAME "db/module_logs/2024-10-04.log"

static struct storage_faulty *disk;
static struct module_logs *logs;
static struct module_log *module_log;

static void open_with(bool in_memory, uint64_t bytes_max)
{
	if (disk == NULL)
		disk = storage_faulty_create(1);
	if (logs == NULL)
		logs = module_logs_create();
	struct module_log_options options = { .dir = in_memory ? NULL : "db/module_logs",
		.storage = storage_faulty_storage(disk), .bytes_max = bytes_max };
	ck_assert_int_eq(module_log_open(logs, &options, &module_log, NULL), WL_OK);
}

static void end(void)
{
	module_log_close(module_log);
	module_logs_destroy(logs);
	storage_faulty_destroy(disk);
	module_log = NULL;
	logs = NULL;
	disk = NULL;
}

static void say_at(int64_t micros, const char *message)
{
	struct module_log_record record = { .level = MODULE_LOG_INFO, .ts_micros = micros, .line = UINT32_MAX,
		.message = str_of(message) };
	module_log_append(module_log, &record);
}

static void say(const char *format, int number)
{
	char text[256];
	snprintf(text, sizeof(text), format, number);
	say_at(NOON, text);
}

static char *drain_reader(struct module_log_reader *reader)
{
	static struct buf text;
	buf_deinit(&text);
	text = BUF_INIT(64 << 20);
	char piece[1000];
	size_t n;
	while ((n = module_log_reader_next(reader, piece, sizeof(piece))) > 0)
		buf_put(&text, piece, n);
	module_log_reader_close(reader);
	return (char *)(uintptr_t)buf_text(&text);
}

static char *read_lines(uint64_t lines)
{
	struct module_log_reader *reader;
	struct error error;
	uint64_t bytes;
	enum wl_err err = module_log_read(module_log, lines, &reader, &bytes, &error);
	if (err == WL_ERR_NOT_FOUND)
		return NULL;
	ck_assert_msg(err == WL_OK, "%s", error.text);
	char *text = drain_reader(reader);
	ck_assert_uint_eq(strlen(text), bytes);
	return text;
}

#define LINE(message) "{\"level\":\"Info\",\"ts\":1728043200000000,\"message\":\"" message "\"}\n"

/* Goal: exact bytes, key order, absent members, levels; the two examples of the specification. */
START_TEST(line_format)
{
	open_with(false, 0);
	struct module_log_record record = { .level = MODULE_LOG_INFO, .ts_micros = NOON, .target = STR("my_mod"),
		.filename = STR("src/lib.rs"), .line = 7, .function = STR("add"), .message = STR("hi") };
	module_log_append(module_log, &record);
	ck_assert_str_eq(read_lines(1), "{\"level\":\"Info\",\"ts\":1728043200000000,\"target\":\"my_mod\","
		"\"filename\":\"src/lib.rs\",\"line_number\":7,\"function\":\"add\",\"message\":\"hi\"}\n");
	struct module_log_frame frames[] = { { .function_name = STR("my_mod::add") },
		{ .module_name = STR("a.js:1:2") , .function_name = STR("f") }, { .module_name = { NULL, 0 } } };
	record.level = MODULE_LOG_PANIC;
	record.target = (struct str){ NULL, 0 };
	record.message = STR("boom");
	record.trace = frames;
	record.trace_count = 3;
	module_log_append(module_log, &record);
	ck_assert_str_eq(read_lines(1), "{\"level\":\"Panic\",\"ts\":1728043200000000,\"filename\":\"src/lib.rs\","
		"\"line_number\":7,\"function\":\"add\",\"message\":\"boom\",\"trace\":[{\"func_name\":\"my_mod::add\"},"
		"{\"module_name\":\"a.js:1:2\",\"func_name\":\"f\"},{}]}\n");
	record.trace_count = 0;
	record.target = STR("");
	module_log_append(module_log, &record);
	ck_assert_ptr_nonnull(strstr(read_lines(1), "\"ts\":1728043200000000,\"target\":\"\","));
	ck_assert_ptr_nonnull(strstr(read_lines(1), "\"message\":\"boom\",\"trace\":[]}\n"));
	static const struct { uint8_t level; const char *name; } levels[] = { { 0, "Error" }, { 1, "Warn" }, { 2, "Info" },
		{ 3, "Debug" }, { 4, "Trace" }, { 5, "Debug" }, { 100, "Debug" }, { 101, "Panic" }, { 102, "Debug" },
		{ 255, "Debug" } };
	for (size_t i = 0; i < ARRAY_COUNT(levels); i++) {
		char want[64];
		record = (struct module_log_record){ .level = levels[i].level, .ts_micros = -1, .line = UINT32_MAX };
		module_log_append(module_log, &record);
		snprintf(want, sizeof(want), "{\"level\":\"%s\",\"ts\":-1,\"message\":\"\"%s}\n", levels[i].name,
			levels[i].level == 101 ? ",\"trace\":[]" : "");
		ck_assert_str_eq(read_lines(1), want);
	}
	end();
}
END_TEST

/* Goal: a guest's texts can break neither the line nor the file: control characters, bad UTF-8, any length. */
START_TEST(hostile_texts)
{
	open_with(false, 0);
	say_at(NOON, "two\nlines \" \\ \t \x01 é");
	ck_assert_str_eq(read_lines(1), LINE("two\\nlines \\\" \\\\ \\t \\u0001 é"));
	say_at(NOON, "a\xff" "b\xc3" "c\xe2\x82" "d\xf0\x9f\x98" "e\xed\xa0\x80" "f\xc0\x80" "g\xf5");
	ck_assert_str_eq(read_lines(1), LINE("a\uFFFDb\uFFFDc\uFFFDd\uFFFDe\uFFFD\uFFFD\uFFFDf\uFFFD\uFFFDg\uFFFD"));
	size_t huge = 3 << 20;
	char *text = mem_alloc(huge + 1);
	for (size_t i = 0; i < huge; i++)
		text[i] = "\xe2\x82\xac"[i % 3];
	text[huge] = '\0';
	struct module_log_record record = { .level = MODULE_LOG_ERROR, .ts_micros = NOON, .line = 1,
		.target = { text, huge }, .filename = { text, huge }, .function = { text, huge }, .message = { text, huge } };
	module_log_append(module_log, &record);
	char *line = read_lines(1);
	ck_assert_uint_lt(strlen(line), MODULE_LOG_MESSAGE_BYTES_MAX + 4 * MODULE_LOG_NAME_BYTES_MAX);
	ck_assert(utf8_valid((const uint8_t *)line, strlen(line)));
	ck_assert_ptr_nonnull(strstr(line, "€… (3080193 bytes cut)\"}"));
	memset(text, 1, huge); /* each byte becomes six */
	module_log_append(module_log, &record);
	ck_assert_uint_lt(strlen(read_lines(1)), 6 * (MODULE_LOG_MESSAGE_BYTES_MAX + 4 * MODULE_LOG_NAME_BYTES_MAX));
	memset(text, 0xff, huge); /* each becomes U+FFFD */
	module_log_append(module_log, &record);
	line = read_lines(1);
	ck_assert(utf8_valid((const uint8_t *)line, strlen(line)));
	mem_free(text);
	end();
}
END_TEST

static void expect_numbers(const char *text, int first, int last)
{
	char line[128];
	for (int i = first; i <= last; i++) {
		snprintf(line, sizeof(line), LINE("n%d"), i);
		ck_assert_msg(strncmp(text, line, strlen(line)) == 0, "want %s have %.80s", line, text);
		text += strlen(line);
	}
	ck_assert_str_eq(text, "");
}

/* Goal: the last n lines, for any n, see everything said before the call; the same in both places. */
START_TEST(tail)
{
	for (int in_memory = 0; in_memory <= 1; in_memory++) {
		open_with(in_memory, 0);
		char *text = read_lines(MODULE_LOG_ALL);
		ck_assert(text == NULL || text[0] == '\0');
		for (int i = 1; i <= 3000; i++) {
			say("n%d", i);
			if (i % 97 == 0)
				expect_numbers(read_lines((uint64_t)i / 2), i - i / 2 + 1, i);
		}
		expect_numbers(read_lines(MODULE_LOG_ALL), 1, 3000);
		expect_numbers(read_lines(3000), 1, 3000);
		expect_numbers(read_lines(3001), 1, 3000);
		expect_numbers(read_lines(2999), 2, 3000);
		expect_numbers(read_lines(1), 3000, 3000);
		ck_assert_str_eq(read_lines(0), "");
		end();
	}
}
END_TEST

/* Goal: each record goes to its day's file; the newest is read; half a line that a crash left is closed and not
 * read. */
START_TEST(days_and_reopening)
{
	open_with(false, 0);
	say("n%d", 1);
	say_at(NOON + DAY, "next day");
	say_at(NOON + DAY, "still next day");
	ck_assert_ptr_nonnull(strstr(read_lines(MODULE_LOG_ALL), "still next day"));
	ck_assert_ptr_null(strstr(read_lines(MODULE_LOG_ALL), "n1"));
	module_log_close(module_log);
	struct buf file = BUF_INIT(1 << 20);
	ck_assert(storage_faulty_get(disk, FILE_NAME, &file));
	ck_assert_str_eq(buf_text(&file), LINE("n1"));
	buf_clear(&file);
	ck_assert(storage_faulty_get(disk, "db/module_logs/2024-10-05.log", &file));
	buf_put_cstr(&file, "{\"level\":\"In"); /* a crash in the middle of a line */
	ck_assert(storage_faulty_set(disk, "db/module_logs/2024-10-05.log", file.data, file.len));
	ck_assert(storage_faulty_set(disk, "db/module_logs/2024-10-05.log.gz", "x", 1));
	ck_assert(storage_faulty_set(disk, "db/module_logs/zzz", "x", 1));

	struct module_log_reader *reader;
	uint64_t bytes;
	ck_assert_int_eq(module_log_read_closed(storage_faulty_storage(disk), "db/module_logs", 1, &reader, &bytes, NULL),
		WL_OK);
	ck_assert_ptr_nonnull(strstr(drain_reader(reader), "still next day\"}\n"));
	ck_assert_int_eq(module_log_read_closed(storage_faulty_storage(disk), "db/none", 1, &reader, &bytes, NULL),
		WL_ERR_NOT_FOUND);

	open_with(false, 0);
	ck_assert_ptr_nonnull(strstr(read_lines(1), "still next day"));
	say_at(NOON + DAY, "after");
	ck_assert_ptr_nonnull(strstr(read_lines(1), "after"));
	ck_assert_ptr_nonnull(strstr(read_lines(2), "{\"level\":\"In\n{"));
	buf_deinit(&file);
	end();
}
END_TEST

/* Goal: the files of one database stay below their limit together, the newest lines survive; the same in memory. */
START_TEST(bounded)
{
	enum { LIMIT = 40000 };
	for (int in_memory = 0; in_memory <= 1; in_memory++) {
		open_with(in_memory, in_memory ? 4 * LIMIT : LIMIT);
		for (int day = 0; day < 6; day++) {
			for (int i = 0; i < 400; i++) {
				say_at(NOON + day * DAY, "some words that take their place in the log of this module");
				if (i % 20 == 0)
					(void)read_lines(1); /* so that it is written in many pieces */
			}
		}
		say_at(NOON + 6 * DAY, "last");
		ck_assert_ptr_nonnull(strstr(read_lines(1), "last"));
		ck_assert_uint_le(module_log_size_bytes(module_log), in_memory ? 4 * LIMIT : LIMIT);
		uint64_t total = 0;
		for (int day = 0; day < 7; day++) {
			for (int aside = 0; aside <= 1; aside++) {
				char path[64];
				struct buf file = BUF_INIT(1 << 20);
				snprintf(path, sizeof(path), "db/module_logs/2024-10-%02d%s.log", 4 + day, aside ? ".1" : "");
				if (storage_faulty_get(disk, path, &file)) {
					total += file.len;
					ck_assert_uint_le(file.len, LIMIT / 2);
				}
				buf_deinit(&file);
			}
		}
		ck_assert_uint_le(total, LIMIT);
		ck_assert(in_memory ? total == 0 : total > LIMIT / 2);
		end();
	}
}
END_TEST

struct heard {
	struct monitor monitor;
	struct buf text;
	bool ended;
};

static void hear(void *context, struct bytes lines)
{
	struct heard *h = context;
	monitor_lock(&h->monitor);
	ck_assert(!h->ended);
	h->ended = lines.len == 0;
	buf_put(&h->text, lines.data, lines.len);
	monitor_wake_all(&h->monitor);
	monitor_unlock(&h->monitor);
}

static void heard_wait(struct heard *h, const char *what)
{
	monitor_lock(&h->monitor);
	while (strstr(buf_text(&h->text), what) == NULL)
		ck_assert(monitor_wait_nanos(&h->monitor, 5000000000u));
	monitor_unlock(&h->monitor);
}

static _Atomic int talked;
static _Atomic bool enough;
/* Talks until told that it is enough, and a little longer. */
static void talk(void *arg)
{
	(void)arg;
	int left = 1000;
	for (int i = 1; left > 0; i++) {
		say("n%d", i);
		atomic_store(&talked, i);
		if (i % 64 == 0)
			usleep(200);
		if (atomic_load(&enough))
			left--;
	}
}

/* Goal: past and new lines meet without gap or overlap while somebody talks all the time; the end comes once. */
START_TEST(follow)
{
	for (int in_memory = 0; in_memory <= 1; in_memory++) {
		open_with(in_memory, 0);
		struct heard heard[8];
		struct module_log_follower *followers[8];
		char *past[8];
		pthread_t thread;
		atomic_store(&talked, 0);
		atomic_store(&enough, false);
		ck_assert(thread_start(&thread, "talker", 0, talk, NULL));
		while (atomic_load(&talked) < 100)
			usleep(100);
		for (int i = 0; i < 8; i++) {
			memset(&heard[i], 0, sizeof(heard[i]));
			monitor_init(&heard[i].monitor);
			heard[i].text = BUF_INIT(16 << 20);
			struct module_log_reader *reader = NULL;
			ck_assert_int_eq(module_log_follow(module_log, hear, &heard[i], 50, i == 7 ? NULL : &reader,
				&followers[i], NULL), WL_OK);
			past[i] = reader == NULL ? NULL : mem_strdup(str_of(drain_reader(reader)));
		}
		module_log_unfollow(followers[6]);
		size_t silent = heard[6].text.len;
		atomic_store(&enough, true);
		thread_join(thread);
		char last[32];
		snprintf(last, sizeof(last), "n%d\"", atomic_load(&talked));
		for (int i = 0; i < 6; i++) {
			heard_wait(&heard[i], last);
			int first = (int)strtol(strstr(past[i], "\"n") + 2, NULL, 10);
			struct buf all = BUF_INIT(32 << 20);
			buf_put_cstr(&all, past[i]);
			buf_put(&all, heard[i].text.data, heard[i].text.len);
			expect_numbers(buf_text(&all), first, atomic_load(&talked));
			buf_deinit(&all);
		}
		ck_assert_uint_eq(heard[6].text.len, silent);
		module_log_close(module_log);
		module_log = NULL;
		for (int i = 0; i < 8; i++) {
			ck_assert(heard[i].ended == (i != 6));
			if (i != 6)
				module_log_unfollow(followers[i]);
			mem_free(past[i]);
			buf_deinit(&heard[i].text);
			monitor_deinit(&heard[i].monitor);
		}
		end();
	}
}
END_TEST

static int64_t noon(void *context) { (void)context; return NOON; }
static uint64_t real_mono(void *context)
{
	(void)context;
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
static void no_random(void *context, void *out, size_t len)
{
	(void)context;
	memset(out, 1, len);
}

/* Goal: a flood is bounded and says what is missing; a full disk loses lines, never the log. */
START_TEST(floods_and_full_disks)
{
	static const struct clock_source source = { noon, real_mono, no_random, NULL };
	clock_replace(&source);
	open_with(false, 0);
	char text[8001];
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	size_t before = mem_stats().live_bytes;
	int said = 0;
	for (; said < 3000; said++)
		say_at(NOON, text);
	ck_assert_uint_lt(mem_stats().live_bytes, before + (200 << 20)); /* the simulated disk keeps it all in memory */
	say_at(NOON, "end");
	char *all = read_lines(MODULE_LOG_ALL);
	ck_assert(strstr(all, "end") != NULL || strstr(all, "records were lost") != NULL);
	usleep(20000);
	all = read_lines(MODULE_LOG_ALL);
	uint64_t lost = 0, kept = 0;
	for (char *end_of, *at = all; (end_of = strchr(at, '\n')) != NULL; at = end_of + 1) {
		static const char notice[] = "\"message\":\"";
		*end_of = '\0';
		if (strstr(at, " log records were lost") != NULL)
			lost += strtoull(strstr(at, notice) + sizeof(notice) - 1, NULL, 10);
		else
			kept++;
	}
	ck_assert_uint_eq(lost + kept, 3001);

	storage_faulty_capacity(disk, 0);
	say("n%d", 1);
	(void)read_lines(1);
	storage_faulty_capacity(disk, UINT64_MAX);
	say("n%d", 2);
	ck_assert_str_eq(read_lines(1), LINE("n2"));
	say("n%d", 3);
	ck_assert_str_eq(read_lines(2), LINE("n2") LINE("n3"));
	/* A write that fails half-way leaves a piece of a line: the next line is whole all the same. */
	for (int i = 0; i < 40; i++) {
		storage_faulty_fail_at(disk, STORAGE_FAULTY_WRITE, 1, EIO);
		say("lost%d", i);
		(void)read_lines(1);
		say("n%d", 4);
		ck_assert_str_eq(read_lines(1), LINE("n4"));
	}
	end();
	clock_replace(NULL);
}
END_TEST

/* Goal: databases that say nothing cost no file; many share one thread. */
START_TEST(many_databases)
{
	enum { COUNT = 200 };
	open_with(false, 0);
	struct module_log *all[COUNT];
	for (int i = 0; i < COUNT; i++) {
		char dir[32];
		snprintf(dir, sizeof(dir), "db%d/module_logs", i);
		struct module_log_options options = { .dir = dir, .storage = storage_faulty_storage(disk) };
		ck_assert_int_eq(module_log_open(logs, &options, &all[i], NULL), WL_OK);
	}
	for (int k = 0; k < 20; k++) {
		for (int i = 0; i < COUNT; i += 2) {
			struct module_log_record record = { .ts_micros = NOON, .line = UINT32_MAX, .message = STR("x") };
			module_log_append(all[i], &record);
		}
	}
	for (int i = 0; i < COUNT; i++)
		module_log_close(all[i]);
	/* All of them are written by now: the disk is for one thread at a time. */
	for (int i = 0; i < COUNT; i++) {
		char path[64];
		struct buf file = BUF_INIT(1 << 20);
		snprintf(path, sizeof(path), "db%d/module_logs/2024-10-04.log", i);
		ck_assert(storage_faulty_get(disk, path, &file) == (i % 2 == 0));
		ck_assert_uint_eq(file.len % 20, 0);
		buf_deinit(&file);
	}
	end();
}
END_TEST

int main(void)
{
	log_set_level(LOG_OFF);
	Suite *suite = suite_create("module log");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, line_format);
	tcase_add_test(tests, hostile_texts);
	tcase_add_test(tests, tail);
	tcase_add_test(tests, days_and_reopening);
	tcase_add_test(tests, bounded);
	tcase_add_test(tests, follow);
	tcase_add_test(tests, floods_and_full_disks);
	tcase_add_test(tests, many_databases);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
