/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_H
#define NET_H
/*
 * net: sockets. Event loops (epoll), HTTP/1.1, WebSocket. Knows bytes, not
 * what they mean: requests and messages go up through callbacks.
 *
 * Threading: a loop is run by one thread at a time. Functions marked [loop] may
 * be called only from that thread's callbacks; [any] from anywhere. While a
 * loop's thread runs something long through net_loop_lend it holds no loop
 * state, and a watchdog gives the loop to a spare thread if it takes longer
 * than NET_LEND_NANOS: other connections never wait for a slow reducer.
 *
 * Memory: every connection's input and output is bounded in bytes. Output of a
 * WebSocket connection is a FIFO of its own frames and of ranges of shared
 * rings (net_ring): a follower of a ring costs nothing per message.
 *
 * Source: client-protocol.md sections 1, 2, 8; http-api.md section 1.
 */
#include "base/base.h"
#include "base/buf.h"
#include "base/thread.h"

enum {
	NET_HEAD_BYTES_MAX = 64 << 10,             /* of an HTTP request head … */
	NET_HEADERS_MAX = 96,                      /* … and its headers */
	NET_LONG_HEAD_BYTES_MAX = 416 << 10,       /* of one that may be long; its headers: native.h */
	NET_MESSAGE_BYTES_MAX = 32 << 20,          /* of a WebSocket message after reassembly */
	NET_OUTPUT_BYTES_MAX = 64 << 20,           /* unsent bytes of one connection: then it is cut off */
	NET_OUTPUT_MESSAGE_BYTES_MAX = 1 << 30,    /* of one message, when nearly nothing waits before it */
	NET_RING_BYTES_MAX = 16 << 20,             /* a ring's lag: a follower behind it is cut off */
	NET_CLOSE_REASON_MAX = 123,
};
#define NET_LEND_NANOS 2000000u

struct net;
struct net_loop;
struct net_request;
struct net_ring;
typedef uint64_t net_conn; /* handle of a connection: loop, slot, generation; 0 is none; stale ones are ignored */

struct net_ws_options { /* durations in milliseconds */
	uint32_t ping_interval_ms, idle_timeout_ms, close_timeout_ms;
};
struct net_callbacks {
	void *context;
	/* [loop] May a head that begins with this line be long? NULL: none may. */
	bool (*long_head)(void *context, struct str line);
	/* [loop] A whole request head has been read. Decide about the body here: net_request_body_limit. */
	void (*request_head)(void *context, struct net_request *request);
	/* [loop] The body is complete too. Answer now or later, exactly once: net_respond, net_stream_begin or
	 * net_upgrade. */
	void (*request)(void *context, struct net_request *request);
	/* [loop] A whole data message of an upgraded connection, unmasked in place; borrowed. */
	void (*message)(void *context, struct net_loop *loop, net_conn conn, void *user, bool binary,
		uint8_t *data, size_t len);
	/* [loop] The connection is gone, for whatever reason; once for each upgraded connection. */
	void (*closed)(void *context, struct net_loop *loop, net_conn conn, void *user);
	/* [loop] All sockets of this round have been read: run the databases that got mail. Return true to be called
	 * again without waiting. */
	bool (*round)(void *context, struct net_loop *loop);
	/* [loop] About once a second. May be NULL. */
	void (*tick)(void *context, struct net_loop *loop);
};
struct net_options {
	const char *listen_address; /* "127.0.0.1:3000", "[::]:3000", "localhost:3000"; port 0 = any */
	uint32_t loops;             /* 0 = from the number of cores */
	struct net_ws_options ws;
	struct net_callbacks callbacks;
};
/* Binds and listens. */
enum wl_err net_create(const struct net_options *options, struct net **out, struct error *error);
enum wl_err net_start(struct net *net, struct error *error); /* starts the loops' threads */
uint16_t net_port(const struct net *net);
/* Stops accepting, sends every upgraded connection a Close with this code, flushes, waits up to timeout_ms, joins. */
void net_stop(struct net *net, uint16_t code, const char *reason, uint32_t timeout_ms);
/* After net_stop, and after everybody who holds a request or a stream has answered or ended it. */
void net_destroy(struct net *net);
uint32_t net_loop_count(const struct net *net);
struct net_loop *net_loop_at(struct net *net, uint32_t index);
uint32_t net_loop_index(const struct net_loop *loop);
uint32_t net_conn_loop(net_conn conn);

/* [any] Runs fn(loop, task) on the loop's thread soon; wakes it if it sleeps. The node is the caller's. */
struct net_task {
	struct mpsc_node node;
	void (*fn)(struct net_loop *loop, struct net_task *task);
};
void net_loop_post(struct net_loop *loop, struct net_task *task);
/* [loop, in a task, `round` or `tick`; not nested] Runs fn(arg) holding no loop state (see above). Returns after fn,
 * possibly having lost the loop: the caller must return to its callback's caller at once when it says false. */
bool net_loop_lend(struct net_loop *loop, void (*fn)(void *arg), void *arg);

