/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli.toml: a scanner that finds where each key and value stands, and edits by position.
 *
 * Invariants
 * 1. The scanner accepts any TOML 1.0 file whose values it need not understand (dates, inline tables, arrays): it walks
 *    over them by their brackets and quotes. Nesting is counted, not recursed.
 * 2. An edit touches the bytes of one value, one line, or one table; everything else stays as it was.
 * 3. The file is replaced by rename: a reader sees the old text or the new one.
 */
#include "cli/config.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SERVERS_MAX = 4096, KEY_BYTES_MAX = 256 };

enum scope { SCOPE_ROOT, SCOPE_SERVER, SCOPE_OTHER };
struct entry { /* key = value, as it stands in the text */
	char key[KEY_BYTES_MAX];
	size_t line_at, value_at, value_end, line_end; /* line_end: behind the newline */
	bool is_string;
	const char *text; /* of a string */
	unsigned line;
};
struct header {
	enum scope scope;
	size_t line_at, line_end;
};
struct scanner {
	struct cli *cli;
	const char *data;
	size_t at, end;
	unsigned line;
	struct buf scratch;
};

static bool fail_line(struct scanner *s, const char *what)
{
	return cli_fail(s->cli, "TOML parse error at line %u: %s", s->line, what);
}

static char peek(const struct scanner *s) { return s->at < s->end ? s->data[s->at] : '\0'; }
static bool looking_at(const struct scanner *s, const char *text)
{
	size_t len = strlen(text);
	return s->end - s->at >= len && memcmp(s->data + s->at, text, len) == 0;
}

static void skip_blanks(struct scanner *s)
{
	while (s->at < s->end && (s->data[s->at] == ' ' || s->data[s->at] == '\t' || s->data[s->at] == '\r'))
		s->at++;
}

static void skip_to_newline(struct scanner *s)
{
	while (s->at < s->end && s->data[s->at] != '\n')
		s->at++;
}

/* Behind a value or a header there may be a comment only. */
static bool finish_line(struct scanner *s)
{
	skip_blanks(s);
	if (peek(s) == '#')
		skip_to_newline(s);
	if (s->at < s->end && s->data[s->at] != '\n')
		return fail_line(s, "unexpected characters at the end of the line");
	if (s->at < s->end) {
		s->at++;
		s->line++;
	}
	return true;
}

/* ---- values ---- */

