/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions and their operands, from tokens. */
#include "query/parser_internal.h"

static const char too_deep[] = "Recursion limit exceeded, `sql-parser::parse_expr`";

struct expr *parse_make(struct parser *p, enum expr_kind kind, struct expr *left, struct expr *right)
{
	struct expr *e = arena_zalloc(p->arena, sizeof(*e));
	if (e == NULL) {
		(void)parser_expected(p, "less text (out of memory)");
		return NULL;
	}
	e->kind = kind;
	e->left = left;
	e->right = right;
	uint32_t l = left == NULL ? 0 : left->depth, r = right == NULL ? 0 : right->depth;
	e->depth = 1 + (l > r ? l : r);
	if (e->depth <= QUERY_DEPTH_MAX + 1)
		return e;
	(void)parser_refuse(p, too_deep);
	return NULL;
}

static struct expr *literal(struct parser *p, enum literal_kind kind, struct str text)
{
	struct expr *e = parse_make(p, EXPR_LITERAL, NULL, NULL);
	if (e == NULL)
		return NULL;
	e->literal = kind;
	e->name = text;
	return parser_next(p) ? e : NULL;
}

static struct expr *parenthesised(struct parser *p)
{
	p->parens_seen++;
	if (++p->parens > QUERY_PARENS_MAX) {
		(void)parser_refuse(p, "sql parser error: recursion limit exceeded");
		return NULL;
	}
	struct expr *e = parser_next(p) ? parse_condition(p) : NULL;
	p->parens--;
	return e != NULL && parser_expect(p, ")") ? e : NULL;
}

static struct expr *signed_number(struct parser *p)
{
	const char *from = p->lexer.token.source.data;
	char sign = *from;
	if (!parser_next(p))
		return NULL;
	if (p->lexer.token.kind != TOKEN_NUMBER) {
		(void)parser_refuse_expression(p, "Unsupported expression", from);
		return NULL;
	}
	struct str text = arena_printf(p->arena, "%c%.*s", sign, STR_FMT(p->lexer.token.text));
	return text.data == NULL ? NULL : literal(p, LITERAL_NUMBER, text);
}

static struct expr *parameter(struct parser *p)
{
	const char *from = p->lexer.token.source.data;
	if (!parser_next(p))
		return NULL;
	if (!parser_is_name(p) || !str_eq(p->lexer.token.text, STR("sender"))) {
		(void)parser_refuse_expression(p, "Unsupported literal expression", from);
		return NULL;
	}
	struct expr *e = parse_make(p, EXPR_SENDER, NULL, NULL);
	return e != NULL && parser_next(p) ? e : NULL;
}

static struct expr *column(struct parser *p)
{
	static const char *const functions[] = { "user", "current_user", "session_user", "current_catalog", "current_date",
		"current_time", "current_timestamp", "localtime", "localtimestamp" };
	static const char *const constructs[] = { "case", "cast", "try_cast", "safe_cast", "exists", "extract",
		"ceil", "floor", "position", "substring", "overlay", "trim", "interval", "listagg", "array_agg" };
	bool bare = p->lexer.token.kind == TOKEN_NAME;
	struct str word = p->lexer.token.text;
	const char *from = p->lexer.token.source.data;
	if (bare && parser_in_list(word, constructs, ARRAY_COUNT(constructs))) {
		(void)parser_refuse_expression(p, "Unsupported expression", from);
		return NULL;
	}
	struct expr *e = parse_make(p, EXPR_COLUMN, NULL, NULL);
	struct str whole;
	if (e == NULL || !parser_dotted_name(p, &whole, &e->table, &e->name, NULL))
		return NULL;
	if (bare && parser_in_list(word, functions, ARRAY_COUNT(functions)) && e->table.data != NULL) {
		(void)parser_refuse_text(p, "sql parser error: Expected end of statement, found", STR("."));
		return NULL;
	}
	if (p->is_extended && bare && e->table.data == NULL && parser_is(p, "(")) {
		struct expr *call = parse_aggregate(p, from);
		if (call != NULL || p->lexer.failed)
			return call;
		if (p->has_aggregates && p->parens == 0) /* the select list has its own words for it */
			return e;
	}
	bool function = bare && parser_in_list(word, functions, ARRAY_COUNT(functions));
	if (function || parser_is(p, "(") || p->lexer.token.kind == TOKEN_STRING) {
		(void)parser_refuse_expression(p, "Unsupported expression", from);
		return NULL;
	}
	return e;
}

