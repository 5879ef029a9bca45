/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_UPDATES_H
#define CLI_UPDATES_H
/*
 * updates: the messages of one subscription (v3: v2's messages, several in a
 * payload) as JSON, one object a line. Pure but for the errors it records.
 */
#include "cli/schema.h"

enum { CLI_UPDATES_BYTES_MAX = 1 << 30 }; /* of a message, and of the rows of a table in an update */

struct shown_table;
struct cli_updates {
	struct cli *cli;
	struct cli_schema *schema;
	struct shown_table *tables;
	uint32_t table_count;
	bool print_initial; /* the rows of the beginning, too */
	bool limited;       /* done after `wanted` updates */
	bool applied;       /* the subscription stands */
	uint64_t wanted, received;
};
void cli_updates_init(struct cli_updates *updates, struct cli *cli, struct cli_schema *schema);
void cli_updates_deinit(struct cli_updates *updates);
/* One payload: a compression tag, then messages back to back. Appends lines; false with the error recorded. */
bool cli_updates_take(struct cli_updates *updates, const uint8_t *data, size_t len, struct buf *out);
bool cli_updates_done(const struct cli_updates *updates);
#endif
