/* SPDX-License-Identifier: Apache-2.0 */
/* Values: layouts, validation, sizes, columns, order, keys, hashes. */
#include "base/clock.h"
#include "base/mem.h"
#include "sats/layout_internal.h"
#include "unit/run_suite.h"

#include <stdio.h>
#include <math.h>
#include <stdlib.h>

static struct arena arena;

static void setup(void)
{
	arena_init(&arena, 512 << 20);
}

static void teardown(void)
{
	arena_deinit(&arena);
}

static const struct sats_type *prim(enum sats_tag tag)
{
	return &sats_primitive[tag];
}

static const struct sats_type *product(int count, const struct sats_type *const *types)
{
	struct sats_element elements[16];
	for (int i = 0; i < count; i++)
		elements[i] = (struct sats_element){ arena_printf(&arena, "f%d", i), types[i] };
	return sats_product_of(&arena, elements, (uint32_t)count);
}

static const struct sats_type *sum(int count, const struct sats_type *const *types)
{
	struct sats_element elements[16];
	for (int i = 0; i < count; i++)
		elements[i] = (struct sats_element){ arena_printf(&arena, "v%d", i), types[i] };
	return sats_sum_of(&arena, elements, (uint32_t)count);
}
#define PRODUCT(...) product(sizeof((const struct sats_type *[]){ __VA_ARGS__ }) / sizeof(void *), \
	(const struct sats_type *[]){ __VA_ARGS__ })
#define SUM(...) sum(sizeof((const struct sats_type *[]){ __VA_ARGS__ }) / sizeof(void *), \
	(const struct sats_type *[]){ __VA_ARGS__ })

static const struct sats_layout *layout_of(const struct sats_typespace *space, const struct sats_type *type)
{
	const struct sats_layout *layout;
	struct error error;
	ck_assert_msg(sats_layout_create(&arena, space, type, &layout, &error) == WL_OK, "%s", error.text);
	return layout;
}

/* Validates a copy of exactly this size, so that the sanitizer sees an overread. */
static enum wl_err validate(
	const struct sats_layout *layout, const void *data, size_t len, size_t *consumed, struct error *error)
{
	uint8_t *copy = mem_alloc(len);
	if (len > 0)
		memcpy(copy, data, len);
	enum wl_err err = sats_validate(layout, copy, len, consumed, error);
	mem_free(copy);
	return err;
}

static enum wl_err validate_hex(
	const struct sats_layout *layout, const char *hex, size_t *consumed, struct error *error)
{
	uint8_t data[256];
	size_t len = strlen(hex) / 2;
	ck_assert(len <= sizeof(data) && hex_decode((struct str){ hex, 2 * len }, data, len));
	return validate(layout, data, len, consumed, error);
}

