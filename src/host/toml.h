/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOML_H
#define TOML_H
/*
 * toml: a reader for the part of TOML that configuration files use: comments,
 * [sections] (dots allowed), bare and quoted keys, basic and literal strings,
 * integers, decimal numbers, booleans, arrays of strings (over several lines).
 * What it does not read (dates, inline tables, arrays of tables, multi-line
 * strings) is an error that names the line. Pure: bytes in, entries out.
 */
#include "base/arena.h"
#include "base/buf.h"

enum { TOML_BYTES_MAX = 1 << 20, TOML_ENTRIES_MAX = 4096, TOML_ITEMS_MAX = 4096 };
enum toml_kind { TOML_STRING, TOML_INTEGER, TOML_NUMBER, TOML_BOOLEAN, TOML_STRINGS };
struct toml_entry {
	struct toml_entry *next;
	struct str section, key; /* section is empty above the first header */
	enum toml_kind kind;
	unsigned line;
	struct str text;         /* STRING; NUMBER: as written */
	int64_t integer;         /* INTEGER; BOOLEAN: 0 or 1 */
	struct str *items;       /* STRINGS */
	uint32_t item_count;
};
struct toml {
	struct arena arena;
	struct toml_entry *first;
};
/* WL_ERR_INVALID with "line N: …". On failure there is nothing to free. */
enum wl_err toml_parse(struct str text, struct toml *out, struct error *error);
void toml_deinit(struct toml *toml); /* safe on a zeroed struct */
const struct toml_entry *toml_find(const struct toml *toml, const char *section, const char *key);
#endif
