/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_MODEL_H
#define STORE_MODEL_H
/*
 * A naive model of one table beside the real one: two lists of rows, every
 * question answered by looking at all of them. Operations are driven by a
 * source of numbers, a seeded generator or a fuzzer's bytes. Differences end
 * the process (ASSERT).
 */
#include "unit/store_util.h"

struct source {
	uint64_t state;
	const uint8_t *bytes; /* instead of the generator */
	size_t left;
};
static inline uint32_t draw_below(struct source *src, uint32_t limit)
{
	if (src->bytes != NULL) {
		uint32_t v = 0;
		for (uint32_t need = limit - 1; need > 0; need >>= 8) {
			v = v << 8 | (src->left > 0 ? *src->bytes++ : 0);
			src->left -= src->left > 0;
		}
		return v % limit;
	}
	src->state = src->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((src->state >> 33) % limit);
}

struct model_row {
	uint8_t *data;
	uint32_t len;
};
struct model_rows {
	struct model_row *rows;
	uint32_t count, cap;
};
enum { MODEL_SNAPSHOTS = 3 };
struct model_snapshot {
	struct store_snapshot *snapshot; /* NULL: free */
	struct model_rows rows;          /* what it must show for ever */
};
struct model {
	struct fixture f;
	const struct store_table_def *def;
	const struct sats_row_layout *layout;
	struct model_rows committed, visible;
	struct model_rows copy; /* kept up to date by deltas only */
	uint32_t domain;        /* of numbers */
	bool tolerate;          /* STORE_MEMORY may happen */
	struct model_snapshot snapshots[MODEL_SNAPSHOTS];
	struct source between;  /* what happens to them between transactions */
	uint64_t statuses[16];
};

/* ---- lists ---- */
static inline void rows_add(struct model_rows *r, const uint8_t *data, uint32_t len)
{
	if (r->count == r->cap) {
		r->cap = r->cap == 0 ? 16 : r->cap * 2;
		r->rows = mem_or_abort(mem_realloc(r->rows, r->cap * sizeof(*r->rows)));
	}
	uint8_t *copy = mem_or_abort(mem_alloc(len));
	if (len > 0)
		memcpy(copy, data, len);
	r->rows[r->count++] = (struct model_row){ copy, len };
}
static inline void rows_take(struct model_rows *r, uint32_t at)
{
	mem_free(r->rows[at].data);
	r->rows[at] = r->rows[--r->count];
}
static inline void rows_clear(struct model_rows *r)
{
	while (r->count > 0)
		rows_take(r, r->count - 1);
}
static inline void rows_free(struct model_rows *r)
{
	rows_clear(r);
	mem_free(r->rows);
	*r = (struct model_rows){ 0 };
}
static inline void rows_copy(struct model_rows *to, const struct model_rows *from)
{
	rows_clear(to);
	for (uint32_t i = 0; i < from->count; i++)
		rows_add(to, from->rows[i].data, from->rows[i].len);
}
static inline uint32_t rows_find(const struct model_rows *r, const uint8_t *data, uint32_t len)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->rows[i].len == len && (len == 0 || memcmp(r->rows[i].data, data, len) == 0))
			return i;
	return UINT32_MAX;
}

/* ---- keys ---- */
static inline bool is_raw(const struct model *m, const struct store_index_def *ix)
{
	bool fixed = true;
	for (uint32_t i = 0; i < ix->column_count; i++)
		fixed &= m->layout->columns[ix->columns[i]]->fixed_size >= 0;
	return ix->kind == STORE_HASH && ix->column_count > 1 && fixed;
}
static inline int compare_column_of(const struct model *m, const struct store_index_def *ix, uint32_t i,
	const uint8_t *a, const uint8_t *b)
{
	const struct sats_layout *layout = m->layout->columns[ix->columns[i]];
	if (is_raw(m, ix))
		return memcmp(a, b, (size_t)layout->fixed_size);
	return sats_compare(layout->type, NULL, a, b);
}
static inline int compare_keys(const struct model *m, const struct store_index_def *ix, uint32_t columns,
	const uint8_t *a, const uint8_t *b)
{
	for (uint32_t i = 0; i < columns; i++) {
		int order = compare_column_of(m, ix, i, sats_column(m->layout, a, ix->columns[i]),
			sats_column(m->layout, b, ix->columns[i]));
		if (order != 0)
			return order;
	}
	return 0;
}
static inline uint32_t model_find_key(const struct model *m, const struct store_index_def *ix, const uint8_t *row,
	uint32_t ignore)
{
	for (uint32_t i = 0; i < m->visible.count; i++)
		if (i != ignore && compare_keys(m, ix, ix->column_count, m->visible.rows[i].data, row) == 0)
			return i;
	return UINT32_MAX;
}
static inline bool model_conflicts(const struct model *m, const uint8_t *row, uint32_t ignore)
{
	for (uint32_t i = 0; i < m->def->index_count; i++)
		if (m->def->indexes[i].unique && model_find_key(m, &m->def->indexes[i], row, ignore) != UINT32_MAX)
			return true;
	return false;
}

