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
	bool is_single, is_key;    /* of the query's block: kept here, since most of what a commit finds is cold memory */
	uint32_t hidden;           /* bytes of a row that its client does not see */
	struct listening *listenings; /* one for each of its tables */
	/* of the commit `epoch` */
	uint64_t epoch;
	bool is_evaluated;
	const struct store_delta_table *whole; /* all of it, instead of the lists */
	struct row_changes inserts, deletes;
	size_t body_at, body_len;  /* TableUpdateRows in subs->bodies; 0: not encoded */
	size_t v1_at[2], v1_len[2]; /* the same as updates of v1: BSATN, JSON */
};

struct live_query {
	char *key;              /* text, and the caller's identity when the result depends on it; owned */
	size_t key_len, bytes;  /* bytes: what it holds of memory */
	struct query *query;
	struct query *next;     /* what takes its place when the tables have become others (retable.c) */
	struct identity viewer; /* whose instances of views it reads */
	uint32_t refs;          /* query sets that hold it */
	uint32_t block_count;
	struct live_block *blocks;
	uint32_t place_count, place_cap;
	struct class_place *places;
	uint64_t epoch;         /* commit that changed it */
	uint64_t mark[2];       /* the last v1 message that had it: in a set with an id, in the legacy set */
};

/* Blocks that only rows with this value can change. */
struct bucket {
	uint32_t count, cap;
	struct live_block **blocks;
	uint32_t key_len;
	uint8_t key[]; /* what value_key makes of the value: beside what is read when it is found */
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
	uint64_t set_id;
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
	uint8_t format, flags, protocol; /* PROTOCOL_V2 for v3, too */
	bool is_full, has_ring;
	const struct subs_read *read; /* behind which its messages wait; NULL: they are sent */
	bool is_released;        /* they have been sent: nothing waits any more */
	struct buf held;         /* u32 length and message, back to back */
	uint32_t member_count, entry_count;
	struct subs_client *members;
	struct class_entry *entries;
};

#define SUBS_LEGACY_SET (UINT64_C(1) << 32) /* v1's set without an id */
struct query_set {
	uint64_t id;
	uint32_t count;
	size_t bytes; /* of its queries */
	struct live_query **queries; /* ascending by table name once it is listed */
};

struct subs_client {
	struct subs_client_options options;
	char name[160];
	struct subs_class *class;
	bool known; /* has had a subscription: decides a wording */
	const struct subs_read *read; /* behind which it is held; part of what its class is */
	struct pending *pending; /* its reply that is being made; its messages are not to be given to us meanwhile */
	struct subs_client *next, **link; /* in class->members */
	uint32_t set_count, set_cap, query_count;
	size_t query_bytes;
	struct query_set *sets; /* ascending by id */
};

/* ---- replies ---- */

/* What a reply is made with: on the executor, or beside it on a snapshot. */
struct making {
	struct query_limits limits;
	struct buf *error;
	struct buf offsets, json, whole, body; /* scratch: of row lists, of a row, of v1's messages */
};
enum reply_kind { REPLY_SUBSCRIBED, REPLY_BATCH, REPLY_UNSUBSCRIBED, REPLY_ONE_OFF, REPLY_V1_SUBSCRIBED,
	REPLY_V1_UNSUBSCRIBED, REPLY_V1_ONE_OFF };
struct reply_set {
	struct query_set set;
	struct str failed;       /* of a batch: why there is no set; owned. data NULL: there is one */
};
/* Answers one request. Owns its sets until they are settled, and its query. */
struct reply {
	uint8_t kind, v1_kind;   /* enum reply_kind; the request's */
	bool is_json, sends_rows;
	uint32_t request_id, set_id;
	uint64_t begin;          /* v1: nanoseconds */
	struct bytes message_id; /* v1's one-off queries; of the request, or copied behind the reply */
	uint32_t set_count;
	struct reply_set *sets;
	struct reply_set one;    /* for the rule: there is one */
	uint32_t told_count;
	struct live_query **told; /* v1: the set's queries that the client does not hold elsewhere */
	struct query *query;     /* one-off */
};

enum { CLASS_BUCKETS = 1024 };

