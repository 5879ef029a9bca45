/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARSER_INTERNAL_H
#define PARSER_INTERNAL_H
/* What the parser's files share: the cursor over tokens, and how valid SQL that is not served is refused. */
#include "query/query_internal.h"

struct parser {
	struct lexer lexer;
	struct arena *arena;
	struct str sql;
	uint32_t parens, parens_seen;
	bool is_extended;      /* the language beyond the reference's: parse_extended.c */
	bool has_aggregates;   /* they may stand here */
	const char *taken;     /* end of the token before the current one */
	const char *failed_at; /* the token at which it was refused */
};

/* parser.c: all return false, with the error written */
bool parser_refuse(struct parser *p, const char *text);
bool parser_refuse_text(struct parser *p, const char *what, struct str text); /* "what: text" */
bool parser_refuse_token(struct parser *p, const char *what);
/* The whole statement is not served. */
bool parser_unsupported(struct parser *p, const char *what);
/* The expression that begins at `from` and has been read so far, with the rest of it. */
bool parser_refuse_expression(struct parser *p, const char *what, const char *from);
bool parser_expected(struct parser *p, const char *what);

static inline bool parser_next(struct parser *p)
{
	const struct str source = p->lexer.token.source;
	p->taken = source.data + source.len;
	return lexer_next(&p->lexer);
}
static inline bool parser_is(const struct parser *p, const char *symbol)
{
	return lexer_is(&p->lexer, symbol);
}
static inline bool parser_keyword(const struct parser *p, const char *word)
{
	return lexer_is_keyword(&p->lexer, word);
}
static inline bool parser_is_name(const struct parser *p)
{
	return p->lexer.token.kind == TOKEN_NAME || p->lexer.token.kind == TOKEN_QUOTED_NAME;
}
bool parser_expect(struct parser *p, const char *symbol);
bool parser_expect_keyword(struct parser *p, const char *word);
bool parser_in_list(struct str word, const char *const *list, size_t count);
/* Words that end a table or a column rather than name it anew (section 2). */
bool parser_reserved_alias(const struct parser *p, bool of_table);
/* [[AS] alias]; a string names as well as a name does. */
bool parser_alias(struct parser *p, struct str *alias, bool of_table);
/* A name of one or more parts, joined by dots. `last` (may be NULL) receives the last part apart from the rest. A
 * trailing ".*" is left to the caller through `star`. */
bool parser_dotted_name(struct parser *p, struct str *whole, struct str *rest, struct str *last, bool *star);
/* Room for one more of `count` items in `*list`, which grows in the arena. */
bool parser_grow(struct parser *p, void *list, uint32_t count, uint32_t *cap, size_t size);

/* parse_expr.c. NULL: error written. */
struct expr *parse_condition(struct parser *p);
struct expr *parse_operand(struct parser *p);
struct expr *parse_make(struct parser *p, enum expr_kind kind, struct expr *left, struct expr *right);
bool parse_compare_op(const struct parser *p, enum compare_op *op);
/* parse_extended.c */
struct expr *parse_extended(struct parser *p);  /* what AND, OR and NOT connect */
struct expr *parse_aggregate(struct parser *p, const char *from); /* NULL without an error: none */
bool parse_clauses(struct parser *p, struct statement *s); /* GROUP BY … OFFSET */
bool parse_extended_item(struct parser *p, struct statement *s, uint32_t *cap);
/* parse_select.c */
bool parse_select(struct parser *p, struct statement *s, enum query_dialect dialect);
bool parse_add_item(struct parser *p, struct statement *s, uint32_t *cap, struct projection item);
#endif
