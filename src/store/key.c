/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys: from columns of a row, or of bytes somebody gave us, to the number a
 * tree or hash is searched by.
 *
 * A key is exact when its columns are scalars of at most 16 bytes together:
 * their order-preserving integers side by side, most significant first.
 * Otherwise it is the 8-byte prefix of the first column (ordered indexes) or
 * a hash of all columns (hash indexes), and the columns themselves decide.
 */
#include "store/store_internal.h"

static uint32_t scalar_size(const struct sats_type *type)
{
	if (type->tag == SATS_PRODUCT)
		type = type->elements[0].type;
	switch (type->tag) {
	case SATS_F32: return 4;
	case SATS_F64: return 8;
	case SATS_SUM: return 1;
	default: return type->plain_size;
	}
}

static uint8_t scalar_kind(const struct sats_type *type)
{
	if (type->tag == SATS_PRODUCT)
		type = type->elements[0].type;
	switch (type->tag) {
	case SATS_F32:
	case SATS_F64:
		return KEY_FLOAT;
	case SATS_I8:
	case SATS_I16:
	case SATS_I32:
	case SATS_I64:
	case SATS_I128:
		return KEY_SIGNED;
	default:
		return KEY_UNSIGNED;
	}
}

void index_forms_key(struct store_index *ix)
{
	const struct sats_row_layout *layout = ix->table->layout;
	const struct store_index_def *def = ix->def;
	uint32_t bytes = 0;
	bool scalar = true, fixed = true, floats = false;
	for (uint32_t i = 0; i < def->column_count; i++) {
		struct key_column *c = &ix->columns[i];
		c->column = def->columns[i];
		c->layout = layout->columns[c->column];
		c->offset = layout->offsets[c->column];
		const struct sats_type *type = c->layout->type;
		fixed &= c->layout->fixed_size >= 0;
		if (!sats_has_scalar_key(type)) {
			scalar = false;
			continue;
		}
		c->size = (uint8_t)scalar_size(type);
		c->kind = scalar_kind(type);
		floats |= c->kind == KEY_FLOAT;
		bytes += c->size;
	}
	ix->column_count = def->column_count;
	ix->unique = def->unique;
	ix->ordered = def->kind != STORE_HASH;
	ix->plain_enum = def->column_count == 1 && sats_is_plain_enum(ix->columns[0].layout->type);
	ix->raw = !ix->ordered && def->column_count > 1 && fixed;
	ix->exact = scalar && bytes <= 16 && bytes > 0 && !(ix->raw && floats);
	if (ix->exact)
		ix->width = bytes <= 4 ? 4 : bytes <= 8 ? 8 : 16;
	else
		ix->width = 8;
	ix->hashed = !ix->ordered && !(ix->exact && !ix->unique);
	if (!ix->ordered && ix->unique) {
		ix->form = FORM_HASH;
		ix->exact = false;
		ix->width = 8;
	} else {
		ix->form = ix->unique && ix->exact && ix->column_count == 1 && ix->width <= 8 ? FORM_INT : FORM_TREE;
	}
}

static inline u128 scalar_key(const struct key_column *c, const uint8_t *p)
{
	if (UNLIKELY(c->kind == KEY_FLOAT))
		return sats_scalar_key(c->layout->type, p);
	switch (c->size) {
	case 1: return c->kind == KEY_SIGNED ? (uint8_t)(*p ^ 0x80u) : *p;
	case 2: return c->kind == KEY_SIGNED ? (uint16_t)(load_u16(p) ^ 0x8000u) : load_u16(p);
	case 4: return c->kind == KEY_SIGNED ? load_u32(p) ^ 0x80000000u : load_u32(p);
	case 8: return c->kind == KEY_SIGNED ? load_u64(p) ^ 1ull << 63 : load_u64(p);
	default: return c->kind == KEY_SIGNED ? load_u128(p) ^ (u128)1 << 127 : load_u128(p);
	}
}

