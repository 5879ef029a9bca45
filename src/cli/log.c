/* SPDX-License-Identifier: Apache-2.0 */
/* What a database's log holds: from its files alone, whether a host runs on them or not. */
#include "base/mem.h"
#include "cli/args.h"
#include "commitlog/commitlog.h"
#include "database/record.h"
#include "host/offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, LINE_BYTES_MAX = 16 << 20, PROGRESS_SEGMENTS = 16 };

struct look {
	struct cli *cli;
	bool json, verifies, progress;
	uint64_t segments, records, bytes, faults, first, next;
	int64_t begin, end; /* of the records in the segment in hand, micros */
	struct buf line;
	bool failed;
};

/* ---- where ---- */

/* Of a database by its name or identity. */
static bool find_named(struct cli *cli, const char *database, const char *data_dir, char out[PATH_BYTES])
{
	struct host_found found;
	struct error why;
	if (data_dir == NULL)
		return cli_fail(cli, "there is no home folder: say --data-dir DIR");
	if (host_find(data_dir, str_of(database), &found, &why) != WL_OK)
		return cli_fail(cli, "%s; and it is no folder either (of a database, DATA-DIR/replicas/NUMBER, or a backup)",
			why.text);
	int n = snprintf(out, PATH_BYTES, "%s/log", found.folder);
	buf_deinit(&found.names);
	return n < PATH_BYTES || cli_fail(cli, "the path %.64s… is too long", found.folder);
}

/* The log below a database's folder, or the folder itself; or that of a database with this name. */
static bool find_log(struct cli *cli, const char *folder, const char *data_dir, char out[PATH_BYTES])
{
	struct stat info;
	int n = snprintf(out, PATH_BYTES, "%s/log", folder);
	if (n < 0 || n >= PATH_BYTES)
		return cli_fail(cli, "the path %.64s… is too long", folder);
	if (stat(out, &info) != 0 || !S_ISDIR(info.st_mode))
		snprintf(out, PATH_BYTES, "%s", folder);
	if (stat(out, &info) == 0 && S_ISDIR(info.st_mode))
		return true;
	return find_named(cli, folder, data_dir, out);
}

/* ---- segments ---- */

static void put_json(struct look *look, const struct commitlog_segment_report *s)
{
	struct buf *out = &look->line;
	buf_put_cstr(out, "{\"path\":");
	buf_put_json_str(out, str_of(s->path));
	buf_printf(out, ",\"bytes\":%" PRIu64 ",\"used\":%" PRIu64 ",\"batches\":%" PRIu64, s->bytes, s->used, s->batches);
	if (s->batches > 0)
		buf_printf(out, ",\"first\":%" PRIu64 ",\"next\":%" PRIu64, s->first, s->next);
	if (look->end != 0)
		buf_printf(out, ",\"begin_micros\":%lld,\"end_micros\":%lld", (long long)look->begin, (long long)look->end);
	buf_printf(out, ",\"closed\":%s", s->is_closed ? "true" : "false");
	if (s->fault[0] != '\0') {
		buf_printf(out, ",\"fault_at\":%" PRIu64 ",\"fault\":", s->fault_at);
		buf_put_json_str(out, str_of(s->fault));
	}
	buf_put_cstr(out, "}\n");
}

static void put_line(struct look *look, const struct commitlog_segment_report *s)
{
	struct buf *out = &look->line;
	const char *name = strrchr(s->path, '/');
	buf_printf(out, "%-16s %9" PRIu64 " KiB %5.1f %% ", name == NULL ? s->path : name + 1, s->bytes >> 10,
		s->bytes == 0 ? 0 : 100.0 * (double)s->used / (double)s->bytes);
	if (s->batches == 0)
		buf_put_cstr(out, " no batches");
	else
		buf_printf(out, " transactions %" PRIu64 " to %" PRIu64 " in %" PRIu64 " batches%s", s->first, s->next - 1,
			s->batches, s->is_closed ? ", closed" : "");
	if (s->fault[0] != '\0')
		buf_printf(out, "\n%17sbyte %" PRIu64 ": %s", "", s->fault_at, s->fault);
	buf_put_u8(out, '\n');
}

static bool see_segment(void *context, const struct commitlog_segment_report *s)
{
	struct look *look = context;
	if (s->batches > 0 && look->segments == 0)
		look->first = s->first;
	look->segments++;
	look->bytes += s->bytes;
	look->faults += s->fault[0] != '\0';
	if (s->batches > 0)
		look->next = s->next;
	if (look->verifies && s->fault[0] != '\0')
		buf_printf(&look->line, "%s: byte %" PRIu64 ": %s (transaction %" PRIu64 ")\n", s->path, s->fault_at, s->fault,
			s->next);
	else if (!look->verifies)
		(look->json ? put_json : put_line)(look, s);
	look->begin = look->end = 0;
	if (look->progress && look->segments % PROGRESS_SEGMENTS == 0)
		fprintf(stderr, "\r%" PRIu64 " segments, %" PRIu64 " records", look->segments, look->records);
	look->failed |= !cli_print(look->cli, &look->line);
	buf_clear(&look->line);
	return !look->failed;
}

/* ---- records ---- */

/* Of each segment the times between which its transactions lie. */
static bool see_time(void *context, uint64_t offset, struct bytes record)
{
	struct look *look = context;
	(void)offset;
	int64_t micros = record.len < 9 ? 0 : (int64_t)load_u64(record.data + 1);
	look->begin = look->end == 0 ? micros : look->begin;
	look->end = micros;
	look->records++;
	return true;
}

