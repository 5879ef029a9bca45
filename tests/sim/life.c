/* SPDX-License-Identifier: Apache-2.0 */
/* One life: sessions of work under faults, each ended by a crash. Now and then faults stop, and all must be well. */
#include "sim/sim.h"

enum { SESSIONS_MAX = 4 };

uint64_t roll(struct life *life, uint64_t below)
{
	life->rng += 0x9e3779b97f4a7c15u;
	return hash_u64(life->rng) % below;
}

void violate(struct life *life, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (life->violation[0] == '\0')
		vsnprintf(life->violation, sizeof(life->violation), format, args);
	va_end(args);
	if (life->prints)
		printf("VIOLATION: %s\n", life->violation);
}

void note(struct life *life, const char *format, ...)
{
	char line[512];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	len = len < (int)sizeof(line) ? len : (int)sizeof(line) - 1;
	life->trace = hash_u64(life->trace ^ hash_bytes(line, (size_t)len) ^ (uint64_t)life->now);
	if (life->prints)
		printf("%10lld %s\n", (long long)life->now, line);
}

/* ---- the world outside ---- */

static int64_t wall(void *context)
{
	return ((struct life *)context)->now;
}

static uint64_t mono(void *context)
{
	return (uint64_t)((struct life *)context)->now * 1000;
}

static void chance(void *context, void *out, size_t len)
{
	struct life *life = context;
	for (size_t at = 0; at < len; at += 8) {
		uint64_t n = hash_u64(life->chance += 0x9e3779b97f4a7c15u);
		memcpy((uint8_t *)out + at, &n, size_min(len - at, 8));
	}
}

static void read_file(const char *path, struct buf *out)
{
	uint8_t chunk[4096];
	FILE *file = fopen(path, "rb");
	ck_assert_msg(file != NULL, "cannot open %s", path);
	buf_init(out, 1 << 20);
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;)
		buf_put(out, chunk, n);
	fclose(file);
}

void programs_init(struct programs *p)
{
	struct runtime_options options = { .call_ms_max = UINT32_MAX };
	struct error why = { 0 };
	struct buf text = BUF_INIT(1 << 16);
	*p = (struct programs){ 0 };
	store_destroy(store_create()); /* what is made once in a process is no part of a life */
	p->engine.runtime = runtime_create(&options, &why);
	ck_assert_msg(p->engine.runtime != NULL, "%s", why.text);
	p->engine.writers = commitlog_writers_create(0);
	for (uint32_t i = 0; i < VERSIONS; i++) {
		char path[256];
		snprintf(path, sizeof(path), GUESTS_DIR "/sim%u.wasm", i + 1);
		read_file(path, &p->codes[i]);
		native_keccak256(p->codes[i].data, p->codes[i].len, p->hashes[i]);
		ck_assert_msg(runtime_compile(p->engine.runtime, RUNTIME_WASM, buf_bytes(&p->codes[i]), p->hashes[i],
			&p->pinned[i], &text) == WL_OK, "%s", buf_text(&text));
	}
	p->engine.code = p->codes[0];
	memcpy(p->engine.hash, p->hashes[0], 32);
	buf_deinit(&text);
}

void programs_deinit(struct programs *p)
{
	for (uint32_t i = 0; i < VERSIONS; i++) {
		runtime_program_release(p->pinned[i]);
		buf_deinit(&p->codes[i]);
	}
	runtime_destroy(p->engine.runtime);
	commitlog_writers_destroy(p->engine.writers);
}

/* ---- faults ---- */

void life_disarm(struct life *life)
{
	mem_fail_at(0, false);
	storage_faulty_power_off_at(life->disk, 0);
	storage_faulty_capacity(life->disk, UINT64_MAX);
	for (int call = 0; call < STORAGE_FAULTY_CALLS; call++)
		storage_faulty_fail_at(life->disk, (enum storage_faulty_call)call, 0, 0);
}

