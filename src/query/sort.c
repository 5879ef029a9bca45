/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ORDER BY and DISTINCT: rows are copied, with the columns that they are
 * ordered by in front, and sorted when all are there. Memory is bounded; equal
 * rows keep the order in which they came.
 */
#include "base/clock.h"
#include "query/query_internal.h"

#include <stdlib.h>

struct kept {
	uint64_t at;         /* of its first key in `bytes` */
	uint32_t keys, len;  /* bytes of the keys; of the row behind them */
};
struct sorter {
	const struct query *query;
	struct buf bytes, kept; /* kept: struct kept, in the order of their coming */
	struct arena seen_keys; /* of DISTINCT: copies of rows */
	struct map seen;
	const struct sats_layout **layouts; /* of each order */
	bool failed;
};

struct sorter *sorter_create(const struct query *query, uint64_t memory_max)
{
	struct sorter *sorter = mem_zalloc(sizeof(*sorter));
	if (sorter == NULL)
		return NULL;
	sorter->query = query;
	buf_init(&sorter->bytes, memory_max / 2);
	buf_init(&sorter->kept, memory_max / 4);
	arena_init(&sorter->seen_keys, memory_max / 4);
	sorter->layouts = mem_zalloc_array(size_max(query->order_count, 1), sizeof(sorter->layouts[0]));
	if (sorter->layouts != NULL)
		return sorter;
	sorter_destroy(sorter);
	return NULL;
}

void sorter_destroy(struct sorter *sorter)
{
	if (sorter == NULL)
		return;
	buf_deinit(&sorter->bytes);
	buf_deinit(&sorter->kept);
	arena_deinit(&sorter->seen_keys);
	map_deinit(&sorter->seen);
	mem_free(sorter->layouts);
	mem_free(sorter);
}

/* Rows are equal if their bytes are. */
static bool is_new(struct sorter *sorter, struct bytes row)
{
	uint64_t known;
	if (map_get(&sorter->seen, row.data, row.len, &known))
		return false;
	const uint8_t *copy = arena_copy(&sorter->seen_keys, row.data, row.len);
	sorter->failed = (copy == NULL && row.len > 0) || !map_put(&sorter->seen, copy, row.len, 1);
	return !sorter->failed;
}

bool sorter_add(struct sorter *sorter, const struct block *block, const struct tuple *tuple, struct bytes row)
{
	const struct query *query = sorter->query;
	if (sorter->failed || (query->is_distinct && !is_new(sorter, row)))
		return false;
	if (query->order_count == 0)
		return true;
	struct kept kept = { .at = sorter->bytes.len, .len = (uint32_t)row.len };
	for (uint32_t i = 0; i < query->order_count; i++) {
		const struct output *by = &query->orders[i].by;
		const struct sats_row_layout *layout = block->relations[by->relation].layout;
		const uint8_t *column = sats_column(layout, tuple->rows[by->relation], by->column);
		sorter->layouts[i] = layout->columns[by->column];
		buf_put(&sorter->bytes, column, sats_size(layout->columns[by->column], column));
	}
	kept.keys = (uint32_t)(sorter->bytes.len - kept.at);
	buf_put(&sorter->bytes, row.data, row.len);
	buf_put(&sorter->kept, &kept, sizeof(kept));
	sorter->failed = sorter->bytes.failed || sorter->kept.failed;
	return !sorter->failed;
}

bool sorter_failed(const struct sorter *sorter)
{
	return sorter->failed;
}

static int compare_option(const struct order *order, const uint8_t *a, const uint8_t *b)
{
	bool a_none = *a == 1, b_none = *b == 1;
	return a_none == b_none ? 0 : a_none == order->nulls_first ? -1 : 1;
}

static int compare(const void *left, const void *right, void *context)
{
	const struct sorter *sorter = context;
	const struct kept *a = left, *b = right;
	const uint8_t *x = sorter->bytes.data + a->at, *y = sorter->bytes.data + b->at;
	for (uint32_t i = 0; i < sorter->query->order_count; i++) {
		const struct order *order = &sorter->query->orders[i];
		int nulls = order->is_option ? compare_option(order, x, y) : 0;
		if (nulls != 0)
			return nulls;
		int by = sats_compare(sorter->layouts[i]->type, NULL, x, y);
		if (by != 0)
			return order->descends ? (by < 0) - (by > 0) : by;
		x += sats_size(sorter->layouts[i], x);
		y += sats_size(sorter->layouts[i], y);
	}
	return a->at < b->at ? -1 : 1; /* as they came */
}

enum wl_err sorter_end(struct sorter *sorter, const struct query_limits *limits, query_row_fn fn, void *context,
	struct buf *error)
{
	const struct query *query = sorter->query;
	if (sorter->failed) {
		buf_put_cstr(error, "the rows to be sorted or told apart take more memory than a query may: a narrower "
			"WHERE, or fewer columns, would help");
		return WL_ERR_LIMIT;
	}
	struct kept *kept = (struct kept *)(void *)sorter->kept.data;
	size_t count = sorter->kept.len / sizeof(*kept);
	if (count > 1)
		qsort_r(kept, count, sizeof(*kept), compare, sorter);
	if (limits->deadline != 0 && clock_mono_nanos() >= limits->deadline) {
		buf_put_cstr(error, "the query ran longer than the limit and was stopped");
		return WL_ERR_LIMIT;
	}
	for (size_t i = query->offset; i < count && i - query->offset < query->limit; i++)
		if (!fn(context, sorter->bytes.data + kept[i].at + kept[i].keys, kept[i].len))
			break;
	return WL_OK;
}
