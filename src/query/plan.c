/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans: in which order a block's relations are read, and how each of them.
 * Greedy: next comes whichever relation is expected to give the fewest rows
 * for one tuple of those before it. Planning is pure, and its memory is the
 * arena's that is given.
 *
 * Every conjunct is checked at the first step at which all its relations are
 * there, also those that a look-up implies: an index may only be too generous,
 * never wrong.
 */
#include "query/extended_internal.h"

/* What a conjunct says about one column: `column` op a constant, or = a column of another relation. */
struct fact {
	const struct node *node;     /* the conjunct, as column op constant */
	const struct constants *list; /* column = one of these */
	uint16_t column;
	bool is_join;
	uint16_t other, other_column;
	const struct sats_row_layout *other_layout;
	enum compare_op op;
	struct fact *next;
};
struct candidate {
	struct step step;
	double rows;                 /* for one tuple before it */
	double cost;                 /* rows visited for it */
	double cost_once;            /* besides, for all tuples together */
};
struct planner {
	struct arena *arena, *scratch; /* of the plan; of what planning needs */
	const struct block *block;
	const struct plan_options *options;
	struct fact **facts;         /* of each relation */
	bool *bound;
	struct candidate *best;      /* of each relation that is not bound */
	uint16_t *position;          /* of each relation among the steps */
	bool failed;
};

/* ---- facts ---- */

static void add_fact(struct planner *p, uint16_t relation, struct fact fact)
{
	struct fact *made = arena_alloc(p->scratch, sizeof(*made));
	if (made == NULL) {
		p->failed = true;
		return;
	}
	*made = fact;
	made->next = p->facts[relation];
	p->facts[relation] = made;
}

/* What a test says, about the relation whose rows it is a condition on. That of an ON is the joined one only. */
static void add_test_facts(struct planner *p, const struct test *test)
{
	const struct node *n = test->fact;
	const struct scalar *s = test->scalar;
	if (s->kind == SCALAR_IN_SET && !s->is_negated && s->left->kind == SCALAR_COLUMN && !s->left->is_option) {
		bool says = test->of == NO_RELATION ? !p->block->relations[s->left->relation].is_left
			: test->of == s->left->relation;
		if (says)
			add_fact(p, s->left->relation, (struct fact){ .list = s->set, .column = s->left->column, .op = OP_EQ });
	}
	if (n == NULL || test->of == NO_RELATION)
		return;
	if (n->kind == NODE_COMPARE_CONSTANT && n->op != OP_NE && n->relation == test->of)
		add_fact(p, n->relation, (struct fact){ .node = n, .column = n->column, .op = (enum compare_op)n->op });
	if (n->kind != NODE_COMPARE_COLUMNS || n->op != OP_EQ || n->relation == n->relation2)
		return;
	if (n->relation == test->of)
		add_fact(p, n->relation, (struct fact){ .column = n->column, .is_join = true, .other = n->relation2,
			.other_column = n->column2, .other_layout = n->layout2, .op = OP_EQ });
	if (n->relation2 == test->of)
		add_fact(p, n->relation2, (struct fact){ .column = n->column2, .is_join = true, .other = n->relation,
			.other_column = n->column, .other_layout = n->layout, .op = OP_EQ });
}

static void collect_facts(struct planner *p)
{
	for (uint32_t i = p->block->test_count; i-- > 0;)
		add_test_facts(p, p->block->tests[i]);
	for (uint32_t i = p->block->where_count; i-- > 0;) {
		const struct node *n = p->block->where[i];
		if (n->kind == NODE_COMPARE_CONSTANT && n->op != OP_NE) {
			add_fact(p, n->relation, (struct fact){ .node = n, .column = n->column, .op = (enum compare_op)n->op });
		} else if (n->kind == NODE_COMPARE_COLUMNS && n->op == OP_EQ && n->relation != n->relation2) {
			add_fact(p, n->relation, (struct fact){ .column = n->column, .is_join = true, .other = n->relation2,
				.other_column = n->column2, .other_layout = n->layout2, .op = OP_EQ });
			add_fact(p, n->relation2, (struct fact){ .column = n->column2, .is_join = true, .other = n->relation,
				.other_column = n->column, .other_layout = n->layout, .op = OP_EQ });
		}
	}
}

/* A fact that fixes the column now; constants before columns, and those before one of several. */
static const struct fact *fixed(const struct planner *p, uint16_t relation, uint16_t column)
{
	const struct fact *found = NULL;
	for (const struct fact *f = p->facts[relation]; f != NULL; f = f->next) {
		if (f->column != column || f->op != OP_EQ || (f->is_join && !p->bound[f->other]))
			continue;
		if (!f->is_join && f->list == NULL)
			return f;
		found = found == NULL || (found->list != NULL && f->list == NULL) ? f : found;
	}
	return found;
}

