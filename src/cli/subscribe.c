/* SPDX-License-Identifier: Apache-2.0 */
/* `subscribe`: queries over a WebSocket (v3.bsatn), each update as one JSON object on a line of its own. */
#include "base/clock.h"
#include "cli/config.h"
#include "cli/updates.h"
#include "net/ws_client.h"

#include <stdio.h>
#include <stdlib.h>

#define PROTOCOL "v3.bsatn.spacetimedb"
enum { DEFAULT_PORT = 80, CLOSE_WAIT_MS = 1000 };

struct session {
	struct cli *cli;
	struct cli_updates updates;
	struct ws_client *ws;
};

static bool fail_closed(struct session *s)
{
	if (s->updates.limited)
		return cli_fail(s->cli, "subscription closed after receiving %lu/%lu updates",
			(unsigned long)s->updates.received,
			(unsigned long)s->updates.wanted);
	fputs("disconnected by server\n", stderr);
	return true;
}

static bool fail_late(struct session *s, uint64_t seconds)
{
	fprintf(stderr, "timed out after %lus\n", (unsigned long)seconds);
	if (!s->updates.limited || s->updates.received >= s->updates.wanted)
		return true;
	return cli_fail(s->cli, "subscription timed out after %lus after receiving %lu/%lu updates", (unsigned long)seconds,
		(unsigned long)s->updates.received, (unsigned long)s->updates.wanted);
}

static bool print_payload(struct session *s, const uint8_t *data, size_t len)
{
	struct buf out = BUF_INIT(SIZE_MAX);
	bool ok = cli_updates_take(&s->updates, data, len, &out);
	ok = cli_print(s->cli, &out) && ok; /* what came before the fault */
	buf_deinit(&out);
	return ok;
}

/* `seconds` UINT64_MAX: no limit. */
static bool receive_all(struct session *s, uint64_t seconds)
{
	uint64_t begin = clock_mono_nanos() / 1000000;
	while (!cli_updates_done(&s->updates)) {
		struct ws_client_message message;
		struct error error;
		uint32_t wait_ms = UINT32_MAX;
		if (seconds != UINT64_MAX) {
			uint64_t passed = clock_mono_nanos() / 1000000 - begin, limit = 1000 * seconds;
			if (passed >= limit)
				return fail_late(s, seconds);
			wait_ms = (uint32_t)size_min(limit - passed, UINT32_MAX - 1);
		}
		enum wl_err err = ws_client_receive(s->ws, wait_ms, &message, &error);
		if (err == WL_ERR_UNAVAILABLE)
			continue;
		if (err != WL_OK)
			return cli_fail(s->cli, "websocket error: %s", error.text);
		if (message.closed)
			return fail_closed(s);
		if (message.binary && !print_payload(s, message.data, message.len))
			return false;
	}
	return true;
}

/* ---- connecting ---- */

/* "host:port" of a URL; the port of http without one. */
static bool split_address(struct cli *cli, const char *url, char **host, uint16_t *port)
{
	const char *protocol, *address;
	if (!cli_url_split(cli, url, &protocol, &address))
		return false;
	if (strcmp(protocol, "http") != 0)
		return cli_fail(cli, "subscribing over TLS is not supported by this version yet: %s", url);
	char *copy = cli_text(cli, "%.*s", (int)strcspn(address, "/?#"), address);
	char *colon = strrchr(copy, ':'), *bracket = strrchr(copy, ']'), *end = NULL;
	unsigned long number = DEFAULT_PORT;
	if (colon != NULL && (bracket == NULL || colon > bracket)) {
		*colon = '\0';
		number = strtoul(colon + 1, &end, 10);
		if (end == colon + 1 || *end != '\0' || number == 0 || number > UINT16_MAX)
			return cli_fail(cli, "Invalid url: %s", url);
	}
	if (copy[0] == '[' && bracket != NULL) {
		*bracket = '\0';
		copy++;
	}
	*host = copy;
	*port = (uint16_t)number;
	return copy[0] != '\0' || cli_fail(cli, "Invalid url: %s", url);
}

