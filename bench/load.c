/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: the load generator. One thread, real sockets, as little work for each
 * message as possible, since it shares the machine with the server it measures.
 *
 *     load calls     N connections × W reducer calls in flight
 *     load fanout    S subscribers, some writers
 *     load subscribe one subscription to much
 *     load sends     no server: what one message to each of N sockets costs
 *     load launch    starts a server, says how long its first answer took
 *     load identity | publish | call | sql    over HTTP, to set things up
 *
 * README.md in this folder explains the figures.
 */
#include "load.h"
#include "base/clock.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROGRAM_BYTES_MAX = 256 << 20, LAUNCH_MS_MAX = 60000, POLL_NANOS = 100000 };

static const char usage[] =
	"usage: load MODE [options]\n"
	"\n"
	"  calls                     reducer calls over WebSocket, closed loop\n"
	"  fanout                    subscribers and writers\n"
	"  subscribe                 subscribe to --query; prints when its rows come, and what they cost\n"
	"  sends                     no server: the cost of one small message to each of --connections in turn\n"
	"  launch COMMAND ...        start a server in the background; its pid and time to the first answer\n"
	"  identity                  create an identity; prints its token\n"
	"  publish FILE              publish a module under --database; prints how long it took\n"
	"  call REDUCER JSON         call a reducer over HTTP; prints how long it took\n"
	"  sql STATEMENT             one statement over HTTP; prints how long it took\n"
	"\n"
	"  --address A               of the server, default 127.0.0.1\n"
	"  --port P                  default 3000\n"
	"  --database NAME           default bench\n"
	"  --token T                 Authorization: Bearer T; default anonymous\n"
	"  --connections N           that call, default 64; fanout: 1\n"
	"  --inflight W              calls in flight for each, default 40\n"
	"  --subscribers S           default 200\n"
	"  --query SQL               of the subscribers, default SELECT * FROM accounts; a # is the subscriber's number\n"
	"  --churn N                 fanout: a subscriber goes and another comes after each N updates\n"
	"  --updates N               fanout: ends when so many have come, before --seconds\n"
	"  --reducer R               transfer (default), or one that takes no arguments\n"
	"  --accounts N              to choose from, default 100000\n"
	"  --zipf E                  choose by Zipf with exponent E instead of uniformly\n"
	"  --seconds T  --warmup T   default 5 and 1\n"
	"  --unconfirmed             do not wait for durability\n"
	"  --protocol v2|v3          default v2; v3 puts the calls of a round into one payload\n"
	"  --mask                    mask frames with changing keys instead of zeros\n"
	"  --pid PID                 of the server: its CPU time and memory are reported\n"
	"  --syscalls                count its system calls (in a run of its own: counting costs time)\n"
	"  --log FILE                launch: where the server's output goes, default /dev/null\n"
	"  --tcp                     launch: a connection is answer enough\n";

struct command {
	struct options options;
	const char *log;
	bool tcp;
	int argc;
	char **argv; /* behind the options */
};

/* ---- setting up over HTTP ---- */

static double seconds_since(uint64_t begin)
{
	return (double)(clock_mono_nanos() - begin) / 1e9;
}

/* Prints what went wrong if `status` is not 200. */
static int status_exit(int status, struct buf *body)
{
	if (status != 200 && status > 0)
		fprintf(stderr, "load: status %d: %s\n", status, buf_text(body));
	return status != 200;
}

static int run_identity(const struct command *command)
{
	struct buf body = BUF_INIT(1 << 20);
	int failed = status_exit(http_send(&command->options.ws.target,
		&(struct http_request){ .method = "POST", .path = "/v1/identity" }, &body), &body);
	const char *token = failed ? NULL : strstr(buf_text(&body), "\"token\":\"");
	if (token != NULL) {
		token += strlen("\"token\":\"");
		printf("%.*s\n", (int)strcspn(token, "\""), token);
	}
	buf_deinit(&body);
	return failed || token == NULL;
}

static bool read_file(const char *path, struct buf *out)
{
	FILE *file = fopen(path, "rb");
	size_t got = 1;
	while (file != NULL && got > 0 && !out->failed) {
		uint8_t *at = buf_extend(out, 1 << 16);
		got = at == NULL ? 0 : fread(at, 1, 1 << 16, file);
		out->len -= at == NULL ? 0 : (1 << 16) - got;
	}
	bool ok = file != NULL && !ferror(file) && !out->failed;
	if (!ok)
		perror(path);
	if (file != NULL)
		fclose(file);
	return ok;
}

static int run_publish(const struct command *command)
{
	struct buf program = BUF_INIT(PROGRAM_BYTES_MAX), body = BUF_INIT(1 << 20), path = BUF_INIT(4096);
	int failed = 1;
	if (command->argc == 1 && read_file(command->argv[0], &program)) {
		buf_printf(&path, "/v1/database/%s", command->options.ws.target.database);
		uint64_t begin = clock_mono_nanos();
		failed = status_exit(http_send(&command->options.ws.target, &(struct http_request){ .method = "PUT",
			.path = buf_text(&path), .body = buf_bytes(&program) }, &body), &body);
		printf("publish_seconds %.4f\n", seconds_since(begin));
	}
	buf_deinit(&program);
	buf_deinit(&body);
	buf_deinit(&path);
	return failed;
}

