/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements from tokens, by recursive descent. Depth is bounded: parentheses
 * by QUERY_PARENS_MAX, AND/OR trees by QUERY_DEPTH_MAX.
 */
#include "query/parser_internal.h"

#include <strings.h>

/* ---- refusals: valid SQL that is not served ---- */

/* Of several attempts at a statement the one that got furthest says what is wrong. */
static void note_failure(struct parser *p)
{
	if (p->failed_at == NULL)
		p->failed_at = p->lexer.token.source.data;
}

bool parser_expected(struct parser *p, const char *what)
{
	note_failure(p);
	return lexer_expected(&p->lexer, what);
}

bool parser_refuse(struct parser *p, const char *text)
{
	note_failure(p);
	if (!p->lexer.failed)
		buf_put_cstr(p->lexer.error, text);
	p->lexer.failed = true;
	return false;
}

bool parser_refuse_text(struct parser *p, const char *what, struct str text)
{
	struct str shown = str_cut(text, 1024);
	note_failure(p);
	if (!p->lexer.failed)
		buf_printf(p->lexer.error, "%s: %.*s", what, STR_FMT(shown));
	p->lexer.failed = true;
	return false;
}

bool parser_unsupported(struct parser *p, const char *what)
{
	struct str text = p->sql;
	while (text.len > 0 && (text.data[text.len - 1] == ';' || text.data[text.len - 1] == ' '))
		text.len--;
	return parser_refuse_text(p, what, text);
}

bool parser_refuse_token(struct parser *p, const char *what)
{
	return parser_refuse_text(p, what, p->lexer.token.source);
}

bool parser_expect(struct parser *p, const char *symbol)
{
	return parser_is(p, symbol) ? parser_next(p) : parser_expected(p, symbol);
}

bool parser_expect_keyword(struct parser *p, const char *word)
{
	return parser_keyword(p, word) ? parser_next(p) : parser_expected(p, word);
}

bool parser_in_list(struct str word, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (word.len == strlen(list[i]) && strncasecmp(word.data, list[i], word.len) == 0)
			return true;
	return false;
}

bool parser_refuse_expression(struct parser *p, const char *what, const char *from)
{
	static const char *const ends[] = { "AND", "OR", "FROM", "WHERE", "LIMIT", "JOIN", "ON", "AS", "ORDER", "GROUP" };
	uint32_t depth = 0;
	note_failure(p);
	while (!p->lexer.failed && p->lexer.token.kind != TOKEN_END) {
		if (parser_is(p, "(")) {
			depth++;
		} else if (depth > 0 && parser_is(p, ")")) {
			depth--;
		} else if (depth == 0 && (parser_is(p, ")") || parser_is(p, ",") || parser_is(p, ";") || parser_is(p, "=") ||
			(p->lexer.token.kind == TOKEN_NAME && parser_in_list(p->lexer.token.text, ends, ARRAY_COUNT(ends))))) {
			break;
		}
		(void)parser_next(p);
	}
	if (p->taken <= from) /* there is nothing here that could be an expression */
		return parser_expected(p, "an expression:");
	return parser_refuse_text(p, what, (struct str){ from, (size_t)(p->taken - from) });
}

bool parser_reserved_alias(const struct parser *p, bool of_table)
{
	static const char *const both[] = { "WITH", "EXPLAIN", "ANALYZE", "SELECT", "WHERE", "GROUP", "SORT", "HAVING",
		"ORDER", "TOP", "LATERAL", "VIEW", "LIMIT", "OFFSET", "FETCH", "UNION", "EXCEPT", "INTERSECT", "CLUSTER",
		"DISTRIBUTE", "END" };
	static const char *const of_tables[] = { "PIVOT", "ON", "JOIN", "INNER", "CROSS", "FULL", "LEFT", "RIGHT",
		"NATURAL", "USING", "OUTER", "SET", "QUALIFY", "WINDOW", "PARTITION" };
	static const char *const of_columns[] = { "FROM", "INTO" };
	struct str word = p->lexer.token.text;
	return p->lexer.token.kind == TOKEN_NAME && (parser_in_list(word, both, ARRAY_COUNT(both)) ||
		(of_table ? parser_in_list(word, of_tables, ARRAY_COUNT(of_tables)) :
		parser_in_list(word, of_columns, ARRAY_COUNT(of_columns))));
}

