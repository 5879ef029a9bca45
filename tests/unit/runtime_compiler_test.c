/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling in a process of its own (this test is its own compiler), also of programs that cost far more than they
 * weigh. */
#include "unit/runtime_fixture.h"

#include "base/clock.h"
#include "base/thread.h"

#include <unistd.h>

static struct fixture f;

static void start(const char *compiler)
{
	struct runtime_options options = { .call_ms_max = UINT32_MAX, .compiler = compiler };
	fixture_init(&f, &options);
}

static void put_uleb(struct buf *out, uint32_t n)
{
	for (; n > 0x7f; n >>= 7)
		buf_put_u8(out, (uint8_t)(n | 0x80));
	buf_put_u8(out, (uint8_t)n);
}

static void put_section(struct buf *out, uint8_t id, const struct buf *body)
{
	buf_put_u8(out, id);
	put_uleb(out, (uint32_t)body->len);
	buf_put(out, body->data, body->len);
}

/* One function: loops inside loops that all use the same thousand locals. Hours of work from half a megabyte. */
static struct buf bomb(uint32_t depth)
{
	struct buf out = BUF_INIT(1 << 24), code = BUF_INIT(1 << 24), section = BUF_INIT(1 << 24);
	buf_put(&code, "\x01\xe8\x07\x7f", 4); /* 1,000 i32 */
	for (uint32_t i = 0; i < depth; i++)
		buf_put(&code, "\x03\x40\x20\x00\x21\x01", 6); /* loop, local.get 0, local.set 1 */
	for (uint32_t i = 0; i <= depth; i++)
		buf_put_u8(&code, 0x0b);
	put_uleb(&section, 1);
	put_uleb(&section, (uint32_t)code.len);
	buf_put(&section, code.data, code.len);
	buf_put(&out, "\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0", 18); /* one type, one function */
	put_section(&out, 10, &section);
	buf_deinit(&code);
	buf_deinit(&section);
	return out;
}

/* Goal: what the other process compiles runs here. */
START_TEST(programs_run)
{
	start("/proc/self/exe");
	must_load(&f, "script");
	fixture_deinit(&f);
}
END_TEST

/* Goal: a publisher reads the same, wherever his program was refused. */
START_TEST(refusals_read_the_same)
{
	static const char *const programs[] = { "", "\0asm", "\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\x0a\5\1\3\0\x1a\x0b" };
	static const size_t sizes[] = { 0, 4, 25 };
	for (size_t i = 0; i < ARRAY_COUNT(programs); i++) {
		struct bytes code = { (const uint8_t *)programs[i], sizes[i] };
		start(NULL);
		ck_assert_int_eq(compile_bytes(&f, code), WL_ERR_INVALID);
		struct buf here = BUF_INIT(1 << 16);
		buf_put(&here, f.error.data, f.error.len);
		fixture_deinit(&f);
		start("/proc/self/exe");
		ck_assert_int_eq(compile_bytes(&f, code), WL_ERR_INVALID);
		ck_assert_str_eq(buf_text(&f.error), buf_text(&here));
		fixture_deinit(&f);
		buf_deinit(&here);
	}
}
END_TEST

START_TEST(a_missing_compiler_is_an_error)
{
	start("/nowhere/compiler");
	ck_assert_int_eq(load_guest(&f, "script"), WL_ERR_IO);
	ck_assert_str_eq(buf_text(&f.error), "the compiler cannot be started: No such file or directory");
	fixture_deinit(&f);
	start("/bin/false"); /* ends without a word */
	ck_assert_int_eq(load_guest(&f, "script"), WL_ERR_INVALID);
	fixture_deinit(&f);
}
END_TEST

struct job {
	uint32_t depth;
	enum wl_err err;
	char text[64];
};

static void compile_bomb(void *arg)
{
	struct job *job = arg;
	struct buf code = bomb(job->depth), error = BUF_INIT(1 << 16);
	struct runtime_program *program = NULL;
	uint8_t hash[32];
	native_keccak256(code.data, code.len, hash);
	job->err = runtime_compile(f.runtime, RUNTIME_WASM, buf_bytes(&code), hash, &program, &error);
	snprintf(job->text, sizeof(job->text), "%s", buf_text(&error));
	runtime_program_release(program);
	buf_deinit(&code);
	buf_deinit(&error);
}

/* Goal: others are compiled meanwhile, and a runtime that is to end does not wait: neither for what is being compiled
 * nor for those that wait for their turn. */
START_TEST(bombs_do_not_hold_anybody)
{
	enum { BOMBS = 6 };
	pthread_t threads[BOMBS];
	struct job jobs[BOMBS] = { 0 };
	start("/proc/self/exe");
	jobs[0].depth = 50000;
	ck_assert(thread_start(&threads[0], "bomb", THREAD_STACK_GUEST, compile_bomb, &jobs[0]));
	must_load(&f, "script");
	for (uint32_t i = 1; i < BOMBS; i++) {
		jobs[i].depth = 50000 + i; /* another program */
		ck_assert(thread_start(&threads[i], "bomb", THREAD_STACK_GUEST, compile_bomb, &jobs[i]));
	}
	usleep(500000);
	uint64_t begin = clock_mono_nanos();
	runtime_interrupt(f.runtime);
	for (uint32_t i = 0; i < BOMBS; i++) {
		thread_join(threads[i]);
		ck_assert_int_eq(jobs[i].err, WL_ERR_UNAVAILABLE);
		ck_assert_str_eq(jobs[i].text, "the host is stopping");
	}
	ck_assert_uint_lt(clock_mono_nanos() - begin, 3000000000u);
	ck_assert_int_eq(load_guest(&f, "plain"), WL_ERR_UNAVAILABLE);
	fixture_deinit(&f);
}
END_TEST

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], RUNTIME_COMPILER_ARGUMENT) == 0)
		return runtime_compiler_main();
	Suite *suite = suite_create("runtime_compiler");
	TCase *group = tcase_create("all");
	tcase_set_timeout(group, 60);
	if (guests_ready())
		tcase_add_test(group, programs_run);
	tcase_add_test(group, refusals_read_the_same);
	tcase_add_test(group, a_missing_compiler_is_an_error);
	tcase_add_test(group, bombs_do_not_hold_anybody);
	suite_add_tcase(suite, group);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
