/* SPDX-License-Identifier: Apache-2.0 */
/* What is done with a database as a whole: delete, list, rename, lock, unlock, describe. */
#include "cli/config.h"
#include "cli/grid.h"
#include "cli/schema.h"

#include <stdio.h>

enum { TREE_DEPTH_MAX = 64 };

/* ---- delete ---- */

/* {"root":{"database_identity":…,"database_names":[…]},"children":[…]} as a tree of lines. */
static void put_tree(struct buf *out, const struct native_json *doc, uint32_t node, const char *prefix, uint32_t depth)
{
	uint32_t root = cli_json_member(doc, node, "root"), children = cli_json_member(doc, node, "children"), count = 0;
	uint32_t names = root != 0 ? cli_json_member(doc, root, "database_names") : 0;
	struct str identity = root != 0 ? cli_json_member_str(doc, root, "database_identity") : STR("?");
	cli_put_shown(out, identity.data != NULL ? identity : STR("?"));
	uint32_t at = names != 0 ? cli_json_items(doc, names, &count) : 0;
	for (uint32_t i = 0; at != 0 && i < count; i++, at = doc->nodes[at].next) {
		buf_put_cstr(out, i > 0 ? ", " : ": ");
		cli_put_shown(out, cli_json_str(doc, at));
	}
	buf_put_u8(out, '\n');
	at = children != 0 && depth < TREE_DEPTH_MAX ? cli_json_items(doc, children, &count) : 0;
	for (uint32_t i = 0; at != 0 && i < count; i++, at = doc->nodes[at].next) {
		char below[4 * TREE_DEPTH_MAX * 3 + 16];
		bool last = i + 1 == count;
		buf_printf(out, "%s%s", prefix, last ? "\xe2\x94\x94\xe2\x94\x80\xe2\x94\x80 " :
			"\xe2\x94\x9c\xe2\x94\x80\xe2\x94\x80 ");
		snprintf(below, sizeof(below), "%s%s", prefix, last ? "    " : "\xe2\x94\x82   ");
		put_tree(out, doc, at, below, depth + 1);
	}
}

static bool send_delete(struct cli *cli, const struct cli_target *target, const char *confirmation,
	struct cli_reply *reply)
{
	struct cli_request request = { .method = "DELETE", .token = target->token,
		.url = cli_text(cli, "%s/v1/database/%s%s%s", target->url, target->identity, confirmation != NULL ?
			"?token=" : "",
			confirmation != NULL ? cli_percent(cli, confirmation) : "") };
	return cli_http(cli, &request, reply);
}

/* The host wants the deletion of children confirmed. */
static bool delete_with_children(struct cli *cli, const struct cli_target *target, const struct cli_reply *asked,
	bool yes)
{
	struct native_json doc = { 0 };
	struct cli_reply reply;
	if (!cli_reply_json(cli, asked, &doc))
		return false;
	struct str token = cli_json_member_str(&doc, 0, "confirmation_token");
	uint32_t tree = cli_json_member(&doc, 0, "database_tree");
	const char *confirmation = token.data != NULL ? cli_keep(cli, token) : NULL;
	printf("WARNING: Deleting the database %s will also delete its children!\n", target->identity);
	if (!yes && tree != 0) {
		struct buf out = BUF_INIT(CLI_FILE_BYTES_MAX);
		put_tree(&out, &doc, tree, "", 0);
		cli_print(cli, &out);
		buf_deinit(&out);
	}
	native_json_free(&doc);
	if (confirmation == NULL)
		return cli_fail(cli, "the answer of the host lacks a confirmation token");
	if (!yes && !cli_confirm(false, "Do you want to proceed deleting above databases?")) {
		puts("Aborting");
		return true;
	}
	if (!send_delete(cli, target, confirmation, &reply))
		return false;
	bool ok = cli_reply_good(&reply) || cli_fail_reply(cli, &reply);
	cli_reply_deinit(&reply);
	return ok;
}

static bool run_delete(struct cli *cli, const struct cli_args *args)
{
	struct cli_words words;
	struct cli_target target = { 0 };
	struct cli_reply reply;
	bool yes = cli_args_flag(args, "yes");
	const char *server = cli_args_text(args, "server");
	if (!cli_words_database(cli, args, "delete [database] [--no-config]", &words))
		return false;
	server = server != NULL ? server : words.server;
	target.url = cli_config_url(cli, cli->config, server);
	target.database = words.database;
	if (target.url == NULL || !cli_target_identity(cli, &target))
		return false;
	const char *shown = strcmp(words.database, target.identity) == 0 ? target.identity :
		cli_text(cli, "%s (%s)", words.database, target.identity);
	if (!cli_confirm(yes, cli_text(cli, "Are you sure you want to delete database %s? This action cannot be undone.",
			shown))) {
		puts("Aborting");
		return true;
	}
	target.token = cli_token_or_login(cli, server, !yes);
	if (target.token == NULL || !send_delete(cli, &target, NULL, &reply))
		return false;
	bool ok = reply.status == 428 ? delete_with_children(cli, &target, &reply, yes) :
		reply.status == 200 || cli_fail_reply(cli, &reply);
	cli_reply_deinit(&reply);
	return ok;
}

