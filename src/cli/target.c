/* SPDX-License-Identifier: Apache-2.0 */
/* Words, servers and databases: the look-ups before a command's own request. */
#include "cli/target.h"
#include "cli/config.h"
#include "cli/project.h"

/* ---- words ---- */

struct known { /* databases of spacetime.json, first of each name */
	const char **names, **servers;
	uint32_t count;
};

static bool load_known(struct cli *cli, const struct cli_args *args, struct known *out)
{
	struct cli_project project;
	*out = (struct known){ 0 };
	if (cli_args_flag(args, "no-config"))
		return true;
	if (!cli_project_load(cli, NULL, &project)) {
		cli_project_deinit(&project);
		return false;
	}
	out->names = cli_alloc(cli, ((size_t)project.target_count + 1) * sizeof(*out->names));
	out->servers = cli_alloc(cli, ((size_t)project.target_count + 1) * sizeof(*out->servers));
	for (uint32_t i = 0; i < project.target_count; i++) {
		const char *name = cli_project_text(cli, &project.targets[i], "database");
		bool seen = name == NULL;
		for (uint32_t k = 0; k < out->count && !seen; k++)
			seen = strcmp(out->names[k], name) == 0;
		if (seen)
			continue;
		out->names[out->count] = name;
		out->servers[out->count++] = cli_project_text(cli, &project.targets[i], "server");
	}
	cli_project_deinit(&project);
	return true;
}

static uint32_t known_find(const struct known *known, const char *name)
{
	for (uint32_t i = 0; i < known->count; i++)
		if (strcmp(known->names[i], name) == 0)
			return i;
	return UINT32_MAX;
}

static bool fail_missing(struct cli *cli, const char *name, const char *usage)
{
	return cli_fail(cli, "the following required arguments were not provided:\n  <%s>\n\nUsage: %s %s", name,
		cli->program, usage);
}

static bool fail_unknown(struct cli *cli, const struct known *known, const char *name)
{
	struct buf list = BUF_INIT(1 << 20);
	for (uint32_t i = 0; i < known->count; i++)
		buf_printf(&list, "%s%s", i > 0 ? ", " : "", known->names[i]);
	cli_fail(cli, "Multiple databases found in config: %s. Please specify which database to use, or pass "
		"--no-config to use '%s' directly.", buf_text(&list), name);
	buf_deinit(&list);
	return false;
}

static void take(struct cli_words *out, const struct known *known, uint32_t index)
{
	out->database = known->names[index];
	out->server = known->servers[index];
}

bool cli_words_database(struct cli *cli, const struct cli_args *args, const char *usage, struct cli_words *out)
{
	struct known known;
	const char *given = args->word_count > 0 ? args->words[0] : NULL;
	*out = (struct cli_words){ 0 };
	if (!load_known(cli, args, &known))
		return false;
	if (given == NULL && known.count != 1)
		return fail_missing(cli, "database", usage);
	uint32_t index = given == NULL ? 0 : known_find(&known, given);
	if (index != UINT32_MAX)
		take(out, &known, index);
	else
		out->database = given; /* outside of the project */
	return true;
}

/* Words after the database: with one known database the first word may be left out. */
static bool split(struct cli *cli, const struct cli_args *args, const char *required, const char *usage,
	struct cli_words *out)
{
	struct known known;
	*out = (struct cli_words){ .rest = args->words, .rest_count = args->word_count };
	if (!load_known(cli, args, &known))
		return false;
	uint32_t index = args->word_count > 0 ? known_find(&known, args->words[0]) : UINT32_MAX;
	bool named = known.count != 1 || index != UINT32_MAX;
	if (args->word_count == 0 && known.count != 1)
		return fail_missing(cli, "database", usage);
	if (known.count > 1 && index == UINT32_MAX)
		return fail_unknown(cli, &known, args->words[0]);
	if (known.count > 0)
		take(out, &known, index != UINT32_MAX ? index : 0);
	else
		out->database = args->words[0];
	if (named) {
		out->rest++;
		out->rest_count--;
	}
	if (required != NULL && out->rest_count == 0)
		return fail_missing(cli, required, usage);
	return true;
}

bool cli_words_required(struct cli *cli, const struct cli_args *args, const char *required, const char *usage,
	struct cli_words *out)
{
	return split(cli, args, required, usage, out);
}

bool cli_words_optional(struct cli *cli, const struct cli_args *args, const char *usage, struct cli_words *out)
{
	return split(cli, args, NULL, usage, out);
}

/* ---- servers and databases ---- */

bool cli_target_server(struct cli *cli, const char *server, bool anonymous, bool ask, struct cli_target *out)
{
	*out = (struct cli_target){ .server = server, .url = cli_config_url(cli, cli->config, server) };
	if (out->url == NULL)
		return false;
	if (!anonymous)
		out->token = cli_token_or_login(cli, server, ask);
	return anonymous || out->token != NULL;
}

bool cli_target_identity(struct cli *cli, struct cli_target *target)
{
	struct identity identity;
	struct str given = str_of(target->database);
	struct str bare = given.len > 2 && (memcmp(given.data, "0x", 2) == 0 || memcmp(given.data, "X'", 2) == 0) ?
		(struct str){ given.data + 2, given.len - 2 } : given;
	if (identity_from_hex(bare, &identity)) {
		identity_to_hex(&identity, target->identity);
		return true;
	}
	struct cli_reply reply;
	struct cli_request request = { .method = "GET",
		.url = cli_text(cli, "%s/v1/database/%s/identity", target->url, cli_percent(cli, target->database)) };
	if (!cli_http(cli, &request, &reply))
		return false;
	bool ok;
	if (reply.status == 404)
		ok = cli_fail(cli, "failed to find database `%s`.", target->database);
	else if (!cli_reply_good(&reply))
		ok = cli_fail_reply(cli, &reply);
	else if (!identity_from_hex(buf_str(&reply.body), &identity))
		ok = cli_fail(cli, "identity endpoint did not return an identity");
	else
		ok = true;
	if (ok)
		identity_to_hex(&identity, target->identity);
	cli_reply_deinit(&reply);
	return ok;
}

static bool has_option(const struct cli_args *args, const char *name)
{
	for (const struct cli_option *option = args->command->options; option->name != NULL; option++)
		if (strcmp(option->name, name) == 0)
			return true;
	return false;
}

bool cli_target_open(struct cli *cli, const struct cli_args *args, const struct cli_words *words,
	struct cli_target *out)
{
	const char *server = cli_args_text(args, "server");
	bool anonymous = has_option(args, "anonymous") && cli_args_flag(args, "anonymous");
	bool yes = has_option(args, "yes") && cli_args_flag(args, "yes");
	if (!cli_target_server(cli, server != NULL ? server : words->server, anonymous, !yes, out))
		return false;
	out->database = words->database;
	return cli_target_identity(cli, out);
}

const char *cli_target_url(struct cli *cli, const struct cli_target *target, const char *what)
{
	return cli_text(cli, "%s/v1/database/%s/%s", target->url, target->identity, what);
}
