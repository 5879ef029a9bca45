/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the schema documents of version 9 and 10 are byte for byte what
 * clients and generators read. Method: one module with everything in it,
 * the expected text spelled out section by section.
 */
#include "module_description.h"
#include "unit/run_suite.h"

#define ROW_TYPE "{\"Product\":{\"elements\":[{\"name\":{\"some\":\"id\"},\"algebraic_type\":{\"U64\":[]}}," \
	"{\"name\":{\"some\":\"given_name\"},\"algebraic_type\":{\"String\":[]}}]}}"
#define AT_TYPE "{\"Sum\":{\"variants\":[{\"name\":{\"some\":\"Interval\"}," \
	"\"algebraic_type\":{\"Product\":{\"elements\":[" \
	"{\"name\":{\"some\":\"__time_duration_micros__\"},\"algebraic_type\":{\"I64\":[]}}]}}}," \
	"{\"name\":{\"some\":\"Time\"}," \
	"\"algebraic_type\":{\"Product\":{\"elements\":[{\"name\":{\"some\":\"__timestamp_micros_since_unix_epoch__\"}," \
	"\"algebraic_type\":{\"I64\":[]}}]}}}]}}"
#define TYPESPACE "{\"types\":[" ROW_TYPE ",{\"Product\":{\"elements\":[{\"name\":{\"some\":\"id\"}," \
	"\"algebraic_type\":" \
	"{\"U64\":[]}},{\"name\":{\"some\":\"at\"},\"algebraic_type\":" AT_TYPE "}]}}]}"
#define NONE "{\"none\":[]}"
#define NO_PARAMS "\"params\":{\"elements\":[]}"
#define OPTION_ROW "{\"Sum\":{\"variants\":[{\"name\":{\"some\":\"some\"},\"algebraic_type\":{\"Ref\":0}}," \
	"{\"name\":{\"some\":\"none\"},\"algebraic_type\":{\"Product\":{\"elements\":[]}}}]}}"

static struct description d;

static void everything(int version)
{
	description_init(&d, version);
	add_type(&d, "person", "(id:u64,givenName:string)");
	add_type(&d, "sub::Timer", "(id:u64,at:schedule_at)");
	TABLE(&d, .name = "Person", .primary_key = "0", .indexes = "hash s2 - 1,0;btree s1 byId 0;direct s3 d 0", .unique =
		"0",
		.sequences = "0 5 -3 9 2", .is_private = true, .default_hex = "0100000061", .default_column = 1);
	TABLE(&d, .name = "timer", .ref = 1, .primary_key = "0", .indexes = "btree i - 0", .unique = "0", .is_event = false,
		.schedule_function = "tick", .schedule_column = 1);
	add_reducer(&d, "tick", "(row:&1)");
	add_reducer(&d, "start", "()");
	add_procedure(&d, "getOne", "(anId:u64)", "?&0");
	add_view(&d, "seen", 0, true, "()", "[&0]");
	add_view(&d, "mine", 0, false, "()", "?&0");
	put_s(description_add(&d, D_RLS), "SELECT \"x\"");
	put_s(description_add(&d, D_RLS), "SELECT \"x\"");
	if (version == 9) {
		add_default_v9(&d, "Person", 1, "0100000061ff");
		return;
	}
	add_schedule(&d, "timer", 1, "tick");
	add_lifecycle(&d, MODULE_INIT, "start");
	put_s(description_add(&d, D_HANDLERS), "sayHi");
	add_route(&d, "sayHi", 2, NULL, "/a");
	add_route(&d, "sayHi", 9, "BREW", "/b");
	add_route(&d, "sayHi", -1, NULL, "");
	add_view_key(&d, "mine", "givenName", NULL);
}

static void expect_schema(struct module_def *def, int version, const char *expected)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	ck_assert_int_eq(module_schema_json(def, version, &out), WL_OK);
	ck_assert_str_eq(buf_text(&out), expected);
	buf_deinit(&out);
}

