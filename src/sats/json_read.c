/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SATS-JSON into BSATN, directed by the type, in one pass over the text
 * (data-model.md section 4.2). The order of the checks is the order in which
 * the reference meets them, so that the same text gives the same error.
 *
 * Invariants:
 * 1. What has been appended to `out` when the reader succeeds is one valid
 *    value of the type.
 * 2. Each level of a value but refs opens a bracket, so JSON_DEPTH_MAX bounds
 *    the recursion; chains of refs are followed in a loop that ends.
 * 3. Members in another order than the type's are put in order at the end of
 *    their object; `spans` is the stack of what has been read where.
 */
#include "base/map.h"
#include "base/mem.h"
#include "native.h"
#include "sats/json_internal.h"

enum {
	MEMBERS_BY_MAP_MIN = 64, /* from so many on, names are found by a map */
};

struct reading {
	struct json_cursor json;
	struct buf *out;
	const struct sats_typespace *space;
	struct buf spans;
	uint32_t empty; /* elements without bytes so far */
};
/* The bytes of one member, from the start of its object. */
struct span {
	uint32_t begin, end;
	bool present;
};

static bool read_value(struct reading *r, const struct json_step *at, const struct sats_type *type);

static bool no_memory(struct reading *r)
{
	return json_fail_code(&r->json, WL_ERR_MEMORY, "out of memory");
}

/* A put that failed met either the caller's limit or the end of memory: the buffer does not tell which. */
static bool written(struct reading *r)
{
	return !r->out->failed || json_fail_code(&r->json, WL_ERR_LIMIT, "value is too large");
}

/* ---- scalars ---- */

static const char *const rust_names[SATS_TAG_COUNT] = {
	[SATS_I8] = "i8", [SATS_U8] = "u8", [SATS_I16] = "i16", [SATS_U16] = "u16", [SATS_I32] = "i32",
	[SATS_U32] = "u32", [SATS_I64] = "i64", [SATS_U64] = "u64", [SATS_F32] = "f32", [SATS_F64] = "f64",
};

static bool number_refused(struct reading *r, const struct json_step *at, const char *why,
	const struct json_number *number, const char *expected)
{
	struct buf what = BUF_INIT(64);
	json_describe_number(&what, number);
	json_fail_data(&r->json, at, "%s: %.*s, expected %s", why, STR_FMT(buf_str(&what)), expected);
	buf_deinit(&what);
	return json_end(&r->json, false);
}

static bool fits_integer(const struct json_number *number, enum sats_tag tag)
{
	uint32_t bits = sats_primitive[tag].plain_size * 8;
	bool is_signed = (tag - SATS_I8) % 2 == 0;
	if (number->kind == JSON_U64)
		return number->u64 <= UINT64_MAX >> (64 - bits + is_signed);
	return is_signed && (int64_t)number->u64 >= INT64_MIN >> (64 - bits);
}

static bool starts_number(struct reading *r)
{
	int here = json_peek(&r->json);
	return here == '-' || (here >= '0' && here <= '9');
}

static bool read_integer(struct reading *r, const struct json_step *at, enum sats_tag tag)
{
	struct json_number number;
	if (!starts_number(r))
		return json_wrong_type(&r->json, at, false, rust_names[tag]);
	if (!json_number(&r->json, at, &number))
		return false;
	if (number.kind == JSON_F64)
		return number_refused(r, at, "invalid type", &number, rust_names[tag]);
	if (!fits_integer(&number, tag))
		return number_refused(r, at, "invalid value", &number, rust_names[tag]);
	buf_put(r->out, &number.u64, sats_primitive[tag].plain_size);
	return written(r);
}

static bool read_integer128(struct reading *r, const struct json_step *at, enum sats_tag tag)
{
	u128 value;
	if (!json_integer128(&r->json, at, tag == SATS_I128, &value))
		return false;
	buf_put_u128(r->out, value);
	return written(r);
}

