/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODULE_INTERNAL_H
#define MODULE_INTERNAL_H
/*
 * module, inside: the raw description as decoded (raw_*), the faults found in
 * it, the validator of one level, and the validated levels (struct part) from
 * which the public info and the schema documents are made.
 *
 * Two arenas: `arena` belongs to the definition, `scratch` ends with
 * module_def_create. Strings borrow from a copy of the description that the
 * definition owns. `.data == NULL` means "not given" for optional strings.
 */
#include "base/map.h"
#include "module/module.h"
#include "native.h"

/* ---- the description as decoded ---- */
struct raw_type {
	uint32_t scope_count;
	const struct str *scope;
	struct str name;
	uint32_t ref;
	bool custom_ordering;
};
struct raw_index {
	struct str source, accessor; /* V9: source is the name */
	uint8_t algorithm;
	struct module_columns columns;
};
struct raw_constraint {
	struct str name;
	struct module_columns columns;
};
struct raw_sequence {
	struct str name;
	uint16_t column;
	bool has_start, has_min, has_max;
	i128 start, min, max, increment;
};
struct raw_schedule {
	struct str name, table, function;
	uint16_t at_column;
};
struct raw_default {
	struct str table; /* V9 */
	uint16_t column;
	struct bytes value;
};
struct raw_table {
	struct str name;
	uint32_t type_ref;
	struct module_columns primary_key;
	uint32_t index_count, constraint_count, sequence_count, default_count;
	struct raw_index *indexes;
	struct raw_constraint *constraints;
	struct raw_sequence *sequences;
	struct raw_default *defaults;  /* V10 */
	struct raw_schedule *schedule; /* V9; or NULL */
	bool is_public, is_event, is_system;
};
struct raw_function {
	struct str name;
	const struct sats_type *params, *ok, *err; /* a procedure returns `ok` */
	uint8_t lifecycle; /* V9 */
	bool is_private;
};
struct raw_view {
	struct str name;
	uint32_t index;
	bool is_public, is_anonymous;
	const struct sats_type *params, *returns;
};
struct raw_lifecycle {
	uint8_t event;
	struct str function;
};
enum raw_name_kind { RAW_NAME_TABLE, RAW_NAME_FUNCTION, RAW_NAME_INDEX, RAW_NAME_NAMESPACE, RAW_NAME_KIND_COUNT };
struct raw_name {
	uint8_t kind;
	struct str source, canonical;
};
struct raw_route {
	struct str handler, path, extension;
	int32_t method; /* as module_route */
};
struct raw_view_key {
	struct str view;
	uint32_t column_count;
	const struct str *columns;
};
struct raw_module;
struct raw_submodule {
	struct str namespace;
	struct raw_module *module;
};
struct raw_env {
	struct str name;
	uint8_t kind; /* 0 any string, 1 literal, 2 union */
	uint32_t value_count;
	struct str *values;
	bool is_optional;
};
struct raw_outbox {
	struct str table, remote_reducer, on_result;
	uint16_t target_column;
	struct module_columns arguments;
	uint8_t signature_hash[32];
};

#define RAW_LIST(type, name) \
	uint32_t name##_count;   \
	struct type *name##s
struct raw_module {
	uint32_t version; /* 9 or 10 */
	uint32_t sections_seen; /* bit per tag: the first of a kind counts */
	bool snake_case;
	struct sats_typespace typespace;
	RAW_LIST(raw_type, type);
	RAW_LIST(raw_table, table);
	RAW_LIST(raw_function, reducer);
	RAW_LIST(raw_function, procedure);
	RAW_LIST(raw_view, view);
	RAW_LIST(raw_schedule, schedule);
	RAW_LIST(raw_lifecycle, lifecycle);
	RAW_LIST(str, rls_text);
	RAW_LIST(raw_name, name);
	RAW_LIST(str, handler);
	RAW_LIST(raw_route, route);
	RAW_LIST(raw_view_key, view_key);
	RAW_LIST(raw_submodule, submodule);
	RAW_LIST(raw_env, env);
	uint32_t outbox_count;
	struct raw_outbox *outboxes;
	RAW_LIST(raw_default, default_value); /* V9 */
};
enum raw_section { RAW_SECTION_ENVIRONMENT = 15, RAW_SECTION_COUNT = 17 };

