/* SPDX-License-Identifier: Apache-2.0 */
/* The module ABI as a guest sees it, for the test modules of this folder (wasm32, no libc). */
#ifndef ABI_H
#define ABI_H
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
typedef long long i64;
#define IMPORT(version, name) __attribute__((import_module("spacetime_" version), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

IMPORT("10.0", table_id_from_name) u32 table_id_from_name(u32, u32, u32);
IMPORT("10.0", index_id_from_name) u32 index_id_from_name(u32, u32, u32);
IMPORT("10.0", datastore_table_row_count) u32 datastore_table_row_count(u32, u32);
IMPORT("10.0", datastore_table_scan_bsatn) u32 datastore_table_scan_bsatn(u32, u32);
IMPORT("10.0", datastore_index_scan_range_bsatn)
u32 datastore_index_scan_range_bsatn(u32, u32, u32, u32, u32, u32, u32, u32, u32);
IMPORT("10.0", datastore_btree_scan_bsatn) u32 datastore_btree_scan_bsatn(u32, u32, u32, u32, u32, u32, u32, u32, u32);
IMPORT("10.0", row_iter_bsatn_advance) u32 row_iter_bsatn_advance(u32, u32, u32);
IMPORT("10.0", row_iter_bsatn_close) u32 row_iter_bsatn_close(u32);
IMPORT("10.0", datastore_insert_bsatn) u32 datastore_insert_bsatn(u32, u32, u32);
IMPORT("10.0", datastore_update_bsatn) u32 datastore_update_bsatn(u32, u32, u32, u32);
IMPORT("10.0", datastore_delete_by_index_scan_range_bsatn)
u32 datastore_delete_by_index_scan_range_bsatn(u32, u32, u32, u32, u32, u32, u32, u32, u32);
IMPORT("10.0", datastore_delete_by_btree_scan_bsatn)
u32 datastore_delete_by_btree_scan_bsatn(u32, u32, u32, u32, u32, u32, u32, u32, u32);
IMPORT("10.0", datastore_delete_all_by_eq_bsatn) u32 datastore_delete_all_by_eq_bsatn(u32, u32, u32, u32);
IMPORT("10.0", volatile_nonatomic_schedule_immediate)
void volatile_nonatomic_schedule_immediate(u32, u32, u32, u32);
IMPORT("10.0", bytes_sink_write) u32 bytes_sink_write(u32, u32, u32);
IMPORT("10.0", bytes_source_read) u32 bytes_source_read(u32, u32, u32);
IMPORT("10.0", console_log) void console_log(u32, u32, u32, u32, u32, u32, u32, u32);
IMPORT("10.0", console_timer_start) u32 console_timer_start(u32, u32);
IMPORT("10.0", console_timer_end) u32 console_timer_end(u32);
IMPORT("10.0", identity) void identity(u32);
IMPORT("10.1", bytes_source_remaining_length) u32 bytes_source_remaining_length(u32, u32);
IMPORT("10.2", get_jwt) u32 get_jwt(u32, u32);
IMPORT("10.3", procedure_sleep_until) i64 procedure_sleep_until(i64);
IMPORT("10.3", procedure_start_mut_tx) u32 procedure_start_mut_tx(u32);
IMPORT("10.3", procedure_commit_mut_tx) u32 procedure_commit_mut_tx(void);
IMPORT("10.3", procedure_abort_mut_tx) u32 procedure_abort_mut_tx(void);
IMPORT("10.3", procedure_http_request) u32 procedure_http_request(u32, u32, u32, u32, u32);
IMPORT("10.4", datastore_index_scan_point_bsatn) u32 datastore_index_scan_point_bsatn(u32, u32, u32, u32);
IMPORT("10.4", datastore_delete_by_index_scan_point_bsatn)
u32 datastore_delete_by_index_scan_point_bsatn(u32, u32, u32, u32);
IMPORT("10.5", datastore_clear) u32 datastore_clear(u32, u32);
IMPORT("10.6", env_get) u32 env_get(u32, u32, u32);

static inline void sink_put(u32 sink, const void *data, u32 len)
{
	bytes_sink_write(sink, (u32)data, (u32)&len);
}

static inline void log_text(const char *text, u32 len)
{
	console_log(2, 0, 0, 0, 0, 0xffffffffu, (u32)text, len);
}
#define LOG(literal) log_text(literal, sizeof(literal) - 1)
#endif