static bool read_integer256(struct reading *r, const struct json_step *at, enum sats_tag tag)
{
	struct str text;
	uint8_t le[32];
	if (json_peek(&r->json) != '"')
		return json_wrong_type(&r->json, at, false, "a formatted 256-bit integer");
	if (!json_string(&r->json, at, &text))
		return false;
	const char *cause = integer256_from_hex(text, tag == SATS_I256, le);
	if (cause != NULL) {
		json_fail_data(&r->json, at, "%s", cause);
		return json_end(&r->json, false);
	}
	buf_put(r->out, le, sizeof(le));
	return written(r);
}

static bool read_float(struct reading *r, const struct json_step *at, enum sats_tag tag)
{
	struct json_number number;
	if (!starts_number(r))
		return json_wrong_type(&r->json, at, false, rust_names[tag]);
	if (!json_number(&r->json, at, &number))
		return false;
	double wide = number.kind == JSON_F64 ? number.f64 :
		number.kind == JSON_U64 ? (double)number.u64 : (double)(int64_t)number.u64;
	float narrow = number.kind == JSON_F64 ? (float)number.f64 :
		number.kind == JSON_U64 ? (float)number.u64 : (float)(int64_t)number.u64;
	if (tag == SATS_F64)
		buf_put(r->out, &wide, sizeof(wide));
	else
		buf_put(r->out, &narrow, sizeof(narrow));
	return written(r);
}

static bool read_bool(struct reading *r, const struct json_step *at)
{
	int here = json_peek(&r->json);
	if (here != 't' && here != 'f')
		return json_wrong_type(&r->json, at, false, "a boolean");
	if (!json_ident(&r->json, at, here == 't' ? "true" : "false"))
		return false;
	buf_put_u8(r->out, here == 't');
	return written(r);
}

static bool read_string(struct reading *r, const struct json_step *at)
{
	struct str text;
	if (json_peek(&r->json) != '"')
		return json_wrong_type(&r->json, at, false, "a string");
	if (!json_string(&r->json, at, &text))
		return false;
	buf_put_bsatn_str(r->out, text);
	return written(r);
}

/* ---- arrays ---- */

static bool count_element(struct reading *r, const struct json_step *at, uint32_t *count, size_t before)
{
	if (r->out->len == before && ++r->empty > SATS_ZERO_SIZE_ELEMENTS_MAX)
		return json_fail_data(&r->json, at, "allocation of %u elements failed", *count);
	if (*count == UINT32_MAX)
		return json_fail_data(&r->json, at, "len too long");
	++*count;
	return true;
}

static bool read_elements(struct reading *r, const struct json_step *at, const struct sats_type *element)
{
	if (!json_open(&r->json, at))
		return false;
	size_t count_at = r->out->len;
	uint32_t count = 0;
	bool first = true, more, ok;
	buf_put_u32(r->out, 0);
	while ((ok = json_next_element(&r->json, at, &first, &more)) && more) {
		const struct json_step step = { at, JSON_STEP_INDEX, count, { NULL, 0 } };
		size_t before = r->out->len;
		ok = read_value(r, &step, element) && count_element(r, at, &count, before);
		if (!ok)
			break;
	}
	ok = ok && written(r);
	if (ok)
		store_u32(r->out->data + count_at, count);
	return json_end(&r->json, json_close_array(&r->json, at, ok));
}

static bool read_hex(struct reading *r, const struct json_step *at)
{
	struct str text;
	if (!json_string(&r->json, at, &text))
		return false;
	size_t size = text.len / 2, start = r->out->len;
	if (size > UINT32_MAX)
		return json_fail_code(&r->json, WL_ERR_LIMIT, "value is too large");
	buf_put_u32(r->out, (uint32_t)size);
	uint8_t *bytes = buf_extend(r->out, size);
	if (bytes == NULL)
		return written(r);
	if (text.len % 2 == 0 && hex_decode(text, bytes, size))
		return true;
	r->out->len = start;
	struct buf what = BUF_INIT(SIZE_MAX);
	json_describe_string(&what, text);
	json_fail_data(&r->json, at, "invalid value: string %.*s, expected a byte array or hex string",
		STR_FMT(buf_str(&what)));
	buf_deinit(&what);
	return json_end(&r->json, false);
}

