/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RECORD_FORMAT_H
#define RECORD_FORMAT_H
/* The parts of a record (transaction.c), for those who read and write it. */
#include "base/buf.h"

enum { RECORD_REDUCER = 1, RECORD_SCHEMA = 2, RECORD_CHANGES = 4 };
enum { TABLE_TRUNCATED = 1, TABLE_DELETES = 2, TABLE_INSERTS = 4 };

static inline uint64_t record_varint(struct reader *r)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = reader_u8(r);
		v |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return v;
	}
	reader_fail(r, "varint", 10);
	return 0;
}

/* A length, and so many bytes. */
static inline struct bytes record_bytes(struct reader *r)
{
	uint64_t len = record_varint(r);
	const uint8_t *data = len > SIZE_MAX / 2 ? NULL : reader_take(r, (size_t)len, "bytes");
	if (data == NULL)
		r->failed = true;
	return (struct bytes){ data, data == NULL ? 0 : (size_t)len };
}
#endif
