/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of a subscription from anybody: lines of JSON come out, or a refusal. */
#include "cli/updates.h"

static const char schema_json[] =
	"{\"sections\":[{\"Typespace\":{\"types\":["
	"{\"Product\":{\"elements\":[{\"name\":{\"some\":\"id\"},\"algebraic_type\":{\"U32\":[]}},"
	"{\"name\":{\"some\":\"name\"},\"algebraic_type\":{\"String\":[]}},"
	"{\"name\":{\"some\":\"more\"},\"algebraic_type\":{\"Array\":{\"Sum\":{\"variants\":["
	"{\"name\":{\"some\":\"some\"},\"algebraic_type\":{\"F64\":[]}},"
	"{\"name\":{\"some\":\"none\"},\"algebraic_type\":{\"Product\":{\"elements\":[]}}}]}}}}]}},"
	"{\"Product\":{\"elements\":[]}}]}},"
	"{\"Tables\":[{\"source_name\":\"p\",\"product_type_ref\":0},{\"source_name\":\"e\",\"product_type_ref\":1}]}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cli cli;
	struct cli_schema schema;
	struct cli_updates updates;
	struct buf out = BUF_INIT(1 << 26);
	if (size > 64 << 10)
		return -1;
	cli_init(&cli, NULL);
	ASSERT(cli_schema_parse(&cli, str_of(schema_json), 10, &schema));
	cli_updates_init(&updates, &cli, &schema);
	updates.print_initial = true;
	bool ok = cli_updates_take(&updates, data, size, &out);
	ASSERT(ok || cli.error_count > 0);
	for (size_t at = 0; at < out.len;) { /* every line is one JSON object */
		const uint8_t *newline = memchr(out.data + at, '\n', out.len - at);
		struct native_json doc = { 0 };
		char why[256];
		ASSERT(newline != NULL);
		size_t len = (size_t)(newline - out.data) - at;
		ASSERT(native_json_parse((const char *)out.data + at, len, &doc, why, sizeof(why)) == 0);
		native_json_free(&doc);
		at += len + 1;
	}
	cli_updates_deinit(&updates);
	cli_schema_deinit(&schema);
	buf_deinit(&out);
	cli_deinit(&cli);
	return 0;
}
