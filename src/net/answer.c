/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers: net_respond, streams, upgrades. They may come from any thread: the
 * bytes are made there and posted to the loop inside the request itself, so an
 * answer needs no memory but its own bytes.
 *
 * Invariants
 *   1. A request is posted by one side at a time: `posted` (under lock) is set by the writer that posts, and cleared
 *      by the loop when it has it. Only the loop frees it, after the post that says `ended` (or the only post).
 *   2. An upgraded handle works at once: conn_of applies the upgrade if the task has not come by yet; the task then
 *      only frees the request. FIFO posting covers other threads.
 *   3. Header names and values from the application are checked, so that nobody can forge a second answer.
 */
#include "net/net_internal.h"

#include <stdio.h>

/* ---- making a head ---- */
static bool header_ok(const struct net_header *header)
{
	if (header->name.len == 0 || header->name.len > UINT16_MAX || header->value.len > UINT16_MAX)
		return false;
	for (size_t i = 0; i < header->name.len; i++) {
		char c = header->name.data[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!word && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return false;
	}
	for (size_t i = 0; i < header->value.len; i++) {
		uint8_t c = (uint8_t)header->value.data[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool is(const struct net_header *header, const char *lower_name)
{
	return http_name_is(header->name.data, header->name.len, lower_name);
}

/* Framing is ours. A `connection` header of the application gives way when the connection ends. */
static bool header_passes(const struct net_header *header, bool keep_alive)
{
	if (is(header, "content-length") || is(header, "transfer-encoding") || (is(header, "connection") && !keep_alive))
		return false;
	return header_ok(header);
}

static size_t put(uint8_t *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return len;
}

static size_t put_header(uint8_t *at, struct str name, struct str value)
{
	size_t n = put(at, name.data, name.len);
	n += put(at + n, ": ", 2);
	n += put(at + n, value.data, value.len);
	return n + put(at + n, "\r\n", 2);
}

enum body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };
enum { HEAD_OWN_BYTES = 512, CHUNK_OWN_BYTES = 32 };

/* A node with the head in it and room for `more` bytes behind; NULL without memory. */
static struct out_node *head_make(const struct net_request *request, uint32_t status, const struct net_header *headers,
	uint32_t count, enum body_kind kind, size_t body_len, size_t more)
{
	size_t size = HEAD_OWN_BYTES;
	for (uint32_t i = 0; i < count; i++) {
		if (!size_add(size, headers[i].name.len + headers[i].value.len + 4, &size))
			return NULL;
	}
	struct out_node *node = size_add(size, more, &size) ? out_node_alloc(size) : NULL;
	if (node == NULL)
		return NULL;
	char line[160];
	int len = snprintf(line, sizeof(line), "HTTP/1.%u %u %s\r\n", request->minor_version > 0 ? 1u : 0u, status,
		http_reason(status));
	size_t at = put(node->data, line, (size_t)len);
	for (uint32_t i = 0; i < count; i++) {
		if (header_passes(&headers[i], request->keep_alive))
			at += put_header(node->data + at, headers[i].name, headers[i].value);
	}
	if (status != 101 && !request->keep_alive)
		at += put_header(node->data + at, STR("connection"), STR("close"));
	else if (status != 101 && request->minor_version == 0)
		at += put_header(node->data + at, STR("connection"), STR("keep-alive"));
	if (kind == BODY_LENGTH) {
		len = snprintf(line, sizeof(line), "content-length: %zu\r\n", body_len);
		at += put(node->data + at, line, (size_t)len);
	} else if (kind == BODY_CHUNKED) {
		at += put_header(node->data + at, STR("transfer-encoding"), STR("chunked"));
	}
	node->end = at + put(node->data + at, "\r\n", 2);
	return node;
}

static void chunk_put(struct out_node *node, const void *data, size_t len)
{
	char line[CHUNK_OWN_BYTES];
	int n = snprintf(line, sizeof(line), "%zx\r\n", len);
	node->end += put(node->data + node->end, line, (size_t)n);
	node->end += put(node->data + node->end, data, len);
	node->end += put(node->data + node->end, "\r\n", 2);
}

static const char last_chunk[] = "0\r\n\r\n";

/* ---- on the loop: what happens to the connection ---- */
static void release_gone(struct net_loop *loop, struct conn *conn)
{
	conn->request = NULL;
	conn_dead(loop, conn);
}

/* The answer is queued: on to the next request, or to the end. */
static void answered(struct net_loop *loop, struct conn *conn, bool keep_alive)
{
	if (conn->phase == CONN_GONE) { /* queueing the answer met the connection's end */
		release_gone(loop, conn);
		return;
	}
	conn->request = NULL;
	conn_count(loop, conn); /* shrinks: the request's body goes */
	if (!keep_alive || loop->stopping || (conn->eof && conn->left_len == 0)) {
		conn_finish(loop, conn);
		return;
	}
	conn->phase = CONN_HEAD;
	conn->head_begun = false;
	conn->deadline_ms = loop->now_ms + NET_KEEP_ALIVE_MS;
	conn_timer_set(loop, conn);
	if (conn->left_len > 0)
		conn_again(loop, conn);
	else
		conn_interest(loop, conn);
}

static void whole_run(struct net_loop *loop, struct net_task *task)
{
	struct net_request *request = (struct net_request *)task;
	struct conn *conn = request->conn;
	struct out_node *node = request->out;
	request->out = NULL;
	if (conn->phase == CONN_GONE) {
		if (node != NULL)
			out_node_free(loop, node);
		release_gone(loop, conn);
	} else if (node == NULL) {
		conn->request = NULL;
		conn->phase = CONN_HEAD;
		conn_kill(loop, conn);
	} else {
		out_node_push(loop, conn, node);
		answered(loop, conn, request->keep_alive);
	}
	http_request_free(request);
}

void net_respond(struct net_request *request, uint32_t status, const struct net_header *headers, uint32_t header_count,
	const void *body, size_t body_len)
{
	bool bodiless = status < 200 || status == 204 || status == 304;
	enum body_kind kind = bodiless ? BODY_NONE : BODY_LENGTH;
	for (uint32_t i = 0; i < header_count && !bodiless && request->minor_version > 0; i++) {
		if (is(&headers[i], "transfer-encoding"))
			kind = BODY_CHUNKED;
	}
	bool with_body = !bodiless && !request->head_only;
	size_t more = 0;
	struct out_node *node = NULL;
	if (!with_body || size_add(body_len, 2 * CHUNK_OWN_BYTES, &more))
		node = head_make(request, status, headers, header_count, kind, body_len, more);
	if (node != NULL && with_body && kind == BODY_CHUNKED) {
		if (body_len > 0)
			chunk_put(node, body, body_len);
		node->end += put(node->data + node->end, last_chunk, sizeof(last_chunk) - 1);
	} else if (node != NULL && with_body && body_len > 0) {
		node->end += put(node->data + node->end, body, body_len);
	}
	request->out = node;
	request->answer = ANSWER_WHOLE;
	request->task.fn = whole_run;
	net_loop_post(request->loop, &request->task);
}

/* ---- streams ---- */
struct net_stream {
	struct net_request request; /* a stream is its request, going on */
};

static struct net_request *request_of(struct net_stream *stream)
{
	return &stream->request;
}

static void stream_close(struct net_loop *loop, struct conn *conn, struct net_request *request)
{
	if (conn->phase == CONN_GONE) {
		release_gone(loop, conn);
	} else {
		uint8_t *at = request->chunked_out && !request->head_only
			? out_reserve(loop, conn, sizeof(last_chunk) - 1) : NULL;
		if (at != NULL)
			memcpy(at, last_chunk, sizeof(last_chunk) - 1);
		answered(loop, conn, request->keep_alive && (request->chunked_out || request->head_only));
	}
	http_request_free(request);
}

static void stream_run(struct net_loop *loop, struct net_task *task)
{
	struct net_request *request = (struct net_request *)task;
	struct conn *conn = request->conn;
	pthread_mutex_lock(&request->lock);
	struct out_node *node = request->pending_first;
	request->pending_first = request->pending_last = NULL;
	request->pending_bytes = 0;
	request->posted = false;
	bool ended = request->ended;
	pthread_mutex_unlock(&request->lock);
	if (!request->begun) {
		request->begun = true;
		struct out_node *head = request->out;
		request->out = NULL;
		if (head == NULL) {
			conn_kill(loop, conn); /* GONE: the writer hears of it */
		} else if (conn->phase == CONN_GONE) {
			out_node_free(loop, head);
		} else {
			conn->phase = CONN_STREAM;
			out_node_push(loop, conn, head);
		}
	}
	while (node != NULL) {
		struct out_node *next = node->next;
		if (conn->phase == CONN_GONE)
			out_node_free(loop, node);
		else
			out_node_push(loop, conn, node);
		node = next;
	}
	if (ended)
		stream_close(loop, conn, request);
	else
		answer_stream_progress(conn);
}

void answer_stream_progress(struct conn *conn)
{
	if (conn->request != NULL)
		atomic_store_explicit(&conn->request->unsent, conn->out_held, memory_order_relaxed);
}

struct net_stream *net_stream_begin(struct net_request *request, uint32_t status, const struct net_header *headers,
	uint32_t header_count)
{
	request->chunked_out = request->minor_version > 0;
	if (!request->chunked_out && !request->head_only)
		request->keep_alive = false;
	request->out = head_make(request, status, headers, header_count,
		request->chunked_out ? BODY_CHUNKED : BODY_UNTIL_CLOSE, 0, 0);
	request->answer = ANSWER_STREAM;
	request->task.fn = stream_run;
	request->posted = true;
	net_loop_post(request->loop, &request->task);
	return (struct net_stream *)request;
}

static bool stream_accepts(struct net_request *request, size_t len)
{
	size_t unsent = atomic_load_explicit(&request->unsent, memory_order_relaxed) + request->pending_bytes;
	return !net_request_gone(request) && len <= NET_STREAM_UNSENT_MAX && unsent <= NET_STREAM_UNSENT_MAX - len;
}

bool net_stream_write(struct net_stream *stream, const void *data, size_t len)
{
	struct net_request *request = request_of(stream);
	if (len == 0 || request->head_only)
		return !net_request_gone(request);
	/* Made outside the lock; a chunk's framing is known to fit. */
	struct out_node *node = len <= NET_STREAM_UNSENT_MAX ? out_node_alloc(len + 2 * CHUNK_OWN_BYTES) : NULL;
	if (node == NULL)
		return false;
	if (request->chunked_out)
		chunk_put(node, data, len);
	else
		node->end = put(node->data, data, len);
	pthread_mutex_lock(&request->lock);
	bool accepted = stream_accepts(request, len), post = false;
	if (accepted) {
		if (request->pending_last == NULL)
			request->pending_first = node;
		else
			request->pending_last->next = node;
		request->pending_last = node;
		request->pending_bytes += node->held;
		post = !request->posted;
		request->posted = true;
	}
	pthread_mutex_unlock(&request->lock);
	if (!accepted)
		out_node_free(NULL, node);
	if (post)
		net_loop_post(request->loop, &request->task);
	return accepted;
}

void net_stream_end(struct net_stream *stream)
{
	struct net_request *request = request_of(stream);
	pthread_mutex_lock(&request->lock);
	bool post = !request->posted;
	request->ended = true;
	request->posted = true;
	pthread_mutex_unlock(&request->lock);
	if (post)
		net_loop_post(request->loop, &request->task);
}

/* ---- upgrades ---- */
static bool has_token_in(const struct net_request *request, const char *name, const char *token)
{
	for (uint32_t i = 0; i < request->header_count; i++) {
		if (str_eq(request->headers[i].name, str_of(name)) && http_has_token(request->headers[i].value, token))
			return true;
	}
	return false;
}

bool net_ws_check(const struct net_request *request, uint32_t *status, const char **text)
{
	bool key = false;
	net_request_header(request, "sec-websocket-key", &key);
	*status = 400;
	if (!str_eq(request->method, STR("GET"))) {
		*status = 405;
		*text = "Request method must be `GET`";
	} else if (request->minor_version == 0 || !has_token_in(request, "connection", "upgrade")
		|| !has_token_in(request, "upgrade", "websocket")) {
		*status = 426;
		*text = "This service requires use of the websocket protocol";
	} else if (!str_eq(net_request_header(request, "sec-websocket-version", NULL), STR("13"))) {
		*text = "`Sec-WebSocket-Version` header did not include '13'";
	} else if (!key) {
		*text = "`Sec-WebSocket-Key` header missing";
	} else {
		return true;
	}
	return false;
}

/* `upgraded` first: whatever happens from here on, `closed` will be called. */
void answer_upgrade_apply(struct net_loop *loop, struct conn *conn)
{
	struct net_request *request = conn->request;
	struct out_node *node = request->out;
	request->out = NULL;
	request->conn = NULL; /* tells the task */
	conn->request = NULL;
	conn->user = request->user;
	conn->upgraded = true;
	if (conn->phase == CONN_GONE) {
		if (node != NULL)
			out_node_free(loop, node);
		release_gone(loop, conn);
		return;
	}
	conn->phase = CONN_WS_OPEN;
	conn->text = request->text;
	conn->compression = request->compression;
	conn->paused = request->paused;
	ws_parser_init(&conn->ws, true, NET_MESSAGE_BYTES_MAX);
	if (node == NULL || conn->eof) {
		if (node != NULL)
			out_node_free(loop, node);
		conn_kill(loop, conn);
		return;
	}
	out_node_push(loop, conn, node);
	if (conn->left_len > 0)
		conn_again(loop, conn);
	if (conn->paused)
		net_wheel_remove(loop, conn);
	else
		ws_opened(loop, conn);
	conn_interest(loop, conn);
	if (loop->stopping)
		net_ws_close(loop, conn_handle(loop, conn), loop->net->stop_code, str_of(loop->net->stop_reason));
}

static void upgrade_run(struct net_loop *loop, struct net_task *task)
{
	struct net_request *request = (struct net_request *)task;
	if (request->conn != NULL)
		answer_upgrade_apply(loop, request->conn);
	http_request_free(request);
}

net_conn net_upgrade(struct net_request *request, const struct net_upgrade_options *options)
{
	enum { OWN_HEADERS = 4, HEADERS_MAX = 64 };
	struct net_header headers[HEADERS_MAX];
	char accept[29];
	ws_accept_key(net_request_header(request, "sec-websocket-key", NULL), accept);
	uint32_t count = 0;
	headers[count++] = (struct net_header){ STR("connection"), STR("upgrade") };
	headers[count++] = (struct net_header){ STR("upgrade"), STR("websocket") };
	headers[count++] = (struct net_header){ STR("sec-websocket-accept"), str_of(accept) };
	if (options->protocol.len > 0)
		headers[count++] = (struct net_header){ STR("sec-websocket-protocol"), options->protocol };
	ASSERT(options->header_count <= HEADERS_MAX - OWN_HEADERS);
	for (uint32_t i = 0; i < options->header_count; i++)
		headers[count++] = options->headers[i];
	request->keep_alive = true;
	request->out = head_make(request, 101, headers, count, BODY_NONE, 0, 0);
	request->text = options->text;
	request->paused = options->paused;
	request->compression = options->text ? NET_COMPRESS_NONE : (uint8_t)options->compression;
	request->user = options->user;
	request->answer = ANSWER_UPGRADE;
	request->task.fn = upgrade_run;
	net_conn handle = request->handle;
	atomic_store_explicit(&request->upgrading, true, memory_order_release);
	net_loop_post(request->loop, &request->task);
	return handle;
}