/* ---- random rows ---- */
static inline void random_value(struct model *m, struct source *src, const struct sats_type *type, struct buf *out)
{
	static const double floats[] = { 0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 0.5 };
	switch (type->tag) {
	case SATS_BOOL:
		buf_put_u8(out, (uint8_t)draw_below(src, 2));
		return;
	case SATS_F32:
	case SATS_F64: {
		uint32_t pick = draw_below(src, 10);
		double d = pick < 7 ? floats[pick] : pick == 7 ? 1.0 / 0.0 : 0.0;
		float f = pick < 7 ? (float)floats[pick] : (float)d;
		if (type->tag == SATS_F32)
			buf_put_u32(out, pick >= 8 ? 0x7fc00000u + pick : ({ uint32_t b; memcpy(&b, &f, 4); b; }));
		else
			buf_put_u64(out, pick >= 8 ? 0xfff8000000000000u + pick : ({ uint64_t b; memcpy(&b, &d, 8); b; }));
		return;
	}
	case SATS_STRING:
	case SATS_ARRAY: {
		uint32_t n = draw_below(src, m->domain), len = n % 7 == 0 ? n % 97 : n % 11;
		if (n % 101 == 100)
			len = 5000;
		buf_put_u32(out, len);
		for (uint32_t i = 0; i < len; i++)
			buf_put_u8(out, (uint8_t)(i + 4 < len ? 'a' : 'a' + n % 26));
		return;
	}
	case SATS_SUM: {
		uint8_t tag = (uint8_t)draw_below(src, type->count);
		buf_put_u8(out, tag);
		random_value(m, src, type->elements[tag].type, out);
		return;
	}
	case SATS_PRODUCT:
		for (uint32_t i = 0; i < type->count; i++)
			random_value(m, src, type->elements[i].type, out);
		return;
	default: {
		uint32_t size = type->plain_size, n = draw_below(src, m->domain);
		int64_t v = n % 5 == 0 ? -(int64_t)n : n;
		uint8_t le[32];
		memset(le, v < 0 ? 0xff : 0, sizeof(le));
		memcpy(le, &v, 8);
		if (n % 17 == 0)
			le[size - 1] ^= 0x80;
		buf_put(out, le, size);
	}
	}
}
static inline void random_row(struct model *m, struct source *src, struct buf *out)
{
	buf_clear(out);
	uint32_t old = m->visible.count > 0 && draw_below(src, 4) == 0 ? draw_below(src, m->visible.count) : UINT32_MAX;
	for (uint32_t i = 0; i < m->def->column_count; i++) {
		if (old != UINT32_MAX && draw_below(src, 2) == 0) { /* like a row that is there */
			const uint8_t *at = sats_column(m->layout, m->visible.rows[old].data, i);
			buf_put(out, at, sats_size(m->layout->columns[i], at));
		} else {
			random_value(m, src, m->def->columns[i].type, out);
		}
	}
}

