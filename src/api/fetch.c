/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetches the documents in which foreign issuers publish their keys. Any client can name an issuer, so any client can
 * make this host send a request: addresses, size and time are limited. The status of the answer is ignored, as the
 * reference does.
 */
#include "api/api_internal.h"
#include "net/outgoing.h"

enum { CONNECT_MS = 5000, TOTAL_MS = 10000, REDIRECTS_MAX = 10 };

enum wl_err fetch_url(void *context, const char *url, struct buf *body, struct error *error)
{
	const struct api *api = context;
	struct outgoing_request request = { .method = STR("GET"), .url = str_of(url), .connect_ms = CONNECT_MS,
		.total_ms = TOTAL_MS, .redirects_max = REDIRECTS_MAX, .body_max = body->max,
		.reach = api->config.oidc_private_addresses ? OUTGOING_ALL : OUTGOING_PUBLIC };
	struct outgoing_response response;
	struct buf why = BUF_INIT(1 << 12);
	enum wl_err err = WL_OK;
	if (outgoing_perform(&request, &response, &why))
		buf_put(body, response.body.data, response.body.len);
	else
		err = fail(error, WL_ERR_IO, "%s", buf_text(&why));
	if (err == WL_OK && body->failed)
		err = fail(error, WL_ERR_LIMIT, "%s: more than %zu bytes", url, body->max);
	outgoing_response_deinit(&response);
	buf_deinit(&why);
	return err;
}
