/* SPDX-License-Identifier: Apache-2.0 */
/* The v1 messages as BSATN: decoding what clients send, encoding what they get. */
#include "protocol/v1.h"

enum { /* server message tags */
	TAG_INITIAL_SUBSCRIPTION, TAG_TRANSACTION_UPDATE, TAG_LIGHT_UPDATE, TAG_IDENTITY_TOKEN, TAG_ONE_OFF,
	TAG_SUBSCRIBE_APPLIED, TAG_UNSUBSCRIBE_APPLIED, TAG_SUBSCRIPTION_ERROR, TAG_MULTI_APPLIED, TAG_MULTI_UNAPPLIED,
	TAG_PROCEDURE_RESULT,
};
enum { SOME, NONE };

/* ---- client messages ---- */

static void read_call(struct reader *r, struct protocol_v1_message *out)
{
	out->text = reader_bsatn_str(r);
	out->args = reader_bsatn_bytes(r);
	out->request_id = reader_u32(r);
	out->flags = reader_u8(r);
}

static void read_queries(struct reader *r, struct protocol_v1_message *out)
{
	out->query_count = reader_u32(r);
	const uint8_t *begin = r->at;
	for (uint32_t i = 0; i < out->query_count && i < PROTOCOL_QUERIES_MAX && !r->failed; i++)
		(void)reader_bsatn_str(r);
	out->queries = (struct bytes){ begin, (size_t)(r->at - begin) };
}

static void read_one_query(struct reader *r, struct protocol_v1_message *out)
{
	const uint8_t *begin = r->at;
	(void)reader_bsatn_str(r);
	out->query_count = 1;
	out->queries = (struct bytes){ begin, (size_t)(r->at - begin) };
}

static void read_message(struct reader *r, struct protocol_v1_message *out)
{
	switch ((enum protocol_v1_kind)out->kind) {
	case V1_CALL_REDUCER:
	case V1_CALL_PROCEDURE:
		read_call(r, out);
		break;
	case V1_SUBSCRIBE:
		read_queries(r, out);
		if (out->query_count <= PROTOCOL_QUERIES_MAX)
			out->request_id = reader_u32(r);
		break;
	case V1_ONE_OFF_QUERY:
		out->message_id = reader_bsatn_bytes(r);
		out->text = reader_bsatn_str(r);
		break;
	case V1_SUBSCRIBE_SINGLE:
		read_one_query(r, out);
		out->request_id = reader_u32(r);
		out->query_id = reader_u32(r);
		break;
	case V1_SUBSCRIBE_MULTI:
		read_queries(r, out);
		if (out->query_count <= PROTOCOL_QUERIES_MAX) {
			out->request_id = reader_u32(r);
			out->query_id = reader_u32(r);
		}
		break;
	case V1_UNSUBSCRIBE:
	case V1_UNSUBSCRIBE_MULTI:
		out->request_id = reader_u32(r);
		out->query_id = reader_u32(r);
		break;
	}
}

enum wl_err protocol_v1_decode(const uint8_t *data, size_t len, struct protocol_v1_message *out, struct error *error)
{
	struct reader r = reader_of(data, len);
	*out = (struct protocol_v1_message){ .kind = reader_u8(&r) };
	if (!r.failed && out->kind > V1_CALL_PROCEDURE)
		return fail(error, WL_ERR_INVALID, "unknown tag 0x%x for sum type ClientMessage", out->kind);
	if (!r.failed)
		read_message(&r, out);
	if (!r.failed && out->query_count > PROTOCOL_QUERIES_MAX)
		return fail(error, WL_ERR_LIMIT, "a subscription holds at most %d queries", PROTOCOL_QUERIES_MAX);
	bool is_call = out->kind == V1_CALL_REDUCER || out->kind == V1_CALL_PROCEDURE;
	if (!r.failed && is_call && out->flags > (out->kind == V1_CALL_REDUCER ? V1_NO_SUCCESS_NOTIFY : V1_FULL_UPDATE))
		return fail(error, WL_ERR_INVALID, "invalid call %s flag %u",
			out->kind == V1_CALL_REDUCER ? "reducer" : "procedure", out->flags);
	return r.failed ? protocol_reader_error(&r, error) : WL_OK;
}

/* ---- server messages ---- */

void protocol_v1_identity_token(struct buf *out, const struct identity *identity, struct str token,
	const struct connection_id *connection)
{
	buf_put_u8(out, TAG_IDENTITY_TOKEN);
	buf_put(out, identity->le, sizeof(identity->le));
	buf_put_bsatn_str(out, token);
	buf_put(out, connection->le, sizeof(connection->le));
}