START_TEST(version_9)
{
	everything(9);
	struct module_def *def = accept(&d);
	expect_schema(def, 9,
		"{\"typespace\":{\"types\":[{\"Product\":{\"elements\":[{\"name\":{\"some\":\"id\"},"
		"\"algebraic_type\":{\"U64\":[]}},"
		"{\"name\":{\"some\":\"givenName\"},\"algebraic_type\":{\"String\":[]}}]}},"
		"{\"Product\":{\"elements\":[{\"name\":"
		"{\"some\":\"id\"},\"algebraic_type\":{\"U64\":[]}},{\"name\":{\"some\":\"at\"},"
		"\"algebraic_type\":" AT_TYPE "}]}}]},"
		"\"tables\":[{\"name\":\"Person\",\"product_type_ref\":0,\"primary_key\":[0],\"indexes\":["
		"{\"name\":{\"some\":\"s1\"},\"accessor_name\":{\"some\":\"byId\"},\"algorithm\":{\"BTree\":[0]}},"
		"{\"name\":{\"some\":\"s2\"},\"accessor_name\":" NONE ",\"algorithm\":{\"Hash\":[1,0]}},"
		"{\"name\":{\"some\":\"s3\"},\"accessor_name\":{\"some\":\"d\"},\"algorithm\":{\"Direct\":0}}],"
		"\"constraints\":[{\"name\":{\"some\":\"Person_id_key\"},\"data\":{\"Unique\":{\"columns\":[0]}}}],"
		"\"sequences\":[{\"name\":{\"some\":\"Person_id_seq\"},\"column\":0,\"start\":{\"some\":5},"
		"\"min_value\":{\"some\":-3},"
		"\"max_value\":{\"some\":9},\"increment\":2}],\"schedule\":" NONE ",\"table_type\":{\"User\":[]},"
		"\"table_access\":{\"Private\":[]}},"
		"{\"name\":\"timer\",\"product_type_ref\":1,\"primary_key\":[0],\"indexes\":[{\"name\":{\"some\":\"i\"},"
		"\"accessor_name\":" NONE ",\"algorithm\":{\"BTree\":[0]}}],"
		"\"constraints\":[{\"name\":{\"some\":\"timer_id_key\"},"
		"\"data\":{\"Unique\":{\"columns\":[0]}}}],\"sequences\":[],"
		"\"schedule\":{\"some\":{\"name\":{\"some\":\"timer_sched\"},"
		"\"reducer_name\":\"tick\",\"scheduled_at_column\":1}},\"table_type\":{\"User\":[]},"
		"\"table_access\":{\"Public\":[]}}],"
		"\"reducers\":[{\"name\":\"tick\",\"params\":{\"elements\":[{\"name\":{\"some\":\"row\"},"
		"\"algebraic_type\":{\"Ref\":1}}]},"
		"\"lifecycle\":" NONE "},{\"name\":\"start\"," NO_PARAMS ",\"lifecycle\":" NONE "}],"
		"\"types\":[{\"name\":{\"scope\":[],\"name\":\"person\"},\"ty\":0,\"custom_ordering\":true},"
		"{\"name\":{\"scope\":[\"sub\"],\"name\":\"Timer\"},\"ty\":1,\"custom_ordering\":true}],"
		"\"misc_exports\":[{\"ColumnDefaultValue\":{\"table\":\"Person\",\"col_id\":1,\"value\":\"0100000061\"}},"
		"{\"Procedure\":{\"name\":\"getOne\",\"params\":{\"elements\":[{\"name\":{\"some\":\"anId\"},"
		"\"algebraic_type\":"
		"{\"U64\":[]}}]},\"return_type\":" OPTION_ROW "}},"
		"{\"View\":{\"name\":\"seen\",\"index\":0,\"is_public\":true,\"is_anonymous\":true," NO_PARAMS ","
		"\"return_type\":"
		"{\"Array\":{\"Ref\":0}}}},"
		"{\"View\":{\"name\":\"mine\",\"index\":0,\"is_public\":true,\"is_anonymous\":false," NO_PARAMS ","
		"\"return_type\":"
		OPTION_ROW "}}],"
		"\"row_level_security\":[{\"sql\":\"SELECT \\\"x\\\"\"}]}");
	module_def_release(def);
}
END_TEST

