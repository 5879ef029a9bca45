/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating, starting and stopping; the threads that run loops, and lending.
 *
 * A *runner* is a thread with a guest's stack. It runs one loop until that loop
 * is finished or lost, then waits as a spare for another.
 *
 * Lending. `lease` of a loop holds ticket * 2 + lent:
 *
 *                 lend: ticket + 1                 watchdog, 2 ms later
 *      RUNNING(t) ───────────────▶ LENT(t + 1) ─────────────────────────▶ TAKEN = RUNNING(t + 1) by a spare
 *          ▲                            │
 *          └──── lender, fn returned ───┘
 *
 *   RUNNING → LENT   the lender stores (seq_cst). All it did to the loop comes before.
 *   LENT → TAKEN     the watchdog compares and exchanges (acquire: it and the spare, to whom it passes the loop under
 *                    the monitor, see all the lender did). Only if its look one period ago saw the same ticket.
 *   LENT → RUNNING   the lender compares and exchanges. Fails if the loop was taken: tickets only rise, so the value it
 *                    expects can never come back. From then on the lender touches nothing of the loop, only its
 *                    own runner, and returns false.
 *
 * The watchdog sleeps while nothing is lent. It stores parked = true, then looks at every lease; a lender stores its
 * lease, then looks at parked. All four are seq_cst, so one of the two sees the other. After the last lend it keeps
 * looking for a few periods before it parks, so that a busy loop does not wake it for every round.
 *
 * Invariants
 *   1. A loop has one runner: loop->runner, changed only by who has just got the loop.
 *   2. A runner that lost its loop reads `lost` in its own struct after every callback that may lend.
 *   3. Threads end only in net_stop, which joins all of them.
 */
#include "net/net_internal.h"

#include <sys/resource.h>
#include <unistd.h>

enum { PERIODS_BEFORE_PARK = 16 };

struct runner {
	struct net *net;
	struct runner *next, *next_idle;
	struct net_loop *loop; /* to run; under the monitor while idle */
	pthread_t thread;
	bool lost;
};

void net_loop_check(const struct net_loop *loop)
{
	DEBUG_ASSERT(loop->finished || loop->runner == NULL || pthread_equal(loop->runner->thread, pthread_self()));
	(void)loop;
}

bool net_runner_lost(const struct runner *runner)
{
	return UNLIKELY(runner->lost);
}

void net_loop_finished(struct net_loop *loop)
{
	struct net *net = loop->net;
	monitor_lock(&net->monitor);
	net->finished_count++;
	monitor_wake_all(&net->monitor);
	monitor_unlock(&net->monitor);
}

/* ---- runners ---- */
static void runner_main(void *arg)
{
	struct runner *me = arg;
	struct net *net = me->net;
	monitor_lock(&net->monitor);
	me->thread = pthread_self();
	for (;;) {
		while (me->loop == NULL && !net->exiting)
			monitor_wait(&net->monitor);
		struct net_loop *loop = me->loop;
		if (loop == NULL)
			break;
		monitor_unlock(&net->monitor);
		me->lost = false;
		loop->runner = me;
		loop->may_lend = false;
		net_loop_run(loop, me);
		monitor_lock(&net->monitor);
		me->loop = NULL;
		me->next_idle = net->idle_runners;
		net->idle_runners = me;
	}
	monitor_unlock(&net->monitor);
}

/* Under the monitor. Gives the loop to a spare or a new thread; `claim` is asked last, when there is one for sure. */
static bool runner_give(struct net *net, struct net_loop *loop, bool (*claim)(struct net_loop *loop, uint64_t lease),
	uint64_t lease)
{
	struct runner *runner = net->idle_runners;
	if (runner == NULL) {
		if (net->runner_count >= NET_THREADS_MAX)
			return false;
		runner = mem_zalloc(sizeof(*runner));
		if (runner == NULL)
			return false;
		runner->net = net;
		pthread_t thread;
		if (!thread_start(&thread, "worldline-net", THREAD_STACK_GUEST, runner_main, runner)) {
			mem_free(runner);
			return false;
		}
		runner->thread = thread;
		runner->next = net->runners;
		net->runners = runner;
		net->runner_count++;
		runner->next_idle = net->idle_runners;
		net->idle_runners = runner;
	}
	if (claim != NULL && !claim(loop, lease))
		return false;
	net->idle_runners = runner->next_idle;
	runner->loop = loop;
	monitor_wake_all(&net->monitor);
	return true;
}

