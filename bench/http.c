/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking HTTP/1.1 client that reads until the server closes or the length
 * it announced is there.
 */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 256 << 20, READ_BYTES = 64 << 10 };

int target_connect(const struct target *target)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(target->port) };
	if (inet_pton(AF_INET, target->address, &address.sin_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		int why = errno;
		close(fd);
		errno = why;
		return -1;
	}
	return fd;
}

static bool send_all(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;
	while (len > 0) {
		ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		at += sent;
		len -= (size_t)sent;
	}
	return true;
}

/* The value of a header in the head, or NULL. `head` is terminated. */
static const char *header_value(const char *head, const char *lower_name)
{
	const char *line = head;
	size_t len = strlen(lower_name);
	while ((line = strstr(line, "\r\n")) != NULL) {
		line += 2;
		if (strncasecmp(line, lower_name, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " ");
	}
	return NULL;
}

static bool dechunk(const char *at, const char *end, struct buf *out)
{
	for (;;) {
		char *line_end;
		unsigned long long size = strtoull(at, &line_end, 16);
		const char *data = memmem(line_end, (size_t)(end - line_end), "\r\n", 2);
		if (data == NULL)
			return false;
		data += 2;
		if (size == 0)
			return true;
		if (size > (size_t)(end - data))
			return false;
		buf_put(out, data, size);
		at = data + size + 2;
		if (at > end)
			return false;
	}
}

/* Reads the answer; true once it is whole. */
static bool read_answer(int fd, struct buf *raw, size_t *head_len)
{
	*head_len = 0;
	uint64_t whole = UINT64_MAX;
	while (raw->len < whole) {
		uint8_t *at = buf_extend(raw, READ_BYTES);
		if (at == NULL)
			return false;
		ssize_t got = recv(fd, at, READ_BYTES, 0);
		raw->len -= READ_BYTES - (got > 0 ? (size_t)got : 0);
		if (got <= 0)
			return got == 0 && *head_len > 0 && whole == UINT64_MAX;
		if (*head_len > 0)
			continue;
		const char *text = buf_text(raw), *head_end = strstr(text, "\r\n\r\n");
		if (head_end == NULL)
			continue;
		*head_len = (size_t)(head_end - text) + 4;
		const char *length = header_value(text, "content-length");
		if (length != NULL && length < head_end)
			whole = *head_len + strtoull(length, NULL, 10);
	}
	return true;
}

int http_send(const struct target *target, const struct http_request *request, struct buf *body)
{
	int fd = target_connect(target), status = -1;
	struct buf head = BUF_INIT(64 << 10), raw = BUF_INIT(ANSWER_BYTES_MAX);
	if (fd < 0)
		goto done;
	buf_printf(&head, "%s %s HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\nContent-Length: %zu\r\n", request->method,
		request->path, target->address, target->port, request->body.len);
	if (target->token != NULL)
		buf_printf(&head, "Authorization: Bearer %s\r\n", target->token);
	if (request->content_type != NULL)
		buf_printf(&head, "Content-Type: %s\r\n", request->content_type);
	buf_put_cstr(&head, "\r\n");
	size_t head_len;
	if (head.failed || !send_all(fd, head.data, head.len) || !send_all(fd, request->body.data, request->body.len) ||
		!read_answer(fd, &raw, &head_len))
		goto done;
	const char *text = buf_text(&raw);
	status = strncmp(text, "HTTP/1.1 ", 9) == 0 ? (int)strtol(text + 9, NULL, 10) : -1;
	const char *coding = header_value(text, "transfer-encoding");
	if (coding != NULL && coding < text + head_len && strncasecmp(coding, "chunked", 7) == 0) {
		if (!dechunk(text + head_len, text + raw.len, body))
			status = -1;
	} else {
		buf_put(body, text + head_len, raw.len - head_len);
	}
done:
	if (status < 0)
		fprintf(stderr, "load: %s %s: %s\n", request->method, request->path,
			fd < 0 ? strerror(errno) : "no whole answer");
	if (fd >= 0)
		close(fd);
	buf_deinit(&head);
	buf_deinit(&raw);
	return status;
}
