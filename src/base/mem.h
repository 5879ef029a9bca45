/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEM_H
#define MEM_H
/*
 * mem: the only door to the heap. Any thread. Counts what is live, and can
 * be told to fail (tests): allocation failure is an ordinary error everywhere
 * but at start-up. Banned elsewhere: malloc, calloc, realloc, free, strdup.
 */
#include "base/base.h"

void *mem_alloc(size_t size) CHECKED;                 /* NULL when refused; size 0 gives a unique pointer */
void *mem_zalloc(size_t size) CHECKED;
void *mem_zalloc_array(size_t count, size_t size) CHECKED; /* overflow-checked */
void *mem_realloc(void *ptr, size_t size) CHECKED;    /* on NULL the old block is untouched */
void mem_free(void *ptr);                             /* NULL is fine */
char *mem_strdup(struct str s) CHECKED;               /* terminated copy */
void *mem_or_abort(void *ptr);                        /* start-up only */

/*
 * A bound on all that is live: allocations of MEM_LARGE_BYTES and more that would pass it are refused, so that rows and
 * results meet it, as errors, before the system ends the process; what is small goes on and can tell of it.
 */
enum { MEM_LARGE_BYTES = 4 << 10 };
void mem_limit(uint64_t bytes); /* UINT64_MAX: none, as at start */
uint64_t mem_of_machine(void);  /* what this process may have at most: of the machine, or of its control group */

struct mem_stats {
	uint64_t allocations; /* ever made */
	uint64_t live_bytes;  /* as the allocator sees them */
	uint64_t refused;     /* ever: tells whether memory is why something failed */
};
struct mem_stats mem_stats(void);

/* Gives what was freed back to the system, as far as it can. Takes a while: not on hot paths. */
void mem_trim(void);
bool mem_trim_due(void); /* much has been freed since it last said so */

/* Test hook: the n-th allocation from now on (1 = next) fails, and with `forever` all after it. 0 disarms. */
void mem_fail_at(uint64_t n, bool forever);
#endif
