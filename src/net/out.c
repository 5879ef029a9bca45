/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The output queue of a connection and its flush.
 *
 * A queue is a FIFO of nodes, own bytes, bytes of others or ranges of the ring
 * that is followed, and behind the last node comes, unwritten, the rest of the ring:
 * [ring_at, ring->tail). So a ring's message costs nothing per follower, and
 * own bytes put the range before them first (out_range_push) to keep order.
 *
 * Invariants
 *   1. Every ring node of a connection refers to the ring it follows now, in rising, disjoint ranges below ring_at.
 *   2. out_held counts the memory of all nodes; own bytes never pass NET_OUTPUT_BYTES_MAX, but for one message that
 *      found the queue nearly empty. A whole HTTP answer is one node that its maker has allocated already, and is let
 *      through.
 *   3. blocked means EPOLLOUT is asked for (or will be by the end of this call), and nothing is sent until it comes.
 *   4. Nodes from the pool go back to it; big ones to the heap. A queue that is empty holds no memory.
 */
#include "net/net_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { POOL_SMALL_MAX = 1024, POOL_LARGE_MAX = 128, POOL_RANGE_MAX = 1024, OUT_SEND_MAX = 1 << 20 };

struct out_node *out_node_alloc(size_t data_bytes)
{
	size_t size;
	if (data_bytes > UINT32_MAX - sizeof(struct out_node) || !size_add(sizeof(struct out_node), data_bytes, &size))
		return NULL;
	struct out_node *node = mem_alloc(size);
	if (node != NULL)
		*node = (struct out_node){ .cap = (uint32_t)data_bytes, .held = (uint32_t)size };
	return node;
}

static void pool_put(struct out_node **list, uint32_t *count, uint32_t max, struct out_node *node)
{
	if (*count >= max) {
		mem_free(node);
		return;
	}
	node->next = *list;
	*list = node;
	(*count)++;
}

void out_node_free(struct net_loop *loop, struct out_node *node)
{
	struct out_pool *pool = loop != NULL ? &loop->pool : NULL;
	if (node->outside != NULL) {
		struct out_outside *outside = (void *)node->data;
		outside->release(outside->arg);
		mem_free(node);
		return;
	}
	if (pool != NULL && node->held == OUT_SMALL)
		pool_put(&pool->small, &pool->small_count, POOL_SMALL_MAX, node);
	else if (pool != NULL && node->held == OUT_LARGE)
		pool_put(&pool->large, &pool->large_count, POOL_LARGE_MAX, node);
	else if (pool != NULL && node->held == sizeof(struct out_node))
		pool_put(&pool->range, &pool->range_count, POOL_RANGE_MAX, node);
	else
		mem_free(node);
}

static void pool_trim(struct out_node **list, uint32_t *count, uint32_t keep)
{
	while (*count > keep) {
		struct out_node *node = *list;
		*list = node->next;
		(*count)--;
		mem_free(node);
	}
}

void out_pool_trim(struct net_loop *loop, uint32_t keep)
{
	pool_trim(&loop->pool.small, &loop->pool.small_count, keep);
	pool_trim(&loop->pool.large, &loop->pool.large_count, keep / 4);
	pool_trim(&loop->pool.range, &loop->pool.range_count, keep);
}

static struct out_node *pool_take(struct out_node **list, uint32_t *count, size_t size)
{
	struct out_node *node = *list;
	if (node == NULL)
		return out_node_alloc(size - sizeof(*node));
	*list = node->next;
	(*count)--;
	*node = (struct out_node){ .cap = (uint32_t)(size - sizeof(*node)), .held = (uint32_t)size };
	return node;
}

/* Small at first, large when the queue grows: an answer or two are the rule. */
static struct out_node *node_for(struct net_loop *loop, const struct conn *conn, size_t len)
{
	struct out_pool *pool = &loop->pool;
	bool first = conn->out_last == NULL || conn->out_last->ring != NULL;
	if (first && len <= OUT_SMALL - sizeof(struct out_node))
		return pool_take(&pool->small, &pool->small_count, OUT_SMALL);
	if (len <= OUT_LARGE - sizeof(struct out_node))
		return pool_take(&pool->large, &pool->large_count, OUT_LARGE);
	return out_node_alloc(len);
}

