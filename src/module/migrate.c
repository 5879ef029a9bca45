/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planning: both definitions side by side, by name. Every difference is a
 * step, or an error; errors do not stop the search for more.
 */
#include "base/mem.h"
#include "module/migrate_internal.h"

#include <stdlib.h>

struct planning {
	struct arena *arena;
	const struct module_info *old, *new;
	struct migrate_step *steps;
	uint32_t count, cap;
	const struct migrate_empty *empty; /* may be NULL */
	bool breaks, failed, no_memory; /* failed: there are errors */
	struct buf *errors;
};

static void add(struct planning *p, struct migrate_step step)
{
	if (p->count == p->cap) {
		uint32_t cap = p->cap == 0 ? 32 : p->cap * 2;
		struct migrate_step *grown = arena_array(p->arena, cap, sizeof(*grown));
		if (grown == NULL) {
			p->no_memory = true;
			return;
		}
		if (p->count > 0)
			memcpy(grown, p->steps, p->count * sizeof(*grown));
		p->steps = grown;
		p->cap = cap;
	}
	p->steps[p->count++] = step;
}

static void refuse(struct planning *p, const char *format, ...) PRINTF_LIKE(2, 3);
static void refuse(struct planning *p, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	buf_vprintf(p->errors, format, args);
	va_end(args);
	buf_put_cstr(p->errors, " requires a manual migration\n\n");
	p->failed = true;
}

