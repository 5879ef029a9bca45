/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies: answers to subscribe, unsubscribe and one-off queries. What is
 * asked is settled on the executor; the message with its rows is made there,
 * too, or beside it on a snapshot (reads.c). v1's are made in v1.c.
 */
#include "subs/subs_internal.h"

enum { MAKING_BYTES_MAX = DELIVERY_BODY_BYTES_MAX };

void subs_making_init(struct making *m)
{
	*m = (struct making){ .offsets = BUF_INIT(MAKING_BYTES_MAX), .json = BUF_INIT(MAKING_BYTES_MAX),
		.whole = BUF_INIT(MAKING_BYTES_MAX), .body = BUF_INIT(MAKING_BYTES_MAX) };
}

void subs_making_deinit(struct making *m)
{
	buf_deinit(&m->offsets);
	buf_deinit(&m->json);
	buf_deinit(&m->whole);
	buf_deinit(&m->body);
}

/* ---- rows ---- */

struct row_sink {
	struct protocol_row_list list;
	size_t end_max; /* of the message */
};

static bool add_row(void *context, const uint8_t *row, size_t len)
{
	struct row_sink *sink = context;
	protocol_rows_add(&sink->list, row, len);
	return !sink->list.out->failed && sink->list.out->len <= sink->end_max;
}

/* A whole table of rows of one size is copied as it lies. */
static bool add_whole_table(struct making *m, struct row_sink *sink, const struct query *query, uint32_t block)
{
	struct store_table *table = query_table(query);
	if (!query_block_is_whole_table(query, block) || query_hidden_bytes(query) > 0 || !store_table_in_slots(table) ||
		m->limits.snapshot == NULL)
		return false;
	struct store_cursor cursor;
	struct store_slots slots;
	table = store_snapshot_table(m->limits.snapshot, table);
	store_scan(table, &cursor);
	while (!sink->list.out->failed && sink->list.out->len <= sink->end_max && store_cursor_next_slots(&cursor, &slots))
		for (uint64_t bits = slots.bits; bits != 0;) {
			uint32_t from = (uint32_t)__builtin_ctzll(bits);
			uint64_t rest = ~(bits >> from);
			uint32_t count = rest == 0 ? 64 : (uint32_t)__builtin_ctzll(rest);
			count = count < 64 - from ? count : 64 - from;
			const uint8_t *rows = slots.data + (size_t)from * slots.stride;
			if (slots.stride == slots.size)
				protocol_rows_add_many(&sink->list, rows, count, slots.size);
			else
				for (uint32_t i = 0; i < count; i++)
					protocol_rows_add(&sink->list, rows + (size_t)i * slots.stride, slots.size);
			bits = from + count >= 64 ? 0 : bits >> (from + count) << (from + count);
		}
	return true;
}

static enum wl_err too_many(struct making *m)
{
	buf_printf(m->error, "the rows exceed %d bytes; add a condition", SUBS_INITIAL_BYTES_MAX);
	return WL_ERR_LIMIT;
}

/* SingleTableRows of all rows that a block holds now. `begin`: where the message began. */
static enum wl_err put_rows(struct making *m, struct buf *out, size_t begin, const struct query *query, uint32_t block)
{
	struct row_sink sink = { .end_max = begin + SUBS_INITIAL_BYTES_MAX };
	enum wl_err err = WL_OK;
	buf_put_bsatn_str(out, store_table_def(query_table(query))->name);
	protocol_rows_begin(&sink.list, out, &m->offsets);
	if (!add_whole_table(m, &sink, query, block))
		err = query_select_block(query, block, NULL, &m->limits, add_row, &sink, m->error);
	if (err == WL_OK && out->len > sink.end_max)
		err = too_many(m);
	protocol_rows_end(&sink.list);
	if (err == WL_OK && out->failed)
		err = WL_ERR_MEMORY;
	return err;
}

/* A block that reads an empty table is left out altogether. */
static uint32_t count_nonempty(const struct making *m, const struct query_set *set)
{
	uint32_t nonempty = 0;
	for (uint32_t i = 0; i < set->count; i++)
		for (uint32_t b = 0; b < set->queries[i]->block_count; b++)
			nonempty += !query_block_reads_empty(set->queries[i]->query, b, m->limits.snapshot);
	return nonempty;
}

static enum wl_err put_set_rows(struct making *m, struct buf *out, const struct query_set *set)
{
	size_t begin = out->len;
	for (uint32_t i = 0; i < set->count; i++)
		for (uint32_t b = 0; b < set->queries[i]->block_count; b++) {
			if (query_block_reads_empty(set->queries[i]->query, b, m->limits.snapshot))
				continue;
			enum wl_err err = put_rows(m, out, begin, set->queries[i]->query, b);
			if (err != WL_OK)
				return err;
		}
	return WL_OK;
}

