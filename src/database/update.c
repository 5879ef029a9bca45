/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An update: another program in place of the one that runs, and the tables made
 * into what it declares, as one transaction between two messages.
 *
 * Invariants
 *  1. Everything that can fail is done before the commit: the plan, the tables,
 *     the views, the live queries compiled again. What comes after it only
 *     puts in place what is ready.
 *  2. A failure leaves tables, module, views and clients as they were.
 *  3. Clients that the new schema does not suit are disconnected with the new
 *     module's `client_disconnected`; the others notice nothing.
 */
#include "base/clock.h"
#include "database/database_internal.h"
#include "module/migrate.h"
#include "native.h"

#include <time.h>

enum { UPDATE_WAIT_MS = 60000, READS_WAIT_MS = 30000, READS_PAUSE_MS = 10 };

struct update {
	struct runtime_program *program;
	struct module_def *def;
	uint8_t hash[32];
	enum runtime_kind kind;
	const struct database_policy *policy;
	struct database_environment *environment;
	struct migration plan;
	bool is_trial;
	bool must_wait; /* replies are being made that read the tables as they are */
	enum wl_err err;
	uint64_t offset;
	struct buf *error;
};

/* ---- what it may do ---- */

/* Keccak-256 of the texts: database, running program, next program. */
static void token_of(const struct database *db, const uint8_t running[32], const uint8_t next[32], uint8_t out[32])
{
	char text[3 * 64 + 1];
	identity_to_hex(&db->options.identity, text);
	hex_encode(running, 32, text + 64);
	hex_encode(next, 32, text + 128);
	native_keccak256(text, 3 * 64, out);
}

static enum wl_err check_policy(const struct database *db, const struct update *u)
{
	uint8_t token[32];
	if (u->policy == NULL || u->policy->trial != NULL)
		return WL_OK;
	if (!u->policy->may_break) {
		if (!u->plan.breaks_clients)
			return WL_OK;
		buf_put_cstr(u->error,
			"Migration plan contains a client-breaking change which is disallowed under current policy");
		return WL_ERR_DENIED;
	}
	token_of(db, db->module.hash, u->hash, token);
	if (u->policy->token == NULL || memcmp(token, u->policy->token, sizeof(token)) == 0)
		return WL_OK;
	buf_put_cstr(u->error, "Token provided is invalid or does not match expected hash");
	return WL_ERR_DENIED;
}

/* ---- the transaction ---- */

/* What the running module is to those who make views. */
static void lend_module(struct database *db, struct module_def *def, struct runtime_instance *instance)
{
	pthread_mutex_lock(&db->lock);
	db->module.def = def;
	db->module.info = module_def_info(def);
	pthread_mutex_unlock(&db->lock);
	db->module.instance = instance;
}

/* Views as the new module makes them; a view that fails fails the update. `instance` is NULL then, if it trapped. */
static enum wl_err update_views(struct database *db, const struct update *u, struct runtime_instance **instance)
{
	struct running_module old = db->module;
	lend_module(db, u->def, *instance);
	enum wl_err err = db_views_renew(db, u->error);
	*instance = db->module.instance;
	lend_module(db, old.def, old.instance);
	return err;
}

/* Rows that a table has which the plan removes; 0 too when it was not there. */
static uint64_t removed_rows(const struct database *db, const struct migrate_step *step)
{
	const struct store_table *table = step->kind == MIGRATE_REMOVE_TABLE
		? store_table_before(db->store, step->old->name) : NULL;
	return table == NULL ? 0 : store_table_row_count(table);
}

/* Rows go only with the function's knowledge: it looked at their table. */
static enum wl_err check_seen(struct database *db, const struct update *u)
{
	for (uint32_t i = 0; i < u->plan.count; i++) {
		const struct migrate_step *step = &u->plan.steps[i];
		uint64_t rows = removed_rows(db, step);
		if (rows == 0 || store_table_seen(store_table_before(db->store, step->old->name)))
			continue;
		buf_printf(u->error, "the table `%.*s` would lose %llu rows, and the migration function never looked at "
			"old.%.*s", STR_FMT(step->old->name), (unsigned long long)rows, STR_FMT(step->old->name));
		return WL_ERR_EXISTS;
	}
	return WL_OK;
}

/* What the module itself makes of the rows: it sees the tables as they are, and as they were. */
static enum wl_err run_migration(struct database *db, const struct update *u, struct runtime_instance *instance)
{
	if (!module_def_info(u->def)->migrates)
		return WL_OK;
	struct runtime_call call = { .name = STR("__migrate__"), .timestamp = db_now(db) };
	struct runtime_result result;
	db_log_host(db, 2, "Running the migration function");
	enum runtime_outcome outcome = runtime_call_migration(instance, &call, &result);
	if (outcome == RUNTIME_OK)
		return check_seen(db, u);
	buf_printf(u->error, "the migration function failed: %.*s", STR_FMT(result.text));
	db_log_host(db, 0, "The migration function failed: %.*s", STR_FMT(result.text));
	return WL_ERR_EXISTS;
}