bool parser_alias(struct parser *p, struct str *alias, bool of_table)
{
	bool as = parser_keyword(p, "as");
	if (as && !parser_next(p))
		return false;
	bool named = parser_is_name(p) || p->lexer.token.kind == TOKEN_STRING;
	if (!as && (!named || parser_reserved_alias(p, of_table)))
		return true;
	if (!named)
		return parser_expected(p, "an identifier after AS");
	*alias = p->lexer.token.text;
	return parser_next(p);
}

bool parser_dotted_name(struct parser *p, struct str *whole, struct str *rest, struct str *last, bool *star)
{
	if (!parser_is_name(p))
		return parser_expected(p, "identifier");
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
		if (!parser_next(p) || !parser_is(p, ".")) {
			ok = !p->lexer.failed;
			break;
		}
		if (!parser_next(p)) {
			ok = false;
			break;
		}
		if (star != NULL && parser_is(p, "*")) {
			*star = true;
			ok = parser_next(p);
			break;
		}
		if (!parser_is_name(p)) {
			ok = parser_expected(p, "identifier");
			break;
		}
		buf_put_u8(&text, '.');
	}
	struct str copy = arena_str(p->arena, buf_str(&text));
	buf_deinit(&text);
	if (copy.data == NULL)
		return parser_expected(p, "less text (out of memory)");
	*whole = copy;
	if (last != NULL) {
		*last = (struct str){ copy.data + last_at, copy.len - last_at };
		*rest = parts > 1 ? (struct str){ copy.data, last_at - 1 } : (struct str){ NULL, 0 };
	}
	return ok;
}

bool parser_grow(struct parser *p, void *list, uint32_t count, uint32_t *cap, size_t size)
{
	void **items = list;
	if (count < *cap)
		return true;
	uint32_t grown = *cap == 0 ? 8 : *cap * 2;
	void *copy = arena_array(p->arena, grown, size);
	if (copy == NULL)
		return parser_expected(p, "less text (out of memory)");
	if (count > 0)
		memcpy(copy, *items, count * size);
	*items = copy;
	*cap = grown;
	return true;
}

/* ---- DML ---- */

/* A literal on its own; anything else is refused as `what`. */
static bool literal_value(struct parser *p, struct expr **out, const char *what)
{
	const char *from = p->lexer.token.source.data;
	bool is_symbol = p->lexer.token.kind == TOKEN_SYMBOL && !parser_is(p, "+") && !parser_is(p, "-") &&
		!parser_is(p, ":") &&
		!parser_is(p, "?") && !parser_is(p, "$") && !parser_is(p, ",");
	bool is_column = parser_is_name(p) && !parser_keyword(p, "true") && !parser_keyword(p, "false") &&
		!parser_keyword(p, "null");
	if (is_symbol || is_column)
		return parser_refuse_expression(p, what, from);
	struct expr *e = parse_operand(p);
	if (e == NULL)
		return false;
	if (e->kind == EXPR_SENDER)
		return parser_refuse_text(p, "Unsupported literal expression", STR(":sender"));
	if (p->lexer.token.kind == TOKEN_SYMBOL && !parser_is(p, ",") && !parser_is(p, ")") && !parser_is(p, ";"))
		return parser_refuse_expression(p, what, from);
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
			return parser_expected(p, "less text (out of memory)");
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
		if (!parser_expect(p, "("))
			return false;
		for (;;) {
			struct expr *value;
			if (!literal_value(p, &value, "Unsupported INSERT value") || !add_value(p, s, &cap, value))
				return false;
			count++;
			if (!parser_is(p, ","))
				break;
			if (!parser_next(p))
				return false;
		}
		if (!parser_expect(p, ")"))
			return false;
		if (s->row_count == 0)
			s->value_count = count;
		if (count != s->value_count && s->odd_count == 0)
			s->odd_count = count;
		s->row_count++;
		if (!parser_is(p, ","))
			return true;
		if (!parser_next(p))
			return false;
	}
}

