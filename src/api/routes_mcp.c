/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MCP endpoints: JSON-RPC 2.0 over POST, one object a request. The route of a database works on that one; the
 * host's route takes a `database` argument. What goes wrong in a tool is a result that says so; what goes wrong
 * before is a protocol error. Answers have their keys in alphabetical order.
 */
#include "api/api_internal.h"
#include "auth/json_walk.h"
#include "base/clock.h"
#include "host/version.h"
#include "module/module.h"

enum { INVALID_REQUEST = -32600, NO_METHOD = -32601, INVALID_PARAMS = -32602 };

struct mcp {
	struct api_call *call;
	struct str text; /* of the request */
	struct native_json doc;
	struct str id;   /* raw JSON */
	bool host_wide;
	struct json_member arguments; /* .value NULL: none, or no object */
	struct buf out;  /* the answer */
	struct database *db;
};
typedef void (*tool_fn)(struct mcp *mcp);
struct tool {
	const char *name, *title, *description, *properties, *required;
	bool reads_only, destroys, host_only, on_database;
	tool_fn run;
};

/* ---- JSON-RPC ---- */

/* The last member of that name; .value NULL: none. */
static struct json_member member_of(const struct mcp *mcp, uint32_t index, size_t at, const char *name)
{
	struct json_member found = { 0 }, member;
	if (mcp->doc.nodes[index].kind != NATIVE_JSON_OBJECT)
		return found;
	struct json_walk walk = json_walk_of(&mcp->doc, mcp->text, index, at);
	while (json_walk_next(&walk, &member))
		if (str_eq((struct str){ member.key->text, member.key->text_len }, str_of(name)))
			found = member;
	return found;
}

static struct str text_of(const struct json_member *member)
{
	if (member->value == NULL || member->value->kind != NATIVE_JSON_STRING)
		return (struct str){ NULL, 0 };
	return (struct str){ member->value->text, member->value->text_len };
}

static struct json_member argument(const struct mcp *mcp, const char *name)
{
	if (mcp->arguments.value == NULL)
		return (struct json_member){ 0 };
	return member_of(mcp, mcp->arguments.index, mcp->arguments.value_at, name);
}

static void protocol_error(struct mcp *mcp, int code, const char *text, struct str detail, const char *tail)
{
	struct buf message = BUF_INIT(4 << 20);
	buf_put_cstr(&message, text);
	buf_put_str(&message, detail);
	buf_put_cstr(&message, tail);
	buf_printf(&mcp->out, "{\"error\":{\"code\":%d,\"message\":", code);
	buf_put_json_str(&mcp->out, buf_str(&message));
	buf_put_cstr(&mcp->out, "},\"id\":");
	buf_put_str(&mcp->out, mcp->id);
	buf_put_cstr(&mcp->out, ",\"jsonrpc\":\"2.0\"}");
	buf_deinit(&message);
}

static void result_begin(struct mcp *mcp)
{
	buf_put_cstr(&mcp->out, "{\"id\":");
	buf_put_str(&mcp->out, mcp->id);
	buf_put_cstr(&mcp->out, ",\"jsonrpc\":\"2.0\",\"result\":");
}

static void tool_result(struct mcp *mcp, struct str text, bool failed)
{
	result_begin(mcp);
	buf_put_cstr(&mcp->out, "{\"content\":[{\"text\":");
	buf_put_json_str(&mcp->out, text);
	buf_printf(&mcp->out, ",\"type\":\"text\"}],\"isError\":%s}}", failed ? "true" : "false");
}

static void tool_printf(struct mcp *mcp, bool failed, const char *format, ...) PRINTF_LIKE(3, 4);
static void tool_printf(struct mcp *mcp, bool failed, const char *format, ...)
{
	struct buf text = BUF_INIT(4 << 20);
	va_list args;
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	tool_result(mcp, buf_str(&text), failed);
	buf_deinit(&text);
}

/* ---- which database ---- */

/* The `database` argument of the host's route, syntax only. False: answered. */
static bool read_target(struct mcp *mcp, struct str *name, bool *is_name)
{
	struct json_member member = argument(mcp, "database");
	const char *reason;
	*name = text_of(&member);
	if (name->data == NULL) {
		protocol_error(mcp, INVALID_PARAMS, "database argument must be a string", STR(""), "");
		return false;
	}
	*is_name = !identity_from_hex(*name, &mcp->call->database);
	if (!*is_name || host_name_valid(*name, &reason))
		return true;
	struct buf tail = BUF_INIT(256);
	buf_printf(&tail, "': %s", reason);
	protocol_error(mcp, INVALID_PARAMS, "invalid database '", *name, buf_text(&tail));
	buf_deinit(&tail);
	return false;
}