/* One-off queries return one entry, whatever is empty, and whatever rules apply. */
static enum wl_err put_one_off(struct making *m, struct buf *out, const struct query *query)
{
	struct row_sink sink = { .end_max = out->len + SUBS_INITIAL_BYTES_MAX };
	enum wl_err err = WL_OK;
	buf_put_bsatn_str(out, store_table_def(query_table(query))->name);
	protocol_rows_begin(&sink.list, out, &m->offsets);
	for (uint32_t b = 0; err == WL_OK && b < query_block_count(query); b++)
		err = query_select_block(query, b, NULL, &m->limits, add_row, &sink, m->error);
	if (err == WL_OK && out->len > sink.end_max)
		err = too_many(m);
	protocol_rows_end(&sink.list);
	return err == WL_OK && out->failed ? WL_ERR_MEMORY : err;
}

/* Each set fails alone, but for one: what belongs beside the executor does so whole. */
static enum wl_err put_batch(struct making *m, struct buf *out, const struct reply *reply)
{
	protocol_batch_applied(out, reply->request_id, reply->set_count);
	for (uint32_t i = 0; i < reply->set_count; i++) {
		struct reply_set *set = &reply->sets[i];
		size_t begin = out->len;
		enum wl_err err = WL_OK;
		if (set->failed.data == NULL) {
			buf_clear(m->error);
			protocol_batch_rows(out, (uint32_t)set->set.id, count_nonempty(m, &set->set));
			err = put_set_rows(m, out, &set->set);
		}
		if (out->failed)
			return WL_ERR_MEMORY;
		if (err != WL_OK && (err == WL_ERR_UNAVAILABLE || m->limits.snapshot != NULL))
			return err;
		if (err == WL_OK && set->failed.data == NULL)
			continue;
		out->len = begin;
		if (err != WL_OK && !subs_reply_set_fails(set, err, m->error))
			return WL_ERR_MEMORY;
		protocol_batch_error(out, (uint32_t)set->set.id, set->failed);
	}
	return out->failed ? WL_ERR_MEMORY : WL_OK;
}

bool subs_reply_set_fails(struct reply_set *set, enum wl_err err, struct buf *text)
{
	subs_text_of_failure(text, err);
	char *copy = mem_strdup(buf_str(text));
	set->failed = (struct str){ copy, copy == NULL ? 0 : text->len };
	return copy != NULL;
}

void subs_text_of_failure(struct buf *text, enum wl_err err)
{
	if (text->len > 0 && !text->failed)
		return;
	buf_clear(text);
	buf_printf(text, "Internal error: %s", wl_err_name(err));
}

void subs_reply_deinit(struct subs *subs, struct reply *reply)
{
	for (uint32_t i = 0; i < reply->set_count; i++) {
		subs_set_free(subs, &reply->sets[i].set);
		mem_free((char *)(uintptr_t)reply->sets[i].failed.data);
	}
	if (reply->sets != &reply->one)
		mem_free(reply->sets);
	mem_free(reply->told);
	query_destroy(reply->query);
	*reply = (struct reply){ 0 };
}

bool subs_reply_is_long(const struct reply *reply)
{
	bool tells = reply->kind != REPLY_UNSUBSCRIBED || reply->sends_rows;
	for (uint32_t i = 0; tells && i < reply->set_count; i++)
		for (uint32_t q = 0; q < reply->sets[i].set.count; q++)
			if (query_is_long(reply->sets[i].set.queries[q]->query))
				return true;
	return reply->query != NULL && query_is_long(reply->query);
}

void subs_reply_head(const struct reply *reply, uint32_t nonempty, struct buf *out)
{
	if (reply->kind == REPLY_SUBSCRIBED)
		protocol_subscribe_applied(out, reply->request_id, (uint32_t)reply->sets[0].set.id, nonempty);
}

uint32_t subs_reply_nonempty(const struct reply *reply, const struct making *m)
{
	return reply->kind == REPLY_SUBSCRIBED ? count_nonempty(m, &reply->sets[0].set) : 0;
}

enum wl_err subs_reply_body(const struct reply *reply, struct making *m, struct buf *out)
{
	const struct query_set *set = reply->set_count > 0 ? &reply->sets[0].set : NULL;
	switch ((enum reply_kind)reply->kind) {
	case REPLY_SUBSCRIBED:
		return put_set_rows(m, out, set);
	case REPLY_BATCH:
		return put_batch(m, out, reply);
	case REPLY_UNSUBSCRIBED:
		protocol_unsubscribe_applied(out, reply->request_id, (uint32_t)set->id, reply->sends_rows,
			reply->sends_rows ? count_nonempty(m, set) : 0);
		return reply->sends_rows ? put_set_rows(m, out, set) : WL_OK;
	case REPLY_ONE_OFF:
		protocol_one_off_rows(out, reply->request_id, 1);
		return put_one_off(m, out, reply->query);
	case REPLY_V1_SUBSCRIBED:
	case REPLY_V1_UNSUBSCRIBED:
	case REPLY_V1_ONE_OFF:
		break;
	}
	return subs_v1_reply_body(reply, m, out);
}
