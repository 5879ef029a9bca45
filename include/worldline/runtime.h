/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLDLINE_RUNTIME_H
#define WORLDLINE_RUNTIME_H
/* What the sources that come with every module share; modules themselves do not need it. */
#define WL_SMALL
#include "worldline/function.h"

#include <stdarg.h>

void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *one, const void *two, size_t len);
size_t strlen(const char *text);

__attribute__((noreturn)) void wl_stop_text(const struct wl_writer *w);
void wl_write_format(struct wl_writer *w, const char *format, va_list list);
extern u64 wl_chance; /* where wl_random is */
bytes wl_source_take(u32 source); /* all of it; taken from the call's memory */
void wl_call_begin(struct wl_ctx *ctx, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 micros);

/* The data of the item with this number among those of a section; functions: among those whose flags are these under
 * the mask (0: all). Traps if there is none. */
const void *wl_item_at(u32 section, u32 id, u32 mask, u32 flags);
#endif