static int run_call(const struct command *command)
{
	if (command->argc != 2)
		return 2;
	struct buf body = BUF_INIT(1 << 20), path = BUF_INIT(4096);
	buf_printf(&path, "/v1/database/%s/call/%s", command->options.ws.target.database, command->argv[0]);
	struct str json = str_of(command->argv[1]);
	uint64_t begin = clock_mono_nanos();
	int failed = status_exit(http_send(&command->options.ws.target, &(struct http_request){ .method = "POST",
		.path = buf_text(&path), .content_type = "application/json",
		.body = { (const uint8_t *)json.data, json.len } }, &body), &body);
	printf("call_seconds %.6f\n", seconds_since(begin));
	buf_deinit(&body);
	buf_deinit(&path);
	return failed;
}

static int run_sql(const struct command *command)
{
	if (command->argc != 1)
		return 2;
	struct buf body = BUF_INIT(256 << 20), path = BUF_INIT(4096);
	struct meter meter;
	struct sample begin, end;
	buf_printf(&path, "/v1/database/%s/sql", command->options.ws.target.database);
	struct str sql = str_of(command->argv[0]);
	int failed = !meter_open(&meter, command->options.pid, false);
	if (!failed) {
		meter_take(&meter, &begin);
		failed = status_exit(http_send(&command->options.ws.target, &(struct http_request){ .method = "POST",
			.path = buf_text(&path), .content_type = "text/plain", .body = { (const uint8_t *)sql.data, sql.len } },
			&body), &body);
		meter_take(&meter, &end);
		printf("sql_ms %.3f\ncpu_ms %.3f\nanswer_bytes %zu\n", (double)(end.wall_nanos - begin.wall_nanos) / 1e6,
			(double)(end.cpu_nanos - begin.cpu_nanos) / 1e6, body.len);
		meter_close(&meter);
	}
	buf_deinit(&body);
	buf_deinit(&path);
	return failed;
}

/* ---- launching a server ---- */

static pid_t start_server(const struct command *command)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	int in = open("/dev/null", O_RDONLY), out = open(command->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	setsid();
	if (in >= 0 && out >= 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2)
		execvp(command->argv[0], command->argv);
	perror(command->argv[0]);
	_exit(127);
}

/* One attempt, silent: GET /v1/ping, or just a connection. */
static bool answers(const struct command *command)
{
	static const char ping[] = "GET /v1/ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	char answer[13] = "";
	int fd = target_connect(&command->options.ws.target);
	if (fd < 0)
		return false;
	bool ok = command->tcp || (write(fd, ping, sizeof(ping) - 1) > 0 && read(fd, answer, 12) == 12 &&
		strcmp(answer, "HTTP/1.1 200") == 0);
	close(fd);
	return ok;
}

static int run_launch(const struct command *command)
{
	if (command->argc == 0)
		return 2;
	uint64_t begin = clock_mono_nanos();
	pid_t pid = start_server(command);
	while (pid > 0 && seconds_since(begin) * 1000 < LAUNCH_MS_MAX) {
		if (answers(command)) {
			printf("pid %d\nfirst_answer_ms %.2f\n", (int)pid, seconds_since(begin) * 1000);
			return 0;
		}
		if (waitpid(pid, NULL, WNOHANG) == pid)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = POLL_NANOS }, NULL);
	}
	fprintf(stderr, "load: %s does not answer; see %s\n", command->argv[0], command->log);
	if (pid > 0)
		kill(pid, SIGTERM);
	return 1;
}

/* ---- options ---- */

enum option_id {
	OPT_ADDRESS = 256, OPT_PORT, OPT_DATABASE, OPT_TOKEN, OPT_CONNECTIONS, OPT_INFLIGHT, OPT_SUBSCRIBERS, OPT_QUERY,
	OPT_REDUCER, OPT_ACCOUNTS, OPT_ZIPF, OPT_SECONDS, OPT_WARMUP, OPT_UNCONFIRMED, OPT_PROTOCOL, OPT_MASK, OPT_PID,
	OPT_SYSCALLS, OPT_LOG, OPT_TCP, OPT_CHURN, OPT_UPDATES,
};
static const struct option long_options[] = {
	{ "address", required_argument, NULL, OPT_ADDRESS }, { "port", required_argument, NULL, OPT_PORT },
	{ "database", required_argument, NULL, OPT_DATABASE }, { "token", required_argument, NULL, OPT_TOKEN },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS }, { "inflight", required_argument, NULL, OPT_INFLIGHT },
	{ "subscribers", required_argument, NULL, OPT_SUBSCRIBERS }, { "query", required_argument, NULL, OPT_QUERY },
	{ "reducer", required_argument, NULL, OPT_REDUCER }, { "accounts", required_argument, NULL, OPT_ACCOUNTS },
	{ "zipf", required_argument, NULL, OPT_ZIPF }, { "seconds", required_argument, NULL, OPT_SECONDS },
	{ "warmup", required_argument, NULL, OPT_WARMUP }, { "unconfirmed", no_argument, NULL, OPT_UNCONFIRMED },
	{ "protocol", required_argument, NULL, OPT_PROTOCOL }, { "mask", no_argument, NULL, OPT_MASK },
	{ "pid", required_argument, NULL, OPT_PID }, { "syscalls", no_argument, NULL, OPT_SYSCALLS },
	{ "log", required_argument, NULL, OPT_LOG }, { "tcp", no_argument, NULL, OPT_TCP },
	{ "churn", required_argument, NULL, OPT_CHURN }, { "updates", required_argument, NULL, OPT_UPDATES }, { 0 },
};

