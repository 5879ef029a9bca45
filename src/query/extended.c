/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a SELECT of the extended language: the tuples of all blocks, then
 * groups, DISTINCT, order, and the part of the rows that OFFSET and LIMIT
 * leave. What needs no others is passed on at once; what must wait is charged
 * to the run's memory. Nothing here writes to the query.
 *
 * What the columns of the result are is known before its first row: only where
 * aggregates look at a whole result can it depend on the rows (none at all:
 * NULL), and that result has one row.
 */
#include "query/extended_internal.h"

struct selection {
	const struct query *query;
	const struct extended *x;
	struct run_limits run;
	struct budget budget;
	struct evaluation ev;
	struct groups *groups;    /* NULL: not grouped */
	struct sorter *sorter;    /* NULL: as they come */
	struct value_set seen;    /* DISTINCT */
	struct value *values;     /* of an output row */
	struct bytes *cells;
	struct buf row;
	struct arena types;       /* of columns that depend on the rows */
	uint64_t skipped, sent;
	bool stopped;
	query_columns_fn columns;
	query_row_fn fn;
	void *context;
};

/* ---- rows ---- */

static void deliver(struct selection *s, struct bytes row)
{
	if (s->skipped < s->x->offset) {
		s->skipped++;
		return;
	}
	s->sent++;
	s->stopped = !s->fn(s->context, row.data, row.len) || s->sent >= s->query->limit;
}

static bool make_row(struct selection *s)
{
	const struct extended *x = s->x;
	for (uint32_t i = 0; i < x->output_count; i++) {
		if (!scalar_eval(&s->ev, x->outputs[i], &s->values[i]))
			return false;
		s->cells[i] = (struct bytes){ s->values[i].data, s->values[i].len };
	}
	return true;
}

/* What only an empty result can make NULL is an Option if it is. */
static bool is_option(const struct scalar *output, struct bytes cell)
{
	return output->is_nullable || (output->may_be_empty && cell.data == NULL);
}

static bool encode_row(struct selection *s)
{
	buf_clear(&s->row);
	for (uint32_t i = 0; i < s->x->output_count; i++)
		put_result(&s->row, is_option(s->x->outputs[i], s->cells[i]), s->cells[i]);
	return !s->row.failed || evaluation_fail(&s->ev, WL_ERR_LIMIT, "a row of the result is too long");
}

/* A row, or a group's; false: nothing more is wanted, or it failed. */
static bool emit(struct selection *s)
{
	bool is_new = true;
	uint32_t index;
	if (!make_row(s))
		return false;
	if (s->x->is_distinct &&
		!value_set_add(&s->seen, 0, s->x->output_count, s->x->outputs, s->cells, &index, &is_new))
		return false;
	if (!is_new)
		return true;
	if (!encode_row(s))
		return false;
	if (s->sorter != NULL)
		return sorter_add(s->sorter, buf_bytes(&s->row));
	deliver(s, buf_bytes(&s->row));
	return !s->stopped;
}

static bool take_tuple(void *context, const struct tuple *tuple)
{
	struct selection *s = context;
	s->ev.rows = tuple->rows;
	return s->groups != NULL ? groups_add(s->groups) : emit(s);
}

/* ---- groups and columns ---- */

/* The columns as they are: of a global result, which of them are NULL. */
static bool describe(struct selection *s, const struct bytes *cells)
{
	const struct query *query = s->query;
	bool changes = false;
	if (s->columns == NULL)
		return true;
	for (uint32_t i = 0; cells != NULL && i < query->column_count; i++)
		changes = changes || is_option(s->x->outputs[i], cells[i]) != s->x->outputs[i]->is_nullable;
	if (!changes) {
		s->columns(s->context, query->columns, query->column_count);
		return true;
	}
	struct query_column *columns = arena_array(&s->types, query->column_count, sizeof(*columns));
	bool ok = columns != NULL;
	for (uint32_t i = 0; ok && i < query->column_count; i++) {
		const struct scalar *o = s->x->outputs[i];
		columns[i] = query->columns[i];
		if (!o->is_nullable && is_option(o, cells[i]))
			columns[i].type = sats_option_of(&s->types, o->type);
		ok = columns[i].type != NULL;
	}
	if (ok)
		s->columns(s->context, columns, query->column_count);
	return ok || evaluation_fail(&s->ev, WL_ERR_MEMORY, "not enough memory for the query");
}

