/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deltas: what a commit means for a block. With R the relations before the
 * commit, R' those after it, and dR their signed changes, the change of a
 * join of n relations is
 *
 *     sum over the changed relations i of
 *         R'1 ... R'(i-1)  dRi  R(i+1) ... Rn
 *
 * which is netted by the bytes of the returned row. The store has R' alone:
 * R is R' without what was inserted, and with what was deleted. Self-joins
 * need nothing of their own: both occurrences see the same change. What event
 * tables hold is gone after the commit; so a join with them is one term
 * alone: their inserts with what all others are now.
 *
 * Invariants
 *  1. A plan is made once for each relation that changes and kept.
 *  2. A commit of which the block's tables hold nothing costs a comparison
 *     of table pointers.
 */
#include "query/query_internal.h"

enum { SLOTS_MIN = 64, FEW = 8 };

struct delta_plan {
	uint64_t set;
	const struct plan *plan;
	struct delta_plan *next;
};

/* ---- netting ---- */

struct net_row {
	struct bytes row;
	uint64_t hash;
	int64_t copies;
};
struct net {
	struct arena *scratch;
	uint32_t *slots;      /* index + 1; 0: empty */
	struct net_row *rows; /* in order of appearance */
	uint32_t mask, count, cap;
	uint16_t returned;
	uint32_t hidden;      /* bytes in front of what is returned */
	bool failed;
};

static bool net_grow(struct net *n)
{
	uint32_t cap = n->cap == 0 ? SLOTS_MIN / 2 : n->cap * 2;
	struct net_row *rows = arena_alloc(n->scratch, cap * sizeof(*rows));
	uint32_t *slots = arena_array(n->scratch, cap * 2, sizeof(*slots));
	if (rows == NULL || slots == NULL)
		return false;
	if (n->count > 0)
		memcpy(rows, n->rows, n->count * sizeof(*rows));
	n->rows = rows;
	n->slots = slots;
	n->cap = cap;
	n->mask = cap * 2 - 1;
	for (uint32_t i = 0; i < n->count; i++) {
		uint32_t at = (uint32_t)rows[i].hash & n->mask;
		while (slots[at] != 0)
			at = (at + 1) & n->mask;
		slots[at] = i + 1;
	}
	return true;
}

static bool net_add(void *context, const struct tuple *tuple)
{
	struct net *n = context;
	struct bytes row = { tuple->rows[n->returned] + n->hidden, tuple->lens[n->returned] - n->hidden };
	if (n->count == n->cap && !net_grow(n)) {
		n->failed = true;
		return false;
	}
	uint64_t hash = hash_bytes(row.data, row.len);
	uint32_t at = (uint32_t)hash & n->mask;
	while (n->slots[at] != 0) {
		struct net_row *found = &n->rows[n->slots[at] - 1];
		if (found->hash == hash && found->row.len == row.len && memcmp(found->row.data, row.data, row.len) == 0) {
			found->copies += tuple->sign;
			return true;
		}
		at = (at + 1) & n->mask;
	}
	n->rows[n->count] = (struct net_row){ row, hash, tuple->sign };
	n->slots[at] = ++n->count;
	return true;
}

/* ---- relations as they were ---- */

bool source_inserted(const struct run_source *source, const uint8_t *row, uint32_t len)
{
	const struct store_delta_rows *inserts = source->inserts;
	if (source->inserted == NULL) {
		for (uint32_t i = 0; i < inserts->count; i++) {
			struct bytes other = store_delta_row(inserts, i);
			if (other.len == len && (len == 0 || memcmp(other.data, row, len) == 0))
				return true;
		}
		return false;
	}
	for (uint32_t at = (uint32_t)hash_bytes(row, len) & source->mask; source->inserted[at] != 0;
		at = (at + 1) & source->mask) {
		struct bytes other = store_delta_row(inserts, source->inserted[at] - 1);
		if (other.len == len && (len == 0 || memcmp(other.data, row, len) == 0))
			return true;
	}
	return false;
}

/* ---- terms ---- */

static const struct plan *plan_for(const struct query *query, const struct block *block, uint64_t set,
	struct arena *scratch)
{
	/* What is kept changes nothing that anybody sees: the query stays as immutable as its users think. */
	struct arena *arena = (struct arena *)&query->arena;
	struct delta_plan **first = (struct delta_plan **)&block->delta_plans;
	for (const struct delta_plan *p = *first; p != NULL; p = p->next)
		if (p->set == set)
			return p->plan;
	struct plan_options options = { .delta = set };
	struct delta_plan *made = arena_alloc(arena, sizeof(*made));
	const struct plan *plan = made == NULL ? NULL : plan_make(arena, scratch, block, &options);
	if (plan == NULL)
		return NULL;
	*made = (struct delta_plan){ set, plan, *first };
	*first = made;
	return plan;
}

