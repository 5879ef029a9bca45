/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EXPLAIN: a compiled SELECT as lines for people. First how each block reads
 * its tables, one after the other, then what is done with the tuples. To
 * somebody whom rules keep rows from, sizes are not told.
 */
#include "query/extended_internal.h"

enum { LINE_BYTES_MAX = 16 << 10, SHOWN_BYTES_MAX = 1000 };

struct explaining {
	const struct query *query;
	const struct block *block;
	struct buf line;
	query_row_fn fn;
	void *context;
	bool more;
};

static void end_line(struct explaining *e)
{
	static const char cut[] = " \xe2\x80\xa6";
	struct buf row = BUF_INIT(LINE_BYTES_MAX * 2);
	struct str text = buf_str(&e->line);
	if (text.len > SHOWN_BYTES_MAX || e->line.failed) {
		text = str_cut(text, SHOWN_BYTES_MAX);
		buf_put_u32(&row, (uint32_t)(text.len + sizeof(cut) - 1));
		buf_put_str(&row, text);
		buf_put_cstr(&row, cut);
	} else {
		buf_put_bsatn_str(&row, text);
	}
	e->more = e->more && !row.failed && e->fn(e->context, row.data, row.len);
	buf_deinit(&row);
	buf_clear(&e->line);
}

/* ---- expressions ---- */

static const char *const compare_names[] = { "=", "<>", "<", "<=", ">", ">=" };

static void put_column(struct explaining *e, uint16_t relation, uint16_t column)
{
	const struct relation *r = &e->block->relations[relation];
	const struct store_table_def *def = store_table_def(r->table);
	buf_put_str(&e->line, r->alias.len > 0 ? r->alias : def->name);
	buf_put_u8(&e->line, '.');
	buf_put_str(&e->line, def->columns[column].name);
}

static void put_constant(struct explaining *e, const struct sats_type *type, struct bytes value)
{
	if (e->line.len < SHOWN_BYTES_MAX)
		(void)sats_json_write(&e->line, type, NULL, value.data, SATS_JSON_UNTYPED);
}

static void put_node(struct explaining *e, const struct node *n)
{
	if (e->line.len > SHOWN_BYTES_MAX)
		return;
	switch ((enum node_kind)n->kind) {
	case NODE_TRUE:
	case NODE_FALSE:
		buf_put_cstr(&e->line, n->kind == NODE_TRUE ? "true" : "false");
		return;
	case NODE_BOOL_COLUMN:
		put_column(e, n->relation, n->column);
		return;
	case NODE_COMPARE_CONSTANT:
		put_column(e, n->relation, n->column);
		buf_printf(&e->line, " %s ", compare_names[n->op]);
		put_constant(e, n->type, n->constant);
		return;
	case NODE_COMPARE_COLUMNS:
		put_column(e, n->relation, n->column);
		buf_printf(&e->line, " %s ", compare_names[n->op]);
		put_column(e, n->relation2, n->column2);
		return;
	case NODE_NOT:
		buf_put_cstr(&e->line, "NOT (");
		put_node(e, n->left);
		buf_put_u8(&e->line, ')');
		return;
	case NODE_COMPARE_CONDITIONS: case NODE_AND: case NODE_OR:
		break;
	}
	buf_put_u8(&e->line, '(');
	put_node(e, n->left);
	buf_printf(&e->line, " %s ", n->kind == NODE_AND ? "AND" : n->kind == NODE_OR ? "OR" : compare_names[n->op]);
	put_node(e, n->right);
	buf_put_u8(&e->line, ')');
}

static void put_scalar(struct explaining *e, const struct scalar *s);

static void put_list(struct explaining *e, const struct scalar *s)
{
	uint32_t count = s->kind == SCALAR_IN_SET ? s->set->count : s->item_count;
	buf_put_cstr(&e->line, s->is_negated ? " NOT IN (" : " IN (");
	for (uint32_t i = 0; i < count && e->line.len < SHOWN_BYTES_MAX; i++) {
		buf_put_cstr(&e->line, i > 0 ? ", " : "");
		if (s->kind == SCALAR_IN_SET)
			put_constant(e, s->left->type, s->set->values[i]);
		else
			put_scalar(e, s->items[i]);
	}
	buf_put_u8(&e->line, ')');
}

