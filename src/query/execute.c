/* SPDX-License-Identifier: Apache-2.0 */
/* Running INSERT, UPDATE and DELETE: everything is read before anything is written. */
#include "query/extended_internal.h"

static struct store_table *target(const struct query *query)
{
	return query->blocks[0].relations[0].table;
}

static enum wl_err store_failed(struct store *store, struct buf *error)
{
	buf_put_str(error, store_error_text(store));
	return WL_ERR_INVALID;
}

static enum wl_err run_insert(const struct query *query, struct store *store, struct query_effects *effects,
	struct buf *error)
{
	struct buf row = BUF_INIT(STORE_ROW_BYTES_MAX);
	enum wl_err err = WL_OK;
	for (uint32_t i = 0; err == WL_OK && i < query->row_count; i++) {
		buf_clear(&row);
		buf_put(&row, query->rows[i].data, query->rows[i].len);
		size_t len = row.len;
		uint64_t before = store_table_row_count(target(query));
		if (row.failed)
			err = WL_ERR_MEMORY;
		else if (store_insert(store, target(query), row.data, &len, NULL) != STORE_OK)
			err = store_failed(store, error);
		else
			effects->inserted += store_table_row_count(target(query)) - before;
	}
	buf_deinit(&row);
	return err;
}

/* The matching rows, copied, and their numbers: what changes the table may not read it meanwhile. */
struct matched {
	struct buf numbers, rows, ends;
	uint32_t count;
};

struct matching {
	const struct query *query;
	struct matched *out;
};

static bool note_row(void *context, const struct tuple *tuple)
{
	struct matching *m = context;
	struct matched *out = m->out;
	buf_put_u32(&out->numbers, tuple->numbers[0]);
	if (m->query->kind == QUERY_UPDATE) {
		buf_put(&out->rows, tuple->rows[0], tuple->lens[0]);
		buf_put_u64(&out->ends, out->rows.len);
	}
	out->count++;
	return !out->numbers.failed && !out->rows.failed && !out->ends.failed;
}

static enum wl_err match_rows(const struct query *query, const struct run_limits *limits, struct matched *out,
	struct buf *error)
{
	struct matching m = { query, out };
	enum wl_err err = plan_run(&query->blocks[0], query->blocks[0].plan, NULL, limits, note_row, &m, error);
	if (err != WL_OK || (!out->numbers.failed && !out->rows.failed && !out->ends.failed))
		return err;
	buf_put_cstr(error, "not enough memory for the rows of the statement");
	return WL_ERR_MEMORY;
}

static enum wl_err delete_matched(const struct query *query, struct store *store, const struct matched *matched,
	struct buf *error)
{
	for (uint32_t i = 0; i < matched->count; i++)
		if (store_delete(store, target(query), load_u32(matched->numbers.data + (size_t)i * 4)) != STORE_OK)
			return store_failed(store, error);
	return WL_OK;
}

static const struct set_column *set_of(const struct query *query, uint32_t column)
{
	for (uint32_t i = 0; i < query->set_count; i++) /* of several the first counts */
		if (query->sets[i].column == column)
			return &query->sets[i];
	return NULL;
}

/* From the row as it was. */
static enum wl_err put_computed(struct buf *row, const struct set_column *set, const uint8_t *old,
	const struct run_limits *limits, struct buf *error)
{
	struct evaluation ev = { .rows = &old, .limits = limits, .error = error };
	struct value value;
	if (!scalar_eval(&ev, set->scalar, &value))
		return ev.err;
	put_result(row, set->as_option, (struct bytes){ value.data, value.len });
	return WL_OK;
}

static enum wl_err insert_changed(const struct query *query, struct store *store, const struct matched *matched,
	const struct run_limits *limits, struct buf *error)
{
	struct buf row = BUF_INIT(STORE_ROW_BYTES_MAX);
	const struct sats_row_layout *layout = store_table_layout(target(query));
	enum wl_err err = WL_OK;
	for (uint32_t i = 0; err == WL_OK && i < matched->count; i++) {
		const uint8_t *old = matched->rows.data + (i == 0 ? 0 : load_u64(matched->ends.data + (size_t)(i - 1) * 8));
		buf_clear(&row);
		for (uint32_t c = 0; c < layout->column_count; c++) {
			const struct set_column *set = set_of(query, c);
			const uint8_t *column = sats_column(layout, old, c);
			if (set != NULL && set->scalar != NULL)
				err = err != WL_OK ? err : put_computed(&row, set, old, limits, error);
			else if (set != NULL)
				buf_put(&row, set->value.data, set->value.len);
			else
				buf_put(&row, column, sats_size(layout->columns[c], column));
		}
		size_t len = row.len;
		if (err != WL_OK)
			break;
		if (row.failed)
			err = WL_ERR_MEMORY;
		else if (store_insert(store, target(query), row.data, &len, NULL) != STORE_OK)
			err = store_failed(store, error);
	}
	buf_deinit(&row);
	return err;
}

enum wl_err query_execute(const struct query *query, struct store *store, const struct query_limits *limits,
	struct query_effects *effects, struct buf *error)
{
	ASSERT(query->kind == QUERY_INSERT || query->kind == QUERY_UPDATE || query->kind == QUERY_DELETE);
	ASSERT(store_tx_active(store));
	if (query->kind == QUERY_INSERT)
		return run_insert(query, store, effects, error);
	struct matched matched = { .numbers = BUF_INIT(UINT32_MAX), .rows = BUF_INIT(SIZE_MAX / 4),
		.ends = BUF_INIT(SIZE_MAX / 4) };
	const struct run_limits run = { .deadline = limits->deadline, .memory_max = QUERY_MEMORY_MAX };
	enum wl_err err = match_rows(query, &run, &matched, error);
	if (err == WL_OK)
		err = delete_matched(query, store, &matched, error);
	if (err == WL_OK && query->kind == QUERY_UPDATE)
		err = insert_changed(query, store, &matched, &run, error);
	if (query->kind == QUERY_UPDATE)
		effects->updated += matched.count;
	else
		effects->deleted += matched.count;
	buf_deinit(&matched.numbers);
	buf_deinit(&matched.rows);
	buf_deinit(&matched.ends);
	return err;
}
