/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: its slot, reading, the way it ends.
 *
 *            ┌──────────── answered, keep-alive ───────────┐
 *   HEAD ──▶ BODY ──▶ WAIT ──▶ STREAM ─────────────────────┤
 *                      │ upgrade     │ hang-up: GONE       ├──▶ LINGER ──▶ DEAD ──▶ FREE
 *                      ▼             ▼ until answered      │
 *                   WS_OPEN ──▶ WS_CLOSING ────────────────┘
 *
 * Every state but FREE may also fall to DEAD at once (conn_kill).
 *
 * Invariants
 *   1. phase DEAD, GONE or FREE means fd == -1, no output, no ring, in no wheel.
 *   2. A request is freed exactly once: by its answer if it reached the application, else by the kill.
 *   3. The slot (and with it conn->request->conn) stays while the application holds the request.
 *   4. `upgraded` turns false exactly when `closed` is called.
 *   5. net->memory is the sum of `counted`, which follows what a connection holds at the end of each read and flush.
 *   6. left_len > 0 while input is not held (input_held) means an incomplete head or frame.
 */
#include "net/net_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SLOT_BITS = 24, GENERATION_SHIFT = 32 };

net_conn conn_handle(const struct net_loop *loop, const struct conn *conn)
{
	return (net_conn)conn->generation << GENERATION_SHIFT | (net_conn)loop->index << SLOT_BITS | conn->slot;
}

uint32_t net_conn_loop(net_conn conn)
{
	return (uint32_t)(conn >> SLOT_BITS) & 0xff;
}

static struct conn *conn_find(const struct net_loop *loop, net_conn handle)
{
	uint32_t slot = (uint32_t)handle & ((1u << SLOT_BITS) - 1);
	if (slot >= loop->slot_count || net_conn_loop(handle) != loop->index)
		return NULL;
	struct conn *conn = loop->slots[slot];
	bool same = conn->generation == (uint32_t)(handle >> GENERATION_SHIFT);
	return same && conn->phase != CONN_FREE ? conn : NULL;
}

struct conn *conn_of(struct net_loop *loop, net_conn handle)
{
	net_loop_check(loop);
	struct conn *conn = conn_find(loop, handle);
	if (conn == NULL)
		return NULL;
	/* The application upgraded it a moment ago: the task is on its way, but the handle is good now. */
	if (conn->phase == CONN_WAIT && conn->request != NULL
		&& atomic_load_explicit(&conn->request->upgrading, memory_order_acquire))
		answer_upgrade_apply(loop, conn);
	return conn->phase == CONN_WS_OPEN || conn->phase == CONN_WS_CLOSING ? conn : NULL;
}

static struct conn *slot_take(struct net_loop *loop)
{
	struct conn *conn = loop->free_conns;
	if (conn != NULL) {
		loop->free_conns = conn->free_next;
		return conn;
	}
	if (loop->slot_count == loop->slot_cap) {
		uint32_t cap = loop->slot_cap == 0 ? 64 : loop->slot_cap * 2;
		struct conn **slots = mem_realloc(loop->slots, (size_t)cap * sizeof(*slots));
		if (slots == NULL)
			return NULL;
		loop->slots = slots;
		loop->slot_cap = cap;
	}
	conn = mem_zalloc(sizeof(*conn));
	if (conn == NULL)
		return NULL;
	conn->slot = loop->slot_count;
	loop->slots[loop->slot_count++] = conn;
	return conn;
}

static void socket_close(struct net_loop *loop, struct conn *conn)
{
	close(conn->fd); /* leaves the epoll set by itself: nobody else has this description */
	conn->fd = -1;
	counter_add(&loop->syscalls, 1);
	counter_add(&loop->connections, (uint64_t)-1);
	atomic_fetch_sub_explicit(&loop->net->connection_count, 1, memory_order_relaxed);
}

struct conn *conn_open(struct net_loop *loop, int fd)
{
	struct conn *conn = loop->stopping ? NULL : slot_take(loop);
	if (conn == NULL) {
		close(fd);
		atomic_fetch_sub_explicit(&loop->net->connection_count, 1, memory_order_relaxed);
		return NULL;
	}
	uint32_t slot = conn->slot, generation = conn->generation + 1;
	*conn = (struct conn){ .slot = slot, .generation = generation == 0 ? 1 : generation, .fd = fd,
		.phase = CONN_HEAD, .wheel_slot = UINT32_MAX, .interest = EPOLLIN, .last_in_ms = loop->now_ms,
		.last_out_ms = loop->now_ms, .deadline_ms = loop->now_ms + NET_HEAD_TIMEOUT_MS };
	loop->open_count++;
	counter_add(&loop->connections, 1);
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = conn_handle(loop, conn) };
	counter_add(&loop->syscalls, 2);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
		conn_kill(loop, conn);
		return NULL;
	}
	conn_timer_set(loop, conn);
	return conn;
}

