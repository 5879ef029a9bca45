/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H
/*
 * What the files of the room share. README.md numbers the invariants that
 * the comments here refer to.
 */
#include "base/map.h"
#include "base/mem.h"
#include "store/store.h"

#define ROW_NONE UINT32_MAX
#define PAGE_NONE UINT32_MAX

enum {
	PAGE_ROWS_MAX = 4096,
	STRIDE_SLACK_MAX = 16,      /* rows whose size varies by no more than this live in fixed slots */
	SEGMENT_BYTES = 16 << 10,   /* of a heap */
	SEGMENT_BYTES_MIN = 512,
	BLOCK_SHARED_MAX = 4 << 10, /* larger blocks get a segment of their own */
	TREE_ENTRIES_MAX = 60,      /* of a node: few enough cache lines to be fetched at once */
	TREE_HEIGHT_MAX = 24,
	CHUNK_BITS = 12,
	CHUNK_KEYS = 1 << CHUNK_BITS,
	CHUNK_KEYS_MIN = 1365,      /* keys that make a chunk: 12 bytes each, as in the tree's leaves */
	CHUNK_KEYS_THIN = 341,      /* keys below which it is given up */
	SEQUENCE_BATCH = 4096,
	TX_KEEP_BYTES = 4 << 10,    /* of a table's lists, kept for the next transaction */
};

/* ---- memory that only snapshots still need (snapshot.c) ---- */
struct retired {
	struct retired *next;
	uint64_t until : 40; /* the store's epoch then: no later snapshot has it */
	uint64_t page_bytes : 24; /* of a page's memory, 0 for others */
};

/* ---- pages (page.c) ---- */
/*
 * Four bits a slot, of 64 slots together so that they share a cache line:
 *   visible: a row of the open transaction's view
 *   committed: a row of the last commit
 *   listed: in tx.runs; between transactions visible == committed, the others are 0
 *   imaged: committed rows: slot bytes from before are in tx.images; new rows: pinned, see README 6
 * A slot is free when visible, committed and imaged are 0.
 */
struct slot_word {
	uint64_t visible, committed, listed, imaged;
};
struct page {
	union {
		struct {
			uint32_t used; /* slots that are not free */
			uint32_t hint; /* no free slot in the words before it */
			uint32_t next, prev; /* pages with free slots; PAGE_NONE ends */
		};
		struct retired retired; /* instead, once it is only a snapshot's */
	};
	uint64_t epoch; /* the store's when it was made: snapshots taken later share it */
	struct slot_word words[];
};

/* ---- blocks of rows of variable size (heap.c) ---- */
/* A slot of such a table is a location: u32 segment, u32 offset. A block: u32 row number, u32 length, the row. */
enum { LOCATION_BYTES = 8, BLOCK_HEADER = 8 };
struct segment {
	uint8_t *data; /* NULL: id is free, `live` is the next free id */
	uint32_t size, top, live;
};
/* In front of a segment's data. */
union segment_head {
	uint64_t epoch; /* as a page's */
	struct retired retired;
};
struct heap {
	struct store *store;
	uint64_t frozen; /* as the table's */
	struct segment *segments;
	uint32_t count, cap;
	uint32_t free_id, current; /* UINT32_MAX: none */
	uint32_t compact_at;
	uint8_t *spare; /* one segment of SEGMENT_BYTES */
	uint64_t live_bytes, bytes;
};

/* ---- indexes ---- */
struct tree_node {
	uint16_t count, cap;
	uint32_t unused;
	struct tree_node *next, *prev; /* leaves */
	/* keys[cap] of the index's width, rows[cap], for inner nodes children[cap] aligned to 8 */
};
struct tree {
	struct tree_node *root;
	uint32_t height; /* levels; 1: the root is a leaf */
	uint64_t bytes;
};
struct chunk {
	uint32_t *rows; /* CHUNK_KEYS, ROW_NONE where no key */
	uint32_t count;
};
struct radix {
	struct chunk *chunks; /* of key >> CHUNK_BITS, from base on */
	uint64_t base;
	uint32_t count, cap, used; /* used: chunks that exist */
	bool sparse; /* some chunk lost most of its keys */
};
struct hash_segment;
struct hash {
	struct hash_segment **segments; /* 1 << depth */
	uint32_t depth;
	uint64_t count, bytes;
};

