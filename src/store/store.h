/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_H
#define STORE_H
/*
 * store: the tables of one database. Rows as validated BSATN in pages,
 * indexes of u32 row numbers, transactions that write in place with an undo
 * list, sequences, system tables.
 *
 * Threading: executor only (whoever holds the database's token), but for the
 * tables of a snapshot. Nothing here locks. No row pointer outlives the next write to its table; what leaves the
 * executor is the delta's bytes.
 *
 * Errors: enum store_status; the text of the last failure is made by
 * store_error_text. Rollback allocates nothing and cannot fail. A failed
 * statement leaves the transaction usable.
 *
 * Source: datastore-and-durability.md sections 1-7, 17; module-abi.md 2.4, 2.7, 2.8.
 */
#include "sats/sats.h"

enum {
	STORE_SYSTEM_ID_MAX = 4095,
	STORE_FIRST_USER_ID = 4096,
	STORE_PAGE_BYTES = 2 << 10,
	STORE_ROW_BYTES_MAX = 64 << 20,
	STORE_TX_BYTES_MAX = 1 << 30, /* that one transaction may write, indexes included: a log record is half of it */
	STORE_INDEX_COLUMNS_MAX = 64,
};

/* Ids of system tables (section 2); 22-26 are reserved for newer releases. And the one index that others look for. */
enum {
	ST_TABLE = 1, ST_COLUMN, ST_SEQUENCE, ST_INDEX, ST_CONSTRAINT, ST_MODULE, ST_CLIENT, ST_VAR, ST_SCHEDULED,
	ST_ROW_LEVEL_SECURITY, ST_CONNECTION_CREDENTIALS, ST_VIEW, ST_VIEW_PARAM, ST_VIEW_COLUMN, ST_VIEW_SUB,
	ST_VIEW_ARG, ST_EVENT_TABLE, ST_TABLE_ACCESSOR, ST_INDEX_ACCESSOR, ST_COLUMN_ACCESSOR, ST_ENV,
	ST_TABLE_COUNT = ST_ENV,
	ST_DESCRIBED_COUNT = ST_COLUMN_ACCESSOR, /* up to here st_table and the others describe them from the beginning */
	ST_ENV_KEY_INDEX = 30,
};

enum store_status {
	STORE_OK,
	STORE_NO_TABLE,         /* errno 4 */
	STORE_NO_INDEX,         /* 5 */
	STORE_INDEX_NOT_UNIQUE, /* 14 */
	STORE_NO_ROW,           /* 15: update found no row with that key */
	STORE_UNIQUE_VIOLATION, /* 12 */
	STORE_BAD_KEY,          /* 3: key, bounds or relation do not decode */
	STORE_BAD_ROW,          /* trap: row bytes do not decode */
	STORE_NOT_ORDERED,      /* trap: range scan of a hash index */
	STORE_SCHEDULE_TOO_LONG,/* 13 */
	STORE_LIMIT,            /* trap: row, table or transaction too large */
	STORE_MEMORY,           /* trap */
};

struct store;
struct store_table;
struct store_index;

/* ---- schema as others see it (immutable while the table lives) ---- */
enum store_index_kind { STORE_BTREE, STORE_HASH, STORE_DIRECT };
struct store_column {
	struct str name, accessor;
	const struct sats_type *type;
};
struct store_index_def {
	uint32_t id;
	struct str name, accessor; /* accessor: the alias of st_index_accessor; NULL data when none */
	enum store_index_kind kind;
	bool unique;
	uint32_t column_count;
	const uint16_t *columns;
};
struct store_constraint_def { /* unique */
	uint32_t id;
	struct str name;
	uint32_t column_count;
	const uint16_t *columns;
};
struct store_sequence_def {
	uint32_t id;
	struct str name;
	uint16_t column;
	i128 start, min, max, increment, allocated;
};
struct store_table_def {
	uint32_t id; /* ids of 0 are assigned by store_table_create */
	struct str name, accessor;
	const struct sats_type *row_type; /* product without refs */
	uint32_t column_count, index_count, constraint_count, sequence_count;
	const struct store_column *columns;
	const struct store_index_def *indexes;
	const struct store_constraint_def *constraints;
	const struct store_sequence_def *sequences;
	int32_t primary_key;  /* column or -1 */
	int32_t schedule_at;  /* column of a schedule table, or -1 */
	struct str schedule_name, schedule_function;
	bool is_public, is_event, is_system;
	bool is_ephemeral;    /* view backing table: not logged, column 0 hidden */
};

/* ---- life ---- */
struct store *store_create(void); /* with the system tables bootstrapped; NULL when out of memory */
void store_destroy(struct store *store);
void store_rest(struct store *store); /* between transactions: gives back what is kept for the next one */

