/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types: making them, recognising the special ones, comparing, resolving
 * refs, and the readable form of error messages.
 *
 * Invariants:
 * 1. A type is never changed after its constructor returns.
 * 2. A type that was decoded or inlined nests at most SATS_DEPTH_MAX levels,
 *    so the recursive functions here are bounded. Our own code must not
 *    build deeper ones.
 * 3. `special` and `plain_size` follow from the structure; nobody sets them
 *    by hand but the constructors (0 is always a safe value for both).
 */
#include "sats/sats.h"

#define PRIMITIVE(t, bytes) [t] = { .tag = (t), .plain_size = (bytes) }
const struct sats_type sats_primitive[SATS_TAG_COUNT] = {
	PRIMITIVE(SATS_REF, 0), PRIMITIVE(SATS_SUM, 0), PRIMITIVE(SATS_PRODUCT, 0), PRIMITIVE(SATS_ARRAY, 0),
	PRIMITIVE(SATS_STRING, 0), PRIMITIVE(SATS_BOOL, 1),
	PRIMITIVE(SATS_I8, 1), PRIMITIVE(SATS_U8, 1), PRIMITIVE(SATS_I16, 2), PRIMITIVE(SATS_U16, 2),
	PRIMITIVE(SATS_I32, 4), PRIMITIVE(SATS_U32, 4), PRIMITIVE(SATS_I64, 8), PRIMITIVE(SATS_U64, 8),
	PRIMITIVE(SATS_I128, 16), PRIMITIVE(SATS_U128, 16), PRIMITIVE(SATS_I256, 32), PRIMITIVE(SATS_U256, 32),
	/* Floats of different bytes can be equal. */
	PRIMITIVE(SATS_F32, 0), PRIMITIVE(SATS_F64, 0),
};
const struct sats_type sats_unit = { .tag = SATS_PRODUCT };
const struct sats_type sats_bytes = { .tag = SATS_ARRAY, .element = &sats_primitive[SATS_U8] };

static bool named(const struct sats_element *element, const char *name)
{
	return element->name.data != NULL && str_eq(element->name, str_of(name));
}

static bool is_unit(const struct sats_type *type)
{
	return type->tag == SATS_PRODUCT && type->count == 0;
}

static enum sats_special special_product(const struct sats_type *type)
{
	static const struct {
		const char *name;
		uint8_t inner, special;
	} known[] = {
		{ "__identity__", SATS_U256, SATS_IDENTITY },
		{ "__connection_id__", SATS_U128, SATS_CONNECTION_ID },
		{ "__timestamp_micros_since_unix_epoch__", SATS_I64, SATS_TIMESTAMP },
		{ "__time_duration_micros__", SATS_I64, SATS_TIME_DURATION },
		{ "__uuid__", SATS_U128, SATS_UUID },
		{ "__query__", SATS_REF, SATS_QUERY_VIEW },
	};
	if (type->count != 1)
		return SATS_PLAIN;
	for (size_t i = 0; i < ARRAY_COUNT(known); i++)
		if (type->elements[0].type->tag == known[i].inner && named(&type->elements[0], known[i].name))
			return known[i].special;
	return SATS_PLAIN;
}

static enum sats_special special_sum(const struct sats_type *type)
{
	if (type->count != 2)
		return SATS_PLAIN;
	const struct sats_element *a = &type->elements[0], *b = &type->elements[1];
	if (named(a, "some") && named(b, "none") && is_unit(b->type))
		return SATS_OPTION;
	if (named(a, "ok") && named(b, "err"))
		return SATS_RESULT;
	if (named(a, "Interval") && sats_special_of(a->type) == SATS_TIME_DURATION &&
		named(b, "Time") && sats_special_of(b->type) == SATS_TIMESTAMP)
		return SATS_SCHEDULE_AT;
	return SATS_PLAIN;
}

enum sats_special sats_special_of(const struct sats_type *type)
{
	if (type->special != SATS_PLAIN)
		return type->special;
	if (type->tag == SATS_PRODUCT)
		return special_product(type);
	return type->tag == SATS_SUM ? special_sum(type) : SATS_PLAIN;
}

/* 0 when values vary in size or equal values vary in bytes. */
static uint32_t plain_size_of(const struct sats_type *type)
{
	uint64_t size = type->tag == SATS_SUM ? 1 : 0;
	for (uint32_t i = 0; i < type->count; i++) {
		const struct sats_type *part = type->elements[i].type;
		if (part->plain_size == 0 && !is_unit(part))
			return 0;
		if (type->tag == SATS_PRODUCT)
			size += part->plain_size;
		else if (i > 0 && part->plain_size != type->elements[0].type->plain_size)
			return 0;
	}
	if (type->tag == SATS_SUM)
		size = type->count == 0 ? 0 : size + type->elements[0].type->plain_size;
	return size <= INT32_MAX ? (uint32_t)size : 0;
}

