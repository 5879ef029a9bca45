/* SPDX-License-Identifier: Apache-2.0 */
/* SATS-JSON in and out: what a server of version 2.8.3 was recorded to do, and the shapes of section 4. */
#include "base/mem.h"
#include "native.h"
#include "sats/sats.h"
#include "sats_json_vectors.h"
#include "unit/run_suite.h"

#include <stdio.h>

static struct arena arena;

static void setup(void)
{
	arena_init(&arena, 64 << 20);
}

static void teardown(void)
{
	arena_deinit(&arena);
}

static struct bytes unhex(const char *hex)
{
	size_t len = strlen(hex) / 2;
	uint8_t *data = arena_alloc(&arena, len + 1);
	ck_assert(hex_decode((struct str){ hex, 2 * len }, data, len));
	return (struct bytes){ data, len };
}

static const char *to_hex(struct bytes b)
{
	char *text = arena_alloc(&arena, 2 * b.len + 1);
	hex_encode(b.data, b.len, text);
	return text;
}

static struct sats_typespace recorded_space(void)
{
	struct sats_typespace space;
	struct bytes b = unhex(json_typespace);
	struct reader r = reader_of(b.data, b.len);
	ck_assert_int_eq(sats_typespace_decode(&arena, &r, &space, NULL), WL_OK);
	ck_assert_uint_eq(reader_left(&r), 0);
	return space;
}

static const struct json_function *function_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(json_functions); i++)
		if (strcmp(json_functions[i].name, name) == 0)
			return &json_functions[i];
	ck_abort_msg("no function %s", name);
	return NULL;
}

static const struct sats_type *params_of(const struct json_function *f)
{
	const struct sats_type *params;
	struct bytes b = unhex(f->params);
	struct reader r = reader_of(b.data, b.len);
	ck_assert_int_eq(sats_product_decode(&arena, &r, &params, NULL), WL_OK);
	return params;
}

/* Goal: every recorded argument text gives the recorded bytes or the recorded error, word for word. */
START_TEST(recorded_arguments)
{
	const struct json_vector *v = &json_vectors[_i];
	const struct json_function *f = function_named(v->function);
	struct sats_typespace space = recorded_space();
	struct buf out = BUF_INIT(1 << 20);
	struct error error;
	enum wl_err err = sats_json_read_args(&out, f->kind, str_of(f->name), params_of(f), &space, v->text,
		strlen(v->text), &error);
	if (v->error != NULL) {
		ck_assert_int_eq(err, WL_ERR_INVALID);
		char expected[ERROR_TEXT_MAX];
		snprintf(expected, sizeof(expected), "%s", v->error);
		ck_assert_str_eq(error.text, expected);
		ck_assert_uint_eq(out.len, 0);
	} else {
		ck_assert_msg(err == WL_OK, "%s(%s): %s", f->name, v->text, err == WL_OK ? "" : error.text);
		if (v->bsatn != NULL)
			ck_assert_str_eq(to_hex(buf_bytes(&out)), v->bsatn);
	}
	buf_deinit(&out);
}
END_TEST

/* Goal: the recorded rows, printed from the recorded bytes; and the bytes pass validation with their exact size. */
START_TEST(recorded_rows)
{
	const struct json_vector *v = &json_vectors[_i];
	if (v->row == NULL || v->bsatn == NULL)
		return;
	struct sats_typespace space = recorded_space();
	const struct sats_type *params = params_of(function_named(v->function));
	struct bytes b = unhex(v->bsatn);
	const struct sats_layout *layout;
	size_t consumed;
	struct error error;
	ck_assert_int_eq(sats_layout_create(&arena, &space, params, &layout, &error), WL_OK);
	ck_assert_int_eq(sats_validate(layout, b.data, b.len, &consumed, &error), WL_OK);
	ck_assert_uint_eq(consumed, b.len);
	ck_assert_uint_eq(sats_size(layout, b.data), b.len);
	struct buf out = BUF_INIT(1 << 20);
	const uint8_t *end = sats_json_write(&out, params, &space, b.data, SATS_JSON_UNTYPED);
	ck_assert_ptr_eq(end, b.data + b.len);
	ck_assert_str_eq(buf_text(&out), v->row);
	/* What is written can be read again, but for the floats that have no JSON. */
	if (strstr(v->row, "null") == NULL) {
		struct buf again = BUF_INIT(1 << 20);
		ck_assert_int_eq(sats_json_parse(&again, params, &space, (char *)out.data, out.len, NULL, &error), WL_OK);
		ck_assert_str_eq(to_hex(buf_bytes(&again)), v->bsatn);
		buf_deinit(&again);
	}
	buf_deinit(&out);
}
END_TEST