bool out_empty(const struct conn *conn)
{
	return conn->out_first == NULL && (conn->ring == NULL || conn->ring_at == conn->ring->tail);
}

void out_dirty(struct net_loop *loop, struct conn *conn)
{
	if (conn->dirty)
		return;
	conn->dirty = true;
	conn->dirty_next = loop->dirty;
	loop->dirty = conn;
}

static void cut_off(struct net_loop *loop, struct conn *conn)
{
	counter_add(&loop->cut_off, 1);
	conn_kill(loop, conn);
}

static void link_node(struct net_loop *loop, struct conn *conn, struct out_node *node)
{
	if (conn->out_first == NULL) {
		conn->out_first = node;
		if (!conn->blocked)
			conn->last_out_ms = loop->now_ms;
	} else {
		conn->out_last->next = node;
	}
	node->next = NULL;
	conn->out_last = node;
	conn->out_held += node->held;
	out_dirty(loop, conn);
}

bool out_range_push(struct net_loop *loop, struct conn *conn)
{
	struct net_ring *ring = conn->ring;
	if (ring == NULL || conn->ring_at == ring->tail)
		return true;
	struct out_node *last = conn->out_last;
	if (last != NULL && last->ring != NULL && last->end == conn->ring_at) {
		last->end = conn->ring_at = ring->tail;
		return true;
	}
	struct out_node *node = pool_take(&loop->pool.range, &loop->pool.range_count, sizeof(*node));
	if (node == NULL) {
		cut_off(loop, conn);
		return false;
	}
	node->ring = ring;
	node->begin = conn->ring_at;
	node->end = conn->ring_at = ring->tail;
	link_node(loop, conn, node);
	return true;
}

uint8_t *out_reserve(struct net_loop *loop, struct conn *conn, size_t len)
{
	if (conn->fd < 0 || !out_range_push(loop, conn))
		return NULL;
	struct out_node *last = conn->out_last;
	if (last != NULL && last->ring == NULL && last->outside == NULL && last->cap - last->end >= len) {
		uint8_t *at = last->data + last->end;
		last->end += len;
		out_dirty(loop, conn);
		return at;
	}
	/* A message may be larger than the queue, or a large table could never be sent; but nothing large before it. */
	size_t held = conn->out_held - conn->out_large;
	size_t max = conn->out_held <= OUT_LARGE ? NET_OUTPUT_MESSAGE_BYTES_MAX : NET_OUTPUT_BYTES_MAX;
	struct out_node *node = held <= max && len <= max - held ? node_for(loop, conn, len) : NULL;
	if (node == NULL) {
		cut_off(loop, conn);
		return NULL;
	}
	if (node->held > NET_OUTPUT_BYTES_MAX)
		conn->out_large = node->held;
	node->end = len;
	link_node(loop, conn, node);
	return node->data;
}

void out_outside_push(struct net_loop *loop, struct conn *conn, const uint8_t *data, size_t len,
	void (*release)(void *arg), void *arg)
{
	struct out_node *node = NULL;
	if (len > 0 && conn->fd >= 0 && out_range_push(loop, conn)) {
		node = out_node_alloc(sizeof(struct out_outside));
		if (node == NULL)
			cut_off(loop, conn);
	}
	if (node == NULL) {
		release(arg);
		return;
	}
	struct out_outside *outside = (void *)node->data;
	*outside = (struct out_outside){ release, arg };
	node->outside = data;
	node->end = len;
	link_node(loop, conn, node);
}

void out_node_push(struct net_loop *loop, struct conn *conn, struct out_node *node)
{
	if (conn->fd < 0 || !out_range_push(loop, conn))
		out_node_free(loop, node);
	else
		link_node(loop, conn, node);
}

