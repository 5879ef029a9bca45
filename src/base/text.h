/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEXT_H
#define TEXT_H
/*
 * text: UTF-8, and texts as Rust prints them, which clients of the field and
 * its logs expect letter by letter. Pure; any thread.
 */
#include "base/buf.h"

static inline bool str_starts_with(struct str s, const char *prefix)
{
	size_t len = strlen(prefix);
	return s.len >= len && memcmp(s.data, prefix, len) == 0;
}
int hex_digit(char c); /* its value, or -1 */

/* Length of the longest prefix of a well-formed sequence at p, at least 1 ("maximal subpart"); *whole: it is one. */
size_t utf8_sequence(const uint8_t *p, size_t left, bool *whole);
/* Text with ill-formed sequences replaced by U+FFFD; borrows `bytes` when it is valid, else the text is put into
 * `scratch`. False: limit or memory. */
bool text_lossy(struct bytes bytes, struct buf *scratch, struct str *out);

void text_put_i128(struct buf *out, i128 n);
void text_put_debug_str(struct buf *out, struct str s);        /* as Rust's {:?} of a str */
void text_put_debug_duration(struct buf *out, uint64_t nanos); /* as Rust's {:?} of a Duration */
#endif
