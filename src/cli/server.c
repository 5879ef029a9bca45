/* SPDX-License-Identifier: Apache-2.0 */
/* `server`: the servers that cli.toml knows. */
#include "cli/args.h"
#include "cli/config.h"
#include "cli/grid.h"
#include "cli/http.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DELETE_DEPTH_MAX = 64 };

/* Over what stands before "://" in a URL; false when its protocol is unknown. */
static bool without_protocol(struct cli *cli, const char *text, const char **out)
{
	const char *protocol;
	*out = text;
	return strstr(text, "://") == NULL || cli_url_split(cli, text, &protocol, out);
}

static bool run_list(struct cli *cli, const struct cli_args *args)
{
	static const char *const header[] = { "DEFAULT", "HOSTNAME", "PROTOCOL", "NICKNAME" };
	struct cli_grid grid;
	struct buf out = BUF_INIT(SIZE_MAX);
	(void)args;
	cli_grid_init(&grid, ARRAY_COUNT(header), CLI_GRID_PLAIN);
	grid.right_first = true;
	for (size_t i = 0; i < ARRAY_COUNT(header); i++)
		cli_grid_cell(&grid, str_of(header[i]));
	for (uint32_t i = 0; i < cli->config->server_count; i++) {
		const struct cli_server *server = &cli->config->servers[i];
		bool preset = cli->config->default_server != NULL && cli_server_is(server, cli->config->default_server);
		cli_grid_cell(&grid, preset ? STR("***") : STR(""));
		cli_grid_cell(&grid, str_of(server->host));
		cli_grid_cell(&grid, str_of(server->protocol));
		cli_grid_cell(&grid, server->nickname != NULL ? str_of(server->nickname) : STR(""));
	}
	cli_grid_put(&out, &grid);
	buf_put_u8(&out, '\n');
	bool ok = cli_print(cli, &out);
	cli_grid_deinit(&grid);
	buf_deinit(&out);
	return ok;
}

static bool set_default(struct cli *cli, const char *name)
{
	if (cli_config_find(cli, cli->config, name) == UINT32_MAX)
		return cli_fail_around(cli, "Cannot set default server to unknown server %s", name);
	return cli_config_set(cli, cli->config, "default_server", name);
}

static bool run_set_default(struct cli *cli, const struct cli_args *args)
{
	const char *name;
	return without_protocol(cli, args->words[0], &name) && set_default(cli, name) && cli_config_save(cli, cli->config);
}

/* The public key of a server; NULL with the error recorded. */
static const char *fetch_fingerprint(struct cli *cli, const char *url)
{
	struct cli_reply reply;
	struct cli_request request = { .method = "GET", .url = cli_text(cli, "%s/v1/identity/public-key", url) };
	const char *kept = NULL;
	if (!cli_http(cli, &request, &reply))
		return NULL;
	if (cli_reply_good(&reply))
		kept = cli_keep(cli, buf_str(&reply.body));
	else
		cli_fail_reply(cli, &reply);
	cli_reply_deinit(&reply);
	return kept;
}

static bool check_new(struct cli *cli, const char *nickname, const char *host)
{
	uint32_t same_name = cli_config_index(cli->config, nickname), same_host = cli_config_index(cli->config, host);
	const struct cli_server *servers = cli->config->servers;
	if (same_name != UINT32_MAX)
		return cli_fail(cli, "Server nickname %s already in use: %s://%s", nickname, servers[same_name].protocol,
			servers[same_name].host);
	if (same_host == UINT32_MAX)
		return true;
	if (servers[same_host].nickname != NULL && strcmp(servers[same_host].nickname, host) == 0)
		return cli_fail(cli, "Server host name is ambiguous with existing server nickname: %s", host);
	return cli_fail(cli, "Server already configured for host: %s", host);
}

