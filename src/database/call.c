/* SPDX-License-Identifier: Apache-2.0 */
/* Reducer calls: who may call what, one transaction each, and the answer. */
#include "base/log.h"
#include "database/database_internal.h"
#include "database/module_log.h"

#include <stdarg.h>
#include <stdio.h>

enum { LEVEL_ERROR = 0 };

bool db_is_owner(const struct database *db, const struct identity *identity)
{
	return identity_eq(&db->options.owner, identity);
}

/* ---- the module log ---- */

static void log_record(struct database *db, uint8_t level, struct str place, struct str function, struct str message,
	int64_t micros)
{
	if (db->log == NULL)
		return;
	struct module_log_record record = { .level = level, .ts_micros = micros, .target = place, .filename = place,
		.line = UINT32_MAX, .function = function, .message = message };
	module_log_append(db->log, &record);
}

void db_log_failure(struct database *db, int64_t micros, struct str function, struct str message)
{
	log_record(db, LEVEL_ERROR, STR("__spacetimedb__"), function, message, micros);
}

void db_log_host(struct database *db, uint8_t level, const char *format, ...)
{
	struct buf text = BUF_INIT(64 << 10);
	va_list args;
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	log_record(db, level, STR("__spacetimedb__"), STR("__spacetimedb__"), buf_str(&text), db_now(db));
	buf_deinit(&text);
}

void db_log_bad_call(struct database *db, const char *kind, struct str name, bool arguments)
{
	struct buf text = BUF_INIT(64 << 10);
	buf_printf(&text, "External attempt to call %s%s \"%.*s\" failed%s", arguments ? "" : "nonexistent ", kind,
		(int)size_min(name.len, 1024), name.data, arguments
		? ", invalid arguments.\nThis is likely due to a mismatched client schema, have you run `spacetime generate` "
		  "recently?"
		: ". Have you run `spacetime generate` recently?");
	log_record(db, LEVEL_ERROR, STR("__spacetimedb__"), name, buf_str(&text), db_now(db));
	buf_deinit(&text);
}

/* ---- the instance ---- */

enum wl_err db_instance_ready(struct database *db, struct buf *error)
{
	if (LIKELY(db->module.instance != NULL))
		return WL_OK;
	ASSERT(!store_tx_active(db->store)); /* initialisers run outside transactions */
	return runtime_instance_create(db->module.program, &db->env, NULL, &db->module.instance, error);
}

void db_begin(struct database *db)
{
	if (UNLIKELY(db->module.instance == NULL)) {
		struct buf why = BUF_INIT(ERROR_TEXT_BYTES_MAX);
		if (db_instance_ready(db, &why) != WL_OK)
			log_warn("a module cannot be instantiated: %s", buf_text(&why));
		buf_deinit(&why);
	}
	store_tx_begin(db->store);
}

void db_instance_drop(struct database *db)
{
	runtime_instance_destroy(db->module.instance);
	db->module.instance = NULL;
	atomic_store_explicit(&db->guest_bytes, 0, memory_order_relaxed);
}

/* ---- calls ---- */

const struct module_function *db_find_reducer(struct database *db, struct str name,
	const struct identity *caller, uint32_t *id, enum database_outcome *outcome, struct buf *why)
{
	static const char *const lifecycles[] = { "Init", "OnConnect", "OnDisconnect" };
	const struct module_function *function = module_reducer(db->module.def, name, id);
	if (function != NULL && function->lifecycle < MODULE_LIFECYCLE_COUNT) {
		*outcome = DATABASE_IS_LIFECYCLE;
		buf_printf(why, "can't directly call special %s lifecycle reducer", lifecycles[function->lifecycle]);
		return NULL;
	}
	if (function == NULL || (function->is_private && !db_is_owner(db, caller))) {
		*outcome = DATABASE_NO_SUCH;
		buf_put_cstr(why, "no such reducer");
		return NULL;
	}
	return function;
}

