/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The language beyond the reference's, from tokens: arithmetic, IN, BETWEEN,
 * LIKE, IS NULL, aggregates, and the clauses behind WHERE. Comparisons and
 * these predicates bind alike, looser than arithmetic, tighter than NOT.
 *
 * What parentheses enclose (lists and arguments too) counts towards
 * QUERY_PARENS_MAX, what nests without them towards QUERY_DEPTH_MAX.
 */
#include "query/parser_internal.h"

#include <strings.h>

/* ---- lists ---- */

static bool enter(struct parser *p)
{
	p->parens_seen++;
	if (++p->parens > QUERY_PARENS_MAX)
		return parser_refuse(p, "sql parser error: recursion limit exceeded");
	return parser_next(p);
}

static bool add_part(struct parser *p, struct expr *e, uint32_t *cap, struct expr *part)
{
	if (part == NULL || !parser_grow(p, &e->items, e->item_count, cap, sizeof(struct expr *)))
		return false;
	e->items[e->item_count++] = part;
	if (part->depth >= e->depth)
		e->depth = part->depth + 1;
	return e->depth <= QUERY_DEPTH_MAX + 1 ||
		parser_refuse(p, "Recursion limit exceeded, `sql-parser::parse_expr`");
}

/* ---- arithmetic ---- */

static struct expr *parse_unary(struct parser *p)
{
	uint32_t signs = 0;
	while (parser_is(p, "-")) {
		const struct parser before = *p;
		if (!parser_next(p))
			return NULL;
		if (p->lexer.token.kind == TOKEN_NUMBER) { /* the sign is the literal's */
			*p = before;
			break;
		}
		signs++;
	}
	struct expr *e = parse_operand(p);
	while (e != NULL && signs-- > 0)
		e = parse_make(p, EXPR_NEGATE, e, NULL);
	return e;
}

static struct expr *parse_product(struct parser *p)
{
	struct expr *left = parse_unary(p);
	while (left != NULL && (parser_is(p, "*") || parser_is(p, "/") || parser_is(p, "%"))) {
		char symbol = p->lexer.token.text.data[0];
		struct expr *right = parser_next(p) ? parse_unary(p) : NULL;
		left = right == NULL ? NULL : parse_make(p, EXPR_ARITHMETIC, left, right);
		if (left != NULL)
			left->symbol = symbol;
	}
	return left;
}

static struct expr *parse_sum(struct parser *p)
{
	struct expr *left = parse_product(p);
	while (left != NULL && (parser_is(p, "+") || parser_is(p, "-"))) {
		char symbol = p->lexer.token.text.data[0];
		struct expr *right = parser_next(p) ? parse_product(p) : NULL;
		left = right == NULL ? NULL : parse_make(p, EXPR_ARITHMETIC, left, right);
		if (left != NULL)
			left->symbol = symbol;
	}
	return left;
}

/* ---- predicates ---- */

static struct expr *parse_in(struct parser *p, struct expr *left, const char *from)
{
	struct expr *e = parse_make(p, EXPR_IN, left, NULL);
	uint32_t cap = 0;
	if (e == NULL || !parser_next(p))
		return NULL;
	if (!parser_is(p, "(")) {
		(void)parser_expected(p, "(");
		return NULL;
	}
	if (!enter(p))
		return NULL;
	if (parser_keyword(p, "select") || parser_keyword(p, "with") || parser_keyword(p, "values")) {
		while (p->lexer.token.kind != TOKEN_END && !parser_is(p, ")") && parser_next(p))
			;
		(void)parser_next(p);
		(void)parser_refuse_expression(p, "Unsupported expression", from);
		return NULL;
	}
	for (;;) {
		if (!add_part(p, e, &cap, parse_condition(p)))
			return NULL;
		if (!parser_is(p, ","))
			break;
		if (!parser_next(p))
			return NULL;
	}
	p->parens--;
	return parser_expect(p, ")") ? e : NULL;
}

static struct expr *parse_between(struct parser *p, struct expr *left)
{
	struct expr *e = parse_make(p, EXPR_BETWEEN, left, NULL);
	uint32_t cap = 0;
	bool ok = e != NULL && parser_next(p) && add_part(p, e, &cap, parse_sum(p)) && parser_expect_keyword(p, "AND") &&
		add_part(p, e, &cap, parse_sum(p));
	return ok ? e : NULL;
}

static struct expr *parse_like(struct parser *p, struct expr *left)
{
	bool ignores_case = parser_keyword(p, "ilike");
	struct expr *right = parser_next(p) ? parse_sum(p) : NULL;
	struct expr *e = right == NULL ? NULL : parse_make(p, EXPR_LIKE, left, right);
	uint32_t cap = 0;
	if (e == NULL)
		return NULL;
	e->ignores_case = ignores_case;
	if (!parser_keyword(p, "escape"))
		return e;
	if (!parser_next(p))
		return NULL;
	if (p->lexer.token.kind != TOKEN_STRING) {
		(void)parser_expected(p, "one character in quotes after ESCAPE");
		return NULL;
	}
	return add_part(p, e, &cap, parse_operand(p)) ? e : NULL;
}

