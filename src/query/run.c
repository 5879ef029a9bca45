/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a plan: each step gives rows for one tuple of those before it, and
 * the last one gives tuples. Steps nest as calls; what is kept meanwhile is a
 * row pointer a relation, and a hash table where a step needs one.
 */
#include "base/clock.h"
#include "query/extended_internal.h"

#include <stdatomic.h>

enum { ROWS_BETWEEN = 1024, KEY_BYTES_MAX = QUERY_TEXT_MAX * 4 };

/* Rows of a relation by the hash of some columns, in chains. */
struct hash_row {
	const uint8_t *data;
	uint32_t len, number, next;
	uint32_t hash;
};
struct hash_table {
	uint32_t mask, count, cap;
	uint32_t *heads;             /* UINT32_MAX: empty */
	struct hash_row *rows;
};

struct run {
	const struct block *block;
	const struct plan *plan;
	const struct run_source *sources;
	const struct run_limits *limits;
	tuple_fn fn;
	void *context;
	struct buf *error;
	enum wl_err err;
	uint64_t visited, memory;
	struct tuple tuple;
	struct buf key;
	struct hash_table **tables;  /* of each step; made when first needed */
	/* extended */
	uint64_t *used;              /* memory */
	struct evaluation ev;
	struct step_state *states;   /* of each step; NULL: no step needs one */
	bool any_before;             /* some source is as it was before the commit */
};
struct step_state {
	bool matched;                /* LEFT JOIN: for the tuple before it */
	struct bytes choice;         /* of a list, the constant that is looked up */
};

static bool stop(struct run *r, enum wl_err err, const char *text)
{
	if (r->err == WL_OK)
		buf_put_cstr(r->error, text);
	r->err = err;
	return false;
}

/* Asked for each row, or for many at once; looks at the clock now and then. */
static bool go_on(struct run *r, uint32_t rows)
{
	const struct run_limits *l = r->limits;
	uint64_t before = r->visited;
	r->visited += rows;
	if (LIKELY(before / ROWS_BETWEEN == r->visited / ROWS_BETWEEN))
		return true;
	if (l->cancelled != NULL && atomic_load_explicit(l->cancelled, memory_order_relaxed))
		return stop(r, WL_ERR_LIMIT, "the query was cancelled");
	if (l->visits_max != 0 && r->visited > l->visits_max)
		return stop(r, WL_ERR_UNAVAILABLE, "");
	if (l->deadline != 0 && clock_mono_nanos() >= l->deadline)
		return stop(r, WL_ERR_LIMIT, "the query ran longer than the limit and was stopped");
	return true;
}

static void scan(const struct run *r, uint16_t relation, struct store_cursor *cursor)
{
	store_scan(relation_table(r->block, relation, r->limits->snapshot), cursor);
}

static bool run_step(struct run *r, uint16_t at);

/* ---- tests ---- */

static bool tests_hold(struct run *r, const struct test *const *tests, uint32_t count, bool *holds)
{
	*holds = true;
	r->ev.rows = r->tuple.rows;
	for (uint32_t i = 0; *holds && i < count; i++)
		if (!scalar_holds(&r->ev, tests[i]->scalar, holds))
			return stop(r, r->ev.err, "");
	return true;
}

/* Whether the row is a match, if it has to be one, and then whether the tuple may go on. */
static bool take_tests(struct run *r, uint16_t at, bool *holds)
{
	const struct step *step = &r->plan->steps[at];
	if (step->is_left) {
		if (!tests_hold(r, (const struct test *const *)step->on, step->on_count, holds) || !*holds)
			return r->err == WL_OK;
		r->states[at].matched = true;
	}
	return tests_hold(r, (const struct test *const *)step->tests, step->test_count, holds);
}

/* One row of a step: on to the next step if its conditions hold. */
static bool take_row(struct run *r, uint16_t at, uint32_t from, const uint8_t *data, uint32_t len, uint32_t number)
{
	const struct step *step = &r->plan->steps[at];
	r->tuple.rows[step->relation] = data;
	if (!go_on(r, 1))
		return false;
	if (UNLIKELY(r->any_before) && r->sources[step->relation].is_before &&
		source_inserted(&r->sources[step->relation], data, len))
		return true;
	for (uint32_t i = from; i < step->filter_count; i++)
		if (!node_matches(step->filters[i], r->tuple.rows))
			return true;
	if (UNLIKELY(step->has_tests)) {
		bool holds;
		if (!take_tests(r, at, &holds))
			return false;
		if (!holds)
			return true;
	}
	r->tuple.lens[step->relation] = len;
	r->tuple.numbers[step->relation] = number;
	return at + 1 == r->plan->step_count ? r->fn(r->context, &r->tuple) : run_step(r, (uint16_t)(at + 1));
}

