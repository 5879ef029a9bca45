/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typing of conditions, bidirectional: a literal takes its type from the other
 * side of its comparison (sql-and-subscriptions.md section 3). The result is a
 * tree of nodes over the rows of a block.
 */
#include "query/query_internal.h"

static void put_type(struct buf *error, const struct sats_type *type)
{
	sats_type_pretty(error, type);
}

static const struct node *unexpected(struct buf *error, const struct sats_type *expected,
	const struct sats_type *inferred)
{
	buf_put_cstr(error, "Unexpected type: (expected) ");
	put_type(error, expected);
	buf_put_cstr(error, " != ");
	put_type(error, inferred);
	buf_put_cstr(error, " (inferred)");
	return NULL;
}

static struct node *make(struct binder *binder, uint8_t kind)
{
	struct node *node = arena_zalloc(&binder->query->arena, sizeof(*node));
	if (node == NULL)
		(void)no_memory(binder->error);
	else
		node->kind = kind;
	return node;
}

int query_column_find(const struct store_table *table, struct str name)
{
	const struct store_table_def *def = store_table_def(table);
	uint32_t first = def->is_ephemeral ? 1 : 0;
	for (uint32_t i = first; i < def->column_count; i++)
		if (def->columns[i].accessor.data != NULL && str_eq(def->columns[i].accessor, name))
			return (int)i;
	for (uint32_t i = first; i < def->column_count; i++)
		if (str_eq(def->columns[i].name, name))
			return (int)i;
	return -1;
}

bool scope_find(struct binder *binder, const struct scope *scope, const struct expr *column, uint16_t *relation,
	uint16_t *position)
{
	uint16_t at = 0;
	if (column->table.data != NULL)
		while (at < scope->count && !str_eq(scope->names[at], column->table))
			at++;
	if (at >= scope->count || (column->table.data == NULL && scope->count > 1)) {
		buf_printf(binder->error, "`%.*s` is not in scope", STR_FMT(column->table));
		return false;
	}
	*relation = scope->relations[at];
	int found = query_column_find(scope->block->relations[*relation].table, column->name);
	if (found < 0) {
		buf_printf(binder->error, "`%.*s` is not in scope", STR_FMT(column->name));
		return false;
	}
	*position = (uint16_t)found;
	return true;
}

/* A column as a comparison needs it. */
struct place {
	uint16_t relation, column;
	const struct sats_row_layout *layout;
	const struct sats_type *type;
};
static bool resolve(struct binder *binder, const struct scope *scope, const struct expr *e, struct place *out)
{
	if (!scope_find(binder, scope, e, &out->relation, &out->column))
		return false;
	const struct relation *relation = &scope->block->relations[out->relation];
	out->layout = relation->layout;
	out->type = store_table_def(relation->table)->columns[out->column].type;
	return true;
}

bool query_comparable(const struct sats_type *type)
{
	switch (type->special) {
	case SATS_IDENTITY: case SATS_CONNECTION_ID: case SATS_TIMESTAMP: case SATS_UUID:
		return true;
	default:
		return type->tag >= SATS_STRING || sats_is_bytes(type);
	}
}

bool query_literal(struct binder *binder, const struct expr *expr, const struct sats_type *type, struct bytes *out)
{
	struct buf *error = binder->error;
	bool is_bool = expr->literal == LITERAL_TRUE || expr->literal == LITERAL_FALSE;
	struct buf value = BUF_INIT(QUERY_TEXT_MAX * 2);
	if (type->tag == SATS_BOOL && is_bool) {
		buf_put_u8(&value, expr->literal == LITERAL_TRUE);
	} else if (is_bool) {
		(void)unexpected(error, &sats_primitive[SATS_BOOL], type);
		return false;
	} else if (type->tag == SATS_BOOL || sats_parse_literal(&value, type, expr->name) != WL_OK) {
		buf_printf(error, "The literal expression `%.*s` cannot be parsed as type `", STR_FMT(expr->name));
		put_type(error, type);
		buf_put_cstr(error, "`");
		buf_deinit(&value);
		return false;
	}
	const uint8_t *copy = arena_copy(&binder->query->arena, value.data, value.len);
	*out = (struct bytes){ copy, value.len };
	bool failed = value.failed || copy == NULL;
	buf_deinit(&value);
	if (failed)
		(void)no_memory(error);
	return !failed;
}

