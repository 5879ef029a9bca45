/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks JSON text in step with its parsed tape. The tape has no positions; what people see of a bad token does
 * ("at line 1 column 45"), and claims that are passed on must stay as they were written. The text has been parsed
 * before, so this only has to find ends, never to judge; every step is bounded by the text all the same.
 */
#include "auth/json_walk.h"
#include "base/text.h"

#include <stdlib.h>

static size_t skip_space(struct str text, size_t at)
{
	while (at < text.len && memchr(" \t\n\r", text.data[at], 4) != NULL)
		at++;
	return at;
}

static size_t string_end(struct str text, size_t at)
{
	for (at++; at < text.len && text.data[at] != '"'; at++)
		if (text.data[at] == '\\')
			at++;
	return size_min(at + 1, text.len);
}

static size_t value_end(struct str text, size_t at)
{
	size_t depth = 0;
	while (at < text.len) {
		char c = text.data[at];
		if (c == '"') {
			at = string_end(text, at);
		} else if (c == '{' || c == '[') {
			depth++;
			at++;
		} else if (c == '}' || c == ']') {
			if (depth == 0)
				return at;
			depth--;
			at++;
		} else if (depth == 0) { /* a number or a word */
			if (c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r')
				return at;
			at++;
			continue;
		} else {
			at++;
		}
		if (depth == 0)
			return at;
	}
	return at;
}

struct json_walk json_walk_of(const struct native_json *doc, struct str text, uint32_t index, size_t at)
{
	const struct native_json_node *node = &doc->nodes[index];
	at = skip_space(text, at);
	return (struct json_walk){
		.text = text, .doc = doc, .at = size_min(at + 1, text.len), .node = index + 1, .left = node->count,
		.object = node->kind == NATIVE_JSON_OBJECT,
	};
}

bool json_walk_next(struct json_walk *walk, struct json_member *out)
{
	if (walk->left == 0)
		return false;
	struct str text = walk->text;
	size_t at = skip_space(text, walk->at);
	*out = (struct json_member){ 0 };
	if (walk->object) {
		out->key = &walk->doc->nodes[walk->node];
		walk->node = out->key->next;
		at = out->key_end = string_end(text, at);
		at = skip_space(text, at);
		at = skip_space(text, size_min(at + 1, text.len)); /* the colon */
	}
	out->index = walk->node;
	out->value = &walk->doc->nodes[walk->node];
	walk->node = out->value->next;
	out->value_at = at;
	out->value_end = value_end(text, at);
	out->raw = (struct str){ text.data + at, out->value_end - at };
	at = skip_space(text, out->value_end);
	walk->at = size_min(at + 1, text.len); /* the comma or the end */
	walk->left--;
	return true;
}

void json_position(struct str text, size_t consumed, unsigned *line, unsigned *column)
{
	*line = 1;
	*column = 0;
	for (size_t i = 0; i < consumed; i++) { /* one past the end counts: serde has looked at it */
		if (i < text.len && text.data[i] == '\n') {
			++*line;
			*column = 0;
		} else {
			++*column;
		}
	}
}

static void put_number(const struct native_json_node *node, struct buf *out)
{
	char text[64], number[32];
	if (node->text_len >= sizeof(text)) {
		buf_put_cstr(out, "number");
		return;
	}
	memcpy(text, node->text, node->text_len);
	text[node->text_len] = '\0';
	bool is_float = strpbrk(text, ".eE") != NULL || node->text_len > 20;
	if (!is_float) { /* beyond 64 bits serde has a float as well */
		u128 magnitude = 0;
		for (const char *p = text + (text[0] == '-'); *p >= '0' && *p <= '9'; p++)
			magnitude = magnitude * 10 + (unsigned)(*p - '0');
		is_float = text[0] == '-' ? magnitude > (u128)1 << 63 : magnitude > UINT64_MAX;
		if (!is_float) {
			buf_printf(out, "integer `%s`", text);
			return;
		}
	}
	double value = strtod(text, NULL);
	size_t n = value - value == 0 ? native_format_f64(value, number) : 0;
	buf_printf(out, "floating point `%.*s`", (int)n, number);
}

void json_invalid_type(const struct native_json_node *node, const char *expected, struct buf *out)
{
	buf_put_cstr(out, "invalid type: ");
	switch (node->kind) {
	case NATIVE_JSON_NULL: buf_put_cstr(out, "null"); break;
	case NATIVE_JSON_FALSE: buf_put_cstr(out, "boolean `false`"); break;
	case NATIVE_JSON_TRUE: buf_put_cstr(out, "boolean `true`"); break;
	case NATIVE_JSON_NUMBER: put_number(node, out); break;
	case NATIVE_JSON_STRING:
		buf_put_cstr(out, "string ");
		text_put_debug_str(out, (struct str){ node->text, node->text_len });
		break;
	case NATIVE_JSON_ARRAY: buf_put_cstr(out, "sequence"); break;
	default: buf_put_cstr(out, "map"); break;
	}
	buf_printf(out, ", expected %s", expected);
}
