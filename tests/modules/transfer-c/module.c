/* SPDX-License-Identifier: Apache-2.0 */
/* The workload of the benchmarks (tests/modules/transfer), in C, with a view of each holder besides. */
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

WL_REDUCER(transfer, (u32, from), (u32, to), (i64, amount))
{
	accounts payer, payee;
	if (from == to)
		return wl_fail("from and to are the same account");
	if (amount < 0)
		return wl_fail("amount is negative");
	if (!accounts_find_by_id(from, &payer))
		return wl_fail("no account %u", from);
	if (!accounts_find_by_id(to, &payee))
		return wl_fail("no account %u", to);
	if (payer.balance < amount)
		return wl_fail("account %u holds only %lld", from, payer.balance);
	payer.balance -= amount;
	payee.balance += amount;
	accounts_update_by_id(&payer);
	accounts_update_by_id(&payee);
	return wl_ok();
}

WL_REDUCER(seed_holders, (u32, n))
{
	for (u32 id = 0; id < n; id++) {
		holders row = { id, id };
		holders_insert(&row);
	}
	return wl_ok();
}

/* Changes one row: account 0 gains 1. */
WL_REDUCER(gain)
{
	accounts row;
	if (!accounts_find_by_id(0, &row))
		return wl_fail("no account 0");
	row.balance += 1;
	accounts_update_by_id(&row);
	return wl_ok();
}

WL_REDUCER(nothing)
{
	return wl_ok();
}

/* Reads one row by its key, of a table that transfers do not touch. */
WL_VIEW(holders, holder, (u32, id))
{
	holders row;
	if (holders_find_by_id(id, &row))
		holders_emit(&row);
}

/* And of one that they do. */
WL_VIEW(accounts, account, (u32, id))
{
	accounts row;
	if (accounts_find_by_id(id, &row))
		accounts_emit(&row);
}
