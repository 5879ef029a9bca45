/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLDLINE_ABI_H
#define WORLDLINE_ABI_H
/*
 * The functions that a host gives a module, as they are. Modules rarely call
 * them: what stands above them (table.h, function.h, http.h) checks and types
 * what they give. Results are error numbers, 0 for success, unless a comment
 * says otherwise; what a call does not use is not imported.
 */
#pragma clang system_header
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WL_IMPORT(version, name) __attribute__((import_module("spacetime_" version), import_name(#name)))

enum wl_errno {
	WL_HOST_CALL_FAILURE = 1, WL_NOT_IN_TRANSACTION, WL_BSATN_DECODE_ERROR, WL_NO_SUCH_TABLE, WL_NO_SUCH_INDEX,
	WL_NO_SUCH_ITER, WL_NO_SUCH_CONSOLE_TIMER, WL_NO_SUCH_BYTES, WL_NO_SPACE, WL_WRONG_INDEX_ALGO,
	WL_BUFFER_TOO_SMALL, WL_UNIQUE_ALREADY_EXISTS, WL_SCHEDULE_AT_DELAY_TOO_LONG, WL_INDEX_NOT_UNIQUE,
	WL_NO_SUCH_ROW, WL_AUTO_INC_OVERFLOW, WL_WOULD_BLOCK_TRANSACTION, WL_TRANSACTION_NOT_ANONYMOUS,
	WL_TRANSACTION_IS_READ_ONLY, WL_TRANSACTION_IS_MUT, WL_HTTP_ERROR,
};

WL_IMPORT("10.0", table_id_from_name)
uint16_t wl_abi_table_id(const char *name, size_t len, uint32_t *id);
WL_IMPORT("10.0", index_id_from_name)
uint16_t wl_abi_index_id(const char *name, size_t len, uint32_t *id);
WL_IMPORT("10.0", datastore_table_row_count)
uint16_t wl_abi_row_count(uint32_t table, uint64_t *count);
WL_IMPORT("10.0", datastore_table_scan_bsatn)
uint16_t wl_abi_scan(uint32_t table, uint32_t *iter);
WL_IMPORT("10.0", datastore_index_scan_range_bsatn)
uint16_t wl_abi_scan_range(uint32_t index, const void *prefix, size_t prefix_len, uint32_t prefix_columns,
	const void *low, size_t low_len, const void *high, size_t high_len, uint32_t *iter);
WL_IMPORT("10.4", datastore_index_scan_point_bsatn)
uint16_t wl_abi_scan_point(uint32_t index, const void *key, size_t len, uint32_t *iter);
/* -1: these were the last rows, the iterator is closed. */
WL_IMPORT("10.0", row_iter_bsatn_advance)
int16_t wl_abi_advance(uint32_t iter, void *buffer, size_t *len);
WL_IMPORT("10.0", row_iter_bsatn_close)
uint16_t wl_abi_close(uint32_t iter);
/* `row` then holds the generated columns, *len their bytes. */
WL_IMPORT("10.0", datastore_insert_bsatn)
uint16_t wl_abi_insert(uint32_t table, void *row, size_t *len);
WL_IMPORT("10.0", datastore_update_bsatn)
uint16_t wl_abi_update(uint32_t table, uint32_t index, void *row, size_t *len);
WL_IMPORT("10.4", datastore_delete_by_index_scan_point_bsatn)
uint16_t wl_abi_delete_point(uint32_t index, const void *key, size_t len, uint32_t *count);
WL_IMPORT("10.0", datastore_delete_by_index_scan_range_bsatn)
uint16_t wl_abi_delete_range(uint32_t index, const void *prefix, size_t prefix_len, uint32_t prefix_columns,
	const void *low, size_t low_len, const void *high, size_t high_len, uint32_t *count);
WL_IMPORT("10.0", datastore_delete_all_by_eq_bsatn)
uint16_t wl_abi_delete_rows(uint32_t table, const void *rows, size_t len, uint32_t *count);
WL_IMPORT("10.5", datastore_clear)
uint16_t wl_abi_clear(uint32_t table, uint64_t *count);

WL_IMPORT("10.0", bytes_source_read)
int16_t wl_abi_source_read(uint32_t source, void *buffer, size_t *len); /* -1: that was all */
WL_IMPORT("10.1", bytes_source_remaining_length)
int16_t wl_abi_source_remaining(uint32_t source, uint32_t *len);
WL_IMPORT("10.0", bytes_sink_write)
uint16_t wl_abi_sink_write(uint32_t sink, const void *data, size_t *len);

WL_IMPORT("10.0", console_log)
void wl_abi_log(uint32_t level, const char *target, size_t target_len, const char *file, size_t file_len, uint32_t line,
	const char *text, size_t len);
WL_IMPORT("10.0", console_timer_start)
uint32_t wl_abi_timer_start(const char *name, size_t len); /* the timer */
WL_IMPORT("10.0", console_timer_end)
uint16_t wl_abi_timer_end(uint32_t timer);
WL_IMPORT("10.0", identity)
void wl_abi_identity(void *identity);
WL_IMPORT("10.2", get_jwt)
uint16_t wl_abi_get_jwt(const void *connection_id, uint32_t *source);
WL_IMPORT("10.6", env_get)
uint16_t wl_abi_env_get(const char *key, size_t len, uint32_t *source);

WL_IMPORT("10.3", procedure_sleep_until)
int64_t wl_abi_sleep_until(int64_t micros); /* what time it then is */
WL_IMPORT("10.3", procedure_start_mut_tx)
uint16_t wl_abi_tx_start(int64_t *micros);
WL_IMPORT("10.3", procedure_commit_mut_tx)
uint16_t wl_abi_tx_commit(void);
WL_IMPORT("10.3", procedure_abort_mut_tx)
uint16_t wl_abi_tx_abort(void);
WL_IMPORT("10.3", procedure_http_request)
uint16_t wl_abi_http_request(const void *request, size_t len, const void *body, size_t body_len, uint32_t out[2]);

#ifdef __cplusplus
}
#endif
#endif
