/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H
/*
 * net_internal: what the files of this room share. See README.md for the
 * round, the states of a connection, and who may touch what.
 *
 *   net.c       create, start, stop; threads, lending and the watchdog
 *   listen.c    addresses, the listening socket, handing out accepted ones
 *   loop.c      the round, timers, tasks
 *   conn.c      one connection: slots, reading, states, closing
 *   out.c       the output queue and its flush
 *   ring.c      rings and their followers
 *   http.c      request heads and bodies
 *   answer.c    net_respond, streams, upgrades
 *   ws.c        WebSocket messages in and out
 *   compress.c  gzip and brotli with state that is kept
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_body.h"
#include "net/net.h"
#include "net/ws_frame.h"

enum {
	NET_LOOPS_MAX = 64,
	NET_CONNECTIONS_MAX = 65536,
	NET_THREADS_MAX = 256,              /* of all loops and spares: beyond it a stuck loop waits */
	NET_READ_BYTES = 128 << 10,         /* from one socket in one round: fairness */
	NET_HELD_BYTES_MAX = 64 << 10,      /* of pipelined input behind an unanswered request: then reading stops */
	NET_IN_BYTES = NET_LONG_HEAD_BYTES_MAX + 2 * NET_READ_BYTES, /* the loop's one read buffer */
	NET_BODY_BYTES_MAX = 256 << 20,
	NET_COUNTED_BYTES_MIN = 16 << 10,   /* who holds less is not counted (1 GiB at worst) */
	NET_HOG_BYTES_MIN = 1 << 20,        /* who holds less is never cut off for what others hold */
	NET_STREAM_UNSENT_MAX = 4 << 20,
	NET_EVENTS_MAX = 512,
	NET_IOV_MAX = 64,
	NET_WHEEL_SLOTS = 256,
	NET_WHEEL_MS = 128,
	NET_HEAD_TIMEOUT_MS = 30000,        /* a request head, from its first byte or the accept */
	NET_KEEP_ALIVE_MS = 75000,          /* between requests */
	NET_PROGRESS_MS = 30000,            /* between two bytes of a body, or of output that waits */
	NET_LINGER_MS = 2000,               /* after the last byte out: for the peer to hang up first */
	NET_LINGER_TOTAL_MS = 30000,
	NET_COMPRESS_BYTES_MIN = 1025,
};
/* What all connections together may hold of unfinished input and unsent output: beyond, who holds most is cut off. */
#define NET_MEMORY_BYTES_MAX (2ull << 30)
/* A head is kept raw until it is whole, and one more read comes behind it. */
_Static_assert((int)NET_HELD_BYTES_MAX <= (int)NET_LONG_HEAD_BYTES_MAX, "the read buffer has room for either");

/* ---- output: a FIFO of nodes ---- */
enum { OUT_SMALL = 2048, OUT_LARGE = 16384 };
struct out_node {
	struct out_node *next;
	struct net_ring *ring; /* NULL: own bytes in data[], or others' at `outside`; else a range of the ring */
	const uint8_t *outside; /* data[] then has what lets go of them */
	uint64_t begin, end;
	uint32_t held;         /* bytes of memory it stands for */
	uint32_t cap;          /* of data[] */
	uint8_t data[];
};
struct out_outside {
	void (*release)(void *arg);
	void *arg;
};
struct out_pool {
	struct out_node *small, *large, *range;
	uint32_t small_count, large_count, range_count;
};

