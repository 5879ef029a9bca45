/* SPDX-License-Identifier: Apache-2.0 */
/* A network loop's place, taken by a plain function. */
#include "driver.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum { MODULE_BYTES_MAX = 64 << 20, MESSAGE_BYTES_MAX = 256, STEP_BUDGET = 256, LOOP = 0 };
enum { TAG_SUBSCRIBE = 0, TAG_CALL_REDUCER = 3 };
enum { TAG_SUBSCRIPTION_ERROR = 3, TAG_TRANSACTION_UPDATE = 4, TAG_REDUCER_RESULT = 6, OUTCOME_AT = 13 };

/* ---- what comes back ---- */

static void take_entry(struct driver *driver, const struct delivery_entry *entry)
{
	bool is_message = entry->kind == DELIVERY_CLASS || entry->kind == DELIVERY_MESSAGE;
	driver->entry_bytes += entry->size;
	if (is_message && entry->body[0] == TAG_TRANSACTION_UPDATE)
		driver->updates++;
	if (entry->kind == DELIVERY_CLOSE || entry->kind == DELIVERY_DROP ||
		(is_message && entry->body[0] == TAG_SUBSCRIPTION_ERROR))
		driver->failures++;
	if (entry->kind != DELIVERY_MESSAGE || entry->body_len <= OUTCOME_AT || entry->body[0] != TAG_REDUCER_RESULT)
		return;
	driver->replies++;
	if (entry->body[OUTCOME_AT] > 1 && driver->failures++ == 0)
		snprintf(driver->first_failure, sizeof(driver->first_failure), "%.*s",
			(int)entry->body_len - OUTCOME_AT - 5, (const char *)entry->body + OUTCOME_AT + 5);
}

static void deliver(void *context, struct delivery_block *block)
{
	struct driver *driver = context;
	driver->blocks++;
	for (const struct delivery_entry *e = delivery_first(block); !delivery_at_end(block, e); e = delivery_next(e))
		take_entry(driver, e);
	delivery_block_done(block);
}

static void durable(void *context, struct database *database, uint32_t loop)
{
	(void)context, (void)database, (void)loop;
}

static void run(struct driver *driver, struct database_inbox *inbox)
{
	database_inbox_post(driver->database, inbox);
	while (database_run_pending(driver->database, STEP_BUDGET))
		;
}

/* ---- clients ---- */

static bool put_one(struct driver *driver, enum database_message_kind kind, struct database_client *client,
	const struct buf *message)
{
	struct database_inbox *inbox = database_inbox_open(driver->database, LOOP);
	bool ok = inbox != NULL && database_inbox_put(inbox, kind, client, message == NULL ? NULL : message->data,
		message == NULL ? 0 : message->len);
	if (inbox != NULL)
		run(driver, inbox);
	return ok;
}

bool driver_client_add(struct driver *driver)
{
	if (driver->client_count == DRIVER_CLIENTS_MAX)
		return false;
	struct database_client_options options = { .token = STR("token"), .conn = driver->client_count + 1, .loop = LOOP,
		.protocol = 2, .caller.jwt_payload = STR("{}") };
	store_u64(options.caller.identity.le, driver->client_count + 1);
	store_u64(options.caller.connection.le, driver->client_count + 1);
	struct database_client *client = database_client_create(driver->database, &options);
	if (client == NULL)
		return false;
	driver->clients[driver->client_count++] = client;
	return put_one(driver, DATABASE_CONNECT, client, NULL);
}

bool driver_subscribe(struct driver *driver, uint32_t client, const char *query)
{
	struct buf text = BUF_INIT(MESSAGE_BYTES_MAX), message = BUF_INIT(MESSAGE_BYTES_MAX);
	for (const char *at = query; *at != 0; at++)
		if (*at == '#')
			buf_printf(&text, "%u", client);
		else
			buf_put_u8(&text, (uint8_t)*at);
	buf_put_u8(&message, TAG_SUBSCRIBE);
	buf_put_u32(&message, 1);
	buf_put_u32(&message, 1);
	buf_put_u32(&message, 1);
	buf_put_bsatn_str(&message, buf_str(&text));
	bool ok = !text.failed && !message.failed &&
		put_one(driver, DATABASE_PROTOCOL, driver->clients[client], &message) && driver->failures == 0;
	buf_deinit(&text);
	buf_deinit(&message);
	return ok;
}

bool driver_subscriber_add(struct driver *driver, const char *query)
{
	return driver_client_add(driver) && driver_subscribe(driver, driver->client_count - 1, query);
}

/* ---- calls ---- */

static struct buf *call_begin(struct driver *driver, const char *reducer, size_t args_len)
{
	struct buf *out = &driver->message;
	buf_clear(out);
	buf_put_u8(out, TAG_CALL_REDUCER);
	buf_put_u32(out, 0);
	buf_put_u8(out, 0);
	buf_put_bsatn_str(out, str_of(reducer));
	buf_put_u32(out, (uint32_t)args_len);
	return out;
}

