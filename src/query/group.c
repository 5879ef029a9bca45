/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups and their aggregates. A group is a tuple of keys, in the order of
 * first appearance, and one accumulator an aggregate. NULL arguments do not
 * count; sums are kept in the type of the result, which holds any number of
 * values that a table can have, so what does not fit is an error when it
 * happens.
 */
#include "query/extended_internal.h"

struct accumulator {
	uint64_t count;        /* of arguments that are not NULL */
	union {
		uint8_t sum[32];   /* BSATN of the result's type */
		double total;      /* AVG */
		struct { uint8_t *data; uint32_t len, cap; } best; /* MIN, MAX */
	};
};
struct groups {
	const struct extended *x;
	struct budget *budget;
	struct evaluation *ev;
	struct value_set keys, distinct;
	struct accumulator *accumulators; /* of all groups, one group after the other */
	uint32_t cap;
	struct bytes *slots;              /* of the group that was asked for last */
	struct value *key_values;
	uint8_t (*results)[32];
};

struct groups *groups_create(const struct extended *x, struct budget *budget, struct evaluation *ev)
{
	struct groups *g = mem_zalloc(sizeof(*g));
	uint32_t slots = x->key_count + x->aggregate_count;
	if (g != NULL) {
		g->x = x;
		g->budget = budget;
		g->ev = ev;
		value_set_init(&g->keys, budget, ev);
		value_set_init(&g->distinct, budget, ev);
		g->slots = mem_zalloc_array(slots + 1, sizeof(*g->slots));
		g->key_values = mem_zalloc_array(x->key_count + 1, sizeof(*g->key_values));
		g->results = mem_zalloc_array(x->aggregate_count + 1, sizeof(*g->results));
	}
	if (g != NULL && g->slots != NULL && g->key_values != NULL && g->results != NULL)
		return g;
	groups_destroy(g);
	(void)evaluation_fail(ev, WL_ERR_MEMORY, "not enough memory for the query");
	return NULL;
}

void groups_destroy(struct groups *g)
{
	if (g == NULL)
		return;
	value_set_deinit(&g->keys);
	value_set_deinit(&g->distinct);
	mem_free(g->accumulators);
	mem_free(g->slots);
	mem_free(g->key_values);
	mem_free(g->results);
	mem_free(g);
}

uint32_t groups_count(const struct groups *g)
{
	return g->keys.count;
}

static bool has_room(struct groups *g, uint32_t group)
{
	uint32_t each = g->x->aggregate_count;
	if (group < g->cap || each == 0)
		return true;
	uint32_t cap = g->cap == 0 ? 1 : g->cap * 2;
	size_t bytes = (size_t)cap * each * sizeof(*g->accumulators);
	if (!budget_take(g->budget, g->ev, bytes - (size_t)g->cap * each * sizeof(*g->accumulators)))
		return false;
	struct accumulator *grown = mem_realloc(g->accumulators, bytes);
	if (grown == NULL)
		return evaluation_fail(g->ev, WL_ERR_MEMORY, "not enough memory for the query");
	memset(grown + (size_t)g->cap * each, 0, (size_t)(cap - g->cap) * each * sizeof(*grown));
	g->accumulators = grown;
	g->cap = cap;
	return true;
}

/* ---- one more argument ---- */

static bool too_large(struct groups *g, const struct aggregate *a)
{
	if (g->ev->err == WL_OK) {
		buf_put_cstr(g->ev->error, "out of range: the sum does not fit `");
		sats_type_pretty(g->ev->error, a->type);
		buf_put_cstr(g->ev->error, "`");
	}
	g->ev->err = WL_ERR_INVALID;
	return false;
}

static bool add_to_sum(struct groups *g, const struct aggregate *a, struct accumulator *acc, const uint8_t *value)
{
	uint8_t wide[32];
	number_widen(a->argument->type, value, a->type, wide);
	return number_arithmetic(a->type, '+', acc->sum, wide, acc->sum) == NULL || too_large(g, a);
}

