/* SPDX-License-Identifier: Apache-2.0 */
/* Which modules are accepted, what a publisher is told about others, sharing, and the cache of compiled code. */
#include "unit/runtime_fixture.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static void refused(const char *name, const char *text)
{
	struct fixture f;
	fixture_init(&f, NULL);
	enum wl_err err = load_guest(&f, name);
	ck_assert_msg(err == WL_ERR_INVALID, "%s: code %d", name, err);
	ck_assert_str_eq(buf_text(&f.error), text);
	fixture_deinit(&f);
}

/* Goal: the texts of module-abi.md 2.1, which a publisher sees. */
START_TEST(wrong_modules_are_refused_with_the_known_texts)
{
	refused("no_imports", "unable to determine ABI of module (may be on an spacetime version < 0.8)");
	refused("malformed", "import module \"spacetime_10.x\" has malformed version string");
	refused("two_majors", "module cannot depend on both major version 10 and major version 9");
	refused("newer", "abi version 10.7 is not supported (host implements 10.5)");
	refused("other_major", "abi version 11.0 is not supported (host implements 10.5)");
	refused("no_reducer", "there should be a function called \"__call_reducer__\" but it does not exist");
	refused("reducer_wrong", "bad call_reducer signature for \"__call_reducer__\"; expected (func (param i32 i64 i64 "
		"i64 i64 i64 i64 i64 i32 i32) (result i32)) got (func (param i32 f32) (result i32))");
	refused("preinit_argument", "bad preinit signature for \"10_it\"; expected (func) got (func (param i32))");
	refused("handler_wrong", "bad call_http_handler signature for \"__call_http_handler__\"; expected (func (param i32 "
		"i64 i32 i32 i32 i32) (result i32)) got (func (param i32) (result i32))");
}
END_TEST

