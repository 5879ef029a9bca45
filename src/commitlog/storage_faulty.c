/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated disk.
 *
 *  1. A node has two images: what readers see, and what is certain to be on
 *     the disk. Between them lie versions: whole sectors as they were after
 *     each change since the last sync of that sector.
 *  2. A crash picks for each sector its durable image or any one version. So
 *     sectors are atomic, everything else (order, wholeness) is not promised.
 *  3. A successful sync makes the visible image of every sector with a live
 *     version durable. Versions that a failed sync made lost stay pickable but
 *     no later sync takes them, until the sector is written again.
 *  4. A name has two nodes, visible and durable, with the same rule; both names
 *     of one rename share one fate.
 */
#include "commitlog/storage_faulty.h"
#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>

enum { SECTOR_MAX = 4096 };

struct version {
	uint64_t sector;
	bool lost;
	uint8_t *data;
};
struct node {
	uint32_t refs;
	struct buf seen, durable;
	bool size_pending;
	struct version *versions;
	size_t version_count, version_cap;
};
struct entry {
	char *path;
	struct node *seen, *durable;
	uint64_t change; /* the last unsynced change of this name; both names of a rename have the same */
};
struct storage_file {
	struct storage_faulty *disk;
	struct node *node;
};
struct storage_faulty {
	struct storage base;
	pthread_mutex_t mutex;
	uint64_t rng, sector, capacity, change;
	uint64_t off_in, calls, syncs;
	uint64_t fail_in[STORAGE_FAULTY_CALLS];
	int fail_reason[STORAGE_FAULTY_CALLS];
	bool off, sync_is_lie, rename_is_lie;
	uint32_t open_files;
	struct entry *entries;
	size_t entry_count, entry_cap;
};

static uint64_t roll(struct storage_faulty *disk)
{
	return hash_u64(disk->rng += 0x9e3779b97f4a7c15u);
}

static struct storage_faulty *disk_of(struct storage *storage)
{
	return (struct storage_faulty *)storage; /* `base` is first */
}

/* ---- nodes ---- */

static void versions_clear(struct node *node)
{
	for (size_t i = 0; i < node->version_count; i++)
		mem_free(node->versions[i].data);
	node->version_count = 0;
}

static void node_release(struct node *node)
{
	if (node == NULL || --node->refs > 0)
		return;
	versions_clear(node);
	mem_free(node->versions);
	buf_deinit(&node->seen);
	buf_deinit(&node->durable);
	mem_free(node);
}

static struct node *node_share(struct node *node)
{
	if (node != NULL)
		node->refs++;
	return node;
}

static bool image_resize(struct buf *image, uint64_t size)
{
	if (size > image->len) {
		size_t more = (size_t)size - image->len;
		uint8_t *p = buf_extend(image, more);
		if (p == NULL) {
			image->failed = false;
			return false;
		}
		memset(p, 0, more);
	}
	image->len = (size_t)size;
	return true;
}

/* Copies one sector into an image, as far as it reaches. */
static void sector_copy(struct buf *to, const uint8_t *data, uint64_t sector, uint64_t sector_size)
{
	uint64_t at = sector * sector_size;
	if (at < to->len)
		memcpy(to->data + at, data, size_min((size_t)sector_size, to->len - at));
}

static bool version_add(struct storage_faulty *disk, struct node *node, uint64_t sector)
{
	if (node->version_count == node->version_cap) {
		size_t cap = node->version_cap == 0 ? 16 : node->version_cap * 2;
		struct version *grown = mem_realloc(node->versions, cap * sizeof(*grown));
		if (grown == NULL)
			return false;
		node->versions = grown;
		node->version_cap = cap;
	}
	uint8_t *data = mem_zalloc(SECTOR_MAX);
	if (data == NULL)
		return false;
	uint64_t at = sector * disk->sector;
	if (at < node->seen.len)
		memcpy(data, node->seen.data + at, size_min((size_t)disk->sector, node->seen.len - at));
	node->versions[node->version_count++] = (struct version){ .sector = sector, .data = data };
	return true;
}

