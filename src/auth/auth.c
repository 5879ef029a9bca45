/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who somebody is: the keys of this host, the tokens it signs and the tokens it believes.
 *
 * Invariants
 * 1. A token is believed only with a signature of the algorithm that belongs to the key: ES256 for the host's own key.
 * 2. The two key files belong together: checked at opening by signing and verifying once.
 * 3. The private key never leaves this room: others get keys derived from it.
 */
#include "auth/auth_internal.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct auth {
	char private_pem[AUTH_PEM_BYTES_MAX], public_pem[AUTH_PEM_BYTES_MAX];
	size_t private_len, public_len;
	struct oidc *oidc; /* NULL: foreign issuers are refused */
};

/* ---- key files ---- */

static bool read_file(const char *path, char out[AUTH_PEM_BYTES_MAX], size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	size_t at = 0;
	ssize_t n = 0;
	while (at < AUTH_PEM_BYTES_MAX - 1 && (n = read(fd, out + at, AUTH_PEM_BYTES_MAX - 1 - at)) > 0)
		at += (size_t)n;
	close(fd);
	out[at] = '\0';
	*len = at;
	return n >= 0 && at > 0;
}

static enum wl_err sync_parent(const char *path, struct error *error)
{
	char dir[4096];
	int n = snprintf(dir, sizeof(dir), "%s", path);
	char *slash = n > 0 && (size_t)n < sizeof(dir) ? strrchr(dir, '/') : NULL;
	if (slash != NULL)
		slash[slash == dir] = '\0';
	int fd = open(slash != NULL ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0) {
		enum wl_err err = fail_errno(error, WL_ERR_IO, "cannot sync the folder of %s", path);
		if (fd >= 0)
			close(fd);
		return err;
	}
	close(fd);
	return WL_OK;
}

/* Readable by the owner only from its first byte on; whole or absent after a crash. */
static enum wl_err write_file(const char *path, const char *text, struct error *error)
{
	char temp[4096];
	int n = snprintf(temp, sizeof(temp), "%s.new", path);
	if (n < 0 || (size_t)n >= sizeof(temp))
		return fail(error, WL_ERR_INVALID, "the path of a key file is too long");
	unlink(temp);
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_errno(error, WL_ERR_IO, "cannot create %s", temp);
	size_t len = strlen(text);
	bool ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
	if (close(fd) != 0 || !ok || rename(temp, path) != 0) {
		enum wl_err err = fail_errno(error, WL_ERR_IO, "cannot write %s", path);
		unlink(temp);
		return err;
	}
	return sync_parent(path, error);
}

static enum wl_err generate(struct auth *auth, struct error *error)
{
	if (native_keypair_generate(auth->private_pem, auth->public_pem) != 0)
		return fail(error, WL_ERR_IO, "cannot generate a key pair");
	auth->private_len = strlen(auth->private_pem);
	auth->public_len = strlen(auth->public_pem);
	return WL_OK;
}

static enum wl_err load_keys(struct auth *auth, const struct auth_options *options, struct error *error)
{
	bool has_private = access(options->private_key_path, F_OK) == 0;
	bool has_public = access(options->public_key_path, F_OK) == 0;
	if (!has_private && !has_public) {
		enum wl_err err = generate(auth, error);
		if (err == WL_OK)
			err = write_file(options->private_key_path, auth->private_pem, error);
		if (err == WL_OK)
			err = write_file(options->public_key_path, auth->public_pem, error);
		return err;
	}
	if (!read_file(options->public_key_path, auth->public_pem, &auth->public_len))
		return fail(error, WL_ERR_IO, "Unable to read public key for JWT token verification: %s",
			options->public_key_path);
	if (!read_file(options->private_key_path, auth->private_pem, &auth->private_len))
		return fail(error, WL_ERR_IO, "Unable to read private key for JWT token signing: %s",
			options->private_key_path);
	return WL_OK;
}

static enum wl_err sign(struct auth *auth, struct str claims, struct buf *out, struct error *error)
{
	char message[256];
	size_t cap = claims.len * 2 + 512;
	char *token = mem_alloc(cap);
	if (token == NULL)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	int rc = native_jwt_sign_es256(auth->private_pem, auth->private_len, claims.data, claims.len, token, cap, message,
		sizeof(message));
	if (rc == 0)
		buf_put_cstr(out, token);
	mem_free(token);
	if (rc != 0)
		return fail(error, WL_ERR_IO, "cannot sign a token: %s", message);
	return out->failed ? fail(error, WL_ERR_MEMORY, "out of memory") : WL_OK;
}