/* What other dialects allow behind INSERT, UPDATE and DELETE. */
static bool refuse_tail(struct parser *p)
{
	if (parser_keyword(p, "returning") || parser_keyword(p, "using") || parser_keyword(p, "from") ||
		parser_keyword(p, "on") ||
		parser_keyword(p, "order") || parser_keyword(p, "limit"))
		return parser_unsupported(p, "Unsupported");
	return true;
}

static bool parse_insert(struct parser *p, struct statement *s)
{
	struct str rest, last;
	uint32_t columns = 0;
	s->kind = QUERY_INSERT;
	if (!parser_next(p) || (parser_keyword(p, "into") && !parser_next(p)) ||
		!parser_dotted_name(p, &s->table, &rest, &last, NULL))
		return false;
	if (parser_keyword(p, "values")) /* no list: no columns */
		return parser_next(p) && parse_value_rows(p, s) && (s->column_count = 0, true);
	if (parser_keyword(p, "select") || parser_keyword(p, "table"))
		return parser_refuse_expression(p, "Unsupported INSERT expression", p->lexer.token.source.data);
	if (!parser_is(p, "("))
		return parser_expected(p, "SELECT, VALUES, or a subquery in the query body");
	do {
		if (!parser_next(p))
			return false;
		if (!parser_is_name(p))
			return parser_expected(p, "identifier");
		columns++;
		if (!parser_next(p))
			return false;
	} while (parser_is(p, ","));
	if (!parser_expect(p, ")"))
		return false;
	if (parser_keyword(p, "select") || parser_keyword(p, "table"))
		return parser_unsupported(p, "Unsupported INSERT expression");
	if (!parser_keyword(p, "values"))
		return parser_expected(p, "SELECT, VALUES, or a subquery in the query body");
	if (!parser_next(p) || !parse_value_rows(p, s))
		return false;
	s->column_count = columns; /* the list is counted, nothing else */
	return refuse_tail(p);
}

static bool parse_where(struct parser *p, struct statement *s)
{
	if (parser_keyword(p, "where")) {
		s->where = parser_next(p) ? parse_condition(p) : NULL;
		if (s->where == NULL)
			return false;
	}
	return refuse_tail(p);
}

/* What a column is set to. */
static bool assigned(struct parser *p, struct expr **out)
{
	if (!p->is_extended)
		return literal_value(p, out, "Unsupported column/variable assignment expression");
	const char *from = p->lexer.token.source.data;
	if (parser_keyword(p, "default"))
		return parser_refuse_expression(p, "Unsupported column/variable assignment expression", from);
	*out = parse_condition(p);
	if (*out != NULL && (*out)->kind == EXPR_SENDER)
		return parser_refuse_text(p, "Unsupported literal expression", STR(":sender"));
	return *out != NULL;
}

static bool parse_update(struct parser *p, struct statement *s)
{
	struct str rest, last;
	uint32_t cap = 0;
	s->kind = QUERY_UPDATE;
	if (!parser_next(p) || !parser_dotted_name(p, &s->table, &rest, &last, NULL))
		return false;
	if (parser_keyword(p, "as"))
		return parser_unsupported(p, "Unsupported");
	if (!parser_expect_keyword(p, "SET"))
		return false;
	for (;;) {
		struct assignment set;
		if (parser_is(p, "("))
			return parser_unsupported(p, "Unsupported column/variable assignment expression");
		if (!parser_dotted_name(p, &set.column, &rest, &last, NULL) || !parser_expect(p, "=") ||
			!assigned(p, &set.value))
			return false;
		if (s->assignment_count == cap) {
			uint32_t grown = cap == 0 ? 8 : cap * 2;
			struct assignment *sets = arena_array(p->arena, grown, sizeof(*sets));
			if (sets == NULL)
				return parser_expected(p, "less text (out of memory)");
			if (cap > 0)
				memcpy(sets, s->assignments, cap * sizeof(*sets));
			s->assignments = sets;
			cap = grown;
		}
		s->assignments[s->assignment_count++] = set;
		if (!parser_is(p, ","))
			return parse_where(p, s);
		if (!parser_next(p))
			return false;
	}
}

