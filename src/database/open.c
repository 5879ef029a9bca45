/* SPDX-License-Identifier: Apache-2.0 */
/* A database's life: create, open, close. */
#include "base/clock.h"
#include "base/log.h"
#include "database/database_internal.h"
#include "database/module_log.h"
#include "native.h"
#include "snapshot/snapshot.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, CREATE_WAIT_MS = 60000 };

/* ---- what the guest sees of us ---- */

static void guest_log(void *context, const struct runtime_log *said)
{
	struct database *db = context;
	struct module_log_frame frames[RUNTIME_TRACE_MAX];
	if (db->log == NULL)
		return;
	for (uint32_t i = 0; i < said->trace_count; i++)
		frames[i] = (struct module_log_frame){ .function_name = said->trace[i] };
	struct module_log_record record = { .level = said->level, .ts_micros = said->micros, .target = said->target,
		.filename = said->filename, .line = said->line, .function = said->function, .message = said->message,
		.trace = frames, .trace_count = said->trace_count };
	module_log_append(db->log, &record);
}

static void guest_schedules(void *context, struct str name, struct bytes args)
{
	db_schedule_immediate(context, name, args);
}

static enum runtime_variable guest_variable(void *context, struct str name)
{
	const struct database *db = context;
	return db_environment_variable(db->module.def, name);
}

static void ignore_log(void *context, const struct runtime_log *said)
{
	(void)context, (void)said;
}

/* ---- programs ---- */

/* Compiles a program and asks it what it is, in a world of its own. */
enum wl_err database_describe(struct runtime *runtime, enum runtime_kind kind, struct bytes code,
	const uint8_t hash[32], struct runtime_program **program, struct module_def **def, struct buf *error)
{
	*program = NULL;
	*def = NULL;
	enum wl_err err = runtime_compile(runtime, kind, code, hash, program, error);
	if (err != WL_OK)
		return err;
	struct runtime_env env = { .store = store_create(), .log = ignore_log };
	struct runtime_instance *instance = NULL;
	struct buf description = BUF_INIT(MODULE_DEF_BYTES_MAX);
	err = env.store == NULL ? WL_ERR_MEMORY
		: runtime_instance_create(*program, &env, &description, &instance, error);
	if (err == WL_OK)
		err = module_def_create(description.data, description.len, def, error);
	if (err == WL_OK && module_def_info(*def)->unsupported.len > 0) {
		struct str what = module_def_info(*def)->unsupported;
		buf_printf(error, "%.*s is not supported by this version yet", STR_FMT(what));
		module_def_release(*def);
		*def = NULL;
		err = WL_ERR_UNSUPPORTED;
	}
	if (err == WL_OK && runtime_program_migrates(*program))
		module_def_set_migrates(*def);
	runtime_instance_destroy(instance);
	store_destroy(env.store);
	buf_deinit(&description);
	if (err != WL_OK) {
		runtime_program_release(*program);
		*program = NULL;
	}
	return err;
}

/* Takes program and def. Executor. */
void db_module_install(struct database *db, struct runtime_program *program, struct module_def *def,
	const uint8_t hash[32], enum runtime_kind kind)
{
	struct running_module old = db->module;
	pthread_mutex_lock(&db->lock);
	db->module = (struct running_module){ .program = program, .def = def, .info = module_def_info(def), .kind = kind };
	memcpy(db->module.hash, hash, 32);
	pthread_mutex_unlock(&db->lock);
	db_procedures_drop(db);
	runtime_instance_destroy(old.instance);
	if (old.program != NULL)
		runtime_program_release(old.program);
	module_def_release(old.def);
}

/* ---- storage ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
	(void)info, (void)kind, (void)walk;
	return remove(path);
}

static struct storage *log_storage(const struct database *db)
{
	return db->options.storage != NULL ? db->options.storage : commitlog_storage_local();
}

/* Databases have folders of their own there. NULL: there is no archive. */
static const char *archive_of(const struct database *db, char out[PATH_BYTES])
{
	char hex[65];
	if (db->options.durability.archive == NULL)
		return NULL;
	identity_to_hex(&db->options.identity, hex);
	snprintf(out, PATH_BYTES, "%s/%s", db->options.durability.archive, hex);
	return out;
}

static enum wl_err open_log(struct database *db, struct buf *error)
{
	if (db->options.in_memory)
		return WL_OK;
	char path[PATH_BYTES], archive[PATH_BYTES];
	struct error why;
	snprintf(path, sizeof(path), "%s/log", db->dir);
	struct commitlog_options options = { .storage = log_storage(db), .writers = db->options.writers, .dir = path,
		.segment_bytes = db->options.segment_bytes, .archive = archive_of(db, archive),
		.replay_from = db->offset == COMMITLOG_NONE ? 0 : db->offset + 1, .on_durable = db_on_durable, .context = db };
	enum wl_err err = commitlog_open(&options, db_replay_record, db, &db->commitlog, &why);
	if (err != WL_OK)
		buf_put_cstr(error, why.text);
	return err;
}

