/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage on local files. Every call is whole or an error with errno; short
 * transfers and interruptions are dealt with here. Data is private to the
 * user the host runs as (0600, 0700).
 */
#include "commitlog/commitlog.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCAL_PATH_MAX = 4096, ZEROS_BYTES = 64 << 10 };

struct storage_file {
	int fd;
};

static struct storage_file *local_open(struct storage *storage, const char *path, bool create)
{
	(void)storage;
	struct storage_file *file = mem_alloc(sizeof(*file));
	if (file == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	file->fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
	if (file->fd < 0) {
		int reason = errno;
		mem_free(file);
		errno = reason;
		return NULL;
	}
	return file;
}

static int64_t local_read(struct storage_file *file, void *data, size_t len, uint64_t at)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = pread(file->fd, (uint8_t *)data + done, len - done, (off_t)(at + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

static bool local_write(struct storage_file *file, const void *data, size_t len, uint64_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(file->fd, data, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			return false;
		}
		data = (const uint8_t *)data + n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return true;
}

static int64_t local_size(struct storage_file *file)
{
	struct stat st;
	return fstat(file->fd, &st) == 0 ? (int64_t)st.st_size : -1;
}

/* Written, not only reserved: the first write into an unwritten extent costs a journal commit in its sync. */
static bool local_allocate(struct storage_file *file, uint64_t size)
{
	static const uint8_t zeros[ZEROS_BYTES];
	int64_t at = local_size(file);
	if (at < 0)
		return false;
	if ((uint64_t)at >= size)
		return true;
	/* Asks for the space first, in one piece. Not every file system can; then the writes find out. */
	int reason = posix_fallocate(file->fd, at, (off_t)size - at);
	if (reason != 0 && reason != EOPNOTSUPP && reason != EINVAL) {
		errno = reason;
		return false;
	}
	for (uint64_t done = (uint64_t)at; done < size; ) {
		size_t piece = size_min(sizeof(zeros), size - done);
		if (!local_write(file, zeros, piece, done))
			return false;
		done += piece;
	}
	return true;
}

static bool local_truncate(struct storage_file *file, uint64_t size)
{
	return ftruncate(file->fd, (off_t)size) == 0;
}

static bool local_sync(struct storage_file *file)
{
	return fdatasync(file->fd) == 0; /* not repeated on EINTR: an error of any kind loses the dirty pages */
}

static void local_close(struct storage_file *file)
{
	close(file->fd);
	mem_free(file);
}

static bool local_sync_dir(struct storage *storage, const char *path)
{
	(void)storage;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool ok = fsync(fd) == 0;
	int reason = errno;
	close(fd);
	errno = reason;
	return ok;
}

/* The directory that holds `path`. */
static bool parent_of(const char *path, char out[LOCAL_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
	if (len >= LOCAL_PATH_MAX) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(out, slash == NULL ? "." : path, len);
	out[len] = '\0';
	return true;
}

static bool local_rename(struct storage *storage, const char *from, const char *to)
{
	char parent[LOCAL_PATH_MAX];
	return parent_of(to, parent) && rename(from, to) == 0 && local_sync_dir(storage, parent);
}

static bool local_remove(struct storage *storage, const char *path)
{
	(void)storage;
	return unlink(path) == 0;
}

static bool local_make_dirs(struct storage *storage, const char *path)
{
	char part[LOCAL_PATH_MAX], parent[LOCAL_PATH_MAX];
	size_t len = strlen(path);
	if (len == 0 || len >= sizeof(part)) {
		errno = len == 0 ? EINVAL : ENAMETOOLONG;
		return false;
	}
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) == 0) {
			if (!parent_of(part, parent) || !local_sync_dir(storage, parent))
				return false;
			continue;
		}
		struct stat st;
		if (errno != EEXIST)
			return false;
		if (stat(part, &st) != 0)
			return false;
		if (!S_ISDIR(st.st_mode)) {
			errno = ENOTDIR;
			return false;
		}
	}
	return true;
}

static bool local_list(struct storage *storage, const char *path, void (*fn)(void *context, const char *name),
	void *context)
{
	(void)storage;
	DIR *dir = opendir(path);
	if (dir == NULL)
		return errno == ENOENT;
	struct dirent *entry;
	while ((errno = 0, entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			fn(context, entry->d_name);
	}
	int reason = errno;
	closedir(dir);
	errno = reason;
	return reason == 0;
}

struct storage *commitlog_storage_local(void)
{
	static const struct storage_ops ops = {
		.open = local_open,
		.read = local_read,
		.write = local_write,
		.allocate = local_allocate,
		.truncate = local_truncate,
		.sync = local_sync,
		.size = local_size,
		.close = local_close,
		.rename = local_rename,
		.remove = local_remove,
		.make_dirs = local_make_dirs,
		.sync_dir = local_sync_dir,
		.list = local_list,
	};
	static struct storage local = { &ops };
	return &local;
}
