/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Budgets of one transaction, counted, not timed: a database is driven without
 * sockets, warmed up, and then watched over some thousand calls. What the
 * whole process asks of the allocator counts: rooms, engine, libraries.
 */
#include "base/mem.h"
#include "driver.h"
#include "heap.h"
#include "unit/run_suite.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

enum { ACCOUNTS = 10000, WARMUP = 4000, CALLS = 10000, BATCH = 40, TIMEOUT_SECONDS = 120 };

static struct driver driver;
static char folder[64];

static const char *module_path(void)
{
	const char *path = getenv("WORLDLINE_TRANSFER_WASM");
	return path != NULL ? path : "build/modules/transfer.wasm";
}

static void open_seeded(const char *dir)
{
	ck_assert_msg(driver_open(&driver, module_path(), dir), "no database; is %s built?", module_path());
	ck_assert(driver_call_json(&driver, "seed", "[10000,1000000]"));
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
	(void)info, (void)kind, (void)walk;
	return remove(path);
}

static void make_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/worldline-budget-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void tear_down(void)
{
	driver_close(&driver);
	if (folder[0] != 0)
		(void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	folder[0] = 0;
}

struct counts {
	uint64_t heap, ours, live, bytes, updates;
};

/* Starts or ends a count. Nothing between the two may assert: Check itself allocates. */
static struct counts take_counts(void)
{
	struct mem_stats stats = mem_stats();
	return (struct counts){ heap_allocations(), stats.allocations, stats.live_bytes, driver.entry_bytes,
		driver.updates };
}

/* Transfers, `batch` at a time as a network loop would hand them over, and what they took. */
static struct counts count_transfers(uint32_t calls, uint32_t batch)
{
	struct counts begin = take_counts();
	bool ok = driver_transfers(&driver, ACCOUNTS, calls, batch);
	struct counts end = take_counts();
	ck_assert_msg(ok && driver.failures == 0, "a call failed: %s", driver.first_failure);
	return (struct counts){ end.heap - begin.heap, end.ours - begin.ours, end.live - begin.live,
		end.bytes - begin.bytes, end.updates - begin.updates };
}

/* Goal: a committed reducer call allocates nothing, anywhere in the process. */
START_TEST(steady_state_allocates_nothing)
{
	open_seeded(NULL);
	(void)count_transfers(WARMUP, BATCH);
	struct counts counts = count_transfers(CALLS, BATCH);
	ck_assert_uint_eq(counts.ours, 0);
	ck_assert_uint_eq(counts.heap, 0);
	ck_assert_uint_eq(counts.live, 0);
}
END_TEST

/* Goal: nor does one that is written to disk, but for the change of a segment now and then. */
START_TEST(logged_calls_allocate_nothing)
{
	make_folder();
	open_seeded(folder);
	(void)count_transfers(WARMUP, BATCH);
	struct counts counts = count_transfers(CALLS, BATCH);
	ck_assert_msg(counts.ours <= CALLS / 200, "%llu allocations of ours in %d calls",
		(unsigned long long)counts.ours, CALLS);
	ck_assert_msg(counts.heap <= CALLS / 200, "%llu allocations in %d calls", (unsigned long long)counts.heap, CALLS);
}
END_TEST

/* Goal: live queries that are shared cost no allocation either, and one message whatever their number. */
START_TEST(shared_subscriptions_allocate_nothing)
{
	open_seeded(NULL);
	for (int i = 0; i < 100; i++)
		ck_assert(driver_subscriber_add(&driver, "SELECT * FROM accounts"));
	(void)count_transfers(WARMUP, BATCH);
	struct counts counts = count_transfers(CALLS, BATCH);
	ck_assert_uint_eq(counts.ours, 0);
	ck_assert_uint_eq(counts.heap, 0);
	ck_assert_uint_eq(counts.updates, CALLS);
}
END_TEST

/* Goal: what leaves the executor for a call is one entry: 32 bytes of head and 22 of ReducerResult, aligned. With a
 * class of subscribers one more: a TransactionUpdate of two rows, however many follow it. */
START_TEST(delivered_bytes)
{
	open_seeded(NULL);
	(void)count_transfers(WARMUP, BATCH);
	ck_assert_uint_eq(count_transfers(CALLS, BATCH).bytes, (uint64_t)CALLS * 56);
	for (int i = 0; i < 100; i++)
		ck_assert(driver_subscriber_add(&driver, "SELECT * FROM accounts"));
	(void)count_transfers(WARMUP, BATCH);
	ck_assert_uint_le(count_transfers(CALLS, BATCH).bytes, (uint64_t)CALLS * (56 + 32 + 96));
}
END_TEST

/* Goal: a call that the module refuses leaves nothing behind and asks for nothing. */
START_TEST(refused_calls_allocate_nothing)
{
	uint8_t same[16] = { 0 };
	struct bytes args = { same, sizeof(same) };
	open_seeded(NULL);
	ck_assert(driver_calls(&driver, "transfer", args, WARMUP, BATCH));
	struct counts begin = take_counts();
	bool ok = driver_calls(&driver, "transfer", args, CALLS, BATCH);
	struct counts end = take_counts();
	ck_assert(ok);
	ck_assert_uint_eq(driver.failures, WARMUP + CALLS);
	ck_assert_uint_eq(end.ours - begin.ours, 0);
	ck_assert_uint_eq(end.heap - begin.heap, 0);
}
END_TEST

/* Goal: a lone call (the other end: batches of one) is no different. */
START_TEST(single_calls_allocate_nothing)
{
	open_seeded(NULL);
	(void)count_transfers(WARMUP, 1);
	ck_assert_uint_eq(count_transfers(CALLS, 1).heap, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("budget: transaction");
	TCase *tests = tcase_create("counts");
	tcase_add_checked_fixture(tests, NULL, tear_down);
	tcase_set_timeout(tests, TIMEOUT_SECONDS);
	tcase_add_test(tests, steady_state_allocates_nothing);
	tcase_add_test(tests, logged_calls_allocate_nothing);
	tcase_add_test(tests, shared_subscriptions_allocate_nothing);
	tcase_add_test(tests, delivered_bytes);
	tcase_add_test(tests, refused_calls_allocate_nothing);
	tcase_add_test(tests, single_calls_allocate_nothing);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
