/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SATS_LAYOUT_INTERNAL_H
#define SATS_LAYOUT_INTERNAL_H
/*
 * The program of a layout. Neighbouring parts of fixed size are one OP_FIXED,
 * whose checks name the only bytes in it that may be wrong (bools and the
 * tags of enums). The other operations read a length or a tag first.
 */
#include "sats/sats.h"

enum sats_op_code {
	OP_FIXED,       /* `size` bytes, with `count` checks */
	OP_STRING,
	OP_ARRAY_FIXED, /* of elements of `size` > 0 bytes, each with `count` checks */
	OP_ARRAY_EMPTY, /* of elements without bytes */
	OP_ARRAY,       /* of `sub` */
	OP_SUM,         /* of `count` variants */
	OP_CALL,        /* `sub` */
};
struct sats_check {
	uint32_t offset; /* of the byte, in its OP_FIXED or element */
	uint32_t limit;  /* the byte must be less */
};
struct sats_op {
	uint8_t code;    /* enum sats_op_code */
	uint16_t levels; /* of nesting from this program's type down to `sub` or a variant */
	uint32_t size, count;
	union {
		const struct sats_check *checks;
		const struct sats_layout *sub;
		const struct sats_layout *const *variants;
	};
};

/* The slow walk that words a failure; WL_OK means that it found none (the caller says what to do). */
enum wl_err sats_explain_failure(const struct sats_layout *layout, const uint8_t *data, size_t len,
	struct error *error);
#endif
