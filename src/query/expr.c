/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions of the extended language, typed. Both sides of everything have
 * one type; literals have none of their own and take the other side's. So
 * types are inferred first, upwards, once for each node, and what has none
 * then is given the one that is expected.
 *
 * Over groups an expression that is one of GROUP BY is the group's key, and an
 * aggregate one of its slots; a column anywhere else says nothing of a group.
 */
#include "query/extended_internal.h"

#include <stdlib.h>

static const struct sats_type *const bool_type = &sats_primitive[SATS_BOOL];

static const struct scalar *unexpected(struct compiler *c, const struct sats_type *is, const struct sats_type *wanted)
{
	struct buf *error = c->binder->error;
	buf_put_cstr(error, "Unexpected type: (expected) ");
	sats_type_pretty(error, is);
	buf_put_cstr(error, " != ");
	sats_type_pretty(error, wanted);
	buf_put_cstr(error, " (inferred)");
	return NULL;
}

static const struct scalar *refuse(struct compiler *c, const char *text)
{
	buf_put_cstr(c->binder->error, text);
	return NULL;
}

static const struct scalar *refuse_type(struct compiler *c, const char *what, const struct sats_type *type)
{
	buf_printf(c->binder->error, "%s for type `", what);
	sats_type_pretty(c->binder->error, type);
	buf_put_cstr(c->binder->error, "`");
	return NULL;
}

static struct scalar *make(struct compiler *c, enum scalar_kind kind, const struct sats_type *type)
{
	struct scalar *s = arena_zalloc(&c->binder->query->arena, sizeof(*s));
	if (s == NULL) {
		(void)no_memory(c->binder->error);
		return NULL;
	}
	s->kind = (uint8_t)kind;
	s->type = type;
	return s;
}

/* NULL goes through almost everything. */
static void take_nullable(struct scalar *s, const struct scalar *part)
{
	s->is_nullable |= part->is_nullable;
	s->may_be_empty |= part->may_be_empty;
}

/* ---- types, upwards ---- */

static const struct sats_type *column_type(struct compiler *c, const struct expr *e, uint16_t *relation,
	uint16_t *column)
{
	if (!scope_find(c->binder, c->scope, e, relation, column))
		return NULL;
	return store_table_def(c->scope->block->relations[*relation].table)->columns[*column].type;
}

static const struct sats_type *value_type(const struct sats_type *type)
{
	return type->special == SATS_OPTION ? type->elements[0].type : type;
}

const struct sats_type *aggregate_type(enum aggregate_kind kind, const struct sats_type *argument)
{
	if (kind == AGGREGATE_COUNT_ROWS || kind == AGGREGATE_COUNT)
		return &sats_primitive[SATS_U64];
	if (kind == AGGREGATE_MIN || kind == AGGREGATE_MAX)
		return argument;
	if (!number_is(argument))
		return NULL;
	if (kind == AGGREGATE_AVG || argument->tag == SATS_F32 || argument->tag == SATS_F64)
		return &sats_primitive[SATS_F64];
	bool is_wide = argument->tag >= SATS_I128;
	if (number_is_signed(argument))
		return &sats_primitive[is_wide ? SATS_I256 : SATS_I128];
	return &sats_primitive[is_wide ? SATS_U256 : SATS_U128];
}

static bool infer(struct compiler *c, struct expr *e);

static bool infer_aggregate(struct compiler *c, struct expr *e)
{
	static const char *const names[] = { "COUNT", "COUNT", "SUM", "MIN", "MAX", "AVG" };
	const struct sats_type *argument = NULL;
	if (e->left != NULL) {
		if (!infer(c, e->left))
			return false;
		argument = e->left->type;
		if (argument == NULL && (e->aggregate != AGGREGATE_COUNT || e->is_distinct || e->left->kind != EXPR_LITERAL)) {
			(void)refuse(c, "Cannot resolve type for literal expression");
			return false;
		}
	}
	e->type = aggregate_type((enum aggregate_kind)e->aggregate, argument);
	if (e->type == NULL) {
		buf_printf(c->binder->error, "%s needs a number, not a value of type `", names[e->aggregate]);
		sats_type_pretty(c->binder->error, argument);
		buf_put_cstr(c->binder->error, "`");
	}
	return e->type != NULL;
}