static bool read_array(struct reading *r, const struct json_step *at, const struct sats_type *type)
{
	const struct sats_type *element = sats_follow(r->space, type->element);
	bool bytes = element != NULL && element->tag == SATS_U8;
	int here = json_peek(&r->json);
	if (here == '"' && bytes)
		return read_hex(r, at);
	if (here == '[')
		return read_elements(r, at, type->element);
	return json_wrong_type(&r->json, at, bytes, bytes ? "a byte array or hex string" : "a vec");
}

/* ---- products ---- */

/* What the texts about a product depend on: `name` is of a function's arguments, none of other products. */
struct product {
	const struct sats_type *type;
	struct str name;
	struct map by_name; /* filled when there are many members */
};

static const char *member_word(const struct product *p)
{
	return p->name.data != NULL ? "reducer argument" : "field";
}

/* The list of what would have been right, with the reference's own punctuation. */
static void put_expected(struct buf *out, const struct sats_type *type, bool unnamed_too)
{
	uint32_t count = 0, index = 0, unnamed = 0;
	for (uint32_t i = 0; i < type->count; i++)
		count += unnamed_too || type->elements[i].name.data != NULL;
	for (uint32_t i = 0; i < type->count; i++) {
		struct str name = type->elements[i].name;
		if (name.data == NULL && !unnamed_too)
			continue;
		if (count > 1 && !(count == 2 && index == 1))
			buf_put_cstr(out, index == 1 ? "one of " : ", ");
		if (name.data == NULL)
			buf_printf(out, "`%u`", unnamed++);
		else
			buf_printf(out, "`%.*s`", STR_FMT(name));
		index++;
	}
}

static bool unknown_member(struct reading *r, const struct json_step *at, const struct product *p, struct str key)
{
	const char *word = member_word(p);
	struct buf expected = BUF_INIT(1 << 20);
	put_expected(&expected, p->type, true);
	if (p->type->count > 0)
		json_fail_data(&r->json, at, "unknown %s `%.*s`, expected %.*s", word, STR_FMT(key),
			STR_FMT(buf_str(&expected)));
	else
		json_fail_data(&r->json, at, "unknown %s `%.*s`, there are no %ss", word, STR_FMT(key), word);
	buf_deinit(&expected);
	return false;
}

static bool member_fault(struct reading *r, const struct json_step *at, const struct product *p, const char *problem,
	uint32_t index)
{
	struct str name = p->type->elements[index].name;
	if (name.data == NULL)
		return json_fail_data(&r->json, at, "%s %s (index %u)", problem, member_word(p), index);
	return json_fail_data(&r->json, at, "%s %s `%.*s`", problem, member_word(p), STR_FMT(name));
}

/* The first member of that name; UINT32_MAX: none. */
static uint32_t find_member(const struct product *p, struct str key)
{
	const struct sats_element *elements = p->type->elements;
	uint64_t value;
	if (p->by_name.count > 0)
		return map_get(&p->by_name, key.data, key.len, &value) ? (uint32_t)value : UINT32_MAX;
	for (uint32_t i = 0; i < p->type->count; i++)
		if (elements[i].name.data != NULL && str_eq(elements[i].name, key))
			return i;
	return UINT32_MAX;
}

static bool index_members(struct product *p)
{
	if (p->type->count < MEMBERS_BY_MAP_MIN)
		return true;
	for (uint32_t i = p->type->count; i-- > 0;) {
		struct str name = p->type->elements[i].name;
		if (name.data != NULL && !map_put(&p->by_name, name.data, name.len, i))
			return false;
	}
	return true;
}

/* Puts the members behind `start` into the order of the type. */
static bool sort_members(struct reading *r, size_t start, const struct span *spans, uint32_t count)
{
	size_t len = r->out->len - start;
	bool sorted = true;
	for (uint32_t i = 1; i < count; i++)
		sorted &= spans[i].begin >= spans[i - 1].end;
	if (sorted)
		return true;
	uint8_t *copy = mem_alloc(len);
	if (copy == NULL)
		return no_memory(r);
	uint8_t *to = copy;
	for (uint32_t i = 0; i < count; i++) {
		memcpy(to, r->out->data + start + spans[i].begin, spans[i].end - spans[i].begin);
		to += spans[i].end - spans[i].begin;
	}
	memcpy(r->out->data + start, copy, len);
	mem_free(copy);
	return true;
}

