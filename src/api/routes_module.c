/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module's own HTTP handlers: …/route and all below it. Nobody is asked who
 * they are; what the module makes of a header is its own affair. The head of a
 * request goes in as BSATN, the head of the response comes back as BSATN, the
 * bodies beside them (module-abi.md 5.5, 5.7).
 */
#include "api/api_internal.h"
#include "base/mem.h"
#include "module/module.h"

enum { MESSAGE_BYTES_MAX = 256 << 20, RESPONSE_HEADERS_MAX = 256, TIMEOUT_NONE = 1 };

const char *const http_methods[HTTP_METHODS] = {
	"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"
};
/* What belongs to the connection, and to the length that we write. */
static const char *const ours[] = {
	"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade", "access-control-allow-origin"
};

/* ---- which handler ---- */

static bool takes_method(const struct module_route *route, struct str method)
{
	if (route->method < 0)
		return true;
	if ((size_t)route->method < HTTP_METHODS)
		return str_eq(method, str_of(http_methods[route->method]));
	return str_eq(method, route->extension);
}

static const struct module_route *find_route(const struct module_def *def, struct str path, struct str method)
{
	const struct module_info *info = module_def_info(def);
	for (uint32_t i = 0; i < info->route_count; i++)
		if (str_eq(info->routes[i].path, path) && takes_method(&info->routes[i], method))
			return &info->routes[i];
	return NULL;
}

/* The path as the module knows it: what stands behind "/route", decoded; "", "/" or "/more". */
static bool handler_path(struct api_call *call, struct str *path)
{
	struct str rest = call->params[1];
	*path = call->path.data[call->path.len - 1] == '/' ? STR("/") : STR("");
	if (rest.data != NULL)
		*path = percent_decode(&call->arena, (struct str){ rest.data - 1, rest.len + 1 }, false);
	if (path->data == NULL)
		reply_text(call, 503, STR("the server is short of memory"));
	else if (!utf8_valid((const uint8_t *)path->data, path->len))
		reply_text(call, 400, STR("Invalid URL: Invalid UTF-8 in `path`"));
	else
		return true;
	return false;
}

/* ---- the request ---- */

static void put_method(struct buf *out, struct str method)
{
	for (uint8_t i = 0; i < HTTP_METHODS; i++)
		if (str_eq(method, str_of(http_methods[i]))) {
			buf_put_u8(out, i);
			return;
		}
	buf_put_u8(out, HTTP_METHOD_EXTENSION);
	buf_put_bsatn_str(out, method);
}

static void put_lower(struct buf *out, struct str name)
{
	buf_put_u32(out, (uint32_t)name.len);
	for (size_t i = 0; i < name.len; i++)
		buf_put_u8(out, (uint8_t)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 32 : name.data[i]));
}

static struct str first_item(struct str list)
{
	const char *comma = list.len > 0 ? memchr(list.data, ',', list.len) : NULL;
	if (comma != NULL)
		list.len = (size_t)(comma - list.data);
	while (list.len > 0 && list.data[0] == ' ')
		list = (struct str){ list.data + 1, list.len - 1 };
	while (list.len > 0 && list.data[list.len - 1] == ' ')
		list.len--;
	return list;
}

/* The URI as it is outside: behind a proxy, that which the proxy was asked for. */
static void put_uri(struct buf *out, const struct net_request *request)
{
	bool has_scheme, has_host;
	struct str scheme = first_item(net_request_header(request, "x-forwarded-proto", &has_scheme));
	struct str host = first_item(net_request_header(request, "x-forwarded-host", &has_host));
	if (!has_host)
		host = net_request_header(request, "host", &has_host);
	if (!has_scheme)
		scheme = STR("http");
	struct str target = net_request_target(request);
	size_t at = out->len;
	buf_put_u32(out, 0);
	if (has_host) {
		buf_put_str(out, scheme);
		buf_put_cstr(out, "://");
		buf_put_str(out, host);
	}
	buf_put_str(out, target);
	if (!out->failed)
		store_u32(out->data + at, (uint32_t)(out->len - at - 4));
}

static void put_request(struct buf *out, const struct net_request *request)
{
	uint32_t count = net_request_header_count(request);
	put_method(out, net_request_method(request));
	buf_put_u32(out, count);
	for (uint32_t i = 0; i < count; i++) {
		struct net_header header = net_request_header_at(request, i);
		put_lower(out, header.name);
		buf_put_bsatn_str(out, header.value);
	}
	buf_put_u8(out, TIMEOUT_NONE);
	put_uri(out, request);
	buf_put_u8(out, net_request_minor_version(request) == 0 ? 1 : 2);
}

/* ---- the response ---- */

struct response {
	uint16_t status;
	uint32_t header_count;
	struct net_header headers[RESPONSE_HEADERS_MAX];
};