static struct expr *parse_is_null(struct parser *p, struct expr *left, const char *from)
{
	bool negated = false;
	if (!parser_next(p) || (parser_keyword(p, "not") && ((negated = true), !parser_next(p))))
		return NULL;
	if (!parser_keyword(p, "null")) {
		(void)parser_refuse_expression(p, "Unsupported expression", from);
		return NULL;
	}
	struct expr *e = parser_next(p) ? parse_make(p, EXPR_IS_NULL, left, NULL) : NULL;
	if (e != NULL)
		e->is_negated = negated;
	return e;
}

/* [NOT] IN, BETWEEN, LIKE, ILIKE; NULL and *found false: none of them is here. */
static struct expr *parse_predicate(struct parser *p, struct expr *left, const char *from, bool *found)
{
	const struct parser before = *p;
	bool negated = parser_keyword(p, "not");
	struct expr *e = NULL;
	*found = true;
	if (negated && !parser_next(p))
		return NULL;
	if (parser_keyword(p, "in")) {
		e = parse_in(p, left, from);
	} else if (parser_keyword(p, "between")) {
		e = parse_between(p, left);
	} else if (parser_keyword(p, "like") || parser_keyword(p, "ilike")) {
		e = parse_like(p, left);
	} else {
		*p = before;
		*found = false;
	}
	if (e != NULL)
		e->is_negated = negated;
	return e;
}

struct expr *parse_extended(struct parser *p)
{
	enum compare_op op;
	const char *from = p->lexer.token.source.data;
	struct expr *left = parse_sum(p);
	while (left != NULL) {
		bool found;
		if (parse_compare_op(p, &op)) {
			struct expr *right = parser_next(p) ? parse_sum(p) : NULL;
			left = right == NULL ? NULL : parse_make(p, EXPR_COMPARE, left, right);
			if (left != NULL)
				left->op = op;
		} else if (parser_keyword(p, "is")) {
			left = parse_is_null(p, left, from);
		} else {
			struct expr *e = parse_predicate(p, left, from, &found);
			if (!found)
				break;
			left = e;
		}
	}
	return left;
}

/* ---- aggregates ---- */

/* From the parenthesis on; the name has been read. */
static struct expr *parse_argument(struct parser *p, enum aggregate_kind kind)
{
	struct expr *e = parse_make(p, EXPR_AGGREGATE, NULL, NULL);
	bool outer = p->has_aggregates;
	if (e == NULL || !enter(p))
		return NULL;
	e->aggregate = kind;
	if (kind == AGGREGATE_COUNT && parser_is(p, "*")) {
		e->aggregate = AGGREGATE_COUNT_ROWS;
		p->parens--;
		return parser_next(p) && parser_expect(p, ")") ? e : NULL;
	}
	if (parser_keyword(p, "distinct")) {
		e->is_distinct = true;
		if (kind != AGGREGATE_COUNT && kind != AGGREGATE_MIN && kind != AGGREGATE_MAX) {
			(void)parser_refuse(p, "DISTINCT is only supported in COUNT");
			return NULL;
		}
		if (!parser_next(p))
			return NULL;
	} else if (parser_keyword(p, "all") && !parser_next(p)) {
		return NULL;
	}
	p->has_aggregates = false; /* they do not nest */
	struct expr *argument = parse_condition(p);
	p->has_aggregates = outer;
	p->parens--;
	if (argument == NULL || !parser_expect(p, ")"))
		return NULL;
	e->left = argument;
	e->depth = argument->depth + 1;
	return e;
}

/* At the parenthesis behind a bare name that begins at `from`. */
struct expr *parse_aggregate(struct parser *p, const char *from)
{
	static const struct { const char *name; enum aggregate_kind kind; } all[] = { { "count", AGGREGATE_COUNT },
		{ "sum", AGGREGATE_SUM }, { "min", AGGREGATE_MIN }, { "max", AGGREGATE_MAX }, { "avg", AGGREGATE_AVG } };
	size_t len = (size_t)(p->taken - from);
	for (size_t i = 0; p->has_aggregates && i < ARRAY_COUNT(all); i++)
		if (len == strlen(all[i].name) && strncasecmp(from, all[i].name, len) == 0)
			return parse_argument(p, all[i].kind);
	return NULL;
}

/* ---- the select list ---- */

static bool is_whole_table(struct parser *p, struct statement *s, bool *found)
{
	const struct parser before = *p;
	struct str whole, rest, last;
	*found = false;
	if (!parser_is_name(p))
		return true;
	if (!parser_dotted_name(p, &whole, &rest, &last, found))
		return false;
	if (!*found) {
		*p = before;
		return true;
	}
	if (s->item_count > 0 || parser_is(p, ","))
		return parser_refuse(p, "Mixed wildcard projections are not supported");
	s->projection = PROJECT_TABLE;
	s->projected_table = whole;
	return true;
}

static bool is_unknown_call(const struct parser *p, const struct expr *e)
{
	return e->kind == EXPR_COLUMN && parser_is(p, "(");
}

