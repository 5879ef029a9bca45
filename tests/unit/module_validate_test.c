/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each fault of a module is refused with the text clients know, faults
 * come sorted and once, and what is dropped or kept together is as expected.
 * Method: small descriptions that are good but for one thing.
 */
#include "module_description.h"
#include "unit/run_suite.h"

#define INDEX_ID "btree person_id_idx_btree id 0"
#define TAIL "(according to Unicode Standard Annex 31, https://www.unicode.org/reports/tr31/) and cannot be used for " \
	"entities in a module."
#define BAD_CHAR(name, c) "module contains invalid identifier: Identifier `" name "` contains a character '" c "' " \
	"that is not an XID_continue character " TAIL
#define BAD_START(name, c) "module contains invalid identifier: Identifier `" name "`'s starting character '" c "' " \
	"is neither an underscore ('_') nor a Unicode XID_start character " TAIL
#define EMPTY "module contains invalid identifier: Empty identifiers are forbidden."
#define CODEGEN "internal codegen error: "

static struct description d;

/* Type &0 Person (id u64, name string). */
static void begin(int version)
{
	description_init(&d, version);
	add_type(&d, "Person", "(id:u64,name:string)");
}

/* …and a table `person` with a primary key. */
static void begin_keyed(int version)
{
	begin(version);
	TABLE(&d, .name = "person", .primary_key = "0", .indexes = INDEX_ID, .unique = "0");
}

static void begin_scheduled(int version)
{
	description_init(&d, version);
	add_type(&d, "Timer", "(id:u64,at:schedule_at)");
}

START_TEST(names_in_one_namespace)
{
	for (int version = 9; version <= 10; version++) {
		begin(version);
		TABLE(&d, .name = "person");
		TABLE(&d, .name = "person");
		refuse(&d, "name `person` is used for multiple entities");
	}
	/* A canonical name clashes with another's source name. */
	begin(10);
	TABLE(&d, .name = "FooBar");
	TABLE(&d, .name = "foo_bar");
	refuse(&d, "name `foo_bar` is used for multiple entities");
	/* Views share it, functions do not. */
	begin(10);
	TABLE(&d, .name = "person");
	add_view(&d, "person", 0, true, "()", "[&0]");
	add_reducer(&d, "other", "()");
	refuse(&d, "name `person` is used for multiple entities");
	/* The same algorithm over the same columns gives the same name. */
	begin(10);
	TABLE(&d, .name = "person", .indexes = "btree a - 0;btree b - 0");
	refuse(&d, "name `person_id_idx_btree` is used for multiple entities");
}
END_TEST

START_TEST(type_names)
{
	begin(10);
	add_type(&d, "foo_bar", "(a:u8)");
	add_type(&d, "FooBar", "(a:u8)");
	refuse(&d, "name `FooBar` is used for multiple types");
	begin(9);
	add_type(&d, "a::B", "(a:u8)");
	add_type(&d, "a::B", "(a:u8)");
	refuse(&d, "name `a::B` is used for multiple types");
}
END_TEST

START_TEST(lifecycles)
{
	begin(10);
	add_reducer(&d, "a", "()");
	add_reducer(&d, "b", "()");
	add_lifecycle(&d, MODULE_INIT, "a");
	add_lifecycle(&d, MODULE_INIT, "b");
	refuse(&d, "Multiple reducers defined for lifecycle event Init");
	begin(10);
	add_reducer(&d, "a", "()");
	add_lifecycle(&d, MODULE_ON_CONNECT, "a");
	add_lifecycle(&d, MODULE_ON_DISCONNECT, "a");
	refuse(&d, "Multiple reducers defined for lifecycle event OnDisconnect");
	begin(10);
	add_lifecycle(&d, MODULE_ON_DISCONNECT, "missing");
	refuse(&d, "lifecycle event OnDisconnect without reducer");
}
END_TEST

