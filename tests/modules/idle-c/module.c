/* SPDX-License-Identifier: Apache-2.0 */
/* What each of a thousand idle databases has: two tables, two indexes. */
#include <worldline/module.h>

WL_TABLE(accounts, PUBLIC,
	(u32, id, PRIMARY_KEY),
	(i64, balance))

WL_TABLE(holders, PUBLIC,
	(u32, id, PRIMARY_KEY),
	(u32, account, INDEX))

WL_REDUCER(seed, (u32, n), (i64, balance))
{
	for (u32 id = 0; id < n; id++) {
		accounts row = { id, balance };
		accounts_insert(&row);
	}
	return wl_ok();
}
