/* SPDX-License-Identifier: Apache-2.0 */
/* Answers, and the parts of a request that every route reads alike: credentials, names, query parameters, bodies. */
#include "api/api_internal.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdatomic.h>
#include <stdio.h>

#define TEXT_TYPE "text/plain; charset=utf-8"

void call_free(struct api_call *call)
{
	struct api *api = call->api;
	struct lane *lane = lane_take(call);
	auth_claims_deinit(&call->claims);
	arena_deinit(&call->arena);
	mem_free(call);
	lane_give(api, lane);
}

void call_header(struct api_call *call, const char *name, struct str value)
{
	ASSERT(call->header_count < API_HEADERS_MAX);
	call->headers[call->header_count++] = (struct net_header){ str_of(name), value };
}

void call_finish_headers(struct api_call *call)
{
	if ((call->route->flags & ROUTE_CORS) != 0) {
		call_header(call, "access-control-allow-origin", STR("*"));
		call_header(call, "vary", STR("origin, access-control-request-method, access-control-request-headers"));
	}
	bool who = (call->route->flags & ROUTE_AUTH) != 0 || (call->method != NULL && call->method->handler == route_mcp);
	if (who && call->has_claims) {
		identity_to_hex(&call->claims.identity, call->identity_hex);
		call_header(call, "spacetime-identity", str_of(call->identity_hex));
		call_header(call, "spacetime-identity-token", str_of(call->claims.token));
	}
}

void reply(struct api_call *call, uint32_t status, const char *content_type, const void *body, size_t len)
{
	char allow[64];
	if (call->method == NULL || call->verb == METHOD_OPTIONS) {
		route_allow(call->route, allow);
		if (allow[0] != '\0')
			call_header(call, "allow", str_of(allow));
	}
	if (content_type != NULL)
		call_header(call, "content-type", str_of(content_type));
	call_finish_headers(call);
	if (status >= 400)
		atomic_fetch_add_explicit(status >= 500 ? &call->api->responses_5xx : &call->api->responses_4xx, 1,
			memory_order_relaxed);
	net_respond(call->request, status, call->headers, call->header_count, body, len);
	call_free(call);
}

void reply_with(struct api_call *call, uint32_t status, const struct net_header *headers, uint32_t count,
	const void *body, size_t len)
{
	struct net_header *all = arena_array(&call->arena, count + API_HEADERS_MAX, sizeof(*all));
	if (all == NULL) {
		reply_text(call, 503, STR("the server is short of memory"));
		return;
	}
	call_finish_headers(call);
	memcpy(all, headers, count * sizeof(*all));
	memcpy(all + count, call->headers, call->header_count * sizeof(*all));
	net_respond(call->request, status, all, count + call->header_count, body, len);
	call_free(call);
}

void reply_empty(struct api_call *call, uint32_t status)
{
	reply(call, status, NULL, NULL, 0);
}

void reply_text(struct api_call *call, uint32_t status, struct str text)
{
	reply(call, status, TEXT_TYPE, text.data, text.len);
}

void reply_printf(struct api_call *call, uint32_t status, const char *format, ...)
{
	struct buf text = BUF_INIT(4 << 20);
	va_list args;
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	reply_text(call, status, text.failed ? STR("out of memory") : buf_str(&text));
	buf_deinit(&text);
}

void reply_json(struct api_call *call, uint32_t status, struct buf *json)
{
	if (json->failed)
		reply_text(call, 500, STR("the answer is too large"));
	else
		reply(call, status, "application/json", json->data, json->len);
	buf_deinit(json);
}

void reply_not_yet(struct api_call *call, const char *what)
{
	reply_printf(call, 501, "%s is not supported by this version yet", what);
}

void reply_bad_query(struct api_call *call, const char *format, ...)
{
	struct buf text = BUF_INIT(1 << 20);
	va_list args;
	buf_put_cstr(&text, "Failed to deserialize query string: ");
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	reply_text(call, 400, buf_str(&text));
	buf_deinit(&text);
}

/* ---- credentials ---- */