struct store_table *store_table_by_id(struct store *store, uint32_t id);
struct store_table *store_table_by_name(struct store *store, struct str name); /* canonical, then accessor */
struct store_table *store_table_next(struct store *store, struct store_table *after); /* by id; NULL starts and ends */
struct store_index *store_index_by_id(struct store *store, uint32_t id);
struct store_index *store_index_by_name(struct store *store, struct str name); /* canonical, then accessor */

const struct store_table_def *store_table_def(const struct store_table *table);
const struct sats_row_layout *store_table_layout(const struct store_table *table);
uint64_t store_table_version(const struct store_table *table); /* another whenever a commit may have changed its rows */
uint64_t store_table_row_count(const struct store_table *table); /* visible in the open transaction */
const struct store_index_def *store_index_def(const struct store_index *index);
struct store_table *store_index_table(const struct store_index *index);
struct store_index *store_table_index(struct store_table *table, uint32_t i); /* of def->indexes[i] */
/* An index whose columns are exactly `columns` in any order, or NULL. For the planner. */
struct store_index *store_table_index_on(struct store_table *table, const uint16_t *columns, uint32_t count);

/* ---- transactions ---- */
void store_tx_begin(struct store *store);
bool store_tx_active(const struct store *store);
struct arena *store_tx_arena(struct store *store); /* reset by the next store_tx_begin */
/* The timestamp of the function that runs: from now on, until the transaction ends, rows of schedule tables are checked
 * for STORE_SCHEDULE_TOO_LONG. Without it they are not (SQL, replay). */
void store_set_call_time(struct store *store, int64_t micros);

/* Net effect of a commit by value, rows as BSATN back to back. Borrowed until the next store_tx_begin. */
struct store_delta_rows {
	uint32_t count;
	const uint8_t *data;
	size_t len;
	const uint32_t *ends;  /* end offset of each row in data; NULL when all have fixed_size bytes */
	uint32_t fixed_size;
};
struct store_delta_table {
	struct store_table *table;
	struct store_delta_rows inserts, deletes;
	/* With a primary key: delete i and insert i (i < updated) are before and after of one row. */
	uint32_t updated;
	bool truncated; /* had deletes, no inserts, and is empty now */
};
struct store_delta {
	uint32_t table_count; /* only tables that changed, by ascending id */
	const struct store_delta_table *tables;
	bool durable; /* some table that is logged changed: the commit consumes an offset */
};
static inline struct bytes store_delta_row(const struct store_delta_rows *rows, uint32_t i)
{
	if (rows->ends == NULL)
		return (struct bytes){ rows->data + (size_t)i * rows->fixed_size, rows->fixed_size };
	uint32_t from = i == 0 ? 0 : rows->ends[i - 1];
	return (struct bytes){ rows->data + from, rows->ends[i] - from };
}
/* STORE_MEMORY when the delta cannot be built: the transaction is then still open; roll it back. */
enum store_status store_tx_commit(struct store *store, struct store_delta *delta);
/* The same in two halves, for a log in between: after prepare there is only finish, which cannot fail, or rollback. */
enum store_status store_tx_prepare(struct store *store, struct store_delta *delta);
void store_tx_finish(struct store *store);
/* What the transaction would mean if it ended now; it goes on. Borrowed like a commit's. */
enum store_status store_tx_peek(struct store *store, struct store_delta *delta);
/* Marks a table; has the open transaction written to a marked one? For whoever must look before it ends. */
void store_table_mark(struct store_table *table, bool marked);
bool store_tx_touched_marked(const struct store *store);
void store_tx_rollback(struct store *store);
/* Text of the last failed call, as datastore section 17 has it, prefix ("IndexError: ") included. Borrowed until the
 * next call. Before the transaction ends. */
struct str store_error_text(struct store *store);

/* ---- rows: all need an open transaction ---- */
struct store_row {
	uint32_t number; /* of the row within its table; stable while the row lives */
	uint32_t len;
	const uint8_t *data;
};
/*
 * Inserts the row in data[0..*len). Set semantics: an equal row already there is success.
 * On success generated columns (sequences, value 0) are written back to the start of `data` as BSATN, *len = their
 * size (0 when none). `row` (may be NULL) receives the stored row. Trailing bytes: STORE_BAD_ROW where all rows have
 * one size, ignored elsewhere. On failure `data` and `len` are untouched. STORE_SCHEDULE_TOO_LONG: the row is stored
 * all the same.
 */
enum store_status store_insert(struct store *store, struct store_table *table, uint8_t *data, size_t *len,
	struct store_row *row);
/* Replaces the row with the same key in the unique `index`. Write-back as above. */
enum store_status store_update(struct store *store, struct store_table *table, struct store_index *index,
	uint8_t *data, size_t *len, struct store_row *row);
