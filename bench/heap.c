/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator's entry points, defined in front of the C library's own, which
 * they count and call. This is the one place outside base that may name them.
 */
#include "heap.h"

#include <stdatomic.h>
#include <stdlib.h>

#ifdef __has_feature
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#if SANITIZED
bool heap_counted(void) { return false; }
uint64_t heap_allocations(void) { return 0; }
#else
static _Atomic uint64_t allocations;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static void count(void)
{
	atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
	count();
	return __libc_calloc(n, size);
}

__attribute__((visibility("default"))) void *realloc(void *ptr, size_t size)
{
	count();
	return __libc_realloc(ptr, size);
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t size)
{
	count();
	return __libc_memalign(alignment, size);
}

__attribute__((visibility("default"))) int posix_memalign(void **out, size_t alignment, size_t size)
{
	count();
	void *ptr = __libc_memalign(alignment, size);
	if (ptr == NULL)
		return 12; /* ENOMEM */
	*out = ptr;
	return 0;
}

bool heap_counted(void)
{
	return true;
}

uint64_t heap_allocations(void)
{
	return atomic_load_explicit(&allocations, memory_order_relaxed);
}
#endif
