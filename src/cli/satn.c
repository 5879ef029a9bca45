/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SATN: walks a type and a parsed JSON value side by side. Numbers of up to 128 bits are shown as they came; what needs
 * another form (256-bit numbers, ids, times) is read into its BSATN first, by the one reader that there is.
 *
 * As in the field, a special type directly in a column or a field shows its own form; as the payload of a variant it
 * shows its member too: (some = (__identity__ = 0x…)).
 */
#include "cli/satn.h"
#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>

enum { DEPTH_MAX = SATS_DEPTH_MAX + SATS_VALUE_DEPTH_MAX, NUMBER_BYTES_MAX = 64 };

struct walk {
	struct buf *out;
	const struct native_json *doc;
	struct error *error;
};

static enum wl_err misfit(const struct walk *w, const struct sats_type *type)
{
	struct buf text = BUF_INIT(256);
	sats_type_pretty(&text, type);
	enum wl_err err = fail(w->error, WL_ERR_INVALID, "malformed sql response: a value does not fit its type %s",
		text.failed ? sats_tag_name(type->tag) : buf_text(&text));
	buf_deinit(&text);
	return err;
}

/* Digits of ryu ("1.5e-7", "1e300", "5.0") spelled out. */
static void put_spelled(struct buf *out, const char *text, size_t len)
{
	char digits[NUMBER_BYTES_MAX];
	size_t count = 0, i = 0;
	int point = -1, exponent = 0;
	if (len > 0 && text[0] == '-') {
		buf_put_u8(out, '-');
		i = 1;
	}
	for (; i < len && text[i] != 'e' && text[i] != 'E'; i++) {
		if (text[i] == '.')
			point = (int)count;
		else if (count < sizeof(digits))
			digits[count++] = text[i];
	}
	if (i < len)
		exponent = (int)strtol(text + i + 1, NULL, 10);
	int whole = (point < 0 ? (int)count : point) + exponent; /* digits before the point */
	size_t first = 0;
	while (first + 1 < count && digits[first] == '0' && whole > 1) {
		first++;
		whole--;
	}
	while (count > first + 1 && digits[count - 1] == '0' && (int)(count - first) > whole)
		count--;
	if (whole <= 0) {
		bool zero = count == first + 1 && digits[first] == '0';
		buf_put_cstr(out, zero ? "0" : "0.");
		for (int k = whole; k < 0 && !zero; k++)
			buf_put_u8(out, '0');
		if (!zero)
			buf_put(out, digits + first, count - first);
		return;
	}
	for (int k = 0; k < whole; k++)
		buf_put_u8(out, first + (size_t)k < count ? (uint8_t)digits[first + (size_t)k] : '0');
	if ((int)(count - first) > whole) {
		buf_put_u8(out, '.');
		buf_put(out, digits + first + whole, count - first - (size_t)whole);
	}
}

void cli_satn_float(struct buf *out, bool wide, double value)
{
	char text[40];
	size_t len = wide ? native_format_f64(value, text) : native_format_f32((float)value, text);
	text[len] = '\0';
	put_spelled(out, text, len);
}

static enum wl_err put_float(struct walk *w, const struct sats_type *type, const struct native_json_node *n)
{
	char text[NUMBER_BYTES_MAX + 1];
	if (n->kind == NATIVE_JSON_NULL) { /* NaN or an infinity: JSON has neither, nor says which */
		buf_put_cstr(w->out, "null");
		return WL_OK;
	}
	if (n->kind != NATIVE_JSON_NUMBER || n->text_len > NUMBER_BYTES_MAX)
		return misfit(w, type);
	memcpy(text, n->text, n->text_len);
	text[n->text_len] = '\0';
	double value = type->tag == SATS_F64 ? strtod(text, NULL) : (double)strtof(text, NULL);
	if (!__builtin_isfinite(value))
		return misfit(w, type);
	cli_satn_float(w->out, type->tag == SATS_F64, value);
	return WL_OK;
}

/* Of at most 128 bits. */
static enum wl_err put_integer(struct walk *w, const struct sats_type *type, const struct native_json_node *n)
{
	if (n->kind != NATIVE_JSON_NUMBER)
		return misfit(w, type);
	for (uint32_t i = 0; i < n->text_len; i++)
		if ((n->text[i] < '0' || n->text[i] > '9') && !(i == 0 && n->text[i] == '-'))
			return misfit(w, type);
	buf_put(w->out, n->text, n->text_len);
	return WL_OK;
}

static void put_hex_reversed(struct buf *out, const uint8_t *le, size_t len)
{
	buf_put_cstr(out, "0x");
	while (len > 0)
		buf_printf(out, "%02x", le[--len]);
}

