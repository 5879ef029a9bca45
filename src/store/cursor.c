/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: cursors over a table or an index, look-ups by key and range, and
 * deletes through them.
 *
 * A cursor knows its end as a position or a number, never as bytes of the
 * caller's, so it may outlive the arguments it was made from. It is valid
 * until the next write to its table.
 */
#include "store/store_internal.h"

/* state[0]; the meaning of the others follows the kind. */
enum cursor_kind {
	CURSOR_END,
	CURSOR_ONE,   /* [1] row */
	CURSOR_TABLE, /* [1] page, [2] word, [3] rows left in the word */
	CURSOR_TREE,  /* pointers[0] leaf, [1] place; ends at pointers[1], [2] */
	CURSOR_INT,   /* the same in the tree; [4] last key; [5], [6] next key and row of the chunks, if [7] */
};

static void give(const struct store_table *t, uint32_t number, struct store_row *row)
{
	row->number = number;
	row->data = row_data(t, number, &row->len);
}

/* Entries of indexes may belong to rows that this transaction has deleted. */
static inline bool is_seen(const struct store_table *t, uint32_t row)
{
	return t->tx.dead_count + t->tx.displaced_count == 0 || row_visible(t, row);
}

/* ---- whole tables ---- */

void store_scan(struct store_table *t, struct store_cursor *c)
{
	c->table = t;
	c->index = NULL;
	c->state[0] = t->row_count == 0 ? CURSOR_END : CURSOR_TABLE;
	c->state[1] = c->state[2] = 0;
	c->state[3] = t->page_count > 0 && t->pages[0] != NULL ? t->pages[0]->words[0].visible : 0;
}

/* The next word of the table that has rows: its bits are state[3]. */
static bool table_word(struct store_cursor *c)
{
	const struct store_table *t = c->table;
	while (c->state[3] == 0) {
		bool page_ends = c->state[1] >= t->page_count || t->pages[c->state[1]] == NULL ||
			c->state[2] + 1 >= t->page_words;
		if (page_ends) {
			c->state[1]++;
			c->state[2] = 0;
		} else {
			c->state[2]++;
		}
		if (c->state[1] >= t->page_count) {
			c->state[0] = CURSOR_END;
			return false;
		}
		const struct page *page = t->pages[c->state[1]];
		c->state[3] = page == NULL ? 0 : page->words[c->state[2]].visible;
	}
	return true;
}

static bool table_next(struct store_cursor *c, struct store_row *row)
{
	if (!table_word(c))
		return false;
	uint32_t bit = (uint32_t)__builtin_ctzll(c->state[3]);
	c->state[3] &= c->state[3] - 1;
	give(c->table, (uint32_t)((c->state[1] << c->table->shift) + c->state[2] * 64 + bit), row);
	return true;
}

bool store_table_in_slots(const struct store_table *t)
{
	return t->fixed_size >= 0 && t->heap == NULL;
}

bool store_cursor_next_slots(struct store_cursor *c, struct store_slots *slots)
{
	const struct store_table *t = c->table;
	DEBUG_ASSERT(store_table_in_slots(t) && (c->state[0] == CURSOR_TABLE || c->state[0] == CURSOR_END));
	if (c->state[0] == CURSOR_END || !table_word(c))
		return false;
	uint32_t first = (uint32_t)((c->state[1] << t->shift) + c->state[2] * 64);
	*slots = (struct store_slots){ .data = row_slot(t, first), .bits = c->state[3], .stride = t->stride,
		.size = (uint32_t)t->fixed_size, .first = first };
	c->state[3] = 0;
	return true;
}

/* ---- trees ---- */

static void set_tree(struct store_cursor *c, struct tree_position from, struct tree_position to)
{
	c->state[0] = from.leaf == NULL || (from.leaf == to.leaf && from.at == to.at) ? CURSOR_END : CURSOR_TREE;
	c->pointers[0] = from.leaf;
	c->state[1] = from.at;
	c->pointers[1] = to.leaf;
	c->state[2] = to.at;
}