START_TEST(identifiers)
{
	begin(9);
	TABLE(&d, .name = "a b");
	refuse(&d, BAD_CHAR("a b", " "));
	begin(9);
	TABLE(&d, .name = "1a");
	refuse(&d, BAD_START("1a", "1"));
	begin(9);
	TABLE(&d, .name = "");
	refuse(&d, EMPTY);
	begin(9);
	TABLE(&d, .name = "A\xcc\x8a"); /* A and a combining ring: not composed */
	refuse(&d, "module contains invalid identifier: Identifier `A\xcc\x8a` is not in normalization form C according to "
		"Unicode Standard Annex 15 (http://www.unicode.org/reports/tr15/) and cannot be used for entities in a "
		"module.");
	/* Checked after conversion: "_" becomes nothing, "_2fa" begins with a digit. */
	begin(10);
	TABLE(&d, .name = "_");
	refuse(&d, EMPTY);
	begin(10);
	add_reducer(&d, "_2fa", "()");
	refuse(&d, BAD_START("2_fa", "2"));
	/* And before: the raw name is kept as accessor. */
	begin(10);
	add_reducer(&d, "a-b", "()");
	refuse(&d, BAD_CHAR("a-b", "-"));
	begin(10);
	TABLE(&d, .name = "a-b");
	refuse(&d, BAD_CHAR("a-b", "-"));
}
END_TEST

START_TEST(columns)
{
	for (int version = 9; version <= 10; version++) {
		description_init(&d, version);
		add_type(&d, NULL, "(:u64,b:u8)");
		TABLE(&d, .name = "t");
		refuse(&d, "table `t` has unnamed column `0`, which is forbidden.");
		description_init(&d, version);
		add_type(&d, NULL, "(a:(x:u8))");
		TABLE(&d, .name = "t");
		refuse(&d, "error at typespace ref `&0`: " CODEGEN
			"non-special product or sum type (x: U8) cannot be used to generate a client type use");
		description_init(&d, version);
		add_type(&d, NULL, "[u8]");
		TABLE(&d, .name = "t");
		TABLE(&d, .name = "u", .ref = 7);
		refuse(&d, "Table t has invalid product_type_ref &0\n\nTable u has invalid product_type_ref &7");
	}
	/* V10 ends the table at its columns, V9 goes on to the indexes. */
	description_init(&d, 10);
	add_type(&d, NULL, "(:u64)");
	TABLE(&d, .name = "t", .indexes = "btree i - 5");
	refuse(&d, "table `t` has unnamed column `0`, which is forbidden.");
	description_init(&d, 9);
	add_type(&d, NULL, "(:u64)");
	TABLE(&d, .name = "t", .indexes = "btree i - 5");
	refuse(&d, "table `t` has unnamed column `0`, which is forbidden.\n\n"
		"column `5` referenced by def i not found in table `t`");
}
END_TEST

START_TEST(type_ordering)
{
	begin(10);
	add_type(&d, "Sorted", "(a:u8,b:u8)");
	add_type(&d, "Un::Sorted", "(b:u8,aZ:u8)");
	for (uint32_t at = 0; at < 2; at++) /* custom_ordering is the last byte of a type */
		d.lists[D_TYPES].data[d.lists[D_TYPES].len - 1] = 0;
	refuse(&d, "type `\"Un\"::\"Sorted\"` is not annotated with a custom ordering, but uses one: (b: U8, a_z: U8)");
}
END_TEST

START_TEST(column_references)
{
	begin(10);
	TABLE(&d, .name = "person", .indexes = "btree i - 2,9", .unique = "3", .sequences = "4");
	refuse(&d, "column `2` referenced by def person_col_2_col_9_idx_btree not found in table `person`\n\n"
		"column `9` referenced by def person_col_2_col_9_idx_btree not found in table `person`\n\n"
		"column `3` referenced by def person_col_3_key not found in table `person`\n\n"
		"column `4` referenced by def person_col_4_seq not found in table `person`");
}
END_TEST

START_TEST(duplicate_columns)
{
	begin(10);
	TABLE(&d, .name = "person", .indexes = "btree i - 0,1,0");
	refuse(&d, "def `person_id_name_id_idx_btree` has duplicate columns: [ColId(0), ColId(1), ColId(0)]");
}
END_TEST

