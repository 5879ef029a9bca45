/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements from tokens, by recursive descent. Depth is bounded: parentheses
 * by QUERY_PARENS_MAX, AND/OR trees by QUERY_DEPTH_MAX.
 */
#include "query/query_internal.h"

#include <strings.h>

struct parser {
	struct lexer lexer;
	struct arena *arena;
	struct str sql;
	bool is_extended; /* Q: more than the reference has */
	uint32_t parens, parens_seen;
	const char *taken; /* end of the token before the current one */
};

/* ---- refusals: valid SQL that is not served ---- */

static bool refuse(struct parser *p, const char *text)
{
	if (!p->lexer.failed)
		buf_put_cstr(p->lexer.error, text);
	p->lexer.failed = true;
	return false;
}

static bool refuse_text(struct parser *p, const char *what, struct str text)
{
	struct str shown = str_cut(text, 1024);
	if (!p->lexer.failed)
		buf_printf(p->lexer.error, "%s: %.*s", what, STR_FMT(shown));
	p->lexer.failed = true;
	return false;
}

/* The whole statement is not served. */
static bool unsupported(struct parser *p, const char *what)
{
	struct str text = p->sql;
	while (text.len > 0 && (text.data[text.len - 1] == ';' || text.data[text.len - 1] == ' '))
		text.len--;
	return refuse_text(p, what, text);
}

static bool refuse_token(struct parser *p, const char *what)
{
	return refuse_text(p, what, p->lexer.token.source);
}

static bool next(struct parser *p)
{
	const struct str source = p->lexer.token.source;
	p->taken = source.data + source.len;
	return lexer_next(&p->lexer);
}

static bool is(const struct parser *p, const char *symbol)
{
	return lexer_is(&p->lexer, symbol);
}

static bool keyword(const struct parser *p, const char *word)
{
	return lexer_is_keyword(&p->lexer, word);
}

static bool expect(struct parser *p, const char *symbol)
{
	return is(p, symbol) ? next(p) : lexer_expected(&p->lexer, symbol);
}

static bool expect_keyword(struct parser *p, const char *word)
{
	return keyword(p, word) ? next(p) : lexer_expected(&p->lexer, word);
}

static bool is_name(const struct parser *p)
{
	return p->lexer.token.kind == TOKEN_NAME || p->lexer.token.kind == TOKEN_QUOTED_NAME;
}

static bool in_list(struct str word, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (word.len == strlen(list[i]) && strncasecmp(word.data, list[i], word.len) == 0)
			return true;
	return false;
}

/* Refuses the expression that begins at `from` and has been read so far, with the rest of it. */
static bool refuse_expression(struct parser *p, const char *what, const char *from)
{
	static const char *const ends[] = { "AND", "OR", "FROM", "WHERE", "LIMIT", "JOIN", "ON", "AS", "ORDER", "GROUP" };
	uint32_t depth = 0;
	while (!p->lexer.failed && p->lexer.token.kind != TOKEN_END) {
		if (is(p, "(")) {
			depth++;
		} else if (depth > 0 && is(p, ")")) {
			depth--;
		} else if (depth == 0 && (is(p, ")") || is(p, ",") || is(p, ";") || is(p, "=") ||
			(p->lexer.token.kind == TOKEN_NAME && in_list(p->lexer.token.text, ends, ARRAY_COUNT(ends))))) {
			break;
		}
		(void)next(p);
	}
	if (p->taken <= from) /* there is nothing here that could be an expression */
		return lexer_expected(&p->lexer, "an expression:");
	return refuse_text(p, what, (struct str){ from, (size_t)(p->taken - from) });
}

/* Words that end a table or a column rather than name it anew (section 2). */
static bool is_reserved_alias(const struct parser *p, bool of_table)
{
	static const char *const both[] = { "WITH", "EXPLAIN", "ANALYZE", "SELECT", "WHERE", "GROUP", "SORT", "HAVING",
		"ORDER", "TOP", "LATERAL", "VIEW", "LIMIT", "OFFSET", "FETCH", "UNION", "EXCEPT", "INTERSECT", "CLUSTER",
		"DISTRIBUTE", "END" };
	static const char *const of_tables[] = { "PIVOT", "ON", "JOIN", "INNER", "CROSS", "FULL", "LEFT", "RIGHT",
		"NATURAL", "USING", "OUTER", "SET", "QUALIFY", "WINDOW", "PARTITION" };
	static const char *const of_columns[] = { "FROM", "INTO" };
	struct str word = p->lexer.token.text;
	return p->lexer.token.kind == TOKEN_NAME && (in_list(word, both, ARRAY_COUNT(both)) ||
		(of_table ? in_list(word, of_tables, ARRAY_COUNT(of_tables)) :
		in_list(word, of_columns, ARRAY_COUNT(of_columns))));
}

/* [[AS] alias]; a string names as well as a name does. */
static bool parse_alias(struct parser *p, struct str *alias, bool of_table)
{
	bool as = keyword(p, "as");
	if (as && !next(p))
		return false;
	bool named = is_name(p) || p->lexer.token.kind == TOKEN_STRING;
	if (!as && (!named || is_reserved_alias(p, of_table)))
		return true;
	if (!named)
		return lexer_expected(&p->lexer, "an identifier after AS");
	*alias = p->lexer.token.text;
	return next(p);
}