/* {id: U64 7, who: Identity 0xc2…, opt: ?U32 5, tags: [U8] {1,255}, f: F64 1}: the sample of section 12. */
static const struct sats_type *sample_type(void)
{
	const struct sats_element who[] = { { STR("__identity__"), &sats_primitive[SATS_U256] } };
	const struct sats_element elements[] = {
		{ STR("id"), &sats_primitive[SATS_U64] },
		{ STR("who"), sats_product_of(&arena, who, 1) },
		{ STR("opt"), sats_option_of(&arena, &sats_primitive[SATS_U32]) },
		{ STR("tags"), &sats_bytes },
		{ STR("f"), &sats_primitive[SATS_F64] },
		{ STR("list"), sats_array_of(&arena, sats_option_of(&arena, sats_product_of(&arena, who, 1))) },
		{ STR("none"), sats_option_of(&arena, &sats_unit) },
		{ STR("unit"), &sats_unit },
	};
	return sats_product_of(&arena, elements, ARRAY_COUNT(elements));
}

/* Goal: the three shapes of one value; each can be read back. */
START_TEST(shapes)
{
	static const char bsatn[] = "0700000000000000" "02000000000000000000000000000000000000000000000000000000000000c2"
		"0005000000" "0200000001ff" "000000000000f03f"
		"02000000" "01" "000100000000000000000000000000000000000000000000000000000000000000" "01";
	static const char *const expected[] = {
		[SATS_JSON_NAMED] =
			"{\"id\":7,"
			"\"who\":{\"__identity__\":\"0xc200000000000000000000000000000000000000000000000000000000000002\"},"
			"\"opt\":{\"some\":5},\"tags\":\"01ff\",\"f\":1.0,"
			"\"list\":[{\"none\":[]},{\"some\":{\"__identity__\":\"0x1\"}}],\"none\":{\"none\":[]},\"unit\":[]}",
		[SATS_JSON_UNTYPED] =
			"[7,[\"0xc200000000000000000000000000000000000000000000000000000000000002\"],[0,5],\"01ff\",1.0,"
			"[[1,[]],[0,[\"0x1\"]]],[1,[]],[]]",
		[SATS_JSON_ROW] =
			"{\"id\":7,"
			"\"who\":{\"__identity__\":\"0xc200000000000000000000000000000000000000000000000000000000000002\"},"
			"\"opt\":[0,5],\"tags\":\"01ff\",\"f\":1.0,\"list\":[[1,[]],[0,[\"0x1\"]]],\"none\":[1,{}],\"unit\":{}}",
	};
	const struct sats_type *type = sample_type();
	struct bytes b = unhex(bsatn);
	for (int shape = SATS_JSON_NAMED; shape <= SATS_JSON_ROW; shape++) {
		struct buf out = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
		ck_assert_ptr_eq(sats_json_write(&out, type, NULL, b.data, (enum sats_json_shape)shape), b.data + b.len);
		ck_assert_str_eq(buf_text(&out), expected[shape]);
		ck_assert_int_eq(sats_json_parse(&again, type, NULL, (char *)out.data, out.len, NULL, NULL), WL_OK);
		ck_assert_str_eq(to_hex(buf_bytes(&again)), bsatn);
		buf_deinit(&out);
		buf_deinit(&again);
	}
}
END_TEST

