/* SPDX-License-Identifier: Apache-2.0 */
/* Names to tables and columns, values to bytes: from a statement to a query. */
#include "query/extended_internal.h"

enum wl_err no_memory(struct buf *error)
{
	buf_put_cstr(error, "not enough memory for the query");
	return WL_ERR_MEMORY;
}

/* ---- tables ---- */

bool query_is_guarded(struct store *store, const struct store_table *table)
{
	struct store_cursor cursor;
	uint8_t key[4];
	struct store_row row;
	struct store_index *index = store_index_by_name(store, STR("st_row_level_security_table_id_idx_btree"));
	store_u32(key, store_table_def(table)->id);
	return index != NULL && store_scan_point(index, key, sizeof(key), &cursor) == STORE_OK &&
		store_cursor_next(&cursor, &row);
}

bool query_may_read(struct store *store, const struct store_table *table, const struct query_caller *caller)
{
	(void)store;
	return caller->is_owner || store_table_def(table)->is_public;
}

struct store_table *query_find_table(struct store *store, struct str name, const struct query_caller *caller,
	struct buf *error)
{
	struct store_table *table = store_table_by_name(store, name);
	if (table != NULL && query_may_read(store, table, caller))
		return table;
	buf_printf(error, "no such table: `%.*s`. If the table exists, it may be marked private.", STR_FMT(name));
	return NULL;
}

/* ---- FROM and WHERE ---- */

/* Something that is called and is no table at all might be a function: none is known here. */
static struct store_table *find_relation(struct binder *binder, const struct relvar *relvar)
{
	if (relvar->argument_count == 0 || store_table_by_name(binder->store, relvar->table) != NULL)
		return query_find_table(binder->store, relvar->table, binder->caller, binder->error);
	buf_printf(binder->error, "Unsupported FROM expression: %.*s", STR_FMT(str_cut(relvar->call, 1024)));
	return NULL;
}

struct conjuncts {
	struct binder *binder;
	uint32_t count, cap;
	const struct node **nodes;
};

static bool add_conjunct(struct conjuncts *list, const struct node *node)
{
	while (node->kind == NODE_AND) { /* deep on the left: a chain of AND */
		if (!add_conjunct(list, node->right))
			return false;
		node = node->left;
	}
	if (node->kind == NODE_TRUE)
		return true;
	if (list->count == list->cap) {
		uint32_t cap = list->cap == 0 ? 8 : list->cap * 2;
		const struct node **grown = arena_array(list->binder->syntax, cap, sizeof(*grown));
		if (grown == NULL)
			return false;
		if (list->count > 0)
			memcpy(grown, list->nodes, list->count * sizeof(*grown));
		list->nodes = grown;
		list->cap = cap;
	}
	list->nodes[list->count++] = node;
	return true;
}

enum wl_err bind_relation(struct binder *binder, const struct statement *s, const struct relvar *relvar,
	struct block *block, const struct guard *guard, struct scope *scope, int32_t self)
{
	struct store_table *table = find_relation(binder, relvar);
	enum wl_err err = table == NULL ? WL_ERR_INVALID : bind_arguments(binder, s, relvar, table);
	if (err != WL_OK)
		return err;
	for (uint16_t i = 0; i < scope->count; i++)
		if (str_eq(scope->names[i], relvar->alias)) {
			buf_printf(binder->error, "Duplicate name `%.*s`", STR_FMT(relvar->alias));
			return WL_ERR_INVALID;
		}
	scope->names[scope->count] = relvar->alias;
	if (self >= 0) {
		scope->relations[scope->count++] = (uint16_t)self;
		return WL_OK;
	}
	if (block->relation_count >= QUERY_RELATIONS_MAX) {
		buf_printf(binder->error, "a query may join at most %d tables, those of row-level rules included",
			QUERY_RELATIONS_MAX);
		return WL_ERR_LIMIT;
	}
	struct str alias = arena_str(&binder->query->arena, relvar->alias);
	if (alias.data == NULL && relvar->alias.len > 0)
		return no_memory(binder->error);
	scope->relations[scope->count++] = block->relation_count;
	block->relations[block->relation_count++] = (struct relation){ .table = table, .layout = store_table_layout(table),
		.alias = alias, .guard = guard, .is_open = guard != NULL && guard->table == table };
	return WL_OK;
}

