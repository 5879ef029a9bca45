/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The databases of this process: which exist (control data), which are open, and the changes to either.
 *
 * Invariants
 * 1. `opening` of an entry is set by the one thread that opens its database; others wait for it and share the outcome.
 * 2. `changing` is held through a publish, reset or delete: these follow one another for each database, while calls
 *    to a running database go on.
 * 3. Order of a creation: program on disk, folder marked unfinished, database durable, control data, marker gone. A
 *    crash leaves either the database or a marked folder. Order of a removal: marker, control data, clients closed,
 *    folder gone, marker gone.
 * 4. The monitor is never held across compiling, opening, closing or waiting for a database.
 */
#include "base/log.h"
#include "base/mem.h"
#include "database/module_log.h"
#include "host/host_internal.h"
#include "native.h"

#include <stdio.h>
#include <stdlib.h>

/* Of long reads: as many as a small machine bears; and stacks for conditions as deep as they may be. */
enum { READERS_MAX = 4, READER_STACK_BYTES = 1 << 20 };

static enum wl_err refuse(struct buf *out, enum wl_err err, const char *text)
{
	buf_put_cstr(out, text);
	return err;
}

/* NULL: no memory. Under the monitor. */
static struct entry *entry_get(struct host *host, const struct identity *id)
{
	uint64_t value;
	if (map_get(&host->entries, id->le, 32, &value))
		return (struct entry *)(uintptr_t)value;
	struct entry *entry = mem_zalloc(sizeof(*entry));
	if (entry == NULL)
		return NULL;
	entry->identity = *id;
	if (!map_put(&host->entries, entry->identity.le, 32, (uintptr_t)entry)) {
		mem_free(entry);
		return NULL;
	}
	return entry;
}

/* ---- open and close ---- */

static bool replica_alive(void *context, uint64_t replica)
{
	struct host *host = context;
	for (struct control_database *database = control_first(host->control); database != NULL; database = database->next)
		if (database->exists && database->replica == replica)
			return true;
	return false;
}

/* Every step of making and removing one leaves a marker, so this is a loss. Its folder is never used for another. */
static void replica_stray(void *context, uint64_t replica)
{
	struct host *host = context;
	log_error("%s/replicas/%llu belongs to no database: control.log has lost a record, or somebody put it there",
		host->dir, (unsigned long long)replica);
	control_skip_id(host->control, replica);
	host->strays++;
}

static bool has_databases(struct host *host)
{
	for (struct control_database *database = control_first(host->control); database != NULL; database = database->next)
		if (database->exists)
			return true;
	return false;
}

static enum wl_err open_parts(struct host *host, struct error *error)
{
	char path[HOST_PATH_BYTES_MAX];
	struct runtime_options runtime = { .guest_memory_max = host->options.guest_memory_max,
		.call_ms_max = host->options.reducer_ms_max, .compiler = host->options.compiler };
	snprintf(path, sizeof(path), "%s/control.log", host->dir);
	enum wl_err err = control_open(commitlog_storage_local(), path, &host->control, error);
	if (err != WL_OK)
		return err;
	files_replicas_sweep(host->dir, replica_alive, replica_stray, host);
	if (host->strays > 0 && !has_databases(host))
		return fail(error, WL_ERR_CORRUPT, "%s names no database, but there are folders of %u in %s/replicas: bring "
			"back the file, or take away the folders", path, host->strays, host->dir);
	snprintf(path, sizeof(path), "%s/cache", host->dir);
	if (!commitlog_storage_local()->ops->make_dirs(commitlog_storage_local(), path))
		return fail_errno(error, WL_ERR_IO, "cannot create %s", path);
	runtime.cache_dir = path;
	auth_derive_key(host->options.auth, "code cache", runtime.cache_key);
	host->runtime = runtime_create(&runtime, error);
	if (host->runtime == NULL)
		return error->code != WL_OK ? error->code : WL_ERR_MEMORY;
	host->writers = commitlog_writers_create(thread_cpu_count() > 4 ? 4 : 2);
	host->logs = module_logs_create();
	host->timers = database_timers_create();
	host->readers = worker_pool_create("reader", READERS_MAX, READER_STACK_BYTES);
	bool ok = host->writers != NULL && host->logs != NULL && host->timers != NULL && host->readers != NULL;
	if (host->options.energy_identity != 0) {
		host->ledger = ledger_create(host->control, host->options.energy_identity);
		ok = ok && host->ledger != NULL;
	}
	return ok ? WL_OK : fail(error, WL_ERR_MEMORY, "out of memory");
}

