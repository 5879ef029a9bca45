/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests through libcurl's easy interface, one at a time.
 *
 * The environment's proxy is used as libcurl does, but never for a loopback host: a proxy elsewhere cannot reach it.
 * No redirect is followed to another protocol, and libcurl sends no token to another host.
 */
#include "cli/http.h"
#include "host/version.h"

#include <curl/curl.h>
#include <stdio.h>
#include <strings.h>

enum { REDIRECTS_MAX = 10, CONNECT_SECONDS = 30, JSON_PRETTY_DEPTH_MAX = 256 };

/* ---- one exchange ---- */

struct exchange {
	CURL *curl;
	const struct cli_request *request;
	struct cli_reply *reply;
	bool stopped; /* by the sink */
};

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
	struct exchange *x = context;
	size_t len = size * count;
	long status = 0;
	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
	if (x->request->sink != NULL && status >= 200 && status < 300) {
		x->stopped = !x->request->sink(x->request->sink_context, (const uint8_t *)data, len);
		return x->stopped ? 0 : len;
	}
	buf_put(&x->reply->body, data, len);
	return x->reply->body.failed ? 0 : len;
}

static bool is_loopback(struct cli *cli, const char *url)
{
	static const char *const names[] = { "127.", "localhost", "[::1]" };
	const char *mark = strstr(url, "://"), *host = mark != NULL ? mark + 3 : url;
	(void)cli;
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		if (strncasecmp(host, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static struct curl_slist *make_headers(struct cli *cli, const struct cli_request *request)
{
	struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no waiting for 100 Continue */
	struct curl_slist *more = list;
	if (request->token != NULL && more != NULL)
		more = curl_slist_append(list, cli_text(cli, "Authorization: Bearer %s", request->token));
	if (more != NULL)
		more = curl_slist_append(list, request->content_type != NULL ?
			cli_text(cli, "Content-Type: %s", request->content_type) : "Content-Type:");
	for (const char *const *own = request->headers; more != NULL && own != NULL && *own != NULL; own++)
		more = curl_slist_append(list, *own);
	if (more == NULL)
		cli_out_of_memory();
	return list;
}

static void set_options(struct exchange *x, struct cli *cli, struct curl_slist *headers)
{
	const struct cli_request *r = x->request;
	curl_easy_setopt(x->curl, CURLOPT_URL, r->url);
	curl_easy_setopt(x->curl, CURLOPT_CUSTOMREQUEST, r->method);
	curl_easy_setopt(x->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(x->curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(x->curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(x->curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(x->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(x->curl, CURLOPT_TIMEOUT, r->timeout_s);
	curl_easy_setopt(x->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(x->curl, CURLOPT_USERAGENT, "worldline/" WORLDLINE_VERSION);
	curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(x->curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(x->curl, CURLOPT_WRITEDATA, x);
	if (is_loopback(cli, r->url))
		curl_easy_setopt(x->curl, CURLOPT_NOPROXY, "*");
	if (r->has_body || strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0) {
		curl_easy_setopt(x->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
		curl_easy_setopt(x->curl, CURLOPT_POSTFIELDS, r->body.len > 0 ? (const char *)r->body.data : "");
	}
}

static bool fail_exchange(struct cli *cli, const struct exchange *x, CURLcode code, const char *detail)
{
	if (x->stopped)
		return false; /* whoever stopped it has recorded why */
	if (x->reply->body.failed)
		return cli_fail(cli, "the answer of %s is larger than %d bytes", x->request->url, CLI_FILE_BYTES_MAX);
	cli_fail(cli, "%s", detail[0] != '\0' ? detail : curl_easy_strerror(code));
	return cli_fail_around(cli, "error sending request for url (%s)", x->request->url);
}

bool cli_http(struct cli *cli, const struct cli_request *request, struct cli_reply *out)
{
	char detail[CURL_ERROR_SIZE] = "";
	*out = (struct cli_reply){ .url = request->url, .body = BUF_INIT(CLI_FILE_BYTES_MAX) };
	if (cli->http == NULL && curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return cli_fail(cli, "libcurl does not start");
	if (cli->http == NULL)
		cli->http = curl_easy_init();
	struct exchange x = { .curl = cli->http, .request = request, .reply = out };
	if (x.curl == NULL)
		cli_out_of_memory();
	curl_easy_reset(x.curl); /* of its options; connections stay for the next request */
	struct curl_slist *headers = make_headers(cli, request);
	set_options(&x, cli, headers);
	curl_easy_setopt(x.curl, CURLOPT_ERRORBUFFER, detail);
	CURLcode code = curl_easy_perform(x.curl);
	const char *type = NULL;
	curl_easy_getinfo(x.curl, CURLINFO_RESPONSE_CODE, &out->status);
	curl_easy_getinfo(x.curl, CURLINFO_CONTENT_TYPE, &type);
	snprintf(out->content_type, sizeof(out->content_type), "%s", type != NULL ? type : "");
	bool ok = code == CURLE_OK || fail_exchange(cli, &x, code, detail);
	curl_slist_free_all(headers);
	if (!ok)
		cli_reply_deinit(out);
	return ok;
}

void cli_http_close(struct cli *cli)
{
	if (cli->http == NULL)
		return;
	curl_easy_cleanup(cli->http);
	curl_global_cleanup();
	cli->http = NULL;
}

void cli_reply_deinit(struct cli_reply *reply)
{
	buf_deinit(&reply->body);
}

/* ---- statuses ---- */

static const struct {
	long status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" }, { 301, "Moved Permanently" },
	{ 302, "Found" }, { 303, "See Other" }, { 304, "Not Modified" }, { 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" }, { 400, "Bad Request" }, { 401, "Unauthorized" }, { 402, "Payment Required" },
	{ 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" }, { 408, "Request Timeout" },
	{ 409, "Conflict" }, { 410, "Gone" }, { 411, "Length Required" }, { 412, "Precondition Failed" },
	{ 413, "Payload Too Large" }, { 414, "URI Too Long" }, { 415, "Unsupported Media Type" }, { 418, "I'm a teapot" },
	{ 422, "Unprocessable Entity" }, { 426, "Upgrade Required" }, { 428, "Precondition Required" },
	{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" },
	{ 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
};

const char *cli_status_text(struct cli *cli, long status)
{
	for (size_t i = 0; i < ARRAY_COUNT(reasons); i++)
		if (reasons[i].status == status)
			return cli_text(cli, "%ld %s", status, reasons[i].reason);
	return cli_text(cli, "%ld <unknown status code>", status);
}

bool cli_reply_good(const struct cli_reply *reply)
{
	return reply->status >= 200 && reply->status < 300;
}

bool cli_fail_status(struct cli *cli, const struct cli_reply *reply)
{
	const char *text = cli_status_text(cli, reply->status);
	if (reply->status >= 400 && reply->status < 600)
		return cli_fail(cli, "HTTP status %s error (%s) for url (%s)", reply->status < 500 ? "client" : "server", text,
			reply->url);
	return cli_fail(cli, "unexpected HTTP status code (%s) from url (%s)", text, reply->url);
}

bool cli_fail_reply(struct cli *cli, const struct cli_reply *reply)
{
	cli_fail_status(cli, reply);
	if (reply->body.len > 0)
		cli_fail_around(cli, "%.*s", STR_FMT(buf_str(&reply->body)));
	return false;
}

bool cli_reply_is_json(struct cli *cli, const struct cli_reply *reply)
{
	if (strcmp(reply->content_type, "application/json") == 0)
		return true;
	if (cli_reply_good(reply))
		return cli_fail(cli, "HTTP response from url (%s) was success but did not have content-type: application/json",
			reply->url);
	return cli_fail_reply(cli, reply);
}

bool cli_reply_json(struct cli *cli, const struct cli_reply *reply, struct native_json *out)
{
	char error[512];
	if (!cli_reply_is_json(cli, reply))
		return false;
	if (native_json_parse((const char *)reply->body.data, reply->body.len, out, error, sizeof(error)) == 0)
		return true;
	cli_fail(cli, "%s", error);
	if (!cli_reply_good(reply))
		cli_fail_around(cli, "malformed json payload for status %s", cli_status_text(cli, reply->status));
	return cli_fail_around(cli, "error decoding response body");
}

const char *cli_percent(struct cli *cli, const char *text)
{
	struct buf out = BUF_INIT(3 * strlen(text) + 1);
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-')
			buf_put_u8(&out, c);
		else
			buf_printf(&out, "%%%02X", c);
	}
	cli_check(cli, &out);
	const char *kept = cli_keep(cli, buf_str(&out));
	buf_deinit(&out);
	return kept;
}

/* ---- parsed JSON ---- */

uint32_t cli_json_member(const struct native_json *doc, uint32_t node, const char *name)
{
	const struct native_json_node *nodes = doc->nodes;
	size_t len = strlen(name);
	if (nodes[node].kind != NATIVE_JSON_OBJECT)
		return 0;
	uint32_t key = node + 1;
	for (uint32_t i = 0; i < nodes[node].count; i++) {
		uint32_t value = key + 1;
		if (nodes[key].text_len == len && memcmp(nodes[key].text, name, len) == 0)
			return value;
		key = nodes[value].next;
	}
	return 0;
}

struct str cli_json_str(const struct native_json *doc, uint32_t node)
{
	const struct native_json_node *n = &doc->nodes[node];
	return n->kind == NATIVE_JSON_STRING ? (struct str){ n->text, n->text_len } : (struct str){ NULL, 0 };
}

struct str cli_json_member_str(const struct native_json *doc, uint32_t node, const char *name)
{
	uint32_t member = cli_json_member(doc, node, name);
	return member != 0 ? cli_json_str(doc, member) : (struct str){ NULL, 0 };
}

bool cli_json_true(const struct native_json *doc, uint32_t node)
{
	return node != 0 && doc->nodes[node].kind == NATIVE_JSON_TRUE;
}

uint32_t cli_json_items(const struct native_json *doc, uint32_t node, uint32_t *count)
{
	bool array = doc->nodes[node].kind == NATIVE_JSON_ARRAY && doc->nodes[node].count > 0;
	*count = array ? doc->nodes[node].count : 0;
	return array ? node + 1 : 0;
}

static void new_line(struct buf *out, uint32_t depth)
{
	buf_printf(out, "\n%*s", (int)(2 * depth), "");
}

static void pretty(struct buf *out, const struct native_json *doc, uint32_t node, uint32_t depth)
{
	static const char *const words[] = { "null", "false", "true" };
	const struct native_json_node *n = &doc->nodes[node];
	bool object = n->kind == NATIVE_JSON_OBJECT;
	uint32_t at = node + 1;
	if (n->kind == NATIVE_JSON_STRING) {
		buf_put_json_str(out, (struct str){ n->text, n->text_len });
		return;
	}
	if (n->kind != NATIVE_JSON_ARRAY && !object) {
		if (n->kind == NATIVE_JSON_NUMBER)
			buf_put(out, n->text, n->text_len);
		else
			buf_put_cstr(out, words[n->kind]);
		return;
	}
	ASSERT(depth < JSON_PRETTY_DEPTH_MAX); /* the parser allows 128 */
	buf_put_u8(out, object ? '{' : '[');
	for (uint32_t i = 0; i < n->count; i++) {
		buf_put_cstr(out, i > 0 ? "," : "");
		new_line(out, depth + 1);
		if (object) {
			buf_put_json_str(out, (struct str){ doc->nodes[at].text, doc->nodes[at].text_len });
			buf_put_cstr(out, ": ");
			at++;
		}
		pretty(out, doc, at, depth + 1);
		at = doc->nodes[at].next;
	}
	if (n->count > 0)
		new_line(out, depth);
	buf_put_u8(out, object ? '}' : ']');
}

void cli_json_pretty(struct buf *out, const struct native_json *doc, uint32_t node)
{
	pretty(out, doc, node, 0);
}
