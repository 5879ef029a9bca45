/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types as bytes (their own BSATN) and as the JSON of type descriptions.
 *
 * Decoding trusts nothing: depth is bounded by SATS_DEPTH_MAX, the number of
 * nodes by SATS_TYPE_NODES_MAX, and an element count is compared with the
 * bytes that are left before anything is allocated for it.
 */
#include "sats/sats.h"

struct type_decoder {
	struct arena *arena;
	struct reader *r;
	struct error *error;
	uint32_t nodes;
};

static enum wl_err too_short(struct type_decoder *d)
{
	const struct reader *r = d->r;
	if (strcmp(r->what, "utf8") == 0)
		return fail(d->error, WL_ERR_INVALID, "invalid utf8");
	return fail(d->error, WL_ERR_INVALID, "data too short for %s: Expected %zu, given %zu", r->what, r->wanted,
		r->given);
}

static enum wl_err no_memory(struct type_decoder *d)
{
	return fail(d->error, WL_ERR_MEMORY, "out of memory");
}

static enum wl_err decode_type(struct type_decoder *d, uint32_t depth, const struct sats_type **out);

static enum wl_err decode_name(struct type_decoder *d, struct str *name)
{
	*name = (struct str){ NULL, 0 };
	uint8_t tag = reader_u8(d->r);
	if (d->r->failed)
		return too_short(d);
	if (tag > 1)
		return fail(d->error, WL_ERR_INVALID, "unknown tag 0x%x for sum type option", tag);
	if (tag == 1)
		return WL_OK;
	struct str s = reader_bsatn_str(d->r);
	if (d->r->failed)
		return too_short(d);
	*name = arena_str(d->arena, s);
	return name->data != NULL ? WL_OK : no_memory(d);
}

static enum wl_err decode_elements(struct type_decoder *d, uint32_t depth, enum sats_tag tag,
	const struct sats_type **out)
{
	uint32_t count = reader_u32(d->r);
	if (d->r->failed)
		return too_short(d);
	/* An element is at least a tag for its name and one for its type. */
	if (count > reader_left(d->r) / 2) {
		reader_fail(d->r, "u8", 1);
		return fail(d->error, WL_ERR_INVALID, "data too short for u8: Expected 1, given 0");
	}
	struct sats_element *elements = arena_array(d->arena, count, sizeof(*elements));
	if (elements == NULL && count > 0)
		return no_memory(d);
	for (uint32_t i = 0; i < count; i++) {
		enum wl_err err = decode_name(d, &elements[i].name);
		if (err == WL_OK)
			err = decode_type(d, depth + 1, &elements[i].type);
		if (err != WL_OK)
			return err;
	}
	*out = tag == SATS_SUM ? sats_sum_of(d->arena, elements, count) : sats_product_of(d->arena, elements, count);
	return *out != NULL ? WL_OK : no_memory(d);
}

static enum wl_err decode_type(struct type_decoder *d, uint32_t depth, const struct sats_type **out)
{
	if (depth > SATS_DEPTH_MAX)
		return fail(d->error, WL_ERR_LIMIT, "type is nested too deeply");
	if (++d->nodes > SATS_TYPE_NODES_MAX)
		return fail(d->error, WL_ERR_LIMIT, "type is too large");
	uint8_t tag = reader_u8(d->r);
	if (d->r->failed)
		return too_short(d);
	switch (tag) {
	case SATS_REF: {
		uint32_t ref = reader_u32(d->r);
		if (d->r->failed)
			return too_short(d);
		*out = sats_ref_to(d->arena, ref);
		break;
	}
	case SATS_SUM:
	case SATS_PRODUCT:
		return decode_elements(d, depth, tag, out);
	case SATS_ARRAY: {
		const struct sats_type *element;
		enum wl_err err = decode_type(d, depth + 1, &element);
		if (err != WL_OK)
			return err;
		*out = sats_array_of(d->arena, element);
		break;
	}
	default:
		if (tag >= SATS_TAG_COUNT)
			return fail(d->error, WL_ERR_INVALID, "unknown tag 0x%x for sum type AlgebraicType", tag);
		*out = &sats_primitive[tag];
	}
	return *out != NULL ? WL_OK : no_memory(d);
}

