/* SPDX-License-Identifier: Apache-2.0 */
/* Running SELECT: what is done with the tuples of a plan. */
#include "query/extended_internal.h"

struct selection {
	const struct query *query;
	const struct block *block;
	query_row_fn fn;
	void *context;
	struct buf row;      /* a projected row */
	uint64_t count;
	bool stopped;        /* by fn, or by the limit */
};

static bool emit_columns(struct selection *s, const struct tuple *tuple)
{
	const struct query *query = s->query;
	buf_clear(&s->row);
	for (uint32_t i = 0; i < query->column_count; i++) {
		const struct output *out = &query->outputs[i];
		const struct sats_row_layout *layout = s->block->relations[out->relation].layout;
		const uint8_t *column = sats_column(layout, tuple->rows[out->relation], out->column);
		buf_put(&s->row, column, sats_size(layout->columns[out->column], column));
	}
	return !s->row.failed && s->fn(s->context, s->row.data, s->row.len);
}

static bool take_tuple(void *context, const struct tuple *tuple)
{
	struct selection *s = context;
	s->count++;
	if (s->query->is_count)
		return true;
	uint16_t returned = s->block->returned;
	bool more = s->query->outputs != NULL ? emit_columns(s, tuple)
		: s->fn(s->context, tuple->rows[returned] + s->query->hidden, tuple->lens[returned] - s->query->hidden);
	s->stopped = !more || s->count >= s->query->limit;
	return !s->stopped;
}

struct run_limits select_run_limits(const struct query_limits *limits)
{
	return (struct run_limits){ .deadline = limits->deadline,
		.memory_max = limits->memory_max != 0 ? limits->memory_max : QUERY_MEMORY_MAX,
		.visits_max = limits->visits_max, .cancelled = limits->cancelled, .snapshot = limits->snapshot,
		.plain = limits->plain };
}

static enum wl_err run_block(struct selection *s, const struct query_limits *limits, struct buf *error)
{
	struct run_limits run = select_run_limits(limits);
	return block_run(s->block, &run, take_tuple, s, error);
}

enum wl_err query_select(const struct query *query, struct store *store, const struct query_limits *limits,
	query_row_fn fn, void *context, struct buf *error)
{
	return query_select_described(query, store, limits, NULL, fn, context, error);
}

enum wl_err query_select_described(const struct query *query, struct store *store, const struct query_limits *limits,
	query_columns_fn columns, query_row_fn fn, void *context, struct buf *error)
{
	struct selection s = { .query = query, .fn = fn, .context = context, .row = BUF_INIT(STORE_ROW_BYTES_MAX),
		.stopped = query->limit == 0 };
	enum wl_err err = WL_OK;
	(void)store;
	ASSERT(query->kind == QUERY_SELECT);
	if (query->extended != NULL && !query->is_explained)
		return extended_select(query, limits, columns, fn, context, error);
	if (columns != NULL)
		columns(context, query->columns, query->column_count);
	if (query->is_explained)
		return explain(query, fn, context, error);
	for (uint16_t i = 0; err == WL_OK && !s.stopped && i < query->block_count; i++) {
		s.block = &query->blocks[i];
		if (query->is_count && s.block->relation_count == 1 && s.block->where_count == 0)
			s.count += store_table_row_count(relation_table(s.block, 0, limits->snapshot));
		else
			err = run_block(&s, limits, error);
	}
	if (err == WL_OK && query->is_count && query->limit > 0) {
		uint8_t value[8];
		store_u64(value, s.count);
		(void)fn(context, value, sizeof(value));
	}
	buf_deinit(&s.row);
	return err;
}

enum wl_err query_select_block(const struct query *query, uint32_t block, struct store *store,
	const struct query_limits *limits, query_row_fn fn, void *context, struct buf *error)
{
	struct selection s = { .query = query, .block = &query->blocks[block], .fn = fn, .context = context };
	(void)store;
	ASSERT(query->kind == QUERY_SELECT && query->outputs == NULL && !query->is_count);
	return run_block(&s, limits, error);
}
