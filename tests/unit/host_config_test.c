/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: configuration files are read as written, mistakes are named with their line, and the data folder belongs to one
 * host at a time and to versions that can read it. Method: texts in, entries or errors out; folders below /tmp. */
#include "host/config.h"
#include "host/datadir.h"
#include "host/host.h"
#include "host/toml.h"
#include "unit/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct toml toml;
static struct error error;

static const char *parse(const char *text)
{
	error = (struct error){ 0 };
	return toml_parse(str_of(text), &toml, &error) == WL_OK ? NULL : error.text;
}

static const struct toml_entry *get(const char *section, const char *key)
{
	const struct toml_entry *entry = toml_find(&toml, section, key);
	ck_assert_msg(entry != NULL, "no [%s] %s", section, key);
	return entry;
}

START_TEST(toml_values_of_every_kind)
{
	ck_assert_ptr_null(parse(
		"# comment\n"
		"top = 1\n"
		"[a.b] # more\n"
		"text = \"x\\ty\\u00e9\\\\\" # tail\n"
		"raw = 'C:\\new'\r\n"
		"\"quoted key\" = -12_000\n"
		"yes = true\n"
		"no=false\n"
		"ratio = 0.67\n"
		"list = [\n  \"one\", # first\n  'two',\n]\n"
		"none = []\n"
		"[other]\ntext = \"\""));
	ck_assert_int_eq(get("", "top")->integer, 1);
	ck_assert_str_eq(arena_str(&toml.arena, get("a.b", "text")->text).data, "x\ty\xc3\xa9\\");
	ck_assert_str_eq(arena_str(&toml.arena, get("a.b", "raw")->text).data, "C:\\new");
	ck_assert_int_eq(get("a.b", "quoted key")->integer, -12000);
	ck_assert_int_eq(get("a.b", "yes")->integer, 1);
	ck_assert_int_eq(get("a.b", "no")->integer, 0);
	ck_assert_int_eq(get("a.b", "no")->kind, TOML_BOOLEAN);
	ck_assert_int_eq(get("a.b", "ratio")->kind, TOML_NUMBER);
	ck_assert_uint_eq(get("a.b", "list")->item_count, 2);
	ck_assert(str_eq(get("a.b", "list")->items[1], STR("two")));
	ck_assert_uint_eq(get("a.b", "none")->item_count, 0);
	ck_assert_uint_eq(get("other", "text")->text.len, 0);
	ck_assert_ptr_null(toml_find(&toml, "other", "yes"));
	toml_deinit(&toml);
}
END_TEST