static bool connect_session(struct session *s, const struct cli_target *target, const char *confirmed)
{
	struct ws_client_options options = { .protocol = PROTOCOL, .message_bytes_max = CLI_UPDATES_BYTES_MAX,
		.path = cli_text(s->cli, "/v1/database/%s/subscribe?compression=None%s%s", target->identity,
			confirmed != NULL ? "&confirmed=" : "", confirmed != NULL ? confirmed : "") };
	struct error error;
	char *host = NULL;
	if (!split_address(s->cli, target->url, &host, &options.port))
		return false;
	options.host = host;
	if (target->token != NULL)
		options.headers = cli_text(s->cli, "Authorization: Bearer %s\r\n", target->token);
	if (ws_client_connect(&options, &s->ws, &error) != WL_OK) {
		cli_fail(s->cli, "%s", error.text);
		return cli_fail_around(s->cli, "cannot subscribe at %s", target->url);
	}
	if (!str_eq(ws_client_header(s->ws, "sec-websocket-protocol"), STR(PROTOCOL)))
		return cli_fail(s->cli, "protocol error: server did not negotiate the v3 websocket protocol");
	return true;
}

static bool send_queries(struct session *s, const struct cli_words *words)
{
	struct buf message = BUF_INIT(CLI_FILE_BYTES_MAX);
	struct error error;
	buf_put_u8(&message, 0);  /* Subscribe */
	buf_put_u32(&message, 0); /* request */
	buf_put_u32(&message, 0); /* query set */
	buf_put_u32(&message, words->rest_count);
	for (uint32_t i = 0; i < words->rest_count; i++)
		buf_put_bsatn_str(&message, str_of(words->rest[i]));
	cli_check(s->cli, &message);
	bool ok = ws_client_send(s->ws, true, message.data, message.len, &error) == WL_OK;
	if (!ok) {
		cli_fail(s->cli, "%s", error.text);
		cli_fail_around(s->cli, "error sending subscription queries");
	}
	buf_deinit(&message);
	return ok;
}

/* Says good-bye and listens for the answer a moment. */
static void close_session(struct session *s)
{
	struct ws_client_message message = { 0 };
	struct error error;
	if (s->ws != NULL && ws_client_close(s->ws, 1000, "", &error) == WL_OK)
		for (int i = 0; i < 64 && !message.closed; i++)
			if (ws_client_receive(s->ws, CLOSE_WAIT_MS, &message, &error) != WL_OK)
				break;
	ws_client_destroy(s->ws);
}

static bool run(struct cli *cli, const struct cli_args *args)
{
	struct cli_words words;
	struct cli_target target;
	struct cli_schema schema;
	bool timed = cli_args_text(args, "timeout") != NULL;
	if (!cli_words_required(cli, args, "query", "subscribe [database] <query> [query...] "
			"(or --no-config for legacy behavior)", &words)
		|| !cli_target_open(cli, args, &words, &target) || !cli_schema_fetch(cli, &target, &schema))
		return false;
	struct session s = { .cli = cli };
	cli_updates_init(&s.updates, cli, &schema);
	s.updates.print_initial = cli_args_flag(args, "print-initial-update");
	s.updates.limited = cli_args_text(args, "num-updates") != NULL;
	s.updates.wanted = s.updates.limited ? cli_args_number(args, "num-updates") : 0;
	bool ok = connect_session(&s, &target, cli_args_text(args, "confirmed")) && send_queries(&s, &words)
		&& receive_all(&s, timed ? cli_args_number(args, "timeout") : UINT64_MAX);
	close_session(&s);
	cli_updates_deinit(&s.updates);
	cli_schema_deinit(&schema);
	return ok;
}

const struct cli_command cli_command_subscribe = {
	.name = "subscribe",
	.summary = "Print the changes of queries as they happen",
	.unstable = true,
	.details = "Each update is one JSON object on a line: {\"table\":{\"deletes\":[…],\"inserts\":[…]}}.",
	.words = (const struct cli_word[]){
		{ .name = "DATABASE", .help = "Name or identity; may be left out where spacetime.json names one" },
		{ .name = "QUERY", .help = "SELECT statements, one word each", .rest = true }, { 0 } },
	.options = (const struct cli_option[]){
		{ .name = "num-updates", .letter = 'n', .value = "NUM_UPDATES", .number_max = UINT32_MAX,
			.help = "End after this many updates" },
		{ .name = "timeout", .letter = 't', .value = "TIMEOUT", .number_max = UINT32_MAX,
			.help = "End after this many seconds; an error if -n was given and is not reached" },
		{ .name = "print-initial-update", .help = "Print the rows that are there at the beginning, too" },
		CLI_OPTION_CONFIRMED, CLI_OPTION_ANONYMOUS, CLI_OPTION_YES, CLI_OPTION_NO_CONFIG,
		CLI_OPTION_SERVER("The server of the database"), { 0 } },
	.examples = "subscribe quickstart 'SELECT * FROM person'\n"
		"subscribe quickstart -n 1 -t 10 --print-initial-update 'SELECT * FROM person'",
	.run = run,
};
