/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control data: names, owners, locks, which folder and program belong to a database.
 *
 * One append-only file. A change is one record {magic, length, CRC-32C, operations}, written and synced before it
 * takes effect in memory; replaying the file from the start gives the same memory, by the same function. A file
 * rewritten as a whole would be as safe, but with 10,000 databases each publish would write two megabytes; a record
 * is 200 bytes. The file is rewritten only when most of it is history (temp file, sync, rename).
 *
 * Invariants
 * 1. Memory never runs ahead of the disk: control_commit applies after the sync.
 * 2. The file is a row of whole records. A bad one with nothing valid behind it is a write that a crash cut short: it
 *    is cut off. A bad one with a valid one behind it is damage, and the host does not start.
 * 3. `failed` is final: after a failed sync nobody knows what the disk holds.
 * 4. A name is bound to one database at most, and that database lists it.
 */
#include "base/log.h"
#include "base/mem.h"
#include "host/host_internal.h"
#include "native.h"

#include <errno.h>
#include <stdio.h>

enum { RECORD_MAGIC = 0x31435457 /* "WTC1" */, RECORD_HEAD_BYTES = 12 };
enum op { OP_DATABASE = 1, OP_DROP, OP_NAMES, OP_DOMAIN, OP_LOCK, OP_ENERGY, OP_USED };

struct control {
	struct storage *storage;
	struct storage_file *file;
	char *path;
	uint64_t size, live; /* of the file; of it when it was last rewritten */
	bool failed;
	uint64_t next_id;
	struct map databases, names; /* identity -> control_database, name -> control_name */
	struct control_database *first, **last;
};

/* ---- memory ---- */

static struct control_database *database_get(struct control *control, const struct identity *id)
{
	struct control_database *found = control_database(control, id);
	if (found != NULL)
		return found;
	found = mem_zalloc(sizeof(*found));
	if (found == NULL)
		return NULL;
	found->identity = *id;
	if (!map_put(&control->databases, found->identity.le, 32, (uintptr_t)found)) {
		mem_free(found);
		return NULL;
	}
	*control->last = found;
	control->last = &found->next;
	return found;
}

static struct control_name *name_get(struct control *control, struct str text)
{
	struct control_name *found = control_name(control, text);
	if (found != NULL)
		return found;
	found = mem_zalloc(sizeof(*found));
	char *copy = mem_strdup(text);
	if (found == NULL || copy == NULL)
		goto fail;
	found->name = (struct str){ copy, text.len };
	if (map_put(&control->names, copy, text.len, (uintptr_t)found))
		return found;
fail:
	mem_free(copy);
	mem_free(found);
	return NULL;
}

struct control_database *control_first(const struct control *control)
{
	return control->first;
}

struct control_database *control_database(const struct control *control, const struct identity *id)
{
	uint64_t value;
	return map_get(&control->databases, id->le, 32, &value) ? (struct control_database *)(uintptr_t)value : NULL;
}

struct control_name *control_name(const struct control *control, struct str name)
{
	uint64_t value;
	return map_get(&control->names, name.data, name.len, &value) ? (struct control_name *)(uintptr_t)value : NULL;
}

uint64_t control_next_id(struct control *control)
{
	return control->next_id++;
}

void control_skip_id(struct control *control, uint64_t id)
{
	if (control->next_id <= id && id < UINT64_MAX)
		control->next_id = id + 1;
}

/* ---- operations ---- */

void control_put_database(struct buf *change, const struct control_database *database)
{
	buf_put_u8(change, OP_DATABASE);
	buf_put(change, database->identity.le, 32);
	buf_put_u64(change, database->id);
	buf_put_u64(change, database->replica);
	buf_put(change, database->owner.le, 32);
	buf_put(change, database->program, 32);
	buf_put_u8(change, database->kind);
}

void control_put_drop(struct buf *change, const struct identity *id)
{
	buf_put_u8(change, OP_DROP);
	buf_put(change, id->le, 32);
}

void control_put_names(struct buf *change, const struct identity *id, const struct str *names, uint32_t count)
{
	buf_put_u8(change, OP_NAMES);
	buf_put(change, id->le, 32);
	buf_put_u32(change, count);
	for (uint32_t i = 0; i < count; i++)
		buf_put_bsatn_str(change, names[i]);
}

void control_put_domain(struct buf *change, struct str name, const struct identity *owner)
{
	buf_put_u8(change, OP_DOMAIN);
	buf_put(change, owner->le, 32);
	buf_put_bsatn_str(change, name);
}

void control_put_lock(struct buf *change, const struct identity *id, bool locked)
{
	buf_put_u8(change, OP_LOCK);
	buf_put(change, id->le, 32);
	buf_put_u8(change, locked);
}