enum index_form { FORM_INT, FORM_TREE, FORM_HASH };
enum key_kind { KEY_UNSIGNED, KEY_SIGNED, KEY_FLOAT };
struct key_column {
	uint16_t column;
	uint8_t kind, size; /* of exact keys */
	int32_t offset;     /* in the row, -1: walk */
	const struct sats_layout *layout;
};
struct store_index {
	const struct store_index_def *def;
	struct store_table *table;
	uint8_t form;   /* enum index_form */
	uint8_t width;  /* bytes of a key in tree nodes: 4, 8, 16 */
	bool unique;
	bool ordered;   /* false: MODULE_HASH, no ranges */
	bool exact;     /* the key alone decides; else it is a prefix or a hash and rows decide */
	bool hashed;    /* the key is a hash */
	bool raw;       /* hash and equality by bytes */
	bool plain_enum;
	uint32_t column_count;
	struct tree tree;
	union {
		struct radix radix; /* FORM_INT */
		struct hash hash;   /* FORM_HASH */
	};
	struct key_column columns[];
};

/* What is looked for: an exact key, or a prefix/hash with the columns that decide. */
#define TIE_FIRST (-1)
#define TIE_LAST ((int64_t)1 << 32)
struct probe {
	u128 key;
	int64_t tie;      /* row number, or before/after all rows of the key */
	uint32_t columns; /* set in at[]; fewer than the index has: a prefix */
	bool equal;       /* unique indexes: looks for the key itself, whatever its row */
	const uint8_t *at[STORE_INDEX_COLUMNS_MAX];
};

/* ---- sequences ---- */
struct sequence {
	const struct store_sequence_def *def;
	struct store_table *table;
	i128 value;     /* next to be given */
	i128 allocated; /* in memory; st_sequence may lag behind until the next commit (README 9) */
	uint8_t size;   /* of the column */
	bool ahead;     /* in store->ahead */
	struct sequence *next_ahead;
};

/* ---- tables ---- */
struct run {
	uint32_t first, count;
};
struct displaced {
	struct store_index *index;
	uint32_t row;
};
struct table_tx {
	struct run *runs;        /* rows that became new or dead; README 5 */
	uint32_t run_count, run_cap;
	uint8_t *images;         /* u32 row, slot bytes */
	uint32_t image_count, image_cap;
	struct displaced *displaced; /* entries of unique indexes that were given to another row, oldest first */
	uint32_t displaced_count, displaced_cap;
	uint32_t new_count, dead_count;
	uint64_t rows_before;
	struct store_table *next; /* changed tables */
	bool changed;
};
struct store_table {
	struct store *store;
	const struct store_table_def *def;
	const struct sats_row_layout *layout;
	struct arena arena;      /* of def and layout; unused by system tables */

	int32_t fixed_size;      /* of a row, -1: varies */
	uint32_t stride;         /* of a slot */
	uint32_t slot_mask;      /* rows of a full page - 1 */
	uint8_t shift;
	uint32_t page_cap_rows;  /* rows of each page now; smaller only while there is one page */
	uint32_t page_words, data_offset;
	struct page **pages;     /* NULL: given back */
	uint32_t *written;       /* of each page: the store's generation when a row of it last changed */
	uint32_t page_count, page_cap, page_holes;
	uint32_t free_page;      /* head of the pages with free slots */
	uint32_t empty_pages;
	uint64_t page_bytes;
	uint64_t row_count;      /* visible */
	uint64_t version;        /* commits that changed it */
	struct heap *heap;       /* rows of variable size */
	uint64_t frozen;         /* epoch of the newest snapshot that has the table; 0: none has */

	struct store_index **indexes; /* by id */
	struct store_index **unique;  /* those that are unique, by id */
	uint32_t index_count, unique_count;
	struct store_index *primary;  /* unique index over the primary key, or NULL */
	struct hash *set;             /* of whole rows, without a unique index */
	struct sequence *sequences;
	struct store_watch *watches;
	bool is_marked;          /* store_table_mark */
	struct table_tx tx;
	struct store_table *next_created; /* in the open transaction */
	struct store_table *next_dropped;
	bool is_dropped;         /* hidden until the transaction ends; then a snapshot's (alter.c) */
	bool is_seen; /* while it is dropped: by a migration function */
};

