/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as texts: decimal literals of any length, and 128- and 256-bit
 * integers in decimal and hexadecimal.
 *
 * An exponent is only ever added to other numbers, never expanded: a text of
 * a few bytes cannot ask for more than DECIMAL_DIGITS_MAX digits of work.
 */
#include "sats/number.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

/* Far beyond any type here, far from overflow. */
enum { EXPONENT_MAX = 1000000000 };

/* ---- 256 bits as four limbs, least significant first ---- */

struct wide {
	uint64_t limb[4];
};

static struct wide wide_load(const uint8_t le[32])
{
	struct wide w;
	memcpy(w.limb, le, sizeof(w.limb));
	return w;
}

static struct wide wide_negate(struct wide w)
{
	u128 carry = 1;
	for (int i = 0; i < 4; i++) {
		carry += (uint64_t)~w.limb[i];
		w.limb[i] = (uint64_t)carry;
		carry >>= 64;
	}
	return w;
}

/* w * by + add; false on overflow. */
static bool wide_multiply_add(struct wide *w, uint32_t by, uint32_t add)
{
	u128 carry = add;
	for (int i = 0; i < 4; i++) {
		carry += (u128)w->limb[i] * by;
		w->limb[i] = (uint64_t)carry;
		carry >>= 64;
	}
	return carry == 0;
}

static uint64_t wide_divide(struct wide *w, uint64_t by)
{
	u128 rest = 0;
	for (int i = 3; i >= 0; i--) {
		rest = rest << 64 | w->limb[i];
		w->limb[i] = (uint64_t)(rest / by);
		rest %= by;
	}
	return (uint64_t)rest;
}

static bool wide_is_zero(const struct wide *w)
{
	return (w->limb[0] | w->limb[1] | w->limb[2] | w->limb[3]) == 0;
}

static int wide_bits(const struct wide *w)
{
	for (int i = 3; i >= 0; i--)
		if (w->limb[i] != 0)
			return 64 * i + 64 - __builtin_clzll(w->limb[i]);
	return 0;
}

/* ---- decimals ---- */

static void add_digit(struct decimal *d, char digit, bool fraction)
{
	if (d->count == 0 && digit == '0') {
		d->exponent -= fraction;
		return;
	}
	if (d->count < DECIMAL_DIGITS_MAX) {
		d->digits[d->count++] = digit;
		d->exponent -= fraction;
		return;
	}
	d->more |= digit != '0';
	d->exponent += !fraction;
}

static void finish(struct decimal *d, int64_t exponent)
{
	/* A text in memory has fewer digits than would overflow here. */
	d->exponent += exponent;
	d->fraction = d->exponent < 0;
	while (d->count > 0 && d->digits[d->count - 1] == '0' && !d->more) {
		d->count--;
		d->exponent++;
	}
	if (d->count == 0)
		d->exponent = 0;
}

/* [+-] digits, at least one; saturates. */
static bool parse_exponent(struct str text, int64_t *out)
{
	size_t i = 0;
	bool negative = text.len > 0 && text.data[0] == '-';
	if (text.len > 0 && (text.data[0] == '-' || text.data[0] == '+'))
		i = 1;
	if (i == text.len)
		return false;
	int64_t value = 0;
	for (; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		if (value < EXPONENT_MAX)
			value = value * 10 + (text.data[i] - '0');
	}
	*out = negative ? -value : value;
	return true;
}

bool decimal_parse(struct decimal *d, struct str text)
{
	d->negative = d->more = false;
	d->count = 0;
	d->exponent = 0;
	size_t end = 0;
	while (end < text.len && text.data[end] != 'e' && text.data[end] != 'E')
		end++;
	int64_t exponent = 0;
	if (end < text.len && !parse_exponent((struct str){ text.data + end + 1, text.len - end - 1 }, &exponent))
		return false;
	size_t i = 0;
	if (end > 0 && (text.data[0] == '-' || text.data[0] == '+')) {
		d->negative = text.data[0] == '-';
		i = 1;
	}
	if (i < end && text.data[i] == '_')
		return false;
	bool fraction = false, digits = false;
	for (; i < end; i++) {
		char c = text.data[i];
		if (c >= '0' && c <= '9') {
			add_digit(d, c, fraction);
			digits = true;
		} else if (c == '.' && !fraction) {
			fraction = true;
		} else if (c != '_') {
			return false;
		}
	}
	finish(d, exponent);
	return digits;
}

void decimal_from_json(struct decimal *d, struct str text)
{
	bool ok = decimal_parse(d, text);
	DEBUG_ASSERT(ok);
	(void)ok;
}

static double exact_power(int64_t exponent)
{
	static const double powers[] = {
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
	};
	return powers[exponent];
}

