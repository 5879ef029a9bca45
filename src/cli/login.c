/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `login`, `logout`, and the token of every other command: with a browser through a global auth host, directly at a
 * server, or given. One token is saved for all servers.
 */
#include "auth/auth.h"
#include "cli/config.h"
#include "cli/target.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define AUTH_HOST "https://spacetimedb.com"
enum { PAYLOAD_BYTES_MAX = 16 << 10, LOGOUT_SECONDS = 5, POLL_SECONDS = 1, APPROVAL_POLLS_MAX = 3600 };

/* ---- tokens ---- */

/* Both base64 alphabets, without padding. */
static bool decode_base64(struct str text, struct buf *out)
{
	uint32_t bits = 0, count = 0;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];
		uint32_t v;
		if (c >= 'A' && c <= 'Z')
			v = (uint32_t)(c - 'A');
		else if (c >= 'a' && c <= 'z')
			v = (uint32_t)(c - 'a' + 26);
		else if (c >= '0' && c <= '9')
			v = (uint32_t)(c - '0' + 52);
		else if (c == '+' || c == '-' || c == '/' || c == '_')
			v = c == '+' || c == '-' ? 62 : 63;
		else
			return false;
		bits = bits << 6 | v;
		if (++count % 4 != 1)
			buf_put_u8(out, (uint8_t)(bits >> (6 - 2 * ((count - 1) % 4))));
	}
	return count % 4 != 1 && !out->failed;
}

static bool payload_of(struct cli *cli, const char *token, struct buf *out)
{
	const char *first = strchr(token, '.'), *second = first != NULL ? strchr(first + 1, '.') : NULL;
	if (second == NULL || strchr(second + 1, '.') != NULL)
		return cli_fail(cli, "Token does not look like a JSON web token: %s", token);
	if (!decode_base64((struct str){ first + 1, (size_t)(second - first - 1) }, out))
		return cli_fail(cli, "the token's payload is not base64");
	return true;
}

static bool identity_of(struct cli *cli, const struct native_json *doc, char hex[65])
{
	struct identity computed, claimed;
	struct str issuer = cli_json_member_str(doc, 0, "iss"), subject = cli_json_member_str(doc, 0, "sub");
	uint32_t iat = cli_json_member(doc, 0, "iat");
	const char *missing = issuer.data == NULL ? "iss" : subject.data == NULL ? "sub" :
		iat == 0 || doc->nodes[iat].kind != NATIVE_JSON_NUMBER ? "iat" : NULL;
	if (missing != NULL)
		return cli_fail(cli, "missing field `%s`", missing);
	auth_identity(issuer, subject, &computed);
	identity_to_hex(&computed, hex);
	struct str claim = cli_json_member_str(doc, 0, "hex_identity");
	if (claim.data != NULL && (!identity_from_hex(claim, &claimed) || !identity_eq(&claimed, &computed)))
		return cli_fail(cli, "Identity mismatch: token identity %.*s does not match computed identity %s",
			STR_FMT(claim),
			hex);
	return true;
}

bool cli_token_identity(struct cli *cli, const char *token, char hex[65])
{
	struct buf payload = BUF_INIT(PAYLOAD_BYTES_MAX);
	struct native_json doc = { 0 };
	char why[256];
	bool ok = payload_of(cli, token, &payload);
	if (ok && native_json_parse((const char *)payload.data, payload.len, &doc, why, sizeof(why)) != 0)
		ok = cli_fail(cli, "%s", why);
	ok = ok && identity_of(cli, &doc, hex);
	native_json_free(&doc);
	buf_deinit(&payload);
	return ok;
}

static bool save_token(struct cli *cli, const char *token)
{
	return cli_config_set(cli, cli->config, "spacetimedb_token", token) && cli_config_save(cli, cli->config);
}

/* ---- asking a host for a token ---- */

/* Sends a request whose answer is JSON. The document is the caller's to free. */
static bool ask_json(struct cli *cli, const char *method, const char *url, const char *token, struct native_json *out)
{
	struct cli_reply reply;
	char why[256];
	struct cli_request request = { .method = method, .url = url, .token = token };
	if (!cli_http(cli, &request, &reply))
		return false;
	bool ok = cli_reply_good(&reply) || cli_fail_reply(cli, &reply);
	if (ok && native_json_parse((const char *)reply.body.data, reply.body.len, out, why, sizeof(why)) != 0) {
		cli_fail(cli, "%s", why);
		ok = cli_fail_around(cli, "error decoding response body of %s", url);
	}
	cli_reply_deinit(&reply);
	return ok;
}

