/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTH_H
#define AUTH_H
/*
 * auth: who somebody is. Keys of this host, tokens it signs, tokens it checks,
 * identities derived from issuer and subject. Knows nothing of databases.
 *
 * Threading: any thread; immutable after auth_open but for the keys of foreign
 * issuers, under one lock. Checking a token costs about 100 us, or a fetch:
 * never on an executor or a loop.
 *
 * Source: http-api.md section 3, data-model.md section 3.
 */
#include "base/buf.h"

enum { AUTH_TOKEN_BYTES_MAX = 16 << 10 };

struct auth;
struct auth_options {
	const char *private_key_path, *public_key_path; /* both; made when both are missing (0600, temp + rename) */
	bool in_memory_keys; /* tests: no files */
	/* Fetches a URL for OIDC discovery; NULL: foreign issuers are refused. Status is ignored by design. */
	enum wl_err (*fetch)(void *context, const char *url, struct buf *body, struct error *error);
	void *fetch_context;
};
enum wl_err auth_open(const struct auth_options *options, struct auth **out, struct error *error);
void auth_close(struct auth *auth);
struct str auth_public_key_pem(const struct auth *auth);
/* 32 bytes derived from the private key, for what else must be authenticated on disk (label separates uses). */
void auth_derive_key(const struct auth *auth, const char *label, uint8_t out[32]);

struct auth_claims {
	struct identity identity;
	char *token;   /* the token itself, owned */
	char *payload; /* decoded payload, verbatim JSON, owned */
	char *issuer, *subject; /* owned */
};
void auth_claims_deinit(struct auth_claims *claims); /* safe on a zeroed struct */

/* A fresh identity: issuer localhost, random UUIDv4 subject, no expiry. */
enum wl_err auth_mint(struct auth *auth, struct auth_claims *out, struct error *error);
/* Validates a token completely (sections 3.3, 3.4). WL_ERR_DENIED with the reference's text on failure. */
enum wl_err auth_check(struct auth *auth, struct str token, struct auth_claims *out, struct error *error);
/* The caller's claims again, 60 seconds long, signed here (websocket-token). */
enum wl_err auth_short_token(struct auth *auth, const struct auth_claims *claims, struct buf *token,
	struct error *error);
/* issuer|subject -> identity (section 3.6). */
void auth_identity(struct str issuer, struct str subject, struct identity *out);
/* A fresh database identity. */
void auth_random_identity(struct identity *out);
#endif
