/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte sources and sinks: how arguments reach a guest and how its results
 * come back.
 *
 * 1. Handles count up from 1, sources and sinks apart, and start again when a
 *    call ends. What runs at creation does not end a call: a fresh guest's
 *    first sink handle is 2 (1 was its description's).
 * 2. A source that is read to its end is gone; so is every source and sink at
 *    the end of a call.
 */
#include "base/mem.h"
#include "runtime/runtime_internal.h"

static struct source *source_find(struct runtime_instance *in, uint32_t id)
{
	for (uint32_t i = 0; i < in->source_count; i++)
		if (in->sources[i].id == id)
			return &in->sources[i];
	return NULL;
}

static bool sources_grow(struct runtime_instance *in)
{
	uint32_t cap = in->source_cap == 0 ? 4 : in->source_cap * 2;
	struct source *grown = mem_realloc(in->sources, cap * sizeof(*grown));
	if (grown == NULL)
		return false;
	in->sources = grown;
	in->source_cap = cap;
	return true;
}

static bool create(struct runtime_instance *in, struct bytes data, bool copy, uint32_t *id)
{
	if (data.len > UINT32_MAX || in->source_count == RUNTIME_SOURCES_MAX)
		return false;
	if (in->source_count == in->source_cap && !sources_grow(in))
		return false;
	struct source *source = &in->sources[in->source_count];
	*source = (struct source){ .data = data.data, .left = data.len };
	if (copy && data.len > 0) {
		source->owned = mem_alloc(data.len);
		if (source->owned == NULL)
			return false;
		memcpy(source->owned, data.data, data.len);
		source->data = source->owned;
	}
	in->source_count++;
	*id = source->id = in->next_source++;
	return true;
}

bool source_create(struct runtime_instance *in, struct bytes data, bool copy, uint32_t *id)
{
	*id = 0;
	return data.len == 0 || create(in, data, copy, id);
}

bool source_create_present(struct runtime_instance *in, struct bytes data, uint32_t *id)
{
	return create(in, data, true, id);
}

static void source_remove(struct runtime_instance *in, struct source *source)
{
	mem_free(source->owned);
	*source = in->sources[--in->source_count];
}

uint32_t sink_create(struct runtime_instance *in)
{
	for (uint32_t i = 0; i < RUNTIME_SINKS_MAX; i++) {
		struct sink *sink = &in->sinks[i];
		if (sink->id != 0)
			continue;
		sink->id = in->next_sink++;
		sink->data.max = RUNTIME_SINK_BYTES_MAX;
		buf_clear(&sink->data);
		return sink->id;
	}
	return 0;
}

struct sink *sink_find(struct runtime_instance *in, uint32_t id)
{
	if (id != 0)
		for (uint32_t i = 0; i < RUNTIME_SINKS_MAX; i++)
			if (in->sinks[i].id == id)
				return &in->sinks[i];
	return NULL;
}

/* The content stays readable until the slot's next use: a result's text may borrow it. */
void sink_release(struct sink *sink)
{
	sink->id = 0;
}

void bytes_reset(struct runtime_instance *in)
{
	while (in->source_count > 0)
		source_remove(in, &in->sources[in->source_count - 1]);
	in->next_source = 1;
	for (uint32_t i = 0; i < RUNTIME_SINKS_MAX; i++)
		sink_release(&in->sinks[i]);
	in->next_sink = 1;
}

void bytes_deinit(struct runtime_instance *in)
{
	bytes_reset(in);
	mem_free(in->sources);
	for (uint32_t i = 0; i < RUNTIME_SINKS_MAX; i++)
		buf_deinit(&in->sinks[i].data);
}

int32_t syscall_source_read(struct runtime_instance *in, uint32_t id, uint32_t buffer, uint32_t buffer_len)
{
	struct source *source = source_find(in, id);
	if (source == NULL)
		return ERRNO_NO_SUCH_BYTES;
	uint8_t *len = guest_slice(in, buffer_len, sizeof(uint32_t));
	if (len == NULL)
		return syscall_trap_pointer(in, buffer_len);
	uint32_t cap = load_u32(len);
	uint8_t *target = guest_slice(in, buffer, cap);
	if (target == NULL)
		return syscall_trap_pointer(in, buffer);
	size_t count = size_min(cap, source->left);
	memcpy(target, source->data, count);
	store_u32(len, (uint32_t)count);
	source->data += count;
	source->left -= count;
	if (source->left > 0)
		return 0;
	source_remove(in, source);
	return SYSCALL_DONE;
}

int32_t syscall_source_remaining(struct runtime_instance *in, uint32_t id, uint32_t out)
{
	const struct source *source = source_find(in, id);
	if (source == NULL)
		return ERRNO_NO_SUCH_BYTES;
	uint8_t *target = guest_slice(in, out, sizeof(uint32_t));
	if (target == NULL)
		return syscall_trap_pointer(in, out);
	store_u32(target, (uint32_t)source->left);
	return 0;
}

int32_t syscall_sink_write(struct runtime_instance *in, uint32_t id, uint32_t buffer, uint32_t buffer_len)
{
	struct sink *sink = sink_find(in, id);
	if (sink == NULL)
		return ERRNO_NO_SUCH_BYTES;
	const uint8_t *len = guest_slice(in, buffer_len, sizeof(uint32_t));
	if (len == NULL)
		return syscall_trap_pointer(in, buffer_len);
	uint32_t count = load_u32(len);
	const uint8_t *data = guest_slice(in, buffer, count);
	if (data == NULL)
		return syscall_trap_pointer(in, buffer);
	buf_put(&sink->data, data, count);
	if (UNLIKELY(sink->data.failed)) {
		sink->data.failed = false; /* what came before stays */
		return ERRNO_NO_SPACE;
	}
	return 0;
}
