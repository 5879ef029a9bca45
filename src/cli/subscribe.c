/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `subscribe`: queries over a WebSocket (v3.bsatn), each update as one JSON object on a line of its own.
 *
 * Every byte of a message is checked against the schema before it is shown; a message that does not fit ends the
 * command.
 */
#include "base/clock.h"
#include "cli/config.h"
#include "cli/schema.h"
#include "net/ws_client.h"

#include <stdio.h>
#include <stdlib.h>

#define PROTOCOL "v3.bsatn.spacetimedb"
enum { TAG_INITIAL_CONNECTION, TAG_SUBSCRIBE_APPLIED, TAG_UNSUBSCRIBE_APPLIED, TAG_SUBSCRIPTION_ERROR,
	TAG_TRANSACTION_UPDATE };
enum { HINT_FIXED, HINT_OFFSETS };
enum { ROWS_PERSISTENT, ROWS_EVENT };
enum { TABLES_MAX = 65536, DEFAULT_PORT = 80, CLOSE_WAIT_MS = 1000, MESSAGE_BYTES_MAX = 1 << 30 };

struct shown_table { /* what an update prints of one table */
	struct str name;
	const struct cli_table *table;
	const struct sats_layout *layout;
	struct buf deletes, inserts;
	bool touched; /* in this update */
};
struct session {
	struct cli *cli;
	struct cli_schema *schema;
	struct ws_client *ws;
	struct shown_table *tables;
	uint32_t table_count;
	bool applied, print_initial;
	bool limited; /* -n was given */
	uint64_t wanted, received;
};

/* ---- rows ---- */

static bool fail_message(struct session *s, const char *what)
{
	return cli_fail(s->cli, "error decoding BSATN websocket message: %s", what);
}

/* The table of this name, known from before or from the schema. */
static struct shown_table *table_find(struct session *s, struct str name)
{
	struct error error;
	for (uint32_t i = 0; i < s->table_count; i++)
		if (str_eq(s->tables[i].name, name))
			return &s->tables[i];
	const struct cli_table *known = cli_schema_table(s->schema, name);
	if (known == NULL || known->row == NULL || s->table_count == TABLES_MAX) {
		cli_fail(s->cli, "error formatting response: table `%.*s` not found in schema", STR_FMT(name));
		return NULL;
	}
	struct shown_table *table = &s->tables[s->table_count];
	if (sats_layout_create(&s->cli->arena, known->space, known->row, &table->layout, &error) != WL_OK) {
		cli_fail(s->cli, "error formatting response: %s", error.text);
		return NULL;
	}
	table->name = known->name;
	table->table = known;
	buf_init(&table->deletes, MESSAGE_BYTES_MAX);
	buf_init(&table->inserts, MESSAGE_BYTES_MAX);
	s->table_count++;
	return table;
}

static bool put_row(struct session *s, const struct shown_table *table, struct buf *out, const uint8_t *row, size_t len)
{
	struct error error;
	size_t size;
	if (sats_validate(table->layout, row, len, &size, &error) != WL_OK)
		return fail_message(s, error.text);
	if (size != len)
		return fail_message(s, "a row has bytes behind its end");
	if (out->len > 0)
		buf_put_u8(out, ',');
	sats_json_write(out, table->table->row, table->table->space, row, SATS_JSON_NAMED);
	return !out->failed || cli_fail(s->cli, "error formatting response: a row cannot be written as JSON");
}

