/* SPDX-License-Identifier: Apache-2.0 */
/* Literals of SQL and the texts of large integers. */
#include "base/clock.h"
#include "sats/number.h"
#include "sats_literal_vectors.h"
#include "unit/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

static struct arena arena;

static void setup(void)
{
	arena_init(&arena, 16 << 20);
}

static void teardown(void)
{
	arena_deinit(&arena);
}

static const struct sats_type *type_from_hex(const char *hex)
{
	const struct sats_type *type;
	size_t len = strlen(hex) / 2;
	uint8_t *data = arena_alloc(&arena, len + 1);
	ck_assert(hex_decode((struct str){ hex, 2 * len }, data, len));
	struct reader r = reader_of(data, len);
	ck_assert_int_eq(sats_type_decode(&arena, &r, &type, NULL), WL_OK);
	return type;
}

static const struct sats_type *special(const char *name, enum sats_tag inner)
{
	const struct sats_element element = { str_of(name), &sats_primitive[inner] };
	return sats_product_of(&arena, &element, 1);
}

/* Goal: a server's recorded choices, and the values that it read back. */
START_TEST(recorded_literals)
{
	const struct literal_vector *v = &literal_vectors[_i];
	const struct sats_type *type = type_from_hex(v->type);
	struct buf out = BUF_INIT(1 << 16), json = BUF_INIT(1 << 16);
	enum wl_err err = sats_parse_literal(&out, type, str_of(v->text));
	ck_assert_msg((err == WL_OK) == v->accepted, "%s: %s", v->text, wl_err_name(err));
	if (err == WL_OK) {
		ck_assert_ptr_eq(sats_json_write(&json, type, NULL, out.data, SATS_JSON_UNTYPED), out.data + out.len);
		if (v->json != NULL)
			ck_assert_str_eq(buf_text(&json), v->json);
	} else {
		ck_assert_uint_eq(out.len, 0);
	}
	buf_deinit(&out);
	buf_deinit(&json);
}
END_TEST

/* The literal as hex of its bytes, or "-". */
static const char *literal(const struct sats_type *type, const char *text)
{
	static char hex[512];
	struct buf out = BUF_INIT(200);
	if (sats_parse_literal(&out, type, str_of(text)) == WL_OK)
		hex_encode(out.data, out.len, hex);
	else
		memcpy(hex, "-", 2);
	buf_deinit(&out);
	return hex;
}

