/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's program.
 *
 *   worldline-sim lives [N]    N lives with faults by seed (200), and those that must be noticed
 *   worldline-sim sweep [N]    every N-th place of each sweep (1: all)
 *   worldline-sim flips [N]    N turned bits in each region of a log (200)
 *
 *   SIM_SEED=n worldline-sim   one life again; SIM_POINT=kind:n:disk one place of a sweep; SIM_TRACE=1 prints all
 *   SIM_FIRST=n                the first seed
 */
#include "sim/sim.h"
#include "base/log.h"

static struct programs programs;
static struct life life;
uint32_t sim_passed, sim_failed;

/* What the fixture asserts ends the program here: it is a life that failed. */
void _ck_assert_failed(const char *file, int line, const char *expr, const char *msg, ...)
{
	va_list args;
	printf("SIM_SEED=%llu: %s:%d: %s: ", (unsigned long long)life.seed, file, line, expr);
	va_start(args, msg);
	if (msg != NULL)
		vprintf(msg, args);
	va_end(args);
	printf("\n%u passed, %u failed\n", sim_passed, sim_failed + 1);
	fflush(stdout);
	_exit(1);
}

void _mark_point(const char *file, int line)
{
	(void)file, (void)line;
}

void sim_check(bool good, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("%s ", good ? "ok  " : "FAIL");
	vprintf(format, args);
	printf("\n");
	fflush(stdout);
	va_end(args);
	sim_passed += good;
	sim_failed += !good;
}

static struct counts total;

static void add_counts(void)
{
	const uint64_t *from = (const uint64_t *)&life.counts;
	uint64_t *to = (uint64_t *)&total;
	for (size_t i = 0; i < sizeof(total) / sizeof(*to); i++)
		to[i] += from[i];
}

static void run_seed(uint64_t seed)
{
	life_run(&life, &programs, seed, LIFE_HONEST, getenv("SIM_TRACE") != NULL);
	add_counts();
	sim_passed += life.violation[0] == '\0';
	if (life.violation[0] == '\0')
		return;
	sim_failed++;
	printf("SIM_SEED=%llu failed: %s\n  again, with all that happens: SIM_TRACE=1 SIM_SEED=%llu "
		"build/dev/sim/worldline-sim\n", (unsigned long long)seed, life.violation, (unsigned long long)seed);
}

/* The same seed is the same life, whatever was lived before. */
static void same_again(void)
{
	enum { LIVES = 8 };
	uint64_t traces[LIVES];
	bool same = true;
	for (uint64_t i = 0; i < LIVES; i++) {
		life_run(&life, &programs, 1 + i, LIFE_HONEST, false);
		traces[i] = life.trace;
	}
	for (uint64_t i = LIVES; i-- > 0;) {
		life_run(&life, &programs, 1 + i, LIFE_HONEST, false);
		same = same && traces[i] == life.trace;
	}
	sim_check(same, "the same seed gives the same trace");
}

/* What must be noticed, is it? */
static void noticed(enum life_lie lie, const char *what)
{
	enum { LIVES = 20 };
	uint32_t found = 0;
	for (uint64_t seed = 1; seed <= LIVES; seed++) {
		life_run(&life, &programs, seed, lie, false);
		found += life.violation[0] != '\0';
	}
	sim_check(found >= LIVES / 2, "%s: found out in %u of %d lives", what, found, LIVES);
}

static void run_lives(uint64_t seeds)
{
	const char *first_text = getenv("SIM_FIRST");
	uint64_t first = first_text != NULL ? strtoull(first_text, NULL, 10) : 1;
	for (uint64_t seed = first; seed < first + seeds; seed++)
		run_seed(seed);
	same_again();
	noticed(LIFE_SYNC_IS_LIE, "a disk whose syncs are lies");
	noticed(LIFE_OFF_BY_ONE, "a model that is off by one");
#define N(field) (unsigned long long)total.field
	printf("%llu steps, %llu commits (%llu scheduled), %llu confirmed calls, %llu updates\n", N(steps), N(commits),
		N(ticks), N(confirmed), N(updates));
	printf("%llu faults armed, %llu crashes, %llu failed openings, %llu commits lost, %llu times all was quiet\n",
		N(faults), N(crashes), N(failed_opens), N(lost), N(calms));
	printf("%llu sets of clients compared\n", N(caches));
#undef N
}

int main(int argc, char **argv)
{
	const char *one = getenv("SIM_SEED"), *what = argc > 1 ? argv[1] : "lives";
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	log_set_level(LOG_OFF);
	if (system("sh tests/sim/build.sh " GUESTS_DIR) != 0) {
		fprintf(stderr, "the module cannot be compiled\n");
		return 1;
	}
	programs_init(&programs);
	if (one != NULL) {
		run_seed(strtoull(one, NULL, 10));
		printf("trace %016llx\n", (unsigned long long)life.trace);
	} else if (strcmp(what, "sweep") == 0 || getenv("SIM_POINT") != NULL) {
		sweep_run(&programs, &life, n == 0 ? 7 : n);
	} else if (strcmp(what, "flips") == 0) {
		flips_run(&programs, &life, n == 0 ? 200 : (uint32_t)n);
	} else {
		run_lives(n == 0 ? 200 : n);
	}
	programs_deinit(&programs);
	printf("%u passed, %u failed\n", sim_passed, sim_failed);
	return sim_failed == 0 ? 0 : 1;
}
