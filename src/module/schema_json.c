/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema documents: the canonical definition as the SATS-JSON of a raw
 * module of version 9 or 10.
 *
 * V9 knows one level and canonical names only. V10 carries accessor names as
 * source names and lists the canonical ones in ExplicitNames; readers convert
 * the rest again, so a module whose names would not survive that gets a
 * CaseConversionPolicy None in front. Lists without an order of their own are
 * sorted by name.
 */
#include "module/module_internal.h"
#include "base/text.h"

/* A JSON writer that knows where commas belong. */
struct json {
	struct buf *out;
	bool first; /* of the object or array being written */
};

static void put(struct json *j, const char *text)
{
	buf_put_cstr(j->out, text);
}

static void comma(struct json *j)
{
	if (!j->first)
		buf_put_u8(j->out, ',');
	j->first = false;
}

static void key(struct json *j, const char *name)
{
	comma(j);
	buf_put_u8(j->out, '"');
	put(j, name);
	put(j, "\":");
}

static void begin(struct json *j, char bracket)
{
	buf_put_u8(j->out, (uint8_t)bracket);
	j->first = true;
}

static void end(struct json *j, char bracket)
{
	buf_put_u8(j->out, (uint8_t)bracket);
	j->first = false;
}

static void number(struct json *j, const char *name, uint32_t n)
{
	key(j, name);
	buf_printf(j->out, "%u", n);
}

static void boolean(struct json *j, const char *name, bool value)
{
	key(j, name);
	put(j, value ? "true" : "false");
}

static void string(struct json *j, const char *name, struct str s)
{
	key(j, name);
	buf_put_json_str(j->out, s);
}

static void optional_string(struct json *j, const char *name, struct str s)
{
	key(j, name);
	if (s.data == NULL) {
		put(j, "{\"none\":[]}");
		return;
	}
	put(j, "{\"some\":");
	buf_put_json_str(j->out, s);
	put(j, "}");
}

/* A sum with unit payload: {"Name":[]} */
static void word(struct json *j, const char *name, const char *variant)
{
	key(j, name);
	buf_printf(j->out, "{\"%s\":[]}", variant);
}

static void product(struct json *j, const char *name, const struct sats_type *type)
{
	key(j, name);
	sats_product_json(j->out, type);
}

static void type(struct json *j, const char *name, const struct sats_type *value)
{
	key(j, name);
	sats_type_json(j->out, value);
}

static void optional_i128(struct json *j, const char *name, bool has, i128 n)
{
	key(j, name);
	put(j, has ? "{\"some\":" : "{\"none\":[]}");
	if (has) {
		text_put_i128(j->out, n);
		put(j, "}");
	}
}

static void columns(struct json *j, struct module_columns list)
{
	buf_put_u8(j->out, '[');
	for (uint32_t i = 0; i < list.count; i++)
		buf_printf(j->out, i > 0 ? ",%u" : "%u", list.at[i]);
	buf_put_u8(j->out, ']');
}

static void hex(struct json *j, const char *name, struct bytes value)
{
	key(j, name);
	buf_put_u8(j->out, '"');
	for (size_t i = 0; i < value.len; i++)
		buf_printf(j->out, "%02x", value.data[i]);
	buf_put_u8(j->out, '"');
}

/* ---- what both versions share ---- */

/* The name of a member: "name" in V9, "source_name" in V10. */
static const char *name_key(int version)
{
	return version == 9 ? "name" : "source_name";
}

static void typespace(struct json *j, const struct sats_typespace *space)
{
	put(j, "{\"types\":[");
	for (uint32_t i = 0; i < space->count; i++) {
		put(j, i > 0 ? "," : "");
		sats_type_json(j->out, space->types[i]);
	}
	put(j, "]}");
}

static void type_definitions(struct json *j, const struct part *part, int version)
{
	begin(j, '[');
	for (uint32_t i = 0; i < part->type_count; i++) {
		const struct module_type *one = &part->types[i];
		comma(j);
		begin(j, '{');
		key(j, name_key(version));
		begin(j, '{');
		key(j, "scope");
		begin(j, '[');
		for (uint32_t k = 0; k < one->scope_count; k++) {
			comma(j);
			buf_put_json_str(j->out, one->scope[k]);
		}
		end(j, ']');
		string(j, name_key(version), one->name);
		end(j, '}');
		number(j, "ty", one->ref);
		boolean(j, "custom_ordering", one->custom_ordering);
		end(j, '}');
	}
	end(j, ']');
}