/* Input waits, raw and bounded: behind a request that is not answered, or behind answers that are not read. */
static bool input_held(const struct conn *conn)
{
	return conn->paused || conn->phase == CONN_WAIT || conn->phase == CONN_STREAM
		|| (conn->phase == CONN_HEAD && conn->blocked);
}

void conn_interest(struct net_loop *loop, struct conn *conn)
{
	if (conn->fd < 0)
		return;
	bool read = !conn->eof && !conn->paused;
	if (input_held(conn))
		read = read && conn->left_len < NET_HELD_BYTES_MAX;
	uint32_t interest = (read ? (uint32_t)EPOLLIN : 0) | (conn->blocked ? (uint32_t)EPOLLOUT : 0);
	if (interest == conn->interest)
		return;
	struct epoll_event event = { .events = interest, .data.u64 = conn_handle(loop, conn) };
	counter_add(&loop->syscalls, 1);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) != 0)
		conn_kill(loop, conn);
	else
		conn->interest = interest;
}

/* ---- the end ---- */
static void reap_push(struct net_loop *loop, struct conn *conn)
{
	if (conn->in_reap)
		return;
	conn->in_reap = true;
	conn->reap_next = loop->reap;
	loop->reap = conn;
}

void conn_notify_closed(struct net_loop *loop, struct conn *conn)
{
	if (conn->upgraded)
		reap_push(loop, conn);
}

void conn_kill(struct net_loop *loop, struct conn *conn)
{
	if (conn->phase == CONN_DEAD || conn->phase == CONN_GONE || conn->phase == CONN_FREE)
		return;
	socket_close(loop, conn);
	ring_unfollow(loop, conn, false);
	out_clear(loop, conn);
	net_wheel_remove(loop, conn);
	if (conn->phase == CONN_WAIT || conn->phase == CONN_STREAM) {
		atomic_store_explicit(&conn->request->gone, true, memory_order_relaxed);
		conn->phase = CONN_GONE;
		return;
	}
	if (conn->request != NULL) { /* its body was still coming: the application has not seen it */
		http_request_free(conn->request);
		conn->request = NULL;
	}
	conn_dead(loop, conn);
}

static void counted_set(struct net_loop *loop, struct conn *conn, size_t counted)
{
	atomic_fetch_add_explicit(&loop->net->memory, (uint64_t)counted - conn->counted, memory_order_relaxed);
	conn->counted = counted;
}

bool conn_count(struct net_loop *loop, struct conn *conn)
{
	size_t held = conn->left_cap + conn->ws.message.cap + (conn->blocked ? conn->out_held : 0)
		+ (conn->request != NULL ? conn->request->body.cap : 0);
	if (held < NET_COUNTED_BYTES_MIN)
		held = 0;
	if (LIKELY(held == conn->counted))
		return true;
	bool grew = held > conn->counted;
	counted_set(loop, conn, held);
	if (grew)
		conn_relieve(loop);
	return conn->fd >= 0;
}

void conn_relieve(struct net_loop *loop)
{
	struct net *net = loop->net;
	if (LIKELY(atomic_load_explicit(&net->memory, memory_order_relaxed) <= net->memory_max))
		return;
	struct conn *most = NULL;
	for (uint32_t i = 0; i < loop->slot_count; i++) {
		struct conn *conn = loop->slots[i];
		if (conn->fd >= 0 && conn->counted >= NET_HOG_BYTES_MIN && (most == NULL || conn->counted > most->counted))
			most = conn;
	}
	if (most == NULL) /* they are on other loops, which look at their next tick */
		return;
	counter_add(&loop->cut_off, 1);
	conn_kill(loop, most);
}

void conn_dead(struct net_loop *loop, struct conn *conn)
{
	counted_set(loop, conn, 0);
	DEBUG_ASSERT(conn->fd == -1 && conn->request == NULL);
	conn->phase = CONN_DEAD;
	reap_push(loop, conn);
}