START_TEST(primary_keys)
{
	begin(10);
	TABLE(&d, .name = "person", .primary_key = "0,1", .indexes = INDEX_ID, .unique = "0");
	refuse(&d, "table `person` has multiple primary key annotations");
	begin(10);
	TABLE(&d, .name = "person", .primary_key = "0", .indexes = INDEX_ID);
	refuse(&d, "table `person` column `id` is primary key but has no unique constraint");
	begin(10);
	TABLE(&d, .name = "person", .unique = "1,0", .indexes = INDEX_ID);
	refuse(&d, "No index found to support unique constraint `person_name_id_key` for columns `{ColId(0), ColId(1)}`");
	/* The sets are equal in any order. */
	begin(10);
	TABLE(&d, .name = "person", .unique = "1,0", .indexes = "hash i - 0,1");
	module_def_release(accept(&d));
}
END_TEST

START_TEST(direct_indexes)
{
	begin(10);
	TABLE(&d, .name = "person", .indexes = "direct i - 1");
	refuse(&d, "Direct index does not support type `String` in column `name` in index `person_name_idx_direct`");
	description_init(&d, 10);
	add_type(&d, "Plain", "{a:()|b:()}");
	add_type(&d, "Mixed", "{a:()|b:u8}");
	add_type(&d, "Row", "(p:&0,m:&1)");
	TABLE(&d, .name = "t", .ref = 2, .indexes = "direct i - 0;direct j - 1");
	refuse(&d, "Direct index does not support type `&1` in column `m` in index `t_m_idx_direct`");
	/* A ref to nothing stops the reference. */
	description_init(&d, 10);
	add_type(&d, NULL, "(p:&9)");
	TABLE(&d, .name = "t", .indexes = "direct i - 0");
	refuse(&d, "error at typespace ref `&0`: " CODEGEN "invalid AlgebraicTypeRef");
}
END_TEST

START_TEST(sequences)
{
	begin(10);
	TABLE(&d, .name = "person", .sequences = "1");
	refuse(&d,
		"invalid sequence column type: table `person` column `name` with type `String` in sequence `person_name_seq`");
	begin(10);
	TABLE(&d, .name = "person", .sequences = "0;0");
	refuse(&d, "name `person_id_seq` is used for multiple entities\n\n"
		"Attempt to define table `person` column `id` with more than 1 auto_inc sequence");
	begin(10);
	TABLE(&d, .name = "person", .sequences = "0 - 5 1 1");
	refuse(&d, "invalid sequence range information: expected Some(5) <= None <= Some(1) in sequence `person_id_seq`");
	begin(10);
	TABLE(&d, .name = "person", .sequences = "0 -7 -6 - 1");
	refuse(&d, "invalid sequence range information: expected Some(-6) <= Some(-7) <= None in sequence `person_id_seq`");
}
END_TEST

START_TEST(views)
{
	for (int version = 9; version <= 10; version++) {
		begin(version);
		add_view(&d, "v", 0, true, "()", "u8");
		add_view(&d, "w", 1, true, "()", "[u8]");
		add_view(&d, "x", 2, true, "()", "[&5]");
		refuse(&d, "View v has invalid return type U8\n\nView w has invalid return type Array<U8>\n\n"
			"Table x has invalid product_type_ref &5");
		begin(version);
		add_view(&d, "v", 0, true, "(a:(x:u8))", "[&0]");
		refuse(&d, "error at view `v` argument 0 (`a`): " CODEGEN
			"non-special product or sum type (x: U8) cannot be used to generate a client type use");
	}
	/* The return type is no use: its row type is not declared. */
	description_init(&d, 10);
	add_type(&d, NULL, "(a:u8)");
	add_view(&d, "myView", 0, true, "()", "?&0");
	refuse(&d, "error at view `my_view` return value: " CODEGEN
		"non-special product or sum type (a: U8) cannot be used to generate a client type use");
	begin(10);
	add_view(&d, "v", 0, true, "(a:f32,b:u8,c:f64)", "[&0]");
	refuse(&d, "View v has a float parameter `a`, which views can't take yet\n\n"
		"View v has a float parameter `c`, which views can't take yet");
}
END_TEST