static bool open_target(struct mcp *mcp, struct str name, bool is_name)
{
	struct api *api = mcp->call->api;
	if (is_name && !host_resolve(api->host, name, &mcp->call->database)) {
		tool_printf(mcp, true, "`%.*s` not found", STR_FMT(name));
		return false;
	}
	struct buf error = BUF_INIT(1 << 20);
	enum wl_err err = host_database(api->host, &mcp->call->database, &mcp->db, &error);
	if (err != WL_OK)
		tool_result(mcp, err == WL_ERR_NOT_FOUND ? STR("No such database.") : buf_str(&error), true);
	buf_deinit(&error);
	return err == WL_OK;
}

/* ---- tools ---- */

static void tool_ping(struct mcp *mcp)
{
	struct json_member member = argument(mcp, "message");
	struct str message = text_of(&member);
	if (message.data == NULL)
		tool_result(mcp, STR("pong"), false);
	else
		tool_printf(mcp, false, "pong: %.*s", STR_FMT(message));
}

static void add_name(void *context, struct str name)
{
	struct buf *json = context;
	if (json->len > 0 && json->data[json->len - 1] == '"')
		buf_put_u8(json, ',');
	buf_put_json_str(json, name);
}

struct listing {
	struct host *host;
	struct buf *json;
};

static void add_database(void *context, const struct identity *id)
{
	struct listing *listing = context;
	struct buf *json = listing->json;
	char hex[65];
	identity_to_hex(id, hex);
	if (json->len > 0 && json->data[json->len - 1] == '}')
		buf_put_u8(json, ',');
	buf_printf(json, "{\"identity\":\"%s\",\"names\":[", hex);
	host_names(listing->host, id, add_name, json);
	buf_put_cstr(json, "]}");
}

static void tool_list_databases(struct mcp *mcp)
{
	struct buf json = BUF_INIT(64 << 20);
	struct listing listing = { mcp->call->api->host, &json };
	buf_put_cstr(&json, "{\"databases\":[");
	host_databases_of(mcp->call->api->host, &mcp->call->claims.identity, add_database, &listing);
	buf_put_cstr(&json, "]}");
	tool_result(mcp, buf_str(&json), false);
	buf_deinit(&json);
}

static void tool_get_schema(struct mcp *mcp)
{
	struct buf json = BUF_INIT(64 << 20);
	struct module_def *def = database_module(mcp->db);
	if (def == NULL || module_schema_json(def, 9, &json) != WL_OK)
		tool_result(mcp, STR("the schema is not available"), true);
	else
		tool_result(mcp, buf_str(&json), false);
	module_def_release(def);
	buf_deinit(&json);
}

static struct database_caller caller_of(const struct mcp *mcp)
{
	const struct auth_claims *claims = &mcp->call->claims;
	struct database_caller caller = { .identity = claims->identity, .jwt_payload = str_of(claims->payload) };
	random_bytes(caller.connection.le, sizeof(caller.connection.le));
	return caller;
}

static void tool_sql(struct mcp *mcp)
{
	struct json_member sql = argument(mcp, "sql"), confirmed = argument(mcp, "confirmed");
	struct buf json = BUF_INIT(64 << 20), error = BUF_INIT(1 << 20);
	struct database_caller caller = caller_of(mcp);
	uint64_t micros;
	bool wait = confirmed.value == NULL || confirmed.value->kind != NATIVE_JSON_FALSE;
	if (database_sql(mcp->db, &caller, text_of(&sql), wait, &json, &micros, &error) == WL_OK)
		tool_result(mcp, buf_str(&json), false);
	else
		tool_result(mcp, error.len > 0 ? buf_str(&error) : STR("request failed with HTTP 403 Forbidden"), true);
	buf_deinit(&json);
	buf_deinit(&error);
}

/* Procedures cannot be called: only what is a reducer for this caller. */
static bool is_reducer(struct mcp *mcp, struct str name)
{
	struct module_def *def = database_module(mcp->db);
	uint32_t id;
	const struct module_function *function = def != NULL ? module_reducer(def, name, &id) : NULL;
	bool found = function != NULL && (!function->is_private || function->lifecycle != MODULE_NO_LIFECYCLE ||
		identity_eq(database_owner(mcp->db), &mcp->call->claims.identity));
	module_def_release(def);
	return found;
}

