/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles types into layouts: the programs that validation and size walk.
 *
 * Invariants:
 * 1. Every ref of the typespace is compiled once per layout (or row layout)
 *    and shared, so a program is linear in the size of the types, however
 *    often they refer to each other. What is copied into a caller is small
 *    (INLINE_*).
 * 2. Without cyclic refs a type nests at most SATS_DEPTH_MAX levels, which
 *    bounds every walk by type over a value of that type.
 * 3. A type whose values can have no bytes has fixed_size 0 and no
 *    operations, so an element that runs a program consumes bytes or fails.
 * 4. fixed_size, min_size and max_size agree: fixed_size >= 0 exactly if the
 *    type is fixed as section 2 says, and then all three are equal.
 */
#include "base/mem.h"
#include "sats/layout_internal.h"

enum {
	INLINE_OPS_MAX = 4,     /* a ref with more operations is called, not copied */
	INLINE_CHECKS_MAX = 16, /* likewise */
};

struct compiler {
	struct arena *arena;
	const struct sats_typespace *space;
	struct error *error;
	struct sats_layout **refs; /* by index, made on first use */
	bool *done;                /* the layout in `refs` is complete */
};

/* One program while it grows. */
struct builder {
	struct compiler *compiler;
	struct buf ops, checks;
	uint64_t min, max; /* max saturates at UINT32_MAX */
	bool fixed, recursive;
	uint32_t height;
	bool open; /* the last operation is an OP_FIXED that may grow */
	uint32_t open_size, open_checks;
};

static enum wl_err no_memory(struct compiler *c)
{
	return fail(c->error, WL_ERR_MEMORY, "out of memory");
}

static enum wl_err too_large(struct compiler *c)
{
	return fail(c->error, WL_ERR_LIMIT, "type is too large");
}

static enum wl_err compile(struct compiler *c, const struct sats_type *type, uint32_t depth, struct sats_layout *out);
static enum wl_err emit(struct builder *b, const struct sats_type *type, uint32_t level, uint32_t depth);

/* ---- growing a program ---- */

static void close_fixed(struct builder *b)
{
	if (!b->open)
		return;
	b->open = false;
	if (b->open_size == 0)
		return;
	struct sats_op op = { .code = OP_FIXED, .size = b->open_size, .count = b->open_checks };
	if (op.count > 0) {
		size_t bytes = op.count * sizeof(struct sats_check);
		if (b->checks.failed)
			return;
		op.checks = arena_copy(b->compiler->arena, b->checks.data + b->checks.len - bytes, bytes);
		if (op.checks == NULL)
			b->ops.failed = true;
	}
	buf_put(&b->ops, &op, sizeof(op));
}

static void add_fixed(struct builder *b, uint32_t size, const struct sats_check *checks, uint32_t count)
{
	if (!b->open) {
		b->open = true;
		b->open_size = b->open_checks = 0;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct sats_check check = { b->open_size + checks[i].offset, checks[i].limit };
		buf_put(&b->checks, &check, sizeof(check));
	}
	b->open_size += size;
	b->open_checks += count;
}

static void add_op(struct builder *b, struct sats_op op)
{
	close_fixed(b);
	buf_put(&b->ops, &op, sizeof(op));
}

static enum wl_err add_size(struct builder *b, uint64_t min, uint64_t max, bool fixed)
{
	b->min += min;
	b->max += max;
	if (b->max >= UINT32_MAX)
		b->max = UINT32_MAX;
	b->fixed &= fixed;
	return b->min <= INT32_MAX ? WL_OK : too_large(b->compiler);
}

static enum wl_err raise_height(struct builder *b, uint32_t height)
{
	b->height = b->height > height ? b->height : height;
	if (b->height > SATS_DEPTH_MAX)
		return fail(b->compiler->error, WL_ERR_LIMIT, "type is nested too deeply");
	return WL_OK;
}

/* One OP_FIXED or nothing: such a layout can be part of a caller's OP_FIXED. */
static bool is_flat(const struct sats_layout *layout)
{
	return layout->fixed_size >= 0 &&
		(layout->op_count == 0 || (layout->op_count == 1 && layout->ops[0].code == OP_FIXED));
}

static uint32_t flat_check_count(const struct sats_layout *layout)
{
	return layout->op_count == 0 ? 0 : layout->ops[0].count;
}

/* ---- the kinds of types ---- */

