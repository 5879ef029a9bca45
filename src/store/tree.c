/* SPDX-License-Identifier: Apache-2.0 */
/*
 * B+tree of (key, row number). Keys are integers of 4, 8 or 16 bytes; when
 * they are not exact, the rows' columns decide between equal ones. Ties are
 * in order of row numbers.
 *
 * Invariants:
 * 1. In an inner node, separator i > 0 is greater than every entry left of
 *    child i and not greater than any entry in it; separator 0 is unused.
 * 2. In a tree whose keys are not exact, separator i is the very first entry
 *    of child i, so that it never names a row that is gone.
 * 3. Leaves are linked in order and never empty, except that there is no
 *    root when there are no entries.
 * 4. An insert allocates every node it may need before it changes anything;
 *    removing and replacing never allocate.
 */
#include "store/store_internal.h"

enum { NODE_HEADER = sizeof(struct tree_node), LEAF_ENTRIES_FIRST = 4 };

struct path {
	struct tree_node *node[TREE_HEIGHT_MAX]; /* level 0: the leaf */
	uint32_t at[TREE_HEIGHT_MAX];
};

static inline uint8_t *node_keys(const struct tree_node *n)
{
	return (uint8_t *)n + NODE_HEADER;
}
static inline uint32_t *node_rows(const struct store_index *ix, const struct tree_node *n)
{
	return (uint32_t *)(node_keys(n) + (size_t)n->cap * ix->width);
}
static inline struct tree_node **node_children(const struct store_index *ix, const struct tree_node *n)
{
	size_t at = align_up((size_t)n->cap * (ix->width + 4u), 8);
	return (struct tree_node **)(node_keys(n) + at);
}
static inline u128 key_at(const struct store_index *ix, const struct tree_node *n, uint32_t i)
{
	const uint8_t *p = node_keys(n) + (size_t)i * ix->width;
	return ix->width == 4 ? load_u32(p) : ix->width == 8 ? load_u64(p) : load_u128(p);
}
static inline void key_set(const struct store_index *ix, struct tree_node *n, uint32_t i, u128 key)
{
	uint8_t *p = node_keys(n) + (size_t)i * ix->width;
	if (ix->width == 4)
		store_u32(p, (uint32_t)key);
	else if (ix->width == 8)
		store_u64(p, (uint64_t)key);
	else
		store_u128(p, key);
}

u128 tree_node_key(const struct store_index *ix, const struct tree_node *node, uint32_t at)
{
	return key_at(ix, node, at);
}
uint32_t *tree_node_rows(const struct store_index *ix, const struct tree_node *node)
{
	return node_rows(ix, node);
}

static size_t node_size(const struct store_index *ix, uint32_t cap, bool inner)
{
	size_t keys = (size_t)cap * (ix->width + 4u);
	return NODE_HEADER + (inner ? align_up(keys, 8) + cap * sizeof(struct tree_node *) : keys);
}

static struct tree_node *node_new(struct store_index *ix, uint32_t cap, bool inner)
{
	struct tree_node *n = mem_alloc(node_size(ix, cap, inner));
	if (n == NULL)
		return NULL;
	*n = (struct tree_node){ .cap = (uint16_t)cap };
	ix->tree.bytes += node_size(ix, cap, inner);
	return n;
}

static void node_free(struct store_index *ix, struct tree_node *n, bool inner)
{
	ix->tree.bytes -= node_size(ix, n->cap, inner);
	mem_free(n);
}

static void free_below(struct tree_node *n, uint32_t height, const struct store_index *ix)
{
	if (height > 1)
		for (uint32_t i = 0; i < n->count; i++)
			free_below(node_children(ix, n)[i], height - 1, ix);
	mem_free(n);
}

void tree_free(struct tree *tree)
{
	struct store_index *ix = (struct store_index *)((uint8_t *)tree - offsetof(struct store_index, tree));
	if (tree->root != NULL)
		free_below(tree->root, tree->height, ix);
	*tree = (struct tree){ 0 };
}

/* ---- search ---- */

#define FIRST_NOT_LESS(type, load) \
	static inline uint32_t first_not_less_##type(const uint8_t *keys, uint32_t from, uint32_t to, type key) \
	{ \
		uint32_t n = to - from; \
		while (n > 1) { \
			uint32_t half = n / 2; \
			/* No branch: which way it goes cannot be foreseen. */ \
			uint32_t less = load(keys + (size_t)(from + half - 1) * sizeof(type)) < key; \
			from += half & -less; \
			n -= half; \
		} \
		return n == 1 && load(keys + (size_t)from * sizeof(type)) < key ? from + 1 : from; \
	}
