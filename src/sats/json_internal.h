/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SATS_JSON_INTERNAL_H
#define SATS_JSON_INTERNAL_H
/*
 * The cursor over a JSON text that json_read.c reads values with: tokens,
 * positions and errors as serde_json has them.
 */
#include "sats/number.h"

/* Where in the document a value is: a list from the inside out, on the C stack. */
enum json_step_kind { JSON_STEP_INDEX, JSON_STEP_KEY, JSON_STEP_BAD_KEY };
struct json_step {
	const struct json_step *parent; /* NULL below the root */
	enum json_step_kind kind;
	uint32_t index;
	struct str key;
};

struct json_cursor {
	const char *text;
	size_t len, index;
	int depth_left;     /* arrays and objects that may still be opened, serde_json's limit */
	struct buf scratch; /* the last string that had escapes */
	bool failed;        /* by the first failure, which later ones do not replace */
	bool positioned;    /* its position is known */
	enum wl_err code;
	size_t line, column;
	struct buf cause, path;
};
enum { JSON_DEPTH_MAX = 128 };

enum json_number_kind { JSON_U64, JSON_I64, JSON_F64 };
struct json_number {
	enum json_number_kind kind;
	uint64_t u64; /* JSON_U64, and JSON_I64 as its bits */
	double f64;
};

void json_cursor_init(struct json_cursor *c, const char *text, size_t len);
void json_cursor_deinit(struct json_cursor *c);

/* All failures return false, so that `return json_…` reads well. */
bool json_fail_here(struct json_cursor *c, const struct json_step *at, const char *cause); /* behind what was read */
bool json_fail_next(struct json_cursor *c, const struct json_step *at, const char *cause); /* at the next byte */
/* About the data: positioned by the json_end of the value that is being read. */
bool json_fail_data(struct json_cursor *c, const struct json_step *at, const char *format, ...) PRINTF_LIKE(3, 4);
bool json_fail_code(struct json_cursor *c, enum wl_err code, const char *cause);
/* Ends a value: gives a failure without position the current one. Returns `ok`. */
bool json_end(struct json_cursor *c, bool ok);

/* The next byte that is no white space, not consumed; -1 at the end. */
int json_peek(struct json_cursor *c);
bool json_ident(struct json_cursor *c, const struct json_step *at, const char *ident); /* its first byte was peeked */
/* The opening quote was peeked. The text is valid until the next string. */
bool json_string(struct json_cursor *c, const struct json_step *at, struct str *out);
bool json_number(struct json_cursor *c, const struct json_step *at, struct json_number *out);
bool json_integer128(struct json_cursor *c, const struct json_step *at, bool is_signed, u128 *out);
/* "integer `5`", "floating point `1.0`"; and a string in quotes. */
void json_describe_number(struct buf *out, const struct json_number *number);
void json_describe_string(struct buf *out, struct str s);
/* "invalid type: null, expected …" about the value that comes next, which may be any. `opens`: an array or object
 * is opened before it is refused, which shows in the position. */
bool json_wrong_type(struct json_cursor *c, const struct json_step *at, bool opens, const char *expected);

bool json_open(struct json_cursor *c, const struct json_step *at); /* '[' or '{' was peeked */
/* The closing of what was opened; also moves on after a failure inside, because positions depend on it. */
bool json_close_array(struct json_cursor *c, const struct json_step *at, bool ok);
bool json_close_object(struct json_cursor *c, const struct json_step *at, bool ok);
/* Another element or key? Sets `*more`; false on failure. */
bool json_next_element(struct json_cursor *c, const struct json_step *at, bool *first, bool *more);
bool json_next_key(struct json_cursor *c, const struct json_step *at, bool *first, bool *more, struct str *key);
bool json_colon(struct json_cursor *c, const struct json_step *at);
#endif
