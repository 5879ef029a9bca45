/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H
/*
 * config: cli.toml, the file that the field's own tool keeps, with the same
 * name, place and keys. Edits change only the bytes of the value that
 * changes: comments, order, formatting and unknown keys survive.
 *
 * After every edit the text is read again, so that what the struct shows is
 * what the file will say. Borrowed texts live as long as the program.
 */
#include "cli/cli.h"

struct cli_server {
	const char *nickname; /* NULL: none */
	const char *host, *protocol;
	const char *fingerprint; /* ecdsa_public_key, PEM; NULL: none */
};
struct cli_config {
	const char *path;
	struct buf text;
	const char *default_server, *token, *web_token, *listen_addr; /* NULL: absent */
	struct cli_server *servers;
	uint32_t server_count;
};
/* Reads cli->config_path. A missing file is made, with `local` as the default server; or is as an empty one. */
bool cli_config_load(struct cli *cli, bool make, struct cli_config *out);
/* From a text; for tests, and after edits. */
bool cli_config_parse(struct cli *cli, struct cli_config *config);
bool cli_config_save(struct cli *cli, struct cli_config *config);
void cli_config_deinit(struct cli_config *config);

/* Sets a key of the file's head, or of a server; a NULL value removes it. */
bool cli_config_set(struct cli *cli, struct cli_config *config, const char *key, const char *value);
bool cli_config_set_server(struct cli *cli, struct cli_config *config, uint32_t index, const char *key,
	const char *value);
bool cli_config_add_server(struct cli *cli, struct cli_config *config, const struct cli_server *server);
bool cli_config_remove_server(struct cli *cli, struct cli_config *config, uint32_t index);

/* The server of this nickname or host; UINT32_MAX: none. `find` then records the error. */
uint32_t cli_config_index(const struct cli_config *config, const char *name);
uint32_t cli_config_find(struct cli *cli, const struct cli_config *config, const char *name);
bool cli_server_is(const struct cli_server *server, const char *name_host_or_url);
/* "http://127.0.0.1:3000" for a nickname, a host, a URL, or NULL (the default server); NULL with the error recorded. */
const char *cli_config_url(struct cli *cli, const struct cli_config *config, const char *server);
/* Splits a URL. False, with the error recorded, when it is none or its protocol is not http or https. */
bool cli_url_split(struct cli *cli, const char *url, const char **protocol, const char **host);
#endif