/* Valid until the stack grows; NULL for a type without members. */
static struct span *spans_at(struct reading *r, size_t offset)
{
	return r->spans.data == NULL ? NULL : (struct span *)(r->spans.data + offset);
}

static bool read_member(struct reading *r, const struct json_step *at, const struct product *p, size_t start,
	size_t spans_offset, bool *first)
{
	const struct sats_type *type = p->type;
	struct str key;
	bool more;
	if (!json_next_key(&r->json, at, first, &more, &key))
		return false;
	struct span *spans = spans_at(r, spans_offset);
	if (!more) {
		uint32_t missing = 0;
		while (spans[missing].present)
			missing++;
		return member_fault(r, at, p, "missing", missing);
	}
	uint32_t index = find_member(p, key);
	if (index == UINT32_MAX) {
		const struct json_step step = { at, JSON_STEP_KEY, 0, key };
		return unknown_member(r, &step, p, key);
	}
	if (spans[index].present)
		return member_fault(r, at, p, "duplicate", index);
	const struct json_step step = { at, JSON_STEP_KEY, 0, type->elements[index].name };
	size_t begin = r->out->len;
	if (!json_colon(&r->json, &step) || !read_value(r, &step, type->elements[index].type))
		return false;
	if (r->out->len - start > UINT32_MAX)
		return json_fail_code(&r->json, WL_ERR_LIMIT, "value is too large");
	/* Reading the value may have moved the stack. */
	spans = spans_at(r, spans_offset);
	spans[index] = (struct span){ (uint32_t)(begin - start), (uint32_t)(r->out->len - start), true };
	return true;
}

static bool read_members(struct reading *r, const struct json_step *at, struct product *p)
{
	if (!json_open(&r->json, at))
		return false;
	uint32_t count = p->type->count;
	size_t start = r->out->len, spans_offset = r->spans.len, spans_size;
	bool ok = size_mul(count, sizeof(struct span), &spans_size);
	uint8_t *spans = ok && spans_size > 0 ? buf_extend(&r->spans, spans_size) : NULL;
	if (!ok || (spans == NULL && count > 0) || !index_members(p))
		ok = no_memory(r);
	else if (count > 0)
		memset(spans, 0, spans_size);
	bool first = true;
	for (uint32_t turn = 0; ok && turn < count; turn++)
		ok = read_member(r, at, p, start, spans_offset, &first);
	if (ok)
		ok = sort_members(r, start, spans_at(r, spans_offset), count);
	r->spans.len = spans_offset;
	map_deinit(&p->by_name);
	return json_end(&r->json, json_close_object(&r->json, at, ok));
}

static bool read_tuple(struct reading *r, const struct json_step *at, const struct product *p)
{
	if (!json_open(&r->json, at))
		return false;
	bool first = true, more, ok = true;
	for (uint32_t i = 0; ok && i < p->type->count; i++) {
		const struct json_step step = { at, JSON_STEP_INDEX, i, { NULL, 0 } };
		ok = json_next_element(&r->json, at, &first, &more);
		if (ok && !more && p->name.data != NULL)
			ok = json_fail_data(&r->json, at, "invalid length %u, expected reducer args for %.*s with %u elements", i,
				STR_FMT(p->name), p->type->count);
		else if (ok && !more)
			ok = json_fail_data(&r->json, at, "invalid length %u, expected product type <product> with %u elements", i,
				p->type->count);
		ok = ok && read_value(r, &step, p->type->elements[i].type);
	}
	return json_end(&r->json, json_close_array(&r->json, at, ok));
}

