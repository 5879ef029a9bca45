/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database whose disk or memory fails it: no space, a sync that fails, bits
 * that turned, and every allocation of a session failing in turn. Always: the
 * caller learns of it, nothing confirmed is lost, nothing is half done, other
 * databases go on.
 */
#include "database_fixture.h"
#include "unit/run_suite.h"

enum { SEGMENT = 4096 };
static struct engine engine;
static struct world w;
static struct storage_faulty *disk;

static void setup(void)
{
	engine_init(&engine, 0, UINT32_MAX);
	disk = storage_faulty_create(1);
	world_init(&w, &engine, disk, false);
	w.options.segment_bytes = SEGMENT;
}

static void teardown(void)
{
	world_deinit(&w);
	storage_faulty_destroy(disk);
	engine_deinit(&engine);
}

/* ---- no space ---- */

static uint32_t ask_text(struct line *line, uint64_t id)
{
	static char text[300];
	memset(text, 't', sizeof(text) - 1);
	w.last = (struct received){ 0 };
	ck_assert_uint_ne(world_call(&w, line, "put_text", &id, 1, text), 0);
	world_settle(&w);
	ck_assert_uint_eq(w.last.tag, GOT_RESULT);
	return w.last.outcome;
}

/* Rows until the log is read-only; how many were confirmed. */
static uint64_t fill(struct line *line)
{
	uint64_t id = 0;
	storage_faulty_capacity(disk, 1000);
	while (id < 100 && ask_text(line, id) == OUTCOME_OK)
		id++;
	ck_assert_uint_lt(id, 100);
	return id;
}

/* Goal: without space calls are refused with the reason, reading goes on, and so does all when there is space. */
START_TEST(a_full_disk_is_read_only_for_a_while)
{
	struct buf text = BUF_INIT(1 << 16);
	must_create(&w);
	struct line *line = must_connect(&w, 0, true, 1);
	uint64_t confirmed = fill(line);
	ck_assert_uint_eq(w.last.outcome, OUTCOME_INTERNAL);
	ck_assert_str_eq(w.last.text, "the database is read-only: there is no space left on its disk");
	ck_assert_uint_eq(world_count(&w, "texts"), confirmed);
	ck_assert(!line->ended);

	ck_assert_uint_ne(world_query(&w, line, TAG_ONE_OFF, "SELECT * FROM texts"), 0);
	world_settle(&w);
	ck_assert_uint_eq(w.last.tag, GOT_ONE_OFF);
	ck_assert_uint_eq(w.last.outcome, 0);
	ck_assert_uint_ne(world_call(&w, line, "nothing", NULL, 0, NULL), 0);
	world_settle(&w);
	ck_assert_uint_eq(w.last.outcome, OUTCOME_OK); /* it changes nothing, so it needs no log */
	struct line *late = world_connect(&w, 1, true, 2);
	world_settle(&w);
	ck_assert(late->ended); /* nobody can be entered */
	ck_assert_int_eq(world_sql(&w, "SELECT * FROM texts", &text), WL_ERR_DENIED);
	ck_assert_msg(strstr(buf_text(&text), "read-only") != NULL, "%s", buf_text(&text));

	storage_faulty_capacity(disk, UINT64_MAX);
	usleep(600000); /* the preparer looks again after half a second */
	world_settle(&w);
	ck_assert_uint_eq(ask_text(line, confirmed), OUTCOME_OK);
	must_connect(&w, 1, true, 3);
	storage_faulty_power_off_at(disk, 1);
	world_close(&w, false);
	storage_faulty_crash(disk);
	must_open(&w);
	ck_assert_uint_eq(world_count(&w, "texts"), confirmed + 1);
	buf_deinit(&text);
}
END_TEST

