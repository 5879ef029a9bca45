/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data folder: one host at a time (spacetime.pid, locked for as long as the process lives), and only data of a
 * version this one can read (metadata.toml). A pid file left by a crash is harmless: its lock went with the process.
 */
#include "base/mem.h"
#include "host/datadir.h"
#include "host/toml.h"
#include "host/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct datadir {
	char *path, *pid_path;
	int fd;
};

static bool make_dirs(const char *path)
{
	char part[4096];
	int n = snprintf(part, sizeof(part), "%s", path);
	if (n <= 0 || (size_t)n >= sizeof(part)) {
		errno = ENAMETOOLONG;
		return false;
	}
	for (char *p = part + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return false;
		*p = '/';
	}
	return mkdir(part, 0755) == 0 || errno == EEXIST;
}

static enum wl_err refuse_lock(const char *path, struct error *error)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	char *end;
	long pid = strtol(text, &end, 10);
	if (end == text)
		return fail(error, WL_ERR_UNAVAILABLE,
			"cannot take lock on database; spacetime.pid already exists (owned by pid None)");
	return fail(error, WL_ERR_UNAVAILABLE,
		"cannot take lock on database; spacetime.pid already exists (owned by pid Some(%ld))", pid);
}

static enum wl_err take_lock(struct datadir *dir, struct error *error)
{
	for (;;) {
		dir->fd = open(dir->pid_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		if (dir->fd < 0)
			return fail_errno(error, WL_ERR_IO, "cannot open %s", dir->pid_path);
		if (flock(dir->fd, LOCK_EX | LOCK_NB) != 0)
			return errno == EWOULDBLOCK ? refuse_lock(dir->pid_path, error)
				: fail_errno(error, WL_ERR_IO, "cannot lock %s", dir->pid_path);
		struct stat mine, named;
		if (fstat(dir->fd, &mine) == 0 && stat(dir->pid_path, &named) == 0 && mine.st_ino == named.st_ino &&
			mine.st_dev == named.st_dev)
			break;
		close(dir->fd); /* its owner removed the name between our open and our lock */
	}
	char pid[32];
	int n = snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	if (ftruncate(dir->fd, 0) != 0 || pwrite(dir->fd, pid, (size_t)n, 0) != n)
		return fail_errno(error, WL_ERR_IO, "cannot write %s", dir->pid_path);
	return WL_OK;
}

struct version {
	unsigned long major, minor, patch;
	bool pre_release;
};

static bool version_read(struct str text, struct version *out)
{
	char copy[64];
	if (text.len == 0 || text.len >= sizeof(copy))
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	int used = 0;
	*out = (struct version){ 0 };
	if (sscanf(copy, "%9lu.%9lu.%9lu%n", &out->major, &out->minor, &out->patch, &used) != 3)
		return false;
	out->pre_release = copy[used] == '-';
	return copy[used] == '\0' || copy[used] == '-' || copy[used] == '+';
}

/* Same major and a minor that is not newer; an older major can be read; pre-releases only by themselves. */
static enum wl_err check_version(struct str ours_text, struct str disk_text, struct error *error)
{
	struct version ours, disk;
	const char *what = NULL;
	if (!version_read(ours_text, &ours) || !version_read(disk_text, &disk))
		return fail(error, WL_ERR_CORRUPT, "metadata.toml holds no valid version");
	if (ours.pre_release || disk.pre_release)
		what = str_eq(ours_text, disk_text) ? NULL : "an";
	else if (disk.major > ours.major || (disk.major == ours.major && disk.minor > ours.minor))
		what = "a newer,";
	if (what == NULL)
		return WL_OK;
	return fail(error, WL_ERR_UNSUPPORTED,
		"metadata.toml indicates that you are running %s incompatible database. Your running version "
		"is \"%.*s\", but the database on disk is from \"%.*s\".", what, STR_FMT(ours_text), STR_FMT(disk_text));
}

static bool version_older(struct str a, struct str b)
{
	struct version x, y;
	if (!version_read(a, &x) || !version_read(b, &y))
		return false;
	if (x.major != y.major)
		return x.major < y.major;
	return x.minor != y.minor ? x.minor < y.minor : x.patch < y.patch;
}

enum wl_err datadir_metadata(struct storage *storage, const char *path, const char *version, const char *edition,
	struct error *error)
{
	struct buf text = BUF_INIT(1 << 16), fresh = BUF_INIT(1 << 12);
	struct toml toml = { 0 };
	struct error cause = { 0 };
	bool write = true;
	enum wl_err err = storage_get(storage, path, &text, &cause);
	if (err == WL_ERR_NOT_FOUND) {
		err = WL_OK;
	} else if (err == WL_OK && (err = toml_parse(buf_str(&text), &toml, &cause)) == WL_OK) {
		const struct toml_entry *on_disk = toml_find(&toml, "", "version"), *their = toml_find(&toml, "", "edition");
		if (on_disk == NULL || on_disk->kind != TOML_STRING || their == NULL || their->kind != TOML_STRING)
			err = fail(error, WL_ERR_CORRUPT, "%s has no version and edition", path);
		else if (!str_eq(their->text, str_of(edition)))
			err = fail(error, WL_ERR_UNSUPPORTED,
				"metadata.toml at %s indicates that this database is from a different edition of "
				"SpacetimeDB (running \"%s\", but this database is \"%.*s\")", path, edition, STR_FMT(their->text));
		else
			err = check_version(str_of(version), on_disk->text, error);
		write = err == WL_OK && version_older(on_disk->text, str_of(version)); /* raised, never lowered */
	} else {
		err = fail(error, err, "%s: %s", path, cause.text);
	}
	if (err == WL_OK && write) {
		buf_printf(&fresh, "# THIS FILE IS GENERATED, DO NOT MODIFY!\n\nversion = \"%s\"\nedition = \"%s\"\n", version,
			edition);
		err = storage_put(storage, path, fresh.data, fresh.len, error);
	}
	toml_deinit(&toml);
	buf_deinit(&fresh);
	buf_deinit(&text);
	return err;
}

enum wl_err datadir_open(const char *path, struct datadir **out, struct error *error)
{
	if (!make_dirs(path))
		return fail_errno(error, WL_ERR_IO, "cannot create the data folder %s", path);
	struct datadir *dir = mem_zalloc(sizeof(*dir));
	struct buf name = BUF_INIT(4096);
	buf_printf(&name, "%s/spacetime.pid", path);
	if (dir != NULL) {
		dir->fd = -1;
		dir->path = mem_strdup(str_of(path));
		dir->pid_path = mem_strdup(buf_str(&name));
	}
	buf_deinit(&name);
	if (dir == NULL || dir->path == NULL || dir->pid_path == NULL) {
		datadir_close(dir);
		return fail(error, WL_ERR_MEMORY, "out of memory");
	}
	enum wl_err err = take_lock(dir, error);
	if (err == WL_OK) {
		struct buf metadata = BUF_INIT(4096);
		buf_printf(&metadata, "%s/metadata.toml", path);
		err = datadir_metadata(commitlog_storage_local(), buf_text(&metadata), WORLDLINE_VERSION, WORLDLINE_EDITION,
			error);
		buf_deinit(&metadata);
		if (err == WL_OK) {
			*out = dir;
			return WL_OK;
		}
		datadir_close(dir);
		return err;
	}
	if (dir->fd >= 0)
		close(dir->fd); /* locked by another host: the name is not ours to remove */
	dir->fd = -1;
	datadir_close(dir);
	return err;
}

void datadir_close(struct datadir *dir)
{
	if (dir == NULL)
		return;
	if (dir->fd >= 0) {
		unlink(dir->pid_path); /* while the lock is still held */
		close(dir->fd);
	}
	mem_free(dir->path);
	mem_free(dir->pid_path);
	mem_free(dir);
}

const char *datadir_path(const struct datadir *dir)
{
	return dir->path;
}
