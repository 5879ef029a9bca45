/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP at run time: requests and responses as BSATN, and the export that handlers are called by. */
#include "worldline/runtime.h"

#include "worldline/http.h"

enum { VERSION_1_1 = 2, NONE = 1, SOME = 0 };

static void put_headers(struct wl_writer *w, const struct http_header *headers, u32 count)
{
	wl_put_u32(w, &count);
	for (u32 i = 0; i < count; i++) {
		wl_put_str(w, &headers[i].name);
		wl_put_bytes(w, &headers[i].value);
	}
}

static const struct http_header *get_headers(struct wl_reader *r, u32 *count)
{
	*count = wl_read_u32(r);
	struct http_header *headers = wl_alloc(wl_array_size(*count, sizeof(*headers)));
	for (u32 i = 0; i < *count; i++) {
		wl_get_str(r, &headers[i].name);
		wl_get_bytes(r, &headers[i].value);
	}
	return headers;
}

static struct wl_reader reader(bytes data)
{
	struct wl_reader r = { data.data, data.data + data.len };
	return r;
}

/* ---- asking ---- */

bool wl_http_send(const struct http_request *request, struct http_response *response, str *error)
{
	struct wl_writer w = wl_writer();
	u8 method = (u8)request->method, timeout = request->timeout_micros > 0 ? SOME : NONE, version = VERSION_1_1;
	u32 out[2] = { 0, 0 };
	wl_put_u8(&w, &method);
	if (request->method == HTTP_EXTENSION)
		wl_put_str(&w, &request->extension);
	put_headers(&w, request->headers, request->header_count);
	wl_put_u8(&w, &timeout);
	if (timeout == SOME)
		wl_put_i64(&w, &request->timeout_micros);
	wl_put_str(&w, &request->uri);
	wl_put_u8(&w, &version);
	wl_write_keep(&w);
	const void *body = request->body.data == NULL ? w.begin : request->body.data; /* NULL is no pointer to the host */
	u32 code = wl_abi_http_request(w.begin, wl_written(&w), body, request->body.len, out);
	if (code == WL_WOULD_BLOCK_TRANSACTION)
		wl_stop("no request can be sent inside a transaction");
	if (code != 0 && code != WL_HTTP_ERROR)
		wl_panic("wl_http_send: error %u", code);
	struct wl_reader r = reader(wl_source_take(out[0]));
	if (code == WL_HTTP_ERROR) {
		wl_get_str(&r, error);
		return false;
	}
	u8 answered;
	response->headers = get_headers(&r, &response->header_count);
	wl_get_u8(&r, &answered);
	wl_get_u16(&r, &response->status);
	response->body = wl_source_take(out[1]);
	return true;
}

bool wl_http_get(const char *uri, struct http_response *response, str *error)
{
	struct http_request request = { .method = HTTP_GET, .uri = wl_str_of(uri, strlen(uri)) };
	return wl_http_send(&request, response, error);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool wl_http_find(const struct http_header *headers, u32 count, const char *name, str *value)
{
	size_t len = strlen(name);
	for (u32 i = 0; i < count; i++) {
		size_t same = 0;
		while (headers[i].name.len == len && same < len && lower(headers[i].name.data[same]) == lower(name[same]))
			same++;
		if (headers[i].name.len != len || same < len)
			continue;
		*value = wl_str_of((const char *)headers[i].value.data, headers[i].value.len);
		return true;
	}
	return false;
}

/* ---- answering ---- */

i32 wl_handler_run(u32 id, u64 micros, u32 head, u32 body, u32 response_sink, u32 body_sink)
{
	u8 *mark = wl_arena.top, version = VERSION_1_1, has_timeout;
	const struct wl_handler *handler = wl_item_at(WL_HANDLERS, id, 0, 0);
	struct wl_ctx ctx;
	wl_call_begin(&ctx, 0, 0, 0, 0, 0, 0, micros);
	struct wl_reader r = reader(wl_source_take(head));
	struct http_request request = { .method = (enum http_method)*wl_read(&r, 1) };
	if (request.method == HTTP_EXTENSION)
		wl_get_str(&r, &request.extension);
	request.headers = get_headers(&r, &request.header_count);
	wl_get_u8(&r, &has_timeout);
	if (has_timeout == SOME)
		wl_get_i64(&r, &request.timeout_micros);
	wl_get_str(&r, &request.uri);
	request.body = wl_source_take(body);
	struct http_response response = handler->run(&ctx, &request);
	struct wl_writer w = wl_writer();
	put_headers(&w, response.headers, response.header_count);
	wl_put_u8(&w, &version);
	wl_put_u16(&w, &response.status);
	wl_sink_put(response_sink, w.begin, wl_written(&w));
	wl_sink_put(body_sink, response.body.data, response.body.len);
	wl_arena.top = mark;
	return 0;
}
