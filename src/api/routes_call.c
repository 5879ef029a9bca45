/* SPDX-License-Identifier: Apache-2.0 */
/* Routes that run something in a database: calls, SQL, and the module's own. */
#include "api/api_internal.h"
#include "base/clock.h"
#include "module/module.h"

#include <stdio.h>

static struct database_caller caller_of(const struct api_call *call)
{
	struct database_caller caller = { .identity = call->claims.identity, .jwt_payload = str_of(call->claims.payload) };
	random_bytes(caller.connection.le, sizeof(caller.connection.le));
	return caller;
}

/* Only the exact type is taken: a charset is as wrong as another type. */
static bool check_media(struct api_call *call)
{
	switch (call_media(call)) {
	case MEDIA_JSON_EXACT:
		return true;
	case MEDIA_ABSENT:
		reply_text(call, 400, STR("Header of type `content-type` was missing"));
		return false;
	case MEDIA_INVALID:
		reply_text(call, 400, STR("invalid HTTP header (content-type)"));
		return false;
	default:
		reply_text(call, 415, STR("Expected request with `Content-Type: application/json`"));
		return false;
	}
}

static void reply_result(struct api_call *call, struct database_result *result)
{
	struct str text = buf_str(&result->text);
	char micros[32], energy[32];
	bool reducer = result->outcome == DATABASE_COMMITTED || result->outcome == DATABASE_USER_ERROR ||
		result->outcome == DATABASE_FATAL || (result->outcome == DATABASE_EXHAUSTED && result->started);
	if (result->started && (reducer || result->outcome == DATABASE_RETURNED)) {
		snprintf(micros, sizeof(micros), "%llu", (unsigned long long)result->micros);
		call_header(call, "spacetime-execution-duration-micros", str_of(micros));
	}
	if (result->started && reducer) {
		snprintf(energy, sizeof(energy), "%llu", (unsigned long long)result->energy);
		call_header(call, "spacetime-energy-used", str_of(energy));
	}
	switch (result->outcome) {
	case DATABASE_COMMITTED:
		reply_text(call, 200, STR(""));
		break;
	case DATABASE_RETURNED:
		reply(call, 200, "application/json", text.data, text.len);
		break;
	case DATABASE_USER_ERROR:
	case DATABASE_FATAL:
		reply_text(call, 530, text);
		break;
	case DATABASE_PROCEDURE_FATAL:
		reply_text(call, 500, text);
		break;
	case DATABASE_NO_SUCH:
		reply_text(call, 404, STR("No such procedure"));
		break;
	case DATABASE_IS_LIFECYCLE:
	case DATABASE_BAD_ARGUMENTS:
		reply_text(call, 400, text);
		break;
	case DATABASE_CONNECT_REFUSED:
		reply_text(call, 403, text);
		break;
	case DATABASE_EXHAUSTED:
		reply_text(call, 402, STR(DATABASE_EXHAUSTED_TEXT));
		break;
	case DATABASE_CONNECT_EXHAUSTED:
		reply_text(call, 503, text);
		break;
	case DATABASE_CLOSED:
		reply_text(call, 503, STR("the database has been closed"));
		break;
	}
}

void route_call(struct api_call *call)
{
	struct str body, function = percent_decode(&call->arena, call->params[1], false);
	struct database *db;
	if (function.data == NULL) {
		reply_text(call, 503, STR("the server is short of memory"));
		return;
	}
	if (!utf8_valid((const uint8_t *)function.data, function.len)) {
		reply_text(call, 400, STR("Invalid URL: Invalid UTF-8 in `reducer`"));
		return;
	}
	bool confirmed = true;
	if (!call_query_bool(call, "confirmed", &confirmed) || !check_media(call) || !call_body_text(call, &body, false) ||
		!call_open_database(call, &db))
		return;
	struct database_caller caller = caller_of(call);
	struct database_result result = { 0 };
	database_call_json(db, &caller, function, body, confirmed, &result);
	database_release(db);
	reply_result(call, &result);
	database_result_deinit(&result);
}

void route_sql(struct api_call *call)
{
	struct str sql;
	struct database *db;
	bool confirmed = true;
	if (!call_query_bool(call, "confirmed", &confirmed) || !call_body_text(call, &sql, true) ||
		!call_open_database(call, &db))
		return;
	struct buf json = BUF_INIT(256 << 20), error = BUF_INIT(1 << 20);
	struct database_caller caller = caller_of(call);
	uint64_t micros = 0;
	char duration[32];
	enum wl_err err = database_sql(db, &caller, sql, confirmed, &json, &micros, &error);
	database_release(db);
	switch (err) {
	case WL_OK:
		snprintf(duration, sizeof(duration), "%llu", (unsigned long long)micros);
		call_header(call, "spacetime-execution-duration-micros", str_of(duration));
		reply_json(call, 200, &json);
		break;
	case WL_ERR_DENIED:
		reply_text(call, 403, buf_str(&error));
		break;
	case WL_ERR_UNAVAILABLE:
		reply_text(call, 503, buf_str(&error));
		break;
	case WL_ERR_MEMORY:
	case WL_ERR_IO:
	case WL_ERR_CORRUPT:
		reply_text(call, 500, error.len > 0 ? buf_str(&error) : str_of(wl_err_name(err)));
		break;
	case WL_ERR_UNSUPPORTED:
		reply_text(call, 501, buf_str(&error));
		break;
	default:
		reply_text(call, 400, buf_str(&error));
		break;
	}
	buf_deinit(&json);
	buf_deinit(&error);
}
