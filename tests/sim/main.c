/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's program: lives one after the other.
 *
 *   worldline-sim [SEEDS]      that many lives (200), then those that must be noticed
 *   SIM_SEED=n worldline-sim   one life again, SIM_TRACE=1 prints all that happens in it
 */
#include "sim/sim.h"
#include "base/log.h"

static struct programs programs;
static struct life life;

/* What the fixture asserts ends the program here: it is a life that failed. */
void _ck_assert_failed(const char *file, int line, const char *expr, const char *msg, ...)
{
	va_list args;
	printf("SIM_SEED=%llu: %s:%d: %s: ", (unsigned long long)life.seed, file, line, expr);
	va_start(args, msg);
	if (msg != NULL)
		vprintf(msg, args);
	va_end(args);
	printf("\n0 passed, 1 failed\n");
	fflush(stdout);
	_exit(1);
}

void _mark_point(const char *file, int line)
{
	(void)file, (void)line;
}

static struct counts total;
static uint32_t passed, failed;

static void add_counts(void)
{
	const uint64_t *from = (const uint64_t *)&life.counts;
	uint64_t *to = (uint64_t *)&total;
	for (size_t i = 0; i < sizeof(total) / sizeof(*to); i++)
		to[i] += from[i];
}

static void run_seed(uint64_t seed, bool prints)
{
	life_run(&life, &programs, seed, false, false, prints);
	add_counts();
	passed += life.violation[0] == '\0';
	if (life.violation[0] == '\0')
		return;
	failed++;
	printf("SIM_SEED=%llu failed: %s\n  again, with all that happens: SIM_TRACE=1 SIM_SEED=%llu build/dev/sim/worldline-sim\n",
		(unsigned long long)seed, life.violation, (unsigned long long)seed);
}

static void check(bool good, const char *what)
{
	printf("%s %s\n", good ? "ok  " : "FAIL", what);
	passed += good;
	failed += !good;
}

/* The same seed is the same life, whatever was lived before. */
static void same_again(void)
{
	enum { LIVES = 8 };
	uint64_t traces[LIVES];
	bool same = true;
	for (uint64_t i = 0; i < LIVES; i++) {
		life_run(&life, &programs, 1 + i, false, false, false);
		traces[i] = life.trace;
	}
	for (uint64_t i = LIVES; i-- > 0;) {
		life_run(&life, &programs, 1 + i, false, false, false);
		same = same && traces[i] == life.trace;
	}
	check(same, "the same seed gives the same trace");
}

/* What must be noticed, is it? */
static void noticed(bool lies, const char *what)
{
	enum { LIVES = 20 };
	char text[200];
	uint32_t found = 0;
	for (uint64_t seed = 1; seed <= LIVES; seed++) {
		life_run(&life, &programs, seed, lies, !lies, false);
		found += life.violation[0] != '\0';
	}
	snprintf(text, sizeof(text), "%s: found out in %u of %d lives", what, found, LIVES);
	check(found >= LIVES / 3, text);
}

int main(int argc, char **argv)
{
	const char *one = getenv("SIM_SEED"), *first_text = getenv("SIM_FIRST");
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 200;
	uint64_t first = first_text != NULL ? strtoull(first_text, NULL, 10) : 1;
	log_set_level(LOG_OFF);
	if (system("sh tests/sim/build.sh " GUESTS_DIR) != 0) {
		fprintf(stderr, "the module cannot be compiled\n");
		return 1;
	}
	programs_init(&programs);
	if (one != NULL) {
		run_seed(strtoull(one, NULL, 10), getenv("SIM_TRACE") != NULL);
		printf("trace %016llx\n", (unsigned long long)life.trace);
	} else {
		for (uint64_t seed = first; seed < first + seeds; seed++)
			run_seed(seed, false);
		same_again();
		noticed(true, "a disk whose syncs are lies");
		noticed(false, "a model that is off by one");
	}
	programs_deinit(&programs);
	printf("%llu steps, %llu commits, %llu of them scheduled, %llu confirmed calls, %llu commits lost in %llu crashes and "
		"%llu failed openings, %llu faults armed, %llu times all was quiet, %llu updates, %llu sets of clients compared\n",
		(unsigned long long)total.steps, (unsigned long long)total.commits, (unsigned long long)total.ticks,
		(unsigned long long)total.confirmed, (unsigned long long)total.lost, (unsigned long long)total.crashes,
		(unsigned long long)total.failed_opens, (unsigned long long)total.faults, (unsigned long long)total.calms,
		(unsigned long long)total.updates, (unsigned long long)total.caches);
	printf("%u passed, %u failed\n", passed, failed);
	return failed == 0 ? 0 : 1;
}
