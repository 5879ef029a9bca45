/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, remembered cheaply where it happens and put into words
 * (datastore section 17) when somebody asks. The words of values are those of
 * the reference's untyped value notation: no names, elements by position.
 */
#include "store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEY_BYTES_MAX = 64 << 10, TEXT_BYTES_MAX = 256 << 10 };

static struct last_error *error_of(struct store *store)
{
	if (store->error == NULL) {
		store->error = mem_zalloc(sizeof(*store->error));
		if (store->error != NULL) {
			buf_init(&store->error->key, KEY_BYTES_MAX);
			buf_init(&store->error->text, TEXT_BYTES_MAX);
		}
	}
	return store->error;
}

void store_error_free(struct store *store)
{
	if (store->error == NULL)
		return;
	buf_deinit(&store->error->key);
	buf_deinit(&store->error->text);
	mem_free(store->error);
	store->error = NULL;
}

/* The table is about to go: nothing may point to its indexes. */
void store_error_forget(struct store *store)
{
	if (store->error == NULL)
		return;
	store->error->told = STORE_OK;
	store->error->index = NULL;
}

enum store_status store_fail(struct store *store, enum store_status status)
{
	if (store->error != NULL && store->error->told != status)
		store->error->told = STORE_OK;
	store->status = status;
	return status;
}

struct error *store_fail_detail(struct store *store, enum store_status status)
{
	struct last_error *e = error_of(store);
	if (e == NULL)
		return NULL;
	e->told = status;
	e->detail.text[0] = '\0';
	return &e->detail;
}

enum store_status store_fail_id(struct store *store, enum store_status status, uint32_t id)
{
	struct last_error *e = error_of(store);
	if (e != NULL) {
		e->told = status;
		e->id = id;
	}
	return store_fail(store, status);
}

enum store_status store_fail_delay(struct store *store, uint64_t micros)
{
	struct last_error *e = error_of(store);
	if (e != NULL) {
		e->told = STORE_SCHEDULE_TOO_LONG;
		e->delay_micros = micros;
	}
	return store_fail(store, STORE_SCHEDULE_TOO_LONG);
}

enum store_status store_fail_key(struct store *store, enum store_status status, const struct store_index *ix,
	const uint8_t *row)
{
	struct last_error *e = error_of(store);
	if (e != NULL) {
		e->told = status;
		e->index = ix;
		e->id = ix->def->id;
		buf_clear(&e->key);
		for (uint32_t i = 0; i < ix->column_count; i++) {
			const uint8_t *at = sats_column(ix->table->layout, row, ix->columns[i].column);
			buf_put(&e->key, at, sats_size(ix->columns[i].layout, at));
		}
	}
	return store_fail(store, status);
}

/* The key's columns of a row, back to back. */
static struct bytes key_of(struct arena *arena, const struct store_index *ix, const uint8_t *row)
{
	struct buf key = BUF_INIT(STORE_ROW_BYTES_MAX);
	for (uint32_t i = 0; i < ix->column_count; i++) {
		const uint8_t *at = sats_column(ix->table->layout, row, ix->columns[i].column);
		buf_put(&key, at, sats_size(ix->columns[i].layout, at));
	}
	struct bytes copy = { key.failed ? NULL : arena_copy(arena, key.data, key.len), key.len };
	buf_deinit(&key);
	return copy;
}

enum store_status store_fail_duplicates(struct store *store, const struct store_index *ix)
{
	struct map seen = { 0 };
	struct arena arena;
	struct store_cursor cursor;
	struct store_row row;
	bool found = false;
	arena_init(&arena, (size_t)1 << 30);
	store_scan(ix->table, &cursor);
	while (!found && store_cursor_next(&cursor, &row)) {
		uint64_t ignored;
		struct bytes key = key_of(&arena, ix, row.data);
		if (key.data == NULL)
			break;
		found = map_get(&seen, key.data, key.len, &ignored);
		if (!found && !map_put(&seen, key.data, key.len, 1))
			break;
	}
	enum store_status status = found ? store_fail_key(store, STORE_UNIQUE_VIOLATION, ix, row.data)
		: store_fail(store, STORE_UNIQUE_VIOLATION);
	map_deinit(&seen);
	arena_deinit(&arena);
	return status;
}

/* ---- values in words ---- */