/* Goal: where no reducer asks who connects, SQL reads a database that nobody can be entered into; it cannot write. */
START_TEST(a_full_disk_can_be_read_with_sql)
{
	struct buf text = BUF_INIT(1 << 16);
	ck_assert_msg(world_create_from(&w, 1, TABLES_NO_LIFECYCLE, &text) == WL_OK, "%s", buf_text(&text));
	struct line *line = must_connect(&w, 0, true, 1);
	ck_assert_int_eq(world_sql(&w, "INSERT INTO numbers (n) VALUES (7)", &text), WL_OK);
	fill(line);
	ck_assert_msg(world_sql(&w, "SELECT * FROM numbers", &text) == WL_OK, "%s", buf_text(&text));
	ck_assert_msg(strstr(buf_text(&text), "[7]") != NULL, "%s", buf_text(&text));
	ck_assert_int_ne(world_sql(&w, "INSERT INTO numbers (n) VALUES (8)", &text), WL_OK);
	ck_assert_msg(strstr(buf_text(&text), "read-only") != NULL, "%s", buf_text(&text));
	ck_assert(!world_has(&w, "numbers", 8));
	buf_deinit(&text);
}
END_TEST

/* Goal: a disk that is full from the start: the creation fails and says so. */
START_TEST(creating_on_a_full_disk_fails)
{
	struct buf text = BUF_INIT(1 << 16);
	storage_faulty_capacity(disk, 1000);
	ck_assert_int_eq(world_create(&w, &text), WL_ERR_IO);
	ck_assert_msg(strstr(buf_text(&text), "No space") != NULL, "%s", buf_text(&text));
	storage_faulty_capacity(disk, UINT64_MAX);
	must_create(&w);
	buf_deinit(&text);
}
END_TEST

/* ---- a disk that fails ---- */

static struct {
	uint32_t closes;
	char reason[128];
} seen;

static void note_close(struct world *world, const struct received *got)
{
	(void)world;
	if (got->tag != GOT_CLOSE)
		return;
	ck_assert_uint_eq(got->code, 1011);
	snprintf(seen.reason, sizeof(seen.reason), "%.120s", got->text);
	seen.closes++;
}

static void fail_once(enum storage_faulty_call call)
{
	static struct world other;
	struct storage_faulty *other_disk = storage_faulty_create(2);
	seen.closes = 0;
	world_init(&other, &engine, other_disk, false);
	must_create(&other);
	must_create(&w);
	struct line *line = must_connect(&w, 0, true, 1), *other_line = must_connect(&other, 0, true, 1);
	must_connect(&w, 1, false, 2);
	ASK_OK(&w, line, "unique_number", 1);
	w.on_received = note_close;

	storage_faulty_fail_at(disk, call, 1, EIO);
	w.last.tag = 0;
	ck_assert_uint_ne(world_call_number(&w, line, "unique_number", 2), 0);
	world_settle(&w);
	ck_assert_uint_eq(w.last.tag, GOT_CLOSE); /* and no answer: it is not known */
	ck_assert_uint_eq(seen.closes, 2);
	ck_assert_str_eq(seen.reason, "the database's log has failed");
	ck_assert(database_failed(w.db));
	ck_assert(!database_wait_durable(w.db, w.db->offset, 1000));

	/* Final: whatever comes is refused, with the reason. */
	ck_assert(world_connect(&w, 0, false, 3) != NULL);
	world_settle(&w);
	ck_assert_uint_eq(world_count(&w, "st_client"), 2);
	struct buf text = BUF_INIT(1 << 16);
	ck_assert_int_eq(world_http_call(&w, 9, "unique_number", "[8]", &text), DATABASE_CONNECT_REFUSED);
	ck_assert_msg(strstr(buf_text(&text), "log has failed") != NULL, "%s", buf_text(&text));
	buf_deinit(&text);
	ck_assert_uint_eq(seen.closes, 2);

	ASK_OK(&other, other_line, "unique_number", 5);
	world_deinit(&other);
	storage_faulty_destroy(other_disk);
	storage_faulty_power_off_at(disk, 1);
	world_close(&w, false);
	storage_faulty_crash(disk);
	must_open(&w);
	ck_assert(world_has(&w, "numbers", 1));
	ck_assert(!world_has(&w, "numbers", 8));
}

/* Goal: an fdatasync that fails ends the database: clients are closed and told, others go on, a restart has it all. */
START_TEST(a_failed_sync_is_final)
{
	fail_once(STORAGE_FAULTY_SYNC);
}
END_TEST

START_TEST(a_failed_write_is_final)
{
	fail_once(STORAGE_FAULTY_WRITE);
}
END_TEST