bool query_sender(struct binder *binder, const struct sats_type *type, struct bytes *out)
{
	const struct identity *identity = &binder->caller->identity;
	uint8_t *value = arena_alloc(&binder->query->arena, 36);
	binder->query->depends_on_caller = binder->query->uses_sender = true;
	if (value == NULL) {
		(void)no_memory(binder->error);
		return false;
	}
	if (type->special == SATS_IDENTITY) {
		memcpy(value, identity->le, 32);
		*out = (struct bytes){ value, 32 };
		return true;
	}
	if (sats_is_bytes(type)) {
		store_u32(value, 32);
		for (int i = 0; i < 32; i++)
			value[4 + i] = identity->le[31 - i];
		*out = (struct bytes){ value, 36 };
		return true;
	}
	buf_put_cstr(binder->error, "Unexpected type: (expected) (__identity__: U256) != ");
	put_type(binder->error, type);
	buf_put_cstr(binder->error, " (inferred)");
	return false;
}

static enum compare_op mirrored(enum compare_op op)
{
	static const enum compare_op mirror[] = { OP_EQ, OP_NE, OP_GT, OP_GE, OP_LT, OP_LE };
	return mirror[op];
}

static const struct node *invalid_operator(struct buf *error, enum compare_op op, const struct sats_type *type)
{
	static const char *const names[] = { "=", "<>", "<", "<=", ">", ">=" };
	buf_printf(error, "Invalid binary operator `%s` for type `", names[op]);
	put_type(error, type);
	buf_put_cstr(error, "`");
	return NULL;
}

static const struct node *column_constant(struct binder *binder, const struct place *column, enum compare_op op,
	const struct expr *value)
{
	const struct sats_type *type = column->type;
	struct node *node = make(binder, NODE_COMPARE_CONSTANT);
	if (node == NULL)
		return NULL;
	bool ok = value->kind == EXPR_SENDER ? query_sender(binder, type, &node->constant)
		: query_literal(binder, value, type, &node->constant);
	if (!ok)
		return NULL;
	if (!query_comparable(type))
		return invalid_operator(binder->error, op, type);
	node->op = (uint8_t)op;
	node->relation = column->relation;
	node->column = column->column;
	node->layout = column->layout;
	node->type = type;
	node->has_key = sats_has_scalar_key(type);
	if (node->has_key)
		node->key = sats_scalar_key(type, node->constant.data);
	return node;
}

static const struct node *two_columns(struct binder *binder, const struct place *a, const struct place *b,
	enum compare_op op)
{
	if (!sats_type_eq(a->type, b->type))
		return unexpected(binder->error, b->type, a->type);
	if (!query_comparable(a->type))
		return invalid_operator(binder->error, op, a->type);
	struct node *node = make(binder, NODE_COMPARE_COLUMNS);
	if (node == NULL)
		return NULL;
	node->op = (uint8_t)op;
	node->relation = a->relation;
	node->column = a->column;
	node->layout = a->layout;
	node->relation2 = b->relation;
	node->column2 = b->column;
	node->layout2 = b->layout;
	node->type = a->type;
	node->has_key = sats_has_scalar_key(a->type);
	return node;
}

static bool is_bool_literal(const struct expr *e)
{
	return e->kind == EXPR_LITERAL && (e->literal == LITERAL_TRUE || e->literal == LITERAL_FALSE);
}

/* A comparison whose side is itself a condition: (a < 1) = true. Each side is evaluated once, at any depth. */
static const struct node *compare_conditions(struct binder *binder, const struct node *a, const struct node *b,
	enum compare_op op)
{
	struct node *node = make(binder, NODE_COMPARE_CONDITIONS);
	if (node == NULL)
		return NULL;
	node->op = (uint8_t)op;
	node->left = a;
	node->right = b;
	return node;
}

