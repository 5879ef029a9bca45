/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic of every numeric type. What a type cannot hold is an error, as
 * is division by zero; integers divide towards zero. Integers of up to 64
 * bits go through 128, wider ones through a sign and 256 bits.
 */
#include "query/extended_internal.h"

#include <math.h>

static const char overflow[] = "out of range", by_zero[] = "division by zero";

static uint32_t width_of(const struct sats_type *type)
{
	static const uint8_t sizes[SATS_TAG_COUNT] = { [SATS_I8] = 1, [SATS_U8] = 1, [SATS_I16] = 2, [SATS_U16] = 2,
		[SATS_I32] = 4, [SATS_U32] = 4, [SATS_I64] = 8, [SATS_U64] = 8, [SATS_I128] = 16, [SATS_U128] = 16,
		[SATS_I256] = 32, [SATS_U256] = 32, [SATS_F32] = 4, [SATS_F64] = 8 };
	return sizes[type->tag];
}

bool number_is(const struct sats_type *type)
{
	return type->tag > SATS_BOOL && type->tag < SATS_TAG_COUNT;
}

bool number_is_signed(const struct sats_type *type)
{
	switch (type->tag) {
	case SATS_I8: case SATS_I16: case SATS_I32: case SATS_I64: case SATS_I128: case SATS_I256: case SATS_F32:
	case SATS_F64:
		return true;
	default:
		return false;
	}
}

/* ---- up to 64 bits ---- */

static i128 load_small(const struct sats_type *type, const uint8_t *p)
{
	switch (type->tag) {
	case SATS_I8: return (int8_t)*p;
	case SATS_U8: return *p;
	case SATS_I16: return (int16_t)load_u16(p);
	case SATS_U16: return load_u16(p);
	case SATS_I32: return (int32_t)load_u32(p);
	case SATS_U32: return load_u32(p);
	case SATS_I64: return (int64_t)load_u64(p);
	default: return load_u64(p);
	}
}

static const char *store_small(const struct sats_type *type, i128 v, uint8_t *out)
{
	uint32_t bits = width_of(type) * 8;
	bool is_signed = number_is_signed(type);
	i128 high = ((i128)1 << (is_signed ? bits - 1 : bits)) - 1, low = is_signed ? -high - 1 : 0;
	if (v < low || v > high)
		return overflow;
	uint8_t le[16];
	store_u128(le, (u128)v);
	memcpy(out, le, bits / 8);
	return NULL;
}

static const char *small(const struct sats_type *type, char symbol, i128 a, i128 b, uint8_t *out)
{
	i128 v = 0;
	if ((symbol == '/' || symbol == '%') && b == 0)
		return by_zero;
	switch (symbol) {
	case '+': v = a + b; break;
	case '-': v = a - b; break;
	case '*':
		if (__builtin_mul_overflow(a, b, &v))
			return overflow;
		break;
	case '/': v = a / b; break;
	default: v = a % b; break;
	}
	return store_small(type, v, out);
}

/* ---- 128 and 256 bits ---- */

struct wide {
	bool negative;
	u128 high, low;
};

static struct wide load_wide(const struct sats_type *type, const uint8_t *p)
{
	struct wide w = { 0 };
	if (width_of(type) < 16) {
		i128 v = load_small(type, p);
		w.negative = v < 0;
		w.low = v < 0 ? -(u128)v : (u128)v;
		return w;
	}
	bool is_256 = width_of(type) == 32;
	w.low = load_u128(p);
	w.high = is_256 ? load_u128(p + 16) : 0;
	if (!number_is_signed(type) || ((is_256 ? w.high : w.low) >> 127) == 0)
		return w;
	w.negative = true;
	w.low = -w.low;
	w.high = is_256 ? ~w.high + (w.low == 0) : 0;
	return w;
}

static const char *store_wide(const struct sats_type *type, struct wide w, uint8_t *out)
{
	bool is_256 = width_of(type) == 32, is_signed = number_is_signed(type);
	u128 top = is_256 ? w.high : w.low, rest = is_256 ? w.low : 0, half = (u128)1 << 127;
	if (!is_256 && w.high != 0)
		return overflow;
	if (is_signed ? top > half || (top == half && (rest != 0 || !w.negative)) : w.negative && (w.high | w.low) != 0)
		return overflow;
	if (w.negative) {
		w.low = -w.low;
		w.high = ~w.high + (w.low == 0);
	}
	store_u128(out, w.low);
	if (is_256)
		store_u128(out + 16, w.high);
	return NULL;
}

static int compare_wide(struct wide a, struct wide b)
{
	if (a.high != b.high)
		return a.high < b.high ? -1 : 1;
	return (a.low > b.low) - (a.low < b.low);
}

static struct wide minus(struct wide a, struct wide b) /* a >= b, signs aside */
{
	a.high -= b.high + (a.low < b.low);
	a.low -= b.low;
	return a;
}

static const char *add_wide(struct wide a, struct wide b, struct wide *out)
{
	if (a.negative != b.negative) {
		bool less = compare_wide(a, b) < 0;
		*out = less ? minus(b, a) : minus(a, b);
		return NULL;
	}
	u128 low = a.low + b.low, carry = low < a.low, high;
	if (__builtin_add_overflow(a.high, b.high, &high) || __builtin_add_overflow(high, carry, &high))
		return overflow;
	*out = (struct wide){ a.negative, high, low };
	return NULL;
}