/* A name of one or more parts, joined by dots. `last` (may be NULL) receives the last part apart from the rest. A
 * trailing ".*" is left to the caller through `star`. */
static bool dotted_name(struct parser *p, struct str *whole, struct str *rest, struct str *last, bool *star)
{
	if (!is_name(p))
		return lexer_expected(&p->lexer, "identifier");
	struct buf text = BUF_INIT(QUERY_TEXT_MAX);
	size_t last_at = 0;
	uint32_t parts = 0;
	bool ok = true;
	if (star != NULL)
		*star = false;
	for (;;) {
		last_at = text.len;
		buf_put_str(&text, p->lexer.token.text);
		parts++;
		if (!next(p) || !is(p, ".")) {
			ok = !p->lexer.failed;
			break;
		}
		if (!next(p)) {
			ok = false;
			break;
		}
		if (star != NULL && is(p, "*")) {
			*star = true;
			ok = next(p);
			break;
		}
		if (!is_name(p)) {
			ok = lexer_expected(&p->lexer, "identifier");
			break;
		}
		buf_put_u8(&text, '.');
	}
	struct str copy = arena_str(p->arena, buf_str(&text));
	buf_deinit(&text);
	if (copy.data == NULL)
		return lexer_expected(&p->lexer, "less text (out of memory)");
	*whole = copy;
	if (last != NULL) {
		*last = (struct str){ copy.data + last_at, copy.len - last_at };
		*rest = parts > 1 ? (struct str){ copy.data, last_at - 1 } : (struct str){ NULL, 0 };
	}
	return ok;
}

/* ---- expressions ---- */

static const char too_deep[] = "Recursion limit exceeded, `sql-parser::parse_expr`";

static struct expr *make(struct parser *p, enum expr_kind kind, struct expr *left, struct expr *right)
{
	struct expr *e = arena_zalloc(p->arena, sizeof(*e));
	if (e == NULL) {
		(void)lexer_expected(&p->lexer, "less text (out of memory)");
		return NULL;
	}
	e->kind = kind;
	e->left = left;
	e->right = right;
	uint32_t l = left == NULL ? 0 : left->depth, r = right == NULL ? 0 : right->depth;
	e->depth = 1 + (l > r ? l : r);
	if (e->depth <= QUERY_DEPTH_MAX + 1)
		return e;
	(void)refuse(p, too_deep);
	return NULL;
}

static struct expr *literal(struct parser *p, enum literal_kind kind, struct str text)
{
	struct expr *e = make(p, EXPR_LITERAL, NULL, NULL);
	if (e == NULL)
		return NULL;
	e->literal = kind;
	e->name = text;
	return next(p) ? e : NULL;
}

static struct expr *parse_or(struct parser *p);

static struct expr *parenthesised(struct parser *p)
{
	p->parens_seen++;
	if (++p->parens > QUERY_PARENS_MAX) {
		(void)refuse(p, "sql parser error: recursion limit exceeded");
		return NULL;
	}
	struct expr *e = next(p) ? parse_or(p) : NULL;
	p->parens--;
	return e != NULL && expect(p, ")") ? e : NULL;
}

static struct expr *signed_number(struct parser *p)
{
	const char *from = p->lexer.token.source.data;
	char sign = *from;
	if (!next(p))
		return NULL;
	if (p->lexer.token.kind != TOKEN_NUMBER) {
		(void)refuse_expression(p, "Unsupported expression", from);
		return NULL;
	}
	struct str text = arena_printf(p->arena, "%c%.*s", sign, STR_FMT(p->lexer.token.text));
	return text.data == NULL ? NULL : literal(p, LITERAL_NUMBER, text);
}

static struct expr *parameter(struct parser *p)
{
	const char *from = p->lexer.token.source.data;
	if (!next(p))
		return NULL;
	if (!is_name(p) || !str_eq(p->lexer.token.text, STR("sender"))) {
		(void)refuse_expression(p, "Unsupported literal expression", from);
		return NULL;
	}
	struct expr *e = make(p, EXPR_SENDER, NULL, NULL);
	return e != NULL && next(p) ? e : NULL;
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
	if (bare && in_list(word, constructs, ARRAY_COUNT(constructs))) {
		(void)refuse_expression(p, "Unsupported expression", from);
		return NULL;
	}
	struct expr *e = make(p, EXPR_COLUMN, NULL, NULL);
	struct str whole;
	if (e == NULL || !dotted_name(p, &whole, &e->table, &e->name, NULL))
		return NULL;
	if (bare && in_list(word, functions, ARRAY_COUNT(functions)) && e->table.data != NULL) {
		(void)refuse_text(p, "sql parser error: Expected end of statement, found", STR("."));
		return NULL;
	}
	bool function = bare && in_list(word, functions, ARRAY_COUNT(functions));
	if (function || is(p, "(") || p->lexer.token.kind == TOKEN_STRING) {
		(void)refuse_expression(p, "Unsupported expression", from);
		return NULL;
	}
	return e;
}

