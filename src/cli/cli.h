/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_H
#define CLI_H
/*
 * cli: the command line. A command is data (struct cli_command: arguments,
 * options, help) and one function. Client commands speak HTTP and WebSocket
 * to a host, like any other client; only `start` runs one.
 *
 * One thread. A process runs one command and ends, so what a command keeps
 * lives in its arena until then, and a failed allocation of ours ends the
 * program with a text; sizes that a server names are checked before.
 *
 * Errors are a chain from the outermost text to the causes. Who fails records
 * and returns false; main prints the chain once: "Error: …", "Caused by: …".
 * Results go to stdout, everything else to stderr.
 */
#include "base/arena.h"
#include "base/buf.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };
enum {
	CLI_ERRORS_MAX = 8,
	CLI_FILE_BYTES_MAX = 1 << 30,   /* of a module, of an answer */
	CLI_CONFIG_BYTES_MAX = 1 << 20,
};

struct cli_args;
struct cli_config;
struct cli {
	const char *program;     /* what help texts call us: "worldline", or "spacetime" when started as one */
	const char *config_path; /* of cli.toml; NULL, like those below, when there is no home folder */
	const char *config_dir, *data_dir;
	struct arena arena;
	struct cli_config *config; /* NULL for commands that need none */
	void *http;                /* of http.c */
	struct buf errors[CLI_ERRORS_MAX]; /* innermost first */
	uint32_t error_count;
};

/* An option. Values are texts; what they must look like is checked while parsing. */
struct cli_option {
	const char *name, *alias;    /* --name; the alias is accepted but not shown */
	const char *value;           /* "SERVER"; NULL: a flag */
	const char *bare;            /* the value of a bare --name; then a value binds only with '=' */
	const char *preset;          /* the value when the option is absent */
	const char *const *choices;  /* ended by NULL; "text|txt": txt is another spelling of text */
	uint64_t number_max;         /* > 0: a decimal number up to this */
	const char *conflicts;       /* names of options, separated by blanks */
	const char *requires_option;
	const char *help;
	char letter;
	bool required, hidden, list; /* list: may repeat, values are joined by commas */
};
struct cli_word { /* a positional argument */
	const char *name, *help;
	bool required, rest; /* rest: takes all that follow */
};
struct cli_command {
	const char *name, *summary, *details, *examples;
	const struct cli_word *words;      /* ended by a NULL name; NULL: none */
	const struct cli_option *options;  /* the same */
	const struct cli_command *const *commands; /* of a group, ended by NULL */
	bool unstable;                     /* warns on stderr, as the field does */
	bool local;                        /* needs no cli.toml */
	bool (*run)(struct cli *cli, const struct cli_args *args);
	int (*run_raw)(struct cli *cli, int argc, char **argv); /* instead of run: parses itself, returns the status */
};

extern const struct cli_command cli_command_publish, cli_command_delete, cli_command_logs, cli_command_call,
	cli_command_describe, cli_command_sql, cli_command_rename, cli_command_list, cli_command_login, cli_command_logout,
	cli_command_server, cli_command_log, cli_command_backup, cli_command_state_hash, cli_command_subscribe,
	cli_command_lock,
	cli_command_unlock, cli_command_build, cli_command_init;

int cli_start(int argc, char **argv);

/* ---- what all commands use (session.c) ---- */

void cli_init(struct cli *cli, const char *argv0);
void cli_deinit(struct cli *cli);
/* Paths from --root-dir, --config-path (both may be NULL) and the environment. */
void cli_find_paths(struct cli *cli, const char *root_dir, const char *config_path);

/* Records the innermost text, and drops what was recorded before. Returns false. */
bool cli_fail(struct cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);
bool cli_fail_errno(struct cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);
/* Records a text around what is there. Returns false. */
bool cli_fail_around(struct cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);
void cli_print_errors(struct cli *cli);
void cli_forget_errors(struct cli *cli); /* what failed was not needed */

/* Memory until the end; never NULL. */
void *cli_alloc(struct cli *cli, size_t size);
char *cli_text(struct cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);
char *cli_keep(struct cli *cli, struct str text);
/* Ends the program when `buf` failed; for buffers whose content is already in memory in another form. */
void cli_check(struct cli *cli, const struct buf *buf);
_Noreturn void cli_out_of_memory(void);

bool cli_read_file(struct cli *cli, const char *path, size_t bytes_max, struct buf *out, bool *missing);
/* Asks; true for y or yes. `force` answers by itself. */
bool cli_confirm(bool force, const char *question);
/* Text from outside, for a person: on a terminal control characters lose their power. */
void cli_put_shown(struct buf *out, struct str text);
bool cli_print(struct cli *cli, const struct buf *out); /* to stdout, flushed */
#endif
