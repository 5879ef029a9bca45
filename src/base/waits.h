/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WAITS_H
#define WAITS_H
/*
 * waits: a histogram of how long things waited. Log-linear: 16 steps for each
 * power of two, so a bucket is at most 6.25 % wide, from 256 ns to 68 s; what is
 * shorter or longer is in the first or the last one.
 *
 * Threading: one thread at a time adds (an executor: whoever holds the token),
 * any thread reads meanwhile: each counter is right, their sum may be behind.
 * No allocation, no lock, no atomic read-modify-write.
 */
#include "base/base.h"
#include <stdatomic.h>

enum {
	WAITS_STEP_BITS = 4,
	WAITS_STEPS = 1 << WAITS_STEP_BITS,
	WAITS_LOW_BITS = 8,   /* the first step begins at 2^8 ns … */
	WAITS_HIGH_BITS = 36, /* … and the last one ends at 2^36 ns */
	WAITS_BUCKETS = 1 + (WAITS_HIGH_BITS - WAITS_LOW_BITS) * WAITS_STEPS + 1,
};
struct waits {
	_Atomic uint64_t nanos; /* all waits together */
	_Atomic uint64_t counts[WAITS_BUCKETS];
};

static inline uint32_t waits_bucket(uint64_t nanos)
{
	if (nanos < 1u << WAITS_LOW_BITS)
		return 0;
	uint32_t power = 63 - (uint32_t)__builtin_clzll(nanos);
	uint32_t step = (uint32_t)(nanos >> (power - WAITS_STEP_BITS)) & (WAITS_STEPS - 1);
	return power < WAITS_HIGH_BITS ? 1 + (power - WAITS_LOW_BITS) * WAITS_STEPS + step : WAITS_BUCKETS - 1;
}
static inline void waits_add(struct waits *waits, uint64_t nanos)
{
	_Atomic uint64_t *count = &waits->counts[waits_bucket(nanos)];
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
	atomic_store_explicit(&waits->nanos, atomic_load_explicit(&waits->nanos, memory_order_relaxed) + nanos,
		memory_order_relaxed);
}
/* Whatever is in this bucket, or in one before it, waited less than so many nanoseconds; UINT64_MAX for the last. */
static inline uint64_t waits_limit(uint32_t bucket)
{
	if (bucket >= WAITS_BUCKETS - 1)
		return UINT64_MAX;
	uint64_t steps = WAITS_STEPS + bucket % WAITS_STEPS;
	return steps << (WAITS_LOW_BITS - WAITS_STEP_BITS + bucket / WAITS_STEPS);
}
#endif