static void put_code_point(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_put_u8(out, (uint8_t)c);
	} else if (c < 0x800) {
		buf_put_u8(out, (uint8_t)(0xc0 | c >> 6));
		buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_put_u8(out, (uint8_t)(0xe0 | c >> 12));
		buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		buf_put_u8(out, (uint8_t)(0xf0 | c >> 18));
		buf_put_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

static bool scan_unicode(struct scanner *s, uint32_t digits)
{
	uint32_t c = 0;
	for (uint32_t i = 0; i < digits; i++) {
		char d = peek(s);
		uint32_t v = d >= '0' && d <= '9' ? (uint32_t)(d - '0') : d >= 'a' && d <= 'f' ? (uint32_t)(d - 'a' + 10) :
			d >= 'A' && d <= 'F' ? (uint32_t)(d - 'A' + 10) : 16;
		if (v == 16)
			return fail_line(s, "bad unicode escape");
		c = c << 4 | v;
		s->at++;
	}
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return fail_line(s, "bad unicode escape");
	put_code_point(&s->scratch, c);
	return true;
}

/* Behind the backslash. */
static bool scan_escape(struct scanner *s, bool multiline)
{
	static const char from[] = "btnfre\"\\", to[] = "\b\t\n\f\r\033\"\\";
	char c = peek(s);
	const char *found = c != '\0' ? strchr(from, c) : NULL;
	s->at++;
	if (found != NULL) {
		buf_put_u8(&s->scratch, (uint8_t)to[found - from]);
		return true;
	}
	if (c == 'u' || c == 'U')
		return scan_unicode(s, c == 'u' ? 4 : 8);
	s->at--;
	size_t begin = s->at;
	skip_blanks(s);
	if (!multiline || peek(s) != '\n') {
		s->at = begin;
		return fail_line(s, "bad escape");
	}
	while (s->at < s->end && strchr(" \t\r\n", s->data[s->at]) != NULL) /* a line continuation */
		s->line += s->data[s->at++] == '\n';
	return true;
}

/* A string of any of the four kinds; its content is in scratch. */
static bool scan_string(struct scanner *s)
{
	char quote = peek(s);
	char three[4] = { quote, quote, quote, '\0' };
	bool multiline = looking_at(s, three), basic = quote == '"';
	buf_clear(&s->scratch);
	s->at += multiline ? 3 : 1;
	if (multiline && looking_at(s, "\r\n"))
		s->at++;
	if (multiline && peek(s) == '\n') {
		s->at++;
		s->line++;
	}
	while (s->at < s->end) {
		char c = s->data[s->at];
		if (multiline ? looking_at(s, three) : c == quote) {
			s->at += multiline ? 3 : 1;
			for (int extra = 0; multiline && extra < 2 && peek(s) == quote; extra++, s->at++)
				buf_put_u8(&s->scratch, (uint8_t)quote);
			return true;
		}
		if (c == '\n' && !multiline)
			break;
		s->line += c == '\n';
		s->at++;
		if (c == '\\' && basic) {
			if (!scan_escape(s, multiline))
				return false;
		} else {
			buf_put_u8(&s->scratch, (uint8_t)c);
		}
	}
	return fail_line(s, "unterminated string");
}

/* Over a value that is no string, up to what ends it. */
static bool skip_other_value(struct scanner *s)
{
	size_t begin = s->at;
	int depth = 0;
	while (s->at < s->end) {
		char c = s->data[s->at];
		if (depth == 0 && (c == '\n' || c == '#'))
			break;
		if (c == '"' || c == '\'') {
			if (!scan_string(s))
				return false;
			continue;
		}
		if (c == '#') {
			skip_to_newline(s);
			continue;
		}
		depth += (c == '[' || c == '{') - (c == ']' || c == '}');
		s->line += c == '\n';
		s->at += s->at < s->end;
		if (depth < 0)
			return fail_line(s, "unbalanced brackets");
	}
	while (s->at > begin && strchr(" \t\r", s->data[s->at - 1]) != NULL)
		s->at--;
	if (depth != 0 || s->at == begin)
		return fail_line(s, depth != 0 ? "unbalanced brackets" : "a value is missing");
	return true;
}

/* ---- lines ---- */

static bool is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A key, dotted ones joined by dots; quoted parts by what they say. */
static bool scan_key(struct scanner *s, char out[KEY_BYTES_MAX])
{
	size_t len = 0;
	for (;;) {
		skip_blanks(s);
		if (peek(s) == '"' || peek(s) == '\'') {
			if (!scan_string(s))
				return false;
			if (len + s->scratch.len >= KEY_BYTES_MAX)
				return fail_line(s, "a key is too long");
			if (s->scratch.len > 0)
				memcpy(out + len, s->scratch.data, s->scratch.len);
			len += s->scratch.len;
		} else {
			size_t begin = s->at;
			for (; s->at < s->end && is_bare(s->data[s->at]); s->at++) {
				if (len + 2 >= KEY_BYTES_MAX)
					return fail_line(s, "a key is too long");
				out[len++] = s->data[s->at];
			}
			if (s->at == begin)
				return fail_line(s, "invalid key");
		}
		skip_blanks(s);
		if (peek(s) != '.')
			break;
		s->at++;
		if (len + 2 >= KEY_BYTES_MAX)
			return fail_line(s, "a key is too long");
		out[len++] = '.';
	}
	out[len] = '\0';
	return true;
}

static bool scan_header(struct scanner *s, struct header *out)
{
	char key[KEY_BYTES_MAX];
	bool array = looking_at(s, "[[");
	s->at += array ? 2 : 1;
	if (!scan_key(s, key))
		return false;
	if (!looking_at(s, array ? "]]" : "]"))
		return fail_line(s, "unterminated header");
	s->at += array ? 2 : 1;
	if (strcmp(key, "server_configs") == 0 && !array)
		return cli_fail(s->cli, "Config error: The option `server_configs` is not a `table array`, found: `table`");
	out->scope = array && strcmp(key, "server_configs") == 0 ? SCOPE_SERVER : SCOPE_OTHER;
	return finish_line(s);
}

static bool scan_entry(struct scanner *s, struct entry *out)
{
	out->line = s->line;
	if (!scan_key(s, out->key))
		return false;
	if (peek(s) != '=')
		return fail_line(s, "expected `=` behind a key");
	s->at++;
	skip_blanks(s);
	out->value_at = s->at;
	out->is_string = peek(s) == '"' || peek(s) == '\'';
	if (!(out->is_string ? scan_string(s) : skip_other_value(s)))
		return false;
	out->value_end = s->at;
	out->text = out->is_string ? cli_keep(s->cli, buf_str(&s->scratch)) : NULL;
	return finish_line(s);
}

/* Walks the file. `on_header` and `on_entry` may stop it by returning false. */
struct visitor {
	bool (*on_header)(void *context, struct scanner *s, const struct header *header);
	bool (*on_entry)(void *context, struct scanner *s, enum scope scope, const struct entry *entry);
	void *context;
};
static bool scan(struct cli *cli, const struct buf *text, const struct visitor *visitor)
{
	struct scanner s = { .cli = cli, .data = (const char *)text->data, .end = text->len, .line = 1 };
	enum scope scope = SCOPE_ROOT;
	bool ok = true;
	buf_init(&s.scratch, CLI_CONFIG_BYTES_MAX);
	if (text->len > 0 && !utf8_valid(text->data, text->len))
		ok = cli_fail(cli, "the file is not UTF-8");
	while (ok) {
		size_t line_at = s.at;
		skip_blanks(&s);
		char c = peek(&s);
		if (s.at >= s.end)
			break;
		if (c == '\n' || c == '#') {
			ok = finish_line(&s);
		} else if (c == '[') {
			struct header header = { .line_at = line_at };
			ok = scan_header(&s, &header);
			header.line_end = s.at;
			scope = header.scope;
			ok = ok && (visitor->on_header == NULL || visitor->on_header(visitor->context, &s, &header));
		} else {
			struct entry entry = { .line_at = line_at };
			ok = scan_entry(&s, &entry);
			entry.line_end = s.at;
			ok = ok && visitor->on_entry(visitor->context, &s, scope, &entry);
		}
	}
	cli_check(cli, &s.scratch);
	buf_deinit(&s.scratch);
	return ok;
}

/* ---- reading ---- */

struct loading {
	struct cli *cli;
	struct cli_config *config;
};

static bool load_header(void *context, struct scanner *s, const struct header *header)
{
	struct loading *l = context;
	if (header->scope != SCOPE_SERVER)
		return true;
	if (l->config->server_count == SERVERS_MAX)
		return fail_line(s, "too many servers");
	l->config->servers[l->config->server_count++] = (struct cli_server){ 0 };
	return true;
}

static const char *kind_of(struct str value)
{
	char first = value.data[0];
	if (first == '[' || first == '{')
		return first == '[' ? "array" : "inline table";
	if (first == 't' || first == 'f')
		return "boolean";
	return memchr(value.data, '.', value.len) != NULL ? "float" : "integer";
}

static bool load_entry(void *context, struct scanner *s, enum scope scope, const struct entry *entry)
{
	struct loading *l = context;
	struct cli_config *c = l->config;
	struct cli_server *server = c->server_count > 0 ? &c->servers[c->server_count - 1] : NULL;
	const struct {
		enum scope scope;
		const char *key, **slot;
	} known[] = {
		{ SCOPE_ROOT, "default_server", &c->default_server }, { SCOPE_ROOT, "web_session_token", &c->web_token },
		{ SCOPE_ROOT, "spacetimedb_token", &c->token }, { SCOPE_ROOT, "listen_addr", &c->listen_addr },
		{ SCOPE_SERVER, "nickname", server != NULL ? &server->nickname : NULL },
		{ SCOPE_SERVER, "host", server != NULL ? &server->host : NULL },
		{ SCOPE_SERVER, "protocol", server != NULL ? &server->protocol : NULL },
		{ SCOPE_SERVER, "ecdsa_public_key", server != NULL ? &server->fingerprint : NULL },
	};
	for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
		if (known[i].scope != scope || strcmp(known[i].key, entry->key) != 0)
			continue;
		if (!entry->is_string) {
			struct str found = { s->data + entry->value_at, entry->value_end - entry->value_at };
			return cli_fail(l->cli, "Config error: The option `%s` is not a `string`, found: `%s: %.*s`", entry->key,
				kind_of(found), STR_FMT(found));
		}
		if (*known[i].slot != NULL)
			return cli_fail(l->cli, "TOML parse error at line %u: duplicate key `%s`", entry->line, entry->key);
		*known[i].slot = entry->text;
	}
	if (scope == SCOPE_ROOT && strcmp(entry->key, "server_configs") == 0)
		return cli_fail(l->cli, "Config error: The option `server_configs` is not a `table array`, found: `array`");
	return true;
}

