/* SPDX-License-Identifier: Apache-2.0 */
/* Running SELECT: what is done with the tuples of a plan. */
#include "query/query_internal.h"

struct selection {
	const struct query *query;
	const struct block *block;
	query_row_fn fn;
	void *context;
	struct buf row;      /* a projected row */
	uint64_t count;
	bool stopped;        /* by fn, or by the limit */
	struct sorter *sorter; /* NULL: rows are given as they come */
};

static void put_columns(struct selection *s, const struct tuple *tuple)
{
	const struct query *query = s->query;
	buf_clear(&s->row);
	for (uint32_t i = 0; i < query->column_count; i++) {
		const struct output *out = &query->outputs[i];
		const struct sats_row_layout *layout = s->block->relations[out->relation].layout;
		const uint8_t *column = sats_column(layout, tuple->rows[out->relation], out->column);
		buf_put(&s->row, column, sats_size(layout->columns[out->column], column));
	}
}

static bool take_tuple(void *context, const struct tuple *tuple)
{
	struct selection *s = context;
	const struct query *query = s->query;
	if (query->is_count) {
		s->count++;
		return true;
	}
	uint16_t returned = s->block->returned;
	struct bytes row;
	if (query->outputs != NULL) {
		put_columns(s, tuple);
		row = buf_bytes(&s->row);
	} else {
		row = (struct bytes){ tuple->rows[returned] + query->hidden, tuple->lens[returned] - query->hidden };
	}
	if (s->sorter != NULL) {
		bool is_new = sorter_add(s->sorter, s->block, tuple, row);
		if (s->row.failed || !is_new)
			return !s->row.failed && !sorter_failed(s->sorter);
		if (query->order_count > 0)
			return true;
	}
	if (s->count++ < query->offset)
		return true;
	bool more = !s->row.failed && s->fn(s->context, row.data, row.len);
	s->stopped = !more || s->count - query->offset >= query->limit;
	return !s->stopped;
}

static struct run_limits run_limits(const struct query_limits *limits)
{
	return (struct run_limits){ .deadline = limits->deadline,
		.memory_max = limits->memory_max != 0 ? limits->memory_max : QUERY_MEMORY_MAX,
		.visits_max = limits->visits_max, .cancelled = limits->cancelled, .snapshot = limits->snapshot,
		.plain = limits->plain };
}

static enum wl_err run_block(struct selection *s, const struct query_limits *limits, struct buf *error)
{
	struct run_limits run = run_limits(limits);
	if (!limits->plain && limits->snapshot == NULL)
		return plan_run(s->block, s->block->plan, NULL, &run, take_tuple, s, error);
	struct arena arena;
	const struct plan_options options = { .plain = limits->plain, .without_indexes = true,
		.snapshot = limits->snapshot };
	arena_init(&arena, QUERY_ARENA_BYTES_MAX);
	const struct plan *plan = plan_make(&arena, &arena, s->block, &options);
	enum wl_err err = plan == NULL ? no_memory(error) : plan_run(s->block, plan, NULL, &run, take_tuple, s, error);
	arena_deinit(&arena);
	return err;
}

static enum wl_err select_rows(struct selection *s, const struct query_limits *limits, struct buf *error)
{
	const struct query *query = s->query;
	enum wl_err err = WL_OK;
	for (uint16_t i = 0; err == WL_OK && !s->stopped && i < query->block_count; i++) {
		s->block = &query->blocks[i];
		if (query->is_count && s->block->relation_count == 1 && s->block->where_count == 0)
			s->count += store_table_row_count(relation_table(s->block, 0, limits->snapshot));
		else
			err = run_block(s, limits, error);
	}
	return err;
}

enum wl_err query_select(const struct query *query, struct store *store, const struct query_limits *limits,
	query_row_fn fn, void *context, struct buf *error)
{
	struct selection s = { .query = query, .fn = fn, .context = context, .row = BUF_INIT(STORE_ROW_BYTES_MAX),
		.stopped = query->limit == 0 };
	(void)store;
	ASSERT(query->kind == QUERY_SELECT);
	if (query->is_explain)
		return query_explain(query, fn, context, error);
	if (query->order_count > 0 || query->is_distinct) {
		s.sorter = sorter_create(query, run_limits(limits).memory_max);
		if (s.sorter == NULL)
			return no_memory(error);
	}
	enum wl_err err = select_rows(&s, limits, error);
	if (err == WL_OK && s.sorter != NULL)
		err = sorter_end(s.sorter, limits, fn, context, error);
	if (err == WL_OK && query->is_count && query->limit > 0 && query->offset == 0) {
		uint8_t value[8];
		store_u64(value, s.count);
		(void)fn(context, value, sizeof(value));
	}
	sorter_destroy(s.sorter);
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
