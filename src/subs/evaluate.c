/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rows a commit puts into each live query's result or takes out of it.
 *
 * A block over one table is asked row by row; one that says `column =
 * constant` is not looked at unless a changed row has that value, and then
 * sees those rows alone. A block that joins is asked once, for the net of the
 * whole commit (query_block_delta).
 */
#include "base/clock.h"
#include "base/log.h"
#include "subs/subs_internal.h"

enum { ROWS_BETWEEN = 1024, BLOCKS_BETWEEN = 16 };

static bool late(struct subs *subs)
{
	if (!subs->late && subs->deadline != 0 && clock_mono_nanos() >= subs->deadline)
		subs->late = true;
	return subs->late;
}

/* ---- lists ---- */

static bool push(void *list_at, uint32_t *count, uint32_t *cap, void *item)
{
	void **list;
	memcpy(&list, list_at, sizeof(list));
	if (*count == *cap) {
		uint32_t grown_cap = *cap == 0 ? 64 : *cap * 2;
		void *grown = mem_realloc(list, grown_cap * sizeof(void *));
		if (grown == NULL)
			return false;
		memcpy(list_at, &grown, sizeof(grown));
		list = grown;
		*cap = grown_cap;
	}
	list[(*count)++] = item;
	return true;
}

static void lose_holders(struct subs *subs, const struct live_query *query)
{
	for (uint32_t p = 0; p < query->place_count; p++)
		for (struct subs_client *m = query->places[p].class->members; m != NULL; m = m->next)
			subs_client_lost(subs, m);
}

static bool add_change(struct subs *subs, struct row_changes *changes, struct bytes row, uint32_t copies)
{
	struct row_change *made = arena_alloc(&subs->scratch, sizeof(*made));
	if (made == NULL)
		return false;
	*made = (struct row_change){ row, copies, NULL };
	*changes->last = made;
	changes->last = &made->next;
	changes->count += copies;
	return true;
}

/* Begins a block's part in this commit. False: it has begun already. */
static bool begin(struct subs *subs, struct live_block *block)
{
	if (block->epoch == subs->epoch)
		return false;
	block->epoch = subs->epoch;
	block->is_evaluated = false;
	block->whole = NULL;
	block->inserts = block->deletes = (struct row_changes){ 0 };
	block->inserts.last = &block->inserts.first;
	block->deletes.last = &block->deletes.first;
	block->body_len = block->v1_len[0] = block->v1_len[1] = 0;
	return true;
}

/* Ends it: is the query changed? A query that could not be evaluated costs its holders the connection. */
static void finish(struct subs *subs, struct live_block *block, bool ok)
{
	struct live_query *query = block->query;
	block->is_evaluated = true;
	subs->stats.evaluated++;
	bool changed = block->whole != NULL || block->inserts.count > 0 || block->deletes.count > 0;
	if (!ok) {
		lose_holders(subs, query);
	} else if (changed) {
		subs->stats.matched++;
		if (query->epoch != subs->epoch) {
			if (!push(&subs->changed, &subs->changed_count, &subs->changed_cap, query))
				lose_holders(subs, query);
			else
				query->epoch = subs->epoch;
		}
	}
}

/* ---- blocks over one table ---- */

/* A row of the table, without what is hidden of it. */
static bool add_row(struct subs *subs, const struct live_block *block, struct row_changes *changes, struct bytes row)
{
	return add_change(subs, changes, (struct bytes){ row.data + block->hidden, row.len - block->hidden }, 1);
}

static bool take_matching(struct subs *subs, struct live_block *block, const struct store_delta_rows *rows,
	struct row_changes *changes)
{
	for (uint32_t i = 0; i < rows->count; i++) {
		if (UNLIKELY(i % ROWS_BETWEEN == ROWS_BETWEEN - 1) && late(subs))
			return false;
		struct bytes row = store_delta_row(rows, i);
		if (query_block_matches(block->query->query, block->index, row.data) && !add_row(subs, block, changes, row))
			return false;
	}
	return true;
}

static void evaluate_single(struct subs *subs, struct live_block *block, const struct store_delta_table *delta)
{
	bool is_event = store_table_def(delta->table)->is_event;
	if (query_block_is_whole_table(block->query->query, block->index)) {
		if (delta->inserts.count > 0 || (delta->deletes.count > 0 && !is_event))
			block->whole = delta;
		finish(subs, block, true);
		return;
	}
	bool ok = take_matching(subs, block, &delta->inserts, &block->inserts) &&
		(is_event || take_matching(subs, block, &delta->deletes, &block->deletes));
	finish(subs, block, ok);
}

/* ---- blocks that join ---- */

struct net_sink {
	struct subs *subs;
	struct live_block *block;
	bool ok;
};

static bool take_net(void *context, struct bytes row, int64_t copies)
{
	struct net_sink *sink = context;
	struct row_changes *changes = copies > 0 ? &sink->block->inserts : &sink->block->deletes;
	uint64_t count = copies > 0 ? (uint64_t)copies : (uint64_t)-copies;
	sink->ok = changes->count + count <= UINT32_MAX && add_change(sink->subs, changes, row, (uint32_t)count);
	return sink->ok;
}

/* False: no memory. */
static bool note_failure(struct subs *subs, struct live_query *query)
{
	for (uint32_t i = 0; i < subs->failed_count; i++)
		if (subs->failed[i] == query)
			return true;
	return push(&subs->failed, &subs->failed_count, &subs->failed_cap, query);
}

