/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMITLOG_H
#define COMMITLOG_H
/*
 * commitlog: the log of one database, and the storage under it.
 *
 * A record is one committed transaction, opaque bytes here; it has an offset
 * (0, 1, 2 …). The executor appends records to the open batch; submit hands
 * the batch to a writer thread, which writes it and calls fdatasync once, then
 * publishes the durable offset. At most one batch of a database is in flight;
 * what is appended meanwhile joins the next one: group commit without a timer.
 *
 * Threading: begin, end, cancel and submit: executor only. What was appended
 * since a begin reaches the disk only after the next submit, so submit follows
 * every commit or small group of commits (it is cheap). commitlog_durable,
 * _state and the sizes: any thread. on_durable runs on a thread of `writers`
 * (in memory: inside submit), one call at a time and in order; it must not
 * block and may call only commitlog_durable and commitlog_state.
 *
 * Failure: a write or fdatasync that fails is final: state becomes
 * COMMITLOG_FAILED, nothing more is promised, append refuses. No space while a
 * segment is being prepared, before any promise: COMMITLOG_READ_ONLY, which
 * ends by itself when there is space again.
 *
 * On disk (README.md has the layout and the invariants): zero-filled segments
 * of batches {tag, CRC, first offset, length, CRC of the previous batch, CRC
 * of the payload}. A bad batch with nothing valid behind it is a torn tail and
 * is cut; one with valid batches behind it is corruption and is named, file
 * and offset.
 */
#include "base/buf.h"

enum {
	COMMITLOG_SEGMENT_BYTES = 16 << 20,
	COMMITLOG_SEGMENT_BYTES_MAX = 64 << 20,
	COMMITLOG_PENDING_BYTES_MAX = 256 << 20, /* appended but not yet written: append then says WL_ERR_UNAVAILABLE */
	COMMITLOG_RECORD_BYTES_MAX = 512 << 20,  /* a longer record is refused by end */
	COMMITLOG_FORMAT_VERSION = 1,
};
#define COMMITLOG_NONE UINT64_MAX /* no offset yet */

/*
 * The border to storage: what the log needs of files. Implementations: local
 * files (commitlog_storage_local), and a simulated disk for tests that can
 * drop, tear and reorder what was not synced (storage_faulty.h).
 * Every call may fail with errno set; NULL, -1 or false. Any thread, but one
 * file is used by one thread at a time.
 */
struct storage_file;
struct storage {
	const struct storage_ops *ops;
};
struct storage_ops {
	struct storage_file *(*open)(struct storage *, const char *path, bool create);
	int64_t (*read)(struct storage_file *, void *data, size_t len, uint64_t at); /* short only at the end */
	bool (*write)(struct storage_file *, const void *data, size_t len, uint64_t at); /* whole or error */
	bool (*allocate)(struct storage_file *, uint64_t size); /* zero-filled to size; never shrinks */
	bool (*truncate)(struct storage_file *, uint64_t size);
	bool (*sync)(struct storage_file *);                    /* fdatasync */
	int64_t (*size)(struct storage_file *);
	void (*close)(struct storage_file *);
	bool (*rename)(struct storage *, const char *from, const char *to); /* and the directory is synced */
	bool (*remove)(struct storage *, const char *path);
	bool (*make_dirs)(struct storage *, const char *path);  /* mkdir -p, each parent synced */
	bool (*sync_dir)(struct storage *, const char *path);
	/* Calls fn for each name in the directory; absent directory = no names. */
	bool (*list)(struct storage *, const char *path, void (*fn)(void *context, const char *name), void *context);
};
struct storage *commitlog_storage_local(void); /* the one instance; needs no freeing */
/* Whole small files, crash-safe: temp + sync + rename + directory sync. */
enum wl_err storage_put(struct storage *storage, const char *path, const void *data, size_t len, struct error *error);
/* Appends the file to `out`. WL_ERR_NOT_FOUND; WL_ERR_LIMIT beyond out->max. */
enum wl_err storage_get(struct storage *storage, const char *path, struct buf *out, struct error *error);

/* Threads that write batches, shared by all databases of a host. Destroy after the last log is closed. */
struct commitlog_writers;
/* 0 threads: nothing runs but in commitlog_writers_step (simulators, tests). */
struct commitlog_writers *commitlog_writers_create(uint32_t threads);
void commitlog_writers_destroy(struct commitlog_writers *writers);
/* With 0 threads: does one piece of work on the caller's thread; false when there is none. */
bool commitlog_writers_step(struct commitlog_writers *writers);

enum commitlog_state { COMMITLOG_OK, COMMITLOG_READ_ONLY, COMMITLOG_FAILED };
struct commitlog;
struct commitlog_options {
	struct storage *storage;            /* NULL: in memory, appended records vanish, all offsets durable at once */
	struct commitlog_writers *writers;
	const char *dir;
	const char *archive;                /* where segments go that are trimmed; NULL: they are gone */
	uint64_t segment_bytes;             /* 0 = COMMITLOG_SEGMENT_BYTES; the first segments of a log are smaller */
	uint64_t replay_from;               /* records below are not replayed; an empty log starts here */
	void (*on_durable)(void *context, uint64_t offset, enum commitlog_state state);
	void *context;
};
/* `record` is valid during the call. */
typedef enum wl_err (*commitlog_replay_fn)(void *context, uint64_t offset, struct bytes record, struct error *error);