/* Which relvar's rows a rule returns: by position, -1: none. */
static int returned_relvar(const struct statement *s)
{
	for (uint32_t i = 0; i <= s->join_count; i++) {
		const struct relvar *relvar = i == 0 ? &s->from : &s->joins[i - 1].relvar;
		if (s->projection == PROJECT_ALL ? i == 0 : str_eq(relvar->alias, s->projected_table))
			return (int)i;
	}
	return -1;
}

static enum wl_err bind_relvars(struct binder *binder, const struct statement *s, struct block *block, int32_t self,
	const struct guard *guard, struct scope *scope, struct conjuncts *where)
{
	int returned = self >= 0 ? returned_relvar(s) : -1;
	enum wl_err err = bind_relation(binder, s, &s->from, block, guard, scope, returned == 0 ? self : -1);
	for (uint32_t i = 0; err == WL_OK && i < s->join_count; i++) {
		const struct join *join = &s->joins[i];
		err = bind_relation(binder, s, &join->relvar, block, guard, scope, returned == (int)i + 1 ? self : -1);
		if (err != WL_OK || join->on_left == NULL)
			continue;
		const struct expr on = { .kind = EXPR_COMPARE, .op = OP_EQ, .left = join->on_left, .right = join->on_right };
		const struct node *node = query_type_condition(binder, scope, &on);
		if (node == NULL)
			return WL_ERR_INVALID;
		bool joins = node->kind != NODE_COMPARE_COLUMNS || node->relation != node->relation2;
		if (!joins && (binder->dialect == QUERY_DIALECT_SUBSCRIBE || guard != NULL)) {
			buf_put_cstr(binder->error, "Could not compute positional arguments during query planning");
			return WL_ERR_INVALID;
		}
		if (!add_conjunct(where, node))
			return no_memory(binder->error);
	}
	return err;
}

enum wl_err bind_begin(struct binder *binder, struct block *block, uint32_t more, struct scope *scope)
{
	*scope = (struct scope){ .relations = arena_array(binder->syntax, more, sizeof(uint16_t)),
		.names = arena_array(binder->syntax, more, sizeof(struct str)), .block = block };
	uint32_t room = block->relation_count + (more < QUERY_RELATIONS_MAX ? more : QUERY_RELATIONS_MAX);
	struct relation *relations = arena_array(&binder->query->arena, room, sizeof(*relations));
	if (scope->relations == NULL || scope->names == NULL || relations == NULL)
		return no_memory(binder->error);
	if (block->relation_count > 0)
		memcpy(relations, block->relations, block->relation_count * sizeof(*relations));
	block->relations = relations;
	return WL_OK;
}

enum wl_err bind_block(struct binder *binder, const struct statement *s, struct block *block, int32_t self,
	const struct guard *guard, struct scope *scope)
{
	struct arena *arena = &binder->query->arena;
	enum wl_err err = bind_begin(binder, block, s->join_count + 1, scope);
	if (err != WL_OK)
		return err;
	struct conjuncts where = { .binder = binder };
	err = bind_relvars(binder, s, block, self, guard, scope, &where);
	if (err == WL_OK && s->where != NULL) {
		const struct node *node = query_type_condition(binder, scope, s->where);
		if (node == NULL)
			return WL_ERR_INVALID;
		if (!add_conjunct(&where, node))
			return no_memory(binder->error);
	}
	for (uint16_t i = 0; err == WL_OK && i < scope->count; i++) {
		uint16_t relation = scope->relations[i];
		if (relation == self || !store_table_def(block->relations[relation].table)->is_ephemeral)
			continue;
		const struct node *node = bind_view(binder, block, relation);
		if (node == NULL || !add_conjunct(&where, node))
			return no_memory(binder->error);
	}
	if (err != WL_OK || where.count == 0)
		return err;
	const struct node **all = arena_array(arena, block->where_count + where.count, sizeof(*all));
	if (all == NULL)
		return no_memory(binder->error);
	if (block->where_count > 0)
		memcpy(all, block->where, block->where_count * sizeof(*all));
	memcpy(all + block->where_count, where.nodes, where.count * sizeof(*all));
	block->where = all;
	block->where_count += where.count;
	return WL_OK;
}

/* ---- the select list ---- */

