/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: tables whose first column says whose rows they are, that is, with
 * which arguments and for which sender the view was called. What views there
 * are and what they take stands in system tables. Source: since-2.8.md 2.8, 4.
 */
#include "native.h"
#include "query/query_internal.h"

static const char hash_prefix[] = "spacetimedb::view::args::v1"; /* with its zero */

bool query_view_hash(const struct identity *sender, struct bytes arguments, uint8_t out[32])
{
	uint8_t few[256];
	size_t head = sizeof(hash_prefix) + (sender == NULL ? 0 : sizeof(sender->le)), len = head + arguments.len;
	uint8_t *text = len <= sizeof(few) ? few : mem_alloc(len);
	if (text == NULL)
		return false;
	memcpy(text, hash_prefix, sizeof(hash_prefix));
	if (sender != NULL)
		memcpy(text + sizeof(hash_prefix), sender->le, sizeof(sender->le));
	if (arguments.len > 0)
		memcpy(text + head, arguments.data, arguments.len);
	native_blake3(text, len, out);
	if (text != few)
		mem_free(text);
	return true;
}

/* ---- what the system tables say ---- */

struct view {
	uint32_t id;
	bool is_anonymous;
};

/* st_view: view_id u32, view_name str, table_id option<u32>, is_public bool, is_anonymous bool. */
static bool find_view(struct store *store, const struct store_table *table, struct view *out)
{
	struct store_cursor cursor;
	struct store_row row;
	if (!store_table_def(table)->is_ephemeral)
		return false;
	store_scan(store_table_by_id(store, ST_VIEW), &cursor);
	while (store_cursor_next(&cursor, &row)) {
		struct reader r = reader_of(row.data, row.len);
		uint32_t id = reader_u32(&r);
		(void)reader_bsatn_bytes(&r);
		if (reader_u8(&r) != 0 || reader_u32(&r) != store_table_def(table)->id)
			continue;
		(void)reader_u8(&r);
		*out = (struct view){ id, reader_u8(&r) != 0 };
		return true;
	}
	return false;
}

/* st_view_param: view_id u32, param_pos u16, param_name str, param_type bytes; by id and position. False: no more. */
static bool find_param(struct store *store, const struct view *view, uint32_t position, struct str *name,
	struct bytes *type)
{
	static const uint16_t key_columns[2] = { 0, 1 };
	struct store_index *index = store_table_index_on(store_table_by_id(store, ST_VIEW_PARAM), key_columns, 2);
	struct store_cursor cursor;
	struct store_row row;
	uint8_t key[6];
	store_u32(key, view->id);
	store_u16(key + 4, (uint16_t)position);
	if (index == NULL || position > UINT16_MAX ||
		store_scan_point(index, key, sizeof(key), &cursor) != STORE_OK || !store_cursor_next(&cursor, &row))
		return false;
	struct reader r = reader_of(row.data + sizeof(key), row.len - sizeof(key));
	*name = reader_bsatn_str(&r);
	*type = reader_bsatn_bytes(&r);
	return !r.failed;
}

static uint32_t param_count(struct store *store, const struct store_table *table, struct view *view)
{
	uint32_t count = 0;
	struct str name;
	struct bytes type;
	if (!find_view(store, table, view))
		return 0;
	while (find_param(store, view, count, &name, &type))
		count++;
	return count;
}

bool query_takes_arguments(struct store *store, const struct store_table *table)
{
	struct view view;
	return param_count(store, table, &view) > 0;
}

const struct node *bind_view(struct binder *binder, const struct block *block, uint16_t relation)
{
	struct store_table *table = block->relations[relation].table;
	struct view view = { .is_anonymous = true };
	struct node *node = arena_zalloc(&binder->query->arena, sizeof(*node));
	uint8_t *hash = arena_alloc(&binder->query->arena, 32);
	if (node == NULL || hash == NULL)
		return NULL;
	(void)find_view(binder->store, table, &view);
	if (!query_view_hash(view.is_anonymous ? NULL : &binder->caller->identity, binder->query->view_arguments, hash))
		return NULL;
	binder->query->depends_on_caller |= !view.is_anonymous;
	*node = (struct node){ .kind = NODE_COMPARE_CONSTANT, .op = OP_EQ, .relation = relation,
		.layout = block->relations[relation].layout, .type = store_table_def(table)->columns[0].type,
		.constant = { hash, 32 } };
	return node;
}

/* ---- calls ---- */

/* SELECT * FROM it, and nothing else. */
static bool is_whole(const struct statement *s)
{
	return s->kind == QUERY_SELECT && (s->projection == PROJECT_ALL || s->projection == PROJECT_TABLE) &&
		s->where == NULL && !s->has_limit && !s->has_offset && !s->is_distinct && s->group_count == 0 &&
		s->having == NULL && s->order_count == 0;
}

