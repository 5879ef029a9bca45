/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOST_INTERNAL_H
#define HOST_INTERNAL_H
/* Between the files of this room: control.c (what is remembered), host.c (what is open). */
#include "base/map.h"
#include "base/thread.h"
#include "commitlog/commitlog.h"
#include "host/host.h"

/*
 * control: the control data in memory, and its file. One owner at a time (the host's monitor). A change is built with
 * the control_put functions into one buffer, and takes effect whole: on disk first, then in memory.
 */
struct control;
struct control_database {
	struct identity identity;
	bool exists, locked;
	uint64_t id;      /* creation order */
	uint64_t replica; /* names its folder */
	struct identity owner;
	uint8_t program[32]; /* of the first publish or the last reset */
	uint8_t kind;
	i128 energy;   /* credited; nothing asks for it */
	uint64_t used; /* of energy, ever: by a database, or by the calls of a user */
	struct str *names; /* in the order of registration; owned */
	uint32_t name_count;
	struct control_database *next; /* in the order in which they were first heard of */
};
struct control_name {
	struct str name; /* owned */
	bool bound, owned;
	struct identity database, owner;
};
enum {
	CONTROL_NAMES_PER_DATABASE_MAX = 4096,
	CONTROL_RECORD_BYTES_MAX = 16 << 20,
	CONTROL_COMPACT_BYTES_MIN = 1 << 20, /* a smaller file is left alone */
};
enum wl_err control_open(struct storage *storage, const char *path, struct control **out, struct error *error);
/* As it is at this moment; nothing is written, and a host may be running on it. Only for looking. */
enum wl_err control_read(struct storage *storage, const char *path, struct control **out, struct error *error);
void control_close(struct control *control);
struct control_database *control_first(const struct control *control);
struct control_database *control_database(const struct control *control, const struct identity *id); /* or NULL */
struct control_name *control_name(const struct control *control, struct str name);                   /* or NULL */
uint64_t control_next_id(struct control *control); /* fresh; becomes durable with what uses it */
void control_skip_id(struct control *control, uint64_t id); /* it is in use, whatever the records say */

void control_put_database(struct buf *change, const struct control_database *database);
void control_put_drop(struct buf *change, const struct identity *id);
void control_put_names(struct buf *change, const struct identity *id, const struct str *names, uint32_t count);
void control_put_domain(struct buf *change, struct str name, const struct identity *owner);
void control_put_lock(struct buf *change, const struct identity *id, bool locked);
void control_put_energy(struct buf *change, const struct identity *id, i128 credit);
void control_put_used(struct buf *change, const struct identity *id, uint64_t used);
/* Durable when it returns WL_OK. After a failed sync, and when memory ran out half way, all later changes fail. */
enum wl_err control_commit(struct control *control, const struct buf *change, struct error *error);

/* ---- names.c: the rules of host_name_add and host_names_replace; under the host's monitor ---- */
enum host_name_result names_add(struct control *control, struct str text, const struct identity *id,
	const struct identity *caller, struct error *error);
enum host_name_result names_replace(struct control *control, const struct identity *id, const struct str *names,
	uint32_t count, const struct identity *caller, struct buf *which, struct error *error);

/* ---- files.c: folders of databases and programs ---- */
enum { HOST_PATH_BYTES_MAX = 4096 };
/* DIR/replicas/ID. */
void files_replica_path(const char *dir, uint64_t replica, char out[HOST_PATH_BYTES_MAX]);
/* Makes the folder, marked as unfinished until files_replica_done: a start removes marked ones. */
enum wl_err files_replica_create(const char *dir, uint64_t replica, struct error *error);
/* Marks the folder as unwanted, before control data forgets it; files_replica_remove follows, or files_replica_done
 * when it is kept after all. */
enum wl_err files_replica_leave(const char *dir, uint64_t replica, struct error *error);
void files_replica_done(const char *dir, uint64_t replica);
void files_replica_remove(const char *dir, uint64_t replica);
/* Removes marked folders that `alive` does not know. */
void files_replicas_sweep(const char *dir, bool (*alive)(void *context, uint64_t replica),
	void (*stray)(void *context, uint64_t replica), void *context); /* stray: nobody's, and without a marker */
/* Programs by hash, synced before the function returns. */
enum wl_err files_program_put(const char *dir, const uint8_t hash[32], struct bytes program, struct error *error);
enum wl_err files_program_get(const char *dir, const uint8_t hash[32], struct buf *out, struct error *error);

/* ---- host.c ---- */
struct entry { /* made at the first use of an identity, stays */
	struct identity identity;
	struct database *db; /* a share, or NULL */
	bool opening, changing;
	enum wl_err err;     /* of the last attempt to open */
	char *error;         /* its text, owned */
};
struct host {
	struct host_options options;
	const char *dir; /* of data */
	struct monitor monitor;
	struct control *control;  /* under the monitor, and so is what follows */
	struct map entries;       /* identity -> struct entry */
	uint32_t strays;          /* folders of databases that control data does not know */
	bool closing;
	struct runtime *runtime;
	struct commitlog_writers *writers;
	struct database_timers *timers;
	struct worker_pool *readers;
	struct module_logs *logs;
	uint32_t rests;           /* calls of host_rest */
	struct ledger *ledger;    /* NULL: identities have no budget */
};

/* ---- energy.c ---- */
/* What identities have used, where each has a budget. [any] */
struct ledger;
struct ledger *ledger_create(struct control *control, uint64_t budget); /* NULL: no memory */
void ledger_destroy(struct ledger *ledger);
/* As database_energy wants them; `context` is the ledger. */
uint64_t ledger_left(void *context, const struct identity *id);
void ledger_charge(void *context, const struct identity *id, uint64_t amount);
/* What was used since the last time becomes part of control data: of all open databases (NULL), or of one. Under the
 * monitor. */
void energy_save(struct host *host, struct database *db);
/* What a database may still use. Under the monitor. */
struct database_energy energy_of(struct host *host, const struct identity *id);
#endif
