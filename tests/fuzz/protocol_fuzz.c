/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client sends, in any version: v2 and batches, v1 as BSATN and as JSON. What decodes can be walked through,
 * and lies within the message.
 */
#include "protocol/v1.h"

static void check_inside(struct bytes part, const uint8_t *data, size_t size)
{
	ASSERT(part.len == 0 || (part.data >= data && part.data + part.len <= data + size));
}

static void walk_queries(struct bytes queries, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		(void)protocol_next_query(&queries);
	ASSERT(queries.len == 0);
}

static void check_v2(const uint8_t *data, size_t size)
{
	struct error error;
	struct protocol_client_message message;
	struct reader r = reader_of(data, size);
	if (protocol_v2_decode(&r, &message, &error) != WL_OK) {
		ASSERT(error.text[0] != '\0');
		return;
	}
	ASSERT(protocol_v2_client_message_size(data, size, &error) == (size_t)(r.at - data));
	check_inside(message.queries, data, size);
	check_inside(message.args, data, size);
	walk_queries(message.queries, message.query_count);
	for (uint32_t i = 0; i < message.set_count; i++) {
		struct protocol_set set = protocol_next_set(&message.sets);
		walk_queries(set.queries, set.query_count);
	}
	ASSERT(message.sets.len == 0);
}

static void check_v1(const uint8_t *data, size_t size)
{
	struct error error;
	struct protocol_v1_message message;
	if (protocol_v1_decode(data, size, &message, &error) != WL_OK) {
		ASSERT(error.text[0] != '\0');
		return;
	}
	check_inside(message.args, data, size);
	check_inside(message.message_id, data, size);
	walk_queries(message.queries, message.query_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf bsatn = BUF_INIT(1 << 20);
	struct error error;
	check_v2(data, size);
	check_v1(data, size);
	if (protocol_v1_from_json((struct str){ (const char *)data, size }, &bsatn, &error) == WL_OK)
		check_v1(bsatn.data, bsatn.len);
	else
		ASSERT(error.text[0] != '\0' && bsatn.len == 0);
	buf_deinit(&bsatn);
	return 0;
}
