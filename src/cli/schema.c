/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Module definitions from JSON. What the host sends is checked for shape; a type that cannot be read fails the whole,
 * members that are not needed are not looked at.
 */
#include "cli/schema.h"

/* ---- types ---- */

static const struct sats_type *parse_type(struct cli *cli, const struct native_json *doc, uint32_t node,
	uint32_t depth);

static const struct sats_type *fail_type(struct cli *cli, const char *what)
{
	cli_fail(cli, "malformed type in the schema: %s", what);
	return NULL;
}

/* Elements or variants: [{"name":{"some":"x"},"algebraic_type":T}, …] */
static struct sats_element *parse_elements(struct cli *cli, const struct native_json *doc, uint32_t node,
	uint32_t depth,
	uint32_t *count)
{
	if (node == 0 || doc->nodes[node].kind != NATIVE_JSON_ARRAY) {
		fail_type(cli, "elements are missing");
		return NULL;
	}
	uint32_t at = cli_json_items(doc, node, count);
	struct sats_element *elements = cli_alloc(cli, ((size_t)*count + 1) * sizeof(*elements));
	for (uint32_t i = 0; i < *count; i++) {
		uint32_t name = cli_json_member(doc, at, "name"), type = cli_json_member(doc, at, "algebraic_type");
		if (type == 0) {
			fail_type(cli, "an element without a type");
			return NULL;
		}
		struct str text = name != 0 ? cli_json_member_str(doc, name, "some") : (struct str){ NULL, 0 };
		elements[i].name = text.data != NULL ? (struct str){ cli_keep(cli, text), text.len } : (struct str){ NULL, 0 };
		elements[i].type = parse_type(cli, doc, type, depth + 1);
		if (elements[i].type == NULL)
			return NULL;
		at = doc->nodes[at].next;
	}
	return elements;
}

static const struct sats_type *made(const struct sats_type *type)
{
	if (type == NULL)
		cli_out_of_memory();
	return type;
}

static bool parse_u32(const struct native_json *doc, uint32_t node, uint32_t *out)
{
	const struct native_json_node *n = &doc->nodes[node];
	uint32_t value = 0;
	if (n->kind != NATIVE_JSON_NUMBER || n->text_len == 0)
		return false;
	for (uint32_t i = 0; i < n->text_len; i++)
		if (n->text[i] < '0' || n->text[i] > '9' || __builtin_mul_overflow(value, 10u, &value)
			|| __builtin_add_overflow(value, (uint32_t)(n->text[i] - '0'), &value))
			return false;
	*out = value;
	return true;
}

static const struct sats_type *parse_product(struct cli *cli, const struct native_json *doc, uint32_t node,
	uint32_t depth)
{
	uint32_t count;
	struct sats_element *elements = parse_elements(cli, doc, cli_json_member(doc, node, "elements"), depth, &count);
	return elements != NULL ? made(sats_product_of(&cli->arena, elements, count)) : NULL;
}

static const struct sats_type *parse_type(struct cli *cli, const struct native_json *doc, uint32_t node, uint32_t depth)
{
	const struct native_json_node *n = &doc->nodes[node];
	uint32_t count, index;
	if (depth >= SATS_DEPTH_MAX)
		return fail_type(cli, "nested too deeply");
	if (n->kind != NATIVE_JSON_OBJECT || n->count != 1)
		return fail_type(cli, "expected an object with one member");
	struct str tag = { doc->nodes[node + 1].text, doc->nodes[node + 1].text_len };
	uint32_t payload = node + 2;
	if (str_eq(tag, STR("Product")))
		return parse_product(cli, doc, payload, depth);
	if (str_eq(tag, STR("Sum"))) {
		struct sats_element *variants = parse_elements(cli, doc, cli_json_member(doc, payload, "variants"), depth,
			&count);
		return variants != NULL ? made(sats_sum_of(&cli->arena, variants, count)) : NULL;
	}
	if (str_eq(tag, STR("Array"))) {
		const struct sats_type *element = parse_type(cli, doc, payload, depth + 1);
		return element != NULL ? made(sats_array_of(&cli->arena, element)) : NULL;
	}
	if (str_eq(tag, STR("Ref")))
		return parse_u32(doc, payload, &index) ? made(sats_ref_to(&cli->arena, index)) : fail_type(cli,
			"bad reference");
	for (int i = SATS_STRING; i < SATS_TAG_COUNT; i++)
		if (str_eq(tag, str_of(sats_tag_name((enum sats_tag)i))))
			return &sats_primitive[i];
	return fail_type(cli, "unknown type");
}

