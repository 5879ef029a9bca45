/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing: creating a database, replacing its program, starting it over. */
#include "api/api_internal.h"
#include "native.h"
#include "base/mem.h"
#include "host/config.h"

struct publish_query {
	bool clear, break_clients, makes_anew, is_trial;
	enum runtime_kind kind;
	bool has_token;
	uint8_t token[32]; /* little-endian, as hashes are */
	uint64_t replicas;
	bool has_parent, has_organization;
	struct database_environment environment;
	struct str parent, organization;
	bool parent_is_name, organization_is_name;
	struct identity parent_id, organization_id;
	uint64_t confirm_ms;
};

static bool read_policy(struct api_call *call, struct publish_query *query)
{
	struct str text;
	bool present;
	if (!call_query(call, "policy", &text, &present))
		return false;
	query->break_clients = present && str_eq(text, STR("BreakClients"));
	if (!present || query->break_clients || str_eq(text, STR("Compatible")))
		return true;
	reply_bad_query(call, "unknown variant `%.*s`, expected `Compatible` or `BreakClients`", STR_FMT(text));
	return false;
}

/* A migration token: 0x and hexadecimal digits. */
static bool read_token(struct api_call *call, struct publish_query *query)
{
	struct str text;
	if (!call_query(call, "token", &text, &query->has_token))
		return false;
	bool valid = text.data != NULL && query->has_token && text.len > 2 && text.len <= 66 &&
		memcmp(text.data, "0x", 2) == 0;
	for (size_t i = 2; valid && i < text.len; i++)
		valid = (text.data[i] >= '0' && text.data[i] <= '9') ||
			((text.data[i] | 0x20) >= 'a' && (text.data[i] | 0x20) <= 'f');
	if (valid)
		for (size_t i = 0; i < text.len - 2; i++) { /* from the last digit on */
			char c = text.data[text.len - 1 - i];
			uint8_t digit = (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
			query->token[i / 2] |= (uint8_t)(digit << (i % 2 * 4));
		}
	if (!query->has_token || valid)
		return true;
	reply_bad_query(call, "invalid digit found in string");
	return false;
}

static bool read_name(struct api_call *call, const char *key, struct str *name, struct identity *id, bool *is_name,
	bool *present)
{
	const char *reason;
	bool here;
	struct str text;
	if (!call_query(call, key, &text, &here))
		return false;
	if (!here)
		return true;
	*present = true;
	*name = text;
	*is_name = !identity_from_hex(text, id);
	if (!*is_name || host_name_valid(text, &reason))
		return true;
	reply_bad_query(call, "%s", reason);
	return false;
}

static bool read_timeout(struct api_call *call, struct publish_query *query)
{
	struct str text;
	bool present;
	const char *reason;
	query->confirm_ms = 5000;
	if (!call_query(call, "update_confirmation_timeout", &text, &present))
		return false;
	if (present && !duration_parse(text, &query->confirm_ms, &reason)) {
		reply_bad_query(call, "%s", reason);
		return false;
	}
	query->confirm_ms = size_min(query->confirm_ms, 300000);
	return true;
}

static bool read_query(struct api_call *call, struct publish_query *query)
{
	bool present;
	*query = (struct publish_query){ 0 };
	return call_query_bool(call, "clear", &query->clear) &&
		call_query_bool(call, "recreate_empty_tables", &query->makes_anew) &&
		call_query_bool(call, "dry_run", &query->is_trial) &&
		call_query_host_type(call, &query->kind) &&
		read_policy(call, query) && read_token(call, query) &&
		call_query_u64(call, "num_replicas", SIZE_MAX, &query->replicas, &present) &&
		read_name(call, "parent", &query->parent, &query->parent_id, &query->parent_is_name, &query->has_parent) &&
		read_name(call, "organization", &query->organization, &query->organization_id, &query->organization_is_name,
			&query->has_organization) &&
		read_name(call, "org", &query->organization, &query->organization_id, &query->organization_is_name,
			&query->has_organization) &&
		read_timeout(call, query);
}

static void reply_success(struct api_call *call, struct str name, const struct identity *id, enum host_op op)
{
	struct buf json = BUF_INIT(1 << 20);
	char hex[65];
	identity_to_hex(id, hex);
	buf_put_cstr(&json, "{\"Success\":{\"domain\":");
	if (name.data != NULL)
		buf_put_json_str(&json, name);
	else
		buf_put_cstr(&json, "null");
	buf_printf(&json, ",\"database_identity\":\"%s\",\"op\":\"%s\"}}", hex, op == HOST_CREATED ? "created" : "updated");
	reply_json(call, 200, &json);
}

static void reply_trial(struct api_call *call, const struct buf *changes)
{
	struct buf json = BUF_INIT(8 << 20);
	char hex[65];
	identity_to_hex(&call->database, hex);
	buf_printf(&json, "{\"DryRun\":{\"database_identity\":\"%s\",\"tables\":[", hex);
	buf_put(&json, changes->data, changes->len);
	buf_put_cstr(&json, "]}}");
	reply_json(call, 200, &json);
}

static void reply_refused(struct api_call *call, enum wl_err err, bool updating, struct str text)
{
	if (err == WL_ERR_NOT_FOUND)
		reply_text(call, 404, STR("No such database."));
	else if (err == WL_ERR_UNAVAILABLE)
		reply_text(call, 503, text);
	else if (err == WL_ERR_UNSUPPORTED && updating)
		reply_printf(call, 400, "Database update rejected: Errors occurred:\n%.*s", STR_FMT(text));
	else if ((err == WL_ERR_EXISTS || err == WL_ERR_DENIED) && updating)
		reply_printf(call, 400, "Failed to create or update the database: %.*s", STR_FMT(text));
	else /* init may fail silently */
		reply_text(call, 500, text.len > 0 || err == WL_ERR_DENIED ? text : str_of(wl_err_name(err)));
}

/* Starts the database over with the body, or with its stored program when the body was too long to be taken. */
static void reset(struct api_call *call, struct str name, enum runtime_kind kind)
{
	struct host_record record;
	struct database_environment environment;
	if (!call_is_owner(call, "reset database", &record) || !call_environment(call, &environment))
		return;
	if (record.locked) {
		reply_text(call, 403, STR("Database is locked and cannot be reset with --delete-data. "
			"Run `spacetime unlock` first."));
		return;
	}
	struct bytes program = net_request_body(call->request);
	if (net_request_too_large(call->request) || net_request_body_absent(call->request))
		program = (struct bytes){ NULL, 0 };
	else if (program.data == NULL)
		program.data = (const uint8_t *)"";
	struct buf error = BUF_INIT(4 << 20);
	enum wl_err err = host_reset(call->api->host, &call->database, kind, program, &environment, &error);
	if (err == WL_OK)
		reply_success(call, name, &call->database, HOST_UPDATED);
	else if (!reply_environment_refused(call, &environment, buf_str(&error)))
		reply_refused(call, err, false, buf_str(&error));
	buf_deinit(&error);
}

void route_reset(struct api_call *call)
{
	uint64_t replicas;
	bool present, is_name;
	enum runtime_kind kind;
	struct identity ignored;
	struct str name;
	if (!call_query_u64(call, "num_replicas", SIZE_MAX, &replicas, &present) || !call_query_host_type(call, &kind) ||
		!call_name_or_identity(call, call->params[0], &ignored, &name, &is_name))
		return;
	reset(call, is_name ? name : (struct str){ NULL, 0 }, kind);
}

/* A name that nobody has gets a fresh identity and belongs to the caller from now on, even if the publish fails. */
static bool take_name(struct api_call *call, struct str name)
{
	struct error error;
	struct buf json = BUF_INIT(1 << 20);
	auth_random_identity(&call->database);
	switch (host_name_add(call->api->host, name, &call->database, &call->claims.identity, &error)) {
	case HOST_NAME_OK:
		return true;
	case HOST_NAME_TAKEN: /* somebody was faster */
		if (host_resolve(call->api->host, name, &call->database))
			return true;
		reply_text(call, 500, STR("the name was released meanwhile"));
		return false;
	case HOST_NAME_DENIED:
		buf_put_cstr(&json, "{\"PermissionDenied\":{\"name\":");
		buf_put_json_str(&json, name);
		buf_put_cstr(&json, "}}");
		reply_json(call, 401, &json);
		return false;
	case HOST_NAME_IO:
		break;
	}
	reply_text(call, 500, str_of(error.text));
	return false;
}

static bool resolve_name(struct api_call *call, struct str name)
{
	struct identity ignored;
	if (host_resolve(call->api->host, name, &ignored))
		return true;
	reply_printf(call, 404, "`%.*s` not found", STR_FMT(name));
	return false;
}

static bool check_options(struct api_call *call, const struct publish_query *query)
{
	if (query->has_parent && query->parent_is_name && !resolve_name(call, query->parent))
		return false;
	if (query->has_organization && query->organization_is_name && !resolve_name(call, query->organization))
		return false;
	if (query->replicas > 255) {
		reply_printf(call, 400, "Replication factor %llu out of bounds", (unsigned long long)query->replicas);
		return false;
	}
	struct host_record record;
	bool exists = host_record(call->api->host, &call->database, &record);
	if (exists && !call_is_owner(call, "update database", &record))
		return false;
	if (query->break_clients && !query->has_token) {
		reply_text(call, 400, STR("Migration policy is set to `BreakClients`, but no migration token was provided."));
		return false;
	}
	return true;
}

static void publish(struct api_call *call, struct str name, struct publish_query *query)
{
	struct host_publish request = {
		.database = call->database, .caller = call->claims.identity, .kind = query->kind,
		.program = net_request_body(call->request), .confirm_ms = (uint32_t)query->confirm_ms,
		.policy = { .may_break = query->break_clients, .token = query->token,
			.makes_anew = query->makes_anew }, .environment = &query->environment,
	};
	struct buf error = BUF_INIT(4 << 20), changes = BUF_INIT(4 << 20);
	enum host_op op = HOST_CREATED;
	bool owner_denied;
	if (request.program.data == NULL)
		request.program.data = (const uint8_t *)"";
	struct host_record record;
	if (query->is_trial)
		request.policy.trial = &changes;
	enum wl_err err = host_publish(call->api->host, &request, &op, &owner_denied, &error);
	if (err == WL_OK && query->is_trial)
		reply_trial(call, &changes);
	else if (err == WL_OK)
		reply_success(call, name, &call->database, op);
	else if (owner_denied) { /* it was created by somebody else between our check and now */
		if (call_is_owner(call, "update database", &record))
			reply_text(call, 503, STR("the database has changed hands; try again"));
	} else if (!reply_environment_refused(call, &query->environment, buf_str(&error)))
		reply_refused(call, err, op == HOST_UPDATED, buf_str(&error));
	buf_deinit(&error);
	buf_deinit(&changes);
}

/* A dry run changes nothing: neither is a name taken, nor anything made or cleared. */
static bool check_trial(struct api_call *call, const struct publish_query *query, bool known)
{
	struct host_record record;
	if (!query->is_trial || (known && !query->clear && host_record(call->api->host, &call->database, &record)))
		return true;
	reply_text(call, 400, STR("a dry run needs a database that is there, and clears none"));
	return false;
}

static bool has_program(struct api_call *call)
{
	if (!net_request_too_large(call->request))
		return true;
	reply_text(call, 413, STR("Failed to buffer the request body: length limit exceeded"));
	return false;
}

void route_publish_unnamed(struct api_call *call)
{
	struct publish_query query;
	if (!read_query(call, &query) || !has_program(call) || !call_environment(call, &query.environment))
		return;
	if (query.clear) {
		reply_text(call, 400, STR("Clear database requires database name or identity"));
		return;
	}
	auth_random_identity(&call->database);
	if (check_trial(call, &query, false) && check_options(call, &query))
		publish(call, (struct str){ NULL, 0 }, &query);
}

void route_publish(struct api_call *call)
{
	struct publish_query query;
	struct str name;
	struct host_record record;
	bool is_name;
	if (!call_name_or_identity(call, call->params[0], &call->database, &name, &is_name) || !read_query(call, &query) ||
		!has_program(call) || !call_environment(call, &query.environment))
		return;
	bool known = !is_name || host_resolve(call->api->host, name, &call->database);
	if (!check_trial(call, &query, known))
		return;
	struct str shown = is_name ? name : (struct str){ NULL, 0 };
	if (query.clear && known && host_record(call->api->host, &call->database, &record)) {
		if (query.has_parent)
			reply_text(call, 400, STR("Setting the parent of an existing database is not supported"));
		else
			reset(call, shown, query.kind);
		return;
	}
	if (!known && !take_name(call, name))
		return;
	if (check_options(call, &query))
		publish(call, shown, &query);
}

static void put_token(struct buf *json, const uint8_t token[32])
{
	uint8_t big[32];
	char hex[65];
	for (int i = 0; i < 32; i++)
		big[i] = token[31 - i]; /* a hash is a little-endian number */
	hex_encode(big, sizeof(big), hex);
	const char *digits = hex;
	while (digits[0] == '0' && digits[1] != '\0')
		digits++;
	buf_printf(json, "\"0x%s\"", digits);
}

static void reply_plan(struct api_call *call, struct database *db, const struct module_def *def, bool colored,
	bool makes_anew)
{
	struct database_plan plan;
	uint8_t hash[32];
	struct bytes program = net_request_body(call->request);
	struct buf text = BUF_INIT(8 << 20), json = BUF_INIT(16 << 20);
	native_keccak256(program.data, program.len, hash);
	if (!database_plan(db, def, hash, colored, makes_anew, &plan, &text)) {
		reply_text(call, 503, STR("not enough memory"));
		buf_deinit(&text);
		return;
	}
	if (plan.possible) {
		buf_put_cstr(&json, "{\"AutoMigrate\":{\"migrate_plan\":");
		buf_put_json_str(&json, buf_str(&text));
		buf_printf(&json, ",\"break_clients\":%s,\"token\":", plan.breaks_clients ? "true" : "false");
		put_token(&json, plan.token);
		buf_put_u8(&json, ',');
	} else {
		struct buf reason = BUF_INIT(8 << 20);
		buf_put_cstr(&reason, "Errors occurred:\n");
		buf_put_str(&reason, buf_str(&text));
		buf_put_cstr(&json, "{\"ManualMigrate\":{\"reason\":");
		buf_put_json_str(&json, buf_str(&reason));
		buf_put_u8(&json, ',');
		buf_deinit(&reason);
	}
	buf_printf(&json, "\"major_version_upgrade\":%s}}", plan.major_upgrade ? "true" : "false");
	reply_json(call, 200, &json);
	buf_deinit(&json);
	buf_deinit(&text);
}

void route_pre_publish(struct api_call *call)
{
	enum runtime_kind kind;
	struct str style;
	bool present, makes_anew = false;
	struct host_record record;
	if (!call_query(call, "style", &style, &present) ||
		!call_query_bool(call, "recreate_empty_tables", &makes_anew))
		return;
	if (present && !str_eq(style, STR("AnsiColor")) && !str_eq(style, STR("NoColor"))) {
		reply_bad_query(call, "unknown variant `%.*s`, expected `AnsiColor` or `NoColor`", STR_FMT(style));
		return;
	}
	if (!call_query_host_type(call, &kind) || !call_is_owner(call, "update database", &record))
		return;
	struct buf error = BUF_INIT(4 << 20);
	struct module_def *def = NULL;
	enum wl_err err = host_check_program(call->api->host, kind, net_request_body(call->request), &def, &error);
	struct database *db = NULL;
	if (err == WL_OK)
		err = host_database(call->api->host, &call->database, &db, &error);
	if (err != WL_OK)
		reply_refused(call, err, false, buf_str(&error));
	else
		reply_plan(call, db, def, !present || str_eq(style, STR("AnsiColor")), makes_anew);
	database_release(db);
	module_def_release(def);
	buf_deinit(&error);
}
