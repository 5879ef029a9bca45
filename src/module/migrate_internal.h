/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIGRATE_INTERNAL_H
#define MIGRATE_INTERNAL_H
/* What the files of migrate share. */
#include "module/migrate.h"

struct type_check {
	struct str table, column;
	bool is_rigid;      /* it may not change at all */
	struct buf *errors;
};
/* False: `errors` says why, once for each reason. */
bool migrate_type_may_change(const struct type_check *check, const struct sats_type *old, const struct sats_type *new);
#endif