static bool tree_step(struct store_cursor *c, struct store_row *row)
{
	const struct store_index *ix = c->index;
	const struct tree_node *leaf = c->pointers[0], *last = c->pointers[1];
	uint32_t at = (uint32_t)c->state[1], last_at = (uint32_t)c->state[2];
	while (leaf != NULL && !(leaf == last && at == last_at)) {
		uint32_t number = tree_node_rows(ix, leaf)[at];
		if (++at == leaf->count) {
			leaf = leaf->next;
			at = 0;
		}
		if (!is_seen(c->table, number))
			continue;
		c->pointers[0] = leaf;
		c->state[1] = at;
		give(c->table, number, row);
		return true;
	}
	c->state[0] = CURSOR_END;
	return false;
}

/* ---- integers: chunks and tree side by side ---- */

static void fetch_chunk(struct store_cursor *c, uint64_t from)
{
	uint64_t key;
	uint32_t row;
	bool has = radix_next(&c->index->radix, from, &key, &row) && key <= c->state[4];
	c->state[5] = key;
	c->state[6] = row;
	c->state[7] = has;
}

static void set_integers(struct store_cursor *c, uint64_t low, uint64_t high)
{
	struct probe probe;
	probe.key = low;
	probe.tie = TIE_FIRST;
	probe.columns = 1;
	probe.equal = true;
	struct tree_position at = tree_seek(c->index, &probe);
	c->state[0] = CURSOR_INT;
	c->pointers[0] = at.leaf;
	c->state[1] = at.at;
	c->state[4] = high;
	fetch_chunk(c, low);
}

static bool integer_step(struct store_cursor *c, struct store_row *row)
{
	const struct store_index *ix = c->index;
	for (;;) {
		struct tree_position at = { (struct tree_node *)(uintptr_t)c->pointers[0], (uint32_t)c->state[1] };
		uint64_t key = at.leaf == NULL ? 0 : (uint64_t)tree_key_at(ix, at);
		bool has_tree = at.leaf != NULL && key <= c->state[4];
		uint32_t number;
		if (c->state[7] && (!has_tree || c->state[5] < key)) {
			number = (uint32_t)c->state[6];
			if (c->state[5] == c->state[4])
				c->state[7] = false;
			else
				fetch_chunk(c, c->state[5] + 1);
		} else if (has_tree) {
			number = tree_row_at(ix, at);
			at = tree_next(at);
			c->pointers[0] = at.leaf;
			c->state[1] = at.at;
		} else {
			c->state[0] = CURSOR_END;
			return false;
		}
		if (is_seen(c->table, number)) {
			give(c->table, number, row);
			return true;
		}
	}
}

bool store_cursor_next(struct store_cursor *c, struct store_row *row)
{
	switch (c->state[0]) {
	case CURSOR_ONE:
		c->state[0] = CURSOR_END;
		give(c->table, (uint32_t)c->state[1], row);
		return true;
	case CURSOR_TABLE:
		return table_next(c, row);
	case CURSOR_TREE:
		return tree_step(c, row);
	case CURSOR_INT:
		return integer_step(c, row);
	default:
		return false;
	}
}

/* ---- look-ups ---- */

static void set_one(struct store_cursor *c, uint32_t row)
{
	bool seen = row != ROW_NONE && is_seen(c->table, row);
	c->state[0] = seen ? CURSOR_ONE : CURSOR_END;
	c->state[1] = row;
}

enum store_status store_scan_point(struct store_index *ix, const uint8_t *key, size_t len, struct store_cursor *c)
{
	struct probe probe;
	c->table = ix->table;
	c->index = ix;
	c->state[0] = CURSOR_END;
	if (UNLIKELY(!index_probe_key(ix, key, len, ix->column_count, &probe)))
		return store_fail(ix->table->store, STORE_BAD_KEY);
	if (ix->unique) {
		set_one(c, index_find(ix, &probe));
		return STORE_OK;
	}
	probe.equal = false;
	probe.tie = TIE_FIRST;
	struct tree_position from = tree_seek(ix, &probe);
	probe.tie = TIE_LAST;
	if (from.leaf != NULL)
		set_tree(c, from, tree_seek(ix, &probe));
	return STORE_OK;
}

