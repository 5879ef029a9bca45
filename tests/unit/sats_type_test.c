/* SPDX-License-Identifier: Apache-2.0 */
/* Types: the meta-encoding, its limits, texts, special types, refs. Vectors of data-model.md section 12. */
#include "base/mem.h"
#include "sats/sats.h"
#include "unit/run_suite.h"

static struct arena arena;

static void setup(void)
{
	arena_init(&arena, 256 << 20);
}

static void teardown(void)
{
	arena_deinit(&arena);
}

static const char *hex_of(struct buf *b)
{
	char *text = arena_alloc(&arena, 2 * b->len + 1);
	hex_encode(b->data, b->len, text);
	return text;
}

static enum wl_err decode(const char *hex, const struct sats_type **out, struct error *error)
{
	size_t len = strlen(hex) / 2;
	uint8_t *data = mem_alloc(len); /* exact, so that an overread is seen */
	ck_assert(hex_decode((struct str){ hex, 2 * len }, data, len));
	struct reader r = reader_of(data, len);
	enum wl_err err = sats_type_decode(&arena, &r, out, error);
	if (err == WL_OK)
		ck_assert_uint_eq(reader_left(&r), 0);
	mem_free(data);
	return err;
}

#define TYPE_CASES 13
static const struct {
	const char *hex, *pretty, *json;
	enum sats_special special;
} type_cases[TYPE_CASES] = {
	{ "0d", "U64", "{\"U64\":[]}", SATS_PLAIN },
	{ "0000000000", "&0", "{\"Ref\":0}", SATS_PLAIN },
	{ "030003000000", "Array<&3>", "{\"Array\":{\"Ref\":3}}", SATS_PLAIN },
	{ "0200000000", "()", "{\"Product\":{\"elements\":[]}}", SATS_PLAIN },
	{ "0100000000", "(|)", "{\"Sum\":{\"variants\":[]}}", SATS_PLAIN },
	{ "0102000000"
	  "0004000000736f6d65"
	  "04"
	  "00040000006e6f6e65"
	  "0200000000",
		"(some: String | none: ())",
		"{\"Sum\":{\"variants\":[{\"name\":{\"some\":\"some\"},\"algebraic_type\":{\"String\":[]}},"
		"{\"name\":{\"some\":\"none\"},\"algebraic_type\":{\"Product\":{\"elements\":[]}}}]}}",
		SATS_OPTION },
	{ "0201000000"
	  "000c0000005f5f6964656e746974795f5f"
	  "11",
		"(__identity__: U256)",
		"{\"Product\":{\"elements\":[{\"name\":{\"some\":\"__identity__\"},\"algebraic_type\":{\"U256\":[]}}]}}",
		SATS_IDENTITY },
	{ "0202000000"
	  "00020000006964"
	  "0d"
	  "01"
	  "04",
		"(id: U64, 1: String)",
		"{\"Product\":{\"elements\":[{\"name\":{\"some\":\"id\"},\"algebraic_type\":{\"U64\":[]}},"
		"{\"name\":{\"none\":[]},\"algebraic_type\":{\"String\":[]}}]}}",
		SATS_PLAIN },
	{ "0102000000"
	  "01"
	  "07"
	  "01"
	  "0307",
		"(U8 | Array<U8>)",
		"{\"Sum\":{\"variants\":[{\"name\":{\"none\":[]},\"algebraic_type\":{\"U8\":[]}},"
		"{\"name\":{\"none\":[]},\"algebraic_type\":{\"Array\":{\"U8\":[]}}}]}}",
		SATS_PLAIN },
	/* Reversed, it is no option. */
	{ "0102000000"
	  "00040000006e6f6e65"
	  "0200000000"
	  "0004000000736f6d65"
	  "04",
		"(none: () | some: String)",
		"{\"Sum\":{\"variants\":[{\"name\":{\"some\":\"none\"},\"algebraic_type\":{\"Product\":{\"elements\":[]}}},"
		"{\"name\":{\"some\":\"some\"},\"algebraic_type\":{\"String\":[]}}]}}",
		SATS_PLAIN },
	{ "0102000000"
	  "00020000006f6b"
	  "07"
	  "0003000000657272"
	  "04",
		"(ok: U8 | err: String)",
		"{\"Sum\":{\"variants\":[{\"name\":{\"some\":\"ok\"},\"algebraic_type\":{\"U8\":[]}},"
		"{\"name\":{\"some\":\"err\"},\"algebraic_type\":{\"String\":[]}}]}}",
		SATS_RESULT },
	{ "0102000000"
	  "0008000000496e74657276616c"
	  "0201000000"
	  "00180000005f5f74696d655f6475726174696f6e5f6d6963726f735f5f"
	  "0c"
	  "000400000054696d65"
	  "0201000000"
	  "00250000005f5f74696d657374616d705f6d6963726f735f73696e63655f756e69785f65706f63685f5f"
	  "0c",
		"(Interval: (__time_duration_micros__: I64) | Time: (__timestamp_micros_since_unix_epoch__: I64))",
		"{\"Sum\":{\"variants\":[{\"name\":{\"some\":\"Interval\"},"
		"\"algebraic_type\":{\"Product\":{\"elements\":[{\"name\":"
		"{\"some\":\"__time_duration_micros__\"},\"algebraic_type\":{\"I64\":[]}}]}}},{\"name\":{\"some\":\"Time\"},"
		"\"algebraic_type\":{\"Product\":{\"elements\":[{\"name\":{\"some\":\"__timestamp_micros_since_unix_epoch__\"},"
		"\"algebraic_type\":{\"I64\":[]}}]}}}]}}",
		SATS_SCHEDULE_AT },
	{ "0201000000"
	  "00090000005f5f71756572795f5f"
	  "0005000000",
		"(__query__: &5)",
		"{\"Product\":{\"elements\":[{\"name\":{\"some\":\"__query__\"},\"algebraic_type\":{\"Ref\":5}}]}}",
		SATS_QUERY_VIEW },
};

