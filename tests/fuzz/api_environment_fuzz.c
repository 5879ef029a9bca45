/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as lines of the two headers, or as a body: what is accepted is within limits, and says the same again when
 * it is written as the official encoder does. */
#include "api/environment.h"

#define LINES_MAX 64

static void put_value(struct buf *out, struct str value)
{
	buf_put_u8(out, '"');
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = (uint8_t)value.data[i];
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			buf_printf(out, "\\u%04x", c);
		else
			buf_put_u8(out, c);
	}
	buf_put_u8(out, '"');
}

static bool is_ascii(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((uint8_t)text.data[i] >= 0x80)
			return false;
	return true;
}

static void hold_against_rewritten(struct environment *first)
{
	struct environment again = { .arena = first->arena };
	struct buf lines[ENVIRONMENT_ENTRIES_MAX];
	for (uint32_t i = 0; i < first->set_count; i++) {
		const struct database_variable *one = &first->set[i];
		lines[i] = BUF_INIT(1 << 20);
		ASSERT(database_variable_name_valid(one->name) && utf8_valid((const uint8_t *)one->value.data, one->value.len));
		ASSERT(one->value.len <= MODULE_ENVIRONMENT_VALUE_BYTES_MAX);
		buf_put_str(&lines[i], one->name);
		buf_put_u8(&lines[i], '=');
		put_value(&lines[i], one->value);
		if (!is_ascii(one->value))
			continue;
		uint32_t before = again.set_count;
		ASSERT(environment_read_line(&again, buf_str(&lines[i])) && again.set_count == before + 1);
		ASSERT(str_eq(again.set[before].name, one->name) && str_eq(again.set[before].value, one->value));
	}
	for (uint32_t i = 0; i < first->set_count; i++)
		buf_deinit(&lines[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	struct str text = { (const char *)data, size };
	if (size == 0 || size > 64 << 10)
		return -1;
	arena_init(&arena, 16 << 20);
	struct environment e = { .arena = &arena };
	bool ok = true;
	if (data[0] == '{') {
		struct environment ignored = e;
		(void)environment_read_json(&ignored, text);
	}
	for (uint32_t line = 0; ok && text.len > 0 && line < LINES_MAX; line++) {
		const char *end = memchr(text.data, '\n', text.len);
		struct str one = { text.data, end == NULL ? text.len : (size_t)(end - text.data) };
		bool removes = one.len > 0 && one.data[0] == '-';
		ok = removes ? environment_read_remove_line(&e, (struct str){ one.data + 1, one.len - 1 })
			: environment_read_line(&e, one);
		text = end == NULL ? (struct str){ "", 0 } : (struct str){ end + 1, text.len - one.len - 1 };
	}
	ASSERT(e.set_count <= ENVIRONMENT_ENTRIES_MAX && e.removed_count <= ENVIRONMENT_ENTRIES_MAX);
	ASSERT(!e.remove_all || e.removed_count == 0 || !ok);
	for (uint32_t i = 0; i < e.removed_count; i++)
		ASSERT(database_variable_name_valid(e.removed[i]));
	if (ok)
		hold_against_rewritten(&e);
	arena_deinit(&arena);
	return 0;
}
