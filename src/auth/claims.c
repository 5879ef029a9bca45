/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a token says: reads the claims from its payload, judges them, and writes them again for a renewed token. The
 * signature is the business of auth.c and oidc.c.
 */
#include "auth/auth_internal.h"
#include "base/text.h"

enum claim { CLAIM_IDENTITY, CLAIM_SUBJECT, CLAIM_ISSUER, CLAIM_AUDIENCE, CLAIM_ISSUED, CLAIM_EXPIRY, CLAIM_COUNT };

struct claim_spec {
	const char *name;
	enum claim claim;
	bool required;
};
static const struct claim_spec specs[] = { /* in the order in which missing ones are reported */
	{ "hex_identity", CLAIM_IDENTITY, false },
	{ "sub", CLAIM_SUBJECT, true },
	{ "iss", CLAIM_ISSUER, true },
	{ "aud", CLAIM_AUDIENCE, false },
	{ "iat", CLAIM_ISSUED, true },
	{ "exp", CLAIM_EXPIRY, false },
};

static const struct claim_spec *claim_find(const struct native_json_node *key)
{
	for (size_t i = 0; i < ARRAY_COUNT(specs); i++)
		if (str_eq((struct str){ key->text, key->text_len }, str_of(specs[i].name)))
			return &specs[i];
	return NULL;
}

void claims_deinit(struct claims *claims)
{
	native_json_free(&claims->doc);
	*claims = (struct claims){ 0 };
}

static enum wl_err json_error(struct error *error, struct str text, size_t at, const char *message)
{
	unsigned line, column;
	json_position(text, at, &line, &column);
	return fail(error, WL_ERR_DENIED, "Invalid token: JSON error: %s at line %u column %u", message, line, column);
}

static enum wl_err wrong_type(struct error *error, struct str text, const struct json_member *member,
	const char *expected)
{
	struct buf message = BUF_INIT(ERROR_TEXT_MAX);
	json_invalid_type(member->value, expected, &message);
	bool opens = member->value->kind == NATIVE_JSON_ARRAY || member->value->kind == NATIVE_JSON_OBJECT;
	enum wl_err err = json_error(error, text, opens ? member->value_at : member->value_end, buf_text(&message));
	buf_deinit(&message);
	return err;
}

/* A JSON integer of 64 bits with sign; anything else is false. */
static bool read_i64(const struct native_json_node *node, int64_t *out, bool *too_large)
{
	*too_large = false;
	if (node->kind != NATIVE_JSON_NUMBER || node->text_len == 0 || node->text_len > 20)
		return false;
	bool minus = node->text[0] == '-';
	u128 magnitude = 0;
	for (uint32_t i = minus; i < node->text_len; i++) {
		if (node->text[i] < '0' || node->text[i] > '9')
			return false;
		magnitude = magnitude * 10 + (unsigned)(node->text[i] - '0');
	}
	if (magnitude > (u128)INT64_MAX + minus) {
		*too_large = !minus && magnitude <= UINT64_MAX;
		return false;
	}
	*out = minus ? (int64_t)-(i128)magnitude : (int64_t)magnitude;
	return true;
}

static enum wl_err read_integer(struct str text, const struct json_member *member, int64_t *out, struct error *error)
{
	bool too_large;
	if (read_i64(member->value, out, &too_large))
		return WL_OK;
	if (!too_large)
		return wrong_type(error, text, member, "i64");
	char message[96];
	struct buf buf = BUF_INIT(sizeof(message));
	buf_printf(&buf, "invalid value: integer `%.*s`, expected i64", (int)member->value->text_len, member->value->text);
	enum wl_err err = json_error(error, text, member->value_end, buf_text(&buf));
	buf_deinit(&buf);
	return err;
}

static enum wl_err read_identity(struct str text, const struct json_member *member, struct claims *out,
	struct error *error)
{
	const char *expected = "a byte array or hex string";
	if (member->value->kind == NATIVE_JSON_NULL)
		return WL_OK;
	if (member->value->kind != NATIVE_JSON_STRING)
		return wrong_type(error, text, member, expected);
	struct str hex = { member->value->text, member->value->text_len };
	if (identity_from_hex(hex, &out->stated)) {
		out->has_identity = true;
		return WL_OK;
	}
	struct buf message = BUF_INIT(ERROR_TEXT_MAX);
	buf_put_cstr(&message, "invalid value: string ");
	text_put_debug_str(&message, hex);
	buf_printf(&message, ", expected %s", expected);
	enum wl_err err = json_error(error, text, member->value_end, buf_text(&message));
	buf_deinit(&message);
	return err;
}

/* A string, or an array of strings. */
static bool is_audience(const struct native_json *doc, const struct json_member *member)
{
	if (member->value->kind != NATIVE_JSON_ARRAY)
		return member->value->kind == NATIVE_JSON_STRING;
	for (uint32_t i = 0, node = member->index + 1; i < member->value->count; i++, node = doc->nodes[node].next)
		if (doc->nodes[node].kind != NATIVE_JSON_STRING)
			return false;
	return true;
}

static enum wl_err read_member(const struct json_member *member, enum claim claim, struct claims *out,
	struct error *error)
{
	struct str text = out->payload;
	int64_t ignored;
	switch (claim) {
	case CLAIM_IDENTITY:
		return read_identity(text, member, out, error);
	case CLAIM_SUBJECT:
	case CLAIM_ISSUER: {
		if (member->value->kind != NATIVE_JSON_STRING)
			return wrong_type(error, text, member, "a string");
		struct str value = { member->value->text, member->value->text_len };
		*(claim == CLAIM_ISSUER ? &out->issuer : &out->subject) = value;
		return WL_OK;
	}
	case CLAIM_AUDIENCE:
		if (is_audience(&out->doc, member))
			return WL_OK;
		return json_error(error, text, member->value_end + 1,
			"data did not match any variant of untagged enum Audience");
	case CLAIM_ISSUED:
		return read_integer(text, member, &ignored, error);
	default:
		if (member->value->kind == NATIVE_JSON_NULL)
			return WL_OK;
		out->has_exp = true;
		return read_integer(text, member, &out->exp, error);
	}
}