START_TEST(version_10)
{
	everything(10);
	struct module_def *def = accept(&d);
	expect_schema(def, 10,
		"{\"sections\":[{\"Typespace\":" TYPESPACE "},"
		"{\"Types\":[{\"source_name\":{\"scope\":[],\"source_name\":\"Person\"},\"ty\":0,\"custom_ordering\":true},"
		"{\"source_name\":{\"scope\":[\"Sub\"],\"source_name\":\"Timer\"},\"ty\":1,\"custom_ordering\":true}]},"
		"{\"Tables\":[{\"source_name\":\"Person\",\"product_type_ref\":0,\"primary_key\":[0],\"indexes\":["
		"{\"source_name\":{\"some\":\"s2\"},\"accessor_name\":" NONE ",\"algorithm\":{\"Hash\":[1,0]}},"
		"{\"source_name\":{\"some\":\"s1\"},\"accessor_name\":{\"some\":\"byId\"},\"algorithm\":{\"BTree\":[0]}},"
		"{\"source_name\":{\"some\":\"s3\"},\"accessor_name\":{\"some\":\"d\"},\"algorithm\":{\"Direct\":0}}],"
		"\"constraints\":[{\"source_name\":{\"some\":\"person_id_key\"},\"data\":{\"Unique\":{\"columns\":[0]}}}],"
		"\"sequences\":[{\"source_name\":{\"some\":\"person_id_seq\"},\"column\":0,\"start\":{\"some\":5},"
		"\"min_value\":"
		"{\"some\":-3},\"max_value\":{\"some\":9},\"increment\":2}],\"table_type\":{\"User\":[]},\"table_access\":"
		"{\"Private\":[]},\"default_values\":[{\"col_id\":1,\"value\":\"0100000061\"}],\"is_event\":false},"
		"{\"source_name\":\"timer\",\"product_type_ref\":1,\"primary_key\":[0],"
		"\"indexes\":[{\"source_name\":{\"some\":\"i\"},"
		"\"accessor_name\":" NONE ",\"algorithm\":{\"BTree\":[0]}}],\"constraints\":[{\"source_name\":{\"some\":"
		"\"timer_id_key\"},\"data\":{\"Unique\":{\"columns\":[0]}}}],\"sequences\":[],\"table_type\":{\"User\":[]},"
		"\"table_access\":{\"Public\":[]},\"default_values\":[],\"is_event\":false}]},"
		"{\"Reducers\":[{\"source_name\":\"tick\",\"params\":{\"elements\":[{\"name\":{\"some\":\"row\"},"
		"\"algebraic_type\":"
		"{\"Ref\":1}}]},\"visibility\":{\"Private\":[]},\"ok_return_type\":{\"Product\":{\"elements\":[]}},"
		"\"err_return_type\":"
		"{\"String\":[]}},{\"source_name\":\"start\"," NO_PARAMS ",\"visibility\":{\"Private\":[]},\"ok_return_type\":"
		"{\"Product\":{\"elements\":[]}},\"err_return_type\":{\"String\":[]}}]},"
		"{\"Procedures\":[{\"source_name\":\"getOne\",\"params\":{\"elements\":[{\"name\":{\"some\":\"anId\"},"
		"\"algebraic_type\":"
		"{\"U64\":[]}}]},\"return_type\":" OPTION_ROW ",\"visibility\":{\"ClientCallable\":[]}}]},"
		"{\"HttpHandlers\":[{\"source_name\":\"sayHi\"}]},"
		"{\"HttpRoutes\":[{\"handler_function\":\"say_hi\",\"method\":{\"Method\":{\"Post\":[]}},\"path\":\"/a\"},"
		"{\"handler_function\":\"say_hi\",\"method\":{\"Method\":{\"Extension\":\"BREW\"}},\"path\":\"/b\"},"
		"{\"handler_function\":\"say_hi\",\"method\":{\"Any\":[]},\"path\":\"\"}]},"
		"{\"Views\":[{\"source_name\":\"seen\",\"index\":0,\"is_public\":true,\"is_anonymous\":true," NO_PARAMS
		",\"return_type\":{\"Array\":{\"Ref\":0}}},{\"source_name\":\"mine\",\"index\":0,\"is_public\":true,"
		"\"is_anonymous\":"
		"false," NO_PARAMS ",\"return_type\":" OPTION_ROW "}]},"
		"{\"ViewPrimaryKeys\":[{\"view_source_name\":\"mine\",\"columns\":[\"given_name\"]}]},"
		"{\"Schedules\":[{\"source_name\":{\"some\":\"timer_sched\"},\"table_name\":\"timer\",\"schedule_at_col\":1,"
		"\"function_name\":\"tick\"}]},"
		"{\"LifeCycleReducers\":[{\"lifecycle_spec\":{\"Init\":[]},\"function_name\":\"start\"}]},"
		"{\"RowLevelSecurity\":[{\"sql\":\"SELECT \\\"x\\\"\"}]},"
		"{\"ExplicitNames\":{\"entries\":[{\"Table\":{\"source_name\":\"Person\",\"canonical_name\":\"person\"}},"
		"{\"Table\":{\"source_name\":\"timer\",\"canonical_name\":\"timer\"}},"
		"{\"Function\":{\"source_name\":\"tick\",\"canonical_name\":\"tick\"}},"
		"{\"Function\":{\"source_name\":\"start\",\"canonical_name\":\"start\"}},"
		"{\"Function\":{\"source_name\":\"getOne\",\"canonical_name\":\"get_one\"}},"
		"{\"Function\":{\"source_name\":\"seen\",\"canonical_name\":\"seen\"}},"
		"{\"Function\":{\"source_name\":\"mine\",\"canonical_name\":\"mine\"}}]}}]}");
	module_def_release(def);
}
END_TEST

