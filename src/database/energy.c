/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Energy: what calls cost, and whether there is any left. Counting is one
 * addition; where nothing is limited that is all.
 *
 * Invariants
 *  1. Every run of the guest on behalf of somebody is charged to the database:
 *     reducers, procedures, handlers, and the views they make again. Time
 *     asleep or waiting is not.
 *  2. A call may begin if anything is left, and is stopped when that is used:
 *     by the clock of the engine, so a little late (RUNTIME_TICK_MS).
 *  3. `energy_used` belongs to the executor; what runs beside it adds to
 *     `energy_beside`.
 */
#include "base/log.h"
#include "database/database_internal.h"

/* The database's own calls are nobody's: they count for it alone. */
static bool pays(const struct database *db, const struct identity *payer)
{
	return db->options.energy.payer_left != NULL && payer != NULL && !identity_eq(payer, &db->options.identity);
}

static uint64_t used(const struct database *db)
{
	return atomic_load_explicit(&db->energy_used, memory_order_relaxed) +
		atomic_load_explicit(&db->energy_beside, memory_order_relaxed);
}

/* Once each time the budget is found empty, not for each call that it refuses. */
static void tell(struct database *db)
{
	char hex[65];
	if (atomic_exchange(&db->energy_told, true))
		return;
	identity_to_hex(&db->options.identity, hex);
	log_warn("database %s has used its budget of energy: its calls are refused", hex);
}

bool db_energy_begin_limited(struct database *db, const struct identity *payer, uint64_t *nanos_max)
{
	const struct database_energy *energy = &db->options.energy;
	uint64_t left = energy->call_max != 0 ? energy->call_max : UINT64_MAX, spent = used(db);
	if (energy->is_limited && spent >= energy->left) {
		tell(db);
		return false;
	}
	if (energy->is_limited && energy->left - spent < left)
		left = energy->left - spent;
	if (pays(db, payer)) {
		uint64_t own = energy->payer_left(energy->context, payer);
		if (own == 0)
			return false;
		if (own < left)
			left = own;
	}
	*nanos_max = left == UINT64_MAX ? 0 : left / DATABASE_ENERGY_PER_NANO + 1;
	return true;
}

void db_energy_charge_payer(struct database *db, const struct identity *payer, uint64_t nanos)
{
	if (pays(db, payer))
		db->options.energy.payer_charge(db->options.energy.context, payer, nanos * DATABASE_ENERGY_PER_NANO);
}

void db_energy_charge_beside(struct database *db, const struct identity *payer, uint64_t nanos)
{
	atomic_fetch_add_explicit(&db->energy_beside, nanos * DATABASE_ENERGY_PER_NANO, memory_order_relaxed);
	db_energy_charge_payer(db, payer, nanos);
}

uint64_t database_energy_untaken(const struct database *db)
{
	return used(db) - atomic_load_explicit(&db->energy_taken, memory_order_relaxed);
}

uint64_t database_energy_take(struct database *db)
{
	uint64_t untaken = database_energy_untaken(db);
	atomic_fetch_add_explicit(&db->energy_taken, untaken, memory_order_relaxed);
	return untaken;
}