static void read_text(struct command *command, int id)
{
	struct options *o = &command->options;
	switch (id) {
	case OPT_ADDRESS: o->ws.target.address = optarg; break;
	case OPT_DATABASE: o->ws.target.database = optarg; break;
	case OPT_TOKEN: o->ws.target.token = optarg; break;
	case OPT_QUERY: o->query = optarg; break;
	case OPT_REDUCER: o->load.reducer = optarg; break;
	case OPT_LOG: command->log = optarg; break;
	case OPT_PROTOCOL: o->ws.v3 = o->load.v3 = strcmp(optarg, "v3") == 0; break;
	default: break;
	}
}

/* False: not a number, or one that makes no sense. */
static bool read_number(struct options *o, int id)
{
	char *end = NULL;
	double value = strtod(optarg, &end);
	if (*optarg == 0 || *end != 0 || value < 0 || value > 4e9)
		return false;
	switch (id) {
	case OPT_PORT: o->ws.target.port = (uint16_t)value; return value < 65536;
	case OPT_CONNECTIONS: o->connections = (uint32_t)value; return value >= 1 && value <= CONNECTIONS_MAX;
	case OPT_INFLIGHT: o->load.inflight = (uint32_t)value; return value >= 1 && value <= 65536;
	case OPT_SUBSCRIBERS: o->subscribers = (uint32_t)value; return value >= 1 && value <= CONNECTIONS_MAX;
	case OPT_CHURN: o->churn = (uint32_t)value; return value >= 1;
	case OPT_UPDATES: o->updates = (uint64_t)value; return value >= 1;
	case OPT_ACCOUNTS: o->load.accounts = (uint32_t)value; return value >= 2;
	case OPT_ZIPF: o->load.zipf = value; return value > 0 && value != 1;
	case OPT_SECONDS: o->seconds = value; return value > 0;
	case OPT_WARMUP: o->warmup_seconds = value; return true;
	case OPT_PID: o->pid = (pid_t)value; return value >= 1;
	default: return false;
	}
}

static bool read_options(struct command *command, const char *mode, int argc, char **argv)
{
	*command = (struct command){ .log = "/dev/null", .options = {
		.ws = { .target = { "127.0.0.1", 3000, "bench", NULL }, .confirmed = true },
		.load = { .reducer = "transfer", .accounts = 100000, .inflight = 40, .seed = 1 },
		.connections = strcmp(mode, "fanout") == 0 ? 1 : 64, .subscribers = 200,
		.query = "SELECT * FROM accounts", .warmup_seconds = 1, .seconds = 5,
	} };
	int id;
	while ((id = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		switch (id) {
		case '?':
			return false;
		case OPT_UNCONFIRMED: command->options.ws.confirmed = false; break;
		case OPT_MASK: command->options.ws.mask = true; break;
		case OPT_SYSCALLS: command->options.syscalls = true; break;
		case OPT_TCP: command->tcp = true; break;
		case OPT_ADDRESS: case OPT_DATABASE: case OPT_TOKEN: case OPT_QUERY: case OPT_REDUCER: case OPT_LOG:
		case OPT_PROTOCOL:
			read_text(command, id);
			break;
		default:
			if (!read_number(&command->options, id)) {
				fprintf(stderr, "load: bad number %s\n", optarg);
				return false;
			}
		}
	}
	command->argc = argc - optind;
	command->argv = argv + optind;
	return true;
}

int main(int argc, char **argv)
{
	struct command command;
	const char *mode = argc > 1 ? argv[1] : "";
	signal(SIGPIPE, SIG_IGN);
	int status = 2;
	if (argc > 1 && read_options(&command, mode, argc - 1, argv + 1)) {
		if (strcmp(mode, "calls") == 0)
			status = run_calls(&command.options);
		else if (strcmp(mode, "fanout") == 0)
			status = run_fanout(&command.options);
		else if (strcmp(mode, "subscribe") == 0)
			status = run_subscribe(&command.options);
		else if (strcmp(mode, "sends") == 0)
			status = run_sends(&command.options);
		else if (strcmp(mode, "launch") == 0)
			status = run_launch(&command);
		else if (strcmp(mode, "identity") == 0)
			status = run_identity(&command);
		else if (strcmp(mode, "publish") == 0)
			status = run_publish(&command);
		else if (strcmp(mode, "call") == 0)
			status = run_call(&command);
		else if (strcmp(mode, "sql") == 0)
			status = run_sql(&command);
	}
	if (status == 2)
		fputs(usage, stderr);
	return status;
}
