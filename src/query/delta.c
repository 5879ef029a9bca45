/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deltas: what a commit means for a block. With R' the relations after the
 * commit and dR their signed changes, the change of a join is
 *
 *     sum over the non-empty sets S of changed relations of
 *         (-1)^(|S|+1)  join of dR (in S) and R' (not in S)
 *
 * which is netted by the bytes of the returned row. Self-joins need nothing
 * of their own: both occurrences see the same change. What event tables hold
 * is gone after the commit; so a join with them is one term alone: their
 * inserts with what all others are now.
 *
 * Invariants
 *  1. A plan is made once for each set of changed relations and kept.
 *  2. A commit of which the block's tables hold nothing costs a comparison
 *     of table pointers.
 */
#include "query/query_internal.h"

enum { CHANGED_MAX = 10, SLOTS_MIN = 64 };

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
	int64_t sign;         /* of the term */
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
			found->copies += tuple->sign * n->sign;
			return true;
		}
		at = (at + 1) & n->mask;
	}
	n->rows[n->count] = (struct net_row){ row, hash, tuple->sign * n->sign };
	n->slots[at] = ++n->count;
	return true;
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

static enum wl_err run_term(struct terms *t, uint64_t set)
{
	const struct plan *plan = plan_for(t->query, t->block, set, t->net.scratch);
	if (plan == NULL)
		return no_memory(t->error);
	t->net.sign = __builtin_popcountll(set) % 2 == 1 ? 1 : -1;
	enum wl_err err = plan_run(t->block, plan, t->sources, &t->limits, net_add, &t->net, t->error);
	return err == WL_OK && t->net.failed ? no_memory(t->error) : err;
}

/* Every non-empty subset of the changed relations. */
static enum wl_err run_terms(struct terms *t, uint64_t changed)
{
	enum wl_err err = WL_OK;
	if (__builtin_popcountll(changed) > CHANGED_MAX) {
		buf_printf(t->error, "a commit changed more than %d of the tables that the query joins", CHANGED_MAX);
		return WL_ERR_LIMIT;
	}
	for (uint64_t set = changed; err == WL_OK && set != 0; set = (set - 1) & changed)
		err = run_term(t, set);
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
		t->sources[i] = (struct run_source){ &table->inserts, is_event ? NULL : &table->deletes };
	}
	if (events == 0)
		return run_terms(t, changed);
	if ((events & changed) != events)
		return WL_OK;
	t->net.sign = 1;
	const struct plan *plan = plan_for(t->query, t->block, events, t->net.scratch);
	if (plan == NULL)
		return no_memory(t->error);
	enum wl_err err = plan_run(t->block, plan, t->sources, &t->limits, net_add, &t->net, t->error);
	return err == WL_OK && t->net.failed ? no_memory(t->error) : err;
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