/* Goal: bytes → type → bytes, readable form, JSON, special kind. */
START_TEST(vectors)
{
	const struct sats_type *type, *again;
	struct buf bytes = BUF_INIT(4096), text = BUF_INIT(4096), json = BUF_INIT(4096);
	struct error error;
	ck_assert_int_eq(decode(type_cases[_i].hex, &type, &error), WL_OK);
	sats_type_encode(&bytes, type);
	ck_assert_str_eq(hex_of(&bytes), type_cases[_i].hex);
	sats_type_pretty(&text, type);
	ck_assert_str_eq(buf_text(&text), type_cases[_i].pretty);
	sats_type_json(&json, type);
	ck_assert_str_eq(buf_text(&json), type_cases[_i].json);
	ck_assert_int_eq(type->special, type_cases[_i].special);
	ck_assert_int_eq(sats_special_of(type), type_cases[_i].special);
	ck_assert_int_eq(decode(type_cases[_i].hex, &again, &error), WL_OK);
	ck_assert(sats_type_eq(type, again));
	for (int other = 0; other < TYPE_CASES; other++) {
		ck_assert_int_eq(decode(type_cases[other].hex, &again, &error), WL_OK);
		ck_assert(sats_type_eq(type, again) == (other == _i));
	}
	/* Every truncation is refused. */
	for (size_t n = 0; n < strlen(type_cases[_i].hex); n += 2) {
		char cut[1024];
		memcpy(cut, type_cases[_i].hex, n);
		cut[n] = '\0';
		ck_assert_int_eq(decode(cut, &again, &error), WL_ERR_INVALID);
	}
	buf_deinit(&bytes);
	buf_deinit(&text);
	buf_deinit(&json);
}
END_TEST

/* Goal: all primitive types, and the tag after the last. */
START_TEST(primitives)
{
	for (int tag = SATS_STRING; tag < SATS_TAG_COUNT; tag++) {
		const struct sats_type *type;
		uint8_t byte = (uint8_t)tag;
		struct reader r = reader_of(&byte, 1);
		ck_assert_int_eq(sats_type_decode(&arena, &r, &type, NULL), WL_OK);
		ck_assert_ptr_eq(type, &sats_primitive[tag]);
		ck_assert(sats_is_integer(type) == (tag >= SATS_I8 && tag <= SATS_U256));
	}
}
END_TEST