START_TEST(view_keys)
{
	begin(10);
	add_view(&d, "v", 0, true, "()", "[&0]");
	add_view(&d, "withParams", 1, true, "(a:u8)", "[&0]");
	add_view_key(&d, "nope", "id", NULL);
	add_view_key(&d, "v", "missing", NULL);
	add_view_key(&d, "v", "id", NULL);
	add_view_key(&d, "w", "a", "b\"");
	add_view_key(&d, "withParams", "id", NULL);
	refuse(&d, "View nope referenced by primary key definition not found\n\n"
		"View v has multiple primary key definitions\n\n"
		"View w has multiple primary key columns: [\"a\", \"b\\\"\"]\n\n"
		"Primary key column missing for view v not found\n\n"
		"View withParams has parameters and cannot have a primary key");
	/* An empty list is nothing, even for a view that is not there. */
	begin(10);
	add_view_key(&d, "nope", NULL, NULL);
	module_def_release(accept(&d));
}
END_TEST

START_TEST(type_references)
{
	begin(10);
	add_type(&d, "Foo::Bar", "(a:u8)");
	size_t ref = d.lists[D_TYPES].len - 5;
	store_u32(d.lists[D_TYPES].data + ref, 12);
	refuse(&d, "Type \"Foo\"::\"Bar\" has invalid ref: &12");
}
END_TEST

START_TEST(schedules)
{
	for (int version = 9; version <= 10; version++) {
		begin(version);
		TABLE(&d, .name = "person", .schedule_function = "f");
		add_reducer(&d, "f", "(t:&0)");
		if (version == 10)
			add_schedule(&d, "person", 0, "f");
		refuse(&d, "A scheduled table must have columns `scheduled_id: u64` and `scheduled_at: ScheduledAt`, but table "
			"`person` has columns ProductType {\"id\": U64, \"name\": String}");
		begin_scheduled(version);
		TABLE(&d, .name = "timer", .primary_key = "0", .indexes = "btree i - 0", .unique = "0",
			.schedule_function = "f", .schedule_column = 1);
		if (version == 10)
			add_schedule(&d, "timer", 1, "f");
		refuse(&d, "Schedule timer_sched refers to a scheduled reducer or procedure f that does not exist");
		begin_scheduled(version);
		add_type(&d, "Same", "(id:u64,at:schedule_at)");
		TABLE(&d, .name = "timer", .primary_key = "0", .indexes = "btree i - 0", .unique = "0",
			.schedule_function = "f", .schedule_column = 1);
		add_procedure(&d, "f", "(t:&1)", "()"); /* equal, but another ref */
		if (version == 10)
			add_schedule(&d, "timer", 1, "f");
		refuse(&d, "Scheduled reducer f expected to have type (0: &0), but has type (t: &1)");
	}
	begin(10);
	add_schedule(&d, "nowhere", 1, "f");
	refuse(&d, "Table nowhere not found");
	begin_scheduled(10);
	TABLE(&d, .name = "timer", .primary_key = "0", .indexes = "btree i - 0", .unique = "0");
	add_reducer(&d, "f", "(t:&0)");
	add_schedule(&d, "timer", 1, "f");
	add_schedule(&d, "timer", 1, "f");
	refuse(&d, "name `timer_sched` is used for multiple entities");
	begin_scheduled(10);
	TABLE(&d, .name = "timer", .primary_key = "0", .indexes = "btree i - 0", .unique = "0", .is_event = true);
	add_reducer(&d, "f", "(t:&0)");
	add_schedule(&d, "timer", 1, "f");
	refuse(&d, "scheduled table timer must not be an event table");
	/* A ref to ScheduleAt is none, and types print as they are debugged. */
	description_init(&d, 10);
	add_type(&d, NULL, "schedule_at");
	add_type(&d, "Timer", "(id:u64,at:&0,l:[?u8])");
	TABLE(&d, .name = "timer", .ref = 1, .primary_key = "0", .indexes = "btree i - 0", .unique = "0");
	add_schedule(&d, "timer", 1, "f");
	refuse(&d, "A scheduled table must have columns `scheduled_id: u64` and `scheduled_at: ScheduledAt`, but table "
		"`timer` has columns ProductType {\"id\": U64, \"at\": Ref(AlgebraicTypeRef(0)), \"l\": Array(ArrayType { "
		"elem_ty: Sum(SumType {\"some\": U8, \"none\": Product(ProductType {})}) })}");
}
END_TEST