/* Goal: members in any order come out in the type's order, at every depth, also when there are many. */
START_TEST(members_in_any_order)
{
	enum { COUNT = 150 };
	struct sats_element elements[COUNT];
	struct buf forward = BUF_INIT(1 << 20), backward = BUF_INIT(1 << 20), a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);
	for (int i = 0; i < COUNT; i++)
		elements[i] = (struct sats_element){ arena_printf(&arena, "m%d", i), &sats_primitive[SATS_STRING] };
	const struct sats_type *inner = sats_product_of(&arena, elements, COUNT);
	const struct sats_element outer[] = { { STR("x"), &sats_primitive[SATS_U8] }, { STR("y"), inner } };
	const struct sats_type *type = sats_product_of(&arena, outer, 2);
	buf_put_cstr(&forward, "{\"x\":1,\"y\":{");
	buf_put_cstr(&backward, "{\"y\":{");
	for (int i = 0; i < COUNT; i++) {
		buf_printf(&forward, "%s\"m%d\":\"v%d\"", i ? "," : "", i, i);
		buf_printf(&backward, "%s\"m%d\":\"v%d\"", i ? "," : "", COUNT - 1 - i, COUNT - 1 - i);
	}
	buf_put_cstr(&forward, "}}");
	buf_put_cstr(&backward, "},\"x\":1}");
	ck_assert_int_eq(sats_json_parse(&a, type, NULL, (char *)forward.data, forward.len, NULL, NULL), WL_OK);
	ck_assert_int_eq(sats_json_parse(&b, type, NULL, (char *)backward.data, backward.len, NULL, NULL), WL_OK);
	ck_assert(bytes_eq(buf_bytes(&a), buf_bytes(&b)));
	ck_assert_uint_eq(a.data[0], 1);
	buf_deinit(&forward);
	buf_deinit(&backward);
	buf_deinit(&a);
	buf_deinit(&b);
}
END_TEST

/* Goal: a value inside a parsed document, and the node moves past it. */
START_TEST(from_document)
{
	static const char json[] = "{\"a\":[1,-2,\"x\\u00e9\\n\"],\"b\":{\"f\":1e2,\"o\":null}, \"c\":3}";
	const struct sats_element a[] = { { STR(""), &sats_primitive[SATS_U8] }, { STR(""), &sats_primitive[SATS_I128] },
		{ STR(""), &sats_primitive[SATS_STRING] } };
	const struct sats_element b[] = { { STR("o"), sats_option_of(&arena, &sats_unit) },
		{ STR("f"), &sats_primitive[SATS_F32] } };
	struct native_json doc;
	char text[256];
	ck_assert_int_eq(native_json_parse(json, sizeof(json) - 1, &doc, text, sizeof(text)), 0);
	struct buf out = BUF_INIT(1024), path = BUF_INIT(1024);
	struct error error;
	uint32_t node = 2;
	ck_assert_int_eq(sats_json_read(&out, sats_product_of(&arena, a, 3), NULL, &doc, &node, &path, &error), WL_OK);
	ck_assert_str_eq(to_hex(buf_bytes(&out)), "01" "feffffffffffffffffffffffffffffff" "0400000078c3a90a");
	node++;
	buf_clear(&out);
	ck_assert_int_eq(sats_json_read(&out, sats_product_of(&arena, b, 2), NULL, &doc, &node, &path, &error), WL_OK);
	ck_assert_str_eq(to_hex(buf_bytes(&out)), "01" "0000c842");
	node = 2;
	ck_assert_int_eq(sats_json_read(&out, &sats_bytes, NULL, &doc, &node, &path, &error), WL_ERR_INVALID);
	ck_assert_str_eq(buf_text(&path), "[1]");
	ck_assert_str_eq(error.text, "invalid value: integer `-2`, expected u8");
	ck_assert_uint_eq(node, 2);
	buf_deinit(&out);
	buf_deinit(&path);
	native_json_free(&doc);
}
END_TEST

