/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: v1 messages are, byte for byte, those of the specification
 * (client-protocol.md 5), in both forms, and nothing hostile gets past the
 * decoders.
 * Method: encode and compare as hex or text; decode vectors, truncations and
 * nonsense.
 */
#include "protocol/v1.h"
#include "unit/run_suite.h"

#include <stdlib.h>

static struct buf out, json;
static struct identity identity;
static struct connection_id connection;

static void setup(void)
{
	buf_init(&out, 1 << 20);
	buf_init(&json, 1 << 20);
	for (int i = 0; i < 31; i++)
		identity.le[i] = (uint8_t)(30 - i);
	identity.le[31] = 0xc2;
	for (int i = 0; i < 16; i++)
		connection.le[i] = (uint8_t)(15 - i);
}

static void teardown(void)
{
	buf_deinit(&out);
	buf_deinit(&json);
}

static void check_hex(const char *spaced)
{
	char want[4096];
	size_t n = 0;
	for (const char *p = spaced; *p != '\0'; p++)
		if (*p != ' ')
			want[n++] = *p;
	want[n] = '\0';
	char *got = malloc(out.len * 2 + 1);
	hex_encode(out.data, out.len, got);
	ck_assert(!out.failed);
	ck_assert_str_eq(got, want);
	free(got);
}

static void check_json(const char *want)
{
	buf_clear(&json);
	protocol_v1_to_json(&json, buf_bytes(&out));
	ck_assert(!json.failed);
	ck_assert_str_eq(buf_text(&json), want);
}

START_TEST(identity_token)
{
	protocol_v1_identity_token(&out, &identity, STR("tok"), &connection);
	check_hex("03 1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100c2 03000000 746f6b "
		"0f0e0d0c0b0a09080706050403020100");
	check_json("{\"IdentityToken\":{\"identity\":{\"__identity__\":"
		"\"0xc2000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e\"},\"token\":\"tok\","
		"\"connection_id\":{\"__connection_id__\":5233100606242806050955395731361295}}}");
}
END_TEST

/* A DatabaseUpdate of nothing, and of one table with one update of one row as text. */
static const uint8_t nothing[4];
static void put_update(struct buf *update)
{
	buf_put_u32(update, 1);
	buf_put_u32(update, 4096);
	buf_put_bsatn_str(update, STR("person"));
	buf_put_u64(update, 1);
	buf_put_u32(update, 1);
	buf_put_u32(update, 0); /* deletes */
	buf_put_u32(update, 1);
	buf_put_bsatn_str(update, STR("{\"id\":1,\"name\":\"Al\"}"));
}

START_TEST(updates)
{
	struct buf update = BUF_INIT(1 << 10);
	struct protocol_v1_event event = { .micros = 1700000000000000, .duration_micros = 250, .caller = identity,
		.connection = connection, .reducer = STR("add"), .reducer_id = 2, .request_id = 5,
		.args = { (const uint8_t *)"\2\0\0\0Cy", 6 } };
	put_update(&update);
	protocol_v1_transaction_update(&out, V1_COMMITTED, (struct bytes){ nothing, 4 }, &event);
	check_hex("01 00 00000000 00401e18240a0600 1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100c2 "
		"0f0e0d0c0b0a09080706050403020100 03000000 616464 02000000 06000000 020000004379 05000000 "
		"00000000000000000000000000000000 fa00000000000000");
	buf_clear(&out);
	protocol_v1_light_update(&out, 0, (struct bytes){ nothing, 4 });
	check_hex("02 00000000 00000000");
	buf_clear(&out);
	protocol_v1_initial_subscription(&out, 0, buf_bytes(&update), 250);
	check_json("{\"InitialSubscription\":{\"database_update\":{\"tables\":[{\"table_id\":4096,"
		"\"table_name\":\"person\",\"num_rows\":1,\"updates\":[{\"deletes\":[],"
		"\"inserts\":[\"{\\\"id\\\":1,\\\"name\\\":\\\"Al\\\"}\"]}]}]},"
		"\"request_id\":0,\"total_host_execution_duration\":{\"__time_duration_micros__\":250}}}");
	buf_clear(&out);
	event.args = (struct bytes){ (const uint8_t *)"[\"Al\"]", 6 };
	protocol_v1_transaction_update(&out, V1_FAILED, (struct bytes){ (const uint8_t *)"no", 2 }, &event);
	buf_clear(&json);
	protocol_v1_to_json(&json, buf_bytes(&out));
	ck_assert_ptr_nonnull(strstr(buf_text(&json), "{\"TransactionUpdate\":{\"status\":{\"Failed\":\"no\"},"));
	ck_assert_ptr_nonnull(strstr(buf_text(&json), "\"reducer_call\":{\"reducer_name\":\"add\",\"reducer_id\":2,"
		"\"args\":\"[\\\"Al\\\"]\",\"request_id\":5},\"energy_quanta_used\":{\"quanta\":0},"));
	buf_deinit(&update);
}
END_TEST

