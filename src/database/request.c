/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that wait for their answer: HTTP calls and SQL. Each connects as a
 * client of its own, does its work, and disconnects. JSON is read and written
 * on the waiting thread wherever the executor is not needed for it.
 */
#include "base/clock.h"
#include "database/database_internal.h"

enum { JSON_BYTES_MAX = 256 << 20, ARGUMENT_BYTES_MAX = 64 << 20, DURABLE_WAIT_MS = 60000 };

void database_result_deinit(struct database_result *result)
{
	buf_deinit(&result->text);
}

/* ---- calls ---- */

struct json_call {
	const struct database_caller *caller;
	struct str function;
	struct module_def *def;   /* against which the arguments were read */
	struct buf args;
	enum wl_err args_err;
	struct error args_error;
	bool confirmed;
	bool is_procedure;        /* connect only; the procedure runs on the waiting thread */
	struct database_result *result;
};

static void call_reducer(struct database *db, struct json_call *job)
{
	struct database_result *result = job->result;
	struct db_call call = { .caller = *job->caller, .args = buf_bytes(&job->args) };
	call.function = db_find_reducer(db, job->function, &job->caller->identity, &call.id, &result->outcome,
		&result->text);
	if (call.function == NULL)
		return;
	size_t used;
	struct error cause;
	if (job->args_err == WL_OK &&
		sats_validate(call.function->params_layout, call.args.data, call.args.len, &used, &cause) != WL_OK)
		job->args_err = sats_args_refused(&job->args_error, "reducer", job->function, STR(""), str_of(cause.text));
	if (job->args_err != WL_OK) {
		result->outcome = DATABASE_BAD_ARGUMENTS;
		buf_put_cstr(&result->text, job->args_error.text);
		db_log_bad_call(db, "reducer", job->function, true);
		return;
	}
	struct str text;
	uint64_t nanos = 0;
	call.micros = db_now(db);
	result->started = true;
	db_begin(db);
	enum runtime_outcome outcome = db_run_reducer(db, &call, &text, &nanos);
	result->micros = nanos / 1000;
	result->energy = nanos * DATABASE_ENERGY_PER_NANO;
	if (outcome == RUNTIME_OK) {
		enum wl_err err = db_commit(db, call.micros, call.id, NULL, true, NULL, &result->text);
		result->outcome = err == WL_OK ? DATABASE_COMMITTED : DATABASE_FATAL;
		return;
	}
	result->outcome = outcome == RUNTIME_USER_ERROR ? DATABASE_USER_ERROR
		: outcome == RUNTIME_EXHAUSTED ? DATABASE_EXHAUSTED : DATABASE_FATAL;
	buf_put_str(&result->text, outcome == RUNTIME_USER_ERROR || outcome == RUNTIME_TIMEOUT ? text
		: STR(RUNTIME_FATAL_TEXT));
	db_rollback(db);
}

static void connect_and_call(struct database *db, void *arg)
{
	struct json_call *job = arg;
	struct database_result *result = job->result;
	if (db_is_closing(db)) {
		result->outcome = DATABASE_CLOSED;
		return;
	}
	enum wl_err err = db_connect(db, job->caller, &result->text);
	if (err != WL_OK) {
		result->outcome = err == WL_ERR_LIMIT ? DATABASE_CONNECT_EXHAUSTED : DATABASE_CONNECT_REFUSED;
		return;
	}
	if (!job->is_procedure) {
		call_reducer(db, job);
		db_disconnect(db, job->caller);
	}
	result->offset = db->offset;
}

static void disconnect(struct database *db, void *arg)
{
	const struct json_call *job = arg;
	if (database_closed(db))
		return;
	if (job->result->outcome == DATABASE_NO_SUCH) {
		db_log_bad_call(db, "reducer", job->function, false);
		db_log_bad_call(db, "procedure", job->function, false);
	}
	if (job->result->outcome == DATABASE_BAD_ARGUMENTS)
		db_log_bad_call(db, "procedure", job->function, true);
	db_disconnect(db, job->caller);
	job->result->offset = db->offset;
}

/* The returned value as untyped JSON. */
static void put_returned(struct json_call *job, const struct module_function *function, struct bytes value)
{
	struct database_result *result = job->result;
	size_t used;
	struct error why;
	if (sats_validate(function->returns_layout, value.data, value.len, &used, &why) != WL_OK) {
		result->outcome = DATABASE_PROCEDURE_FATAL;
		buf_printf(&result->text, "The module instance encountered a fatal error: %s", why.text);
		return;
	}
	result->outcome = DATABASE_RETURNED;
	sats_json_write(&result->text, function->returns, function->space, value.data, SATS_JSON_UNTYPED);
}

