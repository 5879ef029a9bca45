/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H
/*
 * http: one blocking request on a connection of its own. For setting a
 * benchmark up, not for load.
 */
#include "base/buf.h"

struct target {
	const char *address; /* dotted IPv4 */
	uint16_t port;
	const char *database;
	const char *token;   /* NULL: anonymous */
};
int target_connect(const struct target *target); /* a blocking socket, -1 with errno */

struct http_request {
	const char *method, *path, *content_type; /* content_type NULL: none */
	struct bytes body;
};
/* Returns the status and the whole answer's body, or -1 with a text on stderr. */
int http_send(const struct target *target, const struct http_request *request, struct buf *body);
#endif
