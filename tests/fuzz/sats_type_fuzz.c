/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: a typespace. What decodes encodes to the bytes that were read, and
 * everything that walks types ends.
 */
#include "sats/sats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	struct sats_typespace space;
	struct reader r = reader_of(data, size);
	struct error error = { 0 };
	arena_init(&arena, 64 << 20);
	if (sats_typespace_decode(&arena, &r, &space, &error) != WL_OK) {
		ASSERT(error.text[0] != '\0');
		arena_deinit(&arena);
		return 0;
	}
	struct buf out = BUF_INIT(4 << 20);
	buf_put_u32(&out, space.count);
	for (uint32_t i = 0; i < space.count; i++)
		sats_type_encode(&out, space.types[i]);
	ASSERT(!out.failed && out.len == (size_t)(r.at - data) && memcmp(out.data, data, out.len) == 0);
	for (uint32_t i = 0; i < space.count && i < 16; i++) {
		const struct sats_type *type = space.types[i], *inlined;
		const struct sats_layout *layout;
		buf_clear(&out);
		sats_type_pretty(&out, type);
		sats_type_json(&out, type);
		ASSERT(sats_type_eq(type, type));
		sats_follow(&space, type);
		sats_has_scalar_key(type);
		if (sats_inline(&arena, &space, type, &inlined, &error) == WL_OK &&
			sats_layout_create(&arena, NULL, inlined, &layout, &error) == WL_OK) {
			const struct sats_layout *direct;
			int32_t fixed = layout->fixed_size;
			uint32_t min = layout->min_size;
			/* The depth may be too much only with the refs. */
			if (sats_layout_create(&arena, &space, type, &direct, &error) == WL_OK)
				ASSERT(direct->fixed_size == fixed && direct->min_size == min &&
					   direct->any_bytes == layout->any_bytes && !direct->recursive);
		}
	}
	buf_deinit(&out);
	arena_deinit(&arena);
	return 0;
}
