/* SPDX-License-Identifier: Apache-2.0 */
/* Routes about the names of a database. */
#include "api/api_internal.h"
#include "auth/json_walk.h"
#include "base/mem.h"
#include "native.h"

#include <stdio.h>
#include <stdlib.h>

enum { DOMAIN_PART_BYTES_MAX = 64, NAMES_MAX = 4096 };

static void add_name(void *context, struct str name)
{
	struct buf *json = context;
	const char *reason;
	if (!host_name_valid(name, &reason))
		return;
	if (json->len > 0 && json->data[json->len - 1] == '"')
		buf_put_u8(json, ',');
	buf_put_json_str(json, name);
}

void route_names_get(struct api_call *call)
{
	struct buf json = BUF_INIT(64 << 20);
	buf_put_cstr(&json, "{\"names\":[");
	host_names(call->api->host, &call->database, add_name, &json);
	buf_put_cstr(&json, "]}");
	reply_json(call, 200, &json);
}

void route_names_add(struct api_call *call)
{
	struct str name;
	const char *reason;
	struct error error;
	char hex[65];
	if (!call_body_text(call, &name, true))
		return;
	if (!host_name_valid(name, &reason)) {
		reply_text(call, 400, str_of(reason));
		return;
	}
	if (name.len > DOMAIN_PART_BYTES_MAX) {
		reply_printf(call, 500, "Error when parsing a domain, reason: Domain name parts must be shorter than "
			"%d characters: `%.*s`", DOMAIN_PART_BYTES_MAX, STR_FMT(name));
		return;
	}
	enum host_name_result result = host_name_add(call->api->host, name, &call->database, &call->claims.identity,
		&error);
	struct buf json = BUF_INIT(4096);
	switch (result) {
	case HOST_NAME_OK:
		identity_to_hex(&call->database, hex);
		buf_printf(&json, "{\"Success\":{\"domain\":\"%.*s\",\"database_identity\":\"%s\"}}", STR_FMT(name), hex);
		reply_json(call, 200, &json);
		break;
	case HOST_NAME_DENIED:
		buf_printf(&json, "{\"PermissionDenied\":{\"domain\":\"%.*s\"}}", STR_FMT(name));
		reply_json(call, 401, &json);
		break;
	case HOST_NAME_TAKEN:
		reply_printf(call, 500, "record with the name %.*s already exists", STR_FMT(name));
		break;
	case HOST_NAME_IO:
		reply_text(call, 500, str_of(error.text));
		break;
	}
}

/* ---- replacing all of them ---- */

/* Parses the first JSON value of a body; what follows it is ignored, as the reference does. */
static int parse_first(struct str *text, struct native_json *doc, char *error, size_t cap)
{
	int rc = native_json_parse(text->data, text->len, doc, error, cap);
	if (rc == 0 || strncmp(error, "trailing characters at line ", 28) != 0)
		return rc;
	unsigned long line, column;
	if (sscanf(error + 28, "%9lu column %9lu", &line, &column) != 2 || column == 0)
		return rc;
	size_t at = 0;
	while (at < text->len && line > 1)
		line -= text->data[at++] == '\n';
	at += column - 1;
	if (at >= text->len)
		return rc;
	text->len = at;
	return native_json_parse(text->data, text->len, doc, error, cap);
}

static void reply_wrong_shape(struct api_call *call, struct str text, const struct native_json_node *node, size_t at,
	int index)
{
	struct buf message = BUF_INIT(1 << 20);
	unsigned line, column;
	json_position(text, at, &line, &column);
	buf_put_cstr(&message, "Failed to deserialize the JSON body into the target type: ");
	if (index >= 0)
		buf_printf(&message, "[%d]: ", index);
	json_invalid_type(node, index < 0 ? "a sequence" : "a string", &message);
	buf_printf(&message, " at line %u column %u", line, column);
	reply_text(call, 422, buf_str(&message));
	buf_deinit(&message);
}

