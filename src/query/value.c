/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions against the rows of a tuple, or the slots of a group. NULL is
 * a value without bytes; conditions have three truths: a comparison with NULL
 * is neither true nor false, AND is false and OR true as soon as one side says
 * so, and whoever asks takes only what is true.
 */
#include "base/clock.h"
#include "query/extended_internal.h"

#include <stdatomic.h>

enum { WORK_BETWEEN = 1 << 16 };
enum truth { TRUTH_NO, TRUTH_YES, TRUTH_NULL };

bool evaluation_fail(struct evaluation *ev, enum wl_err err, const char *text)
{
	if (ev->err == WL_OK)
		buf_put_cstr(ev->error, text);
	ev->err = err;
	return false;
}

bool evaluation_goes_on(struct evaluation *ev, uint32_t work)
{
	const struct run_limits *l = ev->limits;
	ev->work += work;
	if (LIKELY(ev->work < WORK_BETWEEN) || l == NULL)
		return true;
	ev->work = 0;
	if (l->cancelled != NULL && atomic_load_explicit(l->cancelled, memory_order_relaxed))
		return evaluation_fail(ev, WL_ERR_LIMIT, "the query was cancelled");
	if (l->deadline != 0 && clock_mono_nanos() >= l->deadline)
		return evaluation_fail(ev, WL_ERR_LIMIT, "the query ran longer than the limit and was stopped");
	return true;
}

static void set_null(struct value *out)
{
	out->data = NULL;
	out->len = 0;
}

static void set_bytes(struct value *out, const uint8_t *data, size_t len)
{
	out->data = data;
	out->len = len;
}

/* ---- leaves ---- */

static void column_value(const struct evaluation *ev, const struct scalar *s, struct value *out)
{
	const uint8_t *row = ev->rows[s->relation];
	if (row == NULL) {
		set_null(out);
		return;
	}
	const uint8_t *column = sats_column(s->layout, row, s->column);
	size_t len = sats_size(s->layout->columns[s->column], column);
	if (!s->is_option)
		set_bytes(out, column, len);
	else if (*column == 0)
		set_bytes(out, column + 1, len - 1);
	else
		set_null(out);
}

/* ---- arithmetic ---- */

static bool number_failed(struct evaluation *ev, const struct scalar *s, const char *wrong)
{
	if (ev->err != WL_OK)
		return false;
	ev->err = WL_ERR_INVALID;
	if (strcmp(wrong, "out of range") != 0) {
		buf_printf(ev->error, "%s: rows for which the divisor is 0 can be left out with a condition before it", wrong);
		return false;
	}
	if (s->kind == SCALAR_NEGATE)
		buf_put_cstr(ev->error, "out of range: the negative of a value does not fit `");
	else
		buf_printf(ev->error, "out of range: the result of `%c` does not fit `", s->symbol);
	sats_type_pretty(ev->error, s->type);
	buf_put_cstr(ev->error, "`");
	return false;
}

static bool arithmetic(struct evaluation *ev, const struct scalar *s, struct value *out)
{
	struct value b;
	if (!scalar_eval(ev, s->left, out))
		return false;
	if (s->kind == SCALAR_ARITHMETIC && !scalar_eval(ev, s->right, &b))
		return false;
	if (out->data == NULL || (s->kind == SCALAR_ARITHMETIC && b.data == NULL)) {
		set_null(out);
		return true;
	}
	uint8_t result[32];
	const char *wrong = s->kind == SCALAR_NEGATE ? number_negate(s->type, out->data, result)
		: number_arithmetic(s->type, s->symbol, out->data, b.data, result);
	if (wrong != NULL)
		return number_failed(ev, s, wrong);
	memcpy(out->own, result, out->len);
	out->data = out->own;
	return true;
}

/* ---- conditions ---- */

static bool truth_of(struct evaluation *ev, const struct scalar *s, enum truth *out);

static int order_of(const struct sats_type *type, bool has_key, const uint8_t *a, const uint8_t *b)
{
	if (!has_key)
		return sats_compare(type, NULL, a, b);
	u128 x = sats_scalar_key(type, a), y = sats_scalar_key(type, b);
	return (x > y) - (x < y);
}

static bool compare(struct evaluation *ev, const struct scalar *s, enum truth *out)
{
	struct value a, b;
	if (!scalar_eval(ev, s->left, &a) || !scalar_eval(ev, s->right, &b))
		return false;
	*out = TRUTH_NULL;
	if (a.data != NULL && b.data != NULL)
		*out = order_holds(order_of(s->left->type, s->has_key, a.data, b.data), (enum compare_op)s->op) ? TRUTH_YES
			: TRUTH_NO;
	return true;
}