static const struct node *compare_constants(struct binder *binder, const struct expr *e)
{
	const struct expr *l = e->left, *r = e->right;
	if (l->kind == EXPR_SENDER && r->kind == EXPR_SENDER)
		return make(binder, order_holds(0, e->op) ? NODE_TRUE : NODE_FALSE);
	if (is_bool_literal(l) && is_bool_literal(r)) {
		int order = (l->literal == LITERAL_TRUE) - (r->literal == LITERAL_TRUE);
		return make(binder, order_holds(order, e->op) ? NODE_TRUE : NODE_FALSE);
	}
	if (l->kind == EXPR_LITERAL && is_bool_literal(r)) {
		buf_printf(binder->error, "The literal expression `%.*s` cannot be parsed as type `Bool`", STR_FMT(l->name));
		return NULL;
	}
	if (l->kind == EXPR_LITERAL && r->kind == EXPR_LITERAL) {
		buf_put_cstr(binder->error, "Cannot resolve type for literal expression");
		return NULL;
	}
	return unexpected(binder->error, &sats_primitive[SATS_BOOL], &sats_primitive[SATS_STRING]);
}

static const struct node *compare(struct binder *binder, const struct scope *scope, const struct expr *e)
{
	const struct expr *l = e->left, *r = e->right;
	bool l_const = l->kind == EXPR_LITERAL || l->kind == EXPR_SENDER;
	bool r_const = r->kind == EXPR_LITERAL || r->kind == EXPR_SENDER;
	struct place left, right;
	if (l_const && r_const)
		return compare_constants(binder, e);
	if (l_const) {
		if (r->kind == EXPR_COLUMN)
			return resolve(binder, scope, r, &right) ? column_constant(binder, &right, mirrored(e->op), l) : NULL;
	} else if (l->kind == EXPR_COLUMN) {
		if (!resolve(binder, scope, l, &left))
			return NULL;
		if (r_const)
			return column_constant(binder, &left, e->op, r);
		if (r->kind == EXPR_COLUMN)
			return resolve(binder, scope, r, &right) ? two_columns(binder, &left, &right, e->op) : NULL;
	}
	const struct node *a = query_type_condition(binder, scope, l);
	const struct node *b = a == NULL ? NULL : query_type_condition(binder, scope, r);
	return b == NULL ? NULL : compare_conditions(binder, a, b, e->op);
}

static const struct node *bool_column(struct binder *binder, const struct scope *scope, const struct expr *e)
{
	struct place column;
	if (!resolve(binder, scope, e, &column))
		return NULL;
	if (column.type->tag != SATS_BOOL)
		return unexpected(binder->error, column.type, &sats_primitive[SATS_BOOL]);
	struct node *node = make(binder, NODE_BOOL_COLUMN);
	if (node == NULL)
		return NULL;
	node->relation = column.relation;
	node->column = column.column;
	node->layout = column.layout;
	return node;
}

const struct node *query_type_condition(struct binder *binder, const struct scope *scope, const struct expr *e)
{
	switch (e->kind) {
	case EXPR_COLUMN:
		return bool_column(binder, scope, e);
	case EXPR_LITERAL:
		if (is_bool_literal(e))
			return make(binder, e->literal == LITERAL_TRUE ? NODE_TRUE : NODE_FALSE);
		buf_printf(binder->error, "The literal expression `%.*s` cannot be parsed as type `Bool`", STR_FMT(e->name));
		return NULL;
	case EXPR_SENDER:
		buf_put_cstr(binder->error, "Unexpected type: (expected) (__identity__: U256) != Bool (inferred)");
		return NULL;
	case EXPR_COMPARE:
		return compare(binder, scope, e);
	case EXPR_AND:
	case EXPR_OR:
	case EXPR_NOT:
		break;
	case EXPR_ARITHMETIC: case EXPR_NEGATE: case EXPR_IN: case EXPR_BETWEEN: case EXPR_LIKE: case EXPR_IS_NULL:
	case EXPR_AGGREGATE: /* the grammar of the reference has none of them */
		buf_put_cstr(binder->error, "Unsupported expression");
		return NULL;
	}
	const struct node *left = query_type_condition(binder, scope, e->left);
	if (left == NULL)
		return NULL;
	const struct node *right = NULL;
	if (e->kind != EXPR_NOT) {
		right = query_type_condition(binder, scope, e->right);
		if (right == NULL)
			return NULL;
	}
	struct node *node = make(binder, e->kind == EXPR_AND ? NODE_AND : e->kind == EXPR_OR ? NODE_OR : NODE_NOT);
	if (node == NULL)
		return NULL;
	node->left = left;
	node->right = right;
	return node;
}
