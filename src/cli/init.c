/* SPDX-License-Identifier: Apache-2.0 */
/* `init`: the folder of a new module in C. */
#include "cli/args.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static const char module_c[] =
	"/* A module: tables, and functions that change them. docs/c-modules.md says what else there is. */\n"
	"#include <worldline/module.h>\n"
	"\n"
	"WL_TABLE(person, PUBLIC,\n"
	"\t(u64, id, PRIMARY_KEY, AUTO_INC),\n"
	"\t(str, name, UNIQUE))\n"
	"\n"
	"WL_REDUCER(add, (str, name))\n"
	"{\n"
	"\tperson row = { 0, name };\n"
	"\tif (!person_insert(&row))\n"
	"\t\treturn wl_fail(\"%.*s is here already\", WL_FMT(name));\n"
	"\treturn wl_ok();\n"
	"}\n"
	"\n"
	"WL_REDUCER(say_hello)\n"
	"{\n"
	"\tWL_EACH(person, row)\n"
	"\t\twl_info(\"Hello, %.*s!\", WL_FMT(row.name));\n"
	"\twl_info(\"Hello, World!\");\n"
	"\treturn wl_ok();\n"
	"}\n";
static const char readme[] =
	"# A module\n"
	"\n"
	"    worldline build                          # build/module.wasm\n"
	"    worldline publish NAME                   # builds, and publishes to the default server\n"
	"\n"
	"`module.c` is all of it; more sources may lie beside it or in `src`.\n";
static const char gitignore[] = "/build/\n/.worldline/\n";
/* For editors that use clangd. */
static const char compile_flags[] = "--target=wasm32\n-std=c11\n-ffreestanding\n-I.worldline/include\n";

static bool write_new(struct cli *cli, const char *dir, const char *name, const char *text)
{
	const char *path = cli_text(cli, "%s/%s", dir, name);
	FILE *file = fopen(path, "wx");
	bool ok = file != NULL && fputs(text, file) >= 0;
	if (file != NULL)
		ok = fclose(file) == 0 && ok;
	return ok || cli_fail_errno(cli, "cannot make %s", path);
}

/* What `publish` will take for a name. */
static bool is_name(const char *name)
{
	bool hyphen = true; /* none at the ends, none beside another */
	for (; *name != '\0'; name++) {
		bool one = *name == '-';
		if ((one && hyphen) || (!one && !(*name >= 'a' && *name <= 'z') && !(*name >= '0' && *name <= '9')))
			return false;
		hyphen = one;
	}
	return !hyphen;
}

static bool run(struct cli *cli, const struct cli_args *args)
{
	const char *name = args->words[0], *given = cli_args_text(args, "project-path");
	const char *lang = cli_args_text(args, "lang"), *dir = given != NULL ? given : name;
	if (strcmp(lang, "c") != 0)
		return cli_fail(cli, "a new module in %s is begun with that language's own tools; this makes one in C: "
			"--lang c", lang);
	if (!is_name(name))
		return cli_fail(cli, "`%s` is no name of a module: lower-case letters, digits and single hyphens", name);
	if (mkdir(dir, 0777) != 0 && (errno != EEXIST || given == NULL))
		return cli_fail_errno(cli, "cannot make the folder %s", dir);
	if (!write_new(cli, dir, "module.c", module_c) || !write_new(cli, dir, "README.md", readme) ||
		!write_new(cli, dir, ".gitignore", gitignore) ||
		!write_new(cli, dir, "compile_flags.txt", compile_flags))
		return false;
	printf("Made a module in %s. Next:\n"
		"\t%s start                            # a host, in another terminal\n"
		"\t%s publish --module-path %s %s\n"
		"\t%s call %s add Ada\n"
		"\t%s call %s say_hello\n"
		"\t%s logs %s\n", dir, cli->program, cli->program, dir, name, cli->program, name, cli->program, name,
		cli->program, name);
	return true;
}

const struct cli_command cli_command_init = {
	.name = "init",
	.summary = "Begin a module in C",
	.details = "Makes a folder with module.c, which is a working module, README.md, .gitignore, and compile_flags.txt\n"
		"for editors.",
	.words = (const struct cli_word[]){
		{ .name = "NAME", .required = true, .help = "Of the module: lower-case letters, digits and single hyphens" },
		{ 0 } },
	.options = (const struct cli_option[]){
		{ .name = "lang", .value = "LANG", .preset = "c", .help = "The language: c" },
		{ .name = "project-path", .value = "DIR", .help = "The folder, which may be there already [default: NAME]" },
		{ 0 } },
	.examples = "init chat\ninit --lang c --project-path server chat",
	.local = true,
	.run = run,
};