/* Opens or creates the log in `dir`, cuts a torn tail, and calls `replay` (may be NULL) for every record from
 * `replay_from` on, in order. WL_ERR_CORRUPT names file and byte offset; WL_ERR_UNSUPPORTED: another format version.
 * An error of `replay` ends the opening and is returned. */
enum wl_err commitlog_open(const struct commitlog_options *options, commitlog_replay_fn replay, void *replay_context,
	struct commitlog **out, struct error *error);
/*
 * After WL_ERR_CORRUPT, while nobody has the log: makes it end before the damage, so that it opens with what is good.
 * All that lies behind is kept, byte for byte, in `<dir>/damaged/`. `from`: as replay_from; if what is good ends below
 * it, nothing stays, and the log begins again there. *next: the first offset that is lost. WL_ERR_NOT_FOUND: nothing of
 * the log is good.
 */
enum wl_err commitlog_set_aside(struct storage *storage, const char *dir, uint64_t from, uint64_t *next,
	struct error *error);
/* A log looked at from outside, read only: a host may have it open. */
struct commitlog_segment_report {
	const char *path;
	uint64_t number, bytes, used;      /* of its capacity; up to the last batch */
	uint64_t batches, first, next;     /* offsets of its first batch (COMMITLOG_NONE: none), and behind its last */
	bool is_closed;                    /* the log was closed here */
	bool is_gap;                       /* the fault: segments before this one are missing */
	char fault[64];                    /* "": it is whole, as far as it goes */
	uint64_t fault_at;                 /* byte */
};
struct commitlog_scan {
	/* Each may be NULL; false ends the scan. Records of a segment come before its report; `from` and `to` are
	 * offsets, both included; segments that end before `from` are not read. */
	bool (*record)(void *context, uint64_t offset, struct bytes record);
	bool (*segment)(void *context, const struct commitlog_segment_report *report);
	uint64_t from, to;
	void *context;
};
/* WL_ERR_NOT_FOUND: there is no log. Faults are the reports' affair. */
enum wl_err commitlog_scan(struct storage *storage, const char *dir, const struct commitlog_scan *how,
	struct error *error);
/*
 * Copies a log, as far as it is whole at this moment, beside whoever writes it. Segments that `to` has and that cannot
 * grow any more are not read again. WL_ERR_EXISTS: `to` has another log, or a line of history that this one left.
 */
struct commitlog_copy {
	const char *from, *to;            /* folders; `to` is made */
	void (*progress)(void *context, uint64_t bytes); /* written so far; may be NULL */
	void *context;
	uint64_t bytes, segments;         /* out: written */
};
enum wl_err commitlog_copy(struct storage *storage, struct commitlog_copy *copy, struct error *error);
/* Which log it is: a random number that no other has, also not one that a restored database goes on with. 0: there is
 * none yet. */
enum wl_err commitlog_id(struct storage *storage, const char *dir, uint64_t *id, struct error *error);
/* Writes and syncs what is pending, then closes. What cannot be written (failed, no space) is given up. NULL is
 * fine. */
void commitlog_close(struct commitlog *log);

/*
 * Appends one record: begin gives the buffer to encode into (executor's own, already positioned), end closes it and
 * assigns the offset; cancel takes it back. Records of any size.
 */
enum wl_err commitlog_begin(struct commitlog *log, struct buf **out) CHECKED;
uint64_t commitlog_end(struct commitlog *log); /* COMMITLOG_NONE: memory or a limit ran out, nothing was appended */
void commitlog_cancel(struct commitlog *log);
/* Hands what was appended to a writer, unless a batch is in flight (it then follows by itself). Cheap when empty. */
void commitlog_submit(struct commitlog *log);

/* Executor, between commits: gives back the buffers, unless a batch is in flight. */
void commitlog_rest(struct commitlog *log);

uint64_t commitlog_last(const struct commitlog *log);    /* last offset assigned, COMMITLOG_NONE when none; executor */
uint64_t commitlog_durable(const struct commitlog *log); /* COMMITLOG_NONE when none */
enum commitlog_state commitlog_state(const struct commitlog *log);
size_t commitlog_pending_bytes(const struct commitlog *log);
uint64_t commitlog_size_bytes(const struct commitlog *log); /* on disk */
/* Blocks until `offset` is durable. False when the log has failed or `timeout_ms` passed. Not the executor. */
bool commitlog_wait(struct commitlog *log, uint64_t offset, uint32_t timeout_ms);
/* Removes segments that hold only records below `offset` (a durable snapshot has them), as long as those that stay
 * below it have `keep` bytes. Returns the bytes freed. Any thread; it waits for the file system.
 * With an archive each is copied there first, and stays where that fails. */
uint64_t commitlog_trim(struct commitlog *log, uint64_t offset, uint64_t keep);
#endif