/* What has an expression needs a name: there is none that it could have by itself. */
bool parse_extended_item(struct parser *p, struct statement *s, uint32_t *cap)
{
	static const char what[] = "Unsupported projection expression";
	const char *from = p->lexer.token.source.data;
	bool is_table, opens = parser_is(p, "(");
	if (!is_whole_table(p, s, &is_table) || is_table)
		return is_table && !p->lexer.failed;
	s->projection = PROJECT_COLUMNS;
	struct projection item = { .column = parse_condition(p) };
	struct expr *e = item.column;
	if (e == NULL)
		return false;
	if (is_unknown_call(p, e))
		return parser_refuse_expression(p, "Unsupported aggregate function", from);
	struct str text = { from, (size_t)(p->taken - from) };
	if (e->kind == EXPR_LITERAL || e->kind == EXPR_SENDER || (e->kind == EXPR_COLUMN && opens))
		return parser_refuse_text(p, what, text);
	if (!parser_alias(p, &item.alias, false))
		return false;
	if (e->kind == EXPR_AGGREGATE && item.alias.data == NULL && s->item_count > 0)
		p->failed_at = p->lexer.token.source.data + 1; /* the plain grammar stops at its being the second */
	if (e->kind != EXPR_COLUMN && item.alias.data == NULL)
		return e->kind == EXPR_AGGREGATE ? parser_refuse(p, "Aggregate expressions must have column aliases")
			: parser_refuse_text(p, what, text);
	return parse_add_item(p, s, cap, item);
}

/* ---- GROUP BY, HAVING, ORDER BY, LIMIT, OFFSET ---- */

static bool parse_groups(struct parser *p, struct statement *s)
{
	uint32_t cap = 0;
	if (!parser_keyword(p, "group"))
		return true;
	if (!parser_next(p) || !parser_expect_keyword(p, "BY"))
		return false;
	if (parser_keyword(p, "all"))
		return parser_unsupported(p, "Unsupported");
	for (;;) {
		struct expr *e = parse_condition(p);
		if (e == NULL || !parser_grow(p, &s->groups, s->group_count, &cap, sizeof(struct expr *)))
			return false;
		s->groups[s->group_count++] = e;
		if (!parser_is(p, ","))
			return true;
		if (!parser_next(p))
			return false;
	}
}

static bool parse_direction(struct parser *p, struct ordering *order)
{
	order->descends = parser_keyword(p, "desc");
	if ((order->descends || parser_keyword(p, "asc")) && !parser_next(p))
		return false;
	order->nulls_first = order->descends; /* NULL is greater than everything */
	if (!parser_keyword(p, "nulls"))
		return true;
	if (!parser_next(p))
		return false;
	if (!parser_keyword(p, "first") && !parser_keyword(p, "last"))
		return parser_expected(p, "FIRST or LAST");
	order->nulls_first = parser_keyword(p, "first");
	return parser_next(p);
}

static bool parse_orders(struct parser *p, struct statement *s)
{
	uint32_t cap = 0;
	if (!parser_keyword(p, "order"))
		return true;
	if (!parser_next(p) || !parser_expect_keyword(p, "BY"))
		return false;
	for (;;) {
		struct ordering order = { .by = parse_condition(p) };
		if (order.by == NULL || !parse_direction(p, &order) ||
			!parser_grow(p, &s->orders, s->order_count, &cap, sizeof(struct ordering)))
			return false;
		s->orders[s->order_count++] = order;
		if (!parser_is(p, ","))
			return true;
		if (!parser_next(p))
			return false;
	}
}

static bool parse_offset(struct parser *p, struct statement *s)
{
	if (!parser_keyword(p, "offset") || s->has_offset)
		return true;
	if (!parser_next(p))
		return false;
	if (p->lexer.token.kind != TOKEN_NUMBER)
		return parser_expected(p, "a number of rows");
	s->has_offset = true;
	s->offset = p->lexer.token.text;
	if (!parser_next(p))
		return false;
	return (!parser_keyword(p, "row") && !parser_keyword(p, "rows")) || parser_next(p);
}

static bool parse_count_limit(struct parser *p, struct statement *s)
{
	if (!parser_keyword(p, "limit"))
		return true;
	if (!parser_next(p))
		return false;
	if (parser_keyword(p, "all"))
		return parser_next(p);
	if (p->lexer.token.kind != TOKEN_NUMBER)
		return parser_unsupported(p, "Unsupported");
	s->has_limit = true;
	s->limit = p->lexer.token.text;
	return parser_next(p);
}

bool parse_clauses(struct parser *p, struct statement *s)
{
	if (!parse_groups(p, s))
		return false;
	p->has_aggregates = true;
	if (parser_keyword(p, "having")) {
		s->having = parser_next(p) ? parse_condition(p) : NULL;
		if (s->having == NULL)
			return false;
	}
	bool ok = parse_orders(p, s);
	p->has_aggregates = false;
	return ok && parse_offset(p, s) && parse_count_limit(p, s) && parse_offset(p, s);
}
