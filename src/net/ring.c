/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings: frames that many connections of one loop get, encoded (and
 * compressed) once. The bytes lie contiguous from position `base` to `tail`;
 * a follower is two positions in them (its nodes, and ring_at). When everybody
 * has sent everything, base jumps to tail and the buffer begins anew: the
 * common case moves nothing. When somebody lags, what all have sent is dropped
 * from the front as room is needed, or the buffer grows.
 *
 * Invariants
 *   1. base <= position of every follower <= ring_at <= tail; tail - base <= cap.
 *   2. Before a message is added no follower lags more than NET_RING_BYTES_MAX: who does is cut off. So the
 *      buffer holds at most that and one message (which may itself be larger), and has at most twice that room.
 *   3. Ring nodes exist only in queues of followers: who stops following takes what it has not sent as own bytes.
 */
#include "net/net_internal.h"

enum { RING_KEEP_BYTES = 64 << 10, RING_BYTES_MIN = 4096 };

struct net_ring *net_ring_create(struct net_loop *loop, bool text, enum net_compression compression)
{
	net_loop_check(loop);
	struct net_ring *ring = mem_zalloc(sizeof(*ring));
	if (ring == NULL)
		return NULL;
	ring->loop = loop;
	ring->text = text;
	ring->compression = (uint8_t)compression;
	ring->next = loop->rings;
	ring->prev = &loop->rings;
	if (ring->next != NULL)
		ring->next->prev = &ring->next;
	loop->rings = ring;
	return ring;
}

void net_ring_destroy(struct net_ring *ring)
{
	if (ring == NULL)
		return;
	struct net_loop *loop = ring->loop;
	net_loop_check(loop);
	while (ring->followers != NULL)
		ring_unfollow(loop, ring->followers, true);
	for (struct net_ring **at = &loop->dirty_rings; ring->dirty && *at != NULL; at = &(*at)->dirty_next) {
		if (*at == ring) {
			*at = ring->dirty_next;
			break;
		}
	}
	*ring->prev = ring->next;
	if (ring->next != NULL)
		ring->next->prev = ring->prev;
	mem_free(ring->data);
	mem_free(ring);
}

uint64_t ring_position(const struct conn *conn)
{
	for (const struct out_node *node = conn->out_first; node != NULL; node = node->next) {
		if (node->ring != NULL)
			return node->begin;
	}
	return conn->ring_at;
}

static uint64_t position_min(const struct net_ring *ring)
{
	uint64_t least = ring->tail;
	for (const struct conn *conn = ring->followers; conn != NULL; conn = conn->ring_next) {
		uint64_t position = ring_position(conn);
		if (position < least)
			least = position;
	}
	return least;
}

static void cut_off(struct net_loop *loop, struct conn *conn)
{
	counter_add(&loop->cut_off, 1);
	conn_kill(loop, conn); /* leaves the ring */
}

static void cut_off_behind(struct net_ring *ring, uint64_t position)
{
	for (struct conn *conn = ring->followers; conn != NULL;) {
		struct conn *next = conn->ring_next;
		if (ring_position(conn) < position)
			cut_off(ring->loop, conn);
		conn = next;
	}
}

static void front_drop(struct net_ring *ring)
{
	uint64_t least = position_min(ring);
	if (least > ring->base && least < ring->tail)
		memmove(ring->data, ring->data + (least - ring->base), (size_t)(ring->tail - least));
	ring->base = least;
}

/* Room for `len` more bytes at the tail. */
static uint8_t *room(struct net_ring *ring, size_t len)
{
	size_t lag = (size_t)(ring->tail - ring->base);
	if (LIKELY(ring->cap - lag >= len))
		return ring->data + lag;
	front_drop(ring);
	lag = (size_t)(ring->tail - ring->base);
	if (lag > NET_RING_BYTES_MAX) {
		/* Half, so that the next message does not have to look again. */
		cut_off_behind(ring, ring->tail - NET_RING_BYTES_MAX / 2);
		front_drop(ring);
		lag = (size_t)(ring->tail - ring->base);
	}
	/* Twice what is needed: then as many bytes are added before the next move or copy as that one touches. */
	size_t need;
	if (!size_add(lag, len, &need) || need > SIZE_MAX / 4)
		return NULL;
	if (ring->cap < need || lag > ring->cap / 2) {
		size_t cap = align_up(2 * need, RING_BYTES_MIN);
		uint8_t *data = mem_realloc(ring->data, cap);
		if (data != NULL) {
			ring->data = data;
			ring->cap = cap;
		}
	}
	return ring->cap >= need ? ring->data + lag : NULL;
}

