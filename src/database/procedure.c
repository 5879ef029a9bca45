/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Procedure calls: never on the executor. Each has a thread and an instance of
 * its own; while its guest has a transaction open its thread holds the
 * database's token (loan.c), and at no other time does it touch the tables.
 * Results return to the client through the executor, behind what was committed
 * before.
 */
#include "base/clock.h"
#include "database/database_internal.h"

enum { PROCEDURE_THREADS_MAX = 1024, IDLE_INSTANCES_MAX = 8, RESULT_BYTES_MAX = 256 << 20, CONFIRM_WAIT_MS = 5000 };

/* One for the process: no state but threads. */
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct worker_pool *pool;

static struct worker_pool *procedure_pool(void)
{
	pthread_mutex_lock(&pool_lock);
	if (pool == NULL)
		pool = worker_pool_create("procedure", PROCEDURE_THREADS_MAX, THREAD_STACK_GUEST);
	struct worker_pool *made = pool;
	pthread_mutex_unlock(&pool_lock);
	return made;
}

bool db_procedure_thread(thread_fn fn, void *arg)
{
	struct worker_pool *threads = procedure_pool();
	return threads != NULL && worker_pool_run(threads, fn, arg);
}

/* ---- instances ---- */

/* An instance of its own, and what its guest's system calls reach. */
struct procedure {
	struct database *db;
	struct runtime_env env;
	struct runtime_instance *instance;
	const struct module_def *def;    /* of the call; the caller's */
	struct runtime_program *program; /* borrowed from the instance: only compared */
	bool confirmed;                  /* its commits wait until they are durable */
	int64_t micros;                  /* of the open transaction */
	uint64_t offset;                 /* of the last one that this call committed */
	struct procedure *next_idle;
};

static void said(void *context, const struct runtime_log *record)
{
	struct procedure *procedure = context;
	procedure->db->env.log(procedure->db, record);
}

static bool tx_begin(void *context, int64_t *micros)
{
	struct procedure *procedure = context;
	struct database *db = procedure->db;
	if (!db_token_borrow(db))
		return false;
	procedure->micros = *micros = db_now(db);
	if (db->views != NULL) /* a commit may have to make views again */
		db_begin(db);
	else
		store_tx_begin(db->store);
	store_set_call_time(db->store, *micros);
	return true;
}

static bool tx_commit(void *context, struct buf *error)
{
	struct procedure *procedure = context;
	struct database *db = procedure->db;
	bool ok = db_commit(db, procedure->micros, REDUCER_NAME_UNKNOWN, NULL, true, NULL, error) == WL_OK;
	if (ok)
		procedure->offset = db->offset;
	db_token_return(db);
	return ok;
}

/* An error would make the guest run its transaction again, which has been committed. */
static bool tx_confirm(void *context, struct buf *error)
{
	const struct procedure *procedure = context;
	struct database *db = procedure->db;
	if (!procedure->confirmed || database_wait_durable(db, procedure->offset, CONFIRM_WAIT_MS))
		return true;
	buf_put_cstr(error, database_failed(db) ? "transaction committed, but durability could not be confirmed"
		: "durability confirmation timed out");
	buf_put_cstr(error, "; outcome unknown, do not retry without deduplication");
	return false;
}

static void tx_rollback(void *context)
{
	struct procedure *procedure = context;
	db_rollback(procedure->db);
	db_token_return(procedure->db);
}

/* Sleeps on the database's monitor, so that closing wakes it. */
static bool sleep_until(void *context, int64_t micros, int64_t *now)
{
	const uint64_t longest = UINT64_C(3600000000); /* at a time: the wall clock may be set meanwhile */
	struct database *db = ((struct procedure *)context)->db;
	monitor_lock(&db->sleepers);
	while (!db_is_closing(db) && (*now = clock_wall_micros()) < micros) {
		uint64_t left = (uint64_t)micros - (uint64_t)*now;
		(void)monitor_wait_nanos(&db->sleepers, (left < longest ? left : longest) * 1000);
	}
	monitor_unlock(&db->sleepers);
	return !db_is_closing(db);
}

static enum runtime_variable variable(void *context, struct str name)
{
	return db_environment_variable(((struct procedure *)context)->def, name);
}

static bool read_begin(void *context)
{
	return db_token_borrow(((struct procedure *)context)->db);
}

static void read_end(void *context)
{
	db_token_return(((struct procedure *)context)->db);
}

static void schedule_immediate(void *context, struct str name, struct bytes args)
{
	db_schedule_immediate(((struct procedure *)context)->db, name, args);
}

