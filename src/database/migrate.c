/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A migration plan done: the tables of one module's definition made into those
 * of the next, in the open transaction, before any row of it is written.
 *
 * Invariants
 *  1. A table that changes in any way is replaced whole by its new self, once,
 *     at the first step that is about it; the steps that follow only tell.
 *  2. Ids stay, but for a table with more columns: it is another table.
 *  3. What can be refused is refused before the first change.
 */
#include "database/database_internal.h"
#include "module/migrate.h"

struct doing {
	struct database *db;
	const struct migration *plan;
	const struct module_info *old, *new;
	struct arena arena;
	struct buf *error;
};

static enum wl_err refused(struct doing *d)
{
	buf_put_str(d->error, store_error_text(d->db->store));
	return WL_ERR_INVALID;
}

static enum wl_err no_memory(struct doing *d)
{
	buf_put_cstr(d->error, "not enough memory");
	return WL_ERR_MEMORY;
}

static struct store_table *table_of(const struct doing *d, struct str name)
{
	return store_table_by_name(d->db->store, name);
}

/* ---- before anything is changed ---- */

static i128 number_of(const struct sats_type *type, const uint8_t *at)
{
	u128 value = 0;
	uint32_t size = type->plain_size;
	memcpy(&value, at, size_min(size, sizeof(value)));
	bool is_signed = type->tag == SATS_I8 || type->tag == SATS_I16 || type->tag == SATS_I32 || type->tag == SATS_I64 ||
		type->tag == SATS_I128;
	if (is_signed && size < sizeof(value) && (at[size - 1] & 0x80) != 0)
		value |= ~(u128)0 << (8 * size);
	return (i128)value;
}

/* A sequence is added only where it cannot meet a number that is there. */
static enum wl_err check_sequence(struct doing *d, const struct migrate_step *step)
{
	const struct module_sequence *s = step->sequence;
	struct store_table *table = step->old == NULL ? NULL : table_of(d, step->old->name);
	if (table == NULL || s->column >= store_table_def(table)->column_count)
		return WL_OK; /* a new table or a new column: the former has no rows, in the latter they are all one value */
	const struct sats_type *type = store_table_def(table)->columns[s->column].type;
	struct store_cursor cursor;
	struct store_row row;
	store_scan(table, &cursor);
	while (store_cursor_next(&cursor, &row)) {
		i128 value = number_of(type, sats_column(store_table_layout(table), row.data, s->column));
		if (value < s->min || value > s->max)
			continue;
		buf_printf(d->error, "Precheck failed: added sequence %.*s already has values in range", STR_FMT(s->name));
		return WL_ERR_INVALID;
	}
	return WL_OK;
}

static enum wl_err check_removal(struct doing *d, const struct migrate_step *step)
{
	struct store_table *table = table_of(d, step->old->name);
	if (table == NULL || store_table_row_count(table) == 0 || d->new->migrates) /* its function sees to the rows */
		return WL_OK;
	buf_printf(d->error, "Cannot remove table `%.*s`: table contains data. Clear the table's rows (e.g. via a reducer) "
		"before removing it from your schema.", STR_FMT(step->old->name));
	return WL_ERR_INVALID;
}

static enum wl_err check(struct doing *d)
{
	enum wl_err err = WL_OK;
	for (uint32_t i = 0; err == WL_OK && i < d->plan->count; i++) {
		const struct migrate_step *step = &d->plan->steps[i];
		if (step->kind == MIGRATE_ADD_SEQUENCE)
			err = check_sequence(d, step);
		else if (step->kind == MIGRATE_REMOVE_TABLE)
			err = check_removal(d, step);
	}
	return err;
}

/* ---- tables ---- */

#define OURS(type, part) ((struct type *)(uintptr_t)(part))

static bool same_columns(const uint16_t *a, uint32_t a_count, const uint16_t *b, uint32_t b_count)
{
	return a_count == b_count && memcmp(a, b, a_count * sizeof(*a)) == 0;
}

