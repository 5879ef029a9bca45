/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Row-level rules. Every occurrence of a guarded table in a SELECT of somebody
 * who is not the owner is replaced by the UNION ALL of its rules, each of
 * which is a SELECT over that table and maybe others; those are guarded in
 * their turn. A block with guarded relations thus becomes the product of
 * their rules: as many blocks, each with the rules' relations and conditions
 * beside the query's own.
 *
 * Invariants
 *  1. A rule's table is never guarded inside that rule, not even a second
 *     occurrence.
 *  2. A table that comes back through the rules of others is a cycle, and an
 *     error; so expansion ends.
 *
 * Source: sql-and-subscriptions.md 6.3.
 */
#include "query/extended_internal.h"

enum { RULES_MAX = 256 }; /* of one table */

struct rule_list {
	uint32_t count;
	struct str texts[RULES_MAX];
};

/* st_row_level_security: table_id u32, sql str. The texts are copied: the table may be read again meanwhile. */
static enum wl_err rules_of(struct binder *binder, const struct store_table *table, struct rule_list *out)
{
	struct store_cursor cursor;
	uint8_t key[4];
	struct store_row row;
	struct store_index *index = store_index_by_name(binder->store, STR("st_row_level_security_table_id_idx_btree"));
	out->count = 0;
	store_u32(key, store_table_def(table)->id);
	if (index == NULL || store_scan_point(index, key, sizeof(key), &cursor) != STORE_OK)
		return WL_OK;
	while (store_cursor_next(&cursor, &row)) {
		if (out->count == RULES_MAX) {
			buf_printf(binder->error, "table %.*s has more than %d row-level rules",
				STR_FMT(store_table_def(table)->name), RULES_MAX);
			return WL_ERR_LIMIT;
		}
		struct reader r = reader_of(row.data, row.len);
		(void)reader_u32(&r);
		struct bytes text = reader_bsatn_bytes(&r);
		out->texts[out->count] = arena_str(binder->syntax, (struct str){ (const char *)text.data, text.len });
		if (out->texts[out->count++].data == NULL)
			return no_memory(binder->error);
	}
	return WL_OK;
}

static bool is_cycle(const struct relation *relation)
{
	for (const struct guard *g = relation->guard; g != NULL; g = g->outer)
		if (g->table == relation->table)
			return true;
	return false;
}

struct expansion {
	struct binder *binder;
	struct block *blocks; /* in the syntax arena until all are known */
	uint32_t count, cap;
};

static enum wl_err emit(struct expansion *x, const struct block *block)
{
	if (x->count == QUERY_BLOCKS_MAX) {
		buf_printf(x->binder->error, "the row-level rules make more than %d queries of this one", QUERY_BLOCKS_MAX);
		return WL_ERR_LIMIT;
	}
	if (x->count == x->cap) {
		uint32_t cap = x->cap == 0 ? 4 : x->cap * 2;
		struct block *grown = arena_array(x->binder->syntax, cap, sizeof(*grown));
		if (grown == NULL)
			return no_memory(x->binder->error);
		if (x->count > 0)
			memcpy(grown, x->blocks, x->count * sizeof(*grown));
		x->blocks = grown;
		x->cap = cap;
	}
	x->blocks[x->count++] = *block;
	return WL_OK;
}

static enum wl_err expand(struct expansion *x, const struct block *block, uint16_t at);

/* The block with relation `at` replaced by one of its rules. */
static enum wl_err apply_rule(struct expansion *x, const struct block *block, uint16_t at, const struct guard *guard,
	struct str sql)
{
	struct binder *binder = x->binder;
	struct statement *s;
	struct scope scope;
	struct block made = *block;
	if (!statement_parse(binder->syntax, QUERY_DIALECT_SUBSCRIBE, sql, &s, binder->error))
		return WL_ERR_INVALID;
	enum wl_err err = bind_block(binder, s, &made, at, guard, &scope);
	if (err != WL_OK)
		return err;
	made.relations[at].is_open = true;
	return expand(x, &made, (uint16_t)(at + 1));
}

