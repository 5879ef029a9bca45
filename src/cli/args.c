/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading arguments by table, and printing help from it. Nothing here knows a command: a flag that is not in a table
 * does not exist, and one that is appears in --help.
 */
#include "cli/args.h"

#include <stdio.h>
#include <stdlib.h>

enum { HELP_COLUMNS = 100, HELP_LEFT_MAX = 34 };

const char *const cli_choices_bool[] = { "true", "false", NULL };
const char *const cli_choices_format[] = { "text|default|txt", "json", NULL };

static const struct cli_option option_help = { .name = "help", .letter = 'h', .help = "Print help" };

/* ---- the table ---- */

static uint32_t option_count(const struct cli_command *command)
{
	uint32_t count = 0;
	while (command->options != NULL && command->options[count].name != NULL)
		count++;
	ASSERT(count <= CLI_OPTIONS_MAX);
	return count;
}

static uint32_t option_index(const struct cli_command *command, struct str name)
{
	uint32_t count = option_count(command);
	for (uint32_t i = 0; i < count; i++) {
		const struct cli_option *option = &command->options[i];
		if (str_eq(str_of(option->name), name) || (option->alias != NULL && str_eq(str_of(option->alias), name)))
			return i;
	}
	return UINT32_MAX;
}

static uint32_t option_of_letter(const struct cli_command *command, char letter)
{
	uint32_t count = option_count(command);
	for (uint32_t i = 0; i < count; i++)
		if (command->options[i].letter == letter)
			return i;
	return UINT32_MAX;
}

static uint32_t index_of(const struct cli_args *args, const char *name)
{
	uint32_t index = option_index(args->command, str_of(name));
	ASSERT(index != UINT32_MAX); /* a command asks for an option that its table lacks */
	return index;
}

const char *cli_args_text(const struct cli_args *args, const char *name)
{
	uint32_t index = index_of(args, name);
	return args->values[index] != NULL ? args->values[index] : args->command->options[index].preset;
}

bool cli_args_flag(const struct cli_args *args, const char *name)
{
	return args->values[index_of(args, name)] != NULL;
}

uint64_t cli_args_number(const struct cli_args *args, const char *name)
{
	const char *text = cli_args_text(args, name);
	ASSERT(text != NULL);
	return strtoull(text, NULL, 10);
}

bool cli_args_has(const struct cli_args *args, const char *name, const char *item)
{
	const char *list = cli_args_text(args, name);
	size_t len = strlen(item);
	while (list != NULL) {
		const char *comma = strchr(list, ',');
		size_t part = comma != NULL ? (size_t)(comma - list) : strlen(list);
		if (part == len && memcmp(list, item, len) == 0)
			return true;
		list = comma != NULL ? comma + 1 : NULL;
	}
	return false;
}

/* ---- usage and help ---- */

static void put_option(struct buf *out, const struct cli_option *option)
{
	buf_printf(out, "--%s", option->name);
	if (option->value != NULL)
		buf_printf(out, option->bare != NULL ? "[=<%s>]" : " <%s>", option->value);
}

static void put_usage(struct buf *out, const struct cli_command *command, const char *path)
{
	uint32_t count = option_count(command);
	bool optional = false;
	buf_printf(out, "Usage: %s", path);
	for (uint32_t i = 0; i < count; i++)
		optional = optional || (!command->options[i].required && !command->options[i].hidden);
	if (optional)
		buf_put_cstr(out, " [OPTIONS]");
	for (uint32_t i = 0; i < count; i++) {
		if (!command->options[i].required)
			continue;
		buf_put_cstr(out, " ");
		put_option(out, &command->options[i]);
	}
	for (const struct cli_word *word = command->words; word != NULL && word->name != NULL; word++)
		buf_printf(out, word->required ? " <%s>%s" : " [%s]%s", word->name, word->rest ? "..." : "");
	if (command->commands != NULL)
		buf_put_cstr(out, command->run != NULL ? "\n       " : " <COMMAND>");
	if (command->commands != NULL && command->run != NULL)
		buf_printf(out, "%s <COMMAND>", path);
	buf_put_cstr(out, "\n");
}

/* A left column and a text that is wrapped beside it. */
static void put_entry(struct buf *out, const char *left, const char *right, size_t width)
{
	size_t column = width + 4;
	buf_printf(out, "  %-*s", (int)width, left);
	if (strlen(left) > width)
		buf_printf(out, "\n%*s", (int)column - 2, "");
	buf_put_cstr(out, "  ");
	size_t at = column;
	while (*right != '\0') {
		size_t word = strcspn(right, " ");
		if (at > column && at + 1 + word > HELP_COLUMNS) {
			buf_printf(out, "\n%*s", (int)column, "");
			at = column;
		} else if (at > column) {
			buf_put_cstr(out, " ");
			at++;
		}
		buf_put(out, right, word);
		at += word;
		right += word;
		right += strspn(right, " ");
	}
	buf_put_cstr(out, "\n");
}