/* A BsatnRowList. */
static bool put_rows(struct session *s, struct reader *r, const struct shown_table *table, struct buf *out)
{
	uint8_t hint = reader_u8(r);
	uint16_t fixed = hint == HINT_FIXED ? reader_u16(r) : 0;
	uint32_t count = hint == HINT_OFFSETS ? reader_u32(r) : 0;
	size_t size;
	if (hint > HINT_OFFSETS)
		return fail_message(s, "unknown row size hint");
	const uint8_t *offsets = size_mul(count, 8, &size) ? reader_take(r, size, "row offsets") : NULL;
	struct bytes data = reader_bsatn_bytes(r);
	if (r->failed || offsets == NULL)
		return fail_message(s, "a row list is cut off");
	if (hint == HINT_FIXED) {
		if (fixed == 0 ? data.len > 0 : data.len % fixed != 0)
			return fail_message(s, "rows do not fit their size");
		for (size_t at = 0; at < data.len; at += fixed)
			if (!put_row(s, table, out, data.data + at, fixed))
				return false;
		return true;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint64_t begin = load_u64(offsets + 8 * (size_t)i), end = i + 1 < count ?
			load_u64(offsets + 8 * (size_t)(i + 1)) : data.len;
		if (begin > end || end > data.len)
			return fail_message(s, "row offsets are out of order");
		if (!put_row(s, table, out, data.data + begin, (size_t)(end - begin)))
			return false;
	}
	return true;
}

static void begin_update(struct session *s)
{
	for (uint32_t i = 0; i < s->table_count; i++) {
		buf_clear(&s->tables[i].deletes);
		buf_clear(&s->tables[i].inserts);
		s->tables[i].touched = false;
	}
}

/* {"person":{"deletes":[],"inserts":[{…}]}} */
static bool print_update(struct session *s)
{
	struct buf out = BUF_INIT(SIZE_MAX);
	bool first = true;
	buf_put_u8(&out, '{');
	for (uint32_t i = 0; i < s->table_count; i++) {
		struct shown_table *table = &s->tables[i];
		if (!table->touched)
			continue;
		buf_put_cstr(&out, first ? "" : ",");
		first = false;
		buf_put_json_str(&out, table->name);
		buf_put_cstr(&out, ":{\"deletes\":[");
		buf_put_str(&out, buf_str(&table->deletes));
		buf_put_cstr(&out, "],\"inserts\":[");
		buf_put_str(&out, buf_str(&table->inserts));
		buf_put_cstr(&out, "]}");
	}
	buf_put_cstr(&out, "}\n");
	bool ok = cli_print(s->cli, &out);
	buf_deinit(&out);
	return ok;
}

static struct shown_table *touch(struct session *s, struct reader *r)
{
	struct str name = reader_bsatn_str(r);
	if (r->failed) {
		fail_message(s, "a table's name is cut off");
		return NULL;
	}
	struct shown_table *table = table_find(s, name);
	if (table != NULL)
		table->touched = true;
	return table;
}

/* ---- messages ---- */

static bool take_applied(struct session *s, struct reader *r)
{
	(void)reader_u32(r); /* request */
	(void)reader_u32(r); /* query set */
	uint32_t count = reader_u32(r);
	if (s->applied)
		return cli_fail(s->cli, "protocol error: received a second initial subscription update");
	s->applied = true;
	begin_update(s);
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		struct shown_table *table = touch(s, r);
		if (table == NULL || !put_rows(s, r, table, &table->inserts))
			return false;
	}
	if (r->failed)
		return fail_message(s, "a message is cut off");
	return !s->print_initial || print_update(s);
}

static bool take_table_update(struct session *s, struct reader *r)
{
	struct shown_table *table = touch(s, r);
	uint32_t count = reader_u32(r);
	if (table == NULL)
		return false;
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		uint8_t kind = reader_u8(r);
		if (kind > ROWS_EVENT)
			return fail_message(s, "unknown kind of rows");
		if (!put_rows(s, r, table, &table->inserts))
			return false;
		if (kind == ROWS_PERSISTENT && !put_rows(s, r, table, &table->deletes))
			return false;
	}
	return true;
}

