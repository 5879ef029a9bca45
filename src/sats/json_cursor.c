/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cursor over JSON texts: what is accepted, where it stops and what it
 * says are those of serde_json, because clients see all three. The text must
 * be valid UTF-8.
 *
 * Invariants:
 * 1. index <= len, and nothing is read at or after len.
 * 2. The first failure stays. Its line and column are of its own place when
 *    it is about syntax; when it is about data, of where the cursor stands at
 *    the end of the value (json_end).
 * 3. The text is walked once; only a failure walks it again, for the line.
 */
#include "native.h"
#include "sats/json_internal.h"

enum { CAUSE_MAX = 1 << 20 };

void json_cursor_init(struct json_cursor *c, const char *text, size_t len)
{
	*c = (struct json_cursor){ .text = text, .len = len, .depth_left = JSON_DEPTH_MAX,
		.scratch = BUF_INIT(SIZE_MAX), .cause = BUF_INIT(CAUSE_MAX), .path = BUF_INIT(CAUSE_MAX) };
}

void json_cursor_deinit(struct json_cursor *c)
{
	buf_deinit(&c->scratch);
	buf_deinit(&c->cause);
	buf_deinit(&c->path);
}

/* ---- failures ---- */

static void write_path(struct buf *out, const struct json_step *step)
{
	if (step == NULL)
		return;
	write_path(out, step->parent);
	if (step->kind == JSON_STEP_INDEX) {
		buf_printf(out, "[%u]", step->index);
		return;
	}
	if (step->parent != NULL)
		buf_put_u8(out, '.');
	if (step->kind == JSON_STEP_KEY)
		buf_put_str(out, step->key);
	else
		buf_put_u8(out, '?');
}

static void note_failure(struct json_cursor *c, const struct json_step *at)
{
	c->failed = true;
	c->code = WL_ERR_INVALID;
	write_path(&c->path, at);
	if (c->path.len == 0)
		buf_put_u8(&c->path, '.');
}

static void set_position(struct json_cursor *c, size_t index)
{
	size_t start = 0;
	c->line = 1;
	for (size_t i = 0; i < index; i++) {
		if (c->text[i] == '\n') {
			c->line++;
			start = i + 1;
		}
	}
	c->column = index - start;
	c->positioned = true;
}

bool json_fail_here(struct json_cursor *c, const struct json_step *at, const char *cause)
{
	if (c->failed)
		return false;
	note_failure(c, at);
	buf_put_cstr(&c->cause, cause);
	set_position(c, c->index);
	return false;
}

bool json_fail_next(struct json_cursor *c, const struct json_step *at, const char *cause)
{
	if (c->failed)
		return false;
	json_fail_here(c, at, cause);
	set_position(c, size_min(c->len, c->index + 1));
	return false;
}

bool json_fail_data(struct json_cursor *c, const struct json_step *at, const char *format, ...)
{
	if (c->failed)
		return false;
	note_failure(c, at);
	va_list args;
	va_start(args, format);
	buf_vprintf(&c->cause, format, args);
	va_end(args);
	return false;
}

bool json_fail_code(struct json_cursor *c, enum wl_err code, const char *cause)
{
	if (c->failed)
		return false;
	json_fail_here(c, NULL, cause);
	c->code = code;
	return false;
}

bool json_end(struct json_cursor *c, bool ok)
{
	if (c->failed && !c->positioned)
		set_position(c, c->index);
	return ok;
}

/* ---- tokens ---- */