static void tool_call(struct mcp *mcp)
{
	struct json_member reducer = argument(mcp, "reducer"), args = argument(mcp, "args");
	struct str name = text_of(&reducer);
	if (!is_reducer(mcp, name)) {
		tool_result(mcp, STR("no such reducer"), true);
		return;
	}
	struct database_caller caller = caller_of(mcp);
	struct database_result result = { 0 };
	database_call_json(mcp->db, &caller, name, args.value != NULL ? args.raw : STR("[]"), true, &result);
	struct str text = buf_str(&result.text);
	switch (result.outcome) {
	case DATABASE_COMMITTED:
		tool_printf(mcp, false, "reducer '%.*s' committed", STR_FMT(name));
		break;
	case DATABASE_USER_ERROR:
	case DATABASE_FATAL:
		tool_printf(mcp, true, "reducer '%.*s' failed: %.*s", STR_FMT(name), STR_FMT(text));
		break;
	case DATABASE_EXHAUSTED:
		tool_printf(mcp, true, "reducer '%.*s' exceeded the energy budget", STR_FMT(name));
		break;
	case DATABASE_NO_SUCH:
		tool_result(mcp, STR("no such reducer"), true);
		break;
	default:
		tool_result(mcp, result.outcome == DATABASE_CLOSED ? STR("the database has been closed") : text, true);
		break;
	}
	database_result_deinit(&result);
}

static const struct tool tools[] = {
	{ "list_databases", "List databases", "Lists the databases that the caller owns: identity and names.", "", "",
		true, false, true, false, tool_list_databases },
	{ "ping", "Ping", "Answers pong, with the message if there is one.", "\"message\":{\"type\":\"string\"}", "",
		true, false, false, false, tool_ping },
	{ "get_schema", "Get schema", "Returns the tables, types and reducers of a database as JSON.", "", "",
		true, false, false, true, tool_get_schema },
	{ "sql", "SQL", "Runs one SQL statement. Only the owner may change data this way.",
		"\"confirmed\":{\"type\":\"boolean\"},\"sql\":{\"type\":\"string\"}", "\"sql\"",
		false, true, false, true, tool_sql },
	{ "call", "Call reducer", "Calls a reducer with a JSON array of arguments.",
		"\"args\":{\"items\":{},\"type\":\"array\"},\"reducer\":{\"type\":\"string\"}", "\"reducer\"",
		false, true, false, true, tool_call },
};

static void list_tools(struct mcp *mcp)
{
	static const char target[] = "\"database\":{\"type\":\"string\"}";
	bool first = true;
	result_begin(mcp);
	buf_put_cstr(&mcp->out, "{\"tools\":[");
	for (size_t i = 0; i < ARRAY_COUNT(tools); i++) {
		const struct tool *tool = &tools[i];
		if (tool->host_only && !mcp->host_wide)
			continue;
		bool takes_target = mcp->host_wide && tool->on_database;
		const char *comma = takes_target && tool->properties[0] != '\0' ? "," : "";
		buf_printf(&mcp->out, "%s{\"annotations\":{\"destructiveHint\":%s,\"openWorldHint\":false,\"readOnlyHint\":%s,"
			"\"title\":\"%s\"},\"description\":\"%s\",\"inputSchema\":{\"properties\":{%s%s%s}", first ? "" : ",",
			tool->destroys ? "true" : "false", tool->reads_only ? "true" : "false", tool->title, tool->description,
			takes_target ? target : "", comma, tool->properties);
		if (takes_target || tool->required[0] != '\0')
			buf_printf(&mcp->out, ",\"required\":[%s%s%s]", takes_target ? "\"database\"" : "",
				takes_target && tool->required[0] != '\0' ? "," : "", tool->required);
		buf_printf(&mcp->out, ",\"type\":\"object\"},\"name\":\"%s\"}", tool->name);
		first = false;
	}
	buf_put_cstr(&mcp->out, "]}}");
}

/* Arguments are checked before the database is looked for. */
static bool arguments_fit(struct mcp *mcp, const struct tool *tool)
{
	struct json_member member;
	if (tool->run == tool_sql) {
		member = argument(mcp, "sql");
		if (text_of(&member).data == NULL) {
			protocol_error(mcp, INVALID_PARAMS, "sql argument must be a string", STR(""), "");
			return false;
		}
	} else if (tool->run == tool_call) {
		member = argument(mcp, "reducer");
		if (text_of(&member).data == NULL) {
			protocol_error(mcp, INVALID_PARAMS, "reducer argument must be a string", STR(""), "");
			return false;
		}
		member = argument(mcp, "args");
		if (member.value != NULL && member.value->kind != NATIVE_JSON_ARRAY) {
			protocol_error(mcp, INVALID_PARAMS, "args must be a JSON array", STR(""), "");
			return false;
		}
	}
	return true;
}