static struct key_part part_of(const struct fact *f)
{
	return (struct key_part){ .constant = f->is_join ? NULL : f->node, .list = f->list, .relation = f->other,
		.column = f->other_column, .layout = f->other_layout, .own = f->column };
}

static double row_count(const struct planner *p, uint16_t relation)
{
	return (double)store_table_row_count(relation_table(p->block, relation, p->options->snapshot));
}

/* ---- how one relation may be read ---- */

static bool may_use(const struct store_table *table, const struct store_index_def *def)
{
	if (def->kind != STORE_HASH)
		return true;
	for (uint32_t i = 0; i < def->column_count; i++) { /* hashes may tell equal floats apart: 0 and -0 */
		uint8_t tag = store_table_def(table)->columns[def->columns[i]].type->tag;
		if (tag == SATS_F32 || tag == SATS_F64)
			return false;
	}
	return true;
}

static void set_bounds(const struct planner *p, uint16_t relation, uint16_t column, struct step *step)
{
	for (const struct fact *f = p->facts[relation]; f != NULL; f = f->next) {
		if (f->column != column || f->is_join || f->op == OP_EQ || f->list != NULL)
			continue;
		if ((f->op == OP_GT || f->op == OP_GE) && step->low.constant == NULL)
			step->low = (struct bound){ f->node, f->op == OP_GE };
		if ((f->op == OP_LT || f->op == OP_LE) && step->high.constant == NULL)
			step->high = (struct bound){ f->node, f->op == OP_LE };
	}
}

static double root(double x)
{
	double r = x < 1 ? 1 : x;
	for (int i = 0; i < 40 && r * r > x * 1.001; i++)
		r = (r + x / r) / 2;
	return r;
}

static void consider_index(struct planner *p, uint16_t relation, const struct store_index_def *def,
	struct candidate *best)
{
	struct store_table *table = p->block->relations[relation].table;
	double n = row_count(p, relation);
	struct step step = { .relation = relation, .access = ACCESS_POINT };
	struct key_part keys[STORE_INDEX_COLUMNS_MAX];
	double lookups = 1;
	while (step.key_count < def->column_count) {
		const struct fact *f = fixed(p, relation, def->columns[step.key_count]);
		if (f == NULL || (f->list != NULL && step.has_list))
			break;
		if (f->list != NULL) {
			step.has_list = true;
			lookups = f->list->count > 0 ? f->list->count : 1;
		}
		keys[step.key_count++] = part_of(f);
	}
	double rows = def->unique ? 1 : root(n);
	if (step.key_count < def->column_count) {
		if (def->kind == STORE_HASH)
			return;
		step.access = ACCESS_RANGE;
		set_bounds(p, relation, def->columns[step.key_count], &step);
		if (step.key_count == 0 && step.low.constant == NULL && step.high.constant == NULL)
			return;
		rows = n;
		for (uint16_t i = 0; i < step.key_count; i++)
			rows = root(rows) * 2;
		rows /= step.low.constant != NULL ? 3 : 1;
		rows /= step.high.constant != NULL ? 3 : 1;
	}
	rows *= lookups;
	if (rows > n)
		rows = n;
	bool better = rows < best->rows || (rows <= best->rows && step.key_count > best->step.key_count) ||
		best->step.access == ACCESS_SCAN || best->step.access == ACCESS_HASH;
	if (!better)
		return;
	step.keys = arena_copy(p->scratch, keys, step.key_count * sizeof(keys[0]));
	step.index = store_table_index(table, (uint32_t)(def - store_table_def(table)->indexes));
	p->failed = p->failed || (step.keys == NULL && step.key_count > 0);
	*best = (struct candidate){ .step = step, .rows = rows, .cost = rows };
}

/* Columns fixed by rows that are there: rows of the relation are put into a hash table once. */
static void consider_hash(struct planner *p, uint16_t relation, struct candidate *best)
{
	struct key_part keys[8];
	uint16_t count = 0;
	for (const struct fact *f = p->facts[relation]; f != NULL && count < ARRAY_COUNT(keys); f = f->next)
		if (f->is_join && p->bound[f->other] && f->op == OP_EQ)
			keys[count++] = part_of(f);
	if (count == 0)
		return;
	double n = row_count(p, relation);
	const struct key_part *copy = arena_copy(p->scratch, keys, count * sizeof(keys[0]));
	p->failed = p->failed || copy == NULL;
	*best = (struct candidate){
		.step = { .relation = relation, .access = ACCESS_HASH, .key_count = count, .keys = copy },
		.rows = root(n), .cost = root(n), .cost_once = n };
}

