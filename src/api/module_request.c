/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests of procedures: from BSATN to libcurl and back (module-abi.md 5.5). */
#include "api/api_internal.h"
#include "base/mem.h"
#include "net/outgoing.h"

enum {
	TIMEOUT_MS = 30000, TIMEOUT_MS_MAX = 180000, REDIRECTS_MAX = 10, BODY_BYTES_MAX = 256 << 20,
	VERSIONS = 5, OPTION_SOME = 0, OPTION_NONE = 1,
};

static bool is_token(struct str text)
{
	return http_header_is_valid(text, STR(""));
}

static struct str take_method(struct reader *r, struct module_wanted *w)
{
	uint8_t tag = reader_u8(r);
	if (tag < HTTP_METHODS)
		return str_of(http_methods[tag]);
	if (tag != HTTP_METHOD_EXTENSION)
		reader_fail(r, "HttpMethod", 1);
	struct str name = reader_bsatn_str(r);
	if (!r->failed && !is_token(name))
		w->wrong = "invalid HTTP method";
	return name;
}

static void take_headers(struct reader *r, struct module_wanted *w)
{
	for (uint32_t left = reader_u32(r); left > 0 && !r->failed; left--) {
		struct str name = reader_bsatn_str(r);
		struct bytes bytes = reader_bsatn_bytes(r);
		struct str value = { (const char *)bytes.data, bytes.len };
		if (r->failed)
			return;
		if (!http_header_is_valid(name, value))
			w->wrong = "invalid HTTP header";
		else if (w->request.header_count == MODULE_HEADERS_MAX)
			w->wrong = "more than 1024 headers";
		else
			w->headers[w->request.header_count++] = (struct net_header){ name, value };
	}
}

static void take_timeout(struct reader *r, struct module_wanted *w)
{
	uint8_t tag = reader_u8(r);
	w->request.total_ms = TIMEOUT_MS;
	if (tag > OPTION_NONE)
		reader_fail(r, "Option", 1);
	if (tag != OPTION_SOME || r->failed)
		return;
	int64_t micros = (int64_t)reader_u64(r);
	if (micros < 0)
		w->wrong = "a negative timeout";
	else
		w->request.total_ms = micros >= TIMEOUT_MS_MAX * INT64_C(1000) ? TIMEOUT_MS_MAX
			: micros < 1000 ? 1 : (uint32_t)(micros / 1000);
}

bool module_request_read(struct bytes data, struct module_wanted *w)
{
	struct reader r = reader_of(data.data, data.len);
	w->request.method = take_method(&r, w);
	take_headers(&r, w);
	take_timeout(&r, w);
	w->request.url = reader_bsatn_str(&r);
	w->request.headers = w->headers;
	if (w->request.url.len > 0 && memchr(w->request.url.data, 0, w->request.url.len) != NULL)
		w->wrong = "invalid URI";
	return reader_u8(&r) < VERSIONS && !r.failed;
}

static void put_response(struct buf *out, const struct outgoing_response *response)
{
	buf_put_u32(out, response->header_count);
	buf_put(out, response->headers.data, response->headers.len);
	buf_put_u8(out, response->version);
	buf_put_u16(out, (uint16_t)response->status);
}

bool module_request(void *context, struct bytes request, struct bytes body, bool (*stopped)(void *arg), void *arg,
	struct buf *response, struct buf *response_body, bool *malformed)
{
	const struct api *api = context;
	struct module_wanted *w = mem_zalloc(sizeof(*w));
	if (w == NULL) {
		if (response != NULL)
			buf_put_cstr(response, "not enough memory for the request");
		return false;
	}
	*malformed = !module_request_read(request, w);
	if (response == NULL) {
		mem_free(w);
		return false;
	}
	w->request.body = body;
	w->request.decode = true;
	w->request.redirects_max = REDIRECTS_MAX;
	w->request.body_max = BODY_BYTES_MAX;
	w->request.reach = api->config.module_http_loopback ? OUTGOING_LOOPBACK : OUTGOING_PUBLIC;
	w->request.stopped = stopped;
	w->request.context = arg;
	bool ok = false;
	if (!*malformed && w->wrong != NULL) {
		buf_put_cstr(response, w->wrong);
	} else if (!*malformed) {
		struct outgoing_response answer;
		ok = outgoing_perform(&w->request, &answer, response);
		if (ok) {
			put_response(response, &answer);
			buf_put(response_body, answer.body.data, answer.body.len);
		}
		outgoing_response_deinit(&answer);
	}
	mem_free(w);
	return ok;
}