/* One bound of a range: tag byte, then the value of a column. */
enum bound_tag { BOUND_INCLUDED, BOUND_EXCLUDED, BOUND_UNBOUNDED };
static bool bound_decode(const struct store_index *ix, uint32_t column, const uint8_t *data, size_t len,
	const uint8_t **value)
{
	*value = NULL;
	if (len < 1 || data[0] > BOUND_UNBOUNDED)
		return false;
	if (data[0] == BOUND_UNBOUNDED)
		return true;
	*value = data + 1;
	size_t size;
	if (ix->plain_enum)
		return len >= 2;
	return sats_validate(ix->columns[column].layout, data + 1, len - 1, &size, NULL) == WL_OK;
}

static u128 ones(uint32_t bytes)
{
	return bytes >= 16 ? ~(u128)0 : ((u128)1 << 8 * bytes) - 1;
}

/* Smallest and largest key of an exact index between the bounds; false: none. `probe` has the prefix. */
static bool exact_range(const struct store_index *ix, const struct store_range *range, uint32_t prefix,
	struct probe *probe, const uint8_t *start, const uint8_t *end, u128 *low, u128 *high)
{
	uint32_t behind = 0, behind_prefix = 0;
	for (uint32_t i = prefix; i < ix->column_count; i++) {
		behind_prefix += ix->columns[i].size;
		behind += i > prefix ? ix->columns[i].size : 0;
	}
	index_probe_finish(ix, prefix, probe);
	u128 base = behind_prefix >= 16 ? 0 : probe->key << 8 * behind_prefix;
	u128 least = base, most = base | ones(behind_prefix);
	*low = least;
	*high = most;
	if (start != NULL) {
		probe->at[prefix] = start;
		index_probe_finish(ix, prefix + 1, probe);
		*low = probe->key << 8 * behind;
		if (range->start[0] == BOUND_EXCLUDED) {
			u128 last = *low | ones(behind);
			if (last == most)
				return false;
			*low = last + 1;
		}
	}
	if (end != NULL) {
		probe->at[prefix] = end;
		index_probe_finish(ix, prefix + 1, probe);
		*high = probe->key << 8 * behind;
		if (range->end[0] == BOUND_INCLUDED) {
			*high |= ones(behind);
		} else {
			if (*high == least)
				return false;
			--*high;
		}
	}
	return *low <= *high;
}

static void scan_exact(struct store_cursor *c, const struct store_range *range, uint32_t prefix, struct probe *probe,
	const uint8_t *start, const uint8_t *end)
{
	const struct store_index *ix = c->index;
	u128 low, high;
	if (!exact_range(ix, range, prefix, probe, start, end, &low, &high))
		return;
	if (ix->form == FORM_INT) {
		set_integers(c, (uint64_t)low, (uint64_t)high);
		return;
	}
	probe->key = low;
	probe->equal = false;
	probe->tie = TIE_FIRST;
	struct tree_position from = tree_seek(ix, probe);
	probe->key = high;
	probe->tie = TIE_LAST;
	if (from.leaf != NULL)
		set_tree(c, from, tree_seek(ix, probe));
}

/* The columns decide: seeks before or after all rows that share the probe's columns. */
static void scan_columns(struct store_cursor *c, const struct store_range *range, uint32_t prefix, struct probe *probe,
	const uint8_t *start, const uint8_t *end)
{
	const struct store_index *ix = c->index;
	if (start != NULL && end != NULL) {
		int order = sats_compare(ix->columns[prefix].layout->type, NULL, start, end);
		bool both = range->start[0] == BOUND_INCLUDED && range->end[0] == BOUND_INCLUDED;
		if (order > 0 || (order == 0 && !both))
			return;
	}
	struct tree_position from, to = { NULL, 0 };
	if (start == NULL && prefix == 0) {
		from = tree_first(ix);
	} else {
		probe->at[prefix] = start;
		index_probe_finish(ix, prefix + (start != NULL), probe);
		probe->tie = start != NULL && range->start[0] == BOUND_EXCLUDED ? TIE_LAST : TIE_FIRST;
		from = tree_seek(ix, probe);
	}
	if (end != NULL || prefix > 0) {
		probe->at[prefix] = end;
		index_probe_finish(ix, prefix + (end != NULL), probe);
		probe->tie = end != NULL && range->end[0] == BOUND_EXCLUDED ? TIE_FIRST : TIE_LAST;
		to = tree_seek(ix, probe);
	}
	if (from.leaf != NULL)
		set_tree(c, from, to);
}

