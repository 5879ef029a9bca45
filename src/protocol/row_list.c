/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BsatnRowList: {size hint, rows_data}. Rows of one length are FixedSize; any
 * other list is RowOffsets. Rows of length 0 and of more than 65,535 bytes are
 * always RowOffsets.
 */
#include "protocol/protocol.h"

enum { HINT_FIXED, HINT_OFFSETS, FIXED_HEADER = 1 + 2 + 4 };

void protocol_rows_begin(struct protocol_row_list *list, struct buf *out, struct buf *offsets)
{
	*list = (struct protocol_row_list){ .out = out, .offsets = offsets, .header_at = out->len };
	buf_clear(offsets);
	(void)buf_extend(out, FIXED_HEADER);
	list->data_at = out->len;
}

/* The first row that differs: what was fixed so far gets its offsets. */
static void become_mixed(struct protocol_row_list *list)
{
	list->mixed = true;
	for (uint32_t i = 0; i < list->count; i++)
		buf_put_u64(list->offsets, (uint64_t)i * list->row_len);
}

void protocol_rows_add(struct protocol_row_list *list, const void *row, size_t len)
{
	if (list->count == 0) {
		list->row_len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
		list->mixed = len == 0 || len > UINT16_MAX;
	} else if (!list->mixed && len != list->row_len) {
		become_mixed(list);
	}
	if (list->mixed)
		buf_put_u64(list->offsets, list->out->len - list->data_at);
	buf_put(list->out, row, len);
	list->count++;
}

void protocol_rows_add_many(struct protocol_row_list *list, const void *rows, uint32_t count, uint32_t len)
{
	if (count == 0)
		return;
	if (list->count == 0 || list->mixed || len != list->row_len) {
		protocol_rows_add(list, rows, len);
		rows = (const uint8_t *)rows + len;
		count--;
	}
	if (list->mixed || len != list->row_len) {
		for (uint32_t i = 0; i < count; i++)
			protocol_rows_add(list, (const uint8_t *)rows + (size_t)i * len, len);
		return;
	}
	buf_put(list->out, rows, (size_t)count * len);
	list->count += count;
}

void protocol_rows_end(struct protocol_row_list *list)
{
	struct buf *out = list->out;
	if (list->offsets->failed)
		out->failed = true;
	if (out->failed)
		return;
	size_t data_len = out->len - list->data_at;
	if (data_len > UINT32_MAX) {
		out->failed = true;
		return;
	}
	if (list->count > 0 && !list->mixed) {
		uint8_t *p = out->data + list->header_at;
		p[0] = HINT_FIXED;
		store_u16(p + 1, (uint16_t)list->row_len);
		store_u32(p + 3, (uint32_t)data_len);
		return;
	}
	/* RowOffsets: the header grows by the offsets, the data moves behind them. */
	size_t offsets_len = list->offsets->len, header = 1 + 4 + offsets_len + 4;
	if (buf_extend(out, header - FIXED_HEADER) == NULL)
		return;
	uint8_t *p = out->data + list->header_at;
	memmove(p + header, p + FIXED_HEADER, data_len);
	p[0] = HINT_OFFSETS;
	store_u32(p + 1, list->count);
	if (offsets_len > 0)
		memcpy(p + 5, list->offsets->data, offsets_len);
	store_u32(p + 5 + offsets_len, (uint32_t)data_len);
}

void protocol_rows_empty(struct buf *out)
{
	uint8_t *p = buf_extend(out, 9);
	if (p == NULL)
		return;
	p[0] = HINT_OFFSETS;
	store_u32(p + 1, 0);
	store_u32(p + 5, 0);
}

void protocol_rows_fixed(struct buf *out, const void *rows, uint32_t count, uint32_t row_len)
{
	uint64_t data_len = (uint64_t)count * row_len;
	ASSERT(row_len > 0 && row_len <= UINT16_MAX);
	if (data_len > UINT32_MAX) {
		out->failed = true;
		return;
	}
	buf_put_u8(out, HINT_FIXED);
	buf_put_u16(out, (uint16_t)row_len);
	buf_put_bsatn_bytes(out, rows, (size_t)data_len);
}