/* Parts that stay what they are keep their ids. */
static void keep_ids(const struct store_table_def *old, struct store_table_def *to)
{
	to->id = old->id;
	for (uint32_t i = 0; i < to->index_count; i++) {
		struct store_index_def *ix = OURS(store_index_def, &to->indexes[i]);
		for (uint32_t j = 0; j < old->index_count; j++) {
			const struct store_index_def *was = &old->indexes[j];
			if (str_eq(was->name, ix->name) && was->kind == ix->kind &&
				same_columns(was->columns, was->column_count, ix->columns, ix->column_count))
				ix->id = was->id;
		}
	}
	for (uint32_t i = 0; i < to->constraint_count; i++) {
		struct store_constraint_def *c = OURS(store_constraint_def, &to->constraints[i]);
		for (uint32_t j = 0; j < old->constraint_count; j++)
			if (str_eq(old->constraints[j].name, c->name) && same_columns(old->constraints[j].columns,
				old->constraints[j].column_count, c->columns, c->column_count))
				c->id = old->constraints[j].id;
	}
	for (uint32_t i = 0; i < to->sequence_count; i++) {
		struct store_sequence_def *s = OURS(store_sequence_def, &to->sequences[i]);
		for (uint32_t j = 0; j < old->sequence_count; j++)
			if (str_eq(old->sequences[j].name, s->name))
				s->id = old->sequences[j].id;
	}
}

/* Sequences go on where they were, whatever their definition says of the beginning. */
static void keep_positions(const struct store_table_def *old, struct store_table_def *to)
{
	for (uint32_t i = 0; i < to->sequence_count; i++)
		for (uint32_t j = 0; j < old->sequence_count; j++)
			if (str_eq(old->sequences[j].name, to->sequences[i].name))
				OURS(store_sequence_def, &to->sequences[i])->allocated = old->sequences[j].allocated;
}

static enum wl_err replace(struct doing *d, struct store_table *table, struct store_table_def *to, struct bytes suffix,
	bool is_another)
{
	struct store_table *next;
	if (!is_another)
		keep_ids(store_table_def(table), to);
	keep_positions(store_table_def(table), to);
	return store_table_replace(d->db->store, table, to, suffix, &next) == STORE_OK ? WL_OK : refused(d);
}

/* Its columns' defaults, of those that the old one has not. */
static bool defaults_of(struct doing *d, const struct module_table *old, const struct module_table *new,
	struct bytes *suffix)
{
	size_t len = 0;
	for (uint32_t i = old->column_count; i < new->column_count; i++)
		len += new->columns[i].default_value.len;
	uint8_t *to = arena_alloc(&d->arena, len + 1);
	if (to == NULL)
		return false;
	*suffix = (struct bytes){ to, len };
	for (uint32_t i = old->column_count; i < new->column_count; i++) {
		struct bytes value = new->columns[i].default_value;
		if (value.len > 0)
			memcpy(to, value.data, value.len);
		to += value.len;
	}
	return true;
}

static bool is_about(const struct migrate_step *step, const struct module_table *table)
{
	return step->old != NULL && step->new == table;
}

static bool gains_columns(const struct doing *d, const struct module_table *table)
{
	for (uint32_t i = 0; i < d->plan->count; i++)
		if (d->plan->steps[i].kind == MIGRATE_ADD_COLUMNS && is_about(&d->plan->steps[i], table))
			return true;
	return false;
}

/* At the first step about it. */
static enum wl_err table_change(struct doing *d, const struct migrate_step *step)
{
	for (const struct migrate_step *before = d->plan->steps; before < step; before++)
		if (is_about(before, step->new))
			return WL_OK;
	struct store_table *table = table_of(d, step->old->name);
	struct store_table_def def;
	struct bytes suffix = { 0 };
	bool gains = gains_columns(d, step->new);
	if (table == NULL)
		return no_memory(d); /* the store and the definition never differ otherwise */
	if (!db_table_def(&d->arena, step->new, &def) || (gains && !defaults_of(d, step->old, step->new, &suffix)))
		return no_memory(d);
	return replace(d, table, &def, suffix, gains);
}

static enum wl_err table_add(struct doing *d, const struct migrate_step *step)
{
	struct store_table_def def;
	struct store_table *table;
	if (!db_table_def(&d->arena, step->new, &def))
		return no_memory(d);
	enum wl_err err = db_table_create(d->db, &def, &table, d->error);
	const struct store_table *before = store_table_before(d->db->store, step->new->name);
	if (err == WL_OK && before != NULL && d->new->migrates &&
		store_table_take_positions(d->db->store, before, table) != STORE_OK)
		err = refused(d);
	return err;
}

static enum wl_err table_drop(struct doing *d, struct str name)
{
	struct store_table *table = table_of(d, name);
	return table == NULL || store_table_drop(d->db->store, table) == STORE_OK ? WL_OK : refused(d);
}

