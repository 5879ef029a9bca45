/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NATIVE_H
#define NATIVE_H
/*
 * native: Rust crates behind C functions.
 *
 * Owns nothing: it is the one static library (libworldline_native.a) that
 * carries Wasmtime's C API and the small well-kept crates whose behaviour the
 * compatible surface depends on. Every function is safe to call from any
 * thread; none keeps a pointer after it returns unless it says so; none
 * panics across the border on any input. Texts are UTF-8, not terminated,
 * unless they are `char[]` out-buffers (always terminated, cut to fit).
 */
#include <stddef.h>
#include <stdint.h>

/* ---- hashes (crates blake3, sha3, crc32c) ---- */
void native_blake3(const void *data, size_t len, uint8_t out[32]);
/* Original Keccak-256 (0x01 padding), the hash of programs. */
void native_keccak256(const void *data, size_t len, uint8_t out[32]);
/* CRC-32C of `data` appended to a run whose CRC is `crc` (0 to begin). */
uint32_t native_crc32c(uint32_t crc, const void *data, size_t len);

/* ---- HTTP/1 heads (crate httparse) ---- */
enum { NATIVE_HTTP_HEADERS_MAX = 400 };
struct native_http_header {
	const char *name, *value; /* borrow from the parsed bytes */
	uint32_t name_len, value_len;
};
struct native_http_request {
	const char *method, *target;
	uint32_t method_len, target_len;
	uint32_t header_count;
	uint8_t minor_version; /* HTTP/1.x */
	struct native_http_header headers[NATIVE_HTTP_HEADERS_MAX];
};
struct native_http_response {
	uint32_t status, header_count;
	uint8_t minor_version;
	struct native_http_header headers[NATIVE_HTTP_HEADERS_MAX];
};
/* > 0: length of the head; 0: more bytes needed; -1: malformed; -2: too many headers. */
ptrdiff_t native_http_parse_request(const char *data, size_t len, struct native_http_request *out);
ptrdiff_t native_http_parse_response(const char *data, size_t len, struct native_http_response *out);

/* ---- JSON (crate serde_json, arbitrary_precision, its recursion limit of 128) ---- */
enum native_json_kind {
	NATIVE_JSON_NULL, NATIVE_JSON_FALSE, NATIVE_JSON_TRUE,
	NATIVE_JSON_NUMBER, /* text = the number exactly as written */
	NATIVE_JSON_STRING, /* text = the string, unescaped */
	NATIVE_JSON_ARRAY,  /* followed by its elements */
	NATIVE_JSON_OBJECT, /* followed by NATIVE_JSON_STRING key, value, key, value ...; duplicates kept, order kept */
};
struct native_json_node {
	const char *text; /* owned by the document */
	uint32_t text_len;
	uint32_t count; /* elements of an array, members of an object */
	uint32_t next;  /* index of the first node after this one and all below it */
	uint8_t kind;   /* enum native_json_kind */
};
/* A parsed document: nodes in document order (a flat tape), node 0 is the root. */
struct native_json {
	const struct native_json_node *nodes;
	uint32_t node_count;
	void *owner; /* private */
};
/* 0, or -1 with serde_json's own message in `error`. Free with native_json_free. */
int native_json_parse(const char *text, size_t len, struct native_json *out, char *error, size_t error_cap);
void native_json_free(struct native_json *doc); /* safe on a zeroed struct, and twice */

/* ---- numbers as text (crate ryu: what serde_json prints) ---- */
/* Shortest text that reads back as the same value; finite values only. Returns the length; at most 32. */
size_t native_format_f64(double value, char out[32]);
size_t native_format_f32(float value, char out[32]);

/* ---- identifiers and case (unicode-ident, unicode-normalization, convert_case 0.6.0) ---- */
enum native_identifier_fault {
	NATIVE_IDENTIFIER_OK,
	NATIVE_IDENTIFIER_EMPTY,
	NATIVE_IDENTIFIER_NOT_NFC,
	NATIVE_IDENTIFIER_BAD_START,    /* first char is neither '_' nor XID_Start */
	NATIVE_IDENTIFIER_BAD_CONTINUE, /* some later char is not XID_Continue */
	NATIVE_IDENTIFIER_NOT_UTF8,
};
/* `bad_char` receives the offending character in UTF-8 (terminated) for the two BAD_ faults. */
enum native_identifier_fault native_identifier_check(const char *name, size_t len, char bad_char[8]);
enum native_case { NATIVE_CASE_SNAKE, NATIVE_CASE_CAMEL, NATIVE_CASE_PASCAL };
/* Converts as data-model.md section 8 says. Writes at most `cap` bytes (no terminator) and returns the full
 * length needed; `name` must be UTF-8, otherwise it is copied as it is. 4 * len + 16 bytes always suffice. */
size_t native_case_convert(enum native_case to, const char *name, size_t len, char *out, size_t cap);
/* Rust-demangles a symbol (crate rustc-demangle, alternate form); same return rule. */
size_t native_demangle(const char *name, size_t len, char *out, size_t cap);

/* ---- the guest's stack (crate wasmtime) ---- */
/* Calls `frame` for each function on the stack of the store's running guest, innermost first, with its name as in the
 * module (mangled; "" when it has none). Only from a host function that the guest called. */
struct wasmtime_context;
void native_wasm_backtrace(struct wasmtime_context *store,
	void (*frame)(void *context, const char *name, size_t len), void *context);

/* ---- tokens (crate jsonwebtoken) ---- */
enum native_jwt_alg { NATIVE_JWT_ES256, NATIVE_JWT_RS256, NATIVE_JWT_HS256, NATIVE_JWT_OTHER };
/* Generates a P-256 key pair: PKCS#8 PEM and SPKI PEM, terminated. 0 or -1. */
int native_keypair_generate(char private_pem[512], char public_pem[512]);
/* Signs `claims` (JSON text, used verbatim as the payload) with header {"typ":"JWT","alg":"ES256"}.
 * 0 with the token in `out` (terminated), or -1 with a text in `error`. */
int native_jwt_sign_es256(const char *private_pem, size_t private_len, const char *claims, size_t claims_len,
	char *out, size_t out_cap, char *error, size_t error_cap);
/* Splits a token without verifying it: header alg, kid (terminated, empty when absent), and the decoded payload.
 * 0, or -1 with jsonwebtoken's message ("InvalidToken", "Base64 error: ...", "JSON error: ...") in `error`. */
int native_jwt_peek(const char *token, size_t len, enum native_jwt_alg *alg, char kid[128],
	char *payload, size_t payload_cap, size_t *payload_len, char *error, size_t error_cap);
/* Verifies only the signature, with the algorithm that belongs to the key:
 * ES256 for a P-256 SPKI PEM. A header that names another algorithm is "InvalidAlgorithm". */
int native_jwt_verify_es256(const char *public_pem, size_t public_len, const char *token, size_t len,
	char *error, size_t error_cap);
/* The same with one key of a JWKS document (a JSON object text): EC P-256 => ES256, RSA => RS256, oct => HS256. */
int native_jwt_verify_jwk(const char *jwk_json, size_t jwk_len, const char *token, size_t len,
	char *error, size_t error_cap);

#endif
