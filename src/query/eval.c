/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions against rows. */
#include "query/query_internal.h"

bool order_holds(int order, enum compare_op op)
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

static int compare_keys(u128 a, u128 b)
{
	return (a > b) - (a < b);
}

static int compare_constant(const struct node *node, const uint8_t *row)
{
	const uint8_t *column = sats_column(node->layout, row, node->column);
	return node->has_key ? compare_keys(sats_scalar_key(node->type, column), node->key)
		: sats_compare(node->type, NULL, column, node->constant.data);
}

static int compare_columns(const struct node *node, const uint8_t *const *rows)
{
	const uint8_t *a = sats_column(node->layout, rows[node->relation], node->column);
	const uint8_t *b = sats_column(node->layout2, rows[node->relation2], node->column2);
	return node->has_key ? compare_keys(sats_scalar_key(node->type, a), sats_scalar_key(node->type, b))
		: sats_compare(node->type, NULL, a, b);
}

bool node_matches(const struct node *node, const uint8_t *const *rows)
{
	switch ((enum node_kind)node->kind) {
	case NODE_TRUE:
		return true;
	case NODE_FALSE:
		return false;
	case NODE_BOOL_COLUMN:
		return *sats_column(node->layout, rows[node->relation], node->column) != 0;
	case NODE_COMPARE_CONSTANT:
		return order_holds(compare_constant(node, rows[node->relation]), (enum compare_op)node->op);
	case NODE_COMPARE_COLUMNS:
		return order_holds(compare_columns(node, rows), (enum compare_op)node->op);
	case NODE_COMPARE_CONDITIONS:
		return order_holds(node_matches(node->left, rows) - node_matches(node->right, rows), (enum compare_op)node->op);
	case NODE_AND:
		return node_matches(node->left, rows) && node_matches(node->right, rows);
	case NODE_OR:
		return node_matches(node->left, rows) || node_matches(node->right, rows);
	case NODE_NOT:
		return !node_matches(node->left, rows);
	}
	return false;
}