/* The byte at the cursor, or 0 at the end: 0 is no token. */
static char byte_here(const struct json_cursor *c)
{
	return c->index < c->len ? c->text[c->index] : '\0';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int json_peek(struct json_cursor *c)
{
	while (c->index < c->len) {
		char here = c->text[c->index];
		if (here != ' ' && here != '\n' && here != '\t' && here != '\r')
			return (uint8_t)here;
		c->index++;
	}
	return -1;
}

bool json_ident(struct json_cursor *c, const struct json_step *at, const char *ident)
{
	for (c->index++, ident++; *ident != '\0'; ident++) {
		if (c->index == c->len)
			return json_fail_here(c, at, "EOF while parsing a value");
		if (c->text[c->index++] != *ident)
			return json_fail_here(c, at, "expected ident");
	}
	return true;
}

static bool string_ended(struct json_cursor *c, const struct json_step *at)
{
	return json_fail_here(c, at, "EOF while parsing a string");
}

static bool hex_escape(struct json_cursor *c, const struct json_step *at, uint32_t *out)
{
	uint8_t bytes[2];
	if (c->len - c->index < 4) {
		c->index = c->len;
		return string_ended(c, at);
	}
	c->index += 4;
	if (!hex_decode((struct str){ c->text + c->index - 4, 4 }, bytes, 2))
		return json_fail_here(c, at, "invalid escape");
	*out = (uint32_t)bytes[0] << 8 | bytes[1];
	return true;
}

static void put_utf8(struct buf *out, uint32_t code)
{
	if (code < 0x80) {
		buf_put_u8(out, (uint8_t)code);
		return;
	}
	if (code < 0x800) {
		buf_put_u8(out, (uint8_t)(0xc0 | code >> 6));
	} else {
		if (code < 0x10000) {
			buf_put_u8(out, (uint8_t)(0xe0 | code >> 12));
		} else {
			buf_put_u8(out, (uint8_t)(0xf0 | code >> 18));
			buf_put_u8(out, (uint8_t)(0x80 | (code >> 12 & 0x3f)));
		}
		buf_put_u8(out, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
	}
	buf_put_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
}

/* Behind "\u". Surrogates must come in pairs. */
static bool unicode_escape(struct json_cursor *c, const struct json_step *at)
{
	static const char expected[] = { '\\', 'u' };
	uint32_t code, low;
	if (!hex_escape(c, at, &code))
		return false;
	if (code >= 0xdc00 && code <= 0xdfff)
		return json_fail_here(c, at, "lone leading surrogate in hex escape");
	if (code >= 0xd800 && code <= 0xdbff) {
		for (int i = 0; i < 2; i++) {
			if (c->index == c->len)
				return string_ended(c, at);
			if (c->text[c->index++] != expected[i])
				return json_fail_here(c, at, "unexpected end of hex escape");
		}
		if (!hex_escape(c, at, &low))
			return false;
		if (low < 0xdc00 || low > 0xdfff)
			return json_fail_here(c, at, "lone leading surrogate in hex escape");
		code = ((code - 0xd800) << 10 | (low - 0xdc00)) + 0x10000;
	}
	put_utf8(&c->scratch, code);
	return true;
}

/* Behind the backslash. */
static bool escape(struct json_cursor *c, const struct json_step *at)
{
	if (c->index == c->len)
		return string_ended(c, at);
	char plain;
	switch (c->text[c->index++]) {
	case '"': plain = '"'; break;
	case '\\': plain = '\\'; break;
	case '/': plain = '/'; break;
	case 'b': plain = '\b'; break;
	case 'f': plain = '\f'; break;
	case 'n': plain = '\n'; break;
	case 'r': plain = '\r'; break;
	case 't': plain = '\t'; break;
	case 'u': return unicode_escape(c, at);
	default: return json_fail_here(c, at, "invalid escape");
	}
	buf_put_u8(&c->scratch, (uint8_t)plain);
	return true;
}

/* Moves to the next byte of a string that is not plain text. */
static void skip_plain(struct json_cursor *c)
{
	const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
	while (c->len - c->index >= 8) {
		uint64_t eight = load_u64(c->text + c->index);
		uint64_t quote = eight ^ ones * '"', backslash = eight ^ ones * '\\';
		if ((((eight - ones * 0x20) & ~eight) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) & tops)
			break;
		c->index += 8;
	}
	for (; c->index < c->len; c->index++) {
		uint8_t here = (uint8_t)c->text[c->index];
		if (here < 0x20 || here == '"' || here == '\\')
			return;
	}
}

bool json_string(struct json_cursor *c, const struct json_step *at, struct str *out)
{
	size_t run = ++c->index;
	buf_clear(&c->scratch);
	for (;;) {
		skip_plain(c);
		if (c->index == c->len)
			return string_ended(c, at);
		char here = c->text[c->index++];
		struct str plain = { c->text + run, c->index - 1 - run };
		if (here == '"') {
			if (c->scratch.len == 0) {
				*out = plain;
				return true;
			}
			buf_put_str(&c->scratch, plain);
			*out = buf_str(&c->scratch);
			return !c->scratch.failed || json_fail_code(c, WL_ERR_MEMORY, "out of memory");
		}
		if (here != '\\')
			return json_fail_here(c, at, "control character (\\u0000-\\u001F) found while parsing a string");
		buf_put_str(&c->scratch, plain);
		if (!escape(c, at))
			return false;
		run = c->index;
	}
}

/* ---- numbers ---- */

static bool exponent(struct json_cursor *c, const struct json_step *at)
{
	c->index++;
	if (byte_here(c) == '+' || byte_here(c) == '-')
		c->index++;
	if (c->index == c->len)
		return json_fail_here(c, at, "EOF while parsing a value");
	if (!is_digit(c->text[c->index++]))
		return json_fail_here(c, at, "invalid number");
	while (is_digit(byte_here(c)))
		c->index++;
	return true;
}

static bool fraction(struct json_cursor *c, const struct json_step *at)
{
	c->index++;
	if (!is_digit(byte_here(c)))
		return json_fail_next(c, at, c->index == c->len ? "EOF while parsing a value" : "invalid number");
	while (is_digit(byte_here(c)))
		c->index++;
	return true;
}

/* The digits in front of '.' or 'e'. Sets `*fits` if they are a u64. */
static bool integer_digits(struct json_cursor *c, const struct json_step *at, uint64_t *value, bool *fits)
{
	*value = 0;
	*fits = true;
	if (c->index == c->len)
		return json_fail_here(c, at, "EOF while parsing a value");
	char first = c->text[c->index++];
	if (!is_digit(first))
		return json_fail_here(c, at, "invalid number");
	*value = (uint64_t)(first - '0');
	if (first == '0')
		return !is_digit(byte_here(c)) || json_fail_next(c, at, "invalid number");
	for (; is_digit(byte_here(c)); c->index++) {
		uint64_t digit = (uint64_t)(c->text[c->index] - '0');
		if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, digit, value))
			*fits = false;
	}
	return true;
}