static bool read_product(struct reading *r, const struct json_step *at, struct product *p)
{
	int here = json_peek(&r->json);
	if (here == '{')
		return read_members(r, at, p);
	if (here == '[')
		return read_tuple(r, at, p);
	struct buf expected = BUF_INIT(1 << 20);
	if (p->name.data != NULL)
		buf_printf(&expected, "a %.*s tuple", STR_FMT(p->name));
	else
		buf_printf(&expected, "a %u-element tuple", p->type->count);
	json_wrong_type(&r->json, at, true, buf_text(&expected));
	buf_deinit(&expected);
	return false;
}

/* ---- sums ---- */

static bool pick_tag(struct reading *r, const struct json_step *at, const struct sats_type *type, uint64_t tag,
	uint8_t *out)
{
	if (tag >= type->count)
		return json_fail_data(&r->json, at, "unknown tag 0x%x for sum type <unknown>", (unsigned)tag);
	*out = (uint8_t)tag;
	return true;
}

/* Rust's parse::<u8>: digits after at most one '+'. */
static bool is_u8(struct str text, uint32_t *out)
{
	size_t i = text.len > 1 && text.data[0] == '+';
	*out = 0;
	for (; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		*out = *out * 10 + (uint32_t)(text.data[i] - '0');
		if (*out > 255)
			return false;
	}
	return text.len > 0;
}

static bool pick_name(struct reading *r, const struct json_step *at, const struct sats_type *type, struct str name,
	uint8_t *out)
{
	uint32_t tag;
	if (is_u8(name, &tag))
		return pick_tag(r, at, type, tag, out);
	for (uint32_t i = 0; i < type->count && i < 256; i++) {
		if (type->elements[i].name.data != NULL && str_eq(type->elements[i].name, name)) {
			*out = (uint8_t)i;
			return true;
		}
	}
	struct buf expected = BUF_INIT(1 << 20);
	put_expected(&expected, type, false);
	if (expected.len > 0)
		json_fail_data(&r->json, at, "unknown variant `%.*s`, expected %.*s", STR_FMT(name),
			STR_FMT(buf_str(&expected)));
	else
		json_fail_data(&r->json, at, "unknown variant `%.*s`, there are no variants", STR_FMT(name));
	buf_deinit(&expected);
	return false;
}

static bool read_variant_object(struct reading *r, const struct json_step *at, const struct sats_type *type)
{
	struct str key;
	bool first = true, more;
	uint8_t tag;
	if (!json_next_key(&r->json, at, &first, &more, &key))
		return false;
	if (!more)
		return json_fail_data(&r->json, at, "expected map representing sum type to have exactly one field");
	struct json_step step = { at, JSON_STEP_KEY, 0, key };
	if (!pick_name(r, &step, type, key, &tag))
		return false;
	/* The scratch text of a key with escapes does not outlive the payload; such a key names the variant. */
	if (key.data < r->json.text || key.data > r->json.text + r->json.len)
		step.key = type->elements[tag].name;
	buf_put_u8(r->out, tag);
	return json_colon(&r->json, &step) && read_value(r, &step, type->elements[tag].type);
}

/* The first of two elements: a tag or a name. */
static bool read_variant(struct reading *r, const struct json_step *at, const struct sats_type *type, uint8_t *tag)
{
	static const char expected[] = "variant identifier (string or int)";
	struct json_number number;
	struct str name;
	if (json_peek(&r->json) == '"')
		return json_end(&r->json, json_string(&r->json, at, &name) && pick_name(r, at, type, name, tag));
	if (!starts_number(r))
		return json_wrong_type(&r->json, at, true, expected);
	if (!json_number(&r->json, at, &number))
		return false;
	if (number.kind != JSON_U64)
		return number_refused(r, at, "invalid type", &number, expected);
	if (number.u64 > 255)
		return number_refused(r, at, "invalid value", &number, "a u8 tag");
	return json_end(&r->json, pick_tag(r, at, type, number.u64, tag));
}