struct id_entry {
	uint32_t id; /* 0: free */
	void *value;
};
struct id_map {
	struct id_entry *entries;
	uint32_t cap, count;
};

struct last_error {
	enum store_status told; /* what the fields below tell of */
	const struct store_index *index;
	uint32_t id;
	uint64_t delay_micros;
	struct buf key; /* columns of the key back to back */
	struct error detail;
	struct buf text;
};
struct store {
	struct store_table *system[ST_TABLE_COUNT + 1]; /* by id */
	struct store_index **system_indexes;            /* by id, in one block with the indexes */
	struct store_table **tables;                    /* users', by id */
	uint32_t table_count, table_cap;
	struct id_map table_ids, index_ids;
	struct map table_names, table_accessors, index_names, index_accessors; /* users' */
	struct sequence *ahead; /* sequences whose row lags behind */
	bool saved;             /* the open transaction has written them */

	bool tx_active;
	bool call_timed;
	int64_t call_micros;
	uint64_t tx_bytes; /* written so far, roughly what rolling back would free */
	struct arena tx_arena;
	struct store_table *changed; /* unordered */
	struct store_table *created;
	struct store_table *dropped;  /* in the open transaction, the last one first */
	struct store_table *remains;  /* dropped, but a snapshot may have them */
	struct store_schema_change *schema; /* in the open transaction */
	uint32_t schema_count, schema_cap;
	uint64_t epoch;         /* of the newest snapshot ever taken */
	uint32_t generation;    /* of pages (image.c) */
	struct store_snapshot *snapshots; /* oldest first */
	struct retired *retired, **retired_last; /* oldest first */
	uint64_t retired_bytes; /* copied or kept for snapshots since there was none */
	struct retired *spares; /* pages that no snapshot needs any more, all of one size, for the next copies */
	uint64_t spare_bytes;
	struct buf scratch; /* a row whose sequences are filled in */
	struct last_error *error; /* made at the first error with a text of its own */
	enum store_status status; /* of the last failure */
};

/* ---- page.c ---- */
void table_pages_init(struct store_table *t);
void table_pages_free(struct store_table *t);
/* Makes page `at`, which does not exist, with at least `rows` slots; it has full size if it is not the only one. Its
 * rows are then put in place by hand (image.c). */
enum store_status table_page_place(struct store_table *t, uint32_t at, uint32_t rows, bool only);
void table_page_placed(struct store_table *t, uint32_t at); /* they are */
/* A free slot, not yet taken. */
enum store_status table_slot_find(struct store_table *t, uint32_t *row);
void table_slot_take(struct store_table *t, uint32_t row); /* counts it as used; the caller sets its bits */
void table_slot_release(struct store_table *t, uint32_t row); /* bits but `listed` are cleared */
void table_pages_trim(struct store_table *t);
/* Makes a copy of a page that snapshots have, to be written in its place. */
enum store_status page_copy(struct store_table *t, uint32_t at);

static inline struct page *row_page(const struct store_table *t, uint32_t row)
{
	return t->pages[row >> t->shift];
}
static inline uint8_t *row_slot(const struct store_table *t, uint32_t row)
{
	return (uint8_t *)row_page(t, row) + t->data_offset + (size_t)(row & t->slot_mask) * t->stride;
}
static inline struct slot_word *row_word(const struct store_table *t, uint32_t row)
{
	return &row_page(t, row)->words[(row & t->slot_mask) >> 6];
}
static inline uint64_t row_bit(const struct store_table *t, uint32_t row)
{
	return 1ull << (row & t->slot_mask & 63);
}
static inline bool row_visible(const struct store_table *t, uint32_t row)
{
	return (row_word(t, row)->visible & row_bit(t, row)) != 0;
}
static inline const uint8_t *location_row(const struct heap *heap, const uint8_t *slot, uint32_t *len)
{
	const uint8_t *block = heap->segments[load_u32(slot)].data + load_u32(slot + 4);
	*len = load_u32(block + 4);
	return block + BLOCK_HEADER;
}
/* Before the first change of a row or its bits in a transaction: no snapshot sees it. Slots move. */
static inline enum store_status row_own(struct store_table *t, uint32_t row)
{
	t->written[row >> t->shift] = t->store->generation;
	if (LIKELY(t->frozen == 0 || row_page(t, row)->epoch >= t->frozen))
		return STORE_OK;
	return page_copy(t, row >> t->shift);
}
/* The row in slot bytes: of the slot itself or of its image. */
static inline const uint8_t *slot_row(const struct store_table *t, const uint8_t *slot, uint32_t *len)
{
	if (LIKELY(t->fixed_size >= 0)) {
		*len = (uint32_t)t->fixed_size;
		return slot;
	}
	if (t->heap != NULL)
		return location_row(t->heap, slot, len);
	*len = (uint32_t)sats_size(t->layout->whole, slot);
	return slot;
}
static inline const uint8_t *row_data(const struct store_table *t, uint32_t row, uint32_t *len)
{
	return slot_row(t, row_slot(t, row), len);
}
/* Without the length, where it would have to be walked for. */
static inline const uint8_t *row_bytes(const struct store_table *t, uint32_t row)
{
	uint32_t len;
	const uint8_t *slot = row_slot(t, row);
	return t->heap == NULL ? slot : location_row(t->heap, slot, &len);
}