/* ---- list ---- */

static bool put_names(struct cli *cli, struct cli_grid *grid, const char *url, struct str identity)
{
	struct native_json doc = { 0 };
	struct cli_reply reply;
	uint32_t count = 0;
	struct cli_request request = { .method = "GET",
		.url = cli_text(cli, "%s/v1/database/%.*s/names", url, STR_FMT(identity)) };
	if (!cli_http(cli, &request, &reply))
		return false;
	bool ok = cli_reply_json(cli, &reply, &doc);
	uint32_t names = ok ? cli_json_member(&doc, 0, "names") : 0;
	uint32_t at = names != 0 ? cli_json_items(&doc, names, &count) : 0;
	for (uint32_t i = 0; at != 0 && i < count; i++, at = doc.nodes[at].next) {
		buf_put_cstr(&grid->text, i > 0 ? ", " : "");
		cli_put_shown(&grid->text, cli_json_str(&doc, at));
	}
	cli_grid_end_cell(grid);
	cli_grid_cell(grid, identity);
	native_json_free(&doc);
	cli_reply_deinit(&reply);
	return ok;
}

static void put_bytes(struct cli_grid *grid, uint64_t bytes, uint64_t max)
{
	static const char *const UNITS[] = { "B", "KB", "MB", "GB", "TB" };
	const uint64_t values[] = { bytes, max };
	for (size_t i = 0; i < (max > 0 ? 2 : 1); i++) {
		double value = (double)values[i];
		size_t unit = 0;
		for (; value >= 1000 && unit + 1 < ARRAY_COUNT(UNITS); unit++)
			value /= 1024;
		buf_printf(&grid->text, unit == 0 ? "%s%.0f %s" : "%s%.1f %s", i > 0 ? " of " : "", value, UNITS[unit]);
	}
	cli_grid_end_cell(grid);
}

/* A whole number of the document; 0: it has none of that name. */
static uint64_t number(const struct native_json *doc, const char *name)
{
	uint32_t node = cli_json_member(doc, 0, name);
	uint64_t value = 0;
	for (uint32_t i = 0; node != 0 && i < doc->nodes[node].text_len && i < 19; i++)
		if (doc->nodes[node].text[i] >= '0' && doc->nodes[node].text[i] <= '9')
			value = value * 10 + (uint64_t)(doc->nodes[node].text[i] - '0');
	return value;
}

/* What it takes of memory and disk; hosts that do not say leave the cells empty. */
static bool put_usage(struct cli *cli, struct cli_grid *grid, const struct cli_target *target, struct str identity)
{
	struct native_json doc = { 0 };
	struct cli_reply reply;
	struct cli_request request = { .method = "GET", .token = target->token,
		.url = cli_text(cli, "%s/v1/database/%.*s/usage", target->url, STR_FMT(identity)) };
	if (!cli_http(cli, &request, &reply))
		return false;
	bool says = cli_reply_good(&reply) && cli_reply_json(cli, &reply, &doc);
	if (says) {
		put_bytes(grid, number(&doc, "memory_bytes"), number(&doc, "memory_max_bytes"));
		put_bytes(grid, number(&doc, "disk_bytes"), number(&doc, "disk_max_bytes"));
	} else {
		cli_grid_end_cell(grid);
		cli_grid_end_cell(grid);
	}
	cli_grid_cell(grid, says ? cli_json_member_str(&doc, 0, "state") : STR(""));
	native_json_free(&doc);
	cli_reply_deinit(&reply);
	return true;
}