void conn_finish(struct net_loop *loop, struct conn *conn)
{
	bool websocket = conn->phase == CONN_WS_OPEN || conn->phase == CONN_WS_CLOSING;
	conn->phase = CONN_LINGER;
	conn->paused = false;
	mem_free(conn->left);
	conn->left = NULL;
	conn->left_len = conn->left_cap = 0;
	conn_count(loop, conn); /* shrinks */
	conn->deadline_ms = loop->now_ms + (websocket ? loop->net->ws.close_timeout_ms : NET_LINGER_MS);
	if (websocket)
		conn_notify_closed(loop, conn);
	conn_interest(loop, conn);
	if (conn->phase != CONN_LINGER)
		return;
	if (out_empty(conn))
		conn_output_done(loop, conn);
	else
		conn_timer_set(loop, conn);
}

void conn_output_done(struct net_loop *loop, struct conn *conn)
{
	if (conn->phase == CONN_STREAM) {
		answer_stream_progress(conn);
	} else if (conn->phase == CONN_HEAD && (conn->left_len > 0 || conn->eof)) {
		conn_again(loop, conn);
	} else if (conn->phase == CONN_LINGER && !conn->shut) {
		if (conn->eof) {
			conn_kill(loop, conn);
			return;
		}
		/* Closing with unread input would send a reset that can overtake our last bytes: end our side, let the
		 * other side end, for a while. */
		conn->shut = true;
		shutdown(conn->fd, SHUT_WR);
		counter_add(&loop->syscalls, 1);
		conn_timer_set(loop, conn);
	} else if (conn->phase == CONN_WS_CLOSING && conn->deadline_ms == UINT64_MAX) {
		conn->deadline_ms = loop->now_ms + loop->net->ws.close_timeout_ms;
		conn_timer_set(loop, conn);
	}
}

void conn_reap(struct net_loop *loop)
{
	struct conn *conn, *later = NULL;
	while ((conn = loop->reap) != NULL) {
		loop->reap = conn->reap_next;
		conn->in_reap = false;
		if (conn->upgraded) {
			conn->upgraded = false;
			const struct net_callbacks *callbacks = &loop->net->callbacks;
			callbacks->closed(callbacks->context, loop, conn_handle(loop, conn), conn->user);
			conn->user = NULL;
		}
		if (conn->phase != CONN_DEAD || conn->in_reap)
			continue;
		if (conn->dirty || conn->in_again) { /* still linked in a list of this round */
			conn->in_reap = true;
			conn->reap_next = later;
			later = conn;
			continue;
		}
		DEBUG_ASSERT(conn->fd == -1 && conn->out_first == NULL && conn->ring == NULL && !conn->dirty);
		mem_free(conn->left);
		conn->left = NULL;
		ws_parser_deinit(&conn->ws);
		conn->phase = CONN_FREE;
		conn->free_next = loop->free_conns;
		loop->free_conns = conn;
		loop->open_count--;
	}
	loop->reap = later;
}

/* ---- time ---- */
static uint64_t due_of(const struct net_loop *loop, const struct conn *conn)
{
	switch (conn->phase) {
	case CONN_HEAD: return conn->deadline_ms;
	case CONN_BODY: return conn->last_in_ms + NET_PROGRESS_MS;
	case CONN_WAIT:
	case CONN_STREAM: return out_empty(conn) ? loop->now_ms + NET_PROGRESS_MS + 1 : conn->last_out_ms + NET_PROGRESS_MS;
	case CONN_LINGER: return conn->shut ? conn->deadline_ms : conn->last_out_ms + NET_PROGRESS_MS;
	default: return UINT64_MAX;
	}
}

void conn_timer_set(struct net_loop *loop, struct conn *conn)
{
	if (conn->phase == CONN_WS_OPEN || conn->phase == CONN_WS_CLOSING)
		ws_timer(loop, conn);
	else
		net_wheel_put(loop, conn, due_of(loop, conn));
}

void conn_timer(struct net_loop *loop, struct conn *conn)
{
	if (conn->phase != CONN_WS_OPEN && conn->phase != CONN_WS_CLOSING && loop->now_ms >= due_of(loop, conn)) {
		conn_kill(loop, conn);
		return;
	}
	conn_timer_set(loop, conn);
}

