/* SPDX-License-Identifier: Apache-2.0 */
/* Which snapshots stay. */
#include "snapshot/snapshot_internal.h"

#include <stdio.h>

struct retaining {
	struct storage *storage;
	const char *dir;
	uint64_t *offsets; /* of all files, newest first */
	bool *stays;       /* of each */
	uint32_t count;
};

static void keep_file(struct retaining *r, uint64_t offset)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->offsets[i] == offset)
			r->stays[i] = true;
}

static void remove_file(const struct retaining *r, uint64_t offset)
{
	char path[PATH_BYTES];
	if (snapshot_path(r->dir, offset, path, sizeof(path)))
		(void)r->storage->ops->remove(r->storage, path); /* it is tried again next time */
}

/* A damaged one stays for whoever wants to look at it, but does not count. */
static void choose(struct retaining *r, uint32_t keep, uint64_t pinned, uint64_t *oldest)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < r->count; i++) {
		uint64_t files[SNAPSHOT_FILES_MAX];
		uint32_t count;
		struct error why;
		bool wanted = kept < keep || r->offsets[i] >= pinned;
		enum wl_err err = snapshot_files(r->storage, r->dir, r->offsets[i], files, &count, &why);
		if (err != WL_OK) {
			r->stays[i] = true;
			continue;
		}
		if (!wanted)
			continue;
		kept++;
		*oldest = r->offsets[i];
		for (uint32_t f = 0; f < count; f++)
			keep_file(r, files[f]);
	}
}

enum wl_err snapshot_retain(struct storage *storage, const char *dir, uint32_t keep, uint64_t pinned,
	uint64_t *oldest, struct error *error)
{
	struct retaining r = { .storage = storage, .dir = dir };
	char temp[PATH_BYTES];
	*oldest = COMMITLOG_NONE;
	enum wl_err err = snapshot_list(storage, dir, &r.offsets, &r.count, error);
	if (err != WL_OK)
		return err;
	r.stays = mem_zalloc_array((size_t)r.count + 1, sizeof(*r.stays));
	if (r.stays == NULL) {
		mem_free(r.offsets);
		return fail(error, WL_ERR_MEMORY, "out of memory");
	}
	choose(&r, keep, pinned, oldest);
	for (uint32_t i = 0; i < r.count; i++)
		if (!r.stays[i])
			remove_file(&r, r.offsets[i]);
	if (snprintf(temp, sizeof(temp), "%s/new.wsnap.tmp", dir) < (int)sizeof(temp))
		(void)storage->ops->remove(storage, temp);
	mem_free(r.stays);
	mem_free(r.offsets);
	return WL_OK;
}

uint64_t snapshot_bytes(struct storage *storage, const char *dir)
{
	uint64_t *offsets, bytes = 0;
	uint32_t count;
	struct error why;
	if (snapshot_list(storage, dir, &offsets, &count, &why) != WL_OK)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		char path[PATH_BYTES];
		struct window window;
		if (!snapshot_path(dir, offsets[i], path, sizeof(path)))
			continue;
		if (window_open(&window, storage, path, &why) == WL_OK)
			bytes += window.size;
		window_close(&window);
	}
	mem_free(offsets);
	return bytes;
}