const struct sats_type *cli_type_parse(struct cli *cli, const struct native_json *doc, uint32_t node)
{
	return parse_type(cli, doc, node, 0);
}

const struct sats_type *cli_product_parse(struct cli *cli, const struct native_json *doc, uint32_t node)
{
	return parse_product(cli, doc, node, 0);
}

/* ---- modules ---- */

struct loading {
	struct cli *cli;
	struct cli_schema *schema;
	uint32_t function_cap, table_cap, modules;
};
struct module_part { /* one module's sections */
	uint32_t typespace, tables, reducers, procedures, views, lifecycles, names, submodules;
	const char *prefix; /* "ns." or "" */
	struct sats_typespace *space;
};

static void *grow(struct cli *cli, void *old, uint32_t count, uint32_t *cap, size_t size)
{
	if (count < *cap)
		return old;
	*cap = *cap > 0 ? 2 * *cap : 64;
	void *more = cli_alloc(cli, *cap * size);
	if (count > 0)
		memcpy(more, old, count * size);
	return more;
}

static bool load_typespace(struct loading *l, struct module_part *part)
{
	const struct native_json *doc = &l->schema->doc;
	uint32_t count, types = part->typespace != 0 ? cli_json_member(doc, part->typespace, "types") : 0;
	part->space = cli_alloc(l->cli, sizeof(*part->space));
	if (types == 0)
		return true;
	uint32_t at = cli_json_items(doc, types, &count);
	part->space->types = cli_alloc(l->cli, ((size_t)count + 1) * sizeof(*part->space->types));
	for (uint32_t i = 0; i < count; i++) {
		part->space->types[i] = parse_type(l->cli, doc, at, 0);
		if (part->space->types[i] == NULL)
			return false;
		at = doc->nodes[at].next;
	}
	part->space->count = count;
	return true;
}

/* The canonical name of a source name: ExplicitNames says, otherwise it is the source name in snake case. */
static struct str canonical(struct loading *l, const struct module_part *part, const char *kind, struct str source)
{
	const struct native_json *doc = &l->schema->doc;
	uint32_t count, entries = part->names != 0 ? cli_json_member(doc, part->names, "entries") : 0;
	uint32_t at = entries != 0 ? cli_json_items(doc, entries, &count) : 0;
	struct str name = source;
	bool found = l->schema->version == 9;
	for (uint32_t i = 0; at != 0 && !found && i < count; i++, at = doc->nodes[at].next) {
		uint32_t entry = cli_json_member(doc, at, kind);
		if (entry == 0 || !str_eq(cli_json_member_str(doc, entry, "source_name"), source))
			continue;
		struct str explicit = cli_json_member_str(doc, entry, "canonical_name");
		found = explicit.data != NULL;
		name = found ? explicit : source;
	}
	if (!found) {
		size_t cap = 4 * source.len + 16;
		char *snake = cli_alloc(l->cli, cap);
		name = (struct str){ snake, native_case_convert(NATIVE_CASE_SNAKE, source.data, source.len, snake, cap) };
	}
	return str_of(cli_text(l->cli, "%s%.*s", part->prefix, STR_FMT(name)));
}

static struct str name_at(const struct loading *l, uint32_t node)
{
	return cli_json_member_str(&l->schema->doc, node, l->schema->version == 9 ? "name" : "source_name");
}

static bool is_lifecycle(const struct loading *l, const struct module_part *part, uint32_t node, struct str source,
	struct str name)
{
	const struct native_json *doc = &l->schema->doc;
	uint32_t v9 = cli_json_member(doc, node, "lifecycle"), count;
	if (v9 != 0)
		return cli_json_member(doc, v9, "some") != 0;
	uint32_t at = part->lifecycles != 0 ? cli_json_items(doc, part->lifecycles, &count) : 0;
	size_t prefix = strlen(part->prefix);
	struct str local = { name.data + prefix, name.len - prefix };
	for (uint32_t i = 0; at != 0 && i < count; i++, at = doc->nodes[at].next) {
		struct str function = cli_json_member_str(doc, at, "function_name");
		if (function.data != NULL && (str_eq(function, source) || str_eq(function, local)))
			return true;
	}
	return false;
}