/* Goal: the value vectors of section 12; trailing bytes stay; every truncation is refused. */
START_TEST(vectors)
{
	const struct sats_type *option = sats_option_of(&arena, prim(SATS_U8));
	const struct {
		const struct sats_type *type;
		const char *hex;
	} cases[] = {
		{ prim(SATS_I8), "ff" },
		{ prim(SATS_U16), "0201" },
		{ prim(SATS_I128), "feffffffffffffffffffffffffffffff" },
		{ prim(SATS_U256), "0500000000000000000000000000000000000000000000000001000000000000" },
		{ prim(SATS_F32), "0000c03f" },
		{ prim(SATS_F64), "0000000000000080" },
		{ prim(SATS_STRING), "05000000c3a9e282ac" },
		{ &sats_bytes, "030000000102ff" },
		{ sats_array_of(&arena, prim(SATS_STRING)), "02000000010000006100000000" },
		{ sats_option_of(&arena, prim(SATS_U32)), "0007000000" },
		{ sats_option_of(&arena, prim(SATS_U32)), "01" },
		{ sats_option_of(&arena, option), "01" },
		{ sats_option_of(&arena, option), "0001" },
		{ sats_option_of(&arena, option), "0000ff" },
		{ &sats_unit, "" },
		{ prim(SATS_BOOL), "01" },
		{ SUM(&sats_unit, &sats_unit, &sats_unit), "02" },
		{ SUM(prim(SATS_I64), prim(SATS_U64)), "011027000000000000" },
		{ SUM(prim(SATS_BOOL), prim(SATS_BOOL)), "0101" },
		{ sats_array_of(&arena, prim(SATS_BOOL)), "03000000000101" },
		{ sats_array_of(&arena, &sats_unit), "05000000" },
		{ sats_array_of(&arena, PRODUCT(prim(SATS_U16), prim(SATS_BOOL))), "02000000ffff01000000" },
		{ PRODUCT(prim(SATS_U8), prim(SATS_STRING), prim(SATS_BOOL), prim(SATS_U16)), "090100000061010203" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		const struct sats_layout *layout = layout_of(NULL, cases[i].type);
		char longer[300];
		uint8_t data[256];
		size_t len = strlen(cases[i].hex) / 2, consumed = 99;
		struct error error;
		snprintf(longer, sizeof(longer), "%sabcd", cases[i].hex);
		ck_assert_int_eq(validate_hex(layout, cases[i].hex, &consumed, &error), WL_OK);
		ck_assert_uint_eq(consumed, len);
		ck_assert_int_eq(validate_hex(layout, longer, &consumed, &error), WL_OK);
		ck_assert_uint_eq(consumed, len);
		hex_decode((struct str){ cases[i].hex, 2 * len }, data, len);
		ck_assert_uint_eq(sats_size(layout, data), len);
		for (size_t n = 0; n < len; n++)
			ck_assert_int_eq(validate(layout, data, n, &consumed, &error), WL_ERR_INVALID);
	}
}
END_TEST

/* Goal: the reasons are worded as by the reference's decoder. */
START_TEST(reasons)
{
	const struct sats_element loop[] = { { STR("a"), sats_ref_to(&arena, 0) } };
	const struct sats_element tree[] = { { STR("leaf"), prim(SATS_U8) },
		{ STR("node"), sats_array_of(&arena, sats_ref_to(&arena, 1)) } };
	const struct sats_type *types[] = { sats_product_of(&arena, loop, 1), sats_sum_of(&arena, tree, 2) };
	struct sats_typespace space = { 2, types };
	const struct {
		const struct sats_type *type;
		const char *hex, *text;
	} cases[] = {
		{ prim(SATS_U32), "010203", "data too short for u32: Expected 4, given 3" },
		{ prim(SATS_F64), "01", "data too short for u64: Expected 8, given 1" },
		{ prim(SATS_I256), "", "data too short for i256: Expected 32, given 0" },
		{ prim(SATS_BOOL), "02", "byte 2 not valid as `bool` (must be 0 or 1)" },
		{ prim(SATS_STRING), "0300", "data too short for u32: Expected 4, given 2" },
		{ prim(SATS_STRING), "030000006161", "data too short for [u8]: Expected 3, given 2" },
		{ prim(SATS_STRING), "01000000ff", "invalid utf8" },
		{ &sats_bytes, "ffffffff00", "data too short for [u8]: Expected 4294967295, given 1" },
		{ sats_array_of(&arena, prim(SATS_U16)), "ffffffff0102030405", "data too short for u16: Expected 2, given 1" },
		{ sats_array_of(&arena, prim(SATS_BOOL)), "03000000000105", "byte 5 not valid as `bool` (must be 0 or 1)" },
		{ sats_array_of(&arena, &sats_unit), "ffffffff", "allocation of 4294967295 elements failed" },
		{ sats_array_of(&arena, prim(SATS_BOOL)), "03000000000201", "byte 2 not valid as `bool` (must be 0 or 1)" },
		{ SUM(&sats_unit, prim(SATS_U8)), "05", "unknown tag 0x5 for sum type <unknown>" },
		{ SUM(&sats_unit, &sats_unit), "02", "unknown tag 0x2 for sum type <unknown>" },
		{ SUM(prim(SATS_BOOL), prim(SATS_BOOL)), "0107", "byte 7 not valid as `bool` (must be 0 or 1)" },
		{ sats_sum_of(&arena, NULL, 0), "00", "unknown tag 0x0 for sum type <unknown>" },
		{ sats_sum_of(&arena, NULL, 0), "", "data too short for u8: Expected 1, given 0" },
		{ PRODUCT(prim(SATS_U8), prim(SATS_BOOL), prim(SATS_U64)), "0109",
			"byte 9 not valid as `bool` (must be 0 or 1)" },
		{ types[0], "00", "recursion limit exceeded" },
		{ sats_array_of(&arena, sats_ref_to(&arena, 0)), "01000000", "recursion limit exceeded" },
		{ sats_ref_to(&arena, 1),
			"01"
			"01000000"
			"07",
			"unknown tag 0x7 for sum type <unknown>" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		size_t consumed = 99;
		struct error error = { 0 };
		ck_assert_int_ne(validate_hex(layout_of(&space, cases[i].type), cases[i].hex, &consumed, &error), WL_OK);
		ck_assert_str_eq(error.text, cases[i].text);
		ck_assert_uint_eq(consumed, 99);
	}
	/* A million levels of nodes end at the limit, not at the end of the stack; some hundred are fine. */
	struct buf deep = BUF_INIT(16 << 20);
	for (int i = 0; i < 1000000; i++)
		buf_put(&deep, "\1\1\0\0\0", 5);
	const struct sats_layout *layout = layout_of(&space, sats_ref_to(&arena, 1));
	ck_assert(layout->recursive);
	size_t consumed;
	struct error error;
	ck_assert_int_eq(sats_validate(layout, deep.data, deep.len, &consumed, &error), WL_ERR_LIMIT);
	deep.len = 5 * 100;
	buf_put(&deep, "\0\7", 2);
	ck_assert_int_eq(sats_validate(layout, deep.data, deep.len, &consumed, &error), WL_OK);
	ck_assert_uint_eq(consumed, deep.len);
	ck_assert_uint_eq(sats_size(layout, deep.data), deep.len);
	buf_deinit(&deep);
	/* Elements without bytes are counted over the whole value. */
	const struct sats_layout *many = layout_of(NULL, sats_array_of(&arena, sats_array_of(&arena, &sats_unit)));
	struct buf empty = BUF_INIT(1 << 20);
	buf_put_u32(&empty, 2);
	buf_put_u32(&empty, SATS_ZERO_SIZE_ELEMENTS_MAX - 1);
	buf_put_u32(&empty, 1);
	ck_assert_int_eq(sats_validate(many, empty.data, empty.len, &consumed, &error), WL_OK);
	empty.data[8] = 2;
	ck_assert_int_eq(sats_validate(many, empty.data, empty.len, &consumed, &error), WL_ERR_LIMIT);
	buf_deinit(&empty);
}
END_TEST

/* Goal: sizes and any_bytes as section 2 defines fixed length. */
START_TEST(layouts)
{
	const struct {
		const struct sats_type *type;
		int32_t fixed;
		uint32_t min, max;
		bool any_bytes;
	} cases[] = {
		{ prim(SATS_U64), 8, 8, 8, true }, { prim(SATS_BOOL), 1, 1, 1, false }, { &sats_unit, 0, 0, 0, true },
		{ prim(SATS_STRING), -1, 4, UINT32_MAX, false }, { &sats_bytes, -1, 4, UINT32_MAX, false },
		{ PRODUCT(prim(SATS_U8), prim(SATS_F32), prim(SATS_U256)), 37, 37, 37, true },
		{ PRODUCT(prim(SATS_U8), prim(SATS_BOOL)), 2, 2, 2, false },
		{ SUM(&sats_unit, &sats_unit), 1, 1, 1, false }, { SUM(prim(SATS_I64), prim(SATS_F64)), 9, 9, 9, false },
		{ SUM(prim(SATS_BOOL), prim(SATS_U8)), 2, 2, 2, false },
		{ sats_option_of(&arena, prim(SATS_U16)), -1, 1, 3, false }, { sats_sum_of(&arena, NULL, 0), -1, 1, 1, false },
		{ PRODUCT(prim(SATS_U8), sats_option_of(&arena, prim(SATS_U64))), -1, 2, 10, false },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		const struct sats_layout *layout = layout_of(NULL, cases[i].type);
		ck_assert_int_eq(layout->fixed_size, cases[i].fixed);
		ck_assert_uint_eq(layout->min_size, cases[i].min);
		ck_assert_uint_eq(layout->max_size, cases[i].max);
		ck_assert(layout->any_bytes == cases[i].any_bytes);
		ck_assert(!layout->recursive);
	}
	struct error error;
	const struct sats_layout *layout;
	ck_assert_int_eq(sats_layout_create(&arena, NULL, sats_ref_to(&arena, 0), &layout, &error), WL_ERR_INVALID);
	ck_assert_str_eq(error.text, "Type reference &0 out of bounds");
	/* A chain of refs longer than the depth limit would make every walk by type as deep. */
	enum { LINKS = 4000 };
	static const struct sats_type *chain[LINKS];
	for (uint32_t i = 0; i + 1 < LINKS; i++)
		chain[i] = PRODUCT(sats_ref_to(&arena, i + 1));
	chain[LINKS - 1] = prim(SATS_U8);
	struct sats_typespace space = { LINKS, chain };
	ck_assert_int_eq(sats_layout_create(&arena, &space, chain[0], &layout, &error), WL_ERR_LIMIT);
	ck_assert_int_eq(sats_layout_create(&arena, &space, chain[LINKS - 64], &layout, &error), WL_OK);
}
END_TEST

/* Goal: failing allocations while a layout is made are errors and leak nothing. */
START_TEST(layout_memory)
{
	const struct sats_type *types[] = { SUM(
		prim(SATS_U8), sats_array_of(&arena, sats_ref_to(&arena, 0)), prim(SATS_STRING)) };
	struct sats_typespace space = { 1, types };
	const struct sats_type *row = PRODUCT(prim(SATS_BOOL), sats_ref_to(&arena, 0), prim(SATS_STRING), prim(SATS_BOOL));
	enum wl_err err = WL_ERR_MEMORY;
	for (int n = 1; err != WL_OK; n++) {
		struct arena small;
		const struct sats_row_layout *layout;
		uint64_t live = mem_stats().live_bytes;
		arena_init(&small, 1 << 20);
		mem_fail_at((uint64_t)n, true);
		err = sats_row_layout_create(&small, &space, row, &layout, NULL);
		mem_fail_at(0, false);
		ck_assert(err == WL_OK || err == WL_ERR_MEMORY);
		arena_deinit(&small);
		ck_assert_uint_eq(mem_stats().live_bytes, live);
	}
}
END_TEST

/* ---- random types and values ---- */

static uint64_t rng_state;
static uint64_t rng(void)
{
	rng_state += 0x9e3779b97f4a7c15u;
	return hash_u64(rng_state);
}

static const struct sats_type *random_type(int depth, uint32_t refs)
{
	unsigned pick = (unsigned)(rng() % (depth > 0 ? 24 : 16));
	if (pick < 16)
		return prim((enum sats_tag)(SATS_STRING + pick));
	if (pick < 18)
		return sats_array_of(&arena, random_type(depth - 1, refs));
	if (pick == 18 && refs > 0)
		return sats_ref_to(&arena, (uint32_t)(rng() % refs));
	if (pick == 19)
		return sats_option_of(&arena, random_type(depth - 1, refs));
	const struct sats_type *parts[6];
	int count = (int)(rng() % 6);
	for (int i = 0; i < count; i++)
		parts[i] = random_type(depth - 1, refs);
	return pick < 22 ? product(count, parts) : sum(count + 1 > 6 ? 6 : count + 1, (parts[count] = &sats_unit, parts));
}

/* Few distinct values, so that equal ones are met. */
static void random_value(struct buf *out, const struct sats_typespace *space, const struct sats_type *type)
{
	static const char *const texts[] = { "", "a", "ab", "a\0", "abcdefgh", "abcdefghi", "\xc3\xa9", "b" };
	switch (type->tag) {
	case SATS_REF:
		random_value(out, space, space->types[type->ref]);
		return;
	case SATS_PRODUCT:
		for (uint32_t i = 0; i < type->count; i++)
			random_value(out, space, type->elements[i].type);
		return;
	case SATS_SUM: {
		uint8_t tag = (uint8_t)(rng() % type->count);
		buf_put_u8(out, tag);
		random_value(out, space, type->elements[tag].type);
		return;
	}
	case SATS_ARRAY: {
		uint32_t count = (uint32_t)(rng() % 4);
		buf_put_u32(out, count);
		for (uint32_t i = 0; i < count; i++)
			random_value(out, space, type->element);
		return;
	}
	case SATS_STRING:
		buf_put_bsatn_str(out, str_of(texts[rng() % ARRAY_COUNT(texts)]));
		return;
	case SATS_BOOL:
		buf_put_u8(out, rng() % 2);
		return;
	case SATS_F32: {
		static const uint32_t bits[] = { 0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000,
			0xffc00001, 1 };
		buf_put_u32(out, bits[rng() % ARRAY_COUNT(bits)]);
		return;
	}
	case SATS_F64: {
		static const uint64_t bits[] = { 0, 1ull << 63, 0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000,
			0xfff0000000000000, 0x7ff8000000000000, 0xfff8000000000001, 1 };
		buf_put_u64(out, bits[rng() % ARRAY_COUNT(bits)]);
		return;
	}
	default: {
		uint8_t le[32];
		memset(le, rng() % 2 ? 0xff : 0, sizeof(le));
		le[rng() % 32] ^= (uint8_t)(rng() % 3);
		buf_put(out, le, sats_primitive[type->tag].plain_size);
	}
	}
}

/* Goal: any value of any type passes with its exact size, fails when cut or (mostly) when changed, never overreads, and
 * the quick check agrees with the slow one. */
START_TEST(random_validation)
{
	rng_state = (uint64_t)_i * 7919 + 1;
	const struct sats_type *types[3];
	for (uint32_t i = 0; i < 3; i++)
		types[i] = random_type(3, i); /* refs backwards only: no cycles */
	struct sats_typespace space = { 3, types };
	const struct sats_type *type = random_type(4, 3);
	const struct sats_layout *layout = layout_of(&space, type);
	struct buf value = BUF_INIT(1 << 20);
	for (int round = 0; round < 10; round++) {
		size_t consumed;
		struct error error;
		buf_clear(&value);
		random_value(&value, &space, type);
		ck_assert_int_eq(validate(layout, value.data, value.len, &consumed, &error), WL_OK);
		ck_assert_uint_eq(consumed, value.len);
		ck_assert_uint_eq(sats_size(layout, value.data), value.len);
		ck_assert_uint_ge(value.len, layout->min_size);
		ck_assert(layout->max_size == UINT32_MAX || value.len <= layout->max_size);
		ck_assert(layout->fixed_size < 0 || value.len == (size_t)layout->fixed_size);
		for (size_t n = 0; n < value.len && n < 300; n++)
			ck_assert_int_eq(validate(layout, value.data, n, &consumed, &error), WL_ERR_INVALID);
		for (size_t n = 0; n < value.len && n < 100; n++) {
			uint8_t old = value.data[n];
			value.data[n] = (uint8_t)rng();
			enum wl_err err = validate(layout, value.data, value.len, &consumed, &error);
			ck_assert((err == WL_OK) == (sats_explain_failure(layout, value.data, value.len, &error) == WL_OK));
			if (err == WL_OK)
				ck_assert_uint_eq(sats_size(layout, value.data), consumed);
			value.data[n] = old;
		}
	}
	buf_deinit(&value);
}
END_TEST

/* Goal: the columns of a row begin where the sizes of the columns before them end. */
START_TEST(random_columns)
{
	rng_state = (uint64_t)_i * 104729 + 3;
	const struct sats_type *parts[12];
	int count = (int)(rng() % 13);
	for (int i = 0; i < count; i++)
		parts[i] = random_type(2, 0);
	const struct sats_type *row = product(count, parts);
	const struct sats_row_layout *layout;
	ck_assert_int_eq(sats_row_layout_create(&arena, NULL, row, &layout, NULL), WL_OK);
	ck_assert_uint_eq(layout->column_count, (uint32_t)count);
	struct buf value = BUF_INIT(1 << 20);
	for (int round = 0; round < 10; round++) {
		buf_clear(&value);
		random_value(&value, NULL, row);
		size_t at = 0;
		for (uint32_t i = 0; i < layout->column_count; i++) {
			ck_assert_ptr_eq(sats_column(layout, value.data, i), value.data + at);
			ck_assert_ptr_eq(sats_column_slow(layout, value.data, i), value.data + at);
			at += sats_size(layout->columns[i], value.data + at);
		}
		ck_assert_uint_eq(at, value.len);
		ck_assert_uint_eq(sats_size(layout->whole, value.data), value.len);
	}
	buf_deinit(&value);
}
END_TEST

/* Goal: order, keys, prefixes and hashes agree with each other over all pairs, and order is an order. */
START_TEST(random_order)
{
	enum { VALUES = 24 };
	rng_state = (uint64_t)_i * 15485863 + 5;
	const struct sats_type *types[2];
	for (uint32_t i = 0; i < 2; i++)
		types[i] = random_type(2, i);
	struct sats_typespace space = { 2, types };
	const struct sats_type *type = random_type(3, 2);
	struct buf values[VALUES];
	for (int i = 0; i < VALUES; i++) {
		values[i] = BUF_INIT(1 << 20);
		buf_reserve(&values[i], 1);
		random_value(&values[i], &space, type);
	}
	for (int i = 0; i < VALUES; i++) {
		for (int j = 0; j < VALUES; j++) {
			const uint8_t *a = values[i].data, *b = values[j].data;
			int order = sats_compare(type, &space, a, b);
			ck_assert_int_eq(order > 0, sats_compare(type, &space, b, a) < 0);
			ck_assert(i != j || order == 0);
			if (values[i].len == values[j].len && memcmp(a, b, values[i].len) == 0)
				ck_assert_int_eq(order, 0);
			uint64_t prefix_a = sats_key_prefix(type, &space, a), prefix_b = sats_key_prefix(type, &space, b);
			if (prefix_a != prefix_b)
				ck_assert_int_eq(prefix_a < prefix_b, order < 0);
			if (order == 0)
				ck_assert_uint_eq(sats_hash(type, &space, a), sats_hash(type, &space, b));
			if (sats_has_scalar_key(type)) {
				u128 key_a = sats_scalar_key(type, a), key_b = sats_scalar_key(type, b);
				ck_assert_int_eq(key_a < key_b, order < 0);
				ck_assert_int_eq(key_a > key_b, order > 0);
			}
			for (int k = 0; k < VALUES; k++)
				if (order <= 0 && sats_compare(type, &space, b, values[k].data) <= 0)
					ck_assert_int_le(sats_compare(type, &space, a, values[k].data), 0);
		}
	}
	for (int i = 0; i < VALUES; i++)
		buf_deinit(&values[i]);
}
END_TEST

#define LE(type, value) (&(type){ (value) })

/* Goal: the order of section 5, by ascending examples. */
START_TEST(order)
{
	static const double doubles[] = { -INFINITY, -1e300, -1.5, -5e-324, 0.0, 5e-324, 1.5, INFINITY, NAN };
	static const float floats[] = { -INFINITY, -1e30f, -1.5f, -1e-45f, 0.0f, 1e-45f, 1.5f, INFINITY, NAN };
	static const int64_t longs[] = { INT64_MIN, -256, -1, 0, 1, 256, INT64_MAX };
	for (size_t i = 0; i < ARRAY_COUNT(doubles); i++) {
		for (size_t j = 0; j < ARRAY_COUNT(doubles); j++) {
			int expected = (i > j) - (i < j);
			ck_assert_int_eq(sats_compare(prim(SATS_F64), NULL, (void *)&doubles[i], (void *)&doubles[j]), expected);
			ck_assert_int_eq(sats_compare(prim(SATS_F32), NULL, (void *)&floats[i], (void *)&floats[j]), expected);
		}
	}
	for (size_t i = 0; i < ARRAY_COUNT(longs); i++)
		for (size_t j = 0; j < ARRAY_COUNT(longs); j++)
			ck_assert_int_eq(
				sats_compare(prim(SATS_I64), NULL, (void *)&longs[i], (void *)&longs[j]), (i > j) - (i < j));
	/* -0 and NaNs of any kind. */
	ck_assert_int_eq(sats_compare(prim(SATS_F64), NULL, (void *)LE(double, -0.0), (void *)LE(double, 0.0)), 0);
	ck_assert_uint_eq(sats_hash(prim(SATS_F64), NULL, (void *)LE(double, -0.0)),
		sats_hash(prim(SATS_F64), NULL, (void *)LE(double, 0.0)));
	ck_assert_int_eq(sats_compare(prim(SATS_F64), NULL, (void *)LE(uint64_t, 0xfff8000000000001),
						 (void *)LE(uint64_t, 0x7ff8000000000000)),
		0);
	/* Some before none; shorter array first; high bytes of a little-endian number decide. */
	const struct sats_type *option = sats_option_of(&arena, prim(SATS_U8));
	ck_assert_int_lt(sats_compare(option, NULL, (const uint8_t *)"\0\xff", (const uint8_t *)"\1"), 0);
	const struct sats_type *shorts = sats_array_of(&arena, prim(SATS_U16));
	ck_assert_int_lt(sats_compare(shorts, NULL, (const uint8_t *)"\1\0\0\0\2\1", (const uint8_t *)"\1\0\0\0\1\2"), 0);
	ck_assert_int_lt(
		sats_compare(shorts, NULL, (const uint8_t *)"\1\0\0\0\1\2", (const uint8_t *)"\2\0\0\0\1\2\0\0"), 0);
	ck_assert_int_lt(
		sats_compare(prim(SATS_STRING), NULL, (const uint8_t *)"\2\0\0\0ab", (const uint8_t *)"\3\0\0\0aba"), 0);
	ck_assert_int_lt(
		sats_compare(prim(SATS_STRING), NULL, (const uint8_t *)"\3\0\0\0aba", (const uint8_t *)"\1\0\0\0b"), 0);
	uint8_t low[32] = { 0xff }, high[32] = { [31] = 0x80 };
	ck_assert_int_lt(sats_compare(prim(SATS_U256), NULL, low, high), 0);
	ck_assert_int_gt(sats_compare(prim(SATS_I256), NULL, low, high), 0);
	ck_assert_uint_lt(sats_key_prefix(prim(SATS_I256), NULL, high), sats_key_prefix(prim(SATS_I256), NULL, low));
	/* Which types have a scalar key. */
	const struct sats_element uuid[] = { { STR("__uuid__"), prim(SATS_U128) } },
							  id[] = { { STR("__identity__"), prim(SATS_U256) } };
	ck_assert(
		sats_has_scalar_key(sats_product_of(&arena, uuid, 1)) && !sats_has_scalar_key(sats_product_of(&arena, id, 1)));
	ck_assert(sats_has_scalar_key(SUM(&sats_unit, &sats_unit)) && !sats_has_scalar_key(option));
	ck_assert(!sats_has_scalar_key(prim(SATS_U256)) && !sats_has_scalar_key(prim(SATS_STRING)));
	ck_assert(!sats_has_scalar_key(PRODUCT(prim(SATS_U8))) && !sats_has_scalar_key(&sats_unit));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sats_value");
	TCase *c = tcase_create("value");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, vectors);
	tcase_add_test(c, reasons);
	tcase_add_test(c, layouts);
	tcase_add_test(c, layout_memory);
	tcase_add_loop_test(c, random_validation, 0, 150);
	tcase_add_loop_test(c, random_columns, 0, 150);
	tcase_add_loop_test(c, random_order, 0, 300);
	tcase_add_test(c, order);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
