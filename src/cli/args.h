/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H
/*
 * args: the words behind a command, read by its table (struct cli_command),
 * and the help that the same table yields. Options may surround positionals;
 * "--" ends options; "--name=value", "--name value", "-n value", "-nvalue"
 * and clusters of flags ("-yf") all work; a word like "-5" is a positional.
 * Texts of refusals are the field's.
 */
#include "cli/cli.h"

enum { CLI_OPTIONS_MAX = 32 };

struct cli_args {
	const struct cli_command *command;
	const char *path; /* "worldline server add" */
	const char *values[CLI_OPTIONS_MAX]; /* by position in the table; NULL: absent */
	char **words;
	uint32_t word_count;
};
/* CLI_DONE: run it. Otherwise the program ends with this status: help was printed (`*ended`), or a refusal. */
int cli_args_parse(struct cli *cli, const struct cli_command *command, const char *path, int argc, char **argv,
	struct cli_args *out, bool *ended);
void cli_help_print(struct cli *cli, const struct cli_command *command, const char *path, bool to_stderr);

/* The name must be in the table. */
const char *cli_args_text(const struct cli_args *args, const char *name);
bool cli_args_flag(const struct cli_args *args, const char *name);
uint64_t cli_args_number(const struct cli_args *args, const char *name); /* of an option that is present */
/* Whether a comma list (struct cli_option.list) holds the item. */
bool cli_args_has(const struct cli_args *args, const char *name, const char *item);

/* Options that many commands share. */
#define CLI_OPTION_SERVER(what) \
	{ .name = "server", .letter = 's', .value = "SERVER", .help = what " [default: the default server of cli.toml]" }
#define CLI_OPTION_YES \
	{ .name = "yes", .letter = 'y', \
		.help = "Ask nothing; most questions are then answered with yes, but whether to log in with a browser with no" }
#define CLI_OPTION_ANONYMOUS \
	{ .name = "anonymous", .help = "Send no token: the host gives this request an identity of its own" }
#define CLI_OPTION_NO_CONFIG { .name = "no-config", .help = "Ignore spacetime.json" }
#define CLI_OPTION_CONFIRMED \
	{ .name = "confirmed", .value = "BOOL", .choices = cli_choices_bool, \
		.help = "Whether the host shall wait until what it answers is durable" }
extern const char *const cli_choices_bool[], *const cli_choices_format[];
#endif
