/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXTENDED_INTERNAL_H
#define EXTENDED_INTERNAL_H
/* What the reference's language does not have: expressions over rows and groups, and what is done with tuples. Queries
 * of the reference's language, live ones among them, never meet any of it. */
#include "query/query_internal.h"

enum {
	QUERY_GROUP_KEYS_MAX = 64,
	QUERY_AGGREGATES_MAX = 256,
	QUERY_ORDER_KEYS_MAX = 64,
	QUERY_EXPRESSION_DEPTH_MAX = 400, /* AND and OR not counted */
	NO_RELATION = UINT16_MAX,
};

/* ---- expressions ---- */
enum scalar_kind {
	SCALAR_COLUMN, SCALAR_CONSTANT, SCALAR_SLOT, SCALAR_ARITHMETIC, SCALAR_NEGATE,
	/* truths: */
	SCALAR_COMPARE, SCALAR_AND, SCALAR_OR, SCALAR_NOT, SCALAR_IS_NULL, SCALAR_IN_SET, SCALAR_IN, SCALAR_BETWEEN,
	SCALAR_LIKE,
};
struct constants { /* sorted, each once */
	uint32_t count;
	struct bytes *values;
};
struct scalar {
	uint8_t kind, op;
	char symbol;
	bool is_negated, ignores_case;
	bool is_option;      /* COLUMN: the row has an Option of `type` */
	bool is_nullable;    /* by the types of what it is made of: its result is an Option */
	bool may_be_empty;   /* besides, NULL where a whole result had no row */
	bool has_key;        /* COMPARE: as scalars */
	uint16_t relation, column;
	uint32_t slot;       /* of a group: its keys, then its aggregates */
	const struct sats_type *type; /* of what is not NULL */
	const struct sats_row_layout *layout;
	struct bytes constant;
	struct str escape;   /* LIKE: len 0: none */
	const struct scalar *left, *right;
	uint32_t item_count;
	const struct scalar **items;
	const struct constants *set;
};
struct aggregate {
	uint8_t kind;                 /* enum aggregate_kind */
	bool is_distinct;
	const struct expr *expr;      /* while it is compiled */
	const struct scalar *argument; /* NULL: COUNT(*) */
	const struct sats_type *type; /* of the result */
};
struct sort_key {
	const struct scalar *by;
	bool descends, nulls_first;
};
/* What is done with the tuples of all blocks together. */
struct extended {
	bool is_grouped, is_distinct;
	bool is_global;      /* grouped without keys: one row, whatever there is */
	uint32_t output_count, key_count, aggregate_count, sort_count;
	const struct scalar **outputs;
	const struct scalar **keys;
	struct aggregate *aggregates;
	const struct scalar *having;
	struct sort_key *sorts;
	uint64_t offset;
};
/* A conjunct that is no plain condition, or that sees a row which a LEFT JOIN may have made NULL. */
struct test {
	const struct scalar *scalar;
	const struct node *fact;      /* what it says as a plain condition, for the planner; NULL: nothing */
	uint16_t of;                  /* ON of this relation's LEFT JOIN; NO_RELATION: of all tuples */
	uint16_t relation_count;
	const uint16_t *relations;    /* that it looks at */
};
/* The rows of a guarded table on the right of a LEFT JOIN that its caller may see. */
struct derived {
	uint16_t block_count;
	struct block *blocks;
};

/* expr.c: from syntax to typed expressions. NULL: error written. */
struct grouping {
	uint32_t group_count;
	struct expr *const *groups;   /* of GROUP BY */
	struct extended *extended;    /* receives keys and aggregates */
};
struct compiler {
	struct binder *binder;
	const struct scope *scope;
	struct grouping *grouping;    /* what is compiled is over groups; NULL: over rows */
	uint32_t depth;
};
/* `expected` NULL: whatever it is. */
const struct scalar *scalar_compile(struct compiler *c, struct expr *e, const struct sats_type *expected);
bool expr_equal(struct compiler *c, const struct expr *a, const struct expr *b);
/* A comparison that a plain condition can say. NULL: it is none; *failed: no memory. */
const struct node *scalar_as_node(struct binder *binder, const struct scalar *s, bool *failed);
/* The relations it looks at, each once. */
bool scalar_relations(struct binder *binder, const struct scalar *s, uint16_t relation_count, const uint16_t **out,
	uint16_t *count);
const struct sats_type *aggregate_type(enum aggregate_kind kind, const struct sats_type *argument); /* NULL: none */