static void call_tool(struct mcp *mcp)
{
	struct json_member params = member_of(mcp, 0, 0, "params"), member = { 0 };
	if (params.value == NULL) {
		protocol_error(mcp, INVALID_PARAMS, "missing params", STR(""), "");
		return;
	}
	member = member_of(mcp, params.index, params.value_at, "name");
	struct str name = text_of(&member), target = { 0 };
	if (name.data == NULL) {
		protocol_error(mcp, INVALID_PARAMS, "missing tool name", STR(""), "");
		return;
	}
	const struct tool *tool = NULL;
	for (size_t i = 0; i < ARRAY_COUNT(tools); i++)
		if (str_eq(name, str_of(tools[i].name)) && (mcp->host_wide || !tools[i].host_only))
			tool = &tools[i];
	if (tool == NULL) {
		protocol_error(mcp, INVALID_PARAMS, "unknown tool: ", name, "");
		return;
	}
	mcp->arguments = member_of(mcp, params.index, params.value_at, "arguments");
	if (mcp->arguments.value != NULL && mcp->arguments.value->kind != NATIVE_JSON_OBJECT)
		mcp->arguments.value = NULL;
	bool is_name = false;
	if (tool->on_database) {
		if ((mcp->host_wide && !read_target(mcp, &target, &is_name)) || !arguments_fit(mcp, tool) ||
			!open_target(mcp, target, is_name))
			return;
	}
	tool->run(mcp);
	if (mcp->db != NULL)
		database_release(mcp->db);
}

static void initialize(struct mcp *mcp)
{
	result_begin(mcp);
	buf_printf(&mcp->out, "{\"capabilities\":{\"tools\":{}},\"instructions\":\"%s\",\"protocolVersion\":\"2025-06-18\","
		"\"serverInfo\":{\"name\":\"spacetimedb\",\"version\":\"" COMPATIBLE_VERSION "\"}}}", mcp->host_wide
		? "Databases of this host. Tools that work on one take its name or identity as `database`; "
			"list_databases shows yours."
		: "One database: look at its tables and reducers with get_schema, read with sql, change data with call.");
}

static void answer(struct mcp *mcp)
{
	struct json_member member = member_of(mcp, 0, 0, "method");
	struct str method = text_of(&member);
	if (method.data == NULL)
		protocol_error(mcp, INVALID_REQUEST, "invalid request: missing method", STR(""), "");
	else if (str_eq(method, STR("initialize")))
		initialize(mcp);
	else if (str_eq(method, STR("tools/list")))
		list_tools(mcp);
	else if (str_eq(method, STR("tools/call")))
		call_tool(mcp);
	else if (str_eq(method, STR("ping"))) {
		result_begin(mcp);
		buf_put_cstr(&mcp->out, "{}}");
	} else
		protocol_error(mcp, NO_METHOD, "method not found: ", method, "");
}

/* The database of the route; that it exists is for the tools to find out. */
static bool resolve_target(struct api_call *call)
{
	struct str name;
	bool is_name;
	if (call->params[0].data == NULL)
		return true;
	if (!call_name_or_identity(call, call->params[0], &call->database, &name, &is_name))
		return false;
	if (!is_name || host_resolve(call->api->host, name, &call->database))
		return true;
	reply_printf(call, 404, "`%.*s` not found", STR_FMT(name));
	return false;
}

void route_mcp(struct api_call *call)
{
	enum media media = call_media(call);
	if (!resolve_target(call))
		return;
	if (media != MEDIA_JSON && media != MEDIA_JSON_EXACT) {
		reply_text(call, 415, STR("Expected request with `Content-Type: application/json`"));
		return;
	}
	if (!call_body_fits(call))
		return;
	struct bytes body = net_request_body(call->request);
	struct mcp mcp = { .call = call, .text = { (const char *)body.data, body.len },
		.host_wide = call->params[0].data == NULL, .out = BUF_INIT(128 << 20) };
	char message[256];
	if (native_json_parse(mcp.text.data, mcp.text.len, &mcp.doc, message, sizeof(message)) != 0) {
		reply_printf(call, 400, "Failed to parse the request body as JSON: %s", message);
		return;
	}
	struct json_member id = member_of(&mcp, 0, 0, "id");
	if (id.value == NULL) { /* a notification: nobody wants to hear */
		reply_empty(call, 202);
	} else {
		mcp.id = id.raw;
		answer(&mcp);
		reply_json(call, 200, &mcp.out);
	}
	buf_deinit(&mcp.out);
	native_json_free(&mcp.doc);
}
