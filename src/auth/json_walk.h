/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JSON_WALK_H
#define JSON_WALK_H
/*
 * json_walk: JSON text beside its parsed tape (native.h): the members of an
 * object or the elements of an array with their raw texts and positions, and
 * serde's words for values of a wrong type. Pure; any thread. The text must be
 * the one the tape was made from.
 */
#include "base/buf.h"
#include "native.h"

struct json_walk {
	struct str text;
	const struct native_json *doc;
	size_t at;       /* before the next member */
	uint32_t node;   /* its first node */
	uint32_t left;
	bool object;
};
struct json_member {
	const struct native_json_node *key; /* NULL in an array */
	const struct native_json_node *value;
	uint32_t index;                     /* of the value's node */
	struct str raw;                     /* the value as it is written */
	size_t key_end, value_at, value_end; /* offsets into the text */
};
/* `text` is what `doc` was parsed from; `index` a container whose text begins at or behind `at`. */
struct json_walk json_walk_of(const struct native_json *doc, struct str text, uint32_t index, size_t at);
bool json_walk_next(struct json_walk *walk, struct json_member *out);
/* "line L column C" as serde_json counts: bytes consumed of the last line. */
void json_position(struct str text, size_t consumed, unsigned *line, unsigned *column);
/* serde's words for a value that is not of the type wanted: "invalid type: integer `5`, expected a string". */
void json_invalid_type(const struct native_json_node *node, const char *expected, struct buf *out);
#endif
