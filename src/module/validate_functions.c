/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be called: reducers, procedures, views with their primary keys,
 * HTTP handlers and routes; and, once all of a level is good, the layouts of
 * parameters and returns.
 */
#include "module/module_internal.h"

/* ---- functions ---- */

/* Parameter names for JSON and bindings; NULL when one is missing or no identifier. */
static bool validate_params(struct validator *v, uint8_t kind, struct str function, const struct sats_type *params,
	const struct str **out)
{
	struct str *names = context_array(v->c, v->c->arena, params->count, sizeof(*names));
	if (names == NULL)
		return false;
	bool good = true;
	for (uint32_t i = 0; i < params->count; i++) {
		const struct sats_element *param = &params->elements[i];
		struct fault_location where = { .kind = kind, .function = function, .position = i, .arg = param->name };
		if (param->name.data == NULL) {
			struct fault_codegen why = { .kind = CODEGEN_UNNAMED_PARAM };
			FAULT(v->c->faults, FAULT_CODEGEN, { FIELD_LOCATION, .location = where },
				{ FIELD_CODEGEN, .codegen = why });
			good = false;
		} else {
			good = name_resolve_plain(v, param->name, &names[i]) && good;
		}
		good = types_check_use(v, &where, param->type) && good;
	}
	*out = names;
	return good;
}

static void validate_function(struct validator *v, const struct raw_function *raw, bool is_procedure,
	struct module_function *out)
{
	*out = (struct module_function){
		.accessor = raw->name, .params = raw->params, .returns = raw->ok, .space = &v->part->typespace,
		.lifecycle = MODULE_NO_LIFECYCLE, .is_private = raw->is_private,
	};
	uint8_t kind = is_procedure ? LOCATION_PROCEDURE_ARG : LOCATION_REDUCER_ARG;
	validate_params(v, kind, raw->name, raw->params, &out->param_names);
	name_resolve(v, RAW_NAME_FUNCTION, raw->name, &out->name);
	if (v->raw->version != 9)
		name_check(v, raw->name);
	if (is_procedure) {
		struct fault_location where = { .kind = LOCATION_PROCEDURE_RETURN, .function = raw->name };
		types_check_use(v, &where, raw->ok);
	} else if (!types_is_unit(raw->ok) || raw->err->tag != SATS_STRING) {
		FAULT(v->c->faults, FAULT_REDUCER_RETURN, field_str(raw->name), field_type(raw->ok), field_type(raw->err));
	}
}

bool register_lifecycle(struct validator *v, uint8_t event, uint32_t reducer)
{
	if (v->part->lifecycle[event] != MODULE_NO_INDEX) {
		FAULT(v->c->faults, FAULT_DUPLICATE_LIFECYCLE, field_lifecycle(event));
		return false;
	}
	v->part->lifecycle[event] = reducer;
	return true;
}

void validate_reducers(struct validator *v)
{
	const struct raw_module *raw = v->raw;
	PART_ARRAY(v, reducer_count, reducers, raw->reducer_count);
	for (uint32_t i = 0; i < raw->reducer_count; i++) {
		validate_function(v, &raw->reducers[i], false, &v->part->reducers[i]);
		uint8_t event = raw->reducers[i].lifecycle;
		if (event != MODULE_NO_LIFECYCLE && register_lifecycle(v, event, i))
			v->part->reducers[i].lifecycle = event;
	}
}

void validate_procedures(struct validator *v)
{
	PART_ARRAY(v, procedure_count, procedures, v->raw->procedure_count);
	for (uint32_t i = 0; i < v->raw->procedure_count; i++)
		validate_function(v, &v->raw->procedures[i], true, &v->part->procedures[i]);
}

/* ---- views ---- */

/* Option<Ref>, Array<Ref> or {__query__: Ref}: the ref of its rows. */
static bool view_row_ref(const struct sats_type *returns, struct module_view *out)
{
	const struct sats_type *row = NULL;
	out->is_query = returns->special == SATS_QUERY_VIEW;
	out->is_option = returns->special == SATS_OPTION;
	if (out->is_query || out->is_option)
		row = returns->elements[0].type;
	else if (returns->tag == SATS_ARRAY)
		row = returns->element;
	if (row == NULL || row->tag != SATS_REF)
		return false;
	out->row_ref = row->ref;
	return true;
}