/* ---- faults ---- */
/* In the order in which the reference declares them: errors are sorted by it. */
enum fault_kind {
	FAULT_DUPLICATE_NAME, FAULT_DUPLICATE_TYPE_NAME, FAULT_DUPLICATE_LIFECYCLE, FAULT_IDENTIFIER,
	FAULT_UNNAMED_COLUMN, FAULT_TYPE_ORDERING, FAULT_COLUMN_NOT_FOUND, FAULT_COLUMN_MALFORMED,
	FAULT_REPEATED_PRIMARY_KEY, FAULT_ONE_AUTO_INC, FAULT_UNIQUE_WITHOUT_INDEX, FAULT_DIRECT_INDEX_TYPE,
	FAULT_DUPLICATE_COLUMNS, FAULT_SEQUENCE_COLUMN_TYPE, FAULT_SEQUENCE_RANGE, FAULT_VIEW_RETURN,
	FAULT_VIEW_KEY_VIEW, FAULT_VIEW_KEY_REPEATED, FAULT_VIEW_KEY_COLUMNS, FAULT_VIEW_KEY_COLUMN,
	FAULT_PRODUCT_REF, FAULT_TYPE_REF, FAULT_SCHEDULED_COLUMNS, FAULT_CODEGEN, FAULT_PRIMARY_KEY_NOT_UNIQUE,
	FAULT_SCHEDULED_FUNCTION, FAULT_SCHEDULED_PARAMS, FAULT_TABLE_RESERVED, FAULT_DEFAULT_MALFORMED,
	FAULT_DEFAULT_REPEATED, FAULT_TABLE_NOT_FOUND, FAULT_DUPLICATE_FUNCTION, FAULT_DUPLICATE_HANDLER,
	FAULT_DUPLICATE_ROUTE, FAULT_ROUTE_PATH, FAULT_ROUTE_HANDLER, FAULT_LIFECYCLE_WITHOUT_REDUCER,
	FAULT_DUPLICATE_SCHEDULE, FAULT_REDUCER_RETURN, FAULT_LIFECYCLE_IN_SUBMODULE, FAULT_NAMESPACE_LENGTH,
	/* Newer than 2.8, and what the reference does not survive. */
	FAULT_NAMESPACE_CONFLICT, FAULT_SCHEDULED_EVENT, FAULT_VIEW_FLOAT, FAULT_VIEW_KEY_PARAMS,
	FAULT_ENVIRONMENT, FAULT_ENVIRONMENT_KEY, FAULT_ENVIRONMENT_IN_SUBMODULE, FAULT_OUTBOX,
	FAULT_INDEX_SOURCE, FAULT_TOO_MANY_COLUMNS, FAULT_ROW_TYPE,
	FAULT_KIND_COUNT
};
/* How a field is compared and printed. */
enum fault_field_kind {
	FIELD_STR,        /* text */
	FIELD_QUOTED,     /* text as a Rust string literal */
	FIELD_STRS,       /* list: ["a", "b"] */
	FIELD_SCOPED,     /* list: a::b */
	FIELD_SCOPED_QUOTED, /* list: "a"::"b" */
	FIELD_NUMBER,     /* 5 */
	FIELD_REF,        /* &5 */
	FIELD_LIFECYCLE,  /* Init */
	FIELD_METHOD,     /* Any, Method(Get); number and text */
	FIELD_I128,       /* None, Some(5) */
	FIELD_TYPE,       /* (a: U8) */
	FIELD_DEBUG,      /* ProductType {"a": U8} */
	FIELD_COLUMNS,    /* [ColId(0), ColId(1)] */
	FIELD_COLUMN_SET, /* {ColId(0), ColId(1)} */
	FIELD_IDENTIFIER, /* what is wrong with a name */
	FIELD_LOCATION,   /* where a type is used */
	FIELD_CODEGEN,    /* why it cannot be */
};
struct fault_identifier {
	uint8_t rank; /* order of the reference's variants */
	struct str name;
	char bad_char[8];
};
enum location_kind {
	LOCATION_REDUCER_ARG, LOCATION_PROCEDURE_ARG, LOCATION_VIEW_ARG, LOCATION_PROCEDURE_RETURN, LOCATION_VIEW_RETURN,
	LOCATION_TYPESPACE
};
struct fault_location {
	uint8_t kind;
	struct str function, arg; /* arg.data may be NULL */
	uint32_t position;        /* of the argument, or the ref */
};
enum codegen_kind {
	CODEGEN_NOT_A_USE, CODEGEN_REF_RECURSIVE, CODEGEN_REF_INVALID, CODEGEN_UNNAMED_ELEMENT, CODEGEN_UNNAMED_PARAM,
	CODEGEN_NOT_A_DEFINITION, CODEGEN_IDENTIFIER
};
struct fault_codegen {
	uint8_t kind;
	uint32_t ref;
	const struct sats_type *type;
	const struct fault_identifier *identifier;
};
struct fault_field {
	uint8_t kind; /* enum fault_field_kind */
	bool is_some; /* FIELD_I128 */
	uint32_t count;
	union {
		struct str text;
		const struct str *list;
		i128 number;
		const struct sats_type *type;
		struct module_columns columns;
		struct fault_identifier identifier;
		struct fault_location location;
		struct fault_codegen codegen;
	};
	struct str more; /* FIELD_METHOD: extension */
};
enum { FAULT_FIELDS_MAX = 5 };
struct fault {
	uint8_t kind, field_count;
	struct fault_field fields[FAULT_FIELDS_MAX]; /* in the order they are compared */
};
struct faults {
	struct fault *items; /* heap */
	uint32_t count, cap;
	bool dropped; /* more than MODULE_FAULTS_MAX */
	enum wl_err err; /* not about the module: memory, or a limit of ours */
	const char *err_text;
};
void faults_deinit(struct faults *faults);
void faults_stop(struct faults *faults, enum wl_err err, const char *text); /* the first one counts */
void faults_add(struct faults *faults, enum fault_kind kind, const struct fault_field *fields, uint32_t count);
#define FAULT(faults, kind, ...) \
	faults_add((faults), (kind), (const struct fault_field[]){ __VA_ARGS__ }, \
		sizeof((const struct fault_field[]){ __VA_ARGS__ }) / sizeof(struct fault_field))