static bool closing(void *context)
{
	return db_is_closing(context);
}

static bool http_request(void *context, struct bytes request, struct bytes body, struct buf *response,
	struct buf *response_body, bool *malformed)
{
	struct database *db = ((struct procedure *)context)->db;
	return db->options.http(db->options.http_context, request, body, closing, db, response, response_body, malformed);
}

static void procedure_free(struct procedure *procedure)
{
	if (procedure == NULL)
		return;
	runtime_instance_destroy(procedure->instance);
	mem_free(procedure);
}

void db_procedures_drop(struct database *db)
{
	pthread_mutex_lock(&db->lock);
	struct procedure *idle = db->idle_procedures;
	db->idle_procedures = NULL;
	db->idle_procedure_count = 0;
	pthread_mutex_unlock(&db->lock);
	while (idle != NULL) {
		struct procedure *next = idle->next_idle;
		procedure_free(idle);
		idle = next;
	}
}

/* False: the module is another by now. Without an idle instance *program is a share to make one of. */
static bool take(struct database *db, const struct module_def *def, struct procedure **out,
	struct runtime_program **program)
{
	pthread_mutex_lock(&db->lock);
	bool same = db->module.def == def;
	struct procedure *procedure = same ? db->idle_procedures : NULL;
	if (procedure != NULL) {
		db->idle_procedures = procedure->next_idle;
		db->idle_procedure_count--;
	} else if (same) {
		*program = runtime_program_share(db->module.program);
	}
	pthread_mutex_unlock(&db->lock);
	*out = procedure;
	return same;
}

static struct procedure *procedure_make(struct database *db, struct runtime_program *program, struct buf *error)
{
	struct procedure *procedure = mem_zalloc(sizeof(*procedure));
	if (procedure == NULL) {
		buf_put_cstr(error, "not enough memory");
		return NULL;
	}
	procedure->db = db;
	procedure->program = program;
	procedure->env = (struct runtime_env){ .store = db->store, .database_identity = db->options.identity,
		.context = procedure, .log = said, .tx_begin = tx_begin, .tx_commit = tx_commit, .tx_rollback = tx_rollback,
		.tx_confirm = tx_confirm, .sleep_until = sleep_until, .schedule_immediate = schedule_immediate,
		.variable = variable, .read_begin = read_begin, .read_end = read_end,
		.http_request = db->options.http != NULL ? http_request : NULL };
	if (runtime_instance_create(program, &procedure->env, NULL, &procedure->instance, error) == WL_OK)
		return procedure;
	procedure_free(procedure);
	return NULL;
}

static struct procedure *procedure_get(struct database *db, const struct module_def *def, struct buf *error)
{
	struct runtime_program *program = NULL;
	struct procedure *procedure;
	if (!take(db, def, &procedure, &program)) {
		buf_put_cstr(error, "the module was replaced before the call began: call it again");
		return NULL;
	}
	if (procedure != NULL)
		return procedure;
	procedure = procedure_make(db, program, error);
	runtime_program_release(program);
	return procedure;
}

/* Kept for the next call, unless the module was replaced meanwhile. */
static void procedure_put(struct procedure *procedure)
{
	struct database *db = procedure->db;
	pthread_mutex_lock(&db->lock);
	bool keep = db->idle_procedure_count < IDLE_INSTANCES_MAX && procedure->program == db->module.program &&
		!db_is_closing(db);
	if (keep) {
		procedure->next_idle = db->idle_procedures;
		db->idle_procedures = procedure;
		db->idle_procedure_count++;
	}
	pthread_mutex_unlock(&db->lock);
	if (!keep)
		procedure_free(procedure);
}

/* Clients see where it happened; why is for the guest's own log. */
static struct str without_causes(struct str text)
{
	static const char causes[] = "\n\nCaused by:";
	const char *at = text.len == 0 ? NULL : memmem(text.data, text.len, causes, sizeof(causes) - 1);
	return at == NULL ? text : (struct str){ text.data, (size_t)(at - text.data) };
}

typedef enum runtime_outcome (*run_fn)(struct runtime_instance *instance, const struct runtime_call *call,
	struct runtime_result *result);

