/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every name a module gives, and every one it does not, comes out as
 * clients and SQL know it: case conversion, explicit names, generated names,
 * namespaces, and the ids of calls.
 */
#include "module_description.h"
#include "base/mem.h"
#include "native.h"
#include "unit/run_suite.h"

static struct description d;

static void begin(void)
{
	description_init(&d, 10);
	add_type(&d, "Person", "(id:u64,name:string)");
}

START_TEST(conversion)
{
	static const struct {
		const char *in, *snake, *camel, *pascal;
	} cases[] = {
		{ "player1", "player_1", "player1", "Player1" },
		{ "U64Table", "u_64_table", "u64Table", "U64Table" },
		{ "XMLHttpRequest2", "xml_http_request_2", "xmlHttpRequest2", "XmlHttpRequest2" },
		{ "position3D", "position_3_d", "position3D", "Position3D" },
		{ "a1b2", "a_1_b_2", "a1B2", "A1B2" },
		{ "_foo_", "foo", "foo", "Foo" },
		{ "foo__bar", "foo_bar", "fooBar", "FooBar" },
		{ "__init__", "init", "init", "Init" },
		{ "ID", "id", "id", "Id" },
		{ "SomeTHING", "some_thing", "someThing", "SomeThing" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		/* A column is a field, so it gets snake case; a variant camel case; a type Pascal case; a table snake case. */
		char row[128], sum[128];
		snprintf(row, sizeof(row), "(%s:u8,nested:&0)", cases[i].in);
		snprintf(sum, sizeof(sum), "{%s:u8|x:()}", cases[i].in);
		description_init(&d, 10);
		add_type(&d, cases[i].in, sum);
		add_type(&d, "Row", row);
		TABLE(&d, .name = cases[i].in, .ref = 1);
		struct module_def *def = accept(&d);
		const struct module_info *info = module_def_info(def);
		const struct module_table *t = &info->tables[0];
		ck_assert_msg(is(t->name, cases[i].snake), "%s is %.*s", cases[i].in, STR_FMT(t->name));
		ck_assert(is(t->accessor, cases[i].in));
		ck_assert(is(t->columns[0].name, cases[i].snake) && is(t->columns[0].accessor, cases[i].in));
		ck_assert(is(t->row_type->elements[0].name, cases[i].snake));
		ck_assert(is(t->row_type->elements[1].type->elements[0].name, cases[i].camel));
		ck_assert(is(info->typespace->types[0]->elements[0].name, cases[i].camel));
		bool found = false;
		for (uint32_t k = 0; k < info->parts[0].type_count; k++)
			found |= is(info->parts[0].types[k].name, cases[i].pascal);
		ck_assert_msg(found, "no type %s", cases[i].pascal);
		module_def_release(def);
	}
}
END_TEST

START_TEST(special_types_keep_their_names)
{
	description_init(&d, 10);
	add_type(&d, "Row", "(whenDue:schedule_at,who:identity,maybe:?u8)");
	TABLE(&d, .name = "t");
	struct module_def *def = accept(&d);
	const struct module_column *columns = module_def_info(def)->tables[0].columns;
	ck_assert(is(columns[0].name, "when_due") && columns[0].type->special == SATS_SCHEDULE_AT);
	ck_assert(columns[1].type->special == SATS_IDENTITY && columns[2].type->special == SATS_OPTION);
	module_def_release(def);
}
END_TEST

START_TEST(no_conversion)
{
	for (int version = 9; version <= 10; version++) {
		description_init(&d, version);
		add_type(&d, "some_row", "(fooBar:u8)");
		TABLE(&d, .name = "MyTable", .indexes = "btree givenName acc 0");
		add_reducer(&d, "doThings", "(anArg:u8)");
		set_policy(&d, 0);
		struct module_def *def = accept(&d);
		const struct module_table *t = module_table(def, STR("MyTable"));
		ck_assert(t != NULL && is(t->columns[0].name, "fooBar"));
		/* V9 keeps a given index name, V10 only as an alias. */
		ck_assert(is(t->indexes[0].name, version == 9 ? "givenName" : "MyTable_fooBar_idx_btree"));
		ck_assert(is(t->indexes[0].source, "givenName") && is(t->indexes[0].accessor, "acc"));
		uint32_t id;
		ck_assert_ptr_nonnull(module_reducer(def, STR("doThings"), &id));
		ck_assert(is(module_def_info(def)->parts[0].types[0].name, "some_row"));
		module_def_release(def);
	}
}
END_TEST

START_TEST(parameters_have_two_names)
{
	begin();
	add_reducer(&d, "addPerson", "(firstName:string,x:u8)");
	struct module_def *def = accept(&d);
	uint32_t id;
	const struct module_function *f = module_reducer(def, STR("add_person"), &id);
	ck_assert(f != NULL && is(f->accessor, "addPerson"));
	ck_assert(is(f->params->elements[0].name, "firstName") && is(f->param_names[0], "first_name"));
	ck_assert_ptr_null(module_reducer(def, STR("addPerson"), &id));
	module_def_release(def);
}
END_TEST

START_TEST(explicit_names)
{
	begin();
	TABLE(&d, .name = "person", .primary_key = "0", .indexes = "btree by_id acc 0;hash byName - 1", .unique = "0",
		.sequences = "0");
	add_reducer(&d, "person", "()");
	add_name(&d, 0, "person", "PEOPLE");
	add_name(&d, 1, "person", "Call_Me");
	add_name(&d, 2, "byName", "Named_Index");
	struct module_def *def = accept(&d);
	const struct module_table *t = module_table(def, STR("PEOPLE"));
	uint32_t id;
	ck_assert(t != NULL && is(t->accessor, "person"));
	ck_assert_ptr_nonnull(module_reducer(def, STR("Call_Me"), &id));
	/* Generated names begin with the canonical one. */
	ck_assert(is(t->indexes[0].name, "Named_Index") && is(t->indexes[0].source, "byName"));
	ck_assert(is(t->indexes[1].name, "PEOPLE_id_idx_btree") && is(t->indexes[1].source, "by_id"));
	ck_assert(is(t->constraints[0].name, "PEOPLE_id_key") && is(t->sequences[0].name, "PEOPLE_id_seq"));
	ck_assert(t->indexes[1].unique && !t->indexes[0].unique);
	module_def_release(def);
}
END_TEST

START_TEST(generated_names)
{
	description_init(&d, 10);
	add_type(&d, "Row", "(aB:u8,cD:u8,e:u64,at:schedule_at)");
	TABLE(&d, .name = "my_table", .primary_key = "2", .unique = "1,0;2",
		.indexes = "btree i - 0,1;hash j - 1,0;direct k - 2;btree l - 2", .sequences = "1");
	add_procedure(&d, "onTime", "(row:&0)", "()");
	add_schedule(&d, "my_table", 3, "onTime");
	struct module_def *def = accept(&d);
	const struct module_table *t = module_table(def, STR("my_table"));
	static const char *const indexes[] = {
		"my_table_a_b_c_d_idx_btree", "my_table_c_d_a_b_idx_hash", "my_table_e_idx_btree", "my_table_e_idx_direct",
	};
	for (uint32_t i = 0; i < 4; i++) {
		ck_assert(is(t->indexes[i].name, indexes[i]));
		ck_assert(t->indexes[i].unique); /* in any order of columns */
	}
	ck_assert(is(t->constraints[0].name, "my_table_c_d_a_b_key") && is(t->constraints[1].name, "my_table_e_key"));
	ck_assert(t->constraints[0].columns.at[0] == 0 && t->constraints[0].columns.at[1] == 1); /* a set: ascending */
	ck_assert(t->indexes[1].columns.at[0] == 1 && t->indexes[1].columns.at[1] == 0);         /* as declared */
	ck_assert(is(t->sequences[0].name, "my_table_c_d_seq"));
	ck_assert(is(t->schedule->name, "my_table_sched") && is(t->schedule->function, "on_time"));
	ck_assert(t->schedule->at_column == 3 && t->schedule->id_column == 2 && t->schedule->is_procedure);
	uint32_t id;
	ck_assert(module_procedure(def, STR("on_time"), &id)->is_private);
	module_def_release(def);
}
END_TEST

START_TEST(wacky_names_of_v9)
{
	/* Given names of indexes are not checked at all there. */
	description_init(&d, 9);
	add_type(&d, "Row", "(a:u8)");
	TABLE(&d, .name = "t", .indexes = "btree wa.cky!! - 0");
	struct module_def *def = accept(&d);
	ck_assert(is(module_table(def, STR("t"))->indexes[0].name, "wa.cky!!"));
	module_def_release(def);
}
END_TEST

START_TEST(visibility)
{
	begin();
	add_reducer(&d, "start", "()");
	add_reducer(&d, "other", "()");
	add_lifecycle(&d, MODULE_INIT, "start");
	struct module_def *def = accept(&d);
	const struct module_info *info = module_def_info(def);
	ck_assert(info->reducers[0].is_private && !info->reducers[1].is_private);
	ck_assert(info->reducers[0].lifecycle == MODULE_INIT && info->lifecycle[MODULE_INIT] == 0);
	ck_assert_uint_eq(info->lifecycle[MODULE_ON_CONNECT], MODULE_NO_INDEX);
	module_def_release(def);
}
END_TEST

/* A level with one of everything. */
static void level(struct description *l, uint8_t policy)
{
	description_init(l, 10);
	add_type(l, "Timer", "(id:u64,at:schedule_at)");
	add_table(l, (struct table_notation){ .name = "myTimer", .primary_key = "0", .indexes = "btree mySource - 0",
		.unique = "0", .sequences = "0" });
	add_reducer(l, "onTime", "(row:&0)");
	add_procedure(l, "proc", "()", "&0");
	add_view(l, "seen", 0, true, "()", "[&0]");
	add_view(l, "mine", 0, false, "()", "?&0");
	add_schedule(l, "myTimer", 1, "onTime");
	set_policy(l, policy);
}

START_TEST(submodules)
{
	/* root { libOne { inner }, libTwo }: ids go root, libOne, libOne.inner, libTwo. */
	struct description inner, one, two;
	level(&inner, 1);
	level(&one, 0);
	add_submodule(&one, "innerPart", &inner);
	level(&two, 1);
	level(&d, 1);
	add_submodule(&d, "libOne", &one);
	add_submodule(&d, "libTwo", &two);
	add_name(&d, 3, "libTwo", "SECOND");
	description_deinit(&inner);
	description_deinit(&one);
	description_deinit(&two);
	struct module_def *def = accept(&d);
	const struct module_info *info = module_def_info(def);
	/* libOne converts nothing inside, but the root converts its namespace; libOne keeps innerPart as it is. */
	static const char *const reducers[] = {
		"on_time", "lib_one.onTime", "lib_one.innerPart.on_time", "SECOND.on_time",
	};
	static const char *const paths[] = { "", "lib_one", "lib_one.innerPart", "SECOND" };
	static const char *const accessors[] = { "", "libOne", "libOne.innerPart", "libTwo" };
	ck_assert_uint_eq(info->part_count, 4);
	ck_assert_uint_eq(info->reducer_count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t id = 99;
		ck_assert_msg(is(info->reducers[i].name, reducers[i]), "%.*s", STR_FMT(info->reducers[i].name));
		ck_assert_ptr_eq(module_reducer(def, str_of(reducers[i]), &id), &info->reducers[i]);
		ck_assert_uint_eq(id, i);
		ck_assert_uint_eq(info->reducers[i].part, i);
		ck_assert(is(info->parts[i].path, paths[i]) && is(info->parts[i].accessor, accessors[i]));
		ck_assert_ptr_eq(info->reducers[i].space, info->parts[i].typespace);
		/* Two views each: their ids count apart. */
		ck_assert_uint_eq(info->views[2 * i].index, i);
		ck_assert_uint_eq(info->views[2 * i + 1].index, i);
		ck_assert(info->reducers[i].is_private);
	}
	const struct module_table *t = module_table(def, STR("lib_one.innerPart.my_timer"));
	ck_assert(t != NULL && is(t->accessor, "libOne.innerPart.myTimer") && t->part == 2);
	ck_assert(is(t->indexes[0].name, "lib_one.innerPart.my_timer_id_idx_btree"));
	ck_assert(is(t->indexes[0].source, "libOne.innerPart.mySource"));
	ck_assert(is(t->constraints[0].name, "lib_one.innerPart.my_timer_id_key"));
	ck_assert(is(t->sequences[0].name, "lib_one.innerPart.my_timer_id_seq"));
	ck_assert(is(t->schedule->name, "lib_one.innerPart.my_timer_sched"));
	ck_assert(is(t->schedule->function, "lib_one.innerPart.on_time"));
	ck_assert_ptr_nonnull(module_view(def, STR("SECOND.seen")));
	static const char *const tables[] = {
		"SECOND.my_timer", "lib_one.innerPart.my_timer", "lib_one.myTimer", "my_timer",
	};
	for (uint32_t i = 0; i < 4; i++)
		ck_assert(is(info->tables[i].name, tables[i]));
	module_def_release(def);
}
END_TEST

START_TEST(view_kinds)
{
	begin();
	TABLE(&d, .name = "person", .primary_key = "0", .indexes = "btree i - 0", .unique = "0");
	add_type(&d, "Other", "(aKey:u64)");
	add_view(&d, "all", 0, true, "()", "[&0]");
	add_view(&d, "maybe", 1, true, "()", "?&1");
	add_view(&d, "query", 2, true, "()", "(__query__:&0)");
	add_view_key(&d, "maybe", "aKey", NULL);
	struct module_def *def = accept(&d);
	const struct module_view *all = module_view(def, STR("all")), *maybe = module_view(def, STR("maybe")),
		*query = module_view(def, STR("query"));
	ck_assert(!all->is_option && !all->is_query && all->primary_key == -1 && all->row_ref == 0 && all->is_public);
	ck_assert(maybe->is_option && maybe->primary_key == 0 && is(maybe->columns[0].name, "a_key"));
	/* The key of a query view is that of the table with its rows. */
	ck_assert(query->is_query && query->primary_key == 0 && query->row_type->count == 2);
	module_def_release(def);
}
END_TEST

START_TEST(routes_of_the_root)
{
	begin();
	put_s(description_add(&d, D_HANDLERS), "sayHello");
	put_s(description_add(&d, D_HANDLERS), "other");
	add_route(&d, "other", 9, "BREW", "/pot");
	add_route(&d, "sayHello", -1, NULL, "");
	struct module_def *def = accept(&d);
	const struct module_info *info = module_def_info(def);
	ck_assert(info->handler_count == 2 && is(info->handlers[0], "say_hello"));
	ck_assert(info->routes[0].handler_id == 1 && info->routes[0].method == 9 && is(info->routes[0].extension, "BREW"));
	ck_assert(info->routes[1].handler_id == 0 && info->routes[1].method == -1 && info->routes[1].path.len == 0);
	module_def_release(def);
}
END_TEST

START_TEST(kit_names)
{
	/* Index names and aliases as the reference recorded them for this module. */
	static const char *const names[][3] = {
		{ "mixed_case", "mixed_case_id_idx_btree", "MixedCase_ID_idx_btree" },
		{ "Given_Name", "Given_Name_id_idx_btree", "renamed_id_idx_btree" },
		{ "na\xc3\xafve_tafel", "na\xc3\xafve_tafel_id_idx_btree", "na\xc3\xafve_tafel_id_idx_btree" },
		{ "grid", "grid_a_b_c_idx_btree", "grid_a_b_c_idx_btree" },
	};
	FILE *file = fopen("tests/unit/data/module/sql_rust_v10.bin", "rb");
	ck_assert_ptr_nonnull(file);
	uint8_t *data = mem_alloc(1 << 16);
	size_t len = fread(data, 1, 1 << 16, file);
	fclose(file);
	struct buf errors;
	buf_init(&errors, 1 << 16);
	struct module_def *def = NULL;
	ck_assert_int_eq(module_def_create(data, len, &def, &errors), WL_OK);
	mem_free(data);
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		const struct module_table *t = module_table(def, str_of(names[i][0]));
		ck_assert_ptr_nonnull(t);
		ck_assert(is(t->indexes[0].name, names[i][1]) && is(t->indexes[0].source, names[i][2]));
	}
	ck_assert(module_view(def, STR("my_notes_keyed"))->primary_key == 0);
	ck_assert(module_view(def, STR("online_users"))->primary_key == 0);
	ck_assert(module_view(def, STR("my_notes"))->primary_key == -1);
	module_def_release(def);
	buf_deinit(&errors);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		conversion, special_types_keep_their_names, no_conversion, parameters_have_two_names, explicit_names,
		generated_names, wacky_names_of_v9, visibility, submodules, view_kinds, routes_of_the_root, kit_names,
	};
	Suite *suite = suite_create("module_names");
	TCase *tcase = tcase_create("names");
	for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
