/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop's round, its timers and its inbox.
 *
 * A round: wait, read every ready socket (bounded bytes each), look again at
 * kept input, timers, reap, tasks, `round`, tasks again (what the round itself
 * posted: answers), flush. Output is gathered and leaves once per connection.
 *
 * Invariants
 *   1. A slot is reused only after a reap, and reaping comes after all events of a wait: an event of this wait
 *      never reaches a younger connection.
 *   2. `closed` and `message` are never called from inside one of our public functions, only from the round.
 *   3. The loop is lent only where no local variable holds loop state: in tasks, `round` and `tick`.
 *   4. Sleeping (below) loses no task.
 *
 * Sleep and wake. Every change of `sleeping` is an acq_rel exchange, so they form one chain in which each sees all that
 * came before the earlier ones. The loop exchanges true in, then looks at the inbox, then waits. A poster pushes, then
 * exchanges false in. If the poster's exchange is the later one it reads true, and writes the eventfd; if it is the
 * earlier one, the loop's look at the inbox happens after the push and sees it. Only the push that found the inbox
 * empty does so: of any later push before the loop takes all, that first one's wake (or the loop's look) serves.
 * The eventfd is edge-triggered: every write is a new edge, and nobody needs to read it.
 */
#include "net/net_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TICK_MS = 1000, POOL_KEEP = 64 };

static uint64_t clock_ms(void)
{
	return clock_mono_nanos() / 1000000u;
}

enum wl_err net_loop_create(struct net *net, uint32_t index, struct net_loop **out, struct error *error)
{
	struct net_loop *loop = mem_zalloc(sizeof(*loop));
	if (loop == NULL)
		return fail(error, WL_ERR_MEMORY, "no memory for an event loop");
	loop->net = net;
	loop->index = index;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->in = mem_alloc(NET_IN_BYTES);
	loop->now_ms = clock_ms();
	loop->tick_ms = loop->now_ms + TICK_MS;
	loop->wheel_at = loop->now_ms / NET_WHEEL_MS;
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = NET_EVENT_WAKE };
	if (loop->in == NULL || loop->epoll_fd < 0 || loop->event_fd < 0
		|| epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->event_fd, &event) != 0) {
		enum wl_err err = fail_errno(error, WL_ERR_IO, "cannot make an event loop");
		net_loop_destroy(loop);
		return err;
	}
	*out = loop;
	return WL_OK;
}

/* After the loop has finished; nobody runs it. */
void net_loop_destroy(struct net_loop *loop)
{
	if (loop == NULL)
		return;
	net_tasks_run(loop);
	for (uint32_t i = 0; i < loop->slot_count; i++) {
		struct conn *conn = loop->slots[i];
		if (conn->phase != CONN_FREE && conn->request != NULL) {
			http_request_free(conn->request);
			conn->request = NULL;
		}
	}
	conn_reap(loop);
	while (loop->rings != NULL)
		net_ring_destroy(loop->rings);
	for (uint32_t i = 0; i < loop->slot_count; i++) {
		mem_free(loop->slots[i]->left);
		ws_parser_deinit(&loop->slots[i]->ws);
		mem_free(loop->slots[i]);
	}
	out_pool_trim(loop, 0);
	compressor_destroy(loop->compressor);
	mem_free(loop->slots);
	mem_free(loop->in);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->event_fd >= 0)
		close(loop->event_fd);
	mem_free(loop);
}

/* ---- the wheel: when to look at a connection again; early is harmless, the connection asks for more time ---- */
void net_wheel_remove(struct net_loop *loop, struct conn *conn)
{
	if (conn->wheel_slot == UINT32_MAX)
		return;
	*conn->wheel_prev = conn->wheel_next;
	if (conn->wheel_next != NULL)
		conn->wheel_next->wheel_prev = conn->wheel_prev;
	uint32_t slot = conn->wheel_slot;
	if (loop->wheel[slot] == NULL)
		loop->wheel_used[slot / 64] &= ~(1ull << (slot % 64));
	conn->wheel_slot = UINT32_MAX;
}

