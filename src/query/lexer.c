/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of SQL text: names, numbers, strings, hex, symbols; comments and space are skipped. */
#include "native.h"
#include "query/query_internal.h"

#include <ctype.h>
#include <strings.h>

bool lexer_init(struct lexer *lexer, struct arena *arena, struct str sql, struct buf *error)
{
	*lexer = (struct lexer){ .arena = arena, .at = sql.data, .begin = sql.data, .end = sql.data + sql.len,
		.error = error };
	return lexer_next(lexer);
}

static void position(const struct lexer *lexer, const char *at, unsigned *line, unsigned *column)
{
	*line = *column = 1;
	for (const char *p = lexer->begin; p < at; p++) {
		if (*p == '\n') {
			++*line;
			*column = 1;
		} else if (((uint8_t)*p & 0xc0) != 0x80) {
			++*column;
		}
	}
}

static bool fail_at(struct lexer *lexer, const char *at, const char *what)
{
	unsigned line, column;
	position(lexer, at, &line, &column);
	buf_printf(lexer->error, "sql parser error: %s at Line: %u, Column %u", what, line, column);
	lexer->failed = true;
	return false;
}

bool lexer_expected(struct lexer *lexer, const char *what)
{
	unsigned line, column;
	const struct token *t = &lexer->token;
	if (lexer->failed)
		return false;
	lexer->failed = true;
	if (t->kind == TOKEN_END) {
		buf_printf(lexer->error, "sql parser error: Expected %s, found: EOF", what);
		return false;
	}
	position(lexer, t->source.data, &line, &column);
	struct str found = str_cut(t->source, 200);
	buf_printf(lexer->error, "sql parser error: Expected %s, found: %.*s at Line: %u, Column %u", what,
		STR_FMT(found), line, column);
	return false;
}

/* Length of a white space character at `p`, or 0: ASCII and the common Unicode ones. */
static size_t space_len(const char *p, const char *end)
{
	if (isspace((uint8_t)*p))
		return 1;
	size_t left = (size_t)(end - p);
	if (left >= 2 && (memcmp(p, "\xc2\xa0", 2) == 0 || memcmp(p, "\xc2\x85", 2) == 0))
		return 2;
	if (left >= 3 && (memcmp(p, "\xe1\x9a\x80", 3) == 0 || memcmp(p, "\xe3\x80\x80", 3) == 0 ||
		(memcmp(p, "\xe2\x80", 2) == 0 && ((uint8_t)p[2] <= 0x8a || (uint8_t)p[2] == 0xa8 ||
			(uint8_t)p[2] == 0xa9 || (uint8_t)p[2] == 0xaf)) || memcmp(p, "\xe2\x81\x9f", 3) == 0))
		return 3;
	return 0;
}

static bool skip_block_comment(struct lexer *lexer)
{
	const char *from = lexer->at;
	unsigned depth = 0;
	while (lexer->at < lexer->end) {
		size_t left = (size_t)(lexer->end - lexer->at);
		if (left >= 2 && memcmp(lexer->at, "/*", 2) == 0) {
			depth++;
			lexer->at += 2;
		} else if (left >= 2 && memcmp(lexer->at, "*/", 2) == 0) {
			lexer->at += 2;
			if (--depth == 0)
				return true;
		} else {
			lexer->at++;
		}
	}
	return fail_at(lexer, from, "Unexpected EOF while in a multi-line comment");
}

static bool skip_space(struct lexer *lexer)
{
	while (lexer->at < lexer->end) {
		size_t left = (size_t)(lexer->end - lexer->at), n = space_len(lexer->at, lexer->end);
		if (n > 0) {
			lexer->at += n;
		} else if (left >= 2 && memcmp(lexer->at, "--", 2) == 0) {
			while (lexer->at < lexer->end && *lexer->at != '\n')
				lexer->at++;
		} else if (left >= 2 && memcmp(lexer->at, "/*", 2) == 0) {
			if (!skip_block_comment(lexer))
				return false;
		} else {
			break;
		}
	}
	return true;
}

/* 'text' with '' for a quote, from the opening quote on; the value goes to the arena. */
static bool quoted(struct lexer *lexer, char quote, struct str *out)
{
	const char *from = lexer->at, *close = from + 1;
	while (close < lexer->end && (*close != quote || (close + 1 < lexer->end && close[1] == quote)))
		close += *close == quote ? 2 : 1;
	if (close >= lexer->end)
		return fail_at(lexer, from, quote == '"' ? "Expected close delimiter '\"' before EOF."
			: "Unterminated string literal");
	/* Exactly what it needs: a text may hold thousands of literals. */
	char *value = arena_alloc(lexer->arena, (size_t)(close - from));
	size_t len = 0;
	if (value == NULL)
		return fail_at(lexer, from, "not enough memory");
	for (const char *at = from + 1; at < close; at += *at == quote ? 2 : 1)
		value[len++] = *at;
	lexer->at = close + 1;
	*out = (struct str){ value, len };
	return true;
}

/* Length of the letter at `p`, or 0: ASCII, `_`, and whatever Unicode lets identifiers begin with. */
static size_t letter_len(const char *p, const char *end)
{
	char bad[8];
	size_t len = 1;
	if ((uint8_t)*p < 0x80)
		return isalpha((uint8_t)*p) || *p == '_';
	while (p + len < end && ((uint8_t)p[len] & 0xc0) == 0x80)
		len++;
	return native_identifier_check(p, len, bad) == NATIVE_IDENTIFIER_OK ? len : 0;
}

