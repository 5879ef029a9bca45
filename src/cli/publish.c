/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `publish`: a compiled module becomes a database, or the next version of one.
 *
 * Order: spacetime.json, token, name, the program, a question for servers elsewhere, the check of what would break,
 * then the publish itself. A host that has no such check (501) is published to as for a compatible change: it refuses
 * by itself what it cannot do.
 */
#include "cli/config.h"
#include "cli/publish_env.h"
#include "cli/schema.h"
#include "cli/sdk.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHOICE_BYTES_MAX = 64 };

static const char *const clear_choices[] = { "always", "on-conflict", "never", NULL };
static const char *const yes_choices[] = { "all", "remote", "migrate", "break-clients", "skip-login", "delete-data",
	NULL };

#define RECREATE "&recreate_empty_tables=true"

struct publishing { /* one target */
	struct cli *cli;
	const struct cli_args *args;
	struct cli_target target;
	const char *name;       /* NULL: the host invents none, the database has an identity only */
	const char *parent, *organization, *replicas;
	const char *path, *host_type;
	const char *clear;      /* a choice of clear_choices */
	bool anonymous, break_clients, makes_anew, is_trial, using_project, is_built;
	struct cli_environment environment;
	struct buf program, query; /* query: "&clear=true…" */
};

static bool yes_to(const struct publishing *p, const char *question)
{
	return cli_args_has(p->args, "yes", "all") || cli_args_has(p->args, "yes", question);
}

/* ---- names ---- */

static bool check_name(struct cli *cli, struct str name)
{
	struct identity identity;
	if (identity_from_hex(name, &identity))
		return true;
	if (name.len == 0)
		return cli_fail(cli, "database names cannot be empty");
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!letter && c != '-')
			return cli_fail(cli, "invalid characters in database name");
		if (c == '-' && (i == 0 || i + 1 == name.len || name.data[i - 1] == '-'))
			return cli_fail(cli, "invalid hyphen in database name");
	}
	return true;
}

/* NAME, or PARENT/NAME. */
static bool settle_names(struct publishing *p)
{
	struct cli *cli = p->cli;
	const char *slash = p->name != NULL ? strchr(p->name, '/') : NULL;
	if (slash != NULL) {
		const char *above = cli_keep(cli, (struct str){ p->name, (size_t)(slash - p->name) });
		if (p->parent != NULL && strcmp(p->parent, above) != 0)
			return cli_fail(cli, "cannot specify both --parent and <parent>/<child>");
		p->parent = above;
		p->name = slash + 1;
	}
	if (p->parent != NULL && !check_name(cli, str_of(p->parent)))
		return cli_fail_around(cli, "invalid parent database name `%s`", p->parent);
	return p->name == NULL || check_name(cli, str_of(p->name));
}

/* ---- the program ---- */

static bool fail_build(struct cli *cli, const char *path)
{
	return cli_fail(cli, "building a module from its sources is not supported by this version yet, "
		"except in C (%s)\n"
		"Build it with its own tools, then publish what comes out:\n"
		"\tcargo build --release --target wasm32-unknown-unknown\n"
		"\t%s publish --bin-path target/wasm32-unknown-unknown/release/NAME.wasm DATABASE", path, cli->program);
}

static bool load_program(struct publishing *p)
{
	if (strcmp(p->host_type, "Js") == 0)
		return cli_fail(p->cli, "JavaScript modules are not supported by this version yet: publish a WebAssembly "
			"module with --bin-path");
	if (p->path == NULL)
		return fail_build(p->cli, ".");
	if (p->is_built)
		printf("Build finished successfully.\n");
	else
		printf("(WASM) Skipping build. Instead we are publishing %s\n", p->path);
	return cli_read_file(p->cli, p->path, CLI_FILE_BYTES_MAX, &p->program, NULL);
}

/* ---- questions ---- */

static bool is_local(struct cli *cli, const char *url)
{
	const char *protocol, *host;
	if (!cli_url_split(cli, url, &protocol, &host))
		return false;
	size_t len = strcspn(host, ":/?#");
	return (len == 9 && memcmp(host, "localhost", 9) == 0) || (len == 9 && memcmp(host, "127.0.0.1", 9) == 0);
}