static void call_procedure(struct database *db, struct json_call *job)
{
	struct database_result *result = job->result;
	uint32_t id;
	const struct module_function *function = module_procedure(job->def, job->function, &id);
	if (function == NULL || (function->is_private && !db_is_owner(db, &job->caller->identity))) {
		result->outcome = DATABASE_NO_SUCH;
		buf_put_cstr(&result->text, "No such procedure");
		return;
	}
	if (job->args_err != WL_OK) {
		result->outcome = DATABASE_BAD_ARGUMENTS;
		buf_put_cstr(&result->text, job->args_error.text);
		return;
	}
	struct runtime_call call = { .id = id, .name = function->name, .sender = job->caller->identity,
		.connection = job->caller->connection, .timestamp = clock_wall_micros(), .args = buf_bytes(&job->args) };
	struct procedure_result ran;
	db_procedure_run(db, job->def, &call, job->confirmed, &ran);
	if (ran.ok) {
		result->started = true;
		put_returned(job, function, buf_bytes(&ran.value));
	} else if (ran.is_exhausted) {
		result->outcome = DATABASE_EXHAUSTED;
	} else {
		result->outcome = DATABASE_PROCEDURE_FATAL;
		buf_printf(&result->text, "The module instance encountered a fatal error: %.*s", (int)ran.text.len,
			ran.text.data);
	}
	result->micros = ran.nanos / 1000;
	result->energy = ran.energy;
	db_procedure_result_deinit(&ran);
}

void database_call_json(struct database *db, const struct database_caller *caller, struct str function,
	struct str json, bool confirmed, struct database_result *result)
{
	*result = (struct database_result){ .text = BUF_INIT(JSON_BYTES_MAX), .offset = COMMITLOG_NONE };
	struct json_call job = { .caller = caller, .function = function, .result = result,
		.confirmed = confirmed,
		.args = BUF_INIT(ARGUMENT_BYTES_MAX), .def = database_module(db) };
	uint32_t id;
	const struct module_function *found = module_reducer(job.def, function, &id);
	/* Lifecycle reducers are private, but whoever calls one is told what it is. */
	job.is_procedure = found == NULL || (found->is_private && found->lifecycle == MODULE_NO_LIFECYCLE &&
		!db_is_owner(db, &caller->identity));
	if (job.is_procedure)
		found = module_procedure(job.def, function, &id);
	if (found != NULL)
		job.args_err = sats_json_read_args(&job.args, job.is_procedure ? "procedure" : "reducer", function,
			found->params, found->space, json.data, json.len, &job.args_error);
	if (database_run(db, connect_and_call, &job) != WL_OK && result->outcome != DATABASE_CLOSED && !result->started)
		result->outcome = DATABASE_CLOSED;
	else if (job.is_procedure && result->outcome != DATABASE_CONNECT_REFUSED &&
		result->outcome != DATABASE_CONNECT_EXHAUSTED && result->outcome != DATABASE_CLOSED) {
		call_procedure(db, &job);
		(void)database_run(db, disconnect, &job);
	}
	if (confirmed && !database_wait_durable(db, result->offset, DURABLE_WAIT_MS) &&
		result->outcome == DATABASE_COMMITTED) {
		buf_clear(&result->text);
		buf_put_cstr(&result->text, "the transaction could not be made durable");
		result->outcome = DATABASE_FATAL;
	}
	module_def_release(job.def);
	buf_deinit(&job.args);
}

/* ---- HTTP handlers ---- */

bool database_handlers_take_sender(struct database *db)
{
	pthread_mutex_lock(&db->lock);
	bool takes = db->module.program != NULL && runtime_program_handlers_take_sender(db->module.program);
	pthread_mutex_unlock(&db->lock);
	return takes;
}

bool database_http_handler(struct database *db, const struct module_def *def, const struct database_http_call *request,
	struct buf *response, struct buf *body)
{
	struct runtime_call call = { .id = request->handler, .name = module_def_info(def)->handlers[request->handler],
		.sender = request->sender, .timestamp = clock_wall_micros(), .args = request->request, .body = request->body,
		.jwt = request->jwt_payload };
	struct procedure_result ran;
	db_http_handler_run(db, def, &call, &ran);
	bool ok = ran.ok;
	if (ok && ran.offset != COMMITLOG_NONE && !database_wait_durable(db, ran.offset, DURABLE_WAIT_MS)) {
		buf_put_cstr(&ran.text, "the transaction could not be made durable");
		ok = false;
	}
	if (ran.is_exhausted) {
		buf_clear(&ran.text);
		buf_put_cstr(&ran.text, DATABASE_EXHAUSTED_TEXT);
	}
	const struct buf *said = ok ? &ran.value : &ran.text;
	buf_put(response, said->data, said->len);
	if (ok)
		buf_put(body, ran.body.data, ran.body.len);
	db_procedure_result_deinit(&ran);
	return ok;
}