START_TEST(version_9_of_a_v10_module)
{
	everything(10);
	struct module_def *def = accept(&d);
	struct buf out;
	buf_init(&out, 1 << 20);
	ck_assert_int_eq(module_schema_json(def, 9, &out), WL_OK);
	static const char *const parts[] = {
		"{\"typespace\":" TYPESPACE ",\"tables\":[{\"name\":\"person\",",
		"{\"name\":{\"some\":\"person_given_name_id_idx_hash\"},\"accessor_name\":" NONE,
		"{\"name\":\"start\"," NO_PARAMS ",\"lifecycle\":{\"some\":{\"Init\":[]}}}",
		"\"schedule\":{\"some\":{\"name\":{\"some\":\"timer_sched\"},\"reducer_name\":\"tick\","
		"\"scheduled_at_column\":1}}",
		"\"misc_exports\":[{\"ColumnDefaultValue\":{\"table\":\"person\",\"col_id\":1,\"value\":\"0100000061\"}},"
		"{\"Procedure\":{\"name\":\"get_one\",",
	};
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
		ck_assert_msg(strstr(buf_text(&out), parts[i]) != NULL, "no %s in %s", parts[i], buf_text(&out));
	ck_assert_ptr_null(strstr(buf_text(&out), "say"));
	buf_deinit(&out);
	module_def_release(def);
}
END_TEST

START_TEST(empty_as_the_kit_has_it)
{
	for (int version = 9; version <= 10; version++) {
		description_init(&d, version);
		struct module_def *def = accept(&d);
		expect_schema(def, 10, "{\"sections\":[{\"Typespace\":{\"types\":[]}},{\"ExplicitNames\":{\"entries\":[]}}]}");
		expect_schema(def, 9,
			"{\"typespace\":{\"types\":[]},\"tables\":[],\"reducers\":[],\"types\":[],\"misc_exports\":[],"
			"\"row_level_security\":[]}");
		module_def_release(def);
	}
}
END_TEST

START_TEST(names_that_a_reader_would_convert)
{
	description_init(&d, 10);
	set_policy(&d, 0);
	add_type(&d, "Row", "(aB:u8)");
	struct module_def *def = accept(&d);
	expect_schema(def, 10,
		"{\"sections\":[{\"CaseConversionPolicy\":{\"None\":[]}},"
		"{\"Typespace\":{\"types\":[{\"Product\":{\"elements\":[{\"name\":"
		"{\"some\":\"aB\"},\"algebraic_type\":{\"U8\":[]}}]}}]}},{\"Types\":[{\"source_name\":{\"scope\":[],"
		"\"source_name\":"
		"\"Row\"},\"ty\":0,\"custom_ordering\":true}]},{\"ExplicitNames\":{\"entries\":[]}}]}");
	module_def_release(def);
}
END_TEST