static bool load_functions(struct loading *l, const struct module_part *part, uint32_t node, bool procedures)
{
	const struct native_json *doc = &l->schema->doc;
	uint32_t count, at = node != 0 ? cli_json_items(doc, node, &count) : 0;
	for (uint32_t i = 0; at != 0 && i < count; i++, at = doc->nodes[at].next) {
		struct str source = name_at(l, at);
		uint32_t params = cli_json_member(doc, at, "params");
		if (source.data == NULL || params == 0)
			return cli_fail(l->cli, "malformed function in the schema");
		l->schema->functions = grow(l->cli, l->schema->functions, l->schema->function_count, &l->function_cap,
			sizeof(*l->schema->functions));
		struct cli_function *f = &l->schema->functions[l->schema->function_count++];
		f->name = canonical(l, part, "Function", source);
		f->params = parse_product(l->cli, doc, params, 0);
		f->space = part->space;
		f->node = at;
		f->procedure = procedures;
		f->lifecycle = !procedures && is_lifecycle(l, part, at, source, f->name);
		if (f->params == NULL)
			return false;
	}
	return true;
}

/* The rows of a view: what an array, an option or a query is of. */
static const struct sats_type *row_of_view(const struct sats_typespace *space, const struct sats_type *type)
{
	type = sats_follow(space, type);
	if (type != NULL && type->tag == SATS_ARRAY)
		type = sats_follow(space, type->element);
	else if (type != NULL && (type->special == SATS_OPTION || type->special == SATS_QUERY_VIEW))
		type = sats_follow(space, type->elements[0].type);
	return type != NULL && type->tag == SATS_PRODUCT ? type : NULL;
}

static bool load_tables(struct loading *l, const struct module_part *part, uint32_t node, bool views)
{
	const struct native_json *doc = &l->schema->doc;
	uint32_t count, index, at = node != 0 ? cli_json_items(doc, node, &count) : 0;
	for (uint32_t i = 0; at != 0 && i < count; i++, at = doc->nodes[at].next) {
		struct str source = name_at(l, at);
		uint32_t type = cli_json_member(doc, at, views ? "return_type" : "product_type_ref");
		if (source.data == NULL || type == 0)
			return cli_fail(l->cli, "malformed table in the schema");
		l->schema->tables = grow(l->cli, l->schema->tables, l->schema->table_count, &l->table_cap,
			sizeof(*l->schema->tables));
		struct cli_table *t = &l->schema->tables[l->schema->table_count++];
		t->name = canonical(l, part, views ? "Function" : "Table", source);
		t->space = part->space;
		t->node = at;
		t->view = views;
		if (views) {
			const struct sats_type *returns = parse_type(l->cli, doc, type, 0);
			if (returns == NULL)
				return false;
			t->row = row_of_view(part->space, returns);
		} else if (parse_u32(doc, type, &index) && index < part->space->count) {
			const struct sats_type *row = sats_follow(part->space, part->space->types[index]);
			t->row = row != NULL && row->tag == SATS_PRODUCT ? row : NULL;
		}
	}
	return true;
}

static bool load_module(struct loading *l, uint32_t node, const char *prefix, uint32_t depth);

static bool load_submodules(struct loading *l, const struct module_part *part, uint32_t depth)
{
	const struct native_json *doc = &l->schema->doc;
	uint32_t count, at = part->submodules != 0 ? cli_json_items(doc, part->submodules, &count) : 0;
	for (uint32_t i = 0; at != 0 && i < count; i++, at = doc->nodes[at].next) {
		struct str namespace = cli_json_member_str(doc, at, "namespace");
		uint32_t module = cli_json_member(doc, at, "module");
		if (namespace.data == NULL || module == 0)
			return cli_fail(l->cli, "malformed submodule in the schema");
		struct str name = canonical(l, part, "Namespace", namespace);
		if (!load_module(l, module, cli_text(l->cli, "%.*s.", STR_FMT(name)), depth + 1))
			return false;
	}
	return true;
}

static bool load_part(struct loading *l, struct module_part *part, uint32_t depth)
{
	return load_typespace(l, part)
		&& load_tables(l, part, part->tables, false) && load_tables(l, part, part->views, true)
		&& load_functions(l, part, part->reducers, false) && load_functions(l, part, part->procedures, true)
		&& load_submodules(l, part, depth);
}