static void choose(struct planner *p, uint16_t relation)
{
	struct candidate *best = &p->best[relation];
	struct store_table *table = p->block->relations[relation].table;
	const struct store_table_def *def = store_table_def(table);
	double n = row_count(p, relation);
	bool is_delta = relation < 64 && (p->options->delta >> relation & 1) != 0;
	bool is_derived = p->block->relations[relation].derived != NULL;
	*best = (struct candidate){ .step = { .relation = relation, .access = is_delta ? ACCESS_DELTA : ACCESS_SCAN },
		.rows = is_delta ? 0.5 : n, .cost = is_delta ? 1 : n };
	if (is_derived) /* its rows are there once, in a table of their own */
		best->step.access = ACCESS_HASH;
	if (is_delta || p->options->plain)
		return;
	consider_hash(p, relation, best);
	for (uint32_t i = 0; !p->options->without_indexes && !is_derived && i < def->index_count; i++)
		if (may_use(table, &def->indexes[i]))
			consider_index(p, relation, &def->indexes[i], best);
}

/* ---- conditions at their steps ---- */

static uint16_t latest(const struct node *n, const uint16_t *position)
{
	uint16_t at = 0, other;
	for (; n != NULL; n = n->left) {
		switch ((enum node_kind)n->kind) {
		case NODE_TRUE: case NODE_FALSE:
			break;
		case NODE_COMPARE_COLUMNS:
			other = position[n->relation2];
			at = other > at ? other : at;
			/* fall through */
		case NODE_BOOL_COLUMN: case NODE_COMPARE_CONSTANT:
			other = position[n->relation];
			at = other > at ? other : at;
			break;
		case NODE_COMPARE_CONDITIONS: case NODE_AND: case NODE_OR:
			other = latest(n->right, position);
			at = other > at ? other : at;
			break;
		case NODE_NOT:
			break;
		}
	}
	return at;
}

/* Conjuncts of one relation alone come first: rows are checked against them before anything else. */
static bool is_own(const struct node *n, uint16_t relation)
{
	for (; n != NULL; n = n->left) {
		bool leaf = n->kind == NODE_BOOL_COLUMN || n->kind == NODE_COMPARE_CONSTANT || n->kind == NODE_COMPARE_COLUMNS;
		if (leaf && n->relation != relation)
			return false;
		if (n->kind == NODE_COMPARE_COLUMNS && n->relation2 != relation)
			return false;
		if (n->right != NULL && !is_own(n->right, relation))
			return false;
	}
	return true;
}

/* The step at which a test can be asked. */
static uint16_t step_of(const struct planner *p, const struct test *test)
{
	uint16_t at = test->of == NO_RELATION ? 0 : p->position[test->of];
	for (uint16_t i = 0; i < test->relation_count; i++)
		if (p->position[test->relations[i]] > at)
			at = p->position[test->relations[i]];
	return at;
}

static void attach_tests(struct planner *p, struct plan *plan)
{
	for (uint32_t i = 0; i < p->block->test_count; i++) {
		struct step *step = &plan->steps[step_of(p, p->block->tests[i])];
		step->on_count += p->block->tests[i]->of != NO_RELATION;
		step->test_count += p->block->tests[i]->of == NO_RELATION;
	}
	for (uint16_t s = 0; s < plan->step_count; s++) {
		struct step *step = &plan->steps[s];
		uint32_t on = 0, tests = 0;
		step->is_left = p->block->relations[step->relation].is_left;
		step->has_tests = step->is_left || step->test_count > 0;
		if (!step->has_tests)
			continue;
		step->on = arena_array(p->arena, (size_t)step->on_count + 1, sizeof(*step->on));
		step->tests = arena_array(p->arena, (size_t)step->test_count + 1, sizeof(*step->tests));
		p->failed = p->failed || step->on == NULL || step->tests == NULL;
		for (uint32_t i = 0; !p->failed && i < p->block->test_count; i++) {
			const struct test *test = p->block->tests[i];
			if (step_of(p, test) == s && test->of != NO_RELATION)
				step->on[on++] = test;
			else if (step_of(p, test) == s)
				step->tests[tests++] = test;
		}
	}
}