START_TEST(codegen)
{
	begin(10);
	add_reducer(&d, "myReducer", "(:u8,b:{x:u8|y:u8},c:[&44])");
	add_procedure(&d, "proc", "(:u8)", "[(a:u8)]");
	add_view(&d, "v", 0, true, "(:u8)", "[&0]");
	refuse(&d, "error at reducer `myReducer` argument 0: " CODEGEN "all reducer parameters require names\n\n"
		"error at reducer `myReducer` argument 1 (`b`): " CODEGEN
		"non-special product or sum type (x: U8 | y: U8) cannot be used to generate a client type use\n\n"
		"error at reducer `myReducer` argument 2 (`c`): " CODEGEN "invalid AlgebraicTypeRef\n\n"
		"error at procedure `proc` argument 0: " CODEGEN "all reducer parameters require names\n\n"
		"error at view `v` argument 0: " CODEGEN "all reducer parameters require names\n\n"
		"error at procedure `proc` return value: " CODEGEN
		"non-special product or sum type (a: U8) cannot be used to generate a client type use");
	begin(10);
	add_type(&d, "Nameless", "(:u8,b:u8)");
	add_type(&d, "NotOne", "[u8]");
	add_type(&d, "Bad", "{a-b:u8|c:()}");
	refuse(&d, "error at typespace ref `&1`: " CODEGEN "all type elements require names: (0: U8, b: U8)\n\n"
		"error at typespace ref `&2`: " CODEGEN "type Array<U8> is not valid for generating a definition\n\n"
		"error at typespace ref `&3`: type (a-b: U8 | c: ()) contains identifier error Identifier `a-b` contains a "
		"character '-' that is not an XID_continue character (according to Unicode Standard Annex 31, "
		"https://www.unicode.org/reports/tr31/) and cannot be used for entities in a module.");
	/* Refs that lead nowhere but to themselves. */
	begin(10);
	add_type(&d, NULL, "&2");
	add_type(&d, NULL, "[&1]");
	add_reducer(&d, "r", "(a:&1)");
	refuse(&d, "error at reducer `r` argument 0 (`a`): " CODEGEN "invalid AlgebraicTypeRef");
}
END_TEST

START_TEST(endless_ref_of_the_kit)
{
	/* The same fault of a definition and of a column is told once. */
	description_init(&d, 10);
	add_type(&d, NULL, "(a:&0)");
	TABLE(&d, .name = "t");
	refuse(&d, "error at typespace ref `&0`: " CODEGEN
		"non-special product or sum type (a: &0) cannot be used to generate a client type use");
	/* Recursive definitions are fine, columns of such a type are not. */
	description_init(&d, 10);
	add_type(&d, "Tree", "(children:[&0])");
	add_reducer(&d, "plant", "(t:&0)");
	module_def_release(accept(&d));
	description_init(&d, 10);
	add_type(&d, "Tree", "(children:[&0])");
	TABLE(&d, .name = "t");
	refuse(&d, "table `t` has a row type that cannot be stored: Found recursive type reference &0");
}
END_TEST

START_TEST(reserved_tables)
{
	for (int version = 9; version <= 10; version++) {
		begin(version);
		TABLE(&d, .name = "st_mine");
		refuse(&d, "Table name is reserved for system use: st_mine");
		begin(version);
		TABLE(&d, .name = "st_mine", .is_system = true);
		module_def_release(accept(&d));
	}
}
END_TEST

START_TEST(defaults)
{
	begin(9);
	TABLE(&d, .name = "person");
	add_default_v9(&d, "person", 0, "0102030405060708ff"); /* what follows the value is ignored */
	add_default_v9(&d, "person", 0, "0102030405060708");
	add_default_v9(&d, "person", 1, "05000000");
	add_default_v9(&d, "person", 2, "");
	add_default_v9(&d, "nobody", 0, "");
	refuse(&d, "column `2` referenced by def person not found in table `person`\n\n"
		"Failed to deserialize default value for table person column 1: data too short for [u8]: Expected 5, given "
		"0\n\n"
		"Multiple default values for table person column 0\n\n"
		"Table nobody not found");
	/* In V10 a bad default silences the table's other faults. */
	begin(10);
	TABLE(&d, .name = "person", .indexes = "btree i - 9", .default_hex = "00", .default_column = 0);
	refuse(&d,
		"Failed to deserialize default value for table person column 0: data too short for u64: Expected 8, given 1");
	begin(10);
	TABLE(&d, .name = "person", .default_hex = "00", .default_column = 2);
	refuse(&d, "column `2` referenced by def person not found in table `person`");
}
END_TEST

