/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTOCOL_H
#define PROTOCOL_H
/*
 * protocol: the client messages on the wire, as bytes. Pure functions: no
 * state, no input or output. v3 carries v2's messages, several in a payload;
 * the compression tag and the WebSocket frame are net's.
 *
 * Source: client-protocol.md sections 3-6.
 */
#include "base/buf.h"

enum protocol_version { PROTOCOL_V1_BSATN = 1, PROTOCOL_V2, PROTOCOL_V3, PROTOCOL_V1_JSON };
static inline bool protocol_is_v1(uint8_t version)
{
	return version == PROTOCOL_V1_BSATN || version == PROTOCOL_V1_JSON;
}

enum protocol_v2_kind {
	PROTOCOL_SUBSCRIBE, PROTOCOL_UNSUBSCRIBE, PROTOCOL_ONE_OFF_QUERY, PROTOCOL_CALL_REDUCER, PROTOCOL_CALL_PROCEDURE,
	PROTOCOL_SUBSCRIBE_BATCH, /* since 2.9 */
	PROTOCOL_V2_KIND_COUNT
};
enum { PROTOCOL_QUERIES_MAX = 1 << 16 };

/* A decoded client message; everything borrows the message's bytes. */
struct protocol_client_message {
	uint8_t kind;
	uint8_t flags;           /* UNSUBSCRIBE: 1 = send dropped rows */
	uint32_t request_id;
	uint32_t query_set_id;   /* SUBSCRIBE, UNSUBSCRIBE */
	uint32_t query_count;    /* SUBSCRIBE */
	uint32_t set_count;      /* SUBSCRIBE_BATCH */
	struct bytes sets;       /* SUBSCRIBE_BATCH: checked; read with protocol_next_set */
	struct bytes queries;    /* SUBSCRIBE: BSATN strings back to back, checked; read with protocol_next_query */
	struct str text;         /* ONE_OFF_QUERY: SQL; calls: function name */
	struct bytes args;       /* calls */
};
/* Decodes the message at the cursor and moves past it. WL_ERR_INVALID with the text of the Close reason. */
enum wl_err protocol_v2_decode(struct reader *r, struct protocol_client_message *out, struct error *error);
/* The text of a message that ended early. */
enum wl_err protocol_reader_error(const struct reader *r, struct error *error);
struct str protocol_next_query(struct bytes *queries);
/* The next set of a batch: its id and queries. */
struct protocol_set { uint32_t id, query_count; struct bytes queries; };
struct protocol_set protocol_next_set(struct bytes *sets);
/* Length of the v2 message at data, by decoding it; 0 with a text in `error`. For splitting v3 payloads. */
size_t protocol_v2_client_message_size(const uint8_t *data, size_t len, struct error *error);

/* ---- server messages: each function appends one message ---- */
void protocol_initial_connection(struct buf *out, const struct identity *identity,
	const struct connection_id *connection, struct str token);
/* SubscribeApplied up to its table count; then that many protocol_table_rows. */
void protocol_subscribe_applied(struct buf *out, uint32_t request_id, uint32_t query_set_id, uint32_t table_count);
/* SubscribeBatchApplied up to its results; then that many of the next two. */
void protocol_batch_applied(struct buf *out, uint32_t request_id, uint32_t set_count);
void protocol_batch_rows(struct buf *out, uint32_t query_set_id, uint32_t table_count); /* then tables, as above */
void protocol_batch_error(struct buf *out, uint32_t query_set_id, struct str text);
/* UnsubscribeApplied; with_rows: then a table count and tables follow as above. */
void protocol_unsubscribe_applied(struct buf *out, uint32_t request_id, uint32_t query_set_id, bool with_rows,
	uint32_t table_count);
void protocol_subscription_error(struct buf *out, const uint32_t *request_id, uint32_t query_set_id, struct str text);
void protocol_one_off_error(struct buf *out, uint32_t request_id, struct str text);
void protocol_one_off_rows(struct buf *out, uint32_t request_id, uint32_t table_count);
/* TransactionUpdate up to its query set count. */
void protocol_transaction_update(struct buf *out, uint32_t set_count);
/* ReducerResult Ok up to the query set count of its update. */
void protocol_reducer_ok(struct buf *out, uint32_t request_id, int64_t micros, uint32_t set_count);
/* Err(bytes), InternalError(text) */
void protocol_reducer_error(struct buf *out, uint32_t request_id, int64_t micros, struct str text);
void protocol_reducer_internal(struct buf *out, uint32_t request_id, int64_t micros, struct str text);
void protocol_procedure_returned(struct buf *out, uint32_t request_id, int64_t micros, int64_t duration_micros,
	struct bytes value);
void protocol_procedure_internal(struct buf *out, uint32_t request_id, int64_t micros, int64_t duration_micros,
	struct str text);

/*
 * BsatnRowList, built row by row. begin writes the hint as FixedSize and leaves room; the first row decides the size;
 * the first row of another length turns it into RowOffsets, kept in `offsets`. end patches the header.
 */
struct protocol_row_list {
	struct buf *out;
	struct buf *offsets; /* scratch, u64 each; reused by the caller */
	size_t header_at;    /* where the hint begins in out */
	size_t data_at;      /* where rows_data begins */
	uint32_t count;
	uint32_t row_len;    /* of the first row */
	bool mixed;
};
void protocol_rows_begin(struct protocol_row_list *list, struct buf *out, struct buf *offsets);
void protocol_rows_add(struct protocol_row_list *list, const void *row, size_t len);
/* `count` rows of `len` bytes each, back to back. */
void protocol_rows_add_many(struct protocol_row_list *list, const void *rows, uint32_t count, uint32_t len);
void protocol_rows_end(struct protocol_row_list *list);
void protocol_rows_empty(struct buf *out); /* RowOffsets([]), no data */
/* A whole list of `count` rows of `row_len` bytes each (1..65535), already back to back. */
void protocol_rows_fixed(struct buf *out, const void *rows, uint32_t count, uint32_t row_len);
#endif
