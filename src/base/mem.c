/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counted allocation over the C library's. The counters are statistics
 * (relaxed); the fault hook is armed by tests only.
 */
#include "base/mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TRIM_BYTES = 128 << 20 };

static _Atomic uint64_t allocations;
static _Atomic uint64_t live_bytes;
static _Atomic uint64_t refusals;
static _Atomic uint64_t peak_bytes; /* since the last trim; may miss what two threads allocate at once */
static _Atomic uint64_t limit_bytes = UINT64_MAX;
static _Atomic uint64_t fail_countdown; /* 0: disarmed */
static _Atomic bool fail_forever;

static bool refused(size_t size)
{
	if (size >= MEM_LARGE_BYTES) {
		uint64_t live = atomic_load_explicit(&live_bytes, memory_order_relaxed);
		if (UNLIKELY(live + size > atomic_load_explicit(&limit_bytes, memory_order_relaxed)))
			return true;
	}
	uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
	if (LIKELY(left == 0))
		return false;
	if (left > 1) {
		atomic_store_explicit(&fail_countdown, left - 1, memory_order_relaxed);
		return false;
	}
	if (!atomic_load_explicit(&fail_forever, memory_order_relaxed))
		atomic_store_explicit(&fail_countdown, 0, memory_order_relaxed);
	return true;
}

static void count(uint64_t grown)
{
	atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
	uint64_t live = atomic_fetch_add_explicit(&live_bytes, grown, memory_order_relaxed) + grown;
	if (live > atomic_load_explicit(&peak_bytes, memory_order_relaxed))
		atomic_store_explicit(&peak_bytes, live, memory_order_relaxed);
}

static void *refuse(void)
{
	atomic_fetch_add_explicit(&refusals, 1, memory_order_relaxed);
	return NULL;
}

static void *counted(void *ptr)
{
	if (UNLIKELY(ptr == NULL))
		return refuse();
	count(malloc_usable_size(ptr));
	return ptr;
}

void *mem_alloc(size_t size)
{
	return refused(size) ? refuse() : counted(malloc(size != 0 ? size : 1));
}

void *mem_zalloc(size_t size)
{
	return refused(size) ? refuse() : counted(calloc(1, size != 0 ? size : 1));
}

void *mem_zalloc_array(size_t count, size_t size)
{
	size_t bytes;
	return size_mul(count, size, &bytes) ? mem_zalloc(bytes) : NULL;
}

void *mem_realloc(void *ptr, size_t size)
{
	if (ptr == NULL)
		return mem_alloc(size);
	size_t before = malloc_usable_size(ptr);
	void *grown = refused(size > before ? size - before : 0) ? NULL : realloc(ptr, size != 0 ? size : 1);
	if (grown == NULL)
		return refuse();
	count(malloc_usable_size(grown) - before);
	return grown;
}

void mem_free(void *ptr)
{
	if (ptr == NULL)
		return;
	atomic_fetch_sub_explicit(&live_bytes, malloc_usable_size(ptr), memory_order_relaxed);
	free(ptr);
}

char *mem_strdup(struct str s)
{
	char *copy = mem_alloc(s.len + 1);
	if (copy == NULL)
		return NULL;
	if (s.len > 0)
		memcpy(copy, s.data, s.len);
	copy[s.len] = '\0';
	return copy;
}

void *mem_or_abort(void *ptr)
{
	ASSERT(ptr != NULL);
	return ptr;
}

/* ---- the bound, and giving back ---- */

void mem_limit(uint64_t bytes)
{
	atomic_store_explicit(&limit_bytes, bytes, memory_order_relaxed);
}

uint64_t mem_of_machine(void)
{
	static const char *const groups[] = { "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes" };
	uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
		unsigned long long max;
		FILE *file = fopen(groups[i], "re");
		if (file == NULL)
			continue;
		if (fscanf(file, "%llu", &max) == 1 && max < bytes) /* "max": no number, no limit */
			bytes = max;
		fclose(file);
	}
	return bytes;
}

bool mem_trim_due(void)
{
	uint64_t live = atomic_load_explicit(&live_bytes, memory_order_relaxed);
	if (atomic_load_explicit(&peak_bytes, memory_order_relaxed) < live + TRIM_BYTES)
		return false;
	atomic_store_explicit(&peak_bytes, live, memory_order_relaxed);
	return true;
}

struct mem_stats mem_stats(void)
{
	return (struct mem_stats){
		.allocations = atomic_load_explicit(&allocations, memory_order_relaxed),
		.live_bytes = atomic_load_explicit(&live_bytes, memory_order_relaxed),
		.refused = atomic_load_explicit(&refusals, memory_order_relaxed),
	};
}

void mem_trim(void)
{
	(void)malloc_trim(0);
}

void mem_fail_at(uint64_t n, bool forever)
{
	atomic_store_explicit(&fail_forever, forever, memory_order_relaxed);
	atomic_store_explicit(&fail_countdown, n, memory_order_relaxed);
}
