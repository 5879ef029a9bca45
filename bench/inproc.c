/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor's path without sockets: decode, guest, store, commit, log
 * record, live queries, reply. What it costs in time and allocations, and the
 * right thing to put a profiler or callgrind on.
 *
 *     inproc MODULE [--calls N] [--batch N] [--log DIR] [--reducer transfer|nothing|gain]
 *         [--holders N] [--subscribers N] [--query SQL]    # in SQL: the subscriber's number
 */
#include "driver.h"
#include "heap.h"
#include "base/clock.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ACCOUNTS = 100000, WARMUP_CALLS = 20000 };

struct inproc {
	const char *module, *log, *reducer, *query;
	uint32_t calls, warmup, batch, subscribers, holders;
};

static bool read_options(struct inproc *options, int argc, char **argv)
{
	static const struct option names[] = {
		{ "calls", required_argument, NULL, 'c' }, { "batch", required_argument, NULL, 'b' },
		{ "subscribers", required_argument, NULL, 's' }, { "log", required_argument, NULL, 'l' },
		{ "reducer", required_argument, NULL, 'r' }, { "warmup", required_argument, NULL, 'w' },
		{ "query", required_argument, NULL, 'q' }, { "holders", required_argument, NULL, 'h' }, { 0 },
	};
	*options = (struct inproc){ .reducer = "transfer", .query = "SELECT * FROM accounts", .calls = 500000,
		.warmup = WARMUP_CALLS, .batch = 200 };
	int id;
	while ((id = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (id) {
		case 'c': options->calls = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'w': options->warmup = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'b': options->batch = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 's': options->subscribers = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'l': options->log = optarg; break;
		case 'r': options->reducer = optarg; break;
		case 'q': options->query = optarg; break;
		case 'h': options->holders = (uint32_t)strtoul(optarg, NULL, 10); break;
		default: return false;
		}
	}
	options->module = argc - optind == 1 ? argv[optind] : NULL;
	return options->module != NULL && options->batch > 0 && options->calls > 0 &&
		options->subscribers < DRIVER_CLIENTS_MAX;
}

/* Of this thread: what others on the machine do does not count. */
static uint64_t thread_nanos(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool calls(struct driver *driver, const struct inproc *options, uint32_t count)
{
	if (strcmp(options->reducer, "transfer") == 0)
		return driver_transfers(driver, ACCOUNTS, count, options->batch);
	return driver_calls(driver, options->reducer, (struct bytes){ NULL, 0 }, count, options->batch);
}

static bool set_up(struct driver *driver, const struct inproc *options)
{
	char seed[64], holders[64];
	snprintf(seed, sizeof(seed), "[%d,1000000]", ACCOUNTS);
	snprintf(holders, sizeof(holders), "[%u]", options->holders);
	return driver_open(driver, options->module, options->log) && driver_call_json(driver, "seed", seed) &&
		(options->holders == 0 || driver_call_json(driver, "seed_holders", holders));
}

/* First everybody connects, then everybody subscribes: what each of the two costs. */
static bool subscribe(struct driver *driver, const struct inproc *options)
{
	uint32_t count = options->subscribers, first = driver->client_count;
	bool ok = true;
	uint64_t live = mem_stats().live_bytes;
	for (uint32_t i = 0; ok && i < count; i++)
		ok = driver_client_add(driver);
	uint64_t connected = mem_stats().live_bytes, begin = thread_nanos();
	for (uint32_t i = 0; ok && i < count; i++)
		ok = driver_subscribe(driver, first + i, options->query);
	uint64_t nanos = thread_nanos() - begin, subscribed = mem_stats().live_bytes;
	if (ok && count > 0)
		printf("bytes_per_client %.1f\nbytes_per_subscription %.1f\ncpu_nanos_per_subscription %.1f\n",
			(double)(connected - live) / count, (double)(subscribed - connected) / count, (double)nanos / count);
	return ok;
}

int main(int argc, char **argv)
{
	static struct driver driver;
	struct inproc options;
	if (!read_options(&options, argc, argv)) {
		fputs("usage: inproc MODULE [--calls N] [--warmup N] [--batch N] [--log DIR]"
			" [--reducer NAME]\n    [--holders N] [--subscribers N] [--query SQL]\n", stderr);
		return 2;
	}
	bool ok = set_up(&driver, &options) && subscribe(&driver, &options) && calls(&driver, &options, options.warmup);
	uint64_t begin = clock_mono_nanos(), cpu = thread_nanos(), heap = heap_allocations(), updates = driver.updates;
	uint64_t bytes = driver.entry_bytes;
	ok = ok && calls(&driver, &options, options.calls);
	uint64_t nanos = clock_mono_nanos() - begin;
	cpu = thread_nanos() - cpu;
	heap = heap_allocations() - heap;
	if (ok && driver.failures == 0)
		printf("calls %u\ncpu_nanos_per_call %.1f\nwall_nanos_per_call %.1f\nallocations_per_call %.6f\n"
			"delivered_bytes_per_call %.1f\nupdates_per_call %.3f\n", options.calls, (double)cpu / options.calls,
			(double)nanos / options.calls, (double)heap / options.calls,
			(double)(driver.entry_bytes - bytes) / options.calls,
			(double)(driver.updates - updates) / options.calls);
	else
		fprintf(stderr, "inproc: calls failed: %s\n", driver.first_failure);
	ok = ok && driver.failures == 0;
	driver_close(&driver);
	return ok ? 0 : 1;
}
