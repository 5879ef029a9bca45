/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `worldline start`: reads flags and configuration, starts a host and waits for a signal.
 *
 * Order: configuration, logging, key paths, lock and version of the data folder, keys, address, control data. The line
 * "Starting SpacetimeDB listening on ADDRESS" is what harnesses wait for: it goes to stdout whatever the log level is.
 */
#include "api/api.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "host/version.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4096, PORTS_TRIED_MAX = 100 };

struct start_flags {
	const char *listen_address, *data_dir, *key_dir, *public_key, *private_key;
	bool in_memory, non_interactive, help;
};
struct flag {
	const char *name, *short_name, *value_name, *help;
	size_t text_offset, bool_offset;
};
#define TEXT(field) offsetof(struct start_flags, field), SIZE_MAX
#define BOOL(field) SIZE_MAX, offsetof(struct start_flags, field)
#define IGNORED SIZE_MAX, SIZE_MAX
static const struct flag flags[] = {
	{ "--listen-addr", "-l", "ADDRESS", "IP:PORT to listen on; port 0 takes any [default: 127.0.0.1:3000]",
		TEXT(listen_address) },
	{ "--data-dir", NULL, "DIR", "folder of all data [default: the user's spacetime/data]", TEXT(data_dir) },
	{ "--jwt-key-dir", NULL, "DIR", "folder of the keys, made if missing [default: cli.toml's]", TEXT(key_dir) },
	{ "--jwt-pub-key-path", NULL, "FILE", "public key that checks tokens", TEXT(public_key) },
	{ "--jwt-priv-key-path", NULL, "FILE", "private key that signs tokens", TEXT(private_key) },
	{ "--in-memory", NULL, NULL, "keep databases in memory only", BOOL(in_memory) },
	{ "--non-interactive", NULL, NULL, "never ask", BOOL(non_interactive) },
	{ "--page_pool_max_size", NULL, "SIZE", "accepted for compatibility", IGNORED },
	{ "--enable-tracy", NULL, NULL, "accepted for compatibility", IGNORED },
	{ "--help", "-h", NULL, "print this", BOOL(help) },
};

static void print_usage(FILE *to)
{
	fputs("Usage: worldline start [OPTIONS]\n\nOptions:\n", to);
	for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
		char left[64];
		snprintf(left, sizeof(left), "%s%s%s%s%s", flags[i].short_name != NULL ? flags[i].short_name : "",
			flags[i].short_name != NULL ? ", " : "", flags[i].name, flags[i].value_name != NULL ? " " : "",
			flags[i].value_name != NULL ? flags[i].value_name : "");
		fprintf(to, "  %-30s %s\n", left, flags[i].help);
	}
}

static const struct flag *flag_find(const char *arg, const char **inline_value)
{
	const char *equals = strchr(arg, '=');
	size_t len = equals != NULL && arg[0] == '-' && arg[1] == '-' ? (size_t)(equals - arg) : strlen(arg);
	*inline_value = len < strlen(arg) ? equals + 1 : NULL;
	for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
		if (strlen(flags[i].name) == len && memcmp(flags[i].name, arg, len) == 0)
			return &flags[i];
		if (flags[i].short_name != NULL && strcmp(flags[i].short_name, arg) == 0)
			return &flags[i];
	}
	return NULL;
}

/* The later of duplicate flags wins. */
static bool parse_flags(int argc, char **argv, struct start_flags *out)
{
	*out = (struct start_flags){ .listen_address = "127.0.0.1:3000" };
	for (int i = 0; i < argc; i++) {
		const char *value;
		const struct flag *flag = flag_find(argv[i], &value);
		if (flag == NULL) {
			fprintf(stderr, "error: unexpected argument '%s' found\n", argv[i]);
			return false;
		}
		if (flag->value_name != NULL && value == NULL) {
			if (++i == argc) {
				fprintf(stderr, "error: a value is required for '%s <%s>' but none was supplied\n", flag->name,
					flag->value_name);
				return false;
			}
			value = argv[i];
		}
		if (flag->text_offset != SIZE_MAX)
			memcpy((uint8_t *)out + flag->text_offset, &value, sizeof(value));
		else if (flag->bool_offset != SIZE_MAX)
			*(bool *)((uint8_t *)out + flag->bool_offset) = true;
	}
	if (!out->help && out->data_dir == NULL) {
		fputs("error: the following required arguments were not provided:\n  --data-dir <DIR>\n", stderr);
		return false;
	}
	if ((out->public_key == NULL) != (out->private_key == NULL)) {
		fputs("error: --jwt-pub-key-path and --jwt-priv-key-path need each other\n", stderr);
		return false;
	}
	return true;
}