/* "Bearer TOKEN", the scheme in any case, spaces between and behind. */
static bool bearer(struct str value, struct str *token)
{
	if (value.len < 7 || strncasecmp(value.data, "bearer ", 7) != 0)
		return false;
	*token = (struct str){ value.data + 7, value.len - 7 };
	while (token->len > 0 && token->data[0] == ' ') {
		token->data++;
		token->len--;
	}
	while (token->len > 0 && token->data[token->len - 1] == ' ')
		token->len--;
	return token->len > 0;
}

bool call_credentials(struct api_call *call, enum credentials wanted)
{
	struct error error = { 0 };
	struct str token = { 0 };
	bool given;
	if (wanted == CREDENTIALS_IGNORED)
		return true;
	struct str header = net_request_header(call->request, "authorization", &given);
	if (given && !bearer(header, &token)) {
		reply_text(call, 400, STR("Authorization is invalid: malformed token"));
		return false;
	}
	if (!given)
		given = query_find(call, "token", &token) == 1; /* twice counts as none */
	enum wl_err err = WL_OK;
	if (given) {
		err = auth_check(call->api->auth, token, &call->claims, &error);
	} else if (wanted == CREDENTIALS_TOKEN) {
		reply_text(call, 401, STR("Authorization required"));
		return false;
	} else if (wanted == CREDENTIALS_ANYBODY) {
		err = auth_mint(call->api->auth, &call->claims, &error);
	} else {
		return true;
	}
	if (err != WL_OK) {
		reply_text(call, err == WL_ERR_DENIED ? 401 : 500, str_of(error.text));
		return false;
	}
	call->has_claims = true;
	return true;
}

/* ---- names ---- */

struct str percent_decode(struct arena *arena, struct str text, bool plus_is_space)
{
	char *out = arena_alloc(arena, text.len + 1);
	if (out == NULL)
		return (struct str){ NULL, 0 };
	size_t len = 0;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];
		int high, low;
		if (c == '%' && i + 2 < text.len && (high = hex_digit(text.data[i + 1])) >= 0 &&
			(low = hex_digit(text.data[i + 2])) >= 0) {
			out[len++] = (char)(high << 4 | low);
			i += 2;
		} else {
			out[len++] = c == '+' && plus_is_space ? ' ' : c;
		}
	}
	return (struct str){ out, len };
}

static bool no_memory(struct api_call *call)
{
	reply_text(call, 503, STR("the server is short of memory"));
	return false;
}

/* The identity that a text names: 64 digits, with or without 0x or X' in front. */
static bool parse_identity(struct str text, struct identity *out)
{
	if (text.len == 66 && (memcmp(text.data, "0x", 2) == 0 || memcmp(text.data, "X'", 2) == 0))
		text = (struct str){ text.data + 2, 64 };
	return identity_from_hex(text, out);
}

bool call_name_or_identity(struct api_call *call, struct str segment, struct identity *id, struct str *name,
	bool *is_name)
{
	struct str text = percent_decode(&call->arena, segment, false);
	const char *reason;
	if (text.data == NULL)
		return no_memory(call);
	if (!utf8_valid((const uint8_t *)text.data, text.len)) {
		reply_text(call, 400, STR("Invalid URL: Invalid UTF-8 in `name_or_identity`"));
		return false;
	}
	*is_name = !parse_identity(text, id);
	if (*is_name && !host_name_valid(text, &reason)) {
		reply_printf(call, 400, "Invalid URL: %s", reason);
		return false;
	}
	*name = text;
	return true;
}

bool call_lookup(struct api_call *call, struct str segment)
{
	struct str name;
	struct host_record record;
	bool is_name;
	if (!call_name_or_identity(call, segment, &call->database, &name, &is_name))
		return false;
	if (is_name && !host_resolve(call->api->host, name, &call->database)) {
		reply_printf(call, 404, "`%.*s` not found", STR_FMT(name));
		return false;
	}
	if (!host_record(call->api->host, &call->database, &record)) {
		reply_text(call, 404, STR("No such database."));
		return false;
	}
	return true;
}