static void put_change(struct buf *json, struct str table, uint64_t inserted, uint64_t deleted)
{
	buf_put_cstr(json, json->len > 0 ? ",{\"table\":" : "{\"table\":");
	buf_put_json_str(json, table);
	buf_printf(json, ",\"inserted\":%llu,\"deleted\":%llu}", (unsigned long long)inserted,
		(unsigned long long)deleted);
}

static const struct store_delta_table *delta_of(const struct store_delta *delta, struct str name)
{
	for (uint32_t i = 0; i < delta->table_count; i++)
		if (str_eq(store_table_def(delta->tables[i].table)->name, name))
			return &delta->tables[i];
	return NULL;
}

static bool removes(const struct update *u, struct str name)
{
	for (uint32_t i = 0; i < u->plan.count; i++)
		if (u->plan.steps[i].kind == MIGRATE_REMOVE_TABLE && str_eq(u->plan.steps[i].old->name, name))
			return true;
	return false;
}

/* Of a trial: how many rows each table would gain and lose. */
static enum wl_err report(struct database *db, const struct update *u)
{
	struct store_delta delta;
	struct buf *json = u->policy->trial;
	if (store_tx_prepare(db->store, &delta) != STORE_OK) {
		buf_put_str(u->error, store_error_text(db->store));
		return WL_ERR_MEMORY;
	}
	for (uint32_t i = 0; i < u->plan.count; i++) {
		uint64_t rows = removed_rows(db, &u->plan.steps[i]);
		if (rows == 0)
			continue;
		const struct store_delta_table *t = delta_of(&delta, u->plan.steps[i].old->name);
		put_change(json, u->plan.steps[i].old->name, t == NULL ? 0 : t->inserts.count, rows);
	}
	for (uint32_t i = 0; i < delta.table_count; i++) {
		const struct store_delta_table *t = &delta.tables[i];
		const struct store_table_def *def = store_table_def(t->table);
		if (!def->is_system && !def->is_ephemeral && !removes(u, def->name))
			put_change(json, def->name, t->inserts.count, t->deletes.count);
	}
	return WL_OK;
}

/* The open transaction's, up to the commit. */
static enum wl_err make_changes(struct database *db, struct update *u, const struct db_renames *renames, bool is_names,
	struct runtime_instance **instance)
{
	bool changed;
	uint32_t schema_changes;
	const struct module_info *info = module_def_info(u->def);
	enum wl_err err = is_names ? WL_OK : db_migrate(db, &u->plan, db->module.info, info, u->error);
	if (err == WL_OK)
		err = db_module_row_put(db, u->hash, u->kind, u->error);
	if (err == WL_OK)
		err = db_renames_put_rows(db, renames, u->error);
	if (err == WL_OK && u->environment != NULL)
		err = db_environment_apply(db, info, u->environment, &changed, u->error);
	if (err == WL_OK)
		err = run_migration(db, u, *instance);
	if (err == WL_OK)
		err = update_views(db, u, instance);
	(void)store_tx_schema(db->store, &schema_changes);
	db->retabling = err == WL_OK && schema_changes > 0;
	db->breaking = u->plan.breaks_clients;
	if (db->retabling)
		err = subs_retable_begin(db->subs, u->error);
	return err;
}

static enum wl_err transact(struct database *db, struct update *u, struct runtime_instance **instance)
{
	struct db_renames renames = { 0 };
	bool is_names = db_migration_is_names(db, &u->plan);
	enum wl_err err = is_names ? db_renames_begin(db, module_def_info(u->def), &renames, u->error) : WL_OK;
	if (err != WL_OK)
		return err;
	store_tx_begin(db->store);
	err = make_changes(db, u, &renames, is_names, instance);
	u->is_trial = err == WL_OK && u->policy != NULL && u->policy->trial != NULL;
	if (u->is_trial) {
		db_log_host(db, 2, "Dry run: undone");
		err = report(db, u);
	}
	db->updating = true;
	if (err != WL_OK || u->is_trial)
		db_rollback(db);
	else
		err = db_commit(db, db_now(db), REDUCER_NAME_UNKNOWN, NULL, true, NULL, u->error);
	db->updating = false;
	bool is_done = err == WL_OK && !u->is_trial;
	if (!is_done) {
		if (db->retabling)
			subs_retable_end(db->subs, false, false);
		db_views_retable(db); /* the tables are the old ones again */
	}
	db->retabling = false;
	db_renames_end(&renames, is_done);
	return err;
}

/* ---- on the executor ---- */

static void committed(struct database *db, struct update *u, struct runtime_instance *instance)
{
	db_module_install(db, u->program, u->def, u->hash, u->kind);
	db->module.instance = instance;
	u->program = NULL;
	u->def = NULL;
	u->offset = db->offset;
	db_schedule_open(db);
	if (u->plan.breaks_clients)
		db_clients_close(db, 1001, STR("module exited"));
	char hex[65];
	hex_encode(u->hash, 32, hex);
	db_log_host(db, 2, "Updated program to %s", hex);
	db_log_host(db, 2, "Database updated");
}

static bool is_empty(void *context, struct str name)
{
	const struct database *db = context;
	const struct store_table *table = store_table_by_name(db->store, name);
	return table != NULL && store_table_row_count(table) == 0;
}

