/* SPDX-License-Identifier: Apache-2.0 */
/* What every command stands on: where files are, the chain of errors, kept memory, questions, output. */
#include "base/mem.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum { ARENA_BYTES_MAX = INT32_MAX, ERROR_BYTES_MAX = 64 << 20, ANSWER_BYTES_MAX = 256 };

_Noreturn void cli_out_of_memory(void)
{
	fputs("Error: out of memory\n", stderr);
	exit(CLI_FAILED);
}

void cli_init(struct cli *cli, const char *argv0)
{
	const char *slash = argv0 != NULL ? strrchr(argv0, '/') : NULL;
	const char *name = slash != NULL ? slash + 1 : argv0;
	*cli = (struct cli){ .program = name != NULL && strncmp(name, "spacetime", 9) == 0 ? "spacetime" : "worldline" };
	arena_init(&cli->arena, ARENA_BYTES_MAX);
}

void cli_deinit(struct cli *cli)
{
	for (uint32_t i = 0; i < cli->error_count; i++)
		buf_deinit(&cli->errors[i]);
	arena_deinit(&cli->arena);
}

/* ---- paths ---- */

/* A folder of the XDG kind; NULL without a home. */
static const char *xdg_dir(struct cli *cli, const char *variable, const char *below_home)
{
	const char *dir = getenv(variable), *home = getenv("HOME");
	if (dir != NULL && dir[0] == '/') /* others are to be ignored */
		return cli_text(cli, "%s/spacetime", dir);
	return home != NULL && home[0] != '\0' ? cli_text(cli, "%s/%s/spacetime", home, below_home) : NULL;
}

void cli_find_paths(struct cli *cli, const char *root_dir, const char *config_path)
{
	if (root_dir != NULL) {
		cli->config_dir = cli_text(cli, "%s/config", root_dir);
		cli->data_dir = cli_text(cli, "%s/data", root_dir);
	} else {
		const char *data = xdg_dir(cli, "XDG_DATA_HOME", ".local/share");
		cli->config_dir = xdg_dir(cli, "XDG_CONFIG_HOME", ".config");
		cli->data_dir = data != NULL ? cli_text(cli, "%s/data", data) : NULL;
	}
	if (config_path != NULL)
		cli->config_path = config_path;
	else if (cli->config_dir != NULL)
		cli->config_path = cli_text(cli, "%s/cli.toml", cli->config_dir);
}

/* ---- errors ---- */

static void add_error(struct cli *cli, const char *format, va_list args)
{
	if (cli->error_count == CLI_ERRORS_MAX)
		return; /* deeper than any chain we make */
	struct buf *text = &cli->errors[cli->error_count++];
	buf_init(text, ERROR_BYTES_MAX);
	buf_vprintf(text, format, args);
	cli_check(cli, text);
}

void cli_forget_errors(struct cli *cli)
{
	for (uint32_t i = 0; i < cli->error_count; i++)
		buf_deinit(&cli->errors[i]);
	cli->error_count = 0;
}

bool cli_fail(struct cli *cli, const char *format, ...)
{
	va_list args;
	cli_forget_errors(cli);
	va_start(args, format);
	add_error(cli, format, args);
	va_end(args);
	return false;
}

bool cli_fail_around(struct cli *cli, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_error(cli, format, args);
	va_end(args);
	return false;
}

bool cli_fail_errno(struct cli *cli, const char *format, ...)
{
	va_list args;
	cli_fail(cli, "%s (os error %d)", strerror(errno), errno);
	va_start(args, format);
	add_error(cli, format, args);
	va_end(args);
	return false;
}