/* Sorted, without duplicates, as a client sees it. */
void faults_write(struct faults *faults, struct buf *out);

static inline struct fault_field field_str(struct str s)
{
	return (struct fault_field){ FIELD_STR, .text = s };
}
static inline struct fault_field field_number(uint64_t n)
{
	return (struct fault_field){ FIELD_NUMBER, .number = n };
}
static inline struct fault_field field_ref(uint32_t n)
{
	return (struct fault_field){ FIELD_REF, .number = n };
}
static inline struct fault_field field_lifecycle(uint8_t event)
{
	return (struct fault_field){ FIELD_LIFECYCLE, .number = event };
}
static inline struct fault_field field_type(const struct sats_type *type)
{
	return (struct fault_field){ FIELD_TYPE, .type = type };
}
static inline struct fault_field field_i128(bool is_some, i128 n)
{
	return (struct fault_field){ FIELD_I128, .is_some = is_some, .number = is_some ? n : 0 };
}
static inline struct fault_field field_columns(enum fault_field_kind kind, struct module_columns columns)
{
	return (struct fault_field){ kind, .columns = columns };
}
static inline struct fault_field field_list(enum fault_field_kind kind, const struct str *list, uint32_t count)
{
	return (struct fault_field){ kind, .list = list, .count = count };
}

/* ---- validated levels ---- */
struct part {
	struct str path, accessor_path;          /* set when the tree is assembled */
	struct str namespace, namespace_accessor; /* as mounted in the parent */
	bool snake_case;
	bool verbatim;                            /* re-reading with the default policy would change its names */
	struct sats_typespace typespace;          /* canonical names */
	uint32_t type_count, table_count, reducer_count, procedure_count, view_count, handler_count, route_count;
	uint32_t rls_count, child_count, env_count;
	struct module_type *types;     /* sorted */
	struct module_table *tables;   /* sorted; names without namespace, as everything here */
	struct module_function *reducers, *procedures;
	struct module_view *views;
	struct str *handlers, *handler_accessors;
	struct module_route *routes;
	uint32_t lifecycle[MODULE_LIFECYCLE_COUNT];
	struct str *rls;
	struct part **children;
	bool has_environment, has_outbox;
	struct module_env *env;
};

