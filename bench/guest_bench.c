/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest boundary alone: nanoseconds of an empty reducer and of single
 * imports, and how long a new instance takes.
 *
 *     guest_bench GUEST [--rust MODULE]    name value, a line each
 *     guest_bench GUEST --write PATH       the guest with its description in it, to publish
 *
 * GUEST is bench/guest.c, compiled. One thread; tables as a database has them, 100,000 rows.
 */
#include "driver.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "database/database_internal.h"
#include "native.h"

#include <check.h>
/* There is no test runner here. */
#undef ck_assert
#undef ck_assert_msg
#define ck_assert(condition) ASSERT(condition)
#define ck_assert_msg(condition, ...) \
	do { \
		bool holds = (condition); \
		if (!holds) \
			fprintf(stderr, __VA_ARGS__); \
		ASSERT(holds); \
	} while (0)
#include "unit/module_description.h"

#include <getopt.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 100000, LOOPS = 1000000, CALLS = 1000000, INSTANCES = 200 };
enum { NOTHING, SEED, EMPTY_LOOP, IDENTITY, SCAN, UPDATE };

static bool read_file(const char *path, struct buf *out)
{
	uint8_t chunk[65536];
	FILE *file = fopen(path, "rb");
	buf_init(out, 256 << 20);
	if (file == NULL)
		return false;
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;)
		buf_put(out, chunk, n);
	fclose(file);
	return !out->failed && out->len > 0;
}

static void describe(struct buf *out)
{
	static const char *const loops[] = { "seed", "loop", "identity", "scan", "update" };
	struct description d;
	description_init(&d, 10);
	add_type(&d, "Account", "(id:u32,balance:i64)");
	TABLE(&d, .name = "accounts", .ref = 0, .primary_key = "0", .indexes = "btree accounts_id_idx_btree id 0",
		.unique = "0");
	add_reducer(&d, "nothing", "()");
	for (size_t i = 0; i < ARRAY_COUNT(loops); i++)
		add_reducer(&d, loops[i], "(count:u64)");
	add_procedure(&d, "nap", "(millis:u64)", "u64");
	description_put(&d, out);
	description_deinit(&d);
}

/* The compiled guest, its description behind the mark. */
static bool guest_make(const char *path, struct buf *out)
{
	static const char mark[16] = "WORLDLINE-BENCH";
	struct buf description = BUF_INIT(1 << 20);
	bool ok = read_file(path, out);
	describe(&description);
	uint8_t *at = ok ? memmem(out->data, out->len, mark, sizeof(mark)) : NULL;
	ok = at != NULL && description.len <= 2048;
	if (ok) {
		store_u32(at + 16, (uint32_t)description.len);
		memcpy(at + 20, description.data, description.len);
	}
	buf_deinit(&description);
	return ok;
}

static bool write_file(const char *path, const struct buf *data)
{
	FILE *file = fopen(path, "wb");
	if (file == NULL)
		return false;
	bool ok = fwrite(data->data, 1, data->len, file) == data->len;
	return fclose(file) == 0 && ok;
}