/* ---- flush ---- */
static const uint8_t *node_bytes(const struct out_node *node)
{
	if (node->outside != NULL)
		return node->outside + node->begin;
	return node->ring != NULL ? node->ring->data + (node->begin - node->ring->base) : node->data + node->begin;
}

static ssize_t send_some(struct net_loop *loop, struct conn *conn, size_t *asked)
{
	struct iovec iov[NET_IOV_MAX];
	size_t count = 0, bytes = 0;
	for (const struct out_node *node = conn->out_first; node != NULL && count < NET_IOV_MAX && bytes < OUT_SEND_MAX;
		node = node->next) {
		iov[count] = (struct iovec){ (void *)node_bytes(node), node->end - node->begin };
		bytes += iov[count++].iov_len;
	}
	const struct net_ring *ring = conn->ring;
	if (ring != NULL && conn->ring_at < ring->tail && count < NET_IOV_MAX && bytes < OUT_SEND_MAX) {
		iov[count] = (struct iovec){ ring->data + (conn->ring_at - ring->base), ring->tail - conn->ring_at };
		bytes += iov[count++].iov_len;
	}
	*asked = bytes;
	counter_add(&loop->syscalls, 1);
	if (count == 1)
		return send(conn->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = count };
	return sendmsg(conn->fd, &message, MSG_NOSIGNAL);
}

static void advance(struct net_loop *loop, struct conn *conn, size_t sent)
{
	struct out_node *node;
	while ((node = conn->out_first) != NULL) {
		size_t here = size_min(sent, node->end - node->begin);
		node->begin += here;
		sent -= here;
		if (node->begin < node->end)
			return;
		conn->out_first = node->next;
		conn->out_held -= node->held;
		if (node->held == conn->out_large)
			conn->out_large = 0;
		out_node_free(loop, node);
	}
	conn->out_last = NULL;
	conn->ring_at += sent;
}

void out_flush(struct net_loop *loop, struct conn *conn)
{
	if (conn->fd < 0 || conn->blocked)
		return;
	while (!out_empty(conn)) {
		size_t asked = 0;
		ssize_t sent = send_some(loop, conn, &asked);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN) {
			conn_kill(loop, conn);
			return;
		}
		if (sent > 0) {
			conn->last_out_ms = loop->now_ms;
			counter_add(&loop->bytes_out, (uint64_t)sent);
			advance(loop, conn, (size_t)sent);
			if (conn->phase == CONN_STREAM)
				answer_stream_progress(conn);
		}
		if (sent < (ssize_t)asked) { /* the socket is full: no need to hear it twice */
			conn->blocked = true;
			if (conn_count(loop, conn))
				conn_interest(loop, conn);
			return;
		}
	}
	if (conn->counted > 0)
		conn_count(loop, conn); /* shrinks */
	conn_interest(loop, conn);
	if (conn->fd >= 0)
		conn_output_done(loop, conn);
}

void out_flush_all(struct net_loop *loop)
{
	struct conn *conn = loop->dirty;
	loop->dirty = NULL;
	while (conn != NULL) {
		struct conn *next = conn->dirty_next;
		conn->dirty = false;
		out_flush(loop, conn);
		conn = next;
	}
	struct net_ring *ring = loop->dirty_rings;
	loop->dirty_rings = NULL;
	while (ring != NULL) {
		struct net_ring *next = ring->dirty_next;
		ring->dirty = false;
		for (struct conn *follower = ring->followers; follower != NULL;) {
			struct conn *after = follower->ring_next; /* a failed send takes it out of the list */
			if (!follower->blocked && follower->ring_at != ring->tail)
				out_flush(loop, follower);
			follower = after;
		}
		ring_flushed(ring);
		ring = next;
	}
}

void out_clear(struct net_loop *loop, struct conn *conn)
{
	struct out_node *node;
	while ((node = conn->out_first) != NULL) {
		conn->out_first = node->next;
		out_node_free(loop, node);
	}
	conn->out_last = NULL;
	conn->out_held = conn->out_large = 0;
	conn->blocked = false;
}
