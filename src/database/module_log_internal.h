/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODULE_LOG_INTERNAL_H
#define MODULE_LOG_INTERNAL_H
/*
 * Between the two halves of the module log: module_log.c (records, queue,
 * thread, followers) and module_log_keep.c (where lines are kept and read).
 *
 * Positions count the bytes of lines since the log was opened; a follower and
 * a reader that start at the same position see each line exactly once.
 */
#include "base/thread.h"
#include "commitlog/commitlog.h"
#include "database/module_log.h"

enum { LINES_RUNS_MAX = 8, DAY_NAME_MAX = 16, MODULE_LOG_PATH_MAX = 4096 };

/* Lines that wait to be written, and the days they belong to. */
struct lines_run {
	int64_t day;  /* since 1970-01-01 UTC */
	size_t end;   /* in bytes.data */
};
struct lines {
	struct buf bytes;
	struct lines_run runs[LINES_RUNS_MAX];
	uint32_t run_count;
};

struct kept_chunk {
	struct kept_chunk *next;
	uint64_t at;       /* position of its first byte */
	size_t len, cap;
	uint64_t line_count;
	uint8_t data[];
};

/* What is kept. Its own lock: appending never waits for the disk. */
struct keep {
	pthread_mutex_t mutex;
	struct storage *storage;
	const char *dir;       /* NULL: in memory */
	uint64_t bytes_max;
	_Atomic uint64_t size;
	/* Files: `day` is the current one's; a position p >= start of it lies at byte p + shift. */
	bool has_day, made_dir, failing;
	int64_t day;
	uint64_t start;
	int64_t shift;
	/* Memory. */
	struct kept_chunk *first, *last;
	uint64_t first_at;     /* position of the oldest byte kept */
};
void keep_init(struct keep *keep, struct storage *storage, const char *dir, uint64_t bytes_max);
void keep_deinit(struct keep *keep);
/* Writes lines that begin at position `at`. What cannot be written is lost; the host's log says so. */
void keep_write(struct keep *keep, const struct lines *lines, uint64_t at);
/* The last `lines` lines before position `until`, all of which are written. */
enum wl_err keep_read(struct keep *keep, uint64_t until, uint64_t lines, struct module_log_reader **out,
	uint64_t *bytes, struct error *error);
#endif