/* ---- comparing ---- */
static inline void check_cursor(const struct model *m, struct store_cursor *c, const struct store_index_def *ix,
	bool (*wanted)(const struct model *, const uint8_t *, const void *), const void *context)
{
	uint32_t expected = 0, found = 0;
	for (uint32_t i = 0; i < m->visible.count; i++)
		expected += wanted == NULL || wanted(m, m->visible.rows[i].data, context);
	struct store_row row;
	struct buf last = BUF_INIT(1 << 24);
	while (store_cursor_next(c, &row)) {
		ASSERT(++found <= expected);
		ASSERT(rows_find(&m->visible, row.data, row.len) != UINT32_MAX);
		ASSERT(wanted == NULL || wanted(m, row.data, context));
		if (ix != NULL && ix->kind != STORE_HASH && last.len > 0)
			ASSERT(compare_keys(m, ix, ix->column_count, last.data, row.data) <= 0);
		buf_clear(&last);
		buf_put(&last, row.data, row.len);
	}
	buf_deinit(&last);
	ASSERT(found == expected);
	ASSERT(!store_cursor_next(c, &row));
}
static inline void check_contents(struct model *m)
{
	struct store_cursor c;
	ASSERT(store_table_row_count(m->f.t) == m->visible.count);
	store_scan(m->f.t, &c);
	check_cursor(m, &c, NULL, NULL, NULL);
	for (uint32_t i = 0; i < m->def->index_count; i++) {
		const struct store_index_def *ix = &m->def->indexes[i];
		uint8_t unbounded = 2;
		struct store_range all = { .start = &unbounded, .start_len = 1, .end = &unbounded, .end_len = 1 };
		enum store_status status = store_scan_range(m->f.index[i], &all, &c);
		ASSERT(status == (ix->kind == STORE_HASH ? STORE_NOT_ORDERED : STORE_OK));
		if (status == STORE_OK)
			check_cursor(m, &c, ix, NULL, NULL);
	}
}

/* ---- ranges ---- */
struct bounds {
	const struct store_index_def *ix;
	const uint8_t *row; /* has the prefix and the start */
	const uint8_t *end; /* a row that has the end */
	uint32_t prefix;
	uint8_t start_tag, end_tag;
};
static inline bool in_bounds(const struct model *m, const uint8_t *row, const void *context)
{
	const struct bounds *b = context;
	if (compare_keys(m, b->ix, b->prefix, row, b->row) != 0)
		return false;
	uint16_t column = b->ix->columns[b->prefix];
	const uint8_t *at = sats_column(m->layout, row, column);
	int start = compare_column_of(m, b->ix, b->prefix, at, sats_column(m->layout, b->row, column));
	int end = compare_column_of(m, b->ix, b->prefix, at, sats_column(m->layout, b->end, column));
	return (b->start_tag == 2 || (b->start_tag == 1 ? start > 0 : start >= 0)) &&
		(b->end_tag == 2 || (b->end_tag == 1 ? end < 0 : end <= 0));
}
static inline bool same_point(const struct model *m, const uint8_t *row, const void *context)
{
	const struct bounds *b = context;
	return compare_keys(m, b->ix, b->ix->column_count, row, b->row) == 0;
}
static inline void put_column(const struct model *m, struct buf *out, const uint8_t *row, uint16_t column)
{
	const uint8_t *at = sats_column(m->layout, row, column);
	buf_put(out, at, sats_size(m->layout->columns[column], at));
}
static inline void put_bound(const struct model *m, struct buf *out, uint8_t tag, const uint8_t *row, uint16_t column)
{
	buf_put_u8(out, tag);
	if (tag != 2)
		put_column(m, out, row, column);
}

static inline void took(struct model *m, enum store_status status)
{
	m->statuses[status]++;
	ASSERT(status != STORE_MEMORY || m->tolerate);
}

