/* SPDX-License-Identifier: Apache-2.0 */
/* config.toml: one table says which keys there are, what they hold and where it goes. */
#include "host/config.h"
#include "base/mem.h"
#include "commitlog/commitlog.h"
#include "host/toml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char template_text[] =
	"# Configuration of this host. Lines that begin with # show the defaults.\n"
	"\n"
	"[logs]\n"
	"# off, error, warn, info, debug or trace\n"
	"level = \"info\"\n"
	"\n"
	"# [certificate-authority]\n"
	"# Keys that sign and check this host's tokens; both or neither.\n"
	"# jwt-priv-key-path = \"/path/to/id_ecdsa\"\n"
	"# jwt-pub-key-path = \"/path/to/id_ecdsa.pub\"\n"
	"\n"
	"# [oidc]\n"
	"# Tokens of other issuers: their keys are fetched from the address the token names.\n"
	"# enabled = true\n"
	"# Whether that may be an address of a private network or of this machine.\n"
	"# private-addresses = false\n"
	"\n"
	"# [module-http]\n"
	"# Whether procedures may make HTTP requests: to public addresses only.\n"
	"# enabled = true\n"
	"# And to this machine (127.0.0.0/8, ::1)?\n"
	"# allow-loopback = false\n"
	"\n"
	"# [limits]\n"
	"# Longest run of one reducer in milliseconds; 0 is no limit.\n"
	"# reducer-ms = 10000\n"
	"# Largest memory of one module instance.\n"
	"# guest-memory-mb = 1024\n"
	"# Most that all databases and connections may hold together; 0 is three quarters of the machine's memory.\n"
	"# memory-mb = 0\n"
	"# Most that one database may take of memory, and of disk: beyond it no rows can be added. 0 is no limit.\n"
	"# database-memory-mb = 0\n"
	"# database-disk-mb = 0\n"
	"# Largest log of a module: all its files together.\n"
	"# module-log-mb = 64\n"
	"# Most subscriptions, and queries in them, that one connection may hold.\n"
	"# subscriptions-per-connection = 4096\n"
	"# queries-per-connection = 65536\n"
	"\n"
	"# [durability]\n"
	"# A snapshot is taken when a restart would have to replay the log for longer than this.\n"
	"# replay-ms = 400\n"
	"# How many snapshots are kept of each database.\n"
	"# snapshots = 2\n"
	"# Log that is kept beyond what those need, so that a database can be restored to an earlier moment.\n"
	"# log-mb = 256\n"
	"# A folder to which the log's segments are copied before they are removed; each database has one below it.\n"
	"# archive = \"/path/to/archive\"\n"
	"# A log with damage in its middle: whether its database opens with what precedes it; the rest is kept aside.\n"
	"# open-damaged = true\n"
	"\n"
	"# [energy]\n"
	"# What may be used of energy, in eV: a call costs two for each nanosecond that it works. 0 is no limit.\n"
	"# By one call:\n"
	"# call = 0\n"
	"# By all calls of one database, ever:\n"
	"# database = 0\n"
	"# By all calls of one identity, ever:\n"
	"# identity = 0\n"
	"\n"
	"# [network]\n"
	"# Threads that read and write sockets; 0 chooses by the number of cores.\n"
	"# loops = 0\n"
	"\n"
	"# [websocket]\n"
	"# ping-interval = \"15s\"\n"
	"# idle-timeout = \"30s\"\n"
	"# close-handshake-timeout = \"250ms\"\n"
	"# incoming-queue-length = 16384\n";