struct module_def {
	_Atomic uint32_t references;
	struct arena arena;
	struct map reducers, procedures, views; /* canonical name -> id */
	struct part *root;
	struct module_info info;
};

/* What decoding and validating pass along. */
struct context {
	struct arena *arena, *scratch;
	struct faults *faults;
};

/* Memory for the definition or for the call; on failure notes it in `faults` and returns NULL. */
void *context_array(struct context *c, struct arena *arena, size_t count, size_t size);

/* The validator of one level. */
struct validator {
	struct context *c;
	const struct raw_module *raw;
	struct part *part;
	struct map names;       /* global namespace: table, view, index, constraint, sequence, schedule names */
	struct map type_names;
	struct map explicit_names[RAW_NAME_KIND_COUNT]; /* source -> struct raw_name */
	struct map table_by_name;   /* canonical -> position in part->tables, as declared */
	struct map function_by_name; /* canonical -> enum function_role << 32 | position */
	uint8_t *is_definition; /* per typespace entry */
	uint8_t *use_state;     /* per typespace entry */
	struct fault_codegen *use_faults;
};
enum function_role { ROLE_REDUCER, ROLE_PROCEDURE, ROLE_VIEW };

/* ---- decode.c, decode_v8.c ---- */
struct decoder {
	struct context *c;
	struct reader r;
	struct error *error; /* .code is WL_OK until something fails */
	uint32_t submodule_count;
};
bool decode_fail(struct decoder *d, const char *format, ...) PRINTF_LIKE(2, 3); /* false */
bool decode_ok(struct decoder *d); /* false once anything failed */
/* Reads a u32 count; NULL on failure. No more items are allocated than the bytes left can hold. */
void *decode_array(struct decoder *d, size_t item_size, size_t item_bytes_min, uint32_t *count);
struct str decode_str(struct decoder *d);
struct str decode_optional_str(struct decoder *d);
bool decode_bool(struct decoder *d);
uint8_t decode_tag(struct decoder *d, uint8_t count, const char *sum_name);
bool decode_optional(struct decoder *d); /* true: a value follows */
i128 decode_i128(struct decoder *d);
struct module_columns decode_columns(struct decoder *d);
void decode_typespace(struct decoder *d, struct sats_typespace *out);
const struct sats_type *decode_type(struct decoder *d);
const struct sats_type *decode_product(struct decoder *d);
/* V8, upgraded to V9. Faults only V8 knows go to the context. */
void decode_v8(struct decoder *d, struct raw_module *out);
/* The whole description. On WL_ERR_INVALID `error` has the decoder's text. */
enum wl_err module_decode(struct context *c, struct bytes description, struct raw_module *out, struct error *error);

/* ---- names.c ---- */
struct str name_convert(struct context *c, enum native_case to, struct str name);
/* Text in the scratch arena. */
struct str scratch_text(struct context *c, const struct buf *text);
struct str scratch_printf(struct context *c, const char *format, ...) PRINTF_LIKE(2, 3);
bool name_fault(struct str name, struct fault_identifier *out); /* true: not an identifier */
bool name_check(struct validator *v, struct str name);          /* adds a fault when it is not an identifier */
/* Adds to the global namespace; a fault when it is taken. */
bool name_add(struct validator *v, struct str name);
/* The canonical name by explicit entry or policy; false with a fault when it is no identifier. */
bool name_resolve(struct validator *v, enum raw_name_kind kind, struct str source, struct str *out);
bool name_resolve_plain(struct validator *v, struct str source, struct str *out); /* by policy alone */
bool name_resolve_type(struct validator *v, struct str source, struct str *out);
struct str name_of_index(struct validator *v, struct str table, const struct sats_type *row, uint8_t algorithm,
	struct module_columns columns);
