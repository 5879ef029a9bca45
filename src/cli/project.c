/* SPDX-License-Identifier: Apache-2.0 */
/* spacetime.json: JSON5 made JSON, layers merged, children flattened. */
#include "cli/project.h"

#include <stdio.h>
#include <unistd.h>

enum { PROJECT_BYTES_MAX = 1 << 20, SETTINGS_MAX = 256, TARGETS_MAX = 1024, PROJECT_PATH_MAX = 4096 };

struct entity { /* a database and those below it, layers merged */
	struct cli_setting settings[SETTINGS_MAX];
	uint32_t count;
	struct entity **children;
	uint32_t child_count;
};

/* ---- JSON5 ---- */

struct json5 {
	struct cli *cli;
	const char *at, *end;
	struct buf *out;
};

static bool json5_string(struct json5 *j)
{
	char quote = *j->at++;
	buf_put_u8(j->out, '"');
	while (j->at < j->end && *j->at != quote) {
		char c = *j->at++;
		if (c == '\n')
			break;
		if (c == '\\' && j->at < j->end) {
			char next = *j->at++;
			if (next == '\n') /* continues on the next line */
				continue;
			if (next == '\'')
				buf_put_u8(j->out, '\'');
			else
				buf_printf(j->out, "\\%c", next);
		} else if (c == '"') {
			buf_put_cstr(j->out, "\\\"");
		} else {
			buf_put_u8(j->out, (uint8_t)c);
		}
	}
	if (j->at >= j->end || *j->at != quote)
		return cli_fail(j->cli, "unterminated string");
	j->at++;
	buf_put_u8(j->out, '"');
	return true;
}

/* Over white space and comments. */
static bool json5_skip(struct json5 *j)
{
	while (j->at < j->end) {
		if (strchr(" \t\r\n", *j->at) != NULL && *j->at != '\0') {
			j->at++;
		} else if (*j->at == '/' && j->end - j->at > 1 && j->at[1] == '/') {
			while (j->at < j->end && *j->at != '\n')
				j->at++;
		} else if (*j->at == '/' && j->end - j->at > 1 && j->at[1] == '*') {
			j->at += 2;
			while (j->end - j->at > 1 && !(j->at[0] == '*' && j->at[1] == '/'))
				j->at++;
			if (j->end - j->at < 2)
				return cli_fail(j->cli, "unterminated comment");
			j->at += 2;
		} else {
			break;
		}
	}
	return true;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
		|| (c != '\0' && strchr("_$+-.", c) != NULL);
}

/* A number, true, false, null; or a bare key, which gets its quotes. */
static bool json5_word(struct json5 *j)
{
	const char *begin = j->at;
	while (j->at < j->end && is_word(*j->at))
		j->at++;
	struct str word = { begin, (size_t)(j->at - begin) };
	if (!json5_skip(j))
		return false;
	bool key = j->at < j->end && *j->at == ':';
	buf_printf(j->out, key ? "\"%.*s\"" : "%.*s", STR_FMT(word));
	return true;
}

bool cli_json5_to_json(struct cli *cli, struct str text, struct buf *out)
{
	struct json5 j = { cli, text.data, text.data + text.len, out };
	while (json5_skip(&j)) {
		if (j.at >= j.end)
			return true;
		char c = *j.at;
		if (c == '"' || c == '\'') {
			if (!json5_string(&j))
				return false;
		} else if (is_word(c)) {
			if (!json5_word(&j))
				return false;
		} else if (c == ',') {
			j.at++;
			if (!json5_skip(&j))
				return false;
			if (j.at < j.end && *j.at != '}' && *j.at != ']')
				buf_put_u8(out, ',');
		} else {
			buf_put_u8(out, (uint8_t)c);
			j.at++;
		}
	}
	return false;
}

