/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash simulation: seeded lives of a log on the simulated disk, each with
 * many crashes (also while recovering, trimming, preparing a segment), failed
 * syncs and shortages, compared with a model after every reopening:
 *
 *   every offset that was reported durable is there, none twice, none altered;
 *   what is there is a prefix of what was appended;
 *   the log opens (the disk loses what was not synced, it does not rot).
 *
 * The same lives on a disk whose syncs are lies must break this: otherwise
 * the test could not fail.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "commitlog/commitlog.h"
#include "commitlog/storage_faulty.h"
#include "unit/run_suite.h"

enum { RECORDS_MAX = 4096, CRASHES = 8, SEEDS = 2000 };

struct life {
	struct storage_faulty *disk;
	struct commitlog_writers *writers;
	struct commitlog *log;
	uint64_t rng, segment_bytes;
	/* The model: for each offset the seed of the record appended last under it. */
	uint64_t content[RECORDS_MAX];
	uint64_t appended;   /* offsets below exist */
	uint64_t promised;   /* offsets below were reported durable */
	uint64_t snapshot;   /* the log is needed from here on */
	uint64_t replayed;
	char violation[256]; /* empty: none */
};

static uint64_t roll(struct life *life, uint64_t below)
{
	life->rng += 0x9e3779b97f4a7c15u;
	return hash_u64(life->rng) % below;
}

static void violate(struct life *life, const char *what, uint64_t offset)
{
	if (life->violation[0] == '\0')
		snprintf(life->violation, sizeof(life->violation), "%.200s (offset %llu)", what, (unsigned long long)offset);
}

static size_t content_size(uint64_t seed)
{
	uint64_t kind = seed % 64;
	return (size_t)(kind == 0 ? seed / 64 % 20000 : kind < 4 ? seed / 64 % 2000 : seed / 64 % 80);
}

static uint8_t content_byte(uint64_t seed, size_t i)
{
	return (uint8_t)(hash_u64(seed + i / 8) >> i % 8 * 8);
}

static void on_durable(void *context, uint64_t offset, enum commitlog_state state)
{
	struct life *life = context;
	(void)state;
	if (offset == COMMITLOG_NONE)
		return;
	if (offset >= life->appended)
		violate(life, "durable before it was appended", offset);
	if (offset + 1 < life->promised)
		violate(life, "durable went back", offset);
	life->promised = offset + 1;
}

static enum wl_err on_replay(void *context, uint64_t offset, struct bytes record, struct error *error)
{
	struct life *life = context;
	(void)error;
	if (offset != life->replayed++)
		violate(life, "out of order", offset);
	if (offset >= life->appended) {
		violate(life, "never appended", offset);
		return WL_OK;
	}
	uint64_t seed = life->content[offset];
	if (record.len != content_size(seed))
		violate(life, "altered in length", offset);
	for (size_t i = 0; i < record.len && life->violation[0] == '\0'; i++) {
		if (record.data[i] != content_byte(seed, i))
			violate(life, "altered", offset);
	}
	return WL_OK;
}

/* False: the power went, or a call failed on purpose. */
static bool life_open(struct life *life)
{
	struct commitlog_options options = {
		.storage = storage_faulty_storage(life->disk), .writers = life->writers, .dir = "d/log",
		.segment_bytes = life->segment_bytes, .replay_from = life->snapshot, .on_durable = on_durable,
		.context = life,
	};
	struct error error;
	life->replayed = life->snapshot;
	life->log = NULL;
	enum wl_err err = commitlog_open(&options, on_replay, life, &life->log, &error);
	if (err == WL_ERR_IO && storage_faulty_is_off(life->disk))
		return false;
	if (err != WL_OK) {
		violate(life, error.text, life->promised);
		return false;
	}
	if (life->replayed < life->promised)
		violate(life, "lost", life->replayed);
	if (commitlog_durable(life->log) + 1 != life->replayed)
		violate(life, "reports another end than it replayed", life->replayed);
	life->appended = life->promised = life->replayed; /* opened is promised */
	return true;
}

static void append(struct life *life)
{
	struct buf *out;
	if (life->appended == RECORDS_MAX || commitlog_begin(life->log, &out) != WL_OK)
		return;
	uint64_t seed = hash_u64(life->rng);
	size_t len = content_size(seed);
	uint8_t *p = buf_extend(out, len);
	for (size_t i = 0; i < len; i++)
		p[i] = content_byte(seed, i);
	if (roll(life, 10) == 0) {
		commitlog_cancel(life->log);
		return;
	}
	uint64_t offset = commitlog_end(life->log);
	if (offset != life->appended)
		violate(life, "a wrong offset was assigned", offset);
	life->content[offset] = seed;
	life->appended++;
}