static bool is_ours(struct str name)
{
	for (size_t i = 0; i < ARRAY_COUNT(ours); i++)
		if (name.len == strlen(ours[i]) && strncasecmp(name.data, ours[i], name.len) == 0)
			return true;
	return false;
}

/* A token of RFC 9110, and a value without control characters: whatever else would end the header early. */
bool http_header_is_valid(struct str name, struct str value)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];
		bool letter = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
		if (!letter && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return false;
	}
	for (size_t i = 0; i < value.len; i++)
		if (((uint8_t)value.data[i] < 32 && value.data[i] != '\t') || value.data[i] == 127)
			return false;
	return name.len > 0;
}

static bool take_header(struct reader *r, struct response *out, const char **wrong)
{
	struct str name = reader_bsatn_str(r);
	struct bytes bytes = reader_bsatn_bytes(r);
	struct str value = { (const char *)bytes.data, bytes.len };
	if (r->failed || is_ours(name))
		return !r->failed;
	if (!http_header_is_valid(name, STR("")))
		*wrong = "invalid HTTP header name";
	else if (!http_header_is_valid(name, value))
		*wrong = "failed to parse header value";
	else if (out->header_count == RESPONSE_HEADERS_MAX)
		*wrong = "the handler returned more than 256 headers";
	else
		out->headers[out->header_count++] = (struct net_header){ name, value };
	return *wrong == NULL;
}

/* Headers borrow from `head`. False: `error` says what is wrong with it. */
static bool take_response(struct bytes head, struct response *out, struct buf *error)
{
	struct reader r = reader_of(head.data, head.len);
	const char *wrong = NULL;
	out->header_count = 0;
	for (uint32_t left = reader_u32(&r); left > 0 && take_header(&r, out, &wrong); left--)
		;
	uint8_t version = wrong == NULL ? reader_u8(&r) : 0;
	if (version > 4 && !r.failed) {
		buf_printf(error, "unknown tag 0x%x for sum type HttpVersion", version);
		return false;
	}
	out->status = wrong == NULL ? reader_u16(&r) : 0;
	if (wrong == NULL && !r.failed && (out->status < 100 || out->status > 999))
		wrong = "invalid status code";
	if (wrong != NULL)
		buf_put_cstr(error, wrong);
	else if (r.failed && r.what == NULL)
		buf_put_cstr(error, "invalid utf8");
	else if (r.failed)
		buf_printf(error, "data too short for %s: Expected %zu, given %zu", r.what, r.wanted, r.given);
	return wrong == NULL && !r.failed;
}

/* ---- both ---- */

static void respond(struct api_call *call, struct bytes head, struct bytes body)
{
	struct response *response = arena_alloc(&call->arena, sizeof(*response));
	struct buf error = BUF_INIT(1 << 12);
	if (response == NULL) {
		reply_text(call, 503, STR("the server is short of memory"));
	} else if (!take_response(head, response, &error)) {
		reply_text(call, 500, buf_str(&error));
	} else {
		reply_with(call, response->status, response->headers, response->header_count, body.data, body.len);
	}
	buf_deinit(&error);
}

/* Somebody new each time, for handlers that ask. */
static bool take_sender(struct api_call *call, struct database *db, struct database_http_call *made)
{
	struct error error;
	if (!database_handlers_take_sender(db))
		return true;
	if (auth_mint(call->api->auth, &call->claims, &error) != WL_OK)
		return false;
	made->sender = call->claims.identity;
	made->jwt_payload = str_of(call->claims.payload);
	return true;
}

static void run(struct api_call *call, struct database *db, const struct module_def *def, uint32_t handler)
{
	struct buf request = BUF_INIT(1 << 24), response = BUF_INIT(MESSAGE_BYTES_MAX), body = BUF_INIT(MESSAGE_BYTES_MAX);
	struct database_http_call made = { .handler = handler, .body = net_request_body(call->request) };
	put_request(&request, call->request);
	made.request = buf_bytes(&request);
	if (request.failed || !take_sender(call, db, &made))
		reply_text(call, 503, STR("the server is short of memory"));
	else if (database_http_handler(db, def, &made, &response, &body))
		respond(call, buf_bytes(&response), buf_bytes(&body));
	else
		reply_text(call, 500, buf_str(&response));
	buf_deinit(&request);
	buf_deinit(&response);
	buf_deinit(&body);
}

void route_module_http(struct api_call *call)
{
	struct str path;
	struct database *db;
	if (!handler_path(call, &path) || !call_lookup(call, call->params[0]) || !call_open_database(call, &db))
		return;
	struct module_def *def = database_module(db);
	const struct module_route *route = def == NULL ? NULL : find_route(def, path, net_request_method(call->request));
	if (def == NULL)
		reply_text(call, 503, STR("the database is not available"));
	else if (route == NULL)
		reply_text(call, 404, STR("Database has not registered a handler for this route"));
	else
		run(call, db, def, route->handler_id);
	module_def_release(def);
	database_release(db);
}
