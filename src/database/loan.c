/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token, lent: a procedure's thread becomes the executor for one
 * transaction of its own.
 *
 * Invariants
 *  1. A loan is mail: it has its turn among all other mail, so a busy database
 *     neither starves procedures nor is starved by them.
 *  2. The step in which the loan's turn comes ends as every step does (log,
 *     blocks), and the token passes on without having been free.
 *  3. Who gives it back ends a step of its own, then looks at the mailbox like
 *     everybody who lets go of the token (executor.c, invariant 3).
 */
#include "base/clock.h"
#include "database/database_internal.h"

enum { MAIL_BUDGET = 256 };

bool db_token_borrow(struct database *db)
{
	struct monitor monitor;
	monitor_init(&monitor);
	struct loan loan = { .mail = { .kind = MAIL_LOAN }, .monitor = &monitor };
	db_push(db, &loan.mail);
	while (database_run_pending(db, MAIL_BUDGET))
		;
	monitor_lock(&monitor);
	while (!loan.granted)
		monitor_wait(&monitor);
	monitor_unlock(&monitor);
	monitor_deinit(&monitor);
	db_assert_executor(db);
	if (!db_is_closing(db) && !database_closed(db)) {
		db_step_begin(db);
		return true;
	}
	db_token_release(db);
	return false;
}

void db_loan_grant(struct loan *loan)
{
	/* The borrower may be gone as soon as it sees `granted`. */
	struct monitor *monitor = loan->monitor;
	monitor_lock(monitor);
	loan->granted = true;
	monitor_wake_all(monitor);
	monitor_unlock(monitor);
}

void db_token_return(struct database *db)
{
	db_assert_executor(db);
	db_step_end(db);
	db_token_release(db);
}

void db_token_release(struct database *db)
{
	atomic_store(&db->token, 0);
	while (database_run_pending(db, MAIL_BUDGET))
		;
}
