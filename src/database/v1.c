/* SPDX-License-Identifier: Apache-2.0 */
/* v1 clients: their messages, which may be JSON, and their answers. */
#include "base/clock.h"
#include "database/database_internal.h"

static bool wants_json(const struct database_client *client)
{
	return client->protocol == PROTOCOL_V1_JSON;
}

static void put(struct database *db, struct buf *out, bool json)
{
	if (json)
		protocol_v1_to_json(out, buf_bytes(&db->json));
	else
		buf_put(out, db->json.data, db->json.len);
	out->failed = out->failed || db->json.failed;
}

void db_v1_identity(struct database *db, struct database_client *client, struct buf *out)
{
	buf_clear(&db->json);
	protocol_v1_identity_token(&db->json, &client->caller.identity, (struct str){ client->token, client->token_len },
		&client->caller.connection);
	put(db, out, wants_json(client));
}

void db_v1_reply(struct database *db, const struct database_client *client, enum protocol_v1_status status,
	struct bytes body, const struct subs_event *event)
{
	bool json = wants_json(client);
	struct buf *out = outbox_begin(db->outbox, client->loop, DELIVERY_MESSAGE,
		DELIVERY_REPLY | (client->confirmed ? DELIVERY_CONFIRMED : 0), client->conn, 0, 0);
	if (out != NULL) {
		struct protocol_v1_event call = event->call;
		call.args = subs_event_args(db->subs, event, json);
		struct buf *whole = json ? &db->reply : out;
		buf_clear(&db->reply);
		protocol_v1_transaction_update(whole, status, body, &call);
		if (json)
			protocol_v1_to_json(out, buf_bytes(whole));
		out->failed = out->failed || whole->failed;
	}
	if (out == NULL || !outbox_end(db->outbox, client->loop))
		(void)outbox_drop(db->outbox, client->loop, client->conn);
}

void db_v1_procedure_result(struct database *db, struct buf *out, bool json, const struct str *text, bool exhausted,
	struct bytes value, int64_t micros, int64_t duration_micros, uint32_t request_id)
{
	buf_clear(&db->json);
	protocol_v1_procedure_result(&db->json, text, exhausted, value, micros, duration_micros, request_id);
	put(db, out, json);
}

/* The arguments of a call as BSATN. `why` is set when they cannot be read. */
static struct bytes read_args(struct buf *out, const struct module_function *function, const char *kind,
	struct str name, struct str json, struct error *why)
{
	*why = (struct error){ 0 };
	if (function != NULL)
		(void)sats_json_read_args(out, kind, name, function->params, function->space, json.data, json.len, why);
	return buf_bytes(out);
}

static void call(struct database *db, struct database_client *client, const struct protocol_v1_message *m, bool is_text)
{
	bool reducer = m->kind == V1_CALL_REDUCER;
	uint32_t id;
	struct error why = { 0 };
	struct buf args = BUF_INIT(JSON_MESSAGE_BYTES_MAX);
	struct protocol_client_message message = { .text = m->text, .args = m->args, .request_id = m->request_id };
	struct v1_call v1 = { .is_json = is_text, .is_silent = reducer && m->flags == V1_NO_SUCCESS_NOTIFY };
	if (is_text) {
		const struct module_function *function = reducer ? module_reducer(db->module.def, m->text, &id)
			: module_procedure(db->module.def, m->text, &id);
		v1.json = (struct str){ (const char *)m->args.data, m->args.len };
		message.args = read_args(&args, function, reducer ? "reducer" : "procedure", m->text, v1.json, &why);
		v1.refused = why.code != WL_OK ? &why : NULL;
	}
	if (reducer)
		db_client_call(db, client, &message, &v1);
	else
		db_client_procedure(db, client, &message, &v1);
	buf_deinit(&args);
}

void db_v1_message(struct database *db, struct database_client *client, const uint8_t *data, size_t len, bool is_text)
{
	struct protocol_v1_message message;
	struct error error = { 0 };
	struct buf translated = BUF_INIT(JSON_MESSAGE_BYTES_MAX);
	enum wl_err err = WL_OK;
	if (is_text) { /* the frame decides, not what was agreed on */
		err = protocol_v1_from_json((struct str){ (const char *)data, len }, &translated, &error);
		data = translated.data;
		len = translated.len;
	}
	if (err == WL_OK)
		err = protocol_v1_decode(data, len, &message, &error);
	bool changes = err == WL_OK && (message.kind == V1_CALL_REDUCER || message.kind == V1_CALL_PROCEDURE);
	if (err != WL_OK) {
		db_client_close(db, client, error.text);
	} else if (!db_client_left(client, changes)) {
		switch ((enum protocol_v1_kind)message.kind) {
		case V1_CALL_REDUCER:
		case V1_CALL_PROCEDURE:
			call(db, client, &message, is_text);
			break;
		case V1_SUBSCRIBE:
		case V1_SUBSCRIBE_SINGLE:
		case V1_SUBSCRIBE_MULTI:
			subs_v1_subscribe(db->subs, client->subs, &message);
			break;
		case V1_UNSUBSCRIBE:
		case V1_UNSUBSCRIBE_MULTI:
			subs_v1_unsubscribe(db->subs, client->subs, &message);
			break;
		case V1_ONE_OFF_QUERY:
			subs_v1_one_off(db->subs, client->subs, &message);
			break;
		}
	}
	buf_deinit(&translated);
}
