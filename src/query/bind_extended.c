/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SELECT of the extended language: what is done with the tuples of FROM and
 * WHERE. Order of errors: names that need a table, tables, ON and WHERE,
 * GROUP BY, the select list, HAVING, ORDER BY, LIMIT, rules.
 */
#include "query/extended_internal.h"

struct selecting {
	struct binder *binder;
	const struct statement *s;
	struct scope scope;
	struct block block;
	struct extended *x;
	struct grouping grouping;
	struct compiler compiler; /* of the select list and what comes behind it */
};

static enum wl_err invalid(struct selecting *b, const char *text)
{
	buf_put_cstr(b->binder->error, text);
	return WL_ERR_INVALID;
}

/* ---- names ---- */

static struct str name_of(const struct projection *item)
{
	return item->alias.data != NULL ? item->alias : item->column->name;
}

/* Which item a bare name in ORDER BY means; -1: none. */
static int32_t item_named(const struct statement *s, const struct expr *e)
{
	if (e->kind != EXPR_COLUMN || e->table.data != NULL)
		return -1;
	for (uint32_t i = 0; i < s->item_count; i++)
		if (str_eq(name_of(&s->items[i]), e->name))
			return (int32_t)i;
	return -1;
}

/* Of GROUP BY: an alias, where no column has that name. */
static int32_t item_aliased(struct selecting *b, const struct expr *e)
{
	uint16_t relation, column;
	size_t len = b->binder->error->len;
	if (e->kind != EXPR_COLUMN || e->table.data != NULL)
		return -1;
	bool found = b->scope.count == 1 && scope_find(b->binder, &b->scope, e, &relation, &column);
	b->binder->error->len = len;
	return found ? -1 : item_named(b->s, e);
}

static bool all_qualified(const struct statement *s)
{
	bool ok = s->where == NULL || expr_is_qualified(s->where);
	for (uint32_t i = 0; ok && i < s->join_count; i++)
		ok = s->joins[i].on == NULL || expr_is_qualified(s->joins[i].on);
	for (uint32_t i = 0; ok && i < s->item_count; i++)
		ok = expr_is_qualified(s->items[i].column);
	for (uint32_t i = 0; ok && i < s->group_count; i++)
		ok = item_named(s, s->groups[i]) >= 0 || expr_is_qualified(s->groups[i]);
	for (uint32_t i = 0; ok && i < s->order_count; i++)
		ok = item_named(s, s->orders[i].by) >= 0 || expr_is_qualified(s->orders[i].by);
	return ok && (s->having == NULL || expr_is_qualified(s->having));
}

/* A number stands for one of the result's columns. False *is_one: it is an expression. */
static enum wl_err column_at(struct selecting *b, const struct expr *e, const char *clause, uint32_t count,
	bool *is_one, int32_t *column)
{
	uint64_t position;
	*is_one = e->kind == EXPR_LITERAL;
	if (!*is_one)
		return WL_OK;
	if (e->literal == LITERAL_NUMBER && e->name.len < 8) {
		enum wl_err err = bind_number(b->binder, e->name, &position);
		if (err != WL_OK)
			return err;
		if (position >= 1 && position <= count) {
			*column = (int32_t)position - 1;
			return WL_OK;
		}
	}
	struct str shown = str_cut(e->name, 100);
	buf_printf(b->binder->error, "%s %.*s: the result has %u columns", clause, STR_FMT(shown), count);
	return WL_ERR_INVALID;
}

/* ---- GROUP BY ---- */

static bool has_aggregate(const struct expr *e)
{
	for (; e != NULL; e = e->left) {
		if (e->kind == EXPR_AGGREGATE || (e->right != NULL && has_aggregate(e->right)))
			return true;
		for (uint32_t i = 0; i < e->item_count; i++)
			if (has_aggregate(e->items[i]))
				return true;
	}
	return false;
}

static bool is_grouped(const struct statement *s)
{
	bool grouped = s->group_count > 0 || s->having != NULL;
	for (uint32_t i = 0; !grouped && i < s->item_count; i++)
		grouped = has_aggregate(s->items[i].column);
	for (uint32_t i = 0; !grouped && i < s->order_count; i++)
		grouped = has_aggregate(s->orders[i].by);
	return grouped;
}