/* Goal: with a writer thread the loop that waits for the disk is woken by the failure. */
START_TEST(a_failure_wakes_whoever_waits)
{
	static struct engine threaded;
	static struct world waiting;
	struct storage_faulty *failing = storage_faulty_create(3);
	engine_init(&threaded, 1, UINT32_MAX);
	world_init(&waiting, &threaded, failing, false);
	must_create(&waiting);
	struct line *line = world_connect(&waiting, 0, true, 1);
	for (uint32_t i = 0; i < 2000 && !line->resumed; i++, usleep(1000))
		world_run(&waiting);
	ck_assert(line->resumed);
	storage_faulty_fail_at(failing, STORAGE_FAULTY_SYNC, 1, EIO);
	ck_assert_uint_ne(world_call_number(&waiting, line, "unique_number", 2), 0);
	world_run(&waiting);
	for (uint32_t i = 0; i < 2000 && !line->ended; i++, usleep(1000))
		world_run(&waiting);
	ck_assert(line->ended);
	ck_assert_uint_eq(waiting.last.tag, GOT_CLOSE);
	world_close(&waiting, false);
	world_deinit(&waiting);
	storage_faulty_destroy(failing);
	engine_deinit(&threaded);
}
END_TEST

/* ---- bits that turned ---- */

struct files {
	char names[64][32];
	uint32_t count;
};

static void collect(void *context, const char *name)
{
	struct files *files = context;
	ck_assert_uint_lt(files->count, 64);
	snprintf(files->names[files->count++], sizeof(files->names[0]), "%s", name);
}

static uint64_t hash_of_all(struct files *files)
{
	char path[128];
	uint64_t hash = 0;
	struct storage *storage = storage_faulty_storage(disk);
	files->count = 0;
	snprintf(path, sizeof(path), "%s/log", w.dir);
	ck_assert(storage->ops->list(storage, path, collect, files));
	for (uint32_t i = 0; i < files->count; i++) {
		struct buf content = BUF_INIT(64 << 20);
		snprintf(path, sizeof(path), "%s/log/%s", w.dir, files->names[i]);
		ck_assert(storage_faulty_get(disk, path, &content));
		hash ^= hash_bytes(content.data, content.len) + hash_bytes(files->names[i], strlen(files->names[i]));
		buf_deinit(&content);
	}
	return hash;
}

/* The next byte from there on that is part of a row's text: neither padding nor room never used. */
static uint64_t text_byte(const char *path, uint64_t at)
{
	struct buf content = BUF_INIT(64 << 20);
	ck_assert(storage_faulty_get(disk, path, &content));
	const uint8_t *found = memchr(content.data + at, 't', content.len - at);
	if (found == NULL)
		found = memchr(content.data, 't', content.len);
	ck_assert_ptr_nonnull(found);
	at = (uint64_t)(found - content.data);
	buf_deinit(&content);
	return at;
}

/* Goal: a bit that turned in what was synced is named, file and byte; nothing is changed or deleted; turned back, it is
 * there again. */
START_TEST(a_turned_bit_is_named)
{
	struct buf text = BUF_INIT(1 << 16);
	struct files files;
	must_create(&w);
	struct line *line = must_connect(&w, 0, true, 1);
	for (uint64_t id = 0; id < 40; id++)
		ck_assert_uint_eq(ask_text(line, id), OUTCOME_OK);
	world_close(&w, true);
	(void)hash_of_all(&files);
	ck_assert_uint_gt(files.count, 3);
	uint32_t named = 0;
	for (uint32_t i = 0; i < 200; i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/log/%010u.wlog", w.dir, 1 + i % 2);
		uint64_t at = text_byte(path, 64 + hash_u64(i) % 3000);
		ck_assert(storage_faulty_flip(disk, path, at, (uint8_t)(1 << i % 8)));
		uint64_t before = hash_of_all(&files);
		buf_clear(&text);
		enum wl_err err = world_open(&w, &text);
		ck_assert_msg(err == WL_ERR_CORRUPT, "byte %llu: %s: %s", (unsigned long long)at, wl_err_name(err),
			buf_text(&text));
		named += strstr(buf_text(&text), path) != NULL && strstr(buf_text(&text), "byte ") != NULL;
		ck_assert_uint_eq(hash_of_all(&files), before);
		ck_assert(storage_faulty_flip(disk, path, at, (uint8_t)(1 << i % 8)));
	}
	ck_assert_uint_eq(named, 200);
	must_open(&w);
	ck_assert_uint_eq(world_count(&w, "texts"), 40);
	buf_deinit(&text);
}
END_TEST

