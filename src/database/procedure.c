/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Procedure calls: never on the executor. Each has an instance of its own, over
 * an empty store in which no transaction is ever open, so that a table call
 * answers "not in a transaction". Results return to the client through the
 * executor, behind what was committed before.
 */
#include "base/clock.h"
#include "database/database_internal.h"

enum { PROCEDURE_THREADS_MAX = 1024, RESULT_BYTES_MAX = 256 << 20 };

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

bool db_procedure_run(struct database *db, const struct runtime_call *call, struct buf *value, struct buf *text,
	uint64_t *nanos)
{
	struct runtime_env env = { .store = store_create(), .database_identity = db->options.identity, .context = db,
		.log = db->env.log };
	struct runtime_instance *instance = NULL;
	pthread_mutex_lock(&db->lock);
	struct runtime_program *program = runtime_program_share(db->module.program);
	pthread_mutex_unlock(&db->lock);
	struct runtime_result result = { 0 };
	bool ok = false;
	if (env.store == NULL) {
		buf_put_cstr(text, "not enough memory");
	} else if (runtime_instance_create(program, &env, NULL, &instance, text) == WL_OK) {
		ok = runtime_call_procedure(instance, call, &result) == RUNTIME_OK;
		if (ok)
			buf_put(value, result.value.data, result.value.len);
		else
			buf_put_str(text, result.text);
		if (ok && value->failed) {
			buf_put_cstr(text, "the returned value is too large");
			ok = false;
		}
	}
	*nanos = result.nanos;
	runtime_instance_destroy(instance);
	store_destroy(env.store);
	runtime_program_release(program);
	return ok;
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
	uint8_t flags;
	uint64_t begin_nanos;
	bool ok;
	struct buf value, text;
};

static void send_result(struct database *db, void *arg)
{
	struct procedure_job *job = arg;
	struct buf *out = outbox_begin(db->outbox, job->loop, DELIVERY_MESSAGE, job->flags, job->conn, 0, 0);
	if (out != NULL && job->ok)
		protocol_procedure_returned(out, job->request_id, job->call.timestamp,
			(int64_t)((clock_mono_nanos() - job->begin_nanos) / 1000), buf_bytes(&job->value));
	else if (out != NULL)
		protocol_procedure_internal(out, job->request_id, 0, 0, buf_str(&job->text));
	if (out == NULL || !outbox_end(db->outbox, job->loop))
		(void)outbox_put(db->outbox, job->loop, DELIVERY_DROP, 0, job->conn, 0, 0);
}

static void job_free(struct procedure_job *job)
{
	buf_deinit(&job->value);
	buf_deinit(&job->text);
	module_def_release(job->def);
	mem_free(job->args);
	mem_free(job);
}

static void run_job(void *arg)
{
	struct procedure_job *job = arg;
	struct database *db = job->database;
	uint64_t nanos;
	struct buf text = BUF_INIT(ERROR_TEXT_BYTES_MAX);
	job->ok = db_procedure_run(db, &job->call, &job->value, &text, &nanos);
	if (job->ok) {
		struct error why;
		size_t used;
		job->ok = sats_validate(job->function->returns_layout, job->value.data, job->value.len, &used, &why) == WL_OK;
		if (!job->ok)
			buf_printf(&text, "the returned value is not of the declared type: %s", why.text);
		job->value.len = job->ok ? used : 0; /* what follows the value is not part of it */
	}
	buf_printf(&job->text, "The module instance encountered a fatal error: %.*s", (int)text.len, text.data);
	buf_deinit(&text);
	(void)database_run(db, send_result, job);
	job_free(job);
	database_release(db);
}

static void refuse(struct database *db, struct database_client *client, uint32_t request_id, struct str text)
{
	struct procedure_job job = { .loop = client->loop, .conn = client->conn, .request_id = request_id,
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
	job->flags = DELIVERY_REPLY | (client->confirmed ? DELIVERY_CONFIRMED : 0);
	job->value = BUF_INIT(RESULT_BYTES_MAX);
	job->text = BUF_INIT(ERROR_TEXT_BYTES_MAX);
	job->call = (struct runtime_call){ .sender = client->caller.identity, .connection = client->caller.connection,
		.timestamp = db_now(db), .args = { job->args, message->args.len } };
	return job;
}

void db_client_procedure(struct database *db, struct database_client *client,
	const struct protocol_client_message *message)
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
	if (sats_validate(function->params_layout, message->args.data, message->args.len, &used, &why) != WL_OK) {
		struct error whole;
		(void)sats_args_refused(&whole, "procedure", message->text, STR(""), str_of(why.text));
		db_log_bad_call(db, "procedure", message->text, true);
		refuse(db, client, message->request_id, str_of(whole.text));
		return;
	}
	struct procedure_job *job = job_create(db, client, message);
	struct worker_pool *threads = procedure_pool();
	if (job != NULL) {
		job->function = function;
		job->call.id = id;
		job->call.name = function->name;
		database_share(db);
		if (threads != NULL && worker_pool_run(threads, run_job, job))
			return;
		database_release(db);
		job_free(job);
	}
	refuse(db, client, message->request_id, STR("not enough memory or threads to run the procedure"));
}