/* ---- SQL ---- */

struct sql_job {
	const struct database_caller *caller;
	struct str sql;
	struct buf *json, *error;
	uint64_t micros, offset, begin;
	enum wl_err err;
	/* what is too long for the executor; the thread that asked waits for it */
	struct db_read read;
	struct query *query;
	bool is_seen;            /* connected */
	struct monitor monitor;
	bool is_reading;
};

struct sql_rows {
	struct buf *json;
	const struct query_column *columns;
	uint32_t column_count;
	uint64_t count;
};

static bool put_row(void *context, const uint8_t *row, size_t len)
{
	struct sql_rows *rows = context;
	(void)len;
	buf_put_cstr(rows->json, rows->count++ == 0 ? "[" : ",[");
	for (uint32_t i = 0; i < rows->column_count; i++) {
		if (i > 0)
			buf_put_u8(rows->json, ',');
		row = sats_json_write(rows->json, rows->columns[i].type, NULL, row, SATS_JSON_UNTYPED);
	}
	buf_put_u8(rows->json, ']');
	return !rows->json->failed;
}

/* Before the first row; `columns` last until the run is over. */
static void put_schema(void *context, const struct query_column *columns, uint32_t count)
{
	struct sql_rows *rows = context;
	struct buf *json = rows->json;
	rows->columns = columns;
	rows->column_count = count;
	buf_put_cstr(json, "[{\"schema\":{\"elements\":[");
	for (uint32_t i = 0; i < rows->column_count; i++) {
		const struct query_column *column = &rows->columns[i];
		buf_put_cstr(json, i == 0 ? "{\"name\":" : ",{\"name\":");
		if (column->name.data == NULL) {
			buf_put_cstr(json, "{\"none\":[]}");
		} else {
			buf_put_cstr(json, "{\"some\":");
			buf_put_json_str(json, column->name);
			buf_put_u8(json, '}');
		}
		buf_put_cstr(json, ",\"algebraic_type\":");
		sats_type_json(json, column->type);
		buf_put_u8(json, '}');
	}
	buf_put_cstr(json, "]},\"rows\":[");
}

static void run_query(struct database *db, struct sql_job *job, const struct query *query,
	const struct query_limits *limits)
{
	struct query_effects effects = { 0 };
	struct sql_rows rows = { .json = job->json };
	if (query_kind(query) == QUERY_SELECT) {
		job->err = query_select_described(query, db->store, limits, put_schema, put_row, &rows, job->error);
	} else {
		put_schema(&rows, NULL, 0);
		job->err = query_execute(query, db->store, limits, &effects, job->error);
	}
	job->micros = (clock_mono_nanos() - job->begin) / 1000;
	buf_printf(job->json, "],\"total_duration_micros\":%llu,\"stats\":{\"rows_inserted\":%llu,\"rows_deleted\":%llu,"
		"\"rows_updated\":%llu}}]", (unsigned long long)job->micros, (unsigned long long)effects.inserted,
		(unsigned long long)effects.deleted, (unsigned long long)effects.updated);
	if (job->err == WL_OK && job->json->failed) {
		buf_printf(job->error, "the result exceeds %d bytes; add a LIMIT or a condition", JSON_BYTES_MAX);
		job->err = WL_ERR_INVALID;
	}
}

/* ---- beside the executor ---- */

static struct sql_job *job_of(struct db_read *read)
{
	return (struct sql_job *)(void *)((uint8_t *)read - offsetof(struct sql_job, read));
}

static bool begin_reading(struct db_read *read, struct store_table *const **tables, uint32_t *count)
{
	struct sql_job *job = job_of(read);
	*count = query_tables(job->query, tables);
	return db_views_read(read->db, job->query, &job->caller->identity);
}

static void run_reading(struct db_read *read)
{
	struct sql_job *job = job_of(read);
	struct query_limits limits = { .deadline = read->deadline, .snapshot = read->snapshot,
		.cancelled = &read->cancelled };
	run_query(read->db, job, job->query, &limits);
}

