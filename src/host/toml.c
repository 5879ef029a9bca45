/* SPDX-License-Identifier: Apache-2.0 */
/* The TOML reader: one pass, one cursor; each value is read where it stands. */
#include "host/toml.h"

struct parser {
	const char *at, *end;
	unsigned line;
	uint32_t entries;
	struct toml *toml;
	struct toml_entry **last;
	struct str section;
	struct error *error;
};

static enum wl_err fail_at(struct parser *p, const char *format, ...) PRINTF_LIKE(2, 3);
static enum wl_err fail_at(struct parser *p, const char *format, ...)
{
	struct buf text = BUF_INIT(ERROR_TEXT_MAX);
	va_list args;
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	enum wl_err err = fail(p->error, WL_ERR_INVALID, "line %u: %s", p->line, buf_text(&text));
	buf_deinit(&text);
	return err;
}

static bool at_end(const struct parser *p) { return p->at >= p->end; }
static char peek(const struct parser *p) { return at_end(p) ? '\0' : *p->at; }

static void skip_blanks(struct parser *p)
{
	while (!at_end(p) && (*p->at == ' ' || *p->at == '\t' || *p->at == '\r'))
		p->at++;
}

static void skip_comment(struct parser *p)
{
	if (peek(p) == '#')
		while (!at_end(p) && *p->at != '\n')
			p->at++;
}

/* Blanks, comments and line ends. */
static void skip_lines(struct parser *p)
{
	for (;;) {
		skip_blanks(p);
		skip_comment(p);
		if (peek(p) != '\n' || at_end(p))
			return;
		p->line++;
		p->at++;
	}
}

static enum wl_err line_end(struct parser *p)
{
	skip_blanks(p);
	skip_comment(p);
	if (!at_end(p) && *p->at != '\n')
		return fail_at(p, "unexpected character '%c' behind the value", *p->at);
	return WL_OK;
}

static bool is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static void put_char(char *out, size_t *len, uint32_t c)
{
	if (c < 0x80) {
		out[(*len)++] = (char)c;
	} else if (c < 0x800) {
		out[(*len)++] = (char)(0xc0 | c >> 6);
		out[(*len)++] = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		out[(*len)++] = (char)(0xe0 | c >> 12);
		out[(*len)++] = (char)(0x80 | (c >> 6 & 0x3f));
		out[(*len)++] = (char)(0x80 | (c & 0x3f));
	} else {
		out[(*len)++] = (char)(0xf0 | c >> 18);
		out[(*len)++] = (char)(0x80 | (c >> 12 & 0x3f));
		out[(*len)++] = (char)(0x80 | (c >> 6 & 0x3f));
		out[(*len)++] = (char)(0x80 | (c & 0x3f));
	}
}

static enum wl_err read_escape(struct parser *p, char *out, size_t *len)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	char c = peek(p);
	const char *found = c != '\0' ? strchr(from, c) : NULL;
	if (found != NULL) {
		out[(*len)++] = to[found - from];
		p->at++;
		return WL_OK;
	}
	size_t digits = c == 'u' ? 4 : c == 'U' ? 8 : 0;
	if (digits == 0 || (size_t)(p->end - p->at) <= digits)
		return fail_at(p, "invalid escape in a string");
	uint32_t value = 0;
	for (size_t i = 1; i <= digits; i++) {
		char d = p->at[i];
		uint32_t v = d >= '0' && d <= '9' ? (uint32_t)(d - '0') : (d | 0x20) >= 'a' && (d | 0x20) <= 'f' ?
			(uint32_t)((d | 0x20) - 'a' + 10) : 16;
		if (v == 16)
			return fail_at(p, "invalid escape in a string");
		value = value << 4 | v;
	}
	if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return fail_at(p, "invalid character number in a string");
	put_char(out, len, value);
	p->at += digits + 1;
	return WL_OK;
}

