/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H
/*
 * target: which database on which server as whom. Turns the words of a
 * command, cli.toml and spacetime.json into a URL, a token and an identity.
 */
#include "cli/args.h"
#include "cli/http.h"

/* What the positional words mean, after spacetime.json. */
struct cli_words {
	const char *database, *server; /* server: from spacetime.json, NULL without */
	char **rest;
	uint32_t rest_count;
};
/* [DATABASE] alone. `usage` follows the program's name: "logs [database] [--no-config]". */
bool cli_words_database(struct cli *cli, const struct cli_args *args, const char *usage, struct cli_words *out);
/* [DATABASE] <required> …; `required` is the name of the first word behind it. */
bool cli_words_required(struct cli *cli, const struct cli_args *args, const char *required, const char *usage,
	struct cli_words *out);
/* [DATABASE] [optional] … */
bool cli_words_optional(struct cli *cli, const struct cli_args *args, const char *usage, struct cli_words *out);

struct cli_target {
	const char *server;   /* as named; NULL: the default one */
	const char *url;      /* "http://127.0.0.1:3000" */
	const char *token;    /* NULL: anonymous */
	const char *database; /* as named */
	char identity[65];
};
/* Server and token; logs in at the server when there is no token. `ask`: may ask how. */
bool cli_target_server(struct cli *cli, const char *server, bool anonymous, bool ask, struct cli_target *out);
/* The identity of out->database. */
bool cli_target_identity(struct cli *cli, struct cli_target *target);
/* Both, from the options --server, --yes, --anonymous (those that the command has). */
bool cli_target_open(struct cli *cli, const struct cli_args *args, const struct cli_words *words,
	struct cli_target *out);
/* "URL/v1/database/IDENTITY/what" */
const char *cli_target_url(struct cli *cli, const struct cli_target *target, const char *what);

/* ---- login.c ---- */
/* The token of cli.toml, or a fresh one. NULL with the error recorded. */
const char *cli_token_or_login(struct cli *cli, const char *server, bool ask);
bool cli_token_identity(struct cli *cli, const char *token, char hex[65]);
#endif