/* Goal: hostile encodings are refused with the decoder's words, before memory is spent on them. */
START_TEST(refusals)
{
	static const struct {
		const char *hex, *text;
		enum wl_err err;
	} cases[] = {
		{ "", "data too short for u8: Expected 1, given 0", WL_ERR_INVALID },
		{ "14", "unknown tag 0x14 for sum type AlgebraicType", WL_ERR_INVALID },
		{ "00010203", "data too short for u32: Expected 4, given 3", WL_ERR_INVALID },
		{ "02ffffffff0107", "data too short for u8: Expected 1, given 0", WL_ERR_INVALID },
		{ "02010000000207", "unknown tag 0x2 for sum type option", WL_ERR_INVALID },
		{ "02010000000001000000ff07", "invalid utf8", WL_ERR_INVALID },
		{ "020100000000ffffffff07", "data too short for [u8]: Expected 4294967295, given 1", WL_ERR_INVALID },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		const struct sats_type *type = NULL;
		struct error error;
		ck_assert_int_eq(decode(cases[i].hex, &type, &error), cases[i].err);
		ck_assert_str_eq(error.text, cases[i].text);
		ck_assert_ptr_null(type);
	}
	/* Depth: 128 arrays around a U8 are fine, one more is not, nor are a million. */
	static uint8_t deep[1000001];
	memset(deep, SATS_ARRAY, sizeof(deep));
	for (size_t n = SATS_DEPTH_MAX; n <= SATS_DEPTH_MAX + 1; n++) {
		const struct sats_type *type;
		struct reader r = reader_of(deep, n + 1);
		deep[n] = SATS_U8;
		ck_assert_int_eq(sats_type_decode(&arena, &r, &type, NULL), n == SATS_DEPTH_MAX ? WL_OK : WL_ERR_LIMIT);
		deep[n] = SATS_ARRAY;
	}
	const struct sats_type *type;
	struct reader r = reader_of(deep, sizeof(deep));
	ck_assert_int_eq(sats_type_decode(&arena, &r, &type, NULL), WL_ERR_LIMIT);
}
END_TEST

static struct sats_typespace space_of(const struct sats_type **types, uint32_t count)
{
	return (struct sats_typespace){ count, types };
}

/* Goal: refs are resolved to copies; cycles, bad indices and blow-ups are errors. */
START_TEST(inlining)
{
	struct error error;
	const struct sats_type *out;
	/* &0 = (p: &1), &1 = some/none over &2, &2 = U256, &3 = Array<&3>, &4 = &9 */
	const struct sats_element pair[] = { { STR("p"), sats_ref_to(&arena, 1) } };
	const struct sats_element option[] = { { STR("some"), sats_ref_to(&arena, 2) }, { STR("none"), &sats_unit } };
	const struct sats_type *types[] = { sats_product_of(&arena, pair, 1), sats_sum_of(&arena, option, 2),
		&sats_primitive[SATS_U256], sats_array_of(&arena, sats_ref_to(&arena, 3)), sats_ref_to(&arena, 9) };
	struct sats_typespace space = space_of(types, 5);
	ck_assert_int_eq(sats_inline(&arena, &space, sats_ref_to(&arena, 0), &out, &error), WL_OK);
	struct buf text = BUF_INIT(256);
	sats_type_pretty(&text, out);
	ck_assert_str_eq(buf_text(&text), "(p: (some: U256 | none: ()))");
	ck_assert_int_eq(out->elements[0].type->special, SATS_OPTION);
	ck_assert_int_eq(sats_inline(&arena, &space, sats_ref_to(&arena, 3), &out, &error), WL_ERR_INVALID);
	ck_assert_str_eq(error.text, "Found recursive type reference &3");
	ck_assert_int_eq(sats_inline(&arena, &space, sats_ref_to(&arena, 4), &out, &error), WL_ERR_INVALID);
	ck_assert_str_eq(error.text, "Type reference &9 out of bounds");
	/* A special product behind a ref is one after inlining, an inner name does not matter. */
	const struct sats_element identity[] = { { STR("__identity__"), sats_ref_to(&arena, 2) } };
	const struct sats_type *hidden = sats_product_of(&arena, identity, 1);
	ck_assert_int_eq(hidden->special, SATS_PLAIN);
	ck_assert_int_eq(sats_inline(&arena, &space, hidden, &out, &error), WL_OK);
	ck_assert_int_eq(out->special, SATS_IDENTITY);
	/* Sixty levels of (a: &n+1, b: &n+1) would be 2^60 nodes. */
	const struct sats_type *doubling[61];
	for (uint32_t i = 0; i < 60; i++) {
		const struct sats_element two[] = { { STR("a"), sats_ref_to(&arena, i + 1) },
			{ STR("b"), sats_ref_to(&arena, i + 1) } };
		doubling[i] = sats_product_of(&arena, two, 2);
	}
	doubling[60] = &sats_primitive[SATS_BOOL];
	struct sats_typespace wide = space_of(doubling, 61);
	ck_assert_int_eq(sats_inline(&arena, &wide, doubling[0], &out, &error), WL_ERR_LIMIT);
	/* As a layout it is refused by its size, without walking it. */
	const struct sats_layout *layout;
	ck_assert_int_eq(sats_layout_create(&arena, &wide, doubling[0], &layout, &error), WL_ERR_LIMIT);
	ck_assert_int_eq(sats_layout_create(&arena, &wide, doubling[40], &layout, &error), WL_OK);
	ck_assert_int_eq(layout->fixed_size, 1 << 20);
	ck_assert_ptr_eq(sats_follow(&space, sats_ref_to(&arena, 2)), &sats_primitive[SATS_U256]);
	ck_assert_ptr_null(sats_follow(&space, sats_ref_to(&arena, 4)));
	const struct sats_type *loop[] = { sats_ref_to(&arena, 1), sats_ref_to(&arena, 0) };
	struct sats_typespace endless = space_of(loop, 2);
	ck_assert_ptr_null(sats_follow(&endless, loop[0]));
	buf_deinit(&text);
}
END_TEST

