/* SPDX-License-Identifier: Apache-2.0 */
/* EXPLAIN: how a SELECT would be run now, a line a row. */
#include "query/query_internal.h"

struct telling {
	query_row_fn fn;
	void *context;
	struct buf text, row;
	bool stopped;
};

static void end_line(struct telling *t)
{
	buf_clear(&t->row);
	buf_put_bsatn_bytes(&t->row, t->text.data, t->text.len);
	if (!t->stopped && !t->row.failed && !t->text.failed)
		t->stopped = !t->fn(t->context, t->row.data, t->row.len);
	buf_clear(&t->text);
}

static struct str column_name(const struct relation *relation, uint16_t column)
{
	return store_table_def(relation->table)->columns[column].name;
}

static void put_keys(struct telling *t, const struct block *block, const struct step *step)
{
	const struct relation *own = &block->relations[step->relation];
	for (uint16_t i = 0; i < step->key_count; i++) {
		const struct key_part *key = &step->keys[i];
		buf_printf(&t->text, "%s%.*s = ", i == 0 ? "" : ", ", STR_FMT(column_name(own, key->own)));
		if (key->constant != NULL)
			buf_put_cstr(&t->text, "a constant");
		else
			buf_printf(&t->text, "%.*s.%.*s", STR_FMT(block->relations[key->relation].alias),
				STR_FMT(column_name(&block->relations[key->relation], key->column)));
	}
}

static void put_range(struct telling *t, const struct block *block, const struct step *step)
{
	const struct store_index_def *def = store_index_def(step->index);
	struct str column = column_name(&block->relations[step->relation], def->columns[step->key_count]);
	const char *comma = step->key_count > 0 ? ", " : "";
	if (step->low.constant != NULL)
		buf_printf(&t->text, "%s%.*s %s a constant", comma, STR_FMT(column), step->low.is_inclusive ? ">=" : ">");
	if (step->high.constant != NULL)
		buf_printf(&t->text, "%s%.*s %s a constant", step->low.constant != NULL ? ", " : comma, STR_FMT(column),
			step->high.is_inclusive ? "<=" : "<");
}

static void tell_step(struct telling *t, const struct block *block, const struct step *step, uint16_t depth)
{
	const struct relation *relation = &block->relations[step->relation];
	struct str name = store_table_def(relation->table)->name;
	buf_printf(&t->text, "%*s%s %.*s", depth * 2, "", depth == 0 ? "read" : "for each, read", STR_FMT(name));
	if (relation->alias.len > 0 && !str_eq(relation->alias, name))
		buf_printf(&t->text, " as %.*s", STR_FMT(relation->alias));
	if (relation->guard != NULL)
		buf_put_cstr(&t->text, " (of a row-level rule)");
	switch ((enum access)step->access) {
	case ACCESS_POINT:
	case ACCESS_RANGE:
		buf_printf(&t->text, " by index %.*s (", STR_FMT(store_index_def(step->index)->name));
		put_keys(t, block, step);
		if (step->access == ACCESS_RANGE)
			put_range(t, block, step);
		buf_put_u8(&t->text, ')');
		break;
	case ACCESS_HASH:
		buf_put_cstr(&t->text, " by a hash table made once (");
		put_keys(t, block, step);
		buf_put_u8(&t->text, ')');
		break;
	case ACCESS_SCAN:
	case ACCESS_DELTA:
		buf_put_cstr(&t->text, " whole");
		break;
	}
	buf_printf(&t->text, ", about %llu rows", (unsigned long long)step->rows);
	if (step->filter_count > 0)
		buf_printf(&t->text, ", check %u condition%s", step->filter_count, step->filter_count == 1 ? "" : "s");
	end_line(t);
}

static void tell_rest(struct telling *t, const struct query *query)
{
	if (query->is_count) {
		buf_put_cstr(&t->text, "count the rows");
		end_line(t);
	}
	if (query->is_distinct) {
		buf_put_cstr(&t->text, "leave out equal rows");
		end_line(t);
	}
	if (query->order_count > 0) {
		buf_printf(&t->text, "sort by %u column%s", query->order_count, query->order_count == 1 ? "" : "s");
		end_line(t);
	}
	if (query->offset > 0) {
		buf_printf(&t->text, "skip %llu rows", (unsigned long long)query->offset);
		end_line(t);
	}
	if (query->limit != UINT64_MAX) {
		buf_printf(&t->text, "end after %llu rows", (unsigned long long)query->limit);
		end_line(t);
	}
}

enum wl_err query_explain(const struct query *query, query_row_fn fn, void *context, struct buf *error)
{
	struct telling t = { .fn = fn, .context = context, .text = BUF_INIT(QUERY_TEXT_MAX * 4),
		.row = BUF_INIT(QUERY_TEXT_MAX * 5) };
	bool failed = false;
	for (uint16_t b = 0; b < query->block_count; b++) {
		const struct block *block = &query->blocks[b];
		if (query->block_count > 1) {
			buf_printf(&t.text, "part %u of %u, as row-level rules let rows through:", b + 1, query->block_count);
			end_line(&t);
		}
		for (uint16_t i = 0; i < block->plan->step_count; i++)
			tell_step(&t, block, &block->plan->steps[i], i);
		failed = failed || t.row.failed || t.text.failed;
	}
	tell_rest(&t, query);
	query_is_beside(query) ? buf_put_cstr(&t.text, "on a snapshot, beside the executor: tables are read whole")
		: buf_put_cstr(&t.text, "on the executor");
	end_line(&t);
	buf_deinit(&t.text);
	buf_deinit(&t.row);
	return failed ? no_memory(error) : WL_OK;
}