static bool confirm_remote(struct publishing *p)
{
	const char *mark = strstr(p->target.url, "://");
	if (is_local(p->cli, p->target.url))
		return true;
	const char *what = cli_args_flag(p->args, "env-only") ? "environment values " : "";
	printf("You are about to publish %sto a non-local server: %.*s\n", what, (int)strcspn(mark + 3, ":/?#"), mark + 3);
	return cli_confirm(yes_to(p, "remote"), "Are you sure you want to proceed?")
		|| cli_fail(p->cli, "Publish aborted by user.");
}

static bool confirm_clear(struct publishing *p)
{
	printf("This will DESTROY the current %s module, and ALL corresponding data.\n", p->name);
	const char *question = cli_text(p->cli, "Are you sure you want to proceed? [deleting %s]", p->name);
	if (!cli_confirm(yes_to(p, "delete-data"), question))
		return cli_fail(p->cli, "Aborted.");
	buf_put_cstr(&p->query, "&clear=true");
	return true;
}

static bool confirm_upgrade(struct publishing *p)
{
	char answer[CHOICE_BYTES_MAX] = "";
	puts("This publish is a major version upgrade from 1.0 to 2.0 of the module. Read the upgrade notes first:\n"
		"https://spacetimedb.com/docs/upgrade\n\n"
		"WARNING: Once you publish you cannot revert back to version 1.0.\n");
	if (yes_to(p, "migrate"))
		return true;
	fputs("Please type 'upgrade' to accept this change: ", stdout);
	fflush(stdout);
	if (fgets(answer, sizeof(answer), stdin) != NULL && strncmp(answer, "upgrade", 7) == 0
		&& strspn(answer + 7, " \t\r\n") == strlen(answer + 7))
		return true;
	return cli_fail(p->cli, "Aborting because major version upgrade was not accepted.");
}

/* ---- the check beforehand ---- */

static void print_member(struct cli *cli, const struct native_json *doc, uint32_t node, const char *name)
{
	struct str text = cli_json_member_str(doc, node, name);
	struct buf out = BUF_INIT(CLI_FILE_BYTES_MAX);
	buf_put_str(&out, text.data != NULL ? text : STR("")); /* the host colours its plans: left as it is */
	buf_put_u8(&out, '\n');
	cli_print(cli, &out);
	buf_deinit(&out);
}

static bool manual_migration(struct publishing *p, const struct native_json *doc, uint32_t manual)
{
	print_member(p->cli, doc, manual, "reason");
	if (strcmp(p->clear, "on-conflict") != 0) {
		puts("Aborting publish due to required manual migration.");
		return cli_fail(p->cli, "Aborting because publishing would require manual migration or deletion of data and "
			"--delete-data was not specified.");
	}
	puts("Proceeding with database clear due to --delete-data=on-conflict.");
	return confirm_clear(p);
}

static bool automatic_migration(struct publishing *p, const struct native_json *doc, uint32_t automatic)
{
	print_member(p->cli, doc, automatic, "migrate_plan");
	if (cli_json_true(doc, cli_json_member(doc, automatic, "break_clients"))
		&& !p->is_trial && !cli_confirm(p->break_clients || yes_to(p, "break-clients"),
			"The above changes will BREAK existing clients. Do you want to proceed?")) {
		puts("Aborting");
		return cli_fail(p->cli, "Publishing aborted by user");
	}
	struct str token = cli_json_member_str(doc, automatic, "token");
	if (token.data == NULL)
		return cli_fail(p->cli, "the host's migration plan lacks a token");
	buf_printf(&p->query, "&token=%s&policy=BreakClients", cli_percent(p->cli, cli_keep(p->cli, token)));
	return true;
}