static enum wl_err expand(struct expansion *x, const struct block *block, uint16_t at)
{
	struct binder *binder = x->binder;
	while (at < block->relation_count && (block->relations[at].is_open ||
		!query_is_guarded(binder->store, block->relations[at].table)))
		at++;
	if (at == block->relation_count)
		return emit(x, block);
	const struct relation *relation = &block->relations[at];
	if (is_cycle(relation)) {
		buf_printf(binder->error, "Discovered cyclic dependency when resolving RLS rules for table id `%u`",
			store_table_def(relation->table)->id);
		return WL_ERR_INVALID;
	}
	struct rule_list *rules = arena_alloc(binder->syntax, sizeof(*rules));
	struct guard *guard = arena_alloc(binder->syntax, sizeof(*guard));
	if (rules == NULL || guard == NULL)
		return no_memory(binder->error);
	*guard = (struct guard){ relation->table, relation->guard };
	enum wl_err err = rules_of(binder, relation->table, rules);
	for (uint32_t i = 0; err == WL_OK && i < rules->count; i++)
		err = apply_rule(x, block, at, guard, rules->texts[i]);
	return err;
}

/* Guards were of the syntax arena. */
static enum wl_err keep_blocks(struct binder *binder, const struct expansion *x, struct block **out, uint16_t *count)
{
	*out = arena_array(&binder->query->arena, x->count, sizeof(**out));
	if (*out == NULL)
		return no_memory(binder->error);
	memcpy(*out, x->blocks, x->count * sizeof(**out));
	*count = (uint16_t)x->count;
	for (uint32_t i = 0; i < x->count; i++)
		for (uint16_t r = 0; r < (*out)[i].relation_count; r++)
			(*out)[i].relations[r].guard = NULL;
	return WL_OK;
}

/* Rules as blocks would make NULL of rows that match what is hidden, or lose the left row: what a LEFT JOIN joins is
 * evaluated by itself, as SELECT * FROM the table. */
static enum wl_err derive(struct binder *binder, struct relation *relation)
{
	struct str name = store_table_def(relation->table)->name;
	struct statement all = { .from = { .table = name, .alias = name } };
	struct derived *derived = arena_zalloc(&binder->query->arena, sizeof(*derived));
	struct expansion x = { .binder = binder };
	struct block block = { 0 };
	struct scope scope;
	if (derived == NULL)
		return no_memory(binder->error);
	enum wl_err err = bind_block(binder, &all, &block, -1, NULL, &scope);
	if (err == WL_OK)
		err = expand(&x, &block, 0);
	if (err == WL_OK)
		err = keep_blocks(binder, &x, &derived->blocks, &derived->block_count);
	relation->derived = derived;
	relation->is_open = true;
	return err;
}

static enum wl_err derive_all(struct binder *binder, const struct block *block)
{
	enum wl_err err = WL_OK;
	for (uint16_t i = 0; err == WL_OK && i < block->relation_count; i++)
		if (block->relations[i].is_left && query_is_guarded(binder->store, block->relations[i].table))
			err = derive(binder, &block->relations[i]);
	return err;
}

enum wl_err rules_expand(struct binder *binder, const struct block *block)
{
	struct query *query = binder->query;
	struct expansion x = { .binder = binder };
	bool guarded = false;
	for (uint16_t i = 0; i < block->relation_count; i++) {
		bool is_guarded = query_is_guarded(binder->store, block->relations[i].table);
		guarded = guarded || is_guarded;
		if (is_guarded || !store_table_def(block->relations[i].table)->is_public)
			query->depends_on_caller = true; /* others see other rows, or none */
	}
	query->hides_sizes = guarded && !binder->caller->is_owner;
	enum wl_err err = query->hides_sizes ? derive_all(binder, block) : WL_OK;
	if (err == WL_OK)
		err = query->hides_sizes ? expand(&x, block, 0) : emit(&x, block);
	return err == WL_OK ? keep_blocks(binder, &x, &query->blocks, &query->block_count) : err;
}