enum wl_err host_open(const struct host_options *options, struct host **out, struct error *error)
{
	struct host *host = mem_zalloc(sizeof(*host));
	if (host == NULL)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	host->options = *options;
	host->dir = datadir_path(options->dir);
	monitor_init(&host->monitor);
	enum wl_err err = strlen(host->dir) > HOST_PATH_BYTES_MAX - 256
		? fail(error, WL_ERR_INVALID, "the path of the data folder is too long") : open_parts(host, error);
	if (err != WL_OK) {
		host_close(host);
		return err;
	}
	*out = host;
	return WL_OK;
}

void host_interrupt(struct host *host)
{
	if (host != NULL)
		runtime_interrupt(host->runtime);
}

void host_stop(struct host *host)
{
	if (host == NULL)
		return;
	uint32_t cursor = 0;
	const struct map_entry *slot;
	monitor_lock(&host->monitor);
	host->closing = true;
	while ((slot = map_next(&host->entries, &cursor)) != NULL) {
		const struct entry *entry = (const struct entry *)(uintptr_t)slot->value;
		while (entry->opening || entry->changing)
			monitor_wait(&host->monitor);
	}
	monitor_unlock(&host->monitor);
	cursor = 0;
	while ((slot = map_next(&host->entries, &cursor)) != NULL) {
		struct entry *entry = (struct entry *)(uintptr_t)slot->value;
		if (entry->db != NULL)
			database_close(entry->db, STR("host is shutting down"));
	}
	monitor_lock(&host->monitor);
	if (host->control != NULL)
		energy_save(host, NULL);
	cursor = 0;
	while ((slot = map_next(&host->entries, &cursor)) != NULL) {
		struct entry *entry = (struct entry *)(uintptr_t)slot->value;
		struct database *db = entry->db;
		entry->db = NULL;
		monitor_unlock(&host->monitor);
		database_release(db);
		monitor_lock(&host->monitor);
	}
	monitor_unlock(&host->monitor);
}

void host_close(struct host *host)
{
	if (host == NULL)
		return;
	host_stop(host);
	uint32_t cursor = 0;
	const struct map_entry *slot;
	while ((slot = map_next(&host->entries, &cursor)) != NULL) {
		struct entry *entry = (struct entry *)(uintptr_t)slot->value;
		mem_free(entry->error);
		mem_free(entry);
	}
	map_deinit(&host->entries);
	if (host->readers != NULL)
		worker_pool_destroy(host->readers);
	database_timers_destroy(host->timers); /* behind the readers, whose last mail they run */
	if (host->logs != NULL)
		module_logs_destroy(host->logs);
	if (host->writers != NULL)
		commitlog_writers_destroy(host->writers);
	if (host->runtime != NULL)
		runtime_destroy(host->runtime);
	ledger_destroy(host->ledger);
	control_close(host->control);
	monitor_deinit(&host->monitor);
	mem_free(host);
}

struct str host_data_dir(const struct host *host)
{
	return str_of(host->dir);
}

/* ---- look-ups ---- */

bool host_resolve(struct host *host, struct str name, struct identity *out)
{
	monitor_lock(&host->monitor);
	const struct control_name *found = control_name(host->control, name);
	bool bound = found != NULL && found->bound;
	if (bound)
		*out = found->database;
	monitor_unlock(&host->monitor);
	return bound;
}