static bool take_plan(struct publishing *p, const struct cli_reply *reply)
{
	struct native_json doc = { 0 };
	if (!cli_reply_json(p->cli, reply, &doc))
		return false;
	uint32_t automatic = cli_json_member(&doc, 0, "AutoMigrate"), manual = cli_json_member(&doc, 0, "ManualMigrate");
	uint32_t plan = automatic != 0 ? automatic : manual;
	bool ok = plan != 0 || cli_fail(p->cli, "the host's migration plan is malformed");
	if (ok && cli_json_true(&doc, cli_json_member(&doc, plan, "major_version_upgrade")))
		ok = confirm_upgrade(p);
	if (ok)
		ok = automatic != 0 ? automatic_migration(p, &doc, automatic) : manual_migration(p, &doc, manual);
	native_json_free(&doc);
	return ok;
}

static bool check_changes(struct publishing *p)
{
	struct cli *cli = p->cli;
	struct cli_reply reply;
	/* The field's tool sends the first name, its hosts read the second. */
	const char *style = getenv("NO_COLOR") != NULL ? "NoColor" : "AnsiColor";
	struct cli_request request = { .method = "POST", .token = p->target.token, .has_body = true,
		.body = buf_bytes(&p->program),
		.url = cli_text(cli, "%s/v1/database/%s/pre_publish?pretty_print_style=%s&style=%s&host_type=%s%s",
			p->target.url, cli_percent(cli, p->name), style, style, p->host_type,
			p->makes_anew ? RECREATE : "") };
	puts("Checking for breaking changes...");
	fflush(stdout);
	if (!cli_http(cli, &request, &reply))
		return false;
	bool ok = true; /* 404: a new database; 501: a host that does not look ahead */
	if (cli_reply_good(&reply))
		ok = take_plan(p, &reply);
	else if (reply.status != 404 && reply.status != 501)
		ok = cli_fail(cli, "Pre-publish check failed with status %s: %.*s", cli_status_text(cli, reply.status),
			STR_FMT(buf_str(&reply.body)));
	cli_reply_deinit(&reply);
	return ok;
}

/* ---- the publish ---- */

static bool fail_denied(struct publishing *p, struct str name)
{
	char hex[65];
	if (p->anonymous)
		return cli_fail(p->cli, "You need to be logged in as the owner of %.*s to publish to %.*s", STR_FMT(name),
			STR_FMT(name));
	if (!cli_token_identity(p->cli, p->target.token, hex))
		return false;
	return cli_fail(p->cli, "The database %.*s is not registered to the identity you provided.\n"
		"Publish under a name that you own, or a new one, for example:\n\t%s publish %.12s\n", STR_FMT(name),
		p->cli->program, hex);
}

/* What a dry run would have done to rows. */
static bool print_trial(struct publishing *p, const struct native_json *doc, uint32_t trial)
{
	struct buf out = BUF_INIT(CLI_FILE_BYTES_MAX);
	uint32_t left, at = cli_json_items(doc, cli_json_member(doc, trial, "tables"), &left);
	buf_put_cstr(&out, left == 0 ? "Dry run: it would succeed; no rows would change\n"
		: "Dry run: it would succeed; rows that would change:\n");
	for (; left > 0; left--, at = doc->nodes[at].next) {
		const struct native_json_node *inserted = &doc->nodes[cli_json_member(doc, at, "inserted")];
		const struct native_json_node *deleted = &doc->nodes[cli_json_member(doc, at, "deleted")];
		buf_put_cstr(&out, "    ");
		cli_put_shown(&out, cli_json_member_str(doc, at, "table"));
		buf_printf(&out, ": %.*s inserted, %.*s deleted\n", (int)inserted->text_len, inserted->text,
			(int)deleted->text_len, deleted->text);
	}
	buf_put_cstr(&out, "Nothing was changed\n");
	bool ok = cli_print(p->cli, &out);
	buf_deinit(&out);
	return ok;
}

