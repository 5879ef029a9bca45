/* SPDX-License-Identifier: Apache-2.0 */
/* Claims of a token, and what a renewed token makes of them: whatever is accepted must be accepted again after renewal,
 * with the same identity. */
#include "auth/auth_internal.h"
#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct claims claims, again;
	struct identity identity, same;
	struct error error;
	struct str payload = { (const char *)data, size };
	if (size > AUTH_TOKEN_BYTES_MAX)
		return 0;
	if (claims_read(payload, &claims, &error) == WL_OK && claims_accept(&claims, &identity, &error) == WL_OK) {
		struct buf renewed = BUF_INIT(8 * AUTH_TOKEN_BYTES_MAX);
		ASSERT(claims_renew(payload, 1, 60, &renewed, &error) == WL_OK);
		ASSERT(claims_read(buf_str(&renewed), &again, &error) == WL_OK);
		ASSERT(again.has_exp && again.exp == 61);
		ASSERT(claims_accept(&again, &same, &error) == WL_OK);
		ASSERT(identity_eq(&identity, &same));
		claims_deinit(&again);
		buf_deinit(&renewed);
	}
	claims_deinit(&claims);
	return 0;
}
