/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H
/*
 * http: requests to a host (libcurl), and what their failures look like to a
 * person. Answers are untrusted: their size is limited, their JSON is parsed
 * with a depth limit. Also small helpers over parsed JSON.
 */
#include "cli/cli.h"
#include "native.h"

struct cli_request {
	const char *method, *url;
	const char *token;        /* Authorization: Bearer …; NULL: none */
	const char *content_type; /* NULL: none */
	const char *const *headers; /* more of them, "name: value", ended by NULL; may be NULL */
	struct bytes body;
	bool has_body;
	long timeout_s;           /* of the whole; 0: only of connecting */
	/* Of a success: called with each piece as it arrives; false stops. NULL: collected in the reply. */
	bool (*sink)(void *context, const uint8_t *data, size_t len);
	void *sink_context;
};
struct cli_reply {
	long status;
	char content_type[128];
	const char *url;
	struct buf body;
};
/* False, with the error recorded, when no whole answer came. Any status is an answer. */
bool cli_http(struct cli *cli, const struct cli_request *request, struct cli_reply *out);
void cli_reply_deinit(struct cli_reply *reply);
void cli_http_close(struct cli *cli); /* connections are kept between requests until then */

bool cli_reply_good(const struct cli_reply *reply); /* 2xx */
/* Records "HTTP status client error (404 Not Found) for url (…)". Returns false. */
bool cli_fail_status(struct cli *cli, const struct cli_reply *reply);
/* The same with the body, if there is any, as the outer text. */
bool cli_fail_reply(struct cli *cli, const struct cli_reply *reply);
const char *cli_status_text(struct cli *cli, long status); /* "404 Not Found" */
/* The body must be JSON by its type; otherwise it is an error text. */
bool cli_reply_json(struct cli *cli, const struct cli_reply *reply, struct native_json *out);
bool cli_reply_is_json(struct cli *cli, const struct cli_reply *reply);

/* Everything but letters, digits and "_-" as %XX. */
const char *cli_percent(struct cli *cli, const char *text);

/* ---- parsed JSON ---- */
/* Node of a member's value; 0 when `node` is no object or lacks it (0 is the root, never a member). */
uint32_t cli_json_member(const struct native_json *doc, uint32_t node, const char *name);
struct str cli_json_str(const struct native_json *doc, uint32_t node); /* data NULL when it is no string */
struct str cli_json_member_str(const struct native_json *doc, uint32_t node, const char *name);
bool cli_json_true(const struct native_json *doc, uint32_t node);
/* First element of an array; 0 when it is empty or no array. Then cli_json_next while `*left` counts down. */
uint32_t cli_json_items(const struct native_json *doc, uint32_t node, uint32_t *count);
/* Pretty JSON, two blanks a level. */
void cli_json_pretty(struct buf *out, const struct native_json *doc, uint32_t node);
#endif