static bool take_best(struct groups *g, const struct aggregate *a, struct accumulator *acc, const struct value *v)
{
	if (acc->count > 1) {
		int order = sats_compare(a->type, NULL, v->data, acc->best.data);
		if (a->kind == AGGREGATE_MIN ? order >= 0 : order <= 0)
			return true;
	}
	if (v->len > acc->best.cap || acc->best.data == NULL) { /* the old place is lost until the end */
		size_t cap = v->len + v->len / 2 + 16;
		if (!budget_take(g->budget, g->ev, cap))
			return false;
		acc->best.data = cap > UINT32_MAX ? NULL : arena_alloc(&g->keys.arena, cap);
		if (acc->best.data == NULL)
			return evaluation_fail(g->ev, WL_ERR_MEMORY, "not enough memory for the query");
		acc->best.cap = (uint32_t)cap;
	}
	memcpy(acc->best.data, v->data, v->len);
	acc->best.len = (uint32_t)v->len;
	return true;
}

static bool accumulate(struct groups *g, uint32_t group, uint32_t i)
{
	const struct aggregate *a = &g->x->aggregates[i];
	struct accumulator *acc = &g->accumulators[(size_t)group * g->x->aggregate_count + i];
	struct value v;
	if (a->argument == NULL) {
		acc->count++;
		return true;
	}
	if (!scalar_eval(g->ev, a->argument, &v))
		return false;
	if (v.data == NULL)
		return true;
	if (a->is_distinct && a->kind == AGGREGATE_COUNT) {
		const struct bytes value = { v.data, v.len };
		uint32_t index;
		bool is_new;
		if (!value_set_add(&g->distinct, (uint64_t)group << 16 | i, 1, &a->argument, &value, &index, &is_new))
			return false;
		acc->count += is_new;
		return true;
	}
	acc->count++;
	switch ((enum aggregate_kind)a->kind) {
	case AGGREGATE_SUM:
		return add_to_sum(g, a, acc, v.data);
	case AGGREGATE_AVG:
		acc->total += number_to_double(a->argument->type, v.data);
		return true;
	case AGGREGATE_MIN:
	case AGGREGATE_MAX:
		return take_best(g, a, acc, &v);
	case AGGREGATE_COUNT_ROWS:
	case AGGREGATE_COUNT:
		break;
	}
	return true;
}

bool groups_add(struct groups *g)
{
	const struct extended *x = g->x;
	uint32_t group = 0;
	bool is_new;
	for (uint32_t i = 0; i < x->key_count; i++) {
		if (!scalar_eval(g->ev, x->keys[i], &g->key_values[i]))
			return false;
		g->slots[i] = (struct bytes){ g->key_values[i].data, g->key_values[i].len };
	}
	if (!value_set_add(&g->keys, 0, x->key_count, x->keys, g->slots, &group, &is_new) || !has_room(g, group))
		return false;
	for (uint32_t i = 0; i < x->aggregate_count; i++)
		if (!accumulate(g, group, i))
			return false;
	return true;
}

/* ---- results ---- */

static struct bytes result_of(const struct aggregate *a, const struct accumulator *acc, uint8_t *out)
{
	double average;
	if (a->kind == AGGREGATE_COUNT || a->kind == AGGREGATE_COUNT_ROWS) {
		store_u64(out, acc->count);
		return (struct bytes){ out, 8 };
	}
	if (acc->count == 0)
		return (struct bytes){ NULL, 0 };
	if (a->kind == AGGREGATE_MIN || a->kind == AGGREGATE_MAX)
		return (struct bytes){ acc->best.data, acc->best.len };
	if (a->kind == AGGREGATE_SUM) {
		memcpy(out, acc->sum, sizeof(acc->sum));
		size_t len = a->type->tag == SATS_F64 ? 8 : a->type->tag == SATS_I128 || a->type->tag == SATS_U128 ? 16 : 32;
		return (struct bytes){ out, len };
	}
	average = acc->total / (double)acc->count;
	memcpy(out, &average, sizeof(average));
	return (struct bytes){ out, 8 };
}

/* A result without GROUP BY has its one group even if there was no row. */
const struct bytes *groups_slots(struct groups *g, uint32_t group)
{
	static const struct accumulator nothing;
	const struct extended *x = g->x;
	for (uint32_t i = 0; i < x->key_count; i++)
		g->slots[i] = g->keys.entries[group].values[i];
	for (uint32_t i = 0; i < x->aggregate_count; i++)
		g->slots[x->key_count + i] = result_of(&x->aggregates[i], group >= g->keys.count ? &nothing
			: &g->accumulators[(size_t)group * x->aggregate_count + i], g->results[i]);
	return g->slots;
}