static bool take_all(struct run *r, uint16_t at, struct store_cursor *cursor)
{
	struct store_row row;
	while (store_cursor_next(cursor, &row))
		if (!take_row(r, at, 0, row.data, row.len, row.number))
			return false;
	return true;
}

/* ---- whole tables ---- */

enum { QUICK_MAX = 4 };

/* Rows in slots are looked at 64 at a time, as far as the first conditions are simple. */
static bool take_slots(struct run *r, uint16_t at, struct store_cursor *cursor, const struct quick *quick,
	uint32_t count)
{
	struct store_slots slots;
	while (store_cursor_next_slots(cursor, &slots)) {
		uint64_t bits = slots.bits;
		if (!go_on(r, (uint32_t)__builtin_popcountll(bits)))
			return false;
		for (uint32_t i = 0; i < count; i++)
			bits &= quick_matches(&quick[i], &slots);
		for (; bits != 0; bits &= bits - 1) {
			uint32_t slot = (uint32_t)__builtin_ctzll(bits);
			if (!take_row(r, at, count, slots.data + (size_t)slot * slots.stride, slots.size, slots.first + slot))
				return false;
		}
	}
	return true;
}

static bool run_scan(struct run *r, uint16_t at)
{
	const struct step *step = &r->plan->steps[at];
	struct store_cursor cursor;
	struct quick quick[QUICK_MAX];
	uint32_t count = 0;
	scan(r, step->relation, &cursor);
	while (count < QUICK_MAX && count < step->own_count && quick_make(step->filters[count], &quick[count]))
		count++;
	if (count > 0 && !r->limits->plain && store_table_in_slots(cursor.table))
		return take_slots(r, at, &cursor, quick, count);
	return take_all(r, at, &cursor);
}

/* ---- look-ups ---- */

static struct bytes part_value(const struct run *r, uint16_t at, const struct key_part *part)
{
	if (part->constant != NULL)
		return part->constant->constant;
	if (part->list != NULL)
		return r->states[at].choice;
	const uint8_t *column = sats_column(part->layout, r->tuple.rows[part->relation], part->column);
	return (struct bytes){ column, sats_size(part->layout->columns[part->column], column) };
}

/* The parts back to back. */
static bool make_key(struct run *r, uint16_t at, struct bytes *key)
{
	const struct step *step = &r->plan->steps[at];
	if (step->key_count == 1) {
		*key = part_value(r, at, step->keys);
		return true;
	}
	buf_clear(&r->key);
	for (uint16_t i = 0; i < step->key_count; i++) {
		struct bytes value = part_value(r, at, &step->keys[i]);
		buf_put(&r->key, value.data, value.len);
	}
	*key = buf_bytes(&r->key);
	return !r->key.failed || stop(r, WL_ERR_MEMORY, "not enough memory for a key of the query");
}

static bool run_point(struct run *r, uint16_t at)
{
	const struct step *step = &r->plan->steps[at];
	struct store_cursor cursor;
	struct bytes key;
	if (!make_key(r, at, &key))
		return false;
	if (store_scan_point(step->index, key.data, key.len, &cursor) != STORE_OK)
		return stop(r, WL_ERR_INVALID, "a key of the query does not fit the index");
	return take_all(r, at, &cursor);
}

enum { BOUND_INCLUDED, BOUND_EXCLUDED, BOUND_NONE };
static void put_bound(struct buf *out, const struct bound *bound)
{
	if (bound->constant == NULL) {
		buf_put_u8(out, BOUND_NONE);
		return;
	}
	buf_put_u8(out, bound->is_inclusive ? BOUND_INCLUDED : BOUND_EXCLUDED);
	buf_put(out, bound->constant->constant.data, bound->constant->constant.len);
}

