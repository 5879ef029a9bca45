/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Row iterators of a guest. The ABI shows rows in chunks: a chunk is closed
 * by the row that takes it over RUNTIME_CHUNK_BYTES, and only whole chunks
 * are given out. It also promises that an open iterator never sees a later
 * write and outlives its transaction.
 *
 * 1. A lazy iterator is registered with its table (store_watch) and in
 *    instance->lazy; it reads the table's pages through its cursor. Before the
 *    first write to the table, and when the transaction or the call ends, the
 *    rows that are left are copied and it is lazy no more.
 * 2. An iterator rests at a chunk boundary only, so that copying half-way
 *    yields the same chunks as copying at open would have.
 * 3. instance->iterator_bytes is the sum of data.len of all copied iterators;
 *    beyond RUNTIME_ITERATOR_BYTES_MAX, or without memory, an iterator breaks:
 *    the copy happens where no error can be returned, so the next advance
 *    traps instead.
 *
 *   open --lazy--> [LAZY] --write, end of call--> [COPIED] --last chunk--> gone
 *        --copy-----------------------------------^   `--limit--> [BROKEN]
 */
#include "base/mem.h"
#include "runtime/runtime_internal.h"

static void fetch(struct iterator *it)
{
	it->has_row = store_cursor_next(&it->cursor, &it->row);
}

static void unlink_lazy(struct iterator *it)
{
	if (it->previous != NULL)
		it->previous->following = it->following;
	else
		it->instance->lazy = it->following;
	if (it->following != NULL)
		it->following->previous = it->previous;
	it->previous = it->following = NULL;
}

static void drop_data(struct iterator *it)
{
	it->instance->iterator_bytes -= it->data.len;
	buf_clear(&it->data);
	buf_clear(&it->ends);
	it->at = 0;
	it->chunk = 0;
}

/* Copies the rows that are left. The caller sees to the watch and the list. */
static void copy_rest(struct iterator *it)
{
	struct runtime_instance *in = it->instance;
	size_t chunk_start = 0;
	it->state = ITERATOR_COPIED;
	for (; it->has_row; fetch(it)) {
		if (it->row.len > RUNTIME_ITERATOR_BYTES_MAX - in->iterator_bytes)
			it->data.failed = true;
		buf_put(&it->data, it->row.data, it->row.len);
		if (UNLIKELY(it->data.failed))
			break;
		in->iterator_bytes += it->row.len;
		if (it->data.len - chunk_start > RUNTIME_CHUNK_BYTES) {
			chunk_start = it->data.len;
			buf_put_u32(&it->ends, (uint32_t)it->data.len);
		}
	}
	it->has_row = false;
	if (UNLIKELY(it->data.failed || it->ends.failed)) {
		drop_data(it);
		buf_deinit(&it->data); /* it may be most of what the process has */
		it->state = ITERATOR_BROKEN;
	}
}

static void before_write(struct store_watch *watch)
{
	struct iterator *it = (struct iterator *)watch;
	unlink_lazy(it);
	copy_rest(it);
}

static struct iterator *iterator_new(struct runtime_instance *in)
{
	struct iterator *it = in->spare;
	if (it != NULL) {
		in->spare = it->following;
		in->spare_count--;
		it->following = NULL;
		return it;
	}
	it = mem_zalloc(sizeof(*it));
	if (it == NULL)
		return NULL;
	buf_init(&it->data, RUNTIME_ITERATOR_BYTES_MAX);
	buf_init(&it->ends, RUNTIME_ITERATOR_BYTES_MAX / RUNTIME_CHUNK_BYTES * sizeof(uint32_t));
	it->instance = in;
	it->watch.before_write = before_write;
	return it;
}

static void iterator_free(struct iterator *it)
{
	struct runtime_instance *in = it->instance;
	if (it->state == ITERATOR_LAZY) {
		store_watch_remove(&it->watch);
		unlink_lazy(it);
	}
	drop_data(it);
	if (in->spare_count < RUNTIME_ITERATORS_KEEP && it->data.cap <= RUNTIME_BUF_KEEP) {
		it->following = in->spare;
		in->spare = it;
		in->spare_count++;
		return;
	}
	buf_deinit(&it->data);
	buf_deinit(&it->ends);
	mem_free(it);
}

int32_t iterator_open(struct runtime_instance *in, const struct store_cursor *cursor, bool copy, uint32_t out)
{
	uint8_t *target = guest_slice(in, out, sizeof(uint32_t));
	if (target == NULL)
		return syscall_trap_pointer(in, out);
	struct iterator *it = iterator_new(in);
	if (it == NULL)
		return syscall_trap(in, "out of memory");
	it->cursor = *cursor;
	uint32_t handle;
	if (!slab_put(&in->iterators, it, RUNTIME_ITERATORS_MAX, &handle)) {
		it->state = ITERATOR_COPIED;
		iterator_free(it);
		return syscall_trap(in, "more than %d row iterators are open", RUNTIME_ITERATORS_MAX);
	}
	fetch(it);
	if (copy || !it->has_row) {
		copy_rest(it);
	} else {
		it->state = ITERATOR_LAZY;
		it->following = in->lazy;
		if (in->lazy != NULL)
			in->lazy->previous = it;
		in->lazy = it;
		store_watch_add(it->cursor.table, &it->watch);
	}
	store_u32(target, handle);
	return 0;
}

/* Gives out whole chunks straight from the table. */
static int32_t advance_lazy(struct iterator *it, uint8_t *buffer, size_t cap, size_t *written)
{
	size_t at = 0;
	while (it->has_row) {
		struct store_cursor cursor = it->cursor;
		struct store_row row = it->row;
		size_t start = at;
		while (it->has_row && at - start <= RUNTIME_CHUNK_BYTES && it->row.len <= cap - at) {
			memcpy(buffer + at, it->row.data, it->row.len);
			at += it->row.len;
			fetch(it);
		}
		if (!it->has_row || at - start > RUNTIME_CHUNK_BYTES)
			continue;
		/* This chunk does not fit: back to its first row, and if nothing was given out, say how long it is. */
		size_t need = at - start;
		if (start == 0)
			for (; it->has_row && need <= RUNTIME_CHUNK_BYTES; fetch(it))
				need += it->row.len;
		it->cursor = cursor;
		it->row = row;
		it->has_row = true;
		*written = start == 0 ? need : start;
		return start == 0 ? ERRNO_BUFFER_TOO_SMALL : 0;
	}
	*written = at;
	return SYSCALL_DONE;
}

static int32_t advance_copied(struct iterator *it, uint8_t *buffer, size_t cap, size_t *written)
{
	size_t count = it->ends.len / sizeof(uint32_t), start = it->at;
	while (it->at < it->data.len) {
		size_t end = it->chunk < count ? load_u32(it->ends.data + it->chunk * sizeof(uint32_t)) : it->data.len;
		if (end - start > cap) {
			if (it->at == start) {
				*written = end - start;
				return ERRNO_BUFFER_TOO_SMALL;
			}
			break;
		}
		it->at = end;
		it->chunk++;
	}
	*written = it->at - start;
	if (*written > 0)
		memcpy(buffer, it->data.data + start, *written);
	return it->at == it->data.len ? SYSCALL_DONE : 0;
}

int32_t syscall_iter_advance(struct runtime_instance *in, uint32_t iter, uint32_t buffer, uint32_t buffer_len)
{
	struct iterator *it = slab_get(&in->iterators, iter);
	if (it == NULL)
		return ERRNO_NO_SUCH_ITER;
	uint8_t *len = guest_slice(in, buffer_len, sizeof(uint32_t));
	if (len == NULL)
		return syscall_trap_pointer(in, buffer_len);
	uint32_t cap = load_u32(len);
	uint8_t *target = guest_slice(in, buffer, cap);
	if (target == NULL)
		return syscall_trap_pointer(in, buffer);
	if (it->state == ITERATOR_BROKEN)
		return syscall_trap(in, "the rows of open iterators could not be kept: over %d bytes, or out of memory",
			RUNTIME_ITERATOR_BYTES_MAX);
	size_t written = 0;
	int32_t result = it->state == ITERATOR_LAZY ? advance_lazy(it, target, cap, &written)
		: advance_copied(it, target, cap, &written);
	if (result == SYSCALL_DONE) {
		slab_take(&in->iterators, iter);
		iterator_free(it);
	}
	store_u32(len, (uint32_t)written);
	return result;
}

int32_t syscall_iter_close(struct runtime_instance *in, uint32_t iter)
{
	struct iterator *it = slab_take(&in->iterators, iter);
	if (it == NULL)
		return ERRNO_NO_SUCH_ITER;
	iterator_free(it);
	return 0;
}

void iterators_settle(struct runtime_instance *in)
{
	while (UNLIKELY(in->lazy != NULL)) {
		struct iterator *it = in->lazy;
		store_watch_remove(&it->watch);
		unlink_lazy(it);
		copy_rest(it);
	}
}

void iterators_deinit(struct runtime_instance *in)
{
	uint32_t cursor = 0;
	for (struct iterator *it; (it = slab_next(&in->iterators, &cursor)) != NULL;)
		iterator_free(it);
	while (in->spare != NULL) {
		struct iterator *it = in->spare;
		in->spare = it->following;
		buf_deinit(&it->data);
		buf_deinit(&it->ends);
		mem_free(it);
	}
	in->spare_count = 0;
	slab_deinit(&in->iterators);
}