static enum wl_err read_string(struct parser *p, struct str *out)
{
	char quote = *p->at;
	if (p->end - p->at >= 3 && p->at[1] == quote && p->at[2] == quote)
		return fail_at(p, "multi-line strings are not supported");
	const char *close = p->at + 1;
	while (close < p->end && *close != quote && *close != '\n')
		close += *close == '\\' && quote == '"' && close + 1 < p->end ? 2 : 1;
	if (close >= p->end || *close != quote)
		return fail_at(p, "the string does not end");
	/* no escape is shorter than what it stands for */
	char *text = arena_alloc(&p->toml->arena, (size_t)(close - p->at));
	if (text == NULL)
		return fail(p->error, WL_ERR_MEMORY, "out of memory");
	size_t len = 0;
	p->at++;
	while (p->at < close) {
		char c = *p->at++;
		if (c == '\\' && quote == '"') {
			enum wl_err err = read_escape(p, text, &len);
			if (err != WL_OK)
				return err;
		} else {
			text[len++] = c;
		}
	}
	p->at++;
	if (!utf8_valid((const uint8_t *)text, len))
		return fail_at(p, "the string is not UTF-8");
	*out = (struct str){ text, len };
	return WL_OK;
}

static enum wl_err read_key(struct parser *p, struct str *out)
{
	if (peek(p) == '"' || peek(p) == '\'')
		return read_string(p, out);
	const char *from = p->at;
	while (!at_end(p) && is_bare(*p->at))
		p->at++;
	if (p->at == from)
		return fail_at(p, "a key is expected");
	*out = (struct str){ from, (size_t)(p->at - from) };
	return WL_OK;
}

static enum wl_err read_strings(struct parser *p, struct toml_entry *entry)
{
	uint32_t cap = 0;
	entry->kind = TOML_STRINGS;
	p->at++;
	for (;;) {
		skip_lines(p);
		if (peek(p) == ']') {
			p->at++;
			return WL_OK;
		}
		if (peek(p) != '"' && peek(p) != '\'')
			return fail_at(p, at_end(p) ? "the array does not end" : "only arrays of strings are supported");
		if (entry->item_count == TOML_ITEMS_MAX)
			return fail_at(p, "more than %d items", TOML_ITEMS_MAX);
		if (entry->item_count == cap) {
			cap = cap == 0 ? 8 : cap * 2;
			struct str *items = arena_array(&p->toml->arena, cap, sizeof(*items));
			if (items == NULL)
				return fail(p->error, WL_ERR_MEMORY, "out of memory");
			if (entry->item_count > 0)
				memcpy(items, entry->items, entry->item_count * sizeof(*items));
			entry->items = items;
		}
		enum wl_err err = read_string(p, &entry->items[entry->item_count]);
		if (err != WL_OK)
			return err;
		entry->item_count++;
		skip_lines(p);
		if (peek(p) == ',')
			p->at++;
		else if (peek(p) != ']')
			return fail_at(p, "',' or ']' is expected in an array");
	}
}

static enum wl_err read_number(struct parser *p, struct toml_entry *entry)
{
	const char *from = p->at;
	bool minus = peek(p) == '-', digit = false, decimal = false;
	if (minus || peek(p) == '+')
		p->at++;
	i128 value = 0;
	while (!at_end(p) && (is_bare(*p->at) || *p->at == '.' || *p->at == '+')) {
		char c = *p->at++;
		if (c >= '0' && c <= '9') {
			digit = true;
			if (!decimal)
				value = value * 10 + (c - '0');
			if (value > (i128)1 << 64)
				return fail_at(p, "the number is out of range");
		} else if (c == '.' || c == 'e' || c == 'E') {
			decimal = true;
		} else if (c != '_' && !(decimal && (c == '-' || c == '+'))) {
			digit = false;
			break;
		}
	}
	if (!digit)
		return fail_at(p, "a value is expected");
	entry->text = (struct str){ from, (size_t)(p->at - from) };
	entry->kind = decimal ? TOML_NUMBER : TOML_INTEGER;
	value = minus ? -value : value;
	if (!decimal && (value > INT64_MAX || value < INT64_MIN))
		return fail_at(p, "the number is out of range");
	entry->integer = decimal ? 0 : (int64_t)value;
	return WL_OK;
}