static bool run_range(struct run *r, uint16_t at)
{
	const struct step *step = &r->plan->steps[at];
	struct store_cursor cursor;
	buf_clear(&r->key);
	for (uint16_t i = 0; i < step->key_count; i++) {
		struct bytes value = part_value(r, at, &step->keys[i]);
		buf_put(&r->key, value.data, value.len);
	}
	size_t prefix_len = r->key.len;
	put_bound(&r->key, &step->low);
	size_t low_end = r->key.len;
	put_bound(&r->key, &step->high);
	if (r->key.failed)
		return stop(r, WL_ERR_MEMORY, "not enough memory for a key of the query");
	struct store_range range = { .prefix = r->key.data, .prefix_len = prefix_len, .prefix_elems = step->key_count,
		.start = r->key.data + prefix_len, .start_len = low_end - prefix_len, .end = r->key.data + low_end,
		.end_len = r->key.len - low_end };
	if (store_scan_range(step->index, &range, &cursor) != STORE_OK)
		return stop(r, WL_ERR_INVALID, "a bound of the query does not fit the index");
	return take_all(r, at, &cursor);
}

/* ---- what a commit changed ---- */

static bool take_delta(struct run *r, uint16_t at, const struct store_delta_rows *rows)
{
	for (uint32_t i = 0; rows != NULL && i < rows->count; i++) {
		struct bytes row = store_delta_row(rows, i);
		if (!take_row(r, at, 0, row.data, (uint32_t)row.len, 0))
			return false;
	}
	return true;
}

static bool run_delta(struct run *r, uint16_t at)
{
	const struct run_source *source = &r->sources[r->plan->steps[at].relation];
	if (!take_delta(r, at, source->inserts))
		return false;
	r->tuple.sign = -r->tuple.sign;
	bool more = take_delta(r, at, source->deletes);
	r->tuple.sign = -r->tuple.sign;
	return more;
}

/* ---- hash joins ---- */

static uint32_t hash_own(const struct run *r, const struct step *step, const uint8_t *row)
{
	const struct sats_row_layout *layout = r->block->relations[step->relation].layout;
	uint64_t hash = 0;
	for (uint16_t i = 0; i < step->key_count; i++)
		hash = hash_u64(hash ^ sats_hash(layout->columns[step->keys[i].own]->type, NULL,
			sats_column(layout, row, step->keys[i].own)));
	return (uint32_t)(hash >> 16);
}

static uint32_t hash_theirs(const struct run *r, const struct step *step)
{
	uint64_t hash = 0;
	for (uint16_t i = 0; i < step->key_count; i++) {
		const struct key_part *part = &step->keys[i];
		hash = hash_u64(hash ^ sats_hash(part->layout->columns[part->column]->type, NULL,
			sats_column(part->layout, r->tuple.rows[part->relation], part->column)));
	}
	return (uint32_t)(hash >> 16);
}

static bool charge(struct run *r, uint64_t bytes)
{
	*r->used += bytes;
	if (*r->used <= r->limits->memory_max)
		return true;
	struct str text = STR("the query needs more memory than it may take: an index on the columns it joins by, or a "
		"narrower WHERE, would help");
	return stop(r, WL_ERR_LIMIT, text.data);
}

static bool hash_grow(struct run *r, struct hash_table *t)
{
	uint32_t cap = t->cap == 0 ? 64 : t->cap * 2;
	if (!charge(r, (uint64_t)(cap - t->cap) * (sizeof(*t->rows) + 2 * sizeof(*t->heads))))
		return false;
	void *rows = mem_realloc(t->rows, cap * sizeof(*t->rows));
	if (rows != NULL)
		t->rows = rows;
	void *heads = rows == NULL ? NULL : mem_realloc(t->heads, (size_t)cap * 2 * sizeof(*t->heads));
	if (heads == NULL)
		return stop(r, WL_ERR_MEMORY, "not enough memory for the query");
	t->heads = heads;
	t->cap = cap;
	t->mask = cap * 2 - 1;
	memset(t->heads, 0xff, (size_t)cap * 2 * sizeof(*t->heads));
	for (uint32_t i = 0; i < t->count; i++) {
		uint32_t *head = &t->heads[t->rows[i].hash & t->mask];
		t->rows[i].next = *head;
		*head = i;
	}
	return true;
}

static bool hash_add(struct run *r, const struct step *step, struct hash_table *t, const struct store_row *row)
{
	if (t->count == t->cap && !hash_grow(r, t))
		return false;
	uint32_t hash = hash_own(r, step, row->data), *head = &t->heads[hash & t->mask];
	t->rows[t->count] = (struct hash_row){ .data = row->data, .len = row->len, .number = row->number, .hash = hash,
		.next = *head };
	*head = t->count++;
	return true;
}

