/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `build`: a module in C or C++ from its sources. What is compiled beside them
 * is the SDK, written to DIR/.worldline/include, where editors find it, too.
 */
#include "cli/args.h"
#include "cli/sdk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { SOURCES_MAX = 1024, WORDS_MAX = SOURCES_MAX + 64 };

/* ---- sources ---- */

struct sources {
	const char *paths[SOURCES_MAX];
	uint32_t count;
};

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), end = strlen(suffix);
	return len > end && strcmp(name + len - end, suffix) == 0;
}

static bool is_cpp(const char *name)
{
	return has_suffix(name, ".cpp") || has_suffix(name, ".cc");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In a fixed order, so that the same sources give the same module. */
static bool find_sources(struct cli *cli, const char *dir, struct sources *out)
{
	static const char *const folders[] = { "", "/src" };
	for (size_t f = 0; f < ARRAY_COUNT(folders); f++) {
		const char *folder = cli_text(cli, "%s%s", dir, folders[f]);
		uint32_t first = out->count;
		DIR *open = opendir(folder);
		if (open == NULL && f == 0)
			return cli_fail_errno(cli, "cannot read the folder %s", folder);
		for (struct dirent *entry; open != NULL && (entry = readdir(open)) != NULL;) {
			if (!has_suffix(entry->d_name, ".c") && !is_cpp(entry->d_name))
				continue;
			if (out->count == SOURCES_MAX) {
				closedir(open);
				return cli_fail(cli, "%s has more than %d sources", dir, SOURCES_MAX);
			}
			out->paths[out->count++] = cli_text(cli, "%s/%s", folder, entry->d_name);
		}
		if (open != NULL)
			closedir(open);
		qsort(out->paths + first, out->count - first, sizeof(*out->paths), by_name);
	}
	return true;
}

bool cli_is_c_module(struct cli *cli, const char *dir)
{
	static const char *const names[] = { "module.c", "module.cpp", "src/module.c", "src/module.cpp" };
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		if (access(cli_text(cli, "%s/%s", dir, names[i]), R_OK) == 0)
			return true;
	return false;
}

/* ---- the SDK ---- */

static bool make_folder(struct cli *cli, const char *path)
{
	return mkdir(path, 0777) == 0 || errno == EEXIST || cli_fail_errno(cli, "cannot make the folder %s", path);
}

/* Leaves a file that is the same as it is. */
static bool write_file(struct cli *cli, const char *path, struct str text)
{
	struct buf old = BUF_INIT(CLI_CONFIG_BYTES_MAX);
	bool missing = false;
	bool same = cli_read_file(cli, path, CLI_CONFIG_BYTES_MAX, &old, &missing) && !missing &&
		str_eq(buf_str(&old), text);
	buf_deinit(&old);
	cli_forget_errors(cli);
	if (same)
		return true;
	FILE *file = fopen(path, "w");
	bool ok = file != NULL && fwrite(text.data, 1, text.len, file) == text.len;
	if (file != NULL)
		ok = fclose(file) == 0 && ok;
	return ok || cli_fail_errno(cli, "cannot write %s", path);
}

static bool write_sdk(struct cli *cli, const char *root)
{
	const char *include = cli_text(cli, "%s/include", root), *folder = cli_text(cli, "%s/worldline", include);
	bool ok = make_folder(cli, root) && make_folder(cli, include) && make_folder(cli, folder);
	for (const struct cli_sdk_file *f = cli_sdk_files; ok && f->name != NULL; f++)
		ok = write_file(cli, cli_text(cli, "%s/%s", folder, f->name),
			(struct str){ f->data, (size_t)(f->end - f->data) });
	return ok;
}

/* ---- the compiler ---- */

static const char *compiler(void)
{
	const char *named = getenv("CLANG");
	return named != NULL && named[0] != '\0' ? named : "clang";
}

static bool run_compiler(struct cli *cli, const char **words)
{
	pid_t pid;
	int status = 0;
	fflush(stdout);
	int err = posix_spawnp(&pid, words[0], NULL, NULL, (char *const *)(uintptr_t)words, environ);
	if (err == 0 && waitpid(pid, &status, 0) != pid)
		err = errno;
	if (err == ENOENT)
		return cli_fail(cli, "there is no %s here, which modules in C are compiled with\n"
			"Install clang and lld (Debian: apt-get install clang lld), or name a clang in the environment: CLANG=...",
			words[0]);
	if (err != 0)
		return cli_fail(cli, "cannot run %s: %s", words[0], strerror(err));
	return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
		cli_fail(cli, "%s found errors, or has no linker for WebAssembly (Debian: apt-get install lld)", words[0]);
}

struct words {
	const char *list[WORDS_MAX];
	uint32_t count;
};

static void add(struct words *words, const char *word)
{
	ASSERT(words->count + 1 < WORDS_MAX);
	words->list[words->count++] = word;
	words->list[words->count] = NULL;
}

static bool compile(struct cli *cli, const char *root, const char *source, const char *object, bool is_ours, bool debug)
{
	static const char *const always[] = { "--target=wasm32", "-mbulk-memory", "-ffreestanding", "-ffunction-sections",
		"-fdata-sections", "-Wall", "-Wextra", "-c" };
	/* What C11 only warns of: calls of what was never declared, by a macro of ours or by you. */
	static const char *const strict[] = { "-Werror=implicit-function-declaration", "-Werror=implicit-int",
		"-Werror=incompatible-pointer-types", "-Werror=int-conversion", "-Werror=return-type", "-Werror=format" };
	struct words words = { .count = 0 };
	add(&words, compiler());
	for (size_t i = 0; i < ARRAY_COUNT(always); i++)
		add(&words, always[i]);
	for (size_t i = 0; !is_cpp(source) && i < ARRAY_COUNT(strict); i++)
		add(&words, strict[i]);
	add(&words, is_cpp(source) ? "-std=c++17" : "-std=c11");
	if (is_cpp(source)) {
		add(&words, "-fno-exceptions");
		add(&words, "-fno-rtti");
	}
	add(&words, is_ours ? "-Oz" : debug ? "-O0" : "-O2");
	if (debug)
		add(&words, "-g");
	add(&words, "-I");
	add(&words, cli_text(cli, "%s/include", root));
	add(&words, "-o");
	add(&words, object);
	add(&words, source);
	return run_compiler(cli, words.list);
}

static bool link_module(struct cli *cli, const char *const *objects, uint32_t count, const char *out, bool debug)
{
	static const char *const always[] = { "--target=wasm32", "-nostdlib", "-Wl,--no-entry", "-Wl,--gc-sections",
		"-Wl,-z,stack-size=65536", "-Wl,--stack-first", "-Wl,--fatal-warnings" };
	struct words words = { .count = 0 };
	add(&words, compiler());
	for (size_t i = 0; i < ARRAY_COUNT(always); i++)
		add(&words, always[i]);
	if (!debug) {
		add(&words, "-Wl,--strip-all");
		add(&words, "-Wl,--compress-relocations"); /* numbers no longer than they need to be: a tenth less */
	}
	add(&words, "-o");
	add(&words, out);
	for (uint32_t i = 0; i < count; i++)
		add(&words, objects[i]);
	return run_compiler(cli, words.list);
}

bool cli_build_c(struct cli *cli, const char *dir, bool debug, const char **out)
{
	struct sources *sources = cli_alloc(cli, sizeof(*sources));
	const char *root = cli_text(cli, "%s/.worldline", dir), *build = cli_text(cli, "%s/build", dir);
	const char **objects = cli_alloc(cli, (SOURCES_MAX + 16) * sizeof(*objects));
	uint32_t count = 0;
	sources->count = 0;
	if (!find_sources(cli, dir, sources))
		return false;
	if (sources->count == 0)
		return cli_fail(cli, "%s has no sources of a module: module.c, or others in src\n"
			"`%s init NAME` makes a folder to begin with", dir, cli->program);
	if (!write_sdk(cli, root) || !make_folder(cli, build))
		return false;
	*out = cli_text(cli, "%s/module.wasm", build);
	for (const struct cli_sdk_file *f = cli_sdk_files; f->name != NULL; f++) {
		if (!has_suffix(f->name, ".c"))
			continue;
		objects[count] = cli_text(cli, "%s/%s.o", root, f->name);
		if (!compile(cli, root, cli_text(cli, "%s/include/worldline/%s", root, f->name), objects[count], true, debug))
			return false;
		count++;
	}
	for (uint32_t i = 0; i < sources->count; i++) {
		objects[count] = cli_text(cli, "%s/%u.o", root, i);
		if (!compile(cli, root, sources->paths[i], objects[count], false, debug))
			return false;
		count++;
	}
	return link_module(cli, objects, count, *out, debug);
}

/* ---- the command ---- */

static bool run(struct cli *cli, const struct cli_args *args)
{
	const char *given = cli_args_text(args, "module-path"), *path;
	const char *dir = args->word_count > 0 ? args->words[0] : given != NULL ? given : ".";
	struct stat status;
	if (!cli_build_c(cli, dir, cli_args_flag(args, "debug"), &path))
		return false;
	if (stat(path, &status) != 0)
		return cli_fail_errno(cli, "cannot find %s, which was just written", path);
	printf("Build finished successfully.\n%s: %lld bytes\n", path, (long long)status.st_size);
	return true;
}

const struct cli_command cli_command_build = {
	.name = "build",
	.summary = "Compile a module in C or C++",
	.details = "Compiles all *.c and *.cpp of a folder and of its src into DIR/build/module.wasm, with clang and lld.\n"
		"The headers go to DIR/.worldline/include; point your editor there.\n"
		"Modules in other languages are compiled with their own tools, and published with --bin-path.",
	.words = (const struct cli_word[]){
		{ .name = "DIR", .help = "The folder of the module [default: this one]" }, { 0 } },
	.options = (const struct cli_option[]){
		{ .name = "module-path", .letter = 'p', .value = "DIR", .help = "The same as DIR" },
		{ .name = "debug", .letter = 'd', .help = "Do not optimise, and keep names for traces" },
		{ 0 } },
	.examples = "build\nbuild --debug server",
	.local = true,
	.run = run,
};
