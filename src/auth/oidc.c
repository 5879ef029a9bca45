/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public keys of foreign issuers: fetched through a callback, remembered for a while, fetched by one thread at a
 * time for each issuer.
 *
 * Invariants
 * 1. An issuer's keys change only as a whole (struct key_set, shared by count); a check uses one set from start to end.
 * 2. `fetching` is set by the one thread that fetches for this issuer; others wait only if there are no keys at all.
 * 3. At most AUTH_FETCHES_MAX fetches run at once, and at most AUTH_ISSUERS_MAX issuers are remembered: the one unused
 *    for longest makes room. An entry that is being fetched or waited for stays.
 * 4. Failures are remembered only while old keys are in use; a first fetch is tried again by each request.
 */
#include "auth/auth_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

struct key {
	char *kid; /* NULL: usable for any token whose kid is not found */
	char *jwk; /* JSON text */
	size_t jwk_len;
};
struct key_set {
	uint32_t shares; /* under the monitor */
	uint32_t count;
	struct key keys[AUTH_KEYS_MAX];
};
struct issuer {
	char *name;
	struct key_set *keys; /* NULL: none yet */
	uint64_t fetched_at, tried_at, used_at; /* monotonic nanoseconds */
	uint32_t waiting;
	bool fetching;
};
struct oidc {
	struct monitor monitor;
	enum wl_err (*fetch)(void *context, const char *url, struct buf *body, struct error *error);
	void *context;
	uint32_t fetches, waiting, count;
	struct issuer *issuers[AUTH_ISSUERS_MAX];
};

#define SECONDS(n) ((uint64_t)(n) * 1000000000u)

static void keys_free(struct key_set *set)
{
	for (uint32_t i = 0; i < set->count; i++) {
		mem_free(set->keys[i].kid);
		mem_free(set->keys[i].jwk);
	}
	mem_free(set);
}

static void keys_release(struct key_set *set) /* under the monitor */
{
	if (set != NULL && --set->shares == 0)
		keys_free(set);
}

struct oidc *oidc_create(enum wl_err (*fetch)(void *, const char *, struct buf *, struct error *), void *context)
{
	struct oidc *oidc = mem_zalloc(sizeof(*oidc));
	if (oidc == NULL)
		return NULL;
	monitor_init(&oidc->monitor);
	oidc->fetch = fetch;
	oidc->context = context;
	return oidc;
}

static void issuer_free(struct issuer *issuer)
{
	if (issuer == NULL)
		return;
	keys_release(issuer->keys);
	mem_free(issuer->name);
	mem_free(issuer);
}

void oidc_destroy(struct oidc *oidc)
{
	if (oidc == NULL)
		return;
	for (uint32_t i = 0; i < oidc->count; i++)
		issuer_free(oidc->issuers[i]);
	monitor_deinit(&oidc->monitor);
	mem_free(oidc);
}

/* ---- fetching ---- */

static const struct native_json_node *member_find(const struct native_json *doc, uint32_t object, const char *name,
	uint32_t *index)
{
	const struct native_json_node *node = &doc->nodes[object];
	if (node->kind != NATIVE_JSON_OBJECT)
		return NULL;
	for (uint32_t i = 0, at = object + 1; i < node->count; i++) {
		uint32_t value = doc->nodes[at].next;
		if (str_eq((struct str){ doc->nodes[at].text, doc->nodes[at].text_len }, str_of(name))) {
			*index = value;
			return &doc->nodes[value];
		}
		at = doc->nodes[value].next;
	}
	return NULL;
}

static enum wl_err parse(struct buf *body, struct native_json *doc, struct error *error)
{
	char message[256];
	if (native_json_parse((const char *)body->data, body->len, doc, message, sizeof(message)) == 0)
		return WL_OK;
	return fail(error, WL_ERR_INVALID, "not JSON: %s", message);
}

