/* SPDX-License-Identifier: Apache-2.0 */
/* `call`: a reducer or procedure with arguments from the command line. */
#include "cli/schema.h"
#include "cli/similar.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAMES_SHOWN_MAX = 10 };

/* ---- texts that help ---- */

static void put_braced(struct buf *out, const struct sats_type *type, const struct sats_typespace *space,
	uint32_t depth);

/* A type as a Rust programmer writes it. */
static void put_type(struct buf *out, const struct sats_type *type, const struct sats_typespace *space, uint32_t depth)
{
	static const char *const names[SATS_TAG_COUNT] = { [SATS_STRING] = "String", [SATS_BOOL] = "bool", [SATS_I8] = "i8",
		[SATS_U8] = "u8", [SATS_I16] = "i16", [SATS_U16] = "u16", [SATS_I32] = "i32", [SATS_U32] = "u32",
		[SATS_I64] = "i64", [SATS_U64] = "u64", [SATS_I128] = "i128", [SATS_U128] = "u128", [SATS_I256] = "i256",
		[SATS_U256] = "u256", [SATS_F32] = "f32", [SATS_F64] = "f64" };
	if (depth > SATS_DEPTH_MAX) /* a recursive type */
		buf_put_cstr(out, "...");
	else if (type->special == SATS_IDENTITY)
		buf_put_cstr(out, "Identity");
	else if (type->special == SATS_CONNECTION_ID)
		buf_put_cstr(out, "ConnectionId");
	else if (type->special == SATS_SCHEDULE_AT)
		buf_put_cstr(out, "ScheduleAt");
	else if (type->special == SATS_OPTION || type->tag == SATS_ARRAY) {
		buf_put_cstr(out, type->tag == SATS_ARRAY ? "Vec<" : "Option<");
		put_type(out, type->tag == SATS_ARRAY ? type->element : type->elements[0].type, space, depth + 1);
		buf_put_cstr(out, ">");
	} else if (type->tag == SATS_SUM || type->tag == SATS_PRODUCT) {
		buf_put_cstr(out, type->tag == SATS_SUM ? "enum " : "");
		put_braced(out, type, space, depth);
	} else if (type->tag == SATS_REF) {
		const struct sats_type *followed = sats_follow(space, type);
		if (followed != NULL)
			put_type(out, followed, space, depth + 1);
		else
			buf_put_cstr(out, "?");
	} else {
		buf_put_cstr(out, names[type->tag]);
	}
}

static void put_braced(struct buf *out, const struct sats_type *type, const struct sats_typespace *space,
	uint32_t depth)
{
	buf_put_cstr(out, "{");
	for (uint32_t i = 0; i < type->count && !out->failed; i++) {
		buf_put_cstr(out, i > 0 ? ", " : " ");
		if (type->elements[i].name.data != NULL)
			buf_printf(out, "%.*s: ", STR_FMT(type->elements[i].name));
		put_type(out, type->elements[i].type, space, depth + 1);
	}
	buf_put_cstr(out, type->count > 0 ? " }" : "}");
}

static void put_signature(struct cli *cli, struct buf *out, const struct cli_function *function, const char *name)
{
	buf_printf(out, "%s(", name);
	for (uint32_t i = 0; i < function->params->count; i++) {
		const struct sats_element *param = &function->params->elements[i];
		buf_put_cstr(out, i > 0 ? ", " : "");
		if (param->name.data != NULL) {
			size_t cap = 4 * param->name.len + 16;
			char *snake = cli_alloc(cli, cap);
			size_t len = native_case_convert(NATIVE_CASE_SNAKE, param->name.data, param->name.len, snake, cap);
			buf_printf(out, "%.*s: ", (int)len, snake);
		}
		put_type(out, param->type, function->space, 0);
	}
	buf_put_cstr(out, ")");
}