static void index_def(struct json *j, const struct module_index *one, int version)
{
	static const char *const algorithms[] = {
		[MODULE_BTREE] = "BTree", [MODULE_HASH] = "Hash", [MODULE_DIRECT] = "Direct",
	};
	comma(j);
	begin(j, '{');
	optional_string(j, name_key(version), version == 9 ? one->name : one->source);
	optional_string(j, "accessor_name", one->accessor);
	key(j, "algorithm");
	buf_printf(j->out, "{\"%s\":", algorithms[one->algorithm]);
	if (one->algorithm == MODULE_DIRECT)
		buf_printf(j->out, "%u", one->columns.at[0]);
	else
		columns(j, one->columns);
	put(j, "}");
	end(j, '}');
}

static void constraint_def(struct json *j, const struct module_constraint *one, int version)
{
	comma(j);
	begin(j, '{');
	optional_string(j, name_key(version), one->name);
	key(j, "data");
	put(j, "{\"Unique\":{\"columns\":");
	columns(j, one->columns);
	put(j, "}}");
	end(j, '}');
}

static void sequence_def(struct json *j, const struct module_sequence *one, int version)
{
	comma(j);
	begin(j, '{');
	optional_string(j, name_key(version), one->name);
	number(j, "column", one->column);
	optional_i128(j, "start", one->has_start, one->start);
	optional_i128(j, "min_value", one->has_min, one->min);
	optional_i128(j, "max_value", one->has_max, one->max);
	key(j, "increment");
	text_put_i128(j->out, one->increment);
	end(j, '}');
}

static void table_schedule_v9(struct json *j, const struct module_schedule *one)
{
	key(j, "schedule");
	if (one == NULL) {
		put(j, "{\"none\":[]}");
		return;
	}
	put(j, "{\"some\":");
	begin(j, '{');
	optional_string(j, "name", one->name);
	string(j, "reducer_name", one->function);
	number(j, "scheduled_at_column", one->at_column);
	end(j, '}');
	put(j, "}");
}

static void table_defaults_v10(struct json *j, const struct module_table *one)
{
	key(j, "default_values");
	begin(j, '[');
	for (uint32_t i = 0; i < one->column_count; i++) {
		if (!one->columns[i].has_default)
			continue;
		comma(j);
		begin(j, '{');
		number(j, "col_id", i);
		hex(j, "value", one->columns[i].default_value);
		end(j, '}');
	}
	end(j, ']');
}

static void table_def(struct json *j, const struct module_table *one, int version)
{
	comma(j);
	begin(j, '{');
	string(j, name_key(version), version == 9 ? one->name : one->accessor);
	number(j, "product_type_ref", one->type_ref);
	uint16_t primary_key = (uint16_t)one->primary_key;
	key(j, "primary_key");
	columns(j, (struct module_columns){ one->primary_key >= 0, &primary_key });
	key(j, "indexes");
	begin(j, '[');
	for (uint32_t i = 0; i < one->index_count; i++)
		index_def(j, &one->indexes[i], version);
	end(j, ']');
	key(j, "constraints");
	begin(j, '[');
	for (uint32_t i = 0; i < one->constraint_count; i++)
		constraint_def(j, &one->constraints[i], version);
	end(j, ']');
	key(j, "sequences");
	begin(j, '[');
	for (uint32_t i = 0; i < one->sequence_count; i++)
		sequence_def(j, &one->sequences[i], version);
	end(j, ']');
	if (version == 9)
		table_schedule_v9(j, one->schedule);
	word(j, "table_type", one->is_system ? "System" : "User");
	word(j, "table_access", one->is_public ? "Public" : "Private");
	if (version != 9) {
		table_defaults_v10(j, one);
		boolean(j, "is_event", one->is_event);
	}
	end(j, '}');
}

static const char *const lifecycles[] = { "Init", "OnConnect", "OnDisconnect" };

static void view_def(struct json *j, const struct module_view *one, int version)
{
	begin(j, '{');
	string(j, name_key(version), version == 9 ? one->name : one->accessor);
	number(j, "index", one->index);
	boolean(j, "is_public", one->is_public);
	boolean(j, "is_anonymous", one->is_anonymous);
	product(j, "params", one->params);
	type(j, "return_type", one->returns);
	end(j, '}');
}

static void rls(struct json *j, const struct part *part)
{
	begin(j, '[');
	for (uint32_t i = 0; i < part->rls_count; i++) {
		comma(j);
		begin(j, '{');
		string(j, "sql", part->rls[i]);
		end(j, '}');
	}
	end(j, ']');
}

/* ---- V9 ---- */

