/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program: one table of commands. Reads what stands before the command, finds it, lets the table read its
 * arguments, runs it, and prints what failed.
 */
#include "cli/args.h"
#include "cli/config.h"
#include "cli/http.h"
#include "host/host.h"
#include "host/version.h"

#include <stdio.h>

enum { START_ARGS_ADDED = 6 };

static int run_version(struct cli *cli, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (strcmp(cli->program, "spacetime") == 0) /* standing in for the field's tool */
		printf("spacetime %s\n", COMPATIBLE_VERSION);
	else
		printf("worldline %s (compatible with SpacetimeDB %s)\n", WORLDLINE_VERSION, COMPATIBLE_VERSION);
	return CLI_DONE;
}

/*
 * Where data and keys are unless the arguments say otherwise: the later of two flags wins. A service may have no home,
 * and no host makes a cli.toml.
 */
static int run_start(struct cli *cli, int argc, char **argv)
{
	char **all = cli_alloc(cli, ((size_t)argc + START_ARGS_ADDED + 1) * sizeof(*all));
	struct cli_config config = { 0 };
	int count = 0;
	if (cli->config_path != NULL && !cli_config_load(cli, false, &config)) {
		cli_config_deinit(&config);
		return CLI_FAILED;
	}
	const char *const added[START_ARGS_ADDED] = { "--data-dir", cli->data_dir, "--jwt-key-dir", cli->config_dir,
		"--listen-addr", config.listen_addr };
	for (int i = 0; i < START_ARGS_ADDED; i += 2) {
		if (added[i + 1] == NULL)
			continue;
		all[count++] = cli_text(cli, "%s", added[i]);
		all[count++] = cli_text(cli, "%s", added[i + 1]);
	}
	memcpy(all + count, argv, (size_t)argc * sizeof(*argv));
	cli_config_deinit(&config);
	return cli_start(count + argc, all);
}

static const struct cli_command command_start = {
	.name = "start", .summary = "Start a host", .run_raw = run_start };
static const struct cli_command command_version = {
	.name = "version", .summary = "Print the version", .run_raw = run_version };

static const struct cli_command *const commands[] = {
	&command_start, &cli_command_init, &cli_command_build, &cli_command_publish, &cli_command_call, &cli_command_sql,
	&cli_command_subscribe, &cli_command_logs, &cli_command_describe, &cli_command_list, &cli_command_rename,
	&cli_command_lock, &cli_command_unlock, &cli_command_delete, &cli_command_login, &cli_command_logout,
	&cli_command_state_hash, &cli_command_log, &cli_command_backup, &cli_command_server, &command_version, NULL,
};
static const struct cli_command program = {
	.name = "worldline",
	.summary = "Worldline: a database that is also the application server",
	.details = "COMMAND --help says more. Saved servers and your token are in cli.toml ($XDG_CONFIG_HOME/spacetime,\n"
		"or --root-dir/config); the default server of a new file is `local`, http://127.0.0.1:3000.",
	.options = (const struct cli_option[]){
		{ .name = "root-dir", .value = "DIR", .help = "Keep configuration and data below this folder" },
		{ .name = "config-path", .value = "FILE", .help = "The cli.toml to use" },
		{ .name = "version", .letter = 'V', .help = "Print the version" },
		{ 0 } },
	.commands = commands,
	.examples = "start --data-dir ./data\npublish --bin-path module.wasm quickstart\n"
		"call quickstart add Ada\nsql quickstart 'SELECT * FROM person'",
};

static const struct cli_command *find(const struct cli_command *const *list, const char *name)
{
	for (uint32_t i = 0; list != NULL && list[i] != NULL; i++)
		if (strcmp(list[i]->name, name) == 0)
			return list[i];
	return NULL;
}

static int refuse_command(struct cli *cli, const struct cli_command *group, const char *path, const char *name)
{
	fprintf(stderr, "error: unrecognized subcommand '%s'\n\n", name);
	cli_help_print(cli, group, path, true);
	return CLI_USAGE;
}

