/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions on integers at a fixed place, checked for up to 64 rows at once: a range of keys, looked up in a loop that
 * branches on nothing. */
#include "query/query_internal.h"

bool quick_make(const struct node *node, struct quick *out)
{
	if (node->kind != NODE_COMPARE_CONSTANT || !node->has_key || node->layout->offsets[node->column] < 0)
		return false;
	uint32_t width;
	bool is_signed = false;
	switch (node->type->tag) {
	case SATS_I8: is_signed = true; /* fall through */
	case SATS_U8: case SATS_BOOL: width = 1; break;
	case SATS_I16: is_signed = true; /* fall through */
	case SATS_U16: width = 2; break;
	case SATS_I32: is_signed = true; /* fall through */
	case SATS_U32: width = 4; break;
	case SATS_I64: is_signed = true; /* fall through */
	case SATS_U64: width = 8; break;
	default: return false;
	}
	uint64_t most = width == 8 ? UINT64_MAX : (1ull << 8 * width) - 1, key = (uint64_t)node->key;
	struct quick q = { .offset = (uint32_t)node->layout->offsets[node->column], .width = (uint8_t)width,
		.flip = is_signed ? 1ull << (8 * width - 1) : 0, .low = 0, .span = most };
	switch ((enum compare_op)node->op) {
	case OP_EQ: q.low = key; q.span = 0; break;
	case OP_NE: q.low = key; q.span = 0; q.outside = true; break;
	case OP_LT: q.span = key; q.span -= key > 0; q.never = key == 0; break;
	case OP_LE: q.span = key; break;
	case OP_GT: q.low = key + 1; q.span = most - key - 1; q.never = key == most; break;
	case OP_GE: q.low = key; q.span = most - key; break;
	}
	*out = q;
	return true;
}

/* One loop for each width; the compiler unrolls it. */
#define MATCHES(load) \
	for (uint32_t i = 0; i < 64; i++, at += stride) \
		found |= (uint64_t)(((load) ^ q->flip) - q->low <= q->span) << i

uint64_t quick_matches(const struct quick *q, const struct store_slots *slots)
{
	const uint8_t *at = slots->data + q->offset;
	const uint32_t stride = slots->stride;
	uint64_t found = 0;
	if (q->never)
		return 0;
	if (slots->bits != UINT64_MAX) { /* not all 64 slots need be there */
		for (uint64_t bits = slots->bits; bits != 0; bits &= bits - 1) {
			uint32_t i = (uint32_t)__builtin_ctzll(bits);
			const uint8_t *value = at + (size_t)i * stride;
			uint64_t v = q->width == 1 ? *value : q->width == 2 ? load_u16(value) : q->width == 4 ? load_u32(value)
				: load_u64(value);
			found |= (uint64_t)((v ^ q->flip) - q->low <= q->span) << i;
		}
	} else if (q->width == 8) {
		MATCHES(load_u64(at));
	} else if (q->width == 4) {
		MATCHES((uint64_t)load_u32(at));
	} else if (q->width == 2) {
		MATCHES((uint64_t)load_u16(at));
	} else {
		MATCHES((uint64_t)*at);
	}
	return (q->outside ? ~found : found) & slots->bits;
}