void protocol_v1_transaction_update(struct buf *out, enum protocol_v1_status status, struct bytes body,
	const struct protocol_v1_event *event)
{
	buf_put_u8(out, TAG_TRANSACTION_UPDATE);
	buf_put_u8(out, (uint8_t)status);
	if (status == V1_COMMITTED)
		buf_put(out, body.data, body.len);
	else if (status == V1_FAILED)
		buf_put_bsatn_bytes(out, body.data, body.len);
	buf_put_u64(out, (uint64_t)event->micros);
	buf_put(out, event->caller.le, sizeof(event->caller.le));
	buf_put(out, event->connection.le, sizeof(event->connection.le));
	buf_put_bsatn_str(out, event->reducer);
	buf_put_u32(out, event->reducer_id);
	buf_put_bsatn_bytes(out, event->args.data, event->args.len);
	buf_put_u32(out, event->request_id);
	buf_put_u128(out, event->energy);
	buf_put_u64(out, (uint64_t)event->duration_micros);
}

void protocol_v1_light_update(struct buf *out, uint32_t request_id, struct bytes update)
{
	buf_put_u8(out, TAG_LIGHT_UPDATE);
	buf_put_u32(out, request_id);
	buf_put(out, update.data, update.len);
}

void protocol_v1_initial_subscription(struct buf *out, uint32_t request_id, struct bytes update, int64_t micros)
{
	buf_put_u8(out, TAG_INITIAL_SUBSCRIPTION);
	buf_put(out, update.data, update.len);
	buf_put_u32(out, request_id);
	buf_put_u64(out, (uint64_t)micros);
}

void protocol_v1_applied(struct buf *out, enum protocol_v1_kind kind, uint32_t request_id, int64_t micros,
	uint32_t query_id, struct bytes update)
{
	static const uint8_t tags[] = { [V1_SUBSCRIBE_SINGLE] = TAG_SUBSCRIBE_APPLIED,
		[V1_UNSUBSCRIBE] = TAG_UNSUBSCRIBE_APPLIED, [V1_SUBSCRIBE_MULTI] = TAG_MULTI_APPLIED,
		[V1_UNSUBSCRIBE_MULTI] = TAG_MULTI_UNAPPLIED };
	buf_put_u8(out, tags[kind]);
	buf_put_u32(out, request_id);
	buf_put_u64(out, (uint64_t)micros);
	buf_put_u32(out, query_id);
	buf_put(out, update.data, update.len);
}

static void put_option(struct buf *out, const uint32_t *value)
{
	buf_put_u8(out, value != NULL ? SOME : NONE);
	if (value != NULL)
		buf_put_u32(out, *value);
}

void protocol_v1_subscription_error(struct buf *out, int64_t micros, const uint32_t *request_id,
	const uint32_t *query_id, struct str text)
{
	buf_put_u8(out, TAG_SUBSCRIPTION_ERROR);
	buf_put_u64(out, (uint64_t)micros);
	put_option(out, request_id);
	put_option(out, query_id);
	put_option(out, NULL);
	buf_put_bsatn_str(out, text);
}

void protocol_v1_one_off(struct buf *out, struct bytes message_id, const struct str *error, uint32_t table_count,
	struct bytes tables, int64_t micros)
{
	buf_put_u8(out, TAG_ONE_OFF);
	buf_put_bsatn_bytes(out, message_id.data, message_id.len);
	buf_put_u8(out, error != NULL ? SOME : NONE);
	if (error != NULL)
		buf_put_bsatn_str(out, *error);
	buf_put_u32(out, table_count);
	buf_put(out, tables.data, tables.len);
	buf_put_u64(out, (uint64_t)micros);
}

enum { RETURNED, OUT_OF_ENERGY, INTERNAL_ERROR };
void protocol_v1_procedure_result(struct buf *out, const struct str *text, bool exhausted, struct bytes value,
	int64_t micros, int64_t duration_micros, uint32_t request_id)
{
	buf_put_u8(out, TAG_PROCEDURE_RESULT);
	buf_put_u8(out, text == NULL ? RETURNED : exhausted ? OUT_OF_ENERGY : INTERNAL_ERROR);
	if (text != NULL && !exhausted)
		buf_put_bsatn_str(out, *text);
	else if (text == NULL)
		buf_put_bsatn_bytes(out, value.data, value.len);
	buf_put_u64(out, (uint64_t)micros);
	buf_put_u64(out, (uint64_t)duration_micros);
	buf_put_u32(out, request_id);
}