START_TEST(functions)
{
	begin(10);
	add_reducer(&d, "fooBar", "()");
	add_procedure(&d, "foo_bar", "()", "()");
	add_view(&d, "FooBar", 0, true, "()", "[&0]");
	refuse(&d, "Name foo_bar is used for multiple reducers, procedures and/or views");
	begin(10);
	add_reducer_returning(&d, "r", "()", "u8", "string");
	add_reducer_returning(&d, "q", "()", "()", "&0");
	refuse(&d, "reducer q has invalid return type: found Result<(), &0>\n\n"
		"reducer r has invalid return type: found Result<U8, String>");
}
END_TEST

START_TEST(http)
{
	begin(10);
	put_s(description_add(&d, D_HANDLERS), "aB");
	put_s(description_add(&d, D_HANDLERS), "a_b");
	refuse(&d, "HTTP handler name a_b is used for multiple HTTP handlers");
	begin(10);
	put_s(description_add(&d, D_HANDLERS), "h");
	add_route(&d, "h", 0, NULL, "x");
	add_route(&d, "h", 0, NULL, "/X");
	add_route(&d, "nope", 0, NULL, "/x");
	refuse(&d, "HTTP route path `/X` is invalid; allowed characters are ASCII lowercase letters, digits and `-_~/`\n\n"
		"HTTP route path `x` is invalid; allowed characters are ASCII lowercase letters, digits and `-_~/`\n\n"
		"HTTP route refers to unknown HTTP handler `nope`");
	begin(10);
	put_s(description_add(&d, D_HANDLERS), "h");
	add_route(&d, "h", 0, NULL, "/x");
	add_route(&d, "h", 2, NULL, "/x");
	add_route(&d, "h", 9, "A\"B", "/x");
	add_route(&d, "h", 9, "A\"B", "/x");
	add_route(&d, "h", 0, NULL, "/x");
	add_route(&d, "h", -1, NULL, "/x");
	add_route(&d, "h", 9, "B", "/xa"); /* another path and method than "/x" + "aB" */
	add_route(&d, "h", 0, NULL, "");
	refuse(&d, "HTTP route duplicates method Any for path /x\n\n"
		"HTTP route duplicates method Method(Get) for path /x\n\n"
		"HTTP route duplicates method Method(Extension(\"A\\\"B\")) for path /x");
}
END_TEST

static void add_child(const char *namespace, const char *reducer, int lifecycle)
{
	struct description child;
	description_init(&child, 10);
	if (reducer != NULL)
		add_reducer(&child, reducer, "()");
	if (lifecycle >= 0)
		add_lifecycle(&child, (enum module_lifecycle)lifecycle, reducer);
	add_submodule(&d, namespace, &child);
	description_deinit(&child);
}

START_TEST(submodules)
{
	char long_name[65];
	memset(long_name, 'a', 64);
	long_name[64] = '\0';
	begin(10);
	add_child("lib", "start", MODULE_INIT);
	add_child("lib", NULL, -1);
	add_child("a.b", NULL, -1);
	add_child(long_name, NULL, -1);
	refuse(&d, "name `lib` is used for multiple entities\n\n" BAD_CHAR("a.b", ".") "\n\n"
		"lifecycle event Init is not permitted in submodule under namespace `lib`; lifecycle reducers may only be "
		"declared in the root module\n\n"
		"submodule namespace `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is 64 bytes, which "
		"exceeds the 63-byte limit");
	/* Canonical forms clash as well, and accessors with those of the module's own things. */
	begin(10);
	add_child("myAuth", NULL, -1);
	add_child("my_auth", NULL, -1);
	refuse(&d, "name `my_auth` is used for multiple entities");
	begin(10);
	TABLE(&d, .name = "lib");
	add_procedure(&d, "lib", "()", "()");
	add_child("lib", NULL, -1);
	refuse(&d,
		"naming conflict between procedure `lib` and submodule namespace `lib`; a procedure cannot share its accessor "
		"name with a namespace mounted in the same module\n\n"
		"naming conflict between table `lib` and submodule namespace `lib`; a table cannot share its accessor name "
		"with a namespace mounted in the same module");
	/* Faults inside are told beside the parent's. */
	begin(10);
	add_child("lib", "1", -1);
	add_reducer(&d, "2", "()");
	refuse(&d, BAD_START("1", "1") "\n\n" BAD_START("2", "2"));
}
END_TEST

