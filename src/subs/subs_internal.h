/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUBS_INTERNAL_H
#define SUBS_INTERNAL_H
/* What the files of the room share: live queries, classes, clients. */
#include "base/map.h"
#include "base/mem.h"
#include "protocol/protocol.h"
#include "subs/subs.h"

struct subs_class;

/* A place where a class is listed under a query; both ends know the other's index, so removal is constant. */
struct class_place {
	struct subs_class *class;
	uint32_t entry; /* in class->entries */
};

/* A row that a commit put into a block's result or took out of it. */
struct row_change {
	struct bytes row;
	uint32_t copies;
	struct row_change *next;
};
struct row_changes {
	struct row_change *first, **last; /* in subs->scratch */
	uint32_t count;                   /* copies and all */
};

/* Where a block is listed under a table that it reads. */
struct listening {
	struct listeners *listeners;
	struct value_group *group; /* NULL: whatever changes in the table */
	struct bucket *bucket;
	uint32_t index;            /* in the list of either */
};
/* A block of a live query: one entry in messages for each that changed. */
struct live_block {
	struct live_query *query;
	uint32_t index;            /* among the query's */
	uint32_t listening_count;
	struct listening *listenings; /* one for each of its tables */
	/* of the commit `epoch` */
	uint64_t epoch;
	bool is_evaluated;
	const struct store_delta_table *whole; /* all of it, instead of the lists */
	struct row_changes inserts, deletes;
	size_t body_at, body_len;  /* TableUpdateRows in subs->bodies; 0: not encoded */
};

struct live_query {
	char *key;              /* text, and the caller's identity when the result depends on it; owned */
	size_t key_len, bytes;  /* bytes: what it holds of memory */
	struct query *query;
	uint32_t refs;          /* query sets that hold it */
	uint32_t block_count;
	struct live_block *blocks;
	uint32_t place_count, place_cap;
	struct class_place *places;
	uint64_t epoch;         /* commit that changed it */
};

/* Blocks that only rows with this value can change. */
struct bucket {
	const void *key; /* owned; what value_key makes of the value */
	uint32_t key_len;
	uint32_t count, cap;
	struct live_block **blocks;
};
struct value_group { /* of one column */
	struct value_group *next;
	uint16_t column;
	const struct sats_type *type;
	struct map buckets; /* key -> struct bucket */
};
/* The live queries on one table. */
struct listeners {
	struct store_table *table;
	uint32_t count, cap;
	struct live_block **blocks; /* evaluated whatever changes */
	struct value_group *groups; /* found by the values of changed rows */
	uint32_t listening;         /* blocks in all */
};

struct class_entry {
	uint32_t set_id;
	uint32_t place; /* in query->places */
	struct live_query *query;
};

/*
 * Clients of one loop with the same sets in the same format. Entries ascend by set, then by table name. With one
 * member its messages go to the connection; from the second on the class has a ring that its members follow.
 */
struct subs_class {
	uint64_t id, hash, epoch;
	struct subs_class *next_in_bucket;
	uint32_t loop;
	uint8_t format, flags;
	bool has_ring;
	uint32_t member_count, entry_count;
	struct subs_client *members;
	struct class_entry *entries;
};

struct query_set {
	uint32_t id, count;
	size_t bytes; /* of its queries */
	struct live_query **queries; /* ascending by table name once it is listed */
};

struct subs_client {
	struct subs_client_options options;
	char name[160];
	struct subs_class *class;
	bool known; /* has had a subscription: decides a wording */
	struct subs_client *next, **link; /* in class->members */
	uint32_t set_count, set_cap, query_count;
	size_t query_bytes;
	struct query_set *sets; /* ascending by id */
};

enum { CLASS_BUCKETS = 1024 };

struct subs {
	struct store *store;
	struct outbox *outbox;
	struct map queries;   /* key -> struct live_query */
	struct map tables;    /* table id (4 bytes, in listeners->table's def) -> struct listeners */
	struct subs_class **classes; /* CLASS_BUCKETS; made for the first class */
	uint64_t next_class, epoch;
	uint32_t ms_max;      /* 0: no limit */
	uint64_t deadline;    /* of what is going on; 0: none */
	bool late;            /* evaluating this commit took too long */
	size_t query_bytes;   /* of all live queries */
	struct arena scratch; /* of one commit's evaluation */
	struct buf bodies;    /* TableUpdateRows of this commit's changed queries */
	struct buf offsets;   /* scratch of row lists */
	struct buf caller;    /* the caller's update */
	struct buf text;      /* error texts */
	struct subs_class **dirty;
	uint32_t dirty_count, dirty_cap;
	struct live_query **changed; /* by this commit */
	uint32_t changed_count, changed_cap;
	struct live_block **found;   /* by the values of its rows */
	uint32_t found_count, found_cap;
	struct live_query **failed;  /* to be taken from whoever holds them */
	uint32_t failed_count, failed_cap;
	struct subs_stats stats;
};

/* registry.c */
enum wl_err subs_query_acquire(struct subs *subs, struct str sql, const struct query_caller *caller,
	struct live_query **out, struct buf *error);
void subs_query_release(struct subs *subs, struct live_query *query);
struct listeners *subs_listeners(struct subs *subs, const struct store_table *table); /* NULL: none */
/* What a value is called in a group: its scalar, or its bytes. `room` for the former. */
struct bytes subs_value_key(const struct sats_type *type, const uint8_t *value, const struct sats_layout *layout,
	u128 *room);

/* classes.c */
/* Moves the client to the class of its present sets. False: no memory; the client is then in no class. */
bool subs_class_assign(struct subs *subs, struct subs_client *client);
void subs_class_leave(struct subs *subs, struct subs_client *client, bool gone);

/* What begins now has until then. */
void subs_clock_start(struct subs *subs);

/* evaluate.c: fills in what this commit changed: subs->changed and the blocks of its queries. */
void subs_evaluate(struct subs *subs, const struct store_delta *delta);

/* Takes the query from all that hold it, with an error: it cannot be kept true any more. */
void subs_query_fail(struct subs *subs, struct live_query *query, struct str text);

/* The client cannot be served any more: it is cut off. */
void subs_client_lost(struct subs *subs, struct subs_client *client);
#endif
