/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_WS_CLIENT_H
#define NET_WS_CLIENT_H
/*
 * ws_client: the other end of a WebSocket, for our own command line, load
 * generator and tests. Plain TCP. One thread at a time per client; blocking
 * with time limits. Who wants to wait for several uses ws_client_fd with poll
 * and receives with a limit of 0.
 *
 * Pings are answered inside ws_client_receive; a Close is echoed there.
 */
#include "base/base.h"

struct ws_client;
struct ws_client_options {
	const char *host;          /* name or address, without brackets */
	uint16_t port;
	const char *path;          /* "/v1/database/x/subscribe?compression=None" */
	const char *protocol;      /* Sec-WebSocket-Protocol; NULL: none */
	const char *headers;       /* further lines, each ended by \r\n; NULL: none */
	uint32_t timeout_ms;       /* of connecting and the handshake, and of any one send; 0: 10 s */
	size_t message_bytes_max;  /* 0: 64 MiB */
	bool plain_mask;           /* mask with zeros: allowed by no browser, cheap for a load generator */
};
/* Refused handshakes are WL_ERR_DENIED with status and body in the error's text. */
enum wl_err ws_client_connect(const struct ws_client_options *options, struct ws_client **out, struct error *error);
void ws_client_destroy(struct ws_client *client); /* TCP close; NULL is fine */
int ws_client_fd(const struct ws_client *client);
/* A header of the 101 answer (lower-case name); empty when absent. Borrowed from the client. */
struct str ws_client_header(const struct ws_client *client, const char *lower_name);

/* Puts one message into the output buffer. False: no memory. */
bool ws_client_queue(struct ws_client *client, bool binary, const void *data, size_t len) CHECKED;
/* Sends all that is queued. */
enum wl_err ws_client_flush(struct ws_client *client, struct error *error);
enum wl_err ws_client_send(struct ws_client *client, bool binary, const void *data, size_t len, struct error *error);

struct ws_client_message {
	bool binary, closed;     /* closed: no message, the connection is over */
	uint16_t code;           /* of their Close; 0: none came */
	struct str reason;
	uint8_t *data;           /* borrowed until the next receive; a server's compression tag is still in front */
	size_t len;
};
/* WL_ERR_UNAVAILABLE: nothing came within timeout_ms (0: do not wait, UINT32_MAX: for ever). */
enum wl_err ws_client_receive(struct ws_client *client, uint32_t timeout_ms, struct ws_client_message *out,
	struct error *error);
/* Sends a Close; go on receiving until `closed`. */
enum wl_err ws_client_close(struct ws_client *client, uint16_t code, const char *reason, struct error *error);
#endif