/* ---- memory ---- */

/* What the clients were told of each number: 0 nothing, 1 it is there, 2 it is not. */
enum { NUMBERS = 16 };
static struct session {
	uint8_t told[NUMBERS];
	uint64_t asked[4096]; /* request -> number + 1 */
} session;

static void note_told(struct world *world, const struct received *got)
{
	(void)world;
	uint64_t number = got->tag == GOT_RESULT && got->request_id < ARRAY_COUNT(session.asked)
		? session.asked[got->request_id] : 0;
	if (number != 0)
		session.told[number - 1] = got->outcome == OUTCOME_OK ? 1 : 2;
}

static void ask(struct line *line, const char *reducer, uint64_t n, const char *text)
{
	if (line == NULL || line->client == NULL || line->ended)
		return;
	uint32_t id = world_call(&w, line, reducer, &n, 1, text);
	if (id != 0 && id < ARRAY_COUNT(session.asked))
		session.asked[id] = n + 1;
}

/* Clients come, listen, call, ask, fail, and go: one of everything. */
static void run_session(void)
{
	struct line *a = world_connect(&w, 0, true, 1), *b = world_connect(&w, 1, false, 2);
	world_settle(&w);
	if (b != NULL && !b->ended)
		(void)world_query(&w, b, TAG_SUBSCRIBE, "SELECT * FROM numbers");
	if (a != NULL && !a->ended)
		(void)world_query(&w, a, TAG_SUBSCRIBE, "SELECT * FROM numbers WHERE n > 3");
	world_settle(&w);
	if (b != NULL && !b->ended)
		(void)world_query(&w, b, TAG_SUBSCRIBE, "SELECT * FROM doubled");
	if (b != NULL && !b->ended)
		(void)world_query(&w, b, TAG_SUBSCRIBE, "SELECT * FROM mine");
	world_settle(&w);
	for (uint64_t n = 1; n < 5; n++)
		ask(n % 2 == 0 ? a : b, "unique_number", n, NULL);
	world_settle(&w);
	if (b != NULL && !b->ended)
		(void)world_query(&w, b, TAG_ONE_OFF, "SELECT * FROM numbers WHERE n = 2");
	ask(a, "fail", 5, "no");
	ask(b, "panic", 6, NULL);
	ask(b, "put_text", 7, "a text of some length, so that it does not fit beside others");
	ask(a, "no_such", 8, NULL);
	ask(a, "delete_number", 1, NULL);
	ask(b, "unique_number", 9, NULL);
	world_settle(&w);
	if (a != NULL && a->client != NULL)
		(void)world_disconnect(&w, a);
	world_settle(&w);
	ask(b, "unique_number", 10, NULL);
	world_settle(&w);
}

static void check_session(uint64_t n)
{
	for (uint64_t i = 1; i < NUMBERS; i++) {
		if (i == 7 || i == 1)
			continue;
		uint32_t times = world_times(&w, "numbers", i);
		ck_assert_msg(times <= 1, "allocation %llu: number %llu is there %u times", (unsigned long long)n,
			(unsigned long long)i, times);
		ck_assert_msg(session.told[i] == 0 || (session.told[i] == 1) == (times == 1),
			"allocation %llu: of number %llu the client was told %u, it is there %u times", (unsigned long long)n,
			(unsigned long long)i, session.told[i], times);
	}
}

