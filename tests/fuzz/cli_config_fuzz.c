/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as cli.toml: what is accepted stays so through every edit, and the edit is what is read afterwards. */
#include "cli/config.h"

#include <stddef.h>

static bool same(const char *found, const char *wanted)
{
	return found != NULL && strcmp(found, wanted) == 0;
}

static void edit(struct cli *cli, struct cli_config *config)
{
	static const char value[] = "a\"b\\c\nd\x01\xc3\xa9";
	struct cli_server server = { "nick", "host:1", "http", "-----\nKEY\n" };
	uint32_t servers = config->server_count;
	ASSERT(cli_config_set(cli, config, "spacetimedb_token", value));
	ASSERT(same(config->token, value) && config->server_count == servers);
	if (servers > 0) {
		ASSERT(cli_config_set_server(cli, config, servers - 1, "nickname", value));
		ASSERT(same(config->servers[servers - 1].nickname, value));
	}
	ASSERT(cli_config_add_server(cli, config, &server));
	ASSERT(config->server_count == servers + 1 && same(config->servers[servers].fingerprint, server.fingerprint));
	ASSERT(cli_config_remove_server(cli, config, 0));
	ASSERT(config->server_count == servers && same(config->token, value));
	ASSERT(cli_config_set(cli, config, "spacetimedb_token", NULL));
	ASSERT(config->token == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cli cli;
	struct cli_config config = { .text = BUF_INIT(CLI_CONFIG_BYTES_MAX) };
	if (size > 64 << 10)
		return -1;
	cli_init(&cli, NULL);
	buf_put(&config.text, data, size);
	if (cli_config_parse(&cli, &config))
		edit(&cli, &config);
	cli_config_deinit(&config);
	cli_deinit(&cli);
	return 0;
}
