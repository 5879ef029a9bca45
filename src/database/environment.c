/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment: values of variables that the module declares, rows of
 * st_env. Publishing alone changes them, with a program or without one; what
 * is stored may be more than what is declared, and only that is checked against
 * the declarations. No text of an error holds a value.
 *
 * Source: since-2.8.md 2.5, 3.4, 5.1.
 */
#include "base/text.h"
#include "database/database_internal.h"

#include <stdlib.h>

/* ---- texts ---- */

static enum wl_err invalid(struct database_environment *change, struct buf *error, const char *text)
{
	change->fault = DATABASE_ENVIRONMENT_INVALID;
	buf_put_cstr(error, text);
	return WL_ERR_INVALID;
}

static enum wl_err invalid_key(struct database_environment *change, struct buf *error, struct str key, const char *text)
{
	buf_put_cstr(error, "environment key ");
	text_put_debug_str(error, key);
	buf_put_cstr(error, ": ");
	return invalid(change, error, text);
}

/* ---- the change in itself ---- */

bool database_variable_name_valid(struct str name)
{
	if (name.len == 0 || name.len > MODULE_ENVIRONMENT_NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return true;
}

static bool is_set(const struct database_environment *change, struct str name, uint32_t before)
{
	for (uint32_t i = 0; i < before; i++)
		if (str_eq(change->set[i].name, name))
			return true;
	return false;
}

static enum wl_err check_removed(struct database_environment *change, struct buf *error)
{
	static const char conflict[] = "conflicting environment update operations";
	if (change->removed_count > MODULE_ENVIRONMENT_MAX)
		return invalid(change, error, "too many stored values");
	for (uint32_t i = 0; i < change->removed_count; i++) {
		struct str name = change->removed[i];
		if (!database_variable_name_valid(name))
			return invalid(change, error, "invalid name");
		if (is_set(change, name, change->set_count))
			return invalid_key(change, error, name, conflict);
		for (uint32_t k = 0; k < i; k++)
			if (str_eq(change->removed[k], name))
				return invalid_key(change, error, name, conflict);
	}
	return WL_OK;
}

static enum wl_err check(struct database_environment *change, struct buf *error)
{
	if (change->set_count > MODULE_ENVIRONMENT_MAX)
		return invalid(change, error, "too many stored values");
	for (uint32_t i = 0; i < change->set_count; i++) {
		const struct database_variable *one = &change->set[i];
		if (!database_variable_name_valid(one->name))
			return invalid(change, error, "invalid name");
		if (one->value.len > MODULE_ENVIRONMENT_VALUE_BYTES_MAX)
			return invalid_key(change, error, one->name, "value exceeds size limit");
		if (is_set(change, one->name, i))
			return invalid_key(change, error, one->name, "conflicting environment update operations");
	}
	return check_removed(change, error);
}

/* ---- rows ---- */

static struct store_table *table_of(struct database *db)
{
	return store_table_by_id(db->store, ST_ENV);
}

static struct database_variable variable_of(const struct store_row *row)
{
	struct reader r = reader_of(row->data, row->len);
	struct database_variable variable = { .name = reader_bsatn_str(&r) };
	variable.value = reader_bsatn_str(&r);
	return variable;
}

static bool find(struct database *db, struct str name, struct store_row *row)
{
	uint8_t key[sizeof(uint32_t) + MODULE_ENVIRONMENT_NAME_BYTES_MAX];
	struct store_cursor cursor;
	store_u32(key, (uint32_t)name.len);
	memcpy(key + sizeof(uint32_t), name.data, name.len);
	return store_scan_point(store_index_by_id(db->store, ST_ENV_KEY_INDEX), key, sizeof(uint32_t) + name.len,
		&cursor) == STORE_OK && store_cursor_next(&cursor, row);
}

static bool is_removed(const struct database_environment *change, struct str name)
{
	if (change->remove_all)
		return !is_set(change, name, change->set_count);
	for (uint32_t i = 0; i < change->removed_count; i++)
		if (str_eq(change->removed[i], name))
			return true;
	return false;
}

static enum store_status remove_rows(struct database *db, const struct database_environment *change, bool *changed)
{
	for (bool again = true; again;) { /* a cursor ends with the first write */
		struct store_cursor cursor;
		struct store_row row;
		again = false;
		store_scan(table_of(db), &cursor);
		while (!again && store_cursor_next(&cursor, &row)) {
			if (!is_removed(change, variable_of(&row).name))
				continue;
			enum store_status status = store_delete(db->store, table_of(db), row.number);
			if (status != STORE_OK)
				return status;
			again = *changed = true;
		}
	}
	return STORE_OK;
}

static enum store_status set_row(struct database *db, const struct database_variable *variable, bool *changed)
{
	struct store_row old;
	bool exists = find(db, variable->name, &old);
	if (exists && str_eq(variable_of(&old).value, variable->value))
		return STORE_OK;
	struct buf row = BUF_INIT(MODULE_ENVIRONMENT_VALUE_BYTES_MAX + 1024);
	buf_put_bsatn_str(&row, variable->name);
	buf_put_bsatn_str(&row, variable->value);
	size_t len = row.len;
	struct store_index *index = store_index_by_id(db->store, ST_ENV_KEY_INDEX);
	enum store_status status = row.failed ? STORE_MEMORY
		: exists ? store_update(db->store, table_of(db), index, row.data, &len, NULL)
		: store_insert(db->store, table_of(db), row.data, &len, NULL);
	buf_deinit(&row);
	*changed = true;
	return status;
}

/* ---- the result, against what the module declares ---- */

static bool may_be(const struct module_env *declared, struct str value)
{
	for (uint32_t i = 0; i < declared->value_count; i++)
		if (str_eq(declared->values[i], value))
			return true;
	return declared->value_count == 0 && !declared->is_union;
}

static int by_name(const void *a, const void *b)
{
	struct str x = *(const struct str *)a, y = *(const struct str *)b;
	int order = memcmp(x.data, y.data, size_min(x.len, y.len));
	return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

/* As JSON, in order; takes and frees the list. */
static void put_names(struct buf *out, struct buf *names)
{
	uint32_t count = (uint32_t)(names->len / sizeof(struct str));
	struct str *list = (struct str *)(void *)names->data;
	if (count > 1)
		qsort(list, count, sizeof(*list), by_name);
	buf_put_u8(out, '[');
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			buf_put_u8(out, ',');
		buf_put_json_str(out, list[i]);
	}
	buf_put_u8(out, ']');
	out->failed = out->failed || names->failed;
	buf_deinit(names);
}

static enum wl_err check_declared(struct database *db, const struct module_info *info,
	struct database_environment *change, struct buf *error)
{
	struct buf missing = BUF_INIT(MODULE_ENVIRONMENT_MAX * sizeof(struct str));
	struct store_row row;
	for (uint32_t i = 0; i < info->environment_count; i++) {
		const struct module_env *declared = &info->environment[i];
		bool exists = find(db, declared->name, &row);
		if (exists && !may_be(declared, variable_of(&row).value)) {
			buf_deinit(&missing);
			return invalid_key(change, error, declared->name, "value does not satisfy its declared string constraint");
		}
		if (!exists && !declared->is_optional)
			buf_put(&missing, &declared->name, sizeof(declared->name));
	}
	bool ok = missing.len == 0 && !missing.failed;
	if (!ok) {
		change->fault = DATABASE_ENVIRONMENT_MISSING;
		put_names(error, &missing);
	}
	return ok ? WL_OK : WL_ERR_INVALID;
}

enum wl_err db_environment_apply(struct database *db, const struct module_info *info,
	struct database_environment *change, bool *changed, struct buf *error)
{
	*changed = false;
	enum wl_err err = check(change, error);
	if (err != WL_OK)
		return err;
	enum store_status status = info->has_environment ? store_system_describe(db->store, ST_ENV) : STORE_OK;
	if (status == STORE_OK)
		status = remove_rows(db, change, changed);
	for (uint32_t i = 0; status == STORE_OK && i < change->set_count; i++)
		status = set_row(db, &change->set[i], changed);
	if (status != STORE_OK) {
		buf_put_cstr(error, "not enough memory for the environment");
		return WL_ERR_MEMORY;
	}
	if (store_table_row_count(table_of(db)) > MODULE_ENVIRONMENT_MAX)
		return invalid(change, error, "too many stored values");
	return check_declared(db, info, change, error);
}

enum runtime_variable db_environment_variable(const struct module_def *def, struct str name)
{
	const struct module_env *declared = module_environment(def, name);
	return declared == NULL ? RUNTIME_VARIABLE_UNDECLARED
		: declared->is_optional ? RUNTIME_VARIABLE_OPTIONAL : RUNTIME_VARIABLE_REQUIRED;
}

/* ---- without a program ---- */

struct environment_task {
	struct database_environment *change;
	const uint8_t *expected_hash;
	enum wl_err err;
	uint64_t offset;
	struct buf *error;
};

static enum wl_err commit(struct database *db, struct environment_task *task)
{
	struct buf why = BUF_INIT(ERROR_TEXT_BYTES_MAX);
	enum wl_err err = db_commit(db, db_now(db), REDUCER_NAME_UNKNOWN, NULL, true, NULL, &why);
	if (err == WL_ERR_DENIED) { /* a view's own text may hold a value */
		task->change->fault = DATABASE_ENVIRONMENT_VIEW_FAILED;
		buf_put_cstr(task->error, "view evaluation failed during environment publication");
	} else {
		buf_put_str(task->error, buf_str(&why));
	}
	buf_deinit(&why);
	return err;
}

static void change_on_executor(struct database *db, void *arg)
{
	struct environment_task *task = arg;
	bool changed;
	if (task->expected_hash != NULL && memcmp(task->expected_hash, db->module.hash, sizeof(db->module.hash)) != 0) {
		task->change->fault = DATABASE_ENVIRONMENT_CONFLICT;
		buf_put_cstr(task->error,
			"database program changed before publication; reload environment metadata and retry");
		task->err = WL_ERR_INVALID;
		return;
	}
	db_begin(db);
	task->err = db_environment_apply(db, db->module.info, task->change, &changed, task->error);
	if (task->err != WL_OK || !changed)
		db_rollback(db);
	else
		task->err = commit(db, task);
	if (task->err != WL_OK || !changed)
		return;
	task->offset = db->offset;
	db_log_host(db, 2, "Environment updated");
}

enum wl_err database_environment_update(struct database *db, struct database_environment *change,
	const uint8_t expected_hash[32], struct buf *error)
{
	enum { DURABLE_WAIT_MS = 60000 };
	struct environment_task task = { .change = change, .expected_hash = expected_hash, .offset = COMMITLOG_NONE,
		.error = error };
	enum wl_err err = database_run(db, change_on_executor, &task);
	if (err == WL_OK)
		err = task.err;
	if (err == WL_OK && task.offset != COMMITLOG_NONE && !database_wait_durable(db, task.offset, DURABLE_WAIT_MS)) {
		buf_put_cstr(error, "the environment could not be made durable in time");
		return WL_ERR_IO;
	}
	return err;
}

/* ---- what others may see: everything but the values ---- */

static void put_declarations(struct buf *json, const struct module_info *info)
{
	buf_put_u8(json, '[');
	for (uint32_t i = 0; i < info->environment_count; i++) {
		const struct module_env *one = &info->environment[i];
		buf_put_cstr(json, i == 0 ? "{\"name\":" : ",{\"name\":");
		buf_put_json_str(json, one->name);
		buf_put_cstr(json, ",\"ty\":");
		if (one->value_count == 0 && !one->is_union)
			buf_put_cstr(json, "\"String\"");
		else
			buf_put_cstr(json, one->is_union ? "{\"Union\":[" : "{\"StringLiteral\":");
		for (uint32_t v = 0; v < one->value_count; v++) {
			if (v > 0)
				buf_put_u8(json, ',');
			buf_put_json_str(json, one->values[v]);
		}
		if (one->is_union)
			buf_put_u8(json, ']');
		if (one->value_count > 0 || one->is_union)
			buf_put_u8(json, '}');
		buf_printf(json, ",\"optional\":%s}", one->is_optional ? "true" : "false");
	}
	buf_put_u8(json, ']');
}

struct shown {
	struct buf *json;
	uint8_t *hash;
};

static void show_on_executor(struct database *db, void *arg)
{
	struct shown *shown = arg;
	struct store_cursor cursor;
	struct store_row row;
	struct buf names = BUF_INIT(SIZE_MAX);
	memcpy(shown->hash, db->module.hash, sizeof(db->module.hash));
	buf_put_cstr(shown->json, "\"declarations\":");
	put_declarations(shown->json, db->module.info);
	store_scan(table_of(db), &cursor);
	while (store_cursor_next(&cursor, &row)) {
		struct str name = variable_of(&row).name;
		buf_put(&names, &name, sizeof(name));
	}
	buf_put_cstr(shown->json, ",\"stored_keys\":");
	put_names(shown->json, &names);
}

enum wl_err database_environment_json(struct database *db, uint8_t hash[32], struct buf *json)
{
	struct shown shown = { json, hash };
	return database_run(db, show_on_executor, &shown);
}