bool constants_find(const struct constants *set, const struct sats_type *type, const uint8_t *value)
{
	uint32_t low = 0, high = set->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = sats_compare(type, NULL, value, set->values[middle].data);
		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static bool in_list(struct evaluation *ev, const struct scalar *s, const struct value *a, enum truth *out)
{
	struct value b;
	*out = TRUTH_NO;
	for (uint32_t i = 0; i < s->item_count; i++) {
		if (!evaluation_goes_on(ev, 1) || !scalar_eval(ev, s->items[i], &b))
			return false;
		if (b.data == NULL) {
			*out = TRUTH_NULL;
		} else if (sats_compare(s->left->type, NULL, a->data, b.data) == 0) {
			*out = TRUTH_YES;
			return true;
		}
	}
	return true;
}

static bool between(struct evaluation *ev, const struct scalar *s, const struct value *a, enum truth *out)
{
	struct value bound;
	*out = TRUTH_YES;
	for (uint32_t i = 0; i < 2 && *out != TRUTH_NO; i++) {
		if (!scalar_eval(ev, s->items[i], &bound))
			return false;
		if (bound.data == NULL) {
			*out = TRUTH_NULL;
			continue;
		}
		int order = sats_compare(s->left->type, NULL, a->data, bound.data);
		if (i == 0 ? order < 0 : order > 0)
			*out = TRUTH_NO;
	}
	return true;
}

static struct str text_of(const struct value *v)
{
	return (struct str){ (const char *)v->data + 4, v->len - 4 };
}

static bool like(struct evaluation *ev, const struct scalar *s, const struct value *a, enum truth *out)
{
	struct value pattern;
	if (!scalar_eval(ev, s->right, &pattern))
		return false;
	*out = TRUTH_NULL;
	if (pattern.data == NULL)
		return true;
	if (s->right->kind != SCALAR_CONSTANT && !like_is_valid(text_of(&pattern), s->escape))
		return evaluation_fail(ev, WL_ERR_INVALID, "a LIKE pattern must not end with the escape character");
	enum like_answer answer = like_matches(ev, text_of(&pattern), s->escape, s->ignores_case, text_of(a));
	*out = answer == LIKE_YES ? TRUTH_YES : TRUTH_NO;
	return answer != LIKE_STOPPED;
}

/* Predicates of one value: NULL makes them NULL. */
static bool predicate(struct evaluation *ev, const struct scalar *s, enum truth *out)
{
	struct value a;
	bool ok = scalar_eval(ev, s->left, &a);
	*out = TRUTH_NULL;
	if (ok && s->kind == SCALAR_IS_NULL)
		*out = a.data == NULL ? TRUTH_YES : TRUTH_NO;
	else if (!ok || a.data == NULL)
		return ok;
	else if (s->kind == SCALAR_IN_SET)
		*out = constants_find(s->set, s->left->type, a.data) ? TRUTH_YES : TRUTH_NO;
	else if (s->kind == SCALAR_IN)
		ok = in_list(ev, s, &a, out);
	else if (s->kind == SCALAR_BETWEEN)
		ok = between(ev, s, &a, out);
	else
		ok = like(ev, s, &a, out);
	if (s->is_negated && *out != TRUTH_NULL)
		*out = *out == TRUTH_YES ? TRUTH_NO : TRUTH_YES;
	return ok;
}

static bool bool_value(struct evaluation *ev, const struct scalar *s, enum truth *out)
{
	struct value v;
	if (!scalar_eval(ev, s, &v))
		return false;
	*out = v.data == NULL ? TRUTH_NULL : *v.data != 0 ? TRUTH_YES : TRUTH_NO;
	return true;
}

static bool both(struct evaluation *ev, const struct scalar *s, enum truth *out)
{
	enum truth decides = s->kind == SCALAR_AND ? TRUTH_NO : TRUTH_YES, right;
	if (!truth_of(ev, s->left, out) || *out == decides)
		return ev->err == WL_OK;
	if (!truth_of(ev, s->right, &right))
		return false;
	if (right == decides || *out != TRUTH_NULL)
		*out = right;
	return true;
}

static bool truth_of(struct evaluation *ev, const struct scalar *s, enum truth *out)
{
	switch ((enum scalar_kind)s->kind) {
	case SCALAR_AND:
	case SCALAR_OR:
		return both(ev, s, out);
	case SCALAR_NOT:
		if (!truth_of(ev, s->left, out))
			return false;
		if (*out != TRUTH_NULL)
			*out = *out == TRUTH_YES ? TRUTH_NO : TRUTH_YES;
		return true;
	case SCALAR_COMPARE:
		return compare(ev, s, out);
	case SCALAR_IS_NULL: case SCALAR_IN_SET: case SCALAR_IN: case SCALAR_BETWEEN: case SCALAR_LIKE:
		return predicate(ev, s, out);
	case SCALAR_COLUMN: case SCALAR_CONSTANT: case SCALAR_SLOT: case SCALAR_ARITHMETIC: case SCALAR_NEGATE:
		break;
	}
	return bool_value(ev, s, out);
}

/* ---- all ---- */

bool scalar_eval(struct evaluation *ev, const struct scalar *s, struct value *out)
{
	enum truth truth;
	if (!evaluation_goes_on(ev, 1))
		return false;
	switch ((enum scalar_kind)s->kind) {
	case SCALAR_COLUMN:
		column_value(ev, s, out);
		return true;
	case SCALAR_CONSTANT:
		set_bytes(out, s->constant.data, s->constant.len);
		return true;
	case SCALAR_SLOT:
		set_bytes(out, ev->slots[s->slot].data, ev->slots[s->slot].len);
		return true;
	case SCALAR_ARITHMETIC:
	case SCALAR_NEGATE:
		return arithmetic(ev, s, out);
	default:
		break;
	}
	if (!truth_of(ev, s, &truth))
		return false;
	out->own[0] = truth == TRUTH_YES;
	set_bytes(out, truth == TRUTH_NULL ? NULL : out->own, 1);
	return true;
}

bool scalar_holds(struct evaluation *ev, const struct scalar *s, bool *holds)
{
	enum truth truth = TRUTH_NO;
	bool ok = truth_of(ev, s, &truth);
	*holds = truth == TRUTH_YES;
	return ok;
}

void put_result(struct buf *out, bool as_option, struct bytes value)
{
	if (as_option)
		buf_put_u8(out, value.data == NULL);
	if (value.data != NULL)
		buf_put(out, value.data, value.len);
}
