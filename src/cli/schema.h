/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SCHEMA_H
#define CLI_SCHEMA_H
/*
 * schema: a module's definition as the host describes it in JSON (version 10,
 * or 9 of older hosts): the functions that can be called, and the row types of
 * tables and views. Names are canonical, those of submodules dotted.
 */
#include "cli/target.h"
#include "sats/sats.h"

enum { CLI_SCHEMA_MODULES_MAX = 4096, CLI_SCHEMA_DEPTH_MAX = 16 };

struct cli_function {
	struct str name;
	const struct sats_type *params; /* a product */
	const struct sats_typespace *space;
	uint32_t node; /* its object in the document */
	bool lifecycle, procedure;
};
struct cli_table { /* or a view */
	struct str name;
	const struct sats_type *row; /* a product; NULL when it cannot be told */
	const struct sats_typespace *space;
	uint32_t node;
	bool view;
};
struct cli_schema {
	struct native_json doc;
	int version;
	struct cli_function *functions;
	struct cli_table *tables;
	uint32_t function_count, table_count;
};
bool cli_schema_fetch(struct cli *cli, const struct cli_target *target, struct cli_schema *out);
/* From a body; for tests. */
bool cli_schema_parse(struct cli *cli, struct str json, int version, struct cli_schema *out);
void cli_schema_deinit(struct cli_schema *schema);

/* Reducers before procedures. */
const struct cli_function *cli_schema_function(const struct cli_schema *schema, struct str name);
const struct cli_table *cli_schema_table(const struct cli_schema *schema, struct str name);

/* A type from its SATS-JSON description; NULL with the error recorded. */
const struct sats_type *cli_type_parse(struct cli *cli, const struct native_json *doc, uint32_t node);
/* {"elements":[…]} */
const struct sats_type *cli_product_parse(struct cli *cli, const struct native_json *doc, uint32_t node);
#endif