static bool print_databases(struct cli *cli, const struct cli_target *target, const struct native_json *doc)
{
	uint32_t list = cli_json_member(doc, 0, "identities"), count = 0;
	uint32_t at = list != 0 ? cli_json_items(doc, list, &count) : 0;
	struct buf out = BUF_INIT(SIZE_MAX);
	struct identity identity;
	if (at == 0) {
		printf("No databases found for %s.\n", target->identity);
		return true;
	}
	struct cli_grid grid;
	cli_grid_init(&grid, 5, CLI_GRID_PSQL);
	cli_grid_cell(&grid, STR("Database Name(s)"));
	cli_grid_cell(&grid, STR("Identity"));
	cli_grid_cell(&grid, STR("Memory"));
	cli_grid_cell(&grid, STR("Disk"));
	cli_grid_cell(&grid, STR("State"));
	bool ok = true;
	for (uint32_t i = 0; i < count && ok; i++, at = doc->nodes[at].next) {
		struct str hex = cli_json_str(doc, at);
		ok = (hex.data != NULL && identity_from_hex(hex, &identity)) || cli_fail(cli, "the host named no identity");
		ok = ok && put_names(cli, &grid, target->url, hex) && put_usage(cli, &grid, target, hex);
	}
	if (ok) {
		buf_printf(&out, "Associated databases for user %s:\n\n", target->identity);
		cli_grid_put(&out, &grid);
		buf_put_u8(&out, '\n');
		ok = cli_print(cli, &out);
	}
	cli_grid_deinit(&grid);
	buf_deinit(&out);
	return ok;
}

static bool run_list(struct cli *cli, const struct cli_args *args)
{
	struct cli_target target;
	struct cli_reply reply;
	struct native_json doc = { 0 };
	if (!cli_target_server(cli, cli_args_text(args, "server"), false, !cli_args_flag(args, "yes"), &target)
		|| !cli_token_identity(cli, target.token, target.identity))
		return false;
	struct cli_request request = { .method = "GET", .token = target.token,
		.url = cli_text(cli, "%s/v1/identity/%s/databases", target.url, target.identity) };
	if (!cli_http(cli, &request, &reply))
		return false;
	bool ok = (cli_reply_json(cli, &reply, &doc) && (cli_reply_good(&reply) || cli_fail_reply(cli, &reply)))
		|| cli_fail_around(cli, "unable to retrieve databases for identity");
	ok = ok && print_databases(cli, &target, &doc);
	native_json_free(&doc);
	cli_reply_deinit(&reply);
	return ok;
}

/* ---- state hash ---- */

static bool print_hash(struct cli *cli, const struct native_json *doc)
{
	struct cli_grid grid;
	struct buf out = BUF_INIT(SIZE_MAX);
	uint32_t list = cli_json_member(doc, 0, "tables"), count = 0;
	uint32_t at = list != 0 ? cli_json_items(doc, list, &count) : 0;
	cli_grid_init(&grid, 3, CLI_GRID_PSQL);
	cli_grid_cell(&grid, STR("Table"));
	cli_grid_cell(&grid, STR("Rows"));
	cli_grid_cell(&grid, STR("Hash"));
	for (uint32_t i = 0; at != 0 && i < count; i++, at = doc->nodes[at].next) {
		uint32_t rows = cli_json_member(doc, at, "rows");
		cli_put_shown(&grid.text, cli_json_member_str(doc, at, "name"));
		cli_grid_end_cell(&grid);
		cli_grid_cell(&grid, rows == 0 ? STR("") : (struct str){ doc->nodes[rows].text, doc->nodes[rows].text_len });
		cli_grid_cell(&grid, cli_json_member_str(doc, at, "hash"));
	}
	cli_grid_put(&out, &grid);
	buf_printf(&out, "\n%.*s at transaction %llu\n", STR_FMT(cli_json_member_str(doc, 0, "hash")),
		(unsigned long long)number(doc, "offset"));
	bool ok = cli_print(cli, &out);
	cli_grid_deinit(&grid);
	buf_deinit(&out);
	return ok;
}

static bool run_state_hash(struct cli *cli, const struct cli_args *args)
{
	struct cli_target target;
	struct cli_reply reply;
	struct native_json doc = { 0 };
	if (!cli_target_server(cli, cli_args_text(args, "server"), false, !cli_args_flag(args, "yes"), &target))
		return false;
	struct cli_request request = { .method = "GET", .token = target.token,
		.url = cli_text(cli, "%s/v1/database/%s/state-hash", target.url, args->words[0]) };
	if (!cli_http(cli, &request, &reply))
		return false;
	bool ok = cli_reply_good(&reply) ? cli_reply_json(cli, &reply, &doc) && print_hash(cli, &doc)
		: cli_fail_reply(cli, &reply);
	native_json_free(&doc);
	cli_reply_deinit(&reply);
	return ok;
}

/* ---- rename ---- */

