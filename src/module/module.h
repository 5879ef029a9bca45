/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODULE_H
#define MODULE_H
/*
 * module: what a module says of itself. Decodes a RawModuleDef (V8, V9, V10)
 * from bytes, validates it with all errors collected, and holds the canonical
 * definition; writes the schema documents. Source: data-model.md sections 7-11,
 * since-2.8.md.
 *
 * A definition is immutable after module_def_create and lives in its own
 * arena: any thread. Shared by reference count.
 */
#include "sats/sats.h"

enum module_limits {
	MODULE_DEF_BYTES_MAX = 64 << 20, /* of a description */
	MODULE_SUBMODULE_DEPTH_MAX = 16,
};
#define MODULE_NO_INDEX UINT32_MAX

enum module_lifecycle { MODULE_INIT, MODULE_ON_CONNECT, MODULE_ON_DISCONNECT, MODULE_LIFECYCLE_COUNT, MODULE_NO_LIFECYCLE = 255 };
enum module_index_algorithm { MODULE_BTREE, MODULE_HASH, MODULE_DIRECT };

struct module_column {
	struct str name;     /* canonical */
	struct str accessor; /* raw field name */
	const struct sats_type *type; /* refs resolved away */
	bool has_default;
	struct bytes default_value; /* BSATN */
};
struct module_columns {
	uint32_t count;
	const uint16_t *at; /* column positions, in declared order */
};
struct module_index {
	struct str name;     /* canonical */
	struct str source;   /* raw source_name (alias); = name in V9 */
	struct str accessor; /* accessor_name, or NULL data */
	uint8_t algorithm;   /* enum module_index_algorithm */
	struct module_columns columns;
	bool unique;         /* a constraint covers the same set */
};
struct module_constraint { struct str name; struct module_columns columns; }; /* unique */
struct module_sequence {
	struct str name;
	uint16_t column;
	bool has_start, has_min, has_max;
	i128 start, min, max, increment; /* effective values: defaults filled in */
};
struct module_schedule {
	struct str name, function; /* canonical */
	uint16_t at_column, id_column;
	bool is_procedure;
};
struct module_table {
	struct str name;     /* canonical, with namespace ("ns.table") */
	struct str accessor; /* raw, with namespace */
	uint32_t type_ref;
	const struct sats_type *row_type; /* product of the columns, canonical names, refs resolved away */
	uint32_t column_count;
	const struct module_column *columns;
	int32_t primary_key; /* column, or -1 */
	uint32_t index_count, constraint_count, sequence_count; /* each sorted by name */
	const struct module_index *indexes;
	const struct module_constraint *constraints;
	const struct module_sequence *sequences;
	const struct module_schedule *schedule; /* or NULL */
	bool is_public, is_event, is_system;
};
struct module_function { /* reducer or procedure */
	struct str name;     /* canonical, with namespace */
	struct str accessor; /* raw */
	const struct sats_type *params; /* product, raw parameter names; refs into `space` */
	const struct sats_type *returns; /* procedures; unit for reducers */
	const struct sats_typespace *space;
	const struct sats_layout *params_layout;
	const struct sats_layout *returns_layout;
	uint8_t lifecycle;   /* enum module_lifecycle */
	bool is_private;
};
struct module_view {
	struct str name, accessor;
	uint32_t index; /* the id given to __call_view__ / __call_view_anon__ */
	bool is_public, is_anonymous, is_query, is_option;
	const struct sats_type *params;
	const struct sats_type *row_type; /* refs resolved away */
	uint32_t row_ref;
	const struct sats_typespace *space;
	int32_t primary_key; /* column of row_type, or -1 */
};
struct module_route {
	struct str path, handler;
	int32_t method; /* -1 any; 0-8 as HttpMethod; 9 extension */
	struct str extension;
	uint32_t handler_id;
};

struct module_def; /* opaque: reference count and arena */
struct module_info {
	uint32_t version;    /* 9 or 10: what it was declared as (V8 counts as 9) */
	const struct sats_typespace *typespace; /* of the root module, canonical names */
	uint32_t table_count, reducer_count, procedure_count, view_count, rls_count, route_count, handler_count;
	const struct module_table *tables;       /* sorted by name, submodules included */
	const struct module_function *reducers;  /* position = reducer id, submodules' after the root's */
	const struct module_function *procedures;
	const struct module_view *views;
	const struct str *rls;                   /* SQL texts, duplicates gone */
	const struct module_route *routes;
	const struct str *handlers;
	uint32_t lifecycle[MODULE_LIFECYCLE_COUNT]; /* reducer id or MODULE_NO_INDEX */
	struct str unsupported; /* declared but refused at publish (outboxes …): names it; empty when none */
};

/* Decodes and validates. On failure `errors` has the whole text a client sees:
 * "Errors occurred:\n…" or "error decoding module description: …". */
enum wl_err module_def_create(const uint8_t *description, size_t len, struct module_def **out, struct buf *errors);
struct module_def *module_def_share(struct module_def *def);
void module_def_release(struct module_def *def); /* NULL is fine */
const struct module_info *module_def_info(const struct module_def *def);

/* By canonical name (what clients send); NULL when absent. Sets *id. */
const struct module_function *module_reducer(const struct module_def *def, struct str name, uint32_t *id);
const struct module_function *module_procedure(const struct module_def *def, struct str name, uint32_t *id);
const struct module_table *module_table(const struct module_def *def, struct str name);

/* The body of GET …/schema?version=9|10. */
enum wl_err module_schema_json(const struct module_def *def, int version, struct buf *out);
#endif
