/* SPDX-License-Identifier: Apache-2.0 */
/* SELECT, from tokens. */
#include "query/parser_internal.h"

/* ---- FROM ---- */

/* One argument of a view, whatever it is: it is judged where the view is known. */
static bool parse_argument(struct parser *p, struct argument *out)
{
	const char *from = p->lexer.token.source.data;
	bool is_literal = p->lexer.token.kind == TOKEN_NUMBER || p->lexer.token.kind == TOKEN_STRING ||
		p->lexer.token.kind == TOKEN_HEX || parser_is(p, "-") || parser_is(p, "+") || parser_keyword(p, "true") ||
		parser_keyword(p, "false");
	*out = (struct argument){ .is_positional = !parser_is(p, "*") };
	if (is_literal && (out->literal = parse_operand(p)) == NULL)
		return false;
	uint32_t depth = 0, tokens = 0;
	for (; p->lexer.token.kind != TOKEN_END; tokens++) {
		if (depth == 0 && (parser_is(p, ",") || parser_is(p, ")")))
			break;
		if (depth == 0 && (parser_is(p, "=>") || parser_is(p, "=")))
			out->is_positional = false;
		depth += parser_is(p, "(");
		depth -= parser_is(p, ")");
		if (!parser_next(p))
			return false;
	}
	if (p->lexer.token.kind == TOKEN_END)
		return parser_expected(p, ")");
	if (tokens == 0 && !is_literal)
		return parser_expected(p, "an expression:");
	out->source = (struct str){ from, (size_t)(p->taken - from) };
	if (tokens > 0)
		out->literal = NULL;
	return true;
}

/* (…) behind the name, which is at `from`. */
static bool parse_arguments(struct parser *p, struct relvar *out, const char *from)
{
	uint32_t cap = 0;
	if (!parser_next(p))
		return false;
	while (!parser_is(p, ")")) {
		struct argument argument;
		if ((out->argument_count > 0 && !parser_expect(p, ",")) || !parse_argument(p, &argument))
			return false;
		if (!parser_grow(p, &out->arguments, out->argument_count, &cap, sizeof(argument)))
			return false;
		out->arguments[out->argument_count++] = argument;
	}
	if (!parser_next(p))
		return false;
	out->call = (struct str){ from, (size_t)(p->taken - from) };
	return true;
}

static bool parse_relvar(struct parser *p, struct relvar *out)
{
	struct str rest, last;
	const char *from = p->lexer.token.source.data;
	if (parser_keyword(p, "table") || parser_keyword(p, "lateral") || parser_is(p, "("))
		return parser_refuse_expression(p, "Unsupported FROM expression", from);
	if (p->lexer.token.kind == TOKEN_STRING) { /* a name in the wrong quotes, taken all the same */
		out->table = p->lexer.token.text;
		if (!parser_next(p))
			return false;
	} else if (!parser_dotted_name(p, &out->table, &rest, &last, NULL)) {
		return false;
	}
	if (parser_is(p, "(") && !parse_arguments(p, out, from))
		return false;
	out->alias = out->table;
	return parser_alias(p, &out->alias, true);
}

/* LEFT [OUTER] JOIN … ON …; the semi- and anti-joins of other dialects begin alike. */
static bool parse_left_join(struct parser *p, struct join *join)
{
	if (!parser_next(p) || (parser_keyword(p, "outer") && !parser_next(p)))
		return false;
	if (!parser_keyword(p, "join"))
		return parser_refuse(p, "Non-inner joins are not supported");
	if (!parser_next(p) || !parse_relvar(p, &join->relvar))
		return false;
	if (parser_keyword(p, "using"))
		return parser_refuse(p, "Non-inner joins are not supported");
	if (!parser_expect_keyword(p, "ON"))
		return false;
	join->on = parse_condition(p);
	return join->on != NULL;
}

