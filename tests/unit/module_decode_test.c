/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: descriptions of all versions decode, those of real modules among
 * them; damaged ones are refused with the decoder's text, whatever they
 * claim, and a failing allocation is an error like any other.
 */
#include "module_description.h"
#include "base/mem.h"
#include "unit/run_suite.h"

#define DATA "tests/unit/data/module/"

static const char vector[] =
	"0204000000"
	"0001000000020200000000020000006964" "0d" "00040000006e616d65" "04"
	"01010000000000000006000000506572736f6e0000000001"
	"020100000006000000706572736f6e00000000010000000000"
	"010000000013000000706572736f6e5f69645f6964785f6274726565"
	"0002000000696400010000000000"
	"010000000100010000000000"
	"0100000001000001010101000000000000000000000000000000"
	"01000000000000"
	"030100000003000000616464010000000004000000" "6e616d65" "04" "010200000000" "04";

static struct bytes read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	ck_assert_msg(file != NULL, "no %s (run from the top of the repository)", path);
	uint8_t *data = mem_alloc(1 << 16);
	size_t len = fread(data, 1, 1 << 16, file);
	fclose(file);
	return (struct bytes){ data, len };
}

static struct bytes from_hex(const char *hex)
{
	size_t len = strlen(hex) / 2;
	uint8_t *data = mem_alloc(len + 1);
	ck_assert(hex_decode(str_of(hex), data, len));
	return (struct bytes){ data, len };
}

static struct module_def *accept_bytes(struct bytes b)
{
	struct buf errors;
	buf_init(&errors, 1 << 20);
	struct module_def *def = NULL;
	enum wl_err err = module_def_create(b.data, b.len, &def, &errors);
	ck_assert_msg(err == WL_OK, "%s", buf_text(&errors));
	buf_deinit(&errors);
	mem_free((void *)b.data);
	return def;
}

static void refuse_hex(const char *hex, const char *text)
{
	struct bytes b = from_hex(hex);
	struct buf errors, want;
	buf_init(&errors, 1 << 20);
	buf_init(&want, 1 << 20);
	buf_printf(&want, "error decoding module description: %s", text);
	struct module_def *def = NULL;
	ck_assert_int_eq(module_def_create(b.data, b.len, &def, &errors), WL_ERR_INVALID);
	ck_assert_str_eq(buf_text(&errors), buf_text(&want));
	buf_deinit(&errors);
	buf_deinit(&want);
	mem_free((void *)b.data);
}

START_TEST(the_vector)
{
	struct module_def *def = accept_bytes(from_hex(vector));
	const struct module_info *info = module_def_info(def);
	ck_assert_uint_eq(info->version, 10);
	ck_assert_uint_eq(info->table_count, 1);
	const struct module_table *t = module_table(def, STR("person"));
	ck_assert_ptr_nonnull(t);
	ck_assert(t->primary_key == 0 && t->column_count == 2 && t->is_public && !t->is_event && !t->is_system);
	ck_assert(is(t->columns[1].name, "name") && t->columns[1].type->tag == SATS_STRING);
	ck_assert(t->index_count == 1 && t->indexes[0].unique && is(t->indexes[0].accessor, "id"));
	ck_assert(t->sequence_count == 1 && t->sequences[0].increment == 1 && !t->sequences[0].has_start);
	ck_assert(t->sequences[0].start == 1 && t->sequences[0].min == 1 && t->sequences[0].max == (i128)(~(u128)0 >> 1));
	uint32_t id = 9;
	const struct module_function *add = module_reducer(def, STR("add"), &id);
	ck_assert(add != NULL && id == 0 && !add->is_private && add->lifecycle == MODULE_NO_LIFECYCLE);
	ck_assert(add->params->count == 1 && is(add->param_names[0], "name") && add->params_layout != NULL);
	ck_assert_ptr_null(module_reducer(def, STR("Add"), &id));
	ck_assert_ptr_null(module_procedure(def, STR("add"), &id));
	ck_assert_ptr_null(module_table(def, STR("perso")));
	struct module_def *shared = module_def_share(def);
	module_def_release(def);
	ck_assert_uint_eq(module_def_info(shared)->reducer_count, 1);
	module_def_release(shared);
	module_def_release(NULL);
}
END_TEST

