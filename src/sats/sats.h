/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SATS_H
#define SATS_H
/*
 * sats: the type system. Types, typespaces, and values as BSATN bytes.
 *
 * A value is never a tree here: it is its BSATN bytes beside a type. Untrusted
 * bytes are validated once (sats_validate); after that the walking functions
 * trust them. Types and layouts are immutable after they are made: any thread.
 * Everything lives in the arena it was made in. Recursion is bounded
 * everywhere by SATS_DEPTH_MAX and SATS_VALUE_DEPTH_MAX. Source: data-model.md sections 1-6.
 */
#include "base/arena.h"
#include "base/buf.h"

enum {
	SATS_DEPTH_MAX = 128,      /* nesting of types */
	SATS_VALUE_DEPTH_MAX = 384, /* of values of recursive types: each of 128 JSON levels can be three of ours */
	SATS_TYPE_NODES_MAX = 1 << 20,
	SATS_ZERO_SIZE_ELEMENTS_MAX = 1 << 20, /* array elements without bytes in one value */
};

enum sats_tag {
	SATS_REF, SATS_SUM, SATS_PRODUCT, SATS_ARRAY, SATS_STRING, SATS_BOOL,
	SATS_I8, SATS_U8, SATS_I16, SATS_U16, SATS_I32, SATS_U32, SATS_I64, SATS_U64,
	SATS_I128, SATS_U128, SATS_I256, SATS_U256, SATS_F32, SATS_F64,
	SATS_TAG_COUNT
};

/* Recognised by structure and name, inline only (section 3). Computed when a type is made. */
enum sats_special {
	SATS_PLAIN,
	SATS_IDENTITY, SATS_CONNECTION_ID, SATS_TIMESTAMP, SATS_TIME_DURATION, SATS_UUID,
	SATS_OPTION, SATS_RESULT, SATS_SCHEDULE_AT,
	SATS_QUERY_VIEW, /* {__query__: Ref}; not "special" in the sense of validation */
};

struct sats_type;
struct sats_element { /* of a product, or a variant of a sum */
	struct str name; /* name.data == NULL: unnamed */
	const struct sats_type *type;
};
struct sats_type {
	uint8_t tag;     /* enum sats_tag */
	uint8_t special; /* enum sats_special */
	uint32_t plain_size; /* > 0: all values have this many bytes and equal values equal bytes; 0: not known */
	uint32_t ref;    /* SATS_REF: index into the typespace */
	uint32_t count;  /* SATS_SUM, SATS_PRODUCT */
	const struct sats_element *elements;
	const struct sats_type *element; /* SATS_ARRAY */
};
struct sats_typespace {
	uint32_t count;
	const struct sats_type **types;
};

/* The singletons of primitive types; index by tag (not REF, SUM, PRODUCT, ARRAY). */
extern const struct sats_type sats_primitive[SATS_TAG_COUNT];
extern const struct sats_type sats_unit;  /* product of nothing */
extern const struct sats_type sats_bytes; /* Array<U8> */

/* ---- making types: elements are copied, the texts of names borrowed ---- */
const struct sats_type *sats_array_of(struct arena *arena, const struct sats_type *element);
const struct sats_type *sats_product_of(struct arena *arena, const struct sats_element *elements, uint32_t count);
const struct sats_type *sats_sum_of(struct arena *arena, const struct sats_element *variants, uint32_t count);
const struct sats_type *sats_option_of(struct arena *arena, const struct sats_type *some);
const struct sats_type *sats_ref_to(struct arena *arena, uint32_t index);
enum sats_special sats_special_of(const struct sats_type *type);
const char *sats_tag_name(enum sats_tag tag);          /* "U64", "Array" … */
bool sats_is_bytes(const struct sats_type *type);      /* Array<U8> */
bool sats_is_integer(const struct sats_type *type);    /* I8 … U256 */
bool sats_is_plain_enum(const struct sats_type *type); /* sum, >= 1 variants, all unit */
bool sats_type_eq(const struct sats_type *a, const struct sats_type *b); /* structural, names included */

/* Follows chains of refs; NULL when out of range or endless. */
const struct sats_type *sats_follow(const struct sats_typespace *space, const struct sats_type *type);
/* A copy of `type` without refs. WL_ERR_INVALID with "Found recursive type reference &N" or
 * "Type reference &N out of bounds". */
