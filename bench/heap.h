/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_HEAP_H
#define BENCH_HEAP_H
/*
 * heap: how often anybody in this process has asked the C library for memory:
 * our own rooms, the engine and the libraries alike. Any thread. Linking
 * heap.c is enough; under sanitizers it counts nothing.
 */
#include "base/base.h"

bool heap_counted(void);
uint64_t heap_allocations(void);
#endif