static const char *login_direct(struct cli *cli, const char *url)
{
	struct native_json doc = { 0 };
	if (!ask_json(cli, "POST", cli_text(cli, "%s/v1/identity", url), NULL, &doc))
		return NULL;
	struct str token = cli_json_member_str(&doc, 0, "token");
	const char *kept = token.data != NULL ? cli_keep(cli, token) : NULL;
	native_json_free(&doc);
	if (kept == NULL) {
		cli_fail(cli, "the answer of %s holds no token", url);
		return NULL;
	}
	puts("We have logged in directly to your target server.");
	puts("WARNING: This login will NOT work for any other servers.");
	return kept;
}

/* Starts the desktop's browser; whether one appears is its business. */
static void open_browser(const char *url)
{
	pid_t child = fork();
	if (child == 0) {
		execlp("xdg-open", "xdg-open", url, (char *)NULL);
		_exit(127);
	}
	int status = 1;
	if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
		puts("Unable to open your browser! Please open the URL above manually.");
}

/* A member of "data" in {"success":true,"data":{…}}; NULL with the error recorded. */
static const char *data_of(struct cli *cli, const struct native_json *doc, const char *name, const char *what)
{
	uint32_t data = cli_json_member(doc, 0, "data");
	struct str error = cli_json_member_str(doc, 0, "error");
	struct str value = data != 0 ? cli_json_member_str(doc, data, name) : (struct str){ NULL, 0 };
	if (!cli_json_true(doc, cli_json_member(doc, 0, "success")))
		cli_fail(cli, "%s: %.*s", what, error.data != NULL ? (int)error.len : 13, error.data != NULL ? error.data :
			"Unknown error");
	else if (value.data == NULL)
		cli_fail(cli, "%s: the answer lacks `%s`", what, name);
	else
		return cli_keep(cli, value);
	return NULL;
}

static const char *wait_for_approval(struct cli *cli, const char *host, const char *request)
{
	const char *url = cli_text(cli, "%s/api/auth/cli/status?token=%s", host, cli_percent(cli, request));
	puts("Waiting to hear response from the server...");
	fflush(stdout);
	for (int i = 0; i < APPROVAL_POLLS_MAX; i++) {
		struct native_json doc = { 0 };
		sleep(POLL_SECONDS);
		if (!ask_json(cli, "GET", url, NULL, &doc))
			return NULL;
		uint32_t data = cli_json_member(&doc, 0, "data");
		bool success = cli_json_true(&doc, cli_json_member(&doc, 0, "success"));
		bool pending = success && data != 0 && !cli_json_true(&doc, cli_json_member(&doc, data, "approved"));
		const char *session = pending ? NULL : data_of(cli, &doc, "sessionToken", "Failed to log in");
		native_json_free(&doc);
		if (session != NULL)
			puts("Login successful!");
		if (!pending)
			return session;
	}
	cli_fail(cli, "Failed to log in: nobody approved in time");
	return NULL;
}

static const char *web_session(struct cli *cli, const char *host, bool browser)
{
	struct native_json doc = { 0 };
	if (cli->config->web_token != NULL)
		return cli->config->web_token;
	if (!ask_json(cli, "POST", cli_text(cli, "%s/api/auth/cli/login/request-token", host), NULL, &doc))
		return NULL;
	const char *request = data_of(cli, &doc, "token", "Failed to request token");
	native_json_free(&doc);
	if (request == NULL)
		return NULL;
	const char *url = cli_text(cli, "%s/login/cli?token=%s", host, cli_percent(cli, request));
	if (browser) {
		printf("Opening %s in your browser.\n", url);
		fflush(stdout);
		open_browser(url);
	} else {
		printf("Open %s in your browser to finish logging in.\n", url);
	}
	const char *session = wait_for_approval(cli, host, request);
	if (session == NULL || !cli_config_set(cli, cli->config, "web_session_token", session)
		|| !cli_config_save(cli, cli->config))
		return NULL;
	return session;
}

static const char *login_web(struct cli *cli, const char *host, bool browser)
{
	struct native_json doc = { 0 };
	const char *session = web_session(cli, host, browser);
	if (session == NULL || !ask_json(cli, "POST", cli_text(cli, "%s/api/spacetimedb-token", host), session, &doc))
		return NULL;
	const char *token = data_of(cli, &doc, "token", "Failed to get token");
	native_json_free(&doc);
	return token;
}

/* Saves what a login gave; NULL when it gave nothing. */
static const char *keep_login(struct cli *cli, const char *token)
{
	char hex[65];
	if (token == NULL || !save_token(cli, token) || !cli_token_identity(cli, token, hex))
		return NULL;
	printf("Logged in with identity %s\n", hex);
	return token;
}

const char *cli_token_or_login(struct cli *cli, const char *server, bool ask)
{
	if (cli->config->token != NULL)
		return cli->config->token;
	if (ask && cli_confirm(false, "You are not logged in. Would you like to log in with spacetimedb.com?"))
		return keep_login(cli, login_web(cli, AUTH_HOST, true));
	const char *url = cli_config_url(cli, cli->config, server);
	return url != NULL ? keep_login(cli, login_direct(cli, url)) : NULL;
}

