/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From validated levels to the flat info: names get their namespace, lists
 * of all levels are joined depth first (the module's own entries, then each
 * submodule's, which is how call ids count), tables are sorted. The levels
 * keep their own names, for the schema documents.
 */
#include "module/module_internal.h"

#include <stdlib.h>

struct counts {
	uint32_t parts, tables, reducers, procedures, views;
};
struct builder {
	struct context *c;
	struct counts filled;
	uint32_t anonymous_views, sender_views; /* ids given out */
	struct module_part *parts;
	struct module_table *tables;
	struct module_function *reducers, *procedures;
	struct module_view *views;
	bool has_outbox;
};

static void count_part(const struct part *part, struct counts *counts)
{
	counts->parts++;
	counts->tables += part->table_count;
	counts->reducers += part->reducer_count;
	counts->procedures += part->procedure_count;
	counts->views += part->view_count;
	for (uint32_t i = 0; i < part->child_count; i++)
		count_part(part->children[i], counts);
}

static struct str join(struct builder *b, struct str path, struct str name)
{
	if (path.len == 0 || name.data == NULL)
		return name;
	char *out = context_array(b->c, b->c->arena, path.len + 1 + name.len, 1);
	if (out == NULL)
		return name;
	memcpy(out, path.data, path.len);
	out[path.len] = '.';
	if (name.len > 0)
		memcpy(out + path.len + 1, name.data, name.len);
	return (struct str){ out, path.len + 1 + name.len };
}

static void qualify_table(struct builder *b, const struct part *part, struct module_table *table)
{
	struct arena *arena = b->c->arena;
	struct module_index *indexes = context_array(b->c, arena, table->index_count, sizeof(*indexes));
	struct module_constraint *constraints = context_array(b->c, arena, table->constraint_count, sizeof(*constraints));
	struct module_sequence *sequences = context_array(b->c, arena, table->sequence_count, sizeof(*sequences));
	struct module_schedule *schedule = context_array(b->c, arena, 1, sizeof(*schedule));
	struct module_outbox *outbox = context_array(b->c, arena, 1, sizeof(*outbox));
	if (b->c->faults->err != WL_OK)
		return;
	table->name = join(b, part->path, table->name);
	table->accessor = join(b, part->accessor_path, table->accessor);
	for (uint32_t i = 0; i < table->index_count; i++) {
		indexes[i] = table->indexes[i];
		indexes[i].name = join(b, part->path, indexes[i].name);
		indexes[i].source = join(b, part->accessor_path, indexes[i].source);
	}
	for (uint32_t i = 0; i < table->constraint_count; i++) {
		constraints[i] = table->constraints[i];
		constraints[i].name = join(b, part->path, constraints[i].name);
	}
	for (uint32_t i = 0; i < table->sequence_count; i++) {
		sequences[i] = table->sequences[i];
		sequences[i].name = join(b, part->path, sequences[i].name);
	}
	table->indexes = indexes;
	table->constraints = constraints;
	table->sequences = sequences;
	if (table->schedule != NULL) {
		*schedule = *table->schedule;
		schedule->name = join(b, part->path, schedule->name);
		schedule->function = join(b, part->path, schedule->function);
		table->schedule = schedule;
	}
	if (table->outbox != NULL) {
		*outbox = *table->outbox;
		outbox->on_result = join(b, part->path, outbox->on_result);
		table->outbox = outbox;
	}
}

static void add_functions(struct builder *b, const struct part *part, const struct module_function *from,
	uint32_t count,
	struct module_function *to, uint32_t index)
{
	for (uint32_t i = 0; i < count; i++) {
		to[i] = from[i];
		to[i].part = index;
		to[i].name = join(b, part->path, from[i].name);
		to[i].accessor = join(b, part->accessor_path, from[i].accessor);
	}
}

static void add_views(struct builder *b, const struct part *part, uint32_t index)
{
	uint32_t anonymous = 0, sender = 0;
	for (uint32_t i = 0; i < part->view_count; i++) {
		struct module_view *view = &b->views[b->filled.views++];
		*view = part->views[i];
		view->part = index;
		view->name = join(b, part->path, view->name);
		view->accessor = join(b, part->accessor_path, view->accessor);
		view->index += view->is_anonymous ? b->anonymous_views : b->sender_views;
		anonymous += view->is_anonymous;
		sender += !view->is_anonymous;
	}
	b->anonymous_views += anonymous;
	b->sender_views += sender;
}

/* Depth is bounded by the decoder. */
static void add_part(struct builder *b, struct part *part)
{
	uint32_t index = b->filled.parts++;
	b->parts[index] = (struct module_part){
		.path = part->path, .accessor = part->accessor_path, .typespace = &part->typespace,
		.type_count = part->type_count, .types = part->types,
	};
	b->has_outbox |= part->has_outbox;
	for (uint32_t i = 0; i < part->table_count && b->c->faults->err == WL_OK; i++) {
		struct module_table *table = &b->tables[b->filled.tables++];
		*table = part->tables[i];
		table->part = index;
		if (index > 0)
			qualify_table(b, part, table);
	}
	add_functions(b, part, part->reducers, part->reducer_count, b->reducers + b->filled.reducers, index);
	b->filled.reducers += part->reducer_count;
	add_functions(b, part, part->procedures, part->procedure_count, b->procedures + b->filled.procedures, index);
	b->filled.procedures += part->procedure_count;
	add_views(b, part, index);
	for (uint32_t i = 0; i < part->child_count && b->c->faults->err == WL_OK; i++) {
		struct part *child = part->children[i];
		child->path = join(b, part->path, child->namespace);
		child->accessor_path = join(b, part->accessor_path, child->namespace_accessor);
		add_part(b, child);
	}
}

static int table_order(const void *a, const void *b)
{
	return str_order(((const struct module_table *)a)->name, ((const struct module_table *)b)->name);
}

bool build_info(struct context *c, struct module_def *def, uint32_t version)
{
	struct part *root = def->root;
	struct counts counts = { 0 };
	count_part(root, &counts);
	struct builder b = {
		.c = c,
		.parts = context_array(c, c->arena, counts.parts, sizeof(*b.parts)),
		.tables = context_array(c, c->arena, counts.tables, sizeof(*b.tables)),
		.reducers = context_array(c, c->arena, counts.reducers, sizeof(*b.reducers)),
		.procedures = context_array(c, c->arena, counts.procedures, sizeof(*b.procedures)),
		.views = context_array(c, c->arena, counts.views, sizeof(*b.views)),
	};
	if (c->faults->err != WL_OK)
		return false;
	root->path = root->accessor_path = STR("");
	add_part(&b, root);
	if (c->faults->err != WL_OK)
		return false;
	if (counts.tables > 0)
		qsort(b.tables, counts.tables, sizeof(*b.tables), table_order);
	def->info = (struct module_info){
		.version = version, .typespace = &root->typespace,
		.table_count = counts.tables, .tables = b.tables,
		.reducer_count = counts.reducers, .reducers = b.reducers,
		.procedure_count = counts.procedures, .procedures = b.procedures,
		.view_count = counts.views, .views = b.views,
		.rls_count = root->rls_count, .rls = root->rls,
		.route_count = root->route_count, .routes = root->routes,
		.handler_count = root->handler_count, .handlers = root->handlers,
		.part_count = counts.parts, .parts = b.parts,
		.has_environment = root->has_environment, .environment_count = root->env_count, .environment = root->env,
		.unsupported = b.has_outbox ? STR("outboxes") : STR(""),
	};
	memcpy(def->info.lifecycle, root->lifecycle, sizeof(def->info.lifecycle));
	return true;
}