enum wl_err sats_type_decode(struct arena *arena, struct reader *r, const struct sats_type **out, struct error *error)
{
	struct type_decoder d = { arena, r, error, 0 };
	const struct sats_type *type;
	enum wl_err err = decode_type(&d, 0, &type);
	if (err == WL_OK)
		*out = type;
	return err;
}

enum wl_err sats_product_decode(struct arena *arena, struct reader *r, const struct sats_type **out,
	struct error *error)
{
	struct type_decoder d = { arena, r, error, 0 };
	const struct sats_type *type;
	enum wl_err err = decode_elements(&d, 0, SATS_PRODUCT, &type);
	if (err == WL_OK)
		*out = type;
	return err;
}

enum wl_err sats_typespace_decode(struct arena *arena, struct reader *r, struct sats_typespace *out,
	struct error *error)
{
	struct type_decoder d = { arena, r, error, 0 };
	uint32_t count = reader_u32(r);
	if (r->failed)
		return too_short(&d);
	if (count > reader_left(r)) {
		reader_fail(r, "u8", 1);
		return fail(error, WL_ERR_INVALID, "data too short for u8: Expected 1, given 0");
	}
	const struct sats_type **types = arena_array(arena, count, sizeof(*types));
	if (types == NULL && count > 0)
		return no_memory(&d);
	for (uint32_t i = 0; i < count; i++) {
		enum wl_err err = decode_type(&d, 0, &types[i]);
		if (err != WL_OK)
			return err;
	}
	*out = (struct sats_typespace){ count, types };
	return WL_OK;
}

/* ---- encoding ---- */

static void encode_elements(struct buf *out, const struct sats_type *type)
{
	buf_put_u32(out, type->count);
	for (uint32_t i = 0; i < type->count; i++) {
		const struct sats_element *element = &type->elements[i];
		buf_put_u8(out, element->name.data == NULL);
		if (element->name.data != NULL)
			buf_put_bsatn_str(out, element->name);
		sats_type_encode(out, element->type);
	}
}

void sats_type_encode(struct buf *out, const struct sats_type *type)
{
	buf_put_u8(out, type->tag);
	if (type->tag == SATS_REF)
		buf_put_u32(out, type->ref);
	else if (type->tag == SATS_ARRAY)
		sats_type_encode(out, type->element);
	else if (type->tag == SATS_SUM || type->tag == SATS_PRODUCT)
		encode_elements(out, type);
}

void sats_product_encode(struct buf *out, const struct sats_type *product)
{
	ASSERT(product->tag == SATS_PRODUCT);
	encode_elements(out, product);
}

static void json_elements(struct buf *out, const struct sats_type *type)
{
	buf_put_cstr(out, type->tag == SATS_SUM ? "{\"variants\":[" : "{\"elements\":[");
	for (uint32_t i = 0; i < type->count; i++) {
		const struct sats_element *element = &type->elements[i];
		buf_put_cstr(out, i > 0 ? ",{\"name\":" : "{\"name\":");
		if (element->name.data == NULL) {
			buf_put_cstr(out, "{\"none\":[]}");
		} else {
			buf_put_cstr(out, "{\"some\":");
			buf_put_json_str(out, element->name);
			buf_put_u8(out, '}');
		}
		buf_put_cstr(out, ",\"algebraic_type\":");
		sats_type_json(out, element->type);
		buf_put_u8(out, '}');
	}
	buf_put_cstr(out, "]}");
}

void sats_type_json(struct buf *out, const struct sats_type *type)
{
	buf_put_cstr(out, "{\"");
	buf_put_cstr(out, sats_tag_name(type->tag));
	buf_put_cstr(out, "\":");
	if (type->tag == SATS_REF)
		buf_printf(out, "%u", type->ref);
	else if (type->tag == SATS_ARRAY)
		sats_type_json(out, type->element);
	else if (type->tag == SATS_SUM || type->tag == SATS_PRODUCT)
		json_elements(out, type);
	else
		buf_put_cstr(out, "[]");
	buf_put_u8(out, '}');
}

void sats_product_json(struct buf *out, const struct sats_type *product)
{
	ASSERT(product->tag == SATS_PRODUCT);
	json_elements(out, product);
}