static bool print_result(struct publishing *p, const struct cli_reply *reply)
{
	struct native_json doc = { 0 };
	if (!cli_reply_json(p->cli, reply, &doc))
		return false;
	uint32_t environment = cli_json_member(&doc, 0, "EnvironmentError");
	const char *why = environment != 0 ? cli_environment_error(p->cli, &doc, environment) : NULL;
	uint32_t trial = cli_json_member(&doc, 0, "DryRun");
	uint32_t success = cli_json_member(&doc, 0, "Success"), denied = cli_json_member(&doc, 0, "PermissionDenied");
	bool ok;
	if (success != 0) {
		struct str domain = cli_json_member_str(&doc, success, "domain");
		struct str identity = cli_json_member_str(&doc, success, "database_identity");
		bool created = str_eq(cli_json_member_str(&doc, success, "op"), STR("created"));
		struct buf out = BUF_INIT(1 << 16);
		buf_put_cstr(&out, created ? "Created new database with " : "Updated database with ");
		if (domain.data != NULL)
			buf_printf(&out, "name: %.*s, ", STR_FMT(domain));
		buf_printf(&out, "identity: %.*s\n", STR_FMT(identity));
		ok = cli_print(p->cli, &out);
		buf_deinit(&out);
	} else if (trial != 0) {
		ok = print_trial(p, &doc, trial);
	} else if (why != NULL) {
		ok = cli_fail(p->cli, "%s", why);
	} else if (denied != 0) {
		ok = fail_denied(p, cli_json_member_str(&doc, denied, "name"));
	} else {
		ok = cli_fail_reply(p->cli, reply);
	}
	native_json_free(&doc);
	return ok;
}

/* What a new database lacks may be in the shell: its names are declared, says the refusal. True: there is more now. */
static bool take_missing(struct publishing *p, const struct cli_reply *reply, bool *more)
{
	struct native_json doc = { 0 };
	uint32_t left = 0, before = p->environment.count;
	*more = false;
	if (reply->status != 400 || !cli_reply_is_json(p->cli, reply))
		return true;
	if (!cli_reply_json(p->cli, reply, &doc))
		return false;
	uint32_t error = cli_json_member(&doc, cli_json_member(&doc, 0, "EnvironmentError"), "MissingRequiredEnvironment");
	uint32_t at = error != 0 ? cli_json_items(&doc, cli_json_member(&doc, error, "keys"), &left) : 0;
	bool ok = true;
	for (; ok && left > 0; left--, at = doc.nodes[at].next)
		ok = cli_environment_declare(p->cli, cli_json_str(&doc, at), &p->environment);
	*more = p->environment.count > before;
	native_json_free(&doc);
	return ok;
}

static bool ask_to_publish(struct publishing *p, struct cli_request *request, struct cli_reply *reply)
{
	bool more = true;
	for (bool again = false; more; again = true) {
		request->headers = cli_environment_headers(p->cli, &p->environment);
		if (again)
			cli_reply_deinit(reply);
		if (!cli_http(p->cli, request, reply))
			return false;
		if (again)
			break;
		if (!take_missing(p, reply, &more)) {
			cli_reply_deinit(reply);
			return false;
		}
	}
	cli_environment_show(&p->environment);
	return true;
}

static bool send_program(struct publishing *p)
{
	struct cli *cli = p->cli;
	struct cli_reply reply;
	if (p->replicas != NULL) {
		fputs("WARNING: Use of unstable option `--num-replicas`.\n\n", stderr);
		buf_printf(&p->query, "&num_replicas=%s", cli_percent(cli, p->replicas));
	}
	if (p->parent != NULL)
		buf_printf(&p->query, "&parent=%s", cli_percent(cli, p->parent));
	if (p->organization != NULL)
		buf_printf(&p->query, "&org=%s", cli_percent(cli, p->organization));
	if (p->makes_anew)
		buf_put_cstr(&p->query, RECREATE);
	if (p->is_trial)
		buf_put_cstr(&p->query, "&dry_run=true");
	cli_check(cli, &p->query);
	puts(p->is_trial ? "Trying the module..." : "Publishing module...");
	fflush(stdout);
	struct cli_request request = { .method = p->name != NULL ? "PUT" : "POST", .token = p->target.token,
		.has_body = true, .body = buf_bytes(&p->program),
		.url = cli_text(cli, "%s/v1/database%s%s?host_type=%s%s", p->target.url, p->name != NULL ? "/" : "",
			p->name != NULL ? cli_percent(cli, p->name) : "", p->host_type, buf_text(&p->query)) };
	if (!ask_to_publish(p, &request, &reply))
		return false;
	bool ok = print_result(p, &reply);
	cli_reply_deinit(&reply);
	return ok;
}