bool host_record(struct host *host, const struct identity *id, struct host_record *out)
{
	monitor_lock(&host->monitor);
	const struct control_database *found = control_database(host->control, id);
	bool exists = found != NULL && found->exists;
	if (exists) {
		*out = (struct host_record){ .identity = *id, .owner = found->owner, .kind = found->kind,
			.locked = found->locked };
		memcpy(out->initial_program, found->program, 32);
	}
	monitor_unlock(&host->monitor);
	return exists;
}

void host_names(struct host *host, const struct identity *id, void (*fn)(void *context, struct str name), void *context)
{
	monitor_lock(&host->monitor);
	const struct control_database *found = control_database(host->control, id);
	for (uint32_t i = 0; found != NULL && i < found->name_count; i++)
		fn(context, found->names[i]);
	monitor_unlock(&host->monitor);
}

struct owned {
	uint64_t id;
	struct identity identity;
};

static int by_id(const void *a, const void *b)
{
	const struct owned *x = a, *y = b;
	return (x->id > y->id) - (x->id < y->id);
}

void host_databases_of(struct host *host, const struct identity *owner,
	void (*fn)(void *context, const struct identity *id), void *context)
{
	struct buf found = BUF_INIT(SIZE_MAX);
	monitor_lock(&host->monitor);
	struct control_database *database = control_first(host->control);
	for (; database != NULL; database = database->next) {
		if (!database->exists || !identity_eq(&database->owner, owner))
			continue;
		struct owned owned = { .id = database->id, .identity = database->identity };
		buf_put(&found, &owned, sizeof(owned));
	}
	monitor_unlock(&host->monitor);
	size_t count = found.failed ? 0 : found.len / sizeof(struct owned);
	struct owned *list = (struct owned *)(void *)found.data;
	if (count > 1)
		qsort(list, count, sizeof(*list), by_id);
	for (size_t i = 0; i < count; i++)
		fn(context, &list[i].identity);
	buf_deinit(&found);
}

enum host_name_result host_name_add(struct host *host, struct str name, const struct identity *database,
	const struct identity *caller, struct error *error)
{
	monitor_lock(&host->monitor);
	enum host_name_result result = names_add(host->control, name, database, caller, error);
	monitor_unlock(&host->monitor);
	return result;
}

enum host_name_result host_names_replace(struct host *host, const struct identity *database, const struct str *names,
	uint32_t count, const struct identity *caller, struct buf *which, struct error *error)
{
	monitor_lock(&host->monitor);
	enum host_name_result result = names_replace(host->control, database, names, count, caller, which, error);
	monitor_unlock(&host->monitor);
	return result;
}

/* ---- databases that are open ---- */

static enum wl_err program_of(void *context, const uint8_t hash[32], struct buf *out, struct error *error)
{
	const struct host *host = context;
	return files_program_get(host->dir, hash, out, error);
}

/* Fills in the options of a database and opens its log. `path` must outlive them. */
static enum wl_err prepare(struct host *host, const struct identity *id, const struct identity *owner, uint64_t replica,
	const struct database_energy *energy, char path[HOST_PATH_BYTES_MAX], struct database_options *out,
	struct buf *error)
{
	struct error why = { 0 };
	files_replica_path(host->dir, replica, path);
	*out = (struct database_options){
		.identity = *id, .owner = *owner, .dir = path, .in_memory = host->options.in_memory, .runtime = host->runtime,
		.writers = host->writers, .timers = host->timers, .readers = host->readers,
		.http = host->options.http, .http_context = host->options.http_context,
		.sink = host->options.sink, .program = program_of, .program_context = host,
		.reducer_ms_max = host->options.reducer_ms_max, .durability = host->options.durability,
		.memory_max = host->options.database_memory_max, .disk_max = host->options.database_disk_max,
		.subscriptions_per_client_max = host->options.subscriptions_per_client_max,
		.queries_per_client_max = host->options.queries_per_client_max,
		.energy = *energy,
	};
	char logs[HOST_PATH_BYTES_MAX];
	snprintf(logs, sizeof(logs), "%s/module_logs", path);
	struct module_log_options log = { .dir = logs, .bytes_max = host->options.module_log_bytes_max };
	if (host->options.in_memory)
		log = (struct module_log_options){ .bytes_max = size_min(log.bytes_max, MODULE_LOG_MEMORY_BYTES_MAX) };
	enum wl_err err = module_log_open(host->logs, &log, &out->log, &why);
	return err == WL_OK ? WL_OK : refuse(error, err, why.text);
}