/* ---- lending ---- */
static bool lease_claim(struct net_loop *loop, uint64_t lease)
{
	return atomic_compare_exchange_strong_explicit(&loop->lease, &lease, lease - 1, memory_order_acq_rel,
		memory_order_relaxed);
}

bool net_loop_lend(struct net_loop *loop, void (*fn)(void *arg), void *arg)
{
	net_loop_check(loop);
	ASSERT(loop->may_lend);
	struct net *net = loop->net;
	struct runner *me = loop->runner;
	uint64_t lent = ++loop->ticket * 2 + 1;
	loop->may_lend = false;
	atomic_store_explicit(&loop->lease, lent, memory_order_seq_cst);
	if (UNLIKELY(atomic_load_explicit(&net->watch_parked, memory_order_seq_cst))) {
		monitor_lock(&net->monitor);
		monitor_wake_all(&net->monitor);
		monitor_unlock(&net->monitor);
	}
	fn(arg);
	/* Nobody else changed the loop if this succeeds, so there is nothing to acquire. */
	uint64_t expected = lent;
	if (!atomic_compare_exchange_strong_explicit(&loop->lease, &expected, lent - 1, memory_order_relaxed,
		memory_order_relaxed)) {
		me->lost = true;
		return false;
	}
	loop->may_lend = true;
	return true;
}

/* Takes what was lent before the last look and still is. Returns whether anything is lent. */
static bool watch_look(struct net *net, uint64_t seen[NET_LOOPS_MAX])
{
	bool any = false;
	for (uint32_t i = 0; i < net->loop_count; i++) {
		struct net_loop *loop = net->loops[i];
		uint64_t lease = atomic_load_explicit(&loop->lease, memory_order_seq_cst);
		if (lease % 2 == 1 && lease == seen[i])
			runner_give(net, loop, lease_claim, lease);
		/* A lend that ended between two looks counts as well: the loop is busy lending. */
		any |= lease % 2 == 1 || lease != seen[i];
		seen[i] = lease;
	}
	return any;
}

static void watch_main(void *arg)
{
	struct net *net = arg;
	uint64_t seen[NET_LOOPS_MAX] = { 0 };
	uint32_t quiet = 0;
	monitor_lock(&net->monitor);
	while (!net->exiting) {
		quiet = watch_look(net, seen) ? 0 : quiet + 1;
		if (quiet < PERIODS_BEFORE_PARK) {
			uint64_t until = clock_mono_nanos() + NET_LEND_NANOS;
			/* A full period, whoever wakes the monitor: a lease must be seen twice, two milliseconds apart. */
			for (uint64_t now; !net->exiting && (now = clock_mono_nanos()) < until;)
				monitor_wait_nanos(&net->monitor, until - now);
			continue;
		}
		atomic_store_explicit(&net->watch_parked, true, memory_order_seq_cst);
		if (!watch_look(net, seen) && !net->exiting)
			monitor_wait(&net->monitor);
		atomic_store_explicit(&net->watch_parked, false, memory_order_seq_cst);
		quiet = 0;
	}
	monitor_unlock(&net->monitor);
}

/* ---- create, start ---- */
static void files_limit_raise(void)
{
	struct rlimit limit;
	rlim_t want = NET_CONNECTIONS_MAX + 4096;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > want ? want : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit); /* what we get is what we serve */
}

/* One loop for two cores: batches are larger, and the other core is the guests' background and the clients'. */
static uint32_t loops_default(void)
{
	uint32_t cpus = thread_cpu_count();
	return cpus <= 2 ? 1 : cpus / 2;
}

enum wl_err net_create(const struct net_options *options, struct net **out, struct error *error)
{
	ASSERT(options->callbacks.request_head != NULL && options->callbacks.request != NULL
		&& options->callbacks.message != NULL && options->callbacks.closed != NULL && options->callbacks.round != NULL);
	struct net *net = mem_zalloc(sizeof(*net));
	if (net == NULL)
		return fail(error, WL_ERR_MEMORY, "no memory for the network");
	net->callbacks = options->callbacks;
	net->ws = options->ws;
	net->memory_max = NET_MEMORY_BYTES_MAX;
	net->listen_fd = -1;
	uint32_t loops = options->loops != 0 ? options->loops : loops_default();
	monitor_init(&net->monitor);
	files_limit_raise();
	enum wl_err err = net_listen(options->listen_address, &net->listen_fd, &net->port, error);
	while (err == WL_OK && net->loop_count < loops && net->loop_count < NET_LOOPS_MAX) {
		err = net_loop_create(net, net->loop_count, &net->loops[net->loop_count], error);
		if (err == WL_OK)
			net->loop_count++;
	}
	if (err != WL_OK) {
		net_destroy(net);
		return err;
	}
	net_listen_arm(net->loops[0], true);
	*out = net;
	return WL_OK;
}

