/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of a subscription as lines of JSON. Every byte is checked against the schema before it is shown; a message
 * that does not fit ends the session.
 */
#include "cli/updates.h"

enum { TAG_INITIAL_CONNECTION, TAG_SUBSCRIBE_APPLIED, TAG_UNSUBSCRIBE_APPLIED, TAG_SUBSCRIPTION_ERROR,
	TAG_TRANSACTION_UPDATE };
enum { HINT_FIXED, HINT_OFFSETS };
enum { ROWS_PERSISTENT, ROWS_EVENT };

struct shown_table { /* what an update prints of one table */
	struct str name;
	const struct cli_table *table;
	const struct sats_layout *layout;
	struct buf deletes, inserts;
	bool touched; /* in this update */
};

/* ---- rows ---- */

static bool fail_message(struct cli_updates *s, const char *what)
{
	return cli_fail(s->cli, "error decoding BSATN websocket message: %s", what);
}

/* The table of this name, known from before or from the schema. */
static struct shown_table *table_find(struct cli_updates *s, struct str name)
{
	struct error error;
	for (uint32_t i = 0; i < s->table_count; i++)
		if (str_eq(s->tables[i].name, name))
			return &s->tables[i];
	const struct cli_table *known = cli_schema_table(s->schema, name);
	if (known == NULL || known->row == NULL || s->table_count == s->schema->table_count) {
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
	buf_init(&table->deletes, CLI_UPDATES_BYTES_MAX);
	buf_init(&table->inserts, CLI_UPDATES_BYTES_MAX);
	s->table_count++;
	return table;
}

static bool put_row(struct cli_updates *s, const struct shown_table *table, struct buf *out, const uint8_t *row,
	size_t len)
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
static bool put_rows(struct cli_updates *s, struct reader *r, const struct shown_table *table, struct buf *out)
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

static void begin_update(struct cli_updates *s)
{
	for (uint32_t i = 0; i < s->table_count; i++) {
		buf_clear(&s->tables[i].deletes);
		buf_clear(&s->tables[i].inserts);
		s->tables[i].touched = false;
	}
}

/* {"person":{"deletes":[],"inserts":[{…}]}} */
static bool put_update(struct cli_updates *s, struct buf *out)
{
	bool first = true;
	buf_put_u8(out, '{');
	for (uint32_t i = 0; i < s->table_count; i++) {
		struct shown_table *table = &s->tables[i];
		if (!table->touched)
			continue;
		buf_put_cstr(out, first ? "" : ",");
		first = false;
		buf_put_json_str(out, table->name);
		buf_put_cstr(out, ":{\"deletes\":[");
		buf_put_str(out, buf_str(&table->deletes));
		buf_put_cstr(out, "],\"inserts\":[");
		buf_put_str(out, buf_str(&table->inserts));
		buf_put_cstr(out, "]}");
	}
	buf_put_cstr(out, "}\n");
	cli_check(s->cli, out);
	return true;
}

static struct shown_table *touch(struct cli_updates *s, struct reader *r)
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

static bool take_applied(struct cli_updates *s, struct reader *r, struct buf *out)
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
	return !s->print_initial || put_update(s, out);
}

static bool take_table_update(struct cli_updates *s, struct reader *r)
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

static bool take_transaction(struct cli_updates *s, struct reader *r, struct buf *out)
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
	return put_update(s, out);
}

static bool take_error(struct cli_updates *s, struct reader *r)
{
	if (reader_u8(r) == 0)
		(void)reader_u32(r);
	(void)reader_u32(r);
	struct str text = reader_bsatn_str(r);
	if (r->failed)
		return fail_message(s, "a message is cut off");
	return cli_fail(s->cli, "encountered error in initial subscribe: %.*s", STR_FMT(text));
}

bool cli_updates_done(const struct cli_updates *s)
{
	return s->applied && s->limited && s->received >= s->wanted;
}

bool cli_updates_take(struct cli_updates *s, const uint8_t *data, size_t len, struct buf *out)
{
	struct reader r = reader_of(data, len);
	if (len < 2)
		return cli_fail(s->cli, "protocol error: received a payload without a message");
	if (reader_u8(&r) != 0)
		return cli_fail(s->cli, "protocol error: a compressed payload was not asked for");
	while (reader_left(&r) > 0 && !cli_updates_done(s)) {
		uint8_t tag = reader_u8(&r);
		bool ok;
		if (tag == TAG_INITIAL_CONNECTION) {
			(void)reader_take(&r, 32 + 16, "identities");
			(void)reader_bsatn_str(&r);
			ok = !r.failed || fail_message(s, "a message is cut off");
		} else if (tag == TAG_SUBSCRIBE_APPLIED) {
			ok = take_applied(s, &r, out);
		} else if (tag == TAG_SUBSCRIPTION_ERROR) {
			ok = take_error(s, &r);
		} else if (tag == TAG_TRANSACTION_UPDATE) {
			ok = take_transaction(s, &r, out);
		} else {
			ok = fail_message(s, "unexpected message");
		}
		if (!ok)
			return false;
	}
	return true;
}

void cli_updates_init(struct cli_updates *s, struct cli *cli, struct cli_schema *schema)
{
	*s = (struct cli_updates){ .cli = cli, .schema = schema };
	s->tables = cli_alloc(cli, ((size_t)schema->table_count + 1) * sizeof(*s->tables));
}

void cli_updates_deinit(struct cli_updates *s)
{
	for (uint32_t i = 0; i < s->table_count; i++) {
		buf_deinit(&s->tables[i].deletes);
		buf_deinit(&s->tables[i].inserts);
	}
}