struct subs {
	struct store *store;
	struct outbox *outbox;
	subs_view_fn view_fn;
	void *view_context;
	struct map queries;   /* key -> struct live_query */
	struct map tables;    /* table id (4 bytes, in listeners->table's def) -> struct listeners */
	uint64_t listened;    /* the ids of those tables, modulo 64, a bit each: tells most commits that nobody listens */
	struct subs_class **classes; /* CLASS_BUCKETS; made for the first class */
	uint64_t next_class, epoch, mark;
	uint32_t ms_max;      /* 0: no limit */
	uint32_t sets_max, queries_max; /* of a client */
	uint64_t deadline;    /* of what is going on; 0: none */
	bool late;            /* evaluating this commit took too long */
	size_t query_bytes;   /* of all live queries */
	struct arena scratch; /* of one commit's evaluation */
	struct buf bodies;    /* TableUpdateRows of this commit's changed queries */
	struct buf caller;    /* the caller's update */
	struct making making; /* what replies on the executor are made with, and updates use */
	struct buf update;    /* v1: a class's update */
	struct buf text;      /* error texts */
	subs_read_fn read_fn;
	bool reads_always;
	void *read_context;
	struct subs_read *reads; /* that have not ended */
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

/* sets.c */
struct set_builder {
	struct query_set set;
	uint32_t cap;
	bool keeps_duplicates;
	struct map seen; /* queries already in the set: duplicates of one request are dropped */
};
void subs_set_free(struct subs *subs, struct query_set *set);
/* NULL: `at` is where it would be. */
struct query_set *subs_set_find(struct subs_client *client, uint64_t id, uint32_t *at);
bool subs_set_insert(struct subs_client *client, uint32_t at, struct query_set set);
void subs_set_remove(struct subs_client *client, uint32_t at);
/* `queries`: BSATN strings; SELECT * FROM * becomes all tables. On failure subs->text says why. */
enum wl_err subs_set_build(struct subs *subs, struct subs_client *client, struct set_builder *b, uint32_t count,
	struct bytes queries);
enum wl_err subs_set_add(struct subs *subs, struct subs_client *client, struct set_builder *b, struct str sql);
void subs_set_sort(struct query_set *set); /* by table name */

/* registry.c */
enum wl_err subs_query_acquire(struct subs *subs, struct str sql, const struct query_caller *caller,
	struct live_query **out, struct buf *error);
void subs_query_release(struct subs *subs, struct live_query *query);
bool subs_query_listen(struct subs *subs, struct live_query *query); /* false: no memory; it listens to less, then */
void subs_query_unlisten(struct subs *subs, struct live_query *query);
struct listeners *subs_listeners(struct subs *subs, const struct store_table *table); /* NULL: none */
/* False: no live query reads any of its tables. */
bool subs_is_listened(const struct subs *subs, const struct store_delta *delta);
/* What a value is called in a group: its scalar, or its bytes. `room` for the former. */
struct bytes subs_value_key(const struct sats_type *type, const uint8_t *value, const struct sats_layout *layout,
	u128 *room);

/* classes.c */
/* Moves the client to the class of its present sets. False: no memory; the client is then in no class. */
bool subs_class_assign(struct subs *subs, struct subs_client *client);
bool subs_class_release(struct subs *subs, struct subs_class *class); /* of a read that ends. False: no memory */
void subs_class_leave(struct subs *subs, struct subs_client *client, bool gone);

/* What begins now has until then. */
void subs_clock_start(struct subs *subs);

/* reply.c */
void subs_making_init(struct making *m);
void subs_making_deinit(struct making *m);
/* The message in two parts, of which the second is the same for all that ask the same. [any thread, on a snapshot]
 * WL_ERR_UNAVAILABLE: it takes too many rows for the executor. */
uint32_t subs_reply_nonempty(const struct reply *reply, const struct making *m);
void subs_reply_head(const struct reply *reply, uint32_t nonempty, struct buf *out);
enum wl_err subs_reply_body(const struct reply *reply, struct making *m, struct buf *out);
bool subs_reply_is_long(const struct reply *reply);
void subs_reply_deinit(struct subs *subs, struct reply *reply);
/* Why the set of a batch is not made: `text`, or what `err` is called. False: no memory. */
bool subs_reply_set_fails(struct reply_set *set, enum wl_err err, struct buf *text);
void subs_text_of_failure(struct buf *text, enum wl_err err);

/* reads.c */
/* Has the reply made beside the executor; takes it. False: no memory, and it is as it was. */
bool subs_read_start(struct subs *subs, struct subs_client *client, struct reply *reply);
/* A query that a held class has cannot be kept true: its members are cut off. */
void subs_read_fail(struct subs *subs, struct subs_client *member);

/* subs.c, commit.c: for v1.c and reads.c */
struct buf *subs_reply_begin(struct subs *subs, const struct subs_client *client);
void subs_reply_abandon(struct subs *subs, struct subs_client *client, struct buf *out);
/* Makes the reply, here or beside the executor, sends it and settles what it says; takes it. */
void subs_answer(struct subs *subs, struct subs_client *client, struct reply *reply);
void subs_one_off_answer(struct subs *subs, struct subs_client *client, struct reply *reply, struct str sql);
/* The reply is on its way (WL_OK), or nothing is and subs->text says why: then the error is sent. The sets become the
 * client's, or go. */
void subs_reply_settle(struct subs *subs, struct subs_client *client, struct reply *reply, enum wl_err err);
bool subs_block_changed(const struct subs *subs, const struct live_block *block);
enum wl_err subs_v1_reply_body(const struct reply *reply, struct making *m, struct buf *out);
void subs_v1_send_error(struct subs *subs, struct subs_client *client, const struct reply *reply);
/* v1.c: the update of a class, as a DatabaseUpdate. */
void subs_v1_put_update(struct subs *subs, struct buf *out, const struct subs_class *class);
/* A class's whole message about a commit. */
void subs_v1_put_message(struct subs *subs, struct buf *out, const struct subs_class *class, struct bytes update,
	const struct subs_event *event);

/* evaluate.c: fills in what this commit changed: subs->changed and the blocks of its queries. */
void subs_evaluate(struct subs *subs, const struct store_delta *delta);

/* Takes the query from all that hold it, with an error: it cannot be kept true any more. `text` without data: without a
 * word, since they are about to be disconnected. */
void subs_query_fail(struct subs *subs, struct live_query *query, struct str text);

/* The client cannot be served any more: it is cut off. */
void subs_client_lost(struct subs *subs, struct subs_client *client);
#endif