static bool versions_add(struct storage_faulty *disk, struct node *node, uint64_t at, uint64_t end)
{
	for (uint64_t s = at / disk->sector; s * disk->sector < end; s++) {
		if (!version_add(disk, node, s)) {
			errno = ENOMEM;
			return false;
		}
	}
	return true;
}

static bool node_write(struct storage_faulty *disk, struct node *node, const void *data, size_t len, uint64_t at)
{
	if (at + len > node->seen.len) {
		if (!image_resize(&node->seen, at + len)) {
			errno = ENOMEM;
			return false;
		}
		node->size_pending = true;
	}
	if (len > 0 && data != NULL)
		memcpy(node->seen.data + at, data, len);
	return versions_add(disk, node, at, at + len);
}

static bool node_sync(struct storage_faulty *disk, struct node *node)
{
	if (!image_resize(&node->durable, node->seen.len)) {
		errno = ENOMEM;
		return false;
	}
	node->size_pending = false;
	size_t kept = 0;
	for (size_t i = 0; i < node->version_count; i++) {
		struct version *v = &node->versions[i];
		uint64_t at = v->sector * disk->sector;
		if (!v->lost && at < node->seen.len)
			sector_copy(&node->durable, node->seen.data + at, v->sector, disk->sector); /* both images are as long */
	}
	/* A lost version goes when the sector was written again, and with that, synced. */
	for (size_t i = 0; i < node->version_count; i++) {
		struct version v = node->versions[i];
		bool renewed = !v.lost;
		for (size_t j = i + 1; j < node->version_count && !renewed; j++)
			renewed = node->versions[j].sector == v.sector && !node->versions[j].lost;
		if (renewed)
			mem_free(v.data);
		else
			node->versions[kept++] = v;
	}
	node->version_count = kept;
	return true;
}

/* Each sector: its durable image or one of its versions, all equally likely. */
static void node_crash(struct storage_faulty *disk, struct node *node)
{
	if (node->size_pending && roll(disk) % 2 == 0)
		(void)image_resize(&node->durable, node->seen.len);
	for (size_t i = 0; i < node->version_count; i++) {
		uint64_t sector = node->versions[i].sector, count = 0;
		const uint8_t *picked = NULL;
		if (node->versions[i].data == NULL)
			continue;
		for (size_t j = i; j < node->version_count; j++) {
			struct version *v = &node->versions[j];
			if (v->sector == sector && v->data != NULL && roll(disk) % (++count + 1) == 0)
				picked = v->data;
		}
		if (picked != NULL)
			sector_copy(&node->durable, picked, sector, disk->sector);
		for (size_t j = i; j < node->version_count; j++) {
			if (node->versions[j].sector == sector) {
				mem_free(node->versions[j].data);
				node->versions[j].data = NULL;
			}
		}
	}
	node->version_count = 0;
	node->size_pending = false;
	node->seen.len = 0;
	if (image_resize(&node->seen, node->durable.len) && node->durable.len > 0)
		memcpy(node->seen.data, node->durable.data, node->durable.len);
}

/* ---- names ---- */

static struct entry *entry_find(struct storage_faulty *disk, const char *path)
{
	for (size_t i = 0; i < disk->entry_count; i++) {
		if (strcmp(disk->entries[i].path, path) == 0)
			return &disk->entries[i];
	}
	return NULL;
}

static struct entry *entry_get(struct storage_faulty *disk, const char *path)
{
	struct entry *found = entry_find(disk, path);
	if (found != NULL)
		return found;
	if (disk->entry_count == disk->entry_cap) {
		size_t cap = disk->entry_cap == 0 ? 16 : disk->entry_cap * 2;
		struct entry *grown = mem_realloc(disk->entries, cap * sizeof(*grown));
		if (grown == NULL)
			return NULL;
		disk->entries = grown;
		disk->entry_cap = cap;
	}
	char *copy = mem_strdup(str_of(path));
	if (copy == NULL)
		return NULL;
	disk->entries[disk->entry_count] = (struct entry){ .path = copy };
	return &disk->entries[disk->entry_count++];
}