struct str name_of_constraint(struct validator *v, struct str table, const struct sats_type *row,
	struct module_columns columns);
struct str name_of_sequence(struct validator *v, struct str table, const struct sats_type *row, uint16_t column);
struct str name_of_schedule(struct validator *v, struct str table);
/* The best name of a column for people: its own, or its number. */
struct str name_of_column(struct context *c, const struct sats_type *row, uint32_t column);
int str_order(struct str a, struct str b); /* bytewise */

/* ---- types.c ---- */
/* The typespace with converted names; types that do not change are shared. */
bool types_convert(struct context *c, const struct sats_typespace *from, struct sats_typespace *to);
bool types_would_change(struct context *c, const struct sats_typespace *space);
bool types_begin(struct validator *v);
/* A fault when `type` cannot be used in a client's bindings. */
bool types_check_use(struct validator *v, const struct fault_location *where, const struct sats_type *type);
bool types_check_definition(struct validator *v, uint32_t ref);
bool types_default_order(const struct sats_type *type);
const struct sats_type *types_product_at(const struct sats_typespace *space, uint32_t ref); /* or NULL */
static inline bool types_is_special(const struct sats_type *type)
{
	return type->special != SATS_PLAIN && type->special != SATS_QUERY_VIEW;
}
static inline bool types_is_unit(const struct sats_type *type) { return type->tag == SATS_PRODUCT && type->count == 0; }

/* ---- what the validating files share ---- */
static inline uint32_t mark_of(const struct validator *v) { return v->c->faults->count; }
static inline bool clean_since(const struct validator *v, uint32_t mark)
{
	const struct faults *faults = v->c->faults;
	return faults->count == mark && !faults->dropped && faults->err == WL_OK;
}
static inline bool remember(struct validator *v, struct map *map, struct str key, uint64_t value)
{
	if (map_put(map, key.data, key.len, value))
		return true;
	faults_stop(v->c->faults, WL_ERR_MEMORY, "out of memory");
	return false;
}
/* A list of the level, with room for `n`; returns from the function when there is no memory. */
#define PART_ARRAY(v, counter, list, n)                                                               \
	(v)->part->counter = (n);                                                                         \
	(v)->part->list = context_array((v)->c, (v)->c->arena, (n), sizeof(*(v)->part->list));            \
	if ((v)->part->list == NULL)                                                                      \
	return

/* ---- validate_functions.c ---- */
void validate_reducers(struct validator *v);
void validate_procedures(struct validator *v);
void validate_views(struct validator *v);
void validate_http(struct validator *v);
bool register_lifecycle(struct validator *v, uint8_t event, uint32_t reducer);
void attach_view_keys(struct validator *v);
void infer_view_keys(struct validator *v);
void finish_level(struct validator *v);

/* ---- validate.c, validate_tables.c, validate_late.c ---- */
/* One level with all below it; NULL when there were faults. */
struct part *validate_module(struct context *c, const struct raw_module *raw, uint32_t depth);
bool validate_table(struct validator *v, const struct raw_table *raw, struct module_table *out);
/* The at-column, the id column, the names; what it calls is checked later. */
bool validate_schedule(struct validator *v, const struct raw_schedule *raw, struct str table_source,
	const struct sats_type *row, int32_t primary_key, struct str name, const struct module_schedule **out);
/* Columns of a table or view: names and types. `columns` has row->count entries. */
bool validate_columns(struct validator *v, struct str source, uint32_t ref, const struct sats_type *row,
	const struct sats_type *raw_row, struct module_column *columns);
/* Fills row_type and column types. */
bool validate_row_type(struct validator *v, struct str source, uint32_t ref, const struct sats_type **row_type,
	uint32_t column_count, struct module_column *columns);
bool validate_default(struct validator *v, const struct module_table *table, const struct raw_default *raw, bool once,
	const struct sats_row_layout **cache);
bool validate_environment(struct validator *v);
bool validate_outboxes(struct validator *v);

/* ---- build.c ---- */
bool build_info(struct context *c, struct module_def *def, uint32_t version);
#endif
