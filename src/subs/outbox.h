/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OUTBOX_H
#define OUTBOX_H
/*
 * outbox: the executor's side of delivery: one open block per loop, filled
 * entry by entry and handed over at the end of a batch. Executor only.
 */
#include "subs/delivery.h"

struct outbox;
/* What the owner (database) does for the outbox. */
struct outbox_ops {
	struct delivery_block *(*take)(void *context, uint32_t loop);         /* an empty block, or NULL */
	void (*hand_over)(void *context, struct delivery_block *block);
	/* There is not even memory to drop this connection: it is remembered … NULL: it is not. */
	void (*lost)(void *context, uint32_t loop, uint64_t conn);
	/* … and dropped (outbox_drop) with all others of the loop before anything else is put there. False: not yet. */
	bool (*drop_lost)(void *context, uint32_t loop);
};
struct outbox *outbox_create(uint32_t loop_count, const struct outbox_ops *ops, void *context);
void outbox_destroy(struct outbox *outbox);

/*
 * Opens an entry on the loop's block; the body is then encoded into the returned buffer, and outbox_end closes it.
 * NULL: no memory; the message is lost and the client must be dropped (outbox_end reports it too): outbox_drop.
 */
struct buf *outbox_begin(struct outbox *outbox, uint32_t loop, enum delivery_kind kind, uint8_t flags, uint64_t to,
	uint64_t other, uint16_t code);
bool outbox_end(struct outbox *outbox, uint32_t loop);
/* The same for DELIVERY_SHARED; the entry gets a share of its own. */
bool outbox_end_shared(struct outbox *outbox, uint32_t loop, struct delivery_shared *shared);
/* An entry without a body. */
bool outbox_put(struct outbox *outbox, uint32_t loop, enum delivery_kind kind, uint8_t flags, uint64_t to,
	uint64_t other, uint16_t code);
/* The connection cannot be told what it must know: DELIVERY_DROP, if not now (false), then before any other entry of
 * its loop. */
bool outbox_drop(struct outbox *outbox, uint32_t loop, uint64_t conn);
/* Hands all open blocks over; what they hold depends on `offset`. */
void outbox_flush(struct outbox *outbox, uint64_t offset);
/* Bytes in the loop's open block: hand over early when it is large. */
size_t outbox_pending(const struct outbox *outbox, uint32_t loop);
void outbox_flush_loop(struct outbox *outbox, uint32_t loop, uint64_t offset);
#endif