/* ---- views and rules ---- */

static enum wl_err delete_where(struct doing *d, uint32_t table_id, struct bytes first)
{
	struct store_table *table = store_table_by_id(d->db->store, table_id);
	struct store_cursor cursor;
	struct store_row row;
	store_scan(table, &cursor);
	while (store_cursor_next(&cursor, &row)) {
		if (row.len < first.len || memcmp(row.data, first.data, first.len) != 0)
			continue;
		if (store_delete(d->db->store, table, row.number) != STORE_OK)
			return refused(d);
		store_scan(table, &cursor); /* a write ends a cursor */
	}
	return WL_OK;
}

/* The rows {view_id, name, …} and those with its id. */
static enum wl_err view_rows_delete(struct doing *d, struct str name)
{
	struct store_table *table = store_table_by_id(d->db->store, ST_VIEW);
	struct store_cursor cursor;
	struct store_row row;
	uint8_t id[4];
	bool found = false;
	store_scan(table, &cursor);
	while (!found && store_cursor_next(&cursor, &row)) {
		struct reader r = reader_of(row.data + 4, row.len - 4);
		found = str_eq(reader_bsatn_str(&r), name);
		memcpy(id, row.data, sizeof(id));
	}
	static const uint32_t TABLES[] = { ST_VIEW, ST_VIEW_PARAM, ST_VIEW_COLUMN, ST_VIEW_SUB };
	enum wl_err err = WL_OK;
	for (size_t i = 0; found && err == WL_OK && i < ARRAY_COUNT(TABLES); i++)
		err = delete_where(d, TABLES[i], (struct bytes){ id, sizeof(id) });
	return err;
}

static enum wl_err view_remove(struct doing *d, const struct migrate_step *step)
{
	enum wl_err err = view_rows_delete(d, step->view->name);
	return err == WL_OK ? table_drop(d, step->view->name) : err;
}

static enum wl_err view_add(struct doing *d, const struct migrate_step *step)
{
	struct store_table_def def;
	struct store_table *table;
	if (!db_view_def(&d->arena, step->view, &def))
		return no_memory(d);
	enum wl_err err = db_table_create(d->db, &def, &table, d->error);
	return err == WL_OK ? db_view_rows_insert(d->db, step->view, store_table_def(table)->id, d->error) : err;
}

/* Its function is another one, its rows are of the same shape; who may read it may have changed. */
static enum wl_err view_update(struct doing *d, const struct migrate_step *step)
{
	struct store_table *table = table_of(d, step->view->name);
	if (table == NULL || (store_table_def(table)->is_public == step->view->is_public &&
		str_eq(store_table_def(table)->accessor, step->view->accessor)))
		return WL_OK;
	struct store_table_def def;
	if (!db_view_def(&d->arena, step->view, &def))
		return no_memory(d);
	return replace(d, table, &def, (struct bytes){ 0 }, false);
}

static enum wl_err rule_remove(struct doing *d, const struct migrate_step *step)
{
	struct store_table *table = store_table_by_id(d->db->store, ST_ROW_LEVEL_SECURITY);
	struct store_cursor cursor;
	struct store_row row;
	store_scan(table, &cursor);
	while (store_cursor_next(&cursor, &row)) {
		struct reader r = reader_of(row.data + 4, row.len - 4);
		if (str_eq(reader_bsatn_str(&r), step->name))
			return store_delete(d->db->store, table, row.number) == STORE_OK ? WL_OK : refused(d);
	}
	return WL_OK;
}

/* ---- what the module log tells ---- */