static const struct store_delta_table *changes_of(const struct store_delta *delta, const struct store_table *table)
{
	for (uint32_t i = 0; i < delta->table_count; i++)
		if (delta->tables[i].table == table)
			return &delta->tables[i];
	return NULL;
}

struct terms {
	const struct query *query;
	const struct block *block;
	struct run_source *sources;
	struct run_limits limits;
	struct net net;
	struct buf *error;
};

/* False: no memory. */
static bool set_before(struct terms *t, struct run_source *source)
{
	source->is_before = true;
	if (source->inserts->count <= FEW)
		return true;
	source->mask = 4 * FEW - 1;
	while (source->mask / 2 < source->inserts->count)
		source->mask = source->mask * 2 + 1;
	uint32_t *slots = arena_array(t->net.scratch, (size_t)source->mask + 1, sizeof(*slots));
	for (uint32_t i = 0; slots != NULL && i < source->inserts->count; i++) {
		struct bytes row = store_delta_row(source->inserts, i);
		uint32_t at = (uint32_t)hash_bytes(row.data, row.len) & source->mask;
		while (slots[at] != 0)
			at = (at + 1) & source->mask;
		slots[at] = i + 1;
	}
	source->inserted = slots;
	return slots != NULL;
}

static enum wl_err run_term(struct terms *t, uint64_t set)
{
	const struct plan *plan = plan_for(t->query, t->block, set, t->net.scratch);
	if (plan == NULL)
		return no_memory(t->error);
	enum wl_err err = plan_run(t->block, plan, t->sources, &t->limits, net_add, &t->net, t->error);
	return err == WL_OK && t->net.failed ? no_memory(t->error) : err;
}

/* Those behind the relation of a term are as they were. */
static enum wl_err run_terms(struct terms *t, uint64_t changed)
{
	for (uint64_t behind = changed & (changed - 1); behind != 0; behind &= behind - 1)
		if (!set_before(t, &t->sources[__builtin_ctzll(behind)]))
			return no_memory(t->error);
	enum wl_err err = WL_OK;
	for (; err == WL_OK && changed != 0; changed &= changed - 1) {
		t->sources[__builtin_ctzll(changed)].is_before = false;
		err = run_term(t, changed & -changed);
	}
	return err;
}

static enum wl_err run_all(struct terms *t, const struct store_delta *delta)
{
	uint64_t changed = 0, events = 0;
	for (uint16_t i = 0; i < t->block->relation_count; i++) {
		const struct store_delta_table *table = changes_of(delta, t->block->relations[i].table);
		bool is_event = store_table_def(t->block->relations[i].table)->is_event;
		if (i >= 64 && (table != NULL || is_event)) {
			buf_put_cstr(t->error, "a live query over more than 64 tables may not see those beyond change");
			return WL_ERR_LIMIT;
		}
		events |= (uint64_t)is_event << (i & 63);
		if (table == NULL)
			continue;
		changed |= (uint64_t)1 << i;
		t->sources[i] = (struct run_source){ .inserts = &table->inserts,
			.deletes = is_event ? NULL : &table->deletes };
	}
	if (events == 0)
		return run_terms(t, changed);
	if ((events & changed) != events)
		return WL_OK;
	return run_term(t, events);
}

enum wl_err query_block_delta(const struct query *query, uint32_t block, const struct store_delta *delta,
	const struct query_limits *limits, struct arena *scratch, query_delta_fn fn, void *context, struct buf *error)
{
	const struct block *b = &query->blocks[block];
	struct terms t = { .query = query, .block = b, .error = error,
		.limits = { .deadline = limits->deadline,
			.memory_max = limits->memory_max != 0 ? limits->memory_max : QUERY_MEMORY_MAX },
		.sources = arena_array(scratch, b->relation_count, sizeof(struct run_source)),
		.net = { .scratch = scratch, .returned = b->returned, .hidden = query->hidden } };
	if (t.sources == NULL)
		return no_memory(error);
	enum wl_err err = run_all(&t, delta);
	for (uint32_t i = 0; err == WL_OK && i < t.net.count; i++)
		if (t.net.rows[i].copies != 0 && !fn(context, t.net.rows[i].row, t.net.rows[i].copies))
			break;
	return err;
}
