/* SPDX-License-Identifier: Apache-2.0 */
/* The v2 messages (v3 carries the same): decoding what clients send, encoding what they get. */
#include "protocol/protocol.h"

enum { /* server message tags */
	TAG_INITIAL_CONNECTION, TAG_SUBSCRIBE_APPLIED, TAG_UNSUBSCRIBE_APPLIED, TAG_SUBSCRIPTION_ERROR,
	TAG_TRANSACTION_UPDATE, TAG_ONE_OFF_RESULT, TAG_REDUCER_RESULT, TAG_PROCEDURE_RESULT, TAG_BATCH_APPLIED,
};
enum { OUTCOME_OK, OUTCOME_OK_EMPTY, OUTCOME_ERR, OUTCOME_INTERNAL };

enum wl_err protocol_reader_error(const struct reader *r, struct error *error)
{
	if (strcmp(r->what, "utf8") == 0)
		return fail(error, WL_ERR_INVALID, "invalid utf8");
	return fail(error, WL_ERR_INVALID, "data too short for %s: Expected %zu, given %zu", r->what, r->wanted, r->given);
}

static enum wl_err decode_subscribe(struct reader *r, struct protocol_client_message *out, struct error *error)
{
	out->request_id = reader_u32(r);
	out->query_set_id = reader_u32(r);
	out->query_count = reader_u32(r);
	if (!r->failed && out->query_count > PROTOCOL_QUERIES_MAX)
		return fail(error, WL_ERR_LIMIT, "a subscription holds at most %d queries", PROTOCOL_QUERIES_MAX);
	const uint8_t *begin = r->at;
	for (uint32_t i = 0; i < out->query_count && !r->failed; i++)
		(void)reader_bsatn_str(r);
	out->queries = (struct bytes){ begin, (size_t)(r->at - begin) };
	return WL_OK;
}

static enum wl_err decode_batch(struct reader *r, struct protocol_client_message *out, struct error *error)
{
	uint64_t queries = 0;
	out->request_id = reader_u32(r);
	out->set_count = reader_u32(r);
	const uint8_t *begin = r->at;
	for (uint32_t s = 0; s < out->set_count && !r->failed; s++) {
		(void)reader_u32(r);
		uint32_t count = reader_u32(r);
		queries += count + (uint64_t)1; /* empty sets count as well */
		if (!r->failed && queries > PROTOCOL_QUERIES_MAX)
			return fail(error, WL_ERR_LIMIT, "a subscription holds at most %d queries", PROTOCOL_QUERIES_MAX);
		for (uint32_t i = 0; i < count && !r->failed; i++)
			(void)reader_bsatn_str(r);
	}
	out->sets = (struct bytes){ begin, (size_t)(r->at - begin) };
	return WL_OK;
}

static enum wl_err decode_call(struct reader *r, struct protocol_client_message *out, struct error *error)
{
	out->request_id = reader_u32(r);
	uint8_t flags = reader_u8(r);
	if (!r->failed && flags != 0)
		return fail(error, WL_ERR_INVALID, "invalid call %s flag %u",
			out->kind == PROTOCOL_CALL_REDUCER ? "reducer" : "procedure", flags);
	out->text = reader_bsatn_str(r);
	out->args = reader_bsatn_bytes(r);
	return WL_OK;
}

static enum wl_err decode_unsubscribe(struct reader *r, struct protocol_client_message *out, struct error *error)
{
	out->request_id = reader_u32(r);
	out->query_set_id = reader_u32(r);
	out->flags = reader_u8(r);
	if (!r->failed && out->flags > 1)
		return fail(error, WL_ERR_INVALID, "unknown tag 0x%x for sum type UnsubscribeFlags", out->flags);
	return WL_OK;
}

enum wl_err protocol_v2_decode(struct reader *r, struct protocol_client_message *out, struct error *error)
{
	*out = (struct protocol_client_message){ .kind = reader_u8(r) };
	enum wl_err err = WL_OK;
	if (r->failed)
		return protocol_reader_error(r, error);
	switch (out->kind) {
	case PROTOCOL_SUBSCRIBE:
		err = decode_subscribe(r, out, error);
		break;
	case PROTOCOL_UNSUBSCRIBE:
		err = decode_unsubscribe(r, out, error);
		break;
	case PROTOCOL_ONE_OFF_QUERY:
		out->request_id = reader_u32(r);
		out->text = reader_bsatn_str(r);
		break;
	case PROTOCOL_CALL_REDUCER:
	case PROTOCOL_CALL_PROCEDURE:
		err = decode_call(r, out, error);
		break;
	case PROTOCOL_SUBSCRIBE_BATCH:
		err = decode_batch(r, out, error);
		break;
	default:
		return fail(error, WL_ERR_INVALID, "unknown tag 0x%x for sum type ClientMessage", out->kind);
	}
	if (err != WL_OK)
		return err;
	return r->failed ? protocol_reader_error(r, error) : WL_OK;
}

struct str protocol_next_query(struct bytes *queries)
{
	struct reader r = reader_of(queries->data, queries->len);
	struct bytes text = reader_bsatn_bytes(&r);
	*queries = (struct bytes){ r.at, reader_left(&r) };
	return (struct str){ (const char *)text.data, text.len };
}

struct protocol_set protocol_next_set(struct bytes *sets)
{
	struct reader r = reader_of(sets->data, sets->len);
	struct protocol_set set = { .id = reader_u32(&r), .query_count = reader_u32(&r) };
	const uint8_t *begin = r.at;
	for (uint32_t i = 0; i < set.query_count && !r.failed; i++)
		(void)reader_bsatn_bytes(&r);
	set.queries = (struct bytes){ begin, (size_t)(r.at - begin) };
	*sets = (struct bytes){ r.at, reader_left(&r) };
	return set;
}

