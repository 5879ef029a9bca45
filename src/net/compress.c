/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip (level 1) and brotli (quality 1) of message bodies. One per loop. zlib's
 * state is reset, not made anew; brotli offers no reset, so its allocations are
 * served from blocks kept from the time before (they are large enough to cost
 * page faults each time otherwise). All is given back when unused for a while.
 */
#include "net/net_internal.h"

#include <brotli/encode.h>
#include <zlib.h>

enum {
	GZIP_LEVEL = 1, GZIP_WINDOW = 15 + 16 /* 16: the gzip wrapper */, GZIP_MEMORY = 8,
	BROTLI_QUALITY = 1, BROTLI_WINDOW = 22,
	BLOCKS_KEPT = 16, RESULT_KEEP_BYTES = 256 << 10,
};

struct block {
	size_t size;
	uint8_t data[];
};
struct compressor {
	z_stream gzip;
	bool gzip_ready, used;
	struct buf result;
	struct block *kept[BLOCKS_KEPT];
};

struct compressor *compressor_create(void)
{
	struct compressor *compressor = mem_zalloc(sizeof(*compressor));
	if (compressor != NULL)
		compressor->result = BUF_INIT(2 * (size_t)NET_OUTPUT_BYTES_MAX);
	return compressor;
}

static void give_back(struct compressor *compressor)
{
	if (compressor->gzip_ready)
		deflateEnd(&compressor->gzip);
	compressor->gzip_ready = false;
	for (size_t i = 0; i < BLOCKS_KEPT; i++) {
		mem_free(compressor->kept[i]);
		compressor->kept[i] = NULL;
	}
	buf_deinit(&compressor->result);
}

void compressor_destroy(struct compressor *compressor)
{
	if (compressor == NULL)
		return;
	give_back(compressor);
	mem_free(compressor);
}

void compressor_trim(struct compressor *compressor)
{
	if (!compressor->used)
		give_back(compressor);
	else if (compressor->result.cap > RESULT_KEEP_BYTES)
		buf_deinit(&compressor->result);
	compressor->used = false;
}

static void *zlib_alloc(void *opaque, unsigned count, unsigned size)
{
	(void)opaque;
	return mem_zalloc_array(count, size);
}

static void zlib_free(void *opaque, void *ptr)
{
	(void)opaque;
	mem_free(ptr);
}

static bool gzip(struct compressor *compressor, const void *body, size_t len)
{
	z_stream *z = &compressor->gzip;
	if (!compressor->gzip_ready) {
		*z = (z_stream){ .zalloc = zlib_alloc, .zfree = zlib_free };
		if (deflateInit2(z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
			return false;
		compressor->gzip_ready = true;
	} else if (deflateReset(z) != Z_OK) {
		return false;
	}
	size_t bound = deflateBound(z, len);
	if (len > UINT32_MAX || bound > UINT32_MAX || !buf_reserve(&compressor->result, bound))
		return false;
	z->next_in = (Bytef *)body;
	z->avail_in = (uInt)len;
	z->next_out = compressor->result.data;
	z->avail_out = (uInt)bound;
	if (deflate(z, Z_FINISH) != Z_STREAM_END)
		return false;
	compressor->result.len = bound - z->avail_out;
	return true;
}

static void *block_alloc(void *opaque, size_t size)
{
	struct compressor *compressor = opaque;
	for (size_t i = 0; i < BLOCKS_KEPT; i++) {
		struct block *block = compressor->kept[i];
		if (block != NULL && block->size == size) {
			compressor->kept[i] = NULL;
			return block->data;
		}
	}
	size_t total;
	struct block *block = size_add(sizeof(*block), size, &total) ? mem_alloc(total) : NULL;
	if (block == NULL)
		return NULL;
	block->size = size;
	return block->data;
}

static void block_free(void *opaque, void *ptr)
{
	struct compressor *compressor = opaque;
	if (ptr == NULL)
		return;
	struct block *block = (struct block *)((uint8_t *)ptr - offsetof(struct block, data));
	for (size_t i = 0; i < BLOCKS_KEPT; i++) {
		if (compressor->kept[i] == NULL) {
			compressor->kept[i] = block;
			return;
		}
	}
	mem_free(compressor->kept[block->size % BLOCKS_KEPT]); /* an old size makes room for what is in use now */
	compressor->kept[block->size % BLOCKS_KEPT] = block;
}

static bool brotli(struct compressor *compressor, const void *body, size_t len)
{
	size_t bound = BrotliEncoderMaxCompressedSize(len);
	if (bound == 0 || !buf_reserve(&compressor->result, bound))
		return false;
	BrotliEncoderState *state = BrotliEncoderCreateInstance(block_alloc, block_free, compressor);
	if (state == NULL)
		return false;
	BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, BROTLI_QUALITY);
	BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, BROTLI_WINDOW);
	BrotliEncoderSetParameter(state, BROTLI_PARAM_SIZE_HINT, (uint32_t)size_min(len, UINT32_MAX));
	const uint8_t *next_in = body;
	uint8_t *next_out = compressor->result.data;
	size_t in = len, room = bound;
	bool done = BrotliEncoderCompressStream(state, BROTLI_OPERATION_FINISH, &in, &next_in, &room, &next_out, NULL)
		&& BrotliEncoderIsFinished(state);
	BrotliEncoderDestroyInstance(state);
	compressor->result.len = done ? bound - room : 0;
	return done;
}

bool compress_body(struct compressor *compressor, enum net_compression kind, const void *body, size_t len,
	struct bytes *out)
{
	buf_clear(&compressor->result);
	compressor->used = true;
	bool done = kind == NET_COMPRESS_GZIP ? gzip(compressor, body, len)
		: kind == NET_COMPRESS_BROTLI && brotli(compressor, body, len);
	if (done)
		*out = buf_bytes(&compressor->result);
	return done;
}
