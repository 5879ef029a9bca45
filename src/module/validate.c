/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One level of a module: functions, views, types, lifecycle, HTTP, and what
 * connects them; then its submodules, each with its own names and types.
 *
 * All faults of independent things are collected. Checks that need a whole
 * list (schedules need the tables, lifecycles the reducers, routes the
 * handlers) run only when that list is free of faults, and the checks across
 * lists only when all lists are, each step ending the level on a fault. This
 * is the reference's order, so that the same texts appear together.
 */
#include "module/module_internal.h"

#include <stdlib.h>

/* ---- types ---- */

static bool type_name_free(struct validator *v, const struct module_type *type)
{
	struct buf key;
	buf_init(&key, MODULE_DEF_BYTES_MAX);
	for (uint32_t i = 0; i < type->scope_count; i++)
		buf_put_bsatn_str(&key, type->scope[i]);
	buf_put_bsatn_str(&key, type->name);
	uint64_t taken;
	bool good = !key.failed && !map_get(&v->type_names, key.data, key.len, &taken);
	if (key.failed) {
		faults_stop(v->c->faults, WL_ERR_LIMIT, "the name of a type is too long");
	} else if (!good) {
		FAULT(v->c->faults, FAULT_DUPLICATE_TYPE_NAME, field_list(FIELD_SCOPED, type->scope, type->scope_count),
			field_str(type->name));
	} else {
		void *kept = context_array(v->c, v->c->scratch, key.len, 1);
		good = kept != NULL && remember(v, &v->type_names, (struct str){ memcpy(kept, key.data, key.len), key.len }, 1);
	}
	buf_deinit(&key);
	return good;
}

static void validate_type(struct validator *v, const struct raw_type *raw, struct module_type *out)
{
	struct fault_field scope = field_list(FIELD_SCOPED_QUOTED, raw->scope, raw->scope_count);
	struct fault_field name = { FIELD_QUOTED, .text = raw->name };
	*out = (struct module_type){ .ref = raw->ref, .custom_ordering = raw->custom_ordering };
	if (raw->ref >= v->part->typespace.count) {
		FAULT(v->c->faults, FAULT_TYPE_REF, scope, name, field_ref(raw->ref));
	} else {
		const struct sats_type *type = v->part->typespace.types[raw->ref];
		if (!raw->custom_ordering && !types_default_order(type))
			FAULT(v->c->faults, FAULT_TYPE_ORDERING, scope, name, field_ref(raw->ref), field_type(type));
		types_check_definition(v, raw->ref);
	}
	struct str *scopes = context_array(v->c, v->c->arena, raw->scope_count, sizeof(*scopes));
	if (scopes == NULL)
		return;
	bool good = name_resolve_type(v, raw->name, &out->name);
	for (uint32_t i = 0; i < raw->scope_count; i++)
		good = name_resolve_type(v, raw->scope[i], &scopes[i]) && good;
	out->scope = scopes;
	out->scope_count = raw->scope_count;
	if (good)
		type_name_free(v, out);
}

static int type_order(const void *x, const void *y)
{
	const struct module_type *a = x, *b = y;
	for (uint32_t i = 0; i < a->scope_count && i < b->scope_count; i++) {
		int order = str_order(a->scope[i], b->scope[i]);
		if (order != 0)
			return order;
	}
	if (a->scope_count != b->scope_count)
		return a->scope_count < b->scope_count ? -1 : 1;
	return str_order(a->name, b->name);
}

static void validate_types(struct validator *v)
{
	PART_ARRAY(v, type_count, types, v->raw->type_count);
	for (uint32_t i = 0; i < v->raw->type_count && v->c->faults->err == WL_OK; i++)
		validate_type(v, &v->raw->types[i], &v->part->types[i]);
	if (v->part->type_count > 0)
		qsort(v->part->types, v->part->type_count, sizeof(*v->part->types), type_order);
}

/* ---- tables and their schedules ---- */

