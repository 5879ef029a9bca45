/* SPDX-License-Identifier: Apache-2.0 */
/* Routes about people: identities, their tokens, what they own, and the energy ledger nobody is charged by. */
#include "api/api_internal.h"

static void put_identity(struct buf *json, const struct identity *id)
{
	char hex[65];
	identity_to_hex(id, hex);
	buf_printf(json, "\"%s\"", hex);
}

void route_identity_create(struct api_call *call)
{
	struct auth_claims fresh;
	struct error error;
	if (auth_mint(call->api->auth, &fresh, &error) != WL_OK) {
		reply_text(call, 500, str_of(error.text));
		return;
	}
	struct buf json = BUF_INIT(2 * AUTH_TOKEN_BYTES_MAX);
	buf_put_cstr(&json, "{\"identity\":");
	put_identity(&json, &fresh.identity);
	buf_printf(&json, ",\"token\":\"%s\"}", fresh.token);
	auth_claims_deinit(&fresh);
	reply_json(call, 200, &json);
}

void route_public_key(struct api_call *call)
{
	struct str pem = auth_public_key_pem(call->api->auth);
	reply(call, 200, "application/pem-certificate-chain", pem.data, pem.len);
}

void route_websocket_token(struct api_call *call)
{
	struct buf token = BUF_INIT(2 * AUTH_TOKEN_BYTES_MAX), json = BUF_INIT(2 * AUTH_TOKEN_BYTES_MAX);
	struct error error;
	if (auth_short_token(call->api->auth, &call->claims, &token, &error) != WL_OK) {
		reply_text(call, 500, str_of(error.text));
	} else {
		buf_put_cstr(&json, "{\"token\":\"");
		buf_put_str(&json, buf_str(&token));
		buf_put_cstr(&json, "\"}");
		reply_json(call, 200, &json);
	}
	buf_deinit(&token);
}

void route_verify(struct api_call *call)
{
	struct identity id;
	if (call_identity(call, call->params[0], &id))
		reply_empty(call, identity_eq(&id, &call->claims.identity) ? 204 : 400);
}

static void add_owned(void *context, const struct identity *id)
{
	struct buf *json = context;
	if (json->data[json->len - 1] == '"')
		buf_put_u8(json, ',');
	put_identity(json, id);
}

void route_identity_databases(struct api_call *call)
{
	struct identity owner;
	if (!call_identity(call, call->params[0], &owner))
		return;
	struct buf json = BUF_INIT(256 << 20);
	buf_put_cstr(&json, "{\"identities\":[");
	if (!json.failed)
		host_databases_of(call->api->host, &owner, add_owned, &json);
	buf_put_cstr(&json, "]}");
	reply_json(call, 200, &json);
}

/* ---- energy ---- */

static void reply_balance(struct api_call *call, i128 balance)
{
	char digits[48], *at = digits + sizeof(digits);
	u128 left = balance < 0 ? -(u128)balance : (u128)balance;
	*--at = '\0';
	do {
		*--at = (char)('0' + (int)(left % 10));
		left /= 10;
	} while (left != 0);
	if (balance < 0)
		*--at = '-';
	struct buf json = BUF_INIT(128);
	buf_printf(&json, "{\"balance\":\"%s\"}", at);
	reply_json(call, 200, &json);
}

void route_energy_get(struct api_call *call)
{
	struct identity id;
	if (call_identity(call, call->params[0], &id))
		reply_balance(call, host_energy(call->api->host, &id));
}

static bool read_u128(struct str text, u128 *out)
{
	u128 value = 0;
	size_t i = text.len > 1 && text.data[0] == '+';
	if (text.len == 0)
		return false;
	for (; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9' || __builtin_mul_overflow(value, (u128)10, &value) ||
			__builtin_add_overflow(value, (u128)(unsigned)(text.data[i] - '0'), &value))
			return false;
	}
	*out = value;
	return true;
}

/* The caller is credited, whatever identity the path names: so it is in the reference. */
void route_energy_add(struct api_call *call)
{
	struct str text;
	struct error error;
	bool present;
	u128 amount = 0;
	i128 balance;
	if (!call_query(call, "amount", &text, &present))
		return;
	if (present && !read_u128(text, &amount)) {
		reply_empty(call, 400);
		return;
	}
	if (host_energy_add(call->api->host, &call->claims.identity, amount, &balance, &error) != WL_OK)
		reply_text(call, 500, str_of(error.text));
	else
		reply_balance(call, balance);
}

/* Only identity zero may, and nobody is identity zero. */
void route_energy_set(struct api_call *call)
{
	struct identity id;
	if (call_identity(call, call->params[0], &id))
		reply_empty(call, 401);
}