static bool run_add(struct cli *cli, const struct cli_args *args)
{
	const char *given = cli_args_text(args, "url"), *nickname = args->words[0], *protocol, *host;
	struct str trimmed = str_of(given);
	while (trimmed.len > 0 && trimmed.data[trimmed.len - 1] == '/')
		trimmed.len--;
	const char *url = cli_keep(cli, trimmed), *fingerprint = NULL;
	if (!cli_url_split(cli, url, &protocol, &host))
		return false;
	if (!cli_args_flag(args, "no-fingerprint")) {
		fingerprint = fetch_fingerprint(cli, url);
		if (fingerprint == NULL)
			return cli_fail_around(cli, "Unable to retrieve fingerprint for server: %s\nIs the server running?\n"
				"Add a server without retrieving its fingerprint with:\n\t%s server add --url %s --no-fingerprint", url,
				cli->program, url);
		printf("For server %s, got fingerprint:\n%s\n", url, fingerprint);
	}
	struct cli_server server = { nickname, host, protocol, fingerprint };
	if (!check_new(cli, nickname, host) || !cli_config_add_server(cli, cli->config, &server))
		return false;
	if (cli_args_flag(args, "default") && !set_default(cli, host))
		return false;
	printf("Host: %s\nProtocol: %s\n", host, protocol);
	return cli_config_save(cli, cli->config);
}

static bool run_remove(struct cli *cli, const struct cli_args *args)
{
	const char *name;
	if (!without_protocol(cli, args->words[0], &name))
		return false;
	uint32_t index = cli_config_find(cli, cli->config, name);
	if (index == UINT32_MAX)
		return false;
	const char *preset = cli->config->default_server;
	bool was_default = preset != NULL && cli_server_is(&cli->config->servers[index], preset);
	return cli_config_remove_server(cli, cli->config, index)
		&& (!was_default || cli_config_set(cli, cli->config, "default_server", NULL))
		&& cli_config_save(cli, cli->config);
}

/* Shows old and new; `*changed` when there is something to save. */
static bool update_fingerprint(struct cli *cli, uint32_t index, bool *changed)
{
	const struct cli_server *server = &cli->config->servers[index];
	const char *name = server->nickname != NULL ? server->nickname : server->host, *saved = server->fingerprint;
	const char *url = cli_text(cli, "%s://%s", server->protocol, server->host);
	const char *fresh = fetch_fingerprint(cli, url);
	if (fresh == NULL)
		return cli_fail_around(cli, "Error fetching server fingerprint");
	*changed = saved == NULL || strcmp(saved, fresh) != 0;
	if (saved == NULL)
		printf("No saved fingerprint for server %s. New fingerprint:\n%s\n", name, fresh);
	else if (*changed)
		printf("Fingerprint has changed for server %s.\nWas:\n%s\nNew:\n%s\n", name, saved, fresh);
	else
		printf("Fingerprint is unchanged for server %s:\n%s\n", name, saved);
	return !*changed || cli_config_set_server(cli, cli->config, index, "ecdsa_public_key", fresh);
}

static bool run_fingerprint(struct cli *cli, const struct cli_args *args)
{
	const char *name;
	bool changed = false;
	if (!without_protocol(cli, args->words[0], &name))
		return false;
	uint32_t index = cli_config_find(cli, cli->config, name);
	if (index == UINT32_MAX)
		return cli_fail_around(cli, "Cannot find hostname for unknown server: %s", name);
	if (!update_fingerprint(cli, index, &changed))
		return false;
	if (!changed)
		return true;
	if (!cli_confirm(cli_args_flag(args, "yes"), "Continue?"))
		return cli_fail(cli, "Aborted");
	return cli_config_save(cli, cli->config);
}

static bool run_ping(struct cli *cli, const struct cli_args *args)
{
	const char *url = cli_config_url(cli, cli->config, args->words[0]);
	struct cli_reply reply;
	struct cli_request request = { .method = "GET" };
	if (url == NULL)
		return false;
	request.url = cli_text(cli, "%s/v1/ping", url);
	if (!cli_http(cli, &request, &reply))
		return false;
	if (reply.status == 200)
		printf("Server is online: %s\n", url);
	else if (reply.status == 404)
		printf("Server returned 404 (Not Found): %s\n", url);
	else
		printf("Server could not be reached (%s): %s\n", cli_status_text(cli, reply.status), url);
	cli_reply_deinit(&reply);
	return true;
}

