/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_HTTP_BODY_H
#define NET_HTTP_BODY_H
/*
 * http_body: what a request's head says about its body, and the chunked
 * coding, as pure functions over bytes.
 */
#include "base/buf.h"
#include "native.h"

enum http_framing { HTTP_NO_BODY, HTTP_LENGTH, HTTP_CHUNKED };
struct http_facts {
	enum http_framing framing;
	uint64_t length;      /* HTTP_LENGTH */
	bool absent;          /* neither content-length nor transfer-encoding */
	bool keep_alive;      /* after the answer */
	bool expects_continue;
};
/* False: a length or coding that cannot be obeyed (400). */
bool http_facts_read(const struct native_http_request *head, struct http_facts *facts);

/* True if a comma-separated header value has this token, in any case. */
bool http_has_token(struct str value, const char *lower_token);
bool http_name_is(const char *name, size_t len, const char *lower_name);

struct http_chunked {
	uint64_t left;       /* of the chunk's data */
	uint32_t extra_bytes; /* of all extensions and trailers: bounded */
	uint8_t state, digits;
};
enum http_step { HTTP_STEP_MORE, HTTP_STEP_DONE, HTTP_STEP_BAD, HTTP_STEP_TOO_LARGE, HTTP_STEP_MEMORY };
/* Decodes into `out`; too large is what exceeds `max` or out's own maximum. */
enum http_step http_chunked_feed(struct http_chunked *chunked, const uint8_t *data, size_t len, size_t *used,
	struct buf *out, uint64_t max);
#endif
