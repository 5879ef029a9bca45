/* SPDX-License-Identifier: Apache-2.0 */
/* `logs`: the log of a module, line by line as it arrives. */
#include "base/clock.h"
#include "cli/http.h"
#include "cli/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define SYSTEM_NAME "__spacetimedb__" /* stands where the host itself logs */
#define DIM "2"
enum { LINE_BYTES_MAX = 64 << 20, FOLLOW_LINES = 10 };

static const struct level {
	const char *name, *shown, *colour;
} levels[] = { /* by severity */
	{ "Trace", "TRACE", DIM }, { "Debug", "DEBUG", "1;2" }, { "Info", "INFO", "34" }, { "Warn", "WARN", "33" },
	{ "Error", "ERROR", "31" }, { "Panic", "PANIC", "1;91" },
};
static const char *const level_choices[] = { "trace", "debug", "info", "warn", "error", "panic", NULL };

struct printing {
	struct cli *cli;
	struct buf line, out; /* what has come of a line; what is to be printed */
	int level;            /* -1: all */
	bool exact, json, colour;
};

static void put_coloured(struct printing *p, const char *colour, struct str text)
{
	if (p->colour)
		buf_printf(&p->out, "\x1b[%sm", colour);
	cli_put_shown(&p->out, text);
	if (p->colour)
		buf_put_cstr(&p->out, "\x1b[0m");
}

static int level_of(struct str name)
{
	for (size_t i = 0; i < ARRAY_COUNT(levels); i++)
		if (str_eq(name, str_of(levels[i].name)))
			return (int)i;
	return -1;
}

static void put_time(struct printing *p, const struct native_json *doc)
{
	uint32_t node = cli_json_member(doc, 0, "ts");
	char number[32], text[48];
	if (node == 0 || doc->nodes[node].kind != NATIVE_JSON_NUMBER)
		return;
	snprintf(number, sizeof(number), "%.*s", (int)doc->nodes[node].text_len, doc->nodes[node].text);
	timestamp_format(strtoll(number, NULL, 10), text);
	char *zone = strstr(text, "+00:00");
	if (zone != NULL)
		memcpy(zone, "Z", 2);
	size_t len = strlen(text);
	put_coloured(p, DIM, (struct str){ text, len });
	buf_put_u8(&p->out, ' ');
}

static bool is_named(struct str name)
{
	return name.data != NULL && !str_eq(name, STR(SYSTEM_NAME));
}

static void put_trace(struct printing *p, const struct native_json *doc)
{
	uint32_t trace = cli_json_member(doc, 0, "trace"), count = 0;
	uint32_t at = trace != 0 ? cli_json_items(doc, trace, &count) : 0;
	for (uint32_t i = 0; at != 0 && i < count; i++, at = doc->nodes[at].next) {
		struct str module = cli_json_member_str(doc, at, "module_name");
		struct str function = cli_json_member_str(doc, at, "func_name");
		buf_put_cstr(&p->out, "    in ");
		if (module.data != NULL) {
			put_coloured(p, DIM, module);
			buf_put_cstr(&p->out, " :: ");
		}
		put_coloured(p, DIM, function.data != NULL ? function : STR(""));
		buf_put_u8(&p->out, '\n');
	}
}

static void put_text(struct printing *p, const struct native_json *doc, int level)
{
	struct str function = cli_json_member_str(doc, 0, "function"), file = cli_json_member_str(doc, 0, "filename");
	struct str message = cli_json_member_str(doc, 0, "message");
	uint32_t number = cli_json_member(doc, 0, "line_number");
	char shown[16];
	put_time(p, doc);
	snprintf(shown, sizeof(shown), "%5s: ", levels[level].shown);
	put_coloured(p, levels[level].colour, str_of(shown));
	if (is_named(function))
		put_coloured(p, DIM, function);
	if (is_named(file)) {
		struct buf place = BUF_INIT(LINE_BYTES_MAX);
		buf_put_str(&place, file);
		if (number != 0 && doc->nodes[number].kind == NATIVE_JSON_NUMBER)
			buf_printf(&place, ":%.*s", (int)doc->nodes[number].text_len, doc->nodes[number].text);
		buf_put_cstr(&p->out, is_named(function) ? " " : "");
		put_coloured(p, DIM, buf_str(&place));
		buf_deinit(&place);
	}
	if (is_named(function) || is_named(file))
		buf_put_cstr(&p->out, ": ");
	cli_put_shown(&p->out, message.data != NULL ? message : STR(""));
	buf_put_u8(&p->out, '\n');
	put_trace(p, doc);
}

