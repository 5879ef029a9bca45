/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says why bytes are not a value of a type, in the order and the words of the
 * reference's decoder. Runs only after the fast check has refused them.
 */
#include "sats/layout_internal.h"

struct explainer {
	const struct sats_typespace *space;
	struct reader r;
	struct error *error;
	uint32_t empty; /* elements without bytes met so far */
};

static enum wl_err too_short(struct explainer *e)
{
	const struct reader *r = &e->r;
	return fail(e->error, WL_ERR_INVALID, "data too short for %s: Expected %zu, given %zu", r->what, r->wanted,
		r->given);
}

static enum wl_err explain(struct explainer *e, const struct sats_type *type, uint32_t depth);

static enum wl_err explain_scalar(struct explainer *e, enum sats_tag tag)
{
	static const struct {
		const char *name;
		uint8_t size;
	} scalars[SATS_TAG_COUNT] = {
		[SATS_BOOL] = { "u8", 1 }, [SATS_I8] = { "i8", 1 }, [SATS_U8] = { "u8", 1 },
		[SATS_I16] = { "i16", 2 }, [SATS_U16] = { "u16", 2 }, [SATS_I32] = { "i32", 4 }, [SATS_U32] = { "u32", 4 },
		[SATS_I64] = { "i64", 8 }, [SATS_U64] = { "u64", 8 }, [SATS_I128] = { "i128", 16 },
		[SATS_U128] = { "u128", 16 }, [SATS_I256] = { "i256", 32 }, [SATS_U256] = { "u256", 32 },
		[SATS_F32] = { "u32", 4 }, [SATS_F64] = { "u64", 8 },
	};
	const uint8_t *p = reader_take(&e->r, scalars[tag].size, scalars[tag].name);
	if (p == NULL)
		return too_short(e);
	if (tag == SATS_BOOL && *p > 1)
		return fail(e->error, WL_ERR_INVALID, "byte %u not valid as `bool` (must be 0 or 1)", *p);
	return WL_OK;
}

static enum wl_err explain_array(struct explainer *e, const struct sats_type *type, uint32_t depth)
{
	uint32_t count = reader_u32(&e->r);
	if (e->r.failed)
		return too_short(e);
	if (sats_is_bytes(type))
		return reader_take(&e->r, count, "[u8]") != NULL ? WL_OK : too_short(e);
	for (uint32_t i = 0; i < count; i++) {
		size_t before = reader_left(&e->r);
		enum wl_err err = explain(e, type->element, depth + 1);
		if (err != WL_OK)
			return err;
		if (reader_left(&e->r) == before && ++e->empty > SATS_ZERO_SIZE_ELEMENTS_MAX)
			return fail(e->error, WL_ERR_LIMIT, "allocation of %u elements failed", count);
	}
	return WL_OK;
}

static enum wl_err explain(struct explainer *e, const struct sats_type *type, uint32_t depth)
{
	if (depth > SATS_VALUE_DEPTH_MAX)
		return fail(e->error, WL_ERR_LIMIT, "recursion limit exceeded");
	switch (type->tag) {
	case SATS_REF:
		/* In range: the layout was made. */
		return explain(e, e->space->types[type->ref], depth + 1);
	case SATS_PRODUCT:
		for (uint32_t i = 0; i < type->count; i++) {
			enum wl_err err = explain(e, type->elements[i].type, depth + 1);
			if (err != WL_OK)
				return err;
		}
		return WL_OK;
	case SATS_SUM: {
		uint8_t tag = reader_u8(&e->r);
		if (e->r.failed)
			return too_short(e);
		if (tag >= type->count)
			return fail(e->error, WL_ERR_INVALID, "unknown tag 0x%x for sum type <unknown>", tag);
		return explain(e, type->elements[tag].type, depth + 1);
	}
	case SATS_ARRAY:
		return explain_array(e, type, depth);
	case SATS_STRING: {
		struct bytes text = reader_bsatn_bytes(&e->r);
		if (e->r.failed)
			return too_short(e);
		return utf8_valid(text.data, text.len) ? WL_OK : fail(e->error, WL_ERR_INVALID, "invalid utf8");
	}
	default:
		return explain_scalar(e, type->tag);
	}
}

enum wl_err sats_explain_failure(const struct sats_layout *layout, const uint8_t *data, size_t len,
	struct error *error)
{
	struct explainer e = { layout->space, reader_of(data, len), error, 0 };
	return explain(&e, layout->type, 0);
}