/* What the planner cannot do is left to the module's function: the table goes, and comes again without rows. */
static bool is_migrated(void *context, struct str name)
{
	(void)context, (void)name;
	return true;
}

static void update_on_executor(struct database *db, void *arg)
{
	struct update *u = arg;
	struct runtime_instance *instance = NULL;
	struct arena arena;
	u->must_wait = subs_reading(db->subs);
	if (u->must_wait)
		return;
	arena_init(&arena, 256 << 20);
	struct migrate_empty empty = { module_def_info(u->def)->migrates ? is_migrated : is_empty, db };
	u->err = migration_plan(&arena, db->module.info, module_def_info(u->def),
		module_def_info(u->def)->migrates || (u->policy != NULL && u->policy->makes_anew) ? &empty : NULL, &u->plan,
		u->error);
	if (u->err == WL_OK)
		u->err = check_policy(db, u);
	if (u->err == WL_OK)
		u->err = runtime_instance_create(u->program, &db->env, NULL, &instance, u->error);
	if (u->err == WL_OK) {
		u->err = transact(db, u, &instance);
		if (u->err == WL_ERR_INVALID)
			u->err = WL_ERR_EXISTS; /* not the program, but what is there */
	}
	if (u->err == WL_OK && !u->is_trial)
		committed(db, u, instance);
	else
		runtime_instance_destroy(instance);
	arena_deinit(&arena);
}

/* Replies that read the tables as they are come first. */
static enum wl_err run(struct database *db, struct update *u)
{
	for (uint32_t waited = 0;; waited += READS_PAUSE_MS) {
		enum wl_err err = database_run(db, update_on_executor, u);
		if (err != WL_OK)
			return err;
		if (!u->must_wait)
			return u->err;
		if (waited >= READS_WAIT_MS) {
			buf_put_cstr(u->error, "clients are reading large results from the tables; try again");
			return WL_ERR_UNAVAILABLE;
		}
		nanosleep(&(struct timespec){ .tv_nsec = READS_PAUSE_MS * 1000000L }, NULL);
	}
}

enum wl_err database_update(struct database *db, enum runtime_kind kind, struct bytes code,
	const struct database_policy *policy, struct database_environment *environment, struct buf *error)
{
	struct update u = { .kind = kind, .policy = policy, .environment = environment, .error = error,
		.offset = COMMITLOG_NONE };
	native_keccak256(code.data, code.len, u.hash);
	pthread_mutex_lock(&db->lock);
	bool same = memcmp(db->module.hash, u.hash, 32) == 0 && db->module.kind == kind;
	pthread_mutex_unlock(&db->lock);
	if (same && policy != NULL && policy->trial != NULL)
		return WL_OK;
	if (same)
		return environment == NULL ? WL_OK : database_environment_update(db, environment, NULL, error);
	enum wl_err err = database_describe(db->options.runtime, kind, code, u.hash, &u.program, &u.def, error);
	if (err != WL_OK)
		return err;
	err = run(db, &u);
	if (u.program != NULL)
		runtime_program_release(u.program);
	module_def_release(u.def);
	if (err == WL_OK && !u.is_trial && !database_wait_durable(db, u.offset, UPDATE_WAIT_MS)) {
		buf_put_cstr(error, "the update could not be made durable in time");
		return WL_ERR_IO;
	}
	return err;
}

struct planning {
	const struct module_def *def;
	const uint8_t *hash;
	bool colored, makes_anew;
	struct database_plan *out;
	struct buf *text;
	enum wl_err err;
};

static void plan_on_executor(struct database *db, void *arg)
{
	struct planning *p = arg;
	struct migration plan;
	struct arena arena;
	bool migrates = module_def_info(p->def)->migrates;
	struct migrate_empty empty = { migrates ? is_migrated : is_empty, db };
	arena_init(&arena, 256 << 20);
	p->err = migration_plan(&arena, db->module.info, module_def_info(p->def),
		migrates || p->makes_anew ? &empty : NULL, &plan, p->text);
	p->out->possible = p->err == WL_OK;
	p->out->breaks_clients = p->err == WL_OK && plan.breaks_clients;
	if (p->err == WL_OK)
		migration_print(&plan, p->colored, p->text);
	if (p->err == WL_OK && migrates)
		buf_put_cstr(p->text, "The module's migration function runs in the same transaction; it sees tables that are "
			"removed or changed, with their rows, as old.NAME\n");
	p->out->major_upgrade = db->module.info->version < 10 && module_def_info(p->def)->version >= 10;
	token_of(db, db->module.hash, p->hash, p->out->token);
	arena_deinit(&arena);
}

bool database_plan(struct database *db, const struct module_def *def, const uint8_t hash[32], bool colored,
	bool makes_anew, struct database_plan *out, struct buf *text)
{
	struct planning planning = { .def = def, .hash = hash, .colored = colored, .makes_anew = makes_anew, .out = out,
		.text = text };
	enum wl_err err = database_run(db, plan_on_executor, &planning);
	return err == WL_OK && planning.err != WL_ERR_MEMORY && !text->failed;
}