/* A range scan, or a delete through one. */
static inline enum store_status model_range(struct model *m, struct source *src, bool deletes)
{
	if (m->def->index_count == 0)
		return STORE_OK;
	uint32_t which = draw_below(src, m->def->index_count);
	const struct store_index_def *ix = &m->def->indexes[which];
	struct buf row = BUF_INIT(1 << 20), end = row, prefix = row, start_bound = row, end_bound = row;
	random_row(m, src, &row);
	random_row(m, src, &end);
	struct bounds b = { ix, row.data, end.data, draw_below(src, ix->column_count), (uint8_t)draw_below(src, 3),
		(uint8_t)draw_below(src, 3) };
	for (uint32_t i = 0; i < b.prefix; i++)
		put_column(m, &prefix, row.data, ix->columns[i]);
	put_bound(m, &start_bound, b.start_tag, row.data, ix->columns[b.prefix]);
	put_bound(m, &end_bound, b.end_tag, end.data, ix->columns[b.prefix]);
	ASSERT(!row.failed && !end.failed && !prefix.failed && !start_bound.failed && !end_bound.failed);
	struct store_range range = { prefix.data, prefix.len, b.prefix, start_bound.data, start_bound.len, end_bound.data,
		end_bound.len };
	enum store_status status;
	if (!deletes) {
		struct store_cursor c;
		status = store_scan_range(m->f.index[which], &range, &c);
		ASSERT(status == (ix->kind == STORE_HASH ? STORE_NOT_ORDERED : STORE_OK));
		if (status == STORE_OK)
			check_cursor(m, &c, ix, in_bounds, &b);
		status = STORE_OK;
	} else {
		uint32_t deleted = 0, expected = 0;
		status = store_delete_range(m->f.s, m->f.index[which], &range, &deleted);
		took(m, status);
		if (status == STORE_OK) {
			for (uint32_t i = m->visible.count; i-- > 0;) {
				if (!in_bounds(m, m->visible.rows[i].data, &b))
					continue;
				rows_take(&m->visible, i);
				expected++;
			}
			ASSERT(deleted == expected);
		} else {
			ASSERT(status == STORE_MEMORY || ix->kind == STORE_HASH);
		}
	}
	buf_deinit(&row);
	buf_deinit(&end);
	buf_deinit(&prefix);
	buf_deinit(&start_bound);
	buf_deinit(&end_bound);
	return status;
}

static inline enum store_status model_point(struct model *m, struct source *src, bool deletes)
{
	if (m->def->index_count == 0)
		return STORE_OK;
	uint32_t which = draw_below(src, m->def->index_count);
	const struct store_index_def *ix = &m->def->indexes[which];
	struct buf row = BUF_INIT(1 << 20), key = row;
	random_row(m, src, &row);
	for (uint32_t i = 0; i < ix->column_count; i++)
		put_column(m, &key, row.data, ix->columns[i]);
	ASSERT(!row.failed && !key.failed);
	struct bounds b = { .ix = ix, .row = row.data };
	enum store_status status = STORE_OK;
	if (!deletes) {
		struct store_cursor c;
		ASSERT(store_scan_point(m->f.index[which], key.data, key.len, &c) == STORE_OK);
		check_cursor(m, &c, ix, same_point, &b);
	} else {
		uint32_t deleted = 0, expected = 0;
		status = store_delete_point(m->f.s, m->f.index[which], key.data, key.len, &deleted);
		took(m, status);
		for (uint32_t i = m->visible.count; status == STORE_OK && i-- > 0;) {
			if (!same_point(m, m->visible.rows[i].data, &b))
				continue;
			rows_take(&m->visible, i);
			expected++;
		}
		ASSERT(status == STORE_MEMORY || deleted == expected);
	}
	buf_deinit(&row);
	buf_deinit(&key);
	return status;
}

