/* SPDX-License-Identifier: Apache-2.0 */
#include "net/outgoing.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <strings.h>
#include <unistd.h>

/* ---- addresses ---- */

struct block {
	uint8_t network[16];
	uint8_t bits;
};
/* IANA's special-purpose registries, and multicast. */
static const struct block blocks4[] = {
	{ { 0 }, 8 }, { { 10 }, 8 }, { { 100, 64 }, 10 }, { { 127 }, 8 }, { { 169, 254 }, 16 }, { { 172, 16 }, 12 },
	{ { 192, 0, 0 }, 24 }, { { 192, 0, 2 }, 24 }, { { 192, 31, 196 }, 24 }, { { 192, 52, 193 }, 24 },
	{ { 192, 88, 99 }, 24 }, { { 192, 168 }, 16 }, { { 192, 175, 48 }, 24 }, { { 198, 18 }, 15 },
	{ { 198, 51, 100 }, 24 }, { { 203, 0, 113 }, 24 }, { { 224 }, 4 }, { { 240 }, 4 },
};
static const struct block blocks6[] = {
	{ { 0 }, 8 }, /* unspecified, loopback, IPv4 in its various forms */
	{ { 0x01 }, 8 }, { { 0x20, 0x01 }, 23 }, { { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, { { 0x20, 0x02 }, 16 },
	{ { 0x26, 0x20, 0x00, 0x4f, 0x80 }, 48 }, { { 0x3f, 0xff }, 20 }, { { 0x5f }, 16 }, { { 0xfc }, 7 },
	{ { 0xfe, 0x80 }, 10 }, { { 0xff }, 8 },
};

static bool is_in(const uint8_t *address, const struct block *block)
{
	size_t whole = block->bits / 8, rest = block->bits % 8;
	if (memcmp(address, block->network, whole) != 0)
		return false;
	return rest == 0 || (address[whole] ^ block->network[whole]) >> (8 - rest) == 0;
}

static bool is_special(const uint8_t *address, const struct block *blocks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_in(address, &blocks[i]))
			return true;
	return false;
}

static bool allowed(const uint8_t *address, bool is_6, enum outgoing_reach reach)
{
	static const uint8_t loopback[16] = { [15] = 1 }, mapped[12] = { [10] = 0xff, [11] = 0xff };
	if (reach == OUTGOING_LOOPBACK && (is_6 ? memcmp(address, loopback, 16) == 0 : address[0] == 127))
		return true;
	if (is_6 && reach == OUTGOING_LOOPBACK && memcmp(address, mapped, 12) == 0 && address[12] == 127)
		return true;
	return !is_special(address, is_6 ? blocks6 : blocks4, is_6 ? ARRAY_COUNT(blocks6) : ARRAY_COUNT(blocks4));
}

bool outgoing_address_allowed(const struct sockaddr *address, enum outgoing_reach reach)
{
	if (reach == OUTGOING_ALL)
		return true;
	if (address->sa_family == AF_INET)
		return allowed((const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr, false, reach);
	if (address->sa_family == AF_INET6)
		return allowed(((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr, true, reach);
	return false;
}

/* ---- URLs ---- */

/* An address that is written as such, not as a name. */
static bool is_refused_literal(const char *host, enum outgoing_reach reach)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	char text[INET6_ADDRSTRLEN];
	size_t len = strlen(host);
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		return !outgoing_address_allowed((const struct sockaddr *)(const void *)&v4, reach);
	if (len < 2 || host[0] != '[' || len - 2 >= sizeof(text))
		return false;
	memcpy(text, host + 1, len - 2);
	text[len - 2] = '\0';
	return inet_pton(AF_INET6, text, &v6.sin6_addr) == 1
		&& !outgoing_address_allowed((const struct sockaddr *)(const void *)&v6, reach);
}

/* What is wrong with a URL before anything is sent, in the words that modules may know; NULL: nothing. */
static const char *url_fault(const char *url, enum outgoing_reach reach)
{
	if (url[0] == '\0')
		return "empty string";
	if (url[0] == '/')
		return "builder error: relative URL without a base";
	CURLU *parts = curl_url();
	char *host = NULL, *scheme = NULL;
	const char *fault = NULL;
	CURLUcode code = parts == NULL ? CURLUE_OUT_OF_MEMORY
		: curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
	if (code == CURLUE_BAD_PORT_NUMBER)
		fault = "builder error: invalid port number";
	else if (code == CURLUE_OUT_OF_MEMORY)
		fault = "not enough memory for the request";
	else if (code != CURLUE_OK || curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK
		|| curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
		fault = "invalid format";
	else if (is_refused_literal(host, reach))
		fault = OUTGOING_REFUSED;
	else if (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0)
		fault = "builder error: URL scheme is not allowed";
	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(parts);
	return fault;
}

/* ---- one request ---- */

struct transfer {
	const struct outgoing_request *request;
	struct outgoing_response *response;
	bool refused, stopped;
	bool undecoded; /* its body is not what it says */
};

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *transfer = context;
	(void)purpose;
	if (!outgoing_address_allowed(&address->addr, transfer->request->reach)) {
		transfer->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
	struct transfer *transfer = context;
	(void)size;
	buf_put(&transfer->response->body, data, count);
	return transfer->response->body.failed ? 0 : count;
}

/* A status line begins a new answer: those before it were redirects, or provisional. */
static size_t take_header(char *data, size_t size, size_t count, void *context)
{
	struct outgoing_response *response = ((struct transfer *)context)->response;
	(void)size;
	const char *colon = memchr(data, ':', count);
	if (count > 5 && memcmp(data, "HTTP/", 5) == 0) {
		buf_clear(&response->headers);
		buf_clear(&response->body);
		response->header_count = 0;
	} else if (colon != NULL && colon > data) {
		size_t name = (size_t)(colon - data);
		struct str value = { colon + 1, count - name - 1 };
		while (value.len > 0 && strchr(" \t", value.data[0]) != NULL)
			value = (struct str){ value.data + 1, value.len - 1 };
		while (value.len > 0 && strchr(" \t\r\n", value.data[value.len - 1]) != NULL)
			value.len--;
		for (size_t i = 0; i < name; i++)
			if (data[i] >= 'A' && data[i] <= 'Z')
				data[i] |= 32;
		buf_put_bsatn_str(&response->headers, (struct str){ data, name });
		buf_put_bsatn_str(&response->headers, value);
		response->header_count++;
	}
	return response->headers.failed ? 0 : count;
}

static int look(void *context, curl_off_t total, curl_off_t now, curl_off_t to_send, curl_off_t sent)
{
	struct transfer *transfer = context;
	(void)total, (void)now, (void)to_send, (void)sent;
	transfer->stopped = transfer->request->stopped != NULL && transfer->request->stopped(transfer->request->context);
	return transfer->stopped;
}

static bool add_line(struct curl_slist **list, struct buf *line)
{
	struct curl_slist *grown = line->failed ? NULL : curl_slist_append(*list, buf_text(line));
	if (grown != NULL)
		*list = grown;
	return grown != NULL;
}

static bool has_header(const struct outgoing_request *request, const char *name)
{
	for (uint32_t i = 0; i < request->header_count; i++)
		if (request->headers[i].name.len == strlen(name) &&
			strncasecmp(request->headers[i].name.data, name, strlen(name)) == 0)
			return true;
	return false;
}

/* The headers as libcurl takes them; those that it would add by itself are taken out. */
static bool make_headers(const struct outgoing_request *request, struct curl_slist **list)
{
	static const char *const own[] = { "Accept", "Expect", "Content-Type" };
	struct buf line = BUF_INIT(1 << 20);
	bool ok = true;
	for (size_t i = 0; ok && i < ARRAY_COUNT(own); i++) {
		buf_clear(&line);
		buf_printf(&line, "%s:", own[i]);
		ok = has_header(request, own[i]) || add_line(list, &line);
	}
	if (ok && request->decode && !has_header(request, "Accept-Encoding")) {
		buf_clear(&line);
		buf_put_cstr(&line, "Accept-Encoding: gzip, br");
		ok = add_line(list, &line);
	}
	for (uint32_t i = 0; ok && i < request->header_count; i++) {
		const struct net_header *header = &request->headers[i];
		buf_clear(&line);
		buf_put_str(&line, header->name);
		buf_put_cstr(&line, header->value.len > 0 ? ": " : ";");
		buf_put_str(&line, header->value);
		ok = add_line(list, &line);
	}
	buf_deinit(&line);
	return ok;
}

static void set_options(CURL *curl, struct transfer *transfer, const char *url, const char *method,
	struct curl_slist *headers)
{
	const struct outgoing_request *request = transfer->request;
	bool is_head = strcmp(method, "HEAD") == 0;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, request->redirects_max > 0 ? 1L : 0L);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)request->redirects_max);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->total_ms);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	if (request->body.len > 0) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)request->body.data);
	}
	if (is_head)
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	else if (strcmp(method, "GET") != 0 || request->body.len > 0)
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
}