static enum wl_err bind_items(struct binder *binder, const struct statement *s, const struct scope *scope)
{
	struct query *query = binder->query;
	query->column_count = s->item_count;
	query->columns = arena_array(&query->arena, s->item_count, sizeof(*query->columns));
	query->outputs = arena_array(&query->arena, s->item_count, sizeof(*query->outputs));
	if (query->columns == NULL || query->outputs == NULL)
		return no_memory(binder->error);
	for (uint32_t i = 0; i < s->item_count; i++) {
		const struct expr *column = s->items[i].column;
		struct output *out = &query->outputs[i];
		if (!scope_find(binder, scope, column, &out->relation, &out->column))
			return WL_ERR_INVALID;
		const struct relation *relation = &scope->block->relations[out->relation];
		struct str name = s->items[i].alias.data != NULL ? s->items[i].alias : column->name;
		query->columns[i] = (struct query_column){ arena_str(&query->arena, name),
			store_table_def(relation->table)->columns[out->column].type };
		for (uint32_t j = 0; j < i; j++)
			if (str_eq(query->columns[j].name, name)) {
				buf_printf(binder->error, "Duplicate name `%.*s`", STR_FMT(name));
				return WL_ERR_INVALID;
			}
	}
	return WL_OK;
}

static enum wl_err bind_whole(struct binder *binder, const struct relation *relation)
{
	struct query *query = binder->query;
	const struct store_table_def *def = store_table_def(relation->table);
	uint32_t first = def->is_ephemeral ? 1 : 0; /* a view's hash is nobody's business */
	query->hidden = first * 32;
	query->column_count = def->column_count - first;
	query->columns = arena_array(&query->arena, query->column_count, sizeof(*query->columns));
	query->row_type = first == 0 ? def->row_type
		: sats_product_of(&query->arena, def->row_type->elements + 1, query->column_count);
	if ((query->columns == NULL && query->column_count > 0) || query->row_type == NULL)
		return no_memory(binder->error);
	for (uint32_t i = 0; i < query->column_count; i++)
		query->columns[i] = (struct query_column){ def->columns[first + i].name, def->columns[first + i].type };
	return WL_OK;
}

static enum wl_err bind_count(struct binder *binder, const struct statement *s)
{
	struct query *query = binder->query;
	query->is_count = true;
	query->column_count = 1;
	query->columns = arena_array(&query->arena, 1, sizeof(*query->columns));
	if (query->columns == NULL)
		return no_memory(binder->error);
	query->columns[0] = (struct query_column){ arena_str(&query->arena, s->count_alias), &sats_primitive[SATS_U64] };
	return WL_OK;
}

static enum wl_err bind_projection(struct binder *binder, const struct statement *s,
	const struct scope *scope, struct block *block)
{
	enum wl_err err = WL_OK;
	switch (s->projection) {
	case PROJECT_TABLE:
		for (uint16_t i = 0; i < scope->count; i++)
			if (str_eq(scope->names[i], s->projected_table)) {
				block->returned = scope->relations[i];
				return bind_whole(binder, &block->relations[block->returned]);
			}
		buf_printf(binder->error, "`%.*s` is not in scope", STR_FMT(s->projected_table));
		return WL_ERR_INVALID;
	case PROJECT_ALL:
		if (s->join_count == 0)
			return bind_whole(binder, &block->relations[0]);
		buf_put_cstr(binder->error, "SELECT * is not supported for joins");
		return WL_ERR_INVALID;
	case PROJECT_COUNT:
		err = bind_count(binder, s);
		break;
	case PROJECT_COLUMNS:
		err = bind_items(binder, s, scope);
		break;
	}
	if (err != WL_OK || binder->dialect == QUERY_DIALECT_SQL)
		return err;
	buf_put_cstr(binder->error, "Column projections are not supported in subscriptions; Subscriptions must return a "
		"table type");
	return WL_ERR_INVALID;
}

enum wl_err bind_number(struct binder *binder, struct str text, uint64_t *out)
{
	struct expr number = { .kind = EXPR_LITERAL, .literal = LITERAL_NUMBER, .name = text };
	struct bytes value;
	if (!query_literal(binder, &number, &sats_primitive[SATS_U64], &value))
		return WL_ERR_INVALID;
	*out = load_u64(value.data);
	return WL_OK;
}