/* Without the monitor. */
static enum wl_err open_database(struct host *host, const struct control_database *record,
	const struct database_energy *energy, struct database **out, struct buf *error)
{
	char path[HOST_PATH_BYTES_MAX];
	struct database_options options;
	enum wl_err err = prepare(host, &record->identity, &record->owner, record->replica, energy, path, &options,
		error);
	if (err != WL_OK)
		return err;
	if (!host->options.in_memory)
		return database_open(&options, out, error);
	struct buf program = BUF_INIT(RUNTIME_PROGRAM_BYTES_MAX); /* it starts empty again, with its first program */
	struct error why = { 0 };
	err = files_program_get(host->dir, record->program, &program, &why);
	if (err == WL_OK) {
		err = database_create(&options, record->kind, buf_bytes(&program), NULL, out, error);
	} else {
		module_log_close(options.log);
		buf_put_cstr(error, why.text);
	}
	buf_deinit(&program);
	return err;
}

/* Under the monitor, which is released while the database opens. */
static enum wl_err open_entry(struct host *host, struct entry *entry, struct buf *error)
{
	const struct control_database *record = control_database(host->control, &entry->identity);
	if (record == NULL || !record->exists)
		return refuse(error, WL_ERR_NOT_FOUND, "No such database.");
	struct control_database copy = *record;
	struct database_energy energy = energy_of(host, &copy.identity);
	struct database *db = NULL;
	size_t before = error->len;
	entry->opening = true;
	monitor_unlock(&host->monitor);
	enum wl_err err = open_database(host, &copy, &energy, &db, error);
	monitor_lock(&host->monitor);
	entry->opening = false;
	entry->db = db;
	entry->err = err;
	mem_free(entry->error);
	entry->error = err == WL_OK ? NULL : mem_strdup((struct str){ (char *)error->data + before, error->len - before });
	monitor_wake_all(&host->monitor);
	if (err != WL_OK) {
		char hex[65];
		identity_to_hex(&entry->identity, hex);
		log_error("database %s cannot be opened: %s", hex, entry->error != NULL ? entry->error : wl_err_name(err));
	}
	return err;
}

/* A share of the open database. Under the monitor. */
static enum wl_err share(struct host *host, struct entry *entry, struct database **out, struct buf *error)
{
	bool waited = entry->opening;
	while (entry->opening)
		monitor_wait(&host->monitor);
	if (host->closing)
		return refuse(error, WL_ERR_UNAVAILABLE, "the host is shutting down");
	if (entry->db != NULL && database_closed(entry->db)) { /* it gave up by itself: open it afresh */
		energy_save(host, entry->db);
		database_release(entry->db);
		entry->db = NULL;
	}
	if (entry->db == NULL && waited && entry->err != WL_OK)
		return refuse(error, entry->err, entry->error != NULL ? entry->error : wl_err_name(entry->err));
	if (entry->db == NULL) {
		enum wl_err err = open_entry(host, entry, error);
		if (err != WL_OK)
			return err;
	}
	*out = database_share(entry->db);
	return WL_OK;
}

enum wl_err host_database(struct host *host, const struct identity *id, struct database **out, struct buf *error)
{
	monitor_lock(&host->monitor);
	const struct control_database *record = control_database(host->control, id);
	struct entry *entry = NULL;
	enum wl_err err;
	if (record == NULL || !record->exists)
		err = refuse(error, WL_ERR_NOT_FOUND, "No such database.");
	else if ((entry = entry_get(host, id)) == NULL)
		err = refuse(error, WL_ERR_MEMORY, "out of memory");
	else
		err = share(host, entry, out, error);
	monitor_unlock(&host->monitor);
	return err;
}