static uint64_t hash_columns(const struct store_index *ix, const struct probe *probe)
{
	uint64_t hash = 0x2545f4914f6cdd1du;
	for (uint32_t i = 0; i < ix->column_count; i++) {
		const struct key_column *c = &ix->columns[i];
		uint64_t part = ix->raw ? hash_bytes(probe->at[i], (size_t)c->layout->fixed_size) :
			sats_hash(c->layout->type, NULL, probe->at[i]);
		hash = hash_u64(hash ^ part) * 0x9e3779b97f4a7c15u;
	}
	return hash;
}

void index_probe_finish(const struct store_index *ix, uint32_t columns, struct probe *probe)
{
	probe->columns = columns;
	probe->equal = false;
	if (ix->exact) {
		u128 key = 0;
		for (uint32_t i = 0; i < columns; i++) {
			const struct key_column *c = &ix->columns[i];
			key = (c->size == 16 ? 0 : key << 8 * c->size) | scalar_key(c, probe->at[i]);
		}
		probe->key = key;
	} else if (ix->hashed) {
		probe->key = columns < ix->column_count ? 0 : hash_columns(ix, probe);
	} else {
		probe->key = columns == 0 ? 0 : sats_key_prefix(ix->columns[0].layout->type, NULL, probe->at[0]);
	}
}

static inline const uint8_t *column_at(const struct store_index *ix, const uint8_t *row, uint32_t i)
{
	const struct key_column *c = &ix->columns[i];
	return LIKELY(c->offset >= 0) ? row + c->offset : sats_column_slow(ix->table->layout, row, c->column);
}

uint64_t probe_key_narrow(const struct store_index *ix, const uint8_t *row)
{
	return (uint64_t)scalar_key(&ix->columns[0], column_at(ix, row, 0));
}

void index_probe_row(const struct store_index *ix, const uint8_t *row, struct probe *probe)
{
	if (LIKELY(ix->exact && ix->column_count == 1)) {
		probe->columns = 1;
		probe->equal = false;
		probe->at[0] = column_at(ix, row, 0);
		probe->key = scalar_key(&ix->columns[0], probe->at[0]);
		return;
	}
	for (uint32_t i = 0; i < ix->column_count; i++)
		probe->at[i] = column_at(ix, row, i);
	index_probe_finish(ix, ix->column_count, probe);
}

bool index_probe_key(const struct store_index *ix, const uint8_t *key, size_t len, uint32_t columns,
	struct probe *probe)
{
	for (uint32_t i = 0; i < columns; i++) {
		size_t size = 1;
		probe->at[i] = key;
		/* A tag without a variant is a key that no row has. */
		bool decodes = ix->plain_enum ? len >= 1 : sats_validate(ix->columns[i].layout, key, len, &size, NULL) == WL_OK;
		if (!decodes)
			return false;
		key += size;
		len -= size;
	}
	index_probe_finish(ix, columns, probe);
	return true;
}

static inline int compare_column(const struct store_index *ix, uint32_t i, const uint8_t *a, const uint8_t *b)
{
	const struct key_column *c = &ix->columns[i];
	if (ix->raw)
		return memcmp(a, b, (size_t)c->layout->fixed_size);
	return sats_compare(c->layout->type, NULL, a, b);
}

int index_compare_row(const struct store_index *ix, uint32_t row, const struct probe *probe, uint32_t columns)
{
	const uint8_t *data = row_bytes(ix->table, row);
	for (uint32_t i = 0; i < columns; i++) {
		int order = compare_column(ix, i, column_at(ix, data, i), probe->at[i]);
		if (order != 0)
			return order;
	}
	return 0;
}

/* May say no to equal keys of different bytes when they are not exact; never yes to different ones. */
bool index_same_key(const struct store_index *ix, const uint8_t *a, const uint8_t *b)
{
	for (uint32_t i = 0; i < ix->column_count; i++) {
		const struct key_column *c = &ix->columns[i];
		const uint8_t *in_a = column_at(ix, a, i), *in_b = column_at(ix, b, i);
		if (ix->exact) {
			if (scalar_key(c, in_a) != scalar_key(c, in_b))
				return false;
			continue;
		}
		size_t size = sats_size(c->layout, in_a);
		if (size != sats_size(c->layout, in_b) || memcmp(in_a, in_b, size) != 0)
			return false;
	}
	return true;
}
