/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: tokens are made, judged and renewed as documented; identities equal known vectors; foreign keys are fetched
 * once and only trusted with their own algorithm. Method: a key pair in memory, tokens signed with it, a fetch function
 * that serves two documents. */
#include "auth/auth.h"
#include "auth/auth_internal.h"
#include "base/clock.h"
#include "base/mem.h"
#include "unit/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>


static char private_pem[512], public_pem[512];
static struct auth *auth;
static char key_dir[64];

static void open_auth(enum wl_err (*fetch)(void *, const char *, struct buf *, struct error *))
{
	char private_path[128], public_path[128];
	struct error error = { 0 };
	snprintf(key_dir, sizeof(key_dir), "/tmp/wl-auth-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(key_dir));
	snprintf(private_path, sizeof(private_path), "%s/id", key_dir);
	snprintf(public_path, sizeof(public_path), "%s/id.pub", key_dir);
	struct auth_options options = { .private_key_path = private_path, .public_key_path = public_path, .fetch = fetch };
	ck_assert_msg(auth_open(&options, &auth, &error) == WL_OK, "%s", error.text);
	FILE *file = fopen(private_path, "r");
	ck_assert_ptr_nonnull(file);
	private_pem[fread(private_pem, 1, sizeof(private_pem) - 1, file)] = '\0';
	fclose(file);
	snprintf(public_pem, sizeof(public_pem), "%.*s", STR_FMT(auth_public_key_pem(auth)));
}

static void close_auth(void)
{
	char command[128];
	auth_close(auth);
	snprintf(command, sizeof(command), "rm -r %s", key_dir);
	ck_assert_int_eq(system(command), 0);
}

static const char *sign_with(const char *pem, const char *claims)
{
	static char token[8192], error[256];
	ck_assert_msg(native_jwt_sign_es256(pem, strlen(pem), claims, strlen(claims), token, sizeof(token), error,
		sizeof(error)) == 0, "%s", error);
	return token;
}

/* Checks a payload signed with the host's key: "" when accepted, otherwise the refusal. */
static const char *verdict_of(const char *token)
{
	static struct error error;
	struct auth_claims claims;
	error = (struct error){ 0 };
	enum wl_err err = auth_check(auth, str_of(token), &claims, &error);
	auth_claims_deinit(&claims);
	ck_assert(err == WL_OK || err == WL_ERR_DENIED);
	return err == WL_OK ? "" : error.text;
}
static const char *verdict(const char *payload) { return verdict_of(sign_with(private_pem, payload)); }

START_TEST(identities_equal_the_known_vectors)
{
	static const struct { const char *issuer, *subject, *identity; } vectors[] = {
		{ "localhost", "alice", "c20035600353a2e93544d898c6ed0eac323e200c0468300f22958f8b472a265d" },
		{ "https://auth.spacetimedb.com/oidc", "user-1",
			"c200892c2108b82509254a8decf61cc1abe254fda83308fac2cb35fa9ae7d38e" },
		{ "https://example.com", "user", "c200447724244e9e3517edbca722e8eeb5e262ee14554426f7ec0df5e6722a1a" },
		{ "https://example.com/", "user", "c2008cef6ae698a56a64d4142d3dbdbaa38103f219a0ee9d879bbb8628671f0f" },
		{ "localhost", "h\xc3\xa9llo", "c2003457f5295c39ff0e46de93d82752594a3a365a09fe779d7074eff8d122a7" },
		{ "a|b", "c", "c200c680dcde2249aead8c9f980d5006e58d722de6cf3ef6bbb232851a796d9b" },
		{ "localhost", "6d4b5430-00cf-4a99-932c-ad2d07bab841",
			"c200483152d642c7d402de06cacc36dcb0c2a1f2bbeb8e7d5a673f2435cca975" },
	};
	for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
		struct identity identity;
		char hex[65];
		auth_identity(str_of(vectors[i].issuer), str_of(vectors[i].subject), &identity);
		identity_to_hex(&identity, hex);
		ck_assert_str_eq(hex, vectors[i].identity);
	}
}
END_TEST

START_TEST(a_minted_token_is_accepted_and_says_who)
{
	open_auth(NULL);
	struct auth_claims made, read;
	struct error error;
	ck_assert_int_eq(auth_mint(auth, &made, &error), WL_OK);
	ck_assert_int_eq(auth_check(auth, str_of(made.token), &read, &error), WL_OK);
	ck_assert(identity_eq(&made.identity, &read.identity));
	ck_assert_str_eq(made.payload, read.payload);
	ck_assert_str_eq(read.issuer, "localhost");
	ck_assert_uint_eq(read.identity.le[31], 0xc2);
	auth_claims_deinit(&made);
	auth_claims_deinit(&read);
	close_auth();
}
END_TEST

