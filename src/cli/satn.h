/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SATN_H
#define CLI_SATN_H
/*
 * satn: values as people read them, from the SATS-JSON of an answer and its
 * type: (some = 5), 0xc200…, 2024-01-01T00:00:00+00:00.
 */
#include "native.h"
#include "sats/sats.h"

/* Appends the value at *node, which is left behind it. Arrays and objects, tags and names are all understood.
 * WL_ERR_INVALID when the JSON does not fit the type. */
enum wl_err cli_satn_write(struct buf *out, const struct sats_type *type, const struct native_json *doc, uint32_t *node,
	struct error *error);
/* Shortest digits, never an exponent, no ".0". */
void cli_satn_float(struct buf *out, bool wide, double value);
#endif