/* ---- reading ---- */
static bool left_keep(struct conn *conn, const uint8_t *data, size_t len)
{
	if (len == 0) {
		mem_free(conn->left);
		conn->left = NULL;
		conn->left_len = conn->left_cap = 0;
		return true;
	}
	if (conn->left_cap < len) {
		size_t cap = align_up(size_max(len, 2 * (size_t)conn->left_cap), 64);
		mem_free(conn->left);
		conn->left_len = conn->left_cap = 0;
		conn->left = mem_alloc(cap);
		if (conn->left == NULL)
			return false;
		conn->left_cap = (uint32_t)cap;
	}
	memcpy(conn->left, data, len);
	conn->left_len = (uint32_t)len;
	return true;
}

/* `data` lies in the loop's buffer; what cannot be used yet is kept. */
static void process(struct net_loop *loop, struct conn *conn, uint8_t *data, size_t len)
{
	size_t used = len;
	if (input_held(conn))
		used = 0;
	else if (conn->phase == CONN_HEAD || conn->phase == CONN_BODY)
		used = http_feed(loop, conn, data, len);
	else if (conn->phase == CONN_WS_OPEN || conn->phase == CONN_WS_CLOSING)
		used = ws_feed(loop, conn, data, len);
	if (conn->phase == CONN_DEAD || conn->phase == CONN_GONE || conn->phase == CONN_LINGER)
		return;
	if (!left_keep(conn, data + used, len - used)) {
		conn_kill(loop, conn);
		return;
	}
	if (conn_count(loop, conn) && conn->left_len >= NET_HELD_BYTES_MAX)
		conn_interest(loop, conn);
}

static void ended(struct net_loop *loop, struct conn *conn)
{
	conn->eof = true;
	if (conn->phase == CONN_WAIT || conn->phase == CONN_STREAM) {
		/* It may be half a close: the answer still goes out. A stream's writer is told that nobody listens. */
		atomic_store_explicit(&conn->request->gone, true, memory_order_relaxed);
		conn_interest(loop, conn);
		return;
	}
	bool waiting = conn->phase == CONN_HEAD && (conn->in_again || input_held(conn)); /* whole requests are left */
	if (waiting || (conn->phase == CONN_LINGER && !conn->shut)) {
		conn_interest(loop, conn);
		return;
	}
	conn_kill(loop, conn);
}

static void readable(struct net_loop *loop, struct conn *conn)
{
	size_t have = conn->left_len;
	DEBUG_ASSERT(have + NET_READ_BYTES <= NET_IN_BYTES);
	ssize_t n = recv(conn->fd, loop->in + have, NET_READ_BYTES, 0);
	counter_add(&loop->syscalls, 1);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_kill(loop, conn);
		return;
	}
	if (n == 0) {
		ended(loop, conn);
		return;
	}
	conn->last_in_ms = loop->now_ms;
	counter_add(&loop->bytes_in, (uint64_t)n);
	if (conn->phase == CONN_LINGER)
		return;
	if (have > 0)
		memcpy(loop->in, conn->left, have);
	process(loop, conn, loop->in, have + (size_t)n);
}

void conn_event(struct net_loop *loop, net_conn handle, uint32_t events)
{
	struct conn *conn = conn_find(loop, handle);
	if (conn == NULL || conn->fd < 0)
		return;
	if ((events & EPOLLIN) != 0)
		readable(loop, conn);
	else if ((events & (EPOLLERR | EPOLLHUP)) != 0)
		conn_kill(loop, conn);
	if (conn->fd >= 0 && conn->blocked && (events & EPOLLOUT) != 0) {
		conn->blocked = false;
		out_flush(loop, conn);
	}
}

void conn_again(struct net_loop *loop, struct conn *conn)
{
	if (conn->in_again)
		return;
	conn->in_again = true;
	conn->again_next = loop->again;
	loop->again = conn;
}

void conn_run_again(struct net_loop *loop)
{
	struct conn *conn = loop->again;
	loop->again = NULL;
	while (conn != NULL) {
		struct conn *next = conn->again_next;
		conn->in_again = false;
		if (conn->fd >= 0 && conn->left_len > 0 && !input_held(conn) && conn->phase != CONN_LINGER) {
			size_t len = conn->left_len;
			memcpy(loop->in, conn->left, len);
			process(loop, conn, loop->in, len);
		}
		if (conn->eof && !input_held(conn) && (conn->phase == CONN_HEAD || conn->phase == CONN_BODY))
			conn_finish(loop, conn); /* half closed, and what it sent before has been answered */
		if (conn->fd >= 0)
			conn_interest(loop, conn);
		conn = next;
	}
}