/* Goal: texts that are no JSON, or too much of it, fail cleanly and leave nothing behind. */
START_TEST(hostile_texts)
{
	static const char *const texts[] = {
		"",
		" ",
		"[",
		"{",
		"[[",
		"{\"",
		"{\"a",
		"{\"a\"",
		"{\"a\":",
		"\"",
		"\"\\",
		"\"\\u",
		"\"\\u12",
		"\"\\ud800",
		"\"\\ud800\\",
		"\"\\ud800\\u",
		"\"\\ud800\\u0041\"",
		"\"\\ud800x\"",
		"-",
		"1e",
		"1e+",
		"1.",
		"nul",
		"tru",
		"\xff",
		"\"\xc3\"",
		"[\"\\q\"]",
	};
	const struct sats_type *types[] = { sample_type(), &sats_bytes, &sats_primitive[SATS_STRING],
		&sats_primitive[SATS_BOOL], &sats_primitive[SATS_F64], &sats_primitive[SATS_U256], &sats_primitive[SATS_U128],
		&sats_primitive[SATS_I8], sats_option_of(&arena, &sats_unit), sats_array_of(&arena, &sats_unit) };
	for (size_t t = 0; t < ARRAY_COUNT(types); t++) {
		for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
			struct buf out = BUF_INIT(1024);
			struct error error;
			buf_put_u8(&out, 7);
			ck_assert_int_eq(
				sats_json_parse(&out, types[t], NULL, texts[i], strlen(texts[i]), NULL, &error), WL_ERR_INVALID);
			ck_assert_uint_eq(out.len, 1);
			buf_deinit(&out);
		}
	}
	/* A full output buffer is a limit, not a lie. */
	struct buf small = BUF_INIT(10);
	struct error error;
	ck_assert_int_eq(
		sats_json_parse(&small, &sats_bytes, NULL, "\"0011223344556677\"", 18, NULL, &error), WL_ERR_LIMIT);
	buf_deinit(&small);
}
END_TEST

/* Goal: when memory fails at any point, the answer is an error and nothing leaks. */
START_TEST(memory_failures)
{
	static const char json[] = "{\"y\":[\"a\\nb\",\"\"],\"x\":{\"q\":\"\\u00e9\",\"p\":[1,2,3]}}";
	const struct sats_element x[] = { { STR("p"), &sats_bytes }, { STR("q"), &sats_primitive[SATS_STRING] } };
	const struct sats_element top[] = { { STR("x"), sats_product_of(&arena, x, 2) },
		{ STR("y"), sats_array_of(&arena, &sats_primitive[SATS_STRING]) } };
	const struct sats_type *type = sats_product_of(&arena, top, 2);
	uint64_t live = mem_stats().live_bytes;
	enum wl_err err = WL_ERR_MEMORY;
	int n = 1;
	for (; err != WL_OK; n++) {
		struct buf out = BUF_INIT(1 << 20);
		mem_fail_at((uint64_t)n, true);
		err = sats_json_parse(&out, type, NULL, json, sizeof(json) - 1, NULL, NULL);
		mem_fail_at(0, false);
		ck_assert(err == WL_OK || err == WL_ERR_MEMORY || err == WL_ERR_LIMIT);
		buf_deinit(&out);
		ck_assert_uint_eq(mem_stats().live_bytes, live);
	}
	ck_assert_int_gt(n, 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sats_json");
	TCase *c = tcase_create("json");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, recorded_arguments, 0, ARRAY_COUNT(json_vectors));
	tcase_add_loop_test(c, recorded_rows, 0, ARRAY_COUNT(json_vectors));
	tcase_add_test(c, shapes);
	tcase_add_test(c, members_in_any_order);
	tcase_add_test(c, from_document);
	tcase_add_test(c, hostile_texts);
	tcase_add_test(c, memory_failures);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
