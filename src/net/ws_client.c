/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small WebSocket client: connect, handshake, masked frames out, messages
 * in. The server is trusted no more than a client is: lengths are bounded, and
 * buffers grow as bytes arrive.
 */
#include "net/ws_client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "native.h"
#include "net/http_body.h"
#include "net/ws_frame.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TIMEOUT_DEFAULT_MS = 10000, MESSAGE_DEFAULT_MAX = 64 << 20, HEAD_MAX = 64 << 10, READ_BYTES = 64 << 10,
	OUT_KEEP_BYTES = 1 << 20,
};

struct ws_client {
	int fd;
	uint32_t timeout_ms;
	bool plain_mask, close_sent, over;
	uint64_t mask_state;
	struct ws_parser parser;
	struct buf out, head;
	uint8_t *in;
	size_t in_at, in_len, in_cap;
};

int ws_client_fd(const struct ws_client *client)
{
	return client->fd;
}

void ws_client_destroy(struct ws_client *client)
{
	if (client == NULL)
		return;
	if (client->fd >= 0)
		close(client->fd);
	ws_parser_deinit(&client->parser);
	buf_deinit(&client->out);
	buf_deinit(&client->head);
	mem_free(client->in);
	mem_free(client);
}

static uint64_t clock_ms(void)
{
	return clock_mono_nanos() / 1000000u;
}

/* ---- connecting ---- */
static bool ready(int fd, short events, uint32_t timeout_ms)
{
	struct pollfd poller = { .fd = fd, .events = events };
	uint64_t until = clock_ms() + timeout_ms;
	for (;;) {
		uint64_t now = clock_ms();
		int wait = timeout_ms == UINT32_MAX ? -1 : until > now ? (int)size_min(until - now, INT32_MAX) : 0;
		int n = poll(&poller, 1, wait);
		if (n >= 0 || errno != EINTR)
			return n > 0;
	}
}

static int dial_one(const struct addrinfo *info, uint32_t timeout_ms)
{
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, fault = 0;
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, info->ai_addr, info->ai_addrlen) == 0)
		return fd;
	if (errno == EINPROGRESS) {
		socklen_t size = sizeof(fault);
		if (!ready(fd, POLLOUT, timeout_ms))
			fault = ETIMEDOUT;
		else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &size) == 0 && fault == 0)
			return fd;
	} else {
		fault = errno;
	}
	close(fd);
	errno = fault;
	return -1;
}

static enum wl_err dial(const struct ws_client_options *options, struct ws_client *client, struct error *error)
{
	char port[8];
	snprintf(port, sizeof(port), "%u", options->port);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *list = NULL;
	int rc = getaddrinfo(options->host, port, &hints, &list);
	if (rc != 0)
		return fail(error, WL_ERR_NOT_FOUND, "cannot resolve %s: %s", options->host, gai_strerror(rc));
	for (const struct addrinfo *info = list; info != NULL && client->fd < 0; info = info->ai_next)
		client->fd = dial_one(info, client->timeout_ms);
	enum wl_err err = client->fd >= 0 ? WL_OK
		: fail_errno(error, WL_ERR_UNAVAILABLE, "cannot connect to %s:%u", options->host, options->port);
	freeaddrinfo(list);
	return err;
}

enum wl_err ws_client_flush(struct ws_client *client, struct error *error)
{
	size_t at = 0;
	while (at < client->out.len) {
		ssize_t n = send(client->fd, client->out.data + at, client->out.len - at, MSG_NOSIGNAL);
		if (n >= 0) {
			at += (size_t)n;
		} else if (errno == EAGAIN) {
			if (!ready(client->fd, POLLOUT, client->timeout_ms))
				return fail(error, WL_ERR_UNAVAILABLE, "the server takes no more bytes");
		} else if (errno != EINTR) {
			return fail_errno(error, WL_ERR_IO, "cannot send");
		}
	}
	buf_clear(&client->out);
	if (client->out.cap > OUT_KEEP_BYTES)
		buf_deinit(&client->out);
	return WL_OK;
}

/* Reads what is there behind in_len. 1: something; 0: nothing in time; -1: the end (errno 0) or an error. */
static int fill(struct ws_client *client, uint32_t timeout_ms)
{
	if (client->in_at > 0) {
		memmove(client->in, client->in + client->in_at, client->in_len - client->in_at);
		client->in_len -= client->in_at;
		client->in_at = 0;
	}
	if (client->in_cap - client->in_len < READ_BYTES) {
		size_t cap = client->in_len + 2 * READ_BYTES;
		uint8_t *in = mem_realloc(client->in, cap);
		if (in == NULL) {
			errno = ENOMEM;
			return -1;
		}
		client->in = in;
		client->in_cap = cap;
	}
	for (;;) {
		ssize_t n = recv(client->fd, client->in + client->in_len, client->in_cap - client->in_len, 0);
		if (n > 0) {
			client->in_len += (size_t)n;
			return 1;
		}
		if (n == 0) {
			errno = 0;
			return -1;
		}
		if (errno == EAGAIN && (timeout_ms == 0 || !ready(client->fd, POLLIN, timeout_ms)))
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -1;
	}
}