/* ---- writes ---- */
static inline void model_insert(struct model *m, struct source *src)
{
	struct buf row = BUF_INIT(1 << 20);
	random_row(m, src, &row);
	size_t len = row.len;
	struct store_row stored;
	enum store_status status = store_insert(m->f.s, m->f.t, row.data, &len, &stored);
	took(m, status);
	if (status != STORE_MEMORY) {
		bool exists = rows_find(&m->visible, row.data, (uint32_t)row.len) != UINT32_MAX;
		bool conflict = !exists && model_conflicts(m, row.data, UINT32_MAX);
		ASSERT(status == (conflict ? STORE_UNIQUE_VIOLATION : STORE_OK));
		if (status == STORE_OK) {
			ASSERT(len == 0 && stored.len == row.len && (row.len == 0 || memcmp(stored.data, row.data, row.len) == 0));
			if (!exists)
				rows_add(&m->visible, row.data, (uint32_t)row.len);
		} else {
			ASSERT(len == row.len && store_error_text(m->f.s).len > 0);
		}
	}
	buf_deinit(&row);
}
static inline void model_update(struct model *m, struct source *src)
{
	if (m->def->index_count == 0)
		return;
	uint32_t which = draw_below(src, m->def->index_count);
	const struct store_index_def *ix = &m->def->indexes[which];
	struct buf row = BUF_INIT(1 << 20);
	random_row(m, src, &row);
	size_t len = row.len;
	enum store_status status = store_update(m->f.s, m->f.t, m->f.index[which], row.data, &len, NULL);
	took(m, status);
	if (status != STORE_MEMORY) {
		enum store_status expected = STORE_OK;
		uint32_t old = model_find_key(m, ix, row.data, UINT32_MAX);
		if (!ix->unique)
			expected = STORE_INDEX_NOT_UNIQUE;
		else if (old == UINT32_MAX)
			expected = STORE_NO_ROW;
		else if (rows_find(&m->visible, row.data, (uint32_t)row.len) != old && model_conflicts(m, row.data, old))
			expected = STORE_UNIQUE_VIOLATION;
		ASSERT(status == expected);
		if (status == STORE_OK) {
			rows_take(&m->visible, old);
			rows_add(&m->visible, row.data, (uint32_t)row.len);
		}
	}
	buf_deinit(&row);
}
static inline enum store_status model_delete(struct model *m, struct source *src)
{
	struct buf row = BUF_INIT(1 << 20), relation = row;
	random_row(m, src, &row);
	if (m->visible.count > 0 && draw_below(src, 4) > 0) {
		const struct model_row *r = &m->visible.rows[draw_below(src, m->visible.count)];
		buf_clear(&row);
		buf_put(&row, r->data, r->len);
	}
	buf_put_u32(&relation, 1);
	buf_put(&relation, row.data, row.len);
	ASSERT(!row.failed && !relation.failed);
	uint32_t deleted = 0;
	enum store_status status = store_delete_all_by_eq(m->f.s, m->f.t, relation.data, relation.len, &deleted);
	took(m, status);
	if (status == STORE_OK) {
		uint32_t at = rows_find(&m->visible, row.data, (uint32_t)row.len);
		ASSERT(deleted == (at != UINT32_MAX));
		if (at != UINT32_MAX)
			rows_take(&m->visible, at);
	}
	buf_deinit(&row);
	buf_deinit(&relation);
	return status;
}