static bool fail_rename(struct cli *cli, const struct native_json *doc, const char *database)
{
	uint32_t denied = cli_json_member(doc, 0, "PermissionDenied");
	struct str domain = denied != 0 ? cli_json_member_str(doc, denied, "domain") : (struct str){ NULL, 0 };
	struct str other = cli_json_member_str(doc, 0, "OtherError");
	if (domain.data != NULL)
		return cli_fail(cli, "Permission denied for domain: %.*s", STR_FMT(domain));
	if (other.data != NULL)
		return cli_fail(cli, "%.*s", STR_FMT(other));
	if (cli_json_member(doc, 0, "NotYourDatabase") != 0)
		return cli_fail(cli, "You cannot rename %s because it is owned by another identity.", database);
	if (str_eq(cli_json_str(doc, 0), STR("DatabaseNotFound")))
		return cli_fail(cli, "Database %s not found", database);
	struct buf text = BUF_INIT(CLI_FILE_BYTES_MAX);
	cli_json_pretty(&text, doc, 0);
	cli_fail(cli, "the host refused to rename %s: %s", database, buf_text(&text));
	buf_deinit(&text);
	return false;
}

static bool run_rename(struct cli *cli, const struct cli_args *args)
{
	struct cli_target target;
	struct cli_reply reply;
	struct native_json doc = { 0 };
	struct buf body = BUF_INIT(1 << 16);
	const char *name = cli_args_text(args, "to"), *database = args->words[0];
	if (!cli_target_server(cli, cli_args_text(args, "server"), false, !cli_args_flag(args, "yes"), &target))
		return false;
	buf_put_u8(&body, '[');
	buf_put_json_str(&body, str_of(name));
	buf_put_u8(&body, ']');
	cli_check(cli, &body);
	struct cli_request request = { .method = "PUT", .token = target.token, .content_type = "application/json",
		.has_body = true, .body = buf_bytes(&body),
		.url = cli_text(cli, "%s/v1/database/%s/names", target.url, cli_percent(cli, database)) };
	bool ok = cli_http(cli, &request, &reply);
	if (ok) {
		ok = cli_reply_json(cli, &reply, &doc) && (cli_reply_good(&reply) || fail_rename(cli, &doc, database));
		cli_reply_deinit(&reply);
	}
	native_json_free(&doc);
	buf_deinit(&body);
	if (ok)
		printf("Name set to %s for identity %s.\n", name, database);
	return ok;
}

/* ---- lock, unlock ---- */

static bool set_lock(struct cli *cli, const struct cli_args *args, const char *what, const char *said)
{
	struct cli_words words;
	struct cli_target target;
	struct cli_reply reply;
	if (!cli_words_database(cli, args, cli_text(cli, "%s [database] [--no-config]", what), &words)
		|| !cli_target_open(cli, args, &words, &target))
		return false;
	struct cli_request request = { .method = "POST", .token = target.token, .url = cli_target_url(cli, &target, what) };
	if (!cli_http(cli, &request, &reply))
		return false;
	bool ok = cli_reply_good(&reply) || cli_fail_reply(cli, &reply);
	cli_reply_deinit(&reply);
	if (ok)
		printf("Database %s is now %s\n", target.identity, said);
	return ok;
}

static bool run_lock(struct cli *cli, const struct cli_args *args)
{
	return set_lock(cli, args, "lock", "locked. It cannot be deleted until unlocked.");
}

static bool run_unlock(struct cli *cli, const struct cli_args *args)
{
	return set_lock(cli, args, "unlock", "unlocked.");
}

/* ---- describe ---- */

static bool print_described(struct cli *cli, const struct cli_schema *schema, const char *kind, const char *name)
{
	struct buf out = BUF_INIT(SIZE_MAX);
	uint32_t node = 0;
	if (kind != NULL && strcmp(kind, "reducer") == 0) {
		const struct cli_function *function = cli_schema_function(schema, str_of(name));
		if (function == NULL || function->procedure)
			return cli_fail(cli, "no such reducer");
		node = function->node;
	} else if (kind != NULL) {
		const struct cli_table *table = cli_schema_table(schema, str_of(name));
		if (table == NULL || table->view)
			return cli_fail(cli, "no such table");
		node = table->node;
	}
	cli_json_pretty(&out, &schema->doc, node);
	buf_put_u8(&out, '\n');
	bool ok = cli_print(cli, &out);
	buf_deinit(&out);
	return ok;
}