static void validate_tables(struct validator *v)
{
	PART_ARRAY(v, table_count, tables, v->raw->table_count);
	for (uint32_t i = 0; i < v->raw->table_count && v->c->faults->err == WL_OK; i++)
		if (validate_table(v, &v->raw->tables[i], &v->part->tables[i]))
			remember(v, &v->table_by_name, v->part->tables[i].name, i);
}

static struct module_table *table_named(struct validator *v, struct str name)
{
	uint64_t at;
	return map_get(&v->table_by_name, name.data, name.len, &at) ? &v->part->tables[at] : NULL;
}

/* Schedules of V10, after the tables. Which table each belongs to goes to `targets`. */
static void validate_schedules(struct validator *v, const struct module_schedule **schedules,
	struct module_table **targets)
{
	for (uint32_t i = 0; i < v->raw->schedule_count && v->c->faults->err == WL_OK; i++) {
		const struct raw_schedule *raw = &v->raw->schedules[i];
		struct str name;
		if (!name_resolve(v, RAW_NAME_TABLE, raw->table, &name))
			continue;
		struct module_table *table = table_named(v, name);
		if (table == NULL) {
			FAULT(v->c->faults, FAULT_TABLE_NOT_FOUND, field_str(raw->table));
			continue;
		}
		if (table->is_event)
			FAULT(v->c->faults, FAULT_SCHEDULED_EVENT, field_str(name));
		targets[i] = table;
		const struct sats_type *row = types_product_at(&v->part->typespace, table->type_ref);
		validate_schedule(v, raw, raw->table, row, table->primary_key, name_of_schedule(v, name), &schedules[i]);
	}
}

static bool attach_schedules(struct validator *v, const struct module_schedule **schedules,
	struct module_table **targets)
{
	for (uint32_t i = 0; i < v->raw->schedule_count; i++) {
		if (targets[i]->schedule != NULL) {
			FAULT(v->c->faults, FAULT_DUPLICATE_SCHEDULE, field_str(targets[i]->name));
			return false;
		}
		targets[i]->schedule = schedules[i];
	}
	return true;
}

/* ---- lifecycle reducers of V10 ---- */

static void validate_lifecycles(struct validator *v, uint32_t *reducers)
{
	struct map by_name = { 0 };
	for (uint32_t i = v->part->reducer_count; i-- > 0;) /* the first of a name wins */
		remember(v, &by_name, v->part->reducers[i].name, i);
	for (uint32_t i = 0; i < v->raw->lifecycle_count; i++) {
		const struct raw_lifecycle *raw = &v->raw->lifecycles[i];
		struct str name;
		uint64_t at;
		if (!name_resolve(v, RAW_NAME_FUNCTION, raw->function, &name))
			continue;
		if (!map_get(&by_name, name.data, name.len, &at)) {
			FAULT(v->c->faults, FAULT_LIFECYCLE_WITHOUT_REDUCER, field_lifecycle(raw->event));
			continue;
		}
		reducers[i] = (uint32_t)at;
		register_lifecycle(v, raw->event, (uint32_t)at);
	}
	map_deinit(&by_name);
}

static bool attach_lifecycles(struct validator *v, const uint32_t *reducers)
{
	for (uint32_t i = 0; i < v->raw->lifecycle_count; i++) {
		struct module_function *reducer = &v->part->reducers[reducers[i]];
		if (reducer->lifecycle != MODULE_NO_LIFECYCLE) {
			FAULT(v->c->faults, FAULT_DUPLICATE_LIFECYCLE, field_lifecycle(v->raw->lifecycles[i].event));
			return false;
		}
		reducer->lifecycle = v->raw->lifecycles[i].event;
		reducer->is_private = true;
	}
	return true;
}

/* ---- across lists ---- */