START_TEST(empty_modules)
{
	char v9[51], v8[35];
	snprintf(v9, sizeof(v9), "01%048d", 0);
	snprintf(v8, sizeof(v8), "00%032d", 0);
	struct module_def *def = accept_bytes(from_hex(v9));
	ck_assert_uint_eq(module_def_info(def)->version, 9);
	module_def_release(def);
	def = accept_bytes(from_hex(v8));
	ck_assert_uint_eq(module_def_info(def)->version, 9);
	module_def_release(def);
	def = accept_bytes(from_hex("0200000000" "ffff")); /* what follows is ignored */
	ck_assert_uint_eq(module_def_info(def)->version, 10);
	ck_assert_uint_eq(module_def_info(def)->lifecycle[MODULE_INIT], MODULE_NO_INDEX);
	module_def_release(def);
}
END_TEST

START_TEST(texts_of_the_kit)
{
	refuse_hex("0201000000ff", "unknown tag 0xff for sum type RawModuleDefV10Section");
	refuse_hex("020100000000ffffffff", "data too short for u8: Expected 1, given 0");
	refuse_hex("0201000000000100000063", "unknown tag 0x63 for sum type AlgebraicType");
	refuse_hex("0204", "data too short for u32: Expected 4, given 1");
	refuse_hex("", "data too short for u8: Expected 1, given 0");
	refuse_hex("03", "unknown tag 0x3 for sum type RawModuleDef");
}
END_TEST

START_TEST(other_texts)
{
	refuse_hex("020100000003010000000200000061ff", "invalid utf8");
	refuse_hex("02010000000801000000" "05000000616263", "data too short for [u8]: Expected 5, given 3");
	refuse_hex("020100000009" "02", "unknown tag 0x2 for sum type CaseConversionPolicy");
	refuse_hex("0201000000070100000003", "unknown tag 0x3 for sum type Lifecycle");
	refuse_hex("02010000000a0100000004", "unknown tag 0x4 for sum type ExplicitNameEntry");
	refuse_hex("0201000000060100000002", "unknown tag 0x2 for sum type option");
	refuse_hex("02010000000501000000" "0000000000000000" "02", "byte 2 not valid as `bool` (must be 0 or 1)");
	refuse_hex("02010000000c01000000" "00000000" "02", "unknown tag 0x2 for sum type MethodOrAny");
	refuse_hex("02010000000c01000000" "00000000" "010a", "unknown tag 0xa for sum type HttpMethod");
}
END_TEST

START_TEST(first_section_of_a_kind_counts)
{
	/* Policy None, then policy SnakeCase: the second is decoded and dropped. */
	struct module_def *def = accept_bytes(from_hex("0203000000" "0900" "0901" "0b01000000" "02000000" "6142"));
	ck_assert(is(module_def_info(def)->handlers[0], "aB"));
	module_def_release(def);
	refuse_hex("0202000000" "0900" "0907", "unknown tag 0x7 for sum type CaseConversionPolicy");
}
END_TEST

START_TEST(cut_anywhere)
{
	/* Every prefix of a description is refused; none of it is read past its end (sanitizers). */
	struct bytes whole = from_hex(vector);
	for (size_t len = 0; len < whole.len; len++) {
		uint8_t *part = mem_alloc(len);
		if (len > 0)
			memcpy(part, whole.data, len);
		struct buf errors;
		buf_init(&errors, 1 << 16);
		struct module_def *def = NULL;
		ck_assert_int_eq(module_def_create(part, len, &def, &errors), WL_ERR_INVALID);
		ck_assert_ptr_nonnull(strstr(buf_text(&errors), "data too short for"));
		buf_deinit(&errors);
		mem_free(part);
	}
	mem_free((void *)whole.data);
}
END_TEST

START_TEST(submodules_nest_so_deep)
{
	struct description levels[MODULE_SUBMODULE_DEPTH_MAX + 2];
	for (int depth = MODULE_SUBMODULE_DEPTH_MAX; depth <= MODULE_SUBMODULE_DEPTH_MAX + 1; depth++) {
		for (int i = depth; i >= 0; i--) {
			description_init(&levels[i], 10);
			if (i < depth)
				add_submodule(&levels[i], "n", &levels[i + 1]);
		}
		struct buf bytes, errors;
		buf_init(&bytes, 1 << 20);
		buf_init(&errors, 1 << 20);
		description_put(&levels[0], &bytes);
		struct module_def *def = NULL;
		enum wl_err err = module_def_create(bytes.data, bytes.len, &def, &errors);
		ck_assert_int_eq(err, depth <= MODULE_SUBMODULE_DEPTH_MAX ? WL_OK : WL_ERR_INVALID);
		if (err == WL_OK)
			ck_assert_uint_eq(module_def_info(def)->part_count, MODULE_SUBMODULE_DEPTH_MAX + 1);
		module_def_release(def);
		buf_deinit(&bytes);
		buf_deinit(&errors);
		for (int i = 0; i <= depth; i++)
			description_deinit(&levels[i]);
	}
}
END_TEST