enum wl_err net_start(struct net *net, struct error *error)
{
	ASSERT(!net->started);
	monitor_lock(&net->monitor);
	bool ok = thread_start(&net->watch_thread, "worldline-watch", 0, watch_main, net);
	net->watching = ok;
	net->started = ok;
	uint32_t given = 0;
	while (ok && given < net->loop_count) {
		ok = runner_give(net, net->loops[given], NULL, 0);
		given += ok;
	}
	/* Loops that nobody runs count as finished, so that net_stop ends the others. */
	for (uint32_t i = given; i < net->loop_count; i++) {
		net->loops[i]->finished = true;
		net->finished_count++;
	}
	monitor_unlock(&net->monitor);
	if (ok)
		return WL_OK;
	net_stop(net, 1001, "", 0);
	return fail(error, WL_ERR_MEMORY, "cannot start the network's threads");
}

/* ---- stop ---- */
static void stop_run(struct net_loop *loop, struct net_task *task)
{
	(void)task;
	net_loop_stop(loop);
}

static void listen_close(struct net *net)
{
	if (net->listen_fd >= 0)
		close(net->listen_fd);
	net->listen_fd = -1;
}

void net_stop(struct net *net, uint16_t code, const char *reason, uint32_t timeout_ms)
{
	if (!net->started || net->stopped)
		return;
	net->stopped = true;
	net->stop_code = code;
	net->stop_timeout_ms = timeout_ms;
	struct str text = str_of(reason);
	uint8_t payload[WS_CONTROL_BYTES_MAX];
	size_t len = ws_close_write(payload, code, text) - 2;
	memcpy(net->stop_reason, payload + 2, len);
	for (uint32_t i = 0; i < net->loop_count; i++) {
		struct net_loop *loop = net->loops[i];
		loop->stop_task.fn = stop_run;
		net_loop_post(loop, &loop->stop_task);
	}
	monitor_lock(&net->monitor);
	while (net->finished_count < net->loop_count)
		monitor_wait(&net->monitor);
	net->exiting = true;
	monitor_wake_all(&net->monitor);
	monitor_unlock(&net->monitor);
	if (net->watching)
		thread_join(net->watch_thread);
	for (struct runner *runner = net->runners; runner != NULL;) {
		struct runner *next = runner->next;
		thread_join(runner->thread);
		mem_free(runner);
		runner = next;
	}
	net->runners = net->idle_runners = NULL;
	for (uint32_t i = 0; i < net->loop_count; i++)
		net->loops[i]->runner = NULL;
	listen_close(net);
}

void net_destroy(struct net *net)
{
	if (net == NULL)
		return;
	net_stop(net, 1001, "", 0);
	/* Tasks of one loop may post to another: all run before any is freed. */
	for (uint32_t i = 0; i < net->loop_count; i++)
		net_tasks_run(net->loops[i]);
	for (uint32_t i = 0; i < net->loop_count; i++)
		net_loop_destroy(net->loops[i]);
	listen_close(net);
	monitor_deinit(&net->monitor);
	mem_free(net);
}

/* ---- looking at it ---- */
uint16_t net_port(const struct net *net)
{
	return net->port;
}

uint32_t net_loop_count(const struct net *net)
{
	return net->loop_count;
}

struct net_loop *net_loop_at(struct net *net, uint32_t index)
{
	ASSERT(index < net->loop_count);
	return net->loops[index];
}

static uint64_t counter_read(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit((_Atomic uint64_t *)counter, memory_order_relaxed);
}

struct net_stats net_stats(const struct net *net)
{
	struct net_stats stats = { 0 };
	for (uint32_t i = 0; i < net->loop_count; i++) {
		const struct net_loop *loop = net->loops[i];
		stats.connections += counter_read(&loop->connections);
		stats.bytes_in += counter_read(&loop->bytes_in);
		stats.bytes_out += counter_read(&loop->bytes_out);
		stats.messages_in += counter_read(&loop->messages_in);
		stats.messages_out += counter_read(&loop->messages_out);
		stats.cut_off += counter_read(&loop->cut_off);
	}
	return stats;
}
