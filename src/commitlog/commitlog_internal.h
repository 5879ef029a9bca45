/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMITLOG_INTERNAL_H
#define COMMITLOG_INTERNAL_H
/*
 * Inside the room: the format of segments and batches (format.c), the log's
 * state (commitlog.c), the writer threads (writer.c) and recovery (recovery.c).
 */
#include "base/thread.h"
#include "commitlog/commitlog.h"

/* ---- format.c: bytes on disk, all little-endian; README.md draws them ---- */
enum {
	SEGMENT_HEADER_BYTES = 64,
	BATCH_HEADER_BYTES = 32,
	BATCH_ALIGN = 8,
	BATCH_BYTES_MAX = 4 << 20,             /* payload of one batch: what one write and one sync carry */
	SEGMENT_BYTES_MIN = 512,               /* for tests; recovery accepts no less */
	SEGMENT_BYTES_FIRST = 256 << 10,       /* each segment is twice its predecessor, up to the configured size */
	RECORD_PREFIX_BYTES = 4,               /* u32 length */
};
_Static_assert(BATCH_BYTES_MAX < 1 << 24, "a batch's length has 24 bits");
_Static_assert(SEGMENT_HEADER_BYTES % BATCH_ALIGN == 0 && BATCH_HEADER_BYTES % BATCH_ALIGN == 0, "batches are aligned");

struct segment_header {
	uint64_t number;   /* 1, 2, 3 …, also the file's name */
	uint64_t nonce;    /* random: no batch of another segment is ever valid here */
	uint64_t log;      /* random: segments of one log belong together */
	uint64_t capacity; /* bytes, this header included */
};
enum batch_flag {
	BATCH_CONTINUES = 1, /* the payload begins inside a record */
	BATCH_CLOSED = 2,    /* no payload: the log was closed here, so what precedes is whole */
};
struct batch_header {
	uint64_t first;    /* offset of the first record that ends in this batch or later */
	uint32_t length;   /* of the payload */
	uint32_t count;    /* records that end in this batch */
	uint32_t previous; /* `crc` of the batch before, also across segments; 0 before the first */
	uint32_t payload_crc;
	uint32_t crc;      /* of all above, seeded with the nonce and the position */
	uint8_t flags;
};
void segment_header_encode(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_BYTES]);
/* `path` is for the text only. */
enum wl_err segment_header_decode(const uint8_t *data, size_t len, const char *path, struct segment_header *out,
	struct error *error);
/* Fills header->crc too. */
void batch_header_encode(struct batch_header *header, uint64_t nonce, uint64_t at, uint8_t out[BATCH_HEADER_BYTES]);
/* True only for a header that was written at this very position of this very segment. */
bool batch_header_decode(const uint8_t *data, uint64_t nonce, uint64_t at, struct batch_header *out);
/* The batch at `at` of a segment's first `len` bytes, if it is there and its payload is what was written. */
bool batch_is_whole(const uint8_t *data, uint64_t len, uint64_t nonce, uint64_t at, struct batch_header *out);
/* Is there a valid batch header anywhere behind `at`? Then what is at `at` was whole once. */
bool batch_is_behind(const uint8_t *data, uint64_t len, uint64_t nonce, uint64_t at);
static inline uint64_t batch_size(uint32_t length)
{
	return BATCH_HEADER_BYTES + align_up(length, BATCH_ALIGN);
}

/* ---- list.c: the segments in a folder ---- */
struct segment_list {
	uint64_t *numbers; /* ascending; owned */
	size_t count, cap;
	bool has_temp;     /* one was in the making */
	bool no_memory;
};
/* An absent folder has none. Free it in any case. */
enum wl_err segment_list_read(struct storage *storage, const char *dir, struct segment_list *out, struct error *error);
void segment_list_free(struct segment_list *list);