/* Little-endian, up to 32 bytes. */
static void put_integer(struct buf *out, const uint8_t *le, uint32_t size, bool is_signed)
{
	uint32_t words[8] = { 0 };
	bool negative = is_signed && le[size - 1] >> 7 != 0;
	memset(words, negative ? 0xff : 0, sizeof(words));
	memcpy(words, le, size);
	uint64_t carry = 1;
	for (uint32_t i = 0; negative && i < 8; i++) {
		carry += (uint32_t)~words[i];
		words[i] = (uint32_t)carry;
		carry >>= 32;
	}
	char digits[80];
	uint32_t at = sizeof(digits);
	bool more = true;
	while (more) {
		uint64_t rest = 0;
		more = false;
		for (uint32_t i = 8; i-- > 0;) {
			rest = rest << 32 | words[i];
			words[i] = (uint32_t)(rest / 10);
			rest %= 10;
			more |= words[i] != 0;
		}
		digits[--at] = (char)('0' + rest);
	}
	if (negative)
		buf_put_u8(out, '-');
	buf_put(out, digits + at, sizeof(digits) - at);
}

/* The shortest decimal that reads back as the same number, without an exponent. */
static void put_float(struct buf *out, double value, bool single)
{
	if (value != value || value - value != 0) {
		buf_put_cstr(out, value != value ? "NaN" : value > 0 ? "inf" : "-inf");
		return;
	}
	char text[40];
	for (int precision = 0; precision < 17; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, value);
		if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
			break;
	}
	const char *at = text;
	if (*at == '-')
		buf_put_u8(out, (uint8_t)*at++);
	char digits[24];
	int count = 0;
	for (; *at != 'e'; at++)
		if (*at != '.')
			digits[count++] = *at;
	int point = (int)strtol(at + 1, NULL, 10) + 1; /* digits before the point */
	if (point <= 0)
		buf_put_cstr(out, "0.");
	for (int i = point; i < 0; i++)
		buf_put_u8(out, '0');
	for (int i = 0; i < count || i < point; i++) {
		if (i == point && i > 0)
			buf_put_u8(out, '.');
		buf_put_u8(out, i < count ? (uint8_t)digits[i] : '0');
	}
}

static void put_value(struct buf *out, const struct sats_type *type, const uint8_t **at);

static void put_position(struct buf *out, uint32_t i)
{
	buf_printf(out, "%s%u = ", i == 0 ? "" : ", ", i);
}

static void put_array(struct buf *out, const struct sats_type *element, const uint8_t **at)
{
	uint32_t count = load_u32(*at);
	*at += 4;
	if (element->tag == SATS_U8) {
		buf_put_cstr(out, "0x");
		for (uint32_t i = 0; i < count; i++)
			buf_printf(out, "%02x", *(*at)++);
		return;
	}
	buf_put_u8(out, '[');
	for (uint32_t i = 0; i < count && !out->failed; i++) {
		if (i > 0)
			buf_put_cstr(out, ", ");
		put_value(out, element, at);
	}
	buf_put_u8(out, ']');
}

static void put_value(struct buf *out, const struct sats_type *type, const uint8_t **at)
{
	switch (type->tag) {
	case SATS_PRODUCT:
		buf_put_u8(out, '(');
		for (uint32_t i = 0; i < type->count; i++) {
			put_position(out, i);
			put_value(out, type->elements[i].type, at);
		}
		buf_put_u8(out, ')');
		return;
	case SATS_SUM: {
		uint8_t tag = *(*at)++;
		buf_put_cstr(out, "( = ");
		put_value(out, type->elements[tag].type, at);
		buf_put_u8(out, ')');
		return;
	}
	case SATS_ARRAY:
		put_array(out, type->element, at);
		return;
	case SATS_STRING: {
		uint32_t len = load_u32(*at);
		buf_put_u8(out, '"');
		buf_put(out, *at + 4, len);
		buf_put_u8(out, '"');
		*at += 4 + (size_t)len;
		return;
	}
	case SATS_BOOL:
		buf_put_cstr(out, *(*at)++ != 0 ? "true" : "false");
		return;
	case SATS_F32: {
		float value;
		memcpy(&value, *at, sizeof(value));
		put_float(out, (double)value, true);
		*at += sizeof(value);
		return;
	}
	case SATS_F64: {
		double value;
		memcpy(&value, *at, sizeof(value));
		put_float(out, value, false);
		*at += sizeof(value);
		return;
	}
	default: {
		bool is_signed = type->tag == SATS_I8 || type->tag == SATS_I16 || type->tag == SATS_I32 ||
			type->tag == SATS_I64 || type->tag == SATS_I128 || type->tag == SATS_I256;
		put_integer(out, *at, type->plain_size, is_signed);
		*at += type->plain_size;
	}
	}
}

