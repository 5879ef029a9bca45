/* SPDX-License-Identifier: Apache-2.0 */
/* Errors, assertions, hex, UTF-8 and hashing: the small functions of base.h. */
#include "base/base.h"
#include "base/log.h"
#include "base/text.h"

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

int hex_digit(char c)
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

/* Identities are little-endian bytes and big-endian text. */
static void le_to_hex(const uint8_t *le, size_t len, char *hex)
{
	uint8_t big[32];
	for (size_t i = 0; i < len; i++)
		big[i] = le[len - 1 - i];
	hex_encode(big, len, hex);
}

static bool le_from_hex(struct str hex, uint8_t *le, size_t len)
{
	uint8_t big[32];
	if (!hex_decode(hex, big, len))
		return false;
	for (size_t i = 0; i < len; i++)
		le[i] = big[len - 1 - i];
	return true;
}

void identity_to_hex(const struct identity *id, char hex[65])
{
	le_to_hex(id->le, sizeof(id->le), hex);
}

bool identity_from_hex(struct str hex, struct identity *out)
{
	return le_from_hex(hex, out->le, sizeof(out->le));
}

void connection_id_to_hex(const struct connection_id *id, char hex[33])
{
	le_to_hex(id->le, sizeof(id->le), hex);
}

bool connection_id_from_hex(struct str hex, struct connection_id *out)
{
	return le_from_hex(hex, out->le, sizeof(out->le));
}

uint64_t hash_bytes(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}
