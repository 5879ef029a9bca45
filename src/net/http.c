/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 requests: heads and bodies from a connection's bytes to the
 * application's callbacks. One request of a connection is with the application
 * at a time; what is pipelined behind it waits, raw and bounded.
 *
 * What cannot be understood is answered with an empty 400, 414 or 431, and the
 * connection ends. A body over its limit ends it too, after the application's
 * answer: the rest is thrown away while the client is still sending.
 */
#include "net/net_internal.h"

#include <stdio.h>

enum { BODY_LIMIT_DEFAULT = 2097152, BODY_RESERVE_MAX = 4 << 10 };

static const struct { uint16_t status; const char *reason; } reasons[] = {
	{ 100, "Continue" }, { 101, "Switching Protocols" }, { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" },
	{ 204, "No Content" }, { 206, "Partial Content" }, { 301, "Moved Permanently" }, { 302, "Found" },
	{ 303, "See Other" }, { 304, "Not Modified" }, { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
	{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 402, "Payment Required" }, { 403, "Forbidden" },
	{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 408, "Request Timeout" },
	{ 409, "Conflict" }, { 410, "Gone" }, { 411, "Length Required" }, { 412, "Precondition Failed" },
	{ 413, "Payload Too Large" }, { 414, "URI Too Long" }, { 415, "Unsupported Media Type" }, { 418, "I'm a teapot" },
	{ 422, "Unprocessable Entity" }, { 426, "Upgrade Required" }, { 428, "Precondition Required" },
	{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" },
	{ 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
};

const char *http_reason(uint32_t status)
{
	for (size_t i = 0; i < ARRAY_COUNT(reasons); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return "Unknown";
}

void http_request_free(struct net_request *request)
{
	if (request->out != NULL)
		out_node_free(NULL, request->out);
	while (request->pending_first != NULL) {
		struct out_node *node = request->pending_first;
		request->pending_first = node->next;
		out_node_free(NULL, node);
	}
	buf_deinit(&request->body);
	pthread_mutex_destroy(&request->lock);
	mem_free(request);
}

void http_refuse(struct net_loop *loop, struct conn *conn, uint32_t status)
{
	char text[128];
	int len = snprintf(text, sizeof(text), "HTTP/1.1 %u %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", status,
		http_reason(status));
	if (conn->request != NULL) {
		http_request_free(conn->request);
		conn->request = NULL;
	}
	uint8_t *at = out_reserve(loop, conn, (size_t)len);
	if (at == NULL)
		return;
	memcpy(at, text, (size_t)len);
	conn_finish(loop, conn);
}

/* "http://host/path?query#part" → "/path?query". `text` is ours to write on. */
static struct str target_clean(char *text, size_t len)
{
	const char *hash = memchr(text, '#', len);
	if (hash != NULL)
		len = (size_t)(hash - text);
	size_t scheme = 0;
	if (len > 7 && http_name_is(text, 7, "http://"))
		scheme = 7;
	else if (len > 8 && http_name_is(text, 8, "https://"))
		scheme = 8;
	if (scheme == 0)
		return (struct str){ text, len };
	size_t path = scheme;
	while (path < len && text[path] != '/' && text[path] != '?')
		path++;
	if (path == len || text[path] == '?')
		text[--path] = '/'; /* over the last byte of the authority, or of "//" */
	return (struct str){ text + path, len - path };
}

static struct net_request *request_make(struct net_loop *loop, struct conn *conn,
	const struct native_http_request *head, const char *data, size_t len, const struct http_facts *facts)
{
	size_t headers_size = head->header_count * sizeof(struct net_header);
	struct net_request *request = mem_alloc(sizeof(*request) + headers_size + len);
	if (request == NULL)
		return NULL;
	struct net_header *headers = (struct net_header *)(request + 1);
	char *copy = (char *)(headers + head->header_count);
	memcpy(copy, data, len);
	*request = (struct net_request){ .loop = loop, .conn = conn, .handle = conn_handle(loop, conn),
		.method = { copy + (head->method - data), head->method_len }, .headers = headers,
		.target = target_clean(copy + (head->target - data), head->target_len),
		.header_count = head->header_count, .minor_version = head->minor_version,
		.keep_alive = facts->keep_alive, .absent = facts->absent, .framing = facts->framing,
		.body_left = facts->length, .body_max = BODY_LIMIT_DEFAULT };
	request->head_only = str_eq(request->method, STR("HEAD"));
	pthread_mutex_init(&request->lock, NULL);
	for (uint32_t i = 0; i < head->header_count; i++) {
		const struct native_http_header *h = &head->headers[i];
		char *name = copy + (h->name - data);
		for (uint32_t k = 0; k < h->name_len; k++) {
			if (name[k] >= 'A' && name[k] <= 'Z')
				name[k] = (char)(name[k] + 32);
		}
		const char *value = h->value_len > 0 ? copy + (h->value - data) : "";
		headers[i] = (struct net_header){ { name, h->name_len }, { value, h->value_len } };
	}
	return request;
}

static void dispatch(struct net_loop *loop, struct conn *conn)
{
	const struct net_callbacks *callbacks = &loop->net->callbacks;
	conn->phase = CONN_WAIT;
	conn_timer_set(loop, conn);
	callbacks->request(callbacks->context, conn->request);
}

static void too_large(struct net_loop *loop, struct conn *conn)
{
	struct net_request *request = conn->request;
	request->too_large = true;
	request->keep_alive = false;
	buf_deinit(&request->body);
	dispatch(loop, conn);
}

static void body_begin(struct net_loop *loop, struct conn *conn, const struct http_facts *facts)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct net_request *request = conn->request;
	if (facts->framing == HTTP_NO_BODY) {
		dispatch(loop, conn);
		return;
	}
	size_t max = request->body_max < NET_BODY_BYTES_MAX ? (size_t)request->body_max : NET_BODY_BYTES_MAX;
	request->body = BUF_INIT(max);
	if (facts->framing == HTTP_LENGTH && facts->length > max) {
		too_large(loop, conn);
		return;
	}
	if (facts->expects_continue) {
		uint8_t *at = out_reserve(loop, conn, sizeof(go_on) - 1);
		if (at == NULL)
			return;
		memcpy(at, go_on, sizeof(go_on) - 1);
	}
	/* A small body is given its size at once; a big one grows as it comes. */
	if (facts->framing == HTTP_LENGTH && facts->length <= BODY_RESERVE_MAX)
		buf_reserve(&request->body, (size_t)facts->length);
	conn->phase = CONN_BODY;
	conn_timer_set(loop, conn);
}

static bool may_be_long(const struct net_loop *loop, const uint8_t *data, size_t len)
{
	const struct net_callbacks *callbacks = &loop->net->callbacks;
	const uint8_t *end = memchr(data, '\n', size_min(len, NET_HEAD_BYTES_MAX));
	return end != NULL && callbacks->long_head != NULL &&
		callbacks->long_head(callbacks->context, (struct str){ (const char *)data, (size_t)(end - data) });
}

static size_t head_max(const struct net_loop *loop, const uint8_t *data, size_t len)
{
	return len >= NET_HEAD_BYTES_MAX && may_be_long(loop, data, len) ? NET_LONG_HEAD_BYTES_MAX : NET_HEAD_BYTES_MAX;
}

/* False: nothing more to do with these bytes for now. */
static bool head_feed(struct net_loop *loop, struct conn *conn, uint8_t *data, size_t len, size_t *used)
{
	struct native_http_request head;
	*used = 0;
	size_t max = head_max(loop, data, len), seen = size_min(len, max);
	ptrdiff_t n = native_http_parse_request((const char *)data, seen, &head);
	if (n == 0 && len < max) {
		if (!conn->head_begun) {
			conn->head_begun = true;
			if (conn->deadline_ms > loop->now_ms + NET_HEAD_TIMEOUT_MS)
				conn->deadline_ms = loop->now_ms + NET_HEAD_TIMEOUT_MS;
			conn_timer_set(loop, conn);
		}
		return false;
	}
	struct http_facts facts;
	uint32_t status = 0;
	if (n == 0)
		status = memchr(data, '\n', seen) == NULL ? 414 : 431;
	else if (n < 0)
		status = n == -2 ? 431 : 400;
	else if (head.header_count > NET_HEADERS_MAX && !may_be_long(loop, data, len))
		status = 431;
	else if (!http_facts_read(&head, &facts))
		status = 400;
	if (status != 0) {
		http_refuse(loop, conn, status);
		return false;
	}
	conn->request = request_make(loop, conn, &head, (const char *)data, (size_t)n, &facts);
	if (conn->request == NULL) {
		http_refuse(loop, conn, 503);
		return false;
	}
	*used = (size_t)n;
	conn->head_begun = false;
	const struct net_callbacks *callbacks = &loop->net->callbacks;
	callbacks->request_head(callbacks->context, conn->request);
	body_begin(loop, conn, &facts);
	return true;
}

static bool body_feed(struct net_loop *loop, struct conn *conn, const uint8_t *data, size_t len, size_t *used)
{
	struct net_request *request = conn->request;
	enum http_step step = HTTP_STEP_MORE;
	if (request->framing == HTTP_CHUNKED) {
		step = http_chunked_feed(&request->chunked, data, len, used, &request->body, request->body.max);
	} else {
		size_t take = (size_t)(request->body_left < len ? request->body_left : len);
		buf_put(&request->body, data, take);
		*used = take;
		request->body_left -= take;
		if (request->body.failed)
			step = HTTP_STEP_MEMORY;
		else if (request->body_left == 0)
			step = HTTP_STEP_DONE;
	}
	switch (step) {
	case HTTP_STEP_DONE: dispatch(loop, conn); break;
	case HTTP_STEP_TOO_LARGE: too_large(loop, conn); break;
	case HTTP_STEP_BAD: http_refuse(loop, conn, 400); break;
	case HTTP_STEP_MEMORY: http_refuse(loop, conn, 503); break;
	case HTTP_STEP_MORE: break;
	}
	return step == HTTP_STEP_DONE;
}

size_t http_feed(struct net_loop *loop, struct conn *conn, uint8_t *data, size_t len)
{
	size_t at = 0;
	/* A head that is dribbled is parsed anew only when a line ended. */
	if (conn->phase == CONN_HEAD && conn->head_begun && conn->left_len < len && len < head_max(loop, data, len)
		&& memchr(data + conn->left_len, '\n', len - conn->left_len) == NULL)
		return 0;
	bool more = true;
	while (more && at < len) {
		size_t used = 0;
		if (conn->phase == CONN_HEAD) {
			while (at < len && (data[at] == '\r' || data[at] == '\n')) /* empty lines between requests */
				at++;
			if (at < len)
				more = head_feed(loop, conn, data + at, len - at, &used);
		} else if (conn->phase == CONN_BODY) {
			more = body_feed(loop, conn, data + at, len - at, &used);
		} else {
			more = false;
		}
		at += used;
	}
	return at;
}

/* ---- what the application asks ---- */
struct str net_request_method(const struct net_request *request)
{
	return request->method;
}

struct str net_request_target(const struct net_request *request)
{
	return request->target;
}

uint8_t net_request_minor_version(const struct net_request *request)
{
	return request->minor_version;
}

struct str net_request_header(const struct net_request *request, const char *lower_name, bool *present)
{
	struct str name = str_of(lower_name);
	for (uint32_t i = 0; i < request->header_count; i++) {
		if (str_eq(request->headers[i].name, name)) {
			if (present != NULL)
				*present = true;
			return request->headers[i].value;
		}
	}
	if (present != NULL)
		*present = false;
	return (struct str){ "", 0 };
}

uint32_t net_request_header_count(const struct net_request *request)
{
	return request->header_count;
}

struct net_header net_request_header_at(const struct net_request *request, uint32_t index)
{
	ASSERT(index < request->header_count);
	return request->headers[index];
}

struct bytes net_request_body(const struct net_request *request)
{
	return request->too_large ? (struct bytes){ NULL, 0 } : buf_bytes(&request->body);
}

bool net_request_body_absent(const struct net_request *request)
{
	return request->absent;
}

bool net_request_too_large(const struct net_request *request)
{
	return request->too_large;
}

void net_request_body_limit(struct net_request *request, uint64_t max)
{
	request->body_max = max;
}

void *net_request_user(const struct net_request *request)
{
	return request->user;
}

void net_request_set_user(struct net_request *request, void *user)
{
	request->user = user;
}

struct net_loop *net_request_loop(const struct net_request *request)
{
	return request->loop;
}

bool net_request_gone(const struct net_request *request)
{
	return atomic_load_explicit(&request->gone, memory_order_relaxed);
}