/* ---- the ends ---- */
static inline void check_delta(struct model *m, const struct store_delta *delta)
{
	uint32_t inserts = 0, deletes = 0, pairs = 0;
	for (uint32_t i = 0; i < m->visible.count; i++)
		inserts += rows_find(&m->committed, m->visible.rows[i].data, m->visible.rows[i].len) == UINT32_MAX;
	for (uint32_t i = 0; i < m->committed.count; i++)
		deletes += rows_find(&m->visible, m->committed.rows[i].data, m->committed.rows[i].len) == UINT32_MAX;
	const struct store_delta_table *t = NULL;
	for (uint32_t i = 0; i < delta->table_count; i++)
		if (delta->tables[i].table == m->f.t)
			t = &delta->tables[i];
	ASSERT((t != NULL) == (inserts + deletes > 0));
	ASSERT(delta->durable == (inserts + deletes > 0));
	if (t == NULL)
		return;
	ASSERT(t->inserts.count == inserts && t->deletes.count == deletes);
	ASSERT(t->truncated == (deletes > 0 && inserts == 0 && m->visible.count == 0));
	for (uint32_t i = 0; i < deletes; i++) {
		struct bytes row = store_delta_row(&t->deletes, i);
		uint32_t at = rows_find(&m->copy, row.data, (uint32_t)row.len);
		ASSERT(at != UINT32_MAX);
		rows_take(&m->copy, at);
	}
	for (uint32_t i = 0; i < inserts; i++) {
		struct bytes row = store_delta_row(&t->inserts, i);
		ASSERT(rows_find(&m->copy, row.data, (uint32_t)row.len) == UINT32_MAX);
		rows_add(&m->copy, row.data, (uint32_t)row.len);
	}
	if (m->def->primary_key < 0) {
		ASSERT(t->updated == 0);
		return;
	}
	const uint16_t key[] = { (uint16_t)m->def->primary_key };
	const struct store_index_def pk = { .columns = key, .column_count = 1 };
	for (uint32_t i = 0; i < deletes; i++)
		for (uint32_t k = 0; k < inserts; k++)
			if (compare_keys(m, &pk, 1, store_delta_row(&t->deletes, i).data,
				store_delta_row(&t->inserts, k).data) == 0) {
				ASSERT(i == k && i < t->updated);
				pairs++;
			}
	ASSERT(pairs == t->updated);
}
/* What a snapshot shows is what was committed when it was taken. */
static inline void check_snapshot(const struct model *m, const struct model_snapshot *s)
{
	struct store_table *t = store_snapshot_table(s->snapshot, m->f.t);
	struct store_cursor c;
	struct store_row row;
	uint32_t found = 0;
	ASSERT(store_table_row_count(t) == s->rows.count);
	store_scan(t, &c);
	for (; store_cursor_next(&c, &row); found++)
		ASSERT(rows_find(&s->rows, row.data, row.len) != UINT32_MAX);
	ASSERT(found == s->rows.count);
}
static inline void snapshot_end(struct model *m, struct model_snapshot *s)
{
	check_snapshot(m, s);
	store_snapshot_release(m->f.s, s->snapshot);
	s->snapshot = NULL;
}
/* Between two transactions snapshots are taken, looked at and released, in any order. */
static inline void model_between(struct model *m)
{
	struct model_snapshot *s = &m->snapshots[draw_below(&m->between, MODEL_SNAPSHOTS)];
	uint32_t pick = draw_below(&m->between, 4);
	if (s->snapshot == NULL && pick < 3) {
		s->snapshot = store_snapshot_take(m->f.s, &m->f.t, 1);
		ASSERT(s->snapshot != NULL);
		rows_copy(&s->rows, &m->committed);
	}
	if (s->snapshot != NULL && pick >= 2)
		snapshot_end(m, s);
	else if (s->snapshot != NULL)
		check_snapshot(m, s);
}
static inline void model_rollback(struct model *m)
{
	store_tx_rollback(m->f.s);
	rows_copy(&m->visible, &m->committed);
	check_contents(m);
	model_between(m);
	store_tx_begin(m->f.s);
}
static inline void model_commit(struct model *m)
{
	struct store_delta delta;
	enum store_status status = store_tx_commit(m->f.s, &delta);
	took(m, status);
	if (status != STORE_OK) {
		model_rollback(m);
		return;
	}
	if (m->def->is_event) {
		rows_clear(&m->committed); /* what was there before is nothing */
		check_delta(m, &delta);
		rows_clear(&m->visible);
		rows_clear(&m->copy);
	} else {
		check_delta(m, &delta);
		rows_copy(&m->committed, &m->visible);
	}
	check_contents(m);
	for (uint32_t i = 0; i < m->committed.count; i++)
		ASSERT(rows_find(&m->copy, m->committed.rows[i].data, m->committed.rows[i].len) != UINT32_MAX);
	ASSERT(m->copy.count == m->committed.count);
	model_between(m);
	store_tx_begin(m->f.s);
}

/* One operation; a multi-row one that runs out of memory ends the transaction. */
static inline void model_step(struct model *m, struct source *src)
{
	enum store_status status = STORE_OK;
	uint32_t pick = draw_below(src, 100);
	if (pick < 36) {
		model_insert(m, src);
	} else if (pick < 56) {
		model_update(m, src);
	} else if (pick < 74) {
		status = model_delete(m, src);
	} else if (pick < 79) {
		model_point(m, src, false);
	} else if (pick < 84) {
		model_range(m, src, false);
	} else if (pick < 87) {
		status = model_point(m, src, true);
	} else if (pick < 88) {
		status = model_range(m, src, true);
	} else if (pick < 89 && draw_below(src, 4) == 0) {
		uint64_t deleted;
		status = store_clear(m->f.s, m->f.t, &deleted);
		took(m, status);
		if (status == STORE_OK) {
			ASSERT(deleted == m->visible.count);
			rows_clear(&m->visible);
		}
	} else if (pick < 95) {
		model_commit(m);
	} else if (pick < 98) {
		model_rollback(m);
	} else {
		check_contents(m);
	}
	if (status == STORE_MEMORY)
		model_rollback(m);
}

