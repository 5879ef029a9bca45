/* SPDX-License-Identifier: Apache-2.0 */
/* Whole small files that are either the old or the new after a crash, on any storage. */
#include "commitlog/commitlog.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

static bool write_temp(struct storage *storage, const char *temp, const void *data, size_t len)
{
	const struct storage_ops *ops = storage->ops;
	struct storage_file *file = ops->open(storage, temp, true);
	if (file == NULL)
		return false;
	bool ok = ops->truncate(file, 0) && ops->write(file, data, len, 0) && ops->sync(file);
	int reason = errno;
	ops->close(file);
	errno = reason;
	return ok;
}

enum wl_err storage_put(struct storage *storage, const char *path, const void *data, size_t len, struct error *error)
{
	char temp[4096];
	int n = snprintf(temp, sizeof(temp), "%s.tmp", path);
	if (n < 0 || (size_t)n >= sizeof(temp))
		return fail(error, WL_ERR_LIMIT, "the path %.64s… is too long", path);
	if (write_temp(storage, temp, data, len) && storage->ops->rename(storage, temp, path))
		return WL_OK;
	enum wl_err err = fail_errno(error, WL_ERR_IO, "cannot write %s", path);
	(void)storage->ops->remove(storage, temp);
	return err;
}

enum wl_err storage_get(struct storage *storage, const char *path, struct buf *out, struct error *error)
{
	const struct storage_ops *ops = storage->ops;
	struct storage_file *file = ops->open(storage, path, false);
	if (file == NULL)
		return errno == ENOENT ? fail(error, WL_ERR_NOT_FOUND, "%s does not exist", path) :
			fail_errno(error, WL_ERR_IO, "cannot open %s", path);
	size_t before = out->len;
	int64_t size = ops->size(file);
	enum wl_err err = WL_OK;
	if (size < 0) {
		err = fail_errno(error, WL_ERR_IO, "cannot read %s", path);
	} else if ((uint64_t)size > out->max - before) {
		err = fail(error, WL_ERR_LIMIT, "%s: %lld bytes are more than expected", path, (long long)size);
	} else if (size > 0) {
		uint8_t *to = buf_extend(out, (size_t)size);
		if (to == NULL)
			err = fail(error, WL_ERR_MEMORY, "no memory for %s", path);
		else if (ops->read(file, to, (size_t)size, 0) != size)
			err = fail_errno(error, WL_ERR_IO, "cannot read %s", path);
	}
	if (err != WL_OK && out->len > before)
		out->len = before;
	ops->close(file);
	return err;
}
