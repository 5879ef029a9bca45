/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WHERE and ON of the extended language. Each conjunct becomes what is
 * cheapest: a plain condition where one can say it (the planner reads those,
 * and rows are checked against them without any state), else a test.
 *
 * What a LEFT JOIN may have made NULL is only looked at by tests, and its ON
 * is tests of its own: they decide about a match, not about the tuple.
 */
#include "query/extended_internal.h"

struct conditions {
	struct binder *binder;
	struct block *block;
	const struct scope *scope;
	uint16_t of;             /* the LEFT JOIN whose ON this is */
	bool has_left;
	enum wl_err err;
};

static bool failed(struct conditions *c, enum wl_err err)
{
	if (err == WL_ERR_MEMORY)
		(void)no_memory(c->binder->error);
	c->err = err;
	return false;
}

/* One more at the end; few, and each text has at most some thousands. */
static bool append(struct conditions *c, void *list, uint32_t *count, const void *item)
{
	struct arena *arena = &c->binder->query->arena;
	const void ***items = list;
	if ((*count & (*count - 1)) == 0) { /* 0 or a power of two: full */
		const void **grown = arena_array(arena, *count == 0 ? 1 : (size_t)*count * 2, sizeof(*grown));
		if (grown == NULL)
			return failed(c, WL_ERR_MEMORY);
		if (*count > 0)
			memcpy(grown, *items, *count * sizeof(*grown));
		*items = grown;
	}
	(*items)[(*count)++] = item;
	return true;
}

static bool add_plain(struct conditions *c, const struct node *node)
{
	if (node->kind == NODE_TRUE)
		return true;
	return append(c, &c->block->where, &c->block->where_count, node);
}

/* ---- what an expression looks at ---- */

static void mark_relations(const struct scalar *s, bool *seen)
{
	for (; s != NULL; s = s->left) {
		if (s->kind == SCALAR_COLUMN)
			seen[s->relation] = true;
		if (s->right != NULL)
			mark_relations(s->right, seen);
		for (uint32_t i = 0; i < s->item_count; i++)
			mark_relations(s->items[i], seen);
	}
}

bool scalar_relations(struct binder *binder, const struct scalar *s, uint16_t relation_count, const uint16_t **out,
	uint16_t *count)
{
	bool seen[QUERY_RELATIONS_MAX] = { false };
	uint16_t n = 0, at = 0;
	mark_relations(s, seen);
	for (uint16_t i = 0; i < relation_count; i++)
		n += seen[i];
	uint16_t *list = arena_array(&binder->query->arena, n > 0 ? n : 1, sizeof(*list));
	if (list == NULL)
		return false;
	for (uint16_t i = 0; i < relation_count; i++)
		if (seen[i])
			list[at++] = i;
	*out = list;
	*count = n;
	return true;
}

/* ---- plain conditions ---- */

static struct node *constant_node(struct binder *binder, const struct scalar *column, enum compare_op op,
	struct bytes constant)
{
	struct node *n = arena_zalloc(&binder->query->arena, sizeof(*n));
	if (n == NULL)
		return NULL;
	*n = (struct node){ .kind = NODE_COMPARE_CONSTANT, .op = (uint8_t)op, .relation = column->relation,
		.column = column->column, .layout = column->layout, .type = column->type, .constant = constant,
		.has_key = sats_has_scalar_key(column->type) };
	if (n->has_key)
		n->key = sats_scalar_key(column->type, constant.data);
	return n;
}

static bool is_plain_column(const struct scalar *s)
{
	return s->kind == SCALAR_COLUMN && !s->is_option;
}

const struct node *scalar_as_node(struct binder *binder, const struct scalar *s, bool *out_of_memory)
{
	static const enum compare_op mirror[] = { OP_EQ, OP_NE, OP_GT, OP_GE, OP_LT, OP_LE };
	const struct scalar *l = s->left, *r = s->right;
	struct node *n = NULL;
	*out_of_memory = false;
	if (s->kind == SCALAR_IN_SET && s->set->count == 1 && is_plain_column(l)) {
		n = constant_node(binder, l, s->is_negated ? OP_NE : OP_EQ, s->set->values[0]);
	} else if (s->kind != SCALAR_COMPARE) {
		return NULL;
	} else if (is_plain_column(l) && r->kind == SCALAR_CONSTANT) {
		n = constant_node(binder, l, (enum compare_op)s->op, r->constant);
	} else if (l->kind == SCALAR_CONSTANT && is_plain_column(r)) {
		n = constant_node(binder, r, mirror[s->op], l->constant);
	} else if (is_plain_column(l) && is_plain_column(r)) {
		n = arena_zalloc(&binder->query->arena, sizeof(*n));
		if (n != NULL)
			*n = (struct node){ .kind = NODE_COMPARE_COLUMNS, .op = s->op, .relation = l->relation,
				.column = l->column, .layout = l->layout, .relation2 = r->relation, .column2 = r->column,
				.layout2 = r->layout, .type = l->type, .has_key = s->has_key };
	} else {
		return NULL;
	}
	*out_of_memory = n == NULL;
	return n;
}