/* The visible rows of a guarded table: those of each of its blocks. */
struct deriving {
	struct run *r;
	const struct block *block;
	uint16_t at;
};

static bool take_derived(void *context, const struct tuple *tuple)
{
	struct deriving *d = context;
	uint16_t returned = d->block->returned;
	struct store_row row = { tuple->numbers[returned], tuple->lens[returned], tuple->rows[returned] };
	return hash_add(d->r, &d->r->plan->steps[d->at], d->r->tables[d->at], &row);
}

static bool hash_derived(struct run *r, uint16_t at)
{
	const struct derived *derived = r->block->relations[r->plan->steps[at].relation].derived;
	struct run_limits limits = *r->limits;
	limits.used = r->used;
	for (uint16_t i = 0; i < derived->block_count; i++) {
		struct deriving d = { r, &derived->blocks[i], at };
		struct buf error = BUF_INIT(1 << 12);
		enum wl_err err = block_run(d.block, &limits, take_derived, &d, &error);
		if (err != WL_OK)
			(void)stop(r, err, buf_text(&error));
		buf_deinit(&error);
		if (r->err != WL_OK)
			return false;
	}
	return true;
}

static bool hash_build(struct run *r, uint16_t at)
{
	const struct step *step = &r->plan->steps[at];
	struct hash_table *t = mem_zalloc(sizeof(*t));
	struct store_cursor cursor;
	struct store_row row;
	if (t == NULL)
		return stop(r, WL_ERR_MEMORY, "not enough memory for the query");
	r->tables[at] = t;
	if (!hash_grow(r, t))
		return false;
	if (r->block->relations[step->relation].derived != NULL)
		return hash_derived(r, at);
	scan(r, step->relation, &cursor);
	while (store_cursor_next(&cursor, &row)) {
		bool holds = true;
		r->tuple.rows[step->relation] = row.data;
		for (uint32_t i = 0; holds && i < step->own_count; i++)
			holds = node_matches(step->filters[i], r->tuple.rows);
		if (!go_on(r, 1) || (holds && !hash_add(r, step, t, &row)))
			return false;
	}
	return true;
}

static bool run_hash(struct run *r, uint16_t at)
{
	const struct step *step = &r->plan->steps[at];
	if (r->tables[at] == NULL && !hash_build(r, at))
		return false;
	const struct hash_table *t = r->tables[at];
	uint32_t hash = hash_theirs(r, step);
	for (uint32_t i = t->heads[hash & t->mask]; i != UINT32_MAX; i = t->rows[i].next) {
		const struct hash_row *row = &t->rows[i];
		if (row->hash == hash && !take_row(r, at, step->own_count, row->data, row->len, row->number))
			return false;
	}
	return true;
}

/* ---- all together ---- */

static bool run_access(struct run *r, uint16_t at)
{
	switch ((enum access)r->plan->steps[at].access) {
	case ACCESS_POINT:
		return run_point(r, at);
	case ACCESS_RANGE:
		return run_range(r, at);
	case ACCESS_DELTA:
		return run_delta(r, at);
	case ACCESS_HASH:
		return run_hash(r, at);
	case ACCESS_SCAN:
		break;
	}
	return run_scan(r, at);
}

/* A key with a row that is NULL matches nothing. */
static bool has_null_key(const struct run *r, const struct step *step)
{
	for (uint16_t i = 0; i < step->key_count; i++)
		if (step->keys[i].constant == NULL && step->keys[i].list == NULL &&
			r->tuple.rows[step->keys[i].relation] == NULL)
			return true;
	return false;
}

/* As often as its list has constants. */
static bool run_list(struct run *r, uint16_t at)
{
	const struct step *step = &r->plan->steps[at];
	const struct constants *list = NULL;
	for (uint16_t i = 0; i < step->key_count; i++)
		list = step->keys[i].list != NULL ? step->keys[i].list : list;
	for (uint32_t i = 0; i < list->count; i++) {
		r->states[at].choice = list->values[i];
		if (!go_on(r, 1) || !run_access(r, at))
			return false;
	}
	return true;
}