static void run_in_instance(struct database *db, const struct module_def *def, const struct runtime_call *call,
	bool confirmed, run_fn run, struct procedure_result *out)
{
	*out = (struct procedure_result){ .value = BUF_INIT(RESULT_BYTES_MAX), .body = BUF_INIT(RESULT_BYTES_MAX),
		.text = BUF_INIT(ERROR_TEXT_BYTES_MAX), .offset = COMMITLOG_NONE };
	struct runtime_call limited = *call;
	/* Who calls a handler is nobody that would be known again. */
	const struct identity *payer = run == runtime_call_http_handler ? NULL : &call->sender;
	out->is_exhausted = !db_energy_begin(db, payer, &limited.nanos_max);
	struct procedure *procedure = out->is_exhausted ? NULL : procedure_get(db, def, &out->text);
	if (procedure == NULL)
		return;
	struct runtime_result result = { 0 };
	procedure->offset = COMMITLOG_NONE;
	procedure->def = def;
	procedure->confirmed = confirmed;
	enum runtime_outcome outcome = run(procedure->instance, &limited, &result);
	db_energy_charge_beside(db, payer, result.worked_nanos);
	out->energy = result.worked_nanos * DATABASE_ENERGY_PER_NANO;
	out->is_exhausted = outcome == RUNTIME_EXHAUSTED;
	out->ok = outcome == RUNTIME_OK;
	out->nanos = result.nanos;
	out->offset = procedure->offset;
	if (out->ok) {
		buf_put(&out->value, result.value.data, result.value.len);
		buf_put(&out->body, result.body.data, result.body.len);
	} else {
		buf_put_str(&out->text, without_causes(result.text));
	}
	if (out->value.failed || out->body.failed) {
		buf_put_cstr(&out->text, "the returned value is too large");
		out->ok = false;
	}
	if (runtime_instance_ended(outcome))
		procedure_free(procedure);
	else
		procedure_put(procedure);
}

void db_procedure_run(struct database *db, const struct module_def *def, const struct runtime_call *call,
	bool confirmed, struct procedure_result *out)
{
	run_in_instance(db, def, call, confirmed, runtime_call_procedure, out);
}

void db_http_handler_run(struct database *db, const struct module_def *def, const struct runtime_call *call,
	struct procedure_result *out)
{
	run_in_instance(db, def, call, false, runtime_call_http_handler, out);
}

void db_procedure_result_deinit(struct procedure_result *result)
{
	buf_deinit(&result->value);
	buf_deinit(&result->body);
	buf_deinit(&result->text);
}

/* ---- network clients ---- */

struct procedure_job {
	struct database *database; /* a share */
	struct module_def *def;    /* a share: the function is its */
	const struct module_function *function;
	struct runtime_call call;
	uint8_t *args;
	uint64_t conn;
	uint32_t loop, request_id;
	uint8_t flags, protocol;
	uint64_t begin_nanos;
	struct procedure_result result;
	struct buf text; /* what the client sees when it failed */
};

static void send_v1(struct database *db, struct procedure_job *job, struct buf *out)
{
	bool json = job->protocol == PROTOCOL_V1_JSON;
	struct str text = buf_str(&job->text);
	struct bytes value = buf_bytes(&job->result.value);
	struct buf written = BUF_INIT(RESULT_BYTES_MAX);
	if (json && job->result.ok) {
		(void)sats_json_write(&written, job->function->returns, job->function->space, value.data, SATS_JSON_UNTYPED);
		value = buf_bytes(&written);
	}
	int64_t duration = job->result.ok ? (int64_t)((clock_mono_nanos() - job->begin_nanos) / 1000) : 0;
	db_v1_procedure_result(db, out, json, job->result.ok ? NULL : &text, job->result.is_exhausted, value,
		job->result.ok ? job->call.timestamp : 0, duration, job->request_id);
	out->failed = out->failed || written.failed;
	buf_deinit(&written);
}

static void put_result(struct database *db, struct procedure_job *job, struct buf *out)
{
	if (protocol_is_v1(job->protocol))
		send_v1(db, job, out);
	else if (job->result.ok)
		protocol_procedure_returned(out, job->request_id, job->call.timestamp,
			(int64_t)((clock_mono_nanos() - job->begin_nanos) / 1000), buf_bytes(&job->result.value));
	else
		protocol_procedure_internal(out, job->request_id, 0, 0, buf_str(&job->text));
}

static void send_result(struct database *db, void *arg)
{
	struct procedure_job *job = arg;
	struct buf *behind = subs_held_begin(db->subs, job->conn);
	if (UNLIKELY(behind != NULL)) {
		put_result(db, job, behind);
		subs_held_end(db->subs, job->conn, job->flags);
		return;
	}
	struct buf *out = outbox_begin(db->outbox, job->loop, DELIVERY_MESSAGE, job->flags, job->conn, 0, 0);
	if (out != NULL)
		put_result(db, job, out);
	if (out == NULL || !outbox_end(db->outbox, job->loop))
		(void)outbox_drop(db->outbox, job->loop, job->conn);
}

