/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OUTGOING_H
#define OUTGOING_H
/*
 * outgoing: HTTP requests to others, over libcurl. Who asks for them may be
 * anybody, so addresses are checked when they are connected to: after the
 * resolution of names, and again at each redirect. No proxies: one would hide
 * the address.
 *
 * Threading: [any], blocking; nothing is kept between requests.
 *
 * Source: module-abi.md 5.5 (addresses that are refused).
 */
#include "net/net.h"

enum outgoing_reach {
	OUTGOING_PUBLIC,   /* addresses on the public Internet */
	OUTGOING_LOOPBACK, /* and this machine's own */
	OUTGOING_ALL,
};
struct outgoing_request {
	struct str method, url;
	const struct net_header *headers;
	uint32_t header_count;
	struct bytes body;
	uint32_t connect_ms, total_ms; /* 0: no limit of its own */
	uint32_t redirects_max;
	uint64_t body_max;             /* of the response, and of its headers */
	bool decode;                   /* asks for gzip and br, if the headers do not say otherwise, and takes them away */
	enum outgoing_reach reach;
	bool (*stopped)(void *context); /* asked now and then: true ends it. May be NULL */
	void *context;
};
struct outgoing_response {
	uint32_t status;
	uint8_t version;   /* as HttpVersion: 0 0.9, 1 1.0, 2 1.1, 3 2, 4 3 */
	uint32_t header_count;
	struct buf headers; /* of the last answer: BSATN string and bytes of each, names in lower case */
	struct buf body;
};
/* True: an answer, whatever its status. False: `error` says why, without the query of the URL. */
bool outgoing_perform(const struct outgoing_request *request, struct outgoing_response *response, struct buf *error);
void outgoing_response_deinit(struct outgoing_response *response);

/* A body in the encoding "gzip" or "br", appended to `out`. False: it is none, is cut short, or is too large. */
bool outgoing_decode(struct str encoding, struct bytes body, struct buf *out);

struct sockaddr;
bool outgoing_address_allowed(const struct sockaddr *address, enum outgoing_reach reach);
#define OUTGOING_REFUSED "refusing to connect to private or special-purpose addresses"
#endif