static void collect_name(void *context, const char *name)
{
	buf_put(context, name, strlen(name) + 1);
}

/* What a failed creation leaves: its log, where the log lives, then the folder. */
static void remove_all(struct storage *storage, const char *dir)
{
	char path[PATH_BYTES];
	struct buf names = BUF_INIT(1 << 20);
	snprintf(path, sizeof(path), "%s/log", dir);
	(void)storage->ops->list(storage, path, collect_name, &names);
	for (size_t at = 0; at < names.len; at += strlen((const char *)names.data + at) + 1) {
		snprintf(path, sizeof(path), "%s/log/%s", dir, (const char *)names.data + at);
		(void)storage->ops->remove(storage, path);
	}
	buf_deinit(&names);
	(void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static struct database *prepare(const struct database_options *options, struct store *store, struct buf *error)
{
	struct database *db = db_allocate(options, store, error);
	if (db == NULL)
		return NULL;
	db->env = (struct runtime_env){ .store = db->store, .database_identity = options->identity, .context = db,
		.log = guest_log, .schedule_immediate = guest_schedules, .variable = guest_variable };
	atomic_store(&db->token, 1); /* nobody else knows it yet */
	return db;
}

/* Hands it to the world: from here on the token decides. */
static struct database *ready(struct database *db)
{
	if (db->commitlog != NULL)
		commitlog_submit(db->commitlog);
	outbox_flush(db->outbox, db->offset);
	db_publish_stats(db);
	atomic_store(&db->token, 0);
	if (atomic_load(&db->mailbox.head) != NULL) /* schedules that were due at once */
		timers_kick(db->options.timers, db);
	return db;
}

/* ---- create ---- */

static enum wl_err run_init(struct database *db, int64_t micros, struct buf *error)
{
	uint32_t id = db->module.info->lifecycle[MODULE_INIT];
	if (id == MODULE_NO_INDEX)
		return WL_OK;
	struct db_call call = { .function = &db->module.info->reducers[id], .id = id,
		.caller = { .identity = db->options.owner }, .micros = micros };
	struct str text;
	uint64_t nanos;
	db_log_host(db, 2, "Invoking `init` reducer");
	switch (db_run_reducer(db, &call, &text, &nanos)) {
	case RUNTIME_OK:
		return WL_OK;
	case RUNTIME_USER_ERROR:
	case RUNTIME_TIMEOUT:
	case RUNTIME_EXHAUSTED:
		buf_put_str(error, text);
		return WL_ERR_DENIED;
	case RUNTIME_FAILED:
	case RUNTIME_TRAP:
		break;
	}
	buf_put_cstr(error, RUNTIME_FATAL_TEXT);
	return WL_ERR_DENIED;
}

static enum wl_err first_transaction(struct database *db, struct database_environment *environment, struct buf *error)
{
	int64_t micros = db_now(db);
	bool changed;
	store_tx_begin(db->store);
	enum wl_err err = db_schema_create(db, db->module.info, error);
	if (err == WL_OK)
		err = db_module_row_put(db, db->module.hash, db->module.kind, error);
	if (err == WL_OK && environment != NULL)
		err = db_environment_apply(db, db->module.info, environment, &changed, error);
	if (err == WL_OK)
		err = run_init(db, micros, error);
	if (err != WL_OK) {
		db_rollback(db);
		return err;
	}
	err = db_commit(db, micros, db->module.info->lifecycle[MODULE_INIT], NULL, false, NULL, error);
	if (err == WL_OK)
		db_log_host(db, 2, "Database initialized");
	return err;
}

enum wl_err database_create(const struct database_options *options, enum runtime_kind kind, struct bytes code,
	struct database_environment *environment, struct database **out, struct buf *error)
{
	uint8_t hash[32];
	struct runtime_program *program;
	struct module_def *def;
	native_keccak256(code.data, code.len, hash);
	enum wl_err err = database_describe(options->runtime, kind, code, hash, &program, &def, error);
	if (err != WL_OK) {
		module_log_close(options->log);
		return err;
	}
	struct database *db = prepare(options, NULL, error);
	if (db == NULL) {
		runtime_program_release(program);
		module_def_release(def);
		return WL_ERR_MEMORY;
	}
	db_module_install(db, program, def, hash, kind);
	err = open_log(db, error);
	if (err == WL_OK)
		err = db_instance_ready(db, error);
	if (err == WL_OK)
		err = first_transaction(db, environment, error);
	if (err == WL_OK) {
		(void)ready(db);
		if (!database_wait_durable(db, db->offset, CREATE_WAIT_MS)) {
			buf_put_cstr(error, "the new database could not be made durable");
			err = WL_ERR_IO;
		}
	}
	if (err != WL_OK) {
		char *dir = db->options.in_memory || db->dir == NULL ? NULL : mem_strdup(str_of(db->dir));
		struct storage *storage = log_storage(db);
		timers_remove(db->options.timers, db);
		database_release(db);
		if (dir != NULL)
			remove_all(storage, dir);
		mem_free(dir);
		return err;
	}
	*out = db;
	return WL_OK;
}

/* ---- open ---- */

static enum wl_err load_module(struct database *db, struct buf *error)
{
	uint8_t hash[32];
	enum runtime_kind kind;
	struct runtime_program *program;
	struct module_def *def;
	enum wl_err err = db_module_row_get(db, hash, &kind, error);
	if (err != WL_OK)
		return err;
	struct buf code = BUF_INIT(RUNTIME_PROGRAM_BYTES_MAX);
	struct error why;
	err = db->options.program(db->options.program_context, hash, &code, &why);
	if (err != WL_OK)
		buf_printf(error, "the database's program cannot be read: %s", why.text);
	else
		err = database_describe(db->options.runtime, kind, buf_bytes(&code), hash, &program, &def, error);
	buf_deinit(&code);
	if (err == WL_OK)
		db_module_install(db, program, def, hash, kind);
	return err;
}

/* *damaged: the log cannot be read, and the options' module log is not taken. *from: where it was to be read from. */
static enum wl_err open_once(const struct database_options *options, struct database **out, bool *damaged,
	uint64_t *from, struct buf *error)
{
	struct error why;
	struct store *store;
	struct snapshot_info info;
	enum wl_err err = db_snapshot_open(options, &store, &info, error);
	if (err != WL_OK) {
		module_log_close(options->log);
		return err;
	}
	struct database *db = prepare(options, store, error);
	if (db == NULL)
		return WL_ERR_MEMORY;
	db_snapshot_opened(db, &info);
	*from = info.offset == COMMITLOG_NONE ? 0 : info.offset + 1;
	err = open_log(db, error);
	*damaged = err == WL_ERR_CORRUPT;
	if (*damaged)
		db->log = NULL;
	if (err == WL_OK) {
		err = store_replay_done(db->store, &why);
		if (err != WL_OK)
			buf_put_cstr(error, why.text);
	}
	if (err == WL_OK)
		err = load_module(db, error);
	if (err == WL_OK)
		err = db_renames_open(db, error);
	if (err == WL_OK)
		err = db_instance_ready(db, error);
	if (err == WL_OK)
		err = db_clients_sweep(db, error);
	if (err != WL_OK) {
		database_release(db);
		return err;
	}
	db_schedule_open(db);
	*out = ready(db);
	return WL_OK;
}

/* The log's damage is told, and set aside. */
static bool set_aside(const struct database_options *options, uint64_t from, struct buf *error)
{
	char path[PATH_BYTES];
	struct error why;
	uint64_t lost;
	struct storage *storage = options->storage != NULL ? options->storage : commitlog_storage_local();
	snprintf(path, sizeof(path), "%s/log", options->dir);
	if (commitlog_set_aside(storage, path, from, &lost, &why) != WL_OK) {
		buf_printf(error, "; what precedes the damage cannot be opened: %s", why.text);
		return false;
	}
	log_error("%s; the database opens without the transactions from %llu on, which are kept in %s/damaged",
		buf_text(error), (unsigned long long)lost, path);
	buf_clear(error);
	return true;
}

enum wl_err database_open(const struct database_options *options, struct database **out, struct buf *error)
{
	bool damaged = false, repairs = options->durability.opens_damaged && !options->in_memory && options->dir != NULL;
	uint64_t from = 0;
	enum wl_err err = open_once(options, out, &damaged, &from, error);
	if (damaged && repairs && set_aside(options, from, error)) {
		damaged = false;
		err = open_once(options, out, &damaged, &from, error);
	}
	if (damaged)
		module_log_close(options->log);
	return err;
}

/* ---- close ---- */

struct closing {
	struct str reason;
	uint64_t offset;
};

static void close_on_executor(struct database *db, void *arg)
{
	struct closing *closing = arg;
	closing->offset = db->offset;
	if (atomic_exchange(&db->closed, true))
		return;
	db_clients_close(db, 1001, closing->reason);
	if (db->commitlog != NULL)
		commitlog_submit(db->commitlog);
}

void database_close(struct database *db, struct str reason)
{
	struct closing closing = { .reason = reason };
	atomic_store(&db->closing, true);
	timers_remove(db->options.timers, db);
	monitor_lock(&db->sleepers);
	monitor_wake_all(&db->sleepers);
	monitor_unlock(&db->sleepers);
	(void)database_run(db, close_on_executor, &closing);
	(void)database_wait_durable(db, closing.offset, CREATE_WAIT_MS);
}
