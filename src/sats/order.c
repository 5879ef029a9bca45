/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order, keys and hashes of values (data-model.md section 5).
 *
 * Invariants:
 * 1. All functions agree: values that compare equal have equal scalar keys,
 *    prefixes and hashes, and a smaller scalar key or prefix is a smaller
 *    value.
 * 2. Equal values have the same size, so a walk over two values in step
 *    stays in step as long as the parts compare equal.
 * 3. Floats are ordered by one total order: -0 equals +0, all NaNs are equal
 *    and greater than everything.
 */
#include "sats/sats.h"

/* Both flips make unsigned order agree with the order of the values. */
static uint32_t ordered_f32(const uint8_t *p)
{
	uint32_t bits = load_u32(p);
	if ((bits & 0x7fffffffu) > 0x7f800000u)
		return UINT32_MAX;
	if ((bits & 0x7fffffffu) == 0)
		bits = 0;
	return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static uint64_t ordered_f64(const uint8_t *p)
{
	uint64_t bits = load_u64(p);
	if ((bits & INT64_MAX) > 0x7ff0000000000000u)
		return UINT64_MAX;
	if ((bits & INT64_MAX) == 0)
		bits = 0;
	return bits >> 63 ? ~bits : bits | 1ull << 63;
}

#define THREE_WAY(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_256(const uint8_t *a, const uint8_t *b, bool is_signed)
{
	u128 flip = is_signed ? (u128)1 << 127 : 0;
	u128 high_a = load_u128(a + 16) ^ flip, high_b = load_u128(b + 16) ^ flip;
	if (high_a != high_b)
		return high_a < high_b ? -1 : 1;
	u128 low_a = load_u128(a), low_b = load_u128(b);
	return THREE_WAY(low_a, low_b);
}

static int compare_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int order = memcmp(a, b, size_min(a_len, b_len));
	return order != 0 ? order : THREE_WAY(a_len, b_len);
}

static inline size_t scalar_size(enum sats_tag tag)
{
	static const uint8_t sizes[SATS_TAG_COUNT] = {
		[SATS_BOOL] = 1, [SATS_I8] = 1, [SATS_U8] = 1, [SATS_I16] = 2, [SATS_U16] = 2, [SATS_I32] = 4, [SATS_U32] = 4,
		[SATS_I64] = 8, [SATS_U64] = 8, [SATS_I128] = 16, [SATS_U128] = 16, [SATS_I256] = 32, [SATS_U256] = 32,
		[SATS_F32] = 4, [SATS_F64] = 8,
	};
	return sizes[tag];
}

static int compare_scalar(enum sats_tag tag, const uint8_t *a, const uint8_t *b)
{
	switch (tag) {
	case SATS_BOOL:
	case SATS_U8:
		return THREE_WAY(*a, *b);
	case SATS_I8:
		return THREE_WAY((int8_t)*a, (int8_t)*b);
	case SATS_U16:
		return THREE_WAY(load_u16(a), load_u16(b));
	case SATS_I16:
		return THREE_WAY((int16_t)load_u16(a), (int16_t)load_u16(b));
	case SATS_U32:
		return THREE_WAY(load_u32(a), load_u32(b));
	case SATS_I32:
		return THREE_WAY((int32_t)load_u32(a), (int32_t)load_u32(b));
	case SATS_U64:
		return THREE_WAY(load_u64(a), load_u64(b));
	case SATS_I64:
		return THREE_WAY((int64_t)load_u64(a), (int64_t)load_u64(b));
	case SATS_U128:
		return THREE_WAY(load_u128(a), load_u128(b));
	case SATS_I128:
		return THREE_WAY((i128)load_u128(a), (i128)load_u128(b));
	case SATS_F32:
		return THREE_WAY(ordered_f32(a), ordered_f32(b));
	case SATS_F64:
		return THREE_WAY(ordered_f64(a), ordered_f64(b));
	default:
		return compare_256(a, b, tag == SATS_I256);
	}
}

