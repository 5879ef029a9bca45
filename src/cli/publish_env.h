/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PUBLISH_ENV_H
#define CLI_PUBLISH_ENV_H
/*
 * publish_env: the environment that `publish` sends. Values come from `env` in spacetime.json and the files over it;
 * variables of the shell that the module declares win over them. Names are shown, values never.
 */
#include "cli/project.h"

struct cli_variable {
	const char *name;
	struct str value;
	bool is_shell;
};
struct cli_environment {
	struct cli_variable *values;
	uint32_t count;
	const char *removed; /* of the header; NULL: nothing */
};
/* `project` may be NULL. `unset`: a comma list, whose names are not sent. */
bool cli_environment_read(struct cli *cli, const struct cli_project_target *project, const char *unset, bool replaces,
	struct cli_environment *out);
/* Takes the shell's value of a name that the module declares, if there is one. False: it is not UTF-8. */
bool cli_environment_declare(struct cli *cli, struct str name, struct cli_environment *environment);
void cli_environment_show(const struct cli_environment *environment);
/* Header lines of a publish, ended by NULL. */
const char *const *cli_environment_headers(struct cli *cli, const struct cli_environment *environment);
/* --env-only: the values of the running module change, and nothing else. */
bool cli_environment_publish(struct cli *cli, const char *url, const char *token, bool replaces,
	struct cli_environment *environment);
/* What GET …/environment says is declared; a database that is not there declares nothing. */
bool cli_environment_declared(struct cli *cli, const char *url, const char *token, struct cli_environment *environment);
/* Of the error in a refusal; NULL: it is not about the environment. */
const char *cli_environment_error(struct cli *cli, const struct native_json *doc, uint32_t error);
#endif