START_TEST(claims_are_judged_as_recorded)
{
	open_auth(NULL);
	char text[512];
	long now = (long)time(NULL);
#define SAY(expected, ...) do { \
		snprintf(text, sizeof(text), __VA_ARGS__); \
		ck_assert_str_eq(verdict(text), expected); \
	} while (0)
	SAY("", "{\"iss\":\"localhost\",\"sub\":\"kit-user\",\"iat\":%ld}", now);
	SAY("", "{\"iss\":\"localhost\",\"sub\":\"kit-user\",\"iat\":1,\"exp\":%ld}", now - 30);
	SAY("Invalid token: ExpiredSignature", "{\"iss\":\"localhost\",\"sub\":\"kit-user\",\"iat\":1,\"exp\":%ld}",
		now - 70);
	SAY("", " { \"iss\" : \"localhost\" , \"sub\" : \"kit-user\" , \"iat\" : 1 } ");
	SAY("", "{\"iss\":\"localhost\",\"sub\":\"k\",\"iat\":1,\"aud\":[],\"x\":{\"y\":[1,2]}}");
	SAY("Invalid token: JSON error: invalid type: string \"1\", expected i64 at line 1 column 45",
		"{\"iss\":\"localhost\",\"sub\":\"kit-user\",\"iat\":\"1\"}");
	SAY("Invalid token: JSON error: invalid type: floating point `1.0`, expected i64 at line 1 column 45",
		"{\"iss\":\"localhost\",\"sub\":\"kit-user\",\"iat\":1.0}");
	SAY("Invalid token: JSON error: invalid type: floating point `1e20`, expected i64 at line 1 column 70",
		"{\"iss\":\"localhost\",\"sub\":\"kit-user\",\"iat\":1,\"exp\":99999999999999999999}");
	SAY("Invalid token: JSON error: missing field `iss` at line 1 column 26", "{\"sub\":\"kit-user\",\"iat\":1}");
	SAY("Invalid token: JSON error: missing field `sub` at line 1 column 27", "{\"iss\":\"localhost\",\"iat\":1}");
	SAY("Invalid token: JSON error: invalid type: integer `5`, expected a string at line 1 column 8",
		"{\"iss\":5,\"sub\":\"kit-user\",\"iat\":1}");
	SAY("Invalid token: JSON error: invalid type: null, expected a string at line 1 column 11",
		"{\"iss\":null,\"sub\":\"kit-user\",\"iat\":1}");
	SAY("Invalid token: JSON error: data did not match any variant of untagged enum Audience at line 1 column 52",
		"{\"iss\":\"localhost\",\"sub\":\"kit-user\",\"iat\":1,\"aud\":5}");
	SAY("Invalid token: JSON error: duplicate field `sub` at line 1 column 49",
		"{\"iss\":\"localhost\",\"sub\":\"kit-user\",\"iat\":1,\"sub\":\"b\"}");
	SAY("Invalid token: JSON error: invalid value: string \"zz\", expected a byte array or hex string at "
		"line 1 column 63",
		"{\"iss\":\"localhost\",\"sub\":\"kit-user\",\"iat\":1,\"hex_identity\":\"zz\"}");
	SAY("Invalid token: JSON error: expected value at line 1 column 1", "hello");
	SAY("Invalid token: JSON error: invalid type: sequence, expected struct IncomingClaims at line 1 column 0", "[]");
#undef SAY
	close_auth();
}
END_TEST

START_TEST(lengths_and_stated_identity_count)
{
	open_auth(NULL);
	char text[512], subject[130];
	memset(subject, 's', 129);
	subject[129] = '\0';
	snprintf(text, sizeof(text), "{\"iss\":\"localhost\",\"sub\":\"%s\",\"iat\":1}", subject + 1);
	ck_assert_str_eq(verdict(text), "");
	snprintf(text, sizeof(text), "{\"iss\":\"localhost\",\"sub\":\"%s\",\"iat\":1}", subject);
	ck_assert_ptr_nonnull(strstr(verdict(text), "Subject too long: \"sss"));
	ck_assert_str_eq(verdict("{\"iss\":\"localhost\",\"sub\":\"\",\"iat\":1}"), "Subject empty");
	ck_assert_str_eq(verdict("{\"iss\":\"\",\"sub\":\"a\",\"iat\":1}"), "Error fetching public key for issuer ");
	snprintf(text, sizeof(text), "{\"iss\":\"localhost\",\"sub\":\"a\",\"iat\":1,\"hex_identity\":\"%064d\"}", 0);
	ck_assert_ptr_nonnull(strstr(verdict(text), "Identity mismatch: token identity Identity(0000"));
	close_auth();
}
END_TEST