static enum wl_err bind_group(struct selecting *b, uint32_t i, struct expr **out)
{
	struct compiler over_rows = { .binder = b->binder, .scope = &b->scope };
	struct expr *e = b->s->groups[i];
	int32_t item = -1;
	bool is_position;
	enum wl_err err = column_at(b, e, "GROUP BY", b->s->item_count, &is_position, &item);
	if (err != WL_OK)
		return err;
	if (!is_position)
		item = item_aliased(b, e);
	if (item >= 0)
		e = b->s->items[item].column;
	if (has_aggregate(e))
		return invalid(b, "GROUP BY cannot group by an aggregate");
	*out = e;
	b->x->keys[i] = scalar_compile(&over_rows, e, NULL);
	return b->x->keys[i] == NULL ? WL_ERR_INVALID : WL_OK;
}

static enum wl_err bind_groups(struct selecting *b)
{
	const struct statement *s = b->s;
	struct extended *x = b->x;
	if (!is_grouped(s))
		return WL_OK;
	if (s->group_count > QUERY_GROUP_KEYS_MAX)
		return invalid(b, "GROUP BY takes at most 64 expressions");
	struct expr **groups = arena_array(b->binder->syntax, s->group_count + 1, sizeof(*groups));
	x->is_grouped = true;
	x->is_global = s->group_count == 0;
	x->key_count = s->group_count;
	x->keys = arena_array(&b->binder->query->arena, s->group_count + 1, sizeof(*x->keys));
	x->aggregates = arena_array(&b->binder->query->arena, QUERY_AGGREGATES_MAX, sizeof(*x->aggregates));
	if (groups == NULL || x->keys == NULL || x->aggregates == NULL)
		return no_memory(b->binder->error);
	for (uint32_t i = 0; i < s->group_count; i++) {
		enum wl_err err = bind_group(b, i, &groups[i]);
		if (err != WL_OK)
			return err;
	}
	b->grouping = (struct grouping){ s->group_count, groups, x };
	b->compiler.grouping = &b->grouping;
	return WL_OK;
}

/* ---- the select list ---- */

static bool set_output(struct selecting *b, uint32_t i, struct str name, const struct scalar *s)
{
	struct query *query = b->binder->query;
	const struct sats_type *type = s->is_nullable ? sats_option_of(&query->arena, s->type) : s->type;
	query->columns[i] = (struct query_column){ arena_str(&query->arena, name), type };
	b->x->outputs[i] = s;
	return type != NULL && query->columns[i].name.data != NULL;
}

static bool begin_outputs(struct selecting *b, uint32_t count)
{
	struct query *query = b->binder->query;
	query->columns = arena_array(&query->arena, count + 1, sizeof(*query->columns));
	b->x->outputs = arena_array(&query->arena, count + 1, sizeof(*b->x->outputs));
	query->column_count = b->x->output_count = count;
	return query->columns != NULL && b->x->outputs != NULL;
}

static enum wl_err bind_items(struct selecting *b)
{
	const struct statement *s = b->s;
	if (!begin_outputs(b, s->item_count))
		return no_memory(b->binder->error);
	for (uint32_t i = 0; i < s->item_count; i++) {
		struct str name = name_of(&s->items[i]);
		const struct scalar *scalar = scalar_compile(&b->compiler, s->items[i].column, NULL);
		if (scalar == NULL)
			return WL_ERR_INVALID;
		if (!set_output(b, i, name, scalar))
			return no_memory(b->binder->error);
		for (uint32_t j = 0; j < i; j++)
			if (str_eq(b->binder->query->columns[j].name, name)) {
				buf_printf(b->binder->error, "Duplicate name `%.*s`", STR_FMT(name));
				return WL_ERR_INVALID;
			}
	}
	return WL_OK;
}

/* All columns of one relation; a view's first one is nobody's business. */
static enum wl_err bind_whole(struct selecting *b, uint16_t relation)
{
	const struct relation *r = &b->block.relations[relation];
	const struct store_table_def *def = store_table_def(r->table);
	uint32_t first = def->is_ephemeral ? 1 : 0;
	if (b->x->is_grouped)
		return invalid(b, "GROUP BY, HAVING and aggregates need a select list that names its columns, not *");
	if (!begin_outputs(b, def->column_count - first))
		return no_memory(b->binder->error);
	for (uint32_t i = first; i < def->column_count; i++) {
		const struct sats_type *type = def->columns[i].type;
		bool option = type->special == SATS_OPTION;
		struct scalar *s = arena_zalloc(&b->binder->query->arena, sizeof(*s));
		if (s == NULL)
			return no_memory(b->binder->error);
		*s = (struct scalar){ .kind = SCALAR_COLUMN, .relation = relation, .column = (uint16_t)i, .layout = r->layout,
			.type = option ? type->elements[0].type : type, .is_option = option, .is_nullable = option || r->is_left };
		if (!set_output(b, i - first, def->columns[i].name, s))
			return no_memory(b->binder->error);
	}
	return WL_OK;
}