/* ---- keys ---- */

struct key_paths {
	char private_path[PATH_BYTES_MAX], public_path[PATH_BYTES_MAX];
};

static enum wl_err find_keys(const struct start_flags *start, const struct config *config, struct key_paths *out,
	struct error *error)
{
	if (start->private_key != NULL) {
		snprintf(out->private_path, PATH_BYTES_MAX, "%s", start->private_key);
		snprintf(out->public_path, PATH_BYTES_MAX, "%s", start->public_key);
	} else if (config->jwt_private_key != NULL) {
		snprintf(out->private_path, PATH_BYTES_MAX, "%s", config->jwt_private_key);
		snprintf(out->public_path, PATH_BYTES_MAX, "%s", config->jwt_public_key);
	} else if (start->key_dir != NULL) {
		struct storage *storage = commitlog_storage_local();
		if (!storage->ops->make_dirs(storage, start->key_dir))
			return fail_errno(error, WL_ERR_IO, "cannot create %s", start->key_dir);
		snprintf(out->private_path, PATH_BYTES_MAX, "%s/id_ecdsa", start->key_dir);
		snprintf(out->public_path, PATH_BYTES_MAX, "%s/id_ecdsa.pub", start->key_dir);
	} else {
		return fail(error, WL_ERR_INVALID, "cannot omit --jwt-{pub,priv}-key-path when those options are not specified "
			"in config.toml");
	}
	return WL_OK;
}

/* ---- the port ---- */

/* The port of an address, and where it begins in the text; -1: there is none. */
static int port_of(const char *address, size_t *at)
{
	const char *colon = strrchr(address, ':');
	char *end;
	if (colon == NULL || colon[1] == '\0' || strchr(colon, ']') != NULL)
		return -1;
	long port = strtol(colon + 1, &end, 10);
	*at = (size_t)(colon + 1 - address);
	return *end == '\0' && port >= 0 && port <= 65535 ? (int)port : -1;
}

static bool port_free(int family, int port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_any };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	if (fd < 0)
		return true; /* a family this machine does not have */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	const struct sockaddr *address = family == AF_INET6 ? (const struct sockaddr *)(const void *)&six
		: (const struct sockaddr *)(const void *)&four;
	bool free = bind(fd, address, family == AF_INET6 ? sizeof(six) : sizeof(four)) == 0 || errno != EADDRINUSE;
	close(fd);
	return free;
}

static bool both_free(int port)
{
	return port_free(AF_INET, port) && port_free(AF_INET6, port);
}

/* Offers another port when the wanted one is taken. False: give up, the reason has been printed. */
static bool settle_port(const struct start_flags *start, char address[256])
{
	size_t at;
	snprintf(address, 256, "%s", start->listen_address);
	int port = port_of(address, &at);
	if (port <= 0 || both_free(port))
		return true;
	int other = 0;
	for (int p = port + 1; p < port + PORTS_TRIED_MAX && p <= 65535 && other == 0; p++)
		other = both_free(p) ? p : 0;
	if (!start->non_interactive && other != 0) {
		char answer[16] = "";
		printf("Port %d is already in use. Would you like to use port %d instead? [y/N] ", port, other);
		fflush(stdout);
		if (fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y')) {
			snprintf(address + at, 256 - at, "%d", other);
			return true;
		}
	}
	fprintf(stderr, "Error: Port %d is already in use. Please free up the port or specify a different port with "
		"--listen-addr.\n", port);
	return false;
}

static bool is_loopback(const char *address)
{
	return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]", 5) == 0 ||
		strncmp(address, "localhost", 9) == 0;
}

/* ---- running ---- */

static void announce(const char *address, const struct api *api)
{
	size_t at;
	char shown[300];
	int port = port_of(address, &at);
	(void)port;
	const char *host = strncmp(address, "localhost", 9) == 0 ? "127.0.0.1:" : NULL;
	if (host != NULL)
		snprintf(shown, sizeof(shown), "%s%u", host, api_port(api));
	else
		snprintf(shown, sizeof(shown), "%.*s%u", (int)at, address, api_port(api));
	log_set_level(LOG_INFO);
	log_info("Starting SpacetimeDB listening on %s", shown);
}