void host_each_open(struct host *host, void (*fn)(void *context, struct database *db), void *context)
{
	struct buf open = BUF_INIT(SIZE_MAX);
	uint32_t cursor = 0;
	const struct map_entry *slot;
	monitor_lock(&host->monitor);
	if (buf_reserve(&open, host->entries.count * sizeof(struct database *))) {
		while ((slot = map_next(&host->entries, &cursor)) != NULL) {
			const struct entry *entry = (const struct entry *)(uintptr_t)slot->value;
			if (entry->db == NULL || database_closed(entry->db))
				continue;
			struct database *db = database_share(entry->db);
			buf_put(&open, &db, sizeof(struct database *));
		}
	}
	monitor_unlock(&host->monitor);
	for (size_t at = 0; at < open.len; at += sizeof(struct database *)) {
		struct database *db;
		memcpy(&db, open.data + at, sizeof(struct database *));
		fn(context, db);
		database_release(db);
	}
	buf_deinit(&open);
}

/* A few may keep what makes their next call quick. */
enum { RESTLESS_MAX = 64, RESTS_A_SAVE = 6 };

static void count_open(void *context, struct database *db)
{
	(void)db;
	++*(uint32_t *)context;
}

static void rest(void *context, struct database *db)
{
	*(uint32_t *)context += database_rest(db);
}

void host_rest(struct host *host)
{
	uint32_t open = 0, rested = 0;
	host_each_open(host, count_open, &open);
	if (open > RESTLESS_MAX)
		host_each_open(host, rest, &rested);
	if (rested > 0)
		mem_trim();
	if (++host->rests % RESTS_A_SAVE != 0)
		return;
	monitor_lock(&host->monitor);
	if (!host->closing)
		energy_save(host, NULL);
	monitor_unlock(&host->monitor);
}

/* ---- publish, reset, delete, lock ---- */

/* Waits for the entry and holds it for a change. Under the monitor. */
static enum wl_err change_begin(struct host *host, const struct identity *id, struct entry **out, struct buf *error)
{
	struct entry *entry = entry_get(host, id);
	if (entry == NULL)
		return refuse(error, WL_ERR_MEMORY, "out of memory");
	while (entry->changing && !host->closing)
		monitor_wait(&host->monitor);
	if (host->closing)
		return refuse(error, WL_ERR_UNAVAILABLE, "the host is shutting down");
	entry->changing = true;
	*out = entry;
	return WL_OK;
}

static void change_end(struct host *host, struct entry *entry)
{
	entry->changing = false;
	monitor_wake_all(&host->monitor);
}

/*
 * Makes a database in a new folder and commits it to control data: a fresh one, or in place of `old`. The monitor is
 * held at the start and the end only.
 */
static enum wl_err create(struct host *host, struct entry *entry, const struct identity *owner, enum runtime_kind kind,
	struct bytes program, struct database_environment *environment, const struct control_database *old,
	struct buf *error)
{
	char path[HOST_PATH_BYTES_MAX];
	struct error why = { 0 };
	struct database_options options;
	struct database *db = NULL;
	struct control_database record = { .identity = entry->identity, .owner = *owner, .kind = (uint8_t)kind,
		.replica = control_next_id(host->control) };
	record.id = old != NULL ? old->id : record.replica;
	if (entry->db != NULL)
		energy_save(host, entry->db);
	struct database_energy energy = energy_of(host, &record.identity);
	monitor_unlock(&host->monitor);
	native_keccak256(program.data, program.len, record.program);
	enum wl_err err = files_program_put(host->dir, record.program, program, &why);
	if (err == WL_OK && !host->options.in_memory)
		err = files_replica_create(host->dir, record.replica, &why);
	if (err != WL_OK)
		(void)refuse(error, err, why.text);
	if (err == WL_OK)
		err = prepare(host, &record.identity, owner, record.replica, &energy, path, &options, error);
	if (err == WL_OK)
		err = database_create(&options, kind, program, environment, &db, error);
	monitor_lock(&host->monitor);
	while (entry->opening) /* of the old one, by somebody who came late */
		monitor_wait(&host->monitor);
	bool leaves = err == WL_OK && old != NULL && !host->options.in_memory, made = err == WL_OK;
	if (leaves)
		err = files_replica_leave(host->dir, old->replica, &why);
	if (err == WL_OK) {
		struct buf change = BUF_INIT(256);
		control_put_database(&change, &record);
		err = control_commit(host->control, &change, &why);
		buf_deinit(&change);
	}
	if (made && err != WL_OK)
		(void)refuse(error, err, why.text);
	if (leaves && err != WL_OK)
		files_replica_done(host->dir, old->replica);
	struct database *dropped = db; /* closed below: the new one if it came to nothing, otherwise the old one */
	if (err == WL_OK) {
		dropped = entry->db;
		entry->db = db;
	}
	monitor_unlock(&host->monitor);
	if (dropped != NULL) {
		database_close(dropped, STR("module exited"));
		database_release(dropped);
	}
	if (!host->options.in_memory) {
		if (err != WL_OK)
			files_replica_remove(host->dir, record.replica);
		else
			files_replica_done(host->dir, record.replica);
		if (err == WL_OK && old != NULL)
			files_replica_remove(host->dir, old->replica);
	}
	monitor_lock(&host->monitor);
	return err;
}