enum runtime_outcome db_run_reducer(struct database *db, const struct db_call *call, struct str *text,
	uint64_t *nanos)
{
	db_assert_executor(db);
	if (UNLIKELY(db->module.instance == NULL)) {
		*nanos = 0;
		*text = STR("the module could not be instantiated");
		return RUNTIME_TRAP;
	}
	uint64_t nanos_max;
	if (UNLIKELY(!db_energy_begin(db, &call->caller.identity, &nanos_max))) {
		*nanos = 0;
		*text = STR(ENERGY_REDUCER_TEXT);
		return RUNTIME_EXHAUSTED;
	}
	store_set_call_time(db->store, call->micros); /* schedule delays are counted from here */
	struct runtime_call guest = { .id = call->id, .name = call->function->name, .sender = call->caller.identity,
		.connection = call->caller.connection, .timestamp = call->micros, .args = call->args,
		.now_nanos = db->now_nanos, .nanos_max = nanos_max };
	struct runtime_result result = { 0 };
	db_count(&db->reducer_calls, 1);
	enum runtime_outcome outcome = runtime_call_reducer(db->module.instance, &guest, &result);
	if (LIKELY(db->now_nanos != 0))
		db->now_nanos = result.end_nanos;
	*nanos = result.nanos;
	db_energy_charge(db, &call->caller.identity, result.worked_nanos);
	*text = result.text;
	if (LIKELY(outcome == RUNTIME_OK))
		return outcome;
	if (outcome == RUNTIME_USER_ERROR) {
		db_log_failure(db, call->micros, call->function->name, result.text);
		return outcome;
	}
	/* The reason is for the host's log; clients see one fixed text. `scratch` outlives the instance. */
	buf_clear(&db->scratch);
	buf_put_str(&db->scratch, result.text);
	*text = buf_str(&db->scratch);
	if (outcome == RUNTIME_TIMEOUT || outcome == RUNTIME_EXHAUSTED)
		db_log_failure(db, call->micros, call->function->name, *text);
	if (runtime_instance_ended(outcome))
		db_instance_drop(db);
	return outcome;
}

/* ---- answers to network clients ---- */

/* A call of a network client, from its message to its answer. */
struct client_call {
	struct database_client *client;
	const struct v1_call *v1;  /* NULL: v2 */
	uint32_t request_id;
	struct subs_event event;   /* for v1, of this client or of others */
};

static struct buf *reply_begin(struct database *db, const struct database_client *client)
{
	return outbox_begin(db->outbox, client->loop, DELIVERY_MESSAGE,
		DELIVERY_REPLY | (client->confirmed ? DELIVERY_CONFIRMED : 0), client->conn, 0, 0);
}

static void reply_end(struct database *db, const struct database_client *client, const struct buf *out)
{
	if (out == NULL || !outbox_end(db->outbox, client->loop))
		(void)outbox_drop(db->outbox, client->loop, client->conn);
}

static void reply_failed(struct database *db, struct client_call *c, struct str text, bool is_error)
{
	const struct database_client *client = c->client;
	if (UNLIKELY(c->v1 != NULL)) {
		if (!c->v1->is_silent)
			db_v1_reply(db, client, V1_FAILED, (struct bytes){ (const uint8_t *)text.data, text.len }, &c->event);
		return;
	}
	struct buf *out = reply_begin(db, client);
	if (out != NULL && is_error)
		protocol_reducer_error(out, c->request_id, c->event.call.micros, text);
	else if (out != NULL)
		protocol_reducer_internal(out, c->request_id, c->event.call.micros, text);
	reply_end(db, client, out);
}

static void reply_exhausted(struct database *db, struct client_call *c)
{
	if (c->v1 == NULL)
		reply_failed(db, c, STR(ENERGY_REDUCER_TEXT), false);
	else if (!c->v1->is_silent)
		db_v1_reply(db, c->client, V1_OUT_OF_ENERGY, (struct bytes){ NULL, 0 }, &c->event);
}

static void reply_committed(struct database *db, struct client_call *c, struct bytes update)
{
	const struct database_client *client = c->client;
	if (UNLIKELY(c->v1 != NULL)) {
		if (!c->v1->is_silent)
			db_v1_reply(db, client, V1_COMMITTED, update, &c->event);
		return;
	}
	struct buf *out = reply_begin(db, client);
	if (out != NULL) {
		protocol_reducer_ok(out, c->request_id, c->event.call.micros, 0);
		if (!out->failed) {
			out->len -= 4; /* the update leads with its own count of sets */
			buf_put(out, update.data, update.len);
		}
	}
	reply_end(db, client, out);
}