static enum wl_err bind_limit(struct binder *binder, const struct statement *s)
{
	binder->query->limit = UINT64_MAX;
	return s->has_limit ? bind_number(binder, s->limit, &binder->query->limit) : WL_OK;
}

/* ---- joins name all their columns in full ---- */

bool expr_is_qualified(const struct expr *e)
{
	for (; e != NULL; e = e->left) {
		if (e->kind == EXPR_COLUMN && e->table.data == NULL)
			return false;
		if (e->right != NULL && !expr_is_qualified(e->right))
			return false;
		for (uint32_t i = 0; i < e->item_count; i++)
			if (!expr_is_qualified(e->items[i]))
				return false;
	}
	return true;
}

static bool all_qualified(const struct statement *s)
{
	bool ok = s->where == NULL || expr_is_qualified(s->where);
	for (uint32_t i = 0; ok && i < s->join_count; i++)
		ok = expr_is_qualified(s->joins[i].on_left) && expr_is_qualified(s->joins[i].on_right);
	for (uint32_t i = 0; ok && i < s->item_count; i++)
		ok = expr_is_qualified(s->items[i].column);
	return ok;
}

static enum wl_err bind_select(struct binder *binder, const struct statement *s)
{
	struct block block = { 0 };
	struct scope scope;
	if (s->join_count > 0 && !all_qualified(s)) {
		buf_put_cstr(binder->error, "Names must be qualified when using joins");
		return WL_ERR_INVALID;
	}
	enum wl_err err = bind_block(binder, s, &block, -1, NULL, &scope);
	if (err == WL_OK)
		err = bind_projection(binder, s, &scope, &block);
	if (err == WL_OK)
		err = bind_limit(binder, s);
	if (err == WL_OK)
		err = rules_expand(binder, &block);
	return err;
}

/* ---- DML ---- */

static const struct store_table_def *target_def(const struct binder *binder)
{
	return store_table_def(binder->query->blocks[0].relations[0].table);
}

/* Section 3.2: stricter than in conditions. */
static bool write_literal(struct binder *binder, const struct expr *e, const struct sats_type *type,
	struct bytes *out)
{
	struct buf *error = binder->error;
	bool is_string = e->literal == LITERAL_STRING;
	bool scalar = type->tag >= SATS_STRING || sats_is_bytes(type) || type->special == SATS_IDENTITY ||
		type->special == SATS_CONNECTION_ID || type->special == SATS_UUID;
	if (is_string && type->tag != SATS_STRING) {
		buf_put_cstr(error, "Unexpected type: (expected) String != ");
		sats_type_pretty(error, type);
		buf_put_cstr(error, " (inferred)");
		return false;
	}
	if (!scalar && e->literal != LITERAL_TRUE && e->literal != LITERAL_FALSE) {
		buf_printf(error, "The literal expression `%.*s` cannot be parsed as type `", STR_FMT(e->name));
		sats_type_pretty(error, type);
		buf_put_cstr(error, "`");
		return false;
	}
	return query_literal(binder, e, type, out);
}

static enum wl_err bind_row(struct binder *binder, struct expr *const *values, struct bytes *out)
{
	const struct store_table_def *def = target_def(binder);
	struct buf row = BUF_INIT(QUERY_TEXT_MAX * 4);
	for (uint32_t i = 0; i < def->column_count; i++) {
		struct bytes value;
		if (!write_literal(binder, values[i], def->columns[i].type, &value)) {
			buf_deinit(&row);
			return WL_ERR_INVALID;
		}
		buf_put(&row, value.data, value.len);
	}
	const uint8_t *copy = arena_copy(&binder->query->arena, row.data, row.len);
	*out = (struct bytes){ copy, row.len };
	bool failed = row.failed || copy == NULL;
	buf_deinit(&row);
	return failed ? WL_ERR_MEMORY : WL_OK;
}

