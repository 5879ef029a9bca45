/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QUERY_H
#define QUERY_H
/*
 * query: SQL. Lexes, parses, binds and plans the two dialects, runs them over
 * the store, and says what a commit means for a live query.
 *
 * Threading: executor only (it reads the store); query_select and
 * query_select_block on a snapshot from any thread. A compiled query is immutable
 * for who runs it, and borrows the store's tables: it ends before they do.
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
	QUERY_RELATIONS_MAX = 512, /* tables of one block, those of row-level rules included */
	QUERY_BLOCKS_MAX = 1024,
	QUERY_MEMORY_MAX = 256 << 20, /* of one run */
};

enum query_dialect {
	QUERY_DIALECT_SUBSCRIBE, /* S: whole rows of one table */
	QUERY_DIALECT_SQL,       /* Q */
};
enum query_kind { QUERY_SELECT, QUERY_INSERT, QUERY_UPDATE, QUERY_DELETE, QUERY_SET, QUERY_SHOW };
struct query_caller {
	struct identity identity;
	bool is_owner; /* reads private tables and all rows, runs DML */
};
/* Which rows of a view's backing table are an instance's: of its hidden column. `sender` NULL: of the one for everybody
 * with these arguments (BSATN, back to back). False: no memory. */
bool query_view_hash(const struct identity *sender, struct bytes arguments, uint8_t out[32]);
/* Does this table hold the rows of a view that must be called with arguments? */
bool query_takes_arguments(struct store *store, const struct store_table *table);

/*
 * A SELECT is a UNION ALL of blocks, each of which joins base tables; there are several only where row-level rules say
 * so. SET and SHOW become an INSERT and a SELECT.
 */
struct query;
/* Trims nothing: `sql` is compiled as it is. */
enum wl_err query_compile(struct store *store, enum query_dialect dialect, struct str sql,
	const struct query_caller *caller, struct query **out, struct buf *error);
void query_destroy(struct query *query);
size_t query_bytes(const struct query *query); /* of memory, roughly */

enum query_kind query_kind(const struct query *query);
struct store_table *query_table(const struct query *query); /* S: whose rows are returned; DML: whose are changed */
bool query_uses_sender(const struct query *query);         /* :sender occurs */
bool query_depends_on_caller(const struct query *query);   /* :sender occurs, or the caller's rights mattered */
/* Columns of a result: names (data NULL: unnamed) and types. */
struct query_column { struct str name; const struct sats_type *type; };
uint32_t query_columns(const struct query *query, const struct query_column **columns);
/* The distinct tables that a SELECT reads, those behind views among them. */
uint32_t query_tables(const struct query *query, struct store_table *const **tables);
/* BSATN of the arguments of the view that it reads; empty: of none. Lasts as long as the query. */
struct bytes query_view_arguments(const struct query *query);
/* S: the type of the rows returned, and how many of a stored row's first bytes are not part of them. */
const struct sats_type *query_row_type(const struct query *query);
uint32_t query_hidden_bytes(const struct query *query);

/* ---- running: in an open transaction or outside one ---- */
struct query_limits {
	uint64_t deadline;   /* clock_mono_nanos; runs that are not over by then end with WL_ERR_LIMIT. 0: none */
	uint64_t memory_max; /* bytes; 0: QUERY_MEMORY_MAX */
	bool plain;          /* whole tables in the order written, without any index: for tests */
	struct store_snapshot *snapshot; /* whose tables are read, without indexes, on any thread; NULL: the live ones */
	const _Atomic bool *cancelled;   /* set: the run ends with WL_ERR_LIMIT. NULL: never */
	uint64_t visits_max; /* rows; a run that would visit more ends with WL_ERR_UNAVAILABLE. 0: no limit */
};
/* Is it expected to take so long that it belongs on a snapshot, beside the executor? By the present sizes of tables. */
bool query_is_long(const struct query *query);
enum { QUERY_VISITS_MAX = 16384 }; /* of a run on the executor: what turns out longer is begun anew on a snapshot */
/* fn for each result row (BSATN of the columns in order; borrowed for the call); it returns false to stop. */
typedef bool (*query_row_fn)(void *context, const uint8_t *row, size_t len);
enum wl_err query_select(const struct query *query, struct store *store, const struct query_limits *limits,
	query_row_fn fn, void *context, struct buf *error);