/* Before it began: `db->scratch` says why. v1 then knows no request and no arguments. */
static void refuse(struct database *db, struct client_call *c, struct str name, enum database_outcome outcome)
{
	if (outcome == DATABASE_NO_SUCH)
		db_log_bad_call(db, "reducer", name, false);
	if (outcome == DATABASE_BAD_ARGUMENTS)
		db_log_bad_call(db, "reducer", name, true);
	c->event.call.micros = db_now(db);
	c->event.call.request_id = 0;
	c->event.call.args = (struct bytes){ NULL, 0 };
	c->event.args_json = STR("[]");
	if (c->v1 != NULL && !module_is_identifier(name))
		c->event.call.reducer = STR("");
	if (c->v1 != NULL && c->v1->is_silent) { /* it hears of this all the same */
		struct v1_call loud = *c->v1;
		loud.is_silent = false;
		c->v1 = &loud;
		reply_failed(db, c, buf_str(&db->scratch), false);
		return;
	}
	reply_failed(db, c, buf_str(&db->scratch), false);
}

/* What is wrong with the arguments into db->scratch; false: nothing. */
static bool bad_arguments(struct database *db, const struct client_call *c, const struct db_call *call, struct str name)
{
	size_t used;
	struct error why, whole;
	if (c->v1 != NULL && c->v1->refused != NULL) {
		buf_put_cstr(&db->scratch, c->v1->refused->text);
		return true;
	}
	if (LIKELY(sats_validate(call->function->params_layout, call->args.data, call->args.len, &used, &why) == WL_OK))
		return false;
	(void)sats_args_refused(&whole, "reducer", name, STR(""), str_of(why.text));
	buf_put_cstr(&db->scratch, whole.text);
	return true;
}

static void run_call(struct database *db, struct client_call *c, const struct db_call *call)
{
	struct str text;
	uint64_t nanos;
	bool is_silent = c->v1 != NULL && c->v1->is_silent;
	db_begin(db);
	enum runtime_outcome outcome = db_run_reducer(db, call, &text, &nanos);
	c->event.call.duration_micros = (int64_t)(nanos / 1000);
	c->event.call.energy = nanos * DATABASE_ENERGY_PER_NANO;
	if (LIKELY(outcome == RUNTIME_OK)) {
		struct bytes update;
		db->event = &c->event;
		enum wl_err err = db_commit(db, call->micros, call->id, is_silent ? NULL : c->client->subs, true, &update,
			&db->scratch);
		db->event = NULL;
		if (LIKELY(err == WL_OK))
			reply_committed(db, c, update);
		else
			reply_failed(db, c, buf_str(&db->scratch), false);
		return;
	}
	/* A user's text lives in the instance; nothing runs there before it is encoded. */
	db_rollback(db);
	if (UNLIKELY(outcome == RUNTIME_EXHAUSTED)) {
		reply_exhausted(db, c);
		return;
	}
	bool shown = outcome == RUNTIME_USER_ERROR || outcome == RUNTIME_TIMEOUT;
	reply_failed(db, c, shown ? text : STR(RUNTIME_FATAL_TEXT), outcome == RUNTIME_USER_ERROR);
}

void db_client_call(struct database *db, struct database_client *client,
	const struct protocol_client_message *message, const struct v1_call *v1)
{
	enum database_outcome refused = DATABASE_NO_SUCH;
	struct client_call c = { .client = client, .v1 = v1, .request_id = message->request_id,
		.event = { .call = { .caller = client->caller.identity, .connection = client->caller.connection,
			.reducer = message->text, .reducer_id = REDUCER_NAME_UNKNOWN, .request_id = message->request_id,
			.args = message->args }, .args_json = v1 != NULL ? v1->json : (struct str){ NULL, 0 } } };
	buf_clear(&db->scratch);
	struct db_call call = { .caller = client->caller, .args = message->args };
	call.id = REDUCER_NAME_UNKNOWN;
	call.function = db_find_reducer(db, message->text, &client->caller.identity, &call.id, &refused, &db->scratch);
	if (refused != DATABASE_NO_SUCH || call.function != NULL)
		c.event.call.reducer_id = call.id;
	if (call.function == NULL) {
		refuse(db, &c, message->text, refused);
		return;
	}
	if (UNLIKELY(bad_arguments(db, &c, &call, message->text))) {
		refuse(db, &c, message->text, DATABASE_BAD_ARGUMENTS);
		return;
	}
	c.event.params = call.function->params;
	c.event.space = call.function->space;
	c.event.call.micros = call.micros = db_now(db);
	run_call(db, &c, &call);
}
