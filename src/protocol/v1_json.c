/* SPDX-License-Identifier: Apache-2.0 */
/*
 * v1.json: the types of its messages, and translation by them. Leaves that are
 * bytes in BSATN are texts here: rows and arguments hold JSON themselves.
 */
#include "protocol/v1.h"
#include "sats/sats.h"

#include <pthread.h>

enum { ARENA_BYTES = 1 << 20 };
static struct {
	struct arena arena;
	const struct sats_type *client, *server;
	bool ok;
} types;
static pthread_once_t once = PTHREAD_ONCE_INIT;

struct field { const char *name; const struct sats_type *type; };
enum { FIELDS_MAX = 16 };

static const struct sats_type *made(const struct sats_type *type)
{
	types.ok = types.ok && type != NULL;
	return type;
}

static const struct sats_type *compose(const struct field *fields, bool is_sum)
{
	struct sats_element elements[FIELDS_MAX];
	uint32_t count = 0;
	for (; fields[count].name != NULL; count++) {
		ASSERT(count < FIELDS_MAX);
		if (fields[count].type == NULL)
			return made(NULL);
		elements[count] = (struct sats_element){ str_of(fields[count].name), fields[count].type };
	}
	return made(is_sum ? sats_sum_of(&types.arena, elements, count) : sats_product_of(&types.arena, elements, count));
}
#define PRODUCT(...) compose((const struct field[]){ __VA_ARGS__, { NULL, NULL } }, false)
#define SUM(...) compose((const struct field[]){ __VA_ARGS__, { NULL, NULL } }, true)

static const struct sats_type *array(const struct sats_type *element)
{
	return element == NULL ? NULL : made(sats_array_of(&types.arena, element));
}

static const struct sats_type *option(const struct sats_type *some)
{
	return some == NULL ? NULL : made(sats_option_of(&types.arena, some));
}

static void make_client(const struct sats_type *query_id)
{
	const struct sats_type *string = &sats_primitive[SATS_STRING], *u32 = &sats_primitive[SATS_U32];
	const struct sats_type *u8 = &sats_primitive[SATS_U8];
	types.client = SUM(
		{ "CallReducer", PRODUCT({ "reducer", string }, { "args", string }, { "request_id", u32 }, { "flags", u8 }) },
		{ "Subscribe", PRODUCT({ "query_strings", array(string) }, { "request_id", u32 }) },
		{ "OneOffQuery", PRODUCT({ "message_id", &sats_bytes }, { "query_string", string }) },
		{ "SubscribeSingle", PRODUCT({ "query", string }, { "request_id", u32 }, { "query_id", query_id }) },
		{ "SubscribeMulti", PRODUCT({ "query_strings", array(string) }, { "request_id", u32 },
			{ "query_id", query_id }) },
		{ "Unsubscribe", PRODUCT({ "request_id", u32 }, { "query_id", query_id }) },
		{ "UnsubscribeMulti", PRODUCT({ "request_id", u32 }, { "query_id", query_id }) },
		{ "CallProcedure", PRODUCT({ "procedure", string }, { "args", string }, { "request_id", u32 },
			{ "flags", u8 }) });
}

static void make_server(const struct sats_type *query_id)
{
	const struct sats_type *p = sats_primitive, *string = &p[SATS_STRING], *u32 = &p[SATS_U32], *u64 = &p[SATS_U64];
	const struct sats_type *identity = PRODUCT({ "__identity__", &p[SATS_U256] });
	const struct sats_type *connection = PRODUCT({ "__connection_id__", &p[SATS_U128] });
	const struct sats_type *timestamp = PRODUCT({ "__timestamp_micros_since_unix_epoch__", &p[SATS_I64] });
	const struct sats_type *duration = PRODUCT({ "__time_duration_micros__", &p[SATS_I64] });
	const struct sats_type *rows = array(string);
	const struct sats_type *query_update = PRODUCT({ "deletes", rows }, { "inserts", rows });
	const struct sats_type *table_update = PRODUCT({ "table_id", u32 }, { "table_name", string }, { "num_rows", u64 },
		{ "updates", array(query_update) });
	const struct sats_type *update = PRODUCT({ "tables", array(table_update) });
	const struct sats_type *status = SUM({ "Committed", update }, { "Failed", string }, { "OutOfEnergy", &sats_unit });
	const struct sats_type *call = PRODUCT({ "reducer_name", string }, { "reducer_id", u32 }, { "args", string },
		{ "request_id", u32 });
	const struct sats_type *one_off = PRODUCT({ "table_name", string }, { "rows", rows });
	const struct sats_type *table_rows = PRODUCT({ "table_id", u32 }, { "table_name", string },
		{ "table_rows", table_update });
	const struct sats_type *applied = PRODUCT({ "request_id", u32 }, { "total_host_execution_duration_micros", u64 },
		{ "query_id", query_id }, { "rows", table_rows });
	const struct sats_type *multi = PRODUCT({ "request_id", u32 }, { "total_host_execution_duration_micros", u64 },
		{ "query_id", query_id }, { "update", update });
	const struct sats_type *returned = SUM({ "Returned", string }, { "OutOfEnergy", &sats_unit },
		{ "InternalError", string });
	types.server = SUM(
		{ "InitialSubscription", PRODUCT({ "database_update", update }, { "request_id", u32 },
			{ "total_host_execution_duration", duration }) },
		{ "TransactionUpdate", PRODUCT({ "status", status }, { "timestamp", timestamp },
			{ "caller_identity", identity }, { "caller_connection_id", connection }, { "reducer_call", call },
			{ "energy_quanta_used", PRODUCT({ "quanta", &p[SATS_U128] }) },
			{ "total_host_execution_duration", duration }) },
		{ "TransactionUpdateLight", PRODUCT({ "request_id", u32 }, { "update", update }) },
		{ "IdentityToken", PRODUCT({ "identity", identity }, { "token", string }, { "connection_id", connection }) },
		{ "OneOffQueryResponse", PRODUCT({ "message_id", &sats_bytes }, { "error", option(string) },
			{ "tables", array(one_off) }, { "total_host_execution_duration", duration }) },
		{ "SubscribeApplied", applied },
		{ "UnsubscribeApplied", applied },
		{ "SubscriptionError", PRODUCT({ "total_host_execution_duration_micros", u64 }, { "request_id", option(u32) },
			{ "query_id", option(u32) }, { "table_id", option(u32) }, { "error", string }) },
		{ "SubscribeMultiApplied", multi },
		{ "UnsubscribeMultiApplied", multi },
		{ "ProcedureResult", PRODUCT({ "status", returned }, { "timestamp", timestamp },
			{ "total_host_execution_duration", duration }, { "request_id", u32 }) });
}

static void make(void)
{
	arena_init(&types.arena, ARENA_BYTES);
	types.ok = true;
	const struct sats_type *query_id = PRODUCT({ "id", &sats_primitive[SATS_U32] });
	make_client(query_id);
	make_server(query_id);
}

enum wl_err protocol_v1_from_json(struct str json, struct buf *out, struct error *error)
{
	pthread_once(&once, make);
	if (!types.ok)
		return fail(error, WL_ERR_MEMORY, "not enough memory");
	return sats_json_parse(out, types.client, NULL, json.data, json.len, NULL, error);
}

void protocol_v1_to_json(struct buf *out, struct bytes message)
{
	pthread_once(&once, make);
	if (!types.ok)
		out->failed = true;
	else
		(void)sats_json_write(out, types.server, NULL, message.data, SATS_JSON_NAMED);
}