static void reducer_v9(struct json *j, const struct module_function *one)
{
	comma(j);
	begin(j, '{');
	string(j, "name", one->name);
	product(j, "params", one->params);
	key(j, "lifecycle");
	if (one->lifecycle == MODULE_NO_LIFECYCLE)
		put(j, "{\"none\":[]}");
	else
		buf_printf(j->out, "{\"some\":{\"%s\":[]}}", lifecycles[one->lifecycle]);
	end(j, '}');
}

static void misc_exports_v9(struct json *j, const struct part *part)
{
	begin(j, '[');
	for (uint32_t t = 0; t < part->table_count; t++) {
		const struct module_table *one = &part->tables[t];
		for (uint32_t i = 0; i < one->column_count; i++) {
			if (!one->columns[i].has_default)
				continue;
			comma(j);
			put(j, "{\"ColumnDefaultValue\":");
			begin(j, '{');
			string(j, "table", one->name);
			number(j, "col_id", i);
			hex(j, "value", one->columns[i].default_value);
			end(j, '}');
			put(j, "}");
		}
	}
	for (uint32_t i = 0; i < part->procedure_count; i++) {
		comma(j);
		put(j, "{\"Procedure\":");
		begin(j, '{');
		string(j, "name", part->procedures[i].name);
		product(j, "params", part->procedures[i].params);
		type(j, "return_type", part->procedures[i].returns);
		end(j, '}');
		put(j, "}");
	}
	for (uint32_t i = 0; i < part->view_count; i++) {
		comma(j);
		put(j, "{\"View\":");
		view_def(j, &part->views[i], 9);
		put(j, "}");
	}
	end(j, ']');
}

static void module_v9(struct json *j, const struct part *part)
{
	begin(j, '{');
	key(j, "typespace");
	typespace(j, &part->typespace);
	j->first = false;
	key(j, "tables");
	begin(j, '[');
	for (uint32_t i = 0; i < part->table_count; i++)
		table_def(j, &part->tables[i], 9);
	end(j, ']');
	key(j, "reducers");
	begin(j, '[');
	for (uint32_t i = 0; i < part->reducer_count; i++)
		reducer_v9(j, &part->reducers[i]);
	end(j, ']');
	key(j, "types");
	type_definitions(j, part, 9);
	key(j, "misc_exports");
	misc_exports_v9(j, part);
	key(j, "row_level_security");
	rls(j, part);
	end(j, '}');
}

/* ---- V10 ---- */

/* {"Name": …the payload follows… } */
static void begin_section(struct json *j, const char *name)
{
	comma(j);
	buf_printf(j->out, "{\"%s\":", name);
}

static void end_section(struct json *j)
{
	put(j, "}");
	j->first = false;
}

static void functions_v10(struct json *j, const char *name, const struct module_function *list, uint32_t count)
{
	bool reducers = strcmp(name, "Reducers") == 0;
	if (count == 0)
		return;
	begin_section(j, name);
	begin(j, '[');
	for (uint32_t i = 0; i < count; i++) {
		comma(j);
		begin(j, '{');
		string(j, "source_name", list[i].accessor);
		product(j, "params", list[i].params);
		if (!reducers)
			type(j, "return_type", list[i].returns);
		word(j, "visibility", list[i].is_private ? "Private" : "ClientCallable");
		if (reducers) {
			type(j, "ok_return_type", &sats_unit);
			type(j, "err_return_type", &sats_primitive[SATS_STRING]);
		}
		end(j, '}');
	}
	end(j, ']');
	end_section(j);
}

static void environment_v10(struct json *j, const struct part *part)
{
	if (!part->has_environment)
		return;
	begin_section(j, "Environment");
	begin(j, '[');
	for (uint32_t i = 0; i < part->env_count; i++) {
		const struct module_env *one = &part->env[i];
		comma(j);
		begin(j, '{');
		string(j, "name", one->name);
		key(j, "ty");
		put(j, one->is_union ? "{\"Union\":[" : one->value_count == 1 ? "{\"StringLiteral\":" : "{\"String\":[");
		for (uint32_t k = 0; k < one->value_count; k++) {
			put(j, k > 0 ? "," : "");
			buf_put_json_str(j->out, one->values[k]);
		}
		put(j, one->is_union || one->value_count == 0 ? "]}" : "}");
		boolean(j, "optional", one->is_optional);
		end(j, '}');
	}
	end(j, ']');
	end_section(j);
}