static bool load_document(struct cli *cli, const char *path, struct native_json *out, bool *missing)
{
	struct buf text, json = BUF_INIT(2 * PROJECT_BYTES_MAX);
	char why[512];
	if (!cli_read_file(cli, path, PROJECT_BYTES_MAX, &text, missing)) {
		if (!*missing)
			cli_fail_around(cli, "Failed to read config file: %s", path);
		return false;
	}
	bool ok = cli_json5_to_json(cli, buf_str(&text), &json);
	if (ok && native_json_parse((const char *)json.data, json.len, out, why, sizeof(why)) != 0)
		ok = cli_fail(cli, "Failed to parse config file %s: %s", path, why);
	else if (!ok)
		cli_fail_around(cli, "Failed to parse config file %s", path);
	else if (out->nodes[0].kind != NATIVE_JSON_OBJECT)
		ok = cli_fail(cli, "Failed to parse config file %s: it is not an object", path);
	buf_deinit(&json);
	buf_deinit(&text);
	return ok;
}

/* ---- layers ---- */

static bool key_eq(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		char x = a.data[i] == '_' ? '-' : a.data[i], y = b.data[i] == '_' ? '-' : b.data[i];
		if (x != y)
			return false;
	}
	return true;
}

static struct cli_setting *kept_setting(struct cli *cli, const struct cli_setting *setting)
{
	struct cli_setting *kept = cli_alloc(cli, sizeof(*kept));
	*kept = *setting;
	return kept;
}

/* A child's `env` lies over its parent's. */
static void put_under(struct cli *cli, struct cli_setting *setting, const struct cli_setting *parent)
{
	struct cli_setting *last = setting;
	while (last->under != NULL) { /* others may share them */
		last->under = kept_setting(cli, last->under);
		last = (struct cli_setting *)(uintptr_t)last->under;
	}
	last->under = parent;
}

static void set(struct cli *cli, struct entity *entity, struct cli_setting setting)
{
	for (uint32_t i = 0; i < entity->count; i++) {
		if (key_eq(entity->settings[i].key, setting.key)) {
			if (key_eq(setting.key, STR("env")))
				setting.under = kept_setting(cli, &entity->settings[i]);
			entity->settings[i] = setting;
			return;
		}
	}
	if (entity->count < SETTINGS_MAX)
		entity->settings[entity->count++] = setting;
}

static bool overlay(struct cli *cli, struct entity *entity, const struct native_json *doc, uint32_t node);

/* The first layer makes children; later ones change those that are there. */
static bool overlay_children(struct cli *cli, struct entity *entity, const struct native_json *doc, uint32_t node)
{
	uint32_t count, at = cli_json_items(doc, node, &count);
	if (entity->children == NULL) {
		entity->children = cli_alloc(cli, ((size_t)count + 1) * sizeof(*entity->children));
		for (uint32_t i = 0; i < count; i++)
			entity->children[i] = cli_alloc(cli, sizeof(struct entity));
		entity->child_count = count;
	}
	for (uint32_t i = 0; i < count && i < entity->child_count; i++) {
		if (!overlay(cli, entity->children[i], doc, at))
			return false;
		at = doc->nodes[at].next;
	}
	return true;
}

static bool overlay(struct cli *cli, struct entity *entity, const struct native_json *doc, uint32_t node)
{
	static const char *const others[] = { "generate", "dev", "_source-config" };
	const struct native_json_node *n = &doc->nodes[node];
	if (n->kind != NATIVE_JSON_OBJECT)
		return cli_fail(cli, "Failed to deserialize merged config: a database must be an object");
	for (uint32_t i = 0, key = node + 1; i < n->count; i++, key = doc->nodes[key + 1].next) {
		struct str name = { doc->nodes[key].text, doc->nodes[key].text_len };
		bool other = false;
		for (size_t k = 0; k < ARRAY_COUNT(others); k++)
			other = other || str_eq(name, str_of(others[k]));
		if (str_eq(name, STR("children"))) {
			if (!overlay_children(cli, entity, doc, key + 1))
				return false;
		} else if (!other) {
			set(cli, entity, (struct cli_setting){ name, doc, key + 1 });
		}
	}
	return true;
}

static bool is_source(struct str key)
{
	return key_eq(key, STR("module-path")) || key_eq(key, STR("bin-path")) || key_eq(key, STR("js-path"));
}

