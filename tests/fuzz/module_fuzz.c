/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no description, however damaged, does more than be refused; what is
 * accepted holds together, and its schema documents can be written.
 */
#include "module/module.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_type(const struct sats_type *type)
{
	ASSERT(type != NULL && type->tag != SATS_REF);
	if (type->tag == SATS_ARRAY)
		check_type(type->element);
	for (uint32_t i = 0; i < type->count; i++)
		check_type(type->elements[i].type);
}

static void check_columns(struct module_columns columns, uint32_t count)
{
	for (uint32_t i = 0; i < columns.count; i++)
		ASSERT(columns.at[i] < count);
}

static void check_table(const struct module_def *def, const struct module_table *table)
{
	ASSERT(module_table(def, table->name) == table);
	ASSERT(table->row_type->count == table->column_count && table->primary_key < (int32_t)table->column_count);
	check_type(table->row_type);
	for (uint32_t i = 0; i < table->index_count; i++)
		check_columns(table->indexes[i].columns, table->column_count);
	for (uint32_t i = 0; i < table->constraint_count; i++)
		check_columns(table->constraints[i].columns, table->column_count);
	for (uint32_t i = 0; i < table->sequence_count; i++)
		ASSERT(table->sequences[i].column < table->column_count);
	if (table->schedule != NULL)
		ASSERT(table->schedule->at_column < table->column_count && table->schedule->id_column == table->primary_key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf errors, schema;
	buf_init(&errors, 4 << 20);
	buf_init(&schema, 16 << 20);
	struct module_def *def = NULL;
	enum wl_err err = module_def_create(data, size, &def, &errors);
	if (err != WL_OK) {
		ASSERT(def == NULL && errors.len > 0);
	} else {
		const struct module_info *info = module_def_info(def);
		uint32_t id;
		ASSERT(errors.len == 0);
		for (uint32_t i = 0; i < info->table_count; i++)
			check_table(def, &info->tables[i]);
		for (uint32_t i = 0; i < info->reducer_count; i++) {
			ASSERT(module_reducer(def, info->reducers[i].name, &id) == &info->reducers[i] && id == i);
			ASSERT(info->reducers[i].params_layout != NULL && info->reducers[i].part < info->part_count);
		}
		for (uint32_t i = 0; i < info->procedure_count; i++)
			ASSERT(module_procedure(def, info->procedures[i].name, &id) == &info->procedures[i] && id == i);
		for (uint32_t i = 0; i < info->view_count; i++)
			check_type(info->views[i].row_type);
		for (uint32_t i = 0; i < info->route_count; i++)
			ASSERT(info->routes[i].handler_id < info->handler_count);
		for (int version = 9; version <= 10; version++) {
			buf_clear(&schema);
			ASSERT(module_schema_json(def, version, &schema) == WL_OK || schema.failed);
		}
	}
	module_def_release(def);
	buf_deinit(&errors);
	buf_deinit(&schema);
	return 0;
}
