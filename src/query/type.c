/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typing of conditions, bidirectional: a literal takes its type from the other
 * side of its comparison (sql-and-subscriptions.md section 3). The result is a
 * tree of nodes over rows of one table.
 */
#include "query/query_internal.h"

#include <strings.h>

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

static struct node *make(struct query *query, uint8_t kind, struct buf *error)
{
	struct node *node = arena_zalloc(&query->arena, sizeof(*node));
	if (node == NULL)
		buf_put_cstr(error, "not enough memory for the query");
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

static int resolve(const struct query *query, struct str alias, const struct expr *expr, struct buf *error)
{
	if (expr->table.data != NULL && !str_eq(expr->table, alias)) {
		buf_printf(error, "`%.*s` is not in scope", STR_FMT(expr->table));
		return -1;
	}
	int column = query_column_find(query->table, expr->name);
	if (column < 0)
		buf_printf(error, "`%.*s` is not in scope", STR_FMT(expr->name));
	return column;
}

static const struct sats_type *column_type(const struct query *query, int column)
{
	return store_table_def(query->table)->columns[column].type;
}

static bool comparable(const struct sats_type *type)
{
	switch (type->special) {
	case SATS_IDENTITY: case SATS_CONNECTION_ID: case SATS_TIMESTAMP: case SATS_UUID:
		return true;
	default:
		return type->tag >= SATS_STRING || sats_is_bytes(type);
	}
}

bool query_literal(struct query *query, const struct expr *expr, const struct sats_type *type, struct bytes *out,
	struct buf *error)
{
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
	const uint8_t *copy = arena_copy(&query->arena, value.data, value.len);
	*out = (struct bytes){ copy, value.len };
	bool failed = value.failed || copy == NULL;
	buf_deinit(&value);
	if (failed)
		buf_put_cstr(error, "not enough memory for the query");
	return !failed;
}

/* :sender against a column of this type: an Identity, or its 32 bytes in big-endian order. */
static bool sender_value(struct query *query, const struct query_caller *caller, const struct sats_type *type,
	struct bytes *out, struct buf *error)
{
	uint8_t *value = arena_alloc(&query->arena, 36);
	query->depends_on_caller = true;
	if (value == NULL) {
		buf_put_cstr(error, "not enough memory for the query");
		return false;
	}
	if (type->special == SATS_IDENTITY) {
		memcpy(value, caller->identity.le, 32);
		*out = (struct bytes){ value, 32 };
		return true;
	}
	if (sats_is_bytes(type)) {
		store_u32(value, 32);
		for (int i = 0; i < 32; i++)
			value[4 + i] = caller->identity.le[31 - i];
		*out = (struct bytes){ value, 36 };
		return true;
	}
	buf_put_cstr(error, "Unexpected type: (expected) (__identity__: U256) != ");
	put_type(error, type);
	buf_put_cstr(error, " (inferred)");
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

static const struct node *column_constant(struct query *query, int column, enum compare_op op, const struct expr *value,
	const struct query_caller *caller, struct buf *error)
{
	const struct sats_type *type = column_type(query, column);
	struct node *node = make(query, NODE_COMPARE_CONSTANT, error);
	if (node == NULL)
		return NULL;
	bool ok = value->kind == EXPR_SENDER ? sender_value(query, caller, type, &node->constant, error)
		: query_literal(query, value, type, &node->constant, error);
	if (!ok)
		return NULL;
	if (!comparable(type))
		return invalid_operator(error, op, type);
	node->op = (uint8_t)op;
	node->column = (uint16_t)column;
	node->type = type;
	node->has_key = sats_has_scalar_key(type);
	if (node->has_key)
		node->key = sats_scalar_key(type, node->constant.data);
	return node;
}

static const struct node *two_columns(struct query *query, int left, int right, enum compare_op op, struct buf *error)
{
	const struct sats_type *a = column_type(query, left), *b = column_type(query, right);
	if (!sats_type_eq(a, b))
		return unexpected(error, b, a);
	if (!comparable(a))
		return invalid_operator(error, op, a);
	struct node *node = make(query, NODE_COMPARE_COLUMNS, error);
	if (node == NULL)
		return NULL;
	node->op = (uint8_t)op;
	node->column = (uint16_t)left;
	node->column2 = (uint16_t)right;
	node->type = a;
	node->has_key = sats_has_scalar_key(a);
	return node;
}

static bool is_bool_literal(const struct expr *e)
{
	return e->kind == EXPR_LITERAL && (e->literal == LITERAL_TRUE || e->literal == LITERAL_FALSE);
}

static bool holds(int order, enum compare_op op)
{
	switch (op) {
	case OP_EQ: return order == 0;
	case OP_NE: return order != 0;
	case OP_LT: return order < 0;
	case OP_LE: return order <= 0;
	case OP_GT: return order > 0;
	case OP_GE: return order >= 0;
	}
	return false;
}

/* A comparison whose side is itself a condition: (a < 1) = true. Each side is evaluated once, at any depth. */
static const struct node *compare_conditions(struct query *query, const struct node *a, const struct node *b,
	enum compare_op op, struct buf *error)
{
	struct node *node = make(query, NODE_COMPARE_CONDITIONS, error);
	if (node == NULL)
		return NULL;
	node->op = (uint8_t)op;
	node->left = a;
	node->right = b;
	return node;
}

static const struct node *compare(struct query *query, struct str alias, const struct expr *e,
	const struct query_caller *caller, struct buf *error)
{
	const struct expr *l = e->left, *r = e->right;
	bool l_const = l->kind == EXPR_LITERAL || l->kind == EXPR_SENDER;
	bool r_const = r->kind == EXPR_LITERAL || r->kind == EXPR_SENDER;
	if (l_const && r_const) {
		if (l->kind == EXPR_SENDER && r->kind == EXPR_SENDER)
			return make(query, holds(0, e->op) ? NODE_TRUE : NODE_FALSE, error);
		if (is_bool_literal(l) && is_bool_literal(r))
			return make(query, holds((l->literal == LITERAL_TRUE) - (r->literal == LITERAL_TRUE), e->op) ? NODE_TRUE
				: NODE_FALSE, error);
		if (l->kind == EXPR_LITERAL && is_bool_literal(r)) {
			buf_printf(error, "The literal expression `%.*s` cannot be parsed as type `Bool`", STR_FMT(l->name));
			return NULL;
		}
		if (l->kind == EXPR_LITERAL && r->kind == EXPR_LITERAL) {
			buf_put_cstr(error, "Cannot resolve type for literal expression");
			return NULL;
		}
		return unexpected(error, &sats_primitive[SATS_BOOL], &sats_primitive[SATS_STRING]);
	}
	int left = -1, right = -1;
	if (l_const) {
		if (r->kind == EXPR_COLUMN) {
			right = resolve(query, alias, r, error);
			return right < 0 ? NULL : column_constant(query, right, mirrored(e->op), l, caller, error);
		}
	} else if (l->kind == EXPR_COLUMN) {
		left = resolve(query, alias, l, error);
		if (left < 0)
			return NULL;
		if (r_const)
			return column_constant(query, left, e->op, r, caller, error);
		if (r->kind == EXPR_COLUMN) {
			right = resolve(query, alias, r, error);
			return right < 0 ? NULL : two_columns(query, left, right, e->op, error);
		}
	}
	const struct node *a = query_type_condition(query, alias, l, caller, error);
	const struct node *b = a == NULL ? NULL : query_type_condition(query, alias, r, caller, error);
	return b == NULL ? NULL : compare_conditions(query, a, b, e->op, error);
}

static const struct node *bool_column(struct query *query, struct str alias, const struct expr *e, struct buf *error)
{
	int column = resolve(query, alias, e, error);
	if (column < 0)
		return NULL;
	if (column_type(query, column)->tag != SATS_BOOL)
		return unexpected(error, column_type(query, column), &sats_primitive[SATS_BOOL]);
	struct node *node = make(query, NODE_BOOL_COLUMN, error);
	if (node != NULL)
		node->column = (uint16_t)column;
	return node;
}

const struct node *query_type_condition(struct query *query, struct str alias, const struct expr *e,
	const struct query_caller *caller, struct buf *error)
{
	switch (e->kind) {
	case EXPR_COLUMN:
		return bool_column(query, alias, e, error);
	case EXPR_LITERAL:
		if (is_bool_literal(e))
			return make(query, e->literal == LITERAL_TRUE ? NODE_TRUE : NODE_FALSE, error);
		buf_printf(error, "The literal expression `%.*s` cannot be parsed as type `Bool`", STR_FMT(e->name));
		return NULL;
	case EXPR_SENDER:
		buf_put_cstr(error, "Unexpected type: (expected) (__identity__: U256) != Bool (inferred)");
		return NULL;
	case EXPR_COMPARE:
		return compare(query, alias, e, caller, error);
	case EXPR_AND:
	case EXPR_OR:
	case EXPR_NOT:
		break;
	}
	const struct node *left = query_type_condition(query, alias, e->left, caller, error);
	if (left == NULL)
		return NULL;
	const struct node *right = NULL;
	if (e->kind != EXPR_NOT) {
		right = query_type_condition(query, alias, e->right, caller, error);
		if (right == NULL)
			return NULL;
	}
	struct node *node = make(query, e->kind == EXPR_AND ? NODE_AND : e->kind == EXPR_OR ? NODE_OR : NODE_NOT, error);
	if (node == NULL)
		return NULL;
	node->left = left;
	node->right = right;
	return node;
}

bool node_matches(const struct query *query, const struct node *node, const uint8_t *row)
{
	const uint8_t *column;
	int order;
	switch ((enum node_kind)node->kind) {
	case NODE_TRUE:
		return true;
	case NODE_FALSE:
		return false;
	case NODE_BOOL_COLUMN:
		return *sats_column(query->layout, row, node->column) != 0;
	case NODE_COMPARE_CONSTANT:
		column = sats_column(query->layout, row, node->column);
		if (node->has_key) {
			u128 key = sats_scalar_key(node->type, column);
			order = (key > node->key) - (key < node->key);
		} else {
			order = sats_compare(node->type, NULL, column, node->constant.data);
		}
		return holds(order, (enum compare_op)node->op);
	case NODE_COMPARE_COLUMNS:
		order = sats_compare(node->type, NULL, sats_column(query->layout, row, node->column),
			sats_column(query->layout, row, node->column2));
		return holds(order, (enum compare_op)node->op);
	case NODE_COMPARE_CONDITIONS:
		order = node_matches(query, node->left, row) - node_matches(query, node->right, row);
		return holds(order, (enum compare_op)node->op);
	case NODE_AND:
		return node_matches(query, node->left, row) && node_matches(query, node->right, row);
	case NODE_OR:
		return node_matches(query, node->left, row) || node_matches(query, node->right, row);
	case NODE_NOT:
		return !node_matches(query, node->left, row);
	}
	return false;
}