/* ---- one connection ---- */
enum conn_phase {
	CONN_FREE,
	CONN_HEAD,       /* reading a request head, or idle between requests */
	CONN_BODY,       /* reading its body */
	CONN_WAIT,       /* the request is with the application */
	CONN_STREAM,     /* a chunked answer goes on */
	CONN_GONE,       /* socket closed, but the application still holds the request */
	CONN_WS_OPEN,
	CONN_WS_CLOSING, /* our Close is queued or sent */
	CONN_LINGER,     /* the last output is queued or sent; input is thrown away */
	CONN_DEAD,       /* socket closed; the slot is freed when the round reaps */
};
struct conn {
	uint32_t slot, generation;
	int fd;
	uint8_t phase;
	uint8_t compression;
	bool text, paused, upgraded;        /* upgraded: `closed` has not been called yet */
	bool dirty, blocked, shut;          /* output: in the dirty list; waiting for EPOLLOUT; SHUT_WR is done */
	bool in_reap, in_again, eof;
	bool pong_due, head_begun;          /* a ping is unanswered; a part of the next head has come */
	uint32_t interest;                  /* epoll events asked for */
	uint32_t wheel_slot;                /* UINT32_MAX: in none */
	struct conn *wheel_next, **wheel_prev;
	uint64_t last_in_ms, last_out_ms, ping_ms, deadline_ms;
	uint8_t *left;                      /* raw input that could not be used yet */
	uint32_t left_len, left_cap;
	struct ws_parser ws;
	struct out_node *out_first, *out_last;
	size_t out_held, out_large, counted; /* out_large: of one message that is larger than the queue may be */
	struct net_ring *ring;
	uint64_t ring_at;                   /* queued or sent up to here; what is behind it is still to come */
	struct conn *ring_next, **ring_prev;
	struct conn *dirty_next, *again_next, *reap_next, *free_next;
	struct net_request *request;
	void *user;
};

/* ---- one request ---- */
enum answer_kind { ANSWER_NONE, ANSWER_WHOLE, ANSWER_STREAM, ANSWER_UPGRADE };
struct net_request {
	struct net_task task;
	struct net_loop *loop;
	struct conn *conn;                  /* loop thread only; valid while the request lives */
	net_conn handle;
	struct str method, target;
	struct net_header *headers;
	uint32_t header_count;
	uint8_t minor_version;
	bool head_only, keep_alive, absent, too_large;
	enum http_framing framing;
	uint64_t body_left, body_max;
	struct http_chunked chunked;
	struct buf body;
	_Atomic bool gone;
	void *user;

	enum answer_kind answer;
	struct out_node *out;               /* head (and body) of the answer; NULL: no memory, hang up */
	_Atomic bool upgrading;             /* set when `answer` is ANSWER_UPGRADE and complete */
	bool text, paused;
	uint8_t compression;
	/* A stream is the request that goes on. */
	pthread_mutex_t lock;
	struct out_node *pending_first, *pending_last; /* under lock, as the rest of this block */
	size_t pending_bytes;
	bool posted, ended;
	bool chunked_out, begun;            /* not under lock: set before the first post, and the loop's */
	_Atomic size_t unsent;              /* of the connection's queue, as last seen by the loop */
};

/* ---- rings ---- */
struct net_ring {
	struct net_loop *loop;
	struct net_ring *next, **prev;      /* of the loop */
	struct net_ring *dirty_next;
	uint8_t *data;
	size_t cap;
	uint64_t base, tail;                /* positions; data[0] is base */
	struct conn *followers;
	uint32_t follower_count;
	bool text, dirty, used;
	uint8_t compression;
};

/* ---- the loop ---- */
struct compressor;
struct runner; /* a thread, net.c */
struct net_loop {
	struct net *net;
	uint32_t index;
	int epoll_fd, event_fd;
	struct runner *runner;              /* whose loop this is now */
	bool may_lend, finished, stopping;
	uint64_t now_ms, tick_ms, stop_deadline_ms;
	uint8_t *in;                        /* NET_IN_BYTES */
	struct conn **slots;
	uint32_t slot_count, slot_cap, open_count, request_count;
	struct conn *free_conns, *dirty, *again, *reap;
	struct net_ring *rings, *dirty_rings;
	struct out_pool pool;
	struct conn *wheel[NET_WHEEL_SLOTS];
	uint64_t wheel_used[NET_WHEEL_SLOTS / 64];
	uint64_t wheel_at;                  /* in units of NET_WHEEL_MS */
	struct compressor *compressor;
	struct mpsc_node *tasks;            /* taken from the inbox, not run yet */
	bool again_round;
	uint32_t send_round;
	struct net_task stop_task;
	_Atomic uint64_t connections, bytes_in, bytes_out, messages_in, messages_out, cut_off;
	_Atomic uint64_t syscalls;

