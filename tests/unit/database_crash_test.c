/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing that was confirmed is lost. Seeded lives of a real database (module,
 * executor, clients, log) on the simulated disk. Clients call, and note what
 * was confirmed to them; the power goes at some call to the disk, while
 * creating, working, opening or preparing a segment; what was not synced is
 * dropped, torn, reordered. After every crash:
 *
 *   the database opens;
 *   what is there is exactly what the first k calls make, for some k: every
 *   number once, nothing of a call that failed, in the order of submission;
 *   every confirmed call is among these k;
 *   nobody is left in st_client, and whoever was let in has been disconnected.
 *
 * The same lives on a disk whose syncs are lies must break this: otherwise
 * the test could not fail. DATABASE_SEED=n runs one life, DATABASE_SEEDS=n
 * that many.
 */
#include "database_fixture.h"
#include "unit/run_suite.h"

enum { SEEDS = 60, CRASHES = 4, CALLS_MAX = 8192, CONNECTIONS_MAX = 512, LIVE_LINES = 4 };
#define NEVER UINT64_C(1000000000) /* numbers from here on are inserted by calls that fail */

enum call_kind { CALL_NUMBER, CALL_TEXT, CALL_DELETE };
struct call {
	enum call_kind kind;
	uint64_t n;
	bool confirmed;
	uint64_t digest; /* of both tables after the first calls up to this one */
};
struct life {
	struct world world;
	struct storage_faulty *disk;
	uint64_t rng;
	/* The model. Call i has number i; call 0 is `init`. */
	struct call calls[CALLS_MAX];
	uint32_t call_count;
	uint32_t requests[CALLS_MAX * 4]; /* request id -> call, 0: none */
	/* Connections by their id: was the client told that it is connected, and is that durable? */
	bool welcome[CONNECTIONS_MAX];
	uint64_t connections;
	uint32_t crashes, confirmed_ever, lost_ever, failed_opens, snapshots;
	char violation[WORLD_TEXT_MAX + 64];
};

static uint64_t roll(struct life *life, uint64_t below)
{
	life->rng += 0x9e3779b97f4a7c15u;
	return hash_u64(life->rng) % below;
}

static void violate(struct life *life, const char *what, uint64_t n)
{
	if (life->violation[0] == '\0')
		snprintf(life->violation, sizeof(life->violation), "%.400s (%llu)", what, (unsigned long long)n);
}

/* ---- the model ---- */

static uint64_t digest_of(const char *table, uint64_t n)
{
	return hash_u64(n + (table[0] == 'n' ? 1 : 1 << 20));
}

/* Records the call that is about to be submitted; false: the life has had enough of them. */
static bool model_call(struct life *life, enum call_kind kind, uint64_t n)
{
	if (life->call_count == CALLS_MAX)
		return false;
	uint64_t before = life->calls[life->call_count - 1].digest;
	uint64_t row = digest_of(kind == CALL_TEXT ? "texts" : "numbers", n);
	life->calls[life->call_count++] = (struct call){ .kind = kind, .n = n,
		.digest = kind == CALL_DELETE ? before - row : before + row };
	return true;
}

static bool model_has(const struct life *life, uint64_t n)
{
	bool has = n == 0;
	for (uint32_t i = 1; i < life->call_count; i++)
		if (life->calls[i].n == n && life->calls[i].kind != CALL_TEXT)
			has = life->calls[i].kind == CALL_NUMBER;
	return has;
}

static void on_received(struct world *w, const struct received *got)
{
	struct life *life = w->context;
	struct line *line = world_line(w, got->conn);
	if (line == NULL || !line->confirmed)
		return;
	if (got->tag == GOT_CONNECTION)
		life->welcome[load_u64(line->client->caller.connection.le)] = true;
	if (got->tag != GOT_RESULT || got->request_id >= ARRAY_COUNT(life->requests))
		return;
	uint32_t call = life->requests[got->request_id];
	if (got->outcome == OUTCOME_OK && call != 0 && !life->calls[call].confirmed) {
		life->calls[call].confirmed = true;
		life->confirmed_ever++;
	} else if (got->outcome == OUTCOME_OK && call == 0) {
		violate(life, "a call that fails was confirmed", got->request_id);
	}
}

/* ---- checking what survived ---- */

static uint64_t digest_rows(struct life *life, const char *table)
{
	struct store_cursor cursor;
	struct store_row row;
	uint64_t digest = 0;
	store_scan(store_table_by_name(life->world.db->store, str_of(table)), &cursor);
	while (store_cursor_next(&cursor, &row)) {
		uint64_t n = load_u64(row.data);
		digest += digest_of(table, n);
		if (n >= NEVER)
			violate(life, "a call that failed left its row", n);
	}
	return digest;
}