static void claim_function(struct validator *v, struct str name, enum function_role role, uint32_t at)
{
	uint64_t taken;
	if (map_get(&v->function_by_name, name.data, name.len, &taken))
		FAULT(v->c->faults, FAULT_DUPLICATE_FUNCTION, field_str(name));
	else
		remember(v, &v->function_by_name, name, (uint64_t)role << 32 | at);
}

static void check_function_names(struct validator *v)
{
	for (uint32_t i = 0; i < v->part->reducer_count; i++)
		claim_function(v, v->part->reducers[i].name, ROLE_REDUCER, i);
	for (uint32_t i = 0; i < v->part->procedure_count; i++)
		claim_function(v, v->part->procedures[i].name, ROLE_PROCEDURE, i);
	for (uint32_t i = 0; i < v->part->view_count; i++)
		claim_function(v, v->part->views[i].name, ROLE_VIEW, i);
}

/* Defaults of V9 are a list of their own. */
static void check_defaults_v9(struct validator *v)
{
	const struct sats_row_layout **caches = context_array(v->c, v->c->scratch, v->part->table_count, sizeof(*caches));
	for (uint32_t i = 0; i < v->raw->default_value_count && v->c->faults->err == WL_OK; i++) {
		const struct raw_default *raw = &v->raw->default_values[i];
		if (!name_check(v, raw->table))
			continue;
		const struct module_table *table = table_named(v, raw->table);
		if (table == NULL)
			FAULT(v->c->faults, FAULT_TABLE_NOT_FOUND, field_str(raw->table));
		else
			validate_default(v, table, raw, true, &caches[table - v->part->tables]);
	}
}

static void check_scheduled_function(struct validator *v, const struct module_table *table)
{
	struct module_schedule *schedule = (struct module_schedule *)table->schedule;
	uint64_t found = 0;
	bool exists = map_get(&v->function_by_name, schedule->function.data, schedule->function.len, &found);
	enum function_role role = (enum function_role)(found >> 32);
	if (!exists || role == ROLE_VIEW) {
		FAULT(v->c->faults, FAULT_SCHEDULED_FUNCTION, field_str(schedule->name), field_str(schedule->function));
		return;
	}
	struct module_function *functions = role == ROLE_REDUCER ? v->part->reducers : v->part->procedures;
	struct module_function *function = &functions[(uint32_t)found];
	const struct sats_type *params = function->params;
	bool takes_row = params->count == 1 && params->elements[0].type->tag == SATS_REF &&
		params->elements[0].type->ref == table->type_ref;
	if (!takes_row) {
		FAULT(v->c->faults, FAULT_SCHEDULED_PARAMS, field_str(function->name), field_ref(table->type_ref),
			field_type(params));
		return;
	}
	schedule->is_procedure = role == ROLE_PROCEDURE;
	if (v->raw->version != 9)
		function->is_private = true;
}

static void check_scheduled_functions(struct validator *v)
{
	for (uint32_t i = 0; i < v->part->table_count; i++)
		if (v->part->tables[i].schedule != NULL)
			check_scheduled_function(v, &v->part->tables[i]);
}

static int table_order(const void *a, const void *b)
{
	return str_order(((const struct module_table *)a)->name, ((const struct module_table *)b)->name);
}

/* ---- row-level security ---- */

static void collect_rls(struct validator *v)
{
	struct map seen = { 0 };
	v->part->rls = context_array(v->c, v->c->arena, v->raw->rls_text_count, sizeof(*v->part->rls));
	for (uint32_t i = 0; v->part->rls != NULL && i < v->raw->rls_text_count; i++) {
		struct str sql = v->raw->rls_texts[i];
		uint64_t before;
		if (map_get(&seen, sql.data, sql.len, &before))
			continue;
		remember(v, &seen, sql, 1);
		v->part->rls[v->part->rls_count++] = sql;
	}
	map_deinit(&seen);
}

/* ---- submodules ---- */