/* e->type, NULL: whatever it meets. False: error written. */
static bool infer(struct compiler *c, struct expr *e)
{
	uint16_t relation, column;
	if (e->is_typed)
		return true;
	switch (e->kind) {
	case EXPR_COLUMN:
		e->type = column_type(c, e, &relation, &column);
		if (e->type == NULL)
			return false;
		e->type = value_type(e->type);
		break;
	case EXPR_LITERAL:
		e->type = e->literal == LITERAL_TRUE || e->literal == LITERAL_FALSE ? bool_type : NULL;
		break;
	case EXPR_SENDER:
		break;
	case EXPR_ARITHMETIC:
		if (!infer(c, e->left) || !infer(c, e->right))
			return false;
		e->type = e->left->type != NULL ? e->left->type : e->right->type;
		break;
	case EXPR_NEGATE:
		if (!infer(c, e->left))
			return false;
		e->type = e->left->type;
		break;
	case EXPR_AGGREGATE:
		if (!infer_aggregate(c, e))
			return false;
		break;
	case EXPR_COMPARE: case EXPR_AND: case EXPR_OR: case EXPR_NOT: case EXPR_IN: case EXPR_BETWEEN: case EXPR_LIKE:
	case EXPR_IS_NULL:
		e->type = bool_type;
		break;
	}
	e->is_typed = true;
	return true;
}

/* ---- leaves ---- */

static const struct scalar *compile_column(struct compiler *c, const struct expr *e)
{
	uint16_t relation, column;
	const struct sats_type *type = column_type(c, e, &relation, &column);
	if (type == NULL)
		return NULL;
	if (c->grouping != NULL) {
		buf_printf(c->binder->error, "`%.*s` must be in GROUP BY or inside an aggregate function", STR_FMT(e->name));
		return NULL;
	}
	struct scalar *s = make(c, SCALAR_COLUMN, value_type(type));
	if (s == NULL)
		return NULL;
	const struct relation *r = &c->scope->block->relations[relation];
	s->relation = relation;
	s->column = column;
	s->layout = r->layout;
	s->is_option = type->special == SATS_OPTION;
	s->is_nullable = s->is_option || r->is_left;
	return s;
}

static const struct scalar *compile_constant(struct compiler *c, const struct expr *e, const struct sats_type *type)
{
	struct scalar *s = make(c, SCALAR_CONSTANT, type);
	if (s == NULL)
		return NULL;
	bool ok = e->kind == EXPR_SENDER ? query_sender(c->binder, type, &s->constant)
		: query_literal(c->binder, e, type, &s->constant);
	return ok ? s : NULL;
}

/* Without columns it is what it is. */
static const struct scalar *fold(struct compiler *c, struct scalar *s)
{
	bool constant = s->left->kind == SCALAR_CONSTANT && (s->right == NULL || s->right->kind == SCALAR_CONSTANT);
	struct evaluation ev = { .error = c->binder->error };
	struct value value;
	if (!constant)
		return s;
	if (!scalar_eval(&ev, s, &value))
		return NULL;
	const uint8_t *copy = arena_copy(&c->binder->query->arena, value.data, value.len);
	if (copy == NULL) {
		(void)no_memory(c->binder->error);
		return NULL;
	}
	s->kind = SCALAR_CONSTANT;
	s->constant = (struct bytes){ copy, value.len };
	return s;
}

static const struct scalar *compile_arithmetic(struct compiler *c, struct expr *e, const struct sats_type *type)
{
	char what[] = "Invalid operator `+`";
	what[sizeof(what) - 3] = e->kind == EXPR_NEGATE ? '-' : e->symbol;
	if (!number_is(type) || (e->kind == EXPR_NEGATE && !number_is_signed(type)))
		return refuse_type(c, what, type);
	struct scalar *s = make(c, e->kind == EXPR_NEGATE ? SCALAR_NEGATE : SCALAR_ARITHMETIC, type);
	if (s == NULL || (s->left = scalar_compile(c, e->left, type)) == NULL)
		return NULL;
	take_nullable(s, s->left);
	s->symbol = e->symbol;
	if (e->kind == EXPR_ARITHMETIC) {
		s->right = scalar_compile(c, e->right, type);
		if (s->right == NULL)
			return NULL;
		take_nullable(s, s->right);
	}
	return fold(c, s);
}

/* ---- conditions ---- */