static struct expr *operand(struct parser *p)
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
		if (keyword(p, "true"))
			return literal(p, LITERAL_TRUE, STR("true"));
		if (keyword(p, "false"))
			return literal(p, LITERAL_FALSE, STR("false"));
		if (keyword(p, "null")) {
			(void)refuse_text(p, "Unsupported literal expression", STR("NULL"));
			return NULL;
		}
		return column(p);
	case TOKEN_SYMBOL:
		if (is(p, "("))
			return parenthesised(p);
		if (is(p, "+") || is(p, "-"))
			return signed_number(p);
		if (is(p, ":"))
			return parameter(p);
		if (is(p, "?") || is(p, "$")) {
			(void)refuse_expression(p, "Unsupported literal expression", t->source.data);
			return NULL;
		}
		if (is(p, "[") || is(p, "@")) {
			(void)refuse_expression(p, "Unsupported expression", t->source.data);
			return NULL;
		}
		break;
	case TOKEN_OTHER_STRING:
		(void)refuse_token(p, "Unsupported literal expression");
		return NULL;
	case TOKEN_END:
		break;
	}
	(void)lexer_expected(&p->lexer, "an expression:");
	return NULL;
}

static bool compare_op(const struct parser *p, enum compare_op *op)
{
	static const struct { const char *text; enum compare_op op; } ops[] = { { "=", OP_EQ }, { "==", OP_EQ },
		{ "!=", OP_NE }, { "<>", OP_NE }, { "<", OP_LT }, { "<=", OP_LE }, { ">", OP_GT }, { ">=", OP_GE } };
	for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
		if (is(p, ops[i].text)) {
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
		if (is(p, symbols[i]))
			return refuse_token(p, "Unsupported binary operator");
	if (keyword(p, "xor"))
		return refuse_text(p, "Unsupported binary operator", STR("XOR"));
	if (is(p, "!") || is(p, "::") || is(p, "->") || is(p, "@>") || is(p, "<@") || is(p, "[") ||
		(p->lexer.token.kind == TOKEN_NAME && in_list(p->lexer.token.text, words, ARRAY_COUNT(words))))
		return refuse_expression(p, "Unsupported expression", from);
	return true;
}

/* ---- what Q has beyond the reference ---- */

/* Of many, as flat as it can be. */
static struct expr *any_of(struct parser *p, struct expr **all, uint32_t count)
{
	if (count == 1)
		return all[0];
	struct expr *left = any_of(p, all, count / 2), *right = any_of(p, all + count / 2, count - count / 2);
	return left == NULL || right == NULL ? NULL : make(p, EXPR_OR, left, right);
}

static struct expr *comparison(struct parser *p, enum compare_op op, struct expr *left)
{
	struct expr *right = operand(p);
	struct expr *e = right == NULL ? NULL : make(p, EXPR_COMPARE, left, right);
	if (e != NULL)
		e->op = op;
	return e;
}

static struct expr *parse_in(struct parser *p, struct expr *left, const char *from)
{
	uint32_t count = 0, cap = 0;
	struct expr **all = NULL;
	if (!next(p) || !is(p, "(")) {
		(void)lexer_expected(&p->lexer, "(");
		return NULL;
	}
	do {
		if (!next(p))
			return NULL;
		if (keyword(p, "select")) {
			(void)refuse_expression(p, "Unsupported expression", from);
			return NULL;
		}
		if (count == cap) {
			cap = cap == 0 ? 8 : cap * 2;
			struct expr **grown = arena_array(p->arena, cap, sizeof(struct expr *));
			if (grown == NULL) {
				(void)lexer_expected(&p->lexer, "less text (out of memory)");
				return NULL;
			}
			if (count > 0)
				memcpy(grown, all, count * sizeof(struct expr *));
			all = grown;
		}
		all[count] = comparison(p, OP_EQ, left);
		if (all[count++] == NULL)
			return NULL;
	} while (is(p, ","));
	return expect(p, ")") ? any_of(p, all, count) : NULL;
}

static struct expr *parse_between(struct parser *p, struct expr *left)
{
	struct expr *low = next(p) ? comparison(p, OP_GE, left) : NULL;
	if (low == NULL || !expect_keyword(p, "AND"))
		return NULL;
	struct expr *high = comparison(p, OP_LE, left);
	return high == NULL ? NULL : make(p, EXPR_AND, low, high);
}

static struct expr *parse_like(struct parser *p, struct expr *left)
{
	struct expr *e = make(p, EXPR_LIKE, left, NULL);
	if (e == NULL)
		return NULL;
	e->folds = keyword(p, "ilike");
	if (!next(p))
		return NULL;
	if (p->lexer.token.kind != TOKEN_STRING) {
		(void)lexer_expected(&p->lexer, "a pattern in quotes");
		return NULL;
	}
	e->name = p->lexer.token.text;
	if (!next(p) || !keyword(p, "escape"))
		return p->lexer.failed ? NULL : e;
	if (!next(p))
		return NULL;
	if (p->lexer.token.kind != TOKEN_STRING || p->lexer.token.text.len != 1) {
		(void)lexer_expected(&p->lexer, "one character in quotes");
		return NULL;
	}
	e->escape = p->lexer.token.text.data[0];
	return next(p) ? e : NULL;
}

static struct expr *parse_is_null(struct parser *p, struct expr *left, const char *from)
{
	if (!next(p))
		return NULL;
	bool negated = keyword(p, "not");
	if (negated && !next(p))
		return NULL;
	if (!keyword(p, "null")) {
		(void)refuse_expression(p, "Unsupported expression", from);
		return NULL;
	}
	struct expr *e = next(p) ? make(p, EXPR_IS_NULL, left, NULL) : NULL;
	return e == NULL || !negated ? e : make(p, EXPR_NOT, e, NULL);
}

/* [NOT] IN, BETWEEN, LIKE; IS [NOT] NULL; or `left` as it is. */
static struct expr *parse_predicate(struct parser *p, struct expr *left, const char *from)
{
	if (keyword(p, "is"))
		return parse_is_null(p, left, from);
	bool negated = keyword(p, "not");
	if (negated && !next(p))
		return NULL;
	struct expr *e;
	if (keyword(p, "in"))
		e = parse_in(p, left, from);
	else if (keyword(p, "between"))
		e = parse_between(p, left);
	else if (keyword(p, "like") || keyword(p, "ilike"))
		e = parse_like(p, left);
	else if (!negated)
		return left;
	else
		return refuse_expression(p, "Unsupported expression", from) ? left : NULL;
	return e == NULL || !negated ? e : make(p, EXPR_NOT, e, NULL);
}

static struct expr *parse_compare(struct parser *p)
{
	enum compare_op op;
	const char *from = p->lexer.token.source.data;
	struct expr *left = operand(p);
	while (left != NULL && compare_op(p, &op)) {
		struct expr *right = next(p) ? operand(p) : NULL;
		left = right == NULL ? NULL : make(p, EXPR_COMPARE, left, right);
		if (left != NULL)
			left->op = op;
	}
	if (left != NULL && p->is_extended)
		left = parse_predicate(p, left, from);
	return left == NULL || refuse_operator(p, from) ? left : NULL;
}

/* NOT is what every query builder writes; it binds looser than a comparison. */
static struct expr *parse_not(struct parser *p)
{
	uint32_t nots = 0;
	while (keyword(p, "not")) {
		bool shallow = ++nots <= QUERY_DEPTH_MAX || refuse(p, too_deep);
		if (!shallow || !next(p))
			return NULL;
	}
	struct expr *e = parse_compare(p);
	while (e != NULL && nots-- > 0)
		e = make(p, EXPR_NOT, e, NULL);
	return e;
}

static struct expr *parse_and(struct parser *p)
{
	struct expr *left = parse_not(p);
	while (left != NULL && keyword(p, "and")) {
		struct expr *right = next(p) ? parse_not(p) : NULL;
		left = right == NULL ? NULL : make(p, EXPR_AND, left, right);
	}
	return left;
}

static struct expr *parse_or(struct parser *p)
{
	struct expr *left = parse_and(p);
	while (left != NULL && keyword(p, "or")) {
		struct expr *right = next(p) ? parse_and(p) : NULL;
		left = right == NULL ? NULL : make(p, EXPR_OR, left, right);
	}
	return left;
}

/* ---- FROM ---- */

static bool parse_relvar(struct parser *p, struct relvar *out)
{
	struct str rest, last;
	const char *from = p->lexer.token.source.data;
	if (keyword(p, "table") || keyword(p, "lateral") || is(p, "("))
		return refuse_expression(p, "Unsupported FROM expression", from);
	if (p->lexer.token.kind == TOKEN_STRING) { /* a name in the wrong quotes, taken all the same */
		out->table = p->lexer.token.text;
		if (!next(p))
			return false;
	} else if (!dotted_name(p, &out->table, &rest, &last, NULL)) {
		return false;
	}
	if (is(p, "("))
		return refuse_expression(p, "Unsupported FROM expression", from);
	out->alias = out->table;
	return parse_alias(p, &out->alias, true);
}

static bool parse_join(struct parser *p, struct join *join, bool *found)
{
	static const char *const outer[] = { "LEFT", "RIGHT", "FULL", "NATURAL", "OUTER" };
	*found = true;
	if (is(p, ","))
		return refuse(p, "Implicit joins are not supported");
	if (p->lexer.token.kind == TOKEN_NAME && in_list(p->lexer.token.text, outer, ARRAY_COUNT(outer)))
		return refuse(p, "Non-inner joins are not supported");
	bool cross = keyword(p, "cross");
	if (!cross && !keyword(p, "inner") && !keyword(p, "join")) {
		*found = false;
		return true;
	}
	if ((cross || keyword(p, "inner")) && !next(p))
		return false;
	if (!expect_keyword(p, "JOIN") || !parse_relvar(p, &join->relvar))
		return false;
	if (keyword(p, "using"))
		return refuse(p, "Non-inner joins are not supported");
	if (cross || !keyword(p, "on"))
		return true;
	uint32_t parens = p->parens_seen;
	struct expr *on = next(p) ? parse_or(p) : NULL;
	if (on == NULL)
		return false;
	if (p->parens_seen != parens || on->kind != EXPR_COMPARE || on->op != OP_EQ || on->left->kind != EXPR_COLUMN ||
		on->right->kind != EXPR_COLUMN)
		return refuse(p, "Non-inner joins are not supported");
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
		if (s->join_count == cap) {
			uint32_t grown = cap == 0 ? 4 : cap * 2;
			struct join *joins = arena_array(p->arena, grown, sizeof(*joins));
			if (joins == NULL)
				return lexer_expected(&p->lexer, "less text (out of memory)");
			if (cap > 0)
				memcpy(joins, s->joins, cap * sizeof(*joins));
			s->joins = joins;
			cap = grown;
		}
		s->joins[s->join_count++] = join;
	}
}