static void entry_set(struct entry *entry, struct node *node, uint64_t change)
{
	node_share(node);
	node_release(entry->seen);
	entry->seen = node;
	entry->change = change;
}

static void entry_settle(struct entry *entry, bool landed)
{
	struct node *winner = node_share(landed ? entry->seen : entry->durable);
	node_release(entry->seen);
	node_release(entry->durable);
	entry->seen = winner;
	entry->durable = node_share(winner);
}

/* `path` is in directory `dir`, directly. */
static bool is_in(const char *path, const char *dir, const char **name)
{
	size_t len = strlen(dir);
	if (strncmp(path, dir, len) != 0 || path[len] != '/' || strchr(path + len + 1, '/') != NULL)
		return false;
	*name = path + len + 1;
	return true;
}

static void dir_sync(struct storage_faulty *disk, const char *dir, size_t dir_len)
{
	for (size_t i = 0; i < disk->entry_count; i++) {
		struct entry *e = &disk->entries[i];
		const char *slash = strrchr(e->path, '/');
		if (slash != NULL && (size_t)(slash - e->path) == dir_len && strncmp(e->path, dir, dir_len) == 0)
			entry_settle(e, true);
	}
}

/* ---- faults ---- */

enum verdict { GO, FAIL, LAST };

static bool strikes(struct storage_faulty *disk, enum storage_faulty_call call)
{
	if (disk->fail_in[call] == 0 || --disk->fail_in[call] > 0)
		return false;
	errno = disk->fail_reason[call];
	return true;
}

/* LAST: the power goes during this call; it may have its effect, but fails. */
static enum verdict enter(struct storage_faulty *disk, enum storage_faulty_call call, bool changes)
{
	if (disk->off) {
		errno = EIO;
		return FAIL;
	}
	if (changes) {
		disk->calls++;
		if (disk->off_in > 0 && --disk->off_in == 0) {
			disk->off = true;
			errno = EIO;
			return LAST;
		}
	}
	bool any = strikes(disk, STORAGE_FAULTY_ANY);
	return strikes(disk, call) || any ? FAIL : GO;
}

static bool leave(struct storage_faulty *disk, bool ok)
{
	int reason = errno;
	pthread_mutex_unlock(&disk->mutex);
	errno = reason;
	return ok;
}

static uint64_t used_bytes(const struct storage_faulty *disk)
{
	uint64_t used = 0;
	for (size_t i = 0; i < disk->entry_count; i++)
		used += disk->entries[i].seen == NULL ? 0 : disk->entries[i].seen->seen.len;
	return used;
}

static bool has_room(const struct storage_faulty *disk, const struct node *node, uint64_t size)
{
	if (size <= node->seen.len || used_bytes(disk) + (size - node->seen.len) <= disk->capacity)
		return true;
	errno = ENOSPC;
	return false;
}

/* ---- the calls ---- */

static struct storage_file *faulty_open(struct storage *storage, const char *path, bool create)
{
	struct storage_faulty *disk = disk_of(storage);
	pthread_mutex_lock(&disk->mutex);
	struct entry *entry = NULL;
	struct storage_file *file = NULL;
	if (enter(disk, STORAGE_FAULTY_OPEN, false) != GO)
		goto done;
	entry = create ? entry_get(disk, path) : entry_find(disk, path);
	if (entry == NULL || (!create && entry->seen == NULL)) {
		errno = create ? ENOMEM : ENOENT;
		goto done;
	}
	if (entry->seen == NULL) {
		struct node *node = mem_zalloc(sizeof(*node));
		if (node == NULL) {
			errno = ENOMEM;
			goto done;
		}
		buf_init(&node->seen, (size_t)1 << 30);
		buf_init(&node->durable, (size_t)1 << 30);
		entry_set(entry, node, ++disk->change);
	}
	file = mem_zalloc(sizeof(*file));
	if (file == NULL) {
		errno = ENOMEM;
		goto done;
	}
	file->disk = disk;
	file->node = node_share(entry->seen);
	disk->open_files++;
done:
	leave(disk, true);
	return file;
}

