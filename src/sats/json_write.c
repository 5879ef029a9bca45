/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as SATS-JSON, byte for byte what the reference's serializers print
 * (data-model.md section 4.1). The bytes are valid, so nothing is checked.
 */
#include "native.h"
#include "sats/number.h"

struct json_writer {
	struct buf *out;
	const struct sats_typespace *space;
};

static const uint8_t *write_value(struct json_writer *w, const struct sats_type *type, const uint8_t *at,
	enum sats_json_shape shape);

static void write_u64(struct buf *out, uint64_t value, bool negative)
{
	static const char pairs[] =
		"00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354"
		"5556575859606162636465666768697071727374757677787980818283848586878889909192939495969798" "99";
	char text[24];
	size_t at = sizeof(text);
	for (; value >= 100; value /= 100)
		memcpy(text + (at -= 2), pairs + 2 * (value % 100), 2);
	if (value >= 10)
		memcpy(text + (at -= 2), pairs + 2 * value, 2);
	else
		text[--at] = (char)('0' + value);
	if (negative)
		text[--at] = '-';
	buf_put(out, text + at, sizeof(text) - at);
}

static void write_i64(struct buf *out, int64_t value)
{
	write_u64(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

static void write_large(struct buf *out, enum sats_tag tag, const uint8_t *at)
{
	char text[SATS_INTEGER_TEXT_MAX];
	_Static_assert((int)HEX256_TEXT_MAX <= (int)SATS_INTEGER_TEXT_MAX, "one buffer for both forms");
	if (tag == SATS_I128 || tag == SATS_U128) {
		buf_put(out, text, sats_integer_format(tag, at, text));
		return;
	}
	buf_put_u8(out, '"');
	buf_put(out, text, integer256_to_hex(at, tag == SATS_I256, text));
	buf_put_u8(out, '"');
}

/* Not-a-number and the infinities have no JSON form: null. */
static void write_f64(struct buf *out, const uint8_t *at)
{
	double value;
	char text[32];
	memcpy(&value, at, sizeof(value));
	if (__builtin_isfinite(value))
		buf_put(out, text, native_format_f64(value, text));
	else
		buf_put_cstr(out, "null");
}

static void write_f32(struct buf *out, const uint8_t *at)
{
	float value;
	char text[32];
	memcpy(&value, at, sizeof(value));
	if (__builtin_isfinite(value))
		buf_put(out, text, native_format_f32(value, text));
	else
		buf_put_cstr(out, "null");
}

static const uint8_t *write_scalar(struct buf *out, enum sats_tag tag, const uint8_t *at)
{
	switch (tag) {
	case SATS_BOOL: buf_put_cstr(out, *at ? "true" : "false"); return at + 1;
	case SATS_I8: write_i64(out, (int8_t)*at); return at + 1;
	case SATS_U8: write_u64(out, *at, false); return at + 1;
	case SATS_I16: write_i64(out, (int16_t)load_u16(at)); return at + 2;
	case SATS_U16: write_u64(out, load_u16(at), false); return at + 2;
	case SATS_I32: write_i64(out, (int32_t)load_u32(at)); return at + 4;
	case SATS_U32: write_u64(out, load_u32(at), false); return at + 4;
	case SATS_I64: write_i64(out, (int64_t)load_u64(at)); return at + 8;
	case SATS_U64: write_u64(out, load_u64(at), false); return at + 8;
	case SATS_F32: write_f32(out, at); return at + 4;
	case SATS_F64: write_f64(out, at); return at + 8;
	default: write_large(out, tag, at); return at + sats_primitive[tag].plain_size;
	}
}

static const uint8_t *write_bytes(struct buf *out, const uint8_t *at)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t len = load_u32(at);
	at += 4;
	uint8_t *text = buf_extend(out, 2 * (size_t)len + 2);
	if (text == NULL)
		return at + len;
	*text++ = '"';
	for (uint32_t i = 0; i < len; i++) {
		*text++ = (uint8_t)digits[at[i] >> 4];
		*text++ = (uint8_t)digits[at[i] & 15];
	}
	*text = '"';
	return at + len;
}

static const uint8_t *write_array(struct json_writer *w, const struct sats_type *type, const uint8_t *at,
	enum sats_json_shape shape)
{
	const struct sats_type *element = sats_follow(w->space, type->element);
	if (element->tag == SATS_U8)
		return write_bytes(w->out, at);
	uint32_t count = load_u32(at);
	at += 4;
	buf_put_u8(w->out, '[');
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			buf_put_u8(w->out, ',');
		at = write_value(w, element, at, shape == SATS_JSON_ROW ? SATS_JSON_UNTYPED : shape);
	}
	buf_put_u8(w->out, ']');
	return at;
}

static const uint8_t *write_product(struct json_writer *w, const struct sats_type *type, const uint8_t *at,
	enum sats_json_shape shape)
{
	/* The unit of a named value is an array, that of a stored row an object. */
	bool object = shape == SATS_JSON_ROW || (shape == SATS_JSON_NAMED && type->count > 0);
	buf_put_u8(w->out, object ? '{' : '[');
	for (uint32_t i = 0; i < type->count; i++) {
		const struct sats_element *element = &type->elements[i];
		if (i > 0)
			buf_put_u8(w->out, ',');
		if (object) {
			if (element->name.data == NULL)
				w->out->failed = true; /* there is no way to write it */
			buf_put_json_str(w->out, element->name);
			buf_put_u8(w->out, ':');
		}
		at = write_value(w, element->type, at, shape);
	}
	buf_put_u8(w->out, object ? '}' : ']');
	return at;
}

static const uint8_t *write_sum(struct json_writer *w, const struct sats_type *type, const uint8_t *at,
	enum sats_json_shape shape)
{
	const struct sats_element *variant = &type->elements[*at];
	bool object = shape == SATS_JSON_NAMED && variant->name.data != NULL;
	if (object) {
		buf_put_u8(w->out, '{');
		buf_put_json_str(w->out, variant->name);
		buf_put_u8(w->out, ':');
	} else {
		buf_put_u8(w->out, '[');
		write_u64(w->out, *at, false);
		buf_put_u8(w->out, ',');
	}
	at = write_value(w, variant->type, at + 1, shape);
	buf_put_u8(w->out, object ? '}' : ']');
	return at;
}

static const uint8_t *write_value(struct json_writer *w, const struct sats_type *type, const uint8_t *at,
	enum sats_json_shape shape)
{
	switch (type->tag) {
	case SATS_REF:
		return write_value(w, w->space->types[type->ref], at, shape);
	case SATS_SUM:
		return write_sum(w, type, at, shape);
	case SATS_PRODUCT:
		return write_product(w, type, at, shape);
	case SATS_ARRAY:
		return write_array(w, type, at, shape);
	case SATS_STRING: {
		uint32_t len = load_u32(at);
		buf_put_json_str(w->out, (struct str){ (const char *)at + 4, len });
		return at + 4 + len;
	}
	default:
		return write_scalar(w->out, type->tag, at);
	}
}

const uint8_t *sats_json_write(struct buf *out, const struct sats_type *type, const struct sats_typespace *space,
	const uint8_t *valid, enum sats_json_shape shape)
{
	struct json_writer w = { out, space };
	return write_value(&w, type, valid, shape);
}