/* ---- the log ---- */
enum { SEGMENT_PATH_MAX = 4096 };
struct segment {
	struct storage_file *file; /* NULL: none */
	struct segment_header header;
	uint64_t end; /* where the next batch goes */
};
/* What is known of every segment on disk, oldest first. */
struct segment_info {
	uint64_t number, capacity;
	uint64_t first; /* of its first batch; COMMITLOG_NONE: no batch yet */
	bool continues; /* its first batch begins inside a record */
};
/* Records appended together: a batch's header room, then {u32 length, record} again and again. */
struct batch {
	struct buf bytes;
	uint64_t count;
	/* Writer only, while in flight: how far the payload is written, and where the record after the one that is
	 * being written begins. Positions in `bytes`. */
	size_t at, record_end;
};

/*
 * The gate decides who owns which of the two batches; it is one word so that
 * each hand-over is one compare-and-swap. GATE_OPEN_ONE names the open batch
 * (the other one is in flight, or empty).
 */
enum gate {
	GATE_OPEN_ONE = 1, /* batches[1] is the open one */
	GATE_OWNED = 2,    /* the executor is appending to the open batch */
	GATE_READY = 4,    /* the open batch has submitted records; the writer may take it unless OWNED */
	GATE_FLIGHT = 8,   /* the other batch belongs to the writer */
};

struct commitlog {
	struct storage *storage; /* NULL: in memory */
	struct commitlog_writers *writers;
	char *dir, *archive; /* archive NULL: none */
	uint64_t segment_bytes, id;
	void (*on_durable)(void *context, uint64_t offset, enum commitlog_state state);
	void *context;

	/* Executor only. */
	bool owns, recording;
	size_t record_at;  /* where the open record's length goes */
	uint64_t next;     /* offset of the next record */
	_Atomic uint64_t appended_bytes;

	_Atomic uint32_t gate;
	struct batch batches[2];

	/* Writer only, while GATE_FLIGHT is set. */
	struct segment active;
	uint32_t chain;         /* crc of the last batch */
	uint64_t written_next;  /* offset of the first record that is not whole on disk */
	bool unmarked;          /* batches were written since the last closing mark */
	uint64_t mark_at;       /* where the log ended with a closing mark when it was opened; 0: nothing to renew */
	uint8_t mark[BATCH_HEADER_BYTES];
	_Atomic uint64_t written_bytes;
	struct commitlog *queued_next; /* in the writers' queue */

	/* Guarded by the monitor; the atomics are also read without it. */
	struct monitor monitor;
	_Atomic uint64_t durable;   /* offset, or COMMITLOG_NONE */
	_Atomic uint32_t state;     /* enum commitlog_state */
	_Atomic uint64_t size_bytes;
	struct segment spare;       /* zero-filled and ready, or none */
	bool preparing, parked, closing, trimming;
	uint32_t users;             /* writer threads inside */
	uint64_t next_number;
	uint64_t last_capacity;
	struct segment_info *segments;
	size_t segment_count, segment_cap;

	/* In the preparer's queue; guarded by that queue's monitor. */
	struct commitlog *prepare_next;
	uint64_t prepare_due;
};

/* commitlog.c */
bool segment_path(const struct commitlog *log, uint64_t number, char out[SEGMENT_PATH_MAX]);
bool segment_path_temp(const struct commitlog *log, char out[SEGMENT_PATH_MAX]);
bool segments_add(struct commitlog *log, struct segment_info info) CHECKED; /* monitor held, or alone */

/* writer.c */
void writers_push(struct commitlog_writers *writers, struct commitlog *log);
void writers_prepare(struct commitlog_writers *writers, struct commitlog *log, uint64_t due);
bool writers_prepare_cancel(struct commitlog_writers *writers, struct commitlog *log);
bool writers_are_stepped(const struct commitlog_writers *writers);
/* Creates, fills and names the segment after the newest. False with errno. */
bool segment_create(struct commitlog *log, uint64_t number, uint64_t capacity, struct segment *out);
/* Writes one batch at the end of the active segment and syncs it. `bytes`: room for the header, the payload, room for
 * the padding. Fills the rest of `header`. False with errno: the log has failed, nothing about the batch is known. */
bool batch_write(struct commitlog *log, uint8_t *bytes, struct batch_header *header);

/* recovery.c */
enum wl_err recovery_run(struct commitlog *log, uint64_t from, commitlog_replay_fn replay, void *replay_context,
	struct error *error);
#endif
