/* SPDX-License-Identifier: Apache-2.0 */
/* Which segments a folder has. */
#include "commitlog/commitlog_internal.h"
#include "base/mem.h"

#include <stdlib.h>

enum { NAME_DIGITS = 10, SEGMENTS_MAX = 1 << 20 };

static void found_name(void *context, const char *name)
{
	struct segment_list *list = context;
	uint64_t number = 0;
	size_t digits = 0;
	if (strcmp(name, "segment.tmp") == 0)
		list->has_temp = true;
	for (; name[digits] >= '0' && name[digits] <= '9' && digits < NAME_DIGITS; digits++)
		number = number * 10 + (uint64_t)(name[digits] - '0');
	if (digits != NAME_DIGITS || strcmp(name + digits, ".wlog") != 0 || list->no_memory)
		return;
	if (list->count == list->cap) {
		size_t cap = list->cap == 0 ? 16 : list->cap * 2;
		uint64_t *grown = cap > SEGMENTS_MAX ? NULL : mem_realloc(list->numbers, cap * sizeof(*grown));
		list->no_memory = grown == NULL;
		if (list->no_memory)
			return;
		list->numbers = grown;
		list->cap = cap;
	}
	list->numbers[list->count++] = number;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

enum wl_err segment_list_read(struct storage *storage, const char *dir, struct segment_list *out, struct error *error)
{
	*out = (struct segment_list){ 0 };
	if (!storage->ops->list(storage, dir, found_name, out))
		return fail_errno(error, WL_ERR_IO, "cannot list %s", dir);
	if (out->no_memory)
		return fail(error, WL_ERR_MEMORY, "%s: no memory for the list of segments", dir);
	if (out->count > 1)
		qsort(out->numbers, out->count, sizeof(*out->numbers), ascending);
	return WL_OK;
}

void segment_list_free(struct segment_list *list)
{
	mem_free(list->numbers);
	*list = (struct segment_list){ 0 };
}