static bool take_word(struct parser *p, const char *word)
{
	size_t len = strlen(word);
	if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0)
		return false;
	if ((size_t)(p->end - p->at) > len && is_bare(p->at[len]))
		return false;
	p->at += len;
	return true;
}

static enum wl_err read_value(struct parser *p, struct toml_entry *entry)
{
	char c = peek(p);
	if (c == '"' || c == '\'') {
		entry->kind = TOML_STRING;
		return read_string(p, &entry->text);
	}
	if (c == '[')
		return read_strings(p, entry);
	if (c == '{')
		return fail_at(p, "inline tables are not supported");
	entry->kind = TOML_BOOLEAN;
	if (take_word(p, "true")) {
		entry->integer = 1;
		return WL_OK;
	}
	if (take_word(p, "false"))
		return WL_OK;
	return read_number(p, entry);
}

static enum wl_err read_section(struct parser *p)
{
	p->at++;
	if (peek(p) == '[')
		return fail_at(p, "arrays of tables are not supported");
	skip_blanks(p);
	const char *from = p->at;
	while (!at_end(p) && (is_bare(*p->at) || *p->at == '.'))
		p->at++;
	p->section = (struct str){ from, (size_t)(p->at - from) };
	skip_blanks(p);
	if (p->section.len == 0 || peek(p) != ']')
		return fail_at(p, "a section is written [name]");
	p->at++;
	return line_end(p);
}

static enum wl_err read_entry(struct parser *p)
{
	if (p->entries++ == TOML_ENTRIES_MAX)
		return fail_at(p, "more than %d entries", TOML_ENTRIES_MAX);
	struct toml_entry *entry = arena_zalloc(&p->toml->arena, sizeof(*entry));
	if (entry == NULL)
		return fail(p->error, WL_ERR_MEMORY, "out of memory");
	entry->section = p->section;
	entry->line = p->line;
	enum wl_err err = read_key(p, &entry->key);
	if (err != WL_OK)
		return err;
	skip_blanks(p);
	if (peek(p) != '=')
		return fail_at(p, peek(p) == '.' ? "dotted keys are not supported" : "'=' is expected behind the key");
	p->at++;
	skip_blanks(p);
	err = read_value(p, entry);
	if (err != WL_OK)
		return err;
	for (const struct toml_entry *other = p->toml->first; other != NULL; other = other->next)
		if (str_eq(other->section, entry->section) && str_eq(other->key, entry->key))
			return fail_at(p, "duplicate key `%.*s`", STR_FMT(entry->key));
	*p->last = entry;
	p->last = &entry->next;
	return line_end(p);
}

enum wl_err toml_parse(struct str text, struct toml *out, struct error *error)
{
	*out = (struct toml){ 0 };
	if (text.len > TOML_BYTES_MAX)
		return fail(error, WL_ERR_LIMIT, "the file is larger than %d bytes", TOML_BYTES_MAX);
	arena_init(&out->arena, 16 * TOML_BYTES_MAX);
	struct parser p = { .at = text.data, .end = text.data + text.len, .line = 1, .toml = out, .last = &out->first,
		.error = error };
	enum wl_err err = WL_OK;
	struct str whole; /* entries outlive the text: they point into a copy */
	if (text.len > 0) {
		whole = arena_str(&out->arena, text);
		if (whole.data == NULL)
			err = fail(error, WL_ERR_MEMORY, "out of memory");
		p.at = whole.data;
		p.end = whole.data + whole.len;
	}
	while (err == WL_OK) {
		skip_lines(&p);
		if (at_end(&p))
			break;
		err = peek(&p) == '[' ? read_section(&p) : read_entry(&p);
	}
	if (err != WL_OK)
		toml_deinit(out);
	return err;
}

void toml_deinit(struct toml *toml)
{
	arena_deinit(&toml->arena);
	*toml = (struct toml){ 0 };
}

const struct toml_entry *toml_find(const struct toml *toml, const char *section, const char *key)
{
	for (const struct toml_entry *entry = toml->first; entry != NULL; entry = entry->next)
		if (str_eq(entry->section, str_of(section)) && str_eq(entry->key, str_of(key)))
			return entry;
	return NULL;
}
