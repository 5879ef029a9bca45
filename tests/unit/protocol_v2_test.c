/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the v2 messages are, byte for byte, those of the specification's vectors
 * (client-protocol.md 4.1), and nothing hostile gets past the decoder.
 * Method: encode and compare as hex; decode vectors, truncations and nonsense.
 */
#include "protocol/protocol.h"
#include "unit/run_suite.h"

#include <stdlib.h>

static void check_hex(const struct buf *out, const char *spaced)
{
	char want[4096];
	size_t n = 0;
	for (const char *p = spaced; *p != '\0'; p++)
		if (*p != ' ')
			want[n++] = *p;
	want[n] = '\0';
	char *got = malloc(out->len * 2 + 1);
	hex_encode(out->data, out->len, got);
	ck_assert(!out->failed);
	ck_assert_str_eq(got, want);
	free(got);
}

static struct buf out, offsets;

static void setup(void)
{
	buf_init(&out, 1 << 20);
	buf_init(&offsets, 1 << 20);
}

static void teardown(void)
{
	buf_deinit(&out);
	buf_deinit(&offsets);
}

static void put_rows(const char *const *rows_hex, size_t count)
{
	struct protocol_row_list list;
	protocol_rows_begin(&list, &out, &offsets);
	for (size_t i = 0; i < count; i++) {
		uint8_t row[64];
		size_t len = strlen(rows_hex[i]) / 2;
		ck_assert(hex_decode(str_of(rows_hex[i]), row, len));
		protocol_rows_add(&list, row, len);
	}
	protocol_rows_end(&list);
}

#define AL "0100000002000000416c"
#define BOB "0200000003000000426f62"
#define CY "03000000020000004379"

START_TEST(initial_connection)
{
	struct identity id;
	struct connection_id connection;
	ck_assert(identity_from_hex(STR("c2000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"), &id));
	ck_assert(connection_id_from_hex(STR("000102030405060708090a0b0c0d0e0f"), &connection));
	protocol_initial_connection(&out, &id, &connection, STR("tok"));
	check_hex(&out, "00 1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100c2"
		"0f0e0d0c0b0a09080706050403020100 03000000 746f6b");
}
END_TEST

START_TEST(subscribe_applied_with_offsets)
{
	protocol_subscribe_applied(&out, 1, 7, 1);
	buf_put_bsatn_str(&out, STR("person"));
	put_rows((const char *const[]){ AL, BOB }, 2);
	check_hex(&out, "01 01000000 07000000 01000000 06000000 706572736f6e"
		"01 02000000 0000000000000000 0a00000000000000"
		"15000000 01000000 02000000 416c 02000000 03000000 426f62");
}
END_TEST

START_TEST(transaction_update)
{
	protocol_transaction_update(&out, 1);
	buf_put_u32(&out, 7);
	buf_put_u32(&out, 1);
	buf_put_bsatn_str(&out, STR("person"));
	buf_put_u32(&out, 1);
	buf_put_u8(&out, 0);
	put_rows((const char *const[]){ CY }, 1);
	put_rows((const char *const[]){ AL }, 1);
	check_hex(&out, "04 01000000 07000000 01000000 06000000 706572736f6e 01000000 00"
		"00 0a00 0a000000 03000000 02000000 4379 00 0a00 0a000000 01000000 02000000 416c");
}
END_TEST

START_TEST(row_lists)
{
	put_rows(NULL, 0);
	check_hex(&out, "01 00000000 00000000");
	buf_clear(&out);
	protocol_rows_empty(&out);
	check_hex(&out, "01 00000000 00000000");
	buf_clear(&out);
	/* A list that mixes lengths late still gets the offsets of its first rows. */
	put_rows((const char *const[]){ "aa", "bb", "ccdd", "ee" }, 4);
	check_hex(&out, "01 04000000 0000000000000000 0100000000000000 0200000000000000 0400000000000000"
		"05000000 aabbccddee");
	buf_clear(&out);
	/* Rows without bytes have no fixed size: FixedSize(0) is illegal. */
	put_rows((const char *const[]){ "", "" }, 2);
	check_hex(&out, "01 02000000 0000000000000000 0000000000000000 00000000");
	buf_clear(&out);
	protocol_rows_fixed(&out, "abcd", 2, 2);
	check_hex(&out, "00 0200 04000000 61626364");
}
END_TEST

START_TEST(long_rows_have_offsets)
{
	struct protocol_row_list list;
	uint8_t *row = calloc(1, 65536);
	protocol_rows_begin(&list, &out, &offsets);
	protocol_rows_add(&list, row, 65536);
	protocol_rows_end(&list);
	ck_assert_uint_eq(out.data[0], 1);
	ck_assert_uint_eq(out.len, 1 + 4 + 8 + 4 + 65536);
	free(row);
}
END_TEST

START_TEST(reducer_results)
{
	const int64_t at = 1700000000000000;
	protocol_reducer_ok(&out, 5, at, 0);
	check_hex(&out, "06 05000000 00401e18240a0600 00 00000000 00000000");
	buf_clear(&out);
	protocol_reducer_error(&out, 5, at, STR("no"));
	check_hex(&out, "06 05000000 00401e18240a0600 02 06000000 02000000 6e6f");
	buf_clear(&out);
	protocol_reducer_internal(&out, 5, at, STR("boom"));
	check_hex(&out, "06 05000000 00401e18240a0600 03 04000000 626f6f6d");
}
END_TEST