static void evaluate_join(struct subs *subs, struct live_block *block, const struct store_delta *delta)
{
	struct net_sink sink = { subs, block, true };
	struct query_limits limits = { .deadline = subs->deadline };
	buf_clear(&subs->text);
	enum wl_err err = query_block_delta(block->query->query, block->index, delta, &limits, &subs->scratch, take_net,
		&sink, &subs->text);
	if (err != WL_OK)
		log_info("a live query cannot be kept up: %s", buf_text(&subs->text));
	if (err == WL_OK || !note_failure(subs, block->query))
		finish(subs, block, err == WL_OK && sink.ok);
}

static void evaluate(struct subs *subs, struct live_block *block, const struct store_delta *delta,
	const struct store_delta_table *table)
{
	if (!begin(subs, block))
		return;
	if (block->is_single)
		evaluate_single(subs, block, table);
	else
		evaluate_join(subs, block, delta);
}

/* ---- blocks that are found by the values of rows ---- */

static void found(struct subs *subs, struct live_block *block, struct bytes row, bool is_insert)
{
	if (begin(subs, block) && !push(&subs->found, &subs->found_count, &subs->found_cap, block)) {
		finish(subs, block, false);
		return;
	}
	if (block->is_evaluated || !block->is_single)
		return;
	if ((block->is_key || query_block_matches(block->query->query, block->index, row.data)) &&
		!add_row(subs, block, is_insert ? &block->inserts : &block->deletes, row))
		finish(subs, block, false);
}

static void find_by_rows(struct subs *subs, const struct listeners *listeners, const struct value_group *group,
	const struct store_delta_rows *rows, bool is_insert)
{
	const struct sats_row_layout *layout = store_table_layout(listeners->table);
	for (uint32_t i = 0; i < rows->count; i++) {
		u128 room;
		uint64_t value;
		if (UNLIKELY(i % ROWS_BETWEEN == ROWS_BETWEEN - 1) && late(subs))
			return;
		struct bytes row = store_delta_row(rows, i);
		struct bytes key = subs_value_key(group->type, sats_column(layout, row.data, group->column),
			layout->columns[group->column], &room);
		if (!map_get(&group->buckets, key.data, key.len, &value))
			continue;
		const struct bucket *bucket = (const struct bucket *)(uintptr_t)value;
		for (uint32_t b = 0; b < bucket->count; b++)
			found(subs, bucket->blocks[b], row, is_insert);
	}
}

static void evaluate_found(struct subs *subs, const struct store_delta *delta)
{
	for (uint32_t i = 0; i < subs->found_count; i++) {
		struct live_block *block = subs->found[i];
		if (block->is_evaluated)
			continue;
		if (!block->is_single)
			evaluate_join(subs, block, delta);
		else
			finish(subs, block, true);
	}
}

static void evaluate_table(struct subs *subs, const struct store_delta *delta, const struct store_delta_table *table)
{
	struct listeners *listeners = subs_listeners(subs, table->table);
	if (listeners == NULL)
		return;
	for (uint32_t i = 0; i < listeners->count; i++) {
		if (i % BLOCKS_BETWEEN == BLOCKS_BETWEEN - 1 && late(subs))
			break;
		evaluate(subs, listeners->blocks[i], delta, table);
	}
	bool is_event = store_table_def(table->table)->is_event;
	for (const struct value_group *g = listeners->groups; g != NULL; g = g->next) {
		find_by_rows(subs, listeners, g, &table->inserts, true);
		if (!is_event)
			find_by_rows(subs, listeners, g, &table->deletes, false);
	}
}

/* Nobody may miss an update and stay. */
static void lose_all(struct subs *subs, const struct store_delta *delta)
{
	for (uint32_t t = 0; t < delta->table_count; t++) {
		struct listeners *listeners = subs_listeners(subs, delta->tables[t].table);
		if (listeners == NULL)
			continue;
		for (uint32_t i = 0; i < listeners->count; i++)
			lose_holders(subs, listeners->blocks[i]->query);
		for (const struct value_group *g = listeners->groups; g != NULL; g = g->next) {
			uint32_t cursor = 0;
			for (const struct map_entry *e; (e = map_next(&g->buckets, &cursor)) != NULL;) {
				const struct bucket *bucket = (const struct bucket *)(uintptr_t)e->value;
				for (uint32_t b = 0; b < bucket->count; b++)
					lose_holders(subs, bucket->blocks[b]->query);
			}
		}
	}
}

void subs_evaluate(struct subs *subs, const struct store_delta *delta)
{
	subs->late = false;
	subs->changed_count = subs->found_count = subs->failed_count = 0;
	arena_reset(&subs->scratch);
	subs_clock_start(subs);
	for (uint32_t t = 0; t < delta->table_count && !subs->late; t++)
		evaluate_table(subs, delta, &delta->tables[t]);
	if (!subs->late)
		evaluate_found(subs, delta);
	if (subs->late) {
		lose_all(subs, delta);
		subs->changed_count = subs->failed_count = 0;
		return;
	}
	for (uint32_t i = 0; i < subs->failed_count; i++) {
		for (uint32_t c = 0; c < subs->changed_count; c++)
			if (subs->changed[c] == subs->failed[i])
				subs->changed[c--] = subs->changed[--subs->changed_count];
		subs_query_fail(subs, subs->failed[i], STR("Internal error evaluating queries"));
	}
}