bool call_identity(struct api_call *call, struct str segment, struct identity *out)
{
	struct str text = percent_decode(&call->arena, segment, false);
	if (text.data == NULL)
		return no_memory(call);
	if (identity_from_hex(text, out))
		return true;
	if (!utf8_valid((const uint8_t *)text.data, text.len))
		text = STR("?");
	reply_printf(call, 400, "Invalid URL: invalid value: string \"%.*s\", expected a byte array or hex string",
		STR_FMT(text));
	return false;
}

bool call_is_owner(struct api_call *call, const char *action, struct host_record *record)
{
	if (!host_record(call->api->host, &call->database, record)) {
		reply_text(call, 404, STR("No such database."));
		return false;
	}
	if (identity_eq(&record->owner, &call->claims.identity))
		return true;
	char caller[65], database[65];
	identity_to_hex(&call->claims.identity, caller);
	identity_to_hex(&call->database, database);
	reply_printf(call, 403, "%s is not authorized to perform action on database %s: %s", caller, database, action);
	return false;
}

bool call_open_database(struct api_call *call, struct database **out)
{
	struct buf error = BUF_INIT(1 << 20);
	enum wl_err err = host_database(call->api->host, &call->database, out, &error);
	if (err == WL_ERR_NOT_FOUND)
		reply_text(call, 404, STR("No such database."));
	else if (err == WL_ERR_UNAVAILABLE)
		reply_text(call, 503, buf_str(&error));
	else if (err != WL_OK)
		reply_printf(call, 500, "error starting database: %.*s", STR_FMT(buf_str(&error)));
	buf_deinit(&error);
	return err == WL_OK;
}

/* ---- bodies ---- */

bool call_body_fits(struct api_call *call)
{
	if (!net_request_too_large(call->request))
		return true;
	reply_text(call, 413, STR("Failed to buffer the request body: length limit exceeded"));
	return false;
}

/* Where and how a text stops being UTF-8, in the words of Rust's Utf8Error. */
static void put_utf8_fault(struct buf *out, const uint8_t *data, size_t len)
{
	size_t at = 0, part = 0;
	for (bool whole = true; at < len; at += part) {
		part = utf8_sequence(data + at, len - at, &whole);
		if (!whole)
			break;
	}
	uint8_t lead = at < len ? data[at] : 0;
	if (at + part == len && lead >= 0xc2 && lead <= 0xf4)
		buf_printf(out, "incomplete utf-8 byte sequence from index %zu", at);
	else
		buf_printf(out, "invalid utf-8 sequence of %zu bytes from index %zu", part, at);
}

bool call_body_text(struct api_call *call, struct str *out, bool say_where)
{
	struct bytes body = net_request_body(call->request);
	if (utf8_valid(body.data, body.len)) {
		*out = (struct str){ (const char *)body.data, body.len };
		return true;
	}
	struct buf text = BUF_INIT(256);
	buf_put_cstr(&text, "Request body didn't contain valid UTF-8");
	if (say_where) {
		buf_put_cstr(&text, ": ");
		put_utf8_fault(&text, body.data, body.len);
	}
	reply_text(call, 400, buf_str(&text));
	buf_deinit(&text);
	return false;
}

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && (c == '\0' || strchr("!#$&-^_.+", c) == NULL))
			return false;
	}
	return s.len > 0;
}

static bool same_text(struct str s, const char *lower)
{
	return s.len == strlen(lower) && strncasecmp(s.data, lower, s.len) == 0;
}

enum media call_media(struct api_call *call)
{
	bool present;
	struct str value = net_request_header(call->request, "content-type", &present);
	if (!present)
		return MEDIA_ABSENT;
	const char *semicolon = value.len > 0 ? memchr(value.data, ';', value.len) : NULL;
	bool parameters = semicolon != NULL;
	if (parameters)
		value.len = (size_t)(semicolon - value.data);
	while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
		value.len--;
	const char *slash = value.len > 0 ? memchr(value.data, '/', value.len) : NULL;
	if (slash == NULL)
		return MEDIA_INVALID;
	struct str type = { value.data, (size_t)(slash - value.data) };
	struct str subtype = { slash + 1, value.len - type.len - 1 };
	if (!is_token(type) || !is_token(subtype))
		return MEDIA_INVALID;
	if (!same_text(type, "application"))
		return MEDIA_OTHER;
	if (same_text(subtype, "json"))
		return parameters ? MEDIA_JSON : MEDIA_JSON_EXACT;
	struct str suffix = { subtype.data + subtype.len - 5, 5 };
	return subtype.len > 5 && same_text(suffix, "+json") ? MEDIA_JSON : MEDIA_OTHER;
}