/* ---- snapshot.c ---- */
/* Frees it when the last snapshot that may have it goes; pages may be kept for the next copies. */
void retire(struct store *store, struct retired *memory, uint64_t bytes, bool is_page);
/* Memory of such a page, not cleared: the caller's. NULL: there is none of this size. */
void *spare_take(struct store *store, size_t page_bytes);
void spares_free(struct store *store);

/* ---- heap.c ---- */
struct heap *heap_create(struct store *store);
void heap_destroy(struct heap *heap);
enum store_status heap_put(struct heap *heap, uint32_t row, const uint8_t *data, uint32_t len,
	uint8_t location[LOCATION_BYTES]);
void heap_drop(struct heap *heap, const uint8_t location[LOCATION_BYTES]);
/* Moves blocks out of segments that are mostly holes. Between transactions. */
void heap_compact(struct store_table *t);
void heap_reset(struct heap *heap); /* no block is in use */

/* ---- key.c ---- */
void index_forms_key(struct store_index *ix); /* fills in form, width, columns … from def */
void index_probe_row(const struct store_index *ix, const uint8_t *row, struct probe *probe); /* tie left alone */
/* Columns of a key that somebody gave us: validated. `columns` of them. Surplus bytes are ignored. */
bool index_probe_key(const struct store_index *ix, const uint8_t *key, size_t len, uint32_t columns,
	struct probe *probe);
/* Completes key and `columns` from at[0..columns). */
void index_probe_finish(const struct store_index *ix, uint32_t columns, struct probe *probe);
/* Compares the first `columns` of a row with the probe's. */
int index_compare_row(const struct store_index *ix, uint32_t row, const struct probe *probe, uint32_t columns);
bool index_same_key(const struct store_index *ix, const uint8_t *a, const uint8_t *b);
uint64_t probe_key_narrow(const struct store_index *ix, const uint8_t *row);

/* ---- tree.c ---- */
#define TREE_FULL ((enum store_status)100) /* insert without permission to split */
struct tree_position {
	struct tree_node *leaf; /* NULL: past the end */
	uint32_t at;
};
void tree_free(struct tree *tree);
struct tree_position tree_seek(const struct store_index *ix, const struct probe *probe);
struct tree_position tree_first(const struct store_index *ix);
u128 tree_key_at(const struct store_index *ix, struct tree_position at);
uint32_t tree_row_at(const struct store_index *ix, struct tree_position at);
static inline struct tree_position tree_next(struct tree_position at)
{
	if (++at.at >= at.leaf->count)
		at = (struct tree_position){ at.leaf->next, 0 };
	return at;
}
uint32_t tree_find(const struct store_index *ix, const struct probe *probe); /* unique */
enum store_status tree_insert(struct store_index *ix, const struct probe *probe, uint32_t row, bool may_split,
	struct tree_node **full);
bool tree_remove(struct store_index *ix, const struct probe *probe, uint32_t row);
void tree_replace(struct store_index *ix, const struct probe *probe, uint32_t row); /* unique; the key is there */
u128 tree_node_key(const struct store_index *ix, const struct tree_node *node, uint32_t at);
uint32_t *tree_node_rows(const struct store_index *ix, const struct tree_node *node);