static void steps(struct life *life, uint64_t count)
{
	while (count-- > 0 && commitlog_writers_step(life->writers))
		;
}

static void live(struct life *life)
{
	uint64_t actions = 20 + roll(life, 100);
	for (uint64_t i = 0; i < actions && life->violation[0] == '\0'; i++) {
		switch (roll(life, 16)) {
		case 0: case 1: case 2: case 3: case 4: case 5: case 6:
			append(life);
			break;
		case 7: case 8: case 9:
			commitlog_submit(life->log);
			break;
		case 10: case 11: case 12: case 13:
			steps(life, 1 + roll(life, 3));
			break;
		case 14:
			/* A snapshot of something durable, and the segments below it go. */
			if (life->promised > life->snapshot && roll(life, 4) == 0) {
				life->snapshot += roll(life, life->promised - life->snapshot + 1);
				commitlog_trim(life->log, life->snapshot, 0);
			}
			break;
		default:
			storage_faulty_capacity(life->disk, roll(life, 3) == 0 ? roll(life, 60000) : UINT64_MAX);
			break;
		}
	}
}

/* One session and how it ends: closed, process killed, power cut at some call, or a sync that failed. */
static void session(struct life *life)
{
	uint64_t ending = roll(life, 8);
	if (ending >= 3)
		storage_faulty_power_off_at(life->disk, 1 + roll(life, ending == 3 ? 6 : 80));
	storage_faulty_capacity(life->disk, UINT64_MAX);
	if (!life_open(life))
		goto crash;
	if (ending == 1)
		storage_faulty_fail_at(life->disk, roll(life, 2) == 0 ? STORAGE_FAULTY_SYNC : STORAGE_FAULTY_WRITE,
			1 + roll(life, 30), EIO);
	live(life);
	if (ending == 2)
		storage_faulty_power_off_at(life->disk, 1); /* the process is killed: closing writes nothing */
	commitlog_close(life->log);
	life->log = NULL;
	if (ending <= 1 && roll(life, 2) == 0) {
		/* The machine goes on: what was not synced is still in its cache. */
		storage_faulty_fail_at(life->disk, STORAGE_FAULTY_SYNC, 0, 0);
		storage_faulty_fail_at(life->disk, STORAGE_FAULTY_WRITE, 0, 0);
		return;
	}
crash:
	storage_faulty_crash(life->disk);
}

enum lie { HONEST, LYING_SYNC, LYING_RENAME };

static void run_life(uint64_t seed, enum lie lie, char violation[256])
{
	static struct life life;
	life = (struct life){ .disk = storage_faulty_create(seed), .writers = commitlog_writers_create(0), .rng = seed };
	life.segment_bytes = 1024u << roll(&life, 4);
	storage_faulty_sync_is_lie(life.disk, lie == LYING_SYNC);
	storage_faulty_rename_is_lie(life.disk, lie == LYING_RENAME);
	for (uint32_t i = 0; i < CRASHES && life.violation[0] == '\0'; i++)
		session(&life);
	if (life.violation[0] == '\0' && life_open(&life))
		commitlog_close(life.log);
	else if (life.log != NULL)
		commitlog_close(life.log);
	memcpy(violation, life.violation, sizeof(life.violation));
	commitlog_writers_destroy(life.writers);
	storage_faulty_destroy(life.disk);
}

/* Goal: the promise holds in every life. COMMITLOG_SEED=n runs one of them, COMMITLOG_SEEDS=n that many. */
START_TEST(honest_disk)
{
	const char *one = getenv("COMMITLOG_SEED"), *many = getenv("COMMITLOG_SEEDS");
	uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
	uint64_t count = one != NULL ? 1 : many != NULL ? strtoull(many, NULL, 10) : SEEDS;
	char violation[256];
	for (uint64_t seed = first; seed < first + count; seed++) {
		run_life(seed, HONEST, violation);
		ck_assert_msg(violation[0] == '\0', "COMMITLOG_SEED=%llu: %s", (unsigned long long)seed, violation);
	}
}
END_TEST

static uint32_t count_violations(enum lie lie)
{
	char violation[256];
	uint32_t count = 0;
	for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
		run_life(seed, lie, violation);
		count += violation[0] != '\0';
	}
	return count;
}

/* Goal: the test notices a log that does not sync, and one whose new segments lose their names. */
START_TEST(lying_disk)
{
	uint32_t unsynced = count_violations(LYING_SYNC), unnamed = count_violations(LYING_RENAME);
	ck_assert_uint_gt(unsynced, SEEDS / 8);
	ck_assert_uint_gt(unnamed, SEEDS / 40);
}
END_TEST

int main(void)
{
	log_set_level(LOG_OFF);
	Suite *suite = suite_create("commitlog crash");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 300);
	tcase_add_test(tests, honest_disk);
	tcase_add_test(tests, lying_disk);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