void net_wheel_put(struct net_loop *loop, struct conn *conn, uint64_t due_ms)
{
	net_wheel_remove(loop, conn);
	if (due_ms == UINT64_MAX)
		return;
	uint64_t at = (due_ms + NET_WHEEL_MS - 1) / NET_WHEEL_MS;
	if (at <= loop->wheel_at)
		at = loop->wheel_at + 1;
	if (at > loop->wheel_at + NET_WHEEL_SLOTS - 1)
		at = loop->wheel_at + NET_WHEEL_SLOTS - 1;
	uint32_t slot = (uint32_t)(at % NET_WHEEL_SLOTS);
	conn->wheel_slot = slot;
	conn->wheel_next = loop->wheel[slot];
	conn->wheel_prev = &loop->wheel[slot];
	if (conn->wheel_next != NULL)
		conn->wheel_next->wheel_prev = &conn->wheel_next;
	loop->wheel[slot] = conn;
	loop->wheel_used[slot / 64] |= 1ull << (slot % 64);
}

void net_wheel_turn(struct net_loop *loop)
{
	uint64_t now = loop->now_ms / NET_WHEEL_MS;
	if (now > loop->wheel_at + NET_WHEEL_SLOTS)
		loop->wheel_at = now - NET_WHEEL_SLOTS;
	while (loop->wheel_at < now) {
		uint32_t slot = (uint32_t)(++loop->wheel_at % NET_WHEEL_SLOTS);
		struct conn *conn;
		while ((conn = loop->wheel[slot]) != NULL) {
			net_wheel_remove(loop, conn);
			conn_timer(loop, conn);
		}
	}
}

/* Milliseconds until the next slot in use; -1: none. */
static int wheel_wait(const struct net_loop *loop)
{
	for (uint32_t ahead = 1; ahead < NET_WHEEL_SLOTS; ahead++) {
		uint32_t slot = (uint32_t)((loop->wheel_at + ahead) % NET_WHEEL_SLOTS);
		uint64_t word = loop->wheel_used[slot / 64] >> (slot % 64);
		if (word == 0) {
			ahead += 63 - slot % 64;
			continue;
		}
		ahead += (uint32_t)__builtin_ctzll(word);
		if (ahead >= NET_WHEEL_SLOTS)
			break;
		uint64_t due = (loop->wheel_at + ahead) * NET_WHEEL_MS;
		return due > loop->now_ms ? (int)(due - loop->now_ms) : 0;
	}
	return -1;
}

/* ---- the inbox ---- */
void net_loop_post(struct net_loop *loop, struct net_task *task)
{
	if (!mpsc_push(&loop->inbox, &task->node))
		return;
	if (atomic_exchange_explicit(&loop->sleeping, false, memory_order_acq_rel)) {
		uint64_t one = 1;
		ssize_t n = write(loop->event_fd, &one, sizeof(one));
		(void)n; /* fails only when the counter is full, and then it is readable anyhow */
	}
}

static bool inbox_empty(struct net_loop *loop)
{
	return atomic_load_explicit(&loop->inbox.head, memory_order_acquire) == NULL;
}

/* Runs what is there now. Each may lend the loop and lose it: what is left stays in loop->tasks. */
static uint32_t tasks_run(struct net_loop *loop, const struct runner *me)
{
	uint32_t count = 0;
	for (;;) {
		if (loop->tasks == NULL) {
			if (count > 0 || inbox_empty(loop))
				return count;
			loop->tasks = mpsc_take_all(&loop->inbox);
		}
		struct net_task *task = (struct net_task *)loop->tasks;
		_Static_assert(offsetof(struct net_task, node) == 0, "a node is its task");
		loop->tasks = task->node.next;
		task->fn(loop, task);
		count++;
		if (me != NULL && net_runner_lost(me))
			return count;
	}
}

void net_tasks_run(struct net_loop *loop)
{
	while (tasks_run(loop, NULL) > 0) {
	}
}

/* ---- the round ---- */
static int wait_ms(struct net_loop *loop)
{
	if (loop->again_round || loop->again != NULL || loop->reap != NULL || loop->tasks != NULL || loop->finished)
		return 0;
	int wait = wheel_wait(loop);
	if (loop->net->callbacks.tick != NULL || loop->stopping || (loop->index == 0 && loop->net->accept_off)) {
		uint64_t until = loop->stopping ? size_min(loop->tick_ms, loop->stop_deadline_ms) : loop->tick_ms;
		int tick = until > loop->now_ms ? (int)(until - loop->now_ms) : 0;
		if (wait < 0 || tick < wait)
			wait = tick;
	}
	return wait;
}