/* The reference refuses to compare an Option, in every way that it can say; so do we. */
static const struct sats_type *bare_option(struct compiler *c, const struct expr *e, const struct expr *other)
{
	uint16_t relation, column;
	bool plain = other->kind == EXPR_COLUMN || other->kind == EXPR_LITERAL || other->kind == EXPR_SENDER;
	if (e->kind != EXPR_COLUMN || !plain)
		return NULL;
	const struct sats_type *type = column_type(c, e, &relation, &column);
	return type != NULL && type->special == SATS_OPTION ? type : NULL;
}

static const struct scalar *compile_compare(struct compiler *c, struct expr *e)
{
	static const char *const names[] = { "Invalid binary operator `=`", "Invalid binary operator `<>`",
		"Invalid binary operator `<`", "Invalid binary operator `<=`", "Invalid binary operator `>`",
		"Invalid binary operator `>=`" };
	struct expr *l = e->left, *r = e->right;
	if (!infer(c, l) || !infer(c, r))
		return NULL;
	const struct sats_type *type = l->type != NULL ? l->type : r->type;
	if (type == NULL && !(l->kind == EXPR_SENDER && r->kind == EXPR_SENDER))
		return refuse(c, "Cannot resolve type for literal expression");
	const struct sats_type *left = bare_option(c, l, r), *option = left != NULL ? left : bare_option(c, r, l);
	if (option != NULL) {
		(void)refuse_type(c, names[e->op], option);
		return refuse(c, "; IN, BETWEEN, LIKE and IS NULL take such a column");
	}
	struct scalar *s = make(c, SCALAR_COMPARE, bool_type);
	if (s == NULL)
		return NULL;
	if (type == NULL) { /* both are the sender */
		s->kind = SCALAR_CONSTANT;
		s->constant = (struct bytes){ order_holds(0, e->op) ? (const uint8_t *)"\1" : (const uint8_t *)"", 1 };
		return s;
	}
	if ((s->left = scalar_compile(c, l, type)) == NULL || (s->right = scalar_compile(c, r, type)) == NULL)
		return NULL;
	if (!query_comparable(type))
		return refuse_type(c, names[e->op], type);
	s->op = (uint8_t)e->op;
	s->has_key = sats_has_scalar_key(type);
	take_nullable(s, s->left);
	take_nullable(s, s->right);
	return s;
}

static const struct scalar *compile_logic(struct compiler *c, struct expr *e)
{
	struct scalar *s = make(c, e->kind == EXPR_AND ? SCALAR_AND : e->kind == EXPR_OR ? SCALAR_OR : SCALAR_NOT,
		bool_type);
	if (s == NULL || (s->left = scalar_compile(c, e->left, bool_type)) == NULL)
		return NULL;
	take_nullable(s, s->left);
	if (e->kind == EXPR_NOT)
		return s;
	s->right = scalar_compile(c, e->right, bool_type);
	if (s->right == NULL)
		return NULL;
	take_nullable(s, s->right);
	return s;
}

static int order_bytes(const void *a, const void *b, void *type)
{
	return sats_compare(type, NULL, ((const struct bytes *)a)->data, ((const struct bytes *)b)->data);
}

/* A list of constants is sorted once: each look takes its logarithm. */
static bool make_set(struct compiler *c, struct scalar *s)
{
	struct arena *arena = &c->binder->query->arena;
	struct constants *set = arena_alloc(arena, sizeof(*set));
	struct bytes *values = arena_array(arena, s->item_count, sizeof(*values));
	if (set == NULL || values == NULL)
		return false;
	for (uint32_t i = 0; i < s->item_count; i++)
		values[i] = s->items[i]->constant;
	qsort_r(values, s->item_count, sizeof(*values), order_bytes, (void *)(uintptr_t)s->left->type);
	uint32_t count = 0;
	for (uint32_t i = 0; i < s->item_count; i++)
		if (count == 0 || sats_compare(s->left->type, NULL, values[count - 1].data, values[i].data) != 0)
			values[count++] = values[i];
	*set = (struct constants){ count, values };
	s->set = set;
	s->kind = SCALAR_IN_SET;
	return true;
}