START_TEST(other_messages)
{
	uint32_t request = 1;
	protocol_unsubscribe_applied(&out, 2, 7, false, 0);
	check_hex(&out, "02 02000000 07000000 01");
	buf_clear(&out);
	protocol_unsubscribe_applied(&out, 2, 7, true, 1);
	buf_put_bsatn_str(&out, STR("person"));
	put_rows((const char *const[]){ BOB }, 1);
	check_hex(&out, "02 02000000 07000000 00 01000000 06000000 706572736f6e 00 0b00 0b000000"
		"02000000 03000000 426f62");
	buf_clear(&out);
	protocol_subscription_error(&out, &request, 7, STR("bad"));
	check_hex(&out, "03 00 01000000 07000000 03000000 626164");
	buf_clear(&out);
	protocol_subscription_error(&out, NULL, 7, STR("bad"));
	check_hex(&out, "03 01 07000000 03000000 626164");
	buf_clear(&out);
	protocol_one_off_error(&out, 3, STR("bad"));
	check_hex(&out, "05 03000000 01 03000000 626164");
	buf_clear(&out);
	protocol_procedure_returned(&out, 6, 1700000000000000, 1500, (struct bytes){ (const uint8_t *)"*\0\0\0", 4 });
	check_hex(&out, "07 00 04000000 2a000000 00401e18240a0600 dc05000000000000 06000000");
}
END_TEST

/* Decodes hex; returns the text of the refusal, or NULL. */
static const char *decode(const char *hex, struct protocol_client_message *message, size_t *used)
{
	static uint8_t bytes[1024];
	static struct error error;
	size_t len = strlen(hex) / 2;
	ck_assert(hex_decode(str_of(hex), bytes, len));
	struct reader r = reader_of(bytes, len);
	enum wl_err err = protocol_v2_decode(&r, message, &error);
	if (used != NULL)
		*used = (size_t)(r.at - bytes);
	return err == WL_OK ? NULL : error.text;
}

START_TEST(client_messages)
{
	struct protocol_client_message m;
	ck_assert_ptr_null(decode("00010000000700000001000000" "14000000"
		"53454c454354202a2046524f4d20706572736f6e", &m, NULL));
	ck_assert_uint_eq(m.kind, PROTOCOL_SUBSCRIBE);
	ck_assert_uint_eq(m.query_set_id, 7);
	struct str sql = protocol_next_query(&m.queries);
	ck_assert(str_eq(sql, STR("SELECT * FROM person")));
	ck_assert_uint_eq(m.queries.len, 0);
	ck_assert_ptr_null(decode("03050000000003000000616464060000000200" "0000416c", &m, NULL));
	ck_assert_uint_eq(m.kind, PROTOCOL_CALL_REDUCER);
	ck_assert(str_eq(m.text, STR("add")));
	ck_assert_uint_eq(m.args.len, 6);
	ck_assert_ptr_null(decode("01020000000700000001", &m, NULL));
	ck_assert_uint_eq(m.flags, 1);
	ck_assert_ptr_null(decode("0406000000000100000070" "00000000", &m, NULL));
	ck_assert_uint_eq(m.kind, PROTOCOL_CALL_PROCEDURE);
}
END_TEST

START_TEST(refused_messages)
{
	struct protocol_client_message m;
	ck_assert_str_eq(decode("09", &m, NULL), "unknown tag 0x9 for sum type ClientMessage");
	ck_assert_str_eq(decode("0001", &m, NULL), "data too short for u32: Expected 4, given 1");
	ck_assert_str_eq(decode("", &m, NULL), "data too short for u8: Expected 1, given 0");
	ck_assert_str_eq(decode("030500000001", &m, NULL), "invalid call reducer flag 1");
	ck_assert_str_eq(decode("040500000002", &m, NULL), "invalid call procedure flag 2");
	ck_assert_str_eq(decode("020300000001000000ff", &m, NULL), "invalid utf8");
	ck_assert_str_eq(decode("0203000000ffffffff00", &m, NULL), "data too short for [u8]: Expected 4294967295, given 1");
	ck_assert_ptr_nonnull(decode("010200000007000000" "02", &m, NULL));
	/* A count of queries that no payload could hold. */
	ck_assert_ptr_nonnull(decode("000100000007000000ffffffff", &m, NULL));
}
END_TEST

START_TEST(message_sizes_split_a_payload)
{
	const char *two = "01020000000700000001" "0406000000000100000070" "00000000";
	uint8_t bytes[64];
	struct error error;
	size_t len = strlen(two) / 2;
	ck_assert(hex_decode(str_of(two), bytes, len));
	ck_assert_uint_eq(protocol_v2_client_message_size(bytes, len, &error), 10);
	ck_assert_uint_eq(protocol_v2_client_message_size(bytes + 10, len - 10, &error), len - 10);
	ck_assert_uint_eq(protocol_v2_client_message_size(bytes, 9, &error), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("protocol_v2");
	TCase *tcase = tcase_create("all");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, initial_connection);
	tcase_add_test(tcase, subscribe_applied_with_offsets);
	tcase_add_test(tcase, transaction_update);
	tcase_add_test(tcase, row_lists);
	tcase_add_test(tcase, long_rows_have_offsets);
	tcase_add_test(tcase, reducer_results);
	tcase_add_test(tcase, other_messages);
	tcase_add_test(tcase, client_messages);
	tcase_add_test(tcase, refused_messages);
	tcase_add_test(tcase, message_sizes_split_a_payload);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