static void wait_for_signal(const sigset_t *signals)
{
	int number;
	while (sigwait(signals, &number) != 0) {
	}
	log_info("Shutting down server...");
}

static enum wl_err run(const struct start_flags *start, const struct config *config, const struct key_paths *keys,
	const sigset_t *signals, struct error *error)
{
	struct datadir *dir;
	struct api *api;
	char address[256];
	enum wl_err err = datadir_open(start->data_dir, &dir, error);
	if (err != WL_OK)
		return err;
	size_t at;
	if (port_of(start->listen_address, &at) < 0)
		err = fail(error, WL_ERR_INVALID, "failed to bind the SpacetimeDB server to '%s', please check that the "
			"address is valid and not already in use", start->listen_address);
	else if (!settle_port(start, address)) {
		datadir_close(dir);
		error->text[0] = '\0';
		return WL_ERR_UNAVAILABLE;
	}
	if (err == WL_OK) {
		struct api_options options = { .listen_address = address, .dir = dir, .private_key_path = keys->private_path,
			.public_key_path = keys->public_path, .config = config, .in_memory = start->in_memory,
			.compiler = "/proc/self/exe" };
		err = api_start(&options, &api, error);
	}
	if (err == WL_OK) {
		if (!is_loopback(address))
			log_warn("listening on a public address without TLS: tokens and data can be read on the way");
		announce(address, api);
		log_set_level(config->log_level);
		wait_for_signal(signals);
		api_stop(api);
	}
	datadir_close(dir);
	return err;
}

static enum wl_err open_log(const char *data_dir, struct error *error)
{
	char path[PATH_BYTES_MAX];
	snprintf(path, sizeof(path), "%s/logs", data_dir);
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		return fail_errno(error, WL_ERR_IO, "cannot create %s", path);
	snprintf(path, sizeof(path), "%s/logs/worldline.log", data_dir);
	return log_open(path, error) ? WL_OK : error->code;
}

static enum wl_err make_data_dir(const char *path, struct error *error)
{
	struct storage *storage = commitlog_storage_local();
	if (strlen(path) > PATH_BYTES_MAX - 256)
		return fail(error, WL_ERR_INVALID, "the path of the data folder is too long");
	if (!storage->ops->make_dirs(storage, path))
		return fail_errno(error, WL_ERR_IO, "cannot create the data folder %s", path);
	return WL_OK;
}

static void print_banner(const char *data_dir)
{
	char path[PATH_BYTES_MAX] = "?";
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : 1] = '\0';
	printf("worldline version: %s (SpacetimeDB %s)\nworldline path: %s\ndatabase running in data directory %s\n",
		WORLDLINE_VERSION, COMPATIBLE_VERSION, path, data_dir);
	fflush(stdout);
}

int cli_start(int argc, char **argv)
{
	struct start_flags start;
	struct config config = { 0 };
	struct key_paths *keys = mem_or_abort(mem_zalloc(sizeof(*keys)));
	struct error error = { 0 };
	sigset_t signals;
	if (!parse_flags(argc, argv, &start)) {
		print_usage(stderr);
		mem_free(keys);
		return 2;
	}
	if (start.help) {
		print_usage(stdout);
		mem_free(keys);
		return 0;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread: all inherit it, and sigwait alone gets them */
	signal(SIGPIPE, SIG_IGN);
	print_banner(start.data_dir);
	enum wl_err err = make_data_dir(start.data_dir, &error);
	if (err == WL_OK)
		err = config_load(start.data_dir, &config, &error);
	if (err == WL_OK) {
		log_set_level(config.log_level);
		err = open_log(start.data_dir, &error);
	}
	if (err == WL_OK)
		err = find_keys(&start, &config, keys, &error);
	if (err == WL_OK)
		err = run(&start, &config, keys, &signals, &error);
	if (err != WL_OK && error.text[0] != '\0')
		fprintf(stderr, "Error: %s\n", error.text);
	config_deinit(&config);
	mem_free(keys);
	return err == WL_OK ? 0 : 1;
}