void control_put_energy(struct buf *change, const struct identity *id, i128 credit)
{
	buf_put_u8(change, OP_ENERGY);
	buf_put(change, id->le, 32);
	buf_put_u128(change, (u128)credit);
}

void control_put_used(struct buf *change, const struct identity *id, uint64_t used)
{
	buf_put_u8(change, OP_USED);
	buf_put(change, id->le, 32);
	buf_put_u64(change, used);
}

static bool read_identity(struct reader *r, struct identity *out)
{
	const uint8_t *p = reader_take(r, 32, "identity");
	if (p != NULL)
		memcpy(out->le, p, 32);
	return p != NULL;
}

static void names_free(struct control_database *database)
{
	for (uint32_t i = 0; i < database->name_count; i++)
		mem_free((char *)(uintptr_t)database->names[i].data);
	mem_free(database->names);
	database->names = NULL;
	database->name_count = 0;
}

static enum wl_err apply_names(struct control *control, struct control_database *database, struct reader *r)
{
	uint32_t count = reader_u32(r);
	if (r->failed || count > CONTROL_NAMES_PER_DATABASE_MAX)
		return WL_ERR_CORRUPT;
	struct str *names = mem_zalloc_array(count, sizeof(*names));
	if (names == NULL)
		return WL_ERR_MEMORY;
	for (uint32_t i = 0; i < database->name_count; i++) {
		struct control_name *old = control_name(control, database->names[i]);
		if (old != NULL && identity_eq(&old->database, &database->identity))
			old->bound = false;
	}
	names_free(database);
	database->names = names;
	for (uint32_t i = 0; i < count; i++) {
		struct str text = reader_bsatn_str(r);
		if (r->failed)
			return WL_ERR_CORRUPT;
		char *copy = mem_strdup(text);
		struct control_name *name = name_get(control, text);
		if (copy == NULL || name == NULL) {
			mem_free(copy);
			return WL_ERR_MEMORY;
		}
		names[database->name_count++] = (struct str){ copy, text.len };
		name->bound = true;
		name->database = database->identity;
	}
	return WL_OK;
}

static enum wl_err apply_database(struct control *control, struct control_database *database, struct reader *r)
{
	uint64_t id = reader_u64(r), replica = reader_u64(r);
	struct identity owner;
	read_identity(r, &owner);
	const uint8_t *program = reader_take(r, 32, "hash");
	uint8_t kind = reader_u8(r);
	if (r->failed)
		return WL_ERR_CORRUPT;
	database->exists = true;
	database->id = id;
	database->replica = replica;
	database->owner = owner;
	memcpy(database->program, program, 32);
	database->kind = kind;
	uint64_t next = size_max(id, replica) + 1;
	if (control->next_id < next)
		control->next_id = next;
	return WL_OK;
}

/* The one way into memory, for fresh changes and for replay. */
static enum wl_err apply(struct control *control, struct bytes operations)
{
	struct reader r = reader_of(operations.data, operations.len);
	while (reader_left(&r) > 0) {
		uint8_t op = reader_u8(&r);
		struct identity id;
		if (!read_identity(&r, &id))
			return WL_ERR_CORRUPT;
		if (op == OP_DOMAIN) {
			struct str text = reader_bsatn_str(&r);
			if (r.failed)
				return WL_ERR_CORRUPT;
			struct control_name *name = name_get(control, text);
			if (name == NULL)
				return WL_ERR_MEMORY;
			name->owned = true;
			name->owner = id;
			continue;
		}
		struct control_database *database = database_get(control, &id);
		if (database == NULL)
			return WL_ERR_MEMORY;
		enum wl_err err = WL_OK;
		switch (op) {
		case OP_DATABASE: err = apply_database(control, database, &r); break;
		case OP_DROP: database->exists = false; break;
		case OP_NAMES: err = apply_names(control, database, &r); break;
		case OP_LOCK: database->locked = reader_u8(&r) != 0; break;
		case OP_ENERGY: database->energy = (i128)reader_u128(&r); break;
		case OP_USED: database->used = reader_u64(&r); break;
		default: return WL_ERR_CORRUPT;
		}
		if (err != WL_OK)
			return err;
	}
	return r.failed ? WL_ERR_CORRUPT : WL_OK;
}

/* ---- the file ---- */

static bool put_record(struct buf *out, const uint8_t *operations, size_t len)
{
	uint8_t length[4];
	store_u32(length, (uint32_t)len);
	uint32_t crc = native_crc32c(native_crc32c(0, length, 4), operations, len);
	buf_put_u32(out, RECORD_MAGIC);
	buf_put(out, length, 4);
	buf_put_u32(out, crc);
	buf_put(out, operations, len);
	return !out->failed;
}