/* IN and BETWEEN: whatever has a type gives it to all. */
static const struct scalar *compile_list(struct compiler *c, struct expr *e)
{
	struct scalar *s = make(c, e->kind == EXPR_IN ? SCALAR_IN : SCALAR_BETWEEN, bool_type);
	bool constant = true;
	if (s == NULL || !infer(c, e->left))
		return NULL;
	const struct sats_type *type = e->left->type;
	for (uint32_t i = 0; i < e->item_count; i++) {
		if (!infer(c, e->items[i]))
			return NULL;
		type = type != NULL ? type : e->items[i]->type;
	}
	if (type == NULL)
		return refuse(c, "Cannot resolve type for literal expression");
	s->is_negated = e->is_negated;
	s->left = scalar_compile(c, e->left, type);
	s->items = arena_array(&c->binder->query->arena, e->item_count, sizeof(*s->items));
	if (s->left == NULL || s->items == NULL)
		return s->left == NULL ? NULL : refuse(c, "not enough memory for the query");
	take_nullable(s, s->left);
	for (uint32_t i = 0; i < e->item_count; i++) {
		s->items[i] = scalar_compile(c, e->items[i], type);
		if (s->items[i] == NULL)
			return NULL;
		take_nullable(s, s->items[i]);
		constant = constant && s->items[i]->kind == SCALAR_CONSTANT;
	}
	s->item_count = e->item_count;
	if (!query_comparable(type))
		return refuse_type(c, e->kind == EXPR_IN ? "Invalid operator `IN`" : "Invalid operator `BETWEEN`", type);
	if (constant && e->kind == EXPR_IN && !make_set(c, s))
		return refuse(c, "not enough memory for the query");
	return s;
}

static const struct scalar *compile_like(struct compiler *c, struct expr *e)
{
	const struct sats_type *text = &sats_primitive[SATS_STRING];
	struct scalar *s = make(c, SCALAR_LIKE, bool_type);
	if (s == NULL || (s->left = scalar_compile(c, e->left, text)) == NULL ||
		(s->right = scalar_compile(c, e->right, text)) == NULL)
		return NULL;
	s->is_negated = e->is_negated;
	s->ignores_case = e->ignores_case;
	take_nullable(s, s->left);
	take_nullable(s, s->right);
	struct str escape = e->item_count > 0 ? e->items[0]->name : STR("\\");
	size_t chars = 0;
	for (size_t i = 0; i < escape.len; i++)
		chars += ((uint8_t)escape.data[i] & 0xc0) != 0x80;
	if (chars > 1)
		return refuse(c, "ESCAPE takes one character, or none");
	s->escape = arena_str(&c->binder->query->arena, escape);
	if (s->escape.data == NULL)
		return refuse(c, "not enough memory for the query");
	struct bytes pattern = s->right->constant;
	if (s->right->kind == SCALAR_CONSTANT &&
		!like_is_valid((struct str){ (const char *)pattern.data + 4, pattern.len - 4 }, s->escape))
		return refuse(c, "a LIKE pattern must not end with the escape character");
	return s;
}

static const struct scalar *compile_is_null(struct compiler *c, struct expr *e)
{
	struct scalar *s = make(c, SCALAR_IS_NULL, bool_type);
	if (s == NULL || (s->left = scalar_compile(c, e->left, NULL)) == NULL)
		return NULL;
	s->is_negated = e->is_negated;
	return s;
}

/* ---- groups ---- */

bool expr_equal(struct compiler *c, const struct expr *a, const struct expr *b)
{
	uint16_t relation_a, column_a, relation_b, column_b;
	if (a == b)
		return true;
	if (a == NULL || b == NULL || a->kind != b->kind || a->depth != b->depth || a->item_count != b->item_count)
		return false;
	if (a->kind == EXPR_COLUMN) {
		size_t len = c->binder->error->len; /* what is not there is told when it is compiled */
		bool known = column_type(c, a, &relation_a, &column_a) != NULL &&
			column_type(c, b, &relation_b, &column_b) != NULL;
		c->binder->error->len = len;
		return known && relation_a == relation_b && column_a == column_b;
	}
	if (a->kind == EXPR_LITERAL)
		return a->literal == b->literal && str_eq(a->name, b->name);
	if (a->op != b->op || a->is_negated != b->is_negated || a->is_distinct != b->is_distinct ||
		a->ignores_case != b->ignores_case || a->symbol != b->symbol || a->aggregate != b->aggregate)
		return false;
	for (uint32_t i = 0; i < a->item_count; i++)
		if (!expr_equal(c, a->items[i], b->items[i]))
			return false;
	return expr_equal(c, a->right, b->right) && expr_equal(c, a->left, b->left);
}