static bool check_edit(struct cli *cli, const char *what, const char *value)
{
	uint32_t other = value != NULL ? cli_config_index(cli->config, value) : UINT32_MAX;
	if (other == UINT32_MAX)
		return true;
	const struct cli_server *server = &cli->config->servers[other];
	return cli_fail(cli, "%s %s conflicts with saved configuration for server %s: %s://%s", what, value,
		server->nickname != NULL ? server->nickname : server->host, server->protocol, server->host);
}

static bool apply_edit(struct cli *cli, uint32_t index, const char *nickname, const char *host, const char *protocol)
{
	struct cli_config *config = cli->config;
	const struct cli_server old = config->servers[index];
	const char *preset = config->default_server;
	if (nickname != NULL && !cli_config_set_server(cli, config, index, "nickname", nickname))
		return false;
	if (host != NULL && (!cli_config_set_server(cli, config, index, "host", host)
		|| !cli_config_set_server(cli, config, index, "protocol", protocol)))
		return false;
	const char *renamed = preset == NULL ? NULL : host != NULL && strcmp(preset, old.host) == 0 ? host :
		nickname != NULL && old.nickname != NULL && strcmp(preset, old.nickname) == 0 ? nickname : NULL;
	if (renamed != NULL && !cli_config_set(cli, config, "default_server", renamed))
		return false;
	if (nickname != NULL && old.nickname != NULL)
		printf("Changing nickname from %s to %s\n", old.nickname, nickname);
	if (host != NULL)
		printf("Changing host from %s to %s\nChanging protocol from %s to %s\n", old.host, host, old.protocol,
			protocol);
	return true;
}

static bool run_edit(struct cli *cli, const struct cli_args *args)
{
	const char *name, *host = NULL, *protocol = NULL;
	const char *nickname = cli_args_text(args, "new-name"), *url = cli_args_text(args, "url");
	bool changed;
	if (!without_protocol(cli, args->words[0], &name))
		return false;
	uint32_t index = cli_config_find(cli, cli->config, name);
	if (index == UINT32_MAX || (url != NULL && !cli_url_split(cli, url, &protocol, &host)))
		return false;
	if (!check_edit(cli, "Nickname", nickname) || !check_edit(cli, "Host", host))
		return false;
	const struct cli_server old = cli->config->servers[index];
	bool moved = host != NULL && (strcmp(old.host, host) != 0 || strcmp(old.protocol, protocol) != 0);
	if (!apply_edit(cli, index, nickname, host, protocol))
		return false;
	if (moved && cli_args_flag(args, "no-fingerprint")) {
		if (!cli_config_set_server(cli, cli->config, index, "ecdsa_public_key", NULL))
			return false;
	} else if (moved && !update_fingerprint(cli, index, &changed)) {
		return false;
	}
	if (!cli_confirm(cli_args_flag(args, "yes"), "Continue?"))
		return cli_fail(cli, "Aborted");
	return cli_config_save(cli, cli->config);
}

/* A folder and all in it; links are removed, never followed. Takes `fd`. */
static bool remove_below(int fd, uint32_t depth)
{
	DIR *dir = depth < DELETE_DEPTH_MAX ? fdopendir(fd) : NULL;
	bool ok = dir != NULL;
	struct dirent *entry;
	if (dir == NULL)
		close(fd);
	while (ok && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		int below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0)
			ok = remove_below(below, depth + 1) && unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0;
		else
			ok = unlinkat(fd, entry->d_name, 0) == 0;
	}
	if (dir != NULL)
		closedir(dir);
	return ok;
}

