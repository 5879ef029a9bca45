/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance kit's prober modules, when the kit is there: WORLDLINE_CONFORMANCE names its folder. What needs a
 * whole host is played there; here: that they are accepted, and what runs before the first call.
 */
#include "unit/runtime_fixture.h"

static bool load_prober(struct fixture *f, const char *name, struct buf *description)
{
	const char *kit = getenv("WORLDLINE_CONFORMANCE");
	if (kit == NULL)
		return false;
	char path[1024];
	snprintf(path, sizeof(path), "%s/abi/modules/%s.wasm", kit, name);
	struct buf code = file_read(path);
	enum wl_err err = compile_bytes(f, buf_bytes(&code));
	buf_deinit(&code);
	ck_assert_msg(err == WL_OK, "%s", buf_text(&f->error));
	err = runtime_instance_create(f->program, &f->env, description, &f->instance, &f->error);
	ck_assert_msg(err == WL_OK, "%s", buf_text(&f->error));
	return true;
}

/* Goal: all variants are accepted and describe themselves in the newest form (tag 2). */
START_TEST(probers_are_accepted)
{
	static const char *const names[] = { "prober", "prober_life", "prober_early", "prober_noexports" };
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		struct fixture f;
		fixture_init(&f, NULL);
		struct buf description = BUF_INIT(1 << 20);
		if (load_prober(&f, names[i], &description)) {
			ck_assert_uint_gt(description.len, 1000);
			ck_assert_uint_eq(description.data[0], 2);
		}
		buf_deinit(&description);
		fixture_deinit(&f);
	}
}
END_TEST

/*
 * Goal: host calls before the first call answer as recorded (kit abi/early): no transaction, no handles; one that the
 * guest opens itself can be aborted; identity and timers work.
 */
START_TEST(early_host_calls_answer_as_recorded)
{
	struct fixture f;
	fixture_init(&f, NULL);
	if (load_prober(&f, "prober_early", NULL)) {
		struct buf expected = BUF_INIT(1 << 16), got = BUF_INIT(1 << 16);
		static const char *const steps[] = { "INIT", "P0", "P1:", "P2:", "P3", "P4", "S:", "M:" };
		char identity[65];
		hex_encode(f.env.database_identity.le, 32, identity);
		for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
			buf_printf(&expected, "2|-|-|-|-|%s", steps[i]);
			if (strchr(steps[i], ':') != NULL)
				buf_printf(&expected, "02000000020000000200000002000000020000000200000002000000020000000600000006000000"
					"080000000200000000000000000000001200000000000000%s010000000007000000", identity);
			buf_put_u8(&expected, '\n');
		}
		char *line = (char *)(uintptr_t)buf_text(&f.log);
		for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
			if (strncmp(line, "2|-|-|-|-|Timing span ", 22) != 0)
				buf_put(&got, line, (size_t)(end + 1 - line));
		ck_assert_str_eq(buf_text(&got), buf_text(&expected));
		buf_deinit(&expected);
		buf_deinit(&got);
	}
	fixture_deinit(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runtime_kit");
	TCase *tests = tcase_create("kit");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, probers_are_accepted);
	tcase_add_test(tests, early_host_calls_answer_as_recorded);
	suite_add_tcase(suite, tests);
	return run_guest_suite(suite);
}