static void put_predicate(struct explaining *e, const struct scalar *s)
{
	const char *not = s->is_negated ? " NOT" : "";
	put_scalar(e, s->left);
	switch ((enum scalar_kind)s->kind) {
	case SCALAR_IS_NULL:
		buf_printf(&e->line, " IS%s NULL", not);
		return;
	case SCALAR_BETWEEN:
		buf_printf(&e->line, "%s BETWEEN ", not);
		put_scalar(e, s->items[0]);
		buf_put_cstr(&e->line, " AND ");
		put_scalar(e, s->items[1]);
		return;
	case SCALAR_LIKE:
		buf_printf(&e->line, "%s %s ", not, s->ignores_case ? "ILIKE" : "LIKE");
		put_scalar(e, s->right);
		return;
	default:
		put_list(e, s);
	}
}

static void put_aggregate(struct explaining *e, const struct aggregate *a)
{
	static const char *const names[] = { "COUNT(*", "COUNT(", "SUM(", "MIN(", "MAX(", "AVG(" };
	buf_printf(&e->line, "%s%s", names[a->kind], a->is_distinct ? "DISTINCT " : "");
	if (a->argument != NULL)
		put_scalar(e, a->argument);
	buf_put_u8(&e->line, ')');
}

static void put_scalar(struct explaining *e, const struct scalar *s)
{
	const struct extended *x = e->query->extended;
	if (e->line.len > SHOWN_BYTES_MAX)
		return;
	switch ((enum scalar_kind)s->kind) {
	case SCALAR_COLUMN:
		put_column(e, s->relation, s->column);
		return;
	case SCALAR_CONSTANT:
		put_constant(e, s->type, s->constant);
		return;
	case SCALAR_SLOT:
		if (s->slot < x->key_count)
			put_scalar(e, x->keys[s->slot]);
		else
			put_aggregate(e, &x->aggregates[s->slot - x->key_count]);
		return;
	case SCALAR_NEGATE:
	case SCALAR_NOT:
		buf_put_cstr(&e->line, s->kind == SCALAR_NOT ? "NOT (" : "-(");
		put_scalar(e, s->left);
		buf_put_u8(&e->line, ')');
		return;
	case SCALAR_IS_NULL: case SCALAR_IN_SET: case SCALAR_IN: case SCALAR_BETWEEN: case SCALAR_LIKE:
		put_predicate(e, s);
		return;
	case SCALAR_ARITHMETIC: case SCALAR_COMPARE: case SCALAR_AND: case SCALAR_OR:
		break;
	}
	char symbol[2] = { s->symbol, 0 };
	buf_put_u8(&e->line, '(');
	put_scalar(e, s->left);
	buf_printf(&e->line, " %s ", s->kind == SCALAR_ARITHMETIC ? symbol : s->kind == SCALAR_AND ? "AND"
		: s->kind == SCALAR_OR ? "OR" : compare_names[s->op]);
	put_scalar(e, s->right);
	buf_put_u8(&e->line, ')');
}

/* ---- steps ---- */

static void put_bound(struct explaining *e, const struct bound *bound, const char **between)
{
	if (bound->constant == NULL)
		return;
	buf_put_cstr(&e->line, *between);
	put_node(e, bound->constant);
	*between = " AND ";
}

static void put_keys(struct explaining *e, const struct step *step)
{
	const char *between = step->access == ACCESS_HASH ? " on " : ": ";
	for (uint16_t i = 0; i < step->key_count; i++) {
		const struct key_part *key = &step->keys[i];
		buf_put_cstr(&e->line, between);
		between = " AND ";
		put_column(e, step->relation, key->own);
		if (key->list != NULL) {
			buf_printf(&e->line, " = one of %u", key->list->count);
			continue;
		}
		buf_put_cstr(&e->line, " = ");
		if (key->constant != NULL)
			put_constant(e, key->constant->type, key->constant->constant);
		else
			put_column(e, key->relation, key->column);
	}
	if (step->access == ACCESS_RANGE) {
		put_bound(e, &step->low, &between);
		put_bound(e, &step->high, &between);
	}
}

static void put_access(struct explaining *e, const struct step *step)
{
	const struct relation *r = &e->block->relations[step->relation];
	struct str name = store_table_def(r->table)->name;
	buf_put_cstr(&e->line, step->is_left ? "left join " : "read ");
	buf_put_str(&e->line, name);
	if (r->alias.len > 0 && !str_eq(r->alias, name))
		buf_printf(&e->line, " AS %.*s", STR_FMT(r->alias));
	if (r->alias.len == 0)
		buf_put_cstr(&e->line, " (of a row-level rule)");
	if (r->derived != NULL)
		buf_put_cstr(&e->line, ", the rows that its rules show");
	switch ((enum access)step->access) {
	case ACCESS_POINT:
	case ACCESS_RANGE:
		buf_printf(&e->line, " by %s index %.*s", step->access == ACCESS_POINT ? "points of" : "a range of",
			STR_FMT(store_index_def(step->index)->name));
		break;
	case ACCESS_HASH:
		buf_put_cstr(&e->line, step->key_count > 0 ? " by a hash table" : " from a list");
		break;
	case ACCESS_SCAN:
	case ACCESS_DELTA:
		buf_put_cstr(&e->line, " whole");
		break;
	}
	put_keys(e, step);
	if (!e->query->hides_sizes)
		buf_printf(&e->line, " (about %llu row%s)", (unsigned long long)step->rows, step->rows == 1 ? "" : "s");
	end_line(e);
}