enum wl_err claims_read(struct str payload, struct claims *out, struct error *error)
{
	char message[256];
	*out = (struct claims){ .payload = payload };
	if (native_json_parse(payload.data, payload.len, &out->doc, message, sizeof(message)) != 0)
		return fail(error, WL_ERR_DENIED, "Invalid token: JSON error: %s", message);
	const struct native_json_node *root = &out->doc.nodes[0];
	if (root->kind != NATIVE_JSON_OBJECT) {
		struct json_member whole = { .value = root, .value_end = payload.len };
		return wrong_type(error, payload, &whole, "struct IncomingClaims");
	}
	bool seen[CLAIM_COUNT] = { false };
	struct json_walk walk = json_walk_of(&out->doc, payload, 0, 0);
	struct json_member member;
	while (json_walk_next(&walk, &member)) {
		const struct claim_spec *spec = claim_find(member.key);
		if (spec == NULL)
			continue;
		if (seen[spec->claim]) {
			char text[64];
			struct buf buf = BUF_INIT(sizeof(text));
			buf_printf(&buf, "duplicate field `%s`", spec->name);
			enum wl_err err = json_error(error, payload, member.key_end, buf_text(&buf));
			buf_deinit(&buf);
			return err;
		}
		seen[spec->claim] = true;
		enum wl_err err = read_member(&member, spec->claim, out, error);
		if (err != WL_OK)
			return err;
	}
	for (size_t i = 0; i < ARRAY_COUNT(specs); i++) {
		if (!specs[i].required || seen[specs[i].claim])
			continue;
		unsigned line, column;
		json_position(payload, walk.at, &line, &column);
		return fail(error, WL_ERR_DENIED, "Invalid token: JSON error: missing field `%s` at line %u column %u",
			specs[i].name, line, column);
	}
	return WL_OK;
}

static enum wl_err wrong_length(struct error *error, const char *what, struct str value)
{
	if (value.len == 0)
		return fail(error, WL_ERR_DENIED, "%s empty", what);
	struct buf quoted = BUF_INIT(ERROR_TEXT_MAX);
	text_put_debug_str(&quoted, value);
	enum wl_err err = fail(error, WL_ERR_DENIED, "%s too long: %s", what, buf_text(&quoted));
	buf_deinit(&quoted);
	return err;
}

enum wl_err claims_accept(const struct claims *claims, struct identity *out, struct error *error)
{
	if (claims->issuer.len == 0 || claims->issuer.len > AUTH_CLAIM_BYTES_MAX)
		return wrong_length(error, "Issuer", claims->issuer);
	if (claims->subject.len == 0 || claims->subject.len > AUTH_CLAIM_BYTES_MAX)
		return wrong_length(error, "Subject", claims->subject);
	auth_identity(claims->issuer, claims->subject, out);
	if (!claims->has_identity || identity_eq(&claims->stated, out))
		return WL_OK;
	char stated[65], computed[65];
	identity_to_hex(&claims->stated, stated);
	identity_to_hex(out, computed);
	return fail(error, WL_ERR_DENIED, "Identity mismatch: token identity Identity(%s) does not match computed identity "
		"Identity(%s)", stated, computed);
}

enum wl_err claims_renew(struct str payload, int64_t now, uint32_t seconds, struct buf *out, struct error *error)
{
	struct claims claims;
	struct identity identity;
	enum wl_err err = claims_read(payload, &claims, error);
	if (err == WL_OK)
		err = claims_accept(&claims, &identity, error);
	if (err != WL_OK)
		goto done;
	char hex[65];
	identity_to_hex(&identity, hex);
	buf_printf(out, "{\"hex_identity\":\"%s\",\"sub\":", hex);
	buf_put_json_str(out, claims.subject);
	buf_put_cstr(out, ",\"iss\":");
	buf_put_json_str(out, claims.issuer);
	buf_put_cstr(out, ",\"aud\":");
	struct str audience = STR("[]");
	bool list = true;
	struct json_walk walk = json_walk_of(&claims.doc, payload, 0, 0);
	struct json_member member;
	while (json_walk_next(&walk, &member)) {
		const struct claim_spec *spec = claim_find(member.key);
		if (spec == NULL || spec->claim != CLAIM_AUDIENCE)
			continue;
		audience = member.raw;
		list = member.value->kind == NATIVE_JSON_ARRAY;
	}
	buf_printf(out, list ? "%.*s" : "[%.*s]", STR_FMT(audience));
	buf_printf(out, ",\"iat\":%lld,\"exp\":%lld", (long long)now, (long long)now + seconds);
	walk = json_walk_of(&claims.doc, payload, 0, 0);
	while (json_walk_next(&walk, &member)) {
		if (claim_find(member.key) != NULL)
			continue;
		buf_put_u8(out, ',');
		buf_put_json_str(out, (struct str){ member.key->text, member.key->text_len });
		buf_put_u8(out, ':');
		buf_put_str(out, member.raw);
	}
	buf_put_u8(out, '}');
	if (out->failed)
		err = fail(error, WL_ERR_MEMORY, "out of memory");
done:
	claims_deinit(&claims);
	return err;
}