static bool publish(struct publishing *p, const char *server)
{
	struct cli *cli = p->cli;
	if (p->using_project)
		printf("Publishing precompiled module to database '%s'\n", p->name);
	bool env_only = cli_args_flag(p->args, "env-only");
	if (!cli_target_server(cli, server, p->anonymous, !yes_to(p, "skip-login"), &p->target) || !settle_names(p)
		|| !(env_only || load_program(p)) || !confirm_remote(p))
		return false;
	const char *environment = p->name == NULL ? NULL
		: cli_text(cli, "%s/v1/database/%s/environment", p->target.url, cli_percent(cli, p->name));
	if (env_only)
		return environment == NULL ? cli_fail(cli, "--env-only needs the name or identity of a database")
			: cli_environment_publish(cli, environment, p->target.token, cli_args_flag(p->args, "replace-env"),
				&p->environment);
	const char *shown = server != NULL ? server : cli->config->default_server;
	printf("Uploading to %s => %s\n", shown != NULL ? shown : "<default>", p->target.url);
	if (p->name != NULL && !(strcmp(p->clear, "always") == 0 ? confirm_clear(p) : check_changes(p)))
		return false;
	if (environment != NULL && !cli_environment_declared(cli, environment, p->target.token, &p->environment))
		return false;
	return send_program(p);
}

/* ---- targets ---- */

static bool key_known(struct cli *cli, const struct cli_project_target *target)
{
	static const char *const known[] = { "database", "server", "module-path", "build-options", "wasm-file", "js-file",
		"num-replicas", "break-clients", "anon-identity", "parent", "organization", "native-aot", "dotnet-version",
		"env" };
	for (uint32_t i = 0; i < target->count; i++) {
		bool found = false;
		for (size_t k = 0; k < ARRAY_COUNT(known) && !found; k++)
			found = cli_project_setting(target, known[k]) == &target->settings[i];
		if (!found)
			return cli_fail(cli, "Config key '%.*s' is not supported in the config file. Available keys: database, "
				"server, module-path, build-options, wasm-file, js-file, num-replicas, break-clients, anon-identity, "
				"parent, organization, native-aot, dotnet-version, env", STR_FMT(target->settings[i].key));
	}
	return true;
}

/* Options of the command line win over settings of the project. */
static const char *setting(const struct publishing *p, const struct cli_project_target *project, const char *option,
	const char *key)
{
	const char *given = cli_args_text(p->args, option);
	if (given != NULL || project == NULL)
		return given;
	const struct cli_setting *found = cli_project_setting(project, key);
	if (found != NULL && found->doc->nodes[found->node].kind == NATIVE_JSON_NUMBER)
		return cli_keep(p->cli, (struct str){ found->doc->nodes[found->node].text,
			found->doc->nodes[found->node].text_len });
	return cli_project_text(p->cli, project, key);
}

static bool flag_setting(const struct publishing *p, const struct cli_project_target *project, const char *option,
	const char *key)
{
	return cli_args_flag(p->args, option) || (project != NULL && cli_project_flag(project, key));
}

static const char *file_setting(const struct publishing *p, const struct cli_project_target *project, const char *dir,
	const char *option, const char *key)
{
	const char *given = cli_args_text(p->args, option), *found = setting(p, project, option, key);
	return given != NULL || found == NULL || found[0] == '/' ? found : cli_text(p->cli, "%s/%s", dir, found);
}