static void put_key(struct buf *out, const struct last_error *e)
{
	const struct store_index *ix = e->index;
	const uint8_t *at = e->key.data;
	if (e->key.failed) {
		buf_put_cstr(out, "(too large to show)");
		return;
	}
	if (ix->column_count == 1) {
		put_value(out, ix->columns[0].layout->type, &at);
		return;
	}
	buf_put_u8(out, '(');
	for (uint32_t i = 0; i < ix->column_count; i++) {
		put_position(out, i);
		put_value(out, ix->columns[i].layout->type, &at);
	}
	buf_put_u8(out, ')');
}

static void put_violation(struct buf *out, const struct last_error *e)
{
	const struct store_index *ix = e->index;
	const struct store_table_def *table = ix->table->def;
	buf_printf(out, "IndexError: Unique constraint violation '%.*s' in table '%.*s': column(s): '[",
		STR_FMT(ix->def->name), STR_FMT(table->name));
	for (uint32_t i = 0; i < ix->column_count; i++) {
		struct str name = table->columns[ix->columns[i].column].name;
		buf_printf(out, "%s\"%.*s\"", i == 0 ? "" : ", ", STR_FMT(name));
	}
	buf_put_cstr(out, "]' value: ");
	put_key(out, e);
}

/* As Rust shows a Duration. */
static void put_duration(struct buf *out, uint64_t micros)
{
	char fraction[8];
	snprintf(fraction, sizeof(fraction), ".%06u", (unsigned)(micros % 1000000));
	size_t len = 7;
	while (len > 0 && (fraction[len - 1] == '0' || fraction[len - 1] == '.'))
		len--;
	fraction[len] = '\0';
	buf_printf(out, "%llu%ss", (unsigned long long)(micros / 1000000), fraction);
}

struct str store_error_text(struct store *store)
{
	static const struct str no_memory = { "out of memory", 13 };
	struct last_error *e = error_of(store);
	if (e == NULL)
		return no_memory;
	struct buf *out = &e->text;
	bool told = e->told == store->status;
	buf_clear(out);
	switch (store->status) {
	case STORE_OK:
		break;
	case STORE_NO_TABLE:
		buf_printf(out, "TableError: Table with ID `%u` not found.", told ? e->id : 0);
		break;
	case STORE_NO_INDEX:
		buf_printf(out, "IndexError: Index not found: IndexId(%u)", told ? e->id : 0);
		break;
	case STORE_INDEX_NOT_UNIQUE:
		buf_printf(out, "IndexError: Index was not unique: IndexId(%u)", told ? e->id : 0);
		break;
	case STORE_NO_ROW:
		buf_put_cstr(out, "IndexError: Key ");
		if (told)
			put_key(out, e);
		buf_printf(out, " was not found in index IndexId(%u)", told ? e->id : 0);
		break;
	case STORE_UNIQUE_VIOLATION:
		if (told)
			put_violation(out, e);
		else
			buf_put_cstr(out, "IndexError: Unique constraint violation");
		break;
	case STORE_BAD_KEY:
		buf_put_cstr(out, "Could not decode arguments to index scan");
		break;
	case STORE_BAD_ROW:
		buf_put_cstr(out, told && e->detail.text[0] != '\0' ? e->detail.text : "the row does not decode");
		break;
	case STORE_NOT_ORDERED:
		buf_printf(out, "IndexError: IndexId(%u) does not support seeking for a range", told ? e->id : 0);
		break;
	case STORE_SCHEDULE_TOO_LONG:
		buf_put_cstr(out, "Unable to schedule with long delay at ");
		put_duration(out, told ? e->delay_micros : 0);
		break;
	case STORE_LIMIT:
		if (told && e->detail.text[0] != '\0')
			buf_put_cstr(out, e->detail.text);
		else if (store->tx_bytes > STORE_TX_BYTES_MAX)
			buf_printf(out, "a transaction may write at most %d bytes", STORE_TX_BYTES_MAX);
		else
			buf_put_cstr(out, "a row or table would be too large");
		break;
	case STORE_MEMORY:
		return no_memory;
	}
	return out->failed ? no_memory : buf_str(out);
}