static void put_duration(struct buf *out, int64_t micros)
{
	uint64_t size = micros < 0 ? 0 - (uint64_t)micros : (uint64_t)micros;
	buf_printf(out, "%c%" PRIu64 ".%06" PRIu64, micros < 0 ? '-' : '+', size / 1000000, size % 1000000);
}

static void put_uuid(struct buf *out, const uint8_t *le)
{
	buf_put_u8(out, '"');
	for (int i = 15; i >= 0; i--)
		buf_printf(out, "%02x%s", le[i], i == 12 || i == 10 || i == 8 || i == 6 ? "-" : "");
	buf_put_u8(out, '"');
}

/* What is shown from its BSATN: 256-bit integers, ids, times. */
static enum wl_err put_by_bytes(struct walk *w, const struct sats_type *type, uint32_t *node)
{
	static const struct sats_typespace none = { 0 };
	struct buf value = BUF_INIT(64);
	char text[SATS_INTEGER_TEXT_MAX], stamp[48];
	enum wl_err err = sats_json_read(&value, type, &none, w->doc, node, NULL, NULL);
	if (err == WL_OK && type->special == SATS_IDENTITY)
		put_hex_reversed(w->out, value.data, 32);
	else if (err == WL_OK && type->special == SATS_CONNECTION_ID)
		put_hex_reversed(w->out, value.data, 16);
	else if (err == WL_OK && type->special == SATS_TIMESTAMP) {
		timestamp_format((int64_t)load_u64(value.data), stamp);
		buf_put_cstr(w->out, stamp);
	} else if (err == WL_OK && type->special == SATS_TIME_DURATION)
		put_duration(w->out, (int64_t)load_u64(value.data));
	else if (err == WL_OK && type->special == SATS_UUID)
		put_uuid(w->out, value.data);
	else if (err == WL_OK)
		buf_put(w->out, text, sats_integer_format(type->tag, value.data, text));
	buf_deinit(&value);
	return err == WL_OK ? WL_OK : misfit(w, type);
}

static enum wl_err put_bytes(struct walk *w, const struct sats_type *type, uint32_t *node)
{
	const struct native_json_node *n = &w->doc->nodes[*node];
	struct str text = { n->text, n->text_len };
	if (n->kind != NATIVE_JSON_STRING || text.len % 2 != 0)
		return misfit(w, type);
	for (size_t i = 0; i < text.len; i++)
		if (strchr("0123456789abcdefABCDEF", text.data[i]) == NULL || text.data[i] == '\0')
			return misfit(w, type);
	buf_put_cstr(w->out, "0x");
	buf_put_str(w->out, text);
	*node = n->next;
	return WL_OK;
}

/* ---- structure ---- */

static bool is_special_product(const struct sats_type *type)
{
	return type->special == SATS_IDENTITY || type->special == SATS_CONNECTION_ID || type->special == SATS_TIMESTAMP
		|| type->special == SATS_TIME_DURATION || type->special == SATS_UUID;
}

static enum wl_err put_value(struct walk *w, const struct sats_type *type, uint32_t *node, uint32_t depth);

static void put_name(struct buf *out, const struct sats_element *element, uint32_t index)
{
	if (element->name.data != NULL)
		buf_put_str(out, element->name);
	else
		buf_printf(out, "col_%u", index);
	buf_put_cstr(out, " = ");
}

static enum wl_err put_product(struct walk *w, const struct sats_type *type, uint32_t *node, uint32_t depth)
{
	const struct native_json_node *n = &w->doc->nodes[*node];
	bool object = n->kind == NATIVE_JSON_OBJECT;
	uint32_t at = *node + 1;
	if ((!object && n->kind != NATIVE_JSON_ARRAY) || n->count != type->count)
		return misfit(w, type);
	buf_put_u8(w->out, '(');
	for (uint32_t i = 0; i < type->count; i++) {
		const struct sats_element *element = &type->elements[i];
		if (object && (element->name.data == NULL
			|| !str_eq(element->name, (struct str){ w->doc->nodes[at].text, w->doc->nodes[at].text_len })))
			return misfit(w, type); /* hosts write members in order */
		at += object;
		buf_put_cstr(w->out, i > 0 ? ", " : "");
		put_name(w->out, element, i);
		enum wl_err err = put_value(w, element->type, &at, depth + 1);
		if (err != WL_OK)
			return err;
	}
	buf_put_u8(w->out, ')');
	*node = n->next;
	return WL_OK;
}

