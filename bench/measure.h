/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H
/*
 * measure: what another process costs: CPU time (all its threads, also ended
 * ones, in nanoseconds), resident memory, system calls. And a histogram.
 *
 * System calls are counted by the kernel's tracepoint raw_syscalls:sys_enter,
 * which stops nobody (a tracer that stops the process makes its batches larger
 * and so the count smaller). It costs some 100 ns a call, hence off by default.
 *
 * One thread. No state but what is in the structs.
 */
#include "base/base.h"
#include <sys/types.h>
#include <time.h>

enum { METER_TASKS_MAX = 256 };
struct meter {
	pid_t pid;                    /* 0: nobody is watched */
	clockid_t clock;
	int counters[METER_TASKS_MAX]; /* one event per task that existed at open; new ones inherit */
	uint32_t counter_count;
};
struct sample {
	uint64_t wall_nanos, cpu_nanos, own_cpu_nanos, syscalls;
	uint64_t rss_bytes;
};
/* `pid` 0 watches nobody. False with a text on stderr: no such process, or no way to count system calls. */
bool meter_open(struct meter *meter, pid_t pid, bool syscalls);
void meter_close(struct meter *meter);
void meter_take(const struct meter *meter, struct sample *out);
/* A field of /proc/PID/status in bytes ("VmRSS", "VmHWM"), 0 when there is none. */
uint64_t process_memory(pid_t pid, const char *field);

/* Log-linear: 64 steps per power of two, so 1.6 % wide. Values in nanoseconds. */
enum { HISTOGRAM_STEPS = 64, HISTOGRAM_BUCKETS = HISTOGRAM_STEPS * 36 };
struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t total, max;
};
static inline uint32_t histogram_bucket(uint64_t value)
{
	if (value < HISTOGRAM_STEPS)
		return (uint32_t)value;
	uint32_t shift = (uint32_t)(63 - __builtin_clzll(value)) - 6;
	uint64_t bucket = ((uint64_t)(shift + 1) << 6) + ((value >> shift) & (HISTOGRAM_STEPS - 1));
	return bucket < HISTOGRAM_BUCKETS ? (uint32_t)bucket : HISTOGRAM_BUCKETS - 1;
}
static inline void histogram_add(struct histogram *h, uint64_t value)
{
	h->counts[histogram_bucket(value)]++;
	h->total++;
	if (value > h->max)
		h->max = value;
}
/* The value below which `share` (0..1) of all lie: the middle of its bucket. */
uint64_t histogram_percentile(const struct histogram *h, double share);
#endif