static enum wl_err find_jwks_uri(struct oidc *oidc, struct str issuer, struct buf *uri, struct error *error)
{
	struct buf body = BUF_INIT(AUTH_JWKS_BYTES_MAX), url = BUF_INIT(4096);
	struct native_json doc = { 0 };
	if (issuer.data[issuer.len - 1] == '/')
		issuer.len--;
	buf_put_str(&url, issuer);
	buf_put_cstr(&url, "/.well-known/openid-configuration");
	enum wl_err err = url.failed ? fail(error, WL_ERR_MEMORY, "out of memory")
		: oidc->fetch(oidc->context, buf_text(&url), &body, error);
	if (err == WL_OK)
		err = parse(&body, &doc, error);
	if (err == WL_OK) {
		uint32_t index;
		const struct native_json_node *node = member_find(&doc, 0, "jwks_uri", &index);
		if (node == NULL || node->kind != NATIVE_JSON_STRING || memchr(node->text, 0, node->text_len) != NULL)
			err = fail(error, WL_ERR_INVALID, "no jwks_uri in the configuration");
		else
			buf_put(uri, node->text, node->text_len);
	}
	native_json_free(&doc);
	buf_deinit(&url);
	buf_deinit(&body);
	return err;
}

/* Adds one key of a set; false: no memory. Symmetric keys are left out: whoever reads the set could sign with them. */
static bool keys_add(struct key_set *set, const struct native_json *doc, const struct json_member *member)
{
	uint32_t index;
	const struct native_json_node *type = member_find(doc, member->index, "kty", &index);
	if (type != NULL && str_eq((struct str){ type->text, type->text_len }, STR("oct")))
		return true;
	struct key *key = &set->keys[set->count];
	const struct native_json_node *kid = member_find(doc, member->index, "kid", &index);
	if (kid != NULL && kid->kind == NATIVE_JSON_STRING) {
		key->kid = mem_strdup((struct str){ kid->text, kid->text_len });
		if (key->kid == NULL)
			return false;
	}
	key->jwk = mem_strdup(member->raw);
	key->jwk_len = member->raw.len;
	set->count++; /* counted even if the copy failed: what there is gets freed */
	return key->jwk != NULL;
}

static enum wl_err fetch_keys(struct oidc *oidc, struct str issuer, struct key_set **out, struct error *error)
{
	struct buf uri = BUF_INIT(4096), body = BUF_INIT(AUTH_JWKS_BYTES_MAX);
	struct native_json doc = { 0 };
	struct key_set *set = mem_zalloc(sizeof(*set));
	enum wl_err err = set == NULL ? fail(error, WL_ERR_MEMORY, "out of memory")
		: find_jwks_uri(oidc, issuer, &uri, error);
	if (err == WL_OK)
		err = oidc->fetch(oidc->context, buf_text(&uri), &body, error);
	if (err == WL_OK)
		err = parse(&body, &doc, error);
	struct json_walk walk;
	struct json_member member;
	if (err == WL_OK) {
		bool found = false;
		if (doc.nodes[0].kind == NATIVE_JSON_OBJECT) {
			walk = json_walk_of(&doc, buf_str(&body), 0, 0);
			while (!found && json_walk_next(&walk, &member))
				found = str_eq((struct str){ member.key->text, member.key->text_len }, STR("keys"));
		}
		if (!found || member.value->kind != NATIVE_JSON_ARRAY)
			err = fail(error, WL_ERR_INVALID, "no array of keys");
		else
			walk = json_walk_of(&doc, buf_str(&body), member.index, member.value_at);
	}
	while (err == WL_OK && json_walk_next(&walk, &member)) {
		if (set->count == AUTH_KEYS_MAX)
			err = fail(error, WL_ERR_LIMIT, "more than %d keys", AUTH_KEYS_MAX);
		else if (!keys_add(set, &doc, &member))
			err = fail(error, WL_ERR_MEMORY, "out of memory");
	}
	native_json_free(&doc);
	buf_deinit(&body);
	buf_deinit(&uri);
	if (err == WL_OK)
		*out = set;
	else if (set != NULL)
		keys_free(set);
	return err;
}

/* ---- remembering (all under the monitor) ---- */

static struct issuer *issuer_find(struct oidc *oidc, struct str name)
{
	for (uint32_t i = 0; i < oidc->count; i++)
		if (str_eq(str_of(oidc->issuers[i]->name), name))
			return oidc->issuers[i];
	return NULL;
}

/* NULL: no memory, or all entries are busy. */
static struct issuer *issuer_add(struct oidc *oidc, struct str name)
{
	struct issuer *issuer = mem_zalloc(sizeof(*issuer));
	if (issuer == NULL || (issuer->name = mem_strdup(name)) == NULL) {
		mem_free(issuer);
		return NULL;
	}
	if (oidc->count < AUTH_ISSUERS_MAX)
		return oidc->issuers[oidc->count++] = issuer;
	struct issuer **oldest = NULL;
	for (uint32_t i = 0; i < oidc->count; i++) {
		struct issuer **at = &oidc->issuers[i];
		if (!(*at)->fetching && (*at)->waiting == 0 && (oldest == NULL || (*at)->used_at < (*oldest)->used_at))
			oldest = at;
	}
	if (oldest == NULL) {
		issuer_free(issuer);
		return NULL;
	}
	issuer_free(*oldest);
	return *oldest = issuer;
}