static bool run_clear(struct cli *cli, const struct cli_args *args)
{
	const char *path = cli_args_text(args, "data-dir");
	path = path != NULL ? path : cli->data_dir;
	if (path == NULL)
		return cli_fail(cli, "cannot find your home directory: pass --data-dir");
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		puts("Local database not found. Nothing has been deleted.");
		return true;
	}
	if (fd < 0)
		return cli_fail_errno(cli, "cannot open %s", path);
	if (faccessat(fd, "metadata.toml", F_OK, 0) != 0) {
		close(fd);
		return cli_fail(cli, "%s is not the data folder of a host: it holds no metadata.toml", path);
	}
	printf("Database path: %s\n", path);
	if (!cli_confirm(cli_args_flag(args, "yes"), "Are you sure you want to delete all data from the local database?")) {
		puts("Aborting");
		close(fd);
		return true;
	}
	if (!remove_below(fd, 0) || rmdir(path) != 0)
		return cli_fail_errno(cli, "cannot delete %s", path);
	printf("Deleted database: %s\n", path);
	return true;
}

#define SERVER_WORD(what) (const struct cli_word[]){ { .name = "SERVER", .help = what, .required = true }, { 0 } }
static const struct cli_command command_list = {
	.name = "list", .summary = "List the saved servers; *** marks the default", .examples = "server list",
	.run = run_list };
static const struct cli_command command_set_default = {
	.name = "set-default", .summary = "Choose the server that commands use without --server",
	.words = SERVER_WORD("Nickname, host or URL of a saved server"), .examples = "server set-default local",
	.run = run_set_default };
static const struct cli_command command_add = {
	.name = "add", .summary = "Save a server",
	.words = (const struct cli_word[]){ { .name = "NAME", .help = "Its nickname", .required = true }, { 0 } },
	.options = (const struct cli_option[]){
		{ .name = "url", .value = "URL", .required = true, .help = "Its address, http://HOST:PORT" },
		{ .name = "default", .letter = 'd', .help = "Make it the default server" },
		{ .name = "no-fingerprint", .help = "Do not ask it for its public key" }, { 0 } },
	.examples = "server add --url http://127.0.0.1:3000 mine\nserver add --url https://db.example.com -d prod",
	.run = run_add };
static const struct cli_command command_remove = {
	.name = "remove", .summary = "Forget a saved server",
	.words = SERVER_WORD("Nickname, host or URL of a saved server"),
	.options = (const struct cli_option[]){ CLI_OPTION_YES, { 0 } }, .examples = "server remove mine",
	.run = run_remove };
static const struct cli_command command_fingerprint = {
	.name = "fingerprint", .summary = "Show the public key of a saved server, and save it when it is new",
	.words = SERVER_WORD("Nickname, host or URL of a saved server"),
	.options = (const struct cli_option[]){ CLI_OPTION_YES, { 0 } }, .examples = "server fingerprint local",
	.run = run_fingerprint };
static const struct cli_command command_ping = {
	.name = "ping", .summary = "Ask a server whether it is there",
	.words = SERVER_WORD("Nickname, host or URL"), .examples = "server ping local", .run = run_ping };
static const struct cli_command command_edit = {
	.name = "edit", .summary = "Change the nickname or address of a saved server",
	.words = SERVER_WORD("Nickname, host or URL of a saved server"),
	.options = (const struct cli_option[]){
		{ .name = "new-name", .value = "NICKNAME", .help = "A new nickname" },
		{ .name = "url", .value = "URL", .help = "A new address" },
		{ .name = "no-fingerprint", .help = "Do not ask the server for its public key" }, CLI_OPTION_YES, { 0 } },
	.examples = "server edit local --url http://127.0.0.1:4000 --yes", .run = run_edit };
static const struct cli_command command_clear = {
	.name = "clear", .summary = "Delete all data of the local host",
	.options = (const struct cli_option[]){
		{ .name = "data-dir", .value = "DIR", .help = "The host's data folder [default: that of `start`]" },
		CLI_OPTION_YES, { 0 } },
	.examples = "server clear --yes", .run = run_clear };

const struct cli_command cli_command_server = {
	.name = "server",
	.summary = "Manage the saved servers",
	.unstable = true,
	.commands = (const struct cli_command *const[]){ &command_list, &command_set_default, &command_add, &command_remove,
		&command_fingerprint, &command_ping, &command_edit, &command_clear, NULL },
};
