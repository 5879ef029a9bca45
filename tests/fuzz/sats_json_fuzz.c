/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: a typespace, a product type (parameters), then a JSON text. What is
 * read is a valid value that uses all of its bytes, and its own JSON reads
 * back to it; what is refused says why and leaves nothing.
 */
#include "base/mem.h"
#include "sats/sats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_read(
	const struct sats_typespace *space, const struct sats_type *type, struct arena *arena, struct buf *value)
{
	const struct sats_layout *layout;
	struct error error;
	size_t consumed = 0;
	struct buf json = BUF_INIT(1 << 22), again = BUF_INIT(1 << 22);
	if (sats_layout_create(arena, space, type, &layout, &error) == WL_OK) {
		ASSERT(buf_reserve(value, 1));
		enum wl_err err = sats_validate(layout, value->data, value->len, &consumed, &error);
		ASSERT(err == WL_OK && consumed == value->len);
		sats_json_write(&json, type, space, value->data, SATS_JSON_UNTYPED);
		if (!json.failed && memmem(json.data, json.len, "null", 4) == NULL) {
			err = sats_json_parse(&again, type, space, (char *)json.data, json.len, NULL, &error);
			ASSERT(err == WL_OK && bytes_eq(buf_bytes(&again), buf_bytes(value)));
		}
	}
	buf_deinit(&json);
	buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	struct sats_typespace space;
	const struct sats_type *params;
	struct reader r = reader_of(data, size);
	struct error error = { 0 };
	arena_init(&arena, 64 << 20);
	if (sats_typespace_decode(&arena, &r, &space, &error) == WL_OK &&
		sats_product_decode(&arena, &r, &params, &error) == WL_OK) {
		size_t len = reader_left(&r);
		char *text = mem_alloc(len); /* of this very size, for the sanitizer */
		if (text == NULL)
			return 0;
		memcpy(text, r.at, len);
		struct buf out = BUF_INIT(1 << 20);
		buf_put_u8(&out, 0xaa);
		out.len = 0;
		error.text[0] = '\0';
		if (sats_json_read_args(&out, "reducer", STR("f"), params, &space, text, len, &error) == WL_OK)
			check_read(&space, params, &arena, &out);
		else
			ASSERT(error.text[0] != '\0' && out.len == 0);
		buf_deinit(&out);
		mem_free(text);
	}
	arena_deinit(&arena);
	return 0;
}
