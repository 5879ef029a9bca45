/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that came compressed, into bounded memory: gzip (RFC 1952, any number of members), Brotli (RFC 7932). */
#include "net/outgoing.h"

#include <brotli/decode.h>
#include <zlib.h>

enum { STEP_BYTES = 64 << 10, WINDOW_BITS_GZIP = 15 + 16 };

static bool gunzip(struct bytes in, struct buf *out)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)in.data };
	size_t left = in.len;
	int rc = Z_STREAM_END;
	if (inflateInit2(&z, WINDOW_BITS_GZIP) != Z_OK)
		return false;
	while ((left > 0 || z.avail_in > 0) && (rc == Z_OK || rc == Z_STREAM_END)) {
		if (z.avail_in == 0) {
			z.avail_in = (uInt)size_min(left, 1 << 30);
			left -= z.avail_in;
		}
		if (rc == Z_STREAM_END && z.total_in > 0 && inflateReset(&z) != Z_OK) /* another member */
			break;
		do {
			z.next_out = buf_extend(out, STEP_BYTES);
			if (z.next_out == NULL) {
				rc = Z_MEM_ERROR;
				break;
			}
			z.avail_out = STEP_BYTES;
			rc = inflate(&z, Z_NO_FLUSH);
			out->len -= z.avail_out;
			rc = rc == Z_BUF_ERROR ? Z_OK : rc; /* it wants more input */
		} while (rc == Z_OK && z.avail_out == 0);
	}
	(void)inflateEnd(&z);
	return rc == Z_STREAM_END && !out->failed;
}

static bool unbrotli(struct bytes in, struct buf *out)
{
	BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	BrotliDecoderResult result = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
	size_t left = in.len;
	const uint8_t *next = in.data;
	if (state == NULL)
		return false;
	while (result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) {
		size_t room = STEP_BYTES;
		uint8_t *to = buf_extend(out, STEP_BYTES);
		if (to == NULL)
			break;
		result = BrotliDecoderDecompressStream(state, &left, &next, &room, &to, NULL);
		out->len -= room;
	}
	BrotliDecoderDestroyInstance(state);
	return result == BROTLI_DECODER_RESULT_SUCCESS && left == 0 && !out->failed;
}

bool outgoing_decode(struct str encoding, struct bytes body, struct buf *out)
{
	return str_eq(encoding, STR("br")) ? unbrotli(body, out) : gunzip(body, out);
}