static void http_v10(struct json *j, const struct part *part)
{
	static const char *const methods[] = {
		"Get", "Head", "Post", "Put", "Delete", "Connect", "Options", "Trace", "Patch",
	};
	if (part->handler_count > 0) {
		begin_section(j, "HttpHandlers");
		begin(j, '[');
		for (uint32_t i = 0; i < part->handler_count; i++) {
			comma(j);
			begin(j, '{');
			string(j, "source_name", part->handler_accessors[i]);
			end(j, '}');
		}
		end(j, ']');
		end_section(j);
	}
	if (part->route_count == 0)
		return;
	begin_section(j, "HttpRoutes");
	begin(j, '[');
	for (uint32_t i = 0; i < part->route_count; i++) {
		const struct module_route *one = &part->routes[i];
		comma(j);
		begin(j, '{');
		string(j, "handler_function", one->handler);
		key(j, "method");
		if (one->method < 0) {
			put(j, "{\"Any\":[]}");
		} else if (one->method < 9) {
			buf_printf(j->out, "{\"Method\":{\"%s\":[]}}", methods[one->method]);
		} else {
			put(j, "{\"Method\":{\"Extension\":");
			buf_put_json_str(j->out, one->extension);
			put(j, "}}");
		}
		string(j, "path", one->path);
		end(j, '}');
	}
	end(j, ']');
	end_section(j);
}

static void views_v10(struct json *j, const struct part *part)
{
	uint32_t keys = 0;
	if (part->view_count == 0)
		return;
	begin_section(j, "Views");
	begin(j, '[');
	for (uint32_t i = 0; i < part->view_count; i++) {
		comma(j);
		view_def(j, &part->views[i], 10);
		keys += part->views[i].primary_key >= 0 && !part->views[i].is_query;
	}
	end(j, ']');
	end_section(j);
	if (keys == 0) /* those of query views are inferred again */
		return;
	begin_section(j, "ViewPrimaryKeys");
	begin(j, '[');
	for (uint32_t i = 0; i < part->view_count; i++) {
		const struct module_view *one = &part->views[i];
		if (one->primary_key < 0 || one->is_query)
			continue;
		comma(j);
		begin(j, '{');
		string(j, "view_source_name", one->accessor);
		key(j, "columns");
		buf_put_u8(j->out, '[');
		buf_put_json_str(j->out, one->columns[one->primary_key].name);
		buf_put_u8(j->out, ']');
		end(j, '}');
	}
	end(j, ']');
	end_section(j);
}

static void schedules_v10(struct json *j, const struct part *part)
{
	bool any = false;
	for (uint32_t i = 0; i < part->table_count; i++) {
		const struct module_table *one = &part->tables[i];
		if (one->schedule == NULL)
			continue;
		if (!any) {
			begin_section(j, "Schedules");
			begin(j, '[');
			any = true;
		}
		comma(j);
		begin(j, '{');
		optional_string(j, "source_name", one->schedule->name);
		string(j, "table_name", one->name);
		number(j, "schedule_at_col", one->schedule->at_column);
		string(j, "function_name", one->schedule->function);
		end(j, '}');
	}
	if (any) {
		end(j, ']');
		end_section(j);
	}
}

static void outboxes_v10(struct json *j, const struct part *part)
{
	if (!part->has_outbox)
		return;
	begin_section(j, "Outboxes");
	begin(j, '[');
	for (uint32_t i = 0; i < part->table_count; i++) {
		const struct module_outbox *one = part->tables[i].outbox;
		if (one == NULL)
			continue;
		comma(j);
		begin(j, '{');
		string(j, "table_name", part->tables[i].name);
		string(j, "remote_reducer", one->remote_reducer);
		number(j, "target_column", one->target_column);
		key(j, "arg_columns");
		columns(j, one->arguments);
		optional_string(j, "on_result_reducer", one->on_result);
		/* A hash is a U256: its text is the number, whose first byte is the lowest. */
		size_t top = sizeof(one->signature_hash);
		while (top > 1 && one->signature_hash[top - 1] == 0)
			top--;
		key(j, "signature_hash");
		buf_printf(j->out, "\"0x%x", one->signature_hash[top - 1]);
		while (--top > 0)
			buf_printf(j->out, "%02x", one->signature_hash[top - 1]);
		put(j, "\"");
		end(j, '}');
	}
	end(j, ']');
	end_section(j);
}

static void lifecycles_v10(struct json *j, const struct part *part)
{
	bool any = false;
	for (int event = 0; event < MODULE_LIFECYCLE_COUNT; event++) {
		if (part->lifecycle[event] == MODULE_NO_INDEX)
			continue;
		if (!any) {
			begin_section(j, "LifeCycleReducers");
			begin(j, '[');
			any = true;
		}
		comma(j);
		begin(j, '{');
		word(j, "lifecycle_spec", lifecycles[event]);
		string(j, "function_name", part->reducers[part->lifecycle[event]].name);
		end(j, '}');
	}
	if (any) {
		end(j, ']');
		end_section(j);
	}
}

