/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetches the documents in which foreign issuers publish their keys. Any client can name an issuer, so any client can
 * make this host send a request: addresses are checked when they are connected to (after name resolution, at every
 * redirect), and size, time and protocols are limited. The status of the answer is ignored, as the reference does.
 */
#include "api/api_internal.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

enum { CONNECT_MS = 5000, TOTAL_MS = 10000, REDIRECTS_MAX = 10 };

struct fetch {
	const struct api *api;
	struct buf *body;
	bool blocked;
};

struct block {
	uint32_t network;
	uint8_t bits;
};
/* Not on the public Internet (IANA special-purpose registry). */
static const struct block blocks4[] = {
	{ 0x00000000, 8 }, { 0x0a000000, 8 }, { 0x64400000, 10 }, { 0x7f000000, 8 }, { 0xa9fe0000, 16 }, { 0xac100000, 12 },
	{ 0xc0000000, 24 }, { 0xc0000200, 24 }, { 0xc0586300, 24 }, { 0xc0a80000, 16 }, { 0xc6120000, 15 },
	{ 0xc6336400, 24 }, { 0xcb007100, 24 }, { 0xe0000000, 4 }, { 0xf0000000, 4 },
};

static bool private4(uint32_t address)
{
	for (size_t i = 0; i < ARRAY_COUNT(blocks4); i++)
		if ((address ^ blocks4[i].network) >> (32 - blocks4[i].bits) == 0)
			return true;
	return false;
}

/* Global unicast is 2000::/3; inside it, addresses that carry an IPv4 one, and documentation. */
static bool private6(const uint8_t a[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	uint32_t last = (uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15];
	if (memcmp(a, mapped, 12) == 0)
		return private4(last);
	if (a[0] == 0x00 && a[1] == 0x64 && a[2] == 0xff && a[3] == 0x9b)
		return private4(last); /* NAT64 */
	if ((a[0] & 0xe0) != 0x20)
		return true;
	if (a[0] == 0x20 && a[1] == 0x02)
		return private4((uint32_t)a[2] << 24 | (uint32_t)a[3] << 16 | (uint32_t)a[4] << 8 | a[5]); /* 6to4 */
	return a[0] == 0x20 && a[1] == 0x01 && ((a[2] == 0x0d && a[3] == 0xb8) || (a[2] == 0 && a[3] == 0));
}

bool fetch_address_private(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return private4(ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
	if (address->sa_family == AF_INET6)
		return private6(((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
	return true;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct fetch *fetch = context;
	(void)purpose;
	if (!fetch->api->config.oidc_private_addresses && fetch_address_private(&address->addr)) {
		fetch->blocked = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t take(char *data, size_t size, size_t count, void *context)
{
	struct fetch *fetch = context;
	(void)size;
	buf_put(fetch->body, data, count);
	return fetch->body->failed ? 0 : count;
}

enum wl_err fetch_url(void *context, const char *url, struct buf *body, struct error *error)
{
	struct fetch fetch = { .api = context, .body = body };
	CURL *curl = curl_easy_init();
	if (curl == NULL)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TOTAL_MS);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* a proxy would hide the address from the check */
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &fetch);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &fetch);
	CURLcode code = curl_easy_perform(curl);
	curl_easy_cleanup(curl);
	if (fetch.blocked)
		return fail(error, WL_ERR_DENIED, "%s: the address is not public", url);
	if (body->failed)
		return fail(error, WL_ERR_LIMIT, "%s: more than %zu bytes", url, body->max);
	if (code != CURLE_OK)
		return fail(error, WL_ERR_IO, "%s: %s", url, curl_easy_strerror(code));
	return WL_OK;
}