/* Goal: integers of every form, at the edges of every width. */
START_TEST(integers)
{
	static const struct {
		enum sats_tag tag;
		const char *text, *hex;
	} cases[] = {
		{ SATS_U8, "255", "ff" },
		{ SATS_U8, "256", "-" },
		{ SATS_U8, "-0", "00" },
		{ SATS_U8, "-1", "-" },
		{ SATS_U8, "2.55e2", "ff" },
		{ SATS_U8, "2550e-1", "ff" },
		{ SATS_U8, "25.5", "-" },
		{ SATS_U8, "1e-3", "-" },
		{ SATS_U8, "0e999999999999999999", "00" },
		{ SATS_U8, "1e999999999", "-" },
		{ SATS_U8, "1e-999999999", "-" },
		{ SATS_U8, "+7", "07" },
		{ SATS_U8, "1_0", "0a" },
		{ SATS_U8, "_1", "-" },
		{ SATS_U8, "", "-" },
		{ SATS_U8, ".", "-" },
		{ SATS_U8, ".5e1", "05" },
		{ SATS_U8, "5.", "05" },
		{ SATS_U8, "1.2.3", "-" },
		{ SATS_U8, "1e", "-" },
		{ SATS_U8, "1e+1", "0a" },
		{ SATS_U8, "1E1", "0a" },
		{ SATS_U8, "e1", "-" },
		{ SATS_U8, "--1", "-" },
		{ SATS_U8, "0x1", "-" },
		{ SATS_U8, " 1", "-" },
		{ SATS_I8, "-128", "80" },
		{ SATS_I8, "-129", "-" },
		{ SATS_I8, "128", "-" },
		{ SATS_I8, "127", "7f" },
		{ SATS_I16, "-32768", "0080" },
		{ SATS_I16, "-32769", "-" },
		{ SATS_U16, "65535", "ffff" },
		{ SATS_I32, "-2147483648", "00000080" },
		{ SATS_I32, "2147483648", "-" },
		{ SATS_U32, "4294967295", "ffffffff" },
		{ SATS_I64, "-9223372036854775808", "0000000000000080" },
		{ SATS_I64, "9223372036854775808", "-" },
		{ SATS_U64, "18446744073709551615", "ffffffffffffffff" },
		{ SATS_U64, "18446744073709551616", "-" },
		{ SATS_I128, "-170141183460469231731687303715884105728", "00000000000000000000000000000080" },
		{ SATS_I128, "-170141183460469231731687303715884105729", "-" },
		{ SATS_I128, "170141183460469231731687303715884105728", "-" },
		{ SATS_I128, "-2", "feffffffffffffffffffffffffffffff" },
		{ SATS_U128, "340282366920938463463374607431768211455", "ffffffffffffffffffffffffffffffff" },
		{ SATS_U128, "340282366920938463463374607431768211456", "-" },
		{ SATS_U256, "1606938044258990275541962092341162602522202993782792835301381",
			"0500000000000000000000000000000000000000000000000001000000000000" },
		{ SATS_U256, "115792089237316195423570985008687907853269984665640564039457584007913129639935",
			"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" },
		{ SATS_U256, "115792089237316195423570985008687907853269984665640564039457584007913129639936", "-" },
		{ SATS_U256, "1.0", "-" },
		{ SATS_U256, "10e-1", "-" },
		{ SATS_U256, "0.0", "-" },
		{ SATS_U256, "1.0e1", "0a00000000000000000000000000000000000000000000000000000000000000" },
		{ SATS_U256, "-1", "-" },
		{ SATS_U256, "1e78", "-" },
		{ SATS_I256, "-57896044618658097711785492504343953926634992332820282019728792003956564819968",
			"0000000000000000000000000000000000000000000000000000000000000080" },
		{ SATS_I256, "-57896044618658097711785492504343953926634992332820282019728792003956564819969", "-" },
		{ SATS_I256, "57896044618658097711785492504343953926634992332820282019728792003956564819968", "-" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		ck_assert_msg(strcmp(literal(&sats_primitive[cases[i].tag], cases[i].text), cases[i].hex) == 0, "%s: %s",
			cases[i].text, literal(&sats_primitive[cases[i].tag], cases[i].text));
}
END_TEST

/* Goal: floats round correctly, however many digits there are, and exponents cost nothing. */
START_TEST(floats)
{
	static const struct {
		enum sats_tag tag;
		const char *text, *hex;
	} cases[] = {
		{ SATS_F32, "0.1", "cdcccc3d" },
		{ SATS_F64, "0.3", "333333333333d33f" },
		{ SATS_F32, "1e40", "0000807f" },
		{ SATS_F64, "-1e400", "000000000000f0ff" },
		{ SATS_F64, "-0.0", "0000000000000000" },
		{ SATS_F64, "1e-999999999999", "0000000000000000" },
		{ SATS_F64, "9007199254740993", "0000000000004043" },
		{ SATS_F64, "5e-324", "0100000000000000" },
		{ SATS_F64, "2.2250738585072011e-308", "ffffffffffff0f00" },
		{ SATS_F64, "NaN", "-" },
		{ SATS_F64, "inf", "-" },
		{ SATS_F64, "1e999999999999999999999", "000000000000f07f" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		ck_assert_str_eq(literal(&sats_primitive[cases[i].tag], cases[i].text), cases[i].hex);
	/* Half way between two doubles, and a nonzero digit a thousand places later. */
	struct buf text = BUF_INIT(4096);
	buf_put_cstr(&text, "9007199254740993.");
	for (int i = 0; i < 1000; i++)
		buf_put_u8(&text, '0');
	ck_assert_str_eq(literal(&sats_primitive[SATS_F64], buf_text(&text)), "0000000000004043");
	buf_put_u8(&text, '1');
	ck_assert_str_eq(literal(&sats_primitive[SATS_F64], buf_text(&text)), "0100000000004043");
	buf_deinit(&text);
}
END_TEST

/* Goal: what is printed for a random double reads back as the same double; also against strtod. */
START_TEST(floats_against_library)
{
	for (int i = 0; i < 200000; i++) {
		char text[64];
		struct decimal d;
		double value, parsed;
		uint64_t bits = random_u64();
		memcpy(&value, &bits, 8);
		if (!__builtin_isfinite(value))
			continue;
		snprintf(text, sizeof(text), "%.*g", (int)(random_u64() % 20) + 1, value);
		ck_assert(decimal_parse(&d, str_of(text)));
		parsed = decimal_to_f64(&d);
		value = strtod(text, NULL);
		ck_assert_msg(memcmp(&value, &parsed, 8) == 0, "%s", text);
	}
}
END_TEST

/* Goal: identities, ids, uuids, bytes: exact forms only. */
START_TEST(hex_forms)
{
	const struct sats_type *uuid = special("__uuid__", SATS_U128), *conn = special("__connection_id__", SATS_U128);
	const char *bytes = "100f0e0d0c0b0a090807060504030201";
	ck_assert_str_eq(literal(uuid, "01020304-0506-0708-090a-0b0c0d0e0f10"), bytes);
	ck_assert_str_eq(literal(uuid, "0102030405060708090A0B0C0D0E0F10"), bytes);
	ck_assert_str_eq(literal(uuid, "urn:uuid:01020304-0506-0708-090a-0b0c0d0e0f10"), bytes);
	ck_assert_str_eq(literal(uuid, "{01020304-0506-0708-090a-0b0c0d0e0f10}"), bytes);
	ck_assert_str_eq(literal(uuid, "01020304-05060708-090a-0b0c0d0e0f10"), "-");
	ck_assert_str_eq(literal(uuid, "01020304-0506-0708-090a-0b0c0d0e0f1"), "-");
	ck_assert_str_eq(literal(uuid, "0102030-40506-0708-090a-0b0c0d0e0f10"), "-");
	ck_assert_str_eq(literal(conn, "0x0102030405060708090A0B0C0D0E0F10"), bytes);
	ck_assert_str_eq(literal(conn, "0102030405060708090A0B0C0D0E0F1"), "-");
	ck_assert_str_eq(literal(&sats_bytes, "0xABcd"), "02000000abcd");
	ck_assert_str_eq(literal(&sats_bytes, "abc"), "-");
	ck_assert_str_eq(literal(special("__time_duration_micros__", SATS_I64), "5"), "-");
}
END_TEST

/* Goal: RFC 3339 with its edges, and what the clock prints reads back. */
START_TEST(timestamps)
{
	static const struct {
		const char *text;
		int64_t micros; /* INT64_MIN: refused */
	} cases[] = {
		{ "2025-02-10T15:45:30Z", 1739202330000000 },
		{ "2025-02-10 15:45:30+02:00", 1739195130000000 },
		{ "2025-02-10t15:45:30.123456789z", 1739202330123456 },
		{ "2025-02-10T15:45:30.1Z", 1739202330100000 },
		{ "2025-02-10T15:45:30.12345678901234567890Z", 1739202330123456 },
		{ "1970-01-01T00:00:00-00:01", 60000000 },
		{ "1969-12-31T23:59:59.999999Z", -1 },
		{ "2024-02-29T00:00:00Z", 1709164800000000 },
		{ "2016-12-31T23:59:60Z", 1483228800000000 },
		{ "0000-01-01T00:00:00Z", -62167219200000000 },
		{ "9999-12-31T23:59:59.999999Z", 253402300799999999 },
		{ "2000-03-01T00:00:00\xe2\x88\x92"
		  "01:00",
			951872400000000 },
		{ "2023-02-29T00:00:00Z", INT64_MIN },
		{ "1900-02-29T00:00:00Z", INT64_MIN },
		{ "2025-13-01T00:00:00Z", INT64_MIN },
		{ "2025-00-01T00:00:00Z", INT64_MIN },
		{ "2025-01-32T00:00:00Z", INT64_MIN },
		{ "2025-01-01T24:00:00Z", INT64_MIN },
		{ "2025-01-01T00:60:00Z", INT64_MIN },
		{ "2025-01-01T00:00:61Z", INT64_MIN },
		{ "2025-01-01T00:00:00", INT64_MIN },
		{ "2025-01-01T00:00:00.Z", INT64_MIN },
		{ "2025-01-01", INT64_MIN },
		{ "2025-01-01T00:00:00Zx", INT64_MIN },
		{ "", INT64_MIN },
		{ "2025-01-01T00:00:00+24:00", INT64_MIN },
		{ "2025-01-01T00:00:00+0200", INT64_MIN },
		{ "25-01-01T00:00:00Z", INT64_MIN },
	};
	const struct sats_type *type = special("__timestamp_micros_since_unix_epoch__", SATS_I64);
	char expected[32], text[48];
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		hex_encode((const uint8_t *)&cases[i].micros, 8, expected);
		ck_assert_msg(strcmp(literal(type, cases[i].text), cases[i].micros == INT64_MIN ? "-" : expected) == 0, "%s",
			cases[i].text);
	}
	for (int i = 0; i < 20000; i++) {
		int64_t micros = (int64_t)(random_u64() % 315569520000000000u) - 62167219200000000;
		timestamp_format(micros, text);
		hex_encode((const uint8_t *)&micros, 8, expected);
		ck_assert_str_eq(literal(type, text), expected);
	}
}
END_TEST

/* Goal: every integer type prints what it is; decimal text reads back as the same bytes. */
START_TEST(integer_texts)
{
	char text[SATS_INTEGER_TEXT_MAX + 1], hex[HEX256_TEXT_MAX + 1];
	uint8_t value[32], again[32];
	for (int i = 0; i < 20000; i++) {
		enum sats_tag tag = (enum sats_tag)(SATS_I8 + random_u64() % 12);
		size_t size = sats_primitive[tag].plain_size, keep = random_u64() % (size + 1);
		random_bytes(value, sizeof(value));
		memset(value + keep, random_u64() % 2 ? 0xff : 0, sizeof(value) - keep);
		struct decimal d;
		size_t len = sats_integer_format(tag, value, text);
		text[len] = '\0';
		ck_assert(decimal_parse(&d, str_of(text)) && decimal_to_integer(&d, tag, again));
		ck_assert_msg(memcmp(value, again, size) == 0, "%s", text);
		if (size <= 8) {
			int64_t wide = 0;
			memcpy(&wide, value, size);
			bool is_signed = (tag - SATS_I8) % 2 == 0;
			if (is_signed)
				wide = (int64_t)((uint64_t)wide << (64 - 8 * size)) >> (64 - 8 * size);
			char plain[32];
			snprintf(plain, sizeof(plain), is_signed ? "%lld" : "%llu", (long long)wide);
			ck_assert_str_eq(text, plain);
		}
		if (size == 32) {
			hex[integer256_to_hex(value, tag == SATS_I256, hex)] = '\0';
			ck_assert_ptr_null(integer256_from_hex(str_of(hex), tag == SATS_I256, again));
			ck_assert_mem_eq(value, again, 32);
		}
	}
	memset(value, 0, sizeof(value));
	ck_assert_uint_eq(sats_integer_format(SATS_U256, value, text), 1);
	ck_assert_int_eq(text[0], '0');
	ck_assert_uint_eq(integer256_to_hex(value, true, hex), 3);
	ck_assert_mem_eq(hex, "0x0", 3);
	memset(value, 0xff, sizeof(value));
	ck_assert_uint_eq(integer256_to_hex(value, true, hex), 4);
	ck_assert_mem_eq(hex, "-0x1", 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sats_literal");
	TCase *c = tcase_create("literal");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, recorded_literals, 0, ARRAY_COUNT(literal_vectors));
	tcase_add_test(c, integers);
	tcase_add_test(c, floats);
	tcase_add_test(c, floats_against_library);
	tcase_add_test(c, hex_forms);
	tcase_add_test(c, timestamps);
	tcase_add_test(c, integer_texts);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