/* Which prefix of the calls made these tables? Cuts the model to it. */
static void check_calls(struct life *life)
{
	uint64_t digest = digest_rows(life, "numbers") + digest_rows(life, "texts");
	uint32_t needed = 0, kept = life->call_count - 1;
	for (uint32_t i = 1; i < life->call_count; i++)
		if (life->calls[i].confirmed)
			needed = i;
	while (kept > needed && life->calls[kept].digest != digest)
		kept--;
	if (life->calls[kept].digest != digest) {
		violate(life, "a confirmed call is lost, or something else than calls is there; needed", needed);
		return;
	}
	life->lost_ever += life->call_count - 1 - kept;
	life->call_count = kept + 1;
}

static void check_clients(struct life *life)
{
	struct world *w = &life->world;
	if (world_count(w, "st_client") != 0 || world_count(w, "st_connection_credentials") != 0)
		violate(life, "clients are left", world_count(w, "st_client"));
	for (uint64_t id = 1; id <= life->connections; id++) {
		if (life->welcome[id] && (!world_has(w, "arrived", id) || !world_has(w, "gone", id)))
			violate(life, "a client was let in and is forgotten, or was not disconnected", id);
	}
}

/* The index agrees with the rows: a number that is there is taken, one that is not is free. */
static void check_keys(struct life *life)
{
	struct world *w = &life->world;
	struct store_index *index = store_index_by_name(w->db->store, STR("numbers_n_idx_btree"));
	for (uint64_t n = 0; n < life->call_count; n++) {
		struct store_cursor cursor;
		struct store_row row;
		uint8_t key[8];
		store_u64(key, n);
		bool found = store_scan_point(index, key, sizeof(key), &cursor) == STORE_OK && store_cursor_next(&cursor, &row);
		if (found != (world_times(w, "numbers", n) == 1) || (found && load_u64(row.data) != n))
			violate(life, "rows and index disagree", n);
	}
}

/* ---- living ---- */

static bool submit(struct life *life, struct line *line, uint64_t action)
{
	static char text[20000];
	struct world *w = &life->world;
	uint64_t n = life->call_count;
	uint32_t id;
	if (w->next_request >= ARRAY_COUNT(life->requests))
		return false;
	if (action == 0) {
		id = world_call(w, line, roll(life, 2) == 0 ? "fail" : "nothing_such", &(uint64_t){ NEVER + n }, 1, "no");
	} else if (action == 1) {
		id = world_call_number(w, line, "panic", NEVER + n);
	} else if (action == 2 && model_has(life, n / 2)) {
		if (!model_call(life, CALL_DELETE, n / 2))
			return false;
		id = world_call_number(w, line, "delete_number", n / 2);
		life->requests[id] = (uint32_t)n;
	} else if (action <= 4) {
		size_t len = action == 3 ? roll(life, sizeof(text)) : roll(life, 100);
		memset(text, 'x', len);
		text[len] = '\0';
		if (!model_call(life, CALL_TEXT, n))
			return false;
		id = world_call(w, line, "put_text", &n, 1, text);
		life->requests[id] = (uint32_t)n;
	} else {
		if (!model_call(life, CALL_NUMBER, n))
			return false;
		id = world_call_number(w, line, "unique_number", n);
		life->requests[id] = (uint32_t)n;
	}
	return id != 0;
}

static void come_and_go(struct life *life, struct line *line)
{
	struct world *w = &life->world;
	if (line->client != NULL) {
		ck_assert(world_disconnect(w, line));
	} else if (life->connections + 1 < CONNECTIONS_MAX) {
		uint64_t id = ++life->connections;
		ck_assert_ptr_nonnull(world_connect(w, (uint32_t)roll(life, LOOPS), roll(life, 3) != 0, id));
	}
}

static void live(struct life *life)
{
	struct world *w = &life->world;
	uint64_t actions = 30 + roll(life, 300);
	for (uint64_t i = 0; i < actions && life->violation[0] == '\0'; i++) {
		struct line *line = &w->lines[roll(life, LIVE_LINES)];
		uint64_t action = roll(life, 20);
		if (storage_faulty_is_off(life->disk) && roll(life, 10) == 0)
			return;
		if (action == 0 || (action < 12 && line->client == NULL)) {
			come_and_go(life, line);
		} else if (action < 12) {
			if (!submit(life, line, roll(life, 24)))
				return;
		} else if (action < 13 && line->client != NULL) {
			(void)world_query(w, line, TAG_SUBSCRIBE, "SELECT * FROM numbers");
		} else if (action < 16 || roll(life, 20) == 0) {
			if (action >= 16) /* all of it: a snapshot may be taken */
				world_settle(w);
			world_run(w);
		} else {
			for (uint64_t steps = 1 + roll(life, 3); steps > 0 && commitlog_writers_step(w->engine->writers); steps--) {
			}
		}
	}
}

/* Opening may be struck by a power cut of its own; without one it must succeed. */
static bool open_life(struct life *life)
{
	struct buf text = BUF_INIT(1 << 16);
	enum wl_err err = world_open(&life->world, &text);
	if (err != WL_OK && !storage_faulty_is_off(life->disk))
		violate(life, buf_text(&text), (uint64_t)err);
	life->failed_opens += err != WL_OK;
	buf_deinit(&text);
	return err == WL_OK;
}

static void arm(struct life *life)
{
	uint64_t when = roll(life, 4);
	storage_faulty_power_off_at(life->disk, when == 0 ? 0 : 1 + roll(life, when == 1 ? 8 : 150));
}