static bool publish_target(struct cli *cli, const struct cli_args *args, const struct cli_project_target *project,
	const char *dir)
{
	struct publishing p = { .cli = cli, .args = args, .host_type = "Wasm", .using_project = project != NULL,
		.query = BUF_INIT(1 << 20) };
	const char *name = args->word_count > 0 ? args->words[0] : NULL, *clear = cli_args_text(args, "delete-data");
	const char *module = setting(&p, project, "module-path", "module-path");
	const char *js = file_setting(&p, project, dir, "js-path", "js-file");
	p.name = name == NULL && project != NULL ? cli_project_text(cli, project, "database") : name;
	if (project != NULL && p.name == NULL)
		return cli_fail(cli, "Required key 'database' is missing from the config file or CLI");
	p.path = file_setting(&p, project, dir, "bin-path", "wasm-file");
	p.parent = setting(&p, project, "parent", "parent");
	p.organization = setting(&p, project, "organization", "organization");
	p.replicas = setting(&p, project, "num-replicas", "num-replicas");
	p.clear = clear != NULL ? clear : "never";
	p.anonymous = flag_setting(&p, project, "anonymous", "anon-identity");
	p.break_clients = flag_setting(&p, project, "break-clients", "break-clients");
	p.makes_anew = cli_args_flag(args, "recreate-empty-tables");
	p.is_trial = cli_args_flag(args, "dry-run");
	if (p.path == NULL && js != NULL) {
		p.path = js;
		p.host_type = "Js";
	}
	if (p.path == NULL && !cli_args_flag(args, "env-only")) {
		const char *sources = module != NULL ? module : ".";
		if (!cli_is_c_module(cli, sources))
			return fail_build(cli, sources);
		if (!cli_build_c(cli, sources, false, &p.path))
			return cli_fail_around(cli, "the module in %s was not built", sources);
		p.is_built = true;
	}
	if (!cli_environment_read(cli, project, cli_args_text(args, "unset-env"), cli_args_flag(args, "replace-env"),
		&p.environment))
		return false;
	bool ok = publish(&p, setting(&p, project, "server", "server"));
	buf_deinit(&p.program);
	buf_deinit(&p.query);
	return ok;
}

