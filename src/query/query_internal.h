/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QUERY_INTERNAL_H
#define QUERY_INTERNAL_H
/* What the files of the room share: tokens, the syntax tree, the compiled query. */
#include "base/mem.h"
#include "query/query.h"

enum {
	QUERY_ARENA_BYTES_MAX = 64 << 20,
	QUERY_BYTES_MIN = 1024, /* an arena's first block */
};

/* ---- lexer ---- */
enum token_kind {
	TOKEN_END, TOKEN_NAME, TOKEN_QUOTED_NAME, TOKEN_NUMBER, TOKEN_STRING, TOKEN_HEX, TOKEN_SYMBOL,
	TOKEN_OTHER_STRING, /* E'', N'', B'', $$: lexed so that they can be refused by name */
};
struct token {
	enum token_kind kind;
	struct str text;   /* names and literals: their value; symbols: as written */
	struct str source; /* as written */
};
struct lexer {
	struct arena *arena;
	const char *at, *end, *begin;
	struct token token; /* the current one */
	struct buf *error;
	bool failed;
};
bool lexer_init(struct lexer *lexer, struct arena *arena, struct str sql, struct buf *error);
bool lexer_next(struct lexer *lexer); /* false: error written */
bool lexer_is(const struct lexer *lexer, const char *symbol);
bool lexer_is_keyword(const struct lexer *lexer, const char *keyword); /* unquoted, any case */
/* Writes "sql parser error: Expected {what}, found: {token} at Line: …, Column …". Returns false. */
bool lexer_expected(struct lexer *lexer, const char *what);

/* ---- syntax ---- */
enum expr_kind { EXPR_COLUMN, EXPR_LITERAL, EXPR_SENDER, EXPR_COMPARE, EXPR_AND, EXPR_OR, EXPR_NOT };
enum literal_kind { LITERAL_NUMBER, LITERAL_STRING, LITERAL_HEX, LITERAL_TRUE, LITERAL_FALSE };
enum compare_op { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };
struct expr {
	enum expr_kind kind;
	enum literal_kind literal;
	enum compare_op op;
	uint32_t depth;
	struct str table;  /* EXPR_COLUMN: qualifier, .data NULL when bare */
	struct str name;   /* column, or literal text with its sign */
	struct expr *left, *right;
};
struct relvar {
	struct str table, alias; /* alias = table as written when none is given */
};
struct join {
	struct relvar relvar;
	struct expr *on_left, *on_right; /* NULL: cross join */
};
enum projection_kind { PROJECT_ALL, PROJECT_TABLE, PROJECT_COLUMNS, PROJECT_COUNT };
struct projection {
	struct expr *column;
	struct str alias;
};
struct assignment {
	struct str column;
	struct expr *value;
};
struct statement {
	enum query_kind kind;
	/* SELECT */
	enum projection_kind projection;
	struct str projected_table, count_alias;
	uint32_t item_count, join_count;
	struct projection *items;
	struct relvar from;
	struct join *joins;
	struct expr *where;
	bool has_limit;
	struct str limit;
	/* DML, SET, SHOW */
	struct str table, variable;
	uint32_t column_count, row_count, value_count; /* INSERT: every row has value_count values … */
	uint32_t odd_count; /* … but one that has this many; 0: none */
	struct expr **values;
	uint32_t assignment_count;
	struct assignment *assignments;
	struct expr *variable_value;
};
/* Parses one statement in the given dialect. False: `error` written. */
bool statement_parse(struct arena *arena, enum query_dialect dialect, struct str sql, struct statement **out,
	struct buf *error);

/* ---- the compiled query ---- */
enum node_kind { NODE_TRUE, NODE_FALSE, NODE_BOOL_COLUMN, NODE_COMPARE_CONSTANT, NODE_COMPARE_COLUMNS,
	NODE_COMPARE_CONDITIONS, NODE_AND, NODE_OR, NODE_NOT };
struct node {
	uint8_t kind, op;
	bool has_key;                /* compare as scalars */
	uint16_t column, column2;
	const struct sats_type *type;
	u128 key;                    /* of the constant */
	struct bytes constant;       /* BSATN */
	const struct node *left, *right;
};
struct query {
	struct arena arena;
	enum query_kind kind;
	struct store_table *table;
	const struct sats_row_layout *layout;
	const struct node *where;    /* NULL: every row */
	bool depends_on_caller;
	uint64_t deadline;           /* 0: none */
	/* SELECT */
	uint32_t column_count;
	struct query_column *columns;
	uint16_t *projected;         /* positions; NULL: the whole row */
	uint64_t limit;              /* UINT64_MAX: none */
	struct store_index *index;   /* point look-up with `key`, or NULL */
	struct bytes key;
	/* DML */
	uint32_t row_count;
	struct bytes *rows;          /* INSERT */
	uint32_t set_count;
	struct set_column { uint16_t column; struct bytes value; } *sets;
};

/* bind.c */
enum wl_err query_bind(struct query *query, struct store *store, enum query_dialect dialect,
	const struct statement *statement, const struct query_caller *caller, struct buf *error);
struct store_table *query_find_table(struct store *store, struct str name, const struct query_caller *caller,
	struct buf *error);
/* type.c: types an expression as Bool. NULL: error written. */
const struct node *query_type_condition(struct query *query, struct str alias, const struct expr *expr,
	const struct query_caller *caller, struct buf *error);
int query_column_find(const struct store_table *table, struct str name); /* accessor, then canonical; -1 */
bool query_literal(struct query *query, const struct expr *expr, const struct sats_type *type, struct bytes *out,
	struct buf *error);
/* plan.c */
void query_plan(struct query *query);
bool node_matches(const struct query *query, const struct node *node, const uint8_t *row);
#endif
