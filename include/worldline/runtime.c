/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every module has besides its own: memory, text, log, and the exports
 * that the host calls. `worldline build` compiles it with the module;
 * describe.c says what the module declares.
 */
#include "worldline/runtime.h"

#include <stdarg.h>

enum { PAGE = 65536, ALIGNMENT = 16 };

/* ---- what compilers expect to be there ---- */

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
	u8 *out = to;
	for (const u8 *in = from; len > 0; len--)
		*out++ = *in++;
	return to;
}

void *memmove(void *to, const void *from, size_t len)
{
	u8 *out = to;
	const u8 *in = from;
	if (out < in)
		return memcpy(to, from, len);
	while (len-- > 0)
		out[len] = in[len];
	return to;
}

void *memset(void *to, int byte, size_t len)
{
	for (u8 *out = to; len > 0; len--)
		*out++ = (u8)byte;
	return to;
}

int memcmp(const void *one, const void *two, size_t len)
{
	const u8 *a = one, *b = two;
	for (; len > 0; len--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}

size_t strlen(const char *text)
{
	size_t len = 0;
	while (text[len] != '\0')
		len++;
	return len;
}

/* ---- memory ---- */

extern u8 __heap_base;
struct wl_arena wl_arena = { &__heap_base, &__heap_base };

void wl_write(struct wl_writer *w, const void *data, size_t len)
{
	if ((size_t)(wl_arena.end - w->at) < len)
		wl_arena_grow(len);
	memcpy(w->at, data, len);
	w->at += len;
}

void wl_arena_grow(size_t more)
{
	size_t now = __builtin_wasm_memory_size(0) * PAGE;
	size_t left = now - (size_t)wl_arena.end; /* what the module began with, the first time; then 0 */
	size_t pages = more > left ? (more - left + PAGE - 1) / PAGE : 0;
	if (pages > 0 && __builtin_wasm_memory_grow(0, pages) == (size_t)-1)
		wl_stop("out of memory");
	wl_arena.end = (u8 *)(now + pages * PAGE);
}

void *wl_alloc(size_t size)
{
	u8 *at = (u8 *)(((size_t)wl_arena.top + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1));
	if (at > wl_arena.end || (size_t)(wl_arena.end - at) < size)
		wl_arena_grow(size + ALIGNMENT);
	wl_arena.top = at + size;
	return at;
}

str wl_keep(str s)
{
	char *copy = wl_alloc(s.len);
	memcpy(copy, s.data, s.len);
	return wl_str_of(copy, s.len);
}

/* ---- text ---- */

static void put_text(struct wl_writer *w, const char *text, size_t len, u32 width)
{
	for (size_t i = len; i < width; i++)
		wl_write(w, " ", 1);
	wl_write(w, text, len);
}

enum { WIDTH_MAX = 64 };

static void put_number(struct wl_writer *w, u64 n, u32 base, bool negative, u32 width, bool zeros)
{
	char digits[WIDTH_MAX + 24], *end = digits + sizeof(digits), *at = end;
	do
		*--at = "0123456789abcdef"[n % base];
	while ((n /= base) > 0);
	while (zeros && width <= WIDTH_MAX && (size_t)(end - at) + negative < width)
		*--at = '0';
	if (negative)
		*--at = '-';
	put_text(w, at, (size_t)(end - at), width);
}

void wl_write_format(struct wl_writer *w, const char *format, va_list list)
{
	for (; *format != '\0'; format++) {
		if (*format != '%') {
			wl_write(w, format, 1);
			continue;
		}
		bool zeros = *++format == '0', has_precision = false;
		u32 width = 0, precision = 0, longs = 0;
		for (; *format >= '0' && *format <= '9'; format++)
			width = width * 10 + (u32)(*format - '0');
		if (*format == '.') {
			has_precision = true;
			if (*++format == '*') {
				precision = va_arg(list, u32);
				format++;
			}
			for (; *format >= '0' && *format <= '9'; format++)
				precision = precision * 10 + (u32)(*format - '0');
		}
		for (; *format == 'l' || *format == 'z'; format++)
			longs += *format == 'l';
		switch (*format) {
		case 'd':
		case 'i': {
			i64 n = longs >= 2 ? va_arg(list, i64) : va_arg(list, i32);
			put_number(w, n < 0 ? 0 - (u64)n : (u64)n, 10, n < 0, width, zeros);
			break;
		}
		case 'u':
		case 'x':
			put_number(w, longs >= 2 ? va_arg(list, u64) : va_arg(list, u32), *format == 'u' ? 10 : 16, false, width,
				zeros);
			break;
		case 'p':
			put_number(w, va_arg(list, u32), 16, false, 8, true);
			break;
		case 'c': {
			char c = (char)va_arg(list, int);
			put_text(w, &c, 1, width);
			break;
		}
		case 's': {
			const char *text = va_arg(list, const char *);
			size_t len = has_precision ? precision : strlen(text);
			put_text(w, text, len, width);
			break;
		}
		case '\0':
			return;
		default:
			wl_write(w, format, 1);
		}
	}
}

str wl_format(const char *format, ...)
{
	struct wl_writer w = wl_writer();
	va_list list;
	va_start(list, format);
	wl_write_format(&w, format, list);
	va_end(list);
	wl_write_keep(&w);
	return wl_str_of((const char *)w.begin, wl_written(&w));
}

str wl_decimal(f64 value, u32 places)
{
	struct wl_writer w = wl_writer();
	u64 scale = 1;
	if (value != value || value >= 18446744073709551616.0 || value <= -18446744073709551616.0)
		return value != value ? WL_STR("nan") : value > 0 ? WL_STR("inf") : WL_STR("-inf"); /* as far as this goes */
	if (value < 0) {
		wl_write(&w, "-", 1);
		value = -value;
	}
	for (u32 i = 0; i < places && i < 9; i++)
		scale *= 10;
	u64 whole = (u64)value, part = (u64)((value - (double)whole) * (double)scale + 0.5);
	whole += part >= scale;
	put_number(&w, whole, 10, false, 0, false);
	if (places > 0) {
		wl_write(&w, ".", 1);
		put_number(&w, part % scale, 10, false, places < 9 ? places : 9, true);
	}
	wl_write_keep(&w);
	return wl_str_of((const char *)w.begin, wl_written(&w));
}

struct wl_status wl_fail(const char *format, ...)
{
	struct wl_writer w = wl_writer();
	va_list list;
	va_start(list, format);
	wl_write_format(&w, format, list);
	va_end(list);
	wl_write_keep(&w);
	struct wl_status status = { true, wl_str_of((const char *)w.begin, wl_written(&w)) };
	return status;
}

/* ---- log ---- */

enum { PANIC = 101 };

void wl_log(enum wl_level level, const char *file, u32 line, const char *format, ...)
{
	struct wl_writer w = wl_writer();
	va_list list;
	va_start(list, format);
	wl_write_format(&w, format, list);
	va_end(list);
	wl_abi_log(level, NULL, 0, file, strlen(file), line, (const char *)w.begin, wl_written(&w));
}

static __attribute__((noreturn)) void stop(const char *text, size_t len)
{
	wl_abi_log(PANIC, NULL, 0, NULL, 0, UINT32_MAX, text, len);
	__builtin_trap();
}

void wl_stop(const char *text)
{
	stop(text, strlen(text));
}

void wl_stop_text(const struct wl_writer *w)
{
	stop((const char *)w->begin, wl_written(w));
}

void wl_panic(const char *format, ...)
{
	struct wl_writer w = wl_writer();
	va_list list;
	va_start(list, format);
	wl_write_format(&w, format, list);
	wl_stop_text(&w);
}

void wl_timer_end(u32 *timer)
{
	(void)wl_abi_timer_end(*timer);
}

/* ---- sources and sinks ---- */

void wl_sink_put(u32 sink, const void *data, size_t len)
{
	while (len > 0) {
		size_t taken = len;
		if (wl_abi_sink_write(sink, data, &taken) != 0 || taken == 0)
			wl_stop("the host takes no more");
		data = (const u8 *)data + taken;
		len -= taken;
	}
}

bytes wl_source_take(u32 source)
{
	bytes all = { NULL, 0 };
	if (source == 0)
		return all;
	if (wl_abi_source_remaining(source, &all.len) != 0)
		wl_stop("the host gives nothing");
	u8 *buffer = wl_alloc(all.len + 1); /* one more: so that the read that takes all sees the end */
	u32 at = 0;
	for (i32 code = 0; code == 0;) {
		size_t len = all.len + 1 - at;
		code = wl_abi_source_read(source, buffer + at, &len);
		at += len;
	}
	all.data = buffer;
	all.len = at;
	return all;
}

/* ---- of one call ---- */

u64 wl_chance;

u64 wl_random(void)
{
	u64 z = wl_chance += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

u64 wl_random_below(u64 n)
{
	u64 above = n == 0 ? 0 : (0 - n) % n; /* what would make some more likely */
	u64 r = wl_random();
	while (r < above)
		r = wl_random();
	return n == 0 ? 0 : r % n;
}

identity wl_database(void)
{
	identity id;
	wl_abi_identity(&id);
	return id;
}

bool wl_jwt(const struct wl_ctx *ctx, str *out)
{
	u32 source = 0;
	u32 code = wl_abi_get_jwt(&ctx->connection, &source);
	if (code != 0)
		wl_panic("wl_jwt: error %u", code);
	bytes payload = wl_source_take(source);
	*out = wl_str_of((const char *)payload.data, payload.len);
	return source != 0;
}

bool wl_env(const char *key, str *out)
{
	u32 source = 0;
	u32 code = wl_abi_env_get(key, strlen(key), &source);
	if (code != 0)
		wl_panic("wl_env(\"%s\"): error %u", key, code);
	bytes value = wl_source_take(source);
	*out = wl_str_of((const char *)value.data, value.len);
	return source != 0;
}

void wl_call_begin(struct wl_ctx *ctx, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 micros)
{
	typedef u64 __attribute__((may_alias)) word;
	_Static_assert(sizeof(*ctx) == 7 * sizeof(word), "sender, connection, time");
	word *words = (word *)ctx;
	words[0] = s0;
	words[1] = s1;
	words[2] = s2;
	words[3] = s3;
	words[4] = c0;
	words[5] = c1;
	words[6] = wl_chance = micros;
}

/* ---- procedures ---- */

bool wl_transaction_next(struct wl_transaction *tx, const struct wl_ctx *ctx)
{
	if (tx->is_open) {
		tx->is_open = false;
		if (wl_abi_tx_commit() == 0)
			return false;
		if (tx->attempts == 2)
			wl_stop("a transaction cannot be committed");
	}
	if (wl_abi_tx_start(&((struct wl_ctx *)(uintptr_t)ctx)->now.micros) != 0)
		wl_stop("a transaction begins inside another, or outside of procedures");
	tx->attempts++;
	tx->is_open = true;
	return true;
}

void wl_transaction_end(struct wl_transaction *tx)
{
	if (tx->is_open)
		(void)wl_abi_tx_abort();
}

timestamp wl_sleep_until(timestamp when)
{
	timestamp now = { wl_abi_sleep_until(when.micros) };
	return now;
}

timestamp wl_now(void)
{
	timestamp past = { 0 };
	return wl_sleep_until(past);
}