bool cli_config_parse(struct cli *cli, struct cli_config *config)
{
	if (config->servers == NULL)
		config->servers = cli_alloc(cli, SERVERS_MAX * sizeof(*config->servers));
	config->default_server = config->token = config->web_token = config->listen_addr = NULL;
	config->server_count = 0;
	struct loading loading = { cli, config };
	struct visitor visitor = { load_header, load_entry, &loading };
	if (!scan(cli, &config->text, &visitor))
		return false;
	for (uint32_t i = 0; i < config->server_count; i++) {
		if (config->servers[i].host == NULL || config->servers[i].protocol == NULL)
			return cli_fail(cli, "Config error: The option `%s` not found",
				config->servers[i].host == NULL ? "host" : "protocol");
	}
	return true;
}

static const char first_text[] =
	"default_server = \"local\"\n"
	"\n"
	"[[server_configs]]\n"
	"nickname = \"maincloud\"\n"
	"host = \"maincloud.spacetimedb.com\"\n"
	"protocol = \"https\"\n"
	"\n"
	"[[server_configs]]\n"
	"nickname = \"local\"\n"
	"host = \"127.0.0.1:3000\"\n"
	"protocol = \"http\"\n";

bool cli_config_load(struct cli *cli, bool make, struct cli_config *out)
{
	bool missing = false;
	*out = (struct cli_config){ .path = cli->config_path };
	if (!cli_read_file(cli, out->path, CLI_CONFIG_BYTES_MAX, &out->text, &missing)) {
		if (!missing)
			return cli_fail_around(cli, "config file %s is invalid", out->path);
		cli_forget_errors(cli);
		buf_init(&out->text, CLI_CONFIG_BYTES_MAX);
		buf_put_cstr(&out->text, make ? first_text : "");
		return cli_config_parse(cli, out) && (!make || cli_config_save(cli, out));
	}
	if (!cli_config_parse(cli, out))
		return cli_fail_around(cli, "config file %s is invalid", out->path);
	return true;
}