static uint32_t draw(struct driver *driver, uint32_t below)
{
	driver->random = driver->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((driver->random >> 32) * below >> 32);
}

/* Sends `message` count times; with accounts > 0 its two first arguments are drawn anew each time. */
static bool send_calls(struct driver *driver, struct buf *message, size_t args_at, uint32_t accounts, uint32_t count,
	uint32_t batch)
{
	uint64_t due = driver->replies + count;
	while (count > 0 && !message->failed) {
		struct database_inbox *inbox = database_inbox_open(driver->database, LOOP);
		if (inbox == NULL)
			return false;
		uint32_t take = count < batch ? count : batch;
		count -= take;
		for (; take > 0; take--) {
			store_u32(message->data + 1, driver->next_id++);
			if (accounts > 0) {
				uint32_t from = draw(driver, accounts), to = draw(driver, accounts - 1);
				store_u32(message->data + args_at, from);
				store_u32(message->data + args_at + 4, to + (to >= from));
			}
			if (!database_inbox_put(inbox, DATABASE_PROTOCOL, driver->clients[0], message->data, message->len))
				return false;
		}
		run(driver, inbox);
	}
	return !message->failed && driver->replies == due;
}

bool driver_calls(struct driver *driver, const char *reducer, struct bytes args, uint32_t count, uint32_t batch)
{
	struct buf *message = call_begin(driver, reducer, args.len);
	if (args.len > 0)
		buf_put(message, args.data, args.len);
	return send_calls(driver, message, 0, 0, count, batch);
}

bool driver_transfers(struct driver *driver, uint32_t accounts, uint32_t count, uint32_t batch)
{
	struct buf *message = call_begin(driver, "transfer", 16);
	size_t args_at = message->len;
	buf_put_u64(message, 0);
	buf_put_u64(message, 1); /* amount */
	return send_calls(driver, message, args_at, accounts, count, batch);
}

bool driver_call_json(struct driver *driver, const char *reducer, const char *json)
{
	struct database_result result = { .text = BUF_INIT(1 << 20) };
	struct database_caller caller = { .jwt_payload = STR("{}") };
	store_u64(caller.identity.le, UINT64_MAX);
	store_u64(caller.connection.le, UINT64_MAX);
	database_call_json(driver->database, &caller, str_of(reducer), str_of(json), true, &result);
	bool ok = result.outcome == DATABASE_COMMITTED;
	if (!ok)
		fprintf(stderr, "driver: %s: %s\n", reducer, buf_text(&result.text));
	database_result_deinit(&result);
	return ok;
}

/* ---- life ---- */

static bool read_module(const char *path, struct buf *out)
{
	FILE *file = fopen(path, "rb");
	uint8_t *at;
	size_t got = 1;
	while (file != NULL && got > 0 && (at = buf_extend(out, 1 << 16)) != NULL) {
		got = fread(at, 1, 1 << 16, file);
		out->len -= (1 << 16) - got;
	}
	if (file == NULL)
		perror(path);
	else
		fclose(file);
	return file != NULL && !out->failed;
}

bool driver_open(struct driver *driver, const char *module, const char *dir)
{
	struct error why;
	struct buf program = BUF_INIT(MODULE_BYTES_MAX), text = BUF_INIT(1 << 20);
	*driver = (struct driver){ .random = 1, .message = BUF_INIT(MESSAGE_BYTES_MAX) };
	driver->sink = (struct database_sink){ .context = driver, .loop_count = 1, .deliver = deliver, .durable = durable };
	struct runtime_options runtime = { .call_ms_max = UINT32_MAX };
	struct database_options options = { .in_memory = dir == NULL, .sink = &driver->sink };
	if (dir != NULL) {
		snprintf(driver->dir, sizeof(driver->dir), "%s", dir);
		options.dir = driver->dir;
		options.writers = driver->writers = commitlog_writers_create(1);
	}
	options.runtime = driver->runtime = runtime_create(&runtime, &why);
	bool ok = driver->runtime != NULL && buf_reserve(&driver->message, MESSAGE_BYTES_MAX) &&
		read_module(module, &program) &&
		database_create(&options, RUNTIME_WASM, buf_bytes(&program), NULL, &driver->database, &text) == WL_OK &&
		driver_client_add(driver);
	if (!ok) {
		fprintf(stderr, "driver: %s\n", driver->runtime == NULL ? why.text : buf_text(&text));
		driver_close(driver);
	}
	buf_deinit(&program);
	buf_deinit(&text);
	return ok;
}

void driver_close(struct driver *driver)
{
	for (uint32_t i = 0; i < driver->client_count; i++)
		(void)put_one(driver, DATABASE_DISCONNECT, driver->clients[i], NULL);
	if (driver->database != NULL) {
		database_close(driver->database, STR("done"));
		database_release(driver->database);
	}
	if (driver->runtime != NULL)
		runtime_destroy(driver->runtime);
	if (driver->writers != NULL)
		commitlog_writers_destroy(driver->writers);
	buf_deinit(&driver->message);
	*driver = (struct driver){ .random = 1 };
}