static bool is_leaf(const struct expr *e)
{
	return e->kind == EXPR_COLUMN || e->kind == EXPR_LITERAL || e->kind == EXPR_SENDER;
}

/* In the reference's grammar, whatever its types: its words are said about it. */
static bool is_plain(const struct expr *e)
{
	for (; !is_leaf(e); e = e->left) {
		if (e->kind != EXPR_COMPARE && e->kind != EXPR_AND && e->kind != EXPR_OR && e->kind != EXPR_NOT)
			return false;
		if (e->right != NULL && !is_plain(e->right))
			return false;
	}
	return true;
}

/* ---- LIKE as a range ---- */

static bool bound_of(struct conditions *c, const struct scalar *column, enum compare_op op, struct str text)
{
	struct arena *arena = &c->binder->query->arena;
	uint8_t *constant = arena_alloc(arena, text.len + 4);
	if (constant == NULL)
		return failed(c, WL_ERR_MEMORY);
	store_u32(constant, (uint32_t)text.len);
	memcpy(constant + 4, text.data, text.len);
	const struct node *n = constant_node(c->binder, column, op, (struct bytes){ constant, text.len + 4 });
	return n == NULL ? failed(c, WL_ERR_MEMORY) : add_plain(c, n);
}

/* 'abc%' begins where 'abc' is and ends before 'abd'. Behind other characters than ASCII the end is left open. */
static bool add_like_range(struct conditions *c, const struct scalar *s)
{
	struct str prefix;
	bool ok;
	if (s->kind != SCALAR_LIKE || s->is_negated || s->ignores_case || !is_plain_column(s->left) ||
		s->right->kind != SCALAR_CONSTANT)
		return true;
	struct bytes pattern = s->right->constant;
	bool exact = like_prefix(&c->binder->query->arena, (struct str){ (const char *)pattern.data + 4, pattern.len - 4 },
		s->escape, &prefix, &ok);
	if (!ok)
		return failed(c, WL_ERR_MEMORY);
	if (exact)
		return bound_of(c, s->left, OP_EQ, prefix);
	if (prefix.len == 0)
		return true;
	if (!bound_of(c, s->left, OP_GE, prefix))
		return false;
	char *last = (char *)(uintptr_t)&prefix.data[prefix.len - 1];
	if ((uint8_t)*last >= 0x7f)
		return true;
	++*last;
	return bound_of(c, s->left, OP_LT, prefix);
}

/* ---- conjuncts ---- */

static bool add_test(struct conditions *c, const struct scalar *s)
{
	struct test *test = arena_zalloc(&c->binder->query->arena, sizeof(*test));
	bool out_of_memory = false, may_be_null = false;
	if (test == NULL)
		return failed(c, WL_ERR_MEMORY);
	*test = (struct test){ .scalar = s, .of = c->of, .fact = scalar_as_node(c->binder, s, &out_of_memory) };
	if (out_of_memory ||
		!scalar_relations(c->binder, s, c->block->relation_count, &test->relations, &test->relation_count))
		return failed(c, WL_ERR_MEMORY);
	for (uint16_t i = 0; i < test->relation_count; i++)
		may_be_null = may_be_null || c->block->relations[test->relations[i]].is_left;
	if (c->of == NO_RELATION && !may_be_null) {
		if (test->fact != NULL)
			return add_plain(c, test->fact);
		if (!add_like_range(c, s))
			return false;
	}
	return append(c, &c->block->tests, &c->block->test_count, test);
}

static bool add_condition(struct conditions *c, struct expr *e);

/* The bounds of a column are two comparisons, which an index may answer. */
static bool add_bounds(struct conditions *c, struct expr *e)
{
	struct expr *bounds = arena_array(c->binder->syntax, 2, sizeof(*bounds));
	if (bounds == NULL)
		return failed(c, WL_ERR_MEMORY);
	for (int i = 0; i < 2; i++) {
		bounds[i] = (struct expr){ .kind = EXPR_COMPARE, .op = i == 0 ? OP_GE : OP_LE, .depth = e->depth + 1,
			.left = e->left, .right = e->items[i] };
		if (!add_condition(c, &bounds[i]))
			return false;
	}
	return true;
}