static bool read_variant_pair(struct reading *r, const struct json_step *at, const struct sats_type *type)
{
	static const char not_two[] = "expected seq representing sum type to have exactly two fields";
	const struct json_step steps[] = {
		{ at, JSON_STEP_INDEX, 0, { NULL, 0 } },
		{ at, JSON_STEP_INDEX, 1, { NULL, 0 } },
	};
	bool first = true, more;
	uint8_t tag;
	if (!json_next_element(&r->json, at, &first, &more))
		return false;
	if (!more)
		return json_fail_data(&r->json, at, "%s", not_two);
	if (!read_variant(r, &steps[0], type, &tag) || !json_next_element(&r->json, at, &first, &more))
		return false;
	if (!more)
		return json_fail_data(&r->json, at, "%s", not_two);
	buf_put_u8(r->out, tag);
	return read_value(r, &steps[1], type->elements[tag].type);
}

static bool read_sum(struct reading *r, const struct json_step *at, const struct sats_type *type)
{
	int here = json_peek(&r->json);
	if (here == '{') {
		if (!json_open(&r->json, at))
			return false;
		bool ok = read_variant_object(r, at, type);
		return json_end(&r->json, json_close_object(&r->json, at, ok)) && written(r);
	}
	if (here == '[') {
		if (!json_open(&r->json, at))
			return false;
		bool ok = read_variant_pair(r, at, type);
		return json_end(&r->json, json_close_array(&r->json, at, ok)) && written(r);
	}
	if (here == 'n' && sats_special_of(type) == SATS_OPTION) {
		if (!json_ident(&r->json, at, "null"))
			return false;
		buf_put_u8(r->out, 1);
		return written(r);
	}
	return json_wrong_type(&r->json, at, true, "sum type");
}

static bool read_value(struct reading *r, const struct json_step *at, const struct sats_type *type)
{
	const struct sats_type *real = sats_follow(r->space, type);
	if (real == NULL)
		return json_fail_code(&r->json, WL_ERR_INVALID, "type reference out of bounds");
	switch (real->tag) {
	case SATS_PRODUCT: {
		struct product product = { .type = real };
		return read_product(r, at, &product);
	}
	case SATS_SUM:
		return read_sum(r, at, real);
	case SATS_ARRAY:
		return read_array(r, at, real);
	case SATS_STRING:
		return read_string(r, at);
	case SATS_BOOL:
		return read_bool(r, at);
	case SATS_I128:
	case SATS_U128:
		return read_integer128(r, at, real->tag);
	case SATS_I256:
	case SATS_U256:
		return read_integer256(r, at, real->tag);
	case SATS_F32:
	case SATS_F64:
		return read_float(r, at, real->tag);
	default:
		return read_integer(r, at, real->tag);
	}
}

/* ---- the entries ---- */

static void reading_init(struct reading *r, struct buf *out, const struct sats_typespace *space, const char *json,
	size_t len)
{
	*r = (struct reading){ .out = out, .space = space, .spans = BUF_INIT(SIZE_MAX) };
	json_cursor_init(&r->json, json, len);
}

static void reading_deinit(struct reading *r)
{
	buf_deinit(&r->spans);
	json_cursor_deinit(&r->json);
}

/* Trailing bytes are an error without a place in the document. */
static bool read_end(struct reading *r)
{
	if (json_peek(&r->json) < 0)
		return true;
	json_fail_next(&r->json, NULL, "trailing characters");
	buf_clear(&r->json.path);
	return false;
}

static bool check_utf8(struct reading *r)
{
	if (utf8_valid((const uint8_t *)r->json.text, r->json.len))
		return true;
	return json_fail_here(&r->json, NULL, "invalid unicode code point");
}

/* The cause with its position, as serde_json prints it. */
static void put_cause(struct buf *out, const struct json_cursor *c, bool position)
{
	buf_put_str(out, buf_str(&c->cause));
	if (position && c->positioned && c->code == WL_ERR_INVALID)
		buf_printf(out, " at line %zu column %zu", c->line, c->column);
}

static enum wl_err parse_value(struct buf *out, const struct sats_type *type, const struct sats_typespace *space,
	struct str json, bool position, struct buf *path, struct error *error)
{
	struct reading r;
	reading_init(&r, out, space, json.data, json.len);
	size_t start = out->len;
	if (check_utf8(&r) && read_value(&r, NULL, type) && read_end(&r)) {
		reading_deinit(&r);
		return WL_OK;
	}
	out->len = start;
	struct buf text = BUF_INIT(1 << 20);
	put_cause(&text, &r.json, position);
	if (path != NULL)
		buf_put_str(path, buf_str(&r.json.path));
	enum wl_err err = fail(error, r.json.code, "%s", buf_text(&text));
	buf_deinit(&text);
	reading_deinit(&r);
	return err;
}