static enum wl_err refused(struct ws_client *client, const struct native_http_response *head, size_t head_len,
	struct error *error)
{
	int read;
	do /* the body says why; what comes within the limit is enough */
		read = client->in_len < HEAD_MAX ? fill(client, client->timeout_ms) : 0;
	while (read > 0 && client->in_len - head_len < ERROR_TEXT_MAX);
	size_t len = size_min(client->in_len - head_len, ERROR_TEXT_MAX / 2);
	return fail(error, WL_ERR_DENIED, "the server answered %u: %.*s", head->status, (int)len,
		(const char *)client->in + head_len);
}

static enum wl_err answer_read(struct ws_client *client, const char *accept, struct error *error)
{
	struct native_http_response head;
	ptrdiff_t n;
	while ((n = native_http_parse_response((const char *)client->in, client->in_len, &head)) == 0) {
		if (client->in_len >= HEAD_MAX)
			return fail(error, WL_ERR_LIMIT, "the server's answer has too long a head");
		int read = fill(client, client->timeout_ms);
		if (read == 0)
			return fail(error, WL_ERR_UNAVAILABLE, "the server did not answer in time");
		if (read < 0)
			return fail(error, WL_ERR_IO, "the server hung up during the handshake");
	}
	if (n < 0)
		return fail(error, WL_ERR_INVALID, "the server's answer is not HTTP");
	if (head.status != 101)
		return refused(client, &head, (size_t)n, error);
	buf_put(&client->head, client->in, (size_t)n);
	client->in_at = (size_t)n;
	if (client->head.failed)
		return fail(error, WL_ERR_MEMORY, "no memory for the server's answer");
	if (!str_eq(ws_client_header(client, "sec-websocket-accept"), str_of(accept)))
		return fail(error, WL_ERR_INVALID, "the server's answer does not belong to our key");
	return WL_OK;
}

static enum wl_err shake(const struct ws_client_options *options, struct ws_client *client, struct error *error)
{
	uint8_t nonce[16];
	char key[32], accept[29];
	random_bytes(nonce, sizeof(nonce));
	EVP_EncodeBlock((uint8_t *)key, nonce, sizeof(nonce));
	ws_accept_key(str_of(key), accept);
	bool v6 = strchr(options->host, ':') != NULL;
	buf_printf(&client->out, "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", options->path, v6 ? "[" : "", options->host,
		v6 ? "]" : "", options->port, key);
	if (options->protocol != NULL)
		buf_printf(&client->out, "Sec-WebSocket-Protocol: %s\r\n", options->protocol);
	if (options->headers != NULL)
		buf_put_cstr(&client->out, options->headers);
	buf_put_cstr(&client->out, "\r\n");
	if (client->out.failed)
		return fail(error, WL_ERR_MEMORY, "no memory for the handshake");
	enum wl_err err = ws_client_flush(client, error);
	return err != WL_OK ? err : answer_read(client, accept, error);
}

enum wl_err ws_client_connect(const struct ws_client_options *options, struct ws_client **out, struct error *error)
{
	struct ws_client *client = mem_zalloc(sizeof(*client));
	if (client == NULL)
		return fail(error, WL_ERR_MEMORY, "no memory for a connection");
	client->fd = -1;
	client->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : TIMEOUT_DEFAULT_MS;
	client->plain_mask = options->plain_mask;
	client->mask_state = options->plain_mask ? 0 : random_u64();
	client->out = BUF_INIT(SIZE_MAX / 4);
	client->head = BUF_INIT(HEAD_MAX + READ_BYTES * 2);
	ws_parser_init(&client->parser, false,
		options->message_bytes_max != 0 ? options->message_bytes_max : MESSAGE_DEFAULT_MAX);
	enum wl_err err = dial(options, client, error);
	if (err == WL_OK)
		err = shake(options, client, error);
	if (err != WL_OK) {
		ws_client_destroy(client);
		return err;
	}
	*out = client;
	return WL_OK;
}