/* Names of reducers that may be called, or of procedures. */
static uint32_t names_of(struct cli *cli, const struct cli_schema *schema, bool procedures, struct str **out)
{
	uint32_t count = 0;
	*out = cli_alloc(cli, ((size_t)schema->function_count + 1) * sizeof(**out));
	for (uint32_t i = 0; i < schema->function_count; i++)
		if (schema->functions[i].procedure == procedures && !schema->functions[i].lifecycle)
			(*out)[count++] = schema->functions[i].name;
	return count;
}

struct ranked {
	size_t distance;
	uint32_t index;
};

static int order_ranked(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	if (a->distance != b->distance)
		return a->distance < b->distance ? -1 : 1;
	return a->index < b->index ? -1 : 1;
}

static void put_names(struct cli *cli, struct buf *out, const struct str *names, uint32_t count, struct str name,
	const char *kind)
{
	struct ranked *ranked = cli_alloc(cli, ((size_t)count + 1) * sizeof(*ranked));
	if (count == 0) {
		buf_printf(out, "\n\nThe database has no %ss.", kind);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		ranked[i] = (struct ranked){ cli_edit_distance(name, names[i]), i };
	qsort(ranked, count, sizeof(*ranked), order_ranked);
	buf_printf(out, "\n\nHere are some existing %ss:", kind);
	for (uint32_t i = 0; i < count && i < NAMES_SHOWN_MAX; i++)
		buf_printf(out, "\n- %.*s", STR_FMT(names[ranked[i].index]));
	if (count > NAMES_SHOWN_MAX)
		buf_printf(out, "\n... (%u %s%s not shown)", count - NAMES_SHOWN_MAX, kind,
			count - NAMES_SHOWN_MAX == 1 ? "" : "s");
}

static const char *no_such_text(struct cli *cli, const struct cli_target *target, const struct cli_schema *schema,
	const char *name)
{
	struct str *reducers, *procedures, wanted = str_of(name);
	uint32_t reducer_count = names_of(cli, schema, false, &reducers);
	uint32_t procedure_count = names_of(cli, schema, true, &procedures);
	struct buf out = BUF_INIT(1 << 20);
	buf_printf(&out, "No such reducer OR procedure `%s` for database `%s` resolving to identity `%s`.", name,
		target->database, target->identity);
	uint32_t reducer = cli_similar_find(reducers, reducer_count, wanted);
	uint32_t procedure = cli_similar_find(procedures, procedure_count, wanted);
	if (reducer != UINT32_MAX) {
		buf_printf(&out, "\n\nA reducer with a similar name exists: `%.*s`", STR_FMT(reducers[reducer]));
	} else if (procedure != UINT32_MAX) {
		buf_printf(&out, "\n\nA procedure with a similar name exists: `%.*s`", STR_FMT(procedures[procedure]));
	} else {
		put_names(cli, &out, reducers, reducer_count, wanted, "reducer");
		put_names(cli, &out, procedures, procedure_count, wanted, "procedure");
	}
	const char *kept = cli_keep(cli, buf_str(&out));
	buf_deinit(&out);
	return kept;
}

/* ---- the call ---- */

static bool starts_with(struct str text, const char *prefix)
{
	size_t len = strlen(prefix);
	return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

/* What a person may leave out: quotes around a string, the array around an identity. */
static void put_argument(struct buf *out, const struct sats_type *type, struct str text)
{
	if (type->special == SATS_IDENTITY) {
		while (text.len > 0 && text.data[0] == '"') {
			text.data++;
			text.len--;
		}
		while (text.len > 0 && text.data[text.len - 1] == '"')
			text.len--;
		if (starts_with(text, "0x"))
			buf_printf(out, "[\"%.*s\"]", STR_FMT(text));
		else if (starts_with(text, "c200"))
			buf_printf(out, "[\"0x%.*s\"]", STR_FMT(text));
		else
			buf_put_str(out, text);
	} else if (type->tag == SATS_STRING && !(text.len > 0 && text.data[0] == '"' && text.data[text.len - 1] == '"')) {
		buf_printf(out, "\"%.*s\"", STR_FMT(text));
	} else {
		buf_put_str(out, text);
	}
}

static bool fail_call(struct cli *cli, const struct cli_target *target, const struct cli_schema *schema,
	const struct cli_function *function, const char *name, const struct cli_reply *reply)
{
	struct str body = buf_str(&reply->body);
	const char *kind = function->procedure ? "procedure" : "reducer";
	cli_fail_status(cli, reply);
	cli_fail_around(cli, "Response text: %.*s", STR_FMT(body));
	if (starts_with(body, "no such reducer") || starts_with(body, "no such procedure"))
		return cli_fail_around(cli, "%s", no_such_text(cli, target, schema, name));
	if (!starts_with(body, "invalid arguments"))
		return false;
	struct buf signature = BUF_INIT(1 << 20);
	put_signature(cli, &signature, function, name);
	cli_fail_around(cli, "Invalid arguments provided for %s `%s` for database `%s` resolving to identity `%s`.\n\n"
		"The %s has the following signature:\n\t%s", kind, name, target->database, target->identity, kind,
		buf_text(&signature));
	buf_deinit(&signature);
	return false;
}

static bool send_call(struct cli *cli, const struct cli_target *target, const struct cli_schema *schema,
	const struct cli_function *function, const char *name, const struct buf *arguments)
{
	struct cli_reply reply;
	struct cli_request request = { .method = "POST", .token = target->token, .content_type = "application/json",
		.has_body = true, .body = buf_bytes(arguments),
		.url = cli_target_url(cli, target, cli_text(cli, "call/%s", cli_percent(cli, name))) };
	if (!cli_http(cli, &request, &reply))
		return false;
	bool ok = cli_reply_good(&reply) || fail_call(cli, target, schema, function, name, &reply);
	if (ok && function->procedure) {
		buf_put_cstr(&reply.body, "\n");
		ok = cli_print(cli, &reply.body);
	}
	cli_reply_deinit(&reply);
	return ok;
}

static bool run(struct cli *cli, const struct cli_args *args)
{
	struct cli_words words;
	struct cli_target target;
	struct cli_schema schema;
	if (!cli_words_required(cli, args, "function_name", "call [database] <function_name> <arguments>... "
			"(or --no-config for legacy behavior)", &words)
		|| !cli_target_open(cli, args, &words, &target) || !cli_schema_fetch(cli, &target, &schema))
		return false;
	const char *name = words.rest[0];
	const struct cli_function *function = cli_schema_function(&schema, str_of(name));
	bool ok;
	if (function == NULL) {
		ok = cli_fail(cli, "%s", no_such_text(cli, &target, &schema, name));
	} else {
		struct buf arguments = BUF_INIT(CLI_FILE_BYTES_MAX);
		buf_put_cstr(&arguments, "[");
		for (uint32_t i = 0; i < function->params->count && i + 1 < words.rest_count; i++) {
			buf_put_cstr(&arguments, i > 0 ? ", " : "");
			put_argument(&arguments, function->params->elements[i].type, str_of(words.rest[i + 1]));
		}
		buf_put_cstr(&arguments, "]");
		cli_check(cli, &arguments);
		ok = send_call(cli, &target, &schema, function, name, &arguments);
		buf_deinit(&arguments);
	}
	cli_schema_deinit(&schema);
	return ok;
}

const struct cli_command cli_command_call = {
	.name = "call",
	.summary = "Call a reducer or procedure of a database",
	.unstable = true,
	.details = "Arguments are JSON, one word each. Strings may go without quotes, identities as bare hex digits.",
	.words = (const struct cli_word[]){
		{ .name = "DATABASE", .help = "Name or identity; may be left out where spacetime.json names one" },
		{ .name = "FUNCTION", .help = "The reducer or procedure" },
		{ .name = "ARGUMENTS", .help = "Its arguments, in order", .rest = true }, { 0 } },
	.options = (const struct cli_option[]){
		CLI_OPTION_SERVER("The server of the database"), CLI_OPTION_ANONYMOUS, CLI_OPTION_YES, CLI_OPTION_NO_CONFIG,
		{ 0 } },
	.examples = "call quickstart add Ada\ncall quickstart rename 1 '\"Grace\"'\n"
		"call --server local -- quickstart say_hello",
	.run = run,
};
