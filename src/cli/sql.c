/* SPDX-License-Identifier: Apache-2.0 */
/* `sql`: one statement, its rows as a table; or statements from a prompt. */
#include "base/clock.h"
#include "cli/grid.h"
#include "cli/satn.h"
#include "cli/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 1 << 20, COLUMN_NAME_BYTES_MAX = 4096 };

struct query {
	struct cli *cli;
	const struct cli_target *target;
	const char *url;
	bool json, stats;
};

static void put_header(struct cli_grid *grid, const struct sats_type *schema)
{
	for (uint32_t i = 0; i < schema->count; i++) {
		if (schema->elements[i].name.data != NULL)
			cli_put_shown(&grid->text, schema->elements[i].name);
		else
			buf_printf(&grid->text, "column %u", i);
		cli_grid_end_cell(grid);
	}
}

/* Rows are arrays in the order of the columns. */
static bool put_rows(struct cli *cli, struct cli_grid *grid, const struct sats_type *schema,
	const struct native_json *doc,
	uint32_t node, uint32_t *rows)
{
	struct error error;
	struct buf cell = BUF_INIT(CLI_FILE_BYTES_MAX);
	uint32_t at = node != 0 ? cli_json_items(doc, node, rows) : 0;
	bool ok = true;
	for (uint32_t row = 0; at != 0 && row < *rows && ok; row++) {
		uint32_t count, value = cli_json_items(doc, at, &count);
		ok = count == schema->count || cli_fail(cli, "malformed sql response: a row of %u values for %u columns", count,
			schema->count);
		for (uint32_t i = 0; i < schema->count && ok; i++) {
			buf_clear(&cell);
			ok = cli_satn_write(&cell, schema->elements[i].type, doc, &value, &error) == WL_OK
				|| cli_fail(cli, "%s", error.text);
			cli_check(cli, &cell);
			cli_put_shown(&grid->text, buf_str(&cell));
			cli_grid_end_cell(grid);
		}
		at = doc->nodes[at].next;
	}
	buf_deinit(&cell);
	return ok;
}

static uint64_t number_at(const struct native_json *doc, uint32_t node, const char *name)
{
	uint32_t member = node != 0 ? cli_json_member(doc, node, name) : 0;
	if (member == 0 || doc->nodes[member].kind != NATIVE_JSON_NUMBER)
		return 0;
	char text[32];
	snprintf(text, sizeof(text), "%.*s", (int)doc->nodes[member].text_len, doc->nodes[member].text);
	return strtoull(text, NULL, 10);
}

/* As the field prints durations: two decimals of the largest fitting unit. */
static void put_time(struct buf *out, uint64_t nanos)
{
	if (nanos >= 1000000000)
		buf_printf(out, "%.2fs", (double)nanos / 1e9);
	else if (nanos >= 1000000)
		buf_printf(out, "%.2fms", (double)nanos / 1e6);
	else if (nanos >= 1000)
		buf_printf(out, "%.2f\xc2\xb5s", (double)nanos / 1e3);
	else
		buf_printf(out, "%lu.00ns", (unsigned long)nanos);
}

static void put_stats(struct buf *out, const struct native_json *doc, uint32_t result, uint32_t rows)
{
	static const struct {
		const char *member, *shown;
	} counters[] = { { "rows_inserted", "inserted" }, { "rows_deleted", "deleted" }, { "rows_updated", "updated" } };
	uint32_t stats = cli_json_member(doc, result, "stats");
	buf_printf(out, "(%u row%s) [", rows, rows == 1 ? "" : "s");
	for (size_t i = 0; i < ARRAY_COUNT(counters); i++) {
		uint64_t n = number_at(doc, stats, counters[i].member);
		if (n != 0)
			buf_printf(out, "%s: %lu, ", counters[i].shown, (unsigned long)n);
	}
	buf_put_cstr(out, "server: ");
	put_time(out, 1000 * number_at(doc, result, "total_duration_micros"));
	buf_put_cstr(out, "]");
}

static bool put_result(struct cli *cli, struct buf *out, const struct native_json *doc, uint32_t result, bool stats)
{
	uint32_t schema_node = cli_json_member(doc, result, "schema"), rows = 0;
	const struct sats_type *schema = schema_node != 0 ? cli_product_parse(cli, doc, schema_node) : NULL;
	if (schema_node == 0 || (schema != NULL && schema->count > CLI_GRID_COLUMNS_MAX))
		return cli_fail(cli, "malformed sql response");
	if (schema == NULL)
		return cli_fail_around(cli, "malformed sql response");
	struct cli_grid grid;
	cli_grid_init(&grid, schema->count, CLI_GRID_PSQL);
	put_header(&grid, schema);
	bool ok = put_rows(cli, &grid, schema, doc, cli_json_member(doc, result, "rows"), &rows);
	if (ok)
		cli_grid_put(out, &grid);
	if (ok && stats) {
		buf_put_cstr(out, schema->count > 0 ? "\n" : "");
		put_stats(out, doc, result, rows);
	}
	cli_grid_deinit(&grid);
	return ok;
}