void cli_print_errors(struct cli *cli)
{
	if (cli->error_count == 0)
		return;
	struct buf out = BUF_INIT(SIZE_MAX);
	buf_put_cstr(&out, "Error: ");
	cli_put_shown(&out, buf_str(&cli->errors[cli->error_count - 1]));
	buf_put_cstr(&out, "\n");
	uint32_t causes = cli->error_count - 1;
	if (causes > 0)
		buf_put_cstr(&out, "\nCaused by:\n");
	for (uint32_t i = 0; i < causes; i++) {
		if (causes > 1)
			buf_printf(&out, "%5u: ", i);
		else
			buf_put_cstr(&out, "    ");
		cli_put_shown(&out, buf_str(&cli->errors[causes - 1 - i]));
		buf_put_cstr(&out, "\n");
	}
	fflush(stdout);
	fputs(buf_text(&out), stderr);
	buf_deinit(&out);
}

/* ---- memory ---- */

void *cli_alloc(struct cli *cli, size_t size)
{
	void *p = arena_zalloc(&cli->arena, size);
	if (p == NULL)
		cli_out_of_memory();
	return p;
}

char *cli_keep(struct cli *cli, struct str text)
{
	char *copy = cli_alloc(cli, text.len + 1);
	if (text.len > 0)
		memcpy(copy, text.data, text.len);
	return copy;
}

char *cli_text(struct cli *cli, const char *format, ...)
{
	struct buf text = BUF_INIT(ARENA_BYTES_MAX);
	va_list args;
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	cli_check(cli, &text);
	char *kept = cli_keep(cli, buf_str(&text));
	buf_deinit(&text);
	return kept;
}

void cli_check(struct cli *cli, const struct buf *buf)
{
	(void)cli;
	if (buf->failed)
		cli_out_of_memory();
}

/* ---- files, questions, output ---- */

bool cli_read_file(struct cli *cli, const char *path, size_t bytes_max, struct buf *out, bool *missing)
{
	FILE *file = fopen(path, "rb");
	if (missing != NULL)
		*missing = file == NULL && errno == ENOENT;
	if (file == NULL)
		return cli_fail_errno(cli, "cannot read %s", path);
	buf_init(out, bytes_max);
	for (;;) {
		uint8_t block[64 << 10];
		size_t n = fread(block, 1, sizeof(block), file);
		buf_put(out, block, n);
		if (n < sizeof(block) || out->failed)
			break;
	}
	bool broken = ferror(file) != 0, ok = !broken && !out->failed;
	if (broken)
		cli_fail_errno(cli, "cannot read %s", path);
	else if (!ok)
		cli_fail(cli, "%s is larger than %zu bytes", path, bytes_max);
	fclose(file);
	if (!ok)
		buf_deinit(out);
	return ok;
}

bool cli_confirm(bool force, const char *question)
{
	char answer[ANSWER_BYTES_MAX] = "";
	if (force) {
		puts("Skipping confirmation due to --yes");
		return true;
	}
	printf("%s [y/N]", question);
	fflush(stdout);
	if (fgets(answer, sizeof(answer), stdin) == NULL)
		return false;
	struct str text = str_of(answer);
	while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]) != NULL)
		text.len--;
	while (text.len > 0 && strchr(" \t", text.data[0]) != NULL) {
		text.data++;
		text.len--;
	}
	return (text.len == 1 && strncasecmp(text.data, "y", 1) == 0)
		|| (text.len == 3 && strncasecmp(text.data, "yes", 3) == 0);
}

void cli_put_shown(struct buf *out, struct str text)
{
	static int terminal = -1;
	if (terminal < 0)
		terminal = isatty(STDOUT_FILENO) || isatty(STDERR_FILENO);
	if (!terminal) {
		buf_put_str(out, text);
		return;
	}
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = (uint8_t)text.data[i];
		bool c1 = c == 0xc2 && i + 1 < text.len && (uint8_t)text.data[i + 1] < 0xa0; /* U+0080 … U+009F */
		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || c1) {
			buf_put_cstr(out, "\xef\xbf\xbd");
			i += c1;
		} else {
			buf_put_u8(out, c);
		}
	}
}

bool cli_print(struct cli *cli, const struct buf *out)
{
	cli_check(cli, out);
	if ((out->len > 0 && fwrite(out->data, 1, out->len, stdout) < out->len) || fflush(stdout) != 0)
		return cli_fail_errno(cli, "cannot write to standard output");
	return true;
}