static int64_t faulty_read(struct storage_file *file, void *data, size_t len, uint64_t at)
{
	struct storage_faulty *disk = file->disk;
	pthread_mutex_lock(&disk->mutex);
	int64_t n = -1;
	if (enter(disk, STORAGE_FAULTY_READ, false) == GO) {
		const struct buf *seen = &file->node->seen;
		n = at >= seen->len ? 0 : (int64_t)size_min(len, seen->len - at);
		if (n > 0)
			memcpy(data, seen->data + at, (size_t)n);
	}
	leave(disk, true);
	return n;
}

static bool faulty_write(struct storage_file *file, const void *data, size_t len, uint64_t at)
{
	struct storage_faulty *disk = file->disk;
	pthread_mutex_lock(&disk->mutex);
	enum verdict verdict = enter(disk, STORAGE_FAULTY_WRITE, true);
	int reason = errno;
	bool ok = has_room(disk, file->node, at + len);
	/* A write that fails may still have happened, wholly or in part. */
	if (ok && verdict == GO)
		ok = node_write(disk, file->node, data, len, at);
	else if (ok && reason != ENOSPC && roll(disk) % 2 == 0)
		(void)node_write(disk, file->node, data, len > 1 ? (size_t)(roll(disk) % len) : len, at);
	if (verdict != GO)
		errno = reason;
	return leave(disk, ok && verdict == GO);
}

static bool faulty_allocate(struct storage_file *file, uint64_t size)
{
	struct storage_faulty *disk = file->disk;
	pthread_mutex_lock(&disk->mutex);
	enum verdict verdict = enter(disk, STORAGE_FAULTY_ALLOCATE, true);
	struct node *node = file->node;
	bool ok = false;
	if (verdict == GO && has_room(disk, node, size))
		ok = size <= node->seen.len || node_write(disk, node, NULL, (size_t)size - node->seen.len, node->seen.len);
	return leave(disk, ok);
}

static bool faulty_truncate(struct storage_file *file, uint64_t size)
{
	struct storage_faulty *disk = file->disk;
	pthread_mutex_lock(&disk->mutex);
	struct node *node = file->node;
	bool ok = enter(disk, STORAGE_FAULTY_WRITE, true) == GO;
	if (ok && size != node->seen.len) {
		uint64_t before = node->seen.len;
		ok = image_resize(&node->seen, size) && versions_add(disk, node, size < before ? size : before,
			size < before ? before : size);
		node->size_pending = true;
	}
	return leave(disk, ok);
}

static bool faulty_sync(struct storage_file *file)
{
	struct storage_faulty *disk = file->disk;
	pthread_mutex_lock(&disk->mutex);
	enum verdict verdict = enter(disk, STORAGE_FAULTY_SYNC, true);
	bool ok = verdict == GO;
	disk->syncs++;
	if (ok && !disk->sync_is_lie)
		ok = node_sync(disk, file->node);
	for (size_t i = 0; verdict == FAIL && i < file->node->version_count; i++)
		file->node->versions[i].lost = true;
	return leave(disk, ok);
}

static int64_t faulty_size(struct storage_file *file)
{
	pthread_mutex_lock(&file->disk->mutex);
	int64_t size = file->disk->off ? -1 : (int64_t)file->node->seen.len;
	errno = EIO;
	leave(file->disk, true);
	return size;
}

static void faulty_close(struct storage_file *file)
{
	struct storage_faulty *disk = file->disk;
	pthread_mutex_lock(&disk->mutex);
	node_release(file->node);
	disk->open_files--;
	mem_free(file);
	leave(disk, true);
}