/* Fetches with the monitor released. The entry cannot go meanwhile: it is marked. */
static void refresh(struct oidc *oidc, struct issuer *issuer)
{
	struct key_set *fresh = NULL;
	struct error error = { 0 };
	issuer->fetching = true;
	issuer->tried_at = clock_mono_nanos();
	oidc->fetches++;
	monitor_unlock(&oidc->monitor);
	enum wl_err err = fetch_keys(oidc, str_of(issuer->name), &fresh, &error);
	if (err != WL_OK)
		log_info("keys of issuer %s: %s", issuer->name, error.text);
	monitor_lock(&oidc->monitor);
	oidc->fetches--;
	issuer->fetching = false;
	if (err == WL_OK) {
		keys_release(issuer->keys);
		fresh->shares = 1;
		issuer->keys = fresh;
		issuer->fetched_at = clock_mono_nanos();
	}
	monitor_wake_all(&oidc->monitor);
}

/* A share of the issuer's keys, or NULL. */
static struct key_set *keys_of(struct oidc *oidc, struct str name)
{
	struct issuer *issuer = issuer_find(oidc, name);
	if (issuer == NULL && oidc->fetches < AUTH_FETCHES_MAX)
		issuer = issuer_add(oidc, name);
	if (issuer == NULL)
		return NULL;
	uint64_t now = clock_mono_nanos();
	issuer->used_at = now;
	if (issuer->keys == NULL && issuer->fetching) {
		if (oidc->waiting == AUTH_WAITING_MAX)
			return NULL;
		oidc->waiting++;
		issuer->waiting++;
		while (issuer->fetching)
			monitor_wait(&oidc->monitor);
		issuer->waiting--;
		oidc->waiting--;
	} else if (issuer->keys == NULL || now - issuer->fetched_at > SECONDS(AUTH_REFRESH_SECONDS)) {
		bool due = issuer->keys == NULL || now - issuer->tried_at > SECONDS(AUTH_RETRY_SECONDS);
		if (due && !issuer->fetching && oidc->fetches < AUTH_FETCHES_MAX)
			refresh(oidc, issuer);
	}
	struct key_set *keys = issuer->keys;
	if (keys != NULL && clock_mono_nanos() - issuer->fetched_at > SECONDS(AUTH_STALE_SECONDS))
		keys = NULL;
	if (keys != NULL)
		keys->shares++;
	return keys;
}

static enum wl_err verify_with(const struct key_set *keys, struct str token, const char *kid, struct error *error)
{
	bool has_kid = kid[0] != '\0', found = false, tried = false;
	for (uint32_t i = 0; has_kid && i < keys->count; i++)
		found = found || (keys->keys[i].kid != NULL && strcmp(keys->keys[i].kid, kid) == 0);
	char message[256];
	for (uint32_t i = 0; i < keys->count; i++) {
		const struct key *key = &keys->keys[i];
		if (has_kid && (found ? key->kid == NULL || strcmp(key->kid, kid) != 0 : key->kid != NULL))
			continue;
		tried = true;
		if (native_jwt_verify_jwk(key->jwk, key->jwk_len, token.data, token.len, message, sizeof(message)) == 0)
			return WL_OK;
	}
	if (tried)
		return fail(error, WL_ERR_DENIED, "Invalid token: %s", message);
	return fail(error, WL_ERR_DENIED, has_kid ? "Specified key ID not found in JWKs" : "No kid found");
}

enum wl_err oidc_verify(struct oidc *oidc, struct str issuer, struct str token, const char *kid, struct error *error)
{
	monitor_lock(&oidc->monitor);
	struct key_set *keys = keys_of(oidc, issuer);
	monitor_unlock(&oidc->monitor);
	if (keys == NULL)
		return fail(error, WL_ERR_DENIED, "Error fetching public key for issuer %.*s", STR_FMT(issuer));
	enum wl_err err = verify_with(keys, token, kid, error);
	monitor_lock(&oidc->monitor);
	keys_release(keys);
	monitor_unlock(&oidc->monitor);
	return err;
}