static void tell(struct doing *d, const struct migrate_step *step)
{
	const struct module_table *of = step->new != NULL ? step->new : step->old;
	struct str name = step->name, table = of != NULL ? of->name : name;
	struct database *db = d->db;
	switch (step->kind) {
	case MIGRATE_REMOVE_TABLE: db_log_host(db, 2, "Dropping table `%.*s`", STR_FMT(table)); break;
	case MIGRATE_ADD_TABLE: db_log_host(db, 2, "Creating table `%.*s`", STR_FMT(table)); break;
	case MIGRATE_ADD_VIEW: db_log_host(db, 2, "Creating table for view `%.*s`", STR_FMT(step->view->name)); break;
	case MIGRATE_REMOVE_INDEX:
		db_log_host(db, 2, "Dropping index `%.*s` on table `%.*s`", STR_FMT(step->index->name), STR_FMT(table));
		break;
	case MIGRATE_ADD_INDEX:
		db_log_host(db, 2, "Creating index `%.*s` on table `%.*s`", STR_FMT(step->index->name), STR_FMT(table));
		break;
	case MIGRATE_REMOVE_CONSTRAINT:
		db_log_host(db, 2, "Dropping constraint `%.*s` on table `%.*s`", STR_FMT(step->constraint->name),
			STR_FMT(table));
		break;
	case MIGRATE_ADD_CONSTRAINT:
		db_log_host(db, 2, "Adding constraint `%.*s` to table `%.*s`", STR_FMT(step->constraint->name),
			STR_FMT(table));
		break;
	case MIGRATE_REMOVE_SEQUENCE:
		db_log_host(db, 2, "Dropping sequence `%.*s` from table `%.*s`", STR_FMT(step->sequence->name), STR_FMT(table));
		break;
	case MIGRATE_ADD_SEQUENCE:
		db_log_host(db, 2, "Adding sequence `%.*s` to table `%.*s`", STR_FMT(step->sequence->name), STR_FMT(table));
		break;
	case MIGRATE_REMOVE_SCHEDULE: db_log_host(db, 2, "Dropping schedule of table `%.*s`", STR_FMT(table)); break;
	case MIGRATE_ADD_SCHEDULE: db_log_host(db, 2, "Adding schedule to table `%.*s`", STR_FMT(table)); break;
	case MIGRATE_CHANGE_COLUMNS: db_log_host(db, 2, "Changing columns of table `%.*s`", STR_FMT(table)); break;
	case MIGRATE_RESCHEMA_EVENT:
		db_log_host(db, 2, "Changing schema of event table `%.*s`", STR_FMT(table));
		break;
	case MIGRATE_CHANGE_PRIMARY_KEY:
		db_log_host(db, 2, "Changing primary key for table `%.*s`", STR_FMT(table));
		break;
	case MIGRATE_REMOVE_RULE: db_log_host(db, 2, "Removing row-level security `%.*s`", STR_FMT(name)); break;
	case MIGRATE_ADD_RULE: db_log_host(db, 2, "Adding row-level security `%.*s`", STR_FMT(name)); break;
	case MIGRATE_DISCONNECT: db_log_host(db, 2, "Disconnecting all users"); break;
	default: break;
	}
}

static enum wl_err step_do(struct doing *d, const struct migrate_step *step)
{
	tell(d, step);
	switch (step->kind) {
	case MIGRATE_REMOVE_VIEW: return view_remove(d, step);
	case MIGRATE_ADD_VIEW: return view_add(d, step);
	case MIGRATE_UPDATE_VIEW: return view_update(d, step);
	case MIGRATE_REMOVE_RULE: return rule_remove(d, step);
	case MIGRATE_ADD_RULE: return db_rule_create(d->db, step->name, d->error);
	case MIGRATE_REMOVE_TABLE: return table_drop(d, step->old->name);
	case MIGRATE_ADD_TABLE: return table_add(d, step);
	case MIGRATE_DISCONNECT: return WL_OK;
	default: return table_change(d, step);
	}
}

enum wl_err db_migrate(struct database *db, const struct migration *plan, const struct module_info *old,
	const struct module_info *info, struct buf *error)
{
	struct doing d = { .db = db, .plan = plan, .old = old, .new = info, .error = error };
	arena_init(&d.arena, 256 << 20);
	enum wl_err err = check(&d);
	for (uint32_t i = 0; err == WL_OK && i < plan->count; i++)
		err = step_do(&d, &plan->steps[i]);
	arena_deinit(&d.arena);
	if (err == WL_OK)
		db_views_retable(db);
	return err;
}

static bool changes_access(const struct database *db, const struct module_view *view)
{
	const struct store_table *table = store_table_by_name(db->store, view->name);
	return table != NULL && store_table_def(table)->is_public != view->is_public;
}

bool db_migration_is_names(const struct database *db, const struct migration *plan)
{
	for (uint32_t i = 0; i < plan->count; i++)
		switch (plan->steps[i].kind) {
		case MIGRATE_CHANGE_TABLE_ACCESSOR:
		case MIGRATE_CHANGE_COLUMN_ACCESSOR:
		case MIGRATE_CHANGE_INDEX_SOURCE:
			break;
		case MIGRATE_UPDATE_VIEW:
			if (changes_access(db, plan->steps[i].view))
				return false;
			break;
		default:
			return false;
		}
	return true;
}