void cli_config_deinit(struct cli_config *config)
{
	buf_deinit(&config->text);
}

/* ---- writing ---- */

static bool make_parents(struct cli *cli, const char *path)
{
	char *copy = cli_text(cli, "%s", path);
	for (char *at = copy + 1; *at != '\0'; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdir(copy, 0755) != 0 && errno != EEXIST)
			return cli_fail_errno(cli, "cannot create the folder %s", copy);
		*at = '/';
	}
	return true;
}

static bool write_all(int fd, const struct buf *text)
{
	for (size_t done = 0; done < text->len;) {
		ssize_t n = write(fd, text->data + done, text->len - done);
		if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* The file holds a token: a new one is for its owner only, an old one keeps its mode. */
bool cli_config_save(struct cli *cli, struct cli_config *config)
{
	char real[PATH_MAX];
	struct stat status;
	fprintf(stderr, "Saving config to %s.\n", config->path);
	if (!make_parents(cli, config->path))
		return false;
	const char *path = realpath(config->path, real) != NULL ? real : config->path; /* a link stays one */
	char *temporary = cli_text(cli, "%s.XXXXXX", path);
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return cli_fail_errno(cli, "could not save config file %s", config->path);
	if (stat(path, &status) == 0)
		(void)fchmod(fd, status.st_mode & 0777);
	bool ok = write_all(fd, &config->text) && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	ok = ok && rename(temporary, path) == 0;
	if (!ok) {
		cli_fail_errno(cli, "could not save config file %s", config->path);
		unlink(temporary);
	}
	return ok;
}

/* ---- edits ---- */

static bool replace(struct cli *cli, struct cli_config *config, size_t from, size_t to, struct str with)
{
	struct buf edited = BUF_INIT(CLI_CONFIG_BYTES_MAX);
	if (from > 0)
		buf_put(&edited, config->text.data, from);
	buf_put_str(&edited, with);
	if (to < config->text.len)
		buf_put(&edited, config->text.data + to, config->text.len - to);
	if (edited.failed) {
		buf_deinit(&edited);
		return cli_fail(cli, "the config file would grow beyond %d bytes", CLI_CONFIG_BYTES_MAX);
	}
	buf_deinit(&config->text);
	config->text = edited;
	return cli_config_parse(cli, config);
}

/* A TOML string; texts of several lines keep them. */
static void put_value(struct buf *out, const char *value)
{
	bool lines = strchr(value, '\n') != NULL;
	buf_put_cstr(out, lines ? "\"\"\"\n" : "\"");
	for (const char *at = value; *at != '\0'; at++) {
		unsigned char c = (unsigned char)*at;
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if ((c < 0x20 && c != '\t' && !(lines && c == '\n')) || c == 0x7f)
			buf_printf(out, "\\u%04x", c);
		else
			buf_put_u8(out, c);
	}
	buf_put_cstr(out, lines ? "\"\"\"" : "\"");
}

struct search {
	enum scope scope;
	uint32_t index;      /* of the server */
	const char *key;
	uint32_t servers;    /* headers of servers seen */
	bool inside;         /* the wanted scope */
	bool seen_header;
	bool found;
	struct entry entry;
	size_t insert_at;    /* behind the scope's last entry or its header */
	size_t table_at, table_end; /* of the server: from its header to the next one */
};

static bool search_header(void *context, struct scanner *s, const struct header *header)
{
	struct search *q = context;
	(void)s;
	if (q->scope == SCOPE_SERVER && q->inside)
		q->table_end = header->line_at;
	q->inside = false;
	q->seen_header = true;
	if (header->scope == SCOPE_SERVER && q->scope == SCOPE_SERVER && q->servers++ == q->index) {
		q->inside = true;
		q->table_at = header->line_at;
		q->insert_at = header->line_end;
	}
	return true;
}

static bool search_entry(void *context, struct scanner *s, enum scope scope, const struct entry *entry)
{
	struct search *q = context;
	(void)s;
	if (scope != q->scope || (scope == SCOPE_SERVER ? !q->inside : q->seen_header))
		return true;
	q->insert_at = entry->line_end;
	if (strcmp(entry->key, q->key) == 0) {
		q->found = true;
		q->entry = *entry;
	}
	return true;
}

static bool search(struct cli *cli, const struct cli_config *config, struct search *q)
{
	q->inside = q->scope == SCOPE_ROOT;
	q->table_end = config->text.len;
	struct visitor visitor = { search_header, search_entry, q };
	return scan(cli, &config->text, &visitor);
}

static bool set_in(struct cli *cli, struct cli_config *config, struct search *q, const char *value)
{
	struct buf text = BUF_INIT(CLI_CONFIG_BYTES_MAX);
	bool ok;
	if (!search(cli, config, q))
		return false;
	if (q->found && value == NULL) {
		ok = replace(cli, config, q->entry.line_at, q->entry.line_end, STR(""));
	} else if (q->found) {
		put_value(&text, value);
		ok = replace(cli, config, q->entry.value_at, q->entry.value_end, buf_str(&text));
	} else if (value == NULL) {
		ok = true;
	} else {
		bool joined = q->insert_at > 0 && config->text.data[q->insert_at - 1] != '\n';
		bool glued = q->insert_at == 0 && config->text.len > 0 && config->text.data[0] == '[';
		buf_printf(&text, "%s%s = ", joined ? "\n" : "", q->key);
		put_value(&text, value);
		buf_put_cstr(&text, glued ? "\n\n" : "\n");
		ok = replace(cli, config, q->insert_at, q->insert_at, buf_str(&text));
	}
	cli_check(cli, &text);
	buf_deinit(&text);
	return ok;
}

bool cli_config_set(struct cli *cli, struct cli_config *config, const char *key, const char *value)
{
	struct search q = { .scope = SCOPE_ROOT, .key = key };
	return set_in(cli, config, &q, value);
}

bool cli_config_set_server(struct cli *cli, struct cli_config *config, uint32_t index, const char *key,
	const char *value)
{
	ASSERT(index < config->server_count);
	struct search q = { .scope = SCOPE_SERVER, .index = index, .key = key };
	return set_in(cli, config, &q, value);
}

bool cli_config_add_server(struct cli *cli, struct cli_config *config, const struct cli_server *server)
{
	const struct {
		const char *key, *value;
	} lines[] = { { "nickname", server->nickname }, { "host", server->host }, { "protocol", server->protocol },
		{ "ecdsa_public_key", server->fingerprint } };
	struct buf text = BUF_INIT(CLI_CONFIG_BYTES_MAX);
	size_t len = config->text.len;
	if (len > 0 && config->text.data[len - 1] != '\n')
		buf_put_cstr(&text, "\n");
	buf_put_cstr(&text, len > 0 ? "\n[[server_configs]]\n" : "[[server_configs]]\n");
	for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
		if (lines[i].value == NULL)
			continue;
		buf_printf(&text, "%s = ", lines[i].key);
		put_value(&text, lines[i].value);
		buf_put_cstr(&text, "\n");
	}
	cli_check(cli, &text);
	bool ok = replace(cli, config, len, len, buf_str(&text));
	buf_deinit(&text);
	return ok;
}

bool cli_config_remove_server(struct cli *cli, struct cli_config *config, uint32_t index)
{
	struct search q = { .scope = SCOPE_SERVER, .index = index, .key = "" };
	return search(cli, config, &q) && replace(cli, config, q.table_at, q.table_end, STR(""));
}

/* ---- looking up ---- */

bool cli_url_split(struct cli *cli, const char *url, const char **protocol, const char **host)
{
	const char *mark = strstr(url, "://");
	if (mark == NULL)
		return cli_fail(cli, "Invalid url: %s", url);
	*protocol = cli_keep(cli, (struct str){ url, (size_t)(mark - url) });
	*host = mark + 3;
	if (strcmp(*protocol, "http") != 0 && strcmp(*protocol, "https") != 0)
		return cli_fail(cli, "Invalid protocol: %s", *protocol);
	return true;
}

bool cli_server_is(const struct cli_server *server, const char *name)
{
	const char *mark = strstr(name, "://");
	return (server->nickname != NULL && strcmp(server->nickname, name) == 0) || strcmp(server->host, name) == 0
		|| (mark != NULL && strcmp(server->host, mark + 3) == 0);
}

uint32_t cli_config_index(const struct cli_config *config, const char *name)
{
	for (uint32_t i = 0; i < config->server_count; i++) {
		const struct cli_server *server = &config->servers[i];
		if ((server->nickname != NULL && strcmp(server->nickname, name) == 0) || strcmp(server->host, name) == 0)
			return i;
	}
	return UINT32_MAX;
}

uint32_t cli_config_find(struct cli *cli, const struct cli_config *config, const char *name)
{
	uint32_t index = cli_config_index(config, name);
	if (index != UINT32_MAX)
		return index;
	cli_fail(cli, "No such saved server configuration: %s\nAdd a new server configuration with:\n"
		"\t%s server add %s --url <url>", name, cli->program, name);
	return UINT32_MAX;
}

const char *cli_config_url(struct cli *cli, const struct cli_config *config, const char *server)
{
	const char *protocol, *host;
	if (server != NULL && strstr(server, "://") != NULL)
		return cli_url_split(cli, server, &protocol, &host) ? server : NULL;
	const char *name = server != NULL ? server : config->default_server;
	if (name == NULL) {
		cli_fail(cli, "No default server configuration.\nSet an existing server as the default with:\n"
			"\t%s server set-default <server>\nOr add a new server which will become the default:\n"
			"\t%s server add {server} <url> --default", cli->program, cli->program);
		return NULL;
	}
	uint32_t index = cli_config_find(cli, config, name);
	if (index == UINT32_MAX) {
		if (server == NULL)
			cli_fail_around(cli, "Default server does not refer to a saved server configuration: %s", name);
		return NULL;
	}
	const struct cli_server *found = &config->servers[index];
	if (strcmp(found->protocol, "http") != 0 && strcmp(found->protocol, "https") != 0) {
		cli_fail(cli, "Invalid protocol: %s", found->protocol);
		return NULL;
	}
	return cli_text(cli, "%s://%s", found->protocol, found->host);
}