/* ---- SELECT ---- */

/* A function call from its parenthesis on; its name, at `from`, has been read. */
static bool parse_call(struct parser *p, struct statement *s, bool is_count, const char *from)
{
	bool is_star = false;
	if (!next(p))
		return false;
	is_star = is(p, "*");
	uint32_t depth = 1;
	while (depth > 0 && p->lexer.token.kind != TOKEN_END) {
		depth += is(p, "(");
		depth -= is(p, ")");
		if (!next(p))
			return false;
	}
	if (depth > 0)
		return lexer_expected(&p->lexer, ")");
	struct str call = { from, (size_t)(p->taken - from) };
	if (!parse_alias(p, &s->count_alias, false))
		return false;
	if (p->lexer.token.kind == TOKEN_SYMBOL && !is(p, ",") && !is(p, ";"))
		return refuse_expression(p, "Unsupported projection expression", from);
	if (is(p, ",") || s->item_count > 0)
		return refuse_text(p, "Unsupported projection expression", call);
	if (s->count_alias.data == NULL)
		return refuse(p, "Aggregate expressions must have column aliases");
	if (!is_count || !is_star)
		return refuse_text(p, "Unsupported aggregate function", call);
	s->projection = PROJECT_COUNT;
	return true;
}

static bool add_item(struct parser *p, struct statement *s, uint32_t *cap, struct projection item)
{
	if (s->item_count == *cap) {
		uint32_t grown = *cap == 0 ? 8 : *cap * 2;
		struct projection *items = arena_array(p->arena, grown, sizeof(*items));
		if (items == NULL)
			return lexer_expected(&p->lexer, "less text (out of memory)");
		if (*cap > 0)
			memcpy(items, s->items, *cap * sizeof(*items));
		s->items = items;
		*cap = grown;
	}
	s->items[s->item_count++] = item;
	return true;
}

