/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QUERY_INTERNAL_H
#define QUERY_INTERNAL_H
/* What the files of the room share: tokens, the syntax tree, the compiled query. */
#include "base/map.h"
#include "base/mem.h"
#include "query/query.h"

enum {
	QUERY_ARENA_BYTES_MAX = 64 << 20,
	QUERY_BYTES_MIN = 1024, /* an arena's first block */
	QUERY_SHORT_COST_MAX = 1000, /* rows that are always read on the executor */
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
enum expr_kind {
	EXPR_COLUMN, EXPR_LITERAL, EXPR_SENDER, EXPR_COMPARE, EXPR_AND, EXPR_OR, EXPR_NOT,
	/* of the extended language only */
	EXPR_ARITHMETIC, EXPR_NEGATE, EXPR_IN, EXPR_BETWEEN, EXPR_LIKE, EXPR_IS_NULL, EXPR_AGGREGATE,
};
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
	/* extended */
	bool is_negated;   /* NOT IN, NOT BETWEEN, NOT LIKE, IS NOT NULL */
	bool is_distinct;  /* COUNT(DISTINCT x) */
	bool ignores_case; /* ILIKE */
	char symbol;       /* of arithmetic */
	uint8_t aggregate; /* enum aggregate_kind */
	bool is_typed;     /* `type` is known */
	uint32_t item_count;
	struct expr **items; /* IN: the list; BETWEEN: both bounds; LIKE: the escape, if one is given */
	const struct sats_type *type; /* NULL: that of whatever it meets: literals */
};
enum aggregate_kind {
	AGGREGATE_COUNT_ROWS, AGGREGATE_COUNT, AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX, AGGREGATE_AVG,
};
struct relvar {
	struct str table, alias; /* alias = table as written when none is given */
	struct str call;         /* v(1, 2) as written; .data NULL: none */
	uint32_t argument_count;
	struct argument *arguments;
};
struct argument { /* of a view */
	struct expr *literal; /* NULL: it is none */
	struct str source;
	bool is_positional;   /* neither named nor `*` */
};
struct join {
	struct relvar relvar;
	struct expr *on_left, *on_right; /* NULL: cross join */
	/* extended */
	bool is_left;
	struct expr *on;
};
struct ordering {
	struct expr *by;
	bool descends, nulls_first;
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
	/* SELECT, extended */
	bool is_extended, is_explained, is_distinct, has_offset;
	struct str offset;
	uint32_t group_count, order_count;
	struct expr **groups;
	struct expr *having;
	struct ordering *orders;
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

struct scalar; /* extended_internal.h */
struct test;
struct derived;
struct extended;
/* One occurrence of a table in a block. */
struct relation {
	struct store_table *table;
	const struct sats_row_layout *layout;
	struct str alias;            /* copied; empty for those that row-level rules bring */
	const struct guard *guard;   /* which rules brought it; NULL: the query itself */
	bool is_open;                /* no rules apply (any more) */
	bool is_left;                /* right side of a LEFT JOIN: its row may be NULL */
	const struct derived *derived; /* whose rows it has instead of the table's; NULL: the table's */
};
/* A chain of guarded tables, innermost first: a rule of one brought a relation of the next. */
struct guard {
	const struct store_table *table;
	const struct guard *outer;
};

/* Conditions over the rows of a block: rows[relation]. */
enum node_kind { NODE_TRUE, NODE_FALSE, NODE_BOOL_COLUMN, NODE_COMPARE_CONSTANT, NODE_COMPARE_COLUMNS,
	NODE_COMPARE_CONDITIONS, NODE_AND, NODE_OR, NODE_NOT };
struct node {
	uint8_t kind, op;
	bool has_key;                /* compare as scalars */
	uint16_t relation, column;
	uint16_t relation2, column2;
	const struct sats_row_layout *layout, *layout2; /* of the relations */
	const struct sats_type *type;
	u128 key;                    /* of the constant */
	struct bytes constant;       /* BSATN */
	const struct node *left, *right;
};

/* SELECT … FROM … WHERE over base tables. */
struct block {
	uint16_t relation_count;     /* the query's own, in the order written, then those of rules */
	uint16_t returned;           /* whose whole rows are returned, where that is asked for */
	uint32_t where_count;
	struct relation *relations;
	const struct node **where;   /* conjuncts, inner ON among them */
	const struct node *single;   /* one relation: the whole condition; NULL: none */
	uint32_t test_count;         /* extended: conjuncts besides those of `where`, in the order written */
	const struct test **tests;
	uint32_t table_count;
	struct store_table **tables; /* distinct */
	const struct plan *plan;     /* over live tables */
	struct delta_plan *delta_plans; /* made when first needed, in the query's arena */
};

struct output { /* a column of the result */
	uint16_t relation, column;
};
struct query {
	struct arena arena;
	enum query_kind kind;
	bool depends_on_caller, uses_sender;
	uint16_t block_count;        /* UNION ALL */
	struct block *blocks;
	uint32_t table_count;
	struct store_table **tables; /* distinct, of all blocks */
	uint32_t column_count;
	struct query_column *columns;
	struct output *outputs;      /* one for each column; NULL: the whole returned row */
	bool is_count;               /* one row: how many there are */
	uint64_t limit;              /* UINT64_MAX: none */
	const struct extended *extended; /* what is done with tuples; NULL: what the fields above say */
	bool is_explained;           /* the plan is the result */
	bool hides_sizes;            /* rules keep rows from its caller: how many there are is not told */
	const struct sats_type *row_type; /* of whole rows */
	uint32_t hidden;             /* bytes of the returned table's rows that nobody sees: a view's hash */
	struct bytes view_arguments; /* BSATN, of the only relation */
	/* DML: changes blocks[0].relations[0] */
	uint32_t row_count;
	struct bytes *rows;          /* INSERT */
	uint32_t set_count;
	struct set_column {
		uint16_t column;
		struct bytes value;
		const struct scalar *scalar; /* over the row itself; NULL: `value` */
		bool as_option;
	} *sets;
};

/* bind.c */
struct binder {
	struct query *query;
	struct store *store;
	const struct query_caller *caller;
	enum query_dialect dialect;
	struct buf *error;
	struct arena *syntax;        /* of statements; gone when the query is made */
	struct str rule;             /* it is checked as a row-level rule; .data NULL: it is none */
};
/* The names that one statement's FROM brings into sight, and the relations that they mean. */
struct scope {
	uint16_t count;
	uint16_t *relations;
	struct str *names;
	const struct block *block;
};
enum wl_err query_bind(struct binder *binder, const struct statement *statement);
struct store_table *query_find_table(struct store *store, struct str name, const struct query_caller *caller,
	struct buf *error);
bool query_is_guarded(struct store *store, const struct store_table *table);
/* Adds FROM and WHERE of a statement to a block. `self` >= 0: it is a rule of that relation's table, whose returned
 * rows are that relation's; the others come behind those of the block. `scope` receives what is in sight. */
enum wl_err bind_block(struct binder *binder, const struct statement *s, struct block *block, int32_t self,
	const struct guard *guard, struct scope *scope);
enum wl_err no_memory(struct buf *error);
/* One more relation, with its name in scope; `self` >= 0: it is that one, which is there already. */
enum wl_err bind_relation(struct binder *binder, const struct statement *s, const struct relvar *relvar,
	struct block *block, const struct guard *guard, struct scope *scope, int32_t self);
/* Room for `more` relations. */
enum wl_err bind_begin(struct binder *binder, struct block *block, uint32_t more, struct scope *scope);
enum wl_err bind_number(struct binder *binder, struct str text, uint64_t *out); /* of LIMIT and OFFSET */
bool expr_is_qualified(const struct expr *e);

/* view.c: the condition that makes a view's table one instance's. NULL: no memory. */
const struct node *bind_view(struct binder *binder, const struct block *block, uint16_t relation);
/* The arguments of a relation that is called, or should be. */
enum wl_err bind_arguments(struct binder *binder, const struct statement *s, const struct relvar *relvar,
	struct store_table *table);

/* rules.c: the blocks of a SELECT for its caller. What is guarded on the right of a LEFT JOIN is derived. */
enum wl_err rules_expand(struct binder *binder, const struct block *block);

/* type.c: types an expression as Bool. NULL: error written. */
const struct node *query_type_condition(struct binder *binder, const struct scope *scope, const struct expr *expr);
int query_column_find(const struct store_table *table, struct str name); /* accessor, then canonical; -1 */
/* The relation of a column and its position; false: error written. */
bool scope_find(struct binder *binder, const struct scope *scope, const struct expr *column, uint16_t *relation,
	uint16_t *position);
bool query_comparable(const struct sats_type *type);
/* :sender against a column of this type: an Identity, or its 32 bytes in big-endian order. */
bool query_sender(struct binder *binder, const struct sats_type *type, struct bytes *out);
bool query_literal(struct binder *binder, const struct expr *expr, const struct sats_type *type, struct bytes *out);

/* eval.c */
bool node_matches(const struct node *node, const uint8_t *const *rows);
bool order_holds(int order, enum compare_op op);

/* quick.c */
struct quick { /* a column of an integer type: key - low <= span, or (outside) not */
	uint32_t offset;
	uint8_t width;
	bool outside, never;
	uint64_t flip, low, span;
};
bool quick_make(const struct node *node, struct quick *out); /* false: the condition is not of that kind */
uint64_t quick_matches(const struct quick *quick, const struct store_slots *slots); /* those of slots->bits */

/* query.c */
uint64_t query_rows_wanted(const struct query *query);
bool query_is_beside(const struct query *query); /* as query_is_long, also of what is only explained */

/* plan.c: a left-deep pipeline over a tuple of rows. */
enum access { ACCESS_SCAN, ACCESS_POINT, ACCESS_RANGE, ACCESS_DELTA, ACCESS_HASH };
struct constants; /* extended_internal.h */
struct key_part { /* of a look-up: a constant, one of several, or a column of a row that is there already */
	const struct node *constant; /* NODE_COMPARE_CONSTANT; NULL: the column */
	const struct constants *list; /* looked up one after the other; of one part of a key at most */
	uint16_t relation, column;
	const struct sats_row_layout *layout;
	uint16_t own;                /* the column that must equal it */
};
struct bound { /* of a range, on the column behind the prefix */
	const struct node *constant; /* NULL: none */
	bool is_inclusive;
};
struct step {
	uint16_t relation;
	uint8_t access;              /* enum access */
	uint16_t key_count;          /* POINT: all columns of the index; RANGE: its prefix; HASH: columns compared */
	const struct key_part *keys;
	struct store_index *index;
	struct bound low, high;
	uint32_t filter_count;       /* conjuncts that can be checked here first; those of this relation alone lead */
	uint32_t own_count;
	const struct node **filters;
	uint64_t rows;               /* expected for one tuple before it, for people */
	/* extended */
	bool is_left;                /* without a match the relation's row is NULL */
	bool has_tests;
	bool has_list;               /* some part of the key is one */
	uint32_t on_count, test_count; /* ON: what a match is; the others: what a tuple is */
	const struct test **on, **tests;
};
struct plan {
	uint16_t step_count;
	struct step *steps;
	uint64_t cost;               /* rows that will be visited */
};
/* `delta`: bit per relation (the first 64) whose rows come from a commit. NULL: no memory. The plan is the arena's. */
struct plan_options {
	bool without_indexes, plain;
	uint64_t delta;
	struct store_snapshot *snapshot; /* whose sizes count; NULL: those of the live tables */
};
const struct plan *plan_make(struct arena *arena, struct arena *scratch, const struct block *block,
	const struct plan_options *options);

/* run.c */
struct run_source { /* of a relation that a commit changed */
	const struct store_delta_rows *inserts, *deletes; /* may be NULL */
	bool is_before;           /* with another access than ACCESS_DELTA: its rows are those before the commit */
	const uint32_t *inserted; /* is_before: slots of the inserts by hash, index + 1; NULL: they are few */
	uint32_t mask;
};
/* delta.c: did the commit insert it? */
bool source_inserted(const struct run_source *source, const uint8_t *row, uint32_t len);
struct tuple { /* one row of each relation of the block */
	const uint8_t **rows;
	uint32_t *lens, *numbers; /* numbers: of rows of live tables */
	int64_t sign;             /* product of those of rows that come from a commit */
};
typedef bool (*tuple_fn)(void *context, const struct tuple *tuple);
struct run_limits {
	uint64_t deadline, memory_max, visits_max;
	const _Atomic bool *cancelled;
	struct store_snapshot *snapshot;
	bool plain; /* row by row */
	uint64_t *used; /* memory, of what belongs to one run together; NULL: the plan's alone */
};
/* A whole block by the plan it has, or by one for these limits. */
enum wl_err block_run(const struct block *block, const struct run_limits *limits, tuple_fn fn, void *context,
	struct buf *error);
struct run_limits select_run_limits(const struct query_limits *limits); /* select.c */
/* The live table of a relation, or the snapshot's. */
static inline struct store_table *relation_table(const struct block *block, uint16_t relation,
	struct store_snapshot *snapshot)
{
	struct store_table *table = block->relations[relation].table;
	return snapshot == NULL ? table : store_snapshot_table(snapshot, table);
}
enum wl_err plan_run(const struct block *block, const struct plan *plan, const struct run_source *sources,
	const struct run_limits *limits, tuple_fn fn, void *context, struct buf *error);
#endif
