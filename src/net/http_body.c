/* SPDX-License-Identifier: Apache-2.0 */
/* How a request's body is framed, and the chunked coding. */
#include "net/http_body.h"

enum { CHUNK_EXTRA_MAX = 16 << 10, CHUNK_DIGITS_MAX = 16 };

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool http_name_is(const char *name, size_t len, const char *lower_name)
{
	for (size_t i = 0; i < len; i++) {
		if (lower_name[i] == '\0' || lower(name[i]) != lower_name[i])
			return false;
	}
	return lower_name[len] == '\0';
}

bool http_has_token(struct str value, const char *lower_token)
{
	size_t at = 0;
	while (at < value.len) {
		size_t end = at;
		while (end < value.len && value.data[end] != ',')
			end++;
		size_t from = at, to = end;
		while (from < to && (value.data[from] == ' ' || value.data[from] == '\t'))
			from++;
		while (to > from && (value.data[to - 1] == ' ' || value.data[to - 1] == '\t'))
			to--;
		if (http_name_is(value.data + from, to - from, lower_token))
			return true;
		at = end + 1;
	}
	return false;
}

static bool length_read(struct str value, uint64_t *out)
{
	uint64_t length = 0;
	if (value.len == 0)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		char c = value.data[i];
		if (c < '0' || c > '9' || __builtin_mul_overflow(length, 10u, &length)
			|| __builtin_add_overflow(length, (uint64_t)(c - '0'), &length))
			return false;
	}
	*out = length;
	return true;
}

/* The last coding decides: a body whose end is not marked by "chunked" cannot be found. */
static bool last_is_chunked(struct str value)
{
	size_t from = value.len;
	while (from > 0 && value.data[from - 1] != ',')
		from--;
	return http_has_token((struct str){ value.data + from, value.len - from }, "chunked");
}

bool http_facts_read(const struct native_http_request *head, struct http_facts *facts)
{
	bool has_length = false, has_coding = false, chunked = false, close = false, keep = false;
	*facts = (struct http_facts){ .framing = HTTP_NO_BODY };
	for (uint32_t i = 0; i < head->header_count; i++) {
		const struct native_http_header *h = &head->headers[i];
		struct str value = { h->value, h->value_len };
		if (http_name_is(h->name, h->name_len, "content-length")) {
			uint64_t length;
			if (!length_read(value, &length) || (has_length && length != facts->length))
				return false;
			facts->length = length;
			has_length = true;
		} else if (http_name_is(h->name, h->name_len, "transfer-encoding")) {
			has_coding = true;
			chunked = last_is_chunked(value);
		} else if (http_name_is(h->name, h->name_len, "connection")) {
			close |= http_has_token(value, "close");
			keep |= http_has_token(value, "keep-alive");
		} else if (http_name_is(h->name, h->name_len, "expect")) {
			facts->expects_continue = head->minor_version >= 1 && http_name_is(h->value, h->value_len, "100-continue");
		}
	}
	if (has_coding && (!chunked || head->minor_version == 0))
		return false;
	facts->keep_alive = !close && (head->minor_version >= 1 || keep);
	facts->absent = !has_length && !has_coding;
	if (has_coding)
		facts->framing = HTTP_CHUNKED; /* wins over a length, which is then not looked at */
	else if (has_length && facts->length > 0)
		facts->framing = HTTP_LENGTH;
	return true;
}

enum {
	IN_SIZE, IN_EXTENSION, IN_SIZE_LF, IN_DATA, IN_DATA_CR, IN_DATA_LF,
	IN_TRAILER_START, IN_TRAILER, IN_TRAILER_LF, IN_END_LF, IN_DONE,
};

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte that is not chunk data. False: malformed. */
static bool chunk_byte(struct http_chunked *chunked, uint8_t c)
{
	switch (chunked->state) {
	case IN_SIZE: {
		int digit = hex_digit(c);
		if (digit >= 0) {
			if (++chunked->digits > CHUNK_DIGITS_MAX)
				return false;
			chunked->left = chunked->left << 4 | (unsigned)digit;
			return true;
		}
		if (chunked->digits == 0)
			return false;
		chunked->state = c == '\r' ? IN_SIZE_LF : IN_EXTENSION;
		return c == '\r' || c == ';' || c == ' ' || c == '\t';
	}
	case IN_EXTENSION:
		if (c == '\r')
			chunked->state = IN_SIZE_LF;
		return c != '\n' && ++chunked->extra_bytes <= CHUNK_EXTRA_MAX;
	case IN_SIZE_LF:
		chunked->state = chunked->left > 0 ? IN_DATA : IN_TRAILER_START;
		return c == '\n';
	case IN_DATA_CR:
		chunked->state = IN_DATA_LF;
		return c == '\r';
	case IN_DATA_LF:
		chunked->state = IN_SIZE;
		chunked->digits = 0;
		chunked->left = 0;
		return c == '\n';
	case IN_TRAILER_START:
		chunked->state = c == '\r' ? IN_END_LF : IN_TRAILER;
		return c != '\n' && ++chunked->extra_bytes <= CHUNK_EXTRA_MAX;
	case IN_TRAILER:
		if (c == '\r')
			chunked->state = IN_TRAILER_LF;
		return c != '\n' && ++chunked->extra_bytes <= CHUNK_EXTRA_MAX;
	case IN_TRAILER_LF:
		chunked->state = IN_TRAILER_START;
		return c == '\n';
	case IN_END_LF:
		chunked->state = IN_DONE;
		return c == '\n';
	default:
		return false;
	}
}

enum http_step http_chunked_feed(struct http_chunked *chunked, const uint8_t *data, size_t len, size_t *used,
	struct buf *out, uint64_t max)
{
	size_t at = 0;
	enum http_step step = HTTP_STEP_MORE;
	while (step == HTTP_STEP_MORE && at < len) {
		if (chunked->state != IN_DATA) {
			if (!chunk_byte(chunked, data[at++]))
				step = HTTP_STEP_BAD;
			else if (chunked->state == IN_DONE)
				step = HTTP_STEP_DONE;
			continue;
		}
		if (chunked->left > max || out->len > max - chunked->left || chunked->left > out->max - out->len) {
			step = HTTP_STEP_TOO_LARGE;
			continue;
		}
		size_t take = size_min(len - at, (size_t)chunked->left);
		buf_put(out, data + at, take);
		if (out->failed)
			step = HTTP_STEP_MEMORY;
		at += take;
		chunked->left -= take;
		if (chunked->left == 0)
			chunked->state = IN_DATA_CR;
	}
	*used = at;
	return step;
}
