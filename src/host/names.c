/* SPDX-License-Identifier: Apache-2.0 */
/* Names of databases: what is one, who may take one. The first user of a name owns it for ever. */
#include "base/mem.h"
#include "host/host_internal.h"

bool host_name_valid(struct str name, const char **reason)
{
	struct identity ignored;
	struct str digits = name;
	*reason = "database names cannot be identities";
	if (digits.len == 66 && digits.data[0] == '0' && digits.data[1] == 'x')
		digits = (struct str){ digits.data + 2, 64 };
	if (identity_from_hex(digits, &ignored))
		return false;
	*reason = "database names cannot be empty";
	if (name.len == 0)
		return false;
	*reason = "invalid characters in database name";
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	*reason = "invalid hyphen in database name";
	if (name.data[0] == '-' || name.data[name.len - 1] == '-')
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (name.data[i] == '-' && name.data[i - 1] == '-')
			return false;
	return true;
}

static bool may_take(const struct control_name *name, const struct identity *caller)
{
	return name == NULL || !name->owned || identity_eq(&name->owner, caller);
}

enum host_name_result names_add(struct control *control, struct str text, const struct identity *id,
	const struct identity *caller, struct error *error)
{
	const struct control_name *name = control_name(control, text);
	if (!may_take(name, caller))
		return HOST_NAME_DENIED;
	if (name != NULL && name->bound)
		return HOST_NAME_TAKEN;
	const struct control_database *database = control_database(control, id);
	uint32_t count = database != NULL ? database->name_count : 0;
	if (count >= CONTROL_NAMES_PER_DATABASE_MAX) {
		(void)fail(error, WL_ERR_LIMIT, "a database has at most %d names", CONTROL_NAMES_PER_DATABASE_MAX);
		return HOST_NAME_IO;
	}
	struct str *names = mem_zalloc_array(count + 1, sizeof(*names));
	struct buf change = BUF_INIT(CONTROL_RECORD_BYTES_MAX);
	if (names != NULL && count > 0)
		memcpy(names, database->names, count * sizeof(*names));
	if (names != NULL) {
		names[count] = text;
		control_put_domain(&change, text, caller);
		control_put_names(&change, id, names, count + 1);
	}
	enum wl_err err = names == NULL ? fail(error, WL_ERR_MEMORY, "out of memory")
		: control_commit(control, &change, error);
	buf_deinit(&change);
	mem_free(names);
	return err == WL_OK ? HOST_NAME_OK : HOST_NAME_IO;
}

enum host_name_result names_replace(struct control *control, const struct identity *id, const struct str *names,
	uint32_t count, const struct identity *caller, struct buf *which, struct error *error)
{
	const struct control_database *database = control_database(control, id);
	for (uint32_t i = 0; i < count; i++) {
		const struct control_name *name = control_name(control, names[i]);
		if (name != NULL && name->bound) {
			buf_put_str(which, names[i]);
			return HOST_NAME_TAKEN;
		}
	}
	for (uint32_t i = 0; database != NULL && i < database->name_count; i++) {
		if (!may_take(control_name(control, database->names[i]), caller)) {
			buf_put_str(which, database->names[i]);
			return HOST_NAME_DENIED;
		}
	}
	struct buf change = BUF_INIT(CONTROL_RECORD_BYTES_MAX);
	for (uint32_t i = 0; i < count; i++) {
		if (!may_take(control_name(control, names[i]), caller)) {
			buf_put_str(which, names[i]);
			buf_deinit(&change);
			return HOST_NAME_DENIED;
		}
		control_put_domain(&change, names[i], caller);
	}
	enum wl_err err;
	if (count > CONTROL_NAMES_PER_DATABASE_MAX) {
		err = fail(error, WL_ERR_LIMIT, "a database has at most %d names", CONTROL_NAMES_PER_DATABASE_MAX);
	} else {
		control_put_names(&change, id, names, count);
		err = control_commit(control, &change, error);
	}
	buf_deinit(&change);
	return err == WL_OK ? HOST_NAME_OK : HOST_NAME_IO;
}