static void tell(const struct transfer *transfer, CURLcode code, long system_error, struct buf *error)
{
	struct str url = transfer->request->url;
	const char *query = url.len > 0 ? memchr(url.data, '?', url.len) : NULL;
	if (query != NULL)
		url.len = (size_t)(query - url.data);
	buf_printf(error, "error sending request for url (%.*s): ", STR_FMT(url));
	if (transfer->refused)
		buf_put_cstr(error, OUTGOING_REFUSED);
	else if (transfer->stopped)
		buf_put_cstr(error, "the database is closing");
	else if (transfer->response->body.failed || transfer->response->headers.failed)
		buf_printf(error, "the answer is larger than %llu bytes", (unsigned long long)transfer->request->body_max);
	else if (transfer->undecoded)
		buf_put_cstr(error, "error decoding response body");
	else if (code == CURLE_OPERATION_TIMEDOUT)
		buf_put_cstr(error, "operation timed out");
	else if (code == CURLE_COULDNT_RESOLVE_HOST)
		buf_put_cstr(error, "client error (Connect): dns error: failed to lookup address information: "
			"Name or service not known");
	else if (code == CURLE_COULDNT_CONNECT && system_error != 0)
		buf_printf(error, "client error (Connect): tcp connect error: %s (os error %ld)",
			strerrordesc_np((int)system_error), system_error);
	else
		buf_put_cstr(error, curl_easy_strerror(code));
}