static bool faulty_rename(struct storage *storage, const char *from, const char *to)
{
	struct storage_faulty *disk = disk_of(storage);
	pthread_mutex_lock(&disk->mutex);
	enum verdict verdict = enter(disk, STORAGE_FAULTY_RENAME, true);
	bool ok = false;
	if (verdict != FAIL) {
		struct entry *target = entry_get(disk, to);
		struct entry *source = entry_find(disk, from); /* after: the table may have moved */
		ok = target != NULL && source != NULL && source->seen != NULL;
		if (ok) {
			entry_set(target, source->seen, ++disk->change);
			entry_set(source, NULL, disk->change);
			const char *slash = strrchr(to, '/');
			if (verdict == GO && !disk->rename_is_lie && slash != NULL)
				dir_sync(disk, to, (size_t)(slash - to));
		} else {
			errno = target == NULL ? ENOMEM : ENOENT;
		}
	}
	if (verdict == LAST)
		errno = EIO;
	return leave(disk, ok && verdict == GO);
}

static bool faulty_remove(struct storage *storage, const char *path)
{
	struct storage_faulty *disk = disk_of(storage);
	pthread_mutex_lock(&disk->mutex);
	enum verdict verdict = enter(disk, STORAGE_FAULTY_REMOVE, true);
	struct entry *entry = entry_find(disk, path);
	bool ok = entry != NULL && entry->seen != NULL;
	if (verdict != FAIL && !ok)
		errno = ENOENT;
	if (ok && verdict != FAIL)
		entry_set(entry, NULL, ++disk->change);
	return leave(disk, ok && verdict == GO);
}

static bool faulty_make_dirs(struct storage *storage, const char *path)
{
	(void)path; /* directories are there when a name needs them */
	struct storage_faulty *disk = disk_of(storage);
	pthread_mutex_lock(&disk->mutex);
	return leave(disk, enter(disk, STORAGE_FAULTY_ANY, false) == GO);
}

static bool faulty_sync_dir(struct storage *storage, const char *path)
{
	struct storage_faulty *disk = disk_of(storage);
	pthread_mutex_lock(&disk->mutex);
	bool ok = enter(disk, STORAGE_FAULTY_SYNC, true) == GO;
	if (ok && !disk->sync_is_lie)
		dir_sync(disk, path, strlen(path));
	return leave(disk, ok);
}

static bool faulty_list(struct storage *storage, const char *path, void (*fn)(void *context, const char *name),
	void *context)
{
	struct storage_faulty *disk = disk_of(storage);
	pthread_mutex_lock(&disk->mutex);
	bool ok = enter(disk, STORAGE_FAULTY_READ, false) == GO;
	const char *name;
	for (size_t i = 0; ok && i < disk->entry_count; i++) {
		if (disk->entries[i].seen != NULL && is_in(disk->entries[i].path, path, &name))
			fn(context, name);
	}
	return leave(disk, ok);
}

/* ---- for the tests ---- */

struct storage_faulty *storage_faulty_create(uint64_t seed)
{
	static const struct storage_ops ops = {
		.open = faulty_open, .read = faulty_read, .write = faulty_write, .allocate = faulty_allocate,
		.truncate = faulty_truncate, .sync = faulty_sync, .size = faulty_size, .close = faulty_close,
		.rename = faulty_rename, .remove = faulty_remove, .make_dirs = faulty_make_dirs,
		.sync_dir = faulty_sync_dir, .list = faulty_list,
	};
	struct storage_faulty *disk = mem_or_abort(mem_zalloc(sizeof(*disk)));
	disk->base.ops = &ops;
	pthread_mutex_init(&disk->mutex, NULL);
	disk->rng = seed;
	disk->sector = roll(disk) % 2 == 0 ? 512 : SECTOR_MAX;
	disk->capacity = UINT64_MAX;
	return disk;
}

void storage_faulty_destroy(struct storage_faulty *disk)
{
	if (disk == NULL)
		return;
	ASSERT(disk->open_files == 0);
	for (size_t i = 0; i < disk->entry_count; i++) {
		node_release(disk->entries[i].seen);
		node_release(disk->entries[i].durable);
		mem_free(disk->entries[i].path);
	}
	mem_free(disk->entries);
	pthread_mutex_destroy(&disk->mutex);
	mem_free(disk);
}