static void crash(struct life *life)
{
	life->snapshots += (uint32_t)atomic_load(&life->world.db->snapshots.taken);
	storage_faulty_power_off_at(life->disk, 1); /* the process dies: closing writes nothing */
	world_close(&life->world, false);
	storage_faulty_crash(life->disk);
	life->crashes++;
}

static void create_life(struct life *life)
{
	struct buf text = BUF_INIT(1 << 16);
	for (bool created = false; !created && life->violation[0] == '\0';) {
		life->world.dir[0]++; /* a creation that failed left its folder: the host takes a new one */
		arm(life);
		created = world_create(&life->world, &text) == WL_OK;
		if (!created && !storage_faulty_is_off(life->disk))
			violate(life, buf_text(&text), 0);
		if (!created) {
			storage_faulty_crash(life->disk);
			life->crashes++;
		}
		buf_clear(&text);
	}
	buf_deinit(&text);
}

static void session(struct life *life)
{
	live(life);
	if (roll(life, 8) == 0)
		world_settle(&life->world);
	crash(life);
	arm(life);
	while (!open_life(life) && life->violation[0] == '\0') {
		storage_faulty_crash(life->disk);
		arm(life);
	}
	if (life->violation[0] != '\0')
		return;
	check_calls(life);
	check_clients(life);
	check_keys(life);
}

static struct life life;

static void run_life(struct engine *engine, uint64_t seed, bool lie)
{
	life = (struct life){ .disk = storage_faulty_create(seed), .rng = seed, .call_count = 1 };
	world_init(&life.world, engine, life.disk, false);
	snprintf(life.world.dir, sizeof(life.world.dir), "a/replica");
	life.world.options.segment_bytes = 4096u << roll(&life, 7);
	life.world.options.durability.replay_micros = roll(&life, 3) == 0 ? 0 : 1 + (uint32_t)roll(&life, 60);
	life.world.on_received = on_received;
	life.world.context = &life;
	life.calls[0] = (struct call){ .kind = CALL_NUMBER, .confirmed = true, .digest = digest_of("numbers", 0) };
	storage_faulty_sync_is_lie(life.disk, lie);
	create_life(&life);
	for (uint32_t i = 0; i < CRASHES && life.violation[0] == '\0'; i++)
		session(&life);
	storage_faulty_power_off_at(life.disk, 0);
	world_deinit(&life.world);
	storage_faulty_destroy(life.disk);
}

/* Goal: the promise holds in every life, and the lives are worth something. */
START_TEST(honest_disk)
{
	const char *one = getenv("DATABASE_SEED"), *many = getenv("DATABASE_SEEDS");
	uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
	uint64_t count = one != NULL ? 1 : many != NULL ? strtoull(many, NULL, 10) : SEEDS;
	uint64_t crashes = 0, confirmed = 0, lost = 0, opens = 0, snapshots = 0;
	struct engine engine;
	engine_init(&engine, 0, UINT32_MAX);
	for (uint64_t seed = first; seed < first + count; seed++) {
		run_life(&engine, seed, false);
		ck_assert_msg(life.violation[0] == '\0', "DATABASE_SEED=%llu: %s", (unsigned long long)seed, life.violation);
		crashes += life.crashes;
		confirmed += life.confirmed_ever;
		lost += life.lost_ever;
		opens += life.failed_opens;
		snapshots += life.snapshots;
	}
	engine_deinit(&engine);
	printf("%llu crashes, %llu of them while opening, %llu snapshots; %llu calls were confirmed and are there, %llu "
		"others are lost\n", (unsigned long long)(crashes + opens), (unsigned long long)opens,
		(unsigned long long)snapshots, (unsigned long long)confirmed, (unsigned long long)lost);
	if (count >= SEEDS) {
		ck_assert_uint_ge(crashes + opens, 200);
		ck_assert_uint_gt(confirmed, 2000);
		ck_assert_uint_gt(lost, 500);
		ck_assert_uint_gt(snapshots, 60);
	}
}
END_TEST

/* Goal: the test notices a log that does not sync. */
START_TEST(lying_disk)
{
	uint32_t violations = 0;
	struct engine engine;
	engine_init(&engine, 0, UINT32_MAX);
	for (uint64_t seed = 1; seed <= SEEDS / 2; seed++) {
		run_life(&engine, seed, true);
		violations += life.violation[0] != '\0';
	}
	engine_deinit(&engine);
	printf("%u of %d lives on a disk that lies were found out\n", violations, SEEDS / 2);
	ck_assert_uint_gt(violations, SEEDS / 4);
}
END_TEST

int main(void)
{
	log_set_level(LOG_OFF);
	if (!guest_ready()) {
		fprintf(stderr, "the guest module cannot be compiled\n");
		return 1;
	}
	Suite *suite = suite_create("database crash");
	TCase *tests = tcase_create("all");
	tcase_set_timeout(tests, 300);
	tcase_add_test(tests, honest_disk);
	tcase_add_test(tests, lying_disk);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