static bool namespace_good(struct validator *v, struct str name)
{
	if (name.len > MODULE_NAMESPACE_BYTES_MAX)
		FAULT(v->c->faults, FAULT_NAMESPACE_LENGTH, field_str(name), field_number(name.len));
	return name_check(v, name);
}

static bool claim_namespace(struct validator *v, struct map *taken, struct str name)
{
	uint64_t before;
	if (map_get(taken, name.data, name.len, &before)) {
		FAULT(v->c->faults, FAULT_DUPLICATE_NAME, field_str(name));
		return false;
	}
	return remember(v, taken, name, 1);
}

static void check_conflict(struct validator *v, const struct map *accessors, const char *kind, struct str name)
{
	uint64_t mounted;
	if (map_get(accessors, name.data, name.len, &mounted))
		FAULT(v->c->faults, FAULT_NAMESPACE_CONFLICT, field_str(str_of(kind)), field_str(name));
}

static void check_conflicts(struct validator *v, const struct map *accessors)
{
	const struct raw_module *raw = v->raw;
	for (uint32_t i = 0; i < raw->table_count; i++)
		check_conflict(v, accessors, "table", raw->tables[i].name);
	for (uint32_t i = 0; i < raw->view_count; i++)
		check_conflict(v, accessors, "view", raw->views[i].name);
	for (uint32_t i = 0; i < raw->reducer_count; i++)
		check_conflict(v, accessors, "reducer", raw->reducers[i].name);
	for (uint32_t i = 0; i < raw->procedure_count; i++)
		check_conflict(v, accessors, "procedure", raw->procedures[i].name);
}

static void mount(struct validator *v, const struct raw_submodule *raw, struct str canonical, uint32_t depth)
{
	struct part *child = validate_module(v->c, raw->module, depth + 1);
	if ((raw->module->sections_seen >> RAW_SECTION_ENVIRONMENT & 1) != 0)
		FAULT(v->c->faults, FAULT_ENVIRONMENT_IN_SUBMODULE, { FIELD_QUOTED, .text = raw->namespace });
	if (child == NULL)
		return;
	for (uint8_t event = 0; event < MODULE_LIFECYCLE_COUNT; event++)
		if (child->lifecycle[event] != MODULE_NO_INDEX)
			FAULT(v->c->faults, FAULT_LIFECYCLE_IN_SUBMODULE, field_lifecycle(event), field_str(raw->namespace));
	child->namespace = canonical;
	child->namespace_accessor = raw->namespace;
	v->part->children[v->part->child_count++] = child;
}

static void validate_submodules(struct validator *v, uint32_t depth)
{
	const struct raw_module *raw = v->raw;
	v->part->children = context_array(v->c, v->c->arena, raw->submodule_count, sizeof(struct part *));
	if (v->part->children == NULL || raw->submodule_count == 0)
		return;
	struct map accessors = { 0 }, canonical = { 0 };
	for (uint32_t i = 0; i < raw->submodule_count && v->c->faults->err == WL_OK; i++) {
		const struct raw_submodule *one = &raw->submodules[i];
		struct str name;
		if (!namespace_good(v, one->namespace) || !name_resolve(v, RAW_NAME_NAMESPACE, one->namespace, &name))
			continue;
		if (!str_eq(name, one->namespace) && !namespace_good(v, name))
			continue;
		if (claim_namespace(v, &accessors, one->namespace) && claim_namespace(v, &canonical, name))
			mount(v, one, name, depth);
	}
	check_conflicts(v, &accessors);
	map_deinit(&accessors);
	map_deinit(&canonical);
}

/* ---- a level ---- */

/* Whether a reader that converts names, as is the default, would read others than these. */
static bool needs_verbatim(struct validator *v)
{
	for (uint32_t i = 0; i < v->raw->type_count; i++) {
		struct str name = v->raw->types[i].name;
		if (name_convert(v->c, NATIVE_CASE_PASCAL, name).data != name.data)
			return true;
	}
	return types_would_change(v->c, &v->raw->typespace);
}