static bool parse_join(struct parser *p, struct join *join, bool *found)
{
	static const char *const outer[] = { "LEFT", "RIGHT", "FULL", "NATURAL", "OUTER" };
	*found = true;
	join->is_left = p->is_extended && parser_keyword(p, "left");
	if (join->is_left)
		return parse_left_join(p, join);
	if (parser_is(p, ","))
		return parser_refuse(p, "Implicit joins are not supported");
	if (p->lexer.token.kind == TOKEN_NAME && parser_in_list(p->lexer.token.text, outer, ARRAY_COUNT(outer)))
		return parser_refuse(p, "Non-inner joins are not supported");
	bool cross = parser_keyword(p, "cross");
	if (!cross && !parser_keyword(p, "inner") && !parser_keyword(p, "join")) {
		*found = false;
		return true;
	}
	if ((cross || parser_keyword(p, "inner")) && !parser_next(p))
		return false;
	if (!parser_expect_keyword(p, "JOIN") || !parse_relvar(p, &join->relvar))
		return false;
	if (parser_keyword(p, "using"))
		return parser_refuse(p, "Non-inner joins are not supported");
	if (cross || !parser_keyword(p, "on"))
		return true;
	uint32_t parens = p->parens_seen;
	struct expr *on = parser_next(p) ? parse_condition(p) : NULL;
	if (on == NULL)
		return false;
	join->on = on;
	if (p->is_extended)
		return true;
	if (p->parens_seen != parens || on->kind != EXPR_COMPARE || on->op != OP_EQ || on->left->kind != EXPR_COLUMN ||
		on->right->kind != EXPR_COLUMN)
		return parser_refuse(p, "Non-inner joins are not supported");
	join->on_left = on->left;
	join->on_right = on->right;
	return true;
}

static bool parse_from(struct parser *p, struct statement *s)
{
	uint32_t cap = 0;
	if (!parse_relvar(p, &s->from))
		return false;
	for (;;) {
		struct join join = { 0 };
		bool found;
		if (!parse_join(p, &join, &found))
			return false;
		if (!found)
			return true;
		if (!parser_grow(p, &s->joins, s->join_count, &cap, sizeof(*s->joins)))
			return false;
		s->joins[s->join_count++] = join;
	}
}

/* ---- SELECT ---- */

/* A function call from its parenthesis on; its name, at `from`, has been read. */
static bool parse_call(struct parser *p, struct statement *s, bool is_count, const char *from)
{
	bool is_star = false;
	if (!parser_next(p))
		return false;
	is_star = parser_is(p, "*");
	uint32_t depth = 1;
	while (depth > 0 && p->lexer.token.kind != TOKEN_END) {
		depth += parser_is(p, "(");
		depth -= parser_is(p, ")");
		if (!parser_next(p))
			return false;
	}
	if (depth > 0)
		return parser_expected(p, ")");
	struct str call = { from, (size_t)(p->taken - from) };
	if (!parser_alias(p, &s->count_alias, false))
		return false;
	if (p->lexer.token.kind == TOKEN_SYMBOL && !parser_is(p, ",") && !parser_is(p, ";"))
		return parser_refuse_expression(p, "Unsupported projection expression", from);
	if (parser_is(p, ",") || s->item_count > 0)
		return parser_refuse_text(p, "Unsupported projection expression", call);
	if (s->count_alias.data == NULL)
		return parser_refuse(p, "Aggregate expressions must have column aliases");
	if (!is_count || !is_star)
		return parser_refuse_text(p, "Unsupported aggregate function", call);
	s->projection = PROJECT_COUNT;
	return true;
}

bool parse_add_item(struct parser *p, struct statement *s, uint32_t *cap, struct projection item)
{
	if (!parser_grow(p, &s->items, s->item_count, cap, sizeof(*s->items)))
		return false;
	s->items[s->item_count++] = item;
	return true;
}

static bool parse_item(struct parser *p, struct statement *s, uint32_t *cap)
{
	static const char *const words[] = { "true", "false", "null", "user", "current_user", "session_user",
		"current_catalog", "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "case",
		"not", "exists", "interval" };
	bool star, is_count = parser_keyword(p, "count");
	struct str whole;
	struct projection item = { .column = parse_make(p, EXPR_COLUMN, NULL, NULL) };
	const struct token first = p->lexer.token;
	const char *from = first.source.data;
	if (first.kind == TOKEN_END || parser_is(p, ")") || parser_is(p, ".") || parser_is(p, "#") || parser_is(p, "\\"))
		return parser_expected(p, "an expression:");
	if (!parser_is_name(p) || (first.kind == TOKEN_NAME && parser_in_list(first.text, words, ARRAY_COUNT(words))))
		return parser_refuse_expression(p, "Unsupported projection expression", from);
	if (item.column == NULL || !parser_dotted_name(p, &whole, &item.column->table, &item.column->name, &star))
		return false;
	if (star) {
		if (s->item_count > 0 || parser_is(p, ","))
			return parser_refuse(p, "Mixed wildcard projections are not supported");
		s->projection = PROJECT_TABLE;
		s->projected_table = whole;
		return true;
	}
	if (parser_is(p, "("))
		return parse_call(p, s, is_count, from);
	if (p->lexer.token.kind == TOKEN_SYMBOL && !parser_is(p, ",") && !parser_is(p, ";") && !parser_is(p, "*"))
		return parser_refuse_expression(p, "Unsupported projection expression", from);
	if (!parser_alias(p, &item.alias, false))
		return false;
	s->projection = PROJECT_COLUMNS;
	return parse_add_item(p, s, cap, item);
}