static enum wl_err bind_outputs(struct selecting *b)
{
	const struct statement *s = b->s;
	if (s->projection == PROJECT_COLUMNS)
		return bind_items(b);
	if (s->projection == PROJECT_ALL)
		return s->join_count == 0 ? bind_whole(b, 0) : invalid(b, "SELECT * is not supported for joins");
	for (uint16_t i = 0; i < b->scope.count; i++)
		if (str_eq(b->scope.names[i], s->projected_table))
			return bind_whole(b, b->scope.relations[i]);
	buf_printf(b->binder->error, "`%.*s` is not in scope", STR_FMT(s->projected_table));
	return WL_ERR_INVALID;
}

/* ---- ORDER BY, LIMIT ---- */

static bool is_output(const struct selecting *b, const struct scalar *s)
{
	for (uint32_t i = 0; i < b->x->output_count; i++) {
		const struct scalar *o = b->x->outputs[i];
		if (o == s || (o->kind == s->kind && ((s->kind == SCALAR_COLUMN && o->relation == s->relation &&
			o->column == s->column) || (s->kind == SCALAR_SLOT && o->slot == s->slot))))
			return true;
	}
	return false;
}

static enum wl_err bind_order(struct selecting *b, const struct ordering *order, struct sort_key *key)
{
	int32_t item = -1;
	bool is_position;
	enum wl_err err = column_at(b, order->by, "ORDER BY", b->x->output_count, &is_position, &item);
	if (err != WL_OK)
		return err;
	if (!is_position)
		item = item_named(b->s, order->by);
	for (uint32_t i = 0; item < 0 && i < b->s->item_count; i++)
		if (expr_equal(&b->compiler, order->by, b->s->items[i].column))
			item = (int32_t)i;
	*key = (struct sort_key){ .descends = order->descends, .nulls_first = order->nulls_first,
		.by = item >= 0 ? b->x->outputs[item] : scalar_compile(&b->compiler, order->by, NULL) };
	if (key->by == NULL)
		return WL_ERR_INVALID;
	if (b->s->is_distinct && !is_output(b, key->by))
		return invalid(b, "with SELECT DISTINCT, ORDER BY can only order by what is selected");
	return WL_OK;
}

static enum wl_err bind_orders(struct selecting *b)
{
	if (b->s->order_count > QUERY_ORDER_KEYS_MAX)
		return invalid(b, "ORDER BY takes at most 64 expressions");
	b->x->sorts = arena_array(&b->binder->query->arena, b->s->order_count + 1, sizeof(*b->x->sorts));
	if (b->x->sorts == NULL)
		return no_memory(b->binder->error);
	b->x->sort_count = b->s->order_count;
	for (uint32_t i = 0; i < b->s->order_count; i++) {
		enum wl_err err = bind_order(b, &b->s->orders[i], &b->x->sorts[i]);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

static enum wl_err bind_limits(struct selecting *b)
{
	const struct statement *s = b->s;
	b->binder->query->limit = UINT64_MAX;
	enum wl_err err = s->has_limit ? bind_number(b->binder, s->limit, &b->binder->query->limit) : WL_OK;
	if (err == WL_OK && s->has_offset)
		err = bind_number(b->binder, s->offset, &b->x->offset);
	return err;
}

static enum wl_err bind_having(struct selecting *b)
{
	if (b->s->having == NULL)
		return WL_OK;
	b->x->having = scalar_compile(&b->compiler, b->s->having, &sats_primitive[SATS_BOOL]);
	return b->x->having == NULL ? WL_ERR_INVALID : WL_OK;
}

enum wl_err bind_extended(struct binder *binder, const struct statement *s)
{
	struct selecting b = { .binder = binder, .s = s };
	b.x = arena_zalloc(&binder->query->arena, sizeof(*b.x));
	b.compiler = (struct compiler){ .binder = binder, .scope = &b.scope };
	if (b.x == NULL)
		return no_memory(binder->error);
	if (s->join_count > 0 && !all_qualified(s))
		return invalid(&b, "Names must be qualified when using joins");
	static enum wl_err (*const parts[])(struct selecting *) = { bind_groups, bind_outputs, bind_having, bind_orders,
		bind_limits };
	enum wl_err err = bind_extended_from(binder, s, &b.block, &b.scope);
	for (size_t i = 0; err == WL_OK && i < ARRAY_COUNT(parts); i++)
		err = parts[i](&b);
	b.x->is_distinct = s->is_distinct;
	binder->query->extended = b.x;
	return err == WL_OK ? rules_expand(binder, &b.block) : err;
}