static bool parse_item(struct parser *p, struct statement *s, uint32_t *cap)
{
	static const char *const words[] = { "true", "false", "null", "user", "current_user", "session_user",
		"current_catalog", "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "case",
		"not", "exists", "interval" };
	bool star, is_count = keyword(p, "count");
	struct str whole;
	struct projection item = { .column = make(p, EXPR_COLUMN, NULL, NULL) };
	const struct token first = p->lexer.token;
	const char *from = first.source.data;
	if (first.kind == TOKEN_END || is(p, ")") || is(p, ".") || is(p, "#") || is(p, "\\"))
		return lexer_expected(&p->lexer, "an expression:");
	if (!is_name(p) || (first.kind == TOKEN_NAME && in_list(first.text, words, ARRAY_COUNT(words))))
		return refuse_expression(p, "Unsupported projection expression", from);
	if (item.column == NULL || !dotted_name(p, &whole, &item.column->table, &item.column->name, &star))
		return false;
	if (star) {
		if (s->item_count > 0 || is(p, ","))
			return refuse(p, "Mixed wildcard projections are not supported");
		s->projection = PROJECT_TABLE;
		s->projected_table = whole;
		return true;
	}
	if (is(p, "("))
		return parse_call(p, s, is_count, from);
	if (p->lexer.token.kind == TOKEN_SYMBOL && !is(p, ",") && !is(p, ";") && !is(p, "*"))
		return refuse_expression(p, "Unsupported projection expression", from);
	if (!parse_alias(p, &item.alias, false))
		return false;
	s->projection = PROJECT_COLUMNS;
	return add_item(p, s, cap, item);
}

static bool parse_projection(struct parser *p, struct statement *s)
{
	uint32_t cap = 0;
	if (is(p, "*")) {
		s->projection = PROJECT_ALL;
		if (!next(p))
			return false;
		return is(p, ",") ? refuse(p, "Mixed wildcard projections are not supported") : true;
	}
	for (;;) {
		if (is(p, "*"))
			return refuse(p, "Mixed wildcard projections are not supported");
		if (!parse_item(p, s, &cap))
			return false;
		if (!is(p, ","))
			return true;
		if (!next(p))
			return false;
	}
}

