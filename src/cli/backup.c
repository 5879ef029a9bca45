/* SPDX-License-Identifier: Apache-2.0 */
/* Backups: from the files of a data folder, whether a host runs there or not, and back into one where none runs. */
#include "backup/backup.h"
#include "cli/args.h"
#include "database/record.h"
#include "sats/sats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MICROS = 1000000, STEP_BYTES = 16 << 20 };

/* ---- progress ---- */

struct shown {
	bool is_terminal, was;
	const char *stage;
	uint64_t last;
};

static void show(void *context, const char *stage, uint64_t done)
{
	struct shown *s = context;
	bool is_bytes = strncmp(stage, "bytes", 5) == 0;
	if (!s->is_terminal || (stage == s->stage && done >= s->last && is_bytes && done - s->last < STEP_BYTES))
		return;
	s->stage = stage;
	s->last = done;
	s->was = true;
	if (is_bytes)
		fprintf(stderr, "\r\033[K%" PRIu64 " Mega%s", done / MICROS, stage);
	else
		fprintf(stderr, "\r\033[K%" PRIu64 " %s", done, stage);
}

static void show_end(const struct shown *s)
{
	if (s->was)
		fputs("\r\033[K", stderr);
}

/* ---- commands ---- */

static const char *data_dir_of(struct cli *cli, const struct cli_args *args)
{
	const char *given = cli_args_text(args, "data-dir");
	return given != NULL ? given : cli->data_dir;
}

static bool has_data_dir(struct cli *cli, const struct cli_args *args)
{
	return data_dir_of(cli, args) != NULL || cli_fail(cli, "there is no home folder: say --data-dir DIR");
}

static bool run_create(struct cli *cli, const struct cli_args *args)
{
	struct shown shown = { .is_terminal = isatty(STDERR_FILENO) };
	struct error error;
	struct backup_create create = { .data_dir = data_dir_of(cli, args), .database = str_of(args->words[0]),
		.to = args->words[1], .progress = show, .context = &shown };
	if (!has_data_dir(cli, args))
		return false;
	enum wl_err err = backup_create(&create, &error);
	show_end(&shown);
	if (err != WL_OK)
		return cli_fail(cli, "%s", error.text);
	printf("%s holds %s up to transaction %" PRIu64 "; written now: %" PRIu64 " bytes in %u snapshots and %u segments "
		"of the log\n", create.to, args->words[0], create.next - 1, create.bytes, create.snapshots, create.segments);
	return true;
}

static bool run_verify(struct cli *cli, const struct cli_args *args)
{
	struct shown shown = { .is_terminal = isatty(STDERR_FILENO) };
	struct database_rebuild made;
	struct error error;
	uint32_t snapshots;
	char hex[65];
	enum wl_err err = backup_verify(args->words[0], show, &shown, &made, &snapshots, &error);
	show_end(&shown);
	if (err != WL_OK)
		return cli_fail(cli, "%s", error.text);
	struct buf out = BUF_INIT(4096);
	identity_to_hex(&made.database, hex);
	buf_printf(&out, "%s is whole: database %s at transaction %" PRIu64 " of ", args->words[0], hex, made.offset);
	database_time_put(&out, made.micros);
	buf_printf(&out, "\n%u snapshots, %" PRIu64 " transactions replayed behind the newest; %" PRIu64
		" rows, state hash %016" PRIx64 "\n", snapshots, made.replayed, made.rows, made.hash);
	bool ok = cli_print(cli, &out);
	buf_deinit(&out);
	return ok;
}

static bool read_target(struct cli *cli, const char *text, struct backup_restore *restore)
{
	char *end;
	if (text == NULL)
		return true;
	errno = 0;
	restore->to_offset = strtoull(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && restore->to_offset != COMMITLOG_NONE)
		return true;
	restore->to_offset = COMMITLOG_NONE;
	return sats_parse_timestamp(str_of(text), &restore->to_micros) ||
		cli_fail(cli, "--to %s is neither a transaction's number nor a time like 2026-01-31T12:00:00Z", text);
}

static bool run_restore(struct cli *cli, const struct cli_args *args)
{
	struct shown shown = { .is_terminal = isatty(STDERR_FILENO) };
	struct error error;
	char hex[65];
	struct backup_restore restore = { .from = args->words[0], .data_dir = data_dir_of(cli, args),
		.to_offset = COMMITLOG_NONE, .to_micros = INT64_MAX, .name = cli_args_text(args, "name"),
		.replaces = cli_args_flag(args, "replace"), .progress = show, .context = &shown };
	if (!has_data_dir(cli, args) || !read_target(cli, cli_args_text(args, "to"), &restore))
		return false;
	enum wl_err err = backup_restore(&restore, &error);
	show_end(&shown);
	if (err == WL_ERR_UNAVAILABLE)
		(void)cli_fail(cli, "%s: stop the host first, or restore into another data folder", error.text);
	else if (err != WL_OK)
		(void)cli_fail(cli, "%s", error.text);
	if (err != WL_OK)
		return false;
	struct buf out = BUF_INIT(4096);
	identity_to_hex(&restore.identity, hex);
	buf_printf(&out, "restored database %s as of transaction %" PRIu64 ", ", hex, restore.made.offset);
	database_time_put(&out, restore.made.micros);
	buf_printf(&out, "\n%" PRIu64 " rows, state hash %016" PRIx64 "; the next start of a host on %s serves it\n",
		restore.made.rows, restore.made.hash, restore.data_dir);
	bool ok = cli_print(cli, &out);
	buf_deinit(&out);
	return ok;
}

#define DATA_DIR(what) { .name = "data-dir", .value = "DIR", .help = what " [default: the user's spacetime/data]" }
#define FOLDER { .name = "FOLDER", .required = true, .help = "The backup's folder" }

static const struct cli_command command_create = {
	.name = "create", .summary = "Copy a database, beside the host that runs it; again: what is new since",
	.words = (const struct cli_word[]){
		{ .name = "DATABASE", .required = true, .help = "Name or identity of the database" }, FOLDER, { 0 } },
	.options = (const struct cli_option[]){ DATA_DIR("The host's data folder"), { 0 } },
	.examples = "backup create my-database ./backups/my-database --data-dir ./data", .run = run_create };
static const struct cli_command command_verify = {
	.name = "verify", .summary = "Check every file of a backup, and make the database from it in memory",
	.words = (const struct cli_word[]){ FOLDER, { 0 } },
	.examples = "backup verify ./backups/my-database", .run = run_verify };
static const struct cli_command command_restore = {
	.name = "restore", .summary = "Make a database from a backup, as of its last transaction or an earlier moment",
	.words = (const struct cli_word[]){ FOLDER, { 0 } },
	.options = (const struct cli_option[]){
		DATA_DIR("The data folder to restore into; no host may run on it"),
		{ .name = "to", .value = "OFFSET|TIME",
			.help = "The last transaction, or a time (2026-01-31T12:00:00Z) [default: all there are]" },
		{ .name = "name", .value = "NAME", .conflicts = "replace",
			.help = "Restore it as another database with this name" },
		{ .name = "replace", .help = "Take the place of the database as it is there now" }, { 0 } },
	.examples = "backup restore ./backups/my-database --data-dir ./data --replace\n"
		"backup restore ./backups/my-database --data-dir ./data --to 2026-01-31T12:00:00Z --name before-the-mistake",
	.run = run_restore };

const struct cli_command cli_command_backup = {
	.name = "backup",
	.summary = "Copy databases, check the copies, bring them back",
	.commands = (const struct cli_command *const[]){ &command_create, &command_verify, &command_restore, NULL },
};
