/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QUERY_H
#define QUERY_H
/*
 * query: SQL. Lexes, parses, binds and plans the two dialects, runs them over
 * the store, and answers for a single row whether a live query contains it.
 *
 * Threading: executor only (it reads the store). A compiled query is immutable
 * and borrows the store's tables: it ends before they do.
 *
 * Errors are texts for the client, the reference's cause (without
 * "executing" wrappers): WL_ERR_INVALID; WL_ERR_UNSUPPORTED for what a later
 * version serves ("… is not supported by this version yet").
 *
 * Source: sql-and-subscriptions.md.
 */
#include "base/buf.h"
#include "store/store.h"

enum {
	QUERY_TEXT_MAX = 50000,
	QUERY_DEPTH_MAX = 1600, /* of an AND/OR tree */
	QUERY_PARENS_MAX = 47,
};

enum query_dialect {
	QUERY_DIALECT_SUBSCRIBE, /* S: whole rows of one table */
	QUERY_DIALECT_SQL,       /* Q */
};
enum query_kind { QUERY_SELECT, QUERY_COUNT, QUERY_INSERT, QUERY_UPDATE, QUERY_DELETE, QUERY_SET, QUERY_SHOW };
struct query_caller {
	struct identity identity;
	bool is_owner; /* reads private tables, runs DML */
};

struct query;
/* Trims nothing: `sql` is compiled as it is. */
enum wl_err query_compile(struct store *store, enum query_dialect dialect, struct str sql,
	const struct query_caller *caller, struct query **out, struct buf *error);
void query_destroy(struct query *query);
size_t query_bytes(const struct query *query); /* of memory, roughly */
/* Runs that are not over by then (clock_mono_nanos) end with WL_ERR_LIMIT. 0, as at first: they take what they take. */
void query_set_deadline(struct query *query, uint64_t nanos);

enum query_kind query_kind(const struct query *query);
struct store_table *query_table(const struct query *query); /* whose rows are returned or changed */
bool query_depends_on_caller(const struct query *query);   /* :sender occurs, or the caller's rights mattered */
bool query_is_whole_table(const struct query *query);      /* no condition at all */
/* S and single-table SELECTs: does the condition hold for this valid row of query_table? */
bool query_matches(const struct query *query, const uint8_t *row);

/* Columns of a result: names (data NULL: unnamed) and types. */
struct query_column { struct str name; const struct sats_type *type; };
uint32_t query_columns(const struct query *query, const struct query_column **columns);

/*
 * Runs a SELECT or COUNT: fn for each result row (BSATN of the columns in order; borrowed for the call). In an open
 * transaction or outside one. fn returns false to stop.
 */
typedef bool (*query_row_fn)(void *context, const uint8_t *row, size_t len);
enum wl_err query_select(struct query *query, struct store *store, query_row_fn fn, void *context, struct buf *error);

/* Runs INSERT, UPDATE, DELETE in the open transaction. On failure: roll it back. */
struct query_effects { uint64_t inserted, deleted, updated; };
enum wl_err query_execute(struct query *query, struct store *store, struct query_effects *effects, struct buf *error);

/* Checks a row-level rule as its owner and finds the table it guards: also for joins, which rules may use although
 * this version does not evaluate them. The text is the cause alone. */
enum wl_err query_check_rule(struct store *store, struct str sql, const struct query_caller *owner,
	struct store_table **guarded, struct buf *error);
/* True for SELECT * FROM * (any case and spacing): all tables the caller may read. */
bool query_is_all_tables(struct str sql);
/* May this caller read the table? The owner: every one. Others: public ones, system tables among them; in this version
 * none with row-level rules. */
bool query_may_read(struct store *store, const struct store_table *table, const struct query_caller *caller);
#endif