enum wl_err sats_json_parse(struct buf *out, const struct sats_type *type, const struct sats_typespace *space,
	const char *json, size_t json_len, struct buf *path, struct error *error)
{
	return parse_value(out, type, space, (struct str){ json, json_len }, true, path, error);
}

/* A part of a document as text again. The depth of the document is bounded by its parser. */
static uint32_t put_node(struct buf *out, const struct native_json *doc, uint32_t index)
{
	const struct native_json_node *node = &doc->nodes[index];
	struct str text = { node->text, node->text_len };
	bool object = node->kind == NATIVE_JSON_OBJECT;
	switch (node->kind) {
	case NATIVE_JSON_NULL: buf_put_cstr(out, "null"); break;
	case NATIVE_JSON_FALSE: buf_put_cstr(out, "false"); break;
	case NATIVE_JSON_TRUE: buf_put_cstr(out, "true"); break;
	case NATIVE_JSON_NUMBER: buf_put_str(out, text); break;
	case NATIVE_JSON_STRING: buf_put_json_str(out, text); break;
	default: {
		uint32_t at = index + 1;
		buf_put_u8(out, object ? '{' : '[');
		for (uint32_t i = 0; i < node->count; i++) {
			if (i > 0)
				buf_put_u8(out, ',');
			if (object) {
				at = put_node(out, doc, at);
				buf_put_u8(out, ':');
			}
			at = put_node(out, doc, at);
		}
		buf_put_u8(out, object ? '}' : ']');
	}
	}
	return node->next;
}

enum wl_err sats_json_read(struct buf *out, const struct sats_type *type, const struct sats_typespace *space,
	const struct native_json *doc, uint32_t *node, struct buf *path, struct error *error)
{
	struct buf text = BUF_INIT(SIZE_MAX);
	uint32_t next = put_node(&text, doc, *node);
	enum wl_err err = text.failed ? fail(error, WL_ERR_MEMORY, "out of memory") :
		parse_value(out, type, space, buf_str(&text), false, path, error);
	buf_deinit(&text);
	if (err == WL_OK)
		*node = next;
	return err;
}

enum wl_err sats_args_refused(struct error *error, const char *kind, struct str function, struct str path,
	struct str cause)
{
	/* Each layer of the reference names the next; the innermost has the place, if there is one. */
	struct str why = path.len > 0 ? path : cause;
	return fail(error, WL_ERR_INVALID,
		"invalid arguments for %s %.*s: %.*s: invalid arguments for function %.*s: %.*s: %.*s%s%.*s", kind,
		STR_FMT(function), STR_FMT(why), STR_FMT(function), STR_FMT(why), STR_FMT(path), path.len > 0 ? ": " : "",
		STR_FMT(cause));
}

enum wl_err sats_json_read_args(struct buf *out, const char *kind, struct str function, const struct sats_type *params,
	const struct sats_typespace *space, const char *json, size_t json_len, struct error *error)
{
	ASSERT(params->tag == SATS_PRODUCT);
	struct product product = { .type = params, .name = function };
	struct reading r;
	reading_init(&r, out, space, json, json_len);
	size_t start = out->len;
	if (check_utf8(&r) && read_product(&r, NULL, &product) && read_end(&r)) {
		reading_deinit(&r);
		return WL_OK;
	}
	out->len = start;
	struct buf cause = BUF_INIT(1 << 20);
	put_cause(&cause, &r.json, true);
	enum wl_err err = r.json.code == WL_ERR_INVALID ?
		sats_args_refused(error, kind, function, buf_str(&r.json.path), buf_str(&cause)) :
		fail(error, r.json.code, "%s", buf_text(&cause));
	buf_deinit(&cause);
	reading_deinit(&r);
	return err;
}