static void check_view_params(struct validator *v, const struct raw_view *raw)
{
	for (uint32_t i = 0; v->raw->version != 9 && i < raw->params->count; i++) {
		const struct sats_element *param = &raw->params->elements[i];
		if (param->type->tag == SATS_F32 || param->type->tag == SATS_F64)
			FAULT(v->c->faults, FAULT_VIEW_FLOAT, field_str(raw->name), field_str(param->name));
	}
}

static void validate_view(struct validator *v, const struct raw_view *raw, struct module_view *out)
{
	struct faults *faults = v->c->faults;
	bool v9 = v->raw->version == 9;
	*out = (struct module_view){
		.name = raw->name, .accessor = raw->name, .index = raw->index, .is_public = raw->is_public,
		.is_anonymous = raw->is_anonymous, .params = raw->params, .returns = raw->returns,
		.space = &v->part->typespace, .primary_key = -1,
	};
	if (!view_row_ref(raw->returns, out)) {
		FAULT(faults, FAULT_VIEW_RETURN, field_str(raw->name), field_type(raw->returns));
		return;
	}
	const struct sats_type *row = types_product_at(&v->part->typespace, out->row_ref);
	if (row == NULL) {
		FAULT(faults, FAULT_PRODUCT_REF, field_str(raw->name), field_ref(out->row_ref));
		return;
	}
	if (!v9 && !name_resolve(v, RAW_NAME_FUNCTION, raw->name, &out->name))
		return;
	if (!validate_params(v, LOCATION_VIEW_ARG, out->name, raw->params, &out->param_names))
		return;
	if (v9 && !name_check(v, raw->name))
		return;
	uint32_t mark = mark_of(v);
	struct fault_location where = { .kind = LOCATION_VIEW_RETURN, .function = out->name };
	types_check_use(v, &where, out->is_query ? raw->returns->elements[0].type : raw->returns);
	uint32_t before = mark_of(v);
	if (!name_add(v, out->name)) {
		if (!v9 && faults->count > before) { /* the clash alone is reported */
			faults->items[mark] = faults->items[before];
			faults->count = mark + 1;
		}
		if (!v9)
			return;
	}
	struct module_column *columns = context_array(v->c, v->c->arena, row->count, sizeof(*columns));
	if (columns == NULL)
		return;
	const struct sats_type *raw_row = v->raw->typespace.types[out->row_ref];
	validate_columns(v, raw->name, out->row_ref, row, raw_row, columns);
	check_view_params(v, raw);
	out->columns = columns;
	out->column_count = row->count;
	if (clean_since(v, mark))
		name_check(v, raw->name);
}

void validate_views(struct validator *v)
{
	PART_ARRAY(v, view_count, views, v->raw->view_count);
	for (uint32_t i = 0; i < v->raw->view_count && v->c->faults->err == WL_OK; i++)
		validate_view(v, &v->raw->views[i], &v->part->views[i]);
}

/* ---- HTTP ---- */

static bool validate_handlers(struct validator *v, struct map *by_name)
{
	uint32_t mark = mark_of(v), count = v->raw->handler_count;
	v->part->handler_count = count;
	v->part->handlers = context_array(v->c, v->c->arena, count, sizeof(*v->part->handlers));
	v->part->handler_accessors = context_array(v->c, v->c->arena, count, sizeof(*v->part->handler_accessors));
	if (v->part->handlers == NULL || v->part->handler_accessors == NULL)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		v->part->handler_accessors[i] = v->raw->handlers[i];
		name_check(v, v->raw->handlers[i]);
		name_resolve(v, RAW_NAME_FUNCTION, v->raw->handlers[i], &v->part->handlers[i]);
	}
	if (!clean_since(v, mark))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct str name = v->part->handlers[i];
		uint64_t taken;
		if (map_get(by_name, name.data, name.len, &taken))
			FAULT(v->c->faults, FAULT_DUPLICATE_HANDLER, field_str(name));
		else
			remember(v, by_name, name, i);
	}
	return clean_since(v, mark);
}