enum wl_err sats_inline(struct arena *arena, const struct sats_typespace *space, const struct sats_type *type,
	const struct sats_type **out, struct error *error);

/* ---- types as bytes and text ---- */
/* Decodes the meta-encoding of a type (its own BSATN). On failure r->failed is set or `error` filled. */
enum wl_err sats_type_decode(struct arena *arena, struct reader *r, const struct sats_type **out, struct error *error);
enum wl_err sats_typespace_decode(struct arena *arena, struct reader *r, struct sats_typespace *out,
	struct error *error);
/* A bare ProductType (no tag): what function parameters are. */
enum wl_err sats_product_decode(struct arena *arena, struct reader *r, const struct sats_type **out,
	struct error *error);
void sats_type_encode(struct buf *out, const struct sats_type *type);
void sats_product_encode(struct buf *out, const struct sats_type *product); /* without the tag */
/* SATS-JSON of the type description: {"U64":[]}, {"Product":{"elements":[…]}} … */
void sats_type_json(struct buf *out, const struct sats_type *type);
void sats_product_json(struct buf *out, const struct sats_type *product); /* {"elements":[…]} */
/* The form of error messages: (id: U64, 1: String), (some: U8 | none: ()), Array<U8>, &3 … */
void sats_type_pretty(struct buf *out, const struct sats_type *type);

/* ---- values ---- */
/*
 * A type compiled for walking values: `ops` is a program (layout.c).
 * `fixed_size` >= 0 when every value has that many bytes. `any_bytes`: every
 * byte pattern of that size is valid.
 */
struct sats_op;
struct sats_layout {
	const struct sats_type *type;
	const struct sats_typespace *space;
	int32_t fixed_size;
	uint32_t min_size;
	uint32_t max_size; /* UINT32_MAX: unbounded */
	bool any_bytes;
	bool recursive;    /* contains a cyclic ref */
	uint16_t height;   /* levels of nesting below it, cyclic refs not followed */
	uint32_t op_count;
	const struct sats_op *ops;
};
enum wl_err sats_layout_create(struct arena *arena, const struct sats_typespace *space, const struct sats_type *type,
	const struct sats_layout **out, struct error *error);

/* Checks one value at data[0..len). Trailing bytes are left alone. On success *consumed is its size.
 * On failure the text is the reference's: "data too short for u32: Expected 4, given 3", "invalid utf8",
 * "unknown tag 0x5 for sum type <unknown>", "byte 2 not valid as `bool` (must be 0 or 1)" … */
enum wl_err sats_validate_slow(const struct sats_layout *layout, const uint8_t *data, size_t len, size_t *consumed,
	struct error *error);
static inline enum wl_err sats_validate(const struct sats_layout *layout, const uint8_t *data, size_t len,
	size_t *consumed, struct error *error)
{
	if (!layout->any_bytes || UNLIKELY(len < layout->min_size))
		return sats_validate_slow(layout, data, len, consumed, error);
	*consumed = layout->min_size;
	return WL_OK;
}
/* Size of a valid value. */
size_t sats_size_slow(const struct sats_layout *layout, const uint8_t *valid);
static inline size_t sats_size(const struct sats_layout *layout, const uint8_t *valid)
{
	return layout->fixed_size >= 0 ? (size_t)layout->fixed_size : sats_size_slow(layout, valid);
}

/* A row type: where each column begins. Columns after the first variable one are found by walking. */
struct sats_row_layout {
	const struct sats_layout *whole;
	uint32_t column_count;
	const struct sats_layout **columns;
	const int32_t *offsets; /* of column i when fixed, else -1 */
	/* A column without an offset begins `gaps[i]` bytes after the end of variable column number
	 * `behind[i]` (1 = the first one); `variables` lists those columns. */
	const uint32_t *gaps, *behind, *variables;
};
enum wl_err sats_row_layout_create(struct arena *arena, const struct sats_typespace *space,
	const struct sats_type *product, const struct sats_row_layout **out, struct error *error);
/* Column `index` of a valid row. */
const uint8_t *sats_column_slow(const struct sats_row_layout *layout, const uint8_t *row, uint32_t index);
static inline const uint8_t *sats_column(const struct sats_row_layout *layout, const uint8_t *row, uint32_t index)
{
	int32_t offset = layout->offsets[index];
	return LIKELY(offset >= 0) ? row + offset : sats_column_slow(layout, row, index);
}