static void add_env(struct description *to, const char *name, int kind, const char *first, const char *second)
{
	struct buf *b = description_add(to, D_ENVIRONMENT);
	put_s(b, name);
	buf_put_u8(b, (uint8_t)kind);
	if (kind == 2)
		buf_put_u32(b, (first != NULL) + (second != NULL));
	if (first != NULL)
		put_s(b, first);
	if (second != NULL)
		put_s(b, second);
	buf_put_u8(b, 0);
}

START_TEST(environment)
{
	begin(10);
	add_env(&d, "1A", 0, NULL, NULL);
	refuse(&d, "invalid environment declaration: invalid name");
	begin(10);
	add_env(&d, "A", 0, NULL, NULL);
	add_env(&d, "A", 0, NULL, NULL);
	refuse(&d, "invalid environment declaration: environment key \"A\": duplicate declaration");
	begin(10);
	add_env(&d, "A", 2, NULL, NULL);
	refuse(&d, "invalid environment declaration: environment key \"A\": string union must not be empty");
	begin(10);
	for (int i = 0; i < 257; i++) {
		char name[16];
		snprintf(name, sizeof(name), "A%d", i);
		add_env(&d, name, 0, NULL, NULL);
	}
	refuse(&d, "invalid environment declaration: too many declarations");
	begin(10);
	struct description child;
	description_init(&child, 10);
	add_env(&child, "A", 0, NULL, NULL);
	add_submodule(&d, "lib", &child);
	description_deinit(&child);
	refuse(&d, "submodule \"lib\" cannot declare environment variables");
	begin(10);
	add_env(&d, "A", 2, "z", "a");
	add_env(&d, "_b", 1, "", NULL);
	struct module_def *def = accept(&d);
	const struct module_env *a = module_environment(def, STR("A")), *b = module_environment(def, STR("_b"));
	ck_assert(a->value_count == 2 && is(a->values[0], "a") && is(a->values[1], "z") && a->is_union);
	ck_assert(b->value_count == 1 && b->values[0].len == 0 && !b->is_union && !b->is_optional);
	ck_assert_ptr_null(module_environment(def, STR("C")));
	module_def_release(def);
}
END_TEST

static void add_outbox(const char *table, const char *remote, uint16_t target, const char *args, const char *on_result)
{
	struct buf *b = description_add(&d, D_OUTBOXES);
	put_s(b, table);
	put_s(b, remote);
	buf_put_u16(b, target);
	put_columns(b, args);
	put_optional_s(b, on_result);
	for (int i = 0; i < 32; i++)
		buf_put_u8(b, (uint8_t)i);
}

static void begin_outbox(const char *row)
{
	description_init(&d, 10);
	add_type(&d, "Out", row);
	TABLE(&d, .name = "out", .primary_key = "0", .indexes = "btree i - 0", .unique = "0");
}

