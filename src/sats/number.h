/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SATS_NUMBER_H
#define SATS_NUMBER_H
/*
 * number: decimal texts of any size as numbers, and the texts of the integers
 * that C cannot print. Inside the room; pure functions.
 */
#include "sats/sats.h"

/* Enough digits to round any decimal to a double correctly, the rest only needs to be known as "more". */
enum { DECIMAL_DIGITS_MAX = 780 };

/* digits * 10^exponent; without leading or trailing zeros, zero has no digits. */
struct decimal {
	bool negative;
	bool more;       /* nonzero digits were dropped after the stored ones */
	bool fraction;   /* digits were written behind the (moved) point, if only zeros */
	int32_t count;   /* of digits */
	int64_t exponent;
	char digits[DECIMAL_DIGITS_MAX];
};
/* The syntax of SQL literals: [+-] digits with '.' and '_' anywhere but in front, exponent. */
bool decimal_parse(struct decimal *out, struct str text);
/* A number that is known to be valid JSON. */
void decimal_from_json(struct decimal *out, struct str text);
/* Correctly rounded, infinite when too large. The sign of zero is kept. */
double decimal_to_f64(const struct decimal *decimal);
/* Writes the little-endian bytes of an integer type. False when not integral or out of range. */
bool decimal_to_integer(const struct decimal *decimal, enum sats_tag tag, uint8_t out[32]);

/* "0x2a", "-0x2a": the SATS-JSON form of 256-bit integers. Returns the length. */
enum { HEX256_TEXT_MAX = 70 };
size_t integer256_to_hex(const uint8_t le[32], bool is_signed, char out[HEX256_TEXT_MAX]);
/* NULL on success, else the reason in the words of Rust's integer parser. */
const char *integer256_from_hex(struct str text, bool is_signed, uint8_t le[32]);
#endif