/* {"sections":[{"Name":…}, …]} */
static bool load_module(struct loading *l, uint32_t node, const char *prefix, uint32_t depth)
{
	const struct native_json *doc = &l->schema->doc;
	struct module_part part = { .prefix = prefix };
	const struct {
		const char *name;
		uint32_t *slot;
	} sections[] = { { "Typespace", &part.typespace }, { "Tables", &part.tables }, { "Reducers", &part.reducers },
		{ "Procedures", &part.procedures }, { "Views", &part.views }, { "LifeCycleReducers", &part.lifecycles },
		{ "ExplicitNames", &part.names }, { "Submodules", &part.submodules } };
	uint32_t count, list = cli_json_member(doc, node, "sections");
	if (list == 0 || depth > CLI_SCHEMA_DEPTH_MAX || ++l->modules > CLI_SCHEMA_MODULES_MAX)
		return cli_fail(l->cli, "malformed schema");
	uint32_t at = cli_json_items(doc, list, &count);
	for (uint32_t i = 0; i < count; i++, at = doc->nodes[at].next)
		for (size_t k = 0; k < ARRAY_COUNT(sections); k++) {
			uint32_t payload = cli_json_member(doc, at, sections[k].name);
			*sections[k].slot = payload != 0 ? payload : *sections[k].slot;
		}
	return load_part(l, &part, depth);
}

/* Version 9: one object; procedures and views stand among the miscellaneous exports. */
static bool load_v9(struct loading *l)
{
	const struct native_json *doc = &l->schema->doc;
	struct module_part part = { .prefix = "", .typespace = cli_json_member(doc, 0, "typespace"),
		.tables = cli_json_member(doc, 0, "tables"), .reducers = cli_json_member(doc, 0, "reducers") };
	uint32_t count, misc = cli_json_member(doc, 0, "misc_exports");
	uint32_t at = misc != 0 ? cli_json_items(doc, misc, &count) : 0;
	if (part.typespace == 0 || !load_part(l, &part, 0))
		return part.typespace != 0 ? false : cli_fail(l->cli, "malformed schema");
	for (uint32_t i = 0; at != 0 && i < count; i++, at = doc->nodes[at].next) {
		uint32_t procedure = cli_json_member(doc, at, "Procedure"), params;
		struct str name = procedure != 0 ? cli_json_member_str(doc, procedure, "name") : (struct str){ NULL, 0 };
		if (name.data == NULL || (params = cli_json_member(doc, procedure, "params")) == 0)
			continue;
		l->schema->functions = grow(l->cli, l->schema->functions, l->schema->function_count, &l->function_cap,
			sizeof(*l->schema->functions));
		struct cli_function *f = &l->schema->functions[l->schema->function_count++];
		*f = (struct cli_function){ .name = str_of(cli_keep(l->cli, name)), .space = part.space, .node = procedure,
			.procedure = true, .params = parse_product(l->cli, doc, params, 0) };
		if (f->params == NULL)
			return false;
	}
	return true;
}

bool cli_schema_parse(struct cli *cli, struct str json, int version, struct cli_schema *out)
{
	char why[512];
	struct loading l = { .cli = cli, .schema = out };
	*out = (struct cli_schema){ .version = version };
	if (native_json_parse(json.data, json.len, &out->doc, why, sizeof(why)) != 0)
		return cli_fail(cli, "malformed schema: %s", why);
	bool ok = version == 9 ? load_v9(&l) : load_module(&l, 0, "", 0);
	if (!ok)
		cli_schema_deinit(out);
	return ok;
}

bool cli_schema_fetch(struct cli *cli, const struct cli_target *target, struct cli_schema *out)
{
	int version = 10;
	for (;;) {
		struct cli_reply reply;
		struct cli_request request = { .method = "GET", .token = target->token,
			.url = cli_target_url(cli, target, version == 10 ? "schema?version=10" : "schema?version=9") };
		if (!cli_http(cli, &request, &reply))
			return false;
		if (version == 10 && reply.status >= 400 && reply.status < 500) {
			version = 9; /* a host from before version 10 */
			cli_reply_deinit(&reply);
			continue;
		}
		bool ok = (cli_reply_good(&reply) || cli_fail_reply(cli, &reply)) && cli_reply_is_json(cli, &reply)
			&& cli_schema_parse(cli, buf_str(&reply.body), version, out);
		cli_reply_deinit(&reply);
		return ok;
	}
}

void cli_schema_deinit(struct cli_schema *schema)
{
	native_json_free(&schema->doc);
}

const struct cli_function *cli_schema_function(const struct cli_schema *schema, struct str name)
{
	for (int procedures = 0; procedures < 2; procedures++)
		for (uint32_t i = 0; i < schema->function_count; i++)
			if (schema->functions[i].procedure == (procedures == 1) && str_eq(schema->functions[i].name, name))
				return &schema->functions[i];
	return NULL;
}

const struct cli_table *cli_schema_table(const struct cli_schema *schema, struct str name)
{
	for (uint32_t i = 0; i < schema->table_count; i++)
		if (str_eq(schema->tables[i].name, name))
			return &schema->tables[i];
	return NULL;
}