static bool take_transaction(struct session *s, struct reader *r)
{
	if (!s->applied)
		return cli_fail(s->cli, "protocol error: received transaction update before initial subscription update");
	begin_update(s);
	uint32_t sets = reader_u32(r);
	for (uint32_t i = 0; i < sets && !r->failed; i++) {
		(void)reader_u32(r);
		uint32_t tables = reader_u32(r);
		for (uint32_t k = 0; k < tables && !r->failed; k++)
			if (!take_table_update(s, r))
				return false;
	}
	if (r->failed)
		return fail_message(s, "a message is cut off");
	s->received++;
	return print_update(s);
}

static bool take_error(struct session *s, struct reader *r)
{
	if (reader_u8(r) == 0)
		(void)reader_u32(r);
	(void)reader_u32(r);
	struct str text = reader_bsatn_str(r);
	if (r->failed)
		return fail_message(s, "a message is cut off");
	return cli_fail(s->cli, "encountered error in initial subscribe: %.*s", STR_FMT(text));
}

static bool done(const struct session *s)
{
	return s->applied && s->limited && s->received >= s->wanted;
}

/* One payload: a compression tag, then messages back to back. */
static bool take_payload(struct session *s, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	if (reader_u8(&r) != 0)
		return cli_fail(s->cli, "protocol error: a compressed payload was not asked for");
	while (reader_left(&r) > 0 && !done(s)) {
		uint8_t tag = reader_u8(&r);
		bool ok;
		if (tag == TAG_INITIAL_CONNECTION) {
			(void)reader_take(&r, 32 + 16, "identities");
			(void)reader_bsatn_str(&r);
			ok = !r.failed || fail_message(s, "a message is cut off");
		} else if (tag == TAG_SUBSCRIBE_APPLIED) {
			ok = take_applied(s, &r);
		} else if (tag == TAG_SUBSCRIPTION_ERROR) {
			ok = take_error(s, &r);
		} else if (tag == TAG_TRANSACTION_UPDATE) {
			ok = take_transaction(s, &r);
		} else {
			ok = fail_message(s, "unexpected message");
		}
		if (!ok)
			return false;
	}
	return true;
}

static bool fail_closed(struct session *s)
{
	if (s->limited)
		return cli_fail(s->cli, "subscription closed after receiving %lu/%lu updates", (unsigned long)s->received,
			(unsigned long)s->wanted);
	fputs("disconnected by server\n", stderr);
	return true;
}

static bool fail_late(struct session *s, uint64_t seconds)
{
	fprintf(stderr, "timed out after %lus\n", (unsigned long)seconds);
	if (!s->limited || s->received >= s->wanted)
		return true;
	return cli_fail(s->cli, "subscription timed out after %lus after receiving %lu/%lu updates", (unsigned long)seconds,
		(unsigned long)s->received, (unsigned long)s->wanted);
}

/* `seconds` UINT64_MAX: no limit. */
static bool receive_all(struct session *s, uint64_t seconds)
{
	uint64_t begin = clock_mono_nanos() / 1000000;
	while (!done(s)) {
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
		if (message.binary && !take_payload(s, message.data, message.len))
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
	struct ws_client_options options = { .protocol = PROTOCOL, .message_bytes_max = MESSAGE_BYTES_MAX,
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
	struct session s = { .cli = cli, .schema = &schema, .limited = cli_args_text(args, "num-updates") != NULL,
		.print_initial = cli_args_flag(args, "print-initial-update") };
	s.wanted = s.limited ? cli_args_number(args, "num-updates") : 0;
	s.tables = cli_alloc(cli, ((size_t)schema.table_count + 1) * sizeof(*s.tables));
	bool ok = connect_session(&s, &target, cli_args_text(args, "confirmed")) && send_queries(&s, &words)
		&& receive_all(&s, timed ? cli_args_number(args, "timeout") : UINT64_MAX);
	close_session(&s);
	for (uint32_t i = 0; i < s.table_count; i++) {
		buf_deinit(&s.tables[i].deletes);
		buf_deinit(&s.tables[i].inserts);
	}
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
