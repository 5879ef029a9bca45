/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODULE_LOG_H
#define MODULE_LOG_H
/*
 * module_log: what a module and its host say about it, one JSON object a line
 * (module-abi.md section 4), in files of one UTC day each, or in memory.
 *
 * Append formats the line into a bounded buffer and returns; one thread for
 * all databases of the host (struct module_logs) takes the buffers to disk and
 * to the followers. A database that says nothing costs no file handle. When a
 * buffer is full the record is lost, and a record that says how many were
 * lost follows. Nothing here is synced: these are logs, not data.
 *
 * Threading: append, read, follow: any thread. Reading waits for the disk:
 * never from a network loop, never from the executor. Callbacks run on the
 * module_logs thread, must not block, and must not call back into this room.
 *
 * Limits: texts are cut to the maxima below (at a character), invalid UTF-8
 * becomes U+FFFD. The files of one database stay below `bytes_max` together:
 * the oldest go first, and a day's file that reaches half of it is set aside
 * as <day>.1.log, which replaces the one set aside before.
 */
#include "base/buf.h"

struct storage;

enum {
	MODULE_LOG_MESSAGE_BYTES_MAX = 64 << 10, /* of the text; then it is cut */
	MODULE_LOG_NAME_BYTES_MAX = 1 << 10,     /* target, filename, function, names in a trace */
	MODULE_LOG_TRACE_MAX = 64,               /* frames */
	MODULE_LOG_QUEUE_BYTES_MAX = 2 << 20,    /* of one database, waiting to be written */
	MODULE_LOG_FOLLOW_LINES_MAX = 2500,      /* that a follower gets of the past */
};
#define MODULE_LOG_BYTES_MAX ((uint64_t)64 << 20)        /* default of bytes_max */
#define MODULE_LOG_MEMORY_BYTES_MAX ((uint64_t)16 << 20) /* the same in memory */

/* The thread and what is shared by all logs of a host. */
struct module_logs;
struct module_logs *module_logs_create(void); /* NULL: no memory or no thread */
void module_logs_destroy(struct module_logs *logs); /* after the last log is closed */

struct module_log;
struct module_log_options {
	const char *dir;          /* the folder of the files, made at the first record; NULL: in memory */
	struct storage *storage;  /* NULL: local files */
	uint64_t bytes_max;       /* 0: the default */
};
enum wl_err module_log_open(struct module_logs *logs, const struct module_log_options *options,
	struct module_log **out, struct error *error);
/* Writes what is queued, ends the followers, frees. NULL is fine. */
void module_log_close(struct module_log *log);

enum module_log_level {
	MODULE_LOG_ERROR = 0, MODULE_LOG_WARN = 1, MODULE_LOG_INFO = 2, MODULE_LOG_DEBUG = 3, MODULE_LOG_TRACE = 4,
	MODULE_LOG_PANIC = 101, /* every other value is written as Debug */
};
struct module_log_frame {
	struct str module_name, function_name; /* .data NULL: absent */
};
struct module_log_record {
	uint8_t level;
	int64_t ts_micros;           /* its UTC day chooses the file */
	struct str target, filename; /* .data NULL: absent */
	uint32_t line;               /* UINT32_MAX: absent */
	struct str function;         /* empty: absent */
	struct str message;
	const struct module_log_frame *trace; /* written for MODULE_LOG_PANIC only, then always */
	size_t trace_count;
};
void module_log_append(struct module_log *log, const struct module_log_record *record);

/*
 * Reading the newest day's file (in memory: what is kept). It sees every record appended before the call, and none
 * after. WL_ERR_NOT_FOUND: nothing was ever written.
 */
struct module_log_reader;
#define MODULE_LOG_ALL UINT64_MAX
/* The last `lines` lines. `bytes` (may be NULL) receives how many bytes follow. */
enum wl_err module_log_read(struct module_log *log, uint64_t lines, struct module_log_reader **out, uint64_t *bytes,
	struct error *error);
/* The same of the files in `dir` of a database that is not open. */
enum wl_err module_log_read_closed(struct storage *storage, const char *dir, uint64_t lines,
	struct module_log_reader **out, uint64_t *bytes, struct error *error);
/* The next bytes, 0 at the end (also when the file was set aside meanwhile). Independent of the log's life. */
size_t module_log_reader_next(struct module_log_reader *reader, void *data, size_t cap);
void module_log_reader_close(struct module_log_reader *reader); /* NULL is fine */

/*
 * Following: `lines` receives whole lines, one or more at a time, of every record appended after the call and none
 * before; empty = the log was closed, nothing more comes. With a `past` (may be NULL) the last `past_lines` lines
 * before that come as a reader, without gap or overlap (NULL in *past: none).
 */
struct module_log_follower;
enum wl_err module_log_follow(struct module_log *log, void (*lines)(void *context, struct bytes lines), void *context,
	uint64_t past_lines, struct module_log_reader **past, struct module_log_follower **out, struct error *error);
/* No callback runs after this returns. Also after the log was closed. Not from the callback. */
void module_log_unfollow(struct module_log_follower *follower);

uint64_t module_log_size_bytes(const struct module_log *log); /* of all its files, or kept in memory */
#endif