static const struct scalar *slot(struct compiler *c, uint32_t index, const struct sats_type *type)
{
	struct scalar *s = make(c, SCALAR_SLOT, type);
	if (s != NULL)
		s->slot = index;
	return s;
}

static const struct scalar *compile_key(struct compiler *c, uint32_t key)
{
	const struct scalar *of = c->grouping->extended->keys[key];
	struct scalar *s = (struct scalar *)(uintptr_t)slot(c, key, of->type);
	if (s != NULL)
		s->is_nullable = of->is_nullable;
	return s;
}

static const struct scalar *compile_aggregate(struct compiler *c, struct expr *e)
{
	if (c->grouping == NULL)
		return refuse(c, "aggregate functions are not supported here; HAVING has conditions on groups");
	struct extended *x = c->grouping->extended;
	struct compiler over_rows = { .binder = c->binder, .scope = c->scope };
	uint32_t i = 0;
	while (i < x->aggregate_count && !expr_equal(c, x->aggregates[i].expr, e))
		i++;
	if (i == QUERY_AGGREGATES_MAX)
		return refuse(c, "a query may have at most 256 different aggregates");
	struct aggregate *a = &x->aggregates[i];
	if (i == x->aggregate_count) {
		*a = (struct aggregate){ .kind = e->aggregate, .is_distinct = e->is_distinct, .expr = e, .type = e->type };
		bool is_literal = e->left != NULL && e->left->type == NULL;
		const struct sats_type *literal = is_literal ? &sats_primitive[SATS_STRING] : NULL;
		if (e->left != NULL && (a->argument = scalar_compile(&over_rows, e->left, literal)) == NULL)
			return NULL;
		x->aggregate_count++;
	}
	struct scalar *s = (struct scalar *)(uintptr_t)slot(c, x->key_count + i, a->type);
	if (s == NULL || a->kind == AGGREGATE_COUNT_ROWS || a->kind == AGGREGATE_COUNT)
		return s;
	s->is_nullable = a->argument->is_nullable;
	s->may_be_empty = x->is_global;
	return s;
}

/* ---- all ---- */

static const struct scalar *compile_typed(struct compiler *c, struct expr *e, const struct sats_type *type)
{
	switch (e->kind) {
	case EXPR_COLUMN:
		return compile_column(c, e);
	case EXPR_LITERAL:
	case EXPR_SENDER:
		return compile_constant(c, e, type);
	case EXPR_ARITHMETIC:
	case EXPR_NEGATE:
		return compile_arithmetic(c, e, type);
	case EXPR_COMPARE:
		return compile_compare(c, e);
	case EXPR_AND:
	case EXPR_OR:
	case EXPR_NOT:
		return compile_logic(c, e);
	case EXPR_IN:
	case EXPR_BETWEEN:
		return compile_list(c, e);
	case EXPR_LIKE:
		return compile_like(c, e);
	case EXPR_IS_NULL:
		return compile_is_null(c, e);
	case EXPR_AGGREGATE:
		return compile_aggregate(c, e);
	}
	return NULL;
}

const struct scalar *scalar_compile(struct compiler *c, struct expr *e, const struct sats_type *expected)
{
	bool is_logic = e->kind == EXPR_AND || e->kind == EXPR_OR;
	if (!infer(c, e))
		return NULL;
	for (uint32_t i = 0; c->grouping != NULL && i < c->grouping->group_count; i++)
		if (expr_equal(c, e, c->grouping->groups[i])) {
			const struct scalar *key = compile_key(c, i);
			return key == NULL || expected == NULL || sats_type_eq(key->type, expected) ? key
				: unexpected(c, key->type, expected);
		}
	const struct sats_type *type = e->type != NULL ? e->type : expected;
	if (type == NULL)
		return refuse(c, "Cannot resolve type for literal expression");
	if (expected != NULL && !sats_type_eq(type, expected))
		return unexpected(c, type, expected);
	c->depth += !is_logic;
	if (c->depth > QUERY_EXPRESSION_DEPTH_MAX)
		return refuse(c, "Recursion limit exceeded, `expr::type_expr`");
	const struct scalar *s = compile_typed(c, e, type);
	c->depth -= !is_logic;
	return s;
}
