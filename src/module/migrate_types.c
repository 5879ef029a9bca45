/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May a column's type become another? Sums may gain variants at their end, as
 * long as the reference's own layout of them stays what it is: size and
 * alignment are computed here as it does, whatever the store does with rows.
 */
#include "module/migrate_internal.h"

struct shape {
	uint32_t size, align;
	bool fixed;
};

static uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t round_up(uint32_t size, uint32_t align)
{
	return (size + align - 1) / align * align;
}

static struct shape shape_of(const struct sats_type *type)
{
	struct shape s = { 0, 1, true };
	switch (type->tag) {
	case SATS_PRODUCT:
		for (uint32_t i = 0; i < type->count; i++) {
			struct shape part = shape_of(type->elements[i].type);
			s.size = round_up(s.size, part.align) + part.size;
			s.align = max_u32(s.align, part.align);
			s.fixed &= part.fixed;
		}
		s.size = round_up(s.size, s.align);
		return s;
	case SATS_SUM: {
		uint32_t largest = 0;
		bool same_size = true;
		for (uint32_t i = 0; i < type->count; i++) {
			struct shape part = shape_of(type->elements[i].type);
			same_size &= i == 0 || part.size == largest;
			largest = max_u32(largest, part.size);
			s.align = max_u32(s.align, part.align);
			s.fixed &= part.fixed;
		}
		s.fixed &= same_size;
		s.size = s.align + round_up(largest, s.align);
		return s;
	}
	case SATS_ARRAY:
	case SATS_STRING:
		return (struct shape){ 4, 2, false };
	default: {
		uint32_t size = type->plain_size;
		return (struct shape){ size, size, true };
	}
	}
}

/* "Changing the type of column c in table t from A to B" and why not. */
static void put_fault(const struct type_check *check, const struct sats_type *old, const struct sats_type *new,
	bool is_within, const char *why)
{
	struct buf *out = check->errors;
	buf_printf(out, "Changing %s column %.*s in table %.*s from ", is_within ? "a type within" : "the type of",
		STR_FMT(check->column), STR_FMT(check->table));
	sats_type_pretty(out, old);
	buf_put_cstr(out, " to ");
	sats_type_pretty(out, new);
	buf_printf(out, "%s\n\n", why);
}

static bool check_type(const struct type_check *check, const struct sats_type *old, const struct sats_type *new,
	bool is_within);

static bool check_sum(const struct type_check *check, const struct sats_type *old, const struct sats_type *new,
	bool is_within)
{
	bool ok = true;
	if (new->count < old->count) {
		put_fault(check, old, new, is_within, ", with fewer variants, requires a manual migration");
		ok = false;
	}
	for (uint32_t i = 0; i < old->count && i < new->count; i++) {
		if (!str_eq(old->elements[i].name, new->elements[i].name)) {
			put_fault(check, old, new, false, ", with a renamed variant, requires a manual migration");
			ok = false;
		}
		ok &= check_type(check, old->elements[i].type, new->elements[i].type, true);
	}
	struct shape before = shape_of(old), after = shape_of(new);
	if (before.size != after.size) {
		put_fault(check, old, new, is_within, ", requires a manual migration, due to size mismatch");
		ok = false;
	}
	if (before.align != after.align) {
		put_fault(check, old, new, is_within, ", requires a manual migration, due to alignment mismatch");
		ok = false;
	}
	return ok;
}

static bool check_product(const struct type_check *check, const struct sats_type *old, const struct sats_type *new,
	bool is_within)
{
	bool ok = true;
	if (new->count != old->count) {
		put_fault(check, old, new, is_within, ", with fewer fields, requires a manual migration");
		return false;
	}
	for (uint32_t i = 0; i < old->count; i++) {
		if (!str_eq(old->elements[i].name, new->elements[i].name)) {
			put_fault(check, old, new, is_within, ", with a renamed field, requires a manual migration");
			ok = false;
		}
		ok &= check_type(check, old->elements[i].type, new->elements[i].type, true);
	}
	return ok;
}

static bool check_type(const struct type_check *check, const struct sats_type *old, const struct sats_type *new,
	bool is_within)
{
	if (sats_type_eq(old, new))
		return true;
	if (old->tag == new->tag && old->tag == SATS_SUM && !check->is_rigid)
		return check_sum(check, old, new, is_within);
	if (old->tag == new->tag && old->tag == SATS_PRODUCT && !check->is_rigid)
		return check_product(check, old, new, is_within);
	if (old->tag == new->tag && old->tag == SATS_ARRAY && !check->is_rigid)
		return check_type(check, old->element, new->element, true);
	put_fault(check, old, new, is_within, " requires a manual migration");
	return false;
}

bool migrate_type_may_change(const struct type_check *check, const struct sats_type *old, const struct sats_type *new)
{
	return check_type(check, old, new, false);
}