/* Advances both cursors when the result is 0. */
static int compare_step(const struct sats_type *type, const struct sats_typespace *space,
	const uint8_t **a, const uint8_t **b)
{
	int order = 0;
	switch (type->tag) {
	case SATS_REF:
		return compare_step(space->types[type->ref], space, a, b);
	case SATS_PRODUCT:
		for (uint32_t i = 0; order == 0 && i < type->count; i++) {
			const struct sats_type *part = type->elements[i].type;
			if (part->tag < SATS_BOOL) {
				order = compare_step(part, space, a, b);
				continue;
			}
			order = compare_scalar(part->tag, *a, *b);
			*a += scalar_size(part->tag);
			*b += scalar_size(part->tag);
		}
		return order;
	case SATS_SUM: {
		uint8_t tag_a = *(*a)++, tag_b = *(*b)++;
		if (tag_a != tag_b)
			return tag_a < tag_b ? -1 : 1;
		return compare_step(type->elements[tag_a].type, space, a, b);
	}
	case SATS_ARRAY:
		if (type->element->tag != SATS_U8) {
			uint32_t count_a = load_u32(*a), count_b = load_u32(*b);
			*a += 4;
			*b += 4;
			for (uint32_t i = 0; i < count_a && i < count_b; i++) {
				order = compare_step(type->element, space, a, b);
				if (order != 0)
					return order;
			}
			return THREE_WAY(count_a, count_b);
		}
		__attribute__((fallthrough)); /* bytes have the form of a string */
	case SATS_STRING: {
		uint32_t len_a = load_u32(*a), len_b = load_u32(*b);
		order = compare_bytes(*a + 4, len_a, *b + 4, len_b);
		*a += 4 + (size_t)len_a;
		*b += 4 + (size_t)len_b;
		return order;
	}
	default: {
		size_t size = scalar_size(type->tag);
		order = compare_scalar(type->tag, *a, *b);
		*a += size;
		*b += size;
		return order;
	}
	}
}

int sats_compare(const struct sats_type *type, const struct sats_typespace *space, const uint8_t *a, const uint8_t *b)
{
	if (LIKELY(type->tag >= SATS_BOOL))
		return compare_scalar(type->tag, a, b);
	return compare_step(type, space, &a, &b);
}

/* ---- scalar keys ---- */

static bool is_scalar_product(const struct sats_type *type)
{
	return type->special >= SATS_CONNECTION_ID && type->special <= SATS_UUID;
}

bool sats_has_scalar_key(const struct sats_type *type)
{
	if (type->tag >= SATS_BOOL)
		return type->tag != SATS_I256 && type->tag != SATS_U256;
	return is_scalar_product(type) || sats_is_plain_enum(type);
}

u128 sats_scalar_key(const struct sats_type *type, const uint8_t *valid)
{
	enum sats_tag tag = is_scalar_product(type) ? type->elements[0].type->tag : type->tag;
	switch (tag) {
	case SATS_SUM:
	case SATS_BOOL:
	case SATS_U8:
		return *valid;
	case SATS_I8:
		return *valid ^ 0x80u;
	case SATS_U16:
		return load_u16(valid);
	case SATS_I16:
		return load_u16(valid) ^ 0x8000u;
	case SATS_U32:
		return load_u32(valid);
	case SATS_I32:
		return load_u32(valid) ^ 0x80000000u;
	case SATS_U64:
		return load_u64(valid);
	case SATS_I64:
		return load_u64(valid) ^ 1ull << 63;
	case SATS_U128:
		return load_u128(valid);
	case SATS_I128:
		return load_u128(valid) ^ (u128)1 << 127;
	case SATS_F32:
		return ordered_f32(valid);
	case SATS_F64:
		return ordered_f64(valid);
	default:
		ASSERT(!"type has no scalar key");
		return 0;
	}
}

/* ---- prefixes ---- */

/*
 * The prefix is filled from the most significant byte with an encoding whose
 * bytewise order is the order of the values. `full` ends it: eight bytes are
 * there, or what follows a part of variable size would not be comparable.
 */
struct prefix {
	uint64_t value;
	uint32_t used; /* bytes */
	bool full;
};

static void prefix_put(struct prefix *p, uint64_t value, uint32_t size)
{
	uint32_t room = 8 - p->used;
	if (size >= room) {
		p->value |= room == 0 ? 0 : value >> 8 * (size - room);
		p->used = 8;
		p->full = true;
		return;
	}
	p->used += size;
	p->value |= value << 8 * (8 - p->used);
}

static void prefix_bytes(struct prefix *p, const uint8_t *data, uint32_t len)
{
	/* The rest stays zero: "a" and "a\0" get the same prefix, which decides nothing. */
	if (p->used == 0 && len >= 8)
		p->value = __builtin_bswap64(load_u64(data));
	else
		for (uint32_t i = 0; i < len && !p->full; i++)
			prefix_put(p, data[i], 1);
	p->full = true;
}