static bool check_record(void *context, uint64_t offset, struct bytes record)
{
	struct look *look = context;
	struct buf text = BUF_INIT(LINE_BYTES_MAX);
	look->records++;
	if (!database_record_describe(record, &text, NULL)) {
		look->faults++;
		buf_printf(&look->line, "transaction %" PRIu64 " does not decode: %s\n", offset, buf_text(&text));
	}
	buf_deinit(&text);
	return true;
}

static bool dump_record(void *context, uint64_t offset, struct bytes record)
{
	struct look *look = context;
	look->records++;
	buf_printf(&look->line, "%" PRIu64 " %zu B ", offset, record.len);
	(void)database_record_describe(record, &look->line, NULL);
	buf_put_u8(&look->line, '\n');
	look->failed |= !cli_print(look->cli, &look->line);
	buf_clear(&look->line);
	return !look->failed;
}

/* ---- commands ---- */

static bool scan(struct cli *cli, const struct cli_args *args, struct look *look, struct commitlog_scan *how)
{
	char dir[PATH_BYTES];
	struct error why;
	const char *data_dir = cli_args_text(args, "data-dir");
	if (!find_log(cli, args->words[0], data_dir != NULL ? data_dir : cli->data_dir, dir))
		return false;
	look->cli = cli;
	look->line = BUF_INIT(LINE_BYTES_MAX);
	how->context = look;
	enum wl_err err = commitlog_scan(commitlog_storage_local(), dir, how, &why);
	if (look->progress && look->segments >= PROGRESS_SEGMENTS)
		fputc('\n', stderr);
	buf_deinit(&look->line);
	return err == WL_OK ? !look->failed : cli_fail(cli, "%s", why.text);
}

static bool run_inspect(struct cli *cli, const struct cli_args *args)
{
	struct look look = { .json = cli_args_flag(args, "json") };
	struct commitlog_scan how = { .segment = see_segment, .record = see_time, .to = UINT64_MAX };
	if (!scan(cli, args, &look, &how))
		return false;
	if (!look.json)
		printf("%" PRIu64 " segments, %.1f MiB; transactions %" PRIu64 " to %" PRIu64 "%s\n", look.segments,
			(double)look.bytes / 1048576, look.first, look.next == 0 ? 0 : look.next - 1,
			look.faults > 0 ? "; DAMAGED: see `log verify`" : "");
	return true;
}

static bool run_verify(struct cli *cli, const struct cli_args *args)
{
	struct look look = { .verifies = true, .progress = isatty(STDERR_FILENO) };
	struct commitlog_scan how = { .segment = see_segment, .record = check_record, .to = UINT64_MAX };
	if (!scan(cli, args, &look, &how))
		return false;
	if (look.faults > 0)
		return cli_fail(cli, "the log is damaged (%" PRIu64 " faults). A host opens the database with what precedes "
			"the first (durability.open-damaged) and keeps the rest aside", look.faults);
	printf("%" PRIu64 " transactions in %" PRIu64 " segments are whole\n", look.records, look.segments);
	return true;
}

static bool run_dump(struct cli *cli, const struct cli_args *args)
{
	struct look look = { 0 };
	struct commitlog_scan how = { .record = dump_record, .to = UINT64_MAX };
	if (cli_args_text(args, "from") != NULL)
		how.from = cli_args_number(args, "from");
	if (cli_args_text(args, "to") != NULL)
		how.to = cli_args_number(args, "to");
	return scan(cli, args, &look, &how);
}

#define WORDS \
	(const struct cli_word[]){ { .name = "DATABASE|FOLDER", .required = true, \
		.help = "A database's name or identity; or its folder, or a backup's; a host may be running on it" }, { 0 } }
#define DATA_DIR \
	{ .name = "data-dir", .value = "DIR", .help = "Where a name is looked up [default: the user's spacetime/data]" }
static const struct cli_command command_inspect = {
	.name = "inspect", .summary = "List the segments of a log: sizes, transactions, damage", .words = WORDS,
	.options = (const struct cli_option[]){ DATA_DIR, { .name = "json", .help = "One JSON object for each segment" },
		{ 0 } },
	.examples = "log inspect my-database --data-dir ./data\nlog inspect ./data/replicas/1 --json", .run = run_inspect };
static const struct cli_command command_verify = {
	.name = "verify", .summary = "Read a whole log and check it; ends with status 1 if it is damaged",
	.words = WORDS, .options = (const struct cli_option[]){ DATA_DIR, { 0 } },
	.examples = "log verify my-database --data-dir ./data", .run = run_verify };
static const struct cli_command command_dump = {
	.name = "dump", .summary = "Print what each transaction did", .words = WORDS,
	.options = (const struct cli_option[]){ DATA_DIR,
		{ .name = "from", .value = "OFFSET", .number_max = INT64_MAX, .help = "The first transaction [default: all]" },
		{ .name = "to", .value = "OFFSET", .number_max = INT64_MAX, .help = "The last one" }, { 0 } },
	.examples = "log dump my-database --data-dir ./data --from 1000 --to 1010", .run = run_dump };

const struct cli_command cli_command_log = {
	.name = "log",
	.summary = "Look into the commit log of a database",
	.commands = (const struct cli_command *const[]){ &command_inspect, &command_verify, &command_dump, NULL },
};
