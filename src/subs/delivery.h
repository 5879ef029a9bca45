/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DELIVERY_H
#define DELIVERY_H
/*
 * delivery: what an executor hands to a network loop. One block per drained
 * batch and loop: entries back to back, in the order in which they are to take
 * effect. The executor fills a block, the loop consumes it; nobody shares it.
 *
 * A class is the set of clients of one loop that hold the same query sets in
 * the same protocol: its messages are encoded once, and each member follows
 * the class's ring (net.h).
 *
 * Confirmed clients: entries with DELIVERY_CONFIRMED wait on the loop until
 * the block's offset is durable; the others take effect at once.
 */
#include "base/buf.h"
#include "base/thread.h"

enum delivery_kind {
	DELIVERY_MESSAGE,   /* to: connection; body: one message, uncompressed, unframed */
	DELIVERY_SHARED,    /* to: connection; one message: body, and then what `other` (struct delivery_shared) has */
	DELIVERY_CLASS,     /* to: class; body: one message; except: a connection that does not get it, or 0 */
	DELIVERY_CLASS_NEW, /* to: class; format: enum protocol_format flags of its ring */
	DELIVERY_CLASS_END, /* to: class */
	DELIVERY_FOLLOW,    /* to: connection; class: from now on (0 = none) */
	DELIVERY_CLOSE,     /* to: connection; code; body: reason */
	DELIVERY_DROP,      /* to: connection: TCP is closed without a Close frame */
	DELIVERY_RESUME,    /* to: connection: it is connected, read on */
};
enum { DELIVERY_FORMAT_TEXT = 0x80 }; /* beside the compression: of DELIVERY_CLASS_NEW */
enum {
	DELIVERY_REPLY = 1,     /* answers one request of the connection */
	DELIVERY_CONFIRMED = 2, /* waits for the block's offset to be durable */
};
struct delivery_entry {
	uint32_t size; /* of the whole entry, a multiple of 8 */
	uint32_t body_len;
	uint8_t kind, flags;
	uint16_t code; /* close code, or format */
	uint32_t unused;
	uint64_t to;
	uint64_t other; /* except, or class, or a pointer */
	uint8_t body[];
};
_Static_assert(sizeof(struct delivery_entry) == 32, "entries stay aligned");

/* Bytes that several messages end with. Immutable once they are shared; the last share frees them. [any] */
struct delivery_shared {
	_Atomic uint32_t refs;
	struct buf data;
};
struct delivery_shared *delivery_shared_create(void); /* empty; NULL: no memory */
void delivery_shared_release(void *shared); /* NULL: nothing */

struct database;
enum {
	DELIVERY_BLOCK_BYTES = 64 << 10, /* a fuller block is handed over before the batch ends */
	DELIVERY_BODY_BYTES_MAX = 1 << 30,
};
struct delivery_block {
	struct mpsc_node node;
	struct database *database; /* shared: the consumer gives it back with delivery_block_done */
	uint32_t loop;
	bool any_confirmed, any_shared; /* delivery_block_done gives the shares of the latter back */
	uint64_t offset; /* highest transaction offset any entry depends on; COMMITLOG_NONE when none */
	struct delivery_block *next; /* the consumer's list of waiting blocks */
	struct buf data; /* the entries */
};
static inline const struct delivery_entry *delivery_first(const struct delivery_block *block)
{
	return (const struct delivery_entry *)(const void *)block->data.data;
}
static inline bool delivery_at_end(const struct delivery_block *block, const struct delivery_entry *entry)
{
	return (const uint8_t *)entry >= block->data.data + block->data.len;
}
static inline const struct delivery_entry *delivery_next(const struct delivery_entry *entry)
{
	return (const struct delivery_entry *)(const void *)((const uint8_t *)entry + entry->size);
}
#endif
