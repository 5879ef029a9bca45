/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks values by the programs of their layouts: the check that every value
 * from outside passes once, the size of a value, and the columns of a row.
 *
 * Invariants:
 * 1. The check reads nothing at or after `end`; lengths are compared with
 *    what is left before they are used.
 * 2. Each element of an array consumes bytes or fails (layout.c), and elements
 *    without bytes are limited per value, so the time of every later walk is
 *    bounded by the length of the data, whatever counts it declares.
 * 3. Nesting is bounded by SATS_VALUE_DEPTH_MAX.
 * 4. The fast check says only yes or no; the words come from a second, slow
 *    walk by type, so that the common path carries no texts.
 */
#include "sats/layout_internal.h"

static inline bool checks_pass(const uint8_t *at, const struct sats_check *checks, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (UNLIKELY(at[checks[i].offset] >= checks[i].limit))
			return false;
	return true;
}

static bool elements_pass(const uint8_t *at, uint32_t count, const struct sats_op *op)
{
	if (op->count == 0)
		return true;
	if (op->size == 1 && op->checks[0].limit == 2) {
		uint8_t seen = 0; /* bools: one pass without branches */
		for (uint32_t i = 0; i < count; i++)
			seen |= at[i];
		return seen < 2;
	}
	for (uint32_t i = 0; i < count; i++, at += op->size)
		if (!checks_pass(at, op->checks, op->count))
			return false;
	return true;
}

/* Short ASCII, the common text, without a loop over its bytes; the rest goes the general way. */
static inline bool is_text(const uint8_t *at, size_t len)
{
	const uint64_t tops = 0x8080808080808080u;
	uint64_t seen = 0;
	if (len >= 8) {
		for (size_t i = 0; i + 8 < len; i += 8)
			seen |= load_u64(at + i);
		seen |= load_u64(at + len - 8);
	} else if (len >= 4) {
		seen = load_u32(at) | load_u32(at + len - 4);
	} else if (len > 0) {
		seen = at[0] | at[len / 2] | at[len - 1];
	}
	return (seen & tops) == 0 || utf8_valid(at, len);
}

struct check {
	const uint8_t *end;
	uint32_t empty_left; /* elements without bytes that the whole value may still have */
};
static bool check_value(struct check *check, const struct sats_layout *layout, const uint8_t **cursor, uint32_t depth);

static bool check_array(struct check *check, const struct sats_op *op, uint32_t count, const uint8_t **cursor,
	uint32_t depth)
{
	if (depth + op->levels > SATS_VALUE_DEPTH_MAX)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!check_value(check, op->sub, cursor, depth + op->levels))
			return false;
	return true;
}

static bool check_value(struct check *check, const struct sats_layout *layout, const uint8_t **cursor, uint32_t depth)
{
	const uint8_t *at = *cursor;
	for (const struct sats_op *op = layout->ops, *last = op + layout->op_count; op < last; op++) {
		size_t left = (size_t)(check->end - at);
		if (op->code == OP_FIXED) {
			if (UNLIKELY(left < op->size || !checks_pass(at, op->checks, op->count)))
				return false;
			at += op->size;
			continue;
		}
		if (op->code == OP_SUM) {
			if (left < 1 || *at >= op->count || depth + op->levels > SATS_VALUE_DEPTH_MAX)
				return false;
			const struct sats_layout *variant = op->variants[*at++];
			if (variant->op_count > 0 && !check_value(check, variant, &at, depth + op->levels))
				return false;
			continue;
		}
		if (op->code == OP_CALL) {
			if (depth + op->levels > SATS_VALUE_DEPTH_MAX || !check_value(check, op->sub, &at, depth + op->levels))
				return false;
			continue;
		}
		if (UNLIKELY(left < 4))
			return false;
		uint32_t count = load_u32(at);
		at += 4;
		left -= 4;
		switch (op->code) {
		case OP_STRING:
			if (left < count || !is_text(at, count))
				return false;
			at += count;
			break;
		case OP_ARRAY_FIXED:
			if (left < (uint64_t)count * op->size || !elements_pass(at, count, op))
				return false;
			at += (size_t)count * op->size;
			break;
		case OP_ARRAY_EMPTY:
			if (count > check->empty_left)
				return false;
			check->empty_left -= count;
			break;
		default:
			if (!check_array(check, op, count, &at, depth))
				return false;
		}
	}
	*cursor = at;
	return true;
}

enum wl_err sats_validate_slow(const struct sats_layout *layout, const uint8_t *data, size_t len, size_t *consumed,
	struct error *error)
{
	const uint8_t *at = data;
	struct check check = { data + len, SATS_ZERO_SIZE_ELEMENTS_MAX };
	if (LIKELY(check_value(&check, layout, &at, 0))) {
		*consumed = (size_t)(at - data);
		return WL_OK;
	}
	enum wl_err err = sats_explain_failure(layout, data, len, error);
	return err != WL_OK ? err : fail(error, WL_ERR_LIMIT, "recursion limit exceeded");
}

/* ---- trusted walks ---- */

static const uint8_t *skip_value(const struct sats_layout *layout, const uint8_t *at)
{
	if (layout->fixed_size >= 0)
		return at + layout->fixed_size;
	for (const struct sats_op *op = layout->ops, *last = op + layout->op_count; op < last; op++) {
		switch (op->code) {
		case OP_FIXED:
			at += op->size;
			break;
		case OP_STRING:
			at += 4 + (size_t)load_u32(at);
			break;
		case OP_ARRAY_FIXED:
			at += 4 + (size_t)load_u32(at) * op->size;
			break;
		case OP_ARRAY_EMPTY:
			at += 4;
			break;
		case OP_ARRAY: {
			uint32_t count = load_u32(at);
			at += 4;
			for (uint32_t i = 0; i < count; i++)
				at = skip_value(op->sub, at);
			break;
		}
		case OP_SUM: {
			uint8_t tag = *at++;
			DEBUG_ASSERT(tag < op->count);
			at = skip_value(op->variants[tag], at);
			break;
		}
		default:
			at = skip_value(op->sub, at);
		}
	}
	return at;
}

size_t sats_size_slow(const struct sats_layout *layout, const uint8_t *valid)
{
	return (size_t)(skip_value(layout, valid) - valid);
}

const uint8_t *sats_column_slow(const struct sats_row_layout *layout, const uint8_t *row, uint32_t index)
{
	DEBUG_ASSERT(index < layout->column_count);
	const uint8_t *at = row;
	for (uint32_t i = 0; i < layout->behind[index]; i++) {
		uint32_t variable = layout->variables[i];
		at = skip_value(layout->columns[variable], at + layout->gaps[variable]);
	}
	return at + layout->gaps[index];
}
