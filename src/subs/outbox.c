/* SPDX-License-Identifier: Apache-2.0 */
/* One open block per loop. An entry that does not fit into memory is taken back whole. */
#include "subs/outbox.h"
#include "base/mem.h"

struct outbox {
	const struct outbox_ops *ops;
	void *context;
	uint32_t loop_count;
	struct open_block {
		struct delivery_block *block;
		size_t entry_at; /* of the entry being written */
		bool has_lost;   /* connections that are to be dropped first */
	} loops[];
};

struct outbox *outbox_create(uint32_t loop_count, const struct outbox_ops *ops, void *context)
{
	struct outbox *outbox = mem_zalloc(sizeof(*outbox) + loop_count * sizeof(outbox->loops[0]));
	if (outbox == NULL)
		return NULL;
	outbox->ops = ops;
	outbox->context = context;
	outbox->loop_count = loop_count;
	return outbox;
}

void outbox_destroy(struct outbox *outbox)
{
	mem_free(outbox);
}

static bool drop_lost(struct outbox *outbox, uint32_t loop)
{
	struct open_block *open = &outbox->loops[loop];
	open->has_lost = false; /* until one of them cannot be dropped again */
	return outbox->ops->drop_lost(outbox->context, loop);
}

struct buf *outbox_begin(struct outbox *outbox, uint32_t loop, enum delivery_kind kind, uint8_t flags, uint64_t to,
	uint64_t other, uint16_t code)
{
	ASSERT(loop < outbox->loop_count);
	struct open_block *open = &outbox->loops[loop];
	if (UNLIKELY(open->has_lost) && !drop_lost(outbox, loop))
		return NULL;
	if (open->block == NULL)
		open->block = outbox->ops->take(outbox->context, loop);
	if (open->block == NULL)
		return NULL;
	struct buf *data = &open->block->data;
	open->entry_at = data->len;
	struct delivery_entry *entry = (void *)buf_extend(data, sizeof(*entry));
	if (entry == NULL) {
		data->failed = false;
		return NULL;
	}
	*entry = (struct delivery_entry){ .kind = (uint8_t)kind, .flags = flags, .to = to, .other = other, .code = code };
	if (flags & DELIVERY_CONFIRMED)
		open->block->any_confirmed = true;
	return data;
}

bool outbox_end(struct outbox *outbox, uint32_t loop)
{
	struct open_block *open = &outbox->loops[loop];
	struct buf *data = &open->block->data;
	size_t body = data->len - open->entry_at - sizeof(struct delivery_entry);
	size_t padded = align_up(data->len, 8);
	uint8_t *pad = data->failed ? NULL : buf_extend(data, padded - data->len);
	if (pad == NULL && (data->failed || padded != data->len)) {
		data->len = open->entry_at;
		data->failed = false;
		return false;
	}
	struct delivery_entry *entry = (void *)(data->data + open->entry_at);
	entry->size = (uint32_t)(data->len - open->entry_at);
	entry->body_len = (uint32_t)body;
	return true;
}

bool outbox_end_shared(struct outbox *outbox, uint32_t loop, struct delivery_shared *shared)
{
	struct open_block *open = &outbox->loops[loop];
	if (!outbox_end(outbox, loop))
		return false;
	struct delivery_entry *entry = (void *)(open->block->data.data + open->entry_at);
	entry->other = (uintptr_t)shared;
	atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
	open->block->any_shared = true;
	return true;
}

struct delivery_shared *delivery_shared_create(void)
{
	struct delivery_shared *shared = mem_zalloc(sizeof(*shared));
	if (shared == NULL)
		return NULL;
	atomic_store_explicit(&shared->refs, 1, memory_order_relaxed);
	buf_init(&shared->data, DELIVERY_BODY_BYTES_MAX);
	return shared;
}

void delivery_shared_release(void *arg)
{
	struct delivery_shared *shared = arg;
	if (shared == NULL || atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) > 1)
		return;
	buf_deinit(&shared->data);
	mem_free(shared);
}

bool outbox_put(struct outbox *outbox, uint32_t loop, enum delivery_kind kind, uint8_t flags, uint64_t to,
	uint64_t other, uint16_t code)
{
	return outbox_begin(outbox, loop, kind, flags, to, other, code) != NULL && outbox_end(outbox, loop);
}

bool outbox_drop(struct outbox *outbox, uint32_t loop, uint64_t conn)
{
	if (outbox_put(outbox, loop, DELIVERY_DROP, 0, conn, 0, 0))
		return true;
	if (outbox->ops->lost != NULL) {
		outbox->ops->lost(outbox->context, loop, conn);
		outbox->loops[loop].has_lost = true;
	}
	return false;
}

void outbox_flush_loop(struct outbox *outbox, uint32_t loop, uint64_t offset)
{
	if (UNLIKELY(outbox->loops[loop].has_lost))
		(void)drop_lost(outbox, loop);
	struct delivery_block *block = outbox->loops[loop].block;
	if (block == NULL || block->data.len == 0)
		return;
	outbox->loops[loop].block = NULL;
	block->offset = offset;
	outbox->ops->hand_over(outbox->context, block);
}

void outbox_flush(struct outbox *outbox, uint64_t offset)
{
	for (uint32_t loop = 0; loop < outbox->loop_count; loop++)
		outbox_flush_loop(outbox, loop, offset);
}

size_t outbox_pending(const struct outbox *outbox, uint32_t loop)
{
	const struct delivery_block *block = outbox->loops[loop].block;
	return block == NULL ? 0 : block->data.len;
}