static enum wl_err check_pair(struct auth *auth, struct error *error)
{
	struct buf token = BUF_INIT(AUTH_TOKEN_BYTES_MAX);
	char message[256];
	enum wl_err err = sign(auth, STR("{}"), &token, error);
	if (err == WL_OK && native_jwt_verify_es256(auth->public_pem, auth->public_len, (const char *)token.data, token.len,
		message, sizeof(message)) != 0)
		err = fail(error, WL_ERR_INVALID, "the public and the private key do not belong together: %s", message);
	buf_deinit(&token);
	return err;
}

enum wl_err auth_open(const struct auth_options *options, struct auth **out, struct error *error)
{
	struct auth *auth = mem_zalloc(sizeof(*auth));
	if (auth == NULL)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	enum wl_err err = options->in_memory_keys ? generate(auth, error) : load_keys(auth, options, error);
	if (err == WL_OK)
		err = check_pair(auth, error);
	if (err == WL_OK && options->fetch != NULL) {
		auth->oidc = oidc_create(options->fetch, options->fetch_context);
		if (auth->oidc == NULL)
			err = fail(error, WL_ERR_MEMORY, "out of memory");
	}
	if (err != WL_OK) {
		auth_close(auth);
		return err;
	}
	*out = auth;
	return WL_OK;
}

void auth_close(struct auth *auth)
{
	if (auth == NULL)
		return;
	oidc_destroy(auth->oidc);
	explicit_bzero(auth->private_pem, sizeof(auth->private_pem));
	mem_free(auth);
}

struct str auth_public_key_pem(const struct auth *auth)
{
	return (struct str){ auth->public_pem, auth->public_len };
}

void auth_derive_key(const struct auth *auth, const char *label, uint8_t out[32])
{
	struct buf text = BUF_INIT(2 * AUTH_PEM_BYTES_MAX);
	mem_or_abort(buf_reserve(&text, AUTH_PEM_BYTES_MAX + 128) ? &text : NULL);
	buf_put_cstr(&text, "worldline derived key 1");
	buf_put_u8(&text, 0);
	buf_put_cstr(&text, label);
	buf_put_u8(&text, 0);
	buf_put(&text, auth->private_pem, auth->private_len);
	native_blake3(text.data, text.len, out);
	explicit_bzero(text.data, text.len);
	buf_deinit(&text);
}

/* ---- identities ---- */

void auth_identity(struct str issuer, struct str subject, struct identity *out)
{
	char text[2 * AUTH_CLAIM_BYTES_MAX + 1];
	struct buf longer = BUF_INIT(SIZE_MAX);
	uint8_t *data = (uint8_t *)text;
	size_t len = issuer.len + 1 + subject.len;
	if (len > sizeof(text))
		data = mem_or_abort(buf_extend(&longer, len)); /* callers check lengths; nothing from outside comes here */
	memcpy(data, issuer.data, issuer.len);
	data[issuer.len] = '|';
	memcpy(data + issuer.len + 1, subject.data, subject.len);
	uint8_t hash[32], big_endian[32], prefixed[28] = { 0xc2, 0x00 };
	native_blake3(data, len, hash);
	buf_deinit(&longer);
	memcpy(prefixed + 2, hash, 26);
	native_blake3(prefixed, sizeof(prefixed), hash);
	big_endian[0] = 0xc2;
	big_endian[1] = 0x00;
	memcpy(big_endian + 2, hash, 4);
	memcpy(big_endian + 6, prefixed + 2, 26);
	for (size_t i = 0; i < 32; i++)
		out->le[i] = big_endian[31 - i];
}

static void uuid_v4(char out[37])
{
	uint8_t r[16];
	random_bytes(r, sizeof(r));
	r[6] = (uint8_t)(0x40 | (r[6] & 0x0f));
	r[8] = (uint8_t)(0x80 | (r[8] & 0x3f));
	snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3],
		r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
}

void auth_random_identity(struct identity *out)
{
	char subject[37];
	uuid_v4(subject);
	auth_identity(STR(AUTH_LOCAL_ISSUER), str_of(subject), out);
}

/* ---- tokens ---- */

void auth_claims_deinit(struct auth_claims *claims)
{
	mem_free(claims->token);
	mem_free(claims->payload);
	mem_free(claims->issuer);
	mem_free(claims->subject);
	*claims = (struct auth_claims){ 0 };
}

static enum wl_err own_claims(struct auth_claims *out, struct str token, struct str payload, struct str issuer,
	struct str subject, struct error *error)
{
	out->token = mem_strdup(token);
	out->payload = mem_strdup(payload);
	out->issuer = mem_strdup(issuer);
	out->subject = mem_strdup(subject);
	if (out->token != NULL && out->payload != NULL && out->issuer != NULL && out->subject != NULL)
		return WL_OK;
	auth_claims_deinit(out);
	return fail(error, WL_ERR_MEMORY, "out of memory");
}