/* The tuple goes on with NULL where nothing matched. */
static bool run_left(struct run *r, uint16_t at)
{
	const struct step *step = &r->plan->steps[at];
	bool holds;
	r->states[at].matched = false;
	if (!has_null_key(r, step) && !(step->has_list ? run_list(r, at) : run_access(r, at)))
		return false;
	if (r->states[at].matched)
		return true;
	r->tuple.rows[step->relation] = NULL;
	r->tuple.lens[step->relation] = r->tuple.numbers[step->relation] = 0;
	if (!tests_hold(r, (const struct test *const *)step->tests, step->test_count, &holds))
		return false;
	if (!holds)
		return true;
	return at + 1 == r->plan->step_count ? r->fn(r->context, &r->tuple) : run_step(r, (uint16_t)(at + 1));
}

static bool run_step(struct run *r, uint16_t at)
{
	const struct step *step = &r->plan->steps[at];
	if (UNLIKELY(step->is_left))
		return run_left(r, at);
	if (UNLIKELY(step->has_list))
		return run_list(r, at);
	if (!run_access(r, at))
		return false;
	const struct run_source *source = UNLIKELY(r->any_before) ? &r->sources[step->relation] : NULL;
	return source == NULL || !source->is_before || take_delta(r, at, source->deletes);
}

enum { FEW = 8 };
static void tables_free(struct run *r)
{
	for (uint16_t i = 0; i < r->plan->step_count; i++)
		if (r->tables[i] != NULL) {
			mem_free(r->tables[i]->heads);
			mem_free(r->tables[i]->rows);
			mem_free(r->tables[i]);
		}
}

static bool needs_states(const struct plan *plan)
{
	for (uint16_t i = 0; i < plan->step_count; i++)
		if (plan->steps[i].is_left || plan->steps[i].has_list)
			return true;
	return false;
}

enum wl_err plan_run(const struct block *block, const struct plan *plan, const struct run_source *sources,
	const struct run_limits *limits, tuple_fn fn, void *context, struct buf *error)
{
	const uint8_t *rows[FEW];
	uint32_t lens[FEW], numbers[FEW];
	struct hash_table *tables[FEW] = { 0 };
	struct run r = { .block = block, .plan = plan, .sources = sources, .limits = limits, .fn = fn, .context = context,
		.error = error, .tuple = { .rows = rows, .lens = lens, .numbers = numbers, .sign = 1 },
		.key = BUF_INIT(KEY_BYTES_MAX), .tables = tables, .ev = { .limits = limits, .error = error } };
	r.used = limits->used != NULL ? limits->used : &r.memory;
	for (uint16_t i = 0; sources != NULL && i < plan->step_count; i++)
		r.any_before = r.any_before || sources[i].is_before;
	uint8_t *many = NULL;
	size_t n = plan->step_count;
	if (n > FEW) {
		many = mem_zalloc(n * (sizeof(rows[0]) + sizeof(tables[0]) + 2 * sizeof(uint32_t)));
		if (many == NULL) {
			buf_put_cstr(error, "not enough memory for the query");
			return WL_ERR_MEMORY;
		}
		r.tuple.rows = (const uint8_t **)(void *)many;
		r.tables = (struct hash_table **)(void *)(many + n * sizeof(rows[0]));
		r.tuple.lens = (uint32_t *)(void *)(many + n * (sizeof(rows[0]) + sizeof(tables[0])));
		r.tuple.numbers = r.tuple.lens + n;
	}
	if (needs_states(plan)) {
		r.states = mem_zalloc_array(n, sizeof(*r.states));
		if (r.states == NULL)
			(void)stop(&r, WL_ERR_MEMORY, "not enough memory for the query");
	}
	if (r.err == WL_OK)
		(void)run_step(&r, 0);
	tables_free(&r);
	mem_free(r.states);
	buf_deinit(&r.key);
	mem_free(many);
	return r.err;
}

enum wl_err block_run(const struct block *block, const struct run_limits *limits, tuple_fn fn, void *context,
	struct buf *error)
{
	if (!limits->plain && limits->snapshot == NULL)
		return plan_run(block, block->plan, NULL, limits, fn, context, error);
	struct arena arena;
	const struct plan_options options = { .plain = limits->plain, .without_indexes = true,
		.snapshot = limits->snapshot };
	arena_init(&arena, QUERY_ARENA_BYTES_MAX);
	const struct plan *plan = plan_make(&arena, &arena, block, &options);
	enum wl_err err = plan == NULL ? no_memory(error) : plan_run(block, plan, NULL, limits, fn, context, error);
	arena_deinit(&arena);
	return err;
}