static bool parse_limit(struct parser *p, struct statement *s, enum query_dialect dialect)
{
	if (!keyword(p, "limit"))
		return true;
	if (!next(p))
		return false;
	if (keyword(p, "all"))
		return next(p);
	if (p->lexer.token.kind == TOKEN_END)
		return lexer_expected(&p->lexer, "an expression:");
	if (dialect == QUERY_DIALECT_SUBSCRIBE || p->lexer.token.kind != TOKEN_NUMBER)
		return unsupported(p, "Unsupported");
	s->has_limit = true;
	s->limit = p->lexer.token.text;
	return next(p);
}

static bool parse_offset(struct parser *p, struct statement *s)
{
	if (!keyword(p, "offset"))
		return true;
	if (!next(p))
		return false;
	if (p->lexer.token.kind != TOKEN_NUMBER)
		return lexer_expected(&p->lexer, "a number of rows");
	s->offset = p->lexer.token.text;
	return next(p);
}

static bool parse_order_item(struct parser *p, struct order_item *item)
{
	struct str whole;
	if (p->lexer.token.kind == TOKEN_NUMBER) {
		item->position = p->lexer.token.text;
		if (!next(p))
			return false;
	} else {
		item->column = make(p, EXPR_COLUMN, NULL, NULL);
		if (item->column == NULL || !dotted_name(p, &whole, &item->column->table, &item->column->name, NULL))
			return false;
	}
	item->descends = keyword(p, "desc");
	if ((item->descends || keyword(p, "asc")) && !next(p))
		return false;
	item->nulls_first = item->descends;
	if (!keyword(p, "nulls"))
		return true;
	if (!next(p))
		return false;
	item->nulls_first = keyword(p, "first");
	return item->nulls_first || keyword(p, "last") ? next(p) : lexer_expected(&p->lexer, "FIRST or LAST");
}

static bool parse_order(struct parser *p, struct statement *s)
{
	uint32_t cap = 0;
	if (!keyword(p, "order"))
		return true;
	if (s->projection == PROJECT_COUNT)
		return unsupported(p, "Unsupported");
	if (!next(p))
		return false;
	if (!keyword(p, "by"))
		return lexer_expected(&p->lexer, "BY");
	do {
		if (!next(p))
			return false;
		if (s->order_count == cap) {
			cap = cap == 0 ? 4 : cap * 2;
			struct order_item *grown = arena_array(p->arena, cap, sizeof(*grown));
			if (grown == NULL)
				return lexer_expected(&p->lexer, "less text (out of memory)");
			if (s->order_count > 0)
				memcpy(grown, s->orders, s->order_count * sizeof(*grown));
			s->orders = grown;
		}
		s->orders[s->order_count] = (struct order_item){ 0 };
		if (!parse_order_item(p, &s->orders[s->order_count]))
			return false;
		s->order_count++;
	} while (is(p, ","));
	return true;
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
	if (in_list(word, whole, ARRAY_COUNT(whole)))
		return unsupported(p, "Unsupported");
	if (in_list(word, of_select, ARRAY_COUNT(of_select)))
		return unsupported(p, live ? "Unsupported SELECT" : "Unsupported");
	if (in_list(word, sets, ARRAY_COUNT(sets)))
		return unsupported(p, live ? "Unsupported set operation" : "Unsupported");
	return true;
}

static bool parse_select(struct parser *p, struct statement *s, enum query_dialect dialect)
{
	s->kind = QUERY_SELECT;
	if (!next(p) || (keyword(p, "all") && !next(p)))
		return false;
	if (p->is_extended && keyword(p, "distinct")) {
		s->is_distinct = true;
		if (!next(p))
			return false;
	}
	if (keyword(p, "distinct"))
		return unsupported(p, dialect == QUERY_DIALECT_SUBSCRIBE ? "Unsupported SELECT" : "Unsupported");
	if (!parse_projection(p, s))
		return false;
	if (p->lexer.token.kind == TOKEN_END || is(p, ";"))
		return refuse(p, "A FROM clause is required");
	if (!keyword(p, "from"))
		return lexer_expected(&p->lexer, "end of statement");
	if (!next(p) || !parse_from(p, s))
		return false;
	if (keyword(p, "where")) {
		s->where = next(p) ? parse_or(p) : NULL;
		if (s->where == NULL)
			return false;
	}
	if (p->is_extended && s->is_distinct && s->projection == PROJECT_COUNT)
		return unsupported(p, "Unsupported");
	if (p->is_extended && (!parse_order(p, s) || !parse_offset(p, s)))
		return false;
	if (!parse_limit(p, s, dialect))
		return false;
	if (p->is_extended && s->offset.data == NULL && !parse_offset(p, s))
		return false;
	return refuse_clauses(p, dialect);
}

/* ---- DML ---- */