struct str ws_client_header(const struct ws_client *client, const char *lower_name)
{
	struct native_http_response head;
	if (native_http_parse_response((const char *)client->head.data, client->head.len, &head) > 0) {
		for (uint32_t i = 0; i < head.header_count; i++) {
			if (http_name_is(head.headers[i].name, head.headers[i].name_len, lower_name))
				return (struct str){ head.headers[i].value, head.headers[i].value_len };
		}
	}
	return (struct str){ "", 0 };
}

/* ---- messages ---- */
/* Masks guard proxies against chosen bytes; they need not be secret from the sender's own process. */
static uint32_t next_mask(struct ws_client *client)
{
	if (client->plain_mask)
		return 0;
	client->mask_state += 0x9e3779b97f4a7c15u;
	return (uint32_t)(hash_u64(client->mask_state) >> 32);
}

static bool frame_queue(struct ws_client *client, uint8_t opcode, const void *data, size_t len)
{
	uint8_t head[WS_HEAD_BYTES_MAX];
	size_t head_len = ws_head_write(head, opcode, len);
	head[1] |= 0x80;
	uint32_t mask = next_mask(client);
	store_u32(head + head_len, mask);
	head_len += 4;
	if (!buf_reserve(&client->out, head_len + len)) {
		client->out.failed = false;
		return false;
	}
	buf_put(&client->out, head, head_len);
	buf_put(&client->out, data, len);
	ws_mask(client->out.data + client->out.len - len, len, mask);
	return true;
}

bool ws_client_queue(struct ws_client *client, bool binary, const void *data, size_t len)
{
	return frame_queue(client, binary ? WS_BINARY : WS_TEXT, data, len);
}

enum wl_err ws_client_send(struct ws_client *client, bool binary, const void *data, size_t len, struct error *error)
{
	if (!ws_client_queue(client, binary, data, len))
		return fail(error, WL_ERR_MEMORY, "no memory for a message");
	return ws_client_flush(client, error);
}

enum wl_err ws_client_close(struct ws_client *client, uint16_t code, const char *reason, struct error *error)
{
	uint8_t payload[WS_CONTROL_BYTES_MAX];
	size_t len = ws_close_write(payload, code, str_of(reason));
	client->close_sent = true;
	if (!frame_queue(client, WS_CLOSE, payload, len))
		return fail(error, WL_ERR_MEMORY, "no memory for a message");
	return ws_client_flush(client, error);
}

static enum wl_err control(struct ws_client *client, const struct ws_frame *frame, struct ws_client_message *out,
	struct error *error)
{
	if (frame->opcode == WS_PONG)
		return WL_OK;
	bool closing = frame->opcode == WS_CLOSE;
	if (closing && !ws_close_read(frame->data, frame->len, &out->code, &out->reason))
		return fail(error, WL_ERR_INVALID, "the server sent a malformed Close");
	out->closed = client->over = closing;
	if (closing && client->close_sent)
		return WL_OK;
	if (!frame_queue(client, closing ? WS_CLOSE : WS_PONG, frame->data, frame->len))
		return fail(error, WL_ERR_MEMORY, "no memory for a message");
	enum wl_err err = ws_client_flush(client, error);
	return closing ? WL_OK : err; /* their Close has been read: whether the echo arrives is no concern */
}

enum wl_err ws_client_receive(struct ws_client *client, uint32_t timeout_ms, struct ws_client_message *out,
	struct error *error)
{
	*out = (struct ws_client_message){ .closed = client->over, .reason = { "", 0 } };
	uint64_t until = clock_ms() + timeout_ms;
	while (!out->closed) {
		size_t used;
		struct ws_frame frame;
		enum ws_step step = ws_parse(&client->parser, client->in + client->in_at, client->in_len - client->in_at, &used,
			&frame);
		client->in_at += used;
		if (step == WS_STEP_FAIL)
			return fail(error, WL_ERR_INVALID, "the server broke the WebSocket protocol");
		if (step == WS_STEP_MESSAGE) {
			out->binary = frame.opcode == WS_BINARY;
			out->data = frame.data;
			out->len = frame.len;
			return WL_OK;
		}
		if (step == WS_STEP_CONTROL) {
			enum wl_err err = control(client, &frame, out, error);
			if (err != WL_OK)
				return err;
			continue;
		}
		uint64_t now = clock_ms();
		uint32_t wait = timeout_ms == UINT32_MAX ? UINT32_MAX : until > now ? (uint32_t)(until - now) : 0;
		int read = fill(client, wait); /* pings may have come and been answered meanwhile: the limit is for all of it */
		if (read == 0)
			return fail(error, WL_ERR_UNAVAILABLE, "nothing came in time");
		if (read < 0)
			out->closed = client->over = true;
	}
	return WL_OK;
}
