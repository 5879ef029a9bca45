/* SPDX-License-Identifier: Apache-2.0 */
/* Routes about one database: its record, schema, clock, lock, and its end. */
#include "api/api_internal.h"
#include "base/clock.h"
#include "module/module.h"

#include <stdio.h>

void route_database(struct api_call *call)
{
	struct host_record record;
	if (!call_lookup(call, call->params[0]))
		return;
	if (!host_record(call->api->host, &call->database, &record)) {
		reply_text(call, 404, STR("No such database."));
		return;
	}
	struct buf json = BUF_INIT(4096);
	buf_put_cstr(&json, "{\"database_identity\":");
	put_identity_json(&json, &record.identity);
	buf_put_cstr(&json, ",\"owner_identity\":");
	put_identity_json(&json, &record.owner);
	buf_printf(&json, ",\"host_type\":{\"%s\":[]},\"initial_program\":\"", record.kind == RUNTIME_JS ? "Js" : "Wasm");
	put_u256(&json, record.initial_program);
	buf_put_cstr(&json, "\"}");
	reply_json(call, 200, &json);
}

/* Echoes an identity without looking whether there is such a database. */
void route_database_identity(struct api_call *call)
{
	struct identity id;
	struct str name;
	bool is_name;
	char hex[65];
	if (!call_name_or_identity(call, call->params[0], &id, &name, &is_name))
		return;
	if (is_name && !host_resolve(call->api->host, name, &id)) {
		reply_printf(call, 404, "`%.*s` not found", STR_FMT(name));
		return;
	}
	identity_to_hex(&id, hex);
	reply_text(call, 200, str_of(hex));
}

void route_timestamp(struct api_call *call)
{
	struct buf json = BUF_INIT(128);
	buf_printf(&json, "{\"__timestamp_micros_since_unix_epoch__\":%lld}", (long long)clock_wall_micros());
	reply_json(call, 200, &json);
}

void route_schema(struct api_call *call)
{
	struct str version;
	struct database *db;
	bool present;
	if (!call_query(call, "version", &version, &present))
		return;
	if (!present) {
		reply_bad_query(call, "missing field `version`");
		return;
	}
	bool nine = str_eq(version, STR("9"));
	if (!nine && !str_eq(version, STR("10"))) {
		reply_bad_query(call, "unknown variant `%.*s`, expected `9` or `10`", STR_FMT(version));
		return;
	}
	if (!call_open_database(call, &db))
		return;
	struct buf json = BUF_INIT(64 << 20);
	struct module_def *def = database_module(db);
	if (def == NULL) {
		reply_text(call, 503, STR("the database has been closed"));
	} else if (module_schema_json(def, nine ? 9 : 10, &json) != WL_OK) {
		reply_text(call, 500, STR("the schema cannot be written"));
		buf_deinit(&json);
	} else {
		reply_json(call, 200, &json);
	}
	module_def_release(def);
	database_release(db);
}

/* What it takes of memory and disk, and may take. */
void route_usage(struct api_call *call)
{
	struct host_record record;
	struct database *db;
	if (!call_is_owner(call, "view usage", &record) || !call_open_database(call, &db))
		return;
	struct database_stats stats;
	struct buf json = BUF_INIT(4096);
	database_stats(db, &stats);
	buf_printf(&json, "{\"rows\":%llu,\"memory_bytes\":%llu,\"memory_max_bytes\":%llu,",
		(unsigned long long)stats.rows,
		(unsigned long long)(stats.row_bytes + stats.index_bytes + stats.guest_bytes),
		(unsigned long long)stats.memory_max);
	buf_printf(&json, "\"disk_bytes\":%llu,\"log_bytes\":%llu,\"snapshot_bytes\":%llu,\"disk_max_bytes\":%llu,",
		(unsigned long long)(stats.log_bytes + stats.snapshot_bytes), (unsigned long long)stats.log_bytes,
		(unsigned long long)stats.snapshot_bytes, (unsigned long long)stats.disk_max);
	const char *state = database_failed(db) ? "failed" : database_read_only(db) ? "read-only" : "ok";
	buf_printf(&json, "\"state\":\"%s\"}", state);
	database_release(db);
	reply_json(call, 200, &json);
}

void route_state_hash(struct api_call *call)
{
	struct host_record record;
	struct database *db;
	uint64_t offset, hash;
	if (!call_is_owner(call, "view state hash", &record) || !call_open_database(call, &db))
		return;
	struct buf tables = BUF_INIT(16 << 20), json = BUF_INIT(17 << 20);
	enum wl_err err = database_state_hash(db, &offset, &hash, &tables);
	database_release(db);
	if (err != WL_OK || tables.failed) {
		reply_text(call, 503, str_of(wl_err_name(err != WL_OK ? err : WL_ERR_MEMORY)));
	} else {
		buf_printf(&json, "{\"offset\":%llu,\"hash\":\"%016llx\",\"tables\":[", (unsigned long long)offset,
			(unsigned long long)hash);
		buf_put_str(&json, buf_str(&tables));
		buf_put_cstr(&json, "]}");
		reply_json(call, 200, &json);
	}
	buf_deinit(&tables);
}

/* ---- lock, delete ---- */

static void set_lock(struct api_call *call, bool locked)
{
	struct host_record record;
	struct error error;
	if (!call_is_owner(call, "delete database", &record))
		return;
	enum wl_err err = host_lock(call->api->host, &call->database, locked, &error);
	if (err == WL_OK)
		reply_empty(call, 200);
	else
		reply_text(call, err == WL_ERR_NOT_FOUND ? 404 : 500, str_of(error.text));
}

void route_lock(struct api_call *call)
{
	set_lock(call, true);
}

void route_unlock(struct api_call *call)
{
	set_lock(call, false);
}

void route_delete(struct api_call *call)
{
	struct str name;
	struct host_record record;
	struct error error;
	bool is_name;
	if (!call_name_or_identity(call, call->params[0], &call->database, &name, &is_name))
		return;
	if (is_name && !host_resolve(call->api->host, name, &call->database)) {
		reply_printf(call, 404, "`%.*s` not found", STR_FMT(name));
		return;
	}
	if (!host_record(call->api->host, &call->database, &record)) {
		reply_empty(call, 200); /* gone already */
		return;
	}
	if (!call_is_owner(call, "delete database", &record))
		return;
	if (record.locked) {
		reply_text(call, 403, STR("Database is locked and cannot be deleted. Run `spacetime unlock` first."));
		return;
	}
	enum wl_err err = host_delete(call->api->host, &call->database, &error);
	if (err == WL_OK || err == WL_ERR_NOT_FOUND)
		reply_empty(call, 200);
	else
		reply_text(call, err == WL_ERR_UNAVAILABLE ? 503 : 500, str_of(error.text));
}