START_TEST(toml_mistakes_name_their_line)
{
	static const struct { const char *text, *says; } cases[] = {
		{ "a = 1\nb = \n", "line 2: a value is expected" },
		{ "a = \"x\n", "line 1: the string does not end" },
		{ "a 1", "line 1: '=' is expected behind the key" },
		{ "= 1", "line 1: a key is expected" },
		{ "a = 1 2", "line 1: unexpected character '2' behind the value" },
		{ "a = 1\na = 2", "line 2: duplicate key `a`" },
		{ "[x\n", "line 1: a section is written [name]" },
		{ "[[x]]\n", "line 1: arrays of tables are not supported" },
		{ "a = { b = 1 }", "line 1: inline tables are not supported" },
		{ "a = [1]", "line 1: only arrays of strings are supported" },
		{ "a = [\n\"x\"\n\"y\"]", "line 3: ',' or ']' is expected in an array" },
		{ "a = [\n\"x\",\n", "line 3: the array does not end" },
		{ "a = \"\"\"x\"\"\"", "line 1: multi-line strings are not supported" },
		{ "a = \"\\q\"", "line 1: invalid escape in a string" },
		{ "a = \"\\ud800\"", "line 1: invalid character number in a string" },
		{ "a = 99999999999999999999", "line 1: the number is out of range" },
		{ "a = 1979-05-27", "line 1: a value is expected" },
		{ "a.b = 1", "line 1: dotted keys are not supported" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		const char *says = parse(cases[i].text);
		ck_assert_msg(says != NULL, "accepted: %s", cases[i].text);
		ck_assert_str_eq(says, cases[i].says);
	}
}
END_TEST

START_TEST(config_keys_are_read_and_checked)
{
	struct config config;
	error = (struct error){ 0 };
	ck_assert_int_eq(config_parse(STR(""), "c", &config, &error), WL_OK);
	ck_assert_uint_eq(config.ping_interval_ms, 15000);
	ck_assert_uint_eq(config.incoming_queue_length, 16384);
	ck_assert(config.oidc_enabled && !config.oidc_private_addresses);
	config_deinit(&config);
	ck_assert_int_eq(config_parse(STR("unknown = 1\n[websocket]\nidle-timeout = \"1m 30s\"\n[logs]\nlevel = \"Debug\"\n"
		"directives = [\"x=y\"]\n[limits]\nreducer-ms = 0\nguest-memory-mb = 64\n"
		"subscriptions-per-connection = 7\n"), "c", &config, &error), WL_OK);
	ck_assert_uint_eq(config.subscriptions_per_connection, 7);
	ck_assert_uint_eq(config.queries_per_connection, 65536);
	ck_assert_uint_eq(config.idle_timeout_ms, 90000);
	ck_assert_int_eq(config.log_level, LOG_DEBUG);
	ck_assert_uint_eq(config.reducer_ms, 0);
	ck_assert_uint_eq(config.guest_memory_bytes, 64 << 20);
	config_deinit(&config);
	static const struct { const char *text, *says; } cases[] = {
		{ "[websocket]\nidle-timeout = 30",
			"invalid TOML syntax in c: line 2: `idle-timeout` must be a duration such as \"15s\"" },
		{ "[websocket]\nidle-timeout = \"30\"",
			"invalid TOML syntax in c: line 2: `idle-timeout` must be time unit needed, for example 5sec or 5ms" },
		{ "[limits]\nguest-memory-mb = 0",
			"invalid TOML syntax in c: line 2: `guest-memory-mb` must be from 1 to 4096" },
		{ "[oidc]\nenabled = \"yes\"", "invalid TOML syntax in c: line 2: `enabled` must be true or false" },
		{ "[certificate-authority]\njwt-pub-key-path = \"x\"",
			"invalid TOML syntax in c: [certificate-authority] needs both jwt-priv-key-path and jwt-pub-key-path" },
		{ "x", "invalid TOML syntax in c: line 1: '=' is expected behind the key" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		ck_assert_int_ne(config_parse(str_of(cases[i].text), "c", &config, &error), WL_OK);
		ck_assert_str_eq(error.text, cases[i].says);
	}
}
END_TEST

START_TEST(names_follow_the_rules)
{
	static const struct { const char *name, *says; } cases[] = {
		{ "a", NULL }, { "a-b-0", NULL }, { "0", NULL },
		{ "", "database names cannot be empty" },
		{ "A", "invalid characters in database name" }, { "a_b", "invalid characters in database name" },
		{ "a/b", "invalid characters in database name" }, { "\xc3\xa9", "invalid characters in database name" },
		{ "-a", "invalid hyphen in database name" }, { "a-", "invalid hyphen in database name" },
		{ "a--b", "invalid hyphen in database name" },
		{ "0000000000000000000000000000000000000000000000000000000000000000", "database names cannot be identities" },
		{ "0x0000000000000000000000000000000000000000000000000000000000000000", "database names cannot be identities" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		const char *reason;
		bool valid = host_name_valid(str_of(cases[i].name), &reason);
		ck_assert_msg(valid == (cases[i].says == NULL), "%s", cases[i].name);
		if (!valid)
			ck_assert_str_eq(reason, cases[i].says);
	}
}
END_TEST

/* ---- the folder ---- */

static char folder[64];

static void folder_make(void)
{
	snprintf(folder, sizeof(folder), "/tmp/wl-dir-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void folder_remove(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -r %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static void write_text(const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

START_TEST(a_folder_belongs_to_one_host)
{
	struct datadir *dir, *other;
	folder_make();
	write_text("spacetime.pid", "12345"); /* left by a crash: harmless */
	ck_assert_msg(datadir_open(folder, &dir, &error) == WL_OK, "%s", error.text);
	pid_t child = fork(); /* flock belongs to the open file: another open of the same process is refused as well */
	if (child == 0)
		_exit(datadir_open(folder, &other, &error) != WL_ERR_UNAVAILABLE || strstr(error.text,
			"cannot take lock on database; spacetime.pid already exists (owned by pid Some(") == NULL);
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	datadir_close(dir);
	char path[128];
	snprintf(path, sizeof(path), "%s/spacetime.pid", folder);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_int_eq(datadir_open(folder, &dir, &error), WL_OK);
	datadir_close(dir);
	folder_remove();
}
END_TEST

START_TEST(versions_are_checked_both_ways)
{
	static const struct { const char *on_disk, *edition; enum wl_err result; const char *says; } cases[] = {
		{ "2.8.3", "here", WL_OK, "" }, { "2.8.9", "here", WL_OK, "" }, { "2.7.0", "here", WL_OK, "" },
		{ "1.4.0", "here", WL_OK, "" },
		{ "2.9.0", "here", WL_ERR_UNSUPPORTED, "a newer, incompatible database" },
		{ "3.0.0", "here", WL_ERR_UNSUPPORTED, "a newer, incompatible database" },
		{ "2.8.3-beta", "here", WL_ERR_UNSUPPORTED, "an incompatible database" },
		{ "2.8.3", "cloud", WL_ERR_UNSUPPORTED,
			"from a different edition of SpacetimeDB (running \"here\", "
			"but this database is \"cloud\")" },
		{ "two", "here", WL_ERR_CORRUPT, "no valid version" },
	};
	folder_make();
	char path[128], text[128];
	snprintf(path, sizeof(path), "%s/metadata.toml", folder);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		snprintf(text, sizeof(text), "version = \"%s\"\nedition = \"%s\"\n", cases[i].on_disk, cases[i].edition);
		write_text("metadata.toml", text);
		error.text[0] = '\0';
		enum wl_err err = datadir_metadata(commitlog_storage_local(), path, "2.8.3", "here", &error);
		ck_assert_msg(err == cases[i].result, "%s: %s", cases[i].on_disk, error.text);
		ck_assert_msg(strstr(error.text, cases[i].says) != NULL, "%s: %s", cases[i].on_disk, error.text);
	}
	/* the file is raised, never lowered */
	struct buf now = BUF_INIT(4096);
	write_text("metadata.toml", "version = \"2.8.9\"\nedition = \"here\"\n");
	ck_assert_int_eq(datadir_metadata(commitlog_storage_local(), path, "2.8.3", "here", &error), WL_OK);
	ck_assert_int_eq(storage_get(commitlog_storage_local(), path, &now, &error), WL_OK);
	ck_assert_ptr_nonnull(strstr(buf_text(&now), "2.8.9"));
	buf_clear(&now);
	write_text("metadata.toml", "version = \"2.7.1\"\nedition = \"here\"\n");
	ck_assert_int_eq(datadir_metadata(commitlog_storage_local(), path, "2.8.3", "here", &error), WL_OK);
	ck_assert_int_eq(storage_get(commitlog_storage_local(), path, &now, &error), WL_OK);
	ck_assert_ptr_nonnull(strstr(buf_text(&now), "2.8.3"));
	buf_deinit(&now);
	folder_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host_config");
	TCase *tcase = tcase_create("host_config");
	tcase_add_test(tcase, toml_values_of_every_kind);
	tcase_add_test(tcase, toml_mistakes_name_their_line);
	tcase_add_test(tcase, config_keys_are_read_and_checked);
	tcase_add_test(tcase, names_follow_the_rules);
	tcase_add_test(tcase, a_folder_belongs_to_one_host);
	tcase_add_test(tcase, versions_are_checked_both_ways);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
