/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders of databases and files of programs.
 *
 * Invariants
 * 1. A program is on disk, synced, before anything refers to it; its name is its hash, checked when it is read.
 * 2. Only folders with a marker beside them (ID.new: being made, ID.gone: being removed) are ever removed by a start,
 *    and only when control data does not know them. A folder that nobody has marked is left alone: it may be all that
 *    is left of something. So a marker comes before the change of control data, and goes after it.
 * 3. Program files are written one at a time: publishes of one program at the same moment share a name.
 */
#include "base/log.h"
#include "base/mem.h"
#include "host/host_internal.h"
#include "native.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void files_replica_path(const char *dir, uint64_t replica, char out[HOST_PATH_BYTES_MAX])
{
	snprintf(out, HOST_PATH_BYTES_MAX, "%s/replicas/%llu", dir, (unsigned long long)replica);
}

static void marker_path(const char *dir, uint64_t replica, const char *kind, char out[HOST_PATH_BYTES_MAX])
{
	snprintf(out, HOST_PATH_BYTES_MAX, "%s/replicas/%llu.%s", dir, (unsigned long long)replica, kind);
}

static bool mark(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	return fd >= 0 && close(fd) == 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
	(void)info, (void)kind, (void)walk;
	return remove(path);
}

static void remove_tree(const char *path)
{
	if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
		log_warn("cannot remove %s: %m", path);
}

enum wl_err files_replica_create(const char *dir, uint64_t replica, struct error *error)
{
	char path[HOST_PATH_BYTES_MAX], marker[HOST_PATH_BYTES_MAX];
	struct storage *storage = commitlog_storage_local();
	files_replica_path(dir, replica, path);
	marker_path(dir, replica, "new", marker);
	snprintf(path, sizeof(path), "%s/replicas", dir);
	if (!storage->ops->make_dirs(storage, path) || !mark(marker))
		return fail_errno(error, WL_ERR_IO, "cannot write %s", marker);
	files_replica_path(dir, replica, path);
	if (!storage->ops->make_dirs(storage, path)) /* syncs the parent, and the marker's name with it */
		return fail_errno(error, WL_ERR_IO, "cannot create %s", path);
	return WL_OK;
}

enum wl_err files_replica_leave(const char *dir, uint64_t replica, struct error *error)
{
	char path[HOST_PATH_BYTES_MAX], marker[HOST_PATH_BYTES_MAX];
	struct storage *storage = commitlog_storage_local();
	marker_path(dir, replica, "gone", marker);
	snprintf(path, sizeof(path), "%s/replicas", dir);
	if (!mark(marker) || !storage->ops->sync_dir(storage, path))
		return fail_errno(error, WL_ERR_IO, "cannot write %s", marker);
	return WL_OK;
}

void files_replica_done(const char *dir, uint64_t replica)
{
	char marker[HOST_PATH_BYTES_MAX];
	marker_path(dir, replica, "new", marker);
	unlink(marker);
	marker_path(dir, replica, "gone", marker);
	unlink(marker);
}

void files_replica_remove(const char *dir, uint64_t replica)
{
	char path[HOST_PATH_BYTES_MAX], marker[HOST_PATH_BYTES_MAX];
	files_replica_path(dir, replica, path);
	marker_path(dir, replica, "gone", marker);
	mark(marker);
	remove_tree(path);
	files_replica_done(dir, replica);
}

/* A listing may still name what the sweep has removed meanwhile. */
static bool is_unmarked(const char *dir, uint64_t replica)
{
	char path[HOST_PATH_BYTES_MAX], made[HOST_PATH_BYTES_MAX], removed[HOST_PATH_BYTES_MAX];
	files_replica_path(dir, replica, path);
	marker_path(dir, replica, "new", made);
	marker_path(dir, replica, "gone", removed);
	return access(path, F_OK) == 0 && access(made, F_OK) != 0 && access(removed, F_OK) != 0;
}

void files_replicas_sweep(const char *dir, bool (*alive)(void *context, uint64_t replica),
	void (*stray)(void *context, uint64_t replica), void *context)
{
	char path[HOST_PATH_BYTES_MAX];
	snprintf(path, sizeof(path), "%s/replicas", dir);
	DIR *stream = opendir(path);
	if (stream == NULL)
		return;
	const struct dirent *entry;
	while ((entry = readdir(stream)) != NULL) {
		char *end;
		unsigned long long replica = strtoull(entry->d_name, &end, 10);
		if (end != entry->d_name && *end == '\0' && !alive(context, replica) && is_unmarked(dir, replica))
			stray(context, replica);
		if (end == entry->d_name || (strcmp(end, ".new") != 0 && strcmp(end, ".gone") != 0))
			continue;
		if (alive(context, replica)) {
			files_replica_done(dir, replica);
			continue;
		}
		log_info("removing %s/%llu, which was being %s when the host stopped", path, replica,
			strcmp(end, ".new") == 0 ? "made" : "removed");
		files_replica_remove(dir, replica);
	}
	closedir(stream);
}

static void program_path(const char *dir, const uint8_t hash[32], bool folder, char out[HOST_PATH_BYTES_MAX])
{
	char hex[65];
	hex_encode(hash, 32, hex);
	snprintf(out, HOST_PATH_BYTES_MAX, folder ? "%s/programs/%.2s" : "%s/programs/%.2s/%s", dir, hex, hex + 2);
}

static enum wl_err program_write(const char *dir, const uint8_t hash[32], struct bytes program, struct error *error)
{
	char path[HOST_PATH_BYTES_MAX];
	struct stat info;
	struct storage *storage = commitlog_storage_local();
	program_path(dir, hash, false, path);
	if (stat(path, &info) == 0 && (uint64_t)info.st_size == program.len)
		return WL_OK;
	program_path(dir, hash, true, path);
	if (!storage->ops->make_dirs(storage, path))
		return fail_errno(error, WL_ERR_IO, "cannot create %s", path);
	program_path(dir, hash, false, path);
	return storage_put(storage, path, program.data, program.len, error);
}

enum wl_err files_program_put(const char *dir, const uint8_t hash[32], struct bytes program, struct error *error)
{
	static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutex_lock(&one_at_a_time);
	enum wl_err err = program_write(dir, hash, program, error);
	pthread_mutex_unlock(&one_at_a_time);
	return err;
}

enum wl_err files_program_get(const char *dir, const uint8_t hash[32], struct buf *out, struct error *error)
{
	char path[HOST_PATH_BYTES_MAX];
	uint8_t found[32];
	program_path(dir, hash, false, path);
	enum wl_err err = storage_get(commitlog_storage_local(), path, out, error);
	if (err != WL_OK)
		return err;
	native_keccak256(out->data, out->len, found);
	return memcmp(found, hash, 32) == 0 ? WL_OK : fail(error, WL_ERR_CORRUPT, "%s is damaged", path);
}
