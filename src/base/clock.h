/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLOCK_H
#define CLOCK_H
/*
 * clock, random: the outside world's time and chance, through one table that
 * a simulator replaces. Any thread.
 */
#include "base/base.h"

int64_t clock_wall_micros(void);  /* since the Unix epoch */
uint64_t clock_mono_nanos(void);  /* never goes back */
void random_bytes(void *out, size_t len); /* cryptographic; aborts if the system has none */
uint64_t random_u64(void);

/* RFC 3339 with +00:00 and 0, 3 or 6 fraction digits (data-model.md section 3). */
void timestamp_format(int64_t micros, char out[48]);

struct clock_source {
	int64_t (*wall_micros)(void *context);
	uint64_t (*mono_nanos)(void *context);
	void (*random)(void *context, void *out, size_t len);
	void *context;
};
/* For tests and simulators, before any thread starts. NULL restores the real one. */
void clock_replace(const struct clock_source *source);
#endif