/* ---- HTTP requests: [any] after `request` was called, [loop] before ---- */
struct net_header { struct str name, value; };
struct str net_request_method(const struct net_request *request);
struct str net_request_target(const struct net_request *request); /* path?query, as sent */
uint8_t net_request_minor_version(const struct net_request *request); /* of HTTP/1 */
struct str net_request_header(const struct net_request *request, const char *lower_name, bool *present); /* first one */
uint32_t net_request_header_count(const struct net_request *request);
struct net_header net_request_header_at(const struct net_request *request, uint32_t index);
struct bytes net_request_body(const struct net_request *request);
bool net_request_body_absent(const struct net_request *request); /* neither content-length nor chunked */
bool net_request_too_large(const struct net_request *request);   /* body limit was exceeded: body is empty */
/* [loop, in request_head] Default 2 MiB (2097152); UINT64_MAX = only bounded by the process's own cap of 256 MiB. */
void net_request_body_limit(struct net_request *request, uint64_t max);
void *net_request_user(const struct net_request *request);
/* In request_head: nothing that has to be freed, since a client may hang up before `request`. */
void net_request_set_user(struct net_request *request, void *user);
struct net_loop *net_request_loop(const struct net_request *request);
bool net_request_gone(const struct net_request *request); /* the client hung up; answering is still needed */

/* [any] The one answer. Adds content-length, date-free; HEAD gets no body; keep-alive is handled. Frees the request.
 * A `transfer-encoding` header asks for the body as one chunk (HTTP/1.1), without content-length. */
void net_respond(struct net_request *request, uint32_t status, const struct net_header *headers, uint32_t header_count,
	const void *body, size_t body_len);

/* [any] A chunked answer that goes on until net_stream_end (log following). The stream may be written from any thread;
 * `false` from write means the client is gone or too slow: call end. */
struct net_stream;
struct net_stream *net_stream_begin(struct net_request *request, uint32_t status, const struct net_header *headers,
	uint32_t header_count);
bool net_stream_write(struct net_stream *stream, const void *data, size_t len);
void net_stream_end(struct net_stream *stream);

/* ---- WebSocket ---- */
/* True if this is an upgrade request in order; otherwise status and text of the refusal (405, 426, 400). */
bool net_ws_check(const struct net_request *request, uint32_t *status, const char **text);
enum net_compression { NET_COMPRESS_NONE = 0, NET_COMPRESS_BROTLI = 1, NET_COMPRESS_GZIP = 2 }; /* = the wire's tag */
struct net_upgrade_options {
	struct str protocol;                /* echoed */
	const struct net_header *headers;   /* added to the 101 */
	uint32_t header_count;
	bool text;                          /* frames are text, without a compression tag (v1.json) */
	enum net_compression compression;   /* of bodies over 1,024 bytes; binary only */
	bool paused;                        /* do not read until net_ws_resume */
	void *user;
};
/* [any] Answers 101 and turns the request into a connection; frees the request. The handle is valid at once, and used
 * by `closed` in any case (also when the client has hung up meanwhile). */
net_conn net_upgrade(struct net_request *request, const struct net_upgrade_options *options);
void net_ws_resume(struct net_loop *loop, net_conn conn); /* [loop] */
/* [loop] One data message: the compression tag (binary) and frame are added here. Bounded: overflow cuts it off. */
void net_ws_send(struct net_loop *loop, net_conn conn, const void *body, size_t len);
/* [loop] One data message of two parts, of which the second is not copied: others may send it, too. Not compressed. */
struct net_shared {
	const uint8_t *data;
	size_t len;
	void (*release)(void *arg); /* called once, on the loop, when it has been sent or never will be */
	void *arg;
};
void net_ws_send_shared(struct net_loop *loop, net_conn conn, const void *head, size_t head_len,
	const struct net_shared *shared);
/* [loop] Close frame (reason cut to 123 bytes of whole UTF-8), drain, close. Queued output is sent first. */
void net_ws_close(struct net_loop *loop, net_conn conn, uint16_t code, struct str reason);
void net_ws_drop(struct net_loop *loop, net_conn conn); /* [loop] TCP close, no Close frame */
void *net_ws_user(struct net_loop *loop, net_conn conn); /* [loop] NULL when gone */

/* ---- rings: one stream of messages for many followers of one loop ---- */
struct net_ring *net_ring_create(struct net_loop *loop, bool text, enum net_compression compression); /* [loop] */
void net_ring_destroy(struct net_ring *ring); /* [loop] followers keep what they have not sent yet */
/* [loop] Appends one message for all followers but `except` (0 = none). */
void net_ring_send(struct net_ring *ring, const void *body, size_t len, net_conn except);
/* [loop] From now on (after what is queued) the connection gets the ring's new messages. NULL ring: it stops. */
void net_ws_follow(struct net_loop *loop, net_conn conn, struct net_ring *ring);

struct net_stats { uint64_t connections, bytes_in, bytes_out, messages_in, messages_out, cut_off; };
struct net_stats net_stats(const struct net *net);
#endif