/* Value order of section 5 (index keys, SQL): < 0, 0, > 0. Valid bytes only; floats by total order. */
int sats_compare(const struct sats_type *type, const struct sats_typespace *space, const uint8_t *a, const uint8_t *b);
/* Scalars of <= 16 bytes (and special products and plain enums of them) as an order-preserving integer:
 * sign flipped, -0 as +0, one NaN. False when the type has none. */
bool sats_has_scalar_key(const struct sats_type *type);
u128 sats_scalar_key(const struct sats_type *type, const uint8_t *valid);
/* Order-preserving 8-byte prefix for other types; equal prefixes decide nothing. */
uint64_t sats_key_prefix(const struct sats_type *type, const struct sats_typespace *space, const uint8_t *valid);
/* Hash by value equality (floats canonical). */
uint64_t sats_hash(const struct sats_type *type, const struct sats_typespace *space, const uint8_t *valid);

/* ---- numbers and literals as text ---- */
enum { SATS_INTEGER_TEXT_MAX = 80 };
/* Decimal digits of any integer type; not terminated. Returns the length. */
size_t sats_integer_format(enum sats_tag tag, const uint8_t *valid, char out[SATS_INTEGER_TEXT_MAX]);
/* "2026-01-31T12:00:00[.123456](Z|+01:00)" as micros since 1970. */
bool sats_parse_timestamp(struct str text, int64_t *micros);
/* The literal `text` (SQL, without quotes) as a value of `type`, appended as BSATN: integers, floats, String, bytes,
 * Identity, ConnectionId, Timestamp, Uuid (sql-and-subscriptions.md section 3.1). WL_ERR_INVALID when it is none,
 * WL_ERR_UNSUPPORTED when the type has no literals (Bool among them), WL_ERR_MEMORY when `out` failed. */
enum wl_err sats_parse_literal(struct buf *out, const struct sats_type *type, struct str text);

/* ---- SATS-JSON of values (section 4) ---- */
enum sats_json_shape {
	SATS_JSON_NAMED,   /* objects and {"variant":payload}: messages, typed values */
	SATS_JSON_UNTYPED, /* arrays and [tag,payload]: SQL rows, procedure results */
	SATS_JSON_ROW,     /* stored rows: objects, [tag,payload], untyped inside arrays */
};
/* Writes one valid value; returns the byte after it. A member without the name that the shape needs marks `out`
 * failed. */
const uint8_t *sats_json_write(struct buf *out, const struct sats_type *type, const struct sats_typespace *space,
	const uint8_t *valid, enum sats_json_shape shape);
/*
 * Reads one value of `type` from a JSON text (the whole of it) and appends its BSATN; on failure nothing is appended.
 * The error text is the cause alone, e.g. "missing field `b` at line 1 column 9"; `path` (may be NULL) receives the
 * JSON path, e.g. "[0].name", "." at the root, nothing for trailing bytes. The accepted language and all texts are
 * those of the reference. WL_ERR_LIMIT and WL_ERR_MEMORY are not the sender's fault.
 */
enum wl_err sats_json_parse(struct buf *out, const struct sats_type *type, const struct sats_typespace *space,
	const char *json, size_t json_len, struct buf *path, struct error *error);
/* The same from node `*node` (advanced past it) of a parsed document; the cause then has no line and column.
 * Costs a copy of the text: for messages, not for rows. */
struct native_json;
enum wl_err sats_json_read(struct buf *out, const struct sats_type *type, const struct sats_typespace *space,
	const struct native_json *doc, uint32_t *node, struct buf *path, struct error *error);
/* The arguments of a function: an array in order or an object by name. `kind` "reducer" or "procedure".
 * The error text is the whole chain: "invalid arguments for reducer f: [0]: invalid arguments for function f: …" */
enum wl_err sats_json_read_args(struct buf *out, const char *kind, struct str function, const struct sats_type *params,
	const struct sats_typespace *space, const char *json, size_t json_len, struct error *error);
/* That text for a cause found elsewhere (arguments in BSATN: no path). Returns WL_ERR_INVALID. */
enum wl_err sats_args_refused(struct error *error, const char *kind, struct str function, struct str path,
	struct str cause);
#endif
