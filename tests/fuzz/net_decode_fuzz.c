/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed bodies from anybody: they come out, or are refused; never more than is allowed. The first byte chooses. */
#include "net/outgoing.h"

enum { PLAIN_BYTES_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = BUF_INIT(PLAIN_BYTES_MAX);
	if (size == 0)
		return -1;
	bool ok = outgoing_decode(data[0] & 1 ? STR("br") : STR("gzip"), (struct bytes){ data + 1, size - 1 }, &out);
	ASSERT(out.len <= PLAIN_BYTES_MAX && !(ok && out.failed));
	buf_deinit(&out);
	return 0;
}