static void option_left(const struct cli_option *option, struct buf *out)
{
	buf_clear(out);
	if (option->letter != '\0')
		buf_printf(out, "-%c, ", option->letter);
	else
		buf_put_cstr(out, "    ");
	put_option(out, option);
}

static void option_right(const struct cli_option *option, struct buf *out)
{
	buf_clear(out);
	buf_put_cstr(out, option->help);
	if (option->preset != NULL)
		buf_printf(out, " [default: %s]", option->preset);
	if (option->choices == NULL)
		return;
	buf_put_cstr(out, " [possible values: ");
	for (uint32_t i = 0; option->choices[i] != NULL; i++)
		buf_printf(out, "%s%.*s", i > 0 ? ", " : "", (int)strcspn(option->choices[i], "|"), option->choices[i]);
	buf_put_cstr(out, "]");
}

static void put_options(struct buf *out, const struct cli_command *command)
{
	uint32_t count = option_count(command);
	size_t width = 0;
	struct buf left = BUF_INIT(4096), right = BUF_INIT(4096);
	for (uint32_t i = 0; i <= count; i++) {
		option_left(i < count ? &command->options[i] : &option_help, &left);
		if (i == count || !command->options[i].hidden)
			width = size_max(width, left.len);
	}
	width = size_min(width, HELP_LEFT_MAX);
	buf_put_cstr(out, "\nOptions:\n");
	for (uint32_t i = 0; i <= count; i++) {
		const struct cli_option *option = i < count ? &command->options[i] : &option_help;
		if (option->hidden)
			continue;
		option_left(option, &left);
		option_right(option, &right);
		put_entry(out, buf_text(&left), buf_text(&right), width);
	}
	buf_deinit(&left);
	buf_deinit(&right);
}

static void put_words(struct buf *out, const struct cli_command *command)
{
	size_t width = 0;
	struct buf left = BUF_INIT(4096);
	if (command->words == NULL)
		return;
	for (const struct cli_word *word = command->words; word->name != NULL; word++)
		width = size_max(width, strlen(word->name) + 2 + (word->rest ? 3 : 0));
	buf_put_cstr(out, "\nArguments:\n");
	for (const struct cli_word *word = command->words; word->name != NULL; word++) {
		buf_clear(&left);
		buf_printf(&left, word->required ? "<%s>%s" : "[%s]%s", word->name, word->rest ? "..." : "");
		put_entry(out, buf_text(&left), word->help, width);
	}
	buf_deinit(&left);
}

static void put_commands(struct buf *out, const struct cli_command *command)
{
	size_t width = 0;
	if (command->commands == NULL)
		return;
	for (uint32_t i = 0; command->commands[i] != NULL; i++)
		width = size_max(width, strlen(command->commands[i]->name));
	buf_put_cstr(out, "\nCommands:\n");
	for (uint32_t i = 0; command->commands[i] != NULL; i++)
		put_entry(out, command->commands[i]->name, command->commands[i]->summary, width);
}

void cli_help_print(struct cli *cli, const struct cli_command *command, const char *path, bool to_stderr)
{
	struct buf out = BUF_INIT(1 << 20);
	buf_printf(&out, "%s%s\n\n", command->summary, command->unstable ?
		". WARNING: This command is UNSTABLE and subject to breaking changes." : "");
	put_usage(&out, command, path);
	put_commands(&out, command);
	put_words(&out, command);
	put_options(&out, command);
	if (command->details != NULL)
		buf_printf(&out, "\n%s\n", command->details);
	if (command->examples != NULL) {
		buf_put_cstr(&out, "\nExamples:\n");
		for (const char *line = command->examples; *line != '\0';) {
			size_t len = strcspn(line, "\n");
			buf_printf(&out, "  %s %.*s\n", cli->program, (int)len, line);
			line += len + (line[len] == '\n');
		}
	}
	cli_check(cli, &out);
	fputs(buf_text(&out), to_stderr ? stderr : stdout);
	buf_deinit(&out);
}

/* ---- parsing ---- */

struct parsing {
	struct cli *cli;
	struct cli_args *args;
	int argc, at;
	char **argv;
	bool given[CLI_OPTIONS_MAX];
};