enum value_kind { VALUE_PATH, VALUE_LEVEL, VALUE_BOOL, VALUE_DURATION, VALUE_U32, VALUE_U64, VALUE_MB };
struct key_spec {
	const char *section, *key;
	enum value_kind kind;
	size_t offset;
	uint64_t min, max;
};
#define AT(field) offsetof(struct config, field)
static const struct key_spec keys[] = {
	{ "certificate-authority", "jwt-priv-key-path", VALUE_PATH, AT(jwt_private_key), 0, 0 },
	{ "certificate-authority", "jwt-pub-key-path", VALUE_PATH, AT(jwt_public_key), 0, 0 },
	{ "logs", "level", VALUE_LEVEL, AT(log_level), 0, 0 },
	{ "module-http", "enabled", VALUE_BOOL, AT(module_http_enabled), 0, 0 },
	{ "module-http", "allow-loopback", VALUE_BOOL, AT(module_http_loopback), 0, 0 },
	{ "oidc", "enabled", VALUE_BOOL, AT(oidc_enabled), 0, 0 },
	{ "oidc", "private-addresses", VALUE_BOOL, AT(oidc_private_addresses), 0, 0 },
	{ "network", "loops", VALUE_U32, AT(loops), 0, 64 },
	{ "websocket", "ping-interval", VALUE_DURATION, AT(ping_interval_ms), 1, 86400000 },
	{ "websocket", "idle-timeout", VALUE_DURATION, AT(idle_timeout_ms), 1, 86400000 },
	{ "websocket", "close-handshake-timeout", VALUE_DURATION, AT(close_timeout_ms), 1, 60000 },
	{ "websocket", "incoming-queue-length", VALUE_U32, AT(incoming_queue_length), 1, 1 << 20 },
	{ "limits", "reducer-ms", VALUE_U32, AT(reducer_ms), 0, 86400000 },
	{ "limits", "guest-memory-mb", VALUE_MB, AT(guest_memory_bytes), 1, 4096 },
	{ "limits", "memory-mb", VALUE_MB, AT(memory_bytes), 0, 1 << 24 },
	{ "limits", "database-memory-mb", VALUE_MB, AT(database_memory_max), 0, 1 << 24 },
	{ "limits", "database-disk-mb", VALUE_MB, AT(database_disk_max), 0, 1 << 24 },
	{ "limits", "subscriptions-per-connection", VALUE_U32, AT(subscriptions_per_connection), 1, 1 << 20 },
	{ "limits", "queries-per-connection", VALUE_U32, AT(queries_per_connection), 1, 1 << 20 },
	{ "limits", "module-log-mb", VALUE_MB, AT(module_log_bytes), 1, 65536 },
	{ "durability", "replay-ms", VALUE_U32, AT(replay_ms), 1, 3600000 },
	{ "durability", "snapshots", VALUE_U32, AT(snapshots_kept), 1, 1000 },
	{ "durability", "archive", VALUE_PATH, AT(archive), 0, 0 },
	{ "durability", "open-damaged", VALUE_BOOL, AT(opens_damaged), 0, 0 },
	{ "durability", "log-mb", VALUE_MB, AT(log_kept_bytes), 0, 1 << 24 },
	{ "energy", "call", VALUE_U64, AT(energy_call), 0, INT64_MAX },
	{ "energy", "database", VALUE_U64, AT(energy_database), 0, INT64_MAX },
	{ "energy", "identity", VALUE_U64, AT(energy_identity), 0, INT64_MAX },
};

static const struct config defaults = {
	.log_level = LOG_INFO, .module_http_enabled = true, .oidc_enabled = true,
	.ping_interval_ms = 15000, .idle_timeout_ms = 30000, .close_timeout_ms = 250, .incoming_queue_length = 16384,
	.subscriptions_per_connection = 4096, .queries_per_connection = 65536,
	.opens_damaged = true, .replay_ms = 400, .snapshots_kept = 2, .log_kept_bytes = (uint64_t)256 << 20,
	.reducer_ms = 10000, .guest_memory_bytes = (uint64_t)1024 << 20, .module_log_bytes = (uint64_t)64 << 20,
};

bool duration_parse(struct str text, uint64_t *ms, const char **reason)
{
	static const struct { const char *name; uint64_t nanos; } units[] = {
		{ "ns", 1 }, { "nsec", 1 }, { "us", 1000 }, { "usec", 1000 }, { "ms", 1000000 }, { "msec", 1000000 },
		{ "s", 1000000000u }, { "sec", 1000000000u }, { "secs", 1000000000u }, { "second", 1000000000u },
		{ "seconds", 1000000000u }, { "m", 60000000000u }, { "min", 60000000000u }, { "mins", 60000000000u },
		{ "minute", 60000000000u }, { "minutes", 60000000000u }, { "h", 3600000000000u }, { "hr", 3600000000000u },
		{ "hour", 3600000000000u }, { "hours", 3600000000000u }, { "d", 86400000000000u }, { "day", 86400000000000u },
		{ "days", 86400000000000u },
	};
	u128 total = 0;
	size_t at = 0;
	bool any = false;
	for (;;) {
		while (at < text.len && (text.data[at] == ' ' || text.data[at] == '\t'))
			at++;
		if (at == text.len)
			break;
		u128 value = 0;
		size_t digits = at;
		while (at < text.len && text.data[at] >= '0' && text.data[at] <= '9' && at - digits < 19)
			value = value * 10 + (unsigned)(text.data[at++] - '0');
		if (at == digits) {
			*reason = "expected number at 0";
			return false;
		}
		while (at < text.len && text.data[at] == ' ')
			at++;
		size_t from = at;
		while (at < text.len && ((text.data[at] | 0x20) >= 'a' && (text.data[at] | 0x20) <= 'z'))
			at++;
		size_t unit = 0;
		while (unit < ARRAY_COUNT(units) &&
			!str_eq((struct str){ text.data + from, at - from }, str_of(units[unit].name)))
			unit++;
		if (unit == ARRAY_COUNT(units)) {
			*reason = at == from ? "time unit needed, for example 5sec or 5ms" : "unknown time unit";
			return false;
		}
		total += value * units[unit].nanos;
		any = true;
		if (total > (u128)UINT64_MAX) {
			*reason = "number is too large";
			return false;
		}
	}
	*reason = "value was empty";
	*ms = (uint64_t)(total / 1000000u);
	return any;
}