/* Of this thread: what else runs on the machine does not count. */
static uint64_t cpu_nanos(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One call, on the executor; the CPU time of the guest's part. */
static uint64_t call(struct database *db, uint32_t reducer, uint64_t count)
{
	uint8_t args[8];
	struct str text;
	uint64_t nanos;
	store_u64(args, count);
	struct db_call call = { .function = &db->module.info->reducers[reducer], .id = reducer,
		.args = { args, reducer == NOTHING ? 0 : sizeof(args) }, .micros = 1 };
	uint64_t begin = cpu_nanos();
	if (db_run_reducer(db, &call, &text, &nanos) != RUNTIME_OK) {
		fprintf(stderr, "guest_bench: %.*s\n", STR_FMT(text));
		exit(1);
	}
	return cpu_nanos() - begin;
}

static double loop(struct database *db, uint32_t reducer)
{
	(void)call(db, reducer, LOOPS / 10);
	return (double)call(db, reducer, LOOPS) / LOOPS;
}

static void imports(struct database *db, void *arg)
{
	(void)arg;
	store_tx_begin(db->store);
	(void)call(db, SEED, ROWS);
	struct buf why = BUF_INIT(1 << 16);
	if (db_commit(db, 1, SEED, NULL, true, NULL, &why) != WL_OK)
		exit(1);
	store_tx_begin(db->store);
	double base = loop(db, EMPTY_LOOP);
	printf("identity_nanos %.2f\n", loop(db, IDENTITY));
	printf("scan_nanos %.2f\n", loop(db, SCAN) - base);
	printf("update_nanos %.2f\n", loop(db, UPDATE) - base);
	db_rollback(db);
	/* Clocks are read as in a step: the end of a call is the beginning of the next. */
	store_tx_begin(db->store);
	struct db_call nothing = { .function = &db->module.info->reducers[NOTHING], .id = NOTHING, .micros = 1 };
	struct str text;
	uint64_t nanos;
	db->now_nanos = clock_mono_nanos();
	uint64_t begin = cpu_nanos();
	for (uint32_t i = 0; i < CALLS; i++)
		if (db_run_reducer(db, &nothing, &text, &nanos) != RUNTIME_OK)
			exit(1);
	printf("empty_nanos %.2f\n", (double)(cpu_nanos() - begin) / CALLS);
	db_rollback(db);
}

static void log_nothing(void *context, const struct runtime_log *said)
{
	(void)context, (void)said;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static bool instances(struct runtime *runtime, const char *name, struct bytes code)
{
	uint8_t hash[32];
	struct runtime_program *program;
	struct buf error = BUF_INIT(1 << 16), description = BUF_INIT(1 << 24);
	struct runtime_env env = { .store = store_create(), .log = log_nothing };
	native_keccak256(code.data, code.len, hash);
	if (runtime_compile(runtime, RUNTIME_WASM, code, hash, &program, &error) != WL_OK) {
		fprintf(stderr, "guest_bench: %s\n", buf_text(&error));
		return false;
	}
	uint64_t took[INSTANCES];
	bool ok = true;
	for (int i = 0; ok && i < INSTANCES; i++) {
		struct runtime_instance *instance;
		uint64_t begin = clock_mono_nanos();
		buf_clear(&description);
		ok = runtime_instance_create(program, &env, &description, &instance, &error) == WL_OK;
		took[i] = clock_mono_nanos() - begin;
		if (ok)
			runtime_instance_destroy(instance);
	}
	qsort(took, INSTANCES, sizeof(took[0]), by_size);
	printf("%s_instance_micros %.1f\n", name, (double)took[INSTANCES / 2] / 1000);
	runtime_program_release(program);
	store_destroy(env.store);
	buf_deinit(&description);
	buf_deinit(&error);
	return ok;
}

int main(int argc, char **argv)
{
	static const struct option names[] = { { "write", required_argument, NULL, 'w' },
		{ "rust", required_argument, NULL, 'r' }, { 0 } };
	const char *write_to = NULL, *rust = NULL;
	for (int id; (id = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		if (id == 'w')
			write_to = optarg;
		else if (id == 'r')
			rust = optarg;
		else
			return 2;
	}
	struct buf guest;
	if (argc - optind != 1 || !guest_make(argv[optind], &guest)) {
		fprintf(stderr, "guest_bench GUEST [--rust MODULE] [--write PATH]: GUEST is bench/guest.c, compiled\n");
		return 2;
	}
	if (write_to != NULL)
		return write_file(write_to, &guest) ? 0 : 1;
	char path[] = "/tmp/guest-bench-XXXXXX";
	int fd = mkstemp(path);
	struct driver driver = { 0 };
	bool ok = fd >= 0 && write_file(path, &guest) && driver_open(&driver, path, NULL);
	(void)unlink(path);
	ok = ok && database_run(driver.database, imports, NULL) == WL_OK &&
		instances(driver.runtime, "c", buf_bytes(&guest));
	struct buf module = BUF_INIT(1);
	if (ok && rust != NULL)
		ok = read_file(rust, &module) && instances(driver.runtime, "rust", buf_bytes(&module));
	driver_close(&driver);
	buf_deinit(&module);
	buf_deinit(&guest);
	return ok ? 0 : 1;
}