static struct sats_type *new_type(struct arena *arena, enum sats_tag tag)
{
	struct sats_type *type = arena_zalloc(arena, sizeof(*type));
	if (type != NULL)
		type->tag = (uint8_t)tag;
	return type;
}

static const struct sats_type *composite(struct arena *arena, enum sats_tag tag,
	const struct sats_element *elements, uint32_t count)
{
	struct sats_type *type = new_type(arena, tag);
	struct sats_element *copy = arena_array(arena, count, sizeof(*copy));
	if (type == NULL || (copy == NULL && count > 0))
		return NULL;
	if (count > 0)
		memcpy(copy, elements, count * sizeof(*copy));
	type->elements = copy;
	type->count = count;
	type->special = (uint8_t)sats_special_of(type);
	type->plain_size = plain_size_of(type);
	return type;
}

const struct sats_type *sats_array_of(struct arena *arena, const struct sats_type *element)
{
	if (element == &sats_primitive[SATS_U8])
		return &sats_bytes;
	struct sats_type *type = new_type(arena, SATS_ARRAY);
	if (type != NULL)
		type->element = element;
	return type;
}

const struct sats_type *sats_product_of(struct arena *arena, const struct sats_element *elements, uint32_t count)
{
	return count == 0 ? &sats_unit : composite(arena, SATS_PRODUCT, elements, count);
}

const struct sats_type *sats_sum_of(struct arena *arena, const struct sats_element *variants, uint32_t count)
{
	return composite(arena, SATS_SUM, variants, count);
}

const struct sats_type *sats_option_of(struct arena *arena, const struct sats_type *some)
{
	const struct sats_element variants[] = { { STR("some"), some }, { STR("none"), &sats_unit } };
	return sats_sum_of(arena, variants, 2);
}

const struct sats_type *sats_ref_to(struct arena *arena, uint32_t index)
{
	struct sats_type *type = new_type(arena, SATS_REF);
	if (type != NULL)
		type->ref = index;
	return type;
}

bool sats_is_bytes(const struct sats_type *type)
{
	return type->tag == SATS_ARRAY && type->element->tag == SATS_U8;
}

bool sats_is_integer(const struct sats_type *type)
{
	return type->tag >= SATS_I8 && type->tag <= SATS_U256;
}

bool sats_is_plain_enum(const struct sats_type *type)
{
	if (type->tag != SATS_SUM || type->count == 0)
		return false;
	for (uint32_t i = 0; i < type->count; i++)
		if (!is_unit(type->elements[i].type))
			return false;
	return true;
}

bool sats_type_eq(const struct sats_type *a, const struct sats_type *b)
{
	if (a == b)
		return true;
	if (a->tag != b->tag)
		return false;
	switch (a->tag) {
	case SATS_REF:
		return a->ref == b->ref;
	case SATS_ARRAY:
		return sats_type_eq(a->element, b->element);
	case SATS_SUM:
	case SATS_PRODUCT:
		if (a->count != b->count || a->special != b->special)
			return false;
		for (uint32_t i = 0; i < a->count; i++) {
			const struct sats_element *x = &a->elements[i], *y = &b->elements[i];
			if ((x->name.data == NULL) != (y->name.data == NULL) || !str_eq(x->name, y->name))
				return false;
			if (!sats_type_eq(x->type, y->type))
				return false;
		}
		return true;
	default:
		return true;
	}
}

const struct sats_type *sats_follow(const struct sats_typespace *space, const struct sats_type *type)
{
	/* A chain without a loop visits each entry at most once. */
	for (uint32_t steps = 0; type->tag == SATS_REF; steps++) {
		if (space == NULL || type->ref >= space->count || steps > space->count)
			return NULL;
		type = space->types[type->ref];
	}
	return type;
}

/* ---- inlining ---- */

struct inliner {
	struct arena *arena;
	const struct sats_typespace *space;
	struct error *error;
	uint32_t path[SATS_DEPTH_MAX + 1]; /* refs being expanded */
	uint32_t path_len;
	uint32_t nodes; /* of the expanded tree: it can be exponentially larger than the typespace */
};

static enum wl_err inline_type(struct inliner *in, const struct sats_type *type, uint32_t depth,
	const struct sats_type **out);