/* ---- commands ---- */

static const char *trim_slash(struct cli *cli, const char *url)
{
	size_t len = strlen(url);
	while (len > 0 && url[len - 1] == '/')
		len--;
	return cli_keep(cli, (struct str){ url, len });
}

/* The session at the auth host ends as far as that works; the tokens go in any case. */
static bool log_out(struct cli *cli, const char *host)
{
	char hex[65];
	const char *web = cli->config->web_token, *why = "No web session token";
	bool known = cli->config->token != NULL && cli_token_identity(cli, cli->config->token, hex);
	if (web != NULL) {
		struct cli_reply reply = { 0 };
		struct cli_request request = { .method = "POST", .url = cli_text(cli, "%s/auth/cli/logout", host), .token = web,
			.timeout_s = LOGOUT_SECONDS };
		why = cli_http(cli, &request, &reply) ? NULL : "the server could not be reached";
		cli_reply_deinit(&reply);
	}
	if (why != NULL)
		fprintf(stderr, "Warning: Failed to logout from auth server: %s\nLocal credentials have been cleared.\n", why);
	if (!cli_config_set(cli, cli->config, "web_session_token", NULL)
		|| !cli_config_set(cli, cli->config, "spacetimedb_token", NULL) || !cli_config_save(cli, cli->config))
		return false;
	if (known)
		printf("Logged out (identity %s).\n", hex);
	else
		puts("Logged out.");
	return true;
}

static bool run_login(struct cli *cli, const struct cli_args *args)
{
	const char *token = cli_args_text(args, "token"), *server = cli_args_text(args, "server-issued-login");
	const char *host = trim_slash(cli, cli_args_text(args, "auth-host")), *url = NULL;
	char hex[65];
	if (server != NULL && (url = cli_config_url(cli, cli->config, server)) == NULL)
		return false;
	if (cli->config->token != NULL && !log_out(cli, host))
		return false;
	if (token != NULL) {
		if (!save_token(cli, token))
			return false;
		if (cli_token_identity(cli, token, hex))
			printf("Logged in with identity %s\n", hex);
		else
			puts("Token saved.");
		return true;
	}
	return keep_login(cli, url != NULL ? login_direct(cli, url) :
		login_web(cli, host, !cli_args_flag(args, "no-browser"))) != NULL;
}

static bool run_show(struct cli *cli, const struct cli_args *args)
{
	char hex[65];
	const char *token = cli->config->token;
	if (token == NULL) {
		printf("You are not logged in. Run `%s login` to log in.\n", cli->program);
		return true;
	}
	if (!cli_token_identity(cli, token, hex))
		return false;
	printf("You are logged in as %s\n", hex);
	if (cli_args_flag(args, "token"))
		printf("Your auth token (don't share this!) is %s\n", token);
	return true;
}

static bool run_logout(struct cli *cli, const struct cli_args *args)
{
	if (cli->config->token == NULL && cli->config->web_token == NULL) {
		puts("You are not logged in.");
		return true;
	}
	return log_out(cli, trim_slash(cli, cli_args_text(args, "auth-host")));
}

static const struct cli_command command_show = {
	.name = "show",
	.summary = "Show as whom you are logged in",
	.options = (const struct cli_option[]){
		{ .name = "token", .help = "Show the token as well: whoever has it is you" }, { 0 } },
	.examples = "login show\nlogin show --token",
	.run = run_show,
};
const struct cli_command cli_command_login = {
	.name = "login",
	.summary = "Log in, and save the token for all later commands",
	.details = "Without options a browser is opened to log in with spacetimedb.com. Whoever is logged in is\n"
		"logged out first. Commands that need a token and find none log in at their server directly.",
	.options = (const struct cli_option[]){
		{ .name = "auth-host", .value = "URL", .preset = AUTH_HOST, .conflicts = "token server-issued-login",
			.help = "The host that logs you in" },
		{ .name = "server-issued-login", .value = "SERVER", .conflicts = "token", .hidden = true,
			.help = "Get an identity from this server itself" },
		{ .name = "token", .value = "TOKEN", .help = "Save this token; nothing is asked of any host" },
		{ .name = "no-browser", .help = "Print the address instead of opening a browser" },
		{ 0 } },
	.commands = (const struct cli_command *const[]){ &command_show, NULL },
	.examples = "login\nlogin --server-issued-login local\nlogin --token eyJ0eXAi…\nlogin show",
	.run = run_login,
};
const struct cli_command cli_command_logout = {
	.name = "logout",
	.summary = "Forget the saved token",
	.options = (const struct cli_option[]){
		{ .name = "auth-host", .value = "URL", .preset = AUTH_HOST, .help = "The host that logged you in" }, { 0 } },
	.examples = "logout",
	.run = run_logout,
};