static int compare(struct str a, struct str b)
{
	int order = memcmp(a.data, b.data, size_min(a.len, b.len));
	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static bool same_columns(const struct module_columns *a, const struct module_columns *b)
{
	return a->count == b->count && memcmp(a->at, b->at, a->count * sizeof(*a->at)) == 0;
}

/* ---- one table in both ---- */

struct pair {
	struct planning *p;
	const struct module_table *old, *new;
};

static struct migrate_step step_of(const struct pair *t, enum migrate_kind kind, struct str name)
{
	return (struct migrate_step){ .kind = kind, .name = name, .old = t->old, .new = t->new };
}

static int column_find(const struct module_table *table, struct str name)
{
	for (uint32_t i = 0; i < table->column_count; i++)
		if (str_eq(table->columns[i].name, name))
			return (int)i;
	return -1;
}

static void event_columns(const struct pair *t)
{
	if (sats_type_eq(t->old->row_type, t->new->row_type))
		return;
	add(t->p, step_of(t, MIGRATE_RESCHEMA_EVENT, t->new->name));
	t->p->breaks = true;
}

static bool is_schedule_column(const struct module_table *table, uint32_t column)
{
	return table->schedule != NULL && (table->schedule->at_column == column || table->schedule->id_column == column);
}

static void new_column(const struct pair *t, uint32_t i, bool *added)
{
	const struct module_column *column = &t->new->columns[i];
	if (!column->has_default) {
		buf_printf(t->p->errors, "Adding a column %.*s to table %.*s requires a default value annotation\n\n",
			STR_FMT(column->name), STR_FMT(t->new->name));
		t->p->failed = true;
	}
	*added = true;
}

static void columns(const struct pair *t)
{
	const struct module_table *old = t->old, *new = t->new;
	bool added = false, changed = false, moved = false;
	for (uint32_t i = 0; i < old->column_count; i++) {
		int at = column_find(new, old->columns[i].name);
		if (at < 0) {
			refuse(t->p, "Removing a column %.*s from table %.*s", STR_FMT(old->columns[i].name), STR_FMT(old->name));
			continue;
		}
		moved |= (uint32_t)at != i;
		if (sats_type_eq(old->columns[i].type, new->columns[at].type))
			continue;
		struct type_check check = { .table = old->name, .column = old->columns[i].name,
			.is_rigid = is_schedule_column(old, i), .errors = t->p->errors };
		if (migrate_type_may_change(&check, old->columns[i].type, new->columns[at].type))
			changed = true;
		else
			t->p->failed = true;
	}
	for (uint32_t i = 0; i < new->column_count; i++)
		if (column_find(old, new->columns[i].name) < 0)
			new_column(t, i, &added);
	if (moved)
		refuse(t->p, "Reordering table %.*s", STR_FMT(new->name));
	if (changed)
		add(t->p, step_of(t, MIGRATE_CHANGE_COLUMNS, new->name));
	if (added) {
		add(t->p, step_of(t, MIGRATE_ADD_COLUMNS, new->name));
		t->p->breaks = true;
	}
}

static const struct module_index *index_find(const struct module_table *table, struct str name)
{
	for (uint32_t i = 0; i < table->index_count; i++)
		if (str_eq(table->indexes[i].name, name))
			return &table->indexes[i];
	return NULL;
}

static void put_accessor(struct buf *out, struct str accessor)
{
	if (accessor.data == NULL)
		buf_put_cstr(out, "None");
	else
		buf_printf(out, "Some(Identifier(\"%.*s\"))", STR_FMT(accessor));
}

static void index_accessor(const struct pair *t, const struct module_index *a, const struct module_index *b)
{
	bool same = (a->accessor.data == NULL) == (b->accessor.data == NULL) &&
		(a->accessor.data == NULL || str_eq(a->accessor, b->accessor));
	if (t->p->new->version < 10 && !same) {
		buf_printf(t->p->errors, "Changing the accessor name on index %.*s from ", STR_FMT(a->name));
		put_accessor(t->p->errors, a->accessor);
		buf_put_cstr(t->p->errors, " to ");
		put_accessor(t->p->errors, b->accessor);
		refuse(t->p, "%s", "");
	} else if (!str_eq(a->source, b->source)) {
		struct migrate_step step = step_of(t, MIGRATE_CHANGE_INDEX_SOURCE, b->name);
		step.index = b;
		add(t->p, step);
	}
}

static void index_step(const struct pair *t, enum migrate_kind kind, const struct module_index *ix)
{
	struct migrate_step step = step_of(t, kind, ix->name);
	step.index = ix;
	add(t->p, step);
}

static void indexes(const struct pair *t)
{
	for (uint32_t i = 0; i < t->old->index_count; i++) {
		const struct module_index *a = &t->old->indexes[i], *b = index_find(t->new, a->name);
		if (b == NULL) {
			index_step(t, MIGRATE_REMOVE_INDEX, a);
		} else if (a->algorithm != b->algorithm || !same_columns(&a->columns, &b->columns)) {
			index_step(t, MIGRATE_REMOVE_INDEX, a);
			index_step(t, MIGRATE_ADD_INDEX, b);
		} else {
			index_accessor(t, a, b);
		}
	}
	for (uint32_t i = 0; i < t->new->index_count; i++)
		if (index_find(t->old, t->new->indexes[i].name) == NULL)
			index_step(t, MIGRATE_ADD_INDEX, &t->new->indexes[i]);
}

static const struct module_constraint *constraint_find(const struct module_table *table, struct str name)
{
	for (uint32_t i = 0; i < table->constraint_count; i++)
		if (str_eq(table->constraints[i].name, name))
			return &table->constraints[i];
	return NULL;
}

static void constraint_step(const struct pair *t, enum migrate_kind kind, const struct module_constraint *c)
{
	struct migrate_step step = step_of(t, kind, c->name);
	step.constraint = c;
	add(t->p, step);
}

static void constraints(const struct pair *t)
{
	for (uint32_t i = 0; i < t->old->constraint_count; i++) {
		const struct module_constraint *a = &t->old->constraints[i], *b = constraint_find(t->new, a->name);
		if (b == NULL)
			constraint_step(t, MIGRATE_REMOVE_CONSTRAINT, a);
		else if (!same_columns(&a->columns, &b->columns))
			refuse(t->p, "Changing a unique constraint %.*s", STR_FMT(a->name));
	}
	for (uint32_t i = 0; i < t->new->constraint_count; i++)
		if (constraint_find(t->old, t->new->constraints[i].name) == NULL)
			constraint_step(t, MIGRATE_ADD_CONSTRAINT, &t->new->constraints[i]);
}

static const struct module_sequence *sequence_find(const struct module_table *table, struct str name)
{
	for (uint32_t i = 0; i < table->sequence_count; i++)
		if (str_eq(table->sequences[i].name, name))
			return &table->sequences[i];
	return NULL;
}

static void sequence_step(const struct pair *t, enum migrate_kind kind, const struct module_sequence *s)
{
	struct migrate_step step = step_of(t, kind, s->name);
	step.sequence = s;
	add(t->p, step);
}

static void sequences(const struct pair *t)
{
	for (uint32_t i = 0; i < t->old->sequence_count; i++) {
		const struct module_sequence *a = &t->old->sequences[i], *b = sequence_find(t->new, a->name);
		bool same = b != NULL && a->column == b->column && a->start == b->start && a->min == b->min &&
			a->max == b->max && a->increment == b->increment;
		if (!same)
			sequence_step(t, MIGRATE_REMOVE_SEQUENCE, a);
		if (!same && b != NULL)
			sequence_step(t, MIGRATE_ADD_SEQUENCE, b);
	}
	for (uint32_t i = 0; i < t->new->sequence_count; i++)
		if (sequence_find(t->old, t->new->sequences[i].name) == NULL)
			sequence_step(t, MIGRATE_ADD_SEQUENCE, &t->new->sequences[i]);
}

static void schedules(const struct pair *t)
{
	const struct module_schedule *a = t->old->schedule, *b = t->new->schedule;
	if (a != NULL && b != NULL && str_eq(a->name, b->name) && str_eq(a->function, b->function) &&
		a->at_column == b->at_column && a->id_column == b->id_column)
		return;
	if (a != NULL) {
		struct migrate_step step = step_of(t, MIGRATE_REMOVE_SCHEDULE, a->name);
		step.schedule = a;
		add(t->p, step);
	}
	if (b != NULL) {
		struct migrate_step step = step_of(t, MIGRATE_ADD_SCHEDULE, b->name);
		step.schedule = b;
		add(t->p, step);
	}
}

static void names(const struct pair *t)
{
	if (!str_eq(t->old->accessor, t->new->accessor))
		add(t->p, step_of(t, MIGRATE_CHANGE_TABLE_ACCESSOR, t->new->name));
	for (uint32_t i = 0; i < t->old->column_count; i++) {
		int at = column_find(t->new, t->old->columns[i].name);
		if (at < 0 || str_eq(t->old->columns[i].accessor, t->new->columns[at].accessor))
			continue;
		struct migrate_step step = step_of(t, MIGRATE_CHANGE_COLUMN_ACCESSOR, t->new->name);
		step.column = (uint32_t)at;
		add(t->p, step);
	}
}

static void both(struct planning *p, const struct module_table *old, const struct module_table *new)
{
	struct pair pair = { p, old, new };
	if (old->is_system != new->is_system)
		refuse(p, "Changing the table type of table %.*s from %s to %s", STR_FMT(new->name),
			old->is_system ? "System" : "User", new->is_system ? "System" : "User");
	if (old->is_event != new->is_event)
		refuse(p, "Changing the event flag of table %.*s", STR_FMT(new->name));
	if (old->is_event && new->is_event)
		event_columns(&pair);
	else
		columns(&pair);
	indexes(&pair);
	constraints(&pair);
	sequences(&pair);
	schedules(&pair);
	names(&pair);
	if (old->is_public != new->is_public)
		add(p, step_of(&pair, MIGRATE_CHANGE_ACCESS, new->name));
	if (old->primary_key != new->primary_key)
		add(p, step_of(&pair, MIGRATE_CHANGE_PRIMARY_KEY, new->name));
}

/* A table without rows that cannot become what it shall be goes, and comes again. */
static void both_or_anew(struct planning *p, const struct module_table *old, const struct module_table *new)
{
	size_t said = p->errors->len;
	uint32_t count = p->count;
	bool failed = p->failed, breaks = p->breaks;
	p->failed = false;
	both(p, old, new);
	bool anew = p->failed && p->empty != NULL && p->empty->is_empty(p->empty->context, old->name);
	p->failed = failed || (p->failed && !anew);
	if (!anew)
		return;
	p->errors->len = said;
	p->count = count;
	p->breaks = breaks;
	add(p, (struct migrate_step){ .kind = MIGRATE_REMOVE_TABLE, .name = old->name, .old = old });
	add(p, (struct migrate_step){ .kind = MIGRATE_ADD_TABLE, .name = new->name, .new = new });
	p->breaks = true;
}

static void tables(struct planning *p)
{
	uint32_t i = 0, j = 0; /* both sorted by name */
	while (i < p->old->table_count || j < p->new->table_count) {
		const struct module_table *a = i < p->old->table_count ? &p->old->tables[i] : NULL;
		const struct module_table *b = j < p->new->table_count ? &p->new->tables[j] : NULL;
		int order = a == NULL ? 1 : b == NULL ? -1 : compare(a->name, b->name);
		if (order < 0) {
			add(p, (struct migrate_step){ .kind = MIGRATE_REMOVE_TABLE, .name = a->name, .old = a });
			p->breaks = true;
		} else if (order > 0) {
			add(p, (struct migrate_step){ .kind = MIGRATE_ADD_TABLE, .name = b->name, .new = b });
		} else {
			both_or_anew(p, a, b);
		}
		i += order <= 0;
		j += order >= 0;
	}
}

/* ---- views, rules ---- */

static const struct module_view *view_find(const struct module_info *info, struct str name)
{
	for (uint32_t i = 0; i < info->view_count; i++)
		if (str_eq(info->views[i].name, name))
			return &info->views[i];
	return NULL;
}

static bool same_params(const struct module_view *a, const struct module_view *b)
{
	const struct sats_type *one, *two;
	struct arena arena;
	struct error why;
	arena_init(&arena, MODULE_DEF_BYTES_MAX);
	bool inlined = sats_inline(&arena, a->space, a->params, &one, &why) == WL_OK; /* not if it is recursive */
	bool same = inlined == (sats_inline(&arena, b->space, b->params, &two, &why) == WL_OK) &&
		(inlined ? sats_type_eq(one, two) : sats_type_eq(a->params, b->params));
	arena_deinit(&arena);
	return same;
}

static void view_step(struct planning *p, enum migrate_kind kind, const struct module_view *view)
{
	add(p, (struct migrate_step){ .kind = kind, .name = view->name, .view = view });
}

static void views(struct planning *p)
{
	for (uint32_t i = 0; i < p->old->view_count; i++) {
		const struct module_view *a = &p->old->views[i], *b = view_find(p->new, a->name);
		bool same = b != NULL && a->is_anonymous == b->is_anonymous && a->primary_key == b->primary_key &&
			sats_type_eq(a->row_type, b->row_type) && a->is_option == b->is_option && same_params(a, b);
		if (same) {
			view_step(p, MIGRATE_UPDATE_VIEW, b);
			continue;
		}
		view_step(p, MIGRATE_REMOVE_VIEW, a);
		if (b != NULL)
			view_step(p, MIGRATE_ADD_VIEW, b);
		p->breaks = true;
	}
	for (uint32_t i = 0; i < p->new->view_count; i++)
		if (view_find(p->old, p->new->views[i].name) == NULL)
			view_step(p, MIGRATE_ADD_VIEW, &p->new->views[i]);
}

static bool has_rule(const struct module_info *info, struct str sql)
{
	for (uint32_t i = 0; i < info->rls_count; i++)
		if (str_eq(info->rls[i], sql))
			return true;
	return false;
}

static void rules(struct planning *p)
{
	for (uint32_t i = 0; i < p->old->rls_count; i++) {
		add(p, (struct migrate_step){ .kind = MIGRATE_REMOVE_RULE, .name = p->old->rls[i] });
		p->breaks |= !has_rule(p->new, p->old->rls[i]);
	}
	for (uint32_t i = 0; i < p->new->rls_count; i++) {
		add(p, (struct migrate_step){ .kind = MIGRATE_ADD_RULE, .name = p->new->rls[i] });
		p->breaks |= !has_rule(p->old, p->new->rls[i]);
	}
}

static int by_turn(const void *a, const void *b)
{
	const struct migrate_step *x = a, *y = b;
	if (x->kind != y->kind)
		return (x->kind > y->kind) - (x->kind < y->kind);
	int order = compare(x->name, y->name);
	return order != 0 ? order : (x->column > y->column) - (x->column < y->column);
}

enum wl_err migration_plan(struct arena *arena, const struct module_info *old, const struct module_info *new,
	const struct migrate_empty *empty, struct migration *out, struct buf *errors)
{
	struct planning p = { .arena = arena, .old = old, .new = new, .empty = empty, .errors = errors };
	tables(&p);
	views(&p);
	rules(&p);
	if (p.breaks)
		add(&p, (struct migrate_step){ .kind = MIGRATE_DISCONNECT, .name = STR("") });
	if (p.no_memory || errors->failed)
		return WL_ERR_MEMORY;
	if (p.failed)
		return WL_ERR_UNSUPPORTED;
	if (p.count > 0)
		qsort(p.steps, p.count, sizeof(*p.steps), by_turn);
	*out = (struct migration){ .steps = p.steps, .count = p.count, .breaks_clients = p.breaks };
	return WL_OK;
}
