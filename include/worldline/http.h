/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLDLINE_HTTP_H
#define WORLDLINE_HTTP_H
/*
 * HTTP: requests that procedures send, and requests to …/v1/database/NAME/route/PATH that the module answers.
 *
 *   WL_HANDLER(hello) { return wl_reply(200, WL_STR("hello")); }
 *   WL_ROUTE(GET, "/hello", hello)            or ANY, HEAD, POST, PUT, DELETE, OPTIONS, PATCH
 *
 * In a handler `request` is what was asked, and `ctx->sender` an identity made for this request alone.
 */
#pragma clang system_header
#include "worldline/function.h"

enum http_method {
	HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_CONNECT, HTTP_OPTIONS, HTTP_TRACE, HTTP_PATCH,
	HTTP_EXTENSION, HTTP_ANY = -1,
};
struct http_header {
	str name;
	bytes value;
};
struct http_request {
	enum http_method method;
	str extension; /* the method, if it is another */
	str uri;
	const struct http_header *headers;
	u32 header_count;
	bytes body;
	i64 timeout_micros; /* 0: the host's 30 seconds; what it grants at most is 180 */
};
struct http_response {
	u16 status;
	const struct http_header *headers;
	u32 header_count;
	bytes body;
};

/* In procedures, outside transactions. False: `error` says why there is no answer. Any status is an answer. */
WL_EXTERN bool wl_http_send(const struct http_request *request, struct http_response *response, str *error);
WL_EXTERN bool wl_http_get(const char *uri, struct http_response *response, str *error);
WL_EXTERN bool wl_http_find(const struct http_header *headers, u32 count, const char *name, str *value); /* any case */
WL_INLINE str wl_body(const struct http_response *response)
{
	return wl_str_of((const char *)response->body.data, response->body.len);
}
WL_INLINE struct http_response wl_reply(u16 status, str body)
{
	struct http_response response = { status, NULL, 0, { (const u8 *)body.data, body.len } };
	return response;
}

struct wl_handler {
	const char *name;
	struct http_response (*run)(const struct wl_ctx *ctx, const struct http_request *request);
};
struct wl_route {
	i32 method; /* enum http_method */
	const char *path;
	const struct wl_handler *handler;
};
WL_EXTERN void wl_put_item_handler(struct wl_writer *w, const void *handler);
WL_EXTERN void wl_put_item_route(struct wl_writer *w, const void *route);
/* What the host calls handlers by: part of modules that include this. */
#define WL_HANDLER_PARAMETERS \
	u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u32 jwt, u64 micros, u32 head, u32 body, u32 response_sink, u32 body_sink
WL_EXTERN i32 wl_handler_run(WL_HANDLER_PARAMETERS);
WL_EXTERN __attribute__((weak, export_name("__call_http_handler__"))) i32 wl_export_handler(WL_HANDLER_PARAMETERS);
#ifndef WL_SMALL
__attribute__((weak)) i32 wl_export_handler(WL_HANDLER_PARAMETERS)
{
	return wl_handler_run(id, s0, s1, s2, s3, jwt, micros, head, body, response_sink, body_sink);
}
#endif

#define WL_HANDLER(name) \
	static struct http_response wl_body_##name(const struct wl_ctx *ctx, const struct http_request *request); \
	static const struct wl_handler wl_handler_##name = { #name, wl_body_##name }; \
	WL_ITEM(WL_HANDLERS, handler_##name, #name, &wl_handler_##name, wl_put_item_handler) \
	static struct http_response wl_body_##name(WL_UNUSED const struct wl_ctx *ctx, \
		WL_UNUSED const struct http_request *request)
#define WL_ROUTE(method, path, name) WL_ROUTE_I(WL_PASTE(route_, __COUNTER__), HTTP_##method, path, name)
#define WL_ROUTE_I(item, method, path, name) WL_ROUTE_II(item, method, path, name)
#define WL_ROUTE_II(item, method, path, name) \
	static const struct wl_route wl_##item = { method, path, &wl_handler_##name }; \
	WL_ITEM(WL_ROUTES, item, NULL, &wl_##item, wl_put_item_route)
#endif
