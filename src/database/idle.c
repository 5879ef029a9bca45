/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rest: what a database that nobody uses gives back, so that thousands of idle
 * ones cost little more than their rows. Who has been idle long enough is for
 * the host to say (host_rest); this file says what goes.
 *
 * Invariants
 *  1. Only the holder of the token gives back, and the token is taken only if
 *     it is free: who is busy is not idle.
 *  2. Everything given back is made again by whoever needs it next.
 */
#include "database/database_internal.h"

enum { MAIL_BUDGET = 256 };

static void give_back(struct database *db)
{
	db_instance_drop(db);
	db_procedures_drop(db);
	store_rest(db->store);
	subs_rest(db->subs);
	db_spares_free(db);
	buf_deinit(&db->scratch);
	buf_deinit(&db->json);
	buf_deinit(&db->reply);
	if (db->commitlog != NULL)
		commitlog_rest(db->commitlog);
}

bool database_rest(struct database *db)
{
	uint64_t used = atomic_load_explicit(&db->transactions, memory_order_relaxed) +
		atomic_load_explicit(&db->rolled_back, memory_order_relaxed);
	if (used != db->rest_seen) {
		db->rest_seen = used;
		db->rested = false;
		return false;
	}
	uint32_t free_token = 0;
	if (db->rested || !atomic_compare_exchange_strong(&db->token, &free_token, 1))
		return false;
	bool quiet = db->work == NULL && atomic_load(&db->mailbox.head) == NULL;
	if (quiet)
		give_back(db);
	db->rested = quiet;
	atomic_store(&db->token, 0);
	/* Whoever pushed while the token was taken relies on its holder to look. */
	while (atomic_load(&db->mailbox.head) != NULL && database_run_pending(db, MAIL_BUDGET)) {
	}
	return quiet;
}