static int refuse(const struct parsing *p, bool usage, const char *format, ...) PRINTF_LIKE(3, 4);
static int refuse(const struct parsing *p, bool usage, const char *format, ...)
{
	struct buf out = BUF_INIT(1 << 20);
	va_list list;
	buf_put_cstr(&out, "error: ");
	va_start(list, format);
	buf_vprintf(&out, format, list);
	va_end(list);
	buf_put_cstr(&out, "\n\n");
	if (usage) {
		put_usage(&out, p->args->command, p->args->path);
		buf_put_cstr(&out, "\n");
	}
	buf_put_cstr(&out, "For more information, try '--help'.\n");
	fputs(buf_text(&out), stderr);
	buf_deinit(&out);
	return CLI_USAGE;
}

static const char *shown(const struct parsing *p, const struct cli_option *option)
{
	struct buf text = BUF_INIT(4096);
	put_option(&text, option);
	const char *kept = cli_text(p->cli, "%s", buf_text(&text));
	buf_deinit(&text);
	return kept;
}

/* The first spelling of the choice that `text` names; NULL: none. */
static const char *choice_find(const struct parsing *p, const struct cli_option *option, struct str text)
{
	for (uint32_t i = 0; option->choices[i] != NULL; i++) {
		const char *choice = option->choices[i], *at = choice;
		for (;;) {
			size_t len = strcspn(at, "|");
			if (str_eq(text, (struct str){ at, len }))
				return cli_keep(p->cli, (struct str){ choice, strcspn(choice, "|") });
			if (at[len] == '\0')
				break;
			at += len + 1;
		}
	}
	return NULL;
}

static int refuse_choice(const struct parsing *p, const struct cli_option *option, struct str text)
{
	struct buf list = BUF_INIT(4096);
	for (uint32_t i = 0; option->choices[i] != NULL; i++)
		buf_printf(&list, "%s%.*s", i > 0 ? ", " : "", (int)strcspn(option->choices[i], "|"), option->choices[i]);
	int status = refuse(p, false, "invalid value '%.*s' for '%s'\n  [possible values: %s]", STR_FMT(text),
		shown(p, option), buf_text(&list));
	buf_deinit(&list);
	return status;
}

static int check_number(const struct parsing *p, const struct cli_option *option, const char *text)
{
	uint64_t value = 0;
	const char *why = text[0] == '\0' ? "cannot parse integer from empty string" : NULL;
	for (const char *at = text; *at != '\0' && why == NULL; at++) {
		if (*at < '0' || *at > '9')
			why = "invalid digit found in string";
		else if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *at - '0', &value)
			|| value > option->number_max)
			why = "number too large to fit in target type";
	}
	return why == NULL ? CLI_DONE : refuse(p, false, "invalid value '%s' for '%s': %s", text, shown(p, option), why);
}

/* One value, or a comma list of choices. */
static int take_value(struct parsing *p, uint32_t index, const char *value)
{
	const struct cli_option *option = &p->args->command->options[index];
	const char **slot = &p->args->values[index];
	if (p->given[index] && !option->list)
		return refuse(p, true, "the argument '%s' cannot be used multiple times", shown(p, option));
	p->given[index] = true;
	if (option->number_max > 0) {
		int status = check_number(p, option, value);
		if (status != CLI_DONE)
			return status;
	}
	if (option->choices == NULL) {
		*slot = *slot != NULL ? cli_text(p->cli, "%s,%s", *slot, value) : value; /* a second one: of a list */
		return CLI_DONE;
	}
	for (const char *at = value;;) {
		size_t len = option->list ? strcspn(at, ",") : strlen(at);
		const char *choice = choice_find(p, option, (struct str){ at, len });
		if (choice == NULL)
			return refuse_choice(p, option, (struct str){ at, len });
		*slot = *slot != NULL && option->list ? cli_text(p->cli, "%s,%s", *slot, choice) : choice;
		if (at[len] == '\0')
			return CLI_DONE;
		at += len + 1;
	}
}

/* `attached`: what stood behind '=' or the letter; NULL: nothing. */
static int take_option(struct parsing *p, uint32_t index, const char *attached)
{
	const struct cli_option *option = &p->args->command->options[index];
	if (option->value == NULL) {
		if (attached != NULL)
			return refuse(p, true, "unexpected value '%s' for '--%s' found; no more were accepted", attached,
				option->name);
		return take_value(p, index, "true");
	}
	if (attached == NULL && option->bare != NULL)
		return take_value(p, index, option->bare);
	if (attached == NULL && p->at + 1 < p->argc
		&& (p->argv[p->at + 1][0] != '-' || p->argv[p->at + 1][1] == '\0'))
		attached = p->argv[++p->at];
	if (attached == NULL)
		return refuse(p, false, "a value is required for '%s' but none was supplied", shown(p, option));
	return take_value(p, index, attached);
}

static bool help_wanted(struct parsing *p, const char *arg)
{
	if (strcmp(arg, "--help") != 0 && strcmp(arg, "-h") != 0)
		return false;
	cli_help_print(p->cli, p->args->command, p->args->path, false);
	return true;
}