static enum wl_err bind_insert(struct binder *binder, const struct statement *s)
{
	struct query *query = binder->query;
	const struct store_table_def *def = target_def(binder);
	if (s->column_count != def->column_count) {
		buf_printf(binder->error, "The number of fields (%u) in the INSERT does not match the number of columns (%u) "
			"of the table `%.*s`", s->column_count, def->column_count, STR_FMT(def->name));
		return WL_ERR_INVALID;
	}
	if (s->value_count != def->column_count || s->odd_count > 0) {
		buf_printf(binder->error, "Inserting a row with %u values into `%.*s` which has %u fields",
			s->value_count != def->column_count ? s->value_count : s->odd_count, STR_FMT(def->name), def->column_count);
		return WL_ERR_INVALID;
	}
	query->row_count = s->row_count;
	query->rows = arena_array(&query->arena, s->row_count, sizeof(*query->rows));
	if (query->rows == NULL)
		return no_memory(binder->error);
	for (uint32_t i = 0; i < s->row_count; i++) {
		enum wl_err err = bind_row(binder, s->values + (size_t)i * s->value_count, &query->rows[i]);
		if (err != WL_OK)
			return err;
	}
	return WL_OK;
}

/* What can be NULL fits an Option, and nothing else does. */
static enum wl_err bind_set_expression(struct binder *binder, const struct scope *scope, struct expr *value,
	struct set_column *set)
{
	struct compiler c = { .binder = binder, .scope = scope };
	const struct sats_type *type = target_def(binder)->columns[set->column].type;
	bool option = type->special == SATS_OPTION;
	set->scalar = scalar_compile(&c, value, option ? type->elements[0].type : type);
	if (set->scalar == NULL)
		return WL_ERR_INVALID;
	set->as_option = option;
	if (set->scalar->is_nullable == option)
		return WL_OK;
	buf_put_cstr(binder->error, option ? "an Option column takes the value of an Option column only"
		: "the value can be NULL, the column cannot; a condition IS NOT NULL does not change that");
	return WL_ERR_INVALID;
}

static enum wl_err bind_update(struct binder *binder, const struct statement *s, const struct scope *scope)
{
	struct query *query = binder->query;
	const struct store_table_def *def = target_def(binder);
	query->set_count = s->assignment_count;
	query->sets = arena_array(&query->arena, s->assignment_count, sizeof(*query->sets));
	if (query->sets == NULL)
		return no_memory(binder->error);
	for (uint32_t i = 0; i < s->assignment_count; i++) {
		const struct assignment *set = &s->assignments[i];
		int column = query_column_find(query->blocks[0].relations[0].table, set->column);
		if (column < 0) {
			buf_printf(binder->error, "`%.*s` does not have a field `%.*s`", STR_FMT(def->name), STR_FMT(set->column));
			return WL_ERR_INVALID;
		}
		query->sets[i].column = (uint16_t)column;
		if (set->value->kind != EXPR_LITERAL) {
			enum wl_err err = bind_set_expression(binder, scope, set->value, &query->sets[i]);
			if (err != WL_OK)
				return err;
			continue;
		}
		if (!write_literal(binder, set->value, def->columns[column].type, &query->sets[i].value))
			return WL_ERR_INVALID;
	}
	return WL_OK;
}

static enum wl_err may_write(struct binder *binder)
{
	const struct store_table_def *def = target_def(binder);
	if (!binder->caller->is_owner) {
		char hex[65];
		identity_to_hex(&binder->caller->identity, hex);
		buf_printf(binder->error, "Caller %s is not authorized to run SQL DML statements", hex);
		return WL_ERR_INVALID;
	}
	if (def->is_system && def->id != ST_VAR) {
		buf_printf(binder->error, "`%.*s` is a system table; it changes only through the host", STR_FMT(def->name));
		return WL_ERR_INVALID;
	}
	return WL_OK;
}

static enum wl_err bind_dml(struct binder *binder, const struct statement *s)
{
	struct query *query = binder->query;
	struct statement from = { .from = { .table = s->table, .alias = s->table } }; /* WHERE comes after the values */
	struct block *block = arena_zalloc(&query->arena, sizeof(*block));
	struct scope scope;
	if (block == NULL)
		return no_memory(binder->error);
	struct store_table *table = query_find_table(binder->store, s->table, binder->caller, binder->error);
	if (table == NULL)
		return WL_ERR_INVALID;
	if (store_table_def(table)->is_ephemeral) {
		struct str name = store_table_def(table)->name;
		buf_printf(binder->error, "`%.*s` is a view; DML on views is not supported", STR_FMT(name));
		return WL_ERR_INVALID;
	}
	if (store_table_def(table)->id == ST_ENV) {
		buf_put_cstr(binder->error, "Database environment variables can only be changed by publishing");
		return WL_ERR_INVALID;
	}
	enum wl_err err = bind_block(binder, &from, block, -1, NULL, &scope);
	if (err != WL_OK)
		return err;
	query->blocks = block;
	query->block_count = 1;
	err = s->kind == QUERY_INSERT ? bind_insert(binder, s)
		: s->kind == QUERY_UPDATE ? bind_update(binder, s, &scope) : WL_OK;
	if (err == WL_OK && s->where != NULL && s->is_extended) {
		err = bind_extended_where(binder, s->where, block, &scope);
	} else if (err == WL_OK && s->where != NULL) {
		from.where = s->where;
		*block = (struct block){ 0 };
		err = bind_block(binder, &from, block, -1, NULL, &scope);
	}
	return err == WL_OK ? may_write(binder) : err;
}

