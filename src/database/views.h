/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIEWS_H
#define VIEWS_H
/* What the files of views share: instances, and who reads what. Executor only. */
#include "database/database_internal.h"

struct read {
	struct store_index *index; /* NULL: the whole table */
	uint64_t hash;             /* of the key */
	struct table_readers *readers;
};
struct read_list {
	struct read *reads;
	uint32_t count, cap;
	bool failed;
};
struct view_instance {
	uint8_t key[4 + 32]; /* table id, hash: in views->instances */
	struct store_table *table;
	bool is_anonymous;
	struct identity sender;
	struct bytes arguments; /* BSATN, back to back; its own copy */
	struct read_list reads, fresh; /* committed; of a refresh in the open transaction */
	bool is_refreshed;             /* `fresh` counts at the commit */
	bool is_watched;               /* `fresh` is listed, beside `reads` */
	uint32_t refs;                 /* live queries */
	uint64_t used_nanos, mark;
};
struct instance_list {
	struct view_instance **items;
	uint32_t count, cap;
	uint64_t key[2]; /* index id and hash, where it is a value of `keys` */
};
struct index_readers {
	struct store_index *index;
	uint32_t count;
	struct index_readers *next;
};
struct table_readers {
	struct store_table *table;
	struct instance_list whole;
	struct index_readers *indexes;
	struct map keys; /* index id and hash of the key -> struct instance_list */
	uint32_t count;
};
struct views {
	struct map instances; /* key -> struct view_instance */
	struct map tables;    /* table id -> struct table_readers */
	struct instance_list refreshed; /* in the open transaction */
	uint64_t mark, swept_nanos;
	struct buf row, key;  /* being made; kept from one refresh to the next */
};

/* view_reads.c */
bool instance_list_add(struct instance_list *list, struct view_instance *instance);
struct table_readers *view_readers_find(const struct views *views, const struct store_table *table); /* NULL: none */
/* Tables have become others of the same ids. */
void view_readers_retable(struct views *views, struct store *store);
/* The instances that read this key of an index; NULL: none, or no memory to make the list. */
struct instance_list *view_key_list(struct table_readers *readers, const struct store_index *index, uint64_t hash,
	bool make);
/* Lists a read under its table. False: no memory. */
bool view_read_in(struct views *views, struct view_instance *instance, struct read *read, struct store_table *table);
void view_reads_forget(struct views *views, struct view_instance *instance, struct read_list *list); /* listed ones */
/* What is read, as it is read: into a struct read_list. Until it is listed, a read's `readers` is its table. */
void view_reads_table(void *context, struct store_table *table);
void view_reads_key(void *context, struct store_index *index, struct bytes key);
#endif
