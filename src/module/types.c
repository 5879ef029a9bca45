/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types of a module: the typespace with canonical names, and what of it a
 * client's bindings can express. A typespace entry is either a definition
 * (named in the Types section: a product or sum with named members) or stands
 * for a use. A use is a primitive, String, a special type, unit, never, an
 * array, option or result of uses, a ref to a definition, or a ref to an
 * entry that is a use. Whether an entry is a use is decided once and kept,
 * so that checking costs what the description weighs.
 */
#include "module/module_internal.h"

enum { USE_DEPTH_MAX = 512 }; /* of refs to refs and results in results */
enum use_state { USE_UNKNOWN, USE_CHECKING, USE_GOOD, USE_BAD };

/* ---- canonical names ---- */

static const struct sats_type *convert(struct context *c, const struct sats_type *type);

static const struct sats_type *convert_members(struct context *c, const struct sats_type *type)
{
	enum native_case to = type->tag == SATS_SUM ? NATIVE_CASE_CAMEL : NATIVE_CASE_SNAKE;
	struct sats_element *elements = context_array(c, c->scratch, type->count, sizeof(*elements));
	if (elements == NULL)
		return type;
	bool same = true;
	for (uint32_t i = 0; i < type->count; i++) {
		const struct sats_element *from = &type->elements[i];
		elements[i].name = from->name.data == NULL ? from->name : name_convert(c, to, from->name);
		elements[i].type = convert(c, from->type);
		if (elements[i].name.data != from->name.data || elements[i].type != from->type)
			same = false;
	}
	if (same || c->faults->err != WL_OK)
		return type;
	const struct sats_type *made = type->tag == SATS_SUM ? sats_sum_of(c->arena, elements, type->count) :
		sats_product_of(c->arena, elements, type->count);
	if (made == NULL)
		faults_stop(c->faults, WL_ERR_LIMIT, "the module description is too large");
	return made == NULL ? type : made;
}

/* Depth is bounded: types come from sats. Returns `type` itself when nothing in it changes. */
static const struct sats_type *convert(struct context *c, const struct sats_type *type)
{
	if (types_is_special(type))
		return type;
	if (type->tag == SATS_PRODUCT || type->tag == SATS_SUM)
		return type->count == 0 ? type : convert_members(c, type);
	if (type->tag != SATS_ARRAY)
		return type;
	const struct sats_type *element = convert(c, type->element);
	if (element == type->element)
		return type;
	const struct sats_type *made = sats_array_of(c->arena, element);
	if (made == NULL)
		faults_stop(c->faults, WL_ERR_LIMIT, "the module description is too large");
	return made == NULL ? type : made;
}

bool types_convert(struct context *c, const struct sats_typespace *from, struct sats_typespace *to)
{
	const struct sats_type **types = context_array(c, c->arena, from->count, sizeof(*types));
	if (types == NULL)
		return false;
	for (uint32_t i = 0; i < from->count && c->faults->err == WL_OK; i++)
		types[i] = convert(c, from->types[i]);
	*to = (struct sats_typespace){ from->count, types };
	return c->faults->err == WL_OK;
}

bool types_would_change(struct context *c, const struct sats_typespace *space)
{
	struct context passing = { c->scratch, c->scratch, c->faults };
	for (uint32_t i = 0; i < space->count && c->faults->err == WL_OK; i++)
		if (convert(&passing, space->types[i]) != space->types[i])
			return true;
	return false;
}

const struct sats_type *types_product_at(const struct sats_typespace *space, uint32_t ref)
{
	return ref < space->count && space->types[ref]->tag == SATS_PRODUCT ? space->types[ref] : NULL;
}

/* ---- uses ---- */

bool types_begin(struct validator *v)
{
	uint32_t count = v->raw->typespace.count;
	v->is_definition = context_array(v->c, v->c->scratch, count, sizeof(*v->is_definition));
	v->use_state = context_array(v->c, v->c->scratch, count, sizeof(*v->use_state));
	v->use_faults = context_array(v->c, v->c->scratch, count, sizeof(*v->use_faults));
	if (v->is_definition == NULL || v->use_state == NULL || v->use_faults == NULL)
		return false;
	for (uint32_t i = 0; i < v->raw->type_count; i++)
		if (v->raw->types[i].ref < count)
			v->is_definition[v->raw->types[i].ref] = 1;
	return true;
}

static bool is_use(struct validator *v, const struct sats_type *type, uint32_t depth, struct fault_codegen *why);

