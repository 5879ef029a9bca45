/* SPDX-License-Identifier: Apache-2.0 */
/* backup.toml: whose backup it is. The files beside it check themselves. */
#include "backup/backup_internal.h"
#include "host/toml.h"

#include <stdio.h>

enum { MANIFEST_BYTES_MAX = 8 << 20 };

void manifest_deinit(struct manifest *manifest)
{
	buf_deinit(&manifest->names);
	buf_deinit(&manifest->programs);
	buf_deinit(&manifest->snapshots);
}

bool manifest_add_program(struct manifest *manifest, const uint8_t hash[32])
{
	for (size_t at = 0; at + 32 <= manifest->programs.len; at += 32)
		if (memcmp(manifest->programs.data + at, hash, 32) == 0)
			return true;
	buf_put(&manifest->programs, hash, 32);
	return !manifest->programs.failed && manifest->programs.len / 32 <= BACKUP_PROGRAMS_MAX;
}

bool manifest_add_snapshot(struct manifest *manifest, uint64_t offset)
{
	for (size_t at = 0; at + 8 <= manifest->snapshots.len; at += 8)
		if (load_u64(manifest->snapshots.data + at) == offset)
			return true;
	buf_put_u64(&manifest->snapshots, offset);
	return !manifest->snapshots.failed && manifest->snapshots.len / 8 <= BACKUP_SNAPSHOTS_MAX;
}

enum wl_err backup_path(const char *dir, const char *part, char out[BACKUP_PATH_BYTES], struct error *error)
{
	return snprintf(out, BACKUP_PATH_BYTES, "%s/%s", dir, part) < BACKUP_PATH_BYTES - 128 ? WL_OK
		: fail(error, WL_ERR_LIMIT, "the path %.64s… is too long", dir);
}

enum wl_err backup_program_path(const char *dir, const uint8_t hash[32], char out[BACKUP_PATH_BYTES],
	struct error *error)
{
	char hex[65], part[80];
	hex_encode(hash, 32, hex);
	snprintf(part, sizeof(part), "programs/%s", hex);
	return backup_path(dir, part, out, error);
}

/* ---- reading ---- */

static bool get_text(const struct toml *toml, const char *key, struct str *out)
{
	const struct toml_entry *entry = toml_find(toml, "", key);
	if (entry == NULL || entry->kind != TOML_STRING)
		return false;
	*out = entry->text;
	return true;
}

static bool get_identity(const struct toml *toml, const char *key, struct identity *out)
{
	struct str text;
	return get_text(toml, key, &text) && identity_from_hex(text, out);
}

static bool get_hash(struct str text, uint8_t out[32])
{
	return text.len == 64 && hex_decode(text, out, 32);
}

static bool get_number(const struct toml *toml, const char *key, uint64_t *out)
{
	const struct toml_entry *entry = toml_find(toml, "", key);
	if (entry == NULL || entry->kind != TOML_INTEGER)
		return false;
	*out = (uint64_t)entry->integer;
	return true;
}

static bool get_offset(struct str text, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9' || i > 18)
			return false;
		*out = *out * 10 + (uint64_t)(text.data[i] - '0');
	}
	return text.len > 0;
}

static bool get_lists(const struct toml *toml, struct manifest *out)
{
	const struct toml_entry *names = toml_find(toml, "", "names"), *programs = toml_find(toml, "", "programs");
	const struct toml_entry *snapshots = toml_find(toml, "", "snapshots");
	if (names == NULL || names->kind != TOML_STRINGS || programs == NULL || programs->kind != TOML_STRINGS ||
		snapshots == NULL || snapshots->kind != TOML_STRINGS)
		return false;
	for (uint32_t i = 0; i < names->item_count; i++) {
		buf_put_str(&out->names, names->items[i]);
		buf_put_u8(&out->names, 0);
	}
	for (uint32_t i = 0; i < programs->item_count; i++) {
		uint8_t hash[32];
		if (!get_hash(programs->items[i], hash))
			return false;
		buf_put(&out->programs, hash, sizeof(hash));
	}
	for (uint32_t i = 0; i < snapshots->item_count; i++) {
		uint64_t offset;
		if (!get_offset(snapshots->items[i], &offset) || !manifest_add_snapshot(out, offset))
			return false;
	}
	return !out->names.failed && !out->programs.failed;
}