double decimal_to_f64(const struct decimal *d)
{
	double value = 0;
	if (d->count > 0 && d->count <= 15 && d->exponent >= -22 && d->exponent <= 22) {
		/* Both factors are exact, so the one operation rounds once. */
		uint64_t digits = 0;
		for (int32_t i = 0; i < d->count; i++)
			digits = digits * 10 + (uint64_t)(d->digits[i] - '0');
		value = (double)digits;
		value = d->exponent >= 0 ? value * exact_power(d->exponent) : value / exact_power(-d->exponent);
	} else if (d->count > 0) {
		char text[DECIMAL_DIGITS_MAX + 32];
		memcpy(text, d->digits, (size_t)d->count);
		int64_t exponent = d->exponent;
		size_t len = (size_t)d->count;
		if (d->more) {
			text[len++] = '1';
			exponent--;
		}
		snprintf(text + len, sizeof(text) - len, "e%lld", (long long)exponent);
		value = strtod(text, NULL);
	}
	return d->negative ? -value : value;
}

bool decimal_to_integer(const struct decimal *d, enum sats_tag tag, uint8_t out[32])
{
	int bits = (int)sats_primitive[tag].plain_size * 8;
	bool is_signed = tag == SATS_I8 || tag == SATS_I16 || tag == SATS_I32 || tag == SATS_I64 || tag == SATS_I128 ||
		tag == SATS_I256;
	/* The reference reads 256-bit integers from their plain text, so 1.0 is none there. 2^256 has 78 digits. */
	if (d->exponent < 0 || (bits == 256 && d->fraction) || d->more || d->count + d->exponent > 78)
		return false;
	struct wide w = { 0 };
	for (int32_t i = 0; i < d->count + d->exponent; i++)
		if (!wide_multiply_add(&w, 10, i < d->count ? (uint32_t)(d->digits[i] - '0') : 0))
			return false;
	int used = wide_bits(&w);
	if (is_signed) {
		struct wide smallest = { 0 };
		smallest.limb[(bits - 1) / 64] = UINT64_C(1) << (bits - 1) % 64;
		if (used >= bits && !(d->negative && memcmp(&w, &smallest, sizeof(w)) == 0))
			return false;
		if (d->negative)
			w = wide_negate(w);
	} else if (used > bits || (d->negative && used > 0)) {
		return false;
	}
	memcpy(out, w.limb, sizeof(w.limb));
	return true;
}

/* ---- printing ---- */

size_t sats_integer_format(enum sats_tag tag, const uint8_t *valid, char out[SATS_INTEGER_TEXT_MAX])
{
	size_t size = sats_primitive[tag].plain_size;
	struct wide w = { 0 };
	ASSERT(tag >= SATS_I8 && tag <= SATS_U256);
	memcpy(w.limb, valid, size);
	/* Signed and unsigned types alternate, signed first. */
	bool negative = (tag - SATS_I8) % 2 == 0 && valid[size - 1] >> 7;
	if (negative) {
		memset((uint8_t *)w.limb + size, 0xff, sizeof(w.limb) - size);
		w = wide_negate(w);
	}
	char digits[SATS_INTEGER_TEXT_MAX];
	size_t at = sizeof(digits);
	do {
		uint64_t part;
		if ((w.limb[1] | w.limb[2] | w.limb[3]) == 0) {
			part = w.limb[0];
			w.limb[0] = 0;
			for (; part > 0 || at == sizeof(digits); part /= 10)
				digits[--at] = (char)('0' + part % 10);
		} else {
			part = wide_divide(&w, 10000000000000000000u);
			for (int i = 0; i < 19; i++, part /= 10)
				digits[--at] = (char)('0' + part % 10);
		}
	} while (!wide_is_zero(&w));
	if (negative)
		digits[--at] = '-';
	size_t len = sizeof(digits) - at;
	memcpy(out, digits + at, len);
	return len;
}

size_t integer256_to_hex(const uint8_t le[32], bool is_signed, char out[HEX256_TEXT_MAX])
{
	struct wide w = wide_load(le);
	size_t len = 0;
	if (is_signed && w.limb[3] >> 63) {
		out[len++] = '-';
		w = wide_negate(w);
	}
	out[len++] = '0';
	out[len++] = 'x';
	int digits = (wide_bits(&w) + 3) / 4;
	for (int i = digits > 0 ? digits - 1 : 0; i >= 0; i--)
		out[len++] = "0123456789abcdef"[w.limb[i / 16] >> i % 16 * 4 & 15];
	return len;
}

const char *integer256_from_hex(struct str text, bool is_signed, uint8_t le[32])
{
	static const char bad_digit[] = "invalid digit found in string";
	if (text.len == 0)
		return "cannot parse integer from empty string";
	size_t i = text.data[0] == '+' || (is_signed && text.data[0] == '-');
	bool negative = i == 1 && text.data[0] == '-';
	if (text.len < i + 3 || text.data[i] != '0' || text.data[i + 1] != 'x')
		return bad_digit;
	struct wide w = { 0 };
	for (i += 2; i < text.len; i++) {
		int digit = hex_digit(text.data[i]);
		if (digit < 0)
			return bad_digit;
		bool fits = wide_multiply_add(&w, 16, (uint32_t)digit);
		bool smallest = negative && w.limb[3] == 1ull << 63 && (w.limb[0] | w.limb[1] | w.limb[2]) == 0;
		if (is_signed && w.limb[3] >> 63 && !smallest)
			fits = false;
		if (!fits)
			return negative ? "number too small to fit in target type" : "number too large to fit in target type";
	}
	if (negative)
		w = wide_negate(w);
	memcpy(le, w.limb, sizeof(w.limb));
	return NULL;
}
