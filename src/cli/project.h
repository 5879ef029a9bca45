/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PROJECT_H
#define CLI_PROJECT_H
/*
 * project: spacetime.json and the files laid over it, found from a folder
 * upwards. What commands see is a flat list of databases, each with the
 * settings that it has or inherits. Keys compare with '-' and '_' alike.
 */
#include "cli/http.h"

struct cli_setting {
	struct str key;
	const struct native_json *doc;
	uint32_t node;
	const struct cli_setting *under; /* `env` alone: what other layers and parents say; per variable the first counts */
};
struct cli_project_target {
	struct cli_setting *settings;
	uint32_t count;
};
struct cli_project {
	const char *dir;
	const char *files[4];
	uint32_t file_count; /* 0: there is no spacetime.json */
	struct cli_project_target *targets;
	uint32_t target_count;
	struct native_json documents[4];
};
/* `env` (may be NULL) adds spacetime.ENV.json and spacetime.ENV.local.json. From the current folder upwards. */
bool cli_project_load(struct cli *cli, const char *env, struct cli_project *out);
void cli_project_deinit(struct cli_project *project); /* also after a failed load */
const struct cli_setting *cli_project_setting(const struct cli_project_target *target, const char *key);
/* A string setting; NULL when absent or no string. */
const char *cli_project_text(struct cli *cli, const struct cli_project_target *target, const char *key);
bool cli_project_flag(const struct cli_project_target *target, const char *key);

/* JSON5 (comments, trailing commas, single quotes, bare keys) as JSON. For tests too. */
bool cli_json5_to_json(struct cli *cli, struct str text, struct buf *out);
#endif