static void explicit_name(struct json *j, const char *kind, struct str source, struct str canonical)
{
	comma(j);
	buf_printf(j->out, "{\"%s\":", kind);
	begin(j, '{');
	string(j, "source_name", source);
	string(j, "canonical_name", canonical);
	end(j, '}');
	put(j, "}");
}

/* Whether a reader of the document would arrive at this namespace by itself. */
static bool namespace_follows(const struct part *parent, const struct part *child)
{
	if (parent->verbatim)
		return str_eq(child->namespace, child->namespace_accessor);
	char name[4 * MODULE_NAMESPACE_BYTES_MAX + 16];
	struct str accessor = child->namespace_accessor;
	size_t len = native_case_convert(NATIVE_CASE_SNAKE, accessor.data, accessor.len, name, sizeof(name));
	return len <= sizeof(name) && str_eq((struct str){ name, len }, child->namespace);
}

static void explicit_names_v10(struct json *j, const struct part *part)
{
	begin_section(j, "ExplicitNames");
	begin(j, '{');
	key(j, "entries");
	begin(j, '[');
	for (uint32_t i = 0; i < part->table_count; i++)
		explicit_name(j, "Table", part->tables[i].accessor, part->tables[i].name);
	for (uint32_t i = 0; i < part->reducer_count; i++)
		explicit_name(j, "Function", part->reducers[i].accessor, part->reducers[i].name);
	for (uint32_t i = 0; i < part->procedure_count; i++)
		explicit_name(j, "Function", part->procedures[i].accessor, part->procedures[i].name);
	for (uint32_t i = 0; i < part->view_count; i++)
		explicit_name(j, "Function", part->views[i].accessor, part->views[i].name);
	for (uint32_t i = 0; i < part->child_count; i++)
		if (!namespace_follows(part, part->children[i]))
			explicit_name(j, "Namespace", part->children[i]->namespace_accessor, part->children[i]->namespace);
	end(j, ']');
	end(j, '}');
	end_section(j);
}

static void module_v10(struct json *j, const struct part *part);

static void submodules_v10(struct json *j, const struct part *part)
{
	if (part->child_count == 0)
		return;
	begin_section(j, "Submodules");
	begin(j, '[');
	for (uint32_t i = 0; i < part->child_count; i++) {
		comma(j);
		begin(j, '{');
		string(j, "namespace", part->children[i]->namespace_accessor);
		key(j, "module");
		module_v10(j, part->children[i]);
		end(j, '}');
	}
	end(j, ']');
	end_section(j);
}

/* Depth is bounded by the decoder. */
static void module_v10(struct json *j, const struct part *part)
{
	begin(j, '{');
	key(j, "sections");
	begin(j, '[');
	if (part->verbatim) {
		begin_section(j, "CaseConversionPolicy");
		put(j, "{\"None\":[]}");
		end_section(j);
	}
	environment_v10(j, part);
	begin_section(j, "Typespace");
	typespace(j, &part->typespace);
	end_section(j);
	if (part->type_count > 0) {
		begin_section(j, "Types");
		type_definitions(j, part, 10);
		end_section(j);
	}
	if (part->table_count > 0) {
		begin_section(j, "Tables");
		begin(j, '[');
		for (uint32_t i = 0; i < part->table_count; i++)
			table_def(j, &part->tables[i], 10);
		end(j, ']');
		end_section(j);
	}
	functions_v10(j, "Reducers", part->reducers, part->reducer_count);
	functions_v10(j, "Procedures", part->procedures, part->procedure_count);
	http_v10(j, part);
	views_v10(j, part);
	schedules_v10(j, part);
	outboxes_v10(j, part);
	lifecycles_v10(j, part);
	if (part->rls_count > 0) {
		begin_section(j, "RowLevelSecurity");
		rls(j, part);
		end_section(j);
	}
	explicit_names_v10(j, part);
	submodules_v10(j, part);
	end(j, ']');
	end(j, '}');
}

enum wl_err module_schema_json(const struct module_def *def, int version, struct buf *out)
{
	if (version != 9 && version != 10)
		return WL_ERR_INVALID;
	struct json j = { out, true };
	if (version == 9)
		module_v9(&j, def->root);
	else
		module_v10(&j, def->root);
	return out->failed ? WL_ERR_LIMIT : WL_OK;
}