static const uint8_t *prefix_step(struct prefix *p, const struct sats_type *type, const struct sats_typespace *space,
	const uint8_t *at)
{
	switch (type->tag) {
	case SATS_REF:
		return prefix_step(p, space->types[type->ref], space, at);
	case SATS_PRODUCT:
		for (uint32_t i = 0; i < type->count && !p->full; i++)
			at = prefix_step(p, type->elements[i].type, space, at);
		return at;
	case SATS_SUM:
		prefix_put(p, *at, 1);
		return p->full ? at : prefix_step(p, type->elements[*at].type, space, at + 1);
	case SATS_STRING:
		prefix_bytes(p, at + 4, load_u32(at));
		return at;
	case SATS_ARRAY: {
		uint32_t count = load_u32(at);
		if (type->element->tag == SATS_U8) {
			prefix_bytes(p, at + 4, count);
			return at;
		}
		at += 4;
		/* A mark before each element: the end sorts before any element. Nine elements fill it even without bytes. */
		for (uint32_t i = 0; i < count && !p->full; i++) {
			prefix_put(p, 1, 1);
			if (!p->full)
				at = prefix_step(p, type->element, space, at);
		}
		if (!p->full)
			prefix_put(p, 0, 1);
		return at;
	}
	case SATS_I256:
	case SATS_U256: {
		uint64_t high = load_u64(at + 24) ^ (type->tag == SATS_I256 ? 1ull << 63 : 0);
		prefix_put(p, high, 8);
		if (!p->full)
			prefix_put(p, load_u64(at + 16), 8);
		p->full = true;
		return at;
	}
	default: {
		uint32_t size = (uint32_t)scalar_size(type->tag);
		u128 key = sats_scalar_key(type, at);
		if (size == 16) {
			prefix_put(p, (uint64_t)(key >> 64), 8);
			if (!p->full)
				prefix_put(p, (uint64_t)key, 8);
		} else {
			prefix_put(p, (uint64_t)key, size);
		}
		return at + size;
	}
	}
}

uint64_t sats_key_prefix(const struct sats_type *type, const struct sats_typespace *space, const uint8_t *valid)
{
	struct prefix p = { 0 };
	prefix_step(&p, type, space, valid);
	return p.value;
}

/* ---- hashes ---- */

static uint64_t mix(uint64_t hash, uint64_t part)
{
	return hash_u64(hash ^ part) + 0x9e3779b97f4a7c15u;
}

static uint64_t hash_step(uint64_t hash, const struct sats_type *type, const struct sats_typespace *space,
	const uint8_t **at);

/* Neighbours whose bytes say it all are hashed as one run; which ones depends on the type alone. */
static uint64_t hash_product(uint64_t hash, const struct sats_type *type, const struct sats_typespace *space,
	const uint8_t **at)
{
	size_t run = 0;
	for (uint32_t i = 0; i < type->count; i++) {
		const struct sats_type *part = type->elements[i].type;
		if (part->plain_size > 0) {
			run += part->plain_size;
			continue;
		}
		if (run > 0)
			hash = mix(hash, hash_bytes(*at, run));
		*at += run;
		run = 0;
		hash = hash_step(hash, part, space, at);
	}
	if (run > 0)
		hash = mix(hash, hash_bytes(*at, run));
	*at += run;
	return hash;
}

static uint64_t hash_step(uint64_t hash, const struct sats_type *type, const struct sats_typespace *space,
	const uint8_t **at)
{
	if (type->plain_size > 0) {
		const uint8_t *p = *at;
		*at += type->plain_size;
		return mix(hash, hash_bytes(p, type->plain_size));
	}
	switch (type->tag) {
	case SATS_REF:
		return hash_step(hash, space->types[type->ref], space, at);
	case SATS_PRODUCT:
		return hash_product(hash, type, space, at);
	case SATS_SUM: {
		uint8_t tag = *(*at)++;
		return hash_step(mix(hash, tag), type->elements[tag].type, space, at);
	}
	case SATS_ARRAY: {
		uint32_t count = load_u32(*at);
		uint32_t element_size = type->element->plain_size;
		if (element_size == 0) {
			*at += 4;
			hash = mix(hash, count);
			for (uint32_t i = 0; i < count; i++)
				hash = hash_step(hash, type->element, space, at);
			return hash;
		}
		size_t size = 4 + (size_t)count * element_size;
		hash = mix(hash, hash_bytes(*at, size));
		*at += size;
		return hash;
	}
	case SATS_STRING: {
		size_t size = 4 + (size_t)load_u32(*at);
		hash = mix(hash, hash_bytes(*at, size));
		*at += size;
		return hash;
	}
	case SATS_F32: {
		uint32_t key = ordered_f32(*at);
		*at += 4;
		return mix(hash, hash_bytes(&key, sizeof(key)));
	}
	case SATS_F64: {
		uint64_t key = ordered_f64(*at);
		*at += 8;
		return mix(hash, hash_bytes(&key, sizeof(key)));
	}
	default:
		ASSERT(!"a scalar without a size");
		return hash;
	}
}

uint64_t sats_hash(const struct sats_type *type, const struct sats_typespace *space, const uint8_t *valid)
{
	if (type->plain_size > 0)
		return hash_bytes(valid, type->plain_size);
	return hash_step(0, type, space, &valid);
}