static void take_name(struct lexer *lexer)
{
	while (lexer->at < lexer->end) {
		size_t len = letter_len(lexer->at, lexer->end);
		if (len == 0 && !isdigit((uint8_t)*lexer->at) && *lexer->at != '$')
			break;
		lexer->at += size_max(len, 1);
	}
}

static void take_while(struct lexer *lexer, bool (*part)(char))
{
	while (lexer->at < lexer->end && part(*lexer->at))
		lexer->at++;
}

static bool is_digit(char c)
{
	return isdigit((uint8_t)c);
}

static bool is_xdigit(char c)
{
	return isxdigit((uint8_t)c);
}

static bool number(struct lexer *lexer)
{
	const char *from = lexer->at;
	if (lexer->end - from >= 2 && from[0] == '0' && from[1] == 'x') {
		lexer->at += 2;
		take_while(lexer, is_xdigit);
		lexer->token.kind = TOKEN_HEX;
		lexer->token.text = (struct str){ from + 2, (size_t)(lexer->at - from - 2) };
		return true;
	}
	take_while(lexer, is_digit);
	if (lexer->at < lexer->end && *lexer->at == '.') {
		lexer->at++;
		take_while(lexer, is_digit);
	}
	if (lexer->at < lexer->end && (*lexer->at == 'e' || *lexer->at == 'E')) {
		const char *exponent = lexer->at + 1;
		if (exponent < lexer->end && (*exponent == '+' || *exponent == '-'))
			exponent++;
		if (exponent < lexer->end && is_digit(*exponent)) {
			lexer->at = exponent;
			take_while(lexer, is_digit);
		}
	}
	lexer->token.kind = TOKEN_NUMBER;
	lexer->token.text = (struct str){ from, (size_t)(lexer->at - from) };
	if (lexer->at < lexer->end && *lexer->at == 'L')
		lexer->at++;
	return true;
}

/* A letter directly before a quote: X'…' is hex, the others are strings that the grammar refuses. */
static bool prefixed_string(struct lexer *lexer, bool *is_one)
{
	char c = *lexer->at;
	*is_one = lexer->end - lexer->at >= 2 && lexer->at[1] == '\'' && strchr("xXeEnNbB", c) != NULL;
	if (!*is_one)
		return true;
	lexer->at++;
	lexer->token.kind = c == 'x' || c == 'X' ? TOKEN_HEX : TOKEN_OTHER_STRING;
	return quoted(lexer, '\'', &lexer->token.text);
}

static bool symbol(struct lexer *lexer)
{
	static const char *const longer[] = { "<=>", "<=", ">=", "<>", "!=", "==", "<<", ">>", "||", "::", "->", "=>", "!~",
		"@>", "<@" };
	size_t len = 1, left = (size_t)(lexer->end - lexer->at);
	for (size_t i = 0; len == 1 && i < ARRAY_COUNT(longer); i++)
		if (left >= strlen(longer[i]) && memcmp(lexer->at, longer[i], strlen(longer[i])) == 0)
			len = strlen(longer[i]);
	lexer->token.kind = TOKEN_SYMBOL;
	while (lexer->at + len < lexer->end && ((uint8_t)lexer->at[len] & 0xc0) == 0x80)
		len++; /* a character that means nothing here is a token that nothing expects */
	lexer->token.text = (struct str){ lexer->at, len };
	lexer->at += len;
	return true;
}

bool lexer_next(struct lexer *lexer)
{
	if (lexer->failed || !skip_space(lexer))
		return false;
	const char *from = lexer->at;
	bool ok = true, is_string = false;
	lexer->token = (struct token){ .kind = TOKEN_END, .source = { from, 0 } };
	if (lexer->at >= lexer->end)
		return true;
	char c = *lexer->at;
	bool dot_number = c == '.' && lexer->at + 1 < lexer->end && is_digit(lexer->at[1]);
	if (c == '\'') {
		lexer->token.kind = TOKEN_STRING;
		ok = quoted(lexer, '\'', &lexer->token.text);
	} else if (c == '"') {
		lexer->token.kind = TOKEN_QUOTED_NAME;
		ok = quoted(lexer, '"', &lexer->token.text);
	} else if (is_digit(c) || dot_number) {
		ok = number(lexer);
	} else if (letter_len(lexer->at, lexer->end) > 0) {
		ok = prefixed_string(lexer, &is_string);
		if (ok && !is_string) {
			take_name(lexer);
			lexer->token.kind = TOKEN_NAME;
			lexer->token.text = (struct str){ from, (size_t)(lexer->at - from) };
		}
	} else {
		ok = symbol(lexer);
	}
	lexer->token.source = (struct str){ from, (size_t)(lexer->at - from) };
	return ok;
}

bool lexer_is(const struct lexer *lexer, const char *text)
{
	return lexer->token.kind == TOKEN_SYMBOL && str_eq(lexer->token.text, str_of(text));
}

bool lexer_is_keyword(const struct lexer *lexer, const char *keyword)
{
	const struct token *t = &lexer->token;
	return t->kind == TOKEN_NAME && t->text.len == strlen(keyword) &&
		strncasecmp(t->text.data, keyword, t->text.len) == 0;
}