START_TEST(submodules_environment_outboxes)
{
	struct description child;
	description_init(&child, 10);
	add_reducer(&child, "go", "()");
	description_init(&d, 10);
	struct buf *b = description_add(&d, D_ENVIRONMENT);
	put_s(b, "MODE");
	buf_put_u8(b, 2);
	buf_put_u32(b, 2);
	put_s(b, "b");
	put_s(b, "a");
	buf_put_u8(b, 1);
	b = description_add(&d, D_ENVIRONMENT);
	put_s(b, "KEY");
	buf_put_u8(b, 0);
	buf_put_u8(b, 0);
	b = description_add(&d, D_ENVIRONMENT);
	put_s(b, "ONE");
	buf_put_u8(b, 1);
	put_s(b, "x");
	buf_put_u8(b, 0);
	add_type(&d, "Out", "(id:u64,to:identity)");
	TABLE(&d, .name = "out", .primary_key = "0", .indexes = "btree i - 0", .unique = "0");
	b = description_add(&d, D_OUTBOXES);
	put_s(b, "out");
	put_s(b, "far.away");
	buf_put_u16(b, 1);
	put_columns(b, "0");
	put_optional_s(b, NULL);
	for (int i = 0; i < 32; i++)
		buf_put_u8(b, i == 0 ? 0x21 : i == 1 ? 0x03 : 0);
	add_submodule(&d, "myLib", &child);
	add_submodule(&d, "other", &child);
	add_name(&d, 3, "other", "Renamed");
	description_deinit(&child);
	struct module_def *def = accept(&d);
	struct buf out;
	buf_init(&out, 1 << 20);
	ck_assert_int_eq(module_schema_json(def, 10, &out), WL_OK);
	static const char *const parts[] = {
		"{\"sections\":[{\"Environment\":[{\"name\":\"MODE\",\"ty\":{\"Union\":[\"a\",\"b\"]},\"optional\":true},"
		"{\"name\":\"KEY\",\"ty\":{\"String\":[]},\"optional\":false},"
		"{\"name\":\"ONE\",\"ty\":{\"StringLiteral\":\"x\"},\"optional\":false}]},{\"Typespace\":",
		/* The hash is a number: its text begins with the last byte that is not zero. */
		"{\"Outboxes\":[{\"table_name\":\"out\",\"remote_reducer\":\"far.away\",\"target_column\":1,"
		"\"arg_columns\":[0],"
		"\"on_result_reducer\":{\"none\":[]},\"signature_hash\":\"0x321\"}]}",
		/* Only the namespace that conversion would not give is named. */
		"{\"Namespace\":{\"source_name\":\"other\",\"canonical_name\":\"Renamed\"}}]}},{\"Submodules\":[{\"namespace\":"
		"\"myLib\",\"module\":{\"sections\":[{\"Typespace\":{\"types\":[]}},{\"Reducers\":[{\"source_name\":\"go\",",
	};
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
		ck_assert_msg(strstr(buf_text(&out), parts[i]) != NULL, "no %s in %s", parts[i], buf_text(&out));
	ck_assert_ptr_null(strstr(buf_text(&out), "\"canonical_name\":\"my_lib\""));
	buf_deinit(&out);
	module_def_release(def);
}
END_TEST

START_TEST(other_versions_and_small_buffers)
{
	everything(10);
	struct module_def *def = accept(&d);
	struct buf out;
	buf_init(&out, 100);
	ck_assert_int_eq(module_schema_json(def, 8, &out), WL_ERR_INVALID);
	ck_assert_int_eq(module_schema_json(def, 11, &out), WL_ERR_INVALID);
	ck_assert_int_eq(module_schema_json(def, 10, &out), WL_ERR_LIMIT);
	buf_deinit(&out);
	module_def_release(def);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		version_9, version_10, version_9_of_a_v10_module, empty_as_the_kit_has_it, names_that_a_reader_would_convert,
		submodules_environment_outboxes, other_versions_and_small_buffers,
	};
	Suite *suite = suite_create("module_schema");
	TCase *tcase = tcase_create("documents");
	for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
