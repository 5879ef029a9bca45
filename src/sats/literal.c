/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The literals of SQL: a text and the type it must become. The kind of token
 * that the text came from does not matter (sql-and-subscriptions.md 3.1).
 */
#include "sats/number.h"

static enum wl_err put(struct buf *out, const void *bytes, size_t len)
{
	buf_put(out, bytes, len);
	return out->failed ? WL_ERR_MEMORY : WL_OK;
}

static enum wl_err parse_integer(struct buf *out, enum sats_tag tag, struct str text)
{
	struct decimal decimal;
	uint8_t le[32];
	if (!decimal_parse(&decimal, text) || !decimal_to_integer(&decimal, tag, le))
		return WL_ERR_INVALID;
	return put(out, le, sats_primitive[tag].plain_size);
}

static enum wl_err parse_float(struct buf *out, enum sats_tag tag, struct str text)
{
	struct decimal decimal;
	if (!decimal_parse(&decimal, text))
		return WL_ERR_INVALID;
	/* Literals have no negative zero. */
	if (decimal.count == 0)
		decimal.negative = false;
	double value = decimal_to_f64(&decimal);
	if (tag == SATS_F64)
		return put(out, &value, sizeof(value));
	float narrow = (float)value;
	return put(out, &narrow, sizeof(narrow));
}

static struct str without_hex_prefix(struct str text)
{
	if (text.len >= 2 && text.data[0] == '0' && text.data[1] == 'x')
		return (struct str){ text.data + 2, text.len - 2 };
	if (text.len >= 2 && text.data[0] == 'X' && text.data[1] == '\'')
		return (struct str){ text.data + 2, text.len - 2 };
	return text;
}

static enum wl_err parse_bytes(struct buf *out, struct str text)
{
	text = without_hex_prefix(text);
	if (text.len % 2 != 0 || text.len / 2 > UINT32_MAX)
		return WL_ERR_INVALID;
	size_t start = out->len;
	buf_put_u32(out, (uint32_t)(text.len / 2));
	uint8_t *bytes = buf_extend(out, text.len / 2);
	if (bytes == NULL)
		return WL_ERR_MEMORY;
	if (hex_decode(text, bytes, text.len / 2))
		return WL_OK;
	out->len = start;
	return WL_ERR_INVALID;
}

/* Big-endian hex digits into little-endian bytes. */
static enum wl_err parse_reversed_hex(struct buf *out, struct str text, size_t size)
{
	uint8_t big[32], little[32];
	if (!hex_decode(text, big, size))
		return WL_ERR_INVALID;
	for (size_t i = 0; i < size; i++)
		little[i] = big[size - 1 - i];
	return put(out, little, size);
}

static enum wl_err parse_uuid(struct buf *out, struct str text)
{
	if (text.len == 32)
		return parse_reversed_hex(out, text, 16);
	if (text.len == 45 && memcmp(text.data, "urn:uuid:", 9) == 0)
		text = (struct str){ text.data + 9, 36 };
	else if (text.len == 38 && text.data[0] == '{' && text.data[37] == '}')
		text = (struct str){ text.data + 1, 36 };
	if (text.len != 36)
		return WL_ERR_INVALID;
	char digits[32];
	size_t count = 0;
	for (size_t i = 0; i < 36; i++) {
		bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
		if (hyphen != (text.data[i] == '-'))
			return WL_ERR_INVALID;
		if (!hyphen)
			digits[count++] = text.data[i];
	}
	return parse_reversed_hex(out, (struct str){ digits, count }, 16);
}

/* ---- timestamps: RFC 3339 ---- */

struct scanner {
	const char *at, *end;
	bool failed;
};

static int scan_number(struct scanner *s, int digits)
{
	int value = 0;
	if (s->end - s->at < digits) {
		s->failed = true;
		return 0;
	}
	for (int i = 0; i < digits; i++, s->at++) {
		if (*s->at < '0' || *s->at > '9')
			s->failed = true;
		value = value * 10 + (*s->at - '0');
	}
	return s->failed ? 0 : value;
}

static void scan_one_of(struct scanner *s, const char *accepted)
{
	if (s->at == s->end || *s->at == '\0' || strchr(accepted, *s->at) == NULL)
		s->failed = true;
	else
		s->at++;
}

static int scan_fraction_micros(struct scanner *s)
{
	if (s->at == s->end || *s->at != '.')
		return 0;
	s->at++;
	const char *first = s->at;
	int micros = 0, scale = 100000;
	for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++, scale /= 10)
		micros += (*s->at - '0') * scale;
	if (s->at == first)
		s->failed = true;
	return micros;
}

static int scan_offset_seconds(struct scanner *s)
{
	if (s->at < s->end && (*s->at == 'Z' || *s->at == 'z')) {
		s->at++;
		return 0;
	}
	bool minus = s->at < s->end && *s->at == '-';
	if (s->end - s->at >= 3 && memcmp(s->at, "\xe2\x88\x92", 3) == 0) { /* U+2212 */
		minus = true;
		s->at += 3;
	} else {
		scan_one_of(s, "+-");
	}
	int hours = scan_number(s, 2);
	scan_one_of(s, ":");
	int minutes = scan_number(s, 2);
	if (hours > 23 || minutes > 59)
		s->failed = true;
	int seconds = hours * 3600 + minutes * 60;
	return minus ? -seconds : seconds;
}

static int64_t days_from_civil(int64_t year, int month, int day)
{
	/* Years begin in March, so that the leap day is the last one; eras are 400 years. */
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t of_era = year - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719468;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[month - 1] + (month == 2 && leap);
}

bool sats_parse_timestamp(struct str text, int64_t *micros_out)
{
	struct scanner s = { text.data, text.data + text.len, false };
	int year = scan_number(&s, 4);
	scan_one_of(&s, "-");
	int month = scan_number(&s, 2);
	scan_one_of(&s, "-");
	int day = scan_number(&s, 2);
	scan_one_of(&s, "Tt ");
	int hour = scan_number(&s, 2);
	scan_one_of(&s, ":");
	int minute = scan_number(&s, 2);
	scan_one_of(&s, ":");
	int second = scan_number(&s, 2); /* 60 is a leap second: the first of the next minute */
	int micros = scan_fraction_micros(&s);
	int offset = scan_offset_seconds(&s);
	if (s.failed || s.at != s.end || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
		hour > 23 || minute > 59 || second > 60)
		return false;
	int64_t seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
	*micros_out = seconds * 1000000 + micros;
	return true;
}

enum wl_err sats_parse_literal(struct buf *out, const struct sats_type *type, struct str text)
{
	if (sats_is_integer(type))
		return parse_integer(out, type->tag, text);
	if (type->tag == SATS_F32 || type->tag == SATS_F64)
		return parse_float(out, type->tag, text);
	if (type->tag == SATS_STRING) {
		buf_put_bsatn_str(out, text);
		return out->failed ? WL_ERR_MEMORY : WL_OK;
	}
	if (sats_is_bytes(type))
		return parse_bytes(out, text);
	int64_t micros;
	switch (sats_special_of(type)) {
	case SATS_IDENTITY:
		return parse_reversed_hex(out, without_hex_prefix(text), 32);
	case SATS_CONNECTION_ID:
		return parse_reversed_hex(out, without_hex_prefix(text), 16);
	case SATS_TIMESTAMP:
		return sats_parse_timestamp(text, &micros) ? put(out, &micros, sizeof(micros)) : WL_ERR_INVALID;
	case SATS_UUID:
		return parse_uuid(out, text);
	default:
		return WL_ERR_UNSUPPORTED;
	}
}