bool json_number(struct json_cursor *c, const struct json_step *at, struct json_number *out)
{
	size_t start = c->index;
	bool negative = byte_here(c) == '-', fits, whole = true;
	uint64_t value;
	c->index += negative;
	if (!integer_digits(c, at, &value, &fits))
		return false;
	if (byte_here(c) == '.') {
		whole = false;
		if (!fraction(c, at))
			return false;
	}
	if (byte_here(c) == 'e' || byte_here(c) == 'E') {
		whole = false;
		if (!exponent(c, at))
			return false;
	}
	if (whole && fits && !negative) {
		*out = (struct json_number){ .kind = JSON_U64, .u64 = value };
		return true;
	}
	if (whole && fits && value > 0 && value <= 1ull << 63) {
		*out = (struct json_number){ .kind = JSON_I64, .u64 = 0 - value };
		return true;
	}
	struct decimal decimal;
	decimal_from_json(&decimal, (struct str){ c->text + start, c->index - start });
	*out = (struct json_number){ .kind = JSON_F64, .f64 = decimal_to_f64(&decimal) };
	return __builtin_isfinite(out->f64) || json_fail_here(c, at, "number out of range");
}

/* Only the digits are looked at: what follows them is the next reader's trouble. */
bool json_integer128(struct json_cursor *c, const struct json_step *at, bool is_signed, u128 *out)
{
	int here = json_peek(c);
	bool negative = here == '-', fits = true;
	if (here < 0)
		return json_fail_next(c, at, "EOF while parsing a value");
	if (negative && !is_signed)
		return json_fail_next(c, at, "number out of range");
	c->index += negative;
	if (c->index == c->len)
		return json_fail_here(c, at, "invalid number");
	char first = c->text[c->index++];
	if (!is_digit(first))
		return json_fail_here(c, at, "invalid number");
	if (first == '0' && is_digit(byte_here(c)))
		return json_fail_next(c, at, "invalid number");
	u128 value = (u128)(first - '0');
	for (; is_digit(byte_here(c)) && first != '0'; c->index++) {
		u128 digit = (u128)(c->text[c->index] - '0');
		if (__builtin_mul_overflow(value, (u128)10, &value) || __builtin_add_overflow(value, digit, &value))
			fits = false;
	}
	u128 limit = is_signed ? ((u128)1 << 127) - !negative : ~(u128)0;
	if (!fits || value > limit)
		return json_fail_here(c, at, "number out of range");
	*out = negative ? 0 - value : value;
	return true;
}

/* ---- values of a wrong type ---- */

/* As Rust's {:?} shows strings. */
void json_describe_string(struct buf *out, struct str s)
{
	buf_put_u8(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		uint8_t here = (uint8_t)s.data[i];
		switch (here) {
		case '"': buf_put_cstr(out, "\\\""); break;
		case '\\': buf_put_cstr(out, "\\\\"); break;
		case '\n': buf_put_cstr(out, "\\n"); break;
		case '\r': buf_put_cstr(out, "\\r"); break;
		case '\t': buf_put_cstr(out, "\\t"); break;
		case '\0': buf_put_cstr(out, "\\0"); break;
		default:
			if (here < 0x20 || here == 0x7f)
				buf_printf(out, "\\u{%x}", here);
			else
				buf_put_u8(out, here);
		}
	}
	buf_put_u8(out, '"');
}

void json_describe_number(struct buf *out, const struct json_number *number)
{
	char text[32];
	if (number->kind == JSON_U64)
		buf_printf(out, "integer `%llu`", (unsigned long long)number->u64);
	else if (number->kind == JSON_I64)
		buf_printf(out, "integer `%lld`", (long long)number->u64);
	else
		buf_printf(out, "floating point `%.*s`", (int)native_format_f64(number->f64, text), text);
}

