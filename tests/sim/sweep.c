/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sweeps: one life, the same each time but for one fault, which is put at each
 * place in turn: the n-th call to the disk fails, or is the last before the
 * power goes, and what was not synced is lost, kept, torn, reordered; the n-th
 * allocation fails, alone or with all after it. Whatever it is: the database
 * opens, what was confirmed is there, nothing is half applied, all ends well.
 */
#include "sim/sim.h"

enum { ACTIONS = 700, SEED = 20, DISKS = 3 };
enum point { POINT_EIO, POINT_ENOSPC, POINT_POWER, POINT_ALLOCATION, POINT_ALLOCATIONS, POINT_KINDS };
static const char *const names[POINT_KINDS] = { "call to the disk: EIO", "call to the disk: ENOSPC",
	"call to the disk: the power goes", "allocation fails", "allocation and all after it fail" };

struct sweep {
	struct programs *programs;
	struct life *life;
	enum point kind;
	uint64_t n, refused;
	bool armed;
};

static void arm(struct sweep *s)
{
	struct storage_faulty *disk = s->life->disk;
	s->refused = mem_stats().refused;
	s->armed = true;
	s->life->reliable = false;
	switch (s->kind) {
	case POINT_EIO: storage_faulty_fail_at(disk, STORAGE_FAULTY_ANY, s->n, EIO); break;
	case POINT_ENOSPC: storage_faulty_fail_at(disk, STORAGE_FAULTY_ANY, s->n, ENOSPC); break;
	case POINT_POWER: storage_faulty_power_off_at(disk, s->n); break;
	case POINT_ALLOCATION: mem_fail_at(s->n, false); break;
	case POINT_ALLOCATIONS: mem_fail_at(s->n, true); break;
	case POINT_KINDS: break;
	}
}

static bool struck(const struct sweep *s)
{
	if (s->kind >= POINT_ALLOCATION)
		return mem_stats().refused != s->refused;
	return storage_faulty_pending(s->life->disk) == 0;
}

/* True: the fault has happened. No other is to come. */
static bool disarm(struct sweep *s)
{
	bool was = struck(s);
	s->armed = false;
	life_disarm(s->life);
	return was;
}

static void work(struct sweep *s)
{
	struct life *life = s->life;
	for (int i = 0; i < ACTIONS && life->violation[0] == '\0' && !storage_faulty_is_off(life->disk); i++) {
		life_act(life, s->programs);
		if (i % 20 == 19)
			step_run(life, UINT32_MAX);
		if (i % 40 == 39)
			while (step_disk(life)) {
			}
	}
}

static void close_orderly(struct life *life)
{
	step_run(life, UINT32_MAX);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (life->world.lines[i].client != NULL)
			cache_forget(life, life->world.lines[i].conn);
	world_close(&life->world, true);
}

/* True: the fault has happened somewhere in this life. */
static bool run_point(struct sweep *s, uint64_t disk_seed)
{
	struct life *life = s->life;
	bool happened = false;
	life_begin(life, s->programs, SEED, disk_seed);
	life->world.options.segment_bytes = 4096;
	arm(s);
	struct buf text = BUF_INIT(1 << 16);
	if (world_create(&life->world, &text) != WL_OK) {
		happened = disarm(s);
		if (!happened)
			violate(life, "not created, without a fault: %s", buf_text(&text));
		storage_faulty_crash(life->disk);
		life->reliable = true;
		(void)life_create(life);
	}
	buf_deinit(&text);
	if (life->violation[0] == '\0')
		work(s);
	if (life->violation[0] == '\0' && life_is_broken(life)) {
		happened = happened || disarm(s);
		life_crash(life);
	} else if (life->violation[0] == '\0') {
		if (s->kind == POINT_ALLOCATIONS && struck(s)) /* a client without any memory cannot even go */
			happened = disarm(s);
		close_orderly(life);
	}
	while (life->violation[0] == '\0' && !life_open(life)) {
		if (!s->armed)
			violate(life, "it does not open, without a fault");
		s->armed = false;
		happened = true;
		life->reliable = true;
	}
	if (s->armed)
		happened = disarm(s);
	if (life->violation[0] == '\0')
		check_opened(life);
	if (life->violation[0] == '\0')
		life_calm(life);
	if (life->violation[0] == '\0' && life_is_broken(life)) { /* by the fault, when it was opened */
		life_crash(life);
		(void)life_open(life);
		check_opened(life);
		life_calm(life);
	}
	life_end(life);
	return happened;
}

static void run_kind(struct sweep *s, uint64_t share, uint32_t disks)
{
	uint64_t points = 0, failures = 0, first = 1 + share / 2;
	bool more = true;
	for (s->n = first; more; s->n += share) {
		more = false;
		for (uint32_t d = 1; d <= disks; d++) {
			more = run_point(s, d) || more;
			points++;
			if (s->life->violation[0] == '\0')
				continue;
			failures++;
			printf("SIM_POINT=%d:%llu:%u failed: %s\n", s->kind, (unsigned long long)s->n, d, s->life->violation);
		}
	}
	sim_check(failures == 0, "each n-th %s: %llu of %llu places, %llu went wrong", names[s->kind],
		(unsigned long long)points, (unsigned long long)(s->n * disks), (unsigned long long)failures);
}

/* Every `share`-th place. */
void sweep_run(struct programs *programs, struct life *life, uint64_t share)
{
	struct sweep s = { .programs = programs, .life = life };
	const char *one = getenv("SIM_POINT");
	unsigned long long n;
	unsigned kind, disk;
	if (one != NULL && sscanf(one, "%u:%llu:%u", &kind, &n, &disk) == 3 && kind < POINT_KINDS) {
		s.kind = (enum point)kind;
		s.n = n;
		(void)run_point(&s, disk);
		sim_check(life->violation[0] == '\0', "SIM_POINT=%s: %s", one, life->violation);
		return;
	}
	for (kind = 0; kind < POINT_KINDS; kind++) {
		s.kind = (enum point)kind;
		run_kind(&s, kind >= POINT_ALLOCATION && share > 1 ? share * 4 : share, kind == POINT_POWER ? DISKS : 1);
	}
}