static bool is_ref_use(struct validator *v, uint32_t ref, uint32_t depth, struct fault_codegen *why)
{
	if (ref >= v->raw->typespace.count) {
		*why = (struct fault_codegen){ .kind = CODEGEN_REF_INVALID, .ref = ref };
		return false;
	}
	if (v->is_definition[ref] != 0 || v->use_state[ref] == USE_GOOD)
		return true;
	if (v->use_state[ref] == USE_BAD) {
		*why = v->use_faults[ref];
		return false;
	}
	if (v->use_state[ref] == USE_CHECKING) {
		*why = (struct fault_codegen){ .kind = CODEGEN_REF_RECURSIVE, .ref = ref };
		return false;
	}
	v->use_state[ref] = USE_CHECKING;
	bool good = is_use(v, v->raw->typespace.types[ref], depth + 1, why);
	v->use_state[ref] = good ? USE_GOOD : USE_BAD;
	if (!good)
		v->use_faults[ref] = *why;
	return good;
}

static bool is_use(struct validator *v, const struct sats_type *type, uint32_t depth, struct fault_codegen *why)
{
	if (depth >= USE_DEPTH_MAX) {
		*why = (struct fault_codegen){ .kind = CODEGEN_REF_RECURSIVE };
		return false;
	}
	for (;;) {
		if (type->tag == SATS_REF)
			return is_ref_use(v, type->ref, depth, why);
		if (type->tag == SATS_ARRAY) {
			type = type->element;
			continue;
		}
		if (type->tag != SATS_PRODUCT && type->tag != SATS_SUM)
			return true;
		if (type->special == SATS_OPTION) {
			type = type->elements[0].type;
			continue;
		}
		if (type->special == SATS_RESULT) {
			if (!is_use(v, type->elements[0].type, depth + 1, why))
				return false;
			type = type->elements[1].type;
			continue;
		}
		if (types_is_special(type) || type->count == 0)
			return true;
		*why = (struct fault_codegen){ .kind = CODEGEN_NOT_A_USE, .type = type };
		return false;
	}
}

static void add_codegen(struct validator *v, const struct fault_location *where, struct fault_codegen why)
{
	FAULT(v->c->faults, FAULT_CODEGEN, { FIELD_LOCATION, .location = *where }, { FIELD_CODEGEN, .codegen = why });
}

bool types_check_use(struct validator *v, const struct fault_location *where, const struct sats_type *type)
{
	struct fault_codegen why;
	if (is_use(v, type, 0, &why))
		return true;
	add_codegen(v, where, why);
	return false;
}

/* ---- definitions ---- */

static bool check_member(struct validator *v, const struct fault_location *where, const struct sats_type *definition,
	const struct sats_element *member)
{
	bool good = true;
	struct fault_identifier *identifier = NULL, fault;
	if (member->name.data == NULL) {
		add_codegen(v, where, (struct fault_codegen){ .kind = CODEGEN_UNNAMED_ELEMENT, .type = definition });
		good = false;
	} else if (name_fault(member->name, &fault)) {
		identifier = context_array(v->c, v->c->scratch, 1, sizeof(*identifier));
		if (identifier == NULL)
			return false;
		*identifier = fault;
		add_codegen(v, where, (struct fault_codegen){
			.kind = CODEGEN_IDENTIFIER, .type = definition, .identifier = identifier });
		good = false;
	}
	return types_check_use(v, where, member->type) && good;
}

bool types_check_definition(struct validator *v, uint32_t ref)
{
	struct fault_location where = { .kind = LOCATION_TYPESPACE, .position = ref };
	const struct sats_type *type = v->raw->typespace.types[ref];
	if (type->tag != SATS_PRODUCT && type->tag != SATS_SUM) {
		add_codegen(v, &where, (struct fault_codegen){ .kind = CODEGEN_NOT_A_DEFINITION, .type = type });
		return false;
	}
	bool good = true;
	for (uint32_t i = 0; i < type->count; i++)
		good = check_member(v, &where, type, &type->elements[i]) && good;
	return good;
}

/* Unnamed members before named ones, those ascending. */
bool types_default_order(const struct sats_type *type)
{
	if (type->tag != SATS_PRODUCT && type->tag != SATS_SUM)
		return true;
	for (uint32_t i = 1; i < type->count; i++) {
		struct str before = type->elements[i - 1].name, name = type->elements[i].name;
		if (before.data != NULL && (name.data == NULL || str_order(before, name) > 0))
			return false;
	}
	return true;
}
