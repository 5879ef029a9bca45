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
 * arena: any thread. Shared by reference count (atomic).
 */
#include "sats/sats.h"

enum module_limits {
	MODULE_DEF_BYTES_MAX = 64 << 20, /* of a description */
	MODULE_SUBMODULE_DEPTH_MAX = 16,
	MODULE_SUBMODULES_MAX = 4096,           /* at all levels together */
	MODULE_NAMESPACE_BYTES_MAX = 63,
	MODULE_COLUMNS_MAX = UINT16_MAX,        /* of a table: a column id is a u16 */
	MODULE_NAME_BYTES_MAX = 64 << 10,       /* of a generated name; names of the module itself have no limit */
	MODULE_FAULTS_MAX = 4096,               /* errors that are collected before the rest is dropped */
	MODULE_FAULT_TEXT_BYTES_MAX = 1 << 20,  /* of all error texts together */
	MODULE_ENVIRONMENT_MAX = 256,           /* declarations, and alternatives of one */
	MODULE_ENVIRONMENT_NAME_BYTES_MAX = 256,
	MODULE_ENVIRONMENT_VALUE_BYTES_MAX = 8192,
	MODULE_ENVIRONMENT_BYTES_MAX = 2 << 20, /* names and literals together */
};
#define MODULE_NO_INDEX UINT32_MAX

enum module_lifecycle {
	MODULE_INIT, MODULE_ON_CONNECT, MODULE_ON_DISCONNECT, MODULE_LIFECYCLE_COUNT, MODULE_NO_LIFECYCLE = 255
};
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
struct module_constraint { struct str name; struct module_columns columns; }; /* unique; columns ascending */
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
struct module_outbox { /* since 2.12: rows are calls of a reducer of another database */
	struct str remote_reducer;
	struct str on_result; /* canonical, with namespace; NULL data: none */
	uint16_t target_column;
	struct module_columns arguments;
	uint8_t signature_hash[32];
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
	const struct module_outbox *outbox;     /* or NULL */
	uint32_t part;                          /* index into module_info.parts */
	bool is_public, is_event, is_system;
};
struct module_function { /* reducer or procedure */
	struct str name;     /* canonical, with namespace */
	struct str accessor; /* raw, with accessor namespace */
	const struct sats_type *params; /* product, raw parameter names; refs into `space` */
	const struct str *param_names;  /* canonical: JSON arguments answer to both */
	const struct sats_type *returns; /* procedures; unit for reducers */
	const struct sats_typespace *space;
	const struct sats_layout *params_layout;
	const struct sats_layout *returns_layout;
	uint32_t part;       /* index into module_info.parts */
	uint8_t lifecycle;   /* enum module_lifecycle */
	bool is_private;
};
struct module_view {
	struct str name, accessor;
	uint32_t index; /* the id given to __call_view__ / __call_view_anon__ */
	bool is_public, is_anonymous, is_query, is_option;
	const struct sats_type *params; /* product, raw parameter names; refs into `space` */
	const struct str *param_names;  /* canonical */
	const struct sats_layout *params_layout;
	const struct sats_type *returns;  /* as declared: Option<Ref>, Array<Ref> or {__query__: Ref} */
	const struct sats_type *row_type; /* refs resolved away */
	uint32_t row_ref;
	uint32_t column_count;
	const struct module_column *columns; /* of row_type */
	const struct sats_typespace *space;
	int32_t primary_key; /* column of row_type, or -1 */
	uint32_t part;       /* index into module_info.parts */
};
struct module_route {
	struct str path, handler;
	int32_t method; /* -1 any; 0-8 as HttpMethod; 9 extension */
	struct str extension;
	uint32_t handler_id;
};

struct module_env { /* since 2.11: an environment variable the module reads */
	struct str name;
	uint32_t value_count;     /* 0: any string; otherwise one of `values` */
	const struct str *values; /* ascending bytewise, no duplicates */
	bool is_union;            /* declared as a union, even of one value */
	bool is_optional;
};
struct module_type { /* a named type, for bindings */
	uint32_t scope_count;
	const struct str *scope;
	struct str name; /* canonical */
	uint32_t ref;
	bool custom_ordering;
};
struct module_part { /* the module itself (first), then its submodules depth first */
	struct str path;     /* canonical namespace, "a.b"; empty for the module itself */
	struct str accessor; /* raw namespace, "a.b" */
	const struct sats_typespace *typespace; /* canonical names */
	uint32_t type_count;
	const struct module_type *types; /* sorted by scope, then name */
};

struct module_def; /* opaque: reference count and arena */
struct module_info {
	uint32_t version;    /* 9 or 10: what it was declared as (V8 counts as 9) */
	const struct sats_typespace *typespace; /* of the root module, canonical names */
	uint32_t table_count, reducer_count, procedure_count, view_count, rls_count, route_count, handler_count;
	const struct module_table *tables;       /* sorted by name, submodules included */
	const struct module_function *reducers;  /* position = reducer id, submodules' after the root's */
	const struct module_function *procedures;
	const struct module_view *views;         /* the root's, then the submodules' */
	const struct str *rls;                   /* SQL texts, duplicates gone */
	const struct module_route *routes;       /* of the root; the first that matches wins */
	const struct str *handlers;              /* canonical; position = handler id */
	uint32_t lifecycle[MODULE_LIFECYCLE_COUNT]; /* reducer id or MODULE_NO_INDEX */
	uint32_t part_count;
	const struct module_part *parts;
	bool has_environment; /* the section is there, even if empty */
	uint32_t environment_count;
	const struct module_env *environment; /* in declared order */
	bool migrates; /* its program has a migration function (module_def_set_migrates) */
	struct str unsupported; /* declared but refused at publish (outboxes …): names it; empty when none */
};

/* Decodes and validates. On failure `errors` has the whole text a client sees:
 * "Errors occurred:\n…" or "error decoding module description: …". */
enum wl_err module_def_create(const uint8_t *description, size_t len, struct module_def **out, struct buf *errors);
struct module_def *module_def_share(struct module_def *def);
void module_def_release(struct module_def *def); /* NULL is fine */
const struct module_info *module_def_info(const struct module_def *def);
void module_def_set_migrates(struct module_def *def); /* before anybody else has it */

/* By canonical name (what clients send); NULL when absent. Sets *id. */
const struct module_function *module_reducer(const struct module_def *def, struct str name, uint32_t *id);
const struct module_function *module_procedure(const struct module_def *def, struct str name, uint32_t *id);
const struct module_table *module_table(const struct module_def *def, struct str name);
const struct module_view *module_view(const struct module_def *def, struct str name);
bool module_is_identifier(struct str name);
/* Environment declarations; NULL when the name is not declared. */
const struct module_env *module_environment(const struct module_def *def, struct str name);

/* The body of GET …/schema?version=9|10. */
enum wl_err module_schema_json(const struct module_def *def, int version, struct buf *out);
#endif
