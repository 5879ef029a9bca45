/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/publish_env.h"

#include <stdio.h>
#include <stdlib.h>

enum { VARIABLES_MAX = 256, BODY_BYTES_MAX = 32 << 20 };
static const char conflict_text[] =
	"database program changed before publication; reload environment metadata and retry";

static bool in_list(const char *list, struct str name)
{
	while (list != NULL) {
		size_t len = strcspn(list, ",");
		if (str_eq((struct str){ list, len }, name))
			return true;
		list = list[len] == ',' ? list + len + 1 : NULL;
	}
	return false;
}

static struct cli_variable *find(const struct cli_environment *e, struct str name)
{
	for (uint32_t i = 0; i < e->count; i++)
		if (str_eq(str_of(e->values[i].name), name))
			return &e->values[i];
	return NULL;
}

static bool add(struct cli *cli, struct cli_environment *e, struct cli_variable variable)
{
	if (e->count == VARIABLES_MAX)
		return cli_fail(cli, "an environment has at most %d variables", VARIABLES_MAX);
	e->values[e->count++] = variable;
	return true;
}

/* ---- from the project ---- */

static bool read_value(struct cli *cli, const struct native_json_node *node, const char *name, struct str *out)
{
	switch (node->kind) {
	case NATIVE_JSON_STRING:
	case NATIVE_JSON_NUMBER: /* digit for digit */
		*out = (struct str){ cli_keep(cli, (struct str){ node->text, node->text_len }), node->text_len };
		return true;
	case NATIVE_JSON_TRUE:
	case NATIVE_JSON_FALSE:
		*out = node->kind == NATIVE_JSON_TRUE ? STR("true") : STR("false");
		return true;
	default:
		return cli_fail(cli, "the environment variable %s in spacetime.json is no string, boolean or number", name);
	}
}

static bool read_setting(struct cli *cli, const struct cli_setting *setting, const char *unset,
	struct cli_environment *e)
{
	const struct native_json_node *nodes = setting->doc->nodes;
	if (nodes[setting->node].kind != NATIVE_JSON_OBJECT)
		return cli_fail(cli, "`env` in spacetime.json must be an object");
	uint32_t at = setting->node + 1;
	for (uint32_t i = 0; i < nodes[setting->node].count; i++) {
		struct str name = { nodes[at].text, nodes[at].text_len };
		struct cli_variable variable = { .name = cli_keep(cli, name) };
		if (find(e, name) == NULL && !in_list(unset, name) &&
			(!read_value(cli, &nodes[at + 1], variable.name, &variable.value) || !add(cli, e, variable)))
			return false;
		at = nodes[at + 1].next;
	}
	return true;
}

bool cli_environment_read(struct cli *cli, const struct cli_project_target *project, const char *unset, bool replaces,
	struct cli_environment *out)
{
	*out = (struct cli_environment){ .removed = replaces ? "*" : unset };
	out->values = cli_alloc(cli, VARIABLES_MAX * sizeof(*out->values));
	const struct cli_setting *setting = project != NULL ? cli_project_setting(project, "env") : NULL;
	for (; setting != NULL; setting = setting->under)
		if (!read_setting(cli, setting, unset, out))
			return false;
	return true;
}

/* ---- from the shell ---- */

bool cli_environment_declare(struct cli *cli, struct str name, struct cli_environment *e)
{
	const char *kept = cli_keep(cli, name), *value = getenv(kept);
	if (value == NULL || (e->removed != NULL && in_list(e->removed, name)))
		return true;
	if (!utf8_valid((const uint8_t *)value, strlen(value)))
		return cli_fail(cli, "the environment variable %s is not valid UTF-8", kept);
	struct cli_variable variable = { kept, str_of(value), true }, *old = find(e, name);
	if (old == NULL)
		return add(cli, e, variable);
	*old = variable;
	return true;
}

void cli_environment_show(const struct cli_environment *e)
{
	for (uint32_t i = 0; i < e->count; i++)
		printf("Environment %s (%s)\n", e->values[i].name, e->values[i].is_shell ? "shell" : "config");
}

/* ---- to the host ---- */

static bool is_bare(struct str value)
{
	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] <= ' ' || value.data[i] > '~' || strchr("\"',\\", value.data[i]) != NULL)
			return false;
	return true;
}

/* A JSON string of ASCII alone; the text is UTF-8. */
static void put_ascii_json(struct buf *out, struct str value)
{
	buf_put_u8(out, '"');
	for (size_t i = 0; i < value.len;) {
		uint8_t c = (uint8_t)value.data[i++];
		uint32_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
		uint32_t code = more == 0 ? c : c & (0x3fu >> more);
		for (; more > 0; more--)
			code = code << 6 | ((uint8_t)value.data[i++] & 0x3f);
		if (code >= 0x10000)
			buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
		else if (code < ' ' || code > '~')
			buf_printf(out, "\\u%04x", code);
		else if (code == '"' || code == '\\')
			buf_printf(out, "\\%c", (int)code);
		else
			buf_put_u8(out, (uint8_t)code);
	}
	buf_put_u8(out, '"');
}

