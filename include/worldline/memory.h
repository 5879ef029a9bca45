/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLDLINE_MEMORY_H
#define WORLDLINE_MEMORY_H
/*
 * Memory of one call. There is no free: what a call takes is given back when
 * it ends, so nothing leaks and nothing must be tidied. Running out of memory
 * is a trap: the call is rolled back.
 *
 * A writer puts bytes behind all that was taken so far; nothing else may be
 * taken until it is done with them.
 */
#pragma clang system_header
#include "worldline/abi.h"

#define WL_INLINE static inline __attribute__((unused))
#define WL_UNUSED __attribute__((unused))
#ifdef __cplusplus
#define WL_EXTERN extern "C"
#else
#define WL_EXTERN extern
#endif

struct wl_arena {
	uint8_t *top; /* what is free begins here … */
	uint8_t *end; /* … and ends with the module's memory */
};
WL_EXTERN struct wl_arena wl_arena;
WL_EXTERN void wl_arena_grow(size_t more); /* at least so much behind `end` */
WL_EXTERN void *wl_alloc(size_t size);     /* aligned for anything, not cleared */
/* Ends the call, and this instance of the module, with a line in the module's log. */
WL_EXTERN __attribute__((noreturn, cold)) void wl_stop(const char *text);
WL_EXTERN __attribute__((noreturn, cold)) void wl_panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct wl_writer {
	uint8_t *begin, *at;
};
WL_INLINE struct wl_writer wl_writer(void)
{
	struct wl_writer w = { wl_arena.top, wl_arena.top };
	return w;
}
#ifdef WL_SMALL /* in what comes with every module: size counts more than speed */
void wl_write(struct wl_writer *w, const void *data, size_t len);
#else
WL_INLINE void wl_write(struct wl_writer *w, const void *data, size_t len)
{
	if (__builtin_expect((size_t)(wl_arena.end - w->at) < len, 0))
		wl_arena_grow(len);
	__builtin_memcpy(w->at, data, len);
	w->at += len;
}
#endif
WL_INLINE size_t wl_written(const struct wl_writer *w)
{
	return (size_t)(w->at - w->begin);
}
WL_INLINE void wl_write_keep(const struct wl_writer *w) /* what was written is taken */
{
	wl_arena.top = w->at;
}

struct wl_reader {
	const uint8_t *at, *end;
};
WL_INLINE const uint8_t *wl_read(struct wl_reader *r, size_t len)
{
	const uint8_t *at = r->at;
	if (__builtin_expect((size_t)(r->end - at) < len, 0))
		wl_stop("a value ends early");
	r->at += len;
	return at;
}
WL_INLINE uint32_t wl_read_u32(struct wl_reader *r)
{
	uint32_t n;
	__builtin_memcpy(&n, wl_read(r, sizeof(n)), sizeof(n));
	return n;
}
#endif