FIRST_NOT_LESS(uint32_t, load_u32)
FIRST_NOT_LESS(uint64_t, load_u64)
FIRST_NOT_LESS(u128, load_u128)

static inline uint32_t first_not_less(const struct store_index *ix, const struct tree_node *n, uint32_t from,
	u128 key)
{
	switch (ix->width) {
	case 4: return first_not_less_uint32_t(node_keys(n), from, n->count, (uint32_t)key);
	case 8: return first_not_less_uint64_t(node_keys(n), from, n->count, (uint64_t)key);
	default: return first_not_less_u128(node_keys(n), from, n->count, key);
	}
}

/* Number of entries in [from, count) before (probe, tie), plus from. */
static uint32_t lower_bound(const struct store_index *ix, const struct tree_node *n, uint32_t from,
	const struct probe *probe, int64_t tie)
{
	uint32_t low = first_not_less(ix, n, from, probe->key);
	if (low == n->count || key_at(ix, n, low) != probe->key)
		return low;
	if (ix->exact && tie <= TIE_FIRST)
		return low;
	const uint32_t *rows = node_rows(ix, n);
	uint32_t high = low + 1;
	/* Runs of one key are mostly short. */
	for (uint32_t step = 1; high < n->count && key_at(ix, n, high) == probe->key; step *= 2) {
		uint32_t next = high + step;
		if (next >= n->count || key_at(ix, n, next) != probe->key) {
			u128 max = ix->width == 4 ? UINT32_MAX : ix->width == 8 ? UINT64_MAX : ~(u128)0;
			high = probe->key == max ? n->count : first_not_less(ix, n, high, probe->key + 1);
			break;
		}
		high = next;
	}
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = ix->exact ? 0 : index_compare_row(ix, rows[middle], probe, probe->columns);
		if (order < 0 || (order == 0 && (int64_t)rows[middle] < tie))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Cache misses one after the other would be most of a search: all lines of a node are fetched at once. */
static inline void prefetch_node(const struct store_index *ix, const struct tree_node *n, bool inner)
{
	uint32_t bytes = (uint32_t)node_size(ix, TREE_ENTRIES_MAX, inner);
	for (uint32_t at = 0; at < bytes; at += 64)
		__builtin_prefetch((const uint8_t *)n + at);
}

static inline uint32_t child_index(const struct store_index *ix, const struct tree_node *n, const struct probe *probe)
{
	/* Entries equal to a separator are right of it. */
	return lower_bound(ix, n, 1, probe, probe->equal ? TIE_LAST : probe->tie + 1) - 1;
}

static void descend(const struct store_index *ix, const struct probe *probe, struct path *path)
{
	struct tree_node *n = ix->tree.root;
	for (uint32_t level = ix->tree.height - 1; level > 0; level--) {
		uint32_t at = child_index(ix, n, probe);
		path->node[level] = n;
		path->at[level] = at;
		n = node_children(ix, n)[at];
		prefetch_node(ix, n, level > 1);
	}
	path->node[0] = n;
	path->at[0] = lower_bound(ix, n, 0, probe, probe->equal ? TIE_FIRST : probe->tie);
}

struct tree_position tree_seek(const struct store_index *ix, const struct probe *probe)
{
	struct tree_node *n = ix->tree.root;
	if (n == NULL)
		return (struct tree_position){ NULL, 0 };
	for (uint32_t level = ix->tree.height - 1; level > 0; level--) {
		n = node_children(ix, n)[child_index(ix, n, probe)];
		prefetch_node(ix, n, level > 1);
	}
	uint32_t at = lower_bound(ix, n, 0, probe, probe->equal ? TIE_FIRST : probe->tie);
	return at < n->count ? (struct tree_position){ n, at } : (struct tree_position){ n->next, 0 };
}

struct tree_position tree_first(const struct store_index *ix)
{
	struct tree_node *n = ix->tree.root;
	if (n == NULL)
		return (struct tree_position){ NULL, 0 };
	for (uint32_t level = ix->tree.height - 1; level > 0; level--)
		n = node_children(ix, n)[0];
	return (struct tree_position){ n, 0 };
}

u128 tree_key_at(const struct store_index *ix, struct tree_position at)
{
	return key_at(ix, at.leaf, at.at);
}

uint32_t tree_row_at(const struct store_index *ix, struct tree_position at)
{
	return node_rows(ix, at.leaf)[at.at];
}

static bool is_at(const struct store_index *ix, const struct tree_node *leaf, uint32_t at, const struct probe *probe)
{
	return at < leaf->count && key_at(ix, leaf, at) == probe->key &&
		(ix->exact || index_compare_row(ix, node_rows(ix, leaf)[at], probe, probe->columns) == 0);
}

uint32_t tree_find(const struct store_index *ix, const struct probe *probe)
{
	DEBUG_ASSERT(probe->equal);
	struct tree_node *n = ix->tree.root;
	if (n == NULL)
		return ROW_NONE;
	for (uint32_t level = ix->tree.height - 1; level > 0; level--) {
		n = node_children(ix, n)[child_index(ix, n, probe)];
		prefetch_node(ix, n, level > 1);
	}
	uint32_t at = lower_bound(ix, n, 0, probe, TIE_FIRST);
	return is_at(ix, n, at, probe) ? node_rows(ix, n)[at] : ROW_NONE;
}

/* ---- insert ---- */

static void shift_entries(const struct store_index *ix, struct tree_node *n, uint32_t at)
{
	uint8_t *keys = node_keys(n) + (size_t)at * ix->width;
	uint32_t *rows = node_rows(ix, n) + at;
	size_t behind = n->count - at;
	memmove(keys + ix->width, keys, behind * ix->width);
	memmove(rows + 1, rows, behind * sizeof(*rows));
}

static void put_entry(const struct store_index *ix, struct tree_node *n, uint32_t at, u128 key, uint32_t row)
{
	shift_entries(ix, n, at);
	key_set(ix, n, at, key);
	node_rows(ix, n)[at] = row;
	n->count++;
}

static void put_child(const struct store_index *ix, struct tree_node *n, uint32_t at, u128 key, uint32_t row,
	struct tree_node *child)
{
	struct tree_node **children = node_children(ix, n) + at;
	memmove(children + 1, children, (n->count - at) * sizeof(*children));
	*children = child;
	put_entry(ix, n, at, key, row);
}

/* Moves entries [from, count) of `n` to the end of `to`. */
static void move_entries(const struct store_index *ix, struct tree_node *n, uint32_t from, struct tree_node *to,
	bool inner)
{
	uint32_t moved = n->count - from;
	memcpy(node_keys(to) + (size_t)to->count * ix->width, node_keys(n) + (size_t)from * ix->width,
		(size_t)moved * ix->width);
	memcpy(node_rows(ix, to) + to->count, node_rows(ix, n) + from, moved * sizeof(uint32_t));
	if (inner)
		memcpy(node_children(ix, to) + to->count, node_children(ix, n) + from,
			moved * sizeof(struct tree_node *));
	to->count = (uint16_t)(to->count + moved);
	n->count = (uint16_t)from;
}

static void split_leaf(const struct store_index *ix, struct tree_node *leaf, struct tree_node *right, uint32_t at,
	u128 key, uint32_t row)
{
	/* Ascending inserts leave full leaves behind. */
	bool at_end = at == leaf->count && leaf->next == NULL;
	uint32_t half = at_end ? leaf->count : leaf->count / 2;
	move_entries(ix, leaf, half, right, false);
	right->next = leaf->next;
	right->prev = leaf;
	if (right->next != NULL)
		right->next->prev = right;
	leaf->next = right;
	if (at_end || at > half)
		put_entry(ix, right, at - half, key, row);
	else
		put_entry(ix, leaf, at, key, row);
}

static void split_inner(const struct store_index *ix, struct tree_node *n, struct tree_node *right, uint32_t at,
	u128 key, uint32_t row, struct tree_node *child)
{
	uint32_t half = at == n->count ? n->count - 1u : n->count / 2;
	move_entries(ix, n, half, right, true);
	if (at > half)
		put_child(ix, right, at - half, key, row, child);
	else
		put_child(ix, n, at, key, row, child);
}

static enum store_status insert_first(struct store_index *ix, u128 key, uint32_t row)
{
	struct tree_node *leaf = node_new(ix, LEAF_ENTRIES_FIRST, false);
	if (leaf == NULL)
		return STORE_MEMORY;
	ix->tree.root = leaf;
	ix->tree.height = 1;
	put_entry(ix, leaf, 0, key, row);
	return STORE_OK;
}

static enum store_status grow_root_leaf(struct store_index *ix, struct path *path)
{
	struct tree_node *old = path->node[0];
	uint32_t cap = (uint32_t)size_min(old->cap * 2u, TREE_ENTRIES_MAX);
	struct tree_node *leaf = node_new(ix, cap, false);
	if (leaf == NULL)
		return STORE_MEMORY;
	move_entries(ix, old, 0, leaf, false);
	node_free(ix, old, false);
	ix->tree.root = path->node[0] = leaf;
	return STORE_OK;
}

/* Splits the leaf of the path and as many nodes above it as are full. */
static enum store_status insert_splitting(struct store_index *ix, struct path *path, u128 key, uint32_t row)
{
	uint32_t height = ix->tree.height, needed = 1;
	while (needed < height && path->node[needed]->count == path->node[needed]->cap)
		needed++;
	bool new_root = needed == height;
	if (new_root && height == TREE_HEIGHT_MAX)
		return STORE_LIMIT;
	struct tree_node *fresh[TREE_HEIGHT_MAX + 1];
	for (uint32_t i = 0; i < needed + new_root; i++) {
		fresh[i] = node_new(ix, TREE_ENTRIES_MAX, i > 0);
		if (fresh[i] == NULL) {
			while (i-- > 0)
				node_free(ix, fresh[i], i > 0);
			return STORE_MEMORY;
		}
	}
	split_leaf(ix, path->node[0], fresh[0], path->at[0], key, row);
	struct tree_node *right = fresh[0];
	for (uint32_t level = 1; level < height; level++) {
		struct tree_node *n = path->node[level];
		uint32_t at = path->at[level] + 1;
		u128 separator = key_at(ix, right, 0);
		uint32_t separator_row = node_rows(ix, right)[0];
		if (n->count < n->cap) {
			put_child(ix, n, at, separator, separator_row, right);
			return STORE_OK;
		}
		split_inner(ix, n, fresh[level], at, separator, separator_row, right);
		right = fresh[level];
	}
	struct tree_node *root = fresh[height];
	put_child(ix, root, 0, 0, 0, ix->tree.root);
	put_child(ix, root, 1, key_at(ix, right, 0), node_rows(ix, right)[0], right);
	ix->tree.root = root;
	ix->tree.height++;
	return STORE_OK;
}

enum store_status tree_insert(struct store_index *ix, const struct probe *probe, uint32_t row, bool may_split,
	struct tree_node **full)
{
	if (ix->tree.root == NULL)
		return insert_first(ix, probe->key, row);
	struct path path;
	descend(ix, probe, &path);
	struct tree_node *leaf = path.node[0];
	if (leaf->count == leaf->cap) {
		if (leaf->cap < TREE_ENTRIES_MAX) {
			enum store_status status = grow_root_leaf(ix, &path);
			if (status != STORE_OK)
				return status;
			leaf = path.node[0];
		} else if (!may_split) {
			*full = leaf;
			return TREE_FULL;
		} else {
			return insert_splitting(ix, &path, probe->key, row);
		}
	}
	put_entry(ix, leaf, path.at[0], probe->key, row);
	return STORE_OK;
}

/* ---- remove ---- */

/* The first entry below path->node[level] changed: so does the separator that names it. */
static void fix_first(const struct store_index *ix, struct path *path, uint32_t level, u128 key, uint32_t row)
{
	for (uint32_t above = level + 1; above < ix->tree.height; above++) {
		if (path->at[above] == 0)
			continue;
		key_set(ix, path->node[above], path->at[above], key);
		node_rows(ix, path->node[above])[path->at[above]] = row;
		return;
	}
}

static void take_entry(const struct store_index *ix, struct tree_node *n, uint32_t at)
{
	uint8_t *keys = node_keys(n) + (size_t)at * ix->width;
	uint32_t *rows = node_rows(ix, n) + at;
	size_t behind = n->count - at - 1u;
	memmove(keys, keys + ix->width, behind * ix->width);
	memmove(rows, rows + 1, behind * sizeof(*rows));
	n->count--;
}

static void unlink_leaf(struct tree_node *leaf)
{
	if (leaf->prev != NULL)
		leaf->prev->next = leaf->next;
	if (leaf->next != NULL)
		leaf->next->prev = leaf->prev;
}

static void take_child(struct store_index *ix, struct path *path, uint32_t level);

/* The right one of two children of path->node[level + 1] moves into its left neighbour, if they leave room. */
static bool merge_pair(struct store_index *ix, struct path *path, uint32_t level, uint32_t right_at)
{
	struct tree_node *parent = path->node[level + 1];
	struct tree_node *left = node_children(ix, parent)[right_at - 1], *right = node_children(ix, parent)[right_at];
	if (left->count + right->count > TREE_ENTRIES_MAX * 3 / 4)
		return false;
	if (level > 0) {
		key_set(ix, right, 0, key_at(ix, parent, right_at));
		node_rows(ix, right)[0] = node_rows(ix, parent)[right_at];
	} else {
		unlink_leaf(right);
	}
	move_entries(ix, right, 0, left, level > 0);
	path->at[level + 1] = right_at;
	take_child(ix, path, level + 1);
	node_free(ix, right, level > 0);
	return true;
}

/* A node that became small joins a neighbour below the same parent. */
static void merge_node(struct store_index *ix, struct path *path, uint32_t level)
{
	uint32_t at = path->at[level + 1];
	if (at + 1u < path->node[level + 1]->count && merge_pair(ix, path, level, at + 1))
		return;
	if (at > 0)
		merge_pair(ix, path, level, at);
}

/* The child at path->at[level] of path->node[level] is gone. */
static void take_child(struct store_index *ix, struct path *path, uint32_t level)
{
	struct tree_node *n = path->node[level];
	uint32_t at = path->at[level];
	bool is_root = level + 1 == ix->tree.height;
	if (n->count == 1) {
		if (is_root)
			ix->tree.root = NULL, ix->tree.height = 0;
		else
			take_child(ix, path, level + 1);
		node_free(ix, n, true);
		return;
	}
	struct tree_node **children = node_children(ix, n) + at;
	memmove(children, children + 1, (n->count - at - 1u) * sizeof(*children));
	take_entry(ix, n, at);
	if (at == 0)
		fix_first(ix, path, level, key_at(ix, n, 0), node_rows(ix, n)[0]);
	if (!is_root && n->count < TREE_ENTRIES_MAX / 4)
		merge_node(ix, path, level);
	while (is_root && ix->tree.height > 1 && ix->tree.root->count == 1) {
		struct tree_node *root = ix->tree.root;
		ix->tree.root = node_children(ix, root)[0];
		ix->tree.height--;
		node_free(ix, root, true);
	}
}

static void drop_leaf(struct store_index *ix, struct path *path)
{
	struct tree_node *leaf = path->node[0];
	unlink_leaf(leaf);
	if (ix->tree.height > 1)
		take_child(ix, path, 1);
	else
		ix->tree.root = NULL, ix->tree.height = 0;
	node_free(ix, leaf, false);
}

bool tree_remove(struct store_index *ix, const struct probe *probe, uint32_t row)
{
	if (ix->tree.root == NULL)
		return false;
	struct path path;
	descend(ix, probe, &path);
	struct tree_node *leaf = path.node[0];
	uint32_t at = path.at[0];
	if (!is_at(ix, leaf, at, probe) || node_rows(ix, leaf)[at] != row)
		return false;
	if (leaf->count == 1) {
		drop_leaf(ix, &path);
		return true;
	}
	take_entry(ix, leaf, at);
	if (at == 0 && !ix->exact)
		fix_first(ix, &path, 0, key_at(ix, leaf, 0), node_rows(ix, leaf)[0]);
	if (ix->tree.height > 1 && leaf->count < TREE_ENTRIES_MAX / 4)
		merge_node(ix, &path, 0);
	return true;
}

void tree_replace(struct store_index *ix, const struct probe *probe, uint32_t row)
{
	struct path path;
	descend(ix, probe, &path);
	ASSERT(is_at(ix, path.node[0], path.at[0], probe));
	node_rows(ix, path.node[0])[path.at[0]] = row;
	if (path.at[0] == 0 && !ix->exact)
		fix_first(ix, &path, 0, probe->key, row);
}