struct expr *parse_operand(struct parser *p)
{
	const struct token *t = &p->lexer.token;
	switch (t->kind) {
	case TOKEN_NUMBER:
		return literal(p, LITERAL_NUMBER, t->text);
	case TOKEN_STRING:
		return literal(p, LITERAL_STRING, t->text);
	case TOKEN_HEX:
		return literal(p, LITERAL_HEX, t->text);
	case TOKEN_QUOTED_NAME:
		return column(p);
	case TOKEN_NAME:
		if (parser_keyword(p, "true"))
			return literal(p, LITERAL_TRUE, STR("true"));
		if (parser_keyword(p, "false"))
			return literal(p, LITERAL_FALSE, STR("false"));
		if (parser_keyword(p, "null")) {
			(void)parser_refuse_text(p, "Unsupported literal expression", STR("NULL"));
			return NULL;
		}
		return column(p);
	case TOKEN_SYMBOL:
		if (parser_is(p, "("))
			return parenthesised(p);
		if (parser_is(p, "+") || parser_is(p, "-"))
			return signed_number(p);
		if (parser_is(p, ":"))
			return parameter(p);
		if (parser_is(p, "?") || parser_is(p, "$")) {
			(void)parser_refuse_expression(p, "Unsupported literal expression", t->source.data);
			return NULL;
		}
		if (parser_is(p, "[") || parser_is(p, "@")) {
			(void)parser_refuse_expression(p, "Unsupported expression", t->source.data);
			return NULL;
		}
		break;
	case TOKEN_OTHER_STRING:
		(void)parser_refuse_token(p, "Unsupported literal expression");
		return NULL;
	case TOKEN_END:
		break;
	}
	(void)parser_expected(p, "an expression:");
	return NULL;
}

bool parse_compare_op(const struct parser *p, enum compare_op *op)
{
	static const struct { const char *text; enum compare_op op; } ops[] = { { "=", OP_EQ }, { "==", OP_EQ },
		{ "!=", OP_NE }, { "<>", OP_NE }, { "<", OP_LT }, { "<=", OP_LE }, { ">", OP_GT }, { ">=", OP_GE } };
	for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
		if (parser_is(p, ops[i].text)) {
			*op = ops[i].op;
			return true;
		}
	return false;
}

/* Operators that this language does not have. True: there is none here. */
static bool refuse_operator(struct parser *p, const char *from)
{
	static const char *const symbols[] = { "+", "-", "*", "/", "%", "^", "|", "||", "&", "#", "<<", ">>", "<=>", "~",
		"!~" };
	static const char *const words[] = { "IN", "BETWEEN", "LIKE", "ILIKE", "SIMILAR", "IS", "NOT" };
	for (size_t i = 0; i < ARRAY_COUNT(symbols); i++)
		if (parser_is(p, symbols[i]))
			return parser_refuse_token(p, "Unsupported binary operator");
	if (parser_keyword(p, "xor"))
		return parser_refuse_text(p, "Unsupported binary operator", STR("XOR"));
	if (parser_is(p, "!") || parser_is(p, "::") || parser_is(p, "->") || parser_is(p, "@>") || parser_is(p, "<@") ||
		parser_is(p, "[") ||
		(p->lexer.token.kind == TOKEN_NAME && parser_in_list(p->lexer.token.text, words, ARRAY_COUNT(words))))
		return parser_refuse_expression(p, "Unsupported expression", from);
	return true;
}

static struct expr *parse_compare(struct parser *p)
{
	enum compare_op op;
	struct expr *left = parse_operand(p);
	while (left != NULL && parse_compare_op(p, &op)) {
		struct expr *right = parser_next(p) ? parse_operand(p) : NULL;
		left = right == NULL ? NULL : parse_make(p, EXPR_COMPARE, left, right);
		if (left != NULL)
			left->op = op;
	}
	return left;
}

/* NOT is what every query builder writes; it binds looser than a comparison. */
static struct expr *parse_not(struct parser *p)
{
	uint32_t nots = 0;
	while (parser_keyword(p, "not")) {
		bool shallow = ++nots <= QUERY_DEPTH_MAX || parser_refuse(p, too_deep);
		if (!shallow || !parser_next(p))
			return NULL;
	}
	const char *from = p->lexer.token.source.data;
	struct expr *e = p->is_extended ? parse_extended(p) : parse_compare(p);
	if (e != NULL && !refuse_operator(p, from))
		return NULL;
	while (e != NULL && nots-- > 0)
		e = parse_make(p, EXPR_NOT, e, NULL);
	return e;
}

static struct expr *parse_and(struct parser *p)
{
	struct expr *left = parse_not(p);
	while (left != NULL && parser_keyword(p, "and")) {
		struct expr *right = parser_next(p) ? parse_not(p) : NULL;
		left = right == NULL ? NULL : parse_make(p, EXPR_AND, left, right);
	}
	return left;
}

struct expr *parse_condition(struct parser *p)
{
	struct expr *left = parse_and(p);
	while (left != NULL && parser_keyword(p, "or")) {
		struct expr *right = parser_next(p) ? parse_and(p) : NULL;
		left = right == NULL ? NULL : parse_make(p, EXPR_OR, left, right);
	}
	return left;
}
