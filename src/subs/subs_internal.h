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

struct live_query {
	char *key;              /* text, and the caller's identity when the result depends on it; owned */
	size_t key_len, bytes;  /* bytes: what it holds of memory */
	struct query *query;
	struct listeners *listeners;
	uint32_t listener_index;
	uint32_t refs;          /* query sets that hold it */
	uint32_t place_count, place_cap;
	struct class_place *places;
	uint64_t epoch;         /* commit at which `body` was made */
	bool changed;
	size_t body_at, body_len; /* TableUpdateRows in subs->bodies */
};

/* The live queries on one table. */
struct listeners {
	struct store_table *table;
	uint32_t count, cap;
	struct live_query **queries;
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
	struct live_query **queries;
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
	struct buf bodies;    /* TableUpdateRows of this commit's changed queries */
	struct buf offsets;   /* scratch of row lists */
	struct buf caller;    /* the caller's update */
	struct buf text;      /* error texts */
	struct subs_class **dirty;
	uint32_t dirty_count, dirty_cap;
	struct subs_stats stats;
};

/* registry.c */
enum wl_err subs_query_acquire(struct subs *subs, struct str sql, const struct query_caller *caller,
	struct live_query **out, struct buf *error);
void subs_query_release(struct subs *subs, struct live_query *query);
struct listeners *subs_listeners(struct subs *subs, const struct store_table *table); /* NULL: none */

/* classes.c */
/* Moves the client to the class of its present sets. False: no memory; the client is then in no class. */
bool subs_class_assign(struct subs *subs, struct subs_client *client);
void subs_class_leave(struct subs *subs, struct subs_client *client, bool gone);

/* What begins now has until then. */
void subs_clock_start(struct subs *subs);

/* The client cannot be served any more: it is cut off. */
void subs_client_lost(struct subs *subs, struct subs_client *client);
#endif