static void limbs(struct wide w, uint64_t out[4])
{
	out[0] = (uint64_t)w.low;
	out[1] = (uint64_t)(w.low >> 64);
	out[2] = (uint64_t)w.high;
	out[3] = (uint64_t)(w.high >> 64);
}

static const char *multiply_wide(struct wide a, struct wide b, struct wide *out)
{
	uint64_t x[4], y[4], z[8] = { 0 };
	limbs(a, x);
	limbs(b, y);
	for (int i = 0; i < 4; i++) {
		u128 carry = 0;
		for (int j = 0; j < 4; j++) {
			carry += (u128)x[i] * y[j] + z[i + j];
			z[i + j] = (uint64_t)carry;
			carry >>= 64;
		}
		z[i + 4] = (uint64_t)carry;
	}
	if ((z[4] | z[5] | z[6] | z[7]) != 0)
		return overflow;
	*out = (struct wide){ a.negative != b.negative, (u128)z[3] << 64 | z[2], (u128)z[1] << 64 | z[0] };
	return NULL;
}

/* Bit by bit: rare enough. */
static void divide_wide(struct wide a, struct wide b, struct wide *quotient, struct wide *rest)
{
	struct wide q = { .negative = a.negative != b.negative }, r = { .negative = a.negative };
	for (int bit = 255; bit >= 0; bit--) {
		bool carry = r.high >> 127 != 0;
		r.high = r.high << 1 | r.low >> 127;
		r.low = r.low << 1 | ((bit >= 128 ? a.high >> (bit - 128) : a.low >> bit) & 1);
		if (!carry && compare_wide(r, b) < 0)
			continue;
		r = minus(r, b);
		if (bit >= 128)
			q.high |= (u128)1 << (bit - 128);
		else
			q.low |= (u128)1 << bit;
	}
	*quotient = q;
	*rest = r;
}

static const char *wide(const struct sats_type *type, char symbol, struct wide a, struct wide b, uint8_t *out)
{
	struct wide v = { 0 }, rest = { 0 };
	const char *wrong = NULL;
	switch (symbol) {
	case '-':
		b.negative = !b.negative;
		/* fall through */
	case '+':
		wrong = add_wide(a, b, &v);
		break;
	case '*':
		wrong = multiply_wide(a, b, &v);
		break;
	default:
		if ((b.high | b.low) == 0)
			return by_zero;
		divide_wide(a, b, &v, &rest);
		v = symbol == '/' ? v : rest;
	}
	return wrong != NULL ? wrong : store_wide(type, v, out);
}

/* ---- floats ---- */

static double load_float(const struct sats_type *type, const uint8_t *p)
{
	uint32_t bits32 = load_u32(p);
	float f;
	double d;
	memcpy(&f, &bits32, sizeof(f));
	if (type->tag == SATS_F32)
		return f;
	uint64_t bits64 = load_u64(p);
	memcpy(&d, &bits64, sizeof(d));
	return d;
}

static const char *store_float(const struct sats_type *type, double v, bool finite, uint8_t *out)
{
	uint32_t bits32;
	uint64_t bits64;
	float f = (float)v + 0.0f; /* -0 is 0, whatever made it */
	double d = v + 0.0;
	if (finite && !isfinite(type->tag == SATS_F32 ? (double)f : d))
		return overflow;
	memcpy(&bits32, &f, sizeof(f));
	memcpy(&bits64, &d, sizeof(d));
	if (type->tag == SATS_F32)
		store_u32(out, bits32);
	else
		store_u64(out, bits64);
	return NULL;
}

static const char *floats(const struct sats_type *type, char symbol, double a, double b, uint8_t *out)
{
	double v = 0;
	if ((symbol == '/' || symbol == '%') && b == 0)
		return by_zero;
	switch (symbol) {
	case '+': v = a + b; break;
	case '-': v = a - b; break;
	case '*': v = a * b; break;
	case '/': v = a / b; break;
	default: v = fmod(a, b); break;
	}
	return store_float(type, v, isfinite(a) && isfinite(b), out);
}

/* ---- all ---- */

static bool is_float(const struct sats_type *type)
{
	return type->tag == SATS_F32 || type->tag == SATS_F64;
}

const char *number_arithmetic(const struct sats_type *type, char symbol, const uint8_t *a, const uint8_t *b,
	uint8_t *out)
{
	if (is_float(type))
		return floats(type, symbol, load_float(type, a), load_float(type, b), out);
	if (width_of(type) <= 8)
		return small(type, symbol, load_small(type, a), load_small(type, b), out);
	return wide(type, symbol, load_wide(type, a), load_wide(type, b), out);
}

const char *number_negate(const struct sats_type *type, const uint8_t *a, uint8_t *out)
{
	static const uint8_t zero[32];
	if (is_float(type))
		return store_float(type, -load_float(type, a), false, out);
	return number_arithmetic(type, '-', zero, a, out);
}

/* To a type that holds all values of the other. */
void number_widen(const struct sats_type *from, const uint8_t *value, const struct sats_type *to, uint8_t *out)
{
	if (is_float(from))
		(void)store_float(to, load_float(from, value), false, out);
	else
		(void)store_wide(to, load_wide(from, value), out);
}

double number_to_double(const struct sats_type *type, const uint8_t *value)
{
	if (is_float(type))
		return load_float(type, value);
	struct wide w = load_wide(type, value);
	double d = (double)w.high * 0x1p128 + (double)w.low;
	return w.negative ? -d : d;
}