/* True when the session went through without meeting the failure. */
static bool session_fails_at(uint64_t n, bool forever)
{
	struct buf text = BUF_INIT(1 << 16);
	session = (struct session){ 0 };
	disk = storage_faulty_create(n);
	world_init(&w, &engine, disk, false);
	w.on_received = note_told;
	must_create(&w);
	uint64_t before = mem_stats().allocations;
	mem_fail_at(n, forever);
	run_session();
	mem_fail_at(0, false);
	bool through = mem_stats().allocations - before + 1 < n;
	check_session(n);
	/* It serves on: a new client, and what it asks for. */
	struct line *line = world_connect(&w, 0, true, 77);
	ck_assert_ptr_nonnull(line);
	world_settle(&w);
	if (!database_failed(w.db)) {
		ck_assert_msg(line->resumed, "allocation %llu", (unsigned long long)n);
		ASK_OK(&w, line, "unique_number", 11);
	} else {
		ck_assert(line->ended);
	}
	storage_faulty_power_off_at(disk, 1);
	world_close(&w, false);
	storage_faulty_crash(disk);
	must_open(&w);
	for (uint64_t i = 0; i < NUMBERS; i++)
		session.told[i] = session.told[i] == 1 && (i == 2 || i == 4); /* the confirmed client's */
	check_session(n);
	world_close(&w, true);
	storage_faulty_destroy(disk);
	buf_deinit(&text);
	return through;
}

/* Goal: whichever allocation of a session fails, once or from then on, nobody is told what is not so. */
START_TEST(every_allocation_of_a_session_fails)
{
	engine_init(&engine, 0, UINT32_MAX);
	uint64_t n[2] = { 1, 1 };
	for (uint32_t forever = 0; forever < 2; forever++)
		while (!session_fails_at(n[forever], forever == 1))
			n[forever]++;
	printf("%llu allocations of a session failed, once and for ever\n", (unsigned long long)n[0] - 1);
	ck_assert_uint_gt(n[0], 30);
	engine_deinit(&engine);
}
END_TEST

/* Goal: whichever allocation fails while a database is made or opened, it fails cleanly, or not at all. */
START_TEST(every_allocation_of_creating_and_opening_fails)
{
	struct buf text = BUF_INIT(1 << 16);
	engine_init(&engine, 0, UINT32_MAX);
	uint64_t n = 1;
	for (bool through = false; !through; n++) {
		disk = storage_faulty_create(n);
		world_init(&w, &engine, disk, false);
		uint64_t before = mem_stats().allocations;
		mem_fail_at(n, false);
		enum wl_err err = world_create(&w, &text);
		mem_fail_at(0, false);
		through = mem_stats().allocations - before + 1 < n;
		if (err == WL_OK)
			world_close(&w, true);
		else
			must_create(&w);
		world_close(&w, true);
		buf_clear(&text);
		mem_fail_at(n, false);
		err = world_open(&w, &text);
		mem_fail_at(0, false);
		if (err != WL_OK)
			must_open(&w);
		ck_assert_msg(world_has(&w, "numbers", 0), "allocation %llu", (unsigned long long)n);
		world_close(&w, true);
		storage_faulty_destroy(disk);
	}
	printf("%llu allocations of creating a database failed\n", (unsigned long long)n - 2);
	engine_deinit(&engine);
	buf_deinit(&text);
}
END_TEST

int main(void)
{
	log_set_level(LOG_OFF);
	if (!guest_ready()) {
		fprintf(stderr, "the guest module cannot be compiled\n");
		return 1;
	}
	Suite *suite = suite_create("database fault");
	TCase *disks = tcase_create("disk"), *memory = tcase_create("memory");
	tcase_set_timeout(disks, 120);
	tcase_add_checked_fixture(disks, setup, teardown);
	tcase_add_test(disks, a_full_disk_is_read_only_for_a_while);
	tcase_add_test(disks, a_full_disk_can_be_read_with_sql);
	tcase_add_test(disks, creating_on_a_full_disk_fails);
	tcase_add_test(disks, a_failed_sync_is_final);
	tcase_add_test(disks, a_failed_write_is_final);
	tcase_add_test(disks, a_failure_wakes_whoever_waits);
	tcase_add_test(disks, a_turned_bit_is_named);
	tcase_set_timeout(memory, 300);
	tcase_add_test(memory, every_allocation_of_a_session_fails);
	tcase_add_test(memory, every_allocation_of_creating_and_opening_fails);
	suite_add_tcase(suite, disks);
	suite_add_tcase(suite, memory);
	return run_suite(suite);
}