/* '*' any run, '?' any one character. */
static bool glob_match(const char *pattern, const char *text)
{
	const char *star = NULL, *retry = NULL;
	while (*text != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			retry = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star + 1;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* The targets of the project that the command line means. */
static bool select_targets(struct cli *cli, const struct cli_args *args, const struct cli_project *project,
	const struct cli_project_target **out, uint32_t *count)
{
	const char *pattern = args->word_count > 0 ? args->words[0] : NULL;
	struct buf names = BUF_INIT(1 << 20);
	for (uint32_t i = 0; i < project->target_count; i++) {
		const char *name = cli_project_text(cli, &project->targets[i], "database");
		if (pattern == NULL || (name != NULL && glob_match(pattern, name)))
			out[(*count)++] = &project->targets[i];
		if (name != NULL)
			buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", name);
	}
	if (*count == 0 && project->target_count == 1)
		out[(*count)++] = &project->targets[0];
	bool ok = *count > 0 || cli_fail(cli, "No database target matches '%s'. Available databases: %s", pattern,
		buf_text(&names));
	buf_deinit(&names);
	return ok;
}

static bool check_one_target(struct cli *cli, const struct cli_args *args)
{
	static const char *const options[] = { "module-path", "bin-path", "js-path", "build-options", "num-replicas",
		"dotnet-version" };
	for (size_t i = 0; i < ARRAY_COUNT(options); i++)
		if (cli_args_text(args, options[i]) != NULL)
			return cli_fail(cli, "Cannot use module-specific arguments (--%s) when publishing to multiple targets. "
				"Please specify the database name or identity to select a single target, or remove these arguments.",
				options[i]);
	return true;
}

/* Every target that the project and the command line name, in order; the first failure ends it. */
static bool publish_project(struct cli *cli, const struct cli_args *args, const struct cli_project *project)
{
	uint32_t count = 0;
	const struct cli_project_target **targets = cli_alloc(cli, ((size_t)project->target_count + 1) * sizeof(*targets));
	for (uint32_t i = 0; i < project->file_count; i++)
		printf("Using configuration from %s\n", project->files[i]);
	if (!select_targets(cli, args, project, targets, &count) || (count > 1 && !check_one_target(cli, args)))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		/* A pattern selects; a plain name that no target has is the name to publish under. */
		struct cli_args one = *args;
		const char *name = cli_project_text(cli, targets[i], "database");
		if (args->word_count > 0 && name != NULL && glob_match(args->words[0], name))
			one.word_count = 0;
		if (!key_known(cli, targets[i]) || !publish_target(cli, &one, targets[i], project->dir))
			return false;
	}
	return true;
}

static bool run(struct cli *cli, const struct cli_args *args)
{
	struct cli_project project = { 0 };
	bool ok = cli_args_flag(args, "no-config") || cli_project_load(cli, cli_args_text(args, "env"), &project);
	if (ok)
		ok = project.file_count > 0 ? publish_project(cli, args, &project) : publish_target(cli, args, NULL, NULL);
	cli_project_deinit(&project);
	return ok;
}

const struct cli_command cli_command_publish = {
	.name = "publish",
	.summary = "Publish a module: create a database, or update one",
	.details = "Takes a module that is compiled already (--bin-path), or the folder of one in C, which it builds;\n"
		"sources in other languages are built with their own tools.\n"
		"The tables of a database stay through an update. What cannot be kept is refused, unless\n"
		"--delete-data says so. Environment variables that the module declares come from `env` in\n"
		"spacetime.json and from the shell; those that are not mentioned keep their values.",
	.words = (const struct cli_word[]){
		{ .name = "NAME", .help = "Lower-case letters, digits and single hyphens, or an identity; without it the "
			"database has an identity only" }, { 0 } },
	.options = (const struct cli_option[]){
		{ .name = "bin-path", .letter = 'b', .value = "WASM_FILE", .conflicts = "module-path build-options js-path",
			.help = "The compiled WebAssembly module" },
		{ .name = "js-path", .letter = 'j', .value = "JS_FILE", .conflicts = "module-path build-options",
			.help = "A JavaScript module; not supported by this version yet" },
		{ .name = "module-path", .letter = 'p', .value = "MODULE_PATH",
			.help = "The folder of a module in C, which is built first [default: this one]" },
		{ .name = "build-options", .alias = "build-opts", .value = "BUILD_OPTIONS",
			.help = "Options of a build; building is not supported by this version yet" },
		{ .name = "delete-data", .alias = "clear-database", .letter = 'c', .value = "CLEAR_MODE", .bare = "always",
			.choices = clear_choices,
			.help = "Delete all data of the database first: always, or only when the change needs a manual migration" },
		{ .name = "recreate-empty-tables",
			.help = "Let tables that have no rows change in any way: they are removed and added anew" },
		{ .name = "dry-run", .conflicts = "delete-data env-only",
			.help = "Do everything, the module's migration function too, say what rows would change, and undo it all" },
		{ .name = "break-clients",
			.help = "Do not ask before a change that breaks clients; the same as --yes=break-clients" },
		{ .name = "anonymous", .help = "Publish with no token: nobody can ever update the database" },
		{ .name = "parent", .value = "PARENT", .help = "Name or identity of the database above a new one" },
		{ .name = "organization", .alias = "org", .value = "ORGANIZATION", .help =
			"Name or identity of the organization" },
		CLI_OPTION_SERVER("The server to publish to"),
		{ .name = "yes", .letter = 'y', .value = "YES", .bare = "all", .choices = yes_choices, .list = true,
			.help = "Answer questions with yes: all of them, or those of a comma list" },
		{ .name = "num-replicas", .value = "NUM_REPLICAS", .number_max = UINT8_MAX, .hidden = true, .help = "" },
		CLI_OPTION_NO_CONFIG,
		{ .name = "env", .value = "ENV", .help = "Lay spacetime.ENV.json over spacetime.json" },
		{ .name = "env-only", .conflicts = "bin-path js-path delete-data",
			.help = "Change the environment of a database alone; its program stays" },
		{ .name = "unset-env", .value = "KEY", .list = true, .conflicts = "replace-env",
			.help = "Remove a variable from the environment; may be repeated" },
		{ .name = "replace-env", .help = "Remove all variables that are not given" },
		{ .name = "native-aot", .hidden = true, .help = "" },
		{ .name = "dotnet-version", .value = "VERSION", .hidden = true, .help = "" },
		{ 0 } },
	.examples = "publish --bin-path module.wasm quickstart\npublish -b module.wasm --yes quickstart\n"
		"publish -b module.wasm --delete-data=on-conflict --server http://127.0.0.1:3000 quickstart",
	.run = run,
};