static void flatten(struct cli *cli, struct cli_project *project, const struct entity *entity,
	const struct cli_project_target *parent)
{
	if (project->target_count == TARGETS_MAX)
		return;
	struct cli_project_target *target = &project->targets[project->target_count++];
	bool own_source = false;
	uint32_t inherited = parent != NULL ? parent->count : 0;
	target->settings = cli_alloc(cli, ((size_t)entity->count + inherited + 1) * sizeof(*target->settings));
	for (uint32_t i = 0; i < entity->count; i++) {
		target->settings[target->count++] = entity->settings[i];
		own_source = own_source || is_source(entity->settings[i].key);
	}
	for (uint32_t i = 0; i < inherited; i++) {
		struct str key = parent->settings[i].key;
		char name[128];
		snprintf(name, sizeof(name), "%.*s", STR_FMT(key));
		const struct cli_setting *own = cli_project_setting(target, name);
		if (own != NULL && key_eq(key, STR("env")))
			put_under(cli, (struct cli_setting *)(uintptr_t)own, &parent->settings[i]);
		if (own == NULL && !(own_source && is_source(key)))
			target->settings[target->count++] = parent->settings[i];
	}
	struct cli_project_target kept = *target;
	for (uint32_t i = 0; i < entity->child_count; i++)
		flatten(cli, project, entity->children[i], &kept);
}

static const char *find_dir(struct cli *cli)
{
	char dir[PROJECT_PATH_MAX];
	if (getcwd(dir, sizeof(dir)) == NULL)
		return NULL;
	for (;;) {
		if (access(cli_text(cli, "%s/spacetime.json", dir), F_OK) == 0)
			return cli_text(cli, "%s", dir);
		char *slash = strrchr(dir, '/');
		if (slash == NULL || dir[0] == '\0')
			return NULL;
		*slash = '\0';
	}
}

bool cli_project_load(struct cli *cli, const char *env, struct cli_project *out)
{
	*out = (struct cli_project){ .dir = find_dir(cli) };
	if (out->dir == NULL)
		return true;
	const char *names[4] = { "spacetime.json", "spacetime.local.json" };
	if (env != NULL) {
		names[2] = cli_text(cli, "spacetime.%s.json", env);
		names[3] = cli_text(cli, "spacetime.%s.local.json", env);
	}
	struct entity *root = cli_alloc(cli, sizeof(*root));
	for (size_t i = 0; i < ARRAY_COUNT(names) && names[i] != NULL; i++) {
		const char *path = cli_text(cli, "%s/%s", out->dir, names[i]);
		struct native_json *doc = &out->documents[i];
		bool missing = false;
		if (!load_document(cli, path, doc, &missing)) {
			if (!missing)
				return false;
			continue;
		}
		if (!overlay(cli, root, doc, 0))
			return false;
		out->files[out->file_count++] = path;
	}
	out->targets = cli_alloc(cli, TARGETS_MAX * sizeof(*out->targets));
	flatten(cli, out, root, NULL);
	return true;
}

void cli_project_deinit(struct cli_project *project)
{
	for (size_t i = 0; i < ARRAY_COUNT(project->documents); i++)
		native_json_free(&project->documents[i]);
}

const struct cli_setting *cli_project_setting(const struct cli_project_target *target, const char *key)
{
	for (uint32_t i = 0; i < target->count; i++)
		if (key_eq(target->settings[i].key, str_of(key)))
			return &target->settings[i];
	return NULL;
}

const char *cli_project_text(struct cli *cli, const struct cli_project_target *target, const char *key)
{
	const struct cli_setting *setting = cli_project_setting(target, key);
	struct str text = setting != NULL ? cli_json_str(setting->doc, setting->node) : (struct str){ NULL, 0 };
	return text.data != NULL ? cli_keep(cli, text) : NULL;
}

bool cli_project_flag(const struct cli_project_target *target, const char *key)
{
	const struct cli_setting *setting = cli_project_setting(target, key);
	return setting != NULL && cli_json_true(setting->doc, setting->node);
}