static int64_t now_seconds(void)
{
	return clock_wall_micros() / 1000000;
}

enum wl_err auth_mint(struct auth *auth, struct auth_claims *out, struct error *error)
{
	char subject[37], hex[65], payload[512];
	uuid_v4(subject);
	*out = (struct auth_claims){ 0 };
	struct identity identity;
	auth_identity(STR(AUTH_LOCAL_ISSUER), str_of(subject), &identity);
	identity_to_hex(&identity, hex);
	snprintf(payload, sizeof(payload), "{\"hex_identity\":\"%s\",\"sub\":\"%s\",\"iss\":\"" AUTH_LOCAL_ISSUER "\","
		"\"aud\":[\"spacetimedb\"],\"iat\":%lld,\"exp\":null}", hex, subject, (long long)now_seconds());
	struct buf token = BUF_INIT(AUTH_TOKEN_BYTES_MAX);
	enum wl_err err = sign(auth, str_of(payload), &token, error);
	if (err == WL_OK)
		err = own_claims(out, buf_str(&token), str_of(payload), STR(AUTH_LOCAL_ISSUER), str_of(subject), error);
	out->identity = identity;
	buf_deinit(&token);
	return err;
}

/*
 * The local key is tried first, whatever the issuer: that is how this host's short tokens of foreign users work. Claims
 * are read before any cryptography, as their faults are reported first in either case.
 */
static enum wl_err check_parts(struct auth *auth, struct str token, const char *kid, struct claims *claims,
	struct identity *identity, struct error *error)
{
	char message[256];
	if (claims->has_exp && claims->exp < now_seconds() - AUTH_LEEWAY_SECONDS)
		return fail(error, WL_ERR_DENIED, "Invalid token: ExpiredSignature");
	struct error local = { 0 };
	enum wl_err err;
	if (native_jwt_verify_es256(auth->public_pem, auth->public_len, token.data, token.len, message,
		sizeof(message)) == 0)
		err = claims_accept(claims, identity, &local);
	else
		err = fail(&local, WL_ERR_DENIED, "Invalid token: %s", message);
	if (err == WL_OK)
		return WL_OK;
	if (str_eq(claims->issuer, STR(AUTH_LOCAL_ISSUER))) {
		*error = local;
		return err;
	}
	if (auth->oidc == NULL || claims->issuer.len == 0 || claims->issuer.len > AUTH_CLAIM_BYTES_MAX)
		return fail(error, WL_ERR_DENIED, "Error fetching public key for issuer %.*s", STR_FMT(claims->issuer));
	err = oidc_verify(auth->oidc, claims->issuer, token, kid, error);
	return err == WL_OK ? claims_accept(claims, identity, error) : err;
}

enum wl_err auth_check(struct auth *auth, struct str token, struct auth_claims *out, struct error *error)
{
	*out = (struct auth_claims){ 0 };
	if (token.len == 0 || token.len > AUTH_TOKEN_BYTES_MAX)
		return fail(error, WL_ERR_DENIED, "Invalid token: InvalidToken");
	char *payload = mem_alloc(token.len + 1);
	if (payload == NULL)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	char kid[AUTH_KID_BYTES_MAX], message[256];
	enum native_jwt_alg alg;
	size_t payload_len;
	struct claims claims = { 0 };
	struct identity identity;
	struct error ignored;
	enum wl_err err;
	if (error == NULL)
		error = &ignored;
	if (native_jwt_peek(token.data, token.len, &alg, kid, payload, token.len, &payload_len, message,
		sizeof(message)) != 0)
		err = fail(error, WL_ERR_DENIED, "Invalid token: %s", message);
	else
		err = claims_read((struct str){ payload, payload_len }, &claims, error);
	if (err == WL_OK)
		err = check_parts(auth, token, kid, &claims, &identity, error);
	if (err == WL_OK)
		err = own_claims(out, token, claims.payload, claims.issuer, claims.subject, error);
	if (err == WL_OK)
		out->identity = identity;
	claims_deinit(&claims);
	mem_free(payload);
	return err;
}

enum wl_err auth_short_token(struct auth *auth, const struct auth_claims *claims, struct buf *token,
	struct error *error)
{
	struct buf payload = BUF_INIT(2 * AUTH_TOKEN_BYTES_MAX);
	enum wl_err err = claims_renew(str_of(claims->payload), now_seconds(), 60, &payload, error);
	if (err == WL_OK)
		err = sign(auth, buf_str(&payload), token, error);
	buf_deinit(&payload);
	return err;
}
