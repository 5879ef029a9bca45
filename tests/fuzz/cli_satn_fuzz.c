/* SPDX-License-Identifier: Apache-2.0 */
/* A type description on the first line and a value behind it, both from anybody, as `sql` shows them. */
#include "cli/satn.h"
#include "cli/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cli cli;
	struct native_json type_doc = { 0 }, doc = { 0 };
	struct buf out = BUF_INIT(1 << 20);
	struct error error;
	char why[256];
	uint32_t node = 0;
	const char *text = (const char *)data;
	const char *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	if (newline == NULL || size > 64 << 10)
		return -1;
	size_t first = (size_t)(newline - text);
	cli_init(&cli, NULL);
	if (native_json_parse(text, first, &type_doc, why, sizeof(why)) == 0
		&& native_json_parse(newline + 1, size - first - 1, &doc, why, sizeof(why)) == 0) {
		const struct sats_type *type = cli_type_parse(&cli, &type_doc, 0);
		if (type != NULL && cli_satn_write(&out, type, &doc, &node, &error) == WL_OK)
			ASSERT(node == doc.node_count);
	}
	native_json_free(&type_doc);
	native_json_free(&doc);
	buf_deinit(&out);
	cli_deinit(&cli);
	return 0;
}