static bool get_all(const struct toml *toml, struct manifest *out)
{
	struct str kind, initial, log;
	uint8_t id[8];
	if (!get_identity(toml, "database", &out->database) || !get_identity(toml, "owner", &out->owner) ||
		!get_text(toml, "kind", &kind) || !get_text(toml, "initial-program", &initial) ||
		!get_hash(initial, out->initial_program) || !get_text(toml, "log", &log) || log.len != 16 ||
		!hex_decode(log, id, 8) || !get_number(toml, "next", &out->next))
		return false;
	out->kind = str_eq(kind, STR("js")) ? RUNTIME_JS : RUNTIME_WASM;
	out->log = load_u64(id);
	return get_lists(toml, out);
}

enum wl_err manifest_read(const char *dir, struct manifest *out, struct error *error)
{
	char path[BACKUP_PATH_BYTES];
	struct buf text = BUF_INIT(MANIFEST_BYTES_MAX);
	struct toml toml = { 0 };
	struct error why;
	uint64_t format = 0;
	*out = (struct manifest){ .names = BUF_INIT(1 << 20), .programs = BUF_INIT(BACKUP_PROGRAMS_MAX * 32 + 32),
		.snapshots = BUF_INIT(BACKUP_SNAPSHOTS_MAX * 8 + 8) };
	enum wl_err err = backup_path(dir, "backup.toml", path, error);
	if (err == WL_OK)
		err = storage_get(commitlog_storage_local(), path, &text, error);
	if (err == WL_ERR_NOT_FOUND)
		(void)fail(error, err, "%s is no backup: it has no backup.toml", dir);
	if (err == WL_OK && !utf8_valid(text.data, text.len))
		err = fail(error, WL_ERR_CORRUPT, "%s is damaged: it is no text", path);
	if (err == WL_OK && toml_parse(buf_str(&text), &toml, &why) != WL_OK)
		err = fail(error, WL_ERR_CORRUPT, "%s: %s", path, why.text);
	if (err == WL_OK && get_number(&toml, "format", &format) && format != BACKUP_FORMAT_VERSION)
		err = fail(error, WL_ERR_UNSUPPORTED, "%s has format %llu; this version reads format %d", path,
			(unsigned long long)format, BACKUP_FORMAT_VERSION);
	if (err == WL_OK && (format == 0 || !get_all(&toml, out)))
		err = fail(error, WL_ERR_CORRUPT, "%s is damaged: something that every backup has is not there", path);
	toml_deinit(&toml);
	buf_deinit(&text);
	return err;
}

/* ---- writing ---- */

static void put_hex(struct buf *out, const char *key, const uint8_t *data, size_t len)
{
	char hex[65];
	hex_encode(data, len, hex);
	buf_printf(out, "%s = \"%s\"\n", key, hex);
}

enum wl_err manifest_write(const char *dir, const struct manifest *m, struct error *error)
{
	char path[BACKUP_PATH_BYTES], hex[65];
	uint8_t log[8];
	struct buf out = BUF_INIT(MANIFEST_BYTES_MAX);
	enum wl_err err = backup_path(dir, "backup.toml", path, error);
	if (err != WL_OK)
		return err;
	buf_printf(&out, "# A backup of a database: worldline backup verify, worldline backup restore.\nformat = %d\n",
		BACKUP_FORMAT_VERSION);
	identity_to_hex(&m->database, hex);
	buf_printf(&out, "database = \"%s\"\n", hex);
	identity_to_hex(&m->owner, hex);
	buf_printf(&out, "owner = \"%s\"\nkind = \"%s\"\n", hex, m->kind == RUNTIME_JS ? "js" : "wasm");
	put_hex(&out, "initial-program", m->initial_program, 32);
	store_u64(log, m->log);
	put_hex(&out, "log", log, 8);
	buf_printf(&out, "next = %llu\nnames = [", (unsigned long long)m->next);
	for (size_t at = 0; at < m->names.len; at += strlen((const char *)m->names.data + at) + 1)
		buf_printf(&out, "%s\"%s\"", at > 0 ? ", " : "", (const char *)m->names.data + at);
	buf_put_cstr(&out, "]\nsnapshots = [");
	for (size_t at = 0; at + 8 <= m->snapshots.len; at += 8)
		buf_printf(&out, "%s\"%llu\"", at > 0 ? ", " : "", (unsigned long long)load_u64(m->snapshots.data + at));
	buf_put_cstr(&out, "]\nprograms = [\n");
	for (size_t at = 0; at + 32 <= m->programs.len; at += 32) {
		hex_encode(m->programs.data + at, 32, hex);
		buf_printf(&out, "    \"%s\",\n", hex);
	}
	buf_put_cstr(&out, "]\n");
	err = out.failed ? fail(error, WL_ERR_MEMORY, "out of memory")
		: storage_put(commitlog_storage_local(), path, out.data, out.len, error);
	buf_deinit(&out);
	return err;
}