START_TEST(too_large)
{
	struct buf errors;
	buf_init(&errors, 1 << 16);
	struct module_def *def = NULL;
	uint8_t byte = 2;
	ck_assert_int_eq(module_def_create(&byte, (size_t)MODULE_DEF_BYTES_MAX + 1, &def, &errors), WL_ERR_LIMIT);
	ck_assert_str_eq(buf_text(&errors), "error decoding module description: the module description is too large");
	buf_deinit(&errors);
}
END_TEST

/* Types that double at each step: 2^60 nodes when refs are resolved. */
START_TEST(types_that_explode)
{
	struct description d;
	description_init(&d, 10);
	for (uint32_t i = 0; i < 60; i++) {
		char type[64], name[8];
		snprintf(type, sizeof(type), "(a:&%u,b:&%u)", i + 1, i + 1);
		snprintf(name, sizeof(name), "T%u", i);
		add_type(&d, name, i == 59 ? "(a:u8)" : type);
	}
	TABLE(&d, .name = "t");
	refuse(&d, "table `t` has a row type that cannot be stored: type is too large");
}
END_TEST

START_TEST(an_outbox_of_2_13)
{
	/* The hash was a string then. */
	struct description d;
	char digits[65];
	for (int i = 0; i < 64; i++)
		digits[i] = "0123456789abcdef"[i % 16];
	digits[64] = '\0';
	description_init(&d, 10);
	add_type(&d, "Out", "(id:u64,to:identity)");
	TABLE(&d, .name = "out", .primary_key = "0", .indexes = "btree i - 0", .unique = "0");
	struct buf *b = description_add(&d, D_OUTBOXES);
	put_s(b, "out");
	put_s(b, "remote");
	buf_put_u16(b, 1);
	put_columns(b, "0");
	put_optional_s(b, NULL);
	put_s(b, digits);
	struct module_def *def = accept(&d);
	ck_assert_uint_eq(module_table(def, STR("out"))->outbox->signature_hash[0], 0x01);
	ck_assert_uint_eq(module_table(def, STR("out"))->outbox->signature_hash[7], 0xef);
	module_def_release(def);
}
END_TEST

START_TEST(real_modules)
{
	static const struct {
		const char *file;
		uint32_t tables, reducers, procedures, views, rls;
	} modules[] = {
		{ DATA "mini_rust_v10.bin", 2, 2, 0, 1, 0 },
		{ DATA "websocket_rust_v10.bin", 14, 50, 9, 6, 1 },
		{ DATA "sql_rust_v10.bin", 32, 5, 0, 9, 4 },
		{ DATA "prober_c_v10.bin", 32, 3, 3, 6, 0 },
	};
	for (size_t i = 0; i < ARRAY_COUNT(modules); i++) {
		struct module_def *def = accept_bytes(read_file(modules[i].file));
		const struct module_info *info = module_def_info(def);
		ck_assert_msg(info->table_count == modules[i].tables && info->reducer_count == modules[i].reducers &&
			info->procedure_count == modules[i].procedures && info->view_count == modules[i].views &&
			info->rls_count == modules[i].rls, "%s: %u tables, %u reducers, %u procedures, %u views, %u rules",
			modules[i].file, info->table_count, info->reducer_count, info->procedure_count, info->view_count,
			info->rls_count);
		for (uint32_t t = 0; t < info->table_count; t++)
			ck_assert_ptr_eq(module_table(def, info->tables[t].name), &info->tables[t]);
		for (uint32_t v = 0; v < info->view_count; v++)
			ck_assert_ptr_eq(module_view(def, info->views[v].name), &info->views[v]);
		module_def_release(def);
	}
}
END_TEST