const char *const *cli_environment_headers(struct cli *cli, const struct cli_environment *e)
{
	const char **headers = cli_alloc(cli, ((size_t)e->count + 2) * sizeof(*headers));
	uint32_t count = 0;
	for (uint32_t i = 0; i < e->count; i++) {
		struct buf line = BUF_INIT(1 << 20);
		buf_printf(&line, "spacetime-environment: %s=", e->values[i].name);
		if (is_bare(e->values[i].value))
			buf_put_str(&line, e->values[i].value);
		else
			put_ascii_json(&line, e->values[i].value);
		cli_check(cli, &line);
		headers[count++] = cli_keep(cli, buf_str(&line));
		buf_deinit(&line);
	}
	if (e->removed != NULL)
		headers[count++] = cli_text(cli, "spacetime-environment-remove: %s", e->removed);
	headers[count] = NULL;
	return headers;
}

const char *cli_environment_error(struct cli *cli, const struct native_json *doc, uint32_t error)
{
	if (str_eq(cli_json_str(doc, error), STR("VersionConflict")))
		return conflict_text;
	uint32_t missing = cli_json_member(doc, error, "MissingRequiredEnvironment"), left = 0;
	uint32_t keys = missing != 0 ? cli_json_member(doc, missing, "keys") : 0;
	if (keys == 0)
		return NULL;
	struct buf text = BUF_INIT(1 << 20);
	buf_put_cstr(&text, "Missing required environment variable(s) [");
	uint32_t at = cli_json_items(doc, keys, &left);
	for (bool first = true; left > 0; left--, first = false, at = doc->nodes[at].next)
		buf_printf(&text, "%s%.*s", first ? "" : ", ", STR_FMT(cli_json_str(doc, at)));
	buf_put_u8(&text, ']');
	cli_check(cli, &text);
	const char *kept = cli_keep(cli, buf_str(&text));
	buf_deinit(&text);
	return kept;
}

static bool get(struct cli *cli, const char *url, const char *token, struct cli_reply *reply)
{
	struct cli_request request = { .method = "GET", .url = url, .token = token };
	return cli_http(cli, &request, reply);
}

/* Also gives the hash of the program that declares them. */
static bool take_declared(struct cli *cli, const struct cli_reply *reply, struct cli_environment *e,
	const char **hash)
{
	struct native_json doc = { 0 };
	if (!cli_reply_json(cli, reply, &doc))
		return false;
	uint32_t left = 0, at = cli_json_items(&doc, cli_json_member(&doc, 0, "declarations"), &left);
	bool ok = true;
	for (; ok && left > 0; left--, at = doc.nodes[at].next)
		ok = cli_environment_declare(cli, cli_json_member_str(&doc, at, "name"), e);
	struct str text = cli_json_member_str(&doc, 0, "module_hash");
	*hash = text.data != NULL ? cli_keep(cli, text) : "";
	native_json_free(&doc);
	return ok;
}

bool cli_environment_declared(struct cli *cli, const char *url, const char *token, struct cli_environment *e)
{
	struct cli_reply reply;
	const char *hash;
	if (!get(cli, url, token, &reply))
		return false;
	bool ok = !cli_reply_good(&reply) || take_declared(cli, &reply, e, &hash); /* the publish will say what is wrong */
	cli_reply_deinit(&reply);
	return ok;
}

static bool take_changed(struct cli *cli, const struct cli_reply *reply)
{
	struct native_json doc = { 0 };
	if (!cli_reply_good(reply))
		return cli_fail_reply(cli, reply);
	if (!cli_reply_json(cli, reply, &doc))
		return false;
	uint32_t error = cli_json_member(&doc, 0, "Err");
	const char *text = error != 0 ? cli_environment_error(cli, &doc, error) : NULL;
	native_json_free(&doc);
	if (error != 0)
		return cli_fail(cli, "%s", text != NULL ? text : "the host refuses the environment");
	puts("Successfully updated environment");
	return true;
}

bool cli_environment_publish(struct cli *cli, const char *url, const char *token, bool replaces,
	struct cli_environment *e)
{
	struct cli_reply reply;
	const char *hash = "", *const no_headers[] = { NULL };
	if (!get(cli, url, token, &reply))
		return false;
	bool ok = cli_reply_good(&reply) ? take_declared(cli, &reply, e, &hash) : cli_fail_reply(cli, &reply);
	cli_reply_deinit(&reply);
	if (!ok)
		return false;
	cli_environment_show(e);
	struct buf body = BUF_INIT(BODY_BYTES_MAX);
	buf_put_u8(&body, '{');
	for (uint32_t i = 0; i < e->count; i++) {
		buf_put_cstr(&body, i > 0 ? "," : "");
		buf_put_json_str(&body, str_of(e->values[i].name));
		buf_put_u8(&body, ':');
		buf_put_json_str(&body, e->values[i].value);
	}
	buf_put_u8(&body, '}');
	cli_check(cli, &body);
	const char *remove[] = { e->removed != NULL ? cli_text(cli, "spacetime-environment-remove: %s", e->removed) : NULL,
		NULL };
	struct cli_request request = { .method = replaces ? "PUT" : "PATCH", .token = token, .has_body = true,
		.content_type = "application/json", .body = buf_bytes(&body), .headers = replaces ? no_headers : remove,
		.url = cli_text(cli, "%s?expected_module_hash=%s", url, hash) };
	ok = cli_http(cli, &request, &reply);
	buf_deinit(&body);
	if (ok) {
		ok = take_changed(cli, &reply);
		cli_reply_deinit(&reply);
	}
	return ok;
}
