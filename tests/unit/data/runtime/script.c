/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does what its arguments say: host calls with any arguments,
 * memory writes and reads, traps. What the operations yield comes back as the
 * text of a user error (hex), or from a procedure as its value.
 *
 *   1 FUNCTION COUNT {KIND VALUE}…   call; KIND 0: VALUE, 1: the u32 at address VALUE      yields i32
 *   2 ADDRESS LENGTH BYTES           write memory
 *   3 ADDRESS LENGTH                 read memory                                            yields bytes
 *   4 PAGES                          memory.grow                                            yields i32
 *   5 KIND                           trap (see `trap`)
 *   6 CODE                           return CODE, with the raw output in the sink
 *   7                                count calls of this                                    yields i32
 *   8 ADDRESS LENGTH BYTE            fill memory
 *   9 TIMES LENGTH OPERATIONS        repeat; nothing yields; the counter is the u32 at SCRATCH
 *
 * FUNCTION, KIND and BYTE are bytes, all else u32. Addresses from SCRATCH on are free.
 */
#include "abi.h"

enum { OUT_MAX = 1 << 16, SCRATCH = 0x80000 };

static u8 script[OUT_MAX], out[OUT_MAX], hex[2 * OUT_MAX];
static u32 out_len, counter;
static const u8 *at, *end;

static void put(const void *data, u32 len)
{
	const u8 *p = data;
	for (u32 i = 0; i < len && out_len < OUT_MAX; i++)
		out[out_len++] = p[i];
}

static u8 get_byte(void)
{
	return at < end ? *at++ : 0;
}

static u32 get(void)
{
	u32 a = get_byte(), b = get_byte(), c = get_byte(), d = get_byte();
	return a | b << 8 | c << 16 | d << 24;
}

static u32 call(u8 f, const u32 *a)
{
	switch (f) {
	case 0: return table_id_from_name(a[0], a[1], a[2]);
	case 1: return index_id_from_name(a[0], a[1], a[2]);
	case 2: return datastore_table_row_count(a[0], a[1]);
	case 3: return datastore_table_scan_bsatn(a[0], a[1]);
	case 4: return datastore_index_scan_range_bsatn(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]);
	case 5: return datastore_btree_scan_bsatn(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]);
	case 6: return row_iter_bsatn_advance(a[0], a[1], a[2]);
	case 7: return row_iter_bsatn_close(a[0]);
	case 8: return datastore_insert_bsatn(a[0], a[1], a[2]);
	case 9: return datastore_update_bsatn(a[0], a[1], a[2], a[3]);
	case 10: return datastore_delete_by_index_scan_range_bsatn(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]);
	case 11: return datastore_delete_by_btree_scan_bsatn(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]);
	case 12: return datastore_delete_all_by_eq_bsatn(a[0], a[1], a[2], a[3]);
	case 13: volatile_nonatomic_schedule_immediate(a[0], a[1], a[2], a[3]); return 0;
	case 14: return bytes_sink_write(a[0], a[1], a[2]);
	case 15: return bytes_source_read(a[0], a[1], a[2]);
	case 16: console_log(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]); return 0;
	case 17: return console_timer_start(a[0], a[1]);
	case 18: return console_timer_end(a[0]);
	case 19: identity(a[0]); return 0;
	case 20: return bytes_source_remaining_length(a[0], a[1]);
	case 21: return get_jwt(a[0], a[1]);
	case 22: return (u32)procedure_sleep_until((i64)a[0]);
	case 23: return procedure_start_mut_tx(a[0]);
	case 24: return procedure_commit_mut_tx();
	case 25: return procedure_abort_mut_tx();
	case 26: return procedure_http_request(a[0], a[1], a[2], a[3], a[4]);
	case 27: return datastore_index_scan_point_bsatn(a[0], a[1], a[2], a[3]);
	case 28: return datastore_delete_by_index_scan_point_bsatn(a[0], a[1], a[2], a[3]);
	case 29: return datastore_clear(a[0], a[1]);
	case 30: return env_get(a[0], a[1], a[2]);
	default: __builtin_trap();
	}
}

static int deep(volatile int *n)
{
	volatile int here[64];
	here[0] = *n + 1;
	return deep(here) + here[0] + here[63];
}

static void nothing(void)
{
}
static void (*volatile table[2])(void) = { nothing, nothing };
static volatile i32 zero;