static int wait_events(struct net_loop *loop, struct epoll_event *events)
{
	int wait = wait_ms(loop);
	if (wait != 0) {
		atomic_exchange_explicit(&loop->sleeping, true, memory_order_acq_rel);
		int n = epoll_wait(loop->epoll_fd, events, NET_EVENTS_MAX, inbox_empty(loop) ? wait : 0);
		atomic_exchange_explicit(&loop->sleeping, false, memory_order_acq_rel);
		return n;
	}
	return epoll_wait(loop->epoll_fd, events, NET_EVENTS_MAX, 0);
}

static void wait_and_read(struct net_loop *loop)
{
	struct epoll_event events[NET_EVENTS_MAX];
	int n = wait_events(loop, events);
	counter_add(&loop->syscalls, 1);
	loop->now_ms = clock_ms();
	for (int i = 0; i < n; i++) {
		uint64_t tag = events[i].data.u64;
		if (tag == NET_EVENT_LISTEN)
			net_accept(loop);
		else if (tag != NET_EVENT_WAKE)
			conn_event(loop, tag, events[i].events);
	}
}

static void tick(struct net_loop *loop)
{
	if (loop->now_ms < loop->tick_ms)
		return;
	loop->tick_ms = loop->now_ms + TICK_MS;
	conn_relieve(loop);
	ring_idle(loop);
	out_pool_trim(loop, POOL_KEEP);
	if (loop->compressor != NULL)
		compressor_trim(loop->compressor);
	if (loop->index == 0 && loop->net->accept_off && !loop->stopping)
		net_listen_arm(loop, true);
	if (loop->net->callbacks.tick != NULL)
		loop->net->callbacks.tick(loop->net->callbacks.context, loop);
}

/* What may lend. False: the loop was lost, touch nothing. */
static bool round_lendable(struct net_loop *loop, const struct runner *me)
{
	const struct net_callbacks *callbacks = &loop->net->callbacks;
	/* Should a lend below lose the loop, its next owner must call `round` again without waiting. */
	loop->again_round = true;
	tasks_run(loop, me);
	if (net_runner_lost(me))
		return false;
	bool again = callbacks->round(callbacks->context, loop);
	if (net_runner_lost(me))
		return false;
	uint32_t count = tasks_run(loop, me);
	if (net_runner_lost(me))
		return false;
	if (count > 0 && !again)
		again = callbacks->round(callbacks->context, loop);
	if (net_runner_lost(me))
		return false;
	tick(loop);
	if (net_runner_lost(me))
		return false;
	loop->again_round = again;
	return true;
}

static void stop_check(struct net_loop *loop)
{
	if (!loop->stopping || loop->finished)
		return;
	bool late = loop->now_ms >= loop->stop_deadline_ms;
	if (loop->open_count > 0 && !late)
		return;
	for (uint32_t i = 0; i < loop->slot_count; i++) {
		struct conn *conn = loop->slots[i];
		if (conn->phase != CONN_FREE)
			conn_kill(loop, conn);
	}
	conn_reap(loop);
	loop->finished = true;
}

void net_loop_run(struct net_loop *loop, struct runner *me)
{
	while (!loop->finished) {
		wait_and_read(loop);
		conn_run_again(loop);
		net_wheel_turn(loop);
		conn_reap(loop);
		loop->may_lend = true;
		if (!round_lendable(loop, me))
			return;
		loop->may_lend = false;
		out_flush_all(loop);
		stop_check(loop);
	}
	net_loop_finished(loop);
}

void net_loop_stop(struct net_loop *loop)
{
	struct net *net = loop->net;
	loop->stopping = true;
	loop->stop_deadline_ms = loop->now_ms + net->stop_timeout_ms;
	if (loop->index == 0)
		net_listen_arm(loop, false);
	for (uint32_t i = 0; i < loop->slot_count; i++) {
		struct conn *conn = loop->slots[i];
		if (conn->phase == CONN_WS_OPEN)
			net_ws_close(loop, conn_handle(loop, conn), net->stop_code, str_of(net->stop_reason));
		else if (conn->phase == CONN_HEAD)
			conn_finish(loop, conn);
		else if (conn->phase == CONN_BODY)
			conn_kill(loop, conn);
		else if (conn->phase == CONN_STREAM) /* its writer is told, and ends it */
			atomic_store_explicit(&conn->request->gone, true, memory_order_relaxed);
	}
}

uint32_t net_loop_index(const struct net_loop *loop)
{
	return loop->index;
}
