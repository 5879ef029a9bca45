/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: a typespace, a type, then the bytes of a value of it. Validation must
 * not read past the end; what it accepts has the size that it says, all walks
 * over it end there, and the two checks agree.
 */
#include "base/mem.h"
#include "sats/layout_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_valid(const struct sats_layout *layout, const uint8_t *value, size_t consumed)
{
	struct buf json = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	ASSERT(sats_size(layout, value) == consumed);
	ASSERT(consumed >= layout->min_size && (layout->max_size == UINT32_MAX || consumed <= layout->max_size));
	ASSERT(layout->fixed_size < 0 || (size_t)layout->fixed_size == consumed);
	ASSERT(sats_compare(layout->type, layout->space, value, value) == 0);
	sats_hash(layout->type, layout->space, value);
	sats_key_prefix(layout->type, layout->space, value);
	const uint8_t *end = sats_json_write(&json, layout->type, layout->space, value, SATS_JSON_UNTYPED);
	ASSERT(end == value + consumed);
	/* null is for floats that have no text, and then the way back is closed. */
	if (!json.failed && memmem(json.data, json.len, "null", 4) == NULL) {
		enum wl_err err = sats_json_parse(&again, layout->type, layout->space, (char *)json.data, json.len, NULL, NULL);
		ASSERT(err != WL_OK || (again.len == consumed && (consumed == 0 || memcmp(again.data, value, consumed) == 0)));
		/* Only nesting may stop it. */
		ASSERT(err == WL_OK || again.failed || layout->recursive || layout->height > 60);
	}
	buf_deinit(&json);
	buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	struct sats_typespace space;
	const struct sats_type *type;
	const struct sats_layout *layout;
	struct reader r = reader_of(data, size);
	struct error error;
	arena_init(&arena, 64 << 20);
	if (sats_typespace_decode(&arena, &r, &space, &error) == WL_OK &&
		sats_type_decode(&arena, &r, &type, &error) == WL_OK &&
		sats_layout_create(&arena, &space, type, &layout, &error) == WL_OK) {
		size_t len = reader_left(&r), consumed = 0;
		uint8_t *value = mem_alloc(len); /* of this very size, for the sanitizer */
		if (value == NULL)
			return 0;
		memcpy(value, r.at, len);
		enum wl_err err = sats_validate(layout, value, len, &consumed, &error);
		ASSERT(consumed <= len);
		if (err == WL_OK)
			check_valid(layout, value, consumed);
		else
			ASSERT(error.text[0] != '\0');
		enum wl_err slow = sats_explain_failure(layout, value, len, &error);
		ASSERT(err != WL_OK || slow == WL_OK);
		mem_free(value);
	}
	arena_deinit(&arena);
	return 0;
}