static void arm(struct life *life)
{
	uint64_t which = roll(life, 10), n = 1 + roll(life, 60);
	life->reliable = which < 3;
	life->counts.faults += which >= 3;
	note(life, "fault %llu at %llu", (unsigned long long)which, (unsigned long long)n);
	switch (which) {
	case 3:
	case 4: storage_faulty_power_off_at(life->disk, n); break;
	case 5:
		storage_faulty_fail_at(life->disk, (enum storage_faulty_call)roll(life, STORAGE_FAULTY_CALLS), n, EIO);
		break;
	case 6: storage_faulty_fail_at(life->disk, STORAGE_FAULTY_ALLOCATE, 1, ENOSPC); break;
	case 7: storage_faulty_capacity(life->disk, 20000 + roll(life, 60000)); break;
	case 8: mem_fail_at(1 + roll(life, 400), false); break;
	case 9: mem_fail_at(1 + roll(life, 400), true); break;
	default: break;
	}
}

/* ---- living ---- */

void life_act(struct life *life, struct programs *programs)
{
	struct line *line = &life->world.lines[roll(life, LIVE_LINES)];
	uint64_t action = roll(life, 100);
	if (action < 4 || (action < 60 && (line->client == NULL || line->ended))) {
		if (line->client != NULL)
			step_disconnect(life, line);
		else
			step_connect(life);
	} else if (action < 54) {
		step_call(life, line);
	} else if (action < 60) {
		step_subscribe(life, line);
	} else if (action < 61) {
		step_sql(life);
	} else if (action < 62) {
		if (roll(life, 4) == 0)
			step_update(life, programs);
	} else if (action < 80) {
		step_run(life, roll(life, 2) == 0 ? UINT32_MAX : 1 + (uint32_t)roll(life, 3));
	} else if (action < 88) {
		step_clock(life, (int64_t)roll(life, roll(life, 8) == 0 ? 600000 : 3000));
	} else {
		for (uint64_t n = 1 + roll(life, 3); n > 0 && step_disk(life); n--) {
		}
	}
}

bool life_is_broken(const struct life *life)
{
	return storage_faulty_is_off(life->disk) || database_failed(life->world.db);
}

/* Faults stop and time goes on: everything outstanding comes to its end. */
void life_calm(struct life *life)
{
	life_disarm(life);
	note(life, "calm");
	if (life_is_broken(life))
		return;
	for (int i = 0; i < 50 && life->violation[0] == '\0'; i++) {
		step_clock(life, 100000);
		step_settle(life);
	}
	life->reliable = true;
	if (life_is_broken(life))
		violate(life, "the log failed although no fault was left");
	else
		check_quiet(life);
}

static void live(struct life *life, struct programs *programs)
{
	uint64_t actions = 60 + roll(life, 400), armed_at = roll(life, actions);
	for (uint64_t i = 0; i < actions && life->violation[0] == '\0'; i++) {
		if (i == armed_at)
			arm(life);
		if (life_is_broken(life) && roll(life, 10) == 0)
			return;
		life_act(life, programs);
		if (i > armed_at && roll(life, 150) == 0) {
			life_calm(life);
			armed_at = i + roll(life, actions);
		}
	}
}

/* ---- ends and beginnings ---- */

void life_crash(struct life *life)
{
	life_disarm(life);
	note(life, "crash");
	storage_faulty_power_off_at(life->disk, 1); /* the process dies: closing writes nothing */
	step_run(life, UINT32_MAX);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (life->world.lines[i].client != NULL)
			cache_forget(life, life->world.lines[i].conn);
	timers_remove(life->timers, life->world.db);
	world_close(&life->world, false);
	storage_faulty_crash(life->disk);
	life->counts.crashes++;
}

