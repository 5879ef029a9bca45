/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENVIRONMENT_H
#define ENVIRONMENT_H
/*
 * environment: changes of a database's environment as requests say them:
 * header lines (KEY=VALUE,… and keys to remove), or a JSON object. Pure; any
 * thread. Nothing here is ever written to a log: it holds secrets.
 */
#include "base/arena.h"
#include "database/database.h"

struct environment {
	struct arena *arena;
	struct database_variable *set;
	struct str *removed;
	uint32_t set_count, removed_count;
	bool remove_all;
};
enum { ENVIRONMENT_ENTRIES_MAX = MODULE_ENVIRONMENT_MAX };

/* One line of `spacetime-environment`, of `spacetime-environment-remove`. False: it is invalid, or says too much, or
 * there is no memory. Names and values are the arena's or the line's. */
bool environment_read_line(struct environment *environment, struct str line);
bool environment_read_remove_line(struct environment *environment, struct str line);
/* An object whose members are strings; of members with the same key the last counts. */
bool environment_read_json(struct environment *environment, struct str text);
struct database_environment environment_change(const struct environment *environment);
#endif