/* The same; tells what the columns are, once, before the first row; they last until it returns. Of aggregates over no
 * rows at all the type is only known then: an Option; query_columns says what it is otherwise. */
typedef void (*query_columns_fn)(void *context, const struct query_column *columns, uint32_t count);
enum wl_err query_select_described(const struct query *query, struct store *store, const struct query_limits *limits,
	query_columns_fn columns, query_row_fn fn, void *context, struct buf *error);
/* Runs INSERT, UPDATE, DELETE in the open transaction. On failure: roll it back. */
struct query_effects { uint64_t inserted, deleted, updated; };
enum wl_err query_execute(const struct query *query, struct store *store, const struct query_limits *limits,
	struct query_effects *effects, struct buf *error);
/* The row limit (st_var) applied to a SELECT: WL_ERR_LIMIT with its text. Never for the owner. */
enum wl_err query_check_row_limit(const struct query *query, struct store *store, const struct query_caller *caller,
	struct buf *error);
uint64_t query_estimate(const struct query *query); /* rows scanned, as the row limit counts them (spec 6.2) */

/* ---- live queries: dialect S, one block after the other ---- */
enum wl_err query_check_live(const struct query *query, struct buf *error); /* may it be subscribed to? */
uint32_t query_block_count(const struct query *query);
/* The distinct tables it reads. */
uint32_t query_block_tables(const struct query *query, uint32_t block, struct store_table *const **tables);
/* Some table has no row: in the snapshot, or (NULL) now. */
bool query_block_reads_empty(const struct query *query, uint32_t block, struct store_snapshot *snapshot);
enum wl_err query_select_block(const struct query *query, uint32_t block, struct store *store,
	const struct query_limits *limits, query_row_fn fn, void *context, struct buf *error);
/* Blocks over one table: does the condition hold for this valid row? */
bool query_block_is_single(const struct query *query, uint32_t block);
bool query_block_is_whole_table(const struct query *query, uint32_t block); /* single, without a condition */
bool query_block_matches(const struct query *query, uint32_t block, const uint8_t *row);
/* True when a row of `table` can only change the block's result if its `column` has the value `constant` (BSATN): for
 * finding queries by the values of changed rows. */
bool query_block_key(const struct query *query, uint32_t block, const struct store_table *table, uint16_t *column,
	struct bytes *constant);
/* Over one table, and a row is in the result exactly if it has that value: nothing else is asked of it. */
bool query_block_is_key(const struct query *query, uint32_t block);
/*
 * What a commit means for a block: after store_tx_finish, with its delta. fn for each row whose number of copies
 * changed, net by value: copies > 0 inserted, < 0 deleted. Inserts into event tables join what the others are after
 * the commit.
 * Rows lie in `scratch`, the deltas or the store.
 */
typedef bool (*query_delta_fn)(void *context, struct bytes row, int64_t copies);
enum wl_err query_block_delta(const struct query *query, uint32_t block, const struct store_delta *delta,
	const struct query_limits *limits, struct arena *scratch, query_delta_fn fn, void *context, struct buf *error);

/* Checks a row-level rule as its owner and finds the table it guards. The text is the cause alone. */
enum wl_err query_check_rule(struct store *store, struct str sql, const struct query_caller *owner,
	struct store_table **guarded, struct buf *error);
/* True for SELECT * FROM * (any case and spacing): all tables the caller may read. */
bool query_is_all_tables(struct str sql);
/* May this caller read the table? The owner: every one. Others: public ones, system tables among them; row-level rules
 * decide which of their rows. */
bool query_may_read(struct store *store, const struct store_table *table, const struct query_caller *caller);
#endif