/* ---- radix.c ---- */
static inline uint32_t *radix_slot(const struct radix *radix, uint64_t key)
{
	uint64_t at = (key >> CHUNK_BITS) - radix->base;
	if (at >= radix->count || radix->chunks[at].rows == NULL)
		return NULL;
	return &radix->chunks[at].rows[key & (CHUNK_KEYS - 1)];
}
void radix_free(struct radix *radix);
enum store_status radix_insert(struct store_index *ix, const struct probe *probe, uint32_t row);
void radix_remove(struct store_index *ix, const struct probe *probe, uint32_t row);
/* The smallest key >= `from` in chunks. */
bool radix_next(const struct radix *radix, uint64_t from, uint64_t *key, uint32_t *row);
void radix_thin(struct store_index *ix); /* gives up chunks that are nearly empty */

/* ---- hash.c: ix NULL: the set of whole rows, probe->at[0] with probe->columns bytes ---- */
void hash_free(struct hash *hash);
uint32_t hash_find(const struct hash *hash, const struct store_table *t, const struct store_index *ix,
	const struct probe *probe);
enum store_status hash_insert(struct hash *hash, const struct store_table *t, const struct store_index *ix,
	const struct probe *probe, uint32_t row);
void hash_remove(struct hash *hash, const struct store_table *t, const struct store_index *ix,
	const struct probe *probe, uint32_t row);
void hash_replace(struct hash *hash, const struct store_table *t, const struct store_index *ix,
	const struct probe *probe, uint32_t row);
void hash_probe_whole(const uint8_t *row, uint32_t len, struct probe *probe);

/* ---- index.c ---- */
struct store_index *index_create(struct store_table *t, const struct store_index_def *def);
void index_destroy(struct store_index *ix);
void index_clear(struct store_index *ix);
uint64_t index_bytes(const struct store_index *ix);
uint32_t index_find(const struct store_index *ix, struct probe *probe); /* unique; ROW_NONE */
/* ROW_NONE when the key cannot be in the simplest form: an integer at a fixed place. Hot path. */
static inline bool index_is_simple(const struct store_index *ix)
{
	return ix->form == FORM_INT && ix->columns[0].offset >= 0;
}
enum store_status index_insert(struct store_index *ix, struct probe *probe, uint32_t row);
void index_remove(struct store_index *ix, const uint8_t *data, uint32_t row); /* if the entry is this row's */
void index_replace(struct store_index *ix, struct probe *probe, uint32_t row);
/* Puts all visible rows in; ix NULL: into the set of whole rows. It is empty. STORE_UNIQUE_VIOLATION; after a failure
 * it is to be cleared. (fill.c) Different ones may be filled on different threads, outside transactions. */
enum store_status index_fill(struct store_table *t, struct store_index *ix);
void table_unindex(struct store_table *t, uint32_t row); /* from all indexes and the set */

/* ---- alter.c ---- */
enum store_status schema_note_created(struct store *store, struct store_table *t);
void alter_rollback(struct store *store); /* after the rows */
void alter_finish(struct store *store);
void remains_free(struct store *store);   /* if there is no snapshot */
/* The rows of `from`, each with the suffix, into `to`, which is empty; its indexes, its sequences' positions. */
enum store_status table_take_over(struct store_table *from, struct store_table *to, struct bytes suffix);

/* ---- row.c ---- */
void table_before_write(struct store_table *t);
/* Row bytes are valid. */
enum store_status row_insert(struct store *store, struct store_table *t, const uint8_t *data, uint32_t len,
	uint32_t *row);
enum store_status row_update(struct store *store, struct store_table *t, const struct store_index *ix, uint32_t old,
	const uint8_t *data, uint32_t len, uint32_t *row);
enum store_status row_delete(struct store_table *t, uint32_t row);
/* The visible row with these bytes, or ROW_NONE. */
uint32_t row_find_equal(const struct store_table *t, const uint8_t *data, uint32_t len);
/* A row of the last commit, without a transaction and without indexes: they are filled afterwards. Valid bytes. */
enum store_status row_append(struct store_table *t, const uint8_t *data, uint32_t len);
/* The slot and all that belongs to it, indexes included. */
void row_release(struct store_table *t, uint32_t row);
enum store_status row_check(struct store *store, struct store_table *t, const uint8_t *data, size_t len,
	uint32_t *size);
