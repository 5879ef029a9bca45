/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTOCOL_V1_H
#define PROTOCOL_V1_H
/*
 * The v1 messages, in both forms. A JSON message is the same message as BSATN
 * with other leaves (rows and arguments as texts that hold JSON); so messages
 * are made and read as BSATN here, and translated as a whole.
 *
 * Pure functions; the types are made once. Source: client-protocol.md 5.
 */
#include "base/arena.h"
#include "protocol/protocol.h"

enum protocol_v1_kind {
	V1_CALL_REDUCER, V1_SUBSCRIBE, V1_ONE_OFF_QUERY, V1_SUBSCRIBE_SINGLE, V1_SUBSCRIBE_MULTI, V1_UNSUBSCRIBE,
	V1_UNSUBSCRIBE_MULTI, V1_CALL_PROCEDURE,
};
enum { V1_FULL_UPDATE, V1_NO_SUCCESS_NOTIFY }; /* flags of CallReducer */

/* A decoded client message; everything borrows its bytes. */
struct protocol_v1_message {
	uint8_t kind, flags;
	uint32_t request_id, query_id, query_count;
	struct bytes queries;    /* BSATN strings back to back, checked; read with protocol_next_query */
	struct str text;         /* ONE_OFF_QUERY: SQL; calls: function name */
	struct bytes args;       /* calls: BSATN, or JSON where the message was JSON */
	struct bytes message_id; /* ONE_OFF_QUERY */
};
/* Decodes one message; what follows it is ignored. WL_ERR_INVALID with the text of the Close reason. */
enum wl_err protocol_v1_decode(const uint8_t *data, size_t len, struct protocol_v1_message *out, struct error *error);
/* A JSON message as the BSATN that protocol_v1_decode reads, appended to `out`. */
enum wl_err protocol_v1_from_json(struct str json, struct buf *out, struct error *error);
/* A server message made with `json` as JSON text, appended. */
void protocol_v1_to_json(struct buf *out, struct bytes message);

/* ---- server messages: each function appends one, or its beginning ---- */
void protocol_v1_identity_token(struct buf *out, const struct identity *identity, struct str token,
	const struct connection_id *connection);
/* What a commit's messages tell of the call behind it. */
struct protocol_v1_event {
	int64_t micros, duration_micros;
	uint64_t energy;
	struct identity caller;
	struct connection_id connection;
	struct str reducer;
	uint32_t reducer_id, request_id;
	struct bytes args; /* in the form of the receiver */
};
enum protocol_v1_status { V1_COMMITTED, V1_FAILED, V1_OUT_OF_ENERGY };
/* V1_COMMITTED: `body` is a DatabaseUpdate; V1_FAILED: a text. */
void protocol_v1_transaction_update(struct buf *out, enum protocol_v1_status status, struct bytes body,
	const struct protocol_v1_event *event);
void protocol_v1_light_update(struct buf *out, uint32_t request_id, struct bytes update);
void protocol_v1_initial_subscription(struct buf *out, uint32_t request_id, struct bytes update, int64_t micros);
/* kind: V1_SUBSCRIBE_SINGLE or V1_UNSUBSCRIBE with one TableUpdate behind table id and name; the multi ones with a
 * DatabaseUpdate. */
void protocol_v1_applied(struct buf *out, enum protocol_v1_kind kind, uint32_t request_id, int64_t micros,
	uint32_t query_id, struct bytes update);
void protocol_v1_subscription_error(struct buf *out, int64_t micros, const uint32_t *request_id,
	const uint32_t *query_id, struct str text);
/* `tables`: OneOffTables back to back. */
void protocol_v1_one_off(struct buf *out, struct bytes message_id, const struct str *error, uint32_t table_count,
	struct bytes tables, int64_t micros);
/* `text` (an error; `exhausted`: none is sent) or `value`. */
void protocol_v1_procedure_result(struct buf *out, const struct str *text, bool exhausted, struct bytes value,
	int64_t micros, int64_t duration_micros, uint32_t request_id);
#endif