static enum wl_err update(struct host *host, struct entry *entry, const struct host_publish *publish, struct buf *error)
{
	struct error why = { 0 };
	struct database *db = NULL;
	uint8_t hash[32];
	enum wl_err err = share(host, entry, &db, error);
	monitor_unlock(&host->monitor);
	if (err == WL_OK) {
		native_keccak256(publish->program.data, publish->program.len, hash);
		err = files_program_put(host->dir, hash, publish->program, &why);
		if (err != WL_OK)
			(void)refuse(error, err, why.text);
		else
			err = database_update(db, publish->kind, publish->program, &publish->policy, publish->environment, error);
		database_release(db);
	}
	monitor_lock(&host->monitor);
	return err;
}

/* The stored initial program in place of a missing one. Under the monitor, but reads a file: rare. */
static enum wl_err initial_program(struct host *host, const struct control_database *record, struct buf *out,
	struct buf *error)
{
	struct error why = { 0 };
	enum wl_err err = files_program_get(host->dir, record->program, out, &why);
	return err == WL_OK ? WL_OK : refuse(error, err, why.text);
}

static enum wl_err reset(struct host *host, struct entry *entry, const struct control_database *record,
	enum runtime_kind kind, struct bytes program, struct database_environment *environment, struct buf *error)
{
	struct buf stored = BUF_INIT(RUNTIME_PROGRAM_BYTES_MAX);
	struct control_database old = *record;
	enum wl_err err = WL_OK;
	if (program.data == NULL) {
		err = initial_program(host, record, &stored, error);
		program = buf_bytes(&stored);
		kind = old.kind;
	}
	if (err == WL_OK)
		err = create(host, entry, &old.owner, kind, program, environment, &old, error);
	buf_deinit(&stored);
	return err;
}

enum wl_err host_publish(struct host *host, const struct host_publish *publish, enum host_op *op, bool *owner_denied,
	struct buf *error)
{
	struct entry *entry;
	*owner_denied = false;
	monitor_lock(&host->monitor);
	enum wl_err err = change_begin(host, &publish->database, &entry, error);
	if (err != WL_OK) {
		monitor_unlock(&host->monitor);
		return err;
	}
	const struct control_database *record = control_database(host->control, &publish->database);
	if (record == NULL || !record->exists) {
		*op = HOST_CREATED;
		err = create(host, entry, &publish->caller, publish->kind, publish->program, publish->environment, NULL,
			error);
	} else if (!identity_eq(&record->owner, &publish->caller)) {
		*owner_denied = true;
		err = WL_ERR_DENIED;
	} else {
		*op = HOST_UPDATED;
		err = publish->clear ? reset(host, entry, record, publish->kind, publish->program, publish->environment, error)
			: update(host, entry, publish, error);
	}
	change_end(host, entry);
	monitor_unlock(&host->monitor);
	return err;
}