static int take_long(struct parsing *p, const char *arg)
{
	size_t len = strcspn(arg + 2, "=");
	uint32_t index = option_index(p->args->command, (struct str){ arg + 2, len });
	if (index == UINT32_MAX)
		return refuse(p, true, "unexpected argument '--%.*s' found", (int)len, arg + 2);
	return take_option(p, index, arg[2 + len] == '=' ? arg + 3 + len : NULL);
}

static int take_short(struct parsing *p, const char *arg)
{
	for (const char *at = arg + 1; *at != '\0'; at++) {
		uint32_t index = option_of_letter(p->args->command, *at);
		if (index == UINT32_MAX)
			return refuse(p, true, "unexpected argument '-%c' found", *at);
		const struct cli_option *option = &p->args->command->options[index];
		bool rest = option->value != NULL && at[1] != '\0' && (option->bare == NULL || at[1] == '=');
		int status = take_option(p, index, rest ? at + 1 + (at[1] == '=') : NULL);
		if (status != CLI_DONE || rest)
			return status;
	}
	return CLI_DONE;
}

static int take_word(struct parsing *p, char *arg)
{
	uint32_t room = 0;
	for (const struct cli_word *word = p->args->command->words; word != NULL && word->name != NULL; word++)
		room = word->rest ? UINT32_MAX : room + 1;
	if (p->args->word_count >= room)
		return refuse(p, true, "unexpected argument '%s' found", arg);
	p->args->words[p->args->word_count++] = arg;
	return CLI_DONE;
}

static bool is_negative_number(const char *arg)
{
	return arg[0] == '-' && ((arg[1] >= '0' && arg[1] <= '9') || arg[1] == '.');
}

static int check_conflicts(struct parsing *p)
{
	const struct cli_command *command = p->args->command;
	uint32_t count = option_count(command);
	for (uint32_t i = 0; i < count; i++) {
		const char *list = command->options[i].conflicts, *needs = command->options[i].requires_option;
		while (p->given[i] && list != NULL && *list != '\0') {
			size_t len = strcspn(list, " ");
			uint32_t other = option_index(command, (struct str){ list, len });
			ASSERT(other != UINT32_MAX);
			if (p->given[other])
				return refuse(p, true, "the argument '%s' cannot be used with '%s'", shown(p, &command->options[i]),
					shown(p, &command->options[other]));
			list += len + (list[len] == ' ');
		}
		if (p->given[i] && needs != NULL && !p->given[option_index(command, str_of(needs))])
			return refuse(p, true, "the following required arguments were not provided:\n  %s",
				shown(p, &command->options[option_index(command, str_of(needs))]));
	}
	return CLI_DONE;
}

static int check_required(struct parsing *p)
{
	const struct cli_command *command = p->args->command;
	struct buf missing = BUF_INIT(1 << 16);
	uint32_t count = option_count(command), words = 0;
	for (uint32_t i = 0; i < count; i++)
		if (command->options[i].required && !p->given[i])
			buf_printf(&missing, "\n  %s", shown(p, &command->options[i]));
	for (const struct cli_word *word = command->words; word != NULL && word->name != NULL; word++)
		if (word->required && ++words > p->args->word_count)
			buf_printf(&missing, "\n  <%s>%s", word->name, word->rest ? "..." : "");
	int status = missing.len == 0 ? CLI_DONE :
		refuse(p, true, "the following required arguments were not provided:%s", buf_text(&missing));
	buf_deinit(&missing);
	return status;
}

int cli_args_parse(struct cli *cli, const struct cli_command *command, const char *path, int argc, char **argv,
	struct cli_args *out, bool *ended)
{
	*out = (struct cli_args){ .command = command, .path = path };
	*ended = false;
	out->words = cli_alloc(cli, ((size_t)argc + 1) * sizeof(*out->words));
	struct parsing p = { .cli = cli, .args = out, .argc = argc, .argv = argv };
	bool words_only = false;
	int status = CLI_DONE;
	for (; p.at < argc && status == CLI_DONE; p.at++) {
		char *arg = argv[p.at];
		if (words_only || arg[0] != '-' || arg[1] == '\0' || is_negative_number(arg)) {
			status = take_word(&p, arg);
		} else if (strcmp(arg, "--") == 0) {
			words_only = true;
		} else if (help_wanted(&p, arg)) {
			*ended = true;
			return CLI_DONE;
		} else {
			status = arg[1] == '-' ? take_long(&p, arg) : take_short(&p, arg);
		}
	}
	if (status == CLI_DONE)
		status = check_conflicts(&p);
	if (status == CLI_DONE)
		status = check_required(&p);
	*ended = status != CLI_DONE;
	return status;
}
