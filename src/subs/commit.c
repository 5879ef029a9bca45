/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A commit's messages. Each block of a query that the commit changed
 * (evaluate.c) is encoded once into `bodies`; each class that holds a changed
 * query gets one message made of those bodies.
 */
#include "subs/subs_internal.h"

enum { ROWS_PERSISTENT, ROWS_EVENT, KEEP_BYTES = 1 << 20 };

/* ---- encoding: once for each block that changed, when the first class asks for it ---- */

static void put_list(struct subs *subs, const struct row_changes *changes)
{
	if (changes->count == 0) {
		protocol_rows_empty(&subs->bodies);
		return;
	}
	struct protocol_row_list list;
	protocol_rows_begin(&list, &subs->bodies, &subs->making.offsets);
	for (const struct row_change *c = changes->first; c != NULL; c = c->next)
		for (uint32_t i = 0; i < c->copies; i++)
			protocol_rows_add(&list, c->row.data, c->row.len);
	protocol_rows_end(&list);
}

static void put_delta(struct subs *subs, const struct store_delta_rows *rows)
{
	if (rows->count == 0) {
		protocol_rows_empty(&subs->bodies);
		return;
	}
	if (rows->ends == NULL && rows->fixed_size > 0 && rows->fixed_size <= UINT16_MAX) {
		protocol_rows_fixed(&subs->bodies, rows->data, rows->count, rows->fixed_size);
		return;
	}
	struct protocol_row_list list;
	protocol_rows_begin(&list, &subs->bodies, &subs->making.offsets);
	for (uint32_t i = 0; i < rows->count; i++) {
		struct bytes row = store_delta_row(rows, i);
		protocol_rows_add(&list, row.data, row.len);
	}
	protocol_rows_end(&list);
}

bool subs_block_changed(const struct subs *subs, const struct live_block *block)
{
	return block->epoch == subs->epoch &&
		(block->whole != NULL || block->inserts.count > 0 || block->deletes.count > 0);
}

static void encode(struct subs *subs, struct live_block *block)
{
	bool is_event = store_table_def(query_table(block->query->query))->is_event;
	block->body_at = subs->bodies.len;
	buf_put_u8(&subs->bodies, is_event ? ROWS_EVENT : ROWS_PERSISTENT);
	if (block->whole != NULL) {
		put_delta(subs, &block->whole->inserts);
		if (!is_event)
			put_delta(subs, &block->whole->deletes);
	} else {
		put_list(subs, &block->inserts);
		if (!is_event)
			put_list(subs, &block->deletes);
	}
	block->body_len = subs->bodies.len - block->body_at;
}

/* ---- classes that hold a changed query ---- */

static bool mark_dirty(struct subs *subs, struct subs_class *class)
{
	if (class->epoch == subs->epoch)
		return true;
	if (subs->dirty_count == subs->dirty_cap) {
		uint32_t cap = subs->dirty_cap == 0 ? 64 : subs->dirty_cap * 2;
		void *grown = mem_realloc(subs->dirty, cap * sizeof(struct subs_class *));
		if (grown == NULL)
			return false;
		subs->dirty = grown;
		subs->dirty_cap = cap;
	}
	class->epoch = subs->epoch;
	subs->dirty[subs->dirty_count++] = class;
	return true;
}

/* The update of a class: count of sets, then the sets with their tables; counts are patched as they become known. */
static void put_update(struct subs *subs, struct buf *out, const struct subs_class *class)
{
	size_t sets_at = out->len, tables_at = 0, rows_at = 0;
	uint32_t sets = 0, tables = 0, rows = 0;
	uint64_t set_id = 0;
	const struct store_table *table = NULL;
	buf_put_u32(out, 0);
	for (uint32_t i = 0; i < class->entry_count && !out->failed; i++) {
		const struct class_entry *entry = &class->entries[i];
		if (entry->query->epoch != subs->epoch)
			continue;
		if (sets == 0 || entry->set_id != set_id) {
			set_id = entry->set_id;
			sets++;
			tables = 0;
			table = NULL;
			buf_put_u32(out, (uint32_t)set_id);
			tables_at = out->len;
			buf_put_u32(out, 0);
		}
		const struct store_table *of = query_table(entry->query->query);
		if (of != table) {
			table = of;
			rows = 0;
			buf_put_bsatn_str(out, store_table_def(of)->name);
			rows_at = out->len;
			buf_put_u32(out, 0);
			tables++;
		}
		for (uint32_t b = 0; b < entry->query->block_count; b++) {
			struct live_block *block = &entry->query->blocks[b];
			if (!subs_block_changed(subs, block))
				continue;
			if (block->body_len == 0)
				encode(subs, block);
			rows++;
			buf_put(out, subs->bodies.data + block->body_at, block->body_len);
			out->failed = out->failed || subs->bodies.failed;
		}
		if (!out->failed) {
			store_u32(out->data + rows_at, rows);
			store_u32(out->data + tables_at, tables);
			store_u32(out->data + sets_at, sets);
		}
	}
}