/* By row number of a live row (from a cursor). */
enum store_status store_delete(struct store *store, struct store_table *table, uint32_t row_number);
/* A BSATN array of whole rows; counts rows really deleted. */
enum store_status store_delete_all_by_eq(struct store *store, struct store_table *table, const uint8_t *relation,
	size_t len, uint32_t *deleted);
enum store_status store_clear(struct store *store, struct store_table *table, uint64_t *deleted);

/* ---- reading ---- */
/*
 * A cursor is valid until the next write to its table (see store_watch).
 * Row data borrow the page until then. Public only so that it can live on the stack.
 */
struct store_cursor {
	struct store_table *table;
	struct store_index *index; /* NULL: whole table */
	uint64_t state[8];
	const void *pointers[4];
};
/* Bounds as module-abi.md section 2.7: prefix columns concatenated; rstart/rend = tag byte + value. */
struct store_range {
	const uint8_t *prefix;
	size_t prefix_len;
	uint32_t prefix_elems;
	const uint8_t *start;
	size_t start_len;
	const uint8_t *end;
	size_t end_len;
};
void store_scan(struct store_table *table, struct store_cursor *cursor);
enum store_status store_scan_point(struct store_index *index, const uint8_t *key, size_t len,
	struct store_cursor *cursor);
enum store_status store_scan_range(struct store_index *index, const struct store_range *range,
	struct store_cursor *cursor);
bool store_cursor_next(struct store_cursor *cursor, struct store_row *row); /* false at the end */
/* Rows of one size lie in slots: a cursor over the whole table then gives up to 64 at once. Slots whose bit is 0 are
 * not to be read. */
struct store_slots {
	const uint8_t *data; /* of the first slot */
	uint64_t bits;       /* which slots are rows; not 0 */
	uint32_t stride, size; /* of a slot; of a row */
	uint32_t first;      /* row number of the first slot */
};
bool store_table_in_slots(const struct store_table *table);
bool store_cursor_next_slots(struct store_cursor *cursor, struct store_slots *slots); /* false at the end */
/* Deletes what a scan yields; counts. */
enum store_status store_delete_range(struct store *store, struct store_index *index, const struct store_range *range,
	uint32_t *deleted);
enum store_status store_delete_point(struct store *store, struct store_index *index, const uint8_t *key, size_t len,
	uint32_t *deleted);

/* ---- snapshots: some tables as they are between two transactions, read beside the executor ---- */
/*
 * Taking one costs a copy of the tables' page arrays; while it lives, each page that is written to is copied once. Its
 * tables answer store_scan, store_cursor_next, store_table_row_count, _def and _layout, on any thread, until it is
 * released; nothing else, and no indexes.
 */
struct store_snapshot;
/* Outside transactions. NULL: no memory. */
struct store_snapshot *store_snapshot_take(struct store *store, struct store_table *const *tables, uint32_t count);
void store_snapshot_release(struct store *store, struct store_snapshot *snapshot); /* NULL: nothing */
struct store_table *store_snapshot_table(struct store_snapshot *snapshot, const struct store_table *table);
uint64_t store_snapshot_bytes(const struct store *store); /* that are kept for snapshots alone, roughly */

/* Called once, before the first write to `table` after it was added; then it is unlinked. An open iterator
 * copies the rest of its rows there. */
struct store_watch {
	struct store_watch *next, **link; /* private; NULL link = not registered */
	void (*before_write)(struct store_watch *watch);
};
void store_watch_add(struct store_table *table, struct store_watch *watch);
void store_watch_remove(struct store_watch *watch); /* no-op when not registered */

/* ---- schema changes: in an open transaction; system rows are written too ---- */
enum store_status store_table_create(struct store *store, const struct store_table_def *def, struct store_table **out);
/*
 * Changes of tables that exist, undone by rolling back. Not of one whose rows the transaction has changed
 * (STORE_LIMIT). What is dropped or replaced is gone for look-ups at once; pointers to it and its indexes are valid
 * until the next transaction begins, and then no more.
 */
enum store_status store_table_drop(struct store *store, struct store_table *table);
/*
 * Another table in its place, with its rows, each followed by `suffix` (BSATN of the columns that `to` has more), which
 * must be valid rows then. Ids in `to` that are 0 are assigned; the table's own may stay what it is. Sequences of the
 * same name go on. STORE_UNIQUE_VIOLATION: a key of `to` is there twice; the text has which. After any failure: roll
 * back.
 */
enum store_status store_table_replace(struct store *store, struct store_table *table, const struct store_table_def *to,
	struct bytes suffix, struct store_table **out);
/* A table that the open transaction has dropped or replaced, by its name: as the last commit left it, to be read. NULL:
 * there is none. */
struct store_table *store_table_before(struct store *store, struct str name);
struct store_table *store_table_before_by_id(struct store *store, uint32_t id);
void store_table_see(struct store_table *table); /* such a one was looked at */
bool store_table_seen(const struct store_table *table);
/* Sequences of a table that was just created go on where those with their names were. */
enum store_status store_table_take_positions(struct store *store, const struct store_table *from,
	struct store_table *to);