static void attach(struct planner *p, struct plan *plan)
{
	uint32_t count = p->block->where_count;
	uint16_t *at = arena_array(p->scratch, size_max(count, 1), sizeof(*at));
	if (at == NULL) {
		p->failed = true;
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		at[i] = latest(p->block->where[i], p->position);
		plan->steps[at[i]].filter_count++;
	}
	for (uint16_t s = 0; s < plan->step_count; s++) {
		struct step *step = &plan->steps[s];
		uint32_t n = 0;
		step->filters = arena_array(p->arena, size_max(step->filter_count, 1), sizeof(*step->filters));
		if (step->filters == NULL) {
			p->failed = true;
			return;
		}
		for (int own = 1; own >= 0; own--)
			for (uint32_t i = 0; i < count; i++)
				if (at[i] == s && is_own(p->block->where[i], step->relation) == (own == 1))
					step->filters[n++] = p->block->where[i];
		for (step->own_count = 0; step->own_count < n && is_own(step->filters[step->own_count], step->relation);)
			step->own_count++;
	}
}

/* ---- the order ---- */

/* Those behind a LEFT JOIN come after all others, in the order written: their ON may look at any before them, and what
 * it says decides about their rows alone. */
static uint16_t next_relation(const struct planner *p)
{
	uint16_t n = p->block->relation_count, best = n;
	for (uint16_t i = 0; i < n; i++) {
		if (p->bound[i] || (p->block->relations[i].is_left && !p->options->plain))
			continue;
		if (best == n)
			best = i;
		if (p->options->plain)
			return best;
		if (p->best[i].rows < p->best[best].rows)
			best = i;
	}
	for (uint16_t i = 0; best == n && i < n; i++)
		if (!p->bound[i])
			best = i;
	return best;
}

static void order(struct planner *p, struct plan *plan)
{
	uint16_t n = p->block->relation_count;
	double tuples = 1, cost = 0;
	for (uint16_t i = 0; i < n; i++)
		choose(p, i);
	for (uint16_t s = 0; s < n && !p->failed; s++) {
		uint16_t relation = next_relation(p);
		if (p->block->relations[relation].is_left) /* its facts say nothing to others, who so do not ask for it anew */
			choose(p, relation);
		struct candidate *c = &p->best[relation];
		p->bound[relation] = true;
		p->position[relation] = s;
		c->step.rows = c->rows > 0 && c->rows < 1 ? 1 : (uint64_t)(c->rows + 0.5);
		plan->steps[s] = c->step;
		if (c->step.key_count > 0)
			plan->steps[s].keys = arena_copy(p->arena, c->step.keys, c->step.key_count * sizeof(struct key_part));
		p->failed = p->failed || (c->step.key_count > 0 && plan->steps[s].keys == NULL);
		cost += tuples * c->cost + c->cost_once;
		tuples *= c->rows < 1 ? 1 : c->rows;
		if (tuples > 1e18)
			tuples = 1e18;
		for (const struct fact *f = p->facts[relation]; f != NULL; f = f->next)
			if (f->is_join && !p->bound[f->other])
				choose(p, f->other);
	}
	plan->cost = cost > 1e18 ? UINT64_C(1000000000000000000) : (uint64_t)cost;
}

static bool block_has_left(const struct block *block)
{
	for (uint16_t i = 0; i < block->relation_count; i++)
		if (block->relations[i].is_left)
			return true;
	return false;
}

const struct plan *plan_make(struct arena *arena, struct arena *scratch, const struct block *block,
	const struct plan_options *options)
{
	size_t n = block->relation_count;
	struct planner p = { .arena = arena, .scratch = scratch, .block = block, .options = options,
		.facts = arena_array(scratch, n, sizeof(struct fact *)), .bound = arena_array(scratch, n, sizeof(bool)),
		.best = arena_array(scratch, n, sizeof(struct candidate)),
		.position = arena_array(scratch, n, sizeof(uint16_t)) };
	struct plan *plan = arena_zalloc(arena, sizeof(*plan));
	if (plan != NULL)
		plan->steps = arena_array(arena, n, sizeof(*plan->steps));
	if (p.facts == NULL || p.bound == NULL || p.best == NULL || p.position == NULL || plan == NULL ||
		plan->steps == NULL)
		return NULL;
	plan->step_count = (uint16_t)n;
	collect_facts(&p);
	if (!p.failed)
		order(&p, plan);
	if (!p.failed)
		attach(&p, plan);
	if (!p.failed && (block->test_count > 0 || block_has_left(block)))
		attach_tests(&p, plan);
	return p.failed ? NULL : plan;
}
