/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line prints: values as SATN, tables, updates of a subscription, names that were meant. */
#include "cli/grid.h"
#include "cli/satn.h"
#include "cli/similar.h"
#include "cli/updates.h"
#include "unit/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

static struct cli cli;

static void setup(void)
{
	cli_init(&cli, "worldline");
}

static void teardown(void)
{
	cli_deinit(&cli);
}

static struct native_json parse(const char *json)
{
	struct native_json doc = { 0 };
	char why[256];
	int failed = native_json_parse(json, strlen(json), &doc, why, sizeof(why));
	ck_assert_msg(failed == 0, "%s: %s", json, why);
	return doc;
}

/* The SATN of a value, "!" when it is refused. */
static const char *satn(const char *type_json, const char *value_json)
{
	static char shown[4096];
	struct native_json type_doc = parse(type_json), doc = parse(value_json);
	struct buf out = BUF_INIT(sizeof(shown) - 1);
	struct error error;
	uint32_t node = 0;
	const struct sats_type *type = cli_type_parse(&cli, &type_doc, 0);
	ck_assert_msg(type != NULL, "%s", type_json);
	enum wl_err err = cli_satn_write(&out, type, &doc, &node, &error);
	if (err == WL_OK)
		ck_assert_uint_eq(node, doc.node_count);
	snprintf(shown, sizeof(shown), "%s", err == WL_OK ? buf_text(&out) : "!");
	buf_deinit(&out);
	native_json_free(&type_doc);
	native_json_free(&doc);
	return shown;
}

#define UNIT "{\"Product\":{\"elements\":[]}}"
#define NAMED(name, type) "{\"name\":{\"some\":\"" name "\"},\"algebraic_type\":" type "}"
#define PRODUCT(elements) "{\"Product\":{\"elements\":[" elements "]}}"
#define SUM(variants) "{\"Sum\":{\"variants\":[" variants "]}}"
#define IDENTITY PRODUCT(NAMED("__identity__", "{\"U256\":[]}"))
#define UUID PRODUCT(NAMED("__uuid__", "{\"U128\":[]}"))
#define DURATION PRODUCT(NAMED("__time_duration_micros__", "{\"I64\":[]}"))
#define OPTION(type) SUM(NAMED("some", type) "," NAMED("none", UNIT))