/* A literal on its own; anything else is refused as `what`. */
static bool literal_value(struct parser *p, struct expr **out, const char *what)
{
	const char *from = p->lexer.token.source.data;
	bool is_symbol = p->lexer.token.kind == TOKEN_SYMBOL && !is(p, "+") && !is(p, "-") && !is(p, ":") &&
		!is(p, "?") && !is(p, "$") && !is(p, ",");
	bool is_column = is_name(p) && !keyword(p, "true") && !keyword(p, "false") && !keyword(p, "null");
	if (is_symbol || is_column)
		return refuse_expression(p, what, from);
	struct expr *e = operand(p);
	if (e == NULL)
		return false;
	if (e->kind == EXPR_SENDER)
		return refuse_text(p, "Unsupported literal expression", STR(":sender"));
	if (p->lexer.token.kind == TOKEN_SYMBOL && !is(p, ",") && !is(p, ")") && !is(p, ";"))
		return refuse_expression(p, what, from);
	*out = e;
	return true;
}

static bool add_value(struct parser *p, struct statement *s, uint32_t *cap, struct expr *value)
{
	if (s->row_count * s->value_count > UINT32_MAX - 1)
		return false;
	if (s->column_count == *cap) { /* column_count counts values while parsing */
		uint32_t grown = *cap == 0 ? 16 : *cap * 2;
		struct expr **values = arena_array(p->arena, grown, sizeof(struct expr *));
		if (values == NULL)
			return lexer_expected(&p->lexer, "less text (out of memory)");
		if (*cap > 0)
			memcpy(values, s->values, *cap * sizeof(*values));
		s->values = values;
		*cap = grown;
	}
	s->values[s->column_count++] = value;
	return true;
}

static bool parse_value_rows(struct parser *p, struct statement *s)
{
	uint32_t cap = 0;
	for (;;) {
		uint32_t count = 0;
		if (!expect(p, "("))
			return false;
		for (;;) {
			struct expr *value;
			if (!literal_value(p, &value, "Unsupported INSERT value") || !add_value(p, s, &cap, value))
				return false;
			count++;
			if (!is(p, ","))
				break;
			if (!next(p))
				return false;
		}
		if (!expect(p, ")"))
			return false;
		if (s->row_count == 0)
			s->value_count = count;
		if (count != s->value_count && s->odd_count == 0)
			s->odd_count = count;
		s->row_count++;
		if (!is(p, ","))
			return true;
		if (!next(p))
			return false;
	}
}

/* What other dialects allow behind INSERT, UPDATE and DELETE. */
static bool refuse_tail(struct parser *p)
{
	if (keyword(p, "returning") || keyword(p, "using") || keyword(p, "from") || keyword(p, "on") ||
		keyword(p, "order") || keyword(p, "limit"))
		return unsupported(p, "Unsupported");
	return true;
}

static bool parse_insert(struct parser *p, struct statement *s)
{
	struct str rest, last;
	uint32_t columns = 0;
	s->kind = QUERY_INSERT;
	if (!next(p) || (keyword(p, "into") && !next(p)) || !dotted_name(p, &s->table, &rest, &last, NULL))
		return false;
	if (keyword(p, "values")) /* no list: no columns */
		return next(p) && parse_value_rows(p, s) && (s->column_count = 0, true);
	if (keyword(p, "select") || keyword(p, "table"))
		return refuse_expression(p, "Unsupported INSERT expression", p->lexer.token.source.data);
	if (!is(p, "("))
		return lexer_expected(&p->lexer, "SELECT, VALUES, or a subquery in the query body");
	do {
		if (!next(p))
			return false;
		if (!is_name(p))
			return lexer_expected(&p->lexer, "identifier");
		columns++;
		if (!next(p))
			return false;
	} while (is(p, ","));
	if (!expect(p, ")"))
		return false;
	if (keyword(p, "select") || keyword(p, "table"))
		return unsupported(p, "Unsupported INSERT expression");
	if (!keyword(p, "values"))
		return lexer_expected(&p->lexer, "SELECT, VALUES, or a subquery in the query body");
	if (!next(p) || !parse_value_rows(p, s))
		return false;
	s->column_count = columns; /* the list is counted, nothing else */
	return refuse_tail(p);
}

static bool parse_where(struct parser *p, struct statement *s)
{
	if (keyword(p, "where")) {
		s->where = next(p) ? parse_or(p) : NULL;
		if (s->where == NULL)
			return false;
	}
	return refuse_tail(p);
}

static bool parse_update(struct parser *p, struct statement *s)
{
	struct str rest, last;
	uint32_t cap = 0;
	s->kind = QUERY_UPDATE;
	if (!next(p) || !dotted_name(p, &s->table, &rest, &last, NULL))
		return false;
	if (keyword(p, "as"))
		return unsupported(p, "Unsupported");
	if (!expect_keyword(p, "SET"))
		return false;
	for (;;) {
		struct assignment set;
		if (is(p, "("))
			return unsupported(p, "Unsupported column/variable assignment expression");
		if (!dotted_name(p, &set.column, &rest, &last, NULL) || !expect(p, "=") ||
			!literal_value(p, &set.value, "Unsupported column/variable assignment expression"))
			return false;
		if (s->assignment_count == cap) {
			uint32_t grown = cap == 0 ? 8 : cap * 2;
			struct assignment *sets = arena_array(p->arena, grown, sizeof(*sets));
			if (sets == NULL)
				return lexer_expected(&p->lexer, "less text (out of memory)");
			if (cap > 0)
				memcpy(sets, s->assignments, cap * sizeof(*sets));
			s->assignments = sets;
			cap = grown;
		}
		s->assignments[s->assignment_count++] = set;
		if (!is(p, ","))
			return parse_where(p, s);
		if (!next(p))
			return false;
	}
}