size_t protocol_v2_client_message_size(const uint8_t *data, size_t len, struct error *error)
{
	struct reader r = reader_of(data, len);
	struct protocol_client_message message;
	if (protocol_v2_decode(&r, &message, error) != WL_OK)
		return 0;
	return (size_t)(r.at - data);
}

void protocol_initial_connection(struct buf *out, const struct identity *identity,
	const struct connection_id *connection, struct str token)
{
	buf_put_u8(out, TAG_INITIAL_CONNECTION);
	buf_put(out, identity->le, sizeof(identity->le));
	buf_put(out, connection->le, sizeof(connection->le));
	buf_put_bsatn_str(out, token);
}

void protocol_subscribe_applied(struct buf *out, uint32_t request_id, uint32_t query_set_id, uint32_t table_count)
{
	buf_put_u8(out, TAG_SUBSCRIBE_APPLIED);
	buf_put_u32(out, request_id);
	buf_put_u32(out, query_set_id);
	buf_put_u32(out, table_count);
}

enum { BATCH_APPLIED, BATCH_ERROR };
void protocol_batch_applied(struct buf *out, uint32_t request_id, uint32_t set_count)
{
	buf_put_u8(out, TAG_BATCH_APPLIED);
	buf_put_u32(out, request_id);
	buf_put_u32(out, set_count);
}

void protocol_batch_rows(struct buf *out, uint32_t query_set_id, uint32_t table_count)
{
	buf_put_u32(out, query_set_id);
	buf_put_u8(out, BATCH_APPLIED);
	buf_put_u32(out, table_count);
}

void protocol_batch_error(struct buf *out, uint32_t query_set_id, struct str text)
{
	buf_put_u32(out, query_set_id);
	buf_put_u8(out, BATCH_ERROR);
	buf_put_bsatn_str(out, text);
}

void protocol_unsubscribe_applied(struct buf *out, uint32_t request_id, uint32_t query_set_id, bool with_rows,
	uint32_t table_count)
{
	buf_put_u8(out, TAG_UNSUBSCRIBE_APPLIED);
	buf_put_u32(out, request_id);
	buf_put_u32(out, query_set_id);
	buf_put_u8(out, with_rows ? 0 : 1); /* Option: some 0, none 1 */
	if (with_rows)
		buf_put_u32(out, table_count);
}

void protocol_subscription_error(struct buf *out, const uint32_t *request_id, uint32_t query_set_id, struct str text)
{
	buf_put_u8(out, TAG_SUBSCRIPTION_ERROR);
	buf_put_u8(out, request_id != NULL ? 0 : 1);
	if (request_id != NULL)
		buf_put_u32(out, *request_id);
	buf_put_u32(out, query_set_id);
	buf_put_bsatn_str(out, text);
}

void protocol_one_off_error(struct buf *out, uint32_t request_id, struct str text)
{
	buf_put_u8(out, TAG_ONE_OFF_RESULT);
	buf_put_u32(out, request_id);
	buf_put_u8(out, 1);
	buf_put_bsatn_str(out, text);
}

void protocol_one_off_rows(struct buf *out, uint32_t request_id, uint32_t table_count)
{
	buf_put_u8(out, TAG_ONE_OFF_RESULT);
	buf_put_u32(out, request_id);
	buf_put_u8(out, 0);
	buf_put_u32(out, table_count);
}

void protocol_transaction_update(struct buf *out, uint32_t set_count)
{
	buf_put_u8(out, TAG_TRANSACTION_UPDATE);
	buf_put_u32(out, set_count);
}

static void reducer_result(struct buf *out, uint32_t request_id, int64_t micros, uint8_t outcome)
{
	uint8_t *p = buf_extend(out, 14);
	if (p == NULL)
		return;
	p[0] = TAG_REDUCER_RESULT;
	store_u32(p + 1, request_id);
	store_u64(p + 5, (uint64_t)micros);
	p[13] = outcome;
}

void protocol_reducer_ok(struct buf *out, uint32_t request_id, int64_t micros, uint32_t set_count)
{
	reducer_result(out, request_id, micros, OUTCOME_OK);
	buf_put_u32(out, 0); /* ret_value is empty */
	buf_put_u32(out, set_count);
}

void protocol_reducer_error(struct buf *out, uint32_t request_id, int64_t micros, struct str text)
{
	reducer_result(out, request_id, micros, OUTCOME_ERR);
	buf_put_u32(out, (uint32_t)text.len + 4); /* bytes that hold a BSATN string */
	buf_put_bsatn_str(out, text);
}

void protocol_reducer_internal(struct buf *out, uint32_t request_id, int64_t micros, struct str text)
{
	reducer_result(out, request_id, micros, OUTCOME_INTERNAL);
	buf_put_bsatn_str(out, text);
}

void protocol_procedure_returned(struct buf *out, uint32_t request_id, int64_t micros, int64_t duration_micros,
	struct bytes value)
{
	buf_put_u8(out, TAG_PROCEDURE_RESULT);
	buf_put_u8(out, 0);
	buf_put_bsatn_bytes(out, value.data, value.len);
	buf_put_u64(out, (uint64_t)micros);
	buf_put_u64(out, (uint64_t)duration_micros);
	buf_put_u32(out, request_id);
}

void protocol_procedure_internal(struct buf *out, uint32_t request_id, int64_t micros, int64_t duration_micros,
	struct str text)
{
	buf_put_u8(out, TAG_PROCEDURE_RESULT);
	buf_put_u8(out, 1);
	buf_put_bsatn_str(out, text);
	buf_put_u64(out, (uint64_t)micros);
	buf_put_u64(out, (uint64_t)duration_micros);
	buf_put_u32(out, request_id);
}