static bool parse_delete(struct parser *p, struct statement *s)
{
	struct str rest, last;
	s->kind = QUERY_DELETE;
	if (!parser_next(p) || !parser_expect_keyword(p, "FROM"))
		return false;
	const char *from = p->lexer.token.source.data;
	if (parser_is(p, "("))
		return parser_refuse_expression(p, "Unsupported table expression in DELETE", from);
	if (!parser_dotted_name(p, &s->table, &rest, &last, NULL))
		return false;
	if (parser_is(p, ","))
		return parser_refuse(p, "Multi-table DELETE is not supported");
	bool alias = parser_is_name(p) && !parser_reserved_alias(p, true) && !parser_keyword(p, "returning");
	if (alias || parser_keyword(p, "as") || parser_keyword(p, "join"))
		return parser_refuse_expression(p, "Unsupported table expression in DELETE", from);
	return parse_where(p, s);
}

static bool parse_set_show(struct parser *p, struct statement *s, enum query_kind kind)
{
	s->kind = kind;
	if (!parser_next(p) || (kind == QUERY_SET && parser_keyword(p, "session") && !parser_next(p)))
		return false;
	if (!parser_is_name(p))
		return parser_expected(p, "identifier");
	s->variable = p->lexer.token.text;
	if (!parser_next(p) || kind == QUERY_SHOW)
		return !p->lexer.failed;
	if (!parser_is(p, "=") && !parser_keyword(p, "to"))
		return parser_expected(p, "equals sign or TO");
	return parser_next(p) &&
		literal_value(p, &s->variable_value, "Unsupported column/variable assignment expression");
}

/* Statements of SQL that this language does not have; `plain` (NULL: their own text) for those that do not select. */
static bool refuse_statement(struct parser *p, const char *plain, const char *values)
{
	static const char *const others[] = { "INSERT", "UPDATE", "DELETE", "SET", "SHOW", "CREATE", "DROP", "ALTER",
		"TRUNCATE", "EXPLAIN", "BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "GRANT", "REVOKE", "DESCRIBE",
		"EXECUTE", "PREPARE", "DEALLOCATE", "DECLARE", "FETCH", "CLOSE", "COMMENT", "KILL", "COPY", "CALL", "MERGE",
		"ANALYZE", "USE" };
	if (parser_keyword(p, "values"))
		return parser_unsupported(p, values);
	if (parser_keyword(p, "with") || parser_is(p, "("))
		return parser_unsupported(p, "Unsupported");
	if (p->lexer.token.kind != TOKEN_NAME || !parser_in_list(p->lexer.token.text, others, ARRAY_COUNT(others)))
		return parser_expected(p, "an SQL statement");
	return plain != NULL ? parser_refuse(p, plain) : parser_unsupported(p, "Unsupported");
}

static bool parse_statement(struct parser *p, struct statement *s, enum query_dialect dialect)
{
	if (parser_keyword(p, "select"))
		return parse_select(p, s, dialect);
	if (dialect == QUERY_DIALECT_SUBSCRIBE)
		return refuse_statement(p, "Unsupported: Non-SELECT queries", "Unsupported set operation");
	if (parser_keyword(p, "insert"))
		return parse_insert(p, s);
	if (parser_keyword(p, "update"))
		return parse_update(p, s);
	if (parser_keyword(p, "delete"))
		return parse_delete(p, s);
	if (parser_keyword(p, "set"))
		return parse_set_show(p, s, QUERY_SET);
	if (parser_keyword(p, "show"))
		return parse_set_show(p, s, QUERY_SHOW);
	return refuse_statement(p, NULL, "Unsupported");
}