static bool group_passes(struct selection *s, uint32_t group, bool *passes)
{
	*passes = true;
	s->ev.slots = groups_slots(s->groups, group);
	if (!evaluation_goes_on(&s->ev, 16))
		return false;
	return s->x->having == NULL || scalar_holds(&s->ev, s->x->having, passes);
}

static bool emit_groups(struct selection *s)
{
	bool passes;
	for (uint32_t i = 0; i < groups_count(s->groups) && !s->stopped; i++)
		if (!group_passes(s, i, &passes) || (passes && !emit(s)))
			return s->ev.err == WL_OK;
	return true;
}

/* One row, whatever there was. */
static bool emit_global(struct selection *s)
{
	bool passes;
	if (!group_passes(s, 0, &passes))
		return false;
	if (!passes || s->stopped)
		return describe(s, NULL);
	if (!make_row(s) || !describe(s, s->x->offset > 0 ? NULL : s->cells) || !encode_row(s))
		return false;
	deliver(s, buf_bytes(&s->row));
	return true;
}

static bool finish(struct selection *s)
{
	struct bytes row;
	if (s->x->is_global)
		return emit_global(s);
	if (s->groups != NULL && !emit_groups(s))
		return false;
	if (s->sorter == NULL)
		return true;
	if (!sorter_finish(s->sorter))
		return false;
	while (!s->stopped && sorter_next(s->sorter, &row)) {
		if (!evaluation_goes_on(&s->ev, 16))
			return false;
		deliver(s, row);
	}
	return true;
}

/* ---- all ---- */

static bool begin(struct selection *s)
{
	const struct extended *x = s->x;
	uint64_t limit = s->query->limit, keep = limit + x->offset < limit ? UINT64_MAX : limit + x->offset;
	s->stopped = limit == 0;
	s->values = mem_zalloc_array(x->output_count + 1, sizeof(*s->values));
	s->cells = mem_zalloc_array(x->output_count + 1, sizeof(*s->cells));
	if (s->values == NULL || s->cells == NULL)
		return evaluation_fail(&s->ev, WL_ERR_MEMORY, "not enough memory for the query");
	value_set_init(&s->seen, &s->budget, &s->ev);
	if (x->is_grouped && (s->groups = groups_create(x, &s->budget, &s->ev)) == NULL)
		return false;
	if (x->sort_count > 0 && !x->is_global && (s->sorter = sorter_create(x, keep, &s->budget, &s->ev)) == NULL)
		return false;
	return x->is_global || describe(s, NULL);
}

enum wl_err extended_select(const struct query *query, const struct query_limits *limits, query_columns_fn columns,
	query_row_fn fn, void *context, struct buf *error)
{
	struct selection s = { .query = query, .x = query->extended, .columns = columns, .fn = fn,
		.context = context, .row = BUF_INIT(STORE_ROW_BYTES_MAX), .run = select_run_limits(limits) };
	s.budget.max = s.run.memory_max;
	s.run.used = &s.budget.used;
	s.ev = (struct evaluation){ .limits = &s.run, .error = error };
	arena_init(&s.types, QUERY_ARENA_BYTES_MAX);
	enum wl_err err = WL_OK;
	bool ok = begin(&s);
	for (uint16_t i = 0; ok && err == WL_OK && s.ev.err == WL_OK && !s.stopped && i < query->block_count; i++)
		err = block_run(&query->blocks[i], &s.run, take_tuple, &s, error);
	if (ok && err == WL_OK && s.ev.err == WL_OK)
		(void)finish(&s);
	groups_destroy(s.groups);
	sorter_destroy(s.sorter);
	value_set_deinit(&s.seen);
	buf_deinit(&s.row);
	arena_deinit(&s.types);
	mem_free(s.values);
	mem_free(s.cells);
	return err != WL_OK ? err : s.ev.err;
}