static void put_conditions(struct explaining *e, const struct step *step)
{
	for (uint32_t i = 0; i < step->on_count; i++) {
		buf_put_cstr(&e->line, "  on: ");
		put_scalar(e, step->on[i]->scalar);
		end_line(e);
	}
	for (uint32_t i = 0; i < step->filter_count; i++) {
		buf_put_cstr(&e->line, "  where: ");
		put_node(e, step->filters[i]);
		end_line(e);
	}
	for (uint32_t i = 0; i < step->test_count; i++) {
		buf_put_cstr(&e->line, "  where: ");
		put_scalar(e, step->tests[i]->scalar);
		end_line(e);
	}
}

static void put_block(struct explaining *e, uint16_t number)
{
	e->block = &e->query->blocks[number];
	if (e->query->block_count > 1) {
		buf_printf(&e->line, "part %u of %u, as row-level rules have it", number + 1, e->query->block_count);
		end_line(e);
	}
	for (uint16_t i = 0; e->more && i < e->block->plan->step_count; i++) {
		put_access(e, &e->block->plan->steps[i]);
		put_conditions(e, &e->block->plan->steps[i]);
	}
}

/* ---- what is done with tuples ---- */

static void put_groups(struct explaining *e, const struct extended *x)
{
	buf_put_cstr(&e->line, x->is_global ? "aggregate all" : "group by ");
	for (uint32_t i = 0; i < x->key_count; i++) {
		buf_put_cstr(&e->line, i > 0 ? ", " : "");
		put_scalar(e, x->keys[i]);
	}
	for (uint32_t i = 0; i < x->aggregate_count; i++) {
		buf_put_cstr(&e->line, i > 0 ? ", " : ": ");
		put_aggregate(e, &x->aggregates[i]);
	}
	end_line(e);
	if (x->having == NULL)
		return;
	buf_put_cstr(&e->line, "  having: ");
	put_scalar(e, x->having);
	end_line(e);
}

static void put_sort(struct explaining *e, const struct extended *x)
{
	buf_put_cstr(&e->line, "sort by ");
	for (uint32_t i = 0; i < x->sort_count; i++) {
		const struct sort_key *key = &x->sorts[i];
		buf_put_cstr(&e->line, i > 0 ? ", " : "");
		put_scalar(e, key->by);
		buf_put_cstr(&e->line, key->descends ? " DESC" : "");
		if (key->nulls_first != key->descends)
			buf_put_cstr(&e->line, key->nulls_first ? " NULLS FIRST" : " NULLS LAST");
	}
	if (e->query->limit != UINT64_MAX)
		buf_put_cstr(&e->line, ", keeping only the first");
	end_line(e);
}

static void put_extended(struct explaining *e, const struct extended *x)
{
	if (x->is_grouped)
		put_groups(e, x);
	if (x->is_distinct) {
		buf_put_cstr(&e->line, "distinct");
		end_line(e);
	}
	if (x->sort_count > 0 && !x->is_global)
		put_sort(e, x);
	if (x->offset > 0) {
		buf_printf(&e->line, "skip %llu", (unsigned long long)x->offset);
		end_line(e);
	}
}

enum wl_err explain(const struct query *query, query_row_fn fn, void *context, struct buf *error)
{
	struct explaining e = { .query = query, .fn = fn, .context = context, .line = BUF_INIT(LINE_BYTES_MAX),
		.more = true };
	for (uint16_t i = 0; e.more && i < query->block_count; i++)
		put_block(&e, i);
	if (query->is_count) {
		buf_put_cstr(&e.line, "count");
		end_line(&e);
	}
	if (query->extended != NULL)
		put_extended(&e, query->extended);
	if (query->limit != UINT64_MAX) {
		buf_printf(&e.line, "limit %llu", (unsigned long long)query->limit);
		end_line(&e);
	}
	buf_put_cstr(&e.line, query_is_beside(query) ? "on a snapshot, beside the executor: tables are read whole"
		: "on the executor");
	end_line(&e);
	bool failed = e.line.failed;
	buf_deinit(&e.line);
	return failed ? no_memory(error) : WL_OK;
}