static inline void table_begin_write(struct store_table *t)
{
	if (UNLIKELY(t->watches != NULL || !t->tx.changed))
		table_before_write(t);
}

/* ---- tx.c, delta.c ---- */
enum store_status tx_run_reserve(struct store_table *t);
void tx_run_add(struct store_table *t, uint32_t row); /* reserved; not yet listed */
enum store_status tx_image_reserve(struct store_table *t);
void tx_image_add(struct store_table *t, uint32_t row);
enum store_status tx_displaced_reserve(struct store_table *t, uint32_t more);
static inline uint32_t image_bytes(const struct store_table *t)
{
	return 4 + t->stride;
}
void tx_commit_quietly(struct store *store); /* without a delta: cannot fail */
void lists_free(struct store_table *t);      /* outside transactions */
enum store_status delta_build(struct store *store, struct store_delta *delta);
void table_clear_storage(struct store_table *t); /* no row is left */

/* ---- sequence.c ---- */
bool sequence_triggers(const struct store_table *t, const uint8_t *row);
void sequence_fill(struct store_table *t, uint8_t *row, uint64_t *generated); /* bit per sequence that was drawn */
size_t sequence_write_back(const struct store_table *t, uint64_t generated, const uint8_t *row, uint8_t *out);
enum store_status sequences_save(struct store *store); /* of those that are ahead, in the open transaction */
enum store_status sequence_save(struct store *store, struct sequence *s); /* its row, in the open transaction */
void sequences_saved(struct store *store);
void sequences_forget(struct store *store, const struct store_table *t);
void sequence_set(struct sequence *s, i128 allocated);

/* ---- table.c ---- */
struct store_table *table_create(struct store *store, const struct store_table_def *def,
	const struct sats_row_layout *layout, enum store_status *status);
void table_destroy(struct store_table *t);
/* store_replay_table, with the table. */
enum wl_err replay_table(struct store *store, const uint8_t *encoded, size_t len, struct store_table **out,
	struct error *error);
/* Copies a definition into the arena; the result is `out`. */
bool table_def_copy(struct arena *arena, const struct store_table_def *def, struct store_table_def *out);
enum store_status store_table_add(struct store *store, struct store_table *t);
void store_table_remove(struct store *store, struct store_table *t);
void unlist(struct store *store, struct store_table *t); /* from store->tables; names and ids stay */
bool id_map_put(struct id_map *map, uint32_t id, void *value);
void *id_map_get(const struct id_map *map, uint32_t id);
void id_map_remove(struct id_map *map, uint32_t id);

/* ---- system.c ---- */
struct system_tables {
	struct store_table_def defs[ST_TABLE_COUNT + 1];
	const struct sats_row_layout *layouts[ST_TABLE_COUNT + 1];
	uint32_t index_count;
	struct map table_names, index_names; /* to ids */
};
const struct system_tables *system_tables(void); /* made once per process */
bool system_bootstrap(struct store *store);
/* Writes the rows that describe a table; assigns ids that are 0. */
enum store_status system_describe(struct store *store, struct store_table_def *def);

/* Removes the rows that describe a table. */
enum store_status system_forget(struct store *store, const struct store_table_def *def);

/* ---- error.c ---- */
/* Remembers the failure; keeps what was told of it, if it is the same. Returns `status`. */
enum store_status store_fail(struct store *store, enum store_status status);
enum store_status store_fail_id(struct store *store, enum store_status status, uint32_t id);
enum store_status store_fail_key(struct store *store, enum store_status status, const struct store_index *ix,
	const uint8_t *row);
static inline enum store_status store_fail_unique(struct store *store, const struct store_index *ix,
	const uint8_t *row)
{
	return store_fail_key(store, STORE_UNIQUE_VIOLATION, ix, row);
}
/* A new unique index does not hold. */
enum store_status store_fail_duplicates(struct store *store, const struct store_index *ix);
enum store_status store_fail_delay(struct store *store, uint64_t micros);
struct error *store_fail_detail(struct store *store, enum store_status status); /* may be NULL */
void store_error_forget(struct store *store);
void store_error_free(struct store *store);
#endif