static bool is_passable(const struct sats_type *type)
{
	switch (type->special) {
	case SATS_IDENTITY:
	case SATS_CONNECTION_ID:
	case SATS_TIMESTAMP:
	case SATS_UUID:
		return true;
	default:
		return sats_is_bytes(type) || type->tag == SATS_STRING || type->tag == SATS_BOOL ||
			(type->tag >= SATS_I8 && type->tag <= SATS_F64);
	}
}

/* -0.0 and 0.0 are one argument. */
static void put_argument(struct buf *out, const struct sats_type *type, struct bytes value)
{
	bool is_float = type->tag == SATS_F32 || type->tag == SATS_F64;
	size_t at = out->len;
	buf_put(out, value.data, value.len);
	if (!is_float || out->failed)
		return;
	uint8_t rest = 0;
	for (size_t i = 0; i + 1 < value.len; i++)
		rest |= value.data[i];
	if (rest == 0 && value.data[value.len - 1] == 0x80)
		out->data[at + value.len - 1] = 0;
}

static enum wl_err bind_argument(struct binder *binder, const struct relvar *relvar, const struct view *view,
	uint32_t position, struct buf *out)
{
	struct str name = { NULL, 0 };
	struct bytes encoded = { NULL, 0 }, value;
	const struct sats_type *type;
	struct error why;
	(void)find_param(binder->store, view, position, &name, &encoded);
	struct reader r = reader_of(encoded.data, encoded.len);
	if (sats_type_decode(binder->syntax, &r, &type, &why) != WL_OK)
		return no_memory(binder->error);
	if (!is_passable(type)) {
		buf_printf(binder->error, "Parameter `%.*s` of view `%.*s` has type ", STR_FMT(name), STR_FMT(relvar->table));
		sats_type_pretty(binder->error, type);
		buf_put_cstr(binder->error, ", which cannot be passed from SQL");
		return WL_ERR_INVALID;
	}
	if (!query_literal(binder, relvar->arguments[position].literal, type, &value))
		return WL_ERR_INVALID;
	put_argument(out, type, value);
	return WL_OK;
}

static enum wl_err check_call(struct binder *binder, const struct statement *s, const struct relvar *relvar,
	uint32_t count)
{
	struct buf *error = binder->error;
	for (uint32_t i = 0; i < relvar->argument_count; i++) {
		const struct argument *a = &relvar->arguments[i];
		if (a->literal != NULL && a->is_positional)
			continue;
		buf_printf(error, "Unsupported view argument: %.*s. View arguments must be %sliterals",
			STR_FMT(str_cut(a->source, 1024)), a->is_positional ? "" : "positional ");
		return WL_ERR_INVALID;
	}
	if (s->join_count > 0 && relvar->argument_count > 0)
		buf_printf(error, "Unsupported view call in a JOIN: `%.*s`. A view that takes arguments can only be queried by "
			"itself", STR_FMT(relvar->table));
	else if (relvar->argument_count != count)
		buf_printf(error, "View `%.*s` takes %u argument(s), but %u were given", STR_FMT(relvar->table), count,
			relvar->argument_count);
	else if (!is_whole(s))
		buf_printf(error, "View `%.*s` takes arguments, so it can only be queried as `SELECT * FROM %.*s(...)`",
			STR_FMT(relvar->table), STR_FMT(relvar->table));
	else
		return WL_OK;
	return WL_ERR_INVALID;
}

enum wl_err bind_arguments(struct binder *binder, const struct statement *s, const struct relvar *relvar,
	struct store_table *table)
{
	struct view view;
	bool is_view = store_table_def(table)->is_ephemeral;
	if (!is_view && relvar->argument_count == 0)
		return WL_OK;
	uint32_t count = is_view ? param_count(binder->store, table, &view) : 0;
	if (count == 0 && relvar->argument_count == 0)
		return WL_OK;
	if (count == 0) { /* as the reference refuses it where no view takes any */
		if (is_view)
			buf_printf(binder->error, "Unsupported FROM expression: %.*s", STR_FMT(str_cut(relvar->call, 1024)));
		else
			buf_printf(binder->error, "`%.*s` is a table, not a view; it does not take arguments",
				STR_FMT(relvar->table));
		return WL_ERR_INVALID;
	}
	if (binder->rule.data != NULL) {
		buf_printf(binder->error, "Row-level security is not supported on parameterized views: %.*s",
			STR_FMT(str_cut(binder->rule, 1024)));
		return WL_ERR_INVALID;
	}
	enum wl_err err = check_call(binder, s, relvar, count);
	struct buf arguments = BUF_INIT(QUERY_TEXT_MAX * 2);
	for (uint32_t i = 0; err == WL_OK && i < count; i++)
		err = bind_argument(binder, relvar, &view, i, &arguments);
	if (err == WL_OK) {
		uint8_t *copy = arena_copy(&binder->query->arena, arguments.data, arguments.len);
		binder->query->view_arguments = (struct bytes){ copy, arguments.len };
		if (arguments.failed || copy == NULL)
			err = no_memory(binder->error);
	}
	buf_deinit(&arguments);
	return err;
}