/* Goal: numbers keep every digit and never show an exponent. */
START_TEST(numbers)
{
	static const struct {
		const char *type, *value, *shown;
	} cases[] = {
		{ "{\"U8\":[]}", "255", "255" }, { "{\"I128\":[]}", "-170141183460469231731687303715884105728",
			"-170141183460469231731687303715884105728" },
		{ "{\"U256\":[]}", "\"0x10000000000000000\"", "18446744073709551616" },
		{ "{\"I256\":[]}", "\"-0xff\"", "-255" },
		{ "{\"U64\":[]}", "1.5", "!" }, { "{\"U64\":[]}", "1e3", "!" }, { "{\"U64\":[]}", "\"1\"", "!" },
		{ "{\"F64\":[]}", "0.1", "0.1" }, { "{\"F64\":[]}", "1e21", "1000000000000000000000" },
		{ "{\"F64\":[]}", "1.25e-10", "0.000000000125" }, { "{\"F64\":[]}", "-0.0", "-0" },
		{ "{\"F64\":[]}", "0", "0" },
		{ "{\"F64\":[]}", "5.0", "5" }, { "{\"F64\":[]}", "100.5", "100.5" }, { "{\"F64\":[]}", "10", "10" },
		{ "{\"F64\":[]}", "null", "null" }, { "{\"F64\":[]}", "1e999", "!" }, { "{\"F64\":[]}", "\"x\"", "!" },
		{ "{\"F32\":[]}", "594806.56", "594806.56" }, { "{\"F32\":[]}", "0.1", "0.1" },
		{ "{\"F32\":[]}", "3.4028235e38", "340282350000000000000000000000000000000" },
		{ "{\"F32\":[]}", "1e-45", "0.000000000000000000000000000000000000000000001" },
		{ "{\"Bool\":[]}", "false", "false" }, { "{\"Bool\":[]}", "0", "!" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		ck_assert_str_eq(satn(cases[i].type, cases[i].value), cases[i].shown);
}
END_TEST

/* Goal: products, sums, arrays and special types in both shapes of SATS-JSON; what does not fit is refused. */
START_TEST(structures)
{
	static const char point[] = PRODUCT(NAMED("x", "{\"I32\":[]}") "," NAMED("y", "{\"I32\":[]}"));
	static const char shape[] = SUM(NAMED("circle", "{\"F64\":[]}") "," NAMED("nothing", UNIT));
	ck_assert_str_eq(satn(point, "[1,-2]"), "(x = 1, y = -2)");
	ck_assert_str_eq(satn(point, "{\"x\":1,\"y\":-2}"), "(x = 1, y = -2)");
	ck_assert_str_eq(satn(point, "{\"y\":1,\"x\":-2}"), "!");
	ck_assert_str_eq(satn(point, "[1]"), "!");
	ck_assert_str_eq(satn(PRODUCT("{\"name\":{\"none\":[]},\"algebraic_type\":{\"U8\":[]}}"), "[1]"), "(col_0 = 1)");
	ck_assert_str_eq(satn(UNIT, "[]"), "()");
	ck_assert_str_eq(satn(UNIT, "{}"), "()");
	ck_assert_str_eq(satn(shape, "[0,1.5]"), "(circle = 1.5)");
	ck_assert_str_eq(satn(shape, "{\"nothing\":[]}"), "(nothing = ())");
	ck_assert_str_eq(satn(shape, "[2,[]]"), "!");
	ck_assert_str_eq(satn(shape, "{\"other\":[]}"), "!");
	ck_assert_str_eq(satn(shape, "{}"), "!");
	ck_assert_str_eq(satn(shape, "[]"), "!");
	ck_assert_str_eq(satn(shape, "null"), "!");
	ck_assert_str_eq(satn(OPTION("{\"U8\":[]}"), "[1,[]]"), "(none = ())");
	ck_assert_str_eq(satn("{\"Array\":{\"U8\":[]}}", "\"00FF\""), "0x00FF");
	ck_assert_str_eq(satn("{\"Array\":{\"U8\":[]}}", "\"0\""), "!");
	ck_assert_str_eq(satn("{\"Array\":{\"U8\":[]}}", "\"zz\""), "!");
	ck_assert_str_eq(satn("{\"Array\":{\"U16\":[]}}", "[1,2]"), "[1, 2]");
	ck_assert_str_eq(satn("{\"String\":[]}", "\"a\\\"b\\n\""), "\"a\"b\n\"");
	ck_assert_str_eq(satn(IDENTITY, "[\"0xff\"]"),
		"0x00000000000000000000000000000000000000000000000000000000000000ff");
	ck_assert_str_eq(satn(IDENTITY, "[\"ff\"]"), "!");
	ck_assert_str_eq(satn(OPTION(UUID), "[0,[1]]"), "(some = (__uuid__ = \"00000000-0000-0000-0000-000000000001\"))");
	ck_assert_str_eq(satn(DURATION, "[-1]"), "-0.000001");
	ck_assert_str_eq(satn(DURATION, "[-9223372036854775808]"), "-9223372036854.775808");
}
END_TEST

/* Goal: types that nest too deeply or are none are refused, not followed. */
START_TEST(hostile_types)
{
	static const char *const wrong[] = { "{}", "[]", "{\"Nope\":[]}", "{\"Ref\":-1}", "{\"Ref\":4294967296}",
		"{\"Product\":[]}", "{\"Product\":{\"elements\":[{}]}}", "{\"U8\":[],\"U16\":[]}" };
	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
		struct native_json doc = parse(wrong[i]);
		ck_assert_msg(cli_type_parse(&cli, &doc, 0) == NULL, "%s", wrong[i]);
		native_json_free(&doc);
	}
}
END_TEST

static const char *grid(enum cli_grid_style style, bool right, uint32_t columns, const char *const *cells, size_t count)
{
	static char shown[4096];
	struct cli_grid g;
	struct buf out = BUF_INIT(sizeof(shown) - 1);
	cli_grid_init(&g, columns, style);
	g.right_first = right;
	for (size_t i = 0; i < count; i++)
		cli_grid_cell(&g, str_of(cells[i]));
	cli_grid_put(&out, &g);
	ck_assert(!out.failed);
	snprintf(shown, sizeof(shown), "%s", buf_text(&out));
	buf_deinit(&out);
	cli_grid_deinit(&g);
	return shown;
}
#define GRID(style, right, columns, ...) \
	grid(style, right, columns, (const char *const[]){ __VA_ARGS__ }, \
		ARRAY_COUNT(((const char *const[]){ __VA_ARGS__ })))

/* Goal: the layout of psql, by widths of a terminal; cells of several lines; no columns at all. */
START_TEST(tables)
{
	ck_assert_str_eq(GRID(CLI_GRID_PSQL, false, 2, "id", "name", "1", "\"Ada\"", "10", ""),
		" id | name  \n----+-------\n 1  | \"Ada\" \n 10 |       ");
	ck_assert_str_eq(GRID(CLI_GRID_PSQL, false, 1, "a"), " a \n---");
	ck_assert_str_eq(GRID(CLI_GRID_PSQL, false, 2, "a", "b", "x\nyy\n", "1"),
		" a  | b \n----+---\n x  | 1 \n yy |   \n    |   ");
	ck_assert_str_eq(GRID(CLI_GRID_PLAIN, true, 2, "HEAD", "B", "*", "long"), " HEAD  B    \n    *  long ");
	ck_assert_str_eq(GRID(CLI_GRID_PSQL, false, 1, "\xe6\xbc\xa2\xe5\xad\x97", "e\xcc\x81", "12345"),
		" \xe6\xbc\xa2\xe5\xad\x97  \n-------\n e\xcc\x81     \n 12345 ");
	ck_assert_str_eq(GRID(CLI_GRID_PSQL, false, 0, "unused"), "");
	ck_assert_uint_eq(cli_text_width(STR("\xf0\x9f\xaa\x90")), 2);
	ck_assert_uint_eq(cli_text_width(STR("\x1b[1m")), 3);
}
END_TEST

static uint32_t similar(const char *name, const char *const *names, uint32_t count)
{
	struct str list[16];
	for (uint32_t i = 0; i < count; i++)
		list[i] = str_of(names[i]);
	return cli_similar_find(list, count, str_of(name));
}
#define SIMILAR(name, ...) \
	similar(name, (const char *const[]){ __VA_ARGS__ }, ARRAY_COUNT(((const char *const[]){ __VA_ARGS__ })))

/* Goal: the distance counts swaps once; the best of the close names wins, then other orders of words. */
START_TEST(similar_names)
{
	ck_assert_uint_eq(cli_edit_distance(STR(""), STR("abc")), 3);
	ck_assert_uint_eq(cli_edit_distance(STR("kitten"), STR("sitting")), 3);
	ck_assert_uint_eq(cli_edit_distance(STR("ab"), STR("ba")), 1);
	ck_assert_uint_eq(cli_edit_distance(STR("ca"), STR("abc")), 3); /* restricted: no edits within a swap */
	ck_assert_uint_eq(cli_edit_distance(STR("same"), STR("same")), 0);
	ck_assert_uint_eq(SIMILAR("ADD", "add", "ADDS"), 0);
	ck_assert_uint_eq(SIMILAR("remov", "rename", "remove"), 1);
	ck_assert_uint_eq(SIMILAR("ad", "add", "bad"), 0);
	ck_assert_uint_eq(SIMILAR("person_add", "remove_person", "add_person"), 1);
	ck_assert_uint_eq(SIMILAR("zzz", "add"), UINT32_MAX);
	ck_assert_uint_eq(cli_similar_find(NULL, 0, STR("x")), UINT32_MAX);
}
END_TEST

/* ---- updates ---- */

static const char schema_json[] = "{\"sections\":[{\"Typespace\":{\"types\":[" PRODUCT(NAMED("id", "{\"U32\":[]}") ","
	NAMED("name", "{\"String\":[]}")) "," PRODUCT(NAMED("n", "{\"U32\":[]}")) "]}},{\"Tables\":["
	"{\"source_name\":\"Person\",\"product_type_ref\":0},{\"source_name\":\"hit\",\"product_type_ref\":1}]},"
	"{\"Views\":[{\"source_name\":\"mine\",\"return_type\":{\"Array\":{\"Ref\":1}}}]},"
	"{\"Reducers\":[{\"source_name\":\"addIt\",\"params\":{\"elements\":[]}},"
	"{\"source_name\":\"init\",\"params\":{\"elements\":[]}}]},"
	"{\"LifeCycleReducers\":[{\"lifecycle_spec\":{\"Init\":[]},\"function_name\":\"init\"}]},"
	"{\"ExplicitNames\":{\"entries\":[{\"Table\":{\"source_name\":\"Person\",\"canonical_name\":\"person\"}}]}},"
	"{\"Submodules\":[{\"namespace\":\"Lib\",\"module\":{\"sections\":[{\"Typespace\":{\"types\":[" PRODUCT("") "]}},"
	"{\"Tables\":[{\"source_name\":\"t\",\"product_type_ref\":0}]},"
	"{\"Procedures\":[{\"source_name\":\"ask\",\"params\":{\"elements\":[]}}]}]}}]}]}";

/* Messages of client-protocol.md section 4.1. */
#define ROW_AL "0a000000" "01000000" "02000000" "416c"
#define ROW_CY "0a000000" "03000000" "02000000" "4379"
#define APPLIED "01" "00000000" "00000000" "01000000" "06000000" "706572736f6e" "01" "02000000" "0000000000000000" \
	"0a00000000000000" "15000000" "01000000" "02000000" "416c" "02000000" "03000000" "426f62"
#define UPDATE "04" "01000000" "00000000" "01000000" "06000000" "706572736f6e" "01000000" "00" "00" "0a00" ROW_CY \
	"00" "0a00" ROW_AL
#define EVENTS "04" "01000000" "00000000" "01000000" "03000000" "686974" "01000000" "01" "00" "0400" "08000000" \
	"09000000" "0a000000"
#define FIRST "00" "1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100c2" \
	"0f0e0d0c0b0a09080706050403020100" "03000000" "746f6b"
#define ERROR_BAD "03" "00" "00000000" "00000000" "03000000" "626164"

static bool take(struct cli_updates *updates, const char *hex, struct buf *out)
{
	uint8_t data[1024];
	size_t len = strlen(hex) / 2;
	ck_assert_uint_le(len, sizeof(data));
	ck_assert(hex_decode(str_of(hex), data, len));
	return cli_updates_take(updates, data, len, out);
}

static void open_updates(struct cli_updates *updates, struct cli_schema *schema)
{
	ck_assert(cli_schema_parse(&cli, str_of(schema_json), 10, schema));
	cli_updates_init(updates, &cli, schema);
}

/* Goal: names are canonical and dotted, lifecycle reducers are marked, rows of tables and views have types. */
START_TEST(schemas)
{
	struct cli_schema schema;
	ck_assert(cli_schema_parse(&cli, str_of(schema_json), 10, &schema));
	ck_assert_ptr_nonnull(cli_schema_table(&schema, STR("person")));
	ck_assert_ptr_null(cli_schema_table(&schema, STR("Person")));
	ck_assert_ptr_nonnull(cli_schema_table(&schema, STR("lib.t")));
	ck_assert_ptr_nonnull(cli_schema_table(&schema, STR("mine"))->row);
	ck_assert(cli_schema_table(&schema, STR("mine"))->view);
	ck_assert(!cli_schema_function(&schema, STR("add_it"))->lifecycle);
	ck_assert(cli_schema_function(&schema, STR("init"))->lifecycle);
	ck_assert(cli_schema_function(&schema, STR("lib.ask"))->procedure);
	cli_schema_deinit(&schema);
	static const char v9[] = "{\"typespace\":{\"types\":[" PRODUCT(NAMED("id", "{\"U32\":[]}")) "]},\"tables\":["
		"{\"name\":\"person\",\"product_type_ref\":0}],\"reducers\":[{\"name\":\"init\",\"params\":{\"elements\":[]},"
		"\"lifecycle\":{\"some\":{\"Init\":[]}}}],\"misc_exports\":[{\"Procedure\":{\"name\":\"ask\",\"params\":"
		"{\"elements\":[]}}}]}";
	ck_assert(cli_schema_parse(&cli, str_of(v9), 9, &schema));
	ck_assert_ptr_nonnull(cli_schema_table(&schema, STR("person"))->row);
	ck_assert(cli_schema_function(&schema, STR("init"))->lifecycle);
	ck_assert(cli_schema_function(&schema, STR("ask"))->procedure);
	cli_schema_deinit(&schema);
	static const char *const wrong[] = { "", "{}", "[]", "{\"sections\":[{\"Tables\":[{}]}]}",
		"{\"sections\":[{\"Reducers\":[{\"source_name\":\"x\"}]}]}", "{\"sections\":[{\"Submodules\":[{}]}]}",
		"{\"sections\":[{\"Typespace\":{\"types\":[{\"Nope\":[]}]}}]}" };
	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
		ck_assert_msg(!cli_schema_parse(&cli, str_of(wrong[i]), 10, &schema), "%s", wrong[i]);
}
END_TEST

/* Goal: the recorded messages become the lines that they stand for; several messages in one payload. */
START_TEST(updates_as_lines)
{
	struct cli_schema schema;
	struct cli_updates updates;
	struct buf out = BUF_INIT(4096);
	open_updates(&updates, &schema);
	updates.print_initial = updates.limited = true;
	updates.wanted = 2;
	ck_assert(take(&updates, "00" FIRST APPLIED, &out));
	ck_assert_str_eq(buf_text(&out),
		"{\"person\":{\"deletes\":[],\"inserts\":[{\"id\":1,\"name\":\"Al\"},{\"id\":2,\"name\":\"Bob\"}]}}\n");
	buf_clear(&out);
	ck_assert(!cli_updates_done(&updates));
	ck_assert(take(&updates, "00" UPDATE EVENTS UPDATE, &out)); /* the third is one too many */
	ck_assert_str_eq(buf_text(&out), "{\"person\":{\"deletes\":[{\"id\":1,\"name\":\"Al\"}],"
		"\"inserts\":[{\"id\":3,\"name\":\"Cy\"}]}}\n{\"hit\":{\"deletes\":[],\"inserts\":[{\"n\":9},{\"n\":10}]}}\n");
	ck_assert(cli_updates_done(&updates));
	buf_deinit(&out);
	cli_updates_deinit(&updates);
	cli_schema_deinit(&schema);
}
END_TEST

/* Goal: messages out of order, cut anywhere, or with rows that do not fit are refused. */
START_TEST(updates_that_are_wrong)
{
	static const char *const wrong[] = { "", "01", "00" "09", "00" UPDATE, "00" APPLIED APPLIED, "00" ERROR_BAD,
		"00" "01" "00000000" "00000000" "01000000" "04000000" "6e6f7065" "00" "0000" "00000000", /* no such table */
		"00" "01" "00000000" "00000000" "01000000" "06000000" "706572736f6e" "00" "0100" "01000000"
			"00", /* a row of one byte */
		"00" "01" "00000000" "00000000" "01000000" "06000000" "706572736f6e" "02", /* unknown hint */
		"00" "01" "00000000" "00000000" "01000000" "06000000" "706572736f6e" "01"
			"ffffffff", /* offsets that are not there */
		"00" "01" "00000000" "00000000" "01000000" "06000000" "706572736f6e" "01" "01000000"
			"ff00000000000000" "00000000",
		"00" "01" "00000000" "00000000" "ffffffff" };
	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
		struct cli_schema schema;
		struct cli_updates updates;
		struct buf out = BUF_INIT(4096);
		open_updates(&updates, &schema);
		ck_assert_msg(!take(&updates, wrong[i], &out), "%s", wrong[i]);
		ck_assert_uint_gt(cli.error_count, 0);
		buf_deinit(&out);
		cli_updates_deinit(&updates);
		cli_schema_deinit(&schema);
	}
	static const char whole[] = "00" FIRST APPLIED UPDATE;
	for (size_t len = 2; len + 2 < sizeof(whole); len += 2) {
		struct cli_schema schema;
		struct cli_updates updates;
		struct buf out = BUF_INIT(4096);
		char cut[sizeof(whole)];
		snprintf(cut, sizeof(cut), "%.*s", (int)len, whole);
		open_updates(&updates, &schema);
		bool border = len == strlen("00" FIRST) || len == strlen("00" FIRST APPLIED);
		ck_assert_msg(take(&updates, cut, &out) == border, "%zu", len);
		buf_deinit(&out);
		cli_updates_deinit(&updates);
		cli_schema_deinit(&schema);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli_output");
	TCase *tests = tcase_create("all");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, numbers);
	tcase_add_test(tests, structures);
	tcase_add_test(tests, hostile_types);
	tcase_add_test(tests, tables);
	tcase_add_test(tests, similar_names);
	tcase_add_test(tests, schemas);
	tcase_add_test(tests, updates_as_lines);
	tcase_add_test(tests, updates_that_are_wrong);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
