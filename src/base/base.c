/* SPDX-License-Identifier: Apache-2.0 */
/* Errors, assertions, hex, UTF-8 and hashing: the small functions of base.h. */
#include "base/base.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

const char *wl_err_name(enum wl_err err)
{
	switch (err) {
	case WL_OK: return "ok";
	case WL_ERR_INVALID: return "invalid";
	case WL_ERR_NOT_FOUND: return "not found";
	case WL_ERR_EXISTS: return "exists already";
	case WL_ERR_DENIED: return "not allowed";
	case WL_ERR_LIMIT: return "limit exceeded";
	case WL_ERR_MEMORY: return "out of memory";
	case WL_ERR_UNAVAILABLE: return "unavailable";
	case WL_ERR_IO: return "input/output error";
	case WL_ERR_CORRUPT: return "corrupt";
	case WL_ERR_UNSUPPORTED: return "not supported";
	}
	return "unknown error";
}

enum wl_err fail(struct error *error, enum wl_err code, const char *format, ...)
{
	if (error == NULL)
		return code;
	va_list args;
	va_start(args, format);
	error->code = code;
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return code;
}

enum wl_err fail_errno(struct error *error, enum wl_err code, const char *format, ...)
{
	int saved = errno;
	if (error == NULL)
		return code;
	va_list args;
	va_start(args, format);
	error->code = code;
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	char reason[128];
	size_t len = strlen(error->text);
	snprintf(error->text + len, sizeof(error->text) - len, ": %s", strerror_r(saved, reason, sizeof(reason)));
	return code;
}

_Noreturn void assert_failed(const char *condition, const char *file, int line)
{
	log_line(LOG_ERROR, file, line, "assertion failed: %s", condition);
	abort();
}

struct str str_of(const char *terminated)
{
	return (struct str){ terminated, terminated == NULL ? 0 : strlen(terminated) };
}

/* Length of the valid sequence at `p`, or 0. Rejects overlong forms and surrogates. */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
	uint8_t c = p[0];
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
	if (c >= 0xe0 && c <= 0xef) {
		if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
			return 0;
		if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f))
			return 0;
		return 3;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		if (left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
			return 0;
		if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
			return 0;
		return 4;
	}
	return 0;
}

bool utf8_valid(const uint8_t *data, size_t len)
{
	size_t i = 0;
	while (i < len) {
		/* Eight ASCII bytes at a time: the common case. */
		while (len - i >= 8 && (load_u64(data + i) & 0x8080808080808080u) == 0)
			i += 8;
		if (i >= len)
			break;
		size_t n = utf8_sequence(data + i, len - i);
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

struct str str_cut(struct str s, size_t max)
{
	if (s.len <= max)
		return s;
	while (max > 0 && ((uint8_t)s.data[max] & 0xc0) == 0x80)
		max--;
	return (struct str){ s.data, max };
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool hex_decode(struct str hex, uint8_t *out, size_t out_len)
{
	if (hex.len != out_len * 2)
		return false;
	for (size_t i = 0; i < out_len; i++) {
		int high = hex_digit(hex.data[2 * i]), low = hex_digit(hex.data[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void hex_encode(const uint8_t *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[data[i] >> 4];
		out[2 * i + 1] = digits[data[i] & 15];
	}
	out[2 * len] = '\0';
}

static void reverse(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len / 2; i++) {
		uint8_t t = bytes[i];
		bytes[i] = bytes[len - 1 - i];
		bytes[len - 1 - i] = t;
	}
}

void identity_to_hex(const struct identity *id, char hex[65])
{
	struct identity big = *id;
	reverse(big.le, sizeof(big.le));
	hex_encode(big.le, sizeof(big.le), hex);
}

bool identity_from_hex(struct str hex, struct identity *out)
{
	struct identity id;
	if (!hex_decode(hex, id.le, sizeof(id.le)))
		return false;
	reverse(id.le, sizeof(id.le));
	*out = id;
	return true;
}

void connection_id_to_hex(const struct connection_id *id, char hex[33])
{
	struct connection_id big = *id;
	reverse(big.le, sizeof(big.le));
	hex_encode(big.le, sizeof(big.le), hex);
}

bool connection_id_from_hex(struct str hex, struct connection_id *out)
{
	struct connection_id id;
	if (!hex_decode(hex, id.le, sizeof(id.le)))
		return false;
	reverse(id.le, sizeof(id.le));
	*out = id;
	return true;
}

uint64_t hash_bytes(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}