/* value.c: expressions against rows. All state is the run's. */
struct value {
	const uint8_t *data;          /* BSATN, maybe in `own`; NULL: NULL */
	size_t len;
	uint8_t own[32];
};
struct evaluation {
	const uint8_t *const *rows;   /* NULL: of a LEFT JOIN without a match */
	const struct bytes *slots;    /* of a group */
	const struct run_limits *limits;
	uint32_t work;
	struct buf *error;
	enum wl_err err;
};
/* False: `err`, error written. */
bool scalar_eval(struct evaluation *ev, const struct scalar *s, struct value *out);
bool scalar_holds(struct evaluation *ev, const struct scalar *s, bool *holds); /* true, not NULL */
bool evaluation_goes_on(struct evaluation *ev, uint32_t work); /* false: cancelled, or late */
bool evaluation_fail(struct evaluation *ev, enum wl_err err, const char *text);
bool constants_find(const struct constants *set, const struct sats_type *type, const uint8_t *value);

/* number.c: NULL: done; else what is wrong, "division by zero" … */
const char *number_arithmetic(const struct sats_type *type, char symbol, const uint8_t *a, const uint8_t *b,
	uint8_t *out);
const char *number_negate(const struct sats_type *type, const uint8_t *a, uint8_t *out);
void number_widen(const struct sats_type *from, const uint8_t *value, const struct sats_type *to, uint8_t *out);
double number_to_double(const struct sats_type *type, const uint8_t *value);
bool number_is(const struct sats_type *type); /* an integer or a float */
bool number_is_signed(const struct sats_type *type);

/* like.c */
enum like_answer { LIKE_NO, LIKE_YES, LIKE_STOPPED };
bool like_is_valid(struct str pattern, struct str escape); /* it does not end with the escape */
/* Of valid patterns. */
enum like_answer like_matches(struct evaluation *ev, struct str pattern, struct str escape, bool ignores_case,
	struct str text);
/* What all matches begin with; true: the pattern is that text and nothing else. False *ok: no memory. */
bool like_prefix(struct arena *arena, struct str pattern, struct str escape, struct str *prefix, bool *ok);

/* ---- memory of a run beside its plan ---- */
struct budget {
	uint64_t used, max;
};
static inline bool budget_take(struct budget *b, struct evaluation *ev, uint64_t bytes)
{
	b->used += bytes;
	return b->used <= b->max || evaluation_fail(ev, WL_ERR_LIMIT, "the query needs more memory than it may take for "
		"sorting, grouping or DISTINCT: a narrower WHERE, fewer columns, or a LIMIT behind ORDER BY would help");
}

/* value_set.c: sets of tuples of values; equal by value. */
struct value_entry {
	uint64_t hash, tag;
	struct bytes *values;
};
struct value_set {
	struct budget *budget;
	struct evaluation *ev;
	struct arena arena;
	uint32_t count, cap;
	uint32_t *heads;              /* index + 1; twice `cap` */
	struct value_entry *entries;
};
void value_set_init(struct value_set *set, struct budget *budget, struct evaluation *ev);
void value_set_deinit(struct value_set *set);
/* Tuples of the same `tag` are of the same types. False: error written. */
bool value_set_add(struct value_set *set, uint64_t tag, uint32_t count, const struct scalar *const *types,
	const struct bytes *values, uint32_t *index, bool *is_new);

/* group.c */
struct groups;
struct groups *groups_create(const struct extended *x, struct budget *budget, struct evaluation *ev);
void groups_destroy(struct groups *groups);
bool groups_add(struct groups *groups); /* the row that `ev` has */
uint32_t groups_count(const struct groups *groups);
const struct bytes *groups_slots(struct groups *groups, uint32_t group); /* until the next call */

/* sort.c */
struct sorter;
struct sorter *sorter_create(const struct extended *x, uint64_t keep, struct budget *budget, struct evaluation *ev);
void sorter_destroy(struct sorter *sorter);
bool sorter_add(struct sorter *sorter, struct bytes row); /* with the keys that `ev` gives */
bool sorter_finish(struct sorter *sorter);
bool sorter_next(struct sorter *sorter, struct bytes *row);

/* extended.c */
enum wl_err extended_select(const struct query *query, const struct query_limits *limits, query_columns_fn columns,
	query_row_fn fn, void *context, struct buf *error);
/* value.c: appends what a result has of it. `as_option`: with its tag. */
void put_result(struct buf *out, bool as_option, struct bytes value);

/* bind_extended.c */
enum wl_err bind_extended(struct binder *binder, const struct statement *s);
/* conditions.c */
enum wl_err bind_extended_from(struct binder *binder, const struct statement *s, struct block *block,
	struct scope *scope);
enum wl_err bind_extended_where(struct binder *binder, struct expr *where, struct block *block,
	const struct scope *scope);

/* explain.c */
enum wl_err explain(const struct query *query, query_row_fn fn, void *context, struct buf *error);
#endif
