/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled code on disk. Loading compiled code means running it, so a file is
 * believed only if it carries a MAC under the host's own key.
 *
 *   file = MAC (32, HMAC-SHA256 of all that follows) | magic (8) | engine (32) | hash (32) | code
 *
 * 1. Nothing of a file is given out before its MAC was found right.
 * 2. A file appears whole (temporary name, then rename); a bad one is removed
 *    by being replaced.
 * 3. The files of the folder together stay below CACHE_BYTES_MAX: the least
 *    recently used ones go when one is written.
 *
 * Any failure means "not cached"; it is never an error of the caller.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "native.h"
#include "runtime/runtime_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = "WLCODE1";
static const char suffix[] = ".code";
enum { MAC_BYTES = 32, HEADER_BYTES = MAC_BYTES + 8 + 32 + 32 };
#define CACHE_BYTES_MAX (INT64_C(2) << 30)
#define CACHE_FILE_BYTES_MAX (INT64_C(1) << 30)

struct code_cache {
	int dir;
	uint8_t key[32];
	uint8_t engine[32]; /* digest of the engine's name */
};

struct code_cache *code_cache_open(const char *dir, const uint8_t key[32], const char *engine)
{
	struct code_cache *cache = mem_zalloc(sizeof(*cache));
	if (cache == NULL)
		return NULL;
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		log_warn("compiled code is not cached: cannot make %s: %s", dir, strerror(errno));
	cache->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cache->dir < 0) {
		log_warn("compiled code is not cached: cannot open %s: %s", dir, strerror(errno));
		mem_free(cache);
		return NULL;
	}
	memcpy(cache->key, key, sizeof(cache->key));
	native_blake3(engine, strlen(engine), cache->engine);
	return cache;
}

void code_cache_close(struct code_cache *cache)
{
	if (cache == NULL)
		return;
	close(cache->dir);
	OPENSSL_cleanse(cache->key, sizeof(cache->key));
	mem_free(cache);
}

enum { NAME_BYTES = 64 + 1 + 16 + sizeof(suffix) };
static void file_name(const struct code_cache *cache, const uint8_t hash[32], char name[NAME_BYTES])
{
	hex_encode(hash, 32, name);
	name[64] = '-';
	hex_encode(cache->engine, 8, name + 65);
	memcpy(name + 81, suffix, sizeof(suffix));
}

static bool mac_of(const struct code_cache *cache, const uint8_t *data, size_t len, uint8_t mac[MAC_BYTES])
{
	unsigned mac_len = 0;
	return HMAC(EVP_sha256(), cache->key, sizeof(cache->key), data, len, mac, &mac_len) != NULL
		&& mac_len == MAC_BYTES;
}

static bool read_whole(int fd, uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static bool write_whole(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static void put_header(const struct code_cache *cache, const uint8_t hash[32], uint8_t *header)
{
	memcpy(header + MAC_BYTES, magic, sizeof(magic));
	memcpy(header + MAC_BYTES + 8, cache->engine, 32);
	memcpy(header + MAC_BYTES + 40, hash, 32);
}

static bool genuine(const struct code_cache *cache, const uint8_t hash[32], const struct buf *file)
{
	uint8_t wanted[HEADER_BYTES], mac[MAC_BYTES];
	put_header(cache, hash, wanted);
	return memcmp(file->data + MAC_BYTES, wanted + MAC_BYTES, HEADER_BYTES - MAC_BYTES) == 0
		&& mac_of(cache, file->data + MAC_BYTES, file->len - MAC_BYTES, mac)
		&& CRYPTO_memcmp(mac, file->data, MAC_BYTES) == 0;
}

bool code_cache_get(struct code_cache *cache, const uint8_t hash[32], struct buf *code)
{
	char name[NAME_BYTES];
	file_name(cache, hash, name);
	int fd = openat(cache->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	struct stat st;
	bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > HEADER_BYTES
		&& st.st_size <= CACHE_FILE_BYTES_MAX;
	struct buf file = BUF_INIT(CACHE_FILE_BYTES_MAX);
	uint8_t *data = ok ? buf_extend(&file, (size_t)st.st_size) : NULL;
	ok = data != NULL && read_whole(fd, data, (size_t)st.st_size);
	if (ok && !genuine(cache, hash, &file)) {
		log_warn("compiled code in %s is damaged or not ours: it is ignored", name);
		ok = false;
	}
	if (ok) {
		futimens(fd, NULL); /* used now: invariant 3 */
		buf_put(code, file.data + HEADER_BYTES, file.len - HEADER_BYTES);
		ok = !code->failed;
	}
	buf_deinit(&file);
	close(fd);
	return ok;
}

/* Removes the least recently used files until the rest and `incoming` bytes fit. */
static void make_room(struct code_cache *cache, int64_t incoming)
{
	for (int round = 0; round < 1000; round++) {
		int fd = openat(cache->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
		if (dir == NULL) {
			if (fd >= 0)
				close(fd);
			return;
		}
		int64_t total = incoming;
		struct timespec oldest_time = { 0 };
		char oldest[NAME_MAX + 1] = "";
		for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
			struct stat st;
			size_t len = strlen(entry->d_name);
			if (len < sizeof(suffix) - 1 || len > NAME_MAX
				|| strcmp(entry->d_name + len - (sizeof(suffix) - 1), suffix) != 0
				|| fstatat(cache->dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
				continue;
			total += st.st_size;
			bool older = st.st_mtim.tv_sec < oldest_time.tv_sec
				|| (st.st_mtim.tv_sec == oldest_time.tv_sec && st.st_mtim.tv_nsec < oldest_time.tv_nsec);
			if (oldest[0] == '\0' || older) {
				oldest_time = st.st_mtim;
				memcpy(oldest, entry->d_name, len + 1);
			}
		}
		closedir(dir);
		if (total <= CACHE_BYTES_MAX || oldest[0] == '\0' || unlinkat(cache->dir, oldest, 0) != 0)
			return;
	}
}

void code_cache_put(struct code_cache *cache, const uint8_t hash[32], struct bytes code)
{
	if (code.len > (size_t)CACHE_FILE_BYTES_MAX - HEADER_BYTES)
		return;
	struct buf file = BUF_INIT(CACHE_FILE_BYTES_MAX);
	uint8_t *data = buf_extend(&file, HEADER_BYTES + code.len);
	if (data == NULL)
		return;
	put_header(cache, hash, data);
	memcpy(data + HEADER_BYTES, code.data, code.len);
	make_room(cache, (int64_t)file.len);
	char name[NAME_BYTES], temporary[NAME_BYTES + 32];
	file_name(cache, hash, name);
	snprintf(temporary, sizeof(temporary), "%s.%016llx.tmp", name, (unsigned long long)random_u64());
	int fd = -1;
	if (mac_of(cache, data + MAC_BYTES, file.len - MAC_BYTES, data))
		fd = openat(cache->dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0) {
		bool written = write_whole(fd, file.data, file.len);
		written = close(fd) == 0 && written;
		if (!written || renameat(cache->dir, temporary, cache->dir, name) != 0) {
			log_warn("compiled code cannot be cached: %s", strerror(errno));
			unlinkat(cache->dir, temporary, 0);
		}
	}
	buf_deinit(&file);
}