void net_ring_send(struct net_ring *ring, const void *body, size_t len, net_conn except)
{
	struct net_loop *loop = ring->loop;
	struct conn *left_out = except != 0 ? conn_of(loop, except) : NULL;
	if (left_out != NULL && left_out->ring != ring)
		left_out = NULL;
	if (ring->follower_count == (left_out != NULL ? 1u : 0u))
		return;
	/* The one left out puts what came before into its queue, and steps over this message below. */
	if (left_out != NULL && !out_range_push(loop, left_out))
		left_out = NULL;
	struct ws_payload payload = ws_payload_make(loop, ring->text, ring->compression, body, len);
	size_t total = ws_payload_size(&payload);
	uint8_t *at = room(ring, total);
	if (at == NULL) { /* a message that cannot be delivered to them: nobody may miss one and stay */
		for (struct conn *conn = ring->followers; conn != NULL;) {
			struct conn *next = conn->ring_next;
			if (conn != left_out)
				cut_off(loop, conn);
			conn = next;
		}
		return;
	}
	ws_payload_write(&payload, at);
	ring->tail += total;
	if (left_out != NULL && left_out->ring == ring) /* room may have cut it off */
		left_out->ring_at = ring->tail;
	ring->used = true;
	counter_add(&loop->messages_out, ring->follower_count - (left_out != NULL ? 1u : 0u));
	if (!ring->dirty) {
		ring->dirty = true;
		ring->dirty_next = loop->dirty_rings;
		loop->dirty_rings = ring;
	}
}

void ring_flushed(struct net_ring *ring)
{
	if (position_min(ring) == ring->tail)
		ring->base = ring->tail;
}

/* Once a second: a ring gives its memory back when nobody used it since, or when it grew large. */
void ring_idle(struct net_loop *loop)
{
	for (struct net_ring *ring = loop->rings; ring != NULL; ring = ring->next) {
		bool used = ring->used;
		ring->used = false;
		if (ring->cap == 0 || (used && ring->cap <= RING_KEEP_BYTES))
			continue;
		if (position_min(ring) != ring->tail)
			continue;
		mem_free(ring->data);
		ring->data = NULL;
		ring->cap = 0;
		ring->base = ring->tail;
	}
}

/* A range becomes own bytes, in its place. */
static bool range_copy(struct net_loop *loop, struct conn *conn, struct out_node **at)
{
	struct out_node *range = *at;
	size_t len = (size_t)(range->end - range->begin);
	struct out_node *own = conn->out_held - conn->out_large + len <= NET_OUTPUT_BYTES_MAX ? out_node_alloc(len) : NULL;
	if (own == NULL)
		return false;
	memcpy(own->data, range->ring->data + (range->begin - range->ring->base), len);
	own->end = len;
	own->next = range->next;
	conn->out_held += own->held - range->held;
	if (conn->out_last == range)
		conn->out_last = own;
	*at = own;
	out_node_free(loop, range);
	return true;
}

void ring_unfollow(struct net_loop *loop, struct conn *conn, bool keep_unsent)
{
	struct net_ring *ring = conn->ring;
	if (ring == NULL)
		return;
	bool kept = !keep_unsent || out_range_push(loop, conn);
	if (conn->ring == NULL) /* the push cut it off, and so came here */
		return;
	for (struct out_node **at = &conn->out_first; keep_unsent && kept && *at != NULL; at = &(*at)->next) {
		if ((*at)->ring != NULL && !range_copy(loop, conn, at))
			kept = false;
	}
	*conn->ring_prev = conn->ring_next;
	if (conn->ring_next != NULL)
		conn->ring_next->ring_prev = conn->ring_prev;
	conn->ring = NULL;
	ring->follower_count--;
	if (!kept)
		cut_off(loop, conn);
}

void net_ws_follow(struct net_loop *loop, net_conn handle, struct net_ring *ring)
{
	struct conn *conn = conn_of(loop, handle);
	if (conn == NULL || conn->ring == ring)
		return;
	ring_unfollow(loop, conn, true);
	if (ring == NULL || conn->phase != CONN_WS_OPEN)
		return;
	DEBUG_ASSERT(ring->loop == loop);
	conn->ring = ring;
	conn->ring_at = ring->tail;
	conn->ring_next = ring->followers;
	conn->ring_prev = &ring->followers;
	if (conn->ring_next != NULL)
		conn->ring_next->ring_prev = &conn->ring_next;
	ring->followers = conn;
	ring->follower_count++;
}