	char apart[64];                     /* what others write stays off the loop's own cache lines */
	struct mpsc inbox;
	_Atomic bool sleeping;
	char apart_too[64];
	_Atomic uint64_t lease;             /* see net.c */
	uint64_t ticket;
};

struct net {
	struct net_callbacks callbacks;
	struct net_ws_options ws;
	int listen_fd;
	uint16_t port;
	uint32_t loop_count;
	struct net_loop *loops[NET_LOOPS_MAX];
	uint32_t accept_turn;               /* loop 0's */
	bool accept_off;
	_Atomic uint32_t connection_count;
	_Atomic uint64_t memory;            /* sum of all connections' `counted` */
	uint64_t memory_max;                /* NET_MEMORY_BYTES_MAX; tests set less */

	struct monitor monitor;             /* guards what follows */
	struct runner *runners, *idle_runners;
	uint32_t runner_count, finished_count;
	bool started, stopped, exiting;
	uint16_t stop_code;
	char stop_reason[NET_CLOSE_REASON_MAX + 1];
	uint32_t stop_timeout_ms;
	pthread_t watch_thread;
	bool watching;
	_Atomic bool watch_parked;
};

static inline void counter_add(_Atomic uint64_t *counter, uint64_t n) /* one writer */
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* net.c */
void net_loop_check(const struct net_loop *loop); /* DEBUG: this thread runs the loop */
bool net_runner_lost(const struct runner *runner);
void net_loop_finished(struct net_loop *loop);

/* listen.c */
enum wl_err net_listen(const char *address, int *fd, uint16_t *port, struct error *error);
void net_accept(struct net_loop *loop);
void net_listen_arm(struct net_loop *loop, bool on);

/* loop.c */
enum { NET_EVENT_WAKE = 1, NET_EVENT_LISTEN = 2 }; /* epoll data that is no handle: generation 0 */
enum wl_err net_loop_create(struct net *net, uint32_t index, struct net_loop **out, struct error *error);
void net_loop_destroy(struct net_loop *loop);
void net_loop_run(struct net_loop *loop, struct runner *me); /* until finished or lost */
void net_loop_stop(struct net_loop *loop);
void net_tasks_run(struct net_loop *loop);
void net_wheel_put(struct net_loop *loop, struct conn *conn, uint64_t due_ms);
void net_wheel_remove(struct net_loop *loop, struct conn *conn);
void net_wheel_turn(struct net_loop *loop);

/* conn.c */
struct conn *conn_open(struct net_loop *loop, int fd); /* takes fd */
struct conn *conn_of(struct net_loop *loop, net_conn handle); /* NULL when gone; applies a pending upgrade */
net_conn conn_handle(const struct net_loop *loop, const struct conn *conn);
void conn_event(struct net_loop *loop, net_conn handle, uint32_t events);
void conn_again(struct net_loop *loop, struct conn *conn); /* its kept input is looked at in the next round */
void conn_run_again(struct net_loop *loop);
void conn_interest(struct net_loop *loop, struct conn *conn);
void conn_kill(struct net_loop *loop, struct conn *conn); /* closes the socket now, everything else when reaping */
void conn_dead(struct net_loop *loop, struct conn *conn); /* socket closed, request gone: the slot is freed */
void conn_finish(struct net_loop *loop, struct conn *conn); /* sends what is queued, then hangs up gently */
void conn_output_done(struct net_loop *loop, struct conn *conn); /* called by the flush */
void conn_notify_closed(struct net_loop *loop, struct conn *conn); /* `closed` will be called by the reaper */
bool conn_count(struct net_loop *loop, struct conn *conn); /* its memory; false: too much in all, it was cut off */
void conn_relieve(struct net_loop *loop); /* too much in all: cuts off who holds most on this loop */
void conn_reap(struct net_loop *loop);
void conn_timer(struct net_loop *loop, struct conn *conn);
void conn_timer_set(struct net_loop *loop, struct conn *conn);