START_TEST(outboxes)
{
	begin_outbox("(id:u64,to:identity,a:u8)");
	add_outbox("nope", "r", 1, "2", NULL);
	add_outbox("out", "r", 1, "2", NULL);
	add_outbox("out", "r", 1, "2", NULL);
	refuse(&d, "outbox table nope not found\n\ntable out is assigned in multiple outboxes");
	begin_outbox("(id:u32,to:identity)");
	add_outbox("out", "r", 1, "", NULL);
	refuse(&d, "outbox table out primary key must be u64, found U32");
	begin_outbox("(id:u64,to:u8)");
	add_outbox("out", "r", 1, "", NULL);
	refuse(&d, "outbox table out must have exactly one non-primary-key identity target column");
	begin_outbox("(id:u64,to:identity)");
	add_outbox("out", "r", 1, "7", NULL);
	refuse(&d, "outbox table out argument column 7 does not exist");
	begin_outbox("(id:u64,to:identity)");
	add_outbox("out", "a..b", 1, "0", NULL);
	refuse(&d, EMPTY);
	begin_outbox("(id:u64,to:identity)");
	add_outbox("out", "a.b", 1, "0", "c::d");
	refuse(&d,
		"on_result reducer c::d for outbox out must be an unqualified name in the same module; cross-module callbacks "
		"are not supported");
	begin_outbox("(id:u64,to:identity)");
	add_outbox("out", "a.b", 1, "0", "done");
	refuse(&d, "on_result reducer done for outbox out does not exist");
	begin_outbox("(id:u64,to:identity)");
	add_reducer(&d, "done", "(row:&0)");
	add_outbox("out", "a.b", 1, "0", "done");
	refuse(&d, "on_result reducer done for outbox out expected parameters (0: &0, 1: (ok: () | err: String)), but has "
		"(row: &0)");
	begin_outbox("(id:u64,to:identity,a:u8)");
	add_reducer(&d, "whenDone", "(row:&0,result:R((),string))");
	add_outbox("out", "a.b", 1, "2", "whenDone");
	struct module_def *def = accept(&d);
	const struct module_outbox *outbox = module_table(def, STR("out"))->outbox;
	ck_assert(is(outbox->remote_reducer, "a.b") && is(outbox->on_result, "when_done") && outbox->target_column == 1);
	ck_assert(outbox->arguments.count == 1 && outbox->arguments.at[0] == 2 && outbox->signature_hash[31] == 31);
	ck_assert(is(module_def_info(def)->unsupported, "outboxes") && module_def_info(def)->reducers[0].is_private);
	module_def_release(def);
}
END_TEST

START_TEST(index_without_source)
{
	/* The reference stops here. */
	begin(10);
	TABLE(&d, .name = "person", .indexes = "btree - - 0");
	refuse(&d, "index person_id_idx_btree of table `person` has no source name");
}
END_TEST

START_TEST(clash_withdraws_the_rest)
{
	/* A table whose own name clashes is told about that alone. */
	begin_keyed(10);
	TABLE(&d, .name = "person", .indexes = "btree other - 9");
	refuse(&d, "name `person` is used for multiple entities");
	/* Not so in V9. */
	begin(9);
	TABLE(&d, .name = "person");
	TABLE(&d, .name = "person", .indexes = "btree other - 9");
	refuse(&d, "name `person` is used for multiple entities\n\n"
		"column `9` referenced by def other not found in table `person`");
}
END_TEST

START_TEST(very_many_faults)
{
	/* More than are kept: still an answer of bounded size, still sorted. */
	begin(10);
	for (int i = 0; i < 3 * MODULE_FAULTS_MAX; i++)
		TABLE(&d, .name = "x", .ref = 1000 + (uint32_t)i);
	struct buf bytes, errors;
	buf_init(&bytes, 1 << 26);
	buf_init(&errors, 1 << 26);
	description_put(&d, &bytes);
	struct module_def *def = NULL;
	ck_assert_int_eq(module_def_create(bytes.data, bytes.len, &def, &errors), WL_ERR_INVALID);
	ck_assert_uint_lt(errors.len, MODULE_FAULT_TEXT_BYTES_MAX);
	ck_assert_ptr_nonnull(strstr(buf_text(&errors), "&1000\n\nTable x has invalid product_type_ref &1001\n\n"));
	buf_deinit(&bytes);
	buf_deinit(&errors);
	description_deinit(&d);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		names_in_one_namespace, type_names, lifecycles, identifiers, columns, type_ordering, column_references,
		duplicate_columns, primary_keys, direct_indexes, sequences, views, view_keys, type_references, schedules,
		codegen, endless_ref_of_the_kit, reserved_tables, defaults, functions, http, submodules, environment, outboxes,
		index_without_source, clash_withdraws_the_rest, very_many_faults,
	};
	Suite *suite = suite_create("module_validate");
	TCase *tcase = tcase_create("faults");
	for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