static bool has_bounds(struct conditions *c, const struct expr *e)
{
	uint16_t relation, column;
	size_t len = c->binder->error->len;
	if (e->kind != EXPR_BETWEEN || e->is_negated || e->left->kind != EXPR_COLUMN)
		return false;
	bool found = scope_find(c->binder, c->scope, e->left, &relation, &column);
	c->binder->error->len = len; /* whoever compiles it says so */
	return found &&
		store_table_def(c->block->relations[relation].table)->columns[column].type->special != SATS_OPTION;
}

static bool add_condition(struct conditions *c, struct expr *e)
{
	if (e->kind == EXPR_AND)
		return add_condition(c, e->left) && add_condition(c, e->right);
	if (has_bounds(c, e))
		return add_bounds(c, e);
	if (!c->has_left && is_plain(e)) {
		const struct node *node = query_type_condition(c->binder, c->scope, e);
		return node == NULL ? failed(c, WL_ERR_INVALID) : add_plain(c, node);
	}
	struct compiler compiler = { .binder = c->binder, .scope = c->scope };
	const struct scalar *s = scalar_compile(&compiler, e, &sats_primitive[SATS_BOOL]);
	return s == NULL ? failed(c, WL_ERR_INVALID) : add_test(c, s);
}

static enum wl_err add_conditions(struct binder *binder, struct block *block, const struct scope *scope, uint16_t of,
	bool has_left, struct expr *e)
{
	struct conditions c = { .binder = binder, .block = block, .scope = scope, .of = of, .has_left = has_left };
	return add_condition(&c, e) ? WL_OK : c.err;
}

enum wl_err bind_extended_where(struct binder *binder, struct expr *where, struct block *block,
	const struct scope *scope)
{
	return add_conditions(binder, block, scope, NO_RELATION, false, where);
}

/* ---- FROM ---- */

/* A view's table holds the rows of all its instances. */
static enum wl_err add_view(struct binder *binder, struct block *block, uint16_t relation)
{
	const struct relation *r = &block->relations[relation];
	struct conditions c = { .binder = binder, .block = block, .of = relation };
	if (!store_table_def(r->table)->is_ephemeral)
		return WL_OK;
	const struct node *node = bind_view(binder, block, relation);
	if (node == NULL)
		return no_memory(binder->error);
	if (!r->is_left)
		return add_plain(&c, node) ? WL_OK : c.err;
	struct scalar *parts = arena_array(&binder->query->arena, 3, sizeof(*parts));
	if (parts == NULL)
		return no_memory(binder->error);
	parts[0] = (struct scalar){ .kind = SCALAR_COMPARE, .op = OP_EQ, .type = &sats_primitive[SATS_BOOL],
		.left = &parts[1], .right = &parts[2] };
	parts[1] = (struct scalar){ .kind = SCALAR_COLUMN, .relation = relation, .type = node->type, .layout = r->layout };
	parts[2] = (struct scalar){ .kind = SCALAR_CONSTANT, .type = node->type, .constant = node->constant };
	return add_test(&c, parts) ? WL_OK : c.err;
}

enum wl_err bind_extended_from(struct binder *binder, const struct statement *s, struct block *block,
	struct scope *scope)
{
	bool has_left = false;
	enum wl_err err = bind_begin(binder, block, s->join_count + 1, scope);
	if (err == WL_OK)
		err = bind_relation(binder, s, &s->from, block, NULL, scope, -1);
	if (err == WL_OK)
		err = add_view(binder, block, 0);
	for (uint32_t i = 0; i < s->join_count; i++)
		has_left = has_left || s->joins[i].is_left;
	for (uint32_t i = 0; err == WL_OK && i < s->join_count; i++) {
		const struct join *join = &s->joins[i];
		err = bind_relation(binder, s, &join->relvar, block, NULL, scope, -1);
		if (err != WL_OK)
			return err;
		uint16_t relation = (uint16_t)(block->relation_count - 1);
		block->relations[relation].is_left = join->is_left;
		err = add_view(binder, block, relation);
		if (err == WL_OK && join->on != NULL)
			err = add_conditions(binder, block, scope, join->is_left ? relation : NO_RELATION, has_left, join->on);
	}
	if (err == WL_OK && s->where != NULL)
		err = add_conditions(binder, block, scope, NO_RELATION, has_left, s->where);
	return err;
}
