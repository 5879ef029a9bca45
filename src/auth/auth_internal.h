/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTH_INTERNAL_H
#define AUTH_INTERNAL_H
/* Between the files of this room: claims.c (what a token says), oidc.c (keys of foreign issuers), auth.c. */
#include "auth/auth.h"
#include "auth/json_walk.h"

enum {
	AUTH_CLAIM_BYTES_MAX = 128,        /* of issuer and of subject */
	AUTH_LEEWAY_SECONDS = 60,
	AUTH_KID_BYTES_MAX = 128,
	AUTH_PEM_BYTES_MAX = 4096,
	AUTH_ISSUERS_MAX = 256,            /* foreign issuers remembered */
	AUTH_FETCHES_MAX = 8,              /* at once: any client may name any issuer, slow ones must not eat the workers */
	AUTH_WAITING_MAX = 32,             /* for fetches of others, all issuers together */
	AUTH_JWKS_BYTES_MAX = 1 << 20,
	AUTH_KEYS_MAX = 64,                /* of one issuer */
	AUTH_REFRESH_SECONDS = 300,        /* age at which the next check fetches again */
	AUTH_STALE_SECONDS = 3600,         /* an issuer that does not answer: its old keys count for this long */
	AUTH_RETRY_SECONDS = 10,           /* between attempts for such an issuer */
};
#define AUTH_LOCAL_ISSUER "localhost"

/* ---- claims.c ---- */
struct claims {
	struct native_json doc;
	struct str payload;
	struct str issuer, subject; /* borrow from doc */
	int64_t exp;
	bool has_exp, has_identity;
	struct identity stated;     /* hex_identity */
};
void claims_deinit(struct claims *claims); /* safe on a zeroed struct */
/* Reads the standard claims. WL_ERR_DENIED with "Invalid token: JSON error: …". */
enum wl_err claims_read(struct str payload, struct claims *out, struct error *error);
/* Lengths, stated identity; fills in the identity. */
enum wl_err claims_accept(const struct claims *claims, struct identity *out, struct error *error);
/* The payload of a token for the same person made now, `seconds` long; all other claims kept. */
enum wl_err claims_renew(struct str payload, int64_t now, uint32_t seconds, struct buf *out, struct error *error);

/* ---- oidc.c ---- */
struct oidc;
struct oidc *oidc_create(enum wl_err (*fetch)(void *context, const char *url, struct buf *body, struct error *error),
	void *context);
void oidc_destroy(struct oidc *oidc);
/* Checks the signature with the keys of `issuer`, fetching them if need be. */
enum wl_err oidc_verify(struct oidc *oidc, struct str issuer, struct str token, const char *kid, struct error *error);
#endif