/* Goal: typespaces and bare products decode, and memory failures are errors. */
START_TEST(spaces_and_memory)
{
	static const uint8_t space_bytes[] = { 2, 0, 0, 0, SATS_U8, SATS_PRODUCT, 1, 0, 0, 0, 0, 1, 0, 0, 0, 'x',
		SATS_ARRAY, SATS_STRING };
	struct sats_typespace space;
	struct error error;
	for (int n = 1;; n++) {
		struct arena small;
		arena_init(&small, 1 << 20);
		struct reader r = reader_of(space_bytes, sizeof(space_bytes));
		mem_fail_at((uint64_t)n, true);
		enum wl_err err = sats_typespace_decode(&small, &r, &space, &error);
		mem_fail_at(0, false);
		if (err == WL_OK) {
			ck_assert_uint_eq(space.count, 2);
			struct buf out = BUF_INIT(64);
			sats_product_encode(&out, space.types[1]);
			ck_assert_mem_eq(out.data, space_bytes + 6, out.len);
			const struct sats_type *product;
			struct reader again = reader_of(out.data, out.len);
			ck_assert_int_eq(sats_product_decode(&small, &again, &product, &error), WL_OK);
			ck_assert(sats_type_eq(product, space.types[1]));
			buf_deinit(&out);
			arena_deinit(&small);
			ck_assert_int_gt(n, 1);
			break;
		}
		ck_assert_int_eq(err, WL_ERR_MEMORY);
		arena_deinit(&small);
	}
}
END_TEST

/* Goal: the small questions. */
START_TEST(predicates)
{
	const struct sats_element units[] = { { STR("a"), &sats_unit }, { STR("b"), &sats_unit } };
	const struct sats_element mixed[] = { { STR("a"), &sats_unit }, { STR("b"), &sats_primitive[SATS_U8] } };
	ck_assert(sats_is_plain_enum(sats_sum_of(&arena, units, 2)));
	ck_assert(!sats_is_plain_enum(sats_sum_of(&arena, mixed, 2)));
	ck_assert(!sats_is_plain_enum(sats_sum_of(&arena, NULL, 0)));
	ck_assert(!sats_is_plain_enum(sats_product_of(&arena, units, 2)));
	ck_assert(sats_is_bytes(&sats_bytes) && sats_is_bytes(sats_array_of(&arena, &sats_primitive[SATS_U8])));
	ck_assert(!sats_is_bytes(sats_array_of(&arena, &sats_primitive[SATS_I8])) &&
			  !sats_is_bytes(&sats_primitive[SATS_STRING]));
	ck_assert_ptr_eq(sats_product_of(&arena, NULL, 0), &sats_unit);
	const struct sats_element unnamed = { { NULL, 0 }, &sats_unit }, empty = { STR(""), &sats_unit };
	ck_assert(!sats_type_eq(sats_product_of(&arena, &unnamed, 1), sats_product_of(&arena, &empty, 1)));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sats_type");
	TCase *c = tcase_create("type");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, vectors, 0, TYPE_CASES);
	tcase_add_test(c, primitives);
	tcase_add_test(c, refusals);
	tcase_add_test(c, inlining);
	tcase_add_test(c, spaces_and_memory);
	tcase_add_test(c, predicates);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
