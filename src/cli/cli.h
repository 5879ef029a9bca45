/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_H
#define CLI_H
/*
 * cli: the command line. A command is one line of the table in main.c and one
 * function; it gets the arguments behind its name and returns the exit status
 * (0 done, 1 failed, 2 bad usage).
 */
struct cli_command {
	const char *name, *summary;
	int (*run)(int argc, char **argv);
};
int cli_start(int argc, char **argv);
int cli_version(int argc, char **argv);
#endif