/* out.c */
struct out_node *out_node_alloc(size_t data_bytes); /* any thread */
void out_node_free(struct net_loop *loop, struct out_node *node); /* loop may be NULL */
uint8_t *out_reserve(struct net_loop *loop, struct conn *conn, size_t len); /* NULL: the connection was cut off */
/* Bytes that stay where they are until `release`, which is called in any case. */
void out_outside_push(struct net_loop *loop, struct conn *conn, const uint8_t *data, size_t len,
	void (*release)(void *arg), void *arg);
void out_node_push(struct net_loop *loop, struct conn *conn, struct out_node *node); /* takes the node */
bool out_range_push(struct net_loop *loop, struct conn *conn); /* the ring's bytes up to now keep their place */
void out_dirty(struct net_loop *loop, struct conn *conn);
bool out_empty(const struct conn *conn);
void out_flush(struct net_loop *loop, struct conn *conn);
void out_flush_all(struct net_loop *loop);
void out_clear(struct net_loop *loop, struct conn *conn);
void out_pool_trim(struct net_loop *loop, uint32_t keep);

/* ring.c */
void ring_unfollow(struct net_loop *loop, struct conn *conn, bool keep_unsent);
uint64_t ring_position(const struct conn *conn); /* of the first byte that is not sent */
void ring_flushed(struct net_ring *ring);
void ring_idle(struct net_loop *loop);

/* http.c */
size_t http_feed(struct net_loop *loop, struct conn *conn, uint8_t *data, size_t len);
void http_refuse(struct net_loop *loop, struct conn *conn, uint32_t status);
void http_request_free(struct net_request *request);
const char *http_reason(uint32_t status);

/* answer.c */
void answer_upgrade_apply(struct net_loop *loop, struct conn *conn); /* of conn->request */
void answer_stream_progress(struct conn *conn);

/* ws.c */
size_t ws_feed(struct net_loop *loop, struct conn *conn, uint8_t *data, size_t len);
void ws_opened(struct net_loop *loop, struct conn *conn);
void ws_timer(struct net_loop *loop, struct conn *conn);
/* What goes into a data frame: the body, compressed if that was asked for and pays, and its tag. */
struct ws_payload {
	const uint8_t *body;
	size_t len;
	bool text; /* no tag */
	uint8_t tag;
};
struct ws_payload ws_payload_make(struct net_loop *loop, bool text, uint8_t compression, const void *body, size_t len);
/* The frame's head and the payload, before `more` bytes of the same message. SIZE_MAX: too long. */
static inline size_t ws_payload_size_before(const struct ws_payload *payload, size_t more)
{
	if (UNLIKELY(payload->len > UINT32_MAX || more > UINT32_MAX))
		return SIZE_MAX;
	size_t own = payload->len + (payload->text ? 0 : 1), inner = own + more;
	return own + (inner < 126 ? 2 : inner <= UINT16_MAX ? 4 : 10);
}
static inline void ws_payload_write_before(const struct ws_payload *payload, size_t more, uint8_t *at)
{
	at += ws_head_write(at, payload->text ? WS_TEXT : WS_BINARY, payload->len + more + (payload->text ? 0 : 1));
	if (!payload->text)
		*at++ = payload->tag;
	if (payload->len > 0)
		memcpy(at, payload->body, payload->len);
}
static inline size_t ws_payload_size(const struct ws_payload *payload)
{
	return ws_payload_size_before(payload, 0);
}
static inline void ws_payload_write(const struct ws_payload *payload, uint8_t *at)
{
	ws_payload_write_before(payload, 0, at);
}

/* compress.c */
struct compressor *compressor_create(void);
void compressor_destroy(struct compressor *compressor);
/* The result is borrowed until the next call. False: no memory. */
bool compress_body(struct compressor *compressor, enum net_compression kind, const void *body, size_t len,
	struct bytes *out);
void compressor_trim(struct compressor *compressor);
#endif