START_TEST(no_memory)
{
	/* Each allocation fails once: an error, nothing leaks (sanitizers), and without failure it works again. */
	struct bytes b = read_file(DATA "mini_rust_v10.bin");
	for (uint64_t n = 1;; n++) {
		struct buf errors;
		buf_init(&errors, 1 << 16);
		struct module_def *def = NULL;
		mem_fail_at(n, true);
		enum wl_err err = module_def_create(b.data, b.len, &def, &errors);
		mem_fail_at(0, false);
		buf_deinit(&errors);
		module_def_release(def);
		if (err == WL_OK)
			break;
		ck_assert(err == WL_ERR_MEMORY || err == WL_ERR_LIMIT);
		ck_assert_uint_lt(n, 10000);
	}
	mem_free((void *)b.data);
}
END_TEST

/* ---- V8 ---- */

/* Table `t` (a u32, b string) with a primary key that counts up, and a bare unique index on b. */
static void v8_table(struct buf *b, const char *second_column)
{
	buf_put_u32(b, 1);
	put_s(b, "t");
	buf_put_u32(b, 2);
	put_s(b, "a");
	put_type(b, "u32");
	put_s(b, second_column);
	put_type(b, "string");
	buf_put_u32(b, 1); /* indexes */
	put_s(b, "by_b");
	buf_put_u8(b, 1);
	buf_put_u8(b, 0);
	put_columns(b, "1");
	buf_put_u32(b, 1); /* constraints */
	put_s(b, "ct_t_a");
	buf_put_u8(b, 15);
	put_columns(b, "0");
	buf_put_u32(b, 0); /* sequences */
	put_s(b, "user");
	put_s(b, "public");
	buf_put_u8(b, 1);
	buf_put_u32(b, 0); /* row type */
}

static void v8_module(struct buf *b, const char *second_column)
{
	buf_init(b, 1 << 16);
	buf_put_u8(b, 0);
	buf_put_u32(b, 1);
	put_type(b, "(a:u32,b:string)");
	v8_table(b, second_column);
	buf_put_u32(b, 1);
	put_s(b, "__init__");
	buf_put_u32(b, 0);
	buf_put_u32(b, 1);
	buf_put_u8(b, 0);
	put_s(b, "a::b.Row");
	buf_put_u32(b, 0);
}

START_TEST(v8_upgrade)
{
	struct buf b, errors;
	v8_module(&b, "b");
	buf_init(&errors, 1 << 16);
	struct module_def *def = NULL;
	ck_assert_msg(module_def_create(b.data, b.len, &def, &errors) == WL_OK, "%s", buf_text(&errors));
	const struct module_info *info = module_def_info(def);
	ck_assert_uint_eq(info->version, 9);
	const struct module_table *t = module_table(def, STR("t"));
	ck_assert(t->primary_key == 0 && t->index_count == 2 && t->constraint_count == 2 && t->sequence_count == 1);
	ck_assert(is(t->indexes[0].name, "by_b") && is(t->indexes[1].name, "idx_t_a_unique"));
	ck_assert(t->indexes[0].unique && t->indexes[1].unique);
	ck_assert(is(t->constraints[0].name, "ct_t_a") && is(t->constraints[1].name, "ct_t_b_unique"));
	ck_assert(is(t->sequences[0].name, "seq_t_a"));
	ck_assert_uint_eq(info->lifecycle[MODULE_INIT], 0);
	const struct module_type *type = &info->parts[0].types[0];
	ck_assert(type->scope_count == 2 && is(type->scope[0], "a") && is(type->scope[1], "b") && is(type->name, "Row"));
	module_def_release(def);
	buf_deinit(&b);
	v8_module(&b, "c");
	buf_clear(&errors);
	ck_assert_int_eq(module_def_create(b.data, b.len, &def, &errors), WL_ERR_INVALID);
	ck_assert_str_eq(buf_text(&errors),
		"Errors occurred:\ntable `t` column `c` type String does not match corresponding "
		"element at position 1 in product type `(a: U32, b: String)`\n\n");
	buf_deinit(&b);
	buf_deinit(&errors);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		the_vector, empty_modules, texts_of_the_kit, other_texts, first_section_of_a_kind_counts, cut_anywhere,
		submodules_nest_so_deep, too_large, types_that_explode, an_outbox_of_2_13, real_modules, no_memory, v8_upgrade,
	};
	Suite *suite = suite_create("module_decode");
	TCase *tcase = tcase_create("descriptions");
	tcase_set_timeout(tcase, 30);
	for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
