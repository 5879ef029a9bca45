/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_H
#define SIM_H
/*
 * The simulator: one database with its disk, log, timers and clients in one
 * process and one thread, under a clock, a disk and a choice of events that
 * come from one seed. So a seed is a life that can be lived again.
 *
 * What must hold is said in check.c (safety) and life.c (liveness). The module
 * writes down what committed (module/module.c); `model` follows that. What
 * is the simulator's own never passes mem_*, so that failing allocations hit
 * the database alone.
 */
#include "unit/database_fixture.h"

#include "base/clock.h"
#include "database/timers.h"

enum {
	OPS_MAX = 8192, HISTORY_MAX = 16384, ITEMS_MAX = 4096, TIMERS_MAX = 512, NOTED_MAX = 512, UPDATES_MAX = 64,
	CREWS = 5, SETS_MAX = 4, VIOLATION_MAX = 600, VERSIONS = 2, LIVE_LINES = 5,
	ITEM_BYTES_MAX = 4096,
};
enum { EV_ARRIVED = 1 << 30, EV_GONE, EV_CREATED, EV_TICKED }; /* as the module has it */

enum op_kind {
	OP_ADD, OP_SET, OP_DROP, OP_DROP_TEAM, OP_DROP_RANGE, OP_CLEAR, OP_MANY, OP_FIND, OP_FAILS, OP_TRAPS, OP_SHOUT,
	OP_TURN, OP_ARM, OP_DISARM, OP_KINDS
};
struct op { /* one call of a reducer; its number is its place */
	enum op_kind kind;
	uint64_t conn;       /* who called */
	uint64_t id;
	uint32_t name, team; /* names are numbers: name_text */
	uint16_t slot;
	uint8_t color;
	bool flag;
	int64_t low, high;
	bool answered, told_ok, told_not, confirmed;
};
struct event { uint64_t seq, op, value; }; /* a row of `applied` */
struct item { uint64_t id; uint32_t name, team; uint16_t slot; uint8_t color; int64_t score; };
struct armed { uint64_t id, op; bool is_time, may_be_gone; int64_t micros; };
struct model {
	struct item items[ITEMS_MAX];
	uint32_t item_count;
	struct armed timers[TIMERS_MAX];
	uint32_t timer_count;
	bool crew_there[CREWS], crew_open[CREWS];
	uint64_t item_id_last, timer_id_last; /* the largest numbers that a commit has given */
};
struct noted { bool tried, told; }; /* rows that only SQL writes; by their number */

/* What a client holds: the rows of each of its sets, by their hashes. */
struct set {
	uint32_t id; /* 0: none */
	uint32_t query;
	bool applied;
	uint64_t *rows;
	uint32_t count, cap;
};
struct cache {
	uint64_t conn, follows; /* class */
	struct set sets[SETS_MAX];
};

struct counts {
	uint64_t steps, commits, confirmed, lost, crashes, failed_opens, faults, ticks, caches, calms, updates;
};
struct life {
	struct world world;
	struct storage_faulty *disk;
	struct database_timers *timers;
	uint64_t seed, rng;
	int64_t now;             /* the clock, micros */
	uint64_t chance;         /* of random_bytes */
	bool reliable;           /* no fault is armed: what fails is a violation */
	bool may_lose;           /* what was confirmed, too: the disk lost it */
	bool off_by_one;         /* the simulator must notice this */
	struct op ops[OPS_MAX];
	uint32_t op_count;
	uint32_t requests[OPS_MAX * 2]; /* request -> op + 1 */
	struct event history[HISTORY_MAX];
	uint32_t history_count;
	struct model model;
	struct noted noted[NOTED_MAX];
	uint32_t noted_count;
	struct { uint32_t at, version; } updates[UPDATES_MAX]; /* version from this place in history on */
	uint32_t update_count;
	struct cache caches[CLIENTS_MAX];
	uint64_t connections;
	struct counts counts;
	uint64_t trace;          /* hash of all that happened */
	bool prints;
	char violation[VIOLATION_MAX];
};

/* ---- life.c ---- */
struct programs { struct engine engine; struct buf codes[VERSIONS]; uint8_t hashes[VERSIONS][32];
	struct runtime_program *pinned[VERSIONS]; };
void programs_init(struct programs *programs);
void programs_deinit(struct programs *programs);
enum life_lie { LIFE_HONEST, LIFE_SYNC_IS_LIE, LIFE_OFF_BY_ONE }; /* the last two must be noticed */
void life_run(struct life *life, struct programs *programs, uint64_t seed, enum life_lie lie, bool prints);
/* Its parts, for lives that are led otherwise. */
void life_begin(struct life *life, struct programs *programs, uint64_t seed, uint64_t disk_seed);
bool life_create(struct life *life);
void life_act(struct life *life, struct programs *programs);
void life_calm(struct life *life);
void life_crash(struct life *life);
bool life_open(struct life *life);
void life_disarm(struct life *life);
bool life_is_broken(const struct life *life);
void life_end(struct life *life);

/* ---- sweep.c, flips.c ---- */
extern uint32_t sim_passed, sim_failed;
void sim_check(bool good, const char *format, ...) PRINTF_LIKE(2, 3);
void sweep_run(struct programs *programs, struct life *life, uint64_t share);
void flips_run(struct programs *programs, struct life *life, uint32_t flips);

uint64_t roll(struct life *life, uint64_t below);
PRINTF_LIKE(2, 3) void violate(struct life *life, const char *format, ...);
/* Into the trace; printed if asked for. */
PRINTF_LIKE(2, 3) void note(struct life *life, const char *format, ...);

/* ---- steps.c: things that happen ---- */
void step_call(struct life *life, struct line *line);
void step_subscribe(struct life *life, struct line *line);
void step_sql(struct life *life);
void step_update(struct life *life, struct programs *programs);
void step_connect(struct life *life);
void step_disconnect(struct life *life, struct line *line);
void step_run(struct life *life, uint32_t budget);
void step_clock(struct life *life, int64_t micros);
bool step_disk(struct life *life);
void step_settle(struct life *life);

/* ---- model.c ---- */
void name_text(uint32_t name, char out[2048]);
size_t item_encode(const struct item *item, uint8_t bytes[ITEM_BYTES_MAX]); /* as a row; its length */
void model_follow(struct life *life, const struct event *event);
void model_rebuild(struct life *life);

/* ---- check.c ---- */
void check_step(struct life *life);    /* after each step */
void check_opened(struct life *life);  /* after each opening */
void check_quiet(struct life *life);   /* when faults have stopped and everything had its time */

/* ---- cache.c: clients ---- */
void cache_entry(struct world *w, const struct delivery_entry *entry);
void cache_forget(struct life *life, uint64_t conn);
struct cache *cache_of(struct life *life, uint64_t conn, bool make);
const char *cache_query(uint32_t query);
void cache_check(struct life *life, const struct line *line);
enum { QUERIES = 10 };
#endif
