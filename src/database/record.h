/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATABASE_RECORD_H
#define DATABASE_RECORD_H
/*
 * record: what a record of the log says, in words, without a store. The format
 * is transaction.c's. Any thread.
 */
#include "base/buf.h"

/* Appends one line without its end: time, reducer, schema changes, tables with rows inserted and deleted. False: it
 * does not decode; the line says where it ends. `micros` (may be NULL): its timestamp. */
bool database_record_describe(struct bytes record, struct buf *out, int64_t *micros);
/* RFC 3339 in UTC, with microseconds. */
void database_time_put(struct buf *out, int64_t micros);
/* The hash of the program that the transaction made the running one. False: it made none. */
bool database_record_program(struct bytes record, uint8_t hash[32]);
#endif
