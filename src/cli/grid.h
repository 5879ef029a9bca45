/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_GRID_H
#define CLI_GRID_H
/*
 * grid: a table of texts laid out in columns, as psql does it. Widths are
 * those of a terminal: wide characters count twice. A cell of several lines
 * makes its row as high.
 */
#include "base/buf.h"

enum { CLI_GRID_COLUMNS_MAX = 1 << 16 };

enum cli_grid_style {
	CLI_GRID_PSQL,  /* " a | b " with a rule below the header */
	CLI_GRID_PLAIN, /* blanks only */
};
struct cli_grid {
	enum cli_grid_style style;
	uint32_t columns;
	bool right_first; /* the first column is aligned to the right */
	struct buf text;  /* all cells, one behind the other */
	struct buf ends;  /* u64 each: where a cell ends in text */
};
void cli_grid_init(struct cli_grid *grid, uint32_t columns, enum cli_grid_style style);
void cli_grid_deinit(struct cli_grid *grid);
/* The next cell is the one that is written to grid->text until the call. The first row is the header. */
void cli_grid_end_cell(struct cli_grid *grid);
void cli_grid_cell(struct cli_grid *grid, struct str text);
/* Lines without a newline at the end. `out` fails when memory did. */
void cli_grid_put(struct buf *out, const struct cli_grid *grid);
size_t cli_text_width(struct str text); /* columns on a terminal */
#endif
