/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Energy: the ledger. Each database counts what its calls cost; twice a
 * minute, and before one goes, that is added to control data, under the
 * database's identity. Where identities have a budget, what their calls cost
 * is counted here as well, for all databases together.
 *
 * Invariants
 *  1. What is in control data was used; what was used since the last save is
 *     lost in a crash.
 *  2. The table of identities is bounded: anybody can make identities. When it
 *     is full, those that have used next to nothing are forgotten; if all have
 *     used more, newcomers are refused.
 *  3. The ledger's lock is a leaf: nothing is called while it is held.
 */
#include "base/log.h"
#include "base/mem.h"
#include "host/host_internal.h"

enum {
	PAYERS_MAX = 1 << 18,
	NEGLIGIBLE = 1024, /* one such part of a budget is not worth remembering */
};

struct payer {
	struct identity identity;
	uint64_t used, saved;
};
struct ledger {
	pthread_mutex_t lock;
	uint64_t budget;
	struct map payers; /* identity -> struct payer */
};

/* ---- identities ---- */

static uint64_t add_used(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static struct payer *payer_find(const struct ledger *ledger, const struct identity *id)
{
	uint64_t value;
	return map_get(&ledger->payers, id->le, 32, &value) ? (struct payer *)(uintptr_t)value : NULL;
}

/* The map says nothing of what it holds while it changes: those to forget are collected first. */
static void forget_small(struct ledger *ledger)
{
	struct buf small = BUF_INIT(PAYERS_MAX * sizeof(struct payer *));
	uint32_t cursor = 0;
	for (const struct map_entry *at; (at = map_next(&ledger->payers, &cursor)) != NULL;) {
		struct payer *payer = (struct payer *)(uintptr_t)at->value;
		if (payer->used < ledger->budget / NEGLIGIBLE)
			buf_put(&small, &payer, sizeof(struct payer *));
	}
	for (size_t at = 0; !small.failed && at < small.len; at += sizeof(struct payer *)) {
		struct payer *payer;
		memcpy(&payer, small.data + at, sizeof(struct payer *));
		map_remove(&ledger->payers, payer->identity.le, 32);
		mem_free(payer);
	}
	buf_deinit(&small);
}

/* NULL: no memory, or too many. */
static struct payer *payer_get(struct ledger *ledger, const struct identity *id)
{
	struct payer *payer = payer_find(ledger, id);
	if (payer != NULL)
		return payer;
	if (ledger->payers.count >= PAYERS_MAX)
		forget_small(ledger);
	payer = ledger->payers.count < PAYERS_MAX ? mem_zalloc(sizeof(*payer)) : NULL;
	if (payer == NULL)
		return NULL;
	payer->identity = *id;
	if (map_put(&ledger->payers, payer->identity.le, 32, (uintptr_t)payer))
		return payer;
	mem_free(payer);
	return NULL;
}

struct ledger *ledger_create(struct control *control, uint64_t budget)
{
	struct ledger *ledger = mem_zalloc(sizeof(*ledger));
	if (ledger == NULL)
		return NULL;
	pthread_mutex_init(&ledger->lock, NULL);
	ledger->budget = budget;
	for (struct control_database *record = control_first(control); record != NULL; record = record->next) {
		struct payer *payer = record->used == 0 || record->id != 0 ? NULL : payer_get(ledger, &record->identity);
		if (payer != NULL)
			payer->used = payer->saved = record->used;
	}
	return ledger;
}

void ledger_destroy(struct ledger *ledger)
{
	if (ledger == NULL)
		return;
	uint32_t cursor = 0;
	for (const struct map_entry *at; (at = map_next(&ledger->payers, &cursor)) != NULL;)
		mem_free((void *)(uintptr_t)at->value);
	map_deinit(&ledger->payers);
	pthread_mutex_destroy(&ledger->lock);
	mem_free(ledger);
}

uint64_t ledger_left(void *context, const struct identity *id)
{
	struct ledger *ledger = context;
	pthread_mutex_lock(&ledger->lock);
	const struct payer *payer = payer_get(ledger, id);
	uint64_t left = payer == NULL || payer->used >= ledger->budget ? 0 : ledger->budget - payer->used;
	pthread_mutex_unlock(&ledger->lock);
	return left;
}

void ledger_charge(void *context, const struct identity *id, uint64_t amount)
{
	struct ledger *ledger = context;
	pthread_mutex_lock(&ledger->lock);
	struct payer *payer = payer_get(ledger, id);
	if (payer != NULL)
		payer->used = add_used(payer->used, amount);
	pthread_mutex_unlock(&ledger->lock);
}

static uint64_t payer_used(struct ledger *ledger, const struct identity *id, uint64_t saved)
{
	if (ledger == NULL)
		return saved;
	pthread_mutex_lock(&ledger->lock);
	const struct payer *payer = payer_find(ledger, id);
	uint64_t used = payer == NULL ? saved : payer->used;
	pthread_mutex_unlock(&ledger->lock);
	return used;
}

/* ---- control data ---- */

static void save_database(struct host *host, struct database *db, struct buf *change)
{
	const struct control_database *record = control_database(host->control, database_identity(db));
	uint64_t used = database_energy_take(db);
	if (used > 0)
		control_put_used(change, database_identity(db), add_used(record == NULL ? 0 : record->used, used));
}

static void save_payers(struct ledger *ledger, struct buf *change)
{
	uint32_t cursor = 0;
	pthread_mutex_lock(&ledger->lock);
	for (const struct map_entry *at; (at = map_next(&ledger->payers, &cursor)) != NULL;) {
		struct payer *payer = (struct payer *)(uintptr_t)at->value;
		if (payer->used - payer->saved < ledger->budget / NEGLIGIBLE + 1)
			continue;
		control_put_used(change, &payer->identity, payer->used);
		payer->saved = payer->used;
	}
	pthread_mutex_unlock(&ledger->lock);
}

void energy_save(struct host *host, struct database *db)
{
	struct buf change = BUF_INIT(CONTROL_RECORD_BYTES_MAX);
	struct error error = { 0 };
	uint32_t cursor = 0;
	if (db != NULL) {
		save_database(host, db, &change);
	} else {
		for (const struct map_entry *slot; (slot = map_next(&host->entries, &cursor)) != NULL;) {
			const struct entry *entry = (const struct entry *)(uintptr_t)slot->value;
			if (entry->db != NULL)
				save_database(host, entry->db, &change);
		}
		if (host->ledger != NULL)
			save_payers(host->ledger, &change);
	}
	if (change.failed)
		log_warn("what was used of energy is not saved: no memory, or too much at once");
	else if (change.len > 0 && control_commit(host->control, &change, &error) != WL_OK)
		log_warn("what was used of energy is not saved: %s", error.text);
	buf_deinit(&change);
}

struct database_energy energy_of(struct host *host, const struct identity *id)
{
	const struct control_database *record = control_database(host->control, id);
	uint64_t used = record == NULL ? 0 : record->used;
	struct database_energy energy = { .call_max = host->options.energy_call };
	energy.is_limited = host->options.energy_database != 0;
	energy.left = host->options.energy_database > used ? host->options.energy_database - used : 0;
	if (host->ledger != NULL) {
		energy.payer_left = ledger_left;
		energy.payer_charge = ledger_charge;
		energy.context = host->ledger;
	}
	return energy;
}

i128 host_energy(struct host *host, const struct identity *id)
{
	uint64_t value;
	monitor_lock(&host->monitor);
	const struct control_database *found = control_database(host->control, id);
	const struct entry *entry = map_get(&host->entries, id->le, 32, &value) ? (struct entry *)(uintptr_t)value : NULL;
	i128 balance = found != NULL ? found->energy : 0;
	uint64_t used = payer_used(host->ledger, id, found != NULL ? found->used : 0);
	if (entry != NULL && entry->db != NULL)
		used = add_used(used, database_energy_untaken(entry->db));
	monitor_unlock(&host->monitor);
	return balance - (i128)used;
}

enum wl_err host_energy_add(struct host *host, const struct identity *id, u128 amount, i128 *balance,
	struct error *error)
{
	const i128 most = (i128)(((u128)1 << 127) - 1);
	struct buf change = BUF_INIT(128);
	enum wl_err err = WL_OK;
	monitor_lock(&host->monitor);
	const struct control_database *found = control_database(host->control, id);
	i128 before = found != NULL ? found->energy : 0;
	i128 credit = amount > (u128)(most - before) ? most : before + (i128)amount;
	uint64_t used = payer_used(host->ledger, id, found != NULL ? found->used : 0);
	if (credit != before) {
		control_put_energy(&change, id, credit);
		err = control_commit(host->control, &change, error);
	}
	monitor_unlock(&host->monitor);
	buf_deinit(&change);
	*balance = credit - (i128)used;
	return err;
}