/* The payload of a variant: a special product is shown with its member. */
static enum wl_err put_payload(struct walk *w, const struct sats_type *type, uint32_t *node, uint32_t depth)
{
	if (!is_special_product(type))
		return put_value(w, type, node, depth);
	buf_printf(w->out, "(%.*s = ", STR_FMT(type->elements[0].name));
	enum wl_err err = put_by_bytes(w, type, node);
	buf_put_u8(w->out, ')');
	return err;
}

static enum wl_err put_sum(struct walk *w, const struct sats_type *type, uint32_t *node, uint32_t depth)
{
	const struct native_json_node *nodes = w->doc->nodes, *n = &nodes[*node];
	uint32_t tag = UINT32_MAX, payload = *node + 2;
	struct str key = { nodes[*node + (n->count > 0)].text, nodes[*node + (n->count > 0)].text_len };
	if (n->kind == NATIVE_JSON_OBJECT && n->count == 1) {
		for (uint32_t i = 0; i < type->count; i++)
			if (type->elements[i].name.data != NULL && str_eq(type->elements[i].name, key))
				tag = i;
	} else if (n->kind == NATIVE_JSON_ARRAY && n->count == 2 && nodes[*node + 1].kind == NATIVE_JSON_NUMBER) {
		char text[8];
		size_t len = size_min(key.len, sizeof(text) - 1);
		memcpy(text, key.data, len);
		text[len] = '\0';
		tag = (uint32_t)strtoul(text, NULL, 10);
	}
	if (tag >= type->count)
		return misfit(w, type);
	buf_put_u8(w->out, '(');
	put_name(w->out, &type->elements[tag], tag);
	enum wl_err err = put_payload(w, type->elements[tag].type, &payload, depth + 1);
	buf_put_u8(w->out, ')');
	*node = n->next;
	return err;
}

static enum wl_err put_array(struct walk *w, const struct sats_type *type, uint32_t *node, uint32_t depth)
{
	const struct native_json_node *n = &w->doc->nodes[*node];
	uint32_t at = *node + 1;
	if (n->kind != NATIVE_JSON_ARRAY)
		return misfit(w, type);
	buf_put_u8(w->out, '[');
	for (uint32_t i = 0; i < n->count; i++) {
		buf_put_cstr(w->out, i > 0 ? ", " : "");
		enum wl_err err = put_value(w, type->element, &at, depth + 1);
		if (err != WL_OK)
			return err;
	}
	buf_put_u8(w->out, ']');
	*node = n->next;
	return WL_OK;
}

static void put_quoted(struct buf *out, struct str text)
{
	buf_put_u8(out, '"');
	buf_put_str(out, text);
	buf_put_u8(out, '"');
}

static enum wl_err put_leaf(struct walk *w, const struct sats_type *type, uint32_t *node)
{
	const struct native_json_node *n = &w->doc->nodes[*node];
	enum wl_err err = WL_OK;
	if (type->tag == SATS_I256 || type->tag == SATS_U256)
		return put_by_bytes(w, type, node);
	if (type->tag == SATS_BOOL && (n->kind == NATIVE_JSON_TRUE || n->kind == NATIVE_JSON_FALSE))
		buf_put_cstr(w->out, n->kind == NATIVE_JSON_TRUE ? "true" : "false");
	else if (type->tag == SATS_STRING && n->kind == NATIVE_JSON_STRING)
		put_quoted(w->out, (struct str){ n->text, n->text_len });
	else if (type->tag == SATS_F32 || type->tag == SATS_F64)
		err = put_float(w, type, n);
	else if (sats_is_integer(type))
		err = put_integer(w, type, n);
	else
		err = misfit(w, type);
	*node = n->next;
	return err;
}

static enum wl_err put_value(struct walk *w, const struct sats_type *type, uint32_t *node, uint32_t depth)
{
	if (depth > DEPTH_MAX)
		return fail(w->error, WL_ERR_LIMIT, "a value is nested too deeply");
	if (is_special_product(type))
		return put_by_bytes(w, type, node);
	switch (type->tag) {
	case SATS_PRODUCT:
		return put_product(w, type, node, depth);
	case SATS_SUM:
		return put_sum(w, type, node, depth);
	case SATS_ARRAY:
		return sats_is_bytes(type) ? put_bytes(w, type, node) : put_array(w, type, node, depth);
	default:
		return put_leaf(w, type, node);
	}
}

enum wl_err cli_satn_write(struct buf *out, const struct sats_type *type, const struct native_json *doc, uint32_t *node,
	struct error *error)
{
	struct walk w = { out, doc, error };
	return put_value(&w, type, node, 0);
}