static bool read_level(const struct toml_entry *entry, enum log_level *out)
{
	static const char *const names[] = { "off", "error", "warn", "info", "debug", "trace" };
	if (entry->kind == TOML_INTEGER && entry->integer >= 0 && entry->integer <= LOG_TRACE) {
		*out = (enum log_level)entry->integer;
		return true;
	}
	for (size_t i = 0; entry->kind == TOML_STRING && i < ARRAY_COUNT(names); i++) {
		if (entry->text.len == strlen(names[i]) && strncasecmp(entry->text.data, names[i], entry->text.len) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static enum wl_err bad_value(const struct toml_entry *entry, const char *path, const char *wanted, struct error *error)
{
	return fail(error, WL_ERR_INVALID, "invalid TOML syntax in %s: line %u: `%.*s` must be %s", path, entry->line,
		STR_FMT(entry->key), wanted);
}

static enum wl_err read_key(const struct key_spec *spec, const struct toml_entry *entry, const char *path,
	struct config *out, struct error *error)
{
	void *field = (uint8_t *)out + spec->offset;
	const char *reason = "a duration such as \"15s\"";
	uint64_t number;
	switch (spec->kind) {
	case VALUE_PATH:
		if (entry->kind != TOML_STRING)
			return bad_value(entry, path, "a string", error);
		*(char **)field = mem_strdup(entry->text);
		return *(char **)field != NULL ? WL_OK : fail(error, WL_ERR_MEMORY, "out of memory");
	case VALUE_LEVEL:
		return read_level(entry, field) ? WL_OK
			: bad_value(entry, path, "off, error, warn, info, debug, trace or 0 to 5", error);
	case VALUE_BOOL:
		if (entry->kind != TOML_BOOLEAN)
			return bad_value(entry, path, "true or false", error);
		*(bool *)field = entry->integer != 0;
		return WL_OK;
	case VALUE_DURATION:
		if (entry->kind != TOML_STRING || !duration_parse(entry->text, &number, &reason))
			return bad_value(entry, path, reason, error);
		break;
	default:
		if (entry->kind != TOML_INTEGER || entry->integer < 0)
			return bad_value(entry, path, "an integer", error);
		number = (uint64_t)entry->integer;
		break;
	}
	if (number < spec->min || number > spec->max) {
		char wanted[96];
		snprintf(wanted, sizeof(wanted), "from %llu to %llu", (unsigned long long)spec->min,
			(unsigned long long)spec->max);
		return bad_value(entry, path, wanted, error);
	}
	if (spec->kind == VALUE_MB)
		*(uint64_t *)field = number << 20;
	else if (spec->kind == VALUE_U64)
		*(uint64_t *)field = number;
	else
		*(uint32_t *)field = (uint32_t)number;
	return WL_OK;
}

enum wl_err config_parse(struct str text, const char *path, struct config *out, struct error *error)
{
	struct toml toml;
	struct error cause = { 0 };
	*out = defaults;
	enum wl_err err = toml_parse(text, &toml, &cause);
	if (err != WL_OK)
		return fail(error, err, "invalid TOML syntax in %s: %s", path, cause.text);
	for (size_t i = 0; err == WL_OK && i < ARRAY_COUNT(keys); i++) {
		const struct toml_entry *entry = toml_find(&toml, keys[i].section, keys[i].key);
		if (entry != NULL)
			err = read_key(&keys[i], entry, path, out, error);
	}
	toml_deinit(&toml);
	if (err == WL_OK && (out->jwt_private_key == NULL) != (out->jwt_public_key == NULL))
		err = fail(error, WL_ERR_INVALID,
			"invalid TOML syntax in %s: [certificate-authority] needs both jwt-priv-key-path "
			"and jwt-pub-key-path", path);
	if (err != WL_OK)
		config_deinit(out);
	return err;
}

/* Whole or not at all, as every file of ours. */
static enum wl_err write_template(const char *path, struct error *error)
{
	return storage_put(commitlog_storage_local(), path, template_text, sizeof(template_text) - 1, error);
}

enum wl_err config_load(const char *dir, struct config *out, struct error *error)
{
	char path[4096];
	*out = (struct config){ 0 };
	int n = snprintf(path, sizeof(path), "%s/config.toml", dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return fail(error, WL_ERR_INVALID, "the path of the data folder is too long");
	enum wl_err err = access(path, F_OK) == 0 ? WL_OK : write_template(path, error);
	if (err != WL_OK)
		return err;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(error, WL_ERR_IO, "cannot read %s", path);
	struct buf text = BUF_INIT(TOML_BYTES_MAX + 1);
	uint8_t chunk[4096];
	ssize_t got;
	while ((got = read(fd, chunk, sizeof(chunk))) > 0)
		buf_put(&text, chunk, (size_t)got);
	close(fd);
	if (got < 0)
		err = fail_errno(error, WL_ERR_IO, "cannot read %s", path);
	else if (text.failed)
		err = fail(error, WL_ERR_LIMIT, "%s is larger than %d bytes", path, TOML_BYTES_MAX);
	else
		err = config_parse(buf_str(&text), path, out, error);
	buf_deinit(&text);
	return err;
}

void config_deinit(struct config *config)
{
	mem_free(config->archive);
	mem_free(config->jwt_private_key);
	mem_free(config->jwt_public_key);
	*config = (struct config){ 0 };
}