/* False: it was not made, and nothing is left of it. */
bool life_create(struct life *life)
{
	struct buf text = BUF_INIT(1 << 16);
	life->world.dir[0]++; /* a creation that failed left its folder: the host takes a new one */
	enum wl_err err = world_create(&life->world, &text);
	note(life, "create: %s %s", wl_err_name(err), buf_text(&text));
	if (err != WL_OK && life->reliable)
		violate(life, "the database was not created: %s", buf_text(&text));
	life_disarm(life);
	if (err != WL_OK)
		storage_faulty_crash(life->disk);
	buf_deinit(&text);
	return err == WL_OK;
}

/* False: it failed, and the power went off and came again. */
bool life_open(struct life *life)
{
	struct buf text = BUF_INIT(1 << 16);
	enum wl_err err = world_open(&life->world, &text);
	note(life, "open: %s %s", wl_err_name(err), buf_text(&text));
	if (err != WL_OK && (life->reliable || err == WL_ERR_CORRUPT))
		violate(life, "the database does not open: %s", buf_text(&text));
	if (err != WL_OK) {
		life_disarm(life);
		storage_faulty_power_off_at(life->disk, 1);
		storage_faulty_crash(life->disk);
		life->counts.failed_opens++;
	}
	buf_deinit(&text);
	return err == WL_OK;
}

static bool open_again(struct life *life, bool faults)
{
	life->reliable = true;
	if (faults)
		arm(life);
	return life_open(life);
}

static void session(struct life *life, struct programs *programs, bool last)
{
	live(life, programs);
	if (life->violation[0] == '\0' && (last || roll(life, 3) == 0))
		life_calm(life);
	life_crash(life);
	for (int tries = 0; life->violation[0] == '\0' && !open_again(life, tries < 5 && roll(life, 2) == 0); tries++) {
	}
	life_disarm(life);
	if (life->violation[0] == '\0')
		check_opened(life);
	if (life->violation[0] == '\0' && last)
		life_calm(life);
}

void life_begin(struct life *life, struct programs *programs, uint64_t seed, uint64_t disk_seed)
{
	static struct clock_source source = { wall, mono, chance, NULL };
	*life = (struct life){ .seed = seed, .rng = hash_u64(seed), .now = INT64_C(1700000000000000), .chance = ~seed };
	source.context = life;
	clock_replace(&source);
	life->disk = storage_faulty_create(disk_seed);
	life->timers = database_timers_create_stepped();
	world_init(&life->world, &programs->engine, life->disk, false);
	snprintf(life->world.dir, sizeof(life->world.dir), "a/replica");
	life->world.options.segment_bytes = 4096u << roll(life, 5);
	life->world.options.timers = life->timers;
	life->world.options.durability.replay_micros = 1 + (uint32_t)roll(life, 200);
	life->world.options.durability.snapshots_kept = 1 + (uint32_t)roll(life, 2);
	life->world.on_entry = cache_entry;
	life->world.context = life;
	buf_init(&life->world.extra_code, 1 << 20);
	buf_put(&life->world.extra_code, programs->codes[1].data, programs->codes[1].len);
}

void life_end(struct life *life)
{
	life_disarm(life);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (life->caches[i].conn != 0)
			cache_forget(life, life->caches[i].conn);
	world_deinit(&life->world);
	database_timers_destroy(life->timers);
	storage_faulty_destroy(life->disk);
	clock_replace(NULL);
}

void life_run(struct life *life, struct programs *programs, uint64_t seed, enum life_lie lie, bool prints)
{
	bool created = false;
	life_begin(life, programs, seed, seed);
	life->off_by_one = lie == LIFE_OFF_BY_ONE;
	life->prints = prints;
	storage_faulty_sync_is_lie(life->disk, lie == LIFE_SYNC_IS_LIE);
	for (int tries = 0; life->violation[0] == '\0' && tries < 40 && !created; tries++) {
		arm(life);
		created = life_create(life);
	}
	uint64_t sessions = 1 + roll(life, SESSIONS_MAX);
	if (created && life->violation[0] == '\0')
		check_step(life);
	for (uint64_t i = 1; i <= sessions && life->violation[0] == '\0'; i++)
		session(life, programs, i == sessions);
	life_end(life);
}