/* The operations of a whole and undamaged record at the start of `rest`; NULL data when there is none. */
static struct bytes record_at(struct bytes rest)
{
	if (rest.len < RECORD_HEAD_BYTES || load_u32(rest.data) != RECORD_MAGIC)
		return (struct bytes){ NULL, 0 };
	uint32_t len = load_u32(rest.data + 4);
	if (len > CONTROL_RECORD_BYTES_MAX || rest.len - RECORD_HEAD_BYTES < len)
		return (struct bytes){ NULL, 0 };
	uint32_t crc = native_crc32c(native_crc32c(0, rest.data + 4, 4), rest.data + RECORD_HEAD_BYTES, len);
	if (crc != load_u32(rest.data + 8))
		return (struct bytes){ NULL, 0 };
	return (struct bytes){ rest.data + RECORD_HEAD_BYTES, len };
}

static enum wl_err replay(struct control *control, struct bytes file, uint64_t *good, struct error *error)
{
	size_t at = 0;
	while (at < file.len) {
		struct bytes record = record_at((struct bytes){ file.data + at, file.len - at });
		if (record.data == NULL)
			break;
		enum wl_err err = apply(control, record);
		if (err != WL_OK)
			return fail(error, err, "%s: the record at byte %zu cannot be applied: %s", control->path, at,
				wl_err_name(err));
		at += RECORD_HEAD_BYTES + record.len;
	}
	*good = at;
	for (size_t i = at + 1; i + RECORD_HEAD_BYTES <= file.len; i++)
		if (record_at((struct bytes){ file.data + i, file.len - i }).data != NULL)
			return fail(error, WL_ERR_CORRUPT, "%s is damaged at byte %zu: there are valid records behind it",
				control->path, at);
	return WL_OK;
}

static enum wl_err read_file(struct control *control, struct buf *out, struct error *error)
{
	const struct storage_ops *ops = control->storage->ops;
	int64_t size = ops->size(control->file);
	if (size < 0)
		return fail_errno(error, WL_ERR_IO, "cannot read %s", control->path);
	if (size == 0)
		return WL_OK;
	uint8_t *data = buf_extend(out, (size_t)size);
	if (data == NULL)
		return fail(error, WL_ERR_MEMORY, "out of memory reading %s", control->path);
	for (int64_t at = 0; at < size;) {
		int64_t n = ops->read(control->file, data + at, (size_t)(size - at), (uint64_t)at);
		if (n <= 0)
			return fail_errno(error, WL_ERR_IO, "cannot read %s", control->path);
		at += n;
	}
	return WL_OK;
}

/* All of memory as one row of records. */
static bool put_everything(const struct control *control, struct buf *out)
{
	struct buf operations = BUF_INIT(CONTROL_RECORD_BYTES_MAX);
	uint32_t cursor = 0;
	const struct map_entry *entry;
	while ((entry = map_next(&control->names, &cursor)) != NULL) {
		const struct control_name *name = (const struct control_name *)(uintptr_t)entry->value;
		buf_clear(&operations);
		if (name->owned)
			control_put_domain(&operations, name->name, &name->owner);
		if (operations.len > 0 && (operations.failed || !put_record(out, operations.data, operations.len)))
			goto done;
	}
	for (const struct control_database *database = control->first; database != NULL; database = database->next) {
		buf_clear(&operations);
		if (database->exists)
			control_put_database(&operations, database);
		if (database->name_count > 0)
			control_put_names(&operations, &database->identity, database->names, database->name_count);
		if (database->locked)
			control_put_lock(&operations, &database->identity, true);
		if (database->energy != 0)
			control_put_energy(&operations, &database->identity, database->energy);
		if (database->used != 0)
			control_put_used(&operations, &database->identity, database->used);
		if (operations.len > 0 && (operations.failed || !put_record(out, operations.data, operations.len)))
			goto done;
	}
done:
	buf_deinit(&operations);
	return !operations.failed && !out->failed;
}

static enum wl_err open_file(struct control *control, bool create, struct error *error)
{
	control->file = control->storage->ops->open(control->storage, control->path, create);
	return control->file != NULL ? WL_OK : fail_errno(error, WL_ERR_IO, "cannot open %s", control->path);
}

/* Rewrites the file. A failure before the rename changes nothing. */
static enum wl_err compact(struct control *control, struct error *error)
{
	struct buf everything = BUF_INIT(SIZE_MAX);
	enum wl_err err = put_everything(control, &everything) ? WL_OK : fail(error, WL_ERR_MEMORY, "out of memory");
	if (err == WL_OK)
		err = storage_put(control->storage, control->path, everything.data, everything.len, error);
	if (err == WL_OK) {
		control->storage->ops->close(control->file);
		control->size = control->live = everything.len;
		err = open_file(control, true, error);
	}
	buf_deinit(&everything);
	return err;
}

static bool worth_compacting(const struct control *control)
{
	return control->size > CONTROL_COMPACT_BYTES_MIN && control->size / 4 > control->live;
}

