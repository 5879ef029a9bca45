/* SPDX-License-Identifier: Apache-2.0 */
/* cli.toml: what is read, what an edit touches, what is refused; and spacetime.json's JSON5. */
#include "cli/config.h"
#include "cli/project.h"
#include "unit/run_suite.h"

#include <stdlib.h>

static struct cli cli;
static struct cli_config config;

static void setup(void)
{
	cli_init(&cli, "worldline");
	config = (struct cli_config){ .path = "cli.toml" };
}

static void teardown(void)
{
	cli_config_deinit(&config);
	cli_deinit(&cli);
}

static bool parse(const char *text)
{
	cli_config_deinit(&config);
	config.text = BUF_INIT(CLI_CONFIG_BYTES_MAX);
	buf_put_cstr(&config.text, text);
	return cli_config_parse(&cli, &config);
}

static const char *text(void)
{
	return buf_text(&config.text);
}

static const char *error(void)
{
	return cli.error_count > 0 ? buf_text(&cli.errors[0]) : "";
}

/* Goal: every key of the field's file is read, in any of TOML's spellings, and nothing else is taken for one. */
START_TEST(reads_what_the_field_writes)
{
	ck_assert(parse("# c\n\"default_server\" = 'lo\\cal' # c\nlisten_addr=\"0.0.0.0:4000\"\n"
		"spacetimedb_token = \"a\\\"b\\u00e9\\n\"\nweb_session_token = \"\"\"\nx\\\n   y\"\"\"\"\n"
		"when = 2024-01-01T00:00:00Z\nlist = [ \"]\", [1, # ]\n 2], { a = \"}\" } ]\n"
		"[[server_configs]]\nhost = \"h:1\"\nprotocol = \"http\"\n[server_configs.extra]\nhost = \"no\"\n"
		"[other]\ndefault_server = \"no\"\n[[ server_configs ]]\r\n"
		"nickname = \"n\"\r\nhost = \"h:2\"\r\nprotocol = \"https\"\r\necdsa_public_key = '''\nA\nB'''\r\n"));
	ck_assert_str_eq(config.default_server, "lo\\cal");
	ck_assert_str_eq(config.listen_addr, "0.0.0.0:4000");
	ck_assert_str_eq(config.token, "a\"b\xc3\xa9\n");
	ck_assert_str_eq(config.web_token, "xy\"");
	ck_assert_uint_eq(config.server_count, 2);
	ck_assert_ptr_null(config.servers[0].nickname);
	ck_assert_str_eq(config.servers[0].host, "h:1");
	ck_assert_str_eq(config.servers[1].nickname, "n");
	ck_assert_str_eq(config.servers[1].protocol, "https");
	ck_assert_str_eq(config.servers[1].fingerprint, "A\nB");
	ck_assert(parse(""));
	ck_assert_uint_eq(config.server_count, 0);
}
END_TEST

/* Goal: what is no TOML, or of a wrong type, is refused with the place. */
START_TEST(refuses_what_is_wrong)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "a = 1\nb\n", "TOML parse error at line 2: expected `=` behind a key" },
		{ "a = \n", "TOML parse error at line 1: a value is missing" },
		{ "a = [1\n", "TOML parse error at line 2: unbalanced brackets" },
		{ "a = 1]\n", "TOML parse error at line 1: unbalanced brackets" },
		{ "a = \"x\n\"", "TOML parse error at line 1: unterminated string" },
		{ "a = \"\"\"x\n", "TOML parse error at line 2: unterminated string" },
		{ "a = \"\\q\"\n", "TOML parse error at line 1: bad escape" },
		{ "a = \"\\ud800\"\n", "TOML parse error at line 1: bad unicode escape" },
		{ "a = \"\\u12", "TOML parse error at line 1: bad unicode escape" },
		{ "a = \"x\" y\n", "TOML parse error at line 1: unexpected characters at the end of the line" },
		{ "[a\n", "TOML parse error at line 1: unterminated header" },
		{ "[[a]\n", "TOML parse error at line 1: unterminated header" },
		{ "\n\n= 1\n", "TOML parse error at line 3: invalid key" },
		{ "default_server = \"a\"\ndefault_server = \"b\"\n",
			"TOML parse error at line 2: duplicate key `default_server`" },
		{ "\xff", "the file is not UTF-8" },
		{ "listen_addr = 1.5\n", "Config error: The option `listen_addr` is not a `string`, found: `float: 1.5`" },
		{ "[server_configs]\n",
			"Config error: The option `server_configs` is not a `table array`, found: `table`" },
		{ "[[server_configs]]\nhost = \"h\"\n", "Config error: The option `protocol` not found" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		ck_assert_msg(!parse(cases[i].text), "%s", cases[i].text);
		ck_assert_str_eq(error(), cases[i].error);
	}
}
END_TEST

/* Goal: setting a key changes its value only; a new key goes to the end of its part, whatever is behind it. */
START_TEST(edits_touch_one_value)
{
	ck_assert(parse("# head\na = 1 # one\ndefault_server = 'x' # d\n\n[[server_configs]]\nhost=\"h\"\n"
		"protocol=\"http\"\n# tail\n"));
	ck_assert(cli_config_set(&cli, &config, "default_server", "y\"\\\n"));
	ck_assert_str_eq(text(), "# head\na = 1 # one\ndefault_server = \"\"\"\ny\\\"\\\\\n\"\"\" # d\n\n"
		"[[server_configs]]\nhost=\"h\"\nprotocol=\"http\"\n# tail\n");
	ck_assert_str_eq(config.default_server, "y\"\\\n");
	ck_assert(cli_config_set(&cli, &config, "default_server", NULL));
	ck_assert(cli_config_set(&cli, &config, "spacetimedb_token", "t\x01"));
	ck_assert(cli_config_set_server(&cli, &config, 0, "nickname", "n"));
	ck_assert_str_eq(text(), "# head\na = 1 # one\nspacetimedb_token = \"t\\u0001\"\n\n[[server_configs]]\nhost=\"h\"\n"
		"protocol=\"http\"\nnickname = \"n\"\n# tail\n");
	ck_assert(cli_config_set(&cli, &config, "web_session_token", NULL)); /* absent already */
}
END_TEST

