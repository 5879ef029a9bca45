/* SPDX-License-Identifier: Apache-2.0 */
/* A data folder without its host. The order of a change is host.c's, 3. */
#include "host/offline.h"
#include "auth/auth.h"
#include "host/host_internal.h"

#include <stdio.h>
#include <unistd.h>

static enum wl_err control_path(const char *data_dir, char out[HOST_PATH_BYTES_MAX], struct error *error)
{
	return snprintf(out, HOST_PATH_BYTES_MAX, "%s/control.log", data_dir) < HOST_PATH_BYTES_MAX - 256 ? WL_OK
		: fail(error, WL_ERR_LIMIT, "the path of the data folder is too long");
}

enum wl_err host_find(const char *data_dir, struct str text, struct host_found *out, struct error *error)
{
	char path[HOST_PATH_BYTES_MAX];
	struct control *control;
	enum wl_err err = control_path(data_dir, path, error);
	if (err == WL_OK && access(path, F_OK) != 0)
		return fail_errno(error, WL_ERR_NOT_FOUND, "%s is not the data folder of a host (%s)", data_dir, path);
	if (err == WL_OK)
		err = control_read(commitlog_storage_local(), path, &control, error);
	if (err != WL_OK)
		return err;
	struct identity id;
	const struct control_name *name = control_name(control, text);
	bool known = name != NULL && name->bound;
	if (known)
		id = name->database;
	else
		known = identity_from_hex(text, &id);
	const struct control_database *found = known ? control_database(control, &id) : NULL;
	if (found == NULL || !found->exists) {
		err = fail(error, WL_ERR_NOT_FOUND, "%s has no database %.*s", data_dir, STR_FMT(text));
	} else {
		*out = (struct host_found){ .identity = id, .owner = found->owner, .kind = found->kind,
			.names = BUF_INIT(1 << 20) };
		memcpy(out->initial_program, found->program, 32);
		files_replica_path(data_dir, found->replica, out->folder);
		for (uint32_t i = 0; i < found->name_count; i++) {
			buf_put_str(&out->names, found->names[i]);
			buf_put_u8(&out->names, 0);
		}
	}
	control_close(control);
	return err;
}

enum wl_err host_program(const char *data_dir, const uint8_t hash[32], struct buf *out, struct error *error)
{
	return files_program_get(data_dir, hash, out, error);
}

enum wl_err host_program_put(const char *data_dir, const uint8_t hash[32], struct bytes program, struct error *error)
{
	return files_program_put(data_dir, hash, program, error);
}

void host_identity_create(struct identity *out)
{
	auth_random_identity(out);
}

/* ---- adopting ---- */

static enum wl_err check_names(struct control *control, const struct host_adoption *a, struct error *error)
{
	for (uint32_t i = 0; i < a->name_count; i++) {
		const char *reason;
		const struct control_name *name = control_name(control, a->names[i]);
		if (!host_name_valid(a->names[i], &reason))
			return fail(error, WL_ERR_INVALID, "%.*s: %s", STR_FMT(a->names[i]), reason);
		if (name == NULL)
			continue;
		if (name->bound && !identity_eq(&name->database, &a->identity))
			return fail(error, WL_ERR_EXISTS, "the name %.*s is another database's there: give it one with --name",
				STR_FMT(a->names[i]));
		if (name->owned && !identity_eq(&name->owner, &a->owner))
			return fail(error, WL_ERR_EXISTS, "the name %.*s belongs to another user there: give it one with --name",
				STR_FMT(a->names[i]));
	}
	return WL_OK;
}

static uint64_t free_folder(struct control *control, const char *dir)
{
	for (;;) {
		char path[HOST_PATH_BYTES_MAX];
		uint64_t id = control_next_id(control);
		files_replica_path(dir, id, path);
		if (access(path, F_OK) != 0)
			return id;
	}
}

static enum wl_err commit(struct control *control, const struct host_adoption *a,
	const struct control_database *record, bool names, struct error *error)
{
	struct buf change = BUF_INIT(CONTROL_RECORD_BYTES_MAX);
	control_put_database(&change, record);
	for (uint32_t i = 0; names && i < a->name_count; i++) {
		const struct control_name *name = control_name(control, a->names[i]);
		if (name == NULL || !name->owned)
			control_put_domain(&change, a->names[i], &a->owner);
	}
	if (names)
		control_put_names(&change, &a->identity, a->names, a->name_count);
	enum wl_err err = control_commit(control, &change, error);
	buf_deinit(&change);
	return err;
}

static enum wl_err adopt(struct control *control, const char *dir, const struct host_adoption *a, struct error *error)
{
	char hex[65], folder[HOST_PATH_BYTES_MAX];
	const struct control_database *there = control_database(control, &a->identity);
	bool replaces = there != NULL && there->exists;
	identity_to_hex(&a->identity, hex);
	if (replaces && !a->replaces)
		return fail(error, WL_ERR_EXISTS, "the database %s is there already: --replace takes its place, --name NAME "
			"puts a copy beside it", hex);
	if (replaces && there->locked)
		return fail(error, WL_ERR_EXISTS, "the database %s is locked: unlock it before it is replaced", hex);
	enum wl_err err = replaces ? WL_OK : check_names(control, a, error);
	if (err != WL_OK)
		return err;
	uint64_t old = replaces ? there->replica : 0;
	struct control_database record = { .identity = a->identity, .owner = a->owner, .kind = (uint8_t)a->kind,
		.replica = free_folder(control, dir) };
	record.id = replaces ? there->id : record.replica;
	memcpy(record.program, a->initial_program, 32);
	err = files_replica_create(dir, record.replica, error);
	if (err != WL_OK)
		return err;
	files_replica_path(dir, record.replica, folder);
	err = a->fill(a->context, folder, error);
	if (err == WL_OK && replaces)
		err = files_replica_leave(dir, old, error);
	if (err == WL_OK)
		err = commit(control, a, &record, !replaces, error);
	if (err != WL_OK) {
		files_replica_remove(dir, record.replica);
		if (replaces)
			files_replica_done(dir, old);
		return err;
	}
	files_replica_done(dir, record.replica);
	if (replaces)
		files_replica_remove(dir, old);
	return WL_OK;
}

enum wl_err host_adopt(struct datadir *dir, const struct host_adoption *adoption, struct error *error)
{
	char path[HOST_PATH_BYTES_MAX];
	struct control *control;
	enum wl_err err = control_path(datadir_path(dir), path, error);
	if (err == WL_OK)
		err = control_open(commitlog_storage_local(), path, &control, error);
	if (err != WL_OK)
		return err;
	err = adopt(control, datadir_path(dir), adoption, error);
	control_close(control);
	return err;
}