struct storage *storage_faulty_storage(struct storage_faulty *disk)
{
	return &disk->base;
}

void storage_faulty_power_off_at(struct storage_faulty *disk, uint64_t n)
{
	pthread_mutex_lock(&disk->mutex);
	disk->off_in = n;
	pthread_mutex_unlock(&disk->mutex);
}

bool storage_faulty_is_off(const struct storage_faulty *disk)
{
	return disk->off;
}

void storage_faulty_crash(struct storage_faulty *disk)
{
	ASSERT(disk->open_files == 0);
	uint64_t fate = roll(disk);
	for (size_t i = 0; i < disk->entry_count; i++) {
		struct entry *e = &disk->entries[i];
		entry_settle(e, e->seen == e->durable || hash_u64(fate ^ e->change) % 2 == 0);
	}
	for (size_t i = 0; i < disk->entry_count; i++) {
		if (disk->entries[i].seen != NULL)
			node_crash(disk, disk->entries[i].seen);
	}
	disk->off = false;
	disk->off_in = 0;
	memset(disk->fail_in, 0, sizeof(disk->fail_in));
}

void storage_faulty_fail_at(struct storage_faulty *disk, enum storage_faulty_call call, uint64_t n, int reason)
{
	pthread_mutex_lock(&disk->mutex);
	disk->fail_in[call] = n;
	disk->fail_reason[call] = reason;
	pthread_mutex_unlock(&disk->mutex);
}

uint64_t storage_faulty_pending(struct storage_faulty *disk)
{
	pthread_mutex_lock(&disk->mutex);
	uint64_t pending = disk->off_in;
	for (size_t i = 0; i < STORAGE_FAULTY_CALLS; i++)
		pending += disk->fail_in[i];
	pthread_mutex_unlock(&disk->mutex);
	return pending;
}

void storage_faulty_capacity(struct storage_faulty *disk, uint64_t bytes)
{
	pthread_mutex_lock(&disk->mutex);
	disk->capacity = bytes;
	pthread_mutex_unlock(&disk->mutex);
}

void storage_faulty_sync_is_lie(struct storage_faulty *disk, bool lie)
{
	disk->sync_is_lie = lie;
}

void storage_faulty_rename_is_lie(struct storage_faulty *disk, bool lie)
{
	disk->rename_is_lie = lie;
}

uint64_t storage_faulty_calls(const struct storage_faulty *disk)
{
	return disk->calls;
}

uint64_t storage_faulty_syncs(const struct storage_faulty *disk)
{
	return disk->syncs;
}

bool storage_faulty_get(struct storage_faulty *disk, const char *path, struct buf *out)
{
	struct entry *entry = entry_find(disk, path);
	if (entry == NULL || entry->seen == NULL)
		return false;
	buf_put(out, entry->seen->seen.data, entry->seen->seen.len);
	return !out->failed;
}

bool storage_faulty_set(struct storage_faulty *disk, const char *path, const void *data, size_t len)
{
	struct storage_file *file = faulty_open(&disk->base, path, true);
	bool ok = file != NULL && faulty_truncate(file, 0) && faulty_write(file, data, len, 0) &&
		node_sync(disk, file->node);
	if (file != NULL)
		faulty_close(file);
	struct entry *entry = entry_find(disk, path);
	if (ok && entry != NULL)
		entry_settle(entry, true);
	return ok;
}

bool storage_faulty_flip(struct storage_faulty *disk, const char *path, uint64_t at, uint8_t mask)
{
	struct entry *entry = entry_find(disk, path);
	if (entry == NULL || entry->seen == NULL || at >= entry->seen->seen.len)
		return false;
	entry->seen->seen.data[at] ^= mask;
	if (at < entry->seen->durable.len)
		entry->seen->durable.data[at] ^= mask;
	return true;
}
