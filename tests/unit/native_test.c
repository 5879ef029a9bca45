/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every function of native.h does what its comment says, on known vectors and on the
 * inputs that hurt (empty, malformed, hostile).
 * Method: vectors from the algorithms' own papers and from running the crates; tokens are signed
 * a second time with OpenSSL, so that signer and verifier are not the same code.
 */
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"
#include "unit/run_suite.h"

/* ---- hashes ---- */

static void hex(const uint8_t *bytes, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

START_TEST(blake3_vectors)
{
	uint8_t out[32];
	char text[65];
	native_blake3(NULL, 0, out);
	hex(out, 32, text);
	ck_assert_str_eq(text, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
	native_blake3("spacetimedb::view::args::v1\0", 28, out);
	hex(out, 32, text);
	ck_assert_str_eq(text, "e8b8b119022591171d4b06f6240a1ee6c7a4b209b187d2e07b973c1e54e2e8b2");
	/* An identity is c200, 4 check bytes and the first 26 bytes of this hash. */
	native_blake3("https://auth.spacetimedb.com|a", 30, out);
	hex(out, 26, text);
	ck_assert_str_eq(text, "d93228afdcedc140a8c506b0cc5126f3ec1cb6fdd486a7de1ae2");
}
END_TEST

START_TEST(keccak_vectors)
{
	uint8_t out[32];
	char text[65];
	native_keccak256(NULL, 0, out);
	hex(out, 32, text);
	ck_assert_str_eq(text, "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
	native_keccak256("abc", 3, out);
	hex(out, 32, text);
	ck_assert_str_eq(text, "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
}
END_TEST

START_TEST(crc32c_vectors)
{
	ck_assert_uint_eq(native_crc32c(0, NULL, 0), 0);
	ck_assert_uint_eq(native_crc32c(0, "123456789", 9), 0xe3069283);
	ck_assert_uint_eq(native_crc32c(native_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}
END_TEST

/* ---- HTTP heads ---- */

START_TEST(http_request)
{
	static struct native_http_request head;
	const char *text = "GET /v1/ping?a=b HTTP/1.1\r\nHost: x\r\nX-Empty:\r\n\r\nbody";
	size_t len = strlen(text);
	ck_assert_int_eq(native_http_parse_request(text, len, &head), (int)len - 4);
	ck_assert_mem_eq(head.method, "GET", 3);
	ck_assert_uint_eq(head.method_len, 3);
	ck_assert_uint_eq(head.target_len, 12);
	ck_assert_mem_eq(head.target, "/v1/ping?a=b", 12);
	ck_assert_uint_eq(head.minor_version, 1);
	ck_assert_uint_eq(head.header_count, 2);
	ck_assert_uint_eq(head.headers[0].name_len, 4);
	ck_assert_mem_eq(head.headers[0].name, "Host", 4);
	ck_assert_uint_eq(head.headers[0].value_len, 1);
	ck_assert_mem_eq(head.headers[0].value, "x", 1);
	ck_assert_uint_eq(head.headers[1].value_len, 0);
	ck_assert_ptr_eq(head.target, text + 4); /* borrowed */
	for (size_t cut = 0; cut < len - 4; cut++)
		ck_assert_int_eq(native_http_parse_request(text, cut, &head), 0);
	ck_assert_int_eq(native_http_parse_request("GET / HTTP/1.0\r\n\r\n", 18, &head), 18);
	ck_assert_uint_eq(head.minor_version, 0);
	ck_assert_int_eq(native_http_parse_request("G\x01T / HTTP/1.1\r\n\r\n", 18, &head), -1);
	ck_assert_int_eq(native_http_parse_request("GET / HTTP/2.0\r\n\r\n", 18, &head), -1);
	ck_assert_int_eq(native_http_parse_request("GET / HTTP/1.1\r\nA B: c\r\n\r\n", 26, &head), -1);
}
END_TEST

START_TEST(http_too_many_headers)
{
	static struct native_http_request head;
	char text[8192];
	for (int count = NATIVE_HTTP_HEADERS_MAX; count <= NATIVE_HTTP_HEADERS_MAX + 1; count++) {
		int len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n");
		for (int i = 0; i < count; i++)
			len += snprintf(text + len, sizeof text - (size_t)len, "h%d: %d\r\n", i, i);
		len += snprintf(text + len, sizeof text - (size_t)len, "\r\n");
		ptrdiff_t used = native_http_parse_request(text, (size_t)len, &head);
		ck_assert_int_eq(used, count <= NATIVE_HTTP_HEADERS_MAX ? len : -2);
	}
	ck_assert_uint_eq(head.header_count, NATIVE_HTTP_HEADERS_MAX);
	ck_assert_mem_eq(head.headers[95].name, "h95", 3);
}
END_TEST

START_TEST(http_response)
{
	static struct native_http_response head;
	const char *text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
	size_t len = strlen(text);
	ck_assert_int_eq(native_http_parse_response(text, len, &head), (int)len);
	ck_assert_uint_eq(head.status, 101);
	ck_assert_uint_eq(head.minor_version, 1);
	ck_assert_uint_eq(head.header_count, 1);
	ck_assert_mem_eq(head.headers[0].value, "websocket", 9);
	ck_assert_int_eq(native_http_parse_response(text, len - 1, &head), 0);
	ck_assert_int_eq(native_http_parse_response("HTTP/1.1 abc\r\n\r\n", 16, &head), -1);
}
END_TEST

/* ---- JSON ---- */

static struct native_json parsed(const char *text)
{
	struct native_json doc = { 0 };
	char error[128] = "";
	ck_assert_msg(native_json_parse(text, strlen(text), &doc, error, sizeof error) == 0, "%s: %s",
		      text, error);
	return doc;
}

static void check_node(const struct native_json *doc, uint32_t index, int kind, const char *text,
		       uint32_t count, uint32_t next)
{
	const struct native_json_node *node = &doc->nodes[index];
	ck_assert_uint_lt(index, doc->node_count);
	ck_assert_int_eq(node->kind, kind);
	ck_assert_uint_eq(node->text_len, strlen(text));
	ck_assert_int_eq(strncmp(node->text, text, node->text_len), 0);
	ck_assert_uint_eq(node->count, count);
	ck_assert_uint_eq(node->next, next);
}

START_TEST(json_tape)
{
	struct native_json doc =
		parsed(" {\"a\": [1, -2.50E+3, true, []], \"\\u00e9\\n\": \"x\\ud83d\\ude00\", \"a\": null, \"f\":false} ");
	check_node(&doc, 0, NATIVE_JSON_OBJECT, "", 4, 13);
	check_node(&doc, 1, NATIVE_JSON_STRING, "a", 0, 2);
	check_node(&doc, 2, NATIVE_JSON_ARRAY, "", 4, 7);
	check_node(&doc, 3, NATIVE_JSON_NUMBER, "1", 0, 4);
	check_node(&doc, 4, NATIVE_JSON_NUMBER, "-2.50E+3", 0, 5);
	check_node(&doc, 5, NATIVE_JSON_TRUE, "", 0, 6);
	check_node(&doc, 6, NATIVE_JSON_ARRAY, "", 0, 7);
	check_node(&doc, 7, NATIVE_JSON_STRING, "\xc3\xa9\n", 0, 8);
	check_node(&doc, 8, NATIVE_JSON_STRING, "x\xf0\x9f\x98\x80", 0, 9);
	check_node(&doc, 9, NATIVE_JSON_STRING, "a", 0, 10);
	check_node(&doc, 10, NATIVE_JSON_NULL, "", 0, 11);
	check_node(&doc, 11, NATIVE_JSON_STRING, "f", 0, 12);
	check_node(&doc, 12, NATIVE_JSON_FALSE, "", 0, 13);
	ck_assert_uint_eq(doc.node_count, 13);
	native_json_free(&doc);
	ck_assert_ptr_null(doc.nodes);
	native_json_free(&doc);
}
END_TEST

START_TEST(json_scalars)
{
	static const char *const numbers[] = { "0", "-0", "1e400", "0.10", "1E5", "1e5", "1e-05",
		"123456789012345678901234567890123456789012345678901234567890123456789012345678" };
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		struct native_json doc = parsed(numbers[i]);
		check_node(&doc, 0, NATIVE_JSON_NUMBER, numbers[i], 0, 1);
		native_json_free(&doc);
	}
	struct native_json doc = parsed("\"\\u0000\"");
	ck_assert_uint_eq(doc.nodes[0].text_len, 1);
	ck_assert_int_eq(doc.nodes[0].text[0], 0);
	native_json_free(&doc);
}
END_TEST

/* serde_json disguises numbers as maps with this key; a member of that name is still a member. */
START_TEST(json_disguise)
{
	struct native_json doc =
		parsed("[{\"$serde_json::private::Number\":\"7\"},{\"$serde_json::private::Number\":8}]");
	ck_assert_uint_eq(doc.node_count, 7);
	check_node(&doc, 1, NATIVE_JSON_OBJECT, "", 1, 4);
	check_node(&doc, 2, NATIVE_JSON_STRING, "$serde_json::private::Number", 0, 3);
	check_node(&doc, 3, NATIVE_JSON_STRING, "7", 0, 4);
	check_node(&doc, 4, NATIVE_JSON_OBJECT, "", 1, 7);
	check_node(&doc, 6, NATIVE_JSON_NUMBER, "8", 0, 7);
	native_json_free(&doc);
}
END_TEST

START_TEST(json_errors)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "", "EOF while parsing a value at line 1 column 0" },
		{ "nul", "EOF while parsing a value at line 1 column 3" },
		{ "[1,]", "trailing comma at line 1 column 4" },
		{ "[1 2]", "expected `,` or `]` at line 1 column 4" },
		{ "{\"a\" 1}", "expected `:` at line 1 column 6" },
		{ "{1:2}", "key must be a string at line 1 column 2" },
		{ "{\"a\":}", "expected value at line 1 column 6" },
		{ "1\n x", "trailing characters at line 2 column 2" },
		{ "01", "invalid number at line 1 column 2" },
		{ "\"\\x\"", "invalid escape at line 1 column 3" },
		{ "\"\\ud800\"", "unexpected end of hex escape at line 1 column 8" },
		{ "\"\xff\"", "invalid unicode code point at line 1 column 3" },
		{ "\"a", "EOF while parsing a string at line 1 column 2" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct native_json doc = { 0 };
		char error[128] = "";
		ck_assert_int_eq(native_json_parse(cases[i].text, strlen(cases[i].text), &doc, error, sizeof error), -1);
		ck_assert_str_eq(error, cases[i].error);
		ck_assert_ptr_null(doc.owner);
	}
	char error[12];
	struct native_json doc = { 0 };
	ck_assert_int_eq(native_json_parse("", 0, &doc, error, sizeof error), -1);
	ck_assert_str_eq(error, "EOF while p"); /* cut to fit */
}
END_TEST

START_TEST(json_depth)
{
	char text[512], error[128] = "";
	struct native_json doc = { 0 };
	memset(text, '[', 127);
	memset(text + 127, ']', 127);
	ck_assert_int_eq(native_json_parse(text, 254, &doc, error, sizeof error), 0);
	ck_assert_uint_eq(doc.node_count, 127);
	native_json_free(&doc);
	memset(text, '[', 128);
	memset(text + 128, ']', 128);
	ck_assert_int_eq(native_json_parse(text, 256, &doc, error, sizeof error), -1);
	ck_assert_str_eq(error, "recursion limit exceeded at line 1 column 128");
}
END_TEST

/* ---- numbers as text ---- */

START_TEST(format_numbers)
{
	static const struct {
		double value;
		const char *text;
	} f64[] = { { 0, "0.0" }, { -0.0, "-0.0" }, { 1, "1.0" }, { 0.1, "0.1" }, { 1e16, "1e16" },
		{ 1e15, "1000000000000000.0" }, { 1.5e-7, "1.5e-7" }, { 1.7976931348623157e308, "1.7976931348623157e308" },
		{ 5e-324, "5e-324" }, { 0.30000000000000004, "0.30000000000000004" } };
	char out[33];
	for (size_t i = 0; i < sizeof f64 / sizeof *f64; i++) {
		size_t len = native_format_f64(f64[i].value, out);
		out[len] = 0;
		ck_assert_str_eq(out, f64[i].text);
	}
	out[native_format_f32(0.1f, out)] = 0;
	ck_assert_str_eq(out, "0.1");
	out[native_format_f32(3.4028235e38f, out)] = 0;
	ck_assert_str_eq(out, "3.4028235e38");
	ck_assert_uint_le(native_format_f64(0.0 / 0.0, out), 32);
}
END_TEST

/* ---- identifiers and case ---- */

START_TEST(identifiers)
{
	static const struct {
		const char *name;
		enum native_identifier_fault fault;
		const char *bad;
	} cases[] = {
		{ "person", NATIVE_IDENTIFIER_OK, "" },
		{ "_", NATIVE_IDENTIFIER_OK, "" },
		{ "_2fa", NATIVE_IDENTIFIER_OK, "" },
		{ "Gr\xc3\xb6\xc3\x9f" "e", NATIVE_IDENTIFIER_OK, "" },
		{ "\xe6\x97\xa5\xe6\x9c\xac", NATIVE_IDENTIFIER_OK, "" },
		{ "", NATIVE_IDENTIFIER_EMPTY, "" },
		{ "o\xcc\x88", NATIVE_IDENTIFIER_NOT_NFC, "" },
		{ "2fa", NATIVE_IDENTIFIER_BAD_START, "2" },
		{ " a", NATIVE_IDENTIFIER_BAD_START, " " },
		{ "\xf0\x9f\x98\x80", NATIVE_IDENTIFIER_BAD_START, "\xf0\x9f\x98\x80" },
		{ "a-b", NATIVE_IDENTIFIER_BAD_CONTINUE, "-" },
		{ "a.b c", NATIVE_IDENTIFIER_BAD_CONTINUE, "." },
		{ "a\xff", NATIVE_IDENTIFIER_NOT_UTF8, "" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char bad[8] = "unset";
		ck_assert_int_eq(native_identifier_check(cases[i].name, strlen(cases[i].name), bad), cases[i].fault);
		ck_assert_str_eq(bad, cases[i].bad);
	}
}
END_TEST

static void check_case(enum native_case to, const char *name, const char *expected)
{
	char out[256];
	size_t cap = 4 * strlen(name) + 16;
	size_t len = native_case_convert(to, name, strlen(name), out, cap);
	ck_assert_uint_le(len, cap);
	out[len] = 0;
	ck_assert_str_eq(out, expected);
}

START_TEST(case_conversion)
{
	static const char *const table[][4] = {
		{ "player1", "player_1", "player1", "Player1" },
		{ "U64Table", "u_64_table", "u64Table", "U64Table" },
		{ "XMLHttpRequest2", "xml_http_request_2", "xmlHttpRequest2", "XmlHttpRequest2" },
		{ "position3D", "position_3_d", "position3D", "Position3D" },
		{ "a1b2", "a_1_b_2", "a1B2", "A1B2" },
		{ "_foo_", "foo", "foo", "Foo" },
		{ "foo__bar", "foo_bar", "fooBar", "FooBar" },
		{ "__init__", "init", "init", "Init" },
		{ "ID", "id", "id", "Id" },
		{ "SomeTHING", "some_thing", "someThing", "SomeThing" },
		{ "HTTPServer", "http_server", "httpServer", "HttpServer" },
		{ "_", "", "", "" },
		{ "_2fa", "2_fa", "2Fa", "2Fa" },
		{ "", "", "", "" },
		{ "a_\xc3\x9f", "a_\xc3\x9f", "aSS", "ASS" },
		{ "\xff" "Ab", "\xff" "Ab", "\xff" "Ab", "\xff" "Ab" },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		check_case(NATIVE_CASE_SNAKE, table[i][0], table[i][1]);
		check_case(NATIVE_CASE_CAMEL, table[i][0], table[i][2]);
		check_case(NATIVE_CASE_PASCAL, table[i][0], table[i][3]);
	}
	char out[4] = "....";
	ck_assert_uint_eq(native_case_convert(NATIVE_CASE_SNAKE, "fooBar", 6, out, 3), 7);
	ck_assert_mem_eq(out, "foo.", 4);
}
END_TEST

/* The length promised in the header, on text that grows and on random bytes. */
START_TEST(case_hostile)
{
	char name[64], out[4 * sizeof name + 16];
	uint32_t state = 1;
	for (int round = 0; round < 20000; round++) {
		size_t len = 0;
		while (len < sizeof name - 4) {
			state = state * 1664525 + 1013904223;
			uint32_t c = state >> 11;
			c = round % 3 == 0 ? c & 0x7f : round % 3 == 1 ? 0x80 + c % 0x780 : 0x800 + c % 0xf000;
			if (c >= 0xd800 && c < 0xe000)
				c = 0x390; /* its upper case has three characters */
			if (c < 0x80) {
				name[len++] = (char)c;
			} else if (c < 0x800) {
				name[len++] = (char)(0xc0 | c >> 6);
				name[len++] = (char)(0x80 | (c & 63));
			} else {
				name[len++] = (char)(0xe0 | c >> 12);
				name[len++] = (char)(0x80 | (c >> 6 & 63));
				name[len++] = (char)(0x80 | (c & 63));
			}
		}
		for (int to = NATIVE_CASE_SNAKE; to <= NATIVE_CASE_PASCAL; to++)
			ck_assert_uint_le(native_case_convert((enum native_case)to, name, len, out, sizeof out), 4 * len + 16);
		native_identifier_check(name, len, out);
		native_demangle(name, len, out, sizeof out);
	}
}
END_TEST

START_TEST(demangling)
{
	static const struct {
		const char *name, *text;
	} cases[] = {
		{ "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad" },
		{ "_RNvCs1234_7mycrate3foo", "mycrate::foo" },
		{ "__call_reducer__", "__call_reducer__" },
		{ "", "" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char out[128];
		out[native_demangle(cases[i].name, strlen(cases[i].name), out, sizeof out - 1)] = 0;
		ck_assert_str_eq(out, cases[i].text);
	}
}
END_TEST

/* ---- tokens ---- */

static char private_pem[512], public_pem[512];
static const char claims[] = "{\"iss\":\"localhost\",\"sub\":\"alice\",\"iat\":1}";

static void make_keys(void)
{
	ck_assert_int_eq(native_keypair_generate(private_pem, public_pem), 0);
}

static void base64url(const void *data, size_t len, char *out)
{
	int n = EVP_EncodeBlock((unsigned char *)out, data, (int)len);
	while (n > 0 && out[n - 1] == '=')
		out[--n] = 0;
	for (char *c = out; *c != 0; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
}

/* header.payload, ready to be signed. */
static void make_signed_part(const char *header, const char *payload, char *out)
{
	base64url(header, strlen(header), out);
	out += strlen(out);
	*out++ = '.';
	base64url(payload, strlen(payload), out);
}

static void make_hs256(const char *key, size_t key_len, char *out)
{
	unsigned char mac[32];
	make_signed_part("{\"typ\":\"JWT\",\"alg\":\"HS256\"}", claims, out);
	HMAC(EVP_sha256(), key, (int)key_len, (unsigned char *)out, strlen(out), mac, NULL);
	out += strlen(out);
	*out++ = '.';
	base64url(mac, sizeof mac, out);
}

START_TEST(jwt_keys)
{
	BIO *bio = BIO_new_mem_buf(private_pem, -1);
	EVP_PKEY *private_key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	bio = BIO_new_mem_buf(public_pem, -1);
	EVP_PKEY *public_key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	BIO_free(bio);
	ck_assert_ptr_nonnull(private_key);
	ck_assert_ptr_nonnull(public_key);
	ck_assert_int_eq(EVP_PKEY_eq(private_key, public_key), 1);
	ck_assert_int_eq(strncmp(private_pem, "-----BEGIN PRIVATE KEY-----\n", 28), 0);
	ck_assert_int_eq(strncmp(public_pem, "-----BEGIN PUBLIC KEY-----\n", 27), 0);
	char first[512];
	snprintf(first, sizeof first, "%s", private_pem);
	make_keys();
	ck_assert_str_ne(first, private_pem);
	EVP_PKEY_free(private_key);
	EVP_PKEY_free(public_key);
}
END_TEST

START_TEST(jwt_round_trip)
{
	char token[512], error[128] = "", kid[128], payload[256];
	size_t payload_len = 0;
	enum native_jwt_alg alg = NATIVE_JWT_OTHER;
	ck_assert_msg(native_jwt_sign_es256(private_pem, strlen(private_pem), claims, strlen(claims),
					    token, sizeof token, error, sizeof error) == 0, "%s", error);
	ck_assert_int_eq(strncmp(token, "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.", 37), 0);
	ck_assert_msg(native_jwt_verify_es256(public_pem, strlen(public_pem), token, strlen(token),
					      error, sizeof error) == 0, "%s", error);
	ck_assert_int_eq(native_jwt_peek(token, strlen(token), &alg, kid, payload, sizeof payload,
					 &payload_len, error, sizeof error), 0);
	ck_assert_int_eq(alg, NATIVE_JWT_ES256);
	ck_assert_str_eq(kid, "");
	ck_assert_uint_eq(payload_len, strlen(claims));
	ck_assert_mem_eq(payload, claims, payload_len);

	token[40] ^= 1; /* another payload under the old signature */
	ck_assert_int_eq(native_jwt_verify_es256(public_pem, strlen(public_pem), token, strlen(token),
						 error, sizeof error), -1);
	ck_assert_str_eq(error, "InvalidSignature");
	token[40] ^= 1;
	make_keys(); /* another key */
	ck_assert_int_eq(native_jwt_verify_es256(public_pem, strlen(public_pem), token, strlen(token),
						 error, sizeof error), -1);
	ck_assert_str_eq(error, "InvalidSignature");
}
END_TEST

START_TEST(jwt_sign_errors)
{
	char token[512], error[128] = "";
	ck_assert_int_eq(native_jwt_sign_es256(public_pem, strlen(public_pem), claims, strlen(claims),
					       token, sizeof token, error, sizeof error), -1);
	ck_assert_str_eq(error, "InvalidKeyFormat");
	ck_assert_int_eq(native_jwt_sign_es256("junk", 4, claims, strlen(claims), token, sizeof token,
					       error, sizeof error), -1);
	ck_assert_int_eq(native_jwt_sign_es256(private_pem, strlen(private_pem), claims, strlen(claims),
					       token, 40, error, sizeof error), -1);
	ck_assert_str_eq(error, "token too long");
	ck_assert_int_eq(native_jwt_verify_es256("junk", 4, token, 3, error, sizeof error), -1);
	ck_assert_str_eq(error, "InvalidKeyFormat");
}
END_TEST

START_TEST(jwt_peek_errors)
{
	static const struct {
		const char *token, *error;
	} cases[] = {
		{ "", "InvalidToken" },
		{ "junk", "InvalidToken" },
		{ "a.b", "InvalidToken" },
		{ "!!.e30.x", "Base64 error: Invalid symbol 33, offset 0." },
		{ "e30.e30.x", "JSON error: missing field `alg` at line 1 column 2" },
		{ "eyJhbGciOiJFUzI1NiJ9.e3!.x", "Base64 error: Invalid symbol 33, offset 2." },
		{ "\xff.\xff.\xff", "InvalidToken" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char error[128] = "", kid[128], payload[64];
		size_t payload_len = 0;
		enum native_jwt_alg alg;
		ck_assert_int_eq(native_jwt_peek(cases[i].token, strlen(cases[i].token), &alg, kid, payload,
						 sizeof payload, &payload_len, error, sizeof error), -1);
		ck_assert_str_eq(error, cases[i].error);
	}
}
END_TEST

START_TEST(jwt_algorithms)
{
	static const struct {
		const char *header;
		int peek;
		const char *error;
	} cases[] = {
		{ "{\"alg\":\"RS256\"}", NATIVE_JWT_RS256, "InvalidAlgorithm" },
		{ "{\"alg\":\"HS256\"}", NATIVE_JWT_HS256, "InvalidAlgorithm" },
		{ "{\"alg\":\"ES384\"}", NATIVE_JWT_OTHER, "InvalidAlgorithm" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k1\"}", NATIVE_JWT_ES256, "InvalidSignature" },
		{ "{\"alg\":\"none\"}", -1, "JSON error: unknown variant `none`, expected one of" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char token[512], error[256] = "", kid[128], payload[256];
		size_t payload_len;
		enum native_jwt_alg alg;
		make_signed_part(cases[i].header, claims, token);
		memcpy(token + strlen(token), ".AAAA", sizeof ".AAAA");
		int peeked = native_jwt_peek(token, strlen(token), &alg, kid, payload, sizeof payload,
					     &payload_len, error, sizeof error);
		ck_assert_int_eq(peeked == 0 ? (int)alg : -1, cases[i].peek);
		if (peeked == 0)
			ck_assert_str_eq(kid, cases[i].peek == NATIVE_JWT_ES256 ? "k1" : "");
		ck_assert_int_eq(native_jwt_verify_es256(public_pem, strlen(public_pem), token, strlen(token),
							 error, sizeof error), -1);
		ck_assert_int_eq(strncmp(error, cases[i].error, strlen(cases[i].error)), 0);
	}
}
END_TEST

/* The public key is no secret: a token whose HMAC key it is must not pass. */
START_TEST(jwt_hs256_with_public_key)
{
	char token[512], error[128] = "", jwk[1024], k[700];
	make_hs256(public_pem, strlen(public_pem), token);
	ck_assert_int_eq(native_jwt_verify_es256(public_pem, strlen(public_pem), token, strlen(token),
						 error, sizeof error), -1);
	ck_assert_str_eq(error, "InvalidAlgorithm");
	/* The token is well formed: with a key that is meant for HMAC it passes. */
	base64url(public_pem, strlen(public_pem), k);
	snprintf(jwk, sizeof jwk, "{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"%s\"}", k);
	ck_assert_msg(native_jwt_verify_jwk(jwk, strlen(jwk), token, strlen(token), error, sizeof error) == 0,
		      "%s", error);
	snprintf(jwk, sizeof jwk, "{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AAAA\"}");
	ck_assert_int_eq(native_jwt_verify_jwk(jwk, strlen(jwk), token, strlen(token), error, sizeof error), -1);
	ck_assert_str_eq(error, "InvalidSignature");
}
END_TEST

START_TEST(jwt_jwk_ec)
{
	char token[512], error[128] = "", jwk[512], x[64], y[64];
	uint8_t point[65];
	size_t point_len = 0;
	BIO *bio = BIO_new_mem_buf(public_pem, -1);
	EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	ck_assert_int_eq(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &point_len), 1);
	ck_assert_uint_eq(point_len, 65);
	base64url(point + 1, 32, x);
	base64url(point + 33, 32, y);
	ck_assert_int_eq(native_jwt_sign_es256(private_pem, strlen(private_pem), claims, strlen(claims),
					       token, sizeof token, error, sizeof error), 0);
	snprintf(jwk, sizeof jwk, "{\"kty\":\"EC\",\"kid\":\"a\",\"use\":\"sig\",\"crv\":\"P-256\","
		"\"x\":\"%s\",\"y\":\"%s\"}", x, y);
	ck_assert_msg(native_jwt_verify_jwk(jwk, strlen(jwk), token, strlen(token), error, sizeof error) == 0,
		      "%s", error);
	snprintf(jwk, sizeof jwk, "{\"kty\":\"EC\",\"kid\":\"a\",\"crv\":\"P-384\",\"x\":\"%s\",\"y\":\"%s\"}", x, y);
	ck_assert_int_eq(native_jwt_verify_jwk(jwk, strlen(jwk), token, strlen(token), error, sizeof error), -1);
	ck_assert_str_eq(error, "InvalidAlgorithm");
	ck_assert_int_eq(native_jwt_verify_jwk("{}", 2, token, strlen(token), error, sizeof error), -1);
	ck_assert_int_eq(strncmp(error, "JSON error: ", 12), 0);
	BIO_free(bio);
	EVP_PKEY_free(key);
}
END_TEST

START_TEST(jwt_jwk_rsa)
{
	char token[1024], error[128] = "", jwk[1024], n_text[400], e_text[16];
	uint8_t signature[256], n[256], e[4];
	size_t signature_len = sizeof signature;
	BIGNUM *n_big = NULL, *e_big = NULL;
	EVP_PKEY *key = EVP_RSA_gen(2048);
	ck_assert_ptr_nonnull(key);
	make_signed_part("{\"alg\":\"RS256\",\"kid\":\"r\"}", claims, token);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	ck_assert_int_eq(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key), 1);
	ck_assert_int_eq(EVP_DigestSign(context, signature, &signature_len, (uint8_t *)token, strlen(token)), 1);
	size_t signed_len = strlen(token);
	token[signed_len] = '.';
	base64url(signature, signature_len, token + signed_len + 1);
	EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n_big);
	EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e_big);
	base64url(n, (size_t)BN_bn2bin(n_big, n), n_text);
	base64url(e, (size_t)BN_bn2bin(e_big, e), e_text);
	snprintf(jwk, sizeof jwk, "{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"%s\",\"e\":\"%s\"}", n_text, e_text);
	ck_assert_msg(native_jwt_verify_jwk(jwk, strlen(jwk), token, strlen(token), error, sizeof error) == 0,
		      "%s", error);
	make_hs256(n_text, strlen(n_text), token);
	ck_assert_int_eq(native_jwt_verify_jwk(jwk, strlen(jwk), token, strlen(token), error, sizeof error), -1);
	ck_assert_str_eq(error, "InvalidAlgorithm");
	BN_free(n_big);
	BN_free(e_big);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *const *tests, size_t count, void (*setup)(void))
{
	TCase *group = tcase_create(name);
	if (setup != NULL)
		tcase_add_checked_fixture(group, setup, NULL);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(group, tests[i]);
	suite_add_tcase(suite, group);
}

#define ADD(suite, name, setup, ...)                                                                    \
	do {                                                                                            \
		const TTest *const tests[] = { __VA_ARGS__ };                                           \
		add(suite, name, tests, sizeof tests / sizeof *tests, setup);                           \
	} while (0)

int main(void)
{
	Suite *suite = suite_create("native");
	ADD(suite, "hashes", NULL, blake3_vectors, keccak_vectors, crc32c_vectors);
	ADD(suite, "http", NULL, http_request, http_too_many_headers, http_response);
	ADD(suite, "json", NULL, json_tape, json_scalars, json_disguise, json_errors, json_depth);
	ADD(suite, "text", NULL, format_numbers, identifiers, case_conversion, case_hostile, demangling);
	ADD(suite, "jwt", make_keys, jwt_keys, jwt_round_trip, jwt_sign_errors, jwt_peek_errors, jwt_algorithms,
	    jwt_hs256_with_public_key, jwt_jwk_ec, jwt_jwk_rsa);
	return run_suite(suite);
}
