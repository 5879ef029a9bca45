/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of requests as modules write them: what is accepted lies within the bytes and within the limits. */
#include "api/api_internal.h"

static void within(const uint8_t *data, size_t size, struct str s)
{
	ASSERT(s.len == 0 || ((const uint8_t *)s.data >= data && s.len <= size &&
		(const uint8_t *)s.data + s.len <= data + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct module_wanted w;
	memset(&w, 0, sizeof(w));
	if (!module_request_read((struct bytes){ data, size }, &w))
		return 0;
	ASSERT(w.request.header_count <= MODULE_HEADERS_MAX && w.request.total_ms > 0 && w.request.total_ms <= 180000);
	within(data, size, w.request.url);
	for (uint32_t i = 0; i < w.request.header_count; i++) {
		within(data, size, w.headers[i].name);
		within(data, size, w.headers[i].value);
		ASSERT(http_header_is_valid(w.headers[i].name, w.headers[i].value));
	}
	return 0;
}