/* What the open transaction has made of the tables, in order; borrowed until it ends. For the log. */
enum store_schema_kind { STORE_TABLE_CREATED = 1, STORE_TABLE_DROPPED = 2, STORE_TABLE_REPLACED = 3 };
struct store_schema_change {
	enum store_schema_kind kind;
	uint32_t id;                     /* of the table that was there; CREATED: of the new one */
	const struct store_table *table; /* the new one; DROPPED: NULL */
	struct store_table *was;         /* the old one; CREATED: NULL */
	struct bytes suffix;             /* REPLACED */
	bool is_ephemeral;
};
const struct store_schema_change *store_tx_schema(const struct store *store, uint32_t *count);
/* Puts in the rows that describe a system table which came later, unless they are there. */
enum store_status store_system_describe(struct store *store, uint32_t table_id);
/*
 * Other aliases for a table, its indexes and columns; canonical names stay. The new ones answer beside the old ones
 * until end, which keeps the one or the other. NULL: no memory, or an alias is another thing's, which is left behind if
 * `takes_over`: then only `keeps` may follow. Rows: in an open transaction.
 */
struct store_renaming;
struct store_accessors {
	struct str table;
	const struct str *indexes, *columns; /* in the definition's order; NULL data: none */
};
struct store_renaming *store_rename_begin(struct store_table *table, const struct store_accessors *to,
	bool takes_over);
enum store_status store_rename_rows(struct store_renaming *renaming);
void store_rename_end(struct store_renaming *renaming, bool keeps);
/* The table's whole definition with its ids, for the log: written before the rows that need it. */
void store_table_encode(const struct store_table *table, struct buf *out);

/* ---- replay: outside transactions, no constraint errors, no delta ---- */
enum wl_err store_replay_table(struct store *store, const uint8_t *encoded, size_t len, struct error *error);
enum wl_err store_replay_drop(struct store *store, uint32_t id, struct error *error);
enum wl_err store_replay_replace(struct store *store, uint32_t id, struct bytes suffix, const uint8_t *encoded,
	size_t len, struct error *error);
/* `rows` back to back. With a primary key an insert replaces the row that has its key. An equal row is a no-op. */
enum wl_err store_replay_insert(struct store *store, struct store_table *table, const uint8_t *rows, size_t len,
	uint32_t count, struct error *error);
enum wl_err store_replay_delete(struct store *store, struct store_table *table, const uint8_t *rows, size_t len,
	uint32_t count, struct error *error);
enum wl_err store_replay_truncate(struct store *store, struct store_table *table, struct error *error);
/* After the last record: sequences take their positions from st_sequence.allocated. */
enum wl_err store_replay_done(struct store *store, struct error *error);

struct store_memory { uint64_t row_bytes, index_bytes, other_bytes; };
struct store_memory store_memory(const struct store *store);
struct store_memory store_table_memory(const struct store_table *table);
/* Order-independent checksum of the visible rows: the sum of their hashes, which are the same in every process and
 * version. */
uint64_t store_table_checksum(struct store_table *table);
uint64_t store_row_hash(const uint8_t *row, size_t len);

/* ---- images: pages as bytes, for snapshots that outlive the process (image.c) ---- */
/*
 * Out, of a snapshot's tables, on any thread: pages are numbered from 0, some may be without rows. Every page bears a
 * stamp: the store's generation when a row of it last changed. Whoever takes a snapshot asks for the next generation
 * at once; of two snapshots the later one then knows which pages are other than in the first.
 */
uint32_t store_generation_next(struct store *store); /* begins another; returns the one that ends */
uint32_t store_image_pages(const struct store_table *table);
uint32_t store_image_page_slots(const struct store_table *table); /* of a full page */
/* Has the page rows that changed in a later generation? */
bool store_image_changed(const struct store_table *table, uint32_t page, uint32_t generation);
/* Appends the page's image; returns the number of its rows. 0: nothing was appended. */
uint32_t store_image_put(const struct store_table *table, uint32_t page, struct buf *out, uint64_t *checksum);
/*
 * In, outside transactions, into a table without rows: pages in ascending order, then each index, on any threads, one
 * of them for one index. The same page_slots as when they were put. `only`: no other page follows or came before.
 * WL_ERR_CORRUPT, WL_ERR_MEMORY: the store is of no more use.
 */
void store_image_clear(struct store_table *table); /* system tables have rows from the beginning */
enum wl_err store_image_get(struct store_table *table, uint32_t page, bool only, struct bytes image,
	uint64_t *checksum, struct error *error);
uint32_t store_image_indexes(const struct store_table *table);
enum wl_err store_image_index(struct store_table *table, uint32_t i, struct error *error);
#endif