static bool parse_delete(struct parser *p, struct statement *s)
{
	struct str rest, last;
	s->kind = QUERY_DELETE;
	if (!next(p) || !expect_keyword(p, "FROM"))
		return false;
	const char *from = p->lexer.token.source.data;
	if (is(p, "("))
		return refuse_expression(p, "Unsupported table expression in DELETE", from);
	if (!dotted_name(p, &s->table, &rest, &last, NULL))
		return false;
	if (is(p, ","))
		return refuse(p, "Multi-table DELETE is not supported");
	bool alias = is_name(p) && !is_reserved_alias(p, true) && !keyword(p, "returning");
	if (alias || keyword(p, "as") || keyword(p, "join"))
		return refuse_expression(p, "Unsupported table expression in DELETE", from);
	return parse_where(p, s);
}

static bool parse_set_show(struct parser *p, struct statement *s, enum query_kind kind)
{
	s->kind = kind;
	if (!next(p) || (kind == QUERY_SET && keyword(p, "session") && !next(p)))
		return false;
	if (!is_name(p))
		return lexer_expected(&p->lexer, "identifier");
	s->variable = p->lexer.token.text;
	if (!next(p) || kind == QUERY_SHOW)
		return !p->lexer.failed;
	if (!is(p, "=") && !keyword(p, "to"))
		return lexer_expected(&p->lexer, "equals sign or TO");
	return next(p) &&
		literal_value(p, &s->variable_value, "Unsupported column/variable assignment expression");
}

/* Statements of SQL that this language does not have; `plain` (NULL: their own text) for those that do not select. */
static bool refuse_statement(struct parser *p, const char *plain, const char *values)
{
	static const char *const others[] = { "INSERT", "UPDATE", "DELETE", "SET", "SHOW", "CREATE", "DROP", "ALTER",
		"TRUNCATE", "EXPLAIN", "BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "GRANT", "REVOKE", "DESCRIBE",
		"EXECUTE", "PREPARE", "DEALLOCATE", "DECLARE", "FETCH", "CLOSE", "COMMENT", "KILL", "COPY", "CALL", "MERGE",
		"ANALYZE", "USE" };
	if (keyword(p, "values"))
		return unsupported(p, values);
	if (keyword(p, "with") || is(p, "("))
		return unsupported(p, "Unsupported");
	if (p->lexer.token.kind != TOKEN_NAME || !in_list(p->lexer.token.text, others, ARRAY_COUNT(others)))
		return lexer_expected(&p->lexer, "an SQL statement");
	return plain != NULL ? refuse(p, plain) : unsupported(p, "Unsupported");
}

static bool parse_statement(struct parser *p, struct statement *s, enum query_dialect dialect)
{
	if (p->is_extended && keyword(p, "explain")) {
		s->is_explain = true;
		if (!next(p))
			return false;
		if (!keyword(p, "select"))
			return unsupported(p, "Unsupported");
	}
	if (keyword(p, "select"))
		return parse_select(p, s, dialect);
	if (dialect == QUERY_DIALECT_SUBSCRIBE)
		return refuse_statement(p, "Unsupported: Non-SELECT queries", "Unsupported set operation");
	if (keyword(p, "insert"))
		return parse_insert(p, s);
	if (keyword(p, "update"))
		return parse_update(p, s);
	if (keyword(p, "delete"))
		return parse_delete(p, s);
	if (keyword(p, "set"))
		return parse_set_show(p, s, QUERY_SET);
	if (keyword(p, "show"))
		return parse_set_show(p, s, QUERY_SHOW);
	return refuse_statement(p, NULL, "Unsupported");
}

bool statement_parse(struct arena *arena, enum query_dialect dialect, struct str sql, struct statement **out,
	struct buf *error)
{
	struct parser p = { .arena = arena, .sql = sql, .is_extended = dialect == QUERY_DIALECT_SQL };
	struct statement *s = arena_zalloc(arena, sizeof(*s));
	if (s == NULL) {
		buf_put_cstr(error, "not enough memory");
		return false;
	}
	if (!lexer_init(&p.lexer, arena, sql, error))
		return false;
	while (is(&p, ";"))
		if (!next(&p))
			return false;
	if (p.lexer.token.kind == TOKEN_END) {
		buf_put_cstr(error, "Empty SQL query");
		return false;
	}
	if (!parse_statement(&p, s, dialect))
		return false;
	if (p.lexer.token.kind != TOKEN_END && !is(&p, ";"))
		return lexer_expected(&p.lexer, "end of statement");
	while (is(&p, ";"))
		if (!next(&p))
			return false;
	if (p.lexer.token.kind != TOKEN_END) {
		buf_put_cstr(error, "Multiple SQL statements are not supported");
		return false;
	}
	*out = s;
	return true;
}