/* Goal: imports that do not exist under that version, or with that type, fail to link and name themselves. */
START_TEST(unknown_imports_are_named)
{
	static const char *const modules[][2] = {
		{ "wrong_version", "spacetime_10.0::get_jwt" },
		{ "wrong_type", "spacetime_10.0::console_log" },
		{ "foreign", "wasi_snapshot_preview1::console_timer_start" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(modules); i++) {
		struct fixture f;
		fixture_init(&f, NULL);
		ck_assert_int_eq(load_guest(&f, modules[i][0]), WL_ERR_INVALID);
		ck_assert_msg(strstr(buf_text(&f.error), modules[i][1]) != NULL, "%s: %s", modules[i][0], buf_text(&f.error));
		fixture_deinit(&f);
	}
}
END_TEST

/* Goal: both signatures of the HTTP handler's export, of releases before and after 2.14, are accepted. */
START_TEST(both_handler_signatures_are_accepted)
{
	struct fixture f;
	fixture_init(&f, NULL);
	must_load(&f, "handler_old");
	must_load(&f, "handler_new");
	fixture_deinit(&f);
}
END_TEST

/* Goal: bytes that are no module at all. */
START_TEST(junk_is_refused)
{
	struct fixture f;
	fixture_init(&f, NULL);
	ck_assert_int_eq(compile_bytes(&f, (struct bytes){ (const uint8_t *)"", 0 }), WL_ERR_INVALID);
	ck_assert_str_eq(buf_text(&f.error), "failed to parse WebAssembly module: unexpected end-of-file (at offset 0x0)");
	ck_assert_int_eq(compile_bytes(&f, (struct bytes){ (const uint8_t *)"\0asm\1\0\0\0\xff", 9 }), WL_ERR_INVALID);
	ck_assert_int_eq(compile_bytes(&f, (struct bytes){ (const uint8_t *)"(module)", 8 }), WL_ERR_INVALID);
	ck_assert_ptr_null(f.program);
	struct buf error = BUF_INIT(1000);
	uint8_t hash[32] = { 0 };
	ck_assert_int_eq(runtime_compile(f.runtime, RUNTIME_JS, (struct bytes){ (const uint8_t *)"", 0 }, hash, &f.program,
		&error), WL_ERR_UNSUPPORTED);
	buf_deinit(&error);
	fixture_deinit(&f);
}
END_TEST

/*
 * Goal: signatures with types that the engine's C API cannot name (v128, typed references) are refused, not fatal.
 * Method: hand-made modules that import one ABI function and export such a function as a required or other export.
 */
START_TEST(strange_types_in_signatures_are_harmless)
{
	static const struct { uint8_t type[8]; uint8_t len; } types[] = {
		{ { 0x60, 1, 0x7b, 0 }, 4 },             /* (param v128) */
		{ { 0x60, 0, 1, 0x7b }, 4 },             /* (result v128) */
		{ { 0x60, 1, 0x64, 0x70, 0 }, 5 },       /* (param (ref func)) */
		{ { 0x60, 1, 0x63, 0x00, 0 }, 5 },       /* (param (ref null 0)) */
	};
	static const char *const names[] = { "__call_reducer__", "other", "__preinit__x", "_initialize" };
	struct fixture f;
	fixture_init(&f, NULL);
	for (size_t t = 0; t < ARRAY_COUNT(types); t++)
		for (size_t n = 0; n < ARRAY_COUNT(names); n++) {
			struct buf m = BUF_INIT(1000);
			uint8_t name_len = (uint8_t)strlen(names[n]);
			buf_put(&m, "\0asm\1\0\0\0", 8);
			/* types: 0 = (func (param i32) (result i32)), 1 = the strange one */
			buf_put(&m, (uint8_t[]){ 1, (uint8_t)(1 + 5 + types[t].len), 2, 0x60, 1, 0x7f, 1, 0x7f }, 8);
			buf_put(&m, types[t].type, types[t].len);
			buf_put(&m, (uint8_t[]){ 2, 39, 1, 14 }, 4);
			buf_put_cstr(&m, "spacetime_10.0");
			buf_put_u8(&m, 20);
			buf_put_cstr(&m, "row_iter_bsatn_close");
			buf_put(&m, (uint8_t[]){ 0, 0, 3, 2, 1, 1, 5, 3, 1, 0, 1 }, 11);
			buf_put(&m, (uint8_t[]){ 7, (uint8_t)(1 + 9 + 3 + name_len), 2, 6 }, 4);
			buf_put_cstr(&m, "memory");
			buf_put(&m, (uint8_t[]){ 2, 0, name_len }, 3);
			buf_put_cstr(&m, names[n]);
			buf_put(&m, (uint8_t[]){ 0, 1, 10, 5, 1, 3, 0, 0x00, 0x0b }, 9);
			enum wl_err err = compile_bytes(&f, buf_bytes(&m));
			ck_assert_int_eq(err, WL_ERR_INVALID);
			ck_assert_msg(strstr(buf_text(&f.error), "export") != NULL
				|| strstr(buf_text(&f.error), "signature") != NULL
				|| strstr(buf_text(&f.error), "there should be") != NULL, "%zu %zu: %s", t, n, buf_text(&f.error));
			buf_deinit(&m);
		}
	fixture_deinit(&f);
}
END_TEST

/* Goal: equal programs are compiled once, and forgotten with the last share. */
START_TEST(programs_are_shared_by_hash)
{
	struct fixture f;
	fixture_init(&f, NULL);
	ck_assert_int_eq(compile_guest(&f, "plain"), WL_OK);
	struct runtime_program *first = f.program;
	ck_assert_int_eq(compile_guest(&f, "plain"), WL_OK);
	ck_assert_ptr_eq(f.program, first);
	ck_assert_uint_eq(f.runtime->programs.count, 1);
	runtime_program_release(first);
	ck_assert_uint_eq(f.runtime->programs.count, 1);
	runtime_program_release(f.program);
	f.program = NULL;
	ck_assert_uint_eq(f.runtime->programs.count, 0);
	fixture_deinit(&f);
}
END_TEST

struct race {
	struct fixture *fixture;
	struct buf code;
	struct runtime_program *program;
	enum wl_err err;
};

static void compile_in_thread(void *arg)
{
	struct race *race = arg;
	struct buf error = BUF_INIT(1 << 16);
	uint8_t hash[32];
	native_keccak256(race->code.data, race->code.len, hash);
	race->err = runtime_compile(race->fixture->runtime, RUNTIME_WASM, buf_bytes(&race->code), hash, &race->program,
		&error);
	buf_deinit(&error);
}

/* Goal: threads that compile one program at a time share one; a bad program fails for all of them. */
START_TEST(compiling_at_once_compiles_once)
{
	static const char *const names[] = { "script", "newer" };
	struct fixture f;
	fixture_init(&f, NULL);
	for (size_t n = 0; n < ARRAY_COUNT(names); n++) {
		struct race races[4];
		pthread_t threads[4];
		for (size_t i = 0; i < 4; i++) {
			races[i] = (struct race){ .fixture = &f, .code = guest_code(names[n]) };
			ck_assert(thread_start(&threads[i], "race", 1 << 20, compile_in_thread, &races[i]));
		}
		for (size_t i = 0; i < 4; i++) {
			thread_join(threads[i]);
			ck_assert_int_eq(races[i].err, n == 0 ? WL_OK : WL_ERR_INVALID);
			ck_assert_ptr_eq(races[i].program, races[0].program);
		}
		for (size_t i = 0; i < 4; i++) {
			runtime_program_release(races[i].program);
			buf_deinit(&races[i].code);
		}
	}
	fixture_deinit(&f);
}
END_TEST

/* ---- the cache ---- */

static void cache_dir(char path[64])
{
	snprintf(path, 64, "/tmp/wl-code-cache-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
}

/* The path of the only file in the folder. */
static void only_file(const char *dir, char path[512])
{
	DIR *d = opendir(dir);
	ck_assert_ptr_nonnull(d);
	int count = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.') {
			snprintf(path, 512, "%s/%s", dir, e->d_name);
			count++;
		}
	closedir(d);
	ck_assert_int_eq(count, 1);
}

static void remove_dir(const char *dir)
{
	char path[512];
	only_file(dir, path);
	unlink(path);
	rmdir(dir);
}

static void load_with_cache(const char *dir, uint8_t key, const char *guest)
{
	struct runtime_options options = { .cache_dir = dir, .call_ms_max = UINT32_MAX, .cache_key = { key } };
	struct fixture f;
	fixture_init(&f, &options);
	must_load(&f, guest);
	script_count(&f);
	EXPECT(&f, "01000000");
	fixture_deinit(&f);
}

/* Whether the cache gives anything for this guest under this key. */
static bool cached(const char *dir, uint8_t key, const char *guest)
{
	uint8_t hash[32], whole_key[32] = { key };
	struct buf code = guest_code(guest), found = BUF_INIT(1 << 30);
	native_keccak256(code.data, code.len, hash);
	struct code_cache *cache = code_cache_open(dir, whole_key, wasm_engine_tag());
	bool hit = code_cache_get(cache, hash, &found);
	code_cache_close(cache);
	buf_deinit(&code);
	buf_deinit(&found);
	return hit;
}

/* Goal: compiled code is found again, by its own host only. */
START_TEST(compiled_code_is_cached_under_a_key)
{
	char dir[64];
	cache_dir(dir);
	ck_assert(!cached(dir, 1, "script"));
	load_with_cache(dir, 1, "script");
	ck_assert(cached(dir, 1, "script"));
	ck_assert(!cached(dir, 2, "script"));
	ck_assert(!cached(dir, 1, "plain"));
	load_with_cache(dir, 1, "script"); /* from the cache */
	load_with_cache(dir, 2, "script"); /* replaces it */
	ck_assert(!cached(dir, 1, "script"));
	ck_assert(cached(dir, 2, "script"));
	remove_dir(dir);
}
END_TEST

/* Goal: a file with any one bit changed, a cut one and a foreign one are ignored, and replaced. */
START_TEST(damaged_code_is_never_loaded)
{
	char dir[64], path[512];
	cache_dir(dir);
	load_with_cache(dir, 1, "script");
	only_file(dir, path);
	struct buf file = file_read(path);
	for (size_t i = 0; i < file.len; i += i < 200 ? 1 : 997) {
		FILE *out = fopen(path, "wb");
		file.data[i] ^= 1;
		fwrite(file.data, 1, file.len, out);
		file.data[i] ^= 1;
		fclose(out);
		ck_assert_msg(!cached(dir, 1, "script"), "byte %zu changed", i);
	}
	ck_assert_int_eq(truncate(path, 60), 0);
	ck_assert(!cached(dir, 1, "script"));
	load_with_cache(dir, 1, "script");
	ck_assert(cached(dir, 1, "script"));
	unlink(path);
	ck_assert_int_eq(symlink("/dev/zero", path), 0);
	ck_assert(!cached(dir, 1, "script"));
	load_with_cache(dir, 1, "script");
	ck_assert(cached(dir, 1, "script"));
	buf_deinit(&file);
	remove_dir(dir);
}
END_TEST

/* Goal: a folder that cannot be used means no cache, not a failure. */
START_TEST(a_missing_cache_folder_is_no_failure)
{
	load_with_cache("/proc/nowhere", 1, "script");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runtime_program");
	TCase *tests = tcase_create("programs");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, wrong_modules_are_refused_with_the_known_texts);
	tcase_add_test(tests, unknown_imports_are_named);
	tcase_add_test(tests, both_handler_signatures_are_accepted);
	tcase_add_test(tests, junk_is_refused);
	tcase_add_test(tests, strange_types_in_signatures_are_harmless);
	tcase_add_test(tests, programs_are_shared_by_hash);
	tcase_add_test(tests, compiling_at_once_compiles_once);
	tcase_add_test(tests, compiled_code_is_cached_under_a_key);
	tcase_add_test(tests, damaged_code_is_never_loaded);
	tcase_add_test(tests, a_missing_cache_folder_is_no_failure);
	suite_add_tcase(suite, tests);
	return run_guest_suite(suite);
}
