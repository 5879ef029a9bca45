/* SPDX-License-Identifier: Apache-2.0 */
/* Time and chance, from the system or from a simulator. */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static const struct clock_source *replaced;

void clock_replace(const struct clock_source *source)
{
	replaced = source;
}

int64_t clock_wall_micros(void)
{
	if (UNLIKELY(replaced != NULL))
		return replaced->wall_micros(replaced->context);
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

uint64_t clock_mono_nanos(void)
{
	if (UNLIKELY(replaced != NULL))
		return replaced->mono_nanos(replaced->context);
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void random_bytes(void *out, size_t len)
{
	if (UNLIKELY(replaced != NULL)) {
		replaced->random(replaced->context, out, len);
		return;
	}
	uint8_t *p = out;
	while (len > 0) {
		ssize_t n = getrandom(p, size_min(len, 256), 0);
		if (n < 0) {
			ASSERT(errno == EINTR);
			continue;
		}
		p += n;
		len -= (size_t)n;
	}
}

uint64_t random_u64(void)
{
	uint64_t v;
	random_bytes(&v, sizeof(v));
	return v;
}

/* Civil date from days since 1970-01-01 (proleptic Gregorian), after Howard Hinnant's "chrono-compatible" algorithm. */
static void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	unsigned doe = (unsigned)(days - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;
	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = (int64_t)yoe + era * 400 + (*month <= 2);
}

void timestamp_format(int64_t micros, char out[48])
{
	int64_t seconds = micros / 1000000, fraction = micros % 1000000;
	if (fraction < 0) {
		fraction += 1000000;
		seconds--;
	}
	int64_t days = seconds / 86400, rest = seconds % 86400;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	int64_t year;
	unsigned month, day;
	civil_from_days(days, &year, &month, &day);
	char tail[16] = "";
	if (fraction % 1000 != 0)
		snprintf(tail, sizeof(tail), ".%06d", (int)fraction);
	else if (fraction != 0)
		snprintf(tail, sizeof(tail), ".%03d", (int)(fraction / 1000));
	char text[96]; /* room for years that no clock shows */
	snprintf(text, sizeof(text), "%04lld-%02u-%02uT%02d:%02d:%02d%s+00:00", (long long)year, month, day,
		(int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60), tail);
	snprintf(out, 48, "%.47s", text);
}