static bool put_results(struct cli *cli, struct buf *out, const struct native_json *doc, bool stats)
{
	uint32_t count, at = cli_json_items(doc, 0, &count);
	if (doc->nodes[0].kind != NATIVE_JSON_ARRAY)
		return cli_fail(cli, "malformed sql response");
	for (uint32_t i = 0; i < count; i++) {
		buf_put_cstr(out, i > 0 ? "\n\n" : "");
		if (!put_result(cli, out, doc, at, stats))
			return false;
		at = doc->nodes[at].next;
	}
	return true;
}

static bool run_query(const struct query *q, struct str text)
{
	struct cli *cli = q->cli;
	struct cli_reply reply;
	struct native_json doc = { 0 };
	struct buf out = BUF_INIT(SIZE_MAX);
	uint64_t begin = clock_mono_nanos();
	struct cli_request request = { .method = "POST", .url = q->url, .token = q->target->token, .has_body = true,
		.body = { (const uint8_t *)text.data, text.len } };
	if (!cli_http(cli, &request, &reply))
		return false;
	uint64_t nanos = clock_mono_nanos() - begin;
	bool ok = cli_reply_is_json(cli, &reply) && (cli_reply_good(&reply) || cli_fail_reply(cli, &reply));
	if (ok && q->json) {
		buf_put_str(&out, buf_str(&reply.body));
	} else if (ok) {
		ok = cli_reply_json(cli, &reply, &doc) && put_results(cli, &out, &doc, q->stats);
		if (ok && q->stats) {
			buf_put_cstr(&out, "\nRoundtrip time: ");
			put_time(&out, nanos);
			buf_put_cstr(&out, "\n");
		}
	}
	buf_put_cstr(&out, "\n");
	ok = ok && cli_print(cli, &out);
	native_json_free(&doc);
	buf_deinit(&out);
	cli_reply_deinit(&reply);
	return ok;
}

/* Reads statements until the end of the input. A refused one is shown and forgotten. */
static bool run_prompt(const struct query *q)
{
	char *line = cli_alloc(q->cli, LINE_BYTES_MAX);
	bool terminal = isatty(STDIN_FILENO);
	for (;;) {
		if (terminal)
			fputs("\xf0\x9f\xaa\x90" "DB> ", stdout);
		fflush(stdout);
		if (fgets(line, LINE_BYTES_MAX, stdin) == NULL)
			return true;
		struct str text = { line, strcspn(line, "\r\n") };
		if (str_eq(text, STR(".exit")))
			return true;
		if (str_eq(text, STR(".clear"))) {
			fputs("\x1b[2J\x1b[H", stdout);
		} else if (strspn(line, " \t") < text.len && !run_query(q, text)) {
			cli_print_errors(q->cli);
		}
	}
}

static bool run(struct cli *cli, const struct cli_args *args)
{
	struct cli_words words;
	struct cli_target target;
	bool prompt = cli_args_flag(args, "interactive");
	const char *confirmed = cli_args_text(args, "confirmed");
	if (prompt && args->word_count > 1)
		return cli_fail(cli, "Too many positional arguments for interactive mode.\n"
			"Usage: %s sql [database] --interactive [--no-config]", cli->program);
	if (prompt) {
		if (!cli_words_database(cli, args, "sql [database] --interactive [--no-config]", &words))
			return false;
	} else if (!cli_words_required(cli, args, "query", "sql [database] <query> [--no-config]", &words)) {
		if (args->word_count < 2) /* two words: the first is a database, in the project or not */
			return false;
		words = (struct cli_words){ .database = args->words[0], .rest = args->words + 1,
			.rest_count = args->word_count - 1 };
	}
	if (!cli_target_open(cli, args, &words, &target))
		return false;
	struct query q = { .cli = cli, .target = &target, .json = strcmp(cli_args_text(args, "format"), "json") == 0,
		.stats = prompt };
	q.url = cli_target_url(cli, &target, confirmed != NULL ? cli_text(cli, "sql?confirmed=%s", confirmed) : "sql");
	if (prompt)
		return run_prompt(&q);
	struct buf text = BUF_INIT(CLI_FILE_BYTES_MAX);
	for (uint32_t i = 0; i < words.rest_count; i++)
		buf_printf(&text, "%s%s", i > 0 ? " " : "", words.rest[i]);
	cli_check(cli, &text);
	bool ok = run_query(&q, buf_str(&text));
	buf_deinit(&text);
	return ok;
}

const struct cli_command cli_command_sql = {
	.name = "sql",
	.summary = "Run an SQL statement in a database",
	.unstable = true,
	.words = (const struct cli_word[]){
		{ .name = "DATABASE", .help = "Name or identity; may be left out where spacetime.json names one" },
		{ .name = "QUERY", .help = "The statement; several words are joined by blanks", .rest = true }, { 0 } },
	.options = (const struct cli_option[]){
		{ .name = "interactive", .help = "Read statements from a prompt; .exit ends it, .clear clears the screen" },
		{ .name = "format", .value = "FORMAT", .preset = "text", .choices = cli_choices_format,
			.help = "A table, or the host's answer as it is" },
		CLI_OPTION_CONFIRMED, CLI_OPTION_SERVER("The server of the database"), CLI_OPTION_ANONYMOUS, CLI_OPTION_YES,
		CLI_OPTION_NO_CONFIG, { 0 } },
	.examples = "sql quickstart 'SELECT * FROM person'\n"
		"sql quickstart --format json 'SELECT COUNT(*) AS n FROM person'\n"
		"sql quickstart --interactive",
	.run = run,
};