enum wl_err host_reset(struct host *host, const struct identity *id, enum runtime_kind kind, struct bytes program,
	struct database_environment *environment, struct buf *error)
{
	struct entry *entry;
	monitor_lock(&host->monitor);
	enum wl_err err = change_begin(host, id, &entry, error);
	if (err == WL_OK) {
		const struct control_database *record = control_database(host->control, id);
		err = record == NULL || !record->exists ? refuse(error, WL_ERR_NOT_FOUND, "No such database.")
			: reset(host, entry, record, kind, program, environment, error);
		change_end(host, entry);
	}
	monitor_unlock(&host->monitor);
	return err;
}

enum wl_err host_environment(struct host *host, const struct identity *id, struct database_environment *change,
	const uint8_t expected_hash[32], struct buf *error)
{
	struct entry *entry;
	struct database *db = NULL;
	monitor_lock(&host->monitor);
	enum wl_err err = change_begin(host, id, &entry, error);
	if (err == WL_OK) {
		err = share(host, entry, &db, error);
		monitor_unlock(&host->monitor);
		if (err == WL_OK)
			err = database_environment_update(db, change, expected_hash, error);
		database_release(db);
		monitor_lock(&host->monitor);
		change_end(host, entry);
	}
	monitor_unlock(&host->monitor);
	return err;
}

enum wl_err host_delete(struct host *host, const struct identity *id, struct error *error)
{
	struct entry *entry;
	struct buf text = BUF_INIT(ERROR_TEXT_MAX), change = BUF_INIT(64);
	monitor_lock(&host->monitor);
	enum wl_err err = change_begin(host, id, &entry, &text);
	if (err != WL_OK) {
		monitor_unlock(&host->monitor);
		err = fail(error, err, "%s", buf_text(&text));
		buf_deinit(&text);
		return err;
	}
	while (entry->opening)
		monitor_wait(&host->monitor);
	const struct control_database *record = control_database(host->control, id);
	struct database *db = NULL;
	uint64_t replica = 0;
	if (record == NULL || !record->exists) {
		err = fail(error, WL_ERR_NOT_FOUND, "No such database.");
	} else {
		replica = record->replica;
		if (entry->db != NULL)
			energy_save(host, entry->db);
		control_put_drop(&change, id);
		if (!host->options.in_memory)
			err = files_replica_leave(host->dir, replica, error);
		if (err == WL_OK)
			err = control_commit(host->control, &change, error);
		if (err != WL_OK && !host->options.in_memory)
			files_replica_done(host->dir, replica);
	}
	if (err == WL_OK) {
		db = entry->db;
		entry->db = NULL;
	}
	monitor_unlock(&host->monitor);
	if (db != NULL) {
		database_close(db, STR("module exited"));
		database_release(db);
	}
	if (err == WL_OK && !host->options.in_memory)
		files_replica_remove(host->dir, replica);
	monitor_lock(&host->monitor);
	change_end(host, entry);
	monitor_unlock(&host->monitor);
	buf_deinit(&change);
	buf_deinit(&text);
	return err;
}

enum wl_err host_lock(struct host *host, const struct identity *id, bool locked, struct error *error)
{
	struct buf change = BUF_INIT(64);
	monitor_lock(&host->monitor);
	const struct control_database *record = control_database(host->control, id);
	enum wl_err err = WL_OK;
	if (record == NULL || !record->exists) {
		err = fail(error, WL_ERR_NOT_FOUND, "No such database.");
	} else if (record->locked != locked) {
		control_put_lock(&change, id, locked);
		err = control_commit(host->control, &change, error);
	}
	monitor_unlock(&host->monitor);
	buf_deinit(&change);
	return err;
}

enum wl_err host_check_program(struct host *host, enum runtime_kind kind, struct bytes program, struct module_def **out,
	struct buf *error)
{
	uint8_t hash[32];
	struct runtime_program *compiled;
	native_keccak256(program.data, program.len, hash);
	enum wl_err err = database_describe(host->runtime, kind, program, hash, &compiled, out, error);
	if (err == WL_OK)
		runtime_program_release(compiled);
	return err;
}