static enum wl_err emit_ref(struct builder *b, uint32_t ref, uint32_t level, uint32_t depth)
{
	struct compiler *c = b->compiler;
	uint32_t count = c->space != NULL ? c->space->count : 0;
	if (ref >= count)
		return fail(c->error, WL_ERR_INVALID, "Type reference &%u out of bounds", ref);
	if (c->refs == NULL) {
		c->refs = mem_zalloc_array(count, sizeof(*c->refs));
		c->done = mem_zalloc_array(count, sizeof(*c->done));
		if (c->refs == NULL || c->done == NULL)
			return no_memory(c);
	}
	struct sats_op call = { .code = OP_CALL, .levels = (uint16_t)(level + 1) };
	struct sats_layout *sub = c->refs[ref];
	if (sub == NULL) {
		sub = c->refs[ref] = arena_zalloc(c->arena, sizeof(*sub));
		if (sub == NULL)
			return no_memory(c);
		enum wl_err err = compile(c, c->space->types[ref], depth + 1, sub);
		if (err != WL_OK)
			return err;
		c->done[ref] = true;
	}
	call.sub = sub;
	if (!c->done[ref]) {
		/* A cycle: nothing is known yet, so the smallest assumption. */
		b->recursive = true;
		add_op(b, call);
		return add_size(b, 0, UINT32_MAX, false);
	}
	b->recursive |= sub->recursive;
	enum wl_err err = raise_height(b, level + 1 + sub->height);
	if (err != WL_OK)
		return err;
	if (is_flat(sub) && flat_check_count(sub) <= INLINE_CHECKS_MAX) {
		if (sub->op_count == 1)
			add_fixed(b, sub->ops[0].size, sub->ops[0].checks, sub->ops[0].count);
	} else if (sub->op_count <= INLINE_OPS_MAX) {
		for (uint32_t i = 0; i < sub->op_count; i++) {
			struct sats_op op = sub->ops[i];
			op.levels = (uint16_t)(op.levels + level + 1);
			add_op(b, op);
		}
	} else {
		add_op(b, call);
	}
	return add_size(b, sub->min_size, sub->max_size, sub->fixed_size >= 0);
}

static enum wl_err emit_array(struct builder *b, const struct sats_type *type, uint32_t level, uint32_t depth)
{
	struct sats_layout *sub = arena_zalloc(b->compiler->arena, sizeof(*sub));
	if (sub == NULL)
		return no_memory(b->compiler);
	enum wl_err err = compile(b->compiler, type->element, depth + 1, sub);
	if (err == WL_OK)
		err = raise_height(b, level + 1 + sub->height);
	if (err != WL_OK)
		return err;
	b->recursive |= sub->recursive;
	struct sats_op op = { .code = OP_ARRAY, .levels = (uint16_t)(level + 1) };
	if (sub->fixed_size == 0) {
		op.code = OP_ARRAY_EMPTY;
	} else if (is_flat(sub)) {
		op.code = OP_ARRAY_FIXED;
		op.size = (uint32_t)sub->fixed_size;
		op.count = flat_check_count(sub);
		op.checks = sub->ops[0].checks;
	} else {
		op.sub = sub;
	}
	add_op(b, op);
	return add_size(b, 4, UINT32_MAX, false);
}

static enum wl_err emit_sum(struct builder *b, const struct sats_type *type, uint32_t level, uint32_t depth)
{
	struct compiler *c = b->compiler;
	/* Tags are one byte: later variants can never be met. */
	uint32_t count = type->count <= 256 ? type->count : 256;
	const struct sats_layout **variants = arena_array(c->arena, count, sizeof(*variants));
	struct sats_layout *layouts = arena_array(c->arena, count, sizeof(*layouts));
	if ((variants == NULL || layouts == NULL) && count > 0)
		return no_memory(c);
	uint64_t min = UINT64_MAX, max = 0;
	bool fixed = count > 0, any_bytes = true;
	for (uint32_t i = 0; i < count; i++) {
		struct sats_layout *v = &layouts[i];
		enum wl_err err = compile(c, type->elements[i].type, depth + 1, v);
		if (err == WL_OK)
			err = raise_height(b, level + 1 + v->height);
		if (err != WL_OK)
			return err;
		variants[i] = v;
		min = v->min_size < min ? v->min_size : min;
		max = v->max_size > max ? v->max_size : max;
		fixed &= v->fixed_size >= 0 && v->fixed_size == layouts[0].fixed_size;
		any_bytes &= v->any_bytes;
		b->recursive |= v->recursive;
	}
	if (fixed && any_bytes) {
		struct sats_check tag = { 0, count };
		add_fixed(b, 1 + layouts[0].min_size, &tag, count < 256);
	} else {
		add_op(b, (struct sats_op){ .code = OP_SUM, .levels = (uint16_t)(level + 1), .count = count,
			.variants = variants });
	}
	return add_size(b, 1 + (count > 0 ? min : 0), 1 + max, fixed);
}

static uint32_t scalar_size(enum sats_tag tag)
{
	switch (tag) {
	case SATS_F32: return 4;
	case SATS_F64: return 8;
	default: return sats_primitive[tag].plain_size;
	}
}

