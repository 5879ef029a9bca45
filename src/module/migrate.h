/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIGRATE_H
#define MIGRATE_H
/*
 * migrate: what it takes to go from one module definition to another: steps,
 * in the order in which they are done, or the reasons why it cannot be.
 *
 * Pure: no tables, no threads. Everything lives in the arena, and borrows from
 * both definitions. Source: datastore-and-durability.md section 16.
 */
#include "module/module.h"

/* In the order in which they are done. */
enum migrate_kind {
	MIGRATE_REMOVE_INDEX, MIGRATE_REMOVE_CONSTRAINT, MIGRATE_REMOVE_SEQUENCE, MIGRATE_REMOVE_SCHEDULE,
	MIGRATE_REMOVE_VIEW, MIGRATE_REMOVE_RULE, MIGRATE_REMOVE_TABLE, MIGRATE_CHANGE_COLUMNS, MIGRATE_RESCHEMA_EVENT,
	MIGRATE_ADD_COLUMNS, MIGRATE_CHANGE_INDEX_SOURCE, MIGRATE_CHANGE_TABLE_ACCESSOR, MIGRATE_CHANGE_COLUMN_ACCESSOR,
	MIGRATE_ADD_TABLE, MIGRATE_ADD_INDEX, MIGRATE_ADD_CONSTRAINT, MIGRATE_ADD_SEQUENCE, MIGRATE_ADD_SCHEDULE,
	MIGRATE_ADD_VIEW, MIGRATE_ADD_RULE, MIGRATE_CHANGE_ACCESS, MIGRATE_CHANGE_PRIMARY_KEY, MIGRATE_UPDATE_VIEW,
	MIGRATE_DISCONNECT,
};
struct migrate_step {
	enum migrate_kind kind;
	struct str name;                      /* of what it is about; ties are in its order. A rule: its SQL */
	const struct module_table *old, *new; /* of steps about a table or a part of one: those there are */
	const struct module_index *index;
	const struct module_constraint *constraint;
	const struct module_sequence *sequence;
	const struct module_schedule *schedule;
	const struct module_view *view;
	uint32_t column;                      /* CHANGE_COLUMN_ACCESSOR: its position */
};
struct migration {
	const struct migrate_step *steps;
	uint32_t count;
	bool breaks_clients; /* they are to be disconnected: the last step */
};
/* Which tables have no rows: those may become anything, by being removed and added anew. fn NULL: none is looked at. */
struct migrate_empty {
	bool (*is_empty)(void *context, struct str table);
	void *context;
};
/*
 * WL_ERR_UNSUPPORTED: it takes more than that; `errors` has every reason, each followed by an empty line, as in
 * "Errors occurred:\n{errors}". WL_ERR_MEMORY.
 */
enum wl_err migration_plan(struct arena *arena, const struct module_info *old, const struct module_info *new,
	const struct migrate_empty *empty, struct migration *out, struct buf *errors);
/* The plan for people. `colored`: with ANSI escapes. */
void migration_print(const struct migration *migration, bool colored, struct buf *out);
#endif