enum store_status store_scan_range(struct store_index *ix, const struct store_range *range, struct store_cursor *c)
{
	struct store *store = ix->table->store;
	struct probe probe;
	const uint8_t *start, *end;
	uint32_t prefix = range->prefix_elems;
	c->table = ix->table;
	c->index = ix;
	c->state[0] = CURSOR_END;
	if (prefix >= ix->column_count ||
	    !index_probe_key(ix, range->prefix, prefix == 0 ? 0 : range->prefix_len, prefix, &probe) ||
	    !bound_decode(ix, prefix, range->start, range->start_len, &start) ||
	    !bound_decode(ix, prefix, range->end, range->end_len, &end))
		return store_fail(store, STORE_BAD_KEY);
	if (!ix->ordered)
		return store_fail_id(store, STORE_NOT_ORDERED, ix->def->id);
	if (ix->exact)
		scan_exact(c, range, prefix, &probe, start, end);
	else
		scan_columns(c, range, prefix, &probe, start, end);
	return STORE_OK;
}

/* ---- deletes through scans ---- */

/* The rows are listed first: removing entries while walking them would move the ground. */
static enum store_status delete_found(struct store *store, struct store_cursor *c, uint32_t *deleted)
{
	struct store_table *t = c->table;
	struct store_row row;
	uint32_t done = 0;
	if (c->state[0] == CURSOR_ONE) {
		done = 1;
		table_begin_write(t);
		enum store_status status = row_delete(t, (uint32_t)c->state[1]);
		if (status != STORE_OK)
			return store_fail(store, status);
		*deleted = done;
		return STORE_OK;
	}
	struct buf numbers = BUF_INIT((size_t)UINT32_MAX * sizeof(uint32_t));
	while (store_cursor_next(c, &row))
		buf_put_u32(&numbers, row.number);
	enum store_status status = numbers.failed ? STORE_MEMORY : STORE_OK;
	if (status == STORE_OK && numbers.len > 0)
		table_begin_write(t);
	for (size_t i = 0; status == STORE_OK && i < numbers.len; i += sizeof(uint32_t), done++)
		status = row_delete(t, load_u32(numbers.data + i));
	buf_deinit(&numbers);
	if (status != STORE_OK)
		return store_fail(store, status);
	*deleted = done;
	return STORE_OK;
}

enum store_status store_delete_range(struct store *store, struct store_index *ix, const struct store_range *range,
	uint32_t *deleted)
{
	ASSERT(store->tx_active);
	struct store_cursor cursor;
	enum store_status status = store_scan_range(ix, range, &cursor);
	return status == STORE_OK ? delete_found(store, &cursor, deleted) : status;
}

enum store_status store_delete_point(struct store *store, struct store_index *ix, const uint8_t *key, size_t len,
	uint32_t *deleted)
{
	ASSERT(store->tx_active);
	struct store_cursor cursor;
	enum store_status status = store_scan_point(ix, key, len, &cursor);
	return status == STORE_OK ? delete_found(store, &cursor, deleted) : status;
}

/* ---- watches ---- */

void store_watch_add(struct store_table *t, struct store_watch *watch)
{
	watch->next = t->watches;
	watch->link = &t->watches;
	if (t->watches != NULL)
		t->watches->link = &watch->next;
	t->watches = watch;
}

void store_watch_remove(struct store_watch *watch)
{
	if (watch->link == NULL)
		return;
	*watch->link = watch->next;
	if (watch->next != NULL)
		watch->next->link = watch->link;
	watch->next = NULL;
	watch->link = NULL;
}