static bool route_path_good(struct str path)
{
	if (path.len > 0 && path.data[0] != '/')
		return false;
	for (size_t i = 0; i < path.len; i++) {
		char c = path.data[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '~' || c == '/'))
			return false;
	}
	return true;
}

static void validate_route(struct validator *v, const struct raw_route *raw, const struct map *handlers,
	struct module_route *out)
{
	*out = (struct module_route){ .path = raw->path, .method = raw->method, .extension = raw->extension };
	if (!route_path_good(raw->path)) {
		FAULT(v->c->faults, FAULT_ROUTE_PATH, field_str(raw->path));
		return;
	}
	if (!name_resolve(v, RAW_NAME_FUNCTION, raw->handler, &out->handler))
		return;
	uint64_t id;
	if (!map_get(handlers, out->handler.data, out->handler.len, &id))
		FAULT(v->c->faults, FAULT_ROUTE_HANDLER, field_str(raw->handler));
	else
		out->handler_id = (uint32_t)id;
}

/* Routes of one path overlap when either takes any method or both the same. */
static void check_routes_unique(struct validator *v)
{
	struct map seen = { 0 }; /* path and method -> 1; path alone -> whether any method is taken */
	for (uint32_t i = 0; i < v->part->route_count && v->c->faults->err == WL_OK; i++) {
		const struct module_route *route = &v->part->routes[i];
		size_t len = 3 + route->path.len + route->extension.len;
		char *key = context_array(v->c, v->c->scratch, len, 1);
		if (key == NULL)
			break;
		/* '/' begins every path that is not empty, so no path looks like a key with a method; none has a NUL. */
		key[0] = 'm';
		key[1] = (char)(route->method + 1);
		memcpy(key + 2, route->path.data, route->path.len);
		if (route->extension.len > 0)
			memcpy(key + 3 + route->path.len, route->extension.data, route->extension.len);
		uint64_t any = 0, same;
		bool path_seen = map_get(&seen, route->path.data, route->path.len, &any);
		if ((path_seen && (any != 0 || route->method < 0)) || map_get(&seen, key, len, &same))
			FAULT(v->c->faults, FAULT_DUPLICATE_ROUTE, field_str(route->path),
				{ FIELD_METHOD, .number = route->method, .more = route->extension });
		remember(v, &seen, route->path, any != 0 || route->method < 0);
		remember(v, &seen, (struct str){ key, len }, 1);
	}
	map_deinit(&seen);
}

void validate_http(struct validator *v)
{
	struct map handlers = { 0 };
	uint32_t mark = mark_of(v), count = v->raw->route_count;
	if (validate_handlers(v, &handlers)) {
		v->part->routes = context_array(v->c, v->c->arena, count, sizeof(*v->part->routes));
		v->part->route_count = v->part->routes == NULL ? 0 : count;
		for (uint32_t i = 0; i < v->part->route_count; i++)
			validate_route(v, &v->raw->routes[i], &handlers, &v->part->routes[i]);
		if (clean_since(v, mark))
			check_routes_unique(v);
	}
	map_deinit(&handlers);
}

/* ---- primary keys of views ---- */

static void attach_view_key(struct validator *v, const struct raw_view_key *raw, struct module_view *view)
{
	if (raw->column_count > 1) {
		FAULT(v->c->faults, FAULT_VIEW_KEY_COLUMNS, field_str(raw->view),
			field_list(FIELD_STRS, raw->columns, raw->column_count));
		return;
	}
	if (raw->column_count == 0)
		return;
	if (view == NULL) {
		FAULT(v->c->faults, FAULT_VIEW_KEY_VIEW, field_str(raw->view));
		return;
	}
	for (uint32_t i = 0; i < view->column_count; i++) {
		if (!str_eq(view->columns[i].accessor, raw->columns[0]))
			continue;
		if (view->params->count > 0)
			FAULT(v->c->faults, FAULT_VIEW_KEY_PARAMS, field_str(raw->view));
		view->primary_key = (int32_t)i;
		return;
	}
	FAULT(v->c->faults, FAULT_VIEW_KEY_COLUMN, field_str(raw->view), field_str(raw->columns[0]));
}