static bool run_describe(struct cli *cli, const struct cli_args *args)
{
	static const char usage[] = "describe [database] [entity_type entity_name] --json [--no-config]";
	struct cli_words words;
	struct cli_target target;
	struct cli_schema schema;
	if (!cli_words_optional(cli, args, usage, &words))
		return false;
	const char *kind = words.rest_count > 0 ? words.rest[0] : NULL;
	if (words.rest_count != 0 && words.rest_count != 2)
		return cli_fail(cli, "Invalid describe arguments.\nUsage: %s %s", cli->program, usage);
	if (kind != NULL && strcmp(kind, "reducer") != 0 && strcmp(kind, "table") != 0)
		return cli_fail(cli, "Invalid entity_type '%s'. Expected one of: reducer, table.", kind);
	if (!cli_target_open(cli, args, &words, &target) || !cli_schema_fetch(cli, &target, &schema))
		return false;
	bool ok = print_described(cli, &schema, kind, kind != NULL ? words.rest[1] : NULL);
	cli_schema_deinit(&schema);
	return ok;
}

/* ---- the table ---- */

#define DATABASE_WORD \
	(const struct cli_word[]){ \
		{ .name = "DATABASE", .help = "Name or identity; may be left out where spacetime.json names one" }, { 0 } }

const struct cli_command cli_command_delete = {
	.name = "delete", .summary = "Delete a database with all its data", .words = DATABASE_WORD,
	.options = (const struct cli_option[]){
		CLI_OPTION_SERVER("The server of the database"), CLI_OPTION_YES, CLI_OPTION_NO_CONFIG, { 0 } },
	.examples = "delete quickstart\ndelete quickstart --yes", .run = run_delete,
};
const struct cli_command cli_command_state_hash = {
	.name = "state-hash", .summary = "A checksum of all rows, to compare databases",
	.details = "Equal rows give equal hashes, whatever their order: before and after a restart, here and elsewhere.",
	.words = (const struct cli_word[]){
		{ .name = "DATABASE", .help = "Its name or identity", .required = true }, { 0 } },
	.options = (const struct cli_option[]){ CLI_OPTION_SERVER("Where it is"), CLI_OPTION_YES, { 0 } },
	.examples = "state-hash my-database", .run = run_state_hash };

const struct cli_command cli_command_list = {
	.name = "list", .summary = "List your databases", .unstable = true,
	.options = (const struct cli_option[]){ CLI_OPTION_SERVER("The server to ask"), CLI_OPTION_YES, { 0 } },
	.examples = "list\nlist --server local", .run = run_list,
};
const struct cli_command cli_command_rename = {
	.name = "rename", .summary = "Give a database another name",
	.words = (const struct cli_word[]){
		{ .name = "DATABASE", .help = "Its identity, or a name of it", .required = true }, { 0 } },
	.options = (const struct cli_option[]){
		{ .name = "to", .value = "NAME", .required = true, .help = "The new name; it takes the place of all others" },
		CLI_OPTION_SERVER("The server of the database"), CLI_OPTION_YES, { 0 } },
	.examples = "rename --to people c200aed593dc7c475fe6b654d96e41a6f0ca9d48e00e6451f2613c1614d5e827",
	.run = run_rename,
};
const struct cli_command cli_command_lock = {
	.name = "lock", .summary = "Keep a database from being deleted or reset", .words = DATABASE_WORD,
	.options = (const struct cli_option[]){ CLI_OPTION_SERVER("The server of the database"), CLI_OPTION_NO_CONFIG,
		{ 0 } },
	.examples = "lock quickstart", .run = run_lock,
};
const struct cli_command cli_command_unlock = {
	.name = "unlock", .summary = "Allow again what `lock` forbade", .words = DATABASE_WORD,
	.options = (const struct cli_option[]){ CLI_OPTION_SERVER("The server of the database"), CLI_OPTION_NO_CONFIG,
		{ 0 } },
	.examples = "unlock quickstart", .run = run_unlock,
};
const struct cli_command cli_command_describe = {
	.name = "describe", .summary = "Print the definition of a database, or of one reducer or table", .unstable = true,
	.words = (const struct cli_word[]){
		{ .name = "DATABASE", .help = "Name or identity; may be left out where spacetime.json names one" },
		{ .name = "ENTITY_TYPE", .help = "`reducer` or `table`" }, { .name = "ENTITY_NAME", .help = "Its name" },
			{ 0 } },
	.options = (const struct cli_option[]){
		{ .name = "json", .required = true, .help = "As JSON; there is no other form yet" }, CLI_OPTION_ANONYMOUS,
		CLI_OPTION_SERVER("The server of the database"), CLI_OPTION_YES, CLI_OPTION_NO_CONFIG, { 0 } },
	.examples = "describe quickstart --json\ndescribe quickstart table person --json", .run = run_describe,
};
