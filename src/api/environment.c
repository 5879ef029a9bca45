/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What requests say of a database's environment.
 *
 * A header line is a list of entries between commas, blanks around them and
 * empty ones ignored. KEY=VALUE, where VALUE is bare (visible ASCII but quotes,
 * comma and backslash), 'between quotes' as it stands, or a "JSON string".
 */
#include "api/environment.h"
#include "native.h"

enum { ERROR_BYTES = 256 };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_header_text(struct str line)
{
	for (size_t i = 0; i < line.len; i++)
		if (line.data[i] != '\t' && (line.data[i] < ' ' || line.data[i] > '~'))
			return false;
	return true;
}

static struct str rest_of(struct str text, size_t from)
{
	return (struct str){ text.data + from, text.len - from };
}

static struct str skip_blanks(struct str text)
{
	while (text.len > 0 && is_blank(text.data[0]))
		text = rest_of(text, 1);
	return text;
}

/* ---- lists ---- */

static struct database_variable *find(const struct environment *e, struct str name)
{
	for (uint32_t i = 0; i < e->set_count; i++)
		if (str_eq(e->set[i].name, name))
			return &e->set[i];
	return NULL;
}

static bool add(struct environment *e, struct str name, struct str value)
{
	if (e->set == NULL)
		e->set = arena_array(e->arena, ENVIRONMENT_ENTRIES_MAX, sizeof(*e->set));
	if (e->set == NULL || e->set_count == ENVIRONMENT_ENTRIES_MAX)
		return false;
	e->set[e->set_count++] = (struct database_variable){ name, value };
	return true;
}

static bool add_removed(struct environment *e, struct str name)
{
	if (e->removed == NULL)
		e->removed = arena_array(e->arena, ENVIRONMENT_ENTRIES_MAX, sizeof(*e->removed));
	if (e->removed == NULL || e->removed_count == ENVIRONMENT_ENTRIES_MAX)
		return false;
	e->removed[e->removed_count++] = name;
	return true;
}

struct database_environment environment_change(const struct environment *e)
{
	return (struct database_environment){ .set = e->set, .set_count = e->set_count, .removed = e->removed,
		.removed_count = e->removed_count, .remove_all = e->remove_all };
}

/* ---- values ---- */

/* A string of the document, in the arena. */
static bool keep(struct environment *e, const struct native_json_node *node, struct str *out)
{
	const char *copy = node->text_len == 0 ? "" : arena_copy(e->arena, node->text, node->text_len);
	*out = (struct str){ copy, node->text_len };
	return copy != NULL;
}

static bool take_bare(struct str *text, struct str *value)
{
	size_t len = 0;
	while (len < text->len && text->data[len] > ' ' && text->data[len] < 0x7f &&
		strchr("\"',\\", text->data[len]) == NULL)
		len++;
	*value = (struct str){ text->data, len };
	*text = rest_of(*text, len);
	return true;
}

static bool take_literal(struct str *text, struct str *value)
{
	const char *end = memchr(text->data + 1, '\'', text->len - 1);
	if (end == NULL)
		return false;
	*value = (struct str){ text->data + 1, (size_t)(end - text->data) - 1 };
	*text = rest_of(*text, value->len + 2);
	return true;
}

static bool take_json(struct environment *e, struct str *text, struct str *value)
{
	size_t len = 1;
	while (len < text->len && text->data[len] != '"')
		len += text->data[len] == '\\' ? 2 : 1;
	if (len >= text->len)
		return false;
	struct native_json doc = { 0 };
	char error[ERROR_BYTES];
	bool ok = native_json_parse(text->data, ++len, &doc, error, sizeof(error)) == 0 &&
		doc.nodes[0].kind == NATIVE_JSON_STRING && keep(e, &doc.nodes[0], value);
	native_json_free(&doc);
	*text = rest_of(*text, len);
	return ok;
}

static bool take_value(struct environment *e, struct str *text, struct str *value)
{
	if (text->len > 0 && text->data[0] == '\'')
		return take_literal(text, value);
	if (text->len > 0 && text->data[0] == '"')
		return take_json(e, text, value);
	return take_bare(text, value);
}

static bool take_name(struct str *text, struct str *name)
{
	size_t len = 0;
	while (len < text->len && text->data[len] != '=' && text->data[len] != ',' && !is_blank(text->data[len]))
		len++;
	*name = (struct str){ text->data, len };
	*text = rest_of(*text, len);
	return database_variable_name_valid(*name);
}

/* Behind an entry: its comma, or the end. */
static bool take_end(struct str *text)
{
	*text = skip_blanks(*text);
	if (text->len == 0)
		return true;
	bool ok = text->data[0] == ',';
	*text = rest_of(*text, 1);
	return ok;
}

/* ---- lines ---- */

/* Before the next entry; false: there is none. */
static bool next_entry(struct str *text)
{
	while (text->len > 0 && (is_blank(text->data[0]) || text->data[0] == ','))
		*text = rest_of(*text, 1);
	return text->len > 0;
}

bool environment_read_line(struct environment *e, struct str line)
{
	if (!is_header_text(line))
		return false;
	while (next_entry(&line)) {
		struct str name, value;
		if (!take_name(&line, &name) || line.len == 0 || line.data[0] != '=')
			return false;
		line = rest_of(line, 1);
		if (!take_value(e, &line, &value) || value.len > MODULE_ENVIRONMENT_VALUE_BYTES_MAX || !take_end(&line) ||
			find(e, name) != NULL || !add(e, name, value))
			return false;
	}
	return true;
}

bool environment_read_remove_line(struct environment *e, struct str line)
{
	if (!is_header_text(line))
		return false;
	while (next_entry(&line)) {
		struct str name;
		bool all = line.data[0] == '*';
		if (e->remove_all || (all && e->removed_count > 0))
			return false;
		if (all)
			line = rest_of(line, 1);
		else if (!take_name(&line, &name) || !add_removed(e, name))
			return false;
		e->remove_all = all;
		if (!take_end(&line))
			return false;
	}
	return true;
}

/* ---- JSON ---- */

bool environment_read_json(struct environment *e, struct str text)
{
	struct native_json doc = { 0 };
	char error[ERROR_BYTES]; /* may hold what must not be told */
	bool ok = native_json_parse(text.data, text.len, &doc, error, sizeof(error)) == 0 &&
		doc.nodes[0].kind == NATIVE_JSON_OBJECT;
	uint32_t at = 1;
	for (uint32_t i = 0; ok && i < doc.nodes[0].count; i++) {
		const struct native_json_node *key = &doc.nodes[at], *value = &doc.nodes[at + 1];
		struct str name, kept;
		ok = value->kind == NATIVE_JSON_STRING && keep(e, key, &name) && keep(e, value, &kept);
		struct database_variable *old = ok ? find(e, name) : NULL;
		if (old != NULL)
			old->value = kept;
		else
			ok = ok && add(e, name, kept);
		at = value->next;
	}
	native_json_free(&doc);
	return ok;
}