static void end_reading(struct db_read *read)
{
	struct sql_job *job = job_of(read);
	struct database *db = read->db;
	if (!read->is_running) {
		job->err = db_is_closing(db) ? WL_ERR_UNAVAILABLE : WL_ERR_MEMORY;
		buf_put_cstr(job->error, db_is_closing(db) ? "the database is closed" : "not enough memory for the query");
	}
	query_destroy(job->query);
	if (job->is_seen)
		db_disconnect(db, job->caller);
	job->offset = db->offset;
	monitor_lock(&job->monitor);
	job->is_reading = false;
	monitor_wake_all(&job->monitor);
	monitor_unlock(&job->monitor); /* the job may be gone now */
}

/* ---- on the executor ---- */

/* In a transaction of its own. False: it is a long read. */
static bool run_here(struct database *db, struct sql_job *job)
{
	bool reads = query_kind(job->query) == QUERY_SELECT;
	struct query_limits limits = { .visits_max = reads ? QUERY_VISITS_MAX : 0,
		.deadline = db->options.reducer_ms_max == 0 ? 0
		: job->begin + (uint64_t)db->options.reducer_ms_max * 1000000u };
	if (reads && query_is_long(job->query))
		return false;
	if (!db_views_read(db, job->query, &job->caller->identity)) {
		buf_put_cstr(job->error, "not enough memory for the query");
		job->err = WL_ERR_MEMORY;
		return true;
	}
	store_tx_begin(db->store);
	run_query(db, job, job->query, &limits);
	if (job->err != WL_OK)
		db_rollback(db);
	else
		job->err = db_commit(db, db_now(db), REDUCER_NAME_UNKNOWN, NULL, true, NULL, job->error);
	if (job->err != WL_ERR_UNAVAILABLE || !reads || job->error->len > 0)
		return true;
	buf_clear(job->json);
	job->err = WL_OK;
	return false;
}

static void run_statement(struct database *db, struct sql_job *job)
{
	job->begin = clock_mono_nanos();
	struct query_caller caller = { .identity = job->caller->identity,
		.is_owner = db_is_owner(db, &job->caller->identity) };
	job->err = query_compile(db->store, QUERY_DIALECT_SQL, job->sql, &caller, &job->query, job->error);
	if (job->err == WL_OK)
		job->err = query_check_row_limit(job->query, db->store, &caller, job->error);
	if (job->err == WL_OK && !run_here(db, job)) {
		job->is_reading = true;
		return;
	}
	query_destroy(job->query);
}

/* A full disk lets nobody into st_client. Where no reducer asks who comes and goes, reading needs no entry. */
static bool may_read_unseen(const struct database *db)
{
	const uint32_t *lifecycle = db->module.info->lifecycle;
	return db->commitlog != NULL && commitlog_state(db->commitlog) == COMMITLOG_READ_ONLY &&
		lifecycle[MODULE_ON_CONNECT] == MODULE_NO_INDEX && lifecycle[MODULE_ON_DISCONNECT] == MODULE_NO_INDEX;
}

static void sql_on_executor(struct database *db, void *arg)
{
	struct sql_job *job = arg;
	if (db_is_closing(db)) {
		job->err = WL_ERR_UNAVAILABLE;
		return;
	}
	job->is_seen = !may_read_unseen(db);
	enum wl_err err = job->is_seen ? db_connect(db, job->caller, job->error) : WL_OK;
	if (err != WL_OK) {
		job->err = err == WL_ERR_LIMIT ? WL_ERR_UNAVAILABLE : WL_ERR_DENIED;
		return;
	}
	run_statement(db, job);
	if (job->is_reading) {
		db_read_start(db, &job->read);
		return;
	}
	if (job->is_seen)
		db_disconnect(db, job->caller);
	job->offset = db->offset;
}

enum wl_err database_sql(struct database *db, const struct database_caller *caller, struct str sql, bool confirmed,
	struct buf *json, uint64_t *micros, struct buf *error)
{
	struct sql_job job = { .caller = caller, .sql = sql, .json = json, .error = error, .offset = COMMITLOG_NONE,
		.read = { .begin = begin_reading, .run = run_reading, .end = end_reading } };
	monitor_init(&job.monitor);
	(void)database_run(db, sql_on_executor, &job);
	monitor_lock(&job.monitor);
	while (job.is_reading)
		monitor_wait(&job.monitor);
	monitor_unlock(&job.monitor);
	monitor_deinit(&job.monitor);
	if (job.err == WL_ERR_UNAVAILABLE && error->len == 0)
		buf_put_cstr(error, "the database is closed");
	if (job.err == WL_OK && confirmed && !database_wait_durable(db, job.offset, DURABLE_WAIT_MS)) {
		buf_put_cstr(error, "the transaction could not be made durable");
		job.err = WL_ERR_IO;
	}
	*micros = job.micros;
	return job.err;
}
