/* SPDX-License-Identifier: Apache-2.0 */
/*
 * N connections with W calls in flight each, closed loop. Warm-up, then a
 * measured interval between two samples of the server's clocks.
 */
#include "load.h"
#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, DRAIN_MS = 3000, ROUND_MS = 200 };

struct run {
	const struct options *options;
	struct caller *callers;
	uint32_t connected;
	int epoll;
	struct caller_totals totals;
	bool failed;
};

static bool connect_all(struct run *run, const struct caller_plan *plan)
{
	for (; run->connected < run->options->connections; run->connected++) {
		struct caller *caller = &run->callers[run->connected];
		if (!caller_connect(caller, &run->options->ws, plan, &run->totals)) {
			caller_deinit(caller);
			return false;
		}
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = caller };
		epoll_ctl(run->epoll, EPOLL_CTL_ADD, caller->ws.fd, &event);
		struct timeval timeout = { .tv_usec = ROUND_MS * 1000 };
		setsockopt(caller->ws.fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	}
	return true;
}

/* One round. A single connection is waited for in recv itself, as a plain client would. */
static void round_once(struct run *run)
{
	static struct epoll_event ready[EVENTS_MAX];
	if (run->connected == 1) {
		run->failed |= !caller_ready(&run->callers[0]);
		return;
	}
	int count = epoll_wait(run->epoll, ready, EVENTS_MAX, ROUND_MS);
	for (int i = 0; i < count; i++)
		run->failed |= !caller_ready(ready[i].data.ptr);
}

static void run_until(struct run *run, uint64_t deadline)
{
	while (!run->failed && clock_mono_nanos() < deadline)
		round_once(run);
}

/* Every call gets its reply. */
static void drain(struct run *run)
{
	uint64_t deadline = clock_mono_nanos() + (uint64_t)DRAIN_MS * 1000000;
	for (uint32_t i = 0; i < run->connected; i++)
		run->callers[i].stopping = true;
	for (uint32_t i = 0; i < run->connected && !run->failed;) {
		if (caller_in_flight(&run->callers[i]) == 0) {
			i++;
		} else if (clock_mono_nanos() < deadline) {
			round_once(run);
		} else {
			fprintf(stderr, "load: %u calls of connection %u got no reply\n", caller_in_flight(&run->callers[i]), i);
			run->failed = true;
		}
	}
}

void report_cost(const struct options *options, const struct sample *begin, const struct sample *end, uint64_t work,
	const char *name)
{
	double seconds = (double)(end->wall_nanos - begin->wall_nanos) / 1e9, count = work > 0 ? (double)work : 1;
	printf("seconds %.3f\n%ss %llu\n%ss_per_second %.0f\n", seconds, name, (unsigned long long)work, name,
		(double)work / seconds);
	double own = (double)(end->own_cpu_nanos - begin->own_cpu_nanos);
	printf("generator_us_per_%s %.4f\ngenerator_cores %.3f\n", name, own / 1e3 / count, own / 1e9 / seconds);
	if (options->pid == 0)
		return;
	double cpu = (double)(end->cpu_nanos - begin->cpu_nanos);
	printf("cpu_us_per_%s %.4f\nserver_cores %.3f\nrss_mib %.1f\n", name, cpu / 1e3 / count, cpu / 1e9 / seconds,
		(double)end->rss_bytes / 1048576);
	if (options->syscalls)
		printf("syscalls_per_%s %.4f\n", name, (double)(end->syscalls - begin->syscalls) / count);
}

void report_latency(const struct caller_totals *totals)
{
	static const struct { const char *name; double share; } points[] = {
		{ "p50", 0.50 }, { "p99", 0.99 }, { "p999", 0.999 },
	};
	for (size_t i = 0; i < ARRAY_COUNT(points); i++)
		printf("%s_us %.1f\n", points[i].name, (double)histogram_percentile(&totals->latency, points[i].share) / 1e3);
	printf("max_us %.1f\nerrors %llu\n", (double)totals->latency.max / 1e3, (unsigned long long)totals->errors);
	if (totals->errors > 0)
		fprintf(stderr, "load: failed calls, the first: %s\n", totals->first_error);
}

static void measure(struct run *run, const struct meter *meter)
{
	struct sample begin, end;
	for (uint32_t i = 0; i < run->connected; i++)
		caller_start(&run->callers[i]);
	run_until(run, clock_mono_nanos() + (uint64_t)(run->options->warmup_seconds * 1e9));
	run->totals.replies = 0;
	memset(&run->totals.latency, 0, sizeof(run->totals.latency)); /* errors of the warm-up stay: they are errors */
	meter_take(meter, &begin);
	run_until(run, begin.wall_nanos + (uint64_t)(run->options->seconds * 1e9));
	meter_take(meter, &end);
	uint64_t calls = run->totals.replies;
	drain(run);
	report_cost(run->options, &begin, &end, calls, "call");
	report_latency(&run->totals);
}

int run_calls(const struct options *options)
{
	static struct run run;
	struct caller_plan plan;
	struct meter meter;
	run = (struct run){ .options = options, .epoll = epoll_create1(EPOLL_CLOEXEC), .failed = true };
	run.callers = mem_zalloc_array(options->connections, sizeof(run.callers[0]));
	if (caller_plan_create(&plan, &options->load) && run.callers != NULL && connect_all(&run, &plan) &&
		meter_open(&meter, options->pid, options->syscalls)) {
		run.failed = false;
		measure(&run, &meter);
		meter_close(&meter);
	}
	for (uint32_t i = 0; i < run.connected; i++)
		caller_deinit(&run.callers[i]);
	caller_plan_deinit(&plan);
	mem_free(run.callers);
	close(run.epoll);
	return run.failed || run.totals.errors > 0;
}
