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
	store_set_call_time(db->store, call->micros); /* schedule delays are counted from here */
	struct runtime_call guest = { .id = call->id, .name = call->function->name, .sender = call->caller.identity,
		.connection = call->caller.connection, .timestamp = call->micros, .args = call->args,
		.now_nanos = db->now_nanos };
	struct runtime_result result = { 0 };
	db_count(&db->reducer_calls, 1);
	enum runtime_outcome outcome = runtime_call_reducer(db->module.instance, &guest, &result);
	if (LIKELY(db->now_nanos != 0))
		db->now_nanos = result.end_nanos;
	*nanos = result.nanos;
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
	if (outcome == RUNTIME_TIMEOUT)
		db_log_failure(db, call->micros, call->function->name, *text);
	if (outcome == RUNTIME_TRAP || outcome == RUNTIME_TIMEOUT)
		db_instance_drop(db);
	return outcome;
}

/* ---- answers to network clients ---- */

static struct buf *reply_begin(struct database *db, const struct database_client *client)
{
	return outbox_begin(db->outbox, client->loop, DELIVERY_MESSAGE,
		DELIVERY_REPLY | (client->confirmed ? DELIVERY_CONFIRMED : 0), client->conn, 0, 0);
}

static void reply_end(struct database *db, const struct database_client *client, const struct buf *out)
{
	if (out == NULL || !outbox_end(db->outbox, client->loop))
		(void)outbox_put(db->outbox, client->loop, DELIVERY_DROP, 0, client->conn, 0, 0);
}

static void reply_internal(struct database *db, const struct database_client *client, uint32_t request_id,
	int64_t micros, struct str text)
{
	struct buf *out = reply_begin(db, client);
	if (out != NULL)
		protocol_reducer_internal(out, request_id, micros, text);
	reply_end(db, client, out);
}

static void reply_committed(struct database *db, const struct database_client *client, uint32_t request_id,
	int64_t micros, struct bytes update)
{
	struct buf *out = reply_begin(db, client);
	if (out != NULL) {
		protocol_reducer_ok(out, request_id, micros, 0);
		if (!out->failed) {
			out->len -= 4; /* the update leads with its own count of sets */
			buf_put(out, update.data, update.len);
		}
	}
	reply_end(db, client, out);
}

static bool arguments_valid(const struct module_function *function, struct bytes args, struct error *error)
{
	size_t used;
	return sats_validate(function->params_layout, args.data, args.len, &used, error) == WL_OK;
}

static void refuse(struct database *db, struct database_client *client, const struct protocol_client_message *message,
	enum database_outcome outcome)
{
	if (outcome == DATABASE_NO_SUCH)
		db_log_bad_call(db, "reducer", message->text, false);
	reply_internal(db, client, message->request_id, db_now(db), buf_str(&db->scratch));
}

void db_client_call(struct database *db, struct database_client *client,
	const struct protocol_client_message *message)
{
	enum database_outcome refused = DATABASE_NO_SUCH;
	buf_clear(&db->scratch);
	struct db_call call = { .caller = client->caller, .args = message->args };
	call.function = db_find_reducer(db, message->text, &client->caller.identity, &call.id, &refused, &db->scratch);
	if (call.function == NULL) {
		refuse(db, client, message, refused);
		return;
	}
	struct error why;
	if (UNLIKELY(!arguments_valid(call.function, call.args, &why))) {
		struct error whole;
		(void)sats_args_refused(&whole, "reducer", message->text, STR(""), str_of(why.text));
		buf_put_cstr(&db->scratch, whole.text);
		db_log_bad_call(db, "reducer", message->text, true);
		refuse(db, client, message, DATABASE_BAD_ARGUMENTS);
		return;
	}
	call.micros = db_now(db);
	struct str text;
	uint64_t nanos;
	db_begin(db);
	switch (db_run_reducer(db, &call, &text, &nanos)) {
	case RUNTIME_OK: {
		struct bytes update;
		if (LIKELY(db_commit(db, call.micros, call.id, client->subs, true, &update, &db->scratch) == WL_OK))
			reply_committed(db, client, message->request_id, call.micros, update);
		else
			reply_internal(db, client, message->request_id, call.micros, buf_str(&db->scratch));
		break;
	}
	case RUNTIME_USER_ERROR: {
		/* The text lives in the instance; nothing runs there before it is encoded. */
		db_rollback(db);
		struct buf *out = reply_begin(db, client);
		if (out != NULL)
			protocol_reducer_error(out, message->request_id, call.micros, text);
		reply_end(db, client, out);
		break;
	}
	case RUNTIME_TIMEOUT:
		db_rollback(db);
		reply_internal(db, client, message->request_id, call.micros, text);
		break;
	case RUNTIME_FAILED:
	case RUNTIME_TRAP:
		db_rollback(db);
		reply_internal(db, client, message->request_id, call.micros, STR(RUNTIME_FATAL_TEXT));
		break;
	}
}