/* One record, without its newline. */
static bool take_line(struct printing *p, struct str line)
{
	struct native_json doc = { 0 };
	char why[512];
	if (line.len == 0)
		return true;
	if (native_json_parse(line.data, line.len, &doc, why, sizeof(why)) != 0)
		return cli_fail(p->cli, "malformed log record: %s", why);
	struct str name = cli_json_member_str(&doc, 0, "level");
	int level = level_of(name);
	bool ok = level >= 0 || cli_fail(p->cli, "malformed log record: no level");
	if (ok && (p->level < 0 || (p->exact ? level == p->level : level >= p->level))) {
		if (p->json) {
			buf_put_str(&p->out, line);
			buf_put_u8(&p->out, '\n');
		} else {
			put_text(p, &doc, level);
		}
	}
	native_json_free(&doc);
	return ok;
}

static bool take_data(void *context, const uint8_t *data, size_t len)
{
	struct printing *p = context;
	buf_clear(&p->out);
	if (p->json && p->level < 0) {
		buf_put(&p->out, data, len); /* unchanged */
		return cli_print(p->cli, &p->out);
	}
	while (len > 0) {
		const uint8_t *newline = memchr(data, '\n', len);
		size_t part = newline != NULL ? (size_t)(newline - data) : len;
		buf_put(&p->line, data, part);
		if (p->line.failed)
			return cli_fail(p->cli, "a log record is larger than %d bytes", LINE_BYTES_MAX);
		if (newline != NULL) {
			if (!take_line(p, buf_str(&p->line)))
				return false;
			buf_clear(&p->line);
			part++;
		}
		data += part;
		len -= part;
	}
	return cli_print(p->cli, &p->out);
}

static bool run(struct cli *cli, const struct cli_args *args)
{
	struct cli_words words;
	struct cli_target target;
	struct cli_reply reply;
	bool follow = cli_args_flag(args, "follow");
	const char *lines = cli_args_text(args, "num-lines"), *level = cli_args_text(args, "level");
	if (!cli_words_database(cli, args, "logs [database] [--no-config]", &words)
		|| !cli_target_open(cli, args, &words, &target))
		return false;
	if (lines == NULL && follow)
		lines = cli_text(cli, "%d", FOLLOW_LINES);
	struct printing p = { .cli = cli, .line = BUF_INIT(LINE_BYTES_MAX), .out = BUF_INIT(SIZE_MAX), .level = -1,
		.exact = cli_args_flag(args, "level-exact"), .json = strcmp(cli_args_text(args, "format"), "json") == 0,
		.colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL };
	for (int i = 0; level != NULL && level_choices[i] != NULL; i++)
		p.level = strcmp(level_choices[i], level) == 0 ? i : p.level;
	const char *count = lines != NULL ? cli_text(cli, "num_lines=%s&", lines) : "";
	struct cli_request request = { .method = "GET", .token = target.token, .sink = take_data, .sink_context = &p,
		.url = cli_target_url(cli, &target, cli_text(cli, "logs?%sfollow=%s", count, follow ? "true" : "false")) };
	bool ok = cli_http(cli, &request, &reply);
	if (ok && !cli_reply_good(&reply))
		ok = reply.body.len > 0 ? cli_fail(cli, "%.*s", STR_FMT(buf_str(&reply.body))) : cli_fail_status(cli, &reply);
	if (ok && p.line.len > 0) { /* the last line had no newline */
		buf_clear(&p.out);
		ok = take_line(&p, buf_str(&p.line)) && cli_print(cli, &p.out);
	}
	cli_reply_deinit(&reply);
	buf_deinit(&p.line);
	buf_deinit(&p.out);
	return ok;
}

const struct cli_command cli_command_logs = {
	.name = "logs",
	.summary = "Print the log of a database",
	.words = (const struct cli_word[]){
		{ .name = "DATABASE", .help = "Name or identity; may be left out where spacetime.json names one" }, { 0 } },
	.options = (const struct cli_option[]){
		{ .name = "num-lines", .letter = 'n', .value = "NUM_LINES", .number_max = UINT32_MAX,
			.help = "Only the last lines; all of today without this" },
		{ .name = "follow", .letter = 'f',
			.help = "Go on with what comes; begins with the last 10 lines unless -n says" },
		{ .name = "format", .value = "FORMAT", .preset = "text", .choices = cli_choices_format,
			.help = "Readable lines, or the records as they are" },
		{ .name = "level", .letter = 'l', .value = "LEVEL", .choices = level_choices,
			.help = "Only records of this level or a more severe one" },
		{ .name = "level-exact", .requires_option = "level", .help = "Only records of exactly that level" },
		CLI_OPTION_SERVER("The server of the database"), CLI_OPTION_YES, CLI_OPTION_NO_CONFIG, { 0 } },
	.examples = "logs quickstart\nlogs quickstart -n 20 -f\nlogs quickstart --level warn --format json",
	.run = run,
};
