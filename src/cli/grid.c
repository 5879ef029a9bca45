/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of text: two passes over the cells, one for the widths, one to write. */
#include "cli/grid.h"
#include "base/mem.h"

#include <locale.h>
#include <wchar.h>

enum { CELLS_BYTES_MAX = INT32_MAX };

/* ---- width ---- */

/* Widths come from the C library's tables for UTF-8, whatever locale the user has. */
static void use_utf8(void)
{
	static locale_t utf8;
	if (utf8 == (locale_t)0)
		utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	if (utf8 != (locale_t)0)
		uselocale(utf8);
}

size_t cli_text_width(struct str text)
{
	const uint8_t *at = (const uint8_t *)text.data, *end = at + text.len;
	size_t width = 0;
	use_utf8();
	while (at < end) {
		uint32_t c = *at++;
		int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
		if (c < 0x80) {
			width += c >= 0x20 && c != 0x7f;
			continue;
		}
		c &= more == 3 ? 0x07 : more == 2 ? 0x0f : 0x1f;
		for (; more > 0 && at < end && (*at & 0xc0) == 0x80; more--)
			c = c << 6 | (*at++ & 0x3f);
		int columns = wcwidth((wchar_t)c);
		width += columns > 0 ? (size_t)columns : 0;
	}
	return width;
}

/* ---- cells ---- */

void cli_grid_init(struct cli_grid *grid, uint32_t columns, enum cli_grid_style style)
{
	*grid = (struct cli_grid){ .style = style, .columns = columns };
	buf_init(&grid->text, CELLS_BYTES_MAX);
	buf_init(&grid->ends, CELLS_BYTES_MAX);
}

void cli_grid_deinit(struct cli_grid *grid)
{
	buf_deinit(&grid->text);
	buf_deinit(&grid->ends);
}

void cli_grid_end_cell(struct cli_grid *grid)
{
	buf_put_u64(&grid->ends, grid->text.len);
}

void cli_grid_cell(struct cli_grid *grid, struct str text)
{
	buf_put_str(&grid->text, text);
	cli_grid_end_cell(grid);
}

static struct str cell_at(const struct cli_grid *grid, size_t index)
{
	uint64_t begin = index > 0 ? load_u64(grid->ends.data + 8 * (index - 1)) : 0;
	uint64_t end = load_u64(grid->ends.data + 8 * index);
	return (struct str){ (const char *)grid->text.data + begin, (size_t)(end - begin) };
}

/* Takes the next line off `text`. */
static struct str next_line(struct str *text)
{
	const char *newline = text->len > 0 ? memchr(text->data, '\n', text->len) : NULL;
	size_t len = newline != NULL ? (size_t)(newline - text->data) : text->len;
	struct str line = { text->data, len };
	size_t taken = len + (newline != NULL);
	text->data = text->len > 0 ? text->data + taken : text->data;
	text->len -= taken;
	return line;
}

static size_t line_count(struct str text)
{
	size_t count = 1;
	for (size_t i = 0; i < text.len; i++)
		count += text.data[i] == '\n';
	return count;
}

static void put_blanks(struct buf *out, size_t count)
{
	uint8_t *at = buf_extend(out, count);
	if (at != NULL)
		memset(at, ' ', count);
}

struct column {
	size_t width;
	struct str rest; /* of the row that is being written */
};

static void put_line(struct buf *out, const struct cli_grid *grid, struct column *columns)
{
	for (uint32_t c = 0; c < grid->columns; c++) {
		struct str text = next_line(&columns[c].rest);
		size_t blanks = columns[c].width - cli_text_width(text);
		bool right = grid->right_first && c == 0;
		buf_put_cstr(out, c > 0 && grid->style == CLI_GRID_PSQL ? "|" : "");
		put_blanks(out, 1 + (right ? blanks : 0));
		buf_put_str(out, text);
		put_blanks(out, 1 + (right ? 0 : blanks));
	}
}

static void put_row(struct buf *out, const struct cli_grid *grid, size_t row, struct column *columns)
{
	size_t height = 1;
	for (uint32_t c = 0; c < grid->columns; c++) {
		columns[c].rest = cell_at(grid, row * grid->columns + c);
		height = size_max(height, line_count(columns[c].rest));
	}
	for (size_t line = 0; line < height; line++) {
		buf_put_cstr(out, line > 0 ? "\n" : "");
		put_line(out, grid, columns);
	}
}

static void put_rule(struct buf *out, const struct cli_grid *grid, const struct column *columns)
{
	buf_put_u8(out, '\n');
	for (uint32_t c = 0; c < grid->columns; c++) {
		uint8_t *at = buf_extend(out, columns[c].width + 2 + (c > 0));
		if (at == NULL)
			return;
		if (c > 0)
			*at++ = '+';
		memset(at, '-', columns[c].width + 2);
	}
}

void cli_grid_put(struct buf *out, const struct cli_grid *grid)
{
	size_t cells = grid->ends.len / 8, rows = grid->columns > 0 ? cells / grid->columns : 0;
	if (grid->text.failed || grid->ends.failed) {
		out->failed = true;
		return;
	}
	if (rows == 0)
		return;
	struct column *columns = mem_zalloc_array(grid->columns, sizeof(*columns));
	if (columns == NULL) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < rows * grid->columns; i++) {
		struct column *column = &columns[i % grid->columns];
		for (struct str rest = cell_at(grid, i); rest.len > 0;)
			column->width = size_max(column->width, cli_text_width(next_line(&rest)));
	}
	for (size_t row = 0; row < rows; row++) {
		buf_put_cstr(out, row > 0 ? "\n" : "");
		put_row(out, grid, row, columns);
		if (row == 0 && grid->style == CLI_GRID_PSQL)
			put_rule(out, grid, columns);
	}
	mem_free(columns);
}