START_TEST(signatures_and_structure_count)
{
	open_auth(NULL);
	char other_private[512], other_public[512];
	ck_assert_int_eq(native_keypair_generate(other_private, other_public), 0);
	const char *claims = "{\"iss\":\"localhost\",\"sub\":\"a\",\"iat\":1}";
	ck_assert_str_eq(verdict_of(sign_with(other_private, claims)), "Invalid token: InvalidSignature");
	ck_assert_str_eq(verdict_of("junk"), "Invalid token: InvalidToken");
	ck_assert_str_eq(verdict_of(""), "Invalid token: InvalidToken");
	ck_assert_ptr_nonnull(strstr(verdict_of("eyJhbGciOiJub25lIn0.eyJpc3MiOiJsb2NhbGhvc3QiLCJzdWIiOiJ4IiwiaWF0IjoxfQ."),
		"Invalid token: JSON error: unknown variant `none`"));
	/* HS256 over the public key's text: the classic confusion */
	ck_assert_str_eq(verdict_of("eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJsb2NhbGhvc3QiLCJzdWIiOiJ4IiwiaWF0IjoxfQ.AAAA"),
		"Invalid token: InvalidAlgorithm");
	close_auth();
}
END_TEST

START_TEST(a_short_token_keeps_the_claims)
{
	open_auth(NULL);
	struct auth_claims claims, again;
	struct error error;
	struct buf token = BUF_INIT(AUTH_TOKEN_BYTES_MAX);
	const char *payload = "{\"iss\":\"https://example.com\",\"sub\":\"user\",\"iat\":1,\"aud\":\"a\","
		"\"exp\":null,\"extra\":{\"k\": [1, 2]}}";
	ck_assert_int_eq(auth_check(auth, str_of(sign_with(private_pem, payload)), &claims, &error), WL_OK);
	ck_assert_int_eq(auth_short_token(auth, &claims, &token, &error), WL_OK);
	ck_assert_int_eq(auth_check(auth, buf_str(&token), &again, &error), WL_OK);
	ck_assert(identity_eq(&claims.identity, &again.identity));
	ck_assert_ptr_nonnull(strstr(again.payload, "\"iss\":\"https://example.com\",\"aud\":[\"a\"],\"iat\":"));
	ck_assert_ptr_nonnull(strstr(again.payload, ",\"extra\":{\"k\": [1, 2]}}"));
	ck_assert_ptr_null(strstr(again.payload, "null"));
	auth_claims_deinit(&claims);
	auth_claims_deinit(&again);
	buf_deinit(&token);
	close_auth();
}
END_TEST

/* ---- foreign issuers ---- */

static char foreign_private[512], jwks[1024];
static unsigned fetches;
static bool fetch_fails;

static enum wl_err fetch_foreign(void *context, const char *url, struct buf *body, struct error *error)
{
	(void)context;
	fetches++;
	if (fetch_fails)
		return fail(error, WL_ERR_IO, "down");
	if (strcmp(url, "https://issuer.test/.well-known/openid-configuration") == 0)
		buf_put_cstr(body, "{\"issuer\":\"x\",\"jwks_uri\":\"https://issuer.test/keys\"}");
	else if (strcmp(url, "https://issuer.test/keys") == 0)
		buf_put_cstr(body, jwks);
	else
		return fail(error, WL_ERR_NOT_FOUND, "no such page: %s", url);
	return WL_OK;
}

/* The JWK of a P-256 SPKI PEM: the point is the last 64 bytes of the DER. */
static void make_jwks(const char *pem, const char *kid)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t der[128];
	size_t n = 0;
	uint32_t bits = 0, have = 0;
	const char *at = strchr(pem, '\n') + 1;
	for (; *at != '-'; at++) {
		const char *p = *at == '\n' || *at == '=' ? NULL : strchr(alphabet, *at);
		if (p == NULL)
			continue;
		bits = bits << 6 | (uint32_t)(p - alphabet);
		if ((have += 6) >= 8)
			der[n++] = (uint8_t)(bits >> (have -= 8));
	}
	ck_assert_uint_eq(n, 91);
	char xy[2][64];
	for (int c = 0; c < 2; c++) {
		const uint8_t *p = der + 27 + 32 * c;
		size_t len = 0;
		for (int i = 0; i < 258; i += 6) {
			uint32_t v = 0;
			for (int b = 0; b < 6; b++)
				v = v << 1 | (i + b < 256 ? (uint32_t)p[(i + b) / 8] >> (7 - (i + b) % 8) & 1 : 0);
			xy[c][len++] = v == 62 ? '-' : v == 63 ? '_' : alphabet[v];
		}
		xy[c][len] = '\0';
	}
	snprintf(jwks, sizeof(jwks), "{\"keys\": [ {\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":\"sym\"}, "
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"} ]}", kid, xy[0], xy[1]);
}