static bool parse_projection(struct parser *p, struct statement *s)
{
	uint32_t cap = 0;
	if (parser_is(p, "*")) {
		s->projection = PROJECT_ALL;
		if (!parser_next(p))
			return false;
		return parser_is(p, ",") ? parser_refuse(p, "Mixed wildcard projections are not supported") : true;
	}
	for (;;) {
		if (parser_is(p, "*"))
			return parser_refuse(p, "Mixed wildcard projections are not supported");
		if (!(p->is_extended ? parse_extended_item(p, s, &cap) : parse_item(p, s, &cap)))
			return false;
		if (!parser_is(p, ","))
			return true;
		if (!parser_next(p))
			return false;
	}
}

static bool parse_limit(struct parser *p, struct statement *s, enum query_dialect dialect)
{
	if (!parser_keyword(p, "limit"))
		return true;
	if (!parser_next(p))
		return false;
	if (parser_keyword(p, "all"))
		return parser_next(p);
	if (p->lexer.token.kind == TOKEN_END)
		return parser_expected(p, "an expression:");
	if (dialect == QUERY_DIALECT_SUBSCRIBE || p->lexer.token.kind != TOKEN_NUMBER)
		return parser_unsupported(p, "Unsupported");
	s->has_limit = true;
	s->limit = p->lexer.token.text;
	return parser_next(p);
}

/* Clauses of other dialects, behind WHERE and LIMIT. */
static bool refuse_clauses(struct parser *p, enum query_dialect dialect)
{
	static const char *const whole[] = { "ORDER", "OFFSET", "FETCH", "FOR", "CLUSTER", "DISTRIBUTE", "SORT" };
	static const char *const of_select[] = { "GROUP", "HAVING", "WINDOW", "QUALIFY" };
	static const char *const sets[] = { "UNION", "EXCEPT", "INTERSECT" };
	bool live = dialect == QUERY_DIALECT_SUBSCRIBE;
	struct str word = p->lexer.token.text;
	if (p->lexer.token.kind != TOKEN_NAME)
		return true;
	if (parser_in_list(word, whole, ARRAY_COUNT(whole)))
		return parser_unsupported(p, "Unsupported");
	if (parser_in_list(word, of_select, ARRAY_COUNT(of_select)))
		return parser_unsupported(p, live ? "Unsupported SELECT" : "Unsupported");
	if (parser_in_list(word, sets, ARRAY_COUNT(sets)))
		return parser_unsupported(p, live ? "Unsupported set operation" : "Unsupported");
	return true;
}

bool parse_select(struct parser *p, struct statement *s, enum query_dialect dialect)
{
	s->kind = QUERY_SELECT;
	if (!parser_next(p) || (parser_keyword(p, "all") && !parser_next(p)))
		return false;
	s->is_distinct = parser_keyword(p, "distinct");
	if (s->is_distinct && !p->is_extended)
		return parser_unsupported(p, dialect == QUERY_DIALECT_SUBSCRIBE ? "Unsupported SELECT" : "Unsupported");
	if (s->is_distinct && (!parser_next(p) || parser_keyword(p, "on")))
		return parser_unsupported(p, "Unsupported");
	p->has_aggregates = p->is_extended;
	if (!parse_projection(p, s))
		return false;
	p->has_aggregates = false;
	if (p->lexer.token.kind == TOKEN_END || parser_is(p, ";"))
		return parser_refuse(p, "A FROM clause is required");
	if (!parser_keyword(p, "from"))
		return parser_expected(p, "end of statement");
	if (!parser_next(p) || !parse_from(p, s))
		return false;
	if (parser_keyword(p, "where")) {
		s->where = parser_next(p) ? parse_condition(p) : NULL;
		if (s->where == NULL)
			return false;
	}
	return (p->is_extended ? parse_clauses(p, s) : parse_limit(p, s, dialect)) && refuse_clauses(p, dialect);
}