static void trap(u8 kind)
{
	volatile float large = 1e30f;
	volatile int n = 0;
	volatile u32 far = 0xfffffff0u;
	switch (kind) {
	case 1: zero = deep(&n); break;
	case 2: zero = *(volatile i32 *)far; break;
	case 3: zero = 7 / zero; break;
	case 4: zero = (i32)0x80000000 / (zero - 1); break;
	case 5: ((void (*)(void))9999)(); break;
	case 6: zero = __builtin_wasm_trunc_s_i32_f32(large); break;
	case 7: ((u32 (*)(u32, u32))table[0])(1, 2); break;
	case 8: for (;;) zero++; break;
	default: break;
	}
	__builtin_trap();
}

static i32 finish;
static int run(int quiet)
{
	while (at < end) {
		u8 operation = get_byte();
		switch (operation) {
		case 1: {
			u8 f = get_byte(), n = get_byte();
			u32 a[12] = { 0 };
			for (u8 i = 0; i < n && i < 12; i++) {
				u8 kind = get_byte();
				u32 value = get();
				a[i] = kind == 0 ? value : *(u32 *)value;
			}
			u32 result = call(f, a);
			if (!quiet)
				put(&result, 4);
			break;
		}
		case 2: {
			u8 *to = (u8 *)get();
			for (u32 n = get(); n > 0; n--)
				*to++ = get_byte();
			break;
		}
		case 3: {
			u32 from = get(), n = get();
			put((const void *)from, n);
			break;
		}
		case 4: {
			u32 result = (u32)__builtin_wasm_memory_grow(0, get());
			put(&result, 4);
			break;
		}
		case 5:
			trap(get_byte());
			break;
		case 6:
			finish = (i32)get();
			return 1;
		case 7:
			counter++;
			put(&counter, 4);
			break;
		case 8: {
			u8 *to = (u8 *)get();
			u32 n = get();
			u8 byte = get_byte();
			while (n-- > 0)
				*to++ = byte;
			break;
		}
		case 9: {
			u32 times = get(), len = get();
			const u8 *body = at, *after = at + len, *last = end;
			for (u32 i = 0; i < times; i++) {
				*(u32 *)SCRATCH = i;
				at = body;
				end = after;
				if (run(1))
					return 1;
			}
			at = after;
			end = last;
			break;
		}
		default:
			__builtin_trap();
		}
	}
	return 0;
}

/* True if the script ended with an operation 6: then its code is in `finish`. */
static int run_arguments(u32 source)
{
	u32 len = 0;
	if (source != 0)
		for (i32 more = 0; more == 0;) {
			u32 n = OUT_MAX - len;
			more = (i32)bytes_source_read(source, (u32)(script + len), (u32)&n);
			len += n;
		}
	at = script;
	end = script + len;
	out_len = 0;
	return run(0);
}

EXPORT(__call_reducer__)
i32 call_reducer(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 timestamp, u32 source, u32 sink)
{
	if (id == 1)
		return 0;
	if (id == 2) { /* as many host calls as the first argument says */
		u32 n = 0, len = 4;
		bytes_source_read(source, (u32)&n, (u32)&len);
		for (u32 i = 0; i < n; i++)
			bytes_source_remaining_length(0, 0);
		return 0;
	}
	if (id == 3) { /* who is calling */
		u64 who[7] = { s0, s1, s2, s3, c0, c1, timestamp };
		sink_put(sink, who, sizeof(who));
		return 1;
	}
	if (run_arguments(source)) {
		sink_put(sink, out, out_len);
		return finish;
	}
	for (u32 i = 0; i < out_len; i++) {
		hex[2 * i] = (u8)"0123456789abcdef"[out[i] >> 4];
		hex[2 * i + 1] = (u8)"0123456789abcdef"[out[i] & 15];
	}
	sink_put(sink, hex, 2 * out_len);
	return 1;
}

#ifndef NO_PROCEDURES
EXPORT(__call_procedure__)
i32 call_procedure(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 timestamp, u32 source, u32 sink)
{
	int ended = run_arguments(source);
	sink_put(sink, out, out_len);
	return ended ? finish : 0;
}
#endif

EXPORT(__describe_module__) void describe(u32 sink)
{
	static const u8 description[] = { 2, 0, 0, 0, 0 };
	sink_put(sink, description, sizeof(description));
}