/* ---- system variables: rows of st_var ---- */

enum { VALUE_U64 = 8 }; /* the tag in st_var.value */

static enum wl_err unexpected_number(struct binder *binder, const struct expr *value)
{
	const char *type = value->literal == LITERAL_STRING ? "String"
		: value->literal == LITERAL_HEX ? "Array<U8>" : "Bool";
	buf_printf(binder->error, "Unexpected type: (expected) U64 != %s (inferred)", type);
	return WL_ERR_INVALID;
}

static enum wl_err bind_set(struct binder *binder, const struct statement *s)
{
	struct query *query = binder->query;
	struct bytes number;
	if (s->variable_value->literal != LITERAL_NUMBER)
		return unexpected_number(binder, s->variable_value);
	if (!query_literal(binder, s->variable_value, &sats_primitive[SATS_U64], &number))
		return WL_ERR_INVALID;
	struct buf row = BUF_INIT(64);
	buf_put_bsatn_str(&row, STR("row_limit"));
	buf_put_u8(&row, VALUE_U64);
	buf_put(&row, number.data, number.len);
	query->rows = arena_array(&query->arena, 1, sizeof(*query->rows));
	const uint8_t *copy = row.failed ? NULL : arena_copy(&query->arena, row.data, row.len);
	size_t len = row.len;
	buf_deinit(&row);
	if (query->rows == NULL || copy == NULL)
		return no_memory(binder->error);
	query->rows[0] = (struct bytes){ copy, len };
	query->row_count = 1;
	query->kind = QUERY_INSERT;
	struct statement from = { .from = { .table = STR("st_var"), .alias = STR("st_var") } };
	query->blocks = arena_zalloc(&query->arena, sizeof(*query->blocks));
	struct scope scope;
	if (query->blocks == NULL)
		return no_memory(binder->error);
	query->block_count = 1;
	enum wl_err err = bind_block(binder, &from, query->blocks, -1, NULL, &scope);
	return err == WL_OK ? may_write(binder) : err;
}

static enum wl_err bind_show(struct binder *binder)
{
	struct expr name = { .kind = EXPR_COLUMN, .name = STR("name") };
	struct expr value = { .kind = EXPR_COLUMN, .name = STR("value") };
	struct expr text = { .kind = EXPR_LITERAL, .literal = LITERAL_STRING, .name = STR("row_limit") };
	struct expr where = { .kind = EXPR_COMPARE, .op = OP_EQ, .left = &name, .right = &text };
	struct projection item = { .column = &value };
	struct statement select = { .kind = QUERY_SELECT, .projection = PROJECT_COLUMNS, .item_count = 1, .items = &item,
		.from = { .table = STR("st_var"), .alias = STR("st_var") }, .where = &where };
	binder->query->kind = QUERY_SELECT;
	return bind_select(binder, &select);
}

enum wl_err query_bind(struct binder *binder, const struct statement *s)
{
	binder->query->kind = s->kind;
	switch (s->kind) {
	case QUERY_SELECT:
		return s->is_extended ? bind_extended(binder, s) : bind_select(binder, s);
	case QUERY_INSERT:
	case QUERY_UPDATE:
	case QUERY_DELETE:
		return bind_dml(binder, s);
	case QUERY_SET:
	case QUERY_SHOW:
		break;
	}
	if (!str_eq(s->variable, STR("row_limit"))) {
		buf_printf(binder->error, "%.*s is not a valid system variable", STR_FMT(s->variable));
		return WL_ERR_INVALID;
	}
	return s->kind == QUERY_SET ? bind_set(binder, s) : bind_show(binder);
}
