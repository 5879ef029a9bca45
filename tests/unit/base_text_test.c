/* SPDX-License-Identifier: Apache-2.0 */
/* Texts as the reference's language prints them. */
#include "base/text.h"
#include "unit/run_suite.h"

static void lossy(const char *in, size_t len, const char *expected)
{
	struct buf scratch = BUF_INIT(1000);
	struct str out;
	ck_assert(text_lossy((struct bytes){ (const uint8_t *)in, len }, &scratch, &out));
	ck_assert_msg(str_eq(out, str_of(expected)), "got %.*s, expected %s", STR_FMT(out), expected);
	buf_deinit(&scratch);
}
#define LOSSY(in, expected) lossy(in, sizeof(in) - 1, expected)
#define BAD "\xef\xbf\xbd"

/* Goal: one replacement for each maximal ill-formed part (the examples of the Unicode standard, table 3-8 and on). */
START_TEST(bad_utf8_is_replaced)
{
	LOSSY("", "");
	LOSSY("plain €", "plain €");
	LOSSY("a\xff\xfe" "b\xc3", "a" BAD BAD "b" BAD);
	LOSSY("\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64", "a" BAD BAD BAD "b" BAD "c" BAD BAD "d");
	LOSSY("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", BAD BAD BAD BAD BAD BAD BAD BAD "A");
	LOSSY("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", BAD BAD BAD BAD BAD BAD BAD BAD "A");
	LOSSY("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", BAD BAD BAD BAD BAD "A" BAD BAD "B");
	LOSSY("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", BAD BAD BAD BAD "A");
}
END_TEST

/* Goal: text that cannot be kept is refused, not cut. */
START_TEST(too_much_text_is_refused)
{
	struct buf scratch = BUF_INIT(5);
	struct str out;
	ck_assert(!text_lossy((struct bytes){ (const uint8_t *)"\xff\xff", 2 }, &scratch, &out));
	buf_deinit(&scratch);
}
END_TEST

static void debug(struct str in, const char *expected)
{
	struct buf out = BUF_INIT(1000);
	text_put_debug_str(&out, in);
	ck_assert_str_eq(buf_text(&out), expected);
	buf_deinit(&out);
}

START_TEST(debug_strings)
{
	debug(STR(""), "\"\"");
	debug(STR("span"), "\"span\"");
	debug(STR("q\"\\\n€'"), "\"q\\\"\\\\\\n€'\"");
	debug(STR("\t\r\0\x1b\x7f"), "\"\\t\\r\\0\\u{1b}\\u{7f}\"");
	debug(STR("\xc2\x85\xe2\x80\x8b\xf0\x9f\x98\x80"), "\"\\u{85}\\u{200b}\xf0\x9f\x98\x80\"");
}
END_TEST

static void duration(uint64_t nanos, const char *expected)
{
	struct buf out = BUF_INIT(100);
	text_put_debug_duration(&out, nanos);
	ck_assert_str_eq(buf_text(&out), expected);
	buf_deinit(&out);
}

START_TEST(debug_durations)
{
	duration(0, "0ns");
	duration(999, "999ns");
	duration(1000, "1µs");
	duration(1230, "1.23µs");
	duration(1000000, "1ms");
	duration(1234567, "1.234567ms");
	duration(100100000, "100.1ms");
	duration(1000000000, "1s");
	duration(1000000001, "1.000000001s");
	duration(61500000000, "61.5s");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base_text");
	TCase *tests = tcase_create("texts");
	tcase_add_test(tests, bad_utf8_is_replaced);
	tcase_add_test(tests, too_much_text_is_refused);
	tcase_add_test(tests, debug_strings);
	tcase_add_test(tests, debug_durations);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