static enum wl_err cut(struct control *control, uint64_t len, const char *path, struct error *error)
{
	log_warn("%s: cutting off %llu bytes at its end, a record that was never finished", path,
		(unsigned long long)(len - control->size));
	return control->storage->ops->truncate(control->file, control->size) && control->storage->ops->sync(control->file)
		? WL_OK : fail_errno(error, WL_ERR_IO, "cannot cut %s", path);
}

static enum wl_err open_control(struct storage *storage, const char *path, bool is_ours, struct control **out,
	struct error *error)
{
	struct buf file = BUF_INIT(SIZE_MAX);
	struct control *control = mem_zalloc(sizeof(*control));
	if (control == NULL || (control->path = mem_strdup(str_of(path))) == NULL) {
		mem_free(control);
		return fail(error, WL_ERR_MEMORY, "out of memory");
	}
	control->storage = storage;
	control->last = &control->first;
	control->next_id = 1;
	enum wl_err err = open_file(control, is_ours, error);
	if (err == WL_OK)
		err = read_file(control, &file, error);
	bool existed = file.len > 0;
	if (err == WL_OK)
		err = replay(control, buf_bytes(&file), &control->size, error);
	if (err == WL_OK && is_ours && control->size < file.len)
		err = cut(control, file.len, path, error);
	if (err == WL_OK && is_ours && !existed) { /* the name itself must survive a crash as well */
		char dir[4096];
		snprintf(dir, sizeof(dir), "%s", path);
		char *slash = strrchr(dir, '/');
		if (slash != NULL)
			*slash = '\0';
		if (!storage->ops->sync(control->file) || !storage->ops->sync_dir(storage, slash != NULL ? dir : "."))
			err = fail_errno(error, WL_ERR_IO, "cannot sync %s", path);
	}
	buf_deinit(&file);
	if (err == WL_OK && is_ours && worth_compacting(control))
		err = compact(control, error);
	if (err != WL_OK) {
		control_close(control);
		return err;
	}
	*out = control;
	return WL_OK;
}

enum wl_err control_open(struct storage *storage, const char *path, struct control **out, struct error *error)
{
	return open_control(storage, path, true, out, error);
}

enum wl_err control_read(struct storage *storage, const char *path, struct control **out, struct error *error)
{
	return open_control(storage, path, false, out, error);
}

void control_close(struct control *control)
{
	if (control == NULL)
		return;
	if (control->file != NULL)
		control->storage->ops->close(control->file);
	while (control->first != NULL) {
		struct control_database *next = control->first->next;
		names_free(control->first);
		mem_free(control->first);
		control->first = next;
	}
	uint32_t cursor = 0;
	const struct map_entry *entry;
	while ((entry = map_next(&control->names, &cursor)) != NULL) {
		struct control_name *name = (struct control_name *)(uintptr_t)entry->value;
		mem_free((char *)(uintptr_t)name->name.data);
		mem_free(name);
	}
	map_deinit(&control->names);
	map_deinit(&control->databases);
	mem_free(control->path);
	mem_free(control);
}

static enum wl_err append(struct control *control, const struct buf *record, struct error *error)
{
	const struct storage_ops *ops = control->storage->ops;
	if (!ops->write(control->file, record->data, record->len, control->size)) {
		enum wl_err err = fail_errno(error, WL_ERR_IO, "cannot write %s", control->path);
		/* half a record must not stay in front of others */
		control->failed = !ops->truncate(control->file, control->size);
		return err;
	}
	if (!ops->sync(control->file)) {
		control->failed = true;
		return fail_errno(error, WL_ERR_IO, "cannot sync %s", control->path);
	}
	control->size += record->len;
	return WL_OK;
}

enum wl_err control_commit(struct control *control, const struct buf *change, struct error *error)
{
	if (control->failed)
		return fail(error, WL_ERR_IO, "%s could not be written before; restart the host", control->path);
	if (change->failed || change->len > CONTROL_RECORD_BYTES_MAX)
		return fail(error, change->len > CONTROL_RECORD_BYTES_MAX ? WL_ERR_LIMIT : WL_ERR_MEMORY,
			"the change is too large");
	struct buf record = BUF_INIT(CONTROL_RECORD_BYTES_MAX + RECORD_HEAD_BYTES);
	enum wl_err err = put_record(&record, change->data, change->len) ? append(control, &record, error)
		: fail(error, WL_ERR_MEMORY, "out of memory");
	buf_deinit(&record);
	if (err != WL_OK)
		return err;
	err = apply(control, buf_bytes(change));
	if (err != WL_OK) {
		control->failed = true;
		return fail(error, err, "control data in memory is behind the disk (%s); restart the host", wl_err_name(err));
	}
	struct error ignored;
	if (worth_compacting(control) && compact(control, &ignored) != WL_OK && control->file == NULL)
		control->failed = true;
	return WL_OK;
}