static void lose_members(struct subs *subs, struct subs_class *class)
{
	for (struct subs_client *member = class->members; member != NULL; member = member->next)
		subs_client_lost(subs, member);
}

/* `update`: its body when it was already made for the caller. */
static void put_message(struct subs *subs, struct buf *out, const struct subs_class *class, struct bytes update,
	const struct subs_event *event)
{
	if (protocol_is_v1(class->protocol)) {
		subs_v1_put_message(subs, out, class, update, event);
		return;
	}
	buf_put_u8(out, 4); /* TransactionUpdate; its count of sets leads the update */
	if (update.data != NULL)
		buf_put(out, update.data, update.len);
	else
		put_update(subs, out, class);
}

/* Its message waits for the reply that its members wait for. */
static void hold_class(struct subs *subs, struct subs_class *class, struct bytes update, const struct subs_event *event)
{
	struct buf *out = &class->held;
	size_t at = out->len;
	buf_put_u32(out, 0);
	put_message(subs, out, class, update, event);
	if (out->failed)
		lose_members(subs, class);
	else
		store_u32(out->data + at, (uint32_t)(out->len - at - 4));
}

/* One message for the class. */
static void send_class(struct subs *subs, struct subs_class *class, const struct subs_client *caller,
	struct bytes update, const struct subs_event *event)
{
	bool caller_inside = caller != NULL && caller->class == class;
	if (caller_inside && class->member_count == 1)
		return;
	if (UNLIKELY(class->read != NULL)) {
		hold_class(subs, class, update, event);
		return;
	}
	enum delivery_kind kind = class->has_ring ? DELIVERY_CLASS : DELIVERY_MESSAGE;
	uint64_t to = class->has_ring ? class->id : class->members->options.conn;
	struct buf *out = outbox_begin(subs->outbox, class->loop, kind, class->flags, to,
		caller_inside ? caller->options.conn : 0, 0);
	if (out == NULL) {
		lose_members(subs, class);
		return;
	}
	put_message(subs, out, class, update, event);
	if (!outbox_end(subs->outbox, class->loop))
		lose_members(subs, class);
}

static void mark_classes(struct subs *subs)
{
	for (uint32_t i = 0; i < subs->changed_count; i++) {
		const struct live_query *live = subs->changed[i];
		for (uint32_t p = 0; p < live->place_count; p++)
			if (!mark_dirty(subs, live->places[p].class))
				lose_members(subs, live->places[p].class);
	}
}

static struct bytes caller_update(struct subs *subs, struct subs_client *caller)
{
	static const uint8_t nothing[4];
	struct bytes none = { nothing, sizeof(nothing) };
	if (caller == NULL || caller->class == NULL || caller->class->epoch != subs->epoch)
		return none;
	if (protocol_is_v1(caller->class->protocol))
		subs_v1_put_update(subs, &subs->caller, caller->class);
	else
		put_update(subs, &subs->caller, caller->class);
	if (subs->caller.failed) {
		subs_client_lost(subs, caller);
		return none;
	}
	return buf_bytes(&subs->caller);
}

struct bytes subs_commit(struct subs *subs, const struct store_delta *delta, struct subs_client *caller,
	const struct subs_event *event)
{
	subs->epoch++;
	subs->dirty_count = subs->changed_count = 0;
	/* What one huge commit needed is given back at the next. */
	if (subs->bodies.cap > KEEP_BYTES)
		buf_deinit(&subs->bodies);
	if (subs->caller.cap > KEEP_BYTES)
		buf_deinit(&subs->caller);
	buf_clear(&subs->bodies);
	buf_clear(&subs->caller);
	if (subs->listened != 0 && subs_is_listened(subs, delta)) {
		subs_evaluate(subs, delta);
		mark_classes(subs);
	}
	struct bytes update = caller_update(subs, caller);
	for (uint32_t i = 0; i < subs->dirty_count; i++) {
		struct subs_class *class = subs->dirty[i];
		bool callers = caller != NULL && caller->class == class;
		send_class(subs, class, caller, callers ? update : (struct bytes){ NULL, 0 }, event);
	}
	return update;
}
