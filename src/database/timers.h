/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TIMERS_H
#define TIMERS_H
/*
 * timers: wakes databases when something of theirs is due. One thread for all
 * databases of a host; what is due runs on a few threads that may run guests,
 * or on whoever holds the database's token.
 *
 * Threading: [any]. A database is known here from timers_add to timers_remove,
 * and must not end before. Setting needs no memory: adding makes room.
 */
#include "base/heap.h"
#include "database/database.h"

struct timer { /* one in each database; the room's own */
	struct heap_entry entry; /* by when it is due */
	bool known;
};
bool timers_add(struct database_timers *timers, struct database *db) CHECKED; /* false: no memory */
/* The database's due mail is posted at this time of the wall clock (micros) or a little later; INT64_MAX: not at all.
 * Replaces what was set before. */
void timers_set(struct database_timers *timers, struct database *db, int64_t due);
void timers_remove(struct database_timers *timers, struct database *db); /* for good; nothing if it is not known */
/* Somebody who may not run guests has left mail: has it run soon. */
void timers_kick(struct database_timers *timers, struct database *db);
#endif