static inline struct model model_new(struct fixture f, uint32_t domain)
{
	struct model m = { .f = f, .domain = domain, .between.state = domain };
	m.def = store_table_def(f.t);
	m.layout = store_table_layout(f.t);
	store_tx_begin(m.f.s);
	return m;
}
static inline void model_free(struct model *m)
{
	store_tx_rollback(m->f.s);
	for (uint32_t i = 0; i < MODEL_SNAPSHOTS; i++) {
		if (m->snapshots[i].snapshot != NULL)
			snapshot_end(m, &m->snapshots[i]);
		rows_free(&m->snapshots[i].rows);
	}
	ASSERT(store_snapshot_bytes(m->f.s) == 0);
	rows_free(&m->committed);
	rows_free(&m->visible);
	rows_free(&m->copy);
	fixture_free(&m->f);
}

struct shape {
	const char *columns, *indexes;
	int32_t primary_key;
	bool event;
	uint32_t domain;
};
static const struct shape shapes[] = {
	{ "id:u n:u x:w", "!0", 0, false, 40 },
	{ "id:u n:u x:w", "!0", 0, false, 3000 },
	{ "id:u n:u", "!0 !1", 0, false, 25 },
	{ "id:w s:s n:i", "!0 1 2", 0, false, 60 },
	{ "id:w s:s n:i", "!1 0 2,1", -1, false, 60 },
	{ "a:u b:s c:l", "0,1,2 0 1,0", -1, false, 12 },
	{ "a:u b:h c:c d:H", "0,1,2 !3,0 0", -1, false, 12 },
	{ "f:d g:f n:u", "0 1 2,0", -1, false, 20 },
	{ "f:d n:u", "!0", 0, false, 20 },
	{ "f:f n:u", "!1,0 0", -1, false, 10 },
	{ "f:f n:u x:u", "!2 #0,1 0", 2, false, 15 },
	{ "k:w v:s w:u", "#!0 #1 #1,2 #2", 0, false, 50 },
	{ "k:J f:d g:d", "#!1,2 #1 #2,0", -1, false, 10 },
	{ "s:s t:s", "#!0 #!0,1", 0, false, 40 },
	{ "k:u v:B", "=!0 =1", 0, false, 300 },
	{ "k:K j:J i:I", "!0 1 2,1", 0, false, 60 },
	{ "e:e o:o p:p b:b", "0 1 2 3 0,1,2", -1, false, 30 },
	{ "o:o n:u", "!1 0", 1, false, 30 },
	{ "n:u s:s", "", -1, false, 30 },
	{ "n:u", "", -1, false, 200 },
	{ "a:a n:B", "0 !1", 1, false, 200 },
	{ "id:u s:s", "!0 1", 0, true, 30 },
	{ "n:u", "", -1, true, 30 },
	{ "d:f x:b", "!0 1", 0, true, 30 },
	{ "", "", -1, false, 2 },
	{ "n:u", "!0", 0, false, 30000 },
	{ "c0:K c1:K c2:K c3:K c4:K c5:K c6:K c7:K c8:K c9:K", "!0 1", 0, false, 200 },
	{ "c0:K c1:K c2:K c3:K c4:K c5:K c6:K c7:K c8:K c9:K c10:K c11:K c12:K c13:K c14:K c15:K "
		"c16:K c17:K c18:K c19:K c20:K c21:K c22:K c23:K c24:K c25:K c26:K c27:K c28:K c29:K "
		"c30:K c31:K c32:K c33:K c34:K c35:K c36:K c37:K c38:K c39:K c40:K c41:K c42:K c43:K "
		"c44:K c45:K c46:K c47:K c48:K c49:K c50:K c51:K c52:K c53:K c54:K c55:K c56:K c57:K "
		"c58:K c59:K", "!0", -1, false, 100 },
};
static inline struct model model_of_shape(const struct shape *shape)
{
	struct fixture f = shape->event ? fixture_event(shape->columns, shape->indexes, shape->primary_key) :
		fixture_new(shape->columns, shape->indexes, shape->primary_key);
	return model_new(f, shape->domain);
}
#endif