static bool validator_begin(struct validator *v, struct context *c, const struct raw_module *raw)
{
	*v = (struct validator){ .c = c, .raw = raw };
	v->part = context_array(c, c->arena, 1, sizeof(*v->part));
	if (v->part == NULL)
		return false;
	v->part->snake_case = raw->snake_case;
	for (int event = 0; event < MODULE_LIFECYCLE_COUNT; event++)
		v->part->lifecycle[event] = MODULE_NO_INDEX;
	for (uint32_t i = 0; i < raw->name_count; i++)
		if (!remember(v, &v->explicit_names[raw->names[i].kind], raw->names[i].source, (uintptr_t)&raw->names[i]))
			return false;
	if (raw->snake_case) {
		if (!types_convert(c, &raw->typespace, &v->part->typespace))
			return false;
	} else {
		v->part->typespace = raw->typespace;
		v->part->verbatim = needs_verbatim(v);
	}
	return types_begin(v);
}

static void validator_end(struct validator *v)
{
	map_deinit(&v->names);
	map_deinit(&v->type_names);
	map_deinit(&v->table_by_name);
	map_deinit(&v->function_by_name);
	for (int i = 0; i < RAW_NAME_KIND_COUNT; i++)
		map_deinit(&v->explicit_names[i]);
}

/* Checks across lists that are each good; the first step with a fault is the last. */
static bool validate_connections(struct validator *v, const struct module_schedule **schedules,
	struct module_table **targets, const uint32_t *lifecycles)
{
	uint32_t mark = mark_of(v);
	check_function_names(v);
	if (v->raw->version == 9)
		check_defaults_v9(v);
	if (!clean_since(v, mark))
		return false;
	if (v->raw->version != 9 && (!attach_lifecycles(v, lifecycles) || !attach_schedules(v, schedules, targets)))
		return false;
	check_scheduled_functions(v);
	if (!clean_since(v, mark))
		return false;
	attach_view_keys(v);
	if (!clean_since(v, mark))
		return false;
	if (v->raw->version != 9)
		infer_view_keys(v);
	return validate_outboxes(v) && clean_since(v, mark);
}

static void validate_level(struct validator *v)
{
	const struct raw_module *raw = v->raw;
	uint32_t start = mark_of(v);
	const struct module_schedule **schedules = context_array(v->c, v->c->scratch, raw->schedule_count,
		sizeof(*schedules));
	struct module_table **targets = context_array(v->c, v->c->scratch, raw->schedule_count, sizeof(*targets));
	uint32_t *lifecycles = context_array(v->c, v->c->scratch, raw->lifecycle_count, sizeof(*lifecycles));
	if (schedules == NULL || targets == NULL || lifecycles == NULL)
		return;
	validate_reducers(v);
	bool reducers_good = clean_since(v, start);
	validate_procedures(v);
	validate_http(v);
	validate_views(v);
	uint32_t mark = mark_of(v);
	validate_tables(v);
	bool tables_good = clean_since(v, mark);
	validate_types(v);
	if (tables_good)
		validate_schedules(v, schedules, targets);
	if (reducers_good)
		validate_lifecycles(v, lifecycles);
	if (!clean_since(v, start) || !validate_connections(v, schedules, targets, lifecycles))
		return;
	collect_rls(v);
	finish_level(v);
	if (v->part->table_count > 0)
		qsort(v->part->tables, v->part->table_count, sizeof(*v->part->tables), table_order);
}

struct part *validate_module(struct context *c, const struct raw_module *raw, uint32_t depth)
{
	struct validator v;
	uint32_t mark = c->faults->count;
	if (validator_begin(&v, c, raw)) {
		validate_submodules(&v, depth);
		validate_level(&v);
		if (depth == 0)
			validate_environment(&v);
	}
	bool good = clean_since(&v, mark);
	struct part *part = v.part;
	validator_end(&v);
	return good ? part : NULL;
}