/* Goal: a first key works in files that are empty, that begin with a table, and that lack the last newline. */
START_TEST(first_keys)
{
	ck_assert(parse(""));
	ck_assert(cli_config_set(&cli, &config, "default_server", "x"));
	ck_assert_str_eq(text(), "default_server = \"x\"\n");
	ck_assert(parse("[t]\na = 1"));
	ck_assert(cli_config_set(&cli, &config, "default_server", "x"));
	ck_assert_str_eq(text(), "default_server = \"x\"\n\n[t]\na = 1");
	ck_assert(parse("a = 1"));
	ck_assert(cli_config_set(&cli, &config, "default_server", "x"));
	ck_assert_str_eq(text(), "a = 1\ndefault_server = \"x\"\n");
}
END_TEST

/* Goal: servers come behind the last line and go with all their lines, and with nothing else. */
START_TEST(servers_come_and_go)
{
	struct cli_server server = { "n", "h:1", "http", NULL };
	ck_assert(parse("a = 1"));
	ck_assert(cli_config_add_server(&cli, &config, &server));
	ck_assert_str_eq(text(), "a = 1\n\n[[server_configs]]\nnickname = \"n\"\nhost = \"h:1\"\nprotocol = \"http\"\n");
	server = (struct cli_server){ NULL, "h:2", "https", "A\nB\n" };
	ck_assert(cli_config_add_server(&cli, &config, &server));
	ck_assert_uint_eq(config.server_count, 2);
	ck_assert_str_eq(config.servers[1].fingerprint, "A\nB\n");
	ck_assert(cli_config_remove_server(&cli, &config, 0));
	ck_assert_str_eq(text(), "a = 1\n\n[[server_configs]]\nhost = \"h:2\"\nprotocol = \"https\"\n"
		"ecdsa_public_key = \"\"\"\nA\nB\n\"\"\"\n");
	ck_assert(cli_config_remove_server(&cli, &config, 0));
	ck_assert_str_eq(text(), "a = 1\n\n");
}
END_TEST

/* Goal: a server is found by nickname or host, a URL is taken as it is, other protocols are refused. */
START_TEST(finds_servers)
{
	ck_assert(parse("default_server = \"n\"\n[[server_configs]]\nnickname = \"n\"\nhost = \"h:1\"\n"
		"protocol = \"http\"\n[[server_configs]]\nnickname = \"odd\"\nhost = \"h:2\"\nprotocol = \"gopher\"\n"));
	ck_assert_str_eq(cli_config_url(&cli, &config, NULL), "http://h:1");
	ck_assert_str_eq(cli_config_url(&cli, &config, "h:1"), "http://h:1");
	ck_assert_str_eq(cli_config_url(&cli, &config, "https://else/"), "https://else/");
	ck_assert_ptr_null(cli_config_url(&cli, &config, "ftp://h:1"));
	ck_assert_str_eq(error(), "Invalid protocol: ftp");
	ck_assert_ptr_null(cli_config_url(&cli, &config, "odd"));
	ck_assert_str_eq(error(), "Invalid protocol: gopher");
	ck_assert_ptr_null(cli_config_url(&cli, &config, "gone"));
	ck_assert(cli_server_is(&config.servers[0], "http://h:1"));
	ck_assert(!cli_server_is(&config.servers[0], "http://h:2"));
}
END_TEST

/* Goal: the liberties of JSON5 that people take become JSON. */
START_TEST(json5)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{ "{a: 'x', /* c */ \"b-c\": [1, 2,], // d\n}", "{\"a\":\"x\",\"b-c\":[1,2]}" },
		{ "{'it\\'s': \"a//b\", $_x: -1.5e3, y: true}", "{\"it's\":\"a//b\",\"$_x\":-1.5e3,\"y\":true}" },
		{ "'say \"x\"'", "\"say \\\"x\\\"\"" }, { "'a\\\nb\\n'", "\"ab\\n\"" }, { "", "" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct buf out = BUF_INIT(4096);
		ck_assert(cli_json5_to_json(&cli, str_of(cases[i].from), &out));
		ck_assert_str_eq(buf_text(&out), cases[i].to);
		buf_deinit(&out);
	}
	static const char *const wrong[] = { "'a", "\"a\nb\"", "/* a", "'a\\" };
	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
		struct buf out = BUF_INIT(4096);
		ck_assert_msg(!cli_json5_to_json(&cli, str_of(wrong[i]), &out), "%s", wrong[i]);
		buf_deinit(&out);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli_config");
	TCase *tests = tcase_create("all");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, reads_what_the_field_writes);
	tcase_add_test(tests, refuses_what_is_wrong);
	tcase_add_test(tests, edits_touch_one_value);
	tcase_add_test(tests, first_keys);
	tcase_add_test(tests, servers_come_and_go);
	tcase_add_test(tests, finds_servers);
	tcase_add_test(tests, json5);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