static bool wrong_container(struct json_cursor *c, const struct json_step *at, bool opens, const char *expected)
{
	bool array = byte_here(c) == '[';
	if (opens && !json_open(c, at))
		return false;
	json_fail_data(c, at, "invalid type: %s, expected %s", array ? "sequence" : "map", expected);
	if (opens && array)
		json_close_array(c, at, false);
	else if (opens)
		json_close_object(c, at, false);
	return json_end(c, false);
}

bool json_wrong_type(struct json_cursor *c, const struct json_step *at, bool opens, const char *expected)
{
	int here = json_peek(c);
	struct buf what = BUF_INIT(CAUSE_MAX);
	struct json_number number;
	struct str text;
	bool read = true;
	switch (here) {
	case -1:
		return json_fail_next(c, at, "EOF while parsing a value");
	case '[':
	case '{':
		return wrong_container(c, at, opens, expected);
	case 'n':
		read = json_ident(c, at, "null");
		buf_put_cstr(&what, "null");
		break;
	case 't':
		read = json_ident(c, at, "true");
		buf_put_cstr(&what, "boolean `true`");
		break;
	case 'f':
		read = json_ident(c, at, "false");
		buf_put_cstr(&what, "boolean `false`");
		break;
	case '"':
		read = json_string(c, at, &text);
		if (read) {
			buf_put_cstr(&what, "string ");
			json_describe_string(&what, text);
		}
		break;
	default:
		if (here != '-' && !is_digit((char)here))
			return json_fail_next(c, at, "expected value");
		read = json_number(c, at, &number);
		if (read)
			json_describe_number(&what, &number);
	}
	if (read)
		json_fail_data(c, at, "invalid type: %.*s, expected %s", STR_FMT(buf_str(&what)), expected);
	buf_deinit(&what);
	return json_end(c, false);
}

/* ---- arrays and objects ---- */

bool json_open(struct json_cursor *c, const struct json_step *at)
{
	if (--c->depth_left == 0)
		return json_fail_next(c, at, "recursion limit exceeded");
	c->index++;
	return true;
}

bool json_close_array(struct json_cursor *c, const struct json_step *at, bool ok)
{
	c->depth_left++;
	int here = json_peek(c);
	if (here == ']') {
		c->index++;
		return ok;
	}
	if (here == ',') {
		c->index++;
		return json_fail_next(c, at, json_peek(c) == ']' ? "trailing comma" : "trailing characters");
	}
	return json_fail_next(c, at, here < 0 ? "EOF while parsing a list" : "trailing characters");
}

bool json_close_object(struct json_cursor *c, const struct json_step *at, bool ok)
{
	c->depth_left++;
	int here = json_peek(c);
	if (here == '}') {
		c->index++;
		return ok;
	}
	if (here < 0)
		return json_fail_next(c, at, "EOF while parsing an object");
	return json_fail_next(c, at, here == ',' ? "trailing comma" : "trailing characters");
}

bool json_next_element(struct json_cursor *c, const struct json_step *at, bool *first, bool *more)
{
	int here = json_peek(c);
	bool was_first = *first;
	*first = false;
	*more = here != ']';
	if (here < 0)
		return json_fail_next(c, at, "EOF while parsing a list");
	if (here == ']' || was_first)
		return true;
	if (here != ',')
		return json_fail_next(c, at, "expected `,` or `]`");
	c->index++;
	here = json_peek(c);
	if (here == ']')
		return json_fail_next(c, at, "trailing comma");
	return here >= 0 || json_fail_next(c, at, "EOF while parsing a value");
}

bool json_next_key(struct json_cursor *c, const struct json_step *at, bool *first, bool *more, struct str *key)
{
	const struct json_step bad = { at, JSON_STEP_BAD_KEY, 0, { NULL, 0 } };
	int here = json_peek(c);
	bool was_first = *first;
	*first = false;
	*more = here != '}';
	if (here < 0)
		return json_fail_next(c, &bad, "EOF while parsing an object");
	if (here == '}')
		return true;
	if (!was_first) {
		if (here != ',')
			return json_fail_next(c, &bad, "expected `,` or `}`");
		c->index++;
		here = json_peek(c);
		if (here == '}')
			return json_fail_next(c, &bad, "trailing comma");
		if (here < 0)
			return json_fail_next(c, &bad, "EOF while parsing a value");
	}
	if (here != '"')
		return json_fail_next(c, &bad, "key must be a string");
	return json_string(c, &bad, key);
}

bool json_colon(struct json_cursor *c, const struct json_step *at)
{
	int here = json_peek(c);
	if (here != ':')
		return json_fail_next(c, at, here < 0 ? "EOF while parsing an object" : "expected `:`");
	c->index++;
	return true;
}