static void job_free(struct procedure_job *job)
{
	db_procedure_result_deinit(&job->result);
	buf_deinit(&job->text);
	module_def_release(job->def);
	mem_free(job->args);
	mem_free(job);
}

static void run_job(void *arg)
{
	struct procedure_job *job = arg;
	struct database *db = job->database;
	struct procedure_result *result = &job->result;
	db_procedure_run(db, job->def, &job->call, job->flags & DELIVERY_CONFIRMED, result);
	if (result->ok) {
		struct error why;
		size_t used;
		result->ok = sats_validate(job->function->returns_layout, result->value.data, result->value.len, &used,
			&why) == WL_OK;
		if (!result->ok)
			buf_put_cstr(&result->text, why.text);
		result->value.len = result->ok ? used : 0; /* what follows the value is not part of it */
	}
	if (result->is_exhausted)
		buf_put_cstr(&job->text, ENERGY_PROCEDURE_TEXT);
	else
		buf_printf(&job->text, "The module instance encountered a fatal error: %.*s", (int)result->text.len,
			result->text.data);
	(void)database_run(db, send_result, job);
	job_free(job);
	database_release(db);
}

static void refuse(struct database *db, struct database_client *client, uint32_t request_id, struct str text)
{
	struct procedure_job job = { .loop = client->loop, .conn = client->conn, .request_id = request_id,
		.protocol = client->protocol,
		.flags = DELIVERY_REPLY | (client->confirmed ? DELIVERY_CONFIRMED : 0), .text = BUF_INIT(1 << 20) };
	buf_put_str(&job.text, text);
	send_result(db, &job);
	buf_deinit(&job.text);
}

static struct procedure_job *job_create(struct database *db, struct database_client *client,
	const struct protocol_client_message *message)
{
	struct procedure_job *job = mem_zalloc(sizeof(*job));
	if (job == NULL)
		return NULL;
	job->args = mem_alloc(message->args.len);
	if (job->args == NULL) {
		mem_free(job);
		return NULL;
	}
	if (message->args.len > 0)
		memcpy(job->args, message->args.data, message->args.len);
	job->database = db;
	job->def = module_def_share(db->module.def);
	job->begin_nanos = clock_mono_nanos();
	job->conn = client->conn;
	job->loop = client->loop;
	job->request_id = message->request_id;
	job->protocol = client->protocol;
	job->flags = DELIVERY_REPLY | (client->confirmed ? DELIVERY_CONFIRMED : 0);
	job->text = BUF_INIT(ERROR_TEXT_BYTES_MAX);
	job->call = (struct runtime_call){ .sender = client->caller.identity, .connection = client->caller.connection,
		.timestamp = db_now(db), .args = { job->args, message->args.len } };
	return job;
}

void db_client_procedure(struct database *db, struct database_client *client,
	const struct protocol_client_message *message, const struct v1_call *v1)
{
	uint32_t id;
	size_t used;
	struct error why;
	const struct module_function *function = module_procedure(db->module.def, message->text, &id);
	if (function == NULL || (function->is_private && !db_is_owner(db, &client->caller.identity))) {
		db_log_bad_call(db, "procedure", message->text, false);
		refuse(db, client, message->request_id, STR("No such procedure"));
		return;
	}
	if (v1 != NULL && v1->refused != NULL) {
		db_log_bad_call(db, "procedure", message->text, true);
		refuse(db, client, message->request_id, str_of(v1->refused->text));
		return;
	}
	if (sats_validate(function->params_layout, message->args.data, message->args.len, &used, &why) != WL_OK) {
		db_log_bad_call(db, "procedure", message->text, true);
		buf_clear(&db->scratch);
		buf_printf(&db->scratch, "invalid arguments for procedure %.*s: %s", STR_FMT(function->name), why.text);
		refuse(db, client, message->request_id, buf_str(&db->scratch));
		return;
	}
	struct procedure_job *job = job_create(db, client, message);
	if (job != NULL) {
		job->function = function;
		job->call.id = id;
		job->call.name = function->name;
		database_share(db);
		if (db_procedure_thread(run_job, job))
			return;
		database_release(db);
		job_free(job);
	}
	refuse(db, client, message->request_id, STR("not enough memory or threads to run the procedure"));
}
