/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SIMILAR_H
#define CLI_SIMILAR_H
/* similar: which name somebody may have meant. */
#include "base/base.h"

enum { CLI_SIMILAR_BYTES_MAX = 256 }; /* longer names are compared by this prefix */

/* Edits (insert, delete, replace, swap neighbours) from a to b. */
size_t cli_edit_distance(struct str a, struct str b);
/* Index of the best candidate, UINT32_MAX: none is close. Equal but for case; else within a third of the name's length;
 * else the same words in another order. */
uint32_t cli_similar_find(const struct str *candidates, uint32_t count, struct str name);
#endif
