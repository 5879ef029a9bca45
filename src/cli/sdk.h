/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SDK_H
#define CLI_SDK_H
/* Modules in C: the SDK that the program carries, and building with it. */
#include "cli/cli.h"

struct cli_sdk_file {
	const char *name; /* NULL: the end */
	const char *data, *end;
};
extern const struct cli_sdk_file cli_sdk_files[];

/* Does this folder have the sources of a module in C or C++: a module.c or module.cpp, here or in src? */
bool cli_is_c_module(struct cli *cli, const char *dir);
/* Compiles it; the path of the module goes to `out`, until the program ends. */
bool cli_build_c(struct cli *cli, const char *dir, bool debug, const char **out);
#endif