/* The array of strings in the body; NULL: answered. Borrows from doc. */
static struct str *read_names(struct api_call *call, struct str text, const struct native_json *doc, uint32_t *count)
{
	const struct native_json_node *root = &doc->nodes[0];
	if (root->kind != NATIVE_JSON_ARRAY) {
		bool opens = root->kind == NATIVE_JSON_OBJECT;
		reply_wrong_shape(call, text, root, opens ? 0 : text.len, -1);
		return NULL;
	}
	if (root->count > NAMES_MAX) {
		reply_printf(call, 400, "a database has at most %d names", NAMES_MAX);
		return NULL;
	}
	struct str *names = arena_array(&call->arena, (size_t)root->count + 1, sizeof(*names));
	struct json_walk walk = json_walk_of(doc, text, 0, 0);
	struct json_member member;
	*count = 0;
	while (names != NULL && json_walk_next(&walk, &member)) {
		const struct native_json_node *value = member.value;
		if (value->kind != NATIVE_JSON_STRING) {
			bool opens = value->kind == NATIVE_JSON_ARRAY || value->kind == NATIVE_JSON_OBJECT;
			reply_wrong_shape(call, text, value, opens ? member.value_at : member.value_end, (int)*count);
			return NULL;
		}
		names[(*count)++] = (struct str){ value->text, value->text_len };
	}
	if (names == NULL)
		reply_text(call, 503, STR("the server is short of memory"));
	return names;
}

static bool names_are_valid(struct api_call *call, const struct str *names, uint32_t count)
{
	const char *reason;
	for (uint32_t i = 0; i < count; i++) {
		if (host_name_valid(names[i], &reason))
			continue;
		struct buf text = BUF_INIT(4 << 20);
		buf_put_cstr(&text, "Error parsing `");
		buf_put_str(&text, names[i]);
		buf_printf(&text, "`: %s", reason);
		reply_text(call, 400, buf_str(&text));
		buf_deinit(&text);
		return false;
	}
	return true;
}

static void replace(struct api_call *call, const struct str *names, uint32_t count)
{
	struct host_record record;
	struct buf json = BUF_INIT(4 << 20), which = BUF_INIT(4 << 20);
	struct error error;
	if (!host_record(call->api->host, &call->database, &record)) {
		reply_text(call, 404, STR("No such database."));
		return;
	}
	if (!identity_eq(&record.owner, &call->claims.identity)) {
		char hex[65];
		identity_to_hex(&call->database, hex);
		buf_printf(&json, "{\"NotYourDatabase\":{\"database\":\"%s\"}}", hex);
		reply_json(call, 401, &json);
		return;
	}
	switch (host_names_replace(call->api->host, &call->database, names, count, &call->claims.identity, &which,
		&error)) {
	case HOST_NAME_OK:
		buf_put_cstr(&json, "\"Success\"");
		reply_json(call, 200, &json);
		break;
	case HOST_NAME_TAKEN:
		buf_printf(&json, "{\"OtherError\":\"Cannot rename to %.*s because it already is in use.\"}",
			STR_FMT(buf_str(&which)));
		reply_json(call, 400, &json);
		break;
	case HOST_NAME_DENIED:
		buf_printf(&json, "{\"PermissionDenied\":{\"domain\":\"%.*s\"}}", STR_FMT(buf_str(&which)));
		reply_json(call, 401, &json);
		break;
	case HOST_NAME_IO:
		reply_text(call, 500, str_of(error.text));
		break;
	}
	buf_deinit(&which);
}

void route_names_replace(struct api_call *call)
{
	enum media media = call_media(call);
	if (media != MEDIA_JSON && media != MEDIA_JSON_EXACT) {
		reply_text(call, 415, STR("Expected request with `Content-Type: application/json`"));
		return;
	}
	struct bytes body = net_request_body(call->request);
	struct str text = { (const char *)body.data, body.len };
	struct native_json doc = { 0 };
	char message[256];
	if (parse_first(&text, &doc, message, sizeof(message)) != 0) {
		reply_printf(call, 400, "Failed to parse the request body as JSON: %s", message);
		return;
	}
	uint32_t count;
	struct str *names = read_names(call, text, &doc, &count);
	if (names != NULL && names_are_valid(call, names, count))
		replace(call, names, count);
	native_json_free(&doc);
}