START_TEST(a_foreign_issuer_is_believed_with_its_keys)
{
	char foreign_public[512], other_private[512], other_public[512];
	ck_assert_int_eq(native_keypair_generate(foreign_private, foreign_public), 0);
	ck_assert_int_eq(native_keypair_generate(other_private, other_public), 0);
	make_jwks(foreign_public, "one");
	fetches = 0;
	fetch_fails = true;
	open_auth(fetch_foreign);
	const char *claims = "{\"iss\":\"https://issuer.test/\",\"sub\":\"user\",\"iat\":1}";
	ck_assert_str_eq(verdict_of(sign_with(foreign_private, claims)),
		"Error fetching public key for issuer https://issuer.test/");
	fetch_fails = false;
	ck_assert_str_eq(verdict_of(sign_with(foreign_private, claims)), "");
	ck_assert_uint_eq(fetches, 3);
	ck_assert_str_eq(verdict_of(sign_with(foreign_private, claims)), ""); /* remembered */
	ck_assert_uint_eq(fetches, 3);
	ck_assert_str_eq(verdict_of(sign_with(other_private, claims)), "Invalid token: InvalidSignature");
	/* without the slash: the same keys, another person */
	struct auth_claims with, without;
	struct error error;
	ck_assert_int_eq(auth_check(auth, str_of(sign_with(foreign_private, claims)), &with, &error), WL_OK);
	const char *without_slash = "{\"iss\":\"https://issuer.test\",\"sub\":\"user\",\"iat\":1}";
	ck_assert_int_eq(auth_check(auth, str_of(sign_with(foreign_private, without_slash)), &without, &error), WL_OK);
	ck_assert(!identity_eq(&with.identity, &without.identity));
	auth_claims_deinit(&with);
	auth_claims_deinit(&without);
	close_auth();
}
END_TEST

START_TEST(keys_survive_and_must_belong_together)
{
	struct error error = { 0 };
	open_auth(NULL);
	struct auth_claims claims;
	ck_assert_int_eq(auth_mint(auth, &claims, &error), WL_OK);
	auth_close(auth);
	char private_path[128], public_path[128], missing[128];
	snprintf(private_path, sizeof(private_path), "%s/id", key_dir);
	snprintf(public_path, sizeof(public_path), "%s/id.pub", key_dir);
	snprintf(missing, sizeof(missing), "%s/none", key_dir);
	struct auth_options options = { .private_key_path = private_path, .public_key_path = public_path };
	ck_assert_int_eq(auth_open(&options, &auth, &error), WL_OK);
	ck_assert_str_eq(verdict_of(claims.token), "");
	auth_claims_deinit(&claims);
	struct auth *broken = NULL;
	options.public_key_path = missing;
	ck_assert_int_eq(auth_open(&options, &broken, &error), WL_ERR_IO);
	ck_assert_ptr_nonnull(strstr(error.text, "Unable to read public key for JWT token verification"));
	char other_private[512], other_public[512];
	ck_assert_int_eq(native_keypair_generate(other_private, other_public), 0);
	FILE *file = fopen(missing, "w");
	fputs(other_public, file);
	fclose(file);
	ck_assert_int_eq(auth_open(&options, &broken, &error), WL_ERR_INVALID);
	close_auth();
}
END_TEST

START_TEST(no_memory_is_an_error)
{
	open_auth(NULL);
	struct auth_claims claims;
	struct error error;
	char token[2048];
	snprintf(token, sizeof(token), "%s", sign_with(private_pem, "{\"iss\":\"localhost\",\"sub\":\"a\",\"iat\":1}"));
	for (uint64_t n = 1; n < 40; n++) {
		mem_fail_at(n, true);
		enum wl_err err = auth_check(auth, str_of(token), &claims, &error);
		mem_fail_at(0, false);
		if (err == WL_OK) {
			auth_claims_deinit(&claims);
			ck_assert_uint_gt(n, 4);
			break;
		}
		ck_assert_int_eq(err, WL_ERR_MEMORY);
	}
	close_auth();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auth_token");
	TCase *tcase = tcase_create("auth_token");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, identities_equal_the_known_vectors);
	tcase_add_test(tcase, a_minted_token_is_accepted_and_says_who);
	tcase_add_test(tcase, claims_are_judged_as_recorded);
	tcase_add_test(tcase, lengths_and_stated_identity_count);
	tcase_add_test(tcase, signatures_and_structure_count);
	tcase_add_test(tcase, a_short_token_keeps_the_claims);
	tcase_add_test(tcase, a_foreign_issuer_is_believed_with_its_keys);
	tcase_add_test(tcase, keys_survive_and_must_belong_together);
	tcase_add_test(tcase, no_memory_is_an_error);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