static uint8_t version_of(long version)
{
	return version == CURL_HTTP_VERSION_1_0 ? 1 : version == CURL_HTTP_VERSION_2_0 ? 3
		: version == CURL_HTTP_VERSION_3 ? 4 : 2;
}

static bool is_name(struct str text, const char *name)
{
	return text.len == strlen(name) && strncasecmp(text.data, name, text.len) == 0;
}

/* Of the answer's headers those that are kept: all but what the encoding said, which is gone. */
static void put_plain_headers(struct outgoing_response *response)
{
	struct reader r = reader_of(response->headers.data, response->headers.len);
	struct buf kept = BUF_INIT(response->headers.max);
	uint32_t count = 0;
	for (uint32_t i = 0; i < response->header_count; i++) {
		struct str name = reader_bsatn_str(&r);
		struct bytes value = reader_bsatn_bytes(&r);
		if (is_name(name, "content-encoding") || is_name(name, "content-length"))
			continue;
		buf_put_bsatn_str(&kept, name);
		buf_put_bsatn_bytes(&kept, value.data, value.len);
		count++;
	}
	buf_deinit(&response->headers);
	response->headers = kept;
	response->header_count = count;
}

/* One encoding that we asked for; anything else is the guest's to understand. */
static bool decode_body(struct outgoing_response *response)
{
	struct reader r = reader_of(response->headers.data, response->headers.len);
	struct str encoding = { NULL, 0 };
	uint32_t found = 0;
	for (uint32_t i = 0; i < response->header_count; i++) {
		struct str name = reader_bsatn_str(&r);
		struct bytes value = reader_bsatn_bytes(&r);
		if (!is_name(name, "content-encoding"))
			continue;
		encoding = (struct str){ (const char *)value.data, value.len };
		found++;
	}
	bool br = is_name(encoding, "br");
	if (found != 1 || response->body.len == 0 || (!br && !is_name(encoding, "gzip")))
		return true;
	struct buf plain = BUF_INIT(response->body.max);
	bool ok = outgoing_decode(br ? STR("br") : STR("gzip"), buf_bytes(&response->body), &plain);
	buf_deinit(&response->body);
	response->body = plain;
	put_plain_headers(response);
	return ok && !response->headers.failed;
}

static bool perform(struct transfer *transfer, struct curl_slist *headers, struct buf *error)
{
	struct buf text = BUF_INIT(1 << 24);
	CURL *curl = curl_easy_init();
	size_t method_at;
	buf_put_str(&text, transfer->request->url);
	buf_put_u8(&text, 0);
	method_at = text.len;
	buf_put_str(&text, transfer->request->method);
	buf_put_u8(&text, 0);
	CURLcode code = curl == NULL || text.failed ? CURLE_OUT_OF_MEMORY : CURLE_OK;
	const char *fault = code == CURLE_OK ? url_fault((const char *)text.data, transfer->request->reach) : NULL;
	long system_error = 0;
	if (code == CURLE_OK && fault == NULL) {
		long status = 0, version = 0;
		set_options(curl, transfer, (const char *)text.data, (const char *)text.data + method_at, headers);
		code = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(curl, CURLINFO_HTTP_VERSION, &version);
		curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &system_error);
		transfer->response->status = (uint32_t)status;
		transfer->response->version = version_of(version);
	}
	curl_easy_cleanup(curl);
	if (code == CURLE_OK && fault == NULL && transfer->request->decode && !decode_body(transfer->response)) {
		transfer->undecoded = !transfer->response->body.failed && !transfer->response->headers.failed;
		code = CURLE_BAD_CONTENT_ENCODING;
	}
	if (fault != NULL)
		buf_put_cstr(error, fault);
	else if (code != CURLE_OK)
		tell(transfer, code, system_error, error);
	buf_deinit(&text);
	return code == CURLE_OK && fault == NULL;
}

bool outgoing_perform(const struct outgoing_request *request, struct outgoing_response *response, struct buf *error)
{
	struct transfer transfer = { .request = request, .response = response };
	struct curl_slist *headers = NULL;
	*response = (struct outgoing_response){
		.headers = BUF_INIT(request->body_max),
		.body = BUF_INIT(request->body_max),
	};
	bool ok = make_headers(request, &headers);
	if (ok)
		ok = perform(&transfer, headers, error);
	else
		buf_put_cstr(error, "not enough memory for the request");
	curl_slist_free_all(headers);
	return ok;
}

void outgoing_response_deinit(struct outgoing_response *response)
{
	buf_deinit(&response->headers);
	buf_deinit(&response->body);
}