/* The one statement of the text. `explained`: it stands behind EXPLAIN. */
static bool parse_text(struct parser *p, enum query_dialect dialect, bool explained, struct statement *s)
{
	if (!lexer_init(&p->lexer, p->arena, p->sql, p->lexer.error))
		return false;
	while (parser_is(p, ";"))
		if (!parser_next(p))
			return false;
	if (p->lexer.token.kind == TOKEN_END)
		return parser_refuse(p, "Empty SQL query");
	s->is_explained = explained;
	s->is_extended = p->is_extended;
	if ((explained && !parser_next(p)) || !parse_statement(p, s, dialect))
		return false;
	if (p->lexer.token.kind != TOKEN_END && !parser_is(p, ";"))
		return parser_expected(p, "end of statement");
	while (parser_is(p, ";"))
		if (!parser_next(p))
			return false;
	return p->lexer.token.kind == TOKEN_END || parser_refuse(p, "Multiple SQL statements are not supported");
}

/* Does the text begin with EXPLAIN SELECT? */
static bool is_explain(struct arena *arena, struct str sql)
{
	struct buf error = BUF_INIT(1 << 12);
	struct lexer lexer;
	bool ok = lexer_init(&lexer, arena, sql, &error);
	while (ok && lexer_is(&lexer, ";"))
		ok = lexer_next(&lexer);
	ok = ok && lexer_is_keyword(&lexer, "explain") && lexer_next(&lexer) && lexer_is_keyword(&lexer, "select");
	buf_deinit(&error);
	return ok;
}

struct attempt {
	struct parser parser;
	struct buf error;
	struct statement *statement; /* NULL: it failed */
};

static const char *failed_at(const struct attempt *a)
{
	return a->parser.failed_at != NULL ? a->parser.failed_at : a->parser.lexer.at;
}

static bool attempt(struct attempt *a, struct arena *arena, enum query_dialect dialect, struct str sql, bool extended,
	bool explained)
{
	*a = (struct attempt){ .error = BUF_INIT(1 << 16), .parser = { .arena = arena, .sql = sql,
		.is_extended = extended } };
	a->parser.lexer.error = &a->error;
	a->statement = arena_zalloc(arena, sizeof(*a->statement));
	if (a->statement == NULL)
		buf_put_cstr(&a->error, "not enough memory for the query");
	else if (!parse_text(&a->parser, dialect, explained, a->statement))
		a->statement = NULL;
	return a->statement != NULL;
}

/*
 * What the reference's grammar takes never meets the extended one. Of what both refuse, that is told at which more of
 * the text had been understood.
 */
bool statement_parse(struct arena *arena, enum query_dialect dialect, struct str sql, struct statement **out,
	struct buf *error)
{
	struct attempt plain, extended = { .error = BUF_INIT(0) };
	bool ok = attempt(&plain, arena, dialect, sql, false, false), explained = false;
	*out = plain.statement;
	if (!ok && dialect == QUERY_DIALECT_SQL && is_explain(arena, sql)) {
		explained = true;
		buf_deinit(&plain.error);
		ok = attempt(&plain, arena, dialect, sql, false, true);
		*out = plain.statement;
	}
	if (!ok && dialect == QUERY_DIALECT_SQL) {
		ok = attempt(&extended, arena, dialect, sql, true, explained);
		*out = extended.statement;
	}
	if (!ok) {
		bool further = extended.parser.is_extended && failed_at(&extended) > failed_at(&plain);
		buf_put_str(error, buf_str(further ? &extended.error : &plain.error));
	}
	buf_deinit(&plain.error);
	buf_deinit(&extended.error);
	return ok;
}