/* ---- query parameters ---- */

uint32_t query_find(struct api_call *call, const char *name, struct str *value)
{
	struct str rest = call->query;
	uint32_t count = 0;
	while (rest.len > 0) {
		const char *ampersand = memchr(rest.data, '&', rest.len);
		struct str pair = { rest.data, ampersand != NULL ? (size_t)(ampersand - rest.data) : rest.len };
		rest = ampersand != NULL ? (struct str){ ampersand + 1, rest.len - pair.len - 1 } : (struct str){ "", 0 };
		const char *equals = pair.len > 0 ? memchr(pair.data, '=', pair.len) : NULL;
		struct str key = { pair.data, equals != NULL ? (size_t)(equals - pair.data) : pair.len };
		struct str text = equals != NULL ? (struct str){ equals + 1, pair.len - key.len - 1 } : (struct str){ "", 0 };
		if (memchr(key.data, '%', key.len) != NULL || memchr(key.data, '+', key.len) != NULL)
			key = percent_decode(&call->arena, key, true);
		if (!str_eq(key, str_of(name)))
			continue;
		if (count++ == 0)
			*value = percent_decode(&call->arena, text, true);
	}
	return count;
}

bool call_query(struct api_call *call, const char *name, struct str *value, bool *present)
{
	uint32_t count = query_find(call, name, value);
	*present = count > 0;
	if (count > 1) {
		reply_bad_query(call, "duplicate field `%s`", name);
		return false;
	}
	if (count == 1 && value->data == NULL)
		return no_memory(call);
	return true;
}

bool call_query_bool(struct api_call *call, const char *name, bool *value)
{
	struct str text;
	bool present;
	if (!call_query(call, name, &text, &present))
		return false;
	if (!present)
		return true;
	*value = str_eq(text, STR("true"));
	if (*value || str_eq(text, STR("false")))
		return true;
	reply_bad_query(call, "provided string was not `true` or `false`");
	return false;
}

bool call_query_u64(struct api_call *call, const char *name, uint64_t max, uint64_t *value, bool *present)
{
	struct str text;
	if (!call_query(call, name, &text, present))
		return false;
	if (!*present)
		return true;
	const char *fault = text.len == 0 ? "cannot parse integer from empty string" : NULL;
	size_t i = text.len > 1 && text.data[0] == '+';
	u128 number = 0;
	for (; fault == NULL && i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			fault = "invalid digit found in string";
		else if ((number = number * 10 + (unsigned)(text.data[i] - '0')) > max)
			fault = "number too large to fit in target type";
	}
	if (fault != NULL) {
		reply_bad_query(call, "%s", fault);
		return false;
	}
	*value = (uint64_t)number;
	return true;
}

bool call_query_host_type(struct api_call *call, enum runtime_kind *kind)
{
	struct str text;
	bool present;
	if (!call_query(call, "host_type", &text, &present))
		return false;
	*kind = present && str_eq(text, STR("Js")) ? RUNTIME_JS : RUNTIME_WASM;
	if (!present || *kind == RUNTIME_JS || str_eq(text, STR("Wasm")))
		return true;
	reply_bad_query(call, "unknown variant `%.*s`, expected `Wasm` or `Js`", STR_FMT(text));
	return false;
}

/* ---- JSON ---- */

void put_u256(struct buf *out, const uint8_t le[32])
{
	char hex[65];
	struct identity as_identity;
	memcpy(as_identity.le, le, 32);
	identity_to_hex(&as_identity, hex);
	const char *digits = hex;
	while (digits[0] == '0' && digits[1] != '\0')
		digits++;
	buf_printf(out, "0x%s", digits);
}

void put_identity_json(struct buf *out, const struct identity *id)
{
	buf_put_cstr(out, "{\"__identity__\":\"");
	put_u256(out, id->le);
	buf_put_cstr(out, "\"}");
}