static enum wl_err emit(struct builder *b, const struct sats_type *type, uint32_t level, uint32_t depth)
{
	if (depth > SATS_DEPTH_MAX)
		return fail(b->compiler->error, WL_ERR_LIMIT, "type is nested too deeply");
	enum wl_err err = raise_height(b, level);
	if (err != WL_OK)
		return err;
	switch (type->tag) {
	case SATS_REF:
		return emit_ref(b, type->ref, level, depth);
	case SATS_ARRAY:
		return emit_array(b, type, level, depth);
	case SATS_SUM:
		return emit_sum(b, type, level, depth);
	case SATS_PRODUCT:
		for (uint32_t i = 0; err == WL_OK && i < type->count; i++)
			err = emit(b, type->elements[i].type, level + 1, depth + 1);
		return err;
	case SATS_STRING:
		add_op(b, (struct sats_op){ .code = OP_STRING });
		return add_size(b, 4, UINT32_MAX, false);
	default: {
		const struct sats_check is_bool = { 0, 2 };
		uint32_t size = scalar_size(type->tag);
		add_fixed(b, size, &is_bool, type->tag == SATS_BOOL);
		return add_size(b, size, size, true);
	}
	}
}

/* Fills `out`, which is at its final address: a cyclic ref may already point to it. */
static enum wl_err compile(struct compiler *c, const struct sats_type *type, uint32_t depth, struct sats_layout *out)
{
	struct builder b = { .compiler = c, .ops = BUF_INIT(SIZE_MAX), .checks = BUF_INIT(SIZE_MAX), .fixed = true };
	enum wl_err err = emit(&b, type, 0, depth);
	close_fixed(&b);
	if (err == WL_OK && (b.ops.failed || b.checks.failed))
		err = no_memory(c);
	const struct sats_op *ops = NULL;
	if (err == WL_OK && b.ops.len > 0) {
		ops = arena_copy(c->arena, b.ops.data, b.ops.len);
		if (ops == NULL)
			err = no_memory(c);
	}
	if (err == WL_OK) {
		*out = (struct sats_layout){
			.type = type, .space = c->space,
			.fixed_size = b.fixed ? (int32_t)b.min : -1,
			.min_size = (uint32_t)b.min, .max_size = (uint32_t)b.max,
			.recursive = b.recursive, .height = (uint16_t)b.height,
			.op_count = (uint32_t)(b.ops.len / sizeof(*ops)), .ops = ops,
		};
		out->any_bytes = is_flat(out) && flat_check_count(out) == 0;
	}
	buf_deinit(&b.ops);
	buf_deinit(&b.checks);
	return err;
}

static void compiler_deinit(struct compiler *c)
{
	mem_free(c->refs);
	mem_free(c->done);
}

enum wl_err sats_layout_create(struct arena *arena, const struct sats_typespace *space, const struct sats_type *type,
	const struct sats_layout **out, struct error *error)
{
	struct compiler c = { .arena = arena, .space = space, .error = error };
	struct sats_layout *layout = arena_zalloc(arena, sizeof(*layout));
	enum wl_err err = layout != NULL ? compile(&c, type, 0, layout) : no_memory(&c);
	compiler_deinit(&c);
	if (err == WL_OK)
		*out = layout;
	return err;
}

/* ---- rows ---- */

static enum wl_err compile_columns(struct compiler *c, const struct sats_type *product, struct sats_row_layout *row)
{
	uint32_t count = product->count;
	struct sats_layout *layouts = arena_array(c->arena, count + 1, sizeof(*layouts));
	const struct sats_layout **columns = arena_array(c->arena, count + 1, sizeof(*columns));
	int32_t *offsets = arena_array(c->arena, count + 1, sizeof(*offsets));
	uint32_t *gaps = arena_array(c->arena, count + 1, sizeof(*gaps));
	uint32_t *behind = arena_array(c->arena, count + 1, sizeof(*behind));
	uint32_t *variables = arena_array(c->arena, count + 1, sizeof(*variables));
	if (layouts == NULL || columns == NULL || offsets == NULL || gaps == NULL || behind == NULL || variables == NULL)
		return no_memory(c);
	enum wl_err err = compile(c, product, 0, &layouts[count]);
	uint32_t run = 0, variable_count = 0;
	for (uint32_t i = 0; err == WL_OK && i < count; i++) {
		err = compile(c, product->elements[i].type, 1, &layouts[i]);
		if (err != WL_OK)
			break;
		columns[i] = &layouts[i];
		offsets[i] = variable_count == 0 ? (int32_t)run : -1;
		gaps[i] = run;
		behind[i] = variable_count;
		if (layouts[i].fixed_size >= 0) {
			run += (uint32_t)layouts[i].fixed_size;
		} else {
			variables[variable_count++] = i;
			run = 0;
		}
	}
	*row = (struct sats_row_layout){ &layouts[count], count, columns, offsets, gaps, behind, variables };
	return err;
}

enum wl_err sats_row_layout_create(struct arena *arena, const struct sats_typespace *space,
	const struct sats_type *product, const struct sats_row_layout **out, struct error *error)
{
	struct compiler c = { .arena = arena, .space = space, .error = error };
	ASSERT(product->tag == SATS_PRODUCT);
	struct sats_row_layout *row = arena_zalloc(arena, sizeof(*row));
	enum wl_err err = row != NULL ? compile_columns(&c, product, row) : no_memory(&c);
	compiler_deinit(&c);
	if (err == WL_OK)
		*out = row;
	return err;
}