void attach_view_keys(struct validator *v)
{
	struct map views = { 0 }, seen = { 0 };
	for (uint32_t i = v->part->view_count; i-- > 0;)
		remember(v, &views, v->part->views[i].accessor, (uintptr_t)&v->part->views[i]);
	for (uint32_t i = 0; i < v->raw->view_key_count; i++) {
		const struct raw_view_key *raw = &v->raw->view_keys[i];
		uint64_t before;
		if (map_get(&seen, raw->view.data, raw->view.len, &before)) {
			FAULT(v->c->faults, FAULT_VIEW_KEY_REPEATED, field_str(raw->view));
			continue;
		}
		remember(v, &seen, raw->view, 1);
		attach_view_key(v, raw, map_get_ptr(&views, raw->view));
	}
	map_deinit(&views);
	map_deinit(&seen);
}

/* A query view without a key of its own has that of the tables with its row type, if they agree. */
void infer_view_keys(struct validator *v)
{
	enum { NONE = -1, AMBIGUOUS = -2 };
	int32_t *keys = context_array(v->c, v->c->scratch, v->part->typespace.count, sizeof(*keys));
	if (keys == NULL)
		return;
	for (uint32_t i = 0; i < v->part->typespace.count; i++)
		keys[i] = NONE;
	for (uint32_t i = 0; i < v->part->table_count; i++) {
		const struct module_table *table = &v->part->tables[i];
		if (table->primary_key >= 0)
			keys[table->type_ref] = keys[table->type_ref] == NONE || keys[table->type_ref] == table->primary_key ?
				table->primary_key : AMBIGUOUS;
	}
	for (uint32_t i = 0; i < v->part->view_count; i++) {
		struct module_view *view = &v->part->views[i];
		if (view->is_query && view->primary_key < 0 && view->params->count == 0 && keys[view->row_ref] >= 0)
			view->primary_key = keys[view->row_ref];
	}
}

/* ---- layouts, once everything else is good ---- */

static uint32_t type_slots(const struct part *part)
{
	return 2 * part->reducer_count + 2 * part->procedure_count + part->view_count;
}

/* All parameter and return types of a level are compiled as the columns of one row, so that what they share is
 * compiled once, however many functions there are. */
static const struct sats_layout **compile_types(struct validator *v, struct sats_element *types)
{
	struct error error = { 0 };
	const struct sats_row_layout *layouts;
	const struct sats_type *row = sats_product_of(v->c->scratch, types, type_slots(v->part));
	enum wl_err err = row == NULL ? WL_ERR_MEMORY :
		sats_row_layout_create(v->c->arena, &v->part->typespace, row, &layouts, &error);
	if (err == WL_OK)
		return layouts->columns;
	faults_stop(v->c->faults, WL_ERR_LIMIT, "the types of parameters and returns are too large");
	return NULL;
}

static uint32_t gather(struct sats_element *types, const struct module_function *functions, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		types[2 * i].type = functions[i].params;
		types[2 * i + 1].type = functions[i].returns;
	}
	return 2 * count;
}

static uint32_t spread(const struct sats_layout **layouts, struct module_function *functions, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		functions[i].params_layout = layouts[2 * i];
		functions[i].returns_layout = layouts[2 * i + 1];
	}
	return 2 * count;
}

void finish_level(struct validator *v)
{
	struct part *part = v->part;
	struct sats_element *types = context_array(v->c, v->c->scratch, type_slots(part), sizeof(*types));
	if (types == NULL)
		return;
	uint32_t at = gather(types, part->reducers, part->reducer_count);
	at += gather(types + at, part->procedures, part->procedure_count);
	for (uint32_t i = 0; i < part->view_count; i++)
		types[at + i].type = part->views[i].params;
	const struct sats_layout **layouts = compile_types(v, types);
	if (layouts == NULL)
		return;
	at = spread(layouts, part->reducers, part->reducer_count);
	at += spread(layouts + at, part->procedures, part->procedure_count);
	for (uint32_t i = 0; i < part->view_count && v->c->faults->err == WL_OK; i++) {
		struct module_view *view = &part->views[i];
		view->params_layout = layouts[at + i];
		validate_row_type(v, view->accessor, view->row_ref, &view->row_type, view->column_count,
			(struct module_column *)view->columns);
	}
}