START_TEST(errors_and_results)
{
	uint32_t request = 4, query = 9;
	protocol_v1_subscription_error(&out, 7, &request, &query, STR("why"));
	check_json("{\"SubscriptionError\":{\"total_host_execution_duration_micros\":7,\"request_id\":{\"some\":4},"
		"\"query_id\":{\"some\":9},\"table_id\":{\"none\":[]},\"error\":\"why\"}}");
	buf_clear(&out);
	struct str text = STR("no");
	protocol_v1_one_off(&out, (struct bytes){ (const uint8_t *)"\1\2", 2 }, &text, 0, (struct bytes){ 0 }, 1);
	check_json("{\"OneOffQueryResponse\":{\"message_id\":\"0102\",\"error\":{\"some\":\"no\"},\"tables\":[],"
		"\"total_host_execution_duration\":{\"__time_duration_micros__\":1}}}");
	buf_clear(&out);
	protocol_v1_procedure_result(&out, NULL, false, (struct bytes){ (const uint8_t *)"42", 2 }, 5, 6, 7);
	check_json("{\"ProcedureResult\":{\"status\":{\"Returned\":\"42\"},\"timestamp\":"
		"{\"__timestamp_micros_since_unix_epoch__\":5},\"total_host_execution_duration\":"
		"{\"__time_duration_micros__\":6},\"request_id\":7}}");
}
END_TEST

static struct protocol_v1_message decode_json(const char *text)
{
	struct error error = { 0 };
	struct protocol_v1_message message;
	buf_clear(&out);
	ck_assert_msg(protocol_v1_from_json(str_of(text), &out, &error) == WL_OK, "%s", error.text);
	ck_assert_msg(protocol_v1_decode(out.data, out.len, &message, &error) == WL_OK, "%s", error.text);
	return message;
}

START_TEST(client_messages)
{
	struct protocol_v1_message m = decode_json("{\"CallReducer\":{\"reducer\":\"add\",\"args\":\"[\\\"Al\\\"]\","
		"\"request_id\":5,\"flags\":1}}");
	ck_assert(m.kind == V1_CALL_REDUCER && m.request_id == 5 && m.flags == V1_NO_SUCCESS_NOTIFY);
	ck_assert(str_eq(m.text, STR("add")) && m.args.len == 6);
	m = decode_json("{\"Subscribe\":{\"query_strings\":[\"SELECT * FROM person\",\"x\"],\"request_id\":3}}");
	ck_assert(m.kind == V1_SUBSCRIBE && m.query_count == 2 && m.request_id == 3);
	ck_assert(str_eq(protocol_next_query(&m.queries), STR("SELECT * FROM person")));
	ck_assert(str_eq(protocol_next_query(&m.queries), STR("x")));
	m = decode_json("{\"4\":[[\"x\"],1,{\"id\":7}]}"); /* by number, a product as an array */
	ck_assert(m.kind == V1_SUBSCRIBE_MULTI && m.query_id == 7 && m.request_id == 1);
	m = decode_json("{\"OneOffQuery\":{\"message_id\":\"0a0b\",\"query_string\":\"q\"}}");
	ck_assert(m.message_id.len == 2 && m.message_id.data[1] == 0x0b);
}
END_TEST

START_TEST(hostile_messages)
{
	static const uint8_t multi[] = { 4, 1, 0, 0, 0, 20, 0, 0, 0, 'S', 'E', 'L', 'E', 'C', 'T', ' ', '*', ' ', 'F', 'R',
		'O', 'M', ' ', 'p', 'e', 'r', 's', 'o', 'n', 1, 0, 0, 0, 7, 0, 0, 0 };
	static const uint8_t many[] = { 1, 0xff, 0xff, 0xff, 0xff }, flags[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2 };
	static const char *const texts[] = { "", "null", "{}", "{\"Nope\":{}}", "{\"Subscribe\":{\"query_strings\":1}}",
		"{\"CallReducer\":{\"reducer\":\"a\",\"args\":[],\"request_id\":1,\"flags\":0}}", "[[[[[[[[[[[[", "\xff" };
	struct protocol_v1_message m;
	struct error error;
	ck_assert_int_eq(protocol_v1_decode(multi, sizeof(multi), &m, &error), WL_OK);
	ck_assert(m.query_id == 7 && m.query_count == 1);
	for (size_t len = 0; len < sizeof(multi); len++)
		ck_assert_int_ne(protocol_v1_decode(multi, len, &m, &error), WL_OK);
	ck_assert_int_ne(protocol_v1_decode(many, sizeof(many), &m, &error), WL_OK);
	ck_assert_int_ne(protocol_v1_decode(flags, sizeof(flags), &m, &error), WL_OK);
	ck_assert_str_eq(error.text, "invalid call reducer flag 2");
	ck_assert_int_ne(protocol_v1_decode((const uint8_t *)"\x09", 1, &m, &error), WL_OK);
	ck_assert_str_eq(error.text, "unknown tag 0x9 for sum type ClientMessage");
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		buf_clear(&out);
		ck_assert_int_ne(protocol_v1_from_json(str_of(texts[i]), &out, &error), WL_OK);
		ck_assert_uint_gt(strlen(error.text), 0);
		ck_assert_uint_eq(out.len, 0);
	}
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("all");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, identity_token);
	tcase_add_test(tests, updates);
	tcase_add_test(tests, errors_and_results);
	tcase_add_test(tests, client_messages);
	tcase_add_test(tests, hostile_messages);
	Suite *suite = suite_create("protocol_v1");
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