/* `help COMMAND …` */
static int run_help(struct cli *cli, int argc, char **argv)
{
	const struct cli_command *command = &program;
	const char *path = cli->program;
	for (int i = 0; i < argc; i++) {
		const struct cli_command *below = find(command->commands, argv[i]);
		if (below == NULL)
			return refuse_command(cli, command, path, argv[i]);
		command = below;
		path = cli_text(cli, "%s %s", path, below->name);
	}
	if (command == &command_start)
		return cli_start(1, (char *[]){ "--help", NULL });
	cli_help_print(cli, command, path, false);
	return CLI_DONE;
}

static int run_command(struct cli *cli, const struct cli_command *command, const char *path, int argc, char **argv)
{
	struct cli_args args;
	struct cli_config config = { 0 };
	bool ended;
	const struct cli_command *below = argc > 0 ? find(command->commands, argv[0]) : NULL;
	if (below != NULL) {
		struct cli_command inner = *below;
		inner.unstable = inner.unstable || command->unstable;
		return run_command(cli, &inner, cli_text(cli, "%s %s", path, below->name), argc - 1, argv + 1);
	}
	if (command->run_raw != NULL)
		return command->run_raw(cli, argc, argv);
	if (command->run == NULL && argc > 0 && argv[0][0] != '-')
		return refuse_command(cli, command, path, argv[0]);
	int status = cli_args_parse(cli, command, path, argc, argv, &args, &ended);
	if (ended)
		return status;
	if (command->run == NULL) {
		cli_help_print(cli, command, path, true);
		return CLI_USAGE;
	}
	if (command->local)
		return command->run(cli, &args) ? CLI_DONE : CLI_FAILED;
	if (cli->config_path == NULL)
		return cli_fail(cli, "cannot find your home directory: set HOME, or pass --root-dir"), CLI_FAILED;
	status = CLI_FAILED;
	if (cli_config_load(cli, true, &config)) {
		cli->config = &config;
		if (command->unstable)
			fputs("WARNING: This command is UNSTABLE and subject to breaking changes.\n\n", stderr);
		status = command->run(cli, &args) ? CLI_DONE : CLI_FAILED;
	}
	cli_config_deinit(&config);
	return status;
}

/* What stands before the command. Returns how many words it takes; -1: the program ends with `*status`. */
static int read_globals(struct cli *cli, int argc, char **argv, int *status)
{
	struct cli_args args;
	bool ended;
	int count = 0;
	while (count < argc && argv[count][0] == '-') {
		bool value = (strcmp(argv[count], "--root-dir") == 0 || strcmp(argv[count], "--config-path") == 0)
			&& count + 1 < argc;
		count += value ? 2 : 1;
	}
	*status = cli_args_parse(cli, &program, cli->program, count, argv, &args, &ended);
	if (ended)
		return -1;
	if (cli_args_flag(&args, "version")) {
		*status = run_version(cli, 0, NULL);
		return -1;
	}
	if (count == argc) {
		cli_help_print(cli, &program, cli->program, true);
		*status = CLI_USAGE;
		return -1;
	}
	cli_find_paths(cli, cli_args_text(&args, "root-dir"), cli_args_text(&args, "config-path"));
	return count;
}

static int run_program(struct cli *cli, int argc, char **argv)
{
	int status, count = read_globals(cli, argc, argv, &status);
	if (count < 0)
		return status;
	argc -= count;
	argv += count;
	if (strcmp(argv[0], "help") == 0)
		return run_help(cli, argc - 1, argv + 1);
	const struct cli_command *command = find(commands, argv[0]);
	if (command == NULL)
		return refuse_command(cli, &program, cli->program, argv[0]);
	return run_command(cli, command, cli_text(cli, "%s %s", cli->program, command->name), argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	struct cli cli;
	if (argc == 2 && strcmp(argv[1], RUNTIME_COMPILER_ARGUMENT) == 0) /* a host has started us: see runtime.h */
		return runtime_compiler_main();
	cli_init(&cli, argc > 0 ? argv[0] : NULL);
	int status = run_program(&cli, argc > 0 ? argc - 1 : 0, argv + (argc > 0));
	if (status == CLI_FAILED)
		cli_print_errors(&cli);
	cli_http_close(&cli);
	cli_deinit(&cli);
	return status;
}