static enum wl_err inline_ref(struct inliner *in, uint32_t ref, uint32_t depth, const struct sats_type **out)
{
	if (in->space == NULL || ref >= in->space->count)
		return fail(in->error, WL_ERR_INVALID, "Type reference &%u out of bounds", ref);
	for (uint32_t i = 0; i < in->path_len; i++)
		if (in->path[i] == ref)
			return fail(in->error, WL_ERR_INVALID, "Found recursive type reference &%u", ref);
	in->path[in->path_len++] = ref;
	enum wl_err err = inline_type(in, in->space->types[ref], depth + 1, out);
	in->path_len--;
	return err;
}

static enum wl_err inline_composite(struct inliner *in, const struct sats_type *type, uint32_t depth,
	const struct sats_type **out)
{
	struct sats_type *copy = new_type(in->arena, type->tag);
	struct sats_element *elements = arena_array(in->arena, type->count, sizeof(*elements));
	if (copy == NULL || (elements == NULL && type->count > 0))
		return fail(in->error, WL_ERR_MEMORY, "out of memory");
	for (uint32_t i = 0; i < type->count; i++) {
		elements[i].name = type->elements[i].name;
		enum wl_err err = inline_type(in, type->elements[i].type, depth + 1, &elements[i].type);
		if (err != WL_OK)
			return err;
	}
	copy->elements = elements;
	copy->count = type->count;
	copy->special = (uint8_t)sats_special_of(copy);
	copy->plain_size = plain_size_of(copy);
	*out = copy;
	return WL_OK;
}

static enum wl_err inline_type(struct inliner *in, const struct sats_type *type, uint32_t depth,
	const struct sats_type **out)
{
	if (depth > SATS_DEPTH_MAX)
		return fail(in->error, WL_ERR_LIMIT, "type is nested too deeply");
	if (++in->nodes > SATS_TYPE_NODES_MAX)
		return fail(in->error, WL_ERR_LIMIT, "type is too large");
	switch (type->tag) {
	case SATS_REF:
		return inline_ref(in, type->ref, depth, out);
	case SATS_ARRAY: {
		const struct sats_type *element;
		enum wl_err err = inline_type(in, type->element, depth + 1, &element);
		if (err != WL_OK)
			return err;
		*out = sats_array_of(in->arena, element);
		return *out != NULL ? WL_OK : fail(in->error, WL_ERR_MEMORY, "out of memory");
	}
	case SATS_SUM:
	case SATS_PRODUCT:
		return inline_composite(in, type, depth, out);
	default:
		*out = &sats_primitive[type->tag];
		return WL_OK;
	}
}

enum wl_err sats_inline(struct arena *arena, const struct sats_typespace *space, const struct sats_type *type,
	const struct sats_type **out, struct error *error)
{
	struct inliner in = { .arena = arena, .space = space, .error = error };
	const struct sats_type *result;
	enum wl_err err = inline_type(&in, type, 0, &result);
	if (err == WL_OK)
		*out = result;
	return err;
}

/* ---- text ---- */

static const char *const tag_names[SATS_TAG_COUNT] = {
	"Ref", "Sum", "Product", "Array", "String", "Bool", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64",
	"I128", "U128", "I256", "U256", "F32", "F64",
};

const char *sats_tag_name(enum sats_tag tag)
{
	ASSERT(tag < SATS_TAG_COUNT);
	return tag_names[tag];
}

static void pretty_elements(struct buf *out, const struct sats_type *type)
{
	bool product = type->tag == SATS_PRODUCT;
	buf_put_u8(out, '(');
	for (uint32_t i = 0; i < type->count; i++) {
		const struct sats_element *element = &type->elements[i];
		if (i > 0)
			buf_put_cstr(out, product ? ", " : " | ");
		if (element->name.data != NULL) {
			buf_put_str(out, element->name);
			buf_put_cstr(out, ": ");
		} else if (product) {
			buf_printf(out, "%u: ", i);
		}
		sats_type_pretty(out, element->type);
	}
	buf_put_u8(out, ')');
}

void sats_type_pretty(struct buf *out, const struct sats_type *type)
{
	switch (type->tag) {
	case SATS_REF:
		buf_printf(out, "&%u", type->ref);
		return;
	case SATS_ARRAY:
		buf_put_cstr(out, "Array<");
		sats_type_pretty(out, type->element);
		buf_put_u8(out, '>');
		return;
	case SATS_SUM:
		if (type->count == 0) {
			buf_put_cstr(out, "(|)");
			return;
		}
		pretty_elements(out, type);
		return;
	case SATS_PRODUCT:
		pretty_elements(out, type);
		return;
	default:
		buf_put_cstr(out, sats_tag_name(type->tag));
	}
}
