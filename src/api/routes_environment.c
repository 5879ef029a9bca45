/* SPDX-License-Identifier: Apache-2.0 */
/* A database's environment: what publishing sets of it, and the routes that show and change it alone. */
#include "api/api_internal.h"
#include "api/environment.h"
#include "base/mem.h"

static bool reply_bad_header(struct api_call *call, const char *name)
{
	reply_printf(call, 400, "invalid HTTP header (%s)", name);
	return false;
}

static bool read_headers(struct api_call *call, struct environment *environment)
{
	static const char set[] = "spacetime-environment", remove[] = "spacetime-environment-remove";
	uint32_t count = net_request_header_count(call->request);
	for (uint32_t i = 0; i < count; i++) {
		struct net_header header = net_request_header_at(call->request, i);
		if (str_eq(header.name, STR(set)) && !environment_read_line(environment, header.value))
			return reply_bad_header(call, set);
		if (str_eq(header.name, STR(remove)) && !environment_read_remove_line(environment, header.value))
			return reply_bad_header(call, remove);
	}
	return true;
}

bool call_environment(struct api_call *call, struct database_environment *out)
{
	struct environment environment = { .arena = &call->arena };
	if (!read_headers(call, &environment))
		return false;
	*out = environment_change(&environment);
	return true;
}

static void put_fault(struct buf *json, const struct database_environment *environment, struct str text)
{
	if (environment->fault == DATABASE_ENVIRONMENT_CONFLICT)
		buf_put_cstr(json, "\"VersionConflict\"");
	else
		buf_printf(json, "{\"MissingRequiredEnvironment\":{\"keys\":%.*s}}", STR_FMT(text));
}

bool reply_environment_refused(struct api_call *call, const struct database_environment *environment, struct str text)
{
	struct buf json = BUF_INIT(1 << 20);
	switch (environment->fault) {
	case DATABASE_ENVIRONMENT_OK:
		return false;
	case DATABASE_ENVIRONMENT_INVALID:
		reply_text(call, 400, text);
		break;
	case DATABASE_ENVIRONMENT_VIEW_FAILED:
		reply_printf(call, 400, "Failed to create or update the database: %.*s", STR_FMT(text));
		break;
	case DATABASE_ENVIRONMENT_MISSING:
	case DATABASE_ENVIRONMENT_CONFLICT:
		buf_put_cstr(&json, "{\"EnvironmentError\":");
		put_fault(&json, environment, text);
		buf_put_u8(&json, '}');
		reply_json(call, environment->fault == DATABASE_ENVIRONMENT_CONFLICT ? 409 : 400, &json);
		break;
	}
	buf_deinit(&json);
	return true;
}

/* ---- without a program ---- */

void route_environment_get(struct api_call *call)
{
	struct host_record record;
	struct database *db;
	uint8_t hash[32];
	if (!call_is_owner(call, "read environment", &record) || !call_open_database(call, &db))
		return;
	struct buf rest = BUF_INIT(16 << 20), json = BUF_INIT(16 << 20);
	enum wl_err err = database_environment_json(db, hash, &rest);
	database_release(db);
	if (err != WL_OK) {
		reply_text(call, 503, STR("the database is closing"));
	} else {
		buf_put_cstr(&json, "{\"module_hash\":\"");
		put_u256(&json, hash);
		buf_put_cstr(&json, "\",");
		buf_put_str(&json, buf_str(&rest));
		buf_put_u8(&json, '}');
		json.failed = json.failed || rest.failed;
		reply_json(call, 200, &json);
	}
	buf_deinit(&rest);
	buf_deinit(&json);
}

/* "0x" and up to 64 digits of a number, into little-endian bytes. */
static bool read_hash(struct str text, uint8_t le[32])
{
	memset(le, 0, 32);
	if (text.len < 3 || text.len > 66 || text.data[0] != '0' || text.data[1] != 'x')
		return false;
	for (size_t i = 0; i < text.len - 2; i++) {
		int c = text.data[text.len - 1 - i] | 0x20; /* digits have that bit */
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
		if (digit < 0)
			return false;
		le[i / 2] = (uint8_t)(le[i / 2] | digit << (i % 2 * 4));
	}
	return true;
}

static void reply_changed(struct api_call *call, enum wl_err err, const struct database_environment *change,
	struct str text)
{
	bool is_fault = change->fault == DATABASE_ENVIRONMENT_MISSING || change->fault == DATABASE_ENVIRONMENT_CONFLICT;
	struct buf json = BUF_INIT(1 << 20);
	if (err == WL_OK || is_fault) {
		buf_put_cstr(&json, err == WL_OK ? "{\"Ok\":null}" : "{\"Err\":");
		if (err != WL_OK) {
			put_fault(&json, change, text);
			buf_put_u8(&json, '}');
		}
		reply_json(call, 200, &json);
	} else if (!reply_environment_refused(call, change, text)) {
		uint32_t status = err == WL_ERR_NOT_FOUND ? 404 : err == WL_ERR_UNAVAILABLE ? 503 : 500;
		reply_text(call, status, text.len > 0 ? text : str_of(wl_err_name(err)));
	}
	buf_deinit(&json);
}

static void change(struct api_call *call, bool replaces)
{
	struct host_record record;
	struct str hash_text, body;
	bool has_hash;
	uint8_t hash[32];
	struct environment environment = { .arena = &call->arena };
	if (!call_is_owner(call, "update environment", &record) || !call_body_text(call, &body, true) ||
		!call_query(call, "expected_module_hash", &hash_text, &has_hash) || !read_headers(call, &environment))
		return;
	if (has_hash && !read_hash(hash_text, hash)) {
		reply_bad_query(call, "expected_module_hash is no hash");
		return;
	}
	if (environment.set_count > 0 || (replaces && (environment.removed_count > 0 || environment.remove_all))) {
		(void)reply_bad_header(call, environment.set_count > 0 ? "spacetime-environment"
			: "spacetime-environment-remove");
		return;
	}
	if (!environment_read_json(&environment, body)) {
		reply_printf(call, 400, "the body must be a JSON object of at most %d strings", ENVIRONMENT_ENTRIES_MAX);
		return;
	}
	environment.remove_all = environment.remove_all || replaces;
	struct database_environment asked = environment_change(&environment);
	struct buf error = BUF_INIT(1 << 20);
	enum wl_err err = host_environment(call->api->host, &call->database, &asked, has_hash ? hash : NULL, &error);
	reply_changed(call, err, &asked, buf_str(&error));
	buf_deinit(&error);
}

void route_environment_merge(struct api_call *call)
{
	change(call, false);
}

void route_environment_replace(struct api_call *call)
{
	change(call, true);
}
